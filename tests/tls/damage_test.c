/* SPDX-License-Identifier: GPL-3.0-or-later */
/* damage_test - handshakes of which one message arrives other than it was sent, at every byte of every message. Every
 * failure that a peer's bytes can cause is the peer's fault: none may be reported as ours, and each has a sentence.
 *
 * Messages are damaged before they are sealed: the linker puts a function of this file in front of wolfSSL's AES-GCM. */
#include "pair.h"

#include <wolfssl/internal.h>
#include <wolfssl/wolfcrypt/aes.h>

enum how { FLIP, SET, CUT, LENGTHEN };

/* What to do to the first message of a type that a side sends. */
static struct {
	enum fl_tls_role sender;
	int type; /* none: -1 */
	enum how how;
	size_t at;
	uint8_t value, second; /* of this byte and, flipped, the next one */
	size_t len;            /* of the message that was met */
	bool met;
} damage = {.type = -1};

static enum fl_tls_role sealing; /* whose call is under way */

/* A handshake message, its header included, in room for 4 bytes more. The new length. */
static size_t hurt(uint8_t *message, size_t len)
{
	damage.met = true;
	damage.len = len;
	switch (damage.how) {
	case FLIP:
		if (damage.at < len) {
			message[damage.at] ^= damage.value;
			message[damage.at + 1 < len ? damage.at + 1 : damage.at] ^= damage.second;
		}
		return len;
	case SET:
		if (damage.at < len) {
			message[damage.at] = damage.value;
		}
		return len;
	case CUT: /* with a header that agrees */
		len = damage.at < len && damage.at >= HANDSHAKE_HEADER_SZ ? damage.at : len;
		break;
	case LENGTHEN:
		memset(message + len, 0, 4);
		len += 4;
		break;
	}
	message[2] = (uint8_t)((len - HANDSHAKE_HEADER_SZ) >> 8);
	message[3] = (uint8_t)(len - HANDSHAKE_HEADER_SZ);
	return len;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-function-size): names of the linker's, parameters of wolfSSL's */
int __real_wc_AesGcmEncrypt_ex(Aes *aes, byte *out, const byte *in, word32 sz, byte *iv,
			       word32 iv_len, byte *tag, word32 tag_len, const byte *aad,
			       word32 aad_len);
int __wrap_wc_AesGcmEncrypt_ex(Aes *aes, byte *out, const byte *in, word32 sz, byte *iv,
			       word32 iv_len, byte *tag, word32 tag_len, const byte *aad,
			       word32 aad_len);

/* Its length must stay, since the record's header is written already. */
int __wrap_wc_AesGcmEncrypt_ex(Aes *aes, byte *out, const byte *in, word32 sz, byte *iv,
			       word32 iv_len, byte *tag, word32 tag_len, const byte *aad,
			       word32 aad_len)
{
	bool is_handshake = aad_len == RECORD_HEADER_SZ && sz > HANDSHAKE_HEADER_SZ + 1 &&
			    in[sz - 1] == handshake;

	if (!is_handshake || damage.met || sealing != damage.sender || in[0] != damage.type) {
		return __real_wc_AesGcmEncrypt_ex(aes, out, in, sz, iv, iv_len, tag, tag_len, aad,
						  aad_len);
	}
	uint8_t *copy = malloc(sz + 4);
	memcpy(copy, in, sz);
	size_t len = hurt(copy, sz - 1);
	/* What is cut off is padding, which is legal (RFC 8446 section 5.4). */
	memset(copy + len, 0, len < sz ? sz - len : 0);
	copy[len < sz ? len : sz - 1] = handshake;
	int rc = __real_wc_AesGcmEncrypt_ex(aes, out, copy, sz, iv, iv_len, tag, tag_len, aad,
					    aad_len);
	free(copy);
	return rc;
}

/* NOLINTEND(bugprone-reserved-identifier,readability-function-size) */

/* Hellos are not encrypted. Damages the selected one if it begins its own record. */
static size_t hurt_hello(const struct side *from, uint8_t *data, size_t len)
{
	enum fl_tls_role role = from->ctx->role;
	size_t at = 0;

	while (at + RECORD_HEADER_SZ + HANDSHAKE_HEADER_SZ < len) {
		size_t record = (size_t)(data[at + 3] << 8 | data[at + 4]), now;
		uint8_t *message = data + at + RECORD_HEADER_SZ;
		if (data[at] == handshake && !damage.met && role == damage.sender &&
		    message[0] == damage.type) {
			uint8_t *copy = malloc(record + 4);
			memcpy(copy, message, record);
			now = hurt(copy, record);
			memmove(message + now, message + record, len - (at + 5 + record));
			memcpy(message, copy, now);
			free(copy);
			data[at + 3] = (uint8_t)(now >> 8);
			data[at + 4] = (uint8_t)now;
			return len - record + now;
		}
		at += RECORD_HEADER_SZ + record;
	}
	return len;
}

static void carry(struct side *to, struct side *from)
{
	uint8_t *data = malloc(from->out_len + 4);
	size_t len = from->out_len;

	if (len > 0) {
		memcpy(data, from->out, len);
	}
	from->out_len = 0;
	len = hurt_hello(from, data, len);
	sealing = to->ctx->role;
	if (len > 0) {
		side_feed(to, data, len);
	}
	free(data);
}

struct scene {
	const char *name;
	struct side_spec client, server;
	bool resumed;
	bool only_proofs; /* Certificate and CertificateVerify; the rest does not depend on the key */
};

static const char *const hybrid_or_p256[] = {"X25519MLKEM768", "P-256"};
static const char *const only_p256[] = {"P-256"};
static const struct fl_tls_options asks_again_client = {
	.groups = hybrid_or_p256, .group_count = 2, .ciphers = all_ciphers, .cipher_count = 1};
static const struct fl_tls_options asks_again_server = {
	.groups = only_p256, .group_count = 1, .ciphers = all_ciphers, .cipher_count = 1};

/* Each sentence once. */
static char *complaints[32];

static void complain(const struct scene *scene, const struct side *side)
{
	const struct fl_tls_failure *f = fl_tls_failure(side->tls);
	size_t i = 0;

	if (f->cause != FL_TLS_CAUSE_INTERNAL) {
		return;
	}
	while (i < FL_COUNT_OF(complaints) && complaints[i] != NULL &&
	       strstr(complaints[i], f->text) == NULL) {
		i++;
	}
	if (i < FL_COUNT_OF(complaints) && complaints[i] == NULL) {
		complaints[i] =
			fl_format("%s, type %d of the %s, how %d, byte %zu ^ %02x: %s", scene->name,
				  damage.type, damage.sender == FL_TLS_CLIENT ? "client" : "server",
				  (int)damage.how, damage.at, damage.value, f->text);
	}
}

static void run(const struct scene *scene, struct pair *pair, const struct fl_tls_saved *saved)
{
	damage.met = false;
	pair_again(pair, &scene->client, &scene->server);
	cr_assert(saved == NULL || fl_tls_resume(pair->client.tls, saved));
	sealing = FL_TLS_CLIENT;
	pair_start(pair);
	for (int i = 0; i < 6; i++) {
		carry(&pair->server, &pair->client);
		carry(&pair->client, &pair->server);
		/* Tickets come with the first bytes of the server. */
		if (i == 2 && side_is_up(&pair->server) && side_is_up(&pair->client)) {
			sealing = FL_TLS_SERVER;
			side_write(&pair->server, (const uint8_t *)"x", 1);
		}
	}
	complain(scene, &pair->client);
	complain(scene, &pair->server);
}

/* All bytes of one message, each flipped and set in several ways, and the message cut short anywhere. */
static void run_all(const struct scene *scene, struct pair *pair, const struct fl_tls_saved *saved,
		    enum fl_tls_role sender, int type)
{
	static const struct {
		enum how how;
		uint8_t value;
	} ways[] = {{FLIP, 0x01}, {SET, 0xff}, {CUT, 0}, {SET, 0x00}, {FLIP, 0x80}};
	size_t way_count = getenv("FAIRLEAD_LONG") != NULL ? FL_COUNT_OF(ways) : 3;

	damage.sender = sender;
	damage.type = type;
	damage.how = LENGTHEN;
	damage.len = 0;
	run(scene, pair, saved);
	for (size_t w = 0; w < way_count; w++) {
		damage.how = ways[w].how;
		damage.value = ways[w].value;
		/* Of key shares, certificates and signatures most bytes are like the others. */
		for (damage.at = 0; damage.at < damage.len;
		     damage.at += damage.at < 60 || damage.len < 60 ? 1 : 1 + damage.len / 100) {
			run(scene, pair, saved);
		}
	}
	damage.type = -1;
}

static void run_scene(const struct scene *scene)
{
	static const struct {
		enum fl_tls_role sender;
		int type;
	} messages[] = {
		{FL_TLS_CLIENT, client_hello},        {FL_TLS_CLIENT, certificate},
		{FL_TLS_CLIENT, certificate_verify},  {FL_TLS_CLIENT, finished},
		{FL_TLS_SERVER, server_hello},        {FL_TLS_SERVER, encrypted_extensions},
		{FL_TLS_SERVER, certificate_request}, {FL_TLS_SERVER, certificate},
		{FL_TLS_SERVER, certificate_verify},  {FL_TLS_SERVER, finished},
		{FL_TLS_SERVER, session_ticket},
	};
	struct fl_tls_options options[2];
	struct side_spec client = scene->client, server = scene->server;
	struct fl_tls_ticket_keys *keys = NULL;
	struct fl_tls_saved *saved = NULL;
	struct pair pair;

	cr_assert_eq(fl_tls_ticket_keys_new(NULL, &keys, NULL), 0);
	options[0] = client.options != NULL ? *client.options : default_options;
	options[1] = server.options != NULL ? *server.options : default_options;
	options[0].ticket_keys = options[1].ticket_keys = keys;
	client.options = &options[0];
	server.options = &options[1];
	pair_open(&pair, &client, &server);
	run(scene, &pair, NULL);
	ASSERT_UP(&pair);
	if (scene->resumed) {
		saved = fl_tls_save(pair.client.tls);
		cr_assert_not_null(saved);
	}
	for (size_t i = 0; i < FL_COUNT_OF(messages); i++) {
		if (scene->only_proofs && messages[i].type != certificate &&
		    messages[i].type != certificate_verify) {
			continue;
		}
		run_all(scene, &pair, saved, messages[i].sender, messages[i].type);
	}
	run(scene, &pair, saved);
	ASSERT_UP(&pair);
	cr_assert_eq(fl_tls_resumed(pair.server.tls), scene->resumed);
	fl_tls_saved_free(saved);
	pair_close(&pair);
	fl_tls_ticket_keys_unref(keys);
	for (size_t i = 0; i < FL_COUNT_OF(complaints) && complaints[i] != NULL; i++) {
		cr_expect_fail("%s", complaints[i]);
		free(complaints[i]);
		complaints[i] = NULL;
	}
}

Test(damage, full_handshake)
{
	static const struct scene scene = {.name = "P-256"};
	run_scene(&scene);
}

Test(damage, resumed_handshake)
{
	static const struct scene scene = {.name = "resumed", .resumed = true};
	run_scene(&scene);
}

Test(damage, asked_for_another_group)
{
	static const struct scene scene = {.name = "HelloRetryRequest",
					   .client = {.options = &asks_again_client},
					   .server = {.options = &asks_again_server}};
	run_scene(&scene);
}

Test(damage, other_keys)
{
	static const char *const keys[] = {"p384", "ed25519", "rsa2048", "intermediate"};
	for (size_t i = 0; i < FL_COUNT_OF(keys); i++) {
		struct scene scene = {.name = keys[i],
				      .client = {.own = keys[i]},
				      .server = {.own = keys[i]},
				      .only_proofs = true};
		run_scene(&scene);
	}
}

/* RFC 8446 section 4.4.3. */
Test(damage, signature_scheme_that_does_not_fit__illegal_parameter)
{
	static const uint16_t schemes[] = {0x0804, 0x0807, 0x0401, 0x0203, 0x7f01};
	static const struct scene scene;
	struct pair pair;

	pair_open(&pair, NULL, NULL);
	for (size_t i = 0; i < FL_COUNT_OF(schemes); i++) {
		damage.sender = FL_TLS_CLIENT;
		damage.type = certificate_verify;
		damage.how = FLIP;
		damage.at = HANDSHAKE_HEADER_SZ;
		damage.value = (uint8_t)(schemes[i] >> 8 ^ 0x04);
		damage.second = (uint8_t)(schemes[i] ^ 0x03);
		run(&scene, &pair, NULL);
		ASSERT_FAILED(&pair.server, FL_TLS_CAUSE_PROTOCOL, FL_RULE_NONE, 47);
	}
	damage.second = 0;
	pair_close(&pair);
}
