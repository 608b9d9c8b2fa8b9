/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MILLION 1000000

static int64_t read_cpu_us(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_SELF, &used) != 0) {
		return -1;
	}
	return ((int64_t)used.ru_utime.tv_sec + used.ru_stime.tv_sec) * MILLION +
	       used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

/* The second number of statm, in pages. */
static int64_t read_resident(void)
{
	char text[128], *rest;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t len;
	long long pages;

	if (fd < 0) {
		return -1;
	}
	len = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (len <= 0) {
		return -1;
	}
	text[len] = '\0';
	(void)strtoll(text, &rest, 10);
	pages = strtoll(rest, &rest, 10);
	return *rest == ' ' ? (int64_t)pages * sysconf(_SC_PAGESIZE) : -1;
}

/* One by one, as kernels before 6.2 need it. */
static int64_t count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	int64_t count = 0;

	if (dir == NULL) {
		return -1;
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone */
	while ((entry = readdir(dir)) != NULL) {
		count += entry->d_name[0] != '.';
	}
	(void)closedir(dir);
	return count - 1; /* without that of the stream */
}

static int64_t count_descriptors(void)
{
	static const char folder[] = "/proc/self/fd";
	struct stat st;

	if (stat(folder, &st) != 0) {
		return -1;
	}
	return st.st_size > 0 ? (int64_t)st.st_size : count_entries(folder);
}

void fl_usage_read(struct fl_usage *ret)
{
	struct rlimit limit;

	ret->cpu_us = read_cpu_us();
	ret->resident_bytes = read_resident();
	ret->descriptors = count_descriptors();
	ret->descriptors_max = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int64_t)limit.rlim_cur : -1;
}
