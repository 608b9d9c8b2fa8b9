/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bind - sockets for the listeners of the INI, bound before the first generation arrives.
 *
 * IP: each worker has its own socket, by SO_REUSEPORT; until they listen, another socket reserves
 * the port for them. Unix: there is one socket, and the other workers have duplicates of it.
 * Failure: the error names the section; sockets that are already bound belong to the endpoints. */
#include "worker/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/bind.h"

#define UNIX_LISTENER_MODE                                                                         \
	0666 /* the directory decides who may connect; loopback TCP ports have no mode either */

static int bind_endpoint(struct fl_bound *bound, const struct fl_addr *addr,
			 const struct fl_bound *first, struct fl_inherited *inherited,
			 struct fl_err *err)
{
	int rc;

	bound->endpoint.is_unix = addr->kind == FL_ADDR_UNIX;
	bound->endpoint.port = addr->port;
	if (bound->endpoint.is_unix && first != NULL) {
		/* A path has one socket, so the workers share its queue. */
		bound->fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
		return bound->fd >= 0
			       ? 0
			       : fl_err_sys(err, errno, "cannot share a socket between workers");
	}
	bound->fd = fl_inherited_take(inherited, addr);
	bound->is_inherited = bound->fd >= 0;
	if (bound->is_inherited) {
		return 0;
	}
	/* Without a reservation, SO_REUSEPORT would silently let a second sidecar of the same user
	 * share our ports. */
	rc = first == NULL && !bound->endpoint.is_unix
		     ? fl_net_reserve(addr, &bound->reserved_fd, err)
		     : 0;
	return rc == 0 ? fl_net_bind(addr, true, UNIX_LISTENER_MODE, &bound->fd, err) : rc;
}

size_t fl_bind_count(const struct fl_conf *conf)
{
	size_t count = conf->sidecar.inbound_count + conf->sidecar.outbound_count;

	for (size_t i = 0; i < conf->service_count; i++) {
		count += conf->services[i].listen.kind != FL_ADDR_NONE;
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		count += conf->upstreams[i].listen.kind != FL_ADDR_NONE;
	}
	return count;
}

/* One worker's endpoints while they are bound. */
struct binding {
	const struct fl_conf *conf;
	struct fl_bound *next;
	const struct fl_bound *first; /* the same of worker 0; NULL: this is worker 0 */
	struct fl_inherited *inherited;
};

static int bind_next(struct binding *binding, enum fl_direction direction, const char *name,
		     const struct fl_addr *addr, struct fl_err *err)
{
	struct fl_bound *bound = binding->next++;
	const struct fl_bound *first = binding->first;
	int rc;

	if (binding->first != NULL) {
		binding->first++;
	}
	bound->endpoint.direction = direction;
	bound->address = addr;
	bound->endpoint.name = fl_strdup(name);
	rc = bind_endpoint(bound, addr, first, binding->inherited, err);
	bound->shared_fd = bound->fd;
	return rc;
}

/* Where IPv6 is disabled there is no IPv6 traffic to capture, so the [::1] listener is not
 * needed. */
static bool is_without_ipv6(const struct fl_addr *addr, const struct fl_err *err)
{
	return fl_addr_is_loopback(addr) && addr->sa.any.sa_family == AF_INET6 &&
	       (err->sys == EADDRNOTAVAIL || err->sys == EAFNOSUPPORT);
}

static int bind_captures(struct binding *binding, enum fl_direction direction,
			 const struct fl_addr *addrs, size_t count, struct fl_err *err)
{
	const struct fl_conf *conf = binding->conf;
	const char *name = direction == FL_INBOUND ? "inbound" : "outbound";
	bool tproxy = direction == FL_INBOUND && conf->redirect.mode == FL_REDIRECT_TPROXY;

	for (size_t i = 0; i < count; i++) {
		struct fl_bound *bound = binding->next;
		int rc = bind_next(binding, direction, name, &addrs[i], err);

		if (rc != 0 && is_without_ipv6(&addrs[i], err)) {
			rc = 0;
		}

		bound->endpoint.captures = true;
		bound->endpoint.tproxy = tproxy;
		if (rc == 0 && tproxy && bound->fd >= 0) {
			rc = fl_net_set_transparent(bound->fd, err);
		}
		if (rc != 0) {
			return fl_err_prefix(err, "%s: [sidecar] %s", conf->path, name);
		}
	}
	return 0;
}

static int bind_services(struct binding *binding, struct fl_err *err)
{
	const struct fl_conf *conf = binding->conf;

	for (size_t i = 0; i < conf->service_count; i++) {
		const struct fl_conf_service *service = &conf->services[i];

		if (service->listen.kind != FL_ADDR_NONE &&
		    bind_next(binding, FL_INBOUND, service->name, &service->listen, err) != 0) {
			return fl_err_prefix(err, "%s:%u: [service %s]", conf->path, service->line,
					     service->name);
		}
	}
	return 0;
}

static int bind_upstreams(struct binding *binding, struct fl_err *err)
{
	const struct fl_conf *conf = binding->conf;

	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &conf->upstreams[i];

		if (upstream->listen.kind != FL_ADDR_NONE &&
		    bind_next(binding, FL_OUTBOUND, upstream->name, &upstream->listen, err) != 0) {
			return fl_err_prefix(err, "%s:%u: [upstream %s]", conf->path,
					     upstream->line, upstream->name);
		}
	}
	return 0;
}

int fl_bind_endpoints(const struct fl_conf *conf, struct fl_bound *items,
		      const struct fl_bound *first, struct fl_inherited *inherited,
		      struct fl_err *err)
{
	struct binding binding = {
		.conf = conf, .next = items, .first = first, .inherited = inherited};
	size_t count = fl_bind_count(conf);
	int rc;

	for (size_t i = 0; i < count; i++) {
		items[i].fd = items[i].shared_fd = items[i].reserved_fd = -1;
	}
	rc = bind_captures(&binding, FL_INBOUND, conf->sidecar.inbound, conf->sidecar.inbound_count,
			   err);
	if (rc == 0) {
		rc = bind_captures(&binding, FL_OUTBOUND, conf->sidecar.outbound,
				   conf->sidecar.outbound_count, err);
	}
	if (rc == 0) {
		rc = bind_services(&binding, err);
	}
	return rc == 0 ? bind_upstreams(&binding, err) : rc;
}

struct fl_made_path *fl_bind_note_paths(const struct fl_bound *items, size_t count)
{
	struct fl_made_path *made = fl_new((count + 1) * sizeof(*made)), *next = made;
	struct stat st;

	for (size_t i = 0; i < count; i++) {
		const char *path;

		if (!items[i].endpoint.is_unix || items[i].fd < 0) {
			continue;
		}
		path = items[i].address->sa.un.sun_path;
		if (lstat(path, &st) == 0) {
			*next++ = (struct fl_made_path){.path = path,
							.dev = st.st_dev,
							.ino = st.st_ino,
							.is_inherited = items[i].is_inherited};
		}
	}
	return made;
}

void fl_bind_unlink_paths(const struct fl_made_path *made, bool and_inherited)
{
	struct stat st;

	for (; made->path != NULL; made++) {
		if ((and_inherited || !made->is_inherited) && lstat(made->path, &st) == 0 &&
		    st.st_dev == made->dev && st.st_ino == made->ino) {
			(void)unlink(made->path);
		}
	}
}
