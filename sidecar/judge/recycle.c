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
#define NS_PER_MS 1000000u

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

/* Ends it in an orderly way at a pause; without one, only when its time is over, with a reset. True: it has ended. */
static bool end_at_pause(struct fl_stream *stream, enum fl_reason reason, uint32_t time_ms,
			 bool is_over)
{
	struct fl_ending ending = {.reason = reason, .orderly = pauses(stream, time_ms)};

	if (ending.orderly || is_over) {
		fl_stream_end(stream, &ending);
	}
	return ending.orderly || is_over;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* For a connection of an older generation: is its time over, or has its turn come? True: it has ended. */
static bool end_if_old(struct fl_recycle *recycle, struct fl_stream *stream)
{
	uint32_t recycle_ms = recycle->time.ms;
	uint64_t begin =
		later(fl_stream_conn(stream)->share->superseded_ms, recycle->time.since_ms);
	uint64_t idle = idle_at(stream, recycle->last_ms);
	double part = fl_recycle_share(begin, begin + recycle_ms / 4 * 3, recycle->last_ms,
				       recycle->now_ms);

	/* The previous round counted it under its idle time at that moment. */
	recycle->next.counts[fl_recycle_bucket(idle_at(stream, recycle->now_ms))]++;
	recycle->next.total++;
	return (part >= 1 || fl_recycle_is_among(&recycle->census, idle, part, draw(recycle))) &&
	       end_at_pause(stream, FL_REASON_RECYCLED, recycle_ms,
			    recycle->now_ms >= begin + recycle_ms);
}

/* One that is older than nine tenths of max_age when a generation sets or shortens it has a tenth from then on: those that
 * are due at once end spread over it, as others do over their last tenth. */
static void end_if_aged(const struct fl_recycle *recycle, struct fl_stream *stream,
			uint32_t grace_ms)
{
	const struct fl_conn *conn = fl_stream_conn(stream);
	uint32_t max_age_ms = recycle->max_age.ms, tenth = max_age_ms / 10;
	uint64_t end =
		later(conn->started_ns / NS_PER_MS + max_age_ms, recycle->max_age.since_ms + tenth);

	if (recycle->now_ms >= end - (uint64_t)(lot_of(conn) * tenth)) {
		(void)end_at_pause(stream, FL_REASON_MAX_AGE, max_age_ms,
				   recycle->now_ms >= end + grace_ms);
	}
}

static bool visit(void *user, struct fl_stream *stream)
{
	struct fl_recycle *recycle = user;
	const struct fl_share *current = recycle->loop->share;
	bool has_ended = false;

	if (!fl_stream_is_relayed(stream)) {
		return true; /* it has its own deadlines */
	}
	if (recycle->time.ms > 0 && fl_stream_conn(stream)->share != current) {
		has_ended = end_if_old(recycle, stream);
	}
	if (recycle->max_age.ms > 0 && !has_ended) {
		end_if_aged(recycle, stream, current->generation->conf->sidecar.drain_ms);
	}
	return true; /* the last of the aims: no visitor follows this one */
}

/* --- rounds ----------------------------------------------------------------------------------------- */

static void on_round(uv_timer_t *timer);

/* Interval of rounds in ms; 0: no connection has to end. */
static uint64_t interval(const struct fl_recycle *recycle)
{
	uint32_t time = recycle->time.ms, age = recycle->max_age.ms;
	uint32_t shorter = time == 0 || (age > 0 && age < time) ? age : time;

	return shorter == 0                      ? 0
	       : shorter / ROUNDS < ROUND_MIN_MS ? ROUND_MIN_MS
	       : shorter / ROUNDS > ROUND_MAX_MS ? ROUND_MAX_MS
						 : shorter / ROUNDS;
}

/* The next round, up to a quarter earlier or later: many sidecars get a generation at the same time. */
static void set_timer(struct fl_recycle *recycle)
{
	uint64_t time = interval(recycle);

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
	if (!recycle->closed && (recycle->census.total > 0 || recycle->max_age.ms > 0)) {
		set_timer(recycle);
	}
}

/* A new INI sets or shortens it: those whose time would be over already do not all go at once. */
static void set_time(struct fl_recycle_time *time, uint32_t ms, uint64_t now)
{
	if (ms > 0 && (time->ms == 0 || ms < time->ms)) {
		time->since_ms = now;
	}
	time->ms = ms;
}

void fl_recycle_generation(struct fl_recycle *recycle)
{
	const struct fl_conf *conf = recycle->loop->share->generation->conf;
	uint64_t now = uv_now(recycle->loop->uv);

	set_time(&recycle->time, conf->rotation.recycle_ms, now);
	set_time(&recycle->max_age, conf->limits.max_age_ms, now);
	if (!uv_is_active((uv_handle_t *)&recycle->timer)) {
		recycle->last_ms = now;
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
