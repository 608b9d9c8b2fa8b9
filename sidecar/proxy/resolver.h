/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_RESOLVER_H
#define FL_PROXY_RESOLVER_H
/* resolver - from `[upstream] to` to addresses: IP addresses at once, names by DNS (c-ares), again by their TTL, keeping
 * the last answer when DNS is lost. Those of a fixed listener are targets to dial; those of captured traffic make a
 * table of routes. Main loop. */
#include <uv.h>

#include "base/log.h"
#include "conf/conf.h"
#include "policy/routes.h"
#include "proxy/targets.h"

struct fl_resolver;

struct fl_resolver_events {
	/* The addresses of a fixed upstream have changed. targets is borrowed: take a reference. */
	void (*on_targets)(void *user, const char *upstream, struct fl_targets *targets);
	/* Those of captured upstreams have. routes is borrowed, likewise. */
	void (*on_routes)(void *user, struct fl_routes *routes);
};

struct fl_resolver *fl_resolver_new(uv_loop_t *loop, struct fl_log *log,
				    const struct fl_resolver_events *events, void *user);
/* What to resolve from now on: replaces what was there; runs on_targets inside for each upstream that has addresses
 * already. Returns the table of what is captured, as far as it is known: one reference; on_routes tells of the next
 * ones. conf is borrowed until the next call or close. */
struct fl_routes *fl_resolver_set(struct fl_resolver *resolver, const struct fl_conf *conf);
/* The table that conf would have, as far as its names are known now. One reference; asks nobody, changes nothing. */
struct fl_routes *fl_resolver_imagine(const struct fl_resolver *resolver,
				      const struct fl_conf *conf);
/* Frees later, on the loop. */
void fl_resolver_close(struct fl_resolver *resolver);

#endif
