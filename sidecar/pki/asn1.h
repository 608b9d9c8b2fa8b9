/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_ASN1_H
#define FL_PKI_ASN1_H
/* asn1 - a cursor over DER, for the few questions that wolfCrypt does not answer: which kind of key
 * is this, where does this certificate end. Pure; thread: any; spans stay views of the input. */
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

enum fl_asn1_tag {
	FL_ASN1_BOOLEAN = 0x01,
	FL_ASN1_INTEGER = 0x02,
	FL_ASN1_BIT_STRING = 0x03,
	FL_ASN1_OCTET_STRING = 0x04,
	FL_ASN1_OID = 0x06,
	FL_ASN1_UTC_TIME = 0x17,
	FL_ASN1_GENERALIZED_TIME = 0x18,
	FL_ASN1_SEQUENCE = 0x30,
	FL_ASN1_KEY_ID = 0x80,   /* [0] of an AuthorityKeyIdentifier */
	FL_ASN1_UNIQUE_1 = 0x81, /* [1] and [2] of a certificate */
	FL_ASN1_UNIQUE_2 = 0x82,
	FL_ASN1_CONTEXT_0 = 0xa0, /* constructed */
	FL_ASN1_CONTEXT_3 = 0xa3,
};

/* Takes the element at the front of in off it, content in *ret. False, with in untouched: it has
 * another tag, is cut off or its length is not encoded as DER asks. */
bool fl_asn1_take(struct fl_span *in, enum fl_asn1_tag tag, struct fl_span *ret);

/* A positive INTEGER without its leading zero byte. */
bool fl_asn1_take_unsigned(struct fl_span *in, struct fl_span *ret);

bool fl_span_equal(struct fl_span a, struct fl_span b);

#endif
