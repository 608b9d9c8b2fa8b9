/* SPDX-License-Identifier: GPL-3.0-or-later */
/* files - mounted files, read as of one moment.
 *
 * Kubernetes swaps the symlink `..data` from one directory to the next; `tls.crt` is a link to `..data/tls.crt`, and so is
 * the first folder of a longer path. So the code searches each path for that link, the directory that the link names is
 * opened once, and every file behind it is opened from that handle: all of them belong to one swap. If the kubelet removes
 * the old directory in between, a file is missing there, and everything starts over with the new one; it also starts over
 * if a plain file changes while it is read. Other directories are opened once as well, which makes the swap of a whole
 * directory safe.
 *
 * Nothing blocks: a file is checked to be a regular one before it is opened, and once more after. Failures become findings
 * with the remedy. Memory that held a file is wiped. */
#include "certs-watch/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define DATA "..data"
/* A swap costs one more attempt, a plain file that is being written a few. */
#define ATTEMPTS_MAX 20
#define ATTEMPT_PAUSE_NS (5 * 1000 * 1000)

/* A directory that files are opened from. */
struct handle {
	char *dir; /* as in the path: for messages, and as the key of a look-up */
	int fd;    /* O_PATH; -1: cannot be opened */
	int error; /* errno then */
};

struct handles {
	struct handle *items;
	size_t count;
};

/* Where a path leads: a directory and a path within it. */
struct place {
	char *dir, *rest;
	bool is_data; /* dir is a `..data` */
};

enum outcome { DONE, FAILED, AGAIN };

/* --- findings ----------------------------------------------------------------------------------- */

static enum outcome fail(struct fl_findings *findings, const char *path, char *text)
{
	fl_findings_add(findings, true, path, text);
	return FAILED;
}

static enum outcome fail_sys(struct fl_findings *findings, const char *path, int error,
			     const char *what)
{
	struct fl_err err;

	(void)fl_err_sys(&err, error, "%s", what);
	return fail(findings, path, fl_strdup(err.text));
}

/* --- from a path to a directory handle ---------------------------------------------------------- */

/* If the component of path that ends at end leads through `..data`: the rest of the path behind it; otherwise NULL. */
static char *behind_data(const char *path, size_t begin, size_t end)
{
	char target[PATH_MAX], *component = fl_strndup(path, end), *rest = NULL;
	ssize_t len = readlink(component, target, sizeof(target) - 1);

	if (len > 0) {
		target[len] = '\0';
		if (strncmp(target, DATA "/", sizeof(DATA)) == 0) {
			rest = fl_format("%s%s", target + sizeof(DATA), path + end);
		} else if (strcmp(component + begin, DATA) == 0 && path[end] == '/') {
			rest = fl_strdup(path + end + strspn(path + end, "/"));
		}
	}
	free(component);
	return rest;
}

static void locate(const char *path, struct place *ret)
{
	const char *slash = strrchr(path, '/');
	size_t begin = 0, end;

	for (;; begin = end) {
		char *rest;

		begin += strspn(path + begin, "/");
		end = begin + strcspn(path + begin, "/");
		if (end == begin) {
			break;
		}
		rest = behind_data(path, begin, end);
		if (rest) {
			*ret = (struct place){
				.dir = fl_format("%.*s" DATA, (int)begin, path),
				.rest = rest,
				.is_data = true,
			};
			return;
		}
	}
	*ret = (struct place){
		.dir = slash ? fl_strndup(path, slash == path ? 1 : (size_t)(slash - path))
			     : fl_strdup("."),
		.rest = fl_strdup(slash ? (slash[1] ? slash + 1 : ".") : path),
	};
}

static void place_done(struct place *place)
{
	free(place->dir);
	free(place->rest);
}

bool fl_files_is_atomic(const char *path)
{
	struct place place;

	locate(path, &place);
	place_done(&place);
	return place.is_data;
}

/* The handle of a directory, opened at the first call for it. The pointer is valid until the next call. */
static const struct handle *handle_of(struct handles *handles, const struct place *place)
{
	struct handle *handle;

	for (size_t i = 0; i < handles->count; i++) {
		if (strcmp(handles->items[i].dir, place->dir) == 0) {
			return &handles->items[i];
		}
	}
	handles->items = fl_grow(handles->items, handles->count + 1, sizeof(*handles->items));
	handle = &handles->items[handles->count++];
	*handle = (struct handle){
		.dir = fl_strdup(place->dir),
		.fd = open(place->dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
	};
	handle->error = handle->fd < 0 ? errno : 0;
	return handle;
}

static void handles_done(struct handles *handles)
{
	for (size_t i = 0; i < handles->count; i++) {
		if (handles->items[i].fd >= 0) {
			(void)close(handles->items[i].fd);
		}
		free(handles->items[i].dir);
	}
	free(handles->items);
}

/* Does the path now lead to a directory other than the one that we opened? */
static bool is_stale(const struct handle *handle)
{
	struct stat opened, current;

	return fstat(handle->fd, &opened) < 0 || stat(handle->dir, &current) < 0 ||
	       opened.st_dev != current.st_dev || opened.st_ino != current.st_ino;
}

/* --- one file ----------------------------------------------------------------------------------- */

static const char *kind_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	case S_IFCHR:
	case S_IFBLK:
		return "a device";
	default:
		return "something else";
	}
}

static enum outcome check_kind(const struct fl_files_request *request, const struct stat *st,
			       struct fl_findings *findings)
{
	if (!S_ISREG(st->st_mode)) {
		return fail(
			findings, request->path,
			fl_format("it is %s: put a regular file there", kind_name(st->st_mode)));
	}
	if (st->st_size > FL_SOURCE_FILE_MAX) {
		return fail(findings, request->path,
			    fl_format("it has %lld bytes, the maximum is %d: is it the right file?",
				      (long long)st->st_size, FL_SOURCE_FILE_MAX));
	}
	return DONE;
}

static bool is_our_group(gid_t gid)
{
	gid_t groups[256];
	int count = getgroups((int)FL_COUNT_OF(groups), groups);

	for (int i = 0; i < count; i++) {
		if (groups[i] == gid) {
			return true;
		}
	}
	return gid == getegid();
}

/* By owner, group and mode alone; root has no capability. */
static bool mode_lets_us_read(const struct stat *st)
{
	mode_t ours = is_our_group(st->st_gid) ? S_IRGRP : S_IROTH;

	return (st->st_mode & (st->st_uid == geteuid() ? S_IRUSR : ours)) != 0;
}

static enum outcome fail_unreadable(const struct fl_files_request *request, const struct stat *st,
				    struct fl_findings *findings)
{
	if (mode_lets_us_read(st)) {
		return fail(findings, request->path,
			    fl_strdup("its mode lets us read it, but the system does not: the "
				      "sandbox of a running agent allows the folders that the INI "
				      "named when it started, so restart the agent; otherwise look "
				      "for a security module such as SELinux"));
	}
	return fail(
		findings, request->path,
		fl_format(
			"uid %u (gid %u) may not read it: it belongs to %u:%u and has mode %04o; in "
			"Kubernetes set the container's securityContext.runAsGroup to %u and the "
			"volume's defaultMode to 0440, elsewhere allow the group to read it",
			(unsigned)geteuid(), (unsigned)getegid(), (unsigned)st->st_uid,
			(unsigned)st->st_gid, (unsigned)(st->st_mode & 07777),
			(unsigned)st->st_gid));
}

static enum outcome fail_open(const struct fl_files_request *request, const struct handle *handle,
			      int error, struct fl_findings *findings)
{
	if (error == EACCES) {
		return fail(
			findings, request->path,
			fl_format(
				"uid %u (gid %u) may not search its directory %s; in Kubernetes set "
				"the container's securityContext.runAsGroup to 0",
				(unsigned)geteuid(), (unsigned)getegid(), handle->dir));
	}
	if (error == ENOENT) {
		return fail(
			findings, request->path,
			fl_strdup(
				handle->fd < 0
					? "it does not exist, nor does its directory: is the volume "
					  "mounted there?"
				: request->is_ini
					? "it does not exist: does the ConfigMap have this key, and "
					  "does -c FILE name the INI?"
					: "it does not exist: does the Secret have this key, and is "
					  "the path right?"));
	}
	return fail_sys(findings, request->path, error, "it cannot be opened");
}

/* Kubernetes mounts a key readable by our own group (mode 0440, runAsGroup 0 or fsGroup): that is no finding. */
static void judge_mode(const struct fl_files_request *request, const struct stat *st,
		       struct fl_findings *findings)
{
	unsigned mode = st->st_mode & 07777;

	if (mode & S_IWOTH) {
		fl_findings_add(findings, false, request->path,
				fl_format("everyone may write to it (mode %04o): chmod o-w", mode));
	}
	if (!request->is_secret) {
		return;
	}
	if (mode & S_IROTH) {
		fl_findings_add(
			findings, false, request->path,
			fl_format("everyone may read the private key (mode %04o): chmod o-r, or in "
				  "Kubernetes the volume's defaultMode 0440 with the "
				  "container's runAsGroup: 0",
				  mode));
	} else if ((mode & S_IRGRP) && !is_our_group(st->st_gid)) {
		fl_findings_add(
			findings, false, request->path,
			fl_format("group %u may read the private key (mode %04o), and this process "
				  "is not in that group: chmod g-r, or chgrp",
				  (unsigned)st->st_gid, mode));
	}
}

/* Reads an open file of st->st_size bytes; AGAIN if it changes meanwhile. */
static enum outcome slurp(const struct fl_files_request *request, int fd, const struct stat *st,
			  struct fl_findings *findings)
{
	size_t size = (size_t)st->st_size, len = 0;
	/* One byte more than there should be, to see the end, and one for NUL. */
	char *data = fl_new(size + 2);
	struct stat after;
	ssize_t n = 1;

	while (n > 0 && len <= size) {
		n = read(fd, data + len, size + 1 - len);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0) {
		int error = errno;

		fl_wipe_free(data, size + 2);
		return fail_sys(findings, request->path, error, "it cannot be read");
	}
	if (len != size || fstat(fd, &after) < 0 || after.st_size != st->st_size ||
	    after.st_mtim.tv_sec != st->st_mtim.tv_sec ||
	    after.st_mtim.tv_nsec != st->st_mtim.tv_nsec) {
		fl_wipe_free(data, size + 2);
		return AGAIN;
	}
	*request->ret = (struct fl_source_file){.data = data, .len = size};
	return DONE;
}

/* Is the file that fd and path name, as for statx(), itself a mount? */
static bool is_mount(int fd, const char *path, int flags)
{
	struct statx st;

	return statx(fd, path, flags | AT_NO_AUTOMOUNT, 0, &st) == 0 && S_ISREG(st.stx_mode) &&
	       (st.stx_attributes & st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool fl_source_is_mount(const char *path)
{
	return is_mount(AT_FDCWD, path, 0);
}

static void judge_mount(const struct fl_files_request *request, int fd,
			struct fl_findings *findings)
{
	if (is_mount(fd, "", AT_EMPTY_PATH)) {
		fl_findings_add(findings, false, request->path, fl_strdup(FL_SOURCE_MOUNT_TEXT));
	}
}

static enum outcome read_at(const struct fl_files_request *request, const struct handle *handle,
			    const char *rest, struct fl_findings *findings)
{
	struct stat st;
	enum outcome outcome;
	int fd, error;

	/* Opening a device may have effects, and opening a FIFO may block: check first. */
	if (fstatat(handle->fd, rest, &st, 0) < 0) {
		error = errno;
		return is_stale(handle) ? AGAIN : fail_open(request, handle, error, findings);
	}
	outcome = check_kind(request, &st, findings);
	if (outcome != DONE) {
		return outcome;
	}
	fd = openat(handle->fd, rest, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		error = errno;
		if (is_stale(handle)) {
			return AGAIN;
		}
		return error == EACCES ? fail_unreadable(request, &st, findings)
				       : fail_open(request, handle, error, findings);
	}
	if (fstat(fd, &st) < 0) {
		outcome = fail_sys(findings, request->path, errno, "it cannot be read");
	} else {
		outcome = check_kind(request, &st, findings);
	}
	if (outcome == DONE) {
		outcome = slurp(request, fd, &st, findings);
	}
	if (outcome == DONE) {
		judge_mode(request, &st, findings);
		judge_mount(request, fd, findings);
	}
	(void)close(fd);
	return outcome;
}

static enum outcome read_one(const struct fl_files_request *request, struct handles *handles,
			     struct fl_findings *findings)
{
	const struct handle *handle;
	enum outcome outcome;
	struct place place;

	locate(request->path, &place);
	handle = handle_of(handles, &place);
	if (handle->fd >= 0) {
		outcome = read_at(request, handle, place.rest, findings);
	} else if (place.is_data && handle->error == ENOENT) {
		/* The link was there a moment ago, but the directory that it named is gone: a swap. */
		outcome = AGAIN;
	} else {
		outcome = fail_open(request, handle, handle->error, findings);
	}
	place_done(&place);
	return outcome;
}

/* --- all files ---------------------------------------------------------------------------------- */

void fl_source_file_done(struct fl_source_file *file)
{
	fl_wipe_free(file->data, file->len + 1);
	*file = (struct fl_source_file){0};
}

static enum outcome attempt(const struct fl_files_request *requests, size_t count,
			    struct fl_findings *findings)
{
	struct handles handles = {0};
	enum outcome all = DONE;

	for (size_t i = 0; i < count && all != AGAIN; i++) {
		if (requests[i].path) {
			enum outcome one = read_one(&requests[i], &handles, findings);

			all = one == DONE ? all : one;
		}
	}
	handles_done(&handles);
	return all;
}

/* One attempt. Nothing is left of it if it has to be made again. */
static enum outcome try_once(const struct fl_files_request *requests, size_t count,
			     struct fl_findings *findings)
{
	struct fl_findings found = {0};
	enum outcome outcome = attempt(requests, count, &found);

	if (outcome == AGAIN) {
		fl_findings_done(&found);
		for (size_t r = 0; r < count; r++) {
			fl_source_file_done(requests[r].ret);
		}
		return AGAIN;
	}
	for (size_t f = 0; f < found.count; f++) {
		fl_findings_add(findings, found.items[f].is_error, found.items[f].path,
				found.items[f].text);
	}
	free(found.items);
	return outcome;
}

static void pause_before_next(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = ATTEMPT_PAUSE_NS}, NULL);
}

/* path: NULL: of several. */
static void fail_restless(struct fl_findings *findings, const char *path)
{
	fl_findings_add(findings, true, path,
			fl_format("%s kept changing while %s read, or a link `" DATA
				  "` leads nowhere: stop writing to %s, or repair the link",
				  path != NULL ? "it" : "the files",
				  path != NULL ? "it was" : "they were",
				  path != NULL ? "it" : "them"));
}

bool fl_files_read(const struct fl_files_request *requests, size_t count,
		   struct fl_findings *findings)
{
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		enum outcome outcome = try_once(requests, count, findings);

		if (outcome != AGAIN) {
			return outcome == DONE;
		}
		pause_before_next();
	}
	fail_restless(findings, NULL);
	return false;
}

void fl_files_read_each(const struct fl_files_request *requests, size_t count,
			struct fl_findings *findings)
{
	bool *is_due = fl_new((count + 1) * sizeof(*is_due));
	size_t due = count;

	memset(is_due, true, count);
	for (int i = 0; i < ATTEMPTS_MAX && due > 0; i++) {
		if (i > 0) {
			pause_before_next();
		}
		for (size_t r = 0; r < count; r++) {
			if (is_due[r] && try_once(&requests[r], 1, findings) != AGAIN) {
				is_due[r] = false;
				due--;
			}
		}
	}
	for (size_t r = 0; r < count; r++) {
		if (is_due[r]) {
			fail_restless(findings, requests[r].path);
		}
	}
	free(is_due);
}
