/* SPDX-License-Identifier: GPL-3.0-or-later */
/* peer_test - what is kept about peers: once for each, while it is useful, and judged again as at first. */
#include "pair.h"

#include <pthread.h>

#include "pki/digest.h"
#include "tls/peer.h"

static const char *const two[] = {"prod.example=root", "other.example=other"},
			 *const theirs[] = {"other.example=other", "prod.example=root"},
			 *const mixed[] = {"prod.example=root+other"},
			 *const others[] = {"prod.example=root-second"},
			 *const foreign[] = {"other.example=other"},
			 *const empty[] = {"prod.example="};

static struct fl_tls_options options_of(struct fl_tls_peers *peers, uint64_t epoch)
{
	struct fl_tls_options options = default_options;
	options.peers = peers;
	options.epoch = epoch;
	return options;
}

static struct fl_tls_peers *table(void)
{
	struct fl_tls_peers *peers = NULL;
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_global_init(&err), 0, "%s", err.text);
	cr_assert_eq(fl_tls_peers_new(&peers, &err), 0);
	return peers;
}

/* --- the table ------------------------------------------------------------------------------------ */

Test(peer, one_for_all_connections_of_a_chain)
{
	struct fl_tls_peers *peers = table();
	struct fl_tls_options options = options_of(peers, 1);
	struct side_spec spec = {.options = &options}, other = {.own = "p384", .options = &options};
	struct pair a, b, c;
	pair_open(&a, &spec, &spec);
	pair_open(&b, &spec, &spec);
	pair_open(&c, &other, &spec);
	pair_handshake(&a);
	pair_handshake(&b);
	pair_handshake(&c);
	ASSERT_UP(&c);
	struct fl_tls_peer *peer = fl_tls_peer_of(a.server.tls);
	cr_assert_not_null(peer);
	cr_assert_eq(fl_tls_peer_of(b.server.tls), peer);
	cr_assert_eq(fl_tls_peer_of(a.client.tls), peer, "the same chain, whatever its role");
	cr_assert_neq(fl_tls_peer_of(c.server.tls), peer);
	cr_assert_eq(peers->count, 2);
	cr_assert_str_eq(fl_tls_peer_name(peer), fl_tls_peer_id(a.server.tls));
	cr_assert_eq(peer->cert_count, 1);
	cr_assert_eq(fl_tls_peer_cert(peer, 0).len, a.client.credentials->chain.items[0].len);
	cr_assert_eq(peer->refs, 5, "%u", peer->refs);
	pair_close(&a);
	pair_close(&b);
	cr_assert_eq(peer->refs, 1, "c's server is of that chain");
	pair_close(&c);
	cr_assert_eq(peers->count, 2, "kept for their tickets");
	fl_tls_peers_unref(peers);
	fl_tls_global_done();
}

static struct fl_tls_peer *add(struct fl_tls_peers *peers, const char *name, uint32_t salt)
{
	struct fl_der_list list = {0};
	struct fl_span chain[4] = {0};
	static const char none[] = "spiffe://prod.example/none";
	struct fl_judgement judgement = {.id = {.text = none, .len = sizeof(none) - 1}};
	uint8_t digest[FL_DIGEST_LEN];
	pki_certificates(name, &list);
	for (size_t i = 0; i < list.count; i++) {
		chain[i] = (struct fl_span){list.items[i].data, list.items[i].len};
	}
	fl_digest(chain, list.count, digest);
	memcpy(digest, &salt, salt != 0 ? sizeof(salt) : 0);
	(void)leaf_check(chain[0], &judgement.id, NULL);
	judgement.path.sent_not_after = INT64_MAX;
	for (size_t i = 0; i < list.count; i++) {
		int64_t from, until;
		cr_assert_eq(fl_svid_validity(chain[i], &from, &until, NULL), 0);
		judgement.path.sent_not_after = until < judgement.path.sent_not_after
							? until
							: judgement.path.sent_not_after;
	}
	struct fl_tls_peer *peer = fl_tls_peers_add(peers, digest, chain, list.count, &judgement);
	fl_der_list_done(&list);
	return peer;
}

/* Entries without a connection are bounded, and the oldest is evicted first; entries with one stay. */
Test(peer, without_connection__bounded)
{
	struct fl_tls_peers *peers = table();
	struct fl_tls_peer *held = add(peers, "p256", 1);
	for (uint32_t i = 2; i < 10000; i++) {
		fl_tls_peer_unref(add(peers, "p256", i));
	}
	cr_assert_eq(peers->count, 4097);
	uint8_t digest[FL_DIGEST_LEN];
	memcpy(digest, held->digest, sizeof(digest));
	struct fl_tls_peer *found = fl_tls_peers_find(peers, digest);
	cr_assert_eq(found, held);
	fl_tls_peer_unref(found);
	memcpy(digest, &(uint32_t){2}, 4);
	cr_assert_null(fl_tls_peers_find(peers, digest));
	memcpy(digest, &(uint32_t){9999}, 4);
	found = fl_tls_peers_find(peers, digest);
	cr_assert_not_null(found);
	fl_tls_peers_unref(peers); /* those that are held keep the table */
	fl_tls_peer_unref(found);
	fl_tls_peer_unref(held);
	fl_tls_global_done();
}

struct stress {
	struct fl_tls_peers *peers;
	uint8_t digests[8][FL_DIGEST_LEN];
};

static void *run_stress(void *arg)
{
	struct stress *stress = arg;
	for (uint32_t i = 0; i < 20000; i++) {
		struct fl_tls_peer *peer = fl_tls_peers_find(stress->peers, stress->digests[i % 8]);
		cr_assert_not_null(peer);
		struct fl_tls_peer *again = fl_tls_peer_ref(peer);
		fl_tls_peer_note(peer, i % 3, FL_RULE_NONE);
		fl_tls_peer_unref(peer);
		fl_tls_peer_unref(again);
	}
	return NULL;
}

Test(peer, many_threads)
{
	struct stress stress = {.peers = table()};
	pthread_t threads[4];
	for (uint32_t i = 0; i < 8; i++) {
		struct fl_tls_peer *peer = add(stress.peers, "p256", i + 1);
		memcpy(stress.digests[i], peer->digest, FL_DIGEST_LEN);
		fl_tls_peer_unref(peer);
	}
	for (size_t i = 0; i < FL_COUNT_OF(threads); i++) {
		cr_assert_eq(pthread_create(&threads[i], NULL, run_stress, &stress), 0);
	}
	for (size_t i = 0; i < FL_COUNT_OF(threads); i++) {
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	}
	cr_assert_eq(stress.peers->count, 8);
	fl_tls_peers_unref(stress.peers);
	fl_tls_global_done();
}

/* --- judged again ----------------------------------------------------------------------------------- */

struct judged {
	const char *name;
	const char *const *bundles;
	size_t bundle_count;
	const char *crl; /* NULL: none; of bundle `crl_root`, NULL: loose */
	const char *crl_root;
	enum fl_rule rule;
};

static const struct judged again[] = {
	{"p256", own_bundle, 1, NULL, NULL, FL_RULE_NONE},
	{"p384", own_bundle, 1, NULL, NULL, FL_RULE_NONE},
	{"rsa2048", own_bundle, 1, NULL, NULL, FL_RULE_NONE},
	{"ed25519", own_bundle, 1, NULL, NULL, FL_RULE_NONE},
	{"intermediate", own_bundle, 1, NULL, NULL, FL_RULE_NONE},
	{"two-intermediates", two, 2, NULL, NULL, FL_RULE_NONE},
	{"other-web", two, 2, NULL, NULL, FL_RULE_NONE},
	{"other-chain", theirs, 2, NULL, NULL, FL_RULE_NONE},
	/* time is not the question here */
	{"expired", own_bundle, 1, NULL, NULL, FL_RULE_NONE},
	{"expired-intermediate", two, 2, NULL, NULL, FL_RULE_NONE},
	/* a root, or a whole domain, is gone */
	{"p256", others, 1, NULL, NULL, FL_RULE_UNKNOWN_ISSUER},
	{"intermediate", others, 1, NULL, NULL, FL_RULE_UNKNOWN_ISSUER},
	{"p256", empty, 1, NULL, NULL, FL_RULE_UNKNOWN_ISSUER},
	{"p256", foreign, 1, NULL, NULL, FL_RULE_TRUST_DOMAIN},
	{"other-web", own_bundle, 1, NULL, NULL, FL_RULE_TRUST_DOMAIN},
	/* the root of one domain vouches for no ID of another, federated or not */
	{"other-ca", own_bundle, 1, NULL, NULL, FL_RULE_UNKNOWN_ISSUER},
	{"other-ca", two, 2, NULL, NULL, FL_RULE_UNKNOWN_ISSUER},
	{"other-ca", theirs, 2, NULL, NULL, FL_RULE_UNKNOWN_ISSUER},
	{"impostor-chain", two, 2, NULL, NULL, FL_RULE_UNKNOWN_ISSUER},
	/* CRLs: leaf, intermediate, and of an intermediate */
	{"p384", own_bundle, 1, "root", "root", FL_RULE_REVOKED},
	{"p256", own_bundle, 1, "root", "root", FL_RULE_NONE},
	{"intermediate", own_bundle, 1, "middle", "root", FL_RULE_REVOKED},
	{"two-intermediates", two, 2, "middle", "root", FL_RULE_REVOKED},
	{"intermediate", own_bundle, 1, "lower", NULL, FL_RULE_REVOKED},
	{"two-intermediates", own_bundle, 1, "lower", NULL, FL_RULE_NONE},
	{"intermediate", own_bundle, 1, "lower-forged", NULL, FL_RULE_NONE},
	/* the rules of form, as ever */
	{"leaf-ca", own_bundle, 1, NULL, NULL, FL_RULE_LEAF_CA},
	{"chain-path", own_bundle, 1, NULL, NULL, FL_RULE_SIGNER_ID},
	{"chain-too-long", own_bundle, 1, NULL, NULL, FL_RULE_PATH_LENGTH},
	{"chain-name-constraint", own_bundle, 1, NULL, NULL, FL_RULE_NAME_CONSTRAINT},
};

static void add_crl(struct fl_credentials *c, const char *name, const char *ca)
{
	struct fl_der_list list = {0}, roots = {0};
	struct fl_err err = {0};
	size_t len;
	char *text = pki_read(name, ".crl", &len);
	cr_assert_eq(fl_pem_crls(text, len, &list, &err), 0, "%s", err.text);
	c->crls = fl_new(sizeof(struct fl_crl));
	c->crl_count = 1;
	cr_assert_eq(fl_crl_parse(&list.items[0], c->crls, &err), 0, "%s", err.text);
	if (ca != NULL) {
		pki_certificates(ca, &roots);
		struct fl_span root = {roots.items[0].data, roots.items[0].len};
		cr_assert_eq(fl_crl_verify(c->crls, 0, root, &err), 0, "%s", err.text);
	}
	fl_der_list_done(&list);
	fl_der_list_done(&roots);
	free(text);
}

Test(peer, judged_again)
{
	struct fl_tls_peers *peers = table();
	for (size_t i = 0; i < FL_COUNT_OF(again) * 2; i++) {
		const struct judged *j = &again[i / 2];
		struct fl_tls_options options = options_of(peers, i % 2 == 0 ? 0 : i);
		struct fl_credentials *c = pki_credentials("p256", j->bundles, j->bundle_count);
		struct fl_err err = {0}, detail = {.text = ""};
		struct fl_tls_ctx *ctx;
		enum fl_rule rule;
		if (j->crl != NULL) {
			add_crl(c, j->crl, j->crl_root);
		}
		cr_assert_eq(fl_tls_ctx_new(c, &options, i % 4 < 2 ? FL_TLS_CLIENT : FL_TLS_SERVER,
					    &ctx, &err),
			     0, "%s", err.text);
		struct fl_tls_peer *peer = add(peers, j->name, 0);
		for (int k = 0; k < 3; k++) {
			struct fl_err *wanted = k == 1 ? NULL : &detail;
			cr_assert_eq(fl_tls_peer_judge(ctx, peer, &rule, wanted), 0);
			cr_assert_eq(rule, j->rule, "%zu, %s: %s, not %s: %s", i / 2, j->name,
				     fl_rule_name(rule), fl_rule_name(j->rule), detail.text);
			cr_assert(rule == FL_RULE_NONE || detail.text[0] != '\0');
		}
		bool expired = strncmp(j->name, "expired", 7) == 0;
		cr_assert_eq(fl_tls_peer_until(peer) < (int64_t)time(NULL), expired);
		for (int k = 0; k < 2; k++) {
			cr_assert_eq(fl_tls_peer_is_good(ctx, peer),
				     j->rule == FL_RULE_NONE && !expired, "%zu, %s", i / 2,
				     j->name);
		}
		fl_tls_peer_unref(peer);
		fl_tls_ctx_free(ctx);
		pki_credentials_free(c);
	}
	fl_tls_peers_unref(peers);
	fl_tls_global_done();
}

/* Once an epoch: what has changed since shows in the next. */
Test(peer, judged_once_an_epoch)
{
	struct fl_tls_peers *peers = table();
	for (uint64_t epoch = 0; epoch < 2; epoch++) {
		struct fl_tls_options options = options_of(peers, epoch);
		struct side_spec spec = {.own = "p384", .options = &options},
				 server = {.options = &options};
		struct pair pair;
		enum fl_rule rule;
		pair_open(&pair, &spec, &server);
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		struct fl_tls_peer *peer = fl_tls_peer_ref(fl_tls_peer_of(pair.server.tls));
		add_crl(pair.server.credentials, "root", "root");
		cr_assert_eq(fl_tls_peer_judge(pair.server.ctx, peer, &rule, NULL), 0);
		cr_assert_eq(rule, epoch == 0 ? FL_RULE_REVOKED : FL_RULE_NONE);
		pair.server.ctx->epoch = 7;
		cr_assert_eq(fl_tls_peer_judge(pair.server.ctx, peer, &rule, NULL), 0);
		cr_assert_eq(rule, FL_RULE_REVOKED);
		/* A handshake of that epoch knows it, too, and says why. */
		pair_again(&pair, &spec, &server);
		pair_handshake(&pair);
		ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_REVOKED, 44);
		cr_assert_not_null(strstr(fl_tls_failure(pair.server.tls)->text, "serial number"));
		fl_tls_peer_unref(peer);
		pair_close(&pair);
	}
	fl_tls_peers_unref(peers);
}

/* --- and when resuming ------------------------------------------------------------------------------ */

/* Tickets are as good as the chain that they name: with keys that stay, which a sidecar never has after such a
 * change, the peer is judged all the same, and refused by certificate. */
static void resume_under(const char *own, const char *const *before, size_t before_count,
			 const char *const *after, size_t after_count, const char *crl,
			 enum fl_rule rule)
{
	struct fl_tls_peers *peers = table();
	struct fl_tls_options options = options_of(peers, 1);
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_ticket_keys_new(NULL, &options.ticket_keys, &err), 0);
	for (int by_server = 0; by_server < 2; by_server++) {
		struct side_spec bad = {.own = own, .options = &options},
				 judge = {.options = &options,
					  .bundles = before,
					  .bundle_count = before_count};
		struct pair pair;
		pair_open(&pair, by_server ? &bad : &judge, by_server ? &judge : &bad);
		pair_handshake(&pair);
		ASSERT_UP(&pair);
		struct fl_tls_saved *saved = fl_tls_save(pair.client.tls);
		cr_assert_not_null(saved);
		pair_again(&pair, by_server ? &bad : &judge, by_server ? &judge : &bad);
		cr_assert(fl_tls_resume(pair.client.tls, saved));
		pair_handshake(&pair);
		cr_assert(fl_tls_resumed(pair.server.tls), "the test of the test");
		struct side *side = by_server ? &pair.server : &pair.client;
		side_close(side);
		options.epoch = 2;
		judge.bundles = after;
		judge.bundle_count = after_count;
		side_open(side, by_server ? FL_TLS_SERVER : FL_TLS_CLIENT, &judge);
		if (crl != NULL) {
			add_crl(side->credentials, crl, "root");
		}
		pair_again(&pair, by_server ? &bad : &judge, by_server ? &judge : &bad);
		cr_assert_eq(fl_tls_resume(pair.client.tls, saved), by_server);
		pair_handshake(&pair);
		ASSERT_FAILED(side, FL_TLS_CAUSE_CERTIFICATE, rule, fl_rule_alert(rule));
		fl_tls_saved_free(saved);
		pair_close(&pair);
		options.epoch = 1;
	}
	fl_tls_ticket_keys_unref(options.ticket_keys);
	fl_tls_peers_unref(peers);
}

Test(peer, resumption_does_not_get_around_judgement)
{
	/* other.crt was a root of ours, and is another domain's now. */
	resume_under("other-ca", mixed, 1, two, 2, NULL, FL_RULE_UNKNOWN_ISSUER);
	resume_under("other-ca", mixed, 1, own_bundle, 1, NULL, FL_RULE_UNKNOWN_ISSUER);
	resume_under("p384", own_bundle, 1, own_bundle, 1, "root", FL_RULE_REVOKED);
	resume_under("intermediate", two, 2, two, 2, "middle", FL_RULE_REVOKED);
	resume_under("p256", own_bundle, 1, others, 1, NULL, FL_RULE_UNKNOWN_ISSUER);
}

/* A chain that the server has thrown away, or another server's: a full handshake. */
Test(peer, ticket_of_a_chain_that_is_forgotten__full)
{
	struct fl_tls_peers *peers = table();
	struct fl_tls_options options = options_of(peers, 1);
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_ticket_keys_new(NULL, &options.ticket_keys, &err), 0);
	struct fl_tls_options own = options;
	own.peers = NULL;
	struct side_spec spec = {.options = &options}, fresh = {.options = &own};
	struct pair pair;
	pair_open(&pair, &spec, &spec);
	pair_handshake(&pair);
	struct fl_tls_saved *saved = fl_tls_save(pair.client.tls);
	cr_assert_not_null(saved);
	side_close(&pair.server);
	side_open(&pair.server, FL_TLS_SERVER, &fresh);
	pair_again(&pair, &spec, &fresh);
	cr_assert(fl_tls_resume(pair.client.tls, saved));
	pair_handshake(&pair);
	ASSERT_UP(&pair);
	cr_assert_not(fl_tls_resumed(pair.server.tls));
	/* It is known now. */
	pair_again(&pair, &spec, &fresh);
	cr_assert(fl_tls_resume(pair.client.tls, saved));
	pair_handshake(&pair);
	cr_assert(fl_tls_resumed(pair.server.tls));
	fl_tls_saved_free(saved);
	pair_close(&pair);
	fl_tls_ticket_keys_unref(options.ticket_keys);
	fl_tls_peers_unref(peers);
}
