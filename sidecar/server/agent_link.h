/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_AGENT_LINK_H
#define FL_SERVER_AGENT_LINK_H
/* agent_link - the sidecar's end of the channel to its agent. It connects, says which generation is in use, takes new ones, and
 * connects again with back-off after every failure. Losing the agent never disturbs traffic; nor does an agent that hangs, which is
 * logged and reported. Thread: main. */
#include "base/log.h"
#include "conf/conf.h"
#include "ctl/message.h"
#include "net/sock.h"

struct fl_agent_link_events {
	/* Fills in what is in use now, for HELLO. */
	void (*describe)(void *user, struct fl_ctl_hello *hello);
	/* A generation has come; its spans are valid during the call. Returns 0: it is in use; else err says why it is refused. */
	int (*on_generation)(void *user, const struct fl_ctl_generation *generation,
			     struct fl_err *err);
	/* The agent has refused a candidate, or that is over. The text is valid during the call. */
	void (*on_note)(void *user, const struct fl_ctl_note *note);
};

struct fl_agent_link;

/* Begins to connect to `[agent] socket`, at once. All arguments are borrowed until the link has been closed and the loop has turned.
 * Only a process that runs as `[agent] uid`, or as our own user, in a directory that is closed to others, is taken for the agent:
 * nothing is said to any other, and nothing taken from it. */
struct fl_agent_link *fl_agent_link_open(struct fl_net *net, const struct fl_conf *conf,
					 struct fl_log *log,
					 const struct fl_agent_link_events *events, void *user);

/* Frees later, on the loop; no event comes any more. */
void fl_agent_link_close(struct fl_agent_link *link);

bool fl_agent_link_connected(const struct fl_agent_link *link);

/* Finds the user whom the last agent that was reached runs as. False: none was. */
bool fl_agent_link_uid(const struct fl_agent_link *link, uid_t *ret);

/* Is the agent connected, but its heartbeats are missing? */
bool fl_agent_link_hung(const struct fl_agent_link *link);

/* Returns for how many seconds a connected agent has said nothing; 0: none is connected. */
uint64_t fl_agent_link_silence(const struct fl_agent_link *link);

/* Returns one sentence that says why there is no agent now, or none that works; "": there is one. Valid until the loop turns. */
const char *fl_agent_link_trouble(const struct fl_agent_link *link);

#endif
