/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report - code that metrics, status and page share. Nothing here can fail. */
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

void fl_snapshot_done(struct fl_snapshot *snapshot)
{
	free(snapshot->listeners);
	free(snapshot->peers);
	free(snapshot->sections);
	free(snapshot->resolutions);
	if (snapshot->peers_of != NULL) {
		fl_peer_counts_let_go(snapshot->peers_of);
	}
	snapshot->listeners = NULL;
	snapshot->listener_count = 0;
	snapshot->sections = NULL;
	snapshot->section_count = 0;
	snapshot->resolutions = NULL;
	snapshot->peers_of = NULL;
	snapshot->peers = NULL;
	snapshot->peer_count = 0;
}

void fl_rotations_note(struct fl_rotations *rotations, const struct fl_rotation *rotation)
{
	memmove(&rotations->last[1], &rotations->last[0],
		(FL_ROTATIONS_KEPT - 1) * sizeof(rotations->last[0]));
	rotations->last[0] = *rotation;
}

const struct fl_refusal *fl_rotations_last_refusal(const struct fl_rotations *rotations)
{
	const struct fl_refusal *last = rotations->by_agent.time >= rotations->by_sidecar.time
						? &rotations->by_agent
						: &rotations->by_sidecar;

	return last->time > 0 ? last : NULL;
}

static bool late_crl(const struct fl_snapshot *snapshot, size_t number, char buf[FL_WARNING_TEXT])
{
	size_t count = snapshot->expiries != NULL ? snapshot->expiries->count : 0;
	char when[FL_WHEN_TEXT];

	for (size_t i = 0; i < count; i++) {
		const struct fl_expiry *expiry = &snapshot->expiries->items[i];

		if (expiry->kind == FL_CERTIFICATE_CRL && expiry->not_after < snapshot->now &&
		    number-- == 0) {
			(void)snprintf(
				buf, FL_WARNING_TEXT,
				"CRL %u%s%s: its successor was due at %s; it stays in force, but "
				"certificates revoked after that date are still accepted: have "
				"that CA issue a new one, and find out why none came",
				expiry->index, expiry->trust_domain[0] != '\0' ? " of " : "",
				expiry->trust_domain, fl_when_format(expiry->not_after, when));
			return true;
		}
	}
	return false;
}

/* Finds the warning with that number about bundles: expired roots, or a refused bundle. Counts
 * *number down for each warning that it skips. */
static bool bad_bundle(const struct fl_snapshot *snapshot, size_t *number,
		       char buf[FL_WARNING_TEXT])
{
	const struct fl_credentials *credentials =
		snapshot->expiries != NULL ? snapshot->expiries->credentials : NULL;

	for (size_t i = 0; credentials != NULL && i < credentials->bundle_count; i++) {
		const struct fl_bundle *bundle = &credentials->bundles[i];
		size_t late = fl_bundle_late_count(bundle, snapshot->now);

		if (bundle->refused != NULL && (*number)-- == 0) {
			(void)snprintf(buf, FL_WARNING_TEXT,
				       "nobody of %s is trusted, because its bundle is refused: %s",
				       bundle->trust_domain, bundle->refused);
			return true;
		}
		if (late > 0 && (*number)-- == 0) {
			(void)snprintf(
				buf, FL_WARNING_TEXT,
				"%zu of the %zu roots of %s are out of date, and ignored: remove "
				"those that have expired from its bundle",
				late, bundle->anchors.count, bundle->trust_domain);
			return true;
		}
	}
	return false;
}

bool fl_report_warning(const struct fl_snapshot *snapshot, size_t number, char buf[FL_WARNING_TEXT])
{
	if (snapshot->rollover.removed && number-- == 0) {
		(void)snprintf(buf, FL_WARNING_TEXT, "%s", fl_rollover_removed_text);
		return true;
	}
	if (snapshot->rollover.unknown && number-- == 0) {
		(void)snprintf(buf, FL_WARNING_TEXT, "%s", fl_rollover_unknown_text);
		return true;
	}
	return bad_bundle(snapshot, &number, buf) || late_crl(snapshot, number, buf);
}

void fl_report_losses(struct fl_json *json, const char *name, const uint64_t counts[FL_LOSSES])
{
	fl_json_object(json, name);
	for (unsigned i = 0; i < FL_LOSSES; i++) {
		if (counts[i] > 0) {
			fl_json_u64(json, fl_reason_word(fl_loss_reason((enum fl_loss)i)),
				    counts[i]);
		}
	}
	fl_json_end(json);
}

uint64_t fl_report_busy_sessions(const struct fl_snapshot *snapshot, enum fl_direction direction)
{
	const struct fl_counters *counters = &snapshot->counters;
	uint64_t gone = snapshot->idle_sessions[direction];

	for (unsigned i = 0; i < FL_SESSION_ENDS; i++) {
		gone += counters->sessions_ended[direction][i];
	}
	/* Workers count while we read. */
	return counters->sessions_begun[direction] > gone
		       ? counters->sessions_begun[direction] - gone
		       : 0;
}
