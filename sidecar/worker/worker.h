/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WORKER_H
#define FL_WORKER_WORKER_H
/* worker - one thread with one loop, its own listening sockets, buffers, log and share of the generation.
 *
 * No data on the data path is shared with another thread. Threads communicate through mailboxes
 * only (mailbox.h): the worker's and the main thread's. The code in conn/ and judge/ runs on the
 * worker's own thread. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "conn/listing.h"
#include "conn/loop.h"
#include "generation/targets.h"
#include "judge/review.h"
#include "worker/listeners.h"
#include "worker/mailbox.h"
#include "worker/sign_link.h"
#include "worker/trim.h"
#include "worker/wanted_names.h"

/* What a worker reports to the main thread, which runs these callbacks; user: the reader of its
 * mailbox. */
struct fl_worker_events {
	void (*on_idle)(void *user); /* the worker drains, and nothing is open any more */
	/* Connections wait for the DNS answer for one name or several of the newest map
	 * (wanted_names.h). */
	void (*on_name_wanted)(void *user, size_t name);
};

struct fl_worker {
	uv_thread_t thread;
	uv_loop_t uv;
	struct fl_mailbox mailbox; /* of this thread */
	struct fl_mailbox *main;   /* of the main thread; letters there run events */
	const struct fl_worker_events *events;
	struct fl_mail idle_mail; /* drained */
	struct fl_wanted_names wanted_names;

	struct fl_loop loop; /* what its connections use */
	struct fl_listeners listeners;
	struct fl_review review; /* the main thread reads its counts */
	struct fl_trim trim;
	struct fl_sign_link sign_link;
	unsigned worker_count; /* the limits are divided among this many workers */
	bool log_level_is_set; /* set by mail: overrides the level of a share */
	bool is_answered; /* DNS has answered; waiting connections have not been checked since */
	bool is_started;  /* for the main thread: the thread is not joined yet */
	bool draining;
	bool serving; /* listeners are open under a generation; atomic: read by the main thread */
};

struct fl_worker_options {
	const struct fl_conf *conf; /* for the call */
	/* read during the call; the worker's log writes to the same descriptor */
	const struct fl_log *log;
	unsigned number; /* from 0 on */
	unsigned worker_count;
	struct fl_listeners listeners; /* the worker takes ownership, including the descriptors */
	struct fl_mailbox
		*main; /* the main thread's; borrowed while the worker exists, like all below */
	const struct fl_worker_events *events;
	struct fl_peer_counts *peers;         /* the table in which it counts peers */
	const struct fl_conntrack *conntrack; /* time-outs of captured connections */
};

/* --- main thread ------------------------------------------------------------------------------- */

/* Prepares everything, but starts no thread. Ends with fl_worker_free(). */
struct fl_worker *fl_worker_new(const struct fl_worker_options *options);
/* Errors: FL_ERR_IO if no thread can be created. */
int fl_worker_start(struct fl_worker *worker, struct fl_err *err) FL_MUST_USE;

/* Makes a share current, together with the addresses of its fixed upstreams: between two letters the
 * worker may accept connections, and must not send them to an address of one INI in the mode of
 * another. So whatever a generation changes at a worker belongs into this letter. The first share
 * opens the listeners. Takes ownership of share and a reference to targets. */
void fl_worker_post_share(struct fl_worker *worker, struct fl_share *share,
			  struct fl_target_set *targets);
/* Sets the addresses of a fixed upstream of the share that was posted last. Takes a reference to
 * targets. */
void fl_worker_post_targets(struct fl_worker *worker, const char *upstream,
			    struct fl_targets *targets);
/* Sets the map of the share that was posted last. Takes a reference to map. */
void fl_worker_post_upstream_map(struct fl_worker *worker, struct fl_upstream_map *map);
/* A name was answered, or its question failed. Post it after the map and the targets that result
 * from it. */
void fl_worker_post_answer(struct fl_worker *worker);
/* is_set: this level overrides the INI from now on; otherwise it holds until the next share. False:
 * out of memory, and nothing changes. */
bool fl_worker_post_log_level(struct fl_worker *worker, enum fl_log_level level, bool is_set);
/* The worker accepts no more connections; events->on_idle runs when nothing is open. */
void fl_worker_post_drain(struct fl_worker *worker);
/* The worker cuts open connections, and its thread ends. Nothing may be posted after that. */
void fl_worker_post_stop(struct fl_worker *worker);

/* Waits for the thread to end, after fl_worker_post_stop(). Does not free the worker: its letters
 * may still be linked in the main thread's mailbox. */
void fl_worker_join(struct fl_worker *worker);
/* Frees a worker that was joined or never started. Requires that all workers have been joined and
 * that the main thread's mailbox is closed. */
void fl_worker_free(struct fl_worker *worker);

/* --- any thread -------------------------------------------------------------------------------- */

/* Returns how many connections are open: opened by peers (inbound) or by the app (outbound). */
unsigned fl_worker_open(const struct fl_worker *worker, enum fl_direction direction);
/* Both directions. */
unsigned fl_worker_open_connections(const struct fl_worker *worker);
/* Is nothing open, not even a session without a connection? */
bool fl_worker_is_empty(const struct fl_worker *worker);
/* Returns how many sessions have no connection now. */
unsigned fl_worker_idle_sessions(const struct fl_worker *worker, enum fl_direction direction);
/* Are its listeners open under a generation? */
bool fl_worker_serving(const struct fl_worker *worker);
/* Does the agent sign its handshakes? */
enum fl_sign_state fl_worker_sign_state(const struct fl_worker *worker);
/* number: of the listener, in the order of options.listeners. */
enum fl_endpoint_state fl_worker_endpoint_state(const struct fl_worker *worker, size_t number);

/* --- the worker's thread ------------------------------------------------------------------------- */

/* Copies the open connections and the callers that policy refused into ret, whose `max` is set. */
void fl_worker_list(struct fl_worker *worker, struct fl_listing *ret);

#endif
