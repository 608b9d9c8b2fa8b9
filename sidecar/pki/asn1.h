/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_ASN1_H
#define FL_PKI_ASN1_H
/* asn1 - a cursor over DER. All our reading of certificates, CRLs and keys uses it. Pure; thread:
 * any; spans stay views of the input. */
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

enum fl_asn1_tag {
	FL_ASN1_BOOLEAN = 0x01,
	FL_ASN1_INTEGER = 0x02,
	FL_ASN1_BIT_STRING = 0x03,
	FL_ASN1_OCTET_STRING = 0x04,
	FL_ASN1_NULL = 0x05,
	FL_ASN1_OID = 0x06,
	FL_ASN1_UTF8_STRING = 0x0c,
	FL_ASN1_NUMERIC_STRING = 0x12,
	FL_ASN1_PRINTABLE_STRING = 0x13,
	FL_ASN1_T61_STRING = 0x14,
	FL_ASN1_IA5_STRING = 0x16,
	FL_ASN1_UTC_TIME = 0x17,
	FL_ASN1_GENERALIZED_TIME = 0x18,
	FL_ASN1_VISIBLE_STRING = 0x1a,
	FL_ASN1_UNIVERSAL_STRING = 0x1c,
	FL_ASN1_BMP_STRING = 0x1e,
	FL_ASN1_SEQUENCE = 0x30,
	FL_ASN1_SET = 0x31,
	FL_ASN1_KEY_ID = 0x80,   /* [0] of an AuthorityKeyIdentifier */
	FL_ASN1_UNIQUE_1 = 0x81, /* [1] and [2] of a certificate */
	FL_ASN1_UNIQUE_2 = 0x82,
	FL_ASN1_CONTEXT_0 = 0xa0, /* constructed */
	FL_ASN1_CONTEXT_1 = 0xa1,
	FL_ASN1_CONTEXT_3 = 0xa3,
};

/* Content of an object identifier, as an initializer of a struct fl_span. */
#define FL_OID(...)                                                                                \
	{                                                                                          \
		(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})             \
	}

/* Removes the element at the front of in and returns its content in *ret. False, with in unchanged:
 * it has another tag, is truncated, or its length is not encoded as DER requires. */
bool fl_asn1_take(struct fl_span *in, enum fl_asn1_tag tag, struct fl_span *ret);

/* The same for an element of any tag (of one byte). */
bool fl_asn1_take_any(struct fl_span *in, uint8_t *ret_tag, struct fl_span *ret);

/* Is an element of that tag next? */
bool fl_asn1_is_next(struct fl_span in, enum fl_asn1_tag tag);

/* Takes an element that may be absent; *ret is then empty. False: it is there, and broken. */
bool fl_asn1_take_optional(struct fl_span *in, enum fl_asn1_tag tag, struct fl_span *ret);

/* An INTEGER that is not negative, without its leading zero byte. False, with in then undefined: it is
 * negative, or not as short as DER requires. */
bool fl_asn1_take_unsigned(struct fl_span *in, struct fl_span *ret);

/* A BIT STRING of whole bytes. */
bool fl_asn1_take_bytes(struct fl_span *in, struct fl_span *ret);

/* A time as RFC 5280 section 4.1.2.5 has it: with all of its digits, seconds included, and a Z. *ret: seconds since the
 * epoch. */
bool fl_asn1_take_time(struct fl_span *in, int64_t *ret);

bool fl_span_equal(struct fl_span a, struct fl_span b);

#endif
