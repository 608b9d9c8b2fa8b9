# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests strict, permissive and plaintext ports: which clients are admitted, which are refused, and what the app
receives."""
import contextlib
import hashlib
import json
import os
import random
import re
import socket
import ssl
import subprocess
import threading

import pytest

import lab as labs
import peers
from inbound_ports import ALPN, ask, detect_timeouts, greeter, NEVER, plaintext, SOON, tls_ask
from lab import connect, end_of, read_all, wait_until

# --- which clients are admitted -----------------------------------------------------------------------------

def test_strict(lab, app):
    """A strict port admits mutual TLS, with or without our ALPN. Other clients are refused, and the app never sees
    them."""
    server = app()
    inbound = lab.inbound(server.port, plaintext('strict'))
    assert tls_ask(inbound.port, lab.client, [ALPN]) == b'ping'
    assert tls_ask(inbound.port, lab.client) == b'ping'
    assert tls_ask(inbound.port, lab.client, ['h2']) == b'ping'
    for line in inbound.sidecar.lines(reason='done'):
        assert line['security'] == 'mtls' and 'detected' not in line
    accepted = server.accepted
    assert tls_ask(inbound.port) == 116, 'no certificate: certificate_required'
    assert tls_ask(inbound.port, alpn=[ALPN]) == 116
    assert ask(inbound.port, b'GET / HTTP/1.0\r\n\r\n') != b'GET / HTTP/1.0\r\n\r\n'
    inbound.wait_line(reason='not_tls')
    assert server.accepted == accepted


def test_permissive(lab, app):
    """Our own clients use mutual TLS. Anything else, other TLS included, reaches the app unchanged."""
    seen = []

    def record(sock):
        seen.append(sock.recv(1 << 16))
        sock.sendall(b'seen')
    server = app(record)
    inbound = lab.inbound(server.port, plaintext('permissive'))
    assert tls_ask(inbound.port, lab.client, ['h2', ALPN]) == b'seen'
    assert seen.pop() == b'ping'
    line = inbound.wait_line(security='mtls')
    assert (line['detected'], line['peer'], line['rule']) == ('fairlead', labs.CLIENT, 'mesh')

    assert ask(inbound.port, b'GET /') == b'seen'
    assert seen.pop() == b'GET /'
    line = inbound.wait_line(reason='done', detected='plaintext')
    assert (line['security'], line['rule'], line['decision']) == ('plaintext', 'plain', 'allow')
    assert 'peer' not in line and line['source'].startswith('127.0.0.1:')
    assert (line['bytes_to_app'], line['bytes_to_mesh']) == (5, 4)

    for alpn in [], ['h2'], ['fairlead/3']:
        tls_ask(inbound.port, lab.client, alpn)
        hello = seen.pop()
        assert hello[:3] == b'\x16\x03\x01' and len(hello) == 5 + int.from_bytes(hello[3:5], 'big')
    assert len(wait_until(lambda: inbound.sidecar.lines(detected='tls', security='plaintext'), 'it is logged')) > 0
    assert inbound.get('/metrics')[1].count('fairlead_detect_timeouts_total{port="other"} 0') == 1


def test_permissive__our_tls_without_certificate_is_refused(lab, app):
    """A client that offers our ALPN gets our handshake with all its requirements. It cannot fall back to plaintext."""
    server = app()
    inbound = lab.inbound(server.port, plaintext('permissive'))
    assert tls_ask(inbound.port, alpn=[ALPN]) == 116
    other = labs.Lab.other_root
    assert tls_ask(inbound.port, other.issue('spiffe://other.example/x'), [ALPN], None) in (42, 46, 48)
    assert server.accepted == 0
    assert inbound.wait_line(reason='certificate_refused')['detected'] == 'fairlead'


def test_plaintext(lab, app):
    """The sidecar never speaks TLS on such a port: a ClientHello goes to the app, with or without ALPN."""
    server = app()
    inbound = lab.inbound(server.port, plaintext('plaintext'))
    assert ask(inbound.port) == b'ping'
    line = inbound.wait_line(reason='done')
    assert line['security'] == 'plaintext' and 'detected' not in line
    hello = peers.client_hello()
    assert ask(inbound.port, hello) == hello
    tls_ask(inbound.port, lab.client, [ALPN])
    assert not inbound.sidecar.lines(security='mtls')


@pytest.mark.parametrize('mode', ['permissive', 'plaintext'])
def test_policy_refuses(lab, app, mode):
    """Without a rule for it, plaintext is reset before the app is dialled. The log line names the rule that would admit
    it."""
    server = app()
    inbound = lab.inbound(server.port, {'service app': {'mode': mode}}, allow=f'spiffe://{labs.TD}/**')
    assert ask(inbound.port) == 'reset'
    line = inbound.wait_line(reason='policy_denied')
    assert line['security'] == 'plaintext' and line['decision'] == 'deny' and line['rule'] == 'default'
    assert 'from = plaintext' in line['remedy'] and '127.0.0.1' in line['remedy'] and 'app' in line['remedy']
    assert len(inbound.sidecar.lines(reason='policy_denied')) == 1
    if mode == 'permissive':
        assert ask(inbound.port, peers.client_hello()) == 'reset'
        assert inbound.wait_line(reason='policy_denied', detected='tls')
        assert tls_ask(inbound.port, lab.client, [ALPN]) == b'ping', 'the mesh is not concerned'
    assert server.accepted == (1 if mode == 'permissive' else 0)


def test_the_remedy_is_one(lab, app):
    """Pasting the proposed rule into the INI admits the client."""
    inbound = lab.inbound(app().port, {'service app': {'mode': 'plaintext'}})
    assert ask(inbound.port) == 'reset'
    remedy = inbound.wait_line(reason='policy_denied')['remedy']
    name, rule = re.fullmatch(r'to let it in: \[(allow [\w-]+)\] (.*)', remedy).groups()
    inbound.change({name: dict(part.split(' = ') for part in rule.split('  '))})
    wait_until(lambda: ask(inbound.port) == b'ping', 'the rule is in force')


def test_policy_by_source_and_port(lab, app):
    """`sources` and `to` apply to plaintext too. Plaintext never matches a rule for identities, and an identity never
    matches a rule for plaintext."""
    server = app()
    inbound = lab.inbound(server.port, plaintext('plaintext', rule={'sources': '10.0.0.0/8'}))
    assert ask(inbound.port) == 'reset'
    inbound.change({'allow plain': {'sources': '127.0.0.0/8', 'to': '1'}})
    assert ask(inbound.port) == 'reset'
    inbound.change({'allow plain': {'sources': '127.0.0.0/8', 'to': 'app'}})
    wait_until(lambda: ask(inbound.port) == b'ping', 'the rule is in force')
    inbound.change({'deny plain-too': {'from': 'plaintext'}})
    # (The rule may come into force during a connection, which is then judged again.)
    wait_until(lambda: ask(inbound.port) == 'reset', 'the rule is in force')
    assert ask(inbound.port) == 'reset'
    inbound.wait_line(rule='plain-too', reason='policy_denied')


def test_mode_changes_with_a_generation(lab, app):
    """No restart is needed: the next connection is served as the new INI says."""
    inbound = lab.inbound(app().port, plaintext('strict'))
    assert ask(inbound.port) != b'ping'
    inbound.change({'service app': {'mode': 'permissive'}})
    wait_until(lambda: ask(inbound.port) == b'ping', 'permissive is in force')
    inbound.change({'service app': {'mode': None}, 'inbound': {'mode': 'strict'}})
    inbound.sections['service app'].pop('mode')
    inbound.change({})
    wait_until(lambda: ask(inbound.port) != b'ping', 'strict is in force')
    assert tls_ask(inbound.port, lab.client) == b'ping'


def test_ipv6(lab, app):
    inbound = lab.inbound(app().port, plaintext('permissive', rule={'sources': '::1'}), host='[::1]')
    assert ask(('::1', inbound.port)) == b'ping'
    assert inbound.wait_line(reason='done')['source'].startswith('[::1]:')


# --- the first bytes ------------------------------------------------------------------------------------------

def in_pieces(to, size):
    """Returns handler(sock) of a relay to that port. It forwards at most `size` bytes at a time."""
    def copy(source, sink):
        try:
            while data := source.recv(1 << 16):
                for i in range(0, len(data), size):
                    sink.sendall(data[i:i + size])
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def relay(sock):
        with connect(to) as out:
            out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=copy, args=(out, sock))
            back.start()
            copy(sock, out)
            back.join()
    return relay


@pytest.mark.parametrize('size', [1, 100])
def test_hello_in_pieces(lab, app, size):
    """A hybrid ClientHello in 1500 segments is still recognized as ours. No byte of it is lost or read twice."""
    inbound = lab.inbound(app().port, plaintext('permissive'))
    outbound = lab.outbound(app(in_pieces(inbound.port, size)).port, {'tls': {'reuse': 'off'}})
    for _ in range(3):
        assert ask(outbound.port, b'x' * 5000) == b'x' * 5000
    lines = wait_until(lambda: len(found := inbound.sidecar.lines(reason='done')) == 3 and found, 'they are logged')
    assert {line['detected'] for line in lines} == {'fairlead'}
    assert lines[0]['group'] == 'X25519MLKEM768'
    assert any(line['resumed'] for line in lines)


def test_hello_in_many_records(lab, app):
    """A message may span records (RFC 8446 section 5.1). Such hellos of other clients reach the app unchanged."""
    inbound = lab.inbound(app().port, plaintext('permissive'))
    hello = peers.records(peers.client_hello(6000), 100)
    assert ask(inbound.port, hello) == hello
    assert inbound.wait_line(reason='done')['detected'] == 'tls'


@pytest.mark.parametrize('data', [b'\x16', b'\x16\x03\x01\x02\x00\x01\x00', peers.client_hello()[:-1], b''],
                         ids=['one byte', 'header', 'all but one byte', 'nothing'])
def test_half_a_hello_and_then_fin(lab, app, data):
    """Nothing follows, so this is not a hello: the app gets it, and then the end of the stream."""
    inbound = lab.inbound(app().port, plaintext('permissive'))
    assert ask(inbound.port, data) == data
    assert inbound.wait_line(reason='done')['detected'] == 'plaintext'


def test_long_hello_is_not_ours(lab, app):
    """The detection is bounded: 16 KiB without an end are not our hello."""
    inbound = lab.inbound(app().port, plaintext('permissive'))
    data = peers.records(peers.client_hello(40000), 16000)
    assert ask(inbound.port, data) == data
    assert inbound.wait_line(reason='done')['detected'] == 'tls'


@pytest.mark.parametrize('mode', ['permissive', 'plaintext'])
def test_plaintext_stream_is_exact(lab, app, mode):
    """Many bytes flow both ways at once, from the first one on, and each side ends independently."""
    inbound = lab.inbound(app().port, plaintext(mode))
    data = os.urandom(4 << 20)
    with connect(inbound.port) as sock:
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        assert hashlib.sha256(read_all(sock)).digest() == hashlib.sha256(data).digest()
        sender.join()
    line = inbound.wait_line(reason='done')
    assert (line['bytes_to_app'], line['bytes_to_mesh']) == (len(data), len(data))


def test_first_bytes_that_the_app_does_not_take(lab, app):
    """The bytes wait, and the data behind them waits too: nothing is lost or reordered."""
    go, received = threading.Event(), []

    def slow(sock):
        go.wait(30 * labs.SLOW)
        received.append(hashlib.sha256(read_all(sock)).digest())
        sock.sendall(b'done')
    inbound = lab.inbound(app(slow, receive_buffer=2048).port,
                          plaintext('permissive', service={'proxy_protocol': 'off'}, limits={'buffer': '1MiB'}))
    data = os.urandom(8 << 20)
    with connect(inbound.port) as sock:
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        wait_until(lambda: re.search(r'to="app"} [1-9]', inbound.get('/metrics')[1]), 'the app has some of it')
        go.set()
        assert read_all(sock) == b'done'
        sender.join()
    assert received == [hashlib.sha256(data).digest()]


def test_garbage(lab, app):
    """Sends hellos with a wrong byte, ours and others, whole and truncated: each costs at most its own connection."""
    server = app()
    inbound = lab.inbound(server.port, plaintext('permissive', limits={'handshake_timeout': f'{300 * labs.SLOW}ms'}))
    ours, chance = our_hello(), random.Random(1)
    assert end_of_bytes(inbound.port, ours) != ours
    for _ in range(150):
        data = bytearray(ours)
        for _ in range(chance.choice((1, 1, 1, 5))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        end_of_bytes(inbound.port, data[:chance.choice((len(data), chance.randrange(len(data))))])
    assert tls_ask(inbound.port, lab.client, [ALPN]) == b'ping'
    wait_until(lambda: inbound.metric('fairlead_connections_open', direction='inbound') == 0, 'all are over')


def our_hello():
    """Returns the first flight of a client that offers our ALPN."""
    outgoing, context = ssl.MemoryBIO(), peers.context(False)
    context.set_alpn_protocols([ALPN])
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def end_of_bytes(to, data):
    """Returns what comes back of these bytes and a FIN."""
    answer = b''
    with contextlib.suppress(OSError), connect(to) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while chunk := sock.recv(1 << 16):
            answer += chunk
    return answer


@pytest.mark.parametrize('mode', ['permissive', 'plaintext'])
def test_reset_is_carried_through(lab, app, mode):
    """A reset on either side becomes a reset on the other side."""
    ends = []

    def handler(sock):
        if sock.recv(4) == b'kill':
            labs.reset(sock)
        else:
            ends.append(end_of(sock))
    inbound = lab.inbound(app(handler).port, plaintext(mode))
    with connect(inbound.port) as sock:
        sock.sendall(b'kill')
        assert end_of(sock) == 'reset'
    inbound.wait_line(reason='app_reset')
    sock = connect(inbound.port)
    sock.sendall(b'live')
    wait_until(lambda: inbound.get('/metrics')[1].count('to="app"} 8'), 'the app has it')
    labs.reset(sock)
    wait_until(lambda: ends == ['reset'], lambda: ends)
    inbound.wait_line(reason='peer_reset')


# --- servers that speak first -----------------------------------------------------------------------------------

@pytest.mark.tsan
def test_server_speaks_first(lab, app):
    """A silent client is admitted after detect_timeout, and counted by port. In mode `plaintext`, no client waits."""
    server = app(greeter)
    inbound = lab.inbound(server.port, plaintext('permissive', service={'detect_timeout': SOON}, sidecar={'workers': 3}))
    for count in 1, 2:
        with connect(inbound.port) as sock:
            assert sock.recv(100) == b'220 ready\r\n'
            sock.sendall(b'QUIT')
            assert sock.recv(100) == b'QUIT'
        assert detect_timeouts(inbound) == {str(inbound.port): count, 'other': 0}
    assert inbound.wait_line(reason='done')['detected'] == 'silence'
    greeting = b'220 ready\r\n'
    assert tls_ask(inbound.port, lab.client, [ALPN], size=len(greeting)) == greeting, 'the mesh speaks at once'
    assert detect_timeouts(inbound)[str(inbound.port)] == 2
    quick = lab.inbound(server.port, plaintext('plaintext', service={'detect_timeout': NEVER}))
    with connect(quick.port) as sock:
        assert sock.recv(100) == b'220 ready\r\n'
    assert detect_timeouts(quick) == {'other': 0}


def test_silent_and_refused(lab, app):
    """A silent client is judged as plaintext. A refused one is not counted as admitted."""
    server = app(greeter)
    inbound = lab.inbound(server.port, {'service app': {'mode': 'permissive', 'detect_timeout': SOON}})
    with connect(inbound.port) as sock:
        assert end_of(sock) == 'reset'
    assert inbound.wait_line(reason='policy_denied')['detected'] == 'silence'
    assert detect_timeouts(inbound) == {'other': 0} and server.accepted == 0


def test_stalled_hello(lab, app):
    """One byte of a hello and then silence is not plaintext, and the connection ends."""
    server = app()
    inbound = lab.inbound(server.port, plaintext('permissive', service={'detect_timeout': '10ms'},
                                                 limits={'handshake_timeout': f'{500 * labs.SLOW}ms'}))
    with connect(inbound.port) as sock:
        sock.sendall(b'\x16')
        assert end_of(sock) == 'reset'
    line = inbound.wait_line(reason='handshake_timeout')
    assert 'detected' not in line and server.accepted == 0
    assert 'result="handshake_timeout"} 1' in inbound.get('/metrics')[1]


def test_slow_hello_leaves_less_for_the_handshake(lab, app):
    """handshake_timeout covers both together, from the first byte of the hello on."""
    timeout = 1.0 * labs.SLOW
    inbound = lab.inbound(app().port, plaintext('permissive', limits={
        'handshake_timeout': f'{round(timeout * 1000)}ms'}))
    hello = our_hello()
    with connect(inbound.port) as sock:
        sock.sendall(hello[:100])
        threading.Event().wait(0.7 * timeout)
        sock.sendall(hello[100:])
        assert sock.recv(1) == b'\x16', 'the server has answered'
        assert end_of(sock) == 'reset'
    line = inbound.wait_line(reason='handshake_timeout')
    assert line['detected'] == 'fairlead' and timeout - 0.005 <= line['duration_s'] < 1.5 * timeout


def test_strict_does_not_wait_for_anybody(lab, app):
    """Strict mode has no detect_timeout: a silent client has handshake_timeout, and receives nothing from the app."""
    server = app(greeter)
    inbound = lab.inbound(server.port, plaintext('strict', service={'detect_timeout': '10ms'},
                                                 limits={'handshake_timeout': f'{500 * labs.SLOW}ms'}))
    with connect(inbound.port) as sock:
        assert end_of(sock) in ('eof', 'reset')
    inbound.wait_line(reason='handshake_timeout')
    assert server.accepted == 0 and detect_timeouts(inbound) == {'other': 0}


# --- limits, drain, dead apps ---------------------------------------------------------------------------------------

def test_silence_takes_no_place(lab, app):
    """Silent clients and half a ClientHello hold no place of [limits] handshakes."""
    inbound = lab.inbound(app().port, plaintext('permissive', limits={'handshakes': 1}))
    silent = [connect(inbound.port) for _ in range(4)]
    silent[0].sendall(our_hello()[:100])
    wait_until(lambda: inbound.metric('fairlead_connections_open', direction='inbound', security='none') == 4, 'four wait')
    assert ask(inbound.port) != 'reset'
    assert tls_ask(inbound.port, lab.client, [ALPN]) != 'closed'
    for sock in silent:
        labs.reset(sock)
    wait_until(lambda: len(inbound.sidecar.lines(reason='peer_reset')) == 4, 'their ends are logged')


def test_connection_limit(lab, app):
    """[limits] connections counts plaintext, but not clients whose protocol is still unknown."""
    inbound = lab.inbound(app().port, plaintext('permissive', limits={'connections': 2}))
    silent, plain = connect(inbound.port), connect(inbound.port)
    plain.sendall(b'ping')
    assert plain.recv(4) == b'ping'
    wait_until(lambda: inbound.metric('fairlead_connections_open', direction='inbound') == 2, 'two are open')
    listing = json.loads(inbound.get('/connections')[1])
    assert (listing['open'], listing['left_out']) == (2, 0)
    seen, unknown = listing['connections']
    assert (unknown['state'], unknown['security']) == ('detecting', None), 'of one it is not known yet what it is'
    assert (seen['security'], seen['peer'], seen['rule'], seen['bytes_to_app']) == ('plaintext', None, 'plain', 4)
    assert seen['source'] == '127.0.0.1:%d' % plain.getsockname()[1]
    with connect(inbound.port) as second:
        second.sendall(b'ping')
        assert second.recv(4) == b'ping'
        assert labs.outcome(inbound.port) == 'reset'
        inbound.wait_line(reason='connection_limit')
    for sock in silent, plain:
        sock.close()


def test_drain(lab, app):
    """At the end, clients that have sent nothing are reset, and open plaintext connections have until the drain is
    over."""
    inbound = lab.inbound(app().port, plaintext('permissive'))
    with connect(inbound.port) as silent, connect(inbound.port) as plain:
        plain.sendall(b'ping')
        assert plain.recv(4) == b'ping'
        inbound.sidecar.terminate()
        assert end_of(silent) == 'reset' and end_of(plain) == 'reset'
    assert inbound.sidecar.wait() == 0
    assert len(inbound.sidecar.lines(reason='drain')) == 2


@pytest.mark.parametrize('mode', ['strict', 'permissive', 'plaintext'])
def test_dead_app(lab, mode):
    """Nothing listens on the app's port: the client is reset, never served."""
    inbound = lab.inbound(lab.ports.free(), plaintext(mode))
    if mode != 'strict':
        assert ask(inbound.port) == 'reset'
    if mode != 'plaintext':
        assert tls_ask(inbound.port, lab.client, [ALPN]) == 'closed'
    assert 'is the app listening' in inbound.wait_line(reason='app_refused')['explanation']


def test_idle_timeout(lab, app):
    """Idle plaintext connections are ended like any other."""
    inbound = lab.inbound(app().port, plaintext('plaintext', limits={'idle_timeout': '1s'}))
    with connect(inbound.port) as sock:
        assert end_of(sock) == 'reset'
    inbound.wait_line(reason='idle_timeout')


# --- other programs ---------------------------------------------------------------------------------------------------

def s_client(port, *options):
    """Returns the answer to a line, or ''. s_client does not exit on its own, so it is terminated after its answer."""
    with subprocess.Popen(['openssl', 's_client', '-quiet', '-connect', f'127.0.0.1:{port}', *options], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        client.stdin.write('olleh\n')
        client.stdin.flush()
        answer = client.stdout.readline()
        client.terminate()
        return answer


def test_openssl(lab, app):
    """With our ALPN, s_client is a mesh peer. Without it, s_client reaches the app's own s_server, and its
    certificates."""
    pem = {name: peers.write_pem(lab.folder, name, svid) for name, svid in (('client', lab.client),
                                                                             ('server', lab.server))}
    own = lab.ports.free()
    server = lab.program('s_server', ['openssl', 's_server', '-quiet', '-rev', '-accept', f'127.0.0.1:{own}', '-cert',
                                      f'{pem["server"]}.crt', '-key', f'{pem["server"]}.key'])
    server.expected = {0, -15}
    wait_until(lambda: labs.listens(own), 's_server listens')
    inbound = lab.inbound(own, plaintext('permissive'))
    certificate = ['-cert', f'{pem["client"]}.crt', '-key', f'{pem["client"]}.key']
    assert s_client(inbound.port, '-tls1_3') == 'hello\n'
    assert s_client(inbound.port, '-tls1_2') == 'hello\n'
    assert s_client(inbound.port, '-alpn', 'h2', '-servername', 'x.example') == 'hello\n'
    wait_until(lambda: len(inbound.sidecar.lines(detected='tls')) == 3, 'they are logged')
    # The data of an mTLS peer is not TLS, so s_server hangs up. Only the identity counts here.
    assert s_client(inbound.port, '-tls1_3', '-alpn', ALPN, *certificate) == ''
    assert inbound.wait_line(security='mtls')['peer'] == labs.CLIENT
    assert s_client(inbound.port, '-tls1_3', '-alpn', ALPN) == ''
    assert inbound.wait_line(reason='certificate_refused')['alert'] == 116
