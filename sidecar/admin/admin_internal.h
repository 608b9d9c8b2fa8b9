/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ADMIN_INTERNAL_H
#define FL_ADMIN_ADMIN_INTERNAL_H
/* What admin.c and connections.c share. Private to these two files. */
#include "admin/admin.h"
#include "admin/answer.h"
#include "admin/http.h"
#include "admin/respond.h"

enum fl_admin_list { READING, SLOW, SENT, LISTS };

struct fl_admin_connection {
	struct fl_admin_connection *prev,
		*next; /* neighbours in its list: entered earlier, and later */
	enum fl_admin_list list;
	bool waits; /* in SLOW: true: the answer is not ready; false: it is being sent */
	struct fl_admin *admin;
	struct fl_sock *sock;
	uint64_t deadline; /* uv_now() in ms */
	uid_t uid;         /* on the control socket */
	bool has_head;
	bool has_ended;           /* the caller has closed its side */
	bool *is_gone;            /* set when it is freed, for a function that is still using it */
	struct fl_answer *answer; /* a reference, while it is being sent */
	size_t sent;
	uint8_t *body; /* owned; NULL: no body is expected; may hold a key */
	size_t body_len, body_have;
	struct fl_http_request request;
};

struct fl_admin {
	struct fl_net *net;
	struct fl_admin_source source;
	struct fl_admin_control control;
	bool has_control;
	char *path; /* of the control socket, and the identity of the file that we created */
	dev_t dev;
	ino_t ino;
	struct fl_listener *listener;
	uv_timer_t timer; /* at the first deadline, or before it */
	uint64_t due;     /* when timer fires; valid while it is active */
	uv_idle_t sender; /* active while a large answer is being sent */
	/* the first one has the earliest deadline */
	struct fl_admin_connection *first[LISTS], *last[LISTS];
	size_t counts[LISTS];
	size_t bodies;    /* bytes of bodies, over all connections */
	uint64_t round;   /* of fl_admin_go_on() */
	bool is_going_on; /* inside it */
	unsigned open_handles;
	bool is_closing;
	struct fl_answer_again documents[FL_ADMIN_DOCUMENTS];
};

/* Enters the list READING; if there is no room, another connection is closed. */
void fl_admin_connection_enter(struct fl_admin_connection *connection);
/* Moves the connection to a list and starts that list's deadline. If too many are in SLOW, the
 * first one is closed. */
void fl_admin_connection_move(struct fl_admin_connection *connection, enum fl_admin_list list);
/* Frees it. */
void fl_admin_connection_close(struct fl_admin_connection *connection);

#endif
