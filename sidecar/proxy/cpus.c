/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In a container the cgroup of the process is mounted at /sys/fs/cgroup itself, so no path has to be composed.
 * What cannot be read limits nothing. */
#include "proxy/cpus.h"

#include <sched.h>
#include <stdio.h>

/* v2: "MAX PERIOD" or "max PERIOD". 0: no limit. */
static unsigned quota_v2(void)
{
	FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
	long quota = 0, period = 0;
	int fields = 0;

	if (file != NULL) {
		fields = fscanf(file, "%ld %ld", &quota, &period);
		(void)fclose(file);
	}
	return fields == 2 && quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period)
						      : 0;
}

static long read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	long number = -1;

	if (file != NULL) {
		if (fscanf(file, "%ld", &number) != 1) {
			number = -1;
		}
		(void)fclose(file);
	}
	return number;
}

static unsigned quota_v1(void)
{
	long quota = read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
	long period = read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us");

	return quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
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
