/* SPDX-License-Identifier: GPL-3.0-or-later */
/* P-256: 1 / a modulo the group's order, in the same time for any a. ECDSA has one of a secret for each signature, and one for each
 * verification.
 *
 * Included by sp_x86_64.c (mend.py). wolfSSL raises secrets to the power of order - 2, and inverts what is public by a binary GCD,
 * whose branches no CPU predicts. Here both are division steps (D. J. Bernstein, B.-Y. Yang: Fast constant-time gcd computation and
 * modular inversion, 2019), in the variant that begins at delta = 1/2, of which 590 suffice for numbers of 256 bits (P. Wuille,
 * doc/safegcd_implementation.md of libsecp256k1, where the bounds below are proven, too). More change nothing; here are 620.
 *
 * A division step makes (delta, f, g), where f is odd, to
 *     (1 - delta, g, (g - f) / 2)    if g is odd and delta > 0,
 *     (1 + delta, f, (g + f) / 2)    if g is odd and it is not,
 *     (1 + delta, f, g / 2)          if g is even.
 * They begin with the order and a, and end with 1 or -1, and 0. 62 of them depend on delta and on the lowest 62 bits of f and g only.
 * So they are made with these, which gives a matrix, and with it f and g follow, and d and e, for which f = d a and g = e a modulo
 * the order. */

/* The sum of v[i] 2^(62 i). v[0] to v[3] have 62 bits, v[4] has the sign. */
typedef struct fl_inverse_number {
	int64_t v[5];
} fl_inverse_number;

/* What 62 steps do: f becomes (u f + v g) / 2^62, and g becomes (q f + r g) / 2^62. |u| + |v| and |q| + |r| are at most 2^62. */
typedef struct fl_inverse_matrix {
	int64_t u, v, q, r;
} fl_inverse_matrix;

#define FL_INVERSE_STEPS 62
#define FL_INVERSE_ROUNDS 10
#define FL_INVERSE_MASK ((UINT64_C(1) << 62) - 1)

static const fl_inverse_number fl_inverse_order = {
	{0x33b9cac2fc632551, 0x339beab69c5e7a13, 0x3ffffffffffffffb, 0x3fffffc00000003f, 0xff}};
/* 1 / order modulo 2^62. */
#define FL_INVERSE_OF_ORDER UINT64_C(0x332e375511ff43b1)

/* The compiler is not to know that a mask is 0 or all ones: it might branch. */
static uint64_t fl_inverse_mask(uint64_t mask)
{
	__asm__("" : "+r"(mask));
	return mask;
}

/* All ones if a is negative, or else 0. */
static uint64_t fl_inverse_sign(int64_t a)
{
	return fl_inverse_mask((uint64_t)(a >> 63));
}

/* past: -1/2 - delta, a whole number below 0 where delta is above. Returns the new one. f, g: their lowest 62 bits. */
static int64_t fl_inverse_steps(int64_t past, uint64_t f, uint64_t g, fl_inverse_matrix *ret)
{
	uint64_t u = 1, v = 0, q = 0, r = 1;
	int i;

	for (i = 0; i < FL_INVERSE_STEPS; i++) {
		uint64_t odd = fl_inverse_mask((uint64_t)0 - (g & 1)), swap = fl_inverse_sign(past);

		g += ((f ^ swap) - swap) & odd;
		q += ((u ^ swap) - swap) & odd;
		r += ((v ^ swap) - swap) & odd;
		/* Where g has become g - f, this makes f what g was. */
		swap &= odd;
		f += g & swap;
		u += q & swap;
		v += r & swap;
		past = (int64_t)((uint64_t)past ^ swap) - 1;
		g >>= 1;
		u <<= 1;
		v <<= 1;
	}
	*ret = (fl_inverse_matrix){(int64_t)u, (int64_t)v, (int64_t)q, (int64_t)r};
	return past;
}

static void fl_inverse_move_fg(fl_inverse_number *f, fl_inverse_number *g,
			       const fl_inverse_matrix *m)
{
	__int128 sum_f = (__int128)m->u * f->v[0] + (__int128)m->v * g->v[0];
	__int128 sum_g = (__int128)m->q * f->v[0] + (__int128)m->r * g->v[0];
	int i;

	for (i = 1; i < 5; i++) {
		sum_f = (sum_f >> 62) + (__int128)m->u * f->v[i] + (__int128)m->v * g->v[i];
		sum_g = (sum_g >> 62) + (__int128)m->q * f->v[i] + (__int128)m->r * g->v[i];
		f->v[i - 1] = (int64_t)((uint64_t)sum_f & FL_INVERSE_MASK);
		g->v[i - 1] = (int64_t)((uint64_t)sum_g & FL_INVERSE_MASK);
	}
	f->v[4] = (int64_t)(sum_f >> 62);
	g->v[4] = (int64_t)(sum_g >> 62);
}

/* How often the order is added to a d + b e: so often that the sum is divisible by 2^62, and once more for each of the two that is
 * negative. Then both stay above -2 * order and below the order. low: of a d + b e. */
static int64_t fl_inverse_times(int64_t a, int64_t b, const fl_inverse_number *d,
				const fl_inverse_number *e, uint64_t low)
{
	uint64_t times =
		((uint64_t)a & fl_inverse_sign(d->v[4])) + ((uint64_t)b & fl_inverse_sign(e->v[4]));

	return (int64_t)(times - ((FL_INVERSE_OF_ORDER * low + times) & FL_INVERSE_MASK));
}

static void fl_inverse_move_de(fl_inverse_number *d, fl_inverse_number *e,
			       const fl_inverse_matrix *m)
{
	__int128 sum_d = (__int128)m->u * d->v[0] + (__int128)m->v * e->v[0];
	__int128 sum_e = (__int128)m->q * d->v[0] + (__int128)m->r * e->v[0];
	int64_t times_d = fl_inverse_times(m->u, m->v, d, e, (uint64_t)sum_d);
	int64_t times_e = fl_inverse_times(m->q, m->r, d, e, (uint64_t)sum_e);
	int i;

	sum_d += (__int128)fl_inverse_order.v[0] * times_d;
	sum_e += (__int128)fl_inverse_order.v[0] * times_e;
	for (i = 1; i < 5; i++) {
		__int128 next_d = (__int128)m->u * d->v[i] + (__int128)m->v * e->v[i];
		__int128 next_e = (__int128)m->q * d->v[i] + (__int128)m->r * e->v[i];

		sum_d = (sum_d >> 62) + next_d + (__int128)fl_inverse_order.v[i] * times_d;
		sum_e = (sum_e >> 62) + next_e + (__int128)fl_inverse_order.v[i] * times_e;
		d->v[i - 1] = (int64_t)((uint64_t)sum_d & FL_INVERSE_MASK);
		e->v[i - 1] = (int64_t)((uint64_t)sum_e & FL_INVERSE_MASK);
	}
	d->v[4] = (int64_t)(sum_d >> 62);
	e->v[4] = (int64_t)(sum_e >> 62);
}

/* d = d or -d, as sign says (0 or all ones), plus the order if add says so. */
static void fl_inverse_change(fl_inverse_number *d, uint64_t sign, uint64_t add)
{
	int64_t sum = 0;
	int i;

	for (i = 0; i < 5; i++) {
		sum = (sum >> 62) + (int64_t)(((uint64_t)d->v[i] ^ sign) - sign) +
		      (int64_t)((uint64_t)fl_inverse_order.v[i] & add);
		d->v[i] = i < 4 ? (int64_t)((uint64_t)sum & FL_INVERSE_MASK) : sum;
	}
}

/* r = 1 / a modulo p256_order; 0 of 0. a: below the order. */
static void fl_256_inverse_order(sp_digit *r, const sp_digit *a)
{
	struct {
		fl_inverse_number d, e, f, g;
		fl_inverse_matrix m;
	} s = {.e = {{1}}, .f = fl_inverse_order};
	int64_t past = -1;
	int i;

	s.g.v[0] = (int64_t)(a[0] & FL_INVERSE_MASK);
	s.g.v[1] = (int64_t)((a[0] >> 62 | a[1] << 2) & FL_INVERSE_MASK);
	s.g.v[2] = (int64_t)((a[1] >> 60 | a[2] << 4) & FL_INVERSE_MASK);
	s.g.v[3] = (int64_t)((a[2] >> 58 | a[3] << 6) & FL_INVERSE_MASK);
	s.g.v[4] = (int64_t)(a[3] >> 56);
	for (i = 0; i < FL_INVERSE_ROUNDS; i++) {
		past = fl_inverse_steps(past, (uint64_t)s.f.v[0], (uint64_t)s.g.v[0], &s.m);
		fl_inverse_move_de(&s.d, &s.e, &s.m);
		fl_inverse_move_fg(&s.f, &s.g, &s.m);
	}
	/* d a is 1 or -1, as f is; d is above -2 * order. */
	fl_inverse_change(&s.d, 0, fl_inverse_sign(s.d.v[4]));
	fl_inverse_change(&s.d, fl_inverse_sign(s.f.v[4]), 0);
	fl_inverse_change(&s.d, 0, fl_inverse_sign(s.d.v[4]));
	r[0] = (sp_digit)s.d.v[0] | (sp_digit)s.d.v[1] << 62;
	r[1] = (sp_digit)s.d.v[1] >> 2 | (sp_digit)s.d.v[2] << 60;
	r[2] = (sp_digit)s.d.v[2] >> 4 | (sp_digit)s.d.v[3] << 58;
	r[3] = (sp_digit)s.d.v[3] >> 6 | (sp_digit)s.d.v[4] << 56;
	wc_ForceZero(&s, sizeof(s));
}

/* r = 1 / a, both in Montgomery form. */
static void fl_256_mont_inverse_order(sp_digit *r, const sp_digit *a)
{
	/* 2^(256 * 3) modulo p256_order */
	static const sp_digit cube[4] = {0xac8ebec90b65a624, 0x111f28ae0c0555c9, 0x2543b9246ba5e93f,
					 0x503a54e76407be65};

	fl_256_inverse_order(r, a);
	sp_256_mont_mul_order_avx2_4(r, r, cube);
}
