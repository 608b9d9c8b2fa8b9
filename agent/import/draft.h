/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_IMPORT_DRAFT_H
#define FL_AGENT_IMPORT_DRAFT_H
/* draft - what `import` knows so far: rules, ports and upstreams on their way into the INI, for one workload. objects.c finds
 * the resources, istio.c, policy.c, destination.c and linkerd.c fill the draft, write.c turns it into text. The draft owns
 * everything in it.
 *
 * What the INI cannot express is never left out silently: each such place is reported with FILE:LINE, and the translation
 * then errs on the safe side, so that it never admits what the original refuses. An allow rule loses what cannot be
 * expressed and admits less; a deny rule loses the condition and refuses more. */
#include <stdbool.h>
#include <stddef.h>

#include "agent/import/yaml_file.h"
#include "base/text.h"
#include "conf/conf.h"

/* More of these in one INI is an accident, or an attack. */
#define FL_IMPORT_RULES_MAX 10000
#define FL_IMPORT_WORDS_MAX 20000 /* of one list */
#define FL_IMPORT_MISSED_MAX 10000
#define FL_IMPORT_REFUSED_MAX 100  /* these are reported */
#define FL_IMPORT_DOMAINS_MAX 1000 /* trust domains */

struct fl_import_words {
	char **items;
	size_t count;
	bool is_cut; /* there was no room for all of them: there will be no INI */
};

/* An [allow] or [deny] rule. All lists must match; an empty `from` matches no peer, the others match everything. Patterns
 * begin with FL_IMPORT_ANY_DOMAIN where the trust domain does not matter: write.c replaces it by each one that is known. */
struct fl_import_rule {
	char *name, *file;
	unsigned line;
	bool deny;
	bool audit; /* it is only recorded */
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
	const char *file;
	unsigned line;
	enum fl_outbound_mode mode;
	struct fl_import_words peer;
};

/* One resource of a file. */
struct fl_import_object {
	const char *file;
	struct fl_yaml root, spec;
	const char *group; /* "security.istio.io/v1" */
	const char *kind, *name, *ns;
	bool is_copy; /* of another one, and is dropped */
};

/* What one DestinationRule says about a host; see destination.h. */
struct fl_import_claim;

/* The PeerAuthentications that concern the workload: the mesh's, its namespace's, its own. A later one overrides. */
enum fl_import_level { FL_IMPORT_MESH, FL_IMPORT_NAMESPACE, FL_IMPORT_WORKLOAD };
#define FL_IMPORT_LEVELS 3

struct fl_import_draft {
	const char *trust_domain, *root_ns;
	char *ns;                       /* the workload's */
	struct fl_import_words domains; /* the trust domain and its aliases, which mean the same */
	struct fl_import_words labels;
	struct fl_import_object *objects;
	size_t object_count;
	struct fl_import_words kinds; /* of resources that only their list names */

	struct fl_import_rule *rules;
	size_t rule_count;
	struct fl_import_port *ports;
	size_t port_count;
	struct fl_import_upstream *upstreams;
	size_t upstream_count;
	struct fl_import_claim *claims;
	size_t claim_count;
	const struct fl_import_object *modes[FL_IMPORT_LEVELS];
	enum fl_inbound_mode mode;
	bool has_mode;             /* one of them has decided */
	bool mode_unknown;         /* it is not known which of them decide */
	bool restricted;           /* some resource says that only what it allows is admitted */
	bool is_istio, is_linkerd; /* such resources were found */
	bool has_labels;
	bool has_aliases; /* it is known which the aliases are */
	bool knows_ns;    /* some resource is of the workload's namespace */

	struct fl_import_words
		missed_lines; /* what could not be expressed: `FILE:LINE: sentence` */
	struct fl_import_words refused_lines; /* those that were printed */
	size_t refused; /* things that are no policy at all: there will be no INI */
};

#define FL_IMPORT_ANY_DOMAIN "spiffe://*/"

/* Reports `FILE:LINE: sentence` on stderr and in the INI: what cannot be expressed, and the consequence. The same again is
 * not reported. */
void fl_import_miss(struct fl_import_draft *draft, const struct fl_import_object *object,
		    struct fl_yaml where, const char *fmt, ...) FL_PRINTF(4, 5);

/* Reports `FILE:LINE: sentence` on stderr: something that Kubernetes would not have accepted. No INI is written then, because
 * nobody knows what was meant. */
void fl_import_refuse(struct fl_import_draft *draft, const struct fl_import_object *object,
		      struct fl_yaml where, const char *fmt, ...) FL_PRINTF(4, 5);

/* The value of a key, which must be a map, or a list of maps or texts that is neither empty nor longer than
 * FL_IMPORT_WORDS_MAX; none of them a word of which kubectl makes something else. Absent if there is none. If it is something
 * else (null, too), it is refused, and absent. */
struct fl_yaml fl_import_map(struct fl_import_draft *draft, const struct fl_import_object *object,
			     struct fl_yaml map, const char *key);
struct fl_yaml fl_import_list(struct fl_import_draft *draft, const struct fl_import_object *object,
			      struct fl_yaml map, const char *key);
/* Refuses the value of a key, which must be a text, if it is a word of which kubectl makes something else. */
void fl_import_check_text(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct fl_yaml map, const char *key);
/* Refuses a list with items that are not maps. */
bool fl_import_are_maps(struct fl_import_draft *draft, const struct fl_import_object *object,
			struct fl_yaml list, const char *key);

/* Takes ownership of text. Beyond FL_IMPORT_WORDS_MAX it is not added, and the list is cut; false. */
bool fl_import_words_add(struct fl_import_words *words, char *text);
/* The same without a limit, for what is not among them. */
void fl_import_words_append(struct fl_import_words *words, char *text);
/* As fl_import_words_add(); borrowed from words. Beyond FL_IMPORT_WORDS_MAX: "". */
const char *fl_import_words_keep(struct fl_import_words *words, char *text);
/* Replaces to. */
void fl_import_words_copy(struct fl_import_words *to, const struct fl_import_words *from);
bool fl_import_words_have(const struct fl_import_words *words, const char *text);
void fl_import_words_done(struct fl_import_words *words);

/* Appends a rule that is named after object; borrowed until the next one. Beyond FL_IMPORT_RULES_MAX there will be no INI. */
struct fl_import_rule *fl_import_rule_add(struct fl_import_draft *draft,
					  const struct fl_import_object *object,
					  struct fl_yaml where, bool deny);
/* Finds or adds `[service NAME]` of that port; borrowed. */
struct fl_import_port *fl_import_port_of(struct fl_import_draft *draft, unsigned port,
					 const char *name);
/* Does the selector under that key of map (matchLabels, and matchExpressions) select the workload? No selector, and an
 * empty one, select all. UNKNOWN: the labels of the workload are not known, or what is asked of them; the caller reports the
 * consequence. */
enum fl_import_selected { FL_IMPORT_NO, FL_IMPORT_YES, FL_IMPORT_UNKNOWN };
enum fl_import_selected fl_import_select(struct fl_import_draft *draft,
					 const struct fl_import_object *object, struct fl_yaml map,
					 const char *key);
#define FL_IMPORT_NAME_LABELS                                                                      \
	"it is for certain workloads, and the labels of yours are not known (--labels app=web)"
/* "10.1.2.3/8" as "10.0.0.0/8", for the caller to free; NULL: it is no network, or IPv4 inside IPv6 (`::ffff:10.0.0.0/104`),
 * by which neither Istio nor Linkerd means peers with IPv4. */
char *fl_import_network(const char *text);
/* The text "8080" as 8080, "0080" as 80; 0: it is not a port. */
unsigned fl_import_port_number(const char *text);
/* The same for a number of YAML, in decimal. 0 also if it begins with 0: for kubectl 010 is 8, who wrote it may have meant 10. */
unsigned fl_import_port_literal(const char *text);
#define FL_IMPORT_WRITE_PORT                                                                       \
	"a number from 1 to 65535 without zeros in front: kubectl reads 010 as 8"
/* Is it a pattern that the INI accepts? */
bool fl_import_is_pattern(const char *text);

/* Reports each key of the map that is not in known (which ends with NULL). True: there were some. */
bool fl_import_unknown_keys(struct fl_import_draft *draft, const struct fl_import_object *object,
			    struct fl_yaml map, const char *const *known, const char *effect);

/* Adds the resources of a file, which must outlive the draft. Those of other systems are skipped. */
void fl_import_collect(struct fl_import_draft *draft, const struct fl_yaml_file *file);
/* When all namespaces are known: drops copies of a resource, and refuses another one of the same name. */
void fl_import_unite(struct fl_import_draft *draft);
bool fl_import_is_istio(const struct fl_import_object *object);
/* Could a namespace, another resource have this name? */
bool fl_import_is_namespace(const char *text);
bool fl_import_is_name(const char *text);

void fl_import_istio(struct fl_import_draft *draft, const struct fl_import_object *object);
/* When all resources were read: which PeerAuthentication decides. */
void fl_import_istio_finish(struct fl_import_draft *draft);
void fl_import_linkerd(struct fl_import_draft *draft, const struct fl_import_object *object);
/* When all resources were read: which ports admit plaintext. */
void fl_import_linkerd_finish(struct fl_import_draft *draft);
/* An Istio AuthorizationPolicy; part of fl_import_istio(). */
void fl_import_istio_policy(struct fl_import_draft *draft, const struct fl_import_object *object);

/* A DestinationRule; part of fl_import_istio(). */
void fl_import_destination(struct fl_import_draft *draft, const struct fl_import_object *object);
/* When all resources were read: which of them decide. */
void fl_import_destinations_finish(struct fl_import_draft *draft);
void fl_import_destinations_done(struct fl_import_draft *draft);

/* Writes the INI, when everything was read. Errors: FL_ERR_LIMIT, something is too large for an INI. */
int fl_import_write(const struct fl_import_draft *draft, struct fl_text *out,
		    struct fl_err *err) FL_MUST_USE;

#endif
