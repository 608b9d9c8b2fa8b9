/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/import/yaml_file.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"

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

/* One document, or none at the end of the text. */
static int load(struct fl_yaml_file *file, yaml_parser_t *parser, bool *ret_end, struct fl_err *err)
{
	yaml_document_t *document = fl_new(sizeof(*document));

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
	return file->count <= FL_YAML_DOCUMENTS_MAX
		       ? FL_OK
		       : fl_err_set(err, FL_ERR_LIMIT, "%s: more than %d documents", file->name,
				    FL_YAML_DOCUMENTS_MAX);
}

int fl_yaml_parse(const char *name, const char *text, size_t len, struct fl_yaml_file *file,
		  struct fl_err *err)
{
	yaml_parser_t parser;
	bool end = false;
	int rc = FL_OK;

	*file = (struct fl_yaml_file){.name = fl_strdup(name)};
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

/* The forms of null: YAML 1.2, section 10.2.1.1. */
static bool is_null(const yaml_node_t *node)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
		return false;
	}
	for (size_t i = 0; i < FL_COUNT_OF(words); i++) {
		if (strcmp((const char *)node->data.scalar.value, words[i]) == 0) {
			return true;
		}
	}
	return false;
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
	return value.node != NULL && value.node->type == YAML_SCALAR_NODE
		       ? (const char *)value.node->data.scalar.value
		       : "";
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

const char *fl_yaml_key(struct fl_yaml map, size_t index)
{
	return fl_yaml_is_map(map) && index < fl_yaml_count(map)
		       ? fl_yaml_text(
				 at(map.document, map.node->data.mapping.pairs.start[index].key))
		       : "";
}

unsigned fl_yaml_line(struct fl_yaml value)
{
	return value.node != NULL ? (unsigned)value.node->start_mark.line + 1 : 0;
}
