# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of sessions that carry several app connections, between pods: round trips, and the backends of a service."""
import collections
import re
import socket
import time

import pytest

import cable
import lab as labs
from lab import PACE, wait_until
from segments import SYN

DELAY = 0.01  # seconds, each way: longer than anything that a sidecar does


def ask(pod, to, text=b'question'):
    """Sends text on a connection of its own, reads all of the answer, and closes."""
    with pod.connect(to) as sock:
        sock.sendall(text)
        answer = sock.recv(1 << 16)
        assert sock.recv(1) == b''
        return answer


def answers(name):
    """Returns a handler that answers one question with that name and closes."""
    def handler(sock):
        if sock.recv(1 << 16):
            sock.sendall(name)
    return handler


# --- round trips --------------------------------------------------------------------------------------------

def round_trips(seen, here, there):
    """Counts how often `here` has to hear something from `there` before it goes on, acknowledgements aside."""
    trips, outgoing = 0, False
    for source, destination, _, flags, payload in seen.segments():
        if {source[0], destination[0]} != {here, there} or not (payload or flags & SYN):
            continue
        if source[0] == here and not outgoing:
            trips += 1
        outgoing = source[0] == here
    return trips


def first_answer(client, server):
    """Returns the round trips from the app's connect() to the first byte of the answer."""
    with client.capture() as seen, client.connect((server.v4, 8080)) as sock:
        sock.sendall(b'question')
        assert sock.recv(1) == b'a'
        trips = round_trips(seen, client.v4, server.v4)
    return trips


def far_apart(pod, sections=None):
    if reason := cable.missing():
        pytest.skip(reason)
    client, server = pod('client', sections, delay=DELAY), pod('server')
    server.app(lambda sock: sock.recv(1 << 16) and sock.sendall(b'a') or sock.recv(1), 8080)
    return client, server


def parked(client):
    return client.metric('fairlead_sessions_open', direction='outbound', state='idle')


def silent_ms(client, server):
    """For how long no session of the client's sidecar has heard anything of the server."""
    return min(map(int, re.findall(r'lastack:(\d+)', client.run(['ss', '-tinH', 'state', 'established', 'dst', server.v4]))))


def test_the_first_byte_takes_one_round_trip_on_a_reused_session(pod):
    client, server = far_apart(pod)
    assert first_answer(client, server) == 3, 'TCP, TLS, and the question'
    wait_until(lambda: parked(client) == 1, 'the session is idle')
    assert first_answer(client, server) == 1


def test_without_reuse_each_connection_takes_as_many_round_trips_as_before(pod):
    client, server = far_apart(pod, {'tls': {'reuse': 'off'}})
    assert [first_answer(client, server) for _ in range(3)] == [3, 3, 3]


# --- the backends of a service --------------------------------------------------------------------------------

def spread(client, service, count):
    """Returns how many of so many connections, one after another, each backend has answered."""
    return collections.Counter(ask(client, (service.v4, 80)).decode() for _ in range(count))


def backends(pod, *names):
    made = []
    for name in names:
        made.append(pod(name))
        made[-1].app(answers(name.encode()), 8080)
    return made


@pytest.mark.heavy
def test_a_new_backend_gets_its_part_and_a_gone_one_is_left(node, pod):
    one, two, three, four = backends(pod, 'one', 'two', 'three', 'four')
    service = node.service(80, [one, two, three], to=8080)
    client = pod('client')
    before = spread(client, service, 600)
    assert set(before) == {'one', 'two', 'three'} and min(before.values()) > 80, before
    reused = client.metric('fairlead_session_uses_total', direction='outbound', kind='reused')
    assert reused > 400, 'sessions are reused all the same'

    node.lead(service, [one, two, three, four])
    spread(client, service, 60)
    after = spread(client, service, 600)
    assert min(after.values()) > 50 and set(after) == {'one', 'two', 'three', 'four'}, after

    node.lead(service, [two, three, four])
    spread(client, service, 120)  # a session ends with a probability of 1/8 after each use
    assert set(spread(client, service, 300)) == {'two', 'three', 'four'}


def test_connections_to_a_pod_stay_on_one_session(pod):
    server, = backends(pod, 'one')
    client = pod('client')
    for _ in range(100):
        assert ask(client, (server.v4, 8080)) == b'one'
        wait_until(lambda: parked(client) == 1, 'the session is idle')
    assert client.metric('fairlead_session_uses_total', direction='outbound', kind='cold') == 1
    assert server.metric('fairlead_session_uses_total', direction='inbound', kind='reused') == 99


def test_a_killed_pod_costs_no_later_connection(node, pod):
    one, two = backends(pod, 'one', 'two')
    service = node.service(80, [one, two], to=8080)
    client = pod('client')
    spread(client, service, 40)
    node.lead(service, [two])
    one.sidecar.kill()
    one.agent.kill()
    assert spread(client, service, 100) == {'two': 100}


def test_an_app_that_stops_costs_no_connection(pod):
    """Its sidecar goes on, and the sessions to it. Without them, the next address would be dialled; so it is with them."""
    (one, two), stopped = [pod('one'), pod('two')], None
    for each in one, two:
        server = each.app(answers(each.name.encode()), 8080)
        stopped = stopped or server
    client = pod('client', {'upstream x': {'listen': '127.0.0.1:7001', 'to': f'{one.v4}:8080, {two.v4}:8080',
                                           'peer': f'spiffe://{labs.TD}/**'}})
    assert [ask(client, ('127.0.0.1', 7001)) for _ in range(3)] == [b'one'] * 3
    wait_until(lambda: parked(client) == 1, 'the session is idle')
    stopped.close()
    assert [ask(client, ('127.0.0.1', 7001)) for _ in range(3)] == [b'two'] * 3
    assert one.wait_line(msg='connection', reason='app_refused')['use'] > 1
    assert all(line['reason'] == 'done' for line in client.connections('outbound'))


# --- a node that dies while sessions are idle ----------------------------------------------------------------------

def greets(name):
    """Returns a handler that speaks first, and closes when the client has."""
    def handler(sock):
        sock.sendall(name)
        labs.read_all(sock)
    return handler


def greeted_clients(pod, *servers):
    for each in servers:
        each.app(greets(each.name.encode()), 8080)
    return pod('client', {'limits': {'connect_timeout': '2s'}, 'upstream any': {'to': '10.0.0.0/8:1-65535', 'reuse': 'on'}})


def park_some(client, to, greeting, count=4):
    """Leaves so many idle sessions behind."""
    socks = [client.connect(to) for _ in range(count)]
    for sock in socks:
        assert sock.recv(100) == greeting
    for sock in socks:
        with sock:
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b''
    wait_until(lambda: parked(client) == count, 'the sessions are idle')


@pytest.mark.heavy
@pytest.mark.parametrize('text', [b'', b'question'], ids=['server first', 'client first'])
def test_a_dead_node_is_known_within_connect_timeout(node, pod, text):
    """A connection that takes an idle session ends when one that is dialled would, however long the session was idle, and takes the
    others out of the way."""
    server = pod('server')
    client = greeted_clients(pod, server)
    park_some(client, (server.v4, 8080), b'server')
    wait_until(lambda: silent_ms(client, server) > 2100, 'the sessions are idle for longer than connect_timeout')
    node.cut_off(server)
    begin = time.monotonic()
    with client.connect((server.v4, 8080), timeout=30) as sock:
        sock.sendall(text)
        assert labs.end_of(sock) == 'reset'
    assert 1.9 < time.monotonic() - begin < 2 + 2 * PACE, 'connect_timeout, and no peer_timeout of 30 s'
    assert client.wait_connection('outbound', reason='peer_connect_timeout')
    assert parked(client) == 0, 'no other connection will take one'


def client_of_a_dead_backend(node, pod):
    """Returns a client whose idle sessions lead to `one`, which is cut off, and the Service, which leads to `two` now."""
    one, two = pod('one'), pod('two')
    client = greeted_clients(pod, one, two)
    service = node.service(80, [one], to=8080)
    park_some(client, (service.v4, 80), b'one')
    node.lead(service, [two])
    node.cut_off(one)
    return client, service


@pytest.mark.heavy
def test_a_connection_without_bytes_leaves_a_dead_backend_for_another_one(node, pod):
    client, service = client_of_a_dead_backend(node, pod)
    with client.connect((service.v4, 80), timeout=30) as sock:
        assert sock.recv(100) == b'two', 'on a fresh session'
    with client.connect((service.v4, 80)) as sock:
        sock.sendall(b'question')
        assert sock.recv(100) == b'two', 'no session of the dead one is left'
    assert not client.connections('outbound', reason='peer_connect_timeout')


@pytest.mark.heavy
def test_bytes_that_a_dead_backend_may_have_got_are_not_sent_again(node, pod):
    client, service = client_of_a_dead_backend(node, pod)
    with client.connect((service.v4, 80), timeout=30) as sock:
        sock.sendall(b'question')
        wait_until(lambda: parked(client) == 0, 'the others are let go at once')
        with client.connect((service.v4, 80)) as other:
            other.sendall(b'question')
            assert other.recv(100) == b'two'
        assert labs.end_of(sock) == 'reset'
    assert client.wait_connection('outbound', reason='peer_connect_timeout')['bytes_to_app'] == 0


# --- where a session leads --------------------------------------------------------------------------------------

def test_sessions_of_one_destination_serve_no_other_one(pod):
    server, = backends(pod, 'one')
    server.app(answers(b'other port'), 8081)
    client = pod('client')
    for _ in range(20):
        assert ask(client, (server.v4, 8080)) == b'one'
        assert ask(client, (server.v4, 8081)) == b'other port'
        assert ask(client, (server.v6, 8080)) == b'one'


def test_a_rule_for_one_port_is_not_passed_by_a_session_of_another_port(pod):
    server = pod('server', {'allow web': {'from': f'spiffe://{labs.TD}/**', 'to': 8080}}, allow=None)
    for port in 8080, 8081:
        server.app(answers(b'%d' % port), port)
    client = pod('client')
    for _ in range(10):
        assert ask(client, (server.v4, 8080)) == b'8080'
        with pytest.raises((ConnectionResetError, AssertionError)):
            ask(client, (server.v4, 8081))
    assert not server.connections('inbound', port=8081, reason='done')
