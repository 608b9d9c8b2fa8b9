/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_INHERITED_H
#define FL_NET_INHERITED_H
/* inherited - listening sockets that a sidecar gives to the one that replaces it, over a Unix stream socket (SCM_RIGHTS,
 * unix(7)). Both have the same sockets then, with one queue, so no connection that is in it is lost when the first one closes its
 * descriptors. (Another socket of the same port, by SO_REUSEPORT, would have a queue of its own, and what waits in that of a
 * socket that is closed is reset.)
 *
 * The protocol: bytes `s` that carry sockets, up to FL_INHERITED_PER_BYTE each, then `.`; later the receiver sends `r`: replaced.
 * Receiving blocks, up to FL_INHERITED_TIMEOUT_MS: call it before the loop runs. Main thread. */
#include "base/addr.h"
#include "base/err.h"
#include "net/sock.h"

#define FL_INHERITED_PER_BYTE 250u /* SCM_MAX_FD is 253 */
#define FL_INHERITED_MAX 4096u
#define FL_INHERITED_TIMEOUT_MS 5000
#define FL_INHERITED_REPLACED 'r'

struct fl_inherited {
	int link; /* to the sidecar that gave them */
	int *fds; /* owned; -1: taken */
	size_t count;
};

/* Asks the sidecar that listens at path for its sockets. Errors: FL_ERR_IO, FL_ERR_INVALID; nothing is to be freed then. */
int fl_inherited_receive(const char *path, struct fl_inherited *ret,
			 struct fl_err *err) FL_MUST_USE;

/* A socket that listens on addr, now the caller's; -1: there is none. NULL is fine. */
int fl_inherited_take(struct fl_inherited *inherited, const struct fl_addr *addr);
/* Is there one? It stays. NULL is fine. */
bool fl_inherited_has(const struct fl_inherited *inherited, const struct fl_addr *addr);

/* Tells the other sidecar that it is replaced. Never blocks. Errors: FL_ERR_IO, it is gone. */
int fl_inherited_confirm(const struct fl_inherited *inherited, struct fl_err *err) FL_MUST_USE;

/* Closes the link, and the sockets that nobody has taken. */
void fl_inherited_done(struct fl_inherited *inherited);

/* The other side: sends sockets, and then what ends them. sock: a Unix stream socket with nothing else to send. Returns 0, or
 * -errno. */
int fl_inherited_give(const struct fl_sock *sock, const int *fds, size_t count);

#endif
