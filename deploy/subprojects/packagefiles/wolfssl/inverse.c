/* SPDX-License-Identifier: GPL-3.0-or-later */
/* 1 / a modulo 2^255 - 19, called by fe_x25519_asm.S (mend_asm.py) for X25519 and Ed25519. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/memory.h>

#include "inverse.h"

/* r = 1 / a, 0 of 0. a: below 2 * (2^255 - 19); r: below 2^255 - 19. Both may be the same. */
extern void fl_inverse_25519(uint64_t r[4], const uint64_t a[4]);

void fl_inverse_25519(uint64_t r[4], const uint64_t a[4])
{
	static const fl_inverse_modulus modulus = {{{0xfffffffffffffed, 0xfffffffffffffff,
						     0xfffffffffffffff, 0xfffffffffffffff, 0x7fff}},
						   UINT64_C(0x9435e50d79435e5)};

	fl_inverse(r, a, &modulus);
}
