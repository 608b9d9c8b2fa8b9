/* SPDX-License-Identifier: GPL-3.0-or-later */
/* child - three files in memory in place of pipes: neither side waits for the other, and there is no SIGPIPE. */
#include "agent/capture/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8U /* since Linux 6.3; the sysctl vm.memfd_noexec may require it */
#endif

#define FILES 3 /* stdin, stdout, stderr, in this order */

/* --- files ------------------------------------------------------------------------------------ */

static int make_file(void)
{
	int fd = memfd_create("fairlead", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) {
		fd = memfd_create("fairlead", MFD_CLOEXEC);
	}
	if (fd >= 0 && fd < FILES) {
		/* We were started with some of these closed: move the descriptor out of the way of dup2(). */
		int low = fd;

		fd = fcntl(low, F_DUPFD_CLOEXEC, FILES);
		(void)close(low);
	}
	return fd;
}

static void close_files(const int *files)
{
	for (int i = 0; i < FILES; i++) {
		if (files[i] >= 0) {
			(void)close(files[i]);
		}
	}
}

static int open_files(const char *input, int *files, struct fl_err *err)
{
	for (int i = 0; i < FILES; i++) {
		files[i] = make_file();
	}
	if (files[0] < 0 || files[1] < 0 || files[2] < 0 ||
	    !fl_fd_write_all(files[0], input, strlen(input)) || lseek(files[0], 0, SEEK_SET) != 0) {
		return fl_err_sys(err, errno, "cannot make a file in memory");
	}
	return FL_OK;
}

static void read_all(int fd, struct fl_text *ret)
{
	char part[4096];
	off_t at = 0;
	ssize_t len;

	fl_text_put(ret, "", 0);
	while ((len = pread(fd, part, sizeof(part), at)) > 0) {
		fl_text_put(ret, part, (size_t)len);
		at += len;
	}
}

/* --- the process ------------------------------------------------------------------------------ */

/* The other program would inherit ignored and blocked signals. */
static void reset_signals(void)
{
	static const int numbers[] = {SIGALRM, SIGXFSZ, SIGPIPE, SIGCHLD};
	sigset_t none;

	for (size_t i = 0; i < FL_COUNT_OF(numbers); i++) {
		(void)signal(numbers[i], SIG_DFL);
	}
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void become(const struct fl_child_task *task, const int *files, pid_t parent)
{
	const struct rlimit output = {task->output_max, task->output_max};
	char *const no_environment[] = {NULL};
	bool ready;

	reset_signals();
	/* If we die, nobody learns what the program did, and it must not keep running beside our successor. */
	ready = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
		setrlimit(RLIMIT_FSIZE, &output) == 0;
	for (int i = 0; i < FILES; i++) {
		ready = ready && dup2(files[i], i) == i;
	}
	if (ready) {
		(void)close_range(FILES, ~0U,
				  0); /* whatever our parent left open; since Linux 5.9 */
		(void)alarm(task->seconds_max);
		(void)execve(task->argv[0], (char *const *)task->argv, no_environment);
	}
	(void)dprintf(STDERR_FILENO, "%s\n", strerrordesc_np(errno));
	_exit(127);
}

static int wait_for(pid_t pid, struct fl_child_end *ret, struct fl_err *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			return fl_err_sys(err, errno, "cannot wait for another process");
		}
	}
	ret->code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	ret->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return FL_OK;
}

static int run(const struct fl_child_task *task, const int *files, struct fl_child_end *ret,
	       struct fl_err *err)
{
	pid_t us = getpid(), pid;

	/* If it were inherited as ignored, we would get no exit status. */
	(void)signal(SIGCHLD, SIG_DFL);
	pid = fork();
	if (pid < 0) {
		return fl_err_sys(err, errno, "cannot make another process");
	}
	if (pid == 0) {
		become(task, files, us);
	}
	return wait_for(pid, ret, err);
}

int fl_child_run(const struct fl_child_task *task, struct fl_child_end *ret, struct fl_err *err)
{
	const char *input = task->input != NULL ? task->input : "";
	struct fl_child_end end = {0};
	int files[FILES];
	int rc = open_files(input, files, err);

	if (rc == FL_OK) {
		rc = run(task, files, &end, err);
	}
	if (rc == FL_OK) {
		read_all(files[1], &end.out);
		read_all(files[2], &end.errors);
		*ret = end;
	}
	close_files(files);
	return rc == FL_OK ? FL_OK : fl_err_prefix(err, "%s", task->argv[0]);
}

void fl_child_end_done(struct fl_child_end *end)
{
	fl_text_done(&end->out);
	fl_text_done(&end->errors);
}
