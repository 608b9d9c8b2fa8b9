/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Upstreams and their addresses.
 *
 * Happy path: each name in `to` is an item; so is each address of a fixed listener. Whenever a name
 * is answered, the resolver rebuilds the table of captured traffic if something in it has changed,
 * then the targets of fixed listeners. Then it tells the workers about the answer, because
 * connections may wait for it. With a new INI the table and all targets are built before the workers
 * hear of it, and go to them together with the INI.
 *
 * Failure: a name that does not resolve keeps its last answer; the log has one line for each change
 * of trouble, not for every try. A name without any answer is in the table, too: traffic that it
 * may cover is refused. A fixed upstream without an address has no targets. */
#include "server/resolver_internal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "server/family_order.h"

#define FIRST_ROUND_MS 2000u

/* In the order of the table's names. */
static void list_entries(struct fl_resolver *resolver)
{
	resolver->entry_count = 0;
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		for (size_t i = 0; i < resolver->upstreams[r].item_count; i++) {
			if (resolver->upstreams[r].items[i].host != NULL) {
				resolver->entries =
					fl_grow(resolver->entries, resolver->entry_count + 1,
						sizeof(struct fl_name *));
				resolver->entries[resolver->entry_count++] =
					resolver->upstreams[r].items[i].name;
			}
		}
	}
}

/* --- targets ------------------------------------------------------------------------------------- */

static void add_targets(struct fl_resolver *resolver, const struct fl_resolved *resolved,
			const struct fl_resolved_item *item, struct fl_targets *ret)
{
	unsigned first = 0;

	if (item->name == NULL) {
		ret->items[ret->count++] = item->addr;
		return;
	}
	first = fl_family_goes_first(item->name);
	for (unsigned k = 0; k < 2; k++) {
		const struct fl_name_half *half = &item->name->halves[k == 0 ? first : !first];

		for (size_t n = 0; n < half->count; n++) {
			union fl_sockaddr addr = half->items[n].addr;

			if (!fl_resolver_may_have(resolver, resolver->table, resolved, item,
						  &half->items[n], true)) {
				continue;
			}
			if (addr.any.sa_family == AF_INET) {
				addr.in.sin_port = htons(item->ports.first);
			} else {
				addr.in6.sin6_port = htons(item->ports.first);
			}
			ret->items[ret->count++] = addr;
		}
	}
}

/* Returns its addresses as they are now: one reference. */
static struct fl_targets *make_targets(struct fl_resolver *resolver,
				       const struct fl_resolved *resolved)
{
	struct fl_targets *targets;
	bool others_withhold = resolver->withholds;
	size_t count = 0;

	for (size_t i = 0; i < resolved->item_count; i++) {
		const struct fl_name *name = resolved->items[i].name;

		count += name != NULL ? name->halves[0].count + name->halves[1].count : 1;
	}
	targets = fl_targets_new(count);
	targets->count = 0;
	resolver->withholds = false;
	for (size_t i = 0; i < resolved->item_count; i++) {
		add_targets(resolver, resolved, &resolved->items[i], targets);
	}
	targets->withholds = resolver->withholds;
	resolver->withholds = resolver->withholds || others_withhold;
	return targets;
}

static void publish_targets(struct fl_resolver *resolver, struct fl_resolved *resolved)
{
	struct fl_targets *targets = make_targets(resolver, resolved);

	if (fl_targets_equal(resolved->published, targets)) {
		fl_targets_unref(targets);
		return;
	}
	fl_targets_unref(resolved->published);
	resolved->published = targets;
	resolver->events->on_targets(resolver->user, resolved->upstream->name, targets);
}

/* The order of its addresses may have changed. */
static void publish_targets_of(struct fl_resolver *resolver, const struct fl_name *name)
{
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		struct fl_resolved *resolved = &resolver->upstreams[r];
		bool has = false;

		for (size_t i = 0; i < resolved->item_count; i++) {
			has = has || resolved->items[i].name == name;
		}
		if (has && !fl_resolver_is_captured(resolved)) {
			publish_targets(resolver, resolved);
		}
	}
}

static void publish_all_targets(struct fl_resolver *resolver)
{
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		if (!fl_resolver_is_captured(&resolver->upstreams[r])) {
			publish_targets(resolver, &resolver->upstreams[r]);
		}
	}
}

/* The first targets of a new conf; later ones are compared with them. */
static struct fl_target_set *make_all_targets(struct fl_resolver *resolver)
{
	struct fl_target_set *set = fl_target_set_new(resolver->upstream_count);

	for (size_t r = 0; r < resolver->upstream_count; r++) {
		struct fl_resolved *resolved = &resolver->upstreams[r];

		if (!fl_resolver_is_captured(resolved)) {
			resolved->published = make_targets(resolver, resolved);
			set->items[r] = fl_targets_ref(resolved->published);
		}
	}
	return set;
}

static void rebuild_table(struct fl_resolver *resolver)
{
	fl_upstream_map_unref(resolver->table);
	resolver->withholds = resolver->is_outdated = false;
	resolver->table = NULL;
	resolver->table = fl_resolver_make_table(resolver, true);
	resolver->fresh_ms = fl_upstream_map_fresh_ms(resolver->table);
}

/* --- answers ------------------------------------------------------------------------------------- */

static const char *upstream_of(const struct fl_resolver *resolver, const struct fl_name *name)
{
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		for (size_t i = 0; i < resolver->upstreams[r].item_count; i++) {
			if (resolver->upstreams[r].items[i].name == name) {
				return resolver->upstreams[r].upstream->name;
			}
		}
	}
	return "?";
}

static void log_trouble(struct fl_resolver *resolver, struct fl_name *name)
{
	bool is_in_trouble = name->state != FL_NAME_KNOWN;

	if (is_in_trouble == name->is_logged) {
		return;
	}
	name->is_logged = is_in_trouble;
	if (!is_in_trouble) {
		fl_log_msg(resolver->log, FL_LOG_INFO, "[upstream %s]: %s resolves",
			   upstream_of(resolver, name), name->host);
		return;
	}
	fl_log_msg(resolver->log, FL_LOG_WARN, "[upstream %s]: %s does not resolve (%s); %s",
		   upstream_of(resolver, name), name->host, fl_dns_status_text(name->status),
		   fl_name_has_address(name) ? "keeping the last addresses"
					     : "its connections are refused until it does");
}

static void confirm(const struct fl_resolver *resolver, const struct fl_name *name)
{
	for (size_t i = 0; i < resolver->entry_count; i++) {
		if (resolver->entries[i] == name) {
			fl_upstream_map_confirm(resolver->table, i, AF_INET,
						name->halves[0].answered_ms);
			fl_upstream_map_confirm(resolver->table, i, AF_INET6,
						name->halves[1].answered_ms);
		}
	}
}

static void on_answer(void *user, struct fl_name *name, bool differs)
{
	struct fl_resolver *resolver = user;

	log_trouble(resolver, name);
	if (differs || resolver->withholds) {
		resolver->is_outdated = true; /* many answers arrive at once */
		(void)uv_async_send(&resolver->wake);
	} else if (!resolver->is_outdated) {
		publish_targets_of(resolver, name);
		confirm(resolver, name);
		resolver->events->on_answer(resolver->user);
	}
}

static const struct fl_names_events names_events = {.on_answer = on_answer};

void fl_resolver_want(struct fl_resolver *resolver, size_t bit)
{
	for (size_t i = bit; i < resolver->entry_count; i += FL_WANTED_NAMES) {
		fl_name_want(resolver->names, resolver->entries[i], resolver->fresh_ms);
	}
}

static void on_wake(uv_async_t *wake)
{
	struct fl_resolver *resolver = FL_CONTAINER_OF(wake, struct fl_resolver, wake);

	if (resolver->is_outdated) {
		rebuild_table(resolver);
		resolver->events->on_upstream_map(resolver->user, resolver->table);
		publish_all_targets(resolver);
		resolver->events->on_answer(resolver->user);
	}
}

/* --- configuration ----------------------------------------------------------------------------- */

static void build_captured(struct fl_resolved *resolved)
{
	const struct fl_conf_upstream *upstream = resolved->upstream;

	resolved->items = fl_new((upstream->dest_count + 1) * sizeof(resolved->items[0]));
	for (size_t i = 0; i < upstream->dest_count; i++) {
		if (upstream->dests[i].host != NULL) {
			resolved->items[resolved->item_count++] = (struct fl_resolved_item){
				.host = upstream->dests[i].host, .ports = upstream->dests[i].ports};
		}
	}
}

static void build_fixed(struct fl_resolved *resolved)
{
	const struct fl_conf_upstream *upstream = resolved->upstream;

	resolved->item_count = upstream->to_count;
	resolved->items = fl_new((upstream->to_count + 1) * sizeof(resolved->items[0]));
	for (size_t i = 0; i < upstream->to_count; i++) {
		const struct fl_addr *to = &upstream->to[i];

		resolved->items[i] = (struct fl_resolved_item){
			.host = to->kind == FL_ADDR_NAME ? to->host : NULL,
			.addr = to->sa,
			.ports = {to->port, to->port}};
	}
}

static void build_upstreams(struct fl_resolver *resolver, const struct fl_conf *conf)
{
	resolver->upstream_count = conf->upstream_count;
	resolver->upstreams = fl_new((conf->upstream_count + 1) * sizeof(resolver->upstreams[0]));
	for (size_t r = 0; r < conf->upstream_count; r++) {
		struct fl_resolved *resolved = &resolver->upstreams[r];

		resolved->upstream = &conf->upstreams[r];
		if (fl_resolver_is_captured(resolved)) {
			build_captured(resolved);
		} else {
			build_fixed(resolved);
		}
	}
}

static void free_upstreams(struct fl_resolved *upstreams, size_t count)
{
	for (size_t r = 0; r < count; r++) {
		free(upstreams[r].items);
		fl_targets_unref(upstreams[r].published);
	}
	free(upstreams);
}

static bool is_before(const struct fl_resolved *resolved, size_t number, const struct fl_name *name)
{
	for (size_t i = 0; i < number; i++) {
		if (resolved->items[i].name == name) {
			return true;
		}
	}
	return false;
}

static void get_names_of(struct fl_resolver *resolver, struct fl_resolved *resolved)
{
	for (size_t i = 0; i < resolved->item_count; i++) {
		struct fl_resolved_item *item = &resolved->items[i];

		if (item->host != NULL) {
			item->name = fl_names_get(resolver->names, item->host);
			item->is_repeated = is_before(resolved, i, item->name);
		}
	}
}

static void get_names(struct fl_resolver *resolver)
{
	fl_names_begin(resolver->names);
	for (size_t r = 0; r < resolver->upstream_count; r++) {
		get_names_of(resolver, &resolver->upstreams[r]);
	}
	fl_names_end(resolver->names);
}

struct fl_resolver_addresses fl_resolver_set(struct fl_resolver *resolver,
					     const struct fl_conf *conf)
{
	free_upstreams(resolver->upstreams, resolver->upstream_count);
	build_upstreams(resolver, conf);
	get_names(resolver);
	list_entries(resolver);
	if (resolver->first_round_until_ms == 0) {
		resolver->first_round_until_ms = uv_now(resolver->loop) + FIRST_ROUND_MS;
	}
	rebuild_table(resolver);
	return (struct fl_resolver_addresses){.map = fl_upstream_map_ref(resolver->table),
					      .targets = make_all_targets(resolver)};
}

struct fl_upstream_map *fl_resolver_imagine(const struct fl_resolver *resolver,
					    const struct fl_conf *conf)
{
	struct fl_resolver imagined = {.names = resolver->names};
	struct fl_upstream_map *table;

	build_upstreams(&imagined, conf);
	for (size_t r = 0; r < imagined.upstream_count; r++) {
		for (size_t i = 0; i < imagined.upstreams[r].item_count; i++) {
			struct fl_resolved_item *item = &imagined.upstreams[r].items[i];

			if (item->host != NULL) {
				item->name = fl_names_find(resolver->names, item->host);
			}
		}
	}
	table = fl_resolver_make_table(&imagined, false);
	free_upstreams(imagined.upstreams, imagined.upstream_count);
	return table;
}

const char *fl_resolver_first_round(struct fl_resolver *resolver)
{
	const struct fl_name *unasked = fl_names_unasked(resolver->names);

	if (resolver->first_round_until_ms != 0 &&
	    (unasked == NULL || uv_now(resolver->loop) >= resolver->first_round_until_ms)) {
		resolver->first_round_is_over = true;
	}
	return !resolver->first_round_is_over && unasked != NULL ? unasked->host : NULL;
}

struct fl_dns_refusal_counts fl_resolver_refused(const struct fl_resolver *resolver)
{
	return fl_dns_refusals_counts(resolver->refusals);
}

/* --- reports ------------------------------------------------------------------------------------- */

static void describe(const struct fl_resolver *resolver, const struct fl_resolved_item *item,
		     int64_t now, struct fl_resolution *ret)
{
	const struct fl_name *name = item->name;

	*ret = (struct fl_resolution){.host = item->host};
	for (size_t k = 0; name != NULL && k < 2; k++) {
		const struct fl_name_half *half = &name->halves[k];
		int64_t ago = (int64_t)(uv_now(resolver->loop) - half->answered_ms) / 1000;

		if (half->answered_ms != 0 && now - ago > ret->answered) {
			ret->answered = now - ago;
		}
		for (size_t n = 0; n < half->count; n++) {
			if (ret->count < FL_RESOLUTION_ADDRESSES) {
				(void)fl_cidr_of(&half->items[n].addr.any,
						 &ret->addresses[ret->count]);
			}
			ret->count++;
		}
	}
	if (name != NULL && (name->state == FL_NAME_MISSING || name->state == FL_NAME_FAILING)) {
		ret->trouble = fl_dns_status_text(name->status);
	}
}

bool fl_resolver_describe(const struct fl_resolver *resolver, size_t upstream, size_t index,
			  int64_t now, struct fl_resolution *ret)
{
	const struct fl_resolved *resolved = &resolver->upstreams[upstream];

	if (upstream >= resolver->upstream_count) {
		return false;
	}
	for (size_t i = 0; i < resolved->item_count; i++) {
		const struct fl_resolved_item *item = &resolved->items[i];

		if (item->host != NULL && !item->is_repeated && index-- == 0) {
			describe(resolver, item, now, ret);
			return true;
		}
	}
	return false;
}

/* --- life ---------------------------------------------------------------------------------------- */

struct fl_resolver *fl_resolver_new(uv_loop_t *loop, struct fl_log *log,
				    const struct fl_resolver_events *events, void *user)
{
	struct fl_resolver *resolver = fl_new(sizeof(*resolver));

	resolver->loop = loop;
	resolver->log = log;
	resolver->events = events;
	resolver->user = user;
	resolver->names = fl_names_new(loop, log, &names_events, resolver);
	resolver->refusals = fl_dns_refusals_new(log);
	FL_REQUIRE(uv_async_init(loop, &resolver->wake, on_wake) == 0);
	return resolver;
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_resolver *resolver = FL_CONTAINER_OF(handle, struct fl_resolver, wake);

	free_upstreams(resolver->upstreams, resolver->upstream_count);
	free(resolver->entries);
	fl_upstream_map_unref(resolver->table);
	fl_dns_refusals_free(resolver->refusals);
	free(resolver);
}

void fl_resolver_close(struct fl_resolver *resolver)
{
	fl_names_close(resolver->names);
	uv_close((uv_handle_t *)&resolver->wake, on_closed);
}
