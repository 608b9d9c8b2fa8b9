/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_FD_H
#define FL_BASE_FD_H
/* fd - completes system calls that may do only a part. Thread: any. */
#include <stdbool.h>
#include <stddef.h>

/* Writes all of len bytes, in as many calls as that needs; for descriptors that block. False: errno says why. */
bool fl_fd_write_all(int fd, const char *data, size_t len);

#endif
