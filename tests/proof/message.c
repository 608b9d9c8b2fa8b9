/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The decoder of what agent and sidecar say to each other. Each reader of a message: whatever its payload is, it is read within its
 * bounds and to its end, and what the message points to lies within it. The collector of frames: from any state, whatever the
 * next bytes are, it takes no more than there are, and writes no more than it has room for; and of a frame that the other side does
 * not send, or longer than it sends, it keeps nothing. */
#include "proof.h"

#include "ctl/decode.c"
#include "ctl/fields.c"
#include "ctl/sign.c"

void fl_wipe_free(void *data, size_t len)
{
	(void)len;
	free(data);
}

void *fl_try_grow(void *array, size_t count, size_t size)
{
	return nondet_bool() ? realloc(array, count * size) : NULL;
}

static bool is_inside(struct fl_span part, struct fl_span whole)
{
	return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
				 (size_t)(part.data - whole.data) <= whole.len - part.len);
}

/* The payload stands at the end of its memory, so that each byte beyond it is out of bounds. */
#define PAYLOAD(name, most)                                                                        \
	uint8_t memory[most]; /* any */                                                            \
	size_t length = nondet_size_t();                                                           \
	ASSUME(length <= (most));                                                                  \
	struct fl_span name = {memory + (most)-length, length}

/* Two fields with their headers and some bytes, or many that are empty: every branch of reading fields. */
#define FIELDS 40

void prove_field(void)
{
	PAYLOAD(payload, FIELDS);
	struct fl_span rest = payload;
	struct fl_ctl_field field;
	int rc = fl_ctl_next_field(&rest, &field, NULL);

	PROVE(rc == 1 || rc == 0 || rc == FL_ERR_PEER);
	PROVE(rc != 0 || payload.len == 0);
	if (rc == 1) {
		PROVE(is_inside(field.value, payload));
		PROVE(rest.len <= payload.len - FIELD_HEADER && is_inside(rest, payload));
	}
}

void prove_result(void)
{
	PAYLOAD(payload, FIELDS);
	struct fl_ctl_result result = {0};

	if (read_result(payload, &result, NULL) == FL_OK) {
		PROVE(is_inside(result.reason, payload));
		PROVE(result.ok == 0 || result.ok == 1);
	}
}

void prove_note(void)
{
	PAYLOAD(payload, FIELDS);
	struct fl_ctl_note note = {0};

	if (read_note(payload, &note, NULL) == FL_OK) {
		PROVE(is_inside(note.text, payload));
	}
}

void prove_beat(void)
{
	PAYLOAD(payload, FIELDS);
	struct fl_ctl_beat beat = {0};

	(void)read_beat(payload, &beat, NULL);
}

void prove_foreign(void)
{
	PAYLOAD(payload, FIELDS);
	struct fl_ctl_foreign foreign = {0};

	if (read_foreign(payload, &foreign, NULL) == FL_OK) {
		PROVE(is_inside(foreign.trust_domain, payload) &&
		      is_inside(foreign.bundle, payload) && is_inside(foreign.refused, payload));
		PROVE(foreign.trust_domain.len > 0 && foreign.trust_domain.len <= TRUST_DOMAIN_MAX);
	}
}

void prove_hello(void)
{
	PAYLOAD(payload, 2 * FIELD_HEADER + DIGEST_LEN); /* any field, before or behind another */
	struct fl_ctl_hello hello = {0};

	(void)read_hello(payload, &hello, NULL);
}

static bool is_request_inside(struct fl_ctl_items *items, struct fl_span payload)
{
	struct fl_ctl_sign_request request;

	return !fl_ctl_next_request(items, &request) ||
	       (is_inside(request.hash, payload) && request.hash.len <= FL_CTL_MAX_HASH);
}

void prove_sign(void)
{
	PAYLOAD(payload, 2 * FIELD_HEADER + REQUEST_HASH + 4);
	struct fl_ctl_items items = {payload};

	if (fl_ctl_check_sign(payload, NULL) == FL_OK) {
		PROVE(is_request_inside(&items, payload) && is_request_inside(&items, payload));
	}
}

void prove_signed(void)
{
	PAYLOAD(payload, 2 * FIELD_HEADER + ANSWER_SIGNATURE + 2);
	struct fl_ctl_items items = {payload};
	struct fl_ctl_sign_answer answer;

	if (fl_ctl_check_signed(payload, NULL) == FL_OK) {
		while (fl_ctl_next_answer(&items, &answer)) {
			PROVE(is_inside(answer.signature, payload));
		}
	}
}

/* Of a generation, whose loop does nothing else: any field, after any others. */
void prove_generation_field(void)
{
	PAYLOAD(value, 20);
	struct fl_ctl_field field = {.tag = nondet_uint16_t(), .value = value};
	struct fl_ctl_foreign *foreign = malloc(2 * sizeof(*foreign));
	struct fl_ctl_generation generation = {.foreign = foreign, .foreign_count = 2};
	unsigned seen; /* any */

	ASSUME(foreign != NULL);
	if (read_generation_field(&field, &generation, &seen, NULL) == FL_OK) {
		PROVE(is_inside(generation.credential, value) &&
		      is_inside(generation.bundle, value));
		PROVE(is_inside(generation.crl, value) && is_inside(generation.ini, value));
		PROVE(generation.foreign_count == 2 || field.tag == GENERATION_FOREIGN);
	}
}

/* The header is there, or a part of it, and some of the payload; so much comes next. */
void prove_collector(void)
{
	struct fl_ctl_decoder decoder = {.sender = nondet_bool() ? FL_CTL_FROM_AGENT
								 : FL_CTL_FROM_SIDECAR,
					 .header_len = nondet_size_t(),
					 .type = FL_CTL_RESULT,
					 .skips = nondet_bool()};
	uint8_t memory[4]; /* any */
	size_t len = nondet_size_t();
	struct fl_err err;

	ASSUME(decoder.header_len <= FL_CTL_HEADER && len <= sizeof(memory));
	for (size_t i = 0; i < FL_CTL_HEADER; i++) {
		decoder.header[i] = nondet_uint8_t();
	}
	decoder.cap = nondet_size_t();
	decoder.have = nondet_size_t();
	decoder.payload_len = nondet_size_t();
	ASSUME((decoder.have <= decoder.cap || decoder.skips) && decoder.cap <= 8);
	ASSUME(decoder.payload_len <= FL_CTL_MAX_SMALL && decoder.have <= decoder.payload_len);
	ASSUME(decoder.header_len == FL_CTL_HEADER || (decoder.have == 0 && !decoder.skips));
	decoder.payload = decoder.cap > 0 ? malloc(decoder.cap) : NULL;
	ASSUME(decoder.cap == 0 || decoder.payload != NULL);

	const uint8_t *at = memory + sizeof(memory) - len, *from = at;
	size_t left = len, cap = decoder.cap;
	int rc = collect_frame(&decoder, &at, &left, &err);

	PROVE(left <= len && at == from + (len - left));
	PROVE(rc < 0 || decoder.have <= decoder.payload_len);
	PROVE(rc != 0 || left == 0);
	PROVE(rc < 0 || decoder.have <= decoder.cap || decoder.have == 0 || decoder.skips);
	PROVE(rc < 0 || !decoder.skips || decoder.cap == cap);
}

/* Any whole header: what it lets through is sent by the other side, and no longer than what that sends. */
void prove_header(void)
{
	struct fl_ctl_decoder decoder = {.sender = nondet_bool() ? FL_CTL_FROM_AGENT
								 : FL_CTL_FROM_SIDECAR,
					 .header_len = FL_CTL_HEADER,
					 .skips_unknown = nondet_bool()};
	int rc;

	for (size_t i = 0; i < FL_CTL_HEADER; i++) {
		decoder.header[i] = nondet_uint8_t();
	}
	rc = judge_header(&decoder, NULL);
	PROVE(!decoder.skips || decoder.skips_unknown);
	if (rc != FL_OK || decoder.skips) {
		return;
	}
	if (decoder.sender == FL_CTL_FROM_AGENT) {
		PROVE(decoder.payload_len <= FL_CTL_MAX_FRAME);
		PROVE(decoder.type != FL_CTL_HELLO && decoder.type != FL_CTL_RESULT &&
		      decoder.type != FL_CTL_SIGN);
	} else {
		PROVE(decoder.payload_len <= FL_CTL_MAX_SIGN);
		PROVE(decoder.type == FL_CTL_HELLO || decoder.type == FL_CTL_RESULT ||
		      decoder.type == FL_CTL_SIGN);
	}
}
