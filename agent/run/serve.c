/* SPDX-License-Identifier: GPL-3.0-or-later */
/* serve - a few channels, one encoded generation.
 *
 * A channel: accepted -> uid checked -> HELLO -> (GENERATION -> RESULT)*, or -> (SIGN -> SIGNED*)*. It ends when the sidecar closes it, breaks the
 * protocol or misses a deadline. The sidecar then connects again with back-off, and nothing is lost: its next HELLO says
 * all that the agent has to know.
 *
 * A sidecar may never read. Nothing is written behind bytes that the kernel has not taken yet, so these are of one message: beats are
 * left out, and of generations and notes the newest is sent when there is room (on_drain). */
#include "agent/run/serve.h"

#include <stdlib.h>
#include <string.h>

#include "agent/run/admission.h"
#include "agent/run/serve_internal.h"
#include "agent/run/sign_answers.h"
#include "base/harden.h"
#include "base/mem.h"
#include "net/listener.h"
#include "net/rights.h"

#define NUMBER_LAST ((uint64_t)INT64_MAX)

/* --- generations ------------------------------------------------------------------------------ */

static void log_generation(struct fl_channel *channel, enum fl_log_level level, const char *msg,
			   uint64_t number)
{
	struct fl_line line;

	fl_line_begin(&line, channel->serve->log, level, msg);
	fl_line_u64(&line, "connection", channel->id);
	fl_line_u64(&line, "generation", number);
	fl_line_end(&line);
}

/* The generation gets a number of at least `least`. A sidecar that names a number which leaves few to follow is lying, or has it
 * from an agent that believed one that did: numbers begin again for it, and it keeps nobody from renewals. */
static void number_from(struct fl_serve *serve, uint64_t least)
{
	if (serve->number < least && least <= NUMBER_LAST) {
		serve->number = least;
	}
}

/* Is the generation, whatever its number, the one that was sent last? */
static bool is_pushed(const struct fl_channel *channel)
{
	return memcmp(channel->pushed_digest, channel->serve->digest, FL_DIGEST_LEN) == 0;
}

static bool push(struct fl_channel *channel, uint64_t number)
{
	struct fl_serve *serve = channel->serve;
	const uint8_t *key = fl_keyring_current(serve->keyring);
	int rc;

	fl_ctl_generation_renumber(serve->frame, serve->frame_len, number);
	rc = fl_sock_write(channel->sock, serve->frame, serve->frame_len);
	if (rc < 0) {
		fl_channel_fail(channel, uv_strerror(rc));
		return false;
	}
	channel->pushed = number;
	channel->is_pending = true;
	channel->is_unsent = rc > 0;
	channel->has_refused = channel->has_refused && is_pushed(channel);
	memcpy(channel->pushed_digest, serve->digest, FL_DIGEST_LEN);
	memset(channel->pushed_key, 0, FL_DIGEST_LEN);
	if (key != NULL) {
		memcpy(channel->pushed_key, key, FL_DIGEST_LEN);
	}
	fl_channel_set_deadline(channel, FL_SERVE_RESULT_MS);
	log_generation(channel, channel->has_refused ? FL_LOG_DEBUG : FL_LOG_INFO,
		       "generation pushed", number);
	return true;
}

bool fl_channel_offer(struct fl_channel *channel)
{
	struct fl_serve *serve = channel->serve;

	if (!channel->greeted || serve->frame == NULL) {
		return true;
	}
	/* One at a time. When it has answered it gets the newest one, so a sidecar that is slower than the changes
	 * skips some. */
	if (channel->is_pending) {
		return true;
	}
	channel->again_at = 0;
	channel->owes_offer = fl_sock_pending(channel->sock);
	if (channel->owes_offer) {
		return true;
	}
	if (fl_keyring_current(serve->keyring) != NULL && !channel->asks_signatures) {
		fl_channel_fail(
			channel,
			"it is of an older release, which needs our private key: run agent and sidecar of "
			"one release, or set `[tls] key = sidecar`");
		return false;
	}
	if (channel->has != 0 && memcmp(channel->has_digest, serve->digest, FL_DIGEST_LEN) == 0) {
		number_from(serve, channel->has);
		/* Sent again, it takes back the one that the sidecar has refused. */
		if (channel->has_refused) {
			return push(channel, channel->has);
		}
		log_generation(channel, FL_LOG_INFO, "generation is in use already", channel->has);
		return true;
	}
	number_from(serve, channel->has + 1);
	return push(channel, serve->number);
}

/* Takes the frame over; NULL: there was no memory for it. False: the channel is gone. */
static bool send_frame(struct fl_channel *channel, uint8_t *frame, size_t len)
{
	int rc = frame != NULL ? fl_sock_write(channel->sock, frame, len) : UV_ENOMEM;

	free(frame);
	if (rc < 0) {
		fl_channel_fail(channel, uv_strerror(rc));
		return false;
	}
	return true;
}

/* A beat behind bytes that the sidecar has not read would tell it nothing. False: the channel is gone. */
static bool send_beat(struct fl_channel *channel)
{
	struct fl_ctl_beat beat = {.every_ms = FL_CTL_BEAT_MS};
	uint8_t *frame;
	size_t len;

	if (!channel->wants_beats || fl_sock_pending(channel->sock)) {
		return true;
	}
	frame = fl_ctl_encode_beat(&beat, &len);
	return send_frame(channel, frame, len);
}

static void on_beat(uv_timer_t *timer)
{
	struct fl_serve *serve = timer->data;
	bool anybody = false;

	for (size_t i = serve->channel_count; i-- > 0;) {
		anybody |= serve->channels[i]->wants_beats;
		(void)send_beat(serve->channels[i]);
	}
	if (!anybody) {
		(void)uv_timer_stop(timer);
	}
}

static bool start_beating(struct fl_channel *channel)
{
	if (!channel->wants_beats) {
		return true;
	}
	FL_REQUIRE(uv_timer_start(&channel->serve->beat, on_beat, FL_CTL_BEAT_MS, FL_CTL_BEAT_MS) ==
		   0);
	return send_beat(channel);
}

/* False: the channel is gone. */
static bool send_note(struct fl_channel *channel)
{
	const struct fl_serve *serve = channel->serve;
	const char *text = serve->note != NULL ? serve->note : "";
	struct fl_ctl_note note = {
		.refused = serve->note != NULL,
		.time = serve->note_time,
		.text = {(const uint8_t *)text, strlen(text)},
	};
	uint8_t *frame;
	size_t len;

	channel->owes_note = channel->greeted && fl_sock_pending(channel->sock);
	if (!channel->greeted || channel->owes_note) {
		return true;
	}
	frame = fl_ctl_encode_note(&note, &len);
	return send_frame(channel, frame, len);
}

/* Makes room for one sidecar more: closes the oldest. */
static void evict_sidecar(struct fl_serve *serve)
{
	struct fl_channel *oldest = NULL;
	size_t count = 0;

	for (size_t i = serve->channel_count; i-- > 0;) {
		if (serve->channels[i]->greeted) {
			oldest = serve->channels[i];
			count++;
		}
	}
	if (count == FL_SERVE_SIDECARS) {
		fl_channel_fail(oldest, "too many sidecars, and it is the oldest");
	}
}

static bool on_hello(struct fl_channel *channel, const struct fl_ctl_hello *hello)
{
	if (channel->greeted || channel->signs) {
		fl_channel_fail(channel, channel->signs ? "a HELLO after a request for signatures"
							: "a second HELLO");
		return false;
	}
	if (hello->version != FL_CTL_VERSION) {
		fl_channel_fail(channel, "it speaks another version of the protocol: run agent and "
					 "sidecar from one release");
		return false;
	}
	evict_sidecar(channel->serve);
	channel->greeted = true;
	fl_ctl_decoder_skip_unknown(channel->decoder);
	fl_sock_limit_unread(channel->sock, FL_SERVE_UNREAD_MAX);
	channel->wants_beats = hello->wants_beats;
	channel->asks_signatures = hello->asks_signatures;
	fl_channel_hold_key(channel, hello->key);
	channel->has = hello->generation;
	memcpy(channel->has_digest, hello->digest, FL_DIGEST_LEN);
	fl_channel_set_deadline(channel, 0);
	log_generation(channel, FL_LOG_INFO, "sidecar connected", hello->generation);
	return start_beating(channel) && fl_channel_offer(channel) &&
	       (channel->serve->note == NULL || send_note(channel));
}

static void log_refused(struct fl_channel *channel, const struct fl_ctl_result *result)
{
	struct fl_line line;

	fl_line_begin(&line, channel->serve->log,
		      channel->has_refused ? FL_LOG_DEBUG : FL_LOG_ERROR, "generation refused");
	fl_line_u64(&line, "connection", channel->id);
	fl_line_u64(&line, "generation", result->number);
	fl_line_strn(&line, "reason", (const char *)result->reason.data, result->reason.len);
	fl_line_end(&line);
}

static bool on_result(struct fl_channel *channel, const struct fl_ctl_result *result)
{
	if (!channel->is_pending || result->number != channel->pushed) {
		fl_channel_fail(channel, "an answer to a generation that it was not sent");
		return false;
	}
	/* Each offer is a copy for the kernel, and would wait behind the previous ones. */
	if (channel->is_unsent) {
		fl_channel_fail(channel, "an answer to a generation that it has not read");
		return false;
	}
	channel->is_pending = false;
	fl_channel_set_deadline(channel, 0);
	if (result->ok) {
		channel->has = channel->pushed;
		fl_channel_hold_key(channel, channel->pushed_key);
		memcpy(channel->has_digest, channel->pushed_digest, FL_DIGEST_LEN);
		log_generation(channel, FL_LOG_INFO, "generation accepted", result->number);
	} else {
		log_refused(channel, result);
	}
	channel->has_refused = !result->ok;
	if (!is_pushed(channel)) {
		return fl_channel_offer(channel);
	}
	/* It has just judged this generation. */
	if (channel->has_refused) {
		fl_channel_offer_again(channel);
	}
	return true;
}

static bool on_sign(struct fl_channel *channel, struct fl_ctl_items requests)
{
	int rc;

	if (channel->greeted) {
		fl_channel_fail(channel,
				"it asks for signatures on a connection that began with HELLO");
		return false;
	}
	if (!channel->signs) {
		channel->signs = true;
		fl_sock_limit_unread(channel->sock, FL_SIGN_UNREAD_MAX);
		fl_channel_set_deadline(channel, 0);
	}
	rc = fl_sign_turns_ask(&channel->serve->turns, &channel->asker, requests);
	if (rc < 0) {
		fl_channel_fail(channel, uv_strerror(rc));
	} else if (rc > 0) {
		fl_sock_read_stop(channel->sock);
	}
	return rc >= 0;
}

static bool on_message(struct fl_channel *channel, const struct fl_ctl_message *message)
{
	if (message->type == FL_CTL_HELLO) {
		return on_hello(channel, &message->u.hello);
	}
	if (message->type == FL_CTL_RESULT) {
		return on_result(channel, &message->u.result);
	}
	FL_REQUIRE(message->type == FL_CTL_SIGN); /* all that is left of what a sidecar sends */
	return on_sign(channel, message->u.requests);
}

/* --- socket events ---------------------------------------------------------------------------- */

/* Acts on what was read, up to a message that has to wait; the rest is kept then. False: the channel is gone. */
static bool take(struct fl_channel *channel, const uint8_t *at, size_t len)
{
	struct fl_ctl_message message;
	struct fl_err err;
	int rc;

	while ((rc = fl_ctl_decoder_feed(channel->decoder, &at, &len, &message, &err)) == 1) {
		channel->whole_by = 0;
		if (!on_message(channel, &message)) {
			return false;
		}
		if (channel->asker.waits) {
			rc = fl_sign_turns_keep(&channel->asker, at, len);
			if (rc < 0) {
				(void)fl_err_set(&err, FL_ERR_NOMEM, "out of memory");
			}
			break;
		}
	}
	if (rc < 0) {
		fl_channel_fail(channel, err.text);
		return false;
	}
	fl_channel_expect_rest(channel);
	return true;
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	(void)take(user, data, len);
}

/* Its requests are answered. */
static void on_turn(struct fl_sign_asker *asker, uint8_t *behind, size_t behind_len, int sys)
{
	struct fl_channel *channel = FL_CONTAINER_OF(asker, struct fl_channel, asker);

	if (sys < 0) {
		fl_channel_fail(channel, uv_strerror(sys));
	} else if ((behind == NULL || take(channel, behind, behind_len)) && !asker->waits) {
		fl_sock_read_start(channel->sock);
	}
	free(behind);
}

static void on_eof(void *user)
{
	struct fl_channel *channel = user;

	/* A channel that ends without a HELLO was only a probe of whether the socket is alive. */
	log_generation(channel, channel->greeted ? FL_LOG_INFO : FL_LOG_DEBUG,
		       channel->signs ? "worker disconnected" : "sidecar disconnected",
		       channel->has);
	fl_channel_close(channel);
}

static void on_drain(void *user)
{
	struct fl_channel *channel = user;

	channel->is_unsent = false;
	if (channel->asker.waits) {
		fl_sign_turns_drained(&channel->serve->turns, &channel->asker);
	}
	if (channel->owes_offer && !fl_channel_offer(channel)) {
		return;
	}
	if (channel->owes_note) {
		(void)send_note(channel);
	}
}

static void on_error(void *user, int sys)
{
	fl_channel_fail(user, sys == -FL_RIGHTS_CAME ? "it sends descriptors" : uv_strerror(sys));
}

static const struct fl_sock_events channel_events = {on_data, on_eof, on_drain, on_error};

/* --- accepting -------------------------------------------------------------------------------- */

static void log_no_room(struct fl_serve *serve)
{
	if (fl_refusal_log_admits(&serve->refusals, serve->sidecar_uid)) {
		fl_log_msg(
			serve->log, FL_LOG_WARN,
			"caller refused: %d connections or more are closed, and their other ends neither "
			"read what they were sent nor close them",
			FL_SERVE_PLACES - FL_SERVE_MAX);
	}
}

static void on_connection(void *user, struct fl_listener *listener)
{
	struct fl_serve *serve = user;
	struct fl_sock *sock = fl_listener_accept(listener, &channel_events, NULL);
	struct fl_ctl_decoder *decoder;
	struct fl_channel *channel;

	if (sock == NULL) {
		return;
	}
	if (!fl_admission_may_connect(&serve->refusals, sock, serve->sidecar_uid)) {
		fl_sock_close(sock, 0);
		return;
	}
	if (!fl_channels_make_room(serve)) {
		log_no_room(serve);
		fl_sock_close(sock, 0);
		return;
	}
	channel = calloc(1, sizeof(*channel));
	decoder = fl_ctl_decoder_new(FL_CTL_FROM_SIDECAR);
	if (channel == NULL || decoder == NULL) {
		free(channel);
		fl_ctl_decoder_free(decoder);
		fl_sock_close(sock, 0);
		return; /* the sidecar connects again */
	}
	channel->serve = serve;
	channel->sock = channel->asker.sock = sock;
	channel->decoder = decoder;
	channel->id = ++serve->channel_ids;
	serve->channels[serve->channel_count++] = channel;
	fl_sock_set_user(sock, &channel_events, channel);
	fl_channel_set_deadline(channel, FL_SERVE_HELLO_MS);
	fl_sock_read_start(sock);
}

/* --- the interface ---------------------------------------------------------------------------- */

int fl_serve_open(struct fl_net *net, const struct fl_conf *conf, struct fl_log *log,
		  struct fl_serve **ret, struct fl_err *err)
{
	struct fl_serve *serve = fl_new(sizeof(*serve));
	int rc;

	serve->net = net;
	serve->log = log;
	serve->sidecar_uid = conf->agent.sidecar_uid;
	rc = fl_agent_socket_open(net, conf, log, on_connection, serve, &serve->agent_socket, err);
	if (rc != FL_OK) {
		free(serve);
		return rc;
	}
	serve->keyring = fl_keyring_open(net->loop, conf, log);
	fl_sign_turns_init(&serve->turns, net->loop, serve->keyring, on_turn);
	FL_REQUIRE(uv_timer_init(net->loop, &serve->timer) == 0);
	fl_refusal_log_init(&serve->refusals, net->loop, log);
	FL_REQUIRE(uv_timer_init(net->loop, &serve->beat) == 0);
	serve->timer.data = serve->refusals.window.data = serve->beat.data = serve;
	serve->open_handles = 4;
	fl_admission_warn_of_uid(log, conf);
	*ret = serve;
	return FL_OK;
}

void fl_serve_generation(struct fl_serve *serve, const struct fl_serve_generation *generation)
{
	fl_wipe_free(serve->frame, serve->frame_len);
	serve->frame = generation->frame;
	serve->frame_len = generation->len;
	if (generation->signer == NULL) {
		(void)fl_harden_memory(serve->frame, serve->frame_len); /* the key is in it */
	}
	serve->number = serve->number < NUMBER_LAST ? serve->number + 1 : 1;
	memcpy(serve->digest, generation->digest, FL_DIGEST_LEN);
	fl_keyring_take(serve->keyring, generation->conf, generation->signer);
	for (size_t i = serve->channel_count; i-- > 0;) {
		(void)fl_channel_offer(serve->channels[i]);
	}
}

void fl_serve_spare_key(struct fl_serve *serve, struct fl_signer *signer)
{
	fl_keyring_add(serve->keyring, signer);
	for (size_t i = serve->channel_count; i-- > 0;) {
		struct fl_channel *channel = serve->channels[i];

		if (channel->greeted && !channel->holds_key) {
			fl_channel_hold_key(channel, channel->has_key);
		}
	}
}

void fl_serve_note(struct fl_serve *serve, int64_t time, const char *text)
{
	free(serve->note);
	serve->note = fl_strdup(text);
	serve->note_time = time;
	for (size_t i = serve->channel_count; i-- > 0;) {
		(void)send_note(serve->channels[i]);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_serve *serve = handle->data;

	if (--serve->open_handles > 0) {
		return;
	}
	free(serve->note);
	fl_wipe_free(serve->frame, serve->frame_len);
	free(serve);
}

void fl_serve_close(struct fl_serve *serve)
{
	fl_agent_socket_close(serve->agent_socket);
	while (serve->channel_count > 0) {
		fl_channel_free(serve->channels[serve->channel_count - 1]);
	}
	fl_keyring_close(serve->keyring);
	serve->turns.idle.data = serve;
	uv_close((uv_handle_t *)&serve->turns.idle, on_closed);
	uv_close((uv_handle_t *)&serve->timer, on_closed);
	uv_close((uv_handle_t *)&serve->beat, on_closed);
	fl_refusal_log_end(&serve->refusals);
	uv_close((uv_handle_t *)&serve->refusals.window, on_closed);
}
