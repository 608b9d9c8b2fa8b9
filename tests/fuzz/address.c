/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses and networks: as text, which is the same after a second reading, and as the kernel gives them. */
#include "base/addr.h"
#include "base/cidr.h"
#include "base/inet.h"
#include "fuzz.h"

static void try_address(const char *text, unsigned allow)
{
	struct fl_addr addr, again;
	struct fl_err err;
	char buf[FL_ADDR_TEXT], twice[FL_ADDR_TEXT];

	if (fl_addr_parse(text, allow, &addr, &err) != FL_OK) {
		FL_REQUIRE(err.code == FL_ERR_INVALID && err.text[0] != '\0');
		return;
	}
	FL_REQUIRE(addr.kind != FL_ADDR_NONE);
	FL_REQUIRE(addr.kind != FL_ADDR_ANY || (allow & FL_ADDR_ALLOW_ANY) != 0);
	FL_REQUIRE(addr.kind != FL_ADDR_NAME || (allow & FL_ADDR_ALLOW_NAME) != 0);
	FL_REQUIRE(addr.kind != FL_ADDR_UNIX || (allow & FL_ADDR_ALLOW_UNIX) != 0);
	fl_addr_format(&addr, buf);
	FL_REQUIRE(strlen(buf) < FL_ADDR_TEXT);
	FL_REQUIRE(fl_addr_parse(buf, allow, &again, &err) == FL_OK);
	FL_REQUIRE(strcmp(fl_addr_format(&again, twice), buf) == 0);
	FL_REQUIRE(addr.kind != FL_ADDR_IP || again.port == addr.port);
}

static void try_network(const char *text, const char *other)
{
	struct fl_cidr a, b;
	struct fl_err err;
	char buf[FL_CIDR_TEXT];

	if (fl_cidr_parse(text, &a, &err) != FL_OK) {
		FL_REQUIRE(err.code == FL_ERR_INVALID && err.text[0] != '\0');
		return;
	}
	FL_REQUIRE(a.bits <= (a.family == AF_INET ? 32 : 128));
	FL_REQUIRE(fl_cidr_covers(&a, &a));
	FL_REQUIRE(fl_cidr_parse(fl_cidr_format(&a, buf), &b, &err) == FL_OK);
	FL_REQUIRE(fl_cidr_equal(&a, &b));
	if (fl_cidr_parse(other, &b, NULL) == FL_OK) {
		bool both = fl_cidr_covers(&a, &b) && fl_cidr_covers(&b, &a);

		FL_REQUIRE(both == fl_cidr_equal(&a, &b));
	}
}

/* Of the size that its family says, as accept() gives it. */
static void try_socket(struct fl_span in)
{
	union fl_sockaddr sa;
	struct fl_inet inet, network;
	struct fl_cidr net;
	char buf[FL_ADDR_TEXT];

	memset(&sa, 0, sizeof(sa));
	memcpy(&sa, in.data, in.len < sizeof(sa) ? in.len : sizeof(sa));
	sa.any.sa_family = (sa_family_t)(in.data[0] % 2 == 0 ? AF_INET6 : AF_INET);
	inet = fl_inet_of(&sa.any);
	FL_REQUIRE(inet.family == AF_INET || inet.family == AF_INET6);
	union fl_sockaddr back = fl_inet_sockaddr(&inet);
	struct fl_inet again = fl_inet_of(&back.any);
	FL_REQUIRE(fl_inet_equal(&inet, &again));
	FL_REQUIRE(fl_inet_hash(&inet) == fl_inet_hash(&again));
	FL_REQUIRE(strlen(fl_inet_format(&inet, buf)) < FL_ADDR_TEXT);
	FL_REQUIRE(strlen(fl_sockaddr_format(&sa.any, buf)) < FL_ADDR_TEXT);
	network = fl_inet_network(&inet);
	again = fl_inet_network(&network);
	FL_REQUIRE(fl_inet_equal(&network, &again));
	(void)fl_inet_is_loopback(&inet);
	(void)fl_inet_is_nat64(inet.ip);
	FL_REQUIRE(fl_cidr_of(&sa.any, &net) && fl_cidr_is_single(&net));
}

/* What is allowed, then two words, then the bytes of a socket address. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	unsigned allow = fuzz_u8(&in);
	char *first = fuzz_string(fuzz_take_word(&in)), *second = fuzz_string(fuzz_take_word(&in));

	try_address(first, allow);
	try_address(second, allow);
	try_network(first, second);
	try_network(second, first);
	if (in.len > 0) {
		try_socket(in);
	}
	free(first);
	free(second);
	return 0;
}
