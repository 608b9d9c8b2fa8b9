/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The process itself gets what it needs, at most half of the descriptors. Of the rest, strangers,
 * handshakes and farewells get at most an eighth each, and connections get what remains, with the
 * idle sessions beside them. Callers of
 * the admin port get descriptors/16, and half as many again for callers that are refused for lack
 * of room. Example: 1024 descriptors allow 64 callers. */
#include "worker/budget.h"

#define STRANGERS_PER_HANDSHAKE 8u
#define STRANGERS_MIN 1024u
#define FAREWELLS_MAX 1024u /* of a worker */
#define SESSIONS_PART 8u    /* one idle session in each direction for so many connections */
#define OWN 96u             /* admin and control, agent, resolver, log */
#define OWN_CALLERS 64u     /* of those, for callers of admin and control */
#define OWN_PER_WORKER 8u
#define CALLERS_MAX 1024u
#define CALLERS_PART 16u
#define CALLERS_MIN 8u

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t strangers_of(const struct fl_conf *conf)
{
	uint64_t strangers = (uint64_t)conf->limits.handshakes * STRANGERS_PER_HANDSHAKE;

	return strangers > STRANGERS_MIN ? strangers : STRANGERS_MIN;
}

/* Includes farewells. */
static uint64_t all_callers(unsigned callers)
{
	return callers + callers / 2;
}

static uint64_t own(unsigned worker_count, unsigned listeners, unsigned callers)
{
	uint64_t more = all_callers(callers) > OWN_CALLERS ? all_callers(callers) - OWN_CALLERS : 0;

	return OWN + more + (uint64_t)worker_count * (OWN_PER_WORKER + listeners);
}

unsigned fl_budget_callers(uint64_t descriptors)
{
	uint64_t callers = least(CALLERS_MAX, descriptors / CALLERS_PART);

	return callers > CALLERS_MIN ? (unsigned)callers : CALLERS_MIN;
}

/* Descriptors for so many connections, and for the idle sessions beside them. */
static uint64_t with_sessions(uint64_t connections, unsigned worker_count)
{
	return connections * 2 + (connections / SESSIONS_PART + worker_count) * 2;
}

/* The opposite: so many connections, of one worker. */
static unsigned connections_in(uint64_t descriptors)
{
	return (unsigned)(descriptors * SESSIONS_PART / (2 * (SESSIONS_PART + 1)));
}

uint64_t fl_budget_wanted(const struct fl_conf *conf, unsigned worker_count, unsigned listeners)
{
	uint64_t lingering = (uint64_t)FAREWELLS_MAX * worker_count;
	uint64_t reserve = own(worker_count, listeners, CALLERS_MAX);
	uint64_t all = reserve + with_sessions(conf->limits.connections, worker_count) +
		       conf->limits.handshakes + strangers_of(conf) + lingering;
	/* None of the three may exceed its eighth. */
	uint64_t eighth = conf->limits.handshakes;

	eighth = eighth > strangers_of(conf) ? eighth : strangers_of(conf);
	eighth = eighth > lingering ? eighth : lingering;
	eighth = eighth * 8 + reserve;
	return all > eighth ? all : eighth;
}

/* Returns at least 1, because nothing works without one. */
static unsigned part_of(uint64_t all, unsigned worker_count)
{
	unsigned part = (unsigned)(all / worker_count);

	return part > 0 ? part : 1;
}

/* Rounds up, because limits may be small and workers many. */
static unsigned share_of(uint64_t limit, unsigned worker_count)
{
	return (unsigned)((limit + worker_count - 1) / worker_count);
}

static unsigned lesser(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

struct fl_budget fl_budget_of(const struct fl_conf *conf, uint64_t descriptors,
			      unsigned worker_count, unsigned listeners)
{
	uint64_t reserve = least(own(worker_count, listeners, fl_budget_callers(descriptors)),
				 descriptors / 2);
	uint64_t left = descriptors - reserve, eighth = left / 8;
	uint64_t strangers = least(strangers_of(conf), eighth);
	uint64_t handshakes = least(conf->limits.handshakes, eighth);
	uint64_t farewells = least((uint64_t)FAREWELLS_MAX * worker_count, eighth);
	uint64_t rest = left - strangers - handshakes - farewells;
	unsigned connections = lesser(share_of(conf->limits.connections, worker_count),
				      part_of(connections_in(rest), worker_count));

	return (struct fl_budget){
		.strangers = part_of(strangers, worker_count),
		.handshakes = lesser(share_of(conf->limits.handshakes, worker_count),
				     part_of(eighth, worker_count)),
		.farewells = part_of(farewells, worker_count),
		.connections = connections,
		.sessions = connections > SESSIONS_PART ? connections / SESSIONS_PART : 1,
	};
}
