/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_STATUS_SECTIONS_H
#define FL_AGENT_TOOLS_STATUS_SECTIONS_H
/* status_sections - the part of `status` about what is in force: services, upstreams, [redirect], policy and its rules;
 * and about sessions. An older sidecar does not tell: then there are no lines. */
#include <cjson/cJSON.h>

#include "base/text.h"

/* A line for each service and upstream that fails. */
void fl_status_failing_put(const cJSON *status, struct fl_text *out);
/* The state of each service and upstream, and what DNS says about their names. */
void fl_status_sections_put(const cJSON *status, struct fl_text *out);
/* Sessions that carry connections one after another, of "inbound" or "outbound"; nothing if there have been none. */
void fl_status_sessions_put(const cJSON *status, const char *direction, struct fl_text *out);
/* Whether the rules of capture are in force. */
void fl_status_capture_put(const cJSON *status, struct fl_text *out);
/* [redirect], the policy, and its rules with their hits. */
void fl_status_policy_put(const cJSON *status, struct fl_text *out);

#endif
