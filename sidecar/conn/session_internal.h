/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SESSION_INTERNAL_H
#define FL_CONN_SESSION_INTERNAL_H
/* What session.c drives, session_memory.c remembers and session_describe.c looks at. Private to the three. */
#include "conn/session.h"

enum fl_session_state { DIALING, HANDSHAKE, READY, CLOSED };

/* Ciphertext: what came when nobody was ready for its plaintext, or the end of our handshake that can wait. */
struct fl_held {
	size_t len;
	uint8_t data[];
};

struct fl_session {
	struct fl_corpse corpse; /* first: buried when closed */
	struct fl_session *prev, *next;
	struct fl_conn *conn; /* a reference */
	struct fl_sock *sock; /* NULL between two dials */
	struct fl_tls *tls;   /* NULL while dialing */
	const struct fl_session_events *events;
	void *user;
	struct fl_deadline deadline; /* of DIALING and HANDSHAKE */
	struct fl_place place;       /* in DIALING and HANDSHAKE */
	struct fl_held *held;
	struct fl_held
		*unsent;     /* end of our handshake: goes out with the first bytes that we send */
	uint64_t started_ns; /* of the handshake */
	uint32_t offered;    /* client: number of the session that the hello offers, 0: none */
	uint8_t state;       /* enum fl_session_state */
	bool is_client;
	bool answered; /* server: the client has heard of us */
	bool saves;    /* client: its ticket has not come yet */
	bool bare;     /* client: it names no application protocol, since the server refuses ours */
	bool reading;  /* the user wants plaintext */
	bool eof;      /* close_notify received */
	bool is_last;  /* what on_data has just now */
	bool shut;     /* close_notify sent: we have said all */
	bool fin;      /* TCP has ended while nobody was reading */
};

/* session_memory.c: what is remembered of a server from one session to the next. */
/* Client, before its hello: what that offers. False: memory is out. */
bool fl_session_offer(struct fl_session *session) FL_MUST_USE;
/* Server, before it has heard anything: what others than our own kind are offered. False: memory is out. */
bool fl_session_name_protocols(struct fl_session *session) FL_MUST_USE;
/* The session that was offered is of no use. */
void fl_session_drop_offered(struct fl_session *session);
/* Keeps what the next connection can resume, once the server has sent a ticket. */
void fl_session_save(struct fl_session *session);
/* It has failed because the server refuses our application protocol, which nobody has asked for by `alpn`. */
bool fl_session_wants_no_alpn(const struct fl_session *session);
/* It is open; without one it may have been. */
void fl_session_note_alpn(struct fl_session *session);

#endif
