/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One end of a session: whatever the other end sends, and whatever this one writes between, it does what its model does. */
#include "fuzz.h"

#include "../lib/frame_model.h"

struct end {
	struct fl_framing framing;
	struct frame_model model;
};

/* A byte of the script: 0 to 127 bytes arrive, or this end writes something if it may. */
#define WRITES 0x80u

static void write_something(struct end *end, uint8_t what)
{
	uint8_t out[FL_FRAME_HEADROOM];
	const struct fl_framing_open open = {.generation = what};

	switch (what % 5) {
	case 0:
		frame_put_open(&end->framing, &end->model, out, &open);
		break;
	case 1:
		frame_put_status(&end->framing, &end->model, out,
				 (enum fl_status)((what >> 3) % (FL_STATUS_LAST + 1)));
		break;
	case 2:
		frame_put_header(&end->framing, &end->model, out, what);
		break;
	case 3:
		frame_put_end(&end->framing, &end->model, out);
		break;
	default:
		frame_put_retire(&end->framing, &end->model, out);
		break;
	}
	frame_check_same(&end->framing, &end->model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	bool is_client = fuzz_u8(&in) & 1;
	struct end end = {.model = {.is_client = is_client}};

	fl_framing_init(&end.framing, is_client ? FL_FRAMING_CLIENT : FL_FRAMING_SERVER);
	while (in.len > 0) {
		uint8_t what = fuzz_u8(&in);

		if (what & WRITES) {
			write_something(&end, what & (WRITES - 1));
		} else {
			struct fl_span piece = fuzz_take(&in, what);

			if (!end.model.broken) {
				frame_check_cuts(&end.framing, piece.data, piece.len);
			}
			frame_feed_both(&end.framing, &end.model, piece.data, piece.len, NULL,
					NULL);
		}
	}
	return 0;
}
