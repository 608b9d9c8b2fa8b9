/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tables of states: what they allow is what the headers draw, and an illegal transition ends the process. */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/mem.h"
#include "conn/session_internal.h"
#include "conn/stranger.h"
#include "conn/stream_internal.h"

static unsigned count_allowed(const struct fl_states *states)
{
	unsigned allowed = 0;

	for (unsigned from = 0; from < states->count; from++) {
		for (unsigned to = 0; to < states->count; to++) {
			allowed += fl_states_allow(states, from, to);
		}
	}
	return allowed;
}

/* Every state can go to the end state; none follows it, and no state follows itself. */
static void expect_an_end(const struct fl_states *states, unsigned end)
{
	for (unsigned state = 0; state < states->count; state++) {
		cr_expect_not_null(states->names[state]);
		cr_expect_not(fl_states_allow(states, state, state), "%s", states->names[state]);
		cr_expect_eq(fl_states_allow(states, state, end), state != end, "%s %s",
			     states->object, states->names[state]);
		cr_expect_not(fl_states_allow(states, end, state));
	}
	cr_expect_not(fl_states_allow(states, states->count, end));
	cr_expect_not(fl_states_allow(states, end, states->count));
}

Test(state, a_stream)
{
	const struct fl_states *states = &fl_stream_states;

	expect_an_end(states, FL_STREAM_CLOSED);
	cr_expect(fl_states_allow(states, FL_STREAM_NAMING, FL_STREAM_WAITING));
	cr_expect(fl_states_allow(states, FL_STREAM_NAMING, FL_STREAM_DIAL_MESH));
	cr_expect(fl_states_allow(states, FL_STREAM_WAITING, FL_STREAM_DIAL_MESH));
	cr_expect(fl_states_allow(states, FL_STREAM_DIAL_MESH, FL_STREAM_OPEN));
	cr_expect(fl_states_allow(states, FL_STREAM_DIAL_APP, FL_STREAM_OPEN));
	cr_expect(fl_states_allow(states, FL_STREAM_OPEN, FL_STREAM_HALF_APP));
	cr_expect(fl_states_allow(states, FL_STREAM_OPEN, FL_STREAM_HALF_MESH));
	cr_expect(fl_states_allow(states, FL_STREAM_HALF_APP, FL_STREAM_FINISHED));
	cr_expect(fl_states_allow(states, FL_STREAM_HALF_MESH, FL_STREAM_FINISHED));
	/* back to the start, on another session */
	cr_expect(fl_states_allow(states, FL_STREAM_OPEN, FL_STREAM_WAITING));
	cr_expect(fl_states_allow(states, FL_STREAM_OPEN, FL_STREAM_DIAL_MESH));
	cr_expect(fl_states_allow(states, FL_STREAM_HALF_APP, FL_STREAM_WAITING));
	cr_expect(fl_states_allow(states, FL_STREAM_HALF_APP, FL_STREAM_DIAL_MESH));
	/* under another generation */
	cr_expect(fl_states_allow(states, FL_STREAM_WAITING, FL_STREAM_NAMING));
	cr_expect(fl_states_allow(states, FL_STREAM_OPEN, FL_STREAM_NAMING));
	cr_expect(fl_states_allow(states, FL_STREAM_HALF_APP, FL_STREAM_NAMING));
	cr_expect_eq(count_allowed(states), 16 + 8);
}

Test(state, a_session)
{
	const struct fl_states *states = &fl_session_states;

	expect_an_end(states, FL_SESSION_CLOSED);
	cr_expect(fl_states_allow(states, FL_SESSION_DIALING, FL_SESSION_HANDSHAKE));
	cr_expect(fl_states_allow(states, FL_SESSION_HANDSHAKE, FL_SESSION_READY));
	cr_expect(fl_states_allow(states, FL_SESSION_HANDSHAKE, FL_SESSION_DIALING));
	cr_expect(fl_states_allow(states, FL_SESSION_READY, FL_SESSION_IDLE));
	cr_expect(fl_states_allow(states, FL_SESSION_IDLE, FL_SESSION_READY));
	cr_expect_eq(count_allowed(states), 5 + 4);
}

Test(state, a_stranger)
{
	const struct fl_states *states = &fl_stranger_states;

	expect_an_end(states, FL_STRANGER_GONE);
	cr_expect(fl_states_allow(states, FL_STRANGER_READING, FL_STRANGER_WAITING));
	cr_expect_eq(count_allowed(states), 1 + 2);
}

static struct fl_loop loop = {.log = {.fd = -1, .level = FL_LOG_INFO}};

Test(state, a_legal_transition_is_made)
{
	struct fl_conn conn = {.loop = &loop};
	uint8_t state = FL_STREAM_OPEN;

	fl_states_enter(&fl_stream_states, &loop, &conn, &state, FL_STREAM_HALF_APP);
	cr_expect_eq(state, FL_STREAM_HALF_APP);
}

Test(state, an_illegal_transition_ends_the_process, .signal = SIGABRT)
{
	struct fl_conn conn = {.loop = &loop};
	uint8_t state = FL_STREAM_FINISHED;

	fl_states_enter(&fl_stream_states, &loop, &conn, &state, FL_STREAM_OPEN);
}
