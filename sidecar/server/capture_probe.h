/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_CAPTURE_PROBE_H
#define FL_SERVER_CAPTURE_PROBE_H
/* capture_probe - finds out whether the rules of `fairlead-agent redirect` are in force by dialling
 * as the app does.
 *
 * Every few seconds the main thread dials FL_CAPTURE_PROBE_PORT on 127.0.0.1, then on ::1, where no
 * process listens. If the rules are in force, they lead that connection to one of our listeners for
 * captured traffic, which counts it and closes it. So the probe needs no privilege, and it notices
 * that the rules are gone no matter who removed them and how. One dial runs at a time, for a
 * bounded time. Only changes are logged.
 *
 * Two more questions are asked in the same way. Are the rules those of the current INI? If they
 * are, they redirect an address of 127.128.0.0/9 that is computed from the INI's settings
 * (base/capture.h); the probe asks this over IPv4 only, for both families. And have the rules
 * recently refused TCP that would have bypassed the sidecar? For a minute after a refusal, they
 * redirect two more ports. Only a process with NET_ADMIN can read how much they refused, and by
 * which rule.
 *
 * Thread: main. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "conf/conf.h"
#include "count/capture_state.h"
#include "net/sock.h"

/* Does capture work as far as the INI needs it? If not, reason (of size bytes) says what to do.
 * sidecar_uid: `[agent] sidecar_uid`, the user whose traffic the rules do not capture. */
bool fl_capture_usable(const struct fl_capture *capture, uid_t sidecar_uid, char *reason,
		       size_t size);

struct fl_capture_probe;

/* Counts how many of our dials have arrived at a listener for captured traffic so far. False: some
 * of these listeners are not open yet. */
typedef bool (*fl_capture_count_cb)(void *user, uint64_t *ret_count);

/* Starts probing immediately; does nothing without a listener for captured traffic. All arguments
 * are borrowed until the probe has been closed and the loop has turned. conf: for its listeners. */
struct fl_capture_probe *fl_capture_probe_open(struct fl_net *net, const struct fl_conf *conf,
					       struct fl_log *log, fl_capture_count_cb count,
					       void *user);

/* Announces a new INI, which says whether rules are expected, and which. conf is read during the
 * call only. */
void fl_capture_probe_expect(struct fl_capture_probe *probe, const struct fl_conf *conf);

/* Returns what is known now; borrowed, and changed by later turns of the loop. */
const struct fl_capture *fl_capture_probe_state(const struct fl_capture_probe *probe);

/* Stops probing; the known state stays. */
void fl_capture_probe_stop(struct fl_capture_probe *probe);

/* Frees when the loop has turned. */
void fl_capture_probe_close(struct fl_capture_probe *probe);

#endif
