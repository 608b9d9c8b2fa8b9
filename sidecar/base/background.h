/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_BACKGROUND_H
#define FL_BASE_BACKGROUND_H
/* background - starts this program so that its caller goes on when it is ready: the process divides, one waits, and the other one
 * is the program, a child of process 1 from the beginning: a service manager follows no other. Thread: the only one there is yet;
 * fl_background_release(): that of the loop.
 *
 * Whoever ends the one that waits, because it takes too long, ends both. */
#include "base/err.h"

struct fl_background {
	int fd; /* -1: nobody waits */
};

/* In the process that is to go on, *ret_status is -1; background is its, and nothing needs to be freed. In the other one this
 * returns at the end, with the exit status: 0, because fl_background_release() was called, or EXIT_FAILURE, because the
 * program has ended before. Errors: FL_ERR_IO. */
int fl_background_divide(struct fl_background *background, int *ret_status,
			 struct fl_err *err) FL_MUST_USE;

/* The one that waits may end. Does nothing if nobody waits. */
void fl_background_release(struct fl_background *background);

#endif
