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
/* Of a list in one line. A line of an INI may have 65534 bytes. */
#define LIST_MAX_LEN 60000
#define COMMENT_WIDTH 100

/* What the parts of the INI share. */
struct writing {
	const struct fl_import_draft *draft;
	struct fl_text *out;
	struct fl_import_words domains; /* known trust domains, our own first */
	bool plaintext;                 /* some port admits it */
	bool is_too_large;              /* for an INI; err says what */
	struct fl_err *err;
};

static void fail(struct writing *w, const char *file, unsigned line, const char *what)
{
	if (!w->is_too_large) {
		(void)fl_err_set(w->err, FL_ERR_LIMIT, "%s:%u: these are too many %s", file, line,
				 what);
	}
	w->is_too_large = true;
}

/* --- names of sections --------------------------------------------------------------------------- */

/* How far the numbers behind a name have come. */
struct numbered {
	char *base;
	unsigned last;
};

struct names {
	struct fl_import_words taken;
	struct numbered *bases;
	size_t count;
};

static struct numbered *base_of(struct names *names, const char *base)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->bases[i].base, base) == 0) {
			return &names->bases[i];
		}
	}
	names->bases = fl_grow(names->bases, names->count + 1, sizeof(*names->bases));
	names->bases[names->count] = (struct numbered){.base = fl_strdup(base), .last = 1};
	return &names->bases[names->count++];
}

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->bases[i].base);
	}
	free(names->bases);
	fl_import_words_done(&names->taken);
}

/* A name that is allowed for a section, with a number at its end if an earlier section has it. */
static char *section_name(struct names *names, const char *about)
{
	char base[NAME_MAX_LEN + 1];
	struct numbered *number;
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
	number = base_of(names, base);
	name = number->last > 1 ? fl_format("%s-%u", base, ++number->last) : fl_strdup(base);
	while (fl_import_words_have(&names->taken, name) || strcmp(name, "default") == 0) {
		free(name);
		name = fl_format("%s-%u", base, ++number->last);
	}
	(void)fl_import_words_add(&names->taken, fl_strdup(name));
	return name;
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

	fl_import_words_copy(&domains, &draft->domains);
	for (size_t i = 0; i < draft->rule_count && domains.count <= FL_IMPORT_DOMAINS_MAX; i++) {
		add_domains(&domains, &draft->rules[i].from);
		add_domains(&domains, &draft->rules[i].except_from);
	}
	return domains;
}

/* A pattern for all trust domains, once for each. False: they are more than an INI can hold. */
static bool append_all(const struct writing *w, const char *rest, struct fl_import_words *words,
		       size_t *size)
{
	for (size_t i = 0; i < w->domains.count && *size <= FL_CONF_MAX_SIZE; i++) {
		char *pattern = fl_format(FL_SPIFFE_SCHEME "%s/%s", w->domains.items[i], rest);

		*size += strlen(pattern);
		fl_import_words_append(words, pattern);
	}
	return *size <= FL_CONF_MAX_SIZE;
}

/* The patterns, for each trust domain. last: one more word, or NULL. */
static struct fl_import_words words_of(const struct writing *w,
				       const struct fl_import_words *patterns, const char *last)
{
	struct fl_import_words words = {.is_cut = patterns->is_cut};
	size_t size = 0;

	for (size_t i = 0; i < patterns->count && !words.is_cut; i++) {
		const char *pattern = patterns->items[i], *rest = after_any_domain(pattern);

		if (rest != NULL) {
			words.is_cut = !append_all(w, rest, &words, &size);
		} else if (!fl_import_words_have(&words, pattern)) {
			fl_import_words_append(&words, fl_strdup(pattern));
		}
	}
	if (last != NULL) {
		fl_import_words_append(&words, fl_strdup(last));
	}
	return words;
}

/* --- lists --------------------------------------------------------------------------------------- */

/* Some words of a list, which fit into a line. */
struct slice {
	const struct fl_import_words *words;
	size_t begin, end;
	bool has_begun;
};

/* The next slice. False: there is none. A list without words has one, which is empty. */
static bool next_slice(struct slice *slice)
{
	size_t len = 0;

	if (slice->has_begun && slice->end == slice->words->count) {
		return false;
	}
	slice->has_begun = true;
	slice->begin = slice->end;
	while (slice->end < slice->words->count) {
		len += strlen(slice->words->items[slice->end]) + 2;
		if (len > LIST_MAX_LEN && slice->end > slice->begin) {
			break;
		}
		slice->end++;
	}
	return true;
}

static void put_slice(struct fl_text *out, const char *key, const struct slice *slice)
{
	for (size_t i = slice->begin; i < slice->end; i++) {
		if (i == slice->begin) {
			fl_text_print(out, "%s = ", key);
		}
		fl_text_print(out, "%s%s", i > slice->begin ? ", " : "", slice->words->items[i]);
	}
	if (slice->begin < slice->end) {
		fl_text_print(out, "\n");
	}
}

/* All words in one line. False: they do not fit. */
static bool put_list(struct fl_text *out, const char *key, const struct fl_import_words *words)
{
	struct slice slice = {.words = words};

	(void)next_slice(&slice);
	put_slice(out, key, &slice);
	return slice.end == words->count && !words->is_cut;
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
	struct names taken = {0};

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
	names_done(&taken);
}

static void put_upstreams(struct writing *w)
{
	struct names taken = {0};

	for (size_t i = 0; i < w->draft->upstream_count; i++) {
		const struct fl_import_upstream *upstream = &w->draft->upstreams[i];
		char *name = section_name(&taken, upstream->name);

		fl_text_print(w->out, "[upstream %s]\nto = %s\nmode = %s\n", name, upstream->to,
			      fl_outbound_mode_word(upstream->mode));
		if (!put_list(w->out, "peer", &upstream->peer)) {
			fail(w, upstream->file, upstream->line,
			     "names of peers for one section of an INI");
		}
		fl_text_print(w->out, "\n");
		free(name);
	}
	names_done(&taken);
}

/* No rule is needed for plaintext that no port admits, or without any `from`. */
static bool is_written(const struct fl_import_rule *rule)
{
	return !rule->lost && rule->from.count > 0;
}

/* The lists of a rule, as they are written. */
struct lists {
	struct fl_import_words from, except_from;
	struct slice from_slice, to_slice, sources_slice; /* of the section that is next */
};

static void put_section(struct writing *w, const struct fl_import_rule *rule, const char *name,
			const struct lists *lists)
{
	bool fits;

	fl_text_print(w->out, "; ");
	fl_text_put_clean(w->out, rule->file);
	fl_text_print(w->out, ":%u\n[%s %s]\n", rule->line, rule->deny ? "deny" : "allow", name);
	if (rule->audit) {
		fl_text_print(w->out, "mode = audit\n");
	}
	put_slice(w->out, "from", &lists->from_slice);
	put_slice(w->out, "to", &lists->to_slice);
	put_slice(w->out, "sources", &lists->sources_slice);
	fits = put_list(w->out, "except_from", &lists->except_from);
	fits = put_list(w->out, "except_to", &rule->except_to) && fits;
	fits = put_list(w->out, "except_sources", &rule->except_sources) && fits;
	if (!fits) {
		fail(w, rule->file, rule->line, "exceptions for one section of an INI");
	}
	fl_text_print(w->out, "\n");
}

/* The items of `from`, `to` and `sources` are alternatives, so a rule that is too long becomes several. */
static void put_rule(struct writing *w, const struct fl_import_rule *rule, struct names *taken)
{
	struct lists lists = {
		.from = words_of(w, &rule->from,
				 rule->plaintext && w->plaintext ? "plaintext" : NULL),
		.except_from = words_of(w, &rule->except_from, NULL)};

	if (lists.from.is_cut || rule->to.is_cut || rule->sources.is_cut) {
		fail(w, rule->file, rule->line, "peers, ports or addresses for an INI");
	}
	lists.from_slice = (struct slice){.words = &lists.from};
	while (next_slice(&lists.from_slice)) {
		lists.to_slice = (struct slice){.words = &rule->to};
		while (next_slice(&lists.to_slice)) {
			lists.sources_slice = (struct slice){.words = &rule->sources};
			while (next_slice(&lists.sources_slice) && !w->is_too_large &&
			       w->out->len <= FL_CONF_MAX_SIZE) {
				char *name = section_name(taken, rule->name);

				put_section(w, rule, name, &lists);
				free(name);
			}
		}
	}
	fl_import_words_done(&lists.from);
	fl_import_words_done(&lists.except_from);
}

static void put_rules(struct writing *w, bool deny, struct names *taken)
{
	for (size_t i = 0; i < w->draft->rule_count; i++) {
		const struct fl_import_rule *rule = &w->draft->rules[i];

		if (rule->deny == deny && is_written(rule)) {
			put_rule(w, rule, taken);
		}
	}
}

/* If there is no ALLOW policy, Istio admits everybody whom no DENY policy refuses. As deny rules name trust domains, this one
 * does, too: a default would also admit peers of other ones, which no rule refuses. */
static void put_everybody(struct writing *w, struct names *taken)
{
	struct fl_import_words everybody = {0}, words;
	char *name = section_name(taken, "everybody");

	(void)fl_import_words_add(&everybody, fl_strdup(FL_IMPORT_ANY_DOMAIN "**"));
	words = words_of(w, &everybody, w->plaintext ? "plaintext" : NULL);
	fl_text_print(
		w->out,
		"; No ALLOW policy is for this workload, so Istio admits everybody whom no DENY "
		"policy refuses.\n[allow %s]\n",
		name);
	if (!put_list(w->out, "from", &words)) {
		fail(w, w->draft->objects[0].file, 1, "trust domains for one section of an INI");
	}
	fl_text_print(w->out, "\n");
	fl_import_words_done(&words);
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

static void put_domains(const struct writing *w)
{
	size_t width = w->out->len;

	fl_text_print(w->out, "; Rules for every trust domain name these:");
	for (size_t i = 0; i < w->domains.count; i++) {
		if (w->out->len - width > COMMENT_WIDTH) {
			width = w->out->len;
			fl_text_print(w->out, "\n;");
		}
		fl_text_print(w->out, " %s%s", w->domains.items[i],
			      i + 1 < w->domains.count ? "," : ".");
	}
	fl_text_print(w->out, " If a rule of yours admits peers of another one,\n; add it to the "
			      "[deny] rules, too.\n");
}

static void put_policy(struct writing *w)
{
	const struct fl_import_draft *draft = w->draft;
	bool open = draft->is_istio && !draft->is_linkerd && !draft->restricted;
	bool denies = has_deny_rules(draft);
	struct names taken = {0};

	if (draft->is_linkerd && !draft->is_istio) {
		fl_text_print(w->out,
			      "; Linkerd admits everybody at a port without a Server, unless "
			      "the cluster says otherwise; this INI does not.\n");
	}
	if (denies) {
		put_domains(w);
	}
	fl_text_print(w->out, "[policy]\ndefault = %s\n\n", open && !denies ? "allow" : "deny");
	put_rules(w, true, &taken);
	put_rules(w, false, &taken);
	if (open && denies) {
		put_everybody(w, &taken);
	}
	names_done(&taken);
}

int fl_import_write(const struct fl_import_draft *draft, struct fl_text *out, struct fl_err *err)
{
	struct writing w = {.draft = draft,
			    .out = out,
			    .domains = known_domains(draft),
			    .plaintext = lets_plaintext_in(draft),
			    .err = err};

	if (w.domains.count > FL_IMPORT_DOMAINS_MAX) {
		fl_import_words_done(&w.domains);
		return fl_err_set(err, FL_ERR_LIMIT, "the files name more than %d trust domains",
				  FL_IMPORT_DOMAINS_MAX);
	}
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
	return w.is_too_large ? FL_ERR_LIMIT : FL_OK;
}
