/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/attempt.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pki/digest.h"

void fl_attempt_watch(struct fl_watch *watch, const char *conf_path, const struct fl_conf *conf)
{
	size_t files = fl_candidate_file_count(conf), count = 0;
	const char **paths = fl_new((1 + files) * sizeof(char *));

	paths[count++] = conf_path;
	for (size_t i = 0; i < files; i++) {
		fl_conf_line line;
		const char *path = fl_candidate_file(conf, i, &line);

		if (path != NULL) {
			paths[count++] = path;
		}
	}
	fl_watch_set(watch, paths, count);
	free(paths);
}

static void digest_ini(struct fl_attempt *attempt)
{
	const char *text = attempt->ini.data;
	size_t len = attempt->ini.len;
	struct fl_span part;

	if (text == NULL && attempt->ini_findings.count > 0) {
		text = attempt->ini_findings.items[0].text;
		len = strlen(text);
	}
	part = (struct fl_span){(const uint8_t *)text, len};
	fl_digest(&part, 1, attempt->ini_digest);
}

void fl_attempt_begin(struct fl_attempt *attempt, const char *conf_path, struct fl_watch *watch,
		      const struct fl_credentials *in_force)
{
	struct fl_files_request request = {.path = conf_path, .is_ini = true, .ret = &attempt->ini};
	struct fl_late_crls late = {.in_force = in_force};
	struct fl_span parts[2];

	*attempt = (struct fl_attempt){.conf_path = conf_path, .now = fl_candidate_now()};
	if (fl_files_read(&request, 1, &attempt->ini_findings) &&
	    fl_conf_parse(conf_path, attempt->ini.data, attempt->ini.len, &attempt->conf,
			  &attempt->problems) == FL_OK) {
		fl_attempt_watch(watch, conf_path, attempt->conf);
		attempt->is_good = fl_candidate_load(attempt->conf, attempt->now, &late,
						     &attempt->candidate) == FL_OK;
	}
	attempt->may_be_torn = attempt->conf == NULL ? !fl_files_is_atomic(conf_path)
						     : !attempt->candidate.findings.is_atomic;
	digest_ini(attempt);
	parts[0] = (struct fl_span){attempt->ini_digest, FL_DIGEST_LEN};
	parts[1] = (struct fl_span){attempt->candidate.findings.digest, FL_DIGEST_LEN};
	fl_digest(parts, FL_COUNT_OF(parts), attempt->files_digest);
}

void fl_attempt_done(struct fl_attempt *attempt)
{
	fl_candidate_done(&attempt->candidate);
	fl_source_file_done(&attempt->ini);
	fl_findings_done(&attempt->ini_findings);
	fl_problems_done(&attempt->problems);
	fl_conf_free(attempt->conf);
}
