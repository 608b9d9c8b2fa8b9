/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_ALPN_H
#define FL_BASE_ALPN_H
/* alpn - the protocol names (RFC 7301) by which two sidecars know that they speak to each other: the TLS engine offers
 * them, and permissive listeners look for them. They differ in their last byte only. */

#define FL_ALPN "fairlead/1" /* the bytes of one app connection, as they are */
#define FL_ALPN_FRAMED                                                                             \
	"fairlead/2" /* app connections one after another, in frames (wire/frame.h) */

#endif
