/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ADMIN_INTERNAL_H
#define FL_ADMIN_ADMIN_INTERNAL_H
/* What admin.c and connections.c share. Private to the two. */
#include "admin/admin.h"
#include "admin/answer.h"
#include "admin/http.h"
#include "admin/respond.h"

enum fl_admin_list { READING, SLOW, SENT, LISTS };

struct fl_admin_connection {
	struct fl_admin_connection *prev,
		*next; /* in its list: who has been there for longer, and for less */
	enum fl_admin_list list;
	bool waits; /* SLOW: its answer is not there yet; else it is being sent */
	struct fl_admin *admin;
	struct fl_sock *sock;
	uint64_t deadline; /* uv_now() in ms */
	uid_t uid;         /* on the control socket */
	bool has_head;
	bool has_ended; /* the caller's side */
	bool *is_gone;  /* set when it goes, for who is in the middle of something with it */
	struct fl_answer *answer; /* a reference, while it is being sent */
	size_t sent;
	uint8_t *body; /* owned; NULL: none is wanted; may hold a key */
	size_t body_len, body_have;
	struct fl_http_request request;
};

struct fl_admin {
	struct fl_net *net;
	struct fl_admin_source source;
	struct fl_admin_control control;
	bool has_control;
	char *path; /* of the control socket; and which file it was when we made it */
	dev_t dev;
	ino_t ino;
	struct fl_listener *listener;
	uv_timer_t timer; /* at the first deadline, or before it */
	uint64_t due;     /* when it fires; valid while it is active */
	uv_idle_t sender; /* while somebody takes a large answer */
	struct fl_admin_connection *first[LISTS], *last[LISTS]; /* the first is the next due */
	size_t counts[LISTS];
	size_t bodies;    /* bytes of them, of all connections */
	uint64_t round;   /* of fl_admin_go_on() */
	bool is_going_on; /* inside it */
	unsigned open_handles;
	bool is_closing;
	struct fl_answer_again documents[FL_ADMIN_DOCUMENTS];
};

/* Enters the list READING; where there is no room, another one goes. */
void fl_admin_connection_enter(struct fl_admin_connection *connection);
/* From list to list, each with a deadline of its own. Among many slow ones the first goes. */
void fl_admin_connection_move(struct fl_admin_connection *connection, enum fl_admin_list list);
/* Frees it. */
void fl_admin_connection_close(struct fl_admin_connection *connection);

#endif
