/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_BIND_H
#define FL_NET_BIND_H
/* bind - descriptors bound to an address, to listen on it or to reserve it. Any thread. */
#include <stdbool.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/inet.h"

/* A bound socket for addr: SO_REUSEPORT when share (one for each worker), dual stack for `*`. What
 * it accepts inherits TCP_NODELAY and SO_OOBINLINE. A Unix path without a listening process is
 * removed first; mode: permissions of the new one. */
int fl_net_bind(const struct fl_addr *addr, bool share, mode_t mode, int *ret_fd,
		struct fl_err *err) FL_MUST_USE;
/* Reserves an IP address and port for this process before its workers bind it with `share`: while
 * *ret_fd is open, no other process can bind it, nor an overlapping address, and clients are
 * refused. Once our own sockets listen there, it is no longer needed. Errors: FL_ERR_IO if another
 * process has it. */
int fl_net_reserve(const struct fl_addr *addr, int *ret_fd, struct fl_err *err) FL_MUST_USE;
/* Allows a bound socket to accept connections that TPROXY rules redirect to it, whatever their
 * address (IP_TRANSPARENT), and marks them as ours (FL_CAPTURE_OWN_MARK). Errors: FL_ERR_IO if the
 * required capability is missing. */
int fl_net_set_transparent(int fd, struct fl_err *err) FL_MUST_USE;

/* Is it an address of this machine (of its network namespace)? The port does not matter. Returns
 * true if it cannot find out because descriptors are exhausted. Three system calls. */
bool fl_net_is_local(const struct fl_inet *inet);

#endif
