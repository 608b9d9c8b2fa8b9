/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keys - every section and key that the INI can have, as tables, and the walk over an INI with them.
 *
 * A key has a type, a place in its section's struct, and an example for messages; one that is not
 * built yet says what to do instead. A section or key that is in no table, and a name that cannot be
 * one, is reported and skipped; settings.c does the same for values that are refused. */
#include "conf/settings.h"

#include <string.h>

#include "base/mem.h"
#include "conf/values.h"
#include "pki/spiffe.h"

#define NOWHERE SIZE_MAX /* offset of a key that changes nothing, or not in one field */
#define MS_SECOND 1000U
#define MS_HOUR (3600U * MS_SECOND)

enum kind {
	KIND_ONE,      /* fields of struct fl_conf */
	KIND_POLICY,   /* fields of struct fl_build */
	KIND_FEDERATE, /* and these by name */
	KIND_SERVICE,
	KIND_UPSTREAM,
	KIND_ALLOW,
	KIND_DENY,
};

struct section {
	const char *name;
	enum kind kind;
	const struct fl_key *keys;
	size_t key_count;
};

#define WORDS(list) .words = (list), .word_count = FL_COUNT_OF(list)
#define IN_CONF(field) .offset = offsetof(struct fl_conf, field)
#define ELSEWHERE .offset = NOWHERE

/* --- words --------------------------------------------------------------------------------- */

static const struct fl_word effects[] = {{.text = "allow", .value = FL_ALLOW},
					 {.text = "deny", .value = FL_DENY}};
static const struct fl_word policy_modes[] = {
	{.text = "enforce"}, {.text = "audit", .instead = "write `mode = enforce`"}};
static const struct fl_word inbound_modes[] = {
	{.text = "strict"},
	{.text = "permissive", .instead = "write `mode = strict`"},
	{.text = "plaintext", .instead = "write `mode = strict`"}};
static const struct fl_word outbound_modes[] = {
	{.text = "mtls"},
	{.text = "plaintext", .instead = "write `mode = mtls`"},
	{.text = "refuse", .instead = "write `mode = mtls`, or leave the [upstream] out"}};
static const struct fl_word proxy_protocols[] = {
	{.text = "off"}, {.text = "v2", .instead = "write `proxy_protocol = off`"}};
static const struct fl_word tickets[] = {{.text = "off", .value = FL_TICKETS_OFF},
					 {.text = "on", .value = FL_TICKETS_ON}};
#define KEEP "write `keep`, open connections are not judged again for now"
static const struct fl_word on_change[] = {{.text = "keep"}, {.text = "close", .instead = KEEP}};
static const struct fl_word levels[] = {{.text = "debug", .value = FL_LOG_DEBUG},
					{.text = "info", .value = FL_LOG_INFO},
					{.text = "warn", .value = FL_LOG_WARN},
					{.text = "error", .value = FL_LOG_ERROR}};
static const struct fl_word formats[] = {{.text = "json", .value = FL_LOG_JSON},
					 {.text = "text", .value = FL_LOG_TEXT}};
static const struct fl_word accesses[] = {{.text = "all", .value = FL_ACCESS_ALL},
					  {.text = "denied", .value = FL_ACCESS_DENIED},
					  {.text = "off", .value = FL_ACCESS_OFF}};
static const struct fl_word groups[] = {
	{.text = "X25519MLKEM768", .value = FL_GROUP_X25519MLKEM768},
	{.text = "X25519", .value = FL_GROUP_X25519},
	{.text = "P-256", .value = FL_GROUP_P256}};
static const struct fl_word ciphers[] = {
	{.text = "TLS_AES_128_GCM_SHA256", .value = FL_CIPHER_AES_128_GCM},
	{.text = "TLS_AES_256_GCM_SHA384", .value = FL_CIPHER_AES_256_GCM},
	{.text = "TLS_CHACHA20_POLY1305_SHA256", .value = FL_CIPHER_CHACHA20}};

/* --- tables -------------------------------------------------------------------------------- */

#define LATER(key, instead)                                                                        \
	{                                                                                          \
		.name = (key), .type = FL_TYPE_LATER, .hint = (instead)                            \
	}
#define NO_CAPTURE "traffic is not captured for now, remove the line and use fixed listeners"
#define NO_CAPTURED_PORT "captured ports are not there for now, use `listen` and `app`"

static const struct fl_key identity_keys[] = {
	{.name = "cert",
	 .type = FL_TYPE_PATH,
	 IN_CONF(identity.cert),
	 .hint = "/var/run/fairlead/tls/tls.crt"},
	{.name = "key",
	 .type = FL_TYPE_PATH,
	 IN_CONF(identity.key),
	 .hint = "/var/run/fairlead/tls/tls.key"},
	{.name = "bundle",
	 .type = FL_TYPE_PATH,
	 IN_CONF(identity.bundle),
	 .hint = "/var/run/fairlead/tls/ca.crt"},
	{.name = "credential_bundle",
	 .type = FL_TYPE_PATH,
	 IN_CONF(identity.credential_bundle),
	 .hint = "/var/run/fairlead/tls/credential-bundle.pem"},
	{.name = "crl",
	 .type = FL_TYPE_PATH,
	 IN_CONF(identity.crl),
	 .hint = "/var/run/fairlead/tls/crl.pem"},
};
static const struct fl_key federate_keys[] = {
	{.name = "bundle",
	 .type = FL_TYPE_PATH,
	 .offset = offsetof(struct fl_conf_bundle, path),
	 .hint = "/var/run/fairlead/partner/ca.crt"},
};
static const struct fl_key sidecar_keys[] = {
	{.name = "inbound", .type = FL_TYPE_OWN, .set = fl_set_capture, ELSEWHERE},
	{.name = "outbound", .type = FL_TYPE_OWN, .set = fl_set_capture, ELSEWHERE},
	{.name = "admin",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_admin,
	 IN_CONF(sidecar.admin),
	 .hint = "*:15020"},
	LATER("control", "the tools' socket is not there for now, remove the line"),
	{.name = "workers",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_workers,
	 IN_CONF(sidecar.workers),
	 .hint = "auto"},
	{.name = "drain",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(sidecar.drain_ms),
	 .max = 24 * MS_HOUR,
	 .hint = "30s"},
};
static const struct fl_key agent_keys[] = {
	{.name = "socket",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_socket_path,
	 IN_CONF(agent.socket),
	 .hint = "/run/fairlead/agent.sock"},
	/* The highest uid stands for "none" in system calls. */
	{.name = "sidecar_uid",
	 .type = FL_TYPE_COUNT,
	 IN_CONF(agent.sidecar_uid),
	 .max = UINT32_MAX - 1,
	 .hint = "2112"},
};
static const struct fl_key tls_keys[] = {
	{.name = "groups",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_groups,
	 .offset = 0,
	 WORDS(groups),
	 .hint = "X25519MLKEM768, X25519"},
	{.name = "ciphers",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_ciphers,
	 .offset = 0,
	 WORDS(ciphers),
	 .hint = "TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256"},
	{.name = "tickets", .type = FL_TYPE_WORD, IN_CONF(tls.tickets), WORDS(tickets)},
};
static const struct fl_key inbound_keys[] = {
	{.name = "mode", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(inbound_modes)},
	LATER("detect_timeout", "only mutual TLS is let in for now, remove the line"),
	{.name = "proxy_protocol", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(proxy_protocols)},
};
static const struct fl_key service_keys[] = {
	LATER("port", NO_CAPTURED_PORT),
	{.name = "listen",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_service_listen,
	 .offset = offsetof(struct fl_conf_service, listen),
	 .hint = "*:8443"},
	{.name = "app",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_app,
	 .offset = offsetof(struct fl_conf_service, app),
	 .hint = "127.0.0.1:8080"},
	{.name = "mode", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(inbound_modes)},
};
static const struct fl_key outbound_keys[] = {
	LATER("default", NO_CAPTURE),
	LATER("peer", NO_CAPTURE),
};
static const struct fl_key upstream_keys[] = {
	{.name = "listen",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_upstream_listen,
	 .offset = offsetof(struct fl_conf_upstream, listen),
	 .hint = "127.0.0.1:7001"},
	{.name = "to",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_targets,
	 .offset = 0,
	 .hint = "ledger.prod.svc.cluster.local:8443"},
	{.name = "mode", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(outbound_modes)},
	{.name = "peer",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_peer,
	 .offset = 0,
	 .hint = "spiffe://prod.example/ns/prod/sa/ledger"},
};
static const struct fl_key policy_keys[] = {
	{.name = "default",
	 .type = FL_TYPE_WORD,
	 .offset = offsetof(struct fl_build, default_effect),
	 WORDS(effects)},
	{.name = "mode", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(policy_modes)},
};
static const struct fl_key rule_keys[] = {
	{.name = "from",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_from,
	 .offset = 0,
	 .hint = "spiffe://prod.example/ns/web/sa/*"},
	{.name = "to",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_rule_targets,
	 .offset = 0,
	 .hint = "8080, 9000-9010, web"},
	LATER("sources", "rules go by identity alone for now, remove the line"),
};
static const struct fl_key limits_keys[] = {
	{.name = "connections",
	 .type = FL_TYPE_COUNT,
	 IN_CONF(limits.connections),
	 .min = 1,
	 .max = 10000000,
	 .hint = "20000"},
	{.name = "handshakes",
	 .type = FL_TYPE_COUNT,
	 IN_CONF(limits.handshakes),
	 .min = 1,
	 .max = 10000000,
	 .hint = "512"},
	{.name = "handshake_timeout",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(limits.handshake_timeout_ms),
	 .min = 10,
	 .max = MS_HOUR,
	 .hint = "10s"},
	{.name = "connect_timeout",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(limits.connect_timeout_ms),
	 .min = 10,
	 .max = MS_HOUR,
	 .hint = "5s"},
	{.name = "idle_timeout",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(limits.idle_timeout_ms),
	 .min = 10,
	 .max = 1000 * MS_HOUR,
	 .hint = "1h"},
	{.name = "buffer",
	 .type = FL_TYPE_SIZE,
	 IN_CONF(limits.buffer),
	 .min = 4096,
	 .max = 1024 * 1024,
	 .hint = "64KiB"},
	{.name = "max_age", .type = FL_TYPE_OWN, .set = fl_set_never, ELSEWHERE},
};
static const struct fl_key rotation_keys[] = {
	{.name = "on_trust_loss", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(on_change)},
	{.name = "on_expiry", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(on_change)},
	{.name = "on_policy_loss", .type = FL_TYPE_WORD, ELSEWHERE, WORDS(on_change)},
	{.name = "recycle", .type = FL_TYPE_OWN, .set = fl_set_never, ELSEWHERE},
};
static const struct fl_key redirect_keys[] = {
	LATER("mode", NO_CAPTURE),
	LATER("inbound_ports", NO_CAPTURE),
	LATER("exclude_inbound", NO_CAPTURE),
	LATER("outbound", NO_CAPTURE),
	LATER("exclude_outbound", NO_CAPTURE),
	LATER("other_protocols", NO_CAPTURE),
};
static const struct fl_key log_keys[] = {
	{.name = "level", .type = FL_TYPE_WORD, IN_CONF(log.level), WORDS(levels)},
	{.name = "format", .type = FL_TYPE_WORD, IN_CONF(log.format), WORDS(formats)},
	{.name = "access", .type = FL_TYPE_WORD, IN_CONF(log.access), WORDS(accesses)},
};

#define SECTION(text, of_kind, list)                                                               \
	{                                                                                          \
		(text), (of_kind), (list), FL_COUNT_OF(list)                                       \
	}
static const struct section sections[] = {
	SECTION("identity", KIND_ONE, identity_keys),
	SECTION("federate", KIND_FEDERATE, federate_keys),
	SECTION("sidecar", KIND_ONE, sidecar_keys),
	SECTION("agent", KIND_ONE, agent_keys),
	SECTION("tls", KIND_ONE, tls_keys),
	SECTION("inbound", KIND_ONE, inbound_keys),
	SECTION("service", KIND_SERVICE, service_keys),
	SECTION("outbound", KIND_ONE, outbound_keys),
	SECTION("upstream", KIND_UPSTREAM, upstream_keys),
	SECTION("policy", KIND_POLICY, policy_keys),
	SECTION("allow", KIND_ALLOW, rule_keys),
	SECTION("deny", KIND_DENY, rule_keys),
	SECTION("limits", KIND_ONE, limits_keys),
	SECTION("rotation", KIND_ONE, rotation_keys),
	SECTION("redirect", KIND_ONE, redirect_keys),
	SECTION("log", KIND_ONE, log_keys),
};
#define KEYS_MAX 8 /* of one section */

/* --- sections ------------------------------------------------------------------------------ */

static const struct section *find_section(const char *name)
{
	for (size_t i = 0; i < FL_COUNT_OF(sections); i++) {
		if (strcmp(sections[i].name, name) == 0) {
			return &sections[i];
		}
	}
	return NULL;
}

static const struct fl_key *find_key(const struct section *section, const char *name)
{
	for (size_t i = 0; i < section->key_count; i++) {
		if (strcmp(section->keys[i].name, name) == 0) {
			return &section->keys[i];
		}
	}
	return NULL;
}

static void report_section(struct fl_build *build, const struct fl_ini_section *header)
{
	const char *names[FL_COUNT_OF(sections)];
	char suggestion[FL_SUGGEST_TEXT];

	for (size_t i = 0; i < FL_COUNT_OF(sections); i++) {
		names[i] = sections[i].name;
	}
	(void)fl_suggest_text(fl_suggest(header->kind, names, FL_COUNT_OF(names)), suggestion);
	fl_problem_error(build->problems, header->line, "unknown section [%s]%s", header->kind,
			 suggestion);
}

/* Another section that has this very key, or NULL. */
static const struct section *section_of_key(const char *name)
{
	for (size_t i = 0; i < FL_COUNT_OF(sections); i++) {
		if (find_key(&sections[i], name) != NULL) {
			return &sections[i];
		}
	}
	return NULL;
}

static void report_key(struct fl_build *build, const struct section *section,
		       const struct fl_ini_entry *entry)
{
	const struct section *other = section_of_key(entry->key);
	const char *names[KEYS_MAX];
	const char *near;
	char suggestion[FL_SUGGEST_TEXT];

	FL_REQUIRE(section->key_count <= KEYS_MAX);
	for (size_t i = 0; i < section->key_count; i++) {
		names[i] = section->keys[i].name;
	}
	near = fl_suggest(entry->key, names, section->key_count);
	if (near == NULL && other != NULL) {
		fl_problem_error(build->problems, entry->line,
				 "unknown key `%s` in [%s]: it belongs into [%s%s]", entry->key,
				 section->name, other->name,
				 other->kind >= KIND_FEDERATE ? " NAME" : "");
		return;
	}
	fl_problem_error(build->problems, entry->line, "unknown key `%s` in [%s]%s", entry->key,
			 section->name, fl_suggest_text(near, suggestion));
}

static void check_name(struct fl_build *build, const struct section *section,
		       const struct fl_ini_section *header)
{
	bool named = section->kind >= KIND_FEDERATE;
	struct fl_err err = {0};
	int rc = 0;

	if (named && header->name == NULL) {
		fl_problem_error(build->problems, header->line, "[%s] needs a name: [%s %s]",
				 section->name, section->name,
				 section->kind == KIND_FEDERATE ? "TRUST_DOMAIN" : "NAME");
	} else if (!named && header->name != NULL) {
		fl_problem_error(build->problems, header->line, "[%s] has no name: write [%s]",
				 section->name, section->name);
	} else if (section->kind == KIND_FEDERATE) {
		rc = fl_spiffe_trust_domain_check(header->name, strlen(header->name), &err);
	} else if (named) {
		rc = fl_value_name(header->name, &err);
	}
	if (rc != 0) {
		fl_problem_error(build->problems, header->line, "[%s %s]: %s", section->name,
				 header->name, err.text);
	}
}

/* --- places -------------------------------------------------------------------------------- */

/* NULL for a section that has been reported as one too many: check.c passes it over. */
static const char *name_of(const struct fl_ini_section *header)
{
	return header->repeated ? NULL : header->name;
}

static void *add_bundle(struct fl_conf *conf, const struct fl_ini_section *header)
{
	struct fl_conf_bundle *bundle;

	conf->federate = fl_grow(conf->federate, conf->federate_count + 1, sizeof(*bundle));
	bundle = &conf->federate[conf->federate_count++];
	*bundle = (struct fl_conf_bundle){.line = header->line,
					  .trust_domain = fl_strdup(name_of(header))};
	return bundle;
}

static void *add_service(struct fl_conf *conf, const struct fl_ini_section *header)
{
	struct fl_conf_service *service;

	conf->services = fl_grow(conf->services, conf->service_count + 1, sizeof(*service));
	service = &conf->services[conf->service_count++];
	*service =
		(struct fl_conf_service){.line = header->line, .name = fl_strdup(name_of(header))};
	return service;
}

static void *add_upstream(struct fl_conf *conf, const struct fl_ini_section *header)
{
	struct fl_conf_upstream *upstream;

	conf->upstreams = fl_grow(conf->upstreams, conf->upstream_count + 1, sizeof(*upstream));
	upstream = &conf->upstreams[conf->upstream_count++];
	*upstream =
		(struct fl_conf_upstream){.line = header->line, .name = fl_strdup(name_of(header))};
	return upstream;
}

static void *add_rule(struct fl_build *build, const struct fl_ini_section *header,
		      enum fl_effect effect)
{
	struct fl_rule_draft *rule;

	build->rules = fl_grow(build->rules, build->rule_count + 1, sizeof(*rule));
	rule = &build->rules[build->rule_count++];
	*rule = (struct fl_rule_draft){
		.name = name_of(header), .line = header->line, .effect = effect};
	return rule;
}

/* The struct that the keys of a section fill in: a new one for each section that has a name. Valid
 * until the next section is taken. */
static void *place_of(struct fl_build *build, const struct section *section,
		      const struct fl_ini_section *header)
{
	switch (section->kind) {
	case KIND_POLICY:
		return build;
	case KIND_FEDERATE:
		return add_bundle(build->conf, header);
	case KIND_SERVICE:
		return add_service(build->conf, header);
	case KIND_UPSTREAM:
		return add_upstream(build->conf, header);
	case KIND_ALLOW:
		return add_rule(build, header, FL_ALLOW);
	case KIND_DENY:
		return add_rule(build, header, FL_DENY);
	case KIND_ONE:
		break;
	}
	return build->conf;
}

/* first, count: its entries. A repeated section has been reported and the INI will be refused, yet
 * what stands in it is checked like the rest. */
static void take_section(struct fl_build *build, const struct fl_ini_section *header, size_t first,
			 size_t count)
{
	const struct section *section = find_section(header->kind);
	char *place;

	if (section == NULL) {
		report_section(build, header);
		return;
	}
	check_name(build, section, header);
	place = place_of(build, section, header);
	for (size_t i = first; i < first + count; i++) {
		const struct fl_ini_entry *entry = &build->ini->entries[i];
		const struct fl_key *key = find_key(section, entry->key);
		struct fl_setting setting = {.build = build, .key = key, .entry = entry};

		if (key == NULL) {
			report_key(build, section, entry);
		} else if (!entry->repeated) {
			setting.field = key->offset != NOWHERE ? place + key->offset : NULL;
			fl_setting_take(&setting);
		}
	}
}

void fl_build_settings(struct fl_build *build)
{
	const struct fl_ini *ini = build->ini;
	size_t at = 0;

	for (size_t i = 0; i < ini->section_count; i++) {
		size_t first = at;

		while (at < ini->entry_count && ini->entries[at].section == i) {
			at++;
		}
		take_section(build, &ini->sections[i], first, at - first);
	}
}

fl_conf_line fl_build_line(const struct fl_build *build, const char *kind, const char *name,
			   const char *key)
{
	const struct fl_ini_section *section = fl_ini_section(build->ini, kind, name);
	const struct fl_ini_entry *entry =
		section != NULL ? fl_ini_entry(build->ini, section, key) : NULL;

	return entry != NULL ? entry->line : section != NULL ? section->line : 0;
}

bool fl_build_has(const struct fl_build *build, const char *kind, const char *name, const char *key)
{
	const struct fl_ini_section *section = fl_ini_section(build->ini, kind, name);

	return section != NULL && fl_ini_entry(build->ini, section, key) != NULL;
}

static const char *word_of(const struct fl_word *words, size_t count, unsigned value)
{
	size_t i = 0;

	while (i < count && words[i].value != value) {
		i++;
	}
	FL_REQUIRE(i < count);
	return words[i].text;
}

void fl_build_tls_names(struct fl_conf *conf)
{
	for (size_t i = 0; i < conf->tls.group_count; i++) {
		conf->tls.group_names[i] =
			word_of(groups, FL_COUNT_OF(groups), conf->tls.groups[i]);
	}
	for (size_t i = 0; i < conf->tls.cipher_count; i++) {
		conf->tls.cipher_names[i] =
			word_of(ciphers, FL_COUNT_OF(ciphers), conf->tls.ciphers[i]);
	}
}
