/* SPDX-License-Identifier: GPL-3.0-or-later */
/* write - the draft as INI. Everything from the files is checked: names are reduced to the characters of section names;
 * patterns, addresses and ports were parsed. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"

#define NAME_MAX_LEN 48

/* A name that is allowed for a section, with a number at its end if an earlier section has it. */
static char *section_name(struct fl_import_words *taken, const char *about)
{
	char base[NAME_MAX_LEN + 1];
	size_t len = 0;
	char *name;

	for (const char *c = about; *c != '\0' && len < NAME_MAX_LEN; c++) {
		bool is_letter = isalnum((unsigned char)*c) != 0 && (unsigned char)*c < 128;

		base[len++] = is_letter ? *c : '-';
	}
	base[len] = '\0';
	if (len == 0 || !isalpha((unsigned char)base[0])) {
		(void)snprintf(base, sizeof(base), "imported");
	}
	name = fl_strdup(base);
	for (unsigned number = 2; fl_import_words_have(taken, name) || strcmp(name, "default") == 0;
	     number++) {
		free(name);
		name = fl_format("%s-%u", base, number);
	}
	fl_import_words_add(taken, fl_strdup(name));
	return name;
}

static void put_list(struct fl_text *out, const char *key, const struct fl_import_words *words,
		     const char *last)
{
	if (words->count == 0 && last == NULL) {
		return;
	}
	fl_text_print(out, "%s = ", key);
	for (size_t i = 0; i < words->count; i++) {
		fl_text_print(out, "%s%s", i > 0 ? ", " : "", words->items[i]);
	}
	if (last != NULL) {
		fl_text_print(out, "%s%s", words->count > 0 ? ", " : "", last);
	}
	fl_text_print(out, "\n");
}

/* --- parts --------------------------------------------------------------------------------------- */

static enum fl_inbound_mode inbound_mode(const struct fl_import_draft *draft)
{
	return draft->mode_rank > 0 && !draft->mode_unknown ? draft->mode : FL_INBOUND_STRICT;
}

static bool lets_plaintext_in(const struct fl_import_draft *draft)
{
	bool lets = inbound_mode(draft) != FL_INBOUND_STRICT;

	for (size_t i = 0; i < draft->port_count; i++) {
		lets = lets ||
		       (draft->ports[i].has_mode && draft->ports[i].mode != FL_INBOUND_STRICT);
	}
	return lets;
}

static void put_inbound(const struct fl_import_draft *draft, struct fl_text *out)
{
	if (draft->is_istio && draft->mode_rank == 0) {
		fl_text_print(
			out, "; Istio without a PeerAuthentication admits plaintext; this INI does "
			     "not. For a migration:\n; mode = permissive\n");
	}
	fl_text_print(out, "[inbound]\nmode = %s\n\n", fl_inbound_mode_word(inbound_mode(draft)));
}

static void put_ports(const struct fl_import_draft *draft, struct fl_text *out)
{
	struct fl_import_words taken = {0};

	for (size_t i = 0; i < draft->port_count; i++) {
		const struct fl_import_port *port = &draft->ports[i];
		char *name = section_name(&taken, port->name);

		fl_text_print(out, "[service %s]\nport = %u\n", name, port->port);
		if (port->has_mode) {
			fl_text_print(out, "mode = %s\n", fl_inbound_mode_word(port->mode));
		}
		fl_text_print(out, "\n");
		free(name);
	}
	fl_import_words_done(&taken);
}

static void put_upstreams(const struct fl_import_draft *draft, struct fl_text *out)
{
	struct fl_import_words taken = {0};

	for (size_t i = 0; i < draft->upstream_count; i++) {
		const struct fl_import_upstream *upstream = &draft->upstreams[i];
		char *name = section_name(&taken, upstream->name);

		fl_text_print(out, "[upstream %s]\nto = %s\nmode = %s\n", name, upstream->to,
			      fl_outbound_mode_word(upstream->mode));
		put_list(out, "peer", &upstream->peer, NULL);
		fl_text_print(out, "\n");
		free(name);
	}
	fl_import_words_done(&taken);
}

/* No rule is needed for plaintext that no port admits, or without any `from`. */
static bool is_written(const struct fl_import_rule *rule)
{
	return !rule->lost && rule->from.count > 0;
}

static void put_rule(const struct fl_import_rule *rule, const char *name, bool plaintext,
		     struct fl_text *out)
{
	fl_text_print(out, "; ");
	fl_text_put_clean(out, rule->file);
	fl_text_print(out, ":%u\n[%s %s]\n", rule->line, rule->deny ? "deny" : "allow", name);
	put_list(out, "from", &rule->from, rule->plaintext && plaintext ? "plaintext" : NULL);
	put_list(out, "to", &rule->to, NULL);
	put_list(out, "sources", &rule->sources, NULL);
	put_list(out, "except_from", &rule->except_from, NULL);
	put_list(out, "except_to", &rule->except_to, NULL);
	put_list(out, "except_sources", &rule->except_sources, NULL);
	fl_text_print(out, "\n");
}

static void put_rules(const struct fl_import_draft *draft, bool deny, bool plaintext,
		      struct fl_import_words *taken, struct fl_text *out)
{
	for (size_t i = 0; i < draft->rule_count; i++) {
		const struct fl_import_rule *rule = &draft->rules[i];

		if (rule->deny == deny && is_written(rule)) {
			char *name = section_name(taken, rule->name);

			put_rule(rule, name, plaintext, out);
			free(name);
		}
	}
}

static void put_policy(const struct fl_import_draft *draft, struct fl_text *out)
{
	struct fl_import_words taken = {0};
	bool plaintext = lets_plaintext_in(draft);
	bool denies = false;

	for (size_t i = 0; i < draft->rule_count; i++) {
		denies = denies || draft->rules[i].deny;
	}
	if (draft->is_linkerd && !draft->is_istio) {
		fl_text_print(out, "; Linkerd admits everybody at a port without a Server, unless "
				   "the cluster says otherwise; this INI does not.\n");
	}
	if (denies) {
		fl_text_print(out,
			      "; Deny rules name identities of %s: add those of each trust domain "
			      "that you [federate].\n",
			      draft->trust_domain);
	}
	/* If there is no ALLOW policy, Istio admits everything that no DENY policy refuses. */
	fl_text_print(out, "[policy]\ndefault = %s\n\n",
		      draft->restricted || !draft->is_istio ? "deny" : "allow");
	put_rules(draft, true, plaintext, &taken, out);
	put_rules(draft, false, plaintext, &taken, out);
	fl_import_words_done(&taken);
}

void fl_import_write(struct fl_import_draft *draft, struct fl_text *out)
{
	fl_text_print(out, "; For workloads of the namespace ");
	fl_text_put_clean(out, draft->ns);
	fl_text_print(out, ", trust domain %s.\n; Add [identity], then: fairlead-agent check\n",
		      draft->trust_domain);
	if (draft->missed > 0) {
		fl_text_print(out, ";\n; What could not be expressed:\n%s",
			      draft->missed_lines.data);
	}
	fl_text_print(out, "\n");
	put_inbound(draft, out);
	put_ports(draft, out);
	put_upstreams(draft, out);
	put_policy(draft, out);
}
