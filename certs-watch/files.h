/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_FILES_H
#define FL_CERTS_WATCH_FILES_H
/* files - reads a list of mounted files as of one moment, for source.h and for files that belong to a set but are not
 * credentials (the agent's INI). Blocking; thread: any. */
#include <stdbool.h>
#include <stddef.h>

#include "certs-watch/findings.h"

#define FL_SOURCE_FILE_MAX (1024 * 1024) /* bytes of one file */

/* The bytes of a file. All zero: no file. */
struct fl_source_file {
	char *data; /* NUL-terminated; NULL: the source names no such file */
	size_t len; /* without the NUL */
};

struct fl_files_request {
	const char *path;           /* borrowed; NULL: nothing to read */
	bool is_secret;             /* holds a private key: its permissions are checked */
	bool is_ini;                /* comes from a ConfigMap, not from a Secret */
	struct fl_source_file *ret; /* unchanged when the file cannot be read */
};

/* Reads all of them, and adds a finding for each file that cannot be read. True: every file was read. False: some may have
 * been read; they belong to the caller. A finding's path is the request's pointer. */
bool fl_files_read(const struct fl_files_request *requests, size_t count,
		   struct fl_findings *findings);

/* Reads each of them for itself, as of its own moment: none of them costs another. Together they are tried no longer than those
 * of one fl_files_read(). */
void fl_files_read_each(const struct fl_files_request *requests, size_t count,
			struct fl_findings *findings);

/* Does the path lead through `..data`, so that the file is swapped as a whole and never half written? */
bool fl_files_is_atomic(const char *path);

/* Is the file itself a mount (a subPath of Kubernetes, a single file bound into a container)? Such a file never changes.
 * fl_files_read() warns with this text. */
bool fl_source_is_mount(const char *path);
#define FL_SOURCE_MOUNT_TEXT                                                                       \
	"it is itself a mount (subPath, or a single file bound into a container), so it never "    \
	"changes and renewals do not arrive: mount the whole volume as a directory"

/* Wipes and frees. */
void fl_source_file_done(struct fl_source_file *file);

#endif
