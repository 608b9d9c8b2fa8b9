/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Builds and releases generations. A failure leaves nothing behind: the caller continues with its
 * current one. */
#include "generation/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/yield.h"
#include "pki/digest.h"

static char *copy_span(struct fl_span span)
{
	return fl_strndup((const char *)span.data, span.len);
}

static int parse_conf(const struct fl_ctl_generation *message, struct fl_conf **ret,
		      struct fl_err *err)
{
	char *path = copy_span(message->ini_path);
	struct fl_problems problems = {0};
	int rc = fl_conf_parse(path, (const char *)message->ini.data, message->ini.len, ret,
			       &problems);

	if (rc != 0) {
		const struct fl_problem *first = &problems.items[0];

		(void)fl_err_set(err, FL_ERR_INVALID, "%s:%u: %s%s", path, first->line, first->text,
				 problems.errors > 1 ? " (and more: see `fairlead-agent check`)"
						     : "");
	}
	fl_problems_done(&problems);
	free(path);
	return rc;
}

static bool may_share_root(const struct fl_conf *conf, const char *trust_domain)
{
	const struct fl_conf_bundle *bundle = fl_conf_find_bundle(conf, trust_domain);

	return bundle != NULL && bundle->shared_root;
}

static int check_key_place(const struct fl_ctl_generation *message, const struct fl_conf *conf,
			   struct fl_err *err)
{
	static const char mark[] = "PRIVATE KEY-----";
	bool has_key = memmem(message->credential.data, message->credential.len, mark,
			      sizeof(mark) - 1) != NULL;

	if (has_key && !conf->tls.key_in_sidecar) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"the agent sent our private key, although it is to stay there (`[tls] key = agent`): it is "
			"of an older release; run agent and sidecar of one release, or set `[tls] key = sidecar`");
	}
	if (!has_key && conf->tls.key_in_sidecar) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"the agent did not send our private key, although `[tls] key = sidecar` asks for it");
	}
	return 0;
}

/* If the INI asks for CRLs, the generation must have them. */
static int parse_credentials(const struct fl_ctl_generation *message, const struct fl_conf *conf,
			     int64_t now, const struct fl_generation *current,
			     struct fl_credentials **ret, struct fl_err *err)
{
	bool has_key = conf->tls.key_in_sidecar;
	struct fl_credentials_pem pem = {
		.credential_bundle = has_key ? message->credential : (struct fl_span){0},
		.credential_bundle_name = has_key ? "credential" : NULL,
		.cert = message->credential,
		.cert_name = "credential",
		.key_is_elsewhere = !has_key,
		.bundle = message->bundle,
		.bundle_name = "bundle",
		.crl = message->crl.len > 0 ? message->crl : (struct fl_span){0},
		.crl_name = message->crl.len > 0 || conf->identity.crl != NULL ? "crl" : NULL,
		.late.in_force = current != NULL ? current->credentials : NULL,
		.foreign_count = message->foreign_count,
	};
	struct fl_foreign_bundle *foreign = fl_new((message->foreign_count + 1) * sizeof(*foreign));
	int rc;

	for (size_t i = 0; i < message->foreign_count; i++) {
		foreign[i].trust_domain = foreign[i].name =
			copy_span(message->foreign[i].trust_domain);
		foreign[i].pem = message->foreign[i].bundle;
		foreign[i].shared_root = may_share_root(conf, foreign[i].trust_domain);
		if (message->foreign[i].refused.len > 0) {
			foreign[i].refused = copy_span(message->foreign[i].refused);
		}
	}
	pem.foreign = foreign;
	rc = fl_credentials_parse(&pem, now, ret, err);
	for (size_t i = 0; i < message->foreign_count; i++) {
		free((char *)foreign[i].trust_domain);
		free((char *)foreign[i].refused);
	}
	free(foreign);
	return rc;
}

static struct fl_span span_of(const char *text)
{
	return (struct fl_span){(const uint8_t *)text, strlen(text)};
}

static void digest_anchors(const struct fl_credentials *credentials, uint8_t ret[FL_DIGEST_LEN])
{
	struct fl_span *parts;
	size_t count = credentials->crl_count, n = 0;

	for (size_t i = 0; i < credentials->bundle_count; i++) {
		count += 1 + credentials->bundles[i].roots.count;
	}
	parts = fl_new((count + 1) * sizeof(*parts));
	for (size_t i = 0; i < credentials->bundle_count; i++) {
		const struct fl_bundle *bundle = &credentials->bundles[i];

		parts[n++] = span_of(bundle->trust_domain);
		for (size_t k = 0; k < bundle->roots.count; k++) {
			parts[n++] = (struct fl_span){bundle->roots.items[k].data,
						      bundle->roots.items[k].len};
		}
	}
	for (size_t i = 0; i < credentials->crl_count; i++) {
		parts[n++] = (struct fl_span){credentials->crls[i].der.data,
					      credentials->crls[i].der.len};
	}
	fl_digest(parts, n, ret);
	free(parts);
}

/* The digest includes our own ID, because a peer that resumes a session keeps our ID of that time.
 * It also includes our root: otherwise a session that is resumed again and again would still depend
 * on the old root, and be lost with it long after we have a certificate from the new one. */
static void digest_trust(struct fl_generation *generation, struct fl_span ini)
{
	const struct fl_credentials *credentials = generation->credentials;
	const struct fl_der *root = &credentials->bundles[0].roots.items[credentials->own.anchor];
	const struct fl_span parts[] = {
		{generation->anchors, sizeof(generation->anchors)},
		ini,
		span_of(credentials->id),
		{root->data, root->len},
	};

	fl_digest(parts, FL_COUNT_OF(parts), generation->trust);
}

bool fl_generation_same_trust(const struct fl_generation *a, const struct fl_generation *b)
{
	return a == b || memcmp(a->trust, b->trust, sizeof(a->trust)) == 0;
}

static void name_key(const struct fl_credentials *credentials, uint8_t ret[FL_DIGEST_LEN])
{
	struct fl_cert leaf;

	FL_REQUIRE(fl_cert_parse(fl_span_of(&credentials->chain.items[0]), &leaf, NULL) ==
		   FL_RULE_NONE);
	fl_key_name(&leaf.key, ret);
}

static void digest_own(const struct fl_credentials *credentials, uint8_t ret[FL_DIGEST_LEN])
{
	const struct fl_der_list *chain = &credentials->chain;
	struct fl_span *parts = fl_new((chain->count + 1) * sizeof(*parts));

	for (size_t i = 0; i < chain->count; i++) {
		parts[i] = (struct fl_span){chain->items[i].data, chain->items[i].len};
	}
	fl_digest(parts, chain->count, ret);
	free(parts);
}

static bool same_chain(const struct fl_generation *a, const struct fl_generation *b)
{
	return memcmp(a->own, b->own, sizeof(a->own)) == 0;
}

bool fl_generation_may_resume(const struct fl_generation *a, const struct fl_generation *b)
{
	return fl_generation_same_trust(a, b) && same_chain(a, b);
}

static bool same_words(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
	bool same = a_count == b_count;

	for (size_t i = 0; same && i < a_count; i++) {
		same = strcmp(a[i], b[i]) == 0;
	}
	return same;
}

static bool same_tls(const struct fl_conf *a, const struct fl_conf *b)
{
	bool same_groups = same_words(a->tls.group_names, a->tls.group_count, b->tls.group_names,
				      b->tls.group_count);
	bool same_ciphers = same_words(a->tls.cipher_names, a->tls.cipher_count,
				       b->tls.cipher_names, b->tls.cipher_count);

	return a->tls.reuse == b->tls.reuse && a->tls.key_in_sidecar == b->tls.key_in_sidecar &&
	       same_groups && same_ciphers;
}

bool fl_generation_may_reuse(const struct fl_generation *a, const struct fl_generation *b)
{
	return memcmp(a->anchors, b->anchors, sizeof(a->anchors)) == 0 &&
	       memcmp(a->own, b->own, sizeof(a->own)) == 0 && same_tls(a->conf, b->conf);
}

/* Changes of rules and settings do not affect it. */
static void judge_rollover(struct fl_generation *generation, const struct fl_generation *current)
{
	if (current == NULL) {
		return;
	}
	if (same_chain(generation, current) &&
	    memcmp(generation->anchors, current->anchors, sizeof(generation->anchors)) == 0) {
		generation->rollover = current->rollover;
	} else {
		generation->rollover =
			fl_rollover_judge(current->credentials, generation->credentials);
	}
}

static int make_ticket_keys(struct fl_generation *generation, const struct fl_generation *current,
			    struct fl_err *err)
{
	bool goes_on = current != NULL && fl_generation_same_trust(generation, current);

	if (generation->conf->tls.tickets == FL_TICKETS_OFF) {
		return 0;
	}
	return fl_tls_ticket_keys_new(goes_on ? current->ticket_keys : NULL,
				      &generation->ticket_keys, err);
}

static int find_peers(struct fl_generation *generation, const struct fl_generation *current,
		      struct fl_err *err)
{
	if (current == NULL) {
		generation->epoch = 1;
		return fl_tls_peers_new(&generation->peers, err);
	}
	generation->peers = fl_tls_peers_ref(current->peers);
	generation->epoch = current->epoch + (memcmp(generation->anchors, current->anchors,
						     sizeof(current->anchors)) != 0);
	return 0;
}

struct fl_tls_options fl_generation_tls_options(const struct fl_generation *generation)
{
	const struct fl_conf *conf = generation->conf;

	return (struct fl_tls_options){.groups = conf->tls.group_names,
				       .group_count = conf->tls.group_count,
				       .ciphers = conf->tls.cipher_names,
				       .cipher_count = conf->tls.cipher_count,
				       .ticket_keys = generation->ticket_keys,
				       .peers = generation->peers,
				       .epoch = generation->epoch,
				       .framed = conf->tls.reuse};
}

/* The agent has tried it too, but we do not rely on the sender. */
static int try_handshake(const struct fl_generation *generation, struct fl_err *err)
{
	struct fl_tls_options options = fl_generation_tls_options(generation);

	/* If this generation is refused, the next one gets the same epoch, so the trial must not
	 * remember any verdict. */
	options.peers = NULL;
	options.epoch = 0;
	return fl_tls_trial(generation->credentials, &options, err);
}

int fl_generation_new(const struct fl_ctl_generation *message, int64_t now,
		      const struct fl_generation *current, struct fl_generation **ret,
		      struct fl_err *err)
{
	struct fl_credentials *credentials;
	struct fl_generation *generation;
	struct fl_conf *conf;
	int rc;

	rc = parse_conf(message, &conf, err);
	if (rc != 0) {
		return rc;
	}
	fl_yield();
	rc = check_key_place(message, conf, err);
	if (rc == 0) {
		rc = parse_credentials(message, conf, now, current, &credentials, err);
	}
	if (rc != 0) {
		fl_conf_free(conf);
		return rc;
	}
	generation = fl_new(sizeof(*generation));
	*generation = (struct fl_generation){
		.refs = 1, .number = message->number, .credentials = credentials, .conf = conf};
	fl_expiries_init(&generation->expiries, credentials);
	memcpy(generation->digest, message->digest, sizeof(generation->digest));
	fl_yield();
	digest_anchors(credentials, generation->anchors);
	digest_own(generation->credentials, generation->own);
	name_key(generation->credentials, generation->key);
	digest_trust(generation, message->ini);
	judge_rollover(generation, current);
	rc = find_peers(generation, current, err);
	if (rc == 0) {
		rc = make_ticket_keys(generation, current, err);
	}
	if (rc == 0) {
		rc = try_handshake(generation, err);
	}
	if (rc != 0) {
		fl_generation_unref(generation);
		return rc;
	}
	*ret = generation;
	return 0;
}

struct fl_generation *fl_generation_ref(struct fl_generation *generation)
{
	__atomic_add_fetch(&generation->refs, 1, __ATOMIC_RELAXED);
	return generation;
}

void fl_generation_unref(struct fl_generation *generation)
{
	if (generation == NULL || __atomic_sub_fetch(&generation->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	fl_expiries_done(&generation->expiries);
	fl_credentials_free(generation->credentials);
	fl_conf_free(generation->conf);
	fl_tls_ticket_keys_unref(generation->ticket_keys);
	fl_tls_peers_unref(generation->peers);
	free(generation);
}

int fl_share_new(struct fl_generation *generation, struct fl_rule_counts *rule_counts,
		 unsigned worker, struct fl_share **ret, struct fl_err *err)
{
	struct fl_tls_options options = fl_generation_tls_options(generation);
	struct fl_share *share = fl_new(sizeof(*share));
	int rc;

	fl_yield();
	rc = fl_tls_ctx_new(generation->credentials, &options, FL_TLS_SERVER, &share->server, err);
	if (rc == 0) {
		fl_yield();
		rc = fl_tls_ctx_new(generation->credentials, &options, FL_TLS_CLIENT,
				    &share->client, err);
	}
	if (rc != 0) {
		fl_tls_ctx_free(share->server);
		free(share);
		return rc;
	}
	share->refs = 1;
	share->rule_counts = fl_rule_counts_ref(rule_counts);
	share->worker = worker;
	share->generation = fl_generation_ref(generation);
	*ret = share;
	return 0;
}

struct fl_share *fl_share_ref(struct fl_share *share)
{
	share->refs++;
	return share;
}

void fl_share_retire(struct fl_share *share)
{
	fl_rule_counts_unref(share->rule_counts);
	share->rule_counts = NULL;
}

void fl_share_unref(struct fl_share *share)
{
	if (share == NULL || --share->refs > 0) {
		return;
	}
	fl_share_retire(share);
	fl_tls_ctx_free(share->client);
	fl_tls_ctx_free(share->server);
	fl_upstream_map_unref(share->upstream_map);
	free(share->plaintext);
	fl_section_set_unref(share->sections);
	fl_generation_unref(share->generation);
	free(share);
}
