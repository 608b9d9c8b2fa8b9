/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_ENDPOINT_H
#define FL_CONN_ENDPOINT_H
/* endpoint - what connections need to know about the listener that they arrived at.
 *
 * A fixed listener belongs to one section of the INI and leads to that section's addresses; captured connections each have
 * a destination of their own. Plain storage, one for each listener of a loop; it must outlive the connections.
 * Loop-bound. */
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conn/resume.h"
#include "count/counters.h"
#include "generation/generation.h"
#include "generation/targets.h"

struct fl_endpoint {
	struct fl_loop *loop;
	enum fl_direction direction;
	char *name; /* owned: name of its [service] or [upstream]; captures: "inbound" or "outbound" */
	uint32_t number; /* its index among the endpoints of its loop */
	uint16_t port;   /* the port that it listens on; 0 for Unix */
	bool is_unix;
	bool captures;
	bool tproxy;                           /* captures: the local address is the destination */
	const struct fl_conf_service *service; /* in the current generation; NULL: gone */
	const struct fl_conf_upstream *upstream; /* in the current generation; NULL: gone */
	struct fl_targets
		*targets;        /* outbound; a reference; NULL until the resolver has answered */
	struct fl_resume resume; /* fixed outbound: sessions under the trust of the current share */
};

/* Frees what the endpoint owns. */
void fl_endpoint_done(struct fl_endpoint *endpoint);

/* "service", "upstream" or "sidecar": the kind of section that its name belongs to. */
const char *fl_endpoint_section(const struct fl_endpoint *endpoint);

/* Makes that generation the current one: finds the section, which is NULL if it is no longer a fixed listener. */
void fl_endpoint_take_generation(struct fl_endpoint *endpoint,
				 const struct fl_generation *generation);

#endif
