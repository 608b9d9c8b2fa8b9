/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Uses <linux/tcp.h>, which defines more than <netinet/tcp.h>; one file cannot include both.
 * Nothing here fails: an option that the kernel does not support stays unchanged. */
#include "net/alive.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#define PROBES_MAX 127u        /* the kernel's limit */
#define RTO_MAX_LEAST_MS 1000u /* the kernel's limit */
/* Fifteen retransmissions (net.ipv4.tcp_retries2), the first of them in quick succession, last at
 * least nine times their longest interval. A peer that is given longer gets it in full. */
#define RTO_MAX_LASTS 9u
/* A kernel without buffer space answers at most twice a second (net.ipv4.tcp_invalid_ratelimit), so
 * a probe may have to be sent twice. */
#define VAIN_MS 2000u
#define VAIN_PACKETS 2u

static void set(int fd, int level, int option, unsigned value)
{
	const int number = (int)value;

	(void)setsockopt(fd, level, option, &number, sizeof(number));
}

static unsigned clamp(unsigned value, unsigned low, unsigned high)
{
	return value < low ? low : value > high ? high : value;
}

/* The first probe is early enough for three more to follow; a longer interval would also delay the
 * next first probe. */
static void set_probes(int fd, const struct fl_alive *alive)
{
	unsigned give_up_s = alive->give_up_ms / 1000, idle, left, between;

	if (alive->give_up_ms == 0) {
		set(fd, IPPROTO_TCP, TCP_KEEPIDLE, alive->keep_s);
		set(fd, IPPROTO_TCP, TCP_KEEPINTVL, alive->keep_s);
		return;
	}
	idle = clamp(give_up_s / 2, 1, alive->keep_s);
	left = give_up_s > idle ? give_up_s - idle : 1;
	between = clamp(left / 3, 1, idle);
	between = clamp(between, (left + PROBES_MAX - 1) / PROBES_MAX, left);
	FL_REQUIRE(between > 0);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, between);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, clamp(left / between, 1, PROBES_MAX));
}

/* Three in give_up_ms, so that one may get lost. */
static void set_rto_max(int fd, const struct fl_alive *alive)
{
	unsigned keep_ms = alive->keep_s * 1000u, give_up_ms = alive->give_up_ms;

	if (give_up_ms != 0) {
		keep_ms = clamp(keep_ms, give_up_ms / RTO_MAX_LASTS + 1, give_up_ms / 3);
		keep_ms = clamp(keep_ms, RTO_MAX_LEAST_MS, FL_KEEP_S * 1000);
	}
	if (give_up_ms <= keep_ms * RTO_MAX_LASTS) {
		set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, keep_ms);
	}
}

void fl_alive_set(int fd, const struct fl_alive *alive)
{
	set(fd, SOL_SOCKET, SO_KEEPALIVE, alive->keep_s != 0);
	if (alive->keep_s == 0) {
		return;
	}
	set_probes(fd, alive);
	set_rto_max(fd, alive);
}

/* --- silence ------------------------------------------------------------------------------------- */

struct fl_debt fl_alive_debt(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
		return (struct fl_debt){0}; /* a Unix socket */
	}
	return fl_debt_of(&info);
}

struct fl_debt fl_debt_of(const struct tcp_info *info)
{
	/* The kernel counts probes until any acknowledgement arrives, and retransmissions until one
	 * is more than "window is zero". */
	bool is_sent_again =
		info->tcpi_retransmits > 0 && info->tcpi_last_data_sent < info->tcpi_last_ack_recv;

	return (struct fl_debt){.is_open = info->tcpi_unacked > 0 || info->tcpi_notsent_bytes > 0,
				.is_asked = is_sent_again || info->tcpi_probes > 0,
				.asked = (uint16_t)(info->tcpi_retransmits + info->tcpi_probes),
				.silent_ms = info->tcpi_last_ack_recv,
				.received = info->tcpi_segs_in};
}

void fl_silence_begin(struct fl_silence *silence, uint64_t now_ms)
{
	*silence = (struct fl_silence){.since_ms = now_ms};
}

/* Whatever has come since the last look shows that it is there. */
static bool is_broken(const struct fl_silence *silence, const struct fl_debt *debt)
{
	return !debt->is_asked || debt->asked < silence->asked ||
	       (silence->has_looked && debt->received != silence->received);
}

bool fl_silence_is_too_long(struct fl_silence *silence, const struct fl_debt *debt, uint64_t now_ms,
			    uint32_t limit_ms)
{
	uint64_t silent_ms;

	if (is_broken(silence, debt)) {
		silence->since_ms = now_ms;
		silence->asked = debt->asked;
	}
	silence->received = debt->received;
	silence->has_looked = true;
	silent_ms = now_ms - silence->since_ms;
	silent_ms = debt->silent_ms < silent_ms ? debt->silent_ms : silent_ms;
	return silent_ms >= limit_ms && silent_ms >= VAIN_MS &&
	       debt->asked - silence->asked >= (int)VAIN_PACKETS;
}

/* --- conntrack ----------------------------------------------------------------------------------- */

void fl_conntrack_open(struct fl_conntrack *conntrack)
{
	/* The states in which a connection can be silent for long. */
	static const char *const paths[FL_CONNTRACK_FILES] = {
		"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait",
		"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_fin_wait",
		"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
	};

	for (unsigned i = 0; i < FL_CONNTRACK_FILES; i++) {
		conntrack->fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
	}
}

void fl_conntrack_close(struct fl_conntrack *conntrack)
{
	for (unsigned i = 0; i < FL_CONNTRACK_FILES; i++) {
		if (conntrack->fds[i] >= 0) {
			close(conntrack->fds[i]);
		}
	}
}

static unsigned read_number(int fd)
{
	char text[16];
	ssize_t len = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;

	if (len <= 0) {
		return 0;
	}
	text[len] = '\0';
	return (unsigned)strtoul(text, NULL, 10);
}

uint16_t fl_keep_s_of(const unsigned *timeouts, unsigned count)
{
	unsigned keep_s = FL_KEEP_S;

	for (unsigned i = 0; i < count; i++) {
		if (timeouts[i] != 0) {
			keep_s = clamp(timeouts[i] / 3, 1, keep_s);
		}
	}
	return (uint16_t)keep_s;
}

uint16_t fl_conntrack_keep_s(const struct fl_conntrack *conntrack)
{
	unsigned timeouts[FL_CONNTRACK_FILES];

	for (unsigned i = 0; i < FL_CONNTRACK_FILES; i++) {
		timeouts[i] = read_number(conntrack->fds[i]);
	}
	return fl_keep_s_of(timeouts, FL_CONNTRACK_FILES);
}
