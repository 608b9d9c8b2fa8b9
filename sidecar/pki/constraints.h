/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CONSTRAINTS_H
#define FL_PKI_CONSTRAINTS_H
/* constraints - name constraints (RFC 5280 section 4.2.1.10): what a CA may name. Directory names,
 * DNS names, IP addresses, e-mail addresses and URIs; a name of another form is refused if there is
 * a constraint of that form, because it cannot be compared. Pure; takes no memory; thread: any. */
#include <stdbool.h>
#include <stddef.h>

#include "pki/cert.h"

/* Do the constraints of ca allow all names of cert: its subject, and those of subjectAltName?
 * *work, the number of comparisons left, is counted down; returns FL_RULE_TOO_MUCH when it is used
 * up. Otherwise FL_RULE_NONE or FL_RULE_NAME_CONSTRAINT, with the name in detail (may be NULL). */
enum fl_rule fl_constraints_check(const struct fl_cert *ca, const struct fl_cert *cert,
				  size_t *work, struct fl_err *detail);

#endif
