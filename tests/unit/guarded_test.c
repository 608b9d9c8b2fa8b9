/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Directories in which other users cannot create or replace a name. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/mem.h"

#define STRANGER 64999

struct place {
	char top[64]; /* in /tmp, which is sticky */
	char *mid, *dir, *link;
};

static void place_make(struct place *p)
{
	(void)snprintf(p->top, sizeof(p->top), "/tmp/fl-guarded-XXXXXX");
	cr_assert_not_null(mkdtemp(p->top));
	p->mid = fl_format("%s/mid", p->top);
	p->dir = fl_format("%s/mid/dir", p->top);
	p->link = fl_format("%s/link", p->top);
	cr_assert_eq(mkdir(p->mid, 0755), 0);
	cr_assert_eq(mkdir(p->dir, 0755), 0);
	cr_assert_eq(symlink(p->mid, p->link), 0);
}

static void place_remove(struct place *p)
{
	(void)unlink(p->link);
	(void)rmdir(p->dir);
	(void)rmdir(p->mid);
	(void)rmdir(p->top);
	free(p->mid);
	free(p->dir);
	free(p->link);
}

static int ask(const char *dir, struct fl_err *err)
{
	const uid_t trusted[] = {geteuid()};

	return fl_guarded(dir, trusted, 1, err);
}

Test(guarded, modes)
{
	static const struct {
		mode_t mid, dir;
		bool good;
	} rows[] = {
		{0755, 0755, true},   {0700, 0700, true},  {0755, 0775, false},
		{0755, 0757, false},  {0755, 0777, false}, {0755, 01777, false},
		{0755, 02770, false}, {01777, 0755, true}, {0777, 0755, false},
		{0775, 0755, false},  {03777, 0755, true},
	};
	struct place p;
	struct fl_err err;

	place_make(&p);
	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		cr_assert_eq(chmod(p.mid, rows[i].mid), 0);
		cr_assert_eq(chmod(p.dir, rows[i].dir), 0);
		err.text[0] = '\0';
		cr_expect_eq(ask(p.dir, &err) == FL_OK, rows[i].good, "%zu: %s", i, err.text);
		cr_expect(rows[i].good || strstr(err.text, p.mid) != NULL, "%s", err.text);
	}
	place_remove(&p);
}

Test(guarded, what_is_not_there_and_what_is_no_path)
{
	struct place p;
	struct fl_err err;
	char *deeper;

	place_make(&p);
	deeper = fl_format("%s/not/there//yet/", p.dir);
	cr_expect_eq(ask(deeper, &err), FL_OK);
	cr_assert_eq(chmod(p.dir, 0777), 0);
	cr_expect_eq(ask(deeper, &err), FL_ERR_INVALID);
	free(deeper);
	cr_expect_eq(ask("relative", &err), FL_ERR_INVALID);
	cr_expect_eq(ask("", &err), FL_ERR_INVALID);
	cr_expect_eq(ask("/", &err), FL_OK);
	cr_expect_eq(ask("/tmp", &err), FL_ERR_INVALID);
	place_remove(&p);
}

Test(guarded, links_lead_to_what_is_guarded_too)
{
	struct place p;
	struct fl_err err;
	char *by_link;

	place_make(&p);
	by_link = fl_format("%s/dir", p.link);
	cr_expect_eq(ask(by_link, &err), FL_OK);
	cr_assert_eq(chmod(p.mid, 0777), 0);
	cr_expect_eq(ask(by_link, &err), FL_ERR_INVALID);
	cr_assert_eq(chmod(p.mid, 01777), 0);
	cr_expect_eq(ask(by_link, &err), FL_OK);
	cr_expect_eq(ask(p.link, &err), FL_ERR_INVALID, "where it leads is sticky");
	if (geteuid() == 0) {
		cr_assert_eq(lchown(p.link, STRANGER, 0), 0);
		cr_expect_eq(ask(by_link, &err), FL_ERR_INVALID, "a stranger's link");
	}
	free(by_link);
	place_remove(&p);
}

Test(guarded, links_that_lead_nowhere)
{
	struct place p;
	struct fl_err err;
	char *by_link;

	place_make(&p);
	by_link = fl_format("%s/dir", p.link);
	cr_assert_eq(unlink(p.link), 0);
	cr_assert_eq(symlink("not/there/yet", p.link), 0);
	cr_expect_eq(ask(by_link, &err), FL_OK, "there is no directory yet");
	cr_assert_eq(unlink(p.link), 0);
	cr_assert_eq(symlink(p.link, p.link), 0);
	cr_expect_neq(ask(p.link, &err), FL_OK, "nobody knows where it will lead");
	cr_expect_not_null(strstr(err.text, p.link), "%s", err.text);
	free(by_link);
	place_remove(&p);
}

Test(guarded, owners)
{
	const uid_t trusted[] = {5, STRANGER};
	struct place p;
	struct fl_err err;
	char *path;

	if (geteuid() != 0) {
		return; /* requires root, to change the owner of a directory */
	}
	place_make(&p);
	path = fl_format("%s/sock", p.dir);
	cr_assert_eq(chown(p.dir, STRANGER, 0), 0);
	cr_expect_eq(fl_guarded_path(path, trusted, 2, &err), FL_OK);
	cr_expect_eq(fl_guarded_path(path, trusted, 1, &err), FL_ERR_INVALID);
	cr_expect_not_null(strstr(err.text, "uid 64999"), "%s", err.text);
	cr_assert_eq(chown(p.mid, STRANGER, 0), 0);
	cr_assert_eq(chown(p.dir, 0, 0), 0);
	cr_expect_eq(fl_guarded_path(path, trusted, 1, &err), FL_ERR_INVALID, "he could rename it");
	free(path);
	place_remove(&p);
}
