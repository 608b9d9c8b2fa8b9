/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_DIGEST_H
#define FL_PKI_DIGEST_H
/* digest - SHA-256 over a list of parts, for "is this the same content?". Pure; thread: any. */
#include "base/mem.h"

#define FL_DIGEST_LEN 32

/* The digest includes the length before each part, so that moving a byte from one part to the next
 * changes it. */
void fl_digest(const struct fl_span *parts, size_t count, uint8_t ret[FL_DIGEST_LEN]);

#endif
