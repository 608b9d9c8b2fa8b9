/* SPDX-License-Identifier: GPL-3.0-or-later */
/* decide - which of the DestinationRules for a host count, as upstreams. */
#include <stdlib.h>
#include <string.h>

#include "agent/import/destination.h"
#include "base/mem.h"

/* --- settings ------------------------------------------------------------------------------------- */

void fl_import_setting_done(struct fl_import_setting *setting)
{
	fl_import_words_done(&setting->peer);
}

/* Both must admit a peer. */
static void keep_common(struct fl_import_words *peers, const struct fl_import_words *others)
{
	struct fl_import_words common = {0};

	for (size_t i = 0; i < peers->count; i++) {
		if (fl_import_words_have(others, peers->items[i])) {
			(void)fl_import_words_add(&common, fl_strdup(peers->items[i]));
		}
	}
	fl_import_words_done(peers);
	*peers = common;
}

void fl_import_tighten(struct fl_import_setting *setting, const struct fl_import_setting *other)
{
	if (setting->mode == FL_OUTBOUND_REFUSE || other->mode == FL_OUTBOUND_PLAINTEXT) {
		return;
	}
	if (setting->mode == FL_OUTBOUND_PLAINTEXT || other->mode == FL_OUTBOUND_REFUSE ||
	    setting->peer.count == 0) {
		setting->mode = other->mode;
		fl_import_words_copy(&setting->peer, &other->peer);
	} else if (other->peer.count > 0) {
		keep_common(&setting->peer, &other->peer);
		if (setting->peer.count == 0) {
			setting->mode = FL_OUTBOUND_REFUSE;
		}
	}
}

struct fl_import_setting *fl_import_setting_of(const struct fl_import_claim *claim, unsigned port)
{
	for (size_t i = 0; i < claim->count; i++) {
		if (claim->settings[i].port == port) {
			return &claim->settings[i];
		}
	}
	return NULL;
}

/* What the rule means for a port: its own setting, or that of all, or mutual TLS with any peer. */
static struct fl_import_setting effective(const struct fl_import_claim *claim, unsigned port)
{
	const struct fl_import_setting *found = fl_import_setting_of(claim, port);
	struct fl_import_setting setting = {.port = port, .mode = FL_OUTBOUND_MTLS};

	found = found != NULL ? found : fl_import_setting_of(claim, 0);
	if (found != NULL) {
		setting.mode = found->mode;
		fl_import_words_copy(&setting.peer, &found->peer);
	}
	return setting;
}

/* --- deciding --------------------------------------------------------------------------------------- */

/* A rule that is, or may be, about the host that is being decided. */
struct contender {
	const struct fl_import_claim *claim;
	enum fl_import_rank rank;
	const char *doubt;
};

struct contest {
	const char *host;
	struct contender *contenders;
	size_t count;
};

static void add_contender(const struct fl_import_draft *draft, struct contest *contest,
			  const struct fl_import_claim *claim)
{
	struct contender new = {.claim = claim, .doubt = claim->doubt};

	if (!fl_import_covers(claim->host, contest->host)) {
		return;
	}
	new.rank = fl_import_rank_of(draft, claim->object, claim->is_private, contest->host,
				     &new.doubt);
	if (new.rank == FL_IMPORT_NO_RANK) {
		return;
	}
	contest->contenders =
		fl_grow(contest->contenders, contest->count + 1, sizeof(*contest->contenders));
	contest->contenders[contest->count++] = new;
}

/* For certain, Istio goes no further than this contender. In a foreign namespace a name that we do not see comes before a
 * wildcard. */
static bool is_last(const struct contender *one)
{
	return one->doubt == NULL && one->claim->selected == FL_IMPORT_YES &&
	       (one->rank == FL_IMPORT_OWN || !fl_import_is_wildcard(one->claim->host));
}

/* Does Istio take the name of other for at least as specific? Both cover the host. */
static bool is_as_specific(const struct fl_import_claim *other, const struct fl_import_claim *one)
{
	return !fl_import_is_wildcard(other->host) ||
	       (fl_import_is_wildcard(one->host) && strlen(other->host) >= strlen(one->host));
}

static bool is_for_all(const struct fl_import_claim *claim)
{
	return !claim->has_selector && !claim->has_export;
}

/* Of two rules in one namespace: does Istio never follow one? A name comes before a wildcard. One for other workloads
 * leaves those for ours alone, unless both are for the same namespaces: then Istio joins them. It also joins one without a
 * trafficPolicy with one that is for the same clients. */
static bool is_hidden_beside(const struct fl_import_claim *one, const struct fl_import_claim *other)
{
	if (fl_import_is_wildcard(one->host) && !fl_import_is_wildcard(other->host)) {
		return true;
	}
	if (!is_as_specific(other, one)) {
		return false;
	}
	return one->selected == FL_IMPORT_NO ? other->has_selector || !other->has_export
					     : !one->has_policy && other->has_policy &&
						       is_for_all(one) && is_for_all(other);
}

/* Does other come before one, so that Istio never follows one? One without a trafficPolicy still hides those of further
 * namespaces. So does one for other workloads, in Istio; here it takes part, and says nothing. */
static bool is_hidden(const struct contender *one, const struct contender *other)
{
	return is_last(other) &&
	       (other->rank < one->rank ||
		(other->rank == one->rank && is_hidden_beside(one->claim, other->claim)));
}

static void drop_hidden(struct contest *contest)
{
	struct contender *left = fl_new((contest->count + 1) * sizeof(*left));
	size_t kept = 0;

	for (size_t i = 0; i < contest->count; i++) {
		bool hidden = false;

		for (size_t k = 0; k < contest->count && !hidden; k++) {
			hidden = is_hidden(&contest->contenders[i], &contest->contenders[k]);
		}
		if (!hidden) {
			left[kept++] = contest->contenders[i];
		}
	}
	free(contest->contenders);
	contest->contenders = left;
	contest->count = kept;
}

static void report(struct fl_import_draft *draft, const struct contest *contest)
{
	const struct fl_import_claim *first = contest->contenders[0].claim;

	for (size_t i = 0; i < contest->count; i++) {
		const struct contender *one = &contest->contenders[i];

		if (one->doubt != NULL) {
			fl_import_miss(draft, one->claim->object, one->claim->where,
				       "%s: for %.200s, only what it makes stricter is taken",
				       one->doubt, contest->host);
		} else if (i > 0) {
			fl_import_miss(draft, one->claim->object, one->claim->where,
				       "%.100s is about the same destination %.200s, and which of "
				       "them Istio follows depends on more than these files: for "
				       "each port, the stricter one stays",
				       first->object->name, contest->host);
		}
	}
}

/* The strictest of what all say about the port. */
static void decide_port(struct fl_import_draft *draft, const struct contest *contest,
			const struct fl_import_claim *of, unsigned port)
{
	static const struct fl_import_setting none = {.mode = FL_OUTBOUND_MTLS};
	struct fl_import_setting setting = effective(contest->contenders[0].claim, port);
	bool is_certain = is_last(&contest->contenders[0]);
	struct fl_import_upstream *upstream;

	for (size_t i = 1; i < contest->count; i++) {
		struct fl_import_setting other = effective(contest->contenders[i].claim, port);

		fl_import_tighten(&setting, &other);
		fl_import_setting_done(&other);
		is_certain = is_certain || is_last(&contest->contenders[i]);
	}
	if (!is_certain) {
		fl_import_tighten(&setting, &none);
	}
	draft->upstreams =
		fl_grow(draft->upstreams, draft->upstream_count + 1, sizeof(*draft->upstreams));
	upstream = &draft->upstreams[draft->upstream_count++];
	*upstream = (struct fl_import_upstream){
		.name = fl_strdup(of->object->name),
		.file = of->object->file,
		.line = fl_yaml_line(of->where),
		.to = port != 0 ? fl_format("%s:%u", contest->host, port)
				: fl_format("%s:*", contest->host),
		.mode = setting.mode,
		.peer = setting.peer};
}

/* Decides each port that one of the rules mentions, once. */
static void decide(struct fl_import_draft *draft, const struct contest *contest)
{
	for (size_t i = 0; i < contest->count; i++) {
		const struct fl_import_claim *claim = contest->contenders[i].claim;

		for (size_t k = 0; k < claim->count; k++) {
			unsigned port = claim->settings[k].port;
			bool is_decided = false;

			for (size_t before = 0; before < i && !is_decided; before++) {
				is_decided = fl_import_setting_of(contest->contenders[before].claim,
								  port) != NULL;
			}
			if (!is_decided) {
				decide_port(draft, contest, claim, port);
			}
		}
	}
}

static bool is_about_ports(const struct contest *contest)
{
	for (size_t i = 0; i < contest->count; i++) {
		if (contest->contenders[i].claim->count > 0) {
			return true;
		}
	}
	return false;
}

static bool is_first_of_host(const struct fl_import_draft *draft, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(draft->claims[i].host, draft->claims[index].host) == 0) {
			return false;
		}
	}
	return !fl_import_is_wildcard(draft->claims[index].host);
}

void fl_import_destinations_finish(struct fl_import_draft *draft)
{
	for (size_t i = 0; i < draft->claim_count; i++) {
		struct contest contest = {.host = draft->claims[i].host};

		if (!is_first_of_host(draft, i)) {
			continue;
		}
		for (size_t k = 0; k < draft->claim_count; k++) {
			add_contender(draft, &contest, &draft->claims[k]);
		}
		drop_hidden(&contest);
		if (is_about_ports(&contest)) {
			report(draft, &contest);
			decide(draft, &contest);
		}
		free(contest.contenders);
	}
}

void fl_import_destinations_done(struct fl_import_draft *draft)
{
	for (size_t i = 0; i < draft->claim_count; i++) {
		struct fl_import_claim *claim = &draft->claims[i];

		for (size_t k = 0; k < claim->count; k++) {
			fl_import_setting_done(&claim->settings[k]);
		}
		free(claim->settings);
		free(claim->host);
	}
	free(draft->claims);
}
