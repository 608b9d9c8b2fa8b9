/* SPDX-License-Identifier: GPL-3.0-or-later */
/* istio - PeerAuthentication and DestinationRule. */
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"
#include "pki/spiffe.h"

/* --- PeerAuthentication -------------------------------------------------------------------------- */

/* False: it is unset, so a less specific resource decides. */
static bool read_mode(struct fl_import_draft *draft, const struct fl_import_object *object,
		      struct fl_yaml mtls, enum fl_inbound_mode *ret)
{
	static const struct {
		const char *word;
		enum fl_inbound_mode mode;
	} modes[] = {{"STRICT", FL_INBOUND_STRICT},
		     {"PERMISSIVE", FL_INBOUND_PERMISSIVE},
		     {"DISABLE", FL_INBOUND_PLAINTEXT}};
	struct fl_yaml mode = fl_yaml_get(mtls, "mode");
	const char *word = fl_yaml_text(mode);

	for (size_t i = 0; i < FL_COUNT_OF(modes); i++) {
		if (strcmp(word, modes[i].word) == 0) {
			*ret = modes[i].mode;
			return true;
		}
	}
	if (fl_yaml_is_given(mode) && strcmp(word, "UNSET") != 0) {
		fl_import_refuse(draft, object, mode, "the mode `%.40s` is not known", word);
	}
	return false;
}

static void read_ports(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	struct fl_yaml ports = fl_import_map(draft, object, object->spec, "portLevelMtls");

	for (size_t i = 0; i < fl_yaml_count(ports); i++) {
		unsigned number = fl_import_port_number(fl_yaml_key(ports, i));
		enum fl_inbound_mode mode;

		if (number == 0 || !fl_yaml_is_map(fl_yaml_item(ports, i))) {
			fl_import_refuse(
				draft, object, fl_yaml_key_at(ports, i),
				"each key of `portLevelMtls` must be a port, and its value "
				"a mapping");
		} else if (read_mode(draft, object, fl_yaml_item(ports, i), &mode)) {
			struct fl_import_port *port = fl_import_port_of(draft, number, NULL);

			port->has_mode = true;
			port->mode = mode;
		}
	}
}

/* False: Istio ignores it (ComposePeerAuthentication in pilot/pkg/security/authn), because it selects workloads in the mesh's
 * own namespace. */
static bool find_level(const struct fl_import_draft *draft, const struct fl_import_object *object,
		       enum fl_import_level *ret)
{
	struct fl_yaml labels = fl_yaml_get(fl_yaml_get(object->spec, "selector"), "matchLabels");
	bool is_root = strcmp(object->ns, draft->root_ns) == 0;

	if (fl_yaml_count(labels) > 0) {
		*ret = FL_IMPORT_WORKLOAD;
		return !is_root;
	}
	*ret = is_root ? FL_IMPORT_MESH : FL_IMPORT_NAMESPACE;
	return true;
}

/* When it was created, as the API server writes it, so that texts compare like times; "": not known. */
static const char *created(const struct fl_import_object *object)
{
	static const char form[] = "0000-00-00T00:00:00Z";
	const char *text = fl_yaml_text(
		fl_yaml_get(fl_yaml_get(object->root, "metadata"), "creationTimestamp"));
	bool is = strlen(text) == sizeof(form) - 1;

	for (size_t i = 0; is && form[i] != '\0'; i++) {
		is = form[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
	}
	return is ? text : "";
}

/* Of two policies of one level Istio follows the older one. */
static void take_level(struct fl_import_draft *draft, const struct fl_import_object *object,
		       enum fl_import_level level)
{
	const struct fl_import_object *other = draft->modes[level];
	int order;

	if (other == NULL) {
		draft->modes[level] = object;
		return;
	}
	order = strcmp(created(object), created(other));
	if (created(object)[0] == '\0' || created(other)[0] == '\0' || order == 0) {
		fl_import_miss(draft, object, object->root,
			       "it is for the same workloads as %.100s, and it is not known which "
			       "one is older and decides: the mode is strict",
			       other->name);
		draft->mode_unknown = true;
	} else if (order < 0) {
		draft->modes[level] = object;
	}
}

static void read_peer_authentication(struct fl_import_draft *draft,
				     const struct fl_import_object *object)
{
	static const char *const known[] = {"selector", "mtls", "portLevelMtls", NULL};
	struct fl_yaml selector = fl_yaml_key_of(object->spec, "selector");
	enum fl_import_level level;

	switch (fl_import_select(draft, object, object->spec, "selector")) {
	case FL_IMPORT_NO:
		return;
	case FL_IMPORT_UNKNOWN:
		fl_import_miss(draft, object, selector,
			       FL_IMPORT_NAME_LABELS ": left out, and the mode is strict");
		draft->mode_unknown = true;
		return;
	case FL_IMPORT_YES:
	default:
		break;
	}
	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
	(void)fl_import_map(draft, object, object->spec, "mtls");
	if (!find_level(draft, object, &level)) {
		fl_import_miss(draft, object, selector,
			       "Istio ignores a selector in the namespace %.100s: left out",
			       object->ns);
		return;
	}
	if (level != FL_IMPORT_WORKLOAD &&
	    fl_yaml_is_given(fl_yaml_get(object->spec, "portLevelMtls"))) {
		fl_import_miss(draft, object, fl_yaml_key_of(object->spec, "portLevelMtls"),
			       "Istio ignores ports without a selector: left out");
	}
	take_level(draft, object, level);
}

void fl_import_istio_finish(struct fl_import_draft *draft)
{
	for (int level = 0; level < FL_IMPORT_LEVELS; level++) {
		const struct fl_import_object *object = draft->modes[level];

		if (object == NULL) {
			continue;
		}
		if (read_mode(draft, object, fl_yaml_get(object->spec, "mtls"), &draft->mode)) {
			draft->has_mode = true;
		}
		if (level == FL_IMPORT_WORKLOAD && !draft->mode_unknown) {
			read_ports(draft, object);
		}
	}
	if (draft->mode_unknown) {
		draft->mode = FL_INBOUND_STRICT;
	}
}

/* --- DestinationRule ----------------------------------------------------------------------------- */

/* A short name belongs to the resource's namespace. NULL: not a name that DNS could resolve. */
static char *full_host(const struct fl_import_object *object, const char *host)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (host[0] == '\0' || strspn(host, letters) != strlen(host)) {
		return NULL;
	}
	return strchr(host, '.') != NULL ? fl_strdup(host)
					 : fl_format("%s.%s.svc.cluster.local", host, object->ns);
}

/* cluster.local stands for the trust domain, whatever its name. */
static char *own_domain(const struct fl_import_draft *draft, const char *id)
{
	return fl_spiffe_is_of_domain(id, "cluster.local")
		       ? fl_format(FL_SPIFFE_SCHEME "%s%s", draft->trust_domain, fl_spiffe_path(id))
		       : fl_strdup(id);
}

/* Istio compares these names literally, so `*` is no wildcard in them. */
static void read_names(struct fl_import_draft *draft, const struct fl_import_object *object,
		       struct fl_yaml tls, struct fl_import_upstream *upstream)
{
	struct fl_yaml names = fl_import_list(draft, object, tls, "subjectAltNames");

	for (size_t i = 0; i < fl_yaml_count(names); i++) {
		const char *name = fl_yaml_text(fl_yaml_item(names, i));

		if (strchr(name, '*') == NULL && fl_import_is_pattern(name)) {
			(void)fl_import_words_add(&upstream->peer, own_domain(draft, name));
		} else {
			fl_import_miss(draft, object, fl_yaml_item(names, i),
				       "`%.200s` is no SPIFFE ID, and nobody is known by another "
				       "name: left out of `peer`",
				       name);
		}
	}
	/* The restriction then names no peer at all. That must not become "any peer". */
	if (fl_yaml_count(names) > 0 && upstream->peer.count == 0) {
		upstream->mode = FL_OUTBOUND_REFUSE;
	}
}

static bool read_tls_mode(const char *word, enum fl_outbound_mode *ret)
{
	if (strcmp(word, "ISTIO_MUTUAL") == 0 || strcmp(word, "MUTUAL") == 0) {
		*ret = FL_OUTBOUND_MTLS;
		return true;
	}
	*ret = FL_OUTBOUND_PLAINTEXT;
	return strcmp(word, "DISABLE") == 0;
}

/* From strict to lax. */
static int laxity(const struct fl_import_upstream *upstream)
{
	switch (upstream->mode) {
	case FL_OUTBOUND_REFUSE:
		return 0;
	case FL_OUTBOUND_MTLS:
		return upstream->peer.count > 0 ? 1 : 2;
	case FL_OUTBOUND_PLAINTEXT:
	default:
		return 3;
	}
}

static void upstream_done(struct fl_import_upstream *upstream)
{
	free(upstream->name);
	free(upstream->to);
	fl_import_words_done(&upstream->peer);
}

/* Takes upstream over. If another resource is about the same destination, the stricter one stays. */
static void keep_upstream(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct fl_yaml where, struct fl_import_upstream *upstream)
{
	for (size_t i = 0; i < draft->upstream_count; i++) {
		struct fl_import_upstream *other = &draft->upstreams[i];

		if (strcmp(other->to, upstream->to) != 0) {
			continue;
		}
		fl_import_miss(draft, object, where,
			       "%.100s is about the same destination %.200s, and which of them "
			       "Istio follows depends on more than these files: the stricter one "
			       "stays",
			       other->name, upstream->to);
		if (laxity(upstream) < laxity(other)) {
			struct fl_import_upstream lax = *other;

			*other = *upstream;
			*upstream = lax;
		}
		upstream_done(upstream);
		return;
	}
	draft->upstreams =
		fl_grow(draft->upstreams, draft->upstream_count + 1, sizeof(*draft->upstreams));
	draft->upstreams[draft->upstream_count++] = *upstream;
}

/* tls: absent means that the mesh decides, which is mutual TLS with any peer of the trust domain. */
static void add_upstream(struct fl_import_draft *draft, const struct fl_import_object *object,
			 const char *ports, struct fl_yaml tls)
{
	static const char *const known[] = {"mode", "subjectAltNames", NULL};
	struct fl_yaml host = fl_yaml_get(object->spec, "host");
	char *name = full_host(object, fl_yaml_text(host));
	struct fl_import_upstream upstream = {.mode = FL_OUTBOUND_MTLS};
	const char *mode = fl_yaml_text(fl_yaml_get(tls, "mode"));

	if (name == NULL) {
		fl_import_miss(draft, object, host,
			       "`%.200s` is no single name: left out, `[outbound]` decides",
			       fl_yaml_text(host));
		return;
	}
	if (fl_yaml_is_given(tls) && !read_tls_mode(mode, &upstream.mode)) {
		fl_import_miss(draft, object, tls,
			       "TLS of the mode `%.40s` is not ours to speak: left out, "
			       "`[outbound]` decides",
			       mode);
		free(name);
		return;
	}
	upstream.name = fl_strdup(object->name);
	upstream.file = object->file;
	upstream.line = fl_yaml_line(host);
	upstream.to = fl_format("%s:%s", name, ports);
	if (upstream.mode == FL_OUTBOUND_MTLS) {
		read_names(draft, object, tls, &upstream);
	}
	(void)fl_import_unknown_keys(draft, object, tls, known, "left out");
	keep_upstream(draft, object, fl_yaml_is_given(tls) ? tls : host, &upstream);
	free(name);
}

/* Settings of a port replace those of the destination, also those that they do not mention. */
static void read_ports_of(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct fl_yaml policy)
{
	static const char *const known[] = {"port", "tls", NULL};
	bool has_tls = fl_yaml_is_given(fl_yaml_get(policy, "tls"));
	struct fl_yaml ports = fl_import_list(draft, object, policy, "portLevelSettings");

	for (size_t i = 0; i < fl_yaml_count(ports); i++) {
		struct fl_yaml port = fl_yaml_item(ports, i);
		struct fl_yaml number =
			fl_yaml_get(fl_import_map(draft, object, port, "port"), "number");
		struct fl_yaml tls = fl_import_map(draft, object, port, "tls");

		(void)fl_import_unknown_keys(draft, object, port, known, "left out");
		if (fl_import_port_number(fl_yaml_text(number)) == 0) {
			fl_import_refuse(draft, object, port, "there is no port number");
		} else if (has_tls || fl_yaml_is_given(tls)) {
			add_upstream(draft, object, fl_yaml_text(number), tls);
		}
	}
}

/* Is it visible in the workload's namespace? */
static bool is_exported(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	struct fl_yaml to = fl_import_list(draft, object, object->spec, "exportTo");
	bool is = !fl_yaml_is_given(to);

	for (size_t i = 0; i < fl_yaml_count(to); i++) {
		struct fl_yaml item = fl_yaml_item(to, i);
		const char *ns = fl_yaml_text(item);

		if (!fl_yaml_is_string(item) ||
		    (strcmp(ns, "*") != 0 && strcmp(ns, ".") != 0 && !fl_import_is_namespace(ns))) {
			fl_import_refuse(draft, object, item,
					 "each item of `exportTo` must be `*`, `.` or a namespace");
		}
		is = is || strcmp(ns, "*") == 0 || strcmp(ns, draft->ns) == 0 ||
		     (strcmp(ns, ".") == 0 && strcmp(object->ns, draft->ns) == 0);
	}
	return is;
}

static void read_destination_rule(struct fl_import_draft *draft,
				  const struct fl_import_object *object)
{
	static const char *const known[] = {"host", "trafficPolicy", "exportTo", "workloadSelector",
					    NULL};
	static const char *const known_policy[] = {"tls", "portLevelSettings", NULL};
	struct fl_yaml policy = fl_import_map(draft, object, object->spec, "trafficPolicy");
	struct fl_yaml tls = fl_import_map(draft, object, policy, "tls");

	switch (fl_import_select(draft, object, object->spec, "workloadSelector")) {
	case FL_IMPORT_UNKNOWN:
		fl_import_miss(draft, object, fl_yaml_key_of(object->spec, "workloadSelector"),
			       FL_IMPORT_NAME_LABELS ": left out, `[outbound]` decides");
		return;
	case FL_IMPORT_NO:
		return;
	case FL_IMPORT_YES:
	default:
		break;
	}
	if (!is_exported(draft, object)) {
		return;
	}
	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
	(void)fl_import_unknown_keys(draft, object, policy, known_policy, "left out");
	read_ports_of(draft, object, policy);
	if (fl_yaml_is_given(tls)) {
		add_upstream(draft, object, "*", tls);
	}
}

/* --- all kinds ----------------------------------------------------------------------------------- */

void fl_import_istio(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	draft->is_istio = true;
	if (strcmp(object->kind, "AuthorizationPolicy") == 0) {
		fl_import_istio_policy(draft, object);
	} else if (strcmp(object->kind, "PeerAuthentication") == 0) {
		read_peer_authentication(draft, object);
	} else if (strcmp(object->kind, "DestinationRule") == 0) {
		read_destination_rule(draft, object);
	} else {
		/* The rules of Istio before 1.4 only admit, and a kind that is mistyped may mean anything. */
		draft->restricted =
			draft->restricted ||
			strncmp(object->group, "rbac.", strlen("rbac.")) == 0 ||
			(strncmp(object->group, "security.", strlen("security.")) == 0 &&
			 strcmp(object->kind, "RequestAuthentication") != 0);
		fl_import_miss(draft, object, object->root,
			       "resources of this kind have no counterpart: left out");
	}
}
