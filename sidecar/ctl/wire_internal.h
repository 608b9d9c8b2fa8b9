/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CTL_WIRE_INTERNAL_H
#define FL_CTL_WIRE_INTERNAL_H
/* The format that encode.c writes and decode.c reads. Private to the two.
 *
 * A frame is the magic, a type (2 bytes), two zeros and the length of the payload (4 bytes); the payload is fields, each a
 * tag (2 bytes), a length (4 bytes) and a value. Numbers are big-endian. */
#include <stddef.h>
#include <stdint.h>

static const uint8_t magic[4] = {'F', 'L', 'C', '1'};

/* Numbers in the format: never reused for another meaning. 0: none. */
enum { HELLO_VERSION = 1, HELLO_GENERATION, HELLO_DIGEST, HELLO_WANTS_BEATS };
enum {
	GENERATION_NUMBER = 1, /* first, for fl_ctl_generation_renumber() */
	GENERATION_DIGEST,
	GENERATION_CREDENTIAL,
	GENERATION_BUNDLE,
	GENERATION_FOREIGN, /* repeated; fields of its own inside */
	GENERATION_INI_PATH,
	GENERATION_INI,
	GENERATION_CRL, /* optional */
};
enum { FOREIGN_TRUST_DOMAIN = 1, FOREIGN_BUNDLE };
enum { RESULT_NUMBER = 1, RESULT_OK, RESULT_REASON };
enum { BEAT_EVERY = 1 };
enum { NOTE_REFUSED = 1, NOTE_TIME, NOTE_TEXT };

#define FIELD_HEADER ((size_t)6)
#define DIGEST_LEN 32u
#define TRUST_DOMAIN_MAX 255u

#endif
