/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check - what only shows between settings: what is required, and what contradicts itself.
 *
 * "Is there" is asked of the INI and not of the value, so that a setting that was refused for its
 * value is not called missing as well. Nothing here fails; all is reported. */
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
				 "`credential_bundle` stands in place of `cert` and `key` (line "
				 "%u): keep one or the other",
				 fl_build_line(build, "identity", NULL, cert ? "cert" : "key"));
	} else if (!both && !cert && !key) {
		fl_problem_error(build->problems, section->line,
				 "[identity] names no credentials: add `cert` and `key`, or "
				 "`credential_bundle`");
	} else if (!both && cert != key) {
		fl_problem_error(build->problems,
				 fl_build_line(build, "identity", NULL, cert ? "cert" : "key"),
				 "`%s` needs `%s` beside it", cert ? "cert" : "key",
				 cert ? "key" : "cert");
	}
	if (!fl_build_has(build, "identity", NULL, "bundle")) {
		fl_problem_error(build->problems, section->line,
				 "[identity] has no `bundle`: add the roots of your own trust "
				 "domain, an empty one trusts nobody");
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

/* Something that the programs listen on. */
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

/* In the order of the file; those that only have a default come first. */
static void collect_listeners(struct fl_build *build, const struct fl_addr *agent,
			      struct listeners *all)
{
	struct fl_conf *conf = build->conf;

	add_listener(build, all, "sidecar", NULL, "admin", &conf->sidecar.admin);
	add_listener(build, all, "agent", NULL, "socket", agent);
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

/* addr takes what comes to any address of b's family. */
static bool takes_all(const struct fl_addr *addr, const struct fl_addr *b)
{
	if (addr->kind == FL_ADDR_ANY) {
		return true;
	}
	if (addr->sa.any.sa_family != b->sa.any.sa_family) {
		return false;
	}
	return addr->sa.any.sa_family == AF_INET ? addr->sa.in.sin_addr.s_addr == htonl(INADDR_ANY)
						 : IN6_IS_ADDR_UNSPECIFIED(&addr->sa.in6.sin6_addr);
}

/* With SO_REUSEPORT the kernel would let both bind, and share the connections out between them. */
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
						 "`%s = %s` is taken by %s (%s): give one of "
						 "the two another port or path",
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

static bool is_loopback(const struct fl_addr *addr)
{
	return addr->kind == FL_ADDR_IP &&
	       (addr->sa.any.sa_family == AF_INET ? ntohl(addr->sa.in.sin_addr.s_addr) >> 24 == 127
						  : IN6_IS_ADDR_LOOPBACK(&addr->sa.in6.sin6_addr));
}

/* Certainly so: which addresses this machine has is unknown here. */
static bool leads_to(const struct fl_addr *to, const struct fl_addr *listener)
{
	if (to->kind == FL_ADDR_UNIX || listener->kind == FL_ADDR_UNIX) {
		return to->kind == listener->kind &&
		       strcmp(to->sa.un.sun_path, listener->sa.un.sun_path) == 0;
	}
	return to->kind == FL_ADDR_IP && to->port == listener->port &&
	       (same_ip(to, listener) || (takes_all(listener, to) && is_loopback(to)));
}

/* to must not lead back to a listener of this kind. */
static void check_loop(struct fl_build *build, const struct listeners *all, const char *kind,
		       const struct fl_addr *to, fl_conf_line line, const char *key)
{
	char text[FL_ADDR_TEXT];
	char listener[LISTENER_TEXT];

	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->items[i].kind, kind) == 0 && leads_to(to, all->items[i].addr)) {
			fl_problem_error(build->problems, line,
					 "`%s`: %s leads back to the sidecar itself (%s)", key,
					 fl_addr_format(to, text),
					 describe(&all->items[i], listener));
		}
	}
}

static void check_services(struct fl_build *build, const struct listeners *all)
{
	for (size_t i = 0; i < build->conf->service_count; i++) {
		const struct fl_conf_service *service = &build->conf->services[i];
		const struct fl_ini_section *section;
		const struct fl_ini_entry *listen;

		if (service->name == NULL) {
			continue;
		}
		section = fl_ini_section(build->ini, "service", service->name);
		listen = fl_ini_entry(build->ini, section, "listen");
		if (listen == NULL || listen->value[0] == '\0') {
			fl_problem_error(build->problems,
					 listen != NULL ? listen->line : service->line,
					 "[service %s] listens nowhere: captured ports are not "
					 "supported yet, add for example `listen = *:8443`",
					 service->name);
		}
		if (!fl_build_has(build, "service", service->name, "app")) {
			fl_problem_error(
				build->problems, service->line,
				"[service %s] has no `app`: add where the app listens, for "
				"example `app = 127.0.0.1:8080`",
				service->name);
		} else if (service->app.kind != FL_ADDR_NONE) {
			fl_conf_line line = fl_build_line(build, "service", service->name, "app");

			check_loop(build, all, "service", &service->app, line, "app");
		}
	}
}

static void check_upstreams(struct fl_build *build, const struct listeners *all)
{
	for (size_t i = 0; i < build->conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &build->conf->upstreams[i];
		const struct fl_ini_section *section;
		const struct fl_ini_entry *listen;

		if (upstream->name == NULL) {
			continue;
		}
		section = fl_ini_section(build->ini, "upstream", upstream->name);
		listen = fl_ini_entry(build->ini, section, "listen");
		if (listen == NULL || listen->value[0] == '\0') {
			fl_problem_error(build->problems,
					 listen != NULL ? listen->line : upstream->line,
					 "[upstream %s] listens nowhere: captured traffic is not "
					 "supported yet, add for example `listen = 127.0.0.1:7001`",
					 upstream->name);
		}
		if (!fl_build_has(build, "upstream", upstream->name, "to")) {
			fl_problem_error(build->problems, upstream->line,
					 "[upstream %s] has no `to`: add where to connect to, for "
					 "example `to = ledger.prod.svc.cluster.local:8443`",
					 upstream->name);
		}
		for (size_t k = 0; k < upstream->to_count; k++) {
			fl_conf_line line = fl_build_line(build, "upstream", upstream->name, "to");

			check_loop(build, all, "upstream", &upstream->to[k], line, "to");
		}
	}
}

static void check_listeners(struct fl_build *build)
{
	struct fl_addr agent = {.kind = FL_ADDR_UNIX};
	struct listeners all = {0};

	/* Its length has been checked when it was set. */
	(void)snprintf(agent.sa.un.sun_path, sizeof(agent.sa.un.sun_path), "%s",
		       build->conf->agent.socket);
	collect_listeners(build, &agent, &all);
	check_collisions(build, &all);
	check_services(build, &all);
	check_upstreams(build, &all);
	free(all.items);
	if (build->conf->service_count == 0 && build->conf->upstream_count == 0) {
		fl_problem_error(build->problems, 0,
				 "there is nothing to do: add a [service NAME] with `listen` and "
				 "`app`, or an [upstream NAME] with `listen` and `to` (transparent "
				 "capture is not supported yet)");
	}
}

/* --- rules --------------------------------------------------------------------------------- */

static void report_service(struct fl_build *build, const struct fl_rule_draft *rule,
			   const char *kind, const char *name)
{
	const struct fl_conf *conf = build->conf;
	const char **names = fl_grow(NULL, conf->service_count, sizeof(char *));
	char suggestion[FL_SUGGEST_TEXT];
	size_t count = 0;

	for (size_t i = 0; i < conf->service_count; i++) {
		if (conf->services[i].name != NULL) {
			names[count++] = conf->services[i].name;
		}
	}
	(void)fl_suggest_text(fl_suggest(name, names, count), suggestion);
	fl_problem_error(build->problems, fl_build_line(build, kind, rule->name, "to"),
			 "`to`: there is no [service %s]%s", name, suggestion);
	free(names);
}

static void check_rule(struct fl_build *build, const struct fl_rule_draft *rule)
{
	const char *kind = rule->effect == FL_ALLOW ? "allow" : "deny";
	const struct fl_ini_section *section = fl_ini_section(build->ini, kind, rule->name);
	const struct fl_ini_entry *from = fl_ini_entry(build->ini, section, "from");

	if (from == NULL || from->value[0] == '\0') {
		fl_problem_error(build->problems, from != NULL ? from->line : rule->line,
				 "[%s %s] has no `from`: name the identities that it is about",
				 kind, rule->name);
	}
	for (size_t i = 0; i < rule->service_count; i++) {
		if (fl_ini_section(build->ini, "service", rule->services[i]) == NULL) {
			report_service(build, rule, kind, rule->services[i]);
		}
	}
	if (rule->effect == FL_DENY) {
		const struct fl_ini_section *twin = fl_ini_section(build->ini, "allow", rule->name);

		if (twin != NULL) {
			fl_problem_error(
				build->problems, rule->line > twin->line ? rule->line : twin->line,
				"the rule name `%s` stands already in line %u: rules are "
				"known by their names, give each its own",
				rule->name, rule->line > twin->line ? twin->line : rule->line);
		}
	}
}

static void check_rules(struct fl_build *build)
{
	bool any_allow = build->default_effect == FL_ALLOW;

	for (size_t i = 0; i < build->rule_count; i++) {
		any_allow = any_allow || build->rules[i].effect == FL_ALLOW;
		if (build->rules[i].name != NULL) {
			check_rule(build, &build->rules[i]);
		}
	}
	if (!any_allow && build->conf->service_count > 0) {
		fl_problem_warning(build->problems, 0,
				   "no [allow NAME] rule: every peer of every [service] is "
				   "refused, add for example [allow web] with `from = "
				   "spiffe://prod.example/ns/web/sa/*`");
	}
}

void fl_build_check(struct fl_build *build)
{
	check_identity(build);
	check_bundles(build);
	check_listeners(build);
	check_rules(build);
}
