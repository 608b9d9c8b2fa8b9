/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes between an app and a peer: all of them, in order, whatever pieces they come in. */
#include "heart.h"

#include <string.h>

#define KINDS for (enum call_kind kind = 0; kind < CALL_KINDS; kind++)

static const char question[] = "How many roads must a man walk down?";
static const char answer[] = "42";

Test(relay, carries_a_question_and_its_answer)
{
	KINDS
	{
		struct heart heart;
		struct call call;

		heart_open(&heart, NULL);
		call_open(&heart, &call, kind);
		side_say(call_caller(&call), question);
		HEART_UNTIL(&heart, side_has(call_callee(&call), question));
		side_say(call_callee(&call), answer);
		HEART_UNTIL(&heart, side_has(call_caller(&call), answer));
		cr_expect_str_eq(heart_state(&heart), "open");
		call_close(&call);
		heart_close(&heart);
	}
}
