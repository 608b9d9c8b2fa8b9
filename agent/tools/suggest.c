/* SPDX-License-Identifier: GPL-3.0-or-later */
/* suggest - asks the sidecar which connections it has seen (/seen). Then asks the policy of the INI, which may be newer,
 * which of them it refuses, and prints rules for those. Other information is printed as comments, so that the whole output
 * can be pasted. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/common/command.h"
#include "agent/common/json_read.h"
#include "agent/tools/admin_client.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "pki/spiffe.h"
#include "policy/suggest.h"

#define REQUEST_MS 5000

struct seen {
	cJSON *root; /* owns the texts */
	/* those whom policy has judged */
	struct fl_observation *items;
	uint64_t *times; /* how often */
	size_t count;
	/* those who were refused before that */
	struct unproven {
		struct fl_observation who;
		const char *reason, *last; /* "": not told */
		uint64_t times;
	} * unproven;
	size_t unproven_count;
	uint64_t left_out;
};

static int complain(const char *text, int code)
{
	(void)fprintf(stderr, "fairlead-agent suggest: %s\n", text);
	return code;
}

/* --- what the sidecar says --------------------------------------------------------------------- */

/* NULL for "". */
static const char *given(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* Checked, because a peer may have chosen parts of it, and it gets into an INI. */
static bool read_item(const struct fl_conf *conf, const cJSON *object, struct fl_observation *ret)
{
	const char *source = given(fl_json_read_text(object, "source"));
	const char *service = given(fl_json_read_text(object, "service"));
	uint64_t port = fl_json_read_count(object, "port");
	const struct fl_conf_service *known;
	struct fl_spiffe_id id;

	*ret = (struct fl_observation){.id = given(fl_json_read_text(object, "peer")),
				       .port = port <= UINT16_MAX ? (uint16_t)port : 0,
				       .source.family = AF_UNSPEC};
	/* A peer that is not a text is an error; only an absent peer means plaintext. */
	if (ret->id == NULL && fl_json_read_member(object, "peer") != NULL) {
		return false;
	}
	if (ret->id != NULL && fl_spiffe_id_parse(ret->id, strlen(ret->id), &id, NULL) != 0) {
		return false;
	}
	known = service != NULL ? fl_conf_find_service(conf, service) : NULL;
	ret->service = known != NULL ? known->name : NULL;
	if (source != NULL && fl_cidr_parse(source, &ret->source, NULL) != 0) {
		return false;
	}
	/* False: it was for a [service] that the INI does not have any more. */
	return ret->service != NULL || (service == NULL && ret->port != 0);
}

static int read_seen(const struct fl_conf *conf, const char *text, struct seen *ret)
{
	const cJSON *item, *list;

	ret->root = cJSON_Parse(text);
	list = fl_json_read_member(ret->root, "seen");
	if (!cJSON_IsArray(list)) {
		return complain("the answer of the sidecar cannot be read: is it another "
				"version?",
				1);
	}
	ret->left_out = fl_json_read_count(ret->root, "left_out");
	ret->items = fl_grow(NULL, (size_t)cJSON_GetArraySize(list), sizeof(*ret->items));
	ret->times = fl_grow(NULL, (size_t)cJSON_GetArraySize(list), sizeof(*ret->times));
	ret->unproven = fl_grow(NULL, (size_t)cJSON_GetArraySize(list), sizeof(*ret->unproven));
	cJSON_ArrayForEach(item, list)
	{
		if (!read_item(conf, item, &ret->items[ret->count])) {
			continue;
		}
		if (fl_json_read_count(item, "refused") > 0) {
			ret->unproven[ret->unproven_count++] =
				(struct unproven){.who = ret->items[ret->count],
						  .reason = fl_json_read_text(item, "reason"),
						  .last = fl_json_read_text(item, "last"),
						  .times = fl_json_read_count(item, "refused")};
		} else {
			ret->times[ret->count++] = fl_json_read_count(item, "allow") +
						   fl_json_read_count(item, "deny") +
						   fl_json_read_count(item, "would_deny") +
						   fl_json_read_count(item, "would_allow");
		}
	}
	return 0;
}

static int ask(const struct fl_admin_client *admin, struct fl_text *body)
{
	struct fl_err err;
	int rc = fl_admin_client_document(admin, "/seen", REQUEST_MS, body, &err);

	return rc == FL_OK ? 0 : complain(err.text, 1);
}

/* --- rules ------------------------------------------------------------------------ */

/* The identity that was last seen from that address, or NULL. */
static const char *known_as(const struct seen *seen, const struct fl_cidr *source)
{
	for (size_t i = 0; source->family != AF_UNSPEC && i < seen->count; i++) {
		if (seen->items[i].id != NULL && seen->items[i].source.family != AF_UNSPEC &&
		    fl_cidr_equal(&seen->items[i].source, source)) {
			return seen->items[i].id;
		}
	}
	return NULL;
}

static void put_plaintext(const struct seen *seen, struct fl_text *out)
{
	char text[FL_CIDR_TEXT], port[8];

	for (size_t i = 0; i < seen->count; i++) {
		const struct fl_observation *item = &seen->items[i];
		const char *id = known_as(seen, &item->source);

		if (item->id != NULL) {
			continue;
		}
		(void)snprintf(port, sizeof(port), "%u", item->port);
		fl_text_print(out, "; plaintext from %s to %s, %llu times%s%s\n",
			      item->source.family != AF_UNSPEC ? fl_cidr_format(&item->source, text)
							       : "an unknown address",
			      item->service != NULL ? item->service : port,
			      (unsigned long long)seen->times[i],
			      id != NULL ? "; with mutual TLS it is " : "", id != NULL ? id : "");
	}
}

static void put_unproven(const struct seen *seen, const struct unproven *item, struct fl_text *out)
{
	char source[FL_CIDR_TEXT], port[8];
	bool is_plaintext = item->who.id == NULL;
	const char *id = is_plaintext ? known_as(seen, &item->who.source) : NULL;

	(void)snprintf(port, sizeof(port), "%u", item->who.port);
	fl_text_print(out, "; REFUSED: %s%s%s to %s, %llu times, last at ",
		      is_plaintext ? "no TLS" : item->who.id, is_plaintext ? " from " : "",
		      !is_plaintext ? ""
		      : item->who.source.family != AF_UNSPEC
			      ? fl_cidr_format(&item->who.source, source)
			      : "an unknown address",
		      item->who.service != NULL ? item->who.service : port,
		      (unsigned long long)item->times);
	fl_text_put_clean(out, item->last);
	fl_text_print(out, ": ");
	if (is_plaintext) {
		fl_text_print(out,
			      "%sthe port is strict%s%s; give the client a sidecar, or admit it "
			      "by `mode = permissive` and a rule with `from = plaintext`\n",
			      strcmp(item->reason, "not_tls") != 0
				      ? "it was silent, as in protocols in which the server "
					"begins; "
				      : "",
			      id != NULL ? "; with mutual TLS it is " : "", id != NULL ? id : "");
	} else if (strcmp(item->reason, "revoked") == 0) {
		fl_text_print(out, "its certificate is revoked; no rule can admit it\n");
	} else {
		fl_text_print(out, "its certificate is not valid now; the log says why\n");
	}
}

static int print_rules(const struct fl_conf *conf, const struct seen *seen, bool wildcards)
{
	struct fl_text out = {0}, rules = {0};
	size_t count = fl_policy_suggest(conf->policy, seen->items, seen->count, wildcards, &rules);
	int code;

	put_plaintext(seen, &out);
	for (size_t i = 0; i < seen->unproven_count; i++) {
		put_unproven(seen, &seen->unproven[i], &out);
	}
	if (seen->left_out > 0) {
		fl_text_print(&out, "; %llu more were seen and are not remembered\n",
			      (unsigned long long)seen->left_out);
	}
	if (rules.len > 0) {
		fl_text_put(&out, rules.data, rules.len);
	}
	if (count == 0) {
		fl_text_print(&out, "; no rule is needed: %s\n",
			      seen->count + seen->unproven_count == 0
				      ? "nobody was refused"
				      : "no rule would admit more of what was seen");
	}
	(void)fwrite(out.data, 1, out.len, stdout);
	code = fl_command_flush("the rules", 0);
	fl_text_done(&out);
	fl_text_done(&rules);
	return code;
}

static void warn(const char *conf_path, const struct fl_problems *problems)
{
	struct fl_text text = {0};
	char *summary;

	if (problems->errors == 0) {
		return;
	}
	summary = fl_problems_summary(problems, conf_path);
	fl_text_print(&text, "the INI is refused, so rules in it that have an error may be "
			     "suggested again: ");
	fl_text_put_clean(&text, summary);
	(void)complain(text.data, 0);
	fl_text_done(&text);
	free(summary);
}

static int suggest(const struct fl_command_line *line)
{
	const char *conf_path = line->conf_path;
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	struct fl_text body = {0};
	struct seen seen = {0};
	struct fl_admin_client admin;
	int code = fl_admin_client_find(line, true, &admin);

	if (code != 0) {
		return code;
	}
	if (fl_conf_load_lenient(conf_path, &conf, NULL, NULL, &problems) != 0) {
		fl_problems_print(&problems, conf_path, stderr);
		code = 2;
	}
	if (code == 0) {
		warn(conf_path, &problems);
		code = ask(&admin, &body);
	}
	if (code == 0) {
		code = read_seen(conf, body.data, &seen);
	}
	if (code == 0) {
		code = print_rules(conf, &seen, line->options[0] != NULL);
	}
	cJSON_Delete(seen.root);
	free(seen.items);
	free(seen.times);
	free(seen.unproven);
	fl_text_done(&body);
	fl_conf_free(conf);
	fl_problems_done(&problems);
	return code;
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent suggest - the [allow] rules that would have admitted what was\n"
	"  refused\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent suggest [-c FILE] [--wildcards]\n"
	"                         [--control PATH | --admin ADDRESS]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks /seen of `[sidecar] admin` which connections policy has refused since the\n"
	"  sidecar started, or admitted only because of audit mode, and prints the fewest\n"
	"  [allow] rules that admit exactly those: INI to review, then to paste. What the\n"
	"  INI admits by now needs no rule, so it is read even with --control or --admin.\n"
	"  Of an INI that is refused, the rules without an error count. A list that would\n"
	"  be too long for a line of the INI becomes several rules.\n"
	"\n"
	"  Identities are written in full, ports and services one by one. Rules for\n"
	"  plaintext have `sources`, the addresses that were seen, because nothing else\n"
	"  identifies it. Rules for identities have none: a certificate proves more than\n"
	"  an address, and a workload gets another address at its next rollout.\n"
	"\n"
	"  Comments list who connected in plaintext, how often, and with which identity\n"
	"  the same address was refused; who was refused before policy was asked, and\n"
	"  when last: without TLS at a strict port, or with a certificate that is revoked\n"
	"  or out of date (the identity is then only claimed); what a [deny] rule\n"
	"  refuses, which no [allow] rule can change; and which [allow] rule only lacks\n"
	"  the address in `sources`.\n"
	"\n"
	"  The sidecar remembers about the last 1000 that it has seen; a comment says how\n"
	"  many it has forgotten.\n"
	"\n"
	"OPTIONS\n"
	"      --wildcards     identities that differ only in their last segment become\n"
	"                      one pattern with `*`: that admits more than was seen\n" FL_PAGE_OPTION_CONTROL
		FL_PAGE_OPTION_ADMIN FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  printed\n"
	"  1  the sidecar is not reachable, or does not tell\n"
	"  2  it cannot be asked: the command line, the INI, or neither an admin endpoint\n"
	"     nor a control socket\n" FL_PAGE_EXIT_UNWRITTEN "\n"
	"EXAMPLES\n"
	"  fairlead-agent suggest\n"
	"  fairlead-agent suggest >> new.ini && fairlead-agent check -c new.ini\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent explain, which asks about one connection\n";

const struct fl_command fl_command_suggest = {
	.name = "suggest",
	.summary = "the [allow] rules that would have admitted what was refused",
	.page = page,
	.run = suggest,
	.options = {{.name = "wildcards"}},
	.asks = FL_ASKS_ADMIN,
	.capabilities = FL_COMMAND_READS_ALL,
};
