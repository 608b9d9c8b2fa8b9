/* SPDX-License-Identifier: GPL-3.0-or-later */
/* encode - turns messages into frames. Each is measured first, then memory is allocated once and filled, so that no
 * reallocation leaves a copy of the private key in freed memory. */
#include <stdlib.h>
#include <string.h>

#include "ctl/message.h"
#include "ctl/wire_internal.h"

struct writer {
	uint8_t *at;
	uint8_t *end;
};

static void put(struct writer *w, const void *data, size_t len)
{
	FL_REQUIRE(len <= (size_t)(w->end - w->at));
	if (len > 0) {
		memcpy(w->at, data, len);
		w->at += len;
	}
}

static void put_uint(struct writer *w, uint64_t value, unsigned bytes)
{
	uint8_t big[8];

	for (unsigned i = 0; i < bytes; i++) {
		big[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	}
	put(w, big, bytes);
}

static void put_field(struct writer *w, unsigned tag, const void *data, size_t len)
{
	put_uint(w, tag, 2);
	put_uint(w, len, 4);
	put(w, data, len);
}

static void put_field_uint(struct writer *w, unsigned tag, uint64_t value, unsigned bytes)
{
	put_uint(w, tag, 2);
	put_uint(w, bytes, 4);
	put_uint(w, value, bytes);
}

static uint8_t *frame_begin(struct writer *w, enum fl_ctl_type type, size_t payload,
			    size_t *ret_len)
{
	size_t len = FL_CTL_HEADER + payload;
	uint8_t *frame = malloc(len);

	if (frame == NULL) {
		return NULL;
	}
	w->at = frame;
	w->end = frame + len;
	put(w, magic, sizeof(magic));
	put_uint(w, (uint64_t)type, 2);
	put_uint(w, 0, 2);
	put_uint(w, payload, 4);
	*ret_len = len;
	return frame;
}

uint8_t *fl_ctl_encode_hello(const struct fl_ctl_hello *hello, size_t *ret_len)
{
	struct writer w;
	size_t payload = 4 * FIELD_HEADER + 4 + 8 + DIGEST_LEN + 1 +
			 (hello->asks_signatures ? FIELD_HEADER + DIGEST_LEN : 0);
	uint8_t *frame = frame_begin(&w, FL_CTL_HELLO, payload, ret_len);

	if (frame == NULL) {
		return NULL;
	}
	put_field_uint(&w, HELLO_VERSION, hello->version, 4);
	put_field_uint(&w, HELLO_GENERATION, hello->generation, 8);
	put_field_uint(&w, HELLO_WANTS_BEATS, hello->wants_beats, 1);
	put_field(&w, HELLO_DIGEST, hello->digest, DIGEST_LEN);
	if (hello->asks_signatures) {
		put_field(&w, HELLO_KEY, hello->key, DIGEST_LEN);
	}
	FL_REQUIRE(w.at == w.end);
	return frame;
}

uint8_t *fl_ctl_encode_result(const struct fl_ctl_result *result, size_t *ret_len)
{
	struct writer w;
	uint8_t *frame;

	FL_REQUIRE(result->reason.len <= FL_CTL_MAX_REASON);
	frame = frame_begin(&w, FL_CTL_RESULT, 3 * FIELD_HEADER + 8 + 1 + result->reason.len,
			    ret_len);
	if (frame == NULL) {
		return NULL;
	}
	put_field_uint(&w, RESULT_NUMBER, result->number, 8);
	put_field_uint(&w, RESULT_OK, result->ok != 0, 1);
	put_field(&w, RESULT_REASON, result->reason.data, result->reason.len);
	FL_REQUIRE(w.at == w.end);
	return frame;
}

uint8_t *fl_ctl_encode_note(const struct fl_ctl_note *note, size_t *ret_len)
{
	size_t len = note->text.len < FL_CTL_MAX_NOTE ? note->text.len : FL_CTL_MAX_NOTE;
	struct writer w;
	uint8_t *frame = frame_begin(&w, FL_CTL_NOTE, 3 * FIELD_HEADER + 1 + 8 + len, ret_len);

	if (frame == NULL) {
		return NULL;
	}
	put_field_uint(&w, NOTE_REFUSED, note->refused, 1);
	put_field_uint(&w, NOTE_TIME, (uint64_t)note->time, 8);
	put_field(&w, NOTE_TEXT, note->text.data, len);
	FL_REQUIRE(w.at == w.end);
	return frame;
}

uint8_t *fl_ctl_encode_beat(const struct fl_ctl_beat *beat, size_t *ret_len)
{
	struct writer w;
	uint8_t *frame = frame_begin(&w, FL_CTL_BEAT, FIELD_HEADER + 4, ret_len);

	if (frame == NULL) {
		return NULL;
	}
	put_field_uint(&w, BEAT_EVERY, beat->every_ms, 4);
	FL_REQUIRE(w.at == w.end);
	return frame;
}

static size_t foreign_size(const struct fl_ctl_foreign *foreign)
{
	return 2 * FIELD_HEADER + foreign->trust_domain.len + foreign->bundle.len +
	       (foreign->refused.len > 0 ? FIELD_HEADER + foreign->refused.len : 0);
}

static size_t generation_size(const struct fl_ctl_generation *g)
{
	size_t size = 6 * FIELD_HEADER + 8 + DIGEST_LEN;

	size += g->credential.len + g->bundle.len + g->ini_path.len + g->ini.len;
	size += g->crl.len > 0 ? FIELD_HEADER + g->crl.len : 0;
	for (size_t i = 0; i < g->foreign_count; i++) {
		size += FIELD_HEADER + foreign_size(&g->foreign[i]);
	}
	return size;
}

int fl_ctl_generation_check(const struct fl_ctl_generation *generation, struct fl_err *err)
{
	size_t size;

	if (generation->foreign_count > FL_CTL_MAX_FOREIGN) {
		return fl_err_set(
			err, FL_ERR_LIMIT,
			"there are %zu federated trust domains, and one sidecar accepts at most %u: remove some [federate] sections",
			generation->foreign_count, FL_CTL_MAX_FOREIGN);
	}
	size = generation_size(generation);
	if (size > FL_CTL_MAX_FRAME) {
		return fl_err_set(
			err, FL_ERR_LIMIT,
			"certificates, bundles, CRLs and INI together are %zu bytes, more than "
			"the %u MiB that one generation "
			"may have: look for a bundle with unneeded roots",
			size, FL_CTL_MAX_FRAME / (1024 * 1024));
	}
	return FL_OK;
}

uint8_t *fl_ctl_encode_generation(const struct fl_ctl_generation *g, size_t *ret_len)
{
	struct writer w;
	uint8_t *frame;

	FL_REQUIRE(fl_ctl_generation_check(g, NULL) == FL_OK);
	frame = frame_begin(&w, FL_CTL_GENERATION, generation_size(g), ret_len);
	if (frame == NULL) {
		return NULL;
	}
	put_field_uint(&w, GENERATION_NUMBER, g->number, 8);
	put_field(&w, GENERATION_DIGEST, g->digest, DIGEST_LEN);
	put_field(&w, GENERATION_CREDENTIAL, g->credential.data, g->credential.len);
	put_field(&w, GENERATION_BUNDLE, g->bundle.data, g->bundle.len);
	if (g->crl.len > 0) {
		put_field(&w, GENERATION_CRL, g->crl.data, g->crl.len);
	}
	for (size_t i = 0; i < g->foreign_count; i++) {
		const struct fl_ctl_foreign *f = &g->foreign[i];

		put_uint(&w, GENERATION_FOREIGN, 2);
		put_uint(&w, foreign_size(f), 4);
		put_field(&w, FOREIGN_TRUST_DOMAIN, f->trust_domain.data, f->trust_domain.len);
		put_field(&w, FOREIGN_BUNDLE, f->bundle.data, f->bundle.len);
		if (f->refused.len > 0) {
			put_field(&w, FOREIGN_REFUSED, f->refused.data, f->refused.len);
		}
	}
	put_field(&w, GENERATION_INI_PATH, g->ini_path.data, g->ini_path.len);
	put_field(&w, GENERATION_INI, g->ini.data, g->ini.len);
	FL_REQUIRE(w.at == w.end);
	return frame;
}

void fl_ctl_generation_renumber(uint8_t *frame, size_t len, uint64_t number)
{
	struct writer w;

	FL_REQUIRE(len >= FL_CTL_HEADER + FIELD_HEADER + 8);
	FL_REQUIRE(frame[5] == FL_CTL_GENERATION && frame[FL_CTL_HEADER + 1] == GENERATION_NUMBER);
	w.at = frame + FL_CTL_HEADER + FIELD_HEADER;
	w.end = w.at + 8;
	put_uint(&w, number, 8);
}
