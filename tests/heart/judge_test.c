/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Open connections judged again: after a change of policy, trust or names, for age, and for a preview. */
#include "heart.h"

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(judge, .init = open_heart, .fini = close_heart);

Test(judge, policy_that_allows_a_peer_no_more_ends_its_connection)
{
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	heart_take(&heart, &(struct heart_options){
				   .rules = "[allow else]\nfrom = spiffe://prod.example/else\n",
				   .extra = "[rotation]\non_policy_loss = close\n"});
	HEART_UNTIL(&heart, side_was_reset(&call.app));
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_POLICY_LOST), 1);
	call_close(&call);
}
