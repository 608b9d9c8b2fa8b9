/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/guarded.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct guard {
	const uid_t *trusted;
	size_t count;
};

static bool is_trusted(const struct guard *guard, uid_t uid)
{
	bool found = uid == 0;

	for (size_t i = 0; i < guard->count; i++) {
		found |= guard->trusted[i] == uid;
	}
	return found;
}

static int judge(const struct guard *guard, const char *path, const struct stat *st, bool is_last,
		 struct fl_err *err)
{
	bool others_write = (st->st_mode & (S_IWGRP | S_IWOTH)) != 0;

	if (!is_trusted(guard, st->st_uid)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "%s belongs to uid %lu, which could create files there", path,
				  (unsigned long)st->st_uid);
	}
	if (S_ISDIR(st->st_mode) && others_write && (is_last || (st->st_mode & S_ISVTX) == 0)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "others than its owner may write to %s (mode %04o), and could "
				  "create files there",
				  path, (unsigned)(st->st_mode & 07777));
	}
	return FL_OK;
}

static int walk(const struct guard *guard, const char *dir, bool may_link, bool is_last,
		struct fl_err *err);

static int cannot_examine(const char *path, struct fl_err *err)
{
	return errno == ENOENT ? FL_OK
			       : fl_err_sys(err, errno, "cannot examine who may write to %s", path);
}

/* The target of a link has to be guarded like the link itself. Resolved, it has no further link. */
static int follow(const struct guard *guard, const char *link, bool is_last, struct fl_err *err)
{
	char resolved[PATH_MAX];

	return realpath(link, resolved) != NULL ? walk(guard, resolved, false, is_last, err)
						: cannot_examine(link, err);
}

/* path is dir up to a slash, or the whole of it. */
static int look(const struct guard *guard, const char *path, bool may_link, bool is_last,
		struct fl_err *err)
{
	struct stat st;
	int rc;

	if (lstat(path, &st) != 0) {
		return cannot_examine(path, err);
	}
	rc = judge(guard, path, &st, is_last, err);
	return rc == FL_OK && may_link && S_ISLNK(st.st_mode) ? follow(guard, path, is_last, err)
							      : rc;
}

static int walk(const struct guard *guard, const char *dir, bool may_link, bool is_last,
		struct fl_err *err)
{
	char path[PATH_MAX];
	size_t len = strlen(dir), at = 0;
	int rc = FL_OK;

	while (len > 1 && dir[len - 1] == '/') {
		len--;
	}
	if (dir[0] != '/' || len >= sizeof(path)) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s` is not an absolute path", dir);
	}
	while (rc == FL_OK && at < len) {
		/* "/", "/run", "/run/fairlead" */
		size_t end = at == 0 ? 1 : at + strcspn(dir + at, "/");

		if (end > len) {
			end = len;
		}
		memcpy(path, dir, end);
		path[end] = '\0';
		rc = look(guard, path, may_link, is_last && end == len, err);
		at = end;
		while (at < len && dir[at] == '/') {
			at++;
		}
		at = at == 0 ? 1 : at;
	}
	return rc;
}

int fl_guarded(const char *dir, const uid_t *trusted, size_t count, struct fl_err *err)
{
	const struct guard guard = {.trusted = trusted, .count = count};

	return walk(&guard, dir, true, true, err);
}

/* Writes the directory of path to dir, of PATH_MAX bytes. False: path is not a path. */
static bool parent_of(const char *path, char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);

	if (slash == NULL || len >= PATH_MAX) {
		return false;
	}
	memcpy(dir, path, len);
	memcpy(dir + len, len > 0 ? "" : "/", len > 0 ? 1 : 2);
	return true;
}

int fl_guarded_path(const char *path, const uid_t *trusted, size_t count, struct fl_err *err)
{
	char dir[PATH_MAX];

	if (!parent_of(path, dir)) {
		return fl_err_set(err, FL_ERR_INVALID, "`%.100s` is not an absolute path", path);
	}
	return fl_guarded(dir, trusted, count, err);
}

bool fl_guarded_above_is_shared(const char *dir)
{
	char above[PATH_MAX];
	struct stat st;

	return parent_of(dir, above) && stat(above, &st) == 0 && S_ISDIR(st.st_mode) &&
	       (st.st_mode & S_ISVTX) != 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}
