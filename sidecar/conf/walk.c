/* SPDX-License-Identifier: GPL-3.0-or-later */
/* walk - goes through an INI with the tables of keys.c, section by section.
 *
 * A section or key that is in no table, and an invalid name, is reported and skipped;
 * settings.c does the same for refused values. */
#include <string.h>

#include "base/mem.h"
#include "conf/settings.h"
#include "conf/values.h"
#include "pki/spiffe.h"

/* --- sections ------------------------------------------------------------------------------ */

static const struct fl_section *find_section(const char *name)
{
	for (size_t i = 0; i < FL_SECTIONS; i++) {
		if (strcmp(fl_sections[i].name, name) == 0) {
			return &fl_sections[i];
		}
	}
	return NULL;
}

bool fl_build_knows(const char *kind)
{
	return find_section(kind) != NULL;
}

static const struct fl_key *find_key(const struct fl_section *section, const char *name)
{
	for (size_t i = 0; i < section->key_count; i++) {
		if (strcmp(section->keys[i].name, name) == 0) {
			return &section->keys[i];
		}
	}
	return NULL;
}

static void report_section(struct fl_build *build, const struct fl_ini_section *header)
{
	const char *names[FL_SECTIONS];
	char suggestion[FL_SUGGEST_TEXT];

	for (size_t i = 0; i < FL_SECTIONS; i++) {
		names[i] = fl_sections[i].name;
	}
	(void)fl_suggest_text(fl_suggest(header->kind, names, FL_SECTIONS), suggestion);
	fl_problem_error(build->problems, header->line, "unknown section [%.100s]%s", header->kind,
			 suggestion);
}

/* Another section that has this key, or NULL. */
static const struct fl_section *section_of_key(const char *name)
{
	for (size_t i = 0; i < FL_SECTIONS; i++) {
		if (find_key(&fl_sections[i], name) != NULL) {
			return &fl_sections[i];
		}
	}
	return NULL;
}

static void report_key(struct fl_build *build, const struct fl_section *section,
		       const struct fl_ini_entry *entry)
{
	const struct fl_section *other = section_of_key(entry->key);
	const char *names[FL_SECTION_KEYS_MAX];
	const char *near;
	char suggestion[FL_SUGGEST_TEXT];

	FL_REQUIRE(section->key_count <= FL_SECTION_KEYS_MAX);
	for (size_t i = 0; i < section->key_count; i++) {
		names[i] = section->keys[i].name;
	}
	near = fl_suggest(entry->key, names, section->key_count);
	if (near == NULL && other != NULL) {
		fl_problem_error(build->problems, entry->line,
				 "unknown key `%s` in [%s]: it belongs in [%s%s]", entry->key,
				 section->name, other->name,
				 other->kind >= FL_SECTION_FEDERATE ? " NAME" : "");
		return;
	}
	fl_problem_error(build->problems, entry->line, "unknown key `%.100s` in [%s]%s", entry->key,
			 section->name, fl_suggest_text(near, suggestion));
}

static void check_name(struct fl_build *build, const struct fl_section *section,
		       const struct fl_ini_section *header)
{
	bool named = section->kind >= FL_SECTION_FEDERATE;
	struct fl_err err = {0};
	int rc = 0;

	if (named && header->name == NULL) {
		fl_problem_error(build->problems, header->line, "[%s] needs a name: [%s %s]",
				 section->name, section->name,
				 section->kind == FL_SECTION_FEDERATE ? "TRUST_DOMAIN" : "NAME");
	} else if (!named && header->name != NULL) {
		fl_problem_error(build->problems, header->line, "[%s] takes no name: write [%s]",
				 section->name, section->name);
	} else if (section->kind == FL_SECTION_FEDERATE) {
		rc = fl_spiffe_trust_domain_check(header->name, strlen(header->name), &err);
	} else if (named) {
		rc = fl_value_name(header->name, &err);
	}
	if (rc != 0) {
		fl_problem_error(build->problems, header->line, "[%s %.100s]: %s", section->name,
				 header->name, err.text);
	}
}

/* --- structs that keys fill in ------------------------------------------------------------- */

/* NULL for a repeated section, which has been reported: check.c skips it. */
static const char *name_of(const struct fl_ini_section *header)
{
	return header->repeated ? NULL : header->name;
}

static void *add_bundle(struct fl_conf *conf, const struct fl_ini_section *header)
{
	struct fl_conf_bundle *bundle;

	conf->federate = fl_grow(conf->federate, conf->federate_count + 1, sizeof(*bundle));
	bundle = &conf->federate[conf->federate_count++];
	*bundle = (struct fl_conf_bundle){.line = header->line,
					  .trust_domain = fl_strdup(name_of(header))};
	return bundle;
}

static void *add_service(struct fl_conf *conf, const struct fl_ini_section *header)
{
	struct fl_conf_service *service;

	conf->services = fl_grow(conf->services, conf->service_count + 1, sizeof(*service));
	service = &conf->services[conf->service_count++];
	*service =
		(struct fl_conf_service){.line = header->line, .name = fl_strdup(name_of(header))};
	return service;
}

static void *add_upstream(struct fl_conf *conf, const struct fl_ini_section *header)
{
	struct fl_conf_upstream *upstream;

	conf->upstreams = fl_grow(conf->upstreams, conf->upstream_count + 1, sizeof(*upstream));
	upstream = &conf->upstreams[conf->upstream_count++];
	*upstream =
		(struct fl_conf_upstream){.line = header->line, .name = fl_strdup(name_of(header))};
	return upstream;
}

static void *add_rule(struct fl_build *build, const struct fl_ini_section *header,
		      enum fl_effect effect)
{
	struct fl_rule_draft *rule;

	build->rules = fl_grow(build->rules, build->rule_count + 1, sizeof(*rule));
	rule = &build->rules[build->rule_count++];
	*rule = (struct fl_rule_draft){
		.name = name_of(header), .line = header->line, .effect = effect};
	return rule;
}

/* The struct that the keys of a section fill in: a new one for each section that has a name. Valid
 * until the next section is taken. */
static void *place_of(struct fl_build *build, const struct fl_section *section,
		      const struct fl_ini_section *header)
{
	switch (section->kind) {
	case FL_SECTION_POLICY:
		return build;
	case FL_SECTION_FEDERATE:
		return add_bundle(build->conf, header);
	case FL_SECTION_SERVICE:
		return add_service(build->conf, header);
	case FL_SECTION_UPSTREAM:
		return add_upstream(build->conf, header);
	case FL_SECTION_ALLOW:
		return add_rule(build, header, FL_ALLOW);
	case FL_SECTION_DENY:
		return add_rule(build, header, FL_DENY);
	case FL_SECTION_ONE:
		break;
	}
	return build->conf;
}

/* first, count: its entries. A repeated section has been reported and the INI will be refused, but its entries are
 * checked like the rest. */
static void take_section(struct fl_build *build, const struct fl_ini_section *header, size_t first,
			 size_t count)
{
	const struct fl_section *section = find_section(header->kind);
	char *place;

	if (section == NULL) {
		report_section(build, header);
		return;
	}
	check_name(build, section, header);
	place = place_of(build, section, header);
	for (size_t i = first; i < first + count; i++) {
		const struct fl_ini_entry *entry = &build->ini->entries[i];
		const struct fl_key *key = find_key(section, entry->key);
		struct fl_setting setting = {.build = build, .key = key, .entry = entry};

		if (key == NULL) {
			report_key(build, section, entry);
		} else if (!entry->repeated) {
			setting.field = place + key->offset;
			fl_setting_take(&setting);
		}
	}
}

void fl_build_settings(struct fl_build *build)
{
	const struct fl_ini *ini = build->ini;
	size_t at = 0;

	for (size_t i = 0; i < ini->section_count && !fl_problems_enough(build->problems); i++) {
		size_t first = at;

		while (at < ini->entry_count && ini->entries[at].section == i) {
			at++;
		}
		take_section(build, &ini->sections[i], first, at - first);
	}
}

fl_conf_line fl_build_line(const struct fl_build *build, const char *kind, const char *name,
			   const char *key)
{
	const struct fl_ini_section *section = fl_ini_section(build->ini, kind, name);
	const struct fl_ini_entry *entry =
		section != NULL ? fl_ini_entry(build->ini, section, key) : NULL;

	return entry != NULL ? entry->line : section != NULL ? section->line : 0;
}

bool fl_build_has(const struct fl_build *build, const char *kind, const char *name, const char *key)
{
	const struct fl_ini_section *section = fl_ini_section(build->ini, kind, name);

	return section != NULL && fl_ini_entry(build->ini, section, key) != NULL;
}

bool fl_build_says(const struct fl_build *build, const char *kind, const char *name,
		   const char *key)
{
	const struct fl_ini_section *section = fl_ini_section(build->ini, kind, name);
	const struct fl_ini_entry *entry =
		section != NULL ? fl_ini_entry(build->ini, section, key) : NULL;

	return entry != NULL && entry->value[0] != '\0';
}
