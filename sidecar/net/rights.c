/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/rights.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the kernel headers of Debian 12 do not have yet. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* What those of glibc do not have. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

#define PER_MESSAGE 253u /* SCM_MAX_FD of the kernel */
/* For what options of its sender put before them: the kernel drops descriptors for which there is no room. */
#define ROOM_BEFORE 1024u
/* A socket that is sent may hold others, which may hold others. Up to Linux 6.9 the kernel admits 5 levels. */
#define DEPTH_MAX 16u
#define SCRATCH 4096u

/* Not cleared: it is large, and each read needs one. */
union control {
	char bytes[ROOM_BEFORE + CMSG_SPACE(sizeof(int) * PER_MESSAGE)];
	struct cmsghdr header; /* aligns it */
};

bool fl_rights_refuse(int fd)
{
	const int off = 0, on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) == 0) {
		return true;
	}
	/* Otherwise a read passes over a byte that was sent with MSG_OOB, and drops its descriptors. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	return false;
}

/* --- discarding ------------------------------------------------------------------------------------- */

static void empty(int fd, unsigned depth);

static bool is_of(int fd, int option, int wanted)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* No socket makes us wait then. */
static void discard(int fd, unsigned depth)
{
	const struct linger none = {.l_onoff = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	if (depth < DEPTH_MAX && is_of(fd, SO_DOMAIN, AF_UNIX)) {
		empty(fd, depth + 1);
	}
	(void)close(fd);
}

/* Returns whether there were any, or would have been if we had more descriptors. */
static bool discard_all(struct msghdr *msg, unsigned depth)
{
	bool came = (msg->msg_flags & MSG_CTRUNC) != 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    (cmsg->cmsg_type != SCM_RIGHTS && cmsg->cmsg_type != SCM_PIDFD)) {
			continue;
		}
		came = true;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
			discard(fd, depth);
		}
	}
	return came;
}

/* Returns whether there was a message. One that is not of a stream can be empty, but has credentials. */
static bool discard_message(int fd, bool is_stream, unsigned depth)
{
	uint8_t scratch[SCRATCH] __attribute__((uninitialized));
	union control control __attribute__((uninitialized));
	struct iovec into = {.iov_base = scratch, .iov_len = sizeof(scratch)};
	struct msghdr msg = {.msg_iov = &into,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	do {
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return false;
	}
	(void)discard_all(&msg, depth);
	return n > 0 || (!is_stream && msg.msg_controllen > 0);
}

/* Ends, as nobody can add to it any more. */
static void empty(int fd, unsigned depth)
{
	const int on = 1;
	bool is_stream = is_of(fd, SO_TYPE, SOCK_STREAM);
	int waiting;

	(void)shutdown(fd, SHUT_RD);
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	while ((waiting = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		discard(waiting, depth);
	}
	while (discard_message(fd, is_stream, depth)) {
	}
}

/* --- reading and closing ------------------------------------------------------------------------------ */

ssize_t fl_rights_recv(int fd, uint8_t *buf, size_t cap)
{
	union control control __attribute__((uninitialized));
	struct iovec into = {.iov_base = buf, .iov_len = cap};
	struct msghdr msg = {.msg_iov = &into,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n > 0 && discard_all(&msg, 0)) {
		errno = FL_RIGHTS_CAME;
		return -1;
	}
	return n;
}

void fl_rights_close(int fd)
{
	if (!is_of(fd, SO_PASSRIGHTS, 0)) {
		empty(fd, 0);
	}
	(void)close(fd);
}
