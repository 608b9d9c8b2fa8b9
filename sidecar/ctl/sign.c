/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sign - the items of SIGN and SIGNED, in both directions.
 *
 * They are small and many, so an item is one field with its parts in fixed places, and writing one allocates nothing. A
 * message is checked as a whole when it has come, so that walking over it cannot fail. */
#include <string.h>

#include "ctl/message.h"
#include "ctl/wire_internal.h"

/* Places of a request: number, key, role, scheme, hash. */
#define REQUEST_KEY 4u
#define REQUEST_ROLE (REQUEST_KEY + DIGEST_LEN)
#define REQUEST_SCHEME (REQUEST_ROLE + 1u)
#define REQUEST_HASH (REQUEST_SCHEME + 2u)
/* Places of an answer: number, result, signature. */
#define ANSWER_RESULT 4u
#define ANSWER_SIGNATURE (ANSWER_RESULT + 1u)

#define LENGTH_AT 8u /* of the payload, in a frame */

/* --- reading ------------------------------------------------------------------------------------ */

/* Every field with that tag has from least to most bytes. */
static int check(struct fl_span rest, unsigned tag, size_t least, size_t most, struct fl_err *err)
{
	struct fl_ctl_field f;
	int rc;

	while ((rc = fl_ctl_next_field(&rest, &f, err)) > 0) {
		if (f.tag == tag && (f.value.len < least || f.value.len > most)) {
			return fl_err_set(err, FL_ERR_PEER,
					  "an item has %zu bytes instead of %zu to %zu",
					  f.value.len, least, most);
		}
	}
	return rc;
}

int fl_ctl_check_sign(struct fl_span payload, struct fl_err *err)
{
	return check(payload, SIGN_REQUEST, REQUEST_HASH, REQUEST_HASH + FL_CTL_MAX_HASH, err);
}

int fl_ctl_check_signed(struct fl_span payload, struct fl_err *err)
{
	return check(payload, SIGNED_ANSWER, ANSWER_SIGNATURE,
		     ANSWER_SIGNATURE + FL_CTL_MAX_SIGNATURE, err);
}

/* The next field with that tag; others are skipped. */
static bool next(struct fl_ctl_items *items, unsigned tag, struct fl_span *ret)
{
	struct fl_ctl_field f;

	while (fl_ctl_next_field(&items->rest, &f, NULL) > 0) {
		if (f.tag == tag) {
			*ret = f.value;
			return true;
		}
	}
	return false;
}

static struct fl_span behind(struct fl_span item, size_t at)
{
	return (struct fl_span){item.data + at, item.len - at};
}

bool fl_ctl_next_request(struct fl_ctl_items *items, struct fl_ctl_sign_request *ret)
{
	struct fl_span item;

	if (!next(items, SIGN_REQUEST, &item)) {
		return false;
	}
	ret->number = (uint32_t)fl_ctl_get_uint(item.data, 4);
	memcpy(ret->key, item.data + REQUEST_KEY, DIGEST_LEN);
	ret->role = item.data[REQUEST_ROLE];
	ret->scheme = (uint16_t)fl_ctl_get_uint(item.data + REQUEST_SCHEME, 2);
	ret->hash = behind(item, REQUEST_HASH);
	return true;
}

bool fl_ctl_next_answer(struct fl_ctl_items *items, struct fl_ctl_sign_answer *ret)
{
	struct fl_span item;

	if (!next(items, SIGNED_ANSWER, &item)) {
		return false;
	}
	ret->number = (uint32_t)fl_ctl_get_uint(item.data, 4);
	ret->result = item.data[ANSWER_RESULT];
	ret->signature = behind(item, ANSWER_SIGNATURE);
	return true;
}

/* --- writing ------------------------------------------------------------------------------------ */

static void put_uint(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		to[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	}
}

void fl_ctl_batch_begin(struct fl_ctl_batch *batch, enum fl_ctl_type type)
{
	FL_REQUIRE(batch->cap >= FL_CTL_BATCH_MIN);
	memset(batch->frame, 0, FL_CTL_HEADER);
	memcpy(batch->frame, magic, sizeof(magic));
	put_uint(batch->frame + sizeof(magic), (uint64_t)type, 2);
	batch->len = FL_CTL_HEADER;
}

static size_t most_in(const struct fl_ctl_batch *batch)
{
	return batch->frame[sizeof(magic) + 1] == FL_CTL_SIGN ? FL_CTL_MAX_SIGN : FL_CTL_MAX_SMALL;
}

/* Begins a field of len bytes, and returns where it goes; NULL: there is no room. */
static uint8_t *add_field(struct fl_ctl_batch *batch, unsigned tag, size_t len)
{
	uint8_t *at = batch->frame + batch->len;
	size_t payload = batch->len - FL_CTL_HEADER + FIELD_HEADER + len;

	if (batch->cap - batch->len < FIELD_HEADER + len || payload > most_in(batch)) {
		return NULL;
	}
	put_uint(at, tag, 2);
	put_uint(at + 2, len, 4);
	put_uint(batch->frame + LENGTH_AT, payload, 4);
	batch->len += FIELD_HEADER + len;
	return at + FIELD_HEADER;
}

static void put_span(uint8_t *to, struct fl_span span)
{
	if (span.len > 0) {
		memcpy(to, span.data, span.len);
	}
}

bool fl_ctl_batch_add_request(struct fl_ctl_batch *batch, const struct fl_ctl_sign_request *request)
{
	uint8_t *at;

	FL_REQUIRE(request->hash.len <= FL_CTL_MAX_HASH);
	at = add_field(batch, SIGN_REQUEST, REQUEST_HASH + request->hash.len);
	if (at == NULL) {
		return false;
	}
	put_uint(at, request->number, 4);
	memcpy(at + REQUEST_KEY, request->key, DIGEST_LEN);
	at[REQUEST_ROLE] = request->role;
	put_uint(at + REQUEST_SCHEME, request->scheme, 2);
	put_span(at + REQUEST_HASH, request->hash);
	return true;
}

bool fl_ctl_batch_add_answer(struct fl_ctl_batch *batch, const struct fl_ctl_sign_answer *answer)
{
	uint8_t *at;

	FL_REQUIRE(answer->signature.len <= FL_CTL_MAX_SIGNATURE);
	at = add_field(batch, SIGNED_ANSWER, ANSWER_SIGNATURE + answer->signature.len);
	if (at == NULL) {
		return false;
	}
	put_uint(at, answer->number, 4);
	at[ANSWER_RESULT] = answer->result;
	put_span(at + ANSWER_SIGNATURE, answer->signature);
	return true;
}
