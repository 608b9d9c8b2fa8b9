/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_GENERATION_RESOLUTION_H
#define FL_GENERATION_RESOLUTION_H
/* resolution - what DNS says about a name of an upstream, for reports. Plain storage. */
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

#define FL_RESOLUTION_ADDRESSES 16u /* more are only counted */

struct fl_resolution {
	const char *host;    /* borrowed from the resolver */
	const char *trouble; /* static: why the last question brought nothing; NULL: it did */
	/* When the question was asked that was answered last, in seconds since the epoch; 0: none was. */
	int64_t answered;
	size_t count;                                      /* of the addresses that DNS gives */
	struct fl_cidr addresses[FL_RESOLUTION_ADDRESSES]; /* the first ones */
};

#endif
