/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_CANDIDATE_H
#define FL_AGENT_COMMON_CANDIDATE_H
/* candidate - makes a generation of the INI and the files that it names, ready to be sent.
 *
 * Reads and judges files through certs-watch (blocks, bounded). Main thread. */
#include "certs-watch/source.h"
#include "conf/conf.h"

struct fl_candidate {
	struct fl_credentials *credentials; /* NULL when refused */
	struct fl_source_files files;       /* PEM as read; holds the key */
	struct fl_findings findings;        /* paths borrowed from the conf */
};

/* Reads and judges what [identity] and [federate] name. Errors: FL_ERR_INVALID, it is refused; ret->findings are filled
 * in either way, so call fl_candidate_done() either way. conf must outlive ret; late is borrowed for the call. */
int fl_candidate_load(const struct fl_conf *conf, int64_t now, const struct fl_late_crls *late,
		      struct fl_candidate *ret) FL_MUST_USE;
void fl_candidate_done(struct fl_candidate *candidate); /* wipes */

/* The same for an INI that is refused (conf/conf.h, lenient): what can be said of the files that it names rightly. What it does not
 * name, or wrongly, is the INI's fault, and no finding. ret->credentials: NULL unless all of them are good. Never put them in force. */
void fl_candidate_judge_doubtful(const struct fl_conf *conf, int64_t now, struct fl_candidate *ret);

/* What certs-watch has to read for conf: the paths are borrowed from it. End it with fl_candidate_source_done(). */
void fl_candidate_source(const struct fl_conf *conf, struct fl_source *ret);
void fl_candidate_source_done(struct fl_source *source);

/* The files that [identity] and [federate] may name, each by its index: the path (NULL: it is not set) and the line of the
 * INI that names it. */
size_t fl_candidate_file_count(const struct fl_conf *conf);
const char *fl_candidate_file(const struct fl_conf *conf, size_t index, fl_conf_line *ret_line);

/* The line of the INI that names path; 0 for NULL, or for a path that it does not name. */
fl_conf_line fl_candidate_line(const struct fl_conf *conf, const char *path);

/* Encodes an accepted candidate as a frame (ctl/message.h) with the number 1, and computes the digest of its content:
 * credentials and INI. The frame has the private key only with `[tls] key = sidecar`. Of the other files it has what was parsed
 * and is used, not their bytes. The caller wipes and frees ret_frame. Errors: FL_ERR_LIMIT, too large for one frame;
 * FL_ERR_NOMEM. */
int fl_candidate_encode(const struct fl_candidate *candidate, const struct fl_conf *conf,
			struct fl_span ini, uint8_t **ret_frame, size_t *ret_len,
			uint8_t ret_digest[FL_DIGEST_LEN], struct fl_err *err) FL_MUST_USE;

/* Now, in seconds since the epoch. */
int64_t fl_candidate_now(void);

#endif
