/* SPDX-License-Identifier: GPL-3.0-or-later */
/* resume_test - sessions that are resumed, and everything that makes a handshake a full one: the
 * peer is then judged by its certificate, and never fails for the ticket that it had. */
#include "resume_mesh.h"

Test(resume, both_sides_know_each_other_again)
{
	struct mesh mesh = {0};
	mesh_open(&mesh, fresh_keys(NULL));
	mesh_handshake(&mesh);
	expect_outcome(&mesh, false);
	cr_assert_not_null(mesh.saved);
	int64_t client_until = fl_tls_peer_until(fl_tls_peer_of(mesh.pair.server.tls)),
		server_until = fl_tls_peer_until(fl_tls_peer_of(mesh.pair.client.tls));
	for (int i = 0; i < 3; i++) {
		cr_assert(mesh_again(&mesh));
		mesh_handshake(&mesh);
		expect_outcome(&mesh, true);
		cr_assert_eq(fl_tls_peer_until(fl_tls_peer_of(mesh.pair.server.tls)), client_until);
		cr_assert_eq(fl_tls_peer_until(fl_tls_peer_of(mesh.pair.client.tls)), server_until);
		cr_assert_eq(fl_tls_protocol(mesh.pair.server.tls), FL_TLS_PROTOCOL_RAW);
		cr_assert_str_eq(fl_tls_group(mesh.pair.client.tls), "X25519MLKEM768");
		cr_assert_str_eq(fl_tls_group(mesh.pair.server.tls), "X25519MLKEM768");
	}
	mesh_close(&mesh);
}

Test(resume, every_cipher_and_split)
{
	for (size_t c = 0; c < FL_COUNT_OF(all_ciphers); c++) {
		struct mesh mesh = {0};
		mesh_open(&mesh, fresh_keys(NULL));
		mesh.options.ciphers = &all_ciphers[c];
		mesh.options.cipher_count = 1;
		mesh_rotate(&mesh, FL_TLS_SERVER, fl_tls_ticket_keys_ref(mesh.options.ticket_keys));
		side_close(&mesh.pair.server);
		side_open(&mesh.pair.server, FL_TLS_SERVER, &mesh.server);
		mesh_handshake(&mesh);
		cr_assert_str_eq(fl_tls_cipher(mesh.pair.client.tls), all_ciphers[c]);
		cr_assert(mesh_again(&mesh));
		pair_start(&mesh.pair);
		pair_settle(&mesh.pair, 1 + c * 100);
		expect_outcome(&mesh, true);
		mesh_close(&mesh);
	}
}

/* While the connection that the session came from is alive, and more than once. */
Test(resume, one_session_for_many_connections)
{
	struct mesh mesh = {0};
	struct side first;
	mesh_open(&mesh, fresh_keys(NULL));
	mesh_handshake(&mesh);
	first = mesh.pair.client;
	mesh.pair.client.tls = NULL;
	mesh.pair.client.out = mesh.pair.client.got = NULL;
	mesh.pair.client.out_cap = mesh.pair.client.got_cap = 0;
	mesh.pair.client.got_len = mesh.pair.client.out_len = 0;
	for (int i = 0; i < 3; i++) {
		cr_assert(mesh_again(&mesh));
		pair_handshake(&mesh.pair);
		expect_outcome(&mesh, true);
	}
	cr_assert_not(fl_tls_resumed(first.tls));
	fl_tls_free(first.tls);
	free(first.out);
	free(first.got);
	mesh_close(&mesh);
}

/* Many times as many as wolfSSL's counter allows; every 201st is a full one. The server finds each ticket too old to be
 * kept, so that each resumption has another one. */
Test(resume, a_thousand_in_a_chain)
{
	struct mesh mesh = {0};
	size_t full = 0;
	mesh_open(&mesh, fresh_keys(NULL));
	mesh.pair.server.ctx->now = in_eleven_minutes;
	mesh_handshake(&mesh);
	for (int i = 1; i <= 1000; i++) {
		cr_assert(mesh_again(&mesh));
		mesh_handshake(&mesh);
		cr_assert_not_null(mesh.saved, "%d", i);
		cr_assert_eq(fl_tls_resumed(mesh.pair.client.tls), i % 201 != 0, "%d", i);
		full += !fl_tls_resumed(mesh.pair.server.tls);
	}
	cr_assert_eq(full, 4);
	expect_outcome(&mesh, true);
	mesh_close(&mesh);
}

/* Does the client get another ticket by resuming the one that it has? */
static bool renews(struct mesh *mesh)
{
	cr_assert(mesh_again(mesh));
	pair_handshake(&mesh->pair);
	expect_outcome(mesh, true);
	struct fl_tls_saved *saved = fl_tls_save(mesh->pair.client.tls);
	fl_tls_saved_free(saved);
	return saved != NULL;
}

Test(resume, a_thousand_with_one_ticket)
{
	struct mesh mesh = {0};
	mesh_open(&mesh, fresh_keys(NULL));
	mesh_handshake(&mesh);
	for (int i = 0; i < 1000; i++) {
		cr_assert_not(renews(&mesh), "%d", i);
	}
	mesh_close(&mesh);
}

Test(resume, old_ticket_and_one_of_the_previous_key_are_replaced)
{
	struct mesh mesh = {0};
	mesh_open(&mesh, fresh_keys(NULL));
	mesh_handshake(&mesh);
	mesh.pair.server.ctx->now = in_eleven_minutes;
	cr_assert(renews(&mesh));
	mesh_rotate(&mesh, FL_TLS_SERVER, fresh_keys(mesh.options.ticket_keys));
	cr_assert(renews(&mesh));
	mesh_close(&mesh);
}

/* Others' clients throw a ticket away that they have used: they get another one each time. */
Test(resume, peer_without_our_protocol__a_ticket_each_time)
{
	struct mesh mesh = {0};
	mesh_open(&mesh, fresh_keys(NULL));
	for (int i = 0; i < 3; i++) {
		if (i > 0) {
			cr_assert(mesh_again(&mesh));
		}
		TLSX_Remove(&mesh.pair.client.tls->wolf->extensions,
			    TLSX_APPLICATION_LAYER_PROTOCOL, NULL);
		fl_tls_saved_free(mesh.saved);
		mesh.saved = NULL;
		pair_handshake(&mesh.pair);
		ASSERT_UP(&mesh.pair);
		cr_assert_eq(fl_tls_protocol(mesh.pair.server.tls), FL_TLS_PROTOCOL_OTHER);
		cr_assert_eq(fl_tls_resumed(mesh.pair.server.tls), i > 0);
		mesh.saved = fl_tls_save(mesh.pair.client.tls);
		cr_assert_not_null(mesh.saved, "%d", i);
	}
	mesh_close(&mesh);
}

/* --- what is saved, and when ---------------------------------------------------------------------- */

Test(resume, nothing_to_save_before_the_ticket)
{
	struct mesh mesh = {0};
	mesh_open(&mesh, fresh_keys(NULL));
	pair_start(&mesh.pair);
	cr_assert_null(fl_tls_save(mesh.pair.client.tls));
	side_deliver(&mesh.pair.server, &mesh.pair.client, 0);
	side_deliver(&mesh.pair.client, &mesh.pair.server, 0);
	cr_assert(side_is_up(&mesh.pair.client));
	cr_assert_null(fl_tls_save(mesh.pair.client.tls));
	pair_settle(&mesh.pair, 0);
	cr_assert_null(fl_tls_save(mesh.pair.server.tls), "a server has nothing to resume");
	mesh.saved = fl_tls_save(mesh.pair.client.tls);
	cr_assert_not_null(mesh.saved);
	cr_assert_str_eq(fl_tls_peer_name(mesh.saved->peer), server_id);
	mesh_close(&mesh);
}

Test(resume, without_keys_no_tickets)
{
	struct mesh mesh = {0};
	struct fl_tls_ticket_keys *keys = fresh_keys(NULL);
	mesh_open(&mesh, NULL);
	mesh_rotate(&mesh, FL_TLS_CLIENT, fl_tls_ticket_keys_ref(keys));
	pair_again(&mesh.pair, &mesh.client, &mesh.server);
	mesh_handshake(&mesh); /* the server has none */
	cr_assert_null(mesh.saved);
	mesh_rotate(&mesh, FL_TLS_SERVER, fl_tls_ticket_keys_ref(keys));
	pair_again(&mesh.pair, &mesh.client, &mesh.server);
	mesh_handshake(&mesh);
	cr_assert_not_null(mesh.saved);
	mesh_rotate(&mesh, FL_TLS_SERVER, NULL); /* and has none again */
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	expect_outcome(&mesh, false);
	cr_assert_null(fl_tls_save(mesh.pair.client.tls));
	/* Nor does a client without keys use any. */
	side_close(&mesh.pair.client);
	side_open(&mesh.pair.client, FL_TLS_CLIENT, &mesh.client);
	cr_assert_not(fl_tls_resume(mesh.pair.client.tls, mesh.saved));
	fl_tls_ticket_keys_unref(keys);
	mesh_close(&mesh);
}

/* A ticket names a chain, so the length of the ID makes no difference. */
Test(resume, long_id)
{
	struct mesh mesh = {.client = {.own = "uri-2048"}};
	mesh_open(&mesh, fresh_keys(NULL));
	mesh_handshake(&mesh);
	cr_assert(mesh_again(&mesh));
	mesh_handshake(&mesh);
	cr_assert(fl_tls_resumed(mesh.pair.server.tls));
	cr_assert_eq(strlen(fl_tls_peer_id(mesh.pair.server.tls)), 2048);
	mesh_close(&mesh);
}

/* --- what the client refuses to use ---------------------------------------------------------------- */

Test(resume, client__servers_chain_has_run_out)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	mesh.pair.client.ctx->now = far_future;
	cr_assert_not(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	ASSERT_FAILED(&mesh.pair.client, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_EXPIRED, 45);
	mesh_close(&mesh);
}

Test(resume, client__ticket_is_too_old)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	mesh.pair.client.ctx->now = next_hour;
	cr_assert_not(mesh_again(&mesh));
	expect_full(&mesh);
}

static bool expects(void *user, const char *id, size_t len)
{
	return strlen(user) == len && memcmp(user, id, len) == 0;
}

Test(resume, client__expect_is_asked_again)
{
	char own[] = "spiffe://prod.example/ns/test/sa/other-names",
	     other[] = "spiffe://prod.example/x";
	struct mesh mesh = {.client = {.expect = expects, .expect_user = own}};
	mesh_saved(&mesh);
	cr_assert(mesh_again(&mesh));
	mesh.client.expect_user = other;
	cr_assert_not(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	ASSERT_FAILED(&mesh.pair.client, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_PEER, 49);
	mesh_close(&mesh);
}

Test(resume, client__bundle_is_gone_or_empty)
{
	static const char *const others[] = {"other.example=other"}, *const empty[] = {
									     "prod.example="};
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	const char *const *const bundles[] = {others, empty};
	for (size_t i = 0; i < FL_COUNT_OF(bundles); i++) {
		mesh.client.bundles = bundles[i];
		mesh.client.bundle_count = 1;
		mesh_rotate(&mesh, FL_TLS_CLIENT, fl_tls_ticket_keys_ref(mesh.options.ticket_keys));
		cr_assert_not(mesh_again(&mesh));
		pair_handshake(&mesh.pair);
		cr_assert_eq(mesh.pair.client.step, FL_TLS_FAILED);
		cr_assert_eq(fl_tls_failure(mesh.pair.client.tls)->cause, FL_TLS_CAUSE_CERTIFICATE);
	}
	mesh_close(&mesh);
}

Test(resume, client__cipher_or_group_no_longer_configured)
{
	static const char *const classic[] = {"X25519"};
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	for (int i = 0; i < 2; i++) {
		struct fl_tls_options options = mesh.options;
		struct side_spec spec = {.options = &options};
		if (i == 0) {
			options.ciphers = &all_ciphers[1];
			options.cipher_count = 1;
		} else {
			options.groups = classic;
			options.group_count = 1;
		}
		side_close(&mesh.pair.client);
		side_open(&mesh.pair.client, FL_TLS_CLIENT, &spec);
		cr_assert_not(mesh_again(&mesh));
		pair_handshake(&mesh.pair);
		expect_outcome(&mesh, false);
	}
	mesh_close(&mesh);
}
