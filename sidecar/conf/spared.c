/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spared - inbound a flag for each port that is captured; else sorted networks with ports. */
#include "conf/spared.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/cover.h"

#define PORTS (UINT16_MAX + 1u)

enum {
	PORT_CAPTURED = 1, /* among `inbound_ports` */
	PORT_NAMED = 2,    /* the same, by its number */
};

struct fl_spared {
	uint8_t ports[PORTS];
	struct fl_cover excluded_sources;
	struct fl_cover captured, captured_parts, excluded; /* outbound */
};

static const struct fl_cidr everywhere[] = {{.family = AF_INET}, {.family = AF_INET6}};

/* --- ports ------------------------------------------------------------------------------------ */

static unsigned flags_of(const struct fl_conf_selector *selector)
{
	return selector->ports.first == 0 ? PORT_CAPTURED : PORT_CAPTURED | PORT_NAMED;
}

/* Sets `flag` at all ports of the selectors that give it: counts where ranges begin and end, and then passes the ports once. */
static void set_flag(uint8_t *ports, const struct fl_conf_selectors *selectors, unsigned flag)
{
	int32_t *steps = fl_new((PORTS + 1) * sizeof(*steps));
	int64_t depth = 0;

	for (size_t i = 0; i < selectors->count; i++) {
		const struct fl_conf_selector *selector = &selectors->items[i];

		if ((flags_of(selector) & flag) != 0) {
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

/* Of both IP versions, from how each of them is. */
static enum fl_spared_how how_of_both(enum fl_spared_how v4, enum fl_spared_how v6)
{
	if (v4 != FL_SPARED_NOT && v6 != FL_SPARED_NOT) {
		return v4;
	}
	return v4 == FL_SPARED_EXCLUDED || v6 == FL_SPARED_EXCLUDED ? FL_SPARED_FAMILY
	       : v4 == FL_SPARED_UNNAMED || v6 == FL_SPARED_UNNAMED ? FL_SPARED_FAMILY_UNNAMED
								    : FL_SPARED_NOT;
}

static enum fl_spared_how port_from(const struct fl_spared *spared, uint16_t port,
				    const struct fl_cidr *net)
{
	struct fl_port_range ports = {port, port};

	return fl_cover_find(&spared->excluded_sources, net, ports) != NULL ? FL_SPARED_EXCLUDED
									    : FL_SPARED_NOT;
}

enum fl_spared_how fl_spared_port(const struct fl_spared *spared, uint16_t port)
{
	if ((spared->ports[port] & PORT_CAPTURED) == 0) {
		return FL_SPARED_UNNAMED;
	}
	return how_of_both(port_from(spared, port, &everywhere[0]),
			   port_from(spared, port, &everywhere[1]));
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

static enum fl_spared_how dest_in(const struct fl_spared *spared, const struct fl_cidr *net,
				  struct fl_port_range ports)
{
	if (fl_cover_find(&spared->excluded, net, ports) != NULL) {
		return FL_SPARED_EXCLUDED;
	}
	return fl_cover_meets(&spared->captured, &spared->captured_parts, net, ports)
		       ? FL_SPARED_NOT
		       : FL_SPARED_UNNAMED;
}

enum fl_spared_how fl_spared_dest(const struct fl_spared *spared, const struct fl_conf_dest *dest)
{
	if (dest->host == NULL && !dest->any_net) {
		return dest_in(spared, &dest->net, dest->ports);
	}
	return how_of_both(dest_in(spared, &everywhere[0], dest->ports),
			   dest_in(spared, &everywhere[1], dest->ports));
}

/* --- both ------------------------------------------------------------------------------------- */

/* The networks of a selector, which has both IP versions if it names none. */
static const struct fl_cidr *nets_of(const struct fl_conf_selector *selector, size_t *ret_count)
{
	*ret_count = selector->any_net ? FL_COUNT_OF(everywhere) : 1;
	return selector->any_net ? everywhere : &selector->net;
}

static void take_excluded(struct fl_cover *cover, const struct fl_conf_selectors *selectors)
{
	for (size_t i = 0; i < selectors->count; i++) {
		const struct fl_conf_selector *selector = &selectors->items[i];
		size_t count;
		const struct fl_cidr *nets = nets_of(selector, &count);

		for (size_t k = 0; k < count && selector->interface == NULL; k++) {
			fl_cover_add(cover, &nets[k], selector->ports, selector);
		}
	}
	fl_cover_sort(cover);
}

/* Without the networks that are excluded as a whole. */
static void take_captured(struct fl_spared *spared, const struct fl_conf_selectors *selectors)
{
	for (size_t i = 0; i < selectors->count; i++) {
		const struct fl_conf_selector *selector = &selectors->items[i];
		size_t count;
		const struct fl_cidr *nets = nets_of(selector, &count);

		for (size_t k = 0; k < count; k++) {
			if (fl_cover_find(&spared->excluded, &nets[k], selector->ports) == NULL) {
				fl_cover_add(&spared->captured, &nets[k], selector->ports,
					     selector);
				fl_cover_add(&spared->captured_parts, &nets[k], selector->ports,
					     selector);
			}
		}
	}
	fl_cover_sort(&spared->captured);
	fl_cover_sort_parts(&spared->captured_parts);
}

struct fl_spared *fl_spared_new(const struct fl_conf *conf)
{
	struct fl_spared *spared = fl_new(sizeof(*spared));

	set_flag(spared->ports, &conf->redirect.inbound_ports, PORT_CAPTURED);
	set_flag(spared->ports, &conf->redirect.inbound_ports, PORT_NAMED);
	take_excluded(&spared->excluded_sources, &conf->redirect.exclude_inbound);
	take_excluded(&spared->excluded, &conf->redirect.exclude_outbound);
	take_captured(spared, &conf->redirect.outbound);
	return spared;
}

void fl_spared_free(struct fl_spared *spared)
{
	if (spared != NULL) {
		fl_cover_done(&spared->excluded_sources);
		fl_cover_done(&spared->captured);
		fl_cover_done(&spared->captured_parts);
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
	return how == FL_SPARED_UNNAMED || how == FL_SPARED_FAMILY_UNNAMED ? "outbound"
									   : "exclude_outbound";
}
