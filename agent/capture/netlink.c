/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/capture/netlink.h"

#include <errno.h>
#include <sys/socket.h>

int fl_netlink_ask(int fd, const struct nlmsghdr *request)
{
	union {
		struct nlmsghdr head;
		struct {
			struct nlmsghdr head;
			struct nlmsgerr body;
		} error;
		char room[4096];
	} answer;
	ssize_t len;

	if (send(fd, request, request->nlmsg_len, 0) < 0) {
		return errno;
	}
	len = recv(fd, &answer, sizeof(answer), 0);
	if (len < 0) {
		return errno;
	}
	if ((size_t)len >= sizeof(answer.error) && answer.head.nlmsg_type == NLMSG_ERROR) {
		return -answer.error.body.error;
	}
	return (request->nlmsg_flags & NLM_F_ACK) != 0 ? EPROTO : 0;
}
