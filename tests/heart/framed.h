/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_FRAMED_H
#define FL_TEST_FRAMED_H
/* framed - a TLS side that speaks frames (wire/frame.h): a client or a server of sessions that carry connections one after
 * another. Set heart->framed before the first engine is made. */
#include "heart.h"
#include "wire/frame.h"

struct framed {
	struct side *side;
	struct fl_framing framing;
	size_t taken; /* bytes of side->got */
	/* of the current use, or the last one */
	char *text; /* its DATA so far; owned; NULL: none */
	size_t len;
	bool has_end, is_answered;
	enum fl_status status;
	struct fl_framing_open open;
	/* so far */
	unsigned opens, retires;
	enum fl_framing_fault fault;
};

void framed_init(struct framed *framed, struct side *side, enum fl_framing_role role);
void framed_done(struct framed *framed);
/* Takes what has come. */
void framed_take(struct framed *framed);
/* Has the current use received exactly this so far? */
bool framed_has(struct framed *framed, const char *text);
/* Has it received a beginning of this? */
bool framed_has_only(struct framed *framed, const char *text);
bool framed_ended(struct framed *framed);

/* These append to what the side sends. */
void framed_open(struct framed *framed);
void framed_answer(struct framed *framed, enum fl_status status);
void framed_say(struct framed *framed, const char *text);
void framed_end(struct framed *framed);
void framed_retire(struct framed *framed);

#endif
