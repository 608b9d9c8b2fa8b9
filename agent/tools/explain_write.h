/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_EXPLAIN_WRITE_H
#define FL_AGENT_TOOLS_EXPLAIN_WRITE_H
/* explain_write - the question to `explain` and its answer, and how they are printed to stdout. Main thread. */
#include "conf/conf.h"
#include "conf/spared.h"

#define FL_EXPLAIN_NOTES_MAX 24

/* The question and the answer. */
struct fl_inquiry {
	const struct fl_conf *conf;
	const char *from, *to, *source;        /* as they were given; source may be NULL */
	const struct fl_conf_service *service; /* NULL: no section is for the port */
	enum fl_inbound_mode mode;
	struct fl_request request;
	struct fl_cidr source_net; /* of source, if there is one */
	union fl_sockaddr source_addr;
	struct fl_verdict verdict;
	bool before_policy; /* the port refuses the connection, and policy is not asked */
	bool uncaptured;    /* it does not come to the sidecar: nobody is asked */
	bool no_listener;   /* the reason: `[sidecar] inbound` is empty; otherwise: */
	enum fl_spared_how spared;
	char *notes[FL_EXPLAIN_NOTES_MAX], *needed[FL_EXPLAIN_NOTES_MAX];
	size_t note_count, needed_count;
};

/* "[allow NAME]", to free(). */
char *fl_explain_section(const struct fl_rule_spec *rule);

bool fl_explain_is_let_in(const struct fl_inquiry *inquiry);

void fl_explain_write_text(const struct fl_inquiry *inquiry);
void fl_explain_write_json(const struct fl_inquiry *inquiry);

#endif
