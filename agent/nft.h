/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_NFT_H
#define FL_AGENT_NFT_H
/* nft - loads rulesets into the kernel and reads counters back, through libnftables.
 *
 * The library is opened when it is needed and not before: `run` stays small without it, and all else works where it
 * is not installed. Thread: one. It acts on the network namespace of the process. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct fl_nft;

/* Asks the kernel first whether it has nftables and whether we may use it. Errors: FL_ERR_DENIED, NET_ADMIN is missing;
 * FL_ERR_IO, the kernel has no nftables; FL_ERR_INVALID, the library is not installed. Each names its remedy. */
int fl_nft_open(struct fl_nft **ret, struct fl_err *err) FL_MUST_USE;
void fl_nft_close(struct fl_nft *nft); /* NULL is fine */

/* Loads text, as `nft -f` would: all of it in one transaction, or FL_ERR_IO and nothing has changed. */
int fl_nft_load(struct fl_nft *nft, const char *text, struct fl_err *err) FL_MUST_USE;

struct fl_nft_count {
	const char *name; /* of the counter, given by the caller */
	uint64_t packets, bytes;
	bool found;
};
/* Fills in the counters of `table inet NAME` that are there. false: there is no such table. */
bool fl_nft_count(struct fl_nft *nft, const char *table, struct fl_nft_count *counts, size_t count);

/* Where the rules of a table lead connections. */
#define FL_NFT_PORTS_MAX 8
struct fl_nft_targets {
	uint16_t ports[FL_NFT_PORTS_MAX]; /* of `redirect` and `tproxy`, each once */
	size_t count;
	bool tproxy; /* some by that: the destination stays as it is */
};
/* Reads them from `table inet NAME` as it is in force. false: there is no such table. */
bool fl_nft_targets(struct fl_nft *nft, const char *table, struct fl_nft_targets *ret);

#endif
