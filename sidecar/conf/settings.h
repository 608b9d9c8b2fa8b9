/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_SETTINGS_H
#define FL_CONF_SETTINGS_H
/* settings - what a key of the INI is, and how its value is read. Private to conf: keys.c has the
 * keys, settings.c reads. */
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
	FL_TYPE_WORD,     /* an enum; without a field: a word that changes nothing */
	FL_TYPE_OWN,      /* what `set` makes of it */
	FL_TYPE_LATER,    /* not built yet */
};

struct fl_setting; /* a key with its entry, below */

typedef int fl_set_fn(const struct fl_setting *setting, struct fl_err *err);

struct fl_key {
	const char *name;
	enum fl_key_type type;
	size_t offset; /* in the struct of the section */
	uint32_t min, max;
	const struct fl_word *words;
	size_t word_count;
	fl_set_fn *set;   /* FL_TYPE_OWN */
	const char *hint; /* an example; FL_TYPE_LATER: what to do instead */
};

struct fl_setting {
	struct fl_build *build;
	const struct fl_key *key;
	const struct fl_ini_entry *entry;
	void *field; /* that the key fills in, or the struct around it; NULL: it changes nothing */
};

/* Reads the value into the field, or reports what is wrong with it. */
void fl_setting_take(const struct fl_setting *setting);

/* --- for FL_TYPE_OWN: what each key makes of its value ------------------------------------------ */

/* [sidecar], [agent] */
fl_set_fn fl_set_capture, fl_set_admin, fl_set_workers, fl_set_socket_path;
/* [tls] */
fl_set_fn fl_set_groups, fl_set_ciphers;
/* [service NAME] */
fl_set_fn fl_set_service_listen, fl_set_app;
/* [upstream NAME] */
fl_set_fn fl_set_upstream_listen, fl_set_targets, fl_set_peer;
/* [allow NAME], [deny NAME] */
fl_set_fn fl_set_from, fl_set_rule_targets;
/* Durations that are not built yet, but for 0: [limits], [rotation] */
fl_set_fn fl_set_never;

#endif
