/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_DNS_H
#define FL_SERVER_DNS_H
/* dns - asks for the A or the AAAA records of one name, one question at a time, and reads resolv.conf and /etc/hosts.
 *
 * A wrapper of c-ares, whose sockets the loop polls and whose time-outs fl_dns_tick() runs. Thread: main. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"
#include "base/log.h"

#define FL_DNS_TICK_MS 100u /* interval of fl_dns_tick() while a question is under way */
/* A question is postponed while less memory than this is available. A question, its answer and
 * everything made from it have never been seen to need so much. */
#define FL_DNS_MEMORY ((size_t)4 << 20)

enum fl_dns_status {
	FL_DNS_FOUND,
	FL_DNS_NO_ADDRESS,    /* the name exists, without an address of that family */
	FL_DNS_NO_NAME,       /* the name does not exist, whatever the family */
	FL_DNS_SERVER_FAILED, /* SERVFAIL, or no server can be asked */
	FL_DNS_NO_ANSWER,     /* no usable answer in time */
	FL_DNS_ENDED,         /* by fl_dns_close() */
};

/* Returns a sentence about a status that is not FOUND. */
const char *fl_dns_status_text(enum fl_dns_status status);

struct fl_dns;

/* addrs: count of them with port 0, in the order of the answer; borrowed for the call. */
typedef void (*fl_dns_cb)(void *user, enum fl_dns_status status, const union fl_sockaddr *addrs,
			  size_t count, uint64_t ttl_ms);

/* Reads resolv.conf, here and never again. log: borrowed until fl_dns_close(). */
struct fl_dns *fl_dns_new(uv_loop_t *loop, struct fl_log *log);

/* Ends the question that is under way (its cb runs inside, with ENDED) and frees. */
void fl_dns_close(struct fl_dns *dns);

/* Asks for host as it is: no search domain is added. A name that DNS cannot have, such as one of more than 253 bytes, is answered
 * with NO_NAME without a question. family: AF_INET or AF_INET6. cb runs once, perhaps inside. */
void fl_dns_ask(struct fl_dns *dns, const char *host, int family, fl_dns_cb cb, void *user);

/* Processes time-outs. Call it every FL_DNS_TICK_MS while a question is under way. */
void fl_dns_tick(struct fl_dns *dns);

/* Returns the names that host may stand for, in the order in which they are tried (itself, and within the search domains of
 * resolv.conf): an array of *ret_count strings, to free() with them. */
char **fl_dns_candidates(struct fl_dns *dns, const char *host, size_t *ret_count);

/* Returns the addresses that this machine itself knows for host (/etc/hosts, and localhost): an array to free(); NULL: none. */
union fl_sockaddr *fl_dns_local(struct fl_dns *dns, const char *host, int family,
				size_t *ret_count);

#endif
