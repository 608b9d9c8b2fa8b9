/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keys - every section and key that the INI can have, as tables, and the defaults. A key has a type, a place in its section's
 * struct, an example for messages, and, if a new value of it requires a restart, the function that compares values. */
#include "base/mem.h"
#include "conf/settings.h"
#include "conf/values.h"

#define MS_SECOND 1000U
#define MS_HOUR (3600U * MS_SECOND)

#define WORDS(list) .words = (list), .word_count = FL_COUNT_OF(list)
#define IN_CONF(field) .offset = offsetof(struct fl_conf, field)
#define IN_SERVICE(field) .offset = offsetof(struct fl_conf_service, field)
#define IN_UPSTREAM(field) .offset = offsetof(struct fl_conf_upstream, field)
#define IN_RULE(field) .offset = offsetof(struct fl_rule_draft, field)
#define IN_BUILD(field) .offset = offsetof(struct fl_build, field)

/* --- words --------------------------------------------------------------------------------- */

static const struct fl_word effects[] = {{.text = "allow", .value = FL_ALLOW},
					 {.text = "deny", .value = FL_DENY}};
static const struct fl_word policy_modes[] = {{.text = "enforce", .value = false},
					      {.text = "audit", .value = true}};
static const struct fl_word inbound_modes[] = {
	{.text = "strict", .value = FL_INBOUND_STRICT},
	{.text = "permissive", .value = FL_INBOUND_PERMISSIVE},
	{.text = "plaintext", .value = FL_INBOUND_PLAINTEXT}};
static const struct fl_word outbound_modes[] = {
	{.text = "mtls", .value = FL_OUTBOUND_MTLS},
	{.text = "plaintext", .value = FL_OUTBOUND_PLAINTEXT},
	{.text = "refuse", .value = FL_OUTBOUND_REFUSE}};
static const struct fl_word mutuals[] = {{.text = "required", .value = false},
					 {.text = "optional", .value = true}};
static const struct fl_word remotes[] = {{.text = "refuse", .value = false},
					 {.text = "allow", .value = true}};
static const struct fl_word proxy_protocols[] = {{.text = "off", .value = false},
						 {.text = "v2", .value = true}};
static const struct fl_word admin_details[] = {{.text = "loopback", .value = false},
					       {.text = "everywhere", .value = true}};
static const struct fl_word redirect_modes[] = {{.text = "redirect", .value = FL_REDIRECT_NAT},
						{.text = "tproxy", .value = FL_REDIRECT_TPROXY}};
static const struct fl_word forwarded[] = {{.text = "drop", .value = FL_FORWARDED_DROP},
					   {.text = "count", .value = FL_FORWARDED_COUNT},
					   {.text = "capture", .value = FL_FORWARDED_CAPTURE}};
static const struct fl_word other_protocols[] = {{.text = "count", .value = false},
						 {.text = "drop", .value = true}};
static const struct fl_word shared_roots[] = {{.text = "refuse", .value = false},
					      {.text = "allow", .value = true}};
static const struct fl_word tickets[] = {{.text = "off", .value = FL_TICKETS_OFF},
					 {.text = "on", .value = FL_TICKETS_ON}};
static const struct fl_word reuses[] = {{.text = "off", .value = false},
					{.text = "on", .value = true}};
static const struct fl_word upstream_reuses[] = {{.text = "off", .value = FL_REUSE_OFF},
						 {.text = "on", .value = FL_REUSE_ON},
						 {.text = "balanced", .value = FL_REUSE_BALANCED}};
static const struct fl_word key_places[] = {{.text = "agent", .value = false},
					    {.text = "sidecar", .value = true}};
static const struct fl_word sandboxes[] = {{.text = "off", .value = FL_SANDBOX_OFF},
					   {.text = "on", .value = FL_SANDBOX_ON}};
static const struct fl_word on_change[] = {{.text = "keep", .value = FL_CHANGE_KEEP},
					   {.text = "close", .value = FL_CHANGE_CLOSE}};
static const struct fl_word levels[] = {{.text = "debug", .value = FL_LOG_DEBUG},
					{.text = "info", .value = FL_LOG_INFO},
					{.text = "warn", .value = FL_LOG_WARN},
					{.text = "error", .value = FL_LOG_ERROR}};
static const struct fl_word formats[] = {{.text = "json", .value = FL_LOG_JSON},
					 {.text = "text", .value = FL_LOG_TEXT}};
static const struct fl_word accesses[] = {{.text = "all", .value = FL_ACCESS_ALL},
					  {.text = "failed", .value = FL_ACCESS_FAILED},
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
	{.name = "shared_root",
	 .type = FL_TYPE_FLAG,
	 .offset = offsetof(struct fl_conf_bundle, shared_root),
	 WORDS(shared_roots)},
};
static const struct fl_key sidecar_keys[] = {
	{.name = "inbound",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_capture_listeners,
	 IN_CONF(sidecar),
	 .differs = fl_differs_inbound,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "*:15006"},
	{.name = "outbound",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_capture_listeners,
	 IN_CONF(sidecar),
	 .differs = fl_differs_outbound,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "127.0.0.1:15001, [::1]:15001"},
	{.name = "admin",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_admin,
	 IN_CONF(sidecar.admin),
	 .differs = fl_differs_address,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "*:15020"},
	{.name = "admin_details",
	 .type = FL_TYPE_FLAG,
	 IN_CONF(sidecar.admin_everywhere),
	 WORDS(admin_details)},
	{.name = "control",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_control,
	 IN_CONF(sidecar.control),
	 .differs = fl_differs_path,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "/run/fairlead/sidecar.sock"},
	{.name = "workers",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_workers,
	 IN_CONF(sidecar.workers),
	 .differs = fl_differs_number,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "auto"},
	{.name = "drain",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(sidecar.drain_ms),
	 .max = 24 * MS_HOUR,
	 .hint = "30s"},
	{.name = "sandbox",
	 .type = FL_TYPE_WORD,
	 IN_CONF(sidecar.sandbox),
	 WORDS(sandboxes),
	 .differs = fl_differs_number,
	 .kept_by = FL_PROGRAM_SIDECAR},
};
static const struct fl_key agent_keys[] = {
	{.name = "socket",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_socket_path,
	 IN_CONF(agent.socket),
	 .differs = fl_differs_path,
	 .kept_by = FL_PROGRAM_BOTH,
	 .hint = "/run/fairlead/agent.sock"},
	/* The highest uid stands for "none" in system calls. */
	{.name = "sidecar_uid",
	 .type = FL_TYPE_COUNT,
	 IN_CONF(agent.sidecar_uid),
	 .max = UINT32_MAX - 1,
	 .differs = fl_differs_number,
	 .kept_by = FL_PROGRAM_AGENT,
	 .hint = "2112"},
	{.name = "uid",
	 .type = FL_TYPE_COUNT,
	 IN_CONF(agent.uid),
	 .max = UINT32_MAX - 1,
	 .differs = fl_differs_number,
	 .kept_by = FL_PROGRAM_BOTH,
	 .hint = "2113"},
	{.name = "signatures",
	 .type = FL_TYPE_COUNT,
	 IN_CONF(agent.signatures),
	 .min = 1,
	 .max = 10000000,
	 .hint = "5000"},
	{.name = "sandbox",
	 .type = FL_TYPE_WORD,
	 IN_CONF(agent.sandbox),
	 WORDS(sandboxes),
	 .differs = fl_differs_number,
	 .kept_by = FL_PROGRAM_AGENT},
};
static const struct fl_key tls_keys[] = {
	{.name = "groups",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_groups,
	 .offset = 0,
	 WORDS(groups),
	 .hint = "X25519MLKEM768, X25519, P-256"},
	{.name = "ciphers",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_ciphers,
	 .offset = 0,
	 WORDS(ciphers),
	 .hint = "TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256"},
	{.name = "tickets", .type = FL_TYPE_WORD, IN_CONF(tls.tickets), WORDS(tickets)},
	{.name = "reuse", .type = FL_TYPE_FLAG, IN_CONF(tls.reuse), WORDS(reuses)},
	{.name = "key", .type = FL_TYPE_FLAG, IN_CONF(tls.key_in_sidecar), WORDS(key_places)},
};
static const struct fl_key inbound_keys[] = {
	{.name = "mode", .type = FL_TYPE_WORD, IN_CONF(inbound.mode), WORDS(inbound_modes)},
	{.name = "detect_timeout",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(inbound.detect_timeout_ms),
	 .min = 10,
	 .max = 60 * MS_SECOND,
	 .hint = "300ms"},
	{.name = "proxy_protocol",
	 .type = FL_TYPE_FLAG,
	 IN_CONF(inbound.proxy_protocol),
	 WORDS(proxy_protocols)},
};
static const struct fl_key service_keys[] = {
	{.name = "port",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_service_port,
	 IN_SERVICE(port),
	 .hint = "8080"},
	{.name = "listen",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_service_listen,
	 IN_SERVICE(listen),
	 .differs = fl_differs_address,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "*:8443"},
	{.name = "app",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_app,
	 IN_SERVICE(app),
	 .hint = "127.0.0.1:8080"},
	{.name = "remote", .type = FL_TYPE_FLAG, IN_SERVICE(remote), WORDS(remotes)},
	{.name = "alpn",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_service_alpn,
	 .offset = 0,
	 .hint = "h2"},
	{.name = "access", .type = FL_TYPE_WORD, IN_SERVICE(access), WORDS(accesses)},
	{.name = "mode", .type = FL_TYPE_WORD, IN_SERVICE(inbound.mode), WORDS(inbound_modes)},
	{.name = "detect_timeout",
	 .type = FL_TYPE_DURATION,
	 IN_SERVICE(inbound.detect_timeout_ms),
	 .min = 10,
	 .max = 60 * MS_SECOND,
	 .hint = "300ms"},
	{.name = "proxy_protocol",
	 .type = FL_TYPE_FLAG,
	 IN_SERVICE(inbound.proxy_protocol),
	 WORDS(proxy_protocols)},
};
#define PEER_HINT "spiffe://prod.example/ns/prod/sa/ledger"
static const struct fl_key outbound_keys[] = {
	{.name = "default", .type = FL_TYPE_WORD, IN_CONF(outbound.mode), WORDS(outbound_modes)},
	{.name = "peer",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_peer,
	 IN_CONF(outbound),
	 .hint = PEER_HINT},
};
static const struct fl_key upstream_keys[] = {
	{.name = "listen",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_upstream_listen,
	 IN_UPSTREAM(listen),
	 .differs = fl_differs_address,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "127.0.0.1:7001"},
	{.name = "to",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_to,
	 .offset = 0,
	 .hint = "ledger.prod.svc.cluster.local:8443"},
	{.name = "mode", .type = FL_TYPE_WORD, IN_UPSTREAM(mode), WORDS(outbound_modes)},
	{.name = "peer", .type = FL_TYPE_OWN, .set = fl_set_peer, .offset = 0, .hint = PEER_HINT},
	{.name = "within",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_within,
	 .offset = 0,
	 .hint = "10.0.0.0/8, fd00::/8"},
	{.name = "alpn",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_upstream_alpn,
	 .offset = 0,
	 .hint = "h2, http/1.1"},
	{.name = "mutual", .type = FL_TYPE_FLAG, IN_UPSTREAM(mutual_optional), WORDS(mutuals)},
	{.name = "reuse", .type = FL_TYPE_WORD, IN_UPSTREAM(reuse), WORDS(upstream_reuses)},
};
static const struct fl_key policy_keys[] = {
	{.name = "default", .type = FL_TYPE_WORD, IN_BUILD(default_effect), WORDS(effects)},
	{.name = "mode", .type = FL_TYPE_FLAG, IN_BUILD(audit), WORDS(policy_modes)},
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
	{.name = "sources",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_sources,
	 .offset = 0,
	 .hint = "10.0.0.0/8, fd00::/8"},
	{.name = "except_from",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_except_from,
	 .offset = 0,
	 .hint = "spiffe://prod.example/ns/web/sa/guest"},
	{.name = "except_to",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_except_to,
	 .offset = 0,
	 .hint = "9090, admin"},
	{.name = "except_sources",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_except_sources,
	 .offset = 0,
	 .hint = "10.9.0.0/16"},
	{.name = "mode", .type = FL_TYPE_FLAG, IN_RULE(audit), WORDS(policy_modes)},
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
	 .max = 1000 * MS_HOUR,
	 .hint = "1h"},
	{.name = "peer_timeout",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(limits.peer_timeout_ms),
	 .min = 1000,
	 .max = MS_HOUR,
	 .hint = "30s"},
	{.name = "buffer",
	 .type = FL_TYPE_SIZE,
	 IN_CONF(limits.buffer),
	 .min = 4096,
	 .max = 1024 * 1024,
	 .differs = fl_differs_number,
	 .kept_by = FL_PROGRAM_SIDECAR,
	 .hint = "64KiB"},
	{.name = "max_age",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(limits.max_age_ms),
	 .max = 1000 * MS_HOUR,
	 .hint = "8h"},
};
static const struct fl_key rotation_keys[] = {
	{.name = "on_trust_loss",
	 .type = FL_TYPE_WORD,
	 IN_CONF(rotation.on_trust_loss),
	 WORDS(on_change)},
	{.name = "on_expiry", .type = FL_TYPE_WORD, IN_CONF(rotation.on_expiry), WORDS(on_change)},
	{.name = "on_policy_loss",
	 .type = FL_TYPE_WORD,
	 IN_CONF(rotation.on_policy_loss),
	 WORDS(on_change)},
	{.name = "recycle",
	 .type = FL_TYPE_DURATION,
	 IN_CONF(rotation.recycle_ms),
	 .max = 1000 * MS_HOUR,
	 .hint = "5m"},
};
#define SELECTORS_HINT "15020, 10.0.0.0/8, 10.0.0.1:443, [fd00::]/8:443, *:53, interface:eth1"
static const struct fl_key redirect_keys[] = {
	{.name = "mode",
	 .type = FL_TYPE_WORD,
	 IN_CONF(redirect.mode),
	 WORDS(redirect_modes),
	 .differs = fl_differs_redirect_mode,
	 .kept_by = FL_PROGRAM_SIDECAR},
	{.name = "inbound_ports",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_captured_ports,
	 IN_CONF(redirect.inbound_ports),
	 .hint = "8080, 9000-9010"},
	{.name = "exclude_inbound",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_selectors,
	 IN_CONF(redirect.exclude_inbound),
	 .hint = SELECTORS_HINT},
	{.name = "outbound",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_selectors,
	 IN_CONF(redirect.outbound),
	 .hint = SELECTORS_HINT},
	{.name = "exclude_outbound",
	 .type = FL_TYPE_OWN,
	 .set = fl_set_selectors,
	 IN_CONF(redirect.exclude_outbound),
	 .hint = SELECTORS_HINT},
	{.name = "forwarded", .type = FL_TYPE_WORD, IN_CONF(redirect.forwarded), WORDS(forwarded)},
	{.name = "other_protocols",
	 .type = FL_TYPE_FLAG,
	 IN_CONF(redirect.drop_other_protocols),
	 WORDS(other_protocols)},
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
const struct fl_section fl_sections[FL_SECTIONS] = {
	SECTION("identity", FL_SECTION_ONE, identity_keys),
	SECTION("federate", FL_SECTION_FEDERATE, federate_keys),
	SECTION("sidecar", FL_SECTION_ONE, sidecar_keys),
	SECTION("agent", FL_SECTION_ONE, agent_keys),
	SECTION("tls", FL_SECTION_ONE, tls_keys),
	SECTION("inbound", FL_SECTION_ONE, inbound_keys),
	SECTION("service", FL_SECTION_SERVICE, service_keys),
	SECTION("outbound", FL_SECTION_ONE, outbound_keys),
	SECTION("upstream", FL_SECTION_UPSTREAM, upstream_keys),
	SECTION("policy", FL_SECTION_POLICY, policy_keys),
	SECTION("allow", FL_SECTION_ALLOW, rule_keys),
	SECTION("deny", FL_SECTION_DENY, rule_keys),
	SECTION("limits", FL_SECTION_ONE, limits_keys),
	SECTION("rotation", FL_SECTION_ONE, rotation_keys),
	SECTION("redirect", FL_SECTION_ONE, redirect_keys),
	SECTION("log", FL_SECTION_ONE, log_keys),
};

/* --- defaults -------------------------------------------------------------------------- */

static struct fl_addr *add_default(struct fl_addr *list, size_t *count, const char *text)
{
	list = fl_grow(list, *count + 1, sizeof(*list));
	FL_REQUIRE(fl_addr_parse(text, FL_ADDR_ALLOW_ANY, &list[(*count)++], NULL) == 0);
	return list;
}

static void set_default_listeners(struct fl_conf *conf)
{
	size_t *count = &conf->sidecar.outbound_count;

	conf->sidecar.inbound = add_default(NULL, &conf->sidecar.inbound_count, "*:15006");
	conf->sidecar.outbound = add_default(NULL, count, "127.0.0.1:15001");
	conf->sidecar.outbound = add_default(conf->sidecar.outbound, count, "[::1]:15001");
	FL_REQUIRE(fl_addr_parse("*:15020", FL_ADDR_ALLOW_ANY, &conf->sidecar.admin, NULL) == 0);
}

static void select_default(struct fl_conf_selectors *list, const char *net,
			   struct fl_port_range ports)
{
	struct fl_conf_selector selector = {.any_net = net == NULL, .ports = ports};

	FL_REQUIRE(net == NULL || fl_cidr_parse(net, &selector.net, NULL) == 0);
	list->items = fl_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = selector;
}

/* Excludes our admin port, and what an app needs to reach without the sidecar: cloud metadata and DNS. */
static void set_default_redirect(struct fl_conf *conf)
{
	select_default(&conf->redirect.inbound_ports, NULL, FL_VALUE_ALL_PORTS);
	select_default(&conf->redirect.exclude_inbound, NULL, (struct fl_port_range){15020, 15020});
	select_default(&conf->redirect.outbound, NULL, FL_VALUE_ALL_PORTS);
	select_default(&conf->redirect.exclude_outbound, "169.254.169.254/32", FL_VALUE_ALL_PORTS);
	select_default(&conf->redirect.exclude_outbound, NULL, (struct fl_port_range){53, 53});
}

const struct fl_conf_inbound fl_default_inbound = {.mode = FL_INBOUND_STRICT,
						   .detect_timeout_ms = 300};

struct fl_conf *fl_build_defaults(const char *path)
{
	struct fl_conf *conf = fl_new(sizeof(*conf));

	*conf = (struct fl_conf){
		.path = fl_strdup(path),
		.sidecar = {.control = fl_strdup("/run/fairlead/sidecar.sock"),
			    .workers = 0,
			    .drain_ms = 30 * 1000,
			    .sandbox = FL_SANDBOX_ON},
		.agent = {.socket = fl_strdup("/run/fairlead/agent.sock"),
			  .sidecar_uid = FL_CONF_DEFAULT_SIDECAR_UID,
			  .uid = 2113,
			  .signatures = 5000,
			  .sandbox = FL_SANDBOX_ON},
		.tls = {.groups = {FL_GROUP_X25519MLKEM768, FL_GROUP_X25519, FL_GROUP_P256},
			.group_count = 3,
			.ciphers = {FL_CIPHER_AES_128_GCM, FL_CIPHER_AES_256_GCM,
				    FL_CIPHER_CHACHA20},
			.cipher_count = 3,
			.tickets = FL_TICKETS_ON,
			.reuse = true},
		.inbound = fl_default_inbound,
		.outbound = {.mode = FL_OUTBOUND_MTLS},
		.rotation = {.on_trust_loss = FL_CHANGE_CLOSE, .on_policy_loss = FL_CHANGE_CLOSE},
		.limits = {.connections = 20000,
			   .handshakes = 512,
			   .handshake_timeout_ms = 10 * 1000,
			   .connect_timeout_ms = 5 * 1000,
			   .idle_timeout_ms = 3600 * 1000,
			   .peer_timeout_ms = 30 * 1000,
			   .buffer = 64 * 1024},
		.log = {.level = FL_LOG_INFO, .format = FL_LOG_JSON, .access = FL_ACCESS_ALL},
	};
	set_default_listeners(conf);
	set_default_redirect(conf);
	return conf;
}

/* --- words of values --------------------------------------------------------------------- */

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

const char *fl_inbound_mode_word(enum fl_inbound_mode mode)
{
	return word_of(inbound_modes, FL_COUNT_OF(inbound_modes), (unsigned)mode);
}

const char *fl_outbound_mode_word(enum fl_outbound_mode mode)
{
	return word_of(outbound_modes, FL_COUNT_OF(outbound_modes), (unsigned)mode);
}
