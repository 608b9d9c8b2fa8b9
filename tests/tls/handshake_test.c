/* SPDX-License-Identifier: GPL-3.0-or-later */
/* handshake_test - good handshakes in every shape, and what the two sides then know of each
 * other. */
#include "pair.h"

#include "wire/hello.h"

#if !defined(FP_ECC) || !defined(HAVE_GMTIME_R)
#error "wolfSSL is built without FP_ECC (2.7 times slower verification) or HAVE_GMTIME_R (a data race)"
#endif

static const struct side_spec db = {.own = "other-names"};

/* Where a hello of either side has its random bytes: behind the record's header, that of the message, and the version. */
#define RANDOM_AT (5 + 4 + 2)
#define RANDOM_LEN 32
#define HELLOS 20

Test(handshake, default__both_established)
{
	struct pair pair;
	pair_open(&pair, NULL, &db);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_str_eq(fl_tls_peer_id(pair.client.tls),
			 "spiffe://prod.example/ns/test/sa/other-names");
	cr_assert_str_eq(fl_tls_peer_id(pair.server.tls), "spiffe://prod.example/ns/test/sa/p256");
	cr_assert_gt(fl_tls_peer_until(fl_tls_peer_of(pair.client.tls)), 1700000000);
	cr_assert_str_eq(fl_tls_group(pair.client.tls), "X25519MLKEM768");
	cr_assert_str_eq(fl_tls_group(pair.server.tls), "X25519MLKEM768");
	cr_assert_str_eq(fl_tls_cipher(pair.client.tls), "TLS_AES_128_GCM_SHA256");
	cr_assert_str_eq(fl_tls_cipher(pair.server.tls), "TLS_AES_128_GCM_SHA256");
	cr_assert_eq(fl_tls_protocol(pair.client.tls), FL_TLS_PROTOCOL_RAW);
	cr_assert_eq(fl_tls_protocol(pair.server.tls), FL_TLS_PROTOCOL_RAW);
	cr_assert_eq(fl_tls_failure(pair.client.tls)->cause, FL_TLS_CAUSE_NONE);
	pair_close(&pair);
}

/* Permissive listeners find our own hello, hybrid key share and all. */
Test(handshake, our_hello_is_known_as_ours)
{
	struct fl_hello hello;
	struct pair pair;
	size_t len;

	pair_open(&pair, NULL, NULL);
	pair_start(&pair);
	len = pair.client.out_len;
	cr_assert_gt(len, 1216);
	fl_hello_init(&hello);
	cr_assert_eq(fl_hello_feed(&hello, pair.client.out, len - 1), FL_HELLO_NEED_MORE);
	cr_assert_eq(fl_hello_feed(&hello, pair.client.out + len - 1, 1), FL_HELLO_TLS_OURS);
	pair_close(&pair);
}

Test(handshake, again_on_the_same_contexts)
{
	static const struct side_spec none;
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	for (int i = 0; i < 20; i++) {
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		side_disconnect(&pair.client);
		side_disconnect(&pair.server);
		side_connect(&pair.client, &none);
		side_connect(&pair.server, &none);
	}
	pair_close(&pair);
}

/* The connections of a context draw from one generator, and each context has its own: nothing comes twice. */
Test(handshake, no_random_bytes_come_twice)
{
	static const struct side_spec none;
	uint8_t seen[4 * HELLOS][RANDOM_LEN];
	struct pair pairs[2];

	for (size_t k = 0; k < 2; k++) {
		pair_open(&pairs[k], NULL, NULL);
		for (size_t i = 0; i < 2 * HELLOS; i += 2) {
			pair_start(&pairs[k]);
			memcpy(seen[2 * HELLOS * k + i], pairs[k].client.out + RANDOM_AT,
			       RANDOM_LEN);
			side_deliver(&pairs[k].server, &pairs[k].client, 0);
			memcpy(seen[2 * HELLOS * k + i + 1], pairs[k].server.out + RANDOM_AT,
			       RANDOM_LEN);
			pair_again(&pairs[k], &none, &none);
		}
	}
	for (size_t i = 0; i < FL_COUNT_OF(seen); i++) {
		for (size_t j = 0; j < i; j++) {
			cr_expect_arr_neq(seen[i], seen[j], RANDOM_LEN, "hellos %zu and %zu", i, j);
		}
	}
	pair_close(&pairs[0]);
	pair_close(&pairs[1]);
}

/* The n-th flight cut in two at a place; returns its length. */
static size_t split_flight(struct pair *pair, size_t flight, size_t at)
{
	size_t len = 0;
	pair_start(pair);
	for (size_t i = 0; i < 4; i++) {
		struct side *from = i % 2 == 0 ? &pair->client : &pair->server;
		struct side *to = i % 2 == 0 ? &pair->server : &pair->client;
		if (i == flight) {
			uint8_t *data = side_take(from);
			len = from->out_len;
			from->out_len = 0;
			at = at < len ? at : len;
			side_feed(to, data, at);
			side_feed(to, data + at, len - at);
			free(data);
		}
		side_deliver(to, from, 0);
	}
	return len;
}

static void every_split(size_t flight, const struct side_spec *spec)
{
	struct pair pair;
	size_t len = 1;
	pair_open(&pair, spec, spec);
	for (size_t at = 1; at <= len; at++) {
		pair_again(&pair, spec, spec);
		len = split_flight(&pair, flight, at);
		ASSERT_UP(&pair);
	}
	cr_assert_gt(len, 500);
	pair_close(&pair);
}

Test(handshake, client_hello_split_everywhere)
{
	every_split(0, &db);
}

Test(handshake, server_flight_split_everywhere)
{
	every_split(1, &db);
}

Test(handshake, client_flight_split_everywhere)
{
	every_split(2, &db);
}

Test(handshake, byte_at_a_time)
{
	for (size_t chunk = 1; chunk < 8; chunk++) {
		struct pair pair;
		pair_open(&pair, NULL, NULL);
		pair_start(&pair);
		pair_settle(&pair, chunk);
		ASSERT_UP(&pair);
		pair_close(&pair);
	}
}

static void handshake_with(const struct side_spec *client, const struct side_spec *server)
{
	struct pair pair;
	pair_open(&pair, client, server);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	pair_close(&pair);
}

Test(handshake, every_kind_of_good_leaf_on_both_sides)
{
	static const char *const good[] = {"p256",          "p384",         "ed25519",
					   "rsa2048",       "intermediate", "two-intermediates",
					   "no-eku",        "other-names",  "key-encipherment",
					   "empty-subject", "uri-2048"};
	for (size_t i = 0; i < FL_COUNT_OF(good); i++) {
		for (size_t j = 0; j < FL_COUNT_OF(good); j++) {
			struct side_spec client = {.own = good[i]}, server = {.own = good[j]};
			handshake_with(&client, &server);
		}
	}
}

Test(handshake, every_kind_of_ca)
{
	static const char *const cas[] = {"prod.example=rsa-root", "prod.example=p384-root",
					  "prod.example=ed25519-root"};
	static const char *const leaves[] = {"under-rsa-root", "under-p384-root",
					     "under-ed25519-root"};
	for (size_t i = 0; i < FL_COUNT_OF(cas); i++) {
		struct side_spec spec = {.own = leaves[i], .bundles = &cas[i], .bundle_count = 1};
		handshake_with(&spec, &spec);
	}
}

Test(handshake, each_group_and_cipher)
{
	static const char *const groups[] = {"X25519MLKEM768", "X25519", "P-256"};
	for (size_t g = 0; g < FL_COUNT_OF(groups); g++) {
		for (size_t c = 0; c < FL_COUNT_OF(all_ciphers); c++) {
			struct fl_tls_options options = {&groups[g], 1, &all_ciphers[c], 1,
							 .ticket_keys = NULL};
			struct side_spec spec = {.options = &options};
			struct pair pair;
			pair_open(&pair, &spec, &spec);
			pair_handshake(&pair);
			ASSERT_UP(&pair);
			cr_assert_str_eq(fl_tls_group(pair.client.tls), groups[g]);
			cr_assert_str_eq(fl_tls_group(pair.server.tls), groups[g]);
			cr_assert_str_eq(fl_tls_cipher(pair.client.tls), all_ciphers[c]);
			cr_assert_str_eq(fl_tls_cipher(pair.server.tls), all_ciphers[c]);
			pair_close(&pair);
		}
	}
}

/* A server without ML-KEM picks the second share of the first hello: no second hello. */
Test(handshake, server_without_hybrid__no_retry)
{
	static const char *const classic[] = {"X25519"};
	static const struct fl_tls_options options = {classic, 1, all_ciphers, 3,
						      .ticket_keys = NULL};
	struct side_spec spec = {.options = &options};
	struct pair pair;
	pair_open(&pair, NULL, &spec);
	pair_start(&pair);
	side_deliver(&pair.server, &pair.client, 0);
	side_deliver(&pair.client, &pair.server, 0);
	cr_assert(side_is_up(&pair.client), "%s", fl_tls_failure(pair.client.tls)->text);
	side_deliver(&pair.server, &pair.client, 0);
	ASSERT_UP(&pair);
	cr_assert_str_eq(fl_tls_group(pair.client.tls), "X25519");
	pair_close(&pair);
}

/* P-256 is never offered as a share next to others, but a server that wants it gets it by retry. The transcript begins again
 * there, whichever hash the cipher has. */
static void retry_for_p256(const char *const *cipher)
{
	static const char *const client[] = {"X25519MLKEM768", "X25519", "P-256"},
				 *const server[] = {"P-256"};
	static const struct fl_tls_options client_options = {client, 3, all_ciphers, 3,
							     .ticket_keys = NULL};
	struct fl_tls_options server_options = {server, 1, cipher, 1, .ticket_keys = NULL};
	struct side_spec c = {.options = &client_options}, s = {.options = &server_options};
	struct pair pair;
	pair_open(&pair, &c, &s);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_str_eq(fl_tls_group(pair.server.tls), "P-256");
	cr_assert_str_eq(fl_tls_cipher(pair.client.tls), *cipher);
	pair_close(&pair);
}

Test(handshake, p256_by_retry)
{
	for (size_t c = 0; c < FL_COUNT_OF(all_ciphers); c++) {
		retry_for_p256(&all_ciphers[c]);
	}
}

Test(handshake, server_preference_of_cipher_wins)
{
	static const char *const reverse[] = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"};
	static const struct fl_tls_options options = {all_groups, 2, reverse, 2,
						      .ticket_keys = NULL};
	struct side_spec spec = {.options = &options};
	struct pair pair;
	pair_open(&pair, NULL, &spec);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_str_eq(fl_tls_cipher(pair.client.tls), "TLS_AES_256_GCM_SHA384");
	pair_close(&pair);
}

Test(handshake, nothing_in_common__alert_40)
{
	static const char *const one[] = {"TLS_AES_128_GCM_SHA256"},
				 *const two[] = {"TLS_CHACHA20_POLY1305_SHA256"};
	static const struct fl_tls_options a = {all_groups, 2, one, 1, .ticket_keys = NULL},
					   b = {all_groups, 2, two, 1, .ticket_keys = NULL};
	struct side_spec c = {.options = &a}, s = {.options = &b};
	struct pair pair;
	pair_open(&pair, &c, &s);
	pair_handshake(&pair);
	ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PARAMETERS, FL_RULE_NONE, 40);
	ASSERT_FAILED(&pair.client, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 40);
	pair_close(&pair);
}

/* A plain SPIFFE client, which knows nothing of our protocol name, is served. */
Test(handshake, client_without_alpn__served)
{
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	fl_wolf_forget_alpn(pair.client.tls->wolf);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_eq(fl_tls_protocol(pair.client.tls), FL_TLS_PROTOCOL_OTHER);
	cr_assert_eq(fl_tls_protocol(pair.server.tls), FL_TLS_PROTOCOL_OTHER);
	pair_close(&pair);
}

Test(handshake, client_with_other_alpn__served)
{
	char other[] = "h2,http/1.1";
	struct pair pair;
	pair_open(&pair, NULL, NULL);
	fl_wolf_forget_alpn(pair.client.tls->wolf);
	cr_assert_eq(wolfSSL_UseALPN(pair.client.tls->wolf, other, sizeof(other) - 1,
				     WOLFSSL_ALPN_CONTINUE_ON_MISMATCH),
		     WOLFSSL_SUCCESS);
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_eq(fl_tls_protocol(pair.server.tls), FL_TLS_PROTOCOL_OTHER);
	pair_close(&pair);
}

Test(handshake, hello_has_no_sni)
{
	struct pair pair;
	unsigned char name[64];
	unsigned int len = sizeof(name);
	pair_open(&pair, NULL, NULL);
	pair_start(&pair);
	cr_assert_leq(wolfSSL_SNI_GetFromBuffer(pair.client.out, (unsigned)pair.client.out_len,
						WOLFSSL_SNI_HOST_NAME, name, &len),
		      0);
	cr_assert_lt(pair.client.out_len, 1448, "the hello does not fit into a segment: %zu",
		     pair.client.out_len);
	pair_close(&pair);
}

static bool expects(void *user, const char *id, size_t len)
{
	return strlen(user) == len && memcmp(user, id, len) == 0;
}

Test(handshake, expect__accepts)
{
	char id[] = "spiffe://prod.example/ns/test/sa/other-names";
	struct side_spec client = {.expect = expects, .expect_user = id};
	handshake_with(&client, &db);
}

Test(handshake, expect__rejects_with_49)
{
	char id[] = "spiffe://prod.example/ns/test/sa/other";
	struct side_spec client = {.expect = expects, .expect_user = id};
	struct pair pair;
	pair_open(&pair, &client, &db);
	pair_handshake(&pair);
	ASSERT_FAILED(&pair.client, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_PEER, 49);
	cr_assert_not_null(strstr(fl_tls_failure(pair.client.tls)->text,
				  "spiffe://prod.example/ns/test/sa/other-names"));
	ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 49);
	cr_assert_null(fl_tls_peer_id(pair.client.tls));
	pair_close(&pair);
}

Test(handshake, options_refused)
{
	static const char *const bad[] = {"X448"}, *const twice[] = {"X25519", "X25519", "X25519",
								     "X25519"};
	const struct fl_tls_options wrong[] = {{bad, 1, all_ciphers, 3, .ticket_keys = NULL},
					       {all_groups, 2, bad, 1, .ticket_keys = NULL},
					       {all_groups, 0, all_ciphers, 3, .ticket_keys = NULL},
					       {all_groups, 2, all_ciphers, 0, .ticket_keys = NULL},
					       {twice, 4, all_ciphers, 3, .ticket_keys = NULL}};
	struct fl_err err = {0};
	struct fl_tls_ctx *ctx;
	cr_assert_eq(fl_tls_global_init(&err), 0);
	struct fl_credentials *c = pki_credentials("p256", own_bundle, 1);
	for (size_t i = 0; i < FL_COUNT_OF(wrong); i++) {
		cr_assert_eq(fl_tls_ctx_new(c, &wrong[i], FL_TLS_SERVER, &ctx, &err),
			     FL_ERR_INVALID);
	}
	pki_credentials_free(c);
	fl_tls_global_done();
}
