/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trail - follows a path as the kernel does, component by component, and remembers each link, and
 * the last component, as a place to watch.
 *
 * If a component does not exist, the trail ends there, and the place is the name that has to appear. Nothing behind a
 * `..data` is a place: the kubelet never changes those directories, it swaps the link. Directories on the way are not
 * places either: watch.c notices when the last of them is replaced, and finds changes of the others at its next check.
 * Nothing here fails: what cannot be examined becomes a mark with its errno. */
#include "certs-watch/trail.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define DATA "..data"
#define LINKS_MAX 40 /* as the kernel's */
#define FRESH_NS (100 * INT64_C(1000000))
#define NS_PER_S INT64_C(1000000000)

struct walk {
	struct fl_trail *trail;
	char *at;     /* directory reached, without links; "" for the root */
	char *rest;   /* of the path, not followed yet */
	bool in_data; /* behind a `..data` */
	unsigned links;
};

/* Replaces *old by text. */
static void replace(char **old, char *text)
{
	free(*old);
	*old = text;
}

static void add_place(struct walk *walk, const char *name)
{
	struct fl_trail *trail = walk->trail;

	if (walk->in_data) {
		return;
	}
	trail->places = fl_grow(trail->places, trail->place_count + 1, sizeof(*trail->places));
	trail->places[trail->place_count++] = (struct fl_trail_place){
		.dir = fl_strdup(walk->at[0] != '\0' ? walk->at : "/"), .name = fl_strdup(name)};
}

static void add_mark(struct walk *walk, const struct stat *st, int error)
{
	struct fl_trail *trail = walk->trail;
	struct fl_trail_mark *mark;

	trail->marks = fl_grow(trail->marks, trail->mark_count + 1, sizeof(*trail->marks));
	mark = &trail->marks[trail->mark_count++];
	memset(mark, 0, sizeof(*mark));
	mark->error = error;
	if (error == 0) {
		mark->dev = st->st_dev;
		mark->ino = st->st_ino;
		mark->size = st->st_size;
		mark->mtime_ns = st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
		mark->ctime_ns = st->st_ctim.tv_sec * NS_PER_S + st->st_ctim.tv_nsec;
	}
}

/* Removes the next component from the rest; NULL at the end. */
static char *next_name(struct walk *walk)
{
	size_t begin = strspn(walk->rest, "/");
	size_t len = strcspn(walk->rest + begin, "/");
	char *name;

	if (len == 0) {
		return NULL;
	}
	name = fl_strndup(walk->rest + begin, len);
	replace(&walk->rest, fl_strdup(walk->rest + begin + len));
	return name;
}

/* Puts the target of the link `path` before the rest. Returns errno. */
static int follow_link(struct walk *walk, const char *path, const char *name)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	if (len < 0) {
		return errno;
	}
	if (++walk->links > LINKS_MAX) {
		return ELOOP;
	}
	target[len] = '\0';
	replace(&walk->rest, fl_format("%s/%s", target, walk->rest));
	if (target[0] == '/') {
		replace(&walk->at, fl_strdup(""));
		walk->in_data = false;
	}
	walk->in_data = walk->in_data || strcmp(name, DATA) == 0;
	return 0;
}

/* Follows one component. True: the path ends here, or leads no further. */
static bool step(struct walk *walk, const char *name)
{
	char *path;
	struct stat st;
	int error;

	if (strcmp(name, ".") == 0) {
		return false;
	}
	if (strcmp(name, "..") == 0) {
		char *slash = strrchr(walk->at, '/');

		if (slash != NULL) {
			*slash = '\0';
		}
		return false;
	}
	path = fl_format("%s/%s", walk->at, name);
	error = lstat(path, &st) == 0 ? 0 : errno;
	if (error == 0 && S_ISLNK(st.st_mode)) {
		add_place(walk, name);
		error = follow_link(walk, path, name);
		free(path);
		if (error != 0) {
			add_mark(walk, NULL, error);
		}
		return error != 0;
	}
	if (error == 0 && S_ISDIR(st.st_mode) && walk->rest[strspn(walk->rest, "/")] != '\0') {
		replace(&walk->at, path);
		return false;
	}
	free(path);
	add_place(walk, name);
	add_mark(walk, &st, error);
	return true;
}

static char *working_directory(void)
{
	char buf[PATH_MAX];

	return fl_strdup(getcwd(buf, sizeof(buf)) != NULL && strcmp(buf, "/") != 0 ? buf : "");
}

void fl_trail_add(struct fl_trail *trail, const char *path)
{
	struct walk walk = {.trail = trail,
			    .at = path[0] == '/' ? fl_strdup("") : working_directory(),
			    .rest = fl_strdup(path)};
	bool ended = false;

	while (!ended) {
		char *name = next_name(&walk);

		if (name == NULL) {
			/* The path ends in `.`, `..` or a link to a directory: not a file. */
			add_mark(&walk, NULL, EISDIR);
			break;
		}
		ended = step(&walk, name);
		free(name);
	}
	free(walk.at);
	free(walk.rest);
}

void fl_trail_done(struct fl_trail *trail)
{
	for (size_t i = 0; i < trail->place_count; i++) {
		free(trail->places[i].dir);
		free(trail->places[i].name);
	}
	free(trail->places);
	free(trail->marks);
	*trail = (struct fl_trail){0};
}

bool fl_trail_same_marks(const struct fl_trail *a, const struct fl_trail *b)
{
	return a->mark_count == b->mark_count &&
	       (a->mark_count == 0 ||
		memcmp(a->marks, b->marks, a->mark_count * sizeof(*a->marks)) == 0);
}

bool fl_trail_is_fresh(const struct fl_trail *trail, int64_t now_ns)
{
	for (size_t i = 0; i < trail->mark_count; i++) {
		const struct fl_trail_mark *mark = &trail->marks[i];

		if (mark->error == 0 && mark->ctime_ns > now_ns - FRESH_NS &&
		    mark->ctime_ns <= now_ns) {
			return true;
		}
	}
	return false;
}
