/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_ALPN_H
#define FL_TLS_ALPN_H
/* alpn - negotiation of the application protocol (RFC 7301); private to sidecar/tls. */
#include "tls/tls_internal.h"

/* Makes a new connection offer our protocol (client) or accept it (server). Errors:
 * FL_ERR_NOMEM. */
int fl_tls_alpn_init(WOLFSSL *wolf) FL_MUST_USE;
/* Has this handshake negotiated our protocol? */
bool fl_tls_alpn_chosen(const struct fl_tls *tls);

#endif
