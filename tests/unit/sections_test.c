/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state of sections: who counts where, what a new INI keeps, and when the log may have a line. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "count/sections.h"

#define WORKERS 2u
#define T0 1000000u /* uv_now() */

static struct fl_section_set *set_of(const char *service, const char *upstream,
				     const struct fl_section_set *before)
{
	struct fl_conf_service services[] = {{.name = (char *)(uintptr_t)service}};
	struct fl_conf_upstream upstreams[] = {{.name = (char *)(uintptr_t)upstream}};
	struct fl_conf conf = {.services = services,
			       .service_count = 1,
			       .upstreams = upstreams,
			       .upstream_count = 1};

	return fl_section_set_new(&conf, before, WORKERS);
}

static struct fl_section_sum sum_of(const struct fl_section_set *set, size_t index)
{
	struct fl_section_sum sum;

	fl_section_sum(set->items[index], &sum);
	return sum;
}

static uint64_t fail(struct fl_section *section, int64_t time_ms, uint64_t now_ms)
{
	struct fl_section_failure failure = {.time_ms = time_ms, .reason = FL_REASON_PEER_REFUSED};

	(void)snprintf(failure.address, sizeof(failure.address), "10.0.0.1:%d", (int)now_ms);
	return fl_section_failed(section, &failure, now_ms);
}

Test(sections, are_those_of_the_ini_in_its_order)
{
	struct fl_section_set *set = set_of("web", "db", NULL);
	static const char *const names[] = {"web", NULL, "db", NULL};

	cr_assert_eq(fl_section_count(set), 4);
	for (size_t i = 0; i < 4; i++) {
		struct fl_section_sum sum = sum_of(set, i);

		cr_expect_eq(sum.direction, i < 2 ? FL_INBOUND : FL_OUTBOUND);
		cr_expect(names[i] == NULL ? sum.name == NULL : strcmp(sum.name, names[i]) == 0);
		cr_expect_not(sum.failing);
	}
	fl_section_set_unref(set);
}

Test(sections, all_workers_are_added_up)
{
	struct fl_section_set *set = set_of("web", "db", NULL);
	struct fl_section_sum sum;

	for (unsigned w = 0; w < WORKERS; w++) {
		struct fl_section_cell *cell = fl_section_cell(set->items[2], w);

		cell->opened = 3;
		cell->left = 1;
		cell->bytes_to_app = 10;
		cr_expect_not(fl_section_succeeded(cell, 5000 - (int64_t)w, T0 - w));
	}
	sum = sum_of(set, 2);
	cr_expect_eq(sum.opened, 6);
	cr_expect_eq(sum.open, 4);
	cr_expect_eq(sum.bytes_to_app, 20);
	cr_expect_eq(sum.succeeded, 2);
	cr_expect_eq(sum.last_success_ms, 5000);
	cr_expect_eq(sum_of(set, 0).opened, 0, "other sections");
	fl_section_set_unref(set);
}

Test(sections, keep_their_state_while_their_name_stays)
{
	struct fl_section_set *first = set_of("web", "db", NULL), *second, *third;

	(void)fail(first->items[2], 1000, T0);
	second = set_of("other", "db", first);
	cr_expect_eq(second->items[2], first->items[2]);
	cr_expect_neq(second->items[0], first->items[0]);
	cr_expect_eq(second->items[1], first->items[1], "[inbound] is always there");
	fl_section_set_unref(first);
	cr_expect_eq(sum_of(second, 2).failed[FL_REASON_PEER_REFUSED], 1);
	third = set_of("db", "other", second);
	cr_expect_eq(sum_of(third, 0).failed[FL_REASON_PEER_REFUSED], 0,
		     "a service is no upstream");
	cr_expect_eq(sum_of(third, 2).failed[FL_REASON_PEER_REFUSED], 0);
	fl_section_set_unref(second);
	fl_section_set_unref(third);
}

Test(sections, fail_until_they_succeed)
{
	struct fl_section_set *set = set_of("web", "db", NULL);
	struct fl_section_cell *cell = fl_section_cell(set->items[2], 1);

	(void)fl_section_succeeded(cell, 1000, T0);
	(void)fail(set->items[2], 1001, T0 + 1);
	cr_expect(sum_of(set, 2).failing);
	cr_expect_str_eq(sum_of(set, 2).last_failure.address, "10.0.0.1:1000001");
	(void)fl_section_succeeded(cell, 1002, T0 + 2);
	cr_expect_not(sum_of(set, 2).failing);
	cr_expect_eq(sum_of(set, 2).last_failure.time_ms, 1001, "the last one is still known");
	fl_section_set_unref(set);
}

/* The epoch's time is only for people to read. */
Test(sections, fail_and_succeed_whatever_the_clock_says)
{
	struct fl_section_set *set = set_of("web", "db", NULL);
	struct fl_section_cell *cells[] = {fl_section_cell(set->items[2], 0),
					   fl_section_cell(set->items[2], 1)};

	(void)fl_section_succeeded(cells[0], 9000000, T0);
	(void)fail(set->items[2], 5000000, T0 + 1);
	cr_expect(sum_of(set, 2).failing, "it was set back after a success");
	(void)fl_section_succeeded(cells[1], 1000000, T0 + 2);
	cr_expect_not(sum_of(set, 2).failing, "it was set back after a failure");
	cr_expect_eq(sum_of(set, 2).last_success_ms, 1000000, "the last one, not the highest");
	(void)fail(set->items[2], 1000000, T0 + 2);
	cr_expect(sum_of(set, 2).failing, "in the same millisecond");
	fl_section_set_unref(set);
}

Test(sections, have_a_line_at_once_and_then_one_in_ten_seconds)
{
	struct fl_section_set *set = set_of("web", "db", NULL);
	struct fl_section *section = set->items[2];
	struct fl_section_failure last;
	bool later;

	cr_expect_eq(fail(section, 1, T0), 1);
	cr_expect_eq(fail(section, 2, T0 + 1), 0);
	cr_expect_eq(fail(section, 3, T0 + FL_SECTION_QUIET_MS - 1), 0);
	cr_expect_eq(fl_section_left_out(section, T0 + FL_SECTION_QUIET_MS - 1, &last, &later), 0);
	cr_expect(later);
	cr_expect_eq(fl_section_left_out(section, T0 + FL_SECTION_QUIET_MS, &last, &later), 2);
	cr_expect_eq(last.time_ms, 3);
	cr_expect_not(later);
	cr_expect_eq(fl_section_left_out(section, T0 + 2 * FL_SECTION_QUIET_MS, &last, &later), 0);
	cr_expect_not(later);
	cr_expect_eq(fail(section, 4, T0 + 2 * FL_SECTION_QUIET_MS), 1);
	cr_expect_eq(fail(section, 5, T0 + 2 * FL_SECTION_QUIET_MS), 0);
	cr_expect_eq(fail(section, 6, T0 + 3 * FL_SECTION_QUIET_MS), 2, "with the one left out");
	fl_section_set_unref(set);
}

/* A section that fails and succeeds in turn has no line for each success. */
Test(sections, work_again_when_they_have_not_failed_for_ten_seconds)
{
	struct fl_section_set *set = set_of("web", "db", NULL);
	struct fl_section_cell *cell = fl_section_cell(set->items[0], 0);

	cr_expect_not(fl_section_succeeded(cell, 1, T0));
	(void)fail(set->items[0], 2, T0);
	cr_expect_not(fl_section_succeeded(cell, 3, T0 + FL_SECTION_QUIET_MS - 1));
	cr_expect(fl_section_succeeded(cell, 4, T0 + FL_SECTION_QUIET_MS));
	cr_expect_not(fl_section_succeeded(cell, 5, T0 + FL_SECTION_QUIET_MS + 1), "only once");
	fl_section_set_unref(set);
}
