/* SPDX-License-Identifier: GPL-3.0-or-later */
/* restart - compares two INIs in the keys that a running program cannot adopt: its listeners, and what it allocated at
 * start. Such a key has a function in its row of keys.c, `differs`, and says who keeps it; every other key changes with a
 * generation. Pure; nothing fails. */
#include <string.h>

#include "base/text.h"
#include "conf/settings.h"

struct comparison {
	const struct fl_conf *running, *wanted;
	enum fl_program program;
	struct fl_text keys; /* those that differ, for people */
	size_t count;
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
	if (comparison->count++ < FL_RESTART_KEYS_MAX) {
		fl_text_print(&comparison->keys, "%s[%s%s%s] %s", comparison->count > 1 ? ", " : "",
			      section->name, name != NULL ? " " : "", name != NULL ? name : "",
			      key);
	}
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

		if (key->differs != NULL && (key->kept_by & comparison->program) != 0 &&
		    key->differs(&values)) {
			add(comparison, section, name, key->name);
		}
	}
}

/* guess: where it probably is, because there may be thousands. */
static const struct fl_conf_service *find_service(const struct fl_conf *conf, const char *name,
						  size_t guess)
{
	return guess < conf->service_count && strcmp(conf->services[guess].name, name) == 0
		       ? &conf->services[guess]
		       : fl_conf_find_service(conf, name);
}

static const struct fl_conf_upstream *find_upstream(const struct fl_conf *conf, const char *name,
						    size_t guess)
{
	return guess < conf->upstream_count && strcmp(conf->upstreams[guess].name, name) == 0
		       ? &conf->upstreams[guess]
		       : fl_conf_find_upstream(conf, name);
}

/* Both the sections that were there and those that are new: one that is gone leaves its listener behind. */
static void compare_services(struct comparison *comparison, const struct fl_section *section)
{
	static const struct fl_conf_service none = {.listen.kind = FL_ADDR_NONE};
	const struct fl_conf *running = comparison->running, *wanted = comparison->wanted;

	for (size_t i = 0; i < running->service_count; i++) {
		const struct fl_conf_service *one = &running->services[i];
		const struct fl_conf_service *other = find_service(wanted, one->name, i);

		compare_section(comparison, section, one->name, one, other != NULL ? other : &none);
	}
	for (size_t i = 0; i < wanted->service_count; i++) {
		const struct fl_conf_service *other = &wanted->services[i];

		if (find_service(running, other->name, i) == NULL) {
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
		const struct fl_conf_upstream *other = find_upstream(wanted, one->name, i);

		compare_section(comparison, section, one->name, one, other != NULL ? other : &none);
	}
	for (size_t i = 0; i < wanted->upstream_count; i++) {
		const struct fl_conf_upstream *other = &wanted->upstreams[i];

		if (find_upstream(running, other->name, i) == NULL) {
			compare_section(comparison, section, other->name, &none, other);
		}
	}
}

char *fl_conf_restart_keys(const struct fl_conf *running, const struct fl_conf *wanted,
			   enum fl_program program)
{
	struct comparison comparison = {.running = running, .wanted = wanted, .program = program};

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
	if (comparison.count > FL_RESTART_KEYS_MAX) {
		fl_text_print(&comparison.keys, ", and %zu more",
			      comparison.count - FL_RESTART_KEYS_MAX);
	}
	return comparison.keys.data;
}
