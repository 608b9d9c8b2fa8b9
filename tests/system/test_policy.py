# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests rules over real connections: where a peer comes from, and what audit mode does and records."""
import re
import socket
import ssl

import pytest

import lab as labs
import peers
from lab import wait_until

CLIENT, SERVER, TD = labs.CLIENT, labs.SERVER, labs.TD


def verdict_from(source, to, svid, root):
    """Returns peers.verdict for a client with this address of the machine."""
    host = '::1' if ':' in source else '127.0.0.1'
    try:
        with socket.create_connection((host, to), timeout=10 * labs.SLOW, source_address=(source, 0)) as sock:
            with peers.context(False, svid, root).wrap_socket(sock) as tls:
                tls.sendall(b'x')
                return tls.recv(100) or 'closed'
    except ssl.SSLError as error:
        return peers.alert_of(error) or str(error)


# --- sources ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('sources, source, good', [
    ('127.0.0.1', '127.0.0.1', True), ('127.0.0.1', '127.0.0.2', False), ('127.0.0.2/31', '127.0.0.3', True),
    ('127.0.0.2/31', '127.0.0.4', False), ('127.0.0.0/8', '127.1.2.3', True), ('10.0.0.0/8', '127.0.0.1', False),
    ('10.0.0.0/8, 127.0.0.7', '127.0.0.7', True), ('::1', '::1', True), ('::1', '127.0.0.1', False),
    ('::2/127', '::1', False), ('0.0.0.0/0', '::1', False), ('::/0', '127.0.0.1', False), ('::/0', '::1', True)])
def test_sources(lab, app, sources, source, good):
    """On a dual-stack listener, the kernel writes IPv4 peers as IPv6."""
    server = app()
    inbound = lab.inbound(server.port, {'service app': {'listen': '*:0'}, 'allow near': {'from': CLIENT,
                                                                                      'sources': sources}},
                          allow=None, start=False)
    inbound.change({'service app': {'listen': f'*:{inbound.port}'}})
    inbound.start().wait_ready()
    assert verdict_from(source, inbound.port, lab.client, lab.root) == (b'x' if good else 49)
    if not good:
        line = inbound.wait_line(reason='policy_denied')
        assert (line['decision'], line['rule']) == ('deny', 'default')
        assert server.accepted == 0


def test_deny_by_source(lab, app):
    inbound = lab.inbound(app().port, {'deny far': {'from': f'spiffe://{TD}/**', 'sources': '127.0.0.2'}})
    assert verdict_from('127.0.0.1', inbound.port, lab.client, lab.root) == b'x'
    assert verdict_from('127.0.0.2', inbound.port, lab.client, lab.root) == 49
    assert inbound.wait_line(reason='policy_denied')['rule'] == 'far'


# --- exceptions -------------------------------------------------------------------------------------

def test_exceptions_of_allow_rules(lab, app):
    """Each kind of exception refuses on its own, and only where it matches."""
    inbound = lab.inbound(app().port, {'allow most': {
        'from': f'spiffe://{TD}/**', 'except_from': f'{SERVER}, spiffe://{TD}/x/**', 'except_sources': '127.0.0.2/31'}}, allow=None)
    deep = lab.root.issue(f'spiffe://{TD}/x/y')
    assert verdict_from('127.0.0.1', inbound.port, lab.client, lab.root) == b'x'
    assert verdict_from('127.0.0.4', inbound.port, lab.client, lab.root) == b'x'
    for svid, source in ((lab.server, '127.0.0.1'), (deep, '127.0.0.1'), (lab.client, '127.0.0.2'), (lab.client, '127.0.0.3')):
        assert verdict_from(source, inbound.port, svid, lab.root) == 49
    denied = [line for line in inbound.sidecar.lines(reason='policy_denied')]
    assert [(line['decision'], line['rule']) for line in denied] == 4 * [('deny', 'default')]
    inbound.change({'allow most': {'from': f'spiffe://{TD}/**', 'except_to': 'app'}})
    wait_until(lambda: verdict_from('127.0.0.1', inbound.port, lab.client, lab.root) == 49, 'the exception is not in force')


def test_exceptions_of_deny_rules(lab, app):
    """An exception keeps the rule from refusing; it admits nobody."""
    inbound = lab.inbound(app().port, {'deny most': {'from': f'spiffe://{TD}/**', 'except_from': f'{CLIENT}, spiffe://{TD}/stranger'}},
                          allow=f'{CLIENT}, {SERVER}')
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert peers.verdict(inbound.port, lab.server, lab.root) == 49
    assert inbound.wait_line(reason='policy_denied')['rule'] == 'most'
    assert peers.verdict(inbound.port, lab.root.issue(f'spiffe://{TD}/stranger'), lab.root) == 49


def test_new_exception_closes_what_is_open(lab, app):
    inbound = lab.inbound(app().port, allow=f'spiffe://{TD}/**')
    with socket.create_connection(('127.0.0.1', inbound.port), timeout=10 * labs.SLOW) as sock, \
            peers.context(False, lab.client, lab.root).wrap_socket(sock) as tls:
        tls.sendall(b'x')
        assert tls.recv(10) == b'x'
        inbound.change({'allow mesh': {'from': f'spiffe://{TD}/**', 'except_from': CLIENT}})
        inbound.wait_line(reason='policy_lost')


# --- audit ------------------------------------------------------------------------------------------

def test_audit_for_all_lets_pass_and_records(lab, app):
    """`access = denied` logs these connections too: anyone who logs denials also wants to see would-be denials."""
    inbound = lab.inbound(app().port, {'policy': {'mode': 'audit'}, 'log': {'access': 'denied'},
                                       'deny server': {'from': SERVER}}, allow=CLIENT)
    stranger = lab.root.issue(f'spiffe://{TD}/stranger')
    for svid in (lab.client, lab.server, stranger):
        assert peers.verdict(inbound.port, svid, lab.root) == b'x'
    assert inbound.sidecar.stop() == 0
    lines = [(line['peer'], line['decision'], line['rule'], line['msg'])
             for line in inbound.sidecar.lines(direction='inbound')]
    assert sorted(lines) == sorted([(SERVER, 'would_deny', 'server', 'connection'),
                                    (f'spiffe://{TD}/stranger', 'would_deny', 'default', 'connection')])


def test_audit_is_no_way_around_the_certificate(lab, app):
    """Even in audit mode, the sidecar refuses a missing certificate, one of a foreign root, and one that is not an
    SVID."""
    inbound = lab.inbound(app().port, {'policy': {'mode': 'audit', 'default': 'allow'}})
    assert peers.verdict(inbound.port, None, lab.root) == 116
    assert peers.verdict(inbound.port, lab.other_root.issue(CLIENT), lab.root) == 48
    assert peers.verdict(inbound.port, lab.root.issue(dns=['web']), lab.root) == 42


def test_audit_of_a_deny_rule(lab, app):
    """The rule refuses no peer, and admits none."""
    inbound = lab.inbound(app().port, {'deny trial': {'from': f'spiffe://{TD}/**', 'mode': 'audit'}}, allow=CLIENT)
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    line = inbound.wait_line(msg='connection', direction='inbound')
    assert (line['decision'], line['rule'], line['rule_file']) == ('would_deny', 'trial', str(inbound.ini))
    assert inbound.ini.read_text().splitlines()[line['rule_line'] - 1] == '[deny trial]'
    assert peers.verdict(inbound.port, lab.server, lab.root) == 49
    line = inbound.wait_line(reason='policy_denied')
    assert (line['decision'], line['rule']) == ('deny', 'default')


def test_audit_of_an_allow_rule(lab, app):
    """The rule admits no peer, and logs which peers it would admit."""
    server = app()
    inbound = lab.inbound(server.port, {'allow trial': {'from': SERVER, 'mode': 'audit'}}, allow=CLIENT)
    assert peers.verdict(inbound.port, lab.server, lab.root) == 49
    line = inbound.wait_line(reason='policy_denied')
    assert (line['decision'], line['rule'], line['level']) == ('would_allow', 'trial', 'warn')
    assert server.accepted == 0
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


# --- counted by rule ----------------------------------------------------------------------------------

def decisions(workload):
    """Returns {(rule, decision): number} as Prometheus reads it."""
    text = workload.get('/metrics')[1]
    return {(rule, word): int(number) for rule, word, number in re.findall(
        r'^fairlead_policy_decisions_total\{rule="(.+?)",decision="(.+?)"\} (\d+)$', text, re.MULTILINE)}


def test_decisions_are_counted_by_rule_and_survive_a_reload(lab, app):
    inbound = lab.inbound(app().port, {'deny server': {'from': SERVER}, 'deny trial': {
        'from': f'spiffe://{TD}/tried', 'mode': 'audit'}, 'sidecar': {'workers': 2}}, allow=CLIENT)
    tried, stranger = lab.root.issue(f'spiffe://{TD}/tried'), lab.root.issue(f'spiffe://{TD}/stranger')
    assert decisions(inbound) == {('default', 'allow'): 0, ('default', 'deny'): 0}
    for _ in range(3):
        assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    for svid, alert in ((lab.server, 49), (stranger, 49), (tried, 49)):
        assert peers.verdict(inbound.port, svid, lab.root) == alert
    counted = {('mesh', 'allow'): 3, ('server', 'deny'): 1, ('default', 'deny'): 2, ('default', 'allow'): 0}
    assert decisions(inbound) == counted
    # The rule `server` is removed, the default changes, and another rule moves up.
    inbound.change({'deny server': None, 'policy': {'default': 'allow'}, 'deny early': {'from': f'spiffe://{TD}/x'}})
    inbound.wait_line(msg='generation in use', generation=2)
    del counted['server', 'deny']
    wait_until(lambda: decisions(inbound) == counted, 'the counts of rules that are still there')
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert peers.verdict(inbound.port, tried, lab.root) == b'x'
    assert peers.verdict(inbound.port, stranger, lab.root) == b'x'
    counted.update({('mesh', 'allow'): 4, ('trial', 'would_deny'): 1, ('default', 'allow'): 1})
    assert decisions(inbound) == counted


def test_no_certificate_is_no_decision(lab, app):
    """Policy does not decide about a peer that has not proved its identity."""
    inbound = lab.inbound(app().port)
    assert peers.verdict(inbound.port, None, lab.root) == 116
    assert decisions(inbound) == {('default', 'allow'): 0, ('default', 'deny'): 0}
