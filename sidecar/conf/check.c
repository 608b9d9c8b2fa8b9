/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check - compares settings with each other: reports what is missing and what contradicts itself.
 *
 * Whether a setting exists is asked of the INI, not of the value, so that a setting with a refused
 * value is not reported as missing as well. Nothing here fails; everything is reported. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/build.h"
#include "conf/own_listeners.h"

/* --- identity ------------------------------------------------------------------------------ */

static void check_identity(struct fl_build *build)
{
	const struct fl_ini_section *section = fl_ini_section(build->ini, "identity", NULL);
	bool cert = fl_build_has(build, "identity", NULL, "cert");
	bool key = fl_build_has(build, "identity", NULL, "key");
	bool both = fl_build_has(build, "identity", NULL, "credential_bundle");

	if (section == NULL) {
		fl_problem_error(build->problems, 0,
				 "[identity] is missing: add it with `cert`, `key` and `bundle`");
		return;
	}
	if (both && (cert || key)) {
		fl_problem_error(build->problems,
				 fl_build_line(build, "identity", NULL, "credential_bundle"),
				 "`credential_bundle` replaces `cert` and `key` (line "
				 "%u): keep one or the other",
				 fl_build_line(build, "identity", NULL, cert ? "cert" : "key"));
	} else if (!both && !cert && !key) {
		fl_problem_error(build->problems, section->line,
				 "[identity] names no credentials: add `cert` and `key`, or "
				 "`credential_bundle`");
	} else if (!both && cert != key) {
		fl_problem_error(build->problems,
				 fl_build_line(build, "identity", NULL, cert ? "cert" : "key"),
				 "`%s` requires `%s` as well", cert ? "cert" : "key",
				 cert ? "key" : "cert");
	}
	if (!fl_build_has(build, "identity", NULL, "bundle")) {
		fl_problem_error(build->problems, section->line,
				 "[identity] has no `bundle`: add the roots of your own trust "
				 "domain");
	}
}

static void check_bundles(struct fl_build *build)
{
	for (size_t i = 0; i < build->conf->federate_count; i++) {
		const struct fl_conf_bundle *bundle = &build->conf->federate[i];

		if (bundle->trust_domain != NULL &&
		    !fl_build_has(build, "federate", bundle->trust_domain, "bundle")) {
			fl_problem_error(
				build->problems, bundle->line,
				"[federate %.100s] has no `bundle`: add the roots that vouch "
				"for it",
				bundle->trust_domain);
		}
	}
}

/* --- listeners ----------------------------------------------------------------------------- */

static void check_collisions(struct fl_build *build, const struct fl_own_listeners *all)
{
	char theirs[FL_ADDR_TEXT];
	char ours[FL_ADDR_TEXT];
	char first[FL_OWN_LISTENER_TEXT];

	for (size_t i = 1; i < all->count && !fl_problems_enough(build->problems); i++) {
		const struct fl_own_listener *other = fl_own_listeners_collision(all, i);

		if (other != NULL) {
			fl_problem_error(build->problems, all->items[i].line,
					 "`%s = %s` is also used by %s (%s): give one "
					 "of the two another port or path",
					 all->items[i].key,
					 fl_addr_format(all->items[i].addr, ours),
					 fl_own_listener_describe(other, first),
					 fl_addr_format(other->addr, theirs));
		}
	}
}

/* --- destinations -------------------------------------------------------------------------- */

/* kind: that of the section with `to`. */
static void check_loop(struct fl_build *build, const struct fl_own_listeners *all, const char *kind,
		       const struct fl_addr *to, fl_conf_line line, const char *key)
{
	const struct fl_own_listener *listener = fl_own_listeners_way_back(all, kind, to);
	char text[FL_ADDR_TEXT];
	char found[FL_OWN_LISTENER_TEXT];

	if (listener != NULL) {
		fl_problem_error(
			build->problems, line, "`%s`: %s leads back to the sidecar itself (%s)",
			key, fl_addr_format(to, text), fl_own_listener_describe(listener, found));
	}
}

/* Traffic of such a captured port would come back to us, or never reach us. */
static void check_captured_port(struct fl_build *build, const struct fl_own_listeners *all,
				const struct fl_conf_service *service, fl_conf_line line)
{
	const struct fl_own_listener *listener = fl_own_listeners_at_port(all, service->port);
	char text[FL_OWN_LISTENER_TEXT];

	if (listener != NULL) {
		fl_problem_error(
			build->problems, line,
			"`port = %u` is a port of the app, but the sidecar listens on it itself (%s): "
			"give one of the two another port",
			service->port, fl_own_listener_describe(listener, text));
		return;
	}
	if (build->conf->sidecar.inbound_count == 0) {
		fl_problem_error(
			build->problems, line,
			"`port` is for captured traffic, and `[sidecar] inbound` is empty (line %u): "
			"remove that line, or use `listen` and `app` here",
			fl_build_line(build, "sidecar", NULL, "inbound"));
	}
}

/* The addresses of this machine are unknown here, and may belong to another machine tomorrow. */
static void check_remote(struct fl_build *build, const struct fl_conf_service *service,
			 fl_conf_line line)
{
	char text[FL_ADDR_TEXT];

	if (service->app.kind != FL_ADDR_IP || service->remote ||
	    fl_addr_is_loopback(&service->app)) {
		return;
	}
	(void)fl_addr_format(&service->app, text);
	fl_problem_error(
		build->problems, line,
		"`app = %s` may be another machine, to which the sidecar would send in plaintext what "
		"peers have sent by mutual TLS: let the app listen on loopback and write 127.0.0.1:%u, or "
		"write `remote = allow` in [service %s] if that is intended",
		text, service->app.port, service->name);
}

static void check_captured_service(struct fl_build *build, const struct fl_own_listeners *all,
				   const struct fl_conf_service *service)
{
	fl_conf_line line = fl_build_line(build, "service", service->name, "port");

	if (fl_build_has(build, "service", service->name, "app")) {
		fl_problem_error(
			build->problems, fl_build_line(build, "service", service->name, "app"),
			"`app` is for a fixed listener, and this port is captured (line %u): captured "
			"connections go to their original destination, so remove `app`, or write `listen` in "
			"place of `port`",
			line);
	}
	if (fl_build_has(build, "service", service->name, "remote")) {
		fl_problem_error(
			build->problems, fl_build_line(build, "service", service->name, "remote"),
			"`remote` is for `app` of a fixed listener, and this port is captured (line %u): "
			"captured connections stay in the pod, so remove `remote`",
			line);
	}
	if (service->port != 0) { /* 0 has been reported */
		check_captured_port(build, all, service, line);
	}
}

static void check_fixed_service(struct fl_build *build, const struct fl_own_listeners *all,
				const struct fl_conf_service *service)
{
	if (!fl_build_has(build, "service", service->name, "app")) {
		fl_problem_error(build->problems, service->line,
				 "[service %s] has no `app`: add the address of the app, for "
				 "example `app = 127.0.0.1:8080`",
				 service->name);
	} else if (service->app.kind != FL_ADDR_NONE) {
		fl_conf_line line = fl_build_line(build, "service", service->name, "app");

		check_loop(build, all, "service", &service->app, line, "app");
		check_remote(build, service, line);
	}
}

/* Only a strict port terminates TLS that does not offer our own protocol. */
static void check_alpn(struct fl_build *build, const struct fl_conf_service *service)
{
	if (service->alpn != NULL && service->inbound.mode != FL_INBOUND_STRICT) {
		fl_problem_error(
			build->problems, fl_build_line(build, "service", service->name, "alpn"),
			"`alpn` is for TLS clients of other kinds, but in %s mode their TLS goes to the app "
			"unchanged: remove `alpn`, or write `mode = strict` in [service %s]",
			service->inbound.mode == FL_INBOUND_PERMISSIVE ? "permissive" : "plaintext",
			service->name);
	}
}

static void check_service(struct fl_build *build, const struct fl_own_listeners *all,
			  const struct fl_conf_service *service)
{
	bool port = fl_build_has(build, "service", service->name, "port");
	bool listen = fl_build_says(build, "service", service->name, "listen");

	check_alpn(build, service);
	if (port && listen) {
		fl_problem_error(
			build->problems, fl_build_line(build, "service", service->name, "port"),
			"`port` is for a captured port, `listen` (line %u) for a fixed listener: keep one of "
			"the two",
			fl_build_line(build, "service", service->name, "listen"));
	} else if (port) {
		check_captured_service(build, all, service);
	} else if (listen) {
		check_fixed_service(build, all, service);
	} else {
		fl_problem_error(
			build->problems, fl_build_line(build, "service", service->name, "listen"),
			"[service %s] has neither `port` nor `listen`: write `port = 8080` for a captured "
			"port of the app, or `listen = *:8443` and `app = 127.0.0.1:8080`",
			service->name);
	}
}

static void check_services(struct fl_build *build, const struct fl_own_listeners *all)
{
	const struct fl_conf *conf = build->conf;
	const struct fl_conf_service **by_port =
		fl_new((UINT16_MAX + 1) * sizeof(struct fl_conf_service *));

	for (size_t i = 0; i < conf->service_count && !fl_problems_enough(build->problems); i++) {
		const struct fl_conf_service *service = &conf->services[i];

		if (service->name == NULL) {
			continue;
		}
		check_service(build, all, service);
		if (service->listen.kind != FL_ADDR_NONE || service->port == 0) {
			continue;
		}
		if (by_port[service->port] != NULL) {
			fl_problem_error(
				build->problems,
				fl_build_line(build, "service", service->name, "port"),
				"`port = %u` is [service %s] already (line %u): give each service its own "
				"port",
				service->port, by_port[service->port]->name,
				fl_build_line(build, "service", by_port[service->port]->name,
					      "port"));
		} else {
			by_port[service->port] = service;
		}
	}
	free(by_port);
}

static void check_upstream_loops(struct fl_build *build, const struct fl_own_listeners *all)
{
	for (size_t i = 0; i < build->conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &build->conf->upstreams[i];

		for (size_t k = 0; upstream->name != NULL && k < upstream->to_count &&
				   !fl_problems_enough(build->problems);
		     k++) {
			fl_conf_line line = fl_build_line(build, "upstream", upstream->name, "to");

			check_loop(build, all, "upstream", &upstream->to[k], line, "to");
		}
	}
}

static void check_anything_to_do(struct fl_build *build)
{
	const struct fl_conf *conf = build->conf;

	if (conf->service_count + conf->upstream_count + conf->sidecar.inbound_count +
		    conf->sidecar.outbound_count ==
	    0) {
		fl_problem_error(
			build->problems, 0,
			"the sidecar would listen nowhere: give captured traffic a listener in `[sidecar] "
			"inbound` and `outbound`, or add a [service NAME] with `listen` and `app`, or an "
			"[upstream NAME] with `listen` and `to`");
	}
}

static void check_listeners(struct fl_build *build)
{
	struct fl_own_listeners all = {0};

	fl_own_listeners_collect(&all, build);
	check_collisions(build, &all);
	check_services(build, &all);
	check_upstream_loops(build, &all);
	fl_build_check_capture(build, &all);
	fl_own_listeners_done(&all);
	check_anything_to_do(build);
}

void fl_build_check(struct fl_build *build)
{
	check_identity(build);
	check_bundles(build);
	check_listeners(build);
	fl_build_check_upstreams(build);
	fl_build_check_rules(build);
}
