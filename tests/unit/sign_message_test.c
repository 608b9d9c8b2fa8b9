/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The messages of the agent's protocol about signatures: what is written is read again, and nothing else is taken. */
#include "frames.h"

static struct frame batch_frame(enum fl_ctl_type type, size_t count, size_t bytes)
{
	struct fl_ctl_batch batch = {.cap = 20000};
	uint8_t data[FL_CTL_MAX_SIGNATURE];

	memset(data, 0x5a, sizeof(data));
	batch.frame = fl_new(batch.cap);
	fl_ctl_batch_begin(&batch, type);
	for (size_t i = 0; i < count; i++) {
		struct fl_ctl_sign_request request = {.number = (uint32_t)i + 0x01020300,
						      .role = 1,
						      .scheme = 0x0403,
						      .hash = {data, bytes}};
		struct fl_ctl_sign_answer answer = {
			.number = (uint32_t)i, .result = 3, .signature = {data, bytes}};

		memset(request.key, (int)i, sizeof(request.key));
		cr_assert(type == FL_CTL_SIGN ? fl_ctl_batch_add_request(&batch, &request)
					      : fl_ctl_batch_add_answer(&batch, &answer));
	}
	return (struct frame){batch.frame, batch.len};
}

Test(sign_message, many_requests_in_one_message)
{
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_SIGN);
	struct frame f = batch_frame(FL_CTL_SIGN, 100, 48);
	struct fl_ctl_sign_request request;
	struct fl_ctl_message m;

	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	cr_assert_eq(m.type, FL_CTL_SIGN);
	for (uint32_t i = 0; i < 100; i++) {
		cr_assert(fl_ctl_next_request(&m.u.requests, &request));
		cr_assert_eq(request.number, i + 0x01020300);
		cr_assert_eq(request.key[0], i);
		cr_assert_eq(request.key[31], i);
		cr_assert_eq(request.role, 1);
		cr_assert_eq(request.scheme, 0x0403);
		cr_assert_eq(request.hash.len, 48);
		cr_assert_eq(request.hash.data[47], 0x5a);
	}
	cr_assert_not(fl_ctl_next_request(&m.u.requests, &request));
	free(f.data);
	fl_ctl_decoder_free(decoder);
}

Test(sign_message, answers_of_any_length__and_none)
{
	static const size_t lengths[] = {0, 1, 71, FL_CTL_MAX_SIGNATURE};
	struct fl_ctl_sign_answer answer;
	struct fl_ctl_message m;

	for (size_t k = 0; k < 4; k++) {
		for (size_t count = 0; count < 3; count++) {
			struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_SIGNED);
			struct frame f = batch_frame(FL_CTL_SIGNED, count, lengths[k]);

			cr_assert_eq(decode(decoder, f, &m, NULL), 1);
			cr_assert_eq(m.type, FL_CTL_SIGNED);
			for (size_t i = 0; i < count; i++) {
				cr_assert(fl_ctl_next_answer(&m.u.answers, &answer));
				cr_assert_eq(answer.number, i);
				cr_assert_eq(answer.result, 3);
				cr_assert_eq(answer.signature.len, lengths[k]);
			}
			cr_assert_not(fl_ctl_next_answer(&m.u.answers, &answer));
			free(f.data);
			fl_ctl_decoder_free(decoder);
		}
	}
}

Test(sign_message, a_full_batch_stays_as_it_is)
{
	uint8_t memory[FL_CTL_BATCH_MIN];
	struct fl_ctl_batch batch = {.frame = memory, .cap = sizeof(memory)};
	struct fl_ctl_sign_request request = {.hash = {memory, 48}};
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_SIGN);
	struct fl_ctl_message m;
	size_t count = 0, found = 0, len;

	fl_ctl_batch_begin(&batch, FL_CTL_SIGN);
	while (fl_ctl_batch_add_request(&batch, &request)) {
		count++;
	}
	len = batch.len;
	cr_assert_not(fl_ctl_batch_add_request(&batch, &request));
	cr_assert_eq(batch.len, len);
	cr_assert_eq(decode(decoder, (struct frame){memory, len}, &m, NULL), 1);
	while (fl_ctl_next_request(&m.u.requests, &request)) {
		found++;
	}
	cr_assert_eq(found, count);
	cr_assert_gt(count, 8);
	fl_ctl_decoder_free(decoder);
}

/* What is full has no more than a decoder takes, whatever memory there is. */
Test(sign_message, a_full_batch_is_taken)
{
	static const enum fl_ctl_type types[] = {FL_CTL_SIGN, FL_CTL_SIGNED};
	static uint8_t memory[2 * FL_CTL_MAX_SMALL], signature[FL_CTL_MAX_SIGNATURE];
	const struct fl_ctl_sign_request request = {.hash = {signature, 32}};
	const struct fl_ctl_sign_answer answer = {.signature = {signature, sizeof(signature)}};

	for (size_t i = 0; i < FL_COUNT_OF(types); i++) {
		struct fl_ctl_batch batch = {.frame = memory, .cap = sizeof(memory)};
		struct fl_ctl_decoder *decoder = decoder_of(types[i]);
		struct fl_ctl_message m;

		fl_ctl_batch_begin(&batch, types[i]);
		while (types[i] == FL_CTL_SIGN ? fl_ctl_batch_add_request(&batch, &request)
					       : fl_ctl_batch_add_answer(&batch, &answer)) {
		}
		cr_assert_eq(decode(decoder, (struct frame){memory, batch.len}, &m, NULL), 1);
		cr_assert_eq(m.type, types[i]);
		fl_ctl_decoder_free(decoder);
	}
}

Test(sign_message, items_of_a_wrong_size__refused)
{
	static const struct {
		uint16_t type;
		uint8_t len;
		bool good;
	} rows[] = {{FL_CTL_SIGN, 38, false},  {FL_CTL_SIGN, 39, true}, {FL_CTL_SIGN, 103, true},
		    {FL_CTL_SIGN, 104, false}, {FL_CTL_SIGN, 0, false}, {FL_CTL_SIGNED, 4, false},
		    {FL_CTL_SIGNED, 5, true}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t payload[6 + 104] = {0, 1, 0, 0, 0, rows[i].len};
		struct frame f = raw_frame(rows[i].type, 0, payload, 6u + rows[i].len);
		struct fl_ctl_decoder *decoder = decoder_of(rows[i].type);
		struct fl_ctl_message m;

		if (rows[i].good) {
			cr_assert_eq(decode(decoder, f, &m, NULL), 1);
			free(f.data);
		} else {
			check_refused(f, "an item has");
		}
		fl_ctl_decoder_free(decoder);
	}
}

Test(sign_message, hello_says_whether_it_asks_for_signatures)
{
	for (int asks = 0; asks < 2; asks++) {
		struct fl_ctl_hello hello = {.version = 1, .asks_signatures = asks};
		struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_HELLO);
		struct fl_ctl_message m;
		struct frame f;

		memset(hello.key, 0x77, sizeof(hello.key));
		f.data = fl_ctl_encode_hello(&hello, &f.len);
		cr_assert_eq(decode(decoder, f, &m, NULL), 1);
		cr_assert_eq(m.u.hello.asks_signatures, asks);
		cr_assert_eq(m.u.hello.key[31], asks ? 0x77 : 0);
		free(f.data);
		fl_ctl_decoder_free(decoder);
	}
}
