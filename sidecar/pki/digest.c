/* SPDX-License-Identifier: GPL-3.0-or-later */
/* digest - SHA-256 by wolfCrypt. It cannot fail: a software hash without a heap of its own only
 * returns errors for arguments that are not valid. */
#include "pki/digest.h"

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/sha256.h>

#include "base/err.h"

/* wolfCrypt counts in 32 bits. */
static void update(wc_Sha256 *sha, const uint8_t *data, size_t len)
{
	while (len > 0) {
		word32 piece = len < UINT32_MAX ? (word32)len : UINT32_MAX;

		FL_REQUIRE(wc_Sha256Update(sha, data, piece) == 0);
		data += piece;
		len -= piece;
	}
}

void fl_digest(const struct fl_span *parts, size_t count, uint8_t ret[FL_DIGEST_LEN])
{
	wc_Sha256 sha;

	FL_REQUIRE(wc_InitSha256(&sha) == 0);
	for (size_t i = 0; i < count; i++) {
		uint8_t len[8];

		for (unsigned b = 0; b < 8; b++) {
			len[b] = (uint8_t)((uint64_t)parts[i].len >> (56 - 8 * b));
		}
		update(&sha, len, sizeof(len));
		update(&sha, parts[i].data, parts[i].len);
	}
	FL_REQUIRE(wc_Sha256Final(&sha, ret) == 0);
	wc_Sha256Free(&sha);
}
