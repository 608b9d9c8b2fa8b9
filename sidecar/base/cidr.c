/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V4_BITS 32u
#define V6_BITS 128u
#define MAPPED_BITS 96u /* of ::ffff:0:0/96 */

static unsigned bits_of(sa_family_t family)
{
	return family == AF_INET ? V4_BITS : V6_BITS;
}

static void clear_behind_prefix(struct fl_cidr *net)
{
	for (unsigned i = 0; i < sizeof(net->addr); i++) {
		unsigned kept = net->bits > i * 8 ? net->bits - i * 8 : 0;

		if (kept < 8) {
			net->addr[i] = (uint8_t)(net->addr[i] & ~(0xffu >> kept));
		}
	}
}

/* ::ffff:a.b.c.d/(96+n) is a.b.c.d/n. */
static void unmap(struct fl_cidr *net)
{
	static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

	if (net->family == AF_INET6 && net->bits >= MAPPED_BITS &&
	    memcmp(net->addr, mapped, sizeof(mapped)) == 0) {
		net->family = AF_INET;
		net->bits = (uint8_t)(net->bits - MAPPED_BITS);
		memmove(net->addr, net->addr + 12, 4);
		memset(net->addr + 4, 0, 12);
	}
}

static int parse_bits(const char *text, const char *bits, struct fl_cidr *net, struct fl_err *err)
{
	char *end;
	long value = strtol(bits, &end, 10);

	if (bits[0] < '0' || bits[0] > '9' || *end != '\0' || (bits[0] == '0' && bits[1] != '\0') ||
	    value > (long)bits_of(net->family)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: write a number from 0 to %u after the slash", text,
				  bits_of(net->family));
	}
	net->bits = (uint8_t)value;
	return 0;
}

static int refuse(const char *text, struct fl_err *err)
{
	return fl_err_set(
		err, FL_ERR_INVALID,
		strchr(text, '%') != NULL
			? "`%.100s`: zones (`%%eth0`) are not supported, use a global address"
			: "`%.100s` is not a network: write 10.0.0.0/8, fd00::/8 or one "
			  "address",
		text);
}

int fl_cidr_parse(const char *text, struct fl_cidr *ret, struct fl_err *err)
{
	const char *slash = strchr(text, '/'), *first = text;
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char host[INET6_ADDRSTRLEN], good[FL_CIDR_TEXT];
	struct fl_cidr net = {.family = AF_INET}, exact;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') { /* as in addresses with ports */
		first++;
		len -= 2;
	}
	(void)snprintf(host, sizeof(host), "%.*s", (int)(len < sizeof(host) ? len : 0), first);
	if (inet_pton(AF_INET, host, net.addr) != 1) {
		net.family = AF_INET6;
		if (inet_pton(AF_INET6, host, net.addr) != 1) {
			return refuse(text, err);
		}
	}
	net.bits = (uint8_t)bits_of(net.family);
	if (slash != NULL) {
		int rc = parse_bits(text, slash + 1, &net, err);

		if (rc != 0) {
			return rc;
		}
	}
	unmap(&net);
	exact = net;
	clear_behind_prefix(&exact);
	if (memcmp(exact.addr, net.addr, sizeof(net.addr)) != 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` has bits set after its prefix: write %s", text,
				  fl_cidr_format(&exact, good));
	}
	*ret = net;
	return 0;
}

struct fl_cidr fl_cidr_widened(const struct fl_cidr *net, unsigned bits)
{
	struct fl_cidr wide = *net;

	wide.bits = (uint8_t)bits;
	clear_behind_prefix(&wide);
	return wide;
}

bool fl_cidr_of(const struct sockaddr *sa, struct fl_cidr *ret)
{
	struct fl_cidr net = {.family = sa->sa_family};

	if (sa->sa_family == AF_INET) {
		memcpy(net.addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(net.addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	} else {
		return false;
	}
	net.bits = (uint8_t)bits_of(net.family);
	unmap(&net);
	*ret = net;
	return true;
}

union fl_sockaddr fl_cidr_sockaddr(const struct fl_cidr *net)
{
	union fl_sockaddr sa;

	memset(&sa, 0, sizeof(sa));
	sa.any.sa_family = net->family;
	if (net->family == AF_INET) {
		memcpy(&sa.in.sin_addr, net->addr, 4);
	} else {
		memcpy(&sa.in6.sin6_addr, net->addr, 16);
	}
	return sa;
}

bool fl_cidr_is_loopback(const struct fl_cidr *net)
{
	return net->bits >= (net->family == AF_INET ? 8 : V6_BITS) &&
	       fl_ip_is_loopback(net->family, net->addr);
}

bool fl_cidr_covers(const struct fl_cidr *wide, const struct fl_cidr *narrow)
{
	unsigned whole = wide->bits / 8u, rest = wide->bits % 8u;

	if (wide->family != narrow->family || wide->bits > narrow->bits ||
	    memcmp(wide->addr, narrow->addr, whole) != 0) {
		return false;
	}
	return rest == 0 || ((wide->addr[whole] ^ narrow->addr[whole]) >> (8u - rest)) == 0;
}

bool fl_cidr_equal(const struct fl_cidr *a, const struct fl_cidr *b)
{
	return a->bits == b->bits && fl_cidr_covers(a, b);
}

bool fl_cidr_is_single(const struct fl_cidr *net)
{
	return net->bits == bits_of(net->family);
}

const char *fl_cidr_format(const struct fl_cidr *net, char *buf)
{
	size_t len;

	(void)inet_ntop(net->family, net->addr, buf, INET6_ADDRSTRLEN);
	len = strlen(buf);
	if (!fl_cidr_is_single(net)) {
		(void)snprintf(buf + len, FL_CIDR_TEXT - len, "/%u", net->bits);
	}
	return buf;
}
