/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which format of the metrics an Accept header asks for. */
#include <criterion/criterion.h>

#include "admin/accept.h"
#include "base/mem.h"

#define OPEN "application/openmetrics-text"

Test(accept, asked_for)
{
	static const char *const headers[] = {
		OPEN,
		OPEN ";version=1.0.0",
		OPEN "; version=1.0.0; charset=utf-8",
		OPEN ";version=\"1.0.0\"",
		"Application/OpenMetrics-Text ; Version=1.0.0",
		OPEN ";charset=\"a,b;q=0\";version=1.0.0",
		"text/plain;q=0.5, " OPEN ";q=0.5",
		"text/plain;q=0.499," OPEN ";q=0.5",
		OPEN ";version=0.0.1,,text/html," OPEN ";q=0.001",
		/* Prometheus 2.42 */
		OPEN ";version=1.0.0," OPEN ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
		     "*/*;q=0.1",
		/* Prometheus 3 */
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="
		"delimited;q=0.6," OPEN ";version=1.0.0;escaping=allow-utf-8;q=0.5," OPEN
		";version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
		"text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
	};

	for (size_t i = 0; i < FL_COUNT_OF(headers); i++) {
		cr_expect(fl_accept_openmetrics(headers[i]), "%s", headers[i]);
	}
}

Test(accept, not_asked_for)
{
	static const char *const headers[] = {
		"",
		",",
		";;=,;",
		"*/*",
		"application/*",
		"text/plain",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		OPEN ";version=0.0.1",
		OPEN ";version=2.0.0",
		OPEN ";version=\"",
		OPEN ";q=0",
		OPEN ";q=0.000",
		OPEN ";q=",
		OPEN ";q=-1",
		OPEN ";q=2",
		OPEN ";q=nan",
		OPEN ";q=0.4,text/plain;q=0.5",
		OPEN ";q=0.999,text/plain",
		OPEN "2",
		"application/openmetrics",
		"\"" OPEN,
	};

	for (size_t i = 0; i < FL_COUNT_OF(headers); i++) {
		cr_expect_not(fl_accept_openmetrics(headers[i]), "%s", headers[i]);
	}
}
