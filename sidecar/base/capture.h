/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_CAPTURE_H
#define FL_BASE_CAPTURE_H
/* capture - what the ruleset of `fairlead-agent redirect` and the sidecar have agreed on. Both sides of it hold
 * for connections of the sidecar's own uid only, so that nothing here is a way past the capture for the app. */

/* The sidecar's connections to its own pod's address are captured like those of a peer (a pod that calls its own
 * service), but for those to the app that it makes on a peer's behalf, which would come back for ever. Those carry this
 * DSCP, one for local use (RFC 2474 section 6, pool 2): any process may set it, in IPv4 and in IPv6, and they never
 * leave the pod. Value of IP_TOS and IPV6_TCLASS. */
#define FL_CAPTURE_TO_APP_DSCP 35
#define FL_CAPTURE_TO_APP_TOS (FL_CAPTURE_TO_APP_DSCP << 2)

/* What the sidecar dials on 127.0.0.1 and ::1 to see whether the rules are there: they lead it to the outbound
 * listener, while nobody listens on the port itself. */
#define FL_CAPTURE_PROBE_PORT 15099
/* The same, while the rules have refused something in the last minute that would have gone past the sidecar. */
#define FL_CAPTURE_REFUSED_INBOUND_PORT 15098
#define FL_CAPTURE_REFUSED_OUTBOUND_PORT 15097

/* Zone of conntrack for the connections that the sidecar begins. */
#define FL_CAPTURE_ZONE 2112
/* SO_PRIORITY of its sockets, for packets that the kernel sends after they are closed: one that no IP_TOS stands for. It
 * does not leave the pod. */
#define FL_CAPTURE_PRIORITY 5
/* Bit of the ct mark: the connection was left alone when it began. */
#define FL_CAPTURE_SPARED 0x8000000

/* From which INI the rules were made, told in the same way: on that port they lead FL_CAPTURE_PRINT_BASE plus the print of the
 * INI (fl_conf_capture_print()), an address of 127.128.0.0/9, to the listener, and no other address of that network. So
 * the sidecar learns whether they are those of the INI that it has, without a privilege. Nothing else can be read off
 * without one: not the rules, not who put them there. Rules that have a print of this kind lead FL_CAPTURE_PRINTED there,
 * too: those of another version have none, and are not called wrong. Another version of the print (other settings go in)
 * has another such address: 127.0.0.1 plus its number. */
#define FL_CAPTURE_PRINT_VERSION 2
#define FL_CAPTURE_PRINTED (0x7f000001u + FL_CAPTURE_PRINT_VERSION)
#define FL_CAPTURE_PRINT_BASE 0x7f800000u
#define FL_CAPTURE_PRINTS 0x7fffffu /* without the broadcast address */

/* mode = tproxy: of packets that are for the sidecar, and of its own that go to the app under the client's address. */
#define FL_CAPTURE_MARK 0x539
/* Of what the sidecar accepts under the destination's address, also before it does, or once it has closed it. */
#define FL_CAPTURE_OWN_MARK 0x53a
#define FL_CAPTURE_TABLE 133 /* routing table that leads them to the sidecar's sockets */

#endif
