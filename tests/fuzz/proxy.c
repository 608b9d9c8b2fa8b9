/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PROXY header, whose writer gets a peer's ID and addresses: read back with a naive reader of the standard. */
#include "base/addr.h"
#include "fuzz.h"
#include "wire/proxy_v2.h"

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static size_t number(const uint8_t *at)
{
	return (size_t)(at[0] << 8 | at[1]);
}

/* The values of type, length, value; those of PP2_TYPE_SSL have more of the kind inside. */
static void read_values(struct fl_span in, const struct fl_proxy_v2_peer *peer, bool *ret_has_id)
{
	while (in.len > 0) {
		FL_REQUIRE(in.len >= 3 && number(in.data + 1) <= in.len - 3);
		uint8_t type = in.data[0];
		size_t size = number(in.data + 1);
		struct fl_span value;

		(void)fuzz_take(&in, 3);
		value = fuzz_take(&in, size);
		FL_REQUIRE(peer != NULL);
		if (type == 0xd0 || type == 0x02) {
			FL_REQUIRE(value.len == strlen(peer->id));
			FL_REQUIRE(memcmp(value.data, peer->id, value.len) == 0);
			FL_REQUIRE(type == 0xd0 || value.len <= 255);
			*ret_has_id = *ret_has_id || type == 0xd0;
		} else if (type == 0xe0) {
			FL_REQUIRE(value.len > 0);
			FL_REQUIRE(value.len == strnlen(peer->claimed, sizeof(peer->claimed)));
			FL_REQUIRE(memcmp(value.data, peer->claimed, value.len) == 0);
		} else if (type == 0x20) {
			FL_REQUIRE(value.len >= 5);
			FL_REQUIRE((value.data[0] & 2) == (peer->resumed ? 0 : 2));
			(void)fuzz_take(&value, 5);
			read_values(value, peer, ret_has_id);
		}
	}
}

static void read_header(struct fl_span in, const struct fl_proxy_v2_peer *peer)
{
	bool has_id = false;

	FL_REQUIRE(in.len >= 16 && in.len <= FL_PROXY_V2_MAX);
	FL_REQUIRE(memcmp(in.data, signature, sizeof(signature)) == 0);
	FL_REQUIRE(in.data[12] == 0x20 || in.data[12] == 0x21);
	FL_REQUIRE(number(in.data + 14) == in.len - 16);
	size_t addresses = in.data[13] == 0x11 ? 12 : in.data[13] == 0x21 ? 36 : 0;
	FL_REQUIRE((in.data[12] == 0x20) == (addresses == 0));
	FL_REQUIRE(in.len - 16 >= addresses);
	(void)fuzz_take(&in, 16 + addresses);
	read_values(in, peer, &has_id);
	FL_REQUIRE(has_id == (peer != NULL));
}

static union fl_sockaddr take_address(struct fl_span *in)
{
	union fl_sockaddr sa;
	uint8_t kind = fuzz_u8(in);
	struct fl_span bytes = fuzz_take(in, sizeof(sa.in6));

	memset(&sa, 0, sizeof(sa));
	if (bytes.len > 0) {
		memcpy(&sa, bytes.data, bytes.len);
	}
	sa.any.sa_family = (sa_family_t)(kind % 3 == 0   ? AF_INET
					 : kind % 3 == 1 ? AF_INET6
							 : AF_UNIX);
	return sa;
}

/* Flags, two addresses, three words. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	uint8_t flags = fuzz_u8(&in);
	union fl_sockaddr from = take_address(&in), to = take_address(&in);
	struct fl_span word = fuzz_take_word(&in);
	/* The contract: a validated ID. */
	char *id = fuzz_string(fuzz_take(&word, FL_PROXY_V2_ID_MAX));
	char *version = fuzz_string(fuzz_take_word(&in)), *cipher = fuzz_string(in);
	struct fl_proxy_v2_peer peer = {
		.id = id, .version = version, .cipher = cipher, .resumed = (flags & 1) != 0};
	if ((flags & 16) != 0) {
		memcpy(peer.claimed, version, strnlen(version, sizeof(peer.claimed)));
	}
	uint8_t *out = malloc(FL_PROXY_V2_MAX);

	FL_REQUIRE(out != NULL);
	size_t n = fl_proxy_v2_encode((flags & 2) != 0 ? NULL : &from.any,
				      (flags & 4) != 0 ? NULL : &to.any,
				      (flags & 8) != 0 ? NULL : &peer, out);
	read_header((struct fl_span){out, n}, (flags & 8) != 0 ? NULL : &peer);
	free(out);
	free(id);
	free(version);
	free(cipher);
	return 0;
}
