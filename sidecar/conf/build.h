/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_BUILD_H
#define FL_CONF_BUILD_H
/* build - a struct fl_conf in the making. Private to conf.
 *
 * walk.c goes through the sections and keys that keys.c lists; settings.c, traffic.c, rules.c and selectors.c
 * read the value of each; the check*.c then compare settings with each other; parse.c drives them and makes the
 * policy. */
#include "conf/conf.h"
#include "conf/lines.h"
#include "conf/problems.h"

/* `from`, `to` and `sources` of a rule, or its `except_from`, `except_to` and `except_sources`. */
struct fl_rule_part {
	struct fl_pattern **from;
	size_t from_count;
	struct fl_port_range *ports;
	size_t port_count;
	char **services;
	size_t service_count;
	struct fl_cidr *sources;
	size_t source_count;
};

/* An [allow NAME] or [deny NAME] before it becomes a rule of the policy. */
struct fl_rule_draft {
	const char *name; /* borrowed from the INI; NULL: a section without a name, or repeated */
	enum fl_effect effect;
	fl_conf_line line;
	bool audit;
	bool plaintext; /* among from */
	struct fl_rule_part is, except;
};

struct fl_build {
	const struct fl_ini *ini;
	struct fl_problems *problems;
	struct fl_conf *conf;
	struct fl_rule_draft *rules;
	size_t rule_count;
	enum fl_effect default_effect;
	bool audit; /* [policy] mode */
};

/* keys.c: the value for an empty INI; owned by the caller. */
struct fl_conf *fl_build_defaults(const char *path);
extern const struct fl_conf_inbound fl_default_inbound; /* of a fixed listener */
/* Is there such a kind of section? */
bool fl_build_knows(const char *kind);
/* Counts, allocates and fills: services, upstreams, bundles, rules and all single settings. */
void fl_build_settings(struct fl_build *build);
/* Reports missing settings and contradictions. */
void fl_build_check(struct fl_build *build);
void fl_build_check_upstreams(struct fl_build *build); /* its parts: */
struct fl_own_listeners;
void fl_build_check_capture(struct fl_build *build, const struct fl_own_listeners *all);
void fl_build_check_rules(struct fl_build *build);
/* Fills in tls.group_names and tls.cipher_names, once there are no problems. */
void fl_build_tls_names(struct fl_conf *conf);

/* The line of a key; if it is absent, of its section; if that is absent, 0. name: NULL for `[kind]`. */
fl_conf_line fl_build_line(const struct fl_build *build, const char *kind, const char *name,
			   const char *key);
bool fl_build_has(const struct fl_build *build, const char *kind, const char *name,
		  const char *key);
/* Is the key present, with a value that is not empty? */
bool fl_build_says(const struct fl_build *build, const char *kind, const char *name,
		   const char *key);

#endif
