/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ctx - one WOLFSSL_CTX for a generation, a worker and a role, from parsed credentials.
 *
 * TLS 1.3 only, both sides authenticate, no session cache of wolfSSL's, and no roots in it:
 * verify.c judges peers. Fails with FL_ERR_INVALID and a sentence if the material cannot be used
 * (fl_credentials_parse() should have caught that), and with FL_ERR_NOMEM if memory runs out.
 * Nothing is shared between contexts, so each thread has its own and no lock is contended. */
#include "tls/tls_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/wc_mlkem.h>

#include "base/harden.h"
#include "tls/ctx.h"
#include "tls/io.h"
#include "tls/ticket.h"
#include "tls/verify.h"
#if defined(FL_WITH_VAES)
#include "tls/gcm_vaes.h"
#endif

#define MIN_RSA_BITS 2048
/* Our flight has room for it, with a large key share and an RSA signature beside it. */
#define OWN_CHAIN_MAX (FL_TLS_OUT_RESERVE - 6u * 1024)
#define MIN_ECC_BITS 256

static const struct {
	const char *ini;
	uint16_t group;
	/* Its key share goes into the first hello. The second X25519 key costs a client 10 us of
	 * the 270 us that both sides of a hybrid handshake need together (tls_bench), for any peer.
	 * Without it, a peer without ML-KEM costs the same again for a second hello, and a round
	 * trip. P-256 is a last resort, the most expensive one: its share is sent only if a
	 * server asks for it. */
	bool share;
} group_names[] = {
	{"X25519MLKEM768", WOLFSSL_X25519MLKEM768, true},
	{"X25519", WOLFSSL_ECC_X25519, true},
	{"P-256", WOLFSSL_ECC_SECP256R1, false},
};

static const struct {
	const char *ini;
	const char *wolf;
} cipher_names[] = {
	{"TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256"},
	{"TLS_AES_256_GCM_SHA384", "TLS13-AES256-GCM-SHA384"},
	{"TLS_CHACHA20_POLY1305_SHA256", "TLS13-CHACHA20-POLY1305-SHA256"},
};

const char *fl_tls_cipher_name(const char *wolf)
{
	for (size_t i = 0; i < FL_COUNT_OF(cipher_names); i++) {
		if (strcmp(cipher_names[i].wolf, wolf) == 0) {
			return cipher_names[i].ini;
		}
	}
	return wolf;
}

static int wolf_failed(struct fl_err *err, int code, const char *what)
{
	if (code == WC_NO_ERR_TRACE(MEMORY_E) || code == MEMORY_ERROR) {
		return fl_err_set(err, FL_ERR_NOMEM, "%s: out of memory", what);
	}
	return fl_err_set(err, FL_ERR_INVALID, "%s: wolfSSL refuses it with %d (%s)", what, code,
			  wolfSSL_ERR_reason_error_string((unsigned long)(long)code));
}

static int set_groups(struct fl_tls_ctx *ctx, const struct fl_tls_options *options,
		      struct fl_err *err)
{
	int groups[FL_COUNT_OF(group_names)];
	size_t count = 0;

	for (size_t i = 0; i < options->group_count; i++) {
		size_t g = 0;
		while (g < FL_COUNT_OF(group_names) &&
		       strcmp(group_names[g].ini, options->groups[i]) != 0) {
			g++;
		}
		if (g == FL_COUNT_OF(group_names) || count == FL_COUNT_OF(groups)) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"TLS group %s: known are X25519MLKEM768, X25519 and P-256, each once",
				options->groups[i]);
		}
		groups[count++] = group_names[g].group;
		if (ctx->role == FL_TLS_CLIENT && group_names[g].share) {
			ctx->shares[ctx->share_count++] = group_names[g].group;
		}
	}
	if (count == 0) {
		return fl_err_set(err, FL_ERR_INVALID, "no TLS group is configured");
	}
	/* A first hello without any key share would always cost a round trip. */
	if (ctx->role == FL_TLS_CLIENT && ctx->share_count == 0) {
		ctx->shares[ctx->share_count++] = (uint16_t)groups[0];
	}
	int rc = wolfSSL_CTX_set_groups(ctx->wolf, groups, (int)count);
	return rc == WOLFSSL_SUCCESS ? 0 : wolf_failed(err, rc, "the TLS groups");
}

static int set_ciphers(struct fl_tls_ctx *ctx, const struct fl_tls_options *options,
		       struct fl_err *err)
{
	char list[160] = "";
	size_t len = 0;

	for (size_t i = 0; i < options->cipher_count; i++) {
		size_t c = 0;
		while (c < FL_COUNT_OF(cipher_names) &&
		       strcmp(cipher_names[c].ini, options->ciphers[i]) != 0) {
			c++;
		}
		if (c == FL_COUNT_OF(cipher_names) || i >= FL_COUNT_OF(cipher_names)) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"TLS cipher %s: known are TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384 "
				"and TLS_CHACHA20_POLY1305_SHA256, each once",
				options->ciphers[i]);
		}
		int n = snprintf(list + len, sizeof(list) - len, "%s%s", len > 0 ? ":" : "",
				 cipher_names[c].wolf);
		FL_REQUIRE(n > 0 && (size_t)n < sizeof(list) - len);
		len += (size_t)n;
	}
	if (len == 0) {
		return fl_err_set(err, FL_ERR_INVALID, "no TLS cipher is configured");
	}
	/* It knows all of these names, so only memory can be missing. It does not say so. */
	return wolfSSL_CTX_set_cipher_list(ctx->wolf, list) == WOLFSSL_SUCCESS
		       ? 0
		       : fl_err_set(err, FL_ERR_NOMEM, "the TLS ciphers: out of memory");
}

static int load_own(struct fl_tls_ctx *ctx, struct fl_err *err)
{
	const struct fl_credentials *c = ctx->credentials;
	struct fl_cert leaf;
	size_t copy_len;
	void *copy;
	int rc;

	if (c->chain.count == 0 ||
	    fl_cert_parse((struct fl_span){c->chain.items[0].data, c->chain.items[0].len}, &leaf,
			  err) != FL_RULE_NONE ||
	    fl_key_check_kind(&leaf.key, err) != 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "our certificate is not one that we can use");
	}
	if (fl_wolf_chain_size(&c->chain) > OWN_CHAIN_MAX) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "our certificate chain has %zu bytes, the maximum is %u: remove "
				  "certificates that are not needed",
				  fl_wolf_chain_size(&c->chain), OWN_CHAIN_MAX);
	}
	if (fl_wolf_set_chain(ctx->wolf, &c->chain, leaf.key.kind) != 0) {
		return fl_err_set(err, FL_ERR_NOMEM, "our certificate chain: out of memory");
	}
	ctx->own_key = leaf.key;
	fl_key_name(&leaf.key, ctx->own_key_name);
	if (c->key.len == 0) {
		ctx->signs_elsewhere = true;
		return fl_wolf_set_absent_key(ctx->wolf, &leaf.key) == 0
			       ? 0
			       : fl_err_set(err, FL_ERR_NOMEM, "our certificate: out of memory");
	}
	rc = wolfSSL_CTX_use_PrivateKey_buffer(ctx->wolf, c->key.data, (long)c->key.len,
					       WOLFSSL_FILETYPE_ASN1);
	if (rc != WOLFSSL_SUCCESS) {
		return wolf_failed(err, rc, "our private key");
	}
	rc = fl_key_check_private(&leaf.key, (struct fl_span){c->key.data, c->key.len}, NULL);
	if (rc != 0) {
		return fl_err_set(err, rc,
				  rc == FL_ERR_NOMEM
					  ? "our private key: out of memory"
					  : "our private key does not belong to our certificate");
	}
	/* wolfSSL's own copy of the key. If the system forbids it, the key is used anyway. */
	fl_wolf_private_key(ctx->wolf, &copy, &copy_len);
	(void)fl_harden_memory(copy, copy_len);
	return 0;
}

static int configure(struct fl_tls_ctx *ctx, const struct fl_tls_options *options,
		     struct fl_err *err)
{
	int rc;

	wolfSSL_CTX_SetIORecv(ctx->wolf, fl_tls_recv);
	wolfSSL_CTX_SetIOSend(ctx->wolf, fl_tls_send);
	wolfSSL_CTX_set_verify(ctx->wolf, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			       fl_tls_verify);
	wolfSSL_CTX_set_session_cache_mode(ctx->wolf, WOLFSSL_SESS_CACHE_OFF);
	if (wolfSSL_CTX_SetMinRsaKey_Sz(ctx->wolf, MIN_RSA_BITS) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_SetMinEccKey_Sz(ctx->wolf, MIN_ECC_BITS) != WOLFSSL_SUCCESS) {
		return fl_err_set(err, FL_ERR_BUG, "wolfSSL refuses the minimum key sizes");
	}
	rc = wc_rng_new_ex(&ctx->random, NULL, 0, NULL, INVALID_DEVID);
	if (rc != 0) {
		return wolf_failed(err, rc, "the random number generator");
	}
	fl_wolf_set_random(ctx->wolf, ctx->random);
	if (options->peers != NULL) {
		ctx->peers = fl_tls_peers_ref(options->peers);
	} else if ((rc = fl_tls_peers_new(&ctx->peers, err)) != 0) {
		return rc;
	}
	if ((rc = fl_tls_set_tickets(ctx, options->ticket_keys, err)) != 0 ||
	    (rc = set_groups(ctx, options, err)) != 0 ||
	    (rc = set_ciphers(ctx, options, err)) != 0) {
		return rc;
	}
	return load_own(ctx, err);
}

static int64_t seconds_now(void)
{
	return (int64_t)time(NULL);
}

int fl_tls_ctx_new(const struct fl_credentials *credentials, const struct fl_tls_options *options,
		   enum fl_tls_role role, struct fl_tls_ctx **ret, struct fl_err *err)
{
	struct fl_tls_ctx *ctx = fl_tls_alloc(sizeof(*ctx));

	if (ctx == NULL) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	ctx->credentials = credentials;
	ctx->role = role;
	ctx->now = seconds_now;
	ctx->epoch = options->epoch;
	ctx->framed = options->framed;
	ctx->wolf = wolfSSL_CTX_new(role == FL_TLS_CLIENT ? wolfTLSv1_3_client_method()
							  : wolfTLSv1_3_server_method());
	if (ctx->wolf == NULL) {
		fl_tls_release(ctx);
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	int rc = configure(ctx, options, err);
	if (rc != 0) {
		fl_tls_ctx_free(ctx);
		return rc;
	}
	*ret = ctx;
	return 0;
}

void fl_tls_ctx_free(struct fl_tls_ctx *ctx)
{
	if (ctx == NULL) {
		return;
	}
	FL_REQUIRE(ctx->engines == 0);
	wolfSSL_CTX_free(ctx->wolf); /* zeroes its copy of the key */
	wc_rng_free(ctx->random);
	fl_tls_ticket_keys_unref(ctx->ticket_keys);
	fl_tls_peers_unref(ctx->peers);
	fl_tls_release(ctx);
}

/* Runs every algorithm once that detects CPU features at its first use and stores them in plain
 * variables, so that later threads only read those. */
static int warm_up_hashes_and_ciphers(WC_RNG *rng)
{
	static const enum wc_HashType hashes[] = {WC_HASH_TYPE_SHA256, WC_HASH_TYPE_SHA384,
						  WC_HASH_TYPE_SHA512, WC_HASH_TYPE_SHA3_256};
	uint8_t block[CHACHA20_POLY1305_AEAD_KEYSIZE] = {0}, iv[GCM_NONCE_MID_SZ] = {0};
	uint8_t out[WC_MAX_DIGEST_SIZE], tag[CHACHA20_POLY1305_AEAD_AUTHTAG_SIZE];
	Aes aes;
	int rc = wc_RNG_GenerateBlock(rng, block, sizeof(block));

	for (size_t i = 0; rc == 0 && i < FL_COUNT_OF(hashes); i++) {
		rc = wc_Hash(hashes[i], block, sizeof(block), out,
			     (word32)wc_HashGetDigestSize(hashes[i]));
	}
	if (rc == 0) {
		rc = wc_ChaCha20Poly1305_Encrypt(block, iv, NULL, 0, block, sizeof(block), out,
						 tag);
	}
	if (rc != 0 || (rc = wc_AesInit(&aes, NULL, INVALID_DEVID)) != 0) {
		return rc;
	}
	rc = wc_AesGcmSetKey(&aes, block, 16);
	if (rc == 0) {
		rc = wc_AesGcmEncrypt(&aes, out, block, sizeof(block), iv, sizeof(iv), tag,
				      sizeof(tag), NULL, 0);
	}
	wc_AesFree(&aes);
	return rc;
}

static int warm_up_key_exchange(WC_RNG *rng)
{
	curve25519_key x25519;
	ecc_key p256;
	MlKemKey mlkem;
	int rc = wc_curve25519_init(&x25519);

	if (rc != 0) {
		return rc;
	}
	rc = wc_curve25519_make_key(rng, CURVE25519_KEYSIZE, &x25519);
	wc_curve25519_free(&x25519);
	if (rc != 0 || (rc = wc_ecc_init(&p256)) != 0) {
		return rc;
	}
	rc = wc_ecc_make_key_ex(rng, 32, &p256, ECC_SECP256R1);
	wc_ecc_free(&p256);
	if (rc != 0 || (rc = wc_MlKemKey_Init(&mlkem, WC_ML_KEM_768, NULL, INVALID_DEVID)) != 0) {
		return rc;
	}
	rc = wc_MlKemKey_MakeKey(&mlkem, rng);
	wc_MlKemKey_Free(&mlkem);
	return rc;
}

int fl_tls_global_init(struct fl_err *err)
{
	WC_RNG rng;
	int rc = wolfSSL_Init();

	if (rc != WOLFSSL_SUCCESS) {
		return wolf_failed(err, rc, "starting wolfSSL");
	}
	rc = fl_wolf_check(err);
	if (rc != 0) {
		return rc;
	}
	rc = wc_InitRng(&rng);
	if (rc != 0) {
		return wolf_failed(err, rc, "the random number generator");
	}
	rc = warm_up_hashes_and_ciphers(&rng);
	if (rc == 0) {
		rc = warm_up_key_exchange(&rng);
	}
	wc_FreeRng(&rng);
	if (rc != 0) {
		return wolf_failed(err, rc, "trying wolfSSL's algorithms");
	}
#if defined(FL_WITH_VAES)
	fl_gcm_init();
#endif
	return 0;
}

const char *fl_tls_warning(void)
{
#if defined(FL_WITH_VAES)
	if (fl_gcm_state() == FL_GCM_WRONG) {
		return "AES-GCM with this CPU's widest vectors (VAES) gives wrong answers, so slower code is "
		       "used: is there a fault in this machine, or in its hypervisor?";
	}
#endif
	return NULL;
}

void fl_tls_global_done(void)
{
	wolfSSL_Cleanup();
}

void fl_tls_thread_done(void)
{
	wc_ecc_fp_free();
}
