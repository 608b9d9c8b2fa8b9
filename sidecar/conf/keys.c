/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keys - every section and key that the INI can have, as tables, and what sets each.
 *
 * A key has a type, a place in its section's struct, and an example for messages; one that is not
 * built yet says what to do instead and is refused. What fails is reported and skipped: the value
 * keeps its default, and the INI is refused as a whole in the end. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/build.h"
#include "conf/values.h"
#include "pki/spiffe.h"

enum type {
	TYPE_PATH,     /* char * */
	TYPE_DURATION, /* uint32_t milliseconds, within min and max */
	TYPE_SIZE,     /* uint32_t bytes, within min and max */
	TYPE_COUNT,    /* uint32_t, within min and max */
	TYPE_WORD,     /* an enum, or NOWHERE for a word that changes nothing */
	TYPE_OWN,      /* what `set` makes of it */
	TYPE_LATER,    /* not built yet */
};

#define NOWHERE SIZE_MAX
#define MS_SECOND 1000U
#define MS_HOUR (3600U * MS_SECOND)

struct setting; /* a key with its entry, below */

struct key {
	const char *name;
	enum type type;
	size_t offset; /* in the struct of the section */
	uint32_t min, max;
	const struct fl_word *words;
	size_t word_count;
	int (*set)(const struct setting *setting, struct fl_err *err); /* TYPE_OWN */
	const char *hint; /* an example; TYPE_LATER: what to do instead */
};

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
	const struct key *keys;
	size_t key_count;
};

struct setting {
	struct fl_build *build;
	const struct key *key;
	const struct fl_ini_entry *entry;
	void *field;
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

/* --- settings of their own ----------------------------------------------------------------- */

static void report(const struct setting *setting, const struct fl_err *err)
{
	const struct key *key = setting->key;

	if (key->hint != NULL) {
		fl_problem_error(setting->build->problems, setting->entry->line,
				 "`%s`: %s; an example: `%s = %s`", key->name, err->text, key->name,
				 key->hint);
	} else {
		fl_problem_error(setting->build->problems, setting->entry->line, "`%s`: %s",
				 key->name, err->text);
	}
}

/* Hands each item of a list to take. Of several that are refused, all but the last are reported
 * here; the last is returned like any other error. */
static int take_items(const struct setting *setting,
		      int (*take)(const struct setting *setting, const char *text,
				  struct fl_err *err),
		      struct fl_err *err)
{
	struct fl_list list = {0};
	int rc = fl_value_list(setting->entry->value, &list, err);

	for (size_t i = 0; i < list.count; i++) {
		struct fl_err one = {0};
		int refused = take(setting, list.items[i], &one);

		if (refused != 0 && rc != 0) {
			report(setting, err);
		}
		if (refused != 0) {
			*err = one;
			rc = refused;
		}
	}
	fl_list_done(&list);
	return rc;
}

/* `[sidecar] inbound` and `outbound`. */
static int set_capture(const struct setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] != '\0') {
		return fl_err_set(err, FL_ERR_INVALID,
				  "transparent capture is not supported yet: leave `%s` empty and "
				  "use %s",
				  setting->key->name,
				  strcmp(setting->key->name, "inbound") == 0
					  ? "[service NAME] with `listen`"
					  : "[upstream NAME] with `listen`");
	}
	return 0;
}

/* A duration that is not built yet, of which `0` says what is. */
static int set_never(const struct setting *setting, struct fl_err *err)
{
	uint32_t ms = 0;
	int rc = fl_value_duration(setting->entry->value, 0, UINT32_MAX, &ms, err);

	if (rc == 0 && ms != 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s` is not supported yet: write `%s = 0`",
				  setting->entry->value, setting->key->name);
	}
	return rc;
}

static int set_workers(const struct setting *setting, struct fl_err *err)
{
	uint32_t *workers = setting->field;

	if (strcmp(setting->entry->value, "auto") == 0) {
		*workers = 0;
		return 0;
	}
	return fl_value_count(setting->entry->value, 1, 256, workers, err);
}

/* A path that also has to fit into a socket address. */
static int set_socket_path(const struct setting *setting, struct fl_err *err)
{
	char **path = setting->field;
	size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	int rc = fl_value_path(setting->entry->value, most, err);

	if (rc == 0) {
		free(*path);
		*path = fl_strdup(setting->entry->value);
	}
	return rc;
}

static int set_address(const struct setting *setting, unsigned allow, struct fl_err *err)
{
	if (strchr(setting->entry->value, ',') != NULL) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`%.100s`: only one address is possible here",
				  setting->entry->value);
	}
	return fl_addr_parse(setting->entry->value, allow, setting->field, err);
}

/* Empty: no such listener. */
static int set_admin(const struct setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] == '\0') {
		*(struct fl_addr *)setting->field = (struct fl_addr){.kind = FL_ADDR_NONE};
		return 0;
	}
	return set_address(setting, FL_ADDR_ALLOW_ANY, err);
}

/* Empty: check.c says that the listener is missing. */
static int set_service_listen(const struct setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0' ? set_address(setting, FL_ADDR_ALLOW_ANY, err) : 0;
}

static int set_upstream_listen(const struct setting *setting, struct fl_err *err)
{
	return setting->entry->value[0] != '\0'
		       ? set_address(setting, FL_ADDR_ALLOW_ANY | FL_ADDR_ALLOW_UNIX, err)
		       : 0;
}

/* 0.0.0.0 and [::] are places to listen on; connecting to them only works by accident. */
static bool is_unspecified(const struct fl_addr *addr)
{
	return addr->kind == FL_ADDR_IP &&
	       (addr->sa.any.sa_family == AF_INET
			? addr->sa.in.sin_addr.s_addr == htonl(INADDR_ANY)
			: IN6_IS_ADDR_UNSPECIFIED(&addr->sa.in6.sin6_addr));
}

static int refuse_unspecified(const char *text, struct fl_err *err)
{
	return fl_err_set(err, FL_ERR_INVALID,
			  "`%.100s` is an address to listen on, not one to connect to", text);
}

static int set_app(const struct setting *setting, struct fl_err *err)
{
	struct fl_addr *app = setting->field;
	struct fl_addr addr = {0};
	int rc = fl_addr_parse(setting->entry->value, FL_ADDR_ALLOW_NAME | FL_ADDR_ALLOW_UNIX,
			       &addr, err);

	if (rc != 0) {
		return rc;
	}
	if (addr.kind == FL_ADDR_NAME) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: the app is local and no name is resolved for it, write "
			"127.0.0.1:%u or [::1]:%u",
			setting->entry->value, addr.port, addr.port);
	}
	if (is_unspecified(&addr)) {
		return refuse_unspecified(setting->entry->value, err);
	}
	*app = addr;
	return 0;
}

/* `10.20.0.0/16:9000` and `10.20.0.1:9000-9010` are for captured traffic. */
static bool is_network(const char *text)
{
	const char *colon = strrchr(text, ':');

	return strchr(text, '/') != NULL || (colon != NULL && strchr(colon, '-') != NULL &&
					     fl_value_looks_like_ports(colon + 1));
}

static int add_target(const struct setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;
	struct fl_addr addr = {0};
	int rc;

	if (strncmp(text, "unix:", strlen("unix:")) != 0 && is_network(text)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`%.100s`: networks and port ranges are for captured traffic, which is "
			"not supported yet: name one host and one port",
			text);
	}
	rc = fl_addr_parse(text, FL_ADDR_ALLOW_NAME, &addr, err);
	if (rc != 0) {
		return rc;
	}
	if (is_unspecified(&addr)) {
		return refuse_unspecified(text, err);
	}
	upstream->to = fl_grow(upstream->to, upstream->to_count + 1, sizeof(*upstream->to));
	upstream->to[upstream->to_count++] = addr;
	return 0;
}

static int set_targets(const struct setting *setting, struct fl_err *err)
{
	if (setting->entry->value[0] == '\0') {
		return fl_err_set(err, FL_ERR_INVALID, "where to connect to is missing");
	}
	return take_items(setting, add_target, err);
}

static int append_pattern(const char *text, struct fl_pattern ***patterns, size_t *count,
			  struct fl_err *err)
{
	struct fl_pattern *pattern = NULL;
	int rc;

	if (strcmp(text, "plaintext") == 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"`plaintext` is not supported yet: only mutual TLS is let in, name "
			"a SPIFFE ID");
	}
	rc = fl_pattern_parse(text, &pattern, err);
	if (rc == 0) {
		*patterns = fl_grow(*patterns, *count + 1, sizeof(struct fl_pattern *));
		(*patterns)[(*count)++] = pattern;
	}
	return rc;
}

static int add_peer(const struct setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf_upstream *upstream = setting->field;

	return append_pattern(text, &upstream->peer, &upstream->peer_count, err);
}

static int set_peer(const struct setting *setting, struct fl_err *err)
{
	return take_items(setting, add_peer, err);
}

static int add_from(const struct setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;

	return append_pattern(text, &rule->from, &rule->from_count, err);
}

/* Empty: check.c says that `from` is missing. */
static int set_from(const struct setting *setting, struct fl_err *err)
{
	return take_items(setting, add_from, err);
}

static int add_rule_target(const struct setting *setting, const char *text, struct fl_err *err)
{
	struct fl_rule_draft *rule = setting->field;
	struct fl_port_range range = {0};
	int rc;

	if (!fl_value_looks_like_ports(text)) {
		/* check.c finds out whether there is such a service. */
		rule->services = fl_grow(rule->services, rule->service_count + 1, sizeof(char *));
		rule->services[rule->service_count++] = fl_strdup(text);
		return 0;
	}
	rc = fl_value_ports(text, &range, err);
	if (rc == 0) {
		rule->ports = fl_grow(rule->ports, rule->port_count + 1, sizeof(*rule->ports));
		rule->ports[rule->port_count++] = range;
	}
	return rc;
}

static int set_rule_targets(const struct setting *setting, struct fl_err *err)
{
	return take_items(setting, add_rule_target, err);
}

/* One of the key's words, unlike the count others; so there are never more than there are words. */
static int read_new_word(const struct setting *setting, const char *text, const unsigned *others,
			 size_t count, unsigned *ret, struct fl_err *err)
{
	unsigned value = 0;
	int rc = fl_value_word(text, setting->key->words, setting->key->word_count, &value, err);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (others[i] == value) {
			rc = fl_err_set(err, FL_ERR_INVALID, "`%.100s` stands there twice", text);
		}
	}
	if (rc == 0) {
		*ret = value;
	}
	return rc;
}

static int add_group(const struct setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;
	unsigned value = 0;
	int rc = read_new_word(setting, text, conf->tls.groups, conf->tls.group_count, &value, err);

	if (rc == 0) {
		conf->tls.groups[conf->tls.group_count++] = (enum fl_tls_group)value;
	}
	return rc;
}

static int add_cipher(const struct setting *setting, const char *text, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;
	unsigned value = 0;
	int rc = read_new_word(setting, text, conf->tls.ciphers, conf->tls.cipher_count, &value,
			       err);

	if (rc == 0) {
		conf->tls.ciphers[conf->tls.cipher_count++] = (enum fl_tls_cipher)value;
	}
	return rc;
}

static int refuse_empty(struct fl_err *err)
{
	return fl_err_set(err, FL_ERR_INVALID, "at least one is needed");
}

static int set_groups(const struct setting *setting, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;

	conf->tls.group_count = 0;
	return setting->entry->value[0] != '\0' ? take_items(setting, add_group, err)
						: refuse_empty(err);
}

static int set_ciphers(const struct setting *setting, struct fl_err *err)
{
	struct fl_conf *conf = setting->field;

	conf->tls.cipher_count = 0;
	return setting->entry->value[0] != '\0' ? take_items(setting, add_cipher, err)
						: refuse_empty(err);
}

/* --- tables -------------------------------------------------------------------------------- */

#define LATER(key, instead)                                                                        \
	{                                                                                          \
		.name = (key), .type = TYPE_LATER, .hint = (instead)                               \
	}
#define NO_CAPTURE "traffic is not captured for now, remove the line and use fixed listeners"
#define NO_CAPTURED_PORT "captured ports are not there for now, use `listen` and `app`"

static const struct key identity_keys[] = {
	{.name = "cert",
	 .type = TYPE_PATH,
	 IN_CONF(identity.cert),
	 .hint = "/var/run/fairlead/tls/tls.crt"},
	{.name = "key",
	 .type = TYPE_PATH,
	 IN_CONF(identity.key),
	 .hint = "/var/run/fairlead/tls/tls.key"},
	{.name = "bundle",
	 .type = TYPE_PATH,
	 IN_CONF(identity.bundle),
	 .hint = "/var/run/fairlead/tls/ca.crt"},
	{.name = "credential_bundle",
	 .type = TYPE_PATH,
	 IN_CONF(identity.credential_bundle),
	 .hint = "/var/run/fairlead/tls/credential-bundle.pem"},
	LATER("crl", "nothing is revoked by list for now, remove the line"),
};
static const struct key federate_keys[] = {
	{.name = "bundle",
	 .type = TYPE_PATH,
	 .offset = offsetof(struct fl_conf_bundle, path),
	 .hint = "/var/run/fairlead/partner/ca.crt"},
};
static const struct key sidecar_keys[] = {
	{.name = "inbound", .type = TYPE_OWN, .set = set_capture, ELSEWHERE},
	{.name = "outbound", .type = TYPE_OWN, .set = set_capture, ELSEWHERE},
	{.name = "admin",
	 .type = TYPE_OWN,
	 .set = set_admin,
	 IN_CONF(sidecar.admin),
	 .hint = "*:15020"},
	LATER("control", "the tools' socket is not there for now, remove the line"),
	{.name = "workers",
	 .type = TYPE_OWN,
	 .set = set_workers,
	 IN_CONF(sidecar.workers),
	 .hint = "auto"},
	{.name = "drain",
	 .type = TYPE_DURATION,
	 IN_CONF(sidecar.drain_ms),
	 .max = 24 * MS_HOUR,
	 .hint = "30s"},
};
static const struct key agent_keys[] = {
	{.name = "socket",
	 .type = TYPE_OWN,
	 .set = set_socket_path,
	 IN_CONF(agent.socket),
	 .hint = "/run/fairlead/agent.sock"},
	/* The highest uid stands for "none" in system calls. */
	{.name = "sidecar_uid",
	 .type = TYPE_COUNT,
	 IN_CONF(agent.sidecar_uid),
	 .max = UINT32_MAX - 1,
	 .hint = "2112"},
};
static const struct key tls_keys[] = {
	{.name = "groups",
	 .type = TYPE_OWN,
	 .set = set_groups,
	 .offset = 0,
	 WORDS(groups),
	 .hint = "X25519MLKEM768, X25519"},
	{.name = "ciphers",
	 .type = TYPE_OWN,
	 .set = set_ciphers,
	 .offset = 0,
	 WORDS(ciphers),
	 .hint = "TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256"},
	{.name = "tickets", .type = TYPE_WORD, IN_CONF(tls.tickets), WORDS(tickets)},
};
static const struct key inbound_keys[] = {
	{.name = "mode", .type = TYPE_WORD, ELSEWHERE, WORDS(inbound_modes)},
	LATER("detect_timeout", "only mutual TLS is let in for now, remove the line"),
	{.name = "proxy_protocol", .type = TYPE_WORD, ELSEWHERE, WORDS(proxy_protocols)},
};
static const struct key service_keys[] = {
	LATER("port", NO_CAPTURED_PORT),
	{.name = "listen",
	 .type = TYPE_OWN,
	 .set = set_service_listen,
	 .offset = offsetof(struct fl_conf_service, listen),
	 .hint = "*:8443"},
	{.name = "app",
	 .type = TYPE_OWN,
	 .set = set_app,
	 .offset = offsetof(struct fl_conf_service, app),
	 .hint = "127.0.0.1:8080"},
	{.name = "mode", .type = TYPE_WORD, ELSEWHERE, WORDS(inbound_modes)},
};
static const struct key outbound_keys[] = {
	LATER("default", NO_CAPTURE),
	LATER("peer", NO_CAPTURE),
};
static const struct key upstream_keys[] = {
	{.name = "listen",
	 .type = TYPE_OWN,
	 .set = set_upstream_listen,
	 .offset = offsetof(struct fl_conf_upstream, listen),
	 .hint = "127.0.0.1:7001"},
	{.name = "to",
	 .type = TYPE_OWN,
	 .set = set_targets,
	 .offset = 0,
	 .hint = "ledger.prod.svc.cluster.local:8443"},
	{.name = "mode", .type = TYPE_WORD, ELSEWHERE, WORDS(outbound_modes)},
	{.name = "peer",
	 .type = TYPE_OWN,
	 .set = set_peer,
	 .offset = 0,
	 .hint = "spiffe://prod.example/ns/prod/sa/ledger"},
};
static const struct key policy_keys[] = {
	{.name = "default",
	 .type = TYPE_WORD,
	 .offset = offsetof(struct fl_build, default_effect),
	 WORDS(effects)},
	{.name = "mode", .type = TYPE_WORD, ELSEWHERE, WORDS(policy_modes)},
};
static const struct key rule_keys[] = {
	{.name = "from",
	 .type = TYPE_OWN,
	 .set = set_from,
	 .offset = 0,
	 .hint = "spiffe://prod.example/ns/web/sa/*"},
	{.name = "to",
	 .type = TYPE_OWN,
	 .set = set_rule_targets,
	 .offset = 0,
	 .hint = "8080, 9000-9010, web"},
	LATER("sources", "rules go by identity alone for now, remove the line"),
};
static const struct key limits_keys[] = {
	{.name = "connections",
	 .type = TYPE_COUNT,
	 IN_CONF(limits.connections),
	 .min = 1,
	 .max = 10000000,
	 .hint = "20000"},
	{.name = "handshakes",
	 .type = TYPE_COUNT,
	 IN_CONF(limits.handshakes),
	 .min = 1,
	 .max = 10000000,
	 .hint = "512"},
	{.name = "handshake_timeout",
	 .type = TYPE_DURATION,
	 IN_CONF(limits.handshake_timeout_ms),
	 .min = 10,
	 .max = MS_HOUR,
	 .hint = "10s"},
	{.name = "connect_timeout",
	 .type = TYPE_DURATION,
	 IN_CONF(limits.connect_timeout_ms),
	 .min = 10,
	 .max = MS_HOUR,
	 .hint = "5s"},
	{.name = "idle_timeout",
	 .type = TYPE_DURATION,
	 IN_CONF(limits.idle_timeout_ms),
	 .min = 10,
	 .max = 1000 * MS_HOUR,
	 .hint = "1h"},
	{.name = "buffer",
	 .type = TYPE_SIZE,
	 IN_CONF(limits.buffer),
	 .min = 4096,
	 .max = 1024 * 1024,
	 .hint = "64KiB"},
	{.name = "max_age", .type = TYPE_OWN, .set = set_never, ELSEWHERE},
};
static const struct key rotation_keys[] = {
	{.name = "on_trust_loss", .type = TYPE_WORD, ELSEWHERE, WORDS(on_change)},
	{.name = "on_expiry", .type = TYPE_WORD, ELSEWHERE, WORDS(on_change)},
	{.name = "on_policy_loss", .type = TYPE_WORD, ELSEWHERE, WORDS(on_change)},
	{.name = "recycle", .type = TYPE_OWN, .set = set_never, ELSEWHERE},
};
static const struct key redirect_keys[] = {
	LATER("mode", NO_CAPTURE),
	LATER("inbound_ports", NO_CAPTURE),
	LATER("exclude_inbound", NO_CAPTURE),
	LATER("outbound", NO_CAPTURE),
	LATER("exclude_outbound", NO_CAPTURE),
	LATER("other_protocols", NO_CAPTURE),
};
static const struct key log_keys[] = {
	{.name = "level", .type = TYPE_WORD, IN_CONF(log.level), WORDS(levels)},
	{.name = "format", .type = TYPE_WORD, IN_CONF(log.format), WORDS(formats)},
	{.name = "access", .type = TYPE_WORD, IN_CONF(log.access), WORDS(accesses)},
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

/* --- one setting --------------------------------------------------------------------------- */

static int set_path(const struct setting *setting, struct fl_err *err)
{
	char **path = setting->field;
	int rc = fl_value_path(setting->entry->value, PATH_MAX - 1, err);

	FL_REQUIRE(path != NULL);
	if (rc == 0) {
		free(*path);
		*path = fl_strdup(setting->entry->value);
	}
	return rc;
}

static int set_word(const struct setting *setting, struct fl_err *err)
{
	unsigned value = 0;
	int rc = fl_value_word(setting->entry->value, setting->key->words, setting->key->word_count,
			       &value, err);

	/* Enums without negative values are unsigned. */
	_Static_assert(sizeof(enum fl_effect) == sizeof(unsigned) &&
			       sizeof(enum fl_log_level) == sizeof(unsigned),
		       "words are stored as unsigned");
	if (rc == 0 && setting->field != NULL) {
		memcpy(setting->field, &value, sizeof(value));
	}
	return rc;
}

/* What people bring along from other formats. */
static int check_spelling(const char *value, struct fl_err *err)
{
	if (value[0] == '"' || value[0] == '\'') {
		return fl_err_set(err, FL_ERR_INVALID, "values are written without quotes");
	}
	if (strstr(value, " #") != NULL || strstr(value, "\t#") != NULL) {
		return fl_err_set(err, FL_ERR_INVALID, "a comment after a value begins with ` ;`");
	}
	return 0;
}

static int set_value(const struct setting *setting, struct fl_err *err)
{
	const struct key *key = setting->key;
	const char *value = setting->entry->value;
	int rc = check_spelling(value, err);

	if (rc != 0) {
		return rc;
	}
	switch (key->type) {
	case TYPE_PATH:
		return set_path(setting, err);
	case TYPE_DURATION:
		return fl_value_duration(value, key->min, key->max, setting->field, err);
	case TYPE_SIZE:
		return fl_value_size(value, key->min, key->max, setting->field, err);
	case TYPE_COUNT:
		return fl_value_count(value, key->min, key->max, setting->field, err);
	case TYPE_WORD:
		return set_word(setting, err);
	case TYPE_OWN:
		return key->set(setting, err);
	case TYPE_LATER:
		break;
	}
	return fl_err_set(err, FL_ERR_BUG, "this key has no type");
}

static void take_setting(const struct setting *setting)
{
	const struct key *key = setting->key;
	struct fl_problems *problems = setting->build->problems;
	struct fl_err err = {0};

	if (key->type == TYPE_LATER) {
		fl_problem_error(problems, setting->entry->line, "`%s` is not supported yet: %s",
				 key->name, key->hint);
	} else if (set_value(setting, &err) != 0) {
		report(setting, &err);
	}
}

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

static const struct key *find_key(const struct section *section, const char *name)
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
		const struct key *key = find_key(section, entry->key);
		struct setting setting = {.build = build, .key = key, .entry = entry};

		if (key == NULL) {
			report_key(build, section, entry);
		} else if (!entry->repeated) {
			setting.field = key->offset != NOWHERE ? place + key->offset : NULL;
			take_setting(&setting);
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
