/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One TLS connection to a peer.
 *
 * Happy path, server: accept, feed the engine until it says ESTABLISHED, on_ready, then records are opened into the
 * worker's scratch and handed on, and plaintext is sealed into the other scratch and written at once. Client: the same
 * after a dial that tries one address after another.
 *
 * Failure: every failure ends in fl_session_fail(), which reports it to the user once. When the engine has an alert to send
 * it is sent, and the socket hangs up gently so that the alert arrives; otherwise the peer gets a reset. A TCP end without
 * close_notify is a truncation and never a clean end.
 *
 * Ownership: the session owns socket and engine and holds its share of the generation. Its own memory is buried, not freed:
 * frames up the stack check `state` after every callback. */
#include "conn/session_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/tls_alert.h"

#define FLIGHT_MAX 16384u /* bytes: usually enough for a client's whole last flight */

static const char *const state_names[] = {
	[FL_SESSION_DIALING] = "dialing", [FL_SESSION_HANDSHAKE] = "handshake",
	[FL_SESSION_READY] = "ready",     [FL_SESSION_IDLE] = "idle",
	[FL_SESSION_CLOSED] = "closed",
};
static const uint32_t next_states[] = {
	[FL_SESSION_DIALING] = FL_TO(FL_SESSION_HANDSHAKE) | FL_TO(FL_SESSION_CLOSED),
	[FL_SESSION_HANDSHAKE] =
		FL_TO(FL_SESSION_READY) | FL_TO(FL_SESSION_DIALING) | FL_TO(FL_SESSION_CLOSED),
	[FL_SESSION_READY] = FL_TO(FL_SESSION_IDLE) | FL_TO(FL_SESSION_CLOSED),
	[FL_SESSION_IDLE] = FL_TO(FL_SESSION_READY) | FL_TO(FL_SESSION_CLOSED),
	[FL_SESSION_CLOSED] = 0,
};
const struct fl_states fl_session_states = {.object = "session",
					    .names = state_names,
					    .next = next_states,
					    .count = FL_COUNT_OF(state_names)};

void fl_session_enter(struct fl_session *session, enum fl_session_state next)
{
	fl_states_enter(&fl_session_states, session->loop, session->mesh.conn, &session->state,
			next);
}

/* --- birth and end ---------------------------------------------------------------------------- */

struct fl_session *fl_session_new(struct fl_conn *conn, const struct fl_mesh_events *events,
				  bool is_client)
{
	struct fl_loop *loop = conn->loop;
	struct fl_session *session = calloc(1, sizeof(*session));
	struct fl_shaking *shaking = calloc(1, sizeof(*shaking));

	if (session == NULL || shaking == NULL) {
		free(session);
		free(shaking);
		return NULL;
	}
	shaking->session = session;
	session->shaking = shaking;
	session->mesh = (struct fl_mesh){.ops = &fl_session_mesh_ops,
					 .events = events,
					 .user = &session->mesh,
					 .conn = fl_conn_ref(conn)};
	session->loop = loop;
	session->share = fl_share_ref(conn->share);
	session->lane = conn->lane;
	session->is_client = is_client;
	session->state = is_client ? FL_SESSION_DIALING : FL_SESSION_HANDSHAKE;
	session->started_ns = conn->started_ns;
	DL_APPEND(loop->sessions, session);
	fl_slots_hold(&loop->slots[conn->direction], &shaking->slot, conn->lane, uv_now(loop->uv));
	return session;
}

/* It is ready, or over: its slot is free, and nothing is due. Does nothing the second time. */
static void end_shaking(struct fl_session *session)
{
	struct fl_shaking *shaking = session->shaking;

	if (shaking != NULL) {
		session->shaking = NULL;
		fl_deadline_drop(&shaking->deadline);
		fl_slots_release(&session->loop->slots[fl_session_direction(session)],
				 &shaking->slot);
		fl_loop_bury(session->loop, &shaking->corpse);
	}
}

/* Releases everything except the memory; the socket is gone already. */
void fl_session_release(struct fl_session *session)
{
	struct fl_loop *loop = session->loop;
	bool held_slot = session->state < FL_SESSION_READY;
	struct fl_conn *conn = session->mesh.conn;

	if (session->framed != NULL) {
		fl_framed_unrest(session);
		fl_framed_release(session);
	}
	fl_session_enter(session, FL_SESSION_CLOSED);
	fl_session_end_dialing(session);
	fl_signing_cancel(session->signing);
	session->signing = NULL;
	fl_tls_free(session->tls);
	free(session->held);
	free(session->unsent);
	session->unsent = NULL;
	session->tls = NULL;
	session->held = NULL;
	DL_DELETE(loop->sessions, session);
	fl_loop_bury(loop, &session->corpse);
	end_shaking(session);
	fl_share_unref(session->share);
	if (conn != NULL) {
		fl_conn_unref(conn);
	} else {
		fl_loop_session_gone(loop);
	}
	if (held_slot) {
		fl_loop_serve_waiting(loop);
	}
}

void fl_session_end_socket(struct fl_session *session, bool gently)
{
	struct fl_sock *sock = session->sock;

	session->sock = NULL;
	if (sock == NULL) {
		return;
	}
	if (gently && !session->loop->stopping) {
		fl_sock_hang_up(sock, FL_SESSION_LINGER_MS);
	} else {
		fl_sock_reset(sock);
	}
}

static void count_failed(const struct fl_session *session, enum fl_reason reason)
{
	struct fl_loop *loop = session->loop;
	enum fl_direction direction = fl_session_direction(session);
	const struct fl_tls_failure *failure = fl_session_failure(&session->mesh);

	fl_count(&loop->counters.handshakes_failed[direction][reason], 1);
	if (failure != NULL && failure->peer != NULL) {
		fl_peer_counts_failed(loop->peers, direction, fl_tls_peer_name(failure->peer),
				      reason);
	}
}

void fl_session_fail_and_end(struct fl_session *session, enum fl_reason reason, bool gently,
			     uint8_t alert)
{
	const struct fl_mesh_events *events = session->mesh.events;

	/* From here on, socket events are not reported: the user may query the session, but not act on it. */
	if (session->shaking != NULL) {
		fl_deadline_drop(&session->shaking->deadline);
	}
	if (session->state == FL_SESSION_HANDSHAKE) {
		fl_session_drop_offered(session);
		count_failed(session, reason);
	}
	session->mesh.events = NULL;
	if (events != NULL) { /* NULL: idle */
		events->on_closed(session->mesh.user, reason);
	}
	if (alert != 0 && !session->shut) {
		struct fl_tls_io io = fl_session_io_to_send(session);

		fl_tls_alert(session->tls, &io, alert);
		(void)fl_session_send(session, &io, false);
	}
	fl_session_end_socket(session, gently);
	fl_session_release(session);
}

/* Ends it, and reports that to the user. */
void fl_session_fail(struct fl_session *session, enum fl_reason reason)
{
	const struct fl_tls_failure *failure = fl_session_failure(&session->mesh);

	if (fl_framed_may_start_over(session, reason)) {
		fl_framed_start_over(session, false);
		return;
	}
	fl_session_fail_and_end(session, reason,
				failure != NULL && failure->alert != 0 &&
					failure->cause != FL_TLS_CAUSE_PEER_ALERT,
				0);
}

static void on_deadline(struct fl_deadline *deadline)
{
	fl_session_fail(FL_CONTAINER_OF(deadline, struct fl_shaking, deadline)->session,
			FL_REASON_HANDSHAKE_TIMEOUT);
}

void fl_session_fail_tls(struct fl_session *session)
{
	if (session->state == FL_SESSION_HANDSHAKE && fl_session_wants_no_alpn(session)) {
		fl_session_dial_again(session);
		return;
	}
	fl_session_fail(session, fl_reason_of_tls(fl_tls_failure(session->tls)));
}

/* --- handshake --------------------------------------------------------------------------------- */

/* A server that accepted us without asking for our certificate. */
static void refuse_one_sided(struct fl_session *session)
{
	struct fl_tls_io io = fl_session_io_to_send(session);

	fl_tls_alert(session->tls, &io, FL_ALERT_ACCESS_DENIED);
	(void)fl_session_send(session, &io, false);
	fl_session_fail_and_end(session, FL_REASON_NOT_MUTUAL, true, 0);
}

static bool is_one_sided(const struct fl_session *session)
{
	return session->is_client && !fl_tls_is_mutual(session->tls) &&
	       !session->mesh.conn->upstream->mutual_optional;
}

/* The peer's kernel may hold back its next bytes until we have acknowledged its last handshake message, and we are sending
 * nothing now that would carry the ACK. A peer of our kind holds nothing back (TCP_NODELAY): if its app has sent bytes,
 * they arrived with that last message, and an answer follows soon; other peers may write in pieces at any time. */
static void acknowledge(struct fl_session *session, bool is_alone)
{
	if (session->state != FL_SESSION_CLOSED &&
	    ((is_alone && !session->is_client) ||
	     fl_tls_protocol(session->tls) == FL_TLS_PROTOCOL_OTHER)) {
		fl_sock_ack_now(session->sock);
	}
}

static void established(struct fl_session *session, struct fl_tls_io *io)
{
	struct fl_loop *loop = session->loop;
	bool is_alone = io->in_len == 0;

	if (is_one_sided(session)) {
		refuse_one_sided(session);
		return;
	}
	fl_session_enter(session, FL_SESSION_READY);
	fl_session_end_dialing(session);
	end_shaking(session);
	fl_slots_note_passed(&loop->slots[fl_session_direction(session)], session->lane,
			     uv_now(loop->uv));
	fl_counters_handshake(&loop->counters, fl_session_direction(session),
			      uv_hrtime() - session->started_ns);
	if (fl_tls_resumed(session->tls)) {
		fl_count(&loop->counters.handshakes_resumed[fl_session_direction(session)], 1);
	} else {
		fl_session_drop_offered(session);
	}
	fl_session_note_alpn(session);
	fl_conn_secured(session->mesh.conn, fl_session_peer_id(&session->mesh));
	if (fl_tls_protocol(session->tls) == FL_TLS_PROTOCOL_FRAMED && !fl_framed_begin(session)) {
		fl_session_fail(session, FL_REASON_INTERNAL);
		return;
	}
	if (session->state == FL_SESSION_READY) {
		session->mesh.events->on_ready(session->mesh.user);
	}
	if (session->framed != NULL) {
		fl_framed_speak(session);
	}
	/* The app has sent nothing yet. The server waits for this; nobody waits for our tickets. */
	if (session->state == FL_SESSION_READY && session->is_client && session->unsent != NULL) {
		struct fl_tls_io last = fl_session_io_to_send(session);

		(void)fl_session_send(session, &last,
				      false); /* the next read reports a broken socket */
	}
	if (session->state == FL_SESSION_READY && !session->reading) {
		fl_session_hold(session, io);
	} else if (session->state != FL_SESSION_CLOSED && io->in_len > 0) {
		fl_session_open_records(session, io);
	}
	if (session->state == FL_SESSION_IDLE && session->mesh.conn != NULL) {
		fl_framed_await_first(session);
	}
	acknowledge(session, is_alone);
	fl_loop_serve_waiting(loop);
}

static void refuse_signature(struct fl_session *session, const char *text)
{
	struct fl_tls_io io = fl_session_io_to_send(session);

	fl_tls_refuse_signature(session->tls, &io, text);
	(void)fl_session_send(session, &io, false);
	fl_session_fail_tls(session);
}

static void on_signature(void *user, struct fl_span signature, const char *text);

/* The engine's flight up to the signature goes out with the rest, and input waits. */
static void wait_for_signature(struct fl_session *session, struct fl_tls_io *io)
{
	const char *text;
	int rc;

	if (io->out_len > 0) {
		fl_session_keep_unsent(session, io);
	}
	rc = fl_session_send(session, io, false); /* nothing, unless there was no memory for it */
	if (rc < 0) {
		fl_session_fail(session, fl_reason_of_peer_error(rc));
		return;
	}
	session->signing = fl_signing_wait(&session->loop->signing, session->tls, on_signature,
					   session, &text);
	if (session->signing == NULL) {
		refuse_signature(session, text);
		return;
	}
	fl_session_hold(session, io);
}

static void drive_handshake(struct fl_session *session, struct fl_tls_io *io)
{
	struct fl_span in = {io->in, io->in_len};
	enum fl_tls_step step = fl_tls_handshake(session->tls, io);
	bool is_answered = io->out_len > 0;
	int rc;

	fl_session_note_id(session,
			   session->is_client ? (struct fl_span){io->out, io->out_len} : in);
	if (step == FL_TLS_SIGNING) {
		wait_for_signature(session, io);
		return;
	}
	session->answered = session->answered || is_answered;
	if (step == FL_TLS_ESTABLISHED && io->out_len > 0) {
		fl_session_keep_unsent(session, io);
	}
	rc = fl_session_send(session, io, false);
	if (step == FL_TLS_FAILED) {
		fl_session_fail_tls(session);
	} else if (rc < 0) {
		fl_session_fail(session, fl_reason_of_peer_error(rc));
	} else if (step == FL_TLS_ESTABLISHED) {
		established(session, io);
	} else if (!session->is_client && !session->answered) {
		/* The engine had a whole ClientHello, or bytes that cannot become one: no slot is held for bytes that may
		 * never arrive. */
		fl_session_fail(session, FL_REASON_TLS_PROTOCOL);
	} else if (!is_answered) {
		fl_sock_ack_now(session->sock); /* the rest of its flight may wait for it */
	}
}

/* The handshake goes on, with the input that has come meanwhile. */
static void on_signature(void *user, struct fl_span signature, const char *text)
{
	struct fl_session *session = user;
	struct fl_held *held = session->held;
	struct fl_tls_io io;

	session->signing = NULL;
	if (signature.len == 0) {
		refuse_signature(session, text);
		return;
	}
	io = fl_session_io_to_send(session);
	io.signature = signature.data;
	io.signature_len = signature.len;
	if (held != NULL) {
		session->held = NULL;
		io.in = held->data;
		io.in_len = held->len;
	}
	drive_handshake(session, &io);
	free(held);
	if (session->state == FL_SESSION_HANDSHAKE) {
		fl_sock_read_start(session->sock);
	}
}

void fl_session_feed(struct fl_session *session, const uint8_t *data, size_t len)
{
	struct fl_tls_io io = fl_session_io_for(session, data, len);

	if (session->signing == NULL && session->state == FL_SESSION_HANDSHAKE) {
		drive_handshake(session, &io);
	} else if (session->signing == NULL && session->reading) {
		fl_session_open_records(session, &io);
	} else {
		fl_session_hold(session, &io);
	}
}

/* --- events of the socket --------------------------------------------------------------------- */

static void on_sock_data(void *user, uint8_t *data, size_t len)
{
	fl_session_feed(user, data, len);
}

static void on_sock_eof(void *user)
{
	struct fl_session *session = user;

	if (session->state == FL_SESSION_READY && !session->reading) {
		session->fin = true; /* close_notify may be among the held bytes */
	} else if (!session->eof) {
		fl_session_fail(session, FL_REASON_PEER_TRUNCATED);
	}
}

static void on_sock_drain(void *user)
{
	struct fl_session *session = user;

	if (session->state != FL_SESSION_READY && session->state != FL_SESSION_IDLE) {
		return;
	}
	if (session->reading && !session->eof) {
		fl_sock_read_start(session->sock);
	}
	if (session->state == FL_SESSION_READY && !session->mesh.ops->pending(&session->mesh)) {
		session->mesh.events->on_drain(session->mesh.user);
	}
}

static void on_sock_error(void *user, int sys)
{
	struct fl_session *session = user;

	/* Both sides have finished, so an error that follows loses no data. */
	if (!session->eof || !session->shut || fl_sock_pending(session->sock)) {
		fl_session_fail(session, fl_reason_of_peer_error(sys));
	}
}

const struct fl_sock_events fl_session_sock_events = {.on_data = on_sock_data,
						      .on_eof = on_sock_eof,
						      .on_drain = on_sock_drain,
						      .on_error = on_sock_error};

/* --- server ----------------------------------------------------------------------------------- */

void fl_session_start_clock(struct fl_session *session)
{
	fl_deadline_add(&session->loop->handshaking, &session->shaking->deadline, on_deadline);
}

bool fl_session_accept(struct fl_conn *conn, struct fl_sock *sock,
		       const struct fl_session_begun *begun, const struct fl_mesh_events *events)
{
	struct fl_session *session = fl_session_new(conn, events, false);

	if (session == NULL) {
		return false;
	}
	session->sock = sock;
	fl_sock_set_user(sock, &fl_session_sock_events, session);
	if (begun->deadline == NULL ||
	    !fl_deadline_pass_on(begun->deadline, &session->shaking->deadline, on_deadline)) {
		fl_session_start_clock(session);
	}
	if (fl_tls_new(conn->share->server, NULL, NULL, &session->tls, NULL) != 0 ||
	    !fl_session_name_protocols(session)) {
		fl_session_fail(session, FL_REASON_INTERNAL);
		return true;
	}
	fl_sock_read_start(session->sock);
	fl_session_feed(session, begun->early.data, begun->early.len);
	return true;
}

bool fl_session_make_room(struct fl_loop *loop, uint32_t lane, unsigned patience)
{
	struct fl_slots *slots = &loop->slots[FL_INBOUND];
	struct fl_slot *slot = fl_slots_oldest(slots, lane);
	struct fl_session *session;
	uint8_t buf[FLIGHT_MAX];

	if (slot == NULL || uv_now(loop->uv) - slot->since_ms <
				    patience * fl_slots_patience_ms(slots, slot->lane, lane)) {
		return false;
	}
	session = FL_CONTAINER_OF(slot, struct fl_shaking, slot)->session;
	/* Nor if it is us that it waits for. */
	if (!session->answered || session->signing != NULL) {
		return false;
	}
	fl_sock_read_now(session->sock, buf,
			 sizeof(buf)); /* bytes in the kernel's buffer have arrived in time */
	if (session->state == FL_SESSION_HANDSHAKE) {
		fl_slots_note_silent(slots, session->lane);
		fl_session_fail(session, FL_REASON_CROWDED_OUT);
	}
	return true;
}

/* --- shutdown --------------------------------------------------------------------------------- */

void fl_session_end_all(struct fl_loop *loop)
{
	struct fl_session *session, *tmp;

	DL_FOREACH_SAFE(loop->sessions, session, tmp)
	{
		fl_session_fail(session, FL_REASON_DRAIN);
	}
}
