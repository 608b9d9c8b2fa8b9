/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_REPORT_H
#define FL_REPORT_REPORT_H
/* report - a snapshot of the whole sidecar, and its renderings: for Prometheus (in two formats), for scripts, for a person.
 *
 * The server takes the snapshot; rendering is pure, on any thread. Names of metrics and keys of the JSON are part of
 * the contract with users: add, never rename. Nothing here grows with traffic: label values come from
 * fixed lists, certificates are bounded by expiry.h, and peers by peer_counts.h.
 *
 * Keys of the JSON (times are UTC as 2026-11-21T07:44:37Z; a value that does not exist is null):
 *   ready, reason             can it carry traffic; if not, why
 *   version, pid, now, started, workers
 *   id                        our own SPIFFE ID
 *   generation                {number, digest (first 16 hex digits), since, not_after, remaining_seconds}:
 *                             the last two describe the certificate of our own chain that expires first
 *   certificates              [{kind: leaf | intermediate | root | crl, trust_domain, index, not_after,
 *                             remaining_seconds}]; index: its place in the file, from 1 on
 *   certificates_left_out     how many there are beyond those
 *   rotations                 {used, refused_by_agent, refused_by_sidecar}
 *   last_rotation             {time, generation}
 *   last_refusal              {time, by: agent | sidecar, text, current: does it still hold?}
 *   warnings                  [sentence]: what the last change of our credentials may have broken for peers, and CRLs
 *                             in force that have expired
 *   restart_keys              the settings in force that wait for a restart of the sidecar: "[sidecar] workers, [service a]
 *                             listen"
 *   listeners                 [{section: service | upstream | sidecar, name, address, leads_to: [], serving}];
 *                             those of `sidecar` receive captured traffic, which goes to its original destination;
 *                             a listener of an unsupported address family is left out
 *   capture                   {expected: the INI has [redirect], or its rules have been seen; inet, inet6: are they in
 *                             force? null: not known, or we have no listener for it; since}
 *   connections               {inbound, outbound: {open, opened, closed: {reason: count}}}
 *   bytes                     {inbound, outbound: {to_app, to_mesh}}
 *   plaintext                 [{upstream, connections, to_app, to_mesh}]: what the INI sends in plaintext; upstream is
 *                             [outbound] if no section covers it
 *   dns_addresses_refused     {claimed, outside}: addresses that DNS returned for names of plaintext upstreams and that were
 *                             refused: an mtls or refuse upstream covers them, or they are not `within`
 *   handshakes                {inbound, outbound: {ok, resumed, failed: {reason: count}}}
 *   peers                     [{peer: a SPIFFE ID | plaintext | other, direction, open, opened, closed: {reason: count},
 *                             to_app, to_mesh, handshakes_failed: {reason: count}}]: peers with activity,
 *                             most open connections first; other: all peers that had no room in the list
 *   peers_size                {own: how many have an entry of their own, max, forgotten: how many were evicted so far}
 *   last_judgement            of the connections that were open when the generation arrived, or a certificate expired
 *                             since: {generation, done, judged, closed: {reason: count}, kept: {reason: count}, audited,
 *                             cpu_microseconds}; kept: only [rotation] keeps them open
 *   policy                    {default: allow | deny, mode: enforce | audit, rules: [{kind: allow | deny, name, mode, file,
 *                             line, decisions: {decision: count}, last}], default_decisions: {decision: count}, default_last}:
 *                             rules in the order of evaluation; last: when it decided, or in audit mode would have decided,
 *                             last
 *   redirect                  {mode, inbound_ports, exclude_inbound, outbound, exclude_outbound: [], forwarded,
 *                             other_protocols}: what the INI in force asks to be captured; null: it has no [redirect]
 *   services                  [{service, mode, port, listen, waits_for_restart: the sidecar does not listen there before
 *                             it is restarted, app, failing, open, opened, succeeded, to_app, to_mesh, last_success,
 *                             last_failure: {time, reason, address, detail}, failures: {reason: count}}]; service
 *                             is [inbound] for captured ports without a section
 *   upstreams                 [{upstream, mode, listen, waits_for_restart, to: [], peer: [], names: [{name,
 *                             addresses: [], count, last_answer, trouble}], failing, ... as above}]; upstream is
 *                             [outbound] for captured destinations without a section; failing: the last failure is newer
 *                             than the last success
 *   sandbox                   {wanted: does the INI ask for it?, seccomp, landlock: the version in force,
 *                             missing: a sentence about what could not be had}
 *   agent                     {connected, hung (it sends nothing any more), silence_seconds, signs (it makes the
 *                             signatures of handshakes; null: the sidecar has the key), trouble}
 *   log_lines_lost */
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/json.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "base/usage.h"
#include "conn/listing.h"
#include "count/capture_state.h"
#include "count/counters.h"
#include "count/denials.h"
#include "count/dns_refusals.h"
#include "count/expiry.h"
#include "count/history.h"
#include "count/peer_counts.h"
#include "count/plaintext_counts.h"
#include "count/rule_counts.h"
#include "count/sections.h"
#include "ctl/message.h"
#include "generation/resolution.h"
#include "pki/rollover.h"

#define FL_ROTATIONS_KEPT 8u
#define FL_ROTATION_TEXT 256u

struct fl_refusal {
	int64_t time; /* seconds since the epoch, of the last one; 0: there was none */
	uint64_t count;
	bool current; /* the refused candidate is still the one on offer */
	char text[FL_CTL_MAX_NOTE + 1];
};

/* One generation that was offered. */
struct fl_rotation {
	int64_t time;                   /* seconds since the epoch; 0: there was none */
	uint64_t generation;            /* its number, if it was used; 0: it was refused */
	int64_t not_after;              /* used: when the first certificate of our chain expires */
	char refusal[FL_ROTATION_TEXT]; /* refused: by whom and why, perhaps cut; "": it was used */
};

/* The outcomes of the generations that were offered. */
struct fl_rotations {
	uint64_t used;
	int64_t last_used; /* seconds since the epoch; 0: never */
	struct fl_refusal by_agent, by_sidecar;
	struct fl_rotation last[FL_ROTATIONS_KEPT]; /* newest first */
};

/* A section of the INI in force, and its state. [inbound] and [outbound] are among them where captured traffic arrives. */
struct fl_section_state {
	struct fl_section_sum sum;
	const struct fl_conf_service *service;   /* NULL: [inbound], or no service */
	const struct fl_conf_upstream *upstream; /* [outbound] included; NULL: no upstream */
	const struct fl_resolution *names;       /* of its `to` */
	size_t name_count;
	bool waits_for_restart; /* it has `listen`, and we do not listen there */
};

struct fl_listening {
	const char *section; /* "service", "upstream", "sidecar" */
	const char *name;
	const struct fl_addr *address;
	const struct fl_addr *leads_to;
	size_t leads_to_count;
	bool serving;
};

/* The values of a snapshot that are exported as metrics unchanged: C type, member, Prometheus type,
 * metric, help. */
#define FL_VALUE_METRICS(X)                                                                           \
	X(int64_t, started, "gauge", "fairlead_start_time_seconds",                                   \
	  "When the sidecar was started, in seconds since the epoch.")                                \
	X(unsigned, workers, "gauge", "fairlead_workers", "Threads that carry traffic.")              \
	X(bool, ready, "gauge", "fairlead_ready",                                                     \
	  "1 when the sidecar can carry traffic; /readyz says why not.")                              \
	X(bool, agent_connected, "gauge", "fairlead_agent_connected",                                 \
	  "1 when the agent is connected.")                                                           \
	X(bool, agent_hung, "gauge", "fairlead_agent_hung",                                           \
	  "1 when the agent is connected, but its heartbeats are missing.")                           \
	X(bool, signing_down, "gauge", "fairlead_signing_down",                                       \
	  "1 when full handshakes fail because the agent, which has our private key, does not sign.") \
	X(uint64_t, log_lines_lost, "counter", "fairlead_log_lines_lost_total",                       \
	  "Log lines that could not be written to stderr.")                                           \
	X(uint64_t, generation, "gauge", "fairlead_generation",                                       \
	  "Number of the generation in use; 0 before the first.")

/* Pointers are borrowed from the server and valid until its loop turns; listeners and peers are owned. */
struct fl_snapshot {
#define FL_SNAPSHOT_MEMBER(type, member, kind, metric, help) type member;
	FL_VALUE_METRICS(FL_SNAPSHOT_MEMBER)
#undef FL_SNAPSHOT_MEMBER
	int64_t now; /* seconds since the epoch */
	int64_t pid;
	struct fl_usage usage;
	char reason[FL_ERR_TEXTS];          /* set when not ready */
	const uint8_t *digest;              /* of the generation; NULL: none */
	const struct fl_expiries *expiries; /* NULL without a generation */
	struct fl_rollover rollover;        /* of the generation */
	const struct fl_rotations *rotations;
	const char *restart_keys; /* settings that wait for a restart of the sidecar; NULL: none */
	struct fl_listening *listeners; /* owned */
	size_t listener_count;
	const struct fl_capture *capture;
	/* Of all workers; decisions is borrowed. */
	struct fl_counters counters;
	struct fl_port_counts detect_timeouts;
	const struct fl_rule_count *decisions;
	size_t decision_count;
	const struct fl_conf *conf;        /* the INI in force, borrowed; NULL: none yet */
	struct fl_section_state *sections; /* owned; services first, in the INI's order */
	size_t section_count;
	struct fl_resolution *resolutions; /* owned: what the sections point to */
	uint64_t open[FL_DIRECTIONS];
	uint64_t idle_sessions[FL_DIRECTIONS]; /* those without a connection now */
	/* the table that peers came from; NULL: there are no peers */
	struct fl_peer_counts *peers_of;
	struct fl_peer_sum *peers; /* owned */
	size_t peer_count;
	struct fl_peer_counts_size peers_size;
	struct fl_dns_refusal_counts dns_refused;
	const struct fl_plaintext_counts *plaintext; /* NULL: none was ever counted */
	struct fl_judged judged;                     /* of all workers that have the generation */
	/* for the page: the open connections of each worker; borrowed */
	const struct fl_listing *listings;
	size_t listing_count;
	const struct fl_denials *denials; /* of all workers, newest first; NULL: none */
	const struct fl_history *history; /* noted just now; NULL: none */
	const struct fl_sandbox *sandbox; /* NULL: not known */
	uint64_t now_ns;                  /* uv_hrtime() at that time */
	bool key_in_sidecar;              /* [tls] key, of the generation */
	uint64_t agent_silence;           /* seconds since its last message */
	const char
		*agent_trouble; /* why it is not connected; "" when it is, or was not tried yet */
};
/* Frees what it owns, and allows peers to be evicted again. */
void fl_snapshot_done(struct fl_snapshot *snapshot);

/* Each appends a whole document; if memory runs out, ret is made to fail (base/text.h). */
void fl_report_metrics(const struct fl_snapshot *snapshot,
		       struct fl_text *ret); /* Prometheus text 0.0.4 */
void fl_report_openmetrics(const struct fl_snapshot *snapshot,
			   struct fl_text *ret); /* the same as OpenMetrics 1.0 */
void fl_report_status(const struct fl_snapshot *snapshot, struct fl_text *ret); /* JSON */
void fl_report_page(const struct fl_snapshot *snapshot, struct fl_text *ret);   /* HTML */
/* The Content-Security-Policy of that page. */
const char *fl_report_page_policy(void);

/* --- shared by the three reports
 * --------------------------------------------------------------------- */

/* Appends an object: how many connections for each reason, without those of which there are none. */
void fl_report_losses(struct fl_json *json, const char *name, const uint64_t counts[FL_LOSSES]);

/* Puts it before the others; the oldest one is forgotten. */
void fl_rotations_note(struct fl_rotations *rotations, const struct fl_rotation *rotation);

/* Returns the later of the two; NULL: there was none. */
const struct fl_refusal *fl_rotations_last_refusal(const struct fl_rotations *rotations);

/* How many sessions that carry connections one after another carry one now. */
uint64_t fl_report_busy_sessions(const struct fl_snapshot *snapshot, enum fl_direction direction);

/* Writes the warning with that number, counted from 0, into buf. False: there are no more. */
#define FL_WARNING_TEXT 512
bool fl_report_warning(const struct fl_snapshot *snapshot, size_t number,
		       char buf[FL_WARNING_TEXT]);

#endif
