/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_HEART_H
#define FL_TEST_HEART_H
/* heart - a worker without its thread, whose loop the test runs; the test plays the app, the peers, the main thread and the
 * clock.
 *
 *   struct heart heart;
 *   struct call call;                                 (call.h)
 *
 *   heart_open(&heart, NULL);
 *   call_open(&heart, &call, CALL_IN_TLS);             a peer has come, the app has been dialled, the relay is open
 *   side_say(&call.mesh, "question");
 *   HEART_UNTIL(&heart, side_has(&call.app, "question"));
 *   call_close(&call);
 *   heart_close(&heart);                               nothing is left, or the test fails
 *
 * Sockets are real, on loopback. A turn handles all events so far; between two turns nothing happens. Faults (faults.h)
 * occur only inside turns. Time passes by heart_skip_ms(). */
#include <criterion/criterion.h>

#include "clock.h"
#include "faults.h"
#include "side.h"
#include "worker/mailbox.h"
#include "worker/worker.h"

/* Where connections arrive, in the order of the worker's endpoints. */
enum heart_door {
	DOOR_CAPTURE_IN, /* [sidecar] inbound; their original destination: heart_pretend_destination() */
	DOOR_CAPTURE_OUT, /* [sidecar] outbound */
	DOOR_STRICT,      /* [service web]: mutual TLS */
	DOOR_PERMISSIVE,  /* [service open]: either */
	DOOR_PLAIN_IN,    /* [service clear]: plaintext */
	DOOR_MTLS_OUT,    /* [upstream api] */
	DOOR_PLAIN_OUT,   /* [upstream db] */
	DOORS
};

/* The test's own listening sockets. */
enum heart_place {
	PLACE_APP,   /* the app of all services */
	PLACE_MESH,  /* the destination of both upstreams */
	PLACE_OTHER, /* a destination for captured connections; no section names it */
	PLACES
};

struct heart_options {
	const char *rules; /* INI; NULL: all of prod.example, and plaintext, are admitted */
	const char *extra; /* INI, appended. NULL: none */
	const char *tls;   /* lines of [tls]; NULL: none */
	const char
		*agent; /* path of the agent's socket: it has the key. NULL: the sidecar has it */
	/* Lines of a section besides `listen`, instead of its default lines. */
	const char *web;    /* app = 127.0.0.1:(PLACE_APP) */
	const char *clear;  /* the same, and mode = plaintext */
	const char *api;    /* to = 127.0.0.1:(PLACE_MESH), peer = (the ID of p256) */
	const char *db;     /* the same `to`, and mode = plaintext */
	const char *access; /* [log] access; NULL: all */
	const char *own;    /* of tests/lib/pki.py: our certificate and key; NULL: p256-twin */
	const char *bundle; /* of tests/lib/pki.py: roots, separated by '+'; NULL: root */
	const char *crl;    /* of tests/lib/pki.py: CRLs; NULL: none */
	/* The map for captured connections, with upstreams in the order of the INI (api, db, and those of extra); taken
	 * over. NULL: an empty map, so that all belong to [outbound]. */
	struct fl_upstream_map *map;
	bool lacks_api_and_web; /* the INI has lost these two sections */
	/* For heart_open() only. */
	bool is_closed; /* no generation yet: heart_take() brings it */
	bool has_thread; /* the worker runs on its own thread, as in production; turns only pump the sides */
	const struct fl_conntrack *conntrack; /* NULL: none */
};

struct heart_ctx;

struct heart {
	struct fl_worker *worker;
	struct fl_loop *loop;             /* the worker's */
	uv_loop_t main_loop;              /* of the main thread */
	struct fl_mailbox main;           /* mail from the worker */
	unsigned idle;                    /* how often the worker reported that nothing is open */
	unsigned wanted[64];              /* how often it asked for each name */
	struct fl_generation *generation; /* the newest */
	struct fl_peer_counts *peers;
	struct fl_plaintext_counts *plaintext;
	struct fl_section_set *sections; /* of the newest share; a reference */
	bool has_thread;
	bool spares_calls; /* the test sets it: no faults occur in turns */
	bool framed; /* the test sets it, before the first one: its own engines know FL_ALPN_FRAMED too */
	struct fl_log log;
	int log_fd;     /* a file in memory */
	char *log_text; /* heart_log() */
	uint16_t ports[DOORS];
	int held[DOORS]; /* keep the ports reserved */
	int places[PLACES];
	uint16_t place_ports[PLACES];
	struct heart_ctx *contexts; /* of the test's own engines */
	struct {
		const char *upstream;
		enum heart_place place;
	} pointed[4]; /* private to targets.c */
	size_t pointed_count;
	struct side *sides[32]; /* sides that a turn pumps */
	size_t side_count;
};

/* options NULL: the defaults. */
void heart_open(struct heart *heart, const struct heart_options *options);
/* Ends open connections and the worker. */
void heart_close(struct heart *heart);

/* A new generation comes into force. */
void heart_take(struct heart *heart, const struct heart_options *options);
/* Builds a candidate from the same options: one reference. */
struct fl_share *heart_candidate(struct heart *heart, const struct heart_options *options);

/* One turn: every side sends and reads, and the loop handles all events. */
void heart_turn(struct heart *heart);
/* Runs a few dozen turns, until nothing happens any more. For checking that an event does not occur. */
void heart_settle(struct heart *heart);
/* Skips this much time, in steps that timers can keep up with. */
void heart_skip_ms(struct heart *heart, uint64_t ms);

/* Runs turns until the condition holds. The test fails after ten seconds. */
#define HEART_UNTIL(heart, condition)                                                              \
	do {                                                                                       \
		uint64_t until_ = clock_real_ms() + 10000;                                         \
		for (unsigned turns_ = 1; !(condition); turns_++) {                                \
			cr_assert_lt(clock_real_ms(), until_, "in vain: %s\n%s", #condition,       \
				     heart_log(heart));                                            \
			heart_turn(heart);                                                         \
			heart_rest(turns_);                                                        \
		}                                                                                  \
	} while (0)
void heart_rest(unsigned turns); /* after many turns: yields the processor */

/* What the log says so far. Until the next call. */
const char *heart_log(struct heart *heart);
/* Does a log line contain this text now? */
bool heart_logged(struct heart *heart, const char *text);
/* How many connections of a direction have ended for that reason. */
uint64_t heart_ended(const struct heart *heart, enum fl_direction direction, enum fl_reason reason);
unsigned heart_open_connections(const struct heart *heart);
/* The only open stream, session or stranger, as /connections lists it; fails the test unless there is exactly one. */
const char *heart_state(struct heart *heart);

/* --- sides ------------------------------------------------------------------------------------------ */

/* Connects to a door; from now on turns pump it. */
void heart_connect(struct heart *heart, struct side *side, enum heart_door door);
/* Accepts a connection at a place that was dialled. */
void heart_accept(struct heart *heart, struct side *side, enum heart_place place);
void heart_speak_tls(struct heart *heart, struct side *side, enum fl_tls_role role,
		     const char *own);
/* The same without the ClientHello, which side_speak_tls() sends. */
void heart_make_engine(struct heart *heart, struct side *side, enum fl_tls_role role,
		       const char *own);
/* With other application protocols than ours, separated by commas; NULL: none. */
void heart_speak_tls_with(struct heart *heart, struct side *side, enum fl_tls_role role,
			  const char *own, const char *protocols);
void heart_watch(struct heart *heart, struct side *side);  /* turns pump it from now on */
void heart_forget(struct heart *heart, struct side *side); /* turns do not pump it any more */

/* Accepts all waiting connections, and drops them. */
void heart_empty_queues(struct heart *heart);
/* The queue of a place is full from now on: SYNs get no answer. */
#define HEART_FILL 8
void heart_fill_queue(struct heart *heart, enum heart_place place, struct side fill[HEART_FILL]);
void heart_drop_fill(struct side fill[HEART_FILL]);

/* From now on this is the original destination of captured connections; NULL: the kernel's again. */
void heart_pretend_destination(const struct sockaddr *to);
/* 127.0.0.1 with that port. */
struct sockaddr_in heart_loopback(uint16_t port);
/* Sets the addresses of [upstream NAME] from now on: one of the test's places, or none (PLACES). upstream: borrowed. */
void heart_point(struct heart *heart, const char *upstream, enum heart_place place);
/* The same from the next heart_take() on. Until then: PLACE_MESH. */
void heart_will_point(struct heart *heart, const char *upstream, enum heart_place place);
/* Returns what goes to the worker with a share: one reference. */
struct fl_target_set *heart_targets(const struct heart *heart, const struct fl_conf *conf);

#endif
