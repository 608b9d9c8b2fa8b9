/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The metrics of each [service] and [upstream] of the INI in force. */
#include <inttypes.h>

#include "report/metrics_parts.h"

static const char *label_of(const struct fl_section_state *state)
{
	return state->sum.direction == FL_INBOUND ? "service" : "upstream";
}

static const char *name_of(const struct fl_section_state *state)
{
	if (state->sum.name != NULL) {
		return state->sum.name;
	}
	return state->sum.direction == FL_INBOUND ? "[inbound]" : "[outbound]";
}

/* The series that have one value for each section. */
enum value { OPENED, OPEN, SUCCEEDED, FAILING, LAST_SUCCESS, LAST_FAILURE, VALUES };

static uint64_t value_of(const struct fl_section_sum *sum, enum value value)
{
	switch (value) {
	case OPENED:
		return sum->opened;
	case OPEN:
		return sum->open;
	case SUCCEEDED:
		return sum->succeeded;
	case FAILING:
		return sum->failing;
	case LAST_SUCCESS:
		return (uint64_t)sum->last_success_ms / 1000;
	case LAST_FAILURE:
		return (uint64_t)sum->last_failure.time_ms / 1000;
	case VALUES:
		break;
	}
	return 0;
}

struct family {
	const char *name, *type, *help;
};

/* By direction. A point in time that has not been yet has no series. */
static const struct family values[FL_DIRECTIONS][VALUES] = {
	[FL_INBOUND] =
		{[OPENED] = {"fairlead_service_connections_opened_total", "counter",
			     "Connections from peers, by [service]; [inbound]: captured ports "
			     "without a section."},
		 [OPEN] = {"fairlead_service_connections_open", "gauge",
			   "Connections from peers that are open now, by [service]."},
		 [SUCCEEDED] = {"fairlead_service_connections_succeeded_total", "counter",
				"Connections from peers that the app has accepted, by [service]."},
		 [FAILING] =
			 {"fairlead_service_failing", "gauge",
			  "1 when the app did not accept the last connection that it was to get."},
		 [LAST_SUCCESS] = {"fairlead_service_last_success_timestamp_seconds", "gauge",
				   "When the app last accepted a connection."},
		 [LAST_FAILURE] = {"fairlead_service_last_failure_timestamp_seconds", "gauge",
				   "When the app last did not accept a connection."}},
	[FL_OUTBOUND] =
		{[OPENED] = {"fairlead_upstream_connections_opened_total", "counter",
			     "Connections from the app, by [upstream]; [outbound]: captured "
			     "destinations without a section."},
		 [OPEN] = {"fairlead_upstream_connections_open", "gauge",
			   "Connections from the app that are open now, by [upstream]."},
		 [SUCCEEDED] =
			 {"fairlead_upstream_connections_succeeded_total", "counter",
			  "Connections from the app whose server has sent something, by [upstream]."},
		 [FAILING] =
			 {"fairlead_upstream_failing", "gauge",
			  "1 when the last failure of the upstream is newer than its last success."},
		 [LAST_SUCCESS] = {"fairlead_upstream_last_success_timestamp_seconds", "gauge",
				   "When a server of the upstream last sent something for the "
				   "first time on a connection."},
		 [LAST_FAILURE] = {"fairlead_upstream_last_failure_timestamp_seconds", "gauge",
				   "When a connection to the upstream last failed."}},
};

static const struct family bytes[FL_DIRECTIONS] = {
	[FL_INBOUND] = {"fairlead_service_bytes_total", "counter",
			"Plaintext bytes relayed for a service, counted as they pass: towards the "
			"app or the mesh."},
	[FL_OUTBOUND] = {"fairlead_upstream_bytes_total", "counter",
			 "Plaintext bytes relayed for an upstream, counted as they pass: towards "
			 "the app or the mesh."},
};

static const struct family failures[FL_DIRECTIONS] = {
	[FL_INBOUND] = {"fairlead_service_failures_total", "counter",
			"Connections that the app of the service did not accept, by the access "
			"log's reason."},
	[FL_OUTBOUND] = {"fairlead_upstream_failures_total", "counter",
			 "Connections to the upstream that failed before its server sent "
			 "something, by the access log's reason."},
};

static bool has_any(const struct fl_snapshot *s, unsigned direction)
{
	for (size_t i = 0; i < s->section_count; i++) {
		if (s->sections[i].sum.direction == direction) {
			return true;
		}
	}
	return false;
}

static void put_value(struct fl_text *text, const struct fl_snapshot *s, unsigned direction,
		      enum value value)
{
	const struct family *family = &values[direction][value];

	fl_metric_family(text, family->name, family->type, family->help);
	for (size_t i = 0; i < s->section_count; i++) {
		const struct fl_section_state *state = &s->sections[i];
		uint64_t number = value_of(&state->sum, value);

		if (state->sum.direction == direction &&
		    (number > 0 || (value != LAST_SUCCESS && value != LAST_FAILURE))) {
			fl_metric_series(text, family->name, label_of(state), name_of(state), NULL,
					 NULL, number);
		}
	}
}

static void put_bytes(struct fl_text *text, const struct fl_snapshot *s, unsigned direction)
{
	const struct family *family = &bytes[direction];

	fl_metric_family(text, family->name, family->type, family->help);
	for (size_t i = 0; i < s->section_count; i++) {
		const struct fl_section_state *state = &s->sections[i];

		if (state->sum.direction == direction) {
			fl_metric_series(text, family->name, label_of(state), name_of(state), "to",
					 "app", state->sum.bytes_to_app);
			fl_metric_series(text, family->name, label_of(state), name_of(state), "to",
					 "mesh", state->sum.bytes_to_mesh);
		}
	}
}

static void put_failures(struct fl_text *text, const struct fl_snapshot *s, unsigned direction)
{
	const struct family *family = &failures[direction];

	fl_metric_family(text, family->name, family->type, family->help);
	for (size_t i = 0; i < s->section_count; i++) {
		const struct fl_section_state *state = &s->sections[i];

		for (unsigned r = 0; state->sum.direction == direction && r < FL_REASON_COUNT;
		     r++) {
			if (state->sum.failed[r] > 0) {
				fl_metric_series(text, family->name, label_of(state),
						 name_of(state), "reason", fl_reason_word(r),
						 state->sum.failed[r]);
			}
		}
	}
}

static void put_addresses(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char count[] = "fairlead_upstream_addresses",
			  answer[] = "fairlead_upstream_last_answer_timestamp_seconds";

	fl_metric_family(text, count, "gauge", "Addresses that DNS gives for a name in `to`.");
	for (size_t i = 0; i < s->section_count; i++) {
		for (size_t n = 0; n < s->sections[i].name_count; n++) {
			fl_metric_series(text, count, "upstream", name_of(&s->sections[i]), "name",
					 s->sections[i].names[n].host,
					 s->sections[i].names[n].count);
		}
	}
	fl_metric_family(text, answer, "gauge",
			 "When the question was asked that DNS last answered for a name in `to`.");
	for (size_t i = 0; i < s->section_count; i++) {
		for (size_t n = 0; n < s->sections[i].name_count; n++) {
			const struct fl_resolution *name = &s->sections[i].names[n];

			if (name->answered > 0) {
				fl_metric_series(text, answer, "upstream", name_of(&s->sections[i]),
						 "name", name->host, (uint64_t)name->answered);
			}
		}
	}
}

void fl_metrics_sections(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		if (!has_any(snapshot, d)) {
			continue;
		}
		for (unsigned v = 0; v < VALUES; v++) {
			put_value(ret, snapshot, d, (enum value)v);
		}
		put_bytes(ret, snapshot, d);
		put_failures(ret, snapshot, d);
	}
	if (has_any(snapshot, FL_OUTBOUND)) {
		put_addresses(ret, snapshot);
	}
}
