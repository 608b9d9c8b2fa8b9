/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ACCEPT_H
#define FL_ADMIN_ACCEPT_H
/* accept - which representation of a document the caller wants, by its Accept header (RFC 9110, section 12.5.1). Pure; thread:
 * any. */
#include <stdbool.h>

/* Does the caller want OpenMetrics 1.0 rather than the text format of Prometheus? It does if it names that type, with the
 * version 1.0.0 or without one, and gives it at least the weight of text/plain. Wildcards mean the text format. */
bool fl_accept_openmetrics(const char *accept);

#endif
