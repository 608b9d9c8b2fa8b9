/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_FAILURE_H
#define FL_TLS_FAILURE_H
/* failure - why an engine failed; private to sidecar/tls.
 *
 * The first call sets the failure; later calls are ignored. None of them sends anything. */
#include "tls/tls_internal.h"

/* peer: whose chain it is, as far as that is known; borrowed. */
void fl_tls_fail_rule(struct fl_tls *tls, enum fl_rule rule, struct fl_tls_peer *peer,
		      const struct fl_err *detail);
/* After fl_tls_fail_rule(): the ID that the chain claims, which is copied. Out of memory: it is not kept. */
void fl_tls_fail_claim(struct fl_tls *tls, const struct fl_spiffe_id *id);
void fl_tls_fail_error(struct fl_tls *tls, int wolf_error);
void fl_tls_fail_alert(struct fl_tls *tls, uint8_t alert);
void fl_tls_fail_signature(struct fl_tls *tls, const char *text);
void fl_tls_failure_free(struct fl_tls *tls);

#endif
