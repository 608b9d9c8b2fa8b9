/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CREDENTIALS_H
#define FL_PKI_CREDENTIALS_H
/* credentials - the complete set of a generation: our chain and key, and one bundle for each trust
 * domain. Bundles are never merged (SPIFFE Trust Domain and Bundle, section 4.1).
 *
 * Built in one step, then immutable. Thread: any, one at a time until it is published in a
 * generation. */
#include <stdbool.h>
#include <stdint.h>

#include "pki/credential_files.h"
#include "pki/crl.h"
#include "pki/digest.h"
#include "pki/path.h"
#include "pki/pem.h"
#include "pki/svid.h"

struct fl_bundle {
	char *trust_domain;       /* owned */
	struct fl_der_list roots; /* may be empty: then no certificate of this domain is trusted */
	/* the same roots as a look-up table, including those out of date */
	struct fl_anchors anchors;
	/* why a federated bundle was refused (then roots is empty); owned; NULL: it was not */
	char *refused;
};

struct fl_credentials {
	struct fl_der_list chain; /* leaf first, then intermediates */
	struct fl_der key;        /* wiped by fl_credentials_free; empty: it is elsewhere */
	char *id;                 /* own SPIFFE ID, owned; the trust domain is its authority */
	char *trust_domain;       /* owned */
	int64_t not_before;       /* of the leaf */
	int64_t not_after;
	struct fl_bundle *bundles; /* [0] is our own trust domain's */
	size_t bundle_count;
	struct fl_path
		own; /* the path of our own chain: places in it, and its end in bundles[0].roots */
	struct fl_crl *crls; /* of any CA of our own trust domain or of a federated one; owned */
	size_t crl_count;
};

/* What is in force. It decides which domain is refused when two get the same root, see
 * fl_credentials_parse(), and which CRLs may have expired. A list must be current when it is first loaded; from then on it
 * stays in effect. A new set that still has the same list (identical DER) is no worse than the set
 * in force. Refusing it would protect no one, and would delay the renewal of our certificate. All
 * zero: none. */
struct fl_late_crls {
	const struct fl_credentials *in_force; /* borrowed; NULL: no set is in force */
	bool all; /* any: another process, which knows what is in force, judges that */
};

/* Input as PEM; spans are borrowed for the call. Either cert and key, or credential_bundle. */
struct fl_credentials_pem {
	/* What each file holds, and as `cert_name` and so on what messages call it. crl: data and name NULL, there is none. */
#define FL_CREDENTIALS_PEM_FILE(name, is_secret)                                                   \
	struct fl_span name;                                                                       \
	const char *name##_name;
	FL_CREDENTIAL_FILES(FL_CREDENTIALS_PEM_FILE)
#undef FL_CREDENTIALS_PEM_FILE
	struct fl_late_crls late;
	bool key_is_elsewhere; /* there is `cert` alone; the set will have no key */
	struct fl_foreign_bundle {
		const char *trust_domain;
		struct fl_span pem;
		const char *name;    /* file name for messages */
		bool shared_root;    /* a root of another domain is allowed here, too */
		const char *refused; /* somebody else has refused it, for this; NULL: nobody has */
	} const *foreign;
	size_t foreign_count;
};

/* Parses and judges: PEM, key kind and match, the leaf by the rules of SVIDs, every root of a
 * bundle, CRLs, and last the path from our leaf up to our own bundle (pki/judge.h). now: seconds
 * since the epoch. The trial handshake follows later: tls/tls.h.
 *
 * Roots are judged leniently: roots that have expired or are not valid yet are kept, but do not
 * count while they are not valid. That is a warning; it is an error only if no root of our own
 * bundle is left. A fault in a federated bundle is a warning, too, and no certificate of that
 * domain is trusted; our own identity is not affected. This includes a federated bundle that has a
 * root of another domain, unless shared_root is set; but if one of two federated domains had the root in force, only the
 * other is refused. Our own bundle must have a root; a federated
 * one may be empty.
 *
 * CRLs: each must be current at `now`, unless it may have expired (pem->late). Ours are the roots of our own bundle and the
 * intermediates of our own chain, theirs the roots of a federated bundle. A list names the CAs that have the name of its issuer,
 * and the key identifier that it gives, if both give one. What becomes of a list, and of one that is unusable (fl_crl.unusable):
 *
 *   signed by      it names      usable                        unusable
 *   -------------  ------------  ----------------------------  ------------------------------------------------
 *   one of ours    anybody       it is of that CA              the set is invalid
 *   one of theirs  anybody       it is of that CA              what that CA has issued counts as revoked
 *   nobody known   one of ours   the set is invalid            the set is invalid
 *   nobody known   only theirs   loose; they are refused       what any CA that it names has issued counts as revoked
 *   nobody known   nobody known  loose                         the same
 *
 * Loose (FL_CRL_LOOSE): its CA may be an intermediate of a peer; it counts where a chain presents it. They are refused: nobody of
 * the trust domain of that bundle is trusted, because the list may be one of its root, and damaged. So a root that somebody puts
 * into a federated bundle never makes the set invalid, and takes no list of ours out of force. A CA has not signed if its
 * certificate lacks cRLSign; but the list names it if its key has signed it, whatever key identifier it gives. A list that one of
 * ours and one of theirs have signed is of both. An unusable one is left out if other lists of the same CA cover everything that
 * it could cover.
 *
 * A sentence names file, certificate number and remedy. The first error is in err. Errors:
 * FL_ERR_INVALID; FL_ERR_NOMEM if the first was a lack of memory. */
int fl_credentials_parse(const struct fl_credentials_pem *pem, int64_t now,
			 struct fl_credentials **ret, struct fl_err *err) FL_MUST_USE;

/* Like fl_credentials_parse(), but continues after an error and reports every error and warning:
 * name is the file's name out of pem, that very pointer, or NULL for the set as a whole; text is
 * the sentence without it. */
typedef void (*fl_credentials_finding_cb)(void *user, bool is_error, const char *name,
					  const char *text);
int fl_credentials_parse_all(const struct fl_credentials_pem *pem, int64_t now,
			     fl_credentials_finding_cb finding, void *user,
			     struct fl_credentials **ret) FL_MUST_USE;

/* Builds anchors from the good roots. Aborts if memory runs out. */
void fl_bundle_index(struct fl_bundle *bundle);

/* The trust domain that a list of the set is about; "": of a CA in no bundle, or of one in several. */
const char *fl_credentials_crl_domain(const struct fl_credentials *c, const struct fl_crl *crl);

/* How many of its roots are out of date at `now`? */
size_t fl_bundle_late_count(const struct fl_bundle *bundle, int64_t now);

/* Index of the bundle of the ID's trust domain; bundle_count: there is none. */
size_t fl_credentials_bundle_of(const struct fl_credentials *c, const struct fl_spiffe_id *id);

/* SHA-256 over all of it, length-prefixed: equal content, equal digest. */
void fl_credentials_digest(const struct fl_credentials *c, uint8_t ret[FL_DIGEST_LEN]);

/* Wipes the key. NULL is fine. */
void fl_credentials_free(struct fl_credentials *c);

#endif
