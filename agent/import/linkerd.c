/* SPDX-License-Identifier: GPL-3.0-or-later */
/* linkerd - Server, AuthorizationPolicy, MeshTLSAuthentication and NetworkAuthentication.
 *
 * A policy of Linkerd only allows, and refers to other resources for what a peer has to prove: these are looked up among
 * those that were read. Identities of Linkerd are DNS names with namespace and account; they become SPIFFE IDs of the usual
 * form. */
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"

static const char group_begin[] = "policy.linkerd.io/";

/* The resource that a reference names, in the namespace given there or the referring one's. NULL: not read. */
static const struct fl_import_object *find(const struct fl_import_draft *draft,
					   const struct fl_import_object *from, const char *kind,
					   struct fl_yaml reference)
{
	struct fl_yaml ns = fl_yaml_get(reference, "namespace");
	const char *wanted = fl_yaml_is_there(ns) ? fl_yaml_text(ns) : from->ns;
	const char *name = fl_yaml_text(fl_yaml_get(reference, "name"));

	for (size_t i = 0; i < draft->object_count; i++) {
		const struct fl_import_object *object = &draft->objects[i];

		if (strncmp(object->group, group_begin, sizeof(group_begin) - 1) == 0 &&
		    strcmp(object->kind, kind) == 0 && strcmp(object->name, name) == 0 &&
		    strcmp(object->ns, wanted) == 0) {
			return object;
		}
	}
	return NULL;
}

/* --- Server --------------------------------------------------------------------------------------- */

static bool selects_pods(const struct fl_import_object *server)
{
	return fl_yaml_is_given(fl_yaml_get(server->spec, "podSelector"));
}

static enum fl_import_selected selected(struct fl_import_draft *draft,
					const struct fl_import_object *server)
{
	return selects_pods(server) ? fl_import_select(draft, server, server->spec, "podSelector")
				    : FL_IMPORT_UNKNOWN;
}

/* The number of a Server's port. 0: it is a name, as each text is ("8080", too), or no port at all. */
static unsigned port_number(const struct fl_import_object *server)
{
	struct fl_yaml port = fl_yaml_get(server->spec, "port");

	return fl_yaml_is_string(port) ? 0 : fl_import_port_literal(fl_yaml_text(port));
}

/* Kubernetes knows no name of a port that has only digits. */
static bool is_name_of_no_port(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0';
}

/* Reports why the Server cannot be expressed. False: it can, or is not for this workload. */
static bool report_unsaid(struct fl_import_draft *draft, const struct fl_import_object *server)
{
	struct fl_yaml port = fl_yaml_get(server->spec, "port");
	enum fl_import_selected is = selected(draft, server);

	if (is != FL_IMPORT_NO && !fl_yaml_is_string(port) && port_number(server) == 0) {
		/* To leave it out is not enough, because it may hide another Server. */
		fl_import_refuse(draft, server, fl_yaml_is_given(port) ? port : server->root,
				 "`port` must be a name, or " FL_IMPORT_WRITE_PORT);
		return true;
	}
	if (is == FL_IMPORT_UNKNOWN) {
		fl_import_miss(draft, server, fl_yaml_key_of(server->spec, "podSelector"), "%s",
			       selects_pods(server)
				       ? FL_IMPORT_NAME_LABELS ": left out"
				       : "it does not select pods, so it is not known whether it "
					 "is for your workload: left out");
		return true;
	}
	if (is == FL_IMPORT_YES && port_number(server) == 0) {
		fl_import_miss(draft, server, port,
			       is_name_of_no_port(fl_yaml_text(port))
				       ? "`%.100s` in quotes is a name, and no port has such a "
					 "name: left out, write the number without quotes"
				       : "`%.100s` is the name of a port, which only the pod "
					 "knows: left out, write its number",
			       fl_yaml_text(port));
		return true;
	}
	return false;
}

/* `accessPolicy` admits peers besides those of the AuthorizationPolicies. */
static void read_access(struct fl_import_draft *draft, const struct fl_import_object *object,
			unsigned port)
{
	struct fl_yaml access = fl_yaml_get(object->spec, "accessPolicy");
	const char *word = fl_yaml_text(access);
	bool all = strcmp(word, "all-unauthenticated") == 0;
	struct fl_import_rule *rule;

	if (!fl_yaml_is_given(access) || strcmp(word, "deny") == 0) {
		return;
	}
	if (!all && strcmp(word, "all-authenticated") != 0) {
		fl_import_miss(draft, object, access,
			       "what the access policy `%.60s` admits is not known here: left out, "
			       "and admits nothing",
			       word);
		return;
	}
	rule = fl_import_rule_add(draft, object, access, false);
	(void)fl_import_words_add(&rule->from, fl_strdup(FL_IMPORT_ANY_DOMAIN "**"));
	(void)fl_import_words_add(&rule->to, fl_format("%u", port));
	rule->plaintext = all;
}

/* Could it be for that port of the workload? A port by name could be each one. A Server that does not select pods is not for
 * the workload of one that does. */
static bool may_be_for(struct fl_import_draft *draft, const struct fl_import_object *server,
		       unsigned port)
{
	const char *name = fl_yaml_text(fl_yaml_get(server->spec, "port"));
	unsigned number = port_number(server);

	return (number != 0 ? number == port : !is_name_of_no_port(name)) && selects_pods(server) &&
	       selected(draft, server) != FL_IMPORT_NO;
}

/* Another Server that may be for the same port, or NULL. Linkerd follows the oldest one, of those the first by name; older
 * versions follow any of them. */
static const struct fl_import_object *rival_of(struct fl_import_draft *draft,
					       const struct fl_import_object *server)
{
	unsigned port = port_number(server);

	for (size_t i = 0; i < draft->object_count; i++) {
		const struct fl_import_object *other = &draft->objects[i];

		if (other == server ||
		    strncmp(other->group, group_begin, sizeof(group_begin) - 1) != 0 ||
		    strcmp(other->kind, "Server") != 0 || strcmp(other->ns, server->ns) != 0) {
			continue;
		}
		if (may_be_for(draft, other, port)) {
			return other;
		}
	}
	return NULL;
}

static void read_server(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	static const char *const known[] = {"podSelector", "port", "proxyProtocol", "accessPolicy",
					    NULL};
	const struct fl_import_object *rival;

	draft->restricted = true;
	if (report_unsaid(draft, object) || selected(draft, object) == FL_IMPORT_NO) {
		return;
	}
	rival = rival_of(draft, object);
	if (rival != NULL) {
		fl_import_miss(draft, object, fl_yaml_get(object->spec, "port"),
			       "the Server %.100s is for the same port, or may be, and Linkerd "
			       "follows only the older one: what refers to this one is left out, "
			       "and admits nothing",
			       rival->name);
		return;
	}
	(void)fl_import_port_of(draft, port_number(object), object->name);
	read_access(draft, object, port_number(object));
	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
}

/* The port of a Server that decides for this workload, or 0. */
static unsigned deciding_port(struct fl_import_draft *draft, const struct fl_import_object *server)
{
	bool is = selected(draft, server) == FL_IMPORT_YES && port_number(server) != 0 &&
		  rival_of(draft, server) == NULL;

	return is ? port_number(server) : 0;
}

/* What names a resource is a text. */
static void check_reference(struct fl_import_draft *draft, const struct fl_import_object *object,
			    struct fl_yaml reference)
{
	static const char *const keys[] = {"group", "kind", "name", "namespace"};

	for (size_t i = 0; i < FL_COUNT_OF(keys); i++) {
		fl_import_check_text(draft, object, reference, keys[i]);
	}
}

/* --- identities and networks ------------------------------------------------------------------------------------------ */

struct proof {
	struct fl_import_rule *rule;
	bool identities, networks; /* a proof of this kind has restricted the rule */
};

static void lose(struct fl_import_draft *draft, const struct fl_import_object *object,
		 struct fl_yaml where, struct proof *proof, const char *what)
{
	fl_import_miss(draft, object, where, "%s: this rule is left out, and admits nothing", what);
	proof->rule->lost = true;
}

/* The name of a trust domain, as it stands in SPIFFE IDs: cluster.local is our own. */
static const char *domain(const struct fl_import_draft *draft, const char *text)
{
	return strcmp(text, "cluster.local") == 0 ? draft->trust_domain : text;
}

/* `ACCOUNT.NAMESPACE.serviceaccount.identity.LINKERD.DOMAIN` and its ends: `*`, `*.serviceaccount…`, `*.NAMESPACE.…`. NULL: the
 * name has another form. Linkerd takes `*` literally except as the first part. */
static char *identity_pattern(const struct fl_import_draft *draft, const char *text)
{
	static const char middle[] = "serviceaccount.identity.";
	const char *rest = strstr(text, middle), *dot, *end;
	const char *of = rest != NULL ? strchr(rest + sizeof(middle) - 1, '.') : NULL;

	if (strcmp(text, "*") == 0) {
		return fl_strdup(FL_IMPORT_ANY_DOMAIN "**");
	}
	if (strchr(text + (text[0] == '*'), '*') != NULL) {
		return NULL;
	}
	if (fl_import_is_pattern(text)) {
		return fl_strdup(text);
	}
	if (of == NULL) {
		return NULL;
	}
	if (strncmp(text, "*.", 2) == 0 && rest == text + 2) {
		return fl_format("spiffe://%s/ns/*/sa/*", domain(draft, of + 1));
	}
	dot = strchr(text, '.');
	end = rest - 1;
	if (dot == NULL || dot >= end || *end != '.' ||
	    memchr(dot + 1, '.', (size_t)(end - dot - 1)) != NULL) {
		return NULL;
	}
	return fl_format("spiffe://%s/ns/%.*s/sa/%.*s", domain(draft, of + 1), (int)(end - dot - 1),
			 dot + 1, (int)(dot - text), text);
}

static void add_identity(struct fl_import_draft *draft, const struct fl_import_object *object,
			 struct fl_yaml where, struct proof *proof, char *pattern, const char *text)
{
	bool is = pattern != NULL && (strcmp(pattern, FL_IMPORT_ANY_DOMAIN "**") == 0 ||
				      fl_import_is_pattern(pattern));

	if (!is) {
		fl_import_miss(draft, object, where,
			       "`%.200s` cannot be expressed as a SPIFFE ID: left out", text);
		free(pattern);
		return;
	}
	(void)fl_import_words_add(&proof->rule->from, pattern);
}

static void add_account(struct fl_import_draft *draft, const struct fl_import_object *object,
			struct fl_yaml reference, struct proof *proof)
{
	struct fl_yaml ns = fl_yaml_get(reference, "namespace");
	const char *of = fl_yaml_is_there(ns) ? fl_yaml_text(ns) : object->ns;
	const char *name = fl_yaml_text(fl_yaml_get(reference, "name"));
	const char *kind = fl_yaml_text(fl_yaml_get(reference, "kind"));
	/* A pattern would take `*` for any. */
	bool is_name = fl_import_is_namespace(of) && (name[0] == '\0' || fl_import_is_name(name));
	char *pattern = NULL;

	if (is_name && strcmp(kind, "ServiceAccount") == 0) {
		pattern = fl_format("spiffe://%s/ns/%s/sa/%s", draft->trust_domain, of, name);
	} else if (is_name && strcmp(kind, "Namespace") == 0) {
		pattern = fl_format("spiffe://%s/ns/%s/sa/*", draft->trust_domain,
				    name[0] != '\0' ? name : object->ns);
	}
	add_identity(draft, object, reference, proof, pattern, is_name ? kind : name);
}

static void read_mesh_tls(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct proof *proof)
{
	struct fl_yaml identities = fl_import_list(draft, object, object->spec, "identities");
	struct fl_yaml references = fl_import_list(draft, object, object->spec, "identityRefs");

	for (size_t i = 0; i < fl_yaml_count(identities); i++) {
		const char *text = fl_yaml_text(fl_yaml_item(identities, i));

		add_identity(draft, object, fl_yaml_item(identities, i), proof,
			     identity_pattern(draft, text), text);
	}
	for (size_t i = 0; i < fl_yaml_count(references); i++) {
		check_reference(draft, object, fl_yaml_item(references, i));
		add_account(draft, object, fl_yaml_item(references, i), proof);
	}
}

/* False: it is no network. */
static bool add_network(struct fl_import_words *words, const char *text)
{
	char *network = fl_import_network(text);

	return network != NULL && fl_import_words_add(words, network);
}

/* The exceptions of a network are those of all: the INI has one list, so the rule admits less where networks overlap. */
static void read_networks(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct proof *proof)
{
	struct fl_yaml networks = fl_import_list(draft, object, object->spec, "networks");

	for (size_t i = 0; i < fl_yaml_count(networks); i++) {
		struct fl_yaml network = fl_yaml_item(networks, i);
		struct fl_yaml but = fl_yaml_get(network, "except");
		const char *cidr = fl_yaml_text(fl_yaml_get(network, "cidr"));

		if (fl_yaml_is_given(but) && !fl_yaml_is_list(but)) {
			fl_import_refuse(draft, object, fl_yaml_key_of(network, "except"),
					 "`except` is no list");
		}
		if (!add_network(&proof->rule->sources, cidr)) {
			fl_import_miss(draft, object, network, "`%.60s` is no network: left out",
				       cidr);
			continue;
		}
		for (size_t k = 0; k < fl_yaml_count(but); k++) {
			if (!add_network(&proof->rule->except_sources,
					 fl_yaml_text(fl_yaml_item(but, k)))) {
				lose(draft, object, but, proof, "an exception that is no network");
			}
		}
	}
}

/* One proof that the policy requires; all of them are needed. */
static void read_proof(struct fl_import_draft *draft, const struct fl_import_object *policy,
		       struct fl_yaml reference, struct proof *proof)
{
	const char *kind = fl_yaml_text(fl_yaml_get(reference, "kind"));
	const struct fl_import_object *object = find(draft, policy, kind, reference);
	bool is_network = strcmp(kind, "NetworkAuthentication") == 0;
	bool *taken = is_network ? &proof->networks : &proof->identities;

	check_reference(draft, policy, reference);
	if (*taken) {
		lose(draft, policy, reference, proof, "two proofs of one kind");
		return;
	}
	*taken = true;
	if (strcmp(kind, "ServiceAccount") == 0) {
		add_account(draft, policy, reference, proof);
	} else if (object == NULL) {
		lose(draft, policy, reference, proof,
		     "it refers to a resource that is in none of these files");
	} else if (is_network) {
		read_networks(draft, object, proof);
	} else if (strcmp(kind, "MeshTLSAuthentication") == 0) {
		read_mesh_tls(draft, object, proof);
	} else {
		lose(draft, policy, reference, proof, "a proof of this kind has no counterpart");
	}
}

/* --- AuthorizationPolicy --------------------------------------------------------------------------- */

/* A policy for a namespace is about all of its Servers; what ports without one admit, the cluster decides. */
static void add_all_ports(struct fl_import_draft *draft, const struct fl_import_object *policy,
			  struct fl_import_rule *rule)
{
	for (size_t i = 0; i < draft->object_count; i++) {
		const struct fl_import_object *server = &draft->objects[i];
		unsigned port = 0;

		if (strncmp(server->group, group_begin, sizeof(group_begin) - 1) == 0 &&
		    strcmp(server->kind, "Server") == 0 && strcmp(server->ns, policy->ns) == 0) {
			port = deciding_port(draft, server);
		}
		if (port != 0) {
			(void)fl_import_words_add(&rule->to, fl_format("%u", port));
		}
	}
}

/* Adds the ports of the policy to rule. False: none of this workload, or they cannot be expressed. */
static bool read_target(struct fl_import_draft *draft, const struct fl_import_object *policy,
			struct fl_import_rule *rule)
{
	struct fl_yaml target = fl_import_map(draft, policy, policy->spec, "targetRef");
	const char *kind = fl_yaml_text(fl_yaml_get(target, "kind"));
	const struct fl_import_object *server = find(draft, policy, "Server", target);
	unsigned port;

	check_reference(draft, policy, target);
	if (strcmp(kind, "Namespace") == 0) {
		add_all_ports(draft, policy, rule);
		if (rule->to.count == 0) {
			fl_import_miss(draft, policy, target,
				       "it is about ports with a Server, and these files have none "
				       "for this workload: left out, and admits nothing");
		}
		return rule->to.count > 0;
	}
	if (strcmp(kind, "Server") != 0) {
		fl_import_miss(
			draft, policy, target,
			"a target of the kind %.40s has no counterpart: left out, and admits "
			"nothing",
			kind);
		return false;
	}
	if (server == NULL) {
		fl_import_miss(
			draft, policy, target,
			"the Server `%.100s` is in none of these files: left out, and admits "
			"nothing",
			fl_yaml_text(fl_yaml_get(target, "name")));
		return false;
	}
	port = deciding_port(draft, server);
	if (port == 0) {
		return false; /* reported where the Server is read */
	}
	return fl_import_words_add(&rule->to, fl_format("%u", port));
}

/* In Linkerd it is the policy that admits plaintext, in Fairlead first the mode of the port. */
static void open_ports(struct fl_import_draft *draft, const struct fl_import_rule *rule)
{
	for (size_t i = 0; i < rule->to.count; i++) {
		struct fl_import_port *port =
			fl_import_port_of(draft, fl_import_port_number(rule->to.items[i]), NULL);

		port->has_mode = true;
		port->mode = FL_INBOUND_PERMISSIVE;
	}
}

/* The proofs of the policy, of which none may be required, but then it says so with an empty list. */
static struct fl_yaml proofs_of(struct fl_import_draft *draft,
				const struct fl_import_object *object)
{
	static const char key[] = "requiredAuthenticationRefs";
	struct fl_yaml proofs = fl_yaml_get(object->spec, key);

	if (!fl_yaml_is_list(proofs)) {
		fl_import_refuse(draft, object, fl_yaml_key_of(object->spec, key),
				 "`%s` is not there, or no list", key);
	}
	(void)fl_import_are_maps(draft, object, proofs, key);
	return proofs;
}

static void read_policy(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	static const char *const known[] = {"targetRef", "requiredAuthenticationRefs", NULL};
	struct fl_yaml proofs = proofs_of(draft, object);
	struct proof proof = {.rule = fl_import_rule_add(draft, object, object->root, false)};

	draft->restricted = true;
	if (!read_target(draft, object, proof.rule)) {
		proof.rule->lost = true;
		return;
	}
	for (size_t i = 0; i < fl_yaml_count(proofs) && draft->refused == 0; i++) {
		read_proof(draft, object, fl_yaml_item(proofs, i), &proof);
	}
	if (fl_import_unknown_keys(draft, object, object->spec, known,
				   "this rule is left out, and admits nothing")) {
		proof.rule->lost = true;
	}
	if (!proof.identities) {
		/* Every peer from these networks, with or without an identity. */
		(void)fl_import_words_add(&proof.rule->from, fl_strdup(FL_IMPORT_ANY_DOMAIN "**"));
		proof.rule->plaintext = true;
	}
	if ((proof.identities && proof.rule->from.count == 0) ||
	    (proof.networks && proof.rule->sources.count == 0)) {
		proof.rule->lost = true;
	}
}

/* When all resources were read. */
void fl_import_linkerd_finish(struct fl_import_draft *draft)
{
	for (size_t i = 0; draft->is_linkerd && !draft->is_istio && i < draft->rule_count; i++) {
		if (draft->rules[i].plaintext && !draft->rules[i].lost) {
			open_ports(draft, &draft->rules[i]);
		}
	}
}

void fl_import_linkerd(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	draft->is_linkerd = true;
	if (strcmp(object->kind, "Server") == 0) {
		read_server(draft, object);
	} else if (strcmp(object->kind, "AuthorizationPolicy") == 0) {
		read_policy(draft, object);
	} else if (strcmp(object->kind, "MeshTLSAuthentication") != 0 &&
		   strcmp(object->kind, "NetworkAuthentication") != 0) {
		fl_import_miss(draft, object, object->root,
			       "resources of this kind have no counterpart: left out, and admit "
			       "nothing");
	}
}
