/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reload - change -> candidate -> verdict.
 *
 *   the very files that are in force      nothing, and a refusal is over
 *   good                                  the next generation
 *   bad, or trusting nobody, and perhaps  wait: the writer's next step is a change and brings us here
 *     half written                        again, and so does the end of our patience
 *   bad                                   refused: said once, with its first problem as the sentence
 *
 * What is the same is known by a digest of all that was read, not by the verdict, which time alone can
 * change. What is bad at the start is said at once.
 * Nothing here ends the process. */
#include "agent/run/reload.h"

#include <link.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/common/candidate.h"
#include "base/mem.h"
#include "certs-watch/files.h"
#include "certs-watch/watch.h"
#include "ctl/message.h"
#include "pki/digest.h"

#define FIRST_RETRY_MS 1000
#define REFUSED_RETRY_MS 10000
#define TIDY_MS 1000
#define CRL_LOOK_S 3600

struct fl_reload {
	uv_loop_t *loop;
	const char *conf_path;
	struct fl_log *log;
	struct fl_serve *serve;
	struct fl_conf *started; /* what listeners and the like are like */
	struct fl_watch *watch;
	uv_timer_t again, tidy;
	unsigned open_timers;
	struct {
		struct fl_credentials *credentials; /* without key; NULL: nothing is in force yet */
		uint8_t files[FL_DIGEST_LEN], ini[FL_DIGEST_LEN], content[FL_DIGEST_LEN];
	} in_force;
	struct {
		bool is_current; /* the files of now are refused */
		uint8_t files[FL_DIGEST_LEN];
	} refused;
	uint64_t patience_end; /* uv_now(); 0: nothing is waited for */
	uint64_t last_attempt;
	size_t late_crls, late_roots; /* of those in force, so many have run out; it was said */
	char *warnings, *restart_keys, *capture_keys; /* what was said last */
};

/* One candidate. */
struct attempt {
	struct fl_source_file ini;
	struct fl_findings ini_findings; /* of reading it */
	struct fl_conf *conf;            /* NULL: refused */
	struct fl_problems problems;
	struct fl_candidate candidate;
	uint8_t files[FL_DIGEST_LEN]; /* of all that was read */
	bool is_good;
	bool may_be_torn; /* where it is bad: was that file being written? */
	int64_t now;
};

/* --- memory ------------------------------------------------------------------------------------- */

/* Our own code and constants, which the kernel reads again where they are needed. Segments that are
 * writable (data, and what relocation has changed) are left alone. */
static int drop_pages(struct dl_phdr_info *info, size_t size, void *user)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)user;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t to =
			(info->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && from < to) {
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
		}
	}
	return 1; /* the program itself comes first, and the libraries are shared anyway */
}

/* A candidate is by far the largest thing that this process does: without this, a megabyte and a half
 * of its heap and of TLS code would lie idle in every pod. */
static void give_back_memory(void)
{
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(drop_pages, NULL);
}

static void on_tidy(uv_timer_t *timer)
{
	(void)timer;
	give_back_memory();
}

/* At once after a single change, later when one follows the other. */
static void tidy_up(struct fl_reload *reload)
{
	uint64_t now = uv_now(reload->loop);

	if (reload->last_attempt == 0 || now - reload->last_attempt > TIDY_MS) {
		give_back_memory();
	} else {
		FL_REQUIRE(uv_timer_start(&reload->tidy, on_tidy, TIDY_MS, 0) == 0);
	}
	reload->last_attempt = now;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* Watches the INI and what it names. */
static void watch_files(struct fl_reload *reload, const struct fl_conf *conf)
{
	size_t files = fl_candidate_file_count(conf), count = 0;
	const char **paths = fl_new((1 + files) * sizeof(char *));

	paths[count++] = reload->conf_path;
	for (size_t i = 0; i < files; i++) {
		fl_conf_line line;
		const char *path = fl_candidate_file(conf, i, &line);

		if (path != NULL) {
			paths[count++] = path;
		}
	}
	fl_watch_set(reload->watch, paths, count);
	free(paths);
}

static void digest_ini(const struct attempt *attempt, uint8_t ret[FL_DIGEST_LEN])
{
	const char *text = attempt->ini.data;
	size_t len = attempt->ini.len;
	struct fl_span part;

	if (text == NULL && attempt->ini_findings.count > 0) {
		text = attempt->ini_findings.items[0].text;
		len = strlen(text);
	}
	part = (struct fl_span){(const uint8_t *)text, len};
	fl_digest(&part, 1, ret);
}

static void attempt_begin(struct fl_reload *reload, struct attempt *attempt)
{
	struct fl_files_request request = {.path = reload->conf_path, .ret = &attempt->ini};
	struct fl_late_crls late = {.in_force = reload->in_force.credentials};
	struct fl_span parts[2];
	uint8_t ini[FL_DIGEST_LEN];

	*attempt = (struct attempt){.now = fl_candidate_now()};
	/* Watched first, so that nothing is missed that comes after reading. */
	if (fl_files_read(&request, 1, &attempt->ini_findings) &&
	    fl_conf_parse(reload->conf_path, attempt->ini.data, attempt->ini.len, &attempt->conf,
			  &attempt->problems) == FL_OK) {
		watch_files(reload, attempt->conf);
		attempt->is_good = fl_candidate_load(attempt->conf, attempt->now, &late,
						     &attempt->candidate) == FL_OK;
	}
	attempt->may_be_torn = attempt->conf == NULL ? !fl_files_is_atomic(reload->conf_path)
						     : !attempt->candidate.findings.is_atomic;
	digest_ini(attempt, ini);
	parts[0] = (struct fl_span){ini, sizeof(ini)};
	parts[1] = (struct fl_span){attempt->candidate.findings.digest, FL_DIGEST_LEN};
	fl_digest(parts, FL_COUNT_OF(parts), attempt->files);
}

static void attempt_done(struct attempt *attempt)
{
	fl_candidate_done(&attempt->candidate);
	fl_source_file_done(&attempt->ini);
	fl_findings_done(&attempt->ini_findings);
	fl_problems_done(&attempt->problems);
	fl_conf_free(attempt->conf);
}

/* --- saying ------------------------------------------------------------------------------------- */

/* Takes over text; NULL: the first. */
static char *append(char *list, char *text)
{
	char *longer = fl_format("%s%s\n", list != NULL ? list : "", text);

	free(list);
	free(text);
	return longer;
}

static void log_finding(struct fl_reload *reload, const struct fl_finding *finding)
{
	struct fl_line line;

	fl_line_begin(&line, reload->log, FL_LOG_WARN,
		      finding->is_error ? "credentials refused" : "credentials");
	fl_line_str(&line, "file", finding->path);
	fl_line_str(&line, "reason", finding->text);
	fl_line_end(&line);
}

static void log_problem(struct fl_reload *reload, const char *text, fl_conf_line at, bool is_error)
{
	struct fl_line line;

	fl_line_begin(&line, reload->log, FL_LOG_WARN, is_error ? "INI refused" : "INI");
	fl_line_str(&line, "file", reload->conf_path);
	if (at != 0) {
		fl_line_u64(&line, "line", at);
	}
	fl_line_str(&line, "reason", text);
	fl_line_end(&line);
}

/* The first error as a sentence, and how many there are. */
struct errors {
	char *first; /* owned */
	size_t count;
};

/* Takes over sentence. */
static void count_error(struct errors *errors, char *sentence)
{
	if (errors->count++ == 0) {
		errors->first = sentence;
	} else {
		free(sentence);
	}
}

static void log_finding_errors(struct fl_reload *reload, const struct fl_findings *findings,
			       bool is_ini, struct errors *errors)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct fl_finding *finding = &findings->items[i];
		const char *path = finding->path;

		if (!finding->is_error) {
			continue;
		}
		if (is_ini) {
			log_problem(reload, finding->text, 0, true);
		} else {
			log_finding(reload, finding);
		}
		count_error(errors, fl_format("%s%s%s", path != NULL ? path : "",
					      path != NULL ? ": " : "", finding->text));
	}
}

/* Every error is a line. */
static void log_errors(struct fl_reload *reload, const struct attempt *attempt,
		       struct errors *errors)
{
	log_finding_errors(reload, &attempt->ini_findings, true, errors);
	for (size_t i = 0; i < attempt->problems.count; i++) {
		const struct fl_problem *problem = &attempt->problems.items[i];

		if (problem->kind == FL_PROBLEM_ERROR) {
			log_problem(reload, problem->text, problem->line, true);
			count_error(errors, fl_format("%s:%u: %s", reload->conf_path, problem->line,
						      problem->text));
		}
	}
	log_finding_errors(reload, &attempt->candidate.findings, false, errors);
}

/* The warnings of an accepted candidate, unless they are those of the one before. */
static void log_warnings(struct fl_reload *reload, const struct attempt *attempt)
{
	const struct fl_findings *findings = &attempt->candidate.findings;
	bool is_mount = fl_source_is_mount(reload->conf_path);
	char *all = fl_strdup("");

	for (size_t i = 0; i < attempt->problems.count; i++) {
		all = append(all, fl_strdup(attempt->problems.items[i].text));
	}
	for (size_t i = 0; i < findings->count; i++) {
		all = append(all, fl_strdup(findings->items[i].text));
	}
	if (is_mount) {
		all = append(all, fl_strdup(FL_SOURCE_MOUNT_TEXT));
	}
	if (reload->warnings == NULL || strcmp(reload->warnings, all) != 0) {
		for (size_t i = 0; i < attempt->problems.count; i++) {
			log_problem(reload, attempt->problems.items[i].text,
				    attempt->problems.items[i].line, false);
		}
		for (size_t i = 0; i < findings->count; i++) {
			log_finding(reload, &findings->items[i]);
		}
		if (is_mount) {
			log_problem(reload, FL_SOURCE_MOUNT_TEXT, 0, false);
		}
	}
	free(reload->warnings);
	reload->warnings = all;
}

static void log_validated(struct fl_reload *reload, const struct attempt *attempt)
{
	const struct fl_credentials *credentials = attempt->candidate.credentials;
	struct fl_line line;

	fl_line_begin(&line, reload->log, FL_LOG_INFO, "credentials validated");
	fl_line_str(&line, "id", credentials->id);
	fl_line_i64(&line, "expires_in", credentials->not_after - attempt->now);
	fl_line_u64(&line, "bundles", credentials->bundle_count);
	fl_line_end(&line);
}

static void log_restart_keys(struct fl_reload *reload, const struct fl_conf *conf)
{
	char *keys = fl_conf_restart_keys(reload->started, conf);
	struct fl_line line;

	if (keys != NULL &&
	    (reload->restart_keys == NULL || strcmp(keys, reload->restart_keys) != 0)) {
		fl_line_begin(&line, reload->log, FL_LOG_WARN,
			      "some settings need a restart, the rest applies");
		fl_line_str(&line, "keys", keys);
		fl_line_end(&line);
	}
	free(reload->restart_keys);
	reload->restart_keys = keys;
}

/* The rules are taken for those of the INI that we began with; the sidecar, which sees them, says so in `/readyz`. */
static void log_capture_keys(struct fl_reload *reload, const struct fl_conf *conf)
{
	bool captures = conf->sidecar.inbound_count + conf->sidecar.outbound_count > 0;
	char *keys = captures ? fl_conf_capture_keys(reload->started, conf) : NULL;
	struct fl_line line;

	if (keys != NULL &&
	    (reload->capture_keys == NULL || strcmp(keys, reload->capture_keys) != 0)) {
		fl_line_begin(&line, reload->log, FL_LOG_WARN,
			      "where this pod is captured, some settings wait for `fairlead-agent "
			      "redirect apply`: until then the sidecar is not ready");
		fl_line_str(&line, "keys", keys);
		fl_line_end(&line);
	}
	free(reload->capture_keys);
	reload->capture_keys = keys;
}

/* --- verdicts ----------------------------------------------------------------------------------- */

static void end_refusal(struct fl_reload *reload)
{
	if (reload->refused.is_current) {
		reload->refused.is_current = false;
		fl_log_msg(reload->log, FL_LOG_INFO, "what is mounted now is good again");
		fl_serve_note(reload->serve, 0, NULL);
	}
}

/* Takes over errors. */
static void refuse(struct fl_reload *reload, const struct attempt *attempt, struct errors *errors)
{
	char *more = errors->count > 1 ? fl_format(" (and %zu more: see `fairlead-agent check`)",
						   errors->count - 1)
				       : fl_strdup("");
	/* What the channel carries; what is lost is in the log. */
	char *sentence =
		fl_format("%.*s%s", (int)(FL_CTL_MAX_NOTE - strlen(more)), errors->first, more);

	reload->refused.is_current = true;
	memcpy(reload->refused.files, attempt->files, FL_DIGEST_LEN);
	fl_serve_note(reload->serve, attempt->now, sentence);
	free(sentence);
	free(more);
	free(errors->first);
}

static bool is_known_refusal(const struct fl_reload *reload, const struct attempt *attempt)
{
	return reload->refused.is_current &&
	       memcmp(reload->refused.files, attempt->files, FL_DIGEST_LEN) == 0;
}

/* --- CRLs and roots that run out --------------------------------------------------------------------------- */

static size_t count_late_crls(const struct fl_credentials *credentials, int64_t now)
{
	size_t count = 0;

	for (size_t i = 0; i < credentials->crl_count; i++) {
		count += fl_crl_is_late(&credentials->crls[i], now);
	}
	return count;
}

static size_t count_late_roots(const struct fl_credentials *credentials, int64_t now)
{
	size_t count = 0;

	for (size_t i = 0; i < credentials->bundle_count; i++) {
		count += fl_bundle_late_count(&credentials->bundles[i], now);
	}
	return count;
}

static void log_findings(struct fl_reload *reload, struct fl_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		log_finding(reload, &findings->items[i]);
	}
	fl_findings_done(findings);
}

/* The set in force is of another INI than this one while that is refused. */
static bool has_bundles_of(const struct fl_conf *conf, const struct fl_credentials *credentials)
{
	return conf->federate_count + 1 == credentials->bundle_count;
}

/* Likewise a root. */
static void warn_of_late_roots(struct fl_reload *reload, const struct attempt *attempt)
{
	const struct fl_credentials *credentials = reload->in_force.credentials;
	struct fl_findings findings = {0};
	struct fl_source source;
	size_t late;

	if (credentials == NULL || attempt->conf == NULL ||
	    !has_bundles_of(attempt->conf, credentials)) {
		return;
	}
	late = count_late_roots(credentials, attempt->now);
	if (late > reload->late_roots) {
		fl_candidate_source(attempt->conf, &source);
		fl_source_judge_roots(&source, credentials, attempt->now, &findings);
		log_findings(reload, &findings);
		fl_candidate_source_done(&source);
	}
	reload->late_roots = late;
}

/* A list in force that runs out: nothing changes, so nothing else would say it. */
static void warn_of_late_crls(struct fl_reload *reload, const struct attempt *attempt)
{
	const struct fl_credentials *credentials = reload->in_force.credentials;
	struct fl_findings findings = {0};
	struct fl_source source;
	size_t late;

	if (credentials == NULL || attempt->conf == NULL) {
		return;
	}
	late = count_late_crls(credentials, attempt->now);
	if (late > reload->late_crls) {
		fl_candidate_source(attempt->conf, &source);
		fl_source_judge_crls(&source, credentials, attempt->now, &findings);
		log_findings(reload, &findings);
		fl_candidate_source_done(&source);
	}
	reload->late_crls = late;
}

/* When to look at lists and roots again, on a clock that may be set; 0: there is nothing to wait for. */
static uint64_t next_late_ms(const struct fl_reload *reload, int64_t now)
{
	const struct fl_credentials *credentials = reload->in_force.credentials;
	int64_t soonest = INT64_MAX;

	for (size_t i = 0; credentials != NULL && i < credentials->crl_count; i++) {
		int64_t left = credentials->crls[i].next_update - now;

		soonest = left >= 0 && left < soonest ? left : soonest;
	}
	for (size_t i = 0; credentials != NULL && i < credentials->bundle_count; i++) {
		const struct fl_anchors *anchors = &credentials->bundles[i].anchors;

		for (size_t k = 0; k < anchors->count; k++) {
			int64_t left = anchors->items[k].cert.not_after - now;

			soonest = left >= 0 && left < soonest ? left : soonest;
		}
	}
	if (soonest == INT64_MAX) {
		return 0;
	}
	return soonest < CRL_LOOK_S ? (uint64_t)(soonest + 1) * 1000 : (uint64_t)CRL_LOOK_S * 1000;
}

static void judge_change(const struct fl_reload *reload, struct attempt *attempt)
{
	struct fl_source source;

	if (reload->in_force.credentials != NULL) {
		fl_candidate_source(attempt->conf, &source);
		fl_source_judge_change(&source, reload->in_force.credentials,
				       attempt->candidate.credentials,
				       &attempt->candidate.findings);
		fl_candidate_source_done(&source);
	}
}

/* The candidate as a frame is now the generation. */
static void put_in_force(struct fl_reload *reload, struct attempt *attempt)
{
	const struct fl_conf *conf = attempt->conf;
	uint8_t ini[FL_DIGEST_LEN];

	judge_change(reload, attempt);
	log_warnings(reload, attempt);
	log_validated(reload, attempt);
	digest_ini(attempt, ini);
	if (reload->in_force.credentials != NULL &&
	    memcmp(ini, reload->in_force.ini, sizeof(ini)) != 0) {
		fl_log_msg(reload->log, FL_LOG_INFO, "INI reloaded");
	}
	log_restart_keys(reload, conf);
	log_capture_keys(reload, conf);
	reload->log->level = conf->log.level;
	reload->log->format = conf->log.format;
	memcpy(reload->in_force.ini, ini, sizeof(ini));
	fl_credentials_free(reload->in_force.credentials);
	reload->in_force.credentials = attempt->candidate.credentials;
	attempt->candidate.credentials = NULL;
	fl_der_wipe(&reload->in_force.credentials->key);
	/* Said with the warnings. */
	reload->late_crls = count_late_crls(reload->in_force.credentials, attempt->now);
	reload->late_roots = count_late_roots(reload->in_force.credentials, attempt->now);
}

static void accept_candidate(struct fl_reload *reload, struct attempt *attempt)
{
	struct fl_span ini = {(const uint8_t *)attempt->ini.data, attempt->ini.len};
	uint8_t content[FL_DIGEST_LEN];
	struct fl_err err;
	uint8_t *frame;
	size_t len;

	if (fl_candidate_encode(&attempt->candidate, attempt->conf, ini, &frame, &len, content,
				&err) != FL_OK) {
		if (!is_known_refusal(reload, attempt)) {
			struct errors errors = {.first = fl_strdup(err.text), .count = 1};

			log_problem(reload, err.text, 0, true);
			refuse(reload, attempt, &errors);
		}
		return;
	}
	memcpy(reload->in_force.files, attempt->files, FL_DIGEST_LEN);
	if (reload->in_force.credentials != NULL &&
	    memcmp(content, reload->in_force.content, sizeof(content)) == 0) {
		fl_wipe_free(frame, len); /* other bytes, the same meaning */
	} else {
		put_in_force(reload, attempt);
		memcpy(reload->in_force.content, content, sizeof(content));
		fl_serve_generation(reload->serve, frame, len, content);
	}
	end_refusal(reload);
}

/* Perhaps its writer has not finished yet, and what is in force is good enough for another moment. */
static bool should_wait(struct fl_reload *reload, const struct attempt *attempt)
{
	bool is_first = reload->in_force.credentials == NULL && !reload->refused.is_current;
	uint64_t now = uv_now(reload->loop);

	if (!attempt->may_be_torn || is_first ||
	    (attempt->is_good && !attempt->candidate.findings.trusts_nobody) ||
	    is_known_refusal(reload, attempt)) {
		reload->patience_end = 0;
		return false;
	}
	if (reload->patience_end == 0) {
		reload->patience_end = now + FL_RELOAD_PATIENCE_MS;
	}
	if (now < reload->patience_end) {
		return true;
	}
	reload->patience_end = 0;
	return false;
}

static void judge(struct fl_reload *reload, struct attempt *attempt)
{
	struct errors errors = {0};

	if (reload->in_force.credentials != NULL &&
	    memcmp(attempt->files, reload->in_force.files, FL_DIGEST_LEN) == 0) {
		reload->patience_end = 0;
		end_refusal(reload);
	} else if (should_wait(reload, attempt)) {
		return;
	} else if (attempt->is_good) {
		accept_candidate(reload, attempt);
	} else if (!is_known_refusal(reload, attempt)) {
		log_errors(reload, attempt, &errors);
		refuse(reload, attempt, &errors);
	}
}

/* --- events ------------------------------------------------------------------------------------- */

static void on_again(uv_timer_t *timer);

static void consider(struct fl_reload *reload)
{
	struct attempt attempt;
	uint64_t now, in_ms = 0;
	int64_t wall_clock;

	attempt_begin(reload, &attempt);
	uv_update_time(reload->loop);
	judge(reload, &attempt);
	warn_of_late_crls(reload, &attempt);
	warn_of_late_roots(reload, &attempt);
	wall_clock = attempt.now;
	attempt_done(&attempt);
	tidy_up(reload);

	now = uv_now(reload->loop);
	if (reload->patience_end != 0) {
		in_ms = reload->patience_end > now ? reload->patience_end - now : 1;
	} else if (reload->in_force.credentials == NULL) {
		in_ms = FIRST_RETRY_MS;
	} else if (reload->refused.is_current) {
		in_ms = REFUSED_RETRY_MS;
	} else {
		in_ms = next_late_ms(reload, wall_clock);
	}
	(void)uv_timer_stop(&reload->again);
	if (in_ms != 0) {
		FL_REQUIRE(uv_timer_start(&reload->again, on_again, in_ms, 0) == 0);
	}
}

static void on_again(uv_timer_t *timer)
{
	consider(timer->data);
}

static void on_change(void *user)
{
	consider(user);
}

static void on_note(void *user, const char *text)
{
	struct fl_reload *reload = user;

	fl_log_msg(reload->log, FL_LOG_WARN, "%s", text);
}

static const struct fl_watch_events watch_events = {.on_change = on_change, .on_note = on_note};

/* --- life --------------------------------------------------------------------------------------- */

struct fl_reload *fl_reload_open(uv_loop_t *loop, const char *conf_path, struct fl_conf *conf,
				 struct fl_log *log, struct fl_serve *serve)
{
	struct fl_reload *reload = fl_new(sizeof(*reload));

	reload->loop = loop;
	reload->conf_path = conf_path;
	reload->started = conf;
	reload->log = log;
	reload->serve = serve;
	FL_REQUIRE(uv_timer_init(loop, &reload->again) == 0);
	FL_REQUIRE(uv_timer_init(loop, &reload->tidy) == 0);
	reload->again.data = reload->tidy.data = reload;
	reload->open_timers = 2;
	reload->watch = fl_watch_new(loop, NULL, &watch_events, reload);
	watch_files(reload, conf);
	FL_REQUIRE(uv_timer_start(&reload->again, on_again, 0, 0) == 0);
	return reload;
}

void fl_reload_look(struct fl_reload *reload)
{
	consider(reload);
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_reload *reload = handle->data;

	if (--reload->open_timers > 0) {
		return;
	}
	fl_credentials_free(reload->in_force.credentials);
	fl_conf_free(reload->started);
	free(reload->warnings);
	free(reload->restart_keys);
	free(reload->capture_keys);
	free(reload);
}

void fl_reload_close(struct fl_reload *reload)
{
	fl_watch_close(reload->watch);
	uv_close((uv_handle_t *)&reload->again, on_closed);
	uv_close((uv_handle_t *)&reload->tidy, on_closed);
}
