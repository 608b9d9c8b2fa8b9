/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_VERIFY_H
#define FL_TLS_VERIFY_H
/* verify - verification of a peer; private to sidecar/tls. */
#include "tls/tls_internal.h"

/* wolfSSL's verify callback of both roles, which says no (see verify.c). */
int fl_tls_verify(int ok, WOLFSSL_X509_STORE_CTX *store);
/* Called by wolfSSL in place of its own function (wolf.h). Returns 0, or a wolfSSL error; failure
 * and alert are then already set. */
int fl_tls_read_certificates(WOLFSSL *wolf, unsigned char *input, word32 *in_out_index,
			     word32 size) __asm__(FL_WOLF_PROCESS_PEER_CERTS);
/* May this be the peer: is its chain good, now, and is it one that `expect` names? */
bool fl_tls_may_be(const struct fl_tls *tls, struct fl_tls_peer *peer);

#endif
