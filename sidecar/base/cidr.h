/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_CIDR_H
#define FL_BASE_CIDR_H
/* cidr - a network: `10.0.0.0/8`, `fd00::/8`, and one address, `10.0.0.1`.
 *
 * Pure, plain storage. Thread: any. IPv4 written inside IPv6 is IPv4 throughout, so that an IPv4 peer of a
 * dual-stack listener (`::ffff:10.0.0.1`) is inside 10.0.0.0/8. */
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

struct fl_cidr {
	sa_family_t family; /* AF_INET or AF_INET6 */
	uint8_t bits;       /* of the prefix: at most 32 or 128 */
	uint8_t addr[16];   /* network byte order, zeros after the prefix; IPv4 in the first four */
};

/* Errors: FL_ERR_INVALID, also for bits that are set behind the prefix (`10.0.0.1/8`), with what to write. */
int fl_cidr_parse(const char *text, struct fl_cidr *ret, struct fl_err *err) FL_MUST_USE;
/* The network of that one address; false: it is neither IPv4 nor IPv6. */
bool fl_cidr_of(const struct sockaddr *sa, struct fl_cidr *ret);
/* Its first address, with port 0. */
union fl_sockaddr fl_cidr_sockaddr(const struct fl_cidr *net);
/* Are all of its addresses ones of this machine's loopback? */
bool fl_cidr_is_loopback(const struct fl_cidr *net);
/* The network of that many bits around net, which has at least as many. */
struct fl_cidr fl_cidr_widened(const struct fl_cidr *net, unsigned bits);
bool fl_cidr_covers(const struct fl_cidr *wide, const struct fl_cidr *narrow); /* or is equal */
bool fl_cidr_equal(const struct fl_cidr *a, const struct fl_cidr *b);
bool fl_cidr_is_single(const struct fl_cidr *net); /* one address only */

/* "10.0.0.0/8", "10.0.0.1"; buf of FL_CIDR_TEXT bytes; returns buf. */
#define FL_CIDR_TEXT (INET6_ADDRSTRLEN + 4)
const char *fl_cidr_format(const struct fl_cidr *net, char *buf);

#endif
