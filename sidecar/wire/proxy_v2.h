/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WIRE_PROXY_V2_H
#define FL_WIRE_PROXY_V2_H
/* proxy_v2 - the PROXY protocol's header, version 2: tells an app, before the first byte, who its client is.
 *
 * Pure and I/O-free. Source: proxy-protocol.txt of HAProxy, section 2.2. For a peer it has:
 *
 *   0xD0                 the SPIFFE ID (Istio's ztunnel uses the same type)
 *   PP2_TYPE_AUTHORITY   the SPIFFE ID again, if it has at most 255 bytes: the one that HAProxy before 2.9 can read
 *   PP2_TYPE_UNIQUE_ID   the ID of the session, which both sidecars log
 *   PP2_TYPE_SSL         that a client certificate was verified, the TLS version, the cipher
 *   0xE0                 the address that the peer says its own app came from: its word, which nobody has checked
 *
 * and for a plaintext client none of these. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define FL_PROXY_V2_ID_MAX 2048u /* bytes of a SPIFFE ID (SPIFFE-ID section 2.3) */
/* Room for every header that there can be. */
#define FL_PROXY_V2_MAX 2688u

#define FL_PROXY_V2_UNIQUE 64u  /* room for the name of a connection */
#define FL_PROXY_V2_CLAIMED 64u /* room for "[IPv6%scope]:port" */

/* The other end of a mutual TLS session. */
struct fl_proxy_v2_peer {
	const char *id;      /* its SPIFFE ID, at most FL_PROXY_V2_ID_MAX bytes */
	const char *version; /* "TLSv1.3" */
	const char *cipher;  /* "TLS_AES_128_GCM_SHA256" */
	bool resumed; /* its certificate was shown on an earlier connection, not on this one */
	char unique[FL_PROXY_V2_UNIQUE];   /* names the connection; "": no such TLV */
	char claimed[FL_PROXY_V2_CLAIMED]; /* the source that it claims, as text; "": no such TLV */
};

/* Writes the header and returns its length. source: the client's address; destination: the one that it dialled. If
 * either is NULL, or they are not both IPv4 or both IPv6 (IPv4 inside IPv6 counts as IPv4), the command is
 * LOCAL: the receiver then uses the connection's own addresses. peer: NULL for a plaintext client. */
size_t fl_proxy_v2_encode(const struct sockaddr *source, const struct sockaddr *destination,
			  const struct fl_proxy_v2_peer *peer, uint8_t out[FL_PROXY_V2_MAX]);

#endif
