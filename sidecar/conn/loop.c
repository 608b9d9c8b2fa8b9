/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/loop.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"
#include "net/bind.h"
#include "wire/frame.h"

#define IDLE_CHECKS 8u /* in one idle_timeout */
#define IDLE_CHECK_IF_OFF_MS 3600000u
/* With that age a relay gets probes towards the app; less than the shortest interval of probes, 1 s, to which it adds. */
#define YOUNG_MS 500u
#define PEER_CHECKS 6u         /* in one peer_timeout */
#define HELLO_TIMEOUT_MS 5000u /* enough for two lost packets, at any round-trip time */
#define CONNTRACK_CHECK_MS 1000u
#define RECORD_ROOM (17u * 1024) /* a TLS record that was begun in an earlier read */

/* --- life --------------------------------------------------------------------------------------- */

/* If no randomness is available, a flood may cost more. */
static uint64_t seed_of(const struct fl_loop *loop)
{
	uint64_t seed;

	return getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed)
		       ? seed
		       : (uint64_t)(uintptr_t)loop;
}

static void init_scratch(struct fl_loop *loop, size_t buffer)
{
	loop->scratch.sealed_cap = FL_TLS_SEALED_SIZE(buffer) + FL_TLS_OUT_RESERVE;
	loop->scratch.sealed = fl_new_sparse(loop->scratch.sealed_cap);
	loop->scratch.opened_cap = buffer + RECORD_ROOM;
	loop->scratch.opened = fl_net_new_buffer(loop->scratch.opened_cap);
}

/* The durations are set with the limits. */
static void init_deadlines(struct fl_loop *loop)
{
	struct fl_deadline_queue *const queues[] = {
		&loop->connecting, &loop->dialing,    &loop->handshaking,     &loop->young,
		&loop->idle,       &loop->unanswered, &loop->strangers.hello,
	};

	for (size_t i = 0; i < FL_COUNT_OF(queues); i++) {
		fl_deadline_queue_init(queues[i], loop->uv, 0);
	}
}

static void init_strangers(struct fl_loop *loop)
{
	fl_crowd_init(&loop->strangers.crowd, (uint32_t)seed_of(loop));
	FL_REQUIRE(uv_timer_init(loop->uv, &loop->strangers.pace) == 0);
	loop->strangers.pace.data = loop;
}

static void init_parking(struct fl_loop *loop)
{
	struct fl_parking *parking = &loop->parking;

	parking->wake_ms = UINT64_MAX;
	fl_pool_init(&parking->pool, 0, (uint32_t)seed_of(loop));
	fl_quota_init(&parking->quota, seed_of(loop));
	fl_deadline_queue_init(&parking->resting, loop->uv, FL_PARKING_REST_MS);
	fl_deadline_queue_init(&parking->retiring, loop->uv, FL_PARKING_RETIRE_MS);
	fl_deadline_queue_init(&parking->answering, loop->uv, FL_PARKING_ANSWER_MS);
	fl_deadline_queue_init(&parking->opening, loop->uv, FL_FRAME_STATUS_MS);
	FL_REQUIRE(uv_timer_init(loop->uv, &parking->clock) == 0);
}

static void close_parking(struct fl_parking *parking)
{
	parking->is_closed = true;
	fl_deadline_queue_close(&parking->resting);
	fl_deadline_queue_close(&parking->retiring);
	fl_deadline_queue_close(&parking->answering);
	fl_deadline_queue_close(&parking->opening);
	uv_close((uv_handle_t *)&parking->clock, NULL);
}

void fl_loop_init(struct fl_loop *loop, uv_loop_t *uv, const struct fl_loop_options *options)
{
	const struct fl_conf *conf = options->conf;
	const struct fl_log *log = options->log;

	*loop = (struct fl_loop){
		.uv = uv,
		.hooks = options->hooks,
		.conntrack = options->conntrack,
		.own_ports = options->own_ports,
		.own_port_count = options->own_port_count,
		.peers = options->peers,
		.number = options->number,
		.workers = options->workers > 0 ? options->workers : 1,
		.callers = {.max = options->callers_max},
		.unproven = {.max = options->callers_max / 4 + 1},
	};
	fl_log_init(&loop->log, log->fd, log->level, log->format, log->program);
	fl_log_ration_init(&loop->log_ration, uv, &loop->log);
	FL_REQUIRE(uv_timer_init(uv, &loop->trouble) == 0);
	loop->trouble.data = loop;
	fl_net_init(&loop->net, uv, conf->limits.buffer);
	fl_ports_load(&loop->net.ports);
	if (loop->conntrack != NULL) {
		loop->net.keep_s = fl_conntrack_keep_s(loop->conntrack);
	}
	init_scratch(loop, conf->limits.buffer);
	init_deadlines(loop);
	fl_signing_init(&loop->signing, uv);
	init_strangers(loop);
	fl_resume_map_init(&loop->resumes, uv);
	fl_quota_init(&loop->quota, seed_of(loop));
	loop->random = seed_of(loop) | 1;
	init_parking(loop);
	for (unsigned i = 0; i < FL_DIRECTIONS; i++) {
		fl_slots_init(&loop->slots[i], options->lanes[i].count,
			      options->lanes[i].is_shared);
	}
}

void fl_loop_close(struct fl_loop *loop)
{
	fl_deadline_queue_close(&loop->connecting);
	fl_deadline_queue_close(&loop->dialing);
	fl_deadline_queue_close(&loop->handshaking);
	fl_deadline_queue_close(&loop->young);
	fl_deadline_queue_close(&loop->idle);
	fl_deadline_queue_close(&loop->unanswered);
	fl_deadline_queue_close(&loop->strangers.hello);
	fl_signing_close(&loop->signing);
	close_parking(&loop->parking);
	uv_close((uv_handle_t *)&loop->strangers.pace, NULL);
	fl_resume_map_close(&loop->resumes);
	fl_log_ration_close(&loop->log_ration);
	uv_close((uv_handle_t *)&loop->trouble, NULL);
	fl_share_unref(loop->share);
	loop->share = NULL;
}

void fl_loop_done(struct fl_loop *loop)
{
	fl_loop_end_turn(loop);
	fl_net_done(&loop->net);
	fl_crowd_done(&loop->strangers.crowd);
	fl_callers_done(&loop->callers);
	fl_denials_done(&loop->denials);
	fl_callers_done(&loop->unproven);
	fl_slots_done(&loop->slots[FL_INBOUND]);
	fl_slots_done(&loop->slots[FL_OUTBOUND]);
	fl_quota_done(&loop->quota);
	fl_pool_done(&loop->parking.pool);
	fl_quota_done(&loop->parking.quota);
	free(loop->own_ports);
	fl_free_sparse(loop->scratch.sealed);
	fl_net_free_buffer(loop->scratch.opened);
}

/* --- turns -------------------------------------------------------------------------------------- */

void fl_loop_bury(struct fl_loop *loop, struct fl_corpse *corpse)
{
	corpse->next = loop->corpses;
	loop->corpses = corpse;
}

void fl_loop_end_turn(struct fl_loop *loop)
{
	if (fl_signing_is_wanted(&loop->signing) && loop->hooks.ask_signatures != NULL) {
		loop->hooks.ask_signatures(loop->hooks.user);
	}
	while (loop->corpses != NULL) {
		struct fl_corpse *corpse = loop->corpses;

		loop->corpses = corpse->next;
		free(corpse);
	}
	fl_log_flush(&loop->log);
}

static void on_turn_over(void *user)
{
	fl_loop_end_turn(user);
}

int fl_loop_run(struct fl_loop *loop)
{
	return fl_net_run(&loop->net, on_turn_over, loop);
}

/* --- what is in force --------------------------------------------------------------------------- */

/* There are rare checks even without idle_timeout: the next INI may set one. */
static uint64_t idle_check_ms(const struct fl_conf *conf)
{
	return conf->limits.idle_timeout_ms != 0 ? conf->limits.idle_timeout_ms / IDLE_CHECKS + 1
						 : IDLE_CHECK_IF_OFF_MS;
}

static bool logs_open(const struct fl_conf *conf)
{
	for (size_t i = 0; i < conf->service_count; i++) {
		if (conf->services[i].access_stated && conf->services[i].access == FL_ACCESS_ALL) {
			return true;
		}
	}
	return conf->log.access == FL_ACCESS_ALL;
}

void fl_loop_set_limits(struct fl_loop *loop, const struct fl_conf *conf,
			const struct fl_loop_maxima *maxima)
{
	uint32_t handshake_ms = conf->limits.handshake_timeout_ms;

	loop->idle_timeout_ms = conf->limits.idle_timeout_ms;
	loop->peer_timeout_ms = conf->limits.peer_timeout_ms;
	fl_deadline_queue_set(&loop->connecting, conf->limits.connect_timeout_ms);
	fl_deadline_queue_set(&loop->dialing, conf->limits.connect_timeout_ms / FL_DIAL_CHECKS + 1);
	fl_deadline_queue_set(&loop->handshaking, handshake_ms);
	fl_deadline_queue_set(&loop->strangers.hello,
			      handshake_ms < HELLO_TIMEOUT_MS ? handshake_ms : HELLO_TIMEOUT_MS);
	fl_deadline_queue_set(&loop->young,
			      idle_check_ms(conf) < YOUNG_MS ? idle_check_ms(conf) : YOUNG_MS);
	fl_deadline_queue_set(&loop->idle, idle_check_ms(conf));
	fl_deadline_queue_set(&loop->unanswered, conf->limits.peer_timeout_ms / PEER_CHECKS);
	loop->quota.max = maxima->connections;
	loop->net.farewells_max = maxima->farewells;
	loop->parking.pool.max = maxima->sessions;
	loop->parking.quota.max = fl_quota_max_for(maxima->sessions);
	loop->strangers.crowd.room = maxima->strangers;
	for (unsigned i = 0; i < FL_DIRECTIONS; i++) {
		loop->slots[i].max = maxima->handshakes;
	}
	loop->log.format = conf->log.format;
	loop->access = conf->log.access;
	loop->logs_open = logs_open(conf);
}

bool fl_loop_take_share(struct fl_loop *loop, struct fl_share *share)
{
	struct fl_share *last = loop->share;
	bool may_resume =
		last != NULL && fl_generation_may_resume(last->generation, share->generation);

	if (last != NULL) {
		fl_share_retire(last);
		last->superseded_ms = uv_now(loop->uv);
		fl_share_unref(last);
	}
	loop->share = share;
	if (!may_resume) {
		fl_resume_map_flush(&loop->resumes);
	}
	return may_resume;
}

bool fl_loop_is_own(const struct fl_loop *loop, const struct fl_inet *to, bool for_app)
{
	for (size_t i = 0; i < loop->own_port_count; i++) {
		const struct fl_own_port *own = &loop->own_ports[i];

		if (own->port == to->port && (own->is_for_app || !for_app)) {
			return fl_net_is_local(to);
		}
	}
	return false;
}

/* --- connections -------------------------------------------------------------------------------- */

static void change_open(struct fl_loop *loop, enum fl_direction direction, int by)
{
	__atomic_store_n(&loop->open[direction], loop->open[direction] + (unsigned)by,
			 __ATOMIC_RELEASE);
	if (loop->hooks.on_open_changed != NULL) {
		loop->hooks.on_open_changed(loop->hooks.user);
	}
}

void fl_loop_opened(struct fl_loop *loop, enum fl_direction direction)
{
	change_open(loop, direction, 1);
}

void fl_loop_closed(struct fl_loop *loop, enum fl_direction direction)
{
	change_open(loop, direction, -1);
}

void fl_loop_session_gone(struct fl_loop *loop)
{
	if (loop->draining && loop->hooks.on_open_changed != NULL) {
		loop->hooks.on_open_changed(loop->hooks.user);
	}
}

/* xorshift64 */
uint32_t fl_loop_draw(struct fl_loop *loop)
{
	loop->random ^= loop->random << 13;
	loop->random ^= loop->random >> 7;
	loop->random ^= loop->random << 17;
	return (uint32_t)(loop->random >> 32);
}

unsigned fl_loop_idle_sessions(const struct fl_loop *loop, enum fl_direction direction)
{
	return __atomic_load_n(&loop->parking.idle[direction], __ATOMIC_ACQUIRE);
}

bool fl_loop_is_empty(const struct fl_loop *loop)
{
	return fl_loop_open_connections(loop) == 0 &&
	       fl_loop_idle_sessions(loop, FL_INBOUND) == 0 &&
	       fl_loop_idle_sessions(loop, FL_OUTBOUND) == 0;
}

unsigned fl_loop_open(const struct fl_loop *loop, enum fl_direction direction)
{
	return __atomic_load_n(&loop->open[direction], __ATOMIC_ACQUIRE);
}

unsigned fl_loop_open_connections(const struct fl_loop *loop)
{
	return fl_loop_open(loop, FL_INBOUND) + fl_loop_open(loop, FL_OUTBOUND);
}

static void serve(struct fl_slots *slots)
{
	struct fl_waiter *waiter;

	while ((waiter = fl_slots_next(slots)) != NULL) {
		waiter->on_slot(waiter);
	}
}

/* A connection that fails at once frees its slot again. This loop sees that, so calls do not nest. */
void fl_loop_serve_waiting(struct fl_loop *loop)
{
	loop->serve_again = true;
	if (loop->serving) {
		return;
	}
	loop->serving = true;
	while (loop->serve_again && !loop->stopping) {
		loop->serve_again = false;
		serve(&loop->slots[FL_OUTBOUND]);
		serve(&loop->slots[FL_INBOUND]);
	}
	loop->serving = false;
}

void fl_loop_check_conntrack(struct fl_loop *loop)
{
	uint64_t now = uv_now(loop->uv);
	uint16_t keep_s;

	if (loop->conntrack == NULL ||
	    (loop->conntrack_read_ms != 0 && now - loop->conntrack_read_ms < CONNTRACK_CHECK_MS)) {
		return;
	}
	loop->conntrack_read_ms = now;
	keep_s = fl_conntrack_keep_s(loop->conntrack);
	if (keep_s != loop->net.keep_s) {
		loop->net.keep_s = keep_s;
		if (loop->hooks.on_keep_changed != NULL) {
			loop->hooks.on_keep_changed(loop->hooks.user);
		}
	}
}
