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
static int64_t read_resident(int fd)
{
	char text[128], *rest;
	ssize_t len = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;
	long long pages;

	if (len <= 0) {
		return -1;
	}
	text[len] = '\0';
	(void)strtoll(text, &rest, 10);
	pages = strtoll(rest, &rest, 10);
	return *rest == ' ' ? (int64_t)pages * sysconf(_SC_PAGESIZE) : -1;
}

/* One by one, as kernels before 6.2 need it. */
static int64_t count_entries(int fd)
{
	_Alignas(struct dirent64) char buf[2048];
	int64_t count = 0;
	ssize_t len;

	(void)lseek(fd, 0, SEEK_SET);
	while ((len = getdents64(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < len;) {
			const struct dirent64 *entry = (const struct dirent64 *)(buf + at);

			count += entry->d_name[0] != '.';
			at += entry->d_reclen;
		}
	}
	return len < 0 ? -1 : count;
}

static int64_t count_descriptors(int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		return -1;
	}
	return st.st_size > 0 ? (int64_t)st.st_size : count_entries(fd);
}

void fl_usage_open(struct fl_usage_files *ret)
{
	ret->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ret->descriptors = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void fl_usage_close(struct fl_usage_files *files)
{
	if (files->statm >= 0) {
		(void)close(files->statm);
	}
	if (files->descriptors >= 0) {
		(void)close(files->descriptors);
	}
}

void fl_usage_read(const struct fl_usage_files *files, struct fl_usage *ret)
{
	struct rlimit limit;

	ret->cpu_us = read_cpu_us();
	ret->resident_bytes = read_resident(files->statm);
	ret->descriptors = count_descriptors(files->descriptors);
	ret->descriptors_max = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int64_t)limit.rlim_cur : -1;
}
