/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_ALIVE_H
#define FL_NET_ALIVE_H
/* alive - keep-alive probes on idle connections, and how we detect that the other end is gone.
 *
 * Two things depend on the probes of an idle connection (SO_KEEPALIVE). Conntrack translates
 * captured traffic, and it drops a connection on which it sees no packets: a half-closed one after
 * 60 s (nf_conntrack_tcp_timeout_close_wait). This holds on the node as well as in the pod. And a
 * machine that has died sends nothing; only unanswered probes reveal it.
 *
 * So probes are sent at a third of conntrack's shortest time-out, so that one may get lost. We
 * cannot read the node's time-outs; with its defaults a third is 20 s, which is also our maximum.
 * Retransmissions and zero-window probes have at most the same interval, if the kernel supports
 * that (TCP_RTO_MAX_MS, Linux 6.15), and at most a third of the time after which the other end is
 * given up.
 *
 * TCP_USER_TIMEOUT is not used: it would also end connections whose peer answers but has had a zero
 * window for that long (RFC 9293 section 3.8.6.1 says that they stay open). fl_sock_debt()
 * distinguishes the two cases; its users check it while an answer is due (conn/stream_watch.c, and
 * sooner for a connection that is just being opened, conn/session_framed_doubt.c). A single packet
 * without an answer says nothing, because the network loses some: fl_silence_is_too_long(). */
#include <stdbool.h>
#include <stdint.h>

#define FL_KEEP_S 20u /* maximum between two probes */
#define FL_CONNTRACK_FILES 3

/* Keep-alive settings of a socket. */
struct fl_alive {
	uint16_t keep_s; /* probe interval, at least 1; 0: no probes */
	uint32_t
		give_up_ms; /* an idle other end that has not answered for so long is an error, ETIMEDOUT; 0: it has time */
};

/* Applies to a TCP socket, or to all that a listener accepts from now on. */
void fl_alive_set(int fd, const struct fl_alive *alive);

/* Data that the kernel has sent, or wants to send, and that the other end has not acknowledged. */
struct fl_debt {
	bool is_open;       /* there is something */
	bool is_asked;      /* retransmitted, or window probed, and no answer since */
	uint16_t asked;     /* how often: only the difference between two times means something */
	uint32_t silent_ms; /* since the last acknowledgement of anything */
	/* Segments of any kind since the connection began, wraps around. A keep-alive probe of the
	 * other end acknowledges nothing, but comes from a machine that is there. */
	uint32_t received;
};
/* Returns the debt of a TCP socket; empty for other sockets. One system call. */
struct fl_debt fl_alive_debt(int fd);
struct tcp_info;
struct fl_debt fl_debt_of(const struct tcp_info *info); /* pure */

/* How long the other end has been silent, for one who looks at the debt from time to time. */
struct fl_silence {
	uint64_t since_ms; /* uv_now() when it was last known to answer, or owed nothing */
	uint32_t received; /* debt.received at the last look */
	uint16_t asked;    /* debt.asked at since_ms; what was sent again after it is unanswered */
	bool has_looked;
};
/* From now on it owes us an answer. */
void fl_silence_begin(struct fl_silence *silence, uint64_t now_ms);
/* Looks at it, some times in limit_ms. Returns whether nothing has come for limit_ms, and for as
 * long as its kernel may take, although two packets at least, at different times, demanded an
 * answer. Pure. */
bool fl_silence_is_too_long(struct fl_silence *silence, const struct fl_debt *debt, uint64_t now_ms,
			    uint32_t limit_ms);

/* Conntrack's time-outs in this network namespace. The files stay open, so that a sandbox may be
 * entered later. */
struct fl_conntrack {
	int fds[FL_CONNTRACK_FILES]; /* owned; -1: not there */
};
void fl_conntrack_open(struct fl_conntrack *conntrack);
void fl_conntrack_close(struct fl_conntrack *conntrack);
/* Returns the right keep_s at this moment, 1 to FL_KEEP_S. A few system calls; any thread. */
uint16_t fl_conntrack_keep_s(const struct fl_conntrack *conntrack);
/* The same from the time-outs in seconds; 0: not known. Pure. */
uint16_t fl_keep_s_of(const unsigned *timeouts, unsigned count);

#endif
