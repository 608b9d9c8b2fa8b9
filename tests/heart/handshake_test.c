/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Handshakes of sessions, either way, whatever pieces they come in. */
#include "heart.h"

Test(handshake, inbound_in_single_bytes)
{
	struct heart heart;
	struct call call;

	heart_open(&heart, NULL);
	call_begin(&heart, &call, CALL_IN_TLS);
	call.mesh.pace = 1;
	HEART_UNTIL(&heart, call.mesh.is_up);
	heart_accept(&heart, &call.app, PLACE_APP);
	call_close(&call);
	heart_close(&heart);
}
