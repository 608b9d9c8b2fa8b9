/* SPDX-License-Identifier: GPL-3.0-or-later */
/* utf8 - overlong forms, surrogates and code points above U+10FFFF are invalid. */
#include "base/utf8.h"

size_t fl_utf8_sequence(const char *data, size_t len, uint32_t *ret_point)
{
	const unsigned char *bytes = (const unsigned char *)data;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t need = bytes[0] < 0x80   ? 1
		      : bytes[0] < 0xc2 ? 0
		      : bytes[0] < 0xe0 ? 2
		      : bytes[0] < 0xf0 ? 3
					: 4;
	uint32_t point = bytes[0];

	if (need == 0 || need > len || bytes[0] > 0xf4) {
		return 0;
	}
	if (need > 1) {
		point = bytes[0] & (0xffU >> (need + 1));
	}
	for (size_t i = 1; i < need; i++) {
		if ((bytes[i] & 0xc0) != 0x80) {
			return 0;
		}
		point = point << 6 | (bytes[i] & 0x3fU);
	}
	if (point < least[need] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
		return 0;
	}
	*ret_point = point;
	return need;
}

bool fl_utf8_is_control(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point <= 0x9f) ||
	       (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) ||
	       point == 0x200e || point == 0x200f;
}
