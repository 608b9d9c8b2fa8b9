/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Known answers, from another implementation (OpenSSL) with the same key, nonce, additional data
 * and text. A tag depends on every sealed byte, so it is enough to compare the tag. */
#include "tls/gcm_check.h"

#include <stdint.h>
#include <string.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/aes.h>

#include "base/mem.h"

#define TEXT_LEN 1000 /* three strides of 256 bytes, and a rest that is not a multiple of a block */
#define AAD_LEN 13
#define NONCE_LEN 12
#define TAG_LEN 16

static const struct answer {
	unsigned key_len;
	uint8_t tag[TAG_LEN];
} answers[] = {
	{16,
	 {0x8f, 0x99, 0xd5, 0xbf, 0x4f, 0xc9, 0x2d, 0x2f, 0x5a, 0x67, 0x5b, 0xf7, 0xae, 0xbc, 0x84,
	  0xb7}},
	{32,
	 {0xeb, 0x00, 0x03, 0x10, 0x83, 0xe1, 0x8f, 0xbe, 0x12, 0xf2, 0xed, 0x2d, 0xc4, 0xc2, 0x62,
	  0x42}},
};

struct question {
	uint8_t key[32], nonce[NONCE_LEN], aad[AAD_LEN], text[TEXT_LEN];
};

static void ask(struct question *q)
{
	for (unsigned i = 0; i < sizeof(q->key); i++) {
		q->key[i] = (uint8_t)(3 * i + 1);
	}
	for (unsigned i = 0; i < sizeof(q->nonce); i++) {
		q->nonce[i] = (uint8_t)(100 + i);
	}
	for (unsigned i = 0; i < sizeof(q->aad); i++) {
		q->aad[i] = (uint8_t)i;
	}
	for (unsigned i = 0; i < sizeof(q->text); i++) {
		q->text[i] = (uint8_t)(i * 7 + (i >> 8));
	}
}

static bool seals(Aes *aes, const struct question *q, const struct answer *answer, uint8_t *sealed)
{
	uint8_t tag[TAG_LEN];

	return wc_AesGcmEncrypt(aes, sealed, q->text, TEXT_LEN, q->nonce, NONCE_LEN, tag, TAG_LEN,
				q->aad, AAD_LEN) == 0 &&
	       memcmp(tag, answer->tag, TAG_LEN) == 0;
}

static bool opens(Aes *aes, const struct question *q, const struct answer *answer,
		  const uint8_t *sealed)
{
	uint8_t opened[TEXT_LEN], wrong[TAG_LEN];

	memcpy(wrong, answer->tag, TAG_LEN);
	wrong[TAG_LEN - 1] ^= 1;
	return wc_AesGcmDecrypt(aes, opened, sealed, TEXT_LEN, q->nonce, NONCE_LEN, answer->tag,
				TAG_LEN, q->aad, AAD_LEN) == 0 &&
	       memcmp(opened, q->text, TEXT_LEN) == 0 &&
	       wc_AesGcmDecrypt(aes, opened, sealed, TEXT_LEN, q->nonce, NONCE_LEN, wrong, TAG_LEN,
				q->aad, AAD_LEN) != 0;
}

static bool is_right(const struct question *q, const struct answer *answer)
{
	uint8_t sealed[TEXT_LEN];
	bool good;
	Aes aes;

	if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0) {
		return false;
	}
	good = wc_AesGcmSetKey(&aes, q->key, answer->key_len) == 0 &&
	       seals(&aes, q, answer, sealed) && opens(&aes, q, answer, sealed);
	wc_AesFree(&aes);
	return good;
}

bool fl_gcm_check(void)
{
	struct question q;
	bool good = true;

	ask(&q);
	for (unsigned i = 0; i < FL_COUNT_OF(answers); i++) {
		good = is_right(&q, &answers[i]) && good;
	}
	return good;
}
