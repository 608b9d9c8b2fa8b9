/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_CALLERS_H
#define FL_COUNT_CALLERS_H
/* callers - who came in and was refused, or will be when audit mode ends, and whoever spoke plaintext: for `suggest`.
 *
 * A bounded table, the least recently seen one goes for a new one. Each worker has its own, and copies it for the
 * main thread, which puts them together. Identities are told apart by their ID, plaintext by
 * its address. */
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

/* Plain storage; begins as zeroes but for max. */
struct fl_callers {
	struct fl_caller *items;
	size_t count, max;
	uint64_t clock, left_out;
};

/* Counts what is worth keeping. Without memory it is left out. */
void fl_callers_note(struct fl_callers *callers, const struct fl_request *request,
		     const struct fl_verdict *verdict);
/* Adds another table to this one. */
void fl_callers_add(struct fl_callers *to, const struct fl_callers *from);
void fl_callers_done(struct fl_callers *callers);

#endif
