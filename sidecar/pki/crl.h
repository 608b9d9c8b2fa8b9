/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CRL_H
#define FL_PKI_CRL_H
/* crl - one certificate revocation list (RFC 5280 section 5) as a sorted table of serial numbers.
 *
 * A list covers only the CA that signed it; certificates from a CA without a list are not checked.
 * wolfSSL's own store of lists does not fit: with one list in it, it refuses all certificates from
 * a CA without one. Built once, then immutable; thread: any. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "pki/cert.h"
#include "pki/pem.h"

/* It belongs to no bundle: its CA must come with the chain that it covers. */
#define FL_CRL_LOOSE SIZE_MAX
/* Its CA is a root of several bundles. */
#define FL_CRL_EVERYWHERE (SIZE_MAX - 1)

struct fl_crl {
	struct fl_der der; /* owned; the spans are views of it */
	/* index in credentials of its CA's bundle, or one of the two above */
	size_t bundle;
	struct fl_span issuer;       /* content of the Name */
	uint64_t issuer_hash;        /* of that name, see name.h */
	struct fl_span authority;    /* identifier of the key that signed it; empty: not given */
	struct fl_der issuer_key_id; /* of the CA that signed it, owned; empty: it has none */
	struct fl_der signer;        /* its SubjectPublicKeyInfo, owned; empty: not known */
	int64_t this_update;         /* seconds since the epoch */
	int64_t next_update;         /* the last second at which the list is current */
	struct fl_span *serials;     /* sorted, without leading zeros; owned */
	size_t count;
	bool only_leaves, only_cas; /* what it covers; neither: all */
	struct fl_span point;       /* the distribution point that it is of; empty: it names none */
	char *unusable;             /* why its entries do not count; NULL: they do; owned */
	struct fl_span tbs, algorithm, signature; /* for fl_crl_verify() */
};

/* Takes der over and nulls it, whatever the outcome. Usable lists are complete lists of one CA, for
 * all of its certificates or only for leaves or CAs (issuingDistributionPoint, RFC 5280 section
 * 5.2.5). A list of another kind, such as a delta, or one with an unknown critical extension, is
 * marked unusable. Errors: FL_ERR_INVALID; ret is then empty. */
int fl_crl_parse(struct fl_der *der, struct fl_crl *ret, struct fl_err *err) FL_MUST_USE;

/* Is this certificate's subject the issuer of the list, and its key the one that the list names, if
 * both name one? Does not check signatures. */
bool fl_crl_names(const struct fl_crl *crl, struct fl_span ca);

/* Has the key of ca, a good signing certificate, signed the list, and is it allowed to? On success
 * the list is tied to this CA, of the bundle with that index. Errors: FL_ERR_INVALID,
 * FL_ERR_NOMEM. */
int fl_crl_verify(struct fl_crl *crl, size_t bundle, struct fl_span ca,
		  struct fl_err *err) FL_MUST_USE;

/* May the list be by the CA with this certificate? The names must be the same and the signature must
 * verify; or it cannot be checked, because memory is out or the algorithm is not supported. Neither
 * key identifiers nor key usage count: another certificate of the same CA may have others. */
bool fl_crl_may_be_by(const struct fl_crl *crl, struct fl_span ca);

/* Is the certificate on the list, if the CA of this list has issued it? True of any that it covers
 * if it is unusable. Only names are compared. Allocates nothing. */
bool fl_crl_lists(const struct fl_crl *crl, const struct fl_cert *cert);

/* Does the certificate name no key, or the one of the CA that the list is tied to? */
bool fl_crl_fits_key_id(const struct fl_crl *crl, const struct fl_cert *cert);

/* Is its successor due at `now` (seconds since the epoch)? Its revocations stay in effect. */
bool fl_crl_is_late(const struct fl_crl *crl, int64_t now);

/* "0x4fa3..." of the certificate's serial number; returns buf. */
#define FL_SERIAL_TEXT 48
const char *fl_crl_serial_text(struct fl_span certificate, char buf[FL_SERIAL_TEXT]);

void fl_crl_done(struct fl_crl *crl);

#endif
