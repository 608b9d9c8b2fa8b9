/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_CAPTURE_PROBE_H
#define FL_SERVER_CAPTURE_PROBE_H
/* capture_probe - finds out whether the rules of `fairlead-agent redirect` are in force, by doing what the app does.
 *
 * Every few seconds the main thread dials FL_CAPTURE_PROBE_PORT on 127.0.0.1, then on ::1, where nobody listens. Rules that are in force
 * lead that connection to a listener of ours for captured traffic, which counts it and closes it. So the probe needs no privilege, and
 * it notices that the rules are gone whoever removed them, and in whatever way. One dial at a time, bounded in time; only changes
 * are logged.
 *
 * Two more questions are asked in the same way. Are the rules those of the current INI? Such rules lead an address of 127.128.0.0/9
 * that is computed from its settings (base/capture.h); this is asked over IPv4 only, for both families. And have the rules refused
 * TCP past the sidecar lately? For a minute after they did, they lead two more ports. How much they refused, and by which rule, only a
 * process with NET_ADMIN can read from them.
 *
 * Thread: main. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "conf/conf.h"
#include "count/capture_state.h"
#include "net/sock.h"

/* Does capture work as far as the INI needs it? If not, reason (of size bytes) says what to do. sidecar_uid: `[agent]
 * sidecar_uid`, the user whom the rules let pass. */
bool fl_capture_usable(const struct fl_capture *capture, uid_t sidecar_uid, char *reason,
		       size_t size);

struct fl_capture_probe;

/* Counts how many of our dials have come by a listener for captured traffic so far. False: not all of these listen yet. */
typedef bool (*fl_capture_count_cb)(void *user, uint64_t *ret_count);

/* Begins to ask at once; without a listener for captured traffic it does nothing. All arguments are borrowed until the probe has been
 * closed and the loop has turned. conf: for its listeners. */
struct fl_capture_probe *fl_capture_probe_open(struct fl_net *net, const struct fl_conf *conf,
					       struct fl_log *log, fl_capture_count_cb count,
					       void *user);

/* There is a new INI: it says whether rules are expected, and which. Read during the call only. */
void fl_capture_probe_expect(struct fl_capture_probe *probe, const struct fl_conf *conf);

/* Returns what is known now; borrowed, and changed by later turns of the loop. */
const struct fl_capture *fl_capture_probe_state(const struct fl_capture_probe *probe);

/* Asks no more; what is known stays. */
void fl_capture_probe_stop(struct fl_capture_probe *probe);

/* Frees when the loop has turned. */
void fl_capture_probe_close(struct fl_capture_probe *probe);

#endif
