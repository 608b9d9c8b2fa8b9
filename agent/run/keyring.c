/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keyring - few keys, so they are searched one by one. One timer wipes keys whose time is over. */
#include "agent/run/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NS_SECOND UINT64_C(1000000000)
#define LOG_AGAIN_NS (10 * NS_SECOND)

struct key {
	struct fl_signer *signer; /* owned */
	unsigned holders;
	uint64_t wipe_ms; /* uv_now() time; 0: it is current or held */
};

/* Refusals of one kind. */
struct refusals {
	uint64_t untold;
	uint64_t told_ns; /* when the log had the last line; 0: never */
};

struct fl_keyring {
	uv_timer_t timer; /* until the next key is to be wiped */
	struct fl_log *log;
	struct key keys[FL_KEYRING_KEYS]; /* oldest first */
	size_t count;
	const struct fl_signer *current; /* of keys; NULL: none */
	uint32_t grace_ms;
	struct fl_sign_rate rate;
	struct refusals refusals[FL_SIGN_RESULT_COUNT];
};

/* --- wiping ------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void remove_key(struct fl_keyring *keyring, size_t at)
{
	fl_signer_free(keyring->keys[at].signer);
	keyring->count--;
	memmove(&keyring->keys[at], &keyring->keys[at + 1],
		(keyring->count - at) * sizeof(keyring->keys[0]));
}

/* Sets when each key's time is over, wipes those whose is, and arms the timer for the next. */
static void tend(struct fl_keyring *keyring)
{
	uint64_t now = uv_now(keyring->timer.loop), next = 0;

	for (size_t i = keyring->count; i-- > 0;) {
		struct key *key = &keyring->keys[i];

		if (key->signer == keyring->current || key->holders > 0) {
			key->wipe_ms = 0;
			continue;
		}
		if (key->wipe_ms == 0) {
			key->wipe_ms = now + keyring->grace_ms;
		}
		if (key->wipe_ms <= now) {
			remove_key(keyring, i);
		} else if (next == 0 || key->wipe_ms < next) {
			next = key->wipe_ms;
		}
	}
	if (next == 0) {
		(void)uv_timer_stop(&keyring->timer);
	} else {
		FL_REQUIRE(uv_timer_start(&keyring->timer, on_timer, next - now, 0) == 0);
	}
}

static void on_timer(uv_timer_t *timer)
{
	tend(timer->data);
}

/* --- keys --------------------------------------------------------------------------------------- */

static struct key *find(struct fl_keyring *keyring, const uint8_t *name)
{
	for (size_t i = 0; i < keyring->count; i++) {
		if (memcmp(fl_signer_key_name(keyring->keys[i].signer), name, FL_DIGEST_LEN) == 0) {
			return &keyring->keys[i];
		}
	}
	return NULL;
}

static void make_room(struct fl_keyring *keyring)
{
	if (keyring->count == FL_KEYRING_KEYS) {
		remove_key(keyring, keyring->keys[0].signer == keyring->current);
	}
}

/* Takes it over, unless it is there already. Returns the one to use. */
static const struct fl_signer *add(struct fl_keyring *keyring, struct fl_signer *signer)
{
	struct key *known;

	if (signer == NULL) {
		return NULL;
	}
	known = find(keyring, fl_signer_key_name(signer));
	if (known != NULL) {
		fl_signer_free(signer);
		return known->signer;
	}
	make_room(keyring);
	keyring->keys[keyring->count++] = (struct key){.signer = signer};
	return signer;
}

static uint32_t greater(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* How long after a connection was bound to a key its handshake may still need it. Outbound, it is dialled, and the handshake
 * may begin again on another connection, for a server that refuses our application protocol. Inbound, the handshake follows
 * the first byte, for which a permissive port waits. */
static uint32_t longest_handshake_ms(const struct fl_conf *conf)
{
	uint32_t handshake = conf->limits.handshake_timeout_ms;
	uint32_t outbound = 2 * (conf->limits.connect_timeout_ms + handshake);
	uint32_t detect = conf->inbound.detect_timeout_ms;

	for (size_t i = 0; i < conf->service_count; i++) {
		detect = greater(detect, conf->services[i].inbound.detect_timeout_ms);
	}
	return greater(outbound, detect + handshake);
}

static void apply(struct fl_keyring *keyring, const struct fl_conf *conf)
{
	keyring->grace_ms = longest_handshake_ms(conf);
	fl_sign_rate_set(&keyring->rate, conf->agent.signatures, uv_hrtime());
}

void fl_keyring_take(struct fl_keyring *keyring, const struct fl_conf *conf,
		     struct fl_signer *signer)
{
	apply(keyring, conf);
	keyring->current = add(keyring, signer);
	tend(keyring);
}

void fl_keyring_add(struct fl_keyring *keyring, struct fl_signer *signer)
{
	(void)add(keyring, signer);
	tend(keyring);
}

const uint8_t *fl_keyring_current(const struct fl_keyring *keyring)
{
	return keyring->current != NULL ? fl_signer_key_name(keyring->current) : NULL;
}

bool fl_keyring_hold(struct fl_keyring *keyring, const uint8_t *name)
{
	struct key *key = find(keyring, name);

	if (key == NULL) {
		return false;
	}
	key->holders++;
	tend(keyring);
	return true;
}

void fl_keyring_release(struct fl_keyring *keyring, const uint8_t *name)
{
	struct key *key = find(keyring, name);

	if (key != NULL && key->holders > 0) {
		key->holders--;
		tend(keyring);
	}
}

/* --- signing ------------------------------------------------------------------------------------ */

static void log_refusal(struct fl_keyring *keyring, enum fl_sign_result result)
{
	static const char *const sentences[FL_SIGN_RESULT_COUNT] = {
		[FL_SIGN_KEY] = "the sidecar names a key that is not here, or not any more",
		[FL_SIGN_SCHEME] = "the key does not sign with the scheme that the sidecar names",
		[FL_SIGN_HASH] = "what the sidecar wants signed is no hash of a transcript",
		[FL_SIGN_ROLE] = "the sidecar names neither the client's role nor the server's",
		[FL_SIGN_RATE] = ("the sidecar asks for more signatures a second than `[agent] "
				  "signatures` allows"),
		[FL_SIGN_FAULT] = "the signature could not be made",
	};
	struct refusals *refusals = &keyring->refusals[result];
	uint64_t now = uv_hrtime();
	struct fl_line line;

	refusals->untold++;
	if (refusals->told_ns != 0 && now - refusals->told_ns < LOG_AGAIN_NS) {
		return;
	}
	fl_line_begin(&line, keyring->log, FL_LOG_WARN,
		      result == FL_SIGN_RATE ? "signatures put off" : "signature refused");
	fl_line_str(&line, "result", fl_sign_result_word(result));
	/* One that is put off is asked for again and again: the number would be of questions. */
	if (result != FL_SIGN_RATE) {
		fl_line_u64(&line, "refused", refusals->untold);
	}
	fl_line_str(&line, "reason", sentences[result]);
	fl_line_end(&line);
	*refusals = (struct refusals){.told_ns = now};
}

/* A request that is refused anyway takes nothing of the rate. */
static enum fl_sign_result judge(struct fl_keyring *keyring, const struct key *key,
				 const struct fl_ctl_sign_request *request,
				 struct fl_sign_share *share)
{
	enum fl_sign_result result;

	if (key == NULL) {
		return FL_SIGN_KEY;
	}
	result = fl_signer_judge(key->signer, request->role, request->scheme, request->hash);
	if (result == FL_SIGN_SIGNED && !fl_sign_rate_take(&keyring->rate, share, uv_hrtime())) {
		return FL_SIGN_RATE;
	}
	return result;
}

void fl_keyring_sign(struct fl_keyring *keyring, const struct fl_ctl_sign_request *request,
		     struct fl_sign_share *share, uint8_t *buf, struct fl_ctl_sign_answer *ret)
{
	struct key *key = find(keyring, request->key);
	enum fl_sign_result result = judge(keyring, key, request, share);
	size_t len = 0;

	if (result == FL_SIGN_SIGNED) {
		result = fl_signer_sign(key->signer, request->role, request->scheme, request->hash,
					buf, &len);
	}
	if (result != FL_SIGN_SIGNED) {
		log_refusal(keyring, result);
	}
	*ret = (struct fl_ctl_sign_answer){
		.number = request->number, .result = (uint8_t)result, .signature = {buf, len}};
}

void fl_keyring_leave(struct fl_keyring *keyring, const struct fl_sign_share *share)
{
	fl_sign_rate_leave(&keyring->rate, share);
}

/* --- life --------------------------------------------------------------------------------------- */

struct fl_keyring *fl_keyring_open(uv_loop_t *loop, const struct fl_conf *conf, struct fl_log *log)
{
	struct fl_keyring *keyring = fl_new(sizeof(*keyring));

	keyring->log = log;
	FL_REQUIRE(uv_timer_init(loop, &keyring->timer) == 0);
	keyring->timer.data = keyring;
	apply(keyring, conf);
	return keyring;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void fl_keyring_close(struct fl_keyring *keyring)
{
	while (keyring->count > 0) {
		remove_key(keyring, keyring->count - 1);
	}
	uv_close((uv_handle_t *)&keyring->timer, on_closed);
}
