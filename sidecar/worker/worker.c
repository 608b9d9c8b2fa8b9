/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker's life: made and posted to by the main thread, run by its own.
 *
 * Happy path: the first share opens the listeners; each connection becomes a session (inbound) or a stream (outbound). A later
 * share replaces the current one between two events: what is open keeps the share it began with.
 *
 * End: drain closes the listeners and reports when nothing is open; stop cuts what is left and ends the loop, which returns when
 * the last handle is closed. */
#include "worker/worker_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "conn/conn.h"
#include "conn/log_ration.h"
#include "conn/stranger.h"
#include "conn/stream.h"
#include "judge/long_lived.h"
#include "judge/preview.h"
#include "worker/budget.h"

#define IDLE_LOOKS 8u /* in one idle_timeout */
#define IDLE_LOOK_FOR_NOBODY_MS 3600000u
#define PEER_LOOKS 6u /* in one peer_timeout */
#define CONNTRACK_LOOK_MS 1000u
#define MANY_LANES 1024u /* destinations, or networks, whose lanes seldom meet */

enum mail_kind {
	MAIL_SHARE,
	MAIL_TARGETS,
	MAIL_ROUTES,
	MAIL_ANSWER,
	MAIL_LOG_LEVEL,
	MAIL_LIST,
	MAIL_PREVIEW,
	MAIL_DRAIN,
	MAIL_STOP,
};

struct fl_mail {
	struct fl_mail *next;
	enum mail_kind kind;
	struct fl_share *share;
	struct fl_targets *targets;
	enum fl_log_level level;
	bool level_is_set;
	struct fl_listing *listing;
	void (*done)(void *user);
	void *done_user;
	struct fl_upstream_map *upstream_map;
	struct fl_preview *preview;
	char upstream[]; /* MAIL_TARGETS */
};

static void on_mail(uv_async_t *async);

/* --- main thread ------------------------------------------------------------------------------- */

static uint64_t descriptors_allowed(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

static void set_maxima(struct fl_worker *worker, const struct fl_conf *conf)
{
	struct fl_budget budget = fl_budget_of(conf, descriptors_allowed(), worker->worker_count,
					       (unsigned)worker->endpoint_count);

	worker->quota.max = budget.connections;
	worker->net.farewells_max = budget.farewells;
	for (unsigned i = 0; i < FL_DIRECTIONS; i++) {
		worker->places[i].max = budget.handshakes;
	}
	fl_strangers_limit(worker, budget.strangers, conf->limits.handshake_timeout_ms);
}

uint32_t fl_worker_lane(const struct fl_endpoint *endpoint)
{
	const struct fl_worker *worker = endpoint->worker;

	return fl_slots_lane(&worker->places[endpoint->direction],
			     (uint32_t)(endpoint - worker->endpoints));
}

/* Where idle_timeout is 0, one may still come with the next INI. */
static uint64_t idle_look_ms(const struct fl_conf *conf)
{
	return conf->limits.idle_timeout_ms != 0 ? conf->limits.idle_timeout_ms / IDLE_LOOKS + 1
						 : IDLE_LOOK_FOR_NOBODY_MS;
}

static void init_places(struct fl_worker *worker, enum fl_direction direction)
{
	unsigned listeners = 0;
	bool captures = false;

	for (size_t i = 0; i < worker->endpoint_count; i++) {
		if (worker->endpoints[i].direction == direction) {
			listeners++;
			captures = captures || worker->endpoints[i].captures;
		}
	}
	captures = captures || direction == FL_INBOUND;
	fl_slots_init(&worker->places[direction],
		      captures ? MANY_LANES : (uint32_t)worker->endpoint_count + 1,
		      captures || listeners > 1);
}

/* Without randomness a flood may cost more. */
static uint64_t seed_of(const struct fl_worker *worker)
{
	uint64_t seed;

	return getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed)
		       ? seed
		       : (uint64_t)(uintptr_t)worker;
}

static void init_scratch(struct fl_worker *worker, size_t buffer)
{
	worker->sealed_cap = FL_TLS_SEALED_SIZE(buffer) + FL_TLS_OUT_RESERVE;
	worker->sealed = fl_new(worker->sealed_cap);
	/* One record that was begun in an earlier read can come on top. */
	worker->opened_cap = buffer + 17 * 1024;
	worker->opened = fl_new(worker->opened_cap);
}

static void note_own_ports(struct fl_worker *worker, const struct fl_conf *conf)
{
	worker->own_ports = fl_new((worker->endpoint_count + 1) * sizeof(worker->own_ports[0]));
	if (conf->sidecar.admin.kind != FL_ADDR_NONE) {
		worker->own_ports[worker->own_port_count++] =
			(struct fl_own_port){.port = conf->sidecar.admin.port};
	}
	for (size_t i = 0; i < worker->endpoint_count; i++) {
		const struct fl_endpoint *endpoint = &worker->endpoints[i];

		if (!endpoint->is_unix) {
			worker->own_ports[worker->own_port_count++] = (struct fl_own_port){
				.port = endpoint->port,
				.is_for_app = endpoint->direction == FL_OUTBOUND};
		}
	}
}

const char *fl_endpoint_section(const struct fl_endpoint *endpoint)
{
	if (endpoint->captures) {
		return "sidecar";
	}
	return endpoint->direction == FL_INBOUND ? "service" : "upstream";
}

struct fl_worker *fl_worker_new(const struct fl_conf *conf, unsigned worker_count,
				const struct fl_log *log, struct fl_endpoint *endpoints,
				size_t endpoint_count, void (*on_idle)(void *user),
				void *on_idle_user)
{
	struct fl_worker *worker = fl_new(sizeof(*worker));

	worker->endpoints = endpoints;
	worker->endpoint_count = endpoint_count;
	worker->on_idle = on_idle;
	worker->on_idle_user = on_idle_user;
	worker->worker_count = worker_count;
	worker->seen.max = FL_SEEN_MAX / worker_count + 1;
	init_places(worker, FL_INBOUND);
	init_places(worker, FL_OUTBOUND);
	for (size_t i = 0; i < endpoint_count; i++) {
		endpoints[i].worker = worker;
	}
	fl_log_init(&worker->log, log->fd, log->level, log->format, log->program);
	worker->access = conf->log.access;
	FL_REQUIRE(uv_loop_init(&worker->loop) == 0);
	FL_REQUIRE(uv_mutex_init(&worker->mail_lock) == 0);
	FL_REQUIRE(uv_async_init(&worker->loop, &worker->wake, on_mail) == 0);
	fl_net_init(&worker->net, &worker->loop, conf->limits.buffer);
	fl_ports_load(&worker->net.ports);
	fl_quota_init(&worker->quota, seed_of(worker));
	fl_strangers_init(worker, (uint32_t)seed_of(worker));
	set_maxima(worker, conf);
	init_scratch(worker, conf->limits.buffer);
	note_own_ports(worker, conf);
	worker->idle_timeout_ms = conf->limits.idle_timeout_ms;
	fl_deadline_queue_init(&worker->connecting, &worker->loop, conf->limits.connect_timeout_ms);
	fl_deadline_queue_init(&worker->dialing, &worker->loop,
			       conf->limits.connect_timeout_ms / FL_DIAL_LOOKS + 1);
	fl_deadline_queue_init(&worker->handshaking, &worker->loop,
			       conf->limits.handshake_timeout_ms);
	worker->peer_timeout_ms = conf->limits.peer_timeout_ms;
	fl_deadline_queue_init(&worker->idle, &worker->loop, idle_look_ms(conf));
	fl_deadline_queue_init(&worker->unanswered, &worker->loop,
			       conf->limits.peer_timeout_ms / PEER_LOOKS);
	fl_resume_map_init(&worker->resumes, &worker->loop);
	fl_walk_init(worker);
	fl_judge_init(worker);
	fl_recycle_init(worker);
	fl_long_lived_init(worker, &worker->tell);
	fl_trim_init(&worker->trim, &worker->loop);
	fl_log_ration_init(worker);
	return worker;
}

void fl_worker_count_peers(struct fl_worker *worker, struct fl_peer_counts *peers, unsigned number)
{
	worker->peers = peers;
	worker->number = number;
}

void fl_worker_on_want(struct fl_worker *worker, void (*want)(void *user, size_t name), void *user)
{
	worker->want = want;
	worker->want_user = user;
}

void fl_worker_mind_conntrack(struct fl_worker *worker, const struct fl_conntrack *conntrack)
{
	worker->conntrack = conntrack;
	worker->net.keep_s = fl_conntrack_keep_s(conntrack);
}

static void post(struct fl_worker *worker, struct fl_mail *mail)
{
	uv_mutex_lock(&worker->mail_lock);
	mail->next = worker->mail;
	worker->mail = mail;
	uv_mutex_unlock(&worker->mail_lock);
	FL_REQUIRE(uv_async_send(&worker->wake) == 0);
}

/* NULL: there is no memory. */
static struct fl_mail *mail_try(enum mail_kind kind)
{
	struct fl_mail *mail = calloc(1, sizeof(*mail) + 1);

	if (mail != NULL) {
		mail->kind = kind;
	}
	return mail;
}

static struct fl_mail *mail_new(enum mail_kind kind, const char *upstream)
{
	size_t len = strlen(upstream) + 1;
	struct fl_mail *mail = fl_new(sizeof(*mail) + len);

	mail->kind = kind;
	memcpy(mail->upstream, upstream, len);
	return mail;
}

void fl_worker_post_share(struct fl_worker *worker, struct fl_share *share)
{
	struct fl_mail *mail = mail_new(MAIL_SHARE, "");

	mail->share = share;
	post(worker, mail);
}

void fl_worker_post_targets(struct fl_worker *worker, const char *upstream,
			    struct fl_targets *targets)
{
	struct fl_mail *mail = mail_new(MAIL_TARGETS, upstream);

	mail->targets = fl_targets_ref(targets);
	post(worker, mail);
}

bool fl_worker_post_log_level(struct fl_worker *worker, enum fl_log_level level, bool is_set)
{
	struct fl_mail *mail = mail_try(MAIL_LOG_LEVEL);

	if (mail == NULL) {
		return false;
	}
	mail->level = level;
	mail->level_is_set = is_set;
	post(worker, mail);
	return true;
}

bool fl_worker_post_list(struct fl_worker *worker, struct fl_listing *ret, void (*done)(void *user),
			 void *user)
{
	struct fl_mail *mail = mail_try(MAIL_LIST);

	if (mail == NULL) {
		return false;
	}
	mail->listing = ret;
	mail->done = done;
	mail->done_user = user;
	post(worker, mail);
	return true;
}

void fl_worker_post_upstream_map(struct fl_worker *worker, struct fl_upstream_map *map)
{
	struct fl_mail *mail = mail_new(MAIL_ROUTES, "");

	mail->upstream_map = fl_upstream_map_ref(map);
	post(worker, mail);
}

void fl_worker_post_answer(struct fl_worker *worker)
{
	post(worker, mail_new(MAIL_ANSWER, ""));
}

void fl_worker_post_preview(struct fl_worker *worker, struct fl_preview *preview)
{
	struct fl_mail *mail = mail_new(MAIL_PREVIEW, "");

	mail->preview = preview;
	post(worker, mail);
}

void fl_worker_post_drain(struct fl_worker *worker)
{
	post(worker, mail_new(MAIL_DRAIN, ""));
}

void fl_worker_post_stop(struct fl_worker *worker)
{
	post(worker, mail_new(MAIL_STOP, ""));
}

unsigned fl_worker_open(const struct fl_worker *worker, enum fl_direction direction)
{
	return __atomic_load_n(&worker->open[direction], __ATOMIC_ACQUIRE);
}

unsigned fl_worker_open_connections(const struct fl_worker *worker)
{
	return fl_worker_open(worker, FL_INBOUND) + fl_worker_open(worker, FL_OUTBOUND);
}

bool fl_worker_serving(const struct fl_worker *worker)
{
	return __atomic_load_n(&worker->serving, __ATOMIC_ACQUIRE);
}

static void free_endpoints(struct fl_worker *worker)
{
	for (size_t i = 0; i < worker->endpoint_count; i++) {
		struct fl_endpoint *endpoint = &worker->endpoints[i];

		fl_targets_unref(endpoint->targets);
		fl_resume_flush(&endpoint->resume);
		free(endpoint->name);
	}
	free(worker->endpoints);
	free(worker->own_ports);
}

static void worker_free(struct fl_worker *worker)
{
	FL_REQUIRE(uv_loop_close(&worker->loop) == 0);
	uv_mutex_destroy(&worker->mail_lock);
	fl_net_done(&worker->net);
	fl_worker_close_listeners(worker);
	free_endpoints(worker);
	fl_callers_done(&worker->seen);
	fl_slots_done(&worker->places[FL_INBOUND]);
	fl_slots_done(&worker->places[FL_OUTBOUND]);
	fl_quota_done(&worker->quota);
	free(worker->sealed);
	free(worker->opened);
	free(worker);
}

void fl_worker_join(struct fl_worker *worker)
{
	FL_REQUIRE(uv_thread_join(&worker->thread) == 0);
	worker_free(worker);
}

/* --- worker thread: connections ------------------------------------------------------------------ */

void fl_worker_opened(struct fl_worker *worker, enum fl_direction direction)
{
	__atomic_store_n(&worker->open[direction], worker->open[direction] + 1, __ATOMIC_RELEASE);
	fl_trim_note(&worker->trim, fl_worker_open_connections(worker));
}

void fl_worker_closed(struct fl_worker *worker, enum fl_direction direction)
{
	__atomic_store_n(&worker->open[direction], worker->open[direction] - 1, __ATOMIC_RELEASE);
	fl_trim_note(&worker->trim, fl_worker_open_connections(worker));
	if (worker->draining && fl_worker_open_connections(worker) == 0) {
		worker->on_idle(worker->on_idle_user);
	}
}

void fl_worker_mind_time_outs(struct fl_worker *worker)
{
	uint64_t now = uv_now(&worker->loop);
	uint16_t keep_s;

	if (worker->conntrack == NULL ||
	    (worker->kept_ms != 0 && now - worker->kept_ms < CONNTRACK_LOOK_MS)) {
		return;
	}
	worker->kept_ms = now;
	keep_s = fl_conntrack_keep_s(worker->conntrack);
	if (keep_s != worker->net.keep_s) {
		worker->net.keep_s = keep_s;
		fl_worker_tune_listeners(worker);
	}
}

/* --- worker thread: mail ------------------------------------------------------------------------ */

static void apply_limits(struct fl_worker *worker, const struct fl_conf *conf)
{
	worker->idle_timeout_ms = conf->limits.idle_timeout_ms;
	fl_deadline_queue_set(&worker->connecting, conf->limits.connect_timeout_ms);
	fl_deadline_queue_set(&worker->dialing,
			      conf->limits.connect_timeout_ms / FL_DIAL_LOOKS + 1);
	fl_deadline_queue_set(&worker->handshaking, conf->limits.handshake_timeout_ms);
	worker->peer_timeout_ms = conf->limits.peer_timeout_ms;
	fl_deadline_queue_set(&worker->idle, idle_look_ms(conf));
	fl_deadline_queue_set(&worker->unanswered, conf->limits.peer_timeout_ms / PEER_LOOKS);
	set_maxima(worker, conf);
	if (!worker->log_level_is_set) {
		worker->log.level = conf->log.level;
	}
	worker->log.format = conf->log.format;
	worker->access = conf->log.access;
}

/* One that is a fixed listener no more is no section of this endpoint. */
static void find_section(struct fl_endpoint *endpoint, const struct fl_generation *generation)
{
	if (endpoint->captures) {
		return;
	}
	endpoint->service = NULL;
	endpoint->upstream = NULL;
	if (endpoint->direction == FL_INBOUND) {
		endpoint->service = fl_generation_service(generation, endpoint->name);
	} else {
		endpoint->upstream = fl_generation_upstream(generation, endpoint->name);
	}
	if (endpoint->service != NULL && endpoint->service->listen.kind == FL_ADDR_NONE) {
		endpoint->service = NULL;
	}
	if (endpoint->upstream != NULL && endpoint->upstream->listen.kind == FL_ADDR_NONE) {
		endpoint->upstream = NULL;
	}
}

static void take_share(struct fl_worker *worker, struct fl_share *share)
{
	bool first = worker->share == NULL;
	bool may_resume =
		!first && fl_generation_may_resume(worker->share->generation, share->generation);

	if (!first) {
		fl_share_retire(worker->share);
		worker->share->superseded_ms = uv_now(&worker->loop);
	}
	fl_share_unref(worker->share);
	worker->share = share;
	apply_limits(worker, share->generation->conf);
	for (size_t i = 0; i < worker->endpoint_count; i++) {
		struct fl_endpoint *endpoint = &worker->endpoints[i];

		find_section(endpoint, share->generation);
		if (!may_resume) {
			fl_resume_flush(&endpoint->resume);
		}
	}
	if (!may_resume) {
		fl_resume_map_flush(&worker->resumes);
	}
	fl_judge_start(worker);
	fl_recycle_generation(worker);
	if (first && !worker->draining) {
		fl_worker_open_listeners(worker);
	}
	fl_worker_tune_listeners(worker);
	fl_worker_session_settled(worker); /* there may be more places now */
	fl_stream_names_answered(worker);  /* they may not have to wait any more */
}

static void take_targets(struct fl_worker *worker, const char *upstream, struct fl_targets *targets)
{
	for (size_t i = 0; i < worker->endpoint_count; i++) {
		struct fl_endpoint *endpoint = &worker->endpoints[i];

		if (endpoint->direction == FL_OUTBOUND && !endpoint->captures &&
		    strcmp(endpoint->name, upstream) == 0) {
			fl_targets_unref(endpoint->targets);
			endpoint->targets = fl_targets_ref(targets);
		}
	}
	fl_targets_unref(targets);
}

static void take_upstream_map(struct fl_worker *worker, struct fl_upstream_map *map)
{
	if (worker->share == NULL) { /* it is stopping */
		fl_upstream_map_unref(map);
		return;
	}
	fl_upstream_map_unref(worker->share->upstream_map);
	worker->share->upstream_map = map;
	fl_stream_judge_claimed(worker);
}

static void drain(struct fl_worker *worker)
{
	worker->draining = true;
	fl_worker_close_listeners(worker);
	if (fl_worker_open_connections(worker) == 0) {
		worker->on_idle(worker->on_idle_user);
	}
}

/* Closes every handle; fl_net_run() returns when the last of them is gone. */
static void stop(struct fl_worker *worker)
{
	worker->stopping = true;
	worker->draining = false;
	fl_worker_close_listeners(worker);
	fl_stream_end_all(worker, FL_REASON_DRAIN);
	fl_session_end_all(worker);
	fl_strangers_close(worker);
	fl_deadline_queue_close(&worker->connecting);
	fl_deadline_queue_close(&worker->dialing);
	fl_deadline_queue_close(&worker->handshaking);
	fl_deadline_queue_close(&worker->idle);
	fl_deadline_queue_close(&worker->unanswered);
	fl_resume_map_close(&worker->resumes);
	fl_preview_walked(worker);
	fl_walk_close(worker);
	fl_judge_close(worker);
	fl_recycle_close(worker);
	fl_long_lived_close(&worker->tell);
	fl_trim_close(&worker->trim);
	fl_log_ration_close(worker);
	fl_share_unref(worker->share);
	worker->share = NULL;
	uv_close((uv_handle_t *)&worker->wake, NULL);
}

static void take_mail(struct fl_worker *worker, struct fl_mail *mail)
{
	switch (mail->kind) {
	case MAIL_SHARE:
		take_share(worker, mail->share);
		break;
	case MAIL_TARGETS:
		take_targets(worker, mail->upstream, mail->targets);
		break;
	case MAIL_LOG_LEVEL:
		worker->log.level = mail->level;
		worker->log_level_is_set = mail->level_is_set;
		break;
	case MAIL_LIST:
		fl_stream_list(worker, mail->listing);
		fl_session_list(worker, mail->listing);
		fl_strangers_list(worker, mail->listing);
		mail->listing->seen.max = worker->seen.max;
		fl_callers_add(&mail->listing->seen, &worker->seen);
		mail->done(mail->done_user);
		break;
	case MAIL_PREVIEW:
		fl_preview_start(worker, mail->preview);
		break;
	case MAIL_ROUTES:
		take_upstream_map(worker, mail->upstream_map);
		break;
	case MAIL_ANSWER:
		worker->is_answered = true;
		break;
	case MAIL_DRAIN:
		drain(worker);
		break;
	case MAIL_STOP:
		stop(worker);
		break;
	}
	free(mail);
}

static void on_mail(uv_async_t *async)
{
	struct fl_worker *worker = FL_CONTAINER_OF(async, struct fl_worker, wake);
	struct fl_mail *newest, *oldest = NULL;

	uv_mutex_lock(&worker->mail_lock);
	newest = worker->mail;
	worker->mail = NULL;
	uv_mutex_unlock(&worker->mail_lock);
	while (newest != NULL) { /* the box is a stack: turn it over */
		struct fl_mail *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct fl_mail *next = oldest->next;

		take_mail(worker, oldest);
		oldest = next;
	}
	/* Once for all answers that have come: thousands may wait, each for hundreds of names. */
	if (worker->is_answered) {
		worker->is_answered = false;
		fl_stream_names_answered(worker);
	}
}

/* --- worker thread: loop ------------------------------------------------------------------------ */

void fl_worker_bury(struct fl_worker *worker, struct fl_corpse *corpse)
{
	corpse->next = worker->corpses;
	worker->corpses = corpse;
}

static void free_corpses(struct fl_worker *worker)
{
	while (worker->corpses != NULL) {
		struct fl_corpse *corpse = worker->corpses;

		worker->corpses = corpse->next;
		free(corpse);
	}
}

static void on_turn_over(void *user)
{
	struct fl_worker *worker = user;

	free_corpses(worker);
	fl_log_flush(&worker->log);
}

static void run_loop(struct fl_worker *worker)
{
	FL_REQUIRE(fl_net_run(&worker->net, on_turn_over, worker) == 0);
}

static void run(void *arg)
{
	(void)pthread_setname_np(pthread_self(), "fl-worker");
	run_loop(arg);
}

int fl_worker_start(struct fl_worker *worker, struct fl_err *err)
{
	int rc = uv_thread_create(&worker->thread, run, worker);

	return rc == 0 ? 0 : fl_err_sys(err, -rc, "cannot start a worker thread");
}

void fl_worker_discard(struct fl_worker *worker)
{
	/* Its handles can only be closed by running the loop once: here, for want of a thread. */
	fl_worker_post_stop(worker);
	run_loop(worker);
	worker_free(worker);
}
