/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/harden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

void fl_harden_process(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifndef __SANITIZE_ADDRESS__
	/* The leak checker traces its own process. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

bool fl_harden_descriptors(void)
{
	/* The opposite of what they are for. */
	static const int modes[] = {
		[STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDONLY};

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		/* The lowest free one is used, and those below are open. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd] | O_NOCTTY) != fd) {
			return false;
		}
	}
	return true;
}

void fl_harden_against_rings(void)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = FL_COUNT_OF(steps), .filter = steps};

	/* SPEC_ALLOW: as in base/sandbox.c. */
	(void)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		      &program);
}

/* Both take CAP_SETPCAP. Who does not have it cannot gain anything by them either: there are no new privileges. */
static void drop_what_could_be_gained(uint64_t keep, bool executes)
{
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
				   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
				   SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	for (unsigned long i = 0; i < 64 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
		if ((keep & FL_CAPABILITY(i)) == 0) {
			(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
		}
	}
	if (!executes) {
		(void)prctl(PR_SET_SECUREBITS, bits, 0, 0, 0);
	}
}

int fl_harden_capabilities(uint64_t keep, bool executes, struct fl_err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

	drop_what_could_be_gained(keep, executes);
	if (syscall(SYS_capget, &header, sets) != 0) {
		return fl_err_sys(err, errno, "cannot read our capabilities");
	}
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t mask = (uint32_t)(keep >> (32 * i));

		sets[i].effective &= mask;
		sets[i].permitted &= mask;
		sets[i].inheritable &= mask; /* and the ambient ones with them */
	}
	if (syscall(SYS_capset, &header, sets) != 0) {
		return fl_err_sys(err, errno, "cannot give up our capabilities");
	}
	return FL_OK;
}

void fl_harden_signals(void)
{
	static const int numbers[] = {
		SIGHUP,    SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM,
		SIGVTALRM, SIGPROF, SIGIO,   SIGPWR,  SIGXFSZ,
#ifdef SIGSTKFLT
		SIGSTKFLT,
#endif
	};

	for (size_t i = 0; i < FL_COUNT_OF(numbers); i++) {
		(void)signal(numbers[i], SIG_IGN);
	}
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
		(void)signal(number, SIG_IGN);
	}
}

bool fl_harden_memory(const void *secret, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)secret & ~(page - 1);
	uintptr_t to = ((uintptr_t)secret + len + page - 1) & ~(page - 1);

	(void)madvise((void *)from, to - from, MADV_DONTDUMP);
	return mlock((void *)from, to - from) == 0;
}
