# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators see what is in force and what fails: the state of each upstream and service in /status, metrics and log."""
import re

import lab as labs
import peers
from lab import connect, outcome, wait_until
from reports import ask, metric, status, tool


def of(items, **fields):
    """Returns the only item with these fields."""
    found = [item for item in items if fields.items() <= item.items()]
    assert len(found) == 1, items
    return found[0]


def upstream(workload, name='peer'):
    return of(status(workload)['upstreams'], upstream=name)


def service(workload, name='app'):
    return of(status(workload)['services'], service=name)


def test_upstream_that_works_and_then_fails(lab, app):
    pair = lab.pair(app().port)
    ask(pair, 1000)
    wait_until(lambda: upstream(pair.outbound)['open'] == 0, 'the connection has ended')
    state = upstream(pair.outbound)
    assert (state['mode'], state['to'], state['peer']) == ('mtls', [f'127.0.0.1:{pair.inbound.port}'], [labs.SERVER])
    assert state['listen'] == f'127.0.0.1:{pair.port}' and state['last_failure'] is None and not state['failing']
    assert (state['opened'], state['succeeded'], state['to_app'], state['to_mesh']) == (1, 1, 1000, 1000)
    assert re.fullmatch(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ', state['last_success'])

    pair.inbound.sidecar.stop()
    for _ in range(3):
        assert outcome(pair.port) == 'reset'
    state = upstream(pair.outbound)
    assert state['failing'] and state['failures'] == {'peer_refused': 3}
    failure = state['last_failure']
    assert (failure['reason'], failure['address']) == ('peer_refused', f'127.0.0.1:{pair.inbound.port}')
    line = pair.outbound.wait_line(msg='upstream fails')
    assert (line['level'], line['upstream'], line['address']) == ('warn', 'peer', failure['address'])
    assert 'nothing listens there' in line['remedy'] and line['failures'] == 1
    assert len(pair.outbound.sidecar.lines(msg='upstream fails')) == 1, 'once, then at most every ten seconds'
    assert pair.outbound.metric('fairlead_upstream_failures_total', upstream='peer', reason='peer_refused') == 3
    assert pair.outbound.metric('fairlead_upstream_failing', upstream='peer') == 1


def test_server_that_refuses_us_is_a_failure(lab, app):
    """The handshake succeeds on our side before the server's policy refuses us."""
    inbound = lab.inbound(app().port, allow=f'spiffe://{labs.TD}/nobody')
    outbound = lab.outbound(inbound.port)
    assert outcome(outbound.port, b'x') == 'reset'
    state = upstream(outbound)
    assert state['failing'] and state['succeeded'] == 0 and state['last_failure']['reason'] == 'peer_alert'
    line = outbound.wait_line(msg='connection', reason='peer_alert')
    assert line['peer'] == labs.SERVER, 'a client that is refused knows by whom'


def test_lines_of_one_connection_can_be_joined(lab, app):
    pair = lab.pair(app().port)
    for _ in range(2):
        ask(pair, 10)
    ours = wait_until(lambda: len(found := pair.outbound.sidecar.lines(reason='done')) == 2 and found, 'the client logs')
    theirs = wait_until(lambda: len(found := pair.inbound.sidecar.lines(reason='done')) == 2 and found, 'so does the server')
    for line in ours:
        other = of(theirs, session=line['session'], use=line['use'])
        assert re.fullmatch('[0-9a-f]{16}', line['session'])
        assert other['source'] == f'127.0.0.1:{line["mesh_port"]}'


def test_deny_rule_is_named(lab, app):
    stranger = lab.root.issue(f'spiffe://{labs.TD}/stranger')
    inbound = lab.inbound(app().port, {'deny quarantine': {'from': f'spiffe://{labs.TD}/stranger'}})
    assert peers.verdict(inbound.port, stranger, lab.root) == 49
    line = inbound.wait_line(reason='policy_denied')
    assert f'[deny quarantine] ({inbound.ini}:{line["rule_line"]}) refuses it' in line['remedy']


def test_status_for_people(lab, app):
    pair = lab.pair(app().port, outbound={'upstream peer': {'to': 'localhost:1'}},
                    inbound={'deny quarantine': {'from': f'spiffe://{labs.TD}/stranger'}})
    assert outcome(pair.port) == 'reset'
    code, out, _ = tool('status', '-c', pair.outbound.ini)
    assert code == 0
    for pattern in (r'^FAILING +upstream peer: peer_refused at (127\.0\.0\.1|\[::1\]):1, \d+s ago$',
                    r'^upstreams +peer: mtls, 0 open of 1, last success never$', r'^ +last failure: peer_refused at ',
                    r'^ +localhost: .*127\.0\.0\.1.*, answered \d+s ago$', r'^policy +default deny: no hits$'):
        assert re.search(pattern, out, re.M), (pattern, out)
    out = tool('status', '-c', pair.inbound.ini)[1]
    for pattern in (r'^services +app: strict, 0 open of 0$', r'^ +\[deny quarantine\], line \d+: no hits$'):
        assert re.search(pattern, out, re.M), (pattern, out)


def test_app_that_is_down(lab):
    with labs.App(labs.echo) as app:
        port = app.port
    pair = lab.pair(port)
    assert outcome(pair.port, b'x') == 'reset'
    line = pair.inbound.wait_line(reason='app_refused', msg='connection')
    assert line['app_addr'] == f'127.0.0.1:{port}'
    state = service(pair.inbound)
    assert state['failing'] and state['last_failure']['address'] == f'127.0.0.1:{port}'
    assert state['failures'] == {'app_refused': 1}
    assert pair.inbound.wait_line(msg='service fails')['address'] == f'127.0.0.1:{port}'
    assert pair.inbound.metric('fairlead_service_failing', service='app') == 1


def test_names_and_their_answers(lab):
    outbound = lab.outbound(1, {'upstream peer': {'to': 'localhost:1, does-not-exist.invalid:1, LOCALHOST:2, localhost:3'},
                                'sidecar': {'outbound': f'127.0.0.1:{lab.ports.free()}'},
                                'upstream far': {'to': 'localhost:1, localhost:2'}})
    names = upstream(outbound)['names']
    assert [name['name'] for name in names] == ['localhost', 'does-not-exist.invalid']
    assert names[0]['count'] >= 1 and '127.0.0.1' in names[0]['addresses'] and names[0]['last_answer']
    assert names[0]['trouble'] is None
    assert (names[1]['count'], names[1]['addresses']) == (0, []) and names[1]['trouble']
    assert metric(outbound, 'fairlead_upstream_addresses', upstream='peer') == names[0]['count']
    assert metric(outbound, 'fairlead_upstream_addresses', upstream='far') == names[0]['count']


def test_policy_and_its_rules(lab, app):
    stranger = lab.root.issue(f'spiffe://{labs.TD}/stranger')
    inbound = lab.inbound(app().port, {
        'deny quarantine': {'from': f'spiffe://{labs.TD}/stranger'},
        'allow later': {'from': f'spiffe://{labs.TD}/later', 'mode': 'audit'}})
    assert peers.verdict(inbound.port, stranger, lab.root) == 49
    policy = status(inbound)['policy']
    assert (policy['default'], policy['mode'], policy['default_last']) == ('deny', 'enforce', None)
    quarantine = of(policy['rules'], name='quarantine')
    assert quarantine['kind'] == 'deny' and quarantine['decisions'] == {'deny': 1} and quarantine['last']
    assert quarantine['file'] == str(inbound.ini) and quarantine['line'] > 1
    later = of(policy['rules'], name='later')
    assert (later['mode'], later['decisions'], later['last']) == ('audit', {}, None)


def test_failed_is_a_level_of_access(lab, app):
    inbound = lab.inbound(app().port, {'log': {'access': 'failed'}})
    outbound = lab.outbound(inbound.port)
    with connect(outbound.port) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        labs.reset(sock)
    inbound.wait_line(reason='peer_reset')
    with connect(outbound.port) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
    outbound.wait_line(msg='connection', reason='done')
    wait_until(lambda: status(inbound)['connections']['inbound']['open'] == 0, 'both have ended')
    assert not inbound.sidecar.lines(msg='connection', reason='done')


def test_a_section_that_is_gone_has_no_series(lab, app):
    inbound = lab.inbound(app().port, {'upstream other': {'listen': f'127.0.0.1:{lab.ports.free()}',
                                                          'to': '127.0.0.1:1', 'peer': labs.SERVER}})
    assert 'upstream="other"' in inbound.get('/metrics')[1]
    inbound.change({'upstream other': None})
    wait_until(lambda: status(inbound)['upstreams'] == [], 'the section is gone')
    assert 'upstream="other"' not in inbound.get('/metrics')[1]
    assert tool('check', '-c', inbound.ini)[0] == 0
