/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SPIFFE-ID sections 2 and 2.1 to 2.4: every rule once accepted and once refused. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pki/spiffe.h"

static const struct {
	const char *text, *trust_domain, *path;
} good[] = {
	{"spiffe://prod.example/ns/web/sa/api", "prod.example", "/ns/web/sa/api"},
	{"spiffe://prod.example", "prod.example", NULL},
	{"spiffe://a/b", "a", "/b"},
	{"spiffe://10.0.0.1/x", "10.0.0.1", "/x"},
	{"spiffe://_a-b.c_9/A-z_0.9", "_a-b.c_9", "/A-z_0.9"},
	{"spiffe://td/...", "td", "/..."},
	{"spiffe://td/.a/..b/c.", "td", "/.a/..b/c."},
	{"spiffe://td/UPPER", "td", "/UPPER"},
};

Test(spiffe, good)
{
	for (size_t i = 0; i < FL_COUNT_OF(good); i++) {
		struct fl_spiffe_id id;
		struct fl_err err;

		cr_assert_eq(fl_spiffe_id_parse(good[i].text, strlen(good[i].text), &id, &err), 0,
			     "%s: %s", good[i].text, err.text);
		cr_assert_eq(id.text, good[i].text);
		cr_assert_eq(id.len, strlen(good[i].text));
		cr_assert_eq(id.trust_domain_len, strlen(good[i].trust_domain));
		cr_assert_arr_eq(id.trust_domain, good[i].trust_domain, id.trust_domain_len);
		if (good[i].path) {
			cr_assert_eq(id.path_len, strlen(good[i].path));
			cr_assert_arr_eq(id.path, good[i].path, id.path_len);
		} else {
			cr_assert_null(id.path);
			cr_assert_eq(id.path_len, 0);
		}
	}
}

static const struct {
	const char *text, *says;
} bad[] = {
	{"", "is empty"},
	{"spiffe", "begins with spiffe://"},
	{"spiffe:", "begins with spiffe://"},
	{"spiffe:/td/x", "begins with spiffe://"},
	{"https://td/x", "begins with spiffe://"},
	{"td/x", "begins with spiffe://"},
	{" spiffe://td/x", "begins with spiffe://"},
	{"SPIFFE://td/x", "scheme is written in lower case"},
	{"Spiffe://td/x", "scheme is written in lower case"},
	{"spiffe://", "trust domain is empty"},
	{"spiffe:///x", "trust domain is empty"},
	{"spiffe://Prod.example/x", "lower case, without 'P'"},
	{"spiffe://user@td/x", "user information"},
	{"spiffe://td:/x", "a port"},
	{"spiffe://td:443/x", "a port"},
	{"spiffe://t%64/x", "percent-encoding"},
	{"spiffe://td?/x", "a query"},
	{"spiffe://td?a=b", "a query"},
	{"spiffe://td#x", "a fragment"},
	{"spiffe://[::1]/x", "'['"},
	{"spiffe://t d/x", "byte 0x20"},
	{"spiffe://t\xc3\xa4/x", "byte 0xc3"},
	{"spiffe://td*/x", "'*'"},
	{"spiffe://t,d/x", "','"}, /* these two lie inside the range that the bracket text */
	{"spiffe://t[d/x", "'['"}, /* of the standard would be as a regular expression */
	{"spiffe://td/", "must not end in '/'"},
	{"spiffe://td/x/", "must not end in '/'"},
	{"spiffe://td//", "empty segment"},
	{"spiffe://td//x", "empty segment"},
	{"spiffe://td/x//y", "empty segment"},
	{"spiffe://td/.", "segment \".\""},
	{"spiffe://td/x/./y", "segment \".\""},
	{"spiffe://td/..", "segment \"..\""},
	{"spiffe://td/x/../y", "segment \"..\""},
	{"spiffe://td/x%2fy", "percent-encoding"},
	{"spiffe://td/x?", "a query"},
	{"spiffe://td/x?y", "a query"},
	{"spiffe://td/x#", "a fragment"},
	{"spiffe://td/x y", "byte 0x20"},
	{"spiffe://td/x\n", "byte 0x0a"},
	{"spiffe://td/x\x7f", "byte 0x7f"},
	{"spiffe://td/\xff", "byte 0xff"},
	{"spiffe://td/*", "'*'"},
	{"spiffe://td/x\\y", "'\\'"},
};

Test(spiffe, bad)
{
	for (size_t i = 0; i < FL_COUNT_OF(bad); i++) {
		struct fl_spiffe_id id = {.len = 77};
		struct fl_err err;

		cr_assert_eq(fl_spiffe_id_parse(bad[i].text, strlen(bad[i].text), &id, &err),
			     FL_ERR_INVALID, "%s was let in", bad[i].text);
		cr_assert(strstr(err.text, bad[i].says), "%s: %s", bad[i].text, err.text);
		cr_assert_eq(id.len, 77, "an out-parameter was touched");
	}
}

/* The bytes beyond len do not count, and a NUL before it is refused wherever it stands. */
Test(spiffe, length_counts)
{
	static const char text[] = "spiffe://td/x\0y";
	struct fl_spiffe_id id;
	struct fl_err err;

	cr_assert_eq(fl_spiffe_id_parse(text, 13, &id, &err), 0);
	cr_assert_eq(id.path_len, 2);
	cr_assert_eq(fl_spiffe_id_parse(text, 14, &id, &err), FL_ERR_INVALID);
	cr_assert(strstr(err.text, "byte 0x00"), "%s", err.text);
	cr_assert_eq(fl_spiffe_id_parse("spiffe://t\0d/x", 14, &id, &err), FL_ERR_INVALID);
	cr_assert(strstr(err.text, "byte 0x00"), "%s", err.text);
	cr_assert_eq(fl_spiffe_id_parse("spiffe://td/x\0", 14, &id, NULL), FL_ERR_INVALID);
}

/* begin, and letters up to the end of the array: an ID is no string. */
static void fill(char *text, size_t size, const char *begin)
{
	for (size_t i = 0; i < size; i++) {
		text[i] = i < strlen(begin) ? begin[i] : 'a';
	}
}

Test(spiffe, limits)
{
	char text[FL_SPIFFE_ID_MAX + 2];
	struct fl_spiffe_id id;
	struct fl_err err;

	fill(text, sizeof(text), "spiffe://td/");
	cr_assert_eq(fl_spiffe_id_parse(text, FL_SPIFFE_ID_MAX, &id, &err), 0, "%s", err.text);
	cr_assert_eq(fl_spiffe_id_parse(text, FL_SPIFFE_ID_MAX + 1, &id, &err), FL_ERR_INVALID);
	cr_assert(strstr(err.text, "2049 bytes, the maximum is 2048"), "%s", err.text);

	fill(text, sizeof(text), "spiffe://");
	text[9 + FL_SPIFFE_TRUST_DOMAIN_MAX] = '/';
	cr_assert_eq(fl_spiffe_id_parse(text, 9 + FL_SPIFFE_TRUST_DOMAIN_MAX + 2, &id, &err), 0,
		     "%s", err.text);
	cr_assert_eq(id.trust_domain_len, FL_SPIFFE_TRUST_DOMAIN_MAX);
	text[9 + FL_SPIFFE_TRUST_DOMAIN_MAX] = 'a';
	text[10 + FL_SPIFFE_TRUST_DOMAIN_MAX] = '/';
	cr_assert_eq(fl_spiffe_id_parse(text, 9 + FL_SPIFFE_TRUST_DOMAIN_MAX + 3, &id, &err),
		     FL_ERR_INVALID);
	cr_assert(strstr(err.text, "256 bytes, the maximum is 255"), "%s", err.text);
}

static const struct {
	const char *text, *says; /* NULL: good */
} trust_domains[] = {
	{"prod.example", NULL},
	{"a", NULL},
	{"127.0.0.1", NULL},
	{"with_under-score", NULL},
	{"", "is empty"},
	{"Prod.example", "lower case"},
	{"prod.example:443", "a port"},
	{"prod.example/x", "'/'"},
	{"spiffe://prod.example", "bare name"},
	{"SPIFFE://prod.example", "bare name"},
	{"prod example", "byte 0x20"},
};

Test(spiffe, trust_domain)
{
	for (size_t i = 0; i < FL_COUNT_OF(trust_domains); i++) {
		const char *text = trust_domains[i].text, *says = trust_domains[i].says;
		struct fl_err err = {.text = ""};
		int rc = fl_spiffe_trust_domain_check(text, strlen(text), &err);

		cr_assert_eq(rc, says ? FL_ERR_INVALID : 0, "%s: %s", text, err.text);
		cr_assert(!says || strstr(err.text, says), "%s: %s", text, err.text);
	}
}

Test(spiffe, parts_of_an_id)
{
	cr_expect_null(fl_spiffe_after_scheme("https://prod.example/a"));
	cr_expect_null(fl_spiffe_after_scheme("spiffe:/prod.example/a"));
	cr_expect_str_eq(fl_spiffe_after_scheme("spiffe://prod.example/a"), "prod.example/a");
	cr_expect_str_eq(fl_spiffe_path("spiffe://prod.example/a/b"), "/a/b");
	cr_expect_str_eq(fl_spiffe_path("spiffe://prod.example"), "");
}

Test(spiffe, is_of_domain)
{
	cr_expect(fl_spiffe_is_of_domain("spiffe://prod.example/a", "prod.example"));
	/* Neither what begins like it, nor what it begins like. */
	cr_expect_not(fl_spiffe_is_of_domain("spiffe://prod.example.org/a", "prod.example"));
	cr_expect_not(fl_spiffe_is_of_domain("spiffe://prod.example/a", "prod.example.org"));
	cr_expect_not(fl_spiffe_is_of_domain("spiffe://prod/prod.example/a", "prod.example"));
	cr_expect_not(fl_spiffe_is_of_domain("https://prod.example/a", "prod.example"));
}
