/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_CALLERS_H
#define FL_COUNT_CALLERS_H
/* callers - who was refused by policy (or would be without audit mode), and who came in plaintext: what `suggest` proposes rules for.
 *
 * A bounded table: the entry that was used least recently makes room for a new one. Each worker has a table of its own, and copies it
 * for the main thread, which adds them up. Peers differ by SPIFFE ID, plaintext callers by address. Thread: the owner's. */
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "policy/policy.h"

#define FL_CALLERS_MAX 1024u

struct fl_caller {
	char *peer;    /* NULL: plaintext */
	char *service; /* NULL: none is about the port */
	uint64_t hash; /* of all that tells it apart */
	uint64_t at;   /* the table's clock, the last time */
	uint64_t decisions[FL_DECISIONS];
	struct fl_inet source; /* without its port */
	uint16_t port;
};

/* Plain storage; begins as zeroes, except max. */
struct fl_callers {
	struct fl_caller *items;
	size_t count, max;
	uint64_t clock, left_out;
};

/* Counts a request and its verdict, if it is one of those above. Without memory it is left out. */
void fl_callers_note(struct fl_callers *callers, const struct fl_request *request,
		     const struct fl_verdict *verdict);
/* Adds what `from` has; from stays as it is. */
void fl_callers_add(struct fl_callers *to, const struct fl_callers *from);
/* Frees what it has; it is zero again. */
void fl_callers_done(struct fl_callers *callers);

#endif
