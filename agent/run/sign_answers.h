/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SIGN_ANSWERS_H
#define FL_AGENT_RUN_SIGN_ANSWERS_H
/* sign_answers - the answers to a SIGN, in as few SIGNED messages as they fit into. Loop-bound. */
#include "agent/run/keyring.h"
#include "net/sock.h"

/* Has every request of the message signed, or refused, and sends the answers; a message without requests gets one without
 * answers. Returns 0; 1: the other end does not read them fast enough (fl_sock_write()), so nothing more should be read from
 * it; or a negative uv error. */
int fl_sign_answers_send(struct fl_keyring *keyring, struct fl_ctl_items requests,
			 struct fl_sock *sock) FL_MUST_USE;

#endif
