/* SPDX-License-Identifier: GPL-3.0-or-later */
/* key - the kinds of keys, and the check that a private key belongs to a certificate.
 *
 * The kind is read from the DER by ourselves, so that a key that wolfCrypt has no code for is
 * called by its name instead of "ASN parsing error". Then the public key is computed from the
 * private one and compared with the certificate's; the public half that the file may contain is
 * ignored. Fails with FL_ERR_INVALID and a sentence with the remedy. Private keys live in
 * wolfCrypt's structures here, which wipe themselves when they are freed. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "pki/key.h"

#include <limits.h>

#include "pki/asn1.h"

#define RSA_BITS_MIN 2048u
#define RSA_BITS_MAX 4096u /* what the arithmetic of our build is sized for */
#define NEW_KEY_COMMAND "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE"

static const struct {
	const char *name;
	bool taken;
} kinds[] = {
#define FL_KEY_ROW(id, name, taken) {name, taken},
	FL_KEY_KINDS(FL_KEY_ROW)
#undef FL_KEY_ROW
};

/* --- which kind --------------------------------------------------------------------------------- */

static const struct fl_span oid_ec = FL_OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01);

static const struct {
	struct fl_span oid;
	enum fl_key_kind kind;
} algorithms[] =
	{
		{FL_OID(0x2b, 0x65, 0x70), FL_KEY_ED25519},
		{FL_OID(0x2b, 0x65, 0x71), FL_KEY_ED448},
		{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01), FL_KEY_RSA},
		{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a), FL_KEY_RSA_PSS},
},
  curves[] = {
	  {FL_OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07), FL_KEY_P256},
	  {FL_OID(0x2b, 0x81, 0x04, 0x00, 0x22), FL_KEY_P384},
	  {FL_OID(0x2b, 0x81, 0x04, 0x00, 0x23), FL_KEY_P521},
};

static enum fl_key_kind kind_of_curve(struct fl_span params)
{
	struct fl_span oid;

	if (fl_asn1_take(&params, FL_ASN1_OID, &oid)) {
		for (size_t i = 0; i < FL_COUNT_OF(curves); i++) {
			if (fl_span_equal(oid, curves[i].oid)) {
				return curves[i].kind;
			}
		}
	}
	return FL_KEY_EC_OTHER;
}

/* The content of an AlgorithmIdentifier. */
static enum fl_key_kind kind_of_algorithm(struct fl_span algorithm)
{
	struct fl_span oid;

	if (!fl_asn1_take(&algorithm, FL_ASN1_OID, &oid)) {
		return FL_KEY_UNKNOWN;
	}
	if (fl_span_equal(oid, oid_ec)) {
		return kind_of_curve(algorithm);
	}
	for (size_t i = 0; i < FL_COUNT_OF(algorithms); i++) {
		if (fl_span_equal(oid, algorithms[i].oid)) {
			return algorithms[i].kind;
		}
	}
	return FL_KEY_UNKNOWN;
}

/* PKCS#8, SEC1 or PKCS#1, told apart by what follows the version. */
static enum fl_key_kind kind_of_private_key(struct fl_span key)
{
	struct fl_span body, version, algorithm, rest, params;

	if (!fl_asn1_take(&key, FL_ASN1_SEQUENCE, &body) ||
	    !fl_asn1_take(&body, FL_ASN1_INTEGER, &version)) {
		return FL_KEY_UNKNOWN;
	}
	if (fl_asn1_take(&body, FL_ASN1_SEQUENCE, &algorithm)) {
		return kind_of_algorithm(algorithm);
	}
	if (fl_asn1_take(&body, FL_ASN1_INTEGER, &rest)) {
		return FL_KEY_RSA;
	}
	if (fl_asn1_take(&body, FL_ASN1_OCTET_STRING, &rest) &&
	    fl_asn1_take(&body, FL_ASN1_CONTEXT_0, &params)) {
		return kind_of_curve(params);
	}
	return FL_KEY_UNKNOWN;
}

/* RSAPublicKey: the bytes of modulus and exponent. False: it is broken, or there is more. */
static bool rsa_parts(struct fl_span bits, struct fl_span *ret_n, struct fl_span *ret_e)
{
	struct fl_span body;

	return fl_asn1_take(&bits, FL_ASN1_SEQUENCE, &body) && bits.len == 0 &&
	       fl_asn1_take_unsigned(&body, ret_n) && fl_asn1_take_unsigned(&body, ret_e) &&
	       body.len == 0;
}

static unsigned bits_of(struct fl_span n)
{
	unsigned count = 0;

	if (n.data[0] == 0 || n.len > UINT_MAX / 8) {
		return 0;
	}
	for (unsigned top = n.data[0]; top != 0; top >>= 1) {
		count++;
	}
	return count + (unsigned)(n.len - 1) * 8;
}

/* RFC 3279 section 2.3.1, RFC 5480 section 2.1.1, RFC 8410 sections 3 and 4. wolfCrypt takes other
 * parameters, more integers and negative ones, and an Ed25519 point with 0x40 in front. algorithm:
 * the content of the AlgorithmIdentifier. The result does not matter for kinds that we refuse. */
static bool is_exact(const struct fl_public_key *key, struct fl_span algorithm)
{
	struct fl_span skip, n, e;

	if (!fl_asn1_take(&algorithm, FL_ASN1_OID, &skip)) {
		return false;
	}
	if (key->kind == FL_KEY_RSA) {
		return fl_asn1_take(&algorithm, FL_ASN1_NULL, &skip) && skip.len == 0 &&
		       algorithm.len == 0 && rsa_parts(key->bits, &n, &e);
	}
	if (key->kind == FL_KEY_ED25519) {
		return algorithm.len == 0 && key->bits.len == ED25519_PUB_KEY_SIZE;
	}
	return fl_asn1_take(&algorithm, FL_ASN1_OID, &skip) && algorithm.len == 0;
}

int fl_key_of_info(struct fl_span info, struct fl_public_key *ret)
{
	struct fl_span rest = info, body, algorithm, bits, n, e;

	if (!fl_asn1_take(&rest, FL_ASN1_SEQUENCE, &body) || rest.len > 0 ||
	    !fl_asn1_take(&body, FL_ASN1_SEQUENCE, &algorithm) ||
	    !fl_asn1_take_bytes(&body, &bits) || body.len > 0) {
		return FL_ERR_INVALID;
	}
	*ret = (struct fl_public_key){
		.kind = kind_of_algorithm(algorithm),
		.bits = bits,
		.info = info,
	};
	ret->is_exact = is_exact(ret, algorithm);
	if (ret->kind == FL_KEY_RSA && rsa_parts(bits, &n, &e)) {
		ret->rsa_bits = bits_of(n);
	}
	return 0;
}

struct fl_span fl_key_holder(const struct fl_public_key *key)
{
	struct fl_span n, e;

	return key->kind == FL_KEY_RSA && rsa_parts(key->bits, &n, &e) ? n : key->bits;
}

/* RFC 5480 section 2.2: both coordinates; one and a sign would be a compressed point. */
static bool is_whole_point(const struct fl_public_key *key)
{
	size_t size = key->kind == FL_KEY_P256 ? 32 : 48;

	return key->bits.len == 1 + 2 * size && key->bits.data[0] == 0x04;
}

void fl_key_name(const struct fl_public_key *key, uint8_t ret[FL_DIGEST_LEN])
{
	fl_digest(&key->info, 1, ret);
}

static int refuse_form(const struct fl_public_key *key, struct fl_err *err)
{
	const char *form = key->kind == FL_KEY_RSA
				   ? "RFC 3279 requires (NULL as parameters; only modulus and "
				     "exponent, positive, in as few bytes as possible)"
			   : key->kind == FL_KEY_ED25519
				   ? "RFC 8410 requires (no parameters, 32 bytes)"
				   : "RFC 5480 requires (the curve as parameters, and no more)";

	return fl_err_set(err, FL_ERR_INVALID,
			  "its key is %s and not written as %s, so it could pass for another key: "
			  "have the certificate issued again by software that writes it so, such "
			  "as openssl",
			  kinds[key->kind].name, form);
}

int fl_key_check_kind(const struct fl_public_key *key, struct fl_err *err)
{
	if (!kinds[key->kind].taken) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"its key is %s; EC P-256 and P-384, Ed25519 and RSA of %u to %u bits "
			"are supported; make a new key (%s) and have a certificate issued "
			"for it",
			kinds[key->kind].name, RSA_BITS_MIN, RSA_BITS_MAX, NEW_KEY_COMMAND);
	}
	if (!key->is_exact) {
		return refuse_form(key, err);
	}
	if ((key->kind == FL_KEY_P256 || key->kind == FL_KEY_P384) && !is_whole_point(key)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"its key is %s, and its point is not written uncompressed, as TLS 1.3 "
			"and most software require: write the key anew (openssl ec -in FILE "
			"-conv_form uncompressed -out FILE) and have a certificate issued for it",
			kinds[key->kind].name);
	}
	if (key->kind == FL_KEY_RSA &&
	    (key->rsa_bits < RSA_BITS_MIN || key->rsa_bits > RSA_BITS_MAX)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"its key is RSA of %u bits; RSA keys must have %u to %u bits; make a new "
			"key (%s) and have a certificate issued for it",
			key->rsa_bits, RSA_BITS_MIN, RSA_BITS_MAX, NEW_KEY_COMMAND);
	}
	return 0;
}

/* --- comparison of public keys
 * ----------------------------------------------------------------------------- */

/* Each returns wolfCrypt's error, or 0 and whether the public keys are equal. */

static int match_ec(struct fl_span key, struct fl_span bits, bool *ret_match)
{
	uint8_t computed[1 + 2 * MAX_ECC_BYTES];
	word32 len = sizeof(computed), index = 0;
	ecc_key ec;
	int rc = wc_ecc_init(&ec);

	if (rc != 0) {
		return rc;
	}
	rc = wc_EccPrivateKeyDecode(key.data, &index, &ec, (word32)key.len);
	if (rc == 0) {
		rc = wc_ecc_make_pub(&ec, NULL);
	}
	if (rc == 0) {
		rc = wc_ecc_export_x963(&ec, computed, &len);
	}
	if (rc == 0) {
		*ret_match = fl_span_equal((struct fl_span){computed, len}, bits);
	}
	wc_ecc_free(&ec);
	return rc;
}

static int match_ed25519(struct fl_span key, struct fl_span bits, bool *ret_match)
{
	uint8_t computed[ED25519_PUB_KEY_SIZE];
	word32 index = 0;
	ed25519_key ed;
	int rc = wc_ed25519_init(&ed);

	if (rc != 0) {
		return rc;
	}
	rc = wc_Ed25519PrivateKeyDecode(key.data, &index, &ed, (word32)key.len);
	if (rc == 0) {
		rc = wc_ed25519_make_public(&ed, computed, sizeof(computed));
	}
	if (rc == 0) {
		*ret_match = fl_span_equal((struct fl_span){computed, sizeof(computed)}, bits);
	}
	wc_ed25519_free(&ed);
	return rc;
}

static int match_rsa(struct fl_span key, struct fl_span bits, bool *ret_match)
{
	uint8_t n[RSA_BITS_MAX / 8], e[RSA_BITS_MAX / 8];
	word32 n_len = sizeof(n), e_len = sizeof(e), index = 0;
	struct fl_span want_n, want_e;
	RsaKey rsa;
	int rc = wc_InitRsaKey(&rsa, NULL);

	if (rc != 0) {
		return rc;
	}
	rc = wc_RsaPrivateKeyDecode(key.data, &index, &rsa, (word32)key.len);
	if (rc == 0) {
		rc = wc_RsaFlattenPublicKey(&rsa, e, &e_len, n, &n_len);
	}
	if (rc == 0) {
		*ret_match = rsa_parts(bits, &want_n, &want_e) &&
			     fl_span_equal((struct fl_span){n, n_len}, want_n) &&
			     fl_span_equal((struct fl_span){e, e_len}, want_e);
	}
	(void)wc_FreeRsaKey(&rsa);
	return rc;
}

static int match(enum fl_key_kind kind, struct fl_span key, struct fl_span bits, bool *ret_match)
{
	switch (kind) {
	case FL_KEY_P256:
	case FL_KEY_P384:
		return match_ec(key, bits, ret_match);
	case FL_KEY_ED25519:
		return match_ed25519(key, bits, ret_match);
	case FL_KEY_RSA:
		return match_rsa(key, bits, ret_match);
	case FL_KEY_UNKNOWN:
	case FL_KEY_P521:
	case FL_KEY_EC_OTHER:
	case FL_KEY_ED448:
	case FL_KEY_RSA_PSS:
		break;
	}
	FL_REQUIRE(!"a kind that fl_key_check_kind() lets pass");
	return -1;
}

int fl_key_check_private(const struct fl_public_key *public, struct fl_span key, struct fl_err *err)
{
	enum fl_key_kind kind = kind_of_private_key(key);
	bool equal = false;
	int rc = fl_key_check_kind(public, err);

	if (rc < 0) {
		return fl_err_prefix(err, "the leaf certificate");
	}
	if (key.len > INT_MAX || kind == FL_KEY_UNKNOWN) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "it is not a private key, or its kind is unknown");
	}
	if (kind != public->kind) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "the key does not belong to the certificate: the key is %s, the "
				  "certificate's is %s; was only one of the two renewed?",
				  kinds[kind].name, kinds[public->kind].name);
	}
	rc = match(kind, key, public->bits, &equal);
	if (rc == WC_NO_ERR_TRACE(MEMORY_E)) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	if (rc != 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"the key (%s) is damaged; `openssl pkey -check -in FILE` may show where",
			kinds[kind].name);
	}
	if (!equal) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"the key does not belong to the certificate (both are %s, but their "
			"public keys differ); was only one of the two renewed?",
			kinds[kind].name);
	}
	return 0;
}
