/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gcm_test - sidecar/tls/gcm_vaes.c gives what wolfSSL's own code gives, bit for bit. On a CPU
 * without VAES both are the same code, and the tests hold trivially. */
#include <criterion/criterion.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "tls/tls.h"

#if defined(FL_WITH_VAES)
#include "tls/gcm_vaes.h"

/* wolfSSL's references go to ours, whatever they are called (gcm_vaes.h). */
typedef __typeof__(fl_gcm_encrypt) gcm_encrypt;
typedef __typeof__(fl_gcm_decrypt) gcm_decrypt;

static uint64_t state = 0x9e3779b97f4a7c15;

static uint32_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		data[i] = (uint8_t)next_random();
	}
}

/* Each buffer ends where an inaccessible page begins. */
enum { LONGEST = 20480 };
static uint8_t *ends[5];

static uint8_t *guarded(size_t i, size_t len)
{
	if (ends[i] == NULL) {
		uint8_t *at = mmap(NULL, LONGEST + 4096, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		cr_assert_neq(at, MAP_FAILED);
		cr_assert_eq(mprotect(at + LONGEST, 4096, PROT_NONE), 0);
		ends[i] = at + LONGEST;
	}
	cr_assert_leq(len, LONGEST);
	return ends[i] - len;
}

struct job {
	Aes aes;
	uint8_t *in, *aad;
	uint8_t iv[12], tag_ours[16], tag_wolf[16];
	uint32_t len, aad_len, tag_len;
};

static void job_make(struct job *job, uint32_t len, uint32_t aad_len, uint32_t key_len)
{
	uint8_t key[32];
	job->len = len;
	job->aad_len = aad_len;
	job->tag_len = 16;
	job->in = guarded(0, len);
	job->aad = guarded(1, aad_len);
	fill(key, sizeof(key));
	fill(job->iv, sizeof(job->iv));
	fill(job->in, len);
	fill(job->aad, aad_len);
	fl_gcm_init();
	cr_assert_eq(wc_AesInit(&job->aes, NULL, INVALID_DEVID), 0);
	cr_assert_eq(wc_AesGcmSetKey(&job->aes, key, key_len), 0);
}

static void job_free(struct job *job)
{
	wc_AesFree(&job->aes);
}

static void encrypt_with(gcm_encrypt *encrypt, struct job *job, const uint8_t *in, uint8_t *out,
			 uint8_t *tag)
{
	encrypt(in, out, job->aad, job->iv, tag, job->len, job->aad_len, sizeof(job->iv),
		job->tag_len, (const uint8_t *)job->aes.key, (int)job->aes.rounds);
}

static int decrypt_with(gcm_decrypt *decrypt, struct job *job, const uint8_t *in, uint8_t *out,
			const uint8_t *tag)
{
	int good = -1;
	decrypt(in, out, job->aad, job->iv, tag, job->len, job->aad_len, sizeof(job->iv),
		job->tag_len, (const uint8_t *)job->aes.key, (int)job->aes.rounds, &good);
	return good;
}

/* Both encrypt alike, each decrypts the other's, in place too, and a wrong tag, text or AAD is
 * noticed. */
static void job_check(struct job *job, bool in_place)
{
	size_t len = job->len;
	uint8_t *ours = guarded(2, len), *wolf = guarded(3, len), *plain = guarded(4, len);
	memcpy(ours, job->in, len);
	encrypt_with(fl_gcm_encrypt, job, in_place ? ours : job->in, ours, job->tag_ours);
	encrypt_with(wolf_gcm_encrypt, job, job->in, wolf, job->tag_wolf);
	cr_assert_eq(memcmp(ours, wolf, len), 0, "text of %u bytes", job->len);
	cr_assert_eq(memcmp(job->tag_ours, job->tag_wolf, job->tag_len), 0,
		     "tag over %u bytes, AAD %u", job->len, job->aad_len);

	memcpy(plain, wolf, len);
	cr_assert_eq(
		decrypt_with(fl_gcm_decrypt, job, in_place ? plain : wolf, plain, job->tag_wolf),
		1);
	cr_assert_eq(memcmp(plain, job->in, len), 0);
	cr_assert_eq(decrypt_with(wolf_gcm_decrypt, job, ours, plain, job->tag_ours), 1);

	job->tag_ours[next_random() % job->tag_len] ^= (uint8_t)(1 << next_random() % 8);
	cr_assert_eq(decrypt_with(fl_gcm_decrypt, job, wolf, plain, job->tag_ours), 0);
	if (len > 0) {
		wolf[next_random() % len] ^= (uint8_t)(1 << next_random() % 8);
		cr_assert_eq(decrypt_with(fl_gcm_decrypt, job, wolf, plain, job->tag_wolf), 0);
		encrypt_with(fl_gcm_encrypt, job, job->in, wolf, job->tag_ours);
	}
	if (job->aad_len > 0) {
		job->aad[next_random() % job->aad_len] ^= (uint8_t)(1 << next_random() % 8);
		cr_assert_eq(decrypt_with(fl_gcm_decrypt, job, wolf, plain, job->tag_wolf), 0);
	}
}

Test(gcm, every_length_to_2000__equal)
{
	for (uint32_t len = 0; len <= 2000; len++) {
		struct job job;
		job_make(&job, len, len % 37, len % 2 == 0 ? 16 : 32);
		job_check(&job, len % 3 == 0);
		job_free(&job);
	}
}

Test(gcm, random_cases__equal)
{
	static const uint32_t key_lens[] = {16, 32, 16, 32, 24};
	for (int run = 0; run < 30000; run++) {
		struct job job;
		uint32_t most = run % 8 == 0 ? 20000 : 1500;
		job_make(&job, next_random() % most, run % 2 == 0 ? 5 : next_random() % 70,
			 key_lens[run % 5]);
		job.tag_len = run % 16 == 0 ? 12 + next_random() % 5 : 16;
		job_check(&job, next_random() % 2);
		job_free(&job);
	}
}

/* The 32-bit counter of a record cannot run over, that of GCM in general may: an IV of another length, which goes to
 * wolfSSL, avoids the 4 GB of text that this would require. */
Test(gcm, other_iv_length__goes_to_wolfssl)
{
	struct job job;
	uint8_t ours[512], wolf[512], iv[16];
	job_make(&job, 512, 5, 16);
	fill(iv, sizeof(iv));
	fl_gcm_encrypt(job.in, ours, job.aad, iv, job.tag_ours, 512, 5, 16, 16,
		       (const uint8_t *)job.aes.key, 10);
	wolf_gcm_encrypt(job.in, wolf, job.aad, iv, job.tag_wolf, 512, 5, 16, 16,
			 (const uint8_t *)job.aes.key, 10);
	cr_assert_arr_eq(ours, wolf, 512);
	cr_assert_arr_eq(job.tag_ours, job.tag_wolf, 16);
	job_free(&job);
}

/* Known answer: NIST's GCM test vector 4 is shorter than what gcm_vaes.c takes, so this one, of 512
 * zero bytes under a zero key, was computed with OpenSSL. */
Test(gcm, known_answer)
{
	static const uint8_t want[16] = {0x5f, 0x27, 0x13, 0x57, 0x66, 0x7e, 0x16, 0x5e,
					 0xba, 0x9b, 0x94, 0xa1, 0xf6, 0x44, 0x3c, 0x29};
	static const uint8_t zero[512];
	uint8_t out[512], tag[16];
	Aes aes;
	fl_gcm_init();
	cr_assert_eq(wc_AesInit(&aes, NULL, INVALID_DEVID), 0);
	cr_assert_eq(wc_AesGcmSetKey(&aes, zero, 16), 0);
	cr_assert_eq(wc_AesGcmEncrypt(&aes, out, zero, sizeof(zero), zero, 12, tag, 16, zero, 5),
		     0);
	cr_assert_arr_eq(tag, want, 16);
	wc_AesFree(&aes);
}

#else

Test(gcm, another_cpu__nothing_to_compare)
{
}

#endif
