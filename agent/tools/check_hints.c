/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check_hints - looks for well-known ports among those in the INI: of captured services, rules and [redirect]. A wide range
 * does not count. */
#include "agent/tools/check_hints.h"

#include <stdlib.h>

#include "base/mem.h"

#define NARROW 64u /* a range of at most so many ports counts */

static const struct known {
	uint16_t port;
	const char *what, *remedy;
} known_ports[] = {
	{6379, "Redis: it lists its replicas under the address of this pod",
	 "`replica-announce-ip`, in a cluster `cluster-announce-ip`"},
	{26379, "Redis Sentinel: it sees the others under the address of this pod",
	 "`sentinel announce-ip`, and `replica-announce-ip` in Redis"},
	{16379, "the bus of Redis Cluster: it sees other nodes under the address of this pod",
	 "`cluster-announce-ip`"},
	{21,
	 "FTP: active transfers (PORT, EPRT) are refused, because clients have the address of this pod",
	 "passive transfers (PASV, EPSV)"},
};

static bool is_named(const struct fl_port_range *range, uint16_t port)
{
	return range->first <= port && port <= range->last &&
	       (unsigned)(range->last - range->first) < NARROW;
}

static fl_conf_line in_services(const struct fl_conf *conf, uint16_t port)
{
	const struct fl_conf_service *service = fl_conf_find_port(conf, port, true);

	return service != NULL ? service->line : 0;
}

static fl_conf_line in_rules(const struct fl_conf *conf, uint16_t port)
{
	for (size_t i = 0; i < fl_policy_rule_count(conf->policy); i++) {
		struct fl_rule_spec rule;

		fl_policy_rule(conf->policy, i, &rule);
		for (size_t k = 0; rule.effect == FL_ALLOW && k < rule.port_count; k++) {
			if (is_named(&rule.ports[k], port)) {
				return rule.line;
			}
		}
	}
	return 0;
}

static fl_conf_line in_redirect(const struct fl_conf *conf, uint16_t port)
{
	for (size_t i = 0; i < conf->redirect.inbound_ports.count; i++) {
		if (is_named(&conf->redirect.inbound_ports.items[i].ports, port)) {
			return conf->redirect.line;
		}
	}
	return 0;
}

/* The line that names a captured port; 0: none. */
static fl_conf_line named_by(const struct fl_conf *conf, uint16_t port)
{
	fl_conf_line line = in_services(conf, port);

	line = line != 0 ? line : in_redirect(conf, port);
	return line != 0 || fl_conf_find_port(conf, port, false) != NULL ? line
									 : in_rules(conf, port);
}

/* The hint about that port, to free(); NULL: there is none. */
static char *hint_about(const struct fl_conf *conf, const struct known *known, fl_conf_line *line)
{
	bool sees_us = conf->sidecar.inbound_count > 0 && conf->redirect.mode == FL_REDIRECT_NAT;

	*line = sees_us ? named_by(conf, known->port) : 0;
	return *line == 0
		       ? NULL
		       : fl_format("port %u is that of %s: use %s, or `[redirect] mode = tproxy`",
				   known->port, known->what, known->remedy);
}

void fl_check_hints_text(const struct fl_conf *conf, FILE *out)
{
	const char *label = "hint";

	for (size_t i = 0; i < FL_COUNT_OF(known_ports); i++) {
		fl_conf_line line;
		char *text = hint_about(conf, &known_ports[i], &line);

		if (text != NULL) {
			(void)fprintf(out, "%-12s line %u: %s\n", label, line, text);
			label = "";
		}
		free(text);
	}
}

void fl_check_hints_json(const struct fl_conf *conf, struct fl_json *json)
{
	fl_json_array(json, "hints");
	for (size_t i = 0; i < FL_COUNT_OF(known_ports); i++) {
		fl_conf_line line;
		char *text = hint_about(conf, &known_ports[i], &line);

		if (text != NULL) {
			fl_json_object(json, NULL);
			fl_json_int(json, "line", line);
			fl_json_str(json, "text", text);
			fl_json_end(json);
		}
		free(text);
	}
	fl_json_end(json);
}
