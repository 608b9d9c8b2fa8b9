/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The first lines are written, floods are counted, and none is missing from both. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/ration.h"

struct sum {
	uint64_t left_out, others;
	unsigned lines;
};

static void add(void *user, const struct fl_ration_source *source, uint64_t left_out)
{
	struct sum *sum = user;

	sum->lines++;
	if (source != NULL) {
		sum->left_out += left_out;
	} else {
		sum->others += left_out;
	}
}

static bool take(struct fl_ration *ration, uint32_t source, uint32_t kind)
{
	uint8_t key[FL_RATION_KEY] = {0};

	memcpy(key, &source, sizeof(source));
	return fl_ration_take(ration, key, kind);
}

Test(ration, a_source_has_its_lines_of_each_kind)
{
	static struct fl_ration ration;
	struct sum sum = {0};
	unsigned written = 0;

	cr_expect_not(fl_ration_is_open(&ration));
	for (unsigned i = 0; i < 1000; i++) {
		written += take(&ration, 1, 5);
	}
	cr_expect_eq(written, FL_RATION_LINES);
	cr_expect(take(&ration, 1, 6), "another kind");
	cr_expect(take(&ration, 2, 5), "another source");
	cr_expect(fl_ration_is_open(&ration));
	fl_ration_end(&ration, add, &sum);
	cr_expect_eq(sum.left_out, 1000 - FL_RATION_LINES);
	cr_expect_eq(sum.lines, 1);
	cr_expect_not(fl_ration_is_open(&ration));
	cr_expect(take(&ration, 1, 5), "a new window");
}

Test(ration, however_many_sources_lines_and_memory_are_bounded)
{
	static struct fl_ration ration;
	struct sum sum = {0};
	uint64_t written = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		written += take(&ration, i % 5000, i % 7);
	}
	cr_expect_leq(written, FL_RATION_ALL);
	fl_ration_end(&ration, add, &sum);
	cr_expect_eq(written + sum.left_out + sum.others, 100000);
	cr_expect_leq(sum.lines, FL_RATION_SOURCES + 1);
}
