/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_WANTED_NAMES_H
#define FL_WORKER_WANTED_NAMES_H
/* wanted_names - the names of the upstream map that a worker's connections wait for: a bit set in a
 * letter to the main thread. It allocates nothing, no matter how many connections wait for how many
 * names. */
#include <stddef.h>
#include <stdint.h>

#include "worker/mailbox.h"

#define FL_WANTED_NAMES 65536u /* bits; names with higher numbers share them */

struct fl_wanted_names {
	struct fl_mail mail;
	uint64_t bits[FL_WANTED_NAMES / 64]; /* atomic */
};

/* The worker's thread. name: its number in the newest map. reader: the main thread's mailbox, whose take() of this letter
 * (mail.take is the caller's to set) calls fl_wanted_names_take(). */
void fl_wanted_names_add(struct fl_wanted_names *wanted, size_t name, struct fl_mailbox *reader);

/* The main thread. Calls want() once for each bit that was set since the last call: bit stands for
 * the name with that number, and for those with the numbers bit + FL_WANTED_NAMES, bit + 2 *
 * FL_WANTED_NAMES and so on. */
void fl_wanted_names_take(struct fl_wanted_names *wanted, void (*want)(void *user, size_t bit),
			  void *user);

#endif
