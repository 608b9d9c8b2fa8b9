/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "certs-watch/findings.h"

#include <stdlib.h>

#include "base/mem.h"

void fl_findings_add(struct fl_findings *findings, bool is_error, const char *path, char *text)
{
	findings->items = fl_grow(findings->items, findings->count + 1, sizeof(*findings->items));
	findings->items[findings->count++] =
		(struct fl_finding){.is_error = is_error, .path = path, .text = text};
	findings->errors += is_error;
}

void fl_findings_done(struct fl_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		free(findings->items[i].text);
	}
	free(findings->items);
	*findings = (struct fl_findings){0};
}
