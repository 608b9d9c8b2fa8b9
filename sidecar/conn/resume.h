/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_RESUME_H
#define FL_CONN_RESUME_H
/* resume - what an upstream's endpoint remembers about the server: a few TLS sessions to resume and, for ten minutes, that
 * the server refuses our application protocol.
 *
 * Sessions are used newest first, and each for only one connection while there is another one (a ticket that is used twice
 * shows an observer that it is the same client). The last one stays, used, until a fresh one arrives. A session that the
 * server did not accept is discarded: the server has been replaced, or its trust has changed. All of it belongs to one
 * loop. */
#include <stdbool.h>
#include <stdint.h>

#include "tls/tls.h"

#define FL_RESUME_MAX 4

struct fl_resume {
	struct fl_resume_entry {
		struct fl_tls_saved *saved; /* owned */
		uint64_t since_ms;          /* time on the loop's clock */
		uint32_t number;            /* never 0 */
		bool used;
	} entries[FL_RESUME_MAX]; /* newest first */
	uint32_t count;
	uint32_t last_number;
	uint64_t bare_until_ms; /* no protocol is offered until then */
};

/* Lets tls, which has not begun, offer a session. Returns its number; 0: no session is usable. */
uint32_t fl_resume_offer(struct fl_resume *resume, struct fl_tls *tls);
/* The session of that number was not resumed. */
void fl_resume_drop(struct fl_resume *resume, uint32_t number);
/* Is there room for a session, or an old one to replace? */
bool fl_resume_wants(const struct fl_resume *resume, uint64_t now_ms);
/* Takes over saved; replaces the oldest session if there is no room. */
void fl_resume_keep(struct fl_resume *resume, struct fl_tls_saved *saved, uint64_t now_ms);
void fl_resume_flush(struct fl_resume *resume);
/* The server has accepted us without an application protocol: the next connections offer none. The ten minutes begin with
 * the first of them. */
void fl_resume_note_bare(struct fl_resume *resume, uint64_t now_ms);
bool fl_resume_is_bare(const struct fl_resume *resume, uint64_t now_ms);

#endif
