/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_CPUS_H
#define FL_WORKER_CPUS_H
/* cpus - how many workers `[sidecar] workers = auto` means: the CPU quota of our cgroup, rounded
 * up, but not more than the CPUs that this process may run on, and at least 1. Example: a quota of
 * 2.5 CPUs on a machine with 8 gives 3 workers. */

/* The first lines of what a cgroup says about its quota; "": there is no such file. */
struct fl_cpus_quota {
	const char *max;    /* v2, cpu.max: "QUOTA PERIOD", or "max PERIOD" */
	const char *quota;  /* v1, cpu.cfs_quota_us; -1: no limit */
	const char *period; /* v1, cpu.cfs_period_us */
};

/* Returns how many of the CPUs that the process may run on (allowed, at least 1) the quota leaves
 * it. The v2 quota takes precedence over the v1 quota; text that is not a quota sets no limit.
 * Pure; thread: any. */
unsigned fl_cpus_under(const struct fl_cpus_quota *quota, unsigned allowed);

/* Returns the same for this process. Main thread, at start. */
unsigned fl_cpus_available(void);

#endif
