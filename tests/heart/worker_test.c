/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker's life: its mailbox, its listeners, draining and stopping. */
#include "heart.h"

Test(worker, that_never_started_is_discarded)
{
	struct heart heart;

	heart_open(&heart, &(struct heart_options){.is_closed = true});
	cr_expect_not(fl_worker_serving(heart.worker));
	heart_close(&heart);
}

Test(worker, that_drains_says_so_when_nothing_is_open)
{
	struct heart heart;
	struct call call;

	heart_open(&heart, NULL);
	call_open(&heart, &call, CALL_IN_TLS);
	fl_worker_post_drain(heart.worker);
	heart_settle(&heart);
	cr_expect_eq(heart.idle, 0);
	side_finish(&call.mesh);
	side_finish(&call.app);
	HEART_UNTIL(&heart, heart.idle == 1);
	call_close(&call);
	heart_close(&heart);
}
