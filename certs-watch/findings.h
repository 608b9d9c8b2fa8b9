/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_FINDINGS_H
#define FL_CERTS_WATCH_FINDINGS_H
/* findings - what is wrong with a set of files, or may go wrong with it. Plain storage, which begins as {0}; thread: any. Out of
 * memory ends the process (base/mem.h). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pki/digest.h"

/* Problems of a set. Free with fl_findings_done(). An error refuses the set; a warning does not (for example, a key that
 * everybody may read). */
struct fl_finding {
	bool is_error;
	const char *path; /* that pointer of the source, or NULL: the set as a whole */
	char *text;       /* one sentence with the remedy; owned */
};
struct fl_findings {
	struct fl_finding *items;
	size_t count;  /* of items, in the order in which they were found */
	size_t errors; /* how many of them refuse it */
	/* Of the files' bytes, and of the reasons why files could not be read: the same files give the same digest. */
	uint8_t digest[FL_DIGEST_LEN];
	/* All files came through `..data`, so none of them was half written. If false, a refused set may be half written, and a
	 * further change may complete it. */
	bool is_atomic;
	/* A bundle is empty, or a federated one is refused: it may be half written, unless is_atomic. */
	bool trusts_nobody;
};

/* Takes over text; path is borrowed. */
void fl_findings_add(struct fl_findings *findings, bool is_error, const char *path, char *text);
void fl_findings_done(struct fl_findings *findings);

#endif
