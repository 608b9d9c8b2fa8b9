/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_MAILBOX_H
#define FL_WORKER_MAILBOX_H
/* mailbox - messages ("letters") between threads. Any thread may post; the reader takes them one by
 * one on its loop. The main thread and each worker have one mailbox each.
 *
 * A letter is a struct that begins with (or holds) a struct fl_mail. Posting links the letter
 * itself, copies nothing and allocates nothing, so it cannot fail. Letters are taken in the order
 * in which they were posted. */
#include <stdbool.h>
#include <uv.h>

struct fl_mail {
	/* Handles the letter on the reader's thread; reader: the one of fl_mailbox_init(). This
	 * function owns the letter: it frees it, keeps it or posts it again. */
	void (*take)(struct fl_mail *mail, void *reader);
	struct fl_mail *next; /* private to the mailbox: zero it before the first use */
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

/* Call on the reader's thread, or before that runs. on_taken: called when all waiting letters have
 * been taken; may be NULL. */
void fl_mailbox_init(struct fl_mailbox *box, uv_loop_t *loop, void *reader,
		     void (*on_taken)(void *reader));

/* Any thread, until the box is closed. The box owns the letter until its take() is called. A letter
 * that is already in the box keeps its place, so a sender may post a letter again without knowing
 * whether it has been taken. */
void fl_mailbox_post(struct fl_mailbox *box, struct fl_mail *mail);

/* Call on the reader's thread, also from within take(). Letters still in the box are not taken:
 * their senders own them again. Once the loop has turned, fl_mailbox_done() may be called. */
void fl_mailbox_close(struct fl_mailbox *box);

/* Frees the box's resources; no thread may post any more. */
void fl_mailbox_done(struct fl_mailbox *box);

#endif
