/* SPDX-License-Identifier: GPL-3.0-or-later */
/* source - the stages of a candidate: read, parse and judge, try.
 *
 * A stage runs if the one before left anything to work on, so that all problems are reported at once:
 * files that were read are parsed even if others are missing. Consequences of a missing file
 * (no key, an empty bundle) are not reported as well. The trial handshake requires a complete set.
 * On failure nothing remains allocated, and keys are wiped. */
#include "certs-watch/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/when.h"
#include "base/yield.h"
#include "certs-watch/files.h"
#include "pki/digest.h"

struct load {
	const struct fl_source *source;
	struct fl_findings *findings;
	size_t unread; /* the first findings, this many, are about reading */
};

/* The federated bundle of that path; NULL: it is not one. */
static const struct fl_source_foreign *foreign_of(const struct fl_source *source, const char *path)
{
	for (size_t i = 0; i < source->foreign_count; i++) {
		if (source->foreign[i].bundle == path) {
			return &source->foreign[i];
		}
	}
	return NULL;
}

/* Why the file could not be read; NULL: it was. */
static const char *unread(const struct load *load, const char *path)
{
	for (size_t i = 0; i < load->unread; i++) {
		const struct fl_finding *finding = &load->findings->items[i];

		if (finding->is_error && finding->path == path) {
			return finding->text;
		}
	}
	return NULL;
}

static void note_finding(void *user, bool is_error, const char *name, const char *text)
{
	struct load *load = user;
	/* An error of a section [federate] is our own, and has nothing to do with the file. */
	bool is_own_error = is_error && foreign_of(load->source, name) != NULL;

	if (name == NULL && load->source->may_lack_files) {
		return; /* it is about a file that is missing */
	}
	if (unread(load, NULL) == NULL && (is_own_error || unread(load, name) == NULL)) {
		fl_findings_add(load->findings, is_error, name, fl_strdup(text));
	}
}

static struct fl_span span_of(const struct fl_source_file *file)
{
	return (struct fl_span){(const uint8_t *)file->data, file->len};
}

static void digest_files(const struct fl_source_files *files, struct fl_findings *findings)
{
#define READ_FILE(name, is_secret) &files->name,
	const struct fl_source_file *own[] = {FL_CREDENTIAL_FILES(READ_FILE)};
	size_t count = FL_COUNT_OF(own) + files->foreign_count, n = 0;
	struct fl_span *parts = fl_new((count + findings->count) * sizeof(*parts));

	for (; n < FL_COUNT_OF(own); n++) {
		parts[n] = span_of(own[n]);
	}
	for (size_t i = 0; i < files->foreign_count; i++) {
		parts[n++] = span_of(&files->foreign[i]);
	}
	/* For a file that was not read, the digest includes the reason. */
	for (size_t i = 0; i < findings->count; i++) {
		const char *text = findings->items[i].text;

		parts[n++] = (struct fl_span){(const uint8_t *)text, strlen(text)};
	}
	fl_digest(parts, n, findings->digest);
	free(parts);
}

/* If a federated bundle cannot be read, no peer of its domain is trusted; nothing else is affected. */
static void excuse_foreign(struct load *load)
{
	for (size_t i = 0; i < load->unread; i++) {
		struct fl_finding *finding = &load->findings->items[i];
		const struct fl_source_foreign *foreign = foreign_of(load->source, finding->path);
		char *text;

		if (!finding->is_error || foreign == NULL) {
			continue;
		}
		text = fl_format("%s; until this is repaired, nobody of %s is trusted",
				 finding->text, foreign->trust_domain);
		free(finding->text);
		finding->text = text;
		finding->is_error = false;
		load->findings->errors--;
	}
}

static void read_files(const struct fl_source *source, struct fl_source_files *files,
		       struct fl_findings *findings)
{
#define REQUEST(file, secret) {.path = source->file, .is_secret = (secret), .ret = &files->file},
	const struct fl_files_request own[] = {FL_CREDENTIAL_FILES(REQUEST)};
	size_t count = FL_COUNT_OF(own) + source->foreign_count;
	struct fl_files_request *requests = fl_new(count * sizeof(*requests));

	files->foreign = fl_new(source->foreign_count * sizeof(*files->foreign));
	files->foreign_count = source->foreign_count;
	memcpy(requests, own, sizeof(own));
	for (size_t i = 0; i < source->foreign_count; i++) {
		requests[FL_COUNT_OF(own) + i] = (struct fl_files_request){
			.path = source->foreign[i].bundle, .ret = &files->foreign[i]};
	}
	findings->is_atomic = true;
	for (size_t i = 0; i < count; i++) {
		if (requests[i].path && !fl_files_is_atomic(requests[i].path)) {
			findings->is_atomic = false;
		}
	}
	(void)fl_files_read(requests, FL_COUNT_OF(own), findings);
	/* Not together with our own: a partner's file must not keep us from a renewal. */
	fl_files_read_each(requests + FL_COUNT_OF(own), source->foreign_count, findings);
	digest_files(files, findings);
	free(requests);
}

/* Parses the files that were read; NULL: there was a problem. */
static struct fl_credentials *parse(const struct fl_source *source,
				    const struct fl_source_files *files, int64_t now,
				    struct load *load)
{
	struct fl_foreign_bundle *foreign = fl_new(source->foreign_count * sizeof(*foreign));
#define PEM(file, is_secret) .file = span_of(&files->file), .file##_name = source->file,
	struct fl_credentials_pem pem = {.late = source->late,
					 .foreign = foreign,
					 .foreign_count = source->foreign_count,
					 FL_CREDENTIAL_FILES(PEM)};
	struct fl_credentials *credentials = NULL;

	for (size_t i = 0; i < source->foreign_count; i++) {
		foreign[i] = (struct fl_foreign_bundle){
			.trust_domain = source->foreign[i].trust_domain,
			.pem = span_of(&files->foreign[i]),
			.name = source->foreign[i].bundle,
			.shared_root = source->foreign[i].shared_root,
			.refused = unread(load, source->foreign[i].bundle),
		};
	}
	if (fl_credentials_parse_all(&pem, now, note_finding, load, &credentials) < 0) {
		credentials = NULL;
	}
	free(foreign);
	return credentials;
}

static bool trusts_nobody(const struct fl_credentials *credentials)
{
	for (size_t i = 0; i < credentials->bundle_count; i++) {
		if (credentials->bundles[i].roots.count == 0) {
			return true;
		}
	}
	return false;
}

int fl_source_load(const struct fl_source *source, const struct fl_tls_options *tls, int64_t now,
		   struct fl_credentials **ret_credentials, struct fl_source_files *ret_files,
		   struct fl_findings *findings)
{
	struct load load = {.source = source, .findings = findings};
	struct fl_source_files files = {0};
	struct fl_credentials *credentials;
	struct fl_err err;

	*findings = (struct fl_findings){0};
	read_files(source, &files, findings);
	load.unread = findings->count;
	fl_yield();
	credentials = parse(source, &files, now, &load);
	excuse_foreign(&load);
	if (credentials && findings->errors == 0) {
		findings->trusts_nobody = trusts_nobody(credentials);
		if (!source->late.all) {
			fl_source_judge_crls(source, credentials, now, findings);
		}
		if (fl_tls_trial(credentials, tls, &err) < 0) {
			fl_findings_add(findings, true, NULL, fl_strdup(err.text));
		}
	}
	if (findings->errors > 0 || credentials == NULL) {
		fl_credentials_free(credentials);
		fl_source_files_done(&files);
		return FL_ERR_INVALID;
	}
	*ret_credentials = credentials;
	*ret_files = files;
	return 0;
}

void fl_source_judge_crls(const struct fl_source *source, const struct fl_credentials *credentials,
			  int64_t now, struct fl_findings *findings)
{
	char when[FL_WHEN_TEXT];

	for (size_t i = 0; i < credentials->crl_count; i++) {
		if (fl_crl_is_late(&credentials->crls[i], now)) {
			fl_findings_add(
				findings, false, source->crl,
				fl_format(
					"CRL %zu: its successor was due at %s; it stays in force, "
					"but certificates revoked after that date are still accepted: "
					"have its CA issue a new one, and find out why it is overdue",
					i + 1,
					fl_when_format(credentials->crls[i].next_update, when)));
		}
	}
}

void fl_source_judge_roots(const struct fl_source *source, const struct fl_credentials *credentials,
			   int64_t now, struct fl_findings *findings)
{
	char here[FL_WHEN_TEXT];

	for (size_t i = 0; i < credentials->bundle_count; i++) {
		const struct fl_bundle *bundle = &credentials->bundles[i];
		size_t late = fl_bundle_late_count(bundle, now);

		if (late > 0) {
			fl_findings_add(
				findings, false,
				i == 0 ? source->bundle : source->foreign[i - 1].bundle,
				fl_format(
					"%zu of the %zu roots of %s are out of date (the clock here "
					"says %s) and not used: remove those that have expired from "
					"the bundle",
					late, bundle->anchors.count, bundle->trust_domain,
					fl_when_format(now, here)));
		}
	}
}

void fl_source_files_done(struct fl_source_files *files)
{
#define FILE_DONE(name, is_secret) fl_source_file_done(&files->name);
	FL_CREDENTIAL_FILES(FILE_DONE)
	for (size_t i = 0; i < files->foreign_count; i++) {
		fl_source_file_done(&files->foreign[i]);
	}
	free(files->foreign);
	*files = (struct fl_source_files){0};
}
