/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_UNIT_FRAMES_H
#define FL_TESTS_UNIT_FRAMES_H
/* frames - frames of the agent's protocol as bytes, for the tests of ctl. Header only. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/message.h"

struct frame {
	uint8_t *data;
	size_t len;
};

/* A frame of any kind around a payload of any kind. */
static inline struct frame raw_frame(uint16_t type, uint16_t reserved, const void *payload,
				     uint32_t len)
{
	struct frame f = {.len = FL_CTL_HEADER + len};
	uint8_t header[FL_CTL_HEADER] = {'F',
					 'L',
					 'C',
					 '1',
					 (uint8_t)(type >> 8),
					 (uint8_t)type,
					 (uint8_t)(reserved >> 8),
					 (uint8_t)reserved,
					 (uint8_t)(len >> 24),
					 (uint8_t)(len >> 16),
					 (uint8_t)(len >> 8),
					 (uint8_t)len};

	f.data = fl_new(f.len);
	memcpy(f.data, header, sizeof(header));
	if (payload != NULL) {
		memcpy(f.data + FL_CTL_HEADER, payload, len);
	}
	return f;
}

/* A whole HELLO. */
static inline struct frame hello_frame(void)
{
	struct fl_ctl_hello hello = {.version = FL_CTL_VERSION, .generation = 0x0102030405060708};
	struct frame f;

	memset(hello.digest, 0xab, sizeof(hello.digest));
	f.data = fl_ctl_encode_hello(&hello, &f.len);
	return f;
}

/* A decoder for those who get frames of that type. */
static inline struct fl_ctl_decoder *decoder_of(unsigned type)
{
	return fl_ctl_decoder_new(type == FL_CTL_HELLO || type == FL_CTL_RESULT ||
						  type == FL_CTL_SIGN
					  ? FL_CTL_FROM_SIDECAR
					  : FL_CTL_FROM_AGENT);
}

/* Feeds it whole. */
static inline int decode(struct fl_ctl_decoder *decoder, struct frame f, struct fl_ctl_message *ret,
			 struct fl_err *err)
{
	const uint8_t *data = f.data;
	size_t len = f.len;

	return fl_ctl_decoder_feed(decoder, &data, &len, ret, err);
}

static inline void check_refused(struct frame f, const char *because)
{
	struct fl_ctl_decoder *decoder = decoder_of(f.data[5]);
	struct fl_ctl_message message;
	struct fl_err err = {0};

	cr_assert_eq(decode(decoder, f, &message, &err), FL_ERR_PEER);
	cr_assert_not_null(strstr(err.text, because), "\"%s\" does not say \"%s\"", err.text,
			   because);
	cr_assert_eq(decode(decoder, f, &message, NULL), FL_ERR_PEER, "dead is dead");
	fl_ctl_decoder_free(decoder);
	free(f.data);
}

#endif
