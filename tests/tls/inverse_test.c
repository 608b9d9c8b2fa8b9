/* SPDX-License-Identifier: GPL-3.0-or-later */
/* inverse_test - inverses (deploy/subprojects/packagefiles/wolfssl/inverse.h) are what wolfSSL's general function says, for each
 * modulus; and X25519, which has one at the end, is as RFC 7748 has it, with the code of
 * either kind of CPU. */
#include <criterion/criterion.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/cpuid.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/memory.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/sp_int.h>

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "tls/tls.h"

#include <inverse.h>

#define SIZE 32
#define LIMBS (SIZE / 8)

static WC_RNG rng;

static const struct modulus {
	const char *text;
	fl_inverse_modulus modulus;
} moduli[] = {
	{"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
	 {{{0x3b9cac2fc632551, 0xe6faada7179e84f, 0xfffffffffffffbc, 0xffff00000000fff, 0xffff}},
	  UINT64_C(0x32e375511ff43b1)}},
	{"FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF",
	 {{{0xfffffffffffffff, 0xfffffffff, 0x0, 0xffff00000001000, 0xffff}},
	  UINT64_C(0xfffffffffffffff)}},
	{"7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFED",
	 {{{0xfffffffffffffed, 0xfffffffffffffff, 0xfffffffffffffff, 0xfffffffffffffff, 0x7fff}},
	  UINT64_C(0x9435e50d79435e5)}},
};

static void set_up(void)
{
	cr_assert_eq(fl_tls_global_init(NULL), 0);
	cr_assert_eq(wc_InitRng(&rng), 0);
}

static void tear_down(void)
{
	(void)wc_FreeRng(&rng);
	fl_tls_global_done();
}

TestSuite(inverse, .init = set_up, .fini = tear_down);

/* With the first key wolfSSL chooses its code for the process, once. */
static void set_up_without_adx(void)
{
	(void)cpuid_get_flags();
	cpuid_clear_flag(CPUID_ADX);
	set_up();
}

TestSuite(inverse_without_adx, .init = set_up_without_adx, .fini = tear_down);

/* --- against wolfSSL ------------------------------------------------------------------------------ */

static void to_limbs(mp_int *number, uint64_t ret[LIMBS])
{
	uint8_t bytes[SIZE];

	cr_assert_eq(mp_to_unsigned_bin_len(number, bytes, SIZE), 0);
	for (size_t i = 0; i < LIMBS; i++) {
		memcpy(&ret[i], bytes + SIZE - 8 * (i + 1), 8);
		ret[i] = __builtin_bswap64(ret[i]);
	}
}

/* of: below twice the modulus. */
static void check(const struct modulus *m, mp_int *modulus, mp_int *of)
{
	uint64_t number[LIMBS], expected[LIMBS] = {0}, got[LIMBS];
	mp_int inverse, reduced;

	cr_assert_eq(mp_init_multi(&inverse, &reduced, NULL, NULL, NULL, NULL), 0);
	cr_assert_eq(mp_mod(of, modulus, &reduced), 0);
	if (mp_iszero(&reduced) == MP_NO) {
		cr_assert_eq(mp_invmod(&reduced, modulus, &inverse), 0);
		to_limbs(&inverse, expected);
	}
	to_limbs(of, number);
	fl_inverse(got, number, &m->modulus);
	cr_expect_arr_eq(got, expected, sizeof(got), "modulo %s", m->text);
	fl_inverse(number, number, &m->modulus);
	cr_expect_arr_eq(number, expected, sizeof(number), "in place, modulo %s", m->text);
}

/* The number and its negative; below 2^256 there may be others that are the same modulo the modulus. */
static void check_all_of(const struct modulus *m, mp_int *modulus, mp_int *of)
{
	mp_int negative, more;

	cr_assert_eq(mp_init_multi(&negative, &more, NULL, NULL, NULL, NULL), 0);
	cr_assert_eq(mp_sub(modulus, of, &negative), 0);
	check(m, modulus, of);
	check(m, modulus, &negative);
	cr_assert_eq(mp_add(of, modulus, &more), 0);
	if (mp_count_bits(&more) <= SIZE * 8) {
		check(m, modulus, &more);
	}
}

static void check_modulus(const struct modulus *m)
{
	uint8_t bytes[SIZE];
	mp_int modulus, number;

	cr_assert_eq(mp_init_multi(&modulus, &number, NULL, NULL, NULL, NULL), 0);
	cr_assert_eq(mp_read_radix(&modulus, m->text, MP_RADIX_HEX), 0);
	for (unsigned small = 0; small < 300; small++) {
		cr_assert_eq(mp_set(&number, small), 0);
		check_all_of(m, &modulus, &number);
	}
	for (int power = 0; power < mp_count_bits(&modulus); power++) {
		for (int change = -1; change <= 1; change++) {
			cr_assert_eq(mp_2expt(&number, power), 0);
			cr_assert_eq(change < 0   ? mp_sub_d(&number, 1, &number)
				     : change > 0 ? mp_add_d(&number, 1, &number)
						  : 0,
				     0);
			check_all_of(m, &modulus, &number);
		}
	}
	for (int i = 0; i < 5000; i++) {
		cr_assert_eq(wc_RNG_GenerateBlock(&rng, bytes, sizeof(bytes)), 0);
		cr_assert_eq(mp_read_unsigned_bin(&number, bytes, sizeof(bytes)), 0);
		cr_assert_eq(mp_mod(&number, &modulus, &number), 0);
		check_all_of(m, &modulus, &number);
	}
}

Test(inverse, of_each_modulus)
{
	for (size_t i = 0; i < FL_COUNT_OF(moduli); i++) {
		check_modulus(&moduli[i]);
	}
}

/* --- twenty steps ----------------------------------------------------------------------------------- */

/* As the comment at the top of inverse.h has it. twice_delta is odd. */
static void make_step(int64_t *twice_delta, int64_t *f, int64_t *g, fl_inverse_matrix *m)
{
	fl_inverse_matrix before = *m;
	int64_t f_before = *f;
	bool odd = (*g & 1) != 0, swaps = odd && *twice_delta > 0;

	m->u = 2 * (swaps ? before.q : before.u);
	m->v = 2 * (swaps ? before.r : before.v);
	m->q = before.q + (swaps ? -before.u : odd ? before.u : 0);
	m->r = before.r + (swaps ? -before.v : odd ? before.v : 0);
	*f = swaps ? *g : f_before;
	*g = (*g + (swaps ? -f_before : odd ? f_before : 0)) / 2;
	*twice_delta = 2 + (swaps ? -*twice_delta : *twice_delta);
}

static void check_steps(uint32_t f, uint32_t g, int64_t past)
{
	int64_t twice_delta = -1 - 2 * past, slow_f = f, slow_g = g;
	fl_inverse_matrix got, expected = {1, 0, 0, 1};

	past = fl_inverse_twenty(past, f, g, &got);
	for (int i = 0; i < 20; i++) {
		make_step(&twice_delta, &slow_f, &slow_g, &expected);
	}
	cr_assert_eq(past, (-1 - twice_delta) / 2);
	cr_assert_arr_eq(&got, &expected, sizeof(got), "f %x, g %x", f, g);
}

Test(inverse, steps_in_words_are_those_of_numbers)
{
	const uint32_t end = UINT32_C(1) << 20;

	for (int64_t past = -22; past <= 22; past++) {
		for (uint32_t g = 0; g < 200; g++) {
			check_steps(g * 2 + 1, g, past);
			check_steps(end - 1 - g * 2, g, past);
			check_steps(g * 2 + 1, end - 1 - g, past);
			check_steps(end - 1 - g * 2, end - 1 - g, past);
		}
		for (int bit = 0; bit < 20; bit++) {
			check_steps(1, UINT32_C(1) << bit, past);
			check_steps(UINT32_C(1) << bit | 1, end - 1, past);
		}
		for (int i = 0; i < 5000; i++) {
			uint32_t both[2];

			cr_assert_eq(wc_RNG_GenerateBlock(&rng, (uint8_t *)both, sizeof(both)), 0);
			check_steps((both[0] | 1) % end, both[1] % end, past);
		}
	}
}

/* --- X25519 --------------------------------------------------------------------------------------- */

static void multiply(uint8_t ret[SIZE], const uint8_t scalar[SIZE], const uint8_t u[SIZE])
{
	uint8_t clamped[SIZE], copy[SIZE];

	memcpy(clamped, scalar, SIZE);
	memcpy(copy, u, SIZE);
	clamped[0] &= 248;
	clamped[SIZE - 1] = (uint8_t)((clamped[SIZE - 1] & 127) | 64);
	cr_assert_eq(wc_curve25519_generic(SIZE, ret, SIZE, clamped, SIZE, copy), 0);
}

/* RFC 7748 section 5.2: a thousand products, each the next one's scalar, and the scalar its point. */
static void check_x25519(void)
{
	static const uint8_t once[SIZE] = {0x42, 0x2c, 0x8e, 0x7a, 0x62, 0x27, 0xd7, 0xbc,
					   0xa1, 0x35, 0x0b, 0x3e, 0x2b, 0xb7, 0x27, 0x9f,
					   0x78, 0x97, 0xb8, 0x7b, 0xb6, 0x85, 0x4b, 0x78,
					   0x3c, 0x60, 0xe8, 0x03, 0x11, 0xae, 0x30, 0x79},
			     thousandfold[SIZE] = {0x68, 0x4c, 0xf5, 0x9b, 0xa8, 0x33, 0x09, 0x55,
						   0x28, 0x00, 0xef, 0x56, 0x6f, 0x2f, 0x4d, 0x3c,
						   0x1c, 0x38, 0x87, 0xc4, 0x93, 0x60, 0xe3, 0x87,
						   0x5f, 0x2e, 0xb9, 0x4d, 0x99, 0x53, 0x2c, 0x51};
	uint8_t scalar[SIZE] = {9}, u[SIZE] = {9}, product[SIZE], public[SIZE];

	for (int i = 1; i <= 1000; i++) {
		multiply(product, scalar, u);
		memcpy(u, scalar, SIZE);
		memcpy(scalar, product, SIZE);
		if (i == 1) {
			cr_expect_arr_eq(product, once, SIZE);
		}
	}
	cr_expect_arr_eq(product, thousandfold, SIZE);

	/* A key pair is made in another way than a product. */
	u[0] = 9;
	memset(u + 1, 0, SIZE - 1);
	for (int i = 0; i < 100; i++) {
		multiply(product, scalar, u);
		scalar[0] &= 248;
		scalar[SIZE - 1] = (uint8_t)((scalar[SIZE - 1] & 127) | 64);
		cr_assert_eq(wc_curve25519_make_pub(SIZE, public, SIZE, scalar), 0);
		cr_expect_arr_eq(public, product, SIZE);
		memcpy(scalar, product, SIZE);
	}
}

Test(inverse, x25519)
{
	check_x25519();
}

Test(inverse_without_adx, x25519)
{
	check_x25519();
}

/* Points of small order, whose product is 0 = 1 / 0: RFC 7748 section 6.1. Also where 0 is the prime. */
Test(inverse, x25519_of_small_order)
{
	static const uint8_t zero[SIZE];
	uint8_t scalar[SIZE] = {8}, u[SIZE] = {0}, product[SIZE];

	multiply(product, scalar, u);
	cr_expect_arr_eq(product, zero, SIZE);
	u[0] = 1;
	multiply(product, scalar, u);
	cr_expect_arr_eq(product, zero, SIZE);
	memset(u, 0xff, SIZE);
	u[SIZE - 1] = 0x7f;
	for (u[0] = 0xec; u[0] <= 0xee; u[0]++) {
		multiply(product, scalar, u);
		cr_expect_arr_eq(product, zero, SIZE, "last byte %x", u[0]);
	}
}
