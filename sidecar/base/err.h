/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_ERR_H
#define FL_BASE_ERR_H
/* err - the one error regime of the project.
 *
 * A function that can fail returns int: 0, or a negative enum fl_code. It is marked FL_MUST_USE and
 * takes `struct fl_err *err` last (NULL is allowed); on failure it fills err and touches no other
 * out-parameter. Text is one sentence without a final full stop that names the place and, where
 * there is one, the remedy. Callers add context while unwinding with fl_err_prefix(); the function
 * that decides what to do logs it, once. No code branches on the text.
 *
 * Thread: any; a struct fl_err belongs to one caller. Owns nothing: plain storage. */
#include <stddef.h>

#define FL_MUST_USE __attribute__((warn_unused_result))
#define FL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* The class decides what happens: retry, end the connection, or refuse to start. */
#define FL_CODES(X)                                                                                \
	X(IO)      /* the operating system refused: sys holds errno */                             \
	X(PEER)    /* the other end broke a protocol */                                            \
	X(DENIED)  /* verification or policy said no */                                            \
	X(INVALID) /* a file, a setting or an argument is wrong */                                 \
	X(LIMIT)   /* a stated bound was reached */                                                \
	X(NOMEM)   /* allocation failed */                                                         \
	X(BUG)     /* an invariant is violated */

enum fl_code_ordinal {
#define FL_CODE_ORDINAL(name) FL_ORDINAL_##name,
	FL_CODES(FL_CODE_ORDINAL)
#undef FL_CODE_ORDINAL
};

enum fl_code {
	FL_OK = 0,
#define FL_CODE_ENUM(name) FL_ERR_##name = -1 - FL_ORDINAL_##name,
	FL_CODES(FL_CODE_ENUM)
#undef FL_CODE_ENUM
};

struct fl_err {
	enum fl_code code;
	int sys;        /* errno (positive) if code is FL_ERR_IO, otherwise 0 */
	char text[512]; /* bounded; a longer sentence ends in "..." */
};

/* Room for two such sentences and some words around them, as in why something is not ready. */
#define FL_ERR_TEXTS 1280

/* Fills err (may be NULL) and returns code, so that `return fl_err_set(err, ...)` is the idiom. */
int fl_err_set(struct fl_err *err, enum fl_code code, const char *fmt, ...) FL_PRINTF(3, 4);

/* As fl_err_set(FL_ERR_IO) with ": <strerror(sys)>" appended. sys: errno or a negated uv error. */
int fl_err_sys(struct fl_err *err, int sys, const char *fmt, ...) FL_PRINTF(3, 4);

/* Puts "<formatted>: " before the text. Returns err's code (FL_ERR_BUG when err is NULL). */
int fl_err_prefix(struct fl_err *err, const char *fmt, ...) FL_PRINTF(2, 3);

/* Security and memory invariants: checked in every build; logs file and line, and aborts. */
#define FL_REQUIRE(cond) ((cond) ? (void)0 : fl_require_failed(#cond, __FILE__, __LINE__))
_Noreturn void fl_require_failed(const char *cond, const char *file, int line);
/* Memory for count items of that size is not to be had, and nothing sensible can be done without: logs it, and aborts. */
_Noreturn void fl_out_of_memory(size_t count, size_t size);

#endif
