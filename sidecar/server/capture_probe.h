/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_CAPTURE_PROBE_H
#define FL_SERVER_CAPTURE_PROBE_H
/* capture_probe - are the rules of `fairlead-agent redirect` in force? Asked of the kernel by doing what the app does.
 *
 * Every few seconds the main thread dials FL_CAPTURE_PROBE_PORT on 127.0.0.1, then on ::1, where nobody listens. The
 * rules lead it to a listener of ours for captured traffic, which counts it and hangs up. So it needs no privilege, and
 * tells the same whoever has taken the rules away, and whatever way. One dial at a time, bounded in time; nothing is
 * logged but a change.
 *
 * In the same way it learns whether the rules are those of the current INI: they lead an address of 127.128.0.0/9 that its
 * settings come to (base/capture.h). That is told over IPv4 alone, for both families.
 *
 * And whether they have refused something lately that would have gone past us: for a minute after that, they lead two more
 * ports. How much and by which rule, only who has NET_ADMIN can read off the rules.
 *
 * Loop-bound: the main loop. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "conf/conf.h"
#include "count/capture_state.h"
#include "net/sock.h"

/* Does capture work as far as it has to? When not, reason (of size bytes) says what to do. sidecar_uid: `[agent]
 * sidecar_uid`, the one that the rules know. */
bool fl_capture_usable(const struct fl_capture *capture, uid_t sidecar_uid, char *reason,
		       size_t size);

struct fl_capture_probe;

/* Tells how many of our dials have come by a listener for captured traffic so far. false: not all of them are open. */
typedef bool (*fl_capture_count_cb)(void *user, uint64_t *ret_count);

/* conf (its listeners), net and log are borrowed. Begins to ask at once. Never NULL; where there is no listener for
 * captured traffic it does nothing. */
struct fl_capture_probe *fl_capture_probe_open(struct fl_net *net, const struct fl_conf *conf,
					       struct fl_log *log, fl_capture_count_cb count,
					       void *user);
/* A new INI: does it have [redirect], and what do its rules look like? */
void fl_capture_probe_expect(struct fl_capture_probe *probe, const struct fl_conf *conf);
const struct fl_capture *fl_capture_probe_state(const struct fl_capture_probe *probe);
void fl_capture_probe_stop(struct fl_capture_probe *probe); /* asks no more; what is known stays */
/* Freed when the loop has turned. */
void fl_capture_probe_close(struct fl_capture_probe *probe);

#endif
