/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sign_rate - token buckets. The buckets of all askers hold together as much as the half of the common one that is kept for
 * them, so an asker that has a token of its own finds one there. */
#include "agent/run/sign_rate.h"

#define NS_SECOND UINT64_C(1000000000)
#define KEPT 0.5 /* of a second's signatures */

static double greater(double a, double b)
{
	return a > b ? a : b;
}

static double filled(double left, double per_second, uint64_t since_ns, uint64_t now_ns,
		     double most)
{
	double full = left + (double)(now_ns - since_ns) / (double)NS_SECOND * per_second;

	return full < most ? full : most;
}

static void count(struct fl_sign_rate *rate, struct fl_sign_share *share, uint64_t now_ns)
{
	uint64_t second = now_ns / NS_SECOND + 1;

	if (rate->second != second) {
		rate->before = rate->second + 1 == second ? rate->askers : 0;
		rate->askers = 0;
		rate->second = second;
	}
	if (share->second != second) {
		rate->askers++;
		share->second = second;
	}
}

/* What each asker has of the rate. */
static double part(const struct fl_sign_rate *rate)
{
	return rate->per_second / greater(rate->askers, rate->before);
}

static void fill(struct fl_sign_rate *rate, struct fl_sign_share *share, uint64_t now_ns)
{
	double mine = part(rate);

	rate->left =
		filled(rate->left, rate->per_second, rate->filled_ns, now_ns, rate->per_second);
	share->left = filled(share->left, mine, share->filled_ns, now_ns, greater(KEPT * mine, 1));
	rate->filled_ns = share->filled_ns = now_ns;
}

static bool may_have_one(const struct fl_sign_rate *rate, const struct fl_sign_share *share)
{
	bool is_alone = rate->askers <= 1 && rate->before <= 1;

	return rate->left >= 1 &&
	       (is_alone || share->left >= 1 || rate->left > KEPT * rate->per_second);
}

void fl_sign_rate_set(struct fl_sign_rate *rate, uint32_t per_second, uint64_t now_ns)
{
	rate->per_second = per_second;
	rate->left = per_second;
	rate->filled_ns = now_ns;
}

bool fl_sign_rate_take(struct fl_sign_rate *rate, struct fl_sign_share *share, uint64_t now_ns)
{
	if (share->second == 0) {
		share->filled_ns = now_ns;
	}
	count(rate, share, now_ns);
	fill(rate, share, now_ns);
	if (!may_have_one(rate, share)) {
		return false;
	}
	rate->left--;
	share->left = greater(share->left - 1, 0);
	return true;
}

void fl_sign_rate_leave(struct fl_sign_rate *rate, const struct fl_sign_share *share)
{
	if (rate->second == share->second && rate->askers > 0) {
		rate->askers--;
	}
}
