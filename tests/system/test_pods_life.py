# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests how captured connections live and die: as they would without a sidecar.

The tests lower the time-outs of conntrack, in the pods and on the node: a few seconds of silence then have the effect
of a minute by default. FAIRLEAD_LONG=1 uses the kernel's own time-outs, and 130 seconds."""
import json
import os
import select
import shutil
import socket
import threading
import time

import pytest

import lab as labs
from lab import PACE, wait_until

MODES = {'redirect': {}, 'tproxy': {'sections': {'redirect': {'mode': 'tproxy'}}, 'capabilities': ['net_admin']}}
FAMILIES = 'v4', 'v6'
WAYS = [pytest.param(mode, id=mode) for mode in MODES]
LONG = bool(os.environ.get('FAIRLEAD_LONG'))
ANSWER = b'the answer to %d bytes'


def make(pod, name, mode='redirect', limits=None):
    options = MODES[mode]
    return pod(name, labs.merge(options.get('sections', {}), {'limits': limits or {}}),
               capabilities=options.get('capabilities', ()))


def lower(space, **seconds):
    for state, value in seconds.items():
        space.root(['sysctl', '-q', '-w', f'net.netfilter.nf_conntrack_tcp_timeout_{state}={value}'])


def at_once(*works):
    """Runs each in a thread of its own and returns the results."""
    results = [None] * len(works)

    def run(i):
        try:
            results[i] = works[i]()
        except OSError as error:
            results[i] = repr(error)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- half-closed and silent -----------------------------------------------------------------------------

def stay_half_closed(client, server, seconds):
    """Client or server ends first, then both are silent. Then the other side sends data, which arrives."""
    late = []

    def thinks(sock):
        data = labs.read_all(sock)
        time.sleep(seconds)
        sock.sendall(ANSWER % len(data))

    def ends_first(sock):
        sock.sendall(b'welcome')
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(seconds + 30)
        late.append(labs.read_all(sock))

    server.app(thinks, 8080)
    server.app(ends_first, 8081)

    def ask(address):
        with client.connect((address, 8080), timeout=seconds + 30) as sock:
            sock.sendall(b'question')
            sock.shutdown(socket.SHUT_WR)
            return labs.read_all(sock)

    def listen(address):
        with client.connect((address, 8081), timeout=seconds + 30) as sock:
            assert labs.read_all(sock) == b'welcome'
            time.sleep(seconds)
            sock.sendall(b'late words')
            return 'sent'

    addresses = server.v4, server.v6
    results = at_once(*[lambda a=a: ask(a) for a in addresses], *[lambda a=a: listen(a) for a in addresses])
    assert results == [ANSWER % 8] * 2 + ['sent'] * 2
    wait_until(lambda: late == [b'late words'] * 2, lambda: f'the late words come: {late}')
    for each, direction in ((client, 'outbound'), (server, 'inbound')):
        wait_until(lambda e=each, d=direction: len(e.connections(d)) == 4, 'all are over')
        assert {line['reason'] for line in each.connections(direction)} == {'done'}


@pytest.mark.heavy
@pytest.mark.parametrize('lowered', ['before', 'later'])
@pytest.mark.parametrize('mode', WAYS)
def test_half_closed_and_silent(node, pod, mode, lowered):
    """The silence outlasts conntrack's entry, also if its time-outs change while the sidecars run. idle_timeout = 0
    allows any silence."""
    client, server = (make(pod, name, mode, {'idle_timeout': '0'}) for name in ('client', 'server'))
    for space in (node.space, client.space, server.space):
        lower(space, close_wait=4, fin_wait=4, last_ack=4)
    if lowered == 'before':
        for each in client, server:
            each.sidecar.stop()
            each.start_sidecar()
            each.wait_ready()
    stay_half_closed(client, server, 9)


@pytest.mark.skipif(not LONG, reason='takes two minutes: FAIRLEAD_LONG=1')
@pytest.mark.parametrize('mode', WAYS)
def test_half_closed_for_two_minutes(pod, mode):
    stay_half_closed(make(pod, 'client', mode), make(pod, 'server', mode), 130)


@pytest.mark.heavy
@pytest.mark.parametrize('mode', WAYS)
def test_open_and_silent(node, pod, mode):
    """Conntrack forgets every silent connection."""
    client, server = (make(pod, name, mode) for name in ('client', 'server'))
    for space in (node.space, client.space, server.space):
        lower(space, established=4)
    server.app()
    time.sleep(1.5)  # until the sidecar reads them again

    def talk(address):
        with client.connect((address, 8080)) as sock:
            for _ in range(2):
                sock.sendall(b'x')
                assert sock.recv(1) == b'x'
                time.sleep(7)
        return 'well'
    assert at_once(*[lambda a=a: talk(a) for a in (server.v4, server.v6)]) == ['well'] * 2


# --- forgotten ------------------------------------------------------------------------------------------

def says_and_ends(sock):
    sock.sendall(b'the end')


def says_and_waits(sock):
    sock.sendall(b'the end')
    labs.end_of(sock)


def resets(sock):
    labs.reset(sock)


@pytest.mark.skipif(not shutil.which('conntrack'), reason='not installed: conntrack')
@pytest.mark.heavy
@pytest.mark.parametrize('where', ['client', 'server'])
@pytest.mark.parametrize('mode', WAYS)
def test_app_is_told_although_conntrack_has_forgotten(pod, mode, where):
    """An app that only waits learns of later data or of the end of its connection, half-closed or not."""
    client, server = (make(pod, name, mode, {'peer_timeout': '3s'}) for name in ('client', 'server'))
    go_on = threading.Event()
    waiting = threading.Semaphore(0)

    def serve(what, sock):
        sock.sendall(sock.recv(1))
        waiting.release()
        go_on.wait(60)
        what(sock)
    ways = says_and_ends, says_and_waits, resets
    for i, what in enumerate(ways):
        server.app(lambda sock, what=what: serve(what, sock), 8080 + i)

    def ask(address, port, half):
        with client.connect((address, port), timeout=40) as sock:
            sock.sendall(b'x')
            assert sock.recv(1) == b'x'
            if half:
                sock.shutdown(socket.SHUT_WR)
            try:
                return sock.recv(7, socket.MSG_WAITALL)
            except ConnectionResetError:
                return 'reset'
    cases = [(address, 8080 + i, half) for address in (server.v4, server.v6) for i in range(len(ways))
             for half in (False, True)]

    def forget():
        for _ in cases:
            assert waiting.acquire(timeout=30)
        time.sleep(0.5)
        (client if where == 'client' else server).conntrack('-F')
        if where == 'client':
            go_on.set()
        else:
            time.sleep(4 * PACE)  # the peers' keepalives detect it
            go_on.set()
    results = at_once(*[lambda c=c: ask(*c) for c in cases], forget)[:-1]
    for case, result in zip(cases, results):
        heard = b'the end' if case[1] < 8082 else 'reset'
        assert result in (heard, 'reset'), case
        if where == 'client':
            assert result == heard, case


# --- a node that is gone --------------------------------------------------------------------------------

@pytest.mark.heavy
@pytest.mark.parametrize('mode', ['mtls', 'plaintext'])
def test_node_that_dies(node, pod, mode):
    """With idle connections and with one that waits for an answer, the apps on both sides learn of it in time."""
    client = pod('client', {'limits': {'peer_timeout': '3s'}, 'outbound': {'default': mode}})
    server = pod('server', {'limits': {'peer_timeout': '3s'}, 'inbound': {'mode': 'permissive'},
                            'allow anybody': {'from': 'plaintext'}})
    ends = []

    def answers(sock):
        sock.sendall(sock.recv(1))
        ends.append(labs.end_of(sock))
    server.app(answers)

    def opened(address):
        sock = client.connect((address, 8080), timeout=30)
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        return sock
    socks = [opened(address) for address in (server.v4, server.v6) for _ in range(2)]
    node.cut_off(server)
    begin = time.monotonic()
    for sock in socks[::2]:
        sock.sendall(b'a question')
    assert at_once(*[lambda s=s: labs.end_of(s) for s in socks]) == ['reset'] * 4
    assert 2 < time.monotonic() - begin < 6 * PACE
    wait_until(lambda: ends == ['reset'] * 4, lambda: f'the other side is told: {ends}')
    for each, direction in ((client, 'outbound'), (server, 'inbound')):
        wait_until(lambda e=each, d=direction: len(e.connections(d)) == 4, 'all are over')
        assert {line['reason'] for line in each.connections(direction)} == {'peer_timeout'}


def fill(sock):
    """Writes until nothing is accepted for half a second. Returns the number of bytes."""
    sock.setblocking(False)
    total, end = 0, time.monotonic() + 0.5
    while time.monotonic() < end:
        try:
            total += sock.send(b'x' * 65536)
            end = time.monotonic() + 0.5
        except BlockingIOError:
            time.sleep(0.01)
    return total


@pytest.mark.heavy
@pytest.mark.parametrize('mode', ['mtls', 'plaintext'])
def test_peer_that_does_not_read_for_longer_than_peer_timeout(pod, mode):
    """The peer's kernel answers that its window is full, which counts as an answer."""
    client, server = (pod(name, {'limits': {'peer_timeout': '1s'}, 'outbound': {'default': mode},
                                 'inbound': {'mode': 'permissive'}, 'allow anybody': {'from': 'plaintext'}})
                      for name in ('client', 'server'))
    read_on, got = threading.Event(), []

    def reads_late(sock):
        read_on.wait(60)
        got.append(len(labs.read_all(sock)))
    server.app(reads_late)

    def send(address):
        with client.connect((address, 8080)) as sock:
            total = fill(sock)
            time.sleep(7)
            read_on.set()
            sock.settimeout(30)
            sock.sendall(b'the end')
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b''
            return total + len(b'the end')
    sent = at_once(*[lambda a=a: send(a) for a in (server.v4, server.v6)])
    wait_until(lambda: len(got) == 2, 'both are read')
    assert sorted(got) == sorted(sent)
    wait_until(lambda: len(client.connections('outbound')) == 2, 'both are over')
    assert {line['reason'] for line in client.connections('outbound')} == {'done'}


# --- urgent bytes, and resets ---------------------------------------------------------------------------

@pytest.mark.parametrize('mode', WAYS)
def test_urgent_byte_stays_in_line(pod, mode):
    client, server = (make(pod, name, mode) for name in ('client', 'server'))
    got = []

    def speak(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data, flags in ((b'before-', 0), (b'!', socket.MSG_OOB), (b'-after', 0), (b'?', socket.MSG_OOB)):
            sock.send(data, flags)
        sock.shutdown(socket.SHUT_WR)

    def serve(sock):
        speak(sock)
        got.append(labs.read_all(sock))
    server.app(serve)
    for family in FAMILIES:
        with client.connect((getattr(server, family), 8080)) as sock:
            speak(sock)
            got.append(labs.read_all(sock))
    wait_until(lambda: len(got) == 4, 'all have heard it')
    assert set(got) == {b'before-!-after?'}


def is_told(sock, timeout=10):
    """Returns whether poll() reports a hang-up, without reading."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(timeout * 1000 * labs.SLOW))


@pytest.mark.parametrize('who', ['client', 'server'])
@pytest.mark.parametrize('mode', WAYS)
def test_reset_while_the_other_side_does_not_read(pod, mode, who):
    """All buffers between them are full. When one side resets, the other one learns of it at once."""
    client, server = (make(pod, name, mode) for name in ('client', 'server'))
    accepted = []

    def keep(sock):
        accepted.append(sock)
        wait_until(lambda: sock.fileno() < 0, 'the test is over', 60)
    server.app(keep)
    for family in FAMILIES:
        ours = client.connect((getattr(server, family), 8080))
        wait_until(lambda: accepted, 'it is accepted')
        theirs = accepted.pop()
        speaker, other = (ours, theirs) if who == 'client' else (theirs, ours)
        fill(speaker)
        begin = time.monotonic()
        labs.reset(speaker)
        assert is_told(other)
        assert time.monotonic() - begin < 2 * labs.SLOW
        other.close()
    for each, direction, side in ((client, 'outbound', 'client'), (server, 'inbound', 'server')):
        wait_until(lambda e=each, d=direction: len(e.connections(d)) == 2, 'both sidecars know of it')
        reason = 'app_reset' if side == who else 'peer_reset'
        assert {line['reason'] for line in each.connections(direction)} == {reason}
        assert each.metric('fairlead_connections_open', direction=direction, security='mtls') == 0


def test_words_before_a_reset_arrive(pod):
    """An app that closes with unread data resets the connection. What it sent before arrives through both sidecars, as
    without them."""
    client, server = pod('client'), pod('server')

    def serve(sock):
        sock.recv(1)
        sock.sendall(b'goodbye')  # a byte is left unread
    server.app(serve)
    for address in (server.v4, server.v6) * 10:
        with client.connect((address, 8080)) as sock:
            sock.sendall(b'xx')
            assert sock.recv(7, socket.MSG_WAITALL) == b'goodbye'
            assert labs.end_of(sock) == 'reset'


def test_answer_that_was_whole_survives_the_reset_behind_it(pod):
    """The server has sent everything and closes, and data that comes too late is answered with a reset. The client
    reads slowly and still gets the whole answer."""
    client, server = pod('client'), pod('server')
    answer = os.urandom(400_000)

    def serve(sock):
        sock.recv(1)
        sock.sendall(answer)
        sock.close()
    server.app(serve)

    def states():
        return [line['state'] for line in json.loads(client.get('/connections')[1])['connections']]
    for family in FAMILIES:
        with client.connect((getattr(server, family), 8080)) as sock:
            sock.sendall(b'x')
            wait_until(lambda: states() == ['peer_done'], states)
            sock.sendall(b'too late')
            wait_until(lambda: states() == [], states)
            assert labs.read_all(sock) == answer


@pytest.mark.skipif(not shutil.which('ss'), reason='not installed: ss')
def test_reason_of_what_the_kernel_was_asked_to_end(pod):
    """Neither peer reset the connection, and no reason claims so."""
    client, server = pod('client'), pod('server')
    server.app()
    with client.connect((server.v4, 8080)) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        if not client.space.root(['ss', '--kill', '--tcp', '--no-header', 'dst', server.v4, 'dport', '=', ':8080',
                                  'and', 'not', 'src', ':' + str(sock.getsockname()[1])]):
            pytest.skip('this kernel ends no connections')
        assert labs.end_of(sock) == 'reset'
    assert client.wait_connection('outbound')['reason'] == 'aborted'
