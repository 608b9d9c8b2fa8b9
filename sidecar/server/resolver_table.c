/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of captured destinations, and the addresses that a plaintext name may have.
 *
 * Whatever an mtls or refuse upstream covers is a claim, even if that upstream has a fixed
 * listener. Claims take precedence over the addresses of a plaintext upstream's name:
 * upstream_map.h enforces this at each look-up, and this file keeps claimed addresses out of
 * targets, records them and counts them. A new address is withheld until the names that might claim
 * it have been answered since, so that it does not matter which of two names is answered first. */
#include <stdlib.h>

#include "base/inet.h"
#include "base/mem.h"
#include "server/resolver_internal.h"

static bool is_plaintext(const struct fl_resolved *resolved)
{
	return resolved->upstream->mode == FL_OUTBOUND_PLAINTEXT;
}

static bool is_loose(const struct fl_resolved *resolved)
{
	return is_plaintext(resolved) && fl_resolver_is_captured(resolved);
}

static bool overlap(struct fl_port_range a, struct fl_port_range b)
{
	return a.first <= b.last && b.first <= a.last;
}

/* --- what a plaintext name may have ------------------------------------------------------------- */

/* Have the questions whose answers could claim that address been answered since it appeared? Both A
 * and AAAA records can claim an IPv4 address inside an IPv6 address. */
static bool has_spoken(const struct fl_name *name, const struct fl_name_answer *answer)
{
	const struct in6_addr *v6 = &answer->addr.in6.sin6_addr;
	bool is_v4 = answer->addr.any.sa_family == AF_INET;
	bool holds_v4 = is_v4 || IN6_IS_ADDR_V4MAPPED(v6) || fl_inet_is_nat64(v6->s6_addr);

	return (!holds_v4 || name->halves[0].answered_ms >= answer->since_ms) &&
	       (is_v4 || name->halves[1].answered_ms >= answer->since_ms);
}

/* Have all names that might claim this address been answered since it first appeared? asks: queries
 * those that have not. */
static bool is_vetted(struct fl_resolver *resolver, const struct fl_resolved_item *item,
		      const struct fl_name_answer *answer, bool asks)
{
	bool vetted = true;

	for (size_t r = 0; r < resolver->upstream_count; r++) {
		const struct fl_resolved *resolved = &resolver->upstreams[r];

		for (size_t i = 0; i < resolved->item_count && !is_plaintext(resolved); i++) {
			struct fl_resolved_item *other = &resolved->items[i];

			if (other->host == NULL || !overlap(other->ports, item->ports) ||
			    (other->name != NULL && has_spoken(other->name, answer))) {
				continue;
			}
			vetted = false;
			if (asks && other->name != NULL) {
				fl_name_want(resolver->names, other->name, resolver->fresh_ms);
			}
		}
	}
	return vetted;
}

bool fl_resolver_may_have(struct fl_resolver *resolver, const struct fl_upstream_map *claims,
			  const struct fl_resolved *resolved, const struct fl_resolved_item *item,
			  const struct fl_name_answer *answer, bool is_in_use)
{
	const struct fl_conf_upstream *claimer = NULL;
	struct fl_cidr address;
	uint32_t number = 0;

	if (!is_plaintext(resolved)) {
		return true;
	}
	if (!fl_cidr_of(&answer->addr.any, &address)) {
		return false;
	}
	if (fl_conf_is_within(resolved->upstream, &address) &&
	    !fl_upstream_map_is_claimed(claims, &address, item->ports, &number)) {
		bool vetted = is_vetted(resolver, item, answer, is_in_use);

		resolver->withholds = resolver->withholds || (is_in_use && !vetted);
		return vetted;
	}
	if (fl_conf_is_within(resolved->upstream, &address)) {
		claimer = resolver->upstreams[number].upstream;
	}
	if (is_in_use) {
		fl_dns_refusals_note(
			resolver->refusals,
			&(struct fl_dns_refused_address){.upstream = resolved->upstream->name,
							 .host = item->host,
							 .address = address,
							 .claimer = claimer},
			uv_now(resolver->loop));
	}
	/* With captured traffic perhaps only some ports are claimed, and the table knows which. */
	return fl_resolver_is_captured(resolved) && claimer != NULL &&
	       is_vetted(resolver, item, answer, is_in_use);
}

/* --- the table ---------------------------------------------------------------------------------- */

static void add_address(struct fl_upstream_map *table, const struct fl_resolved_item *item,
			const union fl_sockaddr *addr, size_t number, unsigned kind)
{
	struct fl_cidr one;

	if (fl_cidr_of(&addr->any, &one)) {
		fl_upstream_map_add(table, &one, item->ports, (uint32_t)number, kind);
	}
}

static void add_networks(struct fl_upstream_map *table, const struct fl_resolved *resolved,
			 size_t number)
{
	const struct fl_conf_upstream *upstream = resolved->upstream;
	unsigned kind = is_plaintext(resolved) ? FL_MAP_ORDINARY : FL_MAP_CLAIMS;

	for (size_t i = 0; i < upstream->dest_count; i++) {
		if (upstream->dests[i].host == NULL) {
			fl_upstream_map_add(table, &upstream->dests[i].net,
					    upstream->dests[i].ports, (uint32_t)number, kind);
		}
	}
}

/* Adds the claims of mtls and refuse upstreams. */
static void add_claims(struct fl_upstream_map *table, const struct fl_resolved *resolved,
		       size_t number)
{
	unsigned kind = FL_MAP_CLAIMS | (fl_resolver_is_captured(resolved) ? 0u : FL_MAP_HIDDEN);

	for (size_t i = 0; i < resolved->item_count; i++) {
		const struct fl_resolved_item *item = &resolved->items[i];

		if (item->host == NULL) {
			add_address(table, item, &item->addr, number, kind);
		}
		for (size_t k = 0; item->name != NULL && k < 2; k++) {
			const struct fl_name_half *half = &item->name->halves[k];

			for (size_t n = 0; n < half->count; n++) {
				add_address(table, item, &half->items[n].addr, number, kind);
			}
		}
	}
}

/* Adds the addresses of a captured plaintext upstream's name; all claims have been added before. */
static void add_loose(struct fl_resolver *resolver, struct fl_upstream_map *table,
		      const struct fl_resolved *resolved, const struct fl_resolved_item *item,
		      bool is_in_use)
{
	size_t number = (size_t)(resolved - resolver->upstreams);

	for (size_t k = 0; item->name != NULL && k < 2; k++) {
		const struct fl_name_half *half = &item->name->halves[k];

		for (size_t n = 0; n < half->count; n++) {
			if (fl_resolver_may_have(resolver, table, resolved, item, &half->items[n],
						 is_in_use)) {
				add_address(table, item, &half->items[n].addr, number,
					    FL_MAP_LOOSE);
			}
		}
	}
}

static void add_name(struct fl_upstream_map *table, const struct fl_resolved *resolved,
		     const struct fl_resolved_item *item, size_t number)
{
	static const struct fl_port_range none = {1, 0};
	const struct fl_name *name = item->name;
	struct fl_upstream_name about = {.host = item->host,
					 .ports = fl_resolver_is_captured(resolved) ? item->ports
										    : none,
					 .upstream = (uint32_t)number,
					 .state = FL_NAME_UNASKED};
	char *trouble = NULL;

	if (name != NULL) {
		about.state = name->state;
		about.has_address = fl_name_has_address(name);
		about.asked_ms_v4 = name->halves[0].answered_ms;
		about.asked_ms_v6 = name->halves[1].answered_ms;
	}
	if (about.state == FL_NAME_UNASKED) {
		trouble = fl_format("%s has not been answered yet", item->host);
	} else if (about.state != FL_NAME_KNOWN) {
		trouble = fl_format("%s: %s", item->host, fl_dns_status_text(name->status));
	}
	about.trouble = trouble;
	fl_upstream_map_add_name(table, &about);
	free(trouble);
}

/* An address written in the INI takes precedence over the same address of a name. */
struct fl_upstream_map *fl_resolver_make_table(struct fl_resolver *resolver, bool is_in_use)
{
	struct fl_upstream_map *table = fl_upstream_map_new();
	struct fl_resolved *upstreams = resolver->upstreams;

	for (size_t r = 0; r < resolver->upstream_count; r++) {
		if (fl_resolver_is_captured(&upstreams[r])) {
			add_networks(table, &upstreams[r], r);
		}
	}
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		if (!is_plaintext(&upstreams[r])) {
			add_claims(table, &upstreams[r], r);
		}
	}
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		for (size_t i = 0; is_loose(&upstreams[r]) && i < upstreams[r].item_count; i++) {
			add_loose(resolver, table, &upstreams[r], &upstreams[r].items[i],
				  is_in_use);
		}
	}
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		for (size_t i = 0; i < upstreams[r].item_count; i++) {
			if (upstreams[r].items[i].host != NULL) {
				add_name(table, &upstreams[r], &upstreams[r].items[i], r);
			}
		}
	}
	return table;
}
