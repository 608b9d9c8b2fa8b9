/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WIRE_FIRST_H
#define FL_WIRE_FIRST_H
/* first - has everything arrived that a TLS server needs for its first answer, a handshake message or an alert?
 *
 * Pure and I/O-free. It only checks lengths: of records (RFC 8446 section 5.1), and of the first handshake message
 * (section 4), which may span several records. Until it is complete no TLS engine is needed, because the engine could only
 * wait. The engine decides whether the bytes are valid. Thread: one at a time. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Maximum length of a ClientHello, its header included, that the TLS engine accepts: one with a big ticket of another server
 * may have more than 64 KiB. */
#define FL_FIRST_MAX (80u * 1024)

/* Plain storage, owns nothing; zeroed to begin with. Its fields are first.c's. */
struct fl_first {
	uint32_t message_left; /* bytes to come of the message, once its header is there */
	uint16_t record_left;  /* of the current record */
	uint8_t record_header[5], message_header[4];
	uint8_t record_header_len, message_header_len; /* that have come */
	bool whole;
};

/* Reads the next len bytes of the connection. True: a complete ClientHello has arrived, or a complete record that shows that
 * it is none; all later calls return true. */
bool fl_first_feed(struct fl_first *first, const uint8_t *data, size_t len);

#endif
