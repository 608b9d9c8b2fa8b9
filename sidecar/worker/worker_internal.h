/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WORKER_INTERNAL_H
#define FL_WORKER_WORKER_INTERNAL_H
/* What worker.c runs, worker_mail.c is told and worker_accept.c accepts. Private to the three. On the worker's loop but for
 * what is marked `main`. */
#include "worker/worker.h"

/* Under the first share. One that cannot be opened is logged. */
void fl_worker_open_listeners(struct fl_worker *worker);
/* As the current share's modes ask for: where nothing comes but TLS, a handshake takes a packet less. */
void fl_worker_tune_listeners(struct fl_worker *worker);
/* Also what is bound and was never opened; again: nothing happens. */
void fl_worker_close_listeners(struct fl_worker *worker);

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
