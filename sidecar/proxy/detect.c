/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The first look at a connection of a permissive port.
 *
 * Happy path: the first read holds a whole ClientHello, or something else altogether, and is handed on where it lies.
 * Only a hello in pieces is collected, up to FL_HELLO_MAX and the read that exceeds it.
 *
 * Failure: a client that resets, or stalls within its hello, ends here with a reset of ours. A FIN is no failure:
 * nothing more will come, so what came is not a hello, and the app gets both.
 *
 * Ownership: a detection has its memory until its timer is closed, a turn of the loop after it has ended, and so frames up
 * the stack may return into it. */
#include "proxy/detect.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "proxy/access.h"
#include "wire/hello.h"

struct fl_detect {
	struct fl_detect *prev, *next;
	struct fl_route *route; /* a reference */
	struct fl_sock *sock;   /* NULL once it has ended */
	fl_detect_cb cb;
	uv_timer_t silence; /* until the first byte; ports differ in it, so no queue of equals */
	struct fl_deadline deadline; /* from then on: handshake_timeout */
	struct fl_hello hello;
	uint8_t *held; /* owned: what came when that was not enough */
	size_t held_len;
};

static struct fl_worker *worker_of(const struct fl_detect *detect)
{
	return detect->route->worker;
}

/* --- end ---------------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct fl_detect, silence));
}

/* The socket has gone to somebody else. */
static void release(struct fl_detect *detect)
{
	struct fl_worker *worker = worker_of(detect);

	detect->sock = NULL;
	fl_deadline_drop(&detect->deadline);
	free(detect->held);
	detect->held = NULL;
	DL_DELETE(worker->detects, detect);
	uv_close((uv_handle_t *)&detect->silence, on_timer_closed);
	fl_route_unref(detect->route);
	fl_worker_session_settled(worker);
}

static void fail(struct fl_detect *detect, enum fl_reason reason)
{
	struct fl_access access = {.route = detect->route, .reason = reason};
	struct fl_worker *worker = worker_of(detect);

	fl_access_ended(&access);
	if (reason == FL_REASON_HANDSHAKE_TIMEOUT) {
		fl_count(&worker->counters.handshakes_failed[FL_INBOUND][reason], 1);
	}
	fl_places_give_back(&worker->places[FL_INBOUND], detect->route->lane);
	fl_sock_reset(detect->sock);
	release(detect);
}

/* data: what came last and is not held; its place is the loop's buffer. */
static void decide(struct fl_detect *detect, enum fl_detected what, struct fl_span data)
{
	struct fl_session_begun begun = {.early = data, .deadline = &detect->deadline};

	if (detect->held != NULL) {
		begun.early = (struct fl_span){.data = detect->held, .len = detect->held_len};
	}
	fl_sock_read_stop(detect->sock);
	detect->route->detected = (uint8_t)what;
	fl_places_give_back(&worker_of(detect)->places[FL_INBOUND], detect->route->lane);
	detect->cb(detect->route, detect->sock, &begun);
	release(detect);
}

/* --- what comes ----------------------------------------------------------------------------------- */

static bool hold(struct fl_detect *detect, const uint8_t *data, size_t len)
{
	uint8_t *held = realloc(detect->held, detect->held_len + len);

	if (held == NULL) {
		fail(detect, FL_REASON_INTERNAL);
		return false;
	}
	memcpy(held + detect->held_len, data, len);
	detect->held = held;
	detect->held_len += len;
	return true;
}

static void on_deadline(struct fl_deadline *deadline)
{
	fail(FL_CONTAINER_OF(deadline, struct fl_detect, deadline), FL_REASON_HANDSHAKE_TIMEOUT);
}

static void wait_for_more(struct fl_detect *detect)
{
	(void)uv_timer_stop(&detect->silence);
	if (detect->deadline.next == NULL) {
		fl_deadline_add(&worker_of(detect)->handshaking, &detect->deadline, on_deadline);
	}
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	static const enum fl_detected meaning[] = {[FL_HELLO_NOT_TLS] = FL_DETECTED_PLAINTEXT,
						   [FL_HELLO_TLS_OTHER] = FL_DETECTED_TLS,
						   [FL_HELLO_TLS_OURS] = FL_DETECTED_FAIRLEAD};
	struct fl_detect *detect = user;
	enum fl_hello_verdict verdict = fl_hello_feed(&detect->hello, data, len);
	bool whole = detect->held == NULL && verdict != FL_HELLO_NEED_MORE;

	if (!whole && !hold(detect, data, len)) {
		return;
	}
	if (verdict == FL_HELLO_NEED_MORE) {
		wait_for_more(detect);
	} else {
		decide(detect, meaning[verdict], (struct fl_span){.data = data, .len = len});
	}
}

static void on_eof(void *user)
{
	struct fl_detect *detect = user;

	decide(detect, FL_DETECTED_PLAINTEXT, (struct fl_span){0});
}

static void on_nothing(void *user)
{
	(void)user;
}

static void on_error(void *user, int sys)
{
	(void)sys;
	fail(user, FL_REASON_PEER_RESET);
}

static const struct fl_sock_events sock_events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_nothing, .on_error = on_error};

/* The loop may have been late: what has come by now counts. */
static void on_silence(uv_timer_t *timer)
{
	struct fl_detect *detect = FL_CONTAINER_OF(timer, struct fl_detect, silence);
	const struct fl_net *net = &worker_of(detect)->net;

	fl_sock_read_now(detect->sock, net->read_buf, net->read_cap);
	if (detect->sock != NULL && detect->hello.seen == 0) {
		decide(detect, FL_DETECTED_SILENCE, (struct fl_span){0});
	}
}

/* --- start ---------------------------------------------------------------------------------------- */

void fl_detect_start(struct fl_route *route, struct fl_sock *sock, fl_detect_cb cb)
{
	struct fl_worker *worker = route->worker;
	struct fl_detect *detect = calloc(1, sizeof(*detect));

	if (detect == NULL) {
		struct fl_access access = {.route = route, .reason = FL_REASON_INTERNAL};

		fl_access_ended(&access);
		fl_sock_reset(sock);
		return;
	}
	detect->route = fl_route_ref(route);
	detect->sock = sock;
	detect->cb = cb;
	fl_hello_init(&detect->hello);
	DL_APPEND(worker->detects, detect);
	fl_places_take(&worker->places[FL_INBOUND], route->lane);
	FL_REQUIRE(uv_timer_init(&worker->loop, &detect->silence) == 0);
	FL_REQUIRE(uv_timer_start(&detect->silence, on_silence,
				  fl_route_inbound(route)->detect_timeout_ms, 0) == 0);
	fl_sock_set_user(sock, &sock_events, detect);
	fl_sock_read_start(sock);
}

const char *fl_detected_word(enum fl_detected detected)
{
	switch (detected) {
	case FL_DETECTED_NOTHING:
		break;
	case FL_DETECTED_FAIRLEAD:
		return "fairlead";
	case FL_DETECTED_TLS:
		return "tls";
	case FL_DETECTED_PLAINTEXT:
		return "plaintext";
	case FL_DETECTED_SILENCE:
		return "silence";
	}
	return NULL;
}

void fl_detect_list(struct fl_worker *worker, struct fl_listing *ret)
{
	struct fl_detect *detect;

	DL_FOREACH(worker->detects, detect)
	{
		struct fl_listed *item = fl_listing_add(ret);

		if (item == NULL) {
			return;
		}
		fl_route_describe(detect->route, "detecting", item);
	}
}

void fl_detect_end_all(struct fl_worker *worker)
{
	struct fl_detect *detect, *tmp;

	DL_FOREACH_SAFE(worker->detects, detect, tmp)
	{
		fail(detect, FL_REASON_DRAIN);
	}
}
