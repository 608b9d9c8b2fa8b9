/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Real directories, real events, a real loop. Each step changes something and runs the loop until that is told, or
 * until a time in which it would have been. */
#include "watch_bench.h"

/* --- Kubernetes ----------------------------------------------------------------------------------- */

/* Reported once, and sooner than with any settling time. */
Test(watch, kubernetes_swap)
{
	struct fl_watch_options options = {.settle_ms = 5000, .limit_ms = 10000};
	struct bench bench;
	unsigned before;

	begin_volume(&bench, &options);
	before = bench.changes;
	for (unsigned i = 1; i <= 5; i++) {
		uint64_t at = uv_hrtime();

		kubelet_write(&bench, i, volume, 3, "text");
		expect_change(&bench, "a swap");
		cr_assert_lt(bench.changed_at - at, 2000 * 1000000ULL, "a swap needs no settling");
	}
	cr_assert_eq(bench.changes, before + 5, "each once: %u", bench.changes - before);
	end(&bench);
}

/* The kubelet begins with an empty volume, and makes the visible links after the swap. */
Test(watch, kubernetes_first_write)
{
	struct bench bench;

	begin(&bench, NULL);
	make_dir(&bench, "volume");
	watch(&bench, volume_paths, 3);
	expect_silence(&bench, "nothing there");
	kubelet_write(&bench, 1, volume, 3, "one");
	expect_change(&bench, "the first write");
	kubelet_write(&bench, 2, volume, 3, "two");
	expect_change(&bench, "the second");
	end(&bench);
}

/* A key that vanishes from the Secret, and one that comes; the volume itself comes later. */
Test(watch, kubernetes_keys_and_volume_come_and_go)
{
	struct bench bench;

	begin(&bench, NULL);
	watch(&bench, volume_paths, 3);
	make_dir(&bench, "volume");
	drain(&bench);
	kubelet_write(&bench, 1, volume, 2, "one");
	expect_change(&bench, "two of three");
	kubelet_write(&bench, 2, volume, 3, "two");
	expect_change(&bench, "all three");
	kubelet_write(&bench, 3, volume, 2, "three");
	expect_change(&bench, "two again");
	take_away(&bench, "volume");
	expect_change(&bench, "no volume");
	make_dir(&bench, "volume");
	kubelet_write(&bench, 4, volume, 3, "four");
	expect_change(&bench, "a new volume");
	kubelet_write(&bench, 5, volume, 3, "five");
	expect_change(&bench, "a swap in it");
	end(&bench);
}

/* --- plain files ------------------------------------------------------------------------------------ */

/* One at a time, with the writer's pauses shorter than the rest we wait for: told once, at the end. */
static void write_next(struct bench *bench, unsigned count)
{
	static const char *const names[] = {"tls.crt", "tls.key", "ca.crt"};

	put(bench, names[count % 3], "new");
}

static void write_nine(struct bench *bench, unsigned count)
{
	write_next(bench, count);
	if (count == 8) {
		(void)uv_timer_stop(&bench->ticker);
	}
}

Test(watch, plain_files_settle)
{
	static const char *const names[] = {"tls.crt", "tls.key", "ca.crt"};
	struct fl_watch_options options = {.settle_ms = 600, .limit_ms = 60000};
	struct bench bench;

	begin(&bench, &options);
	for (size_t i = 0; i < 3; i++) {
		put(&bench, names[i], "old");
	}
	watch(&bench, names, 3);
	every(&bench, 20, write_nine);
	cr_assert(run_until(&bench, 1, LONG_MS));
	cr_assert_eq(bench.ticks, 9, "told before the writer had finished");
	expect_silence(&bench, "once is enough");
	end(&bench);
}

/* We were held up for longer than the rest that we wait for, and meanwhile the writer went on. */
Test(watch, what_was_not_read_yet_is_no_rest)
{
	struct fl_watch_options options = {.settle_ms = 1000, .limit_ms = 60000};
	struct bench bench;
	uint64_t at;

	begin(&bench, &options);
	put(&bench, "ca.crt", "old");
	watch_one(&bench, "ca.crt");
	put(&bench, "ca.crt", "new");
	cr_assert(!run_until(&bench, 1, 50), "the first write is read");
	uv_sleep(options.settle_ms);
	put(&bench, "ca.crt", "newer");
	at = uv_hrtime();
	cr_assert(run_until(&bench, 1, LONG_MS));
	cr_assert_geq(bench.changed_at - at, 990 * 1000000ULL, "rest was not waited for");
	end(&bench);
}

/* Same size, same second, same inode: what counts is the event. */
Test(watch, plain_file_in_place_and_by_rename)
{
	struct bench bench;

	begin(&bench, NULL);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	put(&bench, "ca.crt", "b");
	expect_change(&bench, "in place");
	put(&bench, "ca.crt", "c");
	expect_change(&bench, "in place again");
	put(&bench, "ca.crt.new", "d");
	drain(&bench);
	move(&bench, "ca.crt.new", "ca.crt");
	expect_change(&bench, "renamed over");
	put(&bench, "ca.crt", "e");
	expect_change(&bench, "the new one in place");
	take_away(&bench, "ca.crt");
	expect_change(&bench, "gone");
	put(&bench, "ca.crt", "f");
	expect_change(&bench, "back");
	end(&bench);
}

Test(watch, neighbours_are_not_told)
{
	struct fl_watch_options options = {.limit_ms = 50};
	struct bench bench;

	begin(&bench, &options);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	put(&bench, "ca.crt.swp", "b");
	make_dir(&bench, "other");
	put(&bench, "other/ca.crt", "c");
	take_away(&bench, "ca.crt.swp");
	expect_silence(&bench, "other names, the same name elsewhere");
	put(&bench, "ca.crt", "d");
	expect_change(&bench, "ours");
	end(&bench);
}

/* --- links ------------------------------------------------------------------------------------------ */

Test(watch, links_that_lead_elsewhere)
{
	struct bench bench;
	char *absolute;

	begin(&bench, NULL);
	make_dir(&bench, "one");
	make_dir(&bench, "two");
	make_dir(&bench, "here");
	put(&bench, "one/ca.crt", "a");
	put(&bench, "two/ca.crt", "a");
	make_link(&bench, "../one/ca.crt", "here/ca.crt");
	watch_one(&bench, "here/ca.crt");
	put(&bench, "one/ca.crt", "b");
	expect_change(&bench, "the target");
	absolute = in(&bench, "two/ca.crt");
	make_link(&bench, absolute, "here/fresh");
	drain(&bench);
	move(&bench, "here/fresh", "here/ca.crt");
	expect_change(&bench, "the link");
	put(&bench, "two/ca.crt", "c");
	expect_change(&bench, "its new target");
	put(&bench, "one/ca.crt", "d");
	expect_silence(&bench, "its old target");
	free(absolute);
	end(&bench);
}

Test(watch, chain_of_links_and_linked_directory)
{
	struct bench bench;

	begin(&bench, NULL);
	make_dir(&bench, "v1");
	make_dir(&bench, "v2");
	put(&bench, "v1/ca.crt", "a");
	put(&bench, "v2/ca.crt", "b");
	make_link(&bench, "v1", "current");
	make_link(&bench, "./current/../current/ca.crt", "link");
	make_link(&bench, "link", "ca.crt");
	watch_one(&bench, "ca.crt");
	make_link(&bench, "v2", "fresh");
	drain(&bench);
	move(&bench, "fresh", "current");
	expect_change(&bench, "the directory's link");
	put(&bench, "v2/ca.crt", "c");
	expect_change(&bench, "behind it");
	take_away(&bench, "link");
	make_link(&bench, "ca.crt", "link");
	expect_change(&bench, "a loop of links");
	take_away(&bench, "link");
	make_link(&bench, "v1/ca.crt", "link");
	expect_change(&bench, "none any more");
	end(&bench);
}

/* --- directories -------------------------------------------------------------------------------------- */

Test(watch, directory_replaced)
{
	struct bench bench;

	begin(&bench, NULL);
	make_dir(&bench, "certs");
	put(&bench, "certs/ca.crt", "a");
	watch_one(&bench, "certs/ca.crt");
	for (unsigned i = 0; i < 3; i++) {
		make_dir(&bench, "fresh");
		put(&bench, "fresh/ca.crt", "b");
		move(&bench, "certs", "old");
		move(&bench, "fresh", "certs");
		expect_change(&bench, "another directory");
		put(&bench, "certs/ca.crt", "c");
		expect_change(&bench, "in the new one");
		put(&bench, "old/ca.crt", "d");
		expect_silence(&bench, "in the old one");
		take_away(&bench, "old");
		expect_silence(&bench, "the old one");
	}
	end(&bench);
}

Test(watch, directories_that_vanish_and_come_back)
{
	struct bench bench;

	begin(&bench, NULL);
	watch_one(&bench, "a/b/c/ca.crt");
	make_dir(&bench, "a");
	drain(&bench);
	make_dir(&bench, "a/b");
	make_dir(&bench, "a/b/c");
	drain(&bench);
	put(&bench, "a/b/c/ca.crt", "a");
	expect_change(&bench, "the whole way");
	take_away(&bench, "a");
	expect_change(&bench, "gone");
	make_dir(&bench, "a");
	make_dir(&bench, "a/b");
	make_dir(&bench, "a/b/c");
	put(&bench, "a/b/c/ca.crt", "b");
	expect_change(&bench, "back at once");
	put(&bench, "a/b/c/ca.crt", "c");
	expect_change(&bench, "watched again");
	end(&bench);
}

/* A parent far up is replaced, which no event tells: the regular look finds it. */
Test(watch, missed_event_is_found)
{
	struct fl_watch_options options = {.recheck_ms = 100};
	struct bench bench;

	begin(&bench, &options);
	make_dir(&bench, "a");
	make_dir(&bench, "a/b");
	make_dir(&bench, "a/b/c");
	put(&bench, "a/b/c/ca.crt", "a");
	watch_one(&bench, "a/b/c/ca.crt");
	make_dir(&bench, "x");
	make_dir(&bench, "x/b");
	make_dir(&bench, "x/b/c");
	put(&bench, "x/b/c/ca.crt", "b");
	move(&bench, "a", "y");
	move(&bench, "x", "a");
	expect_change(&bench, "another way");
	put(&bench, "a/b/c/ca.crt", "c");
	expect_change(&bench, "watched, too");
	/* Behind `..data` nothing is watched. */
	make_dir(&bench, "volume");
	kubelet_write(&bench, 1, volume, 3, "one");
	watch(&bench, volume_paths, 3);
	put(&bench, "volume/..data/tls.crt", "in place");
	expect_change(&bench, "what the kubelet would never do");
	end(&bench);
}
