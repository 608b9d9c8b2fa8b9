/* SPDX-License-Identifier: GPL-3.0-or-later */
/* p256_test - a P-256 signature is judged alike whether its key is new, or was seen before and has a table
 * (deploy/subprojects/packagefiles/wolfssl/p256_verify.h): good ones are accepted, and bad ones are not.
 *
 * Signatures are also made backwards, from chosen factors u1 and u2 of the point u1 G + u2 Q that decides, which leads to each
 * special case of adding points. */
#include <criterion/criterion.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/sp.h>
#if defined(__x86_64__)
#include <wolfssl/wolfcrypt/cpuid.h>
#endif

#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "tls/tls.h"

#define SIZE 32
/* More than there are tables. */
#define MANY_KEYS 40

static WC_RNG rng;
static mp_int order;

static void set_up(void)
{
	static const char text[] =
		"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";

	cr_assert_eq(fl_tls_global_init(NULL), 0);
	cr_assert_eq(wc_InitRng(&rng), 0);
	cr_assert_eq(mp_init(&order), 0);
	cr_assert_eq(mp_read_radix(&order, text, MP_RADIX_HEX), 0);
}

static void tear_down(void)
{
	(void)wc_FreeRng(&rng);
	fl_tls_thread_done();
	fl_tls_global_done();
}

TestSuite(p256, .init = set_up, .fini = tear_down);

static void make_key(ecc_key *key)
{
	cr_assert_eq(wc_ecc_init(key), 0);
	cr_assert_eq(wc_ecc_make_key_ex(&rng, SIZE, key, ECC_SECP256R1), 0);
}

/* The key with this private one. */
static void make_chosen_key(ecc_key *key, mp_int *private)
{
	uint8_t bytes[SIZE];

	cr_assert_eq(mp_to_unsigned_bin_len(private, bytes, SIZE), 0);
	cr_assert_eq(wc_ecc_init(key), 0);
	cr_assert_eq(wc_ecc_import_private_key_ex(bytes, SIZE, NULL, 0, key, ECC_SECP256R1), 0);
	cr_assert_eq(wc_ecc_make_pub_ex(key, NULL, &rng), 0);
}

static bool verifies(ecc_key *key, mp_int *r, mp_int *s, const uint8_t *hash)
{
	int good = 0;

	return wc_ecc_verify_hash_ex(r, s, hash, SIZE, &good, key) == 0 && good == 1;
}

/* What is expected, as often as a table needs to be made and used. */
static void expect(ecc_key *key, mp_int *r, mp_int *s, const uint8_t *hash, bool good,
		   const char *what)
{
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(verifies(key, r, s, hash), good, "%s, time %d", what, i);
	}
}

/* --- signatures as they come --------------------------------------------------------------------- */

static void sign(ecc_key *key, const uint8_t *hash, mp_int *r, mp_int *s)
{
	cr_assert_eq(mp_init_multi(r, s, NULL, NULL, NULL, NULL), 0);
	cr_assert_eq(wc_ecc_sign_hash_ex(hash, SIZE, &rng, key, r, s), 0);
}

static void check_key(ecc_key *key, ecc_key *other)
{
	uint8_t hash[SIZE];
	mp_int r, s, changed;

	cr_assert_eq(wc_RNG_GenerateBlock(&rng, hash, sizeof(hash)), 0);
	sign(key, hash, &r, &s);
	cr_assert_eq(mp_init(&changed), 0);
	expect(key, &r, &s, hash, true, "a good signature");
	expect(other, &r, &s, hash, false, "another key");
	expect(key, &s, &r, hash, false, "r and s exchanged");
	cr_assert_eq(mp_add_d(&r, 1, &changed), 0);
	expect(key, &changed, &s, hash, false, "another r");
	cr_assert_eq(mp_add_d(&s, 1, &changed), 0);
	expect(key, &r, &changed, hash, false, "another s");
	cr_assert_eq(mp_sub(&order, &s, &changed), 0);
	expect(key, &r, &changed, hash, true, "order - s, which ECDSA allows");
	mp_zero(&changed);
	expect(key, &changed, &s, hash, false, "r = 0");
	expect(key, &r, &changed, hash, false, "s = 0");
	expect(key, &order, &s, hash, false, "r = order");
	expect(key, &r, &order, hash, false, "s = order");
	cr_assert_eq(mp_add(&r, &order, &changed), 0);
	expect(key, &changed, &s, hash, false, "r + order");
	cr_assert_eq(mp_add(&s, &order, &changed), 0);
	expect(key, &r, &changed, hash, false, "s + order");
	for (size_t bit = 0; bit < SIZE * 8; bit += 37) {
		hash[bit / 8] ^= (uint8_t)(1u << bit % 8);
		expect(key, &r, &s, hash, false, "another hash");
		hash[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	expect(key, &r, &s, hash, true, "a good signature after bad ones");
}

Test(p256, good_and_bad_signatures)
{
	ecc_key key, other;

	for (int i = 0; i < 20; i++) {
		make_key(&key);
		make_key(&other);
		check_key(&key, &other);
		wc_ecc_free(&key);
		wc_ecc_free(&other);
	}
}

/* Tables change hands, and none is used for another key. */
static void check_many_keys(void)
{
	ecc_key keys[MANY_KEYS];
	mp_int r[MANY_KEYS], s[MANY_KEYS];
	uint8_t hash[SIZE] = {1, 2, 3};

	for (int i = 0; i < MANY_KEYS; i++) {
		make_key(&keys[i]);
		sign(&keys[i], hash, &r[i], &s[i]);
	}
	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < MANY_KEYS; i++) {
			int k = round % 3 == 0 ? i : (i * 7 + round) % (1 + round % MANY_KEYS);

			cr_expect(verifies(&keys[k], &r[k], &s[k], hash), "key %d", k);
			cr_expect_not(verifies(&keys[k], &r[(k + 1) % MANY_KEYS],
					       &s[(k + 1) % MANY_KEYS], hash),
				      "key %d", k);
		}
	}
	for (int i = 0; i < MANY_KEYS; i++) {
		wc_ecc_free(&keys[i]);
	}
}

Test(p256, more_keys_than_tables)
{
	check_many_keys();
}

#if defined(__x86_64__)
/* wolfSSL's own code, with its own tables. */
Test(p256, cpu_without_adx)
{
	ecc_key key, other;

	cpuid_clear_flag(CPUID_ADX);
	make_key(&key);
	make_key(&other);
	check_key(&key, &other);
	check_many_keys();
	wc_ecc_free(&key);
	wc_ecc_free(&other);
}
#endif

/* --- signatures from the factors ------------------------------------------------------------------ */

/* r, s and hash so that the deciding point is u1 G + u2 Q. False: that point is infinity, and r is any. */
static bool from_factors(mp_int *u1, mp_int *u2, mp_int *private, mp_int *ret_r, mp_int *ret_s,
			 uint8_t *ret_hash)
{
	ecc_key at;
	mp_int k, inverse;
	bool is_point;

	cr_assert_eq(mp_init_multi(&k, &inverse, ret_r, ret_s, NULL, NULL), 0);
	cr_assert_eq(mp_mulmod(u2, private, &order, &k), 0);
	cr_assert_eq(mp_addmod(&k, u1, &order, &k), 0);
	is_point = mp_iszero(&k) == MP_NO;
	if (is_point) {
		make_chosen_key(&at, &k);
		cr_assert_eq(mp_mod(at.pubkey.x, &order, ret_r), 0);
		wc_ecc_free(&at);
	} else {
		cr_assert_eq(mp_set(ret_r, 1), 0);
	}
	cr_assert_eq(mp_invmod(u2, &order, &inverse), 0);
	cr_assert_eq(mp_mulmod(ret_r, &inverse, &order, ret_s), 0);
	cr_assert_eq(mp_mulmod(u1, ret_s, &order, &k), 0);
	/* wolfSSL takes no hash of zeros. */
	cr_assert_eq(mp_to_unsigned_bin_len(mp_iszero(&k) == MP_NO ? &k : &order, ret_hash, SIZE),
		     0);
	return is_point;
}

static void check_factors(ecc_key *key, mp_int *private, mp_int *u1, mp_int *u2)
{
	uint8_t hash[SIZE];
	mp_int r, s;
	char what[3][SIZE * 2 + 1], text[3 * sizeof(what[0]) + 32];
	bool good = from_factors(u1, u2, private, &r, &s, hash);

	cr_assert_eq(mp_tohex(private, what[0]), 0);
	cr_assert_eq(mp_tohex(u1, what[1]), 0);
	cr_assert_eq(mp_tohex(u2, what[2]), 0);
	(void)snprintf(text, sizeof(text), "Q = %s G, u1 %s, u2 %s", what[0], what[1], what[2]);
	expect(key, &r, &s, hash, good, text);
	hash[SIZE - 1] ^= 1;
	expect(key, &r, &s, hash, false, text);
}

/* at 0: random; then 0, 1, 2 ..., powers of 2 near those where tables begin, and order minus all of these. */
static size_t factor(size_t at, mp_int *ret)
{
	static const int powers[] = {6, 7, 10, 20, 30, 37, 47, 74, 111, 222, 232, 242, 252, 255};
	const size_t small = 9, all = small + 3 * FL_COUNT_OF(powers);
	bool negative = at > all;
	uint8_t bytes[SIZE];

	at = negative ? at - all : at;
	cr_assert_eq(mp_init(ret), 0);
	if (at == 0) {
		cr_assert_eq(wc_RNG_GenerateBlock(&rng, bytes, sizeof(bytes)), 0);
		cr_assert_eq(mp_read_unsigned_bin(ret, bytes, sizeof(bytes)), 0);
		cr_assert_eq(mp_mod(ret, &order, ret), 0);
	} else if (at <= small) {
		cr_assert_eq(mp_set(ret, at - 1), 0);
	} else {
		cr_assert_eq(mp_2expt(ret, powers[(at - small - 1) / 3]), 0);
		cr_assert_eq((at - small - 1) % 3 == 0   ? mp_sub_d(ret, 1, ret)
			     : (at - small - 1) % 3 == 1 ? 0
							 : mp_add_d(ret, 1, ret),
			     0);
	}
	if (negative && mp_iszero(ret) == MP_NO) {
		cr_assert_eq(mp_sub(&order, ret, ret), 0);
	}
	return 2 * all + 1;
}

Test(p256, special_factors)
{
	static const size_t privates[] = {0, 2, 3, 4, 12, 30, 53, 54};
	mp_int private, u1, u2;
	ecc_key key;
	size_t count = factor(0, &u1);

	for (size_t k = 0; k < FL_COUNT_OF(privates); k++) {
		(void)factor(privates[k], &private);
		if (mp_iszero(&private) != MP_NO) {
			continue;
		}
		make_chosen_key(&key, &private);
		for (size_t i = 0; i < count; i++) {
			for (size_t j = i % 3; j < count; j += 3) {
				(void)factor(i, &u1);
				(void)factor(j, &u2);
				if (mp_iszero(&u2) == MP_NO) {
					check_factors(&key, &private, &u1, &u2);
				}
			}
		}
		wc_ecc_free(&key);
	}
}

/* u1 G = -u2 Q, and u1 G = u2 Q. */
Test(p256, factors_that_meet)
{
	mp_int private, u1, u2;
	ecc_key key;

	for (int i = 0; i < 50; i++) {
		(void)factor(0, &private);
		(void)factor(0, &u2);
		cr_assert_eq(mp_init(&u1), 0);
		make_chosen_key(&key, &private);
		cr_assert_eq(mp_mulmod(&u2, &private, &order, &u1), 0);
		check_factors(&key, &private, &u1, &u2);
		cr_assert_eq(mp_sub(&order, &u1, &u1), 0);
		check_factors(&key, &private, &u1, &u2);
		wc_ecc_free(&key);
	}
}
