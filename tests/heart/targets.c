/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The part of the resolver, which the test plays too. */
#include <string.h>

#include "heart.h"

static struct fl_targets *targets_at(const struct heart *heart, enum heart_place place)
{
	struct fl_targets *targets = fl_targets_new(place != PLACES);

	if (place != PLACES) {
		targets->items[0].in = heart_loopback(heart->place_ports[place]);
	}
	return targets;
}

static enum heart_place place_of(const struct heart *heart, const char *upstream)
{
	for (size_t i = 0; i < heart->pointed_count; i++) {
		if (strcmp(heart->pointed[i].upstream, upstream) == 0) {
			return heart->pointed[i].place;
		}
	}
	return PLACE_MESH;
}

struct fl_target_set *heart_targets(const struct heart *heart, const struct fl_conf *conf)
{
	struct fl_target_set *set = fl_target_set_new(conf->upstream_count);

	for (size_t i = 0; i < conf->upstream_count; i++) {
		set->items[i] = targets_at(heart, place_of(heart, conf->upstreams[i].name));
	}
	return set;
}

void heart_will_point(struct heart *heart, const char *upstream, enum heart_place place)
{
	size_t i = 0;

	while (i < heart->pointed_count && strcmp(heart->pointed[i].upstream, upstream) != 0) {
		i++;
	}
	cr_assert_lt(i, FL_COUNT_OF(heart->pointed));
	heart->pointed_count += i == heart->pointed_count;
	heart->pointed[i].upstream = upstream;
	heart->pointed[i].place = place;
}

void heart_point(struct heart *heart, const char *upstream, enum heart_place place)
{
	struct fl_targets *targets = targets_at(heart, place);

	heart_will_point(heart, upstream, place);
	fl_worker_post_targets(heart->worker, upstream, targets);
	fl_targets_unref(targets);
}
