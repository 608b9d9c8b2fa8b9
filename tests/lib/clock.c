/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Visible, so that shared libraries find these and not libc's. */
#include "clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS_PER_S 1000u
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u

static uint64_t skipped_ms; /* atomic */

void clock_skip_ms(uint64_t ms)
{
	(void)__atomic_add_fetch(&skipped_ms, ms, __ATOMIC_RELAXED);
}

uint64_t clock_real_ms(void)
{
	struct timespec now;

	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the names in libc's headers are reserved */
__attribute__((visibility("default"))) int clock_gettime(clockid_t which, struct timespec *ret)
{
	uint64_t skipped = __atomic_load_n(&skipped_ms, __ATOMIC_RELAXED), ns;

	if (syscall(SYS_clock_gettime, which, ret) != 0) {
		return -1;
	}
	if (which == CLOCK_PROCESS_CPUTIME_ID || which == CLOCK_THREAD_CPUTIME_ID) {
		return 0;
	}
	ns = (uint64_t)ret->tv_nsec + skipped % MS_PER_S * NS_PER_MS;
	ret->tv_sec += (time_t)(skipped / MS_PER_S + ns / NS_PER_S);
	ret->tv_nsec = (long)(ns % NS_PER_S);
	return 0;
}

__attribute__((visibility("default"))) time_t time(time_t *ret)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (ret != NULL) {
		*ret = now.tv_sec;
	}
	return now.tv_sec;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
