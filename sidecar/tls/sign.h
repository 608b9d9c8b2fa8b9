/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_SIGN_H
#define FL_TLS_SIGN_H
/* sign - our CertificateVerify with a signature that is made elsewhere; private to sidecar/tls.
 *
 * wolfSSL calls these in place of its own functions of those names (wolf.h). Each returns 0, or an error of wolfSSL. key and
 * der: wolfSSL's, passed through. */
#include "tls/tls_internal.h"

/* Decodes our private key. Of a context without one: WC_PENDING_E until the call has brought a signature, and then the
 * public key. */
int fl_tls_decode_key(WOLFSSL *wolf, word32 *ret_len) __asm__(FL_WOLF_WRAPPED("DecodePrivateKey"));

/* Sign with what fl_tls_decode_key() has decoded. Of a context without a private key: give the call's signature. */
int fl_tls_sign_ec(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out, word32 *in_out_len,
		   void *key, void *der) __asm__(FL_WOLF_WRAPPED("EccSign"));
int fl_tls_sign_ed25519(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out, word32 *in_out_len,
			void *key, void *der) __asm__(FL_WOLF_WRAPPED("Ed25519Sign"));
int fl_tls_sign_rsa(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out, word32 *in_out_len,
		    int algorithm, int hash, void *key,
		    void *der) __asm__(FL_WOLF_WRAPPED("RsaSign"));

#endif
