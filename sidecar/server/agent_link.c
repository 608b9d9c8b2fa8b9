/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Happy path: dial, send HELLO, then answer each GENERATION with a RESULT.
 *
 * Failure: a protocol violation, an agent that disconnects, and an agent that cannot be reached all
 * close the channel. The next try follows after a back-off, which doubles up to MAX_BACKOFF_MS. After a
 * channel that lived for at least that long, it is reset, and stays short for SOON_MS while nobody is
 * there: so a restarted agent tells us of a new key before workers ask it for signatures with the old
 * one. The log has one line for each change of trouble, not for every try. The channel of an agent that hangs stays
 * open: the agent may recover, and no other process would answer there. */
#include "server/agent_link.h"

#include <stdlib.h>
#include <string.h>

#include "worker/agent_dial.h"

#define MIN_BACKOFF_MS 20u
#define MAX_BACKOFF_MS 1000u
#define SOON_MS 2000u
#define WATCH_MS 1000u
#define BEATS_MISSED 4u /* then the agent hangs; reading large files may delay a beat */
#define BEAT_MIN_MS 500u
#define BEAT_MAX_MS 60000u
#define NO_MEMORY_MS 10000u /* then ask again for a generation that did not fit in memory */

struct fl_agent_link {
	struct fl_net *net;
	struct fl_log *log;
	const struct fl_agent_link_events *events;
	void *user;
	struct fl_agent_place place;
	struct fl_sock *sock; /* NULL while waiting to try again */
	struct fl_ctl_decoder *decoder;
	uv_timer_t retry;
	uv_timer_t watch;  /* active while an agent that sends heartbeats is connected */
	uint64_t heard_ms; /* uv_now() when its last message arrived on this channel */
	uint32_t beat_ms;  /* its heartbeat interval; 0: it sends none */
	bool has_beaten;   /* an agent has sent heartbeats: later agents are expected to */
	bool is_expected;  /* its first message on this channel is still due */
	bool is_late;      /* when on_watch() last ran */
	bool is_hung;
	unsigned open_timers;
	uint32_t backoff_ms;
	uint64_t connected_ms; /* uv_now() */
	uint64_t soon_ms;      /* likewise: until then the back-off does not grow */
	char trouble[sizeof(((struct fl_err *)0)->text)];
};

static void on_retry(uv_timer_t *timer);

/* --- is the agent alive? ---------------------------------------------------------------------- */

/* The agent must be late twice in a row: the first time this thread may not have run, and a message
 * of the agent may be waiting to be read. */
static void on_watch(uv_timer_t *timer)
{
	struct fl_agent_link *link = FL_CONTAINER_OF(timer, struct fl_agent_link, watch);
	uint64_t silence_ms = uv_now(link->net->loop) - link->heard_ms;
	bool is_late = silence_ms >= (uint64_t)link->beat_ms * BEATS_MISSED;

	if (is_late && link->is_late && !link->is_hung) {
		link->is_hung = true;
		(void)snprintf(
			link->trouble, sizeof(link->trouble),
			"it hangs: it is connected, but its heartbeats are missing; is it "
			"stopped (SIGSTOP), or does it get no CPU? Traffic goes on, renewals do "
			"not arrive");
		fl_log_msg(link->log, FL_LOG_WARN, "agent: %s", link->trouble);
	}
	link->is_late = is_late;
}

static void stop_watching(struct fl_agent_link *link)
{
	(void)uv_timer_stop(&link->watch);
	link->beat_ms = 0;
	link->is_hung = link->is_late = link->is_expected = false;
}

static void hear(struct fl_agent_link *link)
{
	uint64_t now = uv_now(link->net->loop);

	if (link->is_hung) {
		fl_log_msg(link->log, FL_LOG_INFO, "agent: it speaks again, after %llu s",
			   (unsigned long long)((now - link->heard_ms) / 1000));
		link->trouble[0] = '\0';
	}
	link->is_hung = link->is_late = false;
	link->heard_ms = now;
	if (link->is_expected) {
		stop_watching(link); /* until it announces heartbeats */
	}
}

/* A connection succeeds if the agent's socket listens, even if the agent hangs. But an agent that
 * has a generation to send, or that is known to send heartbeats, sends its first message at
 * once. */
static void expect_first_word(struct fl_agent_link *link, uint64_t generation)
{
	if (generation == 0 || link->has_beaten) {
		link->beat_ms = FL_CTL_BEAT_MS;
		link->is_expected = true;
		FL_REQUIRE(uv_timer_start(&link->watch, on_watch, WATCH_MS, WATCH_MS) == 0);
	}
}

static void take_beat(struct fl_agent_link *link, const struct fl_ctl_beat *beat)
{
	link->beat_ms = beat->every_ms < BEAT_MIN_MS   ? BEAT_MIN_MS
			: beat->every_ms > BEAT_MAX_MS ? BEAT_MAX_MS
						       : beat->every_ms;
	link->has_beaten = true;
	if (uv_is_active((uv_handle_t *)&link->watch) == 0) {
		FL_REQUIRE(uv_timer_start(&link->watch, on_watch, WATCH_MS, WATCH_MS) == 0);
	}
}

/* --- the channel ------------------------------------------------------------------------------ */

static void disconnect(struct fl_agent_link *link)
{
	uint64_t now = uv_now(link->net->loop);

	if (link->sock != NULL) {
		fl_sock_close(link->sock, 0);
		link->sock = NULL;
	}
	stop_watching(link);
	/* Do not reconnect in a tight loop to an agent that crashes on every connection. */
	if (link->decoder != NULL && now - link->connected_ms >= MAX_BACKOFF_MS) {
		link->backoff_ms = MIN_BACKOFF_MS;
		link->soon_ms = now + SOON_MS;
	} else if (link->decoder != NULL) {
		link->soon_ms = 0;
	}
	fl_ctl_decoder_free(link->decoder);
	link->decoder = NULL;
}

static void try_later(struct fl_agent_link *link, const char *trouble)
{
	disconnect(link);
	if (strcmp(link->trouble, trouble) != 0) {
		(void)snprintf(link->trouble, sizeof(link->trouble), "%s", trouble);
		fl_log_msg(link->log, FL_LOG_WARN, "agent: %s; trying again", trouble);
	}
	FL_REQUIRE(uv_timer_start(&link->retry, on_retry, link->backoff_ms, 0) == 0);
	if (uv_now(link->net->loop) >= link->soon_ms) {
		link->backoff_ms = link->backoff_ms * 2 > MAX_BACKOFF_MS ? MAX_BACKOFF_MS
									 : link->backoff_ms * 2;
	}
}

static void send_frame(struct fl_agent_link *link, uint8_t *frame, size_t len)
{
	int rc = frame != NULL ? fl_sock_write(link->sock, frame, len) : UV_ENOMEM;

	free(frame);
	if (rc < 0) {
		try_later(link, rc == UV_ENOMEM ? "out of memory" : "the agent closed the channel");
	}
}

static void answer(struct fl_agent_link *link, const struct fl_ctl_generation *generation)
{
	struct fl_err err = {0};
	struct fl_ctl_result result = {.number = generation->number};
	uint8_t *frame;
	size_t len;
	int rc;

	if (fl_sock_pending(link->sock)) {
		try_later(link, "the agent sends generations, and does not read our answers");
		return;
	}
	rc = link->events->on_generation(link->user, generation, &err);

	if (rc == FL_ERR_NOMEM) {
		link->backoff_ms = NO_MEMORY_MS;
		try_later(link, err.text);
		return;
	}
	result.ok = rc == 0;
	if (!result.ok) {
		result.reason = (struct fl_span){(const uint8_t *)err.text, strlen(err.text)};
	}
	frame = fl_ctl_encode_result(&result, &len);
	send_frame(link, frame, len);
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	struct fl_agent_link *link = user;
	const uint8_t *rest = data;
	size_t rest_len = len;
	struct fl_ctl_message message;
	struct fl_err err;
	int rc;

	hear(link);
	while (link->decoder != NULL) {
		rc = fl_ctl_decoder_feed(link->decoder, &rest, &rest_len, &message, &err);
		if (rc == 0) {
			break;
		}
		if (rc == 1 && message.type == FL_CTL_GENERATION) {
			answer(link, &message.u.generation);
		} else if (rc == 1 && message.type == FL_CTL_NOTE) {
			link->events->on_note(link->user, &message.u.note);
		} else if (rc == 1 && message.type == FL_CTL_BEAT) {
			take_beat(link, &message.u.beat);
		} else {
			try_later(
				link,
				rc == 1 ? "the agent sent a signature on a connection that asks for none"
					: err.text);
		}
	}
	/* The message contained the key. */
	fl_wipe(data, len);
}

static void on_eof(void *user)
{
	try_later(user, "the agent closed the channel");
}

static void on_drain(void *user)
{
	(void)user;
}

static void on_error(void *user, int sys)
{
	(void)sys;
	try_later(user, "the channel to the agent broke");
}

static const struct fl_sock_events sock_events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

static void cannot_reach(struct fl_agent_link *link, int sys)
{
	char trouble[sizeof(link->trouble)];
	const char *path = fl_agent_path(&link->place);

	if (sys == UV_EAGAIN) {
		(void)snprintf(trouble, sizeof(trouble),
			       "fairlead-agent at %s accepts no connection, and its queue is full: "
			       "is it stopped (SIGSTOP), or does it get no CPU?",
			       path);
	} else {
		(void)snprintf(
			trouble, sizeof(trouble),
			"cannot reach fairlead-agent at %s (%s): is it running with the same INI?",
			path, uv_strerror(sys));
	}
	try_later(link, trouble);
}

static void on_dialed(void *user, int sys)
{
	struct fl_agent_link *link = user;
	struct fl_ctl_hello hello = {
		.version = FL_CTL_VERSION, .wants_beats = true, .asks_signatures = true};
	struct fl_err err;
	uint8_t *frame;
	size_t len;

	if (sys != 0) {
		cannot_reach(link, sys);
		return;
	}
	if (fl_agent_check(&link->place, link->sock, &err) != 0) {
		try_later(link, err.text);
		return;
	}
	if (link->trouble[0] != '\0') {
		fl_log_msg(link->log, FL_LOG_INFO, "agent: connected");
	}
	link->trouble[0] = '\0';
	link->connected_ms = link->heard_ms = uv_now(link->net->loop);
	link->decoder = fl_ctl_decoder_new(FL_CTL_FROM_AGENT);
	if (link->decoder == NULL) {
		try_later(link, "out of memory");
		return;
	}
	link->events->describe(link->user, &hello);
	fl_sock_read_start(link->sock);
	frame = fl_ctl_encode_hello(&hello, &len);
	expect_first_word(link, hello.generation);
	send_frame(link, frame, len);
}

static void on_retry(uv_timer_t *timer)
{
	struct fl_agent_link *link = FL_CONTAINER_OF(timer, struct fl_agent_link, retry);
	struct fl_err err;

	if (fl_agent_dial(link->net, &link->place, &sock_events, link, on_dialed, &link->sock,
			  &err) != 0) {
		try_later(link, err.text);
	}
}

struct fl_agent_link *fl_agent_link_open(struct fl_net *net, const struct fl_conf *conf,
					 struct fl_log *log,
					 const struct fl_agent_link_events *events, void *user)
{
	struct fl_agent_link *link = fl_new(sizeof(*link));

	*link = (struct fl_agent_link){.net = net, .log = log, .events = events, .user = user};
	link->backoff_ms = MIN_BACKOFF_MS;
	link->soon_ms = uv_now(net->loop) + SOON_MS;
	fl_agent_place_of(conf, &link->place);
	FL_REQUIRE(uv_timer_init(net->loop, &link->retry) == 0);
	FL_REQUIRE(uv_timer_init(net->loop, &link->watch) == 0);
	link->retry.data = link->watch.data = link;
	link->open_timers = 2;
	FL_REQUIRE(uv_timer_start(&link->retry, on_retry, 0, 0) == 0);
	return link;
}

bool fl_agent_link_connected(const struct fl_agent_link *link)
{
	return link->decoder != NULL;
}

bool fl_agent_link_hung(const struct fl_agent_link *link)
{
	return link->is_hung;
}

uint64_t fl_agent_link_silence(const struct fl_agent_link *link)
{
	return link->decoder != NULL ? (uv_now(link->net->loop) - link->heard_ms) / 1000 : 0;
}

const char *fl_agent_link_trouble(const struct fl_agent_link *link)
{
	return link->trouble;
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_agent_link *link = handle->data;

	if (--link->open_timers == 0) {
		free(link);
	}
}

void fl_agent_link_close(struct fl_agent_link *link)
{
	disconnect(link);
	uv_close((uv_handle_t *)&link->retry, on_closed);
	uv_close((uv_handle_t *)&link->watch, on_closed);
}
