/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WORKER_H
#define FL_WORKER_WORKER_H
/* worker - one thread with one loop, its own listening sockets, buffers, log and share of the generation.
 *
 * Nothing on the data path is shared with another thread. Threads talk through mailboxes only (mailbox.h): the worker's, and
 * the main thread's. What is in conn/ and judge/ runs on a worker's own thread. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "conn/listing.h"
#include "conn/loop.h"
#include "generation/targets.h"
#include "judge/review.h"
#include "worker/listeners.h"
#include "worker/mailbox.h"
#include "worker/trim.h"
#include "worker/wanted_names.h"

/* What a worker tells the main thread, which runs these; user: the reader of its mailbox. */
struct fl_worker_events {
	void (*on_idle)(void *user); /* it drains, and nothing is open */
	/* Connections wait for DNS: of a name of the newest map, or more of them (wanted_names.h). */
	void (*on_name_wanted)(void *user, size_t name);
};

struct fl_worker {
	uv_thread_t thread;
	uv_loop_t uv;
	struct fl_mailbox mailbox; /* of this thread */
	struct fl_mailbox *main;   /* of the main thread; what comes there runs events */
	const struct fl_worker_events *events;
	struct fl_mail idle_mail; /* drained */
	struct fl_wanted_names wanted_names;

	struct fl_loop loop; /* what its connections use */
	struct fl_listeners listeners;
	struct fl_review review; /* its counts are read by the main thread */
	struct fl_trim trim;
	unsigned worker_count; /* among whom the limits are parted */
	bool log_level_is_set; /* by mail: that of a share counts for nothing */
	bool is_answered; /* DNS has, and those that wait for it have not been looked at since */
	bool is_started;  /* the main thread's: its thread is not joined yet */
	bool draining;
	bool serving; /* listeners are open under a generation; atomic: read by the main thread */
};

struct fl_worker_options {
	const struct fl_conf *conf; /* for the call */
	const struct fl_log *log;   /* for the call: the worker's log goes to the same descriptor */
	unsigned number;            /* from 0 on */
	unsigned worker_count;
	struct fl_listeners listeners; /* taken over, with their descriptors */
	struct fl_mailbox
		*main; /* the main thread's; borrowed until the worker has gone, as are all below */
	const struct fl_worker_events *events;
	struct fl_peer_counts *peers;         /* where it counts its peers */
	const struct fl_conntrack *conntrack; /* whose time-outs captured connections have */
};

/* --- main thread ------------------------------------------------------------------------------- */

/* Prepares everything, but starts no thread. Ends with fl_worker_free(). */
struct fl_worker *fl_worker_new(const struct fl_worker_options *options);
/* Errors: FL_ERR_IO, there can be no more threads. */
int fl_worker_start(struct fl_worker *worker, struct fl_err *err) FL_MUST_USE;

/* A share becomes current; the first one opens the listeners. Takes share over. */
void fl_worker_post_share(struct fl_worker *worker, struct fl_share *share);
/* The addresses of a fixed upstream are these now. Takes a reference to targets. */
void fl_worker_post_targets(struct fl_worker *worker, const char *upstream,
			    struct fl_targets *targets);
/* The map of the share that was posted last is this now. Takes a reference to map. */
void fl_worker_post_upstream_map(struct fl_worker *worker, struct fl_upstream_map *map);
/* A name was answered, or could not be; posted after the targets and the map that follow from it. */
void fl_worker_post_answer(struct fl_worker *worker);
/* is_set: this level holds whatever INIs say from now on; else until the next share. False: no memory, and nothing changes. */
bool fl_worker_post_log_level(struct fl_worker *worker, enum fl_log_level level, bool is_set);
/* It accepts no more; events->on_idle runs when nothing is open. */
void fl_worker_post_drain(struct fl_worker *worker);
/* It cuts what is open, and its thread ends. Nothing may be posted after that. */
void fl_worker_post_stop(struct fl_worker *worker);

/* Waits for the thread to end, after fl_worker_post_stop(). The worker is not freed: letters of its may still be in the main
 * thread's mailbox, where other workers link theirs behind them. */
void fl_worker_join(struct fl_worker *worker);
/* Frees one that was joined, or never started. All workers have been joined, and the main thread's mailbox is closed. */
void fl_worker_free(struct fl_worker *worker);

/* --- any thread -------------------------------------------------------------------------------- */

/* Returns how many connections are open: that peers opened (inbound), or the app (outbound). */
unsigned fl_worker_open(const struct fl_worker *worker, enum fl_direction direction);
/* Both directions. */
unsigned fl_worker_open_connections(const struct fl_worker *worker);
/* Are its listeners open under a generation? */
bool fl_worker_serving(const struct fl_worker *worker);
/* number: of the listener, in the order of options.listeners. */
enum fl_endpoint_state fl_worker_endpoint_state(const struct fl_worker *worker, size_t number);

/* --- the worker's thread ------------------------------------------------------------------------- */

/* Copies what is open, and whom policy refused, into ret, whose `max` is set. */
void fl_worker_list(struct fl_worker *worker, struct fl_listing *ret);

#endif
