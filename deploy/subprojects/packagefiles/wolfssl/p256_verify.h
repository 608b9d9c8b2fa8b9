/* SPDX-License-Identifier: GPL-3.0-or-later */
/* P-256: u1 G + u2 Q, for the verification of signatures with a public key Q that was seen before.
 *
 * Included by sp_x86_64.c (mend.py) where its functions for CPUs with AVX2, BMI2 and ADX are known. wolfSSL computes the two
 * products one after the other, that of Q with a table of 64 points: 43 doublings, 43 additions. Here a table of 4 x 64 points
 * makes do with 9 and 37, both products are added up in one point, and making the table takes half the time.
 *
 * Nothing here takes the same time for all inputs: signatures and public keys are no secrets. Products with a secret scalar
 * never come here, and use no table of a point (mend.py).
 *
 * The table. A scalar that is odd is a sum of 259 digits that are 1 or -1: digit i is 2 b(i) - 1, where b is scalar / 2 with bit
 * 258 set. (One that is even is made odd by adding the group's order.) Digits 37 apart form a column of 7, with a point for each
 * of the 64 pairs of columns that differ in sign only. Columns that are 10 apart are looked up in tables of their own, so that
 * there are 9 doublings in place of 36: table[j][index] = 2^(10 j) (2^(37 * 6) +- 2^(37 * 5) Q ... +- Q), where bit i of index set
 * means plus. (D. Hankerson, A. Menezes, S. Vanstone: Guide to Elliptic Curve Cryptography, section 3.3.2, fixed-base comb;
 * M. Hamburg: Fast and compact elliptic-curve cryptography, section 3.3, digits with a sign.)
 *
 * No sum of different rows of a table is a multiple of the order, so making it meets none of the special cases of
 * addition. All the same, each addition looks for them: what signatures say can lead there. */

#define FL_TEETH 7
#define FL_COLUMNS 37
#define FL_TABLES 4
#define FL_SPAN 10 /* columns of one table; the last has the 7 that remain */
#define FL_POINTS (1 << (FL_TEETH - 1))
#define FL_KEYS FP_ENTRIES

/* A public key with its table. */
typedef struct fl_256_key {
	sp_digit x[4];
	sp_digit y[4];
	sp_table_entry_256 *table; /* of FL_TABLES * FL_POINTS; NULL: seen once, or never */
	word32 uses; /* 0: empty. Halved whenever another key takes a place, so that keys out of use make room */
} fl_256_key;

static THREAD_LS_T fl_256_key fl_256_keys[FL_KEYS];

/* --- numbers modulo p256_mod, Montgomery form, below 2^256 --- */

#define FL_MUL(r, a, b) sp_256_mont_mul_avx2_4(r, a, b, p256_mod, p256_mp_mod)
#define FL_SQR(r, a) sp_256_mont_sqr_avx2_4(r, a, p256_mod, p256_mp_mod)
#define FL_SUB(r, a, b) sp_256_mont_sub_avx2_4(r, a, b, p256_mod)

/* Below p256_mod. */
static void fl_256_normalize(sp_digit *a)
{
	if (sp_256_cmp_4(a, p256_mod) >= 0)
		sp_256_sub_4(a, a, p256_mod);
}

static int fl_256_is_zero(const sp_digit *a)
{
	return sp_256_iszero_4(a) || sp_256_cmp_equal_4(a, p256_mod);
}

/* --- points --- */

/* p += (x, y), which is on the curve, in affine form. t: of 10 * 4 digits. */
static void fl_256_add(sp_point_256 *p, const sp_digit *x, const sp_digit *y, sp_digit *t)
{
	sp_digit *h = t;
	sp_digit *r = t + 2 * 4;
	sp_digit *h2 = t + 4 * 4;
	sp_digit *h3 = t + 6 * 4;
	sp_digit *v = t + 8 * 4;

	if (p->infinity) {
		XMEMCPY(p->x, x, 4 * sizeof(sp_digit));
		XMEMCPY(p->y, y, 4 * sizeof(sp_digit));
		XMEMCPY(p->z, p256_norm_mod, sizeof(p256_norm_mod));
		p->infinity = 0;
		return;
	}
	FL_SQR(v, p->z);
	FL_MUL(h, v, x);
	FL_MUL(v, v, p->z);
	FL_MUL(r, v, y);
	FL_SUB(h, h, p->x);
	FL_SUB(r, r, p->y);
	if (fl_256_is_zero(h)) {
		if (fl_256_is_zero(r))
			sp_256_proj_point_dbl_avx2_4(p, p, t);
		else
			p->infinity = 1;
		return;
	}
	FL_MUL(p->z, p->z, h);
	FL_SQR(h2, h);
	FL_MUL(h3, h2, h);
	FL_MUL(v, p->x, h2);
	FL_SQR(h, r);
	FL_SUB(h, h, h3);
	FL_MUL(h3, h3, p->y);
	/* x = h - 2 v, v -= x */
	sp_256_mont_rsb_sub_dbl_avx2_4(p->x, h, v, p256_mod);
	FL_MUL(v, v, r);
	FL_SUB(p->y, v, h3);
}

/* The same, or -= if so. y: below p256_mod, and not 0. */
static void fl_256_add_signed(sp_point_256 *p, const sp_table_entry_256 *q, int negative,
			      sp_digit *t)
{
	sp_digit y[4], mask = (sp_digit)0 - (sp_digit)(negative != 0);
	int i;

	sp_256_sub_4(y, p256_mod, q->y);
	for (i = 0; i < 4; i++)
		y[i] = (y[i] & mask) | (q->y[i] & ~mask);
	fl_256_add(p, q->x, y, t);
}

/* To affine form, all with one inversion. z: the third coordinates, none of them 0; spoilt. done: room for as many. */
static void fl_256_to_affine(sp_table_entry_256 *points, sp_digit (*z)[4], sp_digit (*done)[4],
			     int count, sp_digit *t)
{
	sp_digit *inverse = t;
	sp_digit *one = t + 2 * 4;
	sp_digit *square = t + 4 * 4;
	int i;

	XMEMCPY(done[0], z[0], sizeof(done[0]));
	for (i = 1; i < count; i++)
		FL_MUL(done[i], done[i - 1], z[i]);
	sp_256_mont_inv_avx2_4(inverse, done[count - 1], t + 6 * 4);
	for (i = count - 1; i >= 0; i--) {
		if (i > 0) {
			FL_MUL(one, inverse, done[i - 1]);
			FL_MUL(inverse, inverse, z[i]);
		} else {
			XMEMCPY(one, inverse, sizeof(done[0]));
		}
		FL_SQR(square, one);
		FL_MUL(points[i].x, points[i].x, square);
		FL_MUL(square, square, one);
		FL_MUL(points[i].y, points[i].y, square);
		fl_256_normalize(points[i].x);
		fl_256_normalize(points[i].y);
	}
}

static void fl_256_put(sp_table_entry_256 *to, sp_digit *z, const sp_point_256 *p)
{
	XMEMCPY(to->x, p->x, sizeof(to->x));
	XMEMCPY(to->y, p->y, sizeof(to->y));
	XMEMCPY(z, p->z, sizeof(to->x));
}

/* --- the table of a key --- */

/* teeth[j][i]: 2^(37 i + 10 j) Q, and its double. */
typedef struct fl_256_tooth {
	sp_table_entry_256 once;
	sp_table_entry_256 twice;
} fl_256_tooth;

static void fl_256_make_teeth(const sp_point_256 *q, fl_256_tooth teeth[FL_TABLES][FL_TEETH],
			      sp_digit *t)
{
	sp_table_entry_256 points[2 * FL_TABLES * FL_TEETH];
	sp_digit z[2 * FL_TABLES * FL_TEETH][4], done[2 * FL_TABLES * FL_TEETH][4];
	sp_point_256 p = *q;
	int i, j, at = 0, n = 0;

	for (i = 0; i < FL_TEETH; i++) {
		for (j = 0; j < FL_TABLES; j++) {
			for (; at < FL_COLUMNS * i + FL_SPAN * j; at++)
				sp_256_proj_point_dbl_avx2_4(&p, &p, t);
			fl_256_put(&points[n], z[n], &p);
			sp_256_proj_point_dbl_avx2_4(&p, &p, t);
			fl_256_put(&points[n + 1], z[n + 1], &p);
			at++;
			n += 2;
		}
	}
	fl_256_to_affine(points, z, done, n, t);
	for (i = 0, n = 0; i < FL_TEETH; i++) {
		for (j = 0; j < FL_TABLES; j++, n += 2) {
			teeth[j][i].once = points[n];
			teeth[j][i].twice = points[n + 1];
		}
	}
}

/* teeth: of this table. */
static void fl_256_make_table(sp_table_entry_256 table[FL_POINTS],
			      const fl_256_tooth teeth[FL_TEETH], sp_digit *t)
{
	sp_digit z[FL_POINTS][4], done[FL_POINTS][4];
	sp_point_256 p;
	int i, index;

	p.infinity = 1;
	fl_256_add(&p, teeth[FL_TEETH - 1].once.x, teeth[FL_TEETH - 1].once.y, t);
	for (i = 0; i < FL_TEETH - 1; i++)
		fl_256_add_signed(&p, &teeth[i].once, 1, t);
	fl_256_put(&table[0], z[0], &p);
	for (index = 1; index < FL_POINTS; index++) {
		int lowest = __builtin_ctz((unsigned)index), rest = index & (index - 1);

		XMEMCPY(p.x, table[rest].x, sizeof(table->x));
		XMEMCPY(p.y, table[rest].y, sizeof(table->y));
		XMEMCPY(p.z, z[rest], sizeof(z[rest]));
		p.infinity = 0;
		fl_256_add(&p, teeth[lowest].twice.x, teeth[lowest].twice.y, t);
		fl_256_put(&table[index], z[index], &p);
	}
	fl_256_to_affine(table, z, done, FL_POINTS, t);
}

static sp_table_entry_256 *fl_256_new_table(const sp_point_256 *q, sp_digit *t)
{
	sp_table_entry_256 *table = (sp_table_entry_256 *)XMALLOC(
		FL_TABLES * FL_POINTS * sizeof(sp_table_entry_256), NULL, DYNAMIC_TYPE_ECC);
	fl_256_tooth teeth[FL_TABLES][FL_TEETH];
	sp_point_256 p;
	int j;

	if (table == NULL)
		return NULL;
	(void)sp_256_mod_mul_norm_4(p.x, q->x, p256_mod);
	(void)sp_256_mod_mul_norm_4(p.y, q->y, p256_mod);
	XMEMCPY(p.z, p256_norm_mod, sizeof(p256_norm_mod));
	p.infinity = 0;
	fl_256_make_teeth(&p, teeth, t);
	for (j = 0; j < FL_TABLES; j++)
		fl_256_make_table(table + j * FL_POINTS, teeth[j], t);
	return table;
}

/* --- keys seen --- */

static fl_256_key *fl_256_find_key(const sp_point_256 *q)
{
	int i;

	for (i = 0; i < FL_KEYS; i++) {
		fl_256_key *key = &fl_256_keys[i];

		if (key->uses > 0 && sp_256_cmp_equal_4(key->x, q->x) &&
		    sp_256_cmp_equal_4(key->y, q->y))
			return key;
	}
	return NULL;
}

static void fl_256_note_key(const sp_point_256 *q)
{
	fl_256_key *least = &fl_256_keys[0];
	int i;

	for (i = 1; i < FL_KEYS; i++) {
		if (fl_256_keys[i].uses < least->uses)
			least = &fl_256_keys[i];
	}
	for (i = 0; i < FL_KEYS && least->uses > 0; i++)
		fl_256_keys[i].uses -= fl_256_keys[i].uses / 2;
	XFREE(least->table, NULL, DYNAMIC_TYPE_ECC);
	XMEMCPY(least->x, q->x, sizeof(least->x));
	XMEMCPY(least->y, q->y, sizeof(least->y));
	least->table = NULL;
	least->uses = 1;
}

/* The table of a key that was seen before; NULL: it was not, or there is no memory. */
static const sp_table_entry_256 *fl_256_table_of(const sp_point_256 *q, sp_digit *t)
{
	fl_256_key *key = fl_256_find_key(q);

	if (key == NULL) {
		fl_256_note_key(q);
		return NULL;
	}
	key->uses += key->uses < 0x7fffffff;
	if (key->table == NULL)
		key->table = fl_256_new_table(q, t);
	return key->table;
}

static void fl_256_forget_keys(void)
{
	int i;

	for (i = 0; i < FL_KEYS; i++)
		XFREE(fl_256_keys[i].table, NULL, DYNAMIC_TYPE_ECC);
	XMEMSET(fl_256_keys, 0, sizeof(fl_256_keys));
}

/* --- the products --- */

static int fl_256_bit(const sp_digit *a, int at)
{
	return (int)(a[at / 64] >> (at % 64)) & 1;
}

/* p += k Q, where p is infinity. */
static void fl_256_add_key_product(sp_point_256 *p, const sp_table_entry_256 *table,
				   const sp_digit *k, sp_digit *t)
{
	sp_digit odd[5], b[5];
	int i, j, at;

	XMEMCPY(odd, k, 4 * sizeof(sp_digit));
	odd[4] = (k[0] & 1) == 0 ? sp_256_add_4(odd, odd, p256_order) : 0;
	for (i = 0; i < 4; i++)
		b[i] = odd[i] >> 1 | odd[i + 1] << 63;
	b[4] = (sp_digit)1 << (258 - 256);
	for (at = FL_SPAN - 1; at >= 0; at--) {
		if (at < FL_SPAN - 1)
			sp_256_proj_point_dbl_avx2_4(p, p, t);
		for (j = 0; j < FL_TABLES && FL_SPAN * j + at < FL_COLUMNS; j++) {
			int column = FL_SPAN * j + at, index = 0;
			int negative = !fl_256_bit(b, column + FL_COLUMNS * (FL_TEETH - 1));

			for (i = 0; i < FL_TEETH - 1; i++)
				index |= (fl_256_bit(b, column + FL_COLUMNS * i) ^ negative) << i;
			fl_256_add_signed(p, &table[j * FL_POINTS + index], negative, t);
		}
	}
}

/* p += k G. */
static void fl_256_add_base_product(sp_point_256 *p, const sp_digit *k, sp_digit *t)
{
	ecc_recode_256 v[37];
	int i;

	sp_256_ecc_recode_7_4(k, v);
	for (i = 0; i < 37; i++) {
		if (v[i].i != 0)
			fl_256_add_signed(p, &p256_table[i * 65 + v[i].i], v[i].neg, t);
	}
}

/* r = u1 G + u2 Q, and 1; or 0: the key was not seen before, or does not come as affine point. t: of 2 * 4 * 5 digits. */
static int fl_256_verify_point(sp_point_256 *r, const sp_point_256 *q, const sp_digit *u1,
			       const sp_digit *u2, sp_digit *t)
{
	static const sp_digit one[4] = {1, 0, 0, 0};
	const sp_table_entry_256 *table;

	if (!sp_256_cmp_equal_4(q->z, one) || (table = fl_256_table_of(q, t)) == NULL)
		return 0;
	r->infinity = 1;
	fl_256_add_key_product(r, table, u2, t);
	fl_256_add_base_product(r, u1, t);
	if (r->infinity) {
		/* What no x of a signature equals: x / z^2 without a z. */
		XMEMCPY(r->x, p256_norm_mod, sizeof(p256_norm_mod));
		XMEMSET(r->z, 0, sizeof(p256_norm_mod));
	}
	fl_256_normalize(r->x);
	return 1;
}
