/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The main thread's life: workers, signals and drain. The rest is in the files beside this one:
 * server_generations.c handles what the agent sends; server_snapshot.c, server_listings.c and
 * server_preview.c answer requests for data.
 *
 * Happy path: bind, start the workers, connect to the agent. The first generation opens the
 * listeners. SIGTERM drains and then stops.
 *
 * Stop: tell the workers to stop, join them, close the handles of the main loop. Then the loop ends
 * by itself. */
#include "server/server_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/notify.h"
#include "worker/budget.h"
#include "worker/cpus.h"

#define MAIN_READ_BUFFER (64u * 1024)
#define MAX_WORKERS 256u
#define UNTIL_READY_MS 50u

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
	server->plaintext = fl_plaintext_counts_new(wanted);
	server->peer_counts = fl_peer_counts_new(wanted, FL_PEERS_MAX);
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
			.peers = server->peer_counts,
			.conntrack = &server->conntrack,
			.main = &server->mailbox,
			.events = &worker_events,
		};

		rc = fl_bind_endpoints(conf, options.listeners.items,
				       i > 0 ? server->workers[0]->listeners.items : NULL,
				       server->inherited, err);
		server->workers[i] = fl_worker_new(&options);
		server->worker_boxes[i] = &server->workers[i]->mailbox;
		server->worker_count++;
	}
	server->made = fl_bind_note_paths(server->workers[0]->listeners.items, count);
	return rc;
}

/* The soft limit is often as low as 1024. */
void fl_server_raise_descriptor_limit(struct fl_server *server, const struct fl_conf *conf)
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
			"[limits] connections = %u needs %llu descriptors, the system allows %llu: fewer connections can be open",
			conf->limits.connections, (unsigned long long)wanted,
			(unsigned long long)limit.rlim_cur);
	}
}

/* --- the service manager ------------------------------------------------------------------------- */

static void tell_manager(struct fl_server *server, const char *state)
{
	struct fl_err err;

	if (fl_notify(state, &err) != FL_OK) {
		fl_log_msg(server->log, FL_LOG_WARN, "%s", err.text);
	}
}

/* No event reports readiness, so a timer polls it. */
static void on_until_ready(uv_timer_t *timer)
{
	struct fl_server *server = FL_CONTAINER_OF(timer, struct fl_server, until_ready);
	char reason[FL_ERR_TEXTS];

	if (!fl_server_ready(server, reason, sizeof(reason))) {
		return;
	}
	(void)uv_timer_stop(timer);
	server->has_served = true;
	/* The manager first: if the main process ended that it knows, it would end the others. */
	if (server->replaces) {
		(void)snprintf(reason, sizeof(reason), "MAINPID=%ld\n%s", (long)getpid(),
			       FL_NOTIFY_READY);
		tell_manager(server, reason);
	} else {
		tell_manager(server, FL_NOTIFY_READY);
	}
	if (server->on_ready != NULL) {
		server->on_ready(server->on_ready_user);
	}
}

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
	fl_mailbox_close(&server->mailbox); /* what is in it belongs to the workers */
	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_worker_free(server->workers[i]);
	}
	fl_server_drop_listings(server);
	fl_server_drop_preview(server);
	server->worker_count = server->started = 0;
	if (server->on_stop != NULL) {
		server->on_stop(server->on_stop_user);
	}
	fl_bind_unlink_paths(server->made, server->has_served);
	fl_agent_link_close(server->agent);
	fl_resolver_close(server->resolver);
	fl_capture_probe_close(server->capture);
	uv_close((uv_handle_t *)&server->drain_timer, NULL);
	uv_close((uv_handle_t *)&server->until_ready, NULL);
	uv_close((uv_handle_t *)&server->history_timer, NULL);
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

/* Sessions without a connection have to end in order, or a peer could lose one that it opens just now. */
static bool all_empty(const struct fl_server *server)
{
	for (unsigned i = 0; i < server->worker_count; i++) {
		if (!fl_worker_is_empty(server->workers[i])) {
			return false;
		}
	}
	return true;
}

static void stop_if_idle(void *user)
{
	struct fl_server *server = user;

	if (server->phase == DRAINING && all_empty(server)) {
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
	tell_manager(server, FL_NOTIFY_STOPPING);
	drain(server);
	return true;
}

void fl_server_leave_paths(struct fl_server *server)
{
	server->made[0].path = NULL;
}

/* The service is not stopping. */
void fl_server_replaced(struct fl_server *server)
{
	if (server->phase == STOPPED) {
		return;
	}
	fl_log_msg(server->log, FL_LOG_INFO, "replaced by another sidecar, which has our sockets");
	server->is_replaced = true;
	if (server->phase != DRAINING) {
		drain(server);
	}
}

size_t fl_server_listening(const struct fl_server *server, int *fds, size_t max)
{
	size_t count = 0;

	if (server->phase != SERVING || !fl_server_all_serving(server)) {
		return 0;
	}
	for (unsigned i = 0; i < server->worker_count; i++) {
		const struct fl_listeners *listeners = &server->workers[i]->listeners;

		for (size_t k = 0; k < listeners->count && count < max; k++) {
			if (fl_listeners_state(listeners, k) == FL_ENDPOINT_OPEN) {
				fds[count++] = listeners->items[k].shared_fd;
			}
		}
	}
	return count;
}

void fl_server_on_ready(struct fl_server *server, void (*cb)(void *user), void *user)
{
	server->on_ready = cb;
	server->on_ready_user = user;
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

static void on_signal(uv_signal_t *handle, int signum)
{
	struct fl_server *server = handle->data;

	(void)signum;
	if (server->is_replaced) {
		/* A manager that stops the service tells all its processes, once and again when the
		 * main one has ended. We drain already. */
		fl_log_msg(server->log, FL_LOG_DEBUG, "a signal: draining already");
	} else if (server->phase == DRAINING) {
		fl_log_msg(server->log, FL_LOG_WARN, "second signal: closing %u open connections",
			   open_connections(server));
		stop(server);
	} else {
		(void)fl_server_drain(server);
	}
}

/* --- life -------------------------------------------------------------------------------------- */

static void on_turn_over(uv_prepare_t *prepare)
{
	fl_log_flush(FL_CONTAINER_OF(prepare, struct fl_server, turn_over)->log);
}

static bool count_probes(void *user, uint64_t *ret_count)
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
	FL_REQUIRE(uv_timer_init(&server->loop, &server->until_ready) == 0);
	fl_server_history_start(server);
	FL_REQUIRE(uv_signal_init(&server->loop, &server->sigterm) == 0);
	FL_REQUIRE(uv_signal_init(&server->loop, &server->sigint) == 0);
	FL_REQUIRE(uv_prepare_init(&server->loop, &server->turn_over) == 0);
	FL_REQUIRE(uv_prepare_start(&server->turn_over, on_turn_over) == 0);
	uv_unref((uv_handle_t *)&server->turn_over);
	server->sigterm.data = server->sigint.data = server;
	server->resolver =
		fl_resolver_new(&server->loop, server->log, &fl_server_resolver_events, server);
	server->capture = fl_capture_probe_open(&server->net, server->conf, server->log,
						count_probes, server);
	server->agent = fl_agent_link_open(&server->net, server->conf, server->log,
					   &fl_server_agent_events, server);
}

int fl_server_new(const struct fl_conf *conf, struct fl_log *log, struct fl_inherited *inherited,
		  struct fl_server **ret, struct fl_err *err)
{
	struct fl_server *server = fl_new(sizeof(*server));
	int rc;

	server->conf = conf;
	server->log = log;
	server->started_at = (int64_t)time(NULL);
	server->inherited = inherited;
	server->replaces = inherited != NULL;
	fl_usage_open(&server->usage_files);
	fl_server_raise_descriptor_limit(server, conf);
	init_handles(server);
	server->net.farewells_max = fl_server_admin_callers_max(server) / 2;
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

unsigned fl_server_admin_callers_max(const struct fl_server *server)
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

/* Only the main thread handles signals; they are blocked while workers start, so that workers
 * inherit the mask. The kernel sends SIGSYS to the thread that violates the sandbox; blocked, it would
 * end the process without a word. */
static int start_workers(struct fl_server *server, struct fl_err *err)
{
	sigset_t all, before;
	int rc = 0;

	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGSYS);
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

int fl_server_start(struct fl_server *server, struct fl_err *err)
{
	FL_REQUIRE(uv_signal_start(&server->sigterm, on_signal, SIGTERM) == 0);
	FL_REQUIRE(uv_signal_start(&server->sigint, on_signal, SIGINT) == 0);
	return start_workers(server, err);
}

void fl_server_run(struct fl_server *server, const struct fl_sandbox *sandbox)
{
	server->sandbox = sandbox;
	fl_log_msg(server->log, FL_LOG_INFO, "started: %u workers, waiting for the agent at %s",
		   server->worker_count, server->conf->agent.socket);
	if (fl_notify_is_wanted() || server->on_ready != NULL) {
		FL_REQUIRE(uv_timer_start(&server->until_ready, on_until_ready, 0,
					  UNTIL_READY_MS) == 0);
	}
	(void)uv_run(&server->loop, UV_RUN_DEFAULT);
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
	free(server->restart_keys);
	fl_rule_totals_done(&server->rule_totals);
	fl_net_done(&server->net);
	fl_log_flush(server->log);
	fl_plaintext_counts_free(server->plaintext);
	fl_section_set_unref(server->sections);
	fl_conntrack_close(&server->conntrack);
	fl_usage_close(&server->usage_files);
	fl_peer_counts_free(server->peer_counts);
	fl_mailbox_done(&server->mailbox);
	free(server->worker_boxes);
	free(server->workers);
	free(server->made);
	free(server);
}
