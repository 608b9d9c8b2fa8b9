/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A parser in two layers. The outer one removes record headers; the inner one goes from field to field of the
 * ClientHello, each of which is a number or a run of bytes, and checks each length against the rest of the structure around
 * it. The first violation makes it TLS_OTHER: the connection is then not ours. */
#include "wire/hello.h"

#include <string.h>

#include "base/alpn.h"

#define RECORD_HANDSHAKE 22u    /* RFC 8446 section 5.1 */
#define RECORD_HEADER 5u        /* bytes */
#define RECORD_MAX 16384u       /* bytes of plaintext in a record */
#define TLS_MAJOR 3u            /* of every version field since SSL 3 */
#define MESSAGE_CLIENT_HELLO 1u /* section 4 */
#define MESSAGE_HEADER 4u       /* bytes */
#define RANDOM_LEN 32u
#define EXTENSION_ALPN 16u /* RFC 7301 section 3.1 */
#define SESSION_ID_MAX 32u /* section 4.1.2 */

enum step {
	MESSAGE_TYPE,
	MESSAGE_LEN,
	VERSION,
	RANDOM,
	SESSION_ID_LEN,
	SESSION_ID,
	CIPHERS_LEN,
	CIPHERS,
	COMPRESSIONS_LEN,
	COMPRESSIONS,
	EXTENSIONS_LEN,
	EXTENSION_TYPE,
	EXTENSION_LEN,
	EXTENSION,
	ALPN_LEN,
	ALPN_LIST_LEN,
	ALPN_NAME_LEN,
	ALPN_NAME,
};

/* Bytes of the steps that are a number; 0: a run of bytes, whose length came before. */
static const uint8_t width[] = {
	[MESSAGE_TYPE] = 1,  [MESSAGE_LEN] = 3,      [VERSION] = 2,        [SESSION_ID_LEN] = 1,
	[CIPHERS_LEN] = 2,   [COMPRESSIONS_LEN] = 1, [EXTENSIONS_LEN] = 2, [EXTENSION_TYPE] = 2,
	[EXTENSION_LEN] = 2, [ALPN_LEN] = 2,         [ALPN_LIST_LEN] = 2,  [ALPN_NAME_LEN] = 1,
	[ALPN_NAME] = 0,
};

static const char ours[] = FL_ALPN, framed[] = FL_ALPN_FRAMED;
#define OURS_LEN (sizeof(ours) - 1)
_Static_assert(sizeof(ours) == sizeof(framed), "they differ in their last byte only");

static void decide(struct fl_hello *hello, enum fl_hello_verdict verdict)
{
	hello->verdict = (uint8_t)verdict;
}

/* --- from field to field ---------------------------------------------------------------------- */

/* The next field is a run of len bytes, for which there has to be room in the message. */
static void expect_bytes(struct fl_hello *hello, enum step step, uint32_t len)
{
	if (len > hello->message_left) {
		decide(hello, FL_HELLO_TLS_OTHER);
		return;
	}
	hello->step = (uint8_t)step;
	hello->field_left = (uint16_t)len;
}

static void expect(struct fl_hello *hello, enum step step)
{
	hello->number = 0;
	expect_bytes(hello, step, width[step]);
}

/* Goes on if what has to hold does. */
static void expect_if(struct fl_hello *hello, bool holds, enum step step)
{
	if (holds) {
		expect(hello, step);
	} else {
		decide(hello, FL_HELLO_TLS_OTHER);
	}
}

/* A run as long as the number just read. */
static void expect_counted(struct fl_hello *hello, bool holds, enum step step)
{
	if (holds) {
		expect_bytes(hello, step, hello->number);
	} else {
		decide(hello, FL_HELLO_TLS_OTHER);
	}
}

/* Extensions fill what is left of the message. */
static void expect_extension(struct fl_hello *hello)
{
	if (hello->message_left > 0) {
		expect(hello, EXTENSION_TYPE);
	} else {
		decide(hello, hello->offers ? FL_HELLO_TLS_OURS : FL_HELLO_TLS_OTHER);
	}
}

/* Names fill what is left of the list, and the list the extension. */
static void expect_name(struct fl_hello *hello)
{
	if (hello->list_left > 0) {
		expect(hello, ALPN_NAME_LEN);
	} else {
		expect_extension(hello);
	}
}

static void next_in_alpn(struct fl_hello *hello)
{
	uint32_t number = hello->number;

	switch (hello->step) {
	case ALPN_LEN:
		hello->list_left = (uint16_t)(number - 2);
		expect_if(hello, number > 2 && number <= hello->message_left, ALPN_LIST_LEN);
		break;
	case ALPN_LIST_LEN:
		expect_if(hello, number == hello->list_left, ALPN_NAME_LEN);
		break;
	case ALPN_NAME_LEN:
		hello->list_left--;
		hello->name_fits = number == OURS_LEN;
		expect_counted(hello, number > 0 && number <= hello->list_left, ALPN_NAME);
		hello->list_left = (uint16_t)(hello->list_left - number);
		break;
	case ALPN_NAME:
	default:
		hello->offers = hello->offers || hello->name_fits;
		expect_name(hello);
		break;
	}
}

static void next_in_extensions(struct fl_hello *hello)
{
	uint32_t number = hello->number;

	switch (hello->step) {
	case EXTENSIONS_LEN:
		if (number == hello->message_left) {
			expect_extension(hello);
		} else {
			decide(hello, FL_HELLO_TLS_OTHER);
		}
		break;
	case EXTENSION_TYPE:
		if (number != EXTENSION_ALPN) {
			expect(hello, EXTENSION_LEN);
		} else {
			expect_if(hello, !hello->had_alpn, ALPN_LEN); /* at most one of a type */
			hello->had_alpn = true;
		}
		break;
	case EXTENSION_LEN:
		expect_counted(hello, true, EXTENSION);
		break;
	case EXTENSION:
		expect_extension(hello);
		break;
	default:
		next_in_alpn(hello);
		break;
	}
}

/* The current field is complete: what comes next? */
static void next_field(struct fl_hello *hello)
{
	uint32_t number = hello->number;

	switch (hello->step) {
	case MESSAGE_TYPE:
		expect_if(hello, number == MESSAGE_CLIENT_HELLO, MESSAGE_LEN);
		break;
	case MESSAGE_LEN:
		hello->message_left = number;
		expect_if(hello, number < FL_HELLO_MAX, VERSION);
		break;
	case VERSION:
		hello->number = RANDOM_LEN;
		expect_counted(hello, number >> 8 == TLS_MAJOR, RANDOM);
		break;
	case RANDOM:
		expect(hello, SESSION_ID_LEN);
		break;
	case SESSION_ID_LEN:
		expect_counted(hello, number <= SESSION_ID_MAX, SESSION_ID);
		break;
	case SESSION_ID:
		expect(hello, CIPHERS_LEN);
		break;
	case CIPHERS_LEN:
		expect_counted(hello, number > 0 && number % 2 == 0, CIPHERS);
		break;
	case CIPHERS:
		expect(hello, COMPRESSIONS_LEN);
		break;
	case COMPRESSIONS_LEN:
		expect_counted(hello, number > 0, COMPRESSIONS);
		break;
	case COMPRESSIONS:
		expect(hello, EXTENSIONS_LEN); /* there are some in a hello of ours */
		break;
	default:
		next_in_extensions(hello);
		break;
	}
}

/* --- bytes ------------------------------------------------------------------------------------- */

/* len: not more than the current field has left. */
static void take(struct fl_hello *hello, const uint8_t *data, size_t len)
{
	if (width[hello->step] > 0) {
		for (size_t i = 0; i < len; i++) {
			hello->number = hello->number << 8 | data[i];
		}
	} else if (hello->step == ALPN_NAME && hello->name_fits) {
		size_t at = OURS_LEN - hello->field_left;

		hello->name_fits =
			memcmp(ours + at, data, len) == 0 || memcmp(framed + at, data, len) == 0;
	}
	hello->field_left = (uint16_t)(hello->field_left - len);
	hello->message_left -= (uint32_t)len;
}

static void walk_message(struct fl_hello *hello, const uint8_t *data, size_t len)
{
	while (hello->verdict == FL_HELLO_NEED_MORE && (len > 0 || hello->field_left == 0)) {
		size_t n = len < hello->field_left ? len : hello->field_left;

		take(hello, data, n);
		data += n;
		len -= n;
		if (hello->field_left == 0) {
			next_field(hello);
		}
	}
}

static void walk_record_header(struct fl_hello *hello, uint8_t byte)
{
	bool first = hello->seen < 2;
	bool fits = true;

	switch (hello->record_header++) {
	case 0:
		fits = byte == RECORD_HANDSHAKE; /* nothing comes between the parts of a message */
		break;
	case 1:
		fits = byte == TLS_MAJOR;
		break;
	case 2: /* the minor version says nothing (section 5.1) */
		break;
	case 3:
		hello->record_left = (uint16_t)(byte << 8);
		break;
	default:
		hello->record_left |= byte;
		fits = hello->record_left > 0 && hello->record_left <= RECORD_MAX;
		break;
	}
	if (!fits) {
		decide(hello, first ? FL_HELLO_NOT_TLS : FL_HELLO_TLS_OTHER);
	}
}

/* Of one record, or of its header; returns how many bytes it took. */
static size_t walk(struct fl_hello *hello, const uint8_t *data, size_t len)
{
	if (hello->record_header < RECORD_HEADER) {
		walk_record_header(hello, *data);
		return 1;
	}
	if (len > hello->record_left) {
		len = hello->record_left;
	}
	walk_message(hello, data, len);
	hello->record_left = (uint16_t)(hello->record_left - len);
	if (hello->record_left == 0) {
		hello->record_header = 0;
	}
	return len;
}

void fl_hello_init(struct fl_hello *hello)
{
	memset(hello, 0, sizeof(*hello));
	hello->message_left = MESSAGE_HEADER;
	expect(hello, MESSAGE_TYPE);
}

enum fl_hello_verdict fl_hello_feed(struct fl_hello *hello, const uint8_t *data, size_t len)
{
	if (len > FL_HELLO_MAX - hello->seen) {
		len = FL_HELLO_MAX - hello->seen;
	}
	while (len > 0 && hello->verdict == FL_HELLO_NEED_MORE) {
		size_t n = walk(hello, data, len);

		data += n;
		len -= n;
		hello->seen += (uint32_t)n;
	}
	if (hello->verdict == FL_HELLO_NEED_MORE && hello->seen == FL_HELLO_MAX) {
		decide(hello, FL_HELLO_TLS_OTHER);
	}
	return (enum fl_hello_verdict)hello->verdict;
}
