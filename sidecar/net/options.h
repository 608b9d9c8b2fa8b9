/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_OPTIONS_H
#define FL_NET_OPTIONS_H
/* options - options of descriptors that connect, listen or are accepted; for the files of net/. */
#include <stdbool.h>

#include "base/err.h"

/* Of a TCP socket, or of a listener for all that it accepts: small answers go out at once (TCP_NODELAY), and urgent data stays
 * in its place (SO_OOBINLINE). */
void fl_options_set_relayed(int fd);
/* Are ACKs sent at once, or with what is sent anyway (tcp(7), TCP_QUICKACK)? Accepted sockets inherit it. */
void fl_options_set_quickack(int fd, bool on);
/* It may have addresses that are none of this machine's (IP_TRANSPARENT). Requires the capability NET_ADMIN. 0 or a negative
 * errno. */
int fl_options_set_transparent(int fd, bool is_v6) FL_MUST_USE;

#endif
