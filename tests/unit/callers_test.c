/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of refused callers: which ones it distinguishes, and that it is bounded. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "count/callers.h"
#include "report/callers_report.h"

static int64_t now = 1000; /* seconds since the epoch */

static void note(struct fl_callers *seen, const char *id, unsigned port, const char *service,
		 const char *source, enum fl_effect effect)
{
	struct fl_verdict verdict = {.effect = effect};
	struct fl_request request = {.id = id,
				     .id_len = id != NULL ? strlen(id) : 0,
				     .port = (uint16_t)port,
				     .service = service};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = 1};
	struct fl_cidr net;

	if (source != NULL) {
		cr_assert_eq(fl_cidr_parse(source, &net, NULL), 0);
		memcpy(&in.sin_addr, net.addr, 4);
		request.source = (const struct sockaddr *)(const void *)&in;
	}
	fl_callers_note(seen, &request, &verdict, ++now);
}

Test(seen, test_seen__who_is_told_apart)
{
	struct fl_callers seen = {.max = 100};

	note(&seen, "spiffe://a/b", 80, NULL, "10.0.0.1", FL_DENY);
	note(&seen, "spiffe://a/b", 80, NULL, "10.0.0.2", FL_DENY);
	cr_expect_eq(seen.count, 1, "an identity is the same from everywhere");
	cr_expect_eq(seen.items[0].decisions[FL_DECISION_DENY], 2);
	note(&seen, "spiffe://a/b", 81, NULL, "10.0.0.1", FL_DENY);
	note(&seen, "spiffe://a/b", 80, "web", "10.0.0.1", FL_DENY);
	note(&seen, "spiffe://a/c", 80, NULL, "10.0.0.1", FL_DENY);
	cr_expect_eq(seen.count, 4);
	note(&seen, NULL, 80, NULL, "10.0.0.1", FL_DENY);
	note(&seen, NULL, 80, NULL, "10.0.0.2", FL_ALLOW);
	note(&seen, NULL, 80, NULL, "10.0.0.2", FL_ALLOW);
	note(&seen, NULL, 80, NULL, NULL, FL_ALLOW);
	cr_expect_eq(seen.count, 7, "plaintext goes by its address");
	note(&seen, "spiffe://a/d", 80, NULL, "10.0.0.1", FL_ALLOW);
	cr_expect_eq(seen.count, 7, "whom policy lets in is none of it");
	fl_callers_done(&seen);
}

Test(seen, test_seen__full__the_least_recent_goes)
{
	struct fl_callers seen = {.max = 3};

	note(&seen, "spiffe://a/1", 1, NULL, NULL, FL_DENY);
	note(&seen, "spiffe://a/2", 1, NULL, NULL, FL_DENY);
	note(&seen, "spiffe://a/3", 1, NULL, NULL, FL_DENY);
	note(&seen, "spiffe://a/1", 1, NULL, NULL, FL_DENY);
	note(&seen, "spiffe://a/4", 1, NULL, NULL, FL_DENY);
	cr_expect_eq(seen.count, 3);
	cr_expect_eq(seen.left_out, 1);
	for (size_t i = 0; i < seen.count; i++) {
		cr_expect_str_neq(seen.items[i].peer, "spiffe://a/2");
	}
	for (unsigned i = 0; i < 5000; i++) {
		char id[64];

		(void)snprintf(id, sizeof(id), "spiffe://a/%u", i);
		note(&seen, id, 1, NULL, NULL, FL_DENY);
	}
	cr_expect_eq(seen.count, 3);
	fl_callers_done(&seen);
}

Test(seen, test_seen__tables__are_put_together)
{
	struct fl_callers a = {.max = 10}, b = {.max = 10}, all = {.max = 10, .left_out = 1};
	struct fl_text text = {0};

	note(&a, "spiffe://a/1", 1, "web", "10.0.0.1", FL_DENY);
	note(&b, "spiffe://a/1", 1, "web", "10.0.0.1", FL_DENY);
	note(&b, NULL, 2, NULL, NULL, FL_ALLOW);
	fl_callers_add(&all, &a);
	fl_callers_add(&all, &b);
	cr_expect_eq(all.count, 2);
	cr_expect_eq(all.items[0].decisions[FL_DECISION_DENY], 2);
	fl_report_callers(&all, &text);
	cr_expect_not_null(strstr(text.data, "\"left_out\": 1"));
	cr_expect_not_null(strstr(text.data, "\"peer\": null"));
	cr_expect_not_null(strstr(text.data, "\"source\": \"10.0.0.1\""));
	cr_expect_not_null(strstr(text.data, "\"deny\": 2"));
	fl_text_done(&text);
	fl_callers_done(&a);
	fl_callers_done(&b);
	fl_callers_done(&all);
}
