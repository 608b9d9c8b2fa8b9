/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/tools/status_rates.h"

#include <inttypes.h>
#include <string.h>

#include "agent/common/json_read.h"

static const char *const directions[2] = {"inbound", "outbound"};

static const cJSON *part(const cJSON *status, const char *what, size_t way)
{
	return fl_json_read_member(fl_json_read_member(status, what), directions[way]);
}

/* Connections that ended other than well. */
static uint64_t count_bad(const cJSON *closed)
{
	const cJSON *count;
	uint64_t bad = 0;

	cJSON_ArrayForEach(count, closed)
	{
		if (strcmp(count->string, "done") != 0) {
			bad += fl_json_read_count(closed, count->string);
		}
	}
	return bad;
}

static uint64_t grown(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0; /* a new sidecar counts from 0 */
}

static void put_way(const struct fl_rates *before, const struct fl_rates *now, size_t way,
		    struct fl_text *out)
{
	int64_t ms = now->at_ms > before->at_ms ? now->at_ms - before->at_ms : 1;
	uint64_t opened = grown(before->ways[way].opened, now->ways[way].opened);
	uint64_t to_app = grown(before->ways[way].to_app, now->ways[way].to_app);
	uint64_t to_mesh = grown(before->ways[way].to_mesh, now->ways[way].to_mesh);

	fl_text_print(out, "%-12s %s %.1f/s, ", way == 0 ? "rates" : "", directions[way],
		      (double)opened * 1000 / (double)ms);
	fl_text_put_bytes(out, to_app * 1000 / (uint64_t)ms);
	fl_text_print(out, "/s to the app, ");
	fl_text_put_bytes(out, to_mesh * 1000 / (uint64_t)ms);
	fl_text_print(out, "/s to the mesh\n");
}

static void put_bad(const struct fl_rates *before, const struct fl_rates *now, const cJSON *status,
		    struct fl_text *out)
{
	for (size_t way = 0; way < 2; way++) {
		const cJSON *closed =
				    fl_json_read_object(part(status, "connections", way), "closed"),
			    *count;
		uint64_t more = grown(before->ways[way].bad, now->ways[way].bad);
		const char *between = ": ";

		if (now->ways[way].bad == 0) {
			continue;
		}
		fl_text_print(out, "%-12s %s %" PRIu64, "failed", directions[way],
			      now->ways[way].bad);
		if (before->known && more > 0) {
			fl_text_print(out, " (%" PRIu64 " just now)", more);
		}
		cJSON_ArrayForEach(count, closed)
		{
			uint64_t number = fl_json_read_count(closed, count->string);

			if (number > 0 && strcmp(count->string, "done") != 0) {
				fl_text_print(out, "%s%" PRIu64 " ", between, number);
				fl_text_put_clean(out, count->string);
				between = ", ";
			}
		}
		fl_text_print(out, "\n");
	}
}

void fl_rates_put(struct fl_rates *rates, const cJSON *status, int64_t now_ms, struct fl_text *out)
{
	struct fl_rates now = {.known = true, .at_ms = now_ms};

	for (size_t way = 0; way < 2; way++) {
		const cJSON *connections = part(status, "connections", way),
			    *bytes = part(status, "bytes", way);

		now.ways[way].opened = fl_json_read_count(connections, "opened");
		now.ways[way].bad = count_bad(fl_json_read_object(connections, "closed"));
		now.ways[way].to_app = fl_json_read_count(bytes, "to_app");
		now.ways[way].to_mesh = fl_json_read_count(bytes, "to_mesh");
	}
	for (size_t way = 0; rates->known && way < 2; way++) {
		put_way(rates, &now, way, out);
	}
	put_bad(rates, &now, status, out);
	*rates = now;
}
