/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_DNS_REFUSALS_H
#define FL_COUNT_DNS_REFUSALS_H
/* dns_refusals - addresses that DNS returns for a plaintext upstream's name and that the upstream
 * may not use. Each is logged (at a bounded rate) and counted when it appears, and again only after
 * an hour of absence. Thread: main. */
#include "base/cidr.h"
#include "base/log.h"
#include "conf/conf.h"

struct fl_dns_refusals;

struct fl_dns_refused_address {
	const char *upstream, *host; /* borrowed */
	struct fl_cidr address;
	const struct fl_conf_upstream *claimer; /* NULL: it is not `within`; borrowed */
};
struct fl_dns_refusal_counts {
	uint64_t claimed; /* an mtls or refuse upstream covers it */
	uint64_t outside; /* it is not within */
};

/* log: borrowed until it is freed. */
struct fl_dns_refusals *fl_dns_refusals_new(struct fl_log *log);
void fl_dns_refusals_free(struct fl_dns_refusals *refusals);
/* Records that an address is refused; call it each time that it is. now_ms: uv_now(). */
void fl_dns_refusals_note(struct fl_dns_refusals *refusals,
			  const struct fl_dns_refused_address *refused, uint64_t now_ms);
struct fl_dns_refusal_counts fl_dns_refusals_counts(const struct fl_dns_refusals *refusals);

#endif
