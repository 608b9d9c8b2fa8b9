/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Finds out what an inbound connection is.
 *
 * Happy path: the first read holds a whole ClientHello, or bytes that are not one, and is handed on without a copy. Only a
 * hello in pieces, or one that has to wait for a slot, is collected, up to held_max() and the read that exceeds it: at a
 * permissive port, a longer one is not from a peer of ours.
 *
 * Strangers that wait for a slot are served last come, first served: when more arrive than can be served, most clients that
 * have waited long have given up. Meanwhile the oldest handshakes of the same network lose their slots, if their peers are
 * silent (fl_session_make_room()).
 *
 * Failure: a client that resets, stalls, or is evicted ends here with a reset from us. At a permissive port a FIN is not a
 * failure: nothing more will arrive, so the bytes are not a ClientHello, and the app gets both the bytes and the FIN.
 *
 * Ownership: its memory is buried at its end, so that frames up the stack may return into it. */
#include "conn/stranger.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "conn/access.h"
#include "wire/first.h"
#include "wire/hello.h"

#define PACE_MS 20u /* interval of checks of slot holders while others wait */
#define PACE_LANES 64u
/* A silent handshake loses its slot after so many times its lane's patience (slots.h): to a newcomer, or to strangers that
 * wait already. Because the two differ, there is always a slot that a newcomer can take over. */
#define FOR_NEWCOMERS 1u
#define FOR_OTHERS 2u
#define HEADERS_MAX 4096u /* the records of a ClientHello, cut as senders cut them */
#define PART 2048u        /* bytes kept of a stranger per part of the room, except the first part */

/* Runs until the first byte. Its time differs between ports, so it is no deadline in a queue. */
struct silence {
	uv_timer_t timer;
	struct fl_stranger *of; /* NULL: it is being closed */
};

struct fl_stranger {
	struct fl_corpse corpse; /* first member: buried at its end */
	struct fl_stranger *prev, *next;
	struct fl_conn *conn; /* a reference */
	struct fl_sock *sock; /* NULL once it is gone */
	fl_stranger_cb cb;
	struct silence *silence; /* NULL: a byte has come, or the port is strict */
	struct fl_deadline hello_deadline;
	struct fl_deadline deadline; /* handshake_timeout, which continues for the handshake */
	struct fl_crowd_member member;
	struct fl_waiter waiter;
	struct fl_hello hello; /* permissive */
	struct fl_first first; /* strict */
	uint8_t *held;         /* owned: earlier bytes that were not enough */
	size_t held_len;
	bool permissive;
	uint8_t state; /* enum fl_stranger_state */
};

static struct fl_loop *loop_of(const struct fl_stranger *stranger)
{
	return stranger->conn->loop;
}

static const char *const state_names[] = {
	[FL_STRANGER_READING] = "reading",
	[FL_STRANGER_WAITING] = "waiting",
	[FL_STRANGER_GONE] = "gone",
};
static const uint32_t next_states[] = {
	[FL_STRANGER_READING] = FL_TO(FL_STRANGER_WAITING) | FL_TO(FL_STRANGER_GONE),
	[FL_STRANGER_WAITING] = FL_TO(FL_STRANGER_GONE),
	[FL_STRANGER_GONE] = 0,
};
const struct fl_states fl_stranger_states = {.object = "stranger",
					     .names = state_names,
					     .next = next_states,
					     .count = FL_COUNT_OF(state_names)};

static void enter(struct fl_stranger *stranger, enum fl_stranger_state next)
{
	fl_states_enter(&fl_stranger_states, stranger->conn->loop, stranger->conn, &stranger->state,
			next);
}

/* --- end ---------------------------------------------------------------------------------------- */

static void on_silence_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct silence, timer));
}

static void end_silence(struct fl_stranger *stranger)
{
	if (stranger->silence != NULL) {
		uv_close((uv_handle_t *)&stranger->silence->timer, on_silence_closed);
		stranger->silence = NULL;
	}
}

/* The socket has been handed over, or the caller ends it. */
static void leave(struct fl_stranger *stranger)
{
	struct fl_loop *loop = loop_of(stranger);

	enter(stranger, FL_STRANGER_GONE);
	stranger->sock = NULL;
	fl_deadline_drop(&stranger->hello_deadline);
	fl_deadline_drop(&stranger->deadline);
	end_silence(stranger);
	fl_crowd_leave(&loop->strangers.crowd, &stranger->member);
	fl_slots_leave(&loop->slots[FL_INBOUND], &stranger->waiter);
	DL_DELETE(loop->strangers.all, stranger);
}

static void bury(struct fl_stranger *stranger)
{
	struct fl_loop *loop = loop_of(stranger);

	free(stranger->held);
	stranger->held = NULL;
	fl_loop_bury(loop, &stranger->corpse);
	fl_conn_unref(stranger->conn);
	fl_loop_serve_waiting(loop);
}

/* Has it begun a handshake? */
static bool shakes_hands(const struct fl_stranger *stranger)
{
	return !stranger->permissive || stranger->hello.seen > 0;
}

static void fail(struct fl_stranger *stranger, enum fl_reason reason, const char *detail)
{
	struct fl_sock *sock = stranger->sock;
	struct fl_access access = {
		.conn = stranger->conn, .sock = sock, .reason = reason, .detail = detail};

	if (shakes_hands(stranger)) {
		fl_count(&loop_of(stranger)->counters.handshakes_failed[FL_INBOUND][reason], 1);
	}
	fl_access_ended(&access);
	leave(stranger);
	fl_sock_reset(sock);
	bury(stranger);
}

/* data: the last bytes, not held yet; they are in the loop's buffer. */
static void hand_over(struct fl_stranger *stranger, struct fl_span data)
{
	struct fl_deadline left = {0};
	struct fl_session_begun begun = {.early = data, .deadline = &left};
	struct fl_sock *sock = stranger->sock;

	if (stranger->held != NULL) {
		begun.early = (struct fl_span){.data = stranger->held, .len = stranger->held_len};
	}
	(void)fl_deadline_pass_on(&stranger->deadline, &left, NULL);
	fl_sock_read_stop(sock);
	leave(stranger);
	stranger->cb(stranger->conn, sock, &begun);
	fl_deadline_drop(&left); /* plaintext needs none */
	bury(stranger);
}

/* --- what comes ----------------------------------------------------------------------------------- */

static void take_parts(struct fl_stranger *stranger, bool whole)
{
	uint32_t parts = 1 + (uint32_t)(stranger->held_len / PART);

	fl_crowd_change(&loop_of(stranger)->strangers.crowd, &stranger->member, parts, whole);
}

static size_t held_max(const struct fl_stranger *stranger)
{
	return stranger->permissive ? FL_HELLO_MAX : FL_FIRST_MAX + HEADERS_MAX;
}

static bool hold(struct fl_stranger *stranger, const uint8_t *data, size_t len)
{
	uint8_t *held = realloc(stranger->held, stranger->held_len + len);

	if (held == NULL) {
		fail(stranger, FL_REASON_INTERNAL, NULL);
		return false;
	}
	if (len > 0) {
		memcpy(held + stranger->held_len, data, len);
	}
	stranger->held = held;
	stranger->held_len += len;
	if (stranger->held_len >= held_max(stranger)) {
		fl_sock_read_stop(stranger->sock);
	}
	take_parts(stranger, stranger->member.whole);
	return true;
}

static void on_no_hello(struct fl_deadline *deadline)
{
	fail(FL_CONTAINER_OF(deadline, struct fl_stranger, hello_deadline),
	     FL_REASON_HANDSHAKE_TIMEOUT,
	     "no complete ClientHello arrived within that time, or within 5 s if that is less");
}

static void on_late(struct fl_deadline *deadline)
{
	fail(FL_CONTAINER_OF(deadline, struct fl_stranger, deadline), FL_REASON_HANDSHAKE_TIMEOUT,
	     "it has waited for one of [limits] handshakes");
}

static void wait_for_more(struct fl_stranger *stranger)
{
	end_silence(stranger);
	if (stranger->deadline.next == NULL) {
		struct fl_loop *loop = loop_of(stranger);

		fl_deadline_add(&loop->strangers.hello, &stranger->hello_deadline, on_no_hello);
		fl_deadline_add(&loop->handshaking, &stranger->deadline, on_late);
	}
}

static void on_pace(uv_timer_t *timer);

static void on_slot(struct fl_waiter *waiter)
{
	hand_over(FL_CONTAINER_OF(waiter, struct fl_stranger, waiter), (struct fl_span){0});
}

/* All that was read is held. */
static void wait_for_slot(struct fl_stranger *stranger)
{
	struct fl_loop *loop = loop_of(stranger);

	enter(stranger, FL_STRANGER_WAITING);
	take_parts(stranger, true);
	fl_deadline_drop(&stranger->hello_deadline);
	if (stranger->deadline.next == NULL) {
		fl_deadline_add(&loop->handshaking, &stranger->deadline, on_late);
	}
	stranger->waiter.on_slot = on_slot;
	fl_slots_wait_first(&loop->slots[FL_INBOUND], &stranger->waiter, stranger->conn->lane);
	if (!uv_is_active((uv_handle_t *)&loop->strangers.pace)) {
		FL_REQUIRE(uv_timer_start(&loop->strangers.pace, on_pace, PACE_MS, PACE_MS) == 0);
	}
}

/* Its kind is known; data: as in hand_over(). */
static void decide(struct fl_stranger *stranger, enum fl_detected what, struct fl_span data)
{
	struct fl_loop *loop = loop_of(stranger);
	uint32_t lane = stranger->conn->lane;
	bool needs_slot = !stranger->permissive || what == FL_DETECTED_FAIRLEAD;

	stranger->conn->detected = (uint8_t)what;
	if (!needs_slot || fl_slots_has_room(&loop->slots[FL_INBOUND], lane)) {
		hand_over(stranger, data);
	} else if (stranger->held != NULL || hold(stranger, data.data, data.len)) {
		wait_for_slot(stranger);
		(void)fl_session_make_room(loop, lane, FOR_NEWCOMERS);
	}
}

/* FL_HELLO_NEED_MORE, or its kind. */
static enum fl_hello_verdict recognize(struct fl_stranger *stranger, const uint8_t *data,
				       size_t len)
{
	if (stranger->permissive) {
		return fl_hello_feed(&stranger->hello, data, len);
	}
	/* Any kind of bytes: the engine reports what is wrong with them. */
	return fl_first_feed(&stranger->first, data, len) ||
			       stranger->held_len + len >= held_max(stranger)
		       ? FL_HELLO_TLS_OURS
		       : FL_HELLO_NEED_MORE;
}

static enum fl_detected meaning_of(const struct fl_stranger *stranger,
				   enum fl_hello_verdict verdict)
{
	static const enum fl_detected meaning[] = {[FL_HELLO_NOT_TLS] = FL_DETECTED_PLAINTEXT,
						   [FL_HELLO_TLS_OTHER] = FL_DETECTED_TLS,
						   [FL_HELLO_TLS_OURS] = FL_DETECTED_FAIRLEAD};

	return stranger->permissive ? meaning[verdict] : FL_DETECTED_NOTHING;
}

static void make_room(struct fl_loop *loop);

static void on_data(void *user, uint8_t *data, size_t len)
{
	struct fl_stranger *stranger = user;
	struct fl_loop *loop = loop_of(stranger);
	enum fl_hello_verdict verdict = stranger->state == FL_STRANGER_WAITING
						? FL_HELLO_NEED_MORE
						: recognize(stranger, data, len);
	bool is_whole_read = stranger->held == NULL && verdict != FL_HELLO_NEED_MORE;

	if (!is_whole_read && !hold(stranger, data, len)) {
		return;
	}
	if (verdict != FL_HELLO_NEED_MORE) {
		decide(stranger, meaning_of(stranger, verdict),
		       (struct fl_span){.data = data, .len = len});
	} else if (stranger->state == FL_STRANGER_READING) {
		fl_sock_ack_now(stranger->sock);
		wait_for_more(stranger);
	}
	make_room(loop);
}

static void on_eof(void *user)
{
	struct fl_stranger *stranger = user;

	if (stranger->permissive && stranger->state == FL_STRANGER_READING) {
		decide(stranger, FL_DETECTED_PLAINTEXT, (struct fl_span){0});
	} else {
		fail(stranger, FL_REASON_PEER_TRUNCATED, NULL);
	}
}

static void on_nothing(void *user)
{
	(void)user;
}

static void on_error(void *user, int sys)
{
	fail(user, fl_reason_of_peer_error(sys), NULL);
}

static const struct fl_sock_events sock_events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_nothing, .on_error = on_error};

/* The loop may have been late: bytes that have arrived by now count. */
static void on_silence(uv_timer_t *timer)
{
	struct fl_stranger *stranger = FL_CONTAINER_OF(timer, struct silence, timer)->of;
	const struct fl_net *net = &loop_of(stranger)->net;

	fl_sock_read_now(stranger->sock, net->read_buf, net->read_cap);
	if (stranger->state != FL_STRANGER_GONE && stranger->hello.seen == 0) {
		decide(stranger, FL_DETECTED_SILENCE, (struct fl_span){0});
	}
}

/* --- when there are too many ----------------------------------------------------------------------- */

/* Bytes in the kernel's buffer have arrived in time. */
static bool is_still_partial(struct fl_stranger *stranger)
{
	uint8_t buf[FL_HELLO_MAX];

	if (!stranger->member.whole) {
		fl_sock_read_now(stranger->sock, buf, sizeof(buf));
	}
	return stranger->state != FL_STRANGER_GONE && !stranger->member.whole;
}

static void push_out(struct fl_stranger *stranger)
{
	bool was_whole = stranger->member.whole;

	if (was_whole || is_still_partial(stranger)) {
		fail(stranger, FL_REASON_CROWDED_OUT, NULL);
	}
}

/* Reading a stranger a last time can call this function again: calls do not nest. */
static void make_room(struct fl_loop *loop)
{
	struct fl_strangers *strangers = &loop->strangers;
	struct fl_crowd_member *member;

	if (strangers->making_room) {
		return;
	}
	strangers->making_room = true;
	while ((member = fl_crowd_surplus(&strangers->crowd)) != NULL) {
		push_out(FL_CONTAINER_OF(member, struct fl_stranger, member));
	}
	strangers->making_room = false;
}

/* A holder that is silent for too long causes no event. */
static void on_pace(uv_timer_t *timer)
{
	struct fl_loop *loop = timer->data;
	uint32_t lane;

	for (unsigned number = 0; number < PACE_LANES;) {
		if (!fl_slots_waiting_lane(&loop->slots[FL_INBOUND], number, &lane)) {
			break;
		}
		if (!fl_session_make_room(loop, lane,
					  FOR_OTHERS)) { /* otherwise it has served a stranger */
			number++;
		}
	}
	if (loop->slots[FL_INBOUND].waiting == NULL) {
		(void)uv_timer_stop(timer);
	}
}

/* --- start ---------------------------------------------------------------------------------------- */

static bool start_silence(struct fl_stranger *stranger)
{
	struct silence *silence = calloc(1, sizeof(*silence));

	if (silence == NULL) {
		return false;
	}
	silence->of = stranger;
	stranger->silence = silence;
	FL_REQUIRE(uv_timer_init(loop_of(stranger)->uv, &silence->timer) == 0);
	FL_REQUIRE(uv_timer_start(&silence->timer, on_silence,
				  fl_conn_inbound(stranger->conn)->detect_timeout_ms, 0) == 0);
	return true;
}

static void refuse_for_memory(const struct fl_conn *conn, struct fl_sock *sock)
{
	struct fl_access access = {.conn = conn, .reason = FL_REASON_INTERNAL};

	fl_access_ended(&access);
	fl_sock_reset(sock);
}

void fl_stranger_start(struct fl_conn *conn, struct fl_sock *sock, fl_stranger_cb cb)
{
	struct fl_loop *loop = conn->loop;
	struct fl_stranger *stranger = calloc(1, sizeof(*stranger));
	struct fl_inet network = fl_inet_network(&conn->source);

	if (stranger == NULL ||
	    !fl_crowd_join(&loop->strangers.crowd, &stranger->member, &network)) {
		free(stranger);
		refuse_for_memory(conn, sock);
		return;
	}
	stranger->conn = fl_conn_ref(conn);
	stranger->sock = sock;
	stranger->cb = cb;
	stranger->permissive = fl_conn_inbound(conn)->mode == FL_INBOUND_PERMISSIVE;
	fl_hello_init(&stranger->hello);
	DL_APPEND(loop->strangers.all, stranger);
	fl_sock_set_user(sock, &sock_events, stranger);
	if (!stranger->permissive) {
		wait_for_more(stranger);
	} else if (!start_silence(stranger)) {
		fail(stranger, FL_REASON_INTERNAL, NULL);
		return;
	}
	fl_sock_read_start(sock);
	make_room(loop);
}

void fl_strangers_list(struct fl_loop *loop, struct fl_listing *ret)
{
	struct fl_stranger *stranger;

	DL_FOREACH(loop->strangers.all, stranger)
	{
		struct fl_listed *item = fl_listing_add(ret);

		if (item == NULL) {
			return;
		}
		fl_conn_describe(stranger->conn,
				 stranger->state == FL_STRANGER_WAITING ? "waiting"
				 : stranger->permissive                 ? "detecting"
									: "handshake",
				 item);
		fl_listing_keep(ret);
	}
}

void fl_strangers_end_all(struct fl_loop *loop)
{
	struct fl_stranger *stranger, *tmp;

	DL_FOREACH_SAFE(loop->strangers.all, stranger, tmp)
	{
		fail(stranger, FL_REASON_DRAIN, NULL);
	}
}
