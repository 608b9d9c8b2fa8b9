/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_REPORT_H
#define FL_REPORT_REPORT_H
/* report - a snapshot of the whole sidecar, and three ways to write it: for Prometheus, for scripts, for a person.
 *
 * The server takes the snapshot; rendering is pure, on whatever thread. Names of metrics and keys of the JSON are part of
 * the contract with users: add, never rename. Nothing here grows with traffic: label values come from
 * fixed lists, certificates are bounded by expiry.h, and peers by peer_counts.h.
 *
 * Keys of the JSON (times are UTC as 2026-11-21T07:44:37Z; a value that does not exist is null):
 *   ready, reason             can it carry traffic; when not, why
 *   version, pid, now, started, workers
 *   id                        our own SPIFFE ID
 *   generation                {number, digest (first 16 hex digits), since, not_after, remaining_seconds}:
 *                             the last two are those of the certificate of our own chain that expires first
 *   certificates              [{kind: leaf | intermediate | root | crl, trust_domain, index, not_after,
 *                             remaining_seconds}]; index: its place in the file, from 1 on
 *   certificates_left_out     how many there are beyond those
 *   rotations                 {used, refused_by_agent, refused_by_sidecar}
 *   last_rotation             {time, generation}
 *   last_refusal              {time, by: agent | sidecar, text, current: is it so still?}
 *   warnings                  [sentence]: what the last change of our credentials may have broken for peers, and CRLs
 *                             in force that have run out
 *   listeners                 [{section: service | upstream | sidecar, name, address, leads_to: [], serving}];
 *                             those of `sidecar` take captured traffic, which leads to its destination;
 *                             one of an address family that the machine has not got is left out
 *   capture                   {expected: the INI has [redirect], or its rules were seen once; inet, inet6: are they in
 *                             force? null: not known, or no listener of ours for it; since}
 *   connections               {inbound, outbound: {open, opened, closed: {reason: count}}}
 *   bytes                     {inbound, outbound: {to_app, to_mesh}}
 *   plaintext                 [{upstream, connections, to_app, to_mesh}]: what the INI sends in the clear; upstream is
 *                             [outbound] where no section is about it
 *   dns_addresses_refused     {claimed, outside}: addresses that DNS gave to names of plaintext upstreams, and that they did
 *                             not get: an mtls or refuse upstream covers it, or it is not `within`
 *   handshakes                {inbound, outbound: {ok, resumed, failed: {reason: count}}}
 *   peers                     [{peer: a SPIFFE ID | plaintext | other, direction, open, opened, closed: {reason: count},
 *                             to_app, to_mesh, handshakes_failed: {reason: count}}]: those that there was something of,
 *                             with most that is open first; other: all that found no room in the list
 *   peers_size                {own: how many have an entry of their own, max, forgotten: how many made room so far}
 *   last_judgement            of the connections that were open when the generation came, or a certificate ran out
 *                             since: {generation, done, judged, closed: {reason: count}, kept: {reason: count}, audited,
 *                             cpu_microseconds}; kept: would have lost, but [rotation] keeps them
 *   agent                     {connected, hung (it says nothing any more), silence_seconds, trouble}
 *   log_lines_lost */
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/text.h"
#include "base/usage.h"
#include "conn/listing.h"
#include "count/capture_state.h"
#include "count/counters.h"
#include "count/dns_refusals.h"
#include "count/expiry.h"
#include "count/peer_counts.h"
#include "count/plaintext_counts.h"
#include "count/rule_counts.h"
#include "ctl/message.h"
#include "pki/rollover.h"

struct fl_refusal {
	int64_t time; /* seconds since the epoch, of the last one; 0: there was none */
	uint64_t count;
	bool current; /* what was refused is what is offered still */
	char text[FL_CTL_MAX_NOTE + 1];
};

/* What became of the generations that were offered. */
struct fl_rotations {
	uint64_t used;
	int64_t last_used; /* seconds since the epoch; 0: never */
	struct fl_refusal by_agent, by_sidecar;
};

struct fl_listening {
	const char *section; /* "service", "upstream", "sidecar" */
	const char *name;
	const struct fl_addr *address;
	const struct fl_addr *leads_to;
	size_t leads_to_count;
	bool serving;
};

/* The values of a snapshot that are metrics as they are: C type, member, Prometheus type, metric, help. */
#define FL_VALUE_METRICS(X)                                                                        \
	X(int64_t, started, "gauge", "fairlead_start_time_seconds",                                \
	  "When the sidecar was started, in seconds since the epoch.")                             \
	X(unsigned, workers, "gauge", "fairlead_workers", "Threads that carry traffic.")           \
	X(bool, ready, "gauge", "fairlead_ready",                                                  \
	  "1 when the sidecar can carry traffic; /readyz says why not.")                           \
	X(bool, agent_connected, "gauge", "fairlead_agent_connected",                              \
	  "1 when the agent is connected.")                                                        \
	X(bool, agent_hung, "gauge", "fairlead_agent_hung",                                        \
	  "1 when the agent is connected, but its heartbeats are missing.")                        \
	X(uint64_t, log_lines_lost, "counter", "fairlead_log_lines_lost_total",                    \
	  "Log lines that could not be written to stderr.")                                        \
	X(uint64_t, generation, "gauge", "fairlead_generation",                                    \
	  "Number of the generation in use; 0 before the first.")

/* Pointers are borrowed from the server and valid until its loop turns; listeners and peers are owned. */
struct fl_snapshot {
#define FL_SNAPSHOT_MEMBER(type, member, kind, metric, help) type member;
	FL_VALUE_METRICS(FL_SNAPSHOT_MEMBER)
#undef FL_SNAPSHOT_MEMBER
	int64_t now; /* seconds since the epoch */
	int64_t pid;
	struct fl_usage usage;
	char reason[FL_ERR_TEXTS];          /* when not ready */
	const uint8_t *digest;              /* of the generation; NULL: none */
	const struct fl_expiries *expiries; /* NULL without a generation */
	struct fl_rollover rollover;        /* of the generation */
	const struct fl_rotations *rotations;
	struct fl_listening *listeners; /* owned */
	size_t listener_count;
	const struct fl_capture *capture;
	/* Of all workers; decisions is borrowed. */
	struct fl_counters counters;
	struct fl_port_counts detect_timeouts;
	const struct fl_rule_count *decisions;
	size_t decision_count;
	uint64_t open[FL_DIRECTIONS];
	struct fl_peer_counts *peers_of; /* where peers are from; NULL: there are none */
	struct fl_peer_sum *peers;       /* owned */
	size_t peer_count;
	struct fl_peer_counts_size peers_size;
	struct fl_dns_refusal_counts dns_refused;
	const struct fl_plaintext_counts *plaintext; /* NULL: none was ever counted */
	struct fl_judged judged;                     /* of all workers that have the generation */
	const struct fl_listing *listings; /* for the page: what is open, by worker; borrowed */
	size_t listing_count;
	uint64_t now_ns;        /* with them: uv_hrtime() */
	uint64_t agent_silence; /* seconds since its last word */
	const char
		*agent_trouble; /* why it is not connected; "" when it is, or was not tried yet */
};
/* Frees what it owns, and lets peers make room again. */
void fl_snapshot_done(struct fl_snapshot *snapshot);

/* Each appends a whole document; without memory ret is made to fail (base/text.h). */
void fl_report_metrics(const struct fl_snapshot *snapshot,
		       struct fl_text *ret); /* Prometheus text 0.0.4 */
void fl_report_status(const struct fl_snapshot *snapshot, struct fl_text *ret); /* JSON */
void fl_report_page(const struct fl_snapshot *snapshot, struct fl_text *ret);   /* HTML */

/* --- for the three of them --------------------------------------------------------------------- */

/* The later of the two; NULL when there was none. */
const struct fl_refusal *fl_rotations_last_refusal(const struct fl_rotations *rotations);

/* Writes the warning of that number, from 0 on, into buf. False: there are no more. */
#define FL_WARNING_TEXT 512
bool fl_report_warning(const struct fl_snapshot *snapshot, size_t number,
		       char buf[FL_WARNING_TEXT]);

#endif
