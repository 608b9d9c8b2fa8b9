/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WORKER_H
#define FL_WORKER_WORKER_H
/* worker - one thread with one loop, its own listening sockets, buffers, log and share of the generation.
 *
 * Nothing on the data path is shared with another thread. The one door between threads are mailboxes (mailbox.h): the
 * worker's, and the main thread's. Functions marked `main` are called on the main thread; everything else
 * in conn/, judge/ and worker/ runs on the worker's own loop. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/log.h"
#include "base/ration.h"
#include "conf/conf.h"
#include "conn/crowd.h"
#include "conn/deadline.h"
#include "conn/listing.h"
#include "conn/naming.h"
#include "conn/quota.h"
#include "conn/resume.h"
#include "conn/resume_map.h"
#include "conn/slots.h"
#include "count/callers.h"
#include "count/counters.h"
#include "count/peer_counts.h"
#include "generation/generation.h"
#include "generation/targets.h"
#include "judge/judge.h"
#include "judge/recycle.h"
#include "judge/walk.h"
#include "net/sock.h"
#include "worker/mailbox.h"
#include "worker/trim.h"
#include "worker/wanted_names.h"

enum fl_endpoint_state {
	FL_ENDPOINT_CLOSED, /* there is no generation yet, or no more connections are taken */
	FL_ENDPOINT_OPEN,
	FL_ENDPOINT_FAILED, /* it could not be opened; the log says why */
	FL_ENDPOINT_ABSENT, /* of a family that this machine has not got */
};

/* A listener of the INI, on one worker: a fixed one, which leads to its section's addresses, or one where captured
 * connections arrive, each with a destination of its own. */
struct fl_endpoint {
	struct fl_worker *worker;
	enum fl_direction direction;
	char *name;    /* of its [service] or [upstream]; captures: "inbound" or "outbound" */
	uint16_t port; /* that it listens on; 0 for Unix */
	bool is_unix;
	bool captures;
	bool tproxy;     /* captures: the local address is the destination */
	int fd;          /* bound; -1 once the listener has taken it, or without IPv6 */
	int reserved_fd; /* of the first worker: keeps others out until we listen; -1: none */
	struct fl_listener *listener;
	uint8_t state; /* enum fl_endpoint_state; atomic: read by the main thread */
	const struct fl_conf_service *service;   /* in the current generation; NULL: gone */
	const struct fl_conf_upstream *upstream; /* likewise */
	struct fl_targets *targets; /* outbound; NULL until the resolver has said something */
	struct fl_resume resume; /* fixed outbound: sessions under the trust of the current share */
};

#define FL_DIAL_LOOKS 8u /* at an address that is dialled, in one connect_timeout */

/* A port that we listen on. */
struct fl_own_port {
	uint16_t port;
	bool is_for_app; /* outbound: what comes there goes out again */
};

/* "service", "upstream" or "sidecar": where its name stands in the INI. */
const char *fl_endpoint_section(const struct fl_endpoint *endpoint);

/* Where its connections stand among the places for handshakes; captured outbound ones go by their destination instead. */
uint32_t fl_worker_lane(const struct fl_endpoint *endpoint);

/* Memory that callbacks further up the stack may still look at: freed when the loop's turn is over. */
struct fl_corpse {
	struct fl_corpse *next;
};

/* Inbound connections of which nothing is known yet (stranger.h). */
struct fl_strangers {
	struct fl_crowd crowd;
	struct fl_stranger *all;
	struct fl_deadline_queue hello; /* how long a ClientHello may take */
	uv_timer_t pace;                /* runs while somebody waits for a place */
	bool making_room;
};

struct fl_preview;

/* What a worker tells the main thread, which runs these; user: the reader of its mailbox. */
struct fl_worker_events {
	void (*on_idle)(void *user); /* it drains, and nothing is open */
	/* Connections wait for DNS: of a name of the newest map, or more of them (wanted_names.h). */
	void (*on_name_wanted)(void *user, size_t name);
};

struct fl_worker {
	uv_thread_t thread;
	uv_loop_t loop;
	struct fl_mailbox mailbox; /* of this thread */
	struct fl_mailbox *main;   /* of the main thread; what comes there runs events */
	const struct fl_worker_events *events;
	struct fl_mail idle_mail; /* drained */
	struct fl_wanted_names wanted_names;
	void (*want)(void *user,
		     size_t name); /* a name of the newest map, which DNS is asked for */
	void *want_user;

	struct fl_net net;
	struct fl_log log;
	enum fl_log_access access;
	bool log_level_is_set;   /* by mail: that of a share counts for nothing */
	struct fl_ration ration; /* of lines about strangers */
	uv_timer_t ration_timer;
	/* Scratch of one callback: never holds anything across turns. */
	uint8_t *sealed; /* ciphertext on its way out */
	size_t sealed_cap;
	uint8_t *opened; /* plaintext on its way out */
	size_t opened_cap;

	struct fl_share *share;       /* current; NULL before the first generation */
	struct fl_resume_map resumes; /* captured outbound: sessions under its trust */
	struct fl_endpoint *endpoints;
	size_t endpoint_count;
	struct fl_own_port *own_ports; /* admin included */
	size_t own_port_count;
	struct fl_quota quota; /* of [limits] connections: those that are let in */
	struct fl_deadline_queue connecting, dialing, handshaking, idle, unanswered;
	struct fl_walk walk;
	struct fl_judge judge; /* its counts are read by the main thread */
	struct fl_recycle recycle;
	uv_timer_t tell;
	struct fl_trim trim;
	struct fl_preview *preview;  /* under way; NULL: there is none */
	struct fl_session *sessions; /* all of them: utlist doubly linked */
	struct fl_stream *streams;
	struct fl_naming_waiter *unnamed; /* streams that wait for DNS */
	bool is_answered;                 /* DNS has, and they have not been looked at since */
	struct fl_strangers strangers;
	/* Sessions that dial or shake hands. Each direction has its own, so that neither peers who stall nor upstreams that do not
	 * answer stop the other one. */
	struct fl_slots places[FL_DIRECTIONS];
	/* Places are given away just now; another one is free since. */
	bool settling, settled_again;
	bool draining, stopping;
	uint32_t idle_timeout_ms; /* 0: never */
	uint32_t peer_timeout_ms;
	const struct fl_conntrack *conntrack; /* of all workers; NULL: none */
	uint64_t kept_ms;                     /* when it was asked last; 0: never */
	struct fl_corpse *corpses;
	struct fl_callers seen;       /* of inbound connections */
	struct fl_counters counters;  /* read by the main thread */
	struct fl_peer_counts *peers; /* likewise; of all workers, locks for itself */
	unsigned number;              /* from 0 on */
	unsigned worker_count;        /* among whom the limits are parted */
	struct fl_port_counts
		detect_timeouts; /* likewise: clients let in because they were silent */
	uint64_t refused_at_ms;  /* last time the connection limit was logged */

	/* Read by the main thread (atomic, relaxed). */
	unsigned open[FL_DIRECTIONS]; /* connections that peers opened inbound and apps outbound */
	bool serving;                 /* listeners are open under a generation */
};

/* main: prepares everything but starts no thread. endpoints (and their fds) are taken over; conf and log are read now
 * only: the worker's log goes to the same descriptor. main: the main thread's mailbox, borrowed until the worker has gone, as
 * events is. */
struct fl_worker *fl_worker_new(const struct fl_conf *conf, unsigned worker_count,
				const struct fl_log *log, struct fl_endpoint *endpoints,
				size_t endpoint_count, struct fl_mailbox *main,
				const struct fl_worker_events *events);
/* main: before it starts: where it counts its peers (borrowed), as the worker of that number */
void fl_worker_count_peers(struct fl_worker *worker, struct fl_peer_counts *peers, unsigned number);
/* main: likewise: whose time-outs captured connections have (borrowed) */
void fl_worker_mind_conntrack(struct fl_worker *worker, const struct fl_conntrack *conntrack);
/* main */
int fl_worker_start(struct fl_worker *worker, struct fl_err *err) FL_MUST_USE;
void fl_worker_post_share(struct fl_worker *worker,
			  struct fl_share *share); /* main; takes share over */
void fl_worker_post_targets(struct fl_worker *worker, const char *upstream,
			    struct fl_targets *targets); /* main; takes a reference */
/* main: is_set: whatever the INI says from now on; else until the next share. False: no memory */
bool fl_worker_post_log_level(struct fl_worker *worker, enum fl_log_level level, bool is_set);
/* main: for the share that was posted last; takes a reference */
void fl_worker_post_upstream_map(struct fl_worker *worker, struct fl_upstream_map *map);
/* main: a name was answered, or was not; after the targets and the map that follow from it */
void fl_worker_post_answer(struct fl_worker *worker);
/* main: stop accepting; events->on_idle when nothing is open */
void fl_worker_post_drain(struct fl_worker *worker);
void fl_worker_post_stop(struct fl_worker *worker); /* main: cut what is open and end the thread */
void fl_worker_join(struct fl_worker *worker);      /* main: after stop; frees */
void fl_worker_discard(struct fl_worker *worker);   /* main: frees one that was never started */
unsigned fl_worker_open(const struct fl_worker *worker,
			enum fl_direction direction);                /* any thread */
unsigned fl_worker_open_connections(const struct fl_worker *worker); /* any thread */
bool fl_worker_serving(const struct fl_worker *worker);              /* any thread */
/* Of the endpoint of that number, in the order of fl_worker_new(); any thread. */
enum fl_endpoint_state fl_worker_endpoint_state(const struct fl_worker *worker, size_t number);

/* The worker's thread: all that is open, into ret. */
void fl_worker_list(struct fl_worker *worker, struct fl_listing *ret);

/* --- for session and stream, on the loop ------------------------------------------------------- */

void fl_worker_bury(struct fl_worker *worker, struct fl_corpse *corpse);
/* A session has ended its handshake, or itself: serves who had to wait. */
void fl_worker_session_settled(struct fl_worker *worker);
/* A connection has been made, or one side of it has finished: net.keep_s becomes what conntrack asks for now. Files are read once a second. */
void fl_worker_mind_time_outs(struct fl_worker *worker);
/* A connection has come, or gone: for conn.c alone. */
void fl_worker_opened(struct fl_worker *worker, enum fl_direction direction);
void fl_worker_closed(struct fl_worker *worker, enum fl_direction direction);

#endif
