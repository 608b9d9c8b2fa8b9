/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_IMPORT_DRAFT_H
#define FL_AGENT_IMPORT_DRAFT_H
/* draft - what `import` knows so far: rules, ports and upstreams on their way into the INI, for one workload. istio.c and
 * linkerd.c fill it, write.c turns it into text. The draft owns everything in it.
 *
 * What the INI cannot express is never left out silently: each such place is reported with FILE:LINE, and the translation
 * then errs on the safe side, so that it never admits what the original refuses. An allow rule loses what cannot be
 * expressed and admits less; a deny rule loses the condition and refuses more. */
#include <stdbool.h>
#include <stddef.h>

#include "agent/import/yaml_file.h"
#include "base/text.h"
#include "conf/conf.h"

struct fl_import_words {
	char **items;
	size_t count;
};

/* An [allow] or [deny] rule. All lists must match; an empty `from` matches no peer, the others match everything. */
struct fl_import_rule {
	char *name, *file;
	unsigned line;
	bool deny;
	bool lost; /* an allow rule that admits nothing, because a condition of it cannot be expressed */
	bool plaintext; /* `from` includes plaintext */
	struct fl_import_words from, to, sources;
	struct fl_import_words except_from, except_to, except_sources;
};

struct fl_import_port {
	char *name; /* of the [service] */
	unsigned port;
	bool has_mode;
	enum fl_inbound_mode mode;
};

struct fl_import_upstream {
	char *name, *to;
	enum fl_outbound_mode mode;
	struct fl_import_words peer;
};

/* One resource of a file. */
struct fl_import_object {
	const char *file;
	struct fl_yaml root, spec;
	const char *group; /* "security.istio.io/v1" */
	const char *kind, *name, *ns;
};

struct fl_import_draft {
	const char *trust_domain, *root_ns;
	char *ns; /* the workload's */
	struct fl_import_words labels;
	bool has_labels;
	struct fl_import_object *objects;
	size_t object_count;

	struct fl_import_rule *rules;
	size_t rule_count;
	struct fl_import_port *ports;
	size_t port_count;
	struct fl_import_upstream *upstreams;
	size_t upstream_count;
	bool allow_all;     /* no rule of the source system restricts peers */
	bool restricted;    /* some resource says that only what it allows is admitted */
	unsigned mode_rank; /* of the most specific PeerAuthentication; 0: none */
	bool mode_unknown;  /* there may be a more specific one */
	enum fl_inbound_mode mode;
	bool is_istio, is_linkerd; /* such resources were found */

	struct fl_text missed_lines; /* what could not be expressed, as comments for the INI */
	size_t missed;
};

/* Reports `FILE:LINE: sentence` on stderr and in the INI: what cannot be expressed, and the consequence. */
void fl_import_miss(struct fl_import_draft *draft, const struct fl_import_object *object,
		    struct fl_yaml where, const char *fmt, ...) FL_PRINTF(4, 5);

void fl_import_words_add(struct fl_import_words *words, char *text); /* takes ownership of text */
bool fl_import_words_have(const struct fl_import_words *words, const char *text);
void fl_import_words_done(struct fl_import_words *words);

/* Appends a rule that is named after object; borrowed. */
struct fl_import_rule *fl_import_rule_add(struct fl_import_draft *draft,
					  const struct fl_import_object *object,
					  struct fl_yaml where, bool deny);
/* Finds or adds `[service NAME]` of that port; borrowed. */
struct fl_import_port *fl_import_port_of(struct fl_import_draft *draft, unsigned port,
					 const char *name);
/* Do these labels select the workload? No labels select all. UNKNOWN: the labels of the workload are not known; the caller
 * reports the consequence. */
enum fl_import_selected { FL_IMPORT_NO, FL_IMPORT_YES, FL_IMPORT_UNKNOWN };
enum fl_import_selected fl_import_select(const struct fl_import_draft *draft,
					 struct fl_yaml labels);
#define FL_IMPORT_NAME_LABELS                                                                      \
	"it is for certain workloads, and the labels of yours are not known (--labels app=web)"
/* "8080" as 8080; 0: it is not a port. */
unsigned fl_import_port_number(const char *text);
/* Is it a pattern that the INI accepts? */
bool fl_import_is_pattern(const char *text);

/* Reports each key of the map that is not in known (which ends with NULL). True: there were some. */
bool fl_import_unknown_keys(struct fl_import_draft *draft, const struct fl_import_object *object,
			    struct fl_yaml map, const char *const *known, const char *effect);

void fl_import_istio(struct fl_import_draft *draft, const struct fl_import_object *object);
void fl_import_linkerd(struct fl_import_draft *draft, const struct fl_import_object *object);
/* An Istio AuthorizationPolicy; part of fl_import_istio(). */
void fl_import_istio_policy(struct fl_import_draft *draft, const struct fl_import_object *object);

/* Writes the INI, when everything was read. */
void fl_import_write(struct fl_import_draft *draft, struct fl_text *out);

#endif
