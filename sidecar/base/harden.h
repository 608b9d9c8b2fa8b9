/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_HARDEN_H
#define FL_BASE_HARDEN_H
/* harden - what a process that holds a private key gives up at its start, and how the key's own memory is kept. */
#include <stdbool.h>
#include <stddef.h>

/* Before anything else, main thread: no core dumps, no tracing by others of our user (an app in the same process
 * namespace), no new privileges. Best effort: each of these is an extra wall, not the only one. */
void fl_harden_process(void);

/* Keeps the pages that hold a secret out of swap and of core dumps, for as long as they are mapped: the heap reuses them, so
 * they are not given back. False: the system does not allow it (RLIMIT_MEMLOCK); the secret may then be swapped. Any thread. */
bool fl_harden_memory(const void *secret, size_t len);

#endif
