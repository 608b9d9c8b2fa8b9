/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For each function there is __wrap_NAME, which the linker calls in place of NAME, and __real_NAME, which is NAME. */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

static struct faults *current;
static _Thread_local bool is_on;

/* Of sanitizers, where they are linked. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);
/* NOLINTEND(bugprone-reserved-identifier) */

static char where[64]; /* which call has failed; empty: none has */

const char *faults_where(void)
{
	return where[0] != '\0' ? where : "no call";
}

/* Says which call was failing, if the process ends in the middle of a round. Safe in signal handlers. */
static void tell(void)
{
	static const char said[] = "faults: this was failing: ";

	if (where[0] != '\0') {
		(void)!write(STDERR_FILENO, said, sizeof(said) - 1);
		(void)!write(STDERR_FILENO, where, strlen(where));
		(void)!write(STDERR_FILENO, "\n", 1);
	}
}

static void on_abort(int number)
{
	tell();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static void tell_when_it_ends_badly(void)
{
	static bool is_set;

	if (!is_set) {
		is_set = true;
		(void)atexit(tell);
		(void)signal(SIGABRT, on_abort);
		if (__sanitizer_set_death_callback != NULL) {
			__sanitizer_set_death_callback(tell);
		}
	}
}

static void look_for_leaks(void)
{
	if (__lsan_do_recoverable_leak_check != NULL && getenv("FAULTS_LEAKS") != NULL &&
	    __lsan_do_recoverable_leak_check() != 0) {
		tell();
		abort();
	}
}

bool faults_next(struct faults *faults)
{
	bool is_first = current != faults;

	faults_off();
	tell_when_it_ends_badly();
	if (!is_first) {
		look_for_leaks();
		if (faults->counted > faults->most) {
			faults->most = faults->counted;
		}
		faults->round++;
	}
	current = faults;
	faults->counted = 0;
	faults->call = NULL;
	where[0] = '\0';
	if (faults->round > faults->most) {
		current = NULL;
		return false;
	}
	return true;
}

void faults_fail(struct faults *faults, unsigned number)
{
	faults_off();
	tell_when_it_ends_badly();
	current = faults;
	faults->round = number;
	faults->counted = 0;
	faults->call = NULL;
	where[0] = '\0';
}

void faults_end(void)
{
	faults_off();
	current = NULL;
	where[0] = '\0';
}

void faults_on(void)
{
	is_on = current != NULL;
}

void faults_off(void)
{
	is_on = false;
}

__attribute__((noinline)) void faults_struck(const char *call, unsigned number)
{
	__asm__ volatile("" : : "r"(call), "r"(number));
}

/* Is this the call that has to fail? */
static bool strikes(enum faults_kinds kind, const char *call)
{
	struct faults *faults = current;

	if (!is_on || (faults->kinds & kind) == 0 ||
	    (faults->only != NULL && strcmp(faults->only, call) != 0)) {
		return false;
	}
	if (++faults->counted != faults->round) {
		return false;
	}
	faults->call = call;
	(void)snprintf(where, sizeof(where), "call %u, %s()", faults->round, call);
	faults_struck(call, faults->round);
	return true;
}

static bool fails(enum faults_kinds kind, const char *call, int error)
{
	if (!strikes(kind, call)) {
		return false;
	}
	errno = current->error != 0 ? current->error : error;
	return true;
}

#define REAL(result, name, ...)                                                                    \
	result __real_##name(__VA_ARGS__);                                                         \
	result __wrap_##name(__VA_ARGS__);                                                         \
	result __wrap_##name(__VA_ARGS__)

/* --- memory ------------------------------------------------------------------------------------- */

REAL(void *, malloc, size_t size)
{
	return fails(FAULTS_MEMORY, "malloc", ENOMEM) ? NULL : __real_malloc(size);
}

REAL(void *, calloc, size_t count, size_t size)
{
	return fails(FAULTS_MEMORY, "calloc", ENOMEM) ? NULL : __real_calloc(count, size);
}

REAL(void *, realloc, void *memory, size_t size)
{
	return fails(FAULTS_MEMORY, "realloc", ENOMEM) ? NULL : __real_realloc(memory, size);
}

REAL(void *, aligned_alloc, size_t alignment, size_t size)
{
	return fails(FAULTS_MEMORY, "aligned_alloc", ENOMEM)
		       ? NULL
		       : __real_aligned_alloc(alignment, size);
}

REAL(char *, strdup, const char *text)
{
	return fails(FAULTS_MEMORY, "strdup", ENOMEM) ? NULL : __real_strdup(text);
}

REAL(int, vasprintf, char **ret, const char *format, va_list args)
{
	return fails(FAULTS_MEMORY, "vasprintf", ENOMEM) ? -1 : __real_vasprintf(ret, format, args);
}

/* What _FORTIFY_SOURCE makes of it. */
REAL(int, __vasprintf_chk, char **ret, int flag, const char *format, va_list args)
{
	return fails(FAULTS_MEMORY, "vasprintf", ENOMEM)
		       ? -1
		       : __real___vasprintf_chk(ret, flag, format, args);
}

/* --- system calls ------------------------------------------------------------------------------- */

REAL(int, socket, int domain, int type, int protocol)
{
	return fails(FAULTS_SYSTEM, "socket", EMFILE) ? -1 : __real_socket(domain, type, protocol);
}

REAL(int, bind, int fd, const struct sockaddr *to, socklen_t len)
{
	return fails(FAULTS_SYSTEM, "bind", EADDRINUSE) ? -1 : __real_bind(fd, to, len);
}

REAL(int, listen, int fd, int backlog)
{
	return fails(FAULTS_SYSTEM, "listen", EADDRINUSE) ? -1 : __real_listen(fd, backlog);
}

REAL(int, accept4, int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	return fails(FAULTS_SYSTEM, "accept4", EMFILE) ? -1 : __real_accept4(fd, from, len, flags);
}

REAL(int, connect, int fd, const struct sockaddr *to, socklen_t len)
{
	return fails(FAULTS_SYSTEM, "connect", ENETUNREACH) ? -1 : __real_connect(fd, to, len);
}

REAL(ssize_t, recv, int fd, void *data, size_t len, int flags)
{
	return fails(FAULTS_SYSTEM, "recv", ECONNRESET) ? -1 : __real_recv(fd, data, len, flags);
}

REAL(ssize_t, read, int fd, void *data, size_t len)
{
	return fails(FAULTS_SYSTEM, "read", EIO) ? -1 : __real_read(fd, data, len);
}

REAL(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
	return fails(FAULTS_SYSTEM, "recvmsg", ENOMEM) ? -1 : __real_recvmsg(fd, message, flags);
}

REAL(ssize_t, send, int fd, const void *data, size_t len, int flags)
{
	if (fails(FAULTS_SYSTEM, "send", ECONNRESET) || fails(FAULTS_AGAIN, "send", EAGAIN)) {
		return -1;
	}
	return __real_send(fd, data, len > 1 && strikes(FAULTS_SHORT, "send") ? 1 : len, flags);
}

REAL(ssize_t, write, int fd, const void *data, size_t len)
{
	if (fails(FAULTS_SYSTEM, "write", EIO) || fails(FAULTS_AGAIN, "write", EAGAIN)) {
		return -1;
	}
	return __real_write(fd, data, len > 1 && strikes(FAULTS_SHORT, "write") ? 1 : len);
}

REAL(int, shutdown, int fd, int how)
{
	return fails(FAULTS_SYSTEM, "shutdown", ENOTCONN) ? -1 : __real_shutdown(fd, how);
}

/* The descriptor is gone all the same, as close(2) says. */
REAL(int, close, int fd)
{
	int rc = __real_close(fd);

	return fails(FAULTS_SYSTEM, "close", EIO) ? -1 : rc;
}

REAL(int, setsockopt, int fd, int level, int option, const void *value, socklen_t len)
{
	return fails(FAULTS_SYSTEM, "setsockopt", ENOPROTOOPT)
		       ? -1
		       : __real_setsockopt(fd, level, option, value, len);
}

static struct {
	int level, option;
	unsigned len; /* 0: nothing is pretended */
	char value[256];
} pretended;

void faults_pretend_option(int level, int option, const void *value, unsigned len)
{
	pretended.level = level;
	pretended.option = option;
	pretended.len = value != NULL && len <= sizeof(pretended.value) ? len : 0;
	if (pretended.len > 0) {
		memcpy(pretended.value, value, len);
	}
}

REAL(int, getsockopt, int fd, int level, int option, void *value, socklen_t *len)
{
	if (pretended.len > 0 && level == pretended.level && option == pretended.option) {
		*len = *len < pretended.len ? *len : pretended.len;
		memcpy(value, pretended.value, *len);
		return 0;
	}
	return fails(FAULTS_SYSTEM, "getsockopt", ENOBUFS)
		       ? -1
		       : __real_getsockopt(fd, level, option, value, len);
}

REAL(int, getsockname, int fd, struct sockaddr *ret, socklen_t *len)
{
	return fails(FAULTS_SYSTEM, "getsockname", ENOBUFS) ? -1 : __real_getsockname(fd, ret, len);
}

REAL(int, epoll_create1, int flags)
{
	return fails(FAULTS_SYSTEM, "epoll_create1", EMFILE) ? -1 : __real_epoll_create1(flags);
}

REAL(int, epoll_ctl, int epoll, int op, int fd, struct epoll_event *event)
{
	return fails(FAULTS_SYSTEM, "epoll_ctl", ENOMEM) ? -1
							 : __real_epoll_ctl(epoll, op, fd, event);
}

REAL(int, epoll_wait, int epoll, struct epoll_event *events, int max, int timeout)
{
	return fails(FAULTS_SYSTEM, "epoll_wait", EINTR)
		       ? -1
		       : __real_epoll_wait(epoll, events, max, timeout);
}

REAL(ssize_t, getrandom, void *data, size_t len, unsigned flags)
{
	return fails(FAULTS_SYSTEM, "getrandom", EAGAIN) ? -1 : __real_getrandom(data, len, flags);
}

/* open(), as it is called where files may be large. */
REAL(int, open64, const char *path, int flags, ...)
{
	va_list args;
	int mode = 0;

	if (fails(FAULTS_SYSTEM, "open", EMFILE)) {
		return -1;
	}
	if ((flags & O_CREAT) != 0) {
		va_start(args, flags);
		mode = va_arg(args, int);
		va_end(args);
	}
	return __real_open64(path, flags, mode);
}

REAL(FILE *, fopen64, const char *path, const char *mode)
{
	return fails(FAULTS_SYSTEM, "fopen", EMFILE) ? NULL : __real_fopen64(path, mode);
}

/* --- libuv -------------------------------------------------------------------------------------- */

REAL(int, uv_loop_init, uv_loop_t *loop)
{
	return strikes(FAULTS_UV, "uv_loop_init") ? UV_EMFILE : __real_uv_loop_init(loop);
}

REAL(int, uv_async_init, uv_loop_t *loop, uv_async_t *async, uv_async_cb cb)
{
	return strikes(FAULTS_UV, "uv_async_init") ? UV_EMFILE
						   : __real_uv_async_init(loop, async, cb);
}

REAL(int, uv_async_send, uv_async_t *async)
{
	return strikes(FAULTS_UV, "uv_async_send") ? UV_EIO : __real_uv_async_send(async);
}

REAL(int, uv_mutex_init, uv_mutex_t *mutex)
{
	return strikes(FAULTS_UV, "uv_mutex_init") ? UV_ENOMEM : __real_uv_mutex_init(mutex);
}

REAL(int, uv_poll_init, uv_loop_t *loop, uv_poll_t *poll, int fd)
{
	return strikes(FAULTS_UV, "uv_poll_init") ? UV_ENOMEM : __real_uv_poll_init(loop, poll, fd);
}

REAL(int, uv_poll_start, uv_poll_t *poll, int events, uv_poll_cb cb)
{
	return strikes(FAULTS_UV, "uv_poll_start") ? UV_EINVAL
						   : __real_uv_poll_start(poll, events, cb);
}

REAL(int, uv_timer_init, uv_loop_t *loop, uv_timer_t *timer)
{
	return strikes(FAULTS_UV, "uv_timer_init") ? UV_ENOMEM : __real_uv_timer_init(loop, timer);
}

REAL(int, uv_timer_start, uv_timer_t *timer, uv_timer_cb cb, uint64_t after, uint64_t repeat)
{
	return strikes(FAULTS_UV, "uv_timer_start")
		       ? UV_EINVAL
		       : __real_uv_timer_start(timer, cb, after, repeat);
}

REAL(int, uv_thread_create, uv_thread_t *thread, uv_thread_cb entry, void *arg)
{
	return strikes(FAULTS_UV, "uv_thread_create") ? UV_EAGAIN
						      : __real_uv_thread_create(thread, entry, arg);
}
