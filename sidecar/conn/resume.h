/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_RESUME_H
#define FL_CONN_RESUME_H
/* resume - what an upstream's endpoint remembers of the server: a few TLS sessions, to resume them, and for ten minutes that
 * it refuses our application protocol.
 *
 * The newest first, and each for one connection only as long as there is another (a ticket that is used twice shows an
 * observer that it is the same client). The last one stays, used, until a fresh one comes. What was offered in vain is
 * thrown away: the server has been replaced, or its trust has changed. All of it belongs to one loop. */
#include <stdbool.h>
#include <stdint.h>

#include "tls/tls.h"

#define FL_RESUME_MAX 4

struct fl_resume {
	struct fl_resume_entry {
		struct fl_tls_saved *saved; /* owned */
		uint64_t since_ms;          /* on the loop's clock */
		uint32_t number;            /* never 0 */
		bool used;
	} entries[FL_RESUME_MAX]; /* newest first */
	uint32_t count;
	uint32_t last_number;
	uint64_t bare_until_ms; /* it is offered none */
};

/* Lets tls, which has not begun, offer a session. Returns its number, 0: none is good. */
uint32_t fl_resume_offer(struct fl_resume *resume, struct fl_tls *tls);
/* The session of that number was not resumed. */
void fl_resume_drop(struct fl_resume *resume, uint32_t number);
/* Is there room for one, or one that is old? */
bool fl_resume_wants(const struct fl_resume *resume, uint64_t now_ms);
/* Takes saved over; in place of the oldest where there is no room. */
void fl_resume_keep(struct fl_resume *resume, struct fl_tls_saved *saved, uint64_t now_ms);
void fl_resume_flush(struct fl_resume *resume);
/* The server has accepted us without an application protocol: the next connections name none. The ten minutes begin with
 * the first of them. */
void fl_resume_note_bare(struct fl_resume *resume, uint64_t now_ms);
bool fl_resume_is_bare(const struct fl_resume *resume, uint64_t now_ms);

#endif
