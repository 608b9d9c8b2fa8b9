/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CTL_WIRE_INTERNAL_H
#define FL_CTL_WIRE_INTERNAL_H
/* The format that encode.c writes, decode.c and fields.c read, and sign.c in both directions. Private to the four.
 *
 * A frame is the magic, a type (2 bytes), two zeros and the length of the payload (4 bytes); the payload is fields, each a
 * tag (2 bytes), a length (4 bytes) and a value. Numbers are big-endian. */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "ctl/message.h"

static const uint8_t magic[4] = {'F', 'L', 'C', '1'};

/* Numbers in the format: never reused for another meaning. 0: none. */
enum { HELLO_VERSION = 1, HELLO_GENERATION, HELLO_DIGEST, HELLO_WANTS_BEATS, HELLO_KEY };
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
enum { FOREIGN_TRUST_DOMAIN = 1, FOREIGN_BUNDLE, FOREIGN_REFUSED /* optional */ };
enum { RESULT_NUMBER = 1, RESULT_OK, RESULT_REASON };
enum { BEAT_EVERY = 1 };
enum { NOTE_REFUSED = 1, NOTE_TIME, NOTE_TEXT };
enum { SIGN_REQUEST = 1 };  /* repeated: number 4, key 32, role 1, scheme 2, hash */
enum { SIGNED_ANSWER = 1 }; /* repeated: number 4, result 1, signature */

#define FIELD_HEADER ((size_t)6)
#define DIGEST_LEN 32u
#define TRUST_DOMAIN_MAX 255u

struct fl_ctl_field {
	unsigned tag;
	struct fl_span value;
};

static inline uint64_t fl_ctl_get_uint(const uint8_t *data, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++) {
		value = value << 8 | data[i];
	}
	return value;
}

/* fields.c: removes the next field from *rest. 1, or 0 at the end, or FL_ERR_PEER. */
int fl_ctl_next_field(struct fl_span *rest, struct fl_ctl_field *ret, struct fl_err *err);
/* fields.c: reads the payload of a message of that type: 0, or FL_ERR_PEER or FL_ERR_NOMEM. Of a generation, ret->u.generation.foreign
 * is to be freed either way. */
int fl_ctl_read_payload(enum fl_ctl_type type, struct fl_span payload, struct fl_ctl_message *ret,
			struct fl_err *err);
/* sign.c: checks every item of a SIGN or SIGNED. 0, or FL_ERR_PEER. */
int fl_ctl_check_sign(struct fl_span payload, struct fl_err *err);
int fl_ctl_check_signed(struct fl_span payload, struct fl_err *err);

#endif
