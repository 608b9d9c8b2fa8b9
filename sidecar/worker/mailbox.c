/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker/mailbox.h"

#include "base/err.h"
#include "base/mem.h"

/* Returns NULL if the box is empty. count: how many letters are left, without the returned one. */
static struct fl_mail *take_first(struct fl_mailbox *box)
{
	struct fl_mail *mail;

	uv_mutex_lock(&box->lock);
	mail = box->first;
	if (mail != NULL) {
		box->first = mail->next;
		if (box->first == NULL) {
			box->end = &box->first;
		}
		box->count--;
		mail->is_posted = false;
	}
	uv_mutex_unlock(&box->lock);
	return mail;
}

static size_t count_of(struct fl_mailbox *box)
{
	size_t count;

	uv_mutex_lock(&box->lock);
	count = box->count;
	uv_mutex_unlock(&box->lock);
	return count;
}

/* Letters that arrive in the meantime wake the loop again, so that busy senders do not keep it from
 * its other work. Letters leave the box one at a time, because reading one may post another again,
 * or close the box. */
static void on_wake(uv_async_t *async)
{
	struct fl_mailbox *box = FL_CONTAINER_OF(async, struct fl_mailbox, wake);

	for (size_t left = count_of(box); left > 0 && !box->is_closed; left--) {
		struct fl_mail *mail = take_first(box);

		mail->take(mail, box->reader);
	}
	if (!box->is_closed && box->on_taken != NULL) {
		box->on_taken(box->reader);
	}
}

void fl_mailbox_init(struct fl_mailbox *box, uv_loop_t *loop, void *reader,
		     void (*on_taken)(void *reader))
{
	*box = (struct fl_mailbox){.reader = reader, .on_taken = on_taken};
	box->end = &box->first;
	FL_REQUIRE(uv_mutex_init(&box->lock) == 0);
	FL_REQUIRE(uv_async_init(loop, &box->wake, on_wake) == 0);
}

void fl_mailbox_post(struct fl_mailbox *box, struct fl_mail *mail)
{
	uv_mutex_lock(&box->lock);
	if (!mail->is_posted) {
		mail->is_posted = true;
		mail->next = NULL;
		*box->end = mail;
		box->end = &mail->next;
		box->count++;
	}
	uv_mutex_unlock(&box->lock);
	FL_REQUIRE(uv_async_send(&box->wake) == 0);
}

void fl_mailbox_close(struct fl_mailbox *box)
{
	box->is_closed = true;
	uv_close((uv_handle_t *)&box->wake, NULL);
}

void fl_mailbox_done(struct fl_mailbox *box)
{
	uv_mutex_destroy(&box->lock);
}
