/* SPDX-License-Identifier: GPL-3.0-or-later */
/* select - does a selector of labels select the workload? */
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"

/* --- what Kubernetes would not accept ------------------------------------------------------------- */

/* A label that is no text selects nothing, so a policy with it would be skipped. kubectl writes the value of a key that is none
 * (`true` for `on`). Wildcards are no part of labels. */
static bool are_labels(struct fl_import_draft *draft, const struct fl_import_object *object,
		       struct fl_yaml labels)
{
	bool are = true;

	for (size_t i = 0; i < fl_yaml_count(labels); i++) {
		const char *key = fl_yaml_key(labels, i);
		struct fl_yaml value = fl_yaml_item(labels, i);

		if (!fl_yaml_is_string(fl_yaml_key_at(labels, i)) || key[0] == '\0' ||
		    strchr(key, '*') != NULL || !fl_yaml_is_string(value) ||
		    strchr(fl_yaml_text(value), '*') != NULL) {
			fl_import_refuse(
				draft, object, fl_yaml_key_at(labels, i),
				"the label `%.100s` must be a text without `*`: write numbers, "
				"y, n, yes, no, on and off in quotes",
				key);
			are = false;
		}
	}
	return are;
}

static bool are_strings(struct fl_yaml list)
{
	bool are = fl_yaml_is_list(list);

	for (size_t i = 0; are && i < fl_yaml_count(list); i++) {
		are = fl_yaml_is_string(fl_yaml_item(list, i));
	}
	return are;
}

static bool is_in(const char *word)
{
	return strcmp(word, "In") == 0 || strcmp(word, "NotIn") == 0;
}

static bool is_exists(const char *word)
{
	return strcmp(word, "Exists") == 0 || strcmp(word, "DoesNotExist") == 0;
}

static bool is_expression(struct fl_yaml expression)
{
	struct fl_yaml values = fl_yaml_get(expression, "values");
	const char *word = fl_yaml_text(fl_yaml_get(expression, "operator"));

	return fl_yaml_is_string(fl_yaml_get(expression, "key")) &&
	       fl_yaml_is_string(fl_yaml_get(expression, "operator")) &&
	       (!fl_yaml_is_there(values) || are_strings(values)) &&
	       (!is_in(word) || fl_yaml_count(values) > 0) &&
	       (!is_exists(word) || fl_yaml_count(values) == 0);
}

static bool are_expressions(struct fl_import_draft *draft, const struct fl_import_object *object,
			    struct fl_yaml selector)
{
	static const char key[] = "matchExpressions";
	struct fl_yaml expressions = fl_yaml_get(selector, key);

	if (fl_yaml_is_there(expressions) && !fl_yaml_is_list(expressions)) {
		fl_import_refuse(draft, object, fl_yaml_key_of(selector, key), "`%s` is no list",
				 key);
		return false;
	}
	for (size_t i = 0; i < fl_yaml_count(expressions); i++) {
		if (!is_expression(fl_yaml_item(expressions, i))) {
			fl_import_refuse(
				draft, object, fl_yaml_item(expressions, i),
				"each item of `%s` must have `key` and `operator`, and `values` "
				"for In and NotIn only, all of them texts",
				key);
			return false;
		}
	}
	return true;
}

/* --- the labels of the workload ------------------------------------------------------------------- */

static bool has_label(const struct fl_import_draft *draft, const char *key, const char *value)
{
	char *label = fl_format("%s=%s", key, value);
	bool has = fl_import_words_have(&draft->labels, label);

	free(label);
	return has;
}

static bool has_label_key(const struct fl_import_draft *draft, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < draft->labels.count; i++) {
		if (strncmp(draft->labels.items[i], key, len) == 0 &&
		    draft->labels.items[i][len] == '=') {
			return true;
		}
	}
	return false;
}

static enum fl_import_selected selected_by_expression(const struct fl_import_draft *draft,
						      struct fl_yaml expression)
{
	struct fl_yaml values = fl_yaml_get(expression, "values");
	const char *key = fl_yaml_text(fl_yaml_get(expression, "key"));
	const char *word = fl_yaml_text(fl_yaml_get(expression, "operator"));
	bool in = false;

	for (size_t i = 0; i < fl_yaml_count(values); i++) {
		in = in || has_label(draft, key, fl_yaml_text(fl_yaml_item(values, i)));
	}
	if (is_in(word)) {
		return in == (word[0] == 'I') ? FL_IMPORT_YES : FL_IMPORT_NO;
	}
	if (is_exists(word)) {
		return has_label_key(draft, key) == (word[0] == 'E') ? FL_IMPORT_YES : FL_IMPORT_NO;
	}
	return FL_IMPORT_UNKNOWN;
}

static enum fl_import_selected selected_by(const struct fl_import_draft *draft,
					   struct fl_yaml labels, struct fl_yaml expressions)
{
	enum fl_import_selected selected = FL_IMPORT_YES;

	for (size_t i = 0; i < fl_yaml_count(labels); i++) {
		if (!has_label(draft, fl_yaml_key(labels, i),
			       fl_yaml_text(fl_yaml_item(labels, i)))) {
			return FL_IMPORT_NO;
		}
	}
	for (size_t i = 0; i < fl_yaml_count(expressions); i++) {
		switch (selected_by_expression(draft, fl_yaml_item(expressions, i))) {
		case FL_IMPORT_NO:
			return FL_IMPORT_NO;
		case FL_IMPORT_UNKNOWN:
			selected = FL_IMPORT_UNKNOWN;
			break;
		case FL_IMPORT_YES:
		default:
			break;
		}
	}
	return selected;
}

/* Istio's selectors have no expressions: Kubernetes refuses them or drops them, and then all workloads are selected. */
enum fl_import_selected fl_import_select(struct fl_import_draft *draft,
					 const struct fl_import_object *object, struct fl_yaml map,
					 const char *key)
{
	static const char *const of_istio[] = {"matchLabels", NULL};
	static const char *const of_kubernetes[] = {"matchLabels", "matchExpressions", NULL};
	bool is_istio = fl_import_is_istio(object);
	struct fl_yaml selector = fl_import_map(draft, object, map, key);
	struct fl_yaml labels = fl_import_map(draft, object, selector, "matchLabels");
	struct fl_yaml expressions =
		is_istio ? (struct fl_yaml){0} : fl_yaml_get(selector, "matchExpressions");

	if (!are_labels(draft, object, labels) ||
	    (!is_istio && !are_expressions(draft, object, selector))) {
		return FL_IMPORT_NO; /* it was refused */
	}
	if (fl_import_unknown_keys(draft, object, selector, is_istio ? of_istio : of_kubernetes,
				   "it is not known which workloads are meant")) {
		return FL_IMPORT_UNKNOWN;
	}
	if (!draft->has_labels && fl_yaml_count(labels) + fl_yaml_count(expressions) > 0) {
		return FL_IMPORT_UNKNOWN;
	}
	return selected_by(draft, labels, expressions);
}
