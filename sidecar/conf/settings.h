/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_SETTINGS_H
#define FL_CONF_SETTINGS_H
/* settings - the description of a section and of a key of the INI, and the functions that read values. Private to conf:
 * keys.c lists the keys, walk.c finds them in an INI, settings.c reads the common types, and traffic.c, rules.c and
 * selectors.c the rest. */
#include <stddef.h>
#include <stdint.h>

#include "conf/build.h"
#include "conf/lines.h"
#include "conf/values.h"

enum fl_key_type {
	FL_TYPE_PATH,     /* char * */
	FL_TYPE_DURATION, /* uint32_t milliseconds, within min and max */
	FL_TYPE_SIZE,     /* uint32_t bytes, within min and max */
	FL_TYPE_COUNT,    /* uint32_t, within min and max */
	FL_TYPE_WORD,     /* an enum */
	FL_TYPE_FLAG,     /* a bool, with two words for it */
	FL_TYPE_OWN,      /* the key's own function, `set` */
};

struct fl_setting; /* a key with its entry, below */

typedef int fl_set_fn(const struct fl_setting *setting, struct fl_err *err);

/* The values of a key in two INIs: of the one that the program was started with, and of a new one. */
struct fl_conf_values {
	const struct fl_conf *running, *wanted;
	const void *one, *other; /* the fields in them, or the structs around those */
};
typedef bool fl_differs_fn(const struct fl_conf_values *values);

struct fl_key {
	const char *name;
	enum fl_key_type type;
	enum fl_program kept_by; /* with `differs` */
	size_t offset;           /* in the struct of the section */
	uint32_t min, max;
	const struct fl_word *words;
	size_t word_count;
	fl_set_fn *set; /* FL_TYPE_OWN */
	fl_differs_fn *
		differs; /* a new value requires a restart of kept_by; NULL: it is adopted at once */
	const char *hint; /* an example */
};

enum fl_section_kind {
	FL_SECTION_ONE,      /* fields of struct fl_conf */
	FL_SECTION_POLICY,   /* fields of struct fl_build */
	FL_SECTION_FEDERATE, /* and these by name */
	FL_SECTION_SERVICE,
	FL_SECTION_UPSTREAM,
	FL_SECTION_ALLOW,
	FL_SECTION_DENY,
};

struct fl_section {
	const char *name;
	enum fl_section_kind kind;
	const struct fl_key *keys;
	size_t key_count;
};

#define FL_SECTIONS 16
#define FL_SECTION_KEYS_MAX 10 /* of one section */
extern const struct fl_section fl_sections[FL_SECTIONS];

struct fl_setting {
	struct fl_build *build;
	const struct fl_key *key;
	const struct fl_ini_entry *entry;
	void *field; /* the field for the value, or the struct around it */
};

/* Reads the value into the field, or reports why it is refused. */
void fl_setting_take(const struct fl_setting *setting);

/* One address, and no list. allow: enum fl_addr_allow bits. */
int fl_setting_take_address(const struct fl_setting *setting, unsigned allow,
			    struct fl_err *err) FL_MUST_USE;

/* Calls take for each item of a list. Of several refused items, all except the last are reported here; the
 * error of the last one is returned. */
typedef int fl_take_item(const struct fl_setting *setting, const char *text, struct fl_err *err);
int fl_setting_take_items(const struct fl_setting *setting, fl_take_item *take,
			  struct fl_err *err) FL_MUST_USE;

/* --- the functions of FL_TYPE_OWN ------------------------------------------------------------------ */

/* settings.c: [sidecar], [agent], [tls] */
fl_set_fn fl_set_capture_listeners, fl_set_admin, fl_set_control, fl_set_workers,
	fl_set_socket_path;
fl_set_fn fl_set_groups, fl_set_ciphers;
/* traffic.c: [service NAME]; [outbound], [upstream NAME] */
fl_set_fn fl_set_service_port, fl_set_service_listen, fl_set_app;
fl_set_fn fl_set_service_alpn, fl_set_upstream_alpn;
fl_set_fn fl_set_upstream_listen, fl_set_to, fl_set_peer, fl_set_within;
/* rules.c: [allow NAME], [deny NAME] */
fl_set_fn fl_set_from, fl_set_rule_targets, fl_set_sources;
fl_set_fn fl_set_except_from, fl_set_except_to, fl_set_except_sources;
/* selectors.c: [redirect] */
fl_set_fn fl_set_captured_ports, fl_set_selectors;

/* --- restart.c: the comparisons of keys that require a restart --------------------------------------- */

fl_differs_fn fl_differs_inbound, fl_differs_outbound; /* [sidecar] */
fl_differs_fn fl_differs_redirect_mode;
fl_differs_fn fl_differs_address, fl_differs_path; /* struct fl_addr; char * */
fl_differs_fn fl_differs_number;                   /* uint32_t, or an enum; the same size */

#endif
