/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WORKER_INTERNAL_H
#define FL_WORKER_WORKER_INTERNAL_H
/* Functions that worker.c and worker_mail.c share. Private to these two files. On the worker's
 * loop, except where marked `main`. */
#include "worker/worker.h"

/* Applies the limits of a new INI to a worker. */
void fl_worker_apply_limits(struct fl_worker *worker, const struct fl_conf *conf);
void fl_worker_drain(struct fl_worker *worker);
/* Closes every handle; fl_net_run() returns when the last of them is gone. */
void fl_worker_stop(struct fl_worker *worker);

/* main: opens the worker's box. main, events: of fl_worker_new(). */
void fl_worker_init_mail(struct fl_worker *worker, struct fl_mailbox *main,
			 const struct fl_worker_events *events);
/* Tells the main thread that nothing is open any more. */
void fl_worker_report_idle(struct fl_worker *worker);

#endif
