/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_SOURCE_H
#define FL_CERTS_WATCH_SOURCE_H
/* source - mounted files -> one consistent, validated set of credentials.
 *
 * Knows files and credentials, and nothing of proxies, sockets or policies. Files of one directory are read
 * through one directory handle: where Kubernetes' `..data` link is present, all of them come from one resolved target, so that a
 * swap in between is never seen half. Each file is bounded; keys are wiped. Thread: any, blocking reads. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "pki/credentials.h"
#include "tls/tls.h"

#define FL_SOURCE_FILE_MAX (1024 * 1024) /* bytes of one file */

/* Paths are borrowed for the call. cert and key, or credential_bundle; the rest NULL. */
struct fl_source {
	const char *cert, *key, *credential_bundle, *bundle;
	const char *crl; /* NULL: there is none */
	struct fl_late_crls late;
	struct fl_source_foreign {
		const char *trust_domain;
		const char *bundle;
	} const *foreign;
	size_t foreign_count;
};

/* What was read, as PEM; owned, wiped by fl_source_files_done(). The agent forwards exactly this. */
struct fl_source_file {
	char *data; /* NUL-terminated */
	size_t len;
};
struct fl_source_files {
	struct fl_source_file cert, key, credential_bundle, bundle, crl;
	struct fl_source_file *foreign; /* parallel to fl_source.foreign */
	size_t foreign_count;
};

/* Findings: an error refuses the candidate, a warning does not (a world-readable key). */
struct fl_finding {
	bool is_error;
	const char *path; /* borrowed from the source, NULL: the set as a whole */
	char *text;       /* one sentence with the remedy; owned */
};
struct fl_findings {
	struct fl_finding *items;
	size_t count, errors;
	/* Of what was read, or could not be: the same files later, the same digest, whatever the verdict. */
	uint8_t digest[FL_DIGEST_LEN];
	bool is_atomic;     /* all files came through `..data`: none of them was being written */
	bool trusts_nobody; /* some bundle is empty; as good as written half, unless is_atomic */
};
void fl_findings_done(struct fl_findings *findings);

/* Reads, parses, judges and tries (handshake in memory) a candidate. now: seconds since the epoch.
 * An empty bundle (blanks and comments only) means that nobody of its domain is trusted; with our own there
 * is nobody to try the credentials on, and a warning says so.
 * Returns FL_ERR_INVALID when refused; findings has every problem that could be found at once.
 * On success ret_credentials and ret_files are the caller's; findings always is. */
int fl_source_load(const struct fl_source *source, const struct fl_tls_options *tls, int64_t now,
		   struct fl_credentials **ret_credentials, struct fl_source_files *ret_files,
		   struct fl_findings *findings) FL_MUST_USE;
void fl_source_files_done(struct fl_source_files *files);

/* What going from one good set to the next does to peers that have not come as far: adds warnings where a
 * root is gone that was needed a moment ago, or needed now and unknown a moment ago. The keys of both may
 * be wiped already. */
void fl_source_judge_change(const struct fl_source *source, const struct fl_credentials *before,
			    const struct fl_credentials *after, struct fl_findings *findings);

/* Adds a warning for each CRL of a good set that has run out: what a set may become while it is in force, and what
 * fl_source_load() warns of when the next one has the same list still. */
void fl_source_judge_crls(const struct fl_source *source, const struct fl_credentials *credentials,
			  int64_t now, struct fl_findings *findings);

/* A file that is a mount by itself (a subPath of Kubernetes, a single file bound into a container) shows what
 * it showed at the start, for ever. fl_source_load() warns with this text. */
bool fl_source_is_mount(const char *path);
#define FL_SOURCE_MOUNT_TEXT                                                                        \
	"it is a mount by itself (subPath, or a single file bound into a container), so a renewal " \
	"will never be seen here: mount the whole volume as a directory"

#endif
