/* SPDX-License-Identifier: GPL-3.0-or-later */
/* decode - turns frames into messages. It collects a header, checks type and length, and only then allocates memory, in
 * step with the bytes that arrive: a peer that announces 8 MiB and sends nothing costs a few KiB.
 *
 * A peer that breaks the protocol gives FL_ERR_PEER with a sentence; after that every call fails. Without memory:
 * FL_ERR_NOMEM. Memory that held payload is wiped. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/message.h"
#include "ctl/wire_internal.h"

#define FIRST_CHUNK ((size_t)16 * 1024)

/* --- reading fields --------------------------------------------------------------------------- */

int fl_ctl_next_field(struct fl_span *rest, struct fl_ctl_field *ret, struct fl_err *err)
{
	uint64_t len;

	if (rest->len == 0) {
		return 0;
	}
	if (rest->len < FIELD_HEADER) {
		fl_err_set(err, FL_ERR_PEER, "a message ends within the header of a field");
		return FL_ERR_PEER;
	}
	ret->tag = (unsigned)fl_ctl_get_uint(rest->data, 2);
	len = fl_ctl_get_uint(rest->data + 2, 4);
	if (len > rest->len - FIELD_HEADER) {
		fl_err_set(err, FL_ERR_PEER,
			   "field %u claims %llu bytes and the message has %zu left", ret->tag,
			   (unsigned long long)len, rest->len - FIELD_HEADER);
		return FL_ERR_PEER;
	}
	ret->value.data = rest->data + FIELD_HEADER;
	ret->value.len = (size_t)len;
	rest->data += FIELD_HEADER + len;
	rest->len -= FIELD_HEADER + (size_t)len;
	return 1;
}

/* Records the fields that came: a field that comes twice or not at all is refused. */
static int mark_seen(unsigned *seen, unsigned tag, struct fl_err *err)
{
	if (*seen & 1u << tag) {
		return fl_err_set(err, FL_ERR_PEER, "field %u comes twice", tag);
	}
	*seen |= 1u << tag;
	return FL_OK;
}

static int require_seen(unsigned seen, unsigned last_tag, unsigned optional, struct fl_err *err)
{
	for (unsigned tag = 1; tag <= last_tag; tag++) {
		if (!(seen & 1u << tag) && tag != optional) {
			return fl_err_set(err, FL_ERR_PEER, "field %u is missing", tag);
		}
	}
	return FL_OK;
}

static int require_len(const struct fl_ctl_field *f, size_t least, size_t most, struct fl_err *err)
{
	if (f->value.len < least || f->value.len > most) {
		return fl_err_set(err, FL_ERR_PEER, "field %u has %zu bytes instead of %zu to %zu",
				  f->tag, f->value.len, least, most);
	}
	return FL_OK;
}

/* An integer or digest field of exactly `bytes` bytes, not seen before. */
static int take_fixed(const struct fl_ctl_field *f, unsigned bytes, unsigned *seen,
		      struct fl_err *err)
{
	int rc = mark_seen(seen, f->tag, err);

	return rc != FL_OK ? rc : require_len(f, bytes, bytes, err);
}

static int take_span(const struct fl_ctl_field *f, struct fl_span *ret, unsigned *seen,
		     struct fl_err *err)
{
	int rc = mark_seen(seen, f->tag, err);

	if (rc == FL_OK) {
		*ret = f->value;
	}
	return rc;
}

/* A byte that is 0 or 1. */
static int take_bool(const struct fl_ctl_field *f, bool *ret, unsigned *seen, struct fl_err *err)
{
	int rc = take_fixed(f, 1, seen, err);

	if (rc == FL_OK && f->value.data[0] > 1) {
		rc = fl_err_set(err, FL_ERR_PEER, "field %u is 0 or 1, not %u", f->tag,
				f->value.data[0]);
	}
	if (rc == FL_OK) {
		*ret = f->value.data[0] == 1;
	}
	return rc;
}

static int read_hello(struct fl_span rest, struct fl_ctl_hello *ret, struct fl_err *err)
{
	struct fl_ctl_field f;
	unsigned seen = 0;
	int rc;

	while ((rc = fl_ctl_next_field(&rest, &f, err)) > 0) {
		switch (f.tag) {
		case HELLO_VERSION:
			rc = take_fixed(&f, 4, &seen, err);
			ret->version = rc == FL_OK ? (uint32_t)fl_ctl_get_uint(f.value.data, 4) : 0;
			break;
		case HELLO_GENERATION:
			rc = take_fixed(&f, 8, &seen, err);
			ret->generation = rc == FL_OK ? fl_ctl_get_uint(f.value.data, 8) : 0;
			break;
		case HELLO_DIGEST:
			rc = take_fixed(&f, DIGEST_LEN, &seen, err);
			if (rc == FL_OK) {
				memcpy(ret->digest, f.value.data, DIGEST_LEN);
			}
			break;
		case HELLO_WANTS_BEATS:
			rc = take_bool(&f, &ret->wants_beats, &seen, err);
			break;
		case HELLO_KEY:
			rc = take_fixed(&f, DIGEST_LEN, &seen, err);
			if (rc == FL_OK) {
				ret->asks_signatures = true;
				memcpy(ret->key, f.value.data, DIGEST_LEN);
			}
			break;
		default:
			break;
		}
		if (rc < 0) {
			return rc;
		}
	}
	return rc < 0 ? rc : require_seen(seen, HELLO_DIGEST, 0, err);
}

static int read_result(struct fl_span rest, struct fl_ctl_result *ret, struct fl_err *err)
{
	struct fl_ctl_field f;
	unsigned seen = 0;
	bool ok = false;
	int rc;

	while ((rc = fl_ctl_next_field(&rest, &f, err)) > 0) {
		switch (f.tag) {
		case RESULT_NUMBER:
			rc = take_fixed(&f, 8, &seen, err);
			ret->number = rc == FL_OK ? fl_ctl_get_uint(f.value.data, 8) : 0;
			break;
		case RESULT_OK:
			rc = take_bool(&f, &ok, &seen, err);
			ret->ok = ok;
			break;
		case RESULT_REASON:
			rc = take_span(&f, &ret->reason, &seen, err);
			break;
		default:
			break;
		}
		if (rc < 0) {
			return rc;
		}
	}
	return rc < 0 ? rc : require_seen(seen, RESULT_REASON, RESULT_REASON, err);
}

static int read_note(struct fl_span rest, struct fl_ctl_note *ret, struct fl_err *err)
{
	struct fl_ctl_field f;
	unsigned seen = 0;
	int rc;

	while ((rc = fl_ctl_next_field(&rest, &f, err)) > 0) {
		switch (f.tag) {
		case NOTE_REFUSED:
			rc = take_bool(&f, &ret->refused, &seen, err);
			break;
		case NOTE_TIME:
			rc = take_fixed(&f, 8, &seen, err);
			ret->time = rc == FL_OK ? (int64_t)fl_ctl_get_uint(f.value.data, 8) : 0;
			break;
		case NOTE_TEXT:
			rc = require_len(&f, 0, FL_CTL_MAX_NOTE, err);
			if (rc == FL_OK) {
				rc = take_span(&f, &ret->text, &seen, err);
			}
			break;
		default:
			break;
		}
		if (rc < 0) {
			return rc;
		}
	}
	return rc < 0 ? rc : require_seen(seen, NOTE_TEXT, 0, err);
}

static int read_beat(struct fl_span rest, struct fl_ctl_beat *ret, struct fl_err *err)
{
	struct fl_ctl_field f;
	unsigned seen = 0;
	int rc;

	while ((rc = fl_ctl_next_field(&rest, &f, err)) > 0) {
		if (f.tag == BEAT_EVERY) {
			rc = take_fixed(&f, 4, &seen, err);
			ret->every_ms =
				rc == FL_OK ? (uint32_t)fl_ctl_get_uint(f.value.data, 4) : 0;
		}
		if (rc < 0) {
			return rc;
		}
	}
	return rc < 0 ? rc : require_seen(seen, BEAT_EVERY, 0, err);
}

static int read_foreign(struct fl_span rest, struct fl_ctl_foreign *ret, struct fl_err *err)
{
	struct fl_ctl_field f;
	unsigned seen = 0;
	int rc;

	while ((rc = fl_ctl_next_field(&rest, &f, err)) > 0) {
		if (f.tag == FOREIGN_TRUST_DOMAIN) {
			rc = require_len(&f, 1, TRUST_DOMAIN_MAX, err);
			if (rc == FL_OK) {
				rc = take_span(&f, &ret->trust_domain, &seen, err);
			}
		} else if (f.tag == FOREIGN_BUNDLE) {
			rc = take_span(&f, &ret->bundle, &seen, err);
		}
		if (rc < 0) {
			return rc;
		}
	}
	return rc < 0 ? rc : require_seen(seen, FOREIGN_BUNDLE, 0, err);
}

static int no_memory(struct fl_err *err)
{
	return fl_err_set(err, FL_ERR_NOMEM, "out of memory for a message");
}

static int add_foreign(struct fl_span value, struct fl_ctl_generation *g, struct fl_err *err)
{
	struct fl_ctl_foreign foreign = {0}, *grown;
	int rc;

	if (g->foreign_count == FL_CTL_MAX_FOREIGN) {
		return fl_err_set(err, FL_ERR_PEER, "more than %u foreign trust domains",
				  FL_CTL_MAX_FOREIGN);
	}
	rc = read_foreign(value, &foreign, err);
	if (rc != FL_OK) {
		return rc;
	}
	grown = fl_try_grow(g->foreign, g->foreign_count + 1, sizeof(*g->foreign));
	if (grown == NULL) {
		return no_memory(err);
	}
	g->foreign = grown;
	g->foreign[g->foreign_count++] = foreign;
	return FL_OK;
}

static int read_generation_field(const struct fl_ctl_field *f, struct fl_ctl_generation *g,
				 unsigned *seen, struct fl_err *err)
{
	int rc;

	switch (f->tag) {
	case GENERATION_NUMBER:
		rc = take_fixed(f, 8, seen, err);
		if (rc == FL_OK) {
			g->number = fl_ctl_get_uint(f->value.data, 8);
		}
		return rc;
	case GENERATION_DIGEST:
		rc = take_fixed(f, DIGEST_LEN, seen, err);
		if (rc == FL_OK) {
			memcpy(g->digest, f->value.data, DIGEST_LEN);
		}
		return rc;
	case GENERATION_CREDENTIAL:
		return take_span(f, &g->credential, seen, err);
	case GENERATION_BUNDLE:
		return take_span(f, &g->bundle, seen, err);
	case GENERATION_FOREIGN:
		*seen |= 1u << GENERATION_FOREIGN;
		return add_foreign(f->value, g, err);
	case GENERATION_INI_PATH:
		return take_span(f, &g->ini_path, seen, err);
	case GENERATION_INI:
		return take_span(f, &g->ini, seen, err);
	case GENERATION_CRL:
		return take_span(f, &g->crl, seen, err);
	default:
		return FL_OK;
	}
}

static int read_generation(struct fl_span rest, struct fl_ctl_generation *ret, struct fl_err *err)
{
	struct fl_ctl_field f;
	unsigned seen = 0;
	int rc;

	while ((rc = fl_ctl_next_field(&rest, &f, err)) > 0) {
		rc = read_generation_field(&f, ret, &seen, err);
		if (rc < 0) {
			return rc;
		}
	}
	if (rc == FL_OK) {
		rc = require_seen(seen, GENERATION_INI, GENERATION_FOREIGN, err);
	}
	if (rc == FL_OK && ret->number == 0) {
		rc = fl_err_set(err, FL_ERR_PEER,
				"a generation has the number 0, which means none");
	}
	return rc;
}

/* --- collecting frames ------------------------------------------------------------------------ */

struct fl_ctl_decoder {
	uint8_t header[FL_CTL_HEADER];
	size_t header_len;
	enum fl_ctl_type type; /* valid with a whole header */
	size_t payload_len;    /* of the frame; valid with a whole header */
	uint8_t *payload;      /* owned */
	size_t have, cap;
	struct fl_ctl_foreign *foreign; /* owned; of the message handed out last */
	bool delivered;                 /* the payload belongs to a message handed out */
	bool skips; /* valid with a whole header: an unknown type that may be ignored */
	bool dead;
};

struct fl_ctl_decoder *fl_ctl_decoder_new(void)
{
	return calloc(1, sizeof(struct fl_ctl_decoder));
}

static void forget(struct fl_ctl_decoder *d)
{
	bool dead = d->dead;

	fl_wipe_free(d->payload, d->cap);
	free(d->foreign);
	fl_wipe(d, sizeof(*d));
	d->dead = dead;
}

void fl_ctl_decoder_free(struct fl_ctl_decoder *decoder)
{
	if (decoder != NULL) {
		forget(decoder);
		free(decoder);
	}
}

static int judge_header(struct fl_ctl_decoder *d, struct fl_err *err)
{
	uint64_t type = fl_ctl_get_uint(d->header + 4, 2);
	uint64_t reserved = fl_ctl_get_uint(d->header + 6, 2);
	uint64_t len = fl_ctl_get_uint(d->header + 8, 4);
	uint64_t most;

	switch (type) {
	case FL_CTL_HELLO:
	case FL_CTL_RESULT:
	case FL_CTL_NOTE:
	case FL_CTL_BEAT:
	case FL_CTL_SIGN:
	case FL_CTL_SIGNED:
		most = FL_CTL_MAX_SMALL;
		break;
	case FL_CTL_GENERATION:
		most = FL_CTL_MAX_FRAME;
		break;
	default:
		if (type < FL_CTL_OPTIONAL) {
			return fl_err_set(
				err, FL_ERR_PEER,
				"message type %llu is unknown: run agent and sidecar of the "
				"same release",
				(unsigned long long)type);
		}
		most = FL_CTL_MAX_SMALL;
		d->skips = true;
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
	if (!d->skips) {
		d->type = (enum fl_ctl_type)type;
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
		return no_memory(err);
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
	int rc = FL_ERR_BUG;

	memset(&message, 0, sizeof(message));
	message.type = d->type;
	switch (d->type) {
	case FL_CTL_HELLO:
		rc = read_hello(payload, &message.u.hello, err);
		break;
	case FL_CTL_RESULT:
		rc = read_result(payload, &message.u.result, err);
		break;
	case FL_CTL_GENERATION:
		rc = read_generation(payload, &message.u.generation, err);
		d->foreign = message.u.generation.foreign;
		break;
	case FL_CTL_NOTE:
		rc = read_note(payload, &message.u.note, err);
		break;
	case FL_CTL_BEAT:
		rc = read_beat(payload, &message.u.beat, err);
		break;
	case FL_CTL_SIGN:
		message.u.requests.rest = payload;
		rc = fl_ctl_check_sign(payload, err);
		break;
	case FL_CTL_SIGNED:
		message.u.answers.rest = payload;
		rc = fl_ctl_check_signed(payload, err);
		break;
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

/* Collects one frame: 1 when it is whole, 0, or FL_ERR_PEER. */
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
	rc = make_room(d, take, err);
	if (rc != FL_OK) {
		return rc;
	}
	if (take > 0) {
		memcpy(d->payload + d->have, *data, take);
		d->have += take;
		*data += take;
		*len -= take;
	}
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
