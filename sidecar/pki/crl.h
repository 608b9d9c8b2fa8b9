/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CRL_H
#define FL_PKI_CRL_H
/* crl - one certificate revocation list (RFC 5280 section 5) as a sorted table of serial numbers.
 *
 * A list speaks for the CA that signed it and for nobody else: what a CA without a list has issued is
 * not covered. wolfSSL's own store of lists is of no use here, for with one list in it, it refuses
 * whatever comes from a CA without one. Built once, then immutable; thread: any. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "pki/cert.h"
#include "pki/pem.h"

/* Of no bundle: its CA has to come with the chain that it speaks about. */
#define FL_CRL_LOOSE SIZE_MAX
/* Its CA is a root of several. */
#define FL_CRL_EVERYWHERE (SIZE_MAX - 1)

struct fl_crl {
	struct fl_der der;           /* owned; the spans are views of it */
	size_t bundle;               /* of credentials: that of its CA, or one of the two */
	struct fl_span issuer;       /* content of the Name */
	struct fl_span authority;    /* identifier of the key that signed it; empty: not said */
	struct fl_der issuer_key_id; /* of the CA that signed it, owned; empty: it has none */
	struct fl_der signer;        /* its SubjectPublicKeyInfo, owned; empty: loose */
	int64_t this_update;         /* seconds since the epoch */
	int64_t next_update;         /* the last second at which the list is current */
	struct fl_span *serials;     /* sorted, without leading zeros; owned */
	size_t count;
	bool only_leaves, only_cas; /* what it covers; neither: all */
	char *unusable;             /* why its entries do not count; NULL: they do; owned */
	struct fl_span tbs, algorithm, signature; /* for fl_crl_verify() */
};

/* Takes der over and nulls it, whatever the outcome. Complete lists of one CA, of all of its certificates or of those of
 * leaves or of CAs (issuingDistributionPoint, RFC 5280 section 5.2.5). A list of another kind, such as a delta, or one
 * with a critical extension that is unknown, is noted as unusable. Errors: FL_ERR_INVALID; ret is then empty. */
int fl_crl_parse(struct fl_der *der, struct fl_crl *ret, struct fl_err *err) FL_MUST_USE;

/* Is this certificate's subject the issuer of the list, and its key the one that the list names, as far as both say?
 * Says nothing about signatures. */
bool fl_crl_names(const struct fl_crl *crl, struct fl_span ca);

/* Has the key of ca, a good signing certificate, signed the list, and may it? Errors: FL_ERR_INVALID,
 * FL_ERR_NOMEM. */
int fl_crl_check(const struct fl_crl *crl, struct fl_span ca, struct fl_err *err) FL_MUST_USE;
/* The same; from then on the list speaks for this CA, of the bundle with that index. */
int fl_crl_verify(struct fl_crl *crl, size_t bundle, struct fl_span ca,
		  struct fl_err *err) FL_MUST_USE;

/* Has the CA at least the name of the list's issuer? */
bool fl_crl_may_name(const struct fl_crl *crl, struct fl_span ca);

/* Has the key of ca signed the list, as far as fl_crl_verify() knows? */
bool fl_crl_is_by(const struct fl_crl *crl, struct fl_span ca);

/* Is the certificate of those that this list speaks about? issuer: the CA that has issued it, NULL where that is not known:
 * then key identifiers have to tell, as far as they say. */
bool fl_crl_covers(const struct fl_crl *crl, const struct fl_cert *cert,
		   const struct fl_cert *issuer);

/* Is the certificate one that the CA of this list has issued and revoked? Takes no memory. True also
 * for what cannot be read, and for all that an unusable list is about. issuer: as above, may be empty. Of a loose list: would it be, if that CA had made the
 * list? */
bool fl_crl_revokes(const struct fl_crl *crl, struct fl_span certificate, struct fl_span issuer);

/* Is its successor due at `now` (seconds since the epoch)? What it revokes it revokes still. */
bool fl_crl_is_late(const struct fl_crl *crl, int64_t now);

/* "0x4fa3..." of the certificate's serial number; returns buf. */
#define FL_SERIAL_TEXT 48
const char *fl_crl_serial_text(struct fl_span certificate, char buf[FL_SERIAL_TEXT]);

void fl_crl_done(struct fl_crl *crl);

#endif
