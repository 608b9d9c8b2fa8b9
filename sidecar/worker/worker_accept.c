/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker's listeners, and what becomes of those who connect.
 *
 * Happy path: each connection becomes a session (inbound) or a stream (outbound).
 *
 * Limits: everybody is accepted at once, for only then it can be told who is who. Inbound, strangers wait for a place for their
 * handshake in a crowd of bounded size (stranger.h); outbound, streams wait. Where `[limits] connections` has room for nobody of
 * that direction (quota.h), it is reset at once and a line says so, at most once a second. */
#include "worker/worker_internal.h"

#include <unistd.h>

#include "conn/conn.h"
#include "conn/inbound.h"
#include "conn/stranger.h"
#include "conn/stream.h"

#define LIMIT_LOG_EVERY_MS 1000u

/* --- accepting ------------------------------------------------------------------------------------- */

static void refuse_over_limit(struct fl_endpoint *endpoint, struct fl_listener *listener)
{
	struct fl_worker *worker = endpoint->worker;
	uint64_t now = uv_now(&worker->loop);
	bool quietly =
		worker->refused_at_ms != 0 && now - worker->refused_at_ms < LIMIT_LOG_EVERY_MS;

	if (!quietly) {
		worker->refused_at_ms = now;
	}
	fl_conn_refuse(endpoint, listener, FL_REASON_CONNECTION_LIMIT,
		       fl_quota_text(FL_QUOTA_DIRECTION, endpoint->direction), quietly);
}

static void serve(struct fl_endpoint *endpoint, struct fl_listener *listener)
{
	struct fl_sock *sock;
	struct fl_conn *conn = fl_conn_accept(endpoint, listener, &sock);

	if (conn == NULL) {
		return;
	}
	if (endpoint->direction == FL_INBOUND) {
		fl_inbound_start(conn, sock);
	} else {
		(void)fl_conn_admit(conn, NULL); /* there is room */
		fl_stream_outbound(conn, sock);
	}
	fl_conn_unref(conn); /* session and stream have their own references */
}

static void on_connection(void *user, struct fl_listener *listener)
{
	struct fl_endpoint *endpoint = user;

	if (fl_quota_has_room(&endpoint->worker->quota, endpoint->direction)) {
		serve(endpoint, listener);
	} else {
		refuse_over_limit(endpoint, listener);
	}
}

/* Those who fail at once settle, too: each is seen here, and not on top of the one before. */
void fl_worker_session_settled(struct fl_worker *worker)
{
	worker->settled_again = true;
	if (worker->settling) {
		return;
	}
	worker->settling = true;
	while (worker->settled_again && !worker->stopping) {
		worker->settled_again = false;
		fl_stream_serve_waiting(worker);
		fl_strangers_serve_waiting(worker);
	}
	worker->settling = false;
}

/* --- listeners ------------------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0) {
		close(*fd);
		*fd = -1;
	}
}

enum fl_endpoint_state fl_worker_endpoint_state(const struct fl_worker *worker, size_t number)
{
	FL_REQUIRE(number < worker->endpoint_count);
	return (enum fl_endpoint_state)__atomic_load_n(&worker->endpoints[number].state,
						       __ATOMIC_ACQUIRE);
}

static void set_endpoint_state(struct fl_endpoint *endpoint, enum fl_endpoint_state state)
{
	__atomic_store_n(&endpoint->state, (uint8_t)state, __ATOMIC_RELEASE);
}

static enum fl_endpoint_state open_listener(struct fl_worker *worker, struct fl_endpoint *endpoint)
{
	int fd = endpoint->fd;
	struct fl_err err;

	endpoint->fd = -1;
	if (fd < 0) {
		return FL_ENDPOINT_ABSENT;
	}
	if (fl_listener_open(&worker->net, fd, endpoint->is_unix, on_connection, endpoint,
			     &endpoint->listener, &err) == 0) {
		return FL_ENDPOINT_OPEN;
	}
	fl_log_msg(&worker->log, FL_LOG_ERROR, "[%s %s]: %s", fl_endpoint_section(endpoint),
		   endpoint->name, err.text);
	return FL_ENDPOINT_FAILED;
}

static bool is_for_tls_only(const struct fl_endpoint *endpoint, const struct fl_conf *conf)
{
	bool strict = conf->inbound.mode == FL_INBOUND_STRICT;

	if (!endpoint->captures) {
		return endpoint->service != NULL &&
		       endpoint->service->inbound.mode == FL_INBOUND_STRICT;
	}
	for (size_t i = 0; i < conf->service_count; i++) {
		strict = strict && conf->services[i].inbound.mode == FL_INBOUND_STRICT;
	}
	return strict;
}

void fl_worker_tune_listeners(struct fl_worker *worker)
{
	const struct fl_conf *conf = worker->share->generation->conf;

	for (size_t i = 0; i < worker->endpoint_count; i++) {
		struct fl_endpoint *endpoint = &worker->endpoints[i];

		if (endpoint->listener == NULL) {
			continue;
		}
		if (endpoint->direction == FL_INBOUND) {
			fl_listener_join_acks(endpoint->listener, is_for_tls_only(endpoint, conf));
			fl_listener_keep(endpoint->listener, worker->peer_timeout_ms);
		} else {
			fl_listener_keep(endpoint->listener, 0);
		}
	}
}

void fl_worker_open_listeners(struct fl_worker *worker)
{
	for (size_t i = 0; i < worker->endpoint_count; i++) {
		struct fl_endpoint *endpoint = &worker->endpoints[i];

		set_endpoint_state(endpoint, open_listener(worker, endpoint));
		close_fd(&endpoint->reserved_fd);
	}
	__atomic_store_n(&worker->serving, true, __ATOMIC_RELEASE);
}

void fl_worker_close_listeners(struct fl_worker *worker)
{
	for (size_t i = 0; i < worker->endpoint_count; i++) {
		struct fl_endpoint *endpoint = &worker->endpoints[i];

		if (endpoint->listener != NULL) {
			fl_listener_close(endpoint->listener);
			endpoint->listener = NULL;
			set_endpoint_state(endpoint, FL_ENDPOINT_CLOSED);
		}
		close_fd(&endpoint->fd);
		close_fd(&endpoint->reserved_fd);
	}
}
