/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_OBSERVED_H
#define FL_POLICY_OBSERVED_H
/* observed - the observed connections as a table: a row for each identity (or address), a column for each port or service.
 * A rule is a set of rows and a set of columns all of whose crossings are in the table; this finds few rules that cover the
 * table. Pure. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

/* One peer that connected to one port. */
struct fl_observation {
	const char *id;      /* a SPIFFE ID; NULL: it spoke plaintext */
	const char *service; /* NULL: no [service] has this port */
	uint16_t port;
	struct fl_cidr source; /* one address; family AF_UNSPEC: unknown */
};

struct fl_observed_place {
	const char *service; /* borrowed from the observation; NULL: port */
	uint16_t port;
};

struct fl_observed {
	char **rows; /* SPIFFE IDs, or addresses in plaintext; sorted */
	size_t row_count;
	struct fl_observed_place *columns; /* sorted: services, then ports */
	size_t column_count;
	bool *cells;
};

/* Rows and columns, as flags. */
struct fl_observed_area {
	bool *rows, *columns;
};

/* All with an identity, or all in plaintext from a known address. Owned by *table until fl_observed_done(). */
void fl_observed_fill(struct fl_observed *table, const struct fl_observation *const *observations,
		      size_t count);
void fl_observed_done(struct fl_observed *table);

typedef void fl_observed_rule(void *user, const struct fl_observed *table,
			      const struct fl_observed_area *area);
/* Calls rule for each of the rules; area is borrowed for the call. Returns their number. */
size_t fl_observed_rules(const struct fl_observed *table, fl_observed_rule *rule, void *user);

#endif
