/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The whole set that a generation stands on, as mounted files or a message bring it: certificate, key, bundle, CRL and a
 * federated bundle, or one file for the first two. Real signatures and keys; files are inserted by number (pki.h). */
#include <time.h>

#include "pki.h"
#include "pki/credentials.h"
#include "pki/judge.h"
#include "pki/rollover.h"

static unsigned errors;

static void finding(void *user, bool is_error, const char *name, const char *text)
{
	(void)user;
	(void)name;
	FL_REQUIRE(text[0] != '\0');
	errors += is_error;
}

/* Our own chain is one that we would take from a peer. */
static void judge_own(const struct fl_credentials *c)
{
	struct fl_span chain[FL_PATH_SENT_MAX];
	struct fl_moment any = {.now = (int64_t)time(NULL), .any_time = true};
	struct fl_judgement judgement;
	size_t count = 0, index = 0;
	struct fl_err detail;

	for (; count < c->chain.count && count < FL_PATH_SENT_MAX; count++) {
		chain[count] =
			(struct fl_span){c->chain.items[count].data, c->chain.items[count].len};
	}
	FL_REQUIRE(fl_judge(c, chain, count, any, &judgement, &detail) == FL_OK);
	FL_REQUIRE(judgement.rule == FL_RULE_NONE || judgement.rule == FL_RULE_REVOKED ||
		   count < c->chain.count);
	(void)fl_judge_revoked(c, 0, chain, count - 1, &index, &detail);
}

static void use(const struct fl_credentials *c)
{
	uint8_t digest[FL_DIGEST_LEN];
	struct fl_rollover rollover;

	FL_REQUIRE(c->chain.count > 0 && c->key.len > 0 && c->bundle_count > 0);
	FL_REQUIRE(strncmp(c->id, "spiffe://", 9) == 0);
	FL_REQUIRE(c->bundles[0].anchors.count > 0);
	fl_credentials_digest(c, digest);
	rollover = fl_rollover_judge(c, c);
	FL_REQUIRE(!rollover.removed && !rollover.unknown);
	for (size_t i = 0; i < c->crl_count; i++) {
		(void)strlen(fl_credentials_crl_domain(c, &c->crls[i]));
	}
	(void)fl_bundle_late_count(&c->bundles[0], (int64_t)time(NULL));
	judge_own(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len}, text[5];
	uint8_t flags = fuzz_u8(&in);
	bool bundled = (flags & 1) != 0, has_crl = (flags & 2) != 0;

	for (size_t i = 0; i < FL_COUNT_OF(text); i++) {
		text[i] = fuzz_pki_text(&in);
	}
	struct fl_foreign_bundle foreign = {.trust_domain = "other.example",
					    .pem = text[4],
					    .name = "other",
					    .shared_root = (flags & 8) != 0};
	struct fl_credentials_pem pem = {.bundle = text[2],
					 .bundle_name = "bundle",
					 .late.all = (flags & 16) != 0,
					 .foreign = &foreign,
					 .foreign_count = (flags & 4) != 0};
	struct fl_credentials *c = NULL;

	if (bundled) {
		pem.credential_bundle = text[0];
		pem.credential_bundle_name = "credential bundle";
	} else {
		pem.cert = text[0];
		pem.cert_name = "cert";
		pem.key = text[1];
		pem.key_name = "key";
	}
	if (has_crl) {
		pem.crl = text[3];
		pem.crl_name = "crl";
	}
	errors = 0;
	if (fl_credentials_parse_all(&pem, (int64_t)time(NULL), finding, NULL, &c) == FL_OK) {
		FL_REQUIRE(errors == 0);
		use(c);
		fl_credentials_free(c);
	} else {
		FL_REQUIRE(errors > 0);
	}
	for (size_t i = 0; i < FL_COUNT_OF(text); i++) {
		free((void *)text[i].data);
	}
	return 0;
}
