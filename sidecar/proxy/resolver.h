/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_RESOLVER_H
#define FL_PROXY_RESOLVER_H
/* resolver - from `[upstream] to` to addresses: IP addresses at once, names by DNS (c-ares), again by their TTL, keeping
 * the last answer when DNS is lost. Main loop. */
#include <uv.h>

#include "base/log.h"
#include "conf/conf.h"
#include "proxy/targets.h"

struct fl_resolver;

/* The addresses of an upstream have changed. targets is borrowed: take a reference. */
typedef void (*fl_resolver_cb)(void *user, const char *upstream, struct fl_targets *targets);

struct fl_resolver *fl_resolver_new(uv_loop_t *loop, struct fl_log *log, fl_resolver_cb cb,
				    void *user);
/* What to resolve from now on: replaces what was there; runs cb inside for each upstream that has addresses already. conf is
 * borrowed until the next call or close. */
void fl_resolver_set(struct fl_resolver *resolver, const struct fl_conf *conf);
/* Frees later, on the loop. */
void fl_resolver_close(struct fl_resolver *resolver);

#endif
