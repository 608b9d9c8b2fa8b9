/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/spare_key.h"

#include "certs-watch/files.h"
#include "pki/cert.h"
#include "pki/pem.h"

struct pair {
	struct fl_der key;
	struct fl_der_list chain;
};

static bool read_pair(const struct fl_conf *conf, struct pair *ret)
{
	struct fl_source_file cert = {0}, key = {0}, both = {0};
	const struct fl_files_request requests[] = {
		{.path = conf->identity.cert, .ret = &cert},
		{.path = conf->identity.key, .is_secret = true, .ret = &key},
		{.path = conf->identity.credential_bundle, .is_secret = true, .ret = &both},
	};
	struct fl_findings findings = {0};
	bool good = fl_files_read(requests, FL_COUNT_OF(requests), &findings);

	if (good && conf->identity.credential_bundle != NULL) {
		good = fl_pem_credential_bundle(both.data, both.len, &ret->key, &ret->chain,
						NULL) == FL_OK;
	} else if (good) {
		good = fl_pem_certificates(cert.data, cert.len, false, &ret->chain, NULL) ==
			       FL_OK &&
		       fl_pem_private_key(key.data, key.len, &ret->key, NULL) == FL_OK;
	}
	fl_source_file_done(&cert);
	fl_source_file_done(&key);
	fl_source_file_done(&both);
	fl_findings_done(&findings);
	return good;
}

struct fl_signer *fl_spare_key(const struct fl_conf *conf)
{
	struct fl_signer *signer = NULL;
	struct pair pair = {0};
	struct fl_cert leaf;

	if (!read_pair(conf, &pair) ||
	    fl_cert_parse(fl_span_of(&pair.chain.items[0]), &leaf, NULL) != FL_RULE_NONE ||
	    fl_signer_new(&leaf.key, fl_span_of(&pair.key), &signer, NULL) != FL_OK) {
		signer = NULL;
	}
	fl_der_wipe(&pair.key);
	fl_der_list_done(&pair.chain);
	return signer;
}
