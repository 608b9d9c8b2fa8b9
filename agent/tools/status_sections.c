/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any program may answer: values of an unexpected form are skipped. */
#include "agent/tools/status_sections.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/common/json_read.h"
#include "base/mem.h"
#include "base/when.h"

#define LINES_MAX 20 /* of one kind; others are only counted */

/* --- writing ---------------------------------------------------------------------------------- */

/* The first word of a line; "" continues the line before. */
static void begin(struct fl_text *out, const char *name)
{
	fl_text_print(out, "%-12s ", name);
}

static void put_more(struct fl_text *out, unsigned count)
{
	if (count > LINES_MAX) {
		begin(out, "");
		fl_text_print(out, "and %u more\n", count - LINES_MAX);
	}
}

static int64_t seconds_of(const char *text)
{
	struct tm tm = {0};

	return text[0] != '\0' && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) != NULL ? timegm(&tm)
										    : 0;
}

/* "5s ago"; "never" where the document has null. */
static void put_ago(struct fl_text *out, const cJSON *status, const cJSON *object, const char *key)
{
	int64_t now = seconds_of(fl_json_read_text(status, "now"));
	int64_t when = seconds_of(fl_json_read_text(object, key));
	char span[FL_SPAN_TEXT];

	if (when == 0) {
		fl_text_print(out, "never");
	} else {
		fl_text_print(out, "%s ago", fl_when_span(now > when ? now - when : 0, span));
	}
}

/* "a, b" */
static void put_list(struct fl_text *out, const cJSON *list)
{
	const cJSON *item;
	const char *between = "";

	cJSON_ArrayForEach(item, list)
	{
		fl_text_print(out, "%s", between);
		fl_text_put_clean(out, cJSON_IsString(item) ? item->valuestring : "");
		between = ", ";
	}
}

/* --- sections ----------------------------------------------------------------------------------- */

static const struct kind {
	const char *list, *name, *word;
} kinds[] = {{"services", "service", "services"}, {"upstreams", "upstream", "upstreams"}};

static void put_failure(struct fl_text *out, const cJSON *status, const cJSON *failure)
{
	const char *address = fl_json_read_text(failure, "address"),
		   *detail = fl_json_read_text(failure, "detail");

	fl_text_put_clean(out, fl_json_read_text(failure, "reason"));
	if (address[0] != '\0') {
		fl_text_print(out, " at ");
		fl_text_put_clean(out, address);
	}
	fl_text_print(out, ", ");
	put_ago(out, status, failure, "time");
	if (detail[0] != '\0') {
		fl_text_print(out, ": ");
		fl_text_put_clean(out, detail);
	}
	fl_text_put(out, "\n", 1);
}

void fl_status_failing_put(const cJSON *status, struct fl_text *out)
{
	unsigned count = 0;

	for (size_t i = 0; i < FL_COUNT_OF(kinds); i++) {
		const cJSON *item;

		cJSON_ArrayForEach(item, fl_json_read_member(status, kinds[i].list))
		{
			if (!fl_json_read_bool(item, "failing") || ++count > LINES_MAX) {
				continue;
			}
			begin(out, "FAILING");
			fl_text_print(out, "%s ", kinds[i].name);
			fl_text_put_clean(out, fl_json_read_text(item, kinds[i].name));
			fl_text_print(out, ": ");
			put_failure(out, status, fl_json_read_member(item, "last_failure"));
		}
	}
	put_more(out, count);
}

/* A captured upstream has no listener of its own, whose line would name its destinations. */
static void put_destinations(struct fl_text *out, const cJSON *item)
{
	if (fl_json_read_text(item, "listen")[0] == '\0' &&
	    cJSON_GetArraySize(fl_json_read_member(item, "to")) > 0) {
		fl_text_print(out, ", captures ");
		put_list(out, fl_json_read_member(item, "to"));
	}
}

static void put_names(struct fl_text *out, const cJSON *status, const cJSON *item)
{
	const cJSON *name;

	cJSON_ArrayForEach(name, fl_json_read_member(item, "names"))
	{
		const char *trouble = fl_json_read_text(name, "trouble");
		uint64_t count = fl_json_read_count(name, "count");

		begin(out, "");
		fl_text_put_clean(out, fl_json_read_text(name, "name"));
		fl_text_print(out, ": %s", count == 0 ? "NO ADDRESS" : "");
		put_list(out, fl_json_read_member(name, "addresses"));
		fl_text_print(out, ", answered ");
		put_ago(out, status, name, "last_answer");
		if (trouble[0] != '\0') {
			fl_text_print(out, "; ");
			fl_text_put_clean(out, trouble);
		}
		fl_text_put(out, "\n", 1);
	}
}

static void put_section(struct fl_text *out, const cJSON *status, const struct kind *kind,
			const cJSON *item, const char *word)
{
	const cJSON *failure = fl_json_read_member(item, "last_failure");

	begin(out, word);
	fl_text_put_clean(out, fl_json_read_text(item, kind->name));
	fl_text_print(out, ": ");
	fl_text_put_clean(out, fl_json_read_text(item, "mode"));
	put_destinations(out, item);
	if (fl_json_read_bool(item, "waits_for_restart")) {
		fl_text_print(out, ", its listener WAITS FOR A RESTART");
	}
	fl_text_print(out, ", %" PRIu64 " open of %" PRIu64, fl_json_read_count(item, "open"),
		      fl_json_read_count(item, "opened"));
	if (fl_json_read_count(item, "opened") > 0) {
		fl_text_print(out, ", last success ");
		put_ago(out, status, item, "last_success");
	}
	fl_text_put(out, "\n", 1);
	if (cJSON_IsObject(failure)) {
		begin(out, "");
		fl_text_print(out, "last failure: ");
		put_failure(out, status, failure);
	}
	put_names(out, status, item);
}

void fl_status_sections_put(const cJSON *status, struct fl_text *out)
{
	for (size_t i = 0; i < FL_COUNT_OF(kinds); i++) {
		const cJSON *item;
		unsigned count = 0;

		cJSON_ArrayForEach(item, fl_json_read_member(status, kinds[i].list))
		{
			if (++count <= LINES_MAX) {
				put_section(out, status, &kinds[i], item,
					    count == 1 ? kinds[i].word : "");
			}
		}
		put_more(out, count);
	}
}

/* --- sessions ----------------------------------------------------------------------------------- */

void fl_status_sessions_put(const cJSON *status, const char *direction, struct fl_text *out)
{
	const cJSON *sessions =
		fl_json_read_member(fl_json_read_member(status, "sessions"), direction);

	if (fl_json_read_count(sessions, "cold") == 0) {
		return;
	}
	begin(out, "");
	fl_text_print(out,
		      "sessions: %" PRIu64 " busy, %" PRIu64
		      " idle; connections on a new one: %" PRIu64 ", on a reused one: %" PRIu64
		      "\n",
		      fl_json_read_count(sessions, "busy"), fl_json_read_count(sessions, "idle"),
		      fl_json_read_count(sessions, "cold"), fl_json_read_count(sessions, "reused"));
}

/* --- capture ------------------------------------------------------------------------------------ */

/* Prints only a certain answer: nothing if the state is not known. */
static void put_rules(struct fl_text *out, const char *rules)
{
	if (strcmp(rules, "outdated") == 0) {
		begin(out, "");
		fl_text_print(out, "NOT THE RULES OF THE INI: fairlead-agent redirect apply\n");
	}
}

static void put_refused(struct fl_text *out, const cJSON *refused)
{
	static const char *const ways[] = {"inbound", "outbound"};

	for (size_t i = 0; i < FL_COUNT_OF(ways); i++) {
		if (fl_json_read_bool(refused, ways[i])) {
			begin(out, "");
			fl_text_print(out, "%s TCP past the sidecar refused in the last minute\n",
				      ways[i]);
		}
	}
}

/* "IPv4 in force, IPv6 NOT IN FORCE since ..." */
void fl_status_capture_put(const cJSON *status, struct fl_text *out)
{
	const cJSON *capture = fl_json_read_member(status, "capture");
	static const struct {
		const char *key, *name;
	} families[] = {{"inet", "IPv4"}, {"inet6", "IPv6"}};
	bool expected = fl_json_read_bool(capture, "expected"), first = true;

	for (size_t i = 0; i < 2; i++) {
		const cJSON *active = fl_json_read_member(capture, families[i].key);

		if (!cJSON_IsBool(active) || (!expected && cJSON_IsFalse(active))) {
			continue;
		}
		if (first) {
			begin(out, "capture");
		}
		fl_text_print(out, "%s%s %s", first ? "" : ", ", families[i].name,
			      cJSON_IsTrue(active) ? "in force" : "NOT IN FORCE");
		first = false;
	}
	if (!first) {
		fl_text_print(out, ", since ");
		fl_text_put_clean(out, fl_json_read_text(capture, "since"));
		fl_text_put(out, "\n", 1);
		put_rules(out, fl_json_read_text(capture, "rules"));
		put_refused(out, fl_json_read_member(capture, "refused"));
	} else if (expected) {
		begin(out, "capture");
		fl_text_print(out, "not known\n");
	}
}

/* --- [redirect] --------------------------------------------------------------------------------- */

static void put_redirect(const cJSON *redirect, struct fl_text *out)
{
	static const struct {
		const char *key, *text;
	} lists[] = {{"inbound_ports", "; inbound ports "},
		     {"exclude_inbound", ", except "},
		     {"outbound", "; outbound "},
		     {"exclude_outbound", ", except "}};

	if (!cJSON_IsObject(redirect)) {
		return;
	}
	begin(out, "redirect");
	fl_text_put_clean(out, fl_json_read_text(redirect, "mode"));
	for (size_t i = 0; i < FL_COUNT_OF(lists); i++) {
		const cJSON *list = fl_json_read_member(redirect, lists[i].key);
		bool is_exception = lists[i].text[0] == ',';

		if (cJSON_GetArraySize(list) > 0 || !is_exception) {
			fl_text_print(out, "%s", lists[i].text);
			put_list(out, list);
		}
		if (cJSON_GetArraySize(list) == 0 && !is_exception) {
			fl_text_print(out, "none");
		}
	}
	fl_text_print(out, "; forwarded ");
	fl_text_put_clean(out, fl_json_read_text(redirect, "forwarded"));
	fl_text_print(out, ", other protocols ");
	fl_text_put_clean(out, fl_json_read_text(redirect, "other_protocols"));
	fl_text_put(out, "\n", 1);
}

/* --- policy ------------------------------------------------------------------------------------- */

/* "3 allow, 1 would_deny, last 5s ago"; "never used" */
static void put_hits(struct fl_text *out, const cJSON *status, const cJSON *decisions,
		     const cJSON *object, const char *last)
{
	const cJSON *count;
	const char *between = "";

	cJSON_ArrayForEach(count, decisions)
	{
		fl_text_print(out, "%s%" PRIu64 " ", between,
			      fl_json_read_count(decisions, count->string));
		fl_text_put_clean(out, count->string);
		between = ", ";
	}
	if (between[0] == '\0') {
		fl_text_print(out, "no hits");
	} else {
		fl_text_print(out, ", last ");
		put_ago(out, status, object, last);
	}
}

static void put_rule(struct fl_text *out, const cJSON *status, const cJSON *rule)
{
	begin(out, "");
	fl_text_print(out, "[");
	fl_text_put_clean(out, fl_json_read_text(rule, "kind"));
	fl_text_print(out, " ");
	fl_text_put_clean(out, fl_json_read_text(rule, "name"));
	fl_text_print(out, "]%s, line %" PRIu64 ": ",
		      strcmp(fl_json_read_text(rule, "mode"), "audit") == 0 ? " AUDIT" : "",
		      fl_json_read_count(rule, "line"));
	put_hits(out, status, fl_json_read_object(rule, "decisions"), rule, "last");
	fl_text_put(out, "\n", 1);
}

void fl_status_policy_put(const cJSON *status, struct fl_text *out)
{
	const cJSON *policy = fl_json_read_member(status, "policy"), *rule;
	unsigned count = 0;

	put_redirect(fl_json_read_member(status, "redirect"), out);
	if (!cJSON_IsObject(policy)) {
		return;
	}
	begin(out, "policy");
	fl_text_print(out, "%sdefault ",
		      strcmp(fl_json_read_text(policy, "mode"), "audit") == 0
			      ? "AUDIT: nobody is refused; "
			      : "");
	fl_text_put_clean(out, fl_json_read_text(policy, "default"));
	fl_text_print(out, ": ");
	put_hits(out, status, fl_json_read_object(policy, "default_decisions"), policy,
		 "default_last");
	fl_text_put(out, "\n", 1);
	cJSON_ArrayForEach(rule, fl_json_read_member(policy, "rules"))
	{
		if (++count <= LINES_MAX) {
			put_rule(out, status, rule);
		}
	}
	put_more(out, count);
}
