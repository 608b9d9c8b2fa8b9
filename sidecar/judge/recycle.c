/* SPDX-License-Identifier: GPL-3.0-or-later */
/* recycle - visits all connections in rounds, and decides for each whether to end it. Nothing is stored per connection: the
 * time determines how many must end in this round, and the idle times counted in the previous round determine which ones.
 * Nothing here fails. */
#include "judge/recycle.h"

#include "base/err.h"
#include "base/mem.h"
#include "conn/loop.h"
#include "conn/stream.h"
#include "judge/walk.h"

#define ROUNDS 64u /* rounds in the configured time */
#define ROUND_MIN_MS 50u
#define ROUND_MAX_MS 1000u
#define PAUSE_MS 1000u

/* --- who goes ------------------------------------------------------------------------------------- */

unsigned fl_recycle_bucket(uint64_t idle_ms)
{
	unsigned bucket = 0;

	while (idle_ms > 0 && bucket < FL_RECYCLE_BUCKETS - 1) {
		idle_ms >>= 1;
		bucket++;
	}
	return bucket;
}

double fl_recycle_share(uint64_t begin, uint64_t end, uint64_t last, uint64_t now)
{
	if (now >= end) {
		return 1;
	}
	last = last < begin ? begin : last;
	if (now <= last) {
		return 0;
	}
	return (double)(now - last) / (double)(end - last);
}

bool fl_recycle_is_among(const struct fl_recycle_census *census, uint64_t idle_ms, double share,
			 double chance)
{
	unsigned bucket = fl_recycle_bucket(idle_ms);
	uint32_t longer = 0;

	for (unsigned i = bucket + 1; i < FL_RECYCLE_BUCKETS; i++) {
		longer += census->counts[i];
	}
	return longer + chance * census->counts[bucket] < share * census->total;
}

/* xorshift64: spreads values, hides nothing. 0 to below 1. */
static double draw(struct fl_recycle *recycle)
{
	recycle->random ^= recycle->random << 13;
	recycle->random ^= recycle->random >> 7;
	recycle->random ^= recycle->random << 17;
	return (double)(recycle->random >> 11) / (double)(UINT64_C(1) << 53);
}

/* Always the same for one connection. */
static double lot_of(const struct fl_conn *conn)
{
	uint64_t hash = conn->started_ns * UINT64_C(0x9e3779b97f4a7c15);

	return (double)(hash >> 11) / (double)(UINT64_C(1) << 53);
}

/* --- one connection ------------------------------------------------------------------------------- */

/* How long the connection had been idle at that time. */
static uint64_t idle_at(const struct fl_stream *stream, uint64_t when_ms)
{
	uint64_t active = fl_stream_active_ms(stream);

	return when_ms > active ? when_ms - active : 0;
}

static bool pauses(const struct fl_stream *stream, uint32_t time_ms)
{
	uint32_t pause = fl_stream_asks(stream)   ? time_ms / 4
			 : time_ms / 8 < PAUSE_MS ? time_ms / 8
						  : PAUSE_MS;
	uint64_t now = uv_now(fl_stream_conn(stream)->loop->uv);

	return idle_at(stream, now) >= pause && fl_stream_is_quiet(stream);
}

/* For a connection of an older generation: is its time over, or has its turn come? */
static void end_if_old(struct fl_recycle *recycle, struct fl_stream *stream,
		       const struct fl_share *share, uint32_t recycle_ms)
{
	uint64_t begin =
		share->superseded_ms > recycle->since_ms ? share->superseded_ms : recycle->since_ms;
	uint64_t idle = idle_at(stream, recycle->last_ms);
	double part = fl_recycle_share(begin, begin + recycle_ms / 4 * 3, recycle->last_ms,
				       recycle->now_ms);

	/* The previous round counted it under its idle time at that moment. */
	recycle->next.counts[fl_recycle_bucket(idle_at(stream, recycle->now_ms))]++;
	recycle->next.total++;
	if (recycle->now_ms >= begin + recycle_ms) {
		fl_stream_end(stream, &(struct fl_ending){.reason = FL_REASON_RECYCLED});
	} else if ((part >= 1 ||
		    fl_recycle_is_among(&recycle->census, idle, part, draw(recycle))) &&
		   pauses(stream, recycle_ms)) {
		fl_stream_end(stream,
			      &(struct fl_ending){.reason = FL_REASON_RECYCLED, .orderly = true});
	}
}

static void end_if_aged(struct fl_stream *stream, uint32_t max_age_ms, uint32_t grace_ms)
{
	const struct fl_conn *conn = fl_stream_conn(stream);
	uint64_t age = (uv_hrtime() - conn->started_ns) / 1000000;
	uint64_t asked = max_age_ms - (uint64_t)(lot_of(conn) * max_age_ms / 10);

	if (age >= (uint64_t)max_age_ms + grace_ms) {
		fl_stream_end(stream, &(struct fl_ending){.reason = FL_REASON_MAX_AGE});
	} else if (age >= asked && pauses(stream, max_age_ms)) {
		fl_stream_end(stream,
			      &(struct fl_ending){.reason = FL_REASON_MAX_AGE, .orderly = true});
	}
}

static bool visit(void *user, struct fl_stream *stream)
{
	struct fl_recycle *recycle = user;
	const struct fl_conn *conn = fl_stream_conn(stream);
	const struct fl_share *current = recycle->loop->share;
	const struct fl_conf *conf = current->generation->conf;

	if (!fl_stream_is_relayed(stream)) {
		return true; /* it has its own deadlines */
	}
	if (conf->rotation.recycle_ms > 0 && conn->share != current) {
		end_if_old(recycle, stream, conn->share, conf->rotation.recycle_ms);
	} else if (conf->limits.max_age_ms > 0) {
		end_if_aged(stream, conf->limits.max_age_ms, conf->sidecar.drain_ms);
	}
	return true; /* the last of the aims: no visitor follows this one */
}

/* --- rounds ----------------------------------------------------------------------------------------- */

static void on_round(uv_timer_t *timer);

/* Interval of rounds in ms; 0: no connection has to end. */
static uint64_t interval(const struct fl_loop *loop)
{
	const struct fl_conf *conf = loop->share->generation->conf;
	uint32_t recycle = conf->rotation.recycle_ms, age = conf->limits.max_age_ms;
	uint32_t shorter = recycle == 0 || (age > 0 && age < recycle) ? age : recycle;

	return shorter == 0                      ? 0
	       : shorter / ROUNDS < ROUND_MIN_MS ? ROUND_MIN_MS
	       : shorter / ROUNDS > ROUND_MAX_MS ? ROUND_MAX_MS
						 : shorter / ROUNDS;
}

/* The next round, up to a quarter earlier or later: many sidecars get a generation at the same time. */
static void set_timer(struct fl_recycle *recycle)
{
	uint64_t time = interval(recycle->loop);

	if (time > 0) {
		time = (uint64_t)((double)time * (0.75 + draw(recycle) / 2));
		FL_REQUIRE(uv_timer_start(&recycle->timer, on_round, time, 0) == 0);
	}
}

static void on_round(uv_timer_t *timer)
{
	struct fl_recycle *recycle = FL_CONTAINER_OF(timer, struct fl_recycle, timer);

	recycle->now_ms = uv_now(recycle->loop->uv);
	fl_walk_start(recycle->walk, FL_WALK_RECYCLE);
}

static void on_restart(void *user)
{
	struct fl_recycle *recycle = user;

	recycle->next = (struct fl_recycle_census){.total = 0};
}

static void on_walked(void *user)
{
	struct fl_recycle *recycle = user;

	recycle->census = recycle->next;
	recycle->next = (struct fl_recycle_census){.total = 0};
	recycle->last_ms = recycle->now_ms;
	/* There are no more connections of older generations until fl_recycle_generation() is called. */
	if (!recycle->closed && (recycle->census.total > 0 ||
				 recycle->loop->share->generation->conf->limits.max_age_ms > 0)) {
		set_timer(recycle);
	}
}

/* A new INI sets or shortens the time: those whose time would be over already do not all go at once. */
static void note_time(struct fl_recycle *recycle)
{
	uint32_t time_ms = recycle->loop->share->generation->conf->rotation.recycle_ms;

	if (time_ms > 0 && (recycle->time_ms == 0 || time_ms < recycle->time_ms)) {
		recycle->since_ms = uv_now(recycle->loop->uv);
	}
	recycle->time_ms = time_ms;
}

void fl_recycle_generation(struct fl_recycle *recycle)
{
	note_time(recycle);
	if (!uv_is_active((uv_handle_t *)&recycle->timer)) {
		recycle->last_ms = uv_now(recycle->loop->uv);
		set_timer(recycle);
	}
}

void fl_recycle_init(struct fl_recycle *recycle, struct fl_loop *loop, struct fl_walk *walk)
{
	*recycle = (struct fl_recycle){.loop = loop, .walk = walk, .random = uv_hrtime() | 1};
	fl_walk_register(walk, FL_WALK_RECYCLE,
			 &(struct fl_walk_visitor){.user = recycle,
						   .visit = visit,
						   .on_restart = on_restart,
						   .on_done = on_walked});
	FL_REQUIRE(uv_timer_init(loop->uv, &recycle->timer) == 0);
}

void fl_recycle_close(struct fl_recycle *recycle)
{
	recycle->closed = true;
	uv_close((uv_handle_t *)&recycle->timer, NULL);
}
