# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that sessions are resumed only while trust is unchanged. After a change, each peer is judged by its certificate
again, under the current rules."""
import ssl

import pytest

import lab as labs
import peers
from lab import connect, outcome, wait_until
from pki import CA
from volume import mounted, secret

FRESH = {'tls': {'reuse': 'off'}}  # a session for each connection
ID = f'spiffe://{labs.TD}/ns/test/sa/'


# --- helpers --------------------------------------------------------------------------------------

def mounted_pair(lab, app, **common):
    """Returns a pair that runs from volumes: .front is that of the client's sidecar, .back that of the server's. Each
    connection has a handshake."""
    back_sections, back = mounted(lab, 'back')
    front_sections, front = mounted(lab, 'front')
    back.write(secret(lab.server, lab.root))
    front.write(secret(lab.client, lab.root))
    made = lab.pair(app().port, inbound=back_sections, outbound=front_sections,
                    common=labs.merge(FRESH, common))
    made.back, made.front = back, front
    return made


@pytest.fixture
def pair(lab, app):
    return mounted_pair(lab, app)


def ping(port):
    with connect(port) as sock:
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
        sock.shutdown(1)
        assert sock.recv(4) == b''


def ended(workload):
    return workload.sidecar.lines(msg='connection', reason='done')


def resumes(pair):
    """Returns whether a new connection was resumed. Both sides have to agree."""
    before = [len(ended(workload)) for workload in pair.workloads]
    ping(pair.port)
    said = set()
    for workload, number in zip(pair.workloads, before):
        wait_until(lambda: len(ended(workload)) > number, f'{workload.name} says that it is over')
        said.add(ended(workload)[-1]['resumed'])
    assert len(said) == 1, 'the sides do not agree'
    return said.pop()


def settled(pair):
    """The first handshake is a full one, the next ones are resumed."""
    assert not resumes(pair)
    assert resumes(pair) and resumes(pair)


def next_generation(workload, change):
    """Makes the change and waits until the sidecar uses it."""
    def numbers():
        return [line['generation'] for line in workload.sidecar.lines(msg='generation in use')]
    before = len(numbers())
    change()
    wait_until(lambda: len(numbers()) > before, lambda: f'{workload.name} has {numbers()}')


def series(workload, name, **labels):
    wanted = name + '{' + ','.join(f'{k}="{v}"' for k, v in labels.items()) + '} '
    for line in workload.get('/metrics')[1].splitlines():
        if line.startswith(wanted):
            return int(line[len(wanted):])
    raise AssertionError(f'no {wanted}')


# --- resumption works -------------------------------------------------------------------------------

def test_resumed_both_ways_and_counted(pair):
    settled(pair)
    for workload, direction in ((pair.outbound, 'outbound'), (pair.inbound, 'inbound')):
        assert series(workload, 'fairlead_handshakes_resumed_total', direction=direction) == 2
        lines = ended(workload)
        assert [line['resumed'] for line in lines] == [False, True, True]
        # Each line has the peer and the rule that admits it, resumed or not.
        assert len({(line['peer'], line['group'], line.get('decision'), line.get('rule')) for line in lines}) == 1


def test_off__every_handshake_is_a_full_one(lab, app):
    for side in ('inbound', 'outbound'):
        made = lab.pair(app().port, **{side: {'tls': {'tickets': 'off'}}}, common=FRESH)
        assert [resumes(made) for _ in range(3)] == [False] * 3


def forty_at_once(pair):
    """Returns how many of forty simultaneous connections were resumed."""
    before = len(ended(pair.outbound))
    socks = [connect(pair.port) for _ in range(40)]
    for sock in socks:
        sock.sendall(b'ping')
    for sock in socks:
        assert sock.recv(4) == b'ping'
        sock.shutdown(1)
        assert sock.recv(4) == b''
        sock.close()
    wait_until(lambda: len(ended(pair.outbound)) == before + 40, 'all are over')
    return sum(line['resumed'] for line in ended(pair.outbound)[before:])


def test_more_at_once_than_there_are_saved_sessions(pair):
    settled(pair)
    assert forty_at_once(pair) == 40


@pytest.mark.tsan
def test_workers_know_each_others_tickets(lab, app):
    """This still holds while generations change."""
    pair = mounted_pair(lab, app, sidecar={'workers': 4})
    forty_at_once(pair)  # now each worker of the client's sidecar has a session
    for _ in range(3):
        # A worker with few connections may still have a ticket from two renewals ago.
        assert forty_at_once(pair) >= 30
        next_generation(pair.inbound, lambda: pair.back.write(secret(lab.root.issue(labs.SERVER), lab.root)))


def test_a_server_that_comes_back_with_other_keys(pair):
    """The client's saved sessions are useless. This costs only a full handshake."""
    settled(pair)
    pair.inbound.sidecar.stop()
    pair.inbound.start_sidecar().wait_ready()
    assert not resumes(pair)
    assert resumes(pair)


# --- with other implementations ---------------------------------------------------------------------

def exchange(port, context, session=None):
    with context.wrap_socket(connect(port), session=session) as tls:
        tls.sendall(b'hello')
        assert tls.recv(5) == b'hello'
        return tls.session, tls.session_reused


def test_openssl_client_resumes(lab, app):
    inbound = lab.inbound(app().port)
    context = peers.context(False, lab.client, lab.root)
    session, reused = exchange(inbound.port, context)
    assert not reused
    for _ in range(3):
        session, reused = exchange(inbound.port, context, session)
        assert reused
    wait_until(lambda: len(inbound.sidecar.lines(peer=labs.CLIENT)) == 4, 'the connections are over')
    assert [line['resumed'] for line in inbound.sidecar.lines(peer=labs.CLIENT)] == [False, True, True, True]


def test_openssl_server_is_resumed(lab, app):
    server = peers.Server(app, lab.server, lab.root)
    outbound = lab.outbound(server.port)
    for count in 1, 2, 3:
        with connect(outbound.port) as sock:
            sock.sendall(b'hello')
            assert sock.recv(5) == b'hello'
        wait_until(lambda: len(outbound.sidecar.lines(msg='connection')) == count, 'the connection is over')
    assert [line['resumed'] for line in outbound.sidecar.lines(msg='connection')] == [False, True, True]


def test_ticket_of_another_server_is_of_no_use(lab, app):
    """Root and client are the same, but the sidecar is another one: the handshake is a full one."""
    first, second = lab.inbound(app().port), lab.inbound(app().port)
    context = peers.context(False, lab.client, lab.root)
    session, _ = exchange(first.port, context)
    _, reused = exchange(second.port, context, session)
    assert not reused
    _, reused = exchange(first.port, context, session)
    assert reused


# --- while trust is unchanged --------------------------------------------------------------------------

def test_goes_on_across_renewals_of_the_server(pair, lab):
    settled(pair)
    for _ in range(3):
        next_generation(pair.inbound, lambda: pair.back.write(secret(lab.root.issue(labs.SERVER), lab.root)))
        assert resumes(pair)


def test_a_renewed_client_shows_its_new_certificate_at_once(lab, app):
    """A resumed client shows no certificate, so the server would see the old one until its tickets expire. Python's
    server reports the last certificate that it has seen, and its own tickets stay valid throughout."""
    server = peers.Server(app, lab.server, lab.root)
    sections, volume = mounted(lab, 'front')
    volume.write(secret(lab.client, lab.root))
    outbound = lab.outbound(server.port, sections)
    seen = []

    def ask(svid):
        number = len(seen) + 1
        with connect(outbound.port) as sock:
            sock.sendall(b'hello')
            assert sock.recv(5) == b'hello'
        wait_until(lambda: len(outbound.sidecar.lines(msg='connection')) == number, 'the connection is over')
        seen.append(outbound.sidecar.lines(msg='connection')[-1]['resumed'])
        assert int(server.peers[-1][0]['serialNumber'], 16) == svid.cert.serial_number
    ask(lab.client)
    ask(lab.client)
    for _ in range(3):
        renewed = lab.root.issue(labs.CLIENT)
        next_generation(outbound, lambda: volume.write(secret(renewed, lab.root)))
        ask(renewed)
        ask(renewed)
    assert seen == [False, True] * 4


def test_after_two_renewals_an_unused_ticket_is_too_old(pair, lab):
    settled(pair)
    for _ in range(2):
        next_generation(pair.inbound, lambda: pair.back.write(secret(lab.root.issue(labs.SERVER), lab.root)))
    assert not resumes(pair)
    assert resumes(pair)


def test_ends_when_a_root_is_added_and_when_one_is_removed(pair, lab):
    other = CA(labs.TD)
    settled(pair)
    for workload, volume, svid in ((pair.inbound, pair.back, lab.server), (pair.outbound, pair.front, lab.client)):
        for roots in ((lab.root, other), (lab.root,)):
            next_generation(workload, lambda: volume.write(secret(svid, *roots)))
            assert not resumes(pair), roots
            assert resumes(pair)


def test_peer_of_a_removed_root_is_out_at_its_next_connection(lab, app):
    """Its ticket is valid for another hour, but its root is gone."""
    old = CA(labs.TD)
    sections, volume = mounted(lab, 'back')
    volume.write(secret(lab.server, lab.root, old))
    inbound = lab.inbound(app().port, sections)
    context = peers.context(False, old.issue(labs.CLIENT), lab.root)
    session, _ = exchange(inbound.port, context)
    session, reused = exchange(inbound.port, context, session)
    assert reused
    next_generation(inbound, lambda: volume.write(secret(lab.server, lab.root)))
    with pytest.raises((ssl.SSLError, ConnectionError)) as failure:
        exchange(inbound.port, context, session)
    assert peers.alert_of(failure.value) in (48, None)
    assert inbound.wait_line(reason='certificate_refused')['broken_rule'] == 'chain-unknown-issuer'


def test_server_of_a_removed_root_is_out_at_the_next_connection(lab, app):
    old = CA(labs.TD)
    sections, volume = mounted(lab, 'front')
    volume.write(secret(lab.client, lab.root, old))
    server = peers.Server(app, old.issue(labs.SERVER), lab.root)
    outbound = lab.outbound(server.port, sections)
    for _ in range(2):
        with connect(outbound.port) as sock:
            sock.sendall(b'hello')
            assert sock.recv(5) == b'hello'
    next_generation(outbound, lambda: volume.write(secret(lab.client, lab.root)))
    assert outcome(outbound.port, b'hello') == 'reset'
    assert outbound.wait_line(reason='certificate_refused')['broken_rule'] == 'chain-unknown-issuer'


def test_changed_policy_judges_the_next_connection(pair):
    settled(pair)
    next_generation(pair.inbound, lambda: pair.inbound.change({'allow mesh': {'from': f'{ID}client'}}))
    assert not resumes(pair)
    assert resumes(pair)
    next_generation(pair.inbound, lambda: pair.inbound.change({'allow mesh': {'from': f'{ID}other'}}))
    assert outcome(pair.port, b'hello') == 'reset'
    line = pair.inbound.wait_line(reason='policy_denied')
    assert (line['resumed'], line['peer']) == (False, labs.CLIENT)


def test_changed_peer_judges_the_next_connection(pair):
    settled(pair)
    next_generation(pair.outbound, lambda: pair.outbound.change({'upstream peer': {'peer': f'{ID}other'}}))
    assert outcome(pair.port, b'hello') == 'reset'
    assert pair.outbound.wait_line(reason='certificate_refused')['broken_rule'] == 'peer-not-expected'


def test_a_connection_of_the_old_trust_leaves_no_session_behind(pair, lab):
    """The connection began before the switch. Its ticket comes after it, with the first bytes of the app."""
    sock = connect(pair.port)
    wait_until(lambda: series(pair.inbound, 'fairlead_handshakes_total', direction='inbound', result='ok') == 1,
               'the handshake is over')
    next_generation(pair.outbound, lambda: pair.front.write(secret(lab.client, lab.root, CA(labs.TD))))
    sock.sendall(b'ping')
    assert sock.recv(4) == b'ping'
    assert not resumes(pair)
    sock.close()
