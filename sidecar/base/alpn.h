/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_ALPN_H
#define FL_BASE_ALPN_H
/* alpn - the protocol name (RFC 7301) by which two sidecars know that they speak to each other: the TLS engine offers
 * it, and permissive listeners look for it. */

#define FL_ALPN "fairlead/1"

#endif
