/* SPDX-License-Identifier: GPL-3.0-or-later */
/* istio - PeerAuthentication and DestinationRule. */
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"
#include "pki/spiffe.h"

/* Do these labels select the workload? If that is not known, the resource is reported with `missed`, and left out. */
static bool is_selected(struct fl_import_draft *draft, const struct fl_import_object *object,
			struct fl_yaml labels, const char *missed)
{
	enum fl_import_selected selected = fl_import_select(draft, labels);

	if (selected == FL_IMPORT_UNKNOWN) {
		fl_import_miss(draft, object, labels, "%s", missed);
	}
	return selected == FL_IMPORT_YES;
}

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
	if (fl_yaml_is_there(mode) && strcmp(word, "UNSET") != 0) {
		fl_import_miss(draft, object, mode, "the mode `%.40s` is not known: left out",
			       word);
	}
	return false;
}

static void read_ports(struct fl_import_draft *draft, const struct fl_import_object *object,
		       struct fl_yaml ports)
{
	for (size_t i = 0; i < fl_yaml_count(ports); i++) {
		unsigned number = fl_import_port_number(fl_yaml_key(ports, i));
		struct fl_yaml mtls = fl_yaml_item(ports, i);
		enum fl_inbound_mode mode;

		if (number == 0) {
			fl_import_miss(draft, object, mtls, "`%.40s` is no port: left out",
				       fl_yaml_key(ports, i));
		} else if (read_mode(draft, object, mtls, &mode)) {
			struct fl_import_port *port = fl_import_port_of(draft, number, NULL);

			port->has_mode = true;
			port->mode = mode;
		}
	}
}

/* The most specific one decides: for the workload, for its namespace, for the mesh. */
static void read_peer_authentication(struct fl_import_draft *draft,
				     const struct fl_import_object *object)
{
	static const char *const known[] = {"selector", "mtls", "portLevelMtls", NULL};
	struct fl_yaml labels = fl_yaml_get(fl_yaml_get(object->spec, "selector"), "matchLabels");
	bool is_mesh =
		strcmp(object->ns, draft->root_ns) == 0 && strcmp(draft->ns, draft->root_ns) != 0;
	unsigned rank = fl_yaml_count(labels) > 0 ? 3 : is_mesh ? 1 : 2;
	enum fl_inbound_mode mode;

	if (fl_import_select(draft, labels) == FL_IMPORT_UNKNOWN) {
		draft->mode_unknown = true;
	}
	if (!is_selected(draft, object, labels,
			 FL_IMPORT_NAME_LABELS ": left out, and the mode is strict")) {
		return;
	}
	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
	if (rank > draft->mode_rank &&
	    read_mode(draft, object, fl_yaml_get(object->spec, "mtls"), &mode)) {
		draft->mode_rank = rank;
		draft->mode = mode;
	}
	if (rank == 3) { /* Istio ignores ports if the resource selects no workload. */
		read_ports(draft, object, fl_yaml_get(object->spec, "portLevelMtls"));
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

static void read_names(struct fl_import_draft *draft, const struct fl_import_object *object,
		       struct fl_yaml names, struct fl_import_upstream *upstream)
{
	for (size_t i = 0; i < fl_yaml_count(names); i++) {
		const char *name = fl_yaml_text(fl_yaml_item(names, i));

		if (fl_import_is_pattern(name)) {
			fl_import_words_add(&upstream->peer, own_domain(draft, name));
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

static void add_upstream(struct fl_import_draft *draft, const struct fl_import_object *object,
			 const char *ports, struct fl_yaml tls)
{
	static const char *const known[] = {"mode", "subjectAltNames", NULL};
	struct fl_yaml host = fl_yaml_get(object->spec, "host");
	char *name = full_host(object, fl_yaml_text(host));
	struct fl_import_upstream upstream = {0};

	if (name == NULL) {
		fl_import_miss(draft, object, host,
			       "`%.200s` is no single name: left out, `[outbound]` decides",
			       fl_yaml_text(host));
		return;
	}
	if (!read_tls_mode(fl_yaml_text(fl_yaml_get(tls, "mode")), &upstream.mode)) {
		fl_import_miss(draft, object, tls,
			       "TLS of the mode `%.40s` is not ours to speak: left out, "
			       "`[outbound]` decides",
			       fl_yaml_text(fl_yaml_get(tls, "mode")));
		free(name);
		return;
	}
	upstream.name = fl_strdup(object->name);
	upstream.to = fl_format("%s:%s", name, ports);
	if (upstream.mode == FL_OUTBOUND_MTLS) {
		read_names(draft, object, fl_yaml_get(tls, "subjectAltNames"), &upstream);
	}
	(void)fl_import_unknown_keys(draft, object, tls, known, "left out");
	draft->upstreams =
		fl_grow(draft->upstreams, draft->upstream_count + 1, sizeof(*draft->upstreams));
	draft->upstreams[draft->upstream_count++] = upstream;
	free(name);
}

static void read_destination_rule(struct fl_import_draft *draft,
				  const struct fl_import_object *object)
{
	static const char *const known[] = {"host", "trafficPolicy", "exportTo", "workloadSelector",
					    NULL};
	static const char *const known_policy[] = {"tls", "portLevelSettings", NULL};
	static const char *const known_port[] = {"port", "tls", NULL};
	struct fl_yaml policy = fl_yaml_get(object->spec, "trafficPolicy");
	struct fl_yaml labels =
		fl_yaml_get(fl_yaml_get(object->spec, "workloadSelector"), "matchLabels");
	struct fl_yaml tls = fl_yaml_get(policy, "tls");
	struct fl_yaml ports = fl_yaml_get(policy, "portLevelSettings");

	if (!is_selected(draft, object, labels,
			 FL_IMPORT_NAME_LABELS ": left out, `[outbound]` decides")) {
		return;
	}
	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
	(void)fl_import_unknown_keys(draft, object, policy, known_policy, "left out");
	for (size_t i = 0; i < fl_yaml_count(ports); i++) {
		struct fl_yaml port = fl_yaml_item(ports, i);
		struct fl_yaml number = fl_yaml_get(fl_yaml_get(port, "port"), "number");

		(void)fl_import_unknown_keys(draft, object, port, known_port, "left out");
		if (fl_import_port_number(fl_yaml_text(number)) == 0) {
			fl_import_miss(draft, object, port, "there is no port number: left out");
		} else if (fl_yaml_is_there(fl_yaml_get(port, "tls"))) {
			add_upstream(draft, object, fl_yaml_text(number), fl_yaml_get(port, "tls"));
		}
	}
	if (fl_yaml_is_there(tls)) {
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
		fl_import_miss(draft, object, object->root,
			       "resources of this kind have no counterpart: left out");
	}
}
