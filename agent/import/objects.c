/* SPDX-License-Identifier: GPL-3.0-or-later */
/* objects - finds the resources in the files, and refuses those that Kubernetes would not accept. Such a one might
 * otherwise be taken for another workload's, and what it denies would be lost. */
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"

#define LISTS_MAX_DEPTH 8
#define LABEL_MAX_LEN 63
#define NAME_MAX_LEN 253

/* --- systems -------------------------------------------------------------------------------------- */

static size_t group_len(const char *group)
{
	return strcspn(group, "/");
}

/* `security.istio.io/v1` belongs to istio.io, and so does every other group of it. */
static bool is_of(const char *group, const char *system)
{
	size_t len = group_len(group), want = strlen(system);

	return len >= want && strncmp(group + len - want, system, want) == 0 &&
	       (len == want || group[len - want - 1] == '.');
}

bool fl_import_is_istio(const struct fl_import_object *object)
{
	return is_of(object->group, "istio.io");
}

static bool is_known(const struct fl_import_object *object)
{
	return fl_import_is_istio(object) || is_of(object->group, "linkerd.io");
}

/* Does its group have another kind of that name, or none? Kubernetes would not know it. */
static bool is_of_another_group(const struct fl_import_object *object, const char **ret_group)
{
	static const struct {
		const char *kind, *istio, *linkerd;
	} kinds[] = {
		{"AuthorizationPolicy", "security.istio.io", "policy.linkerd.io"},
		{"PeerAuthentication", "security.istio.io", NULL},
		{"DestinationRule", "networking.istio.io", NULL},
		{"Server", NULL, "policy.linkerd.io"},
		{"MeshTLSAuthentication", NULL, "policy.linkerd.io"},
		{"NetworkAuthentication", NULL, "policy.linkerd.io"},
	};

	for (size_t i = 0; i < FL_COUNT_OF(kinds); i++) {
		if (strcmp(object->kind, kinds[i].kind) == 0) {
			*ret_group = fl_import_is_istio(object) ? kinds[i].istio : kinds[i].linkerd;
			return *ret_group == NULL ||
			       strncmp(object->group, *ret_group, strlen(*ret_group)) != 0 ||
			       object->group[strlen(*ret_group)] != '/';
		}
	}
	return false;
}

/* Is it a policy, although no system is named that we know? It must not be skipped like a Deployment. */
static bool is_policy_of_nobody(const struct fl_import_object *object)
{
	static const char *const kinds[] = {"AuthorizationPolicy", "PeerAuthentication",
					    "DestinationRule", "ServerAuthorization",
					    "MeshTLSAuthentication"};

	for (size_t i = 0; i < FL_COUNT_OF(kinds); i++) {
		if (strcmp(object->kind, kinds[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* --- what Kubernetes would not accept ------------------------------------------------------------- */

/* RFC 1123, section 2.1, in lower case. dots: several labels. */
static bool is_dns_name(const char *text, size_t max, bool dots)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t len = strlen(text);
	bool is = len > 0 && len <= max;

	while (is && *text != '\0') {
		size_t label = strcspn(text, dots ? "." : "");

		is = label > 0 && text[0] != '-' && text[label - 1] != '-';
		for (size_t i = 0; is && i < label; i++) {
			is = text[i] == '-' || strchr(letters, text[i]) != NULL;
		}
		text += label + (text[label] == '.');
		is = is && (*text != '\0' || text[-1] != '.');
	}
	return is;
}

bool fl_import_is_namespace(const char *text)
{
	return is_dns_name(text, LABEL_MAX_LEN, false);
}

bool fl_import_is_name(const char *text)
{
	return is_dns_name(text, NAME_MAX_LEN, true);
}

static void check_object(struct fl_import_draft *draft, struct fl_import_object *object)
{
	static const char dry_run[] = "istio.io/dry-run";
	struct fl_yaml root = object->root;
	struct fl_yaml metadata = fl_import_map(draft, object, root, "metadata");
	struct fl_yaml name = fl_yaml_get(metadata, "name");
	struct fl_yaml ns = fl_yaml_get(metadata, "namespace");
	struct fl_yaml notes = fl_yaml_get(metadata, "annotations");
	struct fl_yaml note = fl_yaml_get(notes, dry_run);
	const char *group = NULL;

	if (is_of_another_group(object, &group)) {
		fl_import_refuse(draft, object, fl_yaml_get(root, "apiVersion"),
				 "`apiVersion` has no such kind%s%s%s", group != NULL ? ": " : "",
				 group != NULL ? group : "",
				 group != NULL ? "/VERSION has one" : "");
	}
	(void)fl_import_map(draft, object, root, "spec");
	if (fl_yaml_is_given(fl_yaml_get(root, "metadata")) && !fl_yaml_is_given(metadata)) {
		return; /* that was refused */
	}
	if ((fl_yaml_is_given(name) || !fl_yaml_is_string(fl_yaml_get(metadata, "generateName"))) &&
	    !(fl_yaml_is_string(name) && fl_import_is_name(object->name))) {
		fl_import_refuse(draft, object, fl_yaml_is_given(name) ? name : root,
				 "`metadata` must have a `name` of lower-case letters, digits, `-` "
				 "and `.`");
	}
	/* Null and empty are the namespace in which it is applied. */
	if (fl_yaml_is_there(ns) &&
	    !(fl_yaml_is_string(ns) &&
	      (object->ns[0] == '\0' || fl_import_is_namespace(object->ns)))) {
		fl_import_refuse(
			draft, object, ns,
			"`namespace` must be a text of lower-case letters, digits and `-`");
	}
	if (fl_yaml_is_there(notes) && !fl_yaml_is_map(notes)) {
		fl_import_refuse(draft, object, fl_yaml_key_of(metadata, "annotations"),
				 "`annotations` is no mapping");
	}
	if (fl_yaml_is_given(note) && !fl_yaml_is_string(note)) {
		fl_import_refuse(draft, object, fl_yaml_key_of(notes, dry_run),
				 "`%s` must be a text: write it in quotes", dry_run);
	}
}

/* --- lists ---------------------------------------------------------------------------------------- */

static const char list_end[] = "List";

static bool ends_with_list(const char *kind)
{
	size_t len = strlen(kind), want = sizeof(list_end) - 1;

	return len >= want && strcmp(kind + len - want, list_end) == 0;
}

/* Resources of other systems may have such names without being lists. */
static bool is_list(const struct fl_import_object *object)
{
	return ends_with_list(object->kind) &&
	       (fl_yaml_is_given(fl_yaml_get(object->root, "items")) ||
		strcmp(object->kind, list_end) == 0 || is_known(object));
}

static void add_object(struct fl_import_draft *draft, const struct fl_import_object *list,
		       const char *file, struct fl_yaml root, unsigned depth);

static void add_items(struct fl_import_draft *draft, const struct fl_import_object *list,
		      unsigned depth)
{
	struct fl_yaml items = fl_yaml_get(list->root, "items");

	if (!fl_yaml_is_given(items) || (fl_yaml_is_there(items) && !fl_yaml_is_list(items))) {
		fl_import_refuse(draft, list, list->root, "a list must have `items`, as a list");
	}
	for (size_t i = 0; i < fl_yaml_count(items) && draft->refused == 0; i++) {
		add_object(draft, list, list->file, fl_yaml_item(items, i), depth + 1);
	}
}

/* An item of an AuthorizationPolicyList without kind and apiVersion is an AuthorizationPolicy of the list's apiVersion. */
static void inherit(struct fl_import_draft *draft, struct fl_import_object *object,
		    const struct fl_import_object *list)
{
	size_t len = strlen(list->kind) - (sizeof(list_end) - 1);

	if (len == 0 || fl_yaml_is_given(fl_yaml_get(object->root, "kind")) ||
	    fl_yaml_is_given(fl_yaml_get(object->root, "apiVersion"))) {
		return;
	}
	object->group = list->group;
	object->kind = fl_import_words_keep(&draft->kinds, fl_strndup(list->kind, len));
}

static void keep_object(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	draft->objects = fl_grow(draft->objects, draft->object_count + 1, sizeof(*draft->objects));
	draft->objects[draft->object_count++] = *object;
}

/* "" if it is no text. */
static const char *string(struct fl_yaml map, const char *key)
{
	struct fl_yaml value = fl_yaml_get(map, key);

	return fl_yaml_is_string(value) ? fl_yaml_text(value) : "";
}

/* Skips resources of other systems. list: the list that it is in, or NULL; lists may be in lists. */
static void add_object(struct fl_import_draft *draft, const struct fl_import_object *list,
		       const char *file, struct fl_yaml root, unsigned depth)
{
	struct fl_yaml metadata = fl_yaml_get(root, "metadata");
	struct fl_import_object object = {.file = file,
					  .root = root,
					  .spec = fl_yaml_get(root, "spec"),
					  .group = string(root, "apiVersion"),
					  .kind = string(root, "kind"),
					  .name = fl_yaml_text(fl_yaml_get(metadata, "name")),
					  .ns = fl_yaml_text(fl_yaml_get(metadata, "namespace"))};

	if (!fl_yaml_is_there(root) && list == NULL) {
		return; /* nothing between two `---` */
	}
	if (list != NULL) {
		inherit(draft, &object, list);
	}
	if (!fl_yaml_is_map(root) || depth > LISTS_MAX_DEPTH || object.kind[0] == '\0' ||
	    object.group[0] == '\0') {
		object.kind = object.kind[0] != '\0' ? object.kind : "(no kind)";
		fl_import_refuse(
			draft, &object, root,
			"this is no resource: it must have `apiVersion` and `kind`, as texts");
	} else if (is_list(&object)) {
		add_items(draft, &object, depth);
	} else if (fl_yaml_is_given(fl_yaml_get(root, "items"))) {
		fl_import_refuse(draft, &object, fl_yaml_key_of(root, "items"),
				 "only a list has `items`, and its kind ends in List");
	} else if (is_known(&object)) {
		check_object(draft, &object);
		keep_object(draft, &object);
	} else if (is_policy_of_nobody(&object)) {
		fl_import_refuse(draft, &object, root,
				 "`apiVersion` names neither Istio nor Linkerd, for example "
				 "security.istio.io/v1");
	}
}

void fl_import_collect(struct fl_import_draft *draft, const struct fl_yaml_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		add_object(draft, NULL, file->name, fl_yaml_root(file, i), 0);
	}
}

/* --- the same resource twice ---------------------------------------------------------------------- */

/* By what Kubernetes knows a resource by: its version does not matter. */
static int compare_names(const struct fl_import_object *left, const struct fl_import_object *right)
{
	size_t left_len = group_len(left->group), right_len = group_len(right->group);
	int order = (left_len > right_len) - (left_len < right_len);

	order = order != 0 ? order : strncmp(left->group, right->group, left_len);
	order = order != 0 ? order : strcmp(left->kind, right->kind);
	order = order != 0 ? order : strcmp(left->ns, right->ns);
	return order != 0 ? order : strcmp(left->name, right->name);
}

static int compare_objects(const void *a, const void *b)
{
	const struct fl_import_object *left = *(const struct fl_import_object *const *)a;
	const struct fl_import_object *right = *(const struct fl_import_object *const *)b;
	int order = compare_names(left, right);

	return order != 0 ? order : (left > right) - (left < right); /* in the order of the files */
}

/* In everything that is read of them? */
static bool are_equal(const struct fl_import_object *left, const struct fl_import_object *right)
{
	struct fl_yaml one = fl_yaml_get(left->root, "metadata");
	struct fl_yaml other = fl_yaml_get(right->root, "metadata");

	return fl_yaml_is_equal(left->spec, right->spec) &&
	       fl_yaml_is_equal(fl_yaml_get(one, "annotations"),
				fl_yaml_get(other, "annotations")) &&
	       fl_yaml_is_equal(fl_yaml_get(one, "creationTimestamp"),
				fl_yaml_get(other, "creationTimestamp"));
}

static void check_twins(struct fl_import_draft *draft, const struct fl_import_object *first,
			struct fl_import_object *second)
{
	if (first->name[0] == '\0' || compare_names(first, second) != 0) {
		return;
	}
	if (!are_equal(first, second)) {
		fl_import_refuse(
			draft, second, second->root,
			"the same resource stands at %.200s:%u, and differs: a cluster has "
			"only one of them",
			first->file, fl_yaml_line(first->root));
	}
	second->is_copy = true;
}

void fl_import_unite(struct fl_import_draft *draft)
{
	struct fl_import_object **sorted = fl_new((draft->object_count + 1) * sizeof(void *));
	size_t kept = 0;

	for (size_t i = 0; i < draft->object_count; i++) {
		sorted[i] = &draft->objects[i];
	}
	qsort(sorted, draft->object_count, sizeof(void *), compare_objects);
	for (size_t i = 1; i < draft->object_count; i++) {
		check_twins(draft, sorted[i - 1], sorted[i]);
	}
	free(sorted);
	for (size_t i = 0; i < draft->object_count; i++) {
		if (!draft->objects[i].is_copy) {
			draft->objects[kept++] = draft->objects[i];
		}
	}
	draft->object_count = kept;
}
