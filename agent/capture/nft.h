/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_NFT_H
#define FL_AGENT_CAPTURE_NFT_H
/* nft - loads rulesets into the kernel and reads them back, through the program nft.
 *
 * The program and not its library: libnftables is under the GPL version 2 alone, and what holds wolfSSL is under version
 * 3, so one process cannot have both. Thread: as child.h. It acts on the network namespace of the process. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/capture/child.h"
#include "base/err.h"

/* Asks the kernel whether it has nftables and whether we may use it, and whether the program is here. Errors:
 * FL_ERR_DENIED, NET_ADMIN is missing; FL_ERR_IO, the kernel has no nftables; FL_ERR_INVALID, the program is not
 * installed. Each names its remedy. The others below expect it to have said yes. */
int fl_nft_check(struct fl_err *err) FL_MUST_USE;

/* Loads text, as `nft -f` would: all of it in one transaction. FL_ERR_IO and FL_ERR_INVALID: nothing has changed, or the
 * text says that it is not known. */
int fl_nft_load(const char *text, struct fl_err *err) FL_MUST_USE;

/* Asks whether text could be loaded, without doing it. Errors: likewise. */
int fl_nft_rehearse(const char *text, struct fl_err *err) FL_MUST_USE;

struct fl_nft_count {
	const char *name; /* of the counter, given by the caller */
	uint64_t packets, bytes;
	bool found;
};
/* Fills in the counters of `table inet NAME` that are there. ret_there: whether there is such a table. */
int fl_nft_count(const char *table, struct fl_nft_count *counts, size_t count, bool *ret_there,
		 struct fl_err *err) FL_MUST_USE;

/* An element of a set of (address, port, address, port); the texts are borrowed. */
typedef void (*fl_nft_ends_cb)(void *user, const char *const addrs[2], const uint16_t ports[2]);
/* Tells each element of that set of `table inet NAME`. ret_there: there is such a set, and its elements go by
 * themselves in time. */
int fl_nft_ends(const char *table, const char *set, fl_nft_ends_cb cb, void *user, bool *ret_there,
		struct fl_err *err) FL_MUST_USE;

/* Where the rules of a table lead connections. */
#define FL_NFT_PORTS_MAX 8
struct fl_nft_targets {
	uint16_t ports[FL_NFT_PORTS_MAX]; /* of `redirect` and `tproxy`, each once */
	size_t count;
	bool tproxy; /* some by that: the destination stays as it is */
};
/* Reads them from `table inet NAME` as it is in force: none where there is no such table. */
int fl_nft_targets(const char *table, struct fl_nft_targets *ret, struct fl_err *err) FL_MUST_USE;

/* The sentence about a program that has failed at what it was to do ("nft did not WHAT"), and its code. What it says
 * itself is several lines: where and why, the line that is wrong, marks below that. Pure, for tests. */
int fl_nft_explain(const struct fl_child_end *end, const char *what, struct fl_err *err);

#endif
