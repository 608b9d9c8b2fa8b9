/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/background.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The one that waits: pid is the process between. */
static int wait_for(pid_t pid, int fd)
{
	ssize_t got;
	char byte;

	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	do {
		got = read(fd, &byte, 1);
	} while (got < 0 && errno == EINTR);
	return got == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* When the other end of the pipe closes, the kernel sends this process SIGTERM. */
static void end_with_the_other(int fd)
{
	struct pollfd now = {.fd = fd};

	(void)fcntl(fd, F_SETOWN, getpid());
	(void)fcntl(fd, F_SETSIG, SIGTERM);
	(void)fcntl(fd, F_SETFL, O_WRONLY | O_ASYNC);
	if (poll(&now, 1, 0) > 0 && (now.revents & POLLERR) != 0) {
		_exit(EXIT_FAILURE); /* it was closed before that */
	}
}

/* In the process between: ends it, and goes on in its child. False: there is none. */
static bool step_aside(void)
{
	pid_t child = fork();

	if (child > 0) {
		_exit(EXIT_SUCCESS);
	}
	return child == 0;
}

int fl_background_divide(struct fl_background *background, int *ret_status, struct fl_err *err)
{
	int fds[2], sys;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) != 0) {
		return fl_err_sys(err, errno, "cannot go into the background");
	}
	child = fork();
	if (child < 0) {
		sys = errno;
		(void)close(fds[0]);
		(void)close(fds[1]);
		return fl_err_sys(err, sys, "cannot go into the background");
	}
	if (child > 0) {
		(void)close(fds[1]);
		*ret_status = wait_for(child, fds[0]);
		return FL_OK;
	}
	(void)setsid(); /* a terminal's signals are for the one that waits */
	if (!step_aside()) {
		_exit(EXIT_FAILURE);
	}
	(void)close(fds[0]);
	end_with_the_other(fds[1]);
	background->fd = fds[1];
	*ret_status = -1;
	return FL_OK;
}

void fl_background_release(struct fl_background *background)
{
	if (background->fd < 0) {
		return;
	}
	(void)fcntl(background->fd, F_SETFL, O_WRONLY);
	(void)!write(background->fd, "", 1);
	(void)close(background->fd);
	background->fd = -1;
}
