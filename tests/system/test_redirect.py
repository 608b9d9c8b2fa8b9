# SPDX-License-Identifier: GPL-3.0-or-later
"""`fairlead-agent redirect`: where the kernel leads connections, with listeners of the test's own in the sidecar's place."""
import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest

import lab as labs
from lab import wait_until
from pods import ADMIN, INBOUND, OUTBOUND, SIDECAR_UID

FAMILIES = 'v4', 'v6'
SO_ORIGINAL_DST, PROBE, TO_APP_TOS = 80, 15099, 35 << 2
libc = ctypes.CDLL(None, use_errno=True)


def loopback(family):
    return {'v4': '127.0.0.1', 'v6': '::1'}[family]


def number_of(family):
    return socket.AF_INET if family == 'v4' else socket.AF_INET6


# --- what stands for sidecar and app -------------------------------------------------------------------

def original(sock):
    """Where a captured connection wanted to go; None: the kernel knows nothing of one."""
    mapped = sock.getpeername()[0].startswith('::ffff:')
    v4 = sock.family == socket.AF_INET or mapped
    try:
        raw = sock.getsockopt(socket.SOL_IP if v4 else socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    except OSError:
        return None
    address = socket.inet_ntop(*((socket.AF_INET, raw[4:8]) if v4 else (socket.AF_INET6, raw[8:24])))
    return address, struct.unpack('!H', raw[2:4])[0]


def teller(name):
    """A server that says who it is and which destination it was dialled for, then sends back what comes."""
    def handle(sock):
        to = original(sock)
        sock.sendall(f'{name} {to[0]} {to[1]}\n'.encode() if to else f'{name}\n'.encode())
        labs.echo(sock)
    return handle


class Scene:
    """A pod with listeners in the sidecar's place and an app, and a pod that calls it."""

    def __init__(self, node):
        self.pod, self.caller = node.pod('web', sidecar=False), node.pod('caller', sidecar=False)
        self.pod.app(teller('inbound'), INBOUND)
        self.pod.app(teller('outbound'), OUTBOUND, '127.0.0.1')
        self.pod.app(teller('outbound'), OUTBOUND, '::1')
        self.pod.app(teller('app'), 8080)
        self.caller.app(teller('caller'), 9000)
        self.ini = self.pod.home / 'fairlead.ini'
        self.write({})

    def write(self, sections):
        self.ini.write_text(labs.ini(labs.merge({
            'identity': {'cert': '/x/tls.crt', 'key': '/x/tls.key', 'bundle': '/x/ca.crt'},
            'sidecar': {'admin': f'*:{ADMIN}'}}, sections)))

    def try_redirect(self, action, *options):
        return self.pod.space.try_run([labs.AGENT, 'redirect', action, *options, '-c', self.ini])

    def redirect(self, action, *options, **keys):
        """Runs it with these keys of [redirect]; its output."""
        if keys:
            self.write({'redirect': keys})
        done = self.try_redirect(action, *options)
        assert (done.returncode, done.stderr) == (0, ''), done
        return done.stdout

    def rules(self):
        return self.pod.space.root(['nft', 'list', 'ruleset'])

    def counters(self):
        listing = json.loads(self.pod.space.root(['nft', '-j', 'list', 'counters', 'table', 'inet', 'fairlead']))
        return {each['counter']['name']: each['counter']['packets'] for each in listing['nftables']
                if 'counter' in each}

    def dial(self, pod, to, uid=None, options=()):
        """A connection of this pod's, of a socket that this user has made."""
        def make():
            if uid is not None:
                libc.setfsuid(uid)  # of this thread, which ends with it
            return socket.socket(number_of('v6' if ':' in to[0] else 'v4'))
        sock = pod.space.inside(make)
        try:
            sock.settimeout(10 * labs.SLOW)
            for option in options:
                sock.setsockopt(*option)
            sock.connect(to)
            return sock
        except BaseException:
            sock.close()
            raise

    def reached(self, pod, to, **options):
        """Who answers there, and for which destination: ('inbound', address, port), ('app',), or ('refused',)."""
        try:
            with self.dial(pod, to, **options) as sock:
                return line_of(sock)
        except ConnectionRefusedError:
            return ('refused',)

    def inward(self, family, port=8080, **options):
        """The caller to the pod: captured, or who else has answered."""
        to = (getattr(self.pod, family), port)
        return self.verdict(self.reached(self.caller, to, **options), 'inbound', to)

    def outward(self, family, port=9000, **options):
        """The pod's app to the caller."""
        to = (getattr(self.caller, family), port)
        return self.verdict(self.reached(self.pod, to, **options), 'outbound', to)

    @staticmethod
    def verdict(answer, direction, to):
        if answer[0] != direction:
            return answer[0]
        assert answer[1:] == (to[0], str(to[1]))
        return 'captured'


def line_of(sock):
    line = b''
    while not line.endswith(b'\n'):
        data = sock.recv(1)
        assert data, f'the connection ended after {line}'
        line += data
    return tuple(line.decode().split())


def lives(sock):
    sock.sendall(b'still there?')
    return sock.recv(100) == b'still there?'


@pytest.fixture
def scene(node):
    return Scene(node)


# --- capture --------------------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_both_directions_are_captured(scene, family):
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')
    assert scene.redirect('apply') == f'inbound: captured, to port {INBOUND}\noutbound: captured, to port {OUTBOUND}\n'
    assert (scene.inward(family), scene.outward(family)) == ('captured', 'captured')
    scene.redirect('remove')
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')
    assert 'fairlead' not in scene.rules()


@pytest.mark.parametrize('family', FAMILIES)
def test_a_destination_that_nobody_has_is_captured(scene, family):
    scene.redirect('apply')
    assert scene.outward(family, port=9999) == 'captured'
    to = {'v4': '10.77.99.99', 'v6': 'fd77::9999'}[family]
    assert scene.reached(scene.pod, (to, 80)) == ('outbound', to, '80')


@pytest.mark.parametrize('family', FAMILIES)
def test_an_app_that_is_not_there_is_refused(scene, family):
    scene.redirect('apply')
    assert scene.inward(family, 8081) == 'refused'
    app = scene.pod.app(teller('app'), 8081)
    assert scene.inward(family, 8081) == 'captured'
    app.close()
    assert scene.inward(family, 8081) == 'refused'
    assert scene.counters()['inbound_closed'] == 2


@pytest.mark.parametrize('host, reached', [
    ('0.0.0.0', {'v4'}), ('::', {'v4', 'v6'}), ('v4', {'v4'}), ('v6', {'v6'}),
    ('127.0.0.1', set()), ('::1', set())])
def test_an_app_is_reached_where_it_listens(scene, host, reached):
    scene.redirect('apply')
    scene.pod.app(teller('app'), 8081, getattr(scene.pod, host, host))
    assert {family for family in FAMILIES if scene.inward(family, 8081) == 'captured'} == reached
    assert {family for family in FAMILIES if scene.inward(family, 8081) == 'refused'} == set(FAMILIES) - reached


def test_an_app_of_ipv6_alone(scene):
    def serve():
        sock = socket.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(('::', 8081))
        sock.listen()
        return sock
    scene.redirect('apply')
    with scene.pod.space.inside(serve):
        assert (scene.inward('v4', 8081), scene.inward('v6', 8081)) == ('refused', 'captured')


@pytest.mark.parametrize('family', FAMILIES)
def test_an_app_that_begins_to_listen_is_never_reached_without_the_sidecar(scene, family):
    """The SYN decides: it is refused or led to the sidecar, whatever the app does meanwhile."""
    scene.redirect('apply')
    done = threading.Event()

    def toggle():
        while not done.is_set():
            with socket.socket(number_of(family)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((getattr(scene.pod, family), 8081))
                sock.listen()
                sock.settimeout(0.0005)
                with contextlib.suppress(TimeoutError):
                    plain.append(sock.accept())
    plain, seen = [], set()
    thread = threading.Thread(target=lambda: scene.pod.space.inside(toggle))
    thread.start()
    try:
        for _ in range(500 // labs.SLOW):
            seen.add(scene.inward(family, 8081))
        wait_until(lambda: seen.add(scene.inward(family, 8081)) or len(seen) > 1, lambda: f'always {seen}', 20)
    finally:
        done.set()
        thread.join()
    assert seen == {'captured', 'refused'} and not plain


@pytest.mark.parametrize('family', FAMILIES)
def test_segments_out_of_nowhere_open_nothing(scene, family):
    """Without a SYN the kernel has no connection, and answers with a reset; SYN with more flags is no SYN to it."""
    scene.redirect('apply')
    accepted = scene.pod.app(teller('app'), 8081)
    # ACK; SYN+FIN; SYN+RST; SYN+ACK; FIN; none at all
    for flags in (0x10, 0x03, 0x06, 0x12, 0x01, 0x00):
        send_segment(scene, family, 8081, flags)
    # With ECE and CWR, PSH or URG it is one.
    for flags in (0xc2, 0x0a, 0x22):
        send_segment(scene, family, 8081, flags)
    assert scene.inward(family, 8081) == 'captured'
    assert scene.counters()['inbound'] == 4 and accepted.accepted == 0


def send_segment(scene, family, port, flags, source=40000):
    source, destination = getattr(scene.caller, family), getattr(scene.pod, family)
    segment = struct.pack('!HHIIBBHHH', 40000 + flags, port, 1, 1, 5 << 4, flags, 1000, 0, 0)
    packed = [socket.inet_pton(number_of(family), each) for each in (source, destination)]
    pseudo = b''.join(packed) + (struct.pack('!BBH', 0, 6, len(segment)) if family == 'v4'
                                 else struct.pack('!IHBB', len(segment), 0, 0, 6))
    total = sum(struct.unpack(f'!{len(pseudo + segment) // 2}H', pseudo + segment))
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    segment = segment[:16] + struct.pack('!H', ~total & 0xffff) + segment[18:]
    with scene.caller.space.inside(lambda: socket.socket(number_of(family), socket.SOCK_RAW, 6)) as raw:
        raw.sendto(segment, (destination, 0))


# --- what is not captured --------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_the_sidecar_itself(scene, family):
    scene.redirect('apply')
    assert scene.outward(family, uid=SIDECAR_UID) == 'caller'
    assert scene.outward(family, uid=SIDECAR_UID + 1) == 'captured'
    assert scene.outward(family, uid=0) == 'captured'
    scene.write({'agent': {'sidecar_uid': SIDECAR_UID + 1}})
    scene.redirect('apply')
    assert scene.outward(family, uid=SIDECAR_UID + 1) == 'caller'
    assert scene.outward(family, uid=SIDECAR_UID) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
def test_the_app_to_itself(scene, family):
    scene.redirect('apply')
    for address in loopback(family), getattr(scene.pod, family):
        assert scene.reached(scene.pod, (address, 8080))[0] == 'app'
    if family == 'v4':
        assert scene.reached(scene.pod, ('127.1.2.3', 8080))[0] == 'app'


@pytest.mark.parametrize('family', FAMILIES)
def test_the_sidecar_to_its_own_pod(scene, family):
    """Like a peer, unless it says that this is the app's due; and by loopback addresses directly."""
    scene.redirect('apply')
    tos = [(socket.SOL_IP, socket.IP_TOS, TO_APP_TOS) if family == 'v4'
           else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, TO_APP_TOS)]
    own = getattr(scene.pod, family)
    assert scene.reached(scene.pod, (own, 8080), uid=SIDECAR_UID) == ('inbound', own, '8080')
    assert scene.reached(scene.pod, (own, 8080), uid=SIDECAR_UID, options=tos)[0] == 'app'
    assert scene.reached(scene.pod, (loopback(family), 8080), uid=SIDECAR_UID)[0] == 'app'
    assert scene.reached(scene.pod, (own, ADMIN), uid=SIDECAR_UID) == ('refused',)
    assert scene.counters()['to_self'] == 1
    # That is the sidecar's alone: it leads nobody past capture.
    assert scene.outward(family, options=tos) == 'captured'
    with scene.dial(scene.caller, (own, 8080), options=tos) as sock:
        assert line_of(sock)[0] == 'inbound'


@pytest.mark.parametrize('family', FAMILIES)
def test_the_sidecar_sees_that_the_rules_are_there(scene, family):
    to = loopback(family), PROBE
    assert scene.reached(scene.pod, to, uid=SIDECAR_UID) == ('refused',)
    scene.redirect('apply')
    assert scene.reached(scene.pod, to, uid=SIDECAR_UID) == ('outbound', to[0], str(PROBE))
    assert scene.reached(scene.pod, to) == ('refused',)
    assert scene.inward(family, PROBE) == 'refused'
    scene.redirect('remove')
    assert scene.reached(scene.pod, to, uid=SIDECAR_UID) == ('refused',)


@pytest.mark.parametrize('family', FAMILIES)
def test_ports_of_the_sidecar_are_never_led_elsewhere(scene, family):
    """The admin port is reached as it is; who dials a capture port gets there, and is no captured connection."""
    scene.pod.app(teller('admin'), ADMIN)
    scene.pod.app(teller('fixed'), 8443)
    scene.write({'redirect': {'exclude_inbound': ''},
                 'service web': {'listen': '*:8443', 'app': '127.0.0.1:8080'}})
    scene.redirect('apply')
    assert scene.inward(family, ADMIN) == 'admin'
    assert scene.inward(family, 8443) == 'fixed'
    assert scene.reached(scene.caller, (getattr(scene.pod, family), INBOUND))[0] == 'inbound'
    assert scene.counters()['inbound'] == 0
    assert scene.inward(family, OUTBOUND) == 'refused'


EXCLUSIONS = [
    # key, value, port of the captured, port of the spared
    ('exclude_inbound', '8081', 8080, 8081),
    ('exclude_inbound', '8081-8082, 8090', 8080, 8082),
    ('exclude_outbound', '*:9001', 9000, 9001),
    ('exclude_outbound', '9001-9010', 9000, 9005),
]


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('key, value, captured, spared', EXCLUSIONS)
def test_exclusion_by_port(scene, family, key, value, captured, spared):
    inward = key == 'exclude_inbound'
    pod, go = (scene.pod, scene.inward) if inward else (scene.caller, scene.outward)
    pod.app(teller('plain'), spared)
    scene.redirect('apply', **{key: value})
    assert go(family, spared) == 'plain'
    assert go(family, captured) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('key', ['exclude_inbound', 'exclude_outbound'])
@pytest.mark.parametrize('form', ['{}', '{}/{}', '{}:{port}', '{}/{}:{port}'])
def test_exclusion_by_address(node, scene, family, key, form):
    """The other side's address: the source of what comes in, the destination of what goes out."""
    other = node.pod('other', sidecar=False)
    other.app(teller('other'), 9000)
    bits = {'v4': 32, 'v6': 128}[family]
    port = 8080 if key == 'exclude_inbound' else 9000
    address = getattr(scene.caller, family)
    text = form.format(f'[{address}]' if family == 'v6' else address, bits, port=port)
    scene.redirect('apply', **{key: text})
    if key == 'exclude_inbound':
        assert scene.inward(family) == 'app'
        assert scene.reached(other, (getattr(scene.pod, family), 8080))[0] == 'inbound'
        scene.pod.app(teller('app'), 8081)
        assert scene.inward(family, 8081) == ('captured' if 'port' in form else 'app')
    else:
        assert scene.outward(family) == 'caller'
        assert scene.reached(scene.pod, (getattr(other, family), 9000))[0] == 'outbound'
        assert scene.outward(family, 9001) == ('captured' if 'port' in form else 'refused')
    # The other family is another matter.
    assert (scene.inward if key == 'exclude_inbound' else scene.outward)(
        'v6' if family == 'v4' else 'v4') == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
def test_exclusion_by_network(scene, family):
    net, wide = {'v4': ('10.77.0.0/24', '10.78.0.0/16'), 'v6': ('[fd77::]/16', '[fd78::]/16')}[family]
    scene.redirect('apply', exclude_outbound=net)
    assert scene.outward(family) == 'caller'
    scene.redirect('apply', exclude_outbound=wide)
    assert scene.outward(family) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
def test_exclusion_by_interface(scene, family):
    scene.redirect('apply', exclude_inbound='interface:eth0', exclude_outbound='interface:eth0')
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')
    scene.redirect('apply', exclude_inbound='interface:eth1', exclude_outbound='interface:eth1')
    assert (scene.inward(family), scene.outward(family)) == ('captured', 'captured')


@pytest.mark.parametrize('family', FAMILIES)
def test_only_what_is_to_be_captured(scene, family):
    scene.pod.app(teller('app'), 8081)
    net = {'v4': f'{scene.caller.v4}/32:9000', 'v6': f'[{scene.caller.v6}]:9000'}[family]
    scene.caller.app(teller('caller'), 9001)
    scene.redirect('apply', inbound_ports='8080', outbound=net)
    assert (scene.inward(family, 8080), scene.inward(family, 8081), scene.inward(family, 8082)) == \
        ('captured', 'app', 'refused')
    assert (scene.outward(family, 9000), scene.outward(family, 9001)) == ('captured', 'caller')
    scene.redirect('apply', inbound_ports='', outbound='')
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')


def test_one_direction_alone(scene):
    scene.write({'sidecar': {'outbound': ''}})
    assert 'outbound: not captured' in scene.redirect('apply')
    assert (scene.inward('v4'), scene.outward('v4')) == ('captured', 'caller')
    scene.write({'sidecar': {'inbound': ''}})
    assert 'inbound: not captured' in scene.redirect('apply')
    assert (scene.inward('v6'), scene.outward('v6')) == ('app', 'captured')


# --- other protocols --------------------------------------------------------------------------------------

def datagram(scene, pod, to):
    """What becomes of a datagram: 'answered', 'refused', or 'lost'."""
    family = 'v6' if ':' in to[0] else 'v4'
    with pod.space.inside(lambda: socket.socket(number_of(family), socket.SOCK_DGRAM)) as sock:
        sock.settimeout(2 * labs.SLOW)
        try:
            sock.connect(to)
            sock.send(b'ping')
            return 'answered' if sock.recv(100) == b'ping' else 'strange'
        except (ConnectionRefusedError, PermissionError):
            return 'refused'
        except TimeoutError:
            return 'lost'


def echoes(pod, to):
    """Does an ICMP echo request get its answer?"""
    v6 = ':' in to
    request, answer = (128, 129) if v6 else (8, 0)
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    checksum = 0xffff & ~((request << 8) + 1 + 1)  # of IPv6 the kernel's matter
    with pod.space.inside(lambda: socket.socket(number_of('v6' if v6 else 'v4'), socket.SOCK_RAW, protocol)) as sock:
        sock.settimeout(10 * labs.SLOW)
        sock.sendto(struct.pack('!BBHHH', request, 0, checksum, 1, 1), (to, 0))
        while True:
            packet = sock.recv(200)
            packet = packet if v6 else packet[(packet[0] & 15) * 4:]
            if packet[0] == answer:
                return True


def other_counters(scene):
    """Packets that came in, and went out, other than answers."""
    counters = scene.counters()
    return counters['other_inbound'], counters['other_outbound']


class Datagrams:
    """Sends back what comes; dual stack."""

    def __init__(self, pod, port):
        def make():
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(('::', port))
            sock.settimeout(0.05)
            return sock
        self.sock, self.done = pod.space.inside(make), False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.done:
            with contextlib.suppress(TimeoutError, ConnectionError):
                self.sock.sendto(*self.sock.recvfrom(100))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done = True
        self.thread.join()
        self.sock.close()


@pytest.mark.parametrize('family', FAMILIES)
def test_other_protocols_are_counted(scene, family):
    scene.redirect('apply')
    with Datagrams(scene.caller, 7000), Datagrams(scene.pod, 7000):
        assert datagram(scene, scene.pod, (getattr(scene.caller, family), 7000)) == 'answered'
        assert other_counters(scene) == (0, 1)
        assert datagram(scene, scene.caller, (getattr(scene.pod, family), 7000)) == 'answered'
    assert other_counters(scene) == (1, 1)


@pytest.mark.parametrize('family', FAMILIES)
def test_other_protocols_are_dropped(scene, family):
    scene.redirect('apply', other_protocols='drop', exclude_outbound='*:53, *:7001', exclude_inbound='7002')
    with contextlib.ExitStack() as stack:
        for pod in scene.caller, scene.pod:
            for port in 53, 7000, 7001, 7002:
                stack.enter_context(Datagrams(pod, port))
        out = {port: datagram(scene, scene.pod, (getattr(scene.caller, family), port)) for port in (53, 7000, 7001)}
        assert out == {53: 'answered', 7000: 'refused', 7001: 'answered'}
        into = {port: datagram(scene, scene.caller, (getattr(scene.pod, family), port)) for port in (53, 7000, 7002)}
        assert into == {53: 'answered', 7000: 'refused', 7002: 'answered'}
        # Inside the pod it is nobody's business.
        assert datagram(scene, scene.pod, (loopback(family), 7000)) == 'answered'
        assert datagram(scene, scene.pod, (getattr(scene.pod, family), 7000)) == 'answered'
    assert echoes(scene.pod, getattr(scene.caller, family))
    assert other_counters(scene) == (1, 1)
    assert (scene.inward(family), scene.outward(family)) == ('captured', 'captured')


# --- mode = tproxy ------------------------------------------------------------------------------------------

def transparent(family):
    return (socket.SOL_IP, 19) if family == 'v4' else (socket.IPPROTO_IPV6, 75)


def tproxy_listener(scene, family):
    """In the place of the sidecar's: sees the destination as its own address."""
    def make():
        sock = socket.socket(number_of(family))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(*transparent(family), 1)
        if family == 'v6':
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(({'v4': '0.0.0.0', 'v6': '::'}[family], 15007))
        sock.listen()
        sock.settimeout(10 * labs.SLOW)
        return sock
    return scene.pod.space.inside(make)


def tproxy_dial(scene, family, client, to):
    """As the sidecar does it: to the app, under the client's address."""
    def make():
        libc.setfsuid(SIDECAR_UID)
        sock = socket.socket(number_of(family))
        libc.setfsuid(0)
        return sock
    sock = scene.pod.space.inside(make)
    sock.settimeout(10 * labs.SLOW)
    sock.setsockopt(*transparent(family), 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
    sock.bind((client, 0))
    try:
        sock.connect(to)
        return sock
    except BaseException:
        sock.close()
        raise


def routing(scene):
    return [scene.pod.space.root(['ip', family, *what]) for family in ('-4', '-6')
            for what in (['rule', 'show'], ['route', 'show', 'table', 'all'])]


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_keeps_both_addresses(scene, family):
    names = []

    def app(sock):
        names.append(sock.getpeername()[0].removeprefix('::ffff:'))
        sock.sendall(b'app\n')
        labs.echo(sock)
    scene.pod.app(app, 8082)
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy'}})
    scene.redirect('apply')
    to = getattr(scene.pod, family), 8082
    with tproxy_listener(scene, family) as listener, scene.dial(scene.caller, to) as client:
        sock, peer = listener.accept()
        with sock:
            assert sock.getsockname()[:2] == to and peer[0] == getattr(scene.caller, family)
            # A destination that is not rewritten is the same in the kernel's books.
            assert original(sock) == to
            with tproxy_dial(scene, family, peer[0], to) as inner:
                assert line_of(inner) == ('app',) and names == [peer[0]]
                assert lives(inner)
                inner.shutdown(socket.SHUT_WR)
                assert inner.recv(1) == b''
            sock.sendall(b'good morning')
            assert client.recv(100) == b'good morning'
    assert scene.counters()['inbound'] == 1
    # An app that has gone is told to the sidecar at once, and does not send its reset to the client.
    with pytest.raises(ConnectionRefusedError):
        tproxy_dial(scene, family, getattr(scene.caller, family), (to[0], 8083))


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_refuses_for_an_app_that_is_not_there(scene, family):
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy', 'exclude_inbound': '8084'}})
    scene.redirect('apply')
    scene.pod.app(teller('private'), 8083, loopback(family))
    scene.pod.app(teller('plain'), 8084)
    with tproxy_listener(scene, family):
        assert scene.inward(family, 8082) == 'refused'
        assert scene.inward(family, 8083) == 'refused'
        assert scene.inward(family, 8084) == 'plain'
    assert scene.outward(family) == 'captured'
    # The pod's own calls get their answers.
    assert scene.outward(family, uid=SIDECAR_UID) == 'caller'
    assert scene.reached(scene.pod, (getattr(scene.pod, family), 8080))[0] == 'app'


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_with_the_sidecar_to_its_own_pod(scene, family):
    """Over lo there is nothing to keep: it is led to the listener as with mode = redirect."""
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy'}})
    scene.redirect('apply')
    to = getattr(scene.pod, family), 8080
    with tproxy_listener(scene, family) as listener, scene.dial(scene.pod, to, uid=SIDECAR_UID):
        sock, _ = listener.accept()
        with sock:
            assert original(sock) == to


def test_tproxy_routes_come_and_go(scene):
    before = routing(scene)
    scene.redirect('apply', mode='tproxy')
    with_tproxy = routing(scene)
    for i in 0, 2:
        assert with_tproxy[i].count('fwmark 0x539 lookup 133') == 1
        assert len(re.findall(r'^local default dev lo table 133', with_tproxy[i + 1], re.M)) == 1
    scene.redirect('apply')
    assert routing(scene) == with_tproxy
    scene.redirect('apply', mode='redirect')
    assert routing(scene) == before
    scene.redirect('apply', mode='tproxy')
    assert routing(scene) == with_tproxy
    for _ in range(2):
        scene.redirect('remove')
        assert routing(scene) == before and scene.rules() == ''


def test_tproxy_in_a_pod_without_ipv6(scene):
    (scene.pod.space.inside(lambda: open('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'w', encoding='ascii').write('1')))
    before = routing(scene)
    scene.redirect('apply', mode='tproxy')
    assert routing(scene)[0].count('fwmark 0x539') == 1
    assert scene.outward('v4') == 'captured'
    scene.redirect('remove')
    assert routing(scene) == before


# --- beside what is there ---------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_live_connections_stay_as_they_are(scene, family):
    """Neither the rules' coming nor their going resets what was open before them; what is captured lives as long as
    there are rules, whichever."""
    def pair():
        return (scene.dial(scene.caller, (getattr(scene.pod, family), 8080)),
                scene.dial(scene.pod, (getattr(scene.caller, family), 9000)))
    before = pair()
    assert [line_of(sock)[0] for sock in before] == ['app', 'caller']
    scene.redirect('apply')
    captured = pair()
    assert [line_of(sock)[0] for sock in captured] == ['inbound', 'outbound']
    for _ in range(3):
        scene.redirect('apply')
        assert all(lives(sock) for sock in (*before, *captured))
    rules = scene.rules()
    text = refused(scene.try_redirect('remove'), 1)
    assert re.search(r'nothing has changed: [2-9] captured connections are open', text) and '--force' in text
    assert scene.rules() == rules and all(lives(sock) for sock in (*before, *captured))
    for _ in range(2):
        scene.redirect('remove', '--force')
        assert all(lives(sock) for sock in before)
        scene.redirect('apply')
        assert all(lives(sock) for sock in before)
    for sock in (*before, *captured):
        sock.close()


def test_remove_is_refused_while_the_app_may_still_send(scene):
    """And no longer: a connection that it has closed is not in the way, nor is the sidecar by itself."""
    scene.redirect('apply')
    with scene.dial(scene.pod, (scene.caller.v4, 9000)) as sock:
        assert line_of(sock)[0] == 'outbound'
        assert '1 captured connection is open' in refused(scene.try_redirect('remove'), 1)
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: scene.try_redirect('remove').returncode == 0, 'it has closed')
    assert scene.rules() == ''


def test_remove_with_tproxy(scene):
    """The sidecar's sockets have the addresses of others, and an app's answers to those would leave the pod."""
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy'}})
    scene.redirect('apply')
    to = scene.pod.v4, 8080
    with tproxy_listener(scene, 'v4') as listener, scene.dial(scene.caller, to):
        sock, peer = listener.accept()
        with sock, tproxy_dial(scene, 'v4', peer[0], to) as inner:
            assert line_of(inner)[0] == 'app'
            assert '1 captured connection is open' in refused(scene.try_redirect('remove'), 1)
            scene.redirect('remove', '--force')
    assert scene.rules() == ''


def test_force_goes_with_remove_alone(scene):
    for action in 'apply', 'print':
        assert '--force goes with remove' in refused(scene.try_redirect(action, '--force'))


def test_again_and_again_is_fine(scene):
    for _ in range(2):
        scene.redirect('remove')
        assert scene.rules() == ''
    scene.redirect('apply')
    once = scene.rules()
    scene.redirect('apply')
    assert scene.rules() == once
    for _ in range(2):
        scene.redirect('remove')
        assert scene.rules() == ''


def test_remove_needs_no_ini(scene):
    scene.redirect('apply')
    scene.ini.write_text('[nonsense')
    assert scene.try_redirect('remove').returncode == 0
    assert scene.rules() == ''


def test_rules_of_others_are_not_touched(scene):
    """Tables of nft and of iptables with rules at the same hooks: neither are they changed, nor do they lead a
    connection past the sidecar."""
    space = scene.pod.space
    space.nft('''
        table inet other {
            counter seen { }
            chain in { type nat hook prerouting priority dstnat; tcp dport 8080 counter name seen redirect to :8081; }
            chain out { type nat hook output priority -100; tcp dport 9000 counter name seen redirect to :8081; }
        }
        table ip fairlead {
            chain c { }
        }''')
    iptables = [name for name in ('iptables-nft', 'iptables-legacy', 'ip6tables-nft') if shutil.which(name)]
    for name in iptables:
        space.try_run([name, '-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '--dport', '9000', '-j', 'REDIRECT',
                       '--to-ports', '8081'])
    scene.pod.app(teller('elsewhere'), 8081)
    before = scene.rules()
    saved = [space.try_run([f'{name}-save']).stdout for name in iptables]
    assert (scene.inward('v4'), scene.outward('v4')) == ('elsewhere', 'elsewhere')
    for _ in range(2):
        scene.redirect('apply')
    assert (scene.inward('v4'), scene.outward('v4')) == ('captured', 'captured')
    assert (scene.inward('v6'), scene.outward('v6')) == ('captured', 'captured')
    # What the sidecar dials is theirs to translate.
    assert scene.outward('v4', uid=SIDECAR_UID) == 'elsewhere'
    scene.redirect('remove')
    without = re.compile(r'packets \d+ bytes \d+|# (?:Generated|Completed).*|\[\d+:\d+\]')
    assert without.sub('', scene.rules()) == without.sub('', before)
    assert [without.sub('', space.try_run([f'{name}-save']).stdout) for name in iptables] == \
        [without.sub('', text) for text in saved]


# --- print ------------------------------------------------------------------------------------------------

def test_print_is_what_apply_puts_in_force(scene):
    scene.write({'redirect': {'exclude_outbound': '10.0.0.0/8:443, interface:eth1', 'other_protocols': 'drop'}})
    scene.redirect('apply')
    applied = scene.rules()
    printed = scene.redirect('print')
    rules = [line for line in printed.splitlines() if line.startswith('\t\t') and not line.startswith('\t\ttype ')]
    assert len(rules) > 20 and all(re.search(r'comment "[^"]+"$', line) for line in rules)
    scene.redirect('remove')
    scene.pod.space.nft(printed)
    assert scene.rules() == applied


def test_print_tells_what_the_rules_have_seen(scene):
    assert scene.redirect('print').startswith('# now:      NOT IN FORCE')
    scene.redirect('apply')
    assert [scene.inward(family) for family in FAMILIES] == ['captured'] * 2
    assert scene.inward('v4', 8081) == 'refused'
    head = scene.redirect('print').partition('add table')[0]
    assert re.search(r'^# now:      2 inbound connections captured$', head, re.M)
    assert re.search(r'^# +1 inbound connections refused', head, re.M)
    assert all(line.startswith('#') for line in head.splitlines())


def test_print_needs_no_permission(scene):
    agent = labs.within_reach(labs.AGENT, scene.pod.lab.folder)
    scene.redirect('apply')
    done = scene.pod.try_run([agent, 'redirect', 'print', '-c', scene.ini])
    assert done.returncode == 0 and done.stdout.startswith('# now:      not known: ') and 'NET_ADMIN' in done.stdout
    assert 'redirect to :15006' in done.stdout


def test_status_tells_what_the_rules_have_seen(node, scene):
    pod = node.pod('mesh', {'sidecar': {'inbound': '', 'outbound': ''}, 'redirect': {'mode': 'redirect'},
                            'service web': {'listen': '*:8443', 'app': '127.0.0.1:8080'}}, redirect=False)

    def status(run=pod.space.try_run):
        done = run([labs.within_reach(labs.AGENT, pod.lab.folder), 'status', '-c', pod.ini])
        assert done.returncode == 0, done
        return done.stdout
    assert re.search(r'^rules +NOT IN FORCE here: fairlead-agent redirect apply$', status(), re.M)
    assert re.search(r'^rules +not known: reading the rules takes NET_ADMIN$', status(pod.try_run), re.M)
    assert pod.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', scene.ini]).returncode == 0
    assert re.search(r'^rules +in force, and nothing has come so far$', status(), re.M)
    assert scene.reached(scene.caller, (pod.v4, 8080)) == ('refused',)
    assert re.search(r'^rules +1 inbound connections refused', status(), re.M)
    pod.change({'redirect': None})
    assert not re.search(r'^rules', status(), re.M)


# --- trouble ----------------------------------------------------------------------------------------------

def refused(done, code=2):
    """Its one sentence."""
    assert (done.returncode, done.stdout) == (code, ''), done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize('action', ['apply', 'remove'])
def test_without_net_admin(scene, action):
    agent = labs.within_reach(labs.AGENT, scene.pod.lab.folder)
    text = refused(scene.pod.try_run([agent, 'redirect', action, '-c', scene.ini]))
    assert 'NET_ADMIN' in text
    # Nothing else is needed.
    prefix = scene.pod.prefix_of(0)
    prefix[prefix.index('--bounding-set=-all')] = '--bounding-set=-all,+net_admin'
    assert subprocess.run([*prefix, agent, 'redirect', action, '-c', scene.ini], check=False).returncode == 0


def test_without_the_library(scene):
    """Hidden by an empty folder in its place."""
    found = subprocess.run(['ldconfig', '-p'], capture_output=True, text=True, check=True,
                           env={'PATH': '/sbin:/usr/sbin'}).stdout
    path = re.search(r'libnftables\.so\.1 .*=> (\S+)', found)[1]
    hide = f'mount --bind /dev/null {os.path.realpath(path)} && exec "$@"'
    for action in 'apply', 'remove':
        done = subprocess.run(
            [*scene.pod.space.prefix, 'unshare', '-m', 'sh', '-c', hide, 'sh', labs.AGENT, 'redirect', action, '-c',
             scene.ini], capture_output=True, text=True, check=False)
        assert 'libnftables1' in refused(done)
    assert scene.rules() == ''


def test_bad_settings_change_nothing(scene):
    scene.redirect('apply')
    before = scene.rules()
    for sections, text in [
            ({'redirect': {'exclude_inbound': 'nonsense:'}}, 'fairlead.ini:'),
            ({'sidecar': {'inbound': '', 'outbound': ''}, 'upstream u': {'listen': '127.0.0.1:7001', 'to': '10.0.0.1:1'}},
             'both empty'),
            ({'sidecar': {'outbound': '127.0.0.5:15001'}}, '127.0.0.5:15001'),
            ({'sidecar': {'inbound': '127.0.0.1:15006'}}, '127.0.0.1:15006')]:
        scene.write(sections)
        done = scene.try_redirect('apply')
        assert done.returncode == 2 and text in done.stderr and done.stdout == ''
    assert scene.rules() == before


@pytest.mark.parametrize('action', ['apply', 'remove'])
def test_rules_that_the_kernel_refuses_change_nothing(scene, action):
    """The table belongs to a process that is there: the kernel lets nobody else change it."""
    with subprocess.Popen([*scene.pod.space.prefix, 'nft', '-i'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          text=True) as owner:
        owner.stdin.write('add table inet fairlead { flags owner; }\nadd chain inet fairlead theirs\n')
        owner.stdin.flush()
        wait_until(lambda: 'theirs' in scene.rules(), 'the other one has its table')
        before = scene.rules()
        text = refused(scene.try_redirect(action))
        assert 'the kernel did not take the rules, and nothing has changed' in text
        assert 'Operation not permitted' in text
        assert scene.rules() == before


@pytest.mark.heavy
def test_killed_half_way_leaves_old_or_new_rules(scene):
    """kill -9 at any moment, by turns from one set of rules to another."""
    listings = []
    for value in '*:7777', '*:8888':
        scene.redirect('apply', exclude_outbound=value)
        listings.append(scene.rules())
    random.seed(1)
    killed = 0
    for i in range(60):
        scene.write({'redirect': {'exclude_outbound': ['*:7777', '*:8888'][i % 2]}})
        process = subprocess.Popen([*scene.pod.space.prefix, labs.AGENT, 'redirect', 'apply', '-c', scene.ini],
                                   stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.001, 0.04))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        assert scene.rules() in listings
    assert killed > 10
