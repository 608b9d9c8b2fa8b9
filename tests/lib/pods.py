# SPDX-License-Identifier: GPL-3.0-or-later
"""A laboratory of pods: network namespaces on the bridge of a node, with the sidecar, the agent and the rules in them.

    node.pod('web')                     a pod with sidecar and agent of its own, captured; .v4 and .v6
    node.pod('old', sidecar=False)      a pod without a sidecar
    node.service(80, [a, b], to=8080)   a VIP that leads to them by turns, as kube-proxy would do it: DNAT on the node
    node.dns['db.test'] = ['10.77.0.2'] what the pods resolve; node.dns_lost = True: no answers any more
    pod.run(['curl', url])              runs a program as the app's user in the pod, returns its output
    pod.spawn('nginx', [...])           starts a program that keeps running
    pod.connect((host, port))           a socket of this process, in the pod's network
    pod.app(handler, 8080)              a server of this process that listens in the pod
    with pod.capture() as seen: ...     every packet on its eth0, and its TCP streams put together

Each pod has a route only to the node, so all traffic between pods passes the node, including the replies of a service.
Namespaces have no names: descriptors hold them, and processes in them die with this one. So a run leaves nothing
behind, however it ends. The host's own network is not touched.
"""
import contextlib
import ctypes
import ipaddress
import os
import pathlib
import re
import select
import shutil
import socket
import struct
import subprocess
import threading

import lab as labs
from cable import Cable

SIDECAR_UID, AGENT_UID, APP_UID = 2112, 2113, 2114
INBOUND, OUTBOUND, ADMIN = 15006, 15001, 15020
TOOLS = {'ip': 'iproute2', 'nft': 'nftables', 'nsenter': 'util-linux', 'setpriv': 'util-linux'}

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """Returns why there can be no pods here, or None."""
    if os.getuid() != 0:
        return 'pods need root'
    tools = [f'{tool} ({package})' for tool, package in TOOLS.items() if not shutil.which(tool)]
    if tools:
        return f'pods need {", ".join(tools)}'
    try:
        with contextlib.closing(Namespace()) as space:
            nft = space.try_run(['nft', '-f', '-'], 'table inet t { chain c { type nat hook output priority 0; }; }')
            user = space.try_run(['setpriv', '--reuid', SIDECAR_UID, '--regid', SIDECAR_UID, '--clear-groups', 'true'])
            for done, what in (nft, 'nft cannot be used'), (user, 'nobody else can be run'):
                if done.returncode != 0:
                    return f'no pods: {what}: {done.stderr.strip()}'
            return None
    except OSError as error:
        return f'no network namespace can be made: {error}'


# --- namespaces ------------------------------------------------------------------------------------------

def checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{what}: {os.strerror(number)}')


def in_thread(work):
    """Runs work() in a thread whose namespaces no other thread shares."""
    outcome = []

    def run():
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error:
        raise error
    return value


class Network:
    """A network namespace, held by its descriptor."""

    def __init__(self, path):
        self.net = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def inside(self, work):
        """Runs work() in a thread in this network. What it opens stays there."""
        def run():
            checked(libc.setns(self.net, CLONE_NEWNET), 'setns')
            return work()
        return in_thread(run)

    def close(self):
        os.close(self.net)


class Namespace(Network):
    """A namespace of the test, with a mount namespace. binds: {path: file that appears there}."""

    def __init__(self, binds=None, sysctls=None):
        def make():
            checked(libc.unshare(CLONE_NEWNET | CLONE_NEWNS), 'unshare')
            checked(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None), 'mount')
            for path, source in (binds or {}).items():
                checked(libc.mount(os.fsencode(source), path.encode(), None, MS_BIND, None), f'mount on {path}')
            for name, value in (sysctls or {}).items():
                with contextlib.suppress(FileNotFoundError), \
                        open(f'/proc/sys/net/{name}', 'w', encoding='ascii') as setting:
                    setting.write(str(value))
            return [os.open(f'/proc/thread-self/ns/{kind}', os.O_RDONLY | os.O_CLOEXEC) for kind in ('net', 'mnt')]
        self.net, self.mnt = in_thread(make)

    @property
    def path(self):
        return f'/proc/{os.getpid()}/fd/{self.net}'

    @property
    def prefix(self):
        """Returns the command prefix that runs a program in here. The program dies with this process."""
        folder = f'/proc/{os.getpid()}/fd'
        return ['nsenter', f'--net={folder}/{self.net}', f'--mount={folder}/{self.mnt}', 'setpriv', '--pdeathsig',
                'KILL']

    def try_run(self, command, text=None):
        return subprocess.run([*self.prefix, *map(str, command)], input=text, capture_output=True, text=True,
                              check=False)

    def root(self, command, text=None):
        """Runs a command as root. Returns its output."""
        done = self.try_run(command, text)
        assert done.returncode == 0, f'{" ".join(map(str, command))}: {done.stderr}\n{text or ""}'
        return done.stdout

    def ip(self, *commands):
        self.root(['ip', '-batch', '-'], '\n'.join(commands))

    def nft(self, text):
        return self.root(['nft', '-f', '-'], text)

    def close(self):
        super().close()
        os.close(self.mnt)


# --- packets --------------------------------------------------------------------------------------------

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS = 3, 263, 6


class Capture:
    """Records the packets on an interface of a network (None: on all), both ways, while used as a context manager."""

    def __init__(self, space, interface):
        self.packets = []
        self.sock = space.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        if interface:
            self.sock.bind((interface, ETH_P_ALL))
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self.collect, daemon=True)

    def collect(self):
        """Collects packets until it is told to stop and the queue is empty."""
        while True:
            ready, _, _ = select.select([self.sock, self.woken], [], [])
            if self.sock in ready:
                self.packets.append(self.sock.recv(1 << 17))
            elif self.woken in ready:
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.wake.send(b'x')
        self.thread.join()
        _, lost = struct.unpack('II', self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        for each in (self.sock, self.wake, self.woken):
            each.close()
        assert lost == 0, f'{lost} packets got lost on their way to the test'

    def segments(self):
        """Yields ((source, port), (destination, port), sequence number, flags, payload) of each TCP segment."""
        for packet in list(self.packets):
            kind, packet = packet[12:14], packet[14:]
            if kind == b'\x08\x00' and packet[9] == socket.IPPROTO_TCP:
                size = struct.unpack('>H', packet[2:4])[0]
                addresses, tcp = packet[12:20], packet[(packet[0] & 15) * 4:size or None]
            elif kind == b'\x86\xdd' and packet[6] == socket.IPPROTO_TCP:
                size = struct.unpack('>H', packet[4:6])[0]
                addresses, tcp = packet[8:40], packet[40:40 + size if size else None]
            else:
                continue
            half = len(addresses) // 2
            ports = struct.unpack('>HH', tcp[:4])
            ends = [(str(ipaddress.ip_address(addresses[i * half:(i + 1) * half])), ports[i]) for i in (0, 1)]
            yield *ends, struct.unpack('>I', tcp[4:8])[0], tcp[13], tcp[(tcp[12] >> 4) * 4:]

    def streams(self):
        """Returns {(source, destination): bytes}, in order and without duplicates."""
        flows = {}
        for source, destination, sequence, flags, payload in self.segments():
            start, parts = flows.setdefault((source, destination), (sequence + 1 if flags & 2 else sequence, []))
            offset = (sequence - start + (1 << 31)) % (1 << 32) - (1 << 31)
            if payload:
                parts.append((offset, payload))
        return {flow: joined(parts) for flow, (_, parts) in flows.items()}

    def saw(self, marker):
        """Returns whether these bytes were on the wire, in one packet or across several."""
        return any(marker in packet for packet in list(self.packets)) or \
            any(marker in stream for stream in self.streams().values())

    def to_port(self, port):
        """Returns the streams to or from that port."""
        return {flow: data for flow, data in self.streams().items() if port in (flow[0][1], flow[1][1])}


def joined(parts):
    """Joins payloads at their offsets. Retransmissions count once, and gaps are left out."""
    stream, end = bytearray(), None
    for offset, payload in sorted(parts, key=lambda part: part[0]):
        end = offset if end is None or offset > end else end
        stream += payload[end - offset:]
        end = max(end, offset + len(payload))
    return bytes(stream)


@contextlib.contextmanager
def in_the_dark(marker, *pods):
    """Whatever happens inside, these bytes must not be on the wire in the clear, at either end."""
    with contextlib.ExitStack() as stack:
        captures = [stack.enter_context(pod.capture()) for pod in pods]
        yield captures
    for pod, seen in zip(pods, captures):
        assert not seen.saw(marker), f'{marker} was on the wire of {pod.name} in the clear'


# --- names ----------------------------------------------------------------------------------------------

class Dns:
    """Answers A and AAAA over UDP from a table of addresses by name. mute: kinds of question that are never answered
    (1: A, 28: AAAA); lost_names: names that are never answered; codes: errors by name (2: SERVFAIL)."""

    def __init__(self, space, address):
        self.table, self.ttl, self.lost, self.asked = {}, 60, False, []
        self.mute, self.lost_names, self.codes = set(), set(), {}
        self.sock = space.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.sock.bind((address, 53))
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            ready, _, _ = select.select([self.sock, self.woken], [], [])
            if self.woken in ready:
                return
            query, client = self.sock.recvfrom(4096)
            name, kind, end = question(query)
            self.asked.append(name)
            if not self.lost and kind not in self.mute and name not in self.lost_names:
                self.sock.sendto(self.answer(query, name, kind, end), client)

    def answer(self, query, name, kind, end):
        known = self.table.get(name)
        records = b''
        count = 0
        for address in map(ipaddress.ip_address, known or ()):
            if kind == {4: 1, 6: 28}[address.version]:
                records += struct.pack('>HHHIH', 0xc00c, kind, 1, self.ttl, len(address.packed)) + address.packed
                count += 1
        flags = 0x8580 | self.codes.get(name, 0 if known is not None else 3)  # 3: no such name
        count, records = (count, records) if flags & 15 == 0 else (0, b'')
        return query[:2] + struct.pack('>HHHHH', flags, 1, count, 0, 0) + query[12:end] + records

    def close(self):
        self.wake.send(b'x')
        self.thread.join()
        for each in (self.sock, self.wake, self.woken):
            each.close()


def question(query):
    """Returns (name, type, end of the question) of a DNS query."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return '.'.join(labels).lower(), struct.unpack('>H', query[at + 1:at + 3])[0], at + 5


# --- the node -------------------------------------------------------------------------------------------

SYSCTLS = {'ipv4/ip_forward': 1, 'ipv4/conf/all/send_redirects': 0, 'ipv4/conf/default/send_redirects': 0,
           'ipv6/conf/all/forwarding': 1, 'ipv6/conf/default/accept_dad': 0,
           # If br_netfilter is loaded: the bridge must not translate what the node routes.
           'bridge/bridge-nf-call-iptables': 0, 'bridge/bridge-nf-call-ip6tables': 0}
POD_SYSCTLS = {'ipv6/conf/all/disable_ipv6': 0, 'ipv6/conf/default/accept_dad': 0,
               # Traffic goes through the node, even if the node knows a shorter path.
               'ipv4/conf/all/accept_redirects': 0, 'ipv4/conf/default/accept_redirects': 0,
               'ipv6/conf/default/accept_redirects': 0,
               'ipv4/ip_unprivileged_port_start': 0}
NODE_RULES = '''
table inet node {
    set itself4 { type ipv4_addr . ipv4_addr; }
    set itself6 { type ipv6_addr . ipv6_addr; }
    chain vips { type nat hook prerouting priority dstnat; }
    chain vips_of_the_node { type nat hook output priority -100; }
    chain hairpin { type nat hook postrouting priority srcnat;
        ip saddr . ip daddr @itself4 masquerade
        ip6 saddr . ip6 daddr @itself6 masquerade
    }
}'''


class Service:
    """A name, a port, and one virtual address of each family."""

    def __init__(self, name, port, v4, v6):
        self.name, self.port, self.v4, self.v6 = name, port, v4, v6
        self.to = port  # of the pods that it leads to


class Node:
    """A node with its bridge, VIPs and DNS, and the pods on it. Use as a context manager, inside the Lab."""

    v4, v6 = '10.77.0.1', 'fd77::1'

    def __init__(self, lab):
        self.lab, self.closing = lab, contextlib.ExitStack()
        self.pods, self.services = {}, {}
        self.space = Namespace(sysctls=SYSCTLS)
        self.closing.callback(self.space.close)
        self.space.ip('link set lo up', 'link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0', 'link set br0 up',
                      f'addr add {self.v4}/16 dev br0', f'addr add {self.v6}/64 dev br0 nodad')
        self.space.nft(NODE_RULES)
        self.names = Dns(self.space, self.v4)
        self.closing.callback(self.names.close)
        # Files that the pods see. PostgreSQL, for one, needs the name of its user.
        users = pathlib.Path('/etc/passwd').read_text(encoding='utf-8')
        for name, uid in (('sidecar', SIDECAR_UID), ('agent', AGENT_UID), ('app', APP_UID)):
            users += f'pod-{name}:x:{uid}:{uid}::/:/usr/sbin/nologin\n'
        self.binds = {}
        for path, text in (('/etc/resolv.conf', f'nameserver {self.v4}\noptions timeout:1 attempts:1\n'),
                           ('/etc/hosts', '127.0.0.1 localhost\n::1 localhost\n'), ('/etc/passwd', users)):
            self.binds[path] = lab.folder / pathlib.Path(path).name
            self.binds[path].write_text(text, encoding='utf-8')

    @property
    def dns(self):
        return self.names.table

    def pod(self, name, sections=None, *, sidecar=True, identity=None, **options):
        """Starts a pod. Its name is also its DNS name (NAME.test). sections: of the INI, over the defaults."""
        pod = MeshPod(self, name, sections, identity, **options) if sidecar else Pod(self, name, **options)
        self.pods[name] = pod
        self.dns[f'{name}.test'] = [pod.v4, pod.v6]
        return pod

    def service(self, port, pods, *, to=None, name=None):
        """Makes a VIP of each family. Its port leads to port `to` of these pods by turns. Without pods, it leads
        nowhere."""
        number = len(self.services) + 1
        service = Service(name or f'service{number}', port, f'10.96.0.{number}', f'fd96::{number}')
        self.services[service.name] = service
        self.dns[f'{service.name}.test'] = [service.v4, service.v6]
        self.lead(service, pods, to or port)
        return service

    def lead(self, service, pods, to=None):
        """Makes its VIPs lead to these pods, from now on and for new connections, as kube-proxy does when endpoints
        change."""
        service.to = to or service.to
        for chain in ('vips', 'vips_of_the_node'):
            for handle in re.findall(rf'daddr (?:{re.escape(service.v4)}|{re.escape(service.v6)}) .*# handle (\d+)',
                                     self.space.root(['nft', '-a', 'list', 'chain', 'inet', 'node', chain])):
                self.space.nft(f'delete rule inet node {chain} handle {handle}')
            for family, vip, addresses in (('ip', service.v4, [pod.v4 for pod in pods]),
                                           ('ip6', service.v6, [pod.v6 for pod in pods])):
                turns = ', '.join(f'{i} : {address} . {service.to}' for i, address in enumerate(addresses))
                self.space.nft(f'add rule inet node {chain} {family} daddr {vip} tcp dport {service.port} '
                               f'dnat {family} to numgen inc mod {len(addresses)} map {{ {turns} }}')

    def cut_off(self, pod):
        """Nothing comes from that pod any more, and nothing gets there, not even an error: its node has died."""
        self.space.nft(f'''table inet gone {{ chain c {{ type filter hook forward priority 0;
            ip saddr {pod.v4} drop; ip daddr {pod.v4} drop; ip6 saddr {pod.v6} drop; ip6 daddr {pod.v6} drop; }}\n}}''')

    def connect(self, to, timeout=10):
        """Connects from the node itself, as the kubelet's probes do."""
        return connect(self.space, to, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.close()


def connect(space, to, timeout, source=None):
    family = socket.AF_INET6 if ':' in to[0] else socket.AF_INET
    sock = space.inside(lambda: socket.socket(family))
    try:
        sock.settimeout(timeout * labs.SLOW)
        if source:
            sock.bind(source)
        sock.connect(to)
        return sock
    except BaseException:
        sock.close()
        raise


def fate(connecting, data=b''):
    """Sends data on a connection. Returns as many bytes that came back, or how the connection ended before that:
    'refused', 'reset' or 'eof'."""
    try:
        with connecting() as sock:
            sock.sendall(data)
            received = b''
            while (not data or len(received) < len(data)) and (chunk := sock.recv(1 << 16)):
                received += chunk
            return received or 'eof'
    except ConnectionRefusedError:
        return 'refused'
    except (ConnectionResetError, BrokenPipeError):
        return 'reset'


# --- pods -----------------------------------------------------------------------------------------------

class Pod:
    """A network namespace on the bridge, with addresses v4 and v6 and nothing in it. delay: of every packet between it
    and the node, in seconds."""

    def __init__(self, node, name, delay=None):
        self.node, self.name, self.lab = node, name, node.lab
        number = len(node.pods) + 2
        self.v4, self.v6 = f'10.77.0.{number}', f'fd77::{number:x}'
        self.space = Namespace(node.binds, POD_SYSCTLS)
        node.closing.callback(self.space.close)
        veth = f'veth{number}'
        if delay:
            node.closing.callback(Cable(self.space, 'eth0', node.space, veth, delay).close)
        else:
            node.space.ip(f'link add {veth} type veth peer name eth0 netns {self.space.path}')
        node.space.ip(f'link set {veth} master br0', f'link set {veth} up')
        # The addresses have no subnet: every path to other pods goes through the node.
        self.space.ip('link set lo up', 'link set eth0 up',
                      f'addr add {self.v4}/32 dev eth0', f'addr add {self.v6}/128 dev eth0 nodad',
                      f'route add default via {node.v4} dev eth0 onlink',
                      f'route add ::/0 via {node.v6} dev eth0 onlink')
        node.space.nft(f'add element inet node itself4 {{ {self.v4} . {self.v4} }}\n'
                       f'add element inet node itself6 {{ {self.v6} . {self.v6} }}')
        self.home = self.lab.folder / f'{name}-home'
        self.home.mkdir()
        os.chown(self.home, APP_UID, APP_UID)

    def prefix_of(self, uid, *options, capabilities=()):
        """Returns the command prefix that runs a program in here as this user, with only these capabilities."""
        keep = ''.join(f',+{name}' for name in capabilities)
        return [*self.space.prefix, '--reuid', str(uid), '--regid', str(uid), '--clear-groups',
                f'--inh-caps=-all{keep}', f'--ambient-caps=-all{keep}', f'--bounding-set=-all{keep}', '--no-new-privs',
                *options]

    # The app's side.
    def spawn(self, name, command, *, uid=APP_UID, **options):
        """Starts a program of the app. It has to end cleanly when told to, like every program of the Lab."""
        return self.lab.program(f'{self.name}-{name}', command, prefix=self.prefix_of(uid), **options)

    def try_run(self, command, *, uid=APP_UID, timeout=20, text=None, env=None):
        return subprocess.run([*self.prefix_of(uid), *map(str, command)], input=text, capture_output=True, text=True,
                              timeout=timeout * labs.SLOW, check=False, cwd=self.home,
                              env={**os.environ, 'HOME': str(self.home), **(env or {})})

    def run(self, command, **options):
        """Runs a program of the app, which has to succeed. Returns its output."""
        done = self.try_run(command, **options)
        assert done.returncode == 0, f'{command} ended with {done.returncode}: {done.stdout}{done.stderr}'
        return done.stdout

    def connect(self, to, timeout=10, source=None):
        """Returns a connection of the app, held by this process. source: its local (address, port)."""
        return connect(self.space, to, timeout, source)

    def app(self, handler=labs.echo, port=8080, host='::', uid=0):
        """Starts a server of the app in this process. '::' means every address of both families. uid: the owner of its
        sockets."""
        family = socket.AF_INET6 if ':' in host else socket.AF_INET

        def serve():
            libc.setfsuid(uid)  # for this thread and those that it starts
            return labs.App(handler, family=family, host=host, port=port)
        app = self.space.inside(serve)
        self.node.closing.callback(app.close)
        return app

    def capture(self):
        """Returns a context manager that records the packets on eth0."""
        return Capture(self.space, 'eth0')

    def conntrack(self, *arguments):
        return self.space.root(['conntrack', *arguments])


class MeshPod(Pod, labs.Workload):
    """A pod with sidecar and agent in it, each as a user of its own without any capability."""

    def __init__(self, node, name, sections=None, identity=None, *, redirect=True, start=True, svid=None,
                 allow=f'spiffe://{labs.TD}/**', bundle=None, capabilities=(), delay=None):
        Pod.__init__(self, node, name, delay)
        self.capabilities = capabilities  # the sidecar's capabilities
        self.identity = identity or f'spiffe://{labs.TD}/ns/test/sa/{name}'
        rules = {'allow mesh': {'from': allow}} if allow else {}
        labs.Workload.__init__(self, node.lab, name, svid or node.lab.root.issue(self.identity), {}, bundle=bundle,
                               sidecar_uid=SIDECAR_UID, agent_uid=AGENT_UID)
        os.chown(self.folder, AGENT_UID, -1)
        self.admin = ADMIN
        self.change(labs.merge({'sidecar': {
            'inbound': f'*:{INBOUND}', 'outbound': f'127.0.0.1:{OUTBOUND}, [::1]:{OUTBOUND}', 'admin': f'*:{ADMIN}'},
            **rules}, sections))
        if redirect:
            self.redirect()
        if start:
            self.start().wait_ready()

    def redirect(self):
        """Applies the capture rules as the init container does: as root with this one capability."""
        program = labs.within_reach(labs.AGENT, self.lab.folder)
        self.space.root(['setpriv', '--bounding-set=-all,+net_admin', '--inh-caps=-all', program, 'redirect', 'apply',
                         '-c', self.ini])

    def start_sidecar(self, prefix=()):
        program = labs.within_reach(labs.SIDECAR, self.lab.folder)
        self.sidecar = self.lab.program(f'{self.name}-sidecar', [program, '-c', self.ini],
                                        prefix=[*self.prefix_of(SIDECAR_UID, capabilities=self.capabilities),
                                                *prefix])
        return self

    def start_agent(self):
        program = labs.within_reach(labs.AGENT, self.lab.folder)
        self.agent = self.lab.program(f'{self.name}-agent', [program, 'run', '-c', self.ini],
                                      prefix=self.prefix_of(AGENT_UID))
        return self

    def dial_admin(self):
        return connect(self.space, ('127.0.0.1', ADMIN), 10)

    def connections(self, direction, **fields):
        """Returns the access log lines of ended connections."""
        return self.sidecar.lines(msg=re.compile('^connection'), direction=direction, **fields)

    def wait_connection(self, direction, **fields):
        """Returns the first such line, and waits for it."""
        return self.sidecar.wait_line(msg=re.compile('^connection'), direction=direction, **fields)
