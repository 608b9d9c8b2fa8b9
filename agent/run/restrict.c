/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/restrict.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent/common/candidate.h"
#include "base/guarded.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "certs-watch/trail.h"

#define DESCRIPTORS 1024 /* far more than files, watches and callers need at a time */

struct places {
	struct fl_place *items; /* their paths are ours */
	size_t count;
};

/* The first len bytes of path; none: `/`. */
static void add(struct places *places, const char *path, size_t len, unsigned rights)
{
	if (len == 0) {
		path = "/";
		len = 1;
	}
	places->items = fl_grow(places->items, places->count + 1, sizeof(*places->items));
	places->items[places->count++] =
		(struct fl_place){.path = fl_strndup(path, len), .rights = rights};
}

/* Length of the folder above an absolute one; 0: it is `/` or a folder in it. */
static size_t above(const char *dir)
{
	const char *slash = strrchr(dir, '/');

	return slash == NULL ? 0 : (size_t)(slash - dir);
}

static bool is_swappable(const char *dir)
{
	char parent[PATH_MAX];
	struct stat inner, outer;
	size_t len = above(dir);

	if (len == 0 || len >= sizeof(parent)) {
		return false;
	}
	memcpy(parent, dir, len);
	parent[len] = '\0';
	/* A mounted volume stays where it is. */
	return above(parent) > 0 && stat(dir, &inner) == 0 && stat(parent, &outer) == 0 &&
	       inner.st_dev == outer.st_dev;
}

/* dir: absolute, without links. */
static void add_folder(struct places *places, const char *dir)
{
	add(places, dir, strlen(dir), FL_PLACE_READ);
	if (is_swappable(dir)) {
		add(places, dir, above(dir), FL_PLACE_READ);
	}
}

static void add_file(struct places *places, const char *path)
{
	struct fl_trail trail = {0};
	char resolved[PATH_MAX];

	fl_trail_add(&trail, path);
	for (size_t i = 0; i < trail.place_count; i++) {
		add_folder(places, trail.places[i].dir);
	}
	fl_trail_done(&trail);
	if (realpath(path, resolved) != NULL && above(resolved) > 0) {
		resolved[above(resolved)] = '\0';
		add_folder(places, resolved);
	}
}

/* The socket is made again when somebody has removed it, also in a new folder of the same name; and the folder itself where we
 * have made that. */
static void add_socket(struct places *places, const char *path)
{
	unsigned rights = FL_PLACE_READ | FL_PLACE_MAKE_SOCKET | FL_PLACE_REMOVE;
	char dir[PATH_MAX];
	size_t len = above(path);

	if (len == 0 || len >= sizeof(dir)) {
		add(places, "/", 0, rights);
		return;
	}
	memcpy(dir, path, len);
	dir[len] = '\0';
	add(places, dir, len, rights);
	if (fl_guarded_above_is_shared(dir)) {
		add(places, dir, above(dir), rights | FL_PLACE_MAKE_DIRECTORY);
	} else if (is_swappable(dir)) {
		add(places, dir, above(dir), rights);
	} else {
		add(places, dir, above(dir), FL_PLACE_MAKE_SOCKET);
	}
}

static void restrict_files(const char *conf_path, const struct fl_conf *conf,
			   struct fl_sandbox *sandbox)
{
	struct places places = {0};

	add_file(&places, conf_path);
	for (size_t i = 0; i < fl_candidate_file_count(conf); i++) {
		fl_conf_line line;
		const char *path = fl_candidate_file(conf, i, &line);

		if (path != NULL) {
			add_file(&places, path);
		}
	}
	add_socket(&places, conf->agent.socket);
	fl_sandbox_enter_files(sandbox, FL_SANDBOX_AGENT, places.items, places.count);
	for (size_t i = 0; i < places.count; i++) {
		free((char *)places.items[i].path);
	}
	free(places.items);
}

static void limit_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > DESCRIPTORS) {
		limit.rlim_max = DESCRIPTORS;
		limit.rlim_cur = limit.rlim_cur < DESCRIPTORS ? limit.rlim_cur : DESCRIPTORS;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void fl_restrict_agent(const char *conf_path, const struct fl_conf *conf, struct fl_log *log)
{
	struct fl_sandbox sandbox = {.is_wanted = conf->agent.sandbox == FL_SANDBOX_ON};

	if (sandbox.is_wanted) {
		limit_descriptors();
		restrict_files(conf_path, conf, &sandbox);
		fl_sandbox_enter_calls(&sandbox, FL_SANDBOX_AGENT, log);
	}
	fl_sandbox_log(&sandbox, log);
}
