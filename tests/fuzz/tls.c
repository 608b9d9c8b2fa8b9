/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The TLS engine in both roles, against a peer that is an engine of the same kind and whose messages the input changes: in the
 * clear and, before they enter the transcript and are encrypted (tls13_hook.py), all others, so that what comes after them
 * fits. The peer may have certificates that are good or bad, resume, ask for another group, and send whatever it likes once
 * the handshake is over. Or the input is fed to the victim as it is.
 *
 * What must hold: the victim takes the peer for nobody but the one whose key it has, and for nobody at all where its
 * certificate is bad. Random numbers come from the input, so that each run is the same (except for the clock). */
#include <time.h>

#include "../lib/leaf.h"
#include "pki.h"
#include "pki/credentials.h"
#include "tls/tls_internal.h"

#include <wolfssl/internal.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* wolfSSL's word for "internal" */

/* What the peer presents, and whether that is good. */
static const struct {
	const char *name;
	bool good;
} identities[] = {
	{"p256", true},
	{"p384", true},
	{"rsa2048", true},
	{"ed25519", true},
	{"intermediate", true},
	{"other-web", true},
	{"impostor-chain", false},
	{"expired", false},
	{"leaf-ca", false},
	{"uri-two", false},
	{"p384-with-our-key", false},
};
#define IDENTITIES FL_COUNT_OF(identities)

static const char *const groups[] = {"X25519MLKEM768", "X25519", "P-256"};
static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
				      "TLS_CHACHA20_POLY1305_SHA256"};

/* By role. The peer's, by identity and by whether it has but one group, the last: the server then asks for another one. */
static struct fl_tls_ctx *peers[2][IDENTITIES][2], *victims[2];
static char *ids[IDENTITIES];
static struct fl_tls_saved *saved[IDENTITIES];

struct side {
	struct fl_tls *tls;
	enum fl_tls_step step;
	uint8_t out[1 << 17];
	size_t out_len;
	bool up;
};
static struct side peer, victim;

/* --- changes -------------------------------------------------------------------------------------- */

#define CHANGES_MAX 6u

struct change {
	uint8_t message, how;
	uint16_t at;
	struct fl_span bytes;
};
static struct change changes[CHANGES_MAX];
static size_t change_count;
static const WOLFSSL *hooked; /* the peer, while it writes its messages; else NULL */
static uint8_t message_number;

enum { SET, FLIP, CUT, REMOVE, INSERT, LENGTHS, WAYS };

/* Makes the length in a handshake message's header the true one. */
static void mend_length(uint8_t *message, size_t len)
{
	if (len >= 4) {
		message[1] = (uint8_t)((len - 4) >> 16);
		message[2] = (uint8_t)((len - 4) >> 8);
		message[3] = (uint8_t)(len - 4);
	}
}

static size_t change_once(const struct change *c, uint8_t *data, size_t len, size_t room)
{
	size_t at = len > 0 ? c->at % len : 0;
	size_t n = c->bytes.len < len - at ? c->bytes.len : len - at;

	switch (c->how % WAYS) {
	case SET:
	case FLIP:
		for (size_t i = 0; i < n; i++) {
			data[at + i] = c->how % WAYS == SET ? c->bytes.data[i]
							    : data[at + i] ^ c->bytes.data[i];
		}
		return len;
	case CUT:
		return at > 0 ? at : 1;
	case REMOVE:
		memmove(data + at, data + at + n, len - at - n);
		return len - n > 0 ? len - n : 1;
	case INSERT:
		if (len + c->bytes.len > room) {
			return len;
		}
		memmove(data + at + c->bytes.len, data + at, len - at);
		if (c->bytes.len > 0) {
			memcpy(data + at, c->bytes.data, c->bytes.len);
		}
		return len + c->bytes.len;
	default: /* two bytes of length, somewhere, one more or less */
		data[at] = (uint8_t)(data[at] + (c->bytes.len % 2 == 0 ? 1 : -1));
		return len;
	}
}

/* The next message of the peer's, in place. */
static size_t change_message(uint8_t *data, size_t len, size_t room, bool is_handshake)
{
	message_number++;
	for (size_t i = 0; i < change_count && len > 0; i++) {
		if (changes[i].message == message_number) {
			len = change_once(&changes[i], data, len, room);
			if (is_handshake && (changes[i].how & 0x80) == 0) {
				mend_length(data, len);
			}
		}
	}
	return len;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): names of the linker's */
int fuzz_tls_message(WOLFSSL *ssl, byte *message, int sz, int type);
int __real_CheckAvailableSize(WOLFSSL *ssl, int size);
int __wrap_CheckAvailableSize(WOLFSSL *ssl, int size);
int __real_HashOutput(WOLFSSL *ssl, const byte *output, int sz, int iv_sz);
int __wrap_HashOutput(WOLFSSL *ssl, const byte *output, int sz, int iv_sz);
int __wrap_wc_RNG_GenerateBlock(WC_RNG *rng, byte *output, word32 sz);

/* Called by BuildTls13Message(). */
int fuzz_tls_message(WOLFSSL *ssl, byte *message, int sz, int type)
{
	const bufferStatic *out = &ssl->buffers.outputBuffer;
	size_t used, room;

	if (ssl != hooked || message < out->buffer || message >= out->buffer + out->bufferSize) {
		return sz;
	}
	used = (size_t)(message - out->buffer) + 64; /* the tag and more */
	room = out->bufferSize > used ? out->bufferSize - used : (size_t)sz;
	room = room > 16384 ? 16384 : room;
	return (int)change_message(message, (size_t)sz, room, type == handshake);
}

/* Room for what is inserted. */
int __wrap_CheckAvailableSize(WOLFSSL *ssl, int size)
{
	return __real_CheckAvailableSize(ssl, size >= 0 && ssl == hooked ? size + 512 : size);
}

/* Hellos, which are not encrypted: their length stays. */
int __wrap_HashOutput(WOLFSSL *ssl, const byte *output, int sz, int iv_sz)
{
	bool is_clear = output[0] == handshake && sz > RECORD_HEADER_SZ;

	if (ssl == hooked && is_clear) {
		size_t len = (size_t)sz - RECORD_HEADER_SZ;
		uint8_t *message = (uint8_t *)output + RECORD_HEADER_SZ;
		uint8_t *copy = fuzz_copy((struct fl_span){message, len});

		(void)change_message(copy, len, len, false);
		memcpy(message, copy, len);
		free(copy);
	}
	return __real_HashOutput(ssl, output, sz, iv_sz);
}

static uint64_t random_state;

int __wrap_wc_RNG_GenerateBlock(WC_RNG *rng, byte *output, word32 sz)
{
	(void)rng;
	for (word32 i = 0; i < sz; i++) {
		random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
		output[i] = (byte)(random_state >> 56);
	}
	return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* --- two sides ------------------------------------------------------------------------------------- */

static bool expect_anybody(void *user, const char *id, size_t len)
{
	(void)user;
	(void)id;
	return len > 0;
}

static void keep_out(struct side *side, const struct fl_tls_io *io)
{
	side->out_len = io->out_len;
}

static struct fl_tls_io io_of(struct side *side, struct fl_span in)
{
	return (struct fl_tls_io){.in = in.data,
				  .in_len = in.len,
				  .out = side->out,
				  .out_len = side->out_len,
				  .out_cap = sizeof(side->out)};
}

static void check_failure(const struct side *side)
{
	const struct fl_tls_failure *failure = fl_tls_failure(side->tls);

	FL_REQUIRE(failure != NULL && failure->cause != FL_TLS_CAUSE_NONE);
	FL_REQUIRE(failure->text[0] != '\0');
	FL_REQUIRE(fl_tls_peer_id(side->tls) == NULL || side->up);
}

static void read_all(struct side *side, struct fl_tls_io *io)
{
	static uint8_t plain[16384];
	size_t n = 0;

	do {
		size_t before = io->in_len;

		side->step = fl_tls_read(side->tls, io, plain, sizeof(plain), &n);
		FL_REQUIRE(n <= sizeof(plain));
		FL_REQUIRE(io->in_len < before || n > 0 || side->step != FL_TLS_MORE);
	} while (side->step == FL_TLS_MORE && io->in_len > 0);
}

static void feed(struct side *side, struct fl_span in)
{
	uint8_t *copy = fuzz_copy(in);
	struct fl_tls_io io;

	if (side->step != FL_TLS_MORE ||
	    sizeof(side->out) - side->out_len < 2 * FL_TLS_OUT_RESERVE) {
		free(copy);
		return;
	}
	io = io_of(side, (struct fl_span){copy, in.len});
	hooked = side == &peer ? peer.tls->wolf : NULL;
	if (!side->up) {
		side->step = fl_tls_handshake(side->tls, &io);
		if (side->step == FL_TLS_ESTABLISHED) {
			side->up = true;
			side->step = FL_TLS_MORE;
		}
	}
	if (side->up && side->step == FL_TLS_MORE && io.in_len > 0) {
		read_all(side, &io);
	}
	hooked = NULL;
	FL_REQUIRE(io.out_len <= io.out_cap);
	keep_out(side, &io);
	if (side->step == FL_TLS_FAILED) {
		check_failure(side);
	}
	free(copy);
}

static void deliver(struct side *to, struct side *from, size_t most)
{
	static uint8_t wire[sizeof(from->out)];
	struct fl_span in = {wire, from->out_len};

	memcpy(wire, from->out, from->out_len);
	from->out_len = 0;
	while (in.len > 0) {
		feed(to, fuzz_take(&in, most));
	}
}

/* Whom the victim speaks with. */
static void check_identity(size_t identity)
{
	const char *id = victim.up ? fl_tls_peer_id(victim.tls) : NULL;

	if (victim.up) {
		FL_REQUIRE(identities[identity].good);
		FL_REQUIRE(id != NULL || victim.step == FL_TLS_FAILED);
		FL_REQUIRE(id == NULL || strcmp(id, ids[identity]) == 0);
	}
}

static void open_sides(enum fl_tls_role role, size_t identity, bool other_group)
{
	peer.out_len = victim.out_len = 0;
	peer.up = victim.up = false;
	peer.step = victim.step = FL_TLS_MORE;
	FL_REQUIRE(fl_tls_new(peers[role][identity][other_group], expect_anybody, NULL, &peer.tls,
			      NULL) == FL_OK);
	FL_REQUIRE(fl_tls_new(victims[1 - role], expect_anybody, NULL, &victim.tls, NULL) == FL_OK);
	message_number = 0;
}

static void close_sides(void)
{
	fl_tls_free(peer.tls);
	fl_tls_free(victim.tls);
}

static void shake_hands(enum fl_tls_role role, size_t most)
{
	feed(role == FL_TLS_CLIENT ? &peer : &victim, (struct fl_span){NULL, 0});
	for (int i = 0; i < 6 && peer.out_len + victim.out_len > 0; i++) {
		deliver(&victim, &peer, most);
		deliver(&peer, &victim, most);
	}
}

/* --- afterwards ------------------------------------------------------------------------------------ */

/* A record of the peer's, of any type and with any content, well protected. */
static void send_record(struct fl_span content, int type)
{
	static byte record[RECORD_HEADER_SZ + 16384 + 256];
	uint8_t *copy = fuzz_copy(content);
	int sz = BuildTls13Message(peer.tls->wolf, record, (int)content.len + 100, copy,
				   (int)content.len, type, 0, 0, 0);

	free(copy);
	if (sz > 0) {
		feed(&victim, (struct fl_span){record, (size_t)sz});
	}
}

/* What the victim's owner may do meanwhile. */
static void act(uint8_t what)
{
	struct fl_tls_io io = io_of(&victim, (struct fl_span){NULL, 0});

	if (!victim.up || victim.step == FL_TLS_FAILED || victim.tls->closed || victim.tls->muted ||
	    io.out_cap - io.out_len < 2 * FL_TLS_OUT_RESERVE) {
		return;
	}
	if (what % 4 == 0) {
		(void)!fl_tls_write(victim.tls, &io, (const uint8_t *)"hello", 5);
	} else if (what % 4 == 1) {
		fl_tls_close(victim.tls, &io);
	} else if (what % 4 == 2) {
		fl_tls_alert(victim.tls, &io, 49);
		victim.step = FL_TLS_FAILED; /* by us, so that there is no reason */
	} else {
		fl_tls_saved_free(fl_tls_save(victim.tls));
	}
	keep_out(&victim, &io);
}

static void talk(struct fl_span in)
{
	static const int types[] = {handshake, application_data, alert, change_cipher_spec};

	for (int i = 0; i < 12 && in.len > 2 && peer.up && peer.step != FL_TLS_FAILED; i++) {
		uint8_t op = fuzz_u8(&in);
		size_t len = (size_t)fuzz_u8(&in) << ((op & 0x80) != 0 ? 6 : 0);

		if ((op & 0x40) != 0) {
			act(op);
		} else {
			send_record(fuzz_take(&in, len), types[op % 4]);
		}
	}
	deliver(&peer, &victim, SIZE_MAX);
}

/* --- before it all ---------------------------------------------------------------------------------- */

static void read_chain(const char *name, struct fl_der_list *ret)
{
	char *file = fl_format("%s.crt", name);
	struct fl_span pem = fuzz_pki_file(file);

	FL_REQUIRE(fl_pem_certificates((const char *)pem.data, pem.len, false, ret, NULL) == 0);
	free(file);
}

static void read_key(const char *name, struct fl_der *ret)
{
	char *file = fl_format("%s.key", name);
	struct fl_span pem = fuzz_pki_file(file);

	FL_REQUIRE(fl_pem_private_key((const char *)pem.data, pem.len, ret, NULL) == 0);
	free(file);
}

static struct fl_credentials *read_credentials(void)
{
	struct fl_foreign_bundle foreign = {
		.trust_domain = "other.example", .pem = fuzz_pki_file("other.crt"), .name = "f"};
	struct fl_credentials_pem pem = {.cert = fuzz_pki_file("p256.crt"),
					 .key = fuzz_pki_file("p256.key"),
					 .bundle = fuzz_pki_file("root.crt"),
					 .cert_name = "c",
					 .key_name = "k",
					 .bundle_name = "b",
					 .foreign = &foreign,
					 .foreign_count = 1};
	struct fl_credentials *c = NULL;
	struct fl_err err = {0};

	if (fl_credentials_parse(&pem, (int64_t)time(NULL), &c, &err) != FL_OK) {
		fl_require_failed(err.text, __FILE__, __LINE__);
	}
	return c;
}

/* Puts the identity's chain and key past the checks of fl_tls_ctx_new(). */
static void present(struct fl_tls_ctx *ctx, size_t identity)
{
	bool mismatch = strcmp(identities[identity].name, "p384-with-our-key") == 0;
	const char *name = mismatch ? "p384" : identities[identity].name;
	struct fl_der_list chain = {0};
	struct fl_public_key public;
	struct fl_spiffe_id id;
	struct fl_cert leaf;
	struct fl_der key = {0};

	read_chain(name, &chain);
	read_key(mismatch ? "p256" : name, &key);
	struct fl_span der = {chain.items[0].data, chain.items[0].len};
	FL_REQUIRE(fl_cert_parse(der, &leaf, NULL) == FL_RULE_NONE);
	public = leaf.key;
	FL_REQUIRE(fl_wolf_set_chain(ctx->wolf, &chain, public.kind) == 0);
	FL_REQUIRE(wolfSSL_CTX_use_PrivateKey_buffer(ctx->wolf, key.data, (long)key.len,
						     WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS);
	if (ids[identity] == NULL && leaf_check(der, &id, NULL) == FL_RULE_NONE) {
		ids[identity] = fl_strndup(id.text, id.len);
	}
	fl_der_list_done(&chain);
	fl_der_wipe(&key);
}

static void make_contexts(struct fl_tls_ticket_keys *keys, struct fl_tls_peers *table)
{
	struct fl_credentials *credentials = read_credentials();

	for (int role = 0; role < 2; role++) {
		struct fl_tls_options options = {.groups = groups,
						 .group_count = 3,
						 .ciphers = ciphers,
						 .cipher_count = 3,
						 .ticket_keys = keys,
						 .peers = table,
						 .epoch = 1};

		FL_REQUIRE(fl_tls_ctx_new(credentials, &options, (enum fl_tls_role)role,
					  &victims[role], NULL) == FL_OK);
		for (size_t i = 0; i < 2 * IDENTITIES; i++) {
			struct fl_tls_ctx **ctx = &peers[role][i / 2][i % 2];

			options.groups = groups + (i % 2 == 0 ? 0 : 2);
			options.group_count = i % 2 == 0 ? 3 : 1;
			options.peers = NULL;
			options.epoch = 0;
			FL_REQUIRE(fl_tls_ctx_new(credentials, &options, (enum fl_tls_role)role,
						  ctx, NULL) == FL_OK);
			present(*ctx, i / 2);
		}
	}
}

/* Each identity's own session, and proof that the scene is as it should be. */
static void try_identity(size_t identity)
{
	open_sides(FL_TLS_CLIENT, identity, false);
	shake_hands(FL_TLS_CLIENT, SIZE_MAX);
	act(0);
	deliver(&peer, &victim, SIZE_MAX);
	FL_REQUIRE(victim.up == identities[identity].good);
	check_identity(identity);
	saved[identity] = identities[identity].good ? fl_tls_save(peer.tls) : NULL;
	FL_REQUIRE((saved[identity] != NULL) == identities[identity].good);
	close_sides();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct fl_tls_ticket_keys *keys;
	static struct fl_tls_peers *table;

	(void)argc;
	(void)argv;
	random_state = 1;
	FL_REQUIRE(fl_tls_global_init(NULL) == FL_OK);
	FL_REQUIRE(fl_tls_ticket_keys_new(NULL, &keys, NULL) == FL_OK);
	FL_REQUIRE(fl_tls_peers_new(&table, NULL) == FL_OK);
	make_contexts(keys, table);
	for (size_t i = 0; i < IDENTITIES; i++) {
		try_identity(i);
	}
	return 0;
}

/* Flags, identity, size of the pieces, changes, and what follows the handshake, or is fed in place of all that. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	uint8_t flags = fuzz_u8(&in);
	enum fl_tls_role role = (flags & 1) != 0 ? FL_TLS_CLIENT : FL_TLS_SERVER;
	size_t identity = fuzz_u8(&in) % IDENTITIES, most = 1 + (size_t)fuzz_u8(&in);

	most = (flags & 2) != 0 ? most : SIZE_MAX;
	random_state = flags;
	change_count = fuzz_u8(&in) % (CHANGES_MAX + 1);
	for (size_t i = 0; i < change_count; i++) {
		changes[i].message = fuzz_u8(&in) % 10;
		changes[i].how = fuzz_u8(&in);
		changes[i].at = fuzz_u16(&in);
		changes[i].bytes = fuzz_take(&in, fuzz_u8(&in));
	}
	open_sides(role, identity, (flags & 8) != 0);
	if ((flags & 4) != 0 && role == FL_TLS_CLIENT && saved[identity] != NULL) {
		(void)fl_tls_resume(peer.tls, saved[identity]);
	}
	if ((flags & 16) != 0) {
		feed(&victim, (struct fl_span){NULL, 0});
		while (in.len > 0) {
			feed(&victim, fuzz_take(&in, most));
		}
		FL_REQUIRE(!victim.up);
	} else {
		shake_hands(role, most);
		talk(in);
		check_identity(identity);
	}
	close_sides();
	return 0;
}
