/* SPDX-License-Identifier: GPL-3.0-or-later */
/* x25519_test - a public key does not depend on earlier contents of the CPU's registers.
 *
 * wolfSSL 5.9.2 assumes that the upper half of a register is zero without clearing it; our build clears it (see
 * deploy/subprojects/packagefiles/wolfssl/meson.build). */
#include <criterion/criterion.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/curve25519.h>

#include <stdint.h>
#include <string.h>

#include "tls/tls.h"

#if defined(__x86_64__)
#define KEYS 64

/* Fills all of the registers that the ABI lets a function leave as they are. */
static void litter(void)
{
	if (__builtin_cpu_supports("avx2")) {
		__asm__ volatile("vpcmpeqd %%ymm9, %%ymm9, %%ymm9\n\t"
				 "vmovdqa %%ymm9, %%ymm3\n\t"
				 "vmovdqa %%ymm9, %%ymm4\n\t"
				 "vmovdqa %%ymm9, %%ymm7\n\t"
				 "vmovdqa %%ymm9, %%ymm8\n\t"
				 :
				 :
				 : "xmm3", "xmm4", "xmm7", "xmm8", "xmm9");
	}
}

static void clean(void)
{
	if (__builtin_cpu_supports("avx2")) {
		__asm__ volatile("vzeroupper");
	}
}

Test(x25519, public_key_whatever_the_registers_hold)
{
	uint8_t secret[CURVE25519_KEYSIZE], expected[CURVE25519_KEYSIZE], got[CURVE25519_KEYSIZE];

	for (unsigned i = 0; i < KEYS; i++) {
		for (unsigned k = 0; k < sizeof(secret); k++) {
			secret[k] = (uint8_t)(i * 37u + k * (i + 11u));
		}
		secret[0] &= 248;
		secret[31] = (uint8_t)((secret[31] & 127) | 64);
		clean();
		cr_assert_eq(
			wc_curve25519_make_pub(sizeof(expected), expected, sizeof(secret), secret),
			0);
		litter();
		cr_assert_eq(wc_curve25519_make_pub(sizeof(got), got, sizeof(secret), secret), 0);
		clean();
		cr_expect_arr_eq(got, expected, sizeof(got), "key %u", i);
	}
}
#endif
