/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Upstreams and their addresses.
 *
 * Happy path: each `to` entry is an item; an IP address is its own answer, a name is asked for by c-ares now and
 * whenever its TTL (within bounds) is over. An upstream's targets are the answers of its items in order; when they
 * differ from what was announced, they are announced.
 *
 * Failure: a name that does not resolve keeps its last answer and is asked for again with back-off; a change of
 * trouble is logged, not every try. Without any answer the upstream has no targets, and its connections are refused
 * with `no_address`. Until that is known, a name that is new in a configuration leaves the addresses of the one before.
 *
 * Upstreams of captured traffic: their networks and the answers of their names make one table, which is made anew and
 * announced when an answer is another one. A name without any answer is in it, too: what it may stand for is refused.
 *
 * c-ares runs only where a name has to be resolved: its sockets are polled by the loop, its time-outs by our timer. */
#include "proxy/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"

#define MIN_TTL_MS 5000u
#define MAX_TTL_MS 300000u
#define MIN_BACKOFF_MS 500u
#define MAX_BACKOFF_MS 15000u
#define ARES_TICK_MS 200u /* while a query is under way */

struct item {
	struct route *route;
	char *host; /* NULL: an IP address, answers[0] */
	uint16_t port;
	union fl_sockaddr *answers;
	size_t answer_count;
	bool asking;
	uint64_t due_ms;     /* uv_now() time of the next question */
	uint64_t backoff_ms; /* 0: the last question was answered */
};

struct route {
	struct fl_resolver *resolver;
	const struct fl_conf_upstream *upstream; /* of the resolver's conf */
	char *name;
	struct item *items;
	size_t item_count;
	struct fl_targets *announced;
};

struct watcher {
	struct watcher *next;
	uv_poll_t poll;
	struct fl_resolver *resolver;
	ares_socket_t fd;
};

struct fl_resolver {
	uv_loop_t *loop;
	struct fl_log *log;
	const struct fl_resolver_events *events;
	void *user;
	struct route *routes;
	size_t route_count;
	uv_timer_t timer;
	bool has_channel;
	ares_channel channel;
	struct watcher *watchers;
	bool is_setting; /* the table is returned, not announced */
	bool closing;
};

static void on_timer(uv_timer_t *timer);

/* --- c-ares on the loop ------------------------------------------------------------------------ */

static void on_watcher_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct watcher, poll));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watcher *watcher = FL_CONTAINER_OF(poll, struct watcher, poll);
	bool broken = status < 0;

	ares_process_fd(watcher->resolver->channel,
			broken || (events & UV_READABLE) != 0 ? watcher->fd : ARES_SOCKET_BAD,
			broken || (events & UV_WRITABLE) != 0 ? watcher->fd : ARES_SOCKET_BAD);
}

static struct watcher *watch(struct fl_resolver *resolver, ares_socket_t fd)
{
	struct watcher *watcher;

	LL_SEARCH_SCALAR(resolver->watchers, watcher, fd, fd);
	if (watcher == NULL) {
		watcher = fl_new(sizeof(*watcher));
		watcher->resolver = resolver;
		watcher->fd = fd;
		FL_REQUIRE(uv_poll_init(resolver->loop, &watcher->poll, fd) == 0);
		LL_PREPEND(resolver->watchers, watcher);
	}
	return watcher;
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct fl_resolver *resolver = data;
	struct watcher *watcher = watch(resolver, fd);

	if (readable != 0 || writable != 0) {
		(void)uv_poll_start(&watcher->poll,
				    (readable != 0 ? UV_READABLE : 0) |
					    (writable != 0 ? UV_WRITABLE : 0),
				    on_poll);
		return;
	}
	LL_DELETE(resolver->watchers, watcher);
	(void)uv_poll_stop(&watcher->poll);
	uv_close((uv_handle_t *)&watcher->poll, on_watcher_closed);
}

static bool open_channel(struct fl_resolver *resolver)
{
	struct ares_options options = {.sock_state_cb = on_socket_state,
				       .sock_state_cb_data = resolver,
				       .timeout = 2000,
				       .tries = 2};

	if (!resolver->has_channel) {
		resolver->has_channel =
			ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS &&
			ares_init_options(&resolver->channel, &options,
					  ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS |
						  ARES_OPT_TRIES) == ARES_SUCCESS;
	}
	return resolver->has_channel;
}

/* --- announcing -------------------------------------------------------------------------------- */

static bool is_captured(const struct route *route)
{
	return route->upstream->listen.kind == FL_ADDR_NONE;
}

static void add_answers(struct fl_routes *routes, const struct item *item,
			struct fl_port_range ports, uint32_t number)
{
	for (size_t i = 0; i < item->answer_count; i++) {
		struct fl_cidr one;

		if (fl_cidr_of(&item->answers[i].any, &one)) {
			fl_routes_add(routes, &one, ports, number);
		}
	}
	if (item->answer_count == 0) {
		fl_routes_add_unknown(routes, ports, number);
	}
}

/* An upstream's destinations with a name are its items, in order. */
static void add_names(struct fl_routes *routes, const struct route *route, uint32_t number)
{
	const struct item *item = route->items;

	for (size_t i = 0; i < route->upstream->dest_count; i++) {
		const struct fl_conf_dest *dest = &route->upstream->dests[i];

		if (dest->host != NULL) {
			add_answers(routes, item++, dest->ports, number);
		}
	}
}

static void add_networks(struct fl_routes *routes, const struct route *route, uint32_t number)
{
	for (size_t i = 0; i < route->upstream->dest_count; i++) {
		const struct fl_conf_dest *dest = &route->upstream->dests[i];

		if (dest->host == NULL) {
			fl_routes_add(routes, &dest->net, dest->ports, number);
		}
	}
}

/* An address that the INI writes goes before the same one that a name has. */
static struct fl_routes *make_routes(const struct fl_resolver *resolver)
{
	struct fl_routes *routes = fl_routes_new();

	for (size_t r = 0; r < resolver->route_count; r++) {
		if (is_captured(&resolver->routes[r])) {
			add_networks(routes, &resolver->routes[r], (uint32_t)r);
		}
	}
	for (size_t r = 0; r < resolver->route_count; r++) {
		if (is_captured(&resolver->routes[r])) {
			add_names(routes, &resolver->routes[r], (uint32_t)r);
		}
	}
	return routes;
}

static void announce_routes(struct fl_resolver *resolver)
{
	struct fl_routes *routes = make_routes(resolver);

	resolver->events->on_routes(resolver->user, routes);
	fl_routes_unref(routes);
}

/* even_nothing: also that there is no address, which ends those of an earlier configuration. */
static void announce(struct route *route, bool even_nothing)
{
	struct fl_targets *targets;
	size_t count = 0;

	for (size_t i = 0; i < route->item_count; i++) {
		count += route->items[i].answer_count;
	}
	targets = fl_targets_new(count);
	count = 0;
	for (size_t i = 0; i < route->item_count; i++) {
		for (size_t k = 0; k < route->items[i].answer_count; k++) {
			targets->items[count++] = route->items[i].answers[k];
		}
	}
	if ((count == 0 && !even_nothing) ||
	    (route->announced != NULL && fl_targets_equal(route->announced, targets))) {
		fl_targets_unref(targets);
		return;
	}
	fl_targets_unref(route->announced);
	route->announced = targets;
	if (!is_captured(route)) {
		route->resolver->events->on_targets(route->resolver->user, route->name, targets);
	} else if (!route->resolver->is_setting) {
		announce_routes(route->resolver);
	}
}

/* --- asking ------------------------------------------------------------------------------------ */

static void set_timer(struct fl_resolver *resolver)
{
	uint64_t now = uv_now(resolver->loop), at = UINT64_MAX;

	for (size_t r = 0; r < resolver->route_count; r++) {
		for (size_t i = 0; i < resolver->routes[r].item_count; i++) {
			const struct item *item = &resolver->routes[r].items[i];
			uint64_t next = item->asking ? now + ARES_TICK_MS : item->due_ms;

			if (item->host != NULL && next < at) {
				at = next;
			}
		}
	}
	if (at != UINT64_MAX && !resolver->closing) {
		FL_REQUIRE(uv_timer_start(&resolver->timer, on_timer, at > now ? at - now : 0, 0) ==
			   0);
	}
}

static int compare_answers(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(union fl_sockaddr));
}

static void take_answer(struct item *item, const struct ares_addrinfo *info)
{
	uint64_t ttl_ms = MAX_TTL_MS, now = uv_now(item->route->resolver->loop);
	size_t count = 0;

	for (const struct ares_addrinfo_node *node = info->nodes; node != NULL;
	     node = node->ai_next) {
		count++;
	}
	free(item->answers);
	item->answers = fl_new((count + 1) * sizeof(item->answers[0]));
	item->answer_count = 0;
	for (const struct ares_addrinfo_node *node = info->nodes; node != NULL;
	     node = node->ai_next) {
		union fl_sockaddr *answer = &item->answers[item->answer_count++];
		uint64_t node_ms = node->ai_ttl > 0 ? (uint64_t)node->ai_ttl * 1000 : 0;

		memcpy(answer, node->ai_addr, (size_t)node->ai_addrlen);
		if (answer->any.sa_family == AF_INET6) {
			answer->in6.sin6_port = htons(item->port);
		} else {
			answer->in.sin_port = htons(item->port);
		}
		ttl_ms = node_ms < ttl_ms ? node_ms : ttl_ms;
	}
	if (is_captured(item->route)) { /* servers turn the order, which means nothing here */
		qsort(item->answers, item->answer_count, sizeof(item->answers[0]), compare_answers);
	}
	item->due_ms = now + (ttl_ms < MIN_TTL_MS ? MIN_TTL_MS : ttl_ms);
}

static bool is_asking(const struct route *route)
{
	bool asking = false;

	for (size_t i = 0; i < route->item_count; i++) {
		asking = asking || route->items[i].asking;
	}
	return asking;
}

static void take_failure(struct item *item, int status)
{
	struct fl_resolver *resolver = item->route->resolver;

	if (item->backoff_ms == 0) {
		fl_log_msg(resolver->log, FL_LOG_WARN,
			   "[upstream %s]: %s does not resolve (%s); %s", item->route->name,
			   item->host, ares_strerror(status),
			   item->answer_count > 0 ? "keeping the last addresses"
						  : "its connections are refused until it does");
		item->backoff_ms = MIN_BACKOFF_MS;
	} else if (item->backoff_ms < MAX_BACKOFF_MS) {
		item->backoff_ms *= 2;
	}
	item->due_ms = uv_now(resolver->loop) + item->backoff_ms;
	announce(item->route, !is_asking(item->route));
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct item *item = arg;
	struct fl_resolver *resolver = item->route->resolver;

	(void)timeouts;
	item->asking = false;
	if (status == ARES_ECANCELLED || status == ARES_EDESTRUCTION) {
		return; /* the configuration that asked is being replaced */
	}
	if (status == ARES_SUCCESS && info->nodes != NULL) {
		if (item->backoff_ms != 0) {
			fl_log_msg(resolver->log, FL_LOG_INFO, "[upstream %s]: %s resolves",
				   item->route->name, item->host);
			item->backoff_ms = 0;
		}
		take_answer(item, info);
		announce(item->route, false);
	} else {
		take_failure(item, status == ARES_SUCCESS ? ARES_ENODATA : status);
	}
	if (info != NULL) {
		ares_freeaddrinfo(info);
	}
	set_timer(resolver);
}

static void ask(struct item *item)
{
	struct fl_resolver *resolver = item->route->resolver;
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	if (!open_channel(resolver)) {
		take_failure(item, ARES_ENOTINITIALIZED);
		return;
	}
	item->asking = true;
	ares_getaddrinfo(resolver->channel, item->host, NULL, &hints, on_answer, item);
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_resolver *resolver = FL_CONTAINER_OF(timer, struct fl_resolver, timer);
	uint64_t now = uv_now(resolver->loop);

	if (resolver->has_channel) {
		ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	}
	for (size_t r = 0; r < resolver->route_count; r++) {
		for (size_t i = 0; i < resolver->routes[r].item_count; i++) {
			struct item *item = &resolver->routes[r].items[i];

			if (item->host != NULL && !item->asking && item->due_ms <= now) {
				ask(item);
			}
		}
	}
	set_timer(resolver);
}

/* --- configuration ----------------------------------------------------------------------------- */

/* DNS may be down just now: what an earlier configuration knew of the same name is still the best there is. */
static void inherit_answer(struct item *item, const struct route *routes, size_t route_count)
{
	for (size_t r = 0; r < route_count; r++) {
		for (size_t i = 0; i < routes[r].item_count; i++) {
			const struct item *old = &routes[r].items[i];

			if (old->host != NULL && strcmp(old->host, item->host) == 0 &&
			    old->port == item->port && old->answer_count > 0) {
				item->answers =
					fl_new(old->answer_count * sizeof(item->answers[0]));
				memcpy(item->answers, old->answers,
				       old->answer_count * sizeof(item->answers[0]));
				item->answer_count = old->answer_count;
				return;
			}
		}
	}
}

static void build_captured(struct route *route, const struct route *old, size_t old_count)
{
	const struct fl_conf_upstream *upstream = route->upstream;

	route->items = fl_new((upstream->dest_count + 1) * sizeof(route->items[0]));
	for (size_t i = 0; i < upstream->dest_count; i++) {
		if (upstream->dests[i].host != NULL) {
			struct item *item = &route->items[route->item_count++];

			item->route = route;
			item->host = fl_strdup(upstream->dests[i].host);
			inherit_answer(item, old, old_count);
		}
	}
}

static void build_fixed(struct route *route, const struct route *old, size_t old_count)
{
	const struct fl_conf_upstream *upstream = route->upstream;

	route->item_count = upstream->to_count;
	route->items = fl_new((upstream->to_count + 1) * sizeof(route->items[0]));
	for (size_t i = 0; i < upstream->to_count; i++) {
		struct item *item = &route->items[i];
		const struct fl_addr *to = &upstream->to[i];

		item->route = route;
		item->port = to->port;
		if (to->kind == FL_ADDR_NAME) {
			item->host = fl_strdup(to->host);
			inherit_answer(item, old, old_count);
		} else {
			item->answers = fl_new(sizeof(item->answers[0]));
			item->answers[0] = to->sa;
			item->answer_count = 1;
		}
	}
}

static void free_routes(struct route *routes, size_t count)
{
	for (size_t r = 0; r < count; r++) {
		for (size_t i = 0; i < routes[r].item_count; i++) {
			free(routes[r].items[i].host);
			free(routes[r].items[i].answers);
		}
		free(routes[r].items);
		free(routes[r].name);
		fl_targets_unref(routes[r].announced);
	}
	free(routes);
}

struct fl_resolver *fl_resolver_new(uv_loop_t *loop, struct fl_log *log,
				    const struct fl_resolver_events *events, void *user)
{
	struct fl_resolver *resolver = fl_new(sizeof(*resolver));

	*resolver = (struct fl_resolver){.loop = loop, .log = log, .events = events, .user = user};
	FL_REQUIRE(uv_timer_init(loop, &resolver->timer) == 0);
	return resolver;
}

struct fl_routes *fl_resolver_set(struct fl_resolver *resolver, const struct fl_conf *conf)
{
	struct route *old = resolver->routes;
	size_t old_count = resolver->route_count;

	if (resolver->has_channel) {
		ares_cancel(resolver->channel);
	}
	resolver->route_count = conf->upstream_count;
	resolver->routes = fl_new((conf->upstream_count + 1) * sizeof(resolver->routes[0]));
	resolver->is_setting = true;
	for (size_t r = 0; r < conf->upstream_count; r++) {
		struct route *route = &resolver->routes[r];

		route->resolver = resolver;
		route->upstream = &conf->upstreams[r];
		route->name = fl_strdup(conf->upstreams[r].name);
		if (is_captured(route)) {
			build_captured(route, old, old_count);
		} else {
			build_fixed(route, old, old_count);
		}
		announce(route, false);
	}
	resolver->is_setting = false;
	free_routes(old, old_count);
	set_timer(resolver);
	return make_routes(resolver);
}

struct fl_routes *fl_resolver_imagine(const struct fl_resolver *resolver,
				      const struct fl_conf *conf)
{
	struct fl_resolver imagined = {.route_count = conf->upstream_count};
	struct fl_routes *routes;

	imagined.routes = fl_new((conf->upstream_count + 1) * sizeof(imagined.routes[0]));
	for (size_t r = 0; r < conf->upstream_count; r++) {
		imagined.routes[r].upstream = &conf->upstreams[r];
		if (is_captured(&imagined.routes[r])) {
			build_captured(&imagined.routes[r], resolver->routes,
				       resolver->route_count);
		}
	}
	routes = make_routes(&imagined);
	free_routes(imagined.routes, imagined.route_count);
	return routes;
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_resolver *resolver = FL_CONTAINER_OF(handle, struct fl_resolver, timer);

	free_routes(resolver->routes, resolver->route_count);
	free(resolver);
}

void fl_resolver_close(struct fl_resolver *resolver)
{
	resolver->closing = true;
	if (resolver->has_channel) {
		ares_destroy(resolver->channel);
		ares_library_cleanup();
	}
	uv_close((uv_handle_t *)&resolver->timer, on_closed);
}
