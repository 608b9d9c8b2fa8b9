/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_RESOLVER_H
#define FL_SERVER_RESOLVER_H
/* resolver - turns `[upstream] to` into addresses: IP addresses immediately, names by DNS
 * (names.h). It keeps the last answer when DNS fails. The addresses of a fixed listener are targets
 * to dial; those of captured traffic make a map of upstreams.
 *
 * DNS must not be able to switch mutual TLS off. So a name of a plaintext upstream never gets an
 * address that an mtls or refuse upstream covers, nor one outside its `within`. It gets a new
 * address only after the names of those upstreams have been asked since. Refused addresses are
 * logged and counted. Main loop. */
#include <uv.h>

#include "base/log.h"
#include "conf/conf.h"
#include "count/dns_refusals.h"
#include "generation/resolution.h"
#include "generation/targets.h"
#include "policy/upstream_map.h"

struct fl_resolver;

struct fl_resolver_events {
	/* The addresses of captured upstreams or the state of a name have changed. map is borrowed:
	 * take a reference. */
	void (*on_upstream_map)(void *user, struct fl_upstream_map *map);
	/* The addresses of a fixed upstream have changed. Called after on_upstream_map: until a
	 * worker knows that an address is claimed no more, it closes plaintext to it. targets is
	 * borrowed: take a reference. */
	void (*on_targets)(void *user, const char *upstream, struct fl_targets *targets);
	/* A name was answered, or its question failed. Called after the other two. */
	void (*on_answer)(void *user);
};

/* loop, log, events and user are borrowed until the loop has turned after fl_resolver_close(). Asks
 * no question yet. */
struct fl_resolver *fl_resolver_new(uv_loop_t *loop, struct fl_log *log,
				    const struct fl_resolver_events *events, void *user);

/* What is known of the addresses of all upstreams; one reference of each. */
struct fl_resolver_addresses {
	struct fl_upstream_map *map;   /* the captured ones */
	struct fl_target_set *targets; /* the fixed ones */
};

/* Resolves the names in conf from now on, instead of those of the previous conf. conf: borrowed
 * until the next call or close. Calls none of the events, because all addresses of an INI have to
 * come into force together with it; what changes later arrives by events. */
struct fl_resolver_addresses fl_resolver_set(struct fl_resolver *resolver,
					     const struct fl_conf *conf);

/* Returns the map that conf would have, as far as its names are known now: one reference. Sends no
 * question and changes nothing. */
struct fl_upstream_map *fl_resolver_imagine(const struct fl_resolver *resolver,
					    const struct fl_conf *conf);

/* Connections wait for an answer about a name of the newest map, or about one of those that share
 * its bit (worker/wanted_names.h). Such a name is asked for soon, unless it was asked for very
 * recently; on_answer reports the answer. */
void fl_resolver_want(struct fl_resolver *resolver, size_t bit);

/* Returns a name that has not been answered yet, borrowed; NULL: there is none, or the wait for the
 * first round of answers has timed out. */
const char *fl_resolver_first_round(struct fl_resolver *resolver);

/* Returns how many addresses were refused to plaintext upstreams so far. */
struct fl_dns_refusal_counts fl_resolver_refused(const struct fl_resolver *resolver);

/* Writes what DNS says about the name with that index, from 0 on, in `to` of that upstream, which is a number in the INI's
 * order. A name that `to` has several times, with different ports, has one index. now: seconds since the epoch. What ret points to is borrowed until the loop turns. False: there are no more names. */
bool fl_resolver_describe(const struct fl_resolver *resolver, size_t upstream, size_t index,
			  int64_t now, struct fl_resolution *ret);

/* Frees later, on the loop; no further event is reported. */
void fl_resolver_close(struct fl_resolver *resolver);

#endif
