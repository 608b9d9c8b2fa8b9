/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_AGENT_LINK_H
#define FL_SERVER_AGENT_LINK_H
/* agent_link - the sidecar's end of the channel to its agent: connects, says what it has, takes generations, and
 * connects again with back-off whatever happens. Losing the agent never disturbs traffic, nor does one that hangs: that is
 * logged, and told. Main loop. */
#include "base/log.h"
#include "conf/conf.h"
#include "ctl/message.h"
#include "net/sock.h"

struct fl_agent_link_events {
	/* What we serve now, for HELLO. */
	void (*describe)(void *user, struct fl_ctl_hello *hello);
	/* A generation has come; spans are valid during the call. 0: in use; else err says why it is refused. */
	int (*on_generation)(void *user, const struct fl_ctl_generation *generation,
			     struct fl_err *err);
	/* A candidate was refused before it got here, or that is over; text is valid during the call. */
	void (*on_note)(void *user, const struct fl_ctl_note *note);
};

struct fl_agent_link;

/* conf, log, events, user: borrowed. Connecting starts at once, to `[agent] socket`. Who listens there is the agent only if it
 * runs as `[agent] uid`, or as our own, and the directory is closed to others: else nothing is said to it and nothing
 * taken. */
struct fl_agent_link *fl_agent_link_open(struct fl_net *net, const struct fl_conf *conf,
					 struct fl_log *log,
					 const struct fl_agent_link_events *events, void *user);
bool fl_agent_link_connected(const struct fl_agent_link *link);
/* Whom the last agent that we reached runs as; false: there was none. */
bool fl_agent_link_uid(const struct fl_agent_link *link, uid_t *ret);
/* Is it connected and says nothing any more, although it had begun to say every few seconds that it is alive? */
bool fl_agent_link_hung(const struct fl_agent_link *link);
/* For how long what is connected has said nothing, in seconds; 0 where nothing is. */
uint64_t fl_agent_link_silence(const struct fl_agent_link *link);
/* Why there is no agent at the moment, or none that works, one sentence; "" when there is one. */
const char *fl_agent_link_trouble(const struct fl_agent_link *link);
/* Frees later, on the loop. */
void fl_agent_link_close(struct fl_agent_link *link);

#endif
