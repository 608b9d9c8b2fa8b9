/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proposals are about the INI in force, even if the connection began under an older generation: people edit that INI. */
#include "conn/remedy.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

static const struct fl_share *share_in_force(const struct fl_conn *conn)
{
	return conn->loop->share != NULL ? conn->loop->share : conn->share;
}

static const struct fl_conf *conf_in_force(const struct fl_conn *conn)
{
	return share_in_force(conn)->generation->conf;
}

/* --- rules ------------------------------------------------------------------------------------ */

static uint32_t add_to_hash(uint32_t hash, const char *text)
{
	return text != NULL ? fl_hash_bytes(hash, text, strlen(text) + 1) : hash;
}

static void propose_rule(const struct fl_conn *conn, const char *id, const char *sources,
			 const char *to, enum fl_proposal_layout layout, struct fl_text *ret)
{
	char about[FL_PROPOSED_NAME_TEXT], name[FL_PROPOSED_NAME_TEXT];
	uint32_t hash = add_to_hash(FL_HASH_INIT, to);
	struct fl_name_wish wish = {.about = id,
				    .distinction = add_to_hash(add_to_hash(hash, id), sources),
				    .is_taken = fl_propose_rule_is_taken,
				    .user = conf_in_force(conn)->policy};

	if (id == NULL) {
		(void)snprintf(about, sizeof(about), "plaintext-%s", to);
		wish.about = about;
	}
	fl_text_print(ret, "to let it in:%s", layout == FL_PROPOSE_LINES ? "\n" : " ");
	fl_propose_allow(ret, layout, fl_propose_name(&wish, name), id, sources, to);
}

void fl_remedy_for_policy(const struct fl_conn *conn, const struct fl_verdict *verdict,
			  const char *id, enum fl_proposal_layout layout, struct fl_text *ret)
{
	const struct fl_conf_service *service = fl_conn_service_under(conn, share_in_force(conn));
	char port[8], net[FL_CIDR_TEXT];
	union fl_sockaddr source;
	struct fl_cidr cidr;

	(void)snprintf(port, sizeof(port), "%u", conn->port);
	if (fl_verdict_decision(verdict) == FL_DECISION_WOULD_ALLOW) {
		fl_text_print(ret,
			      "to let it in: `mode = enforce` in [allow %s] (%s:%u), which is in "
			      "audit mode and so admits nothing",
			      verdict->rule, verdict->file, verdict->line);
	} else if (verdict->rule != NULL) {
		fl_text_print(ret,
			      "[deny %s] (%s:%u) refuses it, and deny rules win: if it is to get "
			      "in, add an exception there (`%s`)",
			      verdict->rule, verdict->file, verdict->line,
			      id != NULL ? "except_from" : "except_sources");
	} else if (id != NULL) {
		propose_rule(conn, id, NULL, service != NULL ? service->name : port, layout, ret);
	} else if (conn->source.family != 0) { /* plaintext: known only by its address */
		source = fl_inet_sockaddr(&conn->source);
		FL_REQUIRE(fl_cidr_of(&source.any, &cidr));
		propose_rule(conn, NULL, fl_cidr_format(&cidr, net),
			     service != NULL ? service->name : port, layout, ret);
	}
}

/* --- upstreams ---------------------------------------------------------------------------------- */

static bool upstream_is_taken(const void *conf, const char *name)
{
	return fl_conf_find_upstream(conf, name) != NULL;
}

/* The value in [outbound], which the new section replaces. NULL: [outbound] has none. */
static const char *peers_of(const struct fl_conf_upstream *upstream, struct fl_text *text)
{
	for (size_t i = 0; i < upstream->peer_count; i++) {
		fl_text_print(text, "%s%s", i > 0 ? ", " : "", fl_pattern_text(upstream->peer[i]));
	}
	return upstream->peer_count > 0 ? text->data : NULL;
}

/* The connection belongs to no section except [outbound]: proposes a section for its destination, with that key. */
static void propose_upstream(const struct fl_conn *conn, const char *key, const char *value,
			     enum fl_proposal_layout layout, struct fl_text *ret)
{
	char to[FL_ADDR_TEXT], net[FL_CIDR_TEXT], about[FL_CIDR_TEXT + 16];
	char name[FL_PROPOSED_NAME_TEXT];
	union fl_sockaddr destination = fl_inet_sockaddr(&conn->destination);
	struct fl_cidr cidr;
	struct fl_text peers = {.is_soft = true};
	struct fl_proposed_key keys[] = {{"to", fl_inet_format(&conn->destination, to)},
					 {"peer", peers_of(conn->upstream, &peers)},
					 {key, value}};
	struct fl_name_wish wish = {
		.about = about, .is_taken = upstream_is_taken, .user = conf_in_force(conn)};

	FL_REQUIRE(fl_cidr_of(&destination.any, &cidr));
	(void)snprintf(about, sizeof(about), "to-%s-%u", fl_cidr_format(&cidr, net),
		       conn->destination.port);
	fl_text_print(ret, "%s", layout == FL_PROPOSE_LINES ? "\n" : "");
	fl_propose_section(ret, layout, "upstream", fl_propose_name(&wish, name), keys,
			   FL_COUNT_OF(keys));
	ret->has_failed = ret->has_failed || peers.has_failed;
	fl_text_done(&peers);
}

void fl_remedy_for_not_mutual(const struct fl_conn *conn, enum fl_proposal_layout layout,
			      struct fl_text *ret)
{
	fl_text_print(ret,
		      "let the server ask for client certificates; if it is not meant to, write ");
	if (conn->upstream->name != NULL) {
		fl_text_print(ret, "`mutual = optional` in [upstream %s]", conn->upstream->name);
	} else {
		propose_upstream(conn, "mutual", "optional", layout, ret);
	}
}

void fl_remedy_for_protocols(const struct fl_conn *conn, enum fl_proposal_layout layout,
			     struct fl_text *ret)
{
	fl_text_print(ret, "name what the server speaks, for example ");
	if (conn->upstream->name != NULL) {
		fl_text_print(ret, "`alpn = h2` in [upstream %s]", conn->upstream->name);
	} else {
		propose_upstream(conn, "alpn", "h2", layout, ret);
	}
}
