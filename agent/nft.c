/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nft - a handful of functions of libnftables, found by name. */
#include "agent/nft.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/answer.h"
#include "base/mem.h"
#include "base/text.h"

#define LIBRARY "libnftables.so.1"

/* Each function with the type that the header gives it. */
struct fl_nft {
	struct nft_ctx *ctx;
	__typeof__(nft_ctx_new) *ctx_new;
	__typeof__(nft_ctx_free) *ctx_free;
	__typeof__(nft_ctx_buffer_output) *buffer_output;
	__typeof__(nft_ctx_get_output_buffer) *get_output;
	__typeof__(nft_ctx_buffer_error) *buffer_error;
	__typeof__(nft_ctx_get_error_buffer) *get_error;
	__typeof__(nft_ctx_output_set_flags) *set_flags;
	__typeof__(nft_run_cmd_from_buffer) *run;
};

/* --- the kernel ------------------------------------------------------------------------------- */

/* Which generation are the rules of? Harmless, and answered to whom may do all the rest. Returns 0 or an errno. */
static int ask_kernel(int fd)
{
	struct {
		struct nlmsghdr head;
		struct nfgenmsg body;
	} request = {.head = {.nlmsg_len = sizeof(request),
			      .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN,
			      .nlmsg_flags = NLM_F_REQUEST},
		     .body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0}};
	union {
		struct nlmsghdr head;
		struct {
			struct nlmsghdr head;
			struct nlmsgerr body;
		} error;
		char room[4096];
	} answer;
	ssize_t len;

	if (send(fd, &request, sizeof(request), 0) < 0) {
		return errno;
	}
	len = recv(fd, &answer, sizeof(answer), 0);
	if (len < 0) {
		return errno;
	}
	if ((size_t)len >= sizeof(answer.error) && answer.head.nlmsg_type == NLMSG_ERROR) {
		return -answer.error.body.error;
	}
	return 0;
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
				  "the rules of this network namespace take the capability "
				  "NET_ADMIN, which this process does not have: run it as an init "
				  "container with `capabilities: {add: [NET_ADMIN]}` and "
				  "`runAsUser: 0`, or as root");
	}
	if (code != 0) {
		return fl_err_sys(err, code,
				  "this kernel has no nftables (modules nf_tables, nft_chain_nat, "
				  "nft_redir, nft_fib_inet, nft_socket)");
	}
	return FL_OK;
}

/* --- the library ------------------------------------------------------------------------------ */

/* POSIX has it that a pointer to data may hold one to a function; ISO C does not. */
static bool find(void *library, const char *name, void *ret_function)
{
	void *found = dlsym(library, name);

	memcpy(ret_function, &found, sizeof(found));
	return found != NULL;
}

static int load_library(struct fl_nft *nft, struct fl_err *err)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL) {
		return fl_err_set(err, FL_ERR_INVALID,
				  LIBRARY " is not here, or not all that it needs: install the "
					  "package libnftables1");
	}
	if (!find(library, "nft_ctx_new", &nft->ctx_new) ||
	    !find(library, "nft_ctx_free", &nft->ctx_free) ||
	    !find(library, "nft_ctx_buffer_output", &nft->buffer_output) ||
	    !find(library, "nft_ctx_get_output_buffer", &nft->get_output) ||
	    !find(library, "nft_ctx_buffer_error", &nft->buffer_error) ||
	    !find(library, "nft_ctx_get_error_buffer", &nft->get_error) ||
	    !find(library, "nft_ctx_output_set_flags", &nft->set_flags) ||
	    !find(library, "nft_run_cmd_from_buffer", &nft->run)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  LIBRARY " lacks functions: install a newer package libnftables1");
	}
	return FL_OK;
}

int fl_nft_open(struct fl_nft **ret, struct fl_err *err)
{
	struct fl_nft *nft = fl_new(sizeof(*nft));
	int rc = check_kernel(err);

	if (rc == FL_OK) {
		rc = load_library(nft, err);
	}
	if (rc == FL_OK) {
		nft->ctx = nft->ctx_new(NFT_CTX_DEFAULT);
		if (nft->ctx == NULL || nft->buffer_output(nft->ctx) != 0 ||
		    nft->buffer_error(nft->ctx) != 0) {
			rc = fl_err_set(err, FL_ERR_NOMEM, LIBRARY ": out of memory");
		}
	}
	if (rc != FL_OK) {
		fl_nft_close(nft);
		return rc;
	}
	*ret = nft;
	return FL_OK;
}

void fl_nft_close(struct fl_nft *nft)
{
	if (nft == NULL) {
		return;
	}
	if (nft->ctx != NULL) {
		nft->ctx_free(nft->ctx);
	}
	/* The library stays loaded: it has handlers of its own for the process's end. */
	free(nft);
}

/* --- its use ---------------------------------------------------------------------------------- */

/* What it says is several lines: which one is wrong and why, that one, and marks below it. */
static int refused(const char *said, struct fl_err *err)
{
	size_t why = strcspn(said, "\n");
	const char *line = said[why] == '\n' ? said + why + 1 : "";

	line += strspn(line, " \t");
	return fl_err_set(err, FL_ERR_IO,
			  "the kernel did not take the rules, and nothing has changed: %.*s: %.*s",
			  (int)why, said, (int)strcspn(line, "\n"), line);
}

int fl_nft_load(struct fl_nft *nft, const char *text, struct fl_err *err)
{
	nft->set_flags(nft->ctx, 0);
	if (nft->run(nft->ctx, text) != 0) {
		return refused(nft->get_error(nft->ctx), err);
	}
	return FL_OK;
}

static void take_counter(const cJSON *counter, struct fl_nft_count *counts, size_t count)
{
	const char *name = fl_answer_text(counter, "name");

	for (size_t i = 0; i < count; i++) {
		if (strcmp(counts[i].name, name) == 0) {
			counts[i].packets = fl_answer_count(counter, "packets");
			counts[i].bytes = fl_answer_count(counter, "bytes");
			counts[i].found = true;
		}
	}
}

/* Runs a listing; NULL: what it is about is not there. */
static cJSON *list(struct fl_nft *nft, const char *what, const char *table)
{
	struct fl_text command = {0};
	cJSON *listing = NULL;

	fl_text_print(&command, "list %s inet %s", what, table);
	nft->set_flags(nft->ctx, NFT_CTX_OUTPUT_JSON);
	if (nft->run(nft->ctx, command.data) == 0) {
		listing = cJSON_Parse(nft->get_output(nft->ctx));
	}
	fl_text_done(&command);
	return listing;
}

bool fl_nft_count(struct fl_nft *nft, const char *table, struct fl_nft_count *counts, size_t count)
{
	cJSON *listing = list(nft, "counters table", table);
	bool there = listing != NULL;
	const cJSON *item;

	cJSON_ArrayForEach(item, fl_answer_part(listing, "nftables"))
	{
		take_counter(fl_answer_part(item, "counter"), counts, count);
	}
	cJSON_Delete(listing);
	return there;
}

static void take_target(const cJSON *statement, struct fl_nft_targets *ret)
{
	uint64_t port = fl_answer_count(statement, "port");
	size_t i = 0;

	while (i < ret->count && ret->ports[i] != port) {
		i++;
	}
	if (port > 0 && port <= UINT16_MAX && i == ret->count && i < FL_NFT_PORTS_MAX) {
		ret->ports[ret->count++] = (uint16_t)port;
	}
}

bool fl_nft_targets(struct fl_nft *nft, const char *table, struct fl_nft_targets *ret)
{
	cJSON *listing = list(nft, "table", table);
	bool there = listing != NULL;
	const cJSON *item, *statement;

	*ret = (struct fl_nft_targets){.count = 0};
	cJSON_ArrayForEach(item, fl_answer_part(listing, "nftables"))
	{
		cJSON_ArrayForEach(statement, fl_answer_part(fl_answer_part(item, "rule"), "expr"))
		{
			take_target(fl_answer_part(statement, "redirect"), ret);
			take_target(fl_answer_part(statement, "tproxy"), ret);
			ret->tproxy = ret->tproxy || fl_answer_part(statement, "tproxy") != NULL;
		}
	}
	cJSON_Delete(listing);
	return there;
}
