/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_CAPTURE_H
#define FL_BASE_CAPTURE_H
/* capture - the constants that the ruleset of `fairlead-agent redirect` and the sidecar share. The rules apply them only
 * to connections of the sidecar's own uid, so the app cannot use them to get past the capture. */

/* The sidecar's connections to its own pod's address are captured like those of a peer (a pod that calls its own
 * service), except for those that it makes to the app on a peer's behalf, which would loop forever. These carry this
 * DSCP, one for local use (RFC 2474 section 6, pool 2): any process may set it, in IPv4 and in IPv6, and these connections
 * never leave the pod. Value of IP_TOS and IPV6_TCLASS. */
#define FL_CAPTURE_TO_APP_DSCP 35
#define FL_CAPTURE_TO_APP_TOS (FL_CAPTURE_TO_APP_DSCP << 2)

/* The port that the sidecar dials on 127.0.0.1 and ::1 to test whether the rules are loaded: they lead it to the outbound
 * listener, and nobody listens on the port itself. */
#define FL_CAPTURE_PROBE_PORT 15099
/* The same, while the rules have refused traffic past the sidecar within the last minute. */
#define FL_CAPTURE_REFUSED_INBOUND_PORT 15098
#define FL_CAPTURE_REFUSED_OUTBOUND_PORT 15097

/* Zone of conntrack for the connections that the sidecar begins. */
#define FL_CAPTURE_ZONE 2112
/* SO_PRIORITY of its sockets, for packets that the kernel sends after they are closed: a value that no IP_TOS gives. It
 * does not leave the pod. */
#define FL_CAPTURE_PRIORITY 5
/* Bit of the ct mark: the connection was not captured when it began. */
#define FL_CAPTURE_SPARED 0x8000000

/* The INI that the rules were made from shows in the same way: on that port they lead the address FL_CAPTURE_PRINT_BASE plus the
 * print of the INI (fl_conf_capture_print()), in 127.128.0.0/9, to the listener, and no other address of that network. So
 * the sidecar learns, without privileges, whether the rules are those of its INI; without privileges it can read neither the
 * rules nor who loaded them. Rules with a print of this kind also lead FL_CAPTURE_PRINTED there: rules of another version have
 * no print, and do not count as wrong. Another version of the print (made from other settings) has another such address:
 * 127.0.0.1 plus its number. */
#define FL_CAPTURE_PRINT_VERSION 3
#define FL_CAPTURE_PRINTED (0x7f000001u + FL_CAPTURE_PRINT_VERSION)
#define FL_CAPTURE_PRINT_BASE 0x7f800000u
#define FL_CAPTURE_PRINTS 0x7fffffu /* without the broadcast address */

/* mode = tproxy: the mark of packets for the sidecar, and of its own packets to the app from the client's address. */
#define FL_CAPTURE_MARK 0x539
/* The mark of connections that the sidecar accepts at the destination's address, also before accept() and after close(). */
#define FL_CAPTURE_OWN_MARK 0x53a
#define FL_CAPTURE_TABLE 133 /* routing table that leads them to the sidecar's sockets */

#endif
