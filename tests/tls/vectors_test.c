/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vectors_test - no algorithm of wolfSSL leaves the upper halves of the vector registers in use, which would slow down
 * whatever comes after it.
 *
 * wolfSSL 5.9.2 has routines that do; our build mends them (deploy/subprojects/packagefiles/wolfssl/mend_asm.py says why).
 * Two tests, because only Intel's processors are slowed down: the first asks the processor which parts of its registers are
 * in use (XGETBV), which shows the fault on AMD's as well; the second measures what it is about. tests/lint/vectors.py
 * reads the object code, and so finds code that no run reaches. */
#include <criterion/criterion.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha3.h>
#include <wolfssl/wolfcrypt/sha512.h>
#include <wolfssl/wolfcrypt/wc_mlkem.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "fixture.h"
#include "pki/pem.h"
#include "tls/tls.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

#define RECORD 16384u
#define HASHED 8192u /* long enough that a cold cache does not matter */
#define ROUNDS 40
#define RSA_BITS 2048

/* What the algorithms work on: made once, used again and again. */
static struct {
	WC_RNG rng;
	ecc_key p256, p384;
	curve25519_key x25519, other;
	ed25519_key ed25519;
	RsaKey rsa;
	MlKemKey mlkem;
	uint8_t ecc_signature[2][144], ed_signature[ED25519_SIG_SIZE], rsa_signature[RSA_BITS / 8];
	word32 ecc_signature_len[2];
	uint8_t encapsulated[WC_ML_KEM_768_CIPHER_TEXT_SIZE], secret[WC_ML_KEM_SS_SZ];
	uint8_t digest[WC_SHA256_DIGEST_SIZE], in[RECORD], out[RECORD], tag[16];
} with;

static int sign_ecc(ecc_key *key, int slot)
{
	with.ecc_signature_len[slot] = sizeof(with.ecc_signature[slot]);
	return wc_ecc_sign_hash(with.digest, sizeof(with.digest), with.ecc_signature[slot],
				&with.ecc_signature_len[slot], &with.rng, key);
}

static int verify_ecc(ecc_key *key, int slot)
{
	int good = 0;
	int rc = wc_ecc_verify_hash(with.ecc_signature[slot], with.ecc_signature_len[slot],
				    with.digest, sizeof(with.digest), &good, key);

	return rc != 0 ? rc : good - 1;
}

static int sign_p256(void)
{
	return sign_ecc(&with.p256, 0);
}

static int verify_p256(void)
{
	return verify_ecc(&with.p256, 0);
}

static int sign_p384(void)
{
	return sign_ecc(&with.p384, 1);
}

static int verify_p384(void)
{
	return verify_ecc(&with.p384, 1);
}

static int agree_p256(void)
{
	word32 len = sizeof(with.out);

	return wc_ecc_shared_secret(&with.p256, &with.p256, with.out, &len);
}

static int agree_x25519(void)
{
	word32 len = sizeof(with.out);

	return wc_curve25519_shared_secret(&with.x25519, &with.other, with.out, &len);
}

static int make_x25519(void)
{
	return wc_curve25519_make_key(&with.rng, CURVE25519_KEYSIZE, &with.other);
}

static int sign_ed25519(void)
{
	word32 len = sizeof(with.ed_signature);

	return wc_ed25519_sign_msg(with.digest, sizeof(with.digest), with.ed_signature, &len,
				   &with.ed25519);
}

static int verify_ed25519(void)
{
	int good = 0;
	int rc = wc_ed25519_verify_msg(with.ed_signature, sizeof(with.ed_signature), with.digest,
				       sizeof(with.digest), &good, &with.ed25519);

	return rc != 0 ? rc : good - 1;
}

static int sign_rsa(void)
{
	int len = wc_RsaPSS_Sign(with.digest, sizeof(with.digest), with.rsa_signature,
				 sizeof(with.rsa_signature), WC_HASH_TYPE_SHA256, WC_MGF1SHA256,
				 &with.rsa, &with.rng);

	return len == (int)sizeof(with.rsa_signature) ? 0 : -1;
}

static int verify_rsa(void)
{
	int len = wc_RsaPSS_Verify(with.rsa_signature, sizeof(with.rsa_signature), with.out,
				   sizeof(with.out), WC_HASH_TYPE_SHA256, WC_MGF1SHA256, &with.rsa);

	return len > 0 ? 0 : -1;
}

static int make_mlkem(void)
{
	return wc_MlKemKey_MakeKey(&with.mlkem, &with.rng);
}

static int encapsulate(void)
{
	return wc_MlKemKey_Encapsulate(&with.mlkem, with.encapsulated, with.secret, &with.rng);
}

static int decapsulate(void)
{
	return wc_MlKemKey_Decapsulate(&with.mlkem, with.secret, with.encapsulated,
				       sizeof(with.encapsulated));
}

/* Key schedule, a record to seal, and the same to open. */
static int run_gcm(word32 key_len, word32 len)
{
	const uint8_t iv[GCM_NONCE_MID_SZ] = {1};
	Aes aes;
	int rc = wc_AesInit(&aes, NULL, INVALID_DEVID);

	if (rc == 0) {
		rc = wc_AesGcmSetKey(&aes, with.digest, key_len);
	}
	if (rc == 0) {
		rc = wc_AesGcmEncrypt(&aes, with.out, with.in, len, iv, sizeof(iv), with.tag,
				      sizeof(with.tag), iv, 5);
	}
	if (rc == 0) {
		rc = wc_AesGcmDecrypt(&aes, with.out, with.out, len, iv, sizeof(iv), with.tag,
				      sizeof(with.tag), iv, 5);
	}
	wc_AesFree(&aes);
	return rc;
}

static int gcm_128(void)
{
	return run_gcm(16, RECORD);
}

static int gcm_256(void)
{
	return run_gcm(32, RECORD);
}

static int gcm_short(void)
{
	return run_gcm(16, 100);
}

static int run_chacha(word32 len)
{
	const uint8_t iv[CHACHA20_POLY1305_AEAD_IV_SIZE] = {1};
	int rc = wc_ChaCha20Poly1305_Encrypt(with.digest, iv, iv, 5, with.in, len, with.out,
					     with.tag);

	return rc != 0 ? rc
		       : wc_ChaCha20Poly1305_Decrypt(with.digest, iv, iv, 5, with.out, len,
						     with.tag, with.out);
}

static int chacha_long(void)
{
	return run_chacha(RECORD);
}

static int chacha_odd(void)
{
	return run_chacha(1000);
}

static int chacha_short(void)
{
	return run_chacha(20);
}

static int hash_sha512(void)
{
	return wc_Sha512Hash(with.in, 129 * 3, with.out);
}

static int hash_sha3(void)
{
	return wc_Sha3_256Hash(with.in, 1000, with.out);
}

static const struct {
	const char *name;
	int (*run)(void);
} algorithms[] = {
	{"P-256 signature", sign_p256},
	{"P-256 verification", verify_p256},
	{"P-256 agreement", agree_p256},
	{"P-384 signature", sign_p384},
	{"P-384 verification", verify_p384},
	{"X25519 key", make_x25519},
	{"X25519 agreement", agree_x25519},
	{"Ed25519 signature", sign_ed25519},
	{"Ed25519 verification", verify_ed25519},
	{"RSA-PSS signature", sign_rsa},
	{"RSA-PSS verification", verify_rsa},
	{"ML-KEM-768 key", make_mlkem},
	{"ML-KEM-768 encapsulation", encapsulate},
	{"ML-KEM-768 decapsulation", decapsulate},
	{"AES-128-GCM, 16 KiB", gcm_128},
	{"AES-256-GCM, 16 KiB", gcm_256},
	{"AES-128-GCM, 100 bytes", gcm_short},
	{"ChaCha20-Poly1305, 16 KiB", chacha_long},
	{"ChaCha20-Poly1305, 1000 bytes", chacha_odd},
	{"ChaCha20-Poly1305, 20 bytes", chacha_short},
	{"SHA-512", hash_sha512},
	{"SHA3-256", hash_sha3},
};

/* Our wolfSSL makes no RSA keys. */
static void load_rsa(void)
{
	struct fl_err err = {0};
	struct fl_der der = {0};
	word32 at = 0;
	size_t len;
	char *text = fl_fixture("rsa2048.key", &len);

	cr_assert_eq(fl_pem_private_key(text, len, &der, &err), 0, "%s", err.text);
	cr_assert_eq(wc_InitRsaKey(&with.rsa, NULL), 0);
	cr_assert_eq(wc_RsaPrivateKeyDecode(der.data, &at, &with.rsa, (word32)der.len), 0);
	cr_assert_eq(wc_RsaSetRNG(&with.rsa, &with.rng), 0);
	fl_der_wipe(&der);
	free(text);
}

static void prepare(void)
{
	struct fl_err err = {0};

	cr_assert_eq(fl_tls_global_init(&err), 0, "%s", err.text);
	cr_assert_eq(wc_InitRng(&with.rng), 0);
	cr_assert_eq(wc_RNG_GenerateBlock(&with.rng, with.digest, sizeof(with.digest)), 0);
	cr_assert_eq(wc_ecc_init(&with.p256), 0);
	cr_assert_eq(wc_ecc_make_key_ex(&with.rng, 32, &with.p256, ECC_SECP256R1), 0);
	cr_assert_eq(wc_ecc_set_rng(&with.p256, &with.rng), 0);
	cr_assert_eq(wc_ecc_init(&with.p384), 0);
	cr_assert_eq(wc_ecc_make_key_ex(&with.rng, 48, &with.p384, ECC_SECP384R1), 0);
	cr_assert_eq(wc_curve25519_init(&with.x25519), 0);
	cr_assert_eq(wc_curve25519_init(&with.other), 0);
	cr_assert_eq(wc_curve25519_make_key(&with.rng, CURVE25519_KEYSIZE, &with.x25519), 0);
	cr_assert_eq(wc_ed25519_init(&with.ed25519), 0);
	cr_assert_eq(wc_ed25519_make_key(&with.rng, ED25519_KEY_SIZE, &with.ed25519), 0);
	load_rsa();
	cr_assert_eq(wc_MlKemKey_Init(&with.mlkem, WC_ML_KEM_768, NULL, INVALID_DEVID), 0);
}

/* Bit 2 of XINUSE: an upper half of a ymm register that is not zero. */
static bool uppers_are_in_use(void)
{
	unsigned low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
	return (low & 4) != 0;
}

static bool can_tell(void)
{
	unsigned a, b, c, d;

	return __builtin_cpu_supports("avx2") && __get_cpuid_count(0xd, 1, &a, &b, &c, &d) != 0 &&
	       (a & 4) != 0;
}

static void clean(void)
{
	if (__builtin_cpu_supports("avx2")) {
		__asm__ volatile("vzeroupper");
	}
}

Test(vectors, algorithms_leave_no_upper_half_in_use, .init = prepare)
{
	if (!can_tell()) {
		cr_skip_test("this processor does not say which registers are in use");
	}
	__asm__ volatile("vpcmpeqd %%ymm0, %%ymm0, %%ymm0" : : : "xmm0");
	cr_assert(uppers_are_in_use(), "the test itself sees nothing");
	for (size_t i = 0; i < FL_COUNT_OF(algorithms); i++) {
		clean();
		int rc = algorithms[i].run();
		bool dirty = uppers_are_in_use();

		cr_assert_eq(rc, 0, "%s failed with %d", algorithms[i].name, rc);
		cr_expect_not(dirty, "%s leaves upper halves in use", algorithms[i].name);
	}
}

static uint64_t time_hash(void)
{
	uint8_t digest[WC_SHA256_DIGEST_SIZE];
	uint64_t begin = __rdtsc();

	cr_assert_eq(wc_Sha256Hash(with.in, HASHED, digest), 0);
	return __rdtsc() - begin;
}

static void keep_best(uint64_t *best, uint64_t one)
{
	*best = one < *best ? one : *best;
}

Test(vectors, sha256_is_as_fast_after_each_algorithm, .init = prepare)
{
	for (size_t i = 0; i < FL_COUNT_OF(algorithms); i++) {
		uint64_t before = UINT64_MAX, after = UINT64_MAX;

		for (int round = 0; round < ROUNDS; round++) {
			clean();
			keep_best(&before, time_hash());
			cr_assert_eq(algorithms[i].run(), 0, "%s failed", algorithms[i].name);
			keep_best(&after, time_hash());
		}
		cr_expect_lt(after, 2 * before,
			     "after %s it takes %.1f times as long to hash %u bytes",
			     algorithms[i].name, (double)after / (double)before, HASHED);
		cr_log_info("%-30s %.2f", algorithms[i].name, (double)after / (double)before);
	}
}
#endif
