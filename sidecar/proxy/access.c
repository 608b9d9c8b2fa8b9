/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "proxy/access.h"

#include <ctype.h>
#include <string.h>

static bool is_wanted(const struct fl_worker *worker, enum fl_reason reason)
{
	switch (worker->access) {
	case FL_ACCESS_ALL:
		return true;
	case FL_ACCESS_DENIED:
		return fl_reason_is_denial(reason);
	case FL_ACCESS_OFF:
		break;
	}
	return false;
}

static void add_verdict(struct fl_line *line, const struct fl_verdict *verdict)
{
	fl_line_str(line, "decision", verdict->effect == FL_ALLOW ? "allow" : "deny");
	if (verdict->rule == NULL) {
		fl_line_str(line, "rule", "default");
		return;
	}
	fl_line_str(line, "rule", verdict->rule);
	fl_line_str(line, "rule_file", verdict->file);
	fl_line_u64(line, "rule_line", verdict->line);
}

/* A section name out of an ID: its path with `-` for what a name may not hold. Peers get rules of their own. */
static void rule_name_of(const char *id, char *name, size_t size)
{
	const char *path = strchr(id + sizeof("spiffe://") - 1, '/');
	size_t len = 0;

	for (; path != NULL && *++path != '\0' && len + 1 < size;) {
		name[len++] = isalnum((unsigned char)*path) ? *path : '-';
	}
	name[len] = '\0';
}

/* The lines of INI that would let this peer in: what somebody who reads the denial wants next. */
static void add_remedy(struct fl_line *line, const struct fl_access *access)
{
	char remedy[3072], name[60];
	const char *id;
	int len;

	if (access->verdict == NULL || access->verdict->rule != NULL || access->session == NULL) {
		return;
	}
	id = fl_session_peer_id(access->session);
	rule_name_of(id, name, sizeof(name));
	len = snprintf(remedy, sizeof(remedy), "to let it in: [allow %s] from = %s  to = %s", name,
		       id, access->endpoint->name);
	if (len > 0 && (size_t)len < sizeof(remedy)) {
		fl_line_str(line, "remedy", remedy);
	}
}

void fl_access_ended(struct fl_worker *worker, const struct fl_access *access)
{
	bool denied = fl_reason_is_denial(access->reason);
	bool inbound = access->endpoint->direction == FL_INBOUND;
	struct fl_line line;

	fl_count(&worker->counters.ended[access->endpoint->direction][access->reason], 1);
	if (!is_wanted(worker, access->reason)) {
		return;
	}
	fl_line_begin(&line, &worker->log, denied ? FL_LOG_WARN : FL_LOG_INFO,
		      denied ? "connection refused" : "connection");
	fl_line_str(&line, "direction", inbound ? "inbound" : "outbound");
	fl_line_str(&line, inbound ? "service" : "upstream", access->endpoint->name);
	fl_line_str(&line, "source", access->source);
	if (access->session != NULL) {
		fl_session_describe(access->session, &line);
	}
	if (access->verdict != NULL) {
		add_verdict(&line, access->verdict);
	}
	fl_line_u64(&line, "bytes_to_app", access->to_app);
	fl_line_u64(&line, "bytes_to_mesh", access->to_mesh);
	fl_line_seconds(&line, "duration_s", uv_hrtime() - access->started_ns);
	fl_line_str(&line, "reason", fl_reason_word(access->reason));
	if (access->reason != FL_REASON_DONE) {
		fl_line_str(&line, "explanation", fl_reason_text(access->reason));
	}
	if (access->reason == FL_REASON_POLICY) {
		add_remedy(&line, access);
	}
	fl_line_end(&line);
}
