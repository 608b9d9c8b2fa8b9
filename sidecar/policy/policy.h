/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_POLICY_H
#define FL_POLICY_POLICY_H
/* policy - may this identity reach this port? Decided by [policy], [allow NAME] and [deny NAME].
 *
 * Pure and I/O-free. A policy is built rule by rule (by conf), then frozen and immutable: any
 * thread may ask it, without locks and without allocation. Deny rules win over allow rules;
 * if no rule applies, the default decides. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/err.h"
#include "policy/pattern.h"

struct fl_policy;

/* --- rules ----------------------------------------------------------------------------------- */
enum fl_effect { FL_ALLOW, FL_DENY };

struct fl_port_range {
	uint16_t first, last; /* inclusive */
};

/* The exceptions of a rule: it does not apply to requests that match one of them. Empty: none. */
struct fl_rule_exceptions {
	struct fl_pattern **from; /* owned like the rule's own patterns */
	size_t from_count;
	const struct fl_port_range *ports;
	size_t port_count;
	const char *const *services; /* names of [service NAME] */
	size_t service_count;
	const struct fl_cidr *sources;
	size_t source_count;
};

/* Input of one rule; everything is copied except patterns, which are taken over. */
struct fl_rule_spec {
	const char *name; /* "web-to-api" */
	enum fl_effect effect;
	bool audit;       /* `mode = audit`: what the rule would do is recorded, and not done */
	const char *file; /* where it stands, for explanations */
	unsigned line;
	struct fl_pattern **from; /* taken over; at least one, or plaintext */
	size_t from_count;
	bool plaintext;                    /* `plaintext` is among from */
	const struct fl_port_range *ports; /* none and no services: every port */
	size_t port_count;
	const char *const *services; /* names of [service NAME] */
	size_t service_count;
	const struct fl_cidr *sources; /* none: from anywhere */
	size_t source_count;
	struct fl_rule_exceptions except;
};

/* audit: `[policy] mode = audit`; what would be denied is recorded, and allowed. */
struct fl_policy *fl_policy_new(enum fl_effect default_effect, bool audit);
void fl_policy_add(struct fl_policy *policy, const struct fl_rule_spec *spec);
void fl_policy_free(struct fl_policy *policy);
size_t fl_policy_rule_count(const struct fl_policy *policy);

/* For display: the rule with number index, in the order of evaluation (deny rules first). Everything in ret is borrowed
 * from the policy. */
void fl_policy_rule(const struct fl_policy *policy, size_t index, struct fl_rule_spec *ret);
bool fl_policy_has_rule(const struct fl_policy *policy, const char *name);
enum fl_effect fl_policy_default(const struct fl_policy *policy);
bool fl_policy_audit(const struct fl_policy *policy);

struct fl_request {
	const char *id; /* validated SPIFFE ID of the peer; NULL: it spoke plaintext */
	size_t id_len;
	uint16_t port;       /* the port that the peer dialled; 0 for a Unix listener */
	const char *service; /* name of the [service], or NULL */
	/* The peer's address. NULL: unknown. Then no `sources` matches, and `except_sources` errs on the safe side: an
	 * allow rule with exceptions admits no request, a deny rule with exceptions refuses. */
	const struct sockaddr *source;
};

/* Audit. A rule in audit mode is only recorded:
 * - the other rules and the default decide, as if the audit rules were not there. So an audit
 *   deny rule never grants anything, and an audit allow rule admits no request;
 * - if all rules together would decide otherwise, the verdict is `audited` and names the audit rule: a deny rule
 *   that would have refused an admitted request, or an allow rule that would have admitted a refused one;
 * - under `[policy] mode = audit` everything is admitted. The verdict is audited if a rule (enforced or in audit mode) or the
 *   default would have denied the request; it names the enforced rule if there is one. */
struct fl_verdict {
	enum fl_effect effect; /* the decision */
	bool audited; /* the rule below (or the default) would decide the opposite, and is only recorded */
	const char *
		rule; /* name of the deciding rule, or if audited of the recorded one; NULL: the default */
	const char *file; /* of that rule, borrowed from the policy */
	unsigned line;
	size_t index; /* of that rule, as in fl_policy_rule; fl_policy_rule_count: the default */
};

/* The verdict in one word, the same in log, metric and tools. */
enum fl_decision {
	FL_DECISION_ALLOW,
	FL_DECISION_DENY,
	FL_DECISION_WOULD_DENY,
	FL_DECISION_WOULD_ALLOW
};
#define FL_DECISIONS 4
enum fl_decision fl_verdict_decision(const struct fl_verdict *verdict);
const char *
fl_decision_word(enum fl_decision decision); /* "allow", "deny", "would_deny", "would_allow" */

struct fl_verdict fl_policy_decide(const struct fl_policy *policy,
				   const struct fl_request *request);

/* For explanations: the parts of rule number index that do not match the request; 0: the rule applies. Walks the whole rule:
 * not for the data path. */
enum fl_miss {
	FL_MISS_FROM = 1,
	FL_MISS_TO = 2,
	FL_MISS_SOURCE = 4,
	FL_MISS_EXCEPT_FROM = 8, /* the rule matches, but so does one of its exceptions */
	FL_MISS_EXCEPT_TO = 16,
	FL_MISS_EXCEPT_SOURCE = 32
};
#define FL_MISS_EXCEPT (FL_MISS_EXCEPT_FROM | FL_MISS_EXCEPT_TO | FL_MISS_EXCEPT_SOURCE)
unsigned fl_policy_misses(const struct fl_policy *policy, size_t index,
			  const struct fl_request *request);

#endif
