/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_YIELD_H
#define FL_BASE_YIELD_H
/* yield - for threads that do long work beside others that serve. */
#include <sched.h>

/* Between two steps, each well below a millisecond: lets those run that became ready meanwhile. Kernels that preempt lazily
 * (PREEMPT_LAZY, Linux 6.13 on) do not interrupt a thread for another one that wakes up, whatever their priorities, before the
 * next tick: up to 4 ms in which a packet would wait. Any thread. */
static inline void fl_yield(void)
{
	(void)sched_yield();
}

#endif
