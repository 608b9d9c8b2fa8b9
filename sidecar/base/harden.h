/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_HARDEN_H
#define FL_BASE_HARDEN_H
/* harden - drops what a process with a private key does not need, and protects the key's memory. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* No core dumps, no tracing by other processes of our user (an app in the same process
 * namespace), no new privileges. Main thread, before anything else. Best effort: each is an additional defence. */
void fl_harden_process(void);

/* Occupies those of the descriptors 0 to 2 that the process was started without: otherwise the next socket would become stdout or
 * stderr, and its peer would get our lines. Reading and writing there fail as before. Before anything is opened. False: it is not
 * possible, so end; there may be nobody to tell. */
bool fl_harden_descriptors(void) FL_MUST_USE;

/* From now on the kernel has no io_uring for this process: a ring makes system calls that no filter sees, and submitting them is a
 * call that the sandbox forbids. libuv 1.49 and later makes a ring with each loop, whatever UV_USE_IO_URING says, and does without
 * where it cannot. After fl_harden_process(), before the first loop, and only if there is to be a sandbox. Best effort: where there are
 * no filters, there is none. */
void fl_harden_against_rings(void);

/* Gives up every capability except those in keep (a bit for each, FL_CAPABILITY()) in all five sets, so that root is an
 * ordinary user. executes: programs that it starts keep those in keep; otherwise they have none. It applies to this thread and
 * to threads that it creates later: call it before there are others. It grants nothing. Errors: FL_ERR_IO. */
#define FL_CAPABILITY(number) (UINT64_C(1) << (number))
int fl_harden_capabilities(uint64_t keep, bool executes, struct fl_err *err) FL_MUST_USE;

/* Ignores the signals that end a process by default although they are not sent for that purpose: SIGHUP, SIGUSR1, SIGPIPE and
 * similar ones. Signals that are meant to end a process, and those of defects, stay as they are. Main thread, at the start of a
 * long-running process. */
void fl_harden_signals(void);

/* Keeps the pages of a secret out of swap and of core dumps as long as they are mapped; this is never undone, because the heap
 * reuses them. False: the system does not allow it (RLIMIT_MEMLOCK), and the secret may be swapped. Any thread. */
bool fl_harden_memory(const void *secret, size_t len);

#endif
