/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "framed.h"

#include <stdlib.h>
#include <string.h>

void framed_init(struct framed *framed, struct side *side, enum fl_framing_role role)
{
	*framed = (struct framed){.side = side};
	fl_framing_init(&framed->framing, role);
}

void framed_done(struct framed *framed)
{
	free(framed->text);
	framed->text = NULL;
	framed->len = 0;
}

static void begin(struct framed *framed)
{
	framed_done(framed);
	framed->has_end = framed->is_answered = false;
}

static void add(struct framed *framed, struct fl_span data)
{
	framed->text = fl_grow(framed->text, framed->len + data.len + 1, 1);
	memcpy(framed->text + framed->len, data.data, data.len);
	framed->len += data.len;
	framed->text[framed->len] = '\0';
}

static enum fl_framing_event take_one(struct framed *framed, struct fl_span *in)
{
	struct fl_framing_read read;
	enum fl_framing_event event = fl_framing_read(&framed->framing, in, &read);

	switch (event) {
	case FL_FRAMING_OPEN:
		begin(framed);
		framed->opens++;
		framed->open = read.open;
		break;
	case FL_FRAMING_DATA:
		add(framed, read.data);
		break;
	case FL_FRAMING_END:
		framed->has_end = true;
		break;
	case FL_FRAMING_STATUS:
		framed->is_answered = true;
		framed->status = read.status.code;
		break;
	case FL_FRAMING_RETIRE:
		framed->retires++;
		break;
	case FL_FRAMING_BROKEN:
		framed->fault = read.fault;
		break;
	case FL_FRAMING_NEED_MORE:
		break;
	}
	return event;
}

void framed_take(struct framed *framed)
{
	struct side *side = framed->side;
	struct fl_span in = {side->got + framed->taken, side->got_len - framed->taken};
	enum fl_framing_event event;

	if (in.len == 0 || framed->fault != FL_FRAMING_FAULT_NONE) {
		return;
	}
	do {
		event = take_one(framed, &in);
	} while (event != FL_FRAMING_NEED_MORE && event != FL_FRAMING_BROKEN);
	framed->taken = side->got_len - in.len;
}

bool framed_has(struct framed *framed, const char *text)
{
	framed_take(framed);
	return framed->len == strlen(text) &&
	       (framed->len == 0 || memcmp(framed->text, text, framed->len) == 0);
}

bool framed_has_only(struct framed *framed, const char *text)
{
	framed_take(framed);
	return framed->len <= strlen(text) &&
	       (framed->len == 0 || memcmp(framed->text, text, framed->len) == 0);
}

bool framed_ended(struct framed *framed)
{
	framed_take(framed);
	return framed->has_end;
}

/* --- sending -------------------------------------------------------------------------------------- */

void framed_open(struct framed *framed)
{
	struct fl_framing_open open = {.generation = 7};
	uint8_t frame[FL_FRAME_OPEN_MAX];

	framed_take(framed);
	begin(framed);
	side_send(framed->side, frame, fl_framing_put_open(&framed->framing, frame, &open));
}

void framed_answer(struct framed *framed, enum fl_status status)
{
	struct fl_framing_status answer = {.code = status};
	uint8_t frame[FL_FRAME_STATUS_MAX];

	framed_take(framed);
	side_send(framed->side, frame, fl_framing_put_status(&framed->framing, frame, &answer));
}

void framed_say(struct framed *framed, const char *text)
{
	uint8_t header[FL_FRAME_HEADER];

	side_send(framed->side, header,
		  fl_framing_put_header(&framed->framing, header, strlen(text)));
	side_say(framed->side, text);
}

void framed_end(struct framed *framed)
{
	uint8_t frame[FL_FRAME_HEADER];

	side_send(framed->side, frame, fl_framing_put_end(&framed->framing, frame));
}

void framed_retire(struct framed *framed)
{
	uint8_t frame[FL_FRAME_HEADER];

	side_send(framed->side, frame, fl_framing_put_retire(&framed->framing, frame));
}
