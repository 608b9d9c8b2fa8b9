/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_PARSE_H
#define FL_PKI_PARSE_H
/* parse - shared by the files that read a set of credentials: parse.c, bundles.c, crls.c. Private
 * to pki. */
#include "pki/credentials.h"

struct fl_parse {
	const struct fl_credentials_pem *pem;
	int64_t now;
	fl_credentials_finding_cb finding;
	void *user;
	size_t problems;
	enum fl_code first;       /* the class of the first */
	const char *chain_name;   /* name of the file with the chain */
	struct fl_credentials *c; /* the set built so far */
};

void fl_parse_error(struct fl_parse *p, const char *name, const struct fl_err *err);
void fl_parse_warning(struct fl_parse *p, const char *name, const char *fmt, ...) FL_PRINTF(3, 4);

/* The sentence of a rule, with what err says so far, and the remedy (may be NULL). */
int fl_parse_rule(enum fl_rule rule, const char *remedy, struct fl_err *err);

/* Reports that a federated bundle is refused, and why. Its roots remain until fl_parse_drop_refused(). */
void fl_parse_refuse(struct fl_parse *p, size_t bundle, const struct fl_err *why);
void fl_parse_drop_refused(struct fl_parse *p);

/* Each goes through its part of p->pem and adds to p->c; the chain comes first, then bundles, then CRLs. */
void fl_parse_bundles(struct fl_parse *p);
void fl_parse_crls(struct fl_parse *p);

#endif
