/* SPDX-License-Identifier: GPL-3.0-or-later */
/* supervisor - waits for signals, all of which are blocked: passes on those for the agent; SIGCHLD shows that it has ended.
 * As the first process it also reaps orphans.
 *
 * The parent holds no secret and reads nothing: it forks before the INI is read. When it ends, the kernel kills everything
 * in its namespace. */
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

#define DEATHS_MAX 5   /* in a row; then the container ends, which the kubelet reports */
#define ROW_SECONDS 60 /* an agent that lived this long starts a new row */
#define BY_SIGNAL 128

struct supervisor {
	sigset_t signals, before;
	pid_t worker;
	int64_t since; /* when the agent was started, in seconds */
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
static bool start(struct supervisor *supervisor)
{
	supervisor->since = now_s();
	supervisor->worker = fork();
	if (supervisor->worker == 0) {
		(void)prctl(PR_SET_NAME, "fairlead-agent");
		(void)pthread_sigmask(SIG_SETMASK, &supervisor->before, NULL);
		return true;
	}
	/* So that a search for the name of the agent finds the child. */
	(void)prctl(PR_SET_NAME, "fairlead-init");
	return false;
}

/* Until the agent has ended. Returns its status as waitpid() gives it. */
static int wait_for_end(struct supervisor *supervisor)
{
	int status = 0;

	for (;;) {
		int number = sigwaitinfo(&supervisor->signals, NULL);
		pid_t gone;

		if (number == SIGTERM || number == SIGINT || number == SIGHUP) {
			supervisor->ending = supervisor->ending || number != SIGHUP;
			(void)kill(supervisor->worker, number);
		}
		/* Orphans are only reaped. */
		while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
			if (gone == supervisor->worker) {
				return status;
			}
		}
	}
}

/* Waits before the next start; SIGTERM and SIGINT end the wait. */
static void pause_before_start(struct supervisor *supervisor)
{
	/* 0, 1, 2, 4 seconds */
	struct timespec left = {.tv_sec = supervisor->deaths <= 1 ? 0
								  : 1L << (supervisor->deaths - 2)};
	int64_t until;
	sigset_t end;

	until = now_s() + left.tv_sec;
	(void)sigemptyset(&end);
	(void)sigaddset(&end, SIGTERM);
	(void)sigaddset(&end, SIGINT);
	do {
		int number = sigtimedwait(&end, NULL, &left);

		supervisor->ending = supervisor->ending || number == SIGTERM || number == SIGINT;
		left.tv_sec = until - now_s();
	} while (!supervisor->ending && left.tv_sec > 0);
}

/* A line in the form of the agent's own. The INI's settings for the log are not known here. */
static void log_error(const char *text)
{
	struct fl_log log;

	fl_log_init(&log, STDERR_FILENO, FL_LOG_WARN, FL_LOG_JSON, "fairlead-agent");
	fl_log_msg(&log, FL_LOG_ERROR, "%s", text);
	fl_log_flush(&log);
}

static void log_death(const struct supervisor *supervisor, int number)
{
	const char *name = sigdescr_np(number);
	struct fl_err text;

	(void)fl_err_set(&text, FL_ERR_IO, "ended by signal %d (%s)%s", number,
			 name != NULL ? name : "of real time",
			 supervisor->deaths < DEATHS_MAX
				 ? ": it is started again; traffic continues"
				 : " too often: giving up");
	log_error(text.text);
}

/* Shall the agent be started again? */
static bool should_restart(struct supervisor *supervisor, int status)
{
	int number = WTERMSIG(status);

	supervisor->deaths = now_s() - supervisor->since < ROW_SECONDS ? supervisor->deaths + 1 : 1;
	if (supervisor->ending) {
		return false;
	}
	log_death(supervisor, number);
	if (supervisor->deaths == DEATHS_MAX) {
		return false;
	}
	pause_before_start(supervisor);
	return !supervisor->ending;
}

int fl_supervise(void)
{
	struct supervisor supervisor = {0};
	struct fl_err err;
	int status;

	if (getpid() != 1) {
		return -1;
	}
	/* Inherited, so that a signal before the agent has its handlers does not kill it. */
	fl_harden_signals();
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&supervisor.signals);
	(void)sigaddset(&supervisor.signals, SIGTERM);
	(void)sigaddset(&supervisor.signals, SIGINT);
	(void)sigaddset(&supervisor.signals, SIGHUP);
	(void)sigaddset(&supervisor.signals, SIGCHLD);
	(void)pthread_sigmask(SIG_BLOCK, &supervisor.signals, &supervisor.before);
	do {
		if (start(&supervisor)) {
			return -1;
		}
		if (supervisor.worker < 0) {
			(void)fl_err_sys(&err, errno, "cannot make a process");
			log_error(err.text);
			return 2;
		}
		status = wait_for_end(&supervisor);
		if (WIFEXITED(status)) {
			return WEXITSTATUS(status);
		}
	} while (should_restart(&supervisor, status));
	return BY_SIGNAL + WTERMSIG(status);
}
