/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_FAULTS_H
#define FL_TEST_FAULTS_H
/* faults - repeats one scenario, each time with a different call failing.
 *
 *   struct faults faults = {.kinds = FAULTS_MEMORY};
 *
 *   while (faults_next(&faults)) {
 *           ... set up: nothing fails ...
 *           faults_on();      what this thread calls from here on counts
 *           ... the code under test ...
 *           faults_off();
 *           ... it has ended well, or as it should have ...
 *   }
 *
 * The first round only counts. Then comes one round for each call that was counted, in which that one fails. A test that fails
 * says on stderr which call that was; a breakpoint on faults_struck() shows where. FAULTS_LEAKS=1 in the environment
 * looks for leaks after each round (under ASan, slowly) and says the same.
 *
 * The linker puts the functions of faults.c in front of libc's and libuv's (tests/meson.build, `faults`), for all that is
 * linked statically: our own code, wolfSSL and the test. What libuv and libc call inside does not count; libuv ends the process
 * when it has no memory.
 * Whatever runs between faults_off() and faults_on(), or on another thread, is left alone. */
#include <stdbool.h>

enum faults_kinds {
	FAULTS_MEMORY = 1, /* malloc, calloc, realloc, aligned_alloc, strdup, vasprintf */
	/* Sockets, epoll, files, randomness: with an error that each of them may have. */
	FAULTS_SYSTEM = 2,
	FAULTS_UV = 4,     /* uv_..._init, _start and uv_thread_create */
	FAULTS_SHORT = 8,  /* nothing fails: a send() or write() accepts one byte */
	FAULTS_AGAIN = 16, /* a send() or write() accepts nothing: EAGAIN */
};

struct faults {
	/* The test sets these three. */
	unsigned kinds;   /* enum faults_kinds, as bits */
	const char *only; /* the name of the one call that counts; NULL: all of these kinds */
	int error;        /* errno in place of the one that the call has by default; 0: that one */

	unsigned round;   /* 0: nothing fails */
	unsigned counted; /* calls of this round */
	unsigned most;    /* calls of the round that had most */
	const char *call; /* that has failed in this round; NULL: none has */
};

/* Begins the next round; false: each call has failed once. Between faults_off() and faults_on(). */
bool faults_next(struct faults *faults);
/* Just one round, in which the call of that number fails, from 1 on; until faults_end(). */
void faults_fail(struct faults *faults, unsigned number);
void faults_end(void); /* before the last round is over: nothing fails any more */
void faults_on(void);  /* counts calls for the faults begun last; none: does nothing */
void faults_off(void); /* may be called again */

/* From now on getsockopt() gives this value (copied) for that option, on all sockets and threads; NULL: the kernel's again. */
void faults_pretend_option(int level, int option, const void *value, unsigned len);

/* "call 7, malloc()": which one has failed in this round; "no call" before one has. Until the next call. */
const char *faults_where(void);

/* Does nothing: for a breakpoint. */
void faults_struck(const char *call, unsigned number);

#endif
