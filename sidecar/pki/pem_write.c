/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pem_write - from DER blobs to PEM text. RFC 7468 section 2: lines of 64 characters. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/coding.h>

#include "pki/pem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"

/* Enough for the text of a blob: 4 characters for 3 bytes, a newline for each 64. */
static size_t room_for(size_t len)
{
	return sizeof(BEGIN) + sizeof(END) + (len / 3 + 1) * 4 + len / 48 + 2;
}

static size_t write_one(const struct fl_der *der, char *to, size_t room)
{
	size_t at = sizeof(BEGIN) - 1;
	word32 len = (word32)(room - at);

	FL_REQUIRE(der->len <= INT_MAX);
	memcpy(to, BEGIN, at);
	FL_REQUIRE(Base64_Encode(der->data, (word32)der->len, (byte *)to + at, &len) == 0);
	at += len;
	FL_REQUIRE(room - at >= sizeof(END));
	memcpy(to + at, END, sizeof(END)); /* with its 0 */
	return at + sizeof(END) - 1;
}

char *fl_pem_write_certificates(const struct fl_der_list *list)
{
	size_t room = 1, at = 0;
	char *text;

	for (size_t i = 0; i < list->count; i++) {
		room += room_for(list->items[i].len);
	}
	text = fl_new(room);
	for (size_t i = 0; i < list->count; i++) {
		at += write_one(&list->items[i], text + at, room - at);
	}
	return text;
}
