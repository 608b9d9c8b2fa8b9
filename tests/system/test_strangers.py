# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that clients without a proven identity keep no peer out: not silent, not halfway, not after a ClientHello, and
not in the log."""
import collections
import concurrent.futures
import json
import resource
import socket
import ssl
import threading

import pytest

import lab as labs
import peers
from lab import connect, end_of, outcome, reset, wait_until

PLAIN = {'allow plain': {'from': 'plaintext'}}
MANY = 2500


@pytest.fixture(autouse=True)
def descriptors():
    """Raises the descriptor limit for the crowds of these tests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def crowd(port, count, data=b'', source='127.0.0.1'):
    """Opens connections from that address. Each sends this data and nothing more."""
    socks = []
    for _ in range(count):
        sock = socket.socket()
        sock.bind((source, 0))
        sock.settimeout(30 * labs.SLOW)
        sock.connect(('127.0.0.1', port))
        if data:
            sock.sendall(data)
        socks.append(sock)
    return socks


def ended(workload, reason=None):
    labels = {'reason': reason} if reason else {}
    return workload.metric('fairlead_connections_closed_total', direction='inbound', **labels)


def leave(socks):
    for sock in socks:
        reset(sock)


def client_of(inbound, svid):
    """Returns a context as our peers have it: permissive ports recognize it by its protocol."""
    context = peers.context(False, svid, inbound.lab.root)
    context.set_alpn_protocols(['fairlead/1'])
    return context


def is_served(inbound):
    with client_of(inbound, inbound.lab.client).wrap_socket(connect(inbound.port)) as tls:
        tls.sendall(b'ping')
        return tls.recv(4) == b'ping'


# --- before a ClientHello -----------------------------------------------------------------------------

@pytest.mark.heavy
@pytest.mark.parametrize('mode', ['strict', 'permissive'])
@pytest.mark.parametrize('kind', ['silent', 'half'])
def test_strangers_take_no_place(lab, app, mode, kind):
    """With room for one handshake, thousands of connections have sent no hello, and good peers notice nothing. Memory
    is bounded."""
    inbound = lab.inbound(app().port, {
        'service app': {'mode': mode, **({'detect_timeout': '1m'} if mode == 'permissive' else {})},
        'limits': {'handshakes': 1}, 'sidecar': {'workers': 1}})
    assert is_served(inbound)
    before, heap = inbound.sidecar.fds(), inbound.sidecar.heap()
    data = b'' if kind == 'silent' else peers.client_hello()[:-1]
    socks = crowd(inbound.port, MANY, data)
    wait_until(lambda: ended(inbound, 'crowded_out') >= MANY - 1024 - 5, 'room is for 1024')
    assert all(is_served(inbound) for _ in range(10))
    assert inbound.sidecar.fds() <= before + 1024 + 10
    if not labs.ASAN and not labs.TSAN:
        assert inbound.sidecar.heap() - heap < 8 << 20
    assert not inbound.sidecar.lines(reason='internal')
    leave(socks)


def test_last_byte_of_a_hello_is_enough(lab, app):
    """A client that sends one byte at a time is served, with a whole crowd from the same address."""
    inbound = lab.inbound(app().port, {'limits': {'handshakes': 1}})
    socks = crowd(inbound.port, 100, peers.client_hello()[:-1])
    for sock in socks[:20]:
        sock.sendall(peers.client_hello()[-1:])
        assert sock.recv(1) == b'\x16', 'the server has answered'
        reset(sock)
    leave(socks[20:])


def test_silence_ends_before_handshake_timeout(lab, app):
    """A ClientHello has five seconds, however long a handshake may take."""
    inbound = lab.inbound(app().port, {'limits': {'handshake_timeout': '1h'}})
    with connect(inbound.port) as silent, connect(inbound.port) as half:
        half.sendall(peers.client_hello()[:50])
        assert end_of(silent) == end_of(half) == 'reset'
    wait_until(lambda: len(inbound.sidecar.lines(reason='handshake_timeout')) == 2, 'both are told of')
    lines = inbound.sidecar.lines(reason='handshake_timeout')
    assert all(4.9 < line['duration_s'] < 5 + 2 * labs.SLOW and 'ClientHello' in line['detail'] for line in lines)
    assert inbound.metric('fairlead_handshakes_total', direction='inbound', result='handshake_timeout') == 2


def test_other_networks_lose_nobody(lab, app):
    """A flood evicts only connections of its own network. The oldest connection of all comes from another network: it
    stays, and its handshake succeeds."""
    inbound = lab.inbound(app().port, {'limits': {'handshakes': 1}, 'sidecar': {'workers': 1}})
    (early,) = crowd(inbound.port, 1, source='127.0.2.1')
    socks = crowd(inbound.port, MANY, source='127.0.1.1')
    wait_until(lambda: ended(inbound, 'crowded_out') >= MANY - 1024, 'room is for 1024')
    with peers.context(False, lab.client, lab.root).wrap_socket(early) as tls:
        tls.sendall(b'ping')
        assert tls.recv(4) == b'ping'
    assert {line['source'].rpartition('.')[0] for line in inbound.sidecar.lines(reason='crowded_out')} == {'127.0.1'}
    leave(socks)


def test_hello_that_lies_in_the_kernel_counts(lab, app):
    """The sidecar is late. A client that has sent its hello by then is not evicted by later connections."""
    inbound = lab.inbound(app().port, {'sidecar': {'workers': 1}, 'limits': {'handshakes': 1}})
    context = peers.context(False, lab.client, lab.root)
    inbound.sidecar.signal(19)
    try:
        good = connect(inbound.port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        good.sendall(outgoing.read())
        socks = crowd(inbound.port, 1500)
    finally:
        inbound.sidecar.signal(18)
    assert good.recv(1) == b'\x16'
    wait_until(lambda: ended(inbound, 'crowded_out') > 400, 'room is for 1024')
    reset(good)
    leave(socks)


# --- after a ClientHello ------------------------------------------------------------------------------

@pytest.mark.parametrize('source', ['127.0.0.1', '127.0.1.1'])
def test_silence_after_a_hello_gives_way(lab, app, source):
    """They hold all places of their network, and hundreds wait. Good peers are served nevertheless."""
    inbound = lab.inbound(app().port, {'limits': {'handshakes': 8, 'handshake_timeout': '1h'}, 'sidecar': {'workers': 1}})
    socks = crowd(inbound.port, 300, peers.client_hello(), source)
    assert all(is_served(inbound) for _ in range(5))
    if source == '127.0.0.1':
        assert ended(inbound, 'crowded_out') > 0
    leave(socks)
    wait_until(lambda: is_served(inbound), 'and after them')


def test_silent_hellos_of_many_networks_give_way(lab, app):
    """Each comes from a new network and takes one of the places for new networks. The next peer is served
    nevertheless."""
    inbound = lab.inbound(app().port, {'limits': {'handshakes': 8, 'handshake_timeout': '1h'}, 'sidecar': {'workers': 1}})
    socks = []
    for number in range(200):
        socks += crowd(inbound.port, 1, peers.client_hello(), f'127.{number % 100 + 1}.{number}.1')
    assert all(is_served(inbound) for _ in range(3))
    leave(socks)


# --- descriptors --------------------------------------------------------------------------------------

def test_descriptors_of_those_who_are_let_in(lab, app):
    """Strangers get one eighth of the descriptors: each peer finds one for itself and one for the app."""
    inbound = lab.inbound(app().port, {'sidecar': {'workers': 1}, 'limits': {'handshake_timeout': '1h'}}, start=False)
    inbound.start_agent().start_sidecar(prefix=['prlimit', '--nofile=256:256']).wait_ready()
    socks = crowd(inbound.port, 600)
    held = []
    for _ in range(30):
        held.append(peers.client(inbound.port, lab.client, lab.root))
        held[-1].sendall(b'x')
        assert held[-1].recv(1) == b'x'
    for sock in held:
        sock.close()
    leave(socks)


def test_callers_of_admin_leave_descriptors_to_others(lab, app):
    """Callers of the admin port keep no peer out."""
    inbound = lab.inbound(app().port, {'sidecar': {'workers': 1}}, start=False)
    inbound.start_agent().start_sidecar(prefix=['prlimit', '--nofile=256:256']).wait_ready()
    socks = crowd(inbound.admin, 600)
    assert all(is_served(inbound) for _ in range(5))
    assert inbound.get('/readyz')[0] == 200 and inbound.sidecar.fds() < 128
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert [status for status, _ in pool.map(inbound.get, ['/connections', '/seen', '/', '/metrics'])] == [200] * 4
    leave(socks)


# --- [limits] connections -----------------------------------------------------------------------------

def held_by(inbound, svid, source='127.0.0.1', most=100):
    """Opens as many connections as that peer gets."""
    held = []
    while len(held) < most:
        (sock,) = crowd(inbound.port, 1, source=source)
        try:
            tls = client_of(inbound, svid).wrap_socket(sock)
            tls.sendall(b'x')
            if tls.recv(1) != b'x':
                return held
        except OSError:
            return held
        held.append(tls)
    return held


def test_one_peer_leaves_connections_to_others(lab, app):
    """Of 50 connections, the peer gets its share, from however many addresses. The app's own connections and other
    peers get theirs."""
    behind, to = lab.inbound(app().port), lab.ports.free()
    both = lab.inbound(app().port, {
        'upstream u': {'listen': f'127.0.0.1:{to}', 'to': f'127.0.0.1:{behind.port}', 'peer': labs.SERVER},
        'limits': {'connections': 50}, 'sidecar': {'workers': 1}})
    greedy = held_by(both, lab.client)
    assert 25 < len(greedy) < 44, 'most of it, when nobody else is there'
    line = both.wait_line(reason='connection_limit')
    assert line['peer'] == labs.CLIENT and 'this peer has used up its share' in line['detail']
    assert not held_by(both, lab.client, source='127.0.3.1'), 'it is the same from elsewhere'
    other = held_by(both, lab.root.issue(f'spiffe://{labs.TD}/ns/test/sa/other'))
    assert other, 'the next one finds some'
    third = held_by(both, lab.root.issue(f'spiffe://{labs.TD}/ns/test/sa/third'))
    assert third
    own = [connect(to) for _ in range(6)]
    for sock in own:
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
    for sock in own + greedy + other + third:
        sock.close()


def test_outbound_leaves_connections_to_peers(lab, app):
    behind, to = lab.inbound(app().port), lab.ports.free()
    both = lab.inbound(app().port, {
        'upstream u': {'listen': f'127.0.0.1:{to}', 'to': f'127.0.0.1:{behind.port}', 'peer': labs.SERVER},
        'limits': {'connections': 50}, 'sidecar': {'workers': 1}})
    own = [connect(to) for _ in range(60)]
    wait_until(lambda: json.loads(both.get('/status')[1])['connections']['outbound']['open'] == 44, 'an eighth is kept')
    assert 'outbound connections have used up their share' in both.wait_line(reason='connection_limit')['detail']
    assert len(held_by(both, lab.client, most=3)) == 3
    for sock in own:
        sock.close()


def test_plaintext_leaves_connections_to_peers(lab, app):
    """A network has a share, as a peer has. The reserved places are for identities only."""
    inbound = lab.inbound(app().port, {'service app': {'mode': 'permissive', 'detect_timeout': '1m'}, **PLAIN,
                                       'limits': {'connections': 50}, 'sidecar': {'workers': 1}})
    held = []
    for number in range(60):
        held += crowd(inbound.port, 1, b'ping', source=f'127.0.{number % 30}.1')
    assert wait_until(lambda: inbound.sidecar.lines(reason='connection_limit'), 'it is full for them')
    assert held_by(inbound, lab.client, most=2)
    leave(held)


# --- the log ------------------------------------------------------------------------------------------

def test_garbage_does_not_fill_the_log(lab, app):
    """The log has at most twenty lines in ten seconds for each network and reason, and how many were left out. No line
    about an identity is lost."""
    inbound = lab.inbound(app().port, {'allow mesh': None})
    stranger, known = 300, 30
    for number in range(stranger):
        outcome(inbound.port, b'GET / HTTP/1.1')
        if number % 10 == 0:
            assert peers.verdict(inbound.port, lab.client, lab.root) in (49, 'closed')
    wait_until(lambda: ended(inbound, 'not_tls') == stranger, 'all are counted')
    assert inbound.sidecar.stop() == 0
    written = len(inbound.sidecar.lines(reason='not_tls', msg='connection refused'))
    told = inbound.sidecar.lines(msg='lines left out', reason='not_tls')
    assert written + sum(line['left_out'] for line in told) == stranger
    assert written < stranger / 2 and {line['source'] for line in told} == {'127.0.0.0/24'}
    assert len(inbound.sidecar.lines(reason='policy_denied')) == known


def test_metric_of_what_is_left_out(lab, app):
    inbound = lab.inbound(app().port)
    socks = crowd(inbound.port, 50, b'GET / HTTP/1.1')
    wait_until(lambda: ended(inbound, 'not_tls') == 50, 'all are refused')
    left_out = inbound.metric('fairlead_log_lines_left_out_total')
    assert left_out == 50 - len(inbound.sidecar.lines(reason='not_tls', msg='connection refused')) > 0
    leave(socks)


class HellosAndResets:
    """A client of another network, without a certificate, that begins handshakes and leaves."""

    def __init__(self, port, at_a_time=30):
        self.port, self.at_a_time, self.begun, self.stop = port, at_a_time, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        hello, socks = peers.client_hello(), collections.deque()
        while not self.stop.wait(0.002):
            socks.append(connect(self.port, source='127.9.9.9'))
            socks[-1].sendall(hello)
            self.begun += 1
            if len(socks) > self.at_a_time:
                reset(socks.popleft())
        for sock in socks:
            reset(sock)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize('direction', ['inbound', 'outbound'])
def test_handshakes_that_strangers_begin_take_nobody_s_signatures(lab, app, direction):
    """They begin several times as many as `[agent] signatures`. All others are served, in both directions."""
    full = {'tls': {'tickets': 'off', 'reuse': 'off'}}
    target, few = app(), {'agent': {'signatures': 50}}
    behind = lab.inbound(target.port, full, name='behind')
    port = lab.ports.free()
    busy = lab.inbound(target.port, labs.merge({**full, **few}, {
        'upstream behind': {'listen': f'127.0.0.1:{port}', 'to': f'127.0.0.1:{behind.port}', 'peer': labs.SERVER}}))
    if direction == 'inbound':
        port = lab.outbound(busy.port, full, name='front').port
    with HellosAndResets(busy.port) as flood:
        wait_until(lambda: flood.begun > 100 and busy.metric('fairlead_signatures_total', result='rate') > 20, 'the flood has begun')
        for _ in range(20):
            with connect(port) as sock:
                sock.sendall(b'x')
                assert sock.recv(1) == b'x'
    assert busy.metric('fairlead_connections_closed_total', reason='signature_unavailable') < 10
