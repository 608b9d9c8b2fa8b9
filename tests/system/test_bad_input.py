# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests bad input from the network: each case costs only its own connection, gets a clear log line, and leaks
nothing."""
import concurrent.futures
import contextlib
import json
import os
import random
import re
import signal
import socket
import ssl
import threading

import pytest

import lab as labs
import peers
from lab import connect, end_of, full_backlog, outcome, reset, wait_until

HTTP = b'GET / HTTP/1.1\r\nHost: web.example\r\n\r\n'


def opened(workload, direction='inbound'):
    """Returns how many connections the sidecar has accepted so far."""
    return json.loads(workload.get('/status')[1])['connections'][direction]['opened']


@pytest.fixture
def inbound(lab, app):
    """Returns a sidecar in front of an echo app. Its handshake_timeout is half a second."""
    workload = lab.inbound(app().port, {'limits': {'handshake_timeout': '500ms'}})
    workload.lab = lab
    return workload


def is_served(workload):
    """Proves that a good peer is still served among the bad ones."""
    return peers.verdict(workload.port, workload.lab.client, workload.lab.root) == b'x'


# --- on the TLS port ------------------------------------------------------------------------------------

@pytest.mark.parametrize('data', [HTTP, b'\0' * 500, b'SSH-2.0-OpenSSH_9.2\r\n', random.Random(1).randbytes(100000),
                                  b'\x80\x2e\x01\x03\x01' + bytes(41)],
                         ids=['http', 'zeros', 'ssh', 'random', 'sslv2'])
def test_what_is_no_tls_is_refused_at_once(inbound, data):
    """Plaintext and garbage are refused at once: with a TLS alert, the end of the stream, and a log line."""
    assert outcome(inbound.port, data) in ('eof', 'reset')
    line = inbound.wait_line(reason='not_tls')
    assert 'does not speak TLS' in line['explanation'] and line['level'] == 'warn'
    assert is_served(inbound)


@pytest.mark.parametrize('data, reason', [
    (b'\x16\x03\x01\x00\x04\x01\x00\x00\x00', 'tls_protocol|tls_version|tls_parameters'),  # an empty ClientHello
    (b'\x16\x03\x01\x00\x00' * 50, 'tls_protocol|not_tls'),  # empty records
    (b'\x16\x03\x01\xff\xff' + bytes(70000), 'tls_protocol|not_tls'),  # a record that exceeds the maximum length
    (b'\x17\x03\x03\x00\x10' + bytes(16), 'tls_protocol|not_tls'),  # application data first
    (b'\x15\x03\x01\x00\x02\x02\x28', 'peer_alert'),  # an alert first
    (b'\x14\x03\x03\x00\x01\x01' * 100, 'tls_protocol|not_tls'),  # nothing but ChangeCipherSpec
    (b'\x16\x03\x01\x00\x04\x02\x00\x00\x00', 'tls_protocol'),  # a ServerHello
    (b'\x16\x03\x01\x00\x04\x01\xff\xff\xff', 'tls_protocol|handshake_timeout')],  # a hello that announces 16 MB
    ids=['empty-hello', 'empty-records', 'long-record', 'data-first', 'alert-first', 'ccs', 'server-hello', 'huge'])
def test_broken_tls_is_refused(inbound, data, reason):
    assert outcome(inbound.port, data) in ('eof', 'reset')
    line = inbound.wait_line(reason=re.compile(f'^({reason})$'))
    assert line.get('explanation')
    assert is_served(inbound)


def damaged(chance, message):
    """Changes, adds and removes bytes of a handshake message. Its lengths are mostly corrected afterwards."""
    body = bytearray(message[9:])
    for _ in range(chance.choice((1, 1, 1, 3))):
        at = chance.randrange(len(body))
        kind = chance.randrange(4)
        if kind == 0:
            del body[at:at + chance.randrange(1, 5)]
        elif kind == 1:
            body[at:at] = chance.randbytes(chance.randrange(1, 5))
        else:
            body[at] ^= chance.randrange(1, 256)
    size = len(body) + chance.choice((0, 0, 0, -1, 1))
    return message[:3] + (len(body) + 4).to_bytes(2, 'big') + message[5:6] + size.to_bytes(3, 'big') + bytes(body)


def ended(workload, reason):
    return workload.metric('fairlead_connections_closed_total', direction='inbound', reason=reason)


def reasons(workload, direction):
    return {line['reason'] for line in workload.sidecar.lines(direction=direction)}


EXPECTED = {'tls_protocol', 'tls_version', 'tls_parameters', 'handshake_timeout', 'not_tls', 'peer_alert'}


@pytest.mark.heavy
def test_damaged_client_hellos(lab, app):
    """Each of 500 damaged hellos is answered or refused within the deadline, and none is reported as an internal
    error."""
    inbound = lab.inbound(app().port, {'limits': {'handshake_timeout': '20ms'}})
    chance, hello = random.Random(1), peers.client_hello()
    for _ in range(500):
        outcome(inbound.port, damaged(chance, hello))
    assert reasons(inbound, 'inbound') <= EXPECTED
    assert inbound.sidecar.stop() == 0


@pytest.mark.heavy
def test_damaged_server_hellos(lab, app):
    chance, context = random.Random(2), peers.context(True, lab.server, lab.root)

    def serve(sock):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(sock.recv(1 << 16))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        flight = outgoing.read()
        end = 5 + int.from_bytes(flight[3:5], 'big')
        sock.sendall(damaged(chance, flight[:end]) + flight[end:])
        end_of(sock)
    outbound = lab.outbound(app(serve).port, {'limits': {'handshake_timeout': '20ms'}})
    for _ in range(500):
        assert outcome(outbound.port, b'secret') == 'reset'
    assert reasons(outbound, 'outbound') <= EXPECTED
    assert outbound.sidecar.stop() == 0


def test_half_a_client_hello_then_silence(inbound):
    """The handshake deadline ends the connection."""
    with connect(inbound.port) as sock:
        sock.sendall(peers.client_hello()[:100])
        assert end_of(sock) == 'reset'
    line = inbound.wait_line(reason='handshake_timeout')
    assert 0.495 <= line['duration_s'] < 0.5 + 1 * labs.SLOW
    assert 'handshake_timeout' in line['explanation']


def test_nothing_at_all(inbound):
    """A connection that sends no byte has the same deadline."""
    with connect(inbound.port) as sock:
        assert end_of(sock) == 'reset'
    inbound.wait_line(reason='handshake_timeout')


def test_half_a_client_hello_then_the_end(inbound):
    with connect(inbound.port) as sock:
        sock.sendall(peers.client_hello()[:100])
        sock.shutdown(socket.SHUT_WR)
        assert end_of(sock) == 'reset'
    inbound.wait_line(reason='peer_truncated')


def test_half_a_client_hello_then_a_reset(inbound):
    before = opened(inbound)
    sock = connect(inbound.port)
    sock.sendall(peers.client_hello()[:100])
    wait_until(lambda: opened(inbound) > before, 'it is accepted')
    reset(sock)
    inbound.wait_line(reason='peer_reset')


def test_reset_before_it_is_accepted(inbound):
    """Connections that end before the sidecar accepts them get one log line each, with what is known."""
    inbound.sidecar.signal(signal.SIGSTOP)
    try:
        for _ in range(10):
            reset(connect(inbound.port))
    finally:
        inbound.sidecar.signal(signal.SIGCONT)
    lines = wait_until(lambda: len(inbound.sidecar.lines(direction='inbound')) == 10 and
                       inbound.sidecar.lines(direction='inbound'), 'a line for each')
    assert 'unix' not in {line['peer_addr'] for line in lines}
    assert is_served(inbound)


def test_peer_that_stalls_after_its_hello(inbound):
    """The peer never answers the server's flight."""
    with connect(inbound.port) as sock:
        sock.sendall(peers.client_hello())
        assert sock.recv(5)[0] == 0x16
        assert end_of(sock) == 'reset'
    inbound.wait_line(reason='handshake_timeout')


def test_client_hello_of_60_kb_in_many_records(inbound):
    """Such a hello is legal. The connection ends in a known way, and the next peer is served."""
    data = peers.records(peers.client_hello(60000), 500)
    assert outcome(inbound.port, data) in ('eof', 'reset')
    line = wait_until(lambda: inbound.sidecar.lines(direction='inbound'), 'a line')[0]
    assert line['reason'] in ('handshake_timeout', 'tls_protocol')
    assert is_served(inbound)


def test_client_hello_in_many_records_and_segments(lab, inbound):
    """A padded hello of 8 KB is answered, although it is cut into records of 100 bytes and arrives byte by byte."""
    with connect(inbound.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in peers.records(peers.client_hello(8000), 100):
            sock.send(bytes([byte]))
        assert sock.recv(5)[:3] == b'\x16\x03\x03'


def test_handshake_byte_by_byte(lab, inbound):
    """A good client is served even if each of its bytes arrives in a segment of its own."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = peers.context(False, lab.client, lab.root).wrap_bio(incoming, outgoing)
    with connect(inbound.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def run(step):
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    return step()
                for byte in outgoing.read():
                    sock.send(bytes([byte]))
                incoming.write(sock.recv(1 << 16))
        run(tls.do_handshake)
        tls.write(b'hello')
        assert run(lambda: tls.read(5)) == b'hello'


@pytest.mark.heavy
def test_1000_stalled_handshakes_do_not_keep_good_peers_out(lab, app):
    """[limits] handshakes has room for all of them: good peers notice nothing, and the stalled ones end at their
    deadline."""
    inbound = lab.inbound(app().port, {'limits': {'handshakes': 2000, 'handshake_timeout': f'{3 * labs.SLOW}s'}})
    half = peers.client_hello()[:200]
    stalled = [connect(inbound.port) for _ in range(1000)]
    for sock in stalled:
        sock.sendall(half)
    wait_until(lambda: inbound.sidecar.fds() > 1000, 'all of them are accepted')
    for _ in range(20):
        assert is_served(inbound)
    assert not inbound.sidecar.lines(reason='handshake_timeout'), 'too late to tell'
    for sock in stalled:
        assert end_of(sock) == 'reset'
        sock.close()
    wait_until(lambda: ended(inbound, 'handshake_timeout') == 1000, 'each is counted')


@pytest.mark.heavy
def test_more_stalled_handshakes_than_the_limit(lab, app):
    """The default limit is 512. 1000 connections that stall before their hello use none of it."""
    inbound = lab.inbound(app().port, {'limits': {'handshake_timeout': '500ms'}})
    stalled = [connect(inbound.port) for _ in range(1000)]
    assert is_served(inbound)
    for sock in stalled:
        assert end_of(sock) == 'reset'
        sock.close()


def test_refused_peer_that_stays_and_goes_on_sending(inbound):
    """A refused peer gets its alert and then one second. The sidecar discards what the peer sends meanwhile."""
    before = inbound.sidecar.fds()
    with connect(inbound.port) as quiet, connect(inbound.port) as loud:
        quiet.sendall(HTTP)
        with pytest.raises(OSError):
            while True:
                loud.sendall(bytes(1 << 16))
        settled(inbound.sidecar, before)
    assert len(inbound.sidecar.lines(reason='not_tls')) == 2


def test_2000_refused_peers_that_stay(inbound):
    """Refused peers keep their descriptors while they may read the alert: 1024 at most. The others remain for served
    peers."""
    before = inbound.sidecar.fds()
    inbound.sidecar.signal(signal.SIGSTOP)
    try:
        crowd = [connect(inbound.port) for _ in range(2000)]
        for sock in crowd:
            sock.sendall(HTTP)
    finally:
        inbound.sidecar.signal(signal.SIGCONT)
    peak = 0

    def all_refused():
        nonlocal peak
        peak = max(peak, inbound.sidecar.fds())
        return ended(inbound, 'not_tls') == 2000
    wait_until(all_refused, 'each is counted')
    assert is_served(inbound)
    settled(inbound.sidecar, before)
    assert 1000 < peak < before + 1024 + 512, 'of those refused, and of 512 handshakes'
    for sock in crowd:
        sock.close()


# --- apps and upstreams that misbehave ---------------------------------------------------------------------

def test_app_that_is_down(lab, app):
    """The mesh peer sees a reset, and the log blames the app. Once the app is up, connections work."""
    port = lab.ports.free()
    inbound = lab.inbound(port)
    outbound = lab.outbound(inbound.port)
    assert outcome(outbound.port) == 'reset'
    assert 'is the app listening there?' in inbound.wait_line(reason='app_refused')['explanation']
    outbound.wait_line(reason=re.compile('peer_reset|peer_truncated'))


def test_app_on_a_unix_path_that_does_not_exist(lab):
    inbound = lab.inbound(f'unix:{lab.folder}/nowhere.sock')
    assert peers.verdict(inbound.port, lab.client, lab.root) == 'closed'
    inbound.wait_line(reason='app_refused')


def test_app_that_hangs(lab):
    """The queue of the app is full: the connection ends after connect_timeout."""
    with full_backlog() as port:
        inbound = lab.inbound(port, {'limits': {'connect_timeout': '300ms'}})
        assert peers.verdict(inbound.port, lab.client, lab.root) == 'closed'
        line = inbound.wait_line(reason='app_connect_timeout')
        assert 'connect_timeout' in line['explanation'] and line['duration_s'] >= 0.295


def test_app_that_resets_at_once(lab, app):
    inbound = lab.inbound(app(reset).port)
    outbound = lab.outbound(inbound.port)
    assert outcome(outbound.port, b'hello') == 'reset'
    inbound.wait_line(reason='app_reset')


def test_upstream_that_is_down(lab):
    outbound = lab.outbound(lab.ports.free())
    assert outcome(outbound.port) == 'reset'
    line = outbound.wait_line(reason='peer_refused')
    assert 'refused the connection' in line['explanation'] and line['upstream'] == 'peer'


def test_upstream_that_hangs(lab):
    with full_backlog() as port:
        outbound = lab.outbound(port, {'limits': {'connect_timeout': '300ms'}})
        assert outcome(outbound.port) == 'reset'
        line = outbound.wait_line(reason='peer_connect_timeout')
        assert 'connect_timeout' in line['explanation'] and line['duration_s'] >= 0.295


def test_upstream_that_hangs_has_a_second_address(lab, app):
    """An address that drops packets does not use up the time of the next address."""
    inbound = lab.inbound(app().port)
    with full_backlog() as port:
        outbound = lab.outbound(f'127.0.0.1:{port}, 127.0.0.1:{inbound.port}',
                                {'limits': {'connect_timeout': '600ms'}})
        with connect(outbound.port) as sock:
            sock.sendall(b'hello')
            assert sock.recv(5) == b'hello'


@pytest.mark.skipif(os.getuid() != 0, reason='needs root, for a network namespace')
def test_upstream_in_a_black_hole(lab):
    """Tests a network that drops packets, in a namespace of its own, and one without a route."""
    outbound = lab.outbound('192.0.2.2:443', {
        'upstream peer': {'listen': f'unix:{lab.folder}/hole.sock'},
        'upstream nowhere': {'listen': f'unix:{lab.folder}/nowhere.sock', 'to': '198.51.100.1:443'},
        'limits': {'connect_timeout': '300ms'}}, start=False)
    script = ('ip link set lo up && ip tuntap add hole mode tun && ip address add 192.0.2.1/24 dev hole && '
              'ip link set hole up && exec "$@"')
    outbound.start_agent().start_sidecar(prefix=['unshare', '--net', 'sh', '-c', script, 'sh'])
    outbound.wait_line(msg='generation in use')
    for path, reason in (('hole', 'peer_connect_timeout'), ('nowhere', 'peer_unreachable')):
        # (Admin listens inside the namespace, so the test waits for the socket itself.)
        sock = wait_until(lambda p=path: try_connect(lab.folder / f'{p}.sock'), 'the path is there')
        with sock:
            assert end_of(sock) == 'eof'  # a Unix socket cannot be reset
        assert outbound.wait_line(reason=reason)['explanation']


def try_connect(path):
    with contextlib.suppress(OSError):
        return connect(path)


def test_upstream_that_never_answers_the_hello(lab, app):
    server = app(lambda sock: end_of(sock))
    outbound = lab.outbound(server.port, {'limits': {'handshake_timeout': '300ms'}})
    assert outcome(outbound.port, b'secret') == 'reset'
    outbound.wait_line(reason='handshake_timeout')


@pytest.mark.parametrize('answer, reason', [
    (b'HTTP/1.1 400 Bad Request\r\n\r\n', 'not_tls'), (b'220 mail.example ESMTP\r\n', 'not_tls'),
    (b'', 'peer_truncated'), (b'\x15\x03\x03\x00\x02\x02\x28', 'peer_alert'), (None, 'peer_reset')],
    ids=['http', 'smtp', 'end', 'alert', 'reset'])
def test_upstream_that_does_not_speak_tls(lab, app, answer, reason):
    """The app's connection is closed, and no byte of the app leaves: there is no fallback to plaintext."""
    received = []

    def serve(sock):
        received.append(sock.recv(1 << 16))
        if answer is None:
            reset(sock)
        else:
            sock.sendall(answer)
    outbound = lab.outbound(app(serve).port)
    assert outcome(outbound.port, b'secret') == 'reset'
    assert outbound.wait_line(reason=reason)['explanation']
    assert received[0][0] == 0x16 and b'secret' not in received[0]


def test_client_app_that_leaves_before_the_peer_is_reached(lab):
    """The sidecar does not keep the app's connection for ever."""
    with full_backlog() as port:
        outbound = lab.outbound(port, {'limits': {'connect_timeout': '300ms'}})
        before = outbound.sidecar.fds()  # the admin endpoint may still have it open
        for end in (reset, lambda sock: sock.close()):
            sock = connect(outbound.port)
            sock.sendall(b'hello')
            end(sock)
        wait_until(lambda: opened(outbound, 'outbound') == 2, 'both are accepted')
        settled(outbound.sidecar, before)


# --- leaks -------------------------------------------------------------------------------------------------

def bad_connections(port, lab):
    """Returns ways to be a bad client, each as a function without arguments."""
    hello = peers.client_hello()
    anonymous, stranger = peers.context(False), peers.context(False, lab.other_root.issue(labs.CLIENT))
    good = peers.context(False, lab.client)

    def send(data, end):
        with contextlib.suppress(OSError), connect(port) as sock:
            sock.sendall(data)
            if end is reset:
                reset(sock)
            elif end:
                end(sock)

    def handshake(context, end=None):
        with contextlib.suppress(OSError), connect(port) as sock, context.wrap_socket(sock) as tls:
            tls.sendall(b'hello')
            if end is reset:
                reset(tls)
            else:
                end_of(tls)
    return [
        lambda: send(HTTP, end_of), lambda: send(os.urandom(200), end_of), lambda: send(b'', None),
        lambda: send(b'', reset), lambda: send(hello[:100], None), lambda: send(hello[:100], reset),
        lambda: send(hello, None), lambda: send(hello, reset), lambda: send(hello + HTTP, end_of),
        lambda: send(hello[:50] + bytes(50), None), lambda: send(bytes(30000), reset),
        lambda: send(hello, lambda sock: sock.recv(10)),
        lambda: handshake(anonymous), lambda: handshake(stranger), lambda: handshake(good, reset)]


def hammer(kinds, number, threads=16):
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(kinds[i % len(kinds)]) for i in range(number)]:
            future.result()


def settled(program, fds):
    wait_until(lambda: program.fds() <= fds, lambda: f'{program.fds()} descriptors instead of {fds}', 20)


@pytest.mark.heavy
@pytest.mark.parametrize('workers', [1, 2])
def test_10000_bad_clients_leave_descriptors_and_memory_as_before(lab, app, workers):
    """Mixes all kinds of bad clients. The app behind the sidecar resets. The baseline for memory is taken after the
    first 2000."""
    inbound = lab.inbound(app(lambda sock: None).port, {
        'limits': {'handshake_timeout': '1s'}, 'sidecar': {'workers': workers}, 'log': {'access': 'off'}})
    inbound.lab = lab
    before = inbound.sidecar.fds()
    kinds = bad_connections(inbound.port, lab)
    hammer(kinds, 2000)
    settled(inbound.sidecar, before)
    memory = inbound.sidecar.heap()
    hammer(kinds, 10000 // labs.SLOW)
    settled(inbound.sidecar, before)
    if not (labs.ASAN or labs.TSAN):
        assert inbound.sidecar.heap() < memory + (1 << 20), 'more than 1 MB more'


@pytest.mark.heavy
def test_10000_bad_upstream_connections_leave_descriptors_and_memory_as_before(lab, app):
    """Servers reset, lie or have the wrong identity, and apps leave early. Descriptors and memory return to the
    baseline."""
    impostor = peers.context(True, lab.root.issue(f'spiffe://{labs.TD}/ns/test/sa/impostor'), lab.root)
    count = threading.Lock(), [0]

    def serve(sock):
        with count[0]:
            count[1][0] += 1
            kind = count[1][0] % 5
        if kind == 0:
            reset(sock)
        elif kind == 1:
            sock.sendall(HTTP)
        elif kind == 2:
            sock.recv(1 << 16)
        elif kind == 3:
            sock.sendall(b'\x16\x03\x03\x00\x04\x02\x00\x00\x00')
        else:
            with contextlib.suppress(ssl.SSLError), impostor.wrap_socket(sock, server_side=True):
                pass
    outbound = lab.outbound(app(serve).port, {
        'limits': {'handshake_timeout': '1s'}, 'log': {'access': 'off'},
        'upstream down': {'listen': f'unix:{lab.folder}/down.sock', 'to': f'127.0.0.1:{lab.ports.free()}'}})
    before = outbound.sidecar.fds()

    def early():
        with contextlib.suppress(OSError):
            sock = connect(outbound.port)
            sock.sendall(b'x' * 1000)
            reset(sock)
    kinds = [lambda: outcome(outbound.port, b'secret'), lambda: outcome(outbound.port), early,
             lambda: try_connect(lab.folder / 'down.sock')]
    hammer(kinds, 2000)
    settled(outbound.sidecar, before)
    memory = outbound.sidecar.heap()
    hammer(kinds, 10000 // labs.SLOW)
    settled(outbound.sidecar, before)
    if not (labs.ASAN or labs.TSAN):
        assert outbound.sidecar.heap() < memory + (1 << 20), 'more than 1 MB more'


