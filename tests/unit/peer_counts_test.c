/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Peers are counted by direction and identity, on several workers, within a bound; and no count ever falls. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "count/peer_counts.h"

#define A "spiffe://td/a"
#define B "spiffe://td/b"
#define C "spiffe://td/c"
#define D "spiffe://td/d"
#define LATE (FL_PEERS_FORGET_MS + 1000000u)

/* Its counts now; zeroes, and no name, for one that has none. */
static struct fl_peer_sum sum_of(struct fl_peer_counts *peers, enum fl_direction direction,
				 const char *name)
{
	struct fl_peer_sum found = {0};
	size_t count;
	struct fl_peer_sum *sums = fl_peer_counts_sums(peers, &count);

	for (size_t i = 0; i < count; i++) {
		if (sums[i].direction == direction && strcmp(sums[i].name, name) == 0) {
			cr_expect_null(found.name, "%s twice", name);
			found = sums[i];
			found.name = name;
		}
	}
	free(sums);
	fl_peer_counts_let_go(peers);
	return found;
}

/* A connection that ends at once. */
static void pass(struct fl_peer_counts *peers, unsigned worker, const char *id, uint64_t now_ms)
{
	struct fl_peer_cell *cell = fl_peer_counts_opened(peers, worker, FL_INBOUND, id, now_ms);

	fl_count(&cell->bytes_to_app, 10);
	fl_peer_ended(cell, FL_REASON_DONE);
	fl_peer_left(cell, now_ms);
}

Test(peers, test_peers__connection__is_counted_while_it_lives)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(2, 4);
	struct fl_peer_cell *cell = fl_peer_counts_opened(peers, 1, FL_INBOUND, A, 1);
	struct fl_peer_sum sum;

	fl_count(&cell->bytes_to_app, 100);
	fl_count(&cell->bytes_to_mesh, 7);
	sum = sum_of(peers, FL_INBOUND, A);
	cr_expect_eq(sum.opened, 1);
	cr_expect_eq(sum.open, 1);
	cr_expect_eq(sum.bytes_to_app, 100);
	cr_expect_eq(sum.bytes_to_mesh, 7);
	pass(peers, 0, A, 2);
	fl_peer_ended(cell, FL_REASON_PEER_RESET);
	fl_peer_left(cell, 3);
	sum = sum_of(peers, FL_INBOUND, A);
	cr_expect_eq(sum.opened, 2);
	cr_expect_eq(sum.open, 0);
	cr_expect_eq(sum.bytes_to_app, 110);
	cr_expect_eq(sum.ended[FL_REASON_DONE], 1);
	cr_expect_eq(sum.ended[FL_REASON_PEER_RESET], 1);
	cr_expect_null(sum_of(peers, FL_OUTBOUND, A).name, "the other direction is another one");
	fl_peer_counts_free(peers);
}

Test(peers, test_peers__plaintext__takes_no_room)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(1, 1);

	pass(peers, 0, NULL, 1);
	pass(peers, 0, A, 1);
	cr_expect_eq(sum_of(peers, FL_INBOUND, "plaintext").opened, 1);
	cr_expect_eq(sum_of(peers, FL_INBOUND, A).opened, 1);
	cr_expect_eq(fl_peer_counts_size(peers).count, 1);
	fl_peer_counts_free(peers);
}

Test(peers, test_peers__more_than_the_bound__are_counted_together)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(2, 2);
	struct fl_peer_sum others;

	pass(peers, 0, A, 1);
	pass(peers, 1, B, 1);
	pass(peers, 0, C, 1);
	pass(peers, 1, D, 1);
	pass(peers, 1, A, 1);
	others = sum_of(peers, FL_INBOUND, "other");
	cr_expect_eq(others.opened, 2);
	cr_expect_eq(others.bytes_to_app, 20);
	cr_expect_eq(others.ended[FL_REASON_DONE], 2);
	cr_expect_eq(sum_of(peers, FL_INBOUND, A).opened, 2);
	cr_expect_null(sum_of(peers, FL_INBOUND, C).name);
	cr_expect_eq(fl_peer_counts_size(peers).count, 2);
	cr_expect_eq(fl_peer_counts_size(peers).max, 2);
	fl_peer_counts_free(peers);
}

Test(peers, test_peers__many_ids__stay_within_the_bound)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(1, FL_PEERS_MAX);
	size_t count;

	for (unsigned i = 0; i < 20 * FL_PEERS_MAX; i++) {
		char id[64];

		(void)snprintf(id, sizeof(id), "spiffe://td/%u", i);
		pass(peers, 0, id, 1 + i);
	}
	free(fl_peer_counts_sums(peers, &count));
	fl_peer_counts_let_go(peers);
	cr_expect_eq(count, FL_PEERS_MAX + 1);
	cr_expect_eq(sum_of(peers, FL_INBOUND, "other").opened, 19 * FL_PEERS_MAX);
	fl_peer_counts_free(peers);
}

Test(peers, test_peers__long_without_connections__makes_room)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(1, 2);
	struct fl_peer_cell *open = fl_peer_counts_opened(peers, 0, FL_INBOUND, A, 1);

	pass(peers, 0, B, 2);
	pass(peers, 0, C, FL_PEERS_FORGET_MS);
	cr_expect_null(sum_of(peers, FL_INBOUND, C).name, "B was there within the hour");
	pass(peers, 0, C, LATE);
	cr_expect_eq(sum_of(peers, FL_INBOUND, C).opened, 1);
	cr_expect_null(sum_of(peers, FL_INBOUND, B).name, "B made room");
	cr_expect_eq(sum_of(peers, FL_INBOUND, A).open, 1, "A is open, however old");
	cr_expect_eq(sum_of(peers, FL_INBOUND, "other").opened, 1, "what it has counted stays");
	cr_expect_eq(fl_peer_counts_size(peers).forgotten, 1);
	/* Its connection has just ended: a reader must see the end first. */
	fl_peer_ended(open, FL_REASON_DONE);
	fl_peer_left(open, LATE + 5000);
	pass(peers, 0, D, LATE + 10000);
	cr_expect_eq(sum_of(peers, FL_INBOUND, A).ended[FL_REASON_DONE], 1);
	cr_expect_null(sum_of(peers, FL_INBOUND, D).name);
	pass(peers, 0, D, 2 * LATE + 10000);
	cr_expect_eq(sum_of(peers, FL_INBOUND, D).opened, 1);
	cr_expect_eq(fl_peer_counts_size(peers).forgotten, 2);
	fl_peer_counts_free(peers);
}

Test(peers, test_peers__connection_of_the_others__stays_theirs)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(1, 1);
	struct fl_peer_cell *early;

	pass(peers, 0, A, 1);
	early = fl_peer_counts_opened(peers, 0, FL_INBOUND, B, 2);
	pass(peers, 0, B, LATE);
	cr_expect_eq(sum_of(peers, FL_INBOUND, B).opened, 1, "it has found room");
	fl_count(&early->bytes_to_app, 5);
	fl_peer_ended(early, FL_REASON_DONE);
	fl_peer_left(early, LATE);
	cr_expect_eq(sum_of(peers, FL_INBOUND, "other").bytes_to_app, 5);
	cr_expect_eq(sum_of(peers, FL_INBOUND, B).bytes_to_app, 10);
	fl_peer_counts_free(peers);
}

Test(peers, test_peers__while_they_are_read__nobody_makes_room)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(1, 1);
	struct fl_peer_sum *sums;
	size_t count;

	pass(peers, 0, A, 1);
	sums = fl_peer_counts_sums(peers, &count);
	pass(peers, 0, B, LATE);
	cr_expect_str_eq(sums[0].name, A);
	free(sums);
	fl_peer_counts_let_go(peers);
	cr_expect_eq(sum_of(peers, FL_INBOUND, "other").opened, 1);
	fl_peer_counts_free(peers);
}

Test(peers, test_peers__failed_handshake__makes_nobody_known)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(1, 4);

	fl_peer_counts_failed(peers, FL_INBOUND, A, FL_REASON_CERTIFICATE);
	cr_expect_null(sum_of(peers, FL_INBOUND, A).name);
	cr_expect_eq(fl_peer_counts_size(peers).count, 0);
	pass(peers, 0, A, 1);
	fl_peer_counts_failed(peers, FL_INBOUND, A, FL_REASON_CERTIFICATE);
	cr_expect_eq(sum_of(peers, FL_INBOUND, A).failed[FL_REASON_CERTIFICATE], 1);
	fl_peer_counts_free(peers);
}

/* --- many at once ----------------------------------------------------------------------------------- */

#define WORKERS 4u
#define ROUNDS 20000u

struct work {
	struct fl_peer_counts *peers;
	unsigned number;
};

/* Each step is an hour later, so peers evict each other all the time. */
static void *work(void *arg)
{
	static const char *const ids[] = {A, B, C, D};
	const struct work *work = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		pass(work->peers, work->number, ids[(i + work->number) % FL_COUNT_OF(ids)],
		     (uint64_t)i * LATE);
	}
	return NULL;
}

Test(peers, test_peers__workers_and_a_reader_at_once__no_count_falls)
{
	struct fl_peer_counts *peers = fl_peer_counts_new(WORKERS, 2);
	struct work works[WORKERS];
	pthread_t threads[WORKERS];
	uint64_t last = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		works[i] = (struct work){.peers = peers, .number = i};
		cr_assert_eq(pthread_create(&threads[i], NULL, work, &works[i]), 0);
	}
	for (unsigned i = 0; i < 2000; i++) {
		struct fl_peer_sum others = sum_of(peers, FL_INBOUND, "other");

		cr_assert_geq(others.opened, last);
		cr_assert_leq(others.open, WORKERS);
		last = others.opened;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		(void)pthread_join(threads[i], NULL);
	}
	cr_expect_leq(fl_peer_counts_size(peers).count, 2);
	cr_expect_eq(sum_of(peers, FL_INBOUND, "other").open, 0);
	fl_peer_counts_free(peers);
}
