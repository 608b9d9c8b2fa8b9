/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_PATH_H
#define FL_PKI_PATH_H
/* path - is there a path from a leaf up to an anchor on which no rule is broken? RFC 5280 section 6,
 * and RFC 8446 section 4.4.2 for what peers send: any order, and more than is needed. This is the
 * only path validation: handshakes, resumption, judging of live connections, preview, `check` and
 * the agent use it.
 *
 * First we search for a path by names, with key identifiers as hints, which is cheap. Then
 * we check what RFC 5280 requires of each certificate on it, and then its signatures, from the
 * anchor down. So a peer without a certificate from one of our anchors can only make us check one
 * signature for each anchor with the name that it chooses. If a path breaks a rule, we search for
 * another one.
 *
 * Work is bounded: FL_PATH_* below, and the number of paths examined. A chain that exceeds it is
 * refused. Pure, except for wolfCrypt's memory; thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pki/anchors.h"
#include "pki/cert.h"

#define FL_PATH_SENT_MAX 100         /* certificates of a peer, leaf included */
#define FL_PATH_INTERMEDIATES_MAX 20 /* between leaf and anchor */
#define FL_PATH_SIGNATURES_MAX 32    /* checked: the longest path takes 21 */
#define FL_PATH_FAILURES_MAX 16      /* of those, that do not verify: anchors of one name */
#define FL_PATH_SENT_FAILURES_MAX 8  /* and CAs of one name that were sent */

/* Rules beyond those of RFC 5280 section 6.1, asked of a path that keeps all of these. chain: leaf first, and in chain[count]
 * the anchor. *ret_index: the certificate that breaks the rule returned; detail as below. */
typedef enum fl_rule (*fl_path_more_cb)(void *user, const struct fl_span *chain, size_t count,
					size_t *ret_index, struct fl_err *detail);

struct fl_path_request {
	const struct fl_span *certs; /* leaf first, then whatever was sent with it */
	size_t count;
	const struct fl_anchors *anchors;
	int64_t now;   /* seconds since the epoch */
	bool any_time; /* dates do not count */
	uint8_t usage; /* bits FL_EKU_* that a certificate with extended key usage has to allow */
	fl_path_more_cb more; /* NULL: there are no more rules */
	void *user;
};

/* The result. */
struct fl_path {
	enum fl_rule rule; /* FL_RULE_NONE: a path was found */
	/* otherwise the certificate at fault: place in certs or, with is_anchor, in the bundle */
	size_t index;
	bool is_anchor;

	uint8_t at[1 + FL_PATH_INTERMEDIATES_MAX]; /* the path: places in certs, leaf first */
	size_t count;
	size_t anchor; /* its end: the place in the bundle */
	/* When all of the path, the anchor included, is valid; and until when what was sent is. */
	int64_t not_before, not_after, sent_not_after;

	unsigned signatures; /* checked */
};

/* detail (may be NULL): a sentence that names the certificate, where a rule is broken. Errors: FL_ERR_NOMEM. */
int fl_path_find(const struct fl_path_request *request, struct fl_path *ret,
		 struct fl_err *detail) FL_MUST_USE;

#endif
