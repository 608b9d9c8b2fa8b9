/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_GCM_VAES_H
#define FL_TLS_GCM_VAES_H
/* gcm_vaes - AES-GCM with 512-bit vectors, linked in place of two routines of wolfSSL; private to
 * sidecar/tls.
 *
 * x86-64 only. No code calls these by name: wolfSSL's references go to fl_gcm_*, and wolf_gcm_* are
 * its own routines. Before fl_gcm_init(), wolfSSL's own routines run. */
#include <stdint.h>

enum fl_gcm_state {
	FL_GCM_ABSENT, /* this CPU lacks the instructions */
	FL_GCM_WIDE,
	FL_GCM_WRONG, /* it has them, but a known answer was wrong */
};
/* Checks the CPU and the known answers. wolfSSL's routines run unless the state is then
 * FL_GCM_WIDE. Call it before the first thread starts. */
void fl_gcm_init(void);
enum fl_gcm_state fl_gcm_state(void);

/* The names that the linker's --wrap makes for references to, and of, the wrapped symbols. */
#define FL_GCM_WRAP(name) __asm__("__wrap_" name)
#define FL_GCM_REAL(name) __asm__("__real_" name)

/* in and out: len bytes, the same or apart. tag: tag_len bytes. key: round keys. *ret_good: is the
 * tag right? If it is not, the content of out must not be used. */
void fl_gcm_encrypt(const uint8_t *in, uint8_t *out, const uint8_t *aad, const uint8_t *iv,
		    uint8_t *tag, uint32_t len, uint32_t aad_len, uint32_t iv_len, uint32_t tag_len,
		    const uint8_t *key, int rounds) FL_GCM_WRAP("AES_GCM_encrypt_avx2");
void fl_gcm_decrypt(const uint8_t *in, uint8_t *out, const uint8_t *aad, const uint8_t *iv,
		    const uint8_t *tag, uint32_t len, uint32_t aad_len, uint32_t iv_len,
		    uint32_t tag_len, const uint8_t *key, int rounds, int *ret_good)
	FL_GCM_WRAP("AES_GCM_decrypt_avx2");
void wolf_gcm_encrypt(const uint8_t *in, uint8_t *out, const uint8_t *aad, const uint8_t *iv,
		      uint8_t *tag, uint32_t len, uint32_t aad_len, uint32_t iv_len,
		      uint32_t tag_len, const uint8_t *key, int rounds)
	FL_GCM_REAL("AES_GCM_encrypt_avx2");
void wolf_gcm_decrypt(const uint8_t *in, uint8_t *out, const uint8_t *aad, const uint8_t *iv,
		      const uint8_t *tag, uint32_t len, uint32_t aad_len, uint32_t iv_len,
		      uint32_t tag_len, const uint8_t *key, int rounds, int *ret_good)
	FL_GCM_REAL("AES_GCM_decrypt_avx2");

#endif
