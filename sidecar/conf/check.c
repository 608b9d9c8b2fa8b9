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
			fl_problem_error(build->problems, bundle->line,
					 "[federate %s] has no `bundle`: add the roots that vouch "
					 "for it",
					 bundle->trust_domain);
		}
	}
}

/* --- listeners ----------------------------------------------------------------------------- */

/* An address on which the programs listen. */
struct listener {
	const struct fl_addr *addr;
	const char *kind; /* of its section */
	const char *name; /* NULL: none */
	const char *key;
	fl_conf_line line; /* 0: the default */
};

struct listeners {
	struct listener *items;
	size_t count;
};

static void add_listener(struct fl_build *build, struct listeners *all, const char *kind,
			 const char *name, const char *key, const struct fl_addr *addr)
{
	if (addr->kind != FL_ADDR_NONE) {
		all->items = fl_grow(all->items, all->count + 1, sizeof(*all->items));
		all->items[all->count++] =
			(struct listener){.addr = addr,
					  .kind = kind,
					  .name = name,
					  .key = key,
					  .line = fl_build_has(build, kind, name, key)
							  ? fl_build_line(build, kind, name, key)
							  : 0};
	}
}

static int compare_listeners(const void *left, const void *right)
{
	const struct listener *a = left;
	const struct listener *b = right;

	return a->line < b->line ? -1 : a->line > b->line;
}

static void add_unix_listener(struct fl_build *build, struct listeners *all, const char *kind,
			      const char *key, const char *path, struct fl_addr *addr)
{
	addr->kind = FL_ADDR_UNIX;
	addr->sa.un.sun_family = AF_UNIX;
	/* Its length was checked when it was set. */
	(void)snprintf(addr->sa.un.sun_path, sizeof(addr->sa.un.sun_path), "%s", path);
	add_listener(build, all, kind, NULL, key, addr);
}

/* In the order of the file; those with a default value come first. paths: room for two. */
static void collect_listeners(struct fl_build *build, struct fl_addr *paths, struct listeners *all)
{
	struct fl_conf *conf = build->conf;

	for (size_t i = 0; i < conf->sidecar.inbound_count; i++) {
		add_listener(build, all, "sidecar", NULL, "inbound", &conf->sidecar.inbound[i]);
	}
	for (size_t i = 0; i < conf->sidecar.outbound_count; i++) {
		add_listener(build, all, "sidecar", NULL, "outbound", &conf->sidecar.outbound[i]);
	}
	add_listener(build, all, "sidecar", NULL, "admin", &conf->sidecar.admin);
	if (conf->sidecar.control != NULL) {
		add_unix_listener(build, all, "sidecar", "control", conf->sidecar.control,
				  &paths[0]);
	}
	add_unix_listener(build, all, "agent", "socket", conf->agent.socket, &paths[1]);
	for (size_t i = 0; i < conf->service_count; i++) {
		if (conf->services[i].name != NULL) {
			add_listener(build, all, "service", conf->services[i].name, "listen",
				     &conf->services[i].listen);
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (conf->upstreams[i].name != NULL) {
			add_listener(build, all, "upstream", conf->upstreams[i].name, "listen",
				     &conf->upstreams[i].listen);
		}
	}
	if (all->count > 1) {
		qsort(all->items, all->count, sizeof(*all->items), compare_listeners);
	}
}

static bool same_ip(const struct fl_addr *a, const struct fl_addr *b)
{
	if (a->sa.any.sa_family != b->sa.any.sa_family) {
		return false;
	}
	return a->sa.any.sa_family == AF_INET
		       ? a->sa.in.sin_addr.s_addr == b->sa.in.sin_addr.s_addr
		       : IN6_ARE_ADDR_EQUAL(&a->sa.in6.sin6_addr, &b->sa.in6.sin6_addr);
}

/* Does addr listen on all addresses of b's family? */
static bool takes_all(const struct fl_addr *addr, const struct fl_addr *b)
{
	return addr->kind == FL_ADDR_ANY ||
	       (addr->sa.any.sa_family == b->sa.any.sa_family && fl_addr_is_unspecified(addr));
}

/* With SO_REUSEPORT the kernel would let both bind, and distribute connections between them. */
static bool collide(const struct fl_addr *a, const struct fl_addr *b)
{
	if (a->kind == FL_ADDR_UNIX || b->kind == FL_ADDR_UNIX) {
		return a->kind == b->kind && strcmp(a->sa.un.sun_path, b->sa.un.sun_path) == 0;
	}
	return a->port == b->port && (takes_all(a, b) || takes_all(b, a) || same_ip(a, b));
}

/* `[kind name] key` and where, for a message. */
#define LISTENER_TEXT 160
static const char *describe(const struct listener *listener, char *buf)
{
	int len = snprintf(buf, LISTENER_TEXT, "[%s%s%s] %s", listener->kind,
			   listener->name != NULL ? " " : "",
			   listener->name != NULL ? listener->name : "", listener->key);

	if (len < 0 || len >= LISTENER_TEXT) {
		return buf;
	}
	if (listener->line != 0) {
		(void)snprintf(buf + len, LISTENER_TEXT - (size_t)len, " in line %u",
			       listener->line);
	} else {
		(void)snprintf(buf + len, LISTENER_TEXT - (size_t)len, ", the default");
	}
	return buf;
}

static void check_collisions(struct fl_build *build, const struct listeners *all)
{
	char theirs[FL_ADDR_TEXT];
	char ours[FL_ADDR_TEXT];
	char first[LISTENER_TEXT];

	for (size_t i = 1; i < all->count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (collide(all->items[i].addr, all->items[k].addr)) {
				fl_problem_error(build->problems, all->items[i].line,
						 "`%s = %s` is also used by %s (%s): give one "
						 "of the two another port or path",
						 all->items[i].key,
						 fl_addr_format(all->items[i].addr, ours),
						 describe(&all->items[k], first),
						 fl_addr_format(all->items[k].addr, theirs));
				break;
			}
		}
	}
}

/* --- destinations -------------------------------------------------------------------------- */

/* Does `to` certainly lead to `listener`? The addresses of this machine are unknown here. */
static bool leads_to(const struct fl_addr *to, const struct fl_addr *listener)
{
	if (to->kind == FL_ADDR_UNIX || listener->kind == FL_ADDR_UNIX) {
		return to->kind == listener->kind &&
		       strcmp(to->sa.un.sun_path, listener->sa.un.sun_path) == 0;
	}
	return to->kind == FL_ADDR_IP && to->port == listener->port &&
	       (same_ip(to, listener) || (takes_all(listener, to) && fl_addr_is_loopback(to)));
}

/* Is it an error if a destination of a section of this kind leads to `listener`? True for listeners of the same kind (a
 * loop), and of captured traffic (there would be no original destination). */
static bool is_way_back(const struct listener *listener, const char *kind)
{
	return strcmp(listener->kind, kind) == 0 || strcmp(listener->key, "inbound") == 0 ||
	       strcmp(listener->key, "outbound") == 0;
}

/* kind: that of the section with `to`. */
static void check_loop(struct fl_build *build, const struct listeners *all, const char *kind,
		       const struct fl_addr *to, fl_conf_line line, const char *key)
{
	char text[FL_ADDR_TEXT];
	char listener[LISTENER_TEXT];

	for (size_t i = 0; i < all->count; i++) {
		if (is_way_back(&all->items[i], kind) && leads_to(to, all->items[i].addr)) {
			fl_problem_error(build->problems, line,
					 "`%s`: %s leads back to the sidecar itself (%s)", key,
					 fl_addr_format(to, text),
					 describe(&all->items[i], listener));
		}
	}
}

/* Traffic of such a captured port would come back to us, or never reach us. */
static void check_captured_port(struct fl_build *build, const struct listeners *all,
				const struct fl_conf_service *service, fl_conf_line line)
{
	char listener[LISTENER_TEXT];

	for (size_t i = 0; i < all->count; i++) {
		if (all->items[i].addr->kind != FL_ADDR_UNIX &&
		    all->items[i].addr->port == service->port) {
			fl_problem_error(
				build->problems, line,
				"`port = %u` is a port of the app, but the sidecar listens on it itself (%s): "
				"give one of the two another port",
				service->port, describe(&all->items[i], listener));
			return;
		}
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

static void check_captured_service(struct fl_build *build, const struct listeners *all,
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

static void check_fixed_service(struct fl_build *build, const struct listeners *all,
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

static void check_service(struct fl_build *build, const struct listeners *all,
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

static void check_services(struct fl_build *build, const struct listeners *all)
{
	const struct fl_conf *conf = build->conf;
	const struct fl_conf_service **by_port =
		fl_new((UINT16_MAX + 1) * sizeof(struct fl_conf_service *));

	for (size_t i = 0; i < conf->service_count; i++) {
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

static void check_upstream_loops(struct fl_build *build, const struct listeners *all)
{
	for (size_t i = 0; i < build->conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &build->conf->upstreams[i];

		for (size_t k = 0; upstream->name != NULL && k < upstream->to_count; k++) {
			fl_conf_line line = fl_build_line(build, "upstream", upstream->name, "to");

			check_loop(build, all, "upstream", &upstream->to[k], line, "to");
		}
	}
}

static bool is_excluded(const struct fl_conf *conf, uint16_t port)
{
	const struct fl_conf_selectors *excluded = &conf->redirect.exclude_inbound;

	for (size_t i = 0; i < excluded->count; i++) {
		const struct fl_conf_selector *item = &excluded->items[i];

		if (item->any_net && item->interface == NULL && item->ports.first <= port &&
		    port <= item->ports.last) {
			return true;
		}
	}
	return false;
}

static bool is_everywhere(const struct fl_addr *addr)
{
	return addr->kind == FL_ADDR_ANY || fl_addr_is_unspecified(addr);
}

/* Connections from another interface are redirected to an address of that interface, never to loopback. */
static void check_forwarded(struct fl_build *build)
{
	const struct fl_conf *conf = build->conf;
	bool reached = conf->sidecar.outbound_count > 0;

	for (size_t i = 0; i < conf->sidecar.outbound_count; i++) {
		reached = reached && is_everywhere(&conf->sidecar.outbound[i]);
	}
	if (conf->redirect.forwarded == FL_FORWARDED_CAPTURE && !reached) {
		fl_problem_error(
			build->problems, fl_build_line(build, "redirect", NULL, "forwarded"),
			"`forwarded = capture` leads connections of containers inside the "
			"pod to an address of the pod, where `[sidecar] outbound` does not "
			"listen: write `outbound = *:15001` there");
	}
}

/* Connections to our own listener would be captured before they reach it. `*` means the app's ports, and so
 * does a range that happens to contain the admin port: `fairlead-agent redirect` does not capture our own ports there. */
static void check_redirected_listener(struct fl_build *build, const struct listener *listener)
{
	const struct fl_conf_selectors *captured = &build->conf->redirect.inbound_ports;
	uint16_t port = listener->addr->port;
	char text[LISTENER_TEXT];

	if (listener->addr->kind == FL_ADDR_UNIX || fl_addr_is_loopback(listener->addr) ||
	    strcmp(listener->key, "admin") == 0 || is_excluded(build->conf, port)) {
		return;
	}
	for (size_t i = 0; i < captured->count; i++) {
		const struct fl_port_range *ports = &captured->items[i].ports;

		if (ports->first != 0 && ports->first <= port && port <= ports->last) {
			fl_problem_error(
				build->problems,
				fl_build_line(build, "redirect", NULL, "inbound_ports"),
				"`inbound_ports`: %u is to be captured, but the sidecar listens on it itself (%s): "
				"remove it, or name it in `exclude_inbound`",
				port, describe(listener, text));
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
	struct fl_addr paths[2] = {{0}};
	struct listeners all = {0};

	collect_listeners(build, paths, &all);
	check_collisions(build, &all);
	check_services(build, &all);
	check_upstream_loops(build, &all);
	check_forwarded(build);
	for (size_t i = 0; i < all.count; i++) {
		check_redirected_listener(build, &all.items[i]);
	}
	free(all.items);
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
