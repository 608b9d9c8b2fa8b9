/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/harden.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

bool fl_harden_memory(const void *secret, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)secret & ~(page - 1);
	uintptr_t to = ((uintptr_t)secret + len + page - 1) & ~(page - 1);

	(void)madvise((void *)from, to - from, MADV_DONTDUMP);
	return mlock((void *)from, to - from) == 0;
}
