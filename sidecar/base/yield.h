/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_YIELD_H
#define FL_BASE_YIELD_H
/* yield - for threads that compute for long while others serve connections. */
#include <sched.h>

/* Call it between steps that each take well below a millisecond: it lets threads run that have become ready. Kernels that
 * preempt lazily (PREEMPT_LAZY, since Linux 6.13) do not interrupt a thread for another one that wakes up, whatever their
 * priorities, before the next tick: a packet would wait up to 4 ms. Any thread. */
static inline void fl_yield(void)
{
	(void)sched_yield();
}

#endif
