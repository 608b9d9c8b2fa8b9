/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_NETLINK_H
#define FL_AGENT_CAPTURE_NETLINK_H
/* netlink - one request to the kernel and its answer. Blocks; thread: any, with a socket of its own. */
#include <linux/netlink.h>

/* Sends a request of nlmsg_len bytes on a netlink socket that nothing else has used without reading the answer, and reads one
 * message. Returns 0 or an errno: of the call that failed, or the one in the kernel's answer. A request with NLM_F_ACK gets
 * EPROTO if another message comes; otherwise any message is success. */
int fl_netlink_ask(int fd, const struct nlmsghdr *request);

#endif
