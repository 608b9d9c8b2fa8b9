/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/expiry.h"

#define LOOK_S 3600 /* maximum time between two checks */

static size_t count_late_crls(const struct fl_credentials *credentials, int64_t now)
{
	size_t count = 0;

	for (size_t i = 0; i < credentials->crl_count; i++) {
		count += fl_crl_is_late(&credentials->crls[i], now);
	}
	return count;
}

static size_t count_late_roots(const struct fl_credentials *credentials, int64_t now)
{
	size_t count = 0;

	for (size_t i = 0; i < credentials->bundle_count; i++) {
		count += fl_bundle_late_count(&credentials->bundles[i], now);
	}
	return count;
}

void fl_expiry_note(struct fl_expiry *expiry, const struct fl_credentials *credentials, int64_t now)
{
	expiry->crls = count_late_crls(credentials, now);
	expiry->roots = count_late_roots(credentials, now);
}

bool fl_expiry_has_new_crls(struct fl_expiry *expiry, const struct fl_credentials *credentials,
			    int64_t now)
{
	size_t before = expiry->crls;

	expiry->crls = count_late_crls(credentials, now);
	return expiry->crls > before;
}

bool fl_expiry_has_new_roots(struct fl_expiry *expiry, const struct fl_credentials *credentials,
			     int64_t now)
{
	size_t before = expiry->roots;

	expiry->roots = count_late_roots(credentials, now);
	return expiry->roots > before;
}

uint64_t fl_expiry_next_ms(const struct fl_credentials *credentials, int64_t now)
{
	int64_t soonest = INT64_MAX;

	for (size_t i = 0; credentials != NULL && i < credentials->crl_count; i++) {
		int64_t left = credentials->crls[i].next_update - now;

		soonest = left >= 0 && left < soonest ? left : soonest;
	}
	for (size_t i = 0; credentials != NULL && i < credentials->bundle_count; i++) {
		const struct fl_anchors *anchors = &credentials->bundles[i].anchors;

		for (size_t k = 0; k < anchors->count; k++) {
			int64_t left = anchors->items[k].cert.not_after - now;

			soonest = left >= 0 && left < soonest ? left : soonest;
		}
	}
	if (soonest == INT64_MAX) {
		return 0;
	}
	return soonest < LOOK_S ? (uint64_t)(soonest + 1) * 1000 : (uint64_t)LOOK_S * 1000;
}
