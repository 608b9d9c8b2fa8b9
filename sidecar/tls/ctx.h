/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_CTX_H
#define FL_TLS_CTX_H
/* ctx - names that a context translates; private to sidecar/tls. */

/* The INI's name of a cipher, from wolfSSL's. */
const char *fl_tls_cipher_name(const char *wolf);

#endif
