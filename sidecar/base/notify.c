/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *socket_name(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
	const char *name = getenv("NOTIFY_SOCKET");

	return name != NULL && name[0] != '\0' ? name : NULL;
}

bool fl_notify_is_wanted(void)
{
	return socket_name() != NULL;
}

/* An abstract name has no NUL at its end, a path does. */
static int parse_name(const char *name, struct sockaddr_un *ret, socklen_t *ret_len,
		      struct fl_err *err)
{
	size_t len = strlen(name);
	bool is_abstract = name[0] == '@';

	if ((name[0] != '/' && !is_abstract) || len >= sizeof(ret->sun_path)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "NOTIFY_SOCKET is neither a path nor @NAME of at most %zu bytes",
				  sizeof(ret->sun_path) - 1);
	}
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, name, len);
	if (is_abstract) {
		ret->sun_path[0] = '\0';
	}
	*ret_len =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (is_abstract ? 0 : 1));
	return FL_OK;
}

int fl_notify(const char *state, struct fl_err *err)
{
	const char *name = socket_name();
	struct sockaddr_un addr;
	socklen_t addr_len = 0;
	ssize_t sent;
	int fd, rc;

	if (name == NULL) {
		return FL_OK;
	}
	rc = parse_name(name, &addr, &addr_len, err);
	if (rc != FL_OK) {
		return rc;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot tell the service manager `%s`", state);
	}
	sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr,
		      addr_len);
	rc = sent < 0 ? fl_err_sys(err, errno, "cannot tell the service manager `%s`", state)
		      : FL_OK;
	(void)close(fd);
	return rc;
}

int fl_notify_reloading(struct fl_err *err)
{
	struct timespec now;
	char state[64];

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		       (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	return fl_notify(state, err);
}
