/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SPIFFE IDs: whatever the text is, it is read within its bounds and to its end, and what is accepted consists of a trust domain and
 * a path that fill it. The text stands at the end of its memory, so that each byte beyond it is out of bounds. */
#include "proof.h"

#include "pki/spiffe.c"

static void check(const char *text, size_t len)
{
	struct fl_spiffe_id id;
	struct fl_err err;

	if (fl_spiffe_id_parse(text, len, &id, &err) == FL_OK) {
		PROVE(len > SCHEME_LEN && id.text == text && id.len == len);
		PROVE(id.trust_domain == text + SCHEME_LEN && id.trust_domain_len > 0);
		PROVE(id.path == NULL || id.path == id.trust_domain + id.trust_domain_len);
		PROVE((id.path == NULL) == (id.path_len == 0) && id.path_len != 1);
		PROVE(SCHEME_LEN + id.trust_domain_len + id.path_len == len);
	}
}

#define TEXT_BYTES 10 /* a scheme and a byte */

void prove_any_text(void)
{
	for (size_t len = 0; len <= TEXT_BYTES; len++) {
		char memory[TEXT_BYTES]; /* any */

		check(memory + TEXT_BYTES - len, len);
	}
}

/* Known beginnings, and what may follow: the trust domain; the path, with a segment that may be ".." or empty. */
static void check_after(const char *begin, size_t most)
{
	size_t begin_len = strlen(begin);

	for (size_t len = 0; len <= most; len++) {
		char memory[SCHEME_LEN + 4]; /* any */
		char *text = memory + sizeof(memory) - begin_len - len;

		memcpy(text, begin, begin_len);
		check(text, begin_len + len);
	}
}

void prove_any_trust_domain(void)
{
	check_after(SCHEME, 2);
}

void prove_any_path(void)
{
	check_after(SCHEME "a/", 2);
}

/* Longer than allowed: not one byte is read. */
void prove_long_id(void)
{
	struct fl_spiffe_id id;
	size_t len = nondet_size_t();

	ASSUME(len > FL_SPIFFE_ID_MAX);
	PROVE(fl_spiffe_id_parse("", len, &id, NULL) == FL_ERR_INVALID);
}

/* The limit of a trust domain, which is looked at last. */
void prove_long_trust_domain(void)
{
	char memory[FL_SPIFFE_TRUST_DOMAIN_MAX + 1];

	memset(memory, 'a', sizeof(memory));
	PROVE(fl_spiffe_trust_domain_check(memory, sizeof(memory), NULL) == FL_ERR_INVALID);
	PROVE(fl_spiffe_trust_domain_check(memory, sizeof(memory) - 1, NULL) == FL_OK);
}
