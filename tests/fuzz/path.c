/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Path validation over certificates of which each may be anything. Signatures are not checked but decreed: the linker puts a
 * function of this file in front, by which one is good when its last bit is 0, so that what stands behind a good signature is
 * reached, and fast. What must hold of a good path is then checked here, certificate by certificate. */
#include "pki/path.h"
#include "fuzz.h"
#include "pki/signature.h"
#include "pki/svid.h"

#define CERTS_MAX 40u

/* NOLINTBEGIN(bugprone-reserved-identifier): a name of the linker's */
int __wrap_fl_signature_check(const struct fl_signed *what, const struct fl_public_key *key,
			      enum fl_rule *ret);

int __wrap_fl_signature_check(const struct fl_signed *what, const struct fl_public_key *key,
			      enum fl_rule *ret)
{
	bool odd =
		what->signature.len > 0 && (what->signature.data[what->signature.len - 1] & 1) != 0;

	(void)fuzz_touch(what->tbs);
	(void)fuzz_touch(key->info);
	*ret = fl_signature_check_algorithm(what->algorithm);
	if (*ret == FL_RULE_NONE && odd) {
		*ret = FL_RULE_SIGNATURE;
	}
	return FL_OK;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* The next element of DER, whatever it is, as a copy of its size. */
static bool take_element(struct fl_span *in, struct fl_span *ret)
{
	size_t len;

	if (in->len < 4) {
		return false;
	}
	len = in->data[1] < 0x80    ? 2u + in->data[1]
	      : in->data[1] == 0x81 ? 3u + in->data[2]
				    : 4u + (size_t)(in->data[2] << 8 | in->data[3]);
	*ret = fuzz_take(in, len);
	ret->data = fuzz_copy(*ret);
	return true;
}

static enum fl_rule judge_more(void *user, const struct fl_span *chain, size_t count,
			       size_t *ret_index, struct fl_err *detail)
{
	const struct fl_path_request *request = user;

	(void)fl_err_set(detail, FL_ERR_DENIED, "it is revoked");
	*ret_index = 0;
	return count > 2 && (fuzz_touch(chain[0]) & 7) == 0 && request->count > 0 ? FL_RULE_REVOKED
										  : FL_RULE_NONE;
}

/* On a good path each certificate but the leaf is a CA that is valid now and may have issued the one before it. */
static void check_way(const struct fl_path_request *request, const struct fl_path *path)
{
	struct fl_cert lower, upper;
	size_t letters = 0;

	FL_REQUIRE(path->count >= 1 && path->count <= 1 + FL_PATH_INTERMEDIATES_MAX);
	FL_REQUIRE(path->at[0] == 0);
	FL_REQUIRE(request->any_time ||
		   (path->not_before <= request->now && request->now <= path->not_after));
	for (size_t i = 0; i < path->count; i++) {
		bool is_last = i + 1 == path->count;
		size_t anchor = 0;

		FL_REQUIRE(fl_cert_parse(request->certs[path->at[i]], &lower, NULL) ==
			   FL_RULE_NONE);
		FL_REQUIRE(lower.unknown.len == 0);
		while (is_last && request->anchors->items[anchor].place != path->anchor) {
			FL_REQUIRE(++anchor < request->anchors->count);
		}
		if (is_last) {
			upper = request->anchors->items[anchor].cert;
		} else {
			FL_REQUIRE(fl_cert_parse(request->certs[path->at[i + 1]], &upper, NULL) ==
				   FL_RULE_NONE);
		}
		FL_REQUIRE(fl_cert_is_ca(&upper));
		FL_REQUIRE(fl_cert_may_have_issued(&upper, &lower, &letters));
		FL_REQUIRE((lower.signature.data[lower.signature.len - 1] & 1) == 0);
		FL_REQUIRE(!upper.has_key_usage || (upper.key_usage & FL_KU_CERT_SIGN) != 0);
	}
}

/* Flags, the number of anchors, then anchors and chain as they are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len}, certs[CERTS_MAX] = {{0}};
	uint8_t flags = fuzz_u8(&in);
	size_t anchors_wanted = fuzz_u8(&in) % 8u, count = 0, place = 0;
	struct fl_anchors anchors = {0};
	struct fl_path path;
	struct fl_err detail = {0};

	while (count < CERTS_MAX && take_element(&in, &certs[count])) {
		count++;
	}
	for (; place < anchors_wanted && place < count; place++) {
		struct fl_cert cert;

		if (fl_cert_parse(certs[place], &cert, NULL) == FL_RULE_NONE &&
		    fl_svid_check_anchor(&cert, NULL) == FL_RULE_NONE) {
			fl_anchors_add(&anchors, &cert, place);
		}
	}
	fl_anchors_sort(&anchors);
	if (place < count) {
		struct fl_path_request request = {.certs = certs + place,
						  .count = count - place,
						  .anchors = &anchors,
						  .now = FUZZ_NOW,
						  .any_time = (flags & 1) != 0,
						  .usage = FL_EKU_SERVER | FL_EKU_CLIENT,
						  .more = (flags & 2) != 0 ? judge_more : NULL,
						  .user = &request};

		FL_REQUIRE(fl_path_find(&request, &path, &detail) == FL_OK);
		FL_REQUIRE(path.signatures <= FL_PATH_SIGNATURES_MAX);
		if (path.rule == FL_RULE_NONE) {
			check_way(&request, &path);
		} else {
			FL_REQUIRE(detail.text[0] != '\0');
		}
	}
	fl_anchors_done(&anchors);
	for (size_t i = 0; i < count; i++) {
		free((void *)certs[i].data);
	}
	return 0;
}
