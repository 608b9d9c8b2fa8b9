/* SPDX-License-Identifier: GPL-3.0-or-later */
/* crl_test - both sides refuse a revoked certificate, with the right alert, and no others. */
#include "pair.h"

/* The credentials of a side, with a CRL put beside them after its context was made. */
static void add_crl(struct side *side, const char *name)
{
	struct fl_der_list list = {0}, roots = {0};
	struct fl_err err = {0};
	size_t len;
	char *text = pki_read(name, ".crl", &len);

	cr_assert_eq(fl_pem_crls(text, len, &list, &err), 0, "%s", err.text);
	pki_certificates("root", &roots);
	side->credentials->crls = fl_new(sizeof(struct fl_crl));
	side->credentials->crl_count = 1;
	cr_assert_eq(fl_crl_parse(&list.items[0], side->credentials->crls, &err), 0, "%s",
		     err.text);
	cr_assert_eq(fl_crl_verify(side->credentials->crls, 0,
				   (struct fl_span){roots.items[0].data, roots.items[0].len}, &err),
		     0, "%s", err.text);
	fl_der_list_done(&list);
	fl_der_list_done(&roots);
	free(text);
}

static void check(const char *peer, const char *crl, bool by_server, bool refused)
{
	struct side_spec good = {0}, spec = {.own = peer};
	struct pair pair;
	pair_open(&pair, by_server ? &spec : &good, by_server ? &good : &spec);
	struct side *judge = by_server ? &pair.server : &pair.client;
	struct side *other = by_server ? &pair.client : &pair.server;
	add_crl(judge, crl);
	pair_handshake(&pair);
	if (refused) {
		ASSERT_FAILED(judge, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_REVOKED, 44);
		ASSERT_FAILED(other, FL_TLS_CAUSE_PEER_ALERT, FL_RULE_NONE, 44);
		cr_assert_not_null(strstr(fl_tls_failure(judge->tls)->text, "serial number is 0x"));
		cr_assert_null(fl_tls_peer_id(judge->tls));
	} else {
		ASSERT_UP(&pair);
	}
	pair_close(&pair);
}

Test(crl, leaf_and_intermediate_are_refused_by_both_sides)
{
	for (int by_server = 0; by_server < 2; by_server++) {
		check("p384", "root", by_server, true);
		check("intermediate", "middle", by_server, true);
		check("two-intermediates", "middle", by_server, true);
		check("ed25519", "own", by_server, true);
	}
}

Test(crl, others_are_left_alone)
{
	static const char *const good[] = {"ed25519", "rsa2048", "intermediate",
					   "two-intermediates"};
	for (size_t i = 0; i < FL_COUNT_OF(good); i++) {
		check(good[i], "root", true, false);
		check(good[i], "root", false, false);
	}
	check("p384", "none", true, false);
	check("p384", "none", false, false);
}

/* Its issuer has no CRL: the certificate is not covered. wolfSSL's own store would refuse it. */
Test(crl, issuer_without_a_list_is_not_covered)
{
	static const char *const two[] = {"prod.example=root", "other.example=other"};
	static const char *const theirs[] = {"other.example=other", "prod.example=root"};
	struct side_spec server = {.bundles = two, .bundle_count = 2};
	struct side_spec client = {.own = "other-chain", .bundles = theirs, .bundle_count = 2};
	struct pair pair;
	pair_open(&pair, &client, &server);
	add_crl(&pair.server, "root");
	pair_handshake(&pair);
	/* The server is content; the client, without an expectation, wants its own domain. */
	ASSERT_FAILED(&pair.client, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_PEER, 49);
	pair_close(&pair);
}

/* One context, many peers: a refused peer leaves no trace in the context. */
Test(crl, again_and_again)
{
	struct side_spec client = {.own = "intermediate"};
	struct pair pair;
	pair_open(&pair, &client, NULL);
	add_crl(&pair.server, "middle");
	for (int i = 0; i < 3; i++) {
		pair_handshake(&pair);
		ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_CERTIFICATE, FL_RULE_REVOKED, 44);
		pair_again(&pair, &client, NULL);
	}
	pair_close(&pair);
}
