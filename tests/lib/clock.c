/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Visible, so that shared libraries find these and not libc's. */
#include "clock.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

static uint64_t skipped_ns; /* atomic */

/* A lock of our own: a sanitizer may ask for the time before its own are ready. */
static bool is_locked;
static uint64_t last_ns, left_out_ns; /* under the lock */

void clock_skip_ms(uint64_t ms)
{
	(void)__atomic_add_fetch(&skipped_ns, ms * NS_PER_MS, __ATOMIC_RELAXED);
}

static uint64_t real_ns(void)
{
	struct timespec now;

	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_real_ms(void)
{
	return real_ns() / NS_PER_MS;
}

/* Real time minus this never goes back, whichever thread asks. */
static uint64_t left_out(clockid_t which, struct timespec *ret_real, int *ret_rc)
{
	uint64_t now, result;

	while (__atomic_test_and_set(&is_locked, __ATOMIC_ACQUIRE)) {
		(void)sched_yield();
	}
	now = real_ns();
	if (last_ns != 0 && now - last_ns > CLOCK_STEP_MS * NS_PER_MS) {
		left_out_ns += now - last_ns - CLOCK_STEP_MS * NS_PER_MS;
	}
	last_ns = now;
	*ret_rc = (int)syscall(SYS_clock_gettime, which, ret_real);
	result = left_out_ns;
	__atomic_clear(&is_locked, __ATOMIC_RELEASE);
	return result;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the names in libc's headers are reserved */
__attribute__((visibility("default"))) int clock_gettime(clockid_t which, struct timespec *ret)
{
	uint64_t skipped = __atomic_load_n(&skipped_ns, __ATOMIC_RELAXED), ns;
	int rc;

	skipped -= left_out(which, ret, &rc);
	if (rc != 0 || which == CLOCK_PROCESS_CPUTIME_ID || which == CLOCK_THREAD_CPUTIME_ID) {
		return rc;
	}
	ns = (uint64_t)ret->tv_sec * NS_PER_S + (uint64_t)ret->tv_nsec + skipped;
	ret->tv_sec = (time_t)(ns / NS_PER_S);
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
