/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_MAILBOX_H
#define FL_WORKER_MAILBOX_H
/* mailbox - how one thread tells another something: letters from any thread, taken one after the other on the loop of the
 * thread that reads them. The main thread and each worker have one each.
 *
 * A letter is a struct that begins with (or holds) a struct fl_mail. Posting copies nothing and needs no memory, so that it
 * cannot fail: the box links the letter itself. Letters are taken in the order in which they were posted. */
#include <stdbool.h>
#include <uv.h>

struct fl_mail {
	/* Reads the letter, on the reader's thread; reader: that of fl_mailbox_init(). The letter belongs to this function: it
	 * frees it, keeps it or posts it again. */
	void (*take)(struct fl_mail *mail, void *reader);
	struct fl_mail *next; /* the rest is the mailbox's: zero it before the first use */
	bool is_posted;
};

struct fl_mailbox {
	uv_mutex_t lock;
	uv_async_t wake;
	struct fl_mail *first,
		**end;  /* under the lock: oldest first, and where the next one goes */
	size_t count;   /* under the lock */
	bool is_closed; /* the reader's */
	void *reader;
	void (*on_taken)(void *reader);
};

/* The reader's thread, or before it runs. on_taken: called when all that had come has been taken; NULL: nothing is. */
void fl_mailbox_init(struct fl_mailbox *box, uv_loop_t *loop, void *reader,
		     void (*on_taken)(void *reader));

/* Any thread, until the box is closed. The letter is the box's until its take() is called. One that is in the box already
 * keeps its place there, so a sender may post a letter again without knowing whether it has been taken. */
void fl_mailbox_post(struct fl_mailbox *box, struct fl_mail *mail);

/* The reader's thread, also from within take(). What is in the box stays untaken: it belongs to whoever posted it again. Once
 * the loop has turned, fl_mailbox_done() may be called. */
void fl_mailbox_close(struct fl_mailbox *box);

/* Frees what the box has; nobody may post any more. */
void fl_mailbox_done(struct fl_mailbox *box);

#endif
