/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The private structures and functions of wolfSSL 5.9.2 that we depend on: each in one function, with the reason.
 *
 * These functions only give access; the callers decide what a value means for a connection. */
#include "tls/wolf.h"

#include <limits.h>
#include <string.h>

#include <wolfssl/internal.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/mem.h"

#if LIBWOLFSSL_VERSION_HEX != 0x05009002
#error "wolf.c was written for wolfSSL 5.9.2: compare each function here with the new internal.h, then change this line"
#endif
_Static_assert(WOLFSSL_TICKET_EXTRA_PADDING_SZ >= FL_WOLF_TICKET_ROOM,
	       "WOLFSSL_TICKET_EXTRA_PADDING_SZ of the build leaves too little room in a ticket");

/* --- check of the linked library
 * ---------------------------------------------------------------------------- */

static int is_another(struct fl_err *err)
{
	return fl_err_set(
		err, FL_ERR_BUG,
		"wolfSSL %s was built with other options, or is another version, than its headers say (%s)",
		wolfSSL_lib_version(), LIBWOLFSSL_VERSION_STRING);
}

/* Checks values that the public API has set, in members spread over both structures: a different
 * layout moves all members after the difference. */
static bool has_our_layout(WOLFSSL_CTX *ctx, WOLFSSL *wolf)
{
	static char mark;

	wolfSSL_SetIOReadCtx(wolf, &mark);
	wolfSSL_SetIOWriteCtx(wolf, &mark);
	wolfSSL_SetCertCbCtx(wolf, &mark);
	return ctx->numGroups == 1 && ctx->group[0] == WOLFSSL_ECC_X25519 &&
	       ctx->minRsaKeySz == 384 && wolf->ctx == ctx && wolf->IOCB_ReadCtx == &mark &&
	       wolf->IOCB_WriteCtx == &mark && wolf->verifyCbCtx == &mark && wolf->numGroups == 1 &&
	       wolf->group[0] == WOLFSSL_ECC_X25519 && wolf->options.side == WOLFSSL_CLIENT_END &&
	       wolf->rng != NULL && wolf->session != NULL && wolf->session->ticketLen == 0;
}

int fl_wolf_check(struct fl_err *err)
{
	int group = WOLFSSL_ECC_X25519;
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
	WOLFSSL *wolf = NULL;
	bool good;

	if (wolfSSL_lib_version_hex() != LIBWOLFSSL_VERSION_HEX) {
		wolfSSL_CTX_free(ctx);
		return is_another(err);
	}
	if (ctx != NULL) {
		(void)wolfSSL_CTX_SetMinRsaKey_Sz(ctx, 3072);
		(void)wolfSSL_CTX_set_groups(ctx, &group, 1);
		wolf = wolfSSL_new(ctx);
	}
	if (wolf == NULL) {
		wolfSSL_CTX_free(ctx);
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	good = has_our_layout(ctx, wolf);
	wolfSSL_free(wolf);
	wolfSSL_CTX_free(ctx);
	return good ? 0 : is_another(err);
}

/* --- a context ----------------------------------------------------------------------------------- */

/* Replaces a buffer of the context. */
static int put_der(DerBuffer **to, size_t len)
{
	wc_FreeDer(to);
	return len <= INT_MAX && wc_AllocDer(to, (word32)len, CERT_TYPE, NULL) == 0 ? 0
										    : FL_ERR_NOMEM;
}

/* The certificates above the leaf follow one another, each after a length of 3 bytes, as in the
 * message. */
static int put_upper_chain(WOLFSSL_CTX *ctx, const struct fl_der_list *chain)
{
	size_t len = fl_wolf_chain_size(chain) - chain->items[0].len, at = 0;
	int rc = len > 0 ? put_der(&ctx->certChain, len) : 0;

	for (size_t i = 1; rc == 0 && i < chain->count; i++) {
		uint8_t *to = ctx->certChain->buffer + at;
		size_t one = chain->items[i].len;

		to[0] = (uint8_t)(one >> 16);
		to[1] = (uint8_t)(one >> 8);
		to[2] = (uint8_t)one;
		memcpy(to + CERT_HEADER_SZ, chain->items[i].data, one);
		at += CERT_HEADER_SZ + one;
	}
	ctx->certChainCnt = (int)chain->count - 1;
	return rc;
}

int fl_wolf_set_chain(WOLFSSL_CTX *ctx, const struct fl_der_list *chain, enum fl_key_kind kind)
{
	int rc = put_der(&ctx->certificate, chain->items[0].len);

	if (rc == 0) {
		memcpy(ctx->certificate->buffer, chain->items[0].data, chain->items[0].len);
		rc = put_upper_chain(ctx, chain);
	}
	ctx->pkCurveOID = kind == FL_KEY_P256      ? ECC_SECP256R1_OID
			  : kind == FL_KEY_P384    ? ECC_SECP384R1_OID
			  : kind == FL_KEY_ED25519 ? ED25519k
						   : 0;
	ctx->haveRSA = kind == FL_KEY_RSA;
	ctx->haveECC = !ctx->haveRSA;
	return rc;
}

size_t fl_wolf_chain_size(const struct fl_der_list *chain)
{
	size_t len = chain->items[0].len;

	for (size_t i = 1; i < chain->count; i++) {
		len += CERT_HEADER_SZ + chain->items[i].len;
	}
	return len;
}

void fl_wolf_set_random(WOLFSSL_CTX *ctx, WC_RNG *random)
{
	ctx->ticketEncCtx = random;
}

void fl_wolf_private_key(const WOLFSSL_CTX *ctx, void **ret, size_t *ret_len)
{
	*ret = ctx->privateKey->buffer;
	*ret_len = ctx->privateKey->length;
}

int fl_wolf_set_absent_key(WOLFSSL_CTX *ctx, const struct fl_public_key *key)
{
	wc_FreeDer(&ctx->privateKey);
	if (wc_AllocDer(&ctx->privateKey, 1, PRIVATEKEY_TYPE, NULL) != 0) {
		return FL_ERR_NOMEM;
	}
	ctx->privateKey->buffer[0] = 0;
	ctx->privateKeyType = key->kind == FL_KEY_RSA       ? rsa_sa_algo
			      : key->kind == FL_KEY_ED25519 ? ed25519_sa_algo
							    : ecc_dsa_sa_algo;
	ctx->privateKeySz = key->kind == FL_KEY_RSA    ? (int)((key->rsa_bits + 7) / 8)
			    : key->kind == FL_KEY_P384 ? 48
						       : 32;
	return 0;
}

/* --- a connection before its handshake ------------------------------------------------------------ */

void fl_wolf_drop_middlebox_compat(WOLFSSL *wolf)
{
	wolf->options.tls13MiddleBoxCompat = 0;
}

void fl_wolf_forget_alpn(WOLFSSL *wolf)
{
	TLSX_Remove(&wolf->extensions, TLSX_APPLICATION_LAYER_PROTOCOL, wolf->heap);
}

uint16_t fl_wolf_session_group(const WOLFSSL *wolf)
{
	return wolf->session->namedGroup;
}

bool fl_wolf_has_cipher_of(const WOLFSSL *wolf, const WOLFSSL_SESSION *session)
{
	byte suite[] = {session->cipherSuite0, session->cipherSuite};

	return FindSuiteSSL(wolf, suite) != 0;
}

uint16_t fl_wolf_group_of(const WOLFSSL_SESSION *session)
{
	return session->namedGroup;
}

int64_t fl_wolf_session_end(const WOLFSSL_SESSION *session)
{
	return (int64_t)session->bornOn + session->timeout;
}

/* --- in its handshake ------------------------------------------------------------------------------ */

bool fl_wolf_resumes(const WOLFSSL *wolf)
{
	return wolf->options.pskNegotiated;
}

bool fl_wolf_was_asked_for_certificate(const WOLFSSL *wolf)
{
	return wolf->msgsReceived.got_certificate_request;
}

const char *fl_wolf_message_under_way(const WOLFSSL *wolf)
{
	const MsgsReceived *got = &wolf->msgsReceived;

	return got->got_key_update             ? "KeyUpdate"
	       : got->got_session_ticket       ? "NewSessionTicket"
	       : got->got_finished             ? "Finished"
	       : got->got_certificate_verify   ? "CertificateVerify"
	       : got->got_certificate          ? "Certificate"
	       : got->got_certificate_request  ? "CertificateRequest"
	       : got->got_encrypted_extensions ? "EncryptedExtensions"
	       : got->got_server_hello         ? "ServerHello"
	       : got->got_hello_retry_request  ? "HelloRetryRequest"
	       : got->got_client_hello         ? "ClientHello"
					       : "first message";
}

bool fl_wolf_offers_key_exchange(const WOLFSSL *wolf)
{
	const TLSX *modes = wolf->extensions;

	while (modes != NULL && modes->type != TLSX_PSK_KEY_EXCHANGE_MODES) {
		modes = modes->next;
	}
	return modes != NULL && (modes->val & (1u << PSK_DHE_KE)) != 0;
}

bool fl_wolf_has_group(const WOLFSSL *wolf, uint16_t group)
{
	int i = 0;

	while (i < wolf->numGroups && wolf->group[i] != group) {
		i++;
	}
	return i < wolf->numGroups;
}

/* Each makes a key of that kind at *to, which is NULL. */

static int make_ec_key(WOLFSSL *wolf, const struct fl_public_key *key, void **to)
{
	word32 index = 0;
	int rc = AllocKey(wolf, DYNAMIC_TYPE_ECC, to);

	return rc != 0 ? rc
		       : wc_EccPublicKeyDecode(key->info.data, &index, *to, (word32)key->info.len);
}

static int make_ed25519_key(WOLFSSL *wolf, const struct fl_public_key *key, void **to)
{
	int rc = AllocKey(wolf, DYNAMIC_TYPE_ED25519, to);

	return rc != 0 ? rc : wc_ed25519_import_public(key->bits.data, (word32)key->bits.len, *to);
}

static int make_rsa_key(WOLFSSL *wolf, const struct fl_public_key *key, void **to)
{
	word32 index = 0;
	int rc = AllocKey(wolf, DYNAMIC_TYPE_RSA, to);

	return rc != 0 ? rc
		       : wc_RsaPublicKeyDecode(key->bits.data, &index, *to, (word32)key->bits.len);
}

int fl_wolf_give_peer_key(WOLFSSL *wolf, const struct fl_public_key *key)
{
	int rc = PEER_KEY_ERROR;

	/* A second message, or a key from elsewhere. */
	if (wolf->peerEccDsaKey != NULL || wolf->peerEd25519Key != NULL ||
	    wolf->peerRsaKey != NULL) {
		return PEER_KEY_ERROR;
	}
	switch (key->kind) {
	case FL_KEY_P256:
	case FL_KEY_P384:
		rc = make_ec_key(wolf, key, (void **)&wolf->peerEccDsaKey);
		wolf->peerEccDsaKeyPresent = rc == 0;
		break;
	case FL_KEY_ED25519:
		rc = make_ed25519_key(wolf, key, (void **)&wolf->peerEd25519Key);
		wolf->peerEd25519KeyPresent = rc == 0;
		break;
	case FL_KEY_RSA:
		rc = make_rsa_key(wolf, key, (void **)&wolf->peerRsaKey);
		wolf->peerRsaKeyPresent = rc == 0;
		break;
	case FL_KEY_UNKNOWN:
	case FL_KEY_P521:
	case FL_KEY_EC_OTHER:
	case FL_KEY_ED448:
	case FL_KEY_RSA_PSS:
		break;
	}
	return rc == 0 || rc == WC_NO_ERR_TRACE(MEMORY_E) ? rc : PEER_KEY_ERROR;
}

int fl_wolf_give_own_key(WOLFSSL *wolf, const struct fl_public_key *key, word32 *ret_len)
{
	int rc;

	FL_REQUIRE(wolf->hsKey == NULL);
	if (key->kind == FL_KEY_RSA) {
		wolf->hsType = DYNAMIC_TYPE_RSA;
		rc = make_rsa_key(wolf, key, &wolf->hsKey);
		*ret_len = rc == 0 ? (word32)wc_RsaEncryptSize(wolf->hsKey) : 0;
	} else if (key->kind == FL_KEY_ED25519) {
		wolf->hsType = DYNAMIC_TYPE_ED25519;
		rc = make_ed25519_key(wolf, key, &wolf->hsKey);
		*ret_len = ED25519_SIG_SIZE;
	} else {
		wolf->hsType = DYNAMIC_TYPE_ECC;
		rc = make_ec_key(wolf, key, &wolf->hsKey);
		*ret_len = rc == 0 ? (word32)wc_ecc_sig_size(wolf->hsKey) : 0;
	}
	return rc;
}

uint16_t fl_wolf_signature_scheme(const WOLFSSL *wolf, enum fl_key_kind kind)
{
	if (kind == FL_KEY_ED25519) {
		return FL_SCHEME_ED25519;
	}
	/* rsa_pss_rsae_sha256 and so on; ecdsa_secp256r1_sha256 and so on */
	unsigned hash = wolf->options.hashAlgo;

	return kind == FL_KEY_RSA ? (uint16_t)((unsigned)rsa_pss_sa_algo << 8 | hash)
				  : (uint16_t)(hash << 8 | (unsigned)ecc_dsa_sa_algo);
}

size_t fl_wolf_transcript_hash(WOLFSSL *wolf, uint8_t ret[FL_WOLF_HASH_MAX])
{
	uint8_t content[MAX_SIG_DATA_SZ];
	size_t prefix = SIGNING_DATA_PREFIX_SZ + CERT_VFY_LABEL_SZ;
	word16 len = 0;

	if (CreateSigData(wolf, content, &len, 0) != 0 || len <= prefix ||
	    len - prefix > FL_WOLF_HASH_MAX) {
		return 0;
	}
	memcpy(ret, content + prefix, len - prefix);
	return len - prefix;
}

void fl_wolf_note_certificates(WOLFSSL *wolf, int error)
{
	if (error == 0) {
		wolf->options.havePeerCert = 1;
	} else {
		wolf->error = error;
	}
}

void fl_wolf_send_alert(WOLFSSL *wolf, uint8_t alert)
{
	(void)SendAlert(wolf, alert_fatal, alert);
}

int fl_wolf_random(WOLFSSL *wolf, uint8_t *buf, size_t len)
{
	return wc_RNG_GenerateBlock(wolf->rng, buf, (word32)len);
}

/* --- tickets ---------------------------------------------------------------------------------------- */

size_t fl_wolf_ticket_size(void)
{
	return WOLFSSL_INTERNAL_TICKET_LEN;
}

void fl_wolf_read_ticket(const uint8_t *ticket, struct fl_wolf_ticket *ret)
{
	InternalTicket own;

	memcpy(&own, ticket, sizeof(own));
	*ret = (struct fl_wolf_ticket){
		.group = (uint16_t)(own.namedGroup[0] << 8 | own.namedGroup[1])};
	for (size_t i = 0; i < sizeof(own.timestamp); i++) {
		ret->made_ms = ret->made_ms << 8 | own.timestamp[i];
	}
	fl_wipe(&own, sizeof(own));
}

uint8_t fl_wolf_resumptions(const WOLFSSL *wolf)
{
	return wolf->session->ticketNonce.data[0];
}

size_t fl_wolf_received_ticket_size(const WOLFSSL *wolf)
{
	return wolf->msgsReceived.got_session_ticket ? wolf->session->ticketLen : 0;
}

void fl_wolf_drop_offered_tickets(WOLFSSL *wolf)
{
	TLSX_Remove(&wolf->extensions, TLSX_PRE_SHARED_KEY, wolf->heap);
}
