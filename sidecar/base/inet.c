/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the kernel's addresses to packed ones and back. Nothing here fails. */
#include "base/inet.h"

#include <string.h>

#include "base/hash.h"

_Static_assert(sizeof(struct fl_inet) == 24, "no padding: it is compared byte for byte");

static struct fl_inet of_v6(const struct sockaddr_in6 *in6)
{
	struct fl_inet inet = {.family = AF_INET6, .port = ntohs(in6->sin6_port)};

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		inet.family = AF_INET;
		memcpy(inet.ip, &in6->sin6_addr.s6_addr[12], 4);
		return inet;
	}
	memcpy(inet.ip, &in6->sin6_addr, 16);
	/* The kernel fills it in for others, too, where it says nothing. */
	inet.scope = IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ? in6->sin6_scope_id : 0;
	return inet;
}

struct fl_inet fl_inet_of(const struct sockaddr *sa)
{
	const union fl_sockaddr *any = (const union fl_sockaddr *)(const void *)sa;
	struct fl_inet inet = {0};

	if (sa->sa_family == AF_INET) {
		inet.family = AF_INET;
		inet.port = ntohs(any->in.sin_port);
		memcpy(inet.ip, &any->in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		inet = of_v6(&any->in6);
	}
	return inet;
}

union fl_sockaddr fl_inet_sockaddr(const struct fl_inet *inet)
{
	union fl_sockaddr sa;

	memset(&sa, 0, sizeof(sa));
	if (inet->family == AF_INET) {
		sa.in.sin_family = AF_INET;
		sa.in.sin_port = htons(inet->port);
		memcpy(&sa.in.sin_addr, inet->ip, 4);
	} else if (inet->family == AF_INET6) {
		sa.in6.sin6_family = AF_INET6;
		sa.in6.sin6_port = htons(inet->port);
		sa.in6.sin6_scope_id = inet->scope;
		memcpy(&sa.in6.sin6_addr, inet->ip, 16);
	}
	return sa;
}

bool fl_inet_equal(const struct fl_inet *a, const struct fl_inet *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool fl_inet_is_loopback(const struct fl_inet *inet)
{
	return fl_ip_is_loopback(inet->family, inet->ip);
}

struct fl_inet fl_inet_network(const struct fl_inet *inet)
{
	struct fl_inet network = {.family = inet->family, .scope = inet->scope};

	memcpy(network.ip, inet->ip, inet->family == AF_INET ? 3 : 8);
	return network;
}

uint32_t fl_inet_hash(const struct fl_inet *inet)
{
	return fl_hash_bytes(FL_HASH_INIT, inet, sizeof(*inet));
}

bool fl_inet_is_nat64(const uint8_t ip[16])
{
	static const uint8_t prefix[12] = {0x00, 0x64, 0xff, 0x9b};

	return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

const char *fl_inet_format(const struct fl_inet *inet, char *buf)
{
	union fl_sockaddr sa = fl_inet_sockaddr(inet);

	return fl_sockaddr_format(&sa.any, buf);
}
