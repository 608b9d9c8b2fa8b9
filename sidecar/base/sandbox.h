/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_SANDBOX_H
#define FL_BASE_SANDBOX_H
/* sandbox - what a program gives up for good once it has opened what it needs: files (Landlock), system calls (seccomp), and
 * making processes (a resource limit). Whoever takes the process over has what is left.
 *
 * Best effort: a kernel or a container that does not offer one of them leaves the others, and `missing` says which and why.
 * Call fl_harden_process() first (no new privileges). Main thread. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/landlock.h"
#include "base/log.h"

enum fl_sandbox_program { FL_SANDBOX_SIDECAR, FL_SANDBOX_AGENT };

struct fl_sandbox {
	bool is_wanted; /* the INI asks for it; the rest is false and 0 until it is in force */
	bool filters_calls;
	unsigned landlock;              /* the version of Landlock in force; 0: none */
	char missing[2 * FL_ERR_TEXTS]; /* what could not be had, and why; "": nothing */
};

/* From here on nothing but what places allow can be opened, made or removed, whatever the file system permits; files that
 * are open stay so. Signals reach this process alone. The agent can no longer use TCP. Unix sockets that have a path are not
 * affected, and abstract ones only if the service manager does not listen on one. A place that cannot be opened is left out.
 * Applies to this thread and those that it creates later. */
void fl_sandbox_enter_files(struct fl_sandbox *sandbox, enum fl_sandbox_program program,
			    const struct fl_place *places, size_t count);

/* From here on only the system calls of sandbox_calls.h can be made, by all threads of the process; any other ends it with a
 * line where log writes (its program's name is borrowed for good) that names the call. Signals: SIGSYS must not be blocked anywhere. */
void fl_sandbox_enter_calls(struct fl_sandbox *sandbox, enum fl_sandbox_program program,
			    const struct fl_log *log);

/* One line about what is in force; a warning if something is missing, or nothing is wanted. */
void fl_sandbox_log(const struct fl_sandbox *sandbox, struct fl_log *log);

#endif
