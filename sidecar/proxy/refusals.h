/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_REFUSALS_H
#define FL_PROXY_REFUSALS_H
/* refusals - addresses that DNS says a plaintext upstream's name has, and that it does not get: each is logged (at a
 * bounded rate) and counted when it appears, not as long as it stays. Main loop. */
#include "base/cidr.h"
#include "base/log.h"
#include "conf/conf.h"

struct fl_refusals;

struct fl_refused_address {
	const char *upstream, *host; /* borrowed until fl_refusals_end() */
	struct fl_cidr address;
	const struct fl_conf_upstream *claimer; /* NULL: it is not `within`; likewise */
};
struct fl_refusal_counts {
	uint64_t claimed; /* an mtls or refuse upstream covers it */
	uint64_t outside; /* it is not within */
};

struct fl_refusals *fl_refusals_new(struct fl_log *log);
void fl_refusals_free(struct fl_refusals *refusals);
/* A look at all addresses begins; what is not added until its end is not refused any more. */
void fl_refusals_begin(struct fl_refusals *refusals);
void fl_refusals_add(struct fl_refusals *refusals, const struct fl_refused_address *refused);
void fl_refusals_end(struct fl_refusals *refusals, uint64_t now_ms);
struct fl_refusal_counts fl_refusals_counts(const struct fl_refusals *refusals);

#endif
