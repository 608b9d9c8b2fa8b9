/* SPDX-License-Identifier: GPL-3.0-or-later */
/* preview - combines the mounted files and the given ones into a candidate, judges it as `run` would, and asks the sidecar
 * over its control socket.
 *
 * The candidate is sent whole, like a generation, with the key: a user who may use that socket may also send
 * generations. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/common/candidate.h"
#include "agent/common/command.h"
#include "agent/common/json_read.h"
#include "agent/common/stdin_file.h"
#include "agent/tools/admin_client.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "tls/tls.h"

#define REQUEST_MS 10000
#define HEAD_MAX 65536 /* bytes of a file that are searched for its kind */
#define SHOWN_MAX 20   /* connections */

/* The files that replace mounted ones. */
struct given {
	char *ini, *bundle, *crl; /* absolute paths; NULL: as mounted */
	char *input;              /* the one that holds stdin */
	struct {
		char *trust_domain, *path;
	} * foreign;
	size_t foreign_count;
};

static int complain(const char *text)
{
	(void)fprintf(stderr, "fairlead-agent preview: %s\n", text);
	return 2;
}

static int complain_of(const char *file, const char *text)
{
	(void)fprintf(stderr, "fairlead-agent preview: %s: %s\n", file, text);
	return 2;
}

/* --- what is given --------------------------------------------------------------------------------- */

enum kind { KIND_INI, KIND_BUNDLE, KIND_CRL, KIND_UNREADABLE };

static enum kind kind_of(const char *path)
{
	char *head = fl_new(HEAD_MAX + 1);
	FILE *file = fopen(path, "re");
	enum kind kind = KIND_UNREADABLE;

	if (file != NULL) {
		size_t len = fread(head, 1, HEAD_MAX, file);

		/* Treated as text: bytes after a NUL do not count. */
		head[len] = '\0';
		kind = strstr(head, "-----BEGIN X509 CRL-----") != NULL      ? KIND_CRL
		       : strstr(head, "-----BEGIN CERTIFICATE-----") != NULL ? KIND_BUNDLE
									     : KIND_INI;
		if (ferror(file)) {
			kind = KIND_UNREADABLE;
		}
		(void)fclose(file);
	}
	free(head);
	return kind;
}

static int put(char **place, char *path, const char *word, const char *what)
{
	if (*place != NULL) {
		char *text = fl_format("a second %s: give one of each kind", what);

		(void)complain_of(word, text);
		free(text);
		free(path);
		return 2;
	}
	*place = path;
	return 0;
}

static char *absolute(const char *file)
{
	char *path = realpath(file, NULL);

	if (path == NULL) {
		struct fl_err err;

		(void)fl_err_sys(&err, errno, "cannot be read");
		(void)complain_of(file, err.text);
	}
	return path;
}

/* The path of a given file, to free(); NULL after a sentence on stderr. */
static char *path_of(struct given *given, const char *file)
{
	char *path = NULL;
	struct fl_err err;

	if (!fl_stdin_is(file)) {
		return absolute(file);
	}
	if (given->input != NULL) {
		(void)complain_of(file, "stdin can be only one of the candidates");
	} else if (fl_stdin_to_file(&path, &err) != FL_OK) {
		(void)complain_of(FL_STDIN_NAME, err.text);
	} else {
		given->input = fl_strdup(path);
	}
	return path;
}

/* The name of the file in messages. */
static const char *name_of(const struct given *given, const char *path)
{
	return path != NULL && given->input != NULL && strcmp(path, given->input) == 0
		       ? FL_STDIN_NAME
		       : path;
}

/* `TRUST_DOMAIN=FILE` */
static int take_bundle_of(struct given *given, const char *word, const char *equals)
{
	char *path = path_of(given, equals + 1);

	if (path == NULL) {
		return 2;
	}
	given->foreign = fl_grow(given->foreign, given->foreign_count + 1, sizeof(*given->foreign));
	given->foreign[given->foreign_count].trust_domain =
		fl_strndup(word, (size_t)(equals - word));
	given->foreign[given->foreign_count++].path = path;
	return 0;
}

static int take_file(struct given *given, const char *word)
{
	const char *equals = strchr(word, '=');
	char *path;

	if (equals != NULL && strchr(word, '/') != NULL && strchr(word, '/') < equals) {
		equals = NULL; /* a path with `=` in it */
	}
	if (equals != NULL) {
		return take_bundle_of(given, word, equals);
	}
	path = path_of(given, word);
	if (path == NULL) {
		return 2;
	}
	switch (kind_of(path)) {
	case KIND_INI:
		return put(&given->ini, path, word, "INI");
	case KIND_BUNDLE:
		return put(&given->bundle, path, word, "bundle");
	case KIND_CRL:
		return put(&given->crl, path, word, "file of CRLs");
	case KIND_UNREADABLE:
		break;
	}
	free(path);
	return complain_of(word, "cannot be read");
}

static void given_done(struct given *given)
{
	free(given->ini);
	free(given->bundle);
	free(given->crl);
	free(given->input);
	for (size_t i = 0; i < given->foreign_count; i++) {
		free(given->foreign[i].trust_domain);
		free(given->foreign[i].path);
	}
	free(given->foreign);
}

/* --- the candidate --------------------------------------------------------------------------------- */

static void replace(char **place, const char *path)
{
	if (path != NULL) {
		free(*place);
		*place = fl_strdup(path);
	}
}

/* Puts the given files in place of those that the INI names. */
static int replace_paths(struct fl_conf *conf, const struct given *given)
{
	replace(&conf->identity.bundle, given->bundle);
	replace(&conf->identity.crl, given->crl);
	for (size_t i = 0; i < given->foreign_count; i++) {
		size_t k = 0;

		while (k < conf->federate_count && strcmp(conf->federate[k].trust_domain,
							  given->foreign[i].trust_domain) != 0) {
			k++;
		}
		if (k == conf->federate_count) {
			return complain_of(
				given->foreign[i].trust_domain,
				"the INI has no such [federate TRUST_DOMAIN]; give our own bundle "
				"without a name");
		}
		replace(&conf->federate[k].path, given->foreign[i].path);
	}
	return 0;
}

static void print_findings(const struct given *given, const struct fl_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct fl_finding *finding = &findings->items[i];

		(void)fprintf(stderr, "%s%s%s%s\n",
			      finding->path != NULL ? name_of(given, finding->path) : "",
			      finding->path != NULL ? ": " : "",
			      finding->is_error ? "" : "warning: ", finding->text);
	}
}

/* fl_candidate_encode(), with the name that answers use for the INI. */
static int encode(const struct fl_candidate *candidate, const struct fl_conf *conf,
		  const char *name, struct fl_span ini, uint8_t **ret_frame, size_t *ret_len,
		  uint8_t ret_digest[FL_DIGEST_LEN], struct fl_err *err)
{
	char *own = fl_strdup(name);
	struct fl_conf named = *conf;
	int rc;

	named.path = own;
	rc = fl_candidate_encode(candidate, &named, ini, ret_frame, ret_len, ret_digest, err);
	free(own);
	return rc;
}

/* The frame that would be sent to the sidecar. The caller wipes and frees it. */
static int make_frame(const char *conf_path, const struct given *given, uint8_t **ret_frame,
		      size_t *ret_len)
{
	const char *path = given->ini != NULL ? given->ini : conf_path;
	struct fl_problems problems = {0};
	struct fl_candidate candidate = {0};
	/* The sidecar judges CRLs: it knows which ones are in force. */
	struct fl_late_crls late = {.all = true};
	struct fl_conf *conf = NULL;
	uint8_t digest[FL_DIGEST_LEN];
	char *ini = NULL;
	size_t ini_len = 0;
	struct fl_err err;
	int code = 2;

	if (fl_conf_load(path, &conf, &ini, &ini_len, &problems) != FL_OK) {
		fl_problems_print(&problems, name_of(given, path), stderr);
	} else if (replace_paths(conf, given) != 0) {
		code = 2;
	} else if (fl_candidate_load(conf, fl_candidate_now(), &late, &candidate) != FL_OK) {
		print_findings(given, &candidate.findings);
		(void)complain("this candidate would be refused; the generation in use would stay");
	} else if (encode(&candidate, conf, name_of(given, path),
			  (struct fl_span){(const uint8_t *)ini, ini_len}, ret_frame, ret_len,
			  digest, &err) != FL_OK) {
		(void)complain(err.text);
	} else {
		print_findings(given, &candidate.findings);
		code = 0;
	}
	fl_candidate_done(&candidate);
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(ini);
	return code;
}

/* --- writing ----------------------------------------------------------------------------------------- */

/* counts: an object. */
static uint64_t sum(const cJSON *counts)
{
	const cJSON *item;
	uint64_t total = 0;

	cJSON_ArrayForEach(item, counts)
	{
		total += fl_json_read_count(counts, item->string);
	}
	return total;
}

static void put_counts(struct fl_text *out, const char *word, const cJSON *counts)
{
	const cJSON *item;
	const char *between = ": ";

	if (sum(counts) == 0) {
		return;
	}
	fl_text_print(out, "%-12s %" PRIu64 " open connection%s", word, sum(counts),
		      sum(counts) == 1 ? "" : "s");
	cJSON_ArrayForEach(item, counts)
	{
		fl_text_print(out, "%s%" PRIu64 " ", between,
			      fl_json_read_count(counts, item->string));
		fl_text_put_clean(out, item->string);
		between = ", ";
	}
	fl_text_print(out, "\n");
}

static void put_field(struct fl_text *out, const char *before, const cJSON *object, const char *key)
{
	const char *text = fl_json_read_text(object, key);

	if (text[0] != '\0') {
		fl_text_print(out, "%s", before);
		fl_text_put_clean(out, text);
	}
}

static void put_connections(struct fl_text *out, const cJSON *answer)
{
	const cJSON *items = fl_json_read_member(answer, "connections"), *item;
	uint64_t left = fl_json_read_count(answer, "left_out");
	int shown = 0;

	cJSON_ArrayForEach(item, items)
	{
		if (shown == SHOWN_MAX) {
			left += (uint64_t)(cJSON_GetArraySize(items) - shown);
			break;
		}
		fl_text_print(out, "%-12s ", shown == 0 ? "namely" : "");
		shown++;
		fl_text_put_clean(out, fl_json_read_text(item, "direction"));
		put_field(out, " ", item, "name");
		put_field(out, " from ", item, "source");
		put_field(out, " to ", item, "destination");
		put_field(out, ", peer ", item, "peer");
		put_field(out, ": ", item, "reason");
		put_field(out, ", ", item, "detail");
		fl_text_print(out, "\n");
	}
	if (left > 0) {
		fl_text_print(out, "%-12s and %" PRIu64 " more\n", "", left);
	}
}

static void put_roots(struct fl_text *out, const cJSON *answer)
{
	const cJSON *items = fl_json_read_member(answer, "roots"), *item;
	const char *word = "roots";

	cJSON_ArrayForEach(item, items)
	{
		fl_text_print(out, "%-12s ", word);
		fl_text_put_clean(out, fl_json_read_text(item, "trust_domain"));
		fl_text_print(out, " %" PRId64 " (key ", fl_json_read_number(item, "index"));
		fl_text_put_clean(out, fl_json_read_text(item, "key_id"));
		fl_text_print(out, "): safe to remove: ");
		fl_text_put_clean(out, fl_json_read_text(item, "safe_to_remove"));
		put_field(out, ", because ", item, "because");
		fl_text_print(out, "\n");
		word = "";
	}
}

static void put_seen(struct fl_text *out, const char *word, const cJSON *items)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, items)
	{
		const char *peer = fl_json_read_text(item, "peer");

		fl_text_print(out, "%-12s ", word);
		fl_text_put_clean(out, peer[0] != '\0' ? peer : "plaintext");
		put_field(out, " from ", item, "source");
		fl_text_print(out, " at port %" PRId64, fl_json_read_number(item, "port"));
		put_field(out, ", service ", item, "service");
		put_field(out, ", by rule ", item, "rule");
		fl_text_print(out, "%s",
			      fl_json_read_bool(item, "strict") ? ", because the port is strict"
								: "");
		put_field(out, ", last seen ", item, "last");
		fl_text_print(out, "\n");
		word = "";
	}
}

static bool changes_something(const cJSON *answer)
{
	return sum(fl_json_read_object(answer, "closes")) > 0 ||
	       cJSON_GetArraySize(fl_json_read_member(answer, "newly_let_in")) > 0 ||
	       cJSON_GetArraySize(fl_json_read_member(answer, "newly_refused")) > 0;
}

static void write_text(const cJSON *answer)
{
	const cJSON *closes = fl_json_read_object(answer, "closes");
	uint64_t judged = fl_json_read_count(answer, "judged");
	struct fl_text out = {0};

	fl_text_print(&out, "%-12s generation %" PRIu64 ", %" PRIu64 " open connection%s\n",
		      "compared", fl_json_read_count(answer, "generation"), judged,
		      judged == 1 ? "" : "s");
	if (sum(closes) == 0) {
		fl_text_print(&out, "%-12s no open connection\n", "closes");
	}
	put_counts(&out, "closes", closes);
	put_connections(&out, answer);
	put_counts(&out, "keeps", fl_json_read_object(answer, "keeps"));
	put_seen(&out, "lets in", fl_json_read_member(answer, "newly_let_in"));
	put_seen(&out, "refuses", fl_json_read_member(answer, "newly_refused"));
	put_roots(&out, answer);
	(void)fwrite(out.data, 1, out.len, stdout);
	fl_text_done(&out);
}

static int write_answer(const struct fl_text *body, bool json)
{
	cJSON *answer = cJSON_ParseWithLength(body->data, body->len);
	int code;

	if (!cJSON_IsObject(answer) || fl_json_read_object(answer, "closes") == NULL) {
		cJSON_Delete(answer);
		return complain("what answers there is not a sidecar, or one too old for previews");
	}
	if (json) {
		struct fl_text out = {0};

		fl_json_read_show(body, &out);
		(void)fwrite(out.data, 1, out.len, stdout);
		fl_text_done(&out);
	} else {
		write_text(answer);
	}
	code = changes_something(answer);
	cJSON_Delete(answer);
	return fl_command_flush("the answer", code);
}

static int ask(const struct fl_command_line *line, struct fl_span frame, bool json)
{
	struct fl_text body = {0};
	struct fl_admin_client control;
	struct fl_err err;
	unsigned status = 0;
	int code = fl_admin_client_find_control(line, &control);

	if (code != 0) {
		return code;
	}
	fl_admin_client_warn(line->conf_path);
	if (fl_admin_client_post_body(&control, "/preview", frame, REQUEST_MS, &status, &body,
				      &err) != FL_OK) {
		code = complain(err.text);
	} else if (status != 200) {
		char *reason = fl_admin_client_line(&body);

		code = complain(reason[0] != '\0' ? reason : "refused");
		free(reason);
	} else {
		code = write_answer(&body, json);
	}
	fl_text_done(&body);
	return code;
}

static int preview(const struct fl_command_line *line)
{
	struct given given = {0};
	uint8_t *frame = NULL;
	size_t len = 0;
	struct fl_err err;
	int code = 0;

	if (fl_tls_global_init(&err) != FL_OK) {
		return complain(err.text);
	}
	for (size_t i = 0; i < line->word_count && code == 0; i++) {
		code = take_file(&given, line->words[i]);
	}
	if (code == 0) {
		code = make_frame(line->conf_path, &given, &frame, &len);
	}
	if (code == 0) {
		code = ask(line, (struct fl_span){frame, len}, line->options[0] != NULL);
	}
	fl_wipe_free(frame, len);
	given_done(&given);
	fl_tls_global_done();
	return code;
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent preview - which open connections a candidate would close\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent preview [-c FILE] [--json] [--control PATH] [CANDIDATE...]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks the running sidecar what would happen to its open connections if the\n"
	"  candidates replaced what is mounted. Nothing is changed, and no connection is\n"
	"  closed. A CANDIDATE is\n"
	"    an INI                in place of the one that -c names\n"
	"    a PEM of certificates in place of the bundle of our own trust domain\n"
	"    a PEM of CRLs         in place of [identity] crl\n"
	"    TRUST_DOMAIN=FILE     in place of the bundle of a federated trust domain\n"
	"  Its content shows which kind it is. One FILE may be `-`, which is stdin.\n"
	"  Without a candidate the question is about what is mounted now.\n"
	"\n"
	"  The answer lists each connection that would be closed, with the reason; the\n"
	"  peers seen lately that would be newly admitted or newly refused; and the roots\n"
	"  in use, with the connections that depend on one alone: \"safe to remove: yes\"\n"
	"  means that no open connection does. Peers without an open connection are not\n"
	"  known.\n"
	"\n"
	"  The request goes to `[sidecar] control`, which accepts root, the sidecar's own\n"
	"  user and the agent's. An INI candidate needs no other: if the one that -c\n"
	"  names has an error, it is read as far as it can be, for the socket's path.\n"
	"  Other candidates need it whole, also with --control.\n"
	"\n"
	"OPTIONS\n"
	"      --json          the sidecar's answer as it is\n" FL_PAGE_OPTION_CONTROL
		FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  no connection would be closed, no peer newly admitted or newly refused\n"
	"  1  at least one would\n"
	"  2  the candidate would be refused, or the sidecar cannot be asked\n" FL_PAGE_EXIT_UNWRITTEN
	"\n"
	"EXAMPLES\n"
	"  fairlead-agent preview new.ini\n"
	"  kubectl exec -i POD -c fairlead-agent -- fairlead-agent preview - <new.ini\n"
	"  fairlead-agent preview roots-without-the-old-one.pem\n"
	"  fairlead-agent preview partner.example=/tmp/partner.pem\n";

const struct fl_command fl_command_preview = {
	.name = "preview",
	.summary = "which open connections a candidate would close",
	.page = page,
	.run = preview,
	.options = {{.name = "json"}},
	.words_max = FL_COMMAND_WORDS_MAX,
	.asks = FL_ASKS_CONTROL,
	.capabilities = FL_COMMAND_READS_ALL,
};
