/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_GUARDED_H
#define FL_BASE_GUARDED_H
/* guarded - checks that only trusted users can create, remove or rename entries of a directory and of all directories above it:
 * then they have created whatever exists there under a name. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* dir: absolute. The directory itself must belong to root or to one of trusted, and only its owner may write to it:
 * a group counts as others, and the sticky bit does not help, because anybody may still create a name that is free. For
 * directories above it the sticky bit suffices. A directory that does not exist (yet) is accepted. ACLs show in the group's bits.
 * Errors: FL_ERR_INVALID with the directory and the reason; FL_ERR_IO: one, or where a link leads, cannot be examined. */
int fl_guarded(const char *dir, const uid_t *trusted, size_t count, struct fl_err *err) FL_MUST_USE;
/* The same for the directory of path. */
int fl_guarded_path(const char *path, const uid_t *trusted, size_t count,
		    struct fl_err *err) FL_MUST_USE;
/* Is the directory above dir sticky and writable for everybody, as /tmp or a volume in memory? Then the owner of dir may create
 * it. */
bool fl_guarded_above_is_shared(const char *dir);

#endif
