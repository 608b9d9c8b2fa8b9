/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_SERVER_INTERNAL_H
#define FL_SERVER_SERVER_INTERNAL_H
/* The state of the server, shared by server.c and the server_*.c files beside it. Private to them.
 * Thread: main. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "count/history.h"
#include "judge/preview.h"
#include "server/agent_link.h"
#include "server/ask_all.h"
#include "server/capture_probe.h"
#include "server/resolver.h"
#include "server/server.h"
#include "worker/bind.h"
#include "worker/worker.h"

enum fl_phase { STARTING, SERVING, DRAINING, STOPPED };

struct fl_server {
	const struct fl_conf *conf; /* the INI at startup: listeners, workers, paths */
	struct fl_log *log;
	uv_loop_t loop;
	struct fl_net net;
	enum fl_phase phase;
	struct fl_worker **workers;
	struct fl_made_path *made; /* sockets to remove at the end */
	unsigned worker_count;
	unsigned started;              /* workers with a running thread */
	struct fl_generation *current; /* NULL before the first */
	char *restart_keys; /* settings in force that wait for a restart of us; owned; NULL: none */
	struct fl_rotations rotations;
	struct fl_rule_totals rule_totals;
	bool has_served;      /* could carry traffic, so a sidecar before this one is replaced */
	bool refusal_is_over; /* of a candidate: the agent has taken it back */
	uint8_t refused[FL_DIGEST_LEN]; /* the generation that rotations.by_sidecar is about */
	struct fl_usage_files usage_files;
	const struct fl_sandbox *sandbox;
	int64_t started_at;    /* seconds since the epoch */
	bool log_level_is_set; /* set by fl_server_set_log_level(), which overrides the INI */
	struct fl_agent_link *agent;
	struct fl_resolver *resolver;
	struct fl_plaintext_counts *plaintext; /* the plaintext counts of all workers */
	struct fl_section_set *sections; /* of the INI in force; a reference; NULL: none yet */
	struct fl_conntrack conntrack;
	struct fl_peer_counts *peer_counts; /* the counts of each peer */
	struct fl_capture_probe *capture;
	struct fl_mailbox mailbox;        /* of the main thread */
	struct fl_mailbox **worker_boxes; /* one for each worker */
	struct fl_listings {
		struct fl_ask_all ask;
		struct fl_listing *parts; /* one for each worker; NULL: no question is open */
		bool is_ready;            /* all have answered */
	} listings;
	void (*on_listed)(void *user);
	void *on_listed_user;
	struct fl_previewing {
		struct fl_ask_all ask;
		const void *asker;        /* who gets the answer; an address, never dereferenced */
		struct fl_preview *parts; /* one for each worker; NULL: nothing is under way */
		unsigned part_count;
		struct fl_generation *current, *candidate; /* references */
		bool is_done;
		unsigned status;
		struct fl_text body;
		uint64_t number; /* of the last one */
	} previewing;
	struct fl_history history; /* for the page */
	uv_timer_t history_timer;
	uv_timer_t drain_timer;
	uv_timer_t until_ready; /* runs until who waits for it has been told that we are ready */
	void (*on_ready)(void *user);
	void *on_ready_user;
	struct fl_inherited *inherited; /* borrowed until the listeners are bound */
	bool replaces;                  /* another sidecar */
	bool is_replaced;               /* by another one, which has the service now */
	uv_prepare_t turn_over;         /* before the loop may sleep */
	uv_signal_t sigterm, sigint;
	void (*on_stop)(void *user);
	void *on_stop_user;
};

/* The callbacks of server_generations.c for the resolver and the agent; user: the server. */
extern const struct fl_resolver_events fl_server_resolver_events;
extern const struct fl_agent_link_events fl_server_agent_events;

/* Raises the limit to as many descriptors as conf may need, if the system allows. */
void fl_server_raise_descriptor_limit(struct fl_server *server, const struct fl_conf *conf);
/* Have all workers opened their listeners? */
bool fl_server_all_serving(const struct fl_server *server);
/* Checks that there is memory for a whole generation, which consists of many allocations. Errors:
 * FL_ERR_NOMEM. */
int fl_server_has_memory(const struct fl_server *server, const struct fl_ctl_generation *message,
			 struct fl_err *err) FL_MUST_USE;
int fl_server_make_shares(struct fl_server *server, struct fl_generation *generation,
			  struct fl_rule_counts *rule_counts, struct fl_share **shares,
			  struct fl_err *err) FL_MUST_USE;
/* Begins the history. It goes on until history_timer is closed. */
void fl_server_history_start(struct fl_server *server);
/* Adds to it what has happened up to now. */
void fl_server_history_note(struct fl_server *server);
/* Calls on_listed: a requested document is available now. */
void fl_server_answer_listed(struct fl_server *server);
/* Call it when the workers have ended or all have answered. Does nothing if no question is open. */
void fl_server_drop_listings(struct fl_server *server);
void fl_server_drop_preview(struct fl_server *server);

#endif
