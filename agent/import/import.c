/* SPDX-License-Identifier: GPL-3.0-or-later */
/* import - the command: reads the files, finds the workload, and passes each resource to istio.c or linkerd.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/common/command.h"
#include "agent/import/draft.h"
#include "agent/import/yaml_file.h"
#include "base/mem.h"

#define FILE_MAX_SIZE (16U << 20)
#define CHUNK 65536

enum {
	OPTION_TRUST_DOMAIN,
	OPTION_ALIASES,
	OPTION_NAMESPACE,
	OPTION_LABELS,
	OPTION_ROOT_NAMESPACE
};

struct input {
	struct fl_yaml_file *files;
	size_t count;
};

static int complain(const char *text)
{
	(void)fprintf(stderr, "fairlead-agent import: %s\n", text);
	return 2;
}

/* --- files ---------------------------------------------------------------------------------------- */

static int read_stream(FILE *stream, const char *name, struct fl_text *text, struct fl_err *err)
{
	char *chunk = fl_new(CHUNK);
	size_t len;

	while ((len = fread(chunk, 1, CHUNK, stream)) > 0 && text->len <= FILE_MAX_SIZE) {
		fl_text_put(text, chunk, len);
	}
	free(chunk);
	if (ferror(stream) != 0) {
		return fl_err_sys(err, errno, "%s cannot be read", name);
	}
	return text->len <= FILE_MAX_SIZE
		       ? FL_OK
		       : fl_err_set(err, FL_ERR_LIMIT, "%s has more than %u bytes", name,
				    FILE_MAX_SIZE);
}

static int read_file(const char *path, struct fl_text *text, struct fl_err *err)
{
	FILE *stream = fopen(path, "re");
	int rc;

	if (stream == NULL) {
		return fl_err_sys(err, errno, "%s cannot be opened", path);
	}
	rc = read_stream(stream, path, text, err);
	(void)fclose(stream);
	return rc;
}

static int add_file(struct input *input, const char *path, struct fl_err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	const char *name = is_stdin ? "stdin" : path;
	struct fl_text text = {0};
	struct fl_yaml_file file = {0};
	int rc = is_stdin ? read_stream(stdin, name, &text, err) : read_file(path, &text, err);

	if (rc == FL_OK) {
		rc = fl_yaml_parse(name, text.data != NULL ? text.data : "", text.len, &file, err);
	}
	if (rc == FL_OK) {
		input->files = fl_grow(input->files, input->count + 1, sizeof(struct fl_yaml_file));
		input->files[input->count++] = file;
	}
	fl_text_done(&text);
	return rc;
}

static void input_done(struct input *input)
{
	for (size_t i = 0; i < input->count; i++) {
		fl_yaml_file_done(&input->files[i]);
	}
	free(input->files);
}

/* --- the workload --------------------------------------------------------------------------------- */

/* False: one of them is no `KEY=VALUE`. */
static bool read_some_labels(struct fl_import_draft *draft, const char *text)
{
	bool good = true;

	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		char *label = fl_strndup(text, len);

		good = good && label[0] != '=' && strchr(label, '=') != NULL &&
		       strpbrk(label, " \t") == NULL;
		good = fl_import_words_add(&draft->labels, label) && good;
		text += len + (text[len] == ',');
	}
	return good;
}

static bool read_labels(struct fl_import_draft *draft, const struct fl_command_line *line)
{
	bool good = true;

	draft->has_labels = line->options[OPTION_LABELS] != NULL;
	for (size_t i = 0; i < line->repeated_count; i++) {
		if (line->repeated[i].option == OPTION_LABELS) {
			good = read_some_labels(draft, line->repeated[i].value) && good;
		}
	}
	return good;
}

/* The only namespace of the resources, besides the root namespace. A resource without one belongs to the namespace in which
 * it is applied. */
static int find_namespace(struct fl_import_draft *draft, const char *given, struct fl_err *err)
{
	const char *found = NULL;

	if (given != NULL && given[0] == '\0') {
		return fl_err_set(err, FL_ERR_INVALID, "--namespace is empty");
	}
	if (given != NULL && !fl_import_is_namespace(given)) {
		return fl_err_set(err, FL_ERR_INVALID, "--namespace %.100s is no namespace", given);
	}
	for (size_t i = 0; given == NULL && i < draft->object_count; i++) {
		const char *ns = draft->objects[i].ns;

		if (ns[0] == '\0' || strcmp(ns, draft->root_ns) == 0 ||
		    (found != NULL && strcmp(ns, found) == 0)) {
			continue;
		}
		if (found != NULL) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "the files are about the namespaces %.100s, %.100s and "
					  "perhaps more: name that of your workload, for example "
					  "--namespace %.100s",
					  found, ns, found);
		}
		found = ns;
	}
	draft->ns = fl_strdup(given != NULL ? given : found != NULL ? found : "default");
	for (size_t i = 0; i < draft->object_count; i++) {
		if (draft->objects[i].ns[0] == '\0') {
			draft->objects[i].ns = draft->ns;
		}
		draft->knows_ns = draft->knows_ns || strcmp(draft->objects[i].ns, draft->ns) == 0;
	}
	return FL_OK;
}

/* Istio's resources in the root namespace apply to all namespaces, others to their own. Linkerd has no root namespace. A
 * DestinationRule is about destinations: fl_import_destination() finds out. */
static bool is_about_namespace(const struct fl_import_draft *draft,
			       const struct fl_import_object *object)
{
	return strcmp(object->ns, draft->ns) == 0 ||
	       (fl_import_is_istio(object) && (strcmp(object->ns, draft->root_ns) == 0 ||
					       strcmp(object->kind, "DestinationRule") == 0));
}

static void translate(struct fl_import_draft *draft)
{
	for (size_t i = 0; i < draft->object_count; i++) {
		const struct fl_import_object *object = &draft->objects[i];

		if (!is_about_namespace(draft, object)) {
			continue;
		}
		if (fl_import_is_istio(object)) {
			fl_import_istio(draft, object);
		} else {
			fl_import_linkerd(draft, object);
		}
	}
	fl_import_istio_finish(draft);
	fl_import_linkerd_finish(draft);
}

/* --- all of it ------------------------------------------------------------------------------------ */

static void draft_done(struct fl_import_draft *draft)
{
	for (size_t i = 0; i < draft->rule_count; i++) {
		struct fl_import_rule *rule = &draft->rules[i];

		free(rule->name);
		free(rule->file);
		fl_import_words_done(&rule->from);
		fl_import_words_done(&rule->to);
		fl_import_words_done(&rule->sources);
		fl_import_words_done(&rule->except_from);
		fl_import_words_done(&rule->except_to);
		fl_import_words_done(&rule->except_sources);
	}
	for (size_t i = 0; i < draft->port_count; i++) {
		free(draft->ports[i].name);
	}
	for (size_t i = 0; i < draft->upstream_count; i++) {
		free(draft->upstreams[i].name);
		free(draft->upstreams[i].to);
		fl_import_words_done(&draft->upstreams[i].peer);
	}
	fl_import_destinations_done(draft);
	free(draft->rules);
	free(draft->ports);
	free(draft->upstreams);
	free(draft->objects);
	free(draft->ns);
	fl_import_words_done(&draft->domains);
	fl_import_words_done(&draft->kinds);
	fl_import_words_done(&draft->labels);
	fl_import_words_done(&draft->refused_lines);
	fl_import_words_done(&draft->missed_lines);
}

static int write_out(struct fl_import_draft *draft)
{
	struct fl_text out = {0};
	struct fl_err err;
	int code = draft->missed_lines.count > 0 ? 1 : 0;

	if (fl_import_write(draft, &out, &err) != FL_OK) {
		code = complain(err.text);
	} else if (out.len > FL_CONF_MAX_SIZE) {
		code = complain("the INI would have more than a mebibyte, which is the limit");
	} else {
		(void)fwrite(out.data, 1, out.len, stdout);
		code = fl_command_flush("the INI", code);
	}
	fl_text_done(&out);
	return code;
}

static bool is_trust_domain(const char *text)
{
	char *pattern = fl_format("spiffe://%s/**", text);
	bool is = fl_import_is_pattern(pattern) && strchr(text, '/') == NULL;

	free(pattern);
	return is;
}

/* The trust domain first, then its aliases. "": there are none. False: one of them is no trust domain. */
static bool read_domains(struct fl_import_draft *draft, const struct fl_command_line *line)
{
	bool good = is_trust_domain(draft->trust_domain);

	draft->has_aliases = line->options[OPTION_ALIASES] != NULL;
	(void)fl_import_words_add(&draft->domains, fl_strdup(draft->trust_domain));
	for (size_t i = 0; i < line->repeated_count; i++) {
		const char *alias = line->repeated[i].value;

		if (line->repeated[i].option == OPTION_ALIASES && alias[0] != '\0') {
			good = good && is_trust_domain(alias);
			(void)fl_import_words_add(&draft->domains, fl_strdup(alias));
		}
	}
	return good;
}

static int import_input(struct fl_import_draft *draft, const char *ns, const struct input *input)
{
	struct fl_err err;

	for (size_t i = 0; i < input->count; i++) {
		fl_import_collect(draft, &input->files[i]);
	}
	if (draft->object_count == 0 && draft->refused == 0) {
		return complain("none of the files holds a policy of Istio (security.istio.io, "
				"networking.istio.io) or of Linkerd (policy.linkerd.io)");
	}
	if (draft->refused == 0 && find_namespace(draft, ns, &err) != FL_OK) {
		return complain(err.text);
	}
	if (draft->refused == 0) {
		fl_import_unite(draft);
	}
	if (draft->refused == 0) {
		translate(draft);
	}
	return draft->refused > 0 ? complain("nothing was written: correct the lines above first")
				  : write_out(draft);
}

static int import(const struct fl_command_line *line)
{
	const char *trust_domain = line->options[OPTION_TRUST_DOMAIN];
	const char *root_ns = line->options[OPTION_ROOT_NAMESPACE];
	struct fl_import_draft draft = {.trust_domain = trust_domain != NULL ? trust_domain
									     : "cluster.local",
					.root_ns = root_ns != NULL ? root_ns : "istio-system",
					.mode = FL_INBOUND_STRICT};
	struct input input = {0};
	struct fl_err err;
	int code = 0;

	if (line->word_count == 0) {
		return fl_command_complain(line->command,
					   "missing FILE: the policies to translate; `-` is stdin");
	}
	for (size_t i = 0; i < line->word_count && code == 0; i++) {
		if (add_file(&input, line->words[i], &err) != FL_OK) {
			code = complain(err.text);
		}
	}
	if (code == 0 && !read_domains(&draft, line)) {
		code = complain("--trust-domain or --trust-domain-alias is no trust domain: name "
				"one as in spiffe://prod.example/…, prod.example");
	}
	if (code == 0 && !read_labels(&draft, line)) {
		code = complain("--labels must be KEY=VALUE, or several with commas between them");
	}
	if (code == 0) {
		code = import_input(&draft, line->options[OPTION_NAMESPACE], &input);
	}
	draft_done(&draft);
	input_done(&input);
	return code;
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent import - policies of Istio and Linkerd as INI\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent import [--labels KEY=VALUE,...] [--namespace NS]\n"
	"                        [--trust-domain NAME] [--trust-domain-alias NAME]...\n"
	"                        [--root-namespace NS] FILE...\n"
	"\n"
	"DESCRIPTION\n"
	"  Reads resources as YAML or JSON, as kubectl get -o yaml prints them, and\n"
	"  writes the sections of an INI for one workload: who may reach it, in which\n"
	"  mode, and whom it may reach. Add [identity] yourself; then run check.\n"
	"\n"
	"  It reads AuthorizationPolicy, PeerAuthentication and DestinationRule of Istio,\n"
	"  and Server, AuthorizationPolicy, MeshTLSAuthentication and\n"
	"  NetworkAuthentication of Linkerd. Resources of other systems are skipped.\n"
	"\n"
	"  What has no counterpart (HTTP methods, paths, JWTs, ports by name) is reported\n"
	"  with FILE:LINE on stderr and in comments of the INI. The translation never\n"
	"  admits what the original refuses: an ALLOW rule with such a condition is left\n"
	"  out, a DENY rule loses the condition and refuses more. What a CUSTOM policy\n"
	"  would ask an authorizer about is refused. Of several DestinationRules that may\n"
	"  decide about a host, each port gets the strictest. A policy in dry run becomes\n"
	"  a rule with mode = audit.\n"
	"\n"
	"  If a resource is not valid (a list where a mapping belongs, an unknown action,\n"
	"  a key twice), or occurs twice and differs, each place is reported with\n"
	"  FILE:LINE, and no INI is written. The same holds for words of which kubectl\n"
	"  makes something else than they say: it reads a port 010 as 8, and a namespace\n"
	"  on without quotes as true. In a Server, \"8080\" in quotes is the name of a\n"
	"  port. A Server for a port by name may be for each port, so those by number\n"
	"  beside it admit nobody, until you write its number.\n"
	"\n"
	"OPTIONS\n"
	"      --labels KEY=VALUE,...  the labels of the workload's pods. Without it,\n"
	"                      allowing policies that select by labels are left out, and\n"
	"                      denying ones are applied\n"
	"      --namespace NS  the workload's namespace; default: the only one in the\n"
	"                      files\n"
	"      --trust-domain NAME  the trust domain of the SPIFFE IDs; default\n"
	"                      cluster.local. As in Istio, it also replaces cluster.local\n"
	"                      in principals like cluster.local/ns/NS/sa/ACCOUNT; where\n"
	"                      Istio takes cluster.local literally, that is reported\n"
	"      --trust-domain-alias NAME  an alias of it, as in Istio's\n"
	"                      trustDomainAliases: rules for one of them are for all.\n"
	"                      Several times for several, '' if there are none; without\n"
	"                      it, rules are reported that refuse peers of other domains\n"
	"      --root-namespace NS  the namespace whose policies apply to all others;\n"
	"                      default istio-system\n" FL_PAGE_OPTIONS_HELP "\n"
	"EXIT STATUS\n"
	"  0  everything could be expressed\n"
	"  1  something could not, and is reported\n"
	"  2  a file cannot be read or is not valid, or the workload is not known\n" FL_PAGE_EXIT_UNWRITTEN
	"\n"
	"EXAMPLES\n"
	"  kubectl get authorizationpolicies,peerauthentications,destinationrules -A \\\n"
	"    -o yaml | fairlead-agent import --namespace prod --labels app=api -\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent check, fairlead-agent explain\n";

const struct fl_command fl_command_import = {
	.name = "import",
	.summary = "translate policies of Istio and Linkerd into an INI",
	.page = page,
	.run = import,
	.options = {[OPTION_TRUST_DOMAIN] = {.name = "trust-domain", .has_value = true},
		    [OPTION_ALIASES] = {.name = "trust-domain-alias",
					.has_value = true,
					.repeats = true},
		    [OPTION_NAMESPACE] = {.name = "namespace", .has_value = true},
		    [OPTION_LABELS] = {.name = "labels", .has_value = true, .repeats = true},
		    [OPTION_ROOT_NAMESPACE] = {.name = "root-namespace", .has_value = true}},
	.words_max = FL_COMMAND_WORDS_MAX,
	.capabilities = FL_COMMAND_READS_ALL,
};
