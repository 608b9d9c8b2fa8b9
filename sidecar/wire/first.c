/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes that cannot become a ClientHello count as complete at once, or with their record: an engine then refuses them. */
#include "wire/first.h"

#define RECORD_FIRST_TYPE                                                                          \
	20u /* change_cipher_spec; alert, handshake, application_data: RFC 8446 section 5.1 */
#define RECORD_LAST_TYPE 23u
#define RECORD_HANDSHAKE 22u
#define RECORD_MAX (16384u + 256u) /* bytes, of an encrypted one: section 5.2 */
#define TLS_MAJOR 3u
#define MESSAGE_CLIENT_HELLO 1u

static bool is_handshake(const struct fl_first *first)
{
	return first->record_header[0] == RECORD_HANDSHAKE;
}

static void end_record_header(struct fl_first *first)
{
	const uint8_t *header = first->record_header;

	first->record_left = (uint16_t)(header[3] << 8 | header[4]);
	first->whole = header[0] < RECORD_FIRST_TYPE || header[0] > RECORD_LAST_TYPE ||
		       header[1] != TLS_MAJOR || first->record_left == 0 ||
		       first->record_left > RECORD_MAX;
}

static void end_message_header(struct fl_first *first)
{
	const uint8_t *header = first->message_header;

	first->message_left =
		(uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | (uint32_t)header[3];
	first->whole = first->message_left == 0 || first->message_left > FL_FIRST_MAX;
}

/* Of a handshake record. */
static void walk_message(struct fl_first *first, const uint8_t *data, size_t len)
{
	while (len > 0 && first->message_header_len < sizeof(first->message_header)) {
		first->message_header[first->message_header_len++] = *data++;
		len--;
		if (first->message_header_len == sizeof(first->message_header)) {
			end_message_header(first);
		}
	}
	if (len > 0 && first->message_header[0] == MESSAGE_CLIENT_HELLO) {
		first->whole = first->whole || len >= first->message_left;
		first->message_left -=
			len < first->message_left ? (uint32_t)len : first->message_left;
	}
}

/* Of one record, or of its header; returns how many bytes it took. */
static size_t walk(struct fl_first *first, const uint8_t *data, size_t len)
{
	if (first->record_header_len < sizeof(first->record_header)) {
		first->record_header[first->record_header_len++] = *data;
		if (first->record_header_len == sizeof(first->record_header)) {
			end_record_header(first);
		}
		return 1;
	}
	len = len < first->record_left ? len : first->record_left;
	first->record_left = (uint16_t)(first->record_left - len);
	if (is_handshake(first)) {
		walk_message(first, data, len);
	}
	if (first->record_left == 0) {
		bool goes_on = is_handshake(first) &&
			       (first->message_header_len < sizeof(first->message_header) ||
				first->message_header[0] == MESSAGE_CLIENT_HELLO);

		first->whole = first->whole || !goes_on;
		first->record_header_len = 0;
	}
	return len;
}

bool fl_first_feed(struct fl_first *first, const uint8_t *data, size_t len)
{
	while (len > 0 && !first->whole) {
		size_t n = walk(first, data, len);

		data += n;
		len -= n;
	}
	return first->whole;
}
