/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_STATUS_PEERS_H
#define FL_AGENT_TOOLS_STATUS_PEERS_H
/* peers - whom the sidecar's open connections are with, for `status`. Blocks, for as long as it is told. */
#include "agent/tools/admin_client.h"
#include "base/text.h"

/* Asks /connections and appends a line for each peer, those with the most connections first. Appends nothing when there
 * are none, or when the sidecar does not tell. */
void fl_status_peers_put(const struct fl_admin_client *admin, unsigned timeout_ms,
			 struct fl_text *out);

#endif
