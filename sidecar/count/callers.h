/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_CALLERS_H
#define FL_COUNT_CALLERS_H
/* callers - callers that policy refused (or would refuse without audit mode), callers that connected in
 * plaintext, and callers that were refused before policy was asked: `suggest` proposes rules for these, or
 * says what else they need.
 *
 * The table is bounded: a new entry evicts the least recently used one. Each worker has its own
 * table and copies it for the main thread, which merges them. Peers are distinguished by SPIFFE ID,
 * plaintext callers by address. Thread: the owner's. */
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "count/reason.h"
#include "policy/policy.h"

#define FL_CALLERS_MAX 1024u

struct fl_caller {
	char *peer;    /* NULL: plaintext */
	char *service; /* NULL: no [service] covers the port */
	uint64_t hash; /* over all members of the key */
	uint64_t at;   /* the table's clock when it was last seen */
	uint64_t decisions[FL_DECISIONS];
	uint64_t refused;      /* before policy was asked, for reason */
	int64_t last;          /* when it was last seen, in seconds since the epoch */
	struct fl_inet source; /* without its port */
	uint16_t port;
	uint16_t reason; /* enum fl_reason; FL_REASON_DONE: policy was asked. A part of the key */
};

/* Plain storage; initialize to zero, except max. */
struct fl_callers {
	struct fl_caller *items;
	size_t count, max;
	uint64_t clock, left_out;
};

/* Counts a request and its verdict, if it is of one of these kinds. now: seconds since the epoch. Skips it if memory runs
 * out. */
void fl_callers_note(struct fl_callers *callers, const struct fl_request *request,
		     const struct fl_verdict *verdict, int64_t now);
/* The same for a caller that was refused before policy was asked. The ID in request need not be proven. */
void fl_callers_note_refused(struct fl_callers *callers, const struct fl_request *request,
			     enum fl_reason reason, int64_t now);
/* Adds the entries of `from`, which does not change. */
void fl_callers_add(struct fl_callers *to, const struct fl_callers *from);
/* Frees its contents and zeroes it. */
void fl_callers_done(struct fl_callers *callers);

#endif
