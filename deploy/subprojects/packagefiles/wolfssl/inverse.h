/* SPDX-License-Identifier: GPL-3.0-or-later */
/* 1 / a modulo the order of P-256, its prime, and 2^255 - 19, in the same time for any a. ECDSA has two of secrets for each
 * signature, and one for each verification; X25519 has one of a secret for each key pair, and for each product.
 *
 * Included by sp_x86_64.c (mend.py) and inverse.c. wolfSSL raises secrets to the power of modulus - 2, and inverts what is public by
 * a binary GCD, whose branches no CPU predicts. Here both are division steps (D. J. Bernstein, B.-Y. Yang: Fast constant-time gcd
 * computation and modular inversion, 2019), in the variant that begins at delta = 1/2, of which 590 suffice for numbers of 256 bits
 * (P. Wuille, doc/safegcd_implementation.md of libsecp256k1, where the bounds below are proven, too). More change nothing; here are
 * 600.
 *
 * A division step makes (delta, f, g), where f is odd, to
 *     (1 - delta, g, (g - f) / 2)    if g is odd and delta > 0,
 *     (1 + delta, f, (g + f) / 2)    if g is odd and it is not,
 *     (1 + delta, f, g / 2)          if g is even.
 * They begin with the modulus and a, and end with 1 or -1, and 0. 60 of them depend on delta and on the lowest 60 bits of f and g
 * only. So they are made with these, which gives a matrix, and with it f and g follow, and d and e, for which f = d a and g = e a
 * modulo the modulus. */

#include <stdint.h>

/* The sum of v[i] 2^(60 i). v[0] to v[3] have 60 bits, v[4] has the sign. */
typedef struct fl_inverse_number {
	int64_t v[5];
} fl_inverse_number;

typedef struct fl_inverse_modulus {
	fl_inverse_number number;
	uint64_t inverse; /* 1 / number modulo 2^60 */
} fl_inverse_modulus;

/* What 60 steps do: f becomes (u f + v g) / 2^60, and g becomes (q f + r g) / 2^60. |u| + |v| and |q| + |r| are at most 2^60. */
typedef struct fl_inverse_matrix {
	int64_t u, v, q, r;
} fl_inverse_matrix;

#define FL_INVERSE_STEPS 60
#define FL_INVERSE_ROUNDS 10
#define FL_INVERSE_MASK ((UINT64_C(1) << 60) - 1)

/* All ones if a is negative, or else 0. The compiler is not to know this: it might branch. */
static uint64_t fl_inverse_sign(int64_t a)
{
	uint64_t mask = (uint64_t)(a >> 63);

	__asm__("" : "+r"(mask));
	return mask;
}

/* A step of two words (below). No compiler makes it without branches that is as fast: four cycles from one g to the next. */
static inline void fl_inverse_step(int64_t *past, int64_t *f, int64_t *g)
{
	int64_t other_past, other_f, add, next_past;

	__asm__("movq %[f], %[add]\n\t"
		"negq %[add]\n\t"
		"movq $-2, %[other_past]\n\t"
		"subq %[past], %[other_past]\n\t"
		"leaq -1(%[past]), %[next_past]\n\t"
		"movq %[f], %[other_f]\n\t"
		/* if g is odd: add is f or -f, f becomes other_f, past becomes other_past */
		"testq %[past], %[past]\n\t"
		"cmovnsq %[f], %[add]\n\t"
		"cmovsq %[g], %[other_f]\n\t"
		"cmovnsq %[next_past], %[other_past]\n\t"
		"testb $1, %b[g]\n\t"
		"cmovzq %[zero], %[add]\n\t"
		"cmovnzq %[other_f], %[f]\n\t"
		"cmovnzq %[other_past], %[next_past]\n\t"
		"addq %[add], %[g]\n\t"
		"sarq $1, %[g]"
		: [past] "+&r"(*past), [f] "+&r"(*f), [g] "+&r"(*g), [add] "=&r"(add),
		  [other_f] "=&r"(other_f), [other_past] "=&r"(other_past),
		  [next_past] "=&r"(next_past)
		: [zero] "r"((int64_t)0)
		: "cc");
	*past = next_past;
}

/* v and u of a word (below). */
static int64_t fl_inverse_far(int64_t word)
{
	return -((word + (INT64_C(1) << 41) + (INT64_C(1) << 20)) >> 42);
}

static int64_t fl_inverse_near(int64_t word)
{
	return -((int64_t)((uint64_t)(word + (INT64_C(1) << 20)) << 22) >> 43);
}

/* Twenty steps. past: -1/2 - delta, a whole number below 0 where delta is above. Returns the new one. f, g: their lowest 20 bits.
 *
 * A row of the matrix is in one word with its number, which is f - 2^21 u - 2^42 v at the end. Before, u and v count as halved once
 * for each step that is left: then a step halves all three of g, and leaves f alone. Each stays in its place, since u and v are above
 * -2^20 and at most 2^20, and f is from -2^20 up to 2^20; and no word is below -2^63, even before it is halved. */
static int64_t fl_inverse_twenty(int64_t past, uint64_t f, uint64_t g, fl_inverse_matrix *ret)
{
	const uint64_t low = (UINT64_C(1) << 20) - 1;
	int64_t word_f = (int64_t)(f & low) - (INT64_C(1) << 41);
	int64_t word_g = (int64_t)(g & low) - (INT64_C(1) << 62);
	int i;

	for (i = 0; i < 20; i++)
		fl_inverse_step(&past, &word_f, &word_g);
	*ret = (fl_inverse_matrix){fl_inverse_near(word_f), fl_inverse_far(word_f),
				   fl_inverse_near(word_g), fl_inverse_far(word_g)};
	return past;
}

static fl_inverse_matrix fl_inverse_product(const fl_inverse_matrix *last,
					    const fl_inverse_matrix *first)
{
	return (fl_inverse_matrix){
		last->u * first->u + last->v * first->q, last->u * first->v + last->v * first->r,
		last->q * first->u + last->r * first->q, last->q * first->v + last->r * first->r};
}

/* All steps of a round. */
static int64_t fl_inverse_steps(int64_t past, uint64_t f, uint64_t g, fl_inverse_matrix *ret)
{
	fl_inverse_matrix next;
	uint64_t f_before;
	int i;

	past = fl_inverse_twenty(past, f, g, ret);
	next = *ret;
	for (i = 1; i < FL_INVERSE_STEPS / 20; i++) {
		/* 20 fewer of the lowest bits are right than before: 40, then 20. */
		f_before = f;
		f = ((uint64_t)next.u * f + (uint64_t)next.v * g) >> 20;
		g = ((uint64_t)next.q * f_before + (uint64_t)next.r * g) >> 20;
		past = fl_inverse_twenty(past, f, g, &next);
		*ret = fl_inverse_product(&next, ret);
	}
	wc_ForceZero(&next, sizeof(next));
	return past;
}

static void fl_inverse_move_fg(fl_inverse_number *f, fl_inverse_number *g,
			       const fl_inverse_matrix *m)
{
	__int128 sum_f = (__int128)m->u * f->v[0] + (__int128)m->v * g->v[0];
	__int128 sum_g = (__int128)m->q * f->v[0] + (__int128)m->r * g->v[0];
	int i;

	for (i = 1; i < 5; i++) {
		sum_f = (sum_f >> 60) + (__int128)m->u * f->v[i] + (__int128)m->v * g->v[i];
		sum_g = (sum_g >> 60) + (__int128)m->q * f->v[i] + (__int128)m->r * g->v[i];
		f->v[i - 1] = (int64_t)((uint64_t)sum_f & FL_INVERSE_MASK);
		g->v[i - 1] = (int64_t)((uint64_t)sum_g & FL_INVERSE_MASK);
	}
	f->v[4] = (int64_t)(sum_f >> 60);
	g->v[4] = (int64_t)(sum_g >> 60);
}

/* How often the modulus is added to a d + b e: so often that the sum is divisible by 2^60, and once more for each of the two that is
 * negative. Then both stay above -2 * modulus and below the modulus. low: of a d + b e. */
static int64_t fl_inverse_times(const fl_inverse_modulus *modulus, const int64_t factors[2],
				const fl_inverse_number *d, const fl_inverse_number *e,
				uint64_t low)
{
	uint64_t times = ((uint64_t)factors[0] & fl_inverse_sign(d->v[4])) +
			 ((uint64_t)factors[1] & fl_inverse_sign(e->v[4]));

	return (int64_t)(times - ((modulus->inverse * low + times) & FL_INVERSE_MASK));
}

static void fl_inverse_move_de(fl_inverse_number *d, fl_inverse_number *e,
			       const fl_inverse_matrix *m, const fl_inverse_modulus *modulus)
{
	const int64_t *number = modulus->number.v;
	__int128 sum_d = (__int128)m->u * d->v[0] + (__int128)m->v * e->v[0];
	__int128 sum_e = (__int128)m->q * d->v[0] + (__int128)m->r * e->v[0];
	int64_t times_d =
		fl_inverse_times(modulus, (const int64_t[]){m->u, m->v}, d, e, (uint64_t)sum_d);
	int64_t times_e =
		fl_inverse_times(modulus, (const int64_t[]){m->q, m->r}, d, e, (uint64_t)sum_e);
	int i;

	sum_d += (__int128)number[0] * times_d;
	sum_e += (__int128)number[0] * times_e;
	for (i = 1; i < 5; i++) {
		__int128 next_d = (__int128)m->u * d->v[i] + (__int128)m->v * e->v[i];
		__int128 next_e = (__int128)m->q * d->v[i] + (__int128)m->r * e->v[i];

		sum_d = (sum_d >> 60) + next_d + (__int128)number[i] * times_d;
		sum_e = (sum_e >> 60) + next_e + (__int128)number[i] * times_e;
		d->v[i - 1] = (int64_t)((uint64_t)sum_d & FL_INVERSE_MASK);
		e->v[i - 1] = (int64_t)((uint64_t)sum_e & FL_INVERSE_MASK);
	}
	d->v[4] = (int64_t)(sum_d >> 60);
	e->v[4] = (int64_t)(sum_e >> 60);
}

/* d = d or -d, as sign says (0 or all ones), plus the modulus if add says so. */
static void fl_inverse_change(fl_inverse_number *d, const fl_inverse_modulus *modulus,
			      uint64_t sign, uint64_t add)
{
	int64_t sum = 0;
	int i;

	for (i = 0; i < 5; i++) {
		sum = (sum >> 60) + (int64_t)(((uint64_t)d->v[i] ^ sign) - sign) +
		      (int64_t)((uint64_t)modulus->number.v[i] & add);
		d->v[i] = i < 4 ? (int64_t)((uint64_t)sum & FL_INVERSE_MASK) : sum;
	}
}

/* a: below twice the modulus. The result is below it. */
static void fl_inverse_begin(fl_inverse_number *ret, const uint64_t a[4],
			     const fl_inverse_modulus *modulus)
{
	ret->v[0] = (int64_t)(a[0] & FL_INVERSE_MASK);
	ret->v[1] = (int64_t)((a[0] >> 60 | a[1] << 4) & FL_INVERSE_MASK);
	ret->v[2] = (int64_t)((a[1] >> 56 | a[2] << 8) & FL_INVERSE_MASK);
	ret->v[3] = (int64_t)((a[2] >> 52 | a[3] << 12) & FL_INVERSE_MASK);
	ret->v[4] = (int64_t)(a[3] >> 48);
	/* modulus - a, a - modulus, and that plus the modulus if it is negative */
	fl_inverse_change(ret, modulus, ~(uint64_t)0, ~(uint64_t)0);
	fl_inverse_change(ret, modulus, ~(uint64_t)0, 0);
	fl_inverse_change(ret, modulus, 0, fl_inverse_sign(ret->v[4]));
}

/* d a is 1 or -1, as f is; d is above -2 * modulus. */
static void fl_inverse_end(uint64_t r[4], fl_inverse_number *d, const fl_inverse_number *f,
			   const fl_inverse_modulus *modulus)
{
	fl_inverse_change(d, modulus, 0, fl_inverse_sign(d->v[4]));
	fl_inverse_change(d, modulus, fl_inverse_sign(f->v[4]), 0);
	fl_inverse_change(d, modulus, 0, fl_inverse_sign(d->v[4]));
	r[0] = (uint64_t)d->v[0] | (uint64_t)d->v[1] << 60;
	r[1] = (uint64_t)d->v[1] >> 4 | (uint64_t)d->v[2] << 56;
	r[2] = (uint64_t)d->v[2] >> 8 | (uint64_t)d->v[3] << 52;
	r[3] = (uint64_t)d->v[3] >> 12 | (uint64_t)d->v[4] << 48;
}

/* r = 1 / a, below the modulus; 0 of 0. a: below twice the modulus. */
static void fl_inverse(uint64_t r[4], const uint64_t a[4], const fl_inverse_modulus *modulus)
{
	struct {
		fl_inverse_number d, e, f, g;
		fl_inverse_matrix m;
	} s = {.e = {{1}}, .f = modulus->number};
	int64_t past = -1;
	int i;

	fl_inverse_begin(&s.g, a, modulus);
	for (i = 0; i < FL_INVERSE_ROUNDS; i++) {
		past = fl_inverse_steps(past, (uint64_t)s.f.v[0], (uint64_t)s.g.v[0], &s.m);
		fl_inverse_move_de(&s.d, &s.e, &s.m, modulus);
		fl_inverse_move_fg(&s.f, &s.g, &s.m);
	}
	fl_inverse_end(r, &s.d, &s.f, modulus);
	wc_ForceZero(&s, sizeof(s));
}
