/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A connection of each kind, from accept to close, with each of its calls failing in turn: it ends well or is lost, and nothing
 * else is. */
#include "heart.h"

static void ends_well_whatever_fails(enum call_kind kind, struct faults *faults)
{
	struct heart heart;

	heart_open(&heart, NULL);
	while (faults_next(faults)) {
		struct call call;

		call_begin(&heart, &call, kind);
		for (unsigned i = 0; i < 20 && heart_open_connections(&heart) == 0; i++) {
			heart_turn(&heart);
		}
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	heart_close(&heart);
}

Test(faults, accept_without_memory)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};

	ends_well_whatever_fails(CALL_IN_TLS, &faults);
	cr_expect_gt(faults.most, 0);
}
