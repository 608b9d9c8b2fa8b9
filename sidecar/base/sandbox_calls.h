/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_SANDBOX_CALLS_H
#define FL_BASE_SANDBOX_CALLS_H
/* sandbox_calls - which system calls the two programs may make once they have started. Only make_sandbox_filters.c, which runs
 * at build time, reads it.
 *
 * A row is a call and up to three conditions on its arguments. Of the rows of one call the first whose conditions all hold
 * decides. Conditions look at the lower 32 bits of an argument: (argument & mask) == value. A call that no row admits ends the
 * process (base/sandbox_trap.c). */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

struct fl_sandbox_condition {
	unsigned argument;
	uint32_t mask, value;
};

struct fl_sandbox_call {
	const char *name;
	unsigned count;
	struct fl_sandbox_condition conditions[3];
	int error; /* 0: the call is made; otherwise it fails with this */
};

#define ALL UINT32_MAX
#define IS(argument, value)                                                                        \
	{                                                                                          \
		(argument), ALL, (uint32_t)(value)                                                 \
	}
#define LACKS(argument, bits)                                                                      \
	{                                                                                          \
		(argument), (uint32_t)(bits), 0                                                    \
	}

#define ANY(name)                                                                                  \
	{                                                                                          \
		name, 0, {IS(0, 0)}, 0                                                             \
	}
#define IF(name, one)                                                                              \
	{                                                                                          \
		name, 1, {one}, 0                                                                  \
	}
#define DECLINE(name, number)                                                                      \
	{                                                                                          \
		name, 0, {IS(0, 0)}, number                                                        \
	}
#define DECLINE_IF(name, one, number)                                                              \
	{                                                                                          \
		name, 1, {one}, number                                                             \
	}

/* Stands for the number of the process, which is known when its filter comes into force. */
#define OWN_PROCESS UINT32_MAX

/* --- both programs --------------------------------------------------------------------------------- */

/* How a socket is made: flags other than these two are none of ours. */
#define SOCKET(family, type, protocol)                                                             \
	{                                                                                          \
		"socket", 3,                                                                       \
			{IS(0, family),                                                            \
			 {1, ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK), (type)},                   \
			 IS(2, protocol)},                                                         \
			0                                                                          \
	}

#define OPTION(level, name)                                                                        \
	{                                                                                          \
		"setsockopt", 2, {IS(1, level), IS(2, name)}, 0                                    \
	}

/* What the kernel headers of Debian 12 do not have yet. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* abort(), and the end after a violation. */
#define SIGNAL_US(signal)                                                                          \
	{                                                                                          \
		"tgkill", 2, {IS(0, OWN_PROCESS), IS(2, signal)}, 0                                \
	}

static const struct fl_sandbox_call both_calls[] = {
	/* descriptors that are open */
	ANY("read"),
	ANY("readv"),
	ANY("pread64"),
	ANY("write"),
	ANY("writev"),
	ANY("close"),
	ANY("lseek"),
	ANY("fstat"),
	IF("fcntl", IS(1, F_GETFL)),
	IF("fcntl", IS(1, F_SETFL)),
	IF("fcntl", IS(1, F_GETFD)),
	IF("fcntl", IS(1, F_SETFD)),
	IF("ioctl", IS(1, FIONBIO)), /* libuv, for sockets of others: c-ares */
	/* what a path is; and removing our sockets at the end, where Landlock allows it */
	ANY("newfstatat"),
	ANY("stat"), /* an older glibc */
	ANY("lstat"),
	ANY("readlink"), /* whose may the folders of the agent's socket be, links among them? */
	ANY("readlinkat"),
	ANY("faccessat2"), /* realpath(), where a link's target ends in a slash or has dots */
	ANY("faccessat"),  /* the same, for an older kernel */
	ANY("unlink"),
	IF("unlinkat", IS(2, 0)),
	/* waiting */
	ANY("epoll_create1"),
	ANY("epoll_ctl"),
	ANY("epoll_wait"),
	ANY("epoll_pwait"),
	ANY("futex"),
	ANY("sched_yield"),
	ANY("restart_syscall"),
	/* sockets */
	SOCKET(AF_UNIX, SOCK_STREAM, 0),
	SOCKET(AF_UNIX, SOCK_DGRAM, 0), /* the service manager */
	ANY("accept4"),
	ANY("bind"),
	ANY("connect"),
	ANY("getpeername"),
	ANY("getsockname"),
	ANY("getsockopt"),
	ANY("listen"),
	ANY("recvfrom"),
	ANY("recvmsg"),
	ANY("sendmsg"),
	ANY("sendto"),
	ANY("shutdown"),
	/* memory: never executable */
	ANY("brk"),
	ANY("madvise"),
	ANY("mlock"), /* the pages of keys */
	IF("mmap", LACKS(2, PROT_EXEC)),
	IF("mprotect", LACKS(2, PROT_EXEC)),
	ANY("mremap"),
	ANY("munmap"),
	/* this process */
	ANY("exit"),
	ANY("exit_group"),
	ANY("getegid"),
	ANY("geteuid"),
	ANY("getgid"),
	ANY("getpid"),
	ANY("getrlimit"),
	ANY("getrusage"),
	ANY("gettid"),
	ANY("getuid"),
	IF("prlimit64", IS(0, 0)), /* our own limits; raising the hard ones takes a capability */
	ANY("rt_sigaction"),
	ANY("rt_sigprocmask"),
	ANY("rt_sigreturn"),
	ANY("sched_getaffinity"), /* malloc counts processors */
	ANY("sysinfo"),           /* qsort asks for the memory */
	SIGNAL_US(SIGABRT),
	SIGNAL_US(SIGSYS),
	/* Not ours: the kernel puts it where a function returns that somebody on the node observes by a uretprobe, from Linux 6.11 on, and before
	 * 6.14 filters see it. Made from anywhere else it ends the process. */
	ANY("uretprobe"),
	/* time and chance */
	ANY("clock_getres"),
	ANY("clock_gettime"),
	ANY("clock_nanosleep"),
	ANY("getrandom"),
	ANY("gettimeofday"),
	ANY("nanosleep"),
	ANY("time"),
};

#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

/* --- the sidecar ------------------------------------------------------------------------------------ */

/* What the kernel headers of Debian 12 do not have yet. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif

static const struct fl_sandbox_call sidecar_calls[] = {
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET, SOCK_DGRAM, 0), /* DNS, and asking which address a route has */
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	/* those of every connection first */
	OPTION(IPPROTO_TCP, TCP_NODELAY),
	OPTION(SOL_SOCKET, SO_OOBINLINE),
	OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT),
	OPTION(SOL_SOCKET, SO_REUSEADDR),
	OPTION(IPPROTO_TCP, TCP_QUICKACK),
	OPTION(SOL_SOCKET, SO_KEEPALIVE),
	OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
	OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
	OPTION(IPPROTO_TCP, TCP_KEEPCNT),
	OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
	OPTION(IPPROTO_TCP, TCP_RTO_MAX_MS),
	OPTION(SOL_SOCKET, SO_LINGER),
	OPTION(SOL_SOCKET, SO_MARK),
	OPTION(SOL_SOCKET, SO_PASSCRED), /* where the kernel lacks the next one */
	OPTION(SOL_SOCKET, SO_PASSRIGHTS),
	OPTION(SOL_SOCKET, SO_PRIORITY),
	OPTION(SOL_SOCKET, SO_RCVBUF),
	OPTION(SOL_SOCKET, SO_SNDBUF),
	OPTION(IPPROTO_IP, IP_RECVERR),
	OPTION(IPPROTO_IP, IP_TOS),
	OPTION(IPPROTO_IP, IP_TRANSPARENT), /* takes NET_ADMIN */
	OPTION(IPPROTO_IPV6, IPV6_RECVERR),
	OPTION(IPPROTO_IPV6, IPV6_TCLASS),
	OPTION(IPPROTO_IPV6, IPV6_TRANSPARENT),
	OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
	DECLINE("setsockopt",
		ENOPROTOOPT), /* libraries try options of newer kernels, and go on without */
	/* The C library and others open files for reading where they can do without: malloc reads the kernel's policy of
	 * overcommitting. */
	DECLINE_IF("open", LACKS(1, WRITES), EACCES),
	DECLINE_IF("openat", LACKS(2, WRITES), EACCES),
	ANY("getdents64"), /* /proc/self/fd, which is open */
	ANY("uname"),      /* c-ares asks for our host's name, if it lacked memory at the start */
	/* a worker that is beginning when the filter comes into force */
	IF("prctl", IS(0, PR_SET_NAME)),
	ANY("rseq"),
	ANY("set_robust_list"),
};

/* --- the agent -------------------------------------------------------------------------------------- */

static const struct fl_sandbox_call agent_calls[] = {
	IF("open", LACKS(1, WRITES)),
	IF("openat", LACKS(2, WRITES)),
	ANY("getcwd"),
	ANY("getgroups"), /* why can a file not be read? */
	ANY("statx"),     /* is it a mount of its own? */
	ANY("inotify_add_watch"),
	ANY("inotify_init1"),
	ANY("inotify_rm_watch"),
	/* its socket, made again when somebody has removed it; Landlock says where it may make things */
	ANY("flock"),
	ANY("mkdir"),
	ANY("mkdirat"),
	ANY("umask"),
	IF("ioctl", IS(1, SIOCOUTQ)),  /* has it read what it was sent? */
	OPTION(SOL_SOCKET, SO_SNDBUF), /* of who asks for signatures */
	OPTION(SOL_SOCKET, SO_PASSRIGHTS),
	/* where the kernel lacks that one */
	OPTION(SOL_SOCKET, SO_LINGER),
	OPTION(SOL_SOCKET, SO_OOBINLINE),
	OPTION(SOL_SOCKET, SO_PASSCRED),
	DECLINE("setsockopt", ENOPROTOOPT),
};

/* --- what the builds for tests need besides ------------------------------------------------------------ */

/* Sanitizers: shadow memory, stacks of other threads, and at the end a thread that traces the others to find leaks. */
static const struct fl_sandbox_call sanitizer_calls[] = {
	ANY("access"),
	ANY("arch_prctl"),
	ANY("clone"),
	ANY("dup"),
	ANY("dup2"),
	ANY("fcntl"),
	ANY("getdents"),
	ANY("getdents64"),
	ANY("getppid"),
	ANY("kill"),
	ANY("open"),
	ANY("openat"),
	ANY("personality"),
	ANY("pipe2"),
	ANY("prctl"),
	ANY("process_vm_readv"),
	ANY("ptrace"),
	ANY("readlink"),
	ANY("readlinkat"),
	ANY("rseq"),
	ANY("rt_sigsuspend"),
	ANY("sched_getparam"),
	ANY("set_robust_list"),
	ANY("sigaltstack"),
	ANY("tgkill"),
	ANY("tkill"),
	ANY("uname"),
	ANY("wait4"),
};
/* gcov writes its counters at the end. */
static const struct fl_sandbox_call coverage_calls[] = {
	ANY("fcntl"),  ANY("mkdir"),   ANY("mkdirat"),   ANY("open"),
	ANY("openat"), ANY("getppid"), ANY("ftruncate"), ANY("readlink"),
};

#endif
