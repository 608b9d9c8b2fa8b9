/* SPDX-License-Identifier: GPL-3.0-or-later */
/* parse - from text to struct fl_conf: defaults, settings, checks, policy.
 *
 * Each step goes on after a problem, so that one run shows all problems; without an error the caller gets
 * the result. Otherwise it fails with FL_ERR_INVALID (or FL_ERR_IO for a file that cannot be read,
 * FL_ERR_NOMEM), and problems has the reasons. */
#include "conf/build.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/lint.h"

/* --- the end of a build -------------------------------------------------------------------- */

static void keep_lines(struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

#define KEEP_LINE(name, is_secret)                                                                 \
	conf->identity.name##_line = fl_build_line(build, "identity", NULL, #name);
	FL_CREDENTIAL_FILES(KEEP_LINE)
	conf->outbound.line = fl_build_line(build, "outbound", NULL, "default");
	conf->redirect.line = fl_build_line(build, "redirect", NULL, "");
	conf->sidecar.inbound_stated = fl_build_says(build, "sidecar", NULL, "inbound");
}

/* Keys that a service lacks: [inbound] for a captured port, the defaults for a fixed listener. */
static void inherit_inbound(struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

	for (size_t i = 0; i < conf->service_count; i++) {
		struct fl_conf_service *service = &conf->services[i];
		bool fixed = service->listen.kind != FL_ADDR_NONE;
		struct fl_conf_inbound inbound = fixed ? fl_default_inbound : conf->inbound;

		if (service->name == NULL) {
			continue;
		}
		if (!fl_build_has(build, "service", service->name, "mode")) {
			service->inbound.mode = inbound.mode;
		}
		if (!fl_build_has(build, "service", service->name, "detect_timeout")) {
			service->inbound.detect_timeout_ms = inbound.detect_timeout_ms;
		}
		if (!fl_build_has(build, "service", service->name, "proxy_protocol")) {
			service->inbound.proxy_protocol = inbound.proxy_protocol;
		}
		service->access_stated = fl_build_has(build, "service", service->name, "access");
		if (fixed) {
			service->port = service->listen.port;
		}
	}
}

/* Where the section that begins at this line ends. They are in the order of the file. */
static fl_conf_line end_of(const struct fl_build *build, fl_conf_line begin)
{
	const struct fl_ini_section *sections = build->ini->sections;
	size_t low = 0, high = build->ini->section_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sections[middle].line <= begin) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low < build->ini->section_count ? sections[low].line : UINT_MAX;
}

/* Has an error been reported in the section that begins at this line? Of more errors than are kept, any could be in it. */
static bool is_refused(const struct fl_build *build, fl_conf_line begin)
{
	fl_conf_line end = end_of(build, begin);

	if (build->problems->errors > FL_PROBLEMS_MAX) {
		return true;
	}
	for (size_t i = 0; i < build->problems->count; i++) {
		const struct fl_problem *problem = &build->problems->items[i];

		if (problem->kind == FL_PROBLEM_ERROR && problem->line >= begin &&
		    problem->line < end) {
			return true;
		}
	}
	return false;
}

/* Is there an error in a section of that kind, or in one of a kind that does not exist and may have been meant to be this one? */
static bool is_doubtful(const struct fl_build *build, const char *kind)
{
	for (size_t i = 0; i < build->ini->section_count; i++) {
		const struct fl_ini_section *section = &build->ini->sections[i];

		if ((strcmp(section->kind, kind) == 0 || !fl_build_knows(section->kind)) &&
		    is_refused(build, section->line)) {
			return true;
		}
	}
	return false;
}

static void keep_doubts(struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

	conf->agent.doubtful = is_doubtful(build, "agent");
	for (size_t i = 0; i < conf->federate_count; i++) {
		conf->federate[i].doubtful = is_refused(build, conf->federate[i].line);
	}
}

/* Leaves out the rules that have an error. */
static void make_policy(struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

	conf->policy = fl_policy_new(build->default_effect, build->audit);
	for (size_t i = 0; i < build->rule_count; i++) {
		struct fl_rule_draft *rule = &build->rules[i];
		struct fl_rule_spec spec = {
			.name = rule->name,
			.effect = rule->effect,
			.audit = rule->audit,
			.file = conf->path,
			.line = rule->line,
			.from = rule->is.from,
			.from_count = rule->is.from_count,
			.plaintext = rule->plaintext,
			.ports = rule->is.ports,
			.port_count = rule->is.port_count,
			.services = (const char *const *)rule->is.services,
			.service_count = rule->is.service_count,
			.sources = rule->is.sources,
			.source_count = rule->is.source_count,
			.except =
				{
					.from = rule->except.from,
					.from_count = rule->except.from_count,
					.ports = rule->except.ports,
					.port_count = rule->except.port_count,
					.services = (const char *const *)rule->except.services,
					.service_count = rule->except.service_count,
					.sources = rule->except.sources,
					.source_count = rule->except.source_count,
				},
		};

		if (build->problems->errors > 0 && is_refused(build, rule->line)) {
			continue;
		}
		fl_policy_add(conf->policy, &spec);
		rule->is.from_count = rule->except.from_count =
			0; /* the policy has taken them over */
	}
}

static void warn_of_rule(void *user, unsigned line, const char *text)
{
	struct fl_build *build = user;

	fl_problem_warning(build->problems, line, "%s", text);
}

static void rule_part_done(struct fl_rule_part *part)
{
	for (size_t i = 0; i < part->from_count; i++) {
		fl_pattern_free(part->from[i]);
	}
	for (size_t i = 0; i < part->service_count; i++) {
		free(part->services[i]);
	}
	free(part->from);
	free(part->ports);
	free(part->services);
	free(part->sources);
}

static void build_done(struct fl_build *build)
{
	for (size_t i = 0; i < build->rule_count; i++) {
		rule_part_done(&build->rules[i].is);
		rule_part_done(&build->rules[i].except);
	}
	free(build->rules);
}

static int refuse_size(struct fl_problems *problems, size_t len)
{
	fl_problem_error(problems, 0, "the INI has %zu bytes, the maximum is %d", len,
			 FL_CONF_MAX_SIZE);
	return FL_ERR_INVALID;
}

/* lenient: errors do not keep the conf from being made. */
static int parse(const char *path, const char *text, size_t len, bool lenient, struct fl_conf **ret,
		 struct fl_problems *problems)
{
	struct fl_ini ini;
	struct fl_build build = {.ini = &ini, .problems = problems, .default_effect = FL_DENY};
	size_t before = problems->errors;
	int rc;

	if (len > FL_CONF_MAX_SIZE) {
		return refuse_size(problems, len);
	}
	if (fl_problems_enough(problems)) {
		return FL_ERR_INVALID;
	}
	rc = fl_ini_read(text, len, &ini, problems);
	if (rc != 0) {
		return rc;
	}
	build.conf = fl_build_defaults(path);
	fl_build_settings(&build);
	inherit_inbound(&build);
	if (!fl_problems_enough(problems)) {
		fl_build_check(&build);
	}
	if (problems->errors == before || lenient) {
		keep_lines(&build);
		make_policy(&build);
		fl_policy_lint(build.conf->policy, warn_of_rule, &build);
		if (problems->errors > before) {
			keep_doubts(&build);
		}
		fl_build_tls_names(build.conf);
		fl_conf_drop_unusable(build.conf);
		*ret = build.conf;
	} else {
		fl_conf_free(build.conf);
		rc = FL_ERR_INVALID;
	}
	build_done(&build);
	fl_ini_done(&ini);
	fl_problems_sort(problems);
	return rc;
}

int fl_conf_parse(const char *path, const char *text, size_t len, struct fl_conf **ret,
		  struct fl_problems *problems)
{
	return parse(path, text, len, false, ret, problems);
}

int fl_conf_parse_lenient(const char *path, const char *text, size_t len, struct fl_conf **ret,
			  struct fl_problems *problems)
{
	return parse(path, text, len, true, ret, problems);
}

/* --- loading ------------------------------------------------------------------------------- */

/* Reads at most size bytes; returns how many, or -1 with errno. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, buf + len, size - len);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			return -1;
		}
		if (got == 0) {
			break;
		}
		len += (size_t)got;
	}
	return (ssize_t)len;
}

static int refuse_file(struct fl_problems *problems, const char *what, int sys)
{
	struct fl_err err = {0};
	int rc = fl_err_sys(&err, sys, "%s", what);

	fl_problem_error(problems, 0, "%s", err.text);
	return rc;
}

/* The whole file as a string, to free(). */
static int read_file(const char *path, char **ret_text, size_t *ret_len,
		     struct fl_problems *problems)
{
	/* O_NONBLOCK: a FIFO in this place must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info;
	char *text;
	ssize_t len;
	int sys;

	if (fd < 0 && errno == ENOENT) {
		fl_problem_error(problems, 0, "there is no such file: -c FILE names the INI");
		return FL_ERR_IO;
	}
	if (fd < 0) {
		return refuse_file(problems, "the INI cannot be opened", errno);
	}
	if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
		(void)close(fd);
		fl_problem_error(problems, 0, "the INI is not a regular file");
		return FL_ERR_IO;
	}
	if (info.st_size > FL_CONF_MAX_SIZE) {
		(void)close(fd);
		return refuse_size(problems, (size_t)info.st_size);
	}
	text = fl_new(FL_CONF_MAX_SIZE + 2); /* fl_conf_parse() refuses one byte too many */
	len = read_all(fd, text, FL_CONF_MAX_SIZE + 1);
	sys = errno;
	(void)close(fd);
	if (len < 0) {
		free(text);
		return refuse_file(problems, "the INI cannot be read", sys);
	}
	*ret_text = fl_grow(text, (size_t)len + 1, 1);
	*ret_len = (size_t)len;
	return 0;
}

static int load(const char *path, bool lenient, struct fl_conf **ret, char **ret_text,
		size_t *ret_len, struct fl_problems *problems)
{
	char *text = NULL;
	size_t len = 0;
	int rc = read_file(path, &text, &len, problems);

	if (rc != 0) {
		return rc;
	}
	rc = parse(path, text, len, lenient, ret, problems);
	if (rc == 0 && ret_text != NULL) {
		*ret_text = text;
		*ret_len = len;
	} else {
		free(text);
	}
	return rc;
}

int fl_conf_load(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
		 struct fl_problems *problems)
{
	return load(path, false, ret, ret_text, ret_len, problems);
}

int fl_conf_load_lenient(const char *path, struct fl_conf **ret, char **ret_text, size_t *ret_len,
			 struct fl_problems *problems)
{
	return load(path, true, ret, ret_text, ret_len, problems);
}

int fl_conf_start(const char *path, int fd, const char *program, struct fl_conf **ret,
		  struct fl_log *ret_log)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	int rc = fl_conf_load_lenient(path, &conf, NULL, NULL, &problems);

	fl_log_init(ret_log, fd, conf != NULL ? conf->log.level : FL_LOG_INFO,
		    conf != NULL ? conf->log.format : FL_LOG_JSON, program);
	fl_problems_log(&problems, path, ret_log);
	if (problems.errors > 0) {
		fl_conf_free(conf);
		rc = rc != FL_OK ? rc : FL_ERR_INVALID;
	} else {
		*ret = conf;
	}
	fl_problems_done(&problems);
	return rc;
}
