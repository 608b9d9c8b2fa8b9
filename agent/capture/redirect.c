/* SPDX-License-Identifier: GPL-3.0-or-later */
/* redirect - the command: from the INI to the rules in the kernel, and from their counters to a person.
 *
 * mode = tproxy needs routes besides the rules. They have no effect alone, so they are added first and removed last:
 * whenever this process is killed, the rules in force are complete. */
#include "agent/capture/redirect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/capture/nft.h"
#include "agent/capture/open_before.h"
#include "agent/capture/ruleset.h"
#include "agent/capture/tproxy_routing.h"
#include "agent/capture/uplinks.h"
#include "agent/common/command.h"
#include "agent/common/stdin_file.h"
#include "base/mem.h"
#include "conf/conf.h"

#define COUNTERS_MAX 16

static int complain(const struct fl_err *err)
{
	(void)fprintf(stderr, "fairlead-agent redirect: %s\n", err->text);
	return 2;
}

static struct fl_conf *load(const char *conf_path)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	if (fl_stdin_load_conf(conf_path, &conf, NULL, NULL, &problems) != FL_OK) {
		fl_problems_print(&problems, conf_path, stderr);
		conf = NULL;
	}
	fl_problems_done(&problems);
	return conf;
}

static int format(const struct fl_conf *conf, struct fl_text *out, struct fl_err *err)
{
	struct fl_ruleset_uplinks uplinks;
	int rc = fl_uplinks_read(&uplinks, err);

	return rc == FL_OK ? fl_ruleset_format(conf, &uplinks, out, err) : rc;
}

/* --- apply ------------------------------------------------------------------------------------ */

static int put_in_force(const struct fl_conf *conf, const char *rules, struct fl_err *err)
{
	bool tproxy = conf->redirect.mode == FL_REDIRECT_TPROXY;
	/* Load a small part first: a missing permission is one error there, and hundreds of errors with all rules. */
	int rc = fl_nft_rehearse(fl_ruleset_removal, err);

	if (rc == FL_OK && tproxy) {
		rc = fl_tproxy_routing_add(err);
	}
	if (rc == FL_OK) {
		rc = fl_nft_load(rules, err);
	}
	if (rc == FL_OK && !tproxy) {
		rc = fl_tproxy_routing_remove(err);
	}
	return rc;
}

static void warn_of_family(const char *direction, const char *family, bool listens)
{
	if (!listens) {
		(void)fprintf(stderr,
			      "fairlead-agent redirect: warning: `[sidecar] %s` has no %s "
			      "listener, so captured %s connections will be refused\n",
			      direction, family, family);
	}
}

static void print_direction(const char *direction, const struct fl_ruleset_ports *ports)
{
	if (ports->v4 == 0) {
		(void)printf("%s: not captured, `[sidecar] %s` is empty\n", direction, direction);
		return;
	}
	(void)printf("%s: captured, to port %u\n", direction,
		     ports->v4_listens ? ports->v4 : ports->v6);
	warn_of_family(direction, "IPv4", ports->v4_listens);
	warn_of_family(direction, "IPv6", ports->v6_listens);
}

static void print_summary(const struct fl_conf *conf)
{
	struct fl_ruleset_ports ports;

	if (fl_ruleset_inbound(conf, &ports, NULL) == FL_OK) {
		print_direction("inbound", &ports);
	}
	if (fl_ruleset_outbound(conf, &ports, NULL) == FL_OK) {
		print_direction("outbound", &ports);
	}
}

/* The connections that the rules in force allow because they are older. NULL: there are no rules, or they are of a version
 * without such sets. */
static int read_open_before(struct fl_open_before_set **ret, struct fl_err *err)
{
	static const char *const sets[] = {FL_RULESET_OPEN4, FL_RULESET_OPEN6};
	struct fl_open_before_set *kept = fl_open_before_set_new();
	bool there = true;
	int rc = FL_OK;

	for (size_t i = 0; i < FL_COUNT_OF(sets) && rc == FL_OK && there; i++) {
		rc = fl_nft_ends(FL_RULESET_TABLE, sets[i], fl_open_before_set_add, kept, &there,
				 err);
	}
	if (rc != FL_OK || !there) {
		fl_open_before_set_free(kept);
		kept = NULL;
	}
	*ret = kept;
	return rc;
}

/* Connections that are open now continue without capture. */
static int add_open_before(const struct fl_conf *conf, struct fl_text *rules, struct fl_err *err)
{
	struct fl_open_before_scope scope = {.sidecar_uid = conf->agent.sidecar_uid};
	int rc = fl_ruleset_outbound(conf, &scope.outbound, err);

	if (rc == FL_OK) {
		rc = fl_ruleset_inbound(conf, &scope.inbound, err);
	}
	if (rc == FL_OK) {
		rc = fl_nft_check(err);
	}
	if (rc == FL_OK) {
		rc = read_open_before(&scope.kept, err);
	}
	if (rc == FL_OK) {
		rc = fl_open_before_format(&scope, rules, err);
	}
	fl_open_before_set_free(scope.kept);
	return rc;
}

static int apply(const char *conf_path)
{
	struct fl_conf *conf = load(conf_path);
	struct fl_text rules = {0};
	struct fl_err err;
	int rc;

	if (conf == NULL) {
		return 2;
	}
	rc = format(conf, &rules, &err);
	if (rc == FL_OK) {
		rc = add_open_before(conf, &rules, &err);
	}
	if (rc == FL_OK) {
		rc = put_in_force(conf, rules.data, &err);
	}
	if (rc == FL_OK) {
		print_summary(conf);
	}
	fl_text_done(&rules);
	fl_conf_free(conf);
	return rc == FL_OK ? fl_command_flush("what is captured", 0) : complain(&err);
}

/* --- remove ----------------------------------------------------------------------------------- */

/* Without the rules nothing translates what the app sends on a captured connection: it would go to the network as it is.
 * The ports are read from the rules themselves. FL_ERR_DENIED: there are such connections. */
static int check_nothing_captured(struct fl_err *err)
{
	struct fl_nft_targets targets;
	size_t count = 0;
	int rc = fl_nft_targets(FL_RULESET_TABLE, &targets, err);

	if (rc == FL_OK && targets.count > 0) {
		rc = fl_open_before_count(targets.ports, targets.count, targets.tproxy, &count,
					  err);
	}
	if (rc == FL_OK && count > 0) {
		rc = fl_err_set(err, FL_ERR_DENIED,
				"nothing has changed: %zu captured connection%s open, and without "
				"the rules what the app sends on %s goes to the network as it is; "
				"stop the sidecar first, or accept that with --force",
				count, count == 1 ? " is" : "s are", count == 1 ? "it" : "them");
	}
	return rc;
}

static int unload(struct fl_err *err)
{
	int rc = fl_nft_load(fl_ruleset_removal, err);

	return rc == FL_OK ? fl_tproxy_routing_remove(err) : rc;
}

/* Requires no INI: a broken INI must not keep the rules in force. */
static int remove_rules(bool force)
{
	struct fl_err err;
	int rc = fl_nft_check(&err);

	if (rc != FL_OK) {
		return complain(&err);
	}
	rc = force ? FL_OK : check_nothing_captured(&err);
	if (rc == FL_ERR_DENIED) {
		(void)complain(&err);
		return 1;
	}
	if (rc == FL_OK) {
		rc = unload(&err);
	}
	return rc == FL_OK ? 0 : complain(&err);
}

/* --- counters ---------------------------------------------------------------------------------- */

typedef void (*begin_fn)(struct fl_text *out, bool first);

static void put_counts(const struct fl_nft_count *counts, bool all, begin_fn begin,
		       struct fl_text *out)
{
	bool first = true;

	for (size_t i = 0; i < fl_ruleset_counter_count; i++) {
		if (all || counts[i].packets > 0) {
			begin(out, first);
			fl_text_print(out, "%" PRIu64 " %s\n", counts[i].packets,
				      fl_ruleset_counters[i].what);
			first = false;
		}
	}
	if (first) {
		begin(out, true);
		fl_text_print(out, "in force, and nothing has been counted yet\n");
	}
}

/* all: for `redirect print`, which includes counters that are 0, and says so if the rules cannot be read. */
static void put_counters(bool all, begin_fn begin, struct fl_text *out)
{
	struct fl_nft_count counts[COUNTERS_MAX] = {{0}};
	bool there = false;
	struct fl_err err;
	int rc;

	FL_REQUIRE(fl_ruleset_counter_count <= COUNTERS_MAX);
	for (size_t i = 0; i < fl_ruleset_counter_count; i++) {
		counts[i].name = fl_ruleset_counters[i].name;
	}
	rc = fl_nft_check(&err);
	if (rc == FL_OK) {
		rc = fl_nft_count(FL_RULESET_TABLE, counts, fl_ruleset_counter_count, &there, &err);
	}
	if (rc == FL_ERR_DENIED && !all) {
		return;
	}
	if (rc != FL_OK) {
		begin(out, true);
		fl_text_print(out, "not known: %s\n",
			      rc == FL_ERR_DENIED ? "reading the rules requires NET_ADMIN"
						  : err.text);
	} else if (there) {
		put_counts(counts, all, begin, out);
	} else {
		begin(out, true);
		fl_text_print(out, "NOT IN FORCE here: fairlead-agent redirect apply\n");
	}
}

bool fl_redirect_is_meant(const char *conf_path)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	bool meant = fl_conf_load_lenient(conf_path, &conf, NULL, NULL, &problems) == FL_OK &&
		     conf->redirect.line != 0;

	fl_conf_free(conf);
	fl_problems_done(&problems);
	return meant;
}

void fl_redirect_counters(struct fl_text *out, begin_fn begin)
{
	put_counters(false, begin, out);
}

static void begin_comment(struct fl_text *out, bool first)
{
	fl_text_print(out, "# %-10s", first ? "now: " : "");
}

static int print(const char *conf_path)
{
	struct fl_conf *conf = load(conf_path);
	struct fl_text text = {0};
	struct fl_err err;
	int code;

	if (conf == NULL) {
		return 2;
	}
	put_counters(true, begin_comment, &text);
	if (format(conf, &text, &err) == FL_OK) {
		(void)fwrite(text.data, 1, text.len, stdout);
		code = fl_command_flush("the rules", 0);
	} else {
		code = complain(&err);
	}
	fl_text_done(&text);
	fl_conf_free(conf);
	return code;
}

/* --- the command ------------------------------------------------------------------------------ */

static int redirect(const struct fl_command_line *line)
{
	static const char *const actions[] = {"apply", "remove", "print"};
	bool force = line->options[0] != NULL;
	const char *action = line->words[0];

	if (line->word_count == 0) {
		return fl_command_complain(line->command, "missing ACTION: apply, remove or print");
	}
	if (force && strcmp(action, "remove") != 0) {
		return fl_command_complain(line->command, "--force is only for remove");
	}
	if (strcmp(action, "print") == 0) {
		return print(line->conf_path);
	}
	/* The rules in force must come from the file that the sidecar also reads. */
	if (fl_command_lacks_file(line)) {
		return 2;
	}
	if (strcmp(action, "apply") == 0) {
		return apply(line->conf_path);
	}
	if (strcmp(action, "remove") == 0) {
		return remove_rules(force);
	}
	return fl_command_unknown(line->command, "action", action, actions, FL_COUNT_OF(actions));
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent redirect - the rules that lead the pod's connections through\n"
	"  the sidecar\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent redirect apply|print [-c FILE]\n"
	"  fairlead-agent redirect remove [--force]\n"
	"\n"
	"DESCRIPTION\n"
	"  apply   Makes the rules from [redirect] of the INI and puts them in force, in\n"
	"          the network namespace that it runs in. It can be repeated at any\n"
	"          time. Repeat it after a change of [redirect], of `inbound`, `outbound`\n"
	"          or `admin` in [sidecar], of `sidecar_uid` or of a [service] `listen`:\n"
	"          the sidecar is not ready until then.\n"
	"  remove  Removes them, unless captured connections are open: what the app sends\n"
	"          on those would then go to the network as it is, until the other side\n"
	"          resets it. Stop the sidecar first. It needs no INI, and succeeds if\n"
	"          there are no rules.\n"
	"  print   Prints them in the form of `nft -f`, with a comment on every rule; and\n"
	"          before them, as comments, the counters of the rules in force.\n"
	"          Printing needs no privilege; reading the counters requires NET_ADMIN.\n"
	"\n"
	"  They are one nftables table, `inet fairlead`, for IPv4 and IPv6, which\n"
	"  replaces the previous one in a single transaction: if it is interrupted, the\n"
	"  old rules or the new ones are in force. Other tables, and the rules of\n"
	"  iptables, are neither read nor changed.\n"
	"\n"
	"  Inbound, what others open to a TCP port of this pod goes to `[sidecar]\n"
	"  inbound`, if a socket listens at that address and port. Where none does, the\n"
	"  connection is refused, so that probes of an app that is not up fail, and an\n"
	"  app on 127.0.0.1 stays private. Addresses and ports where the sidecar itself\n"
	"  listens, also for [service] sections with `listen`, are not captured.\n"
	"\n"
	"  Outbound, what the app opens goes to `[sidecar] outbound`, except what stays\n"
	"  in the pod. The app is every process that is not of `[agent] sidecar_uid`.\n"
	"\n"
	"  Only new connections are captured; open ones continue as they are, also when\n"
	"  rules are replaced.\n"
	"\n"
	"  With `mode = tproxy` there is also a routing rule for mark 0x539, with table\n"
	"  133.\n"
	"\n"
	"OPTIONS\n"
	"      --force         remove: even if captured connections are open\n" FL_PAGE_OPTIONS "\n"
	"ENVIRONMENT\n"
	"  apply and remove require the capability NET_ADMIN and the program nft (package\n"
	"  nftables; in /usr/sbin, /sbin or /usr/bin). Nothing else here does: give them\n"
	"  to an init container, not to the sidecar or the app. PATH and the rest of the\n"
	"  environment are not used, and nft does not get them.\n"
	"\n"
	"EXIT STATUS\n"
	"  0  done\n"
	"  1  remove: captured connections are open, and nothing has changed\n"
	"  2  not done, and nothing has changed: the command line, the INI, a permission\n"
	"     that is missing, or the kernel; one sentence on stderr says which\n" FL_PAGE_EXIT_UNWRITTEN
	"\n"
	"EXAMPLES\n"
	"  fairlead-agent redirect print | less\n"
	"  fairlead-agent redirect apply\n"
	"  nsenter -t $PID -n fairlead-agent redirect print\n"
	"\n"
	"SEE ALSO\n"
	"  nft list table inet fairlead; fairlead-agent status\n";

const struct fl_command fl_command_redirect = {
	.name = "redirect",
	.summary = "the rules that lead the pod's connections through the sidecar",
	.page = page,
	.run = redirect,
	.options = {{.name = "force"}},
	.words_max = 1,
	.capabilities = FL_CAPABILITY(CAP_NET_ADMIN),
	.executes = true,
	.ini_from_stdin = true,
};
