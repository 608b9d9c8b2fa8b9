/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parked sessions: which one is taken, which one is kept, which one goes, and what becomes of the pods behind a Service. */
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conn/pool.h"
#include "pool_model.h"

#define KEEP 1u /* a random number that ends no balanced session */
#define START 1000u

static const struct fl_pool_key some_pod = {
	.to = {.ip = {10, 0, 0, 1}, .port = 80, .family = AF_INET},
};

static struct fl_pool_key number_key(unsigned number)
{
	struct fl_pool_key key = some_pod;

	key.to.ip[1] = (uint8_t)(number >> 8);
	key.to.ip[2] = (uint8_t)number;
	return key;
}

/* Begins count uses at a time, and parks the sessions of all of them, in their order. */
static struct fl_pool_place *park(struct fl_pool *pool, const struct fl_pool_key *key,
				  struct fl_pool_entry *entries, unsigned count, uint64_t now_ms)
{
	struct fl_pool_place *place = NULL;

	for (unsigned i = 0; i < count; i++) {
		place = fl_pool_begin(pool, key, now_ms);
	}
	for (unsigned i = 0; i < count; i++) {
		fl_pool_entry_init(&entries[i], now_ms, 0);
		cr_assert_null(fl_pool_park(pool, place, &entries[i], 1, now_ms, KEEP));
		fl_pool_end(pool, place, now_ms);
	}
	return place;
}

static unsigned length(const struct fl_pool_entry *chain)
{
	unsigned count = 0;

	for (; chain != NULL; chain = chain->next) {
		cr_assert(!fl_pool_has(chain));
		count++;
	}
	return count;
}

static void end(struct fl_pool *pool)
{
	(void)length(fl_pool_drain(pool));
	fl_pool_done(pool);
}

Test(pool, the_oldest_is_taken)
{
	struct fl_pool pool;
	struct fl_pool_entry entries[3];
	struct fl_pool_place *place;

	fl_pool_init(&pool, 10, 1);
	park(&pool, &some_pod, entries, 3, START);
	place = fl_pool_begin(&pool, &some_pod, START);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect_eq(fl_pool_take(&pool, place, START), &entries[i]);
	}
	cr_expect_null(fl_pool_take(&pool, place, START));
	fl_pool_end(&pool, place, START);
	end(&pool);
}

Test(pool, places_have_nothing_in_common)
{
	struct fl_pool pool;
	struct fl_pool_entry entry;
	struct fl_pool_key others[3] = {some_pod, some_pod, some_pod};

	fl_pool_init(&pool, 10, 1);
	park(&pool, &some_pod, &entry, 1, START);
	others[0].to.port++;
	others[1].to.ip[0]++;
	others[2].owner++;
	for (unsigned i = 0; i < 3; i++) {
		struct fl_pool_place *place = fl_pool_begin(&pool, &others[i], START);

		cr_expect_null(fl_pool_take(&pool, place, START));
		fl_pool_end(&pool, place, START);
	}
	end(&pool);
}

/* As many are kept as there were uses at the same time; the memory of them ends after 10 to 20 s, and that of one after 50 s. */
Test(pool, as_many_are_kept_as_were_needed)
{
	struct fl_pool pool;
	struct fl_pool_entry entries[6], *gone;
	struct fl_pool_place *place;

	fl_pool_init(&pool, 10, 1);
	park(&pool, &some_pod, entries, 4, START);
	place = fl_pool_begin(&pool, &some_pod, START);
	fl_pool_entry_init(&entries[4], START, 0);
	gone = fl_pool_park(&pool, place, &entries[4], 1, START, KEEP);
	cr_expect_eq(gone, &entries[4], "a fifth was never needed");
	fl_pool_end(&pool, place, START);
	cr_expect_eq(length(fl_pool_sweep(&pool, START + 9999)), 0);
	cr_expect_leq(fl_pool_wake_ms(&pool), START + 10000 + FL_POOL_TICK_MS);
	cr_expect_eq(length(fl_pool_sweep(&pool, START + 20000)), 3, "all but one");
	cr_expect(fl_pool_has(&entries[3]), "the one that waited least");
	cr_expect_eq(length(fl_pool_sweep(&pool, START + FL_POOL_IDLE_MAX_MS - 1)), 0);
	cr_expect_eq(length(fl_pool_sweep(&pool, START + FL_POOL_IDLE_MAX_MS)), 1);
	cr_expect_eq(pool.place_count, 0);
	cr_expect_eq(fl_pool_wake_ms(&pool), UINT64_MAX);
	end(&pool);
}

Test(pool, a_place_keeps_no_more_than_its_bound)
{
	struct fl_pool pool;
	static struct fl_pool_entry entries[FL_POOL_PLACE_MAX + 1];
	struct fl_pool_place *place = NULL;

	fl_pool_init(&pool, 1000, 1);
	for (unsigned i = 0; i <= FL_POOL_PLACE_MAX; i++) {
		place = fl_pool_begin(&pool, &some_pod, START);
	}
	for (unsigned i = 0; i <= FL_POOL_PLACE_MAX; i++) {
		struct fl_pool_entry *gone;

		fl_pool_entry_init(&entries[i], START, 0);
		gone = fl_pool_park(&pool, place, &entries[i], 1, START, KEEP);
		cr_expect_eq(gone, i < FL_POOL_PLACE_MAX ? NULL : &entries[i]);
		fl_pool_end(&pool, place, START);
	}
	end(&pool);
}

Test(pool, the_loop_keeps_no_more_than_its_bound)
{
	struct fl_pool pool;
	struct fl_pool_entry entries[3];
	struct fl_pool_key other = number_key(7);
	struct fl_pool_place *place;

	fl_pool_init(&pool, 2, 1);
	park(&pool, &some_pod, entries, 2, START);
	place = fl_pool_begin(&pool, &other, START + 1);
	fl_pool_entry_init(&entries[2], START + 1, 0);
	cr_expect_eq(fl_pool_park(&pool, place, &entries[2], 1, START + 1, KEEP), &entries[0],
		     "the one that waited longest goes, whatever its place");
	fl_pool_end(&pool, place, START + 1);
	pool.max = 1;
	cr_expect_eq(length(fl_pool_sweep(&pool, START + 1)), 1);
	cr_expect(fl_pool_has(&entries[2]));
	pool.max = 0;
	place = fl_pool_begin(&pool, &other, START + 1);
	cr_expect_eq(fl_pool_take(&pool, place, START + 1), &entries[2]);
	cr_expect_eq(fl_pool_park(&pool, place, &entries[2], 1, START + 1, KEEP), &entries[2]);
	fl_pool_end(&pool, place, START + 1);
	end(&pool);
}

static bool is_kept(bool is_balanced, uint32_t uses, uint64_t age_ms, uint32_t luck,
		    uint32_t random)
{
	struct fl_pool pool;
	struct fl_pool_entry entry;
	struct fl_pool_place *place;
	bool is_kept;

	fl_pool_init(&pool, 10, 1);
	place = fl_pool_begin(&pool, &some_pod, START);
	place->is_balanced = is_balanced;
	fl_pool_entry_init(&entry, START, luck);
	is_kept = fl_pool_park(&pool, place, &entry, uses, START + age_ms, random) == NULL;
	if (is_kept) {
		cr_expect_eq(fl_pool_take(&pool, place, START + age_ms), &entry);
	}
	fl_pool_end(&pool, place, START + age_ms);
	end(&pool);
	return is_kept;
}

Test(pool, uses_and_age_are_bounded)
{
	unsigned kept = 0;

	cr_expect(is_kept(false, FL_POOL_FREE_USES - 1, 0, 0, 0));
	cr_expect(!is_kept(false, FL_POOL_FREE_USES, 0, 0, 0));
	cr_expect(!is_kept(true, FL_POOL_FREE_USES, 0, 0, KEEP));
	cr_expect(is_kept(false, 1, FL_POOL_FREE_AGE_MS - 1, 0, 0));
	cr_expect(!is_kept(false, 1, FL_POOL_FREE_AGE_MS, 0, 0));
	cr_expect(!is_kept(false, 1, FL_POOL_FREE_AGE_MS / 4 * 3, UINT32_MAX, 0));
	cr_expect(is_kept(false, 1, FL_POOL_FREE_AGE_MS / 4 * 3 - 1, UINT32_MAX, 0));
	cr_expect(is_kept(true, 1, FL_POOL_BALANCED_AGE_MS - 1, 0, KEEP));
	cr_expect(!is_kept(true, 1, FL_POOL_BALANCED_AGE_MS, 0, KEEP));
	for (uint32_t random = 0; random < 800; random++) {
		kept += is_kept(true, 1, 0, 0, random) ? 1 : 0;
	}
	cr_expect_eq(kept, 700);
}

Test(pool, one_that_grew_too_old_is_not_taken)
{
	struct fl_pool pool;
	struct fl_pool_entry entries[2];
	struct fl_pool_place *place;

	fl_pool_init(&pool, 10, 1);
	place = park(&pool, &some_pod, entries, 2, START);
	entries[0].born_ms = 0;
	place->is_balanced = true;
	place = fl_pool_begin(&pool, &some_pod, FL_POOL_BALANCED_AGE_MS);
	cr_expect_eq(fl_pool_take(&pool, place, FL_POOL_BALANCED_AGE_MS), &entries[1]);
	cr_expect_null(fl_pool_take(&pool, place, FL_POOL_BALANCED_AGE_MS));
	cr_expect_eq(fl_pool_sweep(&pool, FL_POOL_BALANCED_AGE_MS), &entries[0]);
	fl_pool_end(&pool, place, FL_POOL_BALANCED_AGE_MS);
	end(&pool);
}

Test(pool, a_flush_is_spread_and_none_of_it_is_taken)
{
	struct fl_pool pool;
	struct fl_pool_entry entries[4], fresh;
	struct fl_pool_place *place;

	fl_pool_init(&pool, 10, 1);
	park(&pool, &some_pod, entries, 4, START);
	fl_pool_flush(&pool, START, 1000);
	place = fl_pool_begin(&pool, &some_pod, START);
	cr_expect_null(fl_pool_take(&pool, place, START));
	fl_pool_entry_init(&fresh, START, 0);
	cr_expect_null(fl_pool_park(&pool, place, &fresh, 1, START, KEEP));
	fl_pool_end(&pool, place, START);
	cr_expect_leq(fl_pool_wake_ms(&pool), START + FL_POOL_TICK_MS);
	cr_expect_eq(length(fl_pool_sweep(&pool, START)), 1);
	cr_expect_eq(fl_pool_wake_ms(&pool), START + 250);
	cr_expect_eq(length(fl_pool_sweep(&pool, START + 250)), 1);
	fl_pool_remove(&pool, &entries[2]); /* it dies */
	cr_expect_eq(length(fl_pool_sweep(&pool, START + 1000)), 1);
	cr_expect_eq(pool.count, 1);
	cr_expect(fl_pool_has(&fresh));
	end(&pool);
}

Test(pool, a_dead_one_is_not_taken)
{
	struct fl_pool pool;
	struct fl_pool_entry entries[3];
	struct fl_pool_place *place;

	fl_pool_init(&pool, 10, 1);
	park(&pool, &some_pod, entries, 3, START);
	fl_pool_remove(&pool, &entries[1]);
	fl_pool_remove(&pool, &entries[1]);
	place = fl_pool_begin(&pool, &some_pod, START);
	cr_expect_eq(fl_pool_take(&pool, place, START), &entries[0]);
	cr_expect_eq(fl_pool_take(&pool, place, START), &entries[2]);
	fl_pool_end(&pool, place, START);
	end(&pool);
}

Test(pool, the_number_of_places_is_bounded)
{
	struct fl_pool pool;
	static struct fl_pool_place *places[FL_POOL_PLACES_MAX];
	struct fl_pool_key key;

	fl_pool_init(&pool, 10, 1);
	for (unsigned i = 0; i < FL_POOL_PLACES_MAX; i++) {
		key = number_key(i);
		places[i] = fl_pool_begin(&pool, &key, START);
		cr_assert_not_null(places[i]);
	}
	key = number_key(FL_POOL_PLACES_MAX);
	cr_expect_null(fl_pool_begin(&pool, &key, START));
	fl_pool_end(&pool, NULL, START);
	fl_pool_end(&pool, places[500], START);
	places[500] = fl_pool_begin(&pool, &key, START);
	cr_expect_not_null(places[500], "one that nobody uses makes room");
	for (unsigned i = 0; i < FL_POOL_PLACES_MAX; i++) {
		fl_pool_end(&pool, places[i], START);
	}
	end(&pool);
}

/* --- any sequence ------------------------------------------------------------------------------- */

static void run_model(uint32_t seed, unsigned steps)
{
	struct pool_model *model = fl_new(sizeof(*model));
	uint64_t random = seed;

	pool_model_init(model);
	for (unsigned i = 0; i < steps; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		pool_model_step(model, (uint8_t)(random >> 56), (uint32_t)(random >> 20));
	}
	cr_log_info("%u cold, %u reused", model->cold, model->reused);
	cr_expect_gt(model->reused, model->cold / 20);
	pool_model_done(model);
	free(model);
}

Test(pool, any_sequence_does_what_the_model_allows)
{
	const char *is_long = getenv("FAIRLEAD_LONG");

	for (uint32_t seed = 1; seed <= (is_long != NULL ? 200u : 4u); seed++) {
		run_model(seed, 100000);
	}
}

/* --- traffic --------------------------------------------------------------------------------------- */

/* Clients that each open a connection, use it for some milliseconds and open the next one. Behind the place are backends; a new
 * session comes to any of them by chance, as in kube-proxy. */
#define CLIENTS_MAX 64u
#define BACKENDS_MAX 4u

struct traffic_session {
	struct fl_pool_entry entry; /* first: a session is found by its entry */
	uint32_t uses;
	unsigned backend;
};

struct traffic {
	struct fl_pool pool;
	struct fl_pool_place *place;
	uint64_t now_ms, random;
	bool is_balanced;
	unsigned clients, use_ms, pause_ms; /* at most */
	bool has[BACKENDS_MAX];
	struct {
		struct traffic_session *session; /* NULL: the client pauses */
		uint64_t until_ms;
	} client[CLIENTS_MAX];
	unsigned cold, reused, at[BACKENDS_MAX];
};

static uint32_t chance(struct traffic *traffic)
{
	traffic->random = traffic->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(traffic->random >> 32);
}

static void free_all(struct fl_pool_entry *entry)
{
	struct fl_pool_entry *next;

	for (; entry != NULL; entry = next) {
		next = entry->next;
		free(entry);
	}
}

static struct traffic_session *dial(struct traffic *traffic)
{
	struct traffic_session *session = fl_new(sizeof(*session));

	fl_pool_entry_init(&session->entry, traffic->now_ms, chance(traffic));
	do {
		session->backend = chance(traffic) % BACKENDS_MAX;
	} while (!traffic->has[session->backend]);
	return session;
}

static void client_begins(struct traffic *traffic, unsigned i)
{
	struct fl_pool_entry *entry;
	struct traffic_session *session;

	traffic->place = fl_pool_begin(&traffic->pool, &some_pod, traffic->now_ms);
	traffic->place->is_balanced = traffic->is_balanced;
	entry = fl_pool_take(&traffic->pool, traffic->place, traffic->now_ms);
	session = (struct traffic_session *)(void *)entry;
	traffic->reused += session != NULL ? 1 : 0;
	traffic->cold += session == NULL ? 1 : 0;
	session = session != NULL ? session : dial(traffic);
	session->uses++;
	traffic->at[session->backend]++;
	traffic->client[i].session = session;
	traffic->client[i].until_ms = traffic->now_ms + 1 + chance(traffic) % traffic->use_ms;
}

static void client_ends(struct traffic *traffic, unsigned i)
{
	struct traffic_session *session = traffic->client[i].session;

	free(fl_pool_park(&traffic->pool, traffic->place, &session->entry, session->uses,
			  traffic->now_ms, chance(traffic)));
	fl_pool_end(&traffic->pool, traffic->place, traffic->now_ms);
	traffic->client[i].session = NULL;
	traffic->client[i].until_ms = traffic->now_ms + chance(traffic) % (traffic->pause_ms + 1);
}

static void run(struct traffic *traffic, uint64_t ms)
{
	uint64_t until_ms = traffic->now_ms + ms;

	traffic->cold = traffic->reused = 0;
	memset(traffic->at, 0, sizeof(traffic->at));
	for (; traffic->now_ms < until_ms; traffic->now_ms++) {
		if (fl_pool_wake_ms(&traffic->pool) <= traffic->now_ms) {
			free_all(fl_pool_sweep(&traffic->pool, traffic->now_ms));
		}
		for (unsigned i = 0; i < traffic->clients; i++) {
			if (traffic->client[i].until_ms > traffic->now_ms) {
				continue;
			}
			if (traffic->client[i].session != NULL) {
				client_ends(traffic, i);
			} else {
				client_begins(traffic, i);
			}
		}
	}
	cr_log_info("%u cold, %u reused; at %u %u %u %u", traffic->cold, traffic->reused,
		    traffic->at[0], traffic->at[1], traffic->at[2], traffic->at[3]);
}

static void open_traffic(struct traffic *traffic, unsigned clients, unsigned use_ms,
			 unsigned pause_ms)
{
	*traffic = (struct traffic){
		.now_ms = START,
		.random = 11,
		.clients = clients,
		.use_ms = use_ms,
		.pause_ms = pause_ms,
		.has = {true, true, true, false},
	};
	fl_pool_init(&traffic->pool, 1000, 1);
}

static void close_traffic(struct traffic *traffic)
{
	for (unsigned i = 0; i < traffic->clients; i++) {
		if (traffic->client[i].session != NULL) {
			client_ends(traffic, i);
		}
	}
	free_all(fl_pool_drain(&traffic->pool));
	fl_pool_done(&traffic->pool);
}

static double part_of(const struct traffic *traffic, unsigned backend)
{
	return (double)traffic->at[backend] / (traffic->cold + traffic->reused);
}

Test(pool, of_32_short_connections_at_a_time_99_percent_are_reused)
{
	struct traffic traffic;

	open_traffic(&traffic, 32, 5, 0);
	run(&traffic, 5000);
	cr_expect_geq(traffic.reused, 99 * traffic.cold);
	close_traffic(&traffic);
	open_traffic(&traffic, 32, 3, 40); /* with pauses */
	run(&traffic, 10000);
	cr_expect_geq(traffic.reused, 99 * traffic.cold);
	run(&traffic, 120000); /* and for a long time */
	cr_expect_geq(traffic.reused, 99 * traffic.cold);
	close_traffic(&traffic);
}

/* Three pods behind a Service; a fourth comes; one leaves, and its sidecar does not say so. at_once: the part
 * that the fourth has of the first half minute. */
static void check_distribution(unsigned clients, unsigned use_ms, unsigned pause_ms, double at_once)
{
	struct traffic traffic;

	open_traffic(&traffic, clients, use_ms, pause_ms);
	traffic.is_balanced = true;
	run(&traffic, 120000);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect(part_of(&traffic, i) > 0.25 && part_of(&traffic, i) < 0.42, "%u: %.2f", i,
			  part_of(&traffic, i));
	}
	cr_expect_gt(traffic.reused, 4 * traffic.cold);
	traffic.has[3] = true;
	run(&traffic, FL_POOL_BALANCED_AGE_MS);
	cr_expect_gt(part_of(&traffic, 3), at_once, "while it comes: %.2f", part_of(&traffic, 3));
	run(&traffic, 120000);
	for (unsigned i = 0; i < 4; i++) {
		cr_expect(part_of(&traffic, i) > 0.18 && part_of(&traffic, i) < 0.32, "%u: %.2f", i,
			  part_of(&traffic, i));
	}
	traffic.has[0] = false;
	run(&traffic, FL_POOL_BALANCED_AGE_MS + use_ms);
	run(&traffic, 60000);
	cr_expect_eq(traffic.at[0], 0, "it is left");
	close_traffic(&traffic);
}

Test(pool, a_service_with_many_connections_is_balanced)
{
	check_distribution(32, 20, 10, 0.2);
}

Test(pool, a_service_with_few_connections_is_balanced)
{
	check_distribution(2, 50, 200, 0.04); /* 500 connections */
}
