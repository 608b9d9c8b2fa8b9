/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/trouble.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conn/conn.h"

/* Which reasons are failures of an upstream, and what can be done about each. */
static const char *const upstream_remedies[FL_REASON_COUNT] = {
	[FL_REASON_PEER_RESET] = "the log of the server says why it ended the connection; a "
				 "sidecar whose app is down logs app_refused",
	[FL_REASON_PEER_TIMEOUT] = "find out whether that machine still runs, and whether the "
				   "network between has changed",
	[FL_REASON_PEER_TRUNCATED] = "the log of the server says why it ended the connection",
	[FL_REASON_PEER_REFUSED] = "nothing listens there: start the server, or correct the "
				   "address and port of its mesh side in `to`",
	[FL_REASON_PEER_UNREACHABLE] = "there is no route: check the address, network policies "
				       "and firewalls",
	[FL_REASON_PEER_CONNECT_TIMEOUT] = "nothing answers there: check the address, network "
					   "policies and firewalls",
	[FL_REASON_PEER_STALLED] = "find out why the sidecar there does not run: a stopped or "
				   "frozen container, or no CPU",
	[FL_REASON_NO_ADDRESS] = "check the name in `to`; `getent hosts NAME` in this pod shows "
				 "what DNS says",
	[FL_REASON_HANDSHAKE_TIMEOUT] = "it accepts connections but completes no handshake: find "
					"out whether a TLS server listens there, and its load",
	[FL_REASON_NOT_TLS] = "that port does not speak TLS: `to` has to name the port of the "
			      "peer's sidecar, not the app's; if there is no sidecar, `mode = "
			      "plaintext`",
	[FL_REASON_TLS_VERSION] = "the server has to support TLS 1.3",
	[FL_REASON_TLS_PARAMETERS] = "compare [tls] groups and ciphers with those of the server",
	[FL_REASON_TLS_PROTOCOL] = "find out what listens there, and what changes bytes on the "
				   "way",
	[FL_REASON_PEER_ALERT] = "the log of the server says why it refused us; at a sidecar, it "
				 "is a line `connection refused` with our identity as `peer`",
	[FL_REASON_CERTIFICATE] = "see the log of the connection: broken_rule and detail",
	[FL_REASON_NOT_MUTUAL] = "let the server ask for client certificates, or set `mutual = "
				 "optional`",
	[FL_REASON_LOOP] = "`to` leads back to this sidecar: name the address of the server",
};

/* The same of a service. */
static const char *const service_remedies[FL_REASON_COUNT] = {
	[FL_REASON_APP_REFUSED] = "start the app, or correct the address that the INI gives for "
				  "it",
	[FL_REASON_APP_UNREACHABLE] = "check the address that the INI gives for the app",
	[FL_REASON_APP_CONNECT_TIMEOUT] = "the app does not accept: find out whether it hangs, or "
					  "is overloaded",
};

/* The same of this machine, by the error of the dial. NULL: the error is about the other end. */
static const char *local_remedy(int sys)
{
	switch (sys) {
	case UV_EADDRNOTAVAIL:
		return "`ss -tan` in this pod shows which connections use its ports up; "
		       "net.ipv4.ip_local_port_range gives it more; for an IPv6 address it needs "
		       "one itself";
	case UV_EMFILE:
	case UV_ENFILE:
		return "give the sidecar more file descriptors (`ulimit -n`, LimitNOFILE=, "
		       "fs.file-max), or lower [limits] connections";
	case UV_ENOBUFS:
	case UV_ENOMEM:
		return "give the sidecar's container, or the machine, more memory, or lower "
		       "[limits] connections";
	default:
		return NULL;
	}
}

static const char *remedy_of(enum fl_direction direction, enum fl_reason reason, int dial_error)
{
	const char *local = local_remedy(dial_error);

	if (local != NULL) {
		return local;
	}
	return direction == FL_INBOUND ? service_remedies[reason] : upstream_remedies[reason];
}

/* 0: the reason has another cause, or says it all. */
static int dial_error_of(const struct fl_conn *conn, enum fl_reason reason)
{
	bool is_of_dial = reason == FL_REASON_PEER_UNREACHABLE ||
			  reason == FL_REASON_APP_UNREACHABLE || reason == FL_REASON_INTERNAL;

	return is_of_dial ? conn->dial_error : 0;
}

/* mode = tproxy: the sidecar dials the app from the client's address. */
static bool is_from_client(const struct fl_conn *conn)
{
	union fl_sockaddr to, from;

	return conn->direction == FL_INBOUND && fl_conn_app(conn, &to, &from).from != NULL;
}

const char *fl_trouble_detail(const struct fl_conn *conn, enum fl_reason reason, char *buf)
{
	int sys = dial_error_of(conn, reason);

	if (sys == 0) {
		return NULL;
	}
	if (sys != UV_EADDRNOTAVAIL) {
		return uv_strerror_r(sys, buf, FL_TROUBLE_TEXT);
	}
	return is_from_client(conn)
		       ? "with this client's address, every source port that the sidecar "
			 "may use towards the app is in use"
		       : "no source port is free for that address, or this pod has no "
			 "address of its family";
}

const char *fl_trouble_remedy(const struct fl_conn *conn, enum fl_reason reason)
{
	return local_remedy(dial_error_of(conn, reason));
}

/* A server that has answered, and ends the connection later, works; a machine that is gone does not. */
bool fl_trouble_is(const struct fl_conn *conn, enum fl_reason reason, uint64_t to_app)
{
	return conn->section != NULL &&
	       remedy_of(conn->direction, reason, dial_error_of(conn, reason)) != NULL &&
	       (conn->direction == FL_INBOUND || to_app == 0 || reason == FL_REASON_PEER_TIMEOUT);
}

static int64_t wall_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- lines ---------------------------------------------------------------------------------------- */

static void put_section(struct fl_line *line, enum fl_direction direction, const char *name)
{
	bool inbound = direction == FL_INBOUND;

	fl_line_str(line, inbound ? "service" : "upstream",
		    name != NULL ? name
		    : inbound    ? "[inbound]"
				 : "[outbound]");
}

static void log_failures(struct fl_log *log, enum fl_direction direction, const char *name,
			 const struct fl_section_failure *failure, uint64_t count,
			 const char *remedy)
{
	struct fl_line line;

	fl_line_begin(&line, log, FL_LOG_WARN,
		      direction == FL_INBOUND ? "service fails" : "upstream fails");
	put_section(&line, direction, name);
	fl_line_str(&line, "address", failure->address[0] != '\0' ? failure->address : NULL);
	fl_line_str(&line, "failure", fl_reason_word(failure->reason));
	fl_line_str(&line, "explanation", fl_reason_text(failure->reason));
	fl_line_str(&line, "detail", failure->detail[0] != '\0' ? failure->detail : NULL);
	fl_line_str(&line, "remedy", remedy);
	fl_line_u64(&line, "failures", count);
	fl_line_end(&line);
}

/* --- what was left out ---------------------------------------------------------------------------- */

/* Returns whether some have to be logged, but not yet. */
static bool log_left_out(struct fl_loop *loop, struct fl_section *section,
			 enum fl_direction direction)
{
	struct fl_section_failure last;
	bool later;
	uint64_t count = fl_section_left_out(section, uv_now(loop->uv), &last, &later);

	if (count > 0) {
		log_failures(&loop->log, direction, fl_section_name(section), &last, count,
			     remedy_of(direction, last.reason, last.dial_error));
	}
	return later;
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_loop *loop = timer->data;
	const struct fl_section_set *set = loop->share != NULL ? loop->share->sections : NULL;
	bool later = false;

	for (size_t i = 0; set != NULL && i < fl_section_count(set); i++) {
		later = log_left_out(loop, set->items[i],
				     i <= set->service_count ? FL_INBOUND : FL_OUTBOUND) ||
			later;
	}
	if (later) {
		FL_REQUIRE(uv_timer_start(timer, on_timer, FL_SECTION_QUIET_MS / 4, 0) == 0);
	}
}

static void log_later(struct fl_loop *loop)
{
	const uv_handle_t *handle = (const uv_handle_t *)&loop->trouble;

	if (!uv_is_active(handle) && !uv_is_closing(handle)) {
		FL_REQUIRE(uv_timer_start(&loop->trouble, on_timer, FL_SECTION_QUIET_MS, 0) == 0);
	}
}

/* --- what happens ---------------------------------------------------------------------------------- */

static void copy(const char *text, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", text != NULL ? text : "");
}

void fl_trouble_note(const struct fl_trouble *trouble)
{
	const struct fl_conn *conn = trouble->conn;
	struct fl_loop *loop = conn->loop;
	struct fl_section *section = conn->section->section;
	struct fl_section_failure failure = {.time_ms = wall_ms(),
					     .reason = trouble->reason,
					     .dial_error = dial_error_of(conn, trouble->reason)};
	uint64_t count;

	copy(trouble->address, failure.address, sizeof(failure.address));
	copy(trouble->detail, failure.detail, sizeof(failure.detail));
	count = fl_section_failed(section, &failure, uv_now(loop->uv));
	if (count > 0) {
		log_failures(
			&loop->log, conn->direction, fl_section_name(section), &failure, count,
			trouble->rule != FL_RULE_NONE
				? fl_rule_remedy(trouble->rule)
				: remedy_of(conn->direction, failure.reason, failure.dial_error));
	} else {
		log_later(loop);
	}
}

void fl_trouble_none(const struct fl_conn *conn)
{
	struct fl_loop *loop = conn->loop;
	struct fl_line line;

	if (conn->section == NULL ||
	    !fl_section_succeeded(conn->section, wall_ms(), uv_now(loop->uv))) {
		return;
	}
	fl_line_begin(&line, &loop->log, FL_LOG_INFO,
		      conn->direction == FL_INBOUND ? "service works again"
						    : "upstream works again");
	put_section(&line, conn->direction, fl_section_name(conn->section->section));
	fl_line_end(&line);
}
