/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tickets that a server rejects, and what a client proves in spite of them. */
#include "resume_mesh.h"

/* --- what the server rejects ------------------------------------------------------------------------ */

Test(resume, server__previous_key_is_good_and_the_one_before_is_not)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	struct fl_tls_ticket_keys *second = fresh_keys(mesh.options.ticket_keys),
				  *third = fresh_keys(second);
	mesh_rotate(&mesh, FL_TLS_SERVER, second);
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	expect_outcome(&mesh, true);
	mesh_rotate(&mesh, FL_TLS_SERVER, third);
	cr_assert(mesh_again(&mesh));
	expect_full(&mesh);
}

/* Another trust, or another server: keys without a predecessor. */
Test(resume, server__other_keys)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	mesh_rotate(&mesh, FL_TLS_SERVER, fresh_keys(NULL));
	cr_assert(mesh_again(&mesh));
	expect_full(&mesh);
}

Test(resume, server__clients_chain_has_run_out)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	mesh.pair.server.ctx->now = far_future;
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	ASSERT_FAILED(&mesh.pair.server, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_EXPIRED, 45);
	mesh_close(&mesh);
}

/* The ticket is good; the domain's bundle is not there, and the client is refused by certificate. */
Test(resume, server__bundle_is_gone)
{
	static const char *const others[] = {"other.example=other"};
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	mesh.server.bundles = others;
	mesh.server.bundle_count = 1;
	mesh_rotate(&mesh, FL_TLS_SERVER, fl_tls_ticket_keys_ref(mesh.options.ticket_keys));
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	ASSERT_FAILED(&mesh.pair.server, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_TRUST_DOMAIN, 48);
	mesh_close(&mesh);
}

Test(resume, server__each_byte_of_the_ticket_counts)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	WOLFSSL_SESSION *session = mesh.saved->session;
	cr_assert_gt(session->ticketLen, WOLFSSL_INTERNAL_TICKET_LEN + 60);
	for (size_t i = 0; i < session->ticketLen; i++) {
		for (int bit = 0; bit < 8; bit += 7) {
			session->ticket[i] ^= (uint8_t)(1u << bit);
			cr_assert(mesh_again(&mesh));
			pair_handshake(&mesh.pair);
			ASSERT_UP(&mesh.pair);
			cr_assert_not(fl_tls_resumed(mesh.pair.server.tls), "byte %zu", i);
			session->ticket[i] ^= (uint8_t)(1u << bit);
		}
	}
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	expect_outcome(&mesh, true);
	mesh_close(&mesh);
}

Test(resume, server__ticket_cut_short_or_longer_or_tiny)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	WOLFSSL_SESSION *session = mesh.saved->session;
	const word16 len = session->ticketLen;
	/* 32 is the length of a session ID, which wolfSSL would look up in its own cache. */
	const word16 lengths[] = {1, 32, 64, (word16)(len - 1), (word16)(len - 17)};
	for (size_t i = 0; i < FL_COUNT_OF(lengths); i++) {
		session->ticketLen = lengths[i];
		cr_assert(mesh_again(&mesh));
		pair_handshake(&mesh.pair);
		expect_outcome(&mesh, false);
	}
	session->ticketLen = len;
	mesh_close(&mesh);
}

/* A thief of a ticket does not have its secret. */
Test(resume, server__ticket_without_its_secret__fails)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	mesh.saved->session->masterSecret[3] ^= 1;
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	cr_assert_eq(mesh.pair.server.step, FL_TLS_FAILED);
	cr_assert_eq(fl_tls_failure(mesh.pair.server.tls)->cause, FL_TLS_CAUSE_PROTOCOL, "%s",
		     fl_tls_failure(mesh.pair.server.tls)->text);
	cr_assert_null(fl_tls_peer_id(mesh.pair.server.tls));
	mesh_close(&mesh);
}

/* The server's part of the handshake is done without a certificate: the client must have asked. */
Test(resume, client_that_wants_no_key_exchange__full)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	cr_assert(mesh_again(&mesh));
	mesh.pair.client.tls->wolf->options.onlyPskDheKe = 0;
	mesh.pair.client.tls->wolf->options.noPskDheKe = 1;
	pair_handshake(&mesh.pair);
	cr_assert_not(fl_tls_resumed(mesh.pair.server.tls));
	mesh_close(&mesh);
}

/* Two tickets in one hello: the first that is good is the only one that can be, no matter whose the second is. (Otherwise a
 * stolen ticket beside one's own would lend its identity.) */
Test(resume, second_ticket_of_a_hello_lends_no_identity)
{
	struct mesh mesh = {0}, victim = {.client = {.own = "p384"}};
	struct fl_tls_ticket_keys *keys = fresh_keys(NULL);
	mesh_open(&victim, fl_tls_ticket_keys_ref(keys));
	mesh_handshake(&victim);
	mesh_open(&mesh, keys);
	mesh_handshake(&mesh);
	WOLFSSL_SESSION *stolen = victim.saved->session;

	for (int first = 0; first < 2; first++) {
		cr_assert(mesh_again(&mesh));
		struct fl_tls *server = mesh.pair.server.tls;
		uint8_t copy[2][1024];
		WOLFSSL_SESSION *const sessions[] = {mesh.saved->session, stolen};
		for (int i = 0; i < 2; i++) {
			const WOLFSSL_SESSION *session = sessions[(i + first) % 2];
			int len = 0, enc_len = session->ticket[32] << 8 | session->ticket[33];
			memcpy(copy[i], session->ticket, session->ticketLen);
			TLSX modes = {.type = TLSX_PSK_KEY_EXCHANGE_MODES, .val = 1u << PSK_DHE_KE};
			TLSX *before = server->wolf->extensions;
			modes.next = before;
			server->wolf->extensions = &modes;
			len = enc_len;
			int rc = server->ctx->wolf->ticketEncCb(server->wolf, copy[i], copy[i] + 16,
								copy[i] + 34 + enc_len, 0,
								copy[i] + 34, enc_len, &len, NULL);
			server->wolf->extensions = before;
			cr_assert_eq(rc,
				     i == 0 ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_REJECT);
		}
		cr_assert_str_eq(fl_tls_peer_name(server->claim->peer),
				 first == 0 ? client_id : "spiffe://prod.example/ns/test/sa/p384");
	}
	mesh_close(&mesh);
	victim.options.ticket_keys = NULL;
	mesh_close(&victim);
	fl_tls_ticket_keys_unref(keys);
}

/* A claim alone proves nothing: in a full handshake, the certificate identifies the client. */
Test(resume, rejected_ticket_and_another_certificate__identity_of_the_certificate)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	mesh.client.own = "p384";
	mesh_rotate(&mesh, FL_TLS_CLIENT, fl_tls_ticket_keys_ref(mesh.options.ticket_keys));
	mesh_rotate(&mesh, FL_TLS_SERVER, fresh_keys(NULL));
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	ASSERT_UP(&mesh.pair);
	cr_assert_not(fl_tls_resumed(mesh.pair.server.tls));
	cr_assert_str_eq(fl_tls_peer_id(mesh.pair.server.tls),
			 "spiffe://prod.example/ns/test/sa/p384");
	mesh_close(&mesh);
}

/* Never had a good certificate here: never gets a ticket, and a ticket of its own server is none. */
Test(resume, foreign_signed_leaf__does_not_come_in)
{
	static const char *const both[] = {"prod.example=other"};
	struct mesh mesh = {.client = {.own = "other-ca"}};
	mesh.server.bundles = mesh.client.bundles = both;
	mesh.server.bundle_count = mesh.client.bundle_count = 1;
	struct mesh good = {.client = {.own = "other-ca"}};
	mesh_open(&good, fresh_keys(NULL));
	pair_handshake(&good.pair);
	cr_assert_eq(good.pair.server.step, FL_TLS_FAILED);
	cr_assert_null(fl_tls_save(good.pair.client.tls));
	mesh_close(&good);
}

/* An extra certificate from the peer in a resumed handshake is always refused. */
Test(resume, verify_in_a_resumed_handshake__refused)
{
	struct mesh mesh = {0};
	uint8_t message[4096] = {0};
	word32 index = 0;
	mesh_saved(&mesh);
	cr_assert(mesh_again(&mesh));
	struct fl_tls *server = mesh.pair.server.tls;
	const struct fl_der *leaf = &mesh.pair.client.credentials->chain.items[0];
	size_t entry = 3 + leaf->len + 2;
	message[2] = (uint8_t)(entry >> 8);
	message[3] = (uint8_t)entry;
	message[5] = (uint8_t)(leaf->len >> 8);
	message[6] = (uint8_t)leaf->len;
	memcpy(message + 7, leaf->data, leaf->len);
	uint8_t out[256];
	struct fl_tls_io io = {.out = out, .out_cap = sizeof(out)};
	server->wolf->options.pskNegotiated = 1;
	server->io = &io;
	cr_assert_neq(fl_tls_read_certificates(server->wolf, message, &index, (word32)(4 + entry)),
		      0);
	server->io = NULL;
	cr_assert_null(server->peer);
	cr_assert_eq(fl_tls_failure(server)->cause, FL_TLS_CAUSE_PROTOCOL);
	mesh_close(&mesh);
}

/* wolfSSL reports a resumed session but the peer is unknown: fails. */
Test(resume, no_claim__fails)
{
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	cr_assert(mesh_again(&mesh));
	pair_start(&mesh.pair);
	side_deliver(&mesh.pair.server, &mesh.pair.client, 0);
	fl_tls_drop_claim(mesh.pair.client.tls);
	side_deliver(&mesh.pair.client, &mesh.pair.server, 0);
	cr_assert_eq(mesh.pair.client.step, FL_TLS_FAILED);
	cr_assert_null(fl_tls_peer_id(mesh.pair.client.tls));
	mesh_close(&mesh);
}

/* The session's group is not the server's any more: the ticket, which comes twice, is no obstacle. */
Test(resume, server__other_group__full_after_a_retry)
{
	static const char *const classic[] = {"X25519"};
	struct mesh mesh = {0};
	mesh_saved(&mesh);
	struct fl_tls_options options = mesh.options;
	options.groups = classic;
	options.group_count = 1;
	struct side_spec spec = {.own = "other-names", .options = &options};
	side_close(&mesh.pair.server);
	side_open(&mesh.pair.server, FL_TLS_SERVER, &spec);
	cr_assert(mesh_again(&mesh));
	pair_handshake(&mesh.pair);
	expect_outcome(&mesh, false);
	cr_assert_str_eq(fl_tls_group(mesh.pair.server.tls), "X25519");
	mesh_close(&mesh);
}
