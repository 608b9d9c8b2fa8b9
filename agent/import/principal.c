/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/import/principal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pki/spiffe.h"

static const char cluster[] = "cluster.local";

/* Patterns of the draft may leave the trust domain open. */
static bool take_pattern(struct fl_import_words *ret, char *pattern)
{
	static const char any[] = FL_IMPORT_ANY_DOMAIN;
	char *checked = strncmp(pattern, any, sizeof(any) - 1) == 0
				? fl_format("spiffe://x/%s", pattern + sizeof(any) - 1)
				: fl_strdup(pattern);
	bool is = fl_import_is_pattern(checked);

	free(checked);
	if (!is) {
		free(pattern);
		return false;
	}
	return fl_import_words_add(ret, pattern);
}

/* --- trust domains ----------------------------------------------------------------------------------- */

/* The rest of an ID, in the mesh's trust domain and in each alias. */
static bool take_in_mesh(const struct fl_import_say *say, const char *rest,
			 struct fl_import_words *ret)
{
	bool said = true;

	for (size_t i = 0; said && i < say->draft->domains.count; i++) {
		said = take_pattern(
			ret, fl_format("spiffe://%s/%s", say->draft->domains.items[i], rest));
	}
	return said;
}

static bool is_of_mesh(const struct fl_import_say *say, const char *domain)
{
	return fl_import_words_have(&say->draft->domains, domain);
}

/* Which aliases the mesh has does not stand in the policies. If this domain is one, Istio refuses more than its peers. */
static void report_unknown_domain(const struct fl_import_say *say, const char *domain)
{
	if (say->refuses && !say->draft->has_aliases) {
		fl_import_miss(
			say->draft, say->object, say->where,
			"if `%.100s` is an alias of your trust domain, this refuses peers of "
			"%.100s, too, and the INI does not: name the aliases with "
			"--trust-domain-alias, or '' if there are none",
			domain, say->draft->trust_domain);
	}
}

/* Here Istio takes `cluster.local` literally, but who wrote it may have meant the own domain, and policies of a mesh with
 * that domain may be translated for another one. */
static bool take_literal_cluster(const struct fl_import_say *say, const char *rest,
				 struct fl_import_words *ret)
{
	fl_import_miss(
		say->draft, say->object, say->where,
		"Istio takes cluster.local literally here, and only in "
		"cluster.local/ns/NAMESPACE/sa/ACCOUNT as its trust domain: peers of %.100s are "
		"%s; write that domain if you mean it",
		say->draft->trust_domain, say->refuses ? "refused, too" : "not admitted by it");
	return take_pattern(ret, fl_format("spiffe://%s/%s", cluster, rest)) &&
	       (!say->refuses || take_in_mesh(say, rest, ret));
}

/* A domain, and the rest of an ID behind its slash. is_replaced: Istio takes `cluster.local`, the trust domain and its
 * aliases for the same (pilot/pkg/security/trustdomain). */
static bool take_in_domain(const struct fl_import_say *say, const char *domain, const char *rest,
			   bool is_replaced, struct fl_import_words *ret)
{
	if (strcmp(domain, cluster) == 0 && !is_replaced && !is_of_mesh(say, domain)) {
		return take_literal_cluster(say, rest, ret);
	}
	if (is_replaced && (is_of_mesh(say, domain) || strcmp(domain, cluster) == 0)) {
		return take_in_mesh(say, rest, ret);
	}
	if (is_replaced) {
		report_unknown_domain(say, domain);
	}
	return take_pattern(ret, fl_format("spiffe://%s/%s", domain, rest));
}

bool fl_import_say_domain(const struct fl_import_say *say, const char *text,
			  struct fl_import_words *ret)
{
	if (strcmp(text, "*") == 0) {
		return take_pattern(ret, fl_strdup(FL_IMPORT_ANY_DOMAIN "**"));
	}
	if (strchr(text, '*') != NULL || strchr(text, '/') != NULL) {
		return false;
	}
	/* Unlike in a principal, `cluster.local` does not stand for the trust domain. */
	return take_in_domain(say, text, "**", strcmp(text, cluster) != 0 || is_of_mesh(say, text),
			      ret);
}

/* --- principals -------------------------------------------------------------------------------------- */

/* TD/ns/NAMESPACE/sa/ACCOUNT, or something else with four slashes. */
static bool is_identity(const char *text)
{
	unsigned slashes = 0;

	for (; *text != '\0'; text++) {
		slashes += *text == '/' ? 1U : 0U;
	}
	return slashes == 4;
}

/* An ID without a wildcard, or with one at its end. A pattern can leave only whole segments open: everything below a
 * namespace, but not names that begin alike. */
static bool say_id(const struct fl_import_say *say, const char *text, struct fl_import_words *ret)
{
	size_t len = strlen(text);
	const char *slash = strchr(text, '/');
	bool is_prefix = len > 0 && text[len - 1] == '*', said;
	char *domain, *rest;

	if (slash == NULL || (is_prefix && text[len - 2] != '/')) {
		return false;
	}
	domain = fl_strndup(text, (size_t)(slash - text));
	rest = fl_format("%s%s", slash + 1, is_prefix ? "*" : "");
	said = take_in_domain(say, domain, rest, is_identity(text), ret);
	free(domain);
	free(rest);
	return said;
}

/* text begins with `*`. IDs of Istio have the form TD/ns/NAMESPACE/sa/ACCOUNT, so the end of an ID can be completed. */
static bool say_suffix(const char *text, struct fl_import_words *ret)
{
	if (strncmp(text, "*/ns/", strlen("*/ns/")) == 0) {
		return take_pattern(ret, fl_format(FL_IMPORT_ANY_DOMAIN "%s", text + 2));
	}
	return strncmp(text, "*/sa/", strlen("*/sa/")) == 0 && strchr(text + 5, '/') == NULL &&
	       take_pattern(ret, fl_format(FL_IMPORT_ANY_DOMAIN "ns/%s", text));
}

/* Istio puts `spiffe://` before what is written (pilot/pkg/security/authz/matcher), so such a principal matches nobody. */
static bool say_with_scheme(const struct fl_import_say *say, const char *id,
			    struct fl_import_words *ret)
{
	fl_import_miss(say->draft, say->object, say->where,
		       "Istio adds `spiffe://` itself, so this matches nobody there: it %s",
		       say->refuses ? "is refused, as if it were written without" : "is left out");
	return say->refuses && strchr(id, '*') == NULL && say_id(say, id, ret);
}

/* Only the first and the last character may be a wildcard; everywhere else Istio takes `*` literally. */
bool fl_import_say_principal(const struct fl_import_say *say, const char *text,
			     struct fl_import_words *ret)
{
	const char *id = fl_spiffe_after_scheme(text);
	const char *star = strchr(text, '*');

	if (id != NULL) {
		return say_with_scheme(say, id, ret);
	}
	if (strcmp(text, "*") == 0) {
		return take_pattern(ret, fl_strdup(FL_IMPORT_ANY_DOMAIN "**"));
	}
	if (star == text) {
		return strchr(star + 1, '*') == NULL && say_suffix(text, ret);
	}
	return (star == NULL || star[1] == '\0') && say_id(say, text, ret);
}

/* --- namespaces and accounts ------------------------------------------------------------------------- */

bool fl_import_say_namespace(const struct fl_import_say *say, const char *text,
			     struct fl_import_words *ret)
{
	(void)say;
	if (strcmp(text, "*") == 0) {
		return take_pattern(ret, fl_strdup(FL_IMPORT_ANY_DOMAIN "ns/*/sa/*"));
	}
	return strchr(text, '*') == NULL && strchr(text, '/') == NULL &&
	       take_pattern(ret, fl_format(FL_IMPORT_ANY_DOMAIN "ns/%s/sa/*", text));
}

bool fl_import_say_account(const struct fl_import_say *say, const char *text,
			   struct fl_import_words *ret)
{
	const char *slash = strchr(text, '/');
	int ns_len = slash != NULL ? (int)(slash - text) : (int)strlen(say->object->ns);

	return strchr(text, '*') == NULL &&
	       take_pattern(ret, fl_format(FL_IMPORT_ANY_DOMAIN "ns/%.*s/sa/%s", ns_len,
					   slash != NULL ? text : say->object->ns,
					   slash != NULL ? slash + 1 : text));
}
