# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests [limits] handshakes and connect_timeout with unresponsive endpoints: these delay no others, and their
connections end in time."""
import contextlib
import json
import socket
import threading

import pytest

import lab as labs
import peers
from lab import connect, end_of, full_backlog, outcome, wait_until

LONG = f'{60 * labs.SLOW}s'  # never expires during a test


def opened_so_far(workload, direction='outbound'):
    return json.loads(workload.get('/status')[1])['connections'][direction]['opened']


def is_served(to, data=b'ping'):
    with connect(to) as sock:
        sock.sendall(data)
        return sock.recv(len(data)) == data


@contextlib.contextmanager
def dead_upstream(app, kind):
    """Returns (port, how many connections it accepted). The upstream drops packets, or accepts and never speaks TLS."""
    if kind == 'silent':
        server = app(end_of)
        yield server.port, lambda: server.accepted
    else:
        with full_backlog() as port:
            yield port, None


def upstream(lab, port, to):
    return {'listen': f'127.0.0.1:{port}', 'to': to, 'peer': labs.SERVER}


# --- an unresponsive endpoint -------------------------------------------------------------------------------

@pytest.mark.parametrize('kind', ['drops', 'silent'])
def test_dead_upstream_does_not_delay_another(lab, app, kind):
    """The dead upstream holds at most three eighths of the places, every other connection gets a place at once, and the
    limit holds."""
    good, dead = lab.ports.free(), lab.ports.free()
    behind = lab.inbound(app().port)
    with dead_upstream(app, kind) as (port, accepted):
        outbound = lab.workload(lab.client, {
            'upstream dead': upstream(lab, dead, f'127.0.0.1:{port}'),
            'upstream good': upstream(lab, good, f'127.0.0.1:{behind.port}'), 'tls': {'reuse': 'off'},
            'limits': {'handshakes': 4, 'connect_timeout': LONG, 'handshake_timeout': LONG}})
        before = outbound.sidecar.fds()
        stuck = [connect(dead) for _ in range(20)]
        wait_until(lambda: opened_so_far(outbound) == 20, 'all are there')
        assert all(is_served(good) for _ in range(30))
        # The apps' sockets and those to the upstream. The admin endpoint may hold one more, before and now.
        wait_until(lambda: before + 20 + 1 <= outbound.sidecar.fds() <= before + 20 + 3, 'two are dialled')
        if accepted:
            assert accepted() == 2, 'of four places it has two'
        states = [one['state'] for one in connections(outbound)]
        assert states.count('waiting') == 18
        assert states.count('connecting') + states.count('handshake') == 2
        for sock in stuck:
            sock.close()


def states(workload):
    return sorted(one['state'] for one in connections(workload))


def connections(workload):
    return json.loads(workload.get('/connections')[1])['connections']


def test_many_dead_upstreams_leave_a_place(lab, app):
    """Connections wait for each of the dead upstreams, and a good one still gets its turn."""
    behind = lab.inbound(app().port)
    good, dead = lab.ports.free(), [lab.ports.free() for _ in range(10)]
    with full_backlog() as port:
        outbound = lab.workload(lab.client, {
            **{f'upstream dead{i}': upstream(lab, each, f'127.0.0.1:{port}') for i, each in enumerate(dead)},
            'upstream good': upstream(lab, good, f'127.0.0.1:{behind.port}'),
            'limits': {'handshakes': 32, 'connect_timeout': LONG}})
        stuck = [connect(each) for _ in range(6) for each in dead]
        wait_until(lambda: opened_so_far(outbound) == 60, 'all are there')
        assert all(is_served(good) for _ in range(10))
        for sock in stuck:
            sock.close()


def test_dead_app_does_not_delay_another(lab, app):
    """Inbound: peers of a service whose app does not accept hold no places for handshakes."""
    with full_backlog() as port:
        good = lab.ports.free()
        inbound = lab.inbound(port, {
            'service good': {'listen': f'127.0.0.1:{good}', 'app': f'127.0.0.1:{app().port}'},
            'limits': {'handshakes': 2, 'connect_timeout': LONG}})
        context = peers.context(False, lab.client, lab.root)
        stuck = [context.wrap_socket(connect(inbound.port)) for _ in range(10)]
        assert all(peers.verdict(good, lab.client, lab.root) == b'x' for _ in range(10))
        for sock in stuck:
            sock.close()


def test_strangers_at_one_listener_do_not_delay_another(lab, app):
    """Strangers that send only a hello get a share of the places, and the other strangers wait."""
    good = lab.ports.free()
    inbound = lab.inbound(app().port, {
        'service good': {'listen': f'127.0.0.1:{good}', 'app': f'127.0.0.1:{app().port}'},
        'limits': {'handshakes': 4, 'handshake_timeout': LONG}})
    stalled = [connect(inbound.port) for _ in range(3)]
    for sock in stalled:
        sock.sendall(peers.client_hello())
    wait_until(lambda: states(inbound) == ['handshake', 'handshake', 'waiting'], 'two places are taken')
    assert all(peers.verdict(good, lab.client, lab.root) == b'x' for _ in range(10))
    for sock in stalled:
        sock.close()


# --- waiting connections ----------------------------------------------------------------------------------------

def test_waiting_for_a_dead_upstream_ends(lab):
    """A connection waits at most connect_timeout for a place while none of those before it succeeds."""
    other, dead = lab.ports.free(), lab.ports.free()
    with full_backlog() as port:
        outbound = lab.workload(lab.client, {
            'upstream dead': upstream(lab, dead, f'127.0.0.1:{port}'),
            'upstream other': upstream(lab, other, '127.0.0.1:9'),
            'limits': {'handshakes': 4, 'connect_timeout': f'{500 * labs.SLOW}ms'}})
        stuck = [connect(dead) for _ in range(40)]
        assert [end_of(sock) for sock in stuck] == ['reset'] * 40
        lines = wait_until(lambda: (found := outbound.sidecar.lines(reason='peer_connect_timeout')) and
                           len(found) == 40 and found, 'each has its line')
    waited = [line for line in lines if 'has waited for one of [limits] handshakes' in line.get('detail', '')]
    assert len(waited) >= 30, '40 without the two that were dialled, and perhaps those that took their places'
    # The deadline counts from the start of the loop's turn, the duration from when the connection was handled in it.
    assert all(0.4 * labs.SLOW <= line['duration_s'] < 2 * 0.5 * labs.SLOW + 1 for line in lines)


def test_waiting_goes_on_as_long_as_others_get_through(lab, app):
    """A slow upstream is not a dead one: every connection is served, however long it takes altogether."""
    behind = lab.inbound(app().port)

    def slowly(sock):
        threading.Event().wait(0.25 * labs.SLOW)
        with contextlib.suppress(OSError), connect(behind.port) as far:
            back = threading.Thread(target=copy, args=(far, sock))
            back.start()
            copy(sock, far)
            back.join()

    other, slow = lab.ports.free(), lab.ports.free()
    outbound = lab.workload(lab.client, {
        'upstream slow': upstream(lab, slow, f'127.0.0.1:{app(slowly).port}'),
        'upstream other': upstream(lab, other, '127.0.0.1:9'),
        'limits': {'handshakes': 2, 'connect_timeout': f'{700 * labs.SLOW}ms'}})
    socks = [connect(slow) for _ in range(8)]
    for sock in socks:
        sock.sendall(b'ping')
    for sock in socks:
        assert sock.recv(4) == b'ping'
        sock.close()
    assert not outbound.sidecar.lines(reason='peer_connect_timeout')


def copy(source, sink):
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 16):
            sink.sendall(chunk)
        sink.shutdown(1)


def test_upstream_that_fails_at_once_with_many_waiting(lab):
    """The first connections stall while a thousand wait. Then each of these finds in its turn that nothing listens any
    more."""
    listener = socket.create_server(('127.0.0.1', 0), backlog=16)  # accepts them and sends nothing
    other, dead = lab.ports.free(), lab.ports.free()
    outbound = lab.workload(lab.client, {
        'upstream dead': upstream(lab, dead, f'127.0.0.1:{listener.getsockname()[1]}'),
        'upstream other': upstream(lab, other, '127.0.0.1:9'),
        'limits': {'handshakes': 4, 'connect_timeout': LONG, 'handshake_timeout': f'{labs.SLOW}s'},
        'log': {'access': 'off'}})
    stuck = [connect(dead) for _ in range(1000)]
    wait_until(lambda: opened_so_far(outbound) == 1000, 'all are there')
    listener.close()
    assert [end_of(sock) for sock in stuck] == ['reset'] * 1000
    assert 'reason="peer_refused"' in outbound.get('/metrics')[1]


def test_limit_that_is_raised(lab, app):
    """Waiting connections get their places as soon as the limit is raised, not when the next handshake finishes."""
    server = app(end_of)
    other, dead = lab.ports.free(), lab.ports.free()
    outbound = lab.workload(lab.client, {
        'upstream dead': upstream(lab, dead, f'127.0.0.1:{server.port}'),
        'upstream other': upstream(lab, other, '127.0.0.1:9'),
        'limits': {'handshakes': 4, 'connect_timeout': LONG, 'handshake_timeout': LONG}})
    stuck = [connect(dead) for _ in range(10)]
    wait_until(lambda: opened_so_far(outbound) == 10 and server.accepted == 2, 'eight wait')
    outbound.change({'limits': {'handshakes': 64}})
    wait_until(lambda: server.accepted == 10, 'all of them are dialled')
    for sock in stuck:
        sock.close()


@pytest.mark.parametrize('end', ['drain', 'stop', 'generation'])
def test_who_waits_when_everything_changes(lab, end):
    """Connections wait while the sidecar stops, at once or after a drain, or while a generation arrives."""
    other, dead = lab.ports.free(), lab.ports.free()
    with full_backlog() as port:
        outbound = lab.workload(lab.client, {
            'upstream dead': upstream(lab, dead, f'127.0.0.1:{port}'),
            'upstream other': upstream(lab, other, '127.0.0.1:9'),
            'sidecar': {'drain': '100ms', 'workers': 2},
            'limits': {'handshakes': 4, 'connect_timeout': LONG}})
        stuck = [connect(dead) for _ in range(20)]
        wait_until(lambda: opened_so_far(outbound) == 20, 'all are there')
        if end == 'generation':
            outbound.change({'limits': {'handshakes': 16}})
            outbound.wait_line(msg='generation in use', generation=2)
        outbound.sidecar.terminate()
        if end == 'stop':
            outbound.sidecar.terminate()
        assert [end_of(sock) for sock in stuck] == ['reset'] * 20
        assert outbound.sidecar.wait() == 0
        assert len(outbound.sidecar.lines(reason='drain')) == 20


# --- the time limit for an upstream --------------------------------------------------------------------------------

MODES = {'mtls': {}, 'plaintext': {'upstream peer': {'mode': 'plaintext', 'peer': ''}}}


@pytest.mark.parametrize('mode', MODES)
def test_connect_timeout_is_for_all_addresses_together(lab, mode):
    """None of twelve addresses answers: the app learns it within connect_timeout."""
    timeout = 0.8 * labs.SLOW
    with contextlib.ExitStack() as stack:
        dead = [stack.enter_context(full_backlog()) for _ in range(12)]
        outbound = lab.outbound(', '.join(f'127.0.0.1:{port}' for port in dead), {
            'limits': {'connect_timeout': f'{round(timeout * 1000)}ms'}, **MODES[mode]})
        assert outcome(outbound.port) == 'reset'
        line = outbound.wait_line(reason='peer_connect_timeout')
        assert timeout - 0.005 <= line['duration_s'] < 3 * timeout


@pytest.mark.parametrize('mode', MODES)
def test_dead_addresses_before_a_good_one(lab, app, mode):
    """Each address gets a share of connect_timeout, and the last one is reached within it."""
    server = app()
    good = lab.inbound(server.port).port if mode == 'mtls' else server.port
    with contextlib.ExitStack() as stack:
        dead = [stack.enter_context(full_backlog()) for _ in range(5)]
        outbound = lab.outbound(', '.join(f'127.0.0.1:{port}' for port in [*dead, lab.ports.free(), good]), {
            'limits': {'connect_timeout': f'{6 * labs.SLOW}s'}, **MODES[mode]})
        assert is_served(outbound.port)
