/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_SPARED_H
#define FL_CONF_SPARED_H
/* spared - which TCP connections the rules of [redirect] do not lead to the sidecar, because they are excluded, or not among
 * those that are captured. They stay as the app or its client makes them: no TLS, and no rule is asked.
 *
 * Selectors with an interface do not count as excluding, because over which interface a connection comes is not known here.
 * Thread: any. */
#include "conf/conf.h"

enum fl_spared_how {
	FL_SPARED_NOT,            /* captured, or some of it may be */
	FL_SPARED_FAMILY,         /* one of both IP versions is excluded */
	FL_SPARED_FAMILY_UNNAMED, /* one of both is not in `outbound` */
	FL_SPARED_EXCLUDED,       /* all of it, by `exclude_inbound` or `exclude_outbound` */
	FL_SPARED_UNNAMED,        /* all of it: `inbound_ports` or `outbound` does not have it */
};

struct fl_spared;

/* Takes about n log n steps for n selectors. */
struct fl_spared *fl_spared_new(const struct fl_conf *conf);
void fl_spared_free(struct fl_spared *spared);

/* Inbound connections to a port, from anywhere. A question takes log n steps. */
enum fl_spared_how fl_spared_port(const struct fl_spared *spared, uint16_t port);
/* Does `inbound_ports` name this port itself, not only as a part of `*`? */
bool fl_spared_names_port(const struct fl_spared *spared, uint16_t port);
/* Outbound connections to a destination; the two halves of a `*` are one. It takes log n steps. FL_SPARED_NOT also if `outbound`
 * leaves out one part and `exclude_outbound` the rest, unless that is all of a network in `outbound`. */
enum fl_spared_how fl_spared_dest(const struct fl_spared *spared, const struct fl_conf_dest *dest);

/* The selector of `exclude_inbound` for connections to that port that come from an address of this network; NULL: there is
 * none. net: NULL: the first one that is for only some sources or interfaces. Passes all selectors. */
const struct fl_conf_selector *fl_spared_source(const struct fl_conf *conf, uint16_t port,
						const struct fl_cidr *net);

/* "exclude_inbound" or "inbound_ports". Static. */
const char *fl_spared_inbound_key(enum fl_spared_how how);
const char *fl_spared_outbound_key(enum fl_spared_how how); /* "exclude_outbound" or "outbound" */

#endif
