/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_RELOAD_H
#define FL_AGENT_RUN_RELOAD_H
/* reload - whenever the INI or credentials may have changed: reads both as one candidate, and makes it the generation or
 * refuses it as a whole.
 *
 * A refused candidate changes nothing that is in force. It is logged once, told to the sidecars, and read again from time
 * to time, because a certificate that is not valid yet becomes valid. Files that were not swapped as a whole may be half
 * written: such a candidate is refused, or removes the trust in a whole trust domain, only if it is still the same after
 * FL_RELOAD_PATIENCE_MS.
 *
 * Loop:   the one passed to fl_reload_open(); all calls there. It reads files in the loop (bounded, milliseconds).
 * Owns:   the INI that the process began with, the credentials in force without their key.
 * Errors: none are returned; they are logged, and told to the sidecars through serve. */
#include <uv.h>

#include "agent/run/serve.h"
#include "base/log.h"
#include "conf/conf.h"

#define FL_RELOAD_PATIENCE_MS 2000

struct fl_reload;

/* Reads for the first time in the loop's next iteration. Takes over conf, which is what the INI at conf_path said at the
 * start. The others are borrowed until fl_reload_close(); level and format of log follow the INI. */
struct fl_reload *fl_reload_open(uv_loop_t *loop, const char *conf_path, struct fl_conf *conf,
				 struct fl_log *log, struct fl_serve *serve);

/* Reads everything again now, whether anything seems to have changed or not. */
void fl_reload_now(struct fl_reload *reload);

/* The memory is freed in the loop's next iterations. */
void fl_reload_close(struct fl_reload *reload);

#endif
