/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_SANDBOX_TRAP_H
#define FL_BASE_SANDBOX_TRAP_H
/* sandbox_trap - the end of a process that made a system call which its sandbox does not let through: one line in the log that
 * names the call, then death by SIGSYS. Where signals are blocked (inside pthread_create(), say) the kernel ends the process
 * without the line. */
#include "base/log.h"

/* Handles SIGSYS from now on. log: where and in which form the line is written; its program's name is
 * borrowed for good. names: of system calls by number, each with a NUL at its end; count of them; borrowed for good. Main
 * thread. */
void fl_sandbox_trap(const struct fl_log *log, const char *names, unsigned count);

#endif
