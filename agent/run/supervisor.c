/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keep - waits for signals, all of which are blocked: those that mean the agent are passed on, SIGCHLD says that it has
 * ended. As the first process it also buries whoever has lost its parent.
 *
 * The parent holds no secret and reads nothing: it is made before the INI is read. When it ends, the kernel ends all
 * that is in its namespace. */
#include "agent/run/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/harden.h"
#include "base/log.h"

#define KEEP_DEATHS 5  /* in a row, and it is the kubelet's turn, which shows it */
#define ROW_SECONDS 60 /* who has lived for so long begins a new row */
#define BY_SIGNAL 128

struct keep {
	sigset_t signals, before;
	pid_t worker;
	int64_t since; /* it was begun, in seconds */
	unsigned deaths;
	bool ending;
};

static int64_t now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec;
}

/* True in the child. */
static bool begin(struct keep *keep)
{
	keep->since = now_s();
	keep->worker = fork();
	if (keep->worker == 0) {
		(void)prctl(PR_SET_NAME, "fairlead-agent");
		(void)pthread_sigmask(SIG_SETMASK, &keep->before, NULL);
		return true;
	}
	/* Who looks for the agent by its name finds the one that works. */
	(void)prctl(PR_SET_NAME, "fairlead-init");
	return false;
}

/* Until it has ended; its status as waitpid() tells it. */
static int watch(struct keep *keep)
{
	int status = 0;

	for (;;) {
		int number = sigwaitinfo(&keep->signals, NULL);
		pid_t gone;

		if (number == SIGTERM || number == SIGINT || number == SIGHUP) {
			keep->ending = keep->ending || number != SIGHUP;
			(void)kill(keep->worker, number);
		}
		/* Others' ends are of no interest, but have to be taken. */
		while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
			if (gone == keep->worker) {
				return status;
			}
		}
	}
}

/* Before the next one; an order to end cuts it short. */
static void rest(struct keep *keep)
{
	/* 0, 1, 2, 4 seconds */
	struct timespec left = {.tv_sec = keep->deaths <= 1 ? 0 : 1L << (keep->deaths - 2)};
	int64_t until;
	sigset_t end;

	until = now_s() + left.tv_sec;
	(void)sigemptyset(&end);
	(void)sigaddset(&end, SIGTERM);
	(void)sigaddset(&end, SIGINT);
	do {
		int number = sigtimedwait(&end, NULL, &left);

		keep->ending = keep->ending || number == SIGTERM || number == SIGINT;
		left.tv_sec = until - now_s();
	} while (!keep->ending && left.tv_sec > 0);
}

/* A line as the agent's own: what the INI says of the log is not known here. */
static void complain(const struct keep *keep, int number)
{
	const char *name = sigdescr_np(number);
	struct fl_log log;

	fl_log_init(&log, STDERR_FILENO, FL_LOG_WARN, FL_LOG_JSON, "fairlead-agent");
	fl_log_msg(&log, FL_LOG_ERROR, "ended by signal %d (%s)%s", number,
		   name != NULL ? name : "of real time",
		   keep->deaths < KEEP_DEATHS ? ": it begins again, and traffic goes on"
					      : ", again and again: giving up");
	fl_log_flush(&log);
}

/* Shall there be another one? */
static bool is_to_go_on(struct keep *keep, int status)
{
	int number = WTERMSIG(status);

	keep->deaths = now_s() - keep->since < ROW_SECONDS ? keep->deaths + 1 : 1;
	if (keep->ending) {
		return false;
	}
	complain(keep, number);
	if (keep->deaths == KEEP_DEATHS) {
		return false;
	}
	rest(keep);
	return !keep->ending;
}

int fl_supervise(void)
{
	struct keep keep = {0};
	struct fl_err err;
	int status;

	if (getpid() != 1) {
		return -1;
	}
	/* Inherited: what comes before the agent has its handlers must not end it. */
	fl_harden_signals();
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&keep.signals);
	(void)sigaddset(&keep.signals, SIGTERM);
	(void)sigaddset(&keep.signals, SIGINT);
	(void)sigaddset(&keep.signals, SIGHUP);
	(void)sigaddset(&keep.signals, SIGCHLD);
	(void)pthread_sigmask(SIG_BLOCK, &keep.signals, &keep.before);
	do {
		if (begin(&keep)) {
			return -1;
		}
		if (keep.worker < 0) {
			(void)fl_err_sys(&err, errno, "cannot make a process");
			(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
			return 2;
		}
		status = watch(&keep);
		if (WIFEXITED(status)) {
			return WEXITSTATUS(status);
		}
	} while (is_to_go_on(&keep, status));
	return BY_SIGNAL + WTERMSIG(status);
}
