/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SIGN_RATE_H
#define FL_AGENT_RUN_SIGN_RATE_H
/* sign_rate - how often somebody gets a signature: all together so many a second, and each a share of that.
 *
 * A bucket of one second's signatures fills steadily. A single asker may empty it: a burst after a pause passes. If several
 * ask within a second or so, each has an equal part of the rate in a bucket of its own, and takes only from that while the common
 * one is less than half full. So askers that want more than their part leave the others theirs, and get what these leave. To
 * connect again and again does not help: a new asker has nothing of its own yet. Pure; one thread. */
#include <stdbool.h>
#include <stdint.h>

struct fl_sign_rate {
	double per_second;
	double left;
	uint64_t filled_ns;
	uint64_t second;         /* that these are of: */
	unsigned askers, before; /* in it, and in the one before */
};

/* Of an asker; all zero: a new one. */
struct fl_sign_share {
	double left;
	uint64_t filled_ns;
	uint64_t second; /* in which it asked last; 0: never */
};

/* Another rate; the bucket is full. Times are those of uv_hrtime(). */
void fl_sign_rate_set(struct fl_sign_rate *rate, uint32_t per_second, uint64_t now_ns);
/* May it have one? Then that counts. */
bool fl_sign_rate_take(struct fl_sign_rate *rate, struct fl_sign_share *share, uint64_t now_ns);
/* It will not ask again. */
void fl_sign_rate_leave(struct fl_sign_rate *rate, const struct fl_sign_share *share);

#endif
