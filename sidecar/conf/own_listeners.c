/* SPDX-License-Identifier: GPL-3.0-or-later */
/* own_listeners - a sorted array of places. Listeners with the same place are neighbours there, the first one of the file
 * first. */
#include "conf/own_listeners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* What an address takes of its port. */
enum extent {
	EXTENT_ANY, /* all addresses of both families */
	EXTENT_ANY4,
	EXTENT_ANY6,
	EXTENT_IP4, /* one address */
	EXTENT_IP6,
	EXTENT_UNIX,
	EXTENTS
};

struct fl_place {
	enum extent extent;
	uint16_t port;
	uint8_t ip[16];   /* zeros if it takes more than one */
	const char *path; /* EXTENT_UNIX */
	size_t at;        /* in items */
};

/* --- places ----------------------------------------------------------------------------------- */

static struct fl_place place_of(const struct fl_addr *addr)
{
	struct fl_place place = {.port = addr->port};

	if (addr->kind == FL_ADDR_UNIX) {
		return (struct fl_place){.extent = EXTENT_UNIX, .path = addr->sa.un.sun_path};
	}
	if (addr->kind == FL_ADDR_ANY) {
		place.extent = EXTENT_ANY;
	} else if (addr->sa.any.sa_family == AF_INET) {
		place.extent = fl_addr_is_unspecified(addr) ? EXTENT_ANY4 : EXTENT_IP4;
		memcpy(place.ip, &addr->sa.in.sin_addr, sizeof(addr->sa.in.sin_addr));
	} else {
		place.extent = fl_addr_is_unspecified(addr) ? EXTENT_ANY6 : EXTENT_IP6;
		memcpy(place.ip, &addr->sa.in6.sin6_addr, sizeof(addr->sa.in6.sin6_addr));
	}
	return place;
}

static int compare_places(const struct fl_place *a, const struct fl_place *b)
{
	if (a->extent != b->extent) {
		return a->extent < b->extent ? -1 : 1;
	}
	if (a->extent == EXTENT_UNIX) {
		return strcmp(a->path, b->path);
	}
	if (a->port != b->port) {
		return a->port < b->port ? -1 : 1;
	}
	return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static int compare_sorted(const void *left, const void *right)
{
	const struct fl_place *a = left, *b = right;
	int rc = compare_places(a, b);

	return rc != 0 ? rc : a->at < b->at ? -1 : a->at > b->at;
}

/* The index of the first place that is not before `wanted`. */
static size_t lower_bound(const struct fl_own_listeners *all, const struct fl_place *wanted)
{
	size_t from = 0, to = all->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare_places(&all->places[middle], wanted) < 0) {
			from = middle + 1;
		} else {
			to = middle;
		}
	}
	return from;
}

/* Lowers *first to the item of the first listener at this very place. */
static void try_place(const struct fl_own_listeners *all, const struct fl_place *wanted,
		      size_t *first)
{
	size_t i = lower_bound(all, wanted);

	if (i < all->count && compare_places(&all->places[i], wanted) == 0 &&
	    all->places[i].at < *first) {
		*first = all->places[i].at;
	}
}

/* The same for listeners of that extent at that port, whatever their address. Passes all of them. */
static void try_extent(const struct fl_own_listeners *all, enum extent extent, uint16_t port,
		       size_t *first)
{
	const struct fl_place wanted = {.extent = extent, .port = port};

	for (size_t i = lower_bound(all, &wanted);
	     i < all->count && all->places[i].extent == extent && all->places[i].port == port;
	     i++) {
		*first = all->places[i].at < *first ? all->places[i].at : *first;
	}
}

/* --- collecting ------------------------------------------------------------------------------- */

static void add_listener(struct fl_own_listeners *all, struct fl_build *build, const char *kind,
			 const char *name, const char *key, const struct fl_addr *addr)
{
	if (addr->kind != FL_ADDR_NONE) {
		all->items = fl_grow(all->items, all->count + 1, sizeof(*all->items));
		all->items[all->count++] = (struct fl_own_listener){
			.addr = addr,
			.kind = kind,
			.name = name,
			.key = key,
			.line = fl_build_has(build, kind, name, key)
					? fl_build_line(build, kind, name, key)
					: 0};
	}
}

static void add_unix_listener(struct fl_own_listeners *all, struct fl_build *build,
			      const char *kind, const char *key, const char *path,
			      struct fl_addr *addr)
{
	addr->kind = FL_ADDR_UNIX;
	addr->sa.un.sun_family = AF_UNIX;
	/* Its length was checked when it was set. */
	(void)snprintf(addr->sa.un.sun_path, sizeof(addr->sa.un.sun_path), "%s", path);
	add_listener(all, build, kind, NULL, key, addr);
}

static void add_all(struct fl_own_listeners *all, struct fl_build *build)
{
	struct fl_conf *conf = build->conf;

	for (size_t i = 0; i < conf->sidecar.inbound_count; i++) {
		add_listener(all, build, "sidecar", NULL, "inbound", &conf->sidecar.inbound[i]);
	}
	for (size_t i = 0; i < conf->sidecar.outbound_count; i++) {
		add_listener(all, build, "sidecar", NULL, "outbound", &conf->sidecar.outbound[i]);
	}
	add_listener(all, build, "sidecar", NULL, "admin", &conf->sidecar.admin);
	if (conf->sidecar.control != NULL) {
		add_unix_listener(all, build, "sidecar", "control", conf->sidecar.control,
				  &all->paths[0]);
	}
	add_unix_listener(all, build, "agent", "socket", conf->agent.socket, &all->paths[1]);
	for (size_t i = 0; i < conf->service_count; i++) {
		if (conf->services[i].name != NULL) {
			add_listener(all, build, "service", conf->services[i].name, "listen",
				     &conf->services[i].listen);
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		if (conf->upstreams[i].name != NULL) {
			add_listener(all, build, "upstream", conf->upstreams[i].name, "listen",
				     &conf->upstreams[i].listen);
		}
	}
}

static int compare_lines(const void *left, const void *right)
{
	const struct fl_own_listener *a = left;
	const struct fl_own_listener *b = right;

	return a->line < b->line ? -1 : a->line > b->line;
}

void fl_own_listeners_collect(struct fl_own_listeners *all, struct fl_build *build)
{
	add_all(all, build);
	all->places = fl_new((all->count + 1) * sizeof(*all->places));
	if (all->count > 1) {
		qsort(all->items, all->count, sizeof(*all->items), compare_lines);
	}
	for (size_t i = 0; i < all->count; i++) {
		all->places[i] = place_of(all->items[i].addr);
		all->places[i].at = i;
	}
	if (all->count > 1) {
		qsort(all->places, all->count, sizeof(*all->places), compare_sorted);
	}
}

void fl_own_listeners_done(struct fl_own_listeners *all)
{
	free(all->items);
	free(all->places);
	*all = (struct fl_own_listeners){0};
}

/* --- questions -------------------------------------------------------------------------------- */

static const struct fl_own_listener *item(const struct fl_own_listeners *all, size_t at)
{
	return at < all->count ? &all->items[at] : NULL;
}

/* Whom it meets: everything of its families if it takes all addresses, otherwise what has its address or takes all. */
const struct fl_own_listener *fl_own_listeners_collision(const struct fl_own_listeners *all,
							 size_t at)
{
	static const bool meets[EXTENTS][EXTENTS] = {
		[EXTENT_ANY] = {true, true, true, true, true, false},
		[EXTENT_ANY4] = {[EXTENT_ANY] = true, [EXTENT_ANY4] = true, [EXTENT_IP4] = true},
		[EXTENT_ANY6] = {[EXTENT_ANY] = true, [EXTENT_ANY6] = true, [EXTENT_IP6] = true},
		[EXTENT_IP4] = {[EXTENT_ANY] = true, [EXTENT_ANY4] = true},
		[EXTENT_IP6] = {[EXTENT_ANY] = true, [EXTENT_ANY6] = true},
	};
	const struct fl_place place = place_of(all->items[at].addr);
	size_t first = at;

	try_place(all, &place, &first);
	for (enum extent other = 0; other < EXTENT_UNIX; other++) {
		if (meets[place.extent][other]) {
			try_extent(all, other, place.port, &first);
		}
	}
	return first < at ? item(all, first) : NULL;
}

const struct fl_own_listener *fl_own_listeners_at_port(const struct fl_own_listeners *all,
						       uint16_t port)
{
	size_t first = all->count;

	for (enum extent extent = 0; extent < EXTENT_UNIX; extent++) {
		try_extent(all, extent, port, &first);
	}
	return item(all, first);
}

static bool is_way_back(const struct fl_own_listener *listener, const char *kind)
{
	return strcmp(listener->kind, kind) == 0 || strcmp(listener->key, "inbound") == 0 ||
	       strcmp(listener->key, "outbound") == 0;
}

static void try_ways_back(const struct fl_own_listeners *all, const char *kind,
			  const struct fl_place *wanted, size_t *first)
{
	for (size_t i = lower_bound(all, wanted);
	     i < all->count && compare_places(&all->places[i], wanted) == 0; i++) {
		size_t at = all->places[i].at;

		if (at < *first && is_way_back(&all->items[at], kind)) {
			*first = at;
			return;
		}
	}
}

const struct fl_own_listener *fl_own_listeners_way_back(const struct fl_own_listeners *all,
							const char *kind, const struct fl_addr *to)
{
	size_t first = all->count;
	struct fl_place wanted;

	if (to->kind != FL_ADDR_UNIX && to->kind != FL_ADDR_IP) {
		return NULL;
	}
	wanted = place_of(to);
	try_ways_back(all, kind, &wanted, &first);
	if (to->kind == FL_ADDR_IP && fl_addr_is_loopback(to)) {
		const struct fl_place any = {.extent = EXTENT_ANY, .port = to->port};
		const struct fl_place of_family = {
			.extent = wanted.extent == EXTENT_IP4 ? EXTENT_ANY4 : EXTENT_ANY6,
			.port = to->port};

		try_ways_back(all, kind, &any, &first);
		try_ways_back(all, kind, &of_family, &first);
	}
	return item(all, first);
}

/* --- messages --------------------------------------------------------------------------------- */

const char *fl_own_listener_describe(const struct fl_own_listener *listener,
				     char buf[FL_OWN_LISTENER_TEXT])
{
	int len = snprintf(buf, FL_OWN_LISTENER_TEXT, "[%s%s%s] %s", listener->kind,
			   listener->name != NULL ? " " : "",
			   listener->name != NULL ? listener->name : "", listener->key);

	if (len < 0 || len >= FL_OWN_LISTENER_TEXT) {
		return buf;
	}
	if (listener->line != 0) {
		(void)snprintf(buf + len, FL_OWN_LISTENER_TEXT - (size_t)len, " in line %u",
			       listener->line);
	} else {
		(void)snprintf(buf + len, FL_OWN_LISTENER_TEXT - (size_t)len, ", the default");
	}
	return buf;
}
