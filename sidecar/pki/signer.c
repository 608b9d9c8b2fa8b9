/* SPDX-License-Identifier: GPL-3.0-or-later */
/* signer - content, digest, signature. wolfCrypt's objects hold the key inline, so that wiping them wipes it; what its
 * arithmetic copies to the stack it wipes itself. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "pki/signer.h"

#include <string.h>
#include <sys/mman.h>

#include "base/harden.h"

#define PREFIX_LEN 64u
#define HASH_MAX 48u

static const char *const contexts[] = {
	[FL_SIGN_CLIENT] = "TLS 1.3, client CertificateVerify",
	[FL_SIGN_SERVER] = "TLS 1.3, server CertificateVerify",
};
#define CONTEXT_LEN (sizeof("TLS 1.3, client CertificateVerify")) /* with its 0 */

struct fl_signer {
	enum fl_key_kind kind;
	uint8_t name[FL_DIGEST_LEN];
	bool has_random, has_key;
	WC_RNG random;
	union {
		ecc_key ec;
		ed25519_key ed25519;
		RsaKey rsa;
	} key;
};

static const struct scheme {
	uint16_t number;
	enum fl_key_kind kind;
	enum wc_HashType hash;
	int mgf; /* RSA-PSS */
} schemes[] = {
	{FL_SCHEME_ECDSA_P256_SHA256, FL_KEY_P256, WC_HASH_TYPE_SHA256, 0},
	{FL_SCHEME_ECDSA_P384_SHA384, FL_KEY_P384, WC_HASH_TYPE_SHA384, 0},
	{FL_SCHEME_ED25519, FL_KEY_ED25519, WC_HASH_TYPE_NONE, 0},
	{FL_SCHEME_RSA_PSS_SHA256, FL_KEY_RSA, WC_HASH_TYPE_SHA256, WC_MGF1SHA256},
	{FL_SCHEME_RSA_PSS_SHA384, FL_KEY_RSA, WC_HASH_TYPE_SHA384, WC_MGF1SHA384},
	{FL_SCHEME_RSA_PSS_SHA512, FL_KEY_RSA, WC_HASH_TYPE_SHA512, WC_MGF1SHA512},
};

const char *fl_sign_result_word(enum fl_sign_result result)
{
	static const char *const words[] = {
#define WORD(id, number, word) [number] = (word),
		FL_SIGN_RESULTS(WORD)
#undef WORD
	};

	return (size_t)result < FL_COUNT_OF(words) ? words[result] : "fault";
}

/* --- life --------------------------------------------------------------------------------------- */

/* Each returns wolfCrypt's error, or 0. What they have begun fl_signer_free() ends. */

static int decode_ec(struct fl_signer *signer, struct fl_span key)
{
	word32 index = 0;
	int rc = wc_ecc_init(&signer->key.ec);

	signer->has_key = rc == 0;
	return rc != 0 ? rc
		       : wc_EccPrivateKeyDecode(key.data, &index, &signer->key.ec, (word32)key.len);
}

/* Signing needs the public key, too, which the file may not have. */
static int decode_ed25519(struct fl_signer *signer, struct fl_span key)
{
	uint8_t public[ED25519_PUB_KEY_SIZE];
	word32 index = 0;
	int rc = wc_ed25519_init(&signer->key.ed25519);

	signer->has_key = rc == 0;
	if (rc == 0) {
		rc = wc_Ed25519PrivateKeyDecode(key.data, &index, &signer->key.ed25519,
						(word32)key.len);
	}
	if (rc == 0) {
		rc = wc_ed25519_make_public(&signer->key.ed25519, public, sizeof(public));
	}
	return rc != 0 ? rc
		       : wc_ed25519_import_public(public, sizeof(public), &signer->key.ed25519);
}

static int decode_rsa(struct fl_signer *signer, struct fl_span key)
{
	word32 index = 0;
	int rc = wc_InitRsaKey(&signer->key.rsa, NULL);

	signer->has_key = rc == 0;
	if (rc == 0) {
		rc = wc_RsaPrivateKeyDecode(key.data, &index, &signer->key.rsa, (word32)key.len);
	}
	return rc != 0 ? rc : wc_RsaSetRNG(&signer->key.rsa, &signer->random);
}

static int decode(struct fl_signer *signer, struct fl_span key)
{
	int rc = wc_InitRng(&signer->random);

	signer->has_random = rc == 0;
	if (rc != 0) {
		return rc;
	}
	return signer->kind == FL_KEY_RSA       ? decode_rsa(signer, key)
	       : signer->kind == FL_KEY_ED25519 ? decode_ed25519(signer, key)
						: decode_ec(signer, key);
}

int fl_signer_new(const struct fl_public_key *public, struct fl_span key, struct fl_signer **ret,
		  struct fl_err *err)
{
	struct fl_signer *signer;
	int rc = fl_key_check_private(public, key, err);

	if (rc != 0) {
		return rc;
	}
	signer = mmap(NULL, sizeof(*signer), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (signer == MAP_FAILED) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	/* If the system forbids it, the key is used anyway. */
	(void)fl_harden_memory(signer, sizeof(*signer));
	signer->kind = public->kind;
	fl_key_name(public, signer->name);
	rc = decode(signer, key);
	if (rc != 0) {
		fl_signer_free(signer);
		return fl_err_set(err, FL_ERR_INVALID,
				  "our private key: wolfCrypt refuses it with %d", rc);
	}
	*ret = signer;
	return 0;
}

void fl_signer_free(struct fl_signer *signer)
{
	if (signer == NULL) {
		return;
	}
	if (signer->has_key && signer->kind == FL_KEY_RSA) {
		(void)wc_FreeRsaKey(&signer->key.rsa);
	} else if (signer->has_key && signer->kind == FL_KEY_ED25519) {
		wc_ed25519_free(&signer->key.ed25519);
	} else if (signer->has_key) {
		wc_ecc_free(&signer->key.ec);
	}
	if (signer->has_random) {
		(void)wc_FreeRng(&signer->random);
	}
	fl_wipe(signer, sizeof(*signer));
	(void)munmap(signer, sizeof(*signer));
}

const uint8_t *fl_signer_key_name(const struct fl_signer *signer)
{
	return signer->name;
}

/* --- signing ------------------------------------------------------------------------------------ */

static const struct scheme *find_scheme(const struct fl_signer *signer, uint16_t number)
{
	for (size_t i = 0; i < FL_COUNT_OF(schemes); i++) {
		if (schemes[i].number == number && schemes[i].kind == signer->kind) {
			return &schemes[i];
		}
	}
	return NULL;
}

/* Of RFC 8446 section 4.4.3. Returns its length. */
static size_t build_content(enum fl_sign_role role, struct fl_span hash,
			    uint8_t ret[PREFIX_LEN + CONTEXT_LEN + HASH_MAX])
{
	memset(ret, ' ', PREFIX_LEN);
	memcpy(ret + PREFIX_LEN, contexts[role], CONTEXT_LEN);
	memcpy(ret + PREFIX_LEN + CONTEXT_LEN, hash.data, hash.len);
	return PREFIX_LEN + CONTEXT_LEN + hash.len;
}

/* *in_out_len: room, then the length of the signature. Returns wolfCrypt's error, or 0. */
static int sign(struct fl_signer *signer, const struct scheme *scheme, struct fl_span content,
		uint8_t *ret, word32 *in_out_len)
{
	uint8_t digest[WC_MAX_DIGEST_SIZE];
	word32 digest_len;
	int rc;

	if (signer->kind == FL_KEY_ED25519) {
		return wc_ed25519_sign_msg(content.data, (word32)content.len, ret, in_out_len,
					   &signer->key.ed25519);
	}
	digest_len = (word32)wc_HashGetDigestSize(scheme->hash);
	rc = wc_Hash(scheme->hash, content.data, (word32)content.len, digest, digest_len);
	if (rc != 0) {
		return rc;
	}
	if (signer->kind != FL_KEY_RSA) {
		return wc_ecc_sign_hash(digest, digest_len, ret, in_out_len, &signer->random,
					&signer->key.ec);
	}
	rc = wc_RsaPSS_Sign(digest, digest_len, ret, *in_out_len, scheme->hash, scheme->mgf,
			    &signer->key.rsa, &signer->random);
	*in_out_len = rc > 0 ? (word32)rc : 0;
	return rc < 0 ? rc : 0;
}

enum fl_sign_result fl_signer_judge(const struct fl_signer *signer, unsigned role, uint16_t scheme,
				    struct fl_span hash)
{
	if (role != FL_SIGN_CLIENT && role != FL_SIGN_SERVER) {
		return FL_SIGN_ROLE;
	}
	if (find_scheme(signer, scheme) == NULL) {
		return FL_SIGN_SCHEME;
	}
	return hash.len == WC_SHA256_DIGEST_SIZE || hash.len == WC_SHA384_DIGEST_SIZE
		       ? FL_SIGN_SIGNED
		       : FL_SIGN_HASH;
}

enum fl_sign_result fl_signer_sign(struct fl_signer *signer, unsigned role, uint16_t scheme,
				   struct fl_span hash, uint8_t *ret, size_t *ret_len)
{
	enum fl_sign_result result = fl_signer_judge(signer, role, scheme, hash);
	uint8_t content[PREFIX_LEN + CONTEXT_LEN + HASH_MAX];
	word32 len = FL_SIGNATURE_MAX;
	size_t content_len;

	if (result != FL_SIGN_SIGNED) {
		return result;
	}
	content_len = build_content((enum fl_sign_role)role, hash, content);
	if (sign(signer, find_scheme(signer, scheme), (struct fl_span){content, content_len}, ret,
		 &len) != 0) {
		return FL_SIGN_FAULT;
	}
	*ret_len = len;
	return FL_SIGN_SIGNED;
}
