/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which peers depend on which root.
 *
 * A peer depends on a root if its chain verifies when that root is the only root of its trust
 * domain. So each root gets its own context, and the code that judges handshakes judges each chain
 * in it. This also distinguishes roots with equal names. */
#include "report/preview_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/when.h"
#include "report/callers_report.h"
#include "report/connections.h"
#include "report/report.h"

#define ROOTS_MAX 64u /* of all bundles together; one bit for each root */
#define KEY_ID_LEN 20u

/* --- which peers depend on which root
 * ------------------------------------------------------------------ */

struct root {
	size_t bundle, index;
	uint64_t peers, connections, only_peers, only_connections;
	bool own, only_own; /* our own chain */
};

struct roots {
	const struct fl_generation *generation;
	struct root items[ROOTS_MAX];
	size_t count;
	bool incomplete; /* there are more */
};

/* A chain that several workers have is listed once. */
struct standing {
	struct fl_tls_peer *peer; /* borrowed */
	uint64_t connections;
	uint64_t on; /* bit set: the roots that it chains to */
};

struct standings {
	struct standing *items;
	size_t count;
	uint64_t left_out;
};

static void collect_roots(struct roots *roots, const struct fl_generation *generation)
{
	const struct fl_credentials *credentials = generation->credentials;

	roots->generation = generation;
	for (size_t i = 0; i < credentials->bundle_count; i++) {
		for (size_t k = 0; k < credentials->bundles[i].roots.count; k++) {
			if (roots->count == ROOTS_MAX) {
				roots->incomplete = true;
				return;
			}
			roots->items[roots->count++] = (struct root){.bundle = i, .index = k};
		}
	}
}

static int by_peer(const void *a, const void *b)
{
	const struct fl_tls_peer *p = ((const struct standing *)a)->peer;
	const struct fl_tls_peer *q = ((const struct standing *)b)->peer;

	return p < q ? -1 : p > q;
}

static void merge(struct standings *standings)
{
	size_t kept = 0;

	qsort(standings->items, standings->count, sizeof(*standings->items), by_peer);
	for (size_t i = 0; i < standings->count; i++) {
		if (kept > 0 && standings->items[kept - 1].peer == standings->items[i].peer) {
			standings->items[kept - 1].connections += standings->items[i].connections;
		} else {
			standings->items[kept++] = standings->items[i];
		}
	}
	standings->count = kept;
	if (standings->count > FL_PREVIEW_PEERS) {
		standings->left_out += standings->count - FL_PREVIEW_PEERS;
		standings->count = FL_PREVIEW_PEERS;
	}
}

static void collect_peers(struct standings *standings, const struct fl_preview *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct fl_peer_count *peer = parts[i].peers;

		standings->left_out += parts[i].peers_left_out;
		for (; peer != NULL; peer = peer->hh.next) {
			struct standing *grown =
				realloc(standings->items, (standings->count + 1) * sizeof(*grown));

			if (grown == NULL) {
				standings->left_out++;
				continue;
			}
			standings->items = grown;
			standings->items[standings->count++] = (struct standing){
				.peer = peer->peer, .connections = peer->connections};
		}
	}
	if (standings->count > 0) {
		merge(standings);
	}
}

/* Judges each chain in a context in which its domain has only this root. */
static int judge_on_root(const struct roots *roots, size_t index, struct standings *standings,
			 bool *ret_own, struct fl_err *err)
{
	const struct root *root = &roots->items[index];
	const struct fl_credentials *all = roots->generation->credentials;
	struct fl_bundle bundle = all->bundles[root->bundle];
	struct fl_credentials one = *all;
	struct fl_tls_options options = fl_generation_tls_options(roots->generation);
	struct fl_tls_ctx *ctx;
	int rc;

	bundle.roots.items = &all->bundles[root->bundle].roots.items[root->index];
	bundle.roots.count = 1;
	bundle.anchors = (struct fl_anchors){0};
	fl_bundle_index(&bundle);
	one.bundles = &bundle;
	one.bundle_count = 1;
	one.crl_count = 0; /* a revoked peer still depends on its root */
	options.ticket_keys = NULL;
	options.epoch = 0;
	rc = fl_tls_ctx_new(&one, &options, FL_TLS_SERVER, &ctx, err);
	if (rc != 0) {
		fl_anchors_done(&bundle.anchors);
		return rc;
	}
	for (size_t i = 0; i < standings->count && rc == 0; i++) {
		enum fl_rule rule = FL_RULE_NONE;

		rc = fl_tls_peer_judge(ctx, standings->items[i].peer, &rule, err);
		if (rc == 0 && rule == FL_RULE_NONE) {
			standings->items[i].on |= UINT64_C(1) << index;
		}
	}
	fl_tls_ctx_free(ctx);
	/* Only a chain that its root verifies passes the trial. */
	*ret_own = root->bundle == 0 && fl_tls_trial(&one, &options, NULL) == 0;
	fl_anchors_done(&bundle.anchors);
	return rc;
}

static void add_standing(struct roots *roots, const struct standing *standing)
{
	for (size_t i = 0; i < roots->count; i++) {
		struct root *root = &roots->items[i];

		if ((standing->on >> i & 1) == 0) {
			continue;
		}
		root->peers++;
		root->connections += standing->connections;
		if (standing->on == UINT64_C(1) << i) {
			root->only_peers++;
			root->only_connections += standing->connections;
		}
	}
}

static int find_standings(struct roots *roots, struct standings *standings, struct fl_err *err)
{
	size_t own_roots = 0;
	int rc = 0;

	for (size_t i = 0; i < roots->count && rc == 0; i++) {
		rc = judge_on_root(roots, i, standings, &roots->items[i].own, err);
		own_roots += roots->items[i].own ? 1 : 0;
	}
	for (size_t i = 0; i < roots->count; i++) {
		roots->items[i].only_own = roots->items[i].own && own_roots == 1;
	}
	for (size_t i = 0; i < standings->count; i++) {
		add_standing(roots, &standings->items[i]);
	}
	return rc;
}

/* --- writing -------------------------------------------------------------------------------------- */

static void put_answer(struct fl_json *json, const struct root *root, bool complete)
{
	char because[160];

	if (root->only_own) {
		(void)snprintf(because, sizeof(because),
			       "our own certificate chains to it and to no other root of ours");
	} else if (root->only_peers > 0) {
		(void)snprintf(because, sizeof(because),
			       "%llu open connections of %llu certificates chain to it and to "
			       "no other root of that trust domain",
			       (unsigned long long)root->only_connections,
			       (unsigned long long)root->only_peers);
	} else if (!complete) {
		(void)snprintf(because, sizeof(because),
			       "there are more peers or roots than preview examines");
	} else if (root->peers > 0) {
		(void)snprintf(because, sizeof(because),
			       "all %llu open connections that chain to it chain to another "
			       "root as well",
			       (unsigned long long)root->connections);
	} else {
		(void)snprintf(because, sizeof(because),
			       "no open connection chains to it; peers that are not connected "
			       "just now may");
	}
	fl_json_str(json, "safe_to_remove",
		    root->only_own || root->only_peers > 0 ? "no"
		    : complete                             ? "yes"
							   : "unknown");
	fl_json_str(json, "because", because);
}

static void put_key_id(struct fl_json *json, const struct fl_der *der)
{
	char text[FL_HEX_TEXT(KEY_ID_LEN)];
	uint8_t id[KEY_ID_LEN];

	if (fl_svid_key_id((struct fl_span){der->data, der->len}, id, NULL) != 0) {
		return;
	}
	fl_json_str(json, "key_id", fl_hex(id, sizeof(id), text));
}

static void put_roots(struct fl_json *json, const struct roots *roots,
		      const struct standings *standings)
{
	const struct fl_credentials *credentials = roots->generation->credentials;
	bool complete = !roots->incomplete && standings->left_out == 0;

	fl_json_array(json, "roots");
	for (size_t i = 0; i < roots->count; i++) {
		const struct root *root = &roots->items[i];
		const struct fl_bundle *bundle = &credentials->bundles[root->bundle];

		fl_json_object(json, NULL);
		fl_json_str(json, "trust_domain", bundle->trust_domain);
		fl_json_u64(json, "index", root->index + 1);
		put_key_id(json, &bundle->roots.items[root->index]);
		fl_json_u64(json, "peers", root->peers);
		fl_json_u64(json, "connections", root->connections);
		fl_json_u64(json, "only_peers", root->only_peers);
		fl_json_u64(json, "only_connections", root->only_connections);
		fl_json_bool(json, "own", root->own);
		put_answer(json, root, complete);
		fl_json_end(json);
	}
	fl_json_end(json);
	fl_json_u64(json, "peers_left_out", standings->left_out);
}

static void put_doomed(struct fl_json *json, const struct fl_doomed *doomed, uint64_t now_ns)
{
	fl_json_object(json, NULL);
	fl_listed_put(json, &doomed->connection, now_ns);
	fl_json_str(json, "reason", fl_reason_word(fl_loss_reason(doomed->loss)));
	fl_json_str(json, "detail", doomed->detail);
	fl_json_end(json);
}

static void put_connections(struct fl_json *json, const struct fl_preview *parts, size_t count,
			    uint64_t now_ns)
{
	uint64_t open = 0, judged = 0, closing = 0, listed = 0;
	uint64_t closes[FL_LOSSES] = {0}, keeps[FL_LOSSES] = {0};

	for (size_t i = 0; i < count; i++) {
		open += parts[i].open;
		judged += parts[i].judged;
		listed += parts[i].doomed_count;
		for (unsigned k = 0; k < FL_LOSSES; k++) {
			closes[k] += parts[i].closes[k];
			closing += parts[i].closes[k];
			keeps[k] += parts[i].keeps[k];
		}
	}
	fl_json_u64(json, "open", open);
	fl_json_u64(json, "judged", judged);
	fl_report_losses(json, "closes", closes);
	fl_report_losses(json, "keeps", keeps);
	fl_json_array(json, "connections");
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < parts[i].doomed_count; k++) {
			put_doomed(json, &parts[i].doomed[k], now_ns);
		}
	}
	fl_json_end(json);
	fl_json_u64(json, "left_out", closing - listed);
}

/* --- callers
 * ------------------------------------------------------------------------------------- */

/* A caller under one of the two generations. */
struct called {
	struct fl_verdict verdict;
	bool is_for_mode; /* refused before policy is asked: plaintext at a strict port */
};

static bool listens_where(const struct fl_conf_service *service, const struct fl_conf_service *was)
{
	char here[FL_ADDR_TEXT], there[FL_ADDR_TEXT];

	return service->port == was->port &&
	       (service->listen.kind == FL_ADDR_ANY || fl_addr_is_unspecified(&service->listen) ||
		strcmp(fl_addr_format(&service->listen, here),
		       fl_addr_format(&was->listen, there)) == 0);
}

/* The service that takes over the address of one whose name is no longer in use. Services may share a port on different
 * addresses. */
static const struct fl_conf_service *successor_of(const struct fl_conf_service *was,
						  const struct fl_conf *conf)
{
	for (size_t i = 0; i < conf->service_count; i++) {
		if (listens_where(&conf->services[i], was)) {
			return &conf->services[i];
		}
	}
	return NULL;
}

/* The service under conf that the caller would reach. known_by: the INI in use, which gave the service its name. */
static const struct fl_conf_service *
service_of(const struct fl_caller *item, const struct fl_conf *known_by, const struct fl_conf *conf)
{
	const struct fl_conf_service *service = NULL, *was = NULL;

	if (item->service != NULL) {
		service = fl_conf_find_service(conf, item->service);
		was = fl_conf_find_service(known_by, item->service);
	}
	if (service != NULL && service->port == item->port) {
		return service;
	}
	service = fl_conf_find_port(conf, item->port, true);
	if (service == NULL && was != NULL && was->listen.kind != FL_ADDR_NONE) {
		return successor_of(was, conf);
	}
	return service != NULL ? service : fl_conf_find_port(conf, item->port, false);
}

/* The verdict about a caller. Where nothing listens, nobody gets in. A strict port refuses plaintext, whatever the rules say;
 * on a plaintext port nobody has an identity; elsewhere a certificate that was refused stays refused, because its chain is
 * not known here. */
static struct called call(const struct fl_caller *item, const struct fl_conf *known_by,
			  const struct fl_conf *conf)
{
	const struct fl_conf_service *service = service_of(item, known_by, conf);
	enum fl_inbound_mode mode = service != NULL ? service->inbound.mode : conf->inbound.mode;
	const char *id = mode != FL_INBOUND_PLAINTEXT ? item->peer : NULL;
	union fl_sockaddr source;
	struct fl_request request = {
		.id = id,
		.id_len = id != NULL ? strlen(id) : 0,
		.port = item->port,
		.service = service != NULL ? service->name : NULL,
	};
	struct called called = {.verdict.effect = FL_DENY};

	if (item->source.family != 0) {
		source = fl_inet_sockaddr(&item->source);
		request.source = &source.any;
	}
	if (service == NULL && conf->sidecar.inbound_count == 0) {
		return called;
	}
	called.is_for_mode = id == NULL && mode == FL_INBOUND_STRICT;
	if (!called.is_for_mode && (id == NULL || item->reason == FL_REASON_DONE)) {
		called.verdict = fl_policy_decide(conf->policy, &request);
	}
	return called;
}

static void put_seen_item(struct fl_json *json, const struct fl_caller *item,
			  const struct called *called)
{
	char when[FL_WHEN_TEXT];

	fl_json_object(json, NULL);
	fl_json_str(json, "peer", item->peer);
	fl_report_source(json, &item->source);
	fl_json_u64(json, "port", item->port);
	fl_json_str(json, "service", item->service);
	fl_json_str(json, "rule", called->verdict.rule);
	fl_json_bool(json, "strict", called->is_for_mode);
	fl_json_str(json, "last", fl_when_format(item->last, when));
	fl_json_end(json);
}

/* Lists the callers that the two policies decide differently and for which the candidate decides as
 * given. */
static void put_callers(struct fl_json *json, const char *name, const struct fl_callers *seen,
			const struct fl_generation *current, const struct fl_generation *candidate,
			enum fl_effect effect)
{
	fl_json_array(json, name);
	for (size_t i = 0; i < seen->count; i++) {
		const struct fl_caller *item = &seen->items[i];
		struct called called = call(item, current->conf, candidate->conf);

		if (called.verdict.effect == effect &&
		    call(item, current->conf, current->conf).verdict.effect != effect) {
			put_seen_item(json, item, &called);
		}
	}
	fl_json_end(json);
}

static void put_changes(struct fl_json *json, const struct fl_generation *current,
			const struct fl_generation *candidate, const struct fl_preview *parts,
			size_t count)
{
	struct fl_callers all = {.max = FL_CALLERS_MAX};

	for (size_t i = 0; i < count; i++) {
		fl_callers_add(&all, &parts[i].callers);
	}
	put_callers(json, "newly_let_in", &all, current, candidate, FL_ALLOW);
	put_callers(json, "newly_refused", &all, current, candidate, FL_DENY);
	fl_callers_done(&all);
}

int fl_report_preview(const struct fl_generation *current, const struct fl_generation *candidate,
		      const struct fl_preview *parts, size_t count, struct fl_text *ret,
		      struct fl_err *err)
{
	struct standings standings = {0};
	struct roots roots = {0};
	struct fl_json json;
	int rc;

	collect_roots(&roots, current);
	collect_peers(&standings, parts, count);
	rc = find_standings(&roots, &standings, err);
	if (rc == 0) {
		fl_json_init(&json, ret);
		fl_json_object(&json, NULL);
		fl_json_u64(&json, "generation", current->number);
		put_connections(&json, parts, count, uv_hrtime());
		put_changes(&json, current, candidate, parts, count);
		put_roots(&json, &roots, &standings);
		fl_json_end(&json);
	}
	free(standings.items);
	return rc;
}
