/* SPDX-License-Identifier: GPL-3.0-or-later */
/* asn1 - tag, length, content; one element at a time.
 *
 * Says no (false) to anything that is not complete, definite-length DER; reads never leave the span. */
#include "pki/asn1.h"

#include <string.h>

/* Bytes of length that follow the first: more than a certificate could ever need. */
#define LENGTH_BYTES_MAX 4

static bool take_length(struct fl_span *in, size_t *ret)
{
	size_t value = 0, bytes;

	if (in->len == 0) {
		return false;
	}
	if (in->data[0] < 0x80) {
		value = in->data[0];
		bytes = 0;
	} else {
		bytes = in->data[0] & 0x7fu;
		if (bytes == 0 || bytes > LENGTH_BYTES_MAX || bytes >= in->len) {
			return false;
		}
		for (size_t i = 1; i <= bytes; i++) {
			value = value << 8 | in->data[i];
		}
		/* The shortest form is the only one. */
		if (value < 0x80 || in->data[1] == 0) {
			return false;
		}
	}
	in->data += 1 + bytes;
	in->len -= 1 + bytes;
	*ret = value;
	return true;
}

bool fl_asn1_take(struct fl_span *in, enum fl_asn1_tag tag, struct fl_span *ret)
{
	struct fl_span rest;
	size_t len;

	if (in->len == 0 || in->data[0] != tag) {
		return false;
	}
	rest = (struct fl_span){in->data + 1, in->len - 1};
	if (!take_length(&rest, &len) || len > rest.len) {
		return false;
	}
	*ret = (struct fl_span){rest.data, len};
	*in = (struct fl_span){rest.data + len, rest.len - len};
	return true;
}

bool fl_asn1_take_unsigned(struct fl_span *in, struct fl_span *ret)
{
	struct fl_span value;

	if (!fl_asn1_take(in, FL_ASN1_INTEGER, &value) || value.len == 0) {
		return false;
	}
	if (value.len > 1 && value.data[0] == 0) {
		value.data++;
		value.len--;
	}
	*ret = value;
	return true;
}

bool fl_span_equal(struct fl_span a, struct fl_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
