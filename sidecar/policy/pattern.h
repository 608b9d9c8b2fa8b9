/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_PATTERN_H
#define FL_POLICY_PATTERN_H
/* pattern - which identities a rule is about: `spiffe://td/a/b`, `*` = exactly one path segment, a last `**` = one or
 * more; the trust domain is always literal, and there is a path. Pure. Thread: any. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct fl_pattern;

/* Errors: FL_ERR_INVALID with the remedy (for example "`*` stands for a whole segment"). */
int fl_pattern_parse(const char *text, struct fl_pattern **ret, struct fl_err *err) FL_MUST_USE;
bool fl_pattern_match(const struct fl_pattern *pattern, const char *id, size_t id_len);
/* Does wide match every ID that narrow matches? */
bool fl_pattern_covers(const struct fl_pattern *wide, const struct fl_pattern *narrow);
/* Is there an ID that both match? */
bool fl_pattern_overlaps(const struct fl_pattern *a, const struct fl_pattern *b);
const char *fl_pattern_text(const struct fl_pattern *pattern);
void fl_pattern_free(struct fl_pattern *pattern);

#endif
