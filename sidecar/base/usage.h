/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_USAGE_H
#define FL_BASE_USAGE_H
/* usage - what this process uses of the machine: CPU time, memory, descriptors. Thread: any. */
#include <stdint.h>

/* -1: not known, because there is no /proc, or no descriptor left to read it with. */
struct fl_usage {
	int64_t cpu_us;          /* user and system, of all threads */
	int64_t resident_bytes;  /* with shared libraries */
	int64_t descriptors;     /* that are open */
	int64_t descriptors_max; /* the soft limit */
};

/* Takes some system calls and never fails. */
void fl_usage_read(struct fl_usage *ret);

#endif
