/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/endpoint.h"

#include <stdlib.h>

void fl_endpoint_done(struct fl_endpoint *endpoint)
{
	fl_targets_unref(endpoint->targets);
	fl_resume_flush(&endpoint->resume);
	free(endpoint->name);
	endpoint->targets = NULL;
	endpoint->name = NULL;
}

const char *fl_endpoint_section(const struct fl_endpoint *endpoint)
{
	if (endpoint->captures) {
		return "sidecar";
	}
	return endpoint->direction == FL_INBOUND ? "service" : "upstream";
}

void fl_endpoint_take_generation(struct fl_endpoint *endpoint,
				 const struct fl_generation *generation)
{
	if (endpoint->captures) {
		return;
	}
	endpoint->service = NULL;
	endpoint->upstream = NULL;
	if (endpoint->direction == FL_INBOUND) {
		endpoint->service = fl_conf_find_service(generation->conf, endpoint->name);
	} else {
		endpoint->upstream = fl_conf_find_upstream(generation->conf, endpoint->name);
	}
	if (endpoint->service != NULL && endpoint->service->listen.kind == FL_ADDR_NONE) {
		endpoint->service = NULL;
	}
	if (endpoint->upstream != NULL && endpoint->upstream->listen.kind == FL_ADDR_NONE) {
		endpoint->upstream = NULL;
	}
}
