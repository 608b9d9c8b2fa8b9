# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent explain: what policy decides, by which rule, and which rule would admit the peer, from the INI
alone."""
import json

import pytest

from lab import ini
from test_tools import tool

TD = 'spiffe://prod.example'
WEB, BAD, OPS = f'{TD}/ns/web/sa/front', f'{TD}/ns/web/sa/bad', f'{TD}/ns/ops/sa/x'

SECTIONS = {
    'identity': {'cert': '/nowhere/tls.crt', 'key': '/nowhere/tls.key', 'bundle': '/nowhere/ca.crt'},
    'service web': {'listen': '*:8443', 'app': '127.0.0.1:8080'},
    'service db': {'listen': '*:8444', 'app': '127.0.0.1:8081'},
    'allow web': {'from': f'{TD}/ns/web/sa/*', 'to': 'web, 9000-9010'},
    'deny bad': {'from': BAD, 'sources': '10.0.0.0/8'},
    'allow trial': {'mode': 'audit', 'from': OPS, 'to': 'db'},
    'deny watch': {'mode': 'audit', 'from': f'{TD}/ns/web/sa/seen'},
}


@pytest.fixture
def explain(tmp_path):
    """Returns (exit status, the JSON) of a question. The text form has the same status."""
    path = tmp_path / 'fairlead.ini'

    def ask(origin, to, source=None, sections=None):
        path.write_text(ini({**SECTIONS, **(sections or {})}))
        arguments = ['explain', '-c', path, '--from', origin, '--to', to, *(['--source', source] if source else [])]
        status, out, err = tool(*arguments, '--json')
        assert err == ''
        answer = json.loads(out)
        text_status, text, err = tool(*arguments)
        assert (text_status, err) == (status, '')
        assert f'decision  {answer["decision"]}\n' in text and f'from      {origin}' in text
        for line in answer['notes'] + answer['needed']:
            assert line.splitlines()[0] in text
        if answer['rule']:
            assert f'{path}:{answer["line"]}' in text
            assert path.read_text().splitlines()[answer['line'] - 1].endswith(f' {answer["rule"]}]')
            assert answer['file'] == str(path)
        return status, answer
    ask.path = path
    return ask


@pytest.mark.parametrize('origin, to, source, decision, rule', [
    (WEB, 'web', None, 'allow', 'web'), (WEB, '8443', None, 'allow', 'web'), (WEB, 'db', None, 'deny', None),
    (WEB, '8444', None, 'deny', None), (WEB, '9000', None, 'allow', 'web'), (WEB, '9011', None, 'deny', None),
    (BAD, 'web', '10.0.0.1', 'deny', 'bad'), (BAD, 'web', '11.0.0.1', 'allow', 'web'),
    (BAD, 'web', '::ffff:10.0.0.1', 'deny', 'bad'), (BAD, 'web', None, 'allow', 'web'),
    (OPS, 'db', None, 'would_allow', 'trial'), (OPS, 'web', None, 'deny', None),
    (f'{TD}/ns/web/sa/seen', 'web', None, 'would_deny', 'watch'),
    ('spiffe://other.example/x', 'web', None, 'deny', None)])
def test_decision(explain, origin, to, source, decision, rule):
    status, answer = explain(origin, to, source)
    assert (answer['decision'], answer['rule']) == (decision, rule)
    assert status == (0 if decision in ('allow', 'would_deny') else 1)
    assert answer['let_in'] == (status == 0) and answer['audited'] == decision.startswith('would')
    assert answer['decided_by'] == ('rule' if rule else 'default')
    assert (answer['from'], answer['source']) == (origin, source)
    assert (answer['port'], answer['service']) in ((8443, 'web'), (8444, 'db'), (int(to) if to.isdigit() else 0, None))
    assert bool(answer['needed']) == (decision != 'allow')


def test_the_default(explain):
    status, answer = explain(OPS, 'web', sections={'policy': {'default': 'allow'}})
    assert (status, answer['decision'], answer['decided_by'], answer['needed']) == (0, 'allow', 'default', [])


def test_audit_for_all(explain):
    status, answer = explain(OPS, 'web', sections={'policy': {'mode': 'audit'}})
    assert (status, answer['decision'], answer['audited']) == (0, 'would_deny', True)
    assert 'because of audit mode' in answer['notes'][0]


def test_the_rule_that_it_offers_lets_it_in(explain):
    """The rule works when it is pasted unchanged, and explain does not propose a name that is taken."""
    status, answer = explain(WEB, 'db', sections={'allow ns-web-sa-front': {'from': OPS, 'to': 1}})
    rule = answer['needed'][-1]
    assert status == 1 and rule.splitlines() == ['[allow ns-web-sa-front-2]', f'from = {WEB}', 'to = db']
    explain.path.write_text(explain.path.read_text() + '\n' + rule + '\n')
    status, out, _ = tool('explain', '-c', explain.path, '--from', WEB, '--to', 'db', '--json')
    assert (status, json.loads(out)['rule']) == (0, 'ns-web-sa-front-2')
    assert tool('explain', '-c', explain.path, '--from', f'{WEB}2', '--to', 'db')[0] == 1


def test_rules_that_nearly_fit(explain):
    """Names rules that match except for the port or the address. A deny rule that blocks the peer comes first."""
    _, answer = explain(WEB, 'db')
    assert answer['needed'][0].startswith('[allow web]') and '`to`' in answer['needed'][0]
    sources = {'allow near': {'from': OPS, 'sources': '192.0.2.0/24'}}
    _, answer = explain(OPS, 'web', '198.51.100.1', sources)
    assert answer['needed'][0].startswith('[allow near]') and '`sources`' in answer['needed'][0]
    _, answer = explain(OPS, 'web', None, sources)
    assert answer['notes'][0].startswith('[allow near]') and '--source' in answer['notes'][0]
    _, answer = explain(BAD, 'web', '10.0.0.1')
    assert [text.split(' (')[0] for text in answer['needed']] == ['[deny bad]']
    _, answer = explain(BAD, 'db', '10.0.0.1')
    assert answer['needed'][0].startswith('[deny bad]') and answer['needed'][-1].startswith('[allow ')


def test_a_rule_in_audit_mode_is_nothing_to_change(explain):
    """Its change admits nobody, so `needed` names it only where it is all that speaks against an admitted peer."""
    seen = f'{TD}/ns/web/sa/seen'
    near = {'allow near': {'mode': 'audit', 'from': seen, 'sources': '192.0.2.0/24'},
            'allow but': {'mode': 'audit', 'from': f'{TD}/**', 'except_from': seen}}
    _, answer = explain(seen, 'db', '198.51.100.1', {'allow web': {'from': WEB}, **near})
    assert answer['decision'] == 'deny' and [text.splitlines()[0] for text in answer['needed']] == ['[allow ns-web-sa-seen]']
    _, answer = explain(seen, 'web', '198.51.100.1', near)
    assert answer['decision'] == 'would_deny' and [text.split(' (')[0] for text in answer['needed']] == ['[deny watch]']


def test_strict_port_knows_no_plaintext(explain):
    status, answer = explain('plaintext', 'web', sections={'policy': {'default': 'allow'}})
    assert (status, answer['decision'], answer['decided_by'], answer['rule']) == (1, 'deny', 'mode', None)
    assert 'permissive' in answer['needed'][0]


def test_port_that_nothing_listens_on(explain):
    _, answer = explain(WEB, '7777', sections={'sidecar': {'inbound': ''}})
    assert any('listens on port 7777' in text for text in answer['notes'])


CAPTURED = {'service web': {'port': 8080}, 'service db': {'port': 8081}}


@pytest.mark.parametrize('redirect, to, source, how', [
    ({'exclude_inbound': '15020, 9090'}, 9090, None, 'exclude_inbound'),
    ({'exclude_inbound': '10.0.0.0/8:9090'}, 9090, '10.1.2.3', 'exclude_inbound'),
    ({'exclude_inbound': '10.0.0.0/8:9090'}, 9090, '11.1.2.3', None),
    ({'exclude_inbound': '10.0.0.0/8:9090'}, 'web', '10.1.2.3', None),
    ({'exclude_inbound': '10.0.0.0/8:8080'}, 'web', '10.1.2.3', 'exclude_inbound'),
    ({'exclude_inbound': '[::]/0'}, 'web', 'fd00::1', 'exclude_inbound'),
    ({'exclude_inbound': 'interface:eth1'}, 'web', None, None),
    ({'inbound_ports': '8080-8081'}, 9090, '10.1.2.3', 'inbound_ports'),
    ({'inbound_ports': '8080-8081'}, 'web', None, None)])
@pytest.mark.parametrize('origin', ['plaintext', WEB, BAD])
def test_what_capture_leaves_alone(explain, origin, redirect, to, source, how):
    """No rule is asked about it, so none is proposed: whoever connects reaches the app."""
    status, answer = explain(origin, str(to), source, {**CAPTURED, 'redirect': redirect})
    assert (answer['decided_by'] == 'capture') == (how is not None)
    if how is not None:
        assert (status, answer['decision'], answer['let_in'], answer['rule']) == (0, 'allow', True, None)
        assert answer['notes'] == answer['needed'] == []
        assert f'[redirect] {how}` leaves it alone' in tool('explain', '-c', explain.path, '--from', origin, '--to', to,
                                                            *(['--source', source] if source else []))[1]


@pytest.mark.parametrize('origin', ['plaintext', WEB, BAD])
@pytest.mark.parametrize('source', [None, '10.0.0.1'])
def test_a_direction_without_a_listener_is_not_captured(explain, origin, source):
    """Other ports than those of fixed listeners are the app's own."""
    sections = {'sidecar': {'inbound': ''}, 'redirect': {}}
    status, answer = explain(origin, '9090', source, sections)
    assert (status, answer['decision'], answer['decided_by'], answer['let_in']) == (0, 'allow', 'capture', True)
    assert answer['notes'] == answer['needed'] == []
    assert '`[sidecar] inbound` is empty' in tool('explain', '-c', explain.path, '--from', origin, '--to', 9090)[1]
    assert explain(origin, 'db', source, sections)[1]['decision'] == 'deny'
    assert explain(origin, '8444', source, sections)[1]['decision'] == 'deny'


@pytest.mark.parametrize('redirect, source, note', [
    ({'exclude_inbound': '10.0.0.0/8:8080'}, None, '10.0.0.0/8:8080'),
    ({'exclude_inbound': 'interface:eth1'}, None, 'interface:eth1'),
    ({'exclude_inbound': '10.0.0.0/8:8080'}, '11.1.1.1', None), ({'exclude_inbound': '10.0.0.0/8:8081'}, None, None)])
def test_what_capture_leaves_alone_in_part(explain, redirect, source, note):
    _, answer = explain(WEB, 'web', source, {**CAPTURED, 'redirect': redirect})
    told = [text for text in answer['notes'] if 'leaves' in text]
    assert answer['decision'] == 'allow' and answer['rule'] == 'web'
    assert len(told) == (note is not None) and all(f'leaves {note} alone' in text for text in told)


def test_the_default_of_capture_is_a_note(explain):
    """Without [redirect] it is not known what captures."""
    status, answer = explain(WEB, '15020', sections={**CAPTURED, 'sidecar': {'admin': '*:15021'}})
    assert (status, answer['decision'], answer['decided_by']) == (1, 'deny', 'default')
    assert 'if `fairlead-agent redirect` captures here' in answer['notes'][0]


@pytest.mark.parametrize('arguments, text', [
    ([], 'missing --from: '), (['--from', WEB], 'missing --to: '), (['--to', '80'], 'missing --from: '),
    (['--from', 'x', '--to', '80'], 'begins with spiffe://'), (['--from', f'{TD}/*', '--to', '80'], 'is a pattern'),
    (['--from', TD, '--to', '80'], 'not an identity'), (['--from', f'{TD}/a b', '--to', '80'], '0x20'),
    (['--from', WEB, '--to', '0'], 'from 1 to 65535'), (['--from', WEB, '--to', '65536'], 'from 1 to 65535'),
    (['--from', WEB, '--to', '1-2'], 'name one port'), (['--from', WEB, '--to', 'webb'], 'did you mean `web`?'),
    (['--from', WEB, '--to', ''], 'neither a port'), (['--from', WEB, '--to', '80', '--source', 'x'], 'not a network'),
    (['--from', WEB, '--to', '80', '--source', '10.0.0.0/8'], 'name one address'),
    (['--from', WEB, '--to', '80', '--sorce', 'x'], 'did you mean `--source`?'),
    (['--from', WEB, '--to', '80', 'x'], 'one word too many'), (['--from'], 'needs a value')], ids=' '.join)
def test_a_wrong_question(explain, arguments, text):
    explain(WEB, 'web')
    status, out, err = tool('explain', '-c', explain.path, *arguments)
    assert (status, out) == (2, '') and text in err
    assert len(err.splitlines()) == 1 and err.startswith('fairlead-agent explain: ')


def test_services_that_share_a_port_are_asked_for_by_name(explain):
    sections = {'service web': {'listen': '127.0.0.1:8443', 'app': '127.0.0.1:8080'},
                'service db': {'listen': '127.0.0.2:8443', 'app': '127.0.0.1:8081'}}
    assert explain(WEB, 'web', sections=sections)[0] == 0
    assert explain(WEB, 'db', sections=sections)[0] == 1
    status, out, err = tool('explain', '-c', explain.path, '--from', WEB, '--to', '8443')
    assert (status, out) == (2, '') and 'name one of them' in err


def test_bad_ini(explain):
    explain(WEB, 'web')
    explain.path.write_text(explain.path.read_text() + '[alow x]\nfrom = plaintext\n')
    status, out, err = tool('explain', '-c', explain.path, '--from', WEB, '--to', '80')
    assert (status, out) == (2, '') and err.startswith(f'{explain.path}:')
    status, out, err = tool('explain', '-c', f'{explain.path}.no', '--from', WEB, '--to', '80')
    assert (status, out) == (2, '') and len(err.splitlines()) == 1


def test_exceptions(explain):
    sections = {'allow most': {'from': f'{TD}/ns/ops/**', 'except_from': f'{TD}/ns/ops/sa/z', 'except_to': 'web'}}
    _, answer = explain(f'{TD}/ns/ops/sa/z', 'db', None, sections)
    most = answer['needed'][-2]
    assert most.startswith('[allow most]') and 'without this in its `except_from`' in most
    assert any('[allow most]' in note and '`except_from`' in note for note in answer['notes'])
    status, answer = explain(f'{TD}/ns/ops/sa/y', 'db', None, sections)
    assert (status, answer['rule']) == (0, 'most')
    status, answer = explain(f'{TD}/ns/ops/sa/y', 'web', None, sections)
    assert status == 1 and any('`except_to`' in note for note in answer['notes'])


def test_exceptions__address_unknown__is_asked_for(explain):
    sections = {'deny far': {'from': f'{TD}/**', 'except_sources': '10.0.0.0/8'}}
    status, answer = explain(WEB, 'web', None, sections)
    assert (status, answer['rule']) == (1, 'far')
    assert any('[deny far]' in note and '--source' in note for note in answer['notes'])
    assert explain(WEB, 'web', '10.0.0.1', sections)[0] == 0
    sections = {'allow most': {'from': OPS, 'except_sources': '10.0.0.0/8'}}
    _, answer = explain(OPS, 'web', None, sections)
    assert any('[allow most]' in note and '--source' in note for note in answer['notes'])
    assert not any('except_sources' in needed for needed in answer['needed'])
    assert any('except_sources' in needed for needed in explain(OPS, 'web', '10.0.0.1', sections)[1]['needed'])


def test_the_port_of_the_app_is_not_the_one_that_peers_dial(explain):
    """Questions about the app's port, and rules with it, get a hint at the port that peers dial."""
    status, answer = explain(WEB, 8080)
    assert status == 1 and answer['notes'] == [
        'port 8080 is where the app of [service web] listens; peers dial port 8443: ask with --to web']
    status, answer = explain(OPS, 'web', sections={'allow ops': {'from': OPS, 'to': 8080}})
    assert status == 1 and len(answer['notes']) == 1
    assert answer['notes'][0].startswith('[allow ops] (') and answer['notes'][0].endswith(
        ' does not apply: `to` names port 8080, where the app of [service web] listens; rules name the port that peers dial: '
        'write `to = web`, or 8443')
    assert explain(OPS, 'web', sections={'allow ops': {'from': OPS, 'to': 'web'}})[0] == 0
    # Peers dial this port too.
    other = {'service other': {'port': 8080}}
    assert explain(OPS, 'web', sections={'allow ops': {'from': OPS, 'to': 8080}, **other})[1]['notes'] == []
    assert explain(OPS, 8080, sections={'allow ops': {'from': OPS, 'to': 8080}, **other})[0] == 0
    assert explain(OPS, 8080, sections={'sidecar': {'inbound': '*:15006'}, 'allow ops': {'from': OPS, 'to': 8080}})[1]['notes'] == []
