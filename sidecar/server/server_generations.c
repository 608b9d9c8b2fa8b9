/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Handles what the agent and DNS report.
 *
 * A generation is parsed and judged again. Its TLS contexts are built here, off the data path, one
 * share for each worker. The workers are told only when all of that has succeeded. Failure: the old
 * generation stays in force, and the agent is told why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/idle_memory.h"
#include "base/mem.h"
#include "base/when.h"
#include "server/server_internal.h"

/* --- what DNS says ------------------------------------------------------------------------------- */

static void on_targets(void *user, const char *upstream, struct fl_targets *targets)
{
	struct fl_server *server = user;

	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_worker_post_targets(server->workers[i], upstream, targets);
	}
}

static void on_upstream_map(void *user, struct fl_upstream_map *map)
{
	struct fl_server *server = user;

	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_worker_post_upstream_map(server->workers[i], map);
	}
}

static void on_answer(void *user)
{
	struct fl_server *server = user;

	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_worker_post_answer(server->workers[i]);
	}
}

const struct fl_resolver_events fl_server_resolver_events = {
	.on_targets = on_targets, .on_upstream_map = on_upstream_map, .on_answer = on_answer};

/* --- generations --------------------------------------------------------------------------------- */

/* More than a generation was ever seen to need: a parsed PEM occupies several times its own size,
 * and that again in each context. */
#define MEMORY_AT_LEAST ((size_t)1024 * 1024)
#define MEMORY_FACTOR ((size_t)16)
#define WORKER_MEMORY ((size_t)256 * 1024)
#define WORKER_FACTOR ((size_t)8)

int fl_server_has_memory(const struct fl_server *server, const struct fl_ctl_generation *message,
			 struct fl_err *err)
{
	size_t size =
		message->credential.len + message->bundle.len + message->crl.len + message->ini.len;

	for (size_t i = 0; i < message->foreign_count; i++) {
		size += message->foreign[i].bundle.len;
	}
	size = MEMORY_AT_LEAST + MEMORY_FACTOR * size +
	       server->worker_count * (WORKER_MEMORY + WORKER_FACTOR * size);
	return fl_mem_has(size)
		       ? FL_OK
		       : fl_err_set(
				 err, FL_ERR_NOMEM,
				 "out of memory: a generation like this one needs up to %zu MiB more",
				 size >> 20);
}

int fl_server_make_shares(struct fl_server *server, struct fl_generation *generation,
			  struct fl_rule_counts *rule_counts, struct fl_share **shares,
			  struct fl_err *err)
{
	int rc = 0;

	for (unsigned i = 0; i < server->worker_count && rc == 0; i++) {
		rc = fl_share_new(generation, rule_counts, i, &shares[i], err);
	}
	for (unsigned i = 0; i < server->worker_count && rc != 0; i++) {
		fl_share_unref(shares[i]);
	}
	return rc;
}

static void log_generation(struct fl_server *server, const struct fl_generation *generation)
{
	struct fl_line line;
	char until[32];
	struct tm tm;
	time_t at = (time_t)generation->credentials->not_after;

	(void)strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
	fl_line_begin(&line, server->log, FL_LOG_INFO, "generation in use");
	fl_line_u64(&line, "generation", generation->number);
	fl_line_str(&line, "own", generation->credentials->id);
	fl_line_str(&line, "not_after", until);
	fl_line_u64(&line, "rules", fl_policy_rule_count(generation->conf->policy));
	fl_line_end(&line);
}

static void log_late_crls(struct fl_server *server, const struct fl_credentials *credentials)
{
	char when[FL_WHEN_TEXT];

	for (size_t i = 0; i < credentials->crl_count; i++) {
		const struct fl_crl *crl = &credentials->crls[i];

		if (fl_crl_is_late(crl, (int64_t)time(NULL))) {
			fl_log_msg(server->log, FL_LOG_WARN,
				   "CRL %zu: its successor was due at %s; it stays in force, but "
				   "certificates revoked after that date are still accepted",
				   i + 1, fl_when_format(crl->next_update, when));
		}
	}
}

/* Said for each generation, because whoever has changed the INI looks there. */
static void note_restart_keys(struct fl_server *server, const struct fl_conf *conf)
{
	struct fl_line line;

	free(server->restart_keys);
	server->restart_keys = fl_conf_restart_keys(server->conf, conf, FL_PROGRAM_SIDECAR);
	if (server->restart_keys != NULL) {
		fl_line_begin(&line, server->log, FL_LOG_WARN,
			      "some settings wait for a restart of the sidecar, the rest applies");
		fl_line_str(&line, "keys", server->restart_keys);
		fl_line_end(&line);
	}
}

/* Applies the settings of a new INI that concern the main thread. */
static void apply_settings(struct fl_server *server, const struct fl_conf *conf)
{
	if (!server->log_level_is_set) {
		server->log->level = conf->log.level;
	}
	server->log->format = conf->log.format;
}

static int use_generation(struct fl_server *server, struct fl_generation *generation,
			  struct fl_err *err)
{
	struct fl_share **shares = fl_new(server->worker_count * sizeof(struct fl_share *));
	struct fl_rule_counts *rule_counts =
		fl_rule_counts_new(generation->conf->policy, server->worker_count);
	int rc = fl_server_make_shares(server, generation, rule_counts, shares, err);

	if (rc == 0) {
		fl_rule_totals_add(&server->rule_totals, rule_counts);
		fl_server_raise_descriptor_limit(server, generation->conf);
		struct fl_resolver_addresses addresses =
			fl_resolver_set(server->resolver, generation->conf);
		struct fl_section_set *sections = fl_section_set_new(
			generation->conf, server->sections, server->worker_count);

		for (unsigned i = 0; i < server->worker_count; i++) {
			shares[i]->upstream_map = fl_upstream_map_ref(addresses.map);
			shares[i]->plaintext =
				fl_plaintext_counters(server->plaintext, generation->conf, i);
			shares[i]->sections = fl_section_set_ref(sections);
			fl_worker_post_share(server->workers[i], shares[i], addresses.targets);
		}
		fl_upstream_map_unref(addresses.map);
		fl_target_set_unref(addresses.targets);
		fl_section_set_unref(server->sections);
		server->sections = sections;
		fl_generation_unref(server->current);
		server->current = fl_generation_ref(generation);
		apply_settings(server, generation->conf);
		fl_capture_probe_expect(server->capture, generation->conf);
		server->rotations.used++;
		server->rotations.last_used = (int64_t)time(NULL);
		fl_rotations_note(
			&server->rotations,
			&(struct fl_rotation){.time = server->rotations.last_used,
					      .generation = generation->number,
					      .not_after = generation->expiries.chain_not_after});
		if (server->phase == STARTING) {
			server->phase = SERVING;
			fl_idle_memory_give_back(); /* what only the start needed */
		}
	}
	fl_rule_counts_unref(rule_counts);
	free(shares);
	return rc;
}

static void count_refusal(struct fl_server *server, struct fl_refusal *refusal, int64_t when,
			  const char *text)
{
	struct fl_rotation rotation = {.time = when};

	(void)snprintf(rotation.refusal, sizeof(rotation.refusal), "refused by the %s: %s",
		       refusal == &server->rotations.by_agent ? "agent" : "sidecar", text);
	fl_rotations_note(&server->rotations, &rotation);
	(void)snprintf(refusal->text, sizeof(refusal->text), "%s", text);
	refusal->time = when;
	refusal->count++;
}

/* The agent offers a refused generation again and again; only its first refusal counts. Later ones may have another reason. */
static void note_refusal(struct fl_server *server, const struct fl_ctl_generation *message,
			 const struct fl_err *err)
{
	struct fl_refusal *refusal = &server->rotations.by_sidecar;
	bool again = memcmp(server->refused, message->digest, sizeof(server->refused)) == 0;

	if (again) {
		(void)snprintf(refusal->text, sizeof(refusal->text), "%s", err->text);
	} else {
		count_refusal(server, refusal, (int64_t)time(NULL), err->text);
		memcpy(server->refused, message->digest, sizeof(server->refused));
	}
	refusal->current = true;
	fl_log_msg(server->log, again ? FL_LOG_DEBUG : FL_LOG_ERROR, "generation %llu refused: %s",
		   (unsigned long long)message->number, err->text);
}

static bool is_in_use(const struct fl_server *server, const struct fl_ctl_generation *message)
{
	return server->current != NULL &&
	       memcmp(server->current->digest, message->digest, FL_DIGEST_LEN) == 0;
}

static void end_refusal(struct fl_server *server)
{
	server->rotations.by_sidecar.current = false;
	memset(server->refused, 0, sizeof(server->refused));
}

static int on_generation(void *user, const struct fl_ctl_generation *message, struct fl_err *err)
{
	struct fl_server *server = user;
	struct fl_generation *generation;
	int rc;

	/* The agent has gone back to it from one that was refused. */
	if (is_in_use(server, message)) {
		end_refusal(server);
		return 0;
	}
	rc = fl_server_has_memory(server, message, err);
	if (rc == 0) {
		rc = fl_generation_new(message, (int64_t)time(NULL), server->current, &generation,
				       err);
	}
	if (rc == 0) {
		rc = use_generation(server, generation, err);
		if (rc == 0) {
			log_generation(server, generation);
			log_late_crls(server, generation->credentials);
			note_restart_keys(server, generation->conf);
		}
		fl_generation_unref(generation);
	}
	if (rc == FL_ERR_NOMEM) {
		return rc; /* this is no refusal: the link asks for the generation again */
	}
	if (rc != 0) {
		note_refusal(server, message, err);
		return rc;
	}
	end_refusal(server);
	return 0;
}

static void describe(void *user, struct fl_ctl_hello *hello)
{
	struct fl_server *server = user;

	/* If a refusal still holds, the agent repeats its own, and what we have refused comes again. */
	server->rotations.by_agent.current = server->rotations.by_sidecar.current = false;
	if (server->current != NULL) {
		hello->generation = server->current->number;
		memcpy(hello->digest, server->current->digest, sizeof(hello->digest));
		memcpy(hello->key, server->current->key, sizeof(hello->key));
	}
}

/* The agent repeats the note at every reconnect; only a new one counts. */
static void on_note(void *user, const struct fl_ctl_note *note)
{
	struct fl_server *server = user;
	struct fl_refusal *refusal = &server->rotations.by_agent;
	char text[FL_CTL_MAX_NOTE + 1] = "";

	refusal->current = note->refused;
	if (!note->refused) {
		server->refusal_is_over = true;
		return;
	}
	(void)snprintf(text, sizeof(text), "%.*s", (int)note->text.len,
		       (const char *)note->text.data);
	if (!server->refusal_is_over && refusal->time == note->time &&
	    strcmp(refusal->text, text) == 0) {
		return;
	}
	server->refusal_is_over = false;
	count_refusal(server, refusal, note->time, text);
	fl_log_msg(server->log, FL_LOG_WARN, "the agent refused a candidate: %s", text);
}

const struct fl_agent_link_events fl_server_agent_events = {
	.describe = describe, .on_generation = on_generation, .on_note = on_note};
