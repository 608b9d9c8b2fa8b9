/* SPDX-License-Identifier: GPL-3.0-or-later */
/* destination - reads DestinationRules. */
#include <stdlib.h>
#include <string.h>

#include "agent/import/destination.h"
#include "base/mem.h"
#include "pki/spiffe.h"

/* --- reading ---------------------------------------------------------------------------------------- */

/* Istio compares these names literally, so `*` is no wildcard in them, and cluster.local is no other domain. */
static void read_names(struct fl_import_draft *draft, const struct fl_import_object *object,
		       struct fl_yaml tls, struct fl_import_setting *setting)
{
	struct fl_yaml names = fl_import_list(draft, object, tls, "subjectAltNames");

	for (size_t i = 0; i < fl_yaml_count(names); i++) {
		const char *name = fl_yaml_text(fl_yaml_item(names, i));

		if (strchr(name, '*') != NULL || !fl_import_is_pattern(name)) {
			fl_import_miss(draft, object, fl_yaml_item(names, i),
				       "`%.200s` is no SPIFFE ID, and nobody is known by another "
				       "name: left out of `peer`",
				       name);
			continue;
		}
		if (fl_spiffe_is_of_domain(name, "cluster.local") &&
		    !fl_import_words_have(&draft->domains, "cluster.local")) {
			fl_import_miss(draft, object, fl_yaml_item(names, i),
				       "Istio takes cluster.local literally here: `peer` admits no "
				       "peer of %.100s for it, so write that domain if you mean it",
				       draft->trust_domain);
		}
		(void)fl_import_words_add(&setting->peer, fl_strdup(name));
	}
	/* The restriction then names no peer at all. That must not become "any peer". */
	if (fl_yaml_count(names) > 0 && setting->peer.count == 0) {
		setting->mode = FL_OUTBOUND_REFUSE;
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

/* tls: absent means that the mesh decides. is_special: if this is left out, the setting of all ports would count. */
static void add_setting(struct fl_import_draft *draft, struct fl_import_claim *claim, unsigned port,
			struct fl_yaml tls, bool is_special)
{
	static const char *const known[] = {"mode", "subjectAltNames", NULL};
	struct fl_import_setting setting = {.port = port, .mode = FL_OUTBOUND_MTLS};
	struct fl_import_setting *other = fl_import_setting_of(claim, port);
	const char *mode = fl_yaml_text(fl_yaml_get(tls, "mode"));

	if (fl_yaml_is_given(tls) && !read_tls_mode(mode, &setting.mode)) {
		fl_import_miss(draft, claim->object, tls,
			       "TLS of the mode `%.40s` is not ours to speak: %s", mode,
			       is_special ? "connections to this port are refused"
					  : "left out, `[outbound]` decides");
		if (!is_special) {
			return;
		}
		setting.mode = FL_OUTBOUND_REFUSE;
	}
	if (setting.mode == FL_OUTBOUND_MTLS) {
		read_names(draft, claim->object, tls, &setting);
	}
	(void)fl_import_unknown_keys(draft, claim->object, tls, known, "left out");
	if (other == NULL) {
		claim->settings =
			fl_grow(claim->settings, claim->count + 1, sizeof(*claim->settings));
		claim->settings[claim->count++] = setting;
		return;
	}
	fl_import_miss(draft, claim->object, tls,
		       "the port %u has settings already: the strictest of both stays", port);
	fl_import_tighten(other, &setting);
	fl_import_setting_done(&setting);
}

/* Settings of a port replace those of the destination, also those that they do not mention. */
static void read_ports(struct fl_import_draft *draft, struct fl_import_claim *claim,
		       struct fl_yaml policy)
{
	static const char *const known[] = {"port", "tls", NULL};
	bool has_tls = fl_yaml_is_given(fl_yaml_get(policy, "tls"));
	struct fl_yaml ports = fl_import_list(draft, claim->object, policy, "portLevelSettings");

	for (size_t i = 0; i < fl_yaml_count(ports); i++) {
		struct fl_yaml port = fl_yaml_item(ports, i);
		struct fl_yaml number =
			fl_yaml_get(fl_import_map(draft, claim->object, port, "port"), "number");
		struct fl_yaml tls = fl_import_map(draft, claim->object, port, "tls");
		unsigned value = fl_import_port_literal(fl_yaml_text(number));

		(void)fl_import_unknown_keys(draft, claim->object, port, known, "left out");
		if (value == 0) {
			fl_import_refuse(draft, claim->object, port,
					 "its port must have `number`, " FL_IMPORT_WRITE_PORT);
		} else if (has_tls || fl_yaml_is_given(tls)) {
			add_setting(draft, claim, value, tls, has_tls);
		}
	}
}

/* Is it visible in the workload's namespace? */
static bool is_exported(struct fl_import_draft *draft, const struct fl_import_object *object,
			bool *ret_private)
{
	struct fl_yaml to = fl_import_list(draft, object, object->spec, "exportTo");
	bool is_own = strcmp(object->ns, draft->ns) == 0, is = !fl_yaml_is_given(to);

	*ret_private = fl_yaml_is_given(to);
	for (size_t i = 0; i < fl_yaml_count(to); i++) {
		struct fl_yaml item = fl_yaml_item(to, i);
		const char *ns = fl_yaml_text(item);

		if (!fl_yaml_is_string(item) ||
		    (strcmp(ns, "*") != 0 && strcmp(ns, ".") != 0 && !fl_import_is_namespace(ns))) {
			fl_import_refuse(draft, object, item,
					 "each item of `exportTo` must be `*`, `.` or a namespace");
		}
		is = is || strcmp(ns, "*") == 0 || strcmp(ns, draft->ns) == 0 ||
		     (strcmp(ns, ".") == 0 && is_own);
		*ret_private =
			*ret_private && (strcmp(ns, ".") == 0 || strcmp(ns, object->ns) == 0);
	}
	return is;
}

/* --- hosts ------------------------------------------------------------------------------------------- */

static const char cluster_end[] = ".svc.cluster.local";

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), want = strlen(end);

	return len >= want && strcmp(text + len - want, end) == 0;
}

/* A short name belongs to the resource's namespace. NULL: neither a name that DNS could resolve, nor `*` before one. */
static char *full_host(const struct fl_import_object *object, const char *host)
{
	char *name = fl_strdup(host), *full = NULL;
	size_t len = strlen(name);

	for (char *c = name; *c != '\0'; c++) {
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	}
	if (len > 1 && name[len - 1] == '.') {
		name[--len] = '\0';
	}
	if (name[0] == '*' &&
	    strspn(name + 1, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len - 1) {
		full = fl_strdup(name);
	} else if (fl_import_is_name(name)) {
		full = strchr(name, '.') != NULL
			       ? fl_strdup(name)
			       : fl_format("%s.%s%s", name, object->ns, cluster_end);
	}
	free(name);
	return full;
}

bool fl_import_is_wildcard(const char *host)
{
	return host[0] == '*';
}

bool fl_import_covers(const char *host, const char *name)
{
	return fl_import_is_wildcard(host) ? ends_with(name, host + 1) : strcmp(host, name) == 0;
}

/* Istio takes a name with a dot as it is, so `db.prod` is not the Service db of prod, although the app may call it so. */
static bool is_half_a_name(const char *host)
{
	const char *dot = strchr(host, '.');

	return !fl_import_is_wildcard(host) && dot != NULL &&
	       (strchr(dot + 1, '.') == NULL || ends_with(host, ".svc") ||
		ends_with(host, ".svc.cluster"));
}

/* Is this the namespace of the service? Of names outside of the cluster that is not known. */
static enum fl_import_selected is_namespace_of(const char *ns, const char *host)
{
	size_t len = strlen(host), end = sizeof(cluster_end) - 1, ns_len = strlen(ns);

	if (!ends_with(host, cluster_end)) {
		return FL_IMPORT_UNKNOWN;
	}
	len -= end;
	return len > ns_len && strncmp(host + len - ns_len, ns, ns_len) == 0 &&
			       host[len - ns_len - 1] == '.'
		       ? FL_IMPORT_YES
		       : FL_IMPORT_NO;
}

/* When does Istio come to this rule, of all for the host? A workload of the mesh's own namespace sees the rules there last,
 * except those for nobody else. */
enum fl_import_rank fl_import_rank_of(const struct fl_import_draft *draft,
				      const struct fl_import_object *object, bool is_private,
				      const char *host, const char **ret_doubt)
{
	bool is_mesh = strcmp(object->ns, draft->root_ns) == 0;
	enum fl_import_selected is_service = is_namespace_of(object->ns, host);

	if (strcmp(object->ns, draft->ns) == 0 && (!is_mesh || is_private)) {
		return FL_IMPORT_OWN;
	}
	if (is_service == FL_IMPORT_YES) {
		return FL_IMPORT_OF_SERVICE;
	}
	if (is_mesh) {
		return FL_IMPORT_OF_MESH;
	}
	if (is_service == FL_IMPORT_UNKNOWN) {
		*ret_doubt = "the namespace of the service is not known";
		return FL_IMPORT_OF_SERVICE;
	}
	return FL_IMPORT_NO_RANK;
}

/* Could a rule for that host decide at all? */
static bool is_ranked(const struct fl_import_draft *draft, const struct fl_import_object *object,
		      bool is_private, const char *host)
{
	const char *doubt = NULL;
	bool is_every_service = fl_import_is_wildcard(host) && fl_import_covers(host, cluster_end);

	return is_every_service ||
	       fl_import_rank_of(draft, object, is_private, host, &doubt) != FL_IMPORT_NO_RANK;
}

static void read_rule(struct fl_import_draft *draft, struct fl_import_claim *claim)
{
	static const char *const known[] = {"host", "trafficPolicy", "exportTo", "workloadSelector",
					    NULL};
	static const char *const known_policy[] = {"tls", "portLevelSettings", NULL};
	const struct fl_import_object *object = claim->object;
	struct fl_yaml policy = fl_import_map(draft, object, object->spec, "trafficPolicy");
	struct fl_yaml tls = fl_import_map(draft, object, policy, "tls");

	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
	(void)fl_import_unknown_keys(draft, object, policy, known_policy, "left out");
	read_ports(draft, claim, policy);
	if (fl_yaml_is_given(tls)) {
		add_setting(draft, claim, 0, tls, false);
		claim->where = tls;
	}
	if (claim->count > 0 && fl_import_is_wildcard(claim->host)) {
		fl_import_miss(draft, object, claim->where,
			       "`%.200s` is no single name: left out, `[outbound]` decides",
			       claim->host);
	}
}

void fl_import_destination(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	struct fl_yaml host = fl_yaml_get(object->spec, "host");
	struct fl_import_claim claim = {
		.object = object, .where = host, .host = full_host(object, fl_yaml_text(host))};
	bool has_selector = fl_yaml_is_given(fl_yaml_get(object->spec, "workloadSelector"));
	bool is_own = strcmp(object->ns, draft->ns) == 0;
	bool is_visible =
		is_exported(draft, object, &claim.is_private) && (is_own || !has_selector);

	fl_import_check_text(draft, object, object->spec, "host");
	claim.is_private = claim.is_private || has_selector;
	if (is_visible && claim.host == NULL) {
		fl_import_miss(draft, object, host,
			       "`%.200s` is no single name: left out, `[outbound]` decides",
			       fl_yaml_text(host));
	}
	if (!is_visible || claim.host == NULL ||
	    !is_ranked(draft, object, claim.is_private, claim.host)) {
		free(claim.host);
		return;
	}
	claim.selected = fl_import_select(draft, object, object->spec, "workloadSelector");
	if (claim.selected == FL_IMPORT_UNKNOWN) {
		claim.where = fl_yaml_key_of(object->spec, "workloadSelector");
		claim.doubt = FL_IMPORT_NAME_LABELS;
	} else if (is_half_a_name(claim.host)) {
		claim.doubt = "Istio does not take this for a Service, write its whole name";
	}
	if (claim.selected != FL_IMPORT_NO) {
		read_rule(draft, &claim);
	}
	claim.has_selector = has_selector;
	claim.has_export = fl_yaml_is_given(fl_yaml_get(object->spec, "exportTo"));
	claim.has_policy = fl_yaml_is_given(fl_yaml_get(object->spec, "trafficPolicy"));
	draft->claims = fl_grow(draft->claims, draft->claim_count + 1, sizeof(*draft->claims));
	draft->claims[draft->claim_count++] = claim;
}
