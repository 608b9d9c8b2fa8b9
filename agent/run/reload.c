/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reload - change -> candidate -> verdict.
 *
 *   the same files that are in force        nothing happens, and a refusal is over
 *   good                                    the next generation
 *   bad, or trusting nobody, and perhaps    wait: the writer's next step is a change and brings us here again, and so does
 *     half written                          the end of our patience
 *   bad                                     refused: logged once, with its first error as the sentence for the sidecars
 *
 * A digest of everything that was read decides whether files are the same; the verdict does not, because it can change with
 * time alone. Errors found at startup are reported immediately. Nothing here ends the process. */
#include "agent/run/reload.h"

#include <stdlib.h>
#include <string.h>

#include "agent/run/attempt.h"
#include "agent/run/attempt_log.h"
#include "agent/run/expiry.h"
#include "agent/run/spare_key.h"
#include "base/idle_memory.h"
#include "base/mem.h"
#include "base/notify.h"
#include "certs-watch/watch.h"

#define FIRST_RETRY_MS 1000
#define REFUSED_RETRY_MS 10000
#define GIVE_BACK_MS 1000

struct fl_reload {
	uv_loop_t *loop;
	const char *conf_path;
	struct fl_log *log;
	struct fl_serve *serve;
	struct fl_conf *started; /* the INI that the process began with */
	struct fl_watch *watch;
	uv_timer_t again, give_back;
	unsigned open_timers;
	struct fl_attempt_log attempt_log;
	struct {
		struct fl_credentials *credentials; /* without key; NULL: nothing is in force yet */
		uint8_t files[FL_DIGEST_LEN], ini[FL_DIGEST_LEN], content[FL_DIGEST_LEN];
		struct fl_expiry expiry;
	} in_force;
	struct {
		bool is_current; /* the present files are refused */
		uint8_t files[FL_DIGEST_LEN];
	} refused;
	uint64_t patience_end; /* uv_now(); 0: we do not wait for a writer */
	uint64_t last_attempt;
};

/* --- memory ------------------------------------------------------------------------------------- */

static void on_give_back(uv_timer_t *timer)
{
	(void)timer;
	fl_idle_memory_give_back();
}

/* A candidate needs by far the most memory in this process: without this, 1.5 MB of heap and TLS code would stay unused in
 * every pod. Runs immediately after a single change, and later when changes follow one another. */
static void give_back_memory(struct fl_reload *reload)
{
	uint64_t now = uv_now(reload->loop);

	if (reload->last_attempt == 0 || now - reload->last_attempt > GIVE_BACK_MS) {
		fl_idle_memory_give_back();
	} else {
		FL_REQUIRE(uv_timer_start(&reload->give_back, on_give_back, GIVE_BACK_MS, 0) == 0);
	}
	reload->last_attempt = now;
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

/* Takes over sentence. */
static void refuse(struct fl_reload *reload, const struct fl_attempt *attempt, char *sentence)
{
	reload->refused.is_current = true;
	memcpy(reload->refused.files, attempt->files_digest, FL_DIGEST_LEN);
	fl_serve_note(reload->serve, attempt->now, sentence);
	free(sentence);
}

static bool is_known_refusal(const struct fl_reload *reload, const struct fl_attempt *attempt)
{
	return reload->refused.is_current &&
	       memcmp(reload->refused.files, attempt->files_digest, FL_DIGEST_LEN) == 0;
}

/* While an INI is refused, the set in force belongs to an earlier INI. */
static bool has_bundles_of(const struct fl_conf *conf, const struct fl_credentials *credentials)
{
	return conf->federate_count + 1 == credentials->bundle_count;
}

static void warn_of_expired(struct fl_reload *reload, const struct fl_attempt *attempt)
{
	const struct fl_credentials *credentials = reload->in_force.credentials;
	struct fl_expiry *expiry = &reload->in_force.expiry;
	struct fl_findings findings = {0};
	struct fl_source source;

	if (credentials == NULL || attempt->conf == NULL) {
		return;
	}
	fl_candidate_source(attempt->conf, &source);
	if (fl_expiry_has_new_crls(expiry, credentials, attempt->now)) {
		fl_source_judge_crls(&source, credentials, attempt->now, &findings);
	}
	if (has_bundles_of(attempt->conf, credentials) &&
	    fl_expiry_has_new_roots(expiry, credentials, attempt->now)) {
		fl_source_judge_roots(&source, credentials, attempt->now, &findings);
	}
	fl_candidate_source_done(&source);
	fl_attempt_log_findings(&reload->attempt_log, &findings);
}

static void judge_change(const struct fl_reload *reload, struct fl_attempt *attempt)
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

static void tell_ready(struct fl_reload *reload)
{
	struct fl_err err;

	if (fl_notify(FL_NOTIFY_READY, &err) != FL_OK) {
		fl_log_msg(reload->log, FL_LOG_WARN, "%s", err.text);
	}
}

/* Later candidates are compared with its content. */
static void put_in_force(struct fl_reload *reload, struct fl_attempt *attempt)
{
	judge_change(reload, attempt);
	fl_attempt_log_accepted(
		&reload->attempt_log, attempt,
		reload->in_force.credentials != NULL &&
			memcmp(attempt->ini_digest, reload->in_force.ini, FL_DIGEST_LEN) != 0);
	reload->log->level = attempt->conf->log.level;
	reload->log->format = attempt->conf->log.format;
	memcpy(reload->in_force.ini, attempt->ini_digest, FL_DIGEST_LEN);
	fl_credentials_free(reload->in_force.credentials);
	reload->in_force.credentials = attempt->candidate.credentials;
	attempt->candidate.credentials = NULL;
	fl_der_wipe(&reload->in_force.credentials->key);
	/* Those that have expired are among the warnings already. */
	fl_expiry_note(&reload->in_force.expiry, reload->in_force.credentials, attempt->now);
}

/* Of a candidate that is good, but cannot be served. */
static void refuse_for(struct fl_reload *reload, const struct fl_attempt *attempt,
		       const struct fl_err *err)
{
	if (!is_known_refusal(reload, attempt)) {
		refuse(reload, attempt,
		       fl_attempt_log_error(&reload->attempt_log, attempt, err->text));
	}
}

/* *ret: NULL if the sidecar gets the key. */
static int make_signer(const struct fl_attempt *attempt, struct fl_signer **ret, struct fl_err *err)
{
	const struct fl_credentials *credentials = attempt->candidate.credentials;
	struct fl_cert leaf;

	*ret = NULL;
	if (attempt->conf->tls.key_in_sidecar) {
		return FL_OK;
	}
	FL_REQUIRE(fl_cert_parse(fl_span_of(&credentials->chain.items[0]), &leaf, NULL) ==
		   FL_RULE_NONE);
	return fl_signer_new(&leaf.key, fl_span_of(&credentials->key), ret, err);
}

static void accept_candidate(struct fl_reload *reload, struct fl_attempt *attempt)
{
	struct fl_span ini = {(const uint8_t *)attempt->ini.data, attempt->ini.len};
	struct fl_signer *signer;
	uint8_t content[FL_DIGEST_LEN];
	struct fl_err err;
	uint8_t *frame;
	size_t len;

	if (fl_candidate_encode(&attempt->candidate, attempt->conf, ini, &frame, &len, content,
				&err) != FL_OK) {
		refuse_for(reload, attempt, &err);
		return;
	}
	if (reload->in_force.credentials != NULL &&
	    memcmp(content, reload->in_force.content, sizeof(content)) == 0) {
		fl_wipe_free(frame, len); /* other bytes with the same meaning */
	} else {
		bool is_first = reload->in_force.credentials == NULL;

		if (make_signer(attempt, &signer, &err) != FL_OK) {
			fl_wipe_free(frame, len);
			refuse_for(reload, attempt, &err);
			return;
		}
		put_in_force(reload, attempt);
		memcpy(reload->in_force.content, content, sizeof(content));
		fl_serve_generation(reload->serve, &(struct fl_serve_generation){
							   .frame = frame,
							   .len = len,
							   .digest = content,
							   .signer = signer,
							   .conf = attempt->conf,
						   });
		if (is_first) {
			tell_ready(reload);
		}
	}
	/* Not before: files that could not be served are tried again. */
	memcpy(reload->in_force.files, attempt->files_digest, FL_DIGEST_LEN);
	end_refusal(reload);
}

/* The writer may not have finished, and the generation in force can serve a little longer. */
static bool should_wait(struct fl_reload *reload, const struct fl_attempt *attempt)
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

static void judge(struct fl_reload *reload, struct fl_attempt *attempt)
{
	if (reload->in_force.credentials != NULL &&
	    memcmp(attempt->files_digest, reload->in_force.files, FL_DIGEST_LEN) == 0) {
		reload->patience_end = 0;
		end_refusal(reload);
	} else if (should_wait(reload, attempt)) {
		return;
	} else if (attempt->is_good) {
		accept_candidate(reload, attempt);
	} else if (!is_known_refusal(reload, attempt)) {
		if (reload->in_force.credentials == NULL && attempt->conf != NULL) {
			fl_serve_spare_key(reload->serve, fl_spare_key(attempt->conf));
		}
		refuse(reload, attempt, fl_attempt_log_errors(&reload->attempt_log, attempt));
	}
}

/* --- events ------------------------------------------------------------------------------------- */

static void on_again(uv_timer_t *timer);

static void reload_now(struct fl_reload *reload)
{
	struct fl_attempt attempt;
	uint64_t now, in_ms = 0;
	int64_t wall_clock;

	fl_attempt_begin(&attempt, reload->conf_path, reload->watch, reload->in_force.credentials);
	uv_update_time(reload->loop);
	judge(reload, &attempt);
	warn_of_expired(reload, &attempt);
	wall_clock = attempt.now;
	fl_attempt_done(&attempt);
	give_back_memory(reload);

	now = uv_now(reload->loop);
	if (reload->patience_end != 0) {
		in_ms = reload->patience_end > now ? reload->patience_end - now : 1;
	} else if (reload->in_force.credentials == NULL) {
		in_ms = FIRST_RETRY_MS;
	} else if (reload->refused.is_current) {
		in_ms = REFUSED_RETRY_MS;
	} else {
		in_ms = fl_expiry_next_ms(reload->in_force.credentials, wall_clock);
	}
	(void)uv_timer_stop(&reload->again);
	if (in_ms != 0) {
		FL_REQUIRE(uv_timer_start(&reload->again, on_again, in_ms, 0) == 0);
	}
}

static void on_again(uv_timer_t *timer)
{
	reload_now(timer->data);
}

static void on_change(void *user)
{
	reload_now(user);
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
	FL_REQUIRE(uv_timer_init(loop, &reload->give_back) == 0);
	reload->again.data = reload->give_back.data = reload;
	reload->open_timers = 2;
	reload->watch = fl_watch_new(loop, NULL, &watch_events, reload);
	reload->attempt_log = (struct fl_attempt_log){.log = log, .started = conf};
	fl_attempt_watch(reload->watch, conf_path, conf);
	FL_REQUIRE(uv_timer_start(&reload->again, on_again, 0, 0) == 0);
	return reload;
}

void fl_reload_now(struct fl_reload *reload)
{
	bool was_ready = reload->in_force.credentials != NULL;

	if (was_ready) {
		(void)fl_notify_reloading(NULL);
	}
	reload_now(reload);
	if (was_ready) {
		tell_ready(reload);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_reload *reload = handle->data;

	if (--reload->open_timers > 0) {
		return;
	}
	fl_credentials_free(reload->in_force.credentials);
	fl_attempt_log_done(&reload->attempt_log);
	fl_conf_free(reload->started);
	free(reload);
}

void fl_reload_close(struct fl_reload *reload)
{
	fl_watch_close(reload->watch);
	uv_close((uv_handle_t *)&reload->again, on_closed);
	uv_close((uv_handle_t *)&reload->give_back, on_closed);
}
