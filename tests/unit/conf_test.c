/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI: what is taken, what is refused, and that each problem is reported with its line. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/build.h"
#include "conf/conf.h"

#define PATH "test.ini"

/* Five lines of identity and one service: good, and without a warning. */
#define IDENTITY "[identity]\ncert = /tls/tls.crt\nkey = /tls/tls.key\nbundle = /tls/ca.crt\n"
#define SERVICE "[service web]\nlisten = *:8443\napp = 127.0.0.1:8080\n"
#define RULE "[allow all]\nfrom = spiffe://td/**\n"
#define GOOD IDENTITY SERVICE RULE

/* What nothing carries out so far is taken here, and refused in a test of its own. */
static struct fl_conf *parse(const char *text, struct fl_problems *problems)
{
	struct fl_conf *conf = NULL;
	int rc = fl_conf_parse(PATH, text, strlen(text), &conf, problems);

	cr_assert_eq(rc, problems->errors == 0 ? 0 : FL_ERR_INVALID);
	cr_assert_eq(conf == NULL, problems->errors != 0);
	return conf;
}

static struct fl_conf *parse_good(const char *text)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = parse(text, &problems);

	cr_assert_eq(problems.count, 0, "line %u: %s", problems.items[0].line,
		     problems.items[0].text);
	fl_problems_done(&problems);
	return conf;
}

static size_t count_at(const struct fl_problems *problems, fl_conf_line line, const char *part)
{
	size_t count = 0;

	for (size_t i = 0; i < problems->count; i++) {
		count += problems->items[i].line == line &&
			 strstr(problems->items[i].text, part) != NULL;
	}
	return count;
}

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
	cr_expect_eq(conf->tls.group_count, 2);
	cr_expect_eq(conf->tls.groups[0], FL_GROUP_X25519MLKEM768);
	cr_expect_eq(conf->tls.groups[1], FL_GROUP_X25519);
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
	"[inbound]\n" /* behind the services: it holds for them all the same */
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
	"inbound_ports = 8080, 9000-9010\n"
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
	expect_selectors(&conf->redirect.inbound_ports, "*:8080-8080 *:9000-9010");
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

/* --- one problem at a time ----------------------------------------------------------------- */

/* good, then `[section]` and the line: the problem is in line 11. */
static void expect_refused(const char *section, const char *line, const char *part)
{
	struct fl_problems problems = {0};
	char *text = fl_format("%s[%s]\n%s\n", GOOD, section, line);
	struct fl_conf *conf = parse(text, &problems);
	bool found = false;

	cr_expect_null(conf, "[%s] %s is accepted", section, line);
	for (size_t i = 0; i < problems.count; i++) {
		found = found || (problems.items[i].line == 11 &&
				  strstr(problems.items[i].text, part) != NULL);
	}
	cr_expect(found, "[%s] %s: no `%s` but, in line %u: %s", section, line, part,
		  problems.count > 0 ? problems.items[0].line : 0,
		  problems.count > 0 ? problems.items[0].text : "nothing");
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(text);
}

static void expect_taken(const char *section, const char *line)
{
	struct fl_problems problems = {0};
	char *text = fl_format("%s[%s]\n%s\n", GOOD, section, line);
	struct fl_conf *conf = parse(text, &problems);

	cr_expect_not_null(conf, "[%s] %s: %s", section, line,
			   problems.count > 0 ? problems.items[0].text : "");
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(text);
}

Test(conf, test_conf__bounds__are_where_they_should_be)
{
	static const struct {
		const char *section;
		const char *good;
		const char *bad;
	} rows[] = {
		{"limits", "buffer = 4KiB", "buffer = 4095B"},
		{"limits", "buffer = 1MiB", "buffer = 1048577B"},
		{"limits", "buffer = 4096B", "buffer = 1GiB"},
		{"limits", "connections = 1", "connections = 0"},
		{"limits", "connections = 10000000", "connections = 10000001"},
		{"limits", "handshakes = 1", "handshakes = 0"},
		{"limits", "handshake_timeout = 10ms", "handshake_timeout = 9ms"},
		{"limits", "handshake_timeout = 1h", "handshake_timeout = 3601s"},
		{"limits", "connect_timeout = 60m", "connect_timeout = 61m"},
		{"limits", "idle_timeout = 1000h", "idle_timeout = 1001h"},
		{"limits", "idle_timeout = 10ms", "idle_timeout = 0"},
		{"sidecar", "drain = 0", "drain = 25h"},
		{"sidecar", "drain = 24h", "drain = 18446744073709551616h"},
		{"sidecar", "workers = 1", "workers = 0"},
		{"sidecar", "workers = 256", "workers = 257"},
		{"inbound", "detect_timeout = 10ms", "detect_timeout = 9ms"},
		{"inbound", "detect_timeout = 1m", "detect_timeout = 61s"},
		{"limits", "max_age = 1000h", "max_age = 1001h"},
		{"rotation", "recycle = 1000h", "recycle = 1001h"},
		{"agent", "sidecar_uid = 4294967294", "sidecar_uid = 4294967295"},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		expect_taken(rows[i].section, rows[i].good);
		expect_refused(rows[i].section, rows[i].bad, "out of bounds");
	}
}

static const struct {
	const char *section;
	const char *line;
	const char *part;
} wrong[] = {
	{"limits", "idle_timeout = 30", "has no unit (ms, s, m or h)"},
	{"limits", "idle_timeout = 30 s", "not a unit"},
	{"limits", "idle_timeout = 1.5h", "not a unit"},
	{"limits", "idle_timeout = 30S", "not a unit"},
	{"limits", "idle_timeout = -1s", "not a whole number"},
	{"limits", "idle_timeout =", "not a whole number"},
	{"limits", "idle_timeout = forever", "idle_timeout = 1h"},
	{"limits", "buffer = 64K", "KiB"},
	{"limits", "buffer = 64kb", "KiB"},
	{"limits", "buffer = 65536", "has no unit"},
	{"limits", "connections = 20k", "not a whole number"},
	{"limits", "connections = 0x10", "not a whole number"},
	{"limits", "connections =", "not a whole number"},
	{"limits", "connections = 20000    handshakes = 512", "not a whole number"},
	{"limits", "max_age = x", "not a whole number"},
	{"rotation", "on_expiry = reset", "keep, close"},
	{"rotation", "on_trust_loss = drop", "keep, close"},
	{"rotation", "on_policy_loss =", "keep, close"},
	{"rotation", "recycle = 5", "has no unit"},
	{"redirect", "mode = nat", "redirect, tproxy"},
	{"redirect", "other_protocols = allow", "count, drop"},
	{"redirect", "inbound_ports = 8080-", "neither a port nor a range"},
	{"redirect", "inbound_ports = 10.0.0.1", "neither `*`, nor a port"},
	{"redirect", "inbound_ports = interface:eth0", "neither `*`, nor a port"},
	{"redirect", "exclude_inbound = 70000", "1 to 65535"},
	{"redirect", "outbound = ledger:80", "knows no names"},
	{"redirect", "outbound = fd00::/8", "stands in brackets"},
	{"redirect", "outbound = 10.0.0.1:", "neither a port nor a range"},
	{"redirect", "exclude_outbound = 10.0.0.1/8", "the network is 10.0.0.0/8"},
	{"redirect", "exclude_outbound = 10.0.0.0/8,,", "list item is missing"},
	{"redirect", "exclude_outbound = interface:", "1 to 15 bytes"},
	{"redirect", "exclude_outbound = interface:a-name-of-16-byt", "1 to 15 bytes"},
	{"redirect", "exclude_outbound = interface:eth*", "letters, digits"},
	{"redirect", "exclude_outbound = eth1", "knows no names"},
	{"sidecar", "workers = many", "workers = auto"},
	{"sidecar", "admin = 15020", "not an address"},
	{"sidecar", "admin = localhost:15020", "DNS name is not possible"},
	{"sidecar", "admin = unix:/run/x", "Unix socket is not possible"},
	{"sidecar", "admin = *:1, *:2", "only one address"},
	{"agent", "socket = agent.sock", "full path"},
	{"agent", "socket =", "path is missing"},
	{"log", "level = Info", "did you mean `info`?"},
	{"log", "level = trace", "debug, info, warn, error"},
	{"log", "format = yaml", "json, text"},
	{"log", "access = none", "all, denied, off"},
	{"policy", "default = accept", "allow, deny"},
	{"tls", "groups =", "at least one"},
	{"tls", "groups = X25519,", "list item is missing"},
	{"tls", "groups = , X25519", "list item is missing"},
	{"tls", "groups = X25519,,P-256", "list item is missing"},
	{"tls", "groups = X25519, X25519", "twice"},
	{"tls", "groups = P256", "did you mean `P-256`?"},
	{"tls", "groups = X25519MLKEM786", "did you mean `X25519MLKEM768`?"},
	{"tls", "ciphers = TLS_AES_128_GCM", "TLS_AES_256_GCM_SHA384"},
	{"service x", "listen = :8443", "not an address"},
	{"service x", "listen = web:8443", "DNS name is not possible"},
	{"service x", "listen = unix:/run/x", "Unix socket is not possible"},
	{"service x", "listen =", "neither `port` nor `listen`"},
	{"service x", "port = 0", "1 to 65535"},
	{"service x", "port = 8080-8090", "only one port"},
	{"service x", "port =", "neither a port nor a range"},
	{"service x", "port = 15006",
	 "one that we listen on ourselves ([sidecar] inbound, the default)"},
	{"service x", "port = 15001", "[sidecar] outbound, the default"},
	{"service x", "port = 15020", "[sidecar] admin, the default"},
	{"service x", "port = 8443", "[service web] listen in line 6"},
	{"service x", "mode = tls", "strict, permissive, plaintext"},
	{"service x", "proxy_protocol = v1", "off, v2"},
	{"inbound", "mode = permissiv", "did you mean `permissive`?"},
	{"inbound", "proxy_protocol = on", "off, v2"},
	{"inbound", "detect_timeout = 300", "has no unit"},
	{"outbound", "default = deny", "mtls, plaintext, refuse"},
	{"outbound", "peer = ledger", "spiffe://"},
	{"outbound", "mode = mtls", "belongs into"},
	{"sidecar", "inbound = 15006", "not an address"},
	{"sidecar", "inbound = *:15006, localhost:15007", "DNS name is not possible"},
	{"sidecar", "inbound = *:15006,", "list item is missing"},
	{"sidecar", "inbound = 127.0.0.1:15001", "taken by [sidecar] outbound, the default"},
	{"sidecar", "outbound = *:15006", "taken by [sidecar] inbound, the default"},
	{"sidecar", "outbound = unix:/run/x", "Unix socket is not possible"},
	{"sidecar", "outbound = 127.0.0.1:1, 127.0.0.1:1",
	 "taken by [sidecar] outbound in line 11"},
	{"sidecar", "control = sidecar.sock", "full path"},
	{"sidecar", "control = /run/fairlead/agent.sock", "taken by [agent] socket, the default"},
	{"service x", "app = localhost:8080", "no name is resolved"},
	{"service x", "app = *:8080", "address to listen on"},
	{"service x", "app = 0.0.0.0:8080", "address to listen on"},
	{"service x", "app = [::]:8080", "address to listen on"},
	{"service x", "app = unix:run/x", "starts with `/`"},
	{"upstream x", "listen = localhost:7001", "DNS name is not possible"},
	{"upstream x", "to =", "where to connect to is missing"},
	{"upstream x", "to = ledger", "has no port: write ledger:443, or ledger:* for every port"},
	{"upstream x", "to = 10.0.0.0/8", "has no port"},
	{"upstream x", "to = :80", "is not HOST:PORT"},
	{"upstream x", "to = 0.0.0.0:8443", "address to listen on"},
	{"upstream x", "to = [::]:8443", "address to listen on"},
	{"upstream x", "to = 10.0.0.1/8:80", "the network is 10.0.0.0/8"},
	{"upstream x", "to = 10.0.0.0/33:80", "number from 0 to 32"},
	{"upstream x", "to = 10.0.0.300:80", "is no network"},
	{"upstream x", "to = fd00::1:80", "stands in brackets"},
	{"upstream x", "to = fd00::/8:80", "stands in brackets"},
	{"upstream x", "to = [fd00::1:80", "stands in brackets"},
	{"upstream x", "to = [fd00::/8]:80", "is no network"},
	{"upstream x", "to = a:0", "1 to 65535"},
	{"upstream x", "to = a:80-79", "backwards"},
	{"upstream x", "to = a:http", "neither a port nor a range"},
	{"upstream x", "to = a b:80", "neither an IP address nor a DNS name"},
	{"upstream x", "to = *.example:80", "neither an IP address nor a DNS name"},
	{"upstream x", "mode = allow", "mtls, plaintext, refuse"},
	{"upstream x", "peer = plaintext", "nobody's identity"},
	{"upstream x", "to = unix:/run/x", "Unix socket is not possible"},
	{"upstream x", "to = a:1,,b:2", "list item is missing"},
	{"upstream x", "peer = ledger", "spiffe://"},
	{"upstream x", "peer = spiffe://*/x", "trust domain is literal"},
	{"allow x", "from =", "no `from`"},
	{"allow x", "from = *", "spiffe://"},
	{"allow x", "from = Plaintext", "spiffe://"},
	{"allow x", "sources =", "no address is named"},
	{"allow x", "sources = 10.0.0.0/8,", "list item is missing"},
	{"allow x", "sources = 10.0.0.1/8", "the network is 10.0.0.0/8"},
	{"allow x", "sources = front", "is no network"},
	{"allow x", "mode = off", "enforce, audit"},
	{"policy", "mode = warn", "enforce, audit"},
	{"allow x", "from = spiffe://td/**/x", "only at the end"},
	{"allow x", "to = 0", "1 to 65535"},
	{"allow x", "to = 65536", "1 to 65535"},
	{"allow x", "to = 10-9", "backwards"},
	{"allow x", "to = 1-2-3", "neither a port nor a range"},
	{"allow x", "to = 9000-", "neither a port nor a range"},
	{"allow x", "to = wbe", "did you mean `web`?"},
	{"allow x", "to = *", "no [service *]"},
	{"federate x", "bundle = ca.crt", "full path"},
	{"log", "level = \"info\"", "without quotes"},
	{"log", "level = info # comment", "begins with ` ;`"},
	{"log", "levle = info", "did you mean `level`?"},
	{"log", "LEVEL = info", "did you mean `level`?"},
	{"log", "drain = 5s", "belongs into [sidecar]"},
	{"log", "listen = *:1", "belongs into [service NAME]"},
	{"log", "frobnicate = 5s", "unknown key"},
	{"log", "info", "neither [SECTION] nor KEY = VALUE"},
	{"log", "level: info", "neither [SECTION] nor KEY = VALUE"},
	{"log", "  debug", "does not go on in the next line"},
	{"log", "level ; = info", "neither [SECTION] nor KEY = VALUE"},
	{"log", "= info", "key before `=` is missing"},
	{"log", "level = in\x1b[31mfo", "0x1b"},
	{"log", "[limits", "`]`"},
	{"log", "[]", "no name"},
	{"log", "[ ]", "no name"},
	{"log", "[limits] x = 1", "only a `;` comment"},
	{"log", "[limit]", "did you mean `limits`?"},
	{"log", "[Limits]", "did you mean `limits`?"},
	{"log", "[frobnication]", "unknown section"},
	{"log", "[identity]", "stands already in line 1"},
	{"log", "[service  web]", "stands already in line 5"},
	{"log", "[limits x]", "has no name"},
	{"log", "[service]", "needs a name"},
	{"log", "[federate]", "needs a name: [federate TRUST_DOMAIN]"},
	{"log", "[federate Partner.example]", "lower case"},
	{"log", "[federate spiffe://x]", "trust domain"},
	{"log", "[service a b]", "letters, digits"},
	{"log", "[service a,b]", "letters, digits"},
	{"log", "[service 8080]", "needs a letter"},
	{"log", "[deny all]", "rule name `all` stands already in line 8"},
	{"log", "[allow default]\nfrom = spiffe://td/x", "`default` stands for `[policy] default`"},
	{"log", "[federate partner]", "no `bundle`"},
	{"log", "[service api]", "neither `port` nor `listen`"},
	{"log", "[upstream api]", "no `to`"},
	{"log", "[deny other]", "no `from`"},
};

Test(conf, test_conf__wrong_values__say_what_would_do)
{
	for (size_t i = 0; i < FL_COUNT_OF(wrong); i++) {
		expect_refused(wrong[i].section, wrong[i].line, wrong[i].part);
	}
}

Test(conf, test_conf__names__may_be_63_bytes_and_no_longer)
{
	char name[65];
	char *section;

	memset(name, 'a', 64);
	name[64] = '\0';
	section = fl_format("[service %s]", name);
	expect_refused("log", section, "63 is the most");
	free(section);
	section = fl_format("allow %.63s", name);
	expect_taken(section, "from = spiffe://td/x");
	free(section);
}

/* --- contradictions ------------------------------------------------------------------------ */

static void expect_problem(const char *text, fl_conf_line line, const char *part)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = parse(text, &problems);
	bool found = false;

	for (size_t i = 0; i < problems.count; i++) {
		found = found || (problems.items[i].line == line &&
				  strstr(problems.items[i].text, part) != NULL);
	}
	cr_expect(found, "no `%s` in line %u but, in line %u: %s", part, line,
		  problems.count > 0 ? problems.items[0].line : 0,
		  problems.count > 0 ? problems.items[0].text : "nothing");
	cr_expect_eq(problems.count, 1, "%zu problems: %s", problems.count,
		     problems.count > 1 ? problems.items[1].text : "");
	fl_problems_done(&problems);
	fl_conf_free(conf);
}

#define BUNDLE "bundle = /ca\n"
#define REST SERVICE RULE

Test(conf, test_conf__identity__is_complete_and_says_one_thing)
{
	expect_problem(REST, 0, "[identity] is missing");
	expect_problem("[identity]\n" BUNDLE REST, 1, "names no credentials");
	expect_problem("[identity]\ncert = /c\n" BUNDLE REST, 2, "`cert` needs `key`");
	expect_problem("[identity]\nkey = /c\n" BUNDLE REST, 2, "`key` needs `cert`");
	expect_problem("[identity]\ncert = /c\nkey = /k\n" REST, 1, "no `bundle`");
	expect_problem("[identity]\ncert = /c\nkey = /k\n" BUNDLE "credential_bundle = /b\n" REST,
		       5, "in place of `cert` and `key` (line 2)");
	expect_problem("[identity]\ncredential_bundle = /b\nkey = /k\n" BUNDLE REST, 2,
		       "in place of `cert` and `key` (line 3)");
	expect_problem("[identity]\ncert = c\nkey = /k\n" BUNDLE REST, 2, "full path");
}

#define FIXED "[sidecar]\ninbound =\noutbound =\n" /* in lines 5 to 7, behind IDENTITY */

Test(conf, test_conf__nothing_to_listen_on__says_what_to_add)
{
	expect_problem(IDENTITY FIXED, 0, "there is nothing to do");
	expect_problem(IDENTITY "[upstream x]\nlisten = 127.0.0.1:1\n", 5, "no `to`");
	expect_problem(IDENTITY "[upstream x]\nmode = refuse\n", 5, "no `to`");
	fl_conf_free(parse_good(IDENTITY RULE));
	fl_conf_free(parse_good(IDENTITY RULE "[sidecar]\ninbound =\n"));
	fl_conf_free(parse_good(IDENTITY RULE "[sidecar]\noutbound =\n"));
}

Test(conf, test_conf__captured_and_fixed__are_not_mixed)
{
	expect_problem(GOOD "[service x]\nport = 80\nlisten = *:81\napp = 127.0.0.1:80\n", 11,
		       "`listen` (line 12) a fixed listener: keep one of the two");
	expect_problem(GOOD "[service x]\nport = 80\napp = 127.0.0.1:80\n", 12,
		       "remove `app`, or write `listen` in place of `port`");
	expect_problem(GOOD "[service x]\napp = 127.0.0.1:80\n", 10, "neither `port` nor `listen`");
	expect_problem(GOOD "[service x]\nlisten =\napp = 127.0.0.1:80\n", 11,
		       "neither `port` nor `listen`");
	fl_conf_free(parse_good(GOOD "[service x]\nlisten =\nport = 80\n"));
	expect_problem(GOOD "[service x]\nport = 80\n[service y]\nport = 80\n", 13,
		       "`port = 80` is [service x] already (line 11)");
	expect_problem(IDENTITY FIXED RULE "[service x]\nport = 80\n", 11,
		       "`[sidecar] inbound` is empty (line 6)");
	expect_problem(IDENTITY FIXED "[upstream x]\nto = a:1\n", 8,
		       "`[sidecar] outbound` is empty (line 7)");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = 10.0.0.0/8:1\n", 12,
		       "networks and port ranges are for captured traffic");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = a:1-2\n", 12,
		       "networks and port ranges are for captured traffic");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = a:*\n", 12,
		       "networks and port ranges are for captured traffic");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = a:1\nmode = refuse\n", 13,
		       "listens only to refuse");
}

Test(conf, test_conf__listener_of_ours_that_is_captured__is_refused)
{
	expect_problem(
		GOOD "[redirect]\ninbound_ports = 80, 8000-9000\n", 11,
		"8443 is captured and one that we listen on ourselves ([service web] listen in line 6)");
	expect_problem(GOOD "[redirect]\nexclude_inbound = 10.0.0.0/8:8443\ninbound_ports = 8443\n",
		       12, "take it out, or name it in `exclude_inbound`");
	expect_problem(GOOD "[redirect]\ninbound_ports = 15006\n", 11,
		       "([sidecar] inbound, the default)");
	fl_conf_free(parse_good(GOOD "[redirect]\ninbound_ports = *\n"));
	fl_conf_free(parse_good(GOOD "[redirect]\ninbound_ports = 80, 15001, 15020\n"));
	fl_conf_free(parse_good(
		GOOD "[redirect]\ninbound_ports = 8000-9000\nexclude_inbound = 8440-8450\n"));
}

Test(conf, test_conf__peer_where_nobody_proves_who_he_is__is_refused)
{
	expect_problem(GOOD "[upstream x]\nto = a:1\nmode = plaintext\npeer = spiffe://td/x\n", 13,
		       "`mode = plaintext` (line 12) nobody proves who he is");
	expect_problem(GOOD "[upstream x]\nto = a:1\nmode = refuse\npeer = spiffe://td/x\n", 13,
		       "`mode = refuse` (line 12)");
	expect_problem(GOOD "[outbound]\npeer = spiffe://td/x\ndefault = plaintext\n", 11,
		       "`default = plaintext` (line 12)");
	expect_problem(GOOD "[outbound]\npeer = spiffe://td/x\ndefault = refuse\n", 11,
		       "`default = refuse` (line 12)");
	fl_conf_free(parse_good(GOOD "[outbound]\npeer =\ndefault = refuse\n"));
	fl_conf_free(parse_good(GOOD "[outbound]\npeer = spiffe://td/x\ndefault = mtls\n"));
}

Test(conf, test_conf__upstreams_that_overlap__are_a_tie_where_neither_is_more_specific)
{
	static const struct {
		const char *a, *b;
		bool tie;
	} rows[] = {
		{"10.0.0.0/8:80", "10.0.0.0/8:80", true},
		{"10.0.0.0/8:80", "10.0.0.0/8:81", false},
		{"10.0.0.0/8:80", "10.0.0.0/16:80", false},
		{"10.0.0.0/8:80", "10.0.0.0/8:80-81", false},
		{"10.0.0.0/8:80", "10.0.0.0/8:*", false},
		{"10.0.0.0/8:*", "10.0.0.0/8:*", true},
		{"10.0.0.0/8:1-10", "10.0.0.0/8:10-19", true},
		{"10.0.0.0/8:10-19", "10.0.0.0/8:1-10", true},
		{"10.0.0.0/8:1-10", "10.0.0.0/8:11-20", false},
		{"10.0.0.0/8:1-10", "10.0.0.0/8:10-20", false},
		{"10.0.0.1:80", "10.0.0.1/32:80", true},
		{"10.0.0.1:80", "[::ffff:10.0.0.1]:80", true},
		{"10.0.0.1:80", "10.0.0.2:80", false},
		{"[fd00::1]:80", "[fd00:0::1]:80", true},
		{"[fd00::]/8:80", "[fd00::]/16:80", false},
		{"0.0.0.0/0:80", "[::]/0:80", false},
		{"*:80", "[::]/0:80", true},
		{"*:80", "*:81", false},
		{"ledger:80", "LEDGER:80", true},
		{"ledger:80", "ledger:81", false},
		{"ledger:80", "ledger.prod:80", false},
		{"ledger:80", "ledger:80-90", false},
		{"ledger:80", "10.0.0.1:80", false},
		{"x:1, 10.0.0.0/8:80, y:1", "z:1, 10.0.0.0/8:80", true},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		char *text = fl_format("%s[upstream a]\nto = %s\n[upstream b]\nto = %s\n", IDENTITY,
				       rows[i].a, rows[i].b);

		if (rows[i].tie) {
			expect_problem(text, 8, "just as much [upstream a] (line 6)");
		} else {
			fl_conf_free(parse_good(text));
		}
		free(text);
	}
	/* In one and the same upstream it makes no difference. */
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nto = 10.0.0.0/8:1-10, 10.0.0.0/8:5-14\n"));
}

Test(conf, test_conf__two_listeners_in_one_place__are_refused)
{
	static const struct {
		const char *first;
		const char *second;
		bool collide;
	} rows[] = {
		{"*:7000", "*:7000", true},
		{"*:7000", "*:7001", false},
		{"*:7000", "127.0.0.1:7000", true},
		{"127.0.0.1:7000", "*:7000", true},
		{"*:7000", "[::1]:7000", true},
		{"127.0.0.1:7000", "127.0.0.1:7000", true},
		{"127.0.0.1:7000", "127.0.0.2:7000", false},
		{"127.0.0.1:7000", "[::1]:7000", false},
		{"127.0.0.1:7000", "[::ffff:127.0.0.1]:7000", true},
		{"[::1]:7000", "[0:0:0:0:0:0:0:1]:7000", true},
		{"[::1]:7000", "[::2]:7000", false},
		{"0.0.0.0:7000", "10.0.0.1:7000", true},
		{"0.0.0.0:7000", "[::1]:7000", false},
		{"[::]:7000", "[::1]:7000", true},
		{"unix:/run/x", "unix:/run/x", true},
		{"unix:/run/x", "unix:/run/y", false},
		{"unix:/run/x", "*:7000", false},
		{"127.0.0.1:7000", "127.0.0.1:15020", true}, /* the admin listener's default */
		{"*:7000", "unix:/run/fairlead/agent.sock", true}, /* the agent's */
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		char *text = fl_format("%s[upstream a]\nlisten = %s\nto = a:1\n"
				       "[upstream b]\nlisten = %s\nto = a:1\n",
				       IDENTITY, rows[i].first, rows[i].second);

		if (rows[i].collide) {
			expect_problem(text, 9, "is taken by");
		} else {
			fl_conf_free(parse_good(text));
		}
		free(text);
	}
	expect_problem(GOOD "[sidecar]\nadmin = 127.0.0.1:8443\n", 11,
		       "taken by [service web] listen in line 6 (*:8443)");
}

Test(conf, test_conf__destination_that_leads_back__is_refused)
{
	expect_problem(IDENTITY "[upstream a]\nlisten = 127.0.0.1:7000\nto = 127.0.0.1:7000\n", 7,
		       "leads back");
	expect_problem(IDENTITY "[upstream a]\nlisten = *:7000\nto = x:1, [::1]:7000\n", 7,
		       "leads back");
	expect_problem(GOOD "[service x]\nlisten = *:8444\napp = 127.0.0.1:8443\n", 12,
		       "leads back");
	expect_problem(GOOD "[service x]\nlisten = *:8444\napp = 127.0.0.1:15006\n", 12,
		       "leads back to the sidecar itself ([sidecar] inbound, the default)");
	expect_problem(GOOD "[service x]\nlisten = *:8444\napp = [::1]:15001\n", 12, "leads back");
	expect_problem(IDENTITY "[upstream a]\nlisten = *:7000\nto = 127.0.0.1:15001\n", 7,
		       "leads back");
	/* The admin endpoint for peers, with mutual TLS. */
	fl_conf_free(parse_good(GOOD "[service x]\nlisten = *:8444\napp = 127.0.0.1:15020\n"));
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nlisten = *:7000\nto = 192.0.2.1:7000\n"));
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nlisten = 127.0.0.1:7000\nto = x:7000\n"));
	/* On purpose: what comes in goes out again to another mesh peer. */
	fl_conf_free(parse_good(IDENTITY RULE "[service a]\nlisten = *:8443\napp = unix:/run/up\n"
					      "[upstream b]\nlisten = unix:/run/up\nto = x:1\n"));
}

static void expect_warning(const char *text, fl_conf_line line, const char *part)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = parse(text, &problems);

	cr_expect_not_null(conf);
	cr_assert_eq(problems.count, 1, "%zu problems, not one `%s`", problems.count, part);
	cr_expect_eq(problems.errors, 0);
	cr_expect_eq(problems.items[0].kind, FL_PROBLEM_WARNING);
	cr_expect_eq(problems.items[0].line, line, "line %u", problems.items[0].line);
	cr_expect_not_null(strstr(problems.items[0].text, part), "%s", problems.items[0].text);
	fl_problems_done(&problems);
	fl_conf_free(conf);
}

Test(conf, test_conf__what_never_matches__is_a_warning)
{
	expect_warning(GOOD "[allow x]\nfrom = plaintext\n", 11,
		       "never matches, for no port lets plaintext in");
	expect_warning(GOOD "[deny x]\nfrom = spiffe://td/x, plaintext\n", 11,
		       "no port lets plaintext in");
	expect_warning(
		IDENTITY SERVICE
		"[sidecar]\ninbound =\n[inbound]\nmode = plaintext\n[allow x]\nfrom = plaintext\n",
		13, "no port lets plaintext in");
	fl_conf_free(
		parse_good(GOOD "[allow x]\nfrom = plaintext\n[inbound]\nmode = permissive\n"));
	fl_conf_free(parse_good(
		GOOD "[allow x]\nfrom = plaintext\n[service y]\nport = 1\nmode = plaintext\n"));
	expect_warning(GOOD "[upstream x]\nto = 10.0.0.1:1, 127.0.0.1:1\n", 11,
		       "127.0.0.1 never matches, for what goes to loopback is not captured");
	expect_warning(GOOD "[upstream x]\nto = [::1]:1\n", 11, "::1 never matches");
}

Test(conf, test_conf__nobody_let_in__is_a_warning)
{
	expect_warning(IDENTITY SERVICE, 0, "no [allow NAME]");
	expect_warning(IDENTITY, 0, "no [allow NAME]");
	fl_conf_free(parse_good(IDENTITY SERVICE "[policy]\ndefault = allow\n"));
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nlisten = *:7000\nto = x:1\n"));
}

/* --- all of them at once ------------------------------------------------------------------- */

static const struct {
	const char *line;
	const char *parts[2]; /* of what is reported about it; none: it is fine */
} broken[] = {
	{"orphan = 1", {"before the first [SECTION]"}},
	{"[identity]", {"has no `bundle`"}},
	{"cert = tls.crt", {"not a full path"}},
	{"key = \"/tls/tls.key\"", {"without quotes"}},
	{"bundel = /tls/ca.crt", {"did you mean `bundle`?"}},
	{"crl = crl.pem", {"not a full path"}},
	{"credential_bundle = /tls/both.pem", {"in place of `cert` and `key` (line 3)"}},
	{"[sidecar]", {NULL}},
	{"inbound = *:15006, 15007", {"`15007` is not an address"}},
	{"drain = 30", {"has no unit"}},
	{"drain = 40s", {"`drain` stands already in line 10"}},
	{"workers = 0", {"out of bounds (1 to 256)"}},
	{"[servcie api]", {"did you mean `service`?"}},
	{"this is not looked at = x", {NULL}},
	{"[service web]", {NULL}},
	{"listen = *:8443", {NULL}},
	{"app = localhost:8080", {"no name is resolved"}},
	{"mode = permissiv", {"did you mean `permissive`?"}},
	{"port = 8080", {"`listen` (line 16) a fixed listener"}},
	{"[service web2]", {"has no `app`"}},
	{"listen = 127.0.0.1:8443", {"taken by [service web] listen in line 16"}},
	{"[upstream ledger]", {NULL}},
	{"to = 10.0.0.1/8:80, x:90, y", {"bits behind its prefix", "`y` has no port"}},
	{"   z:90", {"does not go on in the next line"}},
	{"peer = spiffe://prod.example/web-*, spiffe://*/x", {"whole segment", "is literal"}},
	{"[sidecar]", {"[sidecar] stands already in line 8"}},
	{"admin = 15020", {"not an address"}},
	{"[allow a]", {"has no `from`"}},
	{"to = 99999, wbe", {"1 to 65535", "did you mean `web`?"}},
	{"[deny a]", {"rule name `a` stands already in line 28"}},
	{"from = front", {"spiffe://"}},
	{"[limits]", {NULL}},
	{"buffer = 64K", {"not a unit"}},
	{"connections = 20000    handshakes = 512", {"not a whole number"}},
	{"max_age = 5", {"has no unit"}},
	{"[log", {"`]`"}},
	{"level = nobody's", {NULL}},
	{"[log] ; comment", {NULL}},
	{"level = warning", {"did you mean `warn`?"}},
	{"format json", {"neither [SECTION] nor KEY = VALUE"}},
	{"[redirect]", {NULL}},
	{"mode = proxy", {"did you mean `tproxy`?"}},
	{"[federate Partner]", {"lower case", "has no `bundle`"}},
	{"[federate]", {"needs a name"}},
	{"[tls]", {NULL}},
	{"groups = X25519, Kyber", {"`Kyber` is not one of"}},
	{"tickets = yes", {"`yes` is not one of"}},
	{"[rotation]", {NULL}},
	{"on_expiry = closed", {"did you mean `close`?"}},
};

static char *join_broken(void)
{
	char *text = fl_strdup("");

	for (size_t i = 0; i < FL_COUNT_OF(broken); i++) {
		char *more = fl_format("%s%s\n", text, broken[i].line);

		free(text);
		text = more;
	}
	return text;
}

Test(conf, test_conf__file_full_of_problems__has_each_reported_with_its_line)
{
	struct fl_problems problems = {0};
	char *text = join_broken();
	size_t expected = 0;

	cr_expect_null(parse(text, &problems));
	for (size_t i = 0; i < FL_COUNT_OF(broken); i++) {
		for (size_t k = 0; k < 2 && broken[i].parts[k] != NULL; k++) {
			expected++;
			cr_expect_eq(count_at(&problems, (fl_conf_line)i + 1, broken[i].parts[k]),
				     1, "line %zu `%s`: not exactly one `%s`", i + 1,
				     broken[i].line, broken[i].parts[k]);
		}
	}
	cr_expect_geq(expected, 25);
	cr_expect_eq(problems.count, expected, "%zu problems, %zu expected", problems.count,
		     expected);
	for (size_t i = 1; i < problems.count; i++) {
		cr_expect_leq(problems.items[i - 1].line, problems.items[i].line, "not sorted");
	}
	fl_problems_done(&problems);
	free(text);
}

Test(conf, test_conf__printing__is_file_line_and_harmless_to_terminals)
{
	struct fl_problems problems = {0};
	char *shown = NULL;
	size_t len = 0;
	FILE *stream = open_memstream(&shown, &len);

	(void)parse("[log]\nlevel = \xc2\x9b"
		    "1m\n[x]\n",
		    &problems);
	fl_problems_print(&problems, "/etc/x.ini", stream);
	cr_assert_eq(fclose(stream), 0);
	cr_expect_not_null(strstr(shown, "/etc/x.ini: [identity] is missing"), "%s", shown);
	cr_expect_not_null(strstr(shown, "/etc/x.ini:2: `level`: "), "%s", shown);
	cr_expect_not_null(strstr(shown, "/etc/x.ini:3: unknown section [x]\n"), "%s", shown);
	cr_expect_null(strstr(shown, "\xc2\x9b"), "%s", shown);
	fl_problems_done(&problems);
	free(shown);
}

/* --- long and odd texts -------------------------------------------------------------------- */

/* A rule with so many identities that its line has just about size bytes. */
static char *with_long_line(size_t size)
{
	static const char more[] = ", spiffe://td/abcd";
	char *list = fl_new(size + sizeof(more));
	size_t len = (size_t)snprintf(list, size, "from = spiffe://td/x");
	char *text;

	while (len < size - strlen(more)) {
		len += (size_t)snprintf(list + len, size + sizeof(more) - len, "%s", more);
	}
	text = fl_format(IDENTITY SERVICE "[allow many]\n%s\n", list);
	free(list);
	return text;
}

Test(conf, test_conf__long_line__is_read_in_full_or_refused_but_never_cut)
{
	static const size_t sizes[] = {190, 200, 210, 300, 5000, 60000};
	struct fl_problems problems = {0};
	char *text;

	for (size_t i = 0; i < FL_COUNT_OF(sizes); i++) {
		struct fl_request request = {.id = "spiffe://td/abcd", .id_len = 16, .port = 1};
		struct fl_conf *conf;

		text = with_long_line(sizes[i]);
		conf = parse_good(text);
		cr_expect_eq(fl_policy_decide(conf->policy, &request).effect, FL_ALLOW);
		fl_conf_free(conf);
		free(text);
	}
	text = with_long_line(70000);
	cr_expect_null(parse(text, &problems));
	cr_expect_eq(count_at(&problems, 9, "bytes, 65534 is the most"), 1);
	fl_problems_done(&problems);
	free(text);
}

Test(conf, test_conf__long_names__are_not_cut)
{
	struct fl_conf *conf = parse_good(
		GOOD
		"[federate a-trust-domain-with-a-name-of-more-than-fifty-bytes.partner.example]\n"
		"bundle = /ca\n"
		"[federate a-trust-domain-with-a-name-of-more-than-fifty-bytes.partner.other]\n"
		"bundle = /ca\n");

	cr_expect_str_eq(conf->federate[0].trust_domain,
			 "a-trust-domain-with-a-name-of-more-than-fifty-bytes.partner.example");
	fl_conf_free(conf);
	expect_refused(
		"limits",
		"handshake_timeout_but_with_a_very_long_tail_that_inih_might_well_cut = 1s",
		"unknown key `handshake_timeout_but_with_a_very_long_tail_that_inih_might_well_cut`");
}

Test(conf, test_conf__empty_and_oversized_texts__are_refused)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	char *big = fl_new(FL_CONF_MAX_SIZE + 1);

	cr_expect_eq(fl_conf_parse(PATH, NULL, 0, &conf, &problems), FL_ERR_INVALID);
	cr_expect_geq(problems.errors, 1);
	fl_problems_done(&problems);

	memset(big, '\n', FL_CONF_MAX_SIZE + 1);
	memcpy(big, GOOD, sizeof(GOOD) - 1);
	cr_expect_eq(fl_conf_parse(PATH, big, FL_CONF_MAX_SIZE + 1, &conf, &problems),
		     FL_ERR_INVALID);
	cr_expect_not_null(strstr(problems.items[0].text, "1048576 is the most"));
	fl_problems_done(&problems);
	cr_expect_null(conf);

	cr_expect_eq(fl_conf_parse(PATH, big, FL_CONF_MAX_SIZE, &conf, &problems), 0);
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(big);
}

Test(conf, test_conf__nul_byte__does_not_hide_what_follows)
{
	static const char text[] = GOOD "[log]\nlevel = info\0\nformat = xml\n";
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	cr_expect_eq(fl_conf_parse(PATH, text, sizeof(text) - 1, &conf, &problems), FL_ERR_INVALID);
	cr_expect_eq(count_at(&problems, 11, "0x00"), 1);
	cr_expect_eq(count_at(&problems, 12, "json, text"), 1);
	fl_problems_done(&problems);
}

/* --- files --------------------------------------------------------------------------------- */

static void expect_unreadable(const char *path, int code, const char *part)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	char *text = NULL;
	size_t len = 0;

	cr_expect_eq(fl_conf_load(path, &conf, &text, &len, &problems), code);
	cr_assert_geq(problems.count, 1);
	cr_expect_eq(problems.items[0].line, 0);
	cr_expect_not_null(strstr(problems.items[0].text, part), "%s", problems.items[0].text);
	cr_expect_null(conf);
	cr_expect_null(text);
	fl_problems_done(&problems);
}

static void write_file(const char *path, const char *text, off_t size)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
	cr_assert(size == 0 || truncate(path, size) == 0);
}

Test(conf, test_conf__files__are_loaded_or_refused_in_words)
{
	char folder[] = "/tmp/fairlead-conf-XXXXXX";
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	char *text = NULL;
	size_t len = 0;
	char *path;

	cr_assert_not_null(mkdtemp(folder));
	path = fl_format("%s/fairlead.ini", folder);
	expect_unreadable(path, FL_ERR_IO, "there is no such file");
	expect_unreadable(folder, FL_ERR_IO, "not a regular file");
	cr_assert_eq(mkfifo(path, 0600), 0);
	expect_unreadable(path, FL_ERR_IO, "not a regular file");
	cr_assert_eq(unlink(path), 0);
	write_file(path, "", 0);
	expect_unreadable(path, FL_ERR_INVALID, "[identity] is missing");
	write_file(path, GOOD, FL_CONF_MAX_SIZE + 1);
	expect_unreadable(path, FL_ERR_INVALID, "is the most");
	write_file(path, GOOD, 0);
	cr_expect_eq(fl_conf_load(path, &conf, &text, &len, &problems), 0);
	cr_expect_str_eq(conf->path, path);
	cr_expect_eq(len, strlen(GOOD));
	cr_expect_str_eq(text, GOOD);
	fl_conf_free(conf);
	free(text);
	cr_expect_eq(fl_conf_load(path, &conf, NULL, NULL, &problems), 0);
	fl_conf_free(conf);
	fl_problems_done(&problems);
	(void)unlink(path);
	(void)rmdir(folder);
	free(path);
}

/* --- noise --------------------------------------------------------------------------------- */

static unsigned pick(unsigned *seed, size_t count)
{
	return (unsigned)rand_r(seed) % (unsigned)count;
}

/* Whatever it says, it has to say it without harm: with an error or with a usable result. */
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

/* --- what takes a restart ------------------------------------------------------------------- */

#define UPSTREAM                                                                                   \
	"[upstream db]\nlisten = 127.0.0.1:7001\nto = 10.0.0.1:8443\npeer = spiffe://td/db\n"

static const struct {
	const char *running, *wanted, *keys; /* added to GOOD; NULL: everything applies at once */
} restarts[] = {
	{"", "", NULL},
	{UPSTREAM,
	 "[upstream db]\nlisten = 127.0.0.1:7001\nto = 10.0.0.2:1\npeer = spiffe://td/x\n", NULL},
	{"", "[limits]\nconnections = 5\nidle_timeout = 1m\n[log]\nlevel = debug\nformat = text\n",
	 NULL},
	{"", "[policy]\ndefault = allow\n[deny x]\nfrom = spiffe://td/x\n", NULL},
	{"", "[sidecar]\nadmin = *:15021\nworkers = 2\n", "[sidecar] admin, [sidecar] workers"},
	{"", "[agent]\nsocket = /x\nsidecar_uid = 1\n", "[agent] socket, [agent] sidecar_uid"},
	{"[limits]\nbuffer = 16KiB\n", "[limits]\nbuffer = 32KiB\n", "[limits] buffer"},
	{"", "[sidecar]\ncontrol =\noutbound =\ninbound = *:1, *:2\n",
	 "[sidecar] inbound, [sidecar] outbound, [sidecar] control"},
	{"[sidecar]\ninbound = *:1\noutbound = *:3\n", "[sidecar]\ninbound = *:2\noutbound = *:3\n",
	 "[sidecar] inbound"},
	{"[service x]\nport = 1\n[upstream x]\nto = a:1\n",
	 "[service y]\nport = 1\n[upstream y]\nto = a:1\nmode = refuse\n", NULL},
	{"[service x]\nport = 1\n", "[service x]\nlisten = *:1\napp = 127.0.0.1:9\n",
	 "[service x] listen"},
	{"",
	 "[inbound]\ndetect_timeout = 1s\n[outbound]\ndefault = refuse\n[rotation]\nrecycle = 1m\n",
	 NULL},
	{"", UPSTREAM, "[upstream db] listen"},
	{"[sidecar]\ninbound = *:15006\n",
	 "[sidecar]\ninbound = *:15006\n[redirect]\nmode = tproxy\n", "[redirect] mode"},
	{UPSTREAM, "", "[upstream db] listen"},
	{UPSTREAM "[service a]\nlisten = *:1\napp = 127.0.0.1:9\n",
	 "[service a]\nlisten = *:2\napp = 127.0.0.1:9\n[service b]\nlisten = *:3\napp = 127.0.0.1:9\n",
	 "[service a] listen, [service b] listen, [upstream db] listen"},
};

Test(conf, test_restart_keys__are_named)
{
	for (size_t i = 0; i < FL_COUNT_OF(restarts); i++) {
		char *texts[] = {fl_format("%s%s", GOOD, restarts[i].running),
				 fl_format("%s%s", GOOD, restarts[i].wanted)};
		struct fl_conf *running = parse_good(texts[0]);
		struct fl_conf *wanted = parse_good(texts[1]);
		char *keys = fl_conf_restart_keys(running, wanted);

		if (restarts[i].keys == NULL) {
			cr_expect_null(keys, "%zu: %s", i, keys);
		} else {
			cr_assert_not_null(keys, "%zu", i);
			cr_expect_str_eq(keys, restarts[i].keys);
		}
		free(keys);
		fl_conf_free(running);
		fl_conf_free(wanted);
		free(texts[0]);
		free(texts[1]);
	}
}
