/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rules - the values of [allow NAME] and [deny NAME]. */
#include <string.h>

#include "base/mem.h"
#include "conf/settings.h"
#include "conf/values.h"

static int add_from(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;
	struct fl_pattern *pattern = NULL;
	int rc;

	if (strcmp(text, "plaintext") == 0) {
		rule->plaintext = true;
		return 0;
	}
	rc = fl_pattern_parse(text, &pattern, err);
	if (rc == 0) {
		rule->from = fl_grow(rule->from, rule->from_count + 1, sizeof(struct fl_pattern *));
		rule->from[rule->from_count++] = pattern;
	}
	return rc;
}

/* Empty: check_rules.c says that `from` is missing. */
int fl_set_from(const struct fl_setting *setting, struct fl_err *err)
{
	return fl_setting_take_items(setting, add_from, err);
}

static int add_rule_target(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;
	struct fl_port_range range = {0};
	int rc;

	if (!fl_value_looks_like_ports(text)) {
		/* check_rules.c finds out whether there is such a service. */
		rule->services = fl_grow(rule->services, rule->service_count + 1, sizeof(char *));
		rule->services[rule->service_count++] = fl_strdup(text);
		return 0;
	}
	rc = fl_value_ports(text, &range, err);
	if (rc == 0) {
		rule->ports = fl_grow(rule->ports, rule->port_count + 1, sizeof(*rule->ports));
		rule->ports[rule->port_count++] = range;
	}
	return rc;
}

int fl_set_rule_targets(const struct fl_setting *setting, struct fl_err *err)
{
	return fl_setting_take_items(setting, add_rule_target, err);
}

static int add_source(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;
	struct fl_cidr net = {0};
	int rc = fl_cidr_parse(text, &net, err);

	if (rc == 0) {
		rule->sources =
			fl_grow(rule->sources, rule->source_count + 1, sizeof(*rule->sources));
		rule->sources[rule->source_count++] = net;
	}
	return rc;
}

/* A list that somebody has emptied must not come to mean everybody. */
int fl_set_sources(const struct fl_setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] == '\0') {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"no address is named: name some, or remove the line to let the rule "
			"hold for all of them");
	}
	return fl_setting_take_items(setting, add_source, err);
}
