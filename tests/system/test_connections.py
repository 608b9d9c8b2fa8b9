# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests GET /connections: it lists every open connection, its peer and its rule, and its size is bounded."""
import contextlib
import json

import lab as labs
from lab import connect, wait_until

BOUND = 1000


def listing(workload):
    status, body = workload.get('/connections')
    assert status == 200
    told = json.loads(body)
    assert told['left_out'] == told['open'] - len(told['connections'])
    return told


def opened(port):
    sock = connect(port)
    sock.sendall(b'x')
    assert sock.recv(1) == b'x'
    return sock


def test_nothing_is_open(lab, app):
    inbound = lab.inbound(app().port, start=False)
    inbound.start_sidecar()
    wait_until(lambda: labs.listens(inbound.admin), 'the admin endpoint is there')
    nothing = {'open': 0, 'left_out': 0, 'idle_sessions': {'inbound': 0, 'outbound': 0}, 'connections': []}
    assert listing(inbound) == nothing, 'before there is a generation'
    inbound.start_agent()
    inbound.wait_ready()
    assert listing(inbound) == nothing


def test_both_sides_of_a_connection(lab, app):
    pair = lab.pair(app().port)
    with opened(pair.port) as sock:
        sock.sendall(b'yz')
        assert sock.recv(2) == b'yz'
        [out] = listing(pair.outbound)['connections']
        [into] = listing(pair.inbound)['connections']
        source = f'127.0.0.1:{sock.getsockname()[1]}'
    assert out == {
        'direction': 'outbound', 'name': 'peer', 'state': 'open', 'source': source,
        'destination': f'127.0.0.1:{pair.inbound.port}', 'port': out['port'], 'security': 'mtls', 'peer': labs.SERVER,
        'own': labs.CLIENT, 'generation': 1, 'session': out['session'], 'use': 1, 'rule': None, 'age_seconds': out['age_seconds'],
        'bytes_to_app': 3, 'bytes_to_mesh': 3}
    assert into == {
        'direction': 'inbound', 'name': 'app', 'state': 'open', 'source': into['source'], 'destination': None,
        'port': pair.inbound.port, 'security': 'mtls', 'peer': labs.CLIENT, 'own': labs.SERVER, 'generation': 1,
        'session': out['session'], 'use': 1, 'rule': 'mesh', 'age_seconds': into['age_seconds'], 'bytes_to_app': 3,
        'bytes_to_mesh': 3}
    assert into['source'].startswith('127.0.0.1:') and into['age_seconds'] < 60 * labs.SLOW
    wait_until(lambda: listing(pair.inbound)['open'] == 0, 'it is gone')


def test_states(lab, app):
    """Shows half-closes in both directions and a connection that is not established yet."""
    def finish(sock):
        sock.recv(1)
        sock.shutdown(labs.socket.SHUT_WR)
        labs.read_all(sock)

    pair = lab.pair(app(finish).port)
    with connect(pair.port) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b''
        wait_until(lambda: [c['state'] for c in listing(pair.inbound)['connections']] == ['app_done'], 'the app is done')
        assert [c['state'] for c in listing(pair.outbound)['connections']] == ['peer_done']
    with labs.socket.create_server(('127.0.0.1', 0)) as stalled:
        outbound = lab.outbound(stalled.getsockname()[1])
        with connect(outbound.port):
            wait_until(lambda: [c['state'] for c in listing(outbound)['connections']] == ['handshake'], 'it waits')
            [waits] = listing(outbound)['connections']
            assert (waits['security'], waits['peer']) == (None, None)


def test_those_that_have_not_come_through_yet(lab, app):
    """Lists silent clients of a strict port and of a port that detects the protocol first."""
    looks = lab.ports.free()
    inbound = lab.inbound(app().port, {
        'service both': {'listen': f'127.0.0.1:{looks}', 'app': '127.0.0.1:1', 'mode': 'permissive',
                         'detect_timeout': '1m'}})
    with connect(inbound.port) as strict, connect(looks) as permissive:
        wait_until(lambda: listing(inbound)['open'] == 2, 'both are there')
        told = {c['name']: c for c in listing(inbound)['connections']}
        for name, state, sock in (('app', 'handshake', strict), ('both', 'detecting', permissive)):
            assert told[name] == {
                'direction': 'inbound', 'name': name, 'state': state, 'destination': None, 'port': sock.getpeername()[1],
                'source': f'127.0.0.1:{sock.getsockname()[1]}', 'security': None, 'peer': None, 'own': labs.SERVER,
                'generation': 1, 'rule': None, 'age_seconds': told[name]['age_seconds'], 'bytes_to_app': 0,
                'bytes_to_mesh': 0}
        page = inbound.get('/')[1]
        assert '<td>handshake</td>' in page and '<td>detecting</td>' in page


def test_all_workers_and_many_callers_at_once(lab, app):
    pair = lab.pair(app().port, common={'sidecar': {'workers': 3, 'control': ''}})
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(opened(pair.port))
        callers = [stack.enter_context(connect(pair.inbound.admin)) for _ in range(40)]
        for sock in callers:
            sock.sendall(b'GET /connections HTTP/1.1\r\nHost: x\r\n\r\n')
        for sock in callers:
            head, _, body = labs.read_all(sock).partition(b'\r\n\r\n')
            assert head.startswith(b'HTTP/1.1 200 OK\r\n')
            assert len(json.loads(body)['connections']) == 30
        sources = {c['source'] for c in listing(pair.inbound)['connections']}
        assert len(sources) == 30


def test_bound(lab, app):
    pair = lab.pair(app().port)
    with contextlib.ExitStack() as stack:
        for _ in range(BOUND + 20):
            stack.enter_context(opened(pair.port))
        told = listing(pair.inbound)
        assert (told['open'], told['left_out'], len(told['connections'])) == (BOUND + 20, 20, BOUND)


def test_callers_that_go_before_the_answer(lab, app):
    inbound = lab.inbound(app().port)
    before = inbound.sidecar.fds()
    for _ in range(300):
        with connect(inbound.admin) as sock:
            sock.sendall(b'GET /connections HTTP/1.1\r\nHost: x\r\n\r\n')
    wait_until(lambda: inbound.sidecar.fds() <= before, 'nothing is left of them')
    assert listing(inbound)['open'] == 0
    for _ in range(20):
        sock = connect(inbound.admin)
        sock.sendall(b'GET /connections HTTP/1.1\r\nHost: x\r\n\r\n')
    assert inbound.sidecar.stop() == 0, 'asked and stopped'
