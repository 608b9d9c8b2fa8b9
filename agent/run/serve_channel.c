/* SPDX-License-Identifier: GPL-3.0-or-later */
/* serve_channel - how a channel waits and ends. One timer serves all deadlines. */
#include <stdlib.h>
#include <string.h>

#include "agent/run/serve_internal.h"
#include "base/mem.h"

/* The earlier of two; 0: none. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static void arm_timer(struct fl_serve *serve)
{
	uint64_t first = 0, now = uv_now(serve->net->loop);

	for (size_t i = 0; i < serve->channel_count; i++) {
		first = earlier(first, serve->channels[i]->deadline);
		first = earlier(first, serve->channels[i]->whole_by);
		first = earlier(first, serve->channels[i]->again_at);
	}
	if (first == 0) {
		(void)uv_timer_stop(&serve->timer);
		return;
	}
	FL_REQUIRE(uv_timer_start(&serve->timer, fl_channels_on_timer,
				  first > now ? first - now : 0, 0) == 0);
}

void fl_channel_set_deadline(struct fl_channel *channel, uint64_t in_ms)
{
	channel->deadline = in_ms == 0 ? 0 : uv_now(channel->serve->net->loop) + in_ms;
	arm_timer(channel->serve);
}

void fl_channel_offer_again(struct fl_channel *channel)
{
	channel->again_at = uv_now(channel->serve->net->loop) + FL_SERVE_AGAIN_MS;
	arm_timer(channel->serve);
}

/* Seldom a message comes in parts, and then for a moment: who sends one again and again arms the timer for the first only. */
void fl_channel_expect_rest(struct fl_channel *channel)
{
	struct fl_serve *serve = channel->serve;
	bool is_partial = fl_ctl_decoder_is_partial(channel->decoder);

	if (!is_partial) {
		channel->whole_by = 0;
	} else if (channel->whole_by == 0) {
		channel->whole_by = uv_now(serve->net->loop) + FL_SERVE_WHOLE_MS;
		if (uv_is_active((uv_handle_t *)&serve->timer) == 0 ||
		    uv_timer_get_due_in(&serve->timer) > FL_SERVE_WHOLE_MS) {
			arm_timer(serve);
		}
	}
}

void fl_channel_hold_key(struct fl_channel *channel, const uint8_t *name)
{
	struct fl_keyring *keyring = channel->serve->keyring;
	bool holds = name != NULL && fl_keyring_hold(keyring, name);

	if (channel->holds_key) {
		fl_keyring_release(keyring, channel->has_key);
	}
	channel->holds_key = holds;
	if (name != NULL && name != channel->has_key) {
		memcpy(channel->has_key, name, FL_DIGEST_LEN);
	}
}

/* Nothing of it is left but its socket and its place. */
static void part(struct fl_channel *channel)
{
	struct fl_channel parted = {.serve = channel->serve,
				    .sock = channel->sock,
				    .id = channel->id,
				    .is_parted = true};

	fl_channel_hold_key(channel, NULL);
	fl_sign_turns_leave(&channel->serve->turns, &channel->asker);
	fl_ctl_decoder_free(channel->decoder);
	fl_sock_part(channel->sock);
	*channel = parted;
	channel->serve->parted_count++;
	arm_timer(channel->serve);
}

void fl_channel_close(struct fl_channel *channel)
{
	if (fl_sock_has_unread(channel->sock)) {
		part(channel);
	} else {
		fl_channel_free(channel);
	}
}

void fl_channel_free(struct fl_channel *channel)
{
	struct fl_serve *serve = channel->serve;
	size_t i = 0;

	fl_channel_hold_key(channel, NULL);
	fl_sign_turns_leave(&serve->turns, &channel->asker);
	while (serve->channels[i] != channel) {
		i++;
	}
	serve->channel_count--;
	serve->parted_count -= channel->is_parted;
	for (; i < serve->channel_count; i++) {
		serve->channels[i] = serve->channels[i + 1];
	}
	fl_sock_close(channel->sock, 0);
	fl_ctl_decoder_free(channel->decoder);
	free(channel);
	arm_timer(serve);
}

void fl_channel_fail(struct fl_channel *channel, const char *reason)
{
	struct fl_line line;

	fl_line_begin(&line, channel->serve->log, FL_LOG_WARN, "sidecar connection closed");
	fl_line_u64(&line, "connection", channel->id);
	fl_line_str(&line, "reason", reason);
	fl_line_end(&line);
	fl_channel_close(channel);
}

static void free_parted(struct fl_serve *serve)
{
	for (size_t i = serve->channel_count; i-- > 0;) {
		struct fl_channel *channel = serve->channels[i];

		if (channel->is_parted && !fl_sock_has_unread(channel->sock)) {
			fl_channel_free(channel);
		}
	}
}

/* The oldest that has said nothing; if there is none, the oldest of all, or NULL. */
static struct fl_channel *choose_victim(const struct fl_serve *serve, bool of_all)
{
	struct fl_channel *oldest = NULL;

	for (size_t i = serve->channel_count; i-- > 0;) {
		struct fl_channel *channel = serve->channels[i];

		if (!channel->is_parted && !channel->greeted && !channel->signs) {
			oldest = channel;
		}
	}
	for (size_t i = 0; oldest == NULL && of_all && i < serve->channel_count; i++) {
		oldest = serve->channels[i]->is_parted ? NULL : serve->channels[i];
	}
	return oldest;
}

bool fl_channels_make_room(struct fl_serve *serve)
{
	struct fl_channel *victim = NULL;

	if (serve->channel_count == FL_SERVE_PLACES) {
		free_parted(serve);
	}
	if (serve->channel_count == FL_SERVE_PLACES) {
		victim = choose_victim(serve, false); /* it has been sent nothing */
	} else if (serve->channel_count - serve->parted_count == FL_SERVE_MAX) {
		victim = choose_victim(serve, true);
	}
	if (victim != NULL) {
		fl_channel_fail(victim, "too many connections, and it is the oldest");
	}
	return serve->channel_count < FL_SERVE_PLACES;
}

void fl_channels_on_timer(uv_timer_t *timer)
{
	struct fl_serve *serve = timer->data;
	uint64_t now = uv_now(serve->net->loop);

	/* From the end: closing one moves those behind it. */
	for (size_t i = serve->channel_count; i-- > 0;) {
		struct fl_channel *channel = serve->channels[i];

		if (channel->deadline != 0 && channel->deadline <= now) {
			fl_channel_fail(channel,
					channel->greeted
						? "no answer to the generation that it was sent"
						: "no HELLO in time");
		} else if (channel->whole_by != 0 && channel->whole_by <= now) {
			fl_channel_fail(channel, "the rest of its message does not come");
		} else if (channel->again_at != 0 && channel->again_at <= now) {
			(void)fl_channel_offer(channel);
		}
	}
	arm_timer(serve);
}
