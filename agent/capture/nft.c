/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nft - the arguments and the output of the program. */
#include "agent/capture/nft.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/capture/netlink.h"
#include "agent/common/json_read.h"
#include "base/mem.h"

#define SECONDS_MAX 30
#define ARGS_MAX 7
#define OUTPUT_MAX ((size_t)4 << 20) /* our table needs 40 kB, without the elements of its sets */
#define ELEMENTS_MAX ((size_t)256 << 20) /* an element of our sets needs 150 bytes */

/* --- the kernel ------------------------------------------------------------------------------- */

/* Asks for the generation of the ruleset: harmless, and it needs the same permission as everything else. Returns 0 or an
 * errno. */
static int ask_kernel(int fd)
{
	struct {
		struct nlmsghdr head;
		struct nfgenmsg body;
	} request = {.head = {.nlmsg_len = sizeof(request),
			      .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN,
			      .nlmsg_flags = NLM_F_REQUEST},
		     .body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0}};

	return fl_netlink_ask(fd, &request.head);
}

static int check_kernel(struct fl_err *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	int code = fd < 0 ? errno : ask_kernel(fd);

	if (fd >= 0) {
		(void)close(fd);
	}
	if (code == EPERM || code == EACCES) {
		return fl_err_set(err, FL_ERR_DENIED,
				  "the rules of this network namespace require the capability "
				  "NET_ADMIN, which this process does not have: run it as an init "
				  "container with `capabilities: {add: [NET_ADMIN]}` and "
				  "`runAsUser: 0`, or as root");
	}
	if (code != 0) {
		return fl_err_sys(err, code,
				  "this kernel has no nftables (modules nf_tables, nft_chain_nat, "
				  "nft_redir, nft_fib_inet, nft_socket, nft_ct with zones, "
				  "nft_reject_inet; for tproxy nft_tproxy)");
	}
	return FL_OK;
}

/* --- the program ------------------------------------------------------------------------------ */

/* Where distributions install nft. PATH is not used: anybody may have set it, and this runs as root. */
static const char *find_program(void)
{
	static const char *const places[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"};

	for (size_t i = 0; i < FL_COUNT_OF(places); i++) {
		if (access(places[i], X_OK) == 0) {
			return places[i];
		}
	}
	return NULL;
}

static int missing(struct fl_err *err)
{
	return fl_err_set(
		err, FL_ERR_INVALID,
		"the program nft is not installed (/usr/sbin/nft, /sbin/nft or /usr/bin/nft): "
		"install the package nftables");
}

int fl_nft_check(struct fl_err *err)
{
	int rc = check_kernel(err);

	return rc == FL_OK && find_program() == NULL ? missing(err) : rc;
}

static int explain_signal(int number, struct fl_err *err)
{
	switch (number) {
	case SIGALRM:
		return fl_err_set(err, FL_ERR_LIMIT,
				  "nft had not ended after %d s, so the rules may have changed "
				  "or not: repeat this when the machine is less busy",
				  SECONDS_MAX);
	case SIGXFSZ:
		return fl_err_set(err, FL_ERR_LIMIT,
				  "nft lists more than %zu MB, so not everything is known: "
				  "look yourself with `nft list table inet fairlead`",
				  OUTPUT_MAX >> 20);
	default:
		return fl_err_set(
			err, FL_ERR_IO,
			"nft was ended by signal %d, so the rules may have changed or not: repeat this",
			number);
	}
}

int fl_nft_explain(const struct fl_child_end *end, const char *what, struct fl_err *err)
{
	static const char mark[] = "Error: ", kernel[] = "Could not process rule: ";
	const char *said = end->errors.data, *why = strstr(said, mark), *line;
	const char *who = "nft";
	int len;

	if (end->signal != 0) {
		return explain_signal(end->signal, err);
	}
	if (why == NULL) {
		/* No message of its own: one of the loader, one of child.c, or none. */
		said = said[0] != '\0' ? said : "without a message";
		return fl_err_set(err, FL_ERR_IO,
				  "nft did not %s: exit %d, %.*s: reinstall the package nftables",
				  what, end->code, (int)strcspn(said, "\n"), said);
	}
	why += strlen(mark);
	if (strncmp(why, kernel, strlen(kernel)) == 0) {
		why += strlen(kernel);
		who = "the kernel";
	}
	len = (int)strcspn(why, "\n");
	line = why + len;
	line += strspn(line, "\n \t");
	return fl_err_set(err, FL_ERR_IO, "%s did not %s: %.*s%s%.*s", who, what, len, why,
			  *line != '\0' ? ": " : "", (int)strcspn(line, "\n"), line);
}

/* args: what follows the program's name; ends with NULL. what: the task, for "nft did not WHAT". */
static int run_for(const char *const *args, const char *input, size_t output_max, const char *what,
		   struct fl_child_end *ret, struct fl_err *err)
{
	const char *argv[ARGS_MAX + 2] = {find_program()};
	struct fl_child_task task = {
		.argv = argv, .input = input, .output_max = output_max, .seconds_max = SECONDS_MAX};
	int rc;

	if (argv[0] == NULL) {
		return missing(err);
	}
	for (size_t i = 0; args[i] != NULL; i++) {
		FL_REQUIRE(i < ARGS_MAX);
		argv[i + 1] = args[i];
	}
	rc = fl_child_run(&task, ret, err);
	if (rc == FL_OK && (ret->signal != 0 || ret->code != 0)) {
		rc = fl_nft_explain(ret, what, err);
		fl_child_end_done(ret);
	}
	return rc;
}

static int run(const char *const *args, const char *input, const char *what,
	       struct fl_child_end *ret, struct fl_err *err)
{
	return run_for(args, input, OUTPUT_MAX, what, ret, err);
}

static int load(const char *const *args, const char *text, struct fl_err *err)
{
	struct fl_child_end end;
	int rc = run(args, text, "take the rules, and nothing has changed", &end, err);

	if (rc == FL_OK) {
		fl_child_end_done(&end);
	}
	return rc;
}

int fl_nft_load(const char *text, struct fl_err *err)
{
	static const char *const args[] = {"-f", "-", NULL};

	return load(args, text, err);
}

int fl_nft_rehearse(const char *text, struct fl_err *err)
{
	static const char *const args[] = {"-c", "-f", "-", NULL};

	return load(args, text, err);
}

/* --- listings --------------------------------------------------------------------------------- */

static int list_up_to(size_t output_max, const char *const *args, cJSON **ret, struct fl_err *err)
{
	struct fl_child_end end;
	int rc = run_for(args, NULL, output_max, "list what is in force", &end, err);

	if (rc != FL_OK) {
		return rc;
	}
	*ret = cJSON_Parse(end.out.data);
	fl_child_end_done(&end);
	if (*ret == NULL) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"nft does not answer in JSON: install a package nftables that is built with "
			"it, as Debian's is");
	}
	return FL_OK;
}

static int list(const char *const *args, cJSON **ret, struct fl_err *err)
{
	return list_up_to(OUTPUT_MAX, args, ret, err);
}

/* Lists only the names of tables: other programs' tables are not read. */
static int find_table(const char *table, bool *ret_there, struct fl_err *err)
{
	static const char *const args[] = {"-j", "list", "tables", "inet", NULL};
	const cJSON *item;
	cJSON *listing;
	int rc = list(args, &listing, err);

	if (rc != FL_OK) {
		return rc;
	}
	*ret_there = false;
	cJSON_ArrayForEach(item, fl_json_read_member(listing, "nftables"))
	{
		const char *name = fl_json_read_text(fl_json_read_member(item, "table"), "name");

		*ret_there = *ret_there || strcmp(name, table) == 0;
	}
	cJSON_Delete(listing);
	return FL_OK;
}

static void take_counter(const cJSON *counter, struct fl_nft_count *counts, size_t count)
{
	const char *name = fl_json_read_text(counter, "name");

	for (size_t i = 0; i < count; i++) {
		if (strcmp(counts[i].name, name) == 0) {
			counts[i].packets = fl_json_read_count(counter, "packets");
			counts[i].bytes = fl_json_read_count(counter, "bytes");
			counts[i].found = true;
		}
	}
}

int fl_nft_count(const char *table, struct fl_nft_count *counts, size_t count, bool *ret_there,
		 struct fl_err *err)
{
	const char *const args[] = {"-j", "list", "counters", "table", "inet", table, NULL};
	const cJSON *item;
	cJSON *listing;
	int rc = find_table(table, ret_there, err);

	if (rc != FL_OK || !*ret_there) {
		return rc;
	}
	rc = list(args, &listing, err);
	if (rc != FL_OK) {
		return rc;
	}
	cJSON_ArrayForEach(item, fl_json_read_member(listing, "nftables"))
	{
		take_counter(fl_json_read_member(item, "counter"), counts, count);
	}
	cJSON_Delete(listing);
	return FL_OK;
}

/* "elem": {"val": {"concat": ["10.0.0.1", 80, "10.0.0.2", 40000]}, "expires": 86000} */
static void tell_ends(const cJSON *element, fl_nft_ends_cb cb, void *user)
{
	const cJSON *value = fl_json_read_member(fl_json_read_member(element, "elem"), "val"),
		    *part;
	const char *addrs[2];
	uint16_t ports[2];
	int i = 0;

	cJSON_ArrayForEach(part, fl_json_read_member(value, "concat"))
	{
		if (i >= 4 || (i % 2 == 0 ? !cJSON_IsString(part) : !cJSON_IsNumber(part))) {
			return;
		}
		if (i % 2 == 0) {
			addrs[i / 2] = part->valuestring;
		} else {
			ports[i / 2] = (uint16_t)part->valueint;
		}
		i++;
	}
	if (i == 4) {
		cb(user, addrs, ports);
	}
}

/* Is there a set of that name whose elements time out? */
static int find_set(const char *table, const char *set, bool *ret_there, struct fl_err *err)
{
	static const char *const args[] = {"-j", "-t", "list", "sets", "inet", NULL};
	const cJSON *item;
	cJSON *listing;
	int rc = list(args, &listing, err);

	if (rc != FL_OK) {
		return rc;
	}
	*ret_there = false;
	cJSON_ArrayForEach(item, fl_json_read_member(listing, "nftables"))
	{
		const cJSON *found = fl_json_read_member(item, "set");

		*ret_there = *ret_there || (strcmp(fl_json_read_text(found, "table"), table) == 0 &&
					    strcmp(fl_json_read_text(found, "name"), set) == 0 &&
					    fl_json_read_number(found, "timeout") > 0);
	}
	cJSON_Delete(listing);
	return FL_OK;
}

int fl_nft_ends(const char *table, const char *set, fl_nft_ends_cb cb, void *user, bool *ret_there,
		struct fl_err *err)
{
	const char *const args[] = {"-j", "-n", "list", "set", "inet", table, set, NULL};
	const cJSON *item, *element;
	cJSON *listing;
	int rc = find_set(table, set, ret_there, err);

	if (rc == FL_OK && *ret_there) {
		rc = list_up_to(ELEMENTS_MAX, args, &listing, err);
	}
	if (rc != FL_OK || !*ret_there) {
		return rc;
	}
	cJSON_ArrayForEach(item, fl_json_read_member(listing, "nftables"))
	{
		cJSON_ArrayForEach(element,
				   fl_json_read_member(fl_json_read_member(item, "set"), "elem"))
		{
			tell_ends(element, cb, user);
		}
	}
	cJSON_Delete(listing);
	return FL_OK;
}

static void take_target(const cJSON *statement, struct fl_nft_targets *ret)
{
	uint64_t port = fl_json_read_count(statement, "port");
	size_t i = 0;

	while (i < ret->count && ret->ports[i] != port) {
		i++;
	}
	if (port > 0 && port <= UINT16_MAX && i == ret->count && i < FL_NFT_PORTS_MAX) {
		ret->ports[ret->count++] = (uint16_t)port;
	}
}

static void take_rule(const cJSON *rule, struct fl_nft_targets *ret)
{
	const cJSON *statement;

	cJSON_ArrayForEach(statement, fl_json_read_member(rule, "expr"))
	{
		take_target(fl_json_read_member(statement, "redirect"), ret);
		take_target(fl_json_read_member(statement, "tproxy"), ret);
		ret->tproxy = ret->tproxy || fl_json_read_member(statement, "tproxy") != NULL;
	}
}

int fl_nft_targets(const char *table, struct fl_nft_targets *ret, struct fl_err *err)
{
	/* -t: without the elements of sets, which may be many. -n: protocols as numbers, so that nft asks no NSS. */
	const char *const args[] = {"-j", "-t", "-n", "list", "table", "inet", table, NULL};
	const cJSON *item;
	cJSON *listing;
	bool there;
	int rc = find_table(table, &there, err);

	if (rc == FL_OK && there) {
		rc = list(args, &listing, err);
	}
	if (rc != FL_OK) {
		return rc;
	}
	*ret = (struct fl_nft_targets){.count = 0};
	if (there) {
		cJSON_ArrayForEach(item, fl_json_read_member(listing, "nftables"))
		{
			take_rule(fl_json_read_member(item, "rule"), ret);
		}
		cJSON_Delete(listing);
	}
	return FL_OK;
}
