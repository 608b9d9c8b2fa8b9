/* SPDX-License-Identifier: GPL-3.0-or-later */
/* decode - turns frames into messages. It collects a header, checks type and length, and only then allocates memory, in
 * step with the bytes that arrive: a peer that announces 8 MiB and sends nothing costs a few KiB. What the other side never sends is
 * refused at its header, and what is skipped is not kept.
 *
 * A peer that breaks the protocol gives FL_ERR_PEER with a sentence; after that every call fails. Without memory:
 * FL_ERR_NOMEM. Memory that held payload is wiped. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/message.h"
#include "ctl/wire_internal.h"

#define FIRST_CHUNK ((size_t)16 * 1024)

struct fl_ctl_decoder {
	enum fl_ctl_sender sender;
	uint8_t header[FL_CTL_HEADER];
	size_t header_len;
	enum fl_ctl_type type; /* valid with a whole header */
	size_t payload_len;    /* of the frame; valid with a whole header */
	uint8_t *payload;      /* owned */
	size_t have, cap;
	struct fl_ctl_foreign *foreign; /* owned; of the message handed out last */
	bool delivered;                 /* the payload belongs to a message handed out */
	bool skips;         /* valid with a whole header: an unknown type that may be ignored */
	bool skips_unknown; /* fl_ctl_decoder_skip_unknown() */
	bool dead;
};

struct fl_ctl_decoder *fl_ctl_decoder_new(enum fl_ctl_sender sender)
{
	struct fl_ctl_decoder *decoder = calloc(1, sizeof(*decoder));

	if (decoder != NULL) {
		decoder->sender = sender;
		decoder->skips_unknown = sender == FL_CTL_FROM_AGENT;
	}
	return decoder;
}

void fl_ctl_decoder_skip_unknown(struct fl_ctl_decoder *decoder)
{
	decoder->skips_unknown = true;
}

static void forget(struct fl_ctl_decoder *d)
{
	struct fl_ctl_decoder empty = {
		.sender = d->sender, .skips_unknown = d->skips_unknown, .dead = d->dead};

	fl_wipe_free(d->payload, d->cap);
	free(d->foreign);
	fl_wipe(d, sizeof(*d));
	*d = empty;
}

void fl_ctl_decoder_free(struct fl_ctl_decoder *decoder)
{
	if (decoder != NULL) {
		forget(decoder);
		free(decoder);
	}
}

static int judge_unknown(struct fl_ctl_decoder *d, uint64_t type, struct fl_err *err)
{
	if (type < FL_CTL_OPTIONAL) {
		return fl_err_set(err, FL_ERR_PEER,
				  "message type %llu is unknown: run agent and sidecar "
				  "of the same release",
				  (unsigned long long)type);
	}
	if (!d->skips_unknown) {
		return fl_err_set(err, FL_ERR_PEER,
				  "message type %llu is unknown, and no HELLO came before it",
				  (unsigned long long)type);
	}
	d->skips = true;
	return FL_OK;
}

/* Who sends messages of that type, and how long their payload may be. */
static int judge_type(struct fl_ctl_decoder *d, uint64_t type, uint64_t *ret_most,
		      struct fl_err *err)
{
	enum fl_ctl_sender sender = FL_CTL_FROM_AGENT;

	switch (type) {
	case FL_CTL_HELLO:
	case FL_CTL_RESULT:
		sender = FL_CTL_FROM_SIDECAR;
		*ret_most = FL_CTL_MAX_WORD;
		break;
	case FL_CTL_SIGN:
		sender = FL_CTL_FROM_SIDECAR;
		*ret_most = FL_CTL_MAX_SIGN;
		break;
	case FL_CTL_NOTE:
	case FL_CTL_BEAT:
	case FL_CTL_SIGNED:
		*ret_most = FL_CTL_MAX_SMALL;
		break;
	case FL_CTL_GENERATION:
		*ret_most = FL_CTL_MAX_FRAME;
		break;
	default:
		*ret_most = FL_CTL_MAX_SKIPPED;
		return judge_unknown(d, type, err);
	}
	if (sender == d->sender) {
		d->type = (enum fl_ctl_type)type;
		return FL_OK;
	}
	return fl_err_set(
		err, FL_ERR_PEER,
		sender == FL_CTL_FROM_AGENT
			? "it sent a generation, a note, a beat or a signature: only agents do"
			: "it sent a message that only a sidecar sends");
}

static int judge_header(struct fl_ctl_decoder *d, struct fl_err *err)
{
	uint64_t type = fl_ctl_get_uint(d->header + 4, 2);
	uint64_t reserved = fl_ctl_get_uint(d->header + 6, 2);
	uint64_t len = fl_ctl_get_uint(d->header + 8, 4);
	uint64_t most;
	int rc = judge_type(d, type, &most, err);

	if (rc != FL_OK) {
		return rc;
	}
	if (reserved != 0) {
		return fl_err_set(err, FL_ERR_PEER, "the reserved bytes of a message are not zero");
	}
	if (len > most) {
		return fl_err_set(err, FL_ERR_PEER,
				  "a message of type %llu claims %llu bytes, the maximum is %llu",
				  (unsigned long long)type, (unsigned long long)len,
				  (unsigned long long)most);
	}
	d->payload_len = (size_t)len;
	return FL_OK;
}

/* Checks the magic byte by byte: garbage is refused at its first byte. */
static int collect_header(struct fl_ctl_decoder *d, const uint8_t **data, size_t *len,
			  struct fl_err *err)
{
	while (d->header_len<FL_CTL_HEADER && * len> 0) {
		uint8_t byte = *(*data)++;

		--*len;
		if (d->header_len < sizeof(magic) && byte != magic[d->header_len]) {
			return fl_err_set(err, FL_ERR_PEER,
					  "the other end does not speak Fairlead's agent protocol");
		}
		d->header[d->header_len++] = byte;
		if (d->header_len == FL_CTL_HEADER) {
			return judge_header(d, err);
		}
	}
	return FL_OK;
}

/* Makes room for more payload, at most twice the bytes that have come; the old memory is wiped. */
static int make_room(struct fl_ctl_decoder *d, size_t coming, struct fl_err *err)
{
	size_t wanted = d->have + coming;
	size_t cap = d->cap * 2 > wanted ? d->cap * 2 : wanted;
	uint8_t *bigger;

	if (wanted <= d->cap) {
		return FL_OK;
	}
	cap = cap < FIRST_CHUNK ? FIRST_CHUNK : cap;
	cap = cap > d->payload_len ? d->payload_len : cap;
	bigger = malloc(cap);
	if (bigger == NULL) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory for a message");
	}
	if (d->have > 0) {
		memcpy(bigger, d->payload, d->have);
	}
	fl_wipe_free(d->payload, d->cap);
	d->payload = bigger;
	d->cap = cap;
	return FL_OK;
}

static int read_message(struct fl_ctl_decoder *d, struct fl_ctl_message *ret, struct fl_err *err)
{
	struct fl_span payload = {d->payload, d->have};
	struct fl_ctl_message message;
	int rc = fl_ctl_read_payload(d->type, payload, &message, err);

	if (d->type == FL_CTL_GENERATION) {
		d->foreign = message.u.generation.foreign;
	}
	if (rc == FL_OK) {
		*ret = message;
	}
	return rc;
}

static int fail(struct fl_ctl_decoder *d, int rc)
{
	d->dead = true;
	forget(d);
	return rc;
}

/* Keeps bytes of the payload. */
static int keep(struct fl_ctl_decoder *d, const uint8_t *data, size_t len, struct fl_err *err)
{
	int rc = make_room(d, len, err);

	if (rc == FL_OK && len > 0) {
		memcpy(d->payload + d->have, data, len);
	}
	return rc;
}

/* Collects one frame, without its payload if it is skipped: 1 when it is whole, 0, or FL_ERR_PEER or FL_ERR_NOMEM. */
static int collect_frame(struct fl_ctl_decoder *d, const uint8_t **data, size_t *len,
			 struct fl_err *err)
{
	size_t take;
	int rc = collect_header(d, data, len, err);

	if (rc != FL_OK || d->header_len < FL_CTL_HEADER) {
		return rc;
	}
	take = d->payload_len - d->have;
	take = take > *len ? *len : take;
	rc = d->skips ? FL_OK : keep(d, *data, take, err);
	if (rc != FL_OK) {
		return rc;
	}
	d->have += take;
	*data += take;
	*len -= take;
	return d->have == d->payload_len;
}

int fl_ctl_decoder_feed(struct fl_ctl_decoder *d, const uint8_t **data, size_t *len,
			struct fl_ctl_message *ret, struct fl_err *err)
{
	int rc;

	if (d->delivered) {
		forget(d);
	}
	if (d->dead) {
		return fl_err_set(err, FL_ERR_PEER, "the channel has failed before");
	}
	while ((rc = collect_frame(d, data, len, err)) == 1 && d->skips) {
		forget(d);
	}
	if (rc == 1) {
		rc = read_message(d, ret, err);
		if (rc == FL_OK) {
			d->delivered = true;
			return 1;
		}
	}
	return rc < 0 ? fail(d, rc) : rc;
}

bool fl_ctl_decoder_is_partial(const struct fl_ctl_decoder *decoder)
{
	return decoder->header_len > 0 && !decoder->delivered;
}
