/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_PORTS_H
#define FL_NET_PORTS_H
/* ports - source ports of our own: those that the kernel gives to nobody by itself.
 *
 * A captured connection of the app has the address of its pod, a port of the kernel's choice and its destination, and so has
 * the one that we make for it. Were both to share the ports of net.ipv4.ip_local_port_range, the app would get half of the
 * connections to one destination that it gets without us. With mode = tproxy we dial the app under the address of its
 * client, where ports in that range are the client's own: a connection that it opens later would meet ours.
 *
 * The socket option IP_LOCAL_PORT_RANGE does not serve: it narrows the range of the network namespace and never leaves
 * it. So we bind a port ourselves, at random (RFC 6056 section 3.3.1), and take another one where that is taken. Our ports
 * begin at 1024 (ip_unprivileged_port_start, where that is higher) and leave out ip_local_port_range, Linux's default
 * for it (others have that where we have something else), and ip_local_reserved_ports. What is left is parted: what we
 * dial in our own name must not meet what the sidecar at the other end dials in our name. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_PORTS_RANGES_MAX                                                                        \
	64u /* with more reserved ports than fit, those behind them are left out too */

/* Which of them. */
enum fl_port_choice {
	FL_PORT_OF_KERNEL,  /* none: the kernel chooses when it connects */
	FL_PORT_OF_OURS,    /* 61000-65535, where servers hardly listen; then 1024-10239 */
	FL_PORT_FOR_CLIENT, /* in a client's name: 10240-32767 */
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

/* Pure. first: the lowest port that may be bound; low, high: ip_local_port_range; reserved: ip_local_reserved_ports,
 * "8080,9000-9010". What it holds of no use is ignored. */
void fl_ports_make(struct fl_ports *ports, unsigned first, unsigned low, unsigned high,
		   const char *reserved);
/* The same as the kernel says for this network namespace; its defaults where it does not tell. Reads three files. */
void fl_ports_load(struct fl_ports *ports);

/* A port for the try of that number, from 0 on; 0: the kernel's choice is what is left. Any thread that owns ports. */
uint16_t fl_ports_pick(struct fl_ports *ports, enum fl_port_choice choice, unsigned attempt);

#endif
