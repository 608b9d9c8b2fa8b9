/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report - what metrics, status and page have in common. Nothing here can fail. */
#include "proxy/report.h"

#include <stdlib.h>

void fl_snapshot_done(struct fl_snapshot *snapshot)
{
	free(snapshot->listeners);
	free(snapshot->peers);
	if (snapshot->peers_of != NULL) {
		fl_peers_let_go(snapshot->peers_of);
	}
	snapshot->listeners = NULL;
	snapshot->listener_count = 0;
	snapshot->peers_of = NULL;
	snapshot->peers = NULL;
	snapshot->peer_count = 0;
}

const char *fl_direction_word(enum fl_direction direction)
{
	return direction == FL_INBOUND ? "inbound" : "outbound";
}

const char *fl_security_word(enum fl_security security)
{
	static const char *const words[] = {[FL_SECURITY_NONE] = "none",
					    [FL_SECURITY_MTLS] = "mtls",
					    [FL_SECURITY_PLAINTEXT] = "plaintext"};

	return words[security];
}

const struct fl_refusal *fl_rotations_last_refusal(const struct fl_rotations *rotations)
{
	const struct fl_refusal *last = rotations->by_agent.time >= rotations->by_sidecar.time
						? &rotations->by_agent
						: &rotations->by_sidecar;

	return last->time > 0 ? last : NULL;
}
