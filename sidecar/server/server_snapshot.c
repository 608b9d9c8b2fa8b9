/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether the sidecar can carry traffic, and the snapshot of it that report/ renders. Nothing here
 * changes the server, and only lack of memory makes a function fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/server_internal.h"

#define SILENCE_S 10u

/* --- readiness --------------------------------------------------------------------------------- */

bool fl_server_all_serving(const struct fl_server *server)
{
	for (unsigned i = 0; i < server->worker_count; i++) {
		if (!fl_worker_serving(server->workers[i])) {
			return false;
		}
	}
	return true;
}

/* The state of one listener: open if at least one worker has it open, because the kernel then
 * delivers all connections there. */
static enum fl_endpoint_state endpoint_state(const struct fl_server *server, size_t number)
{
	enum fl_endpoint_state state = FL_ENDPOINT_CLOSED;

	for (unsigned i = 0; i < server->worker_count && state != FL_ENDPOINT_OPEN; i++) {
		state = fl_worker_endpoint_state(server->workers[i], number);
	}
	return state;
}

/* Returns a listener that should be open and is not; NULL: all are open. */
static const struct fl_endpoint *failed_endpoint(const struct fl_server *server)
{
	const struct fl_listeners *listeners = &server->workers[0]->listeners;

	for (size_t i = 0; i < listeners->count; i++) {
		if (endpoint_state(server, i) == FL_ENDPOINT_FAILED) {
			return &listeners->items[i].endpoint;
		}
	}
	return NULL;
}

/* The worst of all workers: some of the new connections come to that one. */
static enum fl_sign_state sign_state(const struct fl_server *server)
{
	enum fl_sign_state worst = FL_SIGN_STATE_UP;

	if (server->current == NULL || server->current->conf->tls.key_in_sidecar) {
		return FL_SIGN_STATE_OFF;
	}
	for (unsigned i = 0; i < server->worker_count && worst != FL_SIGN_STATE_DOWN; i++) {
		enum fl_sign_state state = fl_worker_sign_state(server->workers[i]);

		worst = state != FL_SIGN_STATE_UP ? state : worst;
	}
	/* Workers notice only when they ask. */
	return fl_agent_link_hung(server->agent) ? FL_SIGN_STATE_DOWN : worst;
}

/* Can handshakes be signed? */
static bool can_sign(const struct fl_server *server, char *reason, size_t size)
{
	enum fl_sign_state state = sign_state(server);

	if (state == FL_SIGN_STATE_DOWN) {
		(void)snprintf(
			reason, size,
			"signature_unavailable: fairlead-agent, which has our private key, does not answer, so "
			"full handshakes fail: is it running?");
	} else if (state == FL_SIGN_STATE_DIALING) {
		(void)snprintf(reason, size,
			       "the workers are connecting to the agent, which signs");
	}
	return reason[0] == '\0';
}

bool fl_server_ready(struct fl_server *server, char *reason, size_t size)
{
	const struct fl_rotations *rotations = &server->rotations;
	const struct fl_endpoint *failed;
	const char *name;

	reason[0] = '\0';
	if (server->phase == DRAINING || server->phase == STOPPED) {
		(void)snprintf(reason, size, "draining: the sidecar stops");
	} else if (server->current == NULL && rotations->by_sidecar.current) {
		(void)snprintf(reason, size, "no usable generation: %s",
			       rotations->by_sidecar.text);
	} else if (server->current == NULL && rotations->by_agent.current) {
		(void)snprintf(reason, size, "no usable generation: %s", rotations->by_agent.text);
	} else if (server->current == NULL) {
		const char *trouble = fl_agent_link_trouble(server->agent);

		(void)snprintf(
			reason, size, "no generation yet: %s",
			trouble[0] != '\0' ? trouble
			: fl_agent_link_silence(server->agent) > SILENCE_S
				? "the agent is connected and sends nothing: is it "
				  "stopped, or of an older release?"
				: "the agent has not sent one; its log says what it waits for");
	} else if (!fl_expiries_usable(&server->current->expiries, (int64_t)time(NULL), reason,
				       size) ||
		   (fl_server_all_serving(server) && !can_sign(server, reason, size))) {
		return false;
	} else if (!fl_server_all_serving(server)) {
		(void)snprintf(reason, size, "the workers are opening their listeners");
	} else if ((name = fl_resolver_first_round(server->resolver)) != NULL) {
		(void)snprintf(reason, size, "%s has not been answered yet by DNS", name);
	} else if ((failed = failed_endpoint(server)) != NULL) {
		(void)snprintf(
			reason, size,
			"[%s %s] does not listen: the log says why; then restart the sidecar",
			fl_endpoint_section(failed), failed->name);
	} else {
		return fl_capture_usable(fl_capture_probe_state(server->capture),
					 server->current->conf->agent.sidecar_uid, reason, size);
	}
	return reason[0] == '\0';
}

/* --- the parts of the snapshot
 * ---------------------------------------------------------------------- */

/* Finds where a fixed listener leads according to the INI in force. False: that INI no longer has
 * this listener. */
static bool find_addresses(const struct fl_conf *conf, const struct fl_endpoint *endpoint,
			   struct fl_listening *ret)
{
	const struct fl_conf_service *service = NULL;
	const struct fl_conf_upstream *upstream = NULL;

	if (endpoint->direction == FL_INBOUND) {
		service = fl_conf_find_service(conf, endpoint->name);
	} else {
		upstream = fl_conf_find_upstream(conf, endpoint->name);
	}
	if (service != NULL && service->listen.kind != FL_ADDR_NONE) {
		ret->leads_to = &service->app;
		ret->leads_to_count = 1;
		return true;
	}
	if (upstream != NULL && upstream->listen.kind != FL_ADDR_NONE) {
		ret->leads_to = upstream->to;
		ret->leads_to_count = upstream->to_count;
		return true;
	}
	return false;
}

/* Leaves out a listener whose address family the machine does not support. */
static bool snapshot_listeners(const struct fl_server *server, struct fl_snapshot *ret)
{
	const struct fl_listeners *bound = &server->workers[0]->listeners;
	const struct fl_conf *conf = fl_server_conf(server);

	ret->listeners = calloc(bound->count + 1, sizeof(*ret->listeners));
	if (ret->listeners == NULL) {
		return false;
	}
	for (size_t i = 0; i < bound->count; i++) {
		const struct fl_endpoint *endpoint = &bound->items[i].endpoint;
		enum fl_endpoint_state state = endpoint_state(server, i);
		struct fl_listening item = {.section = fl_endpoint_section(endpoint),
					    .name = endpoint->name,
					    .address = bound->items[i].address};

		if (state != FL_ENDPOINT_ABSENT) {
			item.serving =
				(endpoint->captures || find_addresses(conf, endpoint, &item)) &&
				state == FL_ENDPOINT_OPEN;
			ret->listeners[ret->listener_count++] = item;
		}
	}
	return true;
}

/* The number of names in `to` of all upstreams. */
static size_t count_names(const struct fl_conf *conf)
{
	size_t count = 0;

	for (size_t i = 0; i < conf->upstream_count; i++) {
		count += conf->upstreams[i].to_count + conf->upstreams[i].dest_count;
	}
	return count;
}

static void add_names(const struct fl_server *server, size_t upstream, struct fl_snapshot *ret,
		      size_t *used, struct fl_section_state *state)
{
	struct fl_resolution *names = &ret->resolutions[*used];

	state->names = names;
	while (fl_resolver_describe(server->resolver, upstream, state->name_count, ret->now,
				    &names[state->name_count])) {
		state->name_count++;
	}
	*used += state->name_count;
}

/* before: what the section had at the start; NULL: there was none. */
static bool waits_for_restart(const struct fl_addr *wanted, const struct fl_addr *before)
{
	char one[FL_ADDR_TEXT], other[FL_ADDR_TEXT];

	return wanted->kind != FL_ADDR_NONE &&
	       (before == NULL ||
		strcmp(fl_addr_format(wanted, one), fl_addr_format(before, other)) != 0);
}

static void note_waiting(const struct fl_server *server, struct fl_section_state *state)
{
	if (server->restart_keys == NULL) {
		return;
	}
	if (state->service != NULL) {
		const struct fl_conf_service *before =
			fl_conf_find_service(server->conf, state->service->name);

		state->waits_for_restart = waits_for_restart(
			&state->service->listen, before != NULL ? &before->listen : NULL);
	} else if (state->upstream != NULL && state->upstream->name != NULL) {
		const struct fl_conf_upstream *before =
			fl_conf_find_upstream(server->conf, state->upstream->name);

		state->waits_for_restart = waits_for_restart(
			&state->upstream->listen, before != NULL ? &before->listen : NULL);
	}
}

/* [inbound] and [outbound] are left out where no captured traffic can arrive. */
static bool snapshot_sections(const struct fl_server *server, struct fl_snapshot *ret)
{
	const struct fl_section_set *set = server->sections;
	const struct fl_conf *conf = ret->conf;
	size_t used = 0;

	if (set == NULL) {
		return true;
	}
	ret->sections = calloc(fl_section_count(set), sizeof(*ret->sections));
	ret->resolutions = calloc(count_names(conf) + 1, sizeof(*ret->resolutions));
	if (ret->sections == NULL || ret->resolutions == NULL) {
		return false;
	}
	for (size_t i = 0; i < fl_section_count(set); i++) {
		struct fl_section_state *state = &ret->sections[ret->section_count];
		size_t upstream = i - conf->service_count - 1;

		*state = (struct fl_section_state){0};
		if (i < conf->service_count) {
			state->service = &conf->services[i];
		} else if (i == conf->service_count) {
			ret->section_count -= conf->sidecar.inbound_count == 0;
		} else if (upstream < conf->upstream_count) {
			state->upstream = &conf->upstreams[upstream];
			add_names(server, upstream, ret, &used, state);
		} else {
			state->upstream = &conf->outbound;
			ret->section_count -= conf->sidecar.outbound_count == 0;
		}
		note_waiting(server, state);
		fl_section_sum(set->items[i], &state->sum);
		ret->section_count++;
	}
	return true;
}

/* Sorts peers with the most open connections first, because readers look for what is active now. */
static int compare_peers(const void *left, const void *right)
{
	const struct fl_peer_sum *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (a->open != b->open) {
		return a->open < b->open ? 1 : -1;
	}
	return order != 0 ? order : (int)a->direction - (int)b->direction;
}

bool fl_server_snapshot(struct fl_server *server, struct fl_snapshot *ret)
{
	const struct fl_generation *now = server->current;

	*ret = (struct fl_snapshot){
		.now = (int64_t)time(NULL),
		.started = server->started_at,
		.pid = getpid(),
		.workers = server->worker_count,
		.generation = now != NULL ? now->number : 0,
		.digest = now != NULL ? now->digest : NULL,
		.expiries = now != NULL ? &now->expiries : NULL,
		.rollover = now != NULL ? now->rollover : (struct fl_rollover){.removed = false},
		.rotations = &server->rotations,
		.restart_keys = server->restart_keys,
		.conf = now != NULL ? now->conf : NULL,
		.plaintext = server->plaintext,
		.dns_refused = fl_resolver_refused(server->resolver),
		.agent_connected = fl_agent_link_connected(server->agent),
		.agent_hung = fl_agent_link_hung(server->agent),
		.signing_down = sign_state(server) == FL_SIGN_STATE_DOWN,
		.key_in_sidecar = now != NULL && now->conf->tls.key_in_sidecar,
		.agent_silence = fl_agent_link_silence(server->agent),
		.agent_trouble = fl_agent_link_trouble(server->agent),
		.capture = fl_capture_probe_state(server->capture),
		.log_lines_lost = fl_log_lost(server->log),
		.sandbox = server->sandbox,
	};
	fl_usage_read(&server->usage_files, &ret->usage);
	ret->decisions = fl_rule_totals_sum(&server->rule_totals, &ret->decision_count);
	ret->ready = fl_server_ready(server, ret->reason, sizeof(ret->reason));
	for (unsigned i = 0; i < server->worker_count; i++) {
		const struct fl_worker *worker = server->workers[i];

		fl_counters_add(&ret->counters, &worker->loop.counters);
		fl_port_counts_add(&ret->detect_timeouts, &worker->loop.detect_timeouts);
		fl_judged_add(&ret->judged, &worker->review.judge.last);
		ret->log_lines_lost += fl_log_lost(&worker->loop.log);
		for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
			ret->open[d] += fl_worker_open(worker, d);
			ret->idle_sessions[d] += fl_worker_idle_sessions(worker, d);
		}
	}
	ret->peers_size = fl_peer_counts_size(server->peer_counts);
	if (!snapshot_listeners(server, ret) || !snapshot_sections(server, ret)) {
		fl_snapshot_done(ret);
		return false;
	}
	ret->peers = fl_peer_counts_sums(server->peer_counts, &ret->peer_count);
	if (ret->peers == NULL) {
		fl_snapshot_done(ret);
		return false;
	}
	ret->peers_of = server->peer_counts;
	qsort(ret->peers, ret->peer_count, sizeof(*ret->peers), compare_peers);
	return true;
}
