/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_TICKET_H
#define FL_TLS_TICKET_H
/* ticket - resumption, for the handshake; private to sidecar/tls. */
#include "tls/tls_internal.h"

/* Turns tickets on, or off (keys NULL). Takes a reference. Errors: FL_ERR_BUG. */
int fl_tls_set_tickets(struct fl_tls_ctx *ctx, struct fl_tls_ticket_keys *keys,
		       struct fl_err *err) FL_MUST_USE;
/* Call it when the handshake is complete. If the session was resumed, the claim becomes the peer's
 * identity; otherwise the claim is dropped. False: resumed, but without a claim that says by
 * whom. */
bool fl_tls_settle_claim(struct fl_tls *tls);
void fl_tls_drop_claim(struct fl_tls *tls);
/* Server, before each step of the handshake: suppresses a new ticket if the peer does not need
 * one. */
void fl_tls_spare_ticket(struct fl_tls *tls);

#endif
