/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inbound connections until it is known what they are: detection, silence, crowds, and slots for handshakes. */
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

TestSuite(stranger, .init = open_heart, .fini = close_heart);

Test(stranger, plaintext_at_a_permissive_port_reaches_the_app_whole)
{
	struct side client, app;

	heart_connect(&heart, &client, DOOR_PERMISSIVE);
	side_say(&client, "GET / HTTP/1.1\r\n\r\n");
	heart_accept(&heart, &app, PLACE_APP);
	HEART_UNTIL(&heart, side_has(&app, "GET / HTTP/1.1\r\n\r\n"));
	heart_forget(&heart, &client);
	heart_forget(&heart, &app);
	side_close(&client);
	side_close(&app);
}

Test(stranger, plaintext_at_a_strict_port_is_refused)
{
	struct side client;

	heart_connect(&heart, &client, DOOR_STRICT);
	side_say(&client, "GET / HTTP/1.1\r\n\r\n");
	HEART_UNTIL(&heart, client.has_fin || side_was_reset(&client));
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_NOT_TLS), 1);
	heart_forget(&heart, &client);
	side_close(&client);
}

Test(stranger, silent_client_of_a_strict_port_is_reset_in_time)
{
	struct side client;

	heart_connect(&heart, &client, DOOR_STRICT);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	heart_skip_ms(&heart, 6000);
	HEART_UNTIL(&heart, side_was_reset(&client));
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_HANDSHAKE_TIMEOUT), 1);
	heart_forget(&heart, &client);
	side_close(&client);
}
