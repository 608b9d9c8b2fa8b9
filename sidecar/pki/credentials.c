/* SPDX-License-Identifier: GPL-3.0-or-later */
/* credentials - queries on a set that parse.c has read, and freeing it. */
#include "pki/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pki/digest.h"

const char *fl_credentials_crl_domain(const struct fl_credentials *c, const struct fl_crl *crl)
{
	return crl->bundle < c->bundle_count ? c->bundles[crl->bundle].trust_domain : "";
}

size_t fl_credentials_bundle_of(const struct fl_credentials *c, const struct fl_spiffe_id *id)
{
	size_t i = 0;

	for (; i < c->bundle_count; i++) {
		const char *name = c->bundles[i].trust_domain;

		if (strlen(name) == id->trust_domain_len &&
		    memcmp(name, id->trust_domain, id->trust_domain_len) == 0) {
			break;
		}
	}
	return i;
}

void fl_credentials_digest(const struct fl_credentials *c, uint8_t ret[FL_DIGEST_LEN])
{
	size_t count = 2 + c->chain.count + c->crl_count, n = 0;
	struct fl_span *parts;

	for (size_t i = 0; i < c->bundle_count; i++) {
		count += 3 + c->bundles[i].roots.count;
	}
	parts = fl_new(count * sizeof(*parts));
	for (size_t i = 0; i < c->chain.count; i++) {
		parts[n++] = fl_span_of(&c->chain.items[i]);
	}
	parts[n++] = fl_span_of(&c->key);
	parts[n++] = (struct fl_span){0};
	for (size_t i = 0; i < c->bundle_count; i++) {
		const struct fl_bundle *b = &c->bundles[i];

		parts[n++] = (struct fl_span){(uint8_t *)b->trust_domain, strlen(b->trust_domain)};
		for (size_t r = 0; r < b->roots.count; r++) {
			parts[n++] = fl_span_of(&b->roots.items[r]);
		}
		/* No certificate and no name is empty, so an empty part ends a list. */
		parts[n++] = (struct fl_span){0};
		parts[n++] = b->refused
				     ? (struct fl_span){(uint8_t *)b->refused, strlen(b->refused)}
				     : (struct fl_span){0};
	}
	for (size_t i = 0; i < c->crl_count; i++) {
		parts[n++] = fl_span_of(&c->crls[i].der);
	}
	FL_REQUIRE(n == count);
	fl_digest(parts, count, ret);
	free(parts);
}

void fl_credentials_free(struct fl_credentials *c)
{
	if (!c) {
		return;
	}
	fl_der_list_done(&c->chain);
	fl_der_wipe(&c->key);
	for (size_t i = 0; i < c->bundle_count; i++) {
		free(c->bundles[i].trust_domain);
		free(c->bundles[i].refused);
		fl_anchors_done(&c->bundles[i].anchors);
		fl_der_list_done(&c->bundles[i].roots);
	}
	for (size_t i = 0; i < c->crl_count; i++) {
		fl_crl_done(&c->crls[i]);
	}
	free(c->bundles);
	free(c->crls);
	free(c->id);
	free(c->trust_domain);
	free(c);
}
