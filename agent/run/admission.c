/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/admission.h"

#include <unistd.h>

bool fl_admission_may_connect(struct fl_refusal_log *refusals, const struct fl_sock *sock,
			      uid_t sidecar_uid)
{
	struct fl_line line;
	struct fl_err err;
	uid_t uid;

	if (fl_sock_peer_uid(sock, &uid, &err) != FL_OK) {
		fl_log_msg(refusals->log, FL_LOG_WARN, "caller refused: %s", err.text);
		return false;
	}
	if (uid == geteuid() || uid == sidecar_uid) {
		return true;
	}
	if (!fl_refusal_log_admits(refusals, uid)) {
		return false;
	}
	fl_line_begin(&line, refusals->log, FL_LOG_WARN, "caller refused");
	fl_line_u64(&line, "uid", uid);
	fl_line_str(&line, "reason",
		    "neither our own uid nor the one that `[agent] sidecar_uid` names");
	fl_line_end(&line);
	return false;
}

void fl_admission_warn_of_uid(struct fl_log *log, const struct fl_conf *conf)
{
	uid_t own = geteuid();

	if (own != conf->agent.uid && own != conf->agent.sidecar_uid) {
		fl_log_msg(
			log, FL_LOG_WARN,
			"we run as uid %lu, and a sidecar of another user takes generations from "
			"uid %lu only: run the agent as that one, or set `[agent] uid = %lu`",
			(unsigned long)own, (unsigned long)conf->agent.uid, (unsigned long)own);
	}
}
