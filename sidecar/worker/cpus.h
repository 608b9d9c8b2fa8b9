/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_CPUS_H
#define FL_WORKER_CPUS_H
/* cpus - how many workers `[sidecar] workers = auto` means: the CPU quota of our cgroup (v2 or v1) rounded up, at
 * most the CPUs that we may run on, at least 1. Main thread, at start. */
unsigned fl_cpus_available(void);
#endif
