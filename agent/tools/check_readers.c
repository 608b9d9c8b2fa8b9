/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check_readers - goes to each file component by component, and through each link, as the kernel does. What is shut to somebody is
 * listed once, by its inode, however many files lie behind it. */
#include "agent/tools/check_readers.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/common/candidate.h"
#include "agent/common/stdin_file.h"
#include "base/mem.h"

#define LINKS_MAX 40 /* on the way to one file, as the kernel's */

enum { AGENT = 1, SIDECAR = 2 };

/* A file that somebody cannot read, or a folder that somebody cannot search. */
struct shut {
	char *path; /* owned */
	struct stat st;
	unsigned to;       /* AGENT, SIDECAR or both */
	fl_conf_line line; /* that names it, or the first file behind it */
	bool is_secret;
};

struct readers {
	uid_t agent, sidecar; /* 0: may read everything */
	struct shut *shut;
	size_t count;
};

struct way {
	struct readers *readers;
	const char *path; /* as it was given */
	fl_conf_line line;
	unsigned whom; /* who has to read the file */
	bool is_secret;
	unsigned links; /* followed so far */
};

static bool is_shut_to(const struct stat *st, uid_t uid)
{
	bool is_folder = S_ISDIR(st->st_mode);
	mode_t owner = is_folder ? S_IXUSR : S_IRUSR;
	mode_t others = is_folder ? S_IXGRP | S_IXOTH : S_IRGRP | S_IROTH;

	return uid != 0 && (st->st_mode & (st->st_uid == uid ? owner : others)) == 0;
}

static struct shut *listed(const struct readers *readers, const struct stat *st)
{
	for (size_t i = 0; i < readers->count; i++) {
		struct shut *shut = &readers->shut[i];

		if (shut->st.st_dev == st->st_dev && shut->st.st_ino == st->st_ino) {
			return shut;
		}
	}
	return NULL;
}

static void examine(const struct way *way, const char *path, const struct stat *st)
{
	struct readers *readers = way->readers;
	unsigned to = (is_shut_to(st, readers->agent) ? AGENT : 0u) |
		      (is_shut_to(st, readers->sidecar) ? SIDECAR : 0u);
	struct shut *known;

	to &= way->whom;
	if (to == 0) {
		return;
	}
	known = listed(readers, st);
	if (known != NULL) {
		known->to |= to;
		return;
	}
	readers->shut = fl_grow(readers->shut, readers->count + 1, sizeof(*readers->shut));
	readers->shut[readers->count++] = (struct shut){.path = fl_strdup(path),
							.st = *st,
							.to = to,
							.line = way->line,
							.is_secret = way->is_secret};
}

static bool step(struct way *way, const char *path);

/* path: absolute. Ends where there is nothing, which other checks report. */
static void go(struct way *way, const char *path)
{
	size_t end = 0;
	bool goes_on = step(way, "/");

	while (goes_on && path[end] != '\0') {
		char *part;

		end += strspn(path + end, "/");
		end += strcspn(path + end, "/");
		part = fl_strndup(path, end);
		goes_on = step(way, part);
		free(part);
	}
}

static bool follow(struct way *way, const char *link)
{
	size_t folder = (size_t)(strrchr(link, '/') + 1 - link);
	char target[PATH_MAX], *joined;
	ssize_t len = readlink(link, target, sizeof(target) - 1);

	if (len < 0 || ++way->links > LINKS_MAX) {
		return false;
	}
	target[len] = '\0';
	joined = fl_format("%.*s%s", target[0] == '/' ? 0 : (int)folder, link, target);
	go(way, joined);
	free(joined);
	return true;
}

/* path: the way up to one of its components. */
static bool step(struct way *way, const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		return false;
	}
	if (S_ISLNK(st.st_mode)) {
		return follow(way, path);
	}
	if (S_ISDIR(st.st_mode)) {
		examine(way, path, &st);
	} else if (S_ISREG(st.st_mode)) {
		examine(way, way->path, &st);
	}
	return true;
}

/* --- which files ------------------------------------------------------------------------------ */

static void check_ini(struct readers *readers, const char *path)
{
	struct way way = {.readers = readers, .path = path, .whom = AGENT | SIDECAR};
	char *here = path[0] != '/' ? getcwd(NULL, 0) : NULL;
	char *whole = fl_format("%s%s%s", here != NULL ? here : "", here != NULL ? "/" : "", path);

	if (whole[0] == '/') {
		go(&way, whole);
	}
	free(whole);
	free(here);
}

static void check_named(struct readers *readers, const struct fl_conf *conf)
{
#define IS_SECRET(name, is_secret) is_secret,
	static const bool secrets[] = {FL_CREDENTIAL_FILES(IS_SECRET)};
#undef IS_SECRET

	for (size_t i = 0; i < fl_candidate_file_count(conf) && readers->count < FL_PROBLEMS_ENOUGH;
	     i++) {
		struct way way = {.readers = readers,
				  .whom = AGENT,
				  .is_secret = i < FL_COUNT_OF(secrets) && secrets[i]};

		way.path = fl_candidate_file(conf, i, &way.line);
		if (way.path != NULL) {
			go(&way, way.path);
		}
	}
}

/* --- telling ---------------------------------------------------------------------------------- */

static char *who_cannot(const struct readers *readers, const struct shut *shut)
{
	const char *does = S_ISDIR(shut->st.st_mode) ? "search" : "read";

	return shut->to == (AGENT | SIDECAR)
		       ? fl_format("agent and sidecar cannot %s it as uid %u and %u", does,
				   (unsigned)readers->agent, (unsigned)readers->sidecar)
		       : fl_format(
				 "the %s cannot %s it as uid %u",
				 shut->to == AGENT ? "agent" : "sidecar", does,
				 (unsigned)(shut->to == AGENT ? readers->agent : readers->sidecar));
}

static char *remedy_for(const struct readers *readers, const struct shut *shut)
{
	if (S_ISDIR(shut->st.st_mode)) {
		return fl_strdup(
			"give its group or others the right to search it (chmod g+x, o+x)");
	}
	/* Only the agent reads those. */
	return shut->is_secret ? fl_format("chown it to %u, give its group the right to read it",
					   (unsigned)readers->agent)
			       : fl_strdup("give its group or others the right to read it (chmod "
					   "g+r, o+r)");
}

static void tell(const struct readers *readers, const struct shut *shut,
		 struct fl_problems *problems)
{
	char *who = who_cannot(readers, shut), *remedy = remedy_for(readers, shut);

	fl_problem_warning(problems, shut->line,
			   "%s%s belongs to uid %u and has mode %04o, so %s: %s, or correct %s",
			   S_ISDIR(shut->st.st_mode) ? "the folder " : "", shut->path,
			   (unsigned)shut->st.st_uid, (unsigned)shut->st.st_mode & 07777u, who,
			   remedy,
			   shut->to == AGENT     ? "`[agent] uid`"
			   : shut->to == SIDECAR ? "`[agent] sidecar_uid`"
						 : "`uid` and `sidecar_uid` in [agent]");
	free(who);
	free(remedy);
}

void fl_check_readers(const struct fl_conf *conf, const char *ini_path,
		      struct fl_problems *problems)
{
	struct readers readers = {.agent = conf->agent.uid, .sidecar = conf->agent.sidecar_uid};

	/* With a sidecar that is root, the agent may be root, too, whatever its uid in the INI. */
	if (geteuid() != 0 || readers.sidecar == 0) {
		return;
	}
	if (!fl_stdin_is(ini_path)) {
		check_ini(&readers, ini_path);
	}
	check_named(&readers, conf);
	for (size_t i = 0; i < readers.count; i++) {
		tell(&readers, &readers.shut[i], problems);
		free(readers.shut[i].path);
	}
	free(readers.shut);
}
