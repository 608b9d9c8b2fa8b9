/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "base/addr.h"
#include "base/cidr.h"
#include "base/mem.h"

static union fl_sockaddr address(const char *text)
{
	union fl_sockaddr sa = {0};

	if (inet_pton(AF_INET, text, &sa.in.sin_addr) == 1) {
		sa.in.sin_family = AF_INET;
	} else {
		sa.in6.sin6_family = AF_INET6;
		cr_assert_eq(inet_pton(AF_INET6, text, &sa.in6.sin6_addr), 1);
	}
	return sa;
}

Test(cidr, has)
{
	static const struct {
		const char *net, *addr;
		bool inside;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0", true},
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false},
		{"10.1.2.0/23", "10.1.3.255", true},
		{"10.1.2.0/23", "10.1.4.0", false},
		{"10.1.2.3", "10.1.2.3", true},
		{"10.1.2.3", "10.1.2.4", false},
		{"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "::1", true},
		{"::/0", "10.0.0.1", false},
		{"fd00::/8", "fdff::1", true},
		{"fd00::/8", "fe00::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"10.0.0.0/8", "::ffff:10.2.3.4", true},
		{"::ffff:10.0.0.0/104", "10.2.3.4", true},
		{"::ffff:10.0.0.0/104", "11.2.3.4", false},
		{"::ffff:10.0.0.1", "10.0.0.1", true},
		{"[fd00::1]", "fd00::1", true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union fl_sockaddr sa = address(rows[i].addr);
		struct fl_cidr net, one;

		cr_assert_eq(fl_cidr_parse(rows[i].net, &net, NULL), 0, "%s", rows[i].net);
		cr_assert(fl_cidr_of(&sa.any, &one));
		cr_expect_eq(fl_cidr_covers(&net, &one), rows[i].inside, "%s in %s", rows[i].addr,
			     rows[i].net);
	}
}

Test(cidr, format)
{
	static const char *const rows[][2] = {{"10.0.0.0/8", "10.0.0.0/8"},
					      {"10.0.0.1/32", "10.0.0.1"},
					      {"fd00:0:0::/8", "fd00::/8"},
					      {"::1/128", "::1"},
					      {"::ffff:10.0.0.0/104", "10.0.0.0/8"}};
	char buf[FL_CIDR_TEXT];
	struct fl_cidr net;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(fl_cidr_parse(rows[i][0], &net, NULL), 0);
		cr_expect_str_eq(fl_cidr_format(&net, buf), rows[i][1]);
	}
}

Test(cidr, refuses)
{
	static const char *const rows[][2] = {
		{"", "is not a network"},
		{"10.0.0", "is not a network"},
		{"10.0.0.0/33", "a number from 0 to 32"},
		{"10.0.0.0/", "a number from 0 to 32"},
		{"10.0.0.0/08", "a number from 0 to 32"},
		{"10.0.0.0/8x", "a number from 0 to 32"},
		{"10.0.0.0/-1", "a number from 0 to 32"},
		{"::/129", "a number from 0 to 128"},
		{"10.0.0.1/8", "after its prefix: write 10.0.0.0/8"},
		{"fd00::1/64", "after its prefix: write fd00::/64"},
		{"example.com", "is not a network"},
		{"[fd00::x]", "`[fd00::x]` is not a network"},
		{"[fd00::x]/8", "`[fd00::x]/8` is not a network"},
		{"[fd00::]/129", "`[fd00::]/129`: write a number"},
		{"[fe80::1%eth0]", "`[fe80::1%eth0]`: zones (`%eth0`) are not supported"},
		{"fe80::1%eth0", "zones"},
		{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", "is not a network"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fl_cidr net;
		struct fl_err err = {0};

		cr_expect_eq(fl_cidr_parse(rows[i][0], &net, &err), FL_ERR_INVALID, "%s",
			     rows[i][0]);
		cr_expect(strstr(err.text, rows[i][1]) != NULL, "%s: %s", rows[i][0], err.text);
	}
}

Test(cidr, covers)
{
	static const struct {
		const char *wide, *narrow;
		bool covers;
	} rows[] = {
		{"10.0.0.0/8", "10.1.0.0/16", true}, {"10.1.0.0/16", "10.0.0.0/8", false},
		{"10.0.0.0/8", "10.0.0.0/8", true},  {"10.0.0.0/8", "fd00::/8", false},
		{"0.0.0.0/0", "10.0.0.1", true},     {"10.0.0.0/9", "10.128.0.0/9", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fl_cidr wide, narrow;

		cr_assert_eq(fl_cidr_parse(rows[i].wide, &wide, NULL), 0);
		cr_assert_eq(fl_cidr_parse(rows[i].narrow, &narrow, NULL), 0);
		cr_expect_eq(fl_cidr_covers(&wide, &narrow), rows[i].covers, "%s %s", rows[i].wide,
			     rows[i].narrow);
	}
}

Test(cidr, loopback)
{
	static const struct {
		const char *text;
		bool is_loopback;
	} cases[] = {{"127.0.0.0/8", true},  {"127.0.0.1", true},  {"::1", true},
		     {"126.0.0.0/7", false}, {"0.0.0.0/0", false}, {"::/127", false},
		     {"::/0", false},        {"128.0.0.1", false}, {"::ffff:127.0.0.1", true}};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct fl_cidr net;

		cr_assert_eq(fl_cidr_parse(cases[i].text, &net, NULL), 0);
		cr_expect_eq(fl_cidr_is_loopback(&net), cases[i].is_loopback, "%s", cases[i].text);
	}
}

Test(cidr, sockaddr)
{
	struct fl_cidr net, again;
	union fl_sockaddr sa;

	cr_assert_eq(fl_cidr_parse("10.0.0.1", &net, NULL), 0);
	sa = fl_cidr_sockaddr(&net);
	cr_expect(fl_cidr_of(&sa.any, &again) && fl_cidr_equal(&net, &again));
	cr_assert_eq(fl_cidr_parse("fd00::1", &net, NULL), 0);
	sa = fl_cidr_sockaddr(&net);
	cr_expect(fl_cidr_of(&sa.any, &again) && fl_cidr_equal(&net, &again));
}
