/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_SOCK_H
#define FL_NET_SOCK_H
/* sock - one connected stream socket (TCP or Unix) on a libuv loop.
 *
 * Loop-bound: every call on the loop's thread. Reads go into a buffer of the loop's owner (struct
 * fl_net), so that an idle socket has none: on_data must use or copy the bytes before it returns.
 * Writes go to the kernel immediately; what it does not accept is copied to a pending queue, and
 * the caller stops producing until on_drain. No callback runs inside the call that caused it,
 * except in fl_sock_read_now(). Closing is asynchronous: fl_sock_close() detaches the user (no
 * callback follows) and frees the socket later. */
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/inet.h"
#include "net/alive.h"
#include "net/dial.h"
#include "net/net.h"

struct fl_sock;

/* All are required. user is what fl_sock_set_user() set. */
struct fl_sock_events {
	void (*on_data)(void *user, uint8_t *data,
			size_t len);  /* data is writable scratch, and so is the room around it
				       * (net.h); len > 0 */
	void (*on_eof)(void *user);   /* FIN; reading has stopped; once more for each read_start */
	void (*on_drain)(void *user); /* pending is empty again */
	/* Negative uv error; only fl_sock_close/reset make sense now. Also reported for a socket
	 * that is not being read. */
	void (*on_error)(void *user, int sys);
};
/* sys: 0, or a negative uv error. */
typedef void (*fl_sock_dial_cb)(void *user, int sys);

/* Starts to connect. cb runs once, later, unless the socket is closed first. On success the events
 * are live. Sets TCP_NODELAY, and SO_OOBINLINE. Errors: FL_ERR_IO. */
int fl_sock_dial(struct fl_net *net, const struct fl_dial *dial,
		 const struct fl_sock_events *events, void *user, fl_sock_dial_cb cb,
		 struct fl_sock **ret, struct fl_err *err) FL_MUST_USE;

void fl_sock_set_user(struct fl_sock *sock, const struct fl_sock_events *events, void *user);

/* Reads what has already arrived, without waiting for the loop: on_data or on_error may run inside,
 * once. buf of cap bytes replaces the loop's buffer, which may be in use; it has room around it only
 * if the user of on_data writes there. An end is left for
 * fl_sock_read_start(). */
void fl_sock_read_now(struct fl_sock *sock, uint8_t *buf, size_t cap);
void fl_sock_read_start(struct fl_sock *sock);
void fl_sock_read_stop(struct fl_sock *sock);
/* In on_data: true if these bytes are the last and on_eof follows immediately. False: not known
 * yet. */
bool fl_sock_read_is_last(const struct fl_sock *sock);

/* Sends len bytes: 0 = all in the kernel; 1 = the rest is pending, stop producing until on_drain; negative uv
 * error: reset it (on_error does not follow). With UV_ENOMEM some of the bytes may have been sent, and the rest is lost; with any
 * other error none of them was. */
int fl_sock_write(struct fl_sock *sock, const uint8_t *data, size_t len) FL_MUST_USE;
/* The same for bytes after which more follows immediately (more bytes, the FIN): the kernel waits
 * for that, so that both are sent in one packet. */
int fl_sock_write_more(struct fl_sock *sock, const uint8_t *data, size_t len) FL_MUST_USE;
bool fl_sock_pending(const struct fl_sock *sock);

/* For a peer that may never read: of what is written the kernel keeps about that many bytes, and the rest is pending. The kernel's own
 * bound is 13 times as high, and counts as memory of this process's container. One system call. */
void fl_sock_limit_unread(struct fl_sock *sock, int bytes);

/* Of a Unix socket: has the kernel bytes for the other end that it has not read? They count as memory of this process's container until
 * it has, or is closed, even if ours is closed. One system call. */
bool fl_sock_has_unread(const struct fl_sock *sock);
/* For the other end this is the close: it reads what the kernel has for it, and then the end. What is pending is dropped, and no callback
 * follows. The caller still owns sock, for fl_sock_has_unread() and fl_sock_close(). */
void fl_sock_part(struct fl_sock *sock);

/* Sends a delayed ACK immediately, and the next ones as well: for a peer that may wait for it
 * (Nagle's algorithm) before it sends the rest. One system call. */
void fl_sock_ack_now(struct fl_sock *sock);

struct fl_debt fl_sock_debt(const struct fl_sock *sock); /* fl_alive_debt() */

/* Sets its keep_s to that of its net, if it has probes at all. No system call if nothing
 * changes. */
void fl_sock_keep(struct fl_sock *sock);
/* Begins probes, at the interval of its net, on a socket that was dialled without any. Does nothing
 * if it has them, or is a Unix socket. */
void fl_sock_begin_keep(struct fl_sock *sock);

/* FIN once pending is empty. */
void fl_sock_shutdown(struct fl_sock *sock);

/* Orderly close: pending bytes are sent first, for at most linger_ms; then freed. If bytes are
 * still left then, or if there is no room to linger (fl_net.farewells), it is reset. The caller
 * must not use sock any more. */
void fl_sock_close(struct fl_sock *sock, uint32_t linger_ms);
/* Sends pending bytes, then FIN; discards what the peer still sends until it has finished too or
 * linger_ms have passed. Without this, unread bytes at close() cause a reset that can overtake our
 * last message (a TLS alert). The caller must not use sock any more. */
void fl_sock_hang_up(struct fl_sock *sock, uint32_t linger_ms);
/* Sends RST immediately. The caller must not use sock any more. */
void fl_sock_reset(struct fl_sock *sock);

/* "10.0.0.1:8443", for logs; buf of FL_ADDR_TEXT bytes. "unix" for Unix sockets. */
const char *fl_sock_peer(const struct fl_sock *sock, char *buf);
/* The same, packed; family 0: Unix, or unknown. */
struct fl_inet fl_sock_peer_inet(const struct fl_sock *sock);
/* Our own end of an accepted connection; if TPROXY redirected it here, its original destination. */
struct fl_inet fl_sock_local_inet(const struct fl_sock *sock);
/* The original destination of an accepted connection, before a NAT rule of this machine redirected
 * it here. Returns 0, or a negative uv error: UV_ENOENT if no such rule applied. */
int fl_sock_original_dst(const struct fl_sock *sock, struct fl_inet *ret) FL_MUST_USE;
/* Credentials of the process at the other end of a Unix socket (SO_PEERCRED). */
int fl_sock_peer_uid(const struct fl_sock *sock, uid_t *ret, struct fl_err *err) FL_MUST_USE;

#endif
