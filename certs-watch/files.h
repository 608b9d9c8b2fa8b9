/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_FILES_H
#define FL_CERTS_WATCH_FILES_H
/* files - reads a list of mounted files as of one moment, for source.h and for files that belong to a set but are not
 * credentials (the agent's INI). Blocking; thread: any. */
#include "certs-watch/source.h"

struct fl_files_request {
	const char *path;           /* borrowed; NULL: nothing to read */
	bool is_secret;             /* holds a private key: its permissions are checked */
	struct fl_source_file *ret; /* unchanged when the file cannot be read */
};

/* Reads all of them, and adds a finding for each file that cannot be read. True: every file was read. False: some may have
 * been read; they belong to the caller. A finding's path is the request's pointer. */
bool fl_files_read(const struct fl_files_request *requests, size_t count,
		   struct fl_findings *findings);

/* Does the path lead through `..data`, so that the file is swapped as a whole and never half written? */
bool fl_files_is_atomic(const char *path);

/* Takes over text; path is borrowed. */
void fl_findings_add(struct fl_findings *findings, bool is_error, const char *path, char *text);

/* Wipes and frees; all zero is fine. */
void fl_source_file_done(struct fl_source_file *file);

#endif
