/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frames of a session: what is written is read, wherever it is cut, and everything else is broken for ever. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "wire/frame.h"

#define IPV4 "\x04\x00\x50\x0a\x00\x00\x01"
#define NONE "\x00"
#define OPEN_BODY(number) "\x00\x00\x00" number "\x00\x00\x00\x00\x00\x00\x00\x07"
#define OPEN(number) "\x01\x00\x00\x0f" OPEN_BODY(number) "\x00" NONE NONE
#define STATUS(number, code) "\x04\x00\x00\x06\x00\x00\x00" number code NONE
#define DATA                                                                                       \
	"\x02\x00\x00\x03"                                                                         \
	"abc"
#define END "\x03\x00\x00\x00"
#define RETIRE "\x05\x00\x00\x00"
#define BYTES(literal) ((struct fl_span){(const uint8_t *)(literal), sizeof(literal) - 1})

static const struct fl_framing_open an_open = {
	.generation = 0x0102030405060708,
	.destination = {.ip = {10, 0, 0, 1}, .port = 80, .family = AF_INET},
	.source = {.ip = {0xfd, [15] = 9}, .port = 65535, .family = AF_INET6},
};

/* What came out of some bytes, as a text: "O1 D(abc) E S0 R !" */
struct told {
	char text[512];
	enum fl_framing_fault fault;
	struct fl_framing_open open;
	struct fl_framing_status status;
	bool in_data; /* the last event was DATA, which goes on */
};

static void say(struct told *told, const char *word)
{
	size_t len = strlen(told->text);

	if (told->in_data) {
		len += (size_t)snprintf(told->text + len, sizeof(told->text) - len, ")");
		told->in_data = false;
	}
	snprintf(told->text + len, sizeof(told->text) - len, "%s%s", len > 0 ? " " : "", word);
}

static void tell_data(struct told *told, struct fl_span data)
{
	size_t len;

	cr_assert_gt(data.len, 0);
	if (!told->in_data) {
		say(told, "D(");
		told->in_data = true;
	}
	len = strlen(told->text);
	snprintf(told->text + len, sizeof(told->text) - len, "%.*s", (int)data.len,
		 (const char *)data.data);
}

static void tell(struct told *told, const struct fl_framing *framing, enum fl_framing_event event,
		 const struct fl_framing_read *read)
{
	char word[32];

	switch (event) {
	case FL_FRAMING_OPEN:
		told->open = read->open;
		snprintf(word, sizeof(word), "%s%u", read->open.is_late ? "L" : "O",
			 framing->number);
		say(told, word);
		break;
	case FL_FRAMING_DATA:
		tell_data(told, read->data);
		break;
	case FL_FRAMING_END:
		say(told, "E");
		break;
	case FL_FRAMING_STATUS:
		told->status = read->status;
		snprintf(word, sizeof(word), "S%d", (int)read->status.code);
		say(told, word);
		break;
	case FL_FRAMING_RETIRE:
		say(told, "R");
		break;
	case FL_FRAMING_BROKEN:
		told->fault = read->fault;
		say(told, "!");
		break;
	case FL_FRAMING_NEED_MORE:
	default:
		break;
	}
}

static void feed(struct fl_framing *framing, struct told *told, struct fl_span in)
{
	struct fl_framing_read read;
	enum fl_framing_event event;

	do {
		size_t before = in.len;

		event = fl_framing_read(framing, &in, &read);
		cr_assert(event == FL_FRAMING_NEED_MORE || event == FL_FRAMING_BROKEN ||
			  in.len < before);
		tell(told, framing, event, &read);
	} while (event != FL_FRAMING_NEED_MORE && event != FL_FRAMING_BROKEN);
	cr_assert(event == FL_FRAMING_BROKEN || in.len == 0);
}

/* In two pieces. */
static struct told feed_cut(struct fl_framing *framing, struct fl_span in, size_t cut)
{
	struct told told = {.text = ""};

	feed(framing, &told, (struct fl_span){in.data, cut});
	if (told.fault == FL_FRAMING_FAULT_NONE) {
		feed(framing, &told, (struct fl_span){in.data + cut, in.len - cut});
	}
	if (told.in_data) {
		strncat(told.text, ")", sizeof(told.text) - strlen(told.text) - 1);
	}
	return told;
}

/* Everywhere that it can be cut, the same comes out: this. Leaves the framing behind all of it. */
static struct told expect(struct fl_framing *framing, struct fl_span in, const char *text)
{
	struct fl_framing copy, after = *framing;
	struct told told = feed_cut(&after, in, in.len);

	cr_assert_str_eq(told.text, text);
	for (size_t cut = 0; cut < in.len; cut++) {
		struct told again;

		copy = *framing;
		again = feed_cut(&copy, in, cut);
		cr_assert_str_eq(again.text, text, "%s, not %s: cut at %zu", again.text, text, cut);
		cr_assert_eq(again.fault, told.fault);
		cr_assert_eq(fl_framing_is_idle(&copy), fl_framing_is_idle(&after));
	}
	*framing = after;
	return told;
}

/* A client that has opened its first use. */
static struct fl_framing opened_client(void)
{
	struct fl_framing client;
	uint8_t out[FL_FRAME_OPEN_MAX];

	fl_framing_init(&client, FL_FRAMING_CLIENT);
	fl_framing_put_open(&client, out, &an_open);
	return client;
}

static struct fl_framing opened_server(void)
{
	struct fl_framing server;

	fl_framing_init(&server, FL_FRAMING_SERVER);
	expect(&server, BYTES(OPEN("\x01")), "O1");
	return server;
}

static void put_status(struct fl_framing *server, enum fl_status code)
{
	struct fl_framing_status status = {.code = code};
	uint8_t out[FL_FRAME_STATUS_MAX];

	cr_assert_eq(fl_framing_put_status(server, out, &status), FL_FRAME_HEADER + 6);
	cr_assert_arr_eq(out, "\x04\x00\x00\x06\x00\x00\x00", 7);
	cr_assert_eq(out[7], server->number);
	cr_assert_eq(out[8], code);
}

static void put_end(struct fl_framing *framing)
{
	uint8_t out[FL_FRAME_HEADER];

	cr_assert_eq(fl_framing_put_end(framing, out), FL_FRAME_HEADER);
	cr_assert_arr_eq(out, END, FL_FRAME_HEADER);
}

Test(frame, it_is_small)
{
	cr_expect_leq(sizeof(struct fl_framing), 100);
}

Test(frame, open_and_status_come_through)
{
	struct fl_framing client, server;
	struct fl_framing_status status = {
		.code = FL_STATUS_OPENED,
		.local = {.ip = {10, 9, 8, 7}, .port = 8443, .family = AF_INET},
	};
	uint8_t out[FL_FRAME_OPEN_MAX];
	struct told told;
	size_t len;

	fl_framing_init(&client, FL_FRAMING_CLIENT);
	fl_framing_init(&server, FL_FRAMING_SERVER);
	len = fl_framing_put_open(&client, out, &an_open);
	told = expect(&server, (struct fl_span){out, len}, "O1");
	cr_expect_eq(told.open.generation, an_open.generation);
	cr_expect(fl_inet_equal(&told.open.destination, &an_open.destination));
	cr_expect(fl_inet_equal(&told.open.source, &an_open.source));
	cr_expect(!told.open.is_late);
	len = fl_framing_put_status(&server, out, &status);
	told = expect(&client, (struct fl_span){out, len}, "S0");
	cr_expect(fl_inet_equal(&told.status.local, &status.local));
}

Test(frame, the_largest_frames_have_room)
{
	struct fl_framing framing;
	struct fl_framing_open open = an_open;
	uint8_t out[FL_FRAME_OPEN_MAX];

	open.destination = open.source;
	fl_framing_init(&framing, FL_FRAMING_CLIENT);
	cr_expect_eq(fl_framing_put_open(&framing, out, &open), FL_FRAME_OPEN_MAX);
}

Test(frame, a_use_after_another)
{
	struct fl_framing client, server;
	uint8_t out[FL_FRAME_HEADROOM];
	size_t len;

	fl_framing_init(&client, FL_FRAMING_CLIENT);
	fl_framing_init(&server, FL_FRAMING_SERVER);
	for (unsigned use = 1; use <= 3; use++) {
		char text[32];

		cr_assert(fl_framing_is_idle(&client) && fl_framing_is_idle(&server));
		cr_assert(fl_framing_may_open(&client) && !fl_framing_may_put(&client));
		len = fl_framing_put_open(&client, out, &an_open);
		len += fl_framing_put_header(&client, out + len, 3);
		snprintf(text, sizeof(text), "O%u", use);
		expect(&server, (struct fl_span){out, len}, text);
		expect(&server, BYTES("abc"), "D(abc)");
		cr_assert(!fl_framing_may_open(&client) && !fl_framing_may_put(&server));
		put_end(&client);
		expect(&server, BYTES(END), "E");
		cr_assert(!fl_framing_is_idle(&server), "half-closed");
		put_status(&server, FL_STATUS_OPENED);
		put_end(&server);
		cr_assert(fl_framing_is_idle(&server));
		memcpy(out, STATUS("\x01", "\x00") DATA END, 21);
		out[7] = (uint8_t)use;
		expect(&client, (struct fl_span){out, 21}, "S0 D(abc) E");
	}
	cr_expect_eq(client.number, 3);
	cr_expect_eq(server.number, 3);
}

Test(frame, the_server_may_speak_first_and_end_first)
{
	struct fl_framing client = opened_client();

	expect(&client, BYTES(STATUS("\x01", "\x00") DATA END), "S0 D(abc) E");
	cr_expect(!fl_framing_may_open(&client), "its own END is missing");
	cr_expect(fl_framing_may_put(&client));
	put_end(&client);
	cr_expect(fl_framing_may_open(&client));
}

/* --- RETIRE ------------------------------------------------------------------------------------- */

Test(frame, retire_lets_a_use_go_on_and_no_other_begin)
{
	struct fl_framing client = opened_client();

	expect(&client, BYTES(STATUS("\x01", "\x00") RETIRE DATA), "S0 R D(abc)");
	cr_expect(fl_framing_may_put(&client));
	put_end(&client);
	expect(&client, BYTES(END), "E");
	cr_expect(fl_framing_is_idle(&client));
	cr_expect(!fl_framing_may_open(&client));
}

Test(frame, an_open_that_crosses_retire_is_late_and_nothing_of_it_is_delivered)
{
	struct fl_framing server;
	uint8_t out[FL_FRAME_HEADER];

	fl_framing_init(&server, FL_FRAMING_SERVER);
	cr_assert_eq(fl_framing_put_retire(&server, out), FL_FRAME_HEADER);
	cr_assert_arr_eq(out, RETIRE, FL_FRAME_HEADER);
	cr_assert_eq(fl_framing_put_retire(&server, out), 0, "it is said once");
	expect(&server, BYTES(OPEN("\x01") DATA END OPEN("\x02") "anything"), "L1");
	cr_assert(!fl_framing_may_put(&server));
	put_status(&server, FL_STATUS_NOT_OPENED);
	expect(&server, BYTES(DATA "\xff\xff\xff\xff"), "");
	cr_assert(!fl_framing_may_put(&server) && !fl_framing_is_idle(&server));
}

Test(frame, an_open_that_was_read_before_retire_goes_on)
{
	struct fl_framing server = opened_server();
	uint8_t out[FL_FRAME_HEADER];

	cr_assert_eq(fl_framing_put_retire(&server, out), FL_FRAME_HEADER);
	put_status(&server, FL_STATUS_OPENED);
	expect(&server, BYTES(DATA END), "D(abc) E");
	put_end(&server);
	expect(&server, BYTES(OPEN("\x02")), "L2");
}

Test(frame, a_refusal_is_the_end)
{
	for (int code = FL_STATUS_OPENED + 1; code <= FL_STATUS_LAST; code++) {
		struct fl_framing client = opened_client(), server = opened_server();
		uint8_t in[] = STATUS("\x01", "\x00") END, out[FL_FRAME_HEADER];
		struct told told;

		expect(&server,
		       BYTES("\x02\x00\x00\x03"
			     "a"),
		       "D(a)");
		put_status(&server, (enum fl_status)code);
		expect(&server, BYTES("bc" DATA END), "");
		cr_expect_eq(fl_framing_put_retire(&server, out), 0);
		in[8] = (uint8_t)code;
		expect(&client, (struct fl_span){in, 10}, (char[]){'S', (char)('0' + code), 0});
		cr_expect(!fl_framing_may_put(&client) && !fl_framing_may_open(&client));
		told = expect(&client, BYTES(END), "!");
		cr_expect_eq(told.fault, FL_FRAMING_FAULT_REFUSED);
	}
}

/* --- what a peer may not do ------------------------------------------------------------------------ */

struct wrong {
	enum fl_framing_role reader;
	bool is_open; /* a use has begun, and the server has answered nothing */
	struct fl_span in;
	const char *text;
	enum fl_framing_fault fault;
};

#define SERVER_IDLE FL_FRAMING_SERVER, false
#define SERVER_OPEN FL_FRAMING_SERVER, true
#define CLIENT_IDLE FL_FRAMING_CLIENT, false
#define CLIENT_OPEN FL_FRAMING_CLIENT, true
#define ROW(where, in, text, fault)                                                                \
	{                                                                                          \
		where, {(const uint8_t *)(in), sizeof(in) - 1}, text, FL_FRAMING_FAULT_##fault     \
	}

static const struct wrong wrongs[] = {
	ROW(SERVER_IDLE, "\x00\x00\x00\x00", "!", TYPE),
	ROW(SERVER_IDLE, "\x06\x00\x00\x00", "!", TYPE),
	ROW(SERVER_IDLE, "\x81\x00\x00\x0f", "!", TYPE),
	ROW(SERVER_IDLE, "GET ", "!", TYPE),
	ROW(SERVER_IDLE, RETIRE, "!", ROLE),
	ROW(SERVER_IDLE, STATUS("\x01", "\x00"), "!", ROLE),
	ROW(CLIENT_OPEN, OPEN("\x02"), "!", ROLE),
	/* Lengths, as soon as the header is there. */
	ROW(SERVER_IDLE, "\x01\x00\x00\x0e", "!", LENGTH),
	ROW(SERVER_IDLE, "\x01\x00\x00\x34", "!", LENGTH),
	ROW(SERVER_IDLE, "\x01\xff\xff\xff", "!", LENGTH),
	ROW(SERVER_OPEN, "\x02\x00\x00\x00", "!", LENGTH),
	ROW(SERVER_OPEN, "\x03\x00\x00\x01", "!", LENGTH),
	ROW(CLIENT_OPEN, "\x04\x00\x00\x05", "!", LENGTH),
	ROW(CLIENT_OPEN, "\x04\x00\x00\x19", "!", LENGTH),
	ROW(CLIENT_IDLE, "\x05\x01\x00\x00", "!", LENGTH),
	/* The order. */
	ROW(SERVER_IDLE, DATA, "!", STRAY),
	ROW(SERVER_IDLE, END, "!", STRAY),
	ROW(SERVER_OPEN, OPEN("\x02"), "!", OPEN_EARLY),
	ROW(SERVER_OPEN, DATA END OPEN("\x02"), "D(abc) E !", OPEN_EARLY),
	ROW(SERVER_OPEN, DATA END DATA, "D(abc) E !", STRAY),
	ROW(SERVER_OPEN, DATA END END, "D(abc) E !", STRAY),
	ROW(CLIENT_IDLE, DATA, "!", STRAY),
	ROW(CLIENT_IDLE, END, "!", STRAY),
	ROW(CLIENT_IDLE, STATUS("\x00", "\x00"), "!", STATUS_STRAY),
	ROW(CLIENT_IDLE, STATUS("\x01", "\x00"), "!", STATUS_STRAY),
	ROW(CLIENT_IDLE, RETIRE RETIRE, "R !", RETIRE_TWICE),
	ROW(CLIENT_OPEN, DATA, "!", EARLY),
	ROW(CLIENT_OPEN, END, "!", EARLY),
	ROW(CLIENT_OPEN, STATUS("\x01", "\x00") STATUS("\x01", "\x00"), "S0 !", STATUS_STRAY),
	ROW(CLIENT_OPEN, STATUS("\x01", "\x00") END DATA, "S0 E !", STRAY),
	ROW(CLIENT_OPEN, STATUS("\x01", "\x00") END END, "S0 E !", STRAY),
	ROW(CLIENT_OPEN, STATUS("\x01", "\x01") RETIRE, "S1 !", REFUSED),
	/* Numbers. */
	ROW(SERVER_IDLE, OPEN("\x00"), "!", OPEN_NUMBER),
	ROW(SERVER_IDLE, OPEN("\x02"), "!", OPEN_NUMBER),
	ROW(CLIENT_OPEN, STATUS("\x00", "\x00"), "!", STATUS_NUMBER),
	ROW(CLIENT_OPEN, STATUS("\x02", "\x00"), "!", STATUS_NUMBER),
	ROW(CLIENT_OPEN, STATUS("\x01", "\x06"), "!", STATUS_CODE),
	/* What OPEN and STATUS contain. */
	ROW(SERVER_IDLE, "\x01\x00\x00\x0f" OPEN_BODY("\x01") "\x01" NONE NONE, "!", OPEN_FLAGS),
	ROW(SERVER_IDLE, "\x01\x00\x00\x0f" OPEN_BODY("\x01") "\x00" NONE "\x04", "!", ADDRESS),
	ROW(SERVER_IDLE, "\x01\x00\x00\x0f" OPEN_BODY("\x01") "\x00\x05" NONE, "!", ADDRESS),
	ROW(SERVER_IDLE, "\x01\x00\x00\x10" OPEN_BODY("\x01") "\x00" NONE NONE "x", "!", ADDRESS),
	ROW(SERVER_IDLE, "\x01\x00\x00\x14" OPEN_BODY("\x01") "\x00" IPV4, "!", ADDRESS),
	ROW(SERVER_IDLE,
	    "\x01\x00\x00\x14" OPEN_BODY("\x01") "\x00" NONE "\x04\x00\x50\x0a\x00\x00", "!",
	    ADDRESS),
	ROW(SERVER_IDLE,
	    "\x01\x00\x00\x21" OPEN_BODY(
		    "\x01") "\x00" NONE "\x06\x00\x50\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01",
	    "!", ADDRESS),
	ROW(CLIENT_OPEN, "\x04\x00\x00\x07\x00\x00\x00\x01\x00" NONE NONE, "!", ADDRESS),
	ROW(CLIENT_OPEN, "\x04\x00\x00\x08\x00\x00\x00\x01\x00\x04\x00\x50", "!", ADDRESS),
};

Test(frame, what_is_wrong_is_broken_for_ever)
{
	for (size_t i = 0; i < FL_COUNT_OF(wrongs); i++) {
		const struct wrong *wrong = &wrongs[i];
		bool is_client = wrong->reader == FL_FRAMING_CLIENT;
		struct fl_framing framing;
		struct told told;

		fl_framing_init(&framing, wrong->reader);
		if (wrong->is_open) {
			framing = is_client ? opened_client() : opened_server();
		}
		told = expect(&framing, wrong->in, wrong->text);
		cr_assert_eq(told.fault, wrong->fault, "row %zu: %s", i,
			     fl_framing_fault_text(told.fault));
		told = expect(&framing, BYTES(OPEN("\x01") RETIRE), "!");
		cr_assert_eq(told.fault, wrong->fault);
		cr_assert(!fl_framing_is_idle(&framing) && !fl_framing_may_put(&framing));
		cr_assert(!fl_framing_may_open(&framing));
	}
}

Test(frame, a_part_of_a_frame_is_no_rest)
{
	struct fl_framing client, server;

	fl_framing_init(&client, FL_FRAMING_CLIENT);
	fl_framing_init(&server, FL_FRAMING_SERVER);
	expect(&client, BYTES("\x05\x00\x00"), "");
	cr_expect(!fl_framing_is_idle(&client) && !fl_framing_may_open(&client));
	expect(&server, BYTES("\x01"), "");
	cr_expect(!fl_framing_is_idle(&server));
}

Test(frame, numbers_do_not_wrap)
{
	struct fl_framing client, server;

	fl_framing_init(&client, FL_FRAMING_CLIENT);
	fl_framing_init(&server, FL_FRAMING_SERVER);
	client.number = server.number = UINT32_MAX;
	cr_expect(!fl_framing_may_open(&client));
	expect(&server, BYTES(OPEN("\x00")), "!");
}

/* Each direction of the use before has to have ended, whichever ends last. */
Test(frame, an_open_waits_for_both_ends)
{
	struct fl_framing server = opened_server(), other;

	put_status(&server, FL_STATUS_OPENED);
	put_end(&server);
	other = server;
	expect(&server, BYTES(END OPEN("\x02")), "E O2");
	expect(&other, BYTES(DATA OPEN("\x02")), "D(abc) !");
	cr_expect_eq(other.fault, FL_FRAMING_FAULT_OPEN_EARLY);
}

/* --- what this side may not do ------------------------------------------------------------------------ */

#define DIES(name, body)                                                                           \
	Test(frame, name, .signal = SIGABRT)                                                       \
	{                                                                                          \
		uint8_t out[FL_FRAME_HEADROOM];                                                    \
		struct fl_framing client = opened_client(), server = opened_server();              \
                                                                                                   \
		(void)out;                                                                         \
		(void)client;                                                                      \
		(void)server;                                                                      \
		body;                                                                              \
	}

DIES(a_second_open_before_the_end_is_a_bug, fl_framing_put_open(&client, out, &an_open))
DIES(an_open_of_a_server_is_a_bug, fl_framing_put_open(&server, out, &an_open))
DIES(data_before_status_is_a_bug, fl_framing_put_header(&server, out, 1))
DIES(empty_data_is_a_bug, fl_framing_put_header(&client, out, 0))
DIES(too_much_data_is_a_bug, fl_framing_put_header(&client, out, FL_FRAME_DATA_MAX + 1))
DIES(data_after_end_is_a_bug, {
	put_end(&client);
	fl_framing_put_header(&client, out, 1);
})
DIES(a_second_end_is_a_bug, {
	put_end(&client);
	fl_framing_put_end(&client, out);
})
DIES(a_second_status_is_a_bug, {
	put_status(&server, FL_STATUS_OPENED);
	put_status(&server, FL_STATUS_OPENED);
})
DIES(a_second_refusal_is_a_bug, {
	put_status(&server, FL_STATUS_DENIED);
	put_status(&server, FL_STATUS_NOT_OPENED);
})
DIES(data_after_a_refusal_is_a_bug, {
	put_status(&server, FL_STATUS_DENIED);
	fl_framing_put_header(&server, out, 1);
})
DIES(opening_late_is_a_bug, {
	fl_framing_init(&server, FL_FRAMING_SERVER);
	fl_framing_put_retire(&server, out);
	expect(&server, BYTES(OPEN("\x01")), "L1");
	put_status(&server, FL_STATUS_OPENED);
})
DIES(retire_of_a_client_is_a_bug, fl_framing_put_retire(&client, out))
