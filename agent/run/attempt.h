/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_ATTEMPT_H
#define FL_AGENT_RUN_ATTEMPT_H
/* attempt - the INI and the files that it names, read once as one candidate.
 *
 * Thread: one. Blocks while it reads (bounded, milliseconds). Nothing fails: the attempt records all errors. */
#include "agent/common/candidate.h"
#include "certs-watch/files.h"
#include "certs-watch/watch.h"
#include "conf/conf.h"
#include "conf/problems.h"

/* Owns all of it until fl_attempt_done(). */
struct fl_attempt {
	const char *conf_path; /* borrowed */
	struct fl_source_file ini;
	struct fl_findings ini_findings; /* of reading it */
	struct fl_conf *conf;            /* NULL: the INI is refused */
	struct fl_problems problems;     /* of the INI */
	struct fl_candidate candidate;
	uint8_t ini_digest[FL_DIGEST_LEN];   /* of the INI, or of why it could not be read */
	uint8_t files_digest[FL_DIGEST_LEN]; /* of everything that was read */
	bool is_good;
	bool may_be_torn; /* the files are not swapped as a whole, so a bad one may be half written */
	int64_t now;      /* seconds since the epoch: the time for which it was judged */
};

/* Reads and judges. watch is set to the paths first, so that a change after reading is not missed. in_force: the set of
 * credentials in force, whose CRLs may have expired; NULL if there is none. */
void fl_attempt_begin(struct fl_attempt *attempt, const char *conf_path, struct fl_watch *watch,
		      const struct fl_credentials *in_force);
void fl_attempt_done(struct fl_attempt *attempt);

/* Watches the INI and the files that conf names. */
void fl_attempt_watch(struct fl_watch *watch, const char *conf_path, const struct fl_conf *conf);

#endif
