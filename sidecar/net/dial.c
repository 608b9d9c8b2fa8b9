/* SPDX-License-Identifier: GPL-3.0-or-later */
/* dial - makes a connecting descriptor from a struct fl_dial; sock_dial.c handles it from there.
 *
 * Happy path: socket, options, a source port (ports.h), connect. If a source port is taken, dial
 * tries again with a new socket, because a bound socket keeps its port. Failure: a negative errno,
 * and no descriptor. */
#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/capture.h"
#include "net/options.h"
#include "net/rights.h"

/* Must come after the headers above, whose types it uses. */
#include <linux/errqueue.h>

static bool is_special(const struct fl_dial *dial)
{
	return dial->tos != 0 || dial->mark != 0 || dial->from != NULL;
}

/* from: NULL: the address that the route selects. port 0: the kernel chooses one at connect(), when
 * it knows which ports are free towards the destination. Connections to different destinations
 * share our ports, hence SO_REUSEADDR. */
static int bind_source(int fd, sa_family_t family, const struct sockaddr *from, uint16_t port)
{
	const int on = 1;
	bool v6 = family == AF_INET6;
	socklen_t len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	union fl_sockaddr sa = {.any.sa_family = family};
	int rc = port != 0 ? setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on))
			   : setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));

	if (from != NULL) {
		memcpy(&sa, from, len);
	}
	if (v6) {
		sa.in6.sin6_port = htons(port);
	} else {
		sa.in.sin_port = htons(port);
	}
	return rc == 0 ? bind(fd, &sa.any, len) : rc;
}

static int set_special(int fd, const struct fl_dial *dial)
{
	const int tos = dial->tos;
	int rc = dial->to->sa_family == AF_INET6
			 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos))
			 : setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));

	if (rc == 0 && dial->mark != 0) {
		rc = setsockopt(fd, SOL_SOCKET, SO_MARK, &dial->mark, sizeof(dial->mark));
	}
	if (rc != 0) {
		return -errno;
	}
	return dial->from != NULL
		       ? fl_options_set_transparent(fd, dial->from->sa_family == AF_INET6)
		       : 0;
}

/* --- ICMP errors -------------------------------------------------------------------------------- */

static void heed_icmp(int fd, sa_family_t family, bool on)
{
	const int value = on;

	if (family == AF_INET6) {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &value, sizeof(value));
	} else {
		(void)setsockopt(fd, IPPROTO_IP, IP_RECVERR, &value, sizeof(value));
	}
}

void fl_dial_forget_icmp(int fd, sa_family_t family)
{
	heed_icmp(fd, family, false); /* and discard the errors that have been queued */
}

/* The kernel queues an ICMP error for a socket that waits for an answer to its SYN, whether or not
 * it considers the error final. */
int fl_dial_icmp_error(int fd)
{
	union {
		struct cmsghdr header;
		char room[512];
	} control;
	struct msghdr msg = {.msg_control = &control, .msg_controllen = sizeof(control)};
	const struct sock_extended_err *error = NULL;

	if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
		return 0;
	}
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if ((cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_RECVERR) ||
		    (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_RECVERR)) {
			error = (const void *)CMSG_DATA(cmsg);
		}
	}
	return error != NULL ? -(int)error->ee_errno : 0;
}

/* --- options ------------------------------------------------------------------------------------ */

/* The capture rules use the priority to recognize packets of sockets that we have closed
 * (base/capture.h). */
static void set_priority(int fd)
{
	const int priority = FL_CAPTURE_PRIORITY;

	(void)setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
}

/* port: of ours, or 0. 0 or a negative errno. */
static int set_dial_options(int fd, const struct fl_dial *dial, uint16_t port)
{
	fl_options_set_relayed(fd);
	if (dial->alive.keep_s != 0) {
		fl_alive_set(fd, &dial->alive);
	}
	if (dial->joins_acks) {
		fl_options_set_quickack(fd, false);
	}
	if (dial->heeds_icmp) {
		heed_icmp(fd, dial->to->sa_family, true);
	}
	if (is_special(dial)) {
		int rc = set_special(fd, dial);

		if (rc != 0) {
			return rc;
		}
	}
	set_priority(fd); /* after IP_TOS, which changes the priority */
	if (dial->from == NULL && port == 0) {
		return 0;
	}
	return bind_source(fd, dial->to->sa_family, dial->from, port) == 0 ? 0 : -errno;
}

socklen_t fl_dial_sockaddr_len(const struct sockaddr *to)
{
	switch (to->sa_family) {
	case AF_UNIX:
		return sizeof(struct sockaddr_un);
	case AF_INET6:
		return sizeof(struct sockaddr_in6);
	default:
		return sizeof(struct sockaddr_in);
	}
}

int fl_dial_socket(const struct sockaddr *to)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return -errno;
	}
	if (to->sa_family == AF_UNIX) {
		(void)fl_rights_refuse(fd);
	}
	return fd;
}

/* A signal does not end the dial of a TCP socket. A Unix socket is connected immediately or not at
 * all, and a signal may come while the kernel looks for its path. */
int fl_dial_connect(int fd, const struct sockaddr *to)
{
	int rc;

	do {
		rc = connect(fd, to, fl_dial_sockaddr_len(to));
	} while (rc != 0 && errno == EINTR && to->sa_family == AF_UNIX);
	return rc == 0 || errno == EINPROGRESS || errno == EINTR ? 0 : -errno;
}

/* Is this a failure that is known immediately but reported later, like a slow one: the peer
 * refuses, or no process listens on a Unix socket? */
static bool is_told_later(const struct fl_dial *dial, int sys)
{
	return dial->to->sa_family == AF_UNIX || sys == -ECONNREFUSED;
}

/* One try, from this port. */
static int connect_from(const struct fl_dial *dial, uint16_t port, int *ret_fd, int *ret_sys)
{
	bool is_unix = dial->to->sa_family == AF_UNIX;
	int fd = fl_dial_socket(dial->to), rc;

	if (fd < 0) {
		return fd;
	}
	*ret_sys = 0;
	rc = is_unix ? 0 : set_dial_options(fd, dial, port);
	if (rc == 0) {
		*ret_sys = fl_dial_connect(fd, dial->to);
		rc = is_told_later(dial, *ret_sys) ? 0 : *ret_sys;
	}
	if (rc != 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* Is there an address to connect from at all? Without one, connect() returns the same error as for
 * a port that is taken. */
static bool has_source(const struct fl_dial *dial)
{
	int fd =
		dial->from == NULL ? socket(dial->to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
	bool has = fd < 0 || connect(fd, dial->to, fl_dial_sockaddr_len(dial->to)) == 0 ||
		   errno != EADDRNOTAVAIL;

	if (fd >= 0) {
		close(fd);
	}
	return has;
}

int fl_dial_start(struct fl_ports *ports, const struct fl_dial *dial, int *ret_fd, int *ret_sys)
{
	for (unsigned attempt = 0;; attempt++) {
		uint16_t port = fl_ports_pick(ports, dial->port, attempt);
		int rc = connect_from(dial, port, ret_fd, ret_sys);
		bool is_taken = rc == -EADDRINUSE || rc == -EADDRNOTAVAIL || rc == -EACCES;

		if (port == 0 || !is_taken || (attempt == 0 && !has_source(dial))) {
			return rc;
		}
	}
}
