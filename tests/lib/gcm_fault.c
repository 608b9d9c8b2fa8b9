/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gcm_fault - a machine that computes AES-GCM wrongly, as far as the self-test of sidecar/tls can tell: linked with
 * --wrap=wc_AesGcmEncrypt. Everything else gets its right answer. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/aes.h>

#define ASKED                                                                                      \
	1000 /* bytes, in gcm_check.c; no other code seals this many in one call of this function */

/* NOLINTBEGIN(readability-function-size,bugprone-reserved-identifier): the signature is wolfSSL's, the names the linker's */
int __real_wc_AesGcmEncrypt(Aes *aes, byte *out, const byte *in, word32 len, const byte *iv,
			    word32 iv_len, byte *tag, word32 tag_len, const byte *aad,
			    word32 aad_len);
int __wrap_wc_AesGcmEncrypt(Aes *aes, byte *out, const byte *in, word32 len, const byte *iv,
			    word32 iv_len, byte *tag, word32 tag_len, const byte *aad,
			    word32 aad_len);

int __wrap_wc_AesGcmEncrypt(Aes *aes, byte *out, const byte *in, word32 len, const byte *iv,
			    word32 iv_len, byte *tag, word32 tag_len, const byte *aad,
			    word32 aad_len)
{
	int rc = __real_wc_AesGcmEncrypt(aes, out, in, len, iv, iv_len, tag, tag_len, aad, aad_len);

	if (len == ASKED) {
		tag[5] ^= 0x10;
	}
	return rc;
}
/* NOLINTEND(readability-function-size,bugprone-reserved-identifier) */
