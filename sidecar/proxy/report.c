/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report - what metrics, status and page have in common. Nothing here can fail. */
#include "proxy/report.h"

#include <stdlib.h>

void fl_snapshot_done(struct fl_snapshot *snapshot)
{
	free(snapshot->listeners);
	snapshot->listeners = NULL;
	snapshot->listener_count = 0;
}

const char *fl_direction_word(enum fl_direction direction)
{
	return direction == FL_INBOUND ? "inbound" : "outbound";
}

const struct fl_refusal *fl_rotations_last_refusal(const struct fl_rotations *rotations)
{
	const struct fl_refusal *last = rotations->by_agent.time >= rotations->by_sidecar.time
						? &rotations->by_agent
						: &rotations->by_sidecar;

	return last->time > 0 ? last : NULL;
}
