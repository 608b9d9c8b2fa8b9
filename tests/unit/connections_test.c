/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The document of /connections, byte for byte, and its bound. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/connections.h"

#define NOW_NS UINT64_C(100000000000)

static char *render(const struct fl_listing *listings, size_t count)
{
	struct fl_text text = {0};

	fl_report_connections(listings, count, NOW_NS, &text);
	return text.data;
}

Test(connections, nothing_is_open)
{
	struct fl_listing listings[2] = {{.max = 1}, {.max = 1}};
	char *text = render(listings, FL_COUNT_OF(listings));

	cr_expect_str_eq(
		text,
		"{\n  \"open\": 0,\n  \"left_out\": 0,\n  \"idle_sessions\": {\n    \"inbound\": 0,\n    \"outbound\": 0\n  },\n  \"connections\": []\n}\n");
	free(text);
}

static void list(struct fl_listing *listing, const struct fl_listed *example)
{
	struct fl_listed *item = fl_listing_add(listing);

	listing->open++;
	if (item != NULL) {
		*item = *example;
		item->name = fl_listed_copy(item, example->name);
		item->peer = fl_listed_copy(item, example->peer);
		item->far = fl_listed_copy(item, example->far);
		fl_listing_keep(listing);
	}
}

/* One connection of each worker: an open inbound one, and an outbound one that is not open yet; there is no room for a
 * third. */
Test(connections, of_two_workers_one_left_out)
{
	char web[] = "web", peer[] = "spiffe://prod.example/shop", far[] = "db.example:5432";
	struct fl_listed inbound = {.direction = FL_INBOUND,
				    .state = "open",
				    .security = "mtls",
				    .name = web,
				    .peer = peer,
				    .port = 8080,
				    .generation = 7,
				    .started_ns = NOW_NS - UINT64_C(61500000000),
				    .to_app = 12,
				    .to_mesh = UINT64_C(5000000000)};
	struct fl_listed outbound = {.direction = FL_OUTBOUND,
				     .state = "connecting",
				     .far = far,
				     .generation = 8,
				     .started_ns = NOW_NS + 1};
	struct fl_listing listings[2] = {{.max = 1}, {.max = 1}};
	char *text;

	list(&listings[0], &inbound);
	list(&listings[0], &inbound);
	list(&listings[1], &outbound);
	listings[0].idle_sessions[FL_INBOUND] = 2;
	listings[1].idle_sessions[FL_INBOUND] = 3;
	listings[1].idle_sessions[FL_OUTBOUND] = 4;
	text = render(listings, FL_COUNT_OF(listings));
	cr_expect_str_eq(text,
			 "{\n"
			 "  \"open\": 3,\n"
			 "  \"left_out\": 1,\n"
			 "  \"idle_sessions\": {\n"
			 "    \"inbound\": 5,\n"
			 "    \"outbound\": 4\n"
			 "  },\n"
			 "  \"connections\": [\n"
			 "    {\n"
			 "      \"direction\": \"inbound\",\n"
			 "      \"name\": \"web\",\n"
			 "      \"state\": \"open\",\n"
			 "      \"source\": null,\n"
			 "      \"destination\": null,\n"
			 "      \"port\": 8080,\n"
			 "      \"security\": \"mtls\",\n"
			 "      \"peer\": \"spiffe://prod.example/shop\",\n"
			 "      \"own\": null,\n"
			 "      \"generation\": 7,\n"
			 "      \"rule\": null,\n"
			 "      \"age_seconds\": 61,\n"
			 "      \"bytes_to_app\": 12,\n"
			 "      \"bytes_to_mesh\": 5000000000\n"
			 "    },\n"
			 "    {\n"
			 "      \"direction\": \"outbound\",\n"
			 "      \"name\": null,\n"
			 "      \"state\": \"connecting\",\n"
			 "      \"source\": null,\n"
			 "      \"destination\": \"db.example:5432\",\n"
			 "      \"port\": 0,\n"
			 "      \"security\": null,\n"
			 "      \"peer\": null,\n"
			 "      \"own\": null,\n"
			 "      \"generation\": 8,\n"
			 "      \"rule\": null,\n"
			 "      \"age_seconds\": 0,\n"
			 "      \"bytes_to_app\": 0,\n"
			 "      \"bytes_to_mesh\": 0\n"
			 "    }\n"
			 "  ]\n"
			 "}\n",
			 "%s", text);
	free(text);
	fl_listing_done(&listings[0]);
	fl_listing_done(&listings[1]);
}
