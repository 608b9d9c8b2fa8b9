/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_HOSTS_H
#define FL_SERVER_HOSTS_H
/* hosts - the names of /etc/hosts (hosts(5)). The file is opened once, before the sandbox closes the file system, and read again
 * for each question, so that a change is noticed. Thread: main; fl_hosts_search() any. */
#include <stddef.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/log.h"

#define FL_HOSTS_PATH "/etc/hosts"
#define FL_HOSTS_MAX ((size_t)1024 * 1024) /* bytes of the file that are read */

struct fl_hosts {
	const char *path;
	struct fl_log *log;
	int fd; /* -1: there is none */
	/* The file that has replaced ours, and cannot be opened; logged. */
	dev_t refused_dev;
	ino_t refused_ino;
};

/* path and log: borrowed until fl_hosts_close(). It is no error if there is no such file. */
void fl_hosts_open(struct fl_hosts *hosts, const char *path, struct fl_log *log);
void fl_hosts_close(struct fl_hosts *hosts);

/* Returns the addresses of host with port 0, in the order of the file, without those of the other family: an array to free();
 * NULL: none. If the path leads to another file by now, that one is used; if the sandbox forbids this, a warning says so, once for
 * each file. */
union fl_sockaddr *fl_hosts_find(struct fl_hosts *hosts, const char *host, int family,
				 size_t *ret_count);

/* The same in a text of len bytes, which is changed. */
union fl_sockaddr *fl_hosts_search(char *text, size_t len, const char *host, int family,
				   size_t *ret_count);

#endif
