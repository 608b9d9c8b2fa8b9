/* SPDX-License-Identifier: GPL-3.0-or-later */
/* snapshot - what the server tells of itself: whether it can carry traffic, and all that report.h writes.
 *
 * Nothing here changes the server, and nothing can fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/server_internal.h"

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

bool fl_server_ready(struct fl_server *server, char *reason, size_t size)
{
	const struct fl_rotations *rotations = &server->rotations;

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
			trouble[0] != '\0'
				? trouble
				: "the agent has not sent one; its log says what it waits for");
	} else if (!fl_expiries_usable(&server->current->expiries, (int64_t)time(NULL), reason,
				       size)) {
		return false;
	} else if (!fl_server_all_serving(server)) {
		(void)snprintf(reason, size, "the workers are opening their listeners");
	} else {
		return fl_capture_usable(fl_capture_probe_state(server->capture),
					 server->current->conf->agent.sidecar_uid, reason, size);
	}
	return reason[0] == '\0';
}

/* --- what there is to tell ---------------------------------------------------------------------- */

static struct fl_listening *snapshot_captures(const char *name, const struct fl_addr *addrs,
					      size_t count, bool open, struct fl_listening *at)
{
	for (size_t i = 0; i < count; i++) {
		*at++ = (struct fl_listening){
			.section = "sidecar", .name = name, .address = &addrs[i], .serving = open};
	}
	return at;
}

static struct fl_listening *snapshot_services(const struct fl_server *server, bool open,
					      struct fl_listening *at)
{
	for (size_t i = 0; i < server->conf->service_count; i++) {
		const struct fl_conf_service *service = &server->conf->services[i];

		if (service->listen.kind == FL_ADDR_NONE) {
			continue;
		}
		*at = (struct fl_listening){
			.section = "service", .name = service->name, .address = &service->listen};
		if (server->current != NULL) {
			service = fl_generation_service(server->current, service->name);
		}
		if (service != NULL && service->listen.kind != FL_ADDR_NONE) {
			at->leads_to = &service->app;
			at->leads_to_count = 1;
			at->serving = open;
		}
		at++;
	}
	return at;
}

static struct fl_listening *snapshot_upstreams(const struct fl_server *server, bool open,
					       struct fl_listening *at)
{
	for (size_t i = 0; i < server->conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &server->conf->upstreams[i];

		if (upstream->listen.kind == FL_ADDR_NONE) {
			continue;
		}
		*at = (struct fl_listening){.section = "upstream",
					    .name = upstream->name,
					    .address = &upstream->listen};
		if (server->current != NULL) {
			upstream = fl_generation_upstream(server->current, upstream->name);
		}
		if (upstream != NULL && upstream->listen.kind != FL_ADDR_NONE) {
			at->leads_to = upstream->to;
			at->leads_to_count = upstream->to_count;
			at->serving = open;
		}
		at++;
	}
	return at;
}

static void snapshot_listeners(const struct fl_server *server, struct fl_snapshot *ret)
{
	const struct fl_conf *conf = server->conf;
	bool open = server->phase == SERVING && fl_server_all_serving(server);
	struct fl_listening *at;

	ret->listeners = fl_new((fl_bind_count(conf) + 1) * sizeof(*at));
	at = snapshot_captures("inbound", conf->sidecar.inbound, conf->sidecar.inbound_count, open,
			       ret->listeners);
	at = snapshot_captures("outbound", conf->sidecar.outbound, conf->sidecar.outbound_count,
			       open, at);
	at = snapshot_services(server, open, at);
	at = snapshot_upstreams(server, open, at);
	ret->listener_count = (size_t)(at - ret->listeners);
}

/* For who reads: what goes on now comes first. */
static int compare_peers(const void *left, const void *right)
{
	const struct fl_peer_sum *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (a->open != b->open) {
		return a->open < b->open ? 1 : -1;
	}
	return order != 0 ? order : (int)a->direction - (int)b->direction;
}

void fl_server_snapshot(struct fl_server *server, struct fl_snapshot *ret)
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
		.plain = server->plain,
		.agent_connected = fl_agent_link_connected(server->agent),
		.agent_trouble = fl_agent_link_trouble(server->agent),
		.capture = fl_capture_probe_state(server->capture),
		.log_lines_lost = fl_log_lost(server->log),
	};
	ret->decisions = fl_tallies_sum(&server->tallies, &ret->decision_count);
	ret->ready = fl_server_ready(server, ret->reason, sizeof(ret->reason));
	for (unsigned i = 0; i < server->worker_count; i++) {
		const struct fl_worker *worker = server->workers[i];

		fl_counters_add(&ret->counters, &worker->counters);
		fl_port_counts_add(&ret->detect_timeouts, &worker->detect_timeouts);
		fl_judged_add(&ret->judged, &worker->judge.last);
		ret->log_lines_lost += fl_log_lost(&worker->log);
		for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
			ret->open[d] += fl_worker_open(worker, d);
		}
	}
	snapshot_listeners(server, ret);
	ret->peers_of = server->peers;
	ret->peers = fl_peers_sums(server->peers, &ret->peer_count);
	qsort(ret->peers, ret->peer_count, sizeof(*ret->peers), compare_peers);
	ret->peers_size = fl_peers_size(server->peers);
}
