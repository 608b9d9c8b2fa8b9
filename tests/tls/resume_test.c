/* SPDX-License-Identifier: GPL-3.0-or-later */
/* resume_test - sessions that are resumed, and everything that makes a handshake a full one: the
 * peer is then judged by its certificate, and never fails for the ticket that it had. */
#include "pair.h"

#include <wolfssl/internal.h>

#include "tls/ticket.h"
#include "tls/verify.h"

static const char *const client_id = "spiffe://prod.example/ns/test/sa/p256",
			 *const server_id = "spiffe://prod.example/ns/test/sa/other-names";

static struct fl_tls_ticket_keys *fresh_keys(const struct fl_tls_ticket_keys *previous)
{
	struct fl_tls_ticket_keys *keys = NULL;
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_ticket_keys_new(previous, &keys, &err), 0, "%s", err.text);
	return keys;
}

/* One table for all contexts, as in a process; epoch 0: each look is a fresh one. */
static struct fl_tls_peers *all_peers;

static struct fl_tls_options options_with(struct fl_tls_ticket_keys *keys)
{
	struct fl_tls_options options = default_options;
	options.ticket_keys = keys;
	options.peers = all_peers;
	return options;
}

/* A pair whose sides have tickets; client and server are to be given to mesh_again(). */
struct mesh {
	struct pair pair;
	struct fl_tls_options options;
	struct side_spec client, server;
	struct fl_tls_saved *saved;
};

static void mesh_open(struct mesh *mesh, struct fl_tls_ticket_keys *keys)
{
	if (all_peers == NULL) {
		cr_assert_eq(fl_tls_peers_new(&all_peers, NULL), 0);
	}
	mesh->options = options_with(keys);
	mesh->client.options = mesh->server.options = &mesh->options;
	mesh->server.own = mesh->server.own != NULL ? mesh->server.own : "other-names";
	pair_open(&mesh->pair, &mesh->client, &mesh->server);
}

static void mesh_close(struct mesh *mesh)
{
	fl_tls_saved_free(mesh->saved);
	fl_tls_ticket_keys_unref(mesh->options.ticket_keys);
	pair_close(&mesh->pair);
	fl_tls_peers_unref(all_peers);
	all_peers = NULL;
}

/* A handshake, and what a client saves of it in place of what it had; a resumed one need not bring anything. */
static void mesh_handshake(struct mesh *mesh)
{
	pair_handshake(&mesh->pair);
	ASSERT_UP(&mesh->pair);
	struct fl_tls_saved *saved = fl_tls_save(mesh->pair.client.tls);
	if (saved != NULL || !fl_tls_resumed(mesh->pair.client.tls)) {
		fl_tls_saved_free(mesh->saved);
		mesh->saved = saved;
	}
}

static int64_t in_eleven_minutes(void)
{
	return (int64_t)time(NULL) + 11 * 60;
}

/* New engines; the client offers what it has saved. */
static bool mesh_again(struct mesh *mesh)
{
	pair_again(&mesh->pair, &mesh->client, &mesh->server);
	return fl_tls_resume(mesh->pair.client.tls, mesh->saved);
}

/* Other credentials and keys for a side, as after a rotation. */
static void mesh_rotate(struct mesh *mesh, enum fl_tls_role role, struct fl_tls_ticket_keys *keys)
{
	struct side *side = role == FL_TLS_CLIENT ? &mesh->pair.client : &mesh->pair.server;
	struct side_spec spec = role == FL_TLS_CLIENT ? mesh->client : mesh->server;
	struct fl_tls_options options = options_with(keys);
	spec.options = &options;
	side_close(side);
	side_open(side, role, &spec);
	fl_tls_ticket_keys_unref(keys);
}

static void expect_outcome(struct mesh *mesh, bool resumed)
{
	struct pair *pair = &mesh->pair;
	ASSERT_UP(pair);
	cr_assert_eq(fl_tls_resumed(pair->client.tls), resumed);
	cr_assert_eq(fl_tls_resumed(pair->server.tls), resumed);
	cr_assert_str_eq(fl_tls_peer_id(pair->client.tls), server_id);
	cr_assert_str_eq(fl_tls_peer_id(pair->server.tls), client_id);
	cr_assert_null(pair->client.tls->claim);
	cr_assert_null(pair->server.tls->claim);
	/* Bytes flow. */
	side_write(&pair->client, (const uint8_t *)"ping", 4);
	side_write(&pair->server, (const uint8_t *)"pong!", 5);
	pair_settle(pair, 0);
	cr_assert_eq(pair->server.got_len, 4);
	cr_assert_eq(pair->client.got_len, 5);
}

/* The handshake that was prepared is a full one and good. */
static void expect_full(struct mesh *mesh)
{
	pair_handshake(&mesh->pair);
	expect_outcome(mesh, false);
	mesh_close(mesh);
}

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
		cr_assert(fl_tls_alpn_is_ours(mesh.pair.server.tls));
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
		cr_assert_not(fl_tls_alpn_is_ours(mesh.pair.server.tls));
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

static int64_t far_future(void)
{
	return INT64_C(1) << 40;
}

static int64_t next_hour(void)
{
	return (int64_t)time(NULL) + 3600;
}

static void mesh_saved(struct mesh *mesh)
{
	mesh_open(mesh, fresh_keys(NULL));
	mesh_handshake(mesh);
	cr_assert_not_null(mesh->saved);
}

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

/* A thief of somebody's ticket has not its secret. */
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

/* Two tickets in one hello: the first that is good is the only one that can be, whoever the second
 * belongs to. (Else a stolen ticket beside one's own would lend its identity.) */
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

/* A claim alone is nothing: the client of a full handshake is who its certificate says. */
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

/* The peer's extra certificate in a resumed handshake is refused, whoever's it is. */
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

/* Resumed, says wolfSSL, and nobody knows by whom: fails. */
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
