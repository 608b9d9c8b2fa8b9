# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests [limits]: each limit holds, is logged, and does not affect clients within it."""
import concurrent.futures
import json
import socket
import threading

import pytest

import lab as labs
import peers
from lab import connect, end_of, outcome, wait_until


def opened(to):
    """Opens a stream that has carried bytes both ways."""
    sock = connect(to)
    sock.sendall(b'ping')
    assert sock.recv(4) == b'ping'
    return sock


def is_alive(sock):
    sock.sendall(b'ping')
    return sock.recv(4) == b'ping'


# --- connections ------------------------------------------------------------------------------------

@pytest.mark.parametrize('side', ['outbound', 'inbound'])
def test_connections(lab, app, side):
    """Connections above the limit are reset with a log line, and the others continue. A freed place is used again. One
    eighth of the places is reserved for the other direction, and one eighth of the peers' places for peers without a
    connection."""
    pair = lab.pair(app().port, **{side: {'limits': {'connections': 16}}})
    streams = [opened(pair.port) for _ in range(14 if side == 'outbound' else 12)]
    for _ in range(20):
        assert outcome(pair.port) == 'reset'
    limited = getattr(pair, side)
    assert '[limits] connections' in limited.wait_line(reason='connection_limit')['explanation']
    assert len(limited.sidecar.lines(reason='connection_limit')) <= (20 if side == 'inbound' else 10)
    assert all(is_alive(sock) for sock in streams)
    streams.pop().close()
    with wait_until(lambda: opened_or_none(pair.port), 'the place is free') as sock:
        assert is_alive(sock)
    for sock in streams:
        sock.close()


def opened_or_none(to):
    try:
        return opened(to)
    except OSError:
        return None


def test_descriptors_run_out(lab, app):
    """The system allows fewer descriptors than [limits] connections needs. Open connections continue, and the sidecar
    recovers."""
    inbound = lab.inbound(app().port, {'log': {'level': 'debug'}}, start=False)
    inbound.start_agent().start_sidecar(prefix=['prlimit', '--nofile=60:60']).wait_ready()
    assert any('descriptors' in line['msg'] for line in inbound.sidecar.lines())
    outbound = lab.outbound(inbound.port)
    first = opened(outbound.port)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        streams = list(pool.map(lambda _: opened_or_none(outbound.port), range(100)))
    assert is_alive(first) and None in streams
    for sock in filter(None, streams):
        sock.close()
    with wait_until(lambda: opened_or_none(outbound.port), 'it recovers') as sock:
        assert is_alive(sock) and is_alive(first)
    first.close()


@pytest.mark.heavy
def test_flood_without_descriptors(lab, app):
    """Four workers race for the last descriptors, and none of them gets stuck."""
    inbound = lab.inbound(app().port, {'sidecar': {'workers': 4}, 'limits': {'handshake_timeout': f'{3 * labs.SLOW}s'}},
                          start=False)
    inbound.start_agent().start_sidecar(prefix=['prlimit', '--nofile=80:80']).wait_ready()
    silent = [knock(inbound.port) for _ in range(100)]
    wait_until(lambda: inbound.metric('fairlead_connections_closed_total', reason='crowded_out') > 0, 'too many')
    assert inbound.sidecar.fds() < 70, 'strangers do not get the last descriptors'

    def flood(_):
        for _ in range(40):
            for sock in [knock(inbound.port) for _ in range(50)]:
                sock.close()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(flood, range(3)))
    for sock in silent:
        sock.close()
    wait_until(lambda: inbound.sidecar.fds() < 60, 'they are free again')
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


def knock(port):
    """Connects without waiting for the result."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(('127.0.0.1', port))
    return sock


# --- handshakes -------------------------------------------------------------------------------------

@pytest.mark.tsan
@pytest.mark.parametrize('workers', [1, 4])
def test_handshakes_above_the_limit_wait_and_are_served(lab, app, workers):
    """Two handshakes run at a time, on both sides. All of 100 simultaneous connections are served in the end."""
    pair = lab.pair(app().port, common={'limits': {'handshakes': 2}, 'sidecar': {'workers': workers}})
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        streams = list(pool.map(lambda _: opened(pair.port), range(100)))
    assert all(is_alive(sock) for sock in streams)
    for sock in streams:
        sock.close()


def test_stalled_handshakes_give_way_at_their_deadline(lab, app):
    """Four handshakes stall, with room for two. The good one behind them is served after at most two deadlines."""
    inbound = lab.inbound(app().port, {'limits': {'handshakes': 2, 'handshake_timeout': '200ms'}})
    stalled = [connect(inbound.port) for _ in range(4)]
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    for sock in stalled:
        assert end_of(sock) == 'reset'
        sock.close()
    labs.wait_until(lambda: len(inbound.sidecar.lines(reason='handshake_timeout')) == 4, 'a line for each')


def test_handshake_that_is_done_frees_its_place(lab, app):
    """Open connections do not count as handshakes."""
    pair = lab.pair(app().port, common={'limits': {'handshakes': 1}})
    streams = [opened(pair.port) for _ in range(20)]
    assert all(is_alive(sock) for sock in streams)
    for sock in streams:
        sock.close()


@pytest.mark.parametrize('stalled', ['inbound', 'outbound'])
def test_one_direction_does_not_wait_for_the_other(lab, app, stalled):
    """Stalled strangers at the mesh's port, or an upstream that does not answer, take no place of the other
    direction."""
    behind = lab.inbound(app().port)
    silent = app(end_of)
    dead, good = lab.ports.free(), lab.ports.free()
    both = lab.inbound(app().port, {
        'upstream dead': {'listen': f'127.0.0.1:{dead}', 'to': f'127.0.0.1:{silent.port}', 'peer': labs.SERVER},
        'upstream good': {'listen': f'127.0.0.1:{good}', 'to': f'127.0.0.1:{behind.port}', 'peer': labs.SERVER},
        'limits': {'handshakes': 2, 'handshake_timeout': f'{60 * labs.SLOW}s'}}, svid=lab.client)
    socks = [connect(both.port if stalled == 'inbound' else dead) for _ in range(4)]
    wait_until(lambda: json.loads(both.get('/status')[1])['connections'][stalled]['open'] >= 2, 'no place is left')
    if stalled == 'inbound':
        socks.append(opened(good))
    else:
        assert peers.verdict(both.port, lab.client, lab.root) == b'x'
    for sock in socks:
        sock.close()


# --- time -------------------------------------------------------------------------------------------

@pytest.mark.parametrize('side', ['outbound', 'inbound'])
def test_idle_timeout(lab, app, side):
    """No bytes flow either way: both apps see a reset."""
    ends = []
    pair = lab.pair(app(lambda sock: (sock.sendall(sock.recv(4)), ends.append(end_of(sock)))).port,
                    **{side: {'limits': {'idle_timeout': '400ms'}}})
    with opened(pair.port) as sock:
        assert end_of(sock) == 'reset'
    assert wait_until(lambda: ends, 'the app sees the end') == ['reset']
    line = getattr(pair, side).wait_line(reason='idle_timeout')
    assert 0.395 <= line['duration_s'] < 10
    assert 'idle_timeout' in line['explanation']


def test_stream_in_one_direction_is_not_idle(lab, app):
    """Bytes flow one way only, each well within idle_timeout, for three times as long."""
    def drip(sock):
        tick = threading.Event()
        for _ in range(30):
            sock.sendall(b'.')
            tick.wait(0.05)
    pair = lab.pair(app(drip).port, common={'limits': {'idle_timeout': f'{500 * labs.SLOW}ms'}})
    with pair.connect() as sock:
        sock.shutdown(1)
        assert labs.read_all(sock) == b'.' * 30


def test_deadlines_of_open_connections_are_over(lab, app):
    """connect_timeout and handshake_timeout do not apply to an open relay."""
    short = f'{150 * labs.SLOW}ms'
    pair = lab.pair(app().port, common={'limits': {'connect_timeout': short, 'handshake_timeout': short}})
    with opened(pair.port) as sock:
        threading.Event().wait(0.4 * labs.SLOW)  # by now, an early end would have happened
        assert is_alive(sock)


# --- CPU time -----------------------------------------------------------------------------------------

def test_waiting_costs_no_processor_time(lab, app):
    """Covers idle streams, half-closed streams, stopped writers, and handshakes that stall or wait for a place."""
    def serve(sock):
        if sock.recv(1) == b'f':
            sock.shutdown(1)
        over.wait(30 * labs.SLOW)
    over = threading.Event()
    pair = lab.pair(app(serve).port, common={'limits': {'handshakes': 5, 'handshake_timeout': '1h'}})
    streams = [pair.connect() for _ in range(12)]
    for index, sock in enumerate(streams):
        sock.sendall(b'f' if index % 3 == 0 else b'x')
        if index % 3 == 1:
            sock.shutdown(1)
        if index % 3 == 0:
            assert sock.recv(1) == b''
    writer = pair.connect()
    writer.settimeout(0.2 * labs.SLOW)
    with pytest.raises(TimeoutError):
        while True:
            writer.sendall(bytes(1 << 20))
    streams += [writer] + [connect(pair.inbound.port) for _ in range(10)]
    wait_until(lambda: pair.inbound.sidecar.fds() > 30, 'all are there')
    before = [sum(w.sidecar.thread_ticks().values()) for w in pair.workloads]
    threading.Event().wait(1)
    after = [sum(w.sidecar.thread_ticks().values()) for w in pair.workloads]
    over.set()
    for sock in streams:
        sock.close()
    assert max(b - a for a, b in zip(before, after)) <= 3 * labs.SLOW, 'hundredths of a second within one'
