/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_CHILD_H
#define FL_AGENT_CAPTURE_CHILD_H
/* child - runs another program to its end: no shell, no environment, no descriptor but 0 to 2.
 *
 * Its input is whole before it begins, so a death of ours can never cut it short. The kernel keeps it within its
 * bounds, and ends it with us. Thread: one, of a process that has no others. It waits, so not on a loop. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/text.h"

struct fl_child_task {
	const char *const *argv; /* [0] is its path, absolute; NULL ends it */
	const char *input;       /* NULL: nothing */
	size_t output_max;       /* bytes that it may write to stdout, and to stderr */
	unsigned seconds_max;    /* time that it may take */
};

struct fl_child_end {
	int code;   /* what it returned; 127: it could not be begun, and errors says why */
	int signal; /* 0, or what ended it: SIGALRM and SIGXFSZ stand for the bounds */
	struct fl_text out, errors; /* owned: what it wrote; data is never NULL */
};

/* Fills ret, also when the program fails; give it to fl_child_end_done(). FL_ERR_IO: no process could be made. */
int fl_child_run(const struct fl_child_task *task, struct fl_child_end *ret,
		 struct fl_err *err) FL_MUST_USE;
void fl_child_end_done(struct fl_child_end *end);

#endif
