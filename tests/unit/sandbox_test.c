/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tries, from inside the sandbox that the programs enter, what somebody would try who has taken one over. Each attempt runs in a
 * process of its own: it is refused with an error, or ends the process with a line that names the call. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_alg.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#include "base/harden.h"
#include "base/mem.h"
#include "base/sandbox.h"

/* Sanitizers need files and more calls, and their builds allow them. */
#if defined(__SANITIZE_ADDRESS__) || defined(FL_SANDBOX_FOR_TESTS)
#define IS_RELEASE false
#else
#define IS_RELEASE true
#endif

static char folder[64]; /* of this test, which the agent may read and make sockets in */

static const char *in_folder(const char *name)
{
	static char path[2][128];
	static unsigned turn;
	char *ret = path[turn++ % 2];

	(void)snprintf(ret, sizeof(path[0]), "%s/%s", folder, name);
	return ret;
}

static int from_errno(long rc)
{
	return rc < 0 ? errno : 0;
}

/* --- attempts: 0 if it succeeds, otherwise errno --------------------------------------------------------- */

static int read_a_file(void)
{
	return from_errno(open("/etc/passwd", O_RDONLY));
}

static int read_our_folder(void)
{
	return from_errno(open(in_folder("file"), O_RDONLY));
}

static int list_the_root(void)
{
	return from_errno(open("/", O_RDONLY | O_DIRECTORY));
}

/* As the programs do when they look whose the folders of the agent's socket are. */
static int follow_a_link_to_a_folder(void)
{
	char resolved[PATH_MAX];

	return realpath("/tmp/../tmp/.", resolved) != NULL ? 0 : errno;
}

static int ask_for_the_name_of_the_host(void)
{
	char name[256];

	return from_errno(gethostname(name, sizeof(name)));
}

static int write_a_file(void)
{
	return from_errno(open(in_folder("file"), O_WRONLY));
}

static int create_a_file(void)
{
	return from_errno(open(in_folder("new"), O_RDWR | O_CREAT, 0600));
}

static int create_a_nameless_file(void)
{
	return from_errno(open(folder, O_RDWR | O_TMPFILE, 0600));
}

static int truncate_a_file(void)
{
	return from_errno(open(in_folder("file"), O_RDONLY | O_TRUNC));
}

static int remove_a_file_elsewhere(void)
{
	return from_errno(unlink("/tmp/fairlead-no-such-file-in-here/../fairlead-sandbox-victim"));
}

static int rename_a_file(void)
{
	return from_errno(rename(in_folder("file"), in_folder("other")));
}

static int make_a_link(void)
{
	return from_errno(symlink("/", in_folder("link")));
}

static int make_a_folder(void)
{
	return from_errno(mkdir(in_folder("folder"), 0700));
}

static int change_a_mode(void)
{
	return from_errno(chmod(in_folder("file"), 0777));
}

static int mount_something(void)
{
	return from_errno(mount("none", folder, "tmpfs", 0, NULL));
}

static int run_a_program(void)
{
	char *argv[] = {(char *)"sh", NULL};

	return from_errno(execve("/bin/sh", argv, NULL));
}

static int run_a_program_of_memory(void)
{
	return from_errno(memfd_create("program", 0));
}

static int make_a_process(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		_exit(0);
	}
	return from_errno(pid);
}

static void *idle(void *arg)
{
	return arg;
}

static int make_a_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, idle, NULL);
}

static int trace_the_parent(void)
{
	return from_errno(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int read_memory_of_the_parent(void)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {&byte, 1};

	return from_errno(syscall(SYS_process_vm_readv, 1, &to, 1, &from, 1, 0));
}

static int signal_another_process(void)
{
	return from_errno(kill(1, SIGTERM));
}

/* As abort() signals this one. */
static int abort_another_process(void)
{
	return from_errno(syscall(SYS_tgkill, getpid() + 1, getpid() + 1, SIGABRT));
}

static int make_memory_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return from_errno(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int map_executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? errno
		       : 0;
}

static int make_a_user_namespace(void)
{
	return from_errno(unshare(CLONE_NEWUSER));
}

static int open_a_raw_socket(void)
{
	return from_errno(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int open_a_packet_socket(void)
{
	return from_errno(socket(AF_PACKET, SOCK_RAW, 0));
}

static int open_a_netlink_socket(void)
{
	return from_errno(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

static int open_a_crypto_socket(void)
{
	return from_errno(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

static int open_an_sctp_socket(void)
{
	return from_errno(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP));
}

static int open_a_tcp_socket(void)
{
	return from_errno(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int open_a_udp_socket(void)
{
	return from_errno(socket(AF_INET6, SOCK_DGRAM, 0));
}

static int open_a_unix_socket(void)
{
	return from_errno(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int attach_a_filter_to_a_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), value = 0;

	return from_errno(setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &value, sizeof(value)));
}

static int limit_what_a_socket_keeps(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), value = 8192;

	return from_errno(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)));
}

/* On a kernel that knows the option. */
static bool can_refuse;

static int refuse_descriptors(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), value = 0;
	int sys = from_errno(setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(value)));

	return can_refuse ? sys : 0;
}

/* What an older kernel takes in its place. */
static int make_a_descriptor_harmless(void)
{
	static const int options[] = {SO_LINGER, SO_OOBINLINE, SO_PASSCRED};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), sys = 0;
	struct linger value = {0};

	for (size_t i = 0; sys == 0 && i < FL_COUNT_OF(options); i++) {
		sys = from_errno(setsockopt(fd, SOL_SOCKET, options[i], &value, sizeof(value)));
	}
	return sys;
}

static int inject_into_the_terminal(void)
{
	return from_errno(ioctl(0, TIOCSTI, "x"));
}

static int load_a_bpf_program(void)
{
	return from_errno(syscall(SYS_bpf, 0, NULL, 0));
}

static int make_a_ring(void)
{
	return from_errno(syscall(425, 1, NULL)); /* io_uring_setup */
}

static int add_a_key(void)
{
	return from_errno(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int become_dumpable(void)
{
	return from_errno(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int change_the_limits_of_another(void)
{
	return from_errno(syscall(SYS_prlimit64, 1, 0, NULL, NULL));
}

/* A 32-bit call by int 0x80: the numbers mean something else there. */
#ifdef __x86_64__
static int call_as_32_bit(void)
{
	long rc;

	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20L) : "memory"); /* getpid */
	return rc < 0 ? (int)-rc : 0;
}
#endif

/* Somebody outside of the sandbox listens on an abstract name. */
static int reach_an_abstract_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "%s", folder);
	return from_errno(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
}

static int reach_a_socket_by_its_path(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", in_folder("outside.sock"));
	return from_errno(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
}

static int make_a_socket_here(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", in_folder("made.sock"));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		return errno;
	}
	return from_errno(unlink(addr.sun_path));
}

static int watch_our_folder(void)
{
	int fd = inotify_init1(IN_CLOEXEC);

	return from_errno(inotify_add_watch(fd, folder, IN_CREATE));
}

static int go_on(void)
{
	char *memory = malloc((size_t)1 << 20);

	memset(memory, 1, (size_t)1 << 20);
	free(memory);
	return getpid() > 0 ? 0 : 1;
}

/* --- the table ----------------------------------------------------------------------------------------------- */

#define ENDS (-1)    /* the process, with a line that names the call */
#define ANY_END (-2) /* the process, without one */
#define DONE 0

static const struct attempt {
	const char *name;
	int (*make)(void);
	int sidecar, agent; /* an error, DONE or ENDS */
	const char *call;   /* that the line names, where the process ends */
	bool release_only;
	unsigned landlock; /* the version that it takes; 0: none */
} attempts[] = {
	{"go on", go_on, DONE, DONE, NULL, false, 0},
	{"read a file", read_a_file, EACCES, EACCES, NULL, true, 1},
	{"read our folder", read_our_folder, EACCES, DONE, NULL, true, 1},
	{"list the root", list_the_root, EACCES, EACCES, NULL, true, 1},
	{"follow a link to a folder", follow_a_link_to_a_folder, DONE, DONE, NULL, false, 0},
	{"the name of the host", ask_for_the_name_of_the_host, DONE, ENDS, "uname", true, 0},
	{"write a file", write_a_file, ENDS, ENDS, "openat", true, 0},
	{"create a file", create_a_file, ENDS, ENDS, "openat", true, 0},
	{"create a nameless file", create_a_nameless_file, ENDS, ENDS, "openat", true, 0},
	{"truncate a file", truncate_a_file, ENDS, ENDS, "openat", true, 0},
	{"remove a file elsewhere", remove_a_file_elsewhere, ENOENT, ENOENT, NULL, false, 0},
	{"rename a file", rename_a_file, ENDS, ENDS, "rename", false, 0},
	{"make a link", make_a_link, ENDS, ENDS, "symlink", false, 0},
	{"make a folder", make_a_folder, ENDS, EACCES, "mkdir", true, 1},
	{"change a mode", change_a_mode, ENDS, ENDS, NULL, false, 0},
	{"mount", mount_something, ENDS, ENDS, "mount", false, 0},
	{"run a program", run_a_program, ENDS, ENDS, "execve", false, 0},
	{"run a program of memory", run_a_program_of_memory, ENDS, ENDS, "memfd_create", false, 0},
	{"make a process", make_a_process, ENDS, ENDS, "clone", true, 0},
	{"make a thread", make_a_thread, ANY_END, ANY_END, NULL, true,
	 0}, /* libc blocks signals meanwhile */
	{"trace the parent", trace_the_parent, ENDS, ENDS, NULL, true, 0},
	{"read its memory", read_memory_of_the_parent, ENDS, ENDS, "process_vm_readv", true, 0},
	{"signal a process", signal_another_process, ENDS, ENDS, "kill", true, 0},
	{"abort a process", abort_another_process, ENDS, ENDS, "tgkill", true, 0},
	{"make memory executable", make_memory_executable, ENDS, ENDS, "mprotect", false, 0},
	{"map executable memory", map_executable_memory, ENDS, ENDS, "mmap", false, 0},
	{"make a user namespace", make_a_user_namespace, ENDS, ENDS, "unshare", false, 0},
	{"open a raw socket", open_a_raw_socket, ENDS, ENDS, "socket", false, 0},
	{"open a packet socket", open_a_packet_socket, ENDS, ENDS, "socket", false, 0},
	{"open a netlink socket", open_a_netlink_socket, ENDS, ENDS, "socket", false, 0},
	{"open a crypto socket", open_a_crypto_socket, ENDS, ENDS, "socket", false, 0},
	{"open an SCTP socket", open_an_sctp_socket, ENDS, ENDS, "socket", false, 0},
	{"open a TCP socket", open_a_tcp_socket, DONE, ENDS, "socket", false, 0},
	{"open a UDP socket", open_a_udp_socket, DONE, ENDS, "socket", false, 0},
	{"open a Unix socket", open_a_unix_socket, DONE, DONE, NULL, false, 0},
	{"attach a filter", attach_a_filter_to_a_socket, ENOPROTOOPT, ENOPROTOOPT, NULL, false, 0},
	{"limit what a socket keeps", limit_what_a_socket_keeps, DONE, DONE, NULL, false, 0},
	{"refuse descriptors", refuse_descriptors, DONE, DONE, NULL, false, 0},
	{"make one harmless", make_a_descriptor_harmless, DONE, DONE, NULL, false, 0},
	{"inject into the terminal", inject_into_the_terminal, ENDS, ENDS, "ioctl", false, 0},
	{"load a BPF program", load_a_bpf_program, ENDS, ENDS, "bpf", false, 0},
	{"make a ring", make_a_ring, ENDS, ENDS, "io_uring_setup", false, 0},
	{"add a key", add_a_key, ENDS, ENDS, "keyctl", false, 0},
	{"become dumpable", become_dumpable, ENDS, ENDS, "prctl", true, 0},
	{"limits of another", change_the_limits_of_another, ENDS, ENDS, "prlimit64", false, 0},
#ifdef __x86_64__
	{"call as 32 bit", call_as_32_bit, ANY_END, ANY_END, NULL, false, 0},
#endif
	{"reach an abstract socket", reach_an_abstract_socket, EPERM, EPERM, NULL, false, 6},
	{"reach a socket by path", reach_a_socket_by_its_path, DONE, DONE, NULL, false, 0},
	{"make a socket", make_a_socket_here, EACCES, DONE, NULL, true, 1},
	{"watch our folder", watch_our_folder, ENDS, DONE, "inotify_init1", false, 0},
};

/* --- running one --------------------------------------------------------------------------------------------- */

static void enter(enum fl_sandbox_program program, int fd)
{
	const struct fl_place places[] = {
		{folder, FL_PLACE_READ | FL_PLACE_MAKE_SOCKET | FL_PLACE_REMOVE}};
	struct fl_sandbox sandbox = {.is_wanted = true};
	struct fl_log log;

	fl_log_init(&log, fd, FL_LOG_INFO, FL_LOG_JSON, "test");
	fl_harden_process();
	fl_sandbox_enter_files(&sandbox, program, places, program == FL_SANDBOX_AGENT ? 1 : 0);
	fl_sandbox_enter_calls(&sandbox, program, &log);
	if (!sandbox.filters_calls) {
		_exit(200);
	}
}

/* The child's status, and what it has written. */
static int run(const struct attempt *attempt, enum fl_sandbox_program program, char *ret_text,
	       size_t size)
{
	int pipes[2], status = 0;
	ssize_t len;
	pid_t pid;

	cr_assert_eq(pipe(pipes), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		enter(program, pipes[1]);
		_exit(attempt->make());
	}
	(void)close(pipes[1]);
	len = read(pipes[0], ret_text, size - 1);
	ret_text[len > 0 ? len : 0] = '\0';
	(void)close(pipes[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void check(const struct attempt *attempt, enum fl_sandbox_program program, int expected)
{
	const char *who = program == FL_SANDBOX_SIDECAR ? "sidecar" : "agent";
	char text[1024], named[64];
	int status = run(attempt, program, text, sizeof(text));

	if (expected >= 0) {
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == expected,
			  "%s: %s: status %#x instead of %d; %s", who, attempt->name,
			  (unsigned)status, expected, text);
		return;
	}
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: %s: status %#x; %s", who,
		  attempt->name, (unsigned)status, text);
	if (expected == ANY_END) {
		cr_expect_str_empty(text, "%s: %s", who, attempt->name);
		return;
	}
	if (attempt->call != NULL) {
		(void)snprintf(named, sizeof(named), "\"syscall\":\"%s\"", attempt->call);
		cr_expect_not_null(strstr(text, named), "%s: %s: %s", who, attempt->name, text);
	}
	cr_expect_not_null(strstr(text, "\"program\":\"test\""), "%s", text);
	cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "%s: one line", attempt->name);
}

static int listen_on(const struct sockaddr_un *addr, size_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (const struct sockaddr *)addr, (socklen_t)len), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

static unsigned landlock_version(void)
{
	long version = syscall(444, NULL, 0, 1);

	return version > 0 ? (unsigned)version : 0;
}

static void try_all(enum fl_sandbox_program program)
{
	struct sockaddr_un abstract = {.sun_family = AF_UNIX}, named = {.sun_family = AF_UNIX};
	unsigned version = landlock_version();
	int fds[2];

	can_refuse = true;
	can_refuse = refuse_descriptors() == 0;
	(void)snprintf(folder, sizeof(folder), "/tmp/fairlead-sandbox-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	(void)close(open(in_folder("file"), O_RDWR | O_CREAT, 0600));
	(void)snprintf(abstract.sun_path + 1, sizeof(abstract.sun_path) - 1, "%s", folder);
	(void)snprintf(named.sun_path, sizeof(named.sun_path), "%s", in_folder("outside.sock"));
	fds[0] = listen_on(&abstract, sizeof(abstract));
	fds[1] = listen_on(&named, sizeof(named));
	for (size_t i = 0; i < FL_COUNT_OF(attempts); i++) {
		const struct attempt *attempt = &attempts[i];

		if ((IS_RELEASE || !attempt->release_only) && version >= attempt->landlock) {
			check(attempt, program,
			      program == FL_SANDBOX_SIDECAR ? attempt->sidecar : attempt->agent);
		}
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)unlink(in_folder("outside.sock"));
	(void)unlink(in_folder("file"));
	cr_expect_eq(rmdir(folder), 0, "nothing was made");
}

Test(sandbox, sidecar)
{
	try_all(FL_SANDBOX_SIDECAR);
}

Test(sandbox, agent)
{
	try_all(FL_SANDBOX_AGENT);
}

/* --- before the sandbox --------------------------------------------------------------------------------------- */

Test(harden, no_ring_can_be_made)
{
	int status = 0;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		fl_harden_process();
		fl_harden_against_rings();
		_exit(make_a_ring() == ENOSYS ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}
