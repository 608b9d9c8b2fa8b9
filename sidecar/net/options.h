/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_OPTIONS_H
#define FL_NET_OPTIONS_H
/* options - options of descriptors that connect, listen or are accepted; for the files of net/. */
#include <stdbool.h>

#include "base/err.h"

/* For a TCP socket, or a listener and all that it accepts: small writes are sent immediately
 * (TCP_NODELAY), and urgent data stays inline (SO_OOBINLINE). */
void fl_options_set_relayed(int fd);
/* on: ACKs are sent immediately; off: together with data (tcp(7), TCP_QUICKACK). Accepted sockets
 * inherit it. */
void fl_options_set_quickack(int fd, bool on);
/* No more is sent while about that many bytes wait in the kernel; it takes twice as much memory for them (SO_SNDBUF). */
void fl_options_set_send_room(int fd, int bytes);
/* Allows foreign addresses on the socket (IP_TRANSPARENT). Requires the capability NET_ADMIN.
 * Returns 0 or a negative errno. */
int fl_options_set_transparent(int fd, bool is_v6) FL_MUST_USE;

#endif
