/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "server/search_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define BLANK " \t\r"
#define NDOTS_MAX 15
#define FILE_MAX ((size_t)64 * 1024) /* bytes of the file that are read */

static void clear(struct fl_search_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->domains[i]);
	}
	free(list->domains);
	list->domains = NULL;
	list->count = 0;
}

void fl_search_list_set(struct fl_search_list *list, char *domains)
{
	char *rest = NULL;

	clear(list);
	for (char *word = strtok_r(domains, BLANK, &rest); word != NULL;
	     word = strtok_r(NULL, BLANK, &rest)) {
		list->domains = fl_grow(list->domains, list->count + 1, sizeof(list->domains[0]));
		list->domains[list->count++] = fl_strdup(word);
	}
}

void fl_search_list_options(struct fl_search_list *list, char *options)
{
	static const char ndots[] = "ndots:";
	char *rest = NULL;

	for (char *word = strtok_r(options, BLANK, &rest); word != NULL;
	     word = strtok_r(NULL, BLANK, &rest)) {
		if (strncmp(word, ndots, sizeof(ndots) - 1) == 0) {
			unsigned long dots = strtoul(word + sizeof(ndots) - 1, NULL, 10);

			list->ndots = dots < NDOTS_MAX ? (unsigned)dots : NDOTS_MAX;
		}
	}
}

static void parse_line(struct fl_search_list *list, char *line)
{
	size_t len = strcspn(line, BLANK);
	char *value = line[len] != '\0' ? line + len + 1 : line + len;

	line[len] = '\0';
	if (strcmp(line, "search") == 0) {
		fl_search_list_set(list, value);
	} else if (strcmp(line, "domain") == 0) {
		value += strspn(value, BLANK);
		value[strcspn(value, BLANK)] = '\0';
		fl_search_list_set(list, value);
	} else if (strcmp(line, "options") == 0) {
		fl_search_list_options(list, value);
	}
}

void fl_search_list_parse(struct fl_search_list *list, char *text)
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		parse_line(list, line);
	}
}

static void parse_file(struct fl_search_list *list, const char *path)
{
	FILE *file = fopen(path, "re");
	char *text;

	if (file == NULL) {
		return;
	}
	text = fl_new(FILE_MAX + 1);
	text[fread(text, 1, FILE_MAX, file)] = '\0';
	(void)fclose(file);
	fl_search_list_parse(list, text);
	free(text);
}

static void obey(struct fl_search_list *list, const char *variable,
		 void (*set)(struct fl_search_list *list, char *value))
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
	const char *value = getenv(variable);
	char *copy;

	if (value != NULL) {
		copy = fl_strdup(value);
		set(list, copy);
		free(copy);
	}
}

static void use_host_name(struct fl_search_list *list)
{
	char name[256] = "", *dot;

	if (gethostname(name, sizeof(name) - 1) == 0 && (dot = strchr(name, '.')) != NULL) {
		fl_search_list_set(list, dot + 1);
	}
}

void fl_search_list_read(struct fl_search_list *list, const char *path)
{
	*list = (struct fl_search_list){.ndots = 1};
	parse_file(list, path);
	obey(list, "LOCALDOMAIN", fl_search_list_set);
	obey(list, "RES_OPTIONS", fl_search_list_options);
	if (list->count == 0) {
		use_host_name(list);
	}
}

void fl_search_list_done(struct fl_search_list *list)
{
	clear(list);
}
