/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SESSION_INTERNAL_H
#define FL_CONN_SESSION_INTERNAL_H
/* A session as its files share it: session.c drives it, session_client.c dials, session_mesh.c serves its user,
 * session_memory.c remembers servers, session_describe.c describes it. Private to them. */
#include "conn/dial.h"
#include "conn/session.h"
#include "conn/state.h"

#define FL_SESSION_LINGER_MS 1000u /* time for our last bytes to arrive */

enum fl_session_state {
	FL_SESSION_DIALING,
	FL_SESSION_HANDSHAKE,
	FL_SESSION_READY,
	FL_SESSION_CLOSED,
};

/* Ciphertext: input that arrived before the user was ready for its plaintext, or the end of our handshake, which can
 * wait. */
struct fl_held {
	size_t len;
	uint8_t data[];
};

extern const struct fl_states fl_session_states;

struct fl_session {
	struct fl_corpse corpse; /* first member: buried when closed */
	struct fl_mesh mesh;
	struct fl_session *prev, *next;
	struct fl_loop *loop;
	struct fl_share *share;      /* a reference: the engine's */
	struct fl_sock *sock;        /* NULL while dialing, and after its end */
	struct fl_dialer dialer;     /* client */
	struct fl_tls *tls;          /* NULL while dialing */
	struct fl_deadline deadline; /* of HANDSHAKE */
	struct fl_slot slot;         /* in DIALING and HANDSHAKE */
	struct fl_held *held;
	/* bytes of our handshake: its end, sent with our first bytes; or what comes before the signature that it waits for */
	struct fl_held *unsent;
	struct fl_signing *signing; /* NULL: it waits for no signature */
	uint64_t started_ns;        /* of the handshake */
	uint32_t lane;              /* of the slot */
	uint32_t offered; /* client: number of the session that the hello offers, 0: none */
	uint8_t state;    /* enum fl_session_state */
	bool is_client;
	bool answered; /* server: we have sent the client something */
	bool saves;    /* client: its ticket has not come yet */
	bool bare; /* client: it offers no application protocol, because the server refuses ours */
	bool reading; /* the user wants plaintext */
	bool eof;     /* close_notify received */
	bool is_last; /* the bytes that on_data is handling */
	bool shut;    /* close_notify sent: we have finished */
	bool fin;     /* TCP has ended while the session was not being read */
};

static inline struct fl_session *fl_session_of(const struct fl_mesh *mesh)
{
	return FL_CONTAINER_OF(mesh, struct fl_session, mesh);
}

static inline enum fl_direction fl_session_direction(const struct fl_session *session)
{
	return session->is_client ? FL_OUTBOUND : FL_INBOUND;
}

/* session.c */
extern const struct fl_sock_events fl_session_sock_events;
struct fl_session *fl_session_new(struct fl_conn *conn, const struct fl_mesh_events *events,
				  bool is_client); /* NULL: no memory */
void fl_session_enter(struct fl_session *session, enum fl_session_state next);
/* handshake_timeout begins. */
void fl_session_start_clock(struct fl_session *session);
/* Feeds those bytes to the engine, and sends its output. */
void fl_session_feed(struct fl_session *session, const uint8_t *data, size_t len);
/* Ends it, and reports that to the user. */
void fl_session_fail(struct fl_session *session, enum fl_reason reason);
/* Closes its socket. gently: our last bytes still arrive. */
void fl_session_end_socket(struct fl_session *session, bool gently);
/* Releases everything except the memory; the socket is gone already. */
void fl_session_release(struct fl_session *session);
/* For bytes that we send on our own: the end of the handshake goes out first. */
struct fl_tls_io fl_session_io_to_send(struct fl_session *session);
/* 0, 1 (pending) or a negative uv error. more: more bytes follow immediately. */
int fl_session_send(struct fl_session *session, struct fl_tls_io *io, bool more);

/* session_mesh.c */
extern const struct fl_mesh_ops fl_session_mesh_ops;

/* session_client.c */
/* Dials the same address again, this time without an application protocol. */
void fl_session_dial_again(struct fl_session *session);

/* session_describe.c: for session_mesh.c (mesh.h). */
bool fl_session_is_ready(const struct fl_mesh *mesh);
const char *fl_session_state_word(const struct fl_mesh *mesh);
struct fl_tls_peer *fl_session_peer(const struct fl_mesh *mesh);
const char *fl_session_peer_id(const struct fl_mesh *mesh);
bool fl_session_is_mutual(const struct fl_mesh *mesh);
const struct fl_tls_failure *fl_session_failure(const struct fl_mesh *mesh);
bool fl_session_introduce(const struct fl_mesh *mesh, struct fl_proxy_v2_peer *ret);
struct fl_inet fl_session_local_inet(const struct fl_mesh *mesh);
struct fl_inet fl_session_peer_inet(const struct fl_mesh *mesh);
const char *fl_session_peer_addr(const struct fl_mesh *mesh, char *buf);
void fl_session_describe(const struct fl_mesh *mesh, struct fl_line *line);

/* session_memory.c: facts about a server that are kept from one session to the next. */
/* Client, before its ClientHello: sets what it offers. False: memory is out. */
bool fl_session_offer(struct fl_session *session) FL_MUST_USE;
/* Server, before any input: sets the protocols for clients of other kinds. False: memory is out. */
bool fl_session_name_protocols(struct fl_session *session) FL_MUST_USE;
/* The server did not resume the offered session. */
void fl_session_drop_offered(struct fl_session *session);
/* Keeps what the next connection can resume, once the server has sent a ticket. */
void fl_session_save(struct fl_session *session);
/* Did it fail because the server refuses our application protocol, although no `alpn` is set? */
bool fl_session_wants_no_alpn(const struct fl_session *session);
/* It is open, perhaps without an application protocol. */
void fl_session_note_alpn(struct fl_session *session);

#endif
