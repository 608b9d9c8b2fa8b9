/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_SOURCE_H
#define FL_CERTS_WATCH_SOURCE_H
/* source - mounted files -> one consistent, validated set of credentials.
 *
 * Knows files and credentials, and nothing of proxies, sockets or policies. Files of one directory are read
 * through one directory handle: where Kubernetes' `..data` link is present, all of them come from one resolved target, so that a
 * swap in between is never seen half. Each file is bounded; keys are wiped.
 *
 * certs-watch is used by itself through this header and watch.h; certs-watch/example.c shows how. files.h and trail.h are
 * what the two are made of. Before the first call: fl_tls_global_init() (tls/tls.h), once a process.
 *
 * Thread: any. Blocks: for reading, a few milliseconds of arithmetic, and while files change under its
 * hands a tenth of a second. Out of memory ends the process (base/mem.h). */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "pki/credentials.h"
#include "tls/tls.h"

#define FL_SOURCE_FILE_MAX (1024 * 1024) /* bytes of one file */

/* What makes a set. Either cert and key, or credential_bundle (PEM: the key first, then the chain); and bundle. The rest is
 * NULL or zero where there is none. All of it is borrowed for the call, but the paths for as long as findings name them. */
struct fl_source {
	const char *cert; /* PEM: the leaf, then the intermediates */
	const char *key;  /* PEM */
	const char *credential_bundle;
	const char *bundle; /* PEM: the roots of our own trust domain */
	const char *crl;    /* PEM: any number of CRLs */
	struct fl_late_crls
		late; /* which of them may have run out: best, those of the set in force */
	struct fl_source_foreign {
		const char *trust_domain; /* "partner.example" */
		const char *bundle;       /* the roots that vouch for it, and for nothing else */
		bool shared_root;         /* a root of another domain may stand there, too */
	} const *foreign;
	size_t foreign_count;
};

/* What was read, as PEM, byte by byte; for who wants to pass it on. Wiped and freed by fl_source_files_done(). */
struct fl_source_file {
	char *data; /* NUL-terminated; NULL: there was no such path */
	size_t len; /* without the NUL */
};
struct fl_source_files {
	struct fl_source_file cert, key, credential_bundle, bundle, crl;
	struct fl_source_file *foreign; /* parallel to fl_source.foreign */
	size_t foreign_count;
};

/* What there is to say about a set, to be freed with fl_findings_done(): an error refuses it, a warning does not (a key
 * that everybody may read). */
struct fl_finding {
	bool is_error;
	const char *path; /* that pointer of the source, or NULL: the set as a whole */
	char *text;       /* one sentence with the remedy; owned */
};
struct fl_findings {
	struct fl_finding *items;
	size_t count;  /* of items, in the order in which they were found */
	size_t errors; /* of those, the ones that refuse it */
	/* Of what was read, or could not be: the same files later, the same digest, whatever the verdict. */
	uint8_t digest[FL_DIGEST_LEN];
	/* All files came through `..data`: none of them was being written. Else a set that is refused may be written half,
	 * and the writer's next step is a change. */
	bool is_atomic;
	/* Some bundle is empty, or a federated one is refused; as good as written half, unless is_atomic. */
	bool trusts_nobody;
};
void fl_findings_done(struct fl_findings *findings);

/* Reads, parses, judges (pki/credentials.h) and tries (a handshake with themselves in memory, with the groups and ciphers
 * of tls) a candidate. now: seconds since the epoch, which certificates and CRLs are judged by.
 * What is wrong with a federated bundle is a warning: nobody of its domain is trusted then, nor when it is empty (blanks and
 * comments only).
 * Returns 0: ret_credentials (fl_credentials_free()) and ret_files (fl_source_files_done()) are the caller's.
 * Or FL_ERR_INVALID, refused: the two are untouched, and no key is left in memory.
 * findings is written either way, and is the caller's; it has every problem that could be found at once. */
int fl_source_load(const struct fl_source *source, const struct fl_tls_options *tls, int64_t now,
		   struct fl_credentials **ret_credentials, struct fl_source_files *ret_files,
		   struct fl_findings *findings) FL_MUST_USE;
void fl_source_files_done(struct fl_source_files *files);

/* What going from one good set to the next does to peers that have not come as far: adds warnings where a
 * root is gone that was needed a moment ago, or needed now and unknown a moment ago; and where a CRL is older than that of the
 * same CA was. source gives the names of the files.
 * The keys of both may be wiped already (fl_der_wipe()): keep the set in force without its key to compare with. */
void fl_source_judge_change(const struct fl_source *source, const struct fl_credentials *before,
			    const struct fl_credentials *after, struct fl_findings *findings);

/* Adds a warning for each CRL of a good set that has run out: what a set may become while it is in force, and what
 * fl_source_load() warns of when the next one has the same list still. */
void fl_source_judge_crls(const struct fl_source *source, const struct fl_credentials *credentials,
			  int64_t now, struct fl_findings *findings);

/* Adds a warning for each bundle of a good set that has roots which have run out since it was loaded. */
void fl_source_judge_roots(const struct fl_source *source, const struct fl_credentials *credentials,
			   int64_t now, struct fl_findings *findings);

/* A file that is a mount by itself (a subPath of Kubernetes, a single file bound into a container) shows what
 * it showed at the start, for ever. fl_source_load() warns with this text. */
bool fl_source_is_mount(const char *path);
#define FL_SOURCE_MOUNT_TEXT                                                                        \
	"it is a mount by itself (subPath, or a single file bound into a container), so a renewal " \
	"will never be seen here: mount the whole volume as a directory"

#endif
