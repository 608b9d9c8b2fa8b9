/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_CONNECTIONS_H
#define FL_REPORT_CONNECTIONS_H
/* connections - the JSON of /connections: each open connection, and how many sessions are idle. Pure; thread: any.
 *
 * Keys of the JSON: open (how many there are), left_out (how many of them are not listed), connections:
 * [{direction: inbound | outbound, name (of the [service] or [upstream]; null: no section covers it),
 * state: waiting (for one of [limits] handshakes) | detecting (what the client speaks) | connecting
 * (to the app, or to the peer) | handshake | open | app_done | peer_done | ending, source,
 * destination, port (inbound: the port that policy was asked about), security: mtls | plaintext | null
 * (not known yet), peer, own, generation, rule (null: the default, or outbound, or policy was not asked
 * yet), age_seconds, bytes_to_app, bytes_to_mesh}]. */
#include "base/json.h"
#include "base/text.h"
#include "conn/listing.h"

/* Appends the keys of one connection to an object that is open. now_ns: uv_hrtime(). */
void fl_listed_put(struct fl_json *json, const struct fl_listed *item, uint64_t now_ns);

/* Appends a whole document. listings: count of them, one of each worker. now_ns: uv_hrtime(). */
void fl_report_connections(const struct fl_listing *listings, size_t count, uint64_t now_ns,
			   struct fl_text *ret);

#endif
