/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_STATE_H
#define FL_CONN_STATE_H
/* state - the states that an object of a connection can be in, by name, and the transitions that are legal. Loop-bound;
 * fl_states_allow() is pure. */
#include <stdbool.h>
#include <stdint.h>

#include "conn/conn.h"

#define FL_TO(state) (1u << (state))

struct fl_states {
	const char *object;       /* "stream" */
	const char *const *names; /* by state */
	const uint32_t *next;     /* by state: bits FL_TO() of the states that may follow */
	unsigned count;
};

bool fl_states_allow(const struct fl_states *states, unsigned from, unsigned to);

/* Sets *state to next, and logs that at level debug. An illegal transition is a broken invariant: it ends the process
 * (FL_REQUIRE). conn: named in the line; NULL: the object has none now. */
void fl_states_enter(const struct fl_states *states, struct fl_loop *loop,
		     const struct fl_conn *conn, uint8_t *state, unsigned next);

#endif
