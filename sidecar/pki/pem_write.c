/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pem_write - from DER blobs to PEM text. RFC 7468 section 2: lines of 64 characters. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/coding.h>

#include "pki/pem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BEGIN "-----BEGIN "
#define END "-----END "
#define REST "-----\n"

/* Enough for the text of a blob: 4 characters for 3 bytes, a newline for each 64. */
static size_t room_for(size_t len, size_t label_len)
{
	return sizeof(BEGIN) + sizeof(END) + 2 * (label_len + sizeof(REST)) + (len / 3 + 1) * 4 +
	       len / 48 + 2;
}

/* Returns where the text ends, with a 0. */
static char *write_text(char *to, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len + 1);
	return to + len;
}

static char *write_boundary(char *to, const char *boundary, const char *label)
{
	return write_text(write_text(write_text(to, boundary), label), REST);
}

/* end: of the room. Returns where the text ends. */
static char *write_one(const struct fl_der *der, const char *label, char *to, const char *end)
{
	word32 len;

	FL_REQUIRE(der->len <= INT_MAX);
	to = write_boundary(to, BEGIN, label);
	len = (word32)(end - to);
	FL_REQUIRE(Base64_Encode(der->data, (word32)der->len, (byte *)to, &len) == 0);
	return write_boundary(to + len, END, label);
}

static char *write_list(const struct fl_der_list *list, const char *label)
{
	size_t room = 1, label_len = strlen(label);
	char *text, *at;

	for (size_t i = 0; i < list->count; i++) {
		room += room_for(list->items[i].len, label_len);
	}
	at = text = fl_new(room);
	for (size_t i = 0; i < list->count; i++) {
		at = write_one(&list->items[i], label, at, text + room);
	}
	return text;
}

char *fl_pem_write_certificates(const struct fl_der_list *list)
{
	return write_list(list, "CERTIFICATE");
}

char *fl_pem_write_crls(const struct fl_der_list *list)
{
	return write_list(list, "X509 CRL");
}
