/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SESSION_INTERNAL_H
#define FL_CONN_SESSION_INTERNAL_H
/* A session as its files share it: session.c drives it, session_client.c dials, session_mesh.c serves its user,
 * session_memory.c remembers servers, session_describe.c describes it. Private to them. */
#include "conn/dial.h"
#include "conn/pool.h"
#include "conn/session.h"
#include "conn/state.h"
#include "wire/frame.h"

#define FL_SESSION_LINGER_MS 1000u    /* time for our last bytes to arrive */
#define FL_SESSION_HELD_ENOUGH 16384u /* bytes; one more read can be added */

/* A session has the same ID at both ends: the first bytes of the random that its ClientHello has in the clear (RFC 8446 section
 * 4.1.2). It is no secret, and proves nothing. */
#define FL_SESSION_ID 8u

enum fl_session_state {
	FL_SESSION_DIALING,
	FL_SESSION_HANDSHAKE,
	FL_SESSION_READY,
	FL_SESSION_IDLE, /* framed, between two uses */
	FL_SESSION_CLOSED,
};

/* Ciphertext: input that arrived before the user was ready for its plaintext, or the end of our handshake, which can
 * wait. */
struct fl_held {
	size_t len;
	uint8_t data[];
};

extern const struct fl_states fl_session_states;

/* Only a connection that is being made needs it, so that an open one does not pay for it. */
struct fl_dialing {
	struct fl_corpse
		corpse; /* first member: buried, since it ends inside its own callback, too */
	struct fl_dialer dialer;
};

struct fl_shaking {
	struct fl_corpse corpse; /* first member: buried, as above */
	struct fl_session *session;
	struct fl_deadline deadline; /* of HANDSHAKE */
	struct fl_slot slot;
};

struct fl_session {
	struct fl_corpse corpse; /* first member: buried when closed */
	struct fl_mesh mesh;
	struct fl_session *prev, *next;
	struct fl_loop *loop;
	struct fl_share *share;     /* a reference: the engine's */
	struct fl_sock *sock;       /* NULL while dialing, and after its end */
	struct fl_dialing *dialing; /* client, until it is ready; owned */
	struct fl_shaking *shaking; /* until it is ready; owned */
	struct fl_tls *tls;         /* NULL while dialing */
	struct fl_framed *framed;   /* NULL: a raw session, or its handshake is not over */
	struct fl_held *held;
	/* bytes of our handshake: its end, sent with our first bytes; or what comes before the signature that it waits for */
	struct fl_held *unsent;
	struct fl_signing *signing; /* NULL: it waits for no signature */
	uint64_t started_ns;        /* of the handshake */
	uint32_t lane;              /* of the slot */
	uint32_t offered; /* client: number of the session that the hello offers, 0: none */
	uint8_t id[FL_SESSION_ID]; /* zeros: not known yet */
	uint16_t local_port;       /* client: of its socket */
	uint8_t state;             /* enum fl_session_state */
	bool is_client;
	bool answered; /* server: we have sent the client something */
	bool saves;    /* client: its ticket has not come yet */
	bool bare; /* client: it offers no application protocol, because the server refuses ours */
	bool reading; /* the user wants plaintext */
	bool eof;     /* close_notify received */
	bool is_last; /* the bytes that on_data is handling */
	bool shut;    /* close_notify sent: we have finished */
	bool fin;     /* TCP has ended while the session was not being read */
	bool torn;    /* something that was to be sent is lost */
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
/* The same because the engine has failed. */
void fl_session_fail_tls(struct fl_session *session);
/* The same without starting over. gently: we have sent an alert that must arrive. alert: one to send now; 0: none. */
void fl_session_fail_and_end(struct fl_session *session, enum fl_reason reason, bool gently,
			     uint8_t alert);
/* Closes its socket. gently: our last bytes still arrive. */
void fl_session_end_socket(struct fl_session *session, bool gently);
/* Releases everything except the memory; the socket is gone already. */
void fl_session_release(struct fl_session *session);

/* session_records.c */
struct fl_tls_io fl_session_io_for(struct fl_session *session, const uint8_t *data, size_t len);
/* Delays sending it: each connection saves a packet and a wake-up of the peer. */
void fl_session_keep_unsent(struct fl_session *session, struct fl_tls_io *io);
/* For bytes that we send on our own: the end of the handshake goes out first. */
struct fl_tls_io fl_session_io_to_send(struct fl_session *session);
/* 0, 1 (pending) or a negative uv error. more: more bytes follow immediately. */
int fl_session_send(struct fl_session *session, struct fl_tls_io *io, bool more);
/* Keeps the rest of the input for later. */
void fl_session_hold(struct fl_session *session, const struct fl_tls_io *io);
/* Opens all of the input, and hands it on. */
void fl_session_open_records(struct fl_session *session, struct fl_tls_io *io);

/* session_mesh.c */
extern const struct fl_mesh_ops fl_session_mesh_ops;
void fl_session_read_stop(struct fl_mesh *mesh);
struct fl_debt fl_session_debt(const struct fl_mesh *mesh);
void fl_session_begin_keep(struct fl_mesh *mesh);
void fl_session_keep(struct fl_mesh *mesh);
/* Sends close_notify, once. more: more bytes follow immediately. */
void fl_session_say_goodbye(struct fl_session *session, bool more);

/* session_client.c */
/* It is ready, or over. Does nothing if it does not dial. */
void fl_session_end_dialing(struct fl_session *session);
/* Dials the same address again, this time without an application protocol. */
void fl_session_dial_again(struct fl_session *session);

/* session_describe.c: for session_mesh.c (mesh.h). */
bool fl_session_is_ready(const struct fl_mesh *mesh);
const char *fl_session_state_word(const struct fl_mesh *mesh);
struct fl_tls_peer *fl_session_peer(const struct fl_mesh *mesh);
const char *fl_session_peer_id(const struct fl_mesh *mesh);
bool fl_session_is_mutual(const struct fl_mesh *mesh);
const struct fl_tls_failure *fl_session_failure(const struct fl_mesh *mesh);
struct fl_mesh_use fl_session_use(const struct fl_mesh *mesh);
bool fl_session_introduce(const struct fl_mesh *mesh, struct fl_proxy_v2_peer *ret);
struct fl_inet fl_session_local_inet(const struct fl_mesh *mesh);
struct fl_inet fl_session_peer_inet(const struct fl_mesh *mesh);
const char *fl_session_peer_addr(const struct fl_mesh *mesh, char *buf);
void fl_session_describe(const struct fl_mesh *mesh, struct fl_line *line);

/* Rows of the table of operations that are the same for raw and framed sessions. */
#define FL_SESSION_COMMON_OPS                                                                      \
	.read_stop = fl_session_read_stop, .debt = fl_session_debt,                                \
	.begin_keep = fl_session_begin_keep, .keep = fl_session_keep,                              \
	.is_ready = fl_session_is_ready, .state_word = fl_session_state_word,                      \
	.peer = fl_session_peer, .peer_id = fl_session_peer_id, .is_mutual = fl_session_is_mutual, \
	.failure = fl_session_failure, .introduce = fl_session_introduce, .use = fl_session_use,   \
	.local_inet = fl_session_local_inet, .peer_inet = fl_session_peer_inet,                    \
	.peer_addr = fl_session_peer_addr, .describe = fl_session_describe

/* session_id.c */
/* Finds the ID, if it is not known yet and this is the record that holds the ClientHello. A client may cut the ClientHello into smaller
 * records: then there is no ID. */
void fl_session_note_id(struct fl_session *session, struct fl_span record);
/* buf of FL_HEX_TEXT(FL_SESSION_ID) bytes; returns buf, or NULL: it is not known. */
const char *fl_session_id_text(const struct fl_session *session, char *buf);
/* Names the app connection, also among those that its session carries one after another; ret of FL_PROXY_V2_UNIQUE bytes; "":
 * there is no ID. */
void fl_session_name_connection(const struct fl_session *session, char *ret);

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

/* --- framed sessions ---------------------------------------------------------------------------------
 * A framed session is one that carries app connections one after another: its *uses* (wire/frame.h).
 *
 *                        OPEN is sent (client) or read (server)
 *   session  HANDSHAKE --> READY: a use --> IDLE: no use --> READY: the next use ...
 *                      \--> IDLE (server)
 *
 * A use has a connection of its own (conn.h) and a user of its own, mostly a stream, as a raw session has. It is over when END
 * was sent and read and nothing waits to be sent; then the session is idle, and at the client it is parked (parking.h). If a
 * use ends in any other way (a reset, an alert, a truncation, a deadline, a refusal), so does the session: then nobody has to
 * know how far the other side was, and no byte of one use can come out in another.
 *
 * Where a session leads to is decided when its TCP connection arrives and never again: the destination in OPEN is a claim,
 * like the source, because a peer must not reach by OPEN what it could not reach by connecting. At each OPEN the server judges
 * the peer again (chain, CRLs, expiry, policy) under the generation in force, and takes a connection of [limits] connections.
 *
 * Starting over: an OPEN on a session that was used before may be too late, because the server has just retired it, or its
 * app has stopped. The client keeps what its app sends until STATUS comes; if nothing of it can have reached the server's app,
 * the use begins again, once, on a fresh session. That is so if the server says so (FL_STATUS_NOT_OPENED), if it has ended the
 * session by close_notify without a STATUS (it never does that after it has read OPEN), if the kernel did not take the OPEN, or
 * if the session broke, or its server's machine or sidecar does not answer, before any byte of the app was sent. In all other
 * cases the app's connection is reset; for silence there is a deadline (session_framed_doubt.c).
 *
 * A server that wants to end an idle session says RETIRE and waits for the client's close_notify, so that an OPEN on its way
 * gets an answer and no reset. While it waits the session keeps its place among the idle ones; if another one needs that, this
 * one ends by close_notify at once. */

/* What the app has sent, until STATUS comes. With the room around it that a write wants (mesh.h). */
struct fl_kept {
	size_t len;
	uint8_t room[]; /* FL_NET_HEADROOM bytes, those of the app, FL_NET_TAILROOM bytes */
};

struct fl_framed_client {
	struct fl_kept *kept; /* NULL: nothing has been sent, or it need not be kept */
	struct fl_pool_entry parked;
	struct fl_deadline check; /* until STATUS: is anybody there? */
	uint64_t opened_ms;       /* uv_now() when the use began */
	uint32_t server;          /* a hash of what the server says is its address */
	bool is_overdue;          /* STATUS had not come at the last check, and should have */
};

/* Where its connections come from and lead to: those of its TCP connection. */
struct fl_framed_origin {
	struct fl_endpoint *endpoint;
	struct fl_inet source, destination;
};

struct fl_framed_server {
	struct fl_deadline deadline; /* STATUS is due, or it has been idle for long enough */
	union {
		struct fl_framing_open open; /* of a use: what the client claims */
		struct fl_framed_origin
			origin; /* while it has no connection, which knows that otherwise */
	};
	size_t came; /* bytes of DATA of the use */
	struct fl_inet local;
	const struct fl_mesh_events *events; /* of a use that begins */
	struct fl_quota_peer *quota;         /* of its place: whose share it has */
};

struct fl_framed {
	struct fl_framing framing;
	struct fl_session *session;
	struct fl_held *plain; /* plaintext whose user has not begun to read */
	/* The number of the current use, or of the last one. `framing` may have read an OPEN that becomes none. */
	uint32_t use;
	uint8_t end;  /* enum fl_session_end: why it is ending */
	bool is_over; /* our last frame has been sent: what comes is discarded */
	bool retired; /* RETIRE: no further use */

	/* of the current use */
	bool must_open; /* client: OPEN has not been sent */
	bool answered;  /* STATUS was read or sent */
	uint8_t status; /* enum fl_status; which one */
	bool said_end;  /* END was sent */
	bool has_end;   /* END was read */
	bool has_user;  /* its user has begun to read */
	bool is_last;   /* the bytes that on_data is handling */

	/* client */
	bool keeps;      /* the use could start over */
	bool is_full;    /* too much is kept: nothing more is sent before STATUS */
	bool has_sent;   /* bytes of the app */
	bool must_count; /* it is not among the reused ones yet: it may still start over */

	/* server */
	uint8_t detected; /* enum fl_detected */
	bool has_place; /* it is one of those that wait, for OPEN or for the client to close: they are bounded */
	/* Last: a client's has no room for the server's part. */
	union {
		struct fl_framed_client client;
		struct fl_framed_server server;
	};
};

/* --- session_framed.c: from the handshake to the end ------------------------------------------------------- */

/* The handshake is over: from now on it is a framed session. Client: its first use is ready, and OPEN goes out with the
 * first bytes or with fl_framed_speak(). Server: it waits for OPEN. False: no memory. */
bool fl_framed_begin(struct fl_session *session) FL_MUST_USE;
/* The number of the current use, or of the last one, from 1; 0: a server's, before the first one. */
static inline uint32_t fl_framed_use(const struct fl_session *session)
{
	return session->framed->use;
}
/* Client: writes OPEN of the current use, and returns its length. */
size_t fl_framed_put_open(struct fl_session *session, uint8_t frame[FL_FRAME_OPEN_MAX]);
/* Idle: it carries a further connection, whose reference it takes over. */
void fl_framed_join(struct fl_session *session, struct fl_conn *conn,
		    const struct fl_mesh_events *events, void *user);
/* Client, idle: the next use, of that connection. */
void fl_framed_reuse(struct fl_session *session, struct fl_conn *conn,
		     const struct fl_mesh_events *events, void *user);
/* Counts the use as one of a reused session, once; does nothing if it is the first one of its session. */
void fl_framed_count(struct fl_session *session);
/* Client: sends OPEN if it has not gone out with bytes of the app. The use may start over inside. */
void fl_framed_speak(struct fl_session *session);
/* The use is over: the session leaves its connection and user, and is idle. */
void fl_framed_leave_use(struct fl_session *session);
/* Client: begins the use again on a fresh session, and ends this one. gently: its peer is still there. */
void fl_framed_start_over(struct fl_session *session, bool gently);
/* May it start over, after the connection has broken? */
bool fl_framed_may_start_over(const struct fl_session *session, enum fl_reason reason);
/* Ends an idle session, by close_notify. Nobody is told. */
void fl_framed_end(struct fl_session *session, enum fl_session_end why);
/* Frees what a session has because it is framed, and counts its end. */
void fl_framed_release(struct fl_session *session);

/* --- session_framed_doubt.c: until STATUS ------------------------------------------------------------------- */

/* Client: a use begins; its server's machine may be gone, or its sidecar stalled. */
void fl_framed_expect_status(struct fl_session *session);
/* Server: a use begins, and STATUS goes out within FL_FRAME_STATUS_MS. */
void fl_framed_promise_status(struct fl_session *session);

/* --- session_framed_mesh.c: for the user of a use ----------------------------------------------------------- */

extern const struct fl_mesh_ops fl_framed_mesh_ops;
/* Seals frames and sends them: as fl_session_send(). */
int fl_framed_send(struct fl_session *session, const uint8_t *frames, size_t len);
/* Server: sends STATUS alone, if it is due. */
void fl_framed_answer(struct fl_session *session);
/* Server: sends a STATUS that ends the session. */
void fl_framed_refuse(struct fl_session *session, enum fl_status code);
/* Client: the server has opened the use: what was kept is not needed any more. */
void fl_framed_opened(struct fl_session *session);

/* --- session_framed_read.c: frames that come ---------------------------------------------------------------- */

/* data: plaintext; it may be overwritten. */
void fl_framed_take(struct fl_session *session, uint8_t *data, size_t len);
/* The user has begun to read: takes what came before. */
void fl_framed_take_held(struct fl_session *session);
/* close_notify has come. */
void fl_framed_on_eof(struct fl_session *session);

/* --- parking.c: idle sessions ------------------------------------------------------------------------ */

/* A use has ended well: parks the session (client), waits for the next OPEN (server), or ends it.
 * place: of the use; NULL: the client does not park it. */
void fl_framed_rest(struct fl_session *session, struct fl_pool_place *place);
/* Server: the handshake is over, and the first OPEN has not come with its end. It is bounded as the idle ones are. */
void fl_framed_await_first(struct fl_session *session);
/* It is not idle any more, or gone: forgets it. */
void fl_framed_unrest(struct fl_session *session);
/* Server, idle: RETIRE, and then the client closes. The session is gone afterwards if RETIRE cannot be sent, or if there is no
 * place to wait in. */
void fl_framed_retire(struct fl_session *session, enum fl_session_end why);
/* Client: the server has said what its own address is. */
void fl_framed_note_server(struct fl_session *session, const struct fl_inet *local);
/* Client: its server does not answer: ends the sessions that are parked for the same server, in the same place. */
void fl_framed_let_others_go(struct fl_session *session);
/* Why it must carry no further use, under the generation in force: other credentials or settings of ours, its age, or its
 * peer, judged as in a handshake now. FL_SESSION_ENDS: it may. */
enum fl_session_end fl_framed_objection(const struct fl_session *session);

#endif
