/* SPDX-License-Identifier: GPL-3.0-or-later */
/* server - the main thread: workers, generations, signals and drain. bind.c binds, snapshot.c tells.
 *
 * Happy path: bind, start the workers, connect to the agent; the first generation opens the listeners; SIGTERM drains
 * and then stops.
 *
 * A generation: parsed and judged again, its TLS contexts built here, off the data path, one share for each worker; only
 * when all of that has succeeded are the workers told. Failure: the old generation goes on, the agent is told why.
 *
 * Stop: workers are told, joined, then the handles of the main loop are closed, and the loop ends by itself. */
#include "server/server_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/mem.h"
#include "base/when.h"
#include "worker/budget.h"
#include "worker/cpus.h"

#define MAIN_READ_BUFFER (64u * 1024)
#define MAX_WORKERS 256u

/* --- workers ----------------------------------------------------------------------------------- */

static void stop_if_idle(void *user);

static void want_name(void *user, size_t name)
{
	struct fl_server *server = user;

	fl_resolver_want(server->resolver, name);
}

static const struct fl_worker_events worker_events = {.on_idle = stop_if_idle,
						      .on_name_wanted = want_name};

static int make_workers(struct fl_server *server, struct fl_err *err)
{
	const struct fl_conf *conf = server->conf;
	size_t count = fl_bind_count(conf);
	unsigned wanted = conf->sidecar.workers != 0 ? conf->sidecar.workers : fl_cpus_available();
	int rc = 0;

	if (wanted > MAX_WORKERS) {
		wanted = MAX_WORKERS;
	}
	server->plain = fl_plaintext_counts_new(wanted);
	server->peers = fl_peer_counts_new(wanted, FL_PEERS_MAX);
	server->workers = fl_new(wanted * sizeof(struct fl_worker *));
	server->worker_boxes = fl_new(wanted * sizeof(struct fl_mailbox *));
	fl_conntrack_open(&server->conntrack);
	for (unsigned i = 0; i < wanted && rc == 0; i++) {
		struct fl_worker_options options = {
			.conf = conf,
			.log = server->log,
			.number = i,
			.worker_count = wanted,
			.listeners = {.items = fl_new((count + 1) * sizeof(struct fl_bound)),
				      .count = count},
			.peers = server->peers,
			.conntrack = &server->conntrack,
			.main = &server->mailbox,
			.events = &worker_events,
		};

		rc = fl_bind_endpoints(conf, options.listeners.items,
				       i > 0 ? server->workers[0]->listeners.items : NULL, err);
		server->workers[i] = fl_worker_new(&options);
		server->worker_boxes[i] = &server->workers[i]->mailbox;
		server->worker_count++;
	}
	server->made = fl_bind_note_paths(conf, server->workers[0]->listeners.items);
	return rc;
}

/* --- generations ------------------------------------------------------------------------------- */

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

static const struct fl_resolver_events resolver_events = {
	.on_targets = on_targets, .on_upstream_map = on_upstream_map, .on_answer = on_answer};

/* More than it was ever seen to take: parsed, a PEM takes its own size several times over, and again in each context. */
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
			  struct fl_rule_counts *tally, struct fl_share **shares,
			  struct fl_err *err)
{
	int rc = 0;

	for (unsigned i = 0; i < server->worker_count && rc == 0; i++) {
		rc = fl_share_new(generation, tally, i, &shares[i], err);
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
				   "whom its CA has revoked since is let in",
				   i + 1, fl_when_format(crl->next_update, when));
		}
	}
}

static void log_if_new(struct fl_server *server, enum fl_direction direction, const char *name,
		       const struct fl_addr *listen)
{
	const struct fl_listeners *listeners = &server->workers[0]->listeners;

	if (listen->kind == FL_ADDR_NONE) {
		return;
	}
	for (size_t i = 0; i < listeners->count; i++) {
		const struct fl_endpoint *endpoint = &listeners->items[i].endpoint;

		if (!endpoint->captures && endpoint->direction == direction &&
		    strcmp(endpoint->name, name) == 0) {
			return;
		}
	}
	fl_log_msg(server->log, FL_LOG_WARN,
		   "[%s %s] is new: its listener needs a restart of the sidecar",
		   direction == FL_INBOUND ? "service" : "upstream", name);
}

static void log_restart_needed(struct fl_server *server, const struct fl_conf *conf)
{
	for (size_t i = 0; i < conf->service_count; i++) {
		log_if_new(server, FL_INBOUND, conf->services[i].name, &conf->services[i].listen);
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		log_if_new(server, FL_OUTBOUND, conf->upstreams[i].name,
			   &conf->upstreams[i].listen);
	}
}

/* The soft limit is often 1024. */
static void raise_descriptor_limit(struct fl_server *server, const struct fl_conf *conf)
{
	struct rlimit limit;
	rlim_t wanted =
		(rlim_t)fl_budget_wanted(conf, server->worker_count, (unsigned)fl_bind_count(conf));

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
		return;
	}
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
		fl_log_msg(
			server->log, FL_LOG_DEBUG,
			"[limits] connections = %u needs %llu descriptors, the system allows %llu: that many will do less",
			conf->limits.connections, (unsigned long long)wanted,
			(unsigned long long)limit.rlim_cur);
	}
}

/* What the main thread takes from each new INI. */
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
	struct fl_rule_counts *tally =
		fl_rule_counts_new(generation->conf->policy, server->worker_count);
	int rc = fl_server_make_shares(server, generation, tally, shares, err);

	if (rc == 0) {
		fl_tallies_add(&server->tallies, tally);
		raise_descriptor_limit(server, generation->conf);
		/* Addresses first: a worker that opens its listeners knows where they lead. */
		struct fl_upstream_map *map = fl_resolver_set(server->resolver, generation->conf);

		for (unsigned i = 0; i < server->worker_count; i++) {
			shares[i]->upstream_map = fl_upstream_map_ref(map);
			shares[i]->plain =
				fl_plaintext_counters(server->plain, generation->conf, i);
			fl_worker_post_share(server->workers[i], shares[i]);
		}
		fl_upstream_map_unref(map);
		fl_generation_unref(server->current);
		server->current = fl_generation_ref(generation);
		apply_settings(server, generation->conf);
		fl_capture_probe_expect(server->capture, generation->conf);
		server->rotations.used++;
		server->rotations.last_used = (int64_t)time(NULL);
		if (server->phase == STARTING) {
			server->phase = SERVING;
		}
	}
	fl_rule_counts_unref(tally);
	free(shares);
	return rc;
}

static void count_refusal(struct fl_refusal *refusal, int64_t when, const char *text)
{
	(void)snprintf(refusal->text, sizeof(refusal->text), "%s", text);
	refusal->time = when;
	refusal->count++;
}

static int on_generation(void *user, const struct fl_ctl_generation *message, struct fl_err *err)
{
	struct fl_server *server = user;
	struct fl_generation *generation;
	int rc = fl_server_has_memory(server, message, err);

	if (rc != 0) {
		return rc; /* nobody has refused it: it is sent again */
	}
	rc = fl_generation_new(message, (int64_t)time(NULL), server->current, &generation, err);
	if (rc == 0) {
		rc = use_generation(server, generation, err);
		if (rc == 0) {
			log_generation(server, generation);
			log_late_crls(server, generation->credentials);
			log_restart_needed(server, generation->conf);
		}
		fl_generation_unref(generation);
	}
	if (rc != 0) {
		count_refusal(&server->rotations.by_sidecar, (int64_t)time(NULL), err->text);
		fl_log_msg(server->log, FL_LOG_ERROR, "generation %llu refused: %s",
			   (unsigned long long)message->number, err->text);
	}
	server->rotations.by_sidecar.current = rc != 0;
	return rc;
}

static void describe(void *user, struct fl_ctl_hello *hello)
{
	struct fl_server *server = user;

	/* It says so again if it is so still. */
	server->rotations.by_agent.current = false;
	if (server->current != NULL) {
		hello->generation = server->current->number;
		memcpy(hello->digest, server->current->digest, sizeof(hello->digest));
	}
}

/* The agent tells it again whenever we reconnect: only what is new counts. */
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
	count_refusal(refusal, note->time, text);
	fl_log_msg(server->log, FL_LOG_WARN, "the agent refused a candidate: %s", text);
}

static const struct fl_agent_link_events agent_events = {
	.describe = describe, .on_generation = on_generation, .on_note = on_note};

/* --- the end ----------------------------------------------------------------------------------- */

static void stop(struct fl_server *server)
{
	if (server->phase == STOPPED) {
		return;
	}
	server->phase = STOPPED;
	for (unsigned i = 0; i < server->started; i++) {
		fl_worker_post_stop(server->workers[i]);
	}
	for (unsigned i = 0; i < server->started; i++) {
		fl_worker_join(server->workers[i]);
	}
	for (unsigned i = server->started; i < server->worker_count; i++) {
		fl_worker_discard(server->workers[i]);
	}
	fl_mailbox_close(&server->mailbox);
	fl_server_drop_listings(server);
	fl_server_drop_preview(server);
	server->worker_count = server->started = 0;
	fl_bind_unlink_paths(server->conf, server->made);
	if (server->on_stop != NULL) {
		server->on_stop(server->on_stop_user);
	}
	fl_agent_link_close(server->agent);
	fl_resolver_close(server->resolver);
	fl_capture_probe_close(server->capture);
	uv_close((uv_handle_t *)&server->drain_timer, NULL);
	uv_close((uv_handle_t *)&server->sigterm, NULL);
	uv_close((uv_handle_t *)&server->sigint, NULL);
}

static unsigned open_connections(const struct fl_server *server)
{
	unsigned open = 0;

	for (unsigned i = 0; i < server->worker_count; i++) {
		open += fl_worker_open_connections(server->workers[i]);
	}
	return open;
}

static void stop_if_idle(void *user)
{
	struct fl_server *server = user;

	if (server->phase == DRAINING && open_connections(server) == 0) {
		fl_log_msg(server->log, FL_LOG_INFO, "drained");
		stop(server);
	}
}

static void on_drain_timeout(uv_timer_t *timer)
{
	struct fl_server *server = FL_CONTAINER_OF(timer, struct fl_server, drain_timer);

	fl_log_msg(server->log, FL_LOG_WARN, "[sidecar] drain is over: closing %u open connections",
		   open_connections(server));
	stop(server);
}

const struct fl_conf *fl_server_conf(const struct fl_server *server)
{
	return server->current != NULL ? server->current->conf : server->conf;
}

static void drain(struct fl_server *server)
{
	uint32_t drain_ms = fl_server_conf(server)->sidecar.drain_ms;

	server->phase = DRAINING;
	fl_capture_probe_stop(server->capture);
	fl_log_msg(server->log, FL_LOG_INFO,
		   "stopping: %u connections may finish, for at most %u ms",
		   open_connections(server), drain_ms);
	FL_REQUIRE(uv_timer_start(&server->drain_timer, on_drain_timeout, drain_ms, 0) == 0);
	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_worker_post_drain(server->workers[i]);
	}
}

bool fl_server_drain(struct fl_server *server)
{
	if (server->phase == DRAINING || server->phase == STOPPED) {
		return false;
	}
	drain(server);
	return true;
}

unsigned fl_server_open_connections(const struct fl_server *server)
{
	return open_connections(server);
}

bool fl_server_set_log_level(struct fl_server *server, const enum fl_log_level *level)
{
	bool all = true;

	server->log_level_is_set = level != NULL;
	server->log->level = level != NULL ? *level : fl_server_conf(server)->log.level;
	for (unsigned i = 0; i < server->worker_count; i++) {
		all &= fl_worker_post_log_level(server->workers[i], server->log->level,
						level != NULL);
	}
	return all;
}

bool fl_server_agent_uid(const struct fl_server *server, uid_t *ret)
{
	return fl_agent_link_uid(server->agent, ret);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct fl_server *server = handle->data;

	(void)signum;
	if (server->phase == DRAINING) {
		fl_log_msg(server->log, FL_LOG_WARN, "second signal: closing %u open connections",
			   open_connections(server));
		stop(server);
	} else if (server->phase != STOPPED) {
		drain(server);
	}
}

/* --- life -------------------------------------------------------------------------------------- */

static void on_turn_over(uv_prepare_t *prepare)
{
	fl_log_flush(FL_CONTAINER_OF(prepare, struct fl_server, turn_over)->log);
}

static bool probes_seen(void *user, uint64_t *ret_count)
{
	const struct fl_server *server = user;

	if (server->phase != SERVING || !fl_server_all_serving(server)) {
		return false;
	}
	*ret_count = 0;
	for (unsigned i = 0; i < server->worker_count; i++) {
		*ret_count += __atomic_load_n(&server->workers[i]->loop.counters.probes,
					      __ATOMIC_RELAXED);
	}
	return true;
}

static void init_handles(struct fl_server *server)
{
	FL_REQUIRE(uv_loop_init(&server->loop) == 0);
	fl_net_init(&server->net, &server->loop, MAIN_READ_BUFFER);
	fl_mailbox_init(&server->mailbox, &server->loop, server, NULL);
	FL_REQUIRE(uv_timer_init(&server->loop, &server->drain_timer) == 0);
	FL_REQUIRE(uv_signal_init(&server->loop, &server->sigterm) == 0);
	FL_REQUIRE(uv_signal_init(&server->loop, &server->sigint) == 0);
	FL_REQUIRE(uv_prepare_init(&server->loop, &server->turn_over) == 0);
	FL_REQUIRE(uv_prepare_start(&server->turn_over, on_turn_over) == 0);
	uv_unref((uv_handle_t *)&server->turn_over);
	server->sigterm.data = server->sigint.data = server;
	server->resolver = fl_resolver_new(&server->loop, server->log, &resolver_events, server);
	server->capture =
		fl_capture_probe_open(&server->net, server->conf, server->log, probes_seen, server);
	server->agent =
		fl_agent_link_open(&server->net, server->conf, server->log, &agent_events, server);
}

int fl_server_new(const struct fl_conf *conf, struct fl_log *log, struct fl_server **ret,
		  struct fl_err *err)
{
	struct fl_server *server = fl_new(sizeof(*server));
	int rc;

	server->conf = conf;
	server->log = log;
	server->started_at = (int64_t)time(NULL);
	raise_descriptor_limit(server, conf);
	init_handles(server);
	server->net.farewells_max = fl_server_callers(server) / 2;
	rc = make_workers(server, err);
	if (rc != 0) {
		fl_server_free(server);
		return rc;
	}
	*ret = server;
	return 0;
}

struct fl_net *fl_server_net(struct fl_server *server)
{
	return &server->net;
}

unsigned fl_server_callers(const struct fl_server *server)
{
	struct rlimit limit;

	(void)server;
	return fl_budget_callers(getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024);
}

void fl_server_on_stop(struct fl_server *server, void (*cb)(void *user), void *user)
{
	server->on_stop = cb;
	server->on_stop_user = user;
}

/* Signals are for the main thread; workers are born with them blocked. */
static int start_workers(struct fl_server *server, struct fl_err *err)
{
	sigset_t all, before;
	int rc = 0;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	for (unsigned i = 0; i < server->worker_count && rc == 0; i++) {
		rc = fl_worker_start(server->workers[i], err);
		if (rc == 0) {
			server->started++;
		}
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int fl_server_run(struct fl_server *server, struct fl_err *err)
{
	int rc;

	FL_REQUIRE(uv_signal_start(&server->sigterm, on_signal, SIGTERM) == 0);
	FL_REQUIRE(uv_signal_start(&server->sigint, on_signal, SIGINT) == 0);
	rc = start_workers(server, err);
	if (rc != 0) {
		return rc;
	}
	fl_log_msg(server->log, FL_LOG_INFO, "started: %u workers, waiting for the agent at %s",
		   server->worker_count, server->conf->agent.socket);
	(void)uv_run(&server->loop, UV_RUN_DEFAULT);
	return 0;
}

void fl_server_free(struct fl_server *server)
{
	if (server == NULL) {
		return;
	}
	stop(server);
	uv_close((uv_handle_t *)&server->turn_over, NULL);
	(void)uv_run(&server->loop, UV_RUN_DEFAULT);
	FL_REQUIRE(uv_loop_close(&server->loop) == 0);
	fl_generation_unref(server->current);
	fl_tallies_done(&server->tallies);
	fl_net_done(&server->net);
	fl_log_flush(server->log);
	fl_plaintext_counts_free(server->plain);
	fl_conntrack_close(&server->conntrack);
	fl_peer_counts_free(server->peers);
	fl_mailbox_done(&server->mailbox);
	free(server->worker_boxes);
	free(server->workers);
	free(server->made);
	free(server);
}
