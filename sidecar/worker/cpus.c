/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In a container the cgroup of the process is mounted at /sys/fs/cgroup itself, so no path has to be composed.
 * What cannot be read limits nothing. */
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
static unsigned cpus_of(long quota, long period)
{
	return quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

/* v2: "QUOTA PERIOD", or "max PERIOD", which strtol() reads as 0. */
static unsigned quota_v2(void)
{
	char line[64], *rest;
	long quota;

	read_line("/sys/fs/cgroup/cpu.max", line, sizeof(line));
	quota = strtol(line, &rest, 10);
	return cpus_of(quota, strtol(rest, NULL, 10));
}

static unsigned quota_v1(void)
{
	char quota[64], period[64];

	read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof(quota));
	read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof(period));
	return cpus_of(strtol(quota, NULL, 10), strtol(period, NULL, 10));
}

unsigned fl_cpus_available(void)
{
	cpu_set_t set;
	unsigned allowed = 1, quota = quota_v2();

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
		allowed = (unsigned)CPU_COUNT(&set);
	}
	if (quota == 0) {
		quota = quota_v1();
	}
	return quota > 0 && quota < allowed ? quota : allowed;
}
