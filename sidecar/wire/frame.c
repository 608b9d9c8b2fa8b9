/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Each direction of a use has a phase, and both have to be ENDED before the next use. A header is judged as soon as its last
 * byte is there: a frame that cannot be legal is never waited for. Between that and the end of its payload nothing that this side
 * can write makes it illegal. */
#include "wire/frame.h"

#include <string.h>

#include "base/err.h"

enum type {
	TYPE_OPEN = 1,
	TYPE_DATA = 2,
	TYPE_END = 3,
	TYPE_STATUS = 4,
	TYPE_RETIRE = 5,
};

enum phase {
	ENDED,       /* no use yet, or END was sent */
	NEED_STATUS, /* from the server: STATUS comes next */
	FLOWS,       /* DATA, or END */
};

/* Parts of an address. */
#define ADDRESS_NONE 0u
#define ADDRESS_IPV4 4u
#define ADDRESS_IPV6 6u
#define ADDRESS_MIN 1u
#define ADDRESS_MAX 19u

#define OPEN_FIXED 13u  /* number, generation, flags */
#define STATUS_FIXED 5u /* number, code */

static const struct {
	uint32_t least, most; /* bytes of payload */
	bool from[2];         /* [role]: may it send this? */
} types[] = {
	[TYPE_OPEN] = {OPEN_FIXED + 2 * ADDRESS_MIN,
		       OPEN_FIXED + 2 * ADDRESS_MAX,
		       {[FL_FRAMING_CLIENT] = true}},
	[TYPE_DATA] = {1, FL_FRAME_DATA_MAX, {true, true}},
	[TYPE_END] = {0, 0, {true, true}},
	[TYPE_STATUS] = {STATUS_FIXED + ADDRESS_MIN,
			 STATUS_FIXED + ADDRESS_MAX,
			 {[FL_FRAMING_SERVER] = true}},
	[TYPE_RETIRE] = {0, 0, {[FL_FRAMING_SERVER] = true}},
};

_Static_assert(FL_FRAME_OPEN_MAX + FL_FRAME_HEADER <= FL_FRAME_HEADROOM, "an OPEN and a header");
_Static_assert(FL_FRAME_STATUS_MAX <= FL_FRAME_OPEN_MAX, "a STATUS fits into `part`");

void fl_framing_init(struct fl_framing *framing, enum fl_framing_role role)
{
	*framing = (struct fl_framing){.role = (uint8_t)role};
}

static bool is_client(const struct fl_framing *framing)
{
	return framing->role == FL_FRAMING_CLIENT;
}

static bool is_sound(const struct fl_framing *framing)
{
	return !framing->over && framing->fault == FL_FRAMING_FAULT_NONE;
}

bool fl_framing_is_idle(const struct fl_framing *framing)
{
	return is_sound(framing) && framing->up == ENDED && framing->down == ENDED &&
	       framing->have == 0;
}

const char *fl_framing_fault_text(enum fl_framing_fault fault)
{
	static const char *const texts[] = {
#define TEXT(name, sentence) [FL_FRAMING_FAULT_##name] = (sentence),
		FL_FRAMING_FAULTS(TEXT)
#undef TEXT
	};

	FL_REQUIRE((size_t)fault < FL_COUNT_OF(texts));
	return texts[fault];
}

/* --- writing -------------------------------------------------------------------------------------- */

static uint8_t *put_number(uint8_t *out, uint64_t number, unsigned bytes)
{
	while (bytes-- > 0) {
		*out++ = (uint8_t)(number >> 8 * bytes);
	}
	return out;
}

static uint8_t *put_address(uint8_t *out, const struct fl_inet *address)
{
	if (address->family == 0) {
		*out++ = ADDRESS_NONE;
		return out;
	}
	size_t len = address->family == AF_INET ? 4 : 16;

	*out++ = len == 4 ? ADDRESS_IPV4 : ADDRESS_IPV6;
	out = put_number(out, address->port, 2);
	memcpy(out, address->ip, len);
	return out + len;
}

static size_t put_header(uint8_t *out, enum type type, size_t len)
{
	*out = (uint8_t)type;
	put_number(out + 1, len, 3);
	return FL_FRAME_HEADER;
}

/* The payload lies behind the room for the header, and ends at `end`. */
static size_t put_frame(uint8_t *out, enum type type, const uint8_t *end)
{
	size_t whole = (size_t)(end - out);

	put_header(out, type, whole - FL_FRAME_HEADER);
	return whole;
}

bool fl_framing_may_open(const struct fl_framing *framing)
{
	return is_client(framing) && fl_framing_is_idle(framing) && !framing->retired &&
	       framing->number < UINT32_MAX;
}

size_t fl_framing_put_open(struct fl_framing *framing, uint8_t out[FL_FRAME_OPEN_MAX],
			   const struct fl_framing_open *open)
{
	uint8_t *at = out + FL_FRAME_HEADER;

	FL_REQUIRE(fl_framing_may_open(framing));
	framing->number++;
	framing->up = FLOWS;
	framing->down = NEED_STATUS;
	at = put_number(at, framing->number, 4);
	at = put_number(at, open->generation, 8);
	*at++ = 0; /* flags */
	at = put_address(at, &open->destination);
	at = put_address(at, &open->source);
	return put_frame(out, TYPE_OPEN, at);
}

size_t fl_framing_put_status(struct fl_framing *framing, uint8_t out[FL_FRAME_STATUS_MAX],
			     const struct fl_framing_status *status)
{
	uint8_t *at = out + FL_FRAME_HEADER;

	FL_REQUIRE(!is_client(framing) && framing->down == NEED_STATUS);
	FL_REQUIRE(framing->fault == FL_FRAMING_FAULT_NONE);
	FL_REQUIRE(!framing->over || status->code == FL_STATUS_NOT_OPENED);
	framing->over = status->code != FL_STATUS_OPENED;
	framing->down = framing->over ? ENDED : FLOWS;
	at = put_number(at, framing->number, 4);
	*at++ = (uint8_t)status->code;
	at = put_address(at, &status->local);
	return put_frame(out, TYPE_STATUS, at);
}

static uint8_t *phase_out(struct fl_framing *framing)
{
	return is_client(framing) ? &framing->up : &framing->down;
}

bool fl_framing_may_put(const struct fl_framing *framing)
{
	return is_sound(framing) && (is_client(framing) ? framing->up : framing->down) == FLOWS;
}

size_t fl_framing_put_header(struct fl_framing *framing, uint8_t out[FL_FRAME_HEADER], size_t len)
{
	FL_REQUIRE(fl_framing_may_put(framing));
	FL_REQUIRE(len >= 1 && len <= FL_FRAME_DATA_MAX);
	return put_header(out, TYPE_DATA, len);
}

size_t fl_framing_put_end(struct fl_framing *framing, uint8_t out[FL_FRAME_HEADER])
{
	FL_REQUIRE(fl_framing_may_put(framing));
	*phase_out(framing) = ENDED;
	return put_header(out, TYPE_END, 0);
}

size_t fl_framing_put_retire(struct fl_framing *framing, uint8_t out[FL_FRAME_HEADER])
{
	FL_REQUIRE(!is_client(framing));
	if (framing->retired || !is_sound(framing)) {
		return 0;
	}
	framing->retired = true;
	return put_header(out, TYPE_RETIRE, 0);
}

/* --- reading -------------------------------------------------------------------------------------- */

static enum fl_framing_event broken(struct fl_framing *framing, enum fl_framing_fault fault,
				    struct fl_framing_read *ret)
{
	framing->fault = (uint8_t)fault;
	ret->fault = fault;
	return FL_FRAMING_BROKEN;
}

/* Takes n bytes off the front; there are as many. */
static const uint8_t *take(struct fl_span *in, size_t n)
{
	const uint8_t *at = in->data;

	in->data += n;
	in->len -= n;
	return at;
}

static uint64_t take_number(struct fl_span *in, unsigned bytes)
{
	const uint8_t *at = take(in, bytes);
	uint64_t number = 0;

	for (unsigned i = 0; i < bytes; i++) {
		number = number << 8 | at[i];
	}
	return number;
}

static bool is_ipv4_inside(const uint8_t ip[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

/* False: there is none. */
static bool take_address(struct fl_span *in, struct fl_inet *ret)
{
	unsigned family = in->len > 0 ? *take(in, 1) : ADDRESS_MAX;
	size_t len = family == ADDRESS_IPV4 ? 4 : 16;

	*ret = (struct fl_inet){.family = 0};
	if (family == ADDRESS_NONE) {
		return true;
	}
	if ((family != ADDRESS_IPV4 && family != ADDRESS_IPV6) || in->len < 2 + len) {
		return false;
	}
	ret->family = family == ADDRESS_IPV4 ? AF_INET : AF_INET6;
	ret->port = (uint16_t)take_number(in, 2);
	memcpy(ret->ip, take(in, len), len);
	return family == ADDRESS_IPV4 || !is_ipv4_inside(ret->ip);
}

/* Of the payload, as the header says. */
static uint32_t length_of(const struct fl_framing *framing)
{
	const uint8_t *header = framing->part;

	return (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];
}

static enum fl_framing_fault judge_flow(const struct fl_framing *framing)
{
	switch (is_client(framing) ? framing->down : framing->up) {
	case FLOWS:
		return FL_FRAMING_FAULT_NONE;
	case NEED_STATUS:
		return FL_FRAMING_FAULT_EARLY;
	default:
		return FL_FRAMING_FAULT_STRAY;
	}
}

/* May this frame come now? */
static enum fl_framing_fault judge_order(const struct fl_framing *framing, unsigned type)
{
	if (framing->over) {
		return FL_FRAMING_FAULT_REFUSED;
	}
	switch (type) {
	case TYPE_OPEN:
		return framing->up == ENDED && framing->down == ENDED ? FL_FRAMING_FAULT_NONE
								      : FL_FRAMING_FAULT_OPEN_EARLY;
	case TYPE_STATUS:
		return framing->down == NEED_STATUS ? FL_FRAMING_FAULT_NONE
						    : FL_FRAMING_FAULT_STATUS_STRAY;
	case TYPE_RETIRE:
		return framing->retired ? FL_FRAMING_FAULT_RETIRE_TWICE : FL_FRAMING_FAULT_NONE;
	default:
		return judge_flow(framing);
	}
}

static enum fl_framing_fault judge_header(const struct fl_framing *framing)
{
	unsigned type = framing->part[0];
	uint32_t len = length_of(framing);

	if (type < TYPE_OPEN || type >= FL_COUNT_OF(types)) {
		return FL_FRAMING_FAULT_TYPE;
	}
	if (!types[type].from[is_client(framing) ? FL_FRAMING_SERVER : FL_FRAMING_CLIENT]) {
		return FL_FRAMING_FAULT_ROLE;
	}
	if (len < types[type].least || len > types[type].most) {
		return FL_FRAMING_FAULT_LENGTH;
	}
	return judge_order(framing, type);
}

static enum fl_framing_event end_open(struct fl_framing *framing, struct fl_span in,
				      struct fl_framing_read *ret)
{
	struct fl_framing_open open = {.is_late = framing->retired};
	uint64_t number = take_number(&in, 4);

	if (number != (uint64_t)framing->number + 1) {
		return broken(framing, FL_FRAMING_FAULT_OPEN_NUMBER, ret);
	}
	open.generation = take_number(&in, 8);
	if (*take(&in, 1) != 0) {
		return broken(framing, FL_FRAMING_FAULT_OPEN_FLAGS, ret);
	}
	if (!take_address(&in, &open.destination) || !take_address(&in, &open.source) ||
	    in.len > 0) {
		return broken(framing, FL_FRAMING_FAULT_ADDRESS, ret);
	}
	framing->number++;
	framing->up = FLOWS;
	framing->down = NEED_STATUS;
	framing->over = open.is_late; /* nothing of it is ever delivered */
	ret->open = open;
	return FL_FRAMING_OPEN;
}

static enum fl_framing_event end_status(struct fl_framing *framing, struct fl_span in,
					struct fl_framing_read *ret)
{
	struct fl_framing_status status = {0};
	uint64_t number = take_number(&in, 4);
	unsigned code = *take(&in, 1);

	if (number != framing->number) {
		return broken(framing, FL_FRAMING_FAULT_STATUS_NUMBER, ret);
	}
	if (code > FL_STATUS_LAST) {
		return broken(framing, FL_FRAMING_FAULT_STATUS_CODE, ret);
	}
	if (!take_address(&in, &status.local) || in.len > 0) {
		return broken(framing, FL_FRAMING_FAULT_ADDRESS, ret);
	}
	status.code = (enum fl_status)code;
	framing->over = status.code != FL_STATUS_OPENED;
	framing->down = framing->over ? ENDED : FLOWS;
	ret->status = status;
	return FL_FRAMING_STATUS;
}

/* The whole frame is in `part`. */
static enum fl_framing_event end_frame(struct fl_framing *framing, struct fl_framing_read *ret)
{
	struct fl_span payload = {framing->part + FL_FRAME_HEADER,
				  framing->have - (size_t)FL_FRAME_HEADER};

	framing->have = 0;
	switch (framing->part[0]) {
	case TYPE_OPEN:
		return end_open(framing, payload, ret);
	case TYPE_STATUS:
		return end_status(framing, payload, ret);
	case TYPE_RETIRE:
		framing->retired = true;
		return FL_FRAMING_RETIRE;
	case TYPE_END:
	default:
		*(is_client(framing) ? &framing->down : &framing->up) = ENDED;
		return FL_FRAMING_END;
	}
}

/* Moves bytes to `part` until it has `want`; true: it has. */
static bool collect(struct fl_framing *framing, struct fl_span *in, size_t want)
{
	size_t n = want - framing->have;

	n = n < in->len ? n : in->len;
	if (n > 0) {
		memcpy(framing->part + framing->have, take(in, n), n);
		framing->have = (uint8_t)(framing->have + n);
	}
	return framing->have == want;
}

static enum fl_framing_event read_data(struct fl_framing *framing, struct fl_span *in,
				       struct fl_framing_read *ret)
{
	size_t n = in->len < framing->left ? in->len : framing->left;

	if (n == 0) {
		return FL_FRAMING_NEED_MORE;
	}
	ret->data = (struct fl_span){take(in, n), n};
	framing->left -= (uint32_t)n;
	return FL_FRAMING_DATA;
}

static enum fl_framing_event read_frame(struct fl_framing *framing, struct fl_span *in,
					struct fl_framing_read *ret)
{
	if (framing->left > 0) {
		return read_data(framing, in, ret);
	}
	if (framing->have < FL_FRAME_HEADER) {
		enum fl_framing_fault fault;

		if (!collect(framing, in, FL_FRAME_HEADER)) {
			return FL_FRAMING_NEED_MORE;
		}
		fault = judge_header(framing);
		if (fault != FL_FRAMING_FAULT_NONE) {
			return broken(framing, fault, ret);
		}
	}
	if (framing->part[0] == TYPE_DATA) {
		framing->left = length_of(framing);
		framing->have = 0;
		return read_data(framing, in, ret);
	}
	return collect(framing, in, FL_FRAME_HEADER + length_of(framing)) ? end_frame(framing, ret)
									  : FL_FRAMING_NEED_MORE;
}

enum fl_framing_event fl_framing_read(struct fl_framing *framing, struct fl_span *in,
				      struct fl_framing_read *ret)
{
	if (framing->fault != FL_FRAMING_FAULT_NONE) {
		return broken(framing, (enum fl_framing_fault)framing->fault, ret);
	}
	if (framing->over && !is_client(framing)) {
		in->len = 0;
		return FL_FRAMING_NEED_MORE;
	}
	return read_frame(framing, in, ret);
}
