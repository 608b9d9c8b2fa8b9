/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_NFT_H
#define FL_AGENT_CAPTURE_NFT_H
/* nft - loads rulesets into the kernel and reads them back, with the program nft.
 *
 * The program and not its library: libnftables is licensed under the GPL version 2 only, wolfSSL under version 3, so one
 * process cannot link both. Thread: as child.h; blocks. Everything concerns the network namespace of the process. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/capture/child.h"
#include "base/err.h"

/* Checks that the kernel has nftables, that we may use it, and that the program is installed. Errors: FL_ERR_DENIED, the
 * capability NET_ADMIN is missing; FL_ERR_IO, the kernel has no nftables; FL_ERR_INVALID, the program is not installed. Each
 * names its remedy. Call this before the functions below. */
int fl_nft_check(struct fl_err *err) FL_MUST_USE;

/* Loads text as `nft -f` would: all of it in one transaction. Errors: FL_ERR_IO, FL_ERR_INVALID: nothing has changed;
 * FL_ERR_LIMIT, or a sentence that says so: whether anything has changed is not known. */
int fl_nft_load(const char *text, struct fl_err *err) FL_MUST_USE;

/* Checks whether text could be loaded, without loading it. Errors: as fl_nft_load(). */
int fl_nft_rehearse(const char *text, struct fl_err *err) FL_MUST_USE;

struct fl_nft_count {
	const char *name; /* of the counter, given by the caller */
	uint64_t packets, bytes;
	bool found;
};
/* Fills in the counters that `table inet NAME` has. ret_there: whether there is such a table. */
int fl_nft_count(const char *table, struct fl_nft_count *counts, size_t count, bool *ret_there,
		 struct fl_err *err) FL_MUST_USE;

/* One element of a set of (address, port, address, port). The texts are borrowed for the call. */
typedef void (*fl_nft_ends_cb)(void *user, const char *const addrs[2], const uint16_t ports[2]);
/* Calls cb for each element of a set of `table inet NAME`. ret_there: there is such a set, and its elements time out. */
int fl_nft_ends(const char *table, const char *set, fl_nft_ends_cb cb, void *user, bool *ret_there,
		struct fl_err *err) FL_MUST_USE;

/* The ports to which the rules of a table redirect connections. */
#define FL_NFT_PORTS_MAX 8
struct fl_nft_targets {
	uint16_t ports[FL_NFT_PORTS_MAX]; /* in `redirect` and `tproxy` statements, each once */
	size_t count;
	bool tproxy; /* there is a `tproxy` statement: those keep the destination address */
};
/* Reads them from `table inet NAME` in the kernel; none if there is no such table. */
int fl_nft_targets(const char *table, struct fl_nft_targets *ret, struct fl_err *err) FL_MUST_USE;

/* Makes one sentence, and the error code, of how nft failed ("nft did not WHAT: ..."). Its own message has several lines:
 * where and why, the wrong line, marks below it. Pure. */
int fl_nft_explain(const struct fl_child_end *end, const char *what, struct fl_err *err);

#endif
