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

/* main: prepares everything but starts no thread. */
struct fl_worker *fl_worker_new(const struct fl_worker_options *options);
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

#endif
