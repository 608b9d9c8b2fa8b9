# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests sessions that carry app connections one after another: that they do, that each connection is judged, and that
no byte and no right goes from one to the next."""
import concurrent.futures
import contextlib
import datetime
import json
import re
import signal
import socket
import ssl
import time

import framed
import lab as labs
import peers
import pytest
from framed import DATA, END_FRAME, NOT_OPENED, OPENED, RETIRE_FRAME, data, frame, opening
from lab import connect, end_of, outcome, read_all, reset, wait_until
from reports import metric, status
from pki import CA
from volume import mounted, secret

LINE = re.compile('^connection')  # of the access log
ID = f'spiffe://{labs.TD}/ns/test/sa/'


# --- helpers --------------------------------------------------------------------------------------

def ask(port, text=b'question'):
    with connect(port) as sock:
        sock.sendall(text)
        sock.shutdown(1)
        return read_all(sock)


def ended(workload, **fields):
    return workload.sidecar.lines(msg='connection', reason='done', **fields)


def uses(workload, count):
    """Returns (session, use) of each connection, once so many have ended."""
    lines = wait_until(lambda: len(ended(workload)) == count and ended(workload),
                       lambda: f'{count} lines, there are {len(ended(workload))}')
    return [(line['session'], line['use']) for line in lines]


def kinds(workload, direction):
    return {kind: metric(workload, 'fairlead_session_uses_total', direction=direction, kind=kind)
            for kind in ('cold', 'reused')}


def ends(workload, direction, reason):
    return metric(workload, 'fairlead_session_ends_total', direction=direction, reason=reason) or 0


def idle(workload, direction):
    return metric(workload, 'fairlead_sessions_open', direction=direction, state='idle')


def rests(pair, count=1):
    """Both sides have so many idle sessions."""
    wait_until(lambda: idle(pair.outbound, 'outbound') == count and idle(pair.inbound, 'inbound') == count,
               f'{count} idle sessions')


def next_generation(workload, change):
    """Makes the change and waits until the sidecar uses it."""
    before = len(workload.sidecar.lines(msg='generation in use'))
    change()
    wait_until(lambda: len(workload.sidecar.lines(msg='generation in use')) > before, 'the next generation')


# --- it happens -------------------------------------------------------------------------------------

def test_one_session_carries_one_connection_after_another(lab, app):
    pair = lab.pair(app().port)
    for number in range(20):
        assert ask(pair.port, b'%d' % number) == b'%d' % number
    for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
        seen = uses(workload, 20)
        assert seen == [(seen[0][0], use) for use in range(1, 21)]
        assert kinds(workload, direction) == {'cold': 1, 'reused': 19}
        assert metric(workload, 'fairlead_handshakes_total', direction=direction, result='ok') == 1
        assert status(workload)['sessions'][direction] == {'busy': 0, 'idle': 1, 'cold': 1, 'reused': 19}


def test_nearly_all_of_many_short_connections_at_once_are_reused(lab, app):
    pair = lab.pair(app().port)
    count, at_once = 6400, 32

    def run(worker):
        for number in range(count // at_once):
            text = b'%d.%d' % (worker, number)
            assert ask(pair.port, text) == text

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, range(at_once)))
    for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
        wait_until(lambda: sum(kinds(workload, direction).values()) == count, 'all were carried')
        assert kinds(workload, direction)['reused'] >= 0.99 * count


@pytest.mark.parametrize('side', ['inbound', 'outbound'])
def test_off__each_connection_has_its_own(lab, app, side):
    pair = lab.pair(app().port, **{side: {'tls': {'reuse': 'off'}}})
    for _ in range(5):
        assert ask(pair.port) == b'question'
    for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
        wait_until(lambda: len(ended(workload)) == 5, 'all have ended')
        assert not any('use' in line for line in ended(workload))
        assert kinds(workload, direction) == {'cold': 0, 'reused': 0}


def test_off_for_one_upstream(lab, app):
    pair = lab.pair(app().port, outbound={'upstream peer': {'reuse': 'off'}})
    for _ in range(3):
        assert ask(pair.port) == b'question'
    assert kinds(pair.outbound, 'outbound') == {'cold': 0, 'reused': 0}


def test_balanced__a_session_is_given_up_often(lab, app):
    pair = lab.pair(app().port, outbound={'upstream peer': {'reuse': 'balanced'}})
    for _ in range(200):
        assert ask(pair.port) == b'question'
    cold = kinds(pair.outbound, 'outbound')['cold']
    assert 8 < cold < 60, 'one in eight uses is the last one of its session'


def test_a_server_that_speaks_first(lab, app):
    def greet(sock):
        sock.sendall(b'hello')
        assert sock.recv(10) == b'bye'
        sock.shutdown(1)

    pair = lab.pair(app(greet).port)
    for _ in range(3):
        with connect(pair.port) as sock:
            assert sock.recv(10) == b'hello'
            sock.sendall(b'bye')
            sock.shutdown(1)
            assert read_all(sock) == b''
    assert [use for _, use in uses(pair.outbound, 3)] == [1, 2, 3]


def test_connections_that_carry_nothing(lab, app):
    pair = lab.pair(app().port)
    for _ in range(3):
        assert ask(pair.port, b'') == b''
    assert [use for _, use in uses(pair.inbound, 3)] == [1, 2, 3]


def test_what_is_open_is_told_by_session_and_use(lab, app):
    pair = lab.pair(app().port)
    ask(pair.port)
    rests(pair)
    with connect(pair.port) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
            told = json.loads(workload.get('/connections')[1])['connections']
            assert [(each['state'], each['use']) for each in told] == [('open', 2)]
            assert status(workload)['sessions'][direction]['busy'] == 1


# --- ends that are not orderly end the session -------------------------------------------------------

def test_a_reset_stays_a_reset_and_ends_the_session(lab, app):
    pair = lab.pair(app().port)
    ask(pair.port)
    rests(pair)
    sock = connect(pair.port)
    sock.sendall(b'x')
    assert sock.recv(1) == b'x'
    reset(sock)
    for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
        wait_until(lambda: ends(workload, direction, 'use') == 1, 'the session has ended')
        assert idle(workload, direction) == 0
    assert ask(pair.port) == b'question'
    assert kinds(pair.outbound, 'outbound') == {'cold': 2, 'reused': 1}


def test_an_app_that_resets(lab, app):
    pair = lab.pair(app(reset).port)
    for _ in range(3):
        assert outcome(pair.port, b'x') == 'reset'


def test_an_app_that_does_not_listen(lab):
    port = lab.ports.free()
    pair = lab.pair(port)
    for _ in range(2):
        assert outcome(pair.port) == 'reset'
    lines = wait_until(lambda: len(pair.outbound.sidecar.lines(peer_status='app_refused')) == 2 and
                       pair.outbound.sidecar.lines(peer_status='app_refused'), 'the client knows why')
    assert {line['reason'] for line in lines} == {'peer_reset'}
    wait_until(lambda: len(pair.inbound.sidecar.lines(msg=LINE, reason='app_refused')) == 2, 'and so does the server')


# --- each connection is judged ------------------------------------------------------------------------

def test_a_policy_that_changes_between_two_uses_denies_the_second(lab, app):
    pair = lab.pair(app().port)
    assert ask(pair.port) == b'question'
    rests(pair)
    next_generation(pair.inbound, lambda: pair.inbound.change({'allow mesh': {'from': f'{ID}other'}}))
    assert outcome(pair.port, b'x') == 'reset'
    line = pair.inbound.wait_line(msg=LINE, reason='policy_denied')
    assert line['use'] == 2 and line['decision'] == 'deny'
    line = pair.outbound.wait_line(msg=LINE, reason='peer_alert')
    assert line['alert'] == 49 and line['peer_status'] == 'denied'


def test_a_policy_that_stays_keeps_the_session(lab, app):
    pair = lab.pair(app().port)
    assert ask(pair.port) == b'question'
    rests(pair)
    for workload in pair.workloads:
        next_generation(workload, lambda w=workload: w.change({'limits': {'idle_timeout': '30m'}}))
    assert ask(pair.port) == b'question'
    for workload in pair.workloads:
        assert [use for _, use in uses(workload, 2)] == [1, 2]
    assert ended(pair.inbound)[1]['generation'] == 2


def test_peer_of_the_upstream_that_changes(lab, app):
    pair = lab.pair(app().port)
    assert ask(pair.port) == b'question'
    rests(pair)
    next_generation(pair.outbound, lambda: pair.outbound.change({'upstream peer': {'peer': f'{ID}other'}}))
    assert outcome(pair.port, b'x') == 'reset'
    assert pair.outbound.wait_line(msg=LINE, reason='certificate_refused')['broken_rule'] == 'peer-not-expected'
    assert ends(pair.outbound, 'outbound', 'judged') == 1


def test_an_upstream_that_leads_elsewhere_leaves_its_sessions(lab, app):
    """The address of `to` that is gone is not reached any more, by no connection; one that stays keeps its session."""
    def named(text):
        return app(lambda sock: (read_all(sock), sock.sendall(text))).port

    pair, other = lab.pair(named(b'old')), lab.inbound(named(b'new'))
    assert ask(pair.port) == b'old'
    rests(pair)
    next_generation(pair.outbound, lambda: pair.outbound.change(
        {'upstream peer': {'to': f'127.0.0.1:{other.port}, 127.0.0.1:{pair.inbound.port}'}}))
    assert ask(pair.port) == b'old', 'it is still one of them'
    assert kinds(pair.outbound, 'outbound') == {'cold': 1, 'reused': 1}
    next_generation(pair.outbound, lambda: pair.outbound.change({'upstream peer': {'to': f'127.0.0.1:{other.port}'}}))
    wait_until(lambda: ask(pair.port) == b'new', 'the new address')
    assert [ask(pair.port) for _ in range(5)] == [b'new'] * 5
    assert ends(pair.outbound, 'outbound', 'moved') == 1


@pytest.mark.parametrize('side', ['front', 'back'])
def test_a_renewed_certificate_ends_idle_sessions(lab, app, side):
    """Within a moment; and a connection that is open then ends its session when it ends."""
    back_sections, back = mounted(lab, 'back')
    front_sections, front = mounted(lab, 'front')
    back.write(secret(lab.server, lab.root))
    front.write(secret(lab.client, lab.root))
    pair = lab.pair(app().port, inbound=back_sections, outbound=front_sections)
    workload = pair.outbound if side == 'front' else pair.inbound
    with connect(pair.port) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        assert ask(pair.port) == b'question'
        rests(pair)
        if side == 'front':
            next_generation(workload, lambda: front.write(secret(lab.root.issue(labs.CLIENT), lab.root)))
        else:
            next_generation(workload, lambda: back.write(secret(lab.root.issue(labs.SERVER), lab.root)))
        rests(pair, 0)
        sock.shutdown(1)
        assert read_all(sock) == b''
    rests(pair, 0)
    assert ask(pair.port) == b'question'
    assert kinds(pair.outbound, 'outbound') == {'cold': 3, 'reused': 0}


def test_a_revoked_peer_has_no_second_use(lab, app):
    sections, volume = mounted(lab, 'back', {'identity': {'crl': lab.folder / 'back-volume' / 'crl.pem'}})
    volume.write({**secret(lab.server, lab.root), 'crl.pem': lab.root.crl([])})
    pair = lab.pair(app().port, inbound=sections)
    assert ask(pair.port) == b'question'
    rests(pair)
    with framed.Client(pair.inbound.port, lab.client, lab.root) as client:
        assert client.ask(1, b'x') == b'x'
        next_generation(pair.inbound, lambda: volume.write(
            {**secret(lab.server, lab.root), 'crl.pem': lab.root.crl([lab.client])}))
        client.send(opening(2), data(b'x'), END_FRAME)
        while (each := client.frames.next())[0] == framed.RETIRE:
            pass
        assert each[0] == framed.STATUS and each[1][4] == NOT_OPENED, 'a fresh session may be tried, and is refused'
        assert client.frames.next() is None
    assert outcome(pair.port, b'x') == 'reset'
    assert pair.outbound.wait_line(msg=LINE, reason='peer_alert')['alert'] == 44


def test_an_expired_peer_has_no_second_use(lab, app):
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    short = lab.root.issue(labs.CLIENT, not_after=until)
    inbound = lab.inbound(app().port)
    with framed.Client(inbound.port, short, lab.root) as client:
        assert client.ask(1, b'x') == b'x'
        time.sleep(4.1)  # in its last second it is still valid
        assert client.ask(2, b'x') == NOT_OPENED


@pytest.mark.parametrize('side', ['inbound', 'outbound'])
def test_a_peer_whose_root_expires_has_no_further_use(lab, app, side):
    """Its own certificate is still valid. `side` is the one that judges it, and both would refuse a new connection."""
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5 * labs.PACE)
    old = CA(labs.TD, common_name='old root', not_after=until)
    bundle = lab.root.cert_pem + old.cert_pem
    behind = lab.inbound(app().port, bundle=bundle, svid=old.issue(labs.SERVER) if side == 'outbound' else None)
    front = lab.outbound(behind.port, bundle=bundle, svid=old.issue(labs.CLIENT) if side == 'inbound' else None)
    asked = 0
    while datetime.datetime.now(datetime.timezone.utc) < until - datetime.timedelta(seconds=0.5):
        assert ask(front.port) == b'question'
        asked += 1
        time.sleep(0.2)
    assert kinds(front, 'outbound') == {'cold': 1, 'reused': asked - 1} and asked > 1
    time.sleep((until - datetime.datetime.now(datetime.timezone.utc)).total_seconds() + 1.1)
    assert outcome(front.port, b'x') == 'reset'
    judge = behind if side == 'inbound' else front
    assert ends(judge, side, 'judged') == 1
    assert judge.wait_line(msg=LINE, reason='certificate_refused')['broken_rule'] == 'certificate-expired'


def test_an_idle_session_that_reaches_max_age_has_no_further_use(lab, app):
    inbound = lab.inbound(app().port, {'limits': {'max_age': '2s'}})
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        assert client.ask(1, b'x') == b'x'
        time.sleep(2.1)
        assert client.ask(2, b'x') == NOT_OPENED


def test_a_peer_that_closes_no_session_takes_none_from_others(lab, app):
    """Retired ones count, until they are closed: neither their number nor that of descriptors grows with time."""
    inbound = lab.inbound(app().port, {'limits': {'connections': 64}})
    other = lab.root.issue(f'{ID}other')
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(framed.Client(inbound.port, other, lab.root))
        assert kept.ask(1, b'x') == b'x'
        for _ in range(150):
            greedy = stack.enter_context(framed.Client(inbound.port, lab.client, lab.root))
            assert greedy.ask(1, b'x') == b'x'
            assert idle(inbound, 'inbound') <= 9
        assert kept.ask(2, b'x') == b'x', 'the place of a peer with few is its own'


# --- frames that are not legal ------------------------------------------------------------------------

SMUGGLED = {
    'the same number again': [opening(1)],
    'a number left out': [opening(3)],
    'bytes without a use': [data(b'smuggled')],
    'an end without a use': [END_FRAME],
    'a frame of the server': [framed.status(2)],
    'a frame of the server, at its end': [RETIRE_FRAME],
    'an unknown type': [frame(6)],
    'no type': [frame(0)],
    'an unknown flag': [opening(2, flags=1)],
    'an OPEN that is too short': [frame(framed.OPEN, b'\0' * 13)],
    'an OPEN that is too long': [frame(framed.OPEN, b'\0' * 60)],
    'an address of no family': [frame(framed.OPEN, b'\0\0\0\2' + bytes(9) + b'\5\0')],
    'no bytes': [opening(2), frame(DATA)],
    'bytes after the end': [opening(2), END_FRAME, data(b'smuggled')],
    'two ends': [opening(2), END_FRAME, END_FRAME],
    'a use inside of a use': [opening(2), data(b'x'), opening(3)],
}


@pytest.mark.parametrize('name', SMUGGLED)
def test_a_frame_that_is_not_due_is_fatal(lab, app, name):
    served = app()
    inbound = lab.inbound(served.port)
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        assert client.ask(1, b'first') == b'first'
        client.send(*SMUGGLED[name])
        with pytest.raises((ssl.SSLError, ConnectionError)) as error:
            while client.frames.next():
                pass
        assert peers.alert_of(error.value) == 10
    line = inbound.wait_line(msg='session broken')
    assert line['peer'] == labs.CLIENT and line['explanation'].startswith('the peer sent')
    wait_until(lambda: ends(inbound, 'inbound', 'broken') == 1, 'it is counted')
    assert b'smuggled' not in b''.join(getattr(served, 'received', [])), 'nothing of it reaches an app'
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        assert client.ask(1, b'next') == b'next', 'it lives'


def test_a_first_frame_that_is_not_OPEN_is_fatal(lab, app):
    inbound = lab.inbound(app().port)
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        client.send(data(b'x'))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.frames.next()
    assert inbound.wait_line(msg='connection', reason='frame')['peer'] == labs.CLIENT


def test_what_OPEN_claims_leads_nowhere_and_authorizes_nothing(lab, app):
    """The destination is that of the listener, and policy sees the address that the session came from."""
    secret_app, served = app(lambda sock: sock.sendall(b'secret')), app()
    inbound = lab.inbound(served.port, {'allow mesh': {'from': f'spiffe://{labs.TD}/**', 'sources': '10.0.0.0/8'}})
    claims = {'destination': ('127.0.0.1', secret_app.port), 'source': ('10.1.2.3', 4711)}
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        assert client.ask(1, b'x', **claims) == framed.DENIED
    line = inbound.wait_line(msg=LINE, reason='policy_denied')
    assert line['source'].startswith('127.0.0.1:') and line['claimed_source'] == '10.1.2.3:4711'
    next_generation(inbound, lambda: inbound.change({'allow mesh': {'sources': '127.0.0.0/8'}}))
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        for number in (1, 2, 3):
            assert client.ask(number, b'mine', **claims) == b'mine'
    line = inbound.wait_line(msg='connection', use=3)
    assert line['claimed_destination'] == f'127.0.0.1:{secret_app.port}'


def test_frames_cut_anywhere(lab, app):
    inbound = lab.inbound(app().port)
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        client.tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(1, 4):
            text = b'%d' % number * 5
            for byte in opening(number, source=('::1', 5)) + data(text) + END_FRAME:
                client.send(bytes([byte]))
            assert client.frames.status() == OPENED and client.frames.body() == text


# --- the end of the sidecar ----------------------------------------------------------------------------

def test_a_server_that_stops_loses_nothing_of_its_clients(lab, app):
    """Each connection is carried whole, or refused before a byte of it was carried, while servers come and go."""
    pair = lab.pair(app().port, inbound={'sidecar': {'drain': '10s'}})
    for _ in range(5):
        ask(pair.port)
    rests(pair)
    assert pair.inbound.sidecar.stop() == 0
    wait_until(lambda: idle(pair.outbound, 'outbound') == 0, 'the client has heard of it')
    assert ends(pair.outbound, 'outbound', 'retired') == 1
    pair.inbound.start_sidecar().wait_ready()
    assert ask(pair.port) == b'question'


def test_a_client_that_stops_closes_its_sessions(lab, app):
    pair = lab.pair(app().port)
    ask(pair.port)
    rests(pair)
    assert pair.outbound.sidecar.stop() == 0
    wait_until(lambda: idle(pair.inbound, 'inbound') == 0, 'the server has heard of it')
    assert ends(pair.inbound, 'inbound', 'peer') == 1


def test_a_session_that_died_unseen_does_not_swallow_a_connection(lab, app):
    pair = lab.pair(app().port)
    ask(pair.port)
    rests(pair)
    pair.inbound.sidecar.kill()
    wait_until(lambda: idle(pair.outbound, 'outbound') == 0, 'the client has seen it')
    pair.inbound.start_sidecar().wait_ready()
    assert ask(pair.port) == b'question'


@pytest.mark.heavy
def test_a_stalled_server_does_not_swallow_a_connection(lab, app):
    """The sidecar there is stopped, while its kernel takes everything. The connection ends, and is no success before that."""
    pair = lab.pair(app().port, common={'limits': {'connect_timeout': '500ms', 'handshake_timeout': '500ms'}})
    assert ask(pair.port) == b'question'
    rests(pair)
    succeeded = metric(pair.outbound, 'fairlead_upstream_connections_succeeded_total', upstream='peer')
    pair.inbound.sidecar.signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        with connect(pair.port) as sock:
            sock.settimeout(20 * labs.SLOW)
            sock.sendall(b'question')
            assert end_of(sock) == 'reset'
        assert time.monotonic() - begin > 6, 'the server may take so long'
    finally:
        pair.inbound.sidecar.signal(signal.SIGCONT)
    line = pair.outbound.wait_line(reason='peer_stalled')
    assert (line['use'], line['bytes_to_app']) == (2, 0)
    assert metric(pair.outbound, 'fairlead_upstream_connections_succeeded_total', upstream='peer') == succeeded
    pair.outbound.wait_line(msg='upstream fails', failure='peer_stalled')


# --- how many may be idle -------------------------------------------------------------------------------

def rested(inbound, svid, root, count, *, first=0):
    """Returns so many sessions of that peer that have carried a connection and wait, the oldest first."""
    made = []
    for number in range(first, first + count):
        client = framed.Client(inbound.port, svid, root)
        made.append(client)
        assert client.ask(1, b'%d' % number) == b'%d' % number
    return made


def retired(client):
    """Whether RETIRE has come, and nothing else."""
    client.tls.settimeout(0.05)
    try:
        assert client.frames.next() == (framed.RETIRE, b'')
        return True
    except TimeoutError:
        return False
    finally:
        client.tls.settimeout(10)


def test_a_peer_has_a_part_of_the_idle_sessions_and_its_oldest_go(lab, app):
    """For 256 connections an eighth, 32 sessions, may be idle; one peer gets three quarters of them, and replicas are
    one peer. The session of another peer, which is older than all of these, stays."""
    inbound = lab.inbound(app().port, {'limits': {'connections': 256}})
    replica = lab.root.issue(labs.CLIENT)
    other = lab.root.issue(f'{ID}other')
    with contextlib.ExitStack() as stack:
        quiet, = rested(inbound, other, lab.root, 1)
        stack.callback(quiet.close)
        many = rested(inbound, lab.client, lab.root, 20) + rested(inbound, replica, lab.root, 20, first=20)
        for client in many:
            stack.callback(client.close)
        gone = [retired(client) for client in many]
        left = gone.count(False)
        assert 22 <= left <= 26 and gone == [True] * (40 - left) + [False] * left, 'the oldest of them, in order'
        assert not retired(quiet), 'the one of another peer is none of them'
        assert len(inbound.sidecar.lines(reason='connection_limit')) == 0, 'no connection was refused for idle ones'
        assert quiet.ask(2, b'still') == b'still'
        assert many[-1].ask(2, b'last') == b'last'
    wait_until(lambda: ends(inbound, 'inbound', 'limit') == 40 - left, 'they are counted')


# --- other rules ----------------------------------------------------------------------------------------

def test_max_age_is_the_age_of_a_session_too(lab, app):
    pair = lab.pair(app().port, common={'limits': {'max_age': '1s'}})
    assert ask(pair.port) == b'question'
    time.sleep(1.1)
    assert ask(pair.port) == b'question'
    assert kinds(pair.outbound, 'outbound') == {'cold': 2, 'reused': 0}


def test_each_app_connection_counts_towards_the_limit_and_idle_sessions_do_not(lab, app):
    pair = lab.pair(app().port, inbound={'limits': {'connections': 4}})
    for _ in range(10):
        assert ask(pair.port) == b'question'
    assert len(pair.inbound.sidecar.lines(reason='connection_limit')) == 0


def test_a_permissive_port(lab, app):
    pair = lab.pair(app().port, inbound={'service app': {'mode': 'permissive'},
                                         'allow anybody': {'from': 'plaintext'}})
    for _ in range(3):
        assert ask(pair.port) == b'question'
    seen = wait_until(lambda: len(ended(pair.inbound)) == 3 and ended(pair.inbound), 'all are over')
    assert [(line['use'], line['detected']) for line in seen] == [(1, 'fairlead'), (2, 'fairlead'), (3, 'fairlead')]
    assert ask(pair.inbound.port) == b'question'
    line = pair.inbound.wait_line(msg=LINE, detected='plaintext')
    assert line['reason'] == 'done' and 'session' not in line


def test_a_port_that_becomes_plaintext_takes_no_further_use(lab, app):
    inbound = lab.inbound(app().port, {'allow anybody': {'from': 'plaintext'}})
    with framed.Client(inbound.port, lab.client, lab.root) as client:
        assert client.ask(1, b'x') == b'x'
        next_generation(inbound, lambda: inbound.change({'service app': {'mode': 'plaintext'}}))
        assert client.ask(2, b'x') == NOT_OPENED


def test_the_app_gets_a_PROXY_header_for_each_connection(lab, app):
    seen = []

    def note(sock):
        got = read_all(sock)
        seen.append(got)
        sock.sendall(b'ok')

    pair = lab.pair(app(note).port, inbound={'service app': {'proxy_protocol': 'v2'}})
    for _ in range(3):
        assert ask(pair.port, b'mine') == b'ok'
    assert all(got.startswith(b'\r\n\r\n\0\r\nQUIT\n') and got.endswith(b'mine') for got in seen) and len(seen) == 3
    assert [use for _, use in uses(pair.inbound, 3)] == [1, 2, 3]
