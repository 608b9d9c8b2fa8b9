/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Happy path: dial, send a SIGN without requests, whose answer proves that somebody is there; then one SIGN for each turn with
 * requests.
 *
 * Failure: whatever happens to the connection, it is closed and dialled again, with a back-off that stays short until the
 * agent is down. One timer measures the agent's silence, from the loss of the connection or from the oldest question on. */
#include "worker/sign_link.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_MAX ((size_t)FL_CTL_MAX_SIGN)
#define MIN_BACKOFF_MS 50u /* longer than agent_link.c takes to be told of a new key */
#define MAX_BACKOFF_MS 100u
#define DOWN_BACKOFF_MS 1000u
#define PAUSE_MS 10u

static void on_retry(uv_timer_t *timer);
static void dial_later(struct fl_sign_link *link);

/* --- is the agent there? ------------------------------------------------------------------------ */

static void set_state(struct fl_sign_link *link, enum fl_sign_state state)
{
	__atomic_store_n(&link->state, (unsigned)state, __ATOMIC_RELAXED);
}

enum fl_sign_state fl_sign_link_state(const struct fl_sign_link *link)
{
	return (enum fl_sign_state)__atomic_load_n(&link->state, __ATOMIC_RELAXED);
}

/* The first worker speaks for all. */
static void tell(struct fl_sign_link *link, enum fl_log_level level, const char *text)
{
	if (link->loop->number == 0) {
		fl_log_msg(&link->loop->log, level, "%s", text);
	}
}

static void on_patience(uv_timer_t *timer)
{
	struct fl_sign_link *link = FL_CONTAINER_OF(timer, struct fl_sign_link, patience);

	set_state(link, FL_SIGN_STATE_DOWN);
	tell(link, FL_LOG_WARN,
	     "the agent does not sign: full handshakes fail until it does; open connections and resumed "
	     "sessions go on");
	fl_signing_set_down(&link->loop->signing, true);
	if (link->sock != NULL) {
		dial_later(link); /* nothing may ever come on this one, not even its end */
	}
}

static void expect_answer(struct fl_sign_link *link)
{
	if (fl_sign_link_state(link) != FL_SIGN_STATE_DOWN &&
	    uv_is_active((uv_handle_t *)&link->patience) == 0) {
		FL_REQUIRE(uv_timer_start(&link->patience, on_patience, FL_SIGNING_MS, 0) == 0);
	}
}

/* The agent has answered. */
static void note_answer(struct fl_sign_link *link)
{
	(void)uv_timer_stop(&link->patience);
	if (fl_sign_link_state(link) == FL_SIGN_STATE_DOWN) {
		tell(link, FL_LOG_INFO, "the agent signs again");
		fl_signing_set_down(&link->loop->signing, false);
	}
	set_state(link, FL_SIGN_STATE_UP);
	link->backoff_ms = MIN_BACKOFF_MS;
	if (link->due > 0) {
		expect_answer(link);
	}
}

/* --- the connection ----------------------------------------------------------------------------- */

static void disconnect(struct fl_sign_link *link)
{
	if (link->sock != NULL) {
		fl_sock_close(link->sock, 0);
		link->sock = NULL;
	}
	fl_ctl_decoder_free(link->decoder);
	link->decoder = NULL;
	link->is_connected = false;
	link->due = 0;
	fl_signing_ask_again(&link->loop->signing);
}

static void dial_later(struct fl_sign_link *link)
{
	uint32_t most =
		fl_sign_link_state(link) == FL_SIGN_STATE_DOWN ? DOWN_BACKOFF_MS : MAX_BACKOFF_MS;

	disconnect(link);
	expect_answer(link);
	FL_REQUIRE(uv_timer_start(&link->retry, on_retry, link->backoff_ms, 0) == 0);
	link->backoff_ms = link->backoff_ms * 2 > most ? most : link->backoff_ms * 2;
}

/* False: the connection is gone. */
static bool send_batch(struct fl_sign_link *link, const struct fl_ctl_batch *batch, unsigned due)
{
	if (fl_sock_write(link->sock, batch->frame, batch->len) < 0) {
		dial_later(link);
		return false;
	}
	link->due += due;
	expect_answer(link);
	return true;
}

/* --- questions and answers ---------------------------------------------------------------------- */

static void to_request(uint32_t number, const struct fl_tls_to_sign *to_sign,
		       struct fl_ctl_sign_request *ret)
{
	*ret = (struct fl_ctl_sign_request){.number = number,
					    .role = to_sign->role == FL_TLS_CLIENT ? FL_SIGN_CLIENT
										   : FL_SIGN_SERVER,
					    .scheme = to_sign->scheme,
					    .hash = {to_sign->hash, to_sign->hash_len}};
	memcpy(ret->key, to_sign->key, sizeof(ret->key));
}

void fl_sign_link_ask(struct fl_sign_link *link)
{
	struct fl_ctl_batch batch = {.frame = link->frame, .cap = FRAME_MAX};
	struct fl_ctl_sign_request request;
	struct fl_tls_to_sign to_sign;
	unsigned count = 0;
	uint32_t number;

	if (!link->is_connected || fl_sock_pending(link->sock) ||
	    uv_is_active((uv_handle_t *)&link->pause) != 0) {
		return; /* they wait, until it is connected, has taken what was sent, or the pause is over */
	}
	fl_ctl_batch_begin(&batch, FL_CTL_SIGN);
	while (fl_signing_take(&link->loop->signing, &number, &to_sign)) {
		to_request(number, &to_sign, &request);
		if (!fl_ctl_batch_add_request(&batch, &request)) {
			if (!send_batch(link, &batch, count)) {
				return;
			}
			count = 0;
			fl_ctl_batch_begin(&batch, FL_CTL_SIGN);
			FL_REQUIRE(fl_ctl_batch_add_request(&batch, &request));
		}
		count++;
	}
	if (count > 0) {
		(void)send_batch(link, &batch, count);
	}
}

static const char *sentence_of(unsigned result)
{
	switch (result) {
	case FL_SIGN_KEY:
		return "the agent does not have the key that this handshake began with any more";
	case FL_SIGN_FAULT:
		return "the agent could not make a signature";
	default:
		return "the agent refuses to sign this; run agent and sidecar of one release";
	}
}

static void on_pause_over(uv_timer_t *timer)
{
	fl_sign_link_ask(FL_CONTAINER_OF(timer, struct fl_sign_link, pause));
}

/* The agent has made all the signatures that it may make in this second. A request that waits is counted once. */
static void put_off(struct fl_sign_link *link, uint32_t number)
{
	fl_count(&link->loop->counters.signatures[FL_SIGN_RATE],
		 fl_signing_put_off(&link->loop->signing, number) ? 1 : 0);
	FL_REQUIRE(uv_timer_start(&link->pause, on_pause_over, PAUSE_MS, 0) == 0);
}

static void take_answers(struct fl_sign_link *link, struct fl_ctl_items items)
{
	struct fl_ctl_sign_answer answer;

	while (fl_ctl_next_answer(&items, &answer)) {
		unsigned result =
			answer.result < FL_SIGN_RESULT_COUNT ? answer.result : FL_SIGN_FAULT;
		struct fl_span signature = {0};

		if (result == FL_SIGN_SIGNED) {
			signature = answer.signature;
		}
		link->due -= link->due > 0;
		if (result == FL_SIGN_RATE) {
			put_off(link, answer.number);
			continue;
		}
		fl_count(&link->loop->counters.signatures[result], 1);
		fl_signing_answer(&link->loop->signing, answer.number, signature,
				  sentence_of(result));
	}
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	struct fl_sign_link *link = user;
	const uint8_t *rest = data;
	struct fl_ctl_message message;
	int rc;

	while ((rc = fl_ctl_decoder_feed(link->decoder, &rest, &len, &message, NULL)) == 1) {
		if (message.type != FL_CTL_SIGNED) {
			dial_later(link);
			return;
		}
		take_answers(link, message.u.answers);
		note_answer(link);
	}
	if (rc < 0) {
		dial_later(link);
	}
}

static void on_eof(void *user)
{
	dial_later(user);
}

static void on_drain(void *user)
{
	fl_sign_link_ask(user);
}

static void on_error(void *user, int sys)
{
	(void)sys;
	dial_later(user);
}

static const struct fl_sock_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

/* Without requests: is somebody there? A connection alone proves only that the socket listens. */
static void greet(struct fl_sign_link *link)
{
	struct fl_ctl_batch batch = {.frame = link->frame, .cap = FRAME_MAX};

	fl_ctl_batch_begin(&batch, FL_CTL_SIGN);
	if (send_batch(link, &batch, 0)) {
		fl_sign_link_ask(link);
	}
}

static void on_dialed(void *user, int sys)
{
	struct fl_sign_link *link = user;
	struct fl_err err;

	if (sys != 0 || fl_agent_check(&link->place, link->sock, &err) != 0 ||
	    (link->decoder = fl_ctl_decoder_new(FL_CTL_FROM_AGENT)) == NULL) {
		dial_later(link);
		return;
	}
	link->is_connected = true;
	fl_sock_read_start(link->sock);
	greet(link);
}

static void on_retry(uv_timer_t *timer)
{
	struct fl_sign_link *link = FL_CONTAINER_OF(timer, struct fl_sign_link, retry);
	struct fl_err err;

	if (fl_agent_dial(&link->loop->net, &link->place, &events, link, on_dialed, &link->sock,
			  &err) != 0) {
		link->sock = NULL;
		dial_later(link);
	}
}

/* --- life --------------------------------------------------------------------------------------- */

void fl_sign_link_init(struct fl_sign_link *link, struct fl_loop *loop, const struct fl_conf *conf)
{
	*link = (struct fl_sign_link){.loop = loop, .backoff_ms = MIN_BACKOFF_MS};
	fl_agent_place_of(conf, &link->place);
	FL_REQUIRE(uv_timer_init(loop->uv, &link->retry) == 0);
	FL_REQUIRE(uv_timer_init(loop->uv, &link->patience) == 0);
	FL_REQUIRE(uv_timer_init(loop->uv, &link->pause) == 0);
}

void fl_sign_link_open(struct fl_sign_link *link)
{
	if (fl_sign_link_state(link) != FL_SIGN_STATE_OFF) {
		return;
	}
	link->frame = fl_new(FRAME_MAX);
	set_state(link, FL_SIGN_STATE_DIALING);
	expect_answer(link);
	on_retry(&link->retry);
}

void fl_sign_link_close(struct fl_sign_link *link)
{
	disconnect(link);
	uv_close((uv_handle_t *)&link->retry, NULL);
	uv_close((uv_handle_t *)&link->patience, NULL);
	uv_close((uv_handle_t *)&link->pause, NULL);
}

void fl_sign_link_done(struct fl_sign_link *link)
{
	free(link->frame);
}
