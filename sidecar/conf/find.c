/* SPDX-License-Identifier: GPL-3.0-or-later */
/* find - looks up sections of a parsed INI, and what is in them. They are few, so a list is searched. */
#include <string.h>

#include "conf/conf.h"

const struct fl_conf_service *fl_conf_find_service(const struct fl_conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->service_count; i++) {
		if (strcmp(conf->services[i].name, name) == 0) {
			return &conf->services[i];
		}
	}
	return NULL;
}

const struct fl_conf_service *fl_conf_find_port(const struct fl_conf *conf, uint16_t port,
						bool captured)
{
	for (size_t i = 0; i < conf->service_count; i++) {
		const struct fl_conf_service *service = &conf->services[i];

		if ((service->listen.kind == FL_ADDR_NONE) == captured && service->port == port) {
			return service;
		}
	}
	return NULL;
}

const struct fl_conf_upstream *fl_conf_find_upstream(const struct fl_conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (strcmp(conf->upstreams[i].name, name) == 0) {
			return &conf->upstreams[i];
		}
	}
	return NULL;
}

const struct fl_conf_bundle *fl_conf_find_bundle(const struct fl_conf *conf,
						 const char *trust_domain)
{
	for (size_t i = 0; i < conf->federate_count; i++) {
		if (strcmp(conf->federate[i].trust_domain, trust_domain) == 0) {
			return &conf->federate[i];
		}
	}
	return NULL;
}

bool fl_conf_is_within(const struct fl_conf_upstream *upstream, const struct fl_cidr *address)
{
	for (size_t i = 0; i < upstream->within_count; i++) {
		if (fl_cidr_covers(&upstream->within[i], address)) {
			return true;
		}
	}
	return upstream->within_count == 0;
}
