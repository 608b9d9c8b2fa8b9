/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A network exists while it has members. */
#include "conn/crowd.h"

#include <stdlib.h>
#include <utlist.h>

struct fl_crowd_net {
	struct fl_crowd_net *prev, *next;        /* of all */
	struct fl_crowd_net *below;              /* in its bucket */
	struct fl_crowd_member *partial, *whole; /* oldest first */
	struct fl_inet network;
	uint32_t parts;
};

void fl_crowd_init(struct fl_crowd *crowd, uint32_t seed)
{
	*crowd = (struct fl_crowd){.seed = seed};
}

void fl_crowd_done(struct fl_crowd *crowd)
{
	FL_REQUIRE(crowd->nets == NULL && crowd->taken == 0);
}

static struct fl_crowd_net **bucket_of(struct fl_crowd *crowd, const struct fl_inet *network)
{
	struct fl_inet seeded = *network;

	seeded.scope ^= crowd->seed;
	return &crowd->buckets[fl_inet_hash(&seeded) % FL_CROWD_BUCKETS];
}

/* NULL: no memory. */
static struct fl_crowd_net *add_net(struct fl_crowd *crowd, struct fl_crowd_net **bucket,
				    const struct fl_inet *network)
{
	struct fl_crowd_net *net = calloc(1, sizeof(*net));

	if (net != NULL) {
		net->network = *network;
		net->below = *bucket;
		*bucket = net;
		DL_APPEND(crowd->nets, net);
	}
	return net;
}

static struct fl_crowd_net *net_of(struct fl_crowd *crowd, const struct fl_inet *network)
{
	struct fl_crowd_net **bucket = bucket_of(crowd, network);
	struct fl_crowd_net *net = *bucket;

	while (net != NULL && !fl_inet_equal(&net->network, network)) {
		net = net->below;
	}
	return net != NULL ? net : add_net(crowd, bucket, network);
}

static void forget_net(struct fl_crowd *crowd, struct fl_crowd_net *net)
{
	struct fl_crowd_net **at = bucket_of(crowd, &net->network);

	while (*at != net) {
		at = &(*at)->below;
	}
	*at = net->below;
	DL_DELETE(crowd->nets, net);
	free(net);
}

static struct fl_crowd_member **list_of(const struct fl_crowd_member *member)
{
	return member->whole ? &member->net->whole : &member->net->partial;
}

static void enlist(struct fl_crowd *crowd, struct fl_crowd_member *member)
{
	struct fl_crowd_member **list = list_of(member);

	DL_APPEND(*list, member);
	member->net->parts += member->parts;
	crowd->taken += member->parts;
}

static void strike(struct fl_crowd *crowd, struct fl_crowd_member *member)
{
	struct fl_crowd_member **list = list_of(member);

	DL_DELETE(*list, member);
	member->net->parts -= member->parts;
	crowd->taken -= member->parts;
}

bool fl_crowd_join(struct fl_crowd *crowd, struct fl_crowd_member *member,
		   const struct fl_inet *network)
{
	struct fl_crowd_net *net = net_of(crowd, network);

	if (net == NULL) {
		return false;
	}
	*member = (struct fl_crowd_member){.net = net, .parts = 1};
	enlist(crowd, member);
	return true;
}

void fl_crowd_change(struct fl_crowd *crowd, struct fl_crowd_member *member, uint32_t parts,
		     bool whole)
{
	if (whole == member->whole) {
		member->net->parts += parts - member->parts;
		crowd->taken += parts - member->parts;
		member->parts = parts;
		return;
	}
	strike(crowd, member);
	member->parts = parts;
	member->whole = whole;
	enlist(crowd, member);
}

void fl_crowd_leave(struct fl_crowd *crowd, struct fl_crowd_member *member)
{
	struct fl_crowd_net *net = member->net;

	if (net == NULL) {
		return;
	}
	strike(crowd, member);
	member->net = NULL;
	if (net->partial == NULL && net->whole == NULL) {
		forget_net(crowd, net);
	}
}

struct fl_crowd_member *fl_crowd_surplus(const struct fl_crowd *crowd)
{
	struct fl_crowd_net *net, *most = crowd->nets;

	if (crowd->taken <= crowd->room) {
		return NULL;
	}
	DL_FOREACH(crowd->nets, net)
	{
		most = net->parts > most->parts ? net : most;
	}
	return most->partial != NULL ? most->partial : most->whole;
}
