/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WIRE_FIRST_H
#define FL_WIRE_FIRST_H
/* first - has all come that a TLS server needs for its first answer, be it a handshake's or an alert?
 *
 * Pure and I/O-free. It looks at lengths alone: of records (RFC 8446 section 5.1), and of the first handshake message
 * (section 4), in as many records as it comes in. Until then no TLS engine is needed, and nothing that one could do would
 * be more than waiting. Whether the bytes are any good is the engine's to say. Thread: one at a time. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a ClientHello, its header included, that the TLS engine takes: one with a big ticket of another server's comes to
 * more than 64 KiB. */
#define FL_FIRST_MAX (80u * 1024)

/* Plain storage, owns nothing; zeroed to begin with. Its fields are first.c's. */
struct fl_first {
	uint32_t message_left; /* bytes to come of the message, once its header is there */
	uint16_t record_left;  /* of the current record */
	uint8_t record_header[5], message_header[4];
	uint8_t record_header_len, message_header_len; /* that have come */
	bool whole;
};

/* Takes the next len bytes of the connection. True: a whole ClientHello has come, or what is none for certain, with the
 * record that shows it; and it stays so. */
bool fl_first_feed(struct fl_first *first, const uint8_t *data, size_t len);

#endif
