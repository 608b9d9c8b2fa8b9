/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "call.h"

#define PEER "p256"

bool call_is_inbound(enum call_kind kind)
{
	return kind == CALL_IN_TLS || kind == CALL_IN_PLAIN;
}

bool call_is_tls(enum call_kind kind)
{
	return kind == CALL_IN_TLS || kind == CALL_OUT_TLS;
}

enum fl_direction call_direction(enum call_kind kind)
{
	return call_is_inbound(kind) ? FL_INBOUND : FL_OUTBOUND;
}

struct side *call_caller(struct call *call)
{
	return call_is_inbound(call->kind) ? &call->mesh : &call->app;
}

struct side *call_callee(struct call *call)
{
	return call_is_inbound(call->kind) ? &call->app : &call->mesh;
}

void call_begin(struct heart *heart, struct call *call, enum call_kind kind)
{
	static const enum heart_door doors[] = {[CALL_IN_TLS] = DOOR_STRICT,
						[CALL_IN_PLAIN] = DOOR_PLAIN_IN,
						[CALL_OUT_TLS] = DOOR_MTLS_OUT,
						[CALL_OUT_PLAIN] = DOOR_PLAIN_OUT};

	*call = (struct call){.heart = heart, .kind = kind};
	side_init(&call->app);
	side_init(&call->mesh);
	heart_connect(heart, call_caller(call), doors[kind]);
	if (kind == CALL_IN_TLS) {
		heart_speak_tls(heart, &call->mesh, FL_TLS_CLIENT, PEER);
	}
}

/* The relay is open once it has carried bytes in both directions. Tests must not see those bytes. */
static void pass_through(struct call *call)
{
	side_say(&call->app, "a");
	side_say(&call->mesh, "m");
	HEART_UNTIL(call->heart, side_has(&call->app, "m") && side_has(&call->mesh, "a"));
	call->app.got_len = call->mesh.got_len = 0;
	call->app.sent = call->mesh.sent = 0;
}

void call_open(struct heart *heart, struct call *call, enum call_kind kind)
{
	call_begin(heart, call, kind);
	heart_accept(heart, call_callee(call), call_is_inbound(kind) ? PLACE_APP : PLACE_MESH);
	if (kind == CALL_OUT_TLS) {
		heart_speak_tls(heart, &call->mesh, FL_TLS_SERVER, PEER);
	}
	if (call_is_tls(kind)) {
		HEART_UNTIL(heart, call->mesh.is_up);
	}
	pass_through(call);
}

void call_close(struct call *call)
{
	heart_forget(call->heart, &call->app);
	heart_forget(call->heart, &call->mesh);
	side_close(&call->app);
	side_close(&call->mesh);
}
