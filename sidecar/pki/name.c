/* SPDX-License-Identifier: GPL-3.0-or-later */
/* name - compares values letter by letter, in UTF-8, without making copies.
 *
 * Unreadable text makes names different and never fails: fl_name_is_good() has rejected it
 * before. */
#include "pki/name.h"

#include <stdio.h>

#include "pki/asn1.h"

#define ATTRIBUTES_MAX 8u /* of an RDN, that are compared in any order */

static const struct fl_span oid_common_name = FL_OID(0x55, 0x04, 0x03);

/* --- letters of a value --------------------------------------------------------------------------- */

struct letters {
	struct fl_span rest;
	uint8_t tag;
	bool began, blank; /* emit a blank before the next letter */
	uint8_t utf8[4];   /* of the letter that is being read */
	uint8_t utf8_len, utf8_at;
};

static bool is_text(uint8_t tag)
{
	switch (tag) {
	case FL_ASN1_UTF8_STRING:
	case FL_ASN1_NUMERIC_STRING:
	case FL_ASN1_PRINTABLE_STRING:
	case FL_ASN1_T61_STRING:
	case FL_ASN1_IA5_STRING:
	case FL_ASN1_VISIBLE_STRING:
	case FL_ASN1_UNIVERSAL_STRING:
	case FL_ASN1_BMP_STRING:
		return true;
	default:
		return false;
	}
}

/* Bytes of one letter. */
static size_t width_of(uint8_t tag)
{
	return tag == FL_ASN1_UNIVERSAL_STRING ? 4 : tag == FL_ASN1_BMP_STRING ? 2 : 1;
}

static uint32_t take_unit(struct letters *letters)
{
	size_t width = width_of(letters->tag);
	uint32_t unit = 0;

	for (size_t i = 0; i < width && i < letters->rest.len; i++) {
		unit = unit << 8 | letters->rest.data[i];
	}
	width = width < letters->rest.len ? width : letters->rest.len;
	letters->rest.data += width;
	letters->rest.len -= width;
	return unit;
}

static void put_utf8(struct letters *letters, uint32_t unit)
{
	uint8_t *to = letters->utf8;

	letters->utf8_at = 0;
	if (unit < 0x80 || letters->tag == FL_ASN1_UTF8_STRING) {
		to[0] = unit >= 'A' && unit <= 'Z' ? (uint8_t)(unit + 'a' - 'A') : (uint8_t)unit;
		letters->utf8_len = 1;
	} else if (unit < 0x800) {
		to[0] = (uint8_t)(0xc0 | unit >> 6);
		to[1] = (uint8_t)(0x80 | (unit & 0x3f));
		letters->utf8_len = 2;
	} else if (unit < 0x10000) {
		to[0] = (uint8_t)(0xe0 | unit >> 12);
		to[1] = (uint8_t)(0x80 | (unit >> 6 & 0x3f));
		to[2] = (uint8_t)(0x80 | (unit & 0x3f));
		letters->utf8_len = 3;
	} else {
		to[0] = (uint8_t)(0xf0 | (unit >> 18 & 7));
		to[1] = (uint8_t)(0x80 | (unit >> 12 & 0x3f));
		to[2] = (uint8_t)(0x80 | (unit >> 6 & 0x3f));
		to[3] = (uint8_t)(0x80 | (unit & 0x3f));
		letters->utf8_len = 4;
	}
}

static bool is_space(uint32_t unit)
{
	return unit == ' ' || (unit >= '\t' && unit <= '\r');
}

/* The next byte of UTF-8, folded, or -1. */
static int next_letter(struct letters *letters)
{
	uint32_t unit;

	if (letters->utf8_at < letters->utf8_len) {
		return letters->utf8[letters->utf8_at++];
	}
	do {
		if (letters->rest.len == 0) {
			return -1; /* blanks at the end do not count */
		}
		unit = take_unit(letters);
		letters->blank = letters->blank || is_space(unit);
	} while (is_space(unit));
	put_utf8(letters, unit);
	if (letters->blank && letters->began) {
		letters->blank = false;
		return ' ';
	}
	letters->blank = false;
	letters->began = true;
	return letters->utf8[letters->utf8_at++];
}

/* --- attributes ----------------------------------------------------------------------------------- */

struct attribute {
	struct fl_span oid, value;
	uint8_t tag;
};

/* Takes the next attribute of an RDN. */
static bool take_attribute(struct fl_span *rdn, struct attribute *ret)
{
	struct fl_span body;

	return fl_asn1_take(rdn, FL_ASN1_SEQUENCE, &body) &&
	       fl_asn1_take(&body, FL_ASN1_OID, &ret->oid) &&
	       fl_asn1_take_any(&body, &ret->tag, &ret->value) && body.len == 0;
}

static bool same_value(const struct attribute *a, const struct attribute *b)
{
	struct letters x = {.rest = a->value, .tag = a->tag};
	struct letters y = {.rest = b->value, .tag = b->tag};
	int letter;

	if (a->tag == b->tag && fl_span_equal(a->value, b->value)) {
		return true;
	}
	if (!is_text(a->tag) || !is_text(b->tag)) {
		return false;
	}
	do {
		letter = next_letter(&x);
		if (letter != next_letter(&y)) {
			return false;
		}
	} while (letter >= 0);
	return true;
}

static bool same_attribute(const struct attribute *a, const struct attribute *b)
{
	return fl_span_equal(a->oid, b->oid) && same_value(a, b);
}

/* Reads all attributes of an RDN; 0: they are too many to be compared in any order. */
static size_t read_rdn(struct fl_span rdn, struct attribute ret[ATTRIBUTES_MAX])
{
	size_t count = 0;

	while (rdn.len > 0) {
		if (count == ATTRIBUTES_MAX || !take_attribute(&rdn, &ret[count])) {
			return 0;
		}
		count++;
	}
	return count;
}

/* The order in DER depends on the kinds of strings, so it may be another one for the same name. */
static bool same_in_any_order(struct fl_span a, struct fl_span b)
{
	struct attribute x[ATTRIBUTES_MAX], y[ATTRIBUTES_MAX];
	size_t count = read_rdn(a, x), k;
	unsigned used = 0;

	if (count < 2 || read_rdn(b, y) != count) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		for (k = 0; k < count; k++) {
			if ((used & 1u << k) == 0 && same_attribute(&x[i], &y[k])) {
				break;
			}
		}
		if (k == count) {
			return false;
		}
		used |= 1u << k;
	}
	return true;
}

static bool same_rdn(struct fl_span a, struct fl_span b)
{
	struct fl_span whole_a = a, whole_b = b;
	struct attribute x, y;

	while (a.len > 0) {
		if (!take_attribute(&a, &x) || !take_attribute(&b, &y) || !same_attribute(&x, &y)) {
			return same_in_any_order(whole_a, whole_b);
		}
	}
	return b.len == 0;
}

/* --- the interface --------------------------------------------------------------------------------- */

bool fl_name_is_good(struct fl_span name)
{
	struct attribute attribute;
	struct fl_span rdn;

	while (name.len > 0) {
		if (!fl_asn1_take(&name, FL_ASN1_SET, &rdn) || rdn.len == 0) {
			return false;
		}
		while (rdn.len > 0) {
			if (!take_attribute(&rdn, &attribute)) {
				return false;
			}
		}
	}
	return true;
}

#define HASH_START 0xcbf29ce484222325u

static uint64_t hash_byte(uint64_t hash, uint8_t byte)
{
	return (hash ^ byte) * 0x100000001b3u;
}

static uint64_t hash_bytes(uint64_t hash, struct fl_span bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		hash = hash_byte(hash, bytes.data[i]);
	}
	return hash;
}

static uint64_t hash_attribute(const struct attribute *attribute)
{
	struct letters letters = {.rest = attribute->value, .tag = attribute->tag};
	uint64_t hash = hash_bytes(HASH_START, attribute->oid);
	int letter;

	if (!is_text(attribute->tag)) {
		return hash_bytes(hash, attribute->value);
	}
	while ((letter = next_letter(&letters)) >= 0) {
		hash = hash_byte(hash, (uint8_t)letter);
	}
	return hash;
}

uint64_t fl_name_hash(struct fl_span name)
{
	uint64_t hash = HASH_START;
	struct attribute attribute;
	struct fl_span rdn;

	while (fl_asn1_take(&name, FL_ASN1_SET, &rdn)) {
		/* Within an RDN the order does not count, so it is a sum. */
		while (take_attribute(&rdn, &attribute)) {
			hash += hash_attribute(&attribute);
		}
		hash = hash_byte(hash, 0xff);
	}
	return hash;
}

bool fl_name_is_within(struct fl_span name, struct fl_span base)
{
	struct fl_span x, y;

	while (base.len > 0) {
		if (!fl_asn1_take(&base, FL_ASN1_SET, &x) ||
		    !fl_asn1_take(&name, FL_ASN1_SET, &y) || !same_rdn(x, y)) {
			return false;
		}
	}
	return true;
}

static size_t rdn_count(struct fl_span name)
{
	struct fl_span rdn;
	size_t count = 0;

	while (fl_asn1_take(&name, FL_ASN1_SET, &rdn)) {
		count++;
	}
	return count;
}

bool fl_name_equal(struct fl_span a, struct fl_span b)
{
	return fl_span_equal(a, b) || (rdn_count(a) == rdn_count(b) && fl_name_is_within(a, b));
}

bool fl_name_attribute(struct fl_span name, struct fl_span oid, size_t i, struct fl_span *ret)
{
	struct attribute attribute;
	struct fl_span rdn;

	while (fl_asn1_take(&name, FL_ASN1_SET, &rdn)) {
		while (take_attribute(&rdn, &attribute)) {
			if (is_text(attribute.tag) && fl_span_equal(attribute.oid, oid) &&
			    i-- == 0) {
				*ret = attribute.value;
				return true;
			}
		}
	}
	return false;
}

/* --- text ------------------------------------------------------------------------------------------- */

static const struct {
	struct fl_span oid;
	const char *name;
} shown[] = {
	{FL_OID(0x55, 0x04, 0x03), "CN"},
	{FL_OID(0x55, 0x04, 0x0a), "O"},
	{FL_OID(0x55, 0x04, 0x0b), "OU"},
	{FL_OID(0x55, 0x04, 0x06), "C"},
	{FL_OID(0x55, 0x04, 0x08), "ST"},
	{FL_OID(0x55, 0x04, 0x07), "L"},
	{FL_OID(0x55, 0x04, 0x05), "serialNumber"},
	{FL_OID(0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19), "DC"},
};

struct text {
	char *buf;
	size_t len; /* FL_NAME_TEXT - 4 at most, which leaves room for "..." */
	bool cut;
};

static void put_char(struct text *text, char c)
{
	if (text->len < FL_NAME_TEXT - 4) {
		text->buf[text->len++] = c;
	} else {
		text->cut = true;
	}
}

static void put_string(struct text *text, const char *string)
{
	while (*string) {
		put_char(text, *string++);
	}
}

static void put_attribute(struct text *text, const struct attribute *attribute)
{
	size_t width = width_of(attribute->tag), i = 0;
	const char *name = "?";

	while (i < FL_COUNT_OF(shown) && !fl_span_equal(shown[i].oid, attribute->oid)) {
		i++;
	}
	if (i < FL_COUNT_OF(shown)) {
		name = shown[i].name;
	}
	if (text->len > 0) {
		put_string(text, ", ");
	}
	put_string(text, name);
	put_char(text, '=');
	/* Text from a peer may contain any bytes. */
	for (i = width - 1; i < attribute->value.len; i += width) {
		uint8_t c = attribute->value.data[i];

		put_char(text, c >= ' ' && c <= '~' ? (char)c : '?');
	}
}

/* Writes its common names, or all other attributes. */
static void put_name(struct text *text, struct fl_span name, bool common)
{
	struct attribute attribute;
	struct fl_span rdn;

	while (fl_asn1_take(&name, FL_ASN1_SET, &rdn)) {
		while (take_attribute(&rdn, &attribute)) {
			if (fl_span_equal(attribute.oid, oid_common_name) == common) {
				put_attribute(text, &attribute);
			}
		}
	}
}

const char *fl_name_text(struct fl_span name, char buf[FL_NAME_TEXT])
{
	struct text text = {.buf = buf};

	put_name(&text, name, true);
	put_name(&text, name, false);
	if (text.len == 0) {
		put_string(&text, "without a name");
	}
	(void)snprintf(buf + text.len, FL_NAME_TEXT - text.len, "%s", text.cut ? "..." : "");
	return buf;
}
