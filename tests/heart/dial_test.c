/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Outbound: where a connection goes, names that have to be asked, addresses that do not answer, slots that are taken. */
#include "heart.h"

#include "base/mem.h"

static struct heart heart;

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(dial, .fini = close_heart);

Test(dial, app_is_reset_when_nobody_listens_at_the_only_address)
{
	struct side app;

	heart_open(&heart, NULL);
	shutdown(heart.places[PLACE_MESH], SHUT_RDWR); /* it listens no more */
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	HEART_UNTIL(&heart, side_was_reset(&app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_PEER_REFUSED), 1);
	heart_forget(&heart, &app);
	side_close(&app);
}

Test(dial, captured_connection_goes_where_it_wanted_to_go)
{
	struct side app, peer;
	struct sockaddr_in to;

	heart_open(&heart, &(struct heart_options){.extra = "[outbound]\ndefault = plaintext\n"});
	to = heart_loopback(heart.place_ports[PLACE_OTHER]);
	heart_pretend_destination((struct sockaddr *)&to);
	heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
	side_say(&app, "hello");
	heart_accept(&heart, &peer, PLACE_OTHER);
	HEART_UNTIL(&heart, side_has(&peer, "hello"));
	heart_forget(&heart, &app);
	heart_forget(&heart, &peer);
	side_close(&app);
	side_close(&peer);
}

/* An upstream that is a name, not answered yet, on the port of PLACE_OTHER. */
Test(dial, captured_connection_waits_for_a_name_and_ends_without_one)
{
	struct fl_upstream_map *map = fl_upstream_map_new();
	struct sockaddr_in to;
	struct side app;
	char *extra;

	heart_open(&heart, &(struct heart_options){.is_closed = true});
	uint16_t port = heart.place_ports[PLACE_OTHER];
	extra = fl_format("[upstream far]\nto = far.example:%u\npeer = spiffe://prod.example/**\n",
			  port);
	fl_upstream_map_add_name(map, &(struct fl_upstream_name){.host = "far.example",
								 .ports = {port, port},
								 .upstream = 2,
								 .state = FL_NAME_UNASKED});
	heart_take(&heart, &(struct heart_options){.extra = extra, .map = map});
	free(extra);
	to = heart_loopback(port);
	heart_pretend_destination((struct sockaddr *)&to);
	heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
	HEART_UNTIL(&heart, heart.wanted[0] == 1);
	heart_skip_ms(&heart, 15000);
	HEART_UNTIL(&heart, side_was_reset(&app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_NO_ADDRESS), 1);
	heart_forget(&heart, &app);
	side_close(&app);
}
