# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the metrics of each peer, by verified identity and direction. They exist during a connection and after it, and
never exceed the bound, whichever peers connect."""
import json
import re

import pytest

import lab as labs
import peers
from lab import connect, outcome, wait_until
from pki import CA
from reports import promtool
from volume import mounted, secret

ID = f'spiffe://{labs.TD}/ns/test/sa/'
BOUND = 256  # FL_PEERS_MAX


def told(workload, direction='inbound'):
    """Returns {peer: {'opened': 1, 'open': 0, 'closed': {reason: 1}, 'to_app': 1, 'to_mesh': 1, 'failed': {reason: 1}}}
    from the metrics. /status has to agree."""
    found = {}
    for line in workload.get('/metrics')[1].splitlines():
        match = re.fullmatch(r'fairlead_peer_(\w+)\{(.*)\} (\d+)', line)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2])) if match else {}
        if labels.get('direction') != direction:
            continue
        peer, value = found.setdefault(labels['peer'], {'closed': {}, 'failed': {}}), int(match[3])
        if match[1] == 'bytes_total':
            peer[f'to_{labels["to"]}'] = value
        elif 'reason' in labels:
            kind = {'connections_closed_total': 'closed', 'handshakes_failed_total': 'failed'}[match[1]]
            peer[kind][labels['reason']] = value
        else:
            peer[{'connections_opened_total': 'opened', 'connections_open': 'open'}[match[1]]] = value
    return found


def of_status(workload, direction='inbound'):
    """Returns the same from /status."""
    return {entry['peer']: {'opened': entry['opened'], 'open': entry['open'], 'closed': entry['closed'],
                            'to_app': entry['to_app'], 'to_mesh': entry['to_mesh'],
                            'failed': entry['handshakes_failed']}
            for entry in json.loads(workload.get('/status')[1])['peers'] if entry['direction'] == direction}


def counts(opened, *, open=0, closed=None, to_app=0, to_mesh=0, failed=None):
    return {'opened': opened, 'open': open, 'closed': {'done': 0, **(closed or {})}, 'to_app': to_app,
            'to_mesh': to_mesh, 'failed': failed or {}}


def expect(workload, wanted, direction='inbound'):
    wait_until(lambda: told(workload, direction) == wanted, lambda: f'{told(workload, direction)}, not {wanted}')
    assert of_status(workload, direction) == wanted
    promtool(workload.get('/metrics')[1])


def size(workload):
    return [workload.metric(f'fairlead_peers{what}') for what in ('', '_max', '_forgotten_total')]


def ping(port):
    with connect(port) as sock:
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
        sock.shutdown(1)
        assert sock.recv(4) == b''


def test_two_peers_one_refused_and_plaintext(lab, app):
    plain = lab.ports.free()
    echo = app().port
    inbound = lab.inbound(echo, {
        'service clear': {'listen': f'127.0.0.1:{plain}', 'app': f'127.0.0.1:{echo}', 'mode': 'plaintext'},
        'allow clear': {'from': 'plaintext', 'to': 'clear'},
        'deny bad': {'from': f'{ID}bad'}})
    expect(inbound, {})
    for name, times in (('one', 1), ('two', 2)):
        for _ in range(times):
            assert peers.verdict(inbound.port, lab.root.issue(f'{ID}{name}'), lab.root) == b'x'
    peers.verdict(inbound.port, lab.root.issue(f'{ID}bad'), lab.root)
    ping(plain)
    # Python's ssl sends no close_notify.
    expect(inbound, {f'{ID}one': counts(1, closed={'peer_truncated': 1}, to_app=1, to_mesh=1),
                     f'{ID}two': counts(2, closed={'peer_truncated': 2}, to_app=2, to_mesh=2),
                     f'{ID}bad': counts(1, closed={'policy_denied': 1}),
                     'plaintext': counts(1, closed={'done': 1}, to_app=4, to_mesh=4)})
    assert size(inbound) == [3, BOUND, 0]


def test_bytes_of_an_open_connection(lab, app):
    pair = lab.pair(app().port)
    with connect(pair.port) as sock:
        for number in (1, 2):
            sock.sendall(bytes(1000))
            assert len(sock.recv(1000, labs.socket.MSG_WAITALL)) == 1000
            open_ones = counts(1, open=1, to_app=1000 * number, to_mesh=1000 * number)
            expect(pair.inbound, {labs.CLIENT: open_ones})
            expect(pair.outbound, {labs.SERVER: open_ones}, 'outbound')
        sock.shutdown(1)
        assert sock.recv(1) == b''
    done = counts(1, closed={'done': 1}, to_app=2000, to_mesh=2000)
    expect(pair.inbound, {labs.CLIENT: done})
    expect(pair.outbound, {labs.SERVER: done}, 'outbound')


def test_resumed_and_rotated_it_is_the_same_peer(lab, app):
    sections, volume = mounted(lab, 'front')
    volume.write(secret(lab.client, lab.root))
    pair = lab.pair(app().port, outbound=sections,
                    common={'sidecar': {'workers': 2}, 'tls': {'reuse': 'off'}})
    for _ in range(4):
        ping(pair.port)
    assert pair.inbound.metric('fairlead_handshakes_resumed_total', direction='inbound') > 0
    volume.write(secret(lab.root.issue(labs.CLIENT), lab.root))
    pair.outbound.wait_line(msg='generation in use', generation=2)
    for _ in range(3):
        ping(pair.port)
    expect(pair.inbound, {labs.CLIENT: counts(7, closed={'done': 7}, to_app=28, to_mesh=28)})
    expect(pair.outbound, {labs.SERVER: counts(7, closed={'done': 7}, to_app=28, to_mesh=28)}, 'outbound')
    assert size(pair.inbound)[0] == size(pair.outbound)[0] == 1


def test_who_proves_nothing_is_nobody(lab, app):
    """These peers are not counted: no certificate, a foreign root that claims a good ID, another trust domain,
    garbage."""
    inbound = lab.inbound(app().port)
    impostor = CA(labs.TD).issue(labs.CLIENT)
    for svid in (None, impostor, lab.other_root.issue('spiffe://other.example/x')):
        peers.verdict(inbound.port, svid, lab.root)
    outcome(inbound.port, b'this is no TLS')
    wait_until(lambda: len(inbound.sidecar.lines(direction='inbound')) == 4, 'all have ended')
    assert told(inbound) == {} and size(inbound)[0] == 0
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    peers.verdict(inbound.port, impostor, lab.root)
    wait_until(lambda: len(inbound.sidecar.lines(direction='inbound')) == 6, 'both have ended')
    expect(inbound, {labs.CLIENT: counts(1, closed={'peer_truncated': 1}, to_app=1, to_mesh=1)})


def test_handshake_that_fails_for_a_known_peer(lab, app):
    """Two upstreams lead to one server, and one of them expects another identity."""
    inbound = lab.inbound(app().port)
    other = lab.ports.free()
    outbound = lab.outbound(inbound.port, {
        'tls': {'tickets': 'off'},
        'upstream other': {'listen': f'127.0.0.1:{other}', 'to': f'127.0.0.1:{inbound.port}', 'peer': f'{ID}other'}})
    assert outcome(other) == 'reset'
    outbound.wait_line(reason='certificate_refused')
    assert told(outbound, 'outbound') == {}, 'it makes nobody known'
    ping(outbound.port)
    assert outcome(other) == 'reset'
    expect(outbound, {labs.SERVER: counts(1, closed={'done': 1}, to_app=4, to_mesh=4,
                                          failed={'certificate_refused': 1})}, 'outbound')


def test_a_known_peer_that_is_revoked(lab, app):
    sections, volume = mounted(lab, 'back')
    sections['identity']['crl'] = volume / 'crl.pem'
    svid = lab.root.issue(f'{ID}one')
    volume.write({**secret(lab.server, lab.root), 'crl.pem': lab.root.crl([])})
    inbound = lab.inbound(app().port, sections)
    assert peers.verdict(inbound.port, svid, lab.root) == b'x'
    inbound.wait_line(reason='peer_truncated')
    volume.write({**secret(lab.server, lab.root), 'crl.pem': lab.root.crl([svid])})
    inbound.wait_line(msg='generation in use', generation=2)
    assert peers.verdict(inbound.port, svid, lab.root) == 44
    expect(inbound, {f'{ID}one': counts(1, closed={'peer_truncated': 1}, to_app=1, to_mesh=1,
                                        failed={'certificate_refused': 1})})


def test_our_own_certificate_is_refused_by_that_peer(lab, app):
    """In TLS 1.3, a client is done before the server has judged it: the peer is known, and the refusal is counted for
    it."""
    inbound = lab.inbound(app().port, allow=f'{ID}somebody')
    outbound = lab.outbound(inbound.port)
    assert outcome(outbound.port) in ('reset', 'eof')
    expect(outbound, {labs.SERVER: counts(1, closed={'peer_alert': 1})}, 'outbound')
    expect(inbound, {labs.CLIENT: counts(1, closed={'policy_denied': 1})})


@pytest.mark.heavy
def test_more_peers_than_the_bound(lab, app):
    inbound = lab.inbound(app().port, {'sidecar': {'workers': 2}})
    first = [lab.root.issue(f'{ID}{number}') for number in range(BOUND)]
    late = [lab.root.issue(f'{ID}late{number}') for number in range(10)]
    for svid in [*first, *late, first[0]]:
        assert peers.verdict(inbound.port, svid, lab.root) == b'x'
    wait_until(lambda: inbound.metric('fairlead_peer_connections_open') == 0, 'all have ended')
    seen = told(inbound)
    assert set(seen) == {f'{ID}{number}' for number in range(BOUND)} | {'other'}
    assert seen['other'] == counts(10, closed={'peer_truncated': 10}, to_app=10, to_mesh=10)
    assert seen[f'{ID}0']['opened'] == 2 and seen[f'{ID}1']['opened'] == 1
    assert size(inbound) == [BOUND, BOUND, 0]
    promtool(inbound.get('/metrics')[1])
