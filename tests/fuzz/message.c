/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What comes over the agent's socket, to either end: the same messages however the bytes are cut, spans that point into the
 * message, bounds that hold, and each message encoded again says the same. */
#include "ctl/message.h"
#include "fuzz.h"

#define MESSAGES_MAX 64u

/* A number that two equal messages share. */
static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

static uint64_t mix_span(uint64_t sum, struct fl_span span)
{
	return mix(mix(sum, span.len), fuzz_touch(span));
}

static uint64_t sum_of_generation(uint64_t sum, const struct fl_ctl_generation *g)
{
	FL_REQUIRE(g->foreign_count <= FL_CTL_MAX_FOREIGN);
	sum = mix(sum, g->number);
	sum = mix_span(sum, (struct fl_span){g->digest, sizeof(g->digest)});
	sum = mix_span(sum, g->credential);
	sum = mix_span(sum, g->bundle);
	sum = mix_span(sum, g->crl);
	sum = mix_span(mix_span(sum, g->ini_path), g->ini);
	for (size_t i = 0; i < g->foreign_count; i++) {
		FL_REQUIRE(g->foreign[i].trust_domain.len - 1 < 255);
		FL_REQUIRE(g->foreign[i].refused.len <= FL_CTL_MAX_NOTE);
		sum = mix_span(mix_span(sum, g->foreign[i].trust_domain), g->foreign[i].bundle);
		sum = mix_span(sum, g->foreign[i].refused);
	}
	return sum;
}

static uint64_t sum_of_requests(uint64_t sum, struct fl_ctl_items items)
{
	struct fl_ctl_sign_request r;

	while (fl_ctl_next_request(&items, &r)) {
		FL_REQUIRE(r.hash.len <= FL_CTL_MAX_HASH);
		sum = mix(mix(mix(sum, r.number), r.role), r.scheme);
		sum = mix_span(mix_span(sum, (struct fl_span){r.key, sizeof(r.key)}), r.hash);
	}
	return sum;
}

static uint64_t sum_of_answers(uint64_t sum, struct fl_ctl_items items)
{
	struct fl_ctl_sign_answer a;

	while (fl_ctl_next_answer(&items, &a)) {
		FL_REQUIRE(a.signature.len <= FL_CTL_MAX_SIGNATURE);
		sum = mix_span(mix(mix(sum, a.number), a.result), a.signature);
	}
	return sum;
}

static uint64_t sum_of(const struct fl_ctl_message *m)
{
	uint64_t sum = mix(1, m->type);

	switch (m->type) {
	case FL_CTL_HELLO:
		sum = mix(mix(sum, m->u.hello.version), m->u.hello.generation);
		sum = mix(mix(sum, m->u.hello.wants_beats), m->u.hello.asks_signatures);
		sum = mix_span(sum, (struct fl_span){m->u.hello.key, sizeof(m->u.hello.key)});
		return mix_span(sum,
				(struct fl_span){m->u.hello.digest, sizeof(m->u.hello.digest)});
	case FL_CTL_GENERATION:
		return sum_of_generation(sum, &m->u.generation);
	case FL_CTL_RESULT:
		FL_REQUIRE(m->u.result.ok == 0 || m->u.result.ok == 1);
		sum = mix(mix(sum, m->u.result.number), (uint64_t)m->u.result.ok);
		return mix_span(sum, m->u.result.reason);
	case FL_CTL_NOTE:
		FL_REQUIRE(m->u.note.text.len <= FL_CTL_MAX_NOTE);
		sum = mix(mix(sum, m->u.note.refused), (uint64_t)m->u.note.time);
		return mix_span(sum, m->u.note.text);
	case FL_CTL_BEAT:
		return mix(sum, m->u.beat.every_ms);
	case FL_CTL_SIGN:
		return sum_of_requests(sum, m->u.requests);
	case FL_CTL_SIGNED:
		return sum_of_answers(sum, m->u.answers);
	}
	return 0;
}

static uint8_t *encode_items(const struct fl_ctl_message *m, size_t *ret_len)
{
	struct fl_ctl_batch batch = {.cap = FL_CTL_HEADER + FL_CTL_MAX_SMALL};
	struct fl_ctl_items items = m->type == FL_CTL_SIGN ? m->u.requests : m->u.answers;
	struct fl_ctl_sign_request request;
	struct fl_ctl_sign_answer answer;

	batch.frame = fl_new(batch.cap);
	fl_ctl_batch_begin(&batch, m->type);
	while (m->type == FL_CTL_SIGN && fl_ctl_next_request(&items, &request)) {
		FL_REQUIRE(fl_ctl_batch_add_request(&batch, &request));
	}
	while (m->type == FL_CTL_SIGNED && fl_ctl_next_answer(&items, &answer)) {
		FL_REQUIRE(fl_ctl_batch_add_answer(&batch, &answer));
	}
	*ret_len = batch.len;
	return batch.frame;
}

static uint8_t *encode(const struct fl_ctl_message *m, size_t *ret_len)
{
	struct fl_ctl_result result = m->u.result;

	switch (m->type) {
	case FL_CTL_HELLO:
		return fl_ctl_encode_hello(&m->u.hello, ret_len);
	case FL_CTL_GENERATION:
		/* A decoder ignores fields that it does not know, so a frame of it may have been longer. */
		FL_REQUIRE(fl_ctl_generation_check(&m->u.generation, NULL) == FL_OK);
		return fl_ctl_encode_generation(&m->u.generation, ret_len);
	case FL_CTL_RESULT:
		return result.reason.len <= FL_CTL_MAX_REASON
			       ? fl_ctl_encode_result(&result, ret_len)
			       : NULL;
	case FL_CTL_NOTE:
		return fl_ctl_encode_note(&m->u.note, ret_len);
	case FL_CTL_BEAT:
		return fl_ctl_encode_beat(&m->u.beat, ret_len);
	case FL_CTL_SIGN:
	case FL_CTL_SIGNED:
		return encode_items(m, ret_len);
	}
	return NULL;
}

static void encode_and_decode(const struct fl_ctl_message *m, enum fl_ctl_sender sender)
{
	struct fl_ctl_decoder *decoder = fl_ctl_decoder_new(sender);
	struct fl_ctl_message again;
	size_t len = 0, left;
	uint8_t *frame = encode(m, &len);
	const uint8_t *at = frame;

	left = len;
	if (frame != NULL) {
		FL_REQUIRE(fl_ctl_decoder_feed(decoder, &at, &left, &again, NULL) == 1);
		FL_REQUIRE(left == 0 && sum_of(&again) == sum_of(m));
		fl_wipe_free(frame, len);
	}
	fl_ctl_decoder_free(decoder);
}

static bool is_from(enum fl_ctl_sender sender, enum fl_ctl_type type)
{
	return (sender == FL_CTL_FROM_SIDECAR) ==
	       (type == FL_CTL_HELLO || type == FL_CTL_RESULT || type == FL_CTL_SIGN);
}

/* What the decoder has to say of it all: the messages, and whether it failed. */
static uint64_t decode(enum fl_ctl_sender sender, struct fl_span in, uint32_t state, size_t most)
{
	struct fl_ctl_decoder *decoder = fl_ctl_decoder_new(sender);
	struct fl_ctl_message message;
	struct fl_err err;
	uint64_t sum = 1;
	unsigned count = 0;
	int rc = 0;

	while (in.len > 0 && rc >= 0 && count < MESSAGES_MAX) {
		struct fl_span piece = fuzz_piece(&in, &state, most);
		uint8_t *copy = fuzz_copy(piece);
		const uint8_t *at = copy;
		size_t left = piece.len;

		while ((rc = fl_ctl_decoder_feed(decoder, &at, &left, &message, &err)) == 1 &&
		       ++count < MESSAGES_MAX) {
			sum = mix(sum, sum_of(&message));
			FL_REQUIRE(is_from(sender, message.type));
			if (message.type == FL_CTL_HELLO) {
				fl_ctl_decoder_skip_unknown(decoder); /* as the agent does */
			}
			encode_and_decode(&message, sender);
		}
		FL_REQUIRE(rc != 0 || left == 0);
		free(copy);
	}
	if (rc < 0) {
		FL_REQUIRE(rc == FL_ERR_PEER && err.text[0] != '\0');
		sum = mix(sum, 7);
	}
	fl_ctl_decoder_free(decoder);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	uint8_t seed = fuzz_u8(&in);

	for (int i = 0; i < 2; i++) {
		enum fl_ctl_sender sender = i == 0 ? FL_CTL_FROM_AGENT : FL_CTL_FROM_SIDECAR;

		FL_REQUIRE(decode(sender, in, 1, SIZE_MAX / 2) ==
			   decode(sender, in, seed, 1 + seed % 64u));
	}
	return 0;
}
