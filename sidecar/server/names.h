/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_NAMES_H
#define FL_SERVER_NAMES_H
/* names - the DNS answers for each name, kept up to date. Each name is asked for once, no matter
 * how many upstreams use it.
 *
 * A name is asked for immediately, again when its TTL (within bounds) expires, with back-off after
 * a failure, and on demand (fl_name_want()), but on demand at most once within the period that the
 * caller calls fresh. Its A and its AAAA records are two questions: the answer to one is used
 * whether or not the other is ever answered. Searching follows resolv.conf: the first candidate
 * that has an address is the name. /etc/hosts goes first. The last answers stay when DNS fails.
 * Thread: main. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"
#include "policy/upstream_map.h"
#include "server/dns.h"

struct fl_names;

struct fl_name_answer {
	union fl_sockaddr addr; /* port 0 */
	uint64_t since_ms;      /* when the question was asked that first had it as an answer */
};
struct fl_name_half {
	struct fl_name_answer *items; /* as the server has ordered them */
	size_t count;
	uint64_t answered_ms; /* when the question was asked that was last answered; 0: never was */
};
struct fl_name {
	char *host;
	bool is_logged; /* set by the caller: its trouble is in the log */
	enum fl_name_state state;
	enum fl_dns_status status;     /* where the state is MISSING or FAILING */
	struct fl_name_half halves[2]; /* A, AAAA */
	/* the members below are private to names.c */
	bool is_used;
	struct walk *walk;   /* under way, the newest; NULL: none */
	uint64_t asked_ms;   /* when the last question was asked; 0: never was */
	uint64_t due_ms;     /* when the next one is */
	uint64_t wanted_ms;  /* when it was last wanted */
	uint64_t backoff_ms; /* 0: the last question was answered with addresses */
	struct fl_name *next;
};

struct fl_names_events {
	/* A question was answered, in whole or in part, or failed. differs: addresses or the state
	 * have changed. Must not add or drop names. */
	void (*on_answer)(void *user, struct fl_name *name, bool differs);
};

/* loop, log, events and user are borrowed until the loop has turned after fl_names_close(). */
struct fl_names *fl_names_new(uv_loop_t *loop, struct fl_log *log,
			      const struct fl_names_events *events, void *user);
/* Frees later, on the loop; no further event is reported. */
void fl_names_close(struct fl_names *names);

/* To set a new list of names: call begin, then get for each name (its answers are kept), then end,
 * which drops the names that were not requested. The result of get is borrowed until the name is
 * dropped. */
void fl_names_begin(struct fl_names *names);
struct fl_name *fl_names_get(struct fl_names *names, const char *host);
void fl_names_end(struct fl_names *names);
/* Returns the name of that host, borrowed; NULL: it is not in the set. */
struct fl_name *fl_names_find(const struct fl_names *names, const char *host);

/* A connection needs an answer. Asks soon, or, if the name was asked for less than fresh_ms ago,
 * when fresh_ms have passed. */
void fl_name_want(struct fl_names *names, struct fl_name *name, uint64_t fresh_ms);
/* Returns a name whose first question has not ended yet, borrowed; NULL: there is none. */
const struct fl_name *fl_names_unasked(const struct fl_names *names);

static inline bool fl_name_has_address(const struct fl_name *name)
{
	return name->halves[0].count + name->halves[1].count > 0;
}

#endif
