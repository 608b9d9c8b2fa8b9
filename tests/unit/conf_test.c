/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI: accepted settings, and that noise does no harm. */
#include "conf_case.h"

static void expect_address(const struct fl_addr *addr, const char *want)
{
	char text[FL_ADDR_TEXT];

	cr_expect_str_eq(fl_addr_format(addr, text), want);
}

static void expect_inbound(const struct fl_conf_inbound *inbound, enum fl_inbound_mode mode,
			   uint32_t detect_timeout_ms, bool proxy_protocol)
{
	cr_expect_eq(inbound->mode, mode);
	cr_expect_eq(inbound->detect_timeout_ms, detect_timeout_ms);
	cr_expect_eq(inbound->proxy_protocol, proxy_protocol);
}

/* want: `NET:FIRST-LAST` of each, or `INTERFACE@NET:FIRST-LAST`, with blanks between. */
static void expect_selectors(const struct fl_conf_selectors *list, const char *want)
{
	char *got = fl_strdup("");

	for (size_t i = 0; i < list->count; i++) {
		const struct fl_conf_selector *item = &list->items[i];
		char net[FL_CIDR_TEXT] = "*";
		char *more = fl_format("%s%s%s%s%s:%u-%u", got, i > 0 ? " " : "",
				       item->interface != NULL ? item->interface : "",
				       item->interface != NULL ? "@" : "",
				       item->any_net ? net : fl_cidr_format(&item->net, net),
				       item->ports.first, item->ports.last);

		free(got);
		got = more;
	}
	cr_expect_str_eq(got, want, "%s", got);
	free(got);
}

/* want: as for selectors. */
static void expect_dests(const struct fl_conf_upstream *upstream, const char *want)
{
	char *got = fl_strdup("");

	for (size_t i = 0; i < upstream->dest_count; i++) {
		const struct fl_conf_dest *dest = &upstream->dests[i];
		char net[FL_CIDR_TEXT];
		char *more =
			fl_format("%s%s%s:%u-%u", got, i > 0 ? " " : "",
				  dest->host != NULL ? dest->host : fl_cidr_format(&dest->net, net),
				  dest->ports.first, dest->ports.last);

		free(got);
		got = more;
	}
	cr_expect_str_eq(got, want, "%s", got);
	free(got);
}

/* --- what is taken ------------------------------------------------------------------------- */

Test(conf, test_conf__shortest_file__has_the_defaults_of_the_design)
{
	struct fl_conf *conf = parse_good(GOOD);

	cr_expect_str_eq(conf->path, PATH);
	cr_expect_str_eq(conf->identity.cert, "/tls/tls.crt");
	cr_expect_str_eq(conf->identity.key, "/tls/tls.key");
	cr_expect_str_eq(conf->identity.bundle, "/tls/ca.crt");
	cr_expect_null(conf->identity.credential_bundle);
	cr_expect_eq(conf->identity.cert_line, 2);
	cr_expect_eq(conf->identity.key_line, 3);
	cr_expect_eq(conf->identity.bundle_line, 4);
	cr_expect_eq(conf->federate_count, 0);
	cr_assert_eq(conf->sidecar.inbound_count, 1);
	expect_address(&conf->sidecar.inbound[0], "*:15006");
	cr_assert_eq(conf->sidecar.outbound_count, 2);
	expect_address(&conf->sidecar.outbound[0], "127.0.0.1:15001");
	expect_address(&conf->sidecar.outbound[1], "[::1]:15001");
	expect_address(&conf->sidecar.admin, "*:15020");
	cr_expect_str_eq(conf->sidecar.control, "/run/fairlead/sidecar.sock");
	cr_expect_eq(conf->sidecar.workers, 0);
	cr_expect_eq(conf->sidecar.drain_ms, 30000);
	cr_expect_str_eq(conf->agent.socket, "/run/fairlead/agent.sock");
	cr_expect_eq(conf->agent.sidecar_uid, 2112);
	cr_expect_eq(conf->agent.uid, 2113);
	cr_expect_not(conf->sidecar.admin_everywhere);
	cr_expect_eq(conf->tls.group_count, 3);
	cr_expect_eq(conf->tls.groups[0], FL_GROUP_X25519MLKEM768);
	cr_expect_eq(conf->tls.groups[1], FL_GROUP_X25519);
	cr_expect_eq(conf->tls.groups[2], FL_GROUP_P256);
	cr_expect_eq(conf->tls.cipher_count, 3);
	cr_expect_eq(conf->tls.ciphers[0], FL_CIPHER_AES_128_GCM);
	cr_expect_eq(conf->tls.ciphers[1], FL_CIPHER_AES_256_GCM);
	cr_expect_eq(conf->tls.ciphers[2], FL_CIPHER_CHACHA20);
	cr_expect_eq(conf->tls.tickets, FL_TICKETS_ON);
	cr_expect_eq(conf->limits.connections, 20000);
	cr_expect_eq(conf->limits.handshakes, 512);
	cr_expect_eq(conf->limits.handshake_timeout_ms, 10000);
	cr_expect_eq(conf->limits.connect_timeout_ms, 5000);
	cr_expect_eq(conf->limits.idle_timeout_ms, 3600000);
	cr_expect_eq(conf->limits.peer_timeout_ms, 30000);
	cr_expect_eq(conf->limits.buffer, 65536);
	cr_expect_eq(conf->limits.max_age_ms, 0);
	expect_inbound(&conf->inbound, FL_INBOUND_STRICT, 300, false);
	cr_expect_eq(conf->outbound.mode, FL_OUTBOUND_MTLS);
	cr_expect_eq(conf->outbound.peer_count, 0);
	cr_expect_eq(conf->rotation.on_trust_loss, FL_CHANGE_CLOSE);
	cr_expect_eq(conf->rotation.on_expiry, FL_CHANGE_KEEP);
	cr_expect_eq(conf->rotation.on_policy_loss, FL_CHANGE_CLOSE);
	cr_expect_eq(conf->rotation.recycle_ms, 0);
	cr_expect_eq(conf->redirect.line, 0);
	cr_expect_eq(conf->redirect.mode, FL_REDIRECT_NAT);
	expect_selectors(&conf->redirect.inbound_ports, "*:0-65535");
	expect_selectors(&conf->redirect.exclude_inbound, "*:15020-15020");
	expect_selectors(&conf->redirect.outbound, "*:0-65535");
	expect_selectors(&conf->redirect.exclude_outbound, "169.254.169.254:0-65535 *:53-53");
	cr_expect_not(conf->redirect.drop_other_protocols);
	cr_expect_eq(conf->log.level, FL_LOG_INFO);
	cr_expect_eq(conf->log.format, FL_LOG_JSON);
	cr_expect_eq(conf->log.access, FL_ACCESS_ALL);
	cr_expect_eq(conf->service_count, 1);
	cr_expect_str_eq(conf->services[0].name, "web");
	cr_expect_eq(conf->services[0].line, 5);
	expect_address(&conf->services[0].listen, "*:8443");
	expect_address(&conf->services[0].app, "127.0.0.1:8080");
	cr_expect_eq(conf->services[0].port, 8443);
	expect_inbound(&conf->services[0].inbound, FL_INBOUND_STRICT, 300, false);
	cr_expect_eq(conf->upstream_count, 0);
	cr_expect_eq(fl_policy_rule_count(conf->policy), 1);
	fl_conf_free(conf);
	fl_conf_free(NULL);
}

Test(conf, who_the_agent_is_and_who_reads_details)
{
	struct fl_conf *conf = parse_good(
		GOOD "[agent]\nuid = 4294967294\n[sidecar]\nadmin_details = everywhere\n");

	cr_expect_eq(conf->agent.uid, 4294967294);
	cr_expect_eq(conf->agent.sidecar_uid, 2112);
	cr_expect(conf->sidecar.admin_everywhere);
	fl_conf_free(conf);
}

static const char full[] = "[identity] ; the mounted files\n"
			   "credential_bundle = /tls/both.pem   ; key first\n"
			   "bundle=/tls/ca.crt\n"
			   "# another comment\n"
			   "[federate partner.example]\n"
			   "bundle = /partner/ca.crt\n"
			   "[federate other.example]\n"
			   "bundle = /other/ca.crt\n"
			   "[sidecar]\n"
			   "inbound =\n"
			   "outbound =       ; none\n"
			   "admin =\n"
			   "workers = 4\n"
			   "drain = 250ms\n"
			   "[agent]\n"
			   "socket = /tmp/agent.sock\n"
			   "sidecar_uid = 0\n"
			   "[tls]\n"
			   "groups = P-256,X25519 , X25519MLKEM768\n"
			   "ciphers = TLS_CHACHA20_POLY1305_SHA256\n"
			   "tickets = off\n"
			   "[inbound]\n"
			   "mode = strict\n"
			   "proxy_protocol = off\n"
			   "[service web]\n"
			   "listen = 0.0.0.0:8443\n"
			   "app = unix:/run/app/web.sock\n"
			   "mode = strict\n"
			   "[service api]\n"
			   "listen = [::1]:8443\n"
			   "app = [::1]:8080\n"
			   "[upstream ledger]\n"
			   "listen = unix:/run/app/ledger.sock\n"
			   "to = ledger.prod.svc.cluster.local:8443, 10.0.0.7:8443,[fd00::1]:8443\n"
			   "mode = mtls\n"
			   "peer = spiffe://td/ns/prod/sa/ledger, spiffe://partner.example/**\n"
			   "[upstream any]\n"
			   "listen = 127.0.0.1:7001\n"
			   "to = payments:1\n"
			   "peer =\n"
			   "[policy]\n"
			   "default = allow\n"
			   "mode = enforce\n"
			   "[deny quarantine]\n"
			   "from = spiffe://td/ns/quarantine/**\n"
			   "to = 1-1023 , 8443, web\n"
			   "[limits]\n"
			   "connections = 1\n"
			   "handshakes = 2\n"
			   "handshake_timeout = 1s\n"
			   "connect_timeout = 10ms\n"
			   "idle_timeout = 5m\n"
			   "peer_timeout = 15s\n"
			   "buffer = 16KiB\n"
			   "max_age = 0\n"
			   "[rotation]\n"
			   "on_trust_loss = keep\n"
			   "on_expiry = keep\n"
			   "on_policy_loss = keep\n"
			   "recycle = 0s\n"
			   "[log]\n"
			   "level = debug\n"
			   "format = text\n"
			   "access = denied\n";

Test(conf, test_conf__everything_that_is_built__is_taken)
{
	struct fl_conf *conf = parse_good(full);

	cr_expect_null(conf->identity.cert);
	cr_expect_str_eq(conf->identity.credential_bundle, "/tls/both.pem");
	cr_expect_eq(conf->identity.credential_bundle_line, 2);
	cr_expect_eq(conf->federate_count, 2);
	cr_expect_str_eq(conf->federate[1].trust_domain, "other.example");
	cr_expect_str_eq(conf->federate[1].path, "/other/ca.crt");
	cr_expect_eq(conf->federate[1].line, 7);
	cr_expect_eq(conf->sidecar.admin.kind, FL_ADDR_NONE);
	cr_expect_eq(conf->sidecar.workers, 4);
	cr_expect_eq(conf->sidecar.drain_ms, 250);
	cr_expect_str_eq(conf->agent.socket, "/tmp/agent.sock");
	cr_expect_eq(conf->agent.sidecar_uid, 0);
	cr_expect_eq(conf->tls.group_count, 3);
	cr_expect_eq(conf->tls.groups[0], FL_GROUP_P256);
	cr_expect_eq(conf->tls.groups[2], FL_GROUP_X25519MLKEM768);
	cr_expect_eq(conf->tls.cipher_count, 1);
	cr_expect_eq(conf->tls.ciphers[0], FL_CIPHER_CHACHA20);
	cr_expect_eq(conf->tls.tickets, FL_TICKETS_OFF);
	cr_expect_eq(conf->service_count, 2);
	expect_address(&conf->services[0].app, "unix:/run/app/web.sock");
	expect_address(&conf->services[1].listen, "[::1]:8443");
	cr_expect_eq(conf->upstream_count, 2);
	expect_address(&conf->upstreams[0].listen, "unix:/run/app/ledger.sock");
	cr_assert_eq(conf->upstreams[0].to_count, 3);
	expect_address(&conf->upstreams[0].to[0], "ledger.prod.svc.cluster.local:8443");
	expect_address(&conf->upstreams[0].to[1], "10.0.0.7:8443");
	expect_address(&conf->upstreams[0].to[2], "[fd00::1]:8443");
	cr_assert_eq(conf->upstreams[0].peer_count, 2);
	cr_expect_str_eq(fl_pattern_text(conf->upstreams[0].peer[1]),
			 "spiffe://partner.example/**");
	cr_expect_eq(conf->upstreams[1].peer_count, 0);
	cr_expect_eq(conf->limits.connections, 1);
	cr_expect_eq(conf->limits.handshakes, 2);
	cr_expect_eq(conf->limits.handshake_timeout_ms, 1000);
	cr_expect_eq(conf->limits.connect_timeout_ms, 10);
	cr_expect_eq(conf->limits.idle_timeout_ms, 300000);
	cr_expect_eq(conf->limits.peer_timeout_ms, 15000);
	cr_expect_eq(conf->limits.buffer, 16384);
	cr_expect_eq(conf->log.level, FL_LOG_DEBUG);
	cr_expect_eq(conf->log.format, FL_LOG_TEXT);
	cr_expect_eq(conf->log.access, FL_ACCESS_DENIED);
	fl_conf_free(conf);
}

static const char captured[] = IDENTITY
	"[sidecar]\n"
	"inbound = 10.0.0.1:15006, [fd00::1]:15006\n"
	"outbound = 127.0.0.2:15001\n"
	"control =\n"
	"[service admin-ui]\n"
	"port = 8081\n"
	"mode = plaintext\n"
	"[service web]\n"
	"port = 8080\n"
	"[service api]\n"
	"port = 8082\n"
	"mode = permissive\n"
	"detect_timeout = 1s\n"
	"proxy_protocol = off\n"
	"[service fixed]\n"
	"listen = *:8443\n"
	"app = 127.0.0.1:8080\n"
	"[service loose]\n"
	"listen = *:8444\n"
	"app = 127.0.0.1:8080\n"
	"mode = permissive\n"
	"proxy_protocol = v2\n"
	"[inbound]\n" /* after the services: it still applies to them */
	"mode = permissive\n"
	"detect_timeout = 50ms\n"
	"proxy_protocol = v2\n"
	"[outbound]\n"
	"default = mtls\n"
	"peer = spiffe://td/ns/prod/**\n"
	"[upstream payments]\n"
	"to = payments.prod.svc.cluster.local:8443, 10.20.0.0/16:9000-9010,10.0.0.1:443, [fd00::]/8:443\n"
	"peer = spiffe://td/payments\n"
	"[upstream metrics]\n"
	"to = 10.30.0.0/16:*, [fd01::1]:1-2\n"
	"mode = plaintext\n"
	"[upstream nobody]\n"
	"to = *:25\n"
	"mode = refuse\n"
	"[policy]\n"
	"mode = audit\n"
	"[allow all]\n"
	"from = spiffe://td/**\n"
	"[allow kubelet]\n"
	"from = plaintext\n"
	"sources = 10.0.0.1/32, fd00::/8, [fd01::]/16\n"
	"mode = audit\n"
	"[rotation]\n"
	"on_trust_loss = keep\n"
	"on_expiry = close\n"
	"on_policy_loss = keep\n"
	"recycle = 5m\n"
	"[limits]\n"
	"max_age = 8h\n"
	"[redirect]\n"
	"mode = tproxy\n"
	"inbound_ports = 8080, 8081-8082, 9000-9010\n"
	"exclude_inbound = 15020, 10.0.0.0/8:22, interface:eth1\n"
	"outbound = 10.0.0.0/8, [fd00::]/8, 10.0.0.1:443, [fd00::1]:1-2\n"
	"exclude_outbound =\n"
	"other_protocols = drop\n";

Test(conf, test_conf__captured_traffic__is_taken)
{
	struct fl_conf *conf = parse_good(captured);

	cr_assert_eq(conf->sidecar.inbound_count, 2);
	expect_address(&conf->sidecar.inbound[1], "[fd00::1]:15006");
	cr_assert_eq(conf->sidecar.outbound_count, 1);
	expect_address(&conf->sidecar.outbound[0], "127.0.0.2:15001");
	cr_expect_null(conf->sidecar.control);
	expect_inbound(&conf->inbound, FL_INBOUND_PERMISSIVE, 50, true);
	cr_assert_eq(conf->service_count, 5);
	for (size_t i = 0; i < 3; i++) {
		cr_expect_eq(conf->services[i].listen.kind, FL_ADDR_NONE);
		cr_expect_eq(conf->services[i].app.kind, FL_ADDR_NONE);
	}
	cr_expect_eq(conf->services[0].port, 8081);
	expect_inbound(&conf->services[0].inbound, FL_INBOUND_PLAINTEXT, 50, true);
	cr_expect_eq(conf->services[1].port, 8080);
	expect_inbound(&conf->services[1].inbound, FL_INBOUND_PERMISSIVE, 50, true);
	expect_inbound(&conf->services[2].inbound, FL_INBOUND_PERMISSIVE, 1000, false);
	/* [inbound] is about captured ports. */
	cr_expect_eq(conf->services[3].port, 8443);
	expect_inbound(&conf->services[3].inbound, FL_INBOUND_STRICT, 300, false);
	expect_inbound(&conf->services[4].inbound, FL_INBOUND_PERMISSIVE, 300, true);
	cr_expect_eq(conf->limits.max_age_ms, 8 * 3600 * 1000);
	cr_expect_eq(conf->rotation.on_trust_loss, FL_CHANGE_KEEP);
	cr_expect_eq(conf->rotation.on_expiry, FL_CHANGE_CLOSE);
	cr_expect_eq(conf->rotation.on_policy_loss, FL_CHANGE_KEEP);
	cr_expect_eq(conf->rotation.recycle_ms, 300000);
	fl_conf_free(conf);
}

Test(conf, test_conf__captured_destinations__are_taken)
{
	struct fl_conf *conf = parse_good(captured);

	cr_expect_eq(conf->outbound.mode, FL_OUTBOUND_MTLS);
	cr_assert_eq(conf->outbound.peer_count, 1);
	cr_expect_str_eq(fl_pattern_text(conf->outbound.peer[0]), "spiffe://td/ns/prod/**");
	cr_assert_eq(conf->upstream_count, 3);
	for (size_t i = 0; i < 3; i++) {
		cr_expect_eq(conf->upstreams[i].listen.kind, FL_ADDR_NONE);
		cr_expect_eq(conf->upstreams[i].to_count, 0);
	}
	expect_dests(&conf->upstreams[0],
		     "payments.prod.svc.cluster.local:8443-8443 10.20.0.0/16:9000-9010 "
		     "10.0.0.1:443-443 fd00::/8:443-443");
	cr_expect_eq(conf->upstreams[0].mode, FL_OUTBOUND_MTLS);
	cr_expect_eq(conf->upstreams[0].peer_count, 1);
	expect_dests(&conf->upstreams[1], "10.30.0.0/16:0-65535 fd01::1:1-2");
	cr_expect_eq(conf->upstreams[1].mode, FL_OUTBOUND_PLAINTEXT);
	expect_dests(&conf->upstreams[2], "0.0.0.0/0:25-25 ::/0:25-25");
	cr_expect_eq(conf->upstreams[2].mode, FL_OUTBOUND_REFUSE);
	fl_conf_free(conf);
}

Test(conf, test_conf__redirect__is_taken)
{
	struct fl_conf *conf = parse_good(captured);

	cr_expect_gt(conf->redirect.line, 0);
	cr_expect_eq(conf->redirect.mode, FL_REDIRECT_TPROXY);
	expect_selectors(&conf->redirect.inbound_ports, "*:8080-8080 *:8081-8082 *:9000-9010");
	expect_selectors(&conf->redirect.exclude_inbound,
			 "*:15020-15020 10.0.0.0/8:22-22 eth1@*:0-65535");
	expect_selectors(&conf->redirect.outbound,
			 "10.0.0.0/8:0-65535 fd00::/8:0-65535 10.0.0.1:443-443 fd00::1:1-2");
	expect_selectors(&conf->redirect.exclude_outbound, "");
	cr_expect(conf->redirect.drop_other_protocols);
	fl_conf_free(conf);
	conf = parse_good(GOOD "[redirect]\nexclude_outbound = *, *:*, [::1]:*, 0.0.0.0/0\n"
			       "inbound_ports = *\n");
	cr_expect_eq(conf->redirect.line, 10);
	expect_selectors(&conf->redirect.exclude_outbound,
			 "*:0-65535 *:0-65535 ::1:0-65535 0.0.0.0/0:0-65535");
	expect_selectors(&conf->redirect.inbound_ports, "*:0-65535");
	fl_conf_free(conf);
}

Test(conf, test_conf__rules__become_the_policy_with_their_lines)
{
	static const char text[] =
		GOOD "[policy]\ndefault = deny\n"
		     "[deny low]\nfrom = spiffe://td/a, spiffe://td/b\nto = 1-1023\n"
		     "[allow partner]\nfrom = spiffe://partner/x\nto = web\n";
	static const struct {
		const char *id;
		uint16_t port;
		const char *service;
		enum fl_effect effect;
		unsigned line;
	} rows[] = {
		{"spiffe://td/a", 1024, NULL, FL_ALLOW, 8},
		{"spiffe://td/a", 1023, NULL, FL_DENY, 12},
		{"spiffe://td/b", 1, "web", FL_DENY, 12},
		{"spiffe://td/c", 1, NULL, FL_ALLOW, 8},
		{"spiffe://partner/x", 8443, "web", FL_ALLOW, 15},
		{"spiffe://partner/x", 8443, "api", FL_DENY, 0},
		{"spiffe://elsewhere/x", 8443, "web", FL_DENY, 0},
	};
	struct fl_conf *conf = parse_good(text);

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_request request = {.id = rows[i].id,
					     .id_len = strlen(rows[i].id),
					     .port = rows[i].port,
					     .service = rows[i].service};
		struct fl_verdict got = fl_policy_decide(conf->policy, &request);

		cr_expect_eq(got.effect, rows[i].effect, "row %zu", i);
		cr_expect_eq(got.line, rows[i].line, "row %zu: line %u", i, got.line);
		if (got.rule != NULL) {
			cr_expect_str_eq(got.file, PATH);
		}
	}
	fl_conf_free(conf);
}

Test(conf, test_conf__ways_to_write_it__mean_the_same)
{
	static const char *const texts[] = {
		"\xef\xbb\xbf" GOOD,
		"; comment\n\n   \n\t# comment\n" GOOD,
		"[identity]\r\ncert = /tls/tls.crt\r\nkey = /tls/tls.key\r\nbundle = /tls/ca.crt\r\n"
		"[service web]\r\nlisten = *:8443\r\napp = 127.0.0.1:8080\r\n" RULE,
		"  [ identity ]  ; comment\n\tcert=/tls/tls.crt\n\tkey  =\t/tls/tls.key  \n"
		"  bundle = /tls/ca.crt ; comment\n"
		"[service   web];x\nlisten = *:8443\napp = 127.0.0.1:8080\n" RULE,
		IDENTITY SERVICE "[allow all]\nfrom = spiffe://td/**", /* no newline at the end */
	};

	for (size_t i = 0; i < FL_COUNT_OF(texts); i++) {
		struct fl_conf *conf = parse_good(texts[i]);

		cr_expect_str_eq(conf->identity.key, "/tls/tls.key", "text %zu", i);
		cr_expect_str_eq(conf->identity.bundle, "/tls/ca.crt", "text %zu", i);
		cr_expect_str_eq(conf->services[0].name, "web", "text %zu", i);
		fl_conf_free(conf);
	}
}

/* --- noise --------------------------------------------------------------------------------- */

static unsigned pick(unsigned *seed, size_t count)
{
	return (unsigned)rand_r(seed) % (unsigned)count;
}

/* Any input must give an error or a usable result, and do no harm. */
static void survive(const char *text, size_t len)
{
	char *exact = fl_strndup(text, len); /* so that reading past the end is seen */
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	int rc;

	exact = fl_grow(exact, len, 1);
	rc = fl_conf_parse(PATH, exact, len, &conf, &problems);
	cr_assert_eq(rc, problems.errors == 0 ? 0 : FL_ERR_INVALID);
	cr_assert_eq(conf != NULL, rc == 0);
	for (size_t i = 0; i < problems.count; i++) {
		cr_assert_str_not_empty(problems.items[i].text);
	}
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(exact);
}

Test(conf, test_conf__random_bytes__do_no_harm)
{
	static const char likely[] = "[]=:;#,*/-. \t\r\n\"spifeTLS0123456789";
	unsigned seed = 1;

	for (int round = 0; round < 1500; round++) {
		char text[400];
		size_t len = pick(&seed, sizeof(text));

		for (size_t i = 0; i < len; i++) {
			text[i] = round % 2 == 0 ? (char)pick(&seed, 256)
						 : likely[pick(&seed, sizeof(likely) - 1)];
		}
		survive(text, len);
	}
}

/* One change to a good INI: a byte, a hole, a doubled piece, a piece from elsewhere, an early end. */
static size_t mutate(char *text, size_t len, unsigned *seed)
{
	size_t at = pick(seed, len);
	size_t from = pick(seed, len);
	size_t most = len - (at > from ? at : from);
	size_t piece = pick(seed, most < 40 ? most : 40);

	switch (pick(seed, 5)) {
	case 0:
		text[at] = (char)pick(seed, 256);
		return len;
	case 1:
		memmove(text + at, text + at + piece, len - at - piece);
		return len - piece;
	case 2:
		memmove(text + at + piece, text + at, len - at);
		return len + piece;
	case 3:
		memmove(text + at, text + from, piece);
		return len;
	default:
		return pick(seed, 10) == 0 && at > 0 ? at : len;
	}
}

Test(conf, test_conf__mutations_of_a_good_file__do_no_harm)
{
	unsigned seed = 2;

	for (int round = 0; round < 3000; round++) {
		char text[sizeof(full) + sizeof(captured) + 400];
		const char *from = round % 2 == 0 ? full : captured;
		size_t len = strlen(from);
		unsigned changes = 1 + pick(&seed, 8);

		memcpy(text, from, len);
		for (unsigned i = 0; i < changes; i++) {
			len = mutate(text, len, &seed);
		}
		survive(text, len);
	}
}
