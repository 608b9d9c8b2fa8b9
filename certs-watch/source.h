/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_SOURCE_H
#define FL_CERTS_WATCH_SOURCE_H
/* source - mounted files -> one consistent, validated set of credentials.
 *
 * Knows files and credentials, and nothing of proxies, sockets or policies. Files of one directory are read
 * through one directory handle: if Kubernetes' `..data` link is present, all files come from the one directory that it leads
 * to, so a swap in between never mixes two sets; each federated bundle is read for itself. The size of a file is bounded; keys are wiped.
 *
 * certs-watch can be used on its own, through this header (which includes files.h and findings.h) and watch.h: see
 * certs-watch/example.c. trail.h is internal. Call fl_tls_global_init() (tls/tls.h) once per process before anything here.
 *
 * Thread: any. Blocks while it reads and checks, for a few milliseconds; a tenth of a second more while own files keep
 * changing, and again while federated ones do. Out of memory ends the process (base/mem.h). */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "certs-watch/files.h"
#include "certs-watch/findings.h"
#include "pki/credential_files.h"
#include "pki/credentials.h"
#include "tls/tls.h"

/* The files of a set: either cert and key, or credential_bundle (PEM: the key first, then the chain); and bundle. The rest is
 * optional: NULL or zero. Everything is borrowed for the call; the paths for as long as findings name them. */
struct fl_source {
	/* The paths cert, key, credential_bundle, bundle and crl. */
#define FL_SOURCE_PATH(name, is_secret) const char *name;
	FL_CREDENTIAL_FILES(FL_SOURCE_PATH)
#undef FL_SOURCE_PATH
	struct fl_late_crls late; /* CRLs of the set in force: accepted even if expired */
	struct fl_source_foreign {
		const char *trust_domain; /* "partner.example" */
		const char *bundle;       /* the roots that vouch for it, and for nothing else */
		bool shared_root;         /* the bundle may contain a root of another domain */
	} const *foreign;
	size_t foreign_count;
	/* Paths may be missing that a set must have: such a set is refused, but that is no finding. For who looks at the files that an
	 * incomplete configuration names. */
	bool may_lack_files;
};

/* The files' bytes (PEM), for a caller that passes them on. Wiped and freed by fl_source_files_done(). */
struct fl_source_files {
	/* By the names of struct fl_source. */
#define FL_SOURCE_FILE(name, is_secret) struct fl_source_file name;
	FL_CREDENTIAL_FILES(FL_SOURCE_FILE)
#undef FL_SOURCE_FILE
	struct fl_source_file *foreign; /* parallel to fl_source.foreign */
	size_t foreign_count;
};

/* Reads a candidate, parses and judges it (pki/credentials.h), and tries it in a handshake with itself in memory, with the
 * groups and ciphers of tls. now: seconds since the epoch, for the dates of certificates and CRLs. A problem of a federated
 * bundle is a warning: no peer of its domain is trusted then, nor if the bundle is empty (only blanks and comments).
 * Returns 0: the caller owns ret_credentials (fl_credentials_free()) and ret_files (fl_source_files_done()). Returns
 * FL_ERR_INVALID: refused; the two are untouched, and no key is left in memory. findings is written in both cases, and
 * belongs to the caller; it has every problem that could be found at once. */
int fl_source_load(const struct fl_source *source, const struct fl_tls_options *tls, int64_t now,
		   struct fl_credentials **ret_credentials, struct fl_source_files *ret_files,
		   struct fl_findings *findings) FL_MUST_USE;
void fl_source_files_done(struct fl_source_files *files);

/* Compares a new good set with the one before it, and adds a warning for each way in which peers that have not changed yet may
 * fail: a root is gone under which our own chain was issued until now, or our new chain needs a root that the old bundle did
 * not have. Adds a warning, too, if a CRL is older than the previous one of the same CA. source gives the names of the files.
 * The keys of both may be wiped already (fl_der_wipe()): keep the set in force without its key, to compare with. */
void fl_source_judge_change(const struct fl_source *source, const struct fl_credentials *before,
			    const struct fl_credentials *after, struct fl_findings *findings);

/* Adds a warning for each CRL of a good set that has expired, either while the set was in force, or because
 * fl_source_load() was told to accept that very list again (`late`). */
void fl_source_judge_crls(const struct fl_source *source, const struct fl_credentials *credentials,
			  int64_t now, struct fl_findings *findings);

/* Adds a warning for each bundle of a good set in which roots have expired since it was loaded. */
void fl_source_judge_roots(const struct fl_source *source, const struct fl_credentials *credentials,
			   int64_t now, struct fl_findings *findings);

#endif
