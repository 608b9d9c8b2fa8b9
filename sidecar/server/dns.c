/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Wraps c-ares: questions, and the search list. */
#include "server/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "base/mem.h"
#include "server/hosts.h"
#include "server/search_list.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define TIMEOUT_MS 1000 /* the first; doubled by each try */
#define TRIES 3
#define ANSWER_MAX 4096 /* addresses of one answer: as many as fit into a message */

/* The struct of later versions is longer. Built with an earlier one, we run with a later one too, which reads all of its
 * own; in what we do not know, zeros are right. */
union options {
	struct ares_options known;
	char later[1024];
};

/* Since 1.31 c-ares answers from memory. Ours is the resolver's, which has to see each change at once. */
#ifndef ARES_OPT_QUERY_CACHE
#define ARES_OPT_QUERY_CACHE (1 << 21)
#endif

struct watcher {
	struct watcher *next;
	uv_poll_t poll;
	struct fl_dns *dns;
	ares_socket_t fd;
};

struct question {
	int family;
	fl_dns_cb cb;
	void *user;
};

struct fl_dns {
	uv_loop_t *loop;
	bool has_channel;
	ares_channel channel;
	struct watcher *watchers;
	struct fl_hosts hosts;
	struct fl_search_list search;
};

/* --- c-ares on the loop ------------------------------------------------------------------------ */

static void on_watcher_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct watcher, poll));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watcher *watcher = FL_CONTAINER_OF(poll, struct watcher, poll);
	bool broken = status < 0;

	ares_process_fd(watcher->dns->channel,
			broken || (events & UV_READABLE) != 0 ? watcher->fd : ARES_SOCKET_BAD,
			broken || (events & UV_WRITABLE) != 0 ? watcher->fd : ARES_SOCKET_BAD);
}

static struct watcher *watch(struct fl_dns *dns, ares_socket_t fd)
{
	struct watcher *watcher;

	LL_SEARCH_SCALAR(dns->watchers, watcher, fd, fd);
	if (watcher == NULL) {
		watcher = fl_new(sizeof(*watcher));
		watcher->dns = dns;
		watcher->fd = fd;
		FL_REQUIRE(uv_poll_init(dns->loop, &watcher->poll, fd) == 0);
		LL_PREPEND(dns->watchers, watcher);
	}
	return watcher;
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct fl_dns *dns = data;
	struct watcher *watcher = watch(dns, fd);

	if (readable != 0 || writable != 0) {
		(void)uv_poll_start(&watcher->poll,
				    (readable != 0 ? UV_READABLE : 0) |
					    (writable != 0 ? UV_WRITABLE : 0),
				    on_poll);
		return;
	}
	LL_DELETE(dns->watchers, watcher);
	(void)uv_poll_stop(&watcher->poll);
	uv_close((uv_handle_t *)&watcher->poll, on_watcher_closed);
}

static bool open_channel(struct fl_dns *dns)
{
	union options options = {.later = {0}};

	options.known.sock_state_cb = on_socket_state;
	options.known.sock_state_cb_data = dns;
	options.known.timeout = TIMEOUT_MS;
	options.known.tries = TRIES;
	if (!dns->has_channel) {
		dns->has_channel = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS &&
				   ares_init_options(&dns->channel, &options.known,
						     ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS |
							     ARES_OPT_TRIES |
							     ARES_OPT_QUERY_CACHE) == ARES_SUCCESS;
	}
	return dns->has_channel;
}

/* --- questions --------------------------------------------------------------------------------- */

static enum fl_dns_status status_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return FL_DNS_FOUND;
	case ARES_ENODATA:
		return FL_DNS_NO_ADDRESS;
	case ARES_ENOTFOUND:
		return FL_DNS_NO_NAME;
	case ARES_ESERVFAIL:
	/* c-ares also says this when every server has sent SERVFAIL or REFUSED */
	case ARES_ECONNREFUSED:
	case ARES_EREFUSED:
	case ARES_ENOTIMP:
		return FL_DNS_SERVER_FAILED;
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		return FL_DNS_ENDED;
	default:
		return FL_DNS_NO_ANSWER;
	}
}

const char *fl_dns_status_text(enum fl_dns_status status)
{
	switch (status) {
	case FL_DNS_NO_ADDRESS:
		return "the name exists and has no address";
	case FL_DNS_NO_NAME:
		return "the name does not exist";
	case FL_DNS_SERVER_FAILED:
		return "there is no DNS server, or none could answer (SERVFAIL)";
	case FL_DNS_NO_ANSWER:
		return "no DNS server answers";
	case FL_DNS_FOUND:
	case FL_DNS_ENDED:
		break;
	}
	return "";
}

static uint64_t least(uint64_t ms, int ttl_s)
{
	uint64_t ttl_ms = ttl_s > 0 ? (uint64_t)ttl_s * 1000 : 0;

	return ttl_ms < ms ? ttl_ms : ms;
}

static int parse_a(const unsigned char *message, int len, union fl_sockaddr *addrs, int *count,
		   uint64_t *ttl_ms)
{
	struct ares_addrttl *found = fl_new(ANSWER_MAX * sizeof(*found));
	int rc = ares_parse_a_reply(message, len, NULL, found, count);

	for (int i = 0; rc == ARES_SUCCESS && i < *count; i++) {
		addrs[i].in.sin_family = AF_INET;
		addrs[i].in.sin_addr = found[i].ipaddr;
		*ttl_ms = least(*ttl_ms, found[i].ttl);
	}
	free(found);
	return rc;
}

static int parse_aaaa(const unsigned char *message, int len, union fl_sockaddr *addrs, int *count,
		      uint64_t *ttl_ms)
{
	struct ares_addr6ttl *found = fl_new(ANSWER_MAX * sizeof(*found));
	int rc = ares_parse_aaaa_reply(message, len, NULL, found, count);

	for (int i = 0; rc == ARES_SUCCESS && i < *count; i++) {
		addrs[i].in6.sin6_family = AF_INET6;
		memcpy(&addrs[i].in6.sin6_addr, &found[i].ip6addr, sizeof(found[i].ip6addr));
		*ttl_ms = least(*ttl_ms, found[i].ttl);
	}
	free(found);
	return rc;
}

static void on_reply(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct question *question = arg;
	union fl_sockaddr *addrs = NULL;
	uint64_t ttl_ms = UINT64_MAX;
	int count = ANSWER_MAX;

	(void)timeouts;
	if (status == ARES_EBADNAME && message == NULL) {
		status = ARES_ENOTFOUND; /* no question can be made of it, so no such name exists */
	} else if (status != ARES_EDESTRUCTION && !fl_mem_has(FL_DNS_MEMORY)) {
		status = ARES_ENOMEM; /* the question is asked again */
	}
	if (status == ARES_SUCCESS) {
		addrs = fl_new(ANSWER_MAX * sizeof(*addrs));
		status = question->family == AF_INET
				 ? parse_a(message, len, addrs, &count, &ttl_ms)
				 : parse_aaaa(message, len, addrs, &count, &ttl_ms);
		if (status == ARES_SUCCESS && count <= 0) {
			status = ARES_ENODATA;
		}
	}
	question->cb(question->user, status_of(status), addrs,
		     status == ARES_SUCCESS ? (size_t)count : 0, ttl_ms);
	free(addrs);
	free(question);
}

void fl_dns_ask(struct fl_dns *dns, const char *host, int family, fl_dns_cb cb, void *user)
{
	struct question *question;

	if (!open_channel(dns)) {
		cb(user, FL_DNS_NO_ANSWER, NULL, 0, 0);
		return;
	}
	question = fl_new(sizeof(*question));
	*question = (struct question){.family = family, .cb = cb, .user = user};
	ares_query(dns->channel, host, ns_c_in, family == AF_INET ? ns_t_a : ns_t_aaaa, on_reply,
		   question);
}

void fl_dns_tick(struct fl_dns *dns)
{
	if (dns->has_channel) {
		ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	}
}

/* --- where to look ------------------------------------------------------------------------------ */

struct candidates {
	char **items;
	size_t count;
};

static void add_candidate(struct candidates *all, const char *host, const char *domain)
{
	all->items = fl_grow(all->items, all->count + 1, sizeof(all->items[0]));
	all->items[all->count++] =
		domain[0] != '\0' ? fl_format("%s.%s", host, domain) : fl_strdup(host);
}

static unsigned dots_of(const char *host)
{
	unsigned dots = 0;

	for (; *host != '\0'; host++) {
		dots += *host == '.';
	}
	return dots;
}

/* Follows resolv.conf(5). */
char **fl_dns_candidates(struct fl_dns *dns, const char *host, size_t *ret_count)
{
	struct candidates all = {0};
	const struct fl_search_list *search = &dns->search;
	size_t len = strlen(host);
	bool is_complete = len > 0 && host[len - 1] == '.';
	bool is_first = is_complete || dots_of(host) >= search->ndots;

	if (is_first) {
		add_candidate(&all, host, "");
	}
	for (size_t i = 0; i < search->count && !is_complete; i++) {
		if (strcmp(search->domains[i], ".") != 0) {
			add_candidate(&all, host, search->domains[i]);
		}
	}
	if (!is_first) {
		add_candidate(&all, host, "");
	}
	*ret_count = all.count;
	return all.items;
}

/* RFC 6761 section 6.3: localhost is never asked of DNS. */
static bool is_localhost(const char *host)
{
	static const char localhost[] = "localhost";
	size_t len = strlen(host), tail = sizeof(localhost) - 1;

	return len >= tail && strcasecmp(host + len - tail, localhost) == 0 &&
	       (len == tail || host[len - tail - 1] == '.');
}

static union fl_sockaddr *loopback(int family)
{
	union fl_sockaddr *addr = fl_new(sizeof(*addr));

	*addr = fl_sockaddr_loopback(family, 0);
	return addr;
}

union fl_sockaddr *fl_dns_local(struct fl_dns *dns, const char *host, int family, size_t *ret_count)
{
	union fl_sockaddr *addrs = fl_hosts_find(&dns->hosts, host, family, ret_count);

	if (addrs == NULL && is_localhost(host)) {
		*ret_count = 1;
		return loopback(family);
	}
	return addrs;
}

/* --- life --------------------------------------------------------------------------------------- */

struct fl_dns *fl_dns_new(uv_loop_t *loop, struct fl_log *log)
{
	struct fl_dns *dns = fl_new(sizeof(*dns));

	dns->loop = loop;
	fl_hosts_open(&dns->hosts, FL_HOSTS_PATH, log);
	/* These read resolv.conf, which the sandbox forbids later. */
	fl_search_list_read(&dns->search, RESOLV_CONF);
	(void)open_channel(dns);
	return dns;
}

void fl_dns_close(struct fl_dns *dns)
{
	if (dns->has_channel) {
		ares_destroy(dns->channel);
		ares_library_cleanup();
	}
	fl_hosts_close(&dns->hosts);
	fl_search_list_done(&dns->search);
	free(dns); /* its watchers are closed and free themselves */
}
