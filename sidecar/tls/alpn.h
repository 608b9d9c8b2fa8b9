/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_ALPN_H
#define FL_TLS_ALPN_H
/* alpn - negotiation of the application protocol (RFC 7301); private to sidecar/tls. */
#include "tls/tls_internal.h"

/* Makes a new connection offer our protocols (client) or accept them (server). framed: also the framed
 * one, which is preferred. Errors: FL_ERR_NOMEM. */
int fl_tls_alpn_init(WOLFSSL *wolf, bool framed) FL_MUST_USE;
/* Which protocol has this handshake negotiated? */
enum fl_tls_protocol fl_tls_alpn_chosen(const struct fl_tls *tls);

#endif
