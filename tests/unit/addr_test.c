/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses of the INI: accepted and refused forms, and their output. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"

enum { ANY = FL_ADDR_ALLOW_ANY, NAME = FL_ADDR_ALLOW_NAME, UNIX = FL_ADDR_ALLOW_UNIX };
#define ALL (ANY | NAME | UNIX)

#define LABEL63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
#define NAME_253 LABEL63 "." LABEL63 "." LABEL63 "." LABEL63_SHORT
#define LABEL63_SHORT "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"

Test(addr, test_addr__every_form__is_parsed_and_written_back)
{
	static const struct {
		const char *text;
		unsigned allow;
		enum fl_addr_kind kind;
		uint16_t port;
		int family;       /* 0: a name */
		const char *want; /* NULL: as text */
	} rows[] = {
		{"127.0.0.1:1", 0, FL_ADDR_IP, 1, AF_INET, NULL},
		{"255.255.255.255:65535", 0, FL_ADDR_IP, 65535, AF_INET, NULL},
		{"0.0.0.0:80", 0, FL_ADDR_IP, 80, AF_INET, NULL},
		{"[::1]:8080", 0, FL_ADDR_IP, 8080, AF_INET6, NULL},
		{"[::]:8080", 0, FL_ADDR_IP, 8080, AF_INET6, NULL},
		{"[2001:DB8:0:0:0:0:0:1]:443", 0, FL_ADDR_IP, 443, AF_INET6, "[2001:db8::1]:443"},
		{"[::ffff:10.0.0.1]:443", 0, FL_ADDR_IP, 443, AF_INET, "10.0.0.1:443"},
		{"*:15020", ANY, FL_ADDR_ANY, 15020, AF_INET6, NULL},
		{"127.0.0.1:0", FL_ADDR_ALLOW_ZERO, FL_ADDR_IP, 0, AF_INET, NULL},
		{"*:0", ANY | FL_ADDR_ALLOW_ZERO, FL_ADDR_ANY, 0, AF_INET6, NULL},
		{"localhost:80", NAME, FL_ADDR_NAME, 80, 0, NULL},
		{"a:80", NAME, FL_ADDR_NAME, 80, 0, NULL},
		{"ledger.prod.svc.cluster.local:8443", NAME, FL_ADDR_NAME, 8443, 0, NULL},
		{"ledger.prod.svc.cluster.local.:8443", NAME, FL_ADDR_NAME, 8443, 0, NULL},
		{"my_db-1.example:5432", NAME, FL_ADDR_NAME, 5432, 0, NULL},
		{"1password.com:443", NAME, FL_ADDR_NAME, 443, 0, NULL},
		{LABEL63 ":80", NAME, FL_ADDR_NAME, 80, 0, NULL},
		{NAME_253 ":80", NAME, FL_ADDR_NAME, 80, 0, NULL},
		{"unix:/run/app/web.sock", UNIX, FL_ADDR_UNIX, 0, AF_UNIX, NULL},
		{"unix:/a:80", UNIX, FL_ADDR_UNIX, 0, AF_UNIX, NULL},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_addr addr;
		struct fl_err err = {0};
		char text[FL_ADDR_TEXT];

		cr_assert_eq(fl_addr_parse(rows[i].text, rows[i].allow, &addr, &err), 0, "%s: %s",
			     rows[i].text, err.text);
		cr_expect_eq(addr.kind, rows[i].kind, "%s", rows[i].text);
		cr_expect_eq(addr.port, rows[i].port, "%s", rows[i].text);
		cr_expect_eq(addr.sa.any.sa_family, rows[i].family, "%s", rows[i].text);
		if (rows[i].family == AF_INET) {
			cr_expect_eq(addr.sa_len, sizeof(struct sockaddr_in));
			cr_expect_eq(ntohs(addr.sa.in.sin_port), rows[i].port);
		} else if (rows[i].family == AF_INET6) {
			cr_expect_eq(addr.sa_len, sizeof(struct sockaddr_in6));
			cr_expect_eq(ntohs(addr.sa.in6.sin6_port), rows[i].port);
		}
		cr_expect_str_eq(fl_addr_format(&addr, text),
				 rows[i].want != NULL ? rows[i].want : rows[i].text);
	}
}

Test(addr, test_addr__what_is_none__is_refused_with_a_reason)
{
	static const struct {
		const char *text;
		unsigned allow;
		const char *part; /* of the message */
	} rows[] = {
		{"", ALL, "not an address"},
		{":80", ALL, "not an address"},
		{"80", ALL, "not an address"},
		{"127.0.0.1", ALL, "not an address"},
		{"localhost", ALL, "not an address"},
		{"127.0.0.1:", ALL, "port after the colon"},
		{"127.0.0.1:0", ALL, "port 0"},
		{"127.0.0.1:65536", ALL, "1 to 65535"},
		{"127.0.0.1:99999999999999999999", ALL, "1 to 65535"},
		{"127.0.0.1:080", ALL, "1 to 65535"},
		{"127.0.0.1:+80", ALL, "not a number"},
		{"127.0.0.1:-80", ALL, "not a number"},
		{"127.0.0.1:80x", ALL, "not a number"},
		{"127.0.0.1: 80", ALL, "not a number"},
		{"127.0.0.1:http", ALL, "not a number"},
		{"127.0.0.256:80", ALL, "not an IPv4 address"},
		{"127.0.0:80", ALL, "not an IPv4 address"},
		{"127.0.0.01:80", ALL, "not an IPv4 address"},
		{"127.0.0.1.:80", ALL, "not an IPv4 address"},
		{"10.0.0.0/8:80", ALL, "neither"},
		{"::1:80", ALL, "brackets"},
		{"2001:db8::1", ALL, "brackets"},
		{"[::1]", ALL, "[V6]:PORT"},
		{"[::1", ALL, "[V6]:PORT"},
		{"[::1]80", ALL, "[V6]:PORT"},
		{"[::1]:", ALL, "port after the colon"},
		{"[]:80", ALL, "not an IPv6 address"},
		{"[::g]:80", ALL, "not an IPv6 address"},
		{"[127.0.0.1]:80", ALL, "not an IPv6 address"},
		{"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80", ALL, "not an IPv6"},
		{"[fe80::1%eth0]:80", ALL, "zones"},
		{"*:80", NAME | UNIX, "listen"},
		{"*:", ALL, "port after the colon"},
		{"**:80", ALL, "neither"},
		{"localhost:80", ANY | UNIX, "DNS name is not allowed"},
		{"-a:80", ALL, "neither"},
		{"a-:80", ALL, "neither"},
		{"a-.b:80", ALL, "neither"},
		{"a..b:80", ALL, "neither"},
		{".a:80", ALL, "neither"},
		{"a b:80", ALL, "neither"},
		{"a\xc3\xa9:80", ALL, "neither"},
		{"http://a:80", ALL, "brackets"},
		{LABEL63 "x:80", ALL, "neither"},
		{NAME_253 "x:80", ALL, "neither"},
		{NAME_253 "xxxxxxx:80", ALL, "253 bytes"},
		{"unix:/run/x", ANY | NAME, "Unix socket is not allowed"},
		{"unix:run/x", ALL, "must begin with `/`"},
		{"unix:", ALL, "must begin with `/`"},
		{"unix:@abstract", ALL, "must begin with `/`"},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_addr addr = {.port = 77};
		struct fl_err err = {0};

		cr_expect_eq(fl_addr_parse(rows[i].text, rows[i].allow, &addr, &err),
			     FL_ERR_INVALID, "`%s` is accepted", rows[i].text);
		cr_expect_eq(addr.port, 77, "`%s`: result touched", rows[i].text);
		cr_expect_not_null(strstr(err.text, rows[i].part), "`%s`: %s", rows[i].text,
				   err.text);
	}
}

Test(addr, test_addr__unix_path__may_fill_the_socket_address_but_not_more)
{
	size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	char text[200] = "unix:/";
	char written[FL_ADDR_TEXT];
	struct fl_addr addr;

	memset(text + strlen(text), 'a', room - 1);
	text[strlen("unix:") + room] = '\0';
	cr_expect_eq(fl_addr_parse(text, ALL, &addr, NULL), FL_ERR_INVALID);
	text[strlen("unix:") + room - 1] = '\0';
	cr_expect_eq(fl_addr_parse(text, ALL, &addr, NULL), 0);
	cr_expect_eq(addr.sa_len, sizeof(struct sockaddr_un));
	cr_expect_str_eq(fl_addr_format(&addr, written), text);
}

Test(addr, test_addr__socket_addresses__are_written_for_people)
{
	char text[FL_ADDR_TEXT];
	struct fl_addr none = {.kind = FL_ADDR_NONE};
	union fl_sockaddr sa;

	cr_expect_str_eq(fl_addr_format(&none, text), "-");
	cr_expect_str_eq(fl_sockaddr_format(NULL, text), "-");

	memset(&sa, 0, sizeof(sa));
	cr_expect_str_eq(fl_sockaddr_format(&sa.any, text), "-");

	sa.in6.sin6_family = AF_INET6;
	sa.in6.sin6_port = htons(443);
	cr_assert_eq(inet_pton(AF_INET6, "::ffff:192.0.2.7", &sa.in6.sin6_addr), 1);
	cr_expect_str_eq(fl_sockaddr_format(&sa.any, text), "192.0.2.7:443");
	cr_assert_eq(inet_pton(AF_INET6, "fe80::1", &sa.in6.sin6_addr), 1);
	sa.in6.sin6_scope_id = 3;
	cr_expect_str_eq(fl_sockaddr_format(&sa.any, text), "[fe80::1%3]:443");

	memset(&sa, 0, sizeof(sa));
	sa.un.sun_family = AF_UNIX;
	cr_expect_str_eq(fl_sockaddr_format(&sa.any, text), "unix:");
	memset(sa.un.sun_path, 'a', sizeof(sa.un.sun_path)); /* full, without a NUL */
	cr_expect_eq(strlen(fl_sockaddr_format(&sa.any, text)),
		     strlen("unix:") + sizeof(sa.un.sun_path));
}

Test(addr, test_addr__loopback_and_unspecified)
{
	static const struct {
		const char *text;
		bool is_loopback, is_unspecified;
	} cases[] = {
		{"127.0.0.1:1", true, false},
		{"127.255.0.9:1", true, false},
		{"[::1]:1", true, false},
		{"[::ffff:127.0.0.1]:1", true, false},
		{"128.0.0.1:1", false, false},
		{"[::2]:1", false, false},
		{"[::127.0.0.1]:1", false, false},
		{"[::ffff:10.0.0.1]:1", false, false},
		{"[7f00::1]:1", false, false},
		{"0.0.0.0:1", false, true},
		{"[::]:1", false, true},
		{"[::ffff:0.0.0.0]:1", false, true},
		{"*:1", false, false},
		{"localhost:1", false, false},
		{"unix:/127.0.0.1", false, false},
	};
	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct fl_addr addr;

		cr_assert_eq(
			fl_addr_parse(cases[i].text,
				      FL_ADDR_ALLOW_ANY | FL_ADDR_ALLOW_NAME | FL_ADDR_ALLOW_UNIX,
				      &addr, NULL),
			0);
		cr_expect_eq(fl_addr_is_loopback(&addr), cases[i].is_loopback, "%s", cases[i].text);
		cr_expect_eq(fl_addr_is_unspecified(&addr), cases[i].is_unspecified, "%s",
			     cases[i].text);
	}
	cr_expect(fl_ip_is_loopback(AF_INET6, mapped));
	mapped[12] = 126;
	cr_expect_not(fl_ip_is_loopback(AF_INET6, mapped));
}
