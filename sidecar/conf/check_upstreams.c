/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check_upstreams - compares the settings of one [upstream], and upstreams with each other.
 *
 * If several destinations match a captured connection, the most specific one decides: an address or the longest prefix,
 * then the narrowest ports. If two upstreams are equally specific, that is an error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "conf/build.h"
#include "conf/cover.h"

/* --- one upstream -------------------------------------------------------------------------- */

/* section: "outbound" or "upstream". */
static void check_peer(struct fl_build *build, const char *section,
		       const struct fl_conf_upstream *upstream, const char *mode_key)
{
	if (upstream->mode != FL_OUTBOUND_MTLS && upstream->peer_count > 0) {
		fl_problem_error(
			build->problems, fl_build_line(build, section, upstream->name, "peer"),
			"`peer` says who may answer, but with `%s = %s` (line %u) nobody proves an identity: "
			"remove one of the two",
			mode_key, upstream->mode == FL_OUTBOUND_REFUSE ? "refuse" : "plaintext",
			fl_build_line(build, section, upstream->name, mode_key));
	}
}

static void check_fixed(struct fl_build *build, const struct fl_conf_upstream *upstream)
{
	if (upstream->mode == FL_OUTBOUND_REFUSE) {
		fl_problem_error(
			build->problems, fl_build_line(build, "upstream", upstream->name, "mode"),
			"[upstream %s] would listen only to refuse connections: remove the section, or remove `listen` to refuse "
			"captured traffic",
			upstream->name);
	}
}

static void check_captured(struct fl_build *build, const struct fl_conf_upstream *upstream)
{
	fl_conf_line line = fl_build_line(build, "upstream", upstream->name, "to");
	char net[FL_CIDR_TEXT];

	if (build->conf->sidecar.outbound_count == 0) {
		fl_problem_error(
			build->problems, upstream->line,
			"[upstream %s] has no `listen`, so it is for captured traffic, and `[sidecar] "
			"outbound` is empty (line %u): remove that line, or add for example `listen = "
			"127.0.0.1:7001` here",
			upstream->name, fl_build_line(build, "sidecar", NULL, "outbound"));
	}
	for (size_t i = 0; i < upstream->dest_count; i++) {
		if (upstream->dests[i].host == NULL &&
		    fl_cidr_is_loopback(&upstream->dests[i].net)) {
			fl_problem_warning(
				build->problems, line,
				"`to`: %s never matches, because traffic to loopback is not captured: add "
				"`listen` to accept it",
				fl_cidr_format(&upstream->dests[i].net, net));
		}
	}
}

/* --- names of plaintext upstreams ------------------------------------------------------------- */

/* A destination by name, or NULL: there is none. */
static const char *a_name_of(const struct fl_conf_upstream *upstream)
{
	for (size_t i = 0; i < upstream->to_count; i++) {
		if (upstream->to[i].kind == FL_ADDR_NAME) {
			return upstream->to[i].host;
		}
	}
	for (size_t i = 0; i < upstream->dest_count; i++) {
		if (upstream->dests[i].host != NULL) {
			return upstream->dests[i].host;
		}
	}
	return NULL;
}

/* The networks that mtls and refuse upstreams take from names of plaintext upstreams. */
static void collect_claims(const struct fl_conf *conf, struct fl_cover *claims)
{
	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &conf->upstreams[i];

		for (size_t k = 0;
		     upstream->name != NULL && upstream->mode != FL_OUTBOUND_PLAINTEXT &&
		     k < upstream->dest_count;
		     k++) {
			const struct fl_conf_dest *dest = &upstream->dests[k];

			if (dest->host == NULL) {
				fl_cover_add(claims, &dest->net, dest->ports, upstream);
			}
		}
	}
	fl_cover_sort(claims);
}

/* The names of one plaintext upstream. */
struct names {
	const struct fl_conf_upstream *upstream;
	const struct fl_cover *claims;
	const struct fl_cidr *nets; /* where their addresses may lie */
	size_t net_count;
	size_t unclaimed; /* the one of nets that was not claimed on the ports of the last name: tried first */
};

/* One of the upstreams that together claim all of the networks; NULL: one is free on these ports. */
static const struct fl_conf_upstream *claimer_of_all(struct names *names,
						     struct fl_port_range ports)
{
	const struct fl_cover_item *claim = NULL;

	for (size_t i = 0; i < names->net_count; i++) {
		size_t at = (names->unclaimed + i) % names->net_count;

		claim = fl_cover_find(names->claims, &names->nets[at], ports);
		if (claim == NULL) {
			names->unclaimed = at;
			return NULL;
		}
	}
	return claim != NULL ? claim->of : NULL;
}

static void check_claimed(struct fl_build *build, struct names *names, const char *host,
			  struct fl_port_range ports)
{
	const struct fl_conf_upstream *claimer = claimer_of_all(names, ports);

	if (claimer != NULL) {
		fl_problem_error(
			build->problems,
			fl_build_line(build, "upstream", names->upstream->name, "to"),
			"`to`: %s can never be used: a name of a plaintext upstream gets no address that an mtls "
			"or refuse upstream covers, and those cover all that it may have, [upstream %s] (line %u) "
			"among them; write addresses in place of the name, or narrower networks there",
			host, claimer->name, claimer->line);
	}
}

static void check_plaintext_names(struct fl_build *build, const struct fl_cover *claims,
				  const struct fl_conf_upstream *upstream)
{
	static const struct fl_cidr everywhere[] = {{.family = AF_INET}, {.family = AF_INET6}};
	bool bounded = upstream->within_count > 0;
	struct names names = {.upstream = upstream,
			      .claims = claims,
			      .nets = bounded ? upstream->within : everywhere,
			      .net_count =
				      bounded ? upstream->within_count : FL_COUNT_OF(everywhere)};

	for (size_t i = 0; i < upstream->to_count && !fl_problems_enough(build->problems); i++) {
		if (upstream->to[i].kind == FL_ADDR_NAME) {
			uint16_t port = upstream->to[i].port;

			check_claimed(build, &names, upstream->to[i].host,
				      (struct fl_port_range){port, port});
		}
	}
	for (size_t i = 0; i < upstream->dest_count && !fl_problems_enough(build->problems); i++) {
		if (upstream->dests[i].host != NULL) {
			check_claimed(build, &names, upstream->dests[i].host,
				      upstream->dests[i].ports);
		}
	}
}

static void check_within(struct fl_build *build, const struct fl_cover *claims,
			 const struct fl_conf_upstream *upstream)
{
	bool says = fl_build_says(build, "upstream", upstream->name, "within");
	const char *host = a_name_of(upstream);

	if (upstream->mode != FL_OUTBOUND_PLAINTEXT || host == NULL) {
		if (says && fl_build_has(build, "upstream", upstream->name, "to")) {
			fl_problem_error(
				build->problems,
				fl_build_line(build, "upstream", upstream->name, "within"),
				"`within` limits the addresses that DNS may give for the names of an upstream with "
				"`mode = plaintext`, and %s: remove it",
				upstream->mode == FL_OUTBOUND_MTLS
					? "here the peer proves its identity"
				: upstream->mode == FL_OUTBOUND_REFUSE ? "here nothing is sent"
								       : "this one has no name");
		}
		return;
	}
	if (!says) {
		fl_problem_warning(
			build->problems, fl_build_line(build, "upstream", upstream->name, "to"),
			"`to`: whoever answers for %s in DNS decides where plaintext goes: limit the addresses with "
			"`within`, for example `within = 10.0.0.0/8`",
			host);
	}
	check_plaintext_names(build, claims, upstream);
}

/* Reports keys about TLS in a section that has no TLS. */
static void check_handshake_keys(struct fl_build *build, const struct fl_conf_upstream *upstream)
{
	static const struct {
		const char *key, *is;
	} keys[] = {
		{"alpn", "which protocols are offered in a TLS handshake"},
		{"mutual", "whether the server must ask for our certificate in a TLS handshake"},
		{"reuse", "how long a TLS session is used"}};

	for (size_t i = 0; upstream->mode != FL_OUTBOUND_MTLS && i < FL_COUNT_OF(keys); i++) {
		if (fl_build_says(build, "upstream", upstream->name, keys[i].key)) {
			fl_problem_error(
				build->problems,
				fl_build_line(build, "upstream", upstream->name, keys[i].key),
				"`%s` says %s, but with `mode = %s` (line %u) there is none: remove one of "
				"the two",
				keys[i].key, keys[i].is,
				upstream->mode == FL_OUTBOUND_REFUSE ? "refuse" : "plaintext",
				fl_build_line(build, "upstream", upstream->name, "mode"));
		}
	}
}

/* A server of another kind does not know the frames that reuse needs. */
static void check_reuse(struct fl_build *build, const struct fl_conf_upstream *upstream)
{
	bool is_wanted = upstream->reuse == FL_REUSE_ON || upstream->reuse == FL_REUSE_BALANCED;

	if (is_wanted && upstream->alpn != NULL) {
		fl_problem_error(
			build->problems, fl_build_line(build, "upstream", upstream->name, "reuse"),
			"`reuse` needs a sidecar at the other end, but `alpn` (line %u) is for servers "
			"without one: remove one of the two",
			fl_build_line(build, "upstream", upstream->name, "alpn"));
	} else if (is_wanted && !build->conf->tls.reuse) {
		fl_problem_error(
			build->problems, fl_build_line(build, "upstream", upstream->name, "reuse"),
			"`reuse` has no effect, because [tls] reuse is off: remove one of the "
			"two");
	}
}

static void check_upstream(struct fl_build *build, const struct fl_cover *claims,
			   const struct fl_conf_upstream *upstream)
{
	if (!fl_build_has(build, "upstream", upstream->name, "to")) {
		fl_problem_error(
			build->problems, upstream->line,
			"[upstream %s] has no `to`: add its destination, for example `to = "
			"ledger.prod.svc.cluster.local:8443`",
			upstream->name);
	}
	check_peer(build, "upstream", upstream, "mode");
	check_handshake_keys(build, upstream);
	check_reuse(build, upstream);
	check_within(build, claims, upstream);
	if (fl_build_says(build, "upstream", upstream->name, "listen")) {
		check_fixed(build, upstream);
	} else {
		check_captured(build, upstream);
	}
}

/* --- two of them --------------------------------------------------------------------------- */

struct claim {
	const struct fl_conf_upstream *upstream;
	const struct fl_conf_dest *dest;
};

static int order(long a, long b)
{
	return a < b ? -1 : a > b;
}

static int compare_hosts(const struct fl_conf_dest *a, const struct fl_conf_dest *b)
{
	int by_kind = order(a->host != NULL, b->host != NULL);

	if (by_kind != 0) {
		return by_kind;
	}
	if (a->host != NULL) {
		return strcasecmp(a->host, b->host);
	}
	if (a->net.family != b->net.family || a->net.bits != b->net.bits) {
		return a->net.family != b->net.family ? order(a->net.family, b->net.family)
						      : order(a->net.bits, b->net.bits);
	}
	return memcmp(a->net.addr, b->net.addr, sizeof(a->net.addr));
}

static long width(const struct fl_conf_dest *dest)
{
	return (long)dest->ports.last - dest->ports.first;
}

/* Sorts equally specific ones next to each other, by their first port, then by their place in the file. */
static int compare_claims(const void *left, const void *right)
{
	const struct claim *a = left;
	const struct claim *b = right;
	int rc = compare_hosts(a->dest, b->dest);

	rc = rc != 0 ? rc : order(width(a->dest), width(b->dest));
	rc = rc != 0 ? rc : order(a->dest->ports.first, b->dest->ports.first);
	return rc != 0 ? rc : order(a->upstream->line, b->upstream->line);
}

static void report_tie(struct fl_build *build, const struct claim *a, const struct claim *b)
{
	bool b_is_later = b->upstream->line > a->upstream->line;
	const struct claim *first = b_is_later ? a : b;
	const struct claim *second = b_is_later ? b : a;
	char net[FL_CIDR_TEXT];

	fl_problem_error(
		build->problems, fl_build_line(build, "upstream", second->upstream->name, "to"),
		"`to`: %s with port %u also belongs to [upstream %s] (line %u), which is equally specific: give "
		"one of the two other ports or a narrower network",
		second->dest->host != NULL ? second->dest->host
					   : fl_cidr_format(&second->dest->net, net),
		b->dest->ports.first, first->upstream->name,
		fl_build_line(build, "upstream", first->upstream->name, "to"));
}

/* In sorted order, if ranges of equal width overlap, then so do neighbours. */
static void check_ties(struct fl_build *build)
{
	const struct fl_conf *conf = build->conf;
	struct claim *claims = NULL;
	size_t count = 0;

	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &conf->upstreams[i];

		for (size_t k = 0; upstream->name != NULL && k < upstream->dest_count; k++) {
			claims = fl_grow(claims, count + 1, sizeof(*claims));
			claims[count++] = (struct claim){upstream, &upstream->dests[k]};
		}
	}
	if (count > 1) {
		qsort(claims, count, sizeof(*claims), compare_claims);
	}
	for (size_t i = 1; i < count; i++) {
		const struct fl_conf_dest *a = claims[i - 1].dest;
		const struct fl_conf_dest *b = claims[i].dest;

		if (claims[i].upstream != claims[i - 1].upstream && compare_hosts(a, b) == 0 &&
		    width(a) == width(b) && b->ports.first <= a->ports.last) {
			report_tie(build, &claims[i - 1], &claims[i]);
		}
	}
	free(claims);
}

void fl_build_check_upstreams(struct fl_build *build)
{
	const struct fl_conf *conf = build->conf;
	struct fl_cover claims = {0};

	collect_claims(conf, &claims);
	check_peer(build, "outbound", &conf->outbound, "default");
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (conf->upstreams[i].name != NULL) {
			check_upstream(build, &claims, &conf->upstreams[i]);
		}
	}
	fl_cover_done(&claims);
	check_ties(build);
}
