/* SPDX-License-Identifier: GPL-3.0-or-later */
/* istio - PeerAuthentication, and which resources are read elsewhere. */
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"

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
		unsigned number = fl_import_port_literal(fl_yaml_key(ports, i));
		enum fl_inbound_mode mode;

		if (number == 0 || !fl_yaml_is_map(fl_yaml_item(ports, i))) {
			fl_import_refuse(draft, object, fl_yaml_key_at(ports, i),
					 "each key of `portLevelMtls` must be " FL_IMPORT_WRITE_PORT
					 "; and its value a mapping");
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
	fl_import_destinations_finish(draft);
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
		fl_import_destination(draft, object);
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
