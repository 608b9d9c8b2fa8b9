/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_NAME_H
#define FL_PKI_NAME_H
/* name - distinguished names: comparison (RFC 5280 section 7.1) and display. A name is given as the
 * content of its SEQUENCE. Two names are the same when they differ only in the kind of string that
 * holds a value, in case (of ASCII), in white space, or in the order of the attributes of an RDN of
 * at most 8. Pure; thread: any. */
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

/* Is it DER, RDN by RDN? An RDN may have several attributes. The other functions expect such a
 * name. */
bool fl_name_is_good(struct fl_span name);

/* Returns a hash; equal names have equal hashes. */
uint64_t fl_name_hash(struct fl_span name);

bool fl_name_equal(struct fl_span a, struct fl_span b);

/* Does it begin with all RDNs of base? */
bool fl_name_is_within(struct fl_span name, struct fl_span base);

/* The i-th value of an attribute (its OID) that is a string; false: it has no more. */
bool fl_name_attribute(struct fl_span name, struct fl_span oid, size_t i, struct fl_span *ret);

/* "CN=Mesh CA, O=Acme": the common name first where there is one, printable, cut off with "..."; returns buf. */
#define FL_NAME_TEXT 128
const char *fl_name_text(struct fl_span name, char buf[FL_NAME_TEXT]);

#endif
