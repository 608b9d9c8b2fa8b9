/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rules - the values of [allow NAME] and [deny NAME]. */
#include <string.h>

#include "base/mem.h"
#include "conf/settings.h"
#include "conf/values.h"

/* An empty list must not silently mean "every peer" or "no peer". */
static int refuse_empty(const struct fl_setting *setting, const char *remedy, struct fl_err *err)
{
	return setting->entry->value[0] != '\0'
		       ? 0
		       : fl_err_set(err, FL_ERR_INVALID, "the list is empty: %s", remedy);
}

#define NO_EXCEPTION "name the exceptions, or remove the line"

static int add_pattern(struct fl_rule_part *part, const char *text, struct fl_err *err)
{
	struct fl_pattern *pattern = NULL;
	int rc = fl_pattern_parse(text, &pattern, err);

	if (rc == 0) {
		part->from = fl_grow(part->from, part->from_count + 1, sizeof(struct fl_pattern *));
		part->from[part->from_count++] = pattern;
	}
	return rc;
}

static int add_from(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	if (strcmp(text, "plaintext") == 0) {
		rule->plaintext = true;
		return 0;
	}
	return add_pattern(&rule->is, text, err);
}

static int add_except_from(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	if (strcmp(text, "plaintext") == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`plaintext` cannot be an exception: a rule applies to "
				  "plaintext only if its `from` names it");
	}
	return add_pattern(&rule->except, text, err);
}

/* Empty: check_rules.c says that `from` is missing. */
int fl_set_from(const struct fl_setting *setting, struct fl_err *err)
{
	return fl_setting_take_items(setting, add_from, err);
}

int fl_set_except_from(const struct fl_setting *setting, struct fl_err *err)
{
	int rc = refuse_empty(setting, NO_EXCEPTION, err);

	return rc == 0 ? fl_setting_take_items(setting, add_except_from, err) : rc;
}

static int add_target(struct fl_rule_part *part, const char *text, struct fl_err *err)
{
	struct fl_port_range range = {0};
	int rc;

	if (!fl_value_looks_like_ports(text)) {
		/* check_rules.c checks that there is such a service. */
		part->services = fl_grow(part->services, part->service_count + 1, sizeof(char *));
		part->services[part->service_count++] = fl_strdup(text);
		return 0;
	}
	rc = fl_value_ports(text, &range, err);
	if (rc == 0) {
		part->ports = fl_grow(part->ports, part->port_count + 1, sizeof(*part->ports));
		part->ports[part->port_count++] = range;
	}
	return rc;
}

static int add_to(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	return add_target(&rule->is, text, err);
}

static int add_except_to(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	return add_target(&rule->except, text, err);
}

int fl_set_rule_targets(const struct fl_setting *setting, struct fl_err *err)
{
	return fl_setting_take_items(setting, add_to, err);
}

int fl_set_except_to(const struct fl_setting *setting, struct fl_err *err)
{
	int rc = refuse_empty(setting, NO_EXCEPTION, err);

	return rc == 0 ? fl_setting_take_items(setting, add_except_to, err) : rc;
}

static int add_net(struct fl_rule_part *part, const char *text, struct fl_err *err)
{
	struct fl_cidr net = {0};
	int rc = fl_cidr_parse(text, &net, err);

	if (rc == 0) {
		part->sources =
			fl_grow(part->sources, part->source_count + 1, sizeof(*part->sources));
		part->sources[part->source_count++] = net;
	}
	return rc;
}

static int add_source(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	return add_net(&rule->is, text, err);
}

static int add_except_source(const struct fl_setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	return add_net(&rule->except, text, err);
}

int fl_set_sources(const struct fl_setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] == '\0') {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"the list is empty: name addresses, or remove the line to let the rule "
			"apply to all of them");
	}
	return fl_setting_take_items(setting, add_source, err);
}

int fl_set_except_sources(const struct fl_setting *setting, struct fl_err *err)
{
	int rc = refuse_empty(setting, NO_EXCEPTION, err);

	return rc == 0 ? fl_setting_take_items(setting, add_except_source, err) : rc;
}
