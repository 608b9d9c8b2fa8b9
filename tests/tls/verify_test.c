/* SPDX-License-Identifier: GPL-3.0-or-later */
/* verify_test - every rule refuses, on both sides, with its name and its alert; and the traps of
 * wolfSSL's certificate store stay shut. */
#include "pair.h"

#include <wolfssl/internal.h>

#include "tls/verify.h"

#include <arpa/inet.h>

static const struct bad {
	struct side_spec spec;
	enum fl_rule rule;
} bad_peers[] = {
	{{.own = "uri-none"}, FL_RULE_URI_COUNT},
	{{.own = "no-san"}, FL_RULE_URI_COUNT},
	{{.own = "uri-two"}, FL_RULE_URI_COUNT},
	{{.own = "uri-four"}, FL_RULE_URI_COUNT},
	{{.own = "uri-https"}, FL_RULE_SPIFFE_ID},
	{{.own = "uri-2049"}, FL_RULE_SPIFFE_ID},
	{{.own = "td-upper"}, FL_RULE_SPIFFE_ID},
	{{.own = "percent"}, FL_RULE_SPIFFE_ID},
	{{.own = "path-none"}, FL_RULE_PATH},
	{{.own = "path-slash"}, FL_RULE_PATH},
	{{.own = "san-uncritical"}, FL_RULE_SAN_CRITICAL},
	{{.own = "leaf-ca"}, FL_RULE_LEAF_CA},
	{{.own = "ku-absent"}, FL_RULE_KEY_USAGE},
	{{.own = "ku-uncritical"}, FL_RULE_KEY_USAGE},
	{{.own = "ku-no-signature"}, FL_RULE_KEY_USAGE},
	{{.own = "ku-cert-sign"}, FL_RULE_KEY_USAGE},
	{{.own = "ku-crl-sign"}, FL_RULE_KEY_USAGE},
	{{.own = "eku-client"}, FL_RULE_EXT_KEY_USAGE},
	{{.own = "eku-server"}, FL_RULE_EXT_KEY_USAGE},
	{{.own = "eku-any"}, FL_RULE_EXT_KEY_USAGE},
	{{.own = "eku-none"}, FL_RULE_EXT_KEY_USAGE},
	{{.own = "critical-ext"}, FL_RULE_CRITICAL_EXTENSION},
	{{.own = "expired"}, FL_RULE_EXPIRED},
	{{.own = "not-yet"}, FL_RULE_NOT_YET_VALID},
	{{.own = "other-ca"}, FL_RULE_UNKNOWN_ISSUER},
	{{.own = "impostor-chain"}, FL_RULE_UNKNOWN_ISSUER},
	{{.own = "intermediate", .alone = true}, FL_RULE_UNKNOWN_ISSUER},
	{{.own = "p256", .forged = true}, FL_RULE_SIGNATURE},
	{{.own = "intermediate", .forged = true}, FL_RULE_SIGNATURE},
	{{.own = "expired-intermediate"}, FL_RULE_EXPIRED},
	{{.own = "chain-not-ca"}, FL_RULE_SIGNER_CA},
	{{.own = "chain-no-sign"}, FL_RULE_SIGNER_KEY_USAGE},
	{{.own = "chain-path"}, FL_RULE_SIGNER_ID},
	{{.own = "chain-too-long"}, FL_RULE_PATH_LENGTH},
	{{.own = "chain-name-constraint"}, FL_RULE_NAME_CONSTRAINT},
};

/* Ours and a federated one. */
static const char *const two[] = {"prod.example=root", "other.example=other"};
/* The same from the other domain's side. */
static const char *const theirs[] = {"other.example=other", "prod.example=root"};

static void refused(const struct side_spec *client, const struct side_spec *server, bool by_server,
		    enum fl_rule rule)
{
	struct pair pair;
	pair_open(&pair, client, server);
	pair_handshake(&pair);
	struct side *judge = by_server ? &pair.server : &pair.client;
	struct side *other = by_server ? &pair.client : &pair.server;
	cr_assert_eq(judge->step, FL_TLS_FAILED, "%s: %s was let in", fl_rule_name(rule),
		     by_server ? client->own : server->own);
	ASSERT_FAILED(judge, FL_TLS_CAUSE_CERTIFICATE, rule, fl_rule_alert(rule));
	cr_assert_null(fl_tls_peer_id(judge->tls));
	ASSERT_FAILED(other, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, fl_rule_alert(rule));
	const char *text = fl_tls_failure(judge->tls)->text;
	cr_assert_not_null(strstr(text, fl_rule_name(rule)), "%s", text);
	pair_close(&pair);
}

Test(verify, each_rule__refused_by_server)
{
	static const struct side_spec good;
	for (size_t i = 0; i < FL_COUNT_OF(bad_peers); i++) {
		refused(&bad_peers[i].spec, &good, true, bad_peers[i].rule);
	}
}

Test(verify, each_rule__refused_by_client)
{
	static const struct side_spec good;
	for (size_t i = 0; i < FL_COUNT_OF(bad_peers); i++) {
		refused(&good, &bad_peers[i].spec, false, bad_peers[i].rule);
	}
}

/* The same with several trust domains, that is, through the second verification. */
Test(verify, each_rule__refused_with_federation)
{
	struct side_spec good = {.bundles = two, .bundle_count = 2};
	for (size_t i = 0; i < FL_COUNT_OF(bad_peers); i++) {
		refused(&bad_peers[i].spec, &good, true, bad_peers[i].rule);
		refused(&good, &bad_peers[i].spec, false, bad_peers[i].rule);
	}
}

Test(verify, federation__good_peers_pass)
{
	static const char *const partners[] = {"other-web", "other-chain"};
	for (size_t i = 0; i < FL_COUNT_OF(partners); i++) {
		struct side_spec client = {
			.own = partners[i], .bundles = theirs, .bundle_count = 2};
		struct side_spec server = {
			.own = "intermediate", .bundles = two, .bundle_count = 2};
		struct pair pair;
		/* The server accepts any known domain; the client, without an expectation, only its own. */
		pair_open(&pair, &client, &server);
		pair_handshake(&pair);
		ASSERT_FAILED(&pair.client, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_PEER, 49);
		pair_close(&pair);
	}
}

static bool expect_any(void *user, const char *id, size_t len)
{
	(void)user;
	(void)id;
	(void)len;
	return true;
}

Test(verify, federation__expected_peers_pass_again_and_again)
{
	struct side_spec client = {
		.own = "other-chain", .bundles = theirs, .bundle_count = 2, .expect = expect_any};
	struct side_spec server = {.own = "intermediate", .bundles = two, .bundle_count = 2};
	struct pair pair;
	pair_open(&pair, &client, &server);
	for (int i = 0; i < 3; i++) {
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		cr_assert_str_eq(fl_tls_peer_id(pair.client.tls),
				 "spiffe://prod.example/ns/test/sa/intermediate");
		cr_assert_str_eq(fl_tls_peer_id(pair.server.tls),
				 "spiffe://other.example/ns/test/sa/other-chain");
		side_disconnect(&pair.client);
		side_disconnect(&pair.server);
		side_connect(&pair.client, &client);
		side_connect(&pair.server, &server);
	}
	pair_close(&pair);
}

/* Trap 1: the CA of a federated domain vouches for an ID of ours. wolfSSL alone accepts it. */
Test(verify, trap_federated_ca_claims_our_domain__refused)
{
	struct side_spec good = {.bundles = two, .bundle_count = 2};
	static const char *const impostors[] = {"other-ca", "impostor-chain"};
	for (size_t i = 0; i < FL_COUNT_OF(impostors); i++) {
		struct side_spec bad = {.own = impostors[i]};
		refused(&bad, &good, true, FL_RULE_UNKNOWN_ISSUER);
		refused(&good, &bad, false, FL_RULE_UNKNOWN_ISSUER);
	}
}

/* With an empty bundle no peer is trusted: alone, and beside a federated one whose CA would sign for us. */
Test(verify, empty_bundle__trusts_nobody)
{
	static const char *const empty[] = {"prod.example="};
	static const char *const beside[] = {"prod.example=", "other.example=other"};
	struct side_spec alone = {.bundles = empty, .bundle_count = 1};
	struct side_spec federated = {.bundles = beside, .bundle_count = 2};
	struct side_spec good = {.own = "p256"}, impostor = {.own = "other-ca"};
	refused(&good, &alone, true, FL_RULE_UNKNOWN_ISSUER);
	refused(&alone, &good, false, FL_RULE_UNKNOWN_ISSUER);
	refused(&good, &federated, true, FL_RULE_UNKNOWN_ISSUER);
	refused(&impostor, &federated, true, FL_RULE_UNKNOWN_ISSUER);
	refused(&federated, &impostor, false, FL_RULE_UNKNOWN_ISSUER);
}

static size_t count_signers(const WOLFSSL_CERT_MANAGER *cm)
{
	size_t count = 0;
	for (size_t row = 0; row < CA_TABLE_SIZE; row++) {
		for (const Signer *s = cm->caTable[row]; s != NULL; s = s->next) {
			count++;
		}
	}
	return count;
}

/* Trap 4: the intermediate of one connection must not serve the next. */
Test(verify, trap_cached_intermediate__refused)
{
	for (size_t count = 1; count <= 2; count++) {
		struct side_spec server = {.bundles = two, .bundle_count = count};
		struct side_spec deep = {.own = "intermediate"},
				 alone = {.own = "intermediate", .alone = true};
		struct pair pair;
		struct side second;
		pair_open(&pair, &deep, &server);
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		side_disconnect(&pair.server);
		side_connect(&pair.server, &server);
		side_close(&pair.client);
		side_open(&second, FL_TLS_CLIENT, &alone);
		pair.client = second;
		pair_handshake(&pair);
		ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_UNKNOWN_ISSUER, 48);
		pair_close(&pair);
	}
}

/* wolfSSL itself trusts no certificate, before and after: its store is empty, and the callback refuses whatever it
 * finds. */
Test(verify, trap_wolfssl_alone__trusts_nobody)
{
	struct pair pair;
	WOLFSSL_X509_STORE_CTX store = {.error = 0};
	pair_open(&pair, NULL, NULL);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_eq(count_signers(wolfSSL_CTX_GetCertManager(pair.server.ctx->wolf)), 0);
	cr_assert_eq(count_signers(wolfSSL_CTX_GetCertManager(pair.client.ctx->wolf)), 0);
	cr_assert_eq(fl_tls_verify(1, &store), 0);
	cr_assert_eq(fl_tls_verify(0, &store), 0);
	cr_assert_eq(pair.server.tls->wolf->verifyCallback, fl_tls_verify);
	pair_close(&pair);
}

/* A Certificate message of so many copies of the client's leaf; free() it. */
static uint8_t *message_of(const struct fl_der *leaf, size_t count, size_t *ret_len)
{
	size_t entry = 3 + leaf->len + 2, list = entry * count;
	uint8_t *message = fl_new(4 + list), *at = message + 4;
	message[1] = (uint8_t)(list >> 16);
	message[2] = (uint8_t)(list >> 8);
	message[3] = (uint8_t)list;
	for (size_t i = 0; i < count; i++, at += entry) {
		at[1] = (uint8_t)(leaf->len >> 8);
		at[2] = (uint8_t)leaf->len;
		memcpy(at + 3, leaf->data, leaf->len);
	}
	*ret_len = 4 + list;
	return message;
}

/* What a server that waits for the message makes of it. */
static int hand_over(uint8_t *message, size_t len, enum fl_rule *ret_rule)
{
	struct pair pair;
	word32 index = 0;
	pair_open(&pair, NULL, NULL);
	struct fl_tls_io io = side_io(&pair.server, NULL, 0, FL_TLS_OUT_RESERVE);
	pair.server.tls->io = &io;
	int rc = fl_tls_read_certificates(pair.server.tls->wolf, message, &index, (word32)len);
	pair.server.tls->io = NULL;
	cr_assert_eq(rc == 0, pair.server.tls->peer != NULL);
	cr_assert_eq(rc == 0, pair.server.tls->wolf->options.havePeerCert);
	*ret_rule = fl_tls_failure(pair.server.tls)->rule;
	pair_close(&pair);
	return rc;
}

/* Cut off at each byte, and with each byte of its frame changed: no peer is accepted, and no byte is read beyond the
 * end. */
Test(verify, certificate_message__damaged)
{
	struct fl_der_list chain = {0};
	enum fl_rule rule;
	size_t len;
	pki_certificates("p256", &chain);
	uint8_t *good = message_of(&chain.items[0], 2, &len);
	cr_assert_eq(hand_over(good, len, &rule), 0);
	for (size_t cut = 0; cut < len; cut += cut < 16 || cut + 16 > len ? 1 : 37) {
		uint8_t *copy = fl_new(cut + 1);
		memcpy(copy, good, cut);
		cr_assert_neq(hand_over(copy, cut, &rule), 0, "%zu", cut);
		free(copy);
	}
	for (size_t i = 0; i < 7; i++) {
		good[i] ^= 1;
		cr_assert_neq(hand_over(good, len, &rule), 0, "%zu", i);
		good[i] ^= 1;
	}
	free(good);
	fl_der_list_done(&chain);
}

Test(verify, certificate_message__how_many)
{
	static const struct {
		size_t count;
		enum fl_rule rule;
	} cases[] = {{1, FL_RULE_NONE},
		     {50, FL_RULE_NONE},
		     {100, FL_RULE_NONE},
		     {101, FL_RULE_TOO_MUCH},
		     {5000, FL_RULE_TOO_MUCH}};
	struct fl_der_list chain = {0};
	enum fl_rule rule;
	size_t len;
	pki_certificates("p256", &chain);
	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		uint8_t *message = message_of(&chain.items[0], cases[i].count, &len);
		cr_assert_eq(hand_over(message, len, &rule) == 0, cases[i].rule == FL_RULE_NONE);
		cr_assert_eq(rule, cases[i].rule, "%zu: %s", cases[i].count, fl_rule_name(rule));
		free(message);
	}
	fl_der_list_done(&chain);
}

Test(verify, no_client_certificate__116)
{
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	pair.client.tls->wolf->buffers.certificate = NULL;
	pair_handshake(&pair);
	ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_NO_CERTIFICATE, 116);
	ASSERT_FAILED(&pair.client, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 116);
	pair_close(&pair);
}

/* The right certificate with a key that is not its own: the proof of possession fails. */
Test(verify, stolen_certificate__51)
{
	struct side_spec db = {.own = "other-names"};
	for (int by_server = 0; by_server < 2; by_server++) {
		struct pair pair;
		struct side thief;
		pair_open(&pair, NULL, NULL);
		side_open(&thief, FL_TLS_CLIENT, &db);
		WOLFSSL *wolf = by_server ? pair.client.tls->wolf : pair.server.tls->wolf;
		DerBuffer *own = wolf->buffers.key;
		wolf->buffers.key = thief.tls->wolf->buffers.key;
		pair_handshake(&pair);
		struct side *judge = by_server ? &pair.server : &pair.client;
		struct side *other = by_server ? &pair.client : &pair.server;
		ASSERT_FAILED(judge, FL_TLS_CAUSE_PROTOCOL, FL_RULE_NONE, 51);
		ASSERT_FAILED(other, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 51);
		cr_assert_null(fl_tls_peer_id(judge->tls));
		wolf->buffers.key = own;
		side_close(&thief);
		pair_close(&pair);
	}
}

Test(verify, small_rsa_key__refused)
{
	struct fl_err err = {0};
	struct fl_tls_ctx *ctx;
	cr_assert_eq(fl_tls_global_init(&err), 0);
	struct fl_credentials *c = pki_credentials("rsa1024", own_bundle, 1);
	cr_assert_eq(fl_tls_ctx_new(c, &default_options, FL_TLS_CLIENT, &ctx, &err),
		     FL_ERR_INVALID);
	pki_credentials_free(c);
	fl_tls_global_done();
}
