/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/access.h"

#include <string.h>
#include <time.h>

#include "base/tls_alert.h"
#include "conn/remedy.h"
#include "conn/trouble.h"

enum fl_log_access fl_access_of(const struct fl_conn *conn)
{
	const struct fl_conf_service *service = conn->service;

	return service != NULL && service->access_stated ? service->access : conn->loop->access;
}

/* A connection that only audit mode admits would be denied otherwise: log it wherever denials are logged. */
static bool is_wanted(const struct fl_conn *conn, enum fl_reason reason,
		      const struct fl_verdict *verdict)
{
	switch (fl_access_of(conn)) {
	case FL_ACCESS_ALL:
		return true;
	case FL_ACCESS_FAILED:
		return fl_reason_is_failure(reason) || (verdict != NULL && verdict->audited);
	case FL_ACCESS_DENIED:
		return fl_reason_is_denial(reason) || (verdict != NULL && verdict->audited);
	case FL_ACCESS_OFF:
		break;
	}
	return false;
}

/* The peer was not verified and not admitted, or it has used up its share of connections: do not log a line for each. */
static bool is_rationed(const struct fl_conn *conn, enum fl_reason reason)
{
	return conn->direction == FL_INBOUND && !conn->admitted &&
	       (conn->security != FL_SECURITY_MTLS || reason == FL_REASON_CONNECTION_LIMIT);
}

static bool may_have_line(const struct fl_conn *conn, enum fl_reason reason)
{
	struct fl_inet network = fl_inet_network(&conn->source);

	if (!is_rationed(conn, reason) ||
	    fl_log_ration_take(&conn->loop->log_ration, &network, reason)) {
		return true;
	}
	fl_count(&conn->loop->counters.lines_left_out, 1);
	return false;
}

static void add_verdict(struct fl_line *line, const struct fl_verdict *verdict)
{
	fl_line_str(line, "decision", fl_decision_word(fl_verdict_decision(verdict)));
	fl_line_str(line, "rule", verdict->rule != NULL ? verdict->rule : "default");
}

static void add_place_of_rule(struct fl_line *line, const struct fl_verdict *verdict)
{
	if (verdict->rule != NULL) {
		fl_line_str(line, "rule_file", verdict->file);
		fl_line_u64(line, "rule_line", verdict->line);
	}
}

static const struct fl_tls_failure *failure_of(const struct fl_access *access)
{
	return access->mesh != NULL ? access->mesh->ops->failure(access->mesh) : NULL;
}

static bool is_about_protocols(const struct fl_access *access)
{
	const struct fl_tls_failure *failure = failure_of(access);

	return access->reason == FL_REASON_PEER_ALERT && access->conn->direction == FL_OUTBOUND &&
	       failure != NULL && failure->alert == FL_ALERT_NO_APPLICATION_PROTOCOL;
}

/* The rules do not capture fixed listeners, so a captured connection for one of them was redirected by older rules. */
static const char loop_remedy[] =
	"if this is a fixed listener of the INI, the rules of capture are older than it: run "
	"`fairlead-agent redirect apply` in this pod; otherwise connect to the port of the app: "
	"this one is the sidecar's own";

static const char *peer_of(const struct fl_access *access)
{
	return access->mesh != NULL ? access->mesh->ops->peer_id(access->mesh) : NULL;
}

/* What a person who learns of this end needs next. */
static void put_remedy(struct fl_text *ret, const struct fl_access *access,
		       enum fl_proposal_layout layout)
{
	enum fl_reason reason = access->reason;

	if (reason == FL_REASON_POLICY || reason == FL_REASON_POLICY_LOST) {
		if (access->verdict != NULL) {
			fl_remedy_for_policy(access->conn, access->verdict, peer_of(access), layout,
					     ret);
		}
	} else if (reason == FL_REASON_NOT_MUTUAL) {
		fl_remedy_for_not_mutual(access->conn, layout, ret);
	} else if (is_about_protocols(access)) {
		fl_remedy_for_protocols(access->conn, layout, ret);
	} else if (reason == FL_REASON_LOOP) {
		fl_text_print(ret, "%s", loop_remedy);
	} else if (access->broken_rule != FL_RULE_NONE) {
		fl_text_print(ret, "%s", fl_rule_remedy(access->broken_rule));
	} else if (fl_trouble_remedy(access->conn, reason) != NULL) {
		fl_text_print(ret, "%s", fl_trouble_remedy(access->conn, reason));
	}
}

/* buf: of FL_TROUBLE_TEXT bytes, for it. NULL: nothing more is known. */
static const char *detail_of(const struct fl_access *access, char *buf)
{
	return access->detail != NULL ? access->detail
				      : fl_trouble_detail(access->conn, access->reason, buf);
}

static void add_remedy(struct fl_line *line, const struct fl_access *access)
{
	struct fl_text remedy = {.is_soft = true};

	put_remedy(&remedy, access, FL_PROPOSE_ONE_LINE);
	if (!remedy.has_failed) {
		fl_line_whole(line, "remedy", remedy.data);
	}
	fl_text_done(&remedy);
}

/* "quarantine (fairlead.ini:12)", "default", or the rule that a certificate breaks. */
static void put_rule(struct fl_text *ret, const struct fl_access *access)
{
	const struct fl_tls_failure *failure = failure_of(access);
	const struct fl_verdict *verdict = access->verdict;

	if (access->broken_rule != FL_RULE_NONE) {
		fl_text_print(ret, "%s", fl_rule_name(access->broken_rule));
	} else if (failure != NULL && failure->rule != FL_RULE_NONE) {
		fl_text_print(ret, "%s", fl_rule_name(failure->rule));
	} else if (verdict != NULL && verdict->rule != NULL) {
		const char *slash = strrchr(verdict->file, '/');

		fl_text_print(ret, "%s (%s:%u)", verdict->rule,
			      slash != NULL ? slash + 1 : verdict->file, verdict->line);
	} else if (verdict != NULL) {
		fl_text_print(ret, "default");
	}
}

/* The texts are made only for the first of connections that are alike. */
static void note_denial(const struct fl_access *access)
{
	const struct fl_conn *conn = access->conn;
	struct fl_text rule = {.is_soft = true}, remedy = {.is_soft = true};
	struct fl_denial key = {.direction = conn->direction,
				.reason = access->reason,
				.peer = (char *)(uintptr_t)peer_of(access),
				.section = (char *)(uintptr_t)fl_conn_name(conn),
				.source = conn->source,
				.destination = conn->destination,
				.port = conn->port};
	const struct fl_tls_failure *failure = failure_of(access);
	const char *detail = access->detail != NULL ? access->detail
			     : failure != NULL      ? failure->text
						    : NULL;
	struct fl_denial *denial;
	bool is_new;

	put_rule(&rule, access);
	key.rule = rule.data;
	denial = fl_denials_note(&conn->loop->denials, &key, (int64_t)time(NULL),
				 uv_now(conn->loop->uv), &is_new);
	if (denial != NULL && is_new) {
		put_remedy(&remedy, access, FL_PROPOSE_LINES);
		if (failure != NULL && failure->rule != FL_RULE_NONE) {
			fl_text_print(&remedy, "%s", fl_rule_remedy(failure->rule));
		}
		denial->detail = detail != NULL ? strdup(detail) : NULL;
		denial->remedy = remedy.has_failed ? NULL : remedy.data;
		remedy.data = denial->remedy == NULL ? remedy.data : NULL;
	}
	fl_text_done(&remedy);
	fl_text_done(&rule);
}

static void add_addresses(struct fl_line *line, const struct fl_conn *conn)
{
	char text[FL_ADDR_TEXT];

	/* A connection that was reset before we accepted it no longer has an address. */
	fl_line_str(line, "source",
		    conn->source.family != 0  ? fl_inet_format(&conn->source, text)
		    : conn->endpoint->is_unix ? "unix"
					      : "unknown");
	if (fl_conn_is_captured(conn)) {
		fl_line_str(line, "destination", fl_inet_format(&conn->destination, text));
	}
}

static void add_mesh_addr(struct fl_line *line, const struct fl_access *access)
{
	char addr[FL_ADDR_TEXT];

	if (access->mesh != NULL) {
		fl_line_str(line, "peer_addr", access->mesh->ops->peer_addr(access->mesh, addr));
	} else if (access->sock != NULL) {
		fl_line_str(line, "peer_addr", fl_sock_peer(access->sock, addr));
	}
}

/* The address that was dialled: the upstream's, or the app's. buf of FL_ADDR_TEXT bytes; returns buf, or NULL: none was. */
static const char *dialled(const struct fl_access *access, char *buf)
{
	const struct fl_conn *conn = access->conn;
	union fl_sockaddr to, from;
	struct fl_dial dial;

	if (conn->direction == FL_OUTBOUND) {
		return access->mesh != NULL        ? access->mesh->ops->peer_addr(access->mesh, buf)
		       : fl_conn_is_captured(conn) ? fl_inet_format(&conn->destination, buf)
						   : NULL;
	}
	dial = fl_conn_app(conn, &to, &from);
	return fl_sockaddr_format(dial.to, buf);
}

static bool is_about_app(enum fl_reason reason)
{
	return reason == FL_REASON_APP_REFUSED || reason == FL_REASON_APP_UNREACHABLE ||
	       reason == FL_REASON_APP_CONNECT_TIMEOUT || reason == FL_REASON_APP_TIMEOUT;
}

/* Inbound: where we have tried to reach the app. */
static void add_app(struct fl_line *line, const struct fl_access *access)
{
	char text[FL_ADDR_TEXT];

	if (access->conn->direction == FL_INBOUND && is_about_app(access->reason)) {
		fl_line_str(line, "app_addr", dialled(access, text));
	}
}

/* The section of the INI; [outbound] has no name to print. */
static void add_upstream_line(struct fl_line *line, const struct fl_conn *conn)
{
	fl_line_str(line, "rule_file", conn->share->generation->conf->path);
	fl_line_u64(line, "rule_line", conn->upstream->line);
}

/* Which connection it is, what has become of it, and what it has carried: all of it is short, so that it has room in any line. */
static void add_essentials(struct fl_line *line, const struct fl_access *access)
{
	const struct fl_conn *conn = access->conn;
	bool inbound = conn->direction == FL_INBOUND;

	fl_line_str(line, "direction", inbound ? "inbound" : "outbound");
	fl_line_str(line, inbound ? "service" : "upstream", fl_conn_name(conn));
	add_addresses(line, conn);
	fl_line_str(line, "detected", fl_detected_word(conn->detected));
	add_mesh_addr(line, access);
	fl_line_u64(line, "generation", conn->share->generation->number);
	if (access->verdict != NULL) {
		add_verdict(line, access->verdict);
	}
	if (access->broken_rule != FL_RULE_NONE) {
		fl_line_str(line, "broken_rule", fl_rule_name(access->broken_rule));
	}
	fl_line_u64(line, "bytes_to_app", access->to_app);
	fl_line_u64(line, "bytes_to_mesh", access->to_mesh);
	fl_line_seconds(line, "duration_s", uv_hrtime() - conn->started_ns);
}

/* A path and two identities may fill a line, which is then cut. What is ours comes last (finish()). */
static void add_details(struct fl_line *line, const struct fl_access *access)
{
	const struct fl_conn *conn = access->conn;
	char detail[FL_TROUBLE_TEXT];

	if (access->mesh != NULL) {
		access->mesh->ops->describe(access->mesh, line);
	} else if (conn->security == FL_SECURITY_PLAINTEXT) {
		fl_line_str(line, "security", "plaintext");
	}
	fl_line_str(line, "detail", detail_of(access, detail));
	if (access->verdict != NULL) {
		add_place_of_rule(line, access->verdict);
	}
}

static void finish(struct fl_line *line, const struct fl_access *access)
{
	fl_line_str(line, "own", access->conn->share->generation->credentials->id);
	fl_line_end(line);
}

void fl_access_goes_on(const struct fl_access *access)
{
	struct fl_line line;

	fl_line_begin(&line, &access->conn->loop->log, FL_LOG_INFO, "connection open");
	add_essentials(&line, access);
	add_details(&line, access);
	finish(&line, access);
}

/* What is known about TLS precedes what is known about the connection. */
static void note_trouble(const struct fl_access *access)
{
	const struct fl_tls_failure *failure =
		access->mesh != NULL ? access->mesh->ops->failure(access->mesh) : NULL;
	char address[FL_ADDR_TEXT], detail[FL_TROUBLE_TEXT];
	struct fl_trouble trouble = {.conn = access->conn,
				     .reason = access->reason,
				     .rule = failure != NULL ? failure->rule : FL_RULE_NONE,
				     .detail = failure != NULL ? failure->text
							       : detail_of(access, detail)};

	if (fl_trouble_is(access->conn, access->reason, access->to_app)) {
		trouble.address = dialled(access, address);
		fl_trouble_note(&trouble);
	}
}

/* A client that has sent no ClientHello within the time for it may speak plaintext and wait for the server to begin. */
static bool is_without_tls(const struct fl_access *access)
{
	return access->reason == FL_REASON_NOT_TLS ||
	       (access->reason == FL_REASON_HANDSHAKE_TIMEOUT && access->mesh == NULL);
}

/* Inbound: those whom policy might admit if they had another certificate, or one at all. */
static void note_caller(const struct fl_access *access)
{
	const struct fl_tls_failure *failure =
		access->mesh != NULL ? access->mesh->ops->failure(access->mesh) : NULL;
	const char *id = failure != NULL ? failure->claimed : NULL;
	struct fl_loop *loop = access->conn->loop;
	union fl_sockaddr source;
	struct fl_request request;

	if (access->conn->direction != FL_INBOUND ||
	    (!is_without_tls(access) && (access->reason != FL_REASON_CERTIFICATE || id == NULL))) {
		return;
	}
	request = fl_conn_request(access->conn, id, &source);
	fl_callers_note_refused(&loop->unproven, &request,
				failure != NULL && failure->rule == FL_RULE_REVOKED
					? FL_REASON_REVOKED
					: access->reason,
				(int64_t)time(NULL));
}

void fl_access_ended(const struct fl_access *access)
{
	const struct fl_conn *conn = access->conn;
	struct fl_loop *loop = conn->loop;
	bool denied = fl_reason_is_denial(access->reason);
	struct fl_line line;

	fl_counters_ended(&loop->counters, conn->direction, conn->security, access->reason);
	if (conn->peer != NULL) {
		fl_peer_ended(conn->peer, access->reason);
	}
	if (denied) {
		note_denial(access);
	}
	note_trouble(access);
	note_caller(access);
	if (!is_wanted(conn, access->reason, access->verdict) ||
	    !may_have_line(conn, access->reason)) {
		return;
	}
	fl_line_begin(&line, &loop->log, denied ? FL_LOG_WARN : FL_LOG_INFO,
		      fl_reason_class(access->reason) == FL_REASON_CLASS_LOST ? "connection closed"
		      : denied                                                ? "connection refused"
									      : "connection");
	add_essentials(&line, access);
	fl_line_str(&line, "reason", fl_reason_word(access->reason));
	if (access->reason != FL_REASON_DONE) {
		fl_line_str(&line, "explanation", fl_reason_text(access->reason));
	}
	add_app(&line, access);
	add_details(&line, access);
	if (access->reason == FL_REASON_OUTBOUND_REFUSED) {
		add_upstream_line(&line, conn);
	}
	add_remedy(&line, access);
	finish(&line, access);
}
