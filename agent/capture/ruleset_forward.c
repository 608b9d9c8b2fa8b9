/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ruleset_forward - TCP connections that the pod forwards for containers inside it, which have their own addresses and
 * interfaces.
 *
 * - With `capture`, connections that arrive at a bridge of the pod go to the outbound listener, like those of the app. A
 *   host outside that uses the pod as a router must not get our identity that way, so nothing is captured that arrives at
 *   an interface with a default route, or at one that is not a bridge.
 * - Connections that were excluded when they began are recognized by the mark of their entry, as in ruleset_gate.c. */
#include "agent/capture/ruleset_internal.h"
#include "base/capture.h"
#include "base/mem.h"

/* "{ "lo", "eth0" }": the interfaces that are not inside the pod. */
static void put_outside(const struct fl_writer *w, struct fl_text *out)
{
	fl_text_print(out, "{ \"lo\"");
	for (size_t i = 0; i < w->uplinks->count; i++) {
		fl_text_print(out, ", \"%s\"", w->uplinks->names[i]);
	}
	fl_text_print(out, " }");
}

static void lead_forwarded(const struct fl_writer *w)
{
	const struct fl_conf_selectors *spared = &w->conf->redirect.exclude_outbound;
	struct fl_text outside = {0};

	put_outside(w, &outside);
	fl_writer_chain(w, "take_forwarded", NULL);
	fl_writer_redirect(w, &w->outbound, "", "forwarded_captured", "to the sidecar");
	fl_writer_chain_end(w);

	fl_writer_chain(w, "lead_forwarded", "nat hook prerouting priority " FL_RULESET_DSTNAT);
	fl_writer_rule(w, "not from a bridge of the pod", "meta iifkind != \"bridge\" accept");
	fl_writer_rule(w, "not TCP", "meta l4proto != $TCP accept");
	fl_writer_rule(w, "not the first packet of a connection: decided below", NOT_SYN " accept");
	fl_writer_rule(w, "from outside: interfaces with default routes", "iifname %s accept",
		       outside.data);
	fl_writer_rule(w, "for this pod", "fib daddr type local accept");
	fl_writer_rule(w, "between two containers on one bridge",
		       "fib daddr . iif oif exists accept");
	/* The outgoing interface is not known yet. */
	for (size_t i = 0; i < spared->count; i++) {
		const struct fl_conf_selectors one = {&spared->items[i], 1};

		if (spared->items[i].interface == NULL) {
			fl_writer_rules_of(w, &one, FL_MATCH_OUTBOUND, FL_RULESET_TCP, "accept",
					   "[redirect] exclude_outbound");
		}
	}
	fl_writer_rules_of(w, &w->conf->redirect.outbound, FL_MATCH_OUTBOUND, FL_RULESET_TCP,
			   "goto take_forwarded", "[redirect] outbound");
	fl_writer_chain_end(w);
	fl_text_done(&outside);
}

static void gate_rules(const struct fl_writer *w)
{
	const struct {
		const struct fl_conf_selectors *selectors;
		enum fl_ruleset_match kind;
		const char *comment;
	} spared[] = {
		{&w->conf->redirect.exclude_outbound, FL_MATCH_OUTBOUND,
		 "[redirect] exclude_outbound"},
		{&w->conf->redirect.exclude_outbound, FL_MATCH_DIALLED_OUTBOUND,
		 "the same, before NAT of other software"},
		{&w->conf->redirect.exclude_inbound, FL_MATCH_INBOUND,
		 "[redirect] exclude_inbound"},
		{&w->conf->redirect.exclude_inbound, FL_MATCH_DIALLED_INBOUND,
		 "the same, before NAT of other software"},
	};

	struct fl_text outside = {0};

	put_outside(w, &outside);
	fl_writer_rule(
		w, "between containers inside the pod",
		"meta iifkind \"bridge\" meta oifkind \"bridge\" iifname != %s oifname != %s "
		"accept",
		outside.data, outside.data);
	fl_text_done(&outside);
	fl_writer_rule(w, "excluded when it began", NOT_SYN " ct mark and 0x%x != 0 accept",
		       FL_CAPTURE_SPARED);
	fl_writer_rule(w, "of no allowed connection", NOT_SYN " goto refuse_forwarded");
	for (size_t i = 0; i < FL_COUNT_OF(spared); i++) {
		fl_writer_rules_of(w, spared[i].selectors, spared[i].kind, FL_RULESET_TCP,
				   "goto spare_forwarded", spared[i].comment);
	}
	fl_writer_rules_of(w, &w->conf->redirect.outbound, FL_MATCH_OUTBOUND, FL_RULESET_TCP,
			   "goto refuse_forwarded",
			   "[redirect] outbound: it should have been captured");
	fl_writer_rule(w, "not to be captured", "goto spare_forwarded");
}

void fl_writer_forwarded(const struct fl_writer *w)
{
	enum fl_forwarded what = w->conf->redirect.forwarded;

	if (!fl_writer_captures(&w->outbound)) {
		return; /* the app's connections are not captured either */
	}
	if (what == FL_FORWARDED_CAPTURE) {
		lead_forwarded(w);
	}
	if (what != FL_FORWARDED_COUNT) {
		fl_writer_chain(w, "spare_forwarded", NULL);
		fl_writer_rule(w, "excluded, and its answers", "ct mark set ct mark or 0x%x accept",
			       FL_CAPTURE_SPARED);
		fl_writer_chain_end(w);
		fl_writer_chain(w, "refuse_forwarded", NULL);
		fl_writer_rule(w, "[redirect] forwarded",
			       "meta l4proto $TCP counter name forwarded reject with tcp reset");
		fl_writer_chain_end(w);
	}
	fl_writer_chain(w, "gate_forward", "filter hook forward priority filter");
	fl_writer_rule(w, "not TCP", "meta l4proto != $TCP accept");
	if (what == FL_FORWARDED_COUNT) {
		fl_writer_rule(w, "[redirect] forwarded = count",
			       "meta l4proto $TCP counter name forwarded accept");
	} else {
		gate_rules(w);
	}
	fl_writer_chain_end(w);
}
