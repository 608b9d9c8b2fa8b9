/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_RESOLVER_H
#define FL_SERVER_RESOLVER_H
/* resolver - from `[upstream] to` to addresses: IP addresses at once, names by DNS (names.h), keeping the last answer when
 * DNS is lost. Those of a fixed listener are targets to dial; those of captured traffic make a map of upstreams.
 *
 * DNS must not switch mutual TLS off: a name of a plaintext upstream never has an address that an mtls or refuse upstream
 * covers, nor one outside of its `within`; and a new one only when those upstreams' names have been asked since. What is
 * refused so is logged and counted. Main loop. */
#include <uv.h>

#include "base/log.h"
#include "conf/conf.h"
#include "count/dns_refusals.h"
#include "generation/targets.h"
#include "policy/upstream_map.h"

struct fl_resolver;

struct fl_resolver_events {
	/* The addresses of a fixed upstream have changed. targets is borrowed: take a reference. */
	void (*on_targets)(void *user, const char *upstream, struct fl_targets *targets);
	/* The addresses of captured upstreams have changed, or what is known of a name. map is borrowed, too. */
	void (*on_upstream_map)(void *user, struct fl_upstream_map *map);
	/* A name was answered, or could not be. Called after the other two. */
	void (*on_answer)(void *user);
};

/* loop, log, events and user are borrowed until the loop has turned after fl_resolver_close(). Asks nothing yet. */
struct fl_resolver *fl_resolver_new(uv_loop_t *loop, struct fl_log *log,
				    const struct fl_resolver_events *events, void *user);

/* Resolves what conf names from now on, in place of what was there. Calls on_targets inside for each fixed upstream whose addresses
 * are different now. conf: borrowed until the next call or close. Returns the map of captured upstreams as far as it is known: one
 * reference; on_upstream_map brings the next ones. */
struct fl_upstream_map *fl_resolver_set(struct fl_resolver *resolver, const struct fl_conf *conf);

/* Returns the map that conf would have, as far as its names are known now: one reference. Asks nobody, changes nothing. */
struct fl_upstream_map *fl_resolver_imagine(const struct fl_resolver *resolver,
					    const struct fl_conf *conf);

/* Connections wait for an answer about a name of the newest map, or about one of those that share its bit
 * (worker/wanted_names.h). Such a name is asked for soon, unless it was just now; on_answer says that it was answered. */
void fl_resolver_want(struct fl_resolver *resolver, size_t bit);

/* Returns a name that has not been answered yet, borrowed; NULL: there is none, or the first round of answers has been waited
 * for long enough. */
const char *fl_resolver_first_round(struct fl_resolver *resolver);

/* Returns how many addresses plaintext upstreams were refused so far. */
struct fl_dns_refusal_counts fl_resolver_refused(const struct fl_resolver *resolver);

/* Frees later, on the loop; no event comes any more. */
void fl_resolver_close(struct fl_resolver *resolver);

#endif
