/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sign_test - handshakes of engines that have no private key: they ask for their one signature, and it is made outside, by
 * the code that the agent uses. */
#include "pair.h"

#include "base/tls_alert.h"
#include "pki/signer.h"

static const char *const kinds[] = {"p256", "p384", "ed25519", "rsa2048"};

/* A side without a private key, and who has it. */
struct distant {
	struct side side;
	struct fl_signer *signer;
	struct fl_der_list chain;
	uint8_t *held; /* input that was not due */
	size_t held_len;
	unsigned asked;
};

static struct fl_signer *signer_of(const char *name, struct fl_der_list *ret_chain)
{
	struct fl_signer *signer;
	struct fl_err err = {0};
	struct fl_cert leaf;
	struct fl_der key = {0};

	pki_certificates(name, ret_chain);
	pki_key(name, &key);
	cr_assert_eq(fl_cert_parse(fl_span_of(&ret_chain->items[0]), &leaf, &err), FL_RULE_NONE);
	cr_assert_eq(fl_signer_new(&leaf.key, fl_span_of(&key), &signer, &err), 0, "%s", err.text);
	fl_der_wipe(&key);
	return signer;
}

static void distant_open(struct distant *d, const char *name, enum fl_tls_role role,
			 const struct fl_tls_options *options)
{
	static const struct side_spec none;
	struct fl_err err = {0};

	*d = (struct distant){0};
	d->signer = signer_of(name, &d->chain);
	d->side.credentials = pki_credentials(name, own_bundle, 1);
	fl_der_wipe(&d->side.credentials->key);
	cr_assert_eq(fl_tls_ctx_new(d->side.credentials, options, role, &d->side.ctx, &err), 0,
		     "%s", err.text);
	side_connect(&d->side, &none);
}

static void distant_close(struct distant *d)
{
	side_close(&d->side);
	fl_signer_free(d->signer);
	fl_der_list_done(&d->chain);
	free(d->held);
}

/* Gives the engine input and perhaps a signature, and keeps what it does not take. */
static void feed(struct distant *d, const uint8_t *data, size_t len, struct fl_span signature)
{
	uint8_t *all = fl_new(d->held_len + len + 1);
	struct fl_tls_io io;

	if (d->held_len > 0) {
		memcpy(all, d->held, d->held_len);
	}
	memcpy(all + d->held_len, data, len);
	io = side_io(&d->side, all, d->held_len + len, FL_TLS_OUT_RESERVE);
	io.signature = signature.data;
	io.signature_len = signature.len;
	d->side.step = fl_tls_handshake(d->side.tls, &io);
	d->side.out_len = io.out_len;
	free(d->held);
	d->held = fl_new(io.in_len + 1);
	memcpy(d->held, io.in, io.in_len);
	d->held_len = io.in_len;
	free(all);
}

static void deliver(struct distant *to, struct distant *from)
{
	uint8_t *data = side_take(&from->side);
	size_t len = from->side.out_len;

	from->side.out_len = 0;
	if (len > 0) {
		feed(to, data, len, (struct fl_span){0});
	}
	free(data);
}

static size_t sign_for(struct distant *d, uint8_t signature[FL_SIGNATURE_MAX])
{
	struct fl_tls_to_sign to_sign;
	size_t len = 0;

	fl_tls_to_sign(d->side.tls, &to_sign);
	cr_assert_eq(memcmp(to_sign.key, fl_signer_key_name(d->signer), FL_DIGEST_LEN), 0);
	cr_assert_eq(fl_signer_sign(d->signer,
				    to_sign.role == FL_TLS_CLIENT ? FL_SIGN_CLIENT : FL_SIGN_SERVER,
				    to_sign.scheme,
				    (struct fl_span){to_sign.hash, to_sign.hash_len}, signature,
				    &len),
		     FL_SIGN_SIGNED);
	d->asked++;
	return len;
}

/* Calls in vain before the signature comes change nothing. */
static void sign_if_asked(struct distant *d, unsigned in_vain)
{
	uint8_t signature[FL_SIGNATURE_MAX];
	size_t len, out_len = d->side.out_len;

	if (d->side.step != FL_TLS_SIGNING) {
		return;
	}
	for (unsigned i = 0; i < in_vain; i++) {
		feed(d, (const uint8_t *)"", 0, (struct fl_span){0});
		cr_assert_eq(d->side.step, FL_TLS_SIGNING);
		cr_assert_eq(d->side.out_len, out_len);
	}
	len = sign_for(d, signature);
	feed(d, (const uint8_t *)"", 0, (struct fl_span){signature, len});
}

static void shake(struct distant *client, struct distant *server, unsigned in_vain)
{
	feed(client, (const uint8_t *)"", 0, (struct fl_span){0});
	for (int i = 0; i < 4; i++) {
		deliver(server, client);
		sign_if_asked(server, in_vain);
		deliver(client, server);
		sign_if_asked(client, in_vain);
	}
}

static void shake_and_check(const char *client_key, const char *server_key, const char *cipher,
			    unsigned in_vain)
{
	struct fl_tls_options options = default_options;
	struct distant client, server;

	options.ciphers = &cipher;
	options.cipher_count = 1;
	distant_open(&client, client_key, FL_TLS_CLIENT, &options);
	distant_open(&server, server_key, FL_TLS_SERVER, &options);
	shake(&client, &server, in_vain);
	cr_assert_eq(client.side.step, FL_TLS_ESTABLISHED, "%s: %s", client_key,
		     fl_tls_failure(client.side.tls)->text);
	cr_assert_eq(server.side.step, FL_TLS_ESTABLISHED, "%s: %s", server_key,
		     fl_tls_failure(server.side.tls)->text);
	cr_assert_eq(client.asked, 1);
	cr_assert_eq(server.asked, 1);
	distant_close(&client);
	distant_close(&server);
}

Test(sign, every_kind_of_key_in_both_roles__with_either_hash)
{
	struct fl_err err;

	cr_assert_eq(fl_tls_global_init(&err), 0);
	for (size_t i = 0; i < FL_COUNT_OF(kinds); i++) {
		for (size_t k = 0; k < FL_COUNT_OF(kinds); k++) {
			shake_and_check(kinds[i], kinds[k], "TLS_AES_128_GCM_SHA256", 0);
			shake_and_check(kinds[i], kinds[k], "TLS_AES_256_GCM_SHA384", 3);
		}
	}
	fl_tls_global_done();
}

/* What the wrong key, the wrong role, another transcript, or nobody has signed never goes out. */
Test(sign, wrong_signatures__never_sent)
{
	static const struct {
		const char *what;
		size_t flip; /* byte of the signature from its end; 0: none */
		bool other_key, other_role, other_hash, empty;
	} wrongs[] = {
		{.what = "damaged", .flip = 1},
		{.what = "other key", .other_key = true},
		{.what = "other role", .other_role = true},
		{.what = "other transcript", .other_hash = true},
	};
	struct fl_err err;

	cr_assert_eq(fl_tls_global_init(&err), 0);
	for (size_t i = 0; i < FL_COUNT_OF(wrongs); i++) {
		uint8_t signature[FL_SIGNATURE_MAX];
		struct fl_tls_to_sign to_sign;
		struct distant client, server;
		struct fl_der_list other_chain = {0};
		struct fl_signer *other = signer_of("other-names", &other_chain);
		size_t len = 0, out_len;

		distant_open(&client, "p256", FL_TLS_CLIENT, &default_options);
		distant_open(&server, "p256", FL_TLS_SERVER, &default_options);
		feed(&client, (const uint8_t *)"", 0, (struct fl_span){0});
		deliver(&server, &client);
		cr_assert_eq(server.side.step, FL_TLS_SIGNING);
		out_len = server.side.out_len;
		fl_tls_to_sign(server.side.tls, &to_sign);
		to_sign.hash[0] ^= wrongs[i].other_hash;
		cr_assert_eq(fl_signer_sign(wrongs[i].other_key ? other : server.signer,
					    wrongs[i].other_role ? FL_SIGN_CLIENT : FL_SIGN_SERVER,
					    to_sign.scheme,
					    (struct fl_span){to_sign.hash, to_sign.hash_len},
					    signature, &len),
			     FL_SIGN_SIGNED);
		if (wrongs[i].flip > 0) {
			signature[len - wrongs[i].flip] ^= 1;
		}
		feed(&server, (const uint8_t *)"", 0, (struct fl_span){signature, len});
		ASSERT_FAILED(&server.side, FL_TLS_CAUSE_INTERNAL, FL_RULE_NONE,
			      FL_ALERT_INTERNAL_ERROR);
		/* An alert, and nothing as long as a signature. */
		cr_assert_lt(server.side.out_len - out_len, 40, "%s", wrongs[i].what);
		fl_signer_free(other);
		fl_der_list_done(&other_chain);
		distant_close(&client);
		distant_close(&server);
	}
	fl_tls_global_done();
}

Test(sign, refused__the_peer_gets_an_alert)
{
	struct distant client, server;
	struct fl_tls_io io;
	struct fl_err err;

	cr_assert_eq(fl_tls_global_init(&err), 0);
	distant_open(&client, "p256", FL_TLS_CLIENT, &default_options);
	distant_open(&server, "p256", FL_TLS_SERVER, &default_options);
	feed(&client, (const uint8_t *)"", 0, (struct fl_span){0});
	deliver(&server, &client);
	cr_assert_eq(server.side.step, FL_TLS_SIGNING);
	io = side_io(&server.side, NULL, 0, FL_TLS_OUT_RESERVE);
	fl_tls_refuse_signature(server.side.tls, &io, "nobody signs");
	server.side.out_len = io.out_len;
	cr_assert_eq(fl_tls_failure(server.side.tls)->cause, FL_TLS_CAUSE_NO_SIGNATURE);
	cr_assert_str_eq(fl_tls_failure(server.side.tls)->text, "nobody signs");
	deliver(&client, &server);
	cr_assert_eq(client.side.step, FL_TLS_FAILED);
	cr_assert_eq(fl_tls_failure(client.side.tls)->cause, FL_TLS_CAUSE_PEER_ALERT);
	cr_assert_eq(fl_tls_failure(client.side.tls)->alert, FL_ALERT_INTERNAL_ERROR);
	distant_close(&client);
	distant_close(&server);
	fl_tls_global_done();
}

/* A sidecar without the key still tries what it can: all but the signatures. */
Test(sign, trial_without_a_key__up_to_the_signature)
{
	struct fl_err err = {0};
	static const char *const other_bundle[] = {"prod.example=other"};
	struct fl_credentials *c;

	cr_assert_eq(fl_tls_global_init(&err), 0);
	c = pki_credentials("p256", own_bundle, 1);
	fl_der_wipe(&c->key);
	cr_assert_eq(fl_tls_trial(c, &default_options, &err), 0, "%s", err.text);
	pki_credentials_free(c);
	c = pki_credentials("p256", other_bundle, 1);
	fl_der_wipe(&c->key);
	cr_assert_eq(fl_tls_trial(c, &default_options, &err), FL_ERR_INVALID);
	cr_assert_not_null(strstr(err.text, "chain-unknown-issuer"), "%s", err.text);
	pki_credentials_free(c);
	fl_tls_global_done();
}

/* --- the signer alone --- */

Test(sign, signer_refuses_what_is_not_its_own)
{
	static const struct {
		const char *key;
		uint16_t schemes[3]; /* that it signs */
	} rows[] = {
		{"p256", {0x0403}},
		{"p384", {0x0503}},
		{"ed25519", {0x0807}},
		{"rsa2048", {0x0804, 0x0805, 0x0806}},
	};
	uint8_t hash[64] = {1}, signature[FL_SIGNATURE_MAX];
	size_t len;

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_der_list chain = {0};
		struct fl_signer *signer = signer_of(rows[i].key, &chain);

		for (unsigned scheme = 0; scheme <= UINT16_MAX; scheme++) {
			bool own = scheme != 0 &&
				   (scheme == rows[i].schemes[0] || scheme == rows[i].schemes[1] ||
				    scheme == rows[i].schemes[2]);

			cr_assert_eq(fl_signer_sign(signer, FL_SIGN_SERVER, (uint16_t)scheme,
						    (struct fl_span){hash, 32}, signature, &len),
				     own ? FL_SIGN_SIGNED : FL_SIGN_SCHEME, "%s %x", rows[i].key,
				     scheme);
		}
		for (size_t n = 0; n <= sizeof(hash); n++) {
			cr_assert_eq(fl_signer_sign(signer, FL_SIGN_SERVER, rows[i].schemes[0],
						    (struct fl_span){hash, n}, signature, &len),
				     n == 32 || n == 48 ? FL_SIGN_SIGNED : FL_SIGN_HASH);
		}
		for (unsigned role = 2; role < 300; role++) {
			cr_assert_eq(fl_signer_sign(signer, role, rows[i].schemes[0],
						    (struct fl_span){hash, 32}, signature, &len),
				     FL_SIGN_ROLE);
		}
		fl_signer_free(signer);
		fl_der_list_done(&chain);
	}
}

Test(sign, signer_of_another_certificate__refused)
{
	struct fl_der_list chain = {0};
	struct fl_signer *signer;
	struct fl_err err = {0};
	struct fl_cert leaf;
	struct fl_der key = {0};

	pki_certificates("p256", &chain);
	pki_key("other-names", &key);
	cr_assert_eq(fl_cert_parse(fl_span_of(&chain.items[0]), &leaf, &err), FL_RULE_NONE);
	cr_assert_eq(fl_signer_new(&leaf.key, fl_span_of(&key), &signer, &err), FL_ERR_INVALID);
	fl_der_wipe(&key);
	fl_der_list_done(&chain);
}
