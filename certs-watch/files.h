/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_FILES_H
#define FL_CERTS_WATCH_FILES_H
/* files - reads a list of mounted files as of one moment, for source.h and for files that belong to a set and are no
 * credentials (the agent's INI). Blocking; thread: any. */
#include "certs-watch/source.h"

struct fl_files_request {
	const char *path;           /* borrowed; NULL: nothing to read */
	bool is_secret;             /* holds a private key: who else may read it matters */
	struct fl_source_file *ret; /* left alone when the file cannot be read */
};

/* Reads all of them, or says why not, file by file: true when every one was read. On false some may have
 * been, and are the caller's. A finding's path is the request's pointer. */
bool fl_files_read(const struct fl_files_request *requests, size_t count,
		   struct fl_findings *findings);

/* Is what the path leads to swapped as a whole, through `..data`? Then it is never half written. */
bool fl_files_is_atomic(const char *path);

/* Takes over text; path is borrowed. */
void fl_findings_add(struct fl_findings *findings, bool is_error, const char *path, char *text);

/* Wipes and frees; all zero is fine. */
void fl_source_file_done(struct fl_source_file *file);

#endif
