/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_PROOF_H
#define FL_TESTS_PROOF_H
/* proof - what the harnesses of tests/proof share. CBMC follows every path of a harness for every value of what is not
 * determined; tests/proof/run has the bounds. A harness includes the C file that it is about, so that its static functions can
 * be called as well. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"

/* Without a body: any value. */
_Bool nondet_bool(void);
unsigned char nondet_uint8_t(void);
unsigned short nondet_uint16_t(void);
unsigned long nondet_size_t(void);

#define ASSUME(cond) __CPROVER_assume(cond)
#define PROVE(cond) __CPROVER_assert(cond, #cond)

/* In place of base/err.c: sentences are made by libc, and not what is proven here. */
int fl_err_set(struct fl_err *err, enum fl_code code, const char *fmt, ...)
{
	(void)fmt;
	if (err != NULL) {
		err->code = code;
	}
	return code;
}

/* CBMC has no model of its own for this one. */
void *memchr(const void *data, int byte, size_t len)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len; i++) {
		if (at[i] == (uint8_t)byte) {
			return (void *)(at + i);
		}
	}
	return NULL;
}

void fl_require_failed(const char *cond, const char *file, int line)
{
	(void)cond;
	(void)file;
	(void)line;
	__CPROVER_assert(false, "FL_REQUIRE holds");
	__CPROVER_assume(false);
}

#endif
