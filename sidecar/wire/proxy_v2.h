/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WIRE_PROXY_V2_H
#define FL_WIRE_PROXY_V2_H
/* proxy_v2 - the PROXY protocol's header, version 2: what an app is told about its client, before the first byte.
 *
 * Pure and I/O-free. Source: proxy-protocol.txt of HAProxy, section 2.2. What it says of a peer:
 *
 *   0xD0                 the SPIFFE ID (the type that Istio's ztunnel has for it)
 *   PP2_TYPE_AUTHORITY   the SPIFFE ID again, if it has at most 255 bytes: the one that HAProxy before 2.9 can read
 *   PP2_TYPE_SSL         that a client certificate was verified, the TLS version, the cipher
 *
 * and none of it of a client that spoke plaintext. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define FL_PROXY_V2_ID_MAX 2048u /* bytes of a SPIFFE ID (SPIFFE-ID section 2.3) */
/* Room for every header that there can be. */
#define FL_PROXY_V2_MAX 2560u

/* The other end of a mutual TLS session. */
struct fl_proxy_v2_peer {
	const char *id;      /* its SPIFFE ID, at most FL_PROXY_V2_ID_MAX bytes */
	const char *version; /* "TLSv1.3" */
	const char *cipher;  /* "TLS_AES_128_GCM_SHA256" */
	bool resumed; /* its certificate was shown on an earlier connection, not on this one */
};

/* Writes the header and returns its length. source: the client's address; destination: the one that it dialled. When
 * either is NULL, or they are not both of IPv4 or both of IPv6 (where IPv4 inside IPv6 is IPv4), the command is
 * LOCAL, which makes the receiver take the connection as it sees it. peer: NULL for a client that spoke plaintext. */
size_t fl_proxy_v2_encode(const struct sockaddr *source, const struct sockaddr *destination,
			  const struct fl_proxy_v2_peer *peer, uint8_t out[FL_PROXY_V2_MAX]);

#endif
