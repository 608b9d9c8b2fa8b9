/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_FRAME_PAIR_H
#define FL_TESTS_FRAME_PAIR_H
/* frame_pair - the two ends of a session, and what is on the way between them. Header only. Each byte of data depends on its
 * use, its direction and its place: over an honest way, bytes of one use never come out in another, in no other order, and none
 * is missing. A dishonest way changes bytes; then each end still does what its model does. */
#include "frame_model.h"

#define FRAME_WAY_MAX 4096u
#define FRAME_CUTS_MAX 80u /* bytes of a piece that is tried with each cut */

enum {
	FRAME_CLIENT,
	FRAME_SERVER,
};

struct frame_side {
	struct fl_framing framing;
	struct frame_model model;
	uint8_t way[FRAME_WAY_MAX]; /* written, and not yet read by the other side */
	size_t way_len;
	uint32_t sent, got;  /* bytes of data in this use */
	uint32_t sent_in[2]; /* the same of the last two uses, at their ends */
	struct frame_pair *pair;
};

struct frame_pair {
	struct frame_side side[2];
	bool is_honest;
	uint64_t uses, bytes; /* that were read */
};

static inline void frame_pair_init(struct frame_pair *pair, bool is_honest)
{
	pair->is_honest = is_honest;
	for (unsigned i = 0; i < 2; i++) {
		struct frame_side *side = &pair->side[i];

		memset(&side->model, 0, sizeof(side->model));
		side->model.is_client = i == FRAME_CLIENT;
		fl_framing_init(&side->framing,
				i == FRAME_CLIENT ? FL_FRAMING_CLIENT : FL_FRAMING_SERVER);
		side->way_len = 0;
		side->sent = side->got = 0;
		side->pair = pair;
	}
}

static inline uint8_t frame_pair_byte(bool is_up, uint32_t use, uint32_t place)
{
	return (uint8_t)((use * 2654435761u + place * 40503u + is_up * 77u) >> 11);
}

static inline struct fl_framing_open frame_pair_open(uint32_t use)
{
	return (struct fl_framing_open){
		.generation = use * 0x100000001u,
		.destination = {.ip = {10, 1, (uint8_t)use, 3}, .port = 80, .family = AF_INET},
		.source = {.ip = {[15] = (uint8_t)use},
			   .port = (uint16_t)use,
			   .family = use % 3 == 0 ? 0 : AF_INET6},
	};
}

/* --- reading ---------------------------------------------------------------------------------------- */

static inline void frame_pair_check_open(const struct frame_side *side,
					 const struct fl_framing_open *open)
{
	struct fl_framing_open sent = frame_pair_open(side->framing.number);

	sent.source = sent.source.family == 0 ? (struct fl_inet){.family = 0} : sent.source;
	FL_REQUIRE(open->generation == sent.generation);
	FL_REQUIRE(memcmp(&open->destination, &sent.destination, sizeof(sent.destination)) == 0);
	FL_REQUIRE(memcmp(&open->source, &sent.source, sizeof(sent.source)) == 0);
	FL_REQUIRE(!open->is_late || side->framing.retired);
}

static inline void frame_pair_check_data(struct frame_side *side, struct fl_span data)
{
	bool is_up = !side->model.is_client;

	for (size_t i = 0; i < data.len; i++) {
		FL_REQUIRE(data.data[i] == frame_pair_byte(is_up, side->framing.number, side->got));
		side->got++;
	}
	side->pair->bytes += data.len;
}

/* What the side reads over an honest way. */
static inline void frame_pair_check(void *user, enum fl_framing_event event,
				    const struct fl_framing_read *read)
{
	struct frame_side *side = user;
	const struct frame_side *other =
		&side->pair->side[side->model.is_client ? FRAME_SERVER : FRAME_CLIENT];

	if (!side->pair->is_honest) {
		return;
	}
	FL_REQUIRE(event != FL_FRAMING_BROKEN);
	if (event == FL_FRAMING_OPEN) {
		frame_pair_check_open(side, &read->open);
		side->got = side->sent = 0;
		side->pair->uses++;
	} else if (event == FL_FRAMING_DATA) {
		frame_pair_check_data(side, read->data);
	} else if (event == FL_FRAMING_END) {
		FL_REQUIRE(side->got == other->sent_in[side->framing.number % 2]);
	}
}

/* The first bytes that the side's other end wrote, at most `most`. */
static inline void frame_pair_deliver(struct frame_pair *pair, unsigned to, size_t most)
{
	struct frame_side *side = &pair->side[to], *from = &pair->side[1 - to];
	size_t len = from->way_len < most ? from->way_len : most;

	if (len <= FRAME_CUTS_MAX && !side->model.broken) {
		frame_check_cuts(&side->framing, from->way, len);
	}
	frame_feed_both(&side->framing, &side->model, from->way, len, frame_pair_check, side);
	from->way_len -= len;
	memmove(from->way, from->way + len, from->way_len);
}

/* --- writing ---------------------------------------------------------------------------------------- */

static inline void frame_pair_begin_use(struct frame_side *client)
{
	struct fl_framing_open open = frame_pair_open(client->framing.number + 1);
	size_t len = frame_put_open(&client->framing, &client->model, client->way + client->way_len,
				    &open);

	client->way_len += len;
	if (len > 0) {
		client->sent = client->got = 0;
	}
}

static inline void frame_pair_put_data(struct frame_side *side, size_t len)
{
	uint8_t *out = side->way + side->way_len;

	if (frame_put_header(&side->framing, &side->model, out, len) == 0) {
		return;
	}
	for (size_t i = 0; i < len; i++) {
		out[4 + i] =
			frame_pair_byte(side->model.is_client, side->framing.number, side->sent++);
	}
	side->way_len += 4 + len;
}

static inline void frame_pair_put_end(struct frame_side *side)
{
	size_t len = frame_put_end(&side->framing, &side->model, side->way + side->way_len);

	side->way_len += len;
	if (len > 0) {
		side->sent_in[side->framing.number % 2] = side->sent;
	}
}

/* A frame that the side did not write, well formed, and perhaps not legal now. */
static inline void frame_pair_forge(struct frame_side *side, uint32_t random)
{
	static const uint8_t bodies[][16] = {
		{1, 0, 0, 15, 0, 0, 0, 0, 1},
		{2, 0, 0, 3, 'x', 'y', 'z'},
		{3, 0, 0, 0},
		{4, 0, 0, 6, 0, 0, 0, 0},
		{5, 0, 0, 0},
	};
	const uint8_t *body = bodies[random % 5];
	uint8_t *out = side->way + side->way_len;
	size_t len = 4 + (size_t)body[3];

	memset(out, 0, len);
	memcpy(out, body, len < sizeof(bodies[0]) ? len : sizeof(bodies[0]));
	if (body[0] == 1 || body[0] == 4) {
		uint32_t number = side->framing.number + (random >> 8) % 3;

		out[6] = (uint8_t)(number >> 8);
		out[7] = (uint8_t)number;
		out[8] = (random >> 16) % 8 == 0 ? (uint8_t)(random >> 20) % 8 : 0;
	}
	side->way_len += len;
}

/* Changes a byte on the way, leaves one out, doubles one, or appends a frame. */
static inline void frame_pair_spoil(struct frame_side *side, uint32_t random)
{
	size_t at = side->way_len > 0 ? (random >> 4) % side->way_len : 0;

	if (random % 4 != 0) {
		frame_pair_forge(side, random >> 4);
		return;
	}
	if (side->way_len == 0) {
		return;
	}
	switch (random >> 2 & 3) {
	case 0:
		memmove(side->way + at, side->way + at + 1, side->way_len - at - 1);
		side->way_len--;
		break;
	case 1:
		memmove(side->way + at + 1, side->way + at, side->way_len - at);
		side->way_len++;
		break;
	default:
		side->way[at] = (uint8_t)(random >> 24);
		break;
	}
}

/* --- steps ------------------------------------------------------------------------------------------ */

static inline void frame_pair_write(struct frame_pair *pair, uint8_t what, uint32_t random)
{
	uint32_t choice = (random >> 8) % 64;
	struct frame_side *client = &pair->side[FRAME_CLIENT], *server = &pair->side[FRAME_SERVER];
	struct frame_side *side = &pair->side[random & 1];
	enum fl_status code = choice <= FL_STATUS_LAST ? (enum fl_status)choice : FL_STATUS_OPENED;

	if (side->way_len + 512 > FRAME_WAY_MAX || server->way_len + 512 > FRAME_WAY_MAX ||
	    client->way_len + 512 > FRAME_WAY_MAX) {
		return;
	}
	if (what < 60) {
		frame_pair_begin_use(client);
	} else if (what < 100) {
		code = server->model.owes_late ? FL_STATUS_NOT_OPENED : code;
		server->way_len += frame_put_status(&server->framing, &server->model,
						    server->way + server->way_len, code);
	} else if (what < 108) {
		frame_pair_put_data(side, 1 + (random >> 8) % 400);
	} else if (what < 120) {
		frame_pair_put_data(side, 1 + (random >> 8) % 5);
	} else if (what < 150) {
		frame_pair_put_end(side);
	} else if (choice < 8) {
		server->way_len += frame_put_retire(&server->framing, &server->model,
						    server->way + server->way_len);
	}
	frame_check_same(&client->framing, &client->model);
	frame_check_same(&server->framing, &server->model);
}

/* One step; what it is depends on `what`. */
static inline void frame_pair_step(struct frame_pair *pair, uint8_t what, uint32_t random)
{
	if (what <= 150) {
		frame_pair_write(pair, what, random);
	} else if (what < 200) {
		frame_pair_deliver(pair, random & 1, (random >> 8) % 9);
	} else if (what < 252) {
		frame_pair_deliver(pair, random & 1, (random >> 8) % 500);
	} else if (!pair->is_honest && pair->side[random & 1].way_len + 64 < FRAME_WAY_MAX) {
		frame_pair_spoil(&pair->side[random & 1], random >> 1);
	}
}

/* Is nothing left that it could do? */
static inline bool frame_pair_is_over(const struct frame_pair *pair)
{
	const struct frame_model *client = &pair->side[FRAME_CLIENT].model;
	const struct frame_model *server = &pair->side[FRAME_SERVER].model;

	return client->broken || server->broken || client->refused || client->retires > 0;
}

/* All that is on the way arrives. Over an honest way the two ends then agree. */
static inline void frame_pair_settle(struct frame_pair *pair)
{
	struct frame_side *client = &pair->side[FRAME_CLIENT], *server = &pair->side[FRAME_SERVER];

	frame_pair_deliver(pair, FRAME_SERVER, FRAME_WAY_MAX);
	frame_pair_deliver(pair, FRAME_CLIENT, FRAME_WAY_MAX);
	if (pair->is_honest) {
		FL_REQUIRE(client->framing.number == server->framing.number);
		FL_REQUIRE(fl_framing_is_idle(&client->framing) ==
				   fl_framing_is_idle(&server->framing) ||
			   server->model.refused);
	}
}

#endif
