/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_HARDEN_H
#define FL_BASE_HARDEN_H
/* harden - what a process that holds a private key gives up at its start, and how the key's own memory is kept. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Before anything else, main thread: no core dumps, no tracing by others of our user (an app in the same process
 * namespace), no new privileges. Best effort: each of these is an extra wall, not the only one. */
void fl_harden_process(void);

/* Gives up every capability but those in keep (a bit for each, FL_CAPABILITY()), from all five sets, so that root is one more
 * user. executes: a program that it starts may have those in keep; else nothing that it starts has any. Of this thread and of
 * those that it makes from then on: before there are others. What we were not given stays so. Errors: FL_ERR_IO. */
#define FL_CAPABILITY(number) (UINT64_C(1) << (number))
int fl_harden_capabilities(uint64_t keep, bool executes, struct fl_err *err) FL_MUST_USE;

/* Ignores the signals that would end a process by default and that nobody sends to end one: SIGHUP, SIGUSR1, SIGPIPE and
 * the like. Those that do mean the end stay as they are, and so do those of defects. Main thread, at the start of a
 * process that stays. */
void fl_harden_signals(void);

/* Keeps the pages that hold a secret out of swap and of core dumps, for as long as they are mapped: the heap reuses them, so
 * they are not given back. False: the system does not allow it (RLIMIT_MEMLOCK); the secret may then be swapped. Any thread. */
bool fl_harden_memory(const void *secret, size_t len);

#endif
