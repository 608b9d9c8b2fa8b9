/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_FRAME_MODEL_H
#define FL_TESTS_FRAME_MODEL_H
/* frame_model - one end of a session, slow and obvious: it counts what was written and read, and looks at one byte after
 * another. Header only. A test feeds the same to it and to a struct fl_framing and compares what came out; what must hold is
 * said with FL_REQUIRE. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "wire/frame.h"

/* What came out, one after another: a letter, and a byte of it. Bytes of data are single, so that it does not matter in which
 * pieces they came. */
#define FRAME_LOG_MAX 8192u
struct frame_log {
	size_t count;
	struct {
		char what; /* O opened, L opened late, D data, E end, S status, R retire, X broken */
		uint8_t byte;
	} events[FRAME_LOG_MAX];
};

struct frame_model {
	bool is_client, broken;
	bool refused;   /* a STATUS other than opened, or a late OPEN */
	bool owes_late; /* the answer to a late OPEN */
	/* Frames so far, of both directions. */
	uint32_t opens, statuses, ends_up, ends_down, retires;
	size_t len; /* bytes of the frame that is being read */
	uint8_t frame[FL_FRAME_OPEN_MAX];
};

static inline void frame_log_add(struct frame_log *log, char what, uint8_t byte)
{
	FL_REQUIRE(log->count < FRAME_LOG_MAX);
	log->events[log->count].what = what;
	log->events[log->count++].byte = byte;
}

static inline bool frame_log_equals(const struct frame_log *a, const struct frame_log *b)
{
	bool equal = a->count == b->count;

	for (size_t i = 0; equal && i < a->count; i++) {
		equal = a->events[i].what == b->events[i].what &&
			a->events[i].byte == b->events[i].byte;
	}
	return equal;
}

/* --- what may be written ---------------------------------------------------------------------------- */

static inline bool frame_model_is_idle(const struct frame_model *model)
{
	return model->opens == model->ends_up && model->opens == model->ends_down &&
	       model->len == 0 && !model->refused && !model->broken;
}

static inline bool frame_model_may_open(const struct frame_model *model)
{
	return model->is_client && frame_model_is_idle(model) && model->retires == 0;
}

static inline bool frame_model_may_put(const struct frame_model *model)
{
	if (model->refused || model->broken) {
		return false;
	}
	return model->is_client ? model->opens == model->ends_up + 1
				: model->statuses == model->ends_down + 1;
}

static inline bool frame_model_may_answer(const struct frame_model *model, enum fl_status code)
{
	return !model->is_client && !model->broken && model->opens == model->statuses + 1 &&
	       (!model->refused || (model->owes_late && code == FL_STATUS_NOT_OPENED));
}

static inline bool frame_model_may_retire(const struct frame_model *model)
{
	return model->retires == 0 && !model->refused && !model->broken;
}

/* --- what is read ----------------------------------------------------------------------------------- */

static inline uint32_t frame_model_number(const uint8_t *at, size_t bytes)
{
	uint32_t number = 0;

	for (size_t i = 0; i < bytes; i++) {
		number = number * 256 + at[i];
	}
	return number;
}

static inline bool frame_model_is_legal(const struct frame_model *model)
{
	uint32_t len = frame_model_number(model->frame + 1, 3);
	uint32_t ended = model->is_client ? model->ends_down : model->ends_up;
	uint32_t begun = model->is_client ? model->statuses : model->opens;

	if (model->refused) {
		return false;
	}
	switch (model->frame[0]) {
	case 1:
		return !model->is_client && len >= 15 && len <= 51 &&
		       model->opens == model->ends_up && model->opens == model->ends_down;
	case 2:
		return len >= 1 && begun == ended + 1;
	case 3:
		return len == 0 && begun == ended + 1;
	case 4:
		return model->is_client && len >= 6 && len <= 24 &&
		       model->opens == model->statuses + 1;
	case 5:
		return model->is_client && len == 0 && model->retires == 0;
	default:
		return false;
	}
}

/* The length of the address; 0: there is none. */
static inline size_t frame_model_address(const uint8_t *at, size_t len)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (len >= 1 && at[0] == 0) {
		return 1;
	}
	if (len >= 7 && at[0] == 4) {
		return 7;
	}
	return len >= 19 && at[0] == 6 && memcmp(at + 3, mapped, 12) != 0 ? 19 : 0;
}

static inline bool frame_model_is_open(const struct frame_model *model)
{
	const uint8_t *at = model->frame + 4;
	size_t len = model->len - 4, first = frame_model_address(at + 13, len - 13);
	size_t second = frame_model_address(at + 13 + first, len - 13 - first);

	return frame_model_number(at, 4) == model->opens + 1 && at[12] == 0 && first > 0 &&
	       second > 0 && 13 + first + second == len;
}

static inline bool frame_model_is_status(const struct frame_model *model)
{
	const uint8_t *at = model->frame + 4;
	size_t len = model->len - 4;

	return frame_model_number(at, 4) == model->opens && at[4] <= FL_STATUS_LAST &&
	       frame_model_address(at + 5, len - 5) == len - 5;
}

static inline void frame_model_break(struct frame_model *model, struct frame_log *log)
{
	model->broken = true;
	frame_log_add(log, 'X', 0);
}

static inline void frame_model_take_open(struct frame_model *model, struct frame_log *log)
{
	if (!frame_model_is_open(model)) {
		frame_model_break(model, log);
		return;
	}
	model->opens++;
	model->refused = model->owes_late = model->retires > 0;
	frame_log_add(log, model->retires > 0 ? 'L' : 'O', (uint8_t)model->opens);
}

static inline void frame_model_take_status(struct frame_model *model, struct frame_log *log)
{
	if (!frame_model_is_status(model)) {
		frame_model_break(model, log);
		return;
	}
	model->statuses++;
	model->refused = model->frame[8] != FL_STATUS_OPENED;
	frame_log_add(log, 'S', model->frame[8]);
}

static inline void frame_model_take(struct frame_model *model, struct frame_log *log)
{
	switch (model->frame[0]) {
	case 1:
		frame_model_take_open(model, log);
		break;
	case 3:
		model->ends_down += model->is_client;
		model->ends_up += !model->is_client;
		frame_log_add(log, 'E', 0);
		break;
	case 4:
		frame_model_take_status(model, log);
		break;
	default:
		model->retires++;
		frame_log_add(log, 'R', 0);
		break;
	}
}

static inline void frame_model_byte(struct frame_model *model, struct frame_log *log, uint8_t byte)
{
	size_t whole;

	if (model->broken || (model->refused && !model->is_client)) {
		return;
	}
	if (model->len < sizeof(model->frame)) {
		model->frame[model->len] = byte;
	}
	model->len++;
	if (model->len < 4) {
		return;
	}
	if (model->len == 4 && !frame_model_is_legal(model)) {
		frame_model_break(model, log);
		return;
	}
	whole = 4 + frame_model_number(model->frame + 1, 3);
	if (model->frame[0] == 2 && model->len > 4) {
		frame_log_add(log, 'D', byte);
	} else if (model->len == whole) {
		frame_model_take(model, log);
	}
	model->len = model->len == whole ? 0 : model->len;
}

/* --- both ------------------------------------------------------------------------------------------- */

static inline void frame_log_event(struct frame_log *log, const struct fl_framing *framing,
				   enum fl_framing_event event, const struct fl_framing_read *read)
{
	switch (event) {
	case FL_FRAMING_OPEN:
		frame_log_add(log, read->open.is_late ? 'L' : 'O', (uint8_t)framing->number);
		break;
	case FL_FRAMING_DATA:
		for (size_t i = 0; i < read->data.len; i++) {
			frame_log_add(log, 'D', read->data.data[i]);
		}
		break;
	case FL_FRAMING_END:
		frame_log_add(log, 'E', 0);
		break;
	case FL_FRAMING_STATUS:
		frame_log_add(log, 'S', (uint8_t)read->status.code);
		break;
	case FL_FRAMING_RETIRE:
		frame_log_add(log, 'R', 0);
		break;
	case FL_FRAMING_BROKEN:
		frame_log_add(log, 'X', 0);
		break;
	case FL_FRAMING_NEED_MORE:
	default:
		break;
	}
}

/* What a test does with each event besides logging it. */
typedef void (*frame_on_event)(void *user, enum fl_framing_event event,
			       const struct fl_framing_read *read);

/* Logs what the framing reads of the bytes, which lie in memory of their exact size. on_event: may be NULL. */
static inline void frame_read(struct fl_framing *framing, struct frame_log *log,
			      const uint8_t *data, size_t len, frame_on_event on_event, void *user)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct fl_span in = {copy, len};
	enum fl_framing_event event;

	FL_REQUIRE(copy != NULL);
	memcpy(copy, data, len);
	do {
		struct fl_framing_read read;
		struct fl_span before = in;

		event = fl_framing_read(framing, &in, &read);
		FL_REQUIRE(in.len <= before.len);
		if (event == FL_FRAMING_DATA) {
			FL_REQUIRE(read.data.len > 0 && read.data.data >= before.data);
			FL_REQUIRE(read.data.data + read.data.len == in.data);
		}
		frame_log_event(log, framing, event, &read);
		if (on_event != NULL) {
			on_event(user, event, &read);
		}
	} while (event != FL_FRAMING_NEED_MORE && event != FL_FRAMING_BROKEN);
	FL_REQUIRE(event == FL_FRAMING_BROKEN || in.len == 0);
	free(copy);
}

static inline void frame_check_same(const struct fl_framing *framing,
				    const struct frame_model *model)
{
	FL_REQUIRE(fl_framing_is_idle(framing) == frame_model_is_idle(model));
	FL_REQUIRE(fl_framing_may_open(framing) == frame_model_may_open(model));
	FL_REQUIRE(fl_framing_may_put(framing) == frame_model_may_put(model));
	FL_REQUIRE(framing->number == model->opens);
}

/* The same bytes to both: the same comes out. */
static inline void frame_feed_both(struct fl_framing *framing, struct frame_model *model,
				   const uint8_t *data, size_t len, frame_on_event on_event,
				   void *user)
{
	static struct frame_log mine, expected;

	mine.count = expected.count = 0;
	if (!model->broken) {
		frame_read(framing, &mine, data, len, on_event, user);
	}
	for (size_t i = 0; i < len; i++) {
		frame_model_byte(model, &expected, data[i]);
	}
	FL_REQUIRE(frame_log_equals(&mine, &expected));
	frame_check_same(framing, model);
}

/* Wherever the bytes are cut, the same comes out, and the same remains. */
static inline void frame_check_cuts(const struct fl_framing *framing, const uint8_t *data,
				    size_t len)
{
	static struct frame_log whole, parts;
	struct fl_framing after = *framing;

	whole.count = 0;
	frame_read(&after, &whole, data, len, NULL, NULL);
	for (size_t cut = 0; cut <= len; cut++) {
		struct fl_framing copy = *framing;

		parts.count = 0;
		frame_read(&copy, &parts, data, cut, NULL, NULL);
		if (copy.fault == FL_FRAMING_FAULT_NONE) {
			frame_read(&copy, &parts, data + cut, len - cut, NULL, NULL);
		}
		FL_REQUIRE(frame_log_equals(&whole, &parts));
		FL_REQUIRE(copy.number == after.number && copy.left == after.left);
		FL_REQUIRE(copy.up == after.up && copy.down == after.down);
		FL_REQUIRE(copy.fault == after.fault && copy.have == after.have);
		FL_REQUIRE(copy.retired == after.retired && copy.over == after.over);
		FL_REQUIRE(memcmp(copy.part, after.part, copy.have) == 0);
	}
}

/* --- what this side writes, to both; each returns the number of bytes, 0 when it is not the moment for that ---------------- */

static inline size_t frame_put_open(struct fl_framing *framing, struct frame_model *model,
				    uint8_t *out, const struct fl_framing_open *open)
{
	if (!frame_model_may_open(model)) {
		return 0;
	}
	model->opens++;
	return fl_framing_put_open(framing, out, open);
}

static inline size_t frame_put_status(struct fl_framing *framing, struct frame_model *model,
				      uint8_t *out, enum fl_status code)
{
	struct fl_framing_status status = {
		.code = code,
		.local = {.ip = {127, 0, 0, 1}, .port = 15006, .family = AF_INET},
	};

	if (!frame_model_may_answer(model, code)) {
		return 0;
	}
	model->statuses++;
	model->owes_late = false;
	model->refused = code != FL_STATUS_OPENED;
	return fl_framing_put_status(framing, out, &status);
}

static inline size_t frame_put_header(struct fl_framing *framing, struct frame_model *model,
				      uint8_t *out, size_t len)
{
	return frame_model_may_put(model) ? fl_framing_put_header(framing, out, len) : 0;
}

static inline size_t frame_put_end(struct fl_framing *framing, struct frame_model *model,
				   uint8_t *out)
{
	if (!frame_model_may_put(model)) {
		return 0;
	}
	model->ends_up += model->is_client;
	model->ends_down += !model->is_client;
	return fl_framing_put_end(framing, out);
}

static inline size_t frame_put_retire(struct fl_framing *framing, struct frame_model *model,
				      uint8_t *out)
{
	size_t len;

	if (model->is_client) {
		return 0;
	}
	len = fl_framing_put_retire(framing, out);
	FL_REQUIRE(len == (frame_model_may_retire(model) ? FL_FRAME_HEADER : 0));
	model->retires += len > 0;
	return len;
}

#endif
