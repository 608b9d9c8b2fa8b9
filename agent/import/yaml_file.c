/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/import/yaml_file.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "agent/import/yaml_word.h"
#include "base/mem.h"

/* Comparisons of keys that merging may cost in one document. */
#define MERGE_WORK_MAX 20000000
#define MERGE_DEPTH_MAX 100
#define BRACKETS_MAX_DEPTH 1000
/* Values that comparing two resources may visit: aliases make small files large. */
#define COMPARE_WORK_MAX 1000000
#define COMPARE_DEPTH_MAX 100 /* an alias may stand inside of what it stands for */

static int parse_failed(const struct fl_yaml_file *file, const yaml_parser_t *parser,
			struct fl_err *err)
{
	if (parser->error == YAML_MEMORY_ERROR) {
		return fl_err_set(err, FL_ERR_NOMEM, "%s: out of memory", file->name);
	}
	return fl_err_set(err, FL_ERR_INVALID, "%s:%zu: this is no YAML: %s", file->name,
			  parser->problem_mark.line + 1,
			  parser->problem != NULL ? parser->problem : "not readable");
}

static const char *text_of(const yaml_node_t *node)
{
	return node != NULL && node->type == YAML_SCALAR_NODE
		       ? (const char *)node->data.scalar.value
		       : "";
}

/* --- keys that occur twice ----------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
	const yaml_node_t *const *left = a, *const *right = b;
	int order = strcmp(text_of(*left), text_of(*right));

	return order != 0 ? order
			  : (*left > *right) - (*left < *right); /* in the order of the file */
}

/* Readers differ in which of two equal keys they follow, so a file that has them is refused: kubectl refuses it, too. */
static int check_keys(const struct fl_yaml_file *file, yaml_document_t *document,
		      const yaml_node_t *map, struct fl_err *err)
{
	size_t count = (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start);
	const yaml_node_t **keys = fl_new((count + 1) * sizeof(void *));
	const yaml_node_t *twice = NULL;

	for (size_t i = 0; i < count; i++) {
		keys[i] = yaml_document_get_node(document, map->data.mapping.pairs.start[i].key);
	}
	qsort(keys, count, sizeof(void *), compare_keys);
	for (size_t i = 1; i < count && twice == NULL; i++) {
		if (keys[i]->type == YAML_SCALAR_NODE &&
		    strcmp(text_of(keys[i - 1]), text_of(keys[i])) == 0) {
			twice = keys[i];
		}
	}
	free(keys);
	return twice == NULL
		       ? FL_OK
		       : fl_err_set(err, FL_ERR_INVALID, "%s:%zu: the key `%.100s` occurs twice",
				    file->name, twice->start_mark.line + 1, text_of(twice));
}

/* --- merge keys ---------------------------------------------------------------------------------- */

/* `<<: *base` stands for the pairs of base that the map itself does not have (https://yaml.org/type/merge.html). They are
 * copied into the map, so that readers of maps need not know of it. */
struct merging {
	const struct fl_yaml_file *file;
	yaml_document_t *document;
	struct fl_err *err;
	size_t work;
};

static int merge_failed(const struct merging *m, const yaml_node_t *where, const char *what)
{
	return fl_err_set(m->err, FL_ERR_INVALID, "%s:%zu: `<<` %s", m->file->name,
			  where->start_mark.line + 1, what);
}

/* The key of a map; NULL: there is none. ret_at: its place among the pairs. */
static const yaml_node_t *find_key(struct merging *m, const yaml_node_t *map, const char *key,
				   size_t *ret_at)
{
	for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++) {
		const yaml_node_t *node = yaml_document_get_node(m->document, pair->key);

		m->work++;
		if (strcmp(text_of(node), key) == 0) {
			*ret_at = (size_t)(pair - map->data.mapping.pairs.start);
			return node;
		}
	}
	return NULL;
}

static int merge_map(struct merging *m, int index, unsigned depth);

/* The place of `<<` among the pairs matters: for kubectl, what it stands for replaces the pairs before it, against YAML's
 * rule. */
static int merge_pair(struct merging *m, int index, size_t place, const yaml_node_pair_t *pair)
{
	const yaml_node_t *map = yaml_document_get_node(m->document, index);
	const char *key = text_of(yaml_document_get_node(m->document, pair->key));
	size_t at = 0;
	const yaml_node_t *own = find_key(m, map, key, &at);

	if (own != NULL && at < place) {
		return fl_err_set(m->err, FL_ERR_INVALID,
				  "%s:%zu: the key `%.100s` stands before a `<<` that has it, too: "
				  "write `<<` first",
				  m->file->name, own->start_mark.line + 1, key);
	}
	if (own == NULL &&
	    yaml_document_append_mapping_pair(m->document, index, pair->key, pair->value) == 0) {
		return fl_err_set(m->err, FL_ERR_NOMEM, "%s: out of memory", m->file->name);
	}
	return FL_OK;
}

/* Nodes do not move while pairs are appended; the pairs of a map may. */
static int merge_base(struct merging *m, int index, size_t place, int base_index, unsigned depth)
{
	yaml_node_t *base = yaml_document_get_node(m->document, base_index);
	int rc;

	if (base->type != YAML_MAPPING_NODE || base_index == index) {
		return merge_failed(m, base, "does not stand for a mapping");
	}
	rc = merge_map(m, base_index, depth + 1);
	for (size_t i = 0; rc == FL_OK && i < (size_t)(base->data.mapping.pairs.top -
						       base->data.mapping.pairs.start);
	     i++) {
		yaml_node_pair_t pair = base->data.mapping.pairs.start[i];

		rc = m->work > MERGE_WORK_MAX ? merge_failed(m, base, "is used too often")
					      : merge_pair(m, index, place, &pair);
	}
	return rc;
}

/* In quotes it is a key like any other. */
static bool is_merge_key(const yaml_node_t *key)
{
	return strcmp(text_of(key), "<<") == 0 && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Takes the pair `<<` out of the map, from ret_place. False: there is none. */
static bool take_merge_key(struct merging *m, yaml_node_t *map, int *ret_value, size_t *ret_place)
{
	for (yaml_node_pair_t *pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++) {
		if (!is_merge_key(yaml_document_get_node(m->document, pair->key))) {
			continue;
		}
		*ret_value = pair->value;
		*ret_place = (size_t)(pair - map->data.mapping.pairs.start);
		map->data.mapping.pairs.top--;
		memmove(pair, pair + 1,
			(size_t)(map->data.mapping.pairs.top - pair) * sizeof(*pair));
		return true;
	}
	return false;
}

static int merge_map(struct merging *m, int index, unsigned depth)
{
	yaml_node_t *map = yaml_document_get_node(m->document, index);
	const yaml_node_t *value;
	int rc = FL_OK, base;
	size_t place;

	if (!take_merge_key(m, map, &base, &place)) {
		return FL_OK;
	}
	value = yaml_document_get_node(m->document, base);
	if (depth > MERGE_DEPTH_MAX) {
		return merge_failed(m, value, "is nested too deeply");
	}
	if (value->type != YAML_SEQUENCE_NODE) {
		return merge_base(m, index, place, base, depth);
	}
	for (const yaml_node_item_t *item = value->data.sequence.items.start;
	     rc == FL_OK && item < value->data.sequence.items.top; item++) {
		rc = merge_base(m, index, place, *item, depth);
	}
	return rc;
}

static int settle_keys(const struct fl_yaml_file *file, yaml_document_t *document,
		       struct fl_err *err)
{
	struct merging merging = {.file = file, .document = document, .err = err};
	int count = (int)(document->nodes.top - document->nodes.start), rc = FL_OK;

	for (int index = 1; rc == FL_OK && index <= count; index++) {
		const yaml_node_t *node = yaml_document_get_node(document, index);

		if (node->type == YAML_MAPPING_NODE) {
			rc = check_keys(file, document, node, err);
		}
	}
	for (int index = 1; rc == FL_OK && index <= count; index++) {
		if (yaml_document_get_node(document, index)->type == YAML_MAPPING_NODE) {
			rc = merge_map(&merging, index, 0);
		}
	}
	return rc;
}

/* --- texts that others read differently ------------------------------------------------------------ */

static int tag_failed(const char *name, const yaml_mark_t *mark, const char *tag,
		      struct fl_err *err)
{
	return fl_err_set(err, FL_ERR_INVALID,
			  "%s:%zu: the tag `%.60s` is not supported: write the value without it, "
			  "and a text in quotes",
			  name, mark->line + 1, tag);
}

/* `!!str 8080` is a text, but in the documents of libyaml it looks like the number. */
static int check_tags(const char *name, const char *text, size_t len, struct fl_err *err)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool end = false;
	int rc = FL_OK;

	if (memchr(text, '!', len) == NULL) {
		return FL_OK;
	}
	if (yaml_parser_initialize(&parser) == 0) {
		return fl_err_set(err, FL_ERR_NOMEM, "%s: out of memory", name);
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (rc == FL_OK && !end && yaml_parser_parse(&parser, &event) != 0) {
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_SCALAR_EVENT && event.data.scalar.tag != NULL &&
		    event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
			rc = tag_failed(name, &event.start_mark,
					(const char *)event.data.scalar.tag, err);
		}
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

/* A text would end at a zero byte here, and not elsewhere. A tag (`!!binary`) makes another value of what is written. */
static int check_node(const struct fl_yaml_file *file, const yaml_node_t *node, struct fl_err *err)
{
	static const char *const tags[] = {YAML_STR_TAG, YAML_SEQ_TAG, YAML_MAP_TAG};
	bool is_known = false;

	for (size_t i = 0; node->tag != NULL && i < FL_COUNT_OF(tags); i++) {
		is_known = is_known || strcmp((const char *)node->tag, tags[i]) == 0;
	}
	if (!is_known) {
		return tag_failed(file->name, &node->start_mark,
				  node->tag != NULL ? (const char *)node->tag : "", err);
	}
	if (node->type == YAML_SCALAR_NODE &&
	    memchr(node->data.scalar.value, 0, node->data.scalar.length) != NULL) {
		return fl_err_set(err, FL_ERR_INVALID, "%s:%zu: this text has a zero byte",
				  file->name, node->start_mark.line + 1);
	}
	return FL_OK;
}

static int check_nodes(const struct fl_yaml_file *file, const yaml_document_t *document,
		       struct fl_err *err)
{
	int rc = FL_OK;

	for (const yaml_node_t *node = document->nodes.start;
	     rc == FL_OK && node < document->nodes.top; node++) {
		rc = check_node(file, node, err);
	}
	return rc;
}

/* --- documents ----------------------------------------------------------------------------------- */

/* One document, or none at the end of the text. */
static int load(struct fl_yaml_file *file, yaml_parser_t *parser, bool *ret_end, struct fl_err *err)
{
	yaml_document_t *document = fl_new(sizeof(*document));
	int rc;

	if (yaml_parser_load(parser, document) == 0) {
		free(document);
		return parse_failed(file, parser, err);
	}
	if (yaml_document_get_root_node(document) == NULL) {
		yaml_document_delete(document);
		free(document);
		*ret_end = true;
		return FL_OK;
	}
	file->documents =
		fl_grow(file->documents, file->count + 1, sizeof(struct yaml_document_s *));
	file->documents[file->count++] = document;
	if (file->count > FL_YAML_DOCUMENTS_MAX) {
		return fl_err_set(err, FL_ERR_LIMIT, "%s: more than %d documents", file->name,
				  FL_YAML_DOCUMENTS_MAX);
	}
	rc = check_nodes(file, document, err);
	return rc == FL_OK ? settle_keys(file, document, err) : rc;
}

/* libyaml takes time by the square of the depth of brackets. Those in texts count, too, but there they come in pairs. */
static bool is_too_deep(const char *text, size_t len)
{
	unsigned depth = 0;

	for (size_t i = 0; i < len && depth <= BRACKETS_MAX_DEPTH; i++) {
		if (text[i] == '[' || text[i] == '{') {
			depth++;
		} else if ((text[i] == ']' || text[i] == '}') && depth > 0) {
			depth--;
		}
	}
	return depth > BRACKETS_MAX_DEPTH;
}

int fl_yaml_parse(const char *name, const char *text, size_t len, struct fl_yaml_file *file,
		  struct fl_err *err)
{
	yaml_parser_t parser;
	bool end = false;
	int rc = FL_OK;

	*file = (struct fl_yaml_file){0};
	if (is_too_deep(text, len)) {
		return fl_err_set(err, FL_ERR_LIMIT, "%s: brackets are nested more than %d times",
				  name, BRACKETS_MAX_DEPTH);
	}
	rc = check_tags(name, text, len, err);
	if (rc != FL_OK) {
		return rc;
	}
	file->name = fl_strdup(name);
	if (yaml_parser_initialize(&parser) == 0) {
		fl_yaml_file_done(file);
		return fl_err_set(err, FL_ERR_NOMEM, "%s: out of memory", name);
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (rc == FL_OK && !end) {
		rc = load(file, &parser, &end, err);
	}
	yaml_parser_delete(&parser);
	if (rc != FL_OK) {
		fl_yaml_file_done(file);
	}
	return rc;
}

void fl_yaml_file_done(struct fl_yaml_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		yaml_document_delete(file->documents[i]);
		free(file->documents[i]);
	}
	free(file->documents);
	free(file->name);
	*file = (struct fl_yaml_file){0};
}

/* --- values -------------------------------------------------------------------------------------- */

static struct fl_yaml at(struct yaml_document_s *document, int index)
{
	return (struct fl_yaml){.document = document,
				.node = yaml_document_get_node(document, index)};
}

struct fl_yaml fl_yaml_root(const struct fl_yaml_file *file, size_t index)
{
	return (struct fl_yaml){.document = file->documents[index],
				.node = yaml_document_get_root_node(file->documents[index])};
}

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* The forms of null: YAML 1.2, section 10.2.1.1. */
static bool is_null(const yaml_node_t *node)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
		return false;
	}
	return is_one_of((const char *)node->data.scalar.value, words, FL_COUNT_OF(words));
}

bool fl_yaml_is_string(struct fl_yaml value)
{
	return value.node != NULL && value.node->type == YAML_SCALAR_NODE && !is_null(value.node) &&
	       (value.node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
		!fl_yaml_word_is_typed((const char *)value.node->data.scalar.value));
}

bool fl_yaml_is_given(struct fl_yaml value)
{
	return value.node != NULL;
}

bool fl_yaml_is_there(struct fl_yaml value)
{
	return value.node != NULL && value.node->type != YAML_NO_NODE && !is_null(value.node);
}

bool fl_yaml_is_map(struct fl_yaml value)
{
	return value.node != NULL && value.node->type == YAML_MAPPING_NODE;
}

bool fl_yaml_is_list(struct fl_yaml value)
{
	return value.node != NULL && value.node->type == YAML_SEQUENCE_NODE;
}

struct fl_yaml fl_yaml_get(struct fl_yaml map, const char *key)
{
	for (size_t i = 0; fl_yaml_is_map(map) && i < fl_yaml_count(map); i++) {
		if (strcmp(fl_yaml_key(map, i), key) == 0) {
			return fl_yaml_item(map, i);
		}
	}
	return (struct fl_yaml){0};
}

const char *fl_yaml_text(struct fl_yaml value)
{
	return fl_yaml_is_there(value) ? text_of(value.node) : "";
}

size_t fl_yaml_count(struct fl_yaml value)
{
	if (fl_yaml_is_list(value)) {
		return (size_t)(value.node->data.sequence.items.top -
				value.node->data.sequence.items.start);
	}
	return fl_yaml_is_map(value) ? (size_t)(value.node->data.mapping.pairs.top -
						value.node->data.mapping.pairs.start)
				     : 0;
}

struct fl_yaml fl_yaml_item(struct fl_yaml value, size_t index)
{
	if (index >= fl_yaml_count(value)) {
		return (struct fl_yaml){0};
	}
	return fl_yaml_is_list(value)
		       ? at(value.document, value.node->data.sequence.items.start[index])
		       : at(value.document, value.node->data.mapping.pairs.start[index].value);
}

struct fl_yaml fl_yaml_key_at(struct fl_yaml map, size_t index)
{
	return fl_yaml_is_map(map) && index < fl_yaml_count(map)
		       ? at(map.document, map.node->data.mapping.pairs.start[index].key)
		       : (struct fl_yaml){0};
}

const char *fl_yaml_key(struct fl_yaml map, size_t index)
{
	return fl_yaml_text(fl_yaml_key_at(map, index));
}

struct fl_yaml fl_yaml_key_of(struct fl_yaml map, const char *key)
{
	for (size_t i = 0; i < fl_yaml_count(map); i++) {
		if (strcmp(fl_yaml_key(map, i), key) == 0) {
			return fl_yaml_key_at(map, i);
		}
	}
	return (struct fl_yaml){0};
}

struct comparing {
	size_t work;
	unsigned depth;
};

static bool are_equal(struct comparing *c, struct fl_yaml a, struct fl_yaml b);

/* What key number index of a map stands for, in another map. */
static struct fl_yaml same_key(struct comparing *c, struct fl_yaml a, size_t index,
			       struct fl_yaml b)
{
	const char *key = fl_yaml_key(a, index);

	c->work += fl_yaml_count(b);
	return key[0] != '\0' ? fl_yaml_get(b, key) : (struct fl_yaml){0};
}

static bool have_equal_items(struct comparing *c, struct fl_yaml a, struct fl_yaml b)
{
	for (size_t i = 0; i < fl_yaml_count(a); i++) {
		struct fl_yaml other =
			fl_yaml_is_map(a) ? same_key(c, a, i, b) : fl_yaml_item(b, i);

		if (!fl_yaml_is_given(other) || !are_equal(c, fl_yaml_item(a, i), other)) {
			return false;
		}
	}
	return true;
}

static bool are_equal(struct comparing *c, struct fl_yaml a, struct fl_yaml b)
{
	bool is;

	if (a.node == b.node) {
		return true;
	}
	if (++c->work > COMPARE_WORK_MAX || c->depth == COMPARE_DEPTH_MAX || a.node == NULL ||
	    b.node == NULL || a.node->type != b.node->type ||
	    fl_yaml_count(a) != fl_yaml_count(b)) {
		return false;
	}
	c->depth++;
	is = strcmp(text_of(a.node), text_of(b.node)) == 0 &&
	     fl_yaml_is_string(a) == fl_yaml_is_string(b) && have_equal_items(c, a, b);
	c->depth--;
	return is;
}

bool fl_yaml_is_equal(struct fl_yaml a, struct fl_yaml b)
{
	struct comparing comparing = {0};

	return are_equal(&comparing, a, b);
}

unsigned fl_yaml_line(struct fl_yaml value)
{
	return value.node != NULL ? (unsigned)value.node->start_mark.line + 1 : 0;
}
