/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers of the admin endpoint: shared between callers, limited in their share of CPU time, and failing if memory is
 * out. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "admin/answer.h"
#include "base/json.h"

#define MS 1000000ULL
#define AT (1000 * 1000 * MS) /* some time */

static struct fl_answer *answer(const char *words)
{
	struct fl_text text = {.is_soft = true};

	fl_text_print(&text, "%s", words);
	return fl_answer_new(&text, 0);
}

Test(answer, is_made_anew_as_long_as_there_is_time)
{
	struct fl_answer_again again = {0};
	uint64_t now = AT;

	cr_expect_null(fl_answer_again(&again, now, 0));
	for (unsigned i = 0; i < 100; i++) {
		struct fl_answer *made = answer("x");

		/* 2 ms each, ten times a second */
		fl_answer_made(&again, made, 2 * MS, 0);
		fl_answer_unref(made);
		now += 100 * MS;
		cr_expect_null(fl_answer_again(&again, now, 0), "%u", i);
	}
	fl_answer_forget(&again);
}

Test(answer, a_flood_takes_a_fifth_of_the_time)
{
	struct fl_answer_again again = {0};
	unsigned made_count = 0;

	/* asked every 100 us for ten seconds, and 3 ms to make */
	for (uint64_t now = AT; now < AT + 10000 * MS; now += MS / 10) {
		struct fl_answer *last = fl_answer_again(&again, now, 0);

		if (last == NULL) {
			last = answer("x");
			fl_answer_made(&again, last, 3 * MS, 0);
			fl_answer_unref(last);
			made_count++;
		}
	}
	/* (10 s / 5 + the burst) / 3 ms */
	cr_expect(made_count >= 720 && made_count <= 740, "%u", made_count);
	fl_answer_forget(&again);
}

Test(answer, one_round_shares_one)
{
	struct fl_answer_again again = {0};
	struct fl_answer *made = answer("x");

	cr_expect_null(fl_answer_again(&again, AT, 7));
	fl_answer_made(&again, made, MS, 7);
	cr_expect_eq(fl_answer_again(&again, AT, 7), made);
	cr_expect_null(fl_answer_again(&again, AT, 8));
	cr_expect_null(fl_answer_again(&again, AT, 0));
	fl_answer_rest(&again, AT);
	cr_expect_null(again.last, "there is time for a new one, so this one is let go");
	fl_answer_unref(made);
}

Test(answer, one_that_would_be_given_again_is_kept)
{
	struct fl_answer_again again = {0};
	struct fl_answer *made = answer("x");

	cr_expect_null(fl_answer_again(&again, AT, 0));
	fl_answer_made(&again, made, 5000 * MS, 0);
	fl_answer_rest(&again, AT + MS);
	cr_expect_eq(fl_answer_again(&again, AT + MS, 0), made);
	cr_expect_null(fl_answer_again(&again, AT + 1100 * MS, 0),
		       "a second later the next is due");
	fl_answer_unref(made);
	fl_answer_forget(&again);
}

Test(answer, without_memory_it_is_503)
{
	struct fl_text text = {.is_soft = true};
	struct fl_answer *none;
	struct fl_answer_again again = {0};

	fl_text_print(&text, "half of it");
	text.has_failed = true;
	none = fl_answer_new(&text, 3);
	cr_expect_eq(none, fl_answer_no_memory());
	cr_expect_null(text.data);
	cr_expect_eq(strncmp(none->data, "HTTP/1.1 503 ", 13), 0);
	cr_expect_eq(none->len - none->head_len, 50);
	fl_answer_made(&again, none, MS, 0);
	cr_expect_null(again.last, "the next one is tried anew");
	fl_answer_unref(fl_answer_ref(none));
	fl_answer_unref(none);
}

#ifndef __SANITIZE_ADDRESS__
Test(answer, soft_text_fails_and_takes_nothing_more)
{
	struct rlimit limit = {128ULL << 20, 128ULL << 20};
	struct fl_text text = {.is_soft = true};
	struct fl_json json;
	char *block = calloc(1, 1 << 20);
	size_t len = 0;

	cr_assert_eq(setrlimit(RLIMIT_DATA, &limit), 0);
	cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
	for (unsigned i = 0; i < 1000 && !text.has_failed; i++) {
		len = text.len;
		fl_text_put(&text, block, 1 << 20);
	}
	cr_assert(text.has_failed);
	cr_expect_eq(text.len, len);
	fl_json_init(&json, &text);
	fl_json_object(&json, NULL);
	fl_json_str(&json, "key", "value");
	fl_json_end(&json);
	fl_text_print(&text, "%s", "more");
	fl_text_put_clean(&text, "more");
	cr_expect_eq(text.len, len);
	cr_expect_eq(fl_answer_new(&text, 0), fl_answer_no_memory());
	free(block);
}
#endif
