/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A revocation list: its table is sorted, what it revokes it has, and it speaks for whom it may. Real signatures. */
#include "pki/crl.h"
#include "fuzz.h"
#include "pki.h"

static struct fl_der_list cas, leaves;

static void read_certificates(const char *name, struct fl_der_list *ret)
{
	struct fl_span pem = fuzz_pki_file(name);
	struct fl_der_list list = {0};

	FL_REQUIRE(fl_pem_certificates((const char *)pem.data, pem.len, false, &list, NULL) == 0);
	for (size_t i = 0; i < list.count; i++) {
		fl_der_list_push(ret, list.items[i].data, list.items[i].len);
	}
	fl_der_list_done(&list);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	read_certificates("root.crt", &cas);
	read_certificates("rsa-root.crt", &cas);
	read_certificates("ed25519-root.crt", &cas);
	read_certificates("p256.crt", &leaves);
	read_certificates("p384.crt", &leaves);
	read_certificates("intermediate.crt", &leaves);
	return 0;
}

static struct fl_span span_of(const struct fl_der *der)
{
	return (struct fl_span){der->data, der->len};
}

static void ask(const struct fl_crl *crl)
{
	for (size_t i = 0; i < leaves.count; i++) {
		struct fl_cert cert;

		FL_REQUIRE(fl_cert_parse(span_of(&leaves.items[i]), &cert, NULL) == FL_RULE_NONE);
		(void)fl_crl_lists(crl, &cert);
		(void)fl_crl_fits_key_id(crl, &cert);
	}
}

static void try_list(struct fl_crl *crl)
{
	struct fl_err err;

	/* Of an unusable one nobody looks at the table. */
	for (size_t i = 1; crl->unusable == NULL && i < crl->count; i++) {
		struct fl_span a = crl->serials[i - 1], b = crl->serials[i];

		FL_REQUIRE(a.len < b.len || (a.len == b.len && memcmp(a.data, b.data, a.len) <= 0));
	}
	(void)fl_crl_is_late(crl, FUZZ_NOW);
	for (size_t i = 0; i < cas.count; i++) {
		struct fl_span ca = span_of(&cas.items[i]);

		(void)fl_crl_names(crl, ca);
		bool may_be = fl_crl_may_be_by(crl, ca);
		if (fl_crl_verify(crl, i, ca, &err) == FL_OK) {
			FL_REQUIRE(crl->bundle == i && (may_be || !fl_crl_names(crl, ca)));
		} else {
			FL_REQUIRE(err.text[0] != '\0');
		}
	}
	ask(crl);
}

/* The list is not only what is parsed: whatever a peer sends is asked after, too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	struct fl_der der = {fuzz_copy(in), len};
	struct fl_crl crl = {0};
	struct fl_err err;
	struct fl_cert cert;
	uint8_t *copy = fuzz_copy(in);

	if (fl_crl_parse(&der, &crl, &err) == FL_OK) {
		try_list(&crl);
	} else {
		FL_REQUIRE(err.text[0] != '\0');
	}
	FL_REQUIRE(der.data == NULL);
	if (fl_cert_parse((struct fl_span){copy, len}, &cert, NULL) == FL_RULE_NONE) {
		(void)fl_crl_lists(&crl, &cert);
	}
	fl_crl_done(&crl);
	free(copy);
	return 0;
}
