/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every transition between the states of streams, sessions and strangers is tried: legal ones are traced, illegal ones end the
 * process. */
#include "call.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "conn/session_internal.h"
#include "conn/stranger.h"
#include "conn/stream_internal.h"

static struct heart heart;

/* The legal transitions, written again: "FROM > TO TO ...", by name. */
static const char *const stream_rules[] = {
	"naming > waiting dial_mesh closed",
	"waiting > naming dial_mesh closed",
	"dial_mesh > open closed",
	"dial_app > open closed",
	"open > half_app half_mesh naming waiting dial_mesh closed",
	"half_app > finished naming waiting dial_mesh closed",
	"half_mesh > finished closed",
	"finished > closed",
	"closed >",
};
static const char *const session_rules[] = {
	"dialing > handshake closed",
	"handshake > ready dialing closed",
	"ready > idle closed",
	"idle > ready closed",
	"closed >",
};
static const char *const stranger_rules[] = {
	"reading > waiting gone",
	"waiting > gone",
	"gone >",
};

static bool is_legal(const char *const *rules, size_t count, const char *from, const char *to)
{
	for (size_t i = 0; i < count; i++) {
		const char *mark = strstr(rules[i], " >");

		if (strlen(from) == (size_t)(mark - rules[i]) &&
		    strncmp(rules[i], from, strlen(from)) == 0) {
			char *text = fl_format("%s ", mark), *word = fl_format(" %s ", to);
			bool is_there = strstr(text, word) != NULL;

			free(text);
			free(word);
			return is_there;
		}
	}
	cr_assert_fail("no rule for the state %s", from);
	return false;
}

/* Runs in its own process, which must not leave a core dump or a line behind. */
static bool ends_the_process(const struct fl_states *states, unsigned from, unsigned to)
{
	struct fl_endpoint endpoint = {.loop = heart.loop};
	struct fl_conn conn = {.loop = heart.loop, .endpoint = &endpoint};
	pid_t child = fork();
	int status;

	cr_assert_geq(child, 0);
	if (child == 0) {
		uint8_t state = (uint8_t)from;

		(void)signal(SIGABRT, SIG_DFL);
		(void)close(STDERR_FILENO);
		fl_states_enter(states, heart.loop, &conn, &state, to);
		_exit(state == to ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void try_all(const struct fl_states *states, const char *const *rules, size_t count)
{
	cr_assert_eq(states->count, count);
	heart_open(&heart, NULL);
	for (unsigned from = 0; from < states->count; from++) {
		for (unsigned to = 0; to < states->count; to++) {
			bool legal = is_legal(rules, count, states->names[from], states->names[to]);

			cr_expect_eq(fl_states_allow(states, from, to), legal, "%s: %s > %s",
				     states->object, states->names[from], states->names[to]);
			cr_expect_eq(ends_the_process(states, from, to), !legal, "%s: %s > %s",
				     states->object, states->names[from], states->names[to]);
		}
		cr_expect(ends_the_process(states, from, states->count), "a state that is none");
	}
	heart_close(&heart);
}

Test(states, of_a_stream)
{
	try_all(&fl_stream_states, stream_rules, FL_COUNT_OF(stream_rules));
}

Test(states, of_a_session)
{
	try_all(&fl_session_states, session_rules, FL_COUNT_OF(session_rules));
}

Test(states, of_a_stranger)
{
	try_all(&fl_stranger_states, stranger_rules, FL_COUNT_OF(stranger_rules));
}

static void expect_traced(const char *object, const char *from, const char *to)
{
	char *part = fl_format("\"object\":\"%s\",\"from\":\"%s\",\"to\":\"%s\"", object, from, to);

	cr_expect(heart_logged(&heart, part), "%s is not in\n%s", part, heart_log(&heart));
	free(part);
}

Test(states, are_traced_at_level_debug)
{
	struct call call;

	heart_open(&heart, NULL);
	call_open(&heart, &call, CALL_IN_TLS);
	side_finish(&call.app);
	HEART_UNTIL(&heart, call.mesh.has_finished);
	side_finish(&call.mesh);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	call_close(&call);
	expect_traced("stranger", "reading", "gone");
	expect_traced("session", "handshake", "ready");
	expect_traced("stream", "dial_app", "open");
	expect_traced("stream", "open", "half_app");
	expect_traced("stream", "half_app", "finished");
	expect_traced("stream", "finished", "closed");
	expect_traced("session", "ready", "closed");
	heart_close(&heart);
}
