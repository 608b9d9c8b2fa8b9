/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_AGENT_DIAL_H
#define FL_WORKER_AGENT_DIAL_H
/* agent_dial - connecting to the agent's socket, for the main thread (server/agent_link.h) and the workers
 * (sign_link.h). Loop-bound. */
#include "conf/conf.h"
#include "net/sock.h"

/* `[agent] socket`, `uid` and `sidecar_uid`, which are those of the INI at the start. */
struct fl_agent_place {
	struct fl_addr addr;
	uid_t agent_uid, sidecar_uid;
};
void fl_agent_place_of(const struct fl_conf *conf, struct fl_agent_place *ret);

/* The path of its socket. */
const char *fl_agent_path(const struct fl_agent_place *place);

/* Dials, unless another user could have put a socket of his own there. cb and events as fl_sock_dial(). It does not wait while
 * the agent's queue is full, but fails with EAGAIN: then the agent hangs, or all its sidecars dial at once, and the pauses of its
 * users, which grow, suit both. Errors: FL_ERR_INVALID, FL_ERR_IO. */
int fl_agent_dial(struct fl_net *net, const struct fl_agent_place *place,
		  const struct fl_sock_events *events, void *user, fl_sock_dial_cb cb,
		  struct fl_sock **ret, struct fl_err *err) FL_MUST_USE;

/* Is the process at the other end the agent: does it run as the agent's uid, or as our own? Call it before anything is sent or
 * accepted: who took over the path could replace our identity and our roots. Errors: FL_ERR_PEER with the remedy. */
int fl_agent_check(const struct fl_agent_place *place, const struct fl_sock *sock,
		   struct fl_err *err) FL_MUST_USE;

#endif
