/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gcm_vaes - AES-GCM with 512-bit vectors, in place of wolfSSL's AVX2 code if the CPU supports it.
 *
 * wolfSSL 5.9.2 processes 16 bytes at a time with AES; VAES and VPCLMULQDQ process four blocks at
 * once, which makes long records 2.5 times as fast. The linker puts the two functions below in
 * place of the assembly routines of the same signature (--wrap, see meson.build), so wolfSSL stays
 * as it is. They pass to the wrapped routine what it does as well or what they do not support:
 * other CPUs, records shorter than SHORT, IVs that are not 12 bytes long, AES-192.
 *
 * When this can go: wolfSSL has such code of its own since its pull requests 10756 and 10825, which
 * were merged after 5.9.2 (June 2026). No release has it yet, as far as we know; the first one
 * after 5.9.2 should. Measure with tls_bench, then remove gcm_vaes and gcm_check. Until then
 * -Dc_args=-DFL_WITHOUT_VAES builds without it, and a known-answer test checks it at each start
 * (gcm_check.h): if an answer is wrong, wolfSSL's code runs.
 *
 * GCM after NIST SP 800-38D. GHASH works on byte-reversed blocks, that is, on bit-reflected
 * polynomials; the hash key is multiplied by x beforehand, which takes the place of the shift that
 * reflected products need (Gueron, Kounavis: Intel Carry-Less Multiplication Instruction and its
 * Usage for Computing the GCM Mode). 16 blocks share one reduction, for which the powers 16 to 1 of
 * the key are computed on each call and wiped at its end. No branch and no address depends on a
 * secret. */
#include "tls/gcm_vaes.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "tls/gcm_check.h"

/* No ASan: GCC 12 does not align its fake stack frames for vectors of 64 bytes. The tests have
 * guard pages instead. */
#define TARGET                                                                                     \
	__attribute__((target("avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmul,ssse3"),       \
		       no_sanitize("address")))
#define INLINE TARGET static inline __attribute__((always_inline))

#define SHORT 192  /* for shorter records, the powers cost more than the wide vectors save */
#define STRIDE 256 /* bytes of 16 blocks, in four vectors */

/* Powers 16 to 1 of the hash key, then zeros: four vectors may be loaded from any of the 16. A
 * separate struct because it must be wiped and so needs an address; the rest stays in registers. */
struct powers {
	uint8_t at[(16 + 3) * 16] __attribute__((aligned(64)));
};

struct gcm {
	__m512i counter;    /* of the next four blocks, byte-reversed: lowest 32 bits of each */
	__m128i hash;       /* running, byte-reversed */
	__m128i mask;       /* the first counter block, encrypted: what the tag is masked with */
	const uint8_t *key; /* round keys, one after the other */
	const struct powers *powers;
};

/* The reduction polynomial's upper half; multiplied with the lower half of a product, it folds it
 * away. */
INLINE __m512i polynomial(void)
{
	return _mm512_set1_epi64((long long)0xc200000000000000);
}

INLINE __m128i reverse(__m128i x)
{
	return _mm_shuffle_epi8(x,
				_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

INLINE __m512i reverse4(__m512i x)
{
	return _mm512_shuffle_epi8(x,
				   _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
								       10, 11, 12, 13, 14, 15)));
}

INLINE __m512i xor3(__m512i a, __m512i b, __m512i c)
{
	return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/* --- GHASH ------------------------------------------------------------------------------------ */

/* Sums of unreduced products: bits 0 to 127, 64 to 191 and 128 to 255. */
struct product {
	__m512i low, middle, high;
};

INLINE void multiply_add(struct product *sum, __m512i a, __m512i b)
{
	sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(a, b, 0x00));
	sum->middle = xor3(sum->middle, _mm512_clmulepi64_epi128(a, b, 0x01),
			   _mm512_clmulepi64_epi128(a, b, 0x10));
	sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(a, b, 0x11));
}

/* Folds the low half into the middle, and that into the high one. */
INLINE __m512i reduce(struct product p)
{
	__m512i poly = polynomial();
	__m512i middle = xor3(p.middle, _mm512_shuffle_epi32(p.low, _MM_PERM_BADC),
			      _mm512_clmulepi64_epi128(poly, p.low, 0x00));
	return xor3(p.high, _mm512_shuffle_epi32(middle, _MM_PERM_BADC),
		    _mm512_clmulepi64_epi128(poly, middle, 0x00));
}

INLINE __m512i multiply(__m512i a, __m512i b)
{
	struct product p = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
	multiply_add(&p, a, b);
	return reduce(p);
}

INLINE __m128i multiply1(__m128i a, __m128i b)
{
	return _mm512_castsi512_si128(
		multiply(_mm512_zextsi128_si512(a), _mm512_zextsi128_si512(b)));
}

/* The sum of the four blocks of a vector. */
INLINE __m128i fold(__m512i x)
{
	__m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
	return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* x times the polynomial x: a shift to the left, and what falls out on top comes back as the
 * reduction. */
INLINE __m128i times_x(__m128i h)
{
	__m128i carries = _mm_srai_epi32(_mm_shuffle_epi32(h, _MM_SHUFFLE(3, 1, 0, 3)), 31);
	__m128i wanted = _mm_set_epi64x((long long)0xc200000000000001, 1);
	return _mm_xor_si128(_mm_add_epi64(h, h), _mm_and_si128(carries, wanted));
}

INLINE void make_powers(struct powers *powers, __m128i h)
{
	__m128i one = times_x(reverse(h)), two = multiply1(one, one);
	__m512i four = _mm512_broadcast_i32x4(multiply1(two, two));
	__m512i v = _mm512_inserti32x4(_mm512_zextsi128_si512(_mm512_castsi512_si128(four)),
				       multiply1(two, one), 1);
	v = _mm512_inserti32x4(_mm512_inserti32x4(v, two, 2), one, 3);
	for (int i = 3; i >= 0; i--) {
		_mm512_store_si512(powers->at + 64 * i, v);
		v = multiply(v, four);
	}
	memset(powers->at + STRIDE, 0, sizeof(powers->at) - STRIDE);
}

/* Hashes one block, for AAD and lengths. */
INLINE void hash_block(struct gcm *gcm, __m128i block)
{
	__m128i h = _mm_load_si128((const __m128i *)(gcm->powers->at + STRIDE - 16));
	gcm->hash = multiply1(_mm_xor_si128(gcm->hash, reverse(block)), h);
}

INLINE void hash_aad(struct gcm *gcm, const uint8_t *aad, uint32_t len)
{
	for (; len >= 16; aad += 16, len -= 16) {
		hash_block(gcm, _mm_loadu_si128((const __m128i *)aad));
	}
	if (len > 0) {
		hash_block(gcm, _mm_maskz_loadu_epi8((__mmask16)((1u << len) - 1), aad));
	}
}

/* Adds the i-th vector of a stride; the running hash goes in with the first. */
INLINE void hash_add(struct product *sum, const struct gcm *gcm, __m512i text, int i)
{
	__m512i x = reverse4(text);
	if (i == 0) {
		x = _mm512_xor_si512(x, _mm512_zextsi128_si512(gcm->hash));
	}
	multiply_add(sum, x, _mm512_load_si512(gcm->powers->at + 64 * i));
}

INLINE void hash_stride(struct gcm *gcm, const __m512i text[4])
{
	struct product p = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		hash_add(&p, gcm, text[i], i);
	}
	gcm->hash = fold(reduce(p));
}

/* --- AES -------------------------------------------------------------------------------------- */

INLINE __m512i round_key(const uint8_t *key, int round)
{
	return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(key + 16 * round)));
}

/* Key stream of the next count times four blocks: the counters, a round, the last round. */
INLINE void begin_stream(struct gcm *gcm, __m512i *stream, int count)
{
	const __m512i four = _mm512_broadcast_i32x4(_mm_set_epi32(0, 0, 0, 4));
	__m512i k = round_key(gcm->key, 0);
#pragma GCC unroll 4
	for (int i = 0; i < count; i++) {
		stream[i] = _mm512_xor_si512(reverse4(gcm->counter), k);
		gcm->counter = _mm512_add_epi32(gcm->counter, four);
	}
}

INLINE void stream_round(const uint8_t *key, int round, __m512i *stream, int count)
{
	__m512i k = round_key(key, round);
#pragma GCC unroll 4
	for (int i = 0; i < count; i++) {
		stream[i] = _mm512_aesenc_epi128(stream[i], k);
	}
}

INLINE void end_stream(const uint8_t *key, int rounds, __m512i *stream, int count)
{
	__m512i k = round_key(key, rounds);
#pragma GCC unroll 4
	for (int i = 0; i < count; i++) {
		stream[i] = _mm512_aesenclast_epi128(stream[i], k);
	}
}

/* Encrypts two blocks at the beginning: zeros, which is the hash key, and the first counter. */
INLINE void begin(struct gcm *gcm, struct powers *powers, int rounds, const uint8_t *iv)
{
	const uint8_t *key = gcm->key;
	__m128i first = _mm_insert_epi32(_mm_maskz_loadu_epi8(0x0fff, iv), 0x01000000, 3);
	__m256i x = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_setzero_si128()), first, 1);
	x = _mm256_xor_si256(x, _mm512_castsi512_si256(round_key(key, 0)));
	for (int round = 1; round < rounds; round++) {
		x = _mm256_aesenc_epi128(x, _mm512_castsi512_si256(round_key(key, round)));
	}
	x = _mm256_aesenclast_epi128(x, _mm512_castsi512_si256(round_key(key, rounds)));
	gcm->mask = _mm256_extracti128_si256(x, 1);
	gcm->hash = _mm_setzero_si128();
	gcm->counter =
		_mm512_add_epi32(_mm512_broadcast_i32x4(reverse(first)),
				 _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
	make_powers(powers, _mm256_castsi256_si128(x));
}

/* --- the two together ------------------------------------------------------------------------- */

/* Encrypts or decrypts a whole stride and, if `hash`, hashes another one between its AES rounds, so
 * that both units of the CPU stay busy. text: the ciphertext to hash; that of the previous stride
 * when encrypting, of this one when decrypting. */
INLINE void crypt_stride(struct gcm *gcm, int rounds, const uint8_t *in, uint8_t *out,
			 __m512i text[4], bool encrypt, bool hash)
{
	struct product p = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
	__m512i stream[4];
	begin_stream(gcm, stream, 4);
#pragma GCC unroll 4
	for (int i = 0; !encrypt && i < 4; i++) {
		text[i] = _mm512_loadu_si512(in + 64 * i);
	}
#pragma GCC unroll 16
	for (int round = 1; round < rounds; round++) {
		stream_round(gcm->key, round, stream, 4);
		if (hash && round % 2 == 0 && round <= 8) {
			hash_add(&p, gcm, text[round / 2 - 1], round / 2 - 1);
		}
	}
	if (hash) {
		gcm->hash = fold(reduce(p));
	}
	end_stream(gcm->key, rounds, stream, 4);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		__m512i x = encrypt ? _mm512_loadu_si512(in + 64 * i) : text[i];
		__m512i y = _mm512_xor_si512(x, stream[i]);
		_mm512_storeu_si512(out + 64 * i, y);
		text[i] = y;
	}
}

/* Processes the rest, which is less than a stride. */
INLINE void crypt_rest(struct gcm *gcm, int rounds, const uint8_t *in, uint8_t *out, uint32_t len,
		       bool encrypt)
{
	uint32_t blocks = (len + 15) / 16;
	const uint8_t *power = gcm->powers->at + STRIDE - 16 * blocks;
	struct product p = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
	__m512i carry = _mm512_zextsi128_si512(gcm->hash);

	for (; len > 0; in += 64, out += 64, power += 64) {
		uint32_t n = len < 64 ? len : 64;
		__mmask64 lanes = ~(__mmask64)0 >> (64 - n);
		__m512i stream;
		begin_stream(gcm, &stream, 1);
#pragma GCC unroll 16
		for (int round = 1; round < rounds; round++) {
			stream_round(gcm->key, round, &stream, 1);
		}
		end_stream(gcm->key, rounds, &stream, 1);
		__m512i x = _mm512_maskz_loadu_epi8(lanes, in);
		__m512i y = _mm512_maskz_mov_epi8(lanes, _mm512_xor_si512(x, stream));
		_mm512_mask_storeu_epi8(out, lanes, y);
		multiply_add(&p, _mm512_xor_si512(reverse4(encrypt ? y : x), carry),
			     _mm512_loadu_si512(power));
		carry = _mm512_setzero_si512();
		len -= n;
	}
	if (blocks > 0) {
		gcm->hash = fold(reduce(p));
	}
}

/* The arguments of a call from wolfSSL. */
struct call {
	const uint8_t *in;
	uint8_t *out;
	const uint8_t *aad, *iv, *key;
	uint32_t len, aad_len;
};

INLINE __m128i run(const struct call *call, int rounds, bool encrypt)
{
	struct powers powers;
	struct gcm gcm = {.key = call->key, .powers = &powers};
	const uint8_t *in = call->in;
	uint8_t *out = call->out;
	uint32_t left = call->len;
	uint64_t bits = (uint64_t)call->len * 8, aad_bits = (uint64_t)call->aad_len * 8;
	bool pending = encrypt && left >= STRIDE;
	__m512i text[4];

	begin(&gcm, &powers, rounds, call->iv);
	hash_aad(&gcm, call->aad, call->aad_len);
	if (pending) {
		crypt_stride(&gcm, rounds, in, out, text, encrypt, false);
		in += STRIDE;
		out += STRIDE;
		left -= STRIDE;
	}
	for (; left >= STRIDE; in += STRIDE, out += STRIDE, left -= STRIDE) {
		crypt_stride(&gcm, rounds, in, out, text, encrypt, true);
	}
	if (pending) {
		hash_stride(&gcm, text);
	}
	crypt_rest(&gcm, rounds, in, out, left, encrypt);
	hash_block(&gcm, reverse(_mm_set_epi64x((long long)aad_bits, (long long)bits)));
	__m128i tag = _mm_xor_si128(reverse(gcm.hash), gcm.mask);
	/* The compiler does this by itself only when it optimizes (tests/lint/vectors.py says what it is for). */
	_mm256_zeroupper();
	fl_wipe(&powers, sizeof(powers));
	return tag;
}

/* Four bodies, each with its rounds unrolled. */
TARGET static __m128i encrypt_128(const struct call *call)
{
	return run(call, 10, true);
}

TARGET static __m128i encrypt_256(const struct call *call)
{
	return run(call, 14, true);
}

TARGET static __m128i decrypt_128(const struct call *call)
{
	return run(call, 10, false);
}

TARGET static __m128i decrypt_256(const struct call *call)
{
	return run(call, 14, false);
}

/* --- in wolfSSL's place ----------------------------------------------------------------------- */

/* Set once, before the first thread, and then only read. */
static enum fl_gcm_state state;

/* The vectors' registers must be saved by the operating system, too: what XGETBV says of SSE, AVX
 * and the three parts of AVX-512. */
__attribute__((target("xsave"))) static bool system_saves_vectors(void)
{
	const unsigned long long needed = 0xe6;

	return ((unsigned long long)_xgetbv(0) & needed) == needed;
}

static bool can_be_wide(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_OSXSAVE) != 0 &&
	       (c & bit_AES) != 0 && system_saves_vectors() &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_AVX512F) != 0 &&
	       (b & bit_AVX512BW) != 0 && (b & bit_AVX512VL) != 0 && (c & bit_VAES) != 0 &&
	       (c & bit_VPCLMULQDQ) != 0;
}

void fl_gcm_init(void)
{
	state = can_be_wide() ? FL_GCM_WIDE : FL_GCM_ABSENT;
	if (state == FL_GCM_WIDE && !fl_gcm_check()) {
		state = FL_GCM_WRONG;
	}
}

enum fl_gcm_state fl_gcm_state(void)
{
	return state;
}

static bool is_ours(uint32_t len, uint32_t iv_len, uint32_t tag_len, int rounds)
{
	return state == FL_GCM_WIDE && len >= SHORT && iv_len == 12 && tag_len <= 16 &&
	       (rounds == 10 || rounds == 14);
}

/* NOLINTBEGIN(readability-function-size): the signatures are wolfSSL's */
void fl_gcm_encrypt(const uint8_t *in, uint8_t *out, const uint8_t *aad, const uint8_t *iv,
		    uint8_t *tag, uint32_t len, uint32_t aad_len, uint32_t iv_len, uint32_t tag_len,
		    const uint8_t *key, int rounds)
{
	const struct call call = {in, out, aad, iv, key, len, aad_len};

	if (!is_ours(len, iv_len, tag_len, rounds)) {
		wolf_gcm_encrypt(in, out, aad, iv, tag, len, aad_len, iv_len, tag_len, key, rounds);
		return;
	}
	__m128i full = rounds == 10 ? encrypt_128(&call) : encrypt_256(&call);
	memcpy(tag, &full, tag_len);
}

void fl_gcm_decrypt(const uint8_t *in, uint8_t *out, const uint8_t *aad, const uint8_t *iv,
		    const uint8_t *tag, uint32_t len, uint32_t aad_len, uint32_t iv_len,
		    uint32_t tag_len, const uint8_t *key, int rounds, int *ret_good)
{
	const struct call call = {in, out, aad, iv, key, len, aad_len};

	if (!is_ours(len, iv_len, tag_len, rounds)) {
		wolf_gcm_decrypt(in, out, aad, iv, tag, len, aad_len, iv_len, tag_len, key, rounds,
				 ret_good);
		return;
	}
	__m128i full = rounds == 10 ? decrypt_128(&call) : decrypt_256(&call);
	uint8_t ours[16], differs = 0;
	memcpy(ours, &full, sizeof(ours));
	for (uint32_t i = 0; i < tag_len; i++) {
		differs |= ours[i] ^ tag[i];
	}
	*ret_good = differs == 0;
}
/* NOLINTEND(readability-function-size) */
