/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_GUARDED_H
#define FL_BASE_GUARDED_H
/* guarded - a directory in which nobody but those we trust can put, remove or rename anything, all the way from the root:
 * what stands there under a name was put there by them. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* dir: absolute. The directory itself must belong to root or to one of trusted, and nobody but its owner may write to it:
 * its group is "others", too, and the sticky bit does not help, because it lets anybody take a name that is free. Above
 * it the sticky bit is enough. What does not exist (yet) is fine. ACLs show in the group's bits.
 * Errors: FL_ERR_INVALID with which directory it is, and why. */
int fl_guarded(const char *dir, const uid_t *trusted, size_t count, struct fl_err *err) FL_MUST_USE;
/* The same of the directory that path stands in. */
int fl_guarded_path(const char *path, const uid_t *trusted, size_t count,
		    struct fl_err *err) FL_MUST_USE;
/* Is what dir stands in everybody's, and sticky, as /tmp or a volume in memory? Then dir is for its owner to make. */
bool fl_guarded_above_is_shared(const char *dir);

#endif
