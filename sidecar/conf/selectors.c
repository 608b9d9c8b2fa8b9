/* SPDX-License-Identifier: GPL-3.0-or-later */
/* selectors - the values of [redirect]: what is captured and what is excluded.
 *
 *	item  = "*" | ports | net | net ":" ports | "interface:" name
 *	ports = port | port "-" port | "*"
 *	net   = "*" | address | address "/" bits		an IPv6 address in brackets: [fd00::]/8
 */
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/settings.h"
#include "conf/values.h"

#define INTERFACE "interface:"

static void add(struct fl_conf_selectors *list, const struct fl_conf_selector *selector)
{
	list->items = fl_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = *selector;
}

static void clear(struct fl_conf_selectors *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].interface);
	}
	free(list->items);
	*list = (struct fl_conf_selectors){0};
}

static int add_interface(struct fl_conf_selectors *list, const char *text, const char *name,
			 struct fl_err *err)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr("-_.", c) != NULL)) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "`%.100s`: the name of an interface may only have "
					  "letters, digits, `-`, `_` and `.`",
					  text);
		}
	}
	if (len == 0 || len >= IF_NAMESIZE) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: the name of an interface has 1 to %d bytes", text,
				  IF_NAMESIZE - 1);
	}
	add(list, &(struct fl_conf_selector){.any_net = true,
					     .ports = FL_VALUE_ALL_PORTS,
					     .interface = fl_strdup(name)});
	return 0;
}

static int add_selector(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_selectors *list = setting->field;
	struct fl_conf_selector selector = {.ports = FL_VALUE_ALL_PORTS};
	char host[FL_VALUE_HOST];
	bool given = false;
	int rc;

	if (strncmp(text, INTERFACE, strlen(INTERFACE)) == 0) {
		return add_interface(list, text, text + strlen(INTERFACE), err);
	}
	if (fl_value_looks_like_ports(text)) {
		selector.any_net = true;
		rc = fl_value_ports(text, &selector.ports, err);
	} else {
		rc = fl_value_host_ports(text, host, &selector.ports, &given, err);
		selector.any_net = strcmp(host, "*") == 0;
	}
	if (rc == 0 && !selector.any_net && !fl_value_looks_like_network(host)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: the kernel's rules know no names: write an address or a network",
			text);
	}
	if (rc == 0 && !selector.any_net) {
		rc = fl_cidr_parse(host, &selector.net, err);
	}
	if (rc == 0) {
		add(list, &selector);
	}
	return rc;
}

/* Empty: matches nothing. A refused list of what is captured keeps its default, and one of exclusions is empty: so no other
 * setting is said to contradict it. */
static int set_list(const struct fl_setting *setting, fl_take_item *take, struct fl_err *err)
{
	bool excludes = strncmp(setting->key->name, "exclude_", 8) == 0;
	struct fl_conf_selectors *list = setting->field, before = *list;
	int rc;

	*list = (struct fl_conf_selectors){0};
	rc = fl_setting_take_items(setting, take, err);
	if (rc != 0) {
		clear(list);
	}
	if (rc != 0 && !excludes) {
		*list = before;
	} else {
		clear(&before);
	}
	return rc;
}

int fl_set_selectors(const struct fl_setting *setting, struct fl_err *err)
{
	return set_list(setting, add_selector, err);
}

static int add_captured_port(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	if (strcmp(text, "*") != 0 && !fl_value_looks_like_ports(text)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s` is neither `*`, nor a port, nor a range such as 9000-9010", text);
	}
	return add_selector(setting, text, err);
}

int fl_set_captured_ports(const struct fl_setting *setting, struct fl_err *err)
{
	return set_list(setting, add_captured_port, err);
}
