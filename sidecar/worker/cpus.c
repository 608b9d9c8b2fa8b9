/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In a container the cgroup of the process is mounted at /sys/fs/cgroup itself, so no path has to
 * be composed. A file that cannot be read sets no limit. */
#include "worker/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* The first line, NUL-terminated; empty when it cannot be read. */
static void read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "re");

	line[0] = '\0';
	if (file != NULL) {
		if (fgets(line, size, file) == NULL) {
			line[0] = '\0';
		}
		(void)fclose(file);
	}
}

/* CPUs of a quota, rounded up; 0: no limit. */
static unsigned long cpus_of(long quota, long period)
{
	return quota > 0 && period > 0 ? (unsigned long)(quota / period + (quota % period != 0))
				       : 0;
}

/* "max" is read as 0. */
static unsigned long cpus_v2(const char *max)
{
	char *rest;
	long quota = strtol(max, &rest, 10);

	return cpus_of(quota, strtol(rest, NULL, 10));
}

unsigned fl_cpus_under(const struct fl_cpus_quota *quota, unsigned allowed)
{
	unsigned long cpus = cpus_v2(quota->max);

	if (cpus == 0) {
		cpus = cpus_of(strtol(quota->quota, NULL, 10), strtol(quota->period, NULL, 10));
	}
	return cpus > 0 && cpus < allowed ? (unsigned)cpus : allowed;
}

unsigned fl_cpus_available(void)
{
	char max[64], quota[64], period[64];
	unsigned allowed = 1;
	cpu_set_t set;

	read_line("/sys/fs/cgroup/cpu.max", max, sizeof(max));
	read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof(quota));
	read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof(period));
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
		allowed = (unsigned)CPU_COUNT(&set);
	}
	return fl_cpus_under(&(struct fl_cpus_quota){max, quota, period}, allowed);
}
