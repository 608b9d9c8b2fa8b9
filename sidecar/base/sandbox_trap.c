/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sandbox_trap - the handler runs where the call was made, perhaps inside malloc or with a lock of the C library held: it uses
 * its stack, write(2), and a few other async-signal-safe calls (signal-safety(7)). */
#include "base/sandbox_trap.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A handler has no argument of ours. Written once, before the filter is in force. */
static struct {
	int fd;
	enum fl_log_format format;
	const char *program, *names;
	unsigned count;
} trap;

struct line {
	char text[1024];
	size_t len;
};

static void put(struct line *line, const char *text)
{
	size_t len = strlen(text), room = sizeof(line->text) - line->len;

	len = len < room ? len : room;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void put_number(struct line *line, uint64_t value, unsigned digits)
{
	char text[21];
	char *at = text + sizeof(text) - 1;

	*at = '\0';
	for (; value > 0 || digits > 0; value /= 10) {
		*--at = (char)('0' + value % 10);
		digits -= digits > 0;
	}
	put(line, at);
}

/* gmtime(3) may take a lock. From the days since 1970 to the civil calendar; its years begin in March here, so that the leap day
 * is the last one. */
static void put_date(struct line *line, int64_t days)
{
	int64_t since = days + 719468, era = since / 146097;
	int64_t day_of_era = since - era * 146097;
	int64_t year =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * day_of_year + 2) / 153; /* 0: March */
	int64_t day = day_of_year - (153 * month + 2) / 5 + 1;

	month = month < 10 ? month + 3 : month - 9;
	put_number(line, (uint64_t)(year + era * 400 + (month <= 2)), 4);
	put(line, "-");
	put_number(line, (uint64_t)month, 2);
	put(line, "-");
	put_number(line, (uint64_t)day, 2);
}

static void put_time(struct line *line)
{
	struct timespec now = {0};
	uint64_t second;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	second = (uint64_t)now.tv_sec % 86400;
	put_date(line, now.tv_sec / 86400);
	put(line, "T");
	put_number(line, second / 3600, 2);
	put(line, ":");
	put_number(line, second / 60 % 60, 2);
	put(line, ":");
	put_number(line, second % 60, 2);
	put(line, ".");
	put_number(line, (uint64_t)now.tv_nsec / 1000, 6);
	put(line, "Z");
}

static const char *name_of(unsigned number)
{
	const char *name = trap.names;

	for (unsigned i = 0; i < number && i < trap.count; i++) {
		name += strlen(name) + 1;
	}
	return number < trap.count && name[0] != '\0' ? name : "unknown";
}

static void put_call(struct line *line, unsigned number)
{
	put(line, "the sandbox does not let the system call ");
	put(line, name_of(number));
	put(line, " (number ");
	put_number(line, number, 1);
	put(line, ") through: this process ends. Please report it; `sandbox = off` in the INI goes "
		  "on without the sandbox");
}

/* In the form of base/log.c. */
static void write_line(unsigned number)
{
	bool json = trap.format == FL_LOG_JSON;
	struct line line = {.len = 0};
	ssize_t written;

	put(&line, json ? "{\"time\":\"" : "");
	put_time(&line);
	put(&line, json ? "\",\"level\":\"error\",\"msg\":\"" : " error ");
	put_call(&line, number);
	put(&line, json ? "\",\"program\":\"" : " program=");
	put(&line, trap.program);
	put(&line, json ? "\",\"syscall\":\"" : " syscall=");
	put(&line, name_of(number));
	put(&line, json ? "\"}\n" : "\n");
	written = write(trap.fd, line.text, line.len);
	(void)written;
}

static void on_violation(int signal, siginfo_t *info, void *context)
{
	(void)context;
	write_line(info->si_syscall >= 0 ? (unsigned)info->si_syscall : trap.count);
	/* SA_RESETHAND has restored what SIGSYS does by default: parents see which signal it was. */
	(void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signal);
	_exit(128 + SIGSYS);
}

void fl_sandbox_trap(const struct fl_log *log, const char *names, unsigned count)
{
	struct sigaction action = {.sa_sigaction = on_violation,
				   .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER)};

	trap.fd = log->fd;
	trap.format = log->format;
	trap.program = log->program;
	trap.names = names;
	trap.count = count;
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGSYS, &action, NULL);
}
