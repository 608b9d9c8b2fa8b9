/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Only the first address of each family is tested: a family either has a route or has none. */
#include "server/family_order.h"

#include <unistd.h>

#include "base/addr.h"

#define ANY_PORT 9 /* nothing is ever sent there */

/* connect() on a datagram socket sends nothing; it only looks up the route. */
static bool is_usable(union fl_sockaddr addr)
{
	int fd = socket(addr.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_v4 = addr.any.sa_family == AF_INET;
	int rc;

	if (fd < 0) {
		return false;
	}
	if (is_v4) {
		addr.in.sin_port = htons(ANY_PORT);
	} else {
		addr.in6.sin6_port = htons(ANY_PORT);
	}
	rc = connect(fd, &addr.any, is_v4 ? sizeof(addr.in) : sizeof(addr.in6));
	(void)close(fd);
	return rc == 0;
}

/* RFC 6724 section 2.1 */
static unsigned precedence(const union fl_sockaddr *addr)
{
	const uint8_t *bytes = addr->in6.sin6_addr.s6_addr;

	if (addr->any.sa_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr)) {
		return 35;
	}
	if (fl_ip_is_loopback(AF_INET6, bytes)) {
		return 50;
	}
	if (bytes[0] == 0x20 && bytes[1] == 0x02) { /* 6to4 */
		return 30;
	}
	if (bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] == 0 && bytes[3] == 0) { /* Teredo */
		return 5;
	}
	return (bytes[0] & 0xfe) == 0xfc ? 3 : 40; /* unique local, or the rest */
}

unsigned fl_family_goes_first(const struct fl_name *name)
{
	const struct fl_name_half *v4 = &name->halves[0], *v6 = &name->halves[1];
	bool v4_is_usable, v6_is_usable;

	if (v4->count == 0 || v6->count == 0) {
		return v4->count == 0;
	}
	v4_is_usable = is_usable(v4->items[0].addr);
	v6_is_usable = is_usable(v6->items[0].addr);
	if (v4_is_usable != v6_is_usable) {
		return v6_is_usable;
	}
	return precedence(&v6->items[0].addr) > precedence(&v4->items[0].addr);
}
