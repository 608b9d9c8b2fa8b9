/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inverses for P-256 (inverse.h). Included by sp_x86_64.c (mend.py); what is in Montgomery form needs a CPU with BMI2 and ADX. */
#include "inverse.h"

extern void sp_256_mont_mul_avx2_4(sp_digit *r, const sp_digit *a, const sp_digit *b,
				   const sp_digit *m, sp_digit mp);
extern void sp_256_mont_mul_order_avx2_4(sp_digit *r, const sp_digit *a, const sp_digit *b);

static const fl_inverse_modulus fl_256_order = {
	{{0x3b9cac2fc632551, 0xe6faada7179e84f, 0xfffffffffffffbc, 0xffff00000000fff, 0xffff}},
	UINT64_C(0x32e375511ff43b1)};
static const fl_inverse_modulus fl_256_prime = {
	{{0xfffffffffffffff, 0xfffffffff, 0x0, 0xffff00000001000, 0xffff}},
	UINT64_C(0xfffffffffffffff)};

/* r = 1 / a modulo the order, both in Montgomery form. */
static void fl_256_mont_inverse_order(sp_digit *r, const sp_digit *a)
{
	/* 2^(256 * 3) modulo the order */
	static const sp_digit cube[4] = {0xac8ebec90b65a624, 0x111f28ae0c0555c9, 0x2543b9246ba5e93f,
					 0x503a54e76407be65};

	fl_inverse(r, a, &fl_256_order);
	sp_256_mont_mul_order_avx2_4(r, r, cube);
}

/* The same modulo the prime. */
static void fl_256_mont_inverse(sp_digit *r, const sp_digit *a)
{
	static const sp_digit cube[4] = {0xfffffffd0000000a, 0xffffffedfffffff7, 0x00000005fffffffc,
					 0x0000001800000001};
	static const sp_digit prime[4] = {0xffffffffffffffff, 0x00000000ffffffff, 0,
					  0xffffffff00000001};

	fl_inverse(r, a, &fl_256_prime);
	sp_256_mont_mul_avx2_4(r, r, cube, prime, 1);
}
