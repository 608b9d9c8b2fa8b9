/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The life cycle of a worker: the main thread creates it, its own thread runs it. The messages
 * between the two are in worker_mail.c, the listeners in listeners.c.
 *
 * End: drain closes the listeners and reports when nothing is open. Stop cuts the remaining
 * connections and ends the loop, which returns when the last handle is closed. */
#include "worker/worker_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "conn/connections.h"
#include "conn/parking.h"
#include "tls/tls.h"
#include "worker/budget.h"

#define MANY_LANES 1024u /* enough lanes that destinations, or networks, seldom share one */

/* --- main thread ------------------------------------------------------------------------------- */

static uint64_t descriptors_allowed(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

void fl_worker_apply_limits(struct fl_worker *worker, const struct fl_conf *conf)
{
	struct fl_budget budget = fl_budget_of(conf, descriptors_allowed(), worker->worker_count,
					       (unsigned)worker->listeners.count);
	struct fl_loop_maxima maxima = {.strangers = budget.strangers,
					.handshakes = budget.handshakes,
					.connections = budget.connections,
					.farewells = budget.farewells,
					.sessions = budget.sessions};

	fl_loop_set_limits(&worker->loop, conf, &maxima);
	if (!worker->log_level_is_set) {
		worker->loop.log.level = conf->log.level;
	}
}

static struct fl_loop_lanes lanes_of(const struct fl_listeners *listeners,
				     enum fl_direction direction)
{
	unsigned count = 0;
	bool captures = direction == FL_INBOUND; /* inbound lanes are per network */

	for (size_t i = 0; i < listeners->count; i++) {
		const struct fl_endpoint *endpoint = &listeners->items[i].endpoint;

		if (endpoint->direction == direction) {
			count++;
			captures = captures || endpoint->captures;
		}
	}
	return (struct fl_loop_lanes){.count = captures ? MANY_LANES
							: (uint32_t)listeners->count + 1,
				      .is_shared = captures || count > 1};
}

/* Includes the port of the admin endpoint. */
static struct fl_own_port *own_ports_of(const struct fl_conf *conf,
					const struct fl_listeners *listeners, size_t *ret_count)
{
	struct fl_own_port *ports = fl_new((listeners->count + 1) * sizeof(*ports));
	size_t count = 0;

	if (conf->sidecar.admin.kind != FL_ADDR_NONE) {
		ports[count++] = (struct fl_own_port){.port = conf->sidecar.admin.port};
	}
	for (size_t i = 0; i < listeners->count; i++) {
		const struct fl_endpoint *endpoint = &listeners->items[i].endpoint;

		if (!endpoint->is_unix) {
			ports[count++] = (struct fl_own_port){.port = endpoint->port,
							      .is_for_app = endpoint->direction ==
									    FL_OUTBOUND};
		}
	}
	*ret_count = count;
	return ports;
}

/* --- hooks for connections
 * --------------------------------------------------------------------- */

static void report_if_idle(struct fl_worker *worker)
{
	if (worker->draining && fl_loop_is_empty(&worker->loop)) {
		fl_worker_report_idle(worker);
	}
}

static void on_open_changed(void *user)
{
	struct fl_worker *worker = user;

	fl_trim_note(&worker->trim, fl_loop_open_connections(&worker->loop));
	report_if_idle(worker);
}

static void on_keep_changed(void *user)
{
	struct fl_worker *worker = user;

	fl_listeners_tune(&worker->listeners, &worker->loop);
}

static void want_name(void *user, size_t name)
{
	struct fl_worker *worker = user;

	fl_wanted_names_add(&worker->wanted_names, name, worker->main);
}

static bool admit_stream(void *user, struct fl_stream *stream)
{
	struct fl_worker *worker = user;

	return fl_review_admit_stream(&worker->review, stream);
}

static void ask_signatures(void *user)
{
	fl_sign_link_ask(&((struct fl_worker *)user)->sign_link);
}

static void on_relay(void *user, struct fl_stream *stream)
{
	struct fl_worker *worker = user;

	fl_review_on_relay(&worker->review, stream);
}

/* --- life --------------------------------------------------------------------------------------- */

struct fl_worker *fl_worker_new(const struct fl_worker_options *options)
{
	struct fl_worker *worker = fl_new(sizeof(*worker));
	struct fl_loop_options loop = {
		.conf = options->conf,
		.log = options->log,
		.hooks = {.user = worker,
			  .on_open_changed = on_open_changed,
			  .on_keep_changed = on_keep_changed,
			  .want_name = want_name,
			  .admit_stream = admit_stream,
			  .on_relay = on_relay,
			  .ask_signatures = ask_signatures},
		.lanes = {[FL_INBOUND] = lanes_of(&options->listeners, FL_INBOUND),
			  [FL_OUTBOUND] = lanes_of(&options->listeners, FL_OUTBOUND)},
		.peers = options->peers,
		.number = options->number,
		.workers = options->worker_count,
		.callers_max = FL_CALLERS_MAX / options->worker_count + 1,
		.conntrack = options->conntrack,
	};

	worker->listeners = options->listeners;
	worker->worker_count = options->worker_count;
	loop.own_ports = own_ports_of(options->conf, &worker->listeners, &loop.own_port_count);
	FL_REQUIRE(uv_loop_init(&worker->uv) == 0);
	fl_worker_init_mail(worker, options->main, options->events);
	fl_loop_init(&worker->loop, &worker->uv, &loop);
	fl_listeners_attach(&worker->listeners, &worker->loop);
	worker->log_level_is_set = true;
	fl_worker_apply_limits(worker, options->conf);
	worker->log_level_is_set = false;
	fl_review_init(&worker->review, &worker->loop);
	fl_trim_init(&worker->trim, &worker->uv);
	fl_sign_link_init(&worker->sign_link, &worker->loop, options->conf);
	return worker;
}

unsigned fl_worker_open(const struct fl_worker *worker, enum fl_direction direction)
{
	return fl_loop_open(&worker->loop, direction);
}

unsigned fl_worker_open_connections(const struct fl_worker *worker)
{
	return fl_loop_open_connections(&worker->loop);
}

bool fl_worker_is_empty(const struct fl_worker *worker)
{
	return fl_loop_is_empty(&worker->loop);
}

unsigned fl_worker_idle_sessions(const struct fl_worker *worker, enum fl_direction direction)
{
	return fl_loop_idle_sessions(&worker->loop, direction);
}

enum fl_endpoint_state fl_worker_endpoint_state(const struct fl_worker *worker, size_t number)
{
	return fl_listeners_state(&worker->listeners, number);
}

enum fl_sign_state fl_worker_sign_state(const struct fl_worker *worker)
{
	return fl_sign_link_state(&worker->sign_link);
}

bool fl_worker_serving(const struct fl_worker *worker)
{
	return __atomic_load_n(&worker->serving, __ATOMIC_ACQUIRE);
}

void fl_worker_join(struct fl_worker *worker)
{
	FL_REQUIRE(uv_thread_join(&worker->thread) == 0);
	worker->is_started = false;
}

/* --- worker thread ------------------------------------------------------------------------------ */

void fl_worker_drain(struct fl_worker *worker)
{
	worker->draining = true;
	fl_listeners_close(&worker->listeners);
	fl_parking_drain(&worker->loop);
	report_if_idle(worker);
}

void fl_worker_stop(struct fl_worker *worker)
{
	worker->draining = false;
	fl_listeners_close(&worker->listeners);
	fl_connections_end_all(&worker->loop);
	fl_review_close(&worker->review);
	fl_trim_close(&worker->trim);
	fl_sign_link_close(&worker->sign_link);
	fl_loop_close(&worker->loop);
	fl_mailbox_close(&worker->mailbox);
}

void fl_worker_list(struct fl_worker *worker, struct fl_listing *ret)
{
	fl_connections_list(&worker->loop, ret);
}

static void run_loop(struct fl_worker *worker)
{
	FL_REQUIRE(fl_loop_run(&worker->loop) == 0);
}

static void run(void *arg)
{
	(void)pthread_setname_np(pthread_self(), "fl-worker");
	run_loop(arg);
	fl_tls_thread_done();
}

int fl_worker_start(struct fl_worker *worker, struct fl_err *err)
{
	int rc = uv_thread_create(&worker->thread, run, worker);

	worker->is_started = rc == 0;
	return rc == 0 ? 0 : fl_err_sys(err, -rc, "cannot start a worker thread");
}

void fl_worker_free(struct fl_worker *worker)
{
	FL_REQUIRE(!worker->is_started);
	if (!worker->loop.stopping) {
		/* A worker that was never started: only running the loop once can close its
		 * handles, so do it here. */
		fl_worker_post_stop(worker);
		run_loop(worker);
	}
	FL_REQUIRE(uv_loop_close(&worker->uv) == 0);
	fl_mailbox_done(&worker->mailbox);
	fl_listeners_done(&worker->listeners);
	fl_sign_link_done(&worker->sign_link);
	fl_loop_done(&worker->loop);
	free(worker);
}
