/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_AGENT_LINK_H
#define FL_SERVER_AGENT_LINK_H
/* agent_link - the sidecar's end of the channel to its agent. It connects, tells the agent which
 * generation is in use, receives new ones, and reconnects with back-off after every failure. The
 * loss of the agent never disturbs traffic. Neither does an agent that hangs; that is logged and
 * reported. Thread: main. */
#include "base/log.h"
#include "conf/conf.h"
#include "ctl/message.h"
#include "net/sock.h"

struct fl_agent_link_events {
	/* Fills in what is in use now, for HELLO. */
	void (*describe)(void *user, struct fl_ctl_hello *hello);
	/* A generation has arrived; its spans are valid during the call. Returns 0 if it is in use
	 * now, perhaps since before; otherwise err says why it was refused. FL_ERR_NOMEM: it was not
	 * judged, and the link asks for it again. */
	int (*on_generation)(void *user, const struct fl_ctl_generation *generation,
			     struct fl_err *err);
	/* The agent has refused a candidate, or withdraws an earlier refusal. The text is valid
	 * during the call. */
	void (*on_note)(void *user, const struct fl_ctl_note *note);
};

struct fl_agent_link;

/* Starts connecting to `[agent] socket` immediately. All arguments are borrowed until the link has
 * been closed and the loop has turned. The agent must run as `[agent] uid`, or as our own user with
 * the socket in a directory that is closed to others. Nothing is sent to any other process, and
 * nothing is accepted from it. */
struct fl_agent_link *fl_agent_link_open(struct fl_net *net, const struct fl_conf *conf,
					 struct fl_log *log,
					 const struct fl_agent_link_events *events, void *user);

/* Frees later, on the loop; no further event is reported. */
void fl_agent_link_close(struct fl_agent_link *link);

bool fl_agent_link_connected(const struct fl_agent_link *link);

/* Is the agent connected, but its heartbeats are missing? */
bool fl_agent_link_hung(const struct fl_agent_link *link);

/* Returns the seconds since the connected agent's last message; 0: no agent is connected. */
uint64_t fl_agent_link_silence(const struct fl_agent_link *link);

/* Returns one sentence that says why there is no working agent now; "": there is one. Valid until
 * the loop turns. */
const char *fl_agent_link_trouble(const struct fl_agent_link *link);

#endif
