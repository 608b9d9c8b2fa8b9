/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Letters between threads: order, letters that are posted again, the end, and questions to all workers. A plain program, so that it
 * runs under ThreadSanitizer as well; what does not hold ends it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/ask_all.h"
#include "worker/mailbox.h"
#include "worker/question.h"
#include "worker/wanted_names.h"

#define SENDERS 4u
#define LETTERS 5000u /* of each */

/* --- one thread ----------------------------------------------------------------------------------- */

struct letter {
	struct fl_mail mail;
	unsigned number;
};

struct reader {
	uv_loop_t loop;
	struct fl_mailbox box;
	unsigned taken[16], taken_count, batches;
};

static void on_batch(void *user)
{
	((struct reader *)user)->batches++;
}

static void open_reader(struct reader *reader)
{
	*reader = (struct reader){.taken_count = 0};
	FL_REQUIRE(uv_loop_init(&reader->loop) == 0);
	fl_mailbox_init(&reader->box, &reader->loop, reader, on_batch);
}

/* After fl_mailbox_close(). */
static void end_reader(struct reader *reader)
{
	(void)uv_run(&reader->loop, UV_RUN_DEFAULT);
	FL_REQUIRE(uv_loop_close(&reader->loop) == 0);
	fl_mailbox_done(&reader->box);
}

static void close_reader(struct reader *reader)
{
	fl_mailbox_close(&reader->box);
	end_reader(reader);
}

static void note(struct fl_mail *mail, void *user)
{
	struct reader *reader = user;

	reader->taken[reader->taken_count++] = FL_CONTAINER_OF(mail, struct letter, mail)->number;
}

static void letters_are_taken_in_order_and_the_end_of_a_batch_is_told(void)
{
	struct letter letters[3] = {{{.take = note}, 1}, {{.take = note}, 2}, {{.take = note}, 3}};
	struct reader reader;

	open_reader(&reader);
	for (size_t i = 0; i < FL_COUNT_OF(letters); i++) {
		fl_mailbox_post(&reader.box, &letters[i].mail);
	}
	(void)uv_run(&reader.loop, UV_RUN_ONCE);
	FL_REQUIRE(reader.taken_count == 3 && reader.batches == 1);
	FL_REQUIRE(reader.taken[0] == 1 && reader.taken[1] == 2 && reader.taken[2] == 3);
	close_reader(&reader);
}

static void a_letter_in_the_box_keeps_its_place_when_it_is_posted_again(void)
{
	struct letter first = {{.take = note}, 1}, second = {{.take = note}, 2};
	struct reader reader;

	open_reader(&reader);
	fl_mailbox_post(&reader.box, &first.mail);
	fl_mailbox_post(&reader.box, &second.mail);
	fl_mailbox_post(&reader.box, &first.mail);
	(void)uv_run(&reader.loop, UV_RUN_ONCE);
	FL_REQUIRE(reader.taken_count == 2 && reader.taken[0] == 1 && reader.taken[1] == 2);
	fl_mailbox_post(&reader.box, &first.mail);
	(void)uv_run(&reader.loop, UV_RUN_ONCE);
	FL_REQUIRE(reader.taken_count == 3 && reader.taken[2] == 1);
	close_reader(&reader);
}

static void post_again(struct fl_mail *mail, void *user)
{
	struct reader *reader = user;

	note(mail, user);
	if (reader->taken_count < 3) {
		fl_mailbox_post(&reader->box, mail);
	}
}

static void a_letter_posted_while_it_is_read_comes_in_the_next_turn(void)
{
	struct letter letter = {{.take = post_again}, 7};
	struct reader reader;

	open_reader(&reader);
	fl_mailbox_post(&reader.box, &letter.mail);
	(void)uv_run(&reader.loop, UV_RUN_ONCE);
	FL_REQUIRE(reader.taken_count == 1 && reader.batches == 1);
	(void)uv_run(&reader.loop, UV_RUN_ONCE);
	(void)uv_run(&reader.loop, UV_RUN_ONCE);
	FL_REQUIRE(reader.taken_count == 3 && reader.batches == 3);
	close_reader(&reader);
}

static void close_box(struct fl_mail *mail, void *user)
{
	struct reader *reader = user;

	note(mail, user);
	fl_mailbox_close(&reader->box);
}

static void what_is_in_a_box_when_it_is_closed_stays_untaken(void)
{
	struct letter letters[3] = {
		{{.take = note}, 1}, {{.take = close_box}, 2}, {{.take = note}, 3}};
	struct reader reader;

	open_reader(&reader);
	for (size_t i = 0; i < FL_COUNT_OF(letters); i++) {
		fl_mailbox_post(&reader.box, &letters[i].mail);
	}
	end_reader(&reader);
	FL_REQUIRE(reader.taken_count == 2 && reader.taken[1] == 2 && reader.batches == 0);
}

/* --- many senders --------------------------------------------------------------------------------- */

struct numbered {
	struct fl_mail mail;
	unsigned sender, number;
};

struct inbox {
	uv_loop_t loop;
	struct fl_mailbox box;
	unsigned next[SENDERS], left;
};

static void expect_next(struct fl_mail *mail, void *user)
{
	struct numbered *letter = FL_CONTAINER_OF(mail, struct numbered, mail);
	struct inbox *inbox = user;

	FL_REQUIRE(letter->number == inbox->next[letter->sender]);
	inbox->next[letter->sender]++;
	free(letter);
	if (--inbox->left == 0) {
		fl_mailbox_close(&inbox->box);
	}
}

struct sender {
	uv_thread_t thread;
	struct inbox *inbox;
	unsigned number;
};

static void send_all(void *user)
{
	struct sender *sender = user;

	for (unsigned i = 0; i < LETTERS; i++) {
		struct numbered *letter = fl_new(sizeof(*letter));

		*letter = (struct numbered){{.take = expect_next}, sender->number, i};
		fl_mailbox_post(&sender->inbox->box, &letter->mail);
	}
}

static void every_letter_of_many_threads_arrives_in_the_order_of_its_sender(void)
{
	struct inbox inbox = {.left = SENDERS * LETTERS};
	struct sender senders[SENDERS];

	FL_REQUIRE(uv_loop_init(&inbox.loop) == 0);
	fl_mailbox_init(&inbox.box, &inbox.loop, &inbox, NULL);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){.inbox = &inbox, .number = i};
		FL_REQUIRE(uv_thread_create(&senders[i].thread, send_all, &senders[i]) == 0);
	}
	(void)uv_run(&inbox.loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < SENDERS; i++) {
		FL_REQUIRE(inbox.next[i] == LETTERS);
		FL_REQUIRE(uv_thread_join(&senders[i].thread) == 0);
	}
	FL_REQUIRE(uv_loop_close(&inbox.loop) == 0);
	fl_mailbox_done(&inbox.box);
}

/* --- names that are wanted ------------------------------------------------------------------------ */

#define NAMES 3000u

struct resolver {
	uv_loop_t loop;
	struct fl_mailbox box;
	struct fl_wanted_names wanted;
	unsigned asked[NAMES], different;
};

static void want(void *user, size_t bit)
{
	struct resolver *resolver = user;

	FL_REQUIRE(bit < NAMES);
	resolver->different += resolver->asked[bit]++ == 0;
}

static void take_wanted(struct fl_mail *mail, void *user)
{
	struct resolver *resolver = user;

	FL_REQUIRE(mail == &resolver->wanted.mail);
	fl_wanted_names_take(&resolver->wanted, want, resolver);
	if (resolver->different == NAMES) {
		fl_mailbox_close(&resolver->box);
	}
}

/* Ten connections wait for each name; the numbers go round three times. */
static void want_all(void *user)
{
	struct resolver *resolver = user;

	for (unsigned i = 0; i < NAMES; i++) {
		for (unsigned k = 0; k < 10; k++) {
			fl_wanted_names_add(&resolver->wanted, i + k % 3 * FL_WANTED_NAMES,
					    &resolver->box);
		}
	}
}

static void each_name_that_is_wanted_is_asked_once_by_a_reader_that_comes_late(void)
{
	static struct resolver resolver;
	uv_thread_t thread;
	unsigned asked = 0;

	FL_REQUIRE(uv_loop_init(&resolver.loop) == 0);
	fl_mailbox_init(&resolver.box, &resolver.loop, &resolver, NULL);
	resolver.wanted.mail.take = take_wanted;
	FL_REQUIRE(uv_thread_create(&thread, want_all, &resolver) == 0);
	(void)uv_thread_join(&thread); /* all of them wait in one letter */
	(void)uv_run(&resolver.loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < NAMES; i++) {
		asked += resolver.asked[i];
	}
	FL_REQUIRE(asked == NAMES);
	FL_REQUIRE(uv_loop_close(&resolver.loop) == 0);
	fl_mailbox_done(&resolver.box);
}

/* The same, while the reader takes them: none is lost. */
static void a_name_that_is_wanted_while_others_are_read_is_not_lost(void)
{
	static struct resolver resolver;
	uv_thread_t thread;

	FL_REQUIRE(uv_loop_init(&resolver.loop) == 0);
	fl_mailbox_init(&resolver.box, &resolver.loop, &resolver, NULL);
	resolver.wanted.mail.take = take_wanted;
	FL_REQUIRE(uv_thread_create(&thread, want_all, &resolver) == 0);
	while (resolver.different < NAMES) {
		(void)uv_run(&resolver.loop, UV_RUN_ONCE);
	}
	(void)uv_thread_join(&thread);
	(void)uv_run(&resolver.loop, UV_RUN_DEFAULT);
	FL_REQUIRE(uv_loop_close(&resolver.loop) == 0);
	fl_mailbox_done(&resolver.box);
}

/* --- questions to all workers --------------------------------------------------------------------- */

struct worker {
	uv_thread_t thread;
	uv_loop_t loop;
	struct fl_mailbox box;
	unsigned number;
	struct fl_mail stop;
	struct fl_question *held; /* not answered yet */
};

struct part {
	unsigned worker, round;
};

struct asker {
	uv_loop_t loop;
	struct fl_mailbox box;
	struct worker workers[SENDERS];
	struct fl_mailbox *boxes[SENDERS];
	struct fl_ask_all ask;
	struct part parts[SENDERS];
	unsigned rounds, rounds_wanted;
};

static void run_worker(void *user)
{
	(void)uv_run(&((struct worker *)user)->loop, UV_RUN_DEFAULT);
}

static void stop_worker(struct fl_mail *mail, void *user)
{
	struct worker *worker = user;

	(void)mail;
	fl_mailbox_close(&worker->box);
}

static void start_workers(struct asker *asker)
{
	FL_REQUIRE(uv_loop_init(&asker->loop) == 0);
	fl_mailbox_init(&asker->box, &asker->loop, asker, NULL);
	for (unsigned i = 0; i < SENDERS; i++) {
		struct worker *worker = &asker->workers[i];

		worker->number = i;
		worker->stop.take = stop_worker;
		FL_REQUIRE(uv_loop_init(&worker->loop) == 0);
		fl_mailbox_init(&worker->box, &worker->loop, worker, NULL);
		asker->boxes[i] = &worker->box;
		FL_REQUIRE(uv_thread_create(&worker->thread, run_worker, worker) == 0);
	}
}

static void stop_workers(struct asker *asker)
{
	for (unsigned i = 0; i < SENDERS; i++) {
		struct worker *worker = &asker->workers[i];

		fl_mailbox_post(&worker->box, &worker->stop);
		FL_REQUIRE(uv_thread_join(&worker->thread) == 0);
		FL_REQUIRE(uv_loop_close(&worker->loop) == 0);
		fl_mailbox_done(&worker->box);
	}
	fl_mailbox_close(&asker->box);
	fl_ask_all_done(&asker->ask);
	(void)uv_run(&asker->loop, UV_RUN_DEFAULT);
	FL_REQUIRE(uv_loop_close(&asker->loop) == 0);
	fl_mailbox_done(&asker->box);
}

static void fill(void *reader, void *user, struct fl_question *question)
{
	const struct worker *worker = reader;
	struct part *part = user;

	part->worker = worker->number;
	part->round++;
	fl_question_answered(question);
}

static void hold(void *reader, void *user, struct fl_question *question)
{
	struct worker *worker = reader;

	(void)user;
	worker->held = question;
}

static void ask(struct asker *asker, fl_ask_cb cb);

static void on_all(void *user)
{
	struct asker *asker = user;

	asker->rounds++;
	for (unsigned i = 0; i < SENDERS; i++) {
		FL_REQUIRE(asker->parts[i].worker == i && asker->parts[i].round == asker->rounds);
	}
	fl_ask_all_done(&asker->ask);
	if (asker->rounds < asker->rounds_wanted) {
		ask(asker, fill);
	} else {
		uv_stop(&asker->loop);
	}
}

static void ask(struct asker *asker, fl_ask_cb cb)
{
	FL_REQUIRE(fl_ask_all_begin(&asker->ask,
				    &(struct fl_ask_all_plan){.asker = &asker->box,
							      .asked = asker->boxes,
							      .count = SENDERS,
							      .ask = cb,
							      .parts = asker->parts,
							      .part_size = sizeof(asker->parts[0]),
							      .on_all = on_all,
							      .user = asker}));
}

static void all_workers_answer_and_the_asker_is_called_once_for_all(void)
{
	struct asker asker = {.rounds_wanted = 100};

	start_workers(&asker);
	ask(&asker, fill);
	(void)uv_run(&asker.loop, UV_RUN_DEFAULT);
	FL_REQUIRE(asker.rounds == 100);
	stop_workers(&asker);
}

/* As the sidecar's end does it: workers have taken the question and end without an answer. */
static void questions_that_nobody_has_answered_can_be_dropped_at_the_end(void)
{
	struct asker asker = {.rounds_wanted = 1};

	start_workers(&asker);
	ask(&asker, hold);
	stop_workers(&asker);
	FL_REQUIRE(asker.rounds == 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		FL_REQUIRE(asker.workers[i].held != NULL);
	}
}

/* One answer is in the asker's mailbox when that is closed. */
static void an_answer_that_comes_too_late_is_not_taken(void)
{
	struct asker asker = {.rounds_wanted = 1};

	start_workers(&asker);
	ask(&asker, fill);
	stop_workers(&asker);
	FL_REQUIRE(asker.rounds == 0);
}

int main(void)
{
	letters_are_taken_in_order_and_the_end_of_a_batch_is_told();
	a_letter_in_the_box_keeps_its_place_when_it_is_posted_again();
	a_letter_posted_while_it_is_read_comes_in_the_next_turn();
	what_is_in_a_box_when_it_is_closed_stays_untaken();
	every_letter_of_many_threads_arrives_in_the_order_of_its_sender();
	each_name_that_is_wanted_is_asked_once_by_a_reader_that_comes_late();
	a_name_that_is_wanted_while_others_are_read_is_not_lost();
	all_workers_answer_and_the_asker_is_called_once_for_all();
	questions_that_nobody_has_answered_can_be_dropped_at_the_end();
	an_answer_that_comes_too_late_is_not_taken();
	(void)puts("all hold");
	return 0;
}
