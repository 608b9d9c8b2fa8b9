/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_GCM_CHECK_H
#define FL_TLS_GCM_CHECK_H
/* gcm_check - known answers of AES-GCM; private to sidecar/tls. */
#include <stdbool.h>

/* Does AES-GCM, as wolfSSL is linked, give the right answers with both key sizes: seals, opens, and
 * refuses a wrong tag? The text is long enough to cover each part of gcm_vaes.c. The check takes
 * some microseconds. */
bool fl_gcm_check(void);

#endif
