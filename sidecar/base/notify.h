/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_NOTIFY_H
#define FL_BASE_NOTIFY_H
/* notify - tells the service manager how far we are: sd_notify(3), without its library. Thread: the main one, because it reads the
 * environment. */
#include <stdbool.h>

#include "base/err.h"

#define FL_NOTIFY_READY "READY=1"
#define FL_NOTIFY_STOPPING "STOPPING=1"

/* Does anybody listen? That is, does the environment have NOTIFY_SOCKET? */
bool fl_notify_is_wanted(void);

/* Sends state to the socket that NOTIFY_SOCKET names, a path or (`@name`) an abstract one. Never blocks. Without the
 * variable nothing happens: FL_OK. Errors: FL_ERR_INVALID, the name is neither or too long; FL_ERR_IO, it was not
 * sent. */
int fl_notify(const char *state, struct fl_err *err);

/* RELOADING=1 with the time that the manager compares with; FL_NOTIFY_READY ends it. Errors: as above. */
int fl_notify_reloading(struct fl_err *err);

#endif
