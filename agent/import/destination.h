/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_IMPORT_DESTINATION_H
#define FL_AGENT_IMPORT_DESTINATION_H
/* destination - DestinationRule of Istio, as upstreams.
 *
 * For a host, Istio looks for a rule in the namespace of the client, then in that of the service, then in the mesh's own,
 * and ignores all others (destinationRule in pilot/pkg/model/push_context.go). A rule with a selector is for clients of its
 * own namespace. Of several rules for a host in one namespace the first with a trafficPolicy decides alone, and which one
 * is the first depends on more than these files. Then, and if it is not known whether a rule is for this workload, each
 * port gets the strictest of what the rules say about it. A port without a rule has mutual TLS with any peer. */
#include "agent/import/draft.h"

enum fl_import_rank { FL_IMPORT_OWN, FL_IMPORT_OF_SERVICE, FL_IMPORT_OF_MESH, FL_IMPORT_NO_RANK };

struct fl_import_setting {
	unsigned port; /* 0: all that have no setting of their own */
	enum fl_outbound_mode mode;
	struct fl_import_words peer;
};

struct fl_import_claim {
	const struct fl_import_object *object;
	struct fl_yaml where;
	char *host; /* in full, in lower case; a wildcard is never written, but may come before other rules */
	enum fl_import_selected selected;
	bool is_private; /* only its own namespace sees it */
	bool has_policy;
	bool has_selector, has_export;
	const char *doubt; /* why it is not known whether Istio follows it; NULL: it does */
	struct fl_import_setting *settings;
	size_t count;
};

/* The setting of that port; NULL: there is none. */
struct fl_import_setting *fl_import_setting_of(const struct fl_import_claim *claim, unsigned port);
/* Makes setting as strict as other is. */
void fl_import_tighten(struct fl_import_setting *setting, const struct fl_import_setting *other);
void fl_import_setting_done(struct fl_import_setting *setting);

bool fl_import_is_wildcard(const char *host);
/* Is the host, or the wildcard, about that name? */
bool fl_import_covers(const char *host, const char *name);
/* When does Istio come to this rule, of all for the host? ret_doubt: set where it is not known. */
enum fl_import_rank fl_import_rank_of(const struct fl_import_draft *draft,
				      const struct fl_import_object *object, bool is_private,
				      const char *host, const char **ret_doubt);

#endif
