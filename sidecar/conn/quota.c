/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Peers whose keys are equal would share one quota: that is likely only with 2^32 peers or more. */
#include "conn/quota.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"

#define DIRECTION_PART 8u
#define FIRST_COMERS_PART 8u
#define FEW_PART 256u
#define GREED 7u

void fl_quota_init(struct fl_quota *quota, uint64_t seed)
{
	*quota = (struct fl_quota){.seed = seed};
}

void fl_quota_done(struct fl_quota *quota)
{
	for (size_t i = 0; i < FL_QUOTA_BUCKETS; i++) {
		FL_REQUIRE(quota->peers[i] == NULL);
	}
}

/* --- how many ------------------------------------------------------------------------------------- */

static unsigned of_direction(const struct fl_quota *quota, enum fl_direction direction)
{
	unsigned other = quota->open[direction == FL_INBOUND ? FL_OUTBOUND : FL_INBOUND];
	unsigned kept = quota->max / DIRECTION_PART;

	kept = kept > other ? kept : other;
	return quota->max > kept ? quota->max - kept : 0;
}

static unsigned free_of(const struct fl_quota *quota, enum fl_direction direction)
{
	unsigned all = of_direction(quota, direction), open = quota->open[direction];

	return all > open ? all - open : 0;
}

unsigned fl_quota_max_for(unsigned inbound)
{
	return inbound + (inbound + DIRECTION_PART - 2) / (DIRECTION_PART - 1);
}

bool fl_quota_has_room(const struct fl_quota *quota, enum fl_direction direction)
{
	return free_of(quota, direction) > 0;
}

static bool may_have_more(const struct fl_quota *quota, const struct fl_quota_peer *peer)
{
	unsigned free = free_of(quota, FL_INBOUND);
	unsigned kept = of_direction(quota, FL_INBOUND) / FIRST_COMERS_PART;
	unsigned few = quota->max / FEW_PART;

	if (peer->open < (few > 0 ? few : 1) && !peer->is_plaintext) {
		return free > 0;
	}
	if (free <= kept) {
		return false;
	}
	return peer->open == 0 || peer->open < (uint64_t)GREED * (free - kept);
}

/* --- who ------------------------------------------------------------------------------------------- */

static uint64_t hash(uint64_t secret, const void *data, size_t len)
{
	return fl_hash64_bytes(FL_HASH64_INIT ^ secret, data, len);
}

static struct fl_quota_peer **bucket_of(struct fl_quota *quota, uint64_t key)
{
	return &quota->peers[(key ^ key >> 32) % FL_QUOTA_BUCKETS];
}

static struct fl_quota_peer *peer_of(struct fl_quota *quota, uint64_t key, bool is_plaintext)
{
	struct fl_quota_peer **bucket = bucket_of(quota, key), *peer = *bucket;

	while (peer != NULL && (peer->key != key || peer->is_plaintext != is_plaintext)) {
		peer = peer->next;
	}
	if (peer == NULL) {
		peer = calloc(1, sizeof(*peer));
		if (peer != NULL) {
			peer->key = key;
			peer->is_plaintext = is_plaintext;
			peer->next = *bucket;
			*bucket = peer;
		}
	}
	return peer;
}

static void forget(struct fl_quota *quota, struct fl_quota_peer *peer)
{
	struct fl_quota_peer **at = bucket_of(quota, peer->key);

	while (*at != peer) {
		at = &(*at)->next;
	}
	*at = peer->next;
	free(peer);
}

/* --- taking ---------------------------------------------------------------------------------------- */

enum fl_quota_answer fl_quota_take_outbound(struct fl_quota *quota)
{
	if (!fl_quota_has_room(quota, FL_OUTBOUND)) {
		return FL_QUOTA_DIRECTION;
	}
	quota->open[FL_OUTBOUND]++;
	return FL_QUOTA_TAKEN;
}

enum fl_quota_answer fl_quota_take_inbound(struct fl_quota *quota, const char *id,
					   const struct fl_inet *network,
					   struct fl_quota_peer **ret)
{
	uint64_t key = id != NULL ? hash(quota->seed, id, strlen(id))
				  : hash(quota->seed, network, sizeof(*network));
	struct fl_quota_peer *peer = peer_of(quota, key, id == NULL);

	if (peer == NULL) {
		return FL_QUOTA_NO_MEMORY;
	}
	if (!may_have_more(quota, peer)) {
		if (peer->open == 0) {
			forget(quota, peer);
		}
		return fl_quota_has_room(quota, FL_INBOUND) ? FL_QUOTA_PEER : FL_QUOTA_DIRECTION;
	}
	peer->open++;
	quota->open[FL_INBOUND]++;
	*ret = peer;
	return FL_QUOTA_TAKEN;
}

void fl_quota_give_back(struct fl_quota *quota, enum fl_direction direction,
			struct fl_quota_peer *peer)
{
	FL_REQUIRE(quota->open[direction] > 0);
	quota->open[direction]--;
	if (peer != NULL && --peer->open == 0) {
		forget(quota, peer);
	}
}

const char *fl_quota_text(enum fl_quota_answer answer, enum fl_direction direction)
{
	switch (answer) {
	case FL_QUOTA_TAKEN:
		break;
	case FL_QUOTA_DIRECTION:
		return direction == FL_INBOUND
			       ? "inbound connections have used up their share: an eighth of all "
				 "is reserved for outbound ones"
			       : "outbound connections have used up their share: an eighth of all "
				 "is reserved for inbound ones";
	case FL_QUOTA_PEER:
		return "this peer has used up its share: the rest is reserved for others";
	case FL_QUOTA_NO_MEMORY:
		return "out of memory";
	}
	return NULL;
}
