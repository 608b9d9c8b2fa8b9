/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_MESH_H
#define FL_CONN_MESH_H
/* mesh - the side of a connection that faces the mesh: a TLS session (session.h) or a plain socket (plaintext.h).
 *
 * Its user, mostly a stream, works with the functions below and gets events. Reading is off when a mesh side becomes ready.
 * Bytes in on_data belong to the loop and are gone when it returns. A mesh side is over for its user when on_closed has
 * returned, or with the call of close, reset, leave or refuse, after which no event comes. Its memory stays until the
 * loop's turn is over. To add a kind, add a table of operations. Loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/log.h"
#include "count/reason.h"
#include "net/alive.h"
#include "tls/tls.h"
#include "wire/proxy_v2.h"

struct fl_conn;
struct fl_mesh;

struct fl_kept;

/* Which app connection of which session it is (session_internal.h). */
struct fl_mesh_use {
	uint64_t session; /* the session's ID; 0: it carries only this one, or has none */
	uint32_t use;     /* from 1 */
};

struct fl_mesh_events {
	void (*on_ready)(void *user); /* after dialling or a handshake: the peer is known */
	void (*on_data)(void *user, uint8_t *data, size_t len); /* plaintext */
	void (*on_eof)(void *user);                             /* the peer has finished sending */
	void (*on_drain)(void *user);                           /* nothing is pending any more */
	void (*on_closed)(void *user,
			  enum fl_reason reason); /* it has failed; it can still be queried */
	/* A session that was used before has not carried this connection, and is gone. kept: what was written, to free();
	 * NULL: nothing. For users of fl_parking_take(). */
	void (*on_not_opened)(void *user, struct fl_kept *kept);
};

/* All are required. */
struct fl_mesh_ops {
	/* on_data, on_eof and on_closed may run inside this call. */
	void (*read_start)(struct fl_mesh *mesh);
	void (*read_stop)(struct fl_mesh *mesh);
	/* Do not read it yet, but report a reset. */
	void (*watch)(struct fl_mesh *mesh);
	/* In on_data: these bytes are the last, on_eof follows at once. */
	bool (*read_is_last)(const struct fl_mesh *mesh);

	/* 0: all in the kernel; 1: pending, stop producing until on_drain; a negative uv error: broken, reset it. data: the
	 * room around it (net/net.h) may be overwritten. last: shutdown follows immediately, and both can go in one
	 * packet. */
	int (*write)(struct fl_mesh *mesh, uint8_t *data, size_t len, bool last);
	bool (*pending)(const struct fl_mesh *mesh);
	/* As fl_sock_debt(); also open while the peer has yet to say that it has the connection. */
	struct fl_debt (*debt)(const struct fl_mesh *mesh);
	void (*begin_keep)(struct fl_mesh *mesh); /* as fl_sock_begin_keep() */
	void (*keep)(struct fl_mesh *mesh);       /* as fl_sock_keep() */
	/* Ends our direction; reading continues. Call once. closing: close follows immediately, and sends the FIN. */
	void (*shutdown)(struct fl_mesh *mesh, bool closing);

	void (*close)(struct fl_mesh *mesh); /* both sides have finished */
	/* Never a clean end. reason: the peer hears of it if it can. */
	void (*reset)(struct fl_mesh *mesh, enum fl_reason reason);
	/* A clean end for everything that we have sent, shutdown included; bytes that the peer still sends are
	 * discarded. */
	void (*leave)(struct fl_mesh *mesh);
	/* Sends that TLS alert if the peer can still get one; otherwise a reset. */
	void (*refuse)(struct fl_mesh *mesh, uint8_t alert);

	bool (*is_ready)(const struct fl_mesh *mesh);
	const char *(*state_word)(const struct fl_mesh *mesh); /* its state until it is ready */
	/* The verified peer; NULL: plaintext, or not verified (yet). Borrowed. */
	struct fl_tls_peer *(*peer)(const struct fl_mesh *mesh);
	const char *(*peer_id)(const struct fl_mesh *mesh); /* as above; also in on_closed */
	bool (*is_mutual)(const struct fl_mesh *mesh); /* has the peer asked for our certificate? */
	/* Why TLS failed; NULL: it has not failed. Also inside on_closed. */
	const struct fl_tls_failure *(*failure)(const struct fl_mesh *mesh);
	/* What an app may learn about the peer; the mesh side owns the strings. False: nothing is known. */
	bool (*introduce)(const struct fl_mesh *mesh, struct fl_proxy_v2_peer *ret);
	struct fl_mesh_use (*use)(const struct fl_mesh *mesh);
	struct fl_inet (*local_inet)(const struct fl_mesh *mesh); /* our end of it */
	/* The other end; family 0: there is no socket, or it is a Unix socket. */
	struct fl_inet (*peer_inet)(const struct fl_mesh *mesh);
	/* "10.0.0.1:8443"; buf of FL_ADDR_TEXT bytes; returns buf, or NULL if there is no socket. */
	const char *(*peer_addr)(const struct fl_mesh *mesh, char *buf);
	/* Fields of the access log: security, peer, tls ... */
	void (*describe)(const struct fl_mesh *mesh, struct fl_line *line);
};

/* Embed this in the implementation. */
struct fl_mesh {
	const struct fl_mesh_ops *ops;
	const struct fl_mesh_events *events; /* NULL: events are no longer reported */
	void *user;
	struct fl_conn *conn; /* a reference; NULL: no connection uses it now */
};

static inline void fl_mesh_set_user(struct fl_mesh *mesh, const struct fl_mesh_events *events,
				    void *user)
{
	mesh->events = events;
	mesh->user = user;
}

#endif
