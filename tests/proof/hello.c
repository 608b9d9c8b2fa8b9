/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ClientHello walker: from any state that it can be in, whatever the next bytes are, it stays within them, ends, and is in such
 * a state again. As its first state is one, that holds for inputs of any length, cut into any pieces up to the bound. */
#include "proof.h"

#include "wire/hello.c"

/* What holds of a walker between two calls. */
static bool is_sound(const struct fl_hello *h)
{
	if (h->verdict > FL_HELLO_TLS_OURS || h->seen > FL_HELLO_MAX) {
		return false;
	}
	if (h->verdict != FL_HELLO_NEED_MORE) {
		return true;
	}
	bool has_header = h->record_header == RECORD_HEADER;
	return h->seen < FL_HELLO_MAX && h->step <= ALPN_NAME && h->field_left > 0 &&
	       h->field_left <= h->message_left && h->message_left <= FL_HELLO_MAX &&
	       h->record_header <= RECORD_HEADER &&
	       (!has_header || (h->record_left > 0 && h->record_left <= RECORD_MAX)) &&
	       (h->record_header != RECORD_HEADER - 1 || (h->record_left & 255) == 0) &&
	       (h->step != ALPN_NAME || !h->name_fits || h->field_left <= OURS_LEN) &&
	       (width[h->step] == 0 || h->field_left <= width[h->step]);
}

void prove_start(void)
{
	struct fl_hello hello;

	fl_hello_init(&hello);
	PROVE(is_sound(&hello));
	PROVE(hello.verdict == FL_HELLO_NEED_MORE);
}

static void step(const uint8_t *data, size_t len)
{
	struct fl_hello hello; /* any */

	ASSUME(is_sound(&hello));
	uint8_t before = hello.verdict;
	uint32_t seen = hello.seen;
	enum fl_hello_verdict verdict = fl_hello_feed(&hello, data, len);

	PROVE(is_sound(&hello));
	PROVE(verdict == hello.verdict);
	PROVE(before == FL_HELLO_NEED_MORE || verdict == before);
	PROVE(hello.seen >= seen && hello.seen - seen <= len);
	PROVE(verdict != FL_HELLO_NEED_MORE || hello.seen - seen == len);
}

void prove_one_byte(void)
{
	uint8_t data[1]; /* any */

	step(data, sizeof(data));
}

void prove_two_bytes(void)
{
	uint8_t data[2]; /* any */

	step(data, sizeof(data));
}
