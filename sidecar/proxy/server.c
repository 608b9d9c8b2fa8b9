/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The main thread.
 *
 * Happy path: bind, start the workers, connect to the agent; the first generation opens the listeners; SIGTERM drains
 * and then stops.
 *
 * A generation: parsed and judged again, its TLS contexts built here, off the data path, one share for each worker; only
 * when all of that has succeeded are the workers told. Failure: the old generation goes on, the agent is told why.
 *
 * Stop: workers are told, joined, then the handles of the main loop are closed, and the loop ends by itself. */
#include "proxy/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/agent_link.h"
#include "proxy/cpus.h"
#include "proxy/resolver.h"
#include "proxy/worker.h"

#define MAIN_READ_BUFFER (64u * 1024)
#define UNIX_LISTENER_MODE                                                                         \
	0666 /* who may connect is the directory's business, as for a TCP port on loopback */
#define MAX_WORKERS 256u

enum phase { STARTING, SERVING, DRAINING, STOPPED };

/* A Unix socket that we have made; ino 0: none. */
struct made_path {
	dev_t dev;
	ino_t ino;
};

struct fl_server {
	const struct fl_conf *conf; /* of the start: listeners, workers, paths */
	struct fl_log *log;
	uv_loop_t loop;
	struct fl_net net;
	enum phase phase;
	struct fl_worker **workers;
	struct made_path *made; /* one for each upstream of conf */
	unsigned worker_count;
	unsigned started;              /* workers with a running thread */
	struct fl_generation *current; /* NULL before the first */
	struct fl_rotations rotations;
	bool refusal_is_over; /* of a candidate: the agent has taken it back */
	int64_t started_at;   /* seconds since the epoch */
	struct fl_agent_link *agent;
	struct fl_resolver *resolver;
	uv_async_t worker_idle;
	uv_timer_t drain_timer;
	uv_check_t turn_over;
	uv_signal_t sigterm, sigint;
	void (*on_stop)(void *user);
	void *on_stop_user;
};

/* --- binding ----------------------------------------------------------------------------------- */

/* SO_REUSEPORT lets a second sidecar of the same user share our ports in silence: ask first without it. */
static int refuse_shared_port(const struct fl_addr *addr, struct fl_err *err)
{
	int fd, rc;

	if (addr->kind == FL_ADDR_UNIX) {
		return 0;
	}
	rc = fl_net_bind(addr, false, 0, &fd, err);
	if (rc == 0) {
		close(fd);
	}
	return rc;
}

static int bind_endpoint(struct fl_endpoint *endpoint, const struct fl_addr *addr,
			 const struct fl_endpoint *first, struct fl_err *err)
{
	int rc;

	endpoint->is_unix = addr->kind == FL_ADDR_UNIX;
	endpoint->port = addr->port;
	if (endpoint->is_unix && first != NULL) {
		/* One path, one socket: the workers share its queue. */
		endpoint->fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
		return endpoint->fd >= 0
			       ? 0
			       : fl_err_sys(err, errno, "cannot share a socket between workers");
	}
	rc = first == NULL ? refuse_shared_port(addr, err) : 0;
	return rc == 0 ? fl_net_bind(addr, true, UNIX_LISTENER_MODE, &endpoint->fd, err) : rc;
}

/* The endpoints of one worker; `first` are those of worker 0, or NULL when these are they. */
static int bind_endpoints(const struct fl_conf *conf, struct fl_endpoint *endpoints,
			  const struct fl_endpoint *first, struct fl_err *err)
{
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < conf->service_count; i++, n++) {
		endpoints[n].direction = FL_INBOUND;
		endpoints[n].name = fl_strdup(conf->services[i].name);
		rc = bind_endpoint(&endpoints[n], &conf->services[i].listen,
				   first != NULL ? &first[n] : NULL, err);
		if (rc != 0) {
			return fl_err_prefix(err, "%s:%u: [service %s]", conf->path,
					     conf->services[i].line, conf->services[i].name);
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++, n++) {
		endpoints[n].direction = FL_OUTBOUND;
		endpoints[n].name = fl_strdup(conf->upstreams[i].name);
		rc = bind_endpoint(&endpoints[n], &conf->upstreams[i].listen,
				   first != NULL ? &first[n] : NULL, err);
		if (rc != 0) {
			return fl_err_prefix(err, "%s:%u: [upstream %s]", conf->path,
					     conf->upstreams[i].line, conf->upstreams[i].name);
		}
	}
	return 0;
}

static void on_worker_idle(void *user)
{
	struct fl_server *server = user;

	(void)uv_async_send(&server->worker_idle);
}

/* Whose sockets the paths are from now on. */
static void note_paths(struct fl_server *server)
{
	const struct fl_conf *conf = server->conf;
	const struct fl_endpoint *upstreams = server->workers[0]->endpoints + conf->service_count;
	struct stat st;

	server->made = fl_new((conf->upstream_count + 1) * sizeof(*server->made));
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (upstreams[i].is_unix && upstreams[i].fd >= 0 &&
		    lstat(conf->upstreams[i].listen.sa.un.sun_path, &st) == 0) {
			server->made[i] = (struct made_path){.dev = st.st_dev, .ino = st.st_ino};
		}
	}
}

static int make_workers(struct fl_server *server, struct fl_err *err)
{
	const struct fl_conf *conf = server->conf;
	size_t count = conf->service_count + conf->upstream_count;
	unsigned wanted = conf->sidecar.workers != 0 ? conf->sidecar.workers : fl_cpus_available();
	int rc = 0;

	if (wanted > MAX_WORKERS) {
		wanted = MAX_WORKERS;
	}
	server->workers = fl_new(wanted * sizeof(struct fl_worker *));
	for (unsigned i = 0; i < wanted && rc == 0; i++) {
		struct fl_endpoint *endpoints = fl_new((count + 1) * sizeof(*endpoints));

		for (size_t k = 0; k < count; k++) {
			endpoints[k].fd = -1;
		}
		rc = bind_endpoints(conf, endpoints, i > 0 ? server->workers[0]->endpoints : NULL,
				    err);
		server->workers[i] = fl_worker_new(conf, wanted, server->log, endpoints, count,
						   on_worker_idle, server);
		server->worker_count++;
	}
	note_paths(server);
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

static int make_shares(struct fl_server *server, struct fl_generation *generation,
		       struct fl_share **shares, struct fl_err *err)
{
	int rc = 0;

	for (unsigned i = 0; i < server->worker_count && rc == 0; i++) {
		rc = fl_share_new(generation, &shares[i], err);
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

static void log_restart_needed(struct fl_server *server, const struct fl_conf *conf)
{
	for (size_t i = 0; i < conf->service_count + conf->upstream_count; i++) {
		bool is_service = i < conf->service_count;
		const char *name = is_service ? conf->services[i].name
					      : conf->upstreams[i - conf->service_count].name;
		bool known = false;

		for (size_t k = 0; k < server->workers[0]->endpoint_count; k++) {
			known = known || strcmp(server->workers[0]->endpoints[k].name, name) == 0;
		}
		if (!known) {
			fl_log_msg(server->log, FL_LOG_WARN,
				   "[%s %s] is new: its listener needs a restart of the sidecar",
				   is_service ? "service" : "upstream", name);
		}
	}
}

/* Each connection is two descriptors; the soft limit is often 1024. */
static void raise_descriptor_limit(struct fl_server *server, const struct fl_conf *conf)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)conf->limits.connections * 2 + 64;

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
	server->log->level = conf->log.level;
	server->log->format = conf->log.format;
	raise_descriptor_limit(server, conf);
}

static int use_generation(struct fl_server *server, struct fl_generation *generation,
			  struct fl_err *err)
{
	struct fl_share **shares = fl_new(server->worker_count * sizeof(struct fl_share *));
	int rc = make_shares(server, generation, shares, err);

	if (rc == 0) {
		/* Addresses first: a worker that opens its listeners knows where they lead. */
		fl_resolver_set(server->resolver, generation->conf);
		for (unsigned i = 0; i < server->worker_count; i++) {
			fl_worker_post_share(server->workers[i], shares[i]);
		}
		fl_generation_unref(server->current);
		server->current = fl_generation_ref(generation);
		apply_settings(server, generation->conf);
		server->rotations.used++;
		server->rotations.last_used = (int64_t)time(NULL);
		if (server->phase == STARTING) {
			server->phase = SERVING;
		}
	}
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
	int rc = fl_generation_new(message, (int64_t)time(NULL), server->current, &generation, err);

	if (rc == 0) {
		rc = use_generation(server, generation, err);
		if (rc == 0) {
			log_generation(server, generation);
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

/* --- readiness --------------------------------------------------------------------------------- */

static bool all_serving(const struct fl_server *server)
{
	for (unsigned i = 0; i < server->worker_count; i++) {
		if (!fl_worker_serving(server->workers[i])) {
			return false;
		}
	}
	return true;
}

bool fl_server_ready(struct fl_server *server, char *reason, size_t size)
{
	const struct fl_rotations *rotations = &server->rotations;

	reason[0] = '\0';
	if (server->phase == DRAINING || server->phase == STOPPED) {
		(void)snprintf(reason, size, "draining: the sidecar stops");
	} else if (server->current == NULL && rotations->by_sidecar.current) {
		(void)snprintf(reason, size, "no usable generation: %s",
			       rotations->by_sidecar.text);
	} else if (server->current == NULL && rotations->by_agent.current) {
		(void)snprintf(reason, size, "no usable generation: %s", rotations->by_agent.text);
	} else if (server->current == NULL) {
		const char *trouble = fl_agent_link_trouble(server->agent);

		(void)snprintf(
			reason, size, "no generation yet: %s",
			trouble[0] != '\0'
				? trouble
				: "the agent has not sent one; its log says what it waits for");
	} else if (!fl_expiries_usable(&server->current->expiries, (int64_t)time(NULL), reason,
				       size)) {
		return false;
	} else if (!all_serving(server)) {
		(void)snprintf(reason, size, "the workers are opening their listeners");
	}
	return reason[0] == '\0';
}

/* --- what there is to tell ---------------------------------------------------------------------- */

static void snapshot_listeners(const struct fl_server *server, struct fl_snapshot *ret)
{
	const struct fl_conf *conf = server->conf;
	const struct fl_generation *now = server->current;
	bool open = server->phase == SERVING && all_serving(server);
	struct fl_listening *at;

	ret->listeners = fl_new((conf->service_count + conf->upstream_count + 1) * sizeof(*at));
	at = ret->listeners;
	for (size_t i = 0; i < conf->service_count; i++, at++) {
		const struct fl_conf_service *service = &conf->services[i];

		*at = (struct fl_listening){
			.section = "service", .name = service->name, .address = &service->listen};
		service = now != NULL ? fl_generation_service(now, service->name) : service;
		if (service != NULL) {
			at->leads_to = &service->app;
			at->leads_to_count = 1;
			at->serving = open;
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++, at++) {
		const struct fl_conf_upstream *upstream = &conf->upstreams[i];

		*at = (struct fl_listening){.section = "upstream",
					    .name = upstream->name,
					    .address = &upstream->listen};
		upstream = now != NULL ? fl_generation_upstream(now, upstream->name) : upstream;
		if (upstream != NULL) {
			at->leads_to = upstream->to;
			at->leads_to_count = upstream->to_count;
			at->serving = open;
		}
	}
	ret->listener_count = (size_t)(at - ret->listeners);
}

void fl_server_snapshot(struct fl_server *server, struct fl_snapshot *ret)
{
	const struct fl_generation *now = server->current;

	*ret = (struct fl_snapshot){
		.now = (int64_t)time(NULL),
		.started = server->started_at,
		.pid = getpid(),
		.workers = server->worker_count,
		.generation = now != NULL ? now->number : 0,
		.digest = now != NULL ? now->digest : NULL,
		.expiries = now != NULL ? &now->expiries : NULL,
		.rotations = &server->rotations,
		.agent_connected = fl_agent_link_connected(server->agent),
		.agent_trouble = fl_agent_link_trouble(server->agent),
		.log_lines_lost = fl_log_lost(server->log),
	};
	ret->ready = fl_server_ready(server, ret->reason, sizeof(ret->reason));
	for (unsigned i = 0; i < server->worker_count; i++) {
		const struct fl_worker *worker = server->workers[i];

		fl_counters_add(&ret->counters, &worker->counters);
		ret->log_lines_lost += fl_log_lost(&worker->log);
		for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
			ret->open[d] += fl_worker_open(worker, d);
		}
	}
	snapshot_listeners(server, ret);
}

/* --- the end ----------------------------------------------------------------------------------- */

/* Only what is still ours: a successor may have taken the path while we drained. */
static void unlink_sockets(const struct fl_server *server)
{
	for (size_t i = 0; i < server->conf->upstream_count; i++) {
		const char *path = server->conf->upstreams[i].listen.sa.un.sun_path;
		const struct made_path *made = &server->made[i];
		struct stat st;

		if (made->ino != 0 && lstat(path, &st) == 0 && st.st_dev == made->dev &&
		    st.st_ino == made->ino) {
			(void)unlink(path);
		}
	}
}

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
	server->worker_count = server->started = 0;
	unlink_sockets(server);
	if (server->on_stop != NULL) {
		server->on_stop(server->on_stop_user);
	}
	fl_agent_link_close(server->agent);
	fl_resolver_close(server->resolver);
	uv_close((uv_handle_t *)&server->worker_idle, NULL);
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

static void stop_if_idle(struct fl_server *server)
{
	if (server->phase == DRAINING && open_connections(server) == 0) {
		fl_log_msg(server->log, FL_LOG_INFO, "drained");
		stop(server);
	}
}

static void on_idle_signal(uv_async_t *async)
{
	stop_if_idle(FL_CONTAINER_OF(async, struct fl_server, worker_idle));
}

static void on_drain_timeout(uv_timer_t *timer)
{
	struct fl_server *server = FL_CONTAINER_OF(timer, struct fl_server, drain_timer);

	fl_log_msg(server->log, FL_LOG_WARN, "[sidecar] drain is over: closing %u open connections",
		   open_connections(server));
	stop(server);
}

static void drain(struct fl_server *server)
{
	const struct fl_conf *conf = server->current != NULL ? server->current->conf : server->conf;
	uint32_t drain_ms = conf->sidecar.drain_ms;

	server->phase = DRAINING;
	fl_log_msg(server->log, FL_LOG_INFO,
		   "stopping: %u connections may finish, for at most %u ms",
		   open_connections(server), drain_ms);
	FL_REQUIRE(uv_timer_start(&server->drain_timer, on_drain_timeout, drain_ms, 0) == 0);
	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_worker_post_drain(server->workers[i]);
	}
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

static void on_turn_over(uv_check_t *check)
{
	fl_log_flush(FL_CONTAINER_OF(check, struct fl_server, turn_over)->log);
}

static void init_handles(struct fl_server *server)
{
	FL_REQUIRE(uv_loop_init(&server->loop) == 0);
	fl_net_init(&server->net, &server->loop, MAIN_READ_BUFFER);
	FL_REQUIRE(uv_async_init(&server->loop, &server->worker_idle, on_idle_signal) == 0);
	FL_REQUIRE(uv_timer_init(&server->loop, &server->drain_timer) == 0);
	FL_REQUIRE(uv_signal_init(&server->loop, &server->sigterm) == 0);
	FL_REQUIRE(uv_signal_init(&server->loop, &server->sigint) == 0);
	FL_REQUIRE(uv_check_init(&server->loop, &server->turn_over) == 0);
	FL_REQUIRE(uv_check_start(&server->turn_over, on_turn_over) == 0);
	uv_unref((uv_handle_t *)&server->turn_over);
	server->sigterm.data = server->sigint.data = server;
	server->resolver = fl_resolver_new(&server->loop, server->log, on_targets, server);
	server->agent = fl_agent_link_open(&server->net, server->conf->agent.socket, server->log,
					   &agent_events, server);
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

	(void)signal(SIGPIPE, SIG_IGN);
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
	fl_net_done(&server->net);
	fl_log_flush(server->log);
	free(server->workers);
	free(server->made);
	free(server);
}
