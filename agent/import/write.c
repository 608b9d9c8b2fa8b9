/* SPDX-License-Identifier: GPL-3.0-or-later */
/* write - the draft as INI. Everything from the files is checked: names are reduced to the characters of section names;
 * patterns, addresses and ports were parsed. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "base/mem.h"
#include "pki/spiffe.h"

#define NAME_MAX_LEN 48

/* What the parts of the INI share. */
struct writing {
	const struct fl_import_draft *draft;
	struct fl_text *out;
	struct fl_import_words domains; /* known trust domains, our own first */
	bool plaintext;                 /* some port admits it */
};

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

/* --- trust domains ------------------------------------------------------------------------------- */

static const char *after_any_domain(const char *pattern)
{
	static const char any[] = FL_IMPORT_ANY_DOMAIN;

	return strncmp(pattern, any, sizeof(any) - 1) == 0 ? pattern + sizeof(any) - 1 : NULL;
}

static void add_domains(struct fl_import_words *domains, const struct fl_import_words *patterns)
{
	for (size_t i = 0; i < patterns->count; i++) {
		const char *begin = fl_spiffe_after_scheme(patterns->items[i]);

		if (after_any_domain(patterns->items[i]) == NULL && begin != NULL) {
			(void)fl_import_words_add(
				domains,
				fl_strndup(begin,
					   (size_t)(fl_spiffe_path(patterns->items[i]) - begin)));
		}
	}
}

/* A pattern has one trust domain, so one for all of them is written once for each that the rules name. Peers of others are
 * admitted by no rule. */
static struct fl_import_words known_domains(const struct fl_import_draft *draft)
{
	struct fl_import_words domains = {0};

	(void)fl_import_words_add(&domains, fl_strdup(draft->trust_domain));
	for (size_t i = 0; i < draft->rule_count; i++) {
		add_domains(&domains, &draft->rules[i].from);
		add_domains(&domains, &draft->rules[i].except_from);
	}
	return domains;
}

static void put_patterns(const struct writing *w, const char *key,
			 const struct fl_import_words *patterns, const char *last)
{
	struct fl_import_words words = {0};

	for (size_t i = 0; i < patterns->count; i++) {
		const char *rest = after_any_domain(patterns->items[i]);

		for (size_t d = 0; rest != NULL && d < w->domains.count; d++) {
			(void)fl_import_words_add(&words, fl_format(FL_SPIFFE_SCHEME "%s/%s",
								    w->domains.items[d], rest));
		}
		if (rest == NULL) {
			(void)fl_import_words_add(&words, fl_strdup(patterns->items[i]));
		}
	}
	put_list(w->out, key, &words, last);
	fl_import_words_done(&words);
}

/* --- parts --------------------------------------------------------------------------------------- */

static bool lets_plaintext_in(const struct fl_import_draft *draft)
{
	bool lets = draft->mode != FL_INBOUND_STRICT;

	for (size_t i = 0; i < draft->port_count; i++) {
		lets = lets ||
		       (draft->ports[i].has_mode && draft->ports[i].mode != FL_INBOUND_STRICT);
	}
	return lets;
}

static void put_inbound(const struct writing *w)
{
	if (w->draft->is_istio && !w->draft->has_mode && !w->draft->mode_unknown) {
		fl_text_print(
			w->out,
			"; Istio without a PeerAuthentication admits plaintext; this INI does "
			"not. For a migration:\n; mode = permissive\n");
	}
	fl_text_print(w->out, "[inbound]\nmode = %s\n\n", fl_inbound_mode_word(w->draft->mode));
}

static void put_ports(const struct writing *w)
{
	struct fl_import_words taken = {0};

	for (size_t i = 0; i < w->draft->port_count; i++) {
		const struct fl_import_port *port = &w->draft->ports[i];
		char *name = section_name(&taken, port->name);

		fl_text_print(w->out, "[service %s]\nport = %u\n", name, port->port);
		if (port->has_mode) {
			fl_text_print(w->out, "mode = %s\n", fl_inbound_mode_word(port->mode));
		}
		fl_text_print(w->out, "\n");
		free(name);
	}
	fl_import_words_done(&taken);
}

static void put_upstreams(const struct writing *w)
{
	struct fl_import_words taken = {0};

	for (size_t i = 0; i < w->draft->upstream_count; i++) {
		const struct fl_import_upstream *upstream = &w->draft->upstreams[i];
		char *name = section_name(&taken, upstream->name);

		fl_text_print(w->out, "[upstream %s]\nto = %s\nmode = %s\n", name, upstream->to,
			      fl_outbound_mode_word(upstream->mode));
		put_list(w->out, "peer", &upstream->peer, NULL);
		fl_text_print(w->out, "\n");
		free(name);
	}
	fl_import_words_done(&taken);
}

/* No rule is needed for plaintext that no port admits, or without any `from`. */
static bool is_written(const struct fl_import_rule *rule)
{
	return !rule->lost && rule->from.count > 0;
}

static void put_rule(const struct writing *w, const struct fl_import_rule *rule, const char *name)
{
	fl_text_print(w->out, "; ");
	fl_text_put_clean(w->out, rule->file);
	fl_text_print(w->out, ":%u\n[%s %s]\n", rule->line, rule->deny ? "deny" : "allow", name);
	if (rule->audit) {
		fl_text_print(w->out, "mode = audit\n");
	}
	put_patterns(w, "from", &rule->from, rule->plaintext && w->plaintext ? "plaintext" : NULL);
	put_list(w->out, "to", &rule->to, NULL);
	put_list(w->out, "sources", &rule->sources, NULL);
	put_patterns(w, "except_from", &rule->except_from, NULL);
	put_list(w->out, "except_to", &rule->except_to, NULL);
	put_list(w->out, "except_sources", &rule->except_sources, NULL);
	fl_text_print(w->out, "\n");
}

static void put_rules(const struct writing *w, bool deny, struct fl_import_words *taken)
{
	for (size_t i = 0; i < w->draft->rule_count; i++) {
		const struct fl_import_rule *rule = &w->draft->rules[i];

		if (rule->deny == deny && is_written(rule)) {
			char *name = section_name(taken, rule->name);

			put_rule(w, rule, name);
			free(name);
		}
	}
}

/* If there is no ALLOW policy, Istio admits everybody whom no DENY policy refuses. As deny rules name trust domains, this one
 * does, too: a default would also admit peers of other ones, which no rule refuses. */
static void put_everybody(const struct writing *w, struct fl_import_words *taken)
{
	struct fl_import_words everybody = {0};
	char *name = section_name(taken, "everybody");

	(void)fl_import_words_add(&everybody, fl_strdup(FL_IMPORT_ANY_DOMAIN "**"));
	fl_text_print(
		w->out,
		"; No ALLOW policy is for this workload, so Istio admits everybody whom no DENY "
		"policy refuses.\n[allow %s]\n",
		name);
	put_patterns(w, "from", &everybody, w->plaintext ? "plaintext" : NULL);
	fl_text_print(w->out, "\n");
	fl_import_words_done(&everybody);
	free(name);
}

static bool has_deny_rules(const struct fl_import_draft *draft)
{
	for (size_t i = 0; i < draft->rule_count; i++) {
		if (draft->rules[i].deny) {
			return true;
		}
	}
	return false;
}

static void put_policy(const struct writing *w)
{
	const struct fl_import_draft *draft = w->draft;
	bool open = draft->is_istio && !draft->restricted, denies = has_deny_rules(draft);
	struct fl_import_words taken = {0};

	if (draft->is_linkerd && !draft->is_istio) {
		fl_text_print(w->out,
			      "; Linkerd admits everybody at a port without a Server, unless "
			      "the cluster says otherwise; this INI does not.\n");
	}
	if (denies) {
		fl_text_print(w->out, "; Rules for every trust domain name these:");
		for (size_t i = 0; i < w->domains.count; i++) {
			fl_text_print(w->out, "%s %s", i > 0 ? "," : "", w->domains.items[i]);
		}
		fl_text_print(w->out, ". If a rule of yours admits peers of another one,\n; add it "
				      "to the [deny] rules, too.\n");
	}
	fl_text_print(w->out, "[policy]\ndefault = %s\n\n", open && !denies ? "allow" : "deny");
	put_rules(w, true, &taken);
	put_rules(w, false, &taken);
	if (open && denies) {
		put_everybody(w, &taken);
	}
	fl_import_words_done(&taken);
}

void fl_import_write(const struct fl_import_draft *draft, struct fl_text *out)
{
	struct writing w = {.draft = draft,
			    .out = out,
			    .domains = known_domains(draft),
			    .plaintext = lets_plaintext_in(draft)};

	fl_text_print(out, "; For workloads of the namespace ");
	fl_text_put_clean(out, draft->ns);
	fl_text_print(out, ", trust domain %s.\n; Add [identity], then: fairlead-agent check\n",
		      draft->trust_domain);
	if (!draft->knows_ns) {
		fl_text_print(
			out,
			"; No resource of this namespace is in the files: is its name right?\n");
	}
	if (draft->missed_lines.count > 0) {
		fl_text_print(out, ";\n; What could not be expressed:\n");
	}
	for (size_t i = 0; i < draft->missed_lines.count; i++) {
		fl_text_print(out, "; %s\n", draft->missed_lines.items[i]);
	}
	fl_text_print(out, "\n");
	put_inbound(&w);
	put_ports(&w);
	put_upstreams(&w);
	put_policy(&w);
	fl_import_words_done(&w.domains);
}
