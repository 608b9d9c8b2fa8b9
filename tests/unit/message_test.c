/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent's protocol as bytes: an encoded message decodes to the same, however it is cut; anything else is refused and
 * uses no more memory than the bytes that arrived. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

#define SEED 20261121u

static struct fl_span span(const char *text)
{
	return (struct fl_span){(const uint8_t *)text, strlen(text)};
}

static bool same(struct fl_span got, const char *want)
{
	return got.len == strlen(want) && (got.len == 0 || memcmp(got.data, want, got.len) == 0);
}

static struct frame generation_frame(void)
{
	struct fl_ctl_foreign foreign[] = {
		{.trust_domain = span("partner.example"), .bundle = span("PARTNER")},
		{.trust_domain = span("empty.example"), .refused = span("why")},
	};
	struct fl_ctl_generation generation = {
		.number = 42,
		.credential = span("KEY and CHAIN"),
		.bundle = span("ROOTS"),
		.crl = span("CRLS"),
		.foreign = foreign,
		.foreign_count = 2,
		.ini_path = span("/etc/fairlead/fairlead.ini"),
		.ini = span("[identity]\n"),
	};
	struct frame f;

	memset(generation.digest, 0xcd, sizeof(generation.digest));
	f.data = fl_ctl_encode_generation(&generation, &f.len);
	return f;
}

static struct frame result_frame(int ok, const char *reason)
{
	struct fl_ctl_result result = {.number = 7, .ok = ok, .reason = span(reason)};
	struct frame f;

	f.data = fl_ctl_encode_result(&result, &f.len);
	return f;
}

static struct frame note_frame(bool refused, const char *text)
{
	struct fl_ctl_note note = {.refused = refused, .time = 1795250000, .text = span(text)};
	struct frame f;

	f.data = fl_ctl_encode_note(&note, &f.len);
	return f;
}

static void check_generation(const struct fl_ctl_message *m)
{
	const struct fl_ctl_generation *g = &m->u.generation;

	cr_assert_eq(m->type, FL_CTL_GENERATION);
	cr_assert_eq(g->number, 42);
	for (size_t i = 0; i < sizeof(g->digest); i++) {
		cr_assert_eq(g->digest[i], 0xcd);
	}
	cr_assert(same(g->credential, "KEY and CHAIN"));
	cr_assert(same(g->bundle, "ROOTS"));
	cr_assert(same(g->crl, "CRLS"));
	cr_assert_eq(g->foreign_count, 2);
	cr_assert(same(g->foreign[0].trust_domain, "partner.example"));
	cr_assert(same(g->foreign[0].bundle, "PARTNER"));
	cr_assert(same(g->foreign[1].trust_domain, "empty.example"));
	cr_assert(same(g->foreign[1].bundle, ""));
	cr_assert(same(g->foreign[0].refused, ""));
	cr_assert(same(g->foreign[1].refused, "why"));
	cr_assert(same(g->ini_path, "/etc/fairlead/fairlead.ini"));
	cr_assert(same(g->ini, "[identity]\n"));
}

Test(message, round_trip)
{
	struct fl_ctl_decoder *decoder = fl_ctl_decoder_new(FL_CTL_FROM_SIDECAR);
	struct frame frames[] = {hello_frame(), result_frame(1, ""),
				 result_frame(0, "the key is not the leaf's")};
	struct fl_ctl_message m;

	cr_assert_eq(decode(decoder, frames[0], &m, NULL), 1);
	cr_assert_eq(m.type, FL_CTL_HELLO);
	cr_assert_eq(m.u.hello.version, FL_CTL_VERSION);
	cr_assert_eq(m.u.hello.generation, 0x0102030405060708);
	cr_assert_eq(m.u.hello.digest[31], 0xab);

	cr_assert_eq(decode(decoder, frames[1], &m, NULL), 1);
	cr_assert_eq(m.type, FL_CTL_RESULT);
	cr_assert_eq(m.u.result.number, 7);
	cr_assert_eq(m.u.result.ok, 1);
	cr_assert_eq(m.u.result.reason.len, 0);

	cr_assert_eq(decode(decoder, frames[2], &m, NULL), 1);
	cr_assert_eq(m.u.result.ok, 0);
	cr_assert(same(m.u.result.reason, "the key is not the leaf's"));

	for (size_t i = 0; i < FL_COUNT_OF(frames); i++) {
		free(frames[i].data);
	}
	fl_ctl_decoder_free(decoder);
	fl_ctl_decoder_free(NULL);
}

/* At its header: what the other side never sends takes no memory. */
Test(message, each_side_takes_what_the_other_sends)
{
	static const struct {
		uint16_t type;
		enum fl_ctl_sender from;
		uint32_t most;
	} rows[] = {
		{FL_CTL_HELLO, FL_CTL_FROM_SIDECAR, 4096},
		{FL_CTL_RESULT, FL_CTL_FROM_SIDECAR, 4096},
		{FL_CTL_SIGN, FL_CTL_FROM_SIDECAR, 16384},
		{FL_CTL_GENERATION, FL_CTL_FROM_AGENT, FL_CTL_MAX_FRAME},
		{FL_CTL_SIGNED, FL_CTL_FROM_AGENT, FL_CTL_MAX_SMALL},
		{FL_CTL_NOTE, FL_CTL_FROM_AGENT, FL_CTL_MAX_SMALL},
		{FL_CTL_BEAT, FL_CTL_FROM_AGENT, FL_CTL_MAX_SMALL},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		enum fl_ctl_sender other =
			rows[i].from == FL_CTL_FROM_AGENT ? FL_CTL_FROM_SIDECAR : FL_CTL_FROM_AGENT;
		struct frame f = raw_frame(rows[i].type, 0, NULL, rows[i].most + 1);
		struct frame header = {f.data, FL_CTL_HEADER};
		struct fl_ctl_decoder *wrong = fl_ctl_decoder_new(other);
		struct fl_ctl_decoder *right = fl_ctl_decoder_new(rows[i].from);
		struct fl_ctl_message m;
		struct fl_err err;

		cr_assert_eq(decode(wrong, header, &m, &err), FL_ERR_PEER);
		cr_assert_not_null(strstr(err.text, "only"));
		cr_assert_eq(decode(right, header, &m, &err), FL_ERR_PEER, "type %d", rows[i].type);
		cr_assert_not_null(strstr(err.text, "the maximum is"));
		fl_ctl_decoder_free(wrong);
		fl_ctl_decoder_free(right);
		right = fl_ctl_decoder_new(rows[i].from);
		f.data[11] = 0; /* all most have a last byte of 0 */
		f.data[10] = (uint8_t)(rows[i].most >> 8);
		cr_assert_eq(decode(right, header, &m, NULL), 0);
		cr_assert(fl_ctl_decoder_is_partial(right));
		fl_ctl_decoder_free(right);
		free(f.data);
	}
}

Test(message, partial)
{
	struct frame f = hello_frame(), later = raw_frame(UINT16_MAX, 0, "xyz", 3);
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_HELLO);
	struct fl_ctl_message m;

	fl_ctl_decoder_skip_unknown(decoder);
	cr_assert_not(fl_ctl_decoder_is_partial(decoder));
	for (size_t i = 0; i < f.len; i++) {
		int rc = decode(decoder, (struct frame){f.data + i, 1}, &m, NULL);

		cr_assert_eq(rc, i + 1 == f.len);
		cr_assert_eq(fl_ctl_decoder_is_partial(decoder), i + 1 < f.len);
	}
	cr_assert_eq(decode(decoder, (struct frame){later.data, later.len - 1}, &m, NULL), 0);
	cr_assert(fl_ctl_decoder_is_partial(decoder));
	cr_assert_eq(decode(decoder, (struct frame){later.data + later.len - 1, 1}, &m, NULL), 0);
	cr_assert_not(fl_ctl_decoder_is_partial(decoder));
	free(f.data);
	free(later.data);
	fl_ctl_decoder_free(decoder);
}

Test(message, renumber)
{
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_GENERATION);
	struct frame f = generation_frame();
	struct fl_ctl_message m;

	fl_ctl_generation_renumber(f.data, f.len, UINT64_MAX);
	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	cr_assert_eq(m.u.generation.number, UINT64_MAX);
	m.u.generation.number = 42;
	check_generation(&m);
	free(f.data);
	fl_ctl_decoder_free(decoder);
}

/* Three frames in one stream, cut in two at every byte. */
static void check_every_split_point(struct frame *parts, const enum fl_ctl_type *types)
{
	size_t total = parts[0].len + parts[1].len + parts[2].len;
	uint8_t *stream = fl_new(total);
	size_t at = 0;

	for (size_t i = 0; i < 3; i++) {
		memcpy(stream + at, parts[i].data, parts[i].len);
		at += parts[i].len;
		free(parts[i].data);
	}
	for (size_t split = 0; split <= total; split++) {
		struct fl_ctl_decoder *decoder = decoder_of(types[0]);
		const uint8_t *data = stream;
		size_t len = split;
		unsigned seen = 0;

		for (unsigned half = 0; half < 2; half++) {
			struct fl_ctl_message m;
			int rc;

			while ((rc = fl_ctl_decoder_feed(decoder, &data, &len, &m, NULL)) == 1) {
				cr_assert_lt(seen, 3);
				cr_assert_eq(m.type, types[seen]);
				seen++;
				if (m.type == FL_CTL_GENERATION) {
					check_generation(&m);
				}
			}
			cr_assert_eq(rc, 0);
			cr_assert_eq(len, 0, "all input is taken");
			len = total - split;
		}
		cr_assert_eq(seen, 3);
		fl_ctl_decoder_free(decoder);
	}
	free(stream);
}

Test(message, every_split_point)
{
	struct frame agents[] = {note_frame(true, "no"), generation_frame(), note_frame(false, "")};
	struct frame sidecars[] = {hello_frame(), result_frame(1, ""), result_frame(0, "no")};

	check_every_split_point(agents,
				(enum fl_ctl_type[]){FL_CTL_NOTE, FL_CTL_GENERATION, FL_CTL_NOTE});
	check_every_split_point(sidecars,
				(enum fl_ctl_type[]){FL_CTL_HELLO, FL_CTL_RESULT, FL_CTL_RESULT});
}

Test(message, byte_by_byte)
{
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_GENERATION);
	struct frame f = generation_frame();
	struct fl_ctl_message m;

	for (size_t i = 0; i < f.len; i++) {
		const uint8_t *data = f.data + i;
		size_t len = 1;

		cr_assert_eq(fl_ctl_decoder_feed(decoder, &data, &len, &m, NULL), i + 1 == f.len);
	}
	check_generation(&m);
	free(f.data);
	fl_ctl_decoder_free(decoder);
}

/* Large enough to outgrow the first chunk several times. */
Test(message, large_generation)
{
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_GENERATION);
	size_t size = 5000000;
	uint8_t *bundle = fl_new(size);
	struct fl_ctl_generation generation = {.number = 1, .bundle = {bundle, size}};
	struct fl_ctl_message m = {0};
	struct frame f;
	const uint8_t *data;
	size_t left;
	int rc = 0;

	memset(bundle, 'x', size);
	f.data = fl_ctl_encode_generation(&generation, &f.len);
	data = f.data;
	left = f.len;
	while (left > 0) {
		size_t len = left < 7001 ? left : 7001;

		left -= len;
		rc = fl_ctl_decoder_feed(decoder, &data, &len, &m, NULL);
		cr_assert_eq(rc, left == 0 ? 1 : 0);
	}
	cr_assert_eq(m.u.generation.bundle.len, size);
	cr_assert_eq(memcmp(m.u.generation.bundle.data, bundle, size), 0);
	fl_wipe_free(f.data, f.len);
	free(bundle);
	fl_ctl_decoder_free(decoder);
}

Test(message, oversized_generation_is_refused_before_encoding)
{
	struct fl_ctl_foreign foreign[FL_CTL_MAX_FOREIGN + 1] = {0};
	uint8_t byte = 0;
	struct fl_ctl_generation large = {.number = 1, .bundle = {&byte, FL_CTL_MAX_FRAME}};
	struct fl_ctl_generation many = {
		.number = 1, .foreign = foreign, .foreign_count = FL_CTL_MAX_FOREIGN + 1};
	struct fl_err err;

	cr_assert_eq(fl_ctl_generation_check(&large, &err), FL_ERR_LIMIT);
	cr_assert_not_null(strstr(err.text, "8 MiB"));
	cr_assert_eq(fl_ctl_generation_check(&many, &err), FL_ERR_LIMIT);
	cr_assert_not_null(strstr(err.text, "257"));
	many.foreign_count--;
	cr_assert_eq(fl_ctl_generation_check(&many, &err), FL_OK);
}

/* Every shorter payload, with a matching length in the header, lacks a field or cuts one. */
Test(message, truncated_payload)
{
	struct frame whole[] = {hello_frame(), generation_frame()};

	for (size_t k = 0; k < FL_COUNT_OF(whole); k++) {
		for (size_t len = 0; len < whole[k].len - FL_CTL_HEADER; len++) {
			struct frame f = raw_frame((uint16_t)(k + 1), 0,
						   whole[k].data + FL_CTL_HEADER, (uint32_t)len);

			check_refused(f, "field");
		}
		free(whole[k].data);
	}
}

/* After a stream that ends early the decoder only waits: the caller notices the end of the channel. */
Test(message, truncated_stream_waits)
{
	struct frame f = generation_frame();

	for (size_t cut = 0; cut < f.len; cut++) {
		struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_GENERATION);
		struct fl_ctl_message m;

		cr_assert_eq(decode(decoder, (struct frame){f.data, cut}, &m, NULL), 0);
		fl_ctl_decoder_free(decoder);
	}
	free(f.data);
}

Test(message, oversized_frames)
{
	static const uint32_t lengths[] = {FL_CTL_MAX_FRAME + 1, INT32_MAX, UINT32_MAX};

	for (unsigned type = FL_CTL_HELLO; type <= FL_CTL_SIGNED; type++) {
		for (size_t i = 0; i < FL_COUNT_OF(lengths); i++) {
			struct frame f = raw_frame((uint16_t)type, 0, NULL, 0);

			for (unsigned b = 0; b < 4; b++) {
				f.data[8 + b] = (uint8_t)(lengths[i] >> (24 - 8 * b));
			}
			check_refused(f, "the maximum is");
		}
	}
}

Test(message, wrong_headers)
{
	struct frame f = hello_frame();

	f.data[3] = '2';
	check_refused(f, "does not speak");
	check_refused(raw_frame(0, 0, NULL, 0), "unknown");
	check_refused(raw_frame(6, 0, NULL, 0), "unknown");
	check_refused(raw_frame(FL_CTL_OPTIONAL - 1, 0, NULL, 0), "unknown");
	check_refused(raw_frame(FL_CTL_HELLO, 1, NULL, 0), "reserved");
	f = raw_frame(0, 0, NULL, 0);
	memcpy(f.data, "GET / HTTP/1", FL_CTL_HEADER);
	check_refused(f, "does not speak");
}

Test(message, unknown_field_is_skipped)
{
	static const uint8_t later[] = {0x7f, 0xff, 0, 0, 0, 3, 'n', 'e', 'w', 0, 99, 0, 0, 0, 0};
	struct frame plain = generation_frame();
	size_t payload_len = plain.len - FL_CTL_HEADER;
	uint8_t *payload = fl_new(payload_len + sizeof(later));
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_GENERATION);
	struct fl_ctl_message m;
	struct frame f;

	memcpy(payload, later, sizeof(later));
	memcpy(payload + sizeof(later), plain.data + FL_CTL_HEADER, payload_len);
	f = raw_frame(FL_CTL_GENERATION, 0, payload, (uint32_t)(payload_len + sizeof(later)));
	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	check_generation(&m);
	free(f.data);
	free(payload);
	free(plain.data);
	fl_ctl_decoder_free(decoder);
}

Test(message, beat)
{
	struct fl_ctl_beat beat = {.every_ms = 2000};
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_BEAT);
	struct fl_ctl_message m;
	struct frame f;

	f.data = fl_ctl_encode_beat(&beat, &f.len);
	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	cr_expect_eq(m.type, FL_CTL_BEAT);
	cr_expect_eq(m.u.beat.every_ms, 2000);
	free(f.data);
	fl_ctl_decoder_free(decoder);
	check_refused(raw_frame(FL_CTL_BEAT, 0, NULL, 0), "missing");
}

Test(message, note)
{
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_NOTE);
	struct frame f = note_frame(true, "tls.crt: it has expired");
	struct fl_ctl_message m;
	char *text;

	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	cr_assert_eq(m.type, FL_CTL_NOTE);
	cr_assert(m.u.note.refused);
	cr_assert_eq(m.u.note.time, 1795250000);
	cr_assert(same(m.u.note.text, "tls.crt: it has expired"));
	f.data[FL_CTL_HEADER + 6] = 2;
	check_refused(f, "0 or 1");

	f = note_frame(false, "");
	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	cr_assert(!m.u.note.refused && m.u.note.text.len == 0);
	free(f.data);

	text = fl_new(FL_CTL_MAX_NOTE + 100);
	memset(text, 'x', FL_CTL_MAX_NOTE + 99);
	f = note_frame(true, text);
	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	cr_assert_eq(m.u.note.text.len, FL_CTL_MAX_NOTE, "a longer one is cut");
	free(f.data);
	free(text);
	fl_ctl_decoder_free(decoder);
}

Test(message, doubled_and_misshapen_fields)
{
	static const uint8_t twice[] = {0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1};
	static const uint8_t narrow[] = {0, 1, 0, 0, 0, 3, 0, 0, 1};
	static const uint8_t neither[] = {0, 2, 0, 0, 0, 1, 2};
	static const uint8_t greedy[] = {0, 1, 0xff, 0xff, 0xff, 0xff, 0};
	static const uint8_t nameless[] = {0, 5, 0, 0, 0, 12, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0};
	static const uint8_t zero[] = {0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0};
	struct frame f;

	check_refused(raw_frame(FL_CTL_HELLO, 0, twice, sizeof(twice)), "twice");
	check_refused(raw_frame(FL_CTL_HELLO, 0, narrow, sizeof(narrow)), "bytes");
	check_refused(raw_frame(FL_CTL_RESULT, 0, neither, sizeof(neither)), "0 or 1");
	check_refused(raw_frame(FL_CTL_HELLO, 0, greedy, sizeof(greedy)), "claims");
	check_refused(raw_frame(FL_CTL_GENERATION, 0, nameless, sizeof(nameless)), "bytes");
	f = generation_frame();
	memcpy(f.data + FL_CTL_HEADER, zero, sizeof(zero));
	check_refused(f, "number 0");
}

Test(message, too_many_foreign)
{
	struct fl_ctl_foreign foreign[FL_CTL_MAX_FOREIGN];
	struct fl_ctl_generation generation = {
		.number = 1, .foreign = foreign, .foreign_count = FL_CTL_MAX_FOREIGN};
	static const uint8_t more[] = {0, 5, 0, 0, 0, 13, 0, 1, 0, 0, 0, 1, 'z', 0, 2, 0, 0, 0, 0};
	struct fl_ctl_decoder *decoder = decoder_of(FL_CTL_GENERATION);
	struct fl_ctl_message m;
	struct frame f, longer;

	for (size_t i = 0; i < FL_CTL_MAX_FOREIGN; i++) {
		foreign[i] = (struct fl_ctl_foreign){.trust_domain = span("x.example")};
	}
	f.data = fl_ctl_encode_generation(&generation, &f.len);
	cr_assert_eq(decode(decoder, f, &m, NULL), 1);
	cr_assert_eq(m.u.generation.foreign_count, FL_CTL_MAX_FOREIGN);
	fl_ctl_decoder_free(decoder);

	longer = raw_frame(FL_CTL_GENERATION, 0, NULL,
			   (uint32_t)(f.len - FL_CTL_HEADER + sizeof(more)));
	memcpy(longer.data + FL_CTL_HEADER, f.data + FL_CTL_HEADER, f.len - FL_CTL_HEADER);
	memcpy(longer.data + f.len, more, sizeof(more));
	free(f.data);
	check_refused(longer, "more than 256");
}

Test(message, a_megabyte_of_garbage)
{
	struct frame f = {.len = 1000000};
	unsigned state = SEED;

	f.data = fl_new(f.len);
	for (size_t i = 0; i < f.len; i++) {
		f.data[i] = (uint8_t)(rand_r(&state) >> 7);
	}
	f.data[0] = 'f';
	check_refused(f, "does not speak");
	f.data = fl_new(f.len);
	check_refused(f, "does not speak");
}

/* Whatever bytes change: a message, more to come or a refusal; never a crash, a leak or an
 * out-of-bounds read (the sanitizers look on). Small pieces make reads past the end visible. */
Test(message, mutations)
{
	struct frame originals[] = {hello_frame(), generation_frame(), result_frame(0, "because"),
				    note_frame(true, "because")};
	unsigned state = SEED;

	for (unsigned round = 0; round < 30000; round++) {
		const struct frame *from =
			&originals[(unsigned)rand_r(&state) % FL_COUNT_OF(originals)];
		struct frame f = {fl_new(from->len), from->len};
		unsigned changes = 1 + (unsigned)rand_r(&state) % 4;
		struct fl_ctl_decoder *decoder = decoder_of(from->data[5]);
		const uint8_t *data = f.data;
		size_t left = f.len;
		struct fl_ctl_message m;
		struct fl_err err;
		int rc = 0;

		memcpy(f.data, from->data, from->len);
		while (changes-- > 0) {
			size_t at = (size_t)rand_r(&state) % f.len;

			f.data[at] = (uint8_t)(rand_r(&state) >> 5);
		}
		while (rc >= 0 && left > 0) {
			size_t piece = 1 + (size_t)rand_r(&state) % left;

			left -= piece;
			while ((rc = fl_ctl_decoder_feed(decoder, &data, &piece, &m, &err)) == 1) {
			}
		}
		cr_assert(rc == 0 || rc == FL_ERR_PEER);
		fl_ctl_decoder_free(decoder);
		free(f.data);
	}
	for (size_t i = 0; i < FL_COUNT_OF(originals); i++) {
		free(originals[i].data);
	}
}
