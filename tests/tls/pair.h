/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_TLS_PAIR_H
#define FL_TESTS_TLS_PAIR_H
/* pair - two engines in memory and the bytes between them, for the tests of sidecar/tls.
 *
 * Credentials are put together by hand from the files of FL_TEST_PKI, so that bad ones reach the
 * engine, which fl_credentials_parse() would not let through. Header only: each test is a program
 * of its own. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fixture.h"
#include "leaf.h"
#include "tls/tls_internal.h"

static inline char *pki_read(const char *name, const char *suffix, size_t *ret_len)
{
	char *file = fl_format("%s%s", name, suffix);
	char *text = fl_fixture(file, ret_len);
	free(file);
	return text;
}

static inline void pki_certificates(const char *name, struct fl_der_list *ret)
{
	struct fl_err err = {0};
	size_t len;
	char *text = pki_read(name, ".crt", &len);
	cr_assert_eq(fl_pem_certificates(text, len, true, ret, &err), 0, "%s: %s", name, err.text);
	free(text);
}

static inline void pki_key(const char *name, struct fl_der *ret)
{
	struct fl_err err = {0};
	size_t len;
	char *text = pki_read(name, ".key", &len);
	cr_assert_eq(fl_pem_private_key(text, len, ret, &err), 0, "%s: %s", name, err.text);
	fl_wipe_free(text, len);
}

static inline char *pki_id(const char *name)
{
	return fl_format("spiffe://prod.example/ns/test/sa/%s", name);
}

/* Of several files, separated by '+'. */
static inline void pki_roots(const char *names, struct fl_der_list *ret)
{
	char *copy = fl_strdup(names), *rest = copy;
	for (char *name = strtok_r(copy, "+", &rest); name; name = strtok_r(NULL, "+", &rest)) {
		struct fl_der_list one = {0};
		pki_certificates(name, &one);
		for (size_t i = 0; i < one.count; i++) {
			fl_der_list_push(ret, one.items[i].data, one.items[i].len);
		}
		fl_der_list_done(&one);
	}
	free(copy);
}

/* own: of own.crt and own.key. bundles: "trust.domain=file" each, or "=file+file", without a file for an empty
 * bundle; the first is our own. */
static inline struct fl_credentials *pki_credentials(const char *own, const char *const *bundles,
						     size_t count)
{
	struct fl_credentials *c = fl_new(sizeof(*c));
	struct fl_spiffe_id id;

	pki_certificates(own, &c->chain);
	pki_key(own, &c->key);
	struct fl_span leaf = {c->chain.items[0].data, c->chain.items[0].len};
	bool good = leaf_check(leaf, &id, NULL) == FL_RULE_NONE;
	c->id = good ? fl_strndup(id.text, id.len) : fl_strdup("spiffe://prod.example/bad");
	c->bundles = fl_new(count * sizeof(*c->bundles));
	c->bundle_count = count;
	for (size_t i = 0; i < count; i++) {
		const char *eq = strchr(bundles[i], '=');
		cr_assert_not_null(eq);
		c->bundles[i].trust_domain = fl_strndup(bundles[i], (size_t)(eq - bundles[i]));
		if (eq[1] != '\0') {
			pki_roots(eq + 1, &c->bundles[i].roots);
		}
		fl_bundle_index(&c->bundles[i]);
	}
	c->trust_domain = fl_strdup(c->bundles[0].trust_domain);
	return c;
}

static inline void pki_credentials_free(struct fl_credentials *c)
{
	if (c == NULL) {
		return;
	}
	fl_der_list_done(&c->chain);
	fl_der_wipe(&c->key);
	free(c->id);
	free(c->trust_domain);
	for (size_t i = 0; i < c->bundle_count; i++) {
		free(c->bundles[i].trust_domain);
		fl_anchors_done(&c->bundles[i].anchors);
		fl_der_list_done(&c->bundles[i].roots);
	}
	for (size_t i = 0; i < c->crl_count; i++) {
		fl_crl_done(&c->crls[i]);
	}
	free(c->crls);
	free(c->bundles);
	free(c);
}

/* --- a side and a pair --- */

struct side {
	struct fl_credentials *credentials;
	struct fl_tls_ctx *ctx;
	struct fl_tls *tls;
	enum fl_tls_step step; /* of the last call */
	uint8_t *out;          /* not yet seen by the other side */
	size_t out_len, out_cap;
	uint8_t *got; /* plaintext received */
	size_t got_len, got_cap;
};

struct pair {
	struct side client, server;
};

static const char *const all_groups[] = {"X25519MLKEM768", "X25519"};
static const char *const all_ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
					  "TLS_CHACHA20_POLY1305_SHA256"};
static const struct fl_tls_options default_options = {
	.groups = all_groups, .group_count = 2, .ciphers = all_ciphers, .cipher_count = 3};

static const char *const own_bundle[] = {"prod.example=root"};

struct side_spec {
	const char *own; /* default "p256" */
	bool alone;      /* presents the leaf without its intermediates */
	bool forged;     /* the last byte of the leaf, which belongs to the signature, is another */
	const char *const *bundles; /* default own_bundle */
	size_t bundle_count;
	const struct fl_tls_options *options; /* default default_options */
	fl_tls_expect_cb expect;
	void *expect_user;
};

static inline void side_connect(struct side *side, const struct side_spec *spec)
{
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_new(side->ctx, spec->expect, spec->expect_user, &side->tls, &err), 0,
		     "%s", err.text);
	side->step = FL_TLS_MORE;
}

/* Puts a chain and a key past the checks of fl_tls_ctx_new(). */
static inline void side_present(struct side *side, const struct side_spec *spec)
{
	struct fl_der_list chain = {0};
	struct fl_der key = {0};
	uint8_t all[16384];
	size_t len = 0;

	pki_certificates(spec->own, &chain);
	pki_key(spec->own, &key);
	for (size_t i = 0; i < (spec->alone ? 1 : chain.count); i++) {
		cr_assert_leq(chain.items[i].len, sizeof(all) - len);
		memcpy(all + len, chain.items[i].data, chain.items[i].len);
		len += chain.items[i].len;
		all[len - 1] ^= i == 0 && spec->forged;
	}
	cr_assert_eq(wolfSSL_CTX_use_certificate_chain_buffer_format(
			     side->ctx->wolf, all, (long)len, WOLFSSL_FILETYPE_ASN1),
		     WOLFSSL_SUCCESS);
	cr_assert_eq(wolfSSL_CTX_use_PrivateKey_buffer(side->ctx->wolf, key.data, (long)key.len,
						       WOLFSSL_FILETYPE_ASN1),
		     WOLFSSL_SUCCESS);
	fl_der_list_done(&chain);
	fl_der_wipe(&key);
}

static inline void side_open(struct side *side, enum fl_tls_role role, const struct side_spec *spec)
{
	struct fl_err err = {0};
	memset(side, 0, sizeof(*side));
	side->credentials =
		pki_credentials("p256", spec->bundles != NULL ? spec->bundles : own_bundle,
				spec->bundles != NULL ? spec->bundle_count : 1);
	int rc = fl_tls_ctx_new(side->credentials,
				spec->options != NULL ? spec->options : &default_options, role,
				&side->ctx, &err);
	cr_assert_eq(rc, 0, "%s", err.text);
	if (spec->own != NULL) {
		side_present(side, spec);
	}
	side_connect(side, spec);
}

static inline void side_disconnect(struct side *side)
{
	fl_tls_free(side->tls);
	side->tls = NULL;
	side->out_len = 0;
	side->got_len = 0;
}

static inline void side_close(struct side *side)
{
	side_disconnect(side);
	fl_tls_ctx_free(side->ctx);
	pki_credentials_free(side->credentials);
	free(side->out);
	free(side->got);
}

static inline void pair_open(struct pair *pair, const struct side_spec *client,
			     const struct side_spec *server)
{
	static const struct side_spec none;
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_global_init(&err), 0, "%s", err.text);
	side_open(&pair->client, FL_TLS_CLIENT, client != NULL ? client : &none);
	side_open(&pair->server, FL_TLS_SERVER, server != NULL ? server : &none);
}

/* New engines on the same contexts. */
static inline void pair_again(struct pair *pair, const struct side_spec *client,
			      const struct side_spec *server)
{
	static const struct side_spec none;
	side_disconnect(&pair->client);
	side_disconnect(&pair->server);
	side_connect(&pair->client, client != NULL ? client : &none);
	side_connect(&pair->server, server != NULL ? server : &none);
}

static inline void pair_close(struct pair *pair)
{
	side_close(&pair->client);
	side_close(&pair->server);
	fl_tls_global_done();
}

/* Room for what one call may append. */
static inline struct fl_tls_io side_io(struct side *side, const uint8_t *in, size_t in_len,
				       size_t room)
{
	if (side->out_cap - side->out_len < room) {
		side->out_cap = side->out_len + room;
		side->out = fl_grow(side->out, side->out_cap, 1);
	}
	return (struct fl_tls_io){.in = in,
				  .in_len = in_len,
				  .out = side->out,
				  .out_len = side->out_len,
				  .out_cap = side->out_cap};
}

/* Feeds bytes to a side, whatever phase it is in; plaintext goes to got. A dead side ignores them.
 * The input is a copy of its own size, so that ASan sees a read beyond it. */
static inline void side_feed(struct side *side, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	memcpy(copy, data, len);
	struct fl_tls_io io = side_io(side, copy, len, FL_TLS_OUT_RESERVE);

	if (side->step == FL_TLS_MORE && fl_tls_peer_id(side->tls) == NULL) {
		side->step = fl_tls_handshake(side->tls, &io);
		cr_assert(side->step != FL_TLS_MORE || io.in_len == 0);
	}
	while (side->step != FL_TLS_FAILED && fl_tls_peer_id(side->tls) != NULL && io.in_len > 0) {
		size_t n = 0;
		if (side->got_cap < side->got_len + 16384) {
			side->got_cap = side->got_len + 65536;
			side->got = fl_grow(side->got, side->got_cap, 1);
		}
		enum fl_tls_step step =
			fl_tls_read(side->tls, &io, side->got + side->got_len, 16384, &n);
		side->got_len += n;
		side->step = step;
		cr_assert(step != FL_TLS_MORE || io.in_len == 0 || n == 16384);
	}
	side->out_len = io.out_len;
	free(copy);
}

/* A copy of what a side has said; out_len stays for the caller to clear. free() it. */
static inline uint8_t *side_take(const struct side *side)
{
	uint8_t *copy = fl_new(side->out_len);
	if (side->out_len > 0) {
		memcpy(copy, side->out, side->out_len);
	}
	return copy;
}

/* All that from has said goes to side, in pieces of at most chunk bytes (0: whole). */
static inline void side_deliver(struct side *side, struct side *from, size_t chunk)
{
	uint8_t *data = side_take(from);
	size_t len = from->out_len;

	from->out_len = 0;
	for (size_t at = 0; at < len;) {
		size_t n = chunk == 0 || chunk > len - at ? len - at : chunk;
		side_feed(side, data + at, n);
		at += n;
	}
	free(data);
}

static inline void pair_start(struct pair *pair)
{
	side_feed(&pair->client, (const uint8_t *)"", 0);
}

/* Carries bytes back and forth until both are silent. */
static inline void pair_settle(struct pair *pair, size_t chunk)
{
	for (int i = 0; i < 64 && (pair->client.out_len > 0 || pair->server.out_len > 0); i++) {
		side_deliver(&pair->server, &pair->client, chunk);
		side_deliver(&pair->client, &pair->server, chunk);
	}
	cr_assert_eq(pair->client.out_len + pair->server.out_len, 0, "the sides never fall silent");
}

static inline void pair_handshake(struct pair *pair)
{
	pair_start(pair);
	pair_settle(pair, 0);
}

static inline bool side_is_up(const struct side *side)
{
	return fl_tls_peer_id(side->tls) != NULL;
}

static inline void side_write(struct side *side, const uint8_t *data, size_t len)
{
	struct fl_tls_io io = side_io(side, NULL, 0, FL_TLS_OUT_RESERVE + FL_TLS_SEALED_SIZE(len));
	cr_assert_eq(fl_tls_write(side->tls, &io, data, len), 0);
	cr_assert_leq(io.out_len - side->out_len, FL_TLS_SEALED_SIZE(len));
	side->out_len = io.out_len;
}

static inline void side_shut(struct side *side)
{
	struct fl_tls_io io = side_io(side, NULL, 0, FL_TLS_OUT_RESERVE);
	fl_tls_close(side->tls, &io);
	side->out_len = io.out_len;
}

#define ASSERT_UP(pair)                                                                            \
	do {                                                                                       \
		cr_assert(side_is_up(&(pair)->client), "client: %s",                               \
			  fl_tls_failure((pair)->client.tls)->text);                               \
		cr_assert(side_is_up(&(pair)->server), "server: %s",                               \
			  fl_tls_failure((pair)->server.tls)->text);                               \
	} while (0)

#define ASSERT_FAILED(side, want_cause, want_rule, want_alert)                                     \
	do {                                                                                       \
		const struct fl_tls_failure *f = fl_tls_failure((side)->tls);                      \
		cr_assert_eq((side)->step, FL_TLS_FAILED);                                         \
		cr_assert_eq(f->cause, (want_cause), "cause %d: %s", (int)f->cause, f->text);      \
		cr_assert_eq(f->rule, (want_rule), "rule %s, not %s: %s", fl_rule_name(f->rule),   \
			     fl_rule_name(want_rule), f->text);                                    \
		cr_assert_eq(f->alert, (want_alert), "alert %d: %s", f->alert, f->text);           \
	} while (0)

#endif
