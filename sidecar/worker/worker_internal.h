/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WORKER_INTERNAL_H
#define FL_WORKER_WORKER_INTERNAL_H
/* What worker.c runs and worker_accept.c accepts. Private to the two. On the worker's loop. */
#include "worker/worker.h"

/* Under the first share. One that cannot be opened is logged. */
void fl_worker_open_listeners(struct fl_worker *worker);
/* As the current share's modes ask for: where nothing comes but TLS, a handshake takes a packet less. */
void fl_worker_tune_listeners(struct fl_worker *worker);
/* Also what is bound and was never opened; again: nothing happens. */
void fl_worker_close_listeners(struct fl_worker *worker);

#endif
