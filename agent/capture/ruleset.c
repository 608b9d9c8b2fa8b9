/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ruleset - the ports of the listeners, and the table around the chains. ruleset_capture.c redirects, ruleset_gate.c decides
 * what may pass. Each rule has a comment that says what it is for. */
#include "agent/capture/ruleset.h"

#include <net/if.h>
#include <string.h>

#include "agent/capture/ruleset_internal.h"
#include "base/inet.h"
#include "base/mem.h"

#define INTERFACE_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.@:"
/* Numbers, because the names are in /etc/protocols, which a container image may lack. */
static const char protocols[] = "define ICMP = 1\n"
				"define TCP = 6\n"
				"define UDP = 17\n"
				"define DCCP = 33\n"
				"define ICMPV6 = 58\n"
				"define SCTP = 132\n"
				"define UDPLITE = 136\n";

const char fl_ruleset_removal[] = "add table inet " FL_RULESET_TABLE "\n"
				  "delete table inet " FL_RULESET_TABLE "\n";

const struct fl_ruleset_counter fl_ruleset_counters[] = {
	{"inbound", "inbound connections captured"},
	{"inbound_closed", "inbound connections refused, because nothing listened there"},
	{"outbound", "outbound connections captured"},
	{"to_self", "connections of the sidecar to its own pod, captured as inbound"},
	{"past_inbound",
	 "inbound packets that would have reached a socket around the sidecar, refused"},
	{"past_outbound", "outbound connections that would have left around the sidecar, refused"},
	{"astray", "outbound packets of connections that conntrack does not know, refused"},
	{"slipped", "outbound packets that other rules sent around the sidecar, dropped"},
	{"stray", "inbound packets of connections that do not exist, refused"},
	{"forwarded_captured", "connections of containers inside the pod captured"},
	{"forwarded", "forwarded packets of containers inside the pod, not captured"},
	{"other_inbound", "inbound packets of other protocols"},
	{"other_outbound", "outbound packets of other protocols"},
};
const size_t fl_ruleset_counter_count = FL_COUNT_OF(fl_ruleset_counters);

/* Does this listener receive connections that are redirected at output? Their destination becomes a loopback address. */
static bool is_redirect_target(const struct fl_addr *addr)
{
	union fl_sockaddr loopback = fl_sockaddr_loopback(addr->sa.any.sa_family, addr->port);
	struct fl_inet target = fl_inet_of(&loopback.any), listener = fl_inet_of(&addr->sa.any);

	return fl_addr_is_unspecified(addr) || fl_inet_equal(&listener, &target);
}

static int take_port(const char *key, const struct fl_addr *addr, uint16_t *port, bool *listens,
		     struct fl_err *err)
{
	if (*listens && *port != addr->port) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`[sidecar] %s` has the ports %u and %u for the same traffic: "
				  "captured connections are redirected to one port",
				  key, *port, addr->port);
	}
	*port = addr->port;
	*listens = true;
	return FL_OK;
}

static int take_ports(const char *key, const struct fl_addr *addrs, size_t count,
		      struct fl_ruleset_ports *ret, struct fl_err *err)
{
	struct fl_ruleset_ports ports = {0};
	int rc = FL_OK;

	for (size_t i = 0; i < count && rc == FL_OK; i++) {
		bool any = addrs[i].kind == FL_ADDR_ANY;

		if (any || addrs[i].sa.any.sa_family == AF_INET) {
			rc = take_port(key, &addrs[i], &ports.v4, &ports.v4_listens, err);
		}
		if (rc == FL_OK && (any || addrs[i].sa.any.sa_family == AF_INET6)) {
			rc = take_port(key, &addrs[i], &ports.v6, &ports.v6_listens, err);
		}
	}
	if (rc == FL_OK) {
		ports.v4 = ports.v4_listens ? ports.v4 : ports.v6;
		ports.v6 = ports.v6_listens ? ports.v6 : ports.v4;
		*ret = ports;
	}
	return rc;
}

static int cannot_reach(const char *key, const struct fl_addr *addr, const char *remedy,
			struct fl_err *err)
{
	char text[FL_ADDR_TEXT];

	return fl_err_set(err, FL_ERR_INVALID,
			  "captured traffic does not reach `[sidecar] %s` at %s: write %s", key,
			  fl_addr_format(addr, text), remedy);
}

int fl_ruleset_inbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret, struct fl_err *err)
{
	for (size_t i = 0; i < conf->sidecar.inbound_count; i++) {
		const struct fl_addr *addr = &conf->sidecar.inbound[i];

		if (fl_addr_is_loopback(addr)) {
			return cannot_reach("inbound", addr, "*:15006", err);
		}
	}
	return take_ports("inbound", conf->sidecar.inbound, conf->sidecar.inbound_count, ret, err);
}

int fl_ruleset_outbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret,
			struct fl_err *err)
{
	for (size_t i = 0; i < conf->sidecar.outbound_count; i++) {
		const struct fl_addr *addr = &conf->sidecar.outbound[i];

		if (addr->kind == FL_ADDR_IP && !is_redirect_target(addr)) {
			return cannot_reach("outbound", addr, "127.0.0.1:15001, [::1]:15001", err);
		}
	}
	return take_ports("outbound", conf->sidecar.outbound, conf->sidecar.outbound_count, ret,
			  err);
}

int fl_ruleset_something(const struct fl_ruleset_ports *inbound,
			 const struct fl_ruleset_ports *outbound, struct fl_err *err)
{
	return fl_writer_captures(inbound) || fl_writer_captures(outbound)
		       ? FL_OK
		       : fl_err_set(
				 err, FL_ERR_INVALID,
				 "`[sidecar] inbound` and `outbound` are both empty, so captured "
				 "connections have no destination: set them, for example to "
				 "*:15006 and 127.0.0.1:15001, [::1]:15001");
}

/* --- all of it -------------------------------------------------------------------------------- */

static void table(const struct fl_writer *w)
{
	fl_text_print(w->out, "table inet " FL_RULESET_TABLE " {\n");
	for (size_t i = 0; i < fl_ruleset_counter_count; i++) {
		fl_text_print(w->out, "\tcounter %s { comment \"%s\"; }\n",
			      fl_ruleset_counters[i].name, fl_ruleset_counters[i].what);
	}
	fl_writer_sets(w);
	fl_writer_capture(w);
	fl_writer_gate(w);
	fl_writer_forwarded(w);
	fl_text_print(w->out, "}\n");
}

/* Leaves out characters that could end the name or the line. (The kernel allows more characters than anybody uses.) */
static bool is_interface(const char *name)
{
	return name[0] != '\0' && strlen(name) < IF_NAMESIZE &&
	       strspn(name, INTERFACE_LETTERS) == strlen(name);
}

static int check_uplinks(const struct fl_conf *conf, const struct fl_ruleset_uplinks *uplinks,
			 struct fl_err *err)
{
	for (size_t i = 0; i < uplinks->count; i++) {
		if (!is_interface(uplinks->names[i])) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"an interface with a default route has a name that cannot "
				"stand in rules: %s",
				uplinks->names[i]);
		}
	}
	if (conf->redirect.forwarded == FL_FORWARDED_CAPTURE && uplinks->count == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`[redirect] forwarded = capture` cannot tell containers inside "
				  "the pod from others, because no interface has a default route "
				  "here: use `forwarded = drop`");
	}
	return FL_OK;
}

static int check_interfaces(const char *key, const struct fl_conf_selectors *selectors,
			    struct fl_err *err)
{
	for (size_t i = 0; i < selectors->count; i++) {
		const char *name = selectors->items[i].interface;

		if (name != NULL && !is_interface(name)) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "`[redirect] %s` has a name that no interface can have: "
					  "%.*s",
					  key, IF_NAMESIZE, name);
		}
	}
	return FL_OK;
}

static int check_redirect(const struct fl_conf *conf, struct fl_err *err)
{
	int rc = check_interfaces("inbound_ports", &conf->redirect.inbound_ports, err);

	rc = rc != FL_OK
		     ? rc
		     : check_interfaces("exclude_inbound", &conf->redirect.exclude_inbound, err);
	rc = rc != FL_OK ? rc : check_interfaces("outbound", &conf->redirect.outbound, err);
	return rc != FL_OK ? rc
			   : check_interfaces("exclude_outbound", &conf->redirect.exclude_outbound,
					      err);
}

int fl_ruleset_format(const struct fl_conf *conf, const struct fl_ruleset_uplinks *uplinks,
		      struct fl_text *out, struct fl_err *err)
{
	struct fl_writer w = {.conf = conf, .uplinks = uplinks, .out = out};
	int rc = fl_ruleset_inbound(conf, &w.inbound, err);

	if (rc == FL_OK) {
		rc = fl_ruleset_outbound(conf, &w.outbound, err);
	}
	if (rc == FL_OK) {
		rc = check_redirect(conf, err);
	}
	if (rc == FL_OK) {
		rc = check_uplinks(conf, uplinks, err);
	}
	if (rc != FL_OK) {
		return rc;
	}
	rc = fl_ruleset_something(&w.inbound, &w.outbound, err);
	if (rc != FL_OK) {
		return rc;
	}
	fl_text_print(out, "%s%s", fl_ruleset_removal, protocols);
	table(&w);
	return FL_OK;
}
