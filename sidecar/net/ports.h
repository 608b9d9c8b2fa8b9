/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_PORTS_H
#define FL_NET_PORTS_H
/* ports - source ports of our own, which the kernel never assigns automatically.
 *
 * A captured connection of the app uses its pod's address, a port chosen by the kernel and its
 * destination; so does the connection that we open for it. If both shared the ports of
 * net.ipv4.ip_local_port_range, the app could open only half as many connections to one destination
 * as without us. With mode = tproxy we dial the app from its client's address, where ports in that
 * range belong to the client: a connection that it opens later would collide with ours.
 *
 * The socket option IP_LOCAL_PORT_RANGE does not help: it can only narrow the namespace's range,
 * never go outside it. So we bind a random port ourselves (RFC 6056 section 3.3.1), and try another
 * if it is taken. Our ports begin at 1024 (or at ip_unprivileged_port_start if that is higher) and
 * exclude ip_local_port_range, Linux's default for it (which other machines may use even if ours
 * differs), and ip_local_reserved_ports. The rest is split in two: what we dial in our own name
 * must not collide with what the sidecar at the other end dials in our name. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_PORTS_RANGES_MAX                                                                        \
	64u /* if reserved ports need more, the ports after them are excluded, too */

/* Which of them. */
enum fl_port_choice {
	FL_PORT_OF_KERNEL,  /* none: the kernel chooses at connect() */
	FL_PORT_OF_OURS,    /* 61000-65535, where servers rarely listen; then 1024-10239 */
	FL_PORT_FOR_CLIENT, /* with a client's address: 10240-32767 */
};

struct fl_port_ranges {
	struct {
		uint16_t first, last;
	} items[FL_PORTS_RANGES_MAX]; /* ascending */
	size_t count;
	uint32_t total; /* ports in them */
};

/* Of one loop. */
struct fl_ports {
	struct fl_port_ranges high, ours,
		for_clients; /* high is the part of ours that comes first */
	uint32_t random[16];
	unsigned random_left;
};

/* Pure. first: the lowest port that may be bound; low, high: ip_local_port_range; reserved:
 * ip_local_reserved_ports, "8080,9000-9010". Unusable text in it is ignored. */
void fl_ports_make(struct fl_ports *ports, unsigned first, unsigned low, unsigned high,
		   const char *reserved);
/* The same with the kernel's settings for this network namespace; its defaults where they cannot be
 * read. Reads three files. */
void fl_ports_load(struct fl_ports *ports);

/* Returns a port for that attempt, counted from 0; 0: leave the choice to the kernel. Any thread
 * that owns ports. */
uint16_t fl_ports_pick(struct fl_ports *ports, enum fl_port_choice choice, unsigned attempt);

#endif
