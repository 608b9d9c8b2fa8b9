/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker/listeners.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "conn/connections.h"
#include "net/listener.h"

static void close_fd(int *fd)
{
	if (*fd >= 0) {
		close(*fd);
		*fd = -1;
	}
}

static void on_connection(void *user, struct fl_listener *listener)
{
	struct fl_bound *bound = user;

	fl_connections_accept(&bound->endpoint, listener);
}

enum fl_endpoint_state fl_listeners_state(const struct fl_listeners *listeners, size_t number)
{
	FL_REQUIRE(number < listeners->count);
	return (enum fl_endpoint_state)__atomic_load_n(&listeners->items[number].state,
						       __ATOMIC_ACQUIRE);
}

static void set_state(struct fl_bound *bound, enum fl_endpoint_state state)
{
	__atomic_store_n(&bound->state, (uint8_t)state, __ATOMIC_RELEASE);
}

static enum fl_endpoint_state open_listener(struct fl_bound *bound)
{
	struct fl_endpoint *endpoint = &bound->endpoint;
	struct fl_loop *loop = endpoint->loop;
	int fd = bound->fd;
	struct fl_err err;

	bound->fd = -1;
	if (fd < 0) {
		return FL_ENDPOINT_ABSENT;
	}
	if (fl_listener_open(&loop->net, fd, endpoint->is_unix, on_connection, bound,
			     &bound->listener, &err) == 0) {
		return FL_ENDPOINT_OPEN;
	}
	fl_log_msg(&loop->log, FL_LOG_ERROR, "[%s %s]: %s", fl_endpoint_section(endpoint),
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

void fl_listeners_attach(struct fl_listeners *listeners, struct fl_loop *loop)
{
	for (size_t i = 0; i < listeners->count; i++) {
		listeners->items[i].endpoint.loop = loop;
		listeners->items[i].endpoint.number = (uint32_t)i;
	}
}

void fl_listeners_open(struct fl_listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		struct fl_bound *bound = &listeners->items[i];

		set_state(bound, open_listener(bound));
		close_fd(&bound->reserved_fd);
	}
}

void fl_listeners_tune(struct fl_listeners *listeners, const struct fl_loop *loop)
{
	const struct fl_conf *conf = loop->share->generation->conf;

	for (size_t i = 0; i < listeners->count; i++) {
		struct fl_bound *bound = &listeners->items[i];

		if (bound->listener == NULL) {
			continue;
		}
		if (bound->endpoint.direction == FL_INBOUND) {
			fl_listener_join_acks(bound->listener,
					      is_for_tls_only(&bound->endpoint, conf));
			fl_listener_keep(bound->listener, loop->peer_timeout_ms);
		} else {
			fl_listener_keep(bound->listener, 0);
		}
	}
}

void fl_listeners_close(struct fl_listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		struct fl_bound *bound = &listeners->items[i];

		if (bound->listener != NULL) {
			fl_listener_close(bound->listener);
			bound->listener = NULL;
			set_state(bound, FL_ENDPOINT_CLOSED);
		}
		close_fd(&bound->fd);
		close_fd(&bound->reserved_fd);
	}
}

void fl_listeners_done(struct fl_listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		fl_endpoint_done(&listeners->items[i].endpoint);
	}
	free(listeners->items);
	*listeners = (struct fl_listeners){0};
}
