/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spared - inbound a flag for each port; outbound two sorted lists of networks. */
#include "conf/spared.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/cover.h"

#define PORTS (UINT16_MAX + 1u)

enum {
	PORT_CAPTURED = 1, /* among `inbound_ports` */
	PORT_NAMED = 2,    /* the same, by its number */
	PORT_EXCLUDED4 = 4,
	PORT_EXCLUDED6 = 8,
};

struct fl_spared {
	uint8_t ports[PORTS];
	/* Outbound. at_ports: the ports of captured, as if each was for all of IPv4. */
	struct fl_cover captured, at_ports, excluded;
};

static const struct fl_cidr everywhere[] = {{.family = AF_INET}, {.family = AF_INET6}};

/* --- ports ------------------------------------------------------------------------------------ */

/* Which flags a selector of inbound connections gives to its ports. */
typedef unsigned flags_of(const struct fl_conf_selector *selector);

static unsigned flags_of_captured(const struct fl_conf_selector *selector)
{
	return selector->ports.first == 0 ? PORT_CAPTURED : PORT_CAPTURED | PORT_NAMED;
}

static unsigned flags_of_excluded(const struct fl_conf_selector *selector)
{
	if (selector->interface != NULL) {
		return 0;
	}
	if (selector->any_net) {
		return PORT_EXCLUDED4 | PORT_EXCLUDED6;
	}
	return selector->net.bits > 0            ? 0
	       : selector->net.family == AF_INET ? PORT_EXCLUDED4
						 : PORT_EXCLUDED6;
}

/* Sets `flag` at all ports of the selectors that give it: counts where ranges begin and end, and then passes the ports once. */
static void set_flag(uint8_t *ports, const struct fl_conf_selectors *selectors, flags_of *flags,
		     unsigned flag)
{
	int32_t *steps = fl_new((PORTS + 1) * sizeof(*steps));
	int64_t depth = 0;

	for (size_t i = 0; i < selectors->count; i++) {
		const struct fl_conf_selector *selector = &selectors->items[i];

		if ((flags(selector) & flag) != 0) {
			steps[selector->ports.first]++;
			steps[selector->ports.last + 1u]--;
		}
	}
	for (unsigned port = 0; port < PORTS; port++) {
		depth += steps[port];
		ports[port] = (uint8_t)(ports[port] | (depth > 0 ? flag : 0));
	}
	free(steps);
}

bool fl_spared_names_port(const struct fl_spared *spared, uint16_t port)
{
	return (spared->ports[port] & PORT_NAMED) != 0;
}

enum fl_spared_how fl_spared_port(const struct fl_spared *spared, uint16_t port)
{
	unsigned both = PORT_EXCLUDED4 | PORT_EXCLUDED6, flags = spared->ports[port];

	if ((flags & PORT_CAPTURED) == 0) {
		return FL_SPARED_UNNAMED;
	}
	return (flags & both) == both ? FL_SPARED_EXCLUDED
	       : (flags & both) != 0  ? FL_SPARED_FAMILY
				      : FL_SPARED_NOT;
}

const struct fl_conf_selector *fl_spared_source(const struct fl_conf *conf, uint16_t port,
						const struct fl_cidr *net)
{
	const struct fl_conf_selectors *excluded = &conf->redirect.exclude_inbound;

	for (size_t i = 0; i < excluded->count; i++) {
		const struct fl_conf_selector *item = &excluded->items[i];
		bool has = net != NULL ? item->interface == NULL &&
						 (item->any_net || fl_cidr_covers(&item->net, net))
				       : !item->any_net || item->interface != NULL;

		if (has && item->ports.first <= port && port <= item->ports.last) {
			return item;
		}
	}
	return NULL;
}

/* --- destinations ----------------------------------------------------------------------------- */

static void add_selector(struct fl_cover *cover, const struct fl_conf_selector *selector)
{
	if (!selector->any_net) {
		fl_cover_add(cover, &selector->net, selector->ports, selector);
		return;
	}
	for (size_t i = 0; i < FL_COUNT_OF(everywhere); i++) {
		fl_cover_add(cover, &everywhere[i], selector->ports, selector);
	}
}

static enum fl_spared_how dest_at_name(const struct fl_spared *spared, struct fl_port_range ports)
{
	unsigned excluded = 0;

	if (!fl_cover_may_meet(&spared->at_ports, &everywhere[0], ports)) {
		return FL_SPARED_UNNAMED;
	}
	for (size_t i = 0; i < FL_COUNT_OF(everywhere); i++) {
		excluded += fl_cover_find(&spared->excluded, &everywhere[i], ports) != NULL;
	}
	return excluded == FL_COUNT_OF(everywhere) ? FL_SPARED_EXCLUDED
	       : excluded > 0                      ? FL_SPARED_FAMILY
						   : FL_SPARED_NOT;
}

enum fl_spared_how fl_spared_dest(const struct fl_spared *spared, const struct fl_conf_dest *dest)
{
	if (dest->host != NULL) {
		return dest_at_name(spared, dest->ports);
	}
	if (fl_cover_find(&spared->excluded, &dest->net, dest->ports) != NULL) {
		return FL_SPARED_EXCLUDED;
	}
	return fl_cover_may_meet(&spared->captured, &dest->net, dest->ports) &&
			       fl_cover_may_meet(&spared->at_ports, &everywhere[0], dest->ports)
		       ? FL_SPARED_NOT
		       : FL_SPARED_UNNAMED;
}

/* --- both ------------------------------------------------------------------------------------- */

struct fl_spared *fl_spared_new(const struct fl_conf *conf)
{
	const struct fl_conf_selectors *captured = &conf->redirect.outbound;
	const struct fl_conf_selectors *excluded = &conf->redirect.exclude_outbound;
	struct fl_spared *spared = fl_new(sizeof(*spared));
	static const unsigned captured_flags[] = {PORT_CAPTURED, PORT_NAMED};
	static const unsigned excluded_flags[] = {PORT_EXCLUDED4, PORT_EXCLUDED6};

	for (size_t i = 0; i < FL_COUNT_OF(captured_flags); i++) {
		set_flag(spared->ports, &conf->redirect.inbound_ports, flags_of_captured,
			 captured_flags[i]);
		set_flag(spared->ports, &conf->redirect.exclude_inbound, flags_of_excluded,
			 excluded_flags[i]);
	}
	for (size_t i = 0; i < captured->count; i++) {
		add_selector(&spared->captured, &captured->items[i]);
		fl_cover_add(&spared->at_ports, &everywhere[0], captured->items[i].ports, NULL);
	}
	for (size_t i = 0; i < excluded->count; i++) {
		if (excluded->items[i].interface == NULL) {
			add_selector(&spared->excluded, &excluded->items[i]);
		}
	}
	fl_cover_sort(&spared->captured);
	fl_cover_sort(&spared->at_ports);
	fl_cover_sort(&spared->excluded);
	return spared;
}

void fl_spared_free(struct fl_spared *spared)
{
	if (spared != NULL) {
		fl_cover_done(&spared->captured);
		fl_cover_done(&spared->at_ports);
		fl_cover_done(&spared->excluded);
		free(spared);
	}
}

const char *fl_spared_inbound_key(enum fl_spared_how how)
{
	return how == FL_SPARED_UNNAMED ? "inbound_ports" : "exclude_inbound";
}

const char *fl_spared_outbound_key(enum fl_spared_how how)
{
	return how == FL_SPARED_UNNAMED ? "outbound" : "exclude_outbound";
}
