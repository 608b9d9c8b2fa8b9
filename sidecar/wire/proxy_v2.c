/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A fixed part, two addresses, and further facts as type, length, value. */
#include "wire/proxy_v2.h"

#include <netinet/in.h>
#include <string.h>

#include "base/err.h"

/* proxy-protocol.txt sections 2.2 to 2.2.6 */
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_LEN 12u
#define HEADER_LEN 16u
#define COMMAND_LOCAL 0x20u /* version 2 in the upper half */
#define COMMAND_PROXY 0x21u
#define FAMILY_UNSPEC 0x00u
#define FAMILY_TCP4 0x11u
#define FAMILY_TCP6 0x21u
#define TYPE_AUTHORITY 0x02u
#define TYPE_UNIQUE_ID 0x05u
#define TYPE_SSL 0x20u
#define TYPE_SSL_VERSION 0x21u
#define TYPE_SSL_CIPHER 0x23u
#define TYPE_SPIFFE_ID 0xD0u
#define TYPE_CLAIMED_SOURCE 0xE0u /* 0xE0 to 0xEF are for the two ends to agree on */
#define CLIENT_SSL 0x01u
#define CLIENT_CERT_CONN 0x02u
#define CLIENT_CERT_SESS 0x04u

#define AUTHORITY_MAX 255u /* bytes: HAProxy refuses a header with a longer one */
#define WORD_MAX 64u       /* bytes of a version or cipher */

_Static_assert(FL_PROXY_V2_MAX >= HEADER_LEN + 36 + 3 + FL_PROXY_V2_ID_MAX + 3 + AUTHORITY_MAX + 3 +
					  FL_PROXY_V2_UNIQUE + 3 + 5 + 2 * (3 + WORD_MAX) + 3 +
					  FL_PROXY_V2_CLAIMED,
	       "every header fits");

struct out {
	uint8_t *data;
	size_t len;
};

/* Network order, IPv4 unwrapped. */
struct address {
	const void *ip;
	size_t ip_len; /* 4 or 16; 0: there is none */
	in_port_t port;
};

static void put(struct out *out, const void *data, size_t len)
{
	memcpy(out->data + out->len, data, len);
	out->len += len;
}

static void put_u8(struct out *out, uint8_t value)
{
	out->data[out->len++] = value;
}

static void set_u16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_tlv(struct out *out, uint8_t type, const char *value, size_t len)
{
	put_u8(out, type);
	set_u16(out->data + out->len, len);
	out->len += 2;
	put(out, value, len);
}

static struct address address_of(const struct sockaddr *sa)
{
	if (sa != NULL && sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		return (struct address){.ip = &in->sin_addr, .ip_len = 4, .port = in->sin_port};
	}
	if (sa != NULL && sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
		bool is_v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		return (struct address){.ip = in6->sin6_addr.s6_addr + (is_v4 ? 12 : 0),
					.ip_len = is_v4 ? 4 : 16,
					.port = in6->sin6_port};
	}
	return (struct address){0};
}

static void put_addresses(struct out *out, const struct sockaddr *from, const struct sockaddr *to)
{
	struct address source = address_of(from);
	struct address destination = address_of(to);
	bool known = source.ip_len > 0 && source.ip_len == destination.ip_len;

	put_u8(out, known ? COMMAND_PROXY : COMMAND_LOCAL);
	if (!known) {
		put_u8(out, FAMILY_UNSPEC);
		out->len = HEADER_LEN;
		return;
	}
	put_u8(out, source.ip_len == 4 ? FAMILY_TCP4 : FAMILY_TCP6);
	out->len = HEADER_LEN; /* the length comes last */
	put(out, source.ip, source.ip_len);
	put(out, destination.ip, destination.ip_len);
	put(out, &source.port, sizeof(source.port));
	put(out, &destination.port, sizeof(destination.port));
}

static void put_word(struct out *out, uint8_t type, const char *word)
{
	put_tlv(out, type, word, strnlen(word, WORD_MAX));
}

/* Section 2.2.6. verify is 0: the certificate was verified, or we would not be here. */
static void put_ssl(struct out *out, const struct fl_proxy_v2_peer *peer)
{
	static const uint8_t verified[4] = {0};
	size_t start = out->len;

	put_u8(out, TYPE_SSL);
	out->len += 2;
	put_u8(out,
	       (uint8_t)(CLIENT_SSL | CLIENT_CERT_SESS | (peer->resumed ? 0 : CLIENT_CERT_CONN)));
	put(out, verified, sizeof(verified));
	put_word(out, TYPE_SSL_VERSION, peer->version);
	put_word(out, TYPE_SSL_CIPHER, peer->cipher);
	set_u16(out->data + start + 1, out->len - start - 3);
}

static void put_peer(struct out *out, const struct fl_proxy_v2_peer *peer)
{
	size_t len = strlen(peer->id);

	FL_REQUIRE(len <= FL_PROXY_V2_ID_MAX);
	put_tlv(out, TYPE_SPIFFE_ID, peer->id, len);
	if (len <= AUTHORITY_MAX) {
		put_tlv(out, TYPE_AUTHORITY, peer->id, len);
	}
	if (peer->unique[0] != '\0') {
		put_tlv(out, TYPE_UNIQUE_ID, peer->unique,
			strnlen(peer->unique, sizeof(peer->unique)));
	}
	put_ssl(out, peer);
	if (peer->claimed[0] != '\0') {
		put_tlv(out, TYPE_CLAIMED_SOURCE, peer->claimed,
			strnlen(peer->claimed, sizeof(peer->claimed)));
	}
}

size_t fl_proxy_v2_encode(const struct sockaddr *source, const struct sockaddr *destination,
			  const struct fl_proxy_v2_peer *peer, uint8_t out[FL_PROXY_V2_MAX])
{
	struct out header = {.data = out};

	put(&header, SIGNATURE, SIGNATURE_LEN);
	put_addresses(&header, source, destination);
	if (peer != NULL) {
		put_peer(&header, peer);
	}
	set_u16(out + HEADER_LEN - 2, header.len - HEADER_LEN);
	return header.len;
}
