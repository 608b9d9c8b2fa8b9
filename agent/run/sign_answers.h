/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SIGN_ANSWERS_H
#define FL_AGENT_RUN_SIGN_ANSWERS_H
/* sign_answers - the answers to a SIGN, in as few SIGNED messages as they fit into. Loop-bound. */
#include "agent/run/keyring.h"
#include "net/sock.h"

/* Bytes of a SIGNED, and of those that the other end has not read: one that is full is sent in one piece (fl_sock_limit_unread()). */
#define FL_SIGN_ANSWERS_MAX (15 * 1024)
#define FL_SIGN_UNREAD_MAX (16 * 1024)

/* Has requests of a message signed, or refused, at least one, until uv_hrtime() is `until` or one SIGNED is full, and sends that;
 * without requests it sends one without answers. *requests: what is left; *ret_more: something is. Returns 0; 1: the other end
 * does not read its answers fast enough (fl_sock_write()), so nothing more should be sent to it until on_drain; or a negative uv
 * error. share: of who asks. */
int fl_sign_answers_send(struct fl_keyring *keyring, struct fl_sign_share *share,
			 struct fl_ctl_items *requests, uint64_t until, struct fl_sock *sock,
			 bool *ret_more) FL_MUST_USE;

#endif
