/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_POLICY_INTERNAL_H
#define FL_POLICY_POLICY_INTERNAL_H
/* policy_internal - how a policy stores its rules. Private to policy.
 *
 * policy.c builds it rule by rule and owns everything; decide.c reads it. */
#include <uthash.h>

#include "base/hash.h"
#include "policy/pattern_internal.h"
#include "policy/policy.h"

/* A rule's `to`, or its `except_to`. */
struct fl_rule_targets {
	struct fl_port_range *ports;
	size_t port_count;
	char **services;
	uint32_t *service_ids; /* the same, as in fl_policy.services */
	size_t service_count;
};

/* A rule's `sources`, or its `except_sources`. */
struct fl_rule_sources {
	struct fl_cidr *items; /* in the order of the file */
	size_t count;
	/* The same, sorted, none inside another: one search finds the only one that may match. */
	struct fl_cidr *nets;
	size_t net_count;
};

struct fl_rule {
	enum fl_effect effect;
	char *name;
	char *file;
	unsigned line;
	bool audit;
	bool plaintext;
	struct fl_pattern **from;
	size_t from_count;
	struct fl_rule_targets to;
	struct fl_rule_sources sources;
	bool has_exceptions;
	struct fl_pattern **except_from;
	size_t except_from_count;
	struct fl_rule_targets except_to;
	struct fl_rule_sources except_sources;
};

/* One pattern of one rule, or its `plaintext`. Its fields quickly exclude rules that cannot match, so that a
 * thousand rules under one start cost a microsecond; the remaining ones are checked in full. 32 bytes. */
struct fl_candidate {
	uint32_t rule;      /* index in the set: the order of the file */
	uint32_t from;      /* index in the rule's patterns; unused for plaintext */
	uint32_t port;      /* the lowest one; NO_PORT: the rule names services only */
	uint32_t port_span; /* up to port + port_span */
	uint32_t service;   /* a service's number, NO_SERVICE, or SOME_SERVICES: more than one */
	uint32_t net,
		mask; /* the bits that all sources begin with; mask 0: no sources, or nothing in common */
	uint32_t tail; /* hash of the last segment; ANY_TAIL: it is a wildcard */
};
#define FL_NO_PORT 0x10000u
#define FL_NO_SERVICE 0u                  /* of a rule; numbers of services begin with 1 */
#define FL_SOME_SERVICES UINT32_MAX       /* of a rule */
#define FL_OTHER_SERVICE (UINT32_MAX - 1) /* of a request: a service that no rule names */
#define FL_ANY_TAIL 0u

/* All patterns with the same literal start, in the order of the file. */
struct fl_start {
	UT_hash_handle hh;
	struct fl_candidate *candidates;
	size_t count;
};

/* The rules of one effect. */
struct fl_rule_set {
	struct fl_rule **rules;
	size_t count;
	struct fl_start *starts;
	struct fl_start plaintext; /* in no table: the rules that name `plaintext` */
	size_t longest;            /* bytes of the longest start: no look-up beyond it */
};

struct fl_service_id {
	UT_hash_handle hh;
	uint32_t id;
	const char *name; /* the first rule's that names it */
};

struct fl_policy {
	enum fl_effect default_effect;
	bool audit;
	struct fl_service_id *services;
	struct fl_rule_set sets[2]; /* by enum fl_effect */
};

/* Starts are found by base/hash.h: the hash of a start is the hash of the ID on the way, so one pass makes them all. The
 * keys come from our own INI, so an attacker cannot flood the table. */

/* Of the last segment of an ID or a pattern; never ANY_TAIL. */
uint32_t fl_hash_tail(const char *text, size_t len);

struct fl_start *fl_start_find(const struct fl_rule_set *set, const char *text, size_t len,
			       uint32_t hash);
uint32_t fl_service_id(const struct fl_policy *policy, const char *name); /* or FL_OTHER_SERVICE */

/* The first 32 bits of an address; for IPv4 all of it. */
uint32_t fl_net_start(const struct fl_cidr *net);

const struct fl_rule *fl_policy_rule_at(const struct fl_policy *policy, size_t index);

/* Is the address in one of the networks? For an empty list: false. source: one address; family AF_UNSPEC: unknown. */
bool fl_sources_have(const struct fl_rule_sources *sources, const struct fl_cidr *source);

/* Do the rule's `to` and `sources` match? An absent one matches everything; exceptions are not considered. */
bool fl_rule_covers_target(const struct fl_rule *rule, uint32_t port, uint32_t service);
bool fl_rule_covers_source(const struct fl_rule *rule, const struct fl_cidr *source);
/* The exceptions that match: FL_MISS_EXCEPT_…, or 0. id: NULL for plaintext. */
unsigned fl_rule_excepts(const struct fl_rule *rule, const struct fl_request *request,
			 uint32_t service, const struct fl_cidr *source);

#endif
