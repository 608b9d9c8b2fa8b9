/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_DNS_H
#define FL_SERVER_DNS_H
/* dns - one question at a time: the A or the AAAA records of one name, and what else resolv.conf and /etc/hosts say.
 *
 * c-ares, which runs only once something is asked: its sockets are polled by the loop, its time-outs by fl_dns_tick().
 * Main loop. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"

#define FL_DNS_TICK_MS 100u /* while a question is under way */
/* What has to be there for a question, or for an answer and all that is made of it: more than it was ever seen to take. Without
 * it, it is asked again later. */
#define FL_DNS_MEMORY ((size_t)4 << 20)

enum fl_dns_status {
	FL_DNS_FOUND,
	FL_DNS_NO_ADDRESS,    /* the name is there, without an address of that family */
	FL_DNS_NO_NAME,       /* it does not exist, whatever the family */
	FL_DNS_SERVER_FAILED, /* SERVFAIL, or there is no server */
	FL_DNS_NO_ANSWER,     /* nothing comes back in time, or nothing that could be used */
	FL_DNS_ENDED,         /* by fl_dns_close() */
};
/* A sentence about one that is not FOUND. */
const char *fl_dns_status_text(enum fl_dns_status status);

struct fl_dns;

/* addrs: with port 0, in the order of the answer; borrowed. */
typedef void (*fl_dns_cb)(void *user, enum fl_dns_status status, const union fl_sockaddr *addrs,
			  size_t count, uint64_t ttl_ms);

struct fl_dns *fl_dns_new(uv_loop_t *loop);
/* Ends what is under way (cb runs inside, with ENDED) and frees. */
void fl_dns_close(struct fl_dns *dns);
/* host: whole, nothing is searched. family: AF_INET or AF_INET6. cb runs once, perhaps inside. */
void fl_dns_ask(struct fl_dns *dns, const char *host, int family, fl_dns_cb cb, void *user);
void fl_dns_tick(struct fl_dns *dns);

/* The names that host may stand for, in order: itself, and within the search domains of resolv.conf. An array of that
 * many strings, to free() with them. */
char **fl_dns_candidates(struct fl_dns *dns, const char *host, size_t *ret_count);
/* What this machine itself says of it: /etc/hosts, and localhost. An array to free(); NULL: nothing. */
union fl_sockaddr *fl_dns_local(struct fl_dns *dns, const char *host, int family,
				size_t *ret_count);

#endif
