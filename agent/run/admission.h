/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_ADMISSION_H
#define FL_AGENT_RUN_ADMISSION_H
/* admission - which processes may connect to the agent's socket. Loop-bound. */
#include "agent/run/refusal_log.h"
#include "conf/conf.h"
#include "net/sock.h"

/* Does the process at the other end run as our own uid or as the sidecar's? If not, the log says so, rationed. */
bool fl_admission_may_connect(struct fl_refusal_log *refusals, const struct fl_sock *sock,
			      uid_t sidecar_uid);
/* A sidecar of another user accepts nothing from us, unless its INI says so: warns at the start. */
void fl_admission_warn_of_uid(struct fl_log *log, const struct fl_conf *conf);

#endif
