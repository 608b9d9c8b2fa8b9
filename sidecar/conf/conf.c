/* SPDX-License-Identifier: GPL-3.0-or-later */
/* conf - the end of a parsed INI, and a check of what it names. parse.c makes it. */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/mem.h"
#include "pki/spiffe.h"

static void free_upstream(struct fl_conf_upstream *upstream)
{
	for (size_t i = 0; i < upstream->peer_count; i++) {
		fl_pattern_free(upstream->peer[i]);
	}
	for (size_t i = 0; i < upstream->dest_count; i++) {
		free(upstream->dests[i].host);
	}
	free(upstream->peer);
	free(upstream->dests);
	free(upstream->to);
	free(upstream->within);
	free(upstream->alpn);
	free(upstream->name);
}

static void free_service(struct fl_conf_service *service)
{
	free(service->name);
	free(service->alpn);
}

static void free_selectors(struct fl_conf_selectors *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].interface);
	}
	free(list->items);
}

int fl_conf_guard_socket(const char *socket, uid_t agent, uid_t sidecar, struct fl_err *err)
{
	const uid_t trusted[] = {agent, sidecar, geteuid()};
	struct fl_err cause;

	if (fl_guarded_path(socket, trusted, FL_COUNT_OF(trusted), &cause) == FL_OK) {
		return FL_OK;
	}
	return fl_err_set(
		err, FL_ERR_INVALID,
		"%s; give `[agent] socket` its own directory, which belongs to the agent's "
		"user and has mode 0755; fairlead-agent creates it below a sticky directory, for example "
		"`socket = /run/fairlead/agent/agent.sock` in a volume of a pod",
		cause.text);
}

static bool is_usable(const struct fl_conf_bundle *bundle)
{
	const char *name = bundle->trust_domain;

	return name != NULL && bundle->path != NULL &&
	       fl_spiffe_trust_domain_check(name, strlen(name), NULL) == FL_OK;
}

void fl_conf_drop_unusable(struct fl_conf *conf)
{
	size_t services = 0, upstreams = 0, bundles = 0;

	for (size_t i = 0; i < conf->service_count; i++) {
		if (conf->services[i].name != NULL) {
			conf->services[services++] = conf->services[i];
		} else {
			free_service(&conf->services[i]);
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (conf->upstreams[i].name != NULL) {
			conf->upstreams[upstreams++] = conf->upstreams[i];
		} else {
			free_upstream(&conf->upstreams[i]);
		}
	}
	for (size_t i = 0; i < conf->federate_count; i++) {
		if (is_usable(&conf->federate[i])) {
			conf->federate[bundles++] = conf->federate[i];
		} else {
			free(conf->federate[i].trust_domain);
			free(conf->federate[i].path);
		}
	}
	conf->service_count = services;
	conf->upstream_count = upstreams;
	conf->federate_count = bundles;
}

void fl_conf_free(struct fl_conf *conf)
{
	if (conf == NULL) {
		return;
	}
	for (size_t i = 0; i < conf->federate_count; i++) {
		free(conf->federate[i].trust_domain);
		free(conf->federate[i].path);
	}
	for (size_t i = 0; i < conf->service_count; i++) {
		free_service(&conf->services[i]);
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		free_upstream(&conf->upstreams[i]);
	}
	free_upstream(&conf->outbound);
	free_selectors(&conf->redirect.inbound_ports);
	free_selectors(&conf->redirect.exclude_inbound);
	free_selectors(&conf->redirect.outbound);
	free_selectors(&conf->redirect.exclude_outbound);
	free(conf->sidecar.inbound);
	free(conf->sidecar.outbound);
	free(conf->sidecar.control);
	free(conf->federate);
	free(conf->services);
	free(conf->upstreams);
#define FREE_PATH(name, is_secret) free(conf->identity.name);
	FL_CREDENTIAL_FILES(FREE_PATH)
	free(conf->agent.socket);
	fl_policy_free(conf->policy);
	free(conf->path);
	free(conf);
}
