/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_CHILD_H
#define FL_AGENT_CAPTURE_CHILD_H
/* child - runs another program to its end: no shell, no environment, no descriptors except 0 to 2.
 *
 * Its input is complete before it starts, so it never reads half of it if we are killed. The kernel enforces its limits,
 * and ends it when we end. Thread: the only one of the process. Blocks, so it must not be called on a loop. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/text.h"

struct fl_child_task {
	const char *const *argv; /* [0] is its absolute path; ends with NULL */
	const char *input;       /* for its stdin; NULL: empty */
	size_t output_max;       /* bytes that it may write to stdout and to stderr, each */
	unsigned seconds_max;    /* time that it may take */
};

struct fl_child_end {
	int code; /* its exit code; 127: it could not be started, and errors says why */
	int signal; /* 0, or the signal that ended it: SIGALRM, out of time; SIGXFSZ, too much output */
	struct fl_text out, errors; /* owned: what it wrote; data is never NULL */
};

/* Runs it and waits. After 0 ret is filled, even if the program failed; release it with fl_child_end_done(). Errors:
 * FL_ERR_IO, no process could be created. */
int fl_child_run(const struct fl_child_task *task, struct fl_child_end *ret,
		 struct fl_err *err) FL_MUST_USE;
void fl_child_end_done(struct fl_child_end *end);

#endif
