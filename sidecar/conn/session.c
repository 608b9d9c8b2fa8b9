/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One TLS connection to a peer.
 *
 * Happy path, server: accept, feed the engine until it says ESTABLISHED, on_ready, then records are opened into the
 * worker's scratch and handed on, and plaintext is sealed into the other scratch and written at once. Client: the
 * same behind a dial that tries one address after the other.
 *
 * Failure: whatever fails ends in fail(), which tells the user once. When the engine has an alert to send it is sent, and the
 * socket hangs up gently so that the alert arrives; otherwise the peer gets a reset. A TCP end without close_notify is
 * a truncation and never a clean end.
 *
 * Ownership: the session owns socket and engine and holds its share of the generation. Its own memory is buried, not freed:
 * frames up the stack look at `state` after every callback. */
#include "conn/session_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/tls_alert.h"
#include "conn/access.h"

#define ALERT_LINGER_MS 1000u
#define HELD_ENOUGH 16384u /* bytes; one more read can come on top */
#define FLIGHT_MAX 16384u  /* bytes of a client's last flight, and most of the time all of it */

#define TO(state) (1u << (state))
static const unsigned allowed_next[] = {
	[DIALING] = TO(HANDSHAKE) | TO(CLOSED),
	[HANDSHAKE] = TO(READY) | TO(DIALING) | TO(CLOSED),
	[READY] = TO(CLOSED),
	[CLOSED] = 0,
};

static const struct fl_sock_events sock_events;

static struct fl_loop *loop_of(const struct fl_session *session)
{
	return session->conn->loop;
}

static void set_state(struct fl_session *session, enum fl_session_state next)
{
	FL_REQUIRE((allowed_next[session->state] & TO(next)) != 0);
	session->state = (uint8_t)next;
}

/* --- birth and end ---------------------------------------------------------------------------- */

static struct fl_session *session_new(struct fl_conn *conn, const struct fl_session_events *events,
				      bool is_client)
{
	struct fl_loop *loop = conn->loop;
	struct fl_session *session = calloc(1, sizeof(*session));

	if (session == NULL) {
		return NULL;
	}
	session->conn = fl_conn_ref(conn);
	session->events = events;
	session->user = session;
	session->is_client = is_client;
	session->state = is_client ? DIALING : HANDSHAKE;
	session->started_ns = conn->started_ns;
	DL_APPEND(loop->sessions, session);
	fl_slots_hold(&loop->slots[conn->direction], &session->place, conn->lane, uv_now(loop->uv));
	return session;
}

static void give_place_back(struct fl_session *session)
{
	fl_slots_release(&loop_of(session)->slots[session->conn->direction], &session->place);
}

/* Lets go of everything but the memory; the socket is gone already. */
static void release(struct fl_session *session)
{
	struct fl_loop *loop = loop_of(session);
	bool was_settling = session->state < READY;

	set_state(session, CLOSED);
	fl_deadline_drop(&session->deadline);
	fl_tls_free(session->tls);
	free(session->held);
	free(session->unsent);
	session->unsent = NULL;
	session->tls = NULL;
	session->held = NULL;
	DL_DELETE(loop->sessions, session);
	fl_loop_bury(loop, &session->corpse);
	if (was_settling) {
		give_place_back(session);
	}
	fl_conn_unref(session->conn);
	if (was_settling) {
		fl_loop_serve_waiting(loop);
	}
}

static void end_socket(struct fl_session *session, bool gently)
{
	struct fl_sock *sock = session->sock;

	session->sock = NULL;
	if (sock == NULL) {
		return;
	}
	if (gently && !loop_of(session)->stopping) {
		fl_sock_hang_up(sock, ALERT_LINGER_MS);
	} else {
		fl_sock_reset(sock);
	}
}

static void count_failed(const struct fl_session *session, enum fl_reason reason)
{
	struct fl_loop *loop = loop_of(session);
	enum fl_direction direction = session->conn->direction;
	const struct fl_tls_failure *failure = fl_session_failure(session);

	fl_count(&loop->counters.handshakes_failed[direction][reason], 1);
	if (failure != NULL && failure->peer != NULL) {
		fl_peer_counts_failed(loop->peers, direction, fl_tls_peer_name(failure->peer),
				      reason);
	}
}

/* gently: we have said why, and it has to arrive. */
static void fail_and_end(struct fl_session *session, enum fl_reason reason, bool gently)
{
	const struct fl_session_events *events = session->events;

	/* From here on, events of the socket find nobody: the user may look, but not act. */
	fl_deadline_drop(&session->deadline);
	if (session->state == HANDSHAKE) {
		fl_session_drop_offered(session);
		count_failed(session, reason);
	}
	session->events = NULL;
	events->on_closed(session->user, reason);
	end_socket(session, gently);
	release(session);
}

/* The end that the user is told of. */
static void fail(struct fl_session *session, enum fl_reason reason)
{
	const struct fl_tls_failure *failure = fl_session_failure(session);

	fail_and_end(session, reason,
		     failure != NULL && failure->alert != 0 &&
			     failure->cause != FL_TLS_CAUSE_PEER_ALERT);
}

static void on_deadline(struct fl_deadline *deadline)
{
	fail(FL_CONTAINER_OF(deadline, struct fl_session, deadline), FL_REASON_HANDSHAKE_TIMEOUT);
}

static void dial_again(struct fl_session *session);

static void fail_tls(struct fl_session *session)
{
	if (session->state == HANDSHAKE && fl_session_wants_no_alpn(session)) {
		dial_again(session);
		return;
	}
	fail(session, fl_reason_of_tls(fl_tls_failure(session->tls)));
}

/* --- bytes ------------------------------------------------------------------------------------ */

static struct fl_tls_io io_for(struct fl_session *session, const uint8_t *data, size_t len)
{
	struct fl_loop *loop = loop_of(session);

	return (struct fl_tls_io){.in = data,
				  .in_len = len,
				  .out = loop->scratch.sealed,
				  .out_cap = loop->scratch.sealed_cap};
}

/* Puts off sending it: a packet and a wake-up of the peer less for each connection. */
static void keep_unsent(struct fl_session *session, struct fl_tls_io *io)
{
	struct fl_held *unsent = malloc(sizeof(*unsent) + io->out_len);

	if (unsent != NULL) {
		unsent->len = io->out_len;
		memcpy(unsent->data, io->out, unsent->len);
		session->unsent = unsent;
		io->out_len = 0;
	}
}

/* For what we send by ourselves: the end of the handshake comes first. */
static struct fl_tls_io io_to_send(struct fl_session *session)
{
	struct fl_tls_io io = io_for(session, NULL, 0);

	if (session->unsent != NULL) {
		memcpy(io.out, session->unsent->data, session->unsent->len);
		io.out_len = session->unsent->len;
		free(session->unsent);
		session->unsent = NULL;
	}
	return io;
}

/* 0, 1 (pending) or a negative uv error. more: something follows at once. */
static int send_out(struct fl_session *session, struct fl_tls_io *io, bool more)
{
	size_t len = io->out_len;

	io->out_len = 0;
	if (len > 0 && session->unsent != NULL) {
		/* An answer of the engine's own: records have an order. */
		struct fl_held *unsent = session->unsent;
		int rc = fl_sock_write(session->sock, unsent->data, unsent->len);

		session->unsent = NULL;
		free(unsent);
		if (rc < 0) {
			return rc;
		}
	}
	if (len == 0) {
		return 0;
	}
	return more ? fl_sock_write_more(session->sock, io->out, len)
		    : fl_sock_write(session->sock, io->out, len);
}

static int flush(struct fl_session *session, struct fl_tls_io *io)
{
	return send_out(session, io, false);
}

/* Keeps the rest of the input for later. The source is stopped only when that grows: most of the time it is one
 * request that came a moment before the app was dialled, and stopping costs system calls. */
static void hold(struct fl_session *session, const struct fl_tls_io *io)
{
	size_t len = session->held != NULL ? session->held->len : 0;
	struct fl_held *held;

	if (io->in_len == 0) {
		return;
	}
	held = realloc(session->held, sizeof(*held) + len + io->in_len);
	if (held == NULL) {
		fail(session, FL_REASON_INTERNAL);
		return;
	}
	memcpy(held->data + len, io->in, io->in_len);
	held->len = len + io->in_len;
	session->held = held;
	if (held->len >= HELD_ENOUGH) {
		fl_sock_read_stop(session->sock);
	}
}

/* Opens all of the input: what the user cannot take waits behind it in its own bounded queue. */
static void open_records(struct fl_session *session, struct fl_tls_io *io)
{
	struct fl_loop *loop = loop_of(session);
	enum fl_tls_step step;
	size_t len;

	do {
		step = fl_tls_read(session->tls, io, loop->scratch.opened, loop->scratch.opened_cap,
				   &len);
		/* Key updates are answered. A peer that asks for them and does not take the answers is not
		 * heard until it has: what waits for it stays bounded. */
		if (flush(session, io) > 0) {
			fl_sock_read_stop(session->sock);
		}
		if (session->saves) {
			fl_session_save(session);
		}
		session->is_last = step == FL_TLS_EOF && !session->eof;
		if (len > 0) {
			session->events->on_data(session->user, loop->scratch.opened, len);
			if (session->state != READY) {
				return;
			}
		}
	} while (step == FL_TLS_MORE && len == loop->scratch.opened_cap);
	if (step == FL_TLS_EOF && !session->eof) {
		session->eof = true;
		fl_sock_read_stop(session->sock);
		session->events->on_eof(session->user);
	} else if (step == FL_TLS_FAILED) {
		fail_tls(session);
	}
}

/* A server that took us without asking who we are. */
static void refuse_one_sided(struct fl_session *session)
{
	struct fl_tls_io io = io_to_send(session);

	fl_tls_alert(session->tls, &io, FL_ALERT_ACCESS_DENIED);
	(void)flush(session, &io);
	fail_and_end(session, FL_REASON_NOT_MUTUAL, true);
}

static bool is_one_sided(const struct fl_session *session)
{
	return session->is_client && !fl_tls_is_mutual(session->tls) &&
	       !session->conn->upstream->mutual_optional;
}

/* The peer's kernel may hold back what it says next until we have acknowledged its last word of the handshake, and nothing of
 * ours goes there now to take the ACK along. A peer of our kind holds nothing back (TCP_NODELAY): when its app has said
 * something, it has come with that last word, and gets an answer soon; others may write in pieces at any time. */
static void acknowledge(struct fl_session *session, bool is_alone)
{
	if (session->state == READY &&
	    ((is_alone && !session->is_client) || !fl_tls_alpn_is_ours(session->tls))) {
		fl_sock_ack_now(session->sock);
	}
}

static void established(struct fl_session *session, struct fl_tls_io *io)
{
	struct fl_loop *loop = loop_of(session);
	bool is_alone = io->in_len == 0;

	if (is_one_sided(session)) {
		refuse_one_sided(session);
		return;
	}
	set_state(session, READY);
	fl_deadline_drop(&session->deadline);
	give_place_back(session);
	fl_slots_note_passed(&loop->slots[session->conn->direction], session->conn->lane,
			     uv_now(loop->uv));
	fl_counters_handshake(&loop->counters, session->conn->direction,
			      uv_hrtime() - session->started_ns);
	if (fl_tls_resumed(session->tls)) {
		fl_count(&loop->counters.handshakes_resumed[session->conn->direction], 1);
	} else {
		fl_session_drop_offered(session);
	}
	fl_session_note_alpn(session);
	fl_conn_secured(session->conn, fl_session_peer_id(session));
	session->events->on_ready(session->user);
	/* The app had nothing to say yet. The server waits for this; for a ticket of ours nobody waits. */
	if (session->state == READY && session->is_client && session->unsent != NULL) {
		struct fl_tls_io last = io_to_send(session);

		(void)flush(session, &last); /* a broken socket shows at the next read */
	}
	if (session->state == READY && !session->reading) {
		hold(session, io);
	} else if (session->state == READY && io->in_len > 0) {
		open_records(session, io);
	}
	acknowledge(session, is_alone);
	fl_loop_serve_waiting(loop);
}

static void drive_handshake(struct fl_session *session, struct fl_tls_io *io)
{
	enum fl_tls_step step = fl_tls_handshake(session->tls, io);
	bool is_answered = io->out_len > 0;
	int rc;

	session->answered = session->answered || is_answered;
	if (step == FL_TLS_ESTABLISHED && io->out_len > 0) {
		keep_unsent(session, io);
	}
	rc = flush(session, io);
	if (step == FL_TLS_FAILED) {
		fail_tls(session);
	} else if (rc < 0) {
		fail(session, fl_reason_of_peer_error(rc));
	} else if (step == FL_TLS_ESTABLISHED) {
		established(session, io);
	} else if (!session->is_client && !session->answered) {
		/* It had all of a ClientHello, or what can be none: nobody waits here for what may never come. */
		fail(session, FL_REASON_TLS_PROTOCOL);
	} else if (!is_answered) {
		fl_sock_ack_now(session->sock); /* the rest of its flight may wait for that */
	}
}

static void feed(struct fl_session *session, const uint8_t *data, size_t len)
{
	struct fl_tls_io io = io_for(session, data, len);

	if (session->state == HANDSHAKE) {
		drive_handshake(session, &io);
	} else if (session->reading) {
		open_records(session, &io);
	} else {
		hold(session, &io);
	}
}

/* --- events of the socket --------------------------------------------------------------------- */

static void on_sock_data(void *user, uint8_t *data, size_t len)
{
	feed(user, data, len);
}

static void on_sock_eof(void *user)
{
	struct fl_session *session = user;

	if (session->state == READY && !session->reading) {
		session->fin = true; /* close_notify may be among what is held */
	} else if (!session->eof) {
		fail(session, FL_REASON_PEER_TRUNCATED);
	}
}

static void on_sock_drain(void *user)
{
	struct fl_session *session = user;

	if (session->state != READY) {
		return;
	}
	if (session->reading && !session->eof) {
		fl_sock_read_start(session->sock);
	}
	session->events->on_drain(session->user);
}

static void on_sock_error(void *user, int sys)
{
	struct fl_session *session = user;

	/* What follows the last word of both takes nothing away. */
	if (!session->eof || !session->shut || fl_sock_pending(session->sock)) {
		fail(session, fl_reason_of_peer_error(sys));
	}
}

static const struct fl_sock_events sock_events = {.on_data = on_sock_data,
						  .on_eof = on_sock_eof,
						  .on_drain = on_sock_drain,
						  .on_error = on_sock_error};

/* --- server ----------------------------------------------------------------------------------- */

static void start_clock(struct fl_session *session)
{
	fl_deadline_add(&loop_of(session)->handshaking, &session->deadline, on_deadline);
}

static bool start_engine(struct fl_session *session, struct fl_tls_ctx *ctx,
			 fl_tls_expect_cb expect, void *expect_user)
{
	return fl_tls_new(ctx, expect, expect_user, &session->tls, NULL) == 0;
}

void fl_session_accept(struct fl_conn *conn, struct fl_sock *sock,
		       const struct fl_session_begun *begun, const struct fl_session_events *events)
{
	struct fl_session *session = session_new(conn, events, false);

	if (session == NULL) {
		struct fl_access access = {.conn = conn, .reason = FL_REASON_INTERNAL};

		fl_access_ended(&access);
		fl_sock_reset(sock);
		return;
	}
	session->sock = sock;
	fl_sock_set_user(sock, &sock_events, session);
	if (begun->deadline == NULL ||
	    !fl_deadline_pass_on(begun->deadline, &session->deadline, on_deadline)) {
		start_clock(session);
	}
	if (!start_engine(session, conn->share->server, NULL, NULL) ||
	    !fl_session_name_protocols(session)) {
		fail(session, FL_REASON_INTERNAL);
		return;
	}
	fl_sock_read_start(session->sock);
	feed(session, begun->early.data, begun->early.len);
}

bool fl_session_make_room(struct fl_loop *loop, uint32_t lane, unsigned patience)
{
	struct fl_slots *places = &loop->slots[FL_INBOUND];
	struct fl_place *place = fl_slots_oldest(places, lane);
	struct fl_session *session;
	uint8_t buf[FLIGHT_MAX];

	if (place == NULL || uv_now(loop->uv) - place->since_ms <
				     patience * fl_slots_patience_ms(places, place->lane, lane)) {
		return false;
	}
	session = FL_CONTAINER_OF(place, struct fl_session, place);
	if (!session->answered) {
		return false;
	}
	fl_sock_read_now(session->sock, buf,
			 sizeof(buf)); /* what lies in the kernel has come in time */
	if (session->state == HANDSHAKE) {
		fl_slots_note_silent(places, session->conn->lane);
		fail(session, FL_REASON_CROWDED_OUT);
	}
	return true;
}

/* --- client ----------------------------------------------------------------------------------- */

static void dial_next_or_fail(struct fl_session *session, enum fl_reason reason);

static bool expects(void *user, const char *id, size_t id_len)
{
	return fl_upstream_expects(user, id, id_len);
}

static void start_client_handshake(struct fl_session *session)
{
	const struct fl_share *share = session->conn->share;
	const struct fl_conf_upstream *upstream = session->conn->upstream;
	bool any_of_ours = upstream->peer_count == 0;

	set_state(session, HANDSHAKE);
	session->started_ns = uv_hrtime();
	start_clock(session);
	if (!start_engine(session, share->client, any_of_ours ? NULL : expects, (void *)upstream) ||
	    !fl_session_offer(session)) {
		fail(session, FL_REASON_INTERNAL);
		return;
	}
	fl_sock_read_start(session->sock);
	feed(session, NULL, 0);
}

static void on_dialed(void *user, int sys)
{
	struct fl_session *session = user;

	if (sys == 0) {
		start_client_handshake(session);
		return;
	}
	dial_next_or_fail(session, fl_reason_of_peer_dial(sys));
}

static void on_dial_look(struct fl_deadline *deadline)
{
	struct fl_session *session = FL_CONTAINER_OF(deadline, struct fl_session, deadline);

	if (fl_conn_dial_is_late(session->conn)) {
		dial_next_or_fail(session, FL_REASON_PEER_CONNECT_TIMEOUT);
	} else {
		fl_deadline_add(&loop_of(session)->dialing, deadline, on_dial_look);
	}
}

static int dial_next(struct fl_session *session)
{
	int rc =
		fl_conn_dial(session->conn, true, &sock_events, session, on_dialed, &session->sock);

	if (rc == 0) {
		fl_deadline_add(&loop_of(session)->dialing, &session->deadline, on_dial_look);
	}
	return rc;
}

static void dial_next_or_fail(struct fl_session *session, enum fl_reason reason)
{
	fl_sock_close(session->sock, 0);
	session->sock = NULL;
	if (dial_next(session) != 0) {
		fail(session, reason);
	}
}

/* The same address once more, and this time without a name of an application protocol. */
static void dial_again(struct fl_session *session)
{
	int rc;

	fl_deadline_drop(&session->deadline);
	fl_session_drop_offered(session);
	end_socket(session, false);
	fl_tls_free(session->tls);
	session->tls = NULL;
	session->offered = 0;
	session->bare = true;
	set_state(session, DIALING);
	fl_conn_dial_again(session->conn);
	rc = dial_next(session);
	if (rc != 0) {
		fail(session, fl_reason_of_peer_dial(rc));
	}
}

struct fl_session *fl_session_dial(struct fl_conn *conn, const struct fl_session_events *events,
				   void *user, enum fl_reason *ret_reason)
{
	struct fl_session *session;
	int rc;

	if (!fl_conn_has_address(conn)) {
		*ret_reason = FL_REASON_NO_ADDRESS;
		return NULL;
	}
	session = session_new(conn, events, true);
	if (session == NULL) {
		*ret_reason = FL_REASON_INTERNAL;
		return NULL;
	}
	session->user = user;
	rc = dial_next(session);
	if (rc != 0) {
		*ret_reason = fl_reason_of_peer_dial(rc);
		release(session);
		return NULL;
	}
	return session;
}

/* --- what the user asks for -------------------------------------------------------------------- */

void fl_session_set_user(struct fl_session *session, const struct fl_session_events *events,
			 void *user)
{
	session->events = events;
	session->user = user;
}

void fl_session_read_start(struct fl_session *session)
{
	struct fl_held *held = session->held;

	session->reading = true;
	if (session->eof) {
		return;
	}
	if (!session->fin) {
		fl_sock_read_start(session->sock);
	}
	if (held != NULL) {
		session->held = NULL;
		feed(session, held->data, held->len);
		free(held);
	}
	if (session->fin && session->state == READY && !session->eof) {
		fail(session, FL_REASON_PEER_TRUNCATED);
	}
}

void fl_session_read_stop(struct fl_session *session)
{
	session->reading = false;
	fl_sock_read_stop(session->sock);
}

int fl_session_write(struct fl_session *session, const uint8_t *data, size_t len, bool more)
{
	struct fl_tls_io io = io_to_send(session);
	int rc = fl_tls_write(session->tls, &io, data, len);

	return rc == 0 ? send_out(session, &io, more) : UV_EPROTO;
}

bool fl_session_read_is_last(const struct fl_session *session)
{
	return session->is_last;
}

bool fl_session_pending(const struct fl_session *session)
{
	return fl_sock_pending(session->sock);
}

struct fl_debt fl_session_debt(const struct fl_session *session)
{
	return fl_sock_debt(session->sock);
}

void fl_session_keep(struct fl_session *session)
{
	fl_sock_keep(session->sock);
}

void fl_session_shutdown(struct fl_session *session, bool closing)
{
	struct fl_tls_io io = io_to_send(session);

	session->shut = true;
	fl_tls_close(session->tls, &io);
	/* A broken socket shows at the next read. FIN goes with it: who finishes first keeps the port waiting (RFC 9293
	 * TIME-WAIT), and that has to be the side whose app did so, or a client's would run out. */
	(void)send_out(session, &io, true);
	if (!closing) {
		fl_sock_shutdown(session->sock);
	}
}

void fl_session_close(struct fl_session *session)
{
	fl_sock_close(session->sock, ALERT_LINGER_MS);
	session->sock = NULL;
	release(session);
}

void fl_session_reset(struct fl_session *session)
{
	end_socket(session, false);
	release(session);
}

void fl_session_leave(struct fl_session *session)
{
	end_socket(session, true);
	release(session);
}

void fl_session_refuse(struct fl_session *session, uint8_t alert)
{
	struct fl_tls_io io = io_to_send(session);

	fl_tls_alert(session->tls, &io, alert);
	(void)flush(session, &io);
	end_socket(session, true);
	release(session);
}

/* --- shutdown --------------------------------------------------------------------------------- */

void fl_session_end_all(struct fl_loop *loop)
{
	struct fl_session *session, *tmp;

	DL_FOREACH_SAFE(loop->sessions, session, tmp)
	{
		fail(session, FL_REASON_DRAIN);
	}
}
