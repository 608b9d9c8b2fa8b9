/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A peer that cuts its bytes into frames of a few bytes costs about as much as one that does not, and each byte arrives in its
 * place. */
#include "reuse_talk.h"

#include "conn/session_internal.h"
#include "conn/stream_internal.h"

#define CHUNK 65000u /* bytes of frames, as many as one read takes */
#define FEW 64u      /* calls that are no harm; the frames are many more */

TestSuite(small_frames, .init = open_heart, .fini = close_heart);

/* What the test sends, and what should come of it. */
struct cut {
	uint8_t *frames, *bytes;
	size_t frames_len, bytes_len;
};

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7);
}

static void add_frame(struct cut *cut, size_t len)
{
	const uint8_t header[FL_FRAME_HEADER] = {2, (uint8_t)(len >> 16), (uint8_t)(len >> 8),
						 (uint8_t)len};

	cut->frames = fl_grow(cut->frames, cut->frames_len + sizeof(header) + len, 1);
	cut->bytes = fl_grow(cut->bytes, cut->bytes_len + len, 1);
	for (size_t i = 0; i < len; i++) {
		cut->bytes[cut->bytes_len + i] = byte_at(cut->bytes_len + i);
	}
	memcpy(cut->frames + cut->frames_len, header, sizeof(header));
	memcpy(cut->frames + cut->frames_len + sizeof(header), cut->bytes + cut->bytes_len, len);
	cut->frames_len += sizeof(header) + len;
	cut->bytes_len += len;
}

static struct cut single_bytes(void)
{
	struct cut cut = {0};

	while (cut.frames_len < CHUNK) {
		add_frame(&cut, 1);
	}
	return cut;
}

static void cut_free(struct cut *cut)
{
	free(cut->frames);
	free(cut->bytes);
}

static bool has_got(const struct side *side, const struct cut *cut)
{
	return side->got_len == cut->bytes_len &&
	       memcmp(side->got, cut->bytes, cut->bytes_len) == 0;
}

/* The app is there, and both directions flow. */
static void begin_flow(struct talk *talk, bool inbound)
{
	if (!inbound) {
		begin_outbound(talk);
		framed_answer(&talk->frames, FL_STATUS_OPENED);
		HEART_UNTIL(&heart, heart.loop->sessions->framed->answered);
		return;
	}
	come_in(talk);
	open_use(talk);
	HEART_UNTIL(&heart,
		    heart.loop->streams != NULL && heart.loop->streams->state == FL_STREAM_OPEN);
}

Test(small_frames, of_one_read_go_on_in_one_write)
{
	for (unsigned inbound = 0; inbound < 2; inbound++) {
		struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "send"};
		struct cut cut = single_bytes();
		struct talk talk;

		begin_flow(&talk, inbound != 0);
		cr_assert(faults_next(&faults)); /* only counts */
		side_send(&talk.mesh, cut.frames, cut.frames_len);
		HEART_UNTIL(&heart, has_got(&talk.app, &cut));
		cr_expect_lt(faults.counted, FEW, "%u", faults.counted);
		faults_end();
		end(&talk);
		cut_free(&cut);
		close_heart();
		open_heart();
	}
}

/* What it cannot take is kept in few pieces of memory, and is bounded as large frames are. */
Test(small_frames, for_an_app_that_does_not_read_take_bounded_memory)
{
	for (unsigned inbound = 0; inbound < 2; inbound++) {
		struct faults faults = {.kinds = FAULTS_MEMORY};
		struct cut cut = single_bytes();
		struct talk talk;
		unsigned cuts = 0;

		begin_flow(&talk, inbound != 0);
		talk.app.is_deaf = true;
		fl_sock_limit_unread(heart.loop->streams->app, 2048);
		cr_assert(faults_next(&faults)); /* only counts */
		while (!fl_sock_pending(heart.loop->streams->app)) {
			side_send(&talk.mesh, cut.frames, cut.frames_len);
			HEART_UNTIL(&heart, talk.mesh.out_len == 0);
			heart_turn(&heart);
			cuts++;
		}
		heart_settle(&heart);
		cr_expect_lt(faults.counted, cuts * FEW, "%u of %u", faults.counted, cuts);
		faults_end();
		talk.app.is_deaf = false;
		HEART_UNTIL(&heart, talk.app.got_len == cuts * cut.bytes_len);
		for (size_t i = 0; i < talk.app.got_len; i++) {
			cr_assert_eq(talk.app.got[i], byte_at(i % cut.bytes_len), "byte %zu", i);
		}
		end(&talk);
		cut_free(&cut);
		close_heart();
		open_heart();
	}
}

Test(small_frames, among_large_ones_stay_in_line)
{
	for (unsigned inbound = 0; inbound < 2; inbound++) {
		struct cut cut = {0};
		struct talk talk;
		uint32_t random = 7;

		while (cut.frames_len < 10 * CHUNK) {
			random = random * 1664525u + 1013904223u;
			add_frame(&cut, 1 + (random >> 16) % (random >> 31 != 0 ? 9 : 9000));
		}
		begin_flow(&talk, inbound != 0);
		side_send(&talk.mesh, cut.frames, cut.frames_len);
		framed_end(&talk.frames);
		HEART_UNTIL(&heart, talk.app.has_finished);
		cr_expect(has_got(&talk.app, &cut));
		end(&talk);
		cut_free(&cut);
		close_heart();
		open_heart();
	}
}

/* The next use is in the same read, in frames of one byte, too. */
Test(small_frames, of_two_uses_stay_apart)
{
	static const char ones[] = "\2\0\0\1a\2\0\0\1b\2\0\0\1c", twos[] = "\2\0\0\1d\2\0\0\1e";
	struct side next;
	struct talk talk;

	begin_flow(&talk, true);
	side_finish(&talk.app);
	HEART_UNTIL(&heart, framed_ended(&talk.frames));
	heart_forget(&heart, &talk.mesh);
	side_send(&talk.mesh, ones, sizeof(ones) - 1);
	framed_end(&talk.frames);
	framed_open(&talk.frames);
	side_send(&talk.mesh, twos, sizeof(twos) - 1);
	heart_watch(&heart, &talk.mesh);
	HEART_UNTIL(&heart, side_has(&talk.app, "abc") && talk.app.has_finished);
	heart_accept(&heart, &next, PLACE_APP);
	HEART_UNTIL(&heart, side_has(&next, "de"));
	cr_expect(side_has(&talk.app, "abc"));
	forget(&next);
	end(&talk);
}

/* Behind them comes a frame that is not due: they are delivered, and then the session ends. */
Test(small_frames, before_a_broken_one_are_delivered)
{
	struct talk talk;

	begin_flow(&talk, true);
	side_send(&talk.mesh, "\2\0\0\1a\2\0\0\1b\5\0\0\0", 14);
	HEART_UNTIL(&heart, side_was_reset(&talk.app) && talk.mesh.failure != NULL);
	cr_expect(side_has_only(&talk.app, "ab"));
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_FRAME), 1);
	end(&talk);
}

/* They come before the app is there, and are held. */
Test(small_frames, that_are_held_go_on_in_one_write)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "send"};
	struct cut cut = single_bytes();
	struct talk talk;

	come_in(&talk);
	cr_assert(faults_next(&faults)); /* only counts */
	framed_open(&talk.frames);
	side_send(&talk.mesh, cut.frames, cut.frames_len);
	heart_accept(&heart, &talk.app, PLACE_APP);
	HEART_UNTIL(&heart, has_got(&talk.app, &cut));
	cr_expect_lt(faults.counted, FEW, "%u", faults.counted);
	faults_end();
	end(&talk);
	cut_free(&cut);
}
