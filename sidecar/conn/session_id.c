/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ID by which the logs of both ends name a session. */
#include "conn/session_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"

#define RECORD_HANDSHAKE 22u /* of a record that holds a ClientHello (RFC 8446 section 5.1) */
#define RECORD_HEADER 5u
#define CLIENT_HELLO 1u
#define RANDOM_AT                                                                                  \
	(RECORD_HEADER + 4u + 2u) /* behind the headers of record and message, and legacy_version */

static const uint8_t none[FL_SESSION_ID];

void fl_session_note_id(struct fl_session *session, struct fl_span record)
{
	bool is_hello = record.len >= RANDOM_AT + FL_SESSION_ID &&
			record.data[0] == RECORD_HANDSHAKE &&
			record.data[RECORD_HEADER] == CLIENT_HELLO;

	if (is_hello && memcmp(session->id, none, sizeof(none)) == 0) {
		memcpy(session->id, record.data + RANDOM_AT, FL_SESSION_ID);
	}
}

const char *fl_session_id_text(const struct fl_session *session, char *buf)
{
	return memcmp(session->id, none, sizeof(none)) != 0
		       ? fl_hex(session->id, FL_SESSION_ID, buf)
		       : NULL;
}

void fl_session_name_connection(const struct fl_session *session, char *ret)
{
	char id[FL_HEX_TEXT(FL_SESSION_ID)];

	if (fl_session_id_text(session, id) == NULL) {
		ret[0] = '\0';
	} else if (session->framed != NULL) {
		(void)snprintf(ret, FL_PROXY_V2_UNIQUE, "%s-%u", id, fl_framed_use(session));
	} else {
		(void)snprintf(ret, FL_PROXY_V2_UNIQUE, "%s", id);
	}
}
