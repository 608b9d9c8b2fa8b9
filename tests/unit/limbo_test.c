/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The path function against cases of x509-limbo that others have written, with the verdicts that they expect. The cases
 * are not part of this tree: FL_LIMBO names the file (limbo.json.gz); without it the test is skipped. */
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "pki/judge.h"
#include "pki/path.h"
#include "pki/pem.h"

/* Cases that we accept although they should be refused, and why. A name may be the beginning of several. All cases that
 * should be accepted are. */
static const struct {
	const char *id, *why;
} exceptions[] = {
	{"crl::crlnumber-missing", "the number of a list tells nothing about whom it revokes"},
	{"pathlen::max-chain-depth-0-exhausted", "the bound on intermediates is no setting"},
	{"pathlen::max-chain-depth-1-exhausted", "the bound on intermediates is no setting"},
	{"rfc5280::aki::leaf-missing-aki",
	 "OpenSSL and keytool write none; a key identifier only helps to search"},
	{"rfc5280::aki::intermediate-missing-aki", "the same"},
	{"rfc5280::aki::cross-signed-root-missing-aki", "the same, and it is an anchor"},
	{"rfc5280::ski::root-missing-ski", "the same of the subject's"},
	{"rfc5280::ski::intermediate-missing-ski", "the same of the subject's"},
	{"webpki::aki::root-with-aki",
	 "who is an anchor is trusted for what the user says, whatever it says of its own issuer"},
	{"rfc5280::nc::permitted-dns-match-noncritical",
	 "constraints hold, critical or not, and there is a case that expects the opposite"},
	{"rfc5280::nc::invalid-dnsname-leading-period",
	 "OpenSSL and Go take it for the subdomains, which permits less"},
	{"rfc5280::san::underscore-dns", "no DNS name is used for anything here"},
	{"rfc5280::san::ip-in-dns", "no DNS name is used for anything here"},
	{"rfc5280::san::noncritical-with-empty-subject", "a rule of SVIDs, judged by svid.h"},
	{"rfc5280::serial::zero", "a warning for our own, as has to be"},
	{"rfc5280::root-non-critical-basic-constraints",
	 "it is a CA all the same; OpenSSL and Go say so, too"},
	{"webpki::eku::",
	 "rules of the web's CAs; svid.h asks for serverAuth and clientAuth by name"},
	{"webpki::malformed-aia", "where to find an issuer is not looked at"},
	{"webpki::san::", "names of hosts are not compared with anything here"},
	{"webpki::cn::", "a common name is not compared with anything here"},
	{"rfc5280::ca-as-leaf-wrong-san", "names of hosts are not compared with anything here"},
	{"webpki::ee-basicconstraints-ca", "a rule of SVIDs, judged by svid.h"},
	{"webpki::ca-as-leaf", "a rule of SVIDs, judged by svid.h"},
	{"webpki::v1-cert", "the leaf; a rule of SVIDs, judged by svid.h"},
	{"webpki::forbidden-rsa-not-divisible-by-8-in-root", "odd, and no weaker"},
	{"webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf", "odd, and no weaker"},
};

static const char *exception_of(const char *id)
{
	for (size_t i = 0; i < FL_COUNT_OF(exceptions); i++) {
		if (strncmp(id, exceptions[i].id, strlen(exceptions[i].id)) == 0) {
			return exceptions[i].why;
		}
	}
	return NULL;
}

/* --- the file --------------------------------------------------------------------------------------- */

/* gzip, with its output at the other end of a pipe. */
static int unpack(const char *path, pid_t *ret_pid)
{
	char *const arguments[] = {"gzip", "-dc", (char *)path, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(posix_spawn_file_actions_init(&actions), 0);
	cr_assert_eq(posix_spawn_file_actions_adddup2(&actions, ends[1], 1), 0);
	cr_assert_eq(posix_spawnp(ret_pid, "gzip", &actions, NULL, arguments, environ), 0);
	cr_assert_eq(posix_spawn_file_actions_destroy(&actions), 0);
	cr_assert_eq(close(ends[1]), 0);
	return ends[0];
}

/* NULL: there are none. */
static cJSON *read_cases(void)
{
	const char *path = getenv("FL_LIMBO");
	char *text = NULL;
	size_t len = 0, cap = 0;
	cJSON *json;
	ssize_t n;
	pid_t pid;
	int fd;

	if (!path || access(path, R_OK) != 0) {
		return NULL;
	}
	fd = unpack(path, &pid);
	do {
		cap = cap * 2 + 65536;
		text = fl_grow(text, cap, 1);
		while ((n = read(fd, text + len, cap - len - 1)) > 0) {
			len += (size_t)n;
		}
	} while (len == cap - 1);
	text[len] = '\0';
	cr_assert_eq(close(fd), 0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	json = cJSON_Parse(text);
	cr_assert_not_null(json, "%s is no JSON", path);
	free(text);
	return json;
}

static const char *text_of(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItem(object, name);

	return cJSON_IsString(item) ? item->valuestring : NULL;
}

static void add_pem(struct fl_der_list *list, const char *pem)
{
	struct fl_der_list one = {0};

	cr_assert_eq(fl_pem_certificates(pem, strlen(pem), false, &one, NULL), 0);
	for (size_t i = 0; i < one.count; i++) {
		fl_der_list_push(list, one.items[i].data, one.items[i].len);
	}
	fl_der_list_done(&one);
}

static void add_all(struct fl_der_list *list, const cJSON *array)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		add_pem(list, item->valuestring);
	}
}

/* "2024-03-01T00:00:00.999+00:00": a second that has begun counts, and "before" has a resolution of seconds. */
static int64_t time_of(const cJSON *test)
{
	const char *text = text_of(test, "validation_time");
	struct tm tm = {0};

	if (!text) {
		return (int64_t)time(NULL);
	}
	cr_assert_not_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &tm));
	return (int64_t)timegm(&tm);
}

/* --- one case ----------------------------------------------------------------------------------------- */

/* As a set reads its lists; a list that is refused refuses the case. */
static bool read_crls(const cJSON *array, struct fl_credentials *c, int64_t now)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		struct fl_der_list list = {0};
		struct fl_crl crl;
		bool good = false;

		cr_assert_eq(fl_pem_crls(item->valuestring, strlen(item->valuestring), &list, NULL),
			     0);
		if (fl_crl_parse(&list.items[0], &crl, NULL) != 0) {
			fl_der_list_done(&list);
			return false;
		}
		for (size_t i = 0; !crl.unusable && i < c->bundles[0].roots.count && !good; i++) {
			struct fl_span ca = {c->bundles[0].roots.items[i].data,
					     c->bundles[0].roots.items[i].len};

			good = fl_crl_names(&crl, ca) && fl_crl_verify(&crl, 0, ca, NULL) == 0;
		}
		fl_der_list_done(&list);
		if (!good || fl_crl_is_late(&crl, now)) {
			fl_crl_done(&crl);
			return false;
		}
		c->crls = fl_grow(c->crls, c->crl_count + 1, sizeof(crl));
		c->crls[c->crl_count++] = crl;
	}
	return true;
}

static enum fl_rule judge_more(void *user, const struct fl_span *chain, size_t count,
			       size_t *ret_index, struct fl_err *detail)
{
	return fl_judge_revoked(user, 0, chain, count, ret_index, detail) ? FL_RULE_REVOKED
									  : FL_RULE_NONE;
}

static uint8_t usage_of(const cJSON *test)
{
	return strcmp(text_of(test, "validation_kind"), "CLIENT") == 0 ? FL_EKU_CLIENT
								       : FL_EKU_SERVER;
}

static bool is_accepted(const cJSON *test, struct fl_path *ret, struct fl_err *detail)
{
	struct fl_bundle bundle = {0};
	struct fl_credentials c = {.bundles = &bundle, .bundle_count = 1};
	struct fl_der_list sent = {0};
	struct fl_span chain[FL_PATH_SENT_MAX + 2];
	int64_t now = time_of(test);
	bool good;

	add_pem(&sent, text_of(test, "peer_certificate"));
	add_all(&sent, cJSON_GetObjectItem(test, "untrusted_intermediates"));
	add_all(&bundle.roots, cJSON_GetObjectItem(test, "trusted_certs"));
	cr_assert_leq(sent.count, FL_COUNT_OF(chain));
	for (size_t i = 0; i < sent.count; i++) {
		chain[i] = (struct fl_span){sent.items[i].data, sent.items[i].len};
	}
	fl_bundle_index(&bundle);
	(void)fl_err_set(detail, FL_ERR_DENIED, "a CRL is refused");
	good = read_crls(cJSON_GetObjectItem(test, "crls"), &c, now);
	if (good) {
		const struct fl_path_request request = {
			.certs = chain,
			.count = sent.count,
			.anchors = &bundle.anchors,
			.now = now,
			.usage = usage_of(test),
			.more = judge_more,
			.user = &c,
		};

		cr_assert_eq(fl_path_find(&request, ret, detail), 0);
		good = ret->rule == FL_RULE_NONE;
	}
	for (size_t i = 0; i < c.crl_count; i++) {
		fl_crl_done(&c.crls[i]);
	}
	free(c.crls);
	fl_anchors_done(&bundle.anchors);
	fl_der_list_done(&bundle.roots);
	fl_der_list_done(&sent);
	return good;
}

Test(limbo, every_case_that_applies)
{
	cJSON *json = read_cases();
	const cJSON *test;
	size_t count = 0, excepted = 0, wrong = 0;

	if (!json) {
		cr_skip_test("FL_LIMBO names no cases of x509-limbo");
	}
	cJSON_ArrayForEach(test, cJSON_GetObjectItem(json, "testcases"))
	{
		const char *id = text_of(test, "id"), *why = exception_of(id);
		bool wanted = strcmp(text_of(test, "expected_result"), "SUCCESS") == 0;
		struct fl_path path = {.rule = FL_RULE_CHAIN};
		struct fl_err detail = {.text = ""};
		bool got = is_accepted(test, &path, &detail);

		count++;
		excepted += got && !wanted && why;
		cr_assert_leq(path.signatures, FL_PATH_SIGNATURES_MAX);
		if (got != wanted && !(got && why)) {
			wrong++;
			cr_log_error("%s: %s, %s: %s", id, got ? "let in" : "refused",
				     fl_rule_name(path.rule), got ? "" : detail.text);
		}
	}
	cJSON_Delete(json);
	cr_assert_gt(count, 100);
	cr_assert_eq(wrong, 0, "%zu of %zu (%zu exceptions)", wrong, count, excepted);
}
