/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_INET_H
#define FL_BASE_INET_H
/* inet - an IP address and a port, packed into 24 bytes (a sockaddr has 28 or 110), because each connection has several.
 *
 * Pure, plain storage without padding: equal ones are equal byte for byte, so it can be a key. Thread: any.
 * IPv4 written inside IPv6 (`::ffff:10.0.0.1`) is IPv4 throughout. */
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct fl_inet {
	uint8_t ip[16];  /* network byte order; IPv4 in the first four, zeros behind it */
	uint32_t scope;  /* of a link-local IPv6 address: its interface */
	uint16_t port;   /* host byte order */
	uint16_t family; /* AF_INET or AF_INET6; 0: there is none */
};

/* family is 0 when sa is neither IPv4 nor IPv6. */
struct fl_inet fl_inet_of(const struct sockaddr *sa);
/* family must not be 0. */
union fl_sockaddr fl_inet_sockaddr(const struct fl_inet *inet);
bool fl_inet_equal(const struct fl_inet *a, const struct fl_inet *b);
/* Its network: the /24 (IPv4) or /64 (IPv6), without a port, because one party often has all addresses of it. Family 0 stays
 * what it is. */
struct fl_inet fl_inet_network(const struct fl_inet *inet);
/* Equal ones have the same, and others seldom; nobody is kept from looking for those. */
uint32_t fl_inet_hash(const struct fl_inet *inet);
bool fl_inet_is_loopback(const struct fl_inet *inet);
/* Is this IPv6 address one with an IPv4 address in its last four bytes that a network may translate to that (RFC 6052
 * section 2.1)? */
bool fl_inet_is_nat64(const uint8_t ip[16]);

/* As fl_sockaddr_format(): "10.0.0.1:80", "[::1]:80"; "-" for none. buf of FL_ADDR_TEXT bytes; returns buf. */
const char *fl_inet_format(const struct fl_inet *inet, char *buf);

#endif
