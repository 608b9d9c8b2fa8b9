/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The relay of one app connection.
 *
 * Happy path: what one side says is handed to the other in the same callback. A side that cannot take everything
 * holds the rest itself (bounded by one read) and its source is not read until it has drained. A finished side becomes a half-close of
 * the other; when both have finished and nothing is pending, the stream is done.
 *
 * Failure: abort_stream() ends both sides with a reset, because neither may take what it got for everything there was.
 *
 * Ownership: the stream owns the app socket and, for now, its session: one connection of the app, one session. */
#include "proxy/stream.h"

#include <stdlib.h>
#include <utlist.h>

#include "proxy/access.h"

enum state { WAIT_SESSION, DIAL_APP, OPEN, HALF_APP, HALF_MESH, FINISHED, CLOSED };

#define TO(state) (1u << (state))
static const unsigned allowed_next[] = {
	[WAIT_SESSION] = TO(OPEN) | TO(CLOSED),
	[DIAL_APP] = TO(OPEN) | TO(CLOSED),
	[OPEN] = TO(HALF_APP) | TO(HALF_MESH) | TO(CLOSED),
	[HALF_APP] = TO(FINISHED) | TO(CLOSED),  /* the app has finished sending */
	[HALF_MESH] = TO(FINISHED) | TO(CLOSED), /* the peer has */
	[FINISHED] = TO(CLOSED),                 /* both have; bytes may still be pending */
	[CLOSED] = 0,
};

struct fl_stream {
	struct fl_corpse corpse; /* first: buried when closed */
	struct fl_stream *prev, *next;
	struct fl_endpoint *endpoint;
	struct fl_session *session; /* NULL once it is gone */
	struct fl_sock *app;        /* NULL once it is gone */
	struct fl_deadline
		deadline; /* DIAL_APP: connect_timeout; OPEN and later: the next look for idleness */
	uint64_t started_ns;
	uint64_t active_ms; /* uv_now() of the last byte */
	uint64_t to_app, to_mesh;
	struct fl_verdict verdict; /* inbound; its strings belong to the session's generation */
	uint8_t state;             /* enum state */
};

static const struct fl_sock_events app_events;
static const struct fl_session_events session_events;

static struct fl_worker *worker_of(const struct fl_stream *stream)
{
	return stream->endpoint->worker;
}

static void set_state(struct fl_stream *stream, enum state next)
{
	FL_REQUIRE((allowed_next[stream->state] & TO(next)) != 0);
	stream->state = (uint8_t)next;
}

/* --- birth and end ---------------------------------------------------------------------------- */

static struct fl_stream *stream_new(struct fl_endpoint *endpoint, enum state state)
{
	struct fl_worker *worker = endpoint->worker;
	struct fl_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL) {
		return NULL;
	}
	stream->endpoint = endpoint;
	stream->state = (uint8_t)state;
	stream->started_ns = uv_hrtime();
	DL_APPEND(worker->streams, stream);
	if (endpoint->direction == FL_OUTBOUND) {
		fl_worker_opened(worker, FL_OUTBOUND);
	}
	return stream;
}

static void log_end(struct fl_stream *stream, enum fl_reason reason)
{
	char source[FL_ADDR_TEXT];
	bool outbound = stream->endpoint->direction == FL_OUTBOUND;
	struct fl_access access = {
		.endpoint = stream->endpoint,
		.session = stream->session,
		.source =
			outbound && stream->app != NULL ? fl_sock_peer(stream->app, source) : NULL,
		.verdict = outbound ? NULL : &stream->verdict,
		.reason = reason,
		.started_ns = stream->started_ns,
		.to_app = stream->to_app,
		.to_mesh = stream->to_mesh,
	};

	fl_access_ended(worker_of(stream), &access);
}

static void release(struct fl_stream *stream)
{
	struct fl_worker *worker = worker_of(stream);

	set_state(stream, CLOSED);
	fl_deadline_drop(&stream->deadline);
	DL_DELETE(worker->streams, stream);
	fl_worker_bury(worker, &stream->corpse);
	if (stream->endpoint->direction == FL_OUTBOUND) {
		fl_worker_closed(worker, FL_OUTBOUND);
	}
}

static void abort_stream(struct fl_stream *stream, enum fl_reason reason)
{
	log_end(stream, reason);
	if (stream->app != NULL) {
		fl_sock_reset(stream->app);
		stream->app = NULL;
	}
	if (stream->session != NULL) {
		fl_session_reset(stream->session);
		stream->session = NULL;
	}
	release(stream);
}

static void finish_if_flushed(struct fl_stream *stream)
{
	if (stream->state != FINISHED || fl_sock_pending(stream->app) ||
	    fl_session_pending(stream->session)) {
		return;
	}
	log_end(stream, FL_REASON_DONE);
	fl_sock_close(stream->app, 0);
	fl_session_close(stream->session);
	release(stream);
}

/* --- looks ------------------------------------------------------------------------------------- */

static bool end_if_idle(struct fl_stream *stream)
{
	const struct fl_worker *worker = worker_of(stream);

	if (uv_now(&worker->loop) - stream->active_ms < worker->idle_timeout_ms) {
		return false;
	}
	abort_stream(stream, FL_REASON_IDLE_TIMEOUT);
	return true;
}

/* Looks now and then instead of re-arming a timer for every byte: late by an eighth of idle_timeout at most. */
static void on_idle_look(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, deadline);
	struct fl_worker *worker = worker_of(stream);

	if (!end_if_idle(stream)) {
		fl_deadline_add(&worker->idle, deadline, on_idle_look);
	}
}

/* The side that has finished is not read any more, so its reset would show with the next write only, and a silent
 * other side would wait for the idle_timeout. */
static void on_half_open_look(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, deadline);

	if (stream->state == HALF_APP && fl_sock_is_broken(stream->app)) {
		abort_stream(stream, FL_REASON_APP_RESET);
	} else if (stream->state == HALF_MESH && fl_session_is_broken(stream->session)) {
		abort_stream(stream, FL_REASON_PEER_RESET);
	} else if (!end_if_idle(stream)) {
		fl_deadline_add(&worker_of(stream)->half_open, deadline, on_half_open_look);
	}
}

static void set_half_open(struct fl_stream *stream, enum state state)
{
	set_state(stream, state);
	fl_deadline_add(&worker_of(stream)->half_open, &stream->deadline, on_half_open_look);
}

/* --- relay ------------------------------------------------------------------------------------ */

static void on_app_data(void *user, uint8_t *data, size_t len)
{
	struct fl_stream *stream = user;
	int rc = fl_session_write(stream->session, data, len);

	stream->active_ms = uv_now(&worker_of(stream)->loop);
	stream->to_mesh += len;
	fl_count(&worker_of(stream)->counters.bytes_to_mesh[stream->endpoint->direction], len);
	if (rc > 0) {
		fl_sock_read_stop(stream->app);
	} else if (rc < 0) {
		abort_stream(stream, FL_REASON_PEER_RESET);
	}
}

static void on_app_eof(void *user)
{
	struct fl_stream *stream = user;

	if (stream->state == OPEN) {
		set_half_open(stream, HALF_APP);
		fl_session_shutdown(stream->session);
		return;
	}
	set_state(stream, FINISHED);
	fl_session_shutdown(stream->session);
	finish_if_flushed(stream);
}

static void on_app_drain(void *user)
{
	struct fl_stream *stream = user;

	if (stream->state == OPEN || stream->state == HALF_APP) {
		fl_session_read_start(stream->session);
	} else {
		finish_if_flushed(stream);
	}
}

static void on_app_error(void *user, int sys)
{
	(void)sys;
	abort_stream(user, FL_REASON_APP_RESET);
}

static const struct fl_sock_events app_events = {.on_data = on_app_data,
						 .on_eof = on_app_eof,
						 .on_drain = on_app_drain,
						 .on_error = on_app_error};

static void on_session_data(void *user, uint8_t *data, size_t len)
{
	struct fl_stream *stream = user;
	int rc = fl_sock_write(stream->app, data, len);

	stream->active_ms = uv_now(&worker_of(stream)->loop);
	stream->to_app += len;
	fl_count(&worker_of(stream)->counters.bytes_to_app[stream->endpoint->direction], len);
	if (rc > 0) {
		fl_session_read_stop(stream->session);
	} else if (rc < 0) {
		abort_stream(stream, FL_REASON_APP_RESET);
	}
}

static void on_session_eof(void *user)
{
	struct fl_stream *stream = user;

	if (stream->state == OPEN) {
		set_half_open(stream, HALF_MESH);
		fl_sock_shutdown(stream->app);
		return;
	}
	set_state(stream, FINISHED);
	if (fl_sock_pending(stream->app) || fl_session_pending(stream->session)) {
		fl_sock_shutdown(stream->app);
	}
	finish_if_flushed(stream); /* close() is a FIN too */
}

static void on_session_drain(void *user)
{
	struct fl_stream *stream = user;

	if (stream->state == OPEN || stream->state == HALF_MESH) {
		fl_sock_read_start(stream->app);
	} else {
		finish_if_flushed(stream);
	}
}

static void on_session_closed(void *user, enum fl_reason reason)
{
	struct fl_stream *stream = user;

	log_end(stream, reason);
	stream->session = NULL; /* it ends by itself */
	fl_sock_reset(stream->app);
	stream->app = NULL;
	release(stream);
}

static void start_relay(struct fl_stream *stream)
{
	struct fl_worker *worker = worker_of(stream);

	set_state(stream, OPEN);
	stream->active_ms = uv_now(&worker->loop);
	fl_deadline_add(&worker->idle, &stream->deadline, on_idle_look);
}

static void read_both(struct fl_stream *stream)
{
	if (!fl_session_pending(stream->session)) {
		fl_sock_read_start(stream->app);
	}
	fl_session_read_start(stream->session);
}

/* --- outbound: the app is there, the session has to be made -------------------------------------- */

/* What the app has said meanwhile goes out in one packet with the end of our handshake. */
static void on_session_ready(void *user)
{
	struct fl_stream *stream = user;
	struct fl_worker *worker = worker_of(stream);

	start_relay(stream);
	fl_sock_read_now(stream->app, worker->opened, worker->net.read_cap);
	if (stream->state == OPEN) {
		read_both(stream);
	}
}

static const struct fl_session_events session_events = {.on_ready = on_session_ready,
							.on_data = on_session_data,
							.on_eof = on_session_eof,
							.on_drain = on_session_drain,
							.on_closed = on_session_closed};

void fl_stream_outbound(struct fl_endpoint *endpoint, struct fl_listener *listener)
{
	struct fl_sock *app = fl_listener_accept(listener, &app_events, NULL);
	struct fl_stream *stream;
	enum fl_reason reason;

	if (app == NULL) {
		return;
	}
	stream = stream_new(endpoint, WAIT_SESSION);
	if (stream == NULL) {
		fl_sock_reset(app);
		return;
	}
	stream->app = app;
	fl_sock_set_user(app, &app_events, stream);
	/* The app is not read before the peer is verified: its early bytes wait in the kernel, bounded. */
	stream->session = fl_session_dial(endpoint, &session_events, stream, &reason);
	if (stream->session == NULL) {
		abort_stream(stream, reason);
	}
}

/* --- inbound: the session is there, the app has to answer ----------------------------------------- */

static void on_app_dialed(void *user, int sys)
{
	struct fl_stream *stream = user;

	if (sys == 0) {
		start_relay(stream);
		read_both(stream);
	} else {
		abort_stream(stream, fl_reason_of_app_dial(sys));
	}
}

static void on_dial_deadline(struct fl_deadline *deadline)
{
	abort_stream(FL_CONTAINER_OF(deadline, struct fl_stream, deadline),
		     FL_REASON_APP_CONNECT_TIMEOUT);
}

void fl_stream_inbound(struct fl_session *session, const struct fl_verdict *verdict)
{
	struct fl_endpoint *endpoint = fl_session_endpoint(session);
	struct fl_worker *worker = endpoint->worker;
	const struct fl_conf_service *service =
		fl_generation_service(fl_session_share(session)->generation, endpoint->name);
	struct fl_stream *stream = stream_new(endpoint, DIAL_APP);
	struct fl_err err;

	if (stream == NULL) {
		struct fl_access access = {.endpoint = endpoint,
					   .session = session,
					   .verdict = verdict,
					   .reason = FL_REASON_INTERNAL,
					   .started_ns = fl_session_started_ns(session)};

		fl_access_ended(worker, &access);
		fl_session_reset(session);
		return;
	}
	stream->session = session;
	stream->verdict = *verdict;
	stream->started_ns = fl_session_started_ns(session);
	fl_session_set_user(session, &session_events, stream);
	if (fl_sock_dial(&worker->net, &service->app.sa.any, false, &app_events, stream,
			 on_app_dialed, &stream->app, &err) != 0) {
		abort_stream(stream, fl_reason_of_app_dial(-err.sys));
		return;
	}
	fl_deadline_add(&worker->connecting, &stream->deadline, on_dial_deadline);
}

/* --- shutdown ---------------------------------------------------------------------------------- */

void fl_stream_end_all(struct fl_worker *worker, enum fl_reason reason)
{
	struct fl_stream *stream, *tmp;

	DL_FOREACH_SAFE(worker->streams, stream, tmp)
	{
		abort_stream(stream, reason);
	}
}
