/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Open captured connections, and names: which section judges one after a change, while DNS has not answered yet, and when its
 * address is not in the answer any more. A preview has to say the same. */
#include "dial_bench.h"

#include "conn/stream.h"

TestSuite(named, .init = open_heart, .fini = close_heart);

/* Numbers of the sections that the INIs below add. */
#define FAR 2u
#define NET 3u

#define FAR_MTLS "[upstream far]\nto = far.example:1-65535\n"
#define FAR_PLAIN FAR_MTLS "mode = plaintext\n"
#define NET_MTLS "[upstream net]\nto = 127.0.0.0/8:1-65535\n"
#define ELSE "peer = spiffe://prod.example/else\n"
#define REFUSE "[outbound]\ndefault = refuse\n"

/* What the map has, besides the name of FAR. */
enum what {
	NOTHING,
	ADDRESS, /* of FAR, whose upstream is not plaintext */
	LOOSE,   /* of FAR, whose upstream is plaintext */
	CLAIM,   /* of another upstream with a fixed listener */
	NETWORK, /* of NET */
	PLAIN_NETWORK,
};

static void add_network(struct fl_upstream_map *map, unsigned kind)
{
	struct fl_cidr net;
	struct fl_err err;

	cr_assert_eq(fl_cidr_parse("127.0.0.0/8", &net, &err), 0);
	fl_upstream_map_add(map, &net, (struct fl_port_range){1, 65535}, NET, kind);
}

static struct fl_upstream_map *map_of(enum fl_name_state state, enum what what)
{
	static const unsigned kinds[] = {[ADDRESS] = FL_MAP_CLAIMS, [LOOSE] = FL_MAP_LOOSE};
	uint16_t port = heart.place_ports[PLACE_OTHER];
	struct fl_upstream_map *map = fl_upstream_map_new();

	fl_upstream_map_add_name(
		map,
		&(struct fl_upstream_name){.host = "far.example",
					   .ports = {1, 65535},
					   .upstream = FAR,
					   .state = state,
					   .has_address = state == FL_NAME_KNOWN,
					   .asked_ms_v4 = state == FL_NAME_KNOWN ? now_ms() : 0});
	switch (what) {
	case NOTHING:
		break;
	case ADDRESS:
	case LOOSE:
		add_address(map, FAR, port, kinds[what]);
		break;
	case CLAIM:
		add_address(map, 0, port, FL_MAP_CLAIMS | FL_MAP_HIDDEN);
		break;
	case NETWORK:
		add_network(map, FL_MAP_CLAIMS);
		break;
	case PLAIN_NETWORK:
		add_network(map, FL_MAP_ORDINARY);
		break;
	}
	return map;
}

struct talk {
	struct side app, peer;
};

/* An app is connected to PLACE_OTHER, under that INI; NOTHING: there is no name. */
static void open_talk(struct talk *talk, const char *extra, enum what what, bool is_tls)
{
	struct sockaddr_in to;

	start_again(NULL);
	heart_take(&heart, &(struct heart_options){
				   .extra = extra,
				   .map = what != NOTHING ? map_of(FL_NAME_KNOWN, what) : NULL});
	to = heart_loopback(heart.place_ports[PLACE_OTHER]);
	heart_pretend_destination((struct sockaddr *)&to);
	heart_connect(&heart, &talk->app, DOOR_CAPTURE_OUT);
	heart_accept(&heart, &talk->peer, PLACE_OTHER);
	if (is_tls) {
		heart_speak_tls(&heart, &talk->peer, FL_TLS_SERVER, "p256");
	}
	side_say(&talk->app, "hello");
	HEART_UNTIL(&heart, side_has(&talk->peer, "hello"));
}

static void close_talk(struct talk *talk)
{
	let_go(&talk->app);
	let_go(&talk->peer);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

static bool goes_on(const struct talk *talk)
{
	heart_settle(&heart);
	return heart_open_connections(&heart) == 1 && !side_was_reset(&talk->app);
}

static void note_preview(void *user)
{
	*(bool *)user = true;
}

static uint64_t previewed_losses(const struct heart_options *options)
{
	bool is_over = false;
	struct fl_preview preview = {.share = heart_candidate(&heart, options),
				     .done = note_preview,
				     .done_user = &is_over};
	uint64_t losses;

	fl_previewer_start(&heart.worker->review.previewer, &preview);
	HEART_UNTIL(&heart, is_over);
	losses = preview.closes[FL_LOSS_POLICY];
	fl_preview_done(&preview);
	return losses;
}

/* Takes that INI, and says whether the connection goes on; a preview must have said so. */
static bool survives(const struct talk *talk, const char *extra, enum fl_name_state state,
		     enum what what)
{
	struct heart_options options = {.extra = extra, .map = map_of(state, what)};
	uint64_t losses = previewed_losses(&options);
	bool lives;

	options.map = map_of(state, what);
	heart_take(&heart, &options);
	lives = goes_on(talk);
	cr_expect_eq(losses, lives ? 0 : 1, "the preview of %s", extra);
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_POLICY_LOST), lives ? 0 : 1);
	return lives;
}

/* --- an address that has left its name --------------------------------------------------------------- */

struct change {
	const char *extra;
	enum fl_name_state state;
	enum what what;
	bool lives;
};

static void try_each(const char *before, enum what what, const struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct change *change = &changes[i];
		struct talk talk;

		open_talk(&talk, before, what, what == ADDRESS);
		cr_expect_eq(survives(&talk, change->extra, change->state, change->what),
			     change->lives, "%zu: %s", i, change->extra);
		close_talk(&talk);
	}
}

Test(named, what_a_name_has_admitted_stays_with_its_section)
{
	static const struct change changes[] = {
		{FAR_MTLS REFUSE, FL_NAME_KNOWN, NOTHING, true},
		{FAR_MTLS REFUSE, FL_NAME_UNASKED, NOTHING, true},
		{FAR_MTLS REFUSE, FL_NAME_MISSING, NOTHING, true},
		{"[upstream far]\nto = more.example:80, FAR.example:1-65535\n" REFUSE,
		 FL_NAME_KNOWN, NOTHING, true},
		/* the section judges as it is now */
		{FAR_MTLS ELSE REFUSE, FL_NAME_KNOWN, NOTHING, false},
		{FAR_MTLS ELSE REFUSE, FL_NAME_UNASKED, NOTHING, false},
		{FAR_MTLS "mode = refuse\n", FL_NAME_KNOWN, NOTHING, false},
		/* it has gone, or what admitted the connection has */
		{REFUSE, FL_NAME_KNOWN, NOTHING, false},
		{"[upstream near]\nto = far.example:1-65535\n" REFUSE, FL_NAME_KNOWN, NOTHING,
		 false},
		{"[upstream near]\nto = near.example:1-65535\n" REFUSE, FL_NAME_UNASKED, NOTHING,
		 false},
		{"[upstream far]\nto = near.example:1-65535\n" REFUSE, FL_NAME_UNASKED, NOTHING,
		 false},
		{"[upstream far]\nto = far.example:1\n" REFUSE, FL_NAME_KNOWN, NOTHING, false},
		{"[upstream far]\nlisten = 127.0.0.1:1\nto = far.example:1\n" REFUSE, FL_NAME_KNOWN,
		 NOTHING, false},
		/* somebody else has the address */
		{FAR_MTLS NET_MTLS ELSE REFUSE, FL_NAME_KNOWN, NETWORK, false},
		{FAR_MTLS ELSE NET_MTLS "mode = plaintext\n", FL_NAME_KNOWN, PLAIN_NETWORK, false},
	};

	try_each(FAR_MTLS REFUSE, ADDRESS, changes, FL_COUNT_OF(changes));
}

Test(named, what_a_plaintext_name_has_admitted_stays_where_dns_could_lead_it)
{
	static const struct change changes[] = {
		{FAR_PLAIN REFUSE, FL_NAME_KNOWN, NOTHING, true},
		{FAR_PLAIN REFUSE, FL_NAME_UNASKED, NOTHING, true},
		{FAR_PLAIN "within = 127.0.0.0/8\n" REFUSE, FL_NAME_KNOWN, NOTHING, true},
		{FAR_PLAIN "within = 10.0.0.0/8\n" REFUSE, FL_NAME_KNOWN, NOTHING, false},
		{FAR_PLAIN REFUSE, FL_NAME_KNOWN, CLAIM, false},
		{FAR_PLAIN NET_MTLS REFUSE, FL_NAME_UNASKED, NETWORK, false},
		{FAR_MTLS REFUSE, FL_NAME_KNOWN, NOTHING, false},
		{FAR_MTLS REFUSE, FL_NAME_UNASKED, NOTHING, false},
		{REFUSE, FL_NAME_KNOWN, NOTHING, false},
	};

	try_each(FAR_PLAIN REFUSE, LOOSE, changes, FL_COUNT_OF(changes));
}

/* The section had the address itself, so the name does not keep it. */
Test(named, an_address_that_the_INI_had_goes_with_it)
{
	struct talk talk;

	open_talk(&talk, "[upstream far]\nto = far.example:1-65535, 127.0.0.1:1-65535\n" REFUSE,
		  ADDRESS, true);
	cr_expect_not(survives(&talk, FAR_MTLS REFUSE, FL_NAME_KNOWN, NOTHING));
	close_talk(&talk);
}

/* Nobody knows which of its names had it. */
Test(named, an_address_goes_with_any_name_that_may_have_had_it)
{
	struct talk talk;

	open_talk(&talk, "[upstream far]\nto = far.example:1-65535, more.example:1-65535\n" REFUSE,
		  ADDRESS, true);
	cr_expect_not(survives(&talk, FAR_MTLS REFUSE, FL_NAME_KNOWN, NOTHING));
	close_talk(&talk);
}

/* --- a name that is not answered yet ------------------------------------------------------------------ */

static void tell(enum fl_name_state state, enum what what)
{
	struct fl_upstream_map *map = map_of(state, what);

	fl_worker_post_upstream_map(heart.worker, map);
	fl_upstream_map_unref(map);
}

static const char *const defaults[] = {"[outbound]\ndefault = plaintext\n",
				       "[outbound]\ndefault = mtls\n"};

static const char *with_default(const char *section, unsigned is_tls)
{
	static char text[512];

	(void)snprintf(text, sizeof(text), "%s%s", section, defaults[is_tls]);
	return text;
}

/* Its peer is not the one that the new section expects. */
Test(named, a_name_without_answer_ends_nothing_until_it_is_answered)
{
	static const enum fl_name_state unknown[] = {FL_NAME_UNASKED, FL_NAME_MISSING,
						     FL_NAME_FAILING};

	for (unsigned is_tls = 0; is_tls < 2; is_tls++) {
		for (size_t i = 0; i < FL_COUNT_OF(unknown); i++) {
			struct talk talk;

			open_talk(&talk, defaults[is_tls], NOTHING, is_tls != 0);
			cr_expect(survives(&talk, with_default(FAR_MTLS ELSE, is_tls), unknown[i],
					   NOTHING));
			tell(unknown[i], NOTHING);
			cr_expect(goes_on(&talk));
			tell(FL_NAME_KNOWN, ADDRESS);
			cr_expect_not(goes_on(&talk));
			cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_POLICY_LOST), 1);
			close_talk(&talk);
		}
	}
}

Test(named, an_answer_with_other_addresses_ends_nothing)
{
	for (unsigned is_tls = 0; is_tls < 2; is_tls++) {
		struct talk talk;

		open_talk(&talk, defaults[is_tls], NOTHING, is_tls != 0);
		cr_expect(survives(&talk, with_default(FAR_MTLS ELSE, is_tls), FL_NAME_UNASKED,
				   NOTHING));
		tell(FL_NAME_KNOWN, NOTHING);
		cr_expect(goes_on(&talk));
		cr_expect_not(fl_stream_conn(fl_stream_first(heart.loop))->awaits_name);
		close_talk(&talk);
	}
}

/* A name that is not answered does not keep it, either: [outbound], or the network, refuses it now. */
Test(named, a_name_without_answer_does_not_keep_what_is_refused)
{
	for (unsigned is_tls = 0; is_tls < 2; is_tls++) {
		struct talk talk;

		open_talk(&talk, defaults[is_tls], NOTHING, is_tls != 0);
		cr_expect_not(survives(&talk, FAR_PLAIN REFUSE, FL_NAME_UNASKED, NOTHING));
		close_talk(&talk);
		open_talk(&talk, defaults[is_tls], NOTHING, is_tls != 0);
		cr_expect_not(survives(&talk, with_default(FAR_PLAIN NET_MTLS ELSE, is_tls),
				       FL_NAME_UNASKED, NETWORK));
		close_talk(&talk);
	}
}

/* The counts of the last judgement are of all at once. This one is judged again with each new map. */
Test(named, a_connection_that_awaits_an_answer_is_counted_once)
{
	const struct fl_judged *last;
	struct talk talk;

	open_talk(&talk, defaults[0], NOTHING, false);
	last = &heart.worker->review.judge.last;
	cr_expect(survives(&talk, with_default(FAR_MTLS ELSE, false), FL_NAME_UNASKED, NOTHING));
	for (unsigned i = 0; i < 3; i++) {
		tell(FL_NAME_UNASKED, NOTHING);
		cr_expect(goes_on(&talk));
	}
	cr_expect_eq(heart.loop->counters.judged, 4);
	cr_expect_eq(last->judged, 1);
	tell(FL_NAME_KNOWN, ADDRESS);
	cr_expect_not(goes_on(&talk));
	cr_expect_eq(last->judged, 1);
	cr_expect_eq(last->closed[FL_LOSS_POLICY], 0);
	close_talk(&talk);
}

/* --- a new connection ---------------------------------------------------------------------------------- */

/* What is open stays with its section; who comes now does not get in there by an address that is not the name's. */
Test(named, a_stale_address_admits_nobody)
{
	struct talk talk;
	struct side app;

	open_talk(&talk, FAR_MTLS REFUSE, ADDRESS, true);
	tell(FL_NAME_KNOWN, NOTHING);
	cr_expect(goes_on(&talk));
	heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
	HEART_UNTIL(&heart, side_was_reset(&app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_OUTBOUND_REFUSED), 1, "%s",
		     heart_log(&heart));
	let_go(&app);
	cr_expect(goes_on(&talk));
	close_talk(&talk);
}
