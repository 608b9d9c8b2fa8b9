/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fields - reads the payload of a message, which has come as a whole. What breaks the protocol gives FL_ERR_PEER with a sentence.
 * Nothing is copied but numbers and digests: spans point into the payload. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/message.h"
#include "ctl/wire_internal.h"

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
		} else if (f.tag == FOREIGN_REFUSED) {
			rc = require_len(&f, 1, FL_CTL_MAX_NOTE, err);
			if (rc == FL_OK) {
				rc = take_span(&f, &ret->refused, &seen, err);
			}
		}
		if (rc < 0) {
			return rc;
		}
	}
	return rc < 0 ? rc : require_seen(seen, FOREIGN_BUNDLE, 0, err);
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
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory for a message");
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

int fl_ctl_read_payload(enum fl_ctl_type type, struct fl_span payload, struct fl_ctl_message *ret,
			struct fl_err *err)
{
	memset(ret, 0, sizeof(*ret));
	ret->type = type;
	switch (type) {
	case FL_CTL_HELLO:
		return read_hello(payload, &ret->u.hello, err);
	case FL_CTL_RESULT:
		return read_result(payload, &ret->u.result, err);
	case FL_CTL_GENERATION:
		return read_generation(payload, &ret->u.generation, err);
	case FL_CTL_NOTE:
		return read_note(payload, &ret->u.note, err);
	case FL_CTL_BEAT:
		return read_beat(payload, &ret->u.beat, err);
	case FL_CTL_SIGN:
		ret->u.requests.rest = payload;
		return fl_ctl_check_sign(payload, err);
	case FL_CTL_SIGNED:
		ret->u.answers.rest = payload;
		return fl_ctl_check_signed(payload, err);
	}
	return FL_ERR_BUG;
}
