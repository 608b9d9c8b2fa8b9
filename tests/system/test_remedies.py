# SPDX-License-Identifier: GPL-3.0-or-later
"""Pastes the remedies of the log into the INI: `check` accepts them, and then the connection is carried.

Remedies that are not INI text (for a broken certificate rule, for a loop) are in test_svid_rules.py and
test_capture_rules.py."""
import re
import socket

import pytest

import lab as labs
import peers
from lab import connect, wait_until
from test_tools import tool

LONG = '/'.join(f'segment-{i}' for i in range(120))
# Only digits, and digits first; the word for the default; bytes that a name may not have; two that are equal once `-`
# replaces such bytes; two that differ only beyond the maximum length of a name.
PATHS = ['1', '8080', '8080-web/x', 'default', 'a_b', 'a.b', 'a/b', 'ns/web/sa/front', '-', f'{LONG}/a', f'{LONG}/b']


def section_of(remedy):
    """Returns (name of the section, {key: value}) of the section that a remedy proposes."""
    name, keys = re.search(r'\[((?:allow|upstream) [^\]]+)\] (\w+ = .*)$', remedy).groups()
    return name, dict(part.split(' = ', 1) for part in keys.split('  '))


def paste(workload, *remedies):
    """Appends the remedies to the INI, as a person would. `check` reports nothing that it has not reported before."""
    before, _, known = tool('check', '-c', workload.ini)
    text = workload.ini.read_text()
    for remedy in remedies:
        name, keys = section_of(remedy)
        text += f'\n[{name}]\n' + ''.join(f'{key} = {value}\n' for key, value in keys.items())
    workload.ini.write_text(text)
    status, out, err = tool('check', '-c', workload.ini)
    assert status <= before <= 1 and not set(err.splitlines()) - set(known.splitlines()), (out, err, text)


def denied(workload, ask, **fields):
    """Returns the remedy in the log line of a connection that policy refuses."""
    count = len(workload.sidecar.lines(reason='policy_denied'))
    assert ask() != b'x'
    wait_until(lambda: len(workload.sidecar.lines(reason='policy_denied')) > count, 'the line is there')
    line = workload.sidecar.lines(reason='policy_denied')[-1]
    assert line.items() >= fields.items()
    return line.get('remedy')


def said(connecting):
    """Sends a byte. Returns that byte, b'', or 'reset'."""
    try:
        with connecting() as sock:
            sock.sendall(b'x')
            return sock.recv(1)
    except ConnectionError:
        return 'reset'


# --- rules for identities -------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['app', '9-lives', 'default', 'plaintext', 'a' * 63])
def test_rules_for_identities_of_every_kind(lab, app, name):
    """All are pasted at once: no proposed name is taken, reserved or invalid, and no other peer is admitted."""
    inbound = lab.inbound(app().port, allow=None, start=False)
    inbound.change({'service app': None, f'service {name}': inbound.sections['service app'],
                    'policy': {'default': 'deny'}})
    inbound.start().wait_ready()
    svids = [lab.root.issue(f'spiffe://{labs.TD}/{path}') for path in PATHS]
    remedies = [denied(inbound, lambda s=svid: peers.verdict(inbound.port, s, lab.root)) for svid in svids]
    assert len({section_of(remedy)[0] for remedy in remedies}) == len(PATHS)
    paste(inbound, *remedies)
    for svid in svids:
        wait_until(lambda s=svid: peers.verdict(inbound.port, s, lab.root) == b'x', 'the rule is in force')
    assert peers.verdict(inbound.port, lab.root.issue(f'spiffe://{labs.TD}/{LONG}'), lab.root) == 49


def test_a_name_that_is_taken(lab, app):
    """The name belongs to a rule for another peer, allow or deny: the next free name is proposed."""
    inbound = lab.inbound(app().port, allow=None)

    def ask():
        return peers.verdict(inbound.port, lab.client, lab.root)
    first = denied(inbound, ask)
    name = section_of(first)[0].removeprefix('allow ')
    for effect in 'allow', 'deny':
        generation = inbound.metric('fairlead_generation')
        inbound.change({f'{effect} {name}': {'from': f'spiffe://{labs.TD}/nobody'}})
        wait_until(lambda g=generation: inbound.metric('fairlead_generation') > g, 'the INI is in force')
        assert section_of(denied(inbound, ask))[0] == f'allow {name}-2'
        inbound.change({f'{effect} {name}': None})
    paste(inbound, denied(inbound, ask))
    wait_until(lambda: ask() == b'x', 'the rule is in force')


def test_one_identity_and_two_services(lab, app):
    """With two identities of the same path, this makes four rules with four names."""
    echo, other = app().port, lab.ports.free()
    inbound = lab.inbound(echo, {'service other': {'listen': f'127.0.0.1:{other}', 'app': f'127.0.0.1:{echo}'},
                                 'federate other.example': {'bundle': lab.folder / 'other.crt'}}, allow=None, start=False)
    (lab.folder / 'other.crt').write_bytes(lab.other_root.cert_pem)
    inbound.start().wait_ready()
    svids = lab.client, lab.other_root.issue(labs.CLIENT.replace(labs.TD, 'other.example'))
    asks = [lambda p=port, s=svid: peers.verdict(p, s, lab.root) for port in (inbound.port, other) for svid in svids]
    paste(inbound, *[denied(inbound, ask) for ask in asks])
    for ask in asks:
        wait_until(lambda a=ask: a() == b'x', 'the rule is in force')


@pytest.mark.parametrize('size, whole', [(1400, True), (2048, False)])
def test_an_identity_too_long_for_a_line(lab, app, size, whole):
    """A truncated remedy would name another identity, so it is left out."""
    inbound = lab.inbound(app().port, allow=None)
    head = f'spiffe://{labs.TD}/'
    svid = lab.root.issue(head + 'x' * (size - len(head)))
    remedy = denied(inbound, lambda: peers.verdict(inbound.port, svid, lab.root))
    assert (remedy is not None) == whole
    assert bool(inbound.sidecar.lines(reason='policy_denied')[-1].get('cut')) != whole
    if whole:
        paste(inbound, remedy)
        wait_until(lambda: peers.verdict(inbound.port, svid, lab.root) == b'x', 'the rule is in force')


def test_what_the_ini_in_force_calls_it(lab, app):
    """A connection that loses its policy began under an older INI. The remedy fits the newer one."""
    inbound = lab.inbound(app().port)
    with peers.client(inbound.port, lab.client, lab.root) as tls:
        tls.sendall(b'x')
        assert tls.recv(1) == b'x'
        renamed = inbound.sections['service app']
        inbound.change({'allow mesh': None, 'service app': None, 'service renamed': renamed})
        line = inbound.wait_line(reason='policy_lost')
    # The open listener belongs to [service app], which the INI no longer has.
    assert section_of(line['remedy'])[1]['to'] == str(inbound.port)
    paste(inbound, line['remedy'])


def test_a_rule_in_audit_mode(lab, app):
    """No [deny] rule refuses it: what would admit it is on trial, and the remedy is to enforce that."""
    inbound = lab.inbound(app().port, {'allow trial': {'from': labs.CLIENT, 'mode': 'audit'}}, allow=None)

    def ask():
        return peers.verdict(inbound.port, lab.client, lab.root)
    remedy = denied(inbound, ask, decision='would_allow', rule='trial')
    line = inbound.ini.read_text().splitlines().index('[allow trial]') + 1
    assert remedy.startswith('to let it in: `mode = enforce` in [allow trial] ') and f':{line})' in remedy
    assert 'deny' not in remedy and '[allow trial]' in inbound.get('/')[1] and '[deny trial]' not in inbound.get('/')[1]
    inbound.change({'allow trial': {'from': labs.CLIENT, 'mode': 'enforce'}})
    wait_until(lambda: ask() == b'x', 'the rule is in force')


# --- rules for plaintext --------------------------------------------------------------------------------

def test_two_sources_of_one_service(lab, app):
    inbound = lab.inbound(app().port, {'service app': {'mode': 'plaintext'}})

    def ask(source):
        return said(lambda: connect(inbound.port, source=source))
    sources = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
    paste(inbound, *[denied(inbound, lambda s=source: ask(s)) for source in sources[:2]])
    for source in sources[:2]:
        wait_until(lambda s=source: ask(s) == b'x', 'the rule is in force')
    assert ask(sources[2]) == 'reset'


def test_plaintext_to_a_service_with_a_long_name(lab, app):
    inbound = lab.inbound(app().port, allow=None, start=False)
    inbound.change({'service app': None, f'service {"a" * 63}': {**inbound.sections['service app'], 'mode': 'plaintext'}})
    inbound.start().wait_ready()

    def ask():
        return said(lambda: connect(inbound.port))
    paste(inbound, denied(inbound, ask))
    wait_until(lambda: ask() == b'x', 'the rule is in force')


# --- upstreams ------------------------------------------------------------------------------------------

def test_a_server_that_does_not_ask_who_we_are(lab, app):
    """A fixed listener has a section, and the key belongs there."""
    server = peers.Server(app, lab.server, None)
    outbound = lab.outbound(server.port)
    assert said(lambda: connect(outbound.port)) != b'x'
    key, value, section = re.search(r'`(\w+) = (\w+)` in \[(.+)\]', outbound.wait_line(reason='not_mutual')['remedy']).groups()
    outbound.change({section: {key: value}})
    assert tool('check', '-c', outbound.ini)[::2] == (0, '')

    wait_until(lambda: said(lambda: connect(outbound.port)) == b'x', 'the key is in force')


class Insisting(peers.Server):
    """Refuses every client that does not offer h2 (RFC 7301 section 3.2)."""

    def serve(self, sock):
        hello = b''
        while len(hello) < 5 or len(hello) < 5 + int.from_bytes(hello[3:5], 'big'):
            hello = sock.recv(1 << 14, socket.MSG_PEEK)
        if b'\x02h2' in hello:
            super().serve(sock)
        else:
            sock.sendall(b'\x15\x03\x03\x00\x02\x02\x78')
            labs.end_of(sock)


@pytest.mark.parametrize('family', ['v4', 'v6'])
@pytest.mark.parametrize('reason', ['not_mutual', 'peer_alert'])
def test_a_captured_destination_without_a_section(lab, pod, reason, family):
    """The remedy is a whole [upstream] for it. It names the peers of [outbound]."""
    api = pod('api', sidecar=False)
    web = pod('web', {'outbound': {'peer': f'{labs.SERVER}, spiffe://{labs.TD}/other/*'}})
    kind, root = (peers.Server, None) if reason == 'not_mutual' else (Insisting, lab.root)
    kind(lambda handler: api.app(handler, port=8443), lab.server, root)
    to = getattr(api, family), 8443
    assert said(lambda: web.connect(to)) != b'x'
    line = web.wait_connection('outbound', reason=reason)
    name, keys = section_of(line['remedy'])
    assert name.startswith('upstream to-') and keys['to'] == line['destination']
    assert keys['peer'] == web.sections['outbound']['peer'].replace(' ', '').replace(',', ', ')
    paste(web, line['remedy'])

    wait_until(lambda: said(lambda: web.connect(to)) == b'x', 'the section is in force')
    assert web.wait_connection('outbound', upstream=name.removeprefix('upstream '))['peer'] == labs.SERVER
