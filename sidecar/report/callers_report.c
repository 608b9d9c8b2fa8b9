/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/callers_report.h"

#include <stdlib.h>

#include "base/when.h"

static int compare(const void *left, const void *right)
{
	const struct fl_caller *a = left, *b = right;

	if (a->last != b->last) {
		return a->last < b->last ? 1 : -1;
	}
	return a->at < b->at ? 1 : a->at > b->at ? -1 : 0;
}

void fl_report_source(struct fl_json *json, const struct fl_inet *source)
{
	struct fl_cidr net;
	union fl_sockaddr sa;
	char text[FL_CIDR_TEXT];

	if (source->family != 0) {
		sa = fl_inet_sockaddr(source);
	}
	fl_json_str(json, "source",
		    source->family != 0 && fl_cidr_of(&sa.any, &net) ? fl_cidr_format(&net, text)
								     : NULL);
}

void fl_report_callers(struct fl_callers *callers, struct fl_text *ret)
{
	char when[FL_WHEN_TEXT];
	struct fl_json json;

	if (callers->count > 0) {
		qsort(callers->items, callers->count, sizeof(*callers->items), compare);
	}
	fl_json_init(&json, ret);
	fl_json_object(&json, NULL);
	fl_json_u64(&json, "left_out", callers->left_out);
	fl_json_array(&json, "seen");
	for (size_t i = 0; i < callers->count; i++) {
		const struct fl_caller *item = &callers->items[i];

		fl_json_object(&json, NULL);
		fl_json_str(&json, "peer", item->peer);
		fl_report_source(&json, &item->source);
		fl_json_u64(&json, "port", item->port);
		fl_json_str(&json, "service", item->service);
		for (unsigned d = 0; d < FL_DECISIONS; d++) {
			fl_json_u64(&json, fl_decision_word(d), item->decisions[d]);
		}
		fl_json_u64(&json, "refused", item->refused);
		fl_json_str(&json, "reason",
			    item->reason != FL_REASON_DONE ? fl_reason_word(item->reason) : NULL);
		fl_json_str(&json, "last", fl_when_format(item->last, when));
		fl_json_end(&json);
	}
	fl_json_end(&json);
	fl_json_end(&json);
}
