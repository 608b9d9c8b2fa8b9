/* SPDX-License-Identifier: GPL-3.0-or-later */
/* path - a search in depth, over names, with the judging of a whole path at its end.
 *
 * If no path is good, the caller gets the most informative fault. A certificate that does not parse
 * is skipped, unless it is the leaf. Nothing outlives a call; lack of memory (wolfCrypt's) ends it
 * with FL_ERR_NOMEM. */
#include "pki/path.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "pki/asn1.h"
#include "pki/constraints.h"
#include "pki/name.h"
#include "pki/policies.h"
#include "pki/signature.h"

#define STEPS_MAX 256u            /* certificates put on a path, anchors included */
#define COMPARISONS_MAX 16384     /* of names with name constraints */
#define LETTERS_MAX (256u * 1024) /* of names compared that are not the same bytes */
#define PATH_LENGTH_MAX (1 + FL_PATH_INTERMEDIATES_MAX)
#define NOT_SENT SIZE_MAX

/* --- the search ------------------------------------------------------------------------------------------ */

/* The order in which issuers are tried; anchors come before sent certificates. Certificates that
 * are out of date come last, only to explain a refusal. */
enum rank { LIKELY, OTHER_KEY_ID, LATE, RANKS };

struct frame {
	enum rank rank;
	bool anchors_done;
	size_t next;
	bool led; /* to some issuer, whatever the result */
};

/* A signature that has been checked. */
struct link {
	const struct fl_cert *issuer, *cert;
	enum fl_rule rule;
};

/* How informative a fault is. */
enum weight { NOTHING, DEAD_END, SIGNATURE, WHOLE_WAY };

struct search {
	const struct fl_path_request *request;
	struct fl_path *ret;
	struct fl_err *detail;
	size_t count;
	size_t steps, comparisons, letters;
	unsigned failures, sent_failures;
	bool exceeded, no_memory;
	size_t unread; /* place of the first that does not parse; 0: none */

	struct fl_cert const *path[PATH_LENGTH_MAX + 1]; /* with the anchor behind the last */
	uint8_t at[PATH_LENGTH_MAX];
	struct frame frames[PATH_LENGTH_MAX];
	size_t depth;
	const struct fl_anchor *anchor;

	enum weight weight; /* of what ret and detail say */
	size_t dead_depth;  /* of the longest path that led nowhere */
	struct link links[FL_PATH_SIGNATURES_MAX];

	bool is_read[FL_PATH_SENT_MAX];
	struct fl_cert
		certs[FL_PATH_SENT_MAX]; /* as far as `count`, and only those that are read */
};

static bool is_late(const struct fl_path_request *request, const struct fl_cert *cert)
{
	return !request->any_time &&
	       (request->now < cert->not_before || request->now > cert->not_after);
}

static enum rank rank_of(const struct fl_path_request *request, const struct fl_cert *issuer,
			 const struct fl_cert *cert)
{
	return is_late(request, issuer)                  ? LATE
	       : fl_cert_differs_in_key_id(issuer, cert) ? OTHER_KEY_ID
							 : LIKELY;
}

/* --- faults ------------------------------------------------------------------------------------------------- */

/* i: a place on the path; depth: the anchor. */
static enum fl_rule fault(struct search *s, enum weight weight, size_t i, enum fl_rule rule,
			  const char *fmt, ...) FL_PRINTF(5, 6);

static enum fl_rule fault(struct search *s, enum weight weight, size_t i, enum fl_rule rule,
			  const char *fmt, ...)
{
	bool is_anchor = i == s->depth;
	size_t place = is_anchor ? s->anchor->place : s->at[i];
	char name[FL_NAME_TEXT], text[400];
	va_list args;

	if (weight <= s->weight) {
		return rule;
	}
	s->weight = weight;
	s->ret->rule = rule;
	s->ret->index = place;
	s->ret->is_anchor = is_anchor;
	if (s->detail != NULL) {
		va_start(args, fmt);
		(void)vsnprintf(text, sizeof(text), fmt, args);
		va_end(args);
		(void)fl_err_set(s->detail, FL_ERR_DENIED, "%s %zu (%s): %s",
				 is_anchor ? "certificate of the bundle" : "certificate", place + 1,
				 fl_name_text(s->path[i]->subject, name), text);
	}
	return rule;
}

/* The path leads no further: no known certificate has issued its last one. */
static void dead_end(struct search *s)
{
	const struct fl_cert *last = s->path[s->depth - 1];
	char issuer[FL_NAME_TEXT], unread[64] = "";

	if (s->weight == DEAD_END && s->depth > s->dead_depth) {
		s->weight = NOTHING;
	}
	if (s->weight >= DEAD_END) {
		return;
	}
	s->dead_depth = s->depth;
	if (s->unread > 0) {
		(void)snprintf(unread, sizeof(unread), "; certificate %zu does not parse",
			       s->unread + 1);
	}
	if (last->is_self_issued) {
		(void)fault(s, DEAD_END, s->depth - 1, FL_RULE_UNKNOWN_ISSUER,
			    "it is a root that is not in the bundle%s", unread);
	} else {
		(void)fault(s, DEAD_END, s->depth - 1, FL_RULE_UNKNOWN_ISSUER,
			    "it was issued by %s, which is neither in the bundle nor among the "
			    "certificates that came with it%s",
			    fl_name_text(last->issuer, issuer), unread);
	}
}

/* --- one certificate of a path ---------------------------------------------------------------------------------- */

static enum fl_rule check_dates(struct search *s, size_t i)
{
	const struct fl_cert *cert = s->path[i];
	int64_t now = s->request->now;
	char then[FL_WHEN_TEXT], here[FL_WHEN_TEXT];

	if (!is_late(s->request, cert)) {
		return FL_RULE_NONE;
	}
	if (now > cert->not_after) {
		return fault(s, WHOLE_WAY, i, FL_RULE_EXPIRED,
			     "it has expired at %s (the clock here says %s)",
			     fl_when_format(cert->not_after, then), fl_when_format(now, here));
	}
	return fault(s, WHOLE_WAY, i, FL_RULE_NOT_YET_VALID,
		     "it is not valid before %s, in %lld seconds by the clock here (%s)",
		     fl_when_format(cert->not_before, then), (long long)(cert->not_before - now),
		     fl_when_format(now, here));
}

static enum fl_rule check_algorithm(struct search *s, size_t i)
{
	const struct fl_cert *cert = s->path[i];
	struct fl_err why;
	/* The signature of an anchor is not checked. */
	enum fl_rule rule =
		i < s->depth ? fl_signature_check_algorithm(cert->algorithm) : FL_RULE_NONE;

	if (rule == FL_RULE_WEAK_SIGNATURE) {
		return fault(s, WHOLE_WAY, i, rule,
			     "its issuer has signed it with SHA-1 or an older hash: have it "
			     "issued again with SHA-256");
	}
	if (rule != FL_RULE_NONE) {
		return fault(s, WHOLE_WAY, i, rule,
			     "its signature is of an unsupported algorithm; ECDSA and RSA with "
			     "SHA-256, SHA-384 or SHA-512, and Ed25519 are supported");
	}
	if (fl_key_check_kind(&cert->key, &why) < 0) {
		return fault(s, WHOLE_WAY, i, FL_RULE_ALGORITHM, "%s", why.text);
	}
	return FL_RULE_NONE;
}

static enum fl_rule check_signer(struct search *s, size_t i)
{
	const struct fl_cert *cert = s->path[i];
	bool is_ca = i == s->depth ? fl_cert_is_ca(cert) : cert->is_ca;

	if (!is_ca) {
		return fault(s, WHOLE_WAY, i, FL_RULE_SIGNER_CA,
			     cert->has_basic_constraints
				     ? "its basic constraints say that it is none"
				     : "basic constraints are absent");
	}
	if (cert->has_key_usage && !(cert->key_usage & FL_KU_CERT_SIGN)) {
		return fault(s, WHOLE_WAY, i, FL_RULE_SIGNER_KEY_USAGE, "keyCertSign is missing");
	}
	return FL_RULE_NONE;
}

static bool allows(const struct fl_cert *cert, uint8_t usage)
{
	return !cert->has_ext_key_usage || (cert->ext_key_usage & FL_EKU_ANY) != 0 ||
	       (cert->ext_key_usage & usage) == usage;
}

static enum fl_rule check_usage(struct search *s, size_t i)
{
	const struct fl_cert *cert = s->path[i];

	if (!allows(cert, s->request->usage)) {
		return fault(s, WHOLE_WAY, i,
			     i == 0 ? FL_RULE_EXT_KEY_USAGE : FL_RULE_SIGNER_EXT_KEY_USAGE,
			     "its extended key usage does not allow what %s is used for",
			     i == 0 ? "it" : "the leaf");
	}
	if (i == 0 && !cert->is_ca && (cert->key_usage & FL_KU_CERT_SIGN) != 0) {
		return fault(s, WHOLE_WAY, i, FL_RULE_KEY_USAGE,
			     "key usage has keyCertSign although it is not a CA");
	}
	return FL_RULE_NONE;
}

static enum fl_rule check_one(struct search *s, size_t i)
{
	const struct fl_cert *cert = s->path[i];
	enum fl_rule rule = check_dates(s, i);

	if (rule == FL_RULE_NONE && cert->unknown.len > 0) {
		rule = fault(s, WHOLE_WAY, i, FL_RULE_CRITICAL_EXTENSION,
			     "it has a critical extension that is unknown here");
	}
	if (rule == FL_RULE_NONE && i > 0) {
		rule = check_signer(s, i);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_usage(s, i);
	}
	return rule == FL_RULE_NONE ? check_algorithm(s, i) : rule;
}

/* --- a whole path ------------------------------------------------------------------------------------------------- */

/* Self-issued certificates do not count (RFC 5280 section 4.2.1.9). */
static enum fl_rule check_lengths(struct search *s)
{
	int32_t below = 0;

	for (size_t i = 1; i <= s->depth; i++) {
		if (below > s->path[i]->path_length) {
			return fault(s, WHOLE_WAY, i, FL_RULE_PATH_LENGTH,
				     "%d CAs are below it, and it allows %d", below,
				     s->path[i]->path_length);
		}
		below += !s->path[i]->is_self_issued;
	}
	return FL_RULE_NONE;
}

/* Checked signatures are remembered, because paths share their parts. */
static enum fl_rule check_signature(struct search *s, size_t i)
{
	const struct fl_cert *cert = s->path[i], *issuer = s->path[i + 1];
	const struct fl_signed what = {cert->tbs, cert->algorithm, cert->signature};
	enum fl_rule rule = FL_RULE_NONE;

	for (size_t k = 0; k < s->ret->signatures; k++) {
		if (s->links[k].cert == cert && s->links[k].issuer == issuer) {
			return s->links[k].rule;
		}
	}
	if (s->ret->signatures == FL_PATH_SIGNATURES_MAX || s->failures == FL_PATH_FAILURES_MAX ||
	    s->sent_failures == FL_PATH_SENT_FAILURES_MAX) {
		s->exceeded = true;
		return FL_RULE_TOO_MUCH;
	}
	if (fl_signature_check(&what, &issuer->key, &rule) < 0) {
		s->no_memory = true;
		return FL_RULE_TOO_MUCH;
	}
	s->links[s->ret->signatures++] = (struct link){issuer, cert, rule};
	s->failures += rule != FL_RULE_NONE;
	s->sent_failures += rule != FL_RULE_NONE && i + 1 < s->depth;
	return rule;
}

static enum fl_rule check_signatures(struct search *s)
{
	enum fl_rule rule = FL_RULE_NONE;
	char issuer[FL_NAME_TEXT];

	for (size_t i = s->depth; rule == FL_RULE_NONE && i-- > 0;) {
		rule = check_signature(s, i);
		if (rule == FL_RULE_SIGNATURE &&
		    fl_cert_differs_in_key_id(s->path[i + 1], s->path[i])) {
			(void)fault(s, DEAD_END, i, FL_RULE_UNKNOWN_ISSUER,
				    "it was issued by %s, and %s that name with another key only",
				    fl_name_text(s->path[i]->issuer, issuer),
				    i + 1 == s->depth ? "the bundle has" : "what came with it has");
		} else if (rule != FL_RULE_NONE && rule != FL_RULE_TOO_MUCH) {
			(void)fault(s, SIGNATURE, i, rule,
				    "its signature does not verify with the key of %s%s",
				    fl_name_text(s->path[i]->issuer, issuer),
				    i + 1 == s->depth ? " in the bundle" : "");
		}
	}
	return rule;
}

/* Of every CA, the anchor included, for everything below; a self-issued one is exempt unless it is the leaf (RFC
 * 5280 section 6.1.3). */
static enum fl_rule check_constraints(struct search *s)
{
	struct fl_err why;

	for (size_t ca = s->depth; ca > 0; ca--) {
		for (size_t i = ca; s->path[ca]->has_name_constraints && i-- > 0;) {
			enum fl_rule rule = FL_RULE_NONE;

			if (i == 0 || !s->path[i]->is_self_issued) {
				rule = fl_constraints_check(s->path[ca], s->path[i],
							    &s->comparisons, &why);
			}
			if (rule != FL_RULE_NONE) {
				return fault(s, WHOLE_WAY, i, rule, "%s", why.text);
			}
		}
	}
	return FL_RULE_NONE;
}

static enum fl_rule check_policies(struct search *s)
{
	struct fl_err why;
	size_t index;
	enum fl_rule rule = fl_policies_check(s->path, s->depth, s->path[s->depth], &index, &why);

	return rule == FL_RULE_NONE ? rule : fault(s, WHOLE_WAY, index, rule, "%s", why.text);
}

static enum fl_rule check_more(struct search *s)
{
	struct fl_span chain[PATH_LENGTH_MAX + 1];
	enum fl_rule rule;
	struct fl_err why;
	size_t index;

	if (s->request->more == NULL) {
		return FL_RULE_NONE;
	}
	for (size_t i = 0; i <= s->depth; i++) {
		chain[i] = s->path[i]->der;
	}
	rule = s->request->more(s->request->user, chain, s->depth, &index, &why);
	return rule == FL_RULE_NONE ? rule : fault(s, WHOLE_WAY, index, rule, "%s", why.text);
}

static bool is_good_path(struct search *s)
{
	enum fl_rule rule = FL_RULE_NONE;

	for (size_t i = 0; rule == FL_RULE_NONE && i <= s->depth; i++) {
		rule = check_one(s, i);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_lengths(s);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_signatures(s);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_constraints(s);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_policies(s);
	}
	return rule == FL_RULE_NONE && check_more(s) == FL_RULE_NONE;
}

static void put_path(struct search *s)
{
	struct fl_path *ret = s->ret;

	ret->rule = FL_RULE_NONE;
	ret->count = s->depth;
	ret->anchor = s->anchor->place;
	memcpy(ret->at, s->at, s->depth);
	ret->not_before = INT64_MIN;
	ret->not_after = INT64_MAX;
	for (size_t i = 0; i <= s->depth; i++) {
		const struct fl_cert *cert = s->path[i];

		if (i == s->depth) {
			ret->sent_not_after = ret->not_after;
		}
		ret->not_before =
			cert->not_before > ret->not_before ? cert->not_before : ret->not_before;
		ret->not_after =
			cert->not_after < ret->not_after ? cert->not_after : ret->not_after;
	}
}

/* --- which path ------------------------------------------------------------------------------------------------------ */

static const struct fl_anchor *next_anchor(struct search *s, struct frame *frame,
					   const struct fl_cert *cert)
{
	const struct fl_anchors *anchors = s->request->anchors;

	if (frame->next == 0) {
		frame->next = fl_anchors_find(anchors, cert->issuer_hash) + 1;
	}
	for (; frame->next <= anchors->count; frame->next++) {
		const struct fl_anchor *anchor = &anchors->items[frame->next - 1];

		if (anchor->cert.subject_hash != cert->issuer_hash) {
			break;
		}
		if (fl_cert_may_have_issued(&anchor->cert, cert, &s->letters) &&
		    rank_of(s->request, &anchor->cert, cert) == frame->rank) {
			frame->next++;
			return anchor;
		}
	}
	return NULL;
}

static bool is_on_path(struct search *s, const struct fl_cert *cert)
{
	for (size_t i = 0; i < s->depth; i++) {
		if (fl_cert_same_entity(s->path[i], cert, &s->letters)) {
			return true;
		}
	}
	return false;
}

/* A place in certs, or NOT_SENT. */
static size_t next_sent(struct search *s, struct frame *frame, const struct fl_cert *cert)
{
	for (; frame->next < s->count; frame->next++) {
		size_t i = frame->next;

		if (i > 0 && s->is_read[i] && s->certs[i].subject_hash == cert->issuer_hash &&
		    fl_cert_may_have_issued(&s->certs[i], cert, &s->letters) &&
		    rank_of(s->request, &s->certs[i], cert) == frame->rank &&
		    !is_on_path(s, &s->certs[i])) {
			frame->next++;
			return i;
		}
	}
	return NOT_SENT;
}

static void push(struct search *s, size_t place)
{
	s->at[s->depth] = (uint8_t)place;
	s->path[s->depth] = &s->certs[place];
	s->frames[s->depth] = (struct frame){.rank = LIKELY};
	s->depth++;
}

/* One step up from the top of the path, or back. True: a good path is found. */
static bool step(struct search *s)
{
	struct frame *frame = &s->frames[s->depth - 1];
	const struct fl_cert *top = s->path[s->depth - 1];
	size_t place = NOT_SENT;

	if (frame->rank == RANKS) {
		if (!frame->led) {
			dead_end(s);
		}
		s->depth--;
		return false;
	}
	s->anchor = frame->anchors_done ? NULL : next_anchor(s, frame, top);
	if (s->anchor == NULL) {
		frame->next = frame->anchors_done ? frame->next : 0;
		frame->anchors_done = true;
		place = next_sent(s, frame, top);
	}
	if (s->anchor == NULL && place == NOT_SENT) {
		frame->rank++;
		frame->next = 0;
		frame->anchors_done = false;
		return false;
	}
	frame->led = true;
	s->steps++;
	if (s->anchor != NULL) {
		s->path[s->depth] = &s->anchor->cert;
		return is_good_path(s);
	}
	if (s->depth < PATH_LENGTH_MAX) {
		push(s, place);
	} else {
		s->exceeded = true;
	}
	return false;
}

static bool find(struct search *s)
{
	bool found = false;

	push(s, 0);
	while (!found && s->depth > 0 && !s->no_memory && s->steps < STEPS_MAX &&
	       s->letters < LETTERS_MAX) {
		found = step(s);
	}
	s->exceeded = s->exceeded || (!found && s->depth > 0);
	return found;
}

/* --- the interface ------------------------------------------------------------------------------------------------- */

static void read_certs(struct search *s)
{
	for (size_t i = 1; i < s->count; i++) {
		s->is_read[i] =
			fl_cert_parse(s->request->certs[i], &s->certs[i], NULL) == FL_RULE_NONE;
		if (!s->is_read[i] && s->unread == 0) {
			s->unread = i;
		}
	}
}

static void refuse_excess(struct fl_path *ret)
{
	ret->rule = FL_RULE_TOO_MUCH;
	ret->index = 0;
	ret->is_anchor = false;
}

static int search(const struct fl_path_request *request, struct fl_path *ret, struct fl_err *detail)
{
	/* The certificates are written before they are read, and are most of it: 40 KB that the compiler would fill with
	 * zeros first. */
	struct search s __attribute__((uninitialized));

	memset(&s, 0, offsetof(struct search, certs));
	s.request = request;
	s.ret = ret;
	s.detail = detail;
	s.count = request->count;
	s.comparisons = COMPARISONS_MAX;
	ret->rule = fl_cert_parse(request->certs[0], &s.certs[0], detail);
	if (ret->rule != FL_RULE_NONE) {
		(void)fl_err_prefix(detail, "certificate 1");
		return 0;
	}
	ret->rule = FL_RULE_CHAIN; /* until a more informative fault is found */
	read_certs(&s);
	if (find(&s)) {
		put_path(&s);
		return 0;
	}
	if (s.no_memory) {
		return fl_err_set(detail, FL_ERR_NOMEM, "out of memory");
	}
	if (s.exceeded && s.weight < WHOLE_WAY) {
		refuse_excess(ret);
		(void)fl_err_set(detail, FL_ERR_DENIED,
				 "no path to the bundle with at most %d intermediates was found "
				 "within the limit of attempts",
				 FL_PATH_INTERMEDIATES_MAX);
	}
	return 0;
}

int fl_path_find(const struct fl_path_request *request, struct fl_path *ret, struct fl_err *detail)
{
	*ret = (struct fl_path){.rule = FL_RULE_NONE};
	if (request->count == 0) {
		ret->rule = FL_RULE_NO_CERTIFICATE;
		return 0;
	}
	if (request->count > FL_PATH_SENT_MAX) {
		refuse_excess(ret);
		(void)fl_err_set(detail, FL_ERR_DENIED, "there are more than %d certificates",
				 FL_PATH_SENT_MAX);
		return 0;
	}
	return search(request, ret, detail);
}
