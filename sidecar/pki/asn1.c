/* SPDX-License-Identifier: GPL-3.0-or-later */
/* asn1 - tag, length, content; one element at a time.
 *
 * Returns false for anything that is not complete, definite-length DER; never reads outside the
 * span. */
#include "pki/asn1.h"

#include <string.h>

/* Maximum length bytes after the first: more than a certificate could ever need. */
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

bool fl_asn1_take_any(struct fl_span *in, uint8_t *ret_tag, struct fl_span *ret)
{
	struct fl_span rest;
	size_t len;

	/* Nothing that we read has tags of several bytes. */
	if (in->len == 0 || (in->data[0] & 0x1f) == 0x1f) {
		return false;
	}
	rest = (struct fl_span){in->data + 1, in->len - 1};
	if (!take_length(&rest, &len) || len > rest.len) {
		return false;
	}
	*ret_tag = in->data[0];
	*ret = (struct fl_span){rest.data, len};
	*in = (struct fl_span){rest.data + len, rest.len - len};
	return true;
}

bool fl_asn1_is_next(struct fl_span in, enum fl_asn1_tag tag)
{
	return in.len > 0 && in.data[0] == tag;
}

bool fl_asn1_take(struct fl_span *in, enum fl_asn1_tag tag, struct fl_span *ret)
{
	uint8_t found;

	return fl_asn1_is_next(*in, tag) && fl_asn1_take_any(in, &found, ret);
}

bool fl_asn1_take_optional(struct fl_span *in, enum fl_asn1_tag tag, struct fl_span *ret)
{
	*ret = (struct fl_span){0};
	return !fl_asn1_is_next(*in, tag) || fl_asn1_take(in, tag, ret);
}

bool fl_asn1_take_bytes(struct fl_span *in, struct fl_span *ret)
{
	struct fl_span bits;

	/* The first byte counts unused bits. */
	if (!fl_asn1_take(in, FL_ASN1_BIT_STRING, &bits) || bits.len < 2 || bits.data[0] != 0) {
		return false;
	}
	*ret = (struct fl_span){bits.data + 1, bits.len - 1};
	return true;
}

/* --- times -------------------------------------------------------------------------------------- */

/* Days since 1970-01-01 of a date of the Gregorian calendar, year 0 or later. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static int64_t days_in(int64_t year, int64_t month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static int64_t two_digits(const uint8_t *text)
{
	return (text[0] - '0') * 10 + (text[1] - '0');
}

bool fl_asn1_take_time(struct fl_span *in, int64_t *ret)
{
	bool is_short = fl_asn1_is_next(*in, FL_ASN1_UTC_TIME);
	size_t len = is_short ? 13 : 15;
	struct fl_span rest = *in, text;
	int64_t year, part[5];

	if (!fl_asn1_take(&rest, is_short ? FL_ASN1_UTC_TIME : FL_ASN1_GENERALIZED_TIME, &text) ||
	    text.len != len || text.data[len - 1] != 'Z') {
		return false;
	}
	for (size_t i = 0; i < len - 1; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return false;
		}
	}
	year = two_digits(text.data);
	if (is_short) {
		year += year < 50 ? 2000 : 1900;
	} else {
		year = year * 100 + two_digits(text.data + 2);
	}
	for (size_t i = 0; i < FL_COUNT_OF(part); i++) {
		part[i] = two_digits(text.data + len - 11 + 2 * i);
	}
	if (part[0] < 1 || part[0] > 12 || part[1] < 1 || part[1] > days_in(year, part[0]) ||
	    part[2] > 23 || part[3] > 59 || part[4] > 59) {
		return false;
	}
	*ret = ((days_of(year, part[0], part[1]) * 24 + part[2]) * 60 + part[3]) * 60 + part[4];
	*in = rest;
	return true;
}

bool fl_asn1_take_unsigned(struct fl_span *in, struct fl_span *ret)
{
	struct fl_span value;

	if (!fl_asn1_take(in, FL_ASN1_INTEGER, &value) || value.len == 0 || value.data[0] >= 0x80) {
		return false;
	}
	if (value.len > 1 && value.data[0] == 0) {
		if (value.data[1] < 0x80) {
			return false;
		}
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
