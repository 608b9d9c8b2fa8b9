/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_ADDR_H
#define FL_BASE_ADDR_H
/* addr - the addresses of the INI: `HOST:PORT`, `[V6]:PORT`, `*:PORT` (dual stack), `unix:PATH`.
 *
 * Pure: nothing is resolved. Thread: any. A struct fl_addr is plain storage, copied by value. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

enum fl_addr_kind {
	FL_ADDR_NONE, /* empty: no such listener */
	FL_ADDR_IP,   /* sa holds a sockaddr_in or sockaddr_in6 */
	FL_ADDR_ANY,  /* `*:PORT`: sa is [::]:PORT, to be bound dual stack */
	FL_ADDR_NAME, /* host holds a DNS name, port the port: needs resolving */
	FL_ADDR_UNIX, /* sa holds a sockaddr_un */
};

union fl_sockaddr {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct fl_addr {
	enum fl_addr_kind kind;
	uint16_t port; /* host byte order; 0 for unix */
	socklen_t sa_len;
	union fl_sockaddr sa;
	char host[256]; /* FL_ADDR_NAME only */
};

/* The kinds that a setting accepts; fl_addr_parse() refuses the others, and says what is expected. */
enum fl_addr_allow {
	FL_ADDR_ALLOW_ANY = 1,  /* `*:PORT` */
	FL_ADDR_ALLOW_NAME = 2, /* a DNS name */
	FL_ADDR_ALLOW_UNIX = 4, /* `unix:PATH` */
	FL_ADDR_ALLOW_ZERO = 8, /* port 0: the kernel picks one */
};

/* Parses text (the caller has removed surrounding blanks). allow: enum fl_addr_allow bits.
 * Errors: FL_ERR_INVALID with the problem and an example. */
int fl_addr_parse(const char *text, unsigned allow, struct fl_addr *ret,
		  struct fl_err *err) FL_MUST_USE;

/* One of 127.0.0.0/8 or ::1, IPv4 written inside IPv6 included? ip: in network byte order, 4 bytes with AF_INET, else 16. */
bool fl_ip_is_loopback(int family, const uint8_t *ip);
/* 127.0.0.1 or ::1, with that port (host byte order). family: AF_INET or AF_INET6. */
union fl_sockaddr fl_sockaddr_loopback(int family, uint16_t port);
/* Is it FL_ADDR_IP, and on loopback? */
bool fl_addr_is_loopback(const struct fl_addr *addr);
/* Is it FL_ADDR_IP, and 0.0.0.0 or [::]? */
bool fl_addr_is_unspecified(const struct fl_addr *addr);

/* "10.0.0.1:80", "[::1]:80", "*:80", "name:80", "unix:/run/x.sock"; v4-mapped IPv6 is written as
 * IPv4. buf of FL_ADDR_TEXT bytes; returns buf. */
#define FL_ADDR_TEXT 300
const char *fl_addr_format(const struct fl_addr *addr, char *buf);
const char *fl_sockaddr_format(const struct sockaddr *sa, char *buf);

#endif
