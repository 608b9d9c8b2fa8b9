/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sign - the place in wolfSSL where our signature is asked for and given.
 *
 * wolfSSL decodes our private key first when it makes a CertificateVerify, before it has begun the message. Without a
 * signature the replaced function says WC_PENDING_E there: nothing of the message exists yet, and wolfSSL begins it again
 * in the next call. With one, wolfSSL gets our public key, and the replaced signing functions copy the signature.
 * wolfSSL's own check of signatures (WOLFSSL_CHECK_SIG_FAULTS, and that of RSA) then runs on it, with the public key.
 *
 * wolfSSL's own way for keys elsewhere, callbacks for each kind of key (HAVE_PK_CALLBACKS), needs 400 bytes more of every
 * connection, and shows them the digest of the content instead of the transcript's hash. */
#include "tls/sign.h"

#include <wolfssl/error-ssl.h>

/* wolfSSL's own. */
extern int fl_wolf_decode_key(WOLFSSL *wolf,
			      word32 *ret_len) __asm__(FL_WOLF_ORIGINAL("DecodePrivateKey"));
extern int fl_wolf_sign_ec(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out,
			   word32 *in_out_len, void *key,
			   void *der) __asm__(FL_WOLF_ORIGINAL("EccSign"));
extern int fl_wolf_sign_ed25519(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out,
				word32 *in_out_len, void *key,
				void *der) __asm__(FL_WOLF_ORIGINAL("Ed25519Sign"));
extern int fl_wolf_sign_rsa(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out,
			    word32 *in_out_len, int algorithm, int hash, void *key,
			    void *der) __asm__(FL_WOLF_ORIGINAL("RsaSign"));

static struct fl_tls *engine_of(WOLFSSL *wolf)
{
	struct fl_tls *tls = wolfSSL_GetIOReadCtx(wolf);

	FL_REQUIRE(tls != NULL && tls->wolf == wolf && tls->io != NULL);
	return tls;
}

int fl_tls_decode_key(WOLFSSL *wolf, word32 *ret_len)
{
	const struct fl_tls *tls = engine_of(wolf);

	if (!tls->ctx->signs_elsewhere) {
		return fl_wolf_decode_key(wolf, ret_len);
	}
	if (tls->io->signature == NULL) {
		return WC_PENDING_E;
	}
	return fl_wolf_give_own_key(wolf, &tls->ctx->own_key, ret_len);
}

/* Copies the signature of the call, once. */
static int give_signature(struct fl_tls *tls, byte *out, word32 *in_out_len)
{
	struct fl_tls_io *io = tls->io;

	if (io->signature_len > *in_out_len) {
		return BUFFER_E;
	}
	memcpy(out, io->signature, io->signature_len);
	*in_out_len = (word32)io->signature_len;
	io->signature = NULL;
	return 0;
}

int fl_tls_sign_ec(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out, word32 *in_out_len,
		   void *key, void *der)
{
	struct fl_tls *tls = engine_of(wolf);

	return tls->ctx->signs_elsewhere
		       ? give_signature(tls, out, in_out_len)
		       : fl_wolf_sign_ec(wolf, in, in_len, out, in_out_len, key, der);
}

int fl_tls_sign_ed25519(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out, word32 *in_out_len,
			void *key, void *der)
{
	struct fl_tls *tls = engine_of(wolf);

	return tls->ctx->signs_elsewhere
		       ? give_signature(tls, out, in_out_len)
		       : fl_wolf_sign_ed25519(wolf, in, in_len, out, in_out_len, key, der);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters of wolfSSL's function that it stands for */
int fl_tls_sign_rsa(WOLFSSL *wolf, const byte *in, word32 in_len, byte *out, word32 *in_out_len,
		    int algorithm, int hash, void *key, void *der)
{
	struct fl_tls *tls = engine_of(wolf);

	return tls->ctx->signs_elsewhere ? give_signature(tls, out, in_out_len)
					 : fl_wolf_sign_rsa(wolf, in, in_len, out, in_out_len,
							    algorithm, hash, key, der);
}

void fl_tls_to_sign(const struct fl_tls *tls, struct fl_tls_to_sign *ret)
{
	ret->role = tls->ctx->role;
	ret->scheme = fl_wolf_signature_scheme(tls->wolf, tls->ctx->own_key.kind);
	ret->key = tls->ctx->own_key_name;
	ret->hash_len = fl_wolf_transcript_hash(tls->wolf, ret->hash);
}
