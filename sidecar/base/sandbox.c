/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/landlock.h"
#include "base/mem.h"
#include "base/sandbox_trap.h"

#include "sandbox_filters.inc" /* made by make_sandbox_filters.c */

/* The runtimes of sanitizers and of gcov read and write files, and trace the process at its end. */
#ifdef FL_SANDBOX_FOR_TESTS
#define IS_FOR_TESTS true
#else
#define IS_FOR_TESTS false
#endif

static void note_missing(struct fl_sandbox *sandbox, const struct fl_err *err)
{
	size_t len = strlen(sandbox->missing);

	(void)snprintf(sandbox->missing + len, sizeof(sandbox->missing) - len, "%s%s",
		       len > 0 ? "; " : "", err->text);
}

/* --- files ---------------------------------------------------------------------------------------- */

static bool manager_is_abstract(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
	const char *name = getenv("NOTIFY_SOCKET");

	return name != NULL && name[0] == '@';
}

void fl_sandbox_enter_files(struct fl_sandbox *sandbox, enum fl_sandbox_program program,
			    const struct fl_place *places, size_t count)
{
	const struct fl_landlock_wish wish = {.no_tcp = program == FL_SANDBOX_AGENT,
					      .keep_abstract = manager_is_abstract(),
					      .keep_files = IS_FOR_TESTS};
	struct fl_err err;

	if (fl_landlock_enter(&wish, places, IS_FOR_TESTS ? 0 : count, &sandbox->landlock, &err) !=
	    FL_OK) {
		note_missing(sandbox, &err);
	}
}

/* --- calls ---------------------------------------------------------------------------------------- */

/* Puts the number of this process where the filter wants it. */
static void name_process(struct sock_filter *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (steps[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && steps[i].k == OWN_PROCESS) {
			steps[i].k = (uint32_t)getpid();
		}
	}
}

/* TSYNC: the threads that run already, too. SPEC_ALLOW: before Linux 5.16 a filter would switch off the processor's speculation past
 * stores, against code of others in this process, which there is none of. */
static int install(const struct sock_filter *steps, size_t count, struct fl_err *err)
{
	struct sock_filter *own = fl_new(count * sizeof(*own));
	const struct sock_fprog program = {.len = (unsigned short)count, .filter = own};
	long rc;

	memcpy(own, steps, count * sizeof(*own));
	name_process(own, count);
	rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
	if (rc > 0) {
		rc = fl_err_set(err, FL_ERR_IO, "seccomp: thread %ld has a filter of its own", rc);
	} else if (rc < 0) {
		rc = errno == ENOSYS || errno == EINVAL
			     ? fl_err_set(err, FL_ERR_IO,
					  "this kernel, or the container, has no seccomp filters")
			     : fl_err_sys(err, errno, "seccomp cannot be used here");
	}
	free(own);
	return (int)rc;
}

void fl_sandbox_enter_calls(struct fl_sandbox *sandbox, enum fl_sandbox_program program,
			    const struct fl_log *log)
{
	const struct rlimit none = {0, 0};
	struct fl_err err;
	int rc;

	if (!IS_FOR_TESTS) {
		(void)setrlimit(RLIMIT_NPROC, &none);
	}
	fl_sandbox_trap(log, call_names, CALL_NAMES);
	rc = program == FL_SANDBOX_SIDECAR
		     ? install(sidecar_filter, FL_COUNT_OF(sidecar_filter), &err)
		     : install(agent_filter, FL_COUNT_OF(agent_filter), &err);
	sandbox->filters_calls = rc == FL_OK;
	if (rc != FL_OK) {
		note_missing(sandbox, &err);
	}
}

/* --- what is in force ------------------------------------------------------------------------------ */

void fl_sandbox_log(const struct fl_sandbox *sandbox, struct fl_log *log)
{
	char landlock[32] = "no Landlock";

	if (!sandbox->is_wanted) {
		fl_log_msg(log, FL_LOG_WARN,
			   "sandbox = off: this process may use every system call and file that "
			   "its user may");
		return;
	}
	if (sandbox->landlock > 0) {
		(void)snprintf(landlock, sizeof(landlock), "Landlock %u", sandbox->landlock);
	}
	fl_log_msg(log, sandbox->missing[0] != '\0' ? FL_LOG_WARN : FL_LOG_INFO,
		   "sandbox: %s, %s%s%s", sandbox->filters_calls ? "seccomp" : "no seccomp",
		   landlock, sandbox->missing[0] != '\0' ? "; " : "", sandbox->missing);
}
