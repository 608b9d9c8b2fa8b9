/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When is a peer that owes an answer gone? The kernel's reports are invented: a peer that has stopped reading, or that is gone,
 * and packets that get lost, over minutes. */
#include "net/alive.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif

#define CHECKS 6u /* in one limit (conn/loop.c) */
#define NEVER UINT64_MAX
#define T0 1000000u

/* What is sent again and again, after 0.2 s and then after twice the time of before, and what comes back. */
struct scene {
	bool is_data; /* bytes that the peer has no room for; otherwise probes of its closed window */
	uint64_t most_ms; /* between two that are sent */
	uint64_t gone_ms; /* from then on nothing is answered */
	unsigned lost;    /* of this one, from 1, the answer is lost, too; 0: of none */
	uint64_t keep_ms; /* the peer itself sends a probe after so long; 0: it never does */
	bool keeps_on;    /* even when it is gone: only our packets are lost */
	uint32_t limit_ms;
};

/* The kernel's state, in the scene's time. */
struct kernel {
	struct tcp_info info;
	uint64_t sent_ms, acked_ms, due_ms, wait_ms;
	unsigned count;
};

static void send_again(struct kernel *kernel, const struct scene *scene, uint64_t now_ms)
{
	kernel->count++;
	if (scene->is_data) {
		kernel->info.tcpi_retransmits++;
		kernel->sent_ms = now_ms;
	} else {
		kernel->info.tcpi_probes++;
	}
	if (now_ms < scene->gone_ms && kernel->count != scene->lost) {
		kernel->info.tcpi_probes = 0;
		kernel->info.tcpi_segs_in++;
		kernel->acked_ms = now_ms;
	}
	kernel->wait_ms =
		kernel->wait_ms * 2 < scene->most_ms ? kernel->wait_ms * 2 : scene->most_ms;
	kernel->due_ms = now_ms + kernel->wait_ms;
}

static void run_kernel(struct kernel *kernel, const struct scene *scene, uint64_t now_ms)
{
	if (now_ms == kernel->due_ms) {
		send_again(kernel, scene, now_ms);
	}
	/* A probe has no new sequence number, so the kernel does not count it as an acknowledgement. */
	if (scene->keep_ms != 0 && now_ms % scene->keep_ms == 0 &&
	    (now_ms < scene->gone_ms || scene->keeps_on)) {
		kernel->info.tcpi_segs_in++;
	}
	kernel->info.tcpi_last_data_sent = (uint32_t)(now_ms - kernel->sent_ms);
	kernel->info.tcpi_last_ack_recv = (uint32_t)(now_ms - kernel->acked_ms);
}

/* When something happens next: a check, or what the kernel or the peer sends. */
static uint64_t next_ms(const struct kernel *kernel, const struct scene *scene, uint64_t now_ms)
{
	uint64_t check_ms = scene->limit_ms / CHECKS;
	uint64_t next_ms = now_ms - now_ms % check_ms + check_ms;

	if (scene->keep_ms != 0 && next_ms > now_ms - now_ms % scene->keep_ms + scene->keep_ms) {
		next_ms = now_ms - now_ms % scene->keep_ms + scene->keep_ms;
	}
	return next_ms < kernel->due_ms ? next_ms : kernel->due_ms;
}

/* Returns when the peer is given up, NEVER if it is not within 20 minutes. */
static uint64_t given_up_ms(const struct scene *scene)
{
	struct kernel kernel = {.due_ms = 200, .wait_ms = 200};
	struct fl_silence silence;

	kernel.info.tcpi_notsent_bytes = 1000;
	fl_silence_begin(&silence, T0);
	for (uint64_t now_ms = 0; now_ms < 1200000; now_ms = next_ms(&kernel, scene, now_ms)) {
		struct fl_debt debt;

		run_kernel(&kernel, scene, now_ms);
		debt = fl_debt_of(&kernel.info);
		cr_assert(debt.is_open);
		if (now_ms % (scene->limit_ms / CHECKS) == 0 &&
		    fl_silence_is_too_long(&silence, &debt, T0 + now_ms, scene->limit_ms)) {
			return now_ms;
		}
	}
	return NEVER;
}

static const uint32_t limits[] = {1000, 5000, 10000, 30000};

/* Kernels before Linux 6.15 send as rarely as every two minutes. */
Test(alive, one_lost_packet_does_not_make_a_peer_gone)
{
	static const uint64_t mosts[] = {1000, 3300, 20000, 120000};

	for (size_t i = 0; i < FL_COUNT_OF(limits) * FL_COUNT_OF(mosts) * 2; i++) {
		struct scene scene = {.is_data = i % 2 == 0,
				      .limit_ms = limits[i / 2 % FL_COUNT_OF(limits)],
				      .most_ms = mosts[i / 2 / FL_COUNT_OF(limits)],
				      .gone_ms = NEVER};

		for (; scene.lost < 14; scene.lost++) {
			cr_expect_eq(given_up_ms(&scene), NEVER,
				     "%u ms, sent every %u ms, data %d, number %u is lost",
				     scene.limit_ms, (unsigned)scene.most_ms, scene.is_data,
				     scene.lost);
		}
	}
}

/* Ours are lost for minutes, but its own probes arrive. */
Test(alive, peer_that_sends_anything_is_not_gone)
{
	for (size_t i = 0; i < FL_COUNT_OF(limits); i++) {
		struct scene scene = {.limit_ms = limits[i],
				      .most_ms = limits[i] / 3,
				      .keep_ms = limits[i] / 2,
				      .keeps_on = true,
				      .gone_ms = 100000};

		cr_expect_eq(given_up_ms(&scene), NEVER, "%u ms", limits[i]);
		scene.is_data = true;
		cr_expect_eq(given_up_ms(&scene), NEVER, "%u ms", limits[i]);
	}
}

/* It goes at any moment between two packets. A kernel that sends at least three in the limit lets us know in time: from the first
 * that is not answered on, and two checks later at most. */
Test(alive, peer_that_is_gone_is_given_up_in_time)
{
	for (size_t i = 0; i < FL_COUNT_OF(limits) * 2; i++) {
		uint32_t limit_ms = limits[i / 2];
		uint64_t most_ms = limit_ms / 3 > 1000 ? limit_ms / 3 : 1000;
		uint64_t late_ms = most_ms + limit_ms + 2000 + 2 * (limit_ms / CHECKS);

		for (uint64_t gone_ms = 0; gone_ms < 100000; gone_ms += 777) {
			struct scene scene = {.is_data = i % 2 == 0,
					      .limit_ms = limit_ms,
					      .most_ms = most_ms,
					      .gone_ms = gone_ms,
					      .keep_ms = 20000};
			uint64_t at_ms = given_up_ms(&scene);

			cr_expect_geq(at_ms, gone_ms + limit_ms - limit_ms / CHECKS, "too early");
			cr_expect_leq(at_ms, gone_ms + late_ms, "%u ms, data %d: %u ms late",
				      limit_ms, scene.is_data,
				      (unsigned)(at_ms - gone_ms - late_ms));
		}
	}
}

/* Two unanswered packets are as many as a kernel before Linux 6.15 sends in four minutes. */
Test(alive, peer_that_is_gone_is_given_up_even_if_packets_are_rare)
{
	struct scene scene = {.limit_ms = 30000, .most_ms = 120000, .gone_ms = 300000};

	cr_expect_leq(given_up_ms(&scene), 300000 + 2 * 120000 + 30000);
	scene.is_data = true;
	cr_expect_leq(given_up_ms(&scene), 300000 + 2 * 120000 + 30000);
}

Test(alive, three_packets_are_sent_before_a_peer_is_given_up)
{
	static const struct {
		uint16_t keep_s;
		uint32_t give_up_ms;
		int most_ms;
	} rows[] = {
		{20, 0, 20000},     {5, 0, 5000},     {20, 30000, 10000}, {20, 5000, 1666},
		{20, 1000, 1000},   {1, 5000, 1000},  {1, 30000, 3333},   {20, 60000, 20000},
		{1, 180000, 20000}, {20, 181000, -1},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_alive alive = {.keep_s = rows[i].keep_s,
					 .give_up_ms = rows[i].give_up_ms};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), before = 0, most = 0;
		socklen_t len = sizeof(most);

		cr_assert_geq(fd, 0);
		if (getsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &before, &len) != 0) {
			cr_assert_eq(errno, ENOPROTOOPT);
			close(fd);
			cr_skip_test("this kernel has no TCP_RTO_MAX_MS");
		}
		fl_alive_set(fd, &alive);
		cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &most, &len), 0);
		/* The kernel rounds to its clock ticks. */
		cr_expect_lt(abs(most - (rows[i].most_ms > 0 ? rows[i].most_ms : before)), 20,
			     "row %zu: %d", i, most);
		close(fd);
	}
}
