/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_CALL_H
#define FL_TEST_CALL_H
/* call - an app, a peer, and the relay between them: inbound or outbound, in mutual TLS or in plaintext. */
#include "heart.h"

enum call_kind { CALL_IN_TLS, CALL_IN_PLAIN, CALL_OUT_TLS, CALL_OUT_PLAIN, CALL_KINDS };

struct call {
	struct heart *heart;
	enum call_kind kind;
	struct side app, mesh;
};

bool call_is_inbound(enum call_kind kind);
bool call_is_tls(enum call_kind kind);
enum fl_direction call_direction(enum call_kind kind);
struct side *
call_caller(struct call *call); /* opens the connection: the mesh inbound, otherwise the app */
struct side *call_callee(struct call *call);
/* The caller connects. */
void call_begin(struct heart *heart, struct call *call, enum call_kind kind);
/* Connects, and goes on until the relay is open. */
void call_open(struct heart *heart, struct call *call, enum call_kind kind);
void call_close(struct call *call); /* closes both sides; has an effect in the next turn */

#endif
