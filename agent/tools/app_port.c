/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/tools/app_port.h"

#include <string.h>

#include "base/mem.h"

static bool is_app_at(const struct fl_conf_service *service, uint16_t port)
{
	return service->app.kind == FL_ADDR_IP && service->app.port == port;
}

const struct fl_conf_service *fl_app_port_service(const struct fl_conf *conf, uint16_t port)
{
	const struct fl_conf_service *found = NULL;

	if (conf->redirect.line != 0 || conf->sidecar.inbound_stated) {
		return NULL;
	}
	for (size_t i = 0; i < conf->service_count; i++) {
		if (conf->services[i].port == port) {
			return NULL;
		}
		if (found == NULL && is_app_at(&conf->services[i], port)) {
			found = &conf->services[i];
		}
	}
	return found;
}

static bool has_port(const struct fl_rule_spec *rule, uint16_t port)
{
	for (size_t i = 0; i < rule->port_count; i++) {
		if (rule->ports[i].first <= port && port <= rule->ports[i].last) {
			return true;
		}
	}
	return false;
}

static bool has_service(const struct fl_rule_spec *rule, const char *name)
{
	for (size_t i = 0; i < rule->service_count; i++) {
		if (strcmp(rule->services[i], name) == 0) {
			return true;
		}
	}
	return false;
}

const struct fl_conf_service *fl_app_port_named(const struct fl_conf *conf,
						const struct fl_rule_spec *rule)
{
	for (size_t i = 0; i < conf->service_count; i++) {
		const struct fl_conf_service *service = &conf->services[i];

		if (service->app.kind == FL_ADDR_IP && has_port(rule, service->app.port) &&
		    fl_app_port_service(conf, service->app.port) != NULL &&
		    !has_port(rule, service->port) && !has_service(rule, service->name)) {
			return service;
		}
	}
	return NULL;
}

char *fl_app_port_mistake(const struct fl_conf *conf, const struct fl_rule_spec *rule)
{
	const struct fl_conf_service *service = fl_app_port_named(conf, rule);

	return service == NULL
		       ? NULL
		       : fl_format("`to` names port %u, where the app of [service %s] listens; "
				   "rules name the port that peers dial: write `to = %s`, or %u",
				   service->app.port, service->name, service->name, service->port);
}
