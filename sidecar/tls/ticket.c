/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ticket - resumption of sessions, and which peers it admits.
 *
 * wolfSSL builds a ticket (the secret of the session, cipher, group, age, ALPN) and calls
 * on_ticket() to seal it. We append our part, which names the peer's chain, and seal both with AES-256-GCM under the current key: a random IV of 16 bytes, which GCM hashes
 * into its counter, so that even a key of months does not meet its bound; the key's name as
 * additional data.
 *
 *   of wolfSSL | version 1 | depth 1 | SHA-256 of the chain 32
 *
 * The chain itself is in the context's table of peers. If it is no longer there, the handshake is a
 * full one.
 *
 * depth counts resumptions since the full handshake. wolfSSL also counts them, in one byte, and the
 * handshake fails when that overflows; we require a full handshake before that.
 *
 * A peer that runs this software keeps its ticket while that is young and sealed with the current
 * key; every other resumption issues a new one, which costs both sides a tenth of a resumed
 * handshake. (RFC 8446 appendix C.4 recommends a new ticket each time, so that an observer cannot
 * recognize a returning client; a workload's address reveals that anyway. The key exchange is new
 * every time.)
 *
 * A returned ticket is opened. If any check fails, also for lack of memory, the ticket is rejected
 * and the handshake is a full one. Three traps: a hello may carry several tickets, and the last one
 * opened need not be the one that is chosen, so after the first good ticket all others are
 * rejected; the hello may be sent twice (HelloRetryRequest) but the ticket is chosen only once; and
 * wolfSSL would allow a peer to resume without a new key exchange. */
#include "tls/ticket.h"

#include <string.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/random.h>

#include "base/harden.h"
#include "tls/alpn.h"
#include "tls/peer.h"
#include "tls/verify.h"

#define VERSION 2
#define PART_SIZE (2u + FL_DIGEST_LEN)
#define DEPTH_MAX 200 /* wolfSSL's own counter ends at 255 */
#define TAG_SIZE 16u
#define LIFETIME_S 3600u         /* of a ticket; the chain may expire earlier */
#define RENEW_S (LIFETIME_S / 6) /* older tickets are replaced by a new one when they are used */

_Static_assert(FL_WOLF_TICKET_ROOM >= PART_SIZE, "there is room for our part");
_Static_assert(TAG_SIZE <= WOLFSSL_TICKET_MAC_SZ, "the tag goes where wolfSSL has its MAC");

/* --- keys -------------------------------------------------------------------------------------- */

struct ticket_key {
	uint8_t name[WOLFSSL_TICKET_NAME_SZ]; /* random: all zero is none */
	uint8_t key[AES_256_KEY_SIZE];
};

struct fl_tls_ticket_keys {
	unsigned refs; /* atomic */
	struct ticket_key current, previous;
	bool has_previous;
};

int fl_tls_ticket_keys_new(const struct fl_tls_ticket_keys *previous,
			   struct fl_tls_ticket_keys **ret, struct fl_err *err)
{
	struct fl_tls_ticket_keys *keys = fl_new(sizeof(*keys));
	WC_RNG rng;
	int rc = wc_InitRng(&rng);

	if (rc == 0) {
		rc = wc_RNG_GenerateBlock(&rng, (byte *)&keys->current, sizeof(keys->current));
		wc_FreeRng(&rng);
	}
	if (rc != 0) {
		fl_wipe_free(keys, sizeof(*keys));
		return fl_err_set(err, FL_ERR_BUG,
				  "no random numbers for the keys of tickets (wolfSSL %d)", rc);
	}
	(void)fl_harden_memory(keys, sizeof(*keys));
	keys->refs = 1;
	if (previous != NULL) {
		keys->previous = previous->current;
		keys->has_previous = true;
	}
	*ret = keys;
	return 0;
}

struct fl_tls_ticket_keys *fl_tls_ticket_keys_ref(struct fl_tls_ticket_keys *keys)
{
	__atomic_add_fetch(&keys->refs, 1, __ATOMIC_RELAXED);
	return keys;
}

void fl_tls_ticket_keys_unref(struct fl_tls_ticket_keys *keys)
{
	if (keys != NULL && __atomic_sub_fetch(&keys->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		fl_wipe_free(keys, sizeof(*keys));
	}
}

static const struct ticket_key *find_key(const struct fl_tls_ticket_keys *keys, const uint8_t *name)
{
	if (memcmp(keys->current.name, name, sizeof(keys->current.name)) == 0) {
		return &keys->current;
	}
	if (keys->has_previous &&
	    memcmp(keys->previous.name, name, sizeof(keys->previous.name)) == 0) {
		return &keys->previous;
	}
	return NULL;
}

enum direction { SEAL, OPEN };

/* Works in place and writes or checks the tag. Returns 0 or a wolfSSL error. */
static int run_gcm(enum direction direction, const struct ticket_key *key, const uint8_t *iv,
		   uint8_t *tag, uint8_t *data, size_t len)
{
	Aes aes;
	int rc = wc_AesInit(&aes, NULL, INVALID_DEVID);

	if (rc != 0) {
		return rc;
	}
	rc = wc_AesGcmSetKey(&aes, key->key, sizeof(key->key));
	if (rc == 0) {
		rc = direction == SEAL ? wc_AesGcmEncrypt(&aes, data, data, (word32)len, iv,
							  WOLFSSL_TICKET_IV_SZ, tag, TAG_SIZE,
							  key->name, sizeof(key->name))
				       : wc_AesGcmDecrypt(&aes, data, data, (word32)len, iv,
							  WOLFSSL_TICKET_IV_SZ, tag, TAG_SIZE,
							  key->name, sizeof(key->name));
	}
	wc_AesFree(&aes);
	fl_wipe(&aes, sizeof(aes));
	return rc;
}

/* --- claims ------------------------------------------------------------------------------------ */

void fl_tls_drop_claim(struct fl_tls *tls)
{
	if (tls->claim != NULL) {
		fl_tls_peer_unref(tls->claim->peer);
		fl_tls_release(tls->claim);
		tls->claim = NULL;
	}
}

/* Takes its own reference. False: out of memory. */
static bool set_claim(struct fl_tls *tls, struct fl_tls_peer *peer)
{
	fl_tls_drop_claim(tls);
	tls->claim = fl_tls_alloc(sizeof(*tls->claim));
	if (tls->claim == NULL) {
		return false;
	}
	tls->claim->peer = fl_tls_peer_ref(peer);
	return true;
}

bool fl_tls_settle_claim(struct fl_tls *tls)
{
	bool good = true;

	if (fl_wolf_resumes(tls->wolf)) {
		/* verify.c would have refused a certificate in addition to the ticket. */
		good = tls->claim != NULL && tls->peer == NULL;
		if (good) {
			tls->peer = tls->claim->peer;
			tls->claim->peer = NULL;
			tls->resumed = true;
			tls->mutual = tls->claim->mutual;
		}
	}
	/* wolfSSL would keep the tickets of the hello as long as the connection. */
	fl_wolf_drop_offered_tickets(tls->wolf);
	fl_tls_drop_claim(tls);
	return good;
}

/* --- server: the part of a ticket that is ours ---------------------------------------------------- */

static void write_part(uint8_t depth, const struct fl_tls_peer *peer, uint8_t *to)
{
	to[0] = VERSION;
	to[1] = depth;
	memcpy(to + 2, peer->digest, sizeof(peer->digest));
}

/* Issues a ticket to the peer of a handshake that is nearly complete: its Finished has arrived. */
static int issue(const struct fl_tls *tls, uint8_t *name, uint8_t *iv, uint8_t *mac,
		 uint8_t *ticket, int len, int *ret_len)
{
	const struct ticket_key *key = &tls->ctx->ticket_keys->current;
	const struct fl_tls_claim *claim = fl_wolf_resumes(tls->wolf) ? tls->claim : NULL;
	const struct fl_tls_peer *peer = claim != NULL ? claim->peer : tls->peer;
	size_t all = (size_t)len + PART_SIZE;

	if (peer == NULL || *ret_len < len || (size_t)*ret_len < all) {
		return WOLFSSL_TICKET_RET_FATAL;
	}
	write_part(fl_wolf_resumptions(tls->wolf), peer, ticket + len);
	memcpy(name, key->name, sizeof(key->name));
	memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
	if (fl_wolf_random(tls->wolf, iv, WOLFSSL_TICKET_IV_SZ) != 0 ||
	    run_gcm(SEAL, key, iv, mac, ticket, all) != 0) {
		fl_wipe(ticket, all);
		return WOLFSSL_TICKET_RET_FATAL;
	}
	*ret_len = (int)all;
	return WOLFSSL_TICKET_RET_OK;
}

/* Is the group of the ticket's session still one of ours? If not, the client, which is bound to it,
 * would fail when asked for another. */
static bool has_our_group(const struct fl_tls *tls, const uint8_t *ticket)
{
	struct fl_wolf_ticket own;

	fl_wolf_read_ticket(ticket, &own);
	return fl_wolf_has_group(tls->wolf, own.group);
}

/* Seconds since we made it; at least 0. */
static int64_t age_of(const struct fl_tls *tls, const uint8_t *ticket)
{
	struct fl_wolf_ticket own;
	int64_t age;

	fl_wolf_read_ticket(ticket, &own);
	age = tls->ctx->now() - (int64_t)(own.made_ms / 1000);
	return age > 0 ? age : 0;
}

/* Is the content of the ticket still valid, and has no other ticket of this handshake been
 * accepted? */
static bool accept_part(struct fl_tls *tls, const uint8_t *part, const uint8_t *iv)
{
	struct fl_tls_peer *peer;
	bool good;

	if (part[0] != VERSION || part[1] >= DEPTH_MAX ||
	    (tls->claim != NULL && memcmp(tls->claim->iv, iv, sizeof(tls->claim->iv)) != 0)) {
		return false;
	}
	peer = fl_tls_peers_find(tls->ctx->peers, part + 2);
	if (peer == NULL) {
		return false;
	}
	good = fl_tls_may_be(tls, peer) && set_claim(tls, peer);
	fl_tls_peer_unref(peer);
	if (good) {
		memcpy(tls->claim->iv, iv, sizeof(tls->claim->iv));
	}
	return good;
}

static int admit(struct fl_tls *tls, const uint8_t *name, const uint8_t *iv, uint8_t *mac,
		 uint8_t *ticket, int len, int *ret_len)
{
	static const uint8_t zeros[WOLFSSL_TICKET_MAC_SZ - TAG_SIZE];
	const struct ticket_key *key = find_key(tls->ctx->ticket_keys, name);
	const int own = (int)fl_wolf_ticket_size();

	/* (Resumption without a key exchange of its own has no forward secrecy.) */
	if (key == NULL || len != own + (int)PART_SIZE ||
	    memcmp(mac + TAG_SIZE, zeros, sizeof(zeros)) != 0 ||
	    !fl_wolf_offers_key_exchange(tls->wolf)) {
		return WOLFSSL_TICKET_RET_REJECT;
	}
	if (run_gcm(OPEN, key, iv, mac, ticket, (size_t)len) != 0 || !has_our_group(tls, ticket) ||
	    !accept_part(tls, ticket + own, iv)) {
		fl_wipe(ticket, (size_t)len);
		return WOLFSSL_TICKET_RET_REJECT;
	}
	tls->claim->keeps = key == &tls->ctx->ticket_keys->current && age_of(tls, ticket) < RENEW_S;
	*ret_len = own;
	return WOLFSSL_TICKET_RET_OK;
}

void fl_tls_spare_ticket(struct fl_tls *tls)
{
	if (tls->claim != NULL && tls->claim->keeps && fl_wolf_resumes(tls->wolf) &&
	    fl_tls_alpn_chosen(tls) != FL_TLS_PROTOCOL_OTHER) {
		(void)wolfSSL_no_ticket_TLSv13(tls->wolf);
	}
}

/* NOLINTNEXTLINE(readability-function-size): so many parameters has the type of wolfSSL. */
static int on_ticket(WOLFSSL *wolf, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
		     unsigned char iv[WOLFSSL_TICKET_IV_SZ],
		     unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int is_new, unsigned char *ticket,
		     int len, int *ret_len, void *user)
{
	struct fl_tls *tls = wolfSSL_GetIOReadCtx(wolf);

	(void)user;
	FL_REQUIRE(tls != NULL && tls->ctx->ticket_keys != NULL && len >= 0);
	return is_new ? issue(tls, name, iv, mac, ticket, len, ret_len)
		      : admit(tls, name, iv, mac, ticket, len, ret_len);
}

static bool set_tickets(struct fl_tls_ctx *ctx)
{
	if (wolfSSL_CTX_only_dhe_psk(ctx->wolf) != 0) {
		return false;
	}
	if (ctx->role == FL_TLS_CLIENT) {
		return true;
	}
	if (ctx->ticket_keys == NULL) {
		/* No callback is set either, so returned tickets are ignored. */
		return wolfSSL_CTX_no_ticket_TLSv13(ctx->wolf) == 0;
	}
	return wolfSSL_CTX_set_TicketEncCb(ctx->wolf, on_ticket) == WOLFSSL_SUCCESS &&
	       wolfSSL_CTX_set_TicketHint(ctx->wolf, LIFETIME_S) == WOLFSSL_SUCCESS &&
	       wolfSSL_CTX_set_timeout(ctx->wolf, LIFETIME_S) > 0;
}

int fl_tls_set_tickets(struct fl_tls_ctx *ctx, struct fl_tls_ticket_keys *keys, struct fl_err *err)
{
	if (keys != NULL) {
		ctx->ticket_keys = fl_tls_ticket_keys_ref(keys);
	}
	return set_tickets(ctx)
		       ? 0
		       : fl_err_set(err, FL_ERR_BUG, "wolfSSL does not turn tickets on or off");
}

/* --- client ------------------------------------------------------------------------------------ */

struct fl_tls_saved *fl_tls_save(const struct fl_tls *tls)
{
	struct fl_tls_saved *saved;
	size_t len = fl_wolf_received_ticket_size(tls->wolf);

	if (fl_tls_peer_id(tls) == NULL || tls->ctx->role != FL_TLS_CLIENT ||
	    tls->ctx->ticket_keys == NULL || len == 0 || len > FAIRLEAD_FOREIGN_TICKET_MAX) {
		return NULL;
	}
	saved = fl_tls_alloc(sizeof(*saved));
	if (saved == NULL) {
		return NULL;
	}
	saved->session = wolfSSL_get1_session(tls->wolf);
	if (saved->session == NULL) {
		fl_tls_release(saved);
		return NULL;
	}
	saved->peer = fl_tls_peer_ref(tls->peer);
	saved->mutual = tls->mutual;
	return saved;
}

void fl_tls_saved_free(struct fl_tls_saved *saved)
{
	if (saved != NULL) {
		wolfSSL_SESSION_free(saved->session); /* zeroes its secret */
		fl_tls_peer_unref(saved->peer);
		fl_tls_release(saved);
	}
}

/* Would wolfSSL accept this session? A cipher or group that is no longer ours would be an error. */
static bool fits(const struct fl_tls *tls, const WOLFSSL_SESSION *session)
{
	size_t i = 0;

	while (i < tls->ctx->share_count && tls->ctx->shares[i] != fl_wolf_group_of(session)) {
		i++;
	}
	return i < tls->ctx->share_count && fl_wolf_has_cipher_of(tls->wolf, session) &&
	       tls->ctx->now() + 1 < fl_wolf_session_end(session);
}

bool fl_tls_resume(struct fl_tls *tls, const struct fl_tls_saved *saved)
{
	WOLFSSL_SESSION *copy;
	bool good;

	FL_REQUIRE(tls->ctx->role == FL_TLS_CLIENT && tls->state == FL_TLS_STATE_HANDSHAKE &&
		   !tls->started);
	if (tls->ctx->ticket_keys == NULL || tls->claim != NULL || !fits(tls, saved->session) ||
	    !fl_tls_may_be(tls, saved->peer)) {
		return false;
	}
	/* Make a copy: the original connection may still be open and write to its own session. */
	copy = wolfSSL_SESSION_dup(saved->session);
	good = copy != NULL && set_claim(tls, saved->peer);
	if (good && wolfSSL_set_session(tls->wolf, copy) != WOLFSSL_SUCCESS) {
		fl_tls_drop_claim(tls);
		good = false;
	}
	wolfSSL_SESSION_free(copy);
	if (good) {
		tls->claim->mutual = saved->mutual;
	}
	return good;
}
