/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_STATUS_PEERS_H
#define FL_AGENT_TOOLS_STATUS_PEERS_H
/* status_peers - the peers of the sidecar's open connections, for `status`. Blocks, at most for the given time. */
#include "agent/tools/admin_client.h"
#include "base/text.h"

/* Asks /connections and appends a line for each peer, those with the most connections first. Appends nothing if there are
 * none, or if the sidecar does not answer. */
void fl_status_peers_put(const struct fl_admin_client *admin, unsigned timeout_ms,
			 struct fl_text *out);

#endif
