/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_RELOAD_H
#define FL_AGENT_RUN_RELOAD_H
/* reload - whenever INI or credentials may have changed: reads both as one candidate, and makes it the
 * generation or refuses it, whole.
 *
 * A refused candidate changes nothing that is in force. It is logged once, told to the sidecars, and looked at
 * again from time to time, for a certificate of the future becomes one of the present. Files that were not
 * swapped as a whole may be half written: a candidate of such files is refused, or cuts off a whole trust
 * domain, only when it has stayed so for FL_RELOAD_PATIENCE_MS.
 *
 * Loop-bound. Reads files in the loop (bounded, milliseconds). Of keys it keeps nothing. */
#include <uv.h>

#include "agent/run/serve.h"
#include "base/log.h"
#include "conf/conf.h"

#define FL_RELOAD_PATIENCE_MS 2000

struct fl_reload;

/* Begins with the loop's next turn. conf is what the INI at conf_path said at the start; it is taken over. The
 * others are borrowed; level and format of log follow the INI. */
struct fl_reload *fl_reload_open(uv_loop_t *loop, const char *conf_path, struct fl_conf *conf,
				 struct fl_log *log, struct fl_serve *serve);

/* Looks at all of it now, whether anything seems to have changed or not. */
void fl_reload_look(struct fl_reload *reload);

/* The memory goes with the loop's next turns. */
void fl_reload_close(struct fl_reload *reload);

#endif
