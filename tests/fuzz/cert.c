/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One certificate, as a peer may send it: reading it, and what makes it an SVID, a signer or an anchor. All that was read lies
 * within the input, and a leaf is never a CA. */
#include "../lib/leaf.h"
#include "fuzz.h"
#include "pki/constraints.h"
#include "pki/crl.h"
#include "pki/general_name.h"
#include "pki/name.h"
#include "pki/svid.h"

static void inside(struct fl_span part, struct fl_span whole)
{
	FL_REQUIRE(part.len == 0 ||
		   (part.data >= whole.data && part.data + part.len <= whole.data + whole.len));
	(void)fuzz_touch(part);
}

static void look_at_names(const struct fl_cert *cert)
{
	struct fl_span rest = cert->names, name;
	char text[FL_NAME_TEXT];
	uint8_t form;
	size_t letters = 0, work = 1000;
	struct fl_err err;

	while (fl_general_name_take(&rest, &form, &name)) {
		FL_REQUIRE(form < FL_NAME_FORMS);
		inside(name, cert->der);
	}
	FL_REQUIRE(rest.len == 0); /* else fl_cert_parse() would have refused it */
	FL_REQUIRE(strlen(fl_name_text(cert->subject, text)) < FL_NAME_TEXT);
	FL_REQUIRE(fl_name_equal(cert->issuer, cert->issuer));
	FL_REQUIRE(cert->subject_hash == fl_name_hash(cert->subject));
	FL_REQUIRE(fl_name_is_within(cert->subject, cert->subject));
	FL_REQUIRE(fl_cert_same_entity(cert, cert, &letters));
	FL_REQUIRE(fl_cert_may_have_issued(cert, cert, &letters) == cert->is_self_issued);
	(void)fl_constraints_check(cert, cert, &work, &err);
}

static void look_at(const struct fl_cert *cert)
{
	const struct fl_span parts[] = {cert->tbs,       cert->serial,    cert->algorithm,
					cert->signature, cert->issuer,    cert->subject,
					cert->key.bits,  cert->key.info,  cert->key_id,
					cert->names,     cert->permitted, cert->excluded,
					cert->policies,  cert->unknown,   cert->authority_key_id};
	struct fl_err err;

	for (size_t i = 0; i < FL_COUNT_OF(parts); i++) {
		inside(parts[i], cert->der);
	}
	FL_REQUIRE(cert->version >= 1 && cert->version <= 3);
	(void)!fl_key_check_kind(&cert->key, &err);
	look_at_names(cert);
	(void)fl_svid_check_signer_id(cert, &err);
	if (fl_svid_check_anchor(cert, &err) == FL_RULE_NONE) {
		FL_REQUIRE(fl_cert_is_ca(cert));
	}
}

static void judge_leaf(struct fl_span der, bool is_good)
{
	struct fl_spiffe_id id = {0}, again;
	struct fl_err detail = {0};
	struct fl_cert cert;
	enum fl_rule rule = leaf_check(der, &id, &detail);

	FL_REQUIRE((rule == FL_RULE_MALFORMED) == !is_good || rule != FL_RULE_NONE);
	if (rule != FL_RULE_NONE) {
		return;
	}
	inside((struct fl_span){(const uint8_t *)id.text, id.len}, der);
	FL_REQUIRE(fl_spiffe_id_parse(id.text, id.len, &again, NULL) == FL_OK &&
		   again.path != NULL);
	FL_REQUIRE(fl_cert_parse(der, &cert, NULL) == FL_RULE_NONE && !cert.is_ca);
	FL_REQUIRE(fl_svid_check_anchor(&cert, NULL) != FL_RULE_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	uint8_t *copy = fuzz_copy(in);
	struct fl_span der = {copy, len};
	struct fl_cert cert;
	struct fl_err detail = {0};
	char serial[FL_SERIAL_TEXT];
	uint8_t key_id[20];
	int64_t from = 0, to = 0;
	bool is_good = fl_cert_parse(der, &cert, &detail) == FL_RULE_NONE;

	if (is_good) {
		look_at(&cert);
	} else {
		FL_REQUIRE(detail.text[0] != '\0');
	}
	judge_leaf(der, is_good);
	if (fl_svid_validity(der, &from, &to, &detail) == FL_OK && is_good) {
		FL_REQUIRE(from == cert.not_before && to == cert.not_after);
	}
	(void)!fl_svid_key_id(der, key_id, &detail);
	FL_REQUIRE(strlen(fl_crl_serial_text(der, serial)) < FL_SERIAL_TEXT);
	free(copy);
	return 0;
}
