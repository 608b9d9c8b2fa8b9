/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_FD_H
#define FL_BASE_FD_H
/* fd - what a descriptor's system calls do only in part. Thread: any. */
#include <stdbool.h>
#include <stddef.h>

/* All of len bytes, however many calls that takes; for descriptors that block. False: errno says why. */
bool fl_fd_write_all(int fd, const char *data, size_t len);

#endif
