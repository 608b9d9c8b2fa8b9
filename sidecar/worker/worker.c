/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker's life: made by the main thread, run by its own. worker_mail.c has what the two tell each other, worker_accept.c the
 * listeners.
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
				size_t endpoint_count, struct fl_mailbox *main,
				const struct fl_worker_events *events)
{
	struct fl_worker *worker = fl_new(sizeof(*worker));

	worker->endpoints = endpoints;
	worker->endpoint_count = endpoint_count;
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
	fl_worker_init_mail(worker, main, events);
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

void fl_worker_mind_conntrack(struct fl_worker *worker, const struct fl_conntrack *conntrack)
{
	worker->conntrack = conntrack;
	worker->net.keep_s = fl_conntrack_keep_s(conntrack);
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
	fl_mailbox_done(&worker->mailbox);
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
		fl_worker_report_idle(worker);
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

/* --- worker thread: limits, and the end ---------------------------------------------------------- */

void fl_worker_apply_limits(struct fl_worker *worker, const struct fl_conf *conf)
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

void fl_worker_drain(struct fl_worker *worker)
{
	worker->draining = true;
	fl_worker_close_listeners(worker);
	if (fl_worker_open_connections(worker) == 0) {
		fl_worker_report_idle(worker);
	}
}

/* Closes every handle; fl_net_run() returns when the last of them is gone. */
void fl_worker_stop(struct fl_worker *worker)
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
	fl_mailbox_close(&worker->mailbox);
}

void fl_worker_list(struct fl_worker *worker, struct fl_listing *ret)
{
	fl_stream_list(worker, ret);
	fl_session_list(worker, ret);
	fl_strangers_list(worker, ret);
	ret->seen.max = worker->seen.max;
	fl_callers_add(&ret->seen, &worker->seen);
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
