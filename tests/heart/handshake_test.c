/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Handshakes of sessions in both directions: in pieces of any size, with every kind of peer, and with failures. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

static const char question[] = "Who is there?";

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(handshake, .init = open_heart, .fini = close_heart);

/* A call whose TLS side is connected, and of which the sidecar has seen no bytes. */
static void begin(struct call *call, enum call_kind kind)
{
	call_begin(&heart, call, kind);
	if (kind == CALL_OUT_TLS) {
		heart_accept(&heart, &call->mesh, PLACE_MESH);
		heart_speak_tls(&heart, &call->mesh, FL_TLS_SERVER, "p256");
	}
}

/* The app is connected, and gets the peer's bytes. */
static void expect_open(struct call *call)
{
	HEART_UNTIL(&heart, call->mesh.is_up);
	if (call->kind == CALL_IN_TLS) {
		heart_accept(&heart, &call->app, PLACE_APP);
	}
	side_say(&call->mesh, question);
	HEART_UNTIL(&heart, side_has(&call->app, question));
}

static void end(struct call *call)
{
	call_close(call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* --- pieces --------------------------------------------------------------------------------------- */

static void shake_hands_in_single_bytes(enum call_kind kind)
{
	struct call call;

	begin(&call, kind);
	call.mesh.pace = 1;
	expect_open(&call);
	end(&call);
}

Test(handshake, bytes_may_come_one_by_one)
{
	shake_hands_in_single_bytes(CALL_IN_TLS);
	shake_hands_in_single_bytes(CALL_OUT_TLS);
}

/* The peer's first flight is cut after each byte in turn. With FAIRLEAD_LONG=1 every cut is tested; otherwise only cuts
 * near record headers and ends, and a sample of the rest. */
#define STEP 23u
#define HEAD 96u

static size_t after(size_t cut, size_t len)
{
	return getenv("FAIRLEAD_LONG") != NULL || cut < HEAD || cut + HEAD > len ? cut + 1
										 : cut + STEP;
}

static void shake_hands_in_two_pieces(enum call_kind kind)
{
	size_t len = 2;

	for (size_t cut = 1; cut < len; cut = after(cut, len)) {
		struct call call;

		begin(&call, kind);
		call.mesh.cut = cut;
		/* A server sends only after the client has sent. */
		while (call.mesh.sent == 0) {
			len = call.mesh.out_len > 0 ? call.mesh.out_len : len;
			heart_turn(&heart);
		}
		call.mesh.pace = 0;
		expect_open(&call);
		end(&call);
	}
}

Test(handshake, first_flight_of_a_client_may_be_cut_anywhere)
{
	shake_hands_in_two_pieces(CALL_IN_TLS);
}

Test(handshake, first_flight_of_a_server_may_be_cut_anywhere)
{
	shake_hands_in_two_pieces(CALL_OUT_TLS);
}

/* The client's last flight and its first data in one piece. */
Test(handshake, last_flight_may_be_cut_anywhere_with_data_behind_it)
{
	size_t len = 2;

	for (size_t cut = 1; cut < len; cut = after(cut, len)) {
		struct call call;

		begin(&call, CALL_IN_TLS);
		while (!call.mesh.is_up) {
			call.mesh.pace =
				call.mesh.out_len; /* the hello, and not the answer to what comes */
			heart_turn(&heart);
			call.mesh.sent = 0;
			call.mesh.cut = cut;
		}
		side_say(&call.mesh, question);
		len = call.mesh.out_len;
		heart_turn(&heart);
		call.mesh.pace = 0;
		heart_accept(&heart, &call.app, PLACE_APP);
		HEART_UNTIL(&heart, side_has(&call.app, question));
		end(&call);
	}
}

/* --- who is there --------------------------------------------------------------------------------- */

static void expect_refused(enum call_kind kind, const char *own, enum fl_reason reason)
{
	struct call call;

	if (kind == CALL_IN_TLS) {
		heart_connect(&heart, &call.mesh, DOOR_STRICT);
		heart_speak_tls(&heart, &call.mesh, FL_TLS_CLIENT, own);
	} else {
		heart_connect(&heart, &call.app, DOOR_MTLS_OUT);
		heart_accept(&heart, &call.mesh, PLACE_MESH);
		heart_speak_tls(&heart, &call.mesh, FL_TLS_SERVER, own);
	}
	HEART_UNTIL(&heart, heart_ended(&heart, call_direction(kind), reason) == 1);
	HEART_UNTIL(&heart, call.mesh.failure != NULL);
	cr_expect_eq(call.mesh.failure->cause, FL_TLS_CAUSE_PEER_ALERT, "%s",
		     call.mesh.failure->text);
	heart_forget(&heart, &call.mesh);
	side_close(&call.mesh);
	if (kind == CALL_OUT_TLS) {
		HEART_UNTIL(&heart, side_was_reset(&call.app));
		heart_forget(&heart, &call.app);
		side_close(&call.app);
	}
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

Test(handshake, peer_that_policy_does_not_know_gets_an_alert)
{
	heart_take(&heart, &(struct heart_options){
				   .rules = "[allow one]\nfrom = spiffe://prod.example/one\n"});
	expect_refused(CALL_IN_TLS, "p256", FL_REASON_POLICY);
}

Test(handshake, server_that_is_somebody_else_gets_an_alert)
{
	expect_refused(CALL_OUT_TLS, "no-eku", FL_REASON_CERTIFICATE);
	cr_expect(heart_logged(&heart, "no-eku"), "%s", heart_log(&heart));
}

Test(handshake, peers_of_a_root_that_is_not_ours_are_refused)
{
	expect_refused(CALL_IN_TLS, "under-p384-root", FL_REASON_CERTIFICATE);
	expect_refused(CALL_OUT_TLS, "under-p384-root", FL_REASON_CERTIFICATE);
}

Test(handshake, revoked_peers_are_refused)
{
	heart_take(&heart, &(struct heart_options){.crl = "root"});
	expect_refused(CALL_IN_TLS, "p384", FL_REASON_CERTIFICATE);
	cr_expect(heart_logged(&heart, "revoked"), "%s", heart_log(&heart));
}

/* --- other protocols ------------------------------------------------------------------------------ */

/* A server that does not know our protocol refuses it, and is dialled again without one; the next connection omits it
 * immediately. */
Test(handshake, server_that_refuses_our_protocol_is_asked_without_it)
{
	for (unsigned i = 0; i < 2; i++) {
		struct call call;

		call_begin(&heart, &call, CALL_OUT_TLS);
		heart_accept(&heart, &call.mesh, PLACE_MESH);
		if (i == 0) {
			static const uint8_t no_application_protocol[] = {21, 3, 3, 0, 2, 2, 120};

			side_send_raw(&call.mesh, no_application_protocol,
				      sizeof(no_application_protocol));
			heart_forget(&heart, &call.mesh);
			side_pump(&call.mesh);
			heart_turn(&heart);
			side_close(&call.mesh);
			heart_accept(&heart, &call.mesh, PLACE_MESH);
		}
		heart_speak_tls(&heart, &call.mesh, FL_TLS_SERVER, "p256");
		expect_open(&call);
		cr_expect_eq(fl_tls_protocol(call.mesh.tls), FL_TLS_PROTOCOL_OTHER);
		end(&call);
	}
}

/* --- what is no handshake ------------------------------------------------------------------------- */

static void expect_end_after_bytes(enum call_kind kind, const void *bytes, size_t len,
				   enum fl_reason reason)
{
	struct call call;

	*(&call) = (struct call){.heart = &heart, .kind = kind};
	side_init(&call.app);
	if (kind == CALL_IN_TLS) {
		heart_connect(&heart, &call.mesh, DOOR_STRICT);
	} else {
		heart_connect(&heart, &call.app, DOOR_MTLS_OUT);
		heart_accept(&heart, &call.mesh, PLACE_MESH);
	}
	side_send_raw(&call.mesh, bytes, len);
	HEART_UNTIL(&heart, heart_ended(&heart, call_direction(kind), reason) == 1);
	HEART_UNTIL(&heart, call.mesh.has_fin || side_was_reset(&call.mesh));
	end(&call);
}

static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

Test(handshake, server_that_speaks_plaintext_is_refused)
{
	expect_end_after_bytes(CALL_OUT_TLS, http, sizeof(http) - 1, FL_REASON_NOT_TLS);
}

Test(handshake, client_that_speaks_plaintext_is_refused)
{
	expect_end_after_bytes(CALL_IN_TLS, http, sizeof(http) - 1, FL_REASON_NOT_TLS);
}

Test(handshake, record_that_is_too_long_is_refused)
{
	static const uint8_t record[] = {22, 3, 3, 0xff, 0xff, 0, 0, 0, 0};

	expect_end_after_bytes(CALL_OUT_TLS, record, sizeof(record), FL_REASON_TLS_PROTOCOL);
}

/* Any one bit of the server's first flight is flipped: no data gets through. */
Test(handshake, flight_with_a_bit_that_is_wrong_is_refused)
{
	for (size_t at = 0; at < 1400; at += 61) {
		struct call call;

		begin(&call, CALL_OUT_TLS);
		heart_forget(&heart, &call.mesh);
		while (call.mesh.out_len == 0) {
			heart_turn(&heart);
			side_pump_in(&call.mesh);
		}
		call.mesh.out[at < call.mesh.out_len ? at : call.mesh.out_len - 1] ^= 4;
		heart_watch(&heart, &call.mesh);
		/* A length that grew may leave us waiting for the rest. */
		for (unsigned i = 0; i < 100 && heart_open_connections(&heart) > 0; i++) {
			heart_turn(&heart);
		}
		heart_skip_ms(&heart, heart_open_connections(&heart) > 0 ? 12000 : 0);
		HEART_UNTIL(&heart, side_was_reset(&call.app));
		cr_expect_eq(call.app.got_len, 0);
		end(&call);
	}
}

Test(handshake, that_ends_with_a_fin_is_cut_short)
{
	struct call call;

	call_begin(&heart, &call, CALL_IN_TLS);
	heart_turn(&heart);
	side_cut_short(&call.mesh);
	HEART_UNTIL(&heart, heart_ended(&heart, FL_INBOUND, FL_REASON_PEER_TRUNCATED) == 1);
	end(&call);
}

Test(handshake, that_ends_with_a_reset)
{
	struct call call;

	begin(&call, CALL_OUT_TLS);
	heart_forget(&heart, &call.mesh);
	side_reset(&call.mesh);
	HEART_UNTIL(&heart, heart_ended(&heart, FL_OUTBOUND, FL_REASON_PEER_RESET) == 1);
	HEART_UNTIL(&heart, side_was_reset(&call.app));
	end(&call);
}

/* --- time ----------------------------------------------------------------------------------------- */

Test(handshake, server_that_stalls_ends_in_time)
{
	struct call call;

	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nhandshake_timeout = 3s\n"});
	call_begin(&heart, &call, CALL_OUT_TLS);
	heart_accept(&heart, &call.mesh, PLACE_MESH); /* and sends nothing */
	HEART_UNTIL(&heart, call.mesh.got_len > 0);
	heart_skip_ms(&heart, 2900);
	cr_expect_str_eq(heart_state(&heart), "handshake");
	heart_skip_ms(&heart, 200);
	HEART_UNTIL(&heart, side_was_reset(&call.app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_HANDSHAKE_TIMEOUT), 1);
	end(&call);
}

Test(handshake, client_that_stalls_after_its_hello_ends_in_time)
{
	struct call call;

	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nhandshake_timeout = 3s\n"});
	call_begin(&heart, &call, CALL_IN_TLS);
	call.mesh.is_deaf = true; /* it never sees the answer */
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	heart_settle(&heart);
	heart_skip_ms(&heart, 3200);
	HEART_UNTIL(&heart, heart_ended(&heart, FL_INBOUND, FL_REASON_HANDSHAKE_TIMEOUT) == 1);
	end(&call);
}

/* The time spent on the ClientHello counts: the timeout of the whole handshake began with its first byte. */
Test(handshake, slow_hello_leaves_less_time_for_the_rest)
{
	struct call call;
	size_t len;

	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nhandshake_timeout = 3s\n"});
	call_begin(&heart, &call, CALL_IN_TLS);
	call.mesh.is_deaf = true;
	len = call.mesh.out_len;
	call.mesh.out_len = 40;
	HEART_UNTIL(&heart, call.mesh.sent == 40);
	heart_settle(&heart);
	heart_skip_ms(&heart, 2500);
	memmove(call.mesh.out, call.mesh.out + 40, len - 40);
	call.mesh.out_len = len - 40;
	HEART_UNTIL(&heart, call.mesh.sent == len);
	heart_settle(&heart);
	cr_expect_eq(heart_open_connections(&heart), 1);
	heart_skip_ms(&heart, 700);
	heart_settle(&heart); /* immediately: real time would also do */
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_HANDSHAKE_TIMEOUT), 1);
	end(&call);
}

/* --- resumption ----------------------------------------------------------------------------------- */

static bool is_resumed(enum call_kind kind)
{
	struct call call;
	bool is_resumed;

	call_open(&heart, &call, kind);
	is_resumed = fl_tls_resumed(call.mesh.tls);
	end(&call);
	return is_resumed;
}

Test(handshake, second_session_with_a_server_is_resumed_until_trust_changes)
{
	cr_expect_not(is_resumed(CALL_OUT_TLS));
	cr_expect(is_resumed(CALL_OUT_TLS));
	cr_expect(is_resumed(CALL_OUT_TLS));
	heart_take(&heart, &(struct heart_options){.crl = "none"});
	cr_expect_not(is_resumed(CALL_OUT_TLS), "under another trust");
	cr_expect(is_resumed(CALL_OUT_TLS));
	cr_expect_eq(heart.loop->counters.handshakes_resumed[FL_OUTBOUND], 3);
}

Test(handshake, nothing_is_resumed_without_tickets)
{
	heart_take(&heart, &(struct heart_options){.tls = "tickets = off\n"});
	cr_expect_not(is_resumed(CALL_OUT_TLS));
	cr_expect_not(is_resumed(CALL_OUT_TLS));
}

/* Several at a time: each gets a ticket, and each of the next ones uses one. */
Test(handshake, sessions_at_once_are_resumed_by_as_many)
{
	struct call calls[6];
	unsigned resumed = 0;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 6; i++) {
			begin(&calls[i], CALL_OUT_TLS);
			calls[i].mesh.is_deaf = true;
		}
		for (unsigned i = 0; i < 6; i++) {
			calls[i].mesh.is_deaf = false;
			expect_open(&calls[i]);
			resumed += fl_tls_resumed(calls[i].mesh.tls);
		}
		cr_expect_eq(resumed, round == 0 ? 0 : 6);
		for (unsigned i = 0; i < 6; i++) {
			call_close(&calls[i]);
		}
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
}
