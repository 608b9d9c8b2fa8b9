/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_CTX_H
#define FL_TLS_CTX_H
/* ctx - translation of cipher names; private to sidecar/tls. */

/* Returns the INI's name for wolfSSL's name of a cipher. */
const char *fl_tls_cipher_name(const char *wolf);

#endif
