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

/* The port of a Server, as a [service]. NULL: it is not for this workload, or was reported. */
static struct fl_import_port *server_port(struct fl_import_draft *draft,
					  const struct fl_import_object *server)
{
	struct fl_yaml port = fl_yaml_get(server->spec, "port");
	struct fl_yaml labels =
		fl_yaml_get(fl_yaml_get(server->spec, "podSelector"), "matchLabels");
	unsigned number = fl_import_port_number(fl_yaml_text(port));

	switch (fl_import_select(draft, labels)) {
	case FL_IMPORT_UNKNOWN:
		fl_import_miss(draft, server, labels, FL_IMPORT_NAME_LABELS ": left out");
		return NULL;
	case FL_IMPORT_NO:
		return NULL;
	case FL_IMPORT_YES:
	default:
		break;
	}
	if (number == 0) {
		fl_import_miss(
			draft, server, port,
			"`%.100s` is the name of a port, which only the pod knows: left out, "
			"write its number",
			fl_yaml_text(port));
		return NULL;
	}
	return fl_import_port_of(draft, number, server->name);
}

static void read_server(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	static const char *const known[] = {"podSelector", "port", "proxyProtocol", NULL};

	draft->restricted = true;
	if (server_port(draft, object) != NULL) {
		(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
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

/* `ACCOUNT.NAMESPACE.serviceaccount.identity.…`, `*.NAMESPACE.…`, `*`. NULL: the name has another form. */
static char *identity_pattern(const struct fl_import_draft *draft, const char *text)
{
	const char *dot = strchr(text, '.');
	const char *rest = dot != NULL ? strstr(dot + 1, ".serviceaccount.identity.") : NULL;

	if (strcmp(text, "*") == 0) {
		return fl_format("spiffe://%s/**", draft->trust_domain);
	}
	if (fl_import_is_pattern(text)) {
		return fl_strdup(text);
	}
	if (rest == NULL || memchr(dot + 1, '.', (size_t)(rest - dot - 1)) != NULL) {
		return NULL;
	}
	return fl_format("spiffe://%s/ns/%.*s/sa/%.*s", draft->trust_domain, (int)(rest - dot - 1),
			 dot + 1, (int)(dot - text), text);
}

static void add_identity(struct fl_import_draft *draft, const struct fl_import_object *object,
			 struct fl_yaml where, struct proof *proof, char *pattern, const char *text)
{
	if (pattern == NULL || !fl_import_is_pattern(pattern)) {
		fl_import_miss(draft, object, where,
			       "`%.200s` cannot be expressed as a SPIFFE ID: left out", text);
		free(pattern);
		return;
	}
	fl_import_words_add(&proof->rule->from, pattern);
}

static void add_account(struct fl_import_draft *draft, const struct fl_import_object *object,
			struct fl_yaml reference, struct proof *proof)
{
	struct fl_yaml ns = fl_yaml_get(reference, "namespace");
	const char *of = fl_yaml_is_there(ns) ? fl_yaml_text(ns) : object->ns;
	const char *name = fl_yaml_text(fl_yaml_get(reference, "name"));
	const char *kind = fl_yaml_text(fl_yaml_get(reference, "kind"));
	char *pattern = NULL;

	if (strcmp(kind, "ServiceAccount") == 0) {
		pattern = fl_format("spiffe://%s/ns/%s/sa/%s", draft->trust_domain, of, name);
	} else if (strcmp(kind, "Namespace") == 0) {
		pattern = fl_format("spiffe://%s/ns/%s/sa/*", draft->trust_domain,
				    name[0] != '\0' ? name : object->ns);
	}
	add_identity(draft, object, reference, proof, pattern, kind);
}

static void read_mesh_tls(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct proof *proof)
{
	struct fl_yaml identities = fl_yaml_get(object->spec, "identities");
	struct fl_yaml references = fl_yaml_get(object->spec, "identityRefs");

	for (size_t i = 0; i < fl_yaml_count(identities); i++) {
		const char *text = fl_yaml_text(fl_yaml_item(identities, i));

		add_identity(draft, object, fl_yaml_item(identities, i), proof,
			     identity_pattern(draft, text), text);
	}
	for (size_t i = 0; i < fl_yaml_count(references); i++) {
		add_account(draft, object, fl_yaml_item(references, i), proof);
	}
}

static void read_networks(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct proof *proof)
{
	struct fl_yaml networks = fl_yaml_get(object->spec, "networks");
	struct fl_cidr net;

	for (size_t i = 0; i < fl_yaml_count(networks); i++) {
		struct fl_yaml network = fl_yaml_item(networks, i);
		struct fl_yaml but = fl_yaml_get(network, "except");
		const char *cidr = fl_yaml_text(fl_yaml_get(network, "cidr"));

		if (fl_cidr_parse(cidr, &net, NULL) != FL_OK) {
			fl_import_miss(draft, object, network, "`%.60s` is no network: left out",
				       cidr);
			continue;
		}
		fl_import_words_add(&proof->rule->sources, fl_strdup(cidr));
		for (size_t k = 0; k < fl_yaml_count(but); k++) {
			const char *text = fl_yaml_text(fl_yaml_item(but, k));

			if (fl_cidr_parse(text, &net, NULL) == FL_OK) {
				fl_import_words_add(&proof->rule->except_sources, fl_strdup(text));
			} else {
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

/* Adds the ports of the policy to rule. False: none of this workload, or they cannot be expressed. */
static bool read_target(struct fl_import_draft *draft, const struct fl_import_object *policy,
			struct fl_import_rule *rule)
{
	struct fl_yaml target = fl_yaml_get(policy->spec, "targetRef");
	const char *kind = fl_yaml_text(fl_yaml_get(target, "kind"));
	const struct fl_import_object *server = find(draft, policy, "Server", target);

	if (strcmp(kind, "Namespace") == 0) {
		return strcmp(fl_yaml_text(fl_yaml_get(target, "name")), draft->ns) == 0;
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
	if (fl_import_select(draft, fl_yaml_get(fl_yaml_get(server->spec, "podSelector"),
						"matchLabels")) != FL_IMPORT_YES ||
	    fl_import_port_number(fl_yaml_text(fl_yaml_get(server->spec, "port"))) == 0) {
		return false; /* reported where the Server is read */
	}
	fl_import_words_add(&rule->to, fl_strdup(fl_yaml_text(fl_yaml_get(server->spec, "port"))));
	return true;
}

static void read_policy(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	static const char *const known[] = {"targetRef", "requiredAuthenticationRefs", NULL};
	struct fl_yaml proofs = fl_yaml_get(object->spec, "requiredAuthenticationRefs");
	struct proof proof = {.rule = fl_import_rule_add(draft, object, object->root, false)};

	draft->restricted = true;
	if (!read_target(draft, object, proof.rule)) {
		proof.rule->lost = true;
		return;
	}
	for (size_t i = 0; i < fl_yaml_count(proofs); i++) {
		read_proof(draft, object, fl_yaml_item(proofs, i), &proof);
	}
	if (fl_import_unknown_keys(draft, object, object->spec, known,
				   "this rule is left out, and admits nothing")) {
		proof.rule->lost = true;
	}
	if (!proof.identities) {
		/* Every peer from these networks, with or without an identity. */
		fl_import_words_add(&proof.rule->from,
				    fl_format("spiffe://%s/**", draft->trust_domain));
		proof.rule->plaintext = true;
	}
	if ((proof.identities && proof.rule->from.count == 0) ||
	    (proof.networks && proof.rule->sources.count == 0)) {
		proof.rule->lost = true;
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
			       "resources of this kind have no counterpart: left out");
	}
}
