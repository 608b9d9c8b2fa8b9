/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/state.h"

#include "base/err.h"

bool fl_states_allow(const struct fl_states *states, unsigned from, unsigned to)
{
	return from < states->count && to < states->count && (states->next[from] & FL_TO(to)) != 0;
}

static void trace(const struct fl_states *states, struct fl_loop *loop, const struct fl_conn *conn,
		  unsigned from, unsigned to)
{
	char source[FL_ADDR_TEXT];
	struct fl_line line;

	fl_line_begin(&line, &loop->log, FL_LOG_DEBUG, "state");
	fl_line_str(&line, "object", states->object);
	fl_line_str(&line, "from", states->names[from]);
	fl_line_str(&line, "to", states->names[to]);
	if (conn != NULL) {
		fl_line_str(&line, "direction",
			    fl_direction_word((enum fl_direction)conn->direction));
		fl_line_str(&line, "source",
			    conn->source.family != 0 ? fl_inet_format(&conn->source, source)
						     : NULL);
	}
	fl_line_end(&line);
}

void fl_states_enter(const struct fl_states *states, struct fl_loop *loop,
		     const struct fl_conn *conn, uint8_t *state, unsigned next)
{
	unsigned from = *state;

	FL_REQUIRE(fl_states_allow(states, from, next));
	*state = (uint8_t)next;
	if (loop->log.level <= FL_LOG_DEBUG) {
		trace(states, loop, conn, from, next);
	}
}
