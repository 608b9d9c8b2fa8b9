/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/import/draft.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy.h"

/* --- what cannot be expressed ------------------------------------------------------------------- */

void fl_import_miss(struct fl_import_draft *draft, const struct fl_import_object *object,
		    struct fl_yaml where, const char *fmt, ...)
{
	unsigned line = fl_yaml_line(where);
	struct fl_text clean = {0};
	char text[512], *whole;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	whole = fl_format("%s:%u: %s %.100s: %s", object->file,
			  line != 0 ? line : fl_yaml_line(object->root), object->kind, object->name,
			  text);
	/* Text of the file goes into the INI as a comment: make it one line, whatever it holds. */
	fl_text_put_clean(&clean, whole);
	(void)fprintf(stderr, "%s\n", clean.data);
	fl_text_print(&draft->missed_lines, "; %s\n", clean.data);
	draft->missed++;
	free(whole);
	fl_text_done(&clean);
}

bool fl_import_unknown_keys(struct fl_import_draft *draft, const struct fl_import_object *object,
			    struct fl_yaml map, const char *const *known, const char *effect)
{
	bool found = false;

	for (size_t i = 0; fl_yaml_is_map(map) && i < fl_yaml_count(map); i++) {
		struct fl_yaml value = fl_yaml_item(map, i);
		bool is_known = !fl_yaml_is_there(value);

		for (size_t k = 0; known[k] != NULL && !is_known; k++) {
			is_known = strcmp(known[k], fl_yaml_key(map, i)) == 0;
		}
		if (!is_known) {
			fl_import_miss(draft, object, value,
				       "`%s` has no counterpart where TCP is relayed as it is: %s",
				       fl_yaml_key(map, i), effect);
			found = true;
		}
	}
	return found;
}

/* --- words ------------------------------------------------------------------------------------- */

void fl_import_words_add(struct fl_import_words *words, char *text)
{
	if (fl_import_words_have(words, text)) {
		free(text);
		return;
	}
	words->items = fl_grow(words->items, words->count + 1, sizeof(char *));
	words->items[words->count++] = text;
}

bool fl_import_words_have(const struct fl_import_words *words, const char *text)
{
	for (size_t i = 0; i < words->count; i++) {
		if (strcmp(words->items[i], text) == 0) {
			return true;
		}
	}
	return false;
}

void fl_import_words_done(struct fl_import_words *words)
{
	for (size_t i = 0; i < words->count; i++) {
		free(words->items[i]);
	}
	free(words->items);
	*words = (struct fl_import_words){0};
}

/* --- rules, ports ------------------------------------------------------------------------------ */

struct fl_import_rule *fl_import_rule_add(struct fl_import_draft *draft,
					  const struct fl_import_object *object,
					  struct fl_yaml where, bool deny)
{
	struct fl_import_rule *rule;

	draft->rules = fl_grow(draft->rules, draft->rule_count + 1, sizeof(*draft->rules));
	rule = &draft->rules[draft->rule_count++];
	*rule = (struct fl_import_rule){.name = fl_strdup(object->name),
					.file = fl_strdup(object->file),
					.line = fl_yaml_line(where),
					.deny = deny};
	return rule;
}

struct fl_import_port *fl_import_port_of(struct fl_import_draft *draft, unsigned port,
					 const char *name)
{
	for (size_t i = 0; i < draft->port_count; i++) {
		if (draft->ports[i].port == port) {
			return &draft->ports[i];
		}
	}
	draft->ports = fl_grow(draft->ports, draft->port_count + 1, sizeof(*draft->ports));
	draft->ports[draft->port_count] = (struct fl_import_port){
		.name = name != NULL ? fl_strdup(name) : fl_format("port-%u", port), .port = port};
	return &draft->ports[draft->port_count++];
}

enum fl_import_selected fl_import_select(const struct fl_import_draft *draft, struct fl_yaml labels)
{
	if (!fl_yaml_is_there(labels) || fl_yaml_count(labels) == 0) {
		return FL_IMPORT_YES;
	}
	for (size_t i = 0; draft->has_labels && i < fl_yaml_count(labels); i++) {
		char *label = fl_format("%s=%s", fl_yaml_key(labels, i),
					fl_yaml_text(fl_yaml_item(labels, i)));
		bool has = fl_import_words_have(&draft->labels, label);

		free(label);
		if (!has) {
			return FL_IMPORT_NO;
		}
	}
	return draft->has_labels ? FL_IMPORT_YES : FL_IMPORT_UNKNOWN;
}

unsigned fl_import_port_number(const char *text)
{
	unsigned port = 0;

	for (const char *c = text; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || port > UINT16_MAX) {
			return 0;
		}
		port = port * 10 + (unsigned)(*c - '0');
	}
	return port <= UINT16_MAX ? port : 0;
}

bool fl_import_is_pattern(const char *text)
{
	struct fl_pattern *pattern = NULL;
	bool is = fl_pattern_parse(text, &pattern, NULL) == FL_OK;

	fl_pattern_free(pattern);
	return is;
}
