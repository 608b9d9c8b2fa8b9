/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_COUNTERS_H
#define FL_COUNT_COUNTERS_H
/* counters - the counts of one worker: only the worker writes them, any thread may read them.
 *
 * One writer: fl_count() is a plain addition whose store another thread may read at any time, with
 * no lock and no locked instruction. The reader sums over workers. Counters only grow. */
#include <stddef.h>
#include <stdint.h>

#include "count/judged.h"
#include "count/reason.h"
#include "pki/signer.h"

enum fl_direction { FL_INBOUND, FL_OUTBOUND };
#define FL_DIRECTIONS 2
const char *fl_direction_word(enum fl_direction direction); /* "inbound", "outbound" */

/* The security of a connection's mesh side. */
enum fl_security {
	FL_SECURITY_NONE, /* not known yet, or the connection ended before it was known */
	FL_SECURITY_MTLS, /* the peer is verified */
	FL_SECURITY_PLAINTEXT,
};
#define FL_SECURITIES 3
const char *fl_security_word(enum fl_security security); /* "none", "mtls", "plaintext" */

/* Upper bounds of the handshake histogram, in microseconds; the last bucket is without bound. */
#define FL_HANDSHAKE_BOUNDS_US                                                                     \
	{                                                                                          \
		250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000  \
	}
#define FL_HANDSHAKE_BUCKETS 13

/* Counters that are a metric as they are: member, name, help. A new one needs a row here, an
 * fl_count() where it is counted, and a row in the table of metrics in REFERENCE.md: struct
 * fl_counters and /metrics are made from the rows. */
#define FL_COUNTER_METRICS(X)                                                                      \
	/* log lines about strangers */                                                            \
	X(lines_left_out, "fairlead_log_lines_left_out_total",                                     \
	  "Log lines about strangers that were left out: more than their network may have.")       \
	X(judged, "fairlead_connections_judged_total",                                             \
	  "Open connections that were judged again; those no longer allowed are among the closed ones.")

/* The same, by direction. */
#define FL_DIRECTION_COUNTER_METRICS(X)                                                            \
	X(handshakes_resumed, "fairlead_handshakes_resumed_total",                                 \
	  "TLS handshakes that resumed an earlier session; fairlead_handshakes_total counts them as ok.")

/* Why sessions that carry connections one after another end (conn/framed.h): id, word. They are labels of a metric. */
#define FL_SESSION_ENDS_ALL(X)                                                                     \
	X(USE, "use")                 /* a connection did not end orderly */                       \
	X(SPENT, "spent")             /* enough uses, old enough, or no more so many needed */     \
	X(IDLE, "idle")               /* no use for a minute */                                    \
	X(LIMIT, "limit")             /* too many are idle */                                      \
	X(RETIRED, "retired")         /* the server wants no further use */                        \
	X(PEER, "peer")               /* the peer has closed it */                                 \
	X(LOST, "lost")               /* the connection broke while it was idle */                 \
	X(CREDENTIALS, "credentials") /* our certificate, the trust or [tls] has changed */        \
	X(JUDGED, "judged")           /* the peer would not be admitted any more */                \
	X(MOVED, "moved")             /* the upstream does not have that address any more */       \
	X(NOT_OPENED, "not_opened")   /* an OPEN came too late */                                  \
	X(DRAIN, "drain")             /* the sidecar stops */                                      \
	X(BROKEN, "broken")           /* a frame that was not legal */

enum fl_session_end {
#define FL_SESSION_END_ENUM(id, word) FL_SESSION_END_##id,
	FL_SESSION_ENDS_ALL(FL_SESSION_END_ENUM)
#undef FL_SESSION_END_ENUM
		FL_SESSION_ENDS,
};
const char *fl_session_end_word(enum fl_session_end end);

#define FL_COUNTER_MEMBER(member, name, help) uint64_t member;
#define FL_DIRECTION_COUNTER_MEMBER(member, name, help) uint64_t member[FL_DIRECTIONS];

struct fl_counters {
	FL_COUNTER_METRICS(FL_COUNTER_MEMBER)
	FL_DIRECTION_COUNTER_METRICS(FL_DIRECTION_COUNTER_MEMBER)
	uint64_t probes; /* the sidecar's own, by the rules of capture; they are no connections */
	/* by direction */
	/* Connections, including refused ones. Open connections are those that were opened and have
	 * not ended. */
	uint64_t opened[FL_DIRECTIONS];
	uint64_t ended[FL_DIRECTIONS][FL_SECURITIES][FL_REASON_COUNT];
	/* The opened connections by security; NONE if they ended before it was known. */
	uint64_t classified[FL_DIRECTIONS][FL_SECURITIES];
	uint64_t bytes_to_app[FL_DIRECTIONS], bytes_to_mesh[FL_DIRECTIONS];
	uint64_t handshakes_done[FL_DIRECTIONS];
	/* Does not include peers that cannot be reached. */
	uint64_t handshakes_failed[FL_DIRECTIONS][FL_REASON_COUNT];
	uint64_t handshake_buckets[FL_DIRECTIONS]
				  [FL_HANDSHAKE_BUCKETS]; /* completed handshakes by duration */
	uint64_t handshake_us[FL_DIRECTIONS];             /* sum */
	/* Sessions that carry connections one after another, and how many connections: first ones of their session, and
	 * further ones. */
	uint64_t sessions_begun[FL_DIRECTIONS], sessions_ended[FL_DIRECTIONS][FL_SESSION_ENDS];
	uint64_t session_uses_cold[FL_DIRECTIONS], session_uses_reused[FL_DIRECTIONS];
	uint64_t signatures[FL_SIGN_RESULT_COUNT]; /* answers of the agent */
	/* Connections that a new judgement would close, and that stay open. */
	uint64_t judged_kept[FL_LOSSES]; /* [rotation] keeps them */
	uint64_t judged_audited;         /* [policy] or a rule in audit mode does */
};

/* Call on the worker's own thread. */
static inline void fl_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Counts a handshake that took so many nanoseconds. Call on the worker's own thread. */
void fl_counters_handshake(struct fl_counters *counters, enum fl_direction direction, uint64_t ns);

/* By port, for the first FL_COUNTED_PORTS ports that occur. A client may choose any port, so all
 * further ports are counted together. */
#define FL_COUNTED_PORTS 64
struct fl_port_counts {
	struct fl_port_count {
		uint64_t port; /* 0: not used yet */
		uint64_t count;
	} ports[FL_COUNTED_PORTS];
	uint64_t others;
};

/* Call on the worker's own thread. */
void fl_port_count(struct fl_port_counts *counts, uint16_t port);
/* Adds what another thread counts to sum. */
void fl_port_counts_add(struct fl_port_counts *sum, const struct fl_port_counts *counts);

/* Counts the end of a connection of that security. Call on the worker's own thread. */
void fl_counters_ended(struct fl_counters *counters, enum fl_direction direction,
		       enum fl_security security, enum fl_reason reason);
/* Returns how many ended for that reason, whatever their security. Thread: any, on a sum. */
uint64_t fl_counters_ended_sum(const struct fl_counters *counters, enum fl_direction direction,
			       enum fl_reason reason);

/* Adds what another thread counts to sum. */
void fl_counters_add(struct fl_counters *sum, const struct fl_counters *counters);

#endif
