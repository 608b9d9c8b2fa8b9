/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WORKER_INTERNAL_H
#define FL_WORKER_WORKER_INTERNAL_H
/* What worker.c runs and worker_mail.c is told. Private to the two. On the worker's loop, except what is marked `main`. */
#include "worker/worker.h"

/* What a worker takes from each new INI. */
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
