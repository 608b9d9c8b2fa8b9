/* SPDX-License-Identifier: GPL-3.0-or-later */
/* candidate - connects conf, certs-watch and the protocol's frames.
 *
 * The key is in fl_candidate, and with `[tls] key = sidecar` in the frame; the code that frees either of them wipes it. */
#include "agent/common/candidate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/message.h"
#include "pki/digest.h"

int64_t fl_candidate_now(void)
{
	return (int64_t)time(NULL);
}

void fl_candidate_source(const struct fl_conf *conf, struct fl_source *ret)
{
	struct fl_source_foreign *foreign = fl_new((conf->federate_count + 1) * sizeof(*foreign));

	for (size_t i = 0; i < conf->federate_count; i++) {
		foreign[i].trust_domain = conf->federate[i].trust_domain;
		foreign[i].bundle = conf->federate[i].path;
		/* A root that is shared is no finding where that key may be the one with the error. */
		foreign[i].shared_root =
			conf->federate[i].shared_root || conf->federate[i].doubtful;
	}
#define SOURCE_PATH(file, is_secret) .file = conf->identity.file,
	*ret = (struct fl_source){.foreign = foreign,
				  .foreign_count = conf->federate_count,
				  FL_CREDENTIAL_FILES(SOURCE_PATH)};
}

void fl_candidate_source_done(struct fl_source *source)
{
	free((void *)source->foreign);
	source->foreign = NULL;
}

static int load(const struct fl_conf *conf, const struct fl_source *source, int64_t now,
		struct fl_candidate *ret)
{
	struct fl_tls_options tls = {.groups = conf->tls.group_names,
				     .group_count = conf->tls.group_count,
				     .ciphers = conf->tls.cipher_names,
				     .cipher_count = conf->tls.cipher_count};

	memset(ret, 0, sizeof(*ret));
	return fl_source_load(source, &tls, now, &ret->credentials, &ret->files, &ret->findings);
}

int fl_candidate_load(const struct fl_conf *conf, int64_t now, const struct fl_late_crls *late,
		      struct fl_candidate *ret)
{
	struct fl_source source;
	int rc;

	fl_candidate_source(conf, &source);
	source.late = *late;
	rc = load(conf, &source, now, ret);
	fl_candidate_source_done(&source);
	return rc;
}

/* `credential_bundle` beside `cert` or `key`: nobody knows which of them will be kept, so each is judged by itself. */
static void judge_alternative(const struct fl_conf *conf, int64_t now, struct fl_findings *findings)
{
	const struct fl_source source = {.credential_bundle = conf->identity.credential_bundle,
					 .may_lack_files = true};
	struct fl_candidate alone;

	(void)load(conf, &source, now, &alone);
	for (size_t i = 0; i < alone.findings.count; i++) {
		const struct fl_finding *finding = &alone.findings.items[i];

		fl_findings_add(findings, finding->is_error, finding->path,
				fl_strdup(finding->text));
	}
	fl_candidate_done(&alone);
}

void fl_candidate_judge_doubtful(const struct fl_conf *conf, int64_t now, struct fl_candidate *ret)
{
	bool has_pair = conf->identity.cert != NULL || conf->identity.key != NULL;
	bool has_both = has_pair && conf->identity.credential_bundle != NULL;
	struct fl_source source;

	fl_candidate_source(conf, &source);
	source.may_lack_files = true;
	if (has_both) {
		source.credential_bundle = NULL;
	}
	(void)load(conf, &source, now, ret);
	if (has_both) {
		judge_alternative(conf, now, &ret->findings);
	}
	fl_candidate_source_done(&source);
}

void fl_candidate_done(struct fl_candidate *candidate)
{
	fl_credentials_free(candidate->credentials);
	fl_source_files_done(&candidate->files);
	fl_findings_done(&candidate->findings);
	memset(candidate, 0, sizeof(*candidate));
}

#define OWN_INDEX(name, is_secret) OWN_##name,
enum { FL_CREDENTIAL_FILES(OWN_INDEX) OWN_FILES };

size_t fl_candidate_file_count(const struct fl_conf *conf)
{
	return OWN_FILES + conf->federate_count;
}

const char *fl_candidate_file(const struct fl_conf *conf, size_t index, fl_conf_line *ret_line)
{
#define OWN_FILE(name, is_secret) {conf->identity.name, conf->identity.name##_line},
	const struct {
		const char *path;
		fl_conf_line line;
	} own[OWN_FILES] = {FL_CREDENTIAL_FILES(OWN_FILE)};

	if (index < OWN_FILES) {
		*ret_line = own[index].line;
		return own[index].path;
	}
	*ret_line = conf->federate[index - OWN_FILES].line;
	return conf->federate[index - OWN_FILES].path;
}

fl_conf_line fl_candidate_line(const struct fl_conf *conf, const char *path)
{
	for (size_t i = 0; path != NULL && i < fl_candidate_file_count(conf); i++) {
		fl_conf_line line;
		const char *each = fl_candidate_file(conf, i, &line);

		if (each != NULL && strcmp(each, path) == 0) {
			return line;
		}
	}
	return 0;
}

/* Takes over text, which free_text() frees. */
static struct fl_span span_of(char *text)
{
	return (struct fl_span){(const uint8_t *)text, strlen(text)};
}

static void free_text(struct fl_span text)
{
	free((char *)text.data);
}

/* The chain without the key, which stays here. */
static struct fl_span chain_only(const struct fl_candidate *candidate)
{
	return span_of(fl_pem_write_certificates(&candidate->credentials->chain));
}

/* The CRLs in the order of their file, by which warnings number them. */
static struct fl_span crls_only(const struct fl_source_file *file)
{
	struct fl_der_list crls = {0};
	struct fl_span text = {0};
	struct fl_err err;

	if (file->len > 0 && fl_pem_crls(file->data, file->len, &crls, &err) == FL_OK) {
		text = span_of(fl_pem_write_crls(&crls));
		fl_der_list_done(&crls);
	}
	return text;
}

/* The roots of each bundle; of one that is refused, for example because a private key is in it, only why. */
static struct fl_ctl_foreign *foreign_only(const struct fl_credentials *credentials)
{
	struct fl_ctl_foreign *foreign = fl_new(credentials->bundle_count * sizeof(*foreign));

	for (size_t i = 1; i < credentials->bundle_count; i++) {
		const struct fl_bundle *bundle = &credentials->bundles[i];

		foreign[i - 1].trust_domain = (struct fl_span){
			(const uint8_t *)bundle->trust_domain, strlen(bundle->trust_domain)};
		foreign[i - 1].bundle = span_of(fl_pem_write_certificates(&bundle->roots));
		if (bundle->refused != NULL) {
			foreign[i - 1].refused = (struct fl_span){(const uint8_t *)bundle->refused,
								  strlen(bundle->refused)};
		}
	}
	return foreign;
}

/* Key first, then the chain. */
static struct fl_span join_credential(const struct fl_source_files *files)
{
	const struct fl_source_file *parts[] = {&files->key, &files->cert};
	size_t len = 0, cap = files->key.len + 1 + files->cert.len;
	uint8_t *joined;

	if (files->credential_bundle.len > 0) {
		parts[0] = &files->credential_bundle;
		parts[1] = NULL;
		cap = files->credential_bundle.len + 1;
	}
	joined = fl_new(cap);
	for (size_t i = 0; i < FL_COUNT_OF(parts) && parts[i] != NULL; i++) {
		memcpy(joined + len, parts[i]->data, parts[i]->len);
		len += parts[i]->len;
		if (i == 0) {
			/* The last line of the key may lack its newline. */
			joined[len++] = '\n';
		}
	}
	return (struct fl_span){joined, len};
}

int fl_candidate_encode(const struct fl_candidate *candidate, const struct fl_conf *conf,
			struct fl_span ini, uint8_t **ret_frame, size_t *ret_len,
			uint8_t ret_digest[FL_DIGEST_LEN], struct fl_err *err)
{
	const struct fl_source_files *files = &candidate->files;
	const struct fl_credentials *credentials = candidate->credentials;
	struct fl_ctl_generation generation = {
		.number = 1,
		/* We free either, wiped. */
		.credential =
			conf->tls.key_in_sidecar ? join_credential(files) : chain_only(candidate),
		.bundle = span_of(fl_pem_write_certificates(&credentials->bundles[0].roots)),
		.crl = crls_only(&files->crl),
		.foreign = foreign_only(credentials),
		.foreign_count = credentials->bundle_count - 1,
		.ini_path = {(const uint8_t *)conf->path, strlen(conf->path)},
		.ini = ini,
	};
	uint8_t credentials_digest[FL_DIGEST_LEN];
	struct fl_span content[] = {{credentials_digest, sizeof(credentials_digest)}, ini};
	int rc;

	fl_credentials_digest(credentials, credentials_digest);
	fl_digest(content, FL_COUNT_OF(content), generation.digest);
	rc = fl_ctl_generation_check(&generation, err);
	if (rc == FL_OK) {
		*ret_frame = fl_ctl_encode_generation(&generation, ret_len);
		rc = *ret_frame != NULL ? FL_OK : fl_err_set(err, FL_ERR_NOMEM, "out of memory");
		memcpy(ret_digest, generation.digest, FL_DIGEST_LEN);
	}
	fl_wipe_free((uint8_t *)generation.credential.data, generation.credential.len);
	for (size_t i = 0; i < generation.foreign_count; i++) {
		free_text(generation.foreign[i].bundle);
	}
	free(generation.foreign);
	free_text(generation.bundle);
	free_text(generation.crl);
	return rc;
}
