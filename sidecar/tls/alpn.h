/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_ALPN_H
#define FL_TLS_ALPN_H
/* alpn - which application protocol a connection agrees on (RFC 7301); private to sidecar/tls. */
#include "tls/tls_internal.h"

/* A new connection offers, or takes, ours. Errors: FL_ERR_NOMEM. */
int fl_tls_alpn_init(WOLFSSL *wolf) FL_MUST_USE;
/* Has this handshake agreed on ours? */
bool fl_tls_alpn_chosen(const struct fl_tls *tls);

#endif
