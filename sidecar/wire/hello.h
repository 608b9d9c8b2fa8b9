/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WIRE_HELLO_H
#define FL_WIRE_HELLO_H
/* hello - tells from the first bytes of a connection whether the client is a peer of ours, speaks other TLS, or neither.
 *
 * Pure and I/O-free. It parses a ClientHello (RFC 8446 section 4.1.2) as it arrives, in any number of segments and TLS records
 * (section 5.1), and stores no byte of it: the caller keeps the bytes.
 * It does not guess: it gives a verdict as soon as the bytes allow only one, and never before. It decides who gets the
 * connection, not whether the hello is valid; nothing is trusted because of it. Thread: one at a time. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a connection, record headers included, within which a hello of ours has to be complete. A hybrid key share, a
 * ticket and a long ALPN list come to 3 KiB; the TLS engine accepts no message much longer than this. */
#define FL_HELLO_MAX 16384u

enum fl_hello_verdict {
	FL_HELLO_NEED_MORE,
	/* The first two bytes are not those of a TLS handshake record: plaintext, or a hello of SSL 2, or an alert. */
	FL_HELLO_NOT_TLS,
	/* TLS, or bytes that begin like it, but not for us: a whole ClientHello that offers no name of base/alpn.h, one that
	 * breaks a rule of its format, one that is longer than FL_HELLO_MAX, or another message. */
	FL_HELLO_TLS_OTHER,
	FL_HELLO_TLS_OURS, /* a whole and well-formed ClientHello that offers a name of base/alpn.h */
};

/* Plain storage, owns nothing; its fields are hello.c's. */
struct fl_hello {
	uint32_t seen;         /* bytes of the connection */
	uint32_t number;       /* being read, big endian */
	uint32_t message_left; /* bytes to come of the message, its header first */
	uint16_t record_left;  /* bytes to come of the current record */
	uint16_t field_left;   /* of the current field */
	uint16_t list_left;    /* of the ALPN list */
	uint8_t record_header; /* bytes of the current record's header that have come */
	uint8_t step;          /* enum step of hello.c: the current field */
	uint8_t verdict;       /* enum fl_hello_verdict */
	bool had_alpn;         /* the extension has come */
	bool name_fits;        /* the name so far is the beginning of one of ours */
	bool offers;           /* ours was among the names */
};

void fl_hello_init(struct fl_hello *hello);

/* Takes the next len bytes of the connection. A verdict stays, whatever comes after it. */
enum fl_hello_verdict fl_hello_feed(struct fl_hello *hello, const uint8_t *data, size_t len);

#endif
