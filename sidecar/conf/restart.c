/* SPDX-License-Identifier: GPL-3.0-or-later */
/* restart - compares two INIs in the keys that a running program cannot adopt: its listeners, and what it allocated at
 * start. Such a key has a function in its row of keys.c, `differs`; every other key changes with a generation. Pure; nothing
 * fails. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/settings.h"

struct comparison {
	const struct fl_conf *running, *wanted;
	char *keys; /* those that differ, for people; NULL: none */
};

/* --- do two values differ? ----------------------------------------------------------------- */

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

bool fl_differs_inbound(const struct fl_conf_values *values)
{
	const struct fl_conf *running = values->running, *wanted = values->wanted;

	return list_differs(running->sidecar.inbound, running->sidecar.inbound_count,
			    wanted->sidecar.inbound, wanted->sidecar.inbound_count);
}

bool fl_differs_outbound(const struct fl_conf_values *values)
{
	const struct fl_conf *running = values->running, *wanted = values->wanted;

	return list_differs(running->sidecar.outbound, running->sidecar.outbound_count,
			    wanted->sidecar.outbound, wanted->sidecar.outbound_count);
}

bool fl_differs_redirect_mode(const struct fl_conf_values *values)
{
	return values->running->sidecar.inbound_count > 0 && fl_differs_number(values);
}

bool fl_differs_address(const struct fl_conf_values *values)
{
	return addr_differs(values->one, values->other);
}

bool fl_differs_path(const struct fl_conf_values *values)
{
	const char *one = *(char *const *)values->one, *other = *(char *const *)values->other;

	return one == NULL || other == NULL ? one != other : strcmp(one, other) != 0;
}

bool fl_differs_number(const struct fl_conf_values *values)
{
	return memcmp(values->one, values->other, sizeof(uint32_t)) != 0;
}

/* --- sections ------------------------------------------------------------------------------ */

static void add(struct comparison *comparison, const struct fl_section *section, const char *name,
		const char *key)
{
	const char *before = comparison->keys != NULL ? comparison->keys : "";
	char *longer =
		fl_format("%s%s[%s%s%s] %s", before, before[0] != '\0' ? ", " : "", section->name,
			  name != NULL ? " " : "", name != NULL ? name : "", key);

	free(comparison->keys);
	comparison->keys = longer;
}

/* one, other: the structs that the section's keys are in. name: NULL for [section]. */
static void compare_section(struct comparison *comparison, const struct fl_section *section,
			    const char *name, const void *one, const void *other)
{
	for (size_t i = 0; i < section->key_count; i++) {
		const struct fl_key *key = &section->keys[i];
		struct fl_conf_values values = {.running = comparison->running,
						.wanted = comparison->wanted,
						.one = (const char *)one + key->offset,
						.other = (const char *)other + key->offset};

		if (key->differs != NULL && key->differs(&values)) {
			add(comparison, section, name, key->name);
		}
	}
}

/* Both the sections that were there and those that are new: one that is gone leaves its listener behind. */
static void compare_services(struct comparison *comparison, const struct fl_section *section)
{
	static const struct fl_conf_service none = {.listen.kind = FL_ADDR_NONE};
	const struct fl_conf *running = comparison->running, *wanted = comparison->wanted;

	for (size_t i = 0; i < running->service_count; i++) {
		const struct fl_conf_service *one = &running->services[i];
		const struct fl_conf_service *other = fl_conf_find_service(wanted, one->name);

		compare_section(comparison, section, one->name, one, other != NULL ? other : &none);
	}
	for (size_t i = 0; i < wanted->service_count; i++) {
		const struct fl_conf_service *other = &wanted->services[i];

		if (fl_conf_find_service(running, other->name) == NULL) {
			compare_section(comparison, section, other->name, &none, other);
		}
	}
}

static void compare_upstreams(struct comparison *comparison, const struct fl_section *section)
{
	static const struct fl_conf_upstream none = {.listen.kind = FL_ADDR_NONE};
	const struct fl_conf *running = comparison->running, *wanted = comparison->wanted;

	for (size_t i = 0; i < running->upstream_count; i++) {
		const struct fl_conf_upstream *one = &running->upstreams[i];
		const struct fl_conf_upstream *other = fl_conf_find_upstream(wanted, one->name);

		compare_section(comparison, section, one->name, one, other != NULL ? other : &none);
	}
	for (size_t i = 0; i < wanted->upstream_count; i++) {
		const struct fl_conf_upstream *other = &wanted->upstreams[i];

		if (fl_conf_find_upstream(running, other->name) == NULL) {
			compare_section(comparison, section, other->name, &none, other);
		}
	}
}

char *fl_conf_restart_keys(const struct fl_conf *running, const struct fl_conf *wanted)
{
	struct comparison comparison = {.running = running, .wanted = wanted};

	for (size_t i = 0; i < FL_SECTIONS; i++) {
		const struct fl_section *section = &fl_sections[i];

		switch (section->kind) {
		case FL_SECTION_ONE:
			compare_section(&comparison, section, NULL, running, wanted);
			break;
		case FL_SECTION_SERVICE:
			compare_services(&comparison, section);
			break;
		case FL_SECTION_UPSTREAM:
			compare_upstreams(&comparison, section);
			break;
		case FL_SECTION_POLICY: /* no listener and no size depends on these */
		case FL_SECTION_FEDERATE:
		case FL_SECTION_ALLOW:
		case FL_SECTION_DENY:
			break;
		}
	}
	return comparison.keys;
}
