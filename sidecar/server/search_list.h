/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_SEARCH_LIST_H
#define FL_SERVER_SEARCH_LIST_H
/* search_list - under which domains a short name is looked for: resolv.conf(5). c-ares knows, but tells only what it was told
 * (since 1.19). Thread: main. */
#include <stddef.h>

struct fl_search_list {
	char **domains;
	size_t count;
	unsigned ndots; /* a name with as many dots is tried as it is first */
};

/* What the file says; then what LOCALDOMAIN and RES_OPTIONS say instead; or else the domain of this machine's name. It is no error
 * if there is no such file. */
void fl_search_list_read(struct fl_search_list *list, const char *path);
void fl_search_list_done(struct fl_search_list *list);

/* The parts of it. text is changed. */
void fl_search_list_parse(struct fl_search_list *list, char *text);
void fl_search_list_set(struct fl_search_list *list, char *domains);
void fl_search_list_options(struct fl_search_list *list, char *options);

#endif
