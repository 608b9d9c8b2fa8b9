/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/import/draft.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "policy/policy.h"

#define TEXT_MAX 512
#define EXACT_DIGITS 15 /* kubectl rounds longer numbers */

/* --- what cannot be expressed ------------------------------------------------------------------- */

/* `FILE:LINE: KIND NAME: sentence`, as one line, whatever the file holds. */
static char *sentence(const struct fl_import_object *object, struct fl_yaml where, const char *text)
{
	unsigned line = fl_yaml_line(where);
	struct fl_text clean = {0};
	char *whole;

	whole = fl_format("%s:%u: %s%s%.100s: %s", object->file,
			  line != 0 ? line : fl_yaml_line(object->root), object->kind,
			  object->name[0] != '\0' ? " " : "", object->name, text);
	fl_text_put_clean(&clean, whole);
	free(whole);
	return clean.data;
}

void fl_import_miss(struct fl_import_draft *draft, const struct fl_import_object *object,
		    struct fl_yaml where, const char *fmt, ...)
{
	char text[TEXT_MAX], *line;
	va_list args;

	if (draft->missed_lines.count == FL_IMPORT_MISSED_MAX) {
		fl_import_refuse(draft, object, where,
				 "more than %d lines cannot be expressed; this is the next one",
				 FL_IMPORT_MISSED_MAX);
		return;
	}
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	line = sentence(object, where, text);
	if (!fl_import_words_have(&draft->missed_lines, line)) {
		(void)fprintf(stderr, "%s\n", line);
	}
	(void)fl_import_words_add(&draft->missed_lines, line);
}

void fl_import_refuse(struct fl_import_draft *draft, const struct fl_import_object *object,
		      struct fl_yaml where, const char *fmt, ...)
{
	char text[TEXT_MAX], *line;
	va_list args;

	if (++draft->refused > FL_IMPORT_REFUSED_MAX) {
		return;
	}
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	line = sentence(object, where, text);
	if (!fl_import_words_have(&draft->refused_lines, line)) {
		(void)fprintf(stderr, "%s\n", line);
	}
	(void)fl_import_words_add(&draft->refused_lines, line);
}

bool fl_import_unknown_keys(struct fl_import_draft *draft, const struct fl_import_object *object,
			    struct fl_yaml map, const char *const *known, const char *effect)
{
	bool found = false;

	for (size_t i = 0; fl_yaml_is_map(map) && i < fl_yaml_count(map); i++) {
		bool is_known = !fl_yaml_is_there(fl_yaml_item(map, i));

		for (size_t k = 0; known[k] != NULL && !is_known; k++) {
			is_known = strcmp(known[k], fl_yaml_key(map, i)) == 0;
		}
		if (!is_known) {
			fl_import_miss(draft, object, fl_yaml_key_at(map, i),
				       "`%s` has no counterpart where TCP is relayed as it is: %s",
				       fl_yaml_key(map, i), effect);
			found = true;
		}
	}
	return found;
}

struct fl_yaml fl_import_map(struct fl_import_draft *draft, const struct fl_import_object *object,
			     struct fl_yaml map, const char *key)
{
	struct fl_yaml value = fl_yaml_get(map, key);

	if (fl_yaml_is_given(value) && !fl_yaml_is_map(value)) {
		fl_import_refuse(draft, object, fl_yaml_key_of(map, key), "`%s` is no mapping",
				 key);
		return (struct fl_yaml){0};
	}
	return value;
}

/* Does kubectl make something else of it, where a text belongs? 010 is 8 for it, and `on` is true. Kubernetes refuses that, and
 * what was meant is not known. It refuses 8080, too, but that means the same to everybody. */
static bool is_read_otherwise(struct fl_yaml value)
{
	const char *text = fl_yaml_text(value);
	size_t digits = strspn(text, "0123456789");
	bool is_plain = text[digits] == '\0' && text[0] != '0' && digits <= EXACT_DIGITS;

	return text[0] != '\0' && !fl_yaml_is_string(value) && !is_plain;
}

void fl_import_check_text(struct fl_import_draft *draft, const struct fl_import_object *object,
			  struct fl_yaml map, const char *key)
{
	struct fl_yaml value = fl_yaml_get(map, key);

	if (is_read_otherwise(value)) {
		fl_import_refuse(draft, object, value, "`%s` must be a text: write it in quotes",
				 key);
	}
}

static bool are_texts_or_more(struct fl_import_draft *draft, const struct fl_import_object *object,
			      struct fl_yaml list, const char *key)
{
	for (size_t i = 0; i < fl_yaml_count(list); i++) {
		struct fl_yaml item = fl_yaml_item(list, i);

		if (is_read_otherwise(item)) {
			fl_import_refuse(draft, object, item,
					 "`%.100s` in `%s` must be a text: write it in quotes",
					 fl_yaml_text(item), key);
			return false;
		}
	}
	return true;
}

struct fl_yaml fl_import_list(struct fl_import_draft *draft, const struct fl_import_object *object,
			      struct fl_yaml map, const char *key)
{
	struct fl_yaml value = fl_yaml_get(map, key);

	if (fl_yaml_is_given(value) && (!fl_yaml_is_list(value) || fl_yaml_count(value) == 0)) {
		fl_import_refuse(draft, object, fl_yaml_key_of(map, key),
				 fl_yaml_is_list(value) ? "`%s` is empty" : "`%s` is no list", key);
		return (struct fl_yaml){0};
	}
	if (fl_yaml_count(value) > FL_IMPORT_WORDS_MAX) {
		fl_import_refuse(draft, object, fl_yaml_key_of(map, key),
				 "`%s` has more than %d items", key, FL_IMPORT_WORDS_MAX);
		return (struct fl_yaml){0};
	}
	return are_texts_or_more(draft, object, value, key) ? value : (struct fl_yaml){0};
}

bool fl_import_are_maps(struct fl_import_draft *draft, const struct fl_import_object *object,
			struct fl_yaml list, const char *key)
{
	for (size_t i = 0; i < fl_yaml_count(list); i++) {
		if (!fl_yaml_is_map(fl_yaml_item(list, i))) {
			fl_import_refuse(draft, object, fl_yaml_item(list, i),
					 "an item of `%s` is no mapping", key);
			return false;
		}
	}
	return true;
}

/* --- words ------------------------------------------------------------------------------------- */

bool fl_import_words_add(struct fl_import_words *words, char *text)
{
	bool have = fl_import_words_have(words, text);

	if (have || words->count == FL_IMPORT_WORDS_MAX) {
		words->is_cut = words->is_cut || !have;
		free(text);
		return have;
	}
	fl_import_words_append(words, text);
	return true;
}

void fl_import_words_append(struct fl_import_words *words, char *text)
{
	words->items = fl_grow(words->items, words->count + 1, sizeof(char *));
	words->items[words->count++] = text;
}

const char *fl_import_words_keep(struct fl_import_words *words, char *text)
{
	for (size_t i = 0; i < words->count; i++) {
		if (strcmp(words->items[i], text) == 0) {
			free(text);
			return words->items[i];
		}
	}
	return fl_import_words_add(words, text) ? words->items[words->count - 1] : "";
}

void fl_import_words_copy(struct fl_import_words *to, const struct fl_import_words *from)
{
	fl_import_words_done(to);
	for (size_t i = 0; i < from->count; i++) {
		(void)fl_import_words_add(to, fl_strdup(from->items[i]));
	}
	to->is_cut = from->is_cut;
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

	if (draft->rule_count == FL_IMPORT_RULES_MAX) {
		fl_import_refuse(draft, object, where, "this is more than %d rules",
				 FL_IMPORT_RULES_MAX);
	}
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

/* --- ports, patterns ----------------------------------------------------------------------------- */

/* Other systems ignore bits behind the prefix, the INI refuses them. */
static void clear_host_bits(struct fl_cidr *net, unsigned bits)
{
	net->bits = (uint8_t)bits;
	for (size_t i = 0; i < sizeof(net->addr); i++) {
		unsigned left = bits > i * 8 ? bits - (unsigned)i * 8 : 0;

		if (left < 8) {
			net->addr[i] &= (uint8_t)(0xff00U >> left);
		}
	}
}

char *fl_import_network(const char *text)
{
	const char *slash = strchr(text, '/');
	char *address = fl_strndup(text, slash != NULL ? (size_t)(slash - text) : strlen(text));
	char *end = NULL, buf[FL_CIDR_TEXT];
	unsigned long bits = slash != NULL ? strtoul(slash + 1, &end, 10) : 0;
	struct fl_cidr net;
	bool is = fl_cidr_parse(address, &net, NULL) == FL_OK &&
		  (net.family == AF_INET6 || strchr(address, ':') == NULL);

	free(address);
	if (is && slash != NULL) {
		is = slash[1] >= '0' && slash[1] <= '9' && (slash[1] != '0' || slash[2] == '\0') &&
		     *end == '\0' && bits <= net.bits;
		clear_host_bits(&net, is ? (unsigned)bits : 0);
	}
	return is ? fl_strdup(fl_cidr_format(&net, buf)) : NULL;
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

unsigned fl_import_port_literal(const char *text)
{
	return text[0] != '0' ? fl_import_port_number(text) : 0;
}

bool fl_import_is_pattern(const char *text)
{
	struct fl_pattern *pattern = NULL;
	bool is = fl_pattern_parse(text, &pattern, NULL) == FL_OK;

	fl_pattern_free(pattern);
	return is;
}
