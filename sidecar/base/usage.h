/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_USAGE_H
#define FL_BASE_USAGE_H
/* usage - what this process uses of the machine: CPU time, memory, descriptors. The files of /proc that say so are opened once, so
 * that they can be read when the sandbox opens none. Thread: any. */
#include <stdint.h>

/* -1: not known, because there is no /proc. */
struct fl_usage {
	int64_t cpu_us;          /* user and system, of all threads */
	int64_t resident_bytes;  /* with shared libraries */
	int64_t descriptors;     /* that are open */
	int64_t descriptors_max; /* the soft limit */
};

struct fl_usage_files {
	int statm, descriptors; /* -1: there is none */
};

void fl_usage_open(struct fl_usage_files *ret);
void fl_usage_close(struct fl_usage_files *files);

/* Takes some system calls and never fails. */
void fl_usage_read(const struct fl_usage_files *files, struct fl_usage *ret);

#endif
