/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_CPUS_H
#define FL_WORKER_CPUS_H
/* cpus - returns how many workers `[sidecar] workers = auto` means: the CPU quota of our cgroup (v2 or v1), rounded up, but not more
 * than the CPUs that this process may run on, and at least 1. A quota of 2.5 CPUs on a machine of 8 makes 3. Main thread, at start. */
unsigned fl_cpus_available(void);
#endif
