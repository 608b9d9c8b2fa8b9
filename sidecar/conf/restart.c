/* SPDX-License-Identifier: GPL-3.0-or-later */
/* restart - the keys that a running program cannot adopt from a new INI: its listeners, and the sizes that it
 * allocated at start. Everything else changes with a generation. Pure; nothing fails. */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct list {
	char *text; /* NULL: empty */
};

static void add(struct list *list, bool differs, const char *section, const char *name,
		const char *key)
{
	char *longer;

	if (!differs) {
		return;
	}
	longer = fl_format("%s%s[%s%s%s] %s", list->text != NULL ? list->text : "",
			   list->text != NULL ? ", " : "", section, name != NULL ? " " : "",
			   name != NULL ? name : "", key);
	free(list->text);
	list->text = longer;
}

static bool addr_differs(const struct fl_addr *a, const struct fl_addr *b)
{
	char one[FL_ADDR_TEXT], other[FL_ADDR_TEXT];

	return strcmp(fl_addr_format(a, one), fl_addr_format(b, other)) != 0;
}

static bool list_differs(const struct fl_addr *a, size_t a_count, const struct fl_addr *b,
			 size_t b_count)
{
	bool differs = a_count != b_count;

	for (size_t i = 0; !differs && i < a_count; i++) {
		differs = addr_differs(&a[i], &b[i]);
	}
	return differs;
}

static bool path_differs(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

/* In both directions, because a section that is gone leaves its listener behind. Captured ports and destinations have
 * no listener. */
static void compare_listeners(struct list *list, const struct fl_conf *running,
			      const struct fl_conf *wanted)
{
	static const struct fl_addr none = {.kind = FL_ADDR_NONE};

	for (size_t i = 0; i < running->service_count; i++) {
		const struct fl_conf_service *old = &running->services[i];
		const struct fl_conf_service *now = fl_conf_find_service(wanted, old->name);

		add(list, addr_differs(&old->listen, now != NULL ? &now->listen : &none), "service",
		    old->name, "listen");
	}
	for (size_t i = 0; i < wanted->service_count; i++) {
		const char *name = wanted->services[i].name;

		add(list,
		    wanted->services[i].listen.kind != FL_ADDR_NONE &&
			    fl_conf_find_service(running, name) == NULL,
		    "service", name, "listen");
	}
	for (size_t i = 0; i < running->upstream_count; i++) {
		const struct fl_conf_upstream *old = &running->upstreams[i];
		const struct fl_conf_upstream *now = fl_conf_find_upstream(wanted, old->name);

		add(list, addr_differs(&old->listen, now != NULL ? &now->listen : &none),
		    "upstream", old->name, "listen");
	}
	for (size_t i = 0; i < wanted->upstream_count; i++) {
		const char *name = wanted->upstreams[i].name;

		add(list,
		    wanted->upstreams[i].listen.kind != FL_ADDR_NONE &&
			    fl_conf_find_upstream(running, name) == NULL,
		    "upstream", name, "listen");
	}
}

char *fl_conf_restart_keys(const struct fl_conf *running, const struct fl_conf *wanted)
{
	struct list list = {0};

	add(&list,
	    list_differs(running->sidecar.inbound, running->sidecar.inbound_count,
			 wanted->sidecar.inbound, wanted->sidecar.inbound_count),
	    "sidecar", NULL, "inbound");
	add(&list,
	    list_differs(running->sidecar.outbound, running->sidecar.outbound_count,
			 wanted->sidecar.outbound, wanted->sidecar.outbound_count),
	    "sidecar", NULL, "outbound");
	add(&list,
	    running->redirect.mode != wanted->redirect.mode && running->sidecar.inbound_count > 0,
	    "redirect", NULL, "mode");
	add(&list, addr_differs(&running->sidecar.admin, &wanted->sidecar.admin), "sidecar", NULL,
	    "admin");
	add(&list, path_differs(running->sidecar.control, wanted->sidecar.control), "sidecar", NULL,
	    "control");
	add(&list, running->sidecar.workers != wanted->sidecar.workers, "sidecar", NULL, "workers");
	add(&list, strcmp(running->agent.socket, wanted->agent.socket) != 0, "agent", NULL,
	    "socket");
	add(&list, running->agent.sidecar_uid != wanted->agent.sidecar_uid, "agent", NULL,
	    "sidecar_uid");
	add(&list, running->agent.uid != wanted->agent.uid, "agent", NULL, "uid");
	add(&list, running->limits.buffer != wanted->limits.buffer, "limits", NULL, "buffer");
	compare_listeners(&list, running, wanted);
	return list.text;
}
