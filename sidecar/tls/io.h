/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_IO_H
#define FL_TLS_IO_H
/* io - the bytes of one call, in and out; private to sidecar/tls. */
#include "tls/tls_internal.h"

/* wolfSSL's callbacks, which work on the struct fl_tls_io of the call under way. */
int fl_tls_recv(WOLFSSL *wolf, char *buf, int size, void *user);
int fl_tls_send(WOLFSSL *wolf, char *buf, int size, void *user);
/* Sends a fatal alert, unless one has been sent. Nothing is sent after it. */
void fl_tls_send_alert(struct fl_tls *tls, uint8_t alert);

#endif
