/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bind - sockets for the listeners of the INI, bound before there is a generation to serve under.
 *
 * IP: each worker has a socket of its own, by SO_REUSEPORT. Unix: one socket, the others are duplicates
 * of it. Failure: the sentence names the section; what is bound by then belongs to the endpoints. */
#include "proxy/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define UNIX_LISTENER_MODE                                                                         \
	0666 /* who may connect is the directory's business, as for a TCP port on loopback */

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

int fl_bind_endpoints(const struct fl_conf *conf, struct fl_endpoint *endpoints,
		      const struct fl_endpoint *first, struct fl_err *err)
{
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < conf->service_count + conf->upstream_count; i++) {
		endpoints[i].fd = -1;
	}
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

struct fl_made_path *fl_bind_note_paths(const struct fl_conf *conf,
					const struct fl_endpoint *endpoints)
{
	const struct fl_endpoint *upstreams = endpoints + conf->service_count;
	struct fl_made_path *made = fl_new((conf->upstream_count + 1) * sizeof(*made));
	struct stat st;

	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (upstreams[i].is_unix && upstreams[i].fd >= 0 &&
		    lstat(conf->upstreams[i].listen.sa.un.sun_path, &st) == 0) {
			made[i] = (struct fl_made_path){.dev = st.st_dev, .ino = st.st_ino};
		}
	}
	return made;
}

void fl_bind_unlink_paths(const struct fl_conf *conf, const struct fl_made_path *made)
{
	for (size_t i = 0; i < conf->upstream_count; i++) {
		const char *path = conf->upstreams[i].listen.sa.un.sun_path;
		struct stat st;

		if (made[i].ino != 0 && lstat(path, &st) == 0 && st.st_dev == made[i].dev &&
		    st.st_ino == made[i].ino) {
			(void)unlink(path);
		}
	}
}
