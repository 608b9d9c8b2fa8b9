/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check_capture - compares [redirect] with the listeners, and with the sections that are for captured traffic.
 *
 * What the rules of capture leave alone never comes to the sidecar, so a section for it keeps none of its promises. That is
 * an error if the INI has [redirect]. Without it other software may capture, by rules that are unknown here: a warning. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/build.h"
#include "conf/own_listeners.h"
#include "conf/spared.h"

/* --- listeners -------------------------------------------------------------------------------- */

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
static void check_redirected_listener(struct fl_build *build, const struct fl_spared *spared,
				      const struct fl_own_listener *listener)
{
	uint16_t port = listener->addr->port;
	char text[FL_OWN_LISTENER_TEXT];

	if (listener->addr->kind != FL_ADDR_UNIX && !fl_addr_is_loopback(listener->addr) &&
	    strcmp(listener->key, "admin") != 0 && fl_spared_names_port(spared, port) &&
	    fl_spared_port(spared, port) != FL_SPARED_EXCLUDED) {
		fl_problem_error(
			build->problems, fl_build_line(build, "redirect", NULL, "inbound_ports"),
			"`inbound_ports`: %u is to be captured, but the sidecar listens on it itself (%s): "
			"remove it, or name it in `exclude_inbound`",
			port, fl_own_listener_describe(listener, text));
	}
}

/* --- what capture leaves alone ---------------------------------------------------------------- */

/* "`[redirect] exclude_inbound` (line 7)"; returns buf. */
#define KEY_TEXT 64
static const char *key_text(const struct fl_build *build, const char *key, char buf[KEY_TEXT])
{
	if (fl_build_has(build, "redirect", NULL, key)) {
		(void)snprintf(buf, KEY_TEXT, "`[redirect] %s` (line %u)", key,
			       fl_build_line(build, "redirect", NULL, key));
	} else {
		(void)snprintf(buf, KEY_TEXT, "the default of `[redirect] %s`", key);
	}
	return buf;
}

static bool has_redirect(const struct fl_build *build)
{
	return fl_ini_section(build->ini, "redirect", NULL) != NULL;
}

/* An error if this INI captures for certain. */
static void report(struct fl_build *build, bool is_promise, fl_conf_line line, const char *text)
{
	if (!is_promise) {
		fl_problem_warning(build->problems, line, "%s", text);
	} else if (has_redirect(build)) {
		fl_problem_error(build->problems, line, "%s", text);
	} else {
		fl_problem_warning(build->problems, line,
				   "%s; this INI has no [redirect], so it holds if `fairlead-agent "
				   "redirect` captures here",
				   text);
	}
}

static const char *remedy(const struct fl_build *build, enum fl_spared_how how, const char *key)
{
	return how == FL_SPARED_UNNAMED || how == FL_SPARED_FAMILY_UNNAMED
		       ? "add it to that list, or remove it here"
	       : fl_build_has(build, "redirect", NULL, key)
		       ? "narrow that list, or remove it here"
		       : "set that key to a list without it, or remove it here";
}

static void check_spared_service(struct fl_build *build, const struct fl_spared *spared,
				 const struct fl_conf_service *service)
{
	enum fl_spared_how how = fl_spared_port(spared, service->port);
	bool is_strict = service->inbound.mode == FL_INBOUND_STRICT;
	const char *key = fl_spared_inbound_key(how);
	char where[KEY_TEXT];
	char *text;

	if (how == FL_SPARED_NOT) {
		return;
	}
	text = fl_format("`port = %u`: %s leaves this port alone%s, so %s [service %s]%s: %s",
			 service->port, key_text(build, key, where),
			 how == FL_SPARED_FAMILY ? " for one IP version" : "",
			 is_strict ? "plaintext reaches the app, although `mode` of"
				   : "no rule decides who reaches the app, whatever `mode` of",
			 service->name, is_strict ? " is strict" : " is", remedy(build, how, key));
	report(build, is_strict && how != FL_SPARED_FAMILY,
	       fl_build_line(build, "service", service->name, "port"), text);
	free(text);
}

static void check_spared_services(struct fl_build *build, const struct fl_spared *spared,
				  const struct fl_own_listeners *all)
{
	const struct fl_conf *conf = build->conf;

	for (size_t i = 0; i < conf->service_count && !fl_problems_enough(build->problems); i++) {
		const struct fl_conf_service *service = &conf->services[i];

		if (service->name != NULL && service->listen.kind == FL_ADDR_NONE &&
		    service->port != 0 && conf->sidecar.inbound_count > 0 &&
		    fl_own_listeners_at_port(all, service->port) == NULL) {
			check_spared_service(build, spared, service);
		}
	}
}

/* As it is written, `*` too; returns buf. */
static const char *dest_text(const struct fl_conf_dest *dest, char buf[FL_CONF_DEST_TEXT])
{
	char ports[FL_CONF_PORTS_TEXT];

	if (!dest->any_net) {
		return fl_conf_dest_format(dest, buf);
	}
	(void)snprintf(buf, FL_CONF_DEST_TEXT, "*:%s", fl_conf_ports_format(&dest->ports, ports));
	return buf;
}

static void check_spared_dest(struct fl_build *build, const struct fl_spared *spared,
			      const struct fl_conf_upstream *upstream,
			      const struct fl_conf_dest *dest)
{
	enum fl_spared_how how = fl_spared_dest(spared, dest);
	bool is_half = how == FL_SPARED_FAMILY || how == FL_SPARED_FAMILY_UNNAMED;
	const char *key = fl_spared_outbound_key(how);
	char where[KEY_TEXT], to[FL_CONF_DEST_TEXT];
	char *text;

	if (how == FL_SPARED_NOT || (dest->host == NULL && fl_cidr_is_loopback(&dest->net))) {
		return;
	}
	text = fl_format(
		"`to`: %s leaves %s alone%s, so %s, although `mode` of [upstream %s] is %s: %s",
		key_text(build, key, where), dest_text(dest, to),
		is_half ? " for one IP version" : "",
		upstream->mode == FL_OUTBOUND_MTLS
			? "what the app sends there leaves as it is, without TLS"
			: "the app reaches it",
		upstream->name, fl_outbound_mode_word(upstream->mode), remedy(build, how, key));
	report(build, !is_half, fl_build_line(build, "upstream", upstream->name, "to"), text);
	free(text);
}

/* The second half of a `*`, which is judged with the first. */
static bool is_second_half(const struct fl_conf_dest *dest)
{
	return dest->any_net && dest->net.family == AF_INET6;
}

/* A plaintext upstream promises nothing that exclusion takes away. */
static void check_spared_upstreams(struct fl_build *build, const struct fl_spared *spared)
{
	const struct fl_conf *conf = build->conf;

	for (size_t i = 0; i < conf->upstream_count && conf->sidecar.outbound_count > 0; i++) {
		const struct fl_conf_upstream *upstream = &conf->upstreams[i];

		for (size_t k = 0;
		     upstream->name != NULL && upstream->mode != FL_OUTBOUND_PLAINTEXT &&
		     k < upstream->dest_count && !fl_problems_enough(build->problems);
		     k++) {
			if (!is_second_half(&upstream->dests[k])) {
				check_spared_dest(build, spared, upstream, &upstream->dests[k]);
			}
		}
	}
}

/* --- rules for ports that are left alone ------------------------------------------------------ */

/* For each port how many below it a rule can be about: captured ones and those of fixed services. To free(). */
static uint32_t *served_below(const struct fl_conf *conf, const struct fl_spared *spared)
{
	uint32_t *below = fl_new((UINT16_MAX + 2) * sizeof(*below));

	for (size_t i = 0; i < conf->service_count; i++) {
		below[conf->services[i].port + 1u] =
			conf->services[i].listen.kind != FL_ADDR_NONE ||
			below[conf->services[i].port + 1u] != 0;
	}
	for (unsigned port = 0; port <= UINT16_MAX; port++) {
		enum fl_spared_how how = fl_spared_port(spared, (uint16_t)port);
		bool is_captured = how == FL_SPARED_NOT || how == FL_SPARED_FAMILY;

		below[port + 1] = below[port] + (is_captured || below[port + 1] != 0);
	}
	return below;
}

static void check_spared_rule(struct fl_build *build, const struct fl_spared *spared,
			      const uint32_t *below, const struct fl_rule_draft *rule)
{
	const char *kind = rule->effect == FL_ALLOW ? "allow" : "deny";

	for (size_t i = 0; i < rule->is.port_count; i++) {
		const struct fl_port_range *ports = &rule->is.ports[i];
		const char *key = fl_spared_inbound_key(fl_spared_port(spared, ports->first));
		char where[KEY_TEXT], text[FL_CONF_PORTS_TEXT];

		if (below[ports->last + 1u] == below[ports->first]) {
			fl_problem_warning(
				build->problems, fl_build_line(build, kind, rule->name, "to"),
				"`to`: %s leaves port %s alone, so no rule is asked about it: "
				"change that list, or remove the port here",
				key_text(build, key, where), fl_conf_ports_format(ports, text));
		}
	}
}

static void check_spared_rules(struct fl_build *build, const struct fl_spared *spared)
{
	const struct fl_conf *conf = build->conf;
	uint32_t *below;

	if (!has_redirect(build) || conf->sidecar.inbound_count == 0) {
		return;
	}
	below = served_below(conf, spared);
	for (size_t i = 0; i < build->rule_count; i++) {
		if (build->rules[i].name != NULL) {
			check_spared_rule(build, spared, below, &build->rules[i]);
		}
	}
	free(below);
}

/* --- all of it -------------------------------------------------------------------------------- */

void fl_build_check_capture(struct fl_build *build, const struct fl_own_listeners *all)
{
	struct fl_spared *spared = fl_spared_new(build->conf);

	check_forwarded(build);
	for (size_t i = 0; i < all->count && !fl_problems_enough(build->problems); i++) {
		check_redirected_listener(build, spared, &all->items[i]);
	}
	check_spared_services(build, spared, all);
	check_spared_upstreams(build, spared);
	check_spared_rules(build, spared);
	fl_spared_free(spared);
}
