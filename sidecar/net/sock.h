/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_SOCK_H
#define FL_NET_SOCK_H
/* sock - one connected stream socket (TCP or Unix) on a libuv loop.
 *
 * Loop-bound: every call on the loop's thread. Reads land in a buffer that belongs to the loop's owner
 * (struct fl_net), so that an idle socket holds none: on_data must have used or copied the bytes when
 * it returns. Writes go to the kernel at once; what it does not take is copied to a pending queue, and the caller
 * stops producing until on_drain. No callback runs inside the call that caused it, but for fl_sock_read_now().
 * Closing is asynchronous: fl_sock_close() detaches the user (no callback follows) and frees the socket later. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/inet.h"
#include "net/alive.h"
#include "net/ports.h"

/* What the sockets of one loop share. */
struct fl_net {
	uv_loop_t *loop;
	uint8_t *read_buf;        /* owned */
	size_t read_cap;          /* bytes: `[limits] buffer` */
	struct fl_poller *poller; /* owned; NULL while nothing is open */
	size_t open;              /* sockets and listeners not yet freed */
	size_t farewells;         /* of those, closed and lingering */
	size_t farewells_max;     /* 1024 to begin with; the owner's to set */
	bool wipes;               /* pending writes hold keys: wiped before they are freed */
	struct fl_ports ports;    /* for dials that ask for them; none until fl_ports_load() */
	uint16_t keep_s;          /* of what is opened from now on (alive.h) */
};
void fl_net_init(struct fl_net *net, uv_loop_t *loop, size_t read_cap);
void fl_net_done(struct fl_net *net); /* open must be 0 */
/* Runs the loop until it has no active handle and the net has nothing open; quicker than uv_run(), which serves as well.
 * turn_over is called whenever all that had happened is dealt with. Nothing of the net may be open when it begins, and
 * uv_stop() does not end it. Errors: a negative errno, before anything ran. */
int fl_net_run(struct fl_net *net, void (*turn_over)(void *user), void *user) FL_MUST_USE;

struct fl_sock;

/* All are required but those said to be optional. user is what fl_sock_set_user() set. */
struct fl_sock_events {
	void (*on_data)(void *user, uint8_t *data,
			size_t len);  /* data is writable scratch; len > 0 */
	void (*on_eof)(void *user);   /* FIN; reading has stopped; once more for each read_start */
	void (*on_drain)(void *user); /* pending is empty again */
	/* Negative uv error; only fl_sock_close/reset make sense now. Comes for a socket that is not read as well. */
	void (*on_error)(void *user, int sys);
};
/* sys: 0, or a negative uv error. */
typedef void (*fl_sock_dial_cb)(void *user, int sys);

/* Where to connect to, and how. */
struct fl_dial {
	const struct sockaddr *to; /* borrowed for the call */
	struct fl_alive alive;
	/* A dialogue that we begin and in which every word is answered at once, as a TLS handshake: ACKs go with what is sent
	 * anyway, the first with our first bytes. A server that speaks first would hear of the connection up to 200 ms late. */
	bool joins_acks;
	uint8_t tos; /* IP_TOS or IPV6_TCLASS, from the first packet on; 0: the system's default */
	uint32_t mark; /* SO_MARK, likewise; 0: none */
	/* Whose address it comes from, whatever port: somebody else's (IP_TRANSPARENT). NULL: our own. It and mark take the
	 * capability NET_ADMIN. Borrowed. */
	const struct sockaddr *from;
	/* TCP: an ICMP error ends it at once. By itself the kernel takes one for final unless it comes before connect() has
	 * returned, as from the node that the pod is on: then it sends the SYN once more, a second later. */
	bool heeds_icmp;
	/* TCP: which ports it may come from. Those that are taken are passed over; when none is left, the kernel chooses. */
	enum fl_port_choice port;
};

/* Starts to connect. cb runs once, later, unless the socket is closed first. On success the events
 * are live. Sets TCP_NODELAY, and SO_OOBINLINE. Errors: FL_ERR_IO. */
int fl_sock_dial(struct fl_net *net, const struct fl_dial *dial,
		 const struct fl_sock_events *events, void *user, fl_sock_dial_cb cb,
		 struct fl_sock **ret, struct fl_err *err) FL_MUST_USE;

void fl_sock_set_user(struct fl_sock *sock, const struct fl_sock_events *events, void *user);

/* Takes what is there already, without waiting for the loop: on_data or on_error may run inside, once. buf of cap bytes
 * takes the place of the loop's buffer, which may be in use. An end is left for fl_sock_read_start(). */
void fl_sock_read_now(struct fl_sock *sock, uint8_t *buf, size_t cap);
void fl_sock_read_start(struct fl_sock *sock);
void fl_sock_read_stop(struct fl_sock *sock);
/* In on_data: these bytes are the last, on_eof follows at once. False: nobody knows yet. */
bool fl_sock_read_is_last(const struct fl_sock *sock);

/* Sends len bytes: 0 = all in the kernel; 1 = the rest is pending, stop producing until on_drain; negative uv
 * error: the socket is broken (on_error does not follow). */
int fl_sock_write(struct fl_sock *sock, const uint8_t *data, size_t len) FL_MUST_USE;
/* The same for bytes behind which something follows at once (more bytes, the FIN): the kernel holds them back for that, so that
 * both go out in one packet. */
int fl_sock_write_more(struct fl_sock *sock, const uint8_t *data, size_t len) FL_MUST_USE;
bool fl_sock_pending(const struct fl_sock *sock);

/* An ACK that waits for something to go with goes at once, and so do the next ones: for a peer that may wait for it (Nagle's
 * algorithm) before it says the rest. One system call. */
void fl_sock_ack_now(struct fl_sock *sock);

struct fl_debt fl_sock_debt(const struct fl_sock *sock); /* fl_alive_debt() */

/* Its keep_s becomes that of its net, where it is kept at all. No system call when it is that already. */
void fl_sock_keep(struct fl_sock *sock);

/* FIN once pending is empty. */
void fl_sock_shutdown(struct fl_sock *sock);

/* Orderly close: pending bytes are sent first, for at most linger_ms; then freed. Those that are left then, or that nothing
 * is left for (fl_net.farewells), make it a reset. sock is dead for the caller. */
void fl_sock_close(struct fl_sock *sock, uint32_t linger_ms);
/* Says the last word: pending bytes, then FIN; what the peer still sends is thrown away until it has finished too or
 * linger_ms are over. Without this, bytes unread at close() become a reset that can overtake our last word (a TLS
 * alert). sock is dead for the caller. */
void fl_sock_hang_up(struct fl_sock *sock, uint32_t linger_ms);
/* RST, at once. sock is dead for the caller. */
void fl_sock_reset(struct fl_sock *sock);

/* "10.0.0.1:8443", for logs; buf of FL_ADDR_TEXT bytes. "unix" for Unix sockets. */
const char *fl_sock_peer(const struct fl_sock *sock, char *buf);
/* The same, packed; family 0: Unix, or unknown. */
struct fl_inet fl_sock_peer_inet(const struct fl_sock *sock);
/* Our own end of an accepted connection; for one that TPROXY has brought here, where its client wanted to go. */
struct fl_inet fl_sock_local_inet(const struct fl_sock *sock);
/* Where the client of an accepted connection wanted to go, before a NAT rule of this machine brought it here. 0, or a
 * negative uv error: UV_ENOENT when the kernel knows of no such rule for it. */
int fl_sock_original_dst(const struct fl_sock *sock, struct fl_inet *ret) FL_MUST_USE;
/* Credentials of the process at the other end of a Unix socket (SO_PEERCRED). */
int fl_sock_peer_uid(const struct fl_sock *sock, uid_t *ret, struct fl_err *err) FL_MUST_USE;

/* --- listener -------------------------------------------------------------------------------- */
struct fl_listener;
/* A connection is waiting: call fl_listener_accept() for it now, or leave it in the kernel's queue and call
 * later; until then nothing more is reported (that is how accepting is paused). */
typedef void (*fl_listener_cb)(void *user, struct fl_listener *listener);

/* Takes over fd (bound, listening or not). user is borrowed. */
int fl_listener_open(struct fl_net *net, int fd, bool unix_socket, fl_listener_cb cb, void *user,
		     struct fl_listener **ret, struct fl_err *err) FL_MUST_USE;
/* NULL: nobody was waiting after all, or no memory. */
struct fl_sock *fl_listener_accept(struct fl_listener *listener,
				   const struct fl_sock_events *events, void *user);
void fl_listener_close(struct fl_listener *listener);
/* Of connections from now on: the same dialogue, which the client begins. Not where it may wait for an ACK between two small
 * writes (Nagle's algorithm) before we have said anything. */
void fl_listener_join_acks(struct fl_listener *listener, bool on);

/* Likewise: how it is kept, as often as its net says now. Not for Unix sockets. */
void fl_listener_keep(struct fl_listener *listener, uint32_t give_up_ms);

/* A bound socket for addr: SO_REUSEPORT when share (one for each worker), dual stack for `*`, TCP_NODELAY, and SO_OOBINLINE inherited by what it accepts. A Unix path that nobody listens on is removed first; mode: permissions of the new one. */
int fl_net_bind(const struct fl_addr *addr, bool share, mode_t mode, int *ret_fd,
		struct fl_err *err) FL_MUST_USE;
/* Keeps an IP address and port for this process, before its workers bind it with `share`: as long as *ret_fd is open, nobody
 * else binds it, nor an address that overlaps with it, and who connects is refused. Where our own sockets listen, it is
 * needed no more. Errors: FL_ERR_IO, when others have it. */
int fl_net_reserve(const struct fl_addr *addr, int *ret_fd, struct fl_err *err) FL_MUST_USE;
/* Lets a bound socket take what TPROXY rules bring to it, whatever its address (IP_TRANSPARENT), and marks what it takes
 * as ours (FL_CAPTURE_OWN_MARK). Errors: FL_ERR_IO,
 * without the capability that it takes. */
int fl_net_set_transparent(int fd, struct fl_err *err) FL_MUST_USE;

/* Is it an address of this machine (of its network namespace)? The port does not matter. Yes when it
 * cannot be known, for want of a descriptor. Three system calls. */
bool fl_net_is_local(const struct fl_inet *inet);

#endif
