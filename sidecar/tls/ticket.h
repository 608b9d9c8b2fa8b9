/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_TICKET_H
#define FL_TLS_TICKET_H
/* ticket - resumption, as the handshake sees it; private to sidecar/tls. */
#include "tls/tls_internal.h"

/* Turns tickets on, or off (keys NULL). Takes a reference. Errors: FL_ERR_BUG. */
int fl_tls_set_tickets(struct fl_tls_ctx *ctx, struct fl_tls_ticket_keys *keys,
		       struct fl_err *err) FL_MUST_USE;
/* The handshake is complete: it was resumed, and the claim becomes the peer's identity, or not, and
 * the claim is forgotten. False: resumed, but nothing says by whom. */
bool fl_tls_settle_claim(struct fl_tls *tls);
void fl_tls_drop_claim(struct fl_tls *tls);
/* Server, before each step of the handshake: no new ticket where the peer needs none. */
void fl_tls_spare_ticket(struct fl_tls *tls);

#endif
