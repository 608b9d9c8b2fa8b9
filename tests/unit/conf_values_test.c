/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI: each value that is refused, and what is said of it. */
#include "conf_case.h"

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
