/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_LOOP_H
#define FL_CONN_LOOP_H
/* loop - everything that the connections of one thread share.
 *
 * A worker has one and drives it; a test makes one on a uv loop of its own. Nothing here is shared with another thread
 * except what is marked as read by any thread. A connection reaches the modules above it (judging, DNS, listeners) through
 * struct fl_loop_hooks.
 *
 *   fl_loop_init() -> fl_loop_set_limits(), fl_loop_take_share() -> fl_loop_run(), within which fl_loop_close() is called
 *   -> fl_loop_done() */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/log.h"
#include "conf/conf.h"
#include "conn/crowd.h"
#include "conn/deadline.h"
#include "conn/log_ration.h"
#include "conn/pool.h"
#include "conn/quota.h"
#include "conn/resume_map.h"
#include "conn/signing.h"
#include "conn/slots.h"
#include "count/callers.h"
#include "count/counters.h"
#include "count/denials.h"
#include "count/peer_counts.h"
#include "generation/generation.h"
#include "net/sock.h"

#define FL_DIAL_CHECKS 8u /* checks of an address that is being dialled, in one connect_timeout */

struct fl_naming_waiter;
struct fl_session;
struct fl_stream;
struct fl_stranger;

/* Calls from connections to the modules above them. All run on the loop's thread. A hook that is NULL does nothing. */
struct fl_loop_hooks {
	void *user;
	/* fl_loop_open() has changed. */
	void (*on_open_changed)(void *user);
	/* net.keep_s has changed: listeners must adopt it. */
	void (*on_keep_changed)(void *user);
	/* A connection waits for DNS to answer about the name with that number in the current map of upstreams. */
	void (*want_name)(void *user, size_t name);
	/* A stream's mesh side is ready. Is the stream still allowed under the current generation? False: the hook has
	 * ended it. NULL: it is allowed. */
	bool (*admit_stream)(void *user, struct fl_stream *stream);
	/* A stream's relay begins. */
	void (*on_relay)(void *user, struct fl_stream *stream);
	/* At the end of a turn: handshakes wait for signatures that were not asked for yet (signing.h). */
	void (*ask_signatures)(void *user);
};

/* The limits for the connections of this loop. */
struct fl_loop_maxima {
	unsigned strangers;   /* parts of the crowd (crowd.h) */
	unsigned handshakes;  /* in each direction */
	unsigned connections; /* admitted ones */
	unsigned farewells;   /* closed, and lingering */
	unsigned sessions;    /* idle ones, in each direction */
};

/* A port that this process listens on: a connection to it would come back to us forever. */
struct fl_own_port {
	uint16_t port;
	bool is_for_app; /* outbound: we dial its connections onward */
};

/* Lanes of one direction (slots.h). */
struct fl_loop_lanes {
	uint32_t count; /* at least 1 */
	bool is_shared;
};

struct fl_loop_options {
	const struct fl_conf *conf; /* for the call */
	const struct fl_log *log;   /* for the call: lines go to the same descriptor */
	struct fl_loop_hooks hooks;
	struct fl_loop_lanes lanes[FL_DIRECTIONS];
	struct fl_own_port *own_ports; /* from malloc(), taken over; NULL: none */
	size_t own_port_count;
	struct fl_peer_counts *peers;         /* borrowed; locks for itself */
	unsigned number;                      /* of the worker, from 0: its column in peers */
	unsigned workers;                     /* how many there are; 0: one */
	size_t callers_max;                   /* entries of `callers` */
	const struct fl_conntrack *conntrack; /* borrowed; NULL: none */
};

/* Memory that callbacks further up the stack may still read: freed when the loop's turn is over. */
struct fl_corpse {
	struct fl_corpse *next;
};

/* Inbound connections whose kind is not known yet (stranger.h). */
struct fl_strangers {
	struct fl_crowd crowd;
	struct fl_stranger *all;
	struct fl_deadline_queue hello; /* how long a ClientHello may take */
	uv_timer_t pace;                /* runs while some wait for a slot */
	bool making_room;
};

/* Sessions without a connection (parking.h). */
#define FL_PARKING_REST_MS 60000u  /* a server waits so long for the next OPEN */
#define FL_PARKING_RETIRE_MS 5000u /* and so long for the client to close */
#define FL_PARKING_ANSWER_MS 100u  /* STATUS waits so long for bytes of the app */
struct fl_parking {
	struct fl_pool pool;   /* client */
	struct fl_quota quota; /* server: of those that rest or retire */
	struct fl_deadline_queue resting, retiring, answering;
	struct fl_deadline_queue opening; /* STATUS is due although the app has not answered */
	unsigned going; /* stale sessions that a server retires in each step; 0: there are none */
	uv_timer_t clock;
	uint64_t wake_ms;             /* when it is due; UINT64_MAX: never */
	unsigned idle[FL_DIRECTIONS]; /* atomic; read by any thread */
	bool is_closed;
};

struct fl_loop {
	uv_loop_t *uv; /* borrowed */
	struct fl_net net;
	struct fl_loop_hooks hooks;
	bool draining; /* no session is idle any more: it ends after its use */
	bool stopping; /* shutting down: no orderly ends, and no slots for waiting connections */

	/* The log. */
	struct fl_log log;
	enum fl_log_access access;
	bool logs_open; /* connections, or those of a service, are logged while they are open */
	struct fl_log_ration log_ration;
	uv_timer_t trouble; /* logs failures of sections that were left out (trouble.h) */

	/* Buffers of one callback: they never hold anything across turns. */
	struct {
		uint8_t *sealed; /* ciphertext on its way out */
		size_t sealed_cap;
		uint8_t *opened; /* plaintext on its way out; with room around it (net.h) */
		size_t opened_cap;
	} scratch;

	/* What is in force. */
	struct fl_share *share;       /* current; NULL before the first generation */
	struct fl_resume_map resumes; /* captured outbound: sessions under its trust */

	/* Time. */
	uint32_t idle_timeout_ms; /* 0: never */
	uint32_t peer_timeout_ms;
	struct fl_deadline_queue connecting, dialing, handshaking, young, idle, unanswered;
	const struct fl_conntrack *conntrack; /* of all loops; NULL: none */
	uint64_t conntrack_read_ms;           /* 0: never */

	/* Limits. */
	struct fl_quota quota;    /* the admitted connections of [limits] connections */
	uint64_t limit_logged_ms; /* when the log last said that there is no room; 0: never */
	/* Sessions that dial or shake hands. Each direction has its own slots, so that stalling peers and unresponsive
	 * upstreams do not block the other direction. */
	struct fl_slots slots[FL_DIRECTIONS];
	struct fl_signing_queue signing; /* handshakes that wait for our signature */
	bool serving,
		serve_again; /* re-entrancy guard: slots are being given away; a slot was freed meanwhile */

	struct fl_parking parking;
	uint64_t random; /* for fl_loop_draw() */

	/* Open connections: utlist doubly linked. */
	struct fl_strangers strangers;
	struct fl_session *sessions;
	struct fl_stream *streams;
	struct fl_naming_waiter *unnamed; /* streams that wait for DNS */
	uint32_t
		walk; /* number of the last walk over all streams (judge/walk.h): it skips streams that begin later */
	struct fl_corpse *corpses;
	struct fl_own_port *own_ports; /* owned */
	size_t own_port_count;

	/* Counters. */
	struct fl_counters counters; /* read by any thread */
	struct fl_port_counts
		detect_timeouts; /* read by any thread: clients admitted because they were silent */
	struct fl_callers callers; /* of inbound connections */
	struct fl_denials denials;
	/* Refused before policy was asked. A table of their own: anybody may cause such entries. */
	struct fl_callers unproven;
	struct fl_peer_counts *peers;
	unsigned number, workers;
	unsigned open[FL_DIRECTIONS]; /* atomic; read by any thread */
};

/* uv: a loop that does not run yet. */
void fl_loop_init(struct fl_loop *loop, uv_loop_t *uv, const struct fl_loop_options *options);
/* Closes its own handles; the uv loop has to run once more. No connection may be open (connections.h). */
void fl_loop_close(struct fl_loop *loop);
/* Call after fl_loop_close(): frees what the loop owns. */
void fl_loop_done(struct fl_loop *loop);
/* Calls fl_net_run(), and does what is due at the end of each turn. Errors: a negative errno, before anything ran. */
int fl_loop_run(struct fl_loop *loop) FL_MUST_USE;
/* For a uv loop that is run in another way. Call when all callbacks of a turn have returned. Frees corpses and flushes the
 * log. */
void fl_loop_end_turn(struct fl_loop *loop);

/* Applies [limits] and [log] of that INI from now on, except the log's level. */
void fl_loop_set_limits(struct fl_loop *loop, const struct fl_conf *conf,
			const struct fl_loop_maxima *maxima);
/* Makes share the current one and takes the reference over. True: saved TLS sessions of servers stay valid. False: those of
 * captured destinations have been discarded here, and the caller must flush those of its endpoints. */
bool fl_loop_take_share(struct fl_loop *loop, struct fl_share *share);

/* Frees memory whose first member corpse is, when the turn is over. */
void fl_loop_bury(struct fl_loop *loop, struct fl_corpse *corpse);
/* Gives free slots to connections that wait for one. A connection that gets a slot may call this again. */
void fl_loop_serve_waiting(struct fl_loop *loop);
/* Sets net.keep_s to the interval that conntrack now requires. Reads the files once a second at most. */
void fl_loop_check_conntrack(struct fl_loop *loop);

/* A connection has been opened, or closed: for conn.c only. */
void fl_loop_opened(struct fl_loop *loop, enum fl_direction direction);
void fl_loop_closed(struct fl_loop *loop, enum fl_direction direction);
/* A session without a connection is gone. */
void fl_loop_session_gone(struct fl_loop *loop);
/* Random; spreads, and hides nothing. */
uint32_t fl_loop_draw(struct fl_loop *loop);
/* Idle sessions. Any thread. */
unsigned fl_loop_idle_sessions(const struct fl_loop *loop, enum fl_direction direction);
/* Is nothing open, not even a session without a connection? Any thread. */
bool fl_loop_is_empty(const struct fl_loop *loop);
unsigned fl_loop_open(const struct fl_loop *loop, enum fl_direction direction); /* any thread */
unsigned fl_loop_open_connections(const struct fl_loop *loop);                  /* any thread */

/* Does that address belong to a listener of this process? for_app: only to a listener whose connections we dial onward. */
bool fl_loop_is_own(const struct fl_loop *loop, const struct fl_inet *to, bool for_app);

#endif
