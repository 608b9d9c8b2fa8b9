/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_HEX_H
#define FL_BASE_HEX_H
/* hex - bytes as hexadecimal digits, in lower case. Pure; thread: any. */
#include <stddef.h>
#include <stdint.h>

#define FL_HEX_TEXT(len) (2 * (len) + 1) /* bytes that the text of len bytes takes, with its NUL */

/* buf of FL_HEX_TEXT(len) bytes; returns buf. */
static inline char *fl_hex(const uint8_t *data, size_t len, char *buf)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		buf[2 * i] = digits[data[i] >> 4];
		buf[2 * i + 1] = digits[data[i] & 0xf];
	}
	buf[2 * len] = '\0';
	return buf;
}

#endif
