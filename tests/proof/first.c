/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The walker that waits for a whole ClientHello: as hello.c, from any state to the next. */
#include "proof.h"

#include "wire/first.c"

static bool is_sound(const struct fl_first *f)
{
	bool has_record = f->record_header_len == sizeof(f->record_header);
	bool has_message = f->message_header_len == sizeof(f->message_header);

	if (f->record_header_len > sizeof(f->record_header) ||
	    f->message_header_len > sizeof(f->message_header)) {
		return false;
	}
	return f->whole ||
	       ((!has_record || (f->record_left > 0 && f->record_left <= RECORD_MAX)) &&
		(!has_message || (f->message_left > 0 && f->message_left <= FL_FIRST_MAX)));
}

void prove_start(void)
{
	struct fl_first first = {0};

	PROVE(is_sound(&first));
}

static void step(const uint8_t *data, size_t len)
{
	struct fl_first first; /* any */

	first.whole = nondet_bool();
	ASSUME(is_sound(&first));
	bool before = first.whole;
	bool whole = fl_first_feed(&first, data, len);

	PROVE(is_sound(&first));
	PROVE(whole == first.whole && (whole || !before));
}

void prove_one_byte(void)
{
	uint8_t data[1]; /* any */

	step(data, sizeof(data));
}

void prove_six_bytes(void)
{
	uint8_t data[6]; /* any */

	step(data, sizeof(data));
}
