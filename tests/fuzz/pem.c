/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PEM in all of its four readers. Files of the tests' PKI are inserted by number (pki.h). */
#include "pki/pem.h"
#include "pki.h"

static void check_list(struct fl_der_list *list, bool may_be_empty)
{
	FL_REQUIRE(may_be_empty || list->count > 0);
	for (size_t i = 0; i < list->count; i++) {
		FL_REQUIRE(list->items[i].len > 0);
		(void)fuzz_touch((struct fl_span){list->items[i].data, list->items[i].len});
	}
	fl_der_list_done(list);
}

static void check_key(struct fl_der *key)
{
	FL_REQUIRE(key->len > 0);
	(void)fuzz_touch((struct fl_span){key->data, key->len});
	fl_der_wipe(key);
	FL_REQUIRE(key->data == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	struct fl_span grown = fuzz_pki_text(&in);
	char *text = (char *)fuzz_copy(grown);
	struct fl_der_list list = {0};
	struct fl_der key = {0};
	struct fl_err err = {0};

	for (int may_be_empty = 0; may_be_empty < 2; may_be_empty++) {
		if (fl_pem_certificates(text, grown.len, may_be_empty, &list, &err) == FL_OK) {
			check_list(&list, may_be_empty);
		} else {
			FL_REQUIRE(list.items == NULL && err.text[0] != '\0');
		}
	}
	if (fl_pem_crls(text, grown.len, &list, &err) == FL_OK) {
		check_list(&list, false);
	}
	if (fl_pem_private_key(text, grown.len, &key, &err) == FL_OK) {
		check_key(&key);
	}
	FL_REQUIRE(list.items == NULL && key.data == NULL);
	if (fl_pem_credential_bundle(text, grown.len, &key, &list, &err) == FL_OK) {
		check_list(&list, false);
		check_key(&key);
	}
	FL_REQUIRE(list.items == NULL && key.data == NULL);
	free(text);
	free((void *)grown.data);
	return 0;
}
