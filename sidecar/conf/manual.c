/* SPDX-License-Identifier: GPL-3.0-or-later */
/* manual - the text of each key. A row may be about several keys. */
#include "conf/manual.h"

#include "base/mem.h"

const struct fl_manual fl_manual[] = {
	{"[identity]", "cert, key", "(required)",
	 "PEM: leaf first, then intermediates; its private key (P-256 and P-384 with an "
	 "uncompressed point, Ed25519, RSA from 2048 bits)"},
	{"[identity]", "credential_bundle", "",
	 "in place of both: one PEM with the key first, then the chain"},
	{"[identity]", "bundle", "(required)",
	 "PEM: the roots of our own trust domain, or intermediates that are to be its "
	 "[anchors](#anchors); never empty"},
	{"[identity]", "crl", "",
	 "PEM: any number of CRLs, of CAs of our own and of federated trust domains, "
	 "intermediates included. None may be expired when it is first loaded. Certificates of"
	 " a CA without a CRL are not checked for revocation. A list with an issuing "
	 "distribution point is used if it covers all certificates, leaves only "
	 "(`onlyContainsUserCerts`) or CAs only (`onlyContainsCACerts`)"},
	{"[federate TRUST_DOMAIN]", "bundle", "(required)",
	 "the roots that vouch for that trust domain and for nothing else. If the file is "
	 "empty or cannot be used, nobody of that trust domain is trusted; nothing else is "
	 "affected"},
	{"[federate TRUST_DOMAIN]", "shared_root", "refuse",
	 "`allow`: the bundle may contain a root of another trust domain. That root can then "
	 "issue identities of both: see [One root for several trust domains](#one-root-for-several-trust-domains)"},
	{"[sidecar]", "inbound", "*:15006",
	 "where captured inbound traffic arrives, one or more addresses; empty: no capture"},
	{"[sidecar]", "outbound", "127.0.0.1:15001, [::1]:15001", "the same for outbound traffic"},
	{"[sidecar]", "admin", "*:15020",
	 "the HTTP endpoint, read-only: `/healthz`, `/readyz`, `/metrics`, and for clients "
	 "that `admin_details` allows `/status`, `/connections`, `/seen` and a page at `/`; "
	 "empty: none"},
	{"[sidecar]", "admin_details", "loopback",
	 "who may read more there than `/healthz`, `/readyz` and `/metrics`. `loopback`: "
	 "clients that connect over loopback (inside the pod, `kubectl port-forward`); "
	 "`everywhere`: everybody. Others get 403. Over `control` everything can be read"},
	{"[sidecar]", "control", "/run/fairlead/sidecar.sock",
	 "a Unix socket for commands that change something, and for `preview`; open to root, "
	 "the sidecar's user and the agent's; empty: none"},
	{"[sidecar]", "workers", "auto", "threads, 1 to 256; `auto`: the CPU quota of the cgroup"},
	{"[sidecar]", "drain", "30s",
	 "how long open connections may finish at SIGTERM; a later change does not count"},
	{"[sidecar]", "sandbox", "on",
	 "once it has started, the sidecar keeps only the system calls that it needs, and opens"
	 " no file: see [The sandbox](#the-sandbox). `off`: it does not; a warning says so. A "
	 "change needs a restart"},
	{"[agent]", "socket", "/run/fairlead/agent.sock",
	 "the agent's Unix socket, to which the sidecar connects. Its directory must belong to"
	 " root, the agent's uid or the sidecar's, and only its owner may write to it: no "
	 "group, nor others, even with a sticky bit. The directory must exist, except inside a "
	 "sticky one, such as a pod's volume: there the agent creates it"},
	{"[agent]", "sidecar_uid", "2112",
	 "the uid that may connect there, besides the agent's own"},
	{"[agent]", "uid", "2113",
	 "the agent's uid. The sidecar takes generations only from a process of this uid or of"
	 " its own; it exchanges nothing with any other, root included"},
	{"[agent]", "signatures", "5000",
	 "signatures that the agent makes in a second, at most, so that a sidecar that was taken over cannot have any number made; "
	 "handshakes beyond that wait their turn, for two seconds at most (`signature_unavailable`), with a line in the agent's log"},
	{"[agent]", "sandbox", "on",
	 "the same for the agent, which goes on reading the files that the INI names, and "
	 "keeps its socket"},
	{"[tls]", "groups", "X25519MLKEM768, X25519, P-256",
	 "best first; FIPS clients support only `P-256`"},
	{"[tls]", "ciphers",
	 "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256",
	 "best first"},
	{"[tls]", "tickets", "on",
	 "a returning peer resumes its session, without certificates, which saves a third of "
	 "the CPU of a new connection. No session is resumed after a change of roots, CRLs, "
	 "the INI or the client's certificate. `off`: every handshake is a full one"},
	{"[tls]", "key", "agent",
	 "who has our private key. `agent`: only the agent, which makes the signature of each full handshake; resumed ones need "
	 "none ([the key](#the-private-key)). `sidecar`: the sidecar gets it, and signs by itself"},
	{"[tls]", "reuse", "on",
	 "a session between two sidecars carries app connections one after another, so "
	 "that most of them cost no TCP connection and no handshake. Each one is judged "
	 "like a first one. `off`: each connection has its own; also with peers of older "
	 "releases"},
	{"[inbound]", "mode", "strict",
	 "how captured ports are served. `strict`: mutual TLS only; `permissive`: mutual TLS, "
	 "or plaintext that policy allows; `plaintext`: the sidecar never speaks TLS, policy "
	 "decides"},
	{"[inbound]", "detect_timeout", "300ms",
	 "`permissive`: a client that is silent for this long is treated as plaintext; 10 ms "
	 "to 1 min"},
	{"[inbound]", "proxy_protocol", "off",
	 "`v2`: the app is told the real source address and the peer's SPIFFE ID"},
	{"[service NAME]", "port", "",
	 "a captured port of the app: the section gives it a name for rules, and settings that"
	 " differ from `[inbound]`"},
	{"[service NAME]", "listen, app", "",
	 "or a fixed listener: where peers connect (`HOST:PORT`, `*:PORT`), and where our app "
	 "listens (an IP address with port, or `unix:PATH`)"},
	{"[service NAME]", "remote", "refuse",
	 "`allow`: `app` may be an address that is not loopback. What peers send then goes to "
	 "another machine in plaintext"},
	{"[service NAME]", "alpn", "",
	 "application protocols for TLS clients that require one (gRPC: `h2`). A client that "
	 "does not offer `fairlead/1` gets the first protocol of its own list that is named "
	 "here. Strict ports only"},
	{"[service NAME]", "access", "",
	 "which of its connections are logged, if not those of `[log] access`. With `denied`, the kubelet's probes "
	 "of a health check leave no line each"},
	{"[service NAME]", "mode, detect_timeout, proxy_protocol", "",
	 "as in `[inbound]`. Defaults: for a captured port the values of `[inbound]`; for a "
	 "fixed listener `strict`, `300ms`, `off`"},
	{"[outbound]", "default", "mtls",
	 "captured destinations that no `[upstream]` names: `mtls`, `plaintext`, `refuse`"},
	{"[outbound]", "peer", "(empty)",
	 "who may answer there; empty: any identity of our own trust domain"},
	{"[upstream NAME]", "to", "(required)",
	 "captured: the destinations that the section is for, `HOST:PORTS`, where HOST is an address, a network, a DNS name "
	 "or `*`, and PORTS a port, a range or `*`; of several sections, the most specific one decides. With `listen`: one or"
	 " more `HOST:PORT`, tried in this order. Names are resolved at start, when their TTL "
	 "ends, and when a connection depends on the answer"},
	{"[upstream NAME]", "listen", "",
	 "a fixed listener: where our app connects, an address or `unix:PATH`"},
	{"[upstream NAME]", "mode", "mtls", "`mtls`, `plaintext`, `refuse`"},
	{"[upstream NAME]", "peer", "(empty)",
	 "who may answer there, one or more patterns; empty: any identity of our own trust "
	 "domain"},
	{"[upstream NAME]", "within", "(empty)",
	 "for `mode = plaintext` with names: the networks in which their addresses must be "
	 "(`10.0.0.0/8, fd00::/8`); empty: any address that no `mtls` or `refuse` upstream "
	 "covers, and `check` warns"},
	{"[upstream NAME]", "alpn", "",
	 "application protocols to offer in place of `fairlead/1`, for servers without a "
	 "sidecar (Go's net/http and gRPC refuse unknown protocols). Without this key, "
	 "`fairlead/1` is offered; after a server has refused it, none is offered there for "
	 "ten minutes"},
	{"[upstream NAME]", "mutual", "required",
	 "`optional`: accept a server that does not ask for our certificate. The server is "
	 "verified as always, but it does not learn who we are"},
	{"[upstream NAME]", "reuse", "",
	 "how long a session to this upstream carries app connections one after another. "
	 "`on`: up to 1000 of them within 5 minutes, for the address of one server. "
	 "`balanced`: each one is its last with a probability of 1/8, and none is older "
	 "than 30 seconds, so that a load balancer that chooses a server for each TCP "
	 "connection, such as a Kubernetes Service, goes on balancing. `off`: a session "
	 "carries one. Without this key: `balanced` if the server says that its own "
	 "address is another one than the sidecar has connected to, `on` otherwise"},
	{"[policy]", "default", "deny", "the decision when no rule applies: `deny` or `allow`"},
	{"[policy]", "mode", "enforce", "`audit`: what would be denied is recorded, and allowed"},
	{"[allow NAME], [deny NAME]", "from", "(required)",
	 "one or more patterns, or `plaintext`: clients without an identity; deny rules win "
	 "over allow rules"},
	{"[allow NAME], [deny NAME]", "to", "(empty)",
	 "ports (`8080`, `9000-9010`) or names of services; empty: all"},
	{"[allow NAME], [deny NAME]", "sources", "",
	 "addresses and networks of peers, `10.0.0.1, fd00::/8`; empty: any"},
	{"[allow NAME], [deny NAME]", "except_from, except_to, except_sources", "",
	 "exceptions, written like `from`, `to` and `sources`: the rule does not apply to a "
	 "connection that matches one of them. An exception to a deny rule admits nobody by "
	 "itself: an allow rule must still apply"},
	{"[allow NAME], [deny NAME]", "mode", "enforce",
	 "`audit`: what the rule would do is recorded and not done"},
	{"[limits]", "connections", "20000",
	 "maximum of open connections; more are reset (`connection_limit`). Each direction, "
	 "and each peer, has [a share](#limits-and-strangers) that others cannot take"},
	{"[limits]", "handshakes", "512",
	 "maximum of handshakes under way in each direction, connecting to upstreams included."
	 " Outbound, upstreams (captured: destinations) share them; inbound, the networks that"
	 " peers come from. One that has none may take any free place; one that has n may take"
	 " another while n + `handshakes` / 4 is less than what is free. Example: with 512, "
	 "one alone gets 192, and 128 stay reserved for those that have none. A single fixed "
	 "upstream may use all. A connection that finds no place waits: inbound until it "
	 "gets one or is crowded out ([Limits and strangers](#limits-and-strangers)); outbound for "
	 "`connect_timeout`, or longer while others to the same destination succeed"},
	{"[limits]", "handshake_timeout", "10s",
	 "for a TLS handshake; at a permissive port it begins with the first byte of a "
	 "ClientHello. The whole ClientHello must arrive within the first 5 s"},
	{"[limits]", "connect_timeout", "5s",
	 "for connecting to the app, or to an upstream over all of its addresses. While the app's "
	 "queue of connections is full, a connection waits that long for room, at `unix:PATH` too. "
	 "An address "
	 "that does not answer gets (time left) / (addresses left), but at least an eighth of "
	 "the whole: with 5 s and two addresses, 2.5 s each"},
	{"[limits]", "idle_timeout", "1h",
	 "a connection without a byte in either direction for this long is ended; 0: never"},
	{"[limits]", "peer_timeout", "30s",
	 "how long the machine at the other end of the mesh side may be silent at TCP level (a"
	 " dead node, a lost network) before its connections are ended and the app is told; "
	 "accurate to a sixth. A peer that answers, but does not read, is not affected. The kernel "
	 "asks such a peer more and more rarely, up to every 2 minutes before Linux 6.15 or if "
	 "this is more than `3m`: if its machine dies then, that may be noticed only after 4 "
	 "minutes. Idle "
	 "connections keep the value with which they began; 1 s to 1 h"},
	{"[limits]", "buffer", "64KiB",
	 "how much one direction of a connection may buffer; 4 KiB to 1 MiB"},
	{"[limits]", "max_age", "0",
	 "a connection ends at its first [pause](#open-connections) after a random age between"
	 " 90 % and 100 % of this (`1h`: 54 to 60 min). One that makes no pause is reset at "
	 "`max_age` + `[sidecar] drain`. When an INI sets or shortens it, older connections count "
	 "as 90 % of it old at that moment; 0: never"},
	{"[rotation]", "on_trust_loss", "close",
	 "an open connection whose peer's chain no longer verifies under the current bundles, "
	 "or is on a CRL: `close`, `keep`"},
	{"[rotation]", "on_expiry", "keep", "one whose peer's certificate has expired"},
	{"[rotation]", "on_policy_loss", "close",
	 "one that the current policy, or its upstream's `peer` and `mode`, no longer allows"},
	{"[rotation]", "recycle", "0",
	 "connections of an older generation end at a [pause](#open-connections), spread over "
	 "three quarters of this time, the longest idle first. One that makes no pause is "
	 "reset when the time is over. An INI that sets or shortens it begins the time anew; "
	 "0: never"},
	{"[redirect]", "mode", "redirect",
	 "how connections reach the sidecar. `redirect`: by NAT; `tproxy`: with their "
	 "addresses unchanged, so that the app can see the true source"},
	{"[redirect]", "inbound_ports", "*",
	 "the app's ports that are captured: `8080`, `9000-9010`. The others have no TLS and no "
	 "rule, so a `[service]` in strict mode must be among them"},
	{"[redirect]", "exclude_inbound", "15020",
	 "inbound traffic that is not captured: by port (`15020`), by source (`10.0.0.0/8`, "
	 "`[fd00::]/8:443`), by interface (`interface:eth1`). It has no TLS and no rule; a port of a "
	 "`[service]` in strict mode may not be excluded as a whole"},
	{"[redirect]", "outbound", "*", "the destinations that are captured, in the same notation"},
	{"[redirect]", "exclude_outbound", "169.254.169.254/32, *:53",
	 "destinations that are not captured: what the app sends there leaves as it is. A destination "
	 "of an `[upstream]` with `mode = mtls` or `refuse` may not be excluded as a whole"},
	{"[redirect]", "forwarded", "drop",
	 "TCP that the pod forwards for containers inside it (docker in docker, kind). `drop`:"
	 " refused and counted; `count`: forwarded in plaintext and counted; `capture`: what "
	 "arrives over a bridge that has no default route goes to the sidecar, which must then"
	 " listen at `[sidecar] outbound = *:15001`. Exclusions apply here too"},
	{"[redirect]", "other_protocols", "count",
	 "UDP and the rest, which are not captured: `count` or `drop`; DNS and ICMP always "
	 "pass"},
	{"[log]", "level", "info", "`debug`, `info`, `warn`, `error`"},
	{"[log]", "format", "json", "`json` or `text`"},
	{"[log]", "access", "all",
	 "which connections are logged. `all`; `failed`: those that did not end as both "
	 "sides or the INI wanted; `denied`: those that we refused, or closed because they"
	 " are no longer allowed; `off`"},
};
const size_t fl_manual_count = FL_COUNT_OF(fl_manual);
