# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent suggest and /seen, which it queries: refused connections become rules that admit exactly
these."""
import json
import re
import socket
import ssl

import pytest

import lab as labs
import peers
from test_tools import tool

TD = labs.TD


def seen(workload):
    """Returns /seen as {(peer, service): item}, and left_out."""
    status, body = workload.get('/seen')
    document = json.loads(body)
    assert status == 200
    return {(item['peer'], item['service']): item for item in document['seen']}, document['left_out']


def suggest(workload, *options):
    status, out, err = tool('suggest', '-c', workload.ini, *options)
    assert (status, err) == (0, '')
    return out


def identity(lab, path):
    return lab.root.issue(f'spiffe://{TD}{path}')


def test_refused_connections_become_rules_that_let_them_in(lab, app):
    """Two identities are refused at one service, one of them at another. Once pasted, the rules admit all three and no
    others."""
    server, port = app(), lab.ports.free()
    inbound = lab.inbound(server.port, {
        'service second': {'listen': f'127.0.0.1:{port}', 'app': f'127.0.0.1:{server.port}'},
        'deny bad': {'from': f'spiffe://{TD}/ns/bad/**'}}, allow=f'spiffe://{TD}/friend')
    a, b, bad, friend, other = (identity(lab, path) for path in (
        '/ns/a/sa/x', '/ns/b/sa/x', '/ns/bad/x', '/friend', '/ns/a/sa/y'))
    for svid, to in ((a, inbound.port), (b, inbound.port), (b, port), (bad, port), (a, inbound.port)):
        assert peers.verdict(to, svid, lab.root) == 49
    assert peers.verdict(port, friend, lab.root) == b'x'
    items, left_out = seen(inbound)
    assert left_out == 0 and len(items) == 4
    last = items[f'spiffe://{TD}/ns/a/sa/x', 'app'].pop('last')
    assert re.fullmatch(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ', last)
    assert items[f'spiffe://{TD}/ns/a/sa/x', 'app'] == {
        'peer': f'spiffe://{TD}/ns/a/sa/x', 'source': '127.0.0.1', 'port': inbound.port, 'service': 'app',
        'allow': 0, 'deny': 2, 'would_deny': 0, 'would_allow': 0, 'refused': 0, 'reason': None}
    text = suggest(inbound)
    assert text.count('[allow ') == 2 and '; [deny bad]' in text and f'spiffe://{TD}/ns/bad/x to second' in text
    inbound.ini.write_text(inbound.ini.read_text() + '\n' + text)
    inbound.wait_line(msg='generation in use', generation=2)
    for svid, to in ((a, inbound.port), (b, inbound.port), (b, port)):
        assert peers.verdict(to, svid, lab.root) == b'x'
    for svid, to in ((a, port), (bad, port), (other, inbound.port)):
        assert peers.verdict(to, svid, lab.root) == 49
    # Peers that the INI admits by now need no rule.
    text = suggest(inbound)
    assert f'from = spiffe://{TD}/ns/a/sa/x\nto = second\n' in text
    assert f'from = spiffe://{TD}/ns/a/sa/y\nto = app\n' in text
    assert text.count('[allow ') == 2 and f'spiffe://{TD}/ns/b/' not in text


def test_plaintext_on_the_day_of_the_cut_over(lab, app):
    """A strict port refuses plaintext before policy is asked; that is not `nobody was refused`."""
    inbound = lab.inbound(app().port)
    with labs.connect(inbound.port) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\n\r\n')
        labs.end_of(sock)
    inbound.wait_line(reason='not_tls')
    items, _ = seen(inbound)
    assert (items[None, 'app']['refused'], items[None, 'app']['reason']) == (1, 'not_tls')
    text = suggest(inbound)
    assert re.search(r'^; REFUSED: no TLS from 127\.0\.0\.1 to app, 1 times, last at 20\S+Z: the port is strict; ', text, re.M)
    assert 'nobody was refused' not in text and '[allow' not in text


def test_revoked_callers(lab, app):
    revoked = lab.root.issue(f'spiffe://{TD}/old')
    inbound = lab.inbound(app().port, start=False)
    (inbound.folder / 'crl.pem').write_bytes(lab.root.crl([revoked]))
    inbound.change({'identity': {'crl': inbound.folder / 'crl.pem'}})
    inbound.start().wait_ready()
    for _ in range(2):
        assert peers.verdict(inbound.port, revoked, lab.root) == 44
    items, _ = seen(inbound)
    item = items[f'spiffe://{TD}/old', 'app']
    assert (item['refused'], item['reason'], item['deny']) == (2, 'revoked', 0)
    text = suggest(inbound)
    assert re.search(rf'^; REFUSED: spiffe://{TD}/old to app, 2 times, last at \S+Z: its certificate is revoked; ', text, re.M)
    assert '[allow' not in text, 'no rule can admit it'


def test_nothing_refused(lab, app):
    inbound = lab.inbound(app().port)
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert suggest(inbound) == '; no rule is needed: nobody was refused\n'


def test_what_audit_let_in(lab, app):
    """The tables of several workers are merged."""
    inbound = lab.inbound(app().port, {'policy': {'mode': 'audit'}, 'sidecar': {'workers': 2}}, allow=None)
    for _ in range(8):
        assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    items, _ = seen(inbound)
    assert items[labs.CLIENT, 'app']['would_deny'] == 8 and len(items) == 1
    assert suggest(inbound) == f'[allow ns-test-sa-client]\nfrom = {labs.CLIENT}\nto = app\n'


def test_wildcards_only_when_asked_for(lab, app):
    inbound = lab.inbound(app().port, allow=None)
    for name in ('x', 'y'):
        assert peers.verdict(inbound.port, identity(lab, f'/sa/{name}'), lab.root) == 49
    assert f'from = spiffe://{TD}/sa/x, spiffe://{TD}/sa/y\n' in suggest(inbound)
    assert f'from = spiffe://{TD}/sa/*\n' in suggest(inbound, '--wildcards')


def test_plaintext_callers(lab, app):
    """Lists refused and admitted clients by address, with the identity that the same address had on other
    connections."""
    inbound = lab.inbound(app().port, {
        'service app': {'mode': 'permissive'},
        'allow local': {'from': 'plaintext', 'sources': '127.0.0.2'}}, allow=None)

    def plain(source):
        with socket.create_connection(('127.0.0.1', inbound.port), 10 * labs.SLOW, (source, 0)) as sock:
            sock.sendall(b'hello')
            try:
                return sock.recv(100)
            except ConnectionResetError:
                return None
    assert (plain('127.0.0.1'), plain('127.0.0.2'), plain('127.0.0.2')) == (None, b'hello', b'hello')
    context = peers.context(False, lab.client, lab.root)
    context.set_alpn_protocols(['fairlead/1'])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with context.wrap_socket(labs.connect(inbound.port)) as tls:
            tls.sendall(b'x')
            assert not tls.recv(1)
            raise ConnectionError
    text = suggest(inbound)
    assert f'; plaintext from 127.0.0.1 to app, 1 times; with mutual TLS it is {labs.CLIENT}\n' in text
    assert '; plaintext from 127.0.0.2 to app, 2 times\n' in text
    assert '[allow plaintext]\nfrom = plaintext\nsources = 127.0.0.1\nto = app\n' in text
    assert f'[allow ns-test-sa-client]\nfrom = {labs.CLIENT}\nto = app\n' in text


def test_unreachable_and_bad_ini(lab, app):
    inbound = lab.inbound(app().port, start=False)
    status, out, err = tool('suggest', '-c', inbound.ini)
    assert (status, out) == (1, '') and len(err.splitlines()) == 1 and f'127.0.0.1:{inbound.admin}' in err
    inbound.change({'sidecar': {'admin': ''}})
    status, out, err = tool('suggest', '-c', inbound.ini)
    assert (status, out) == (2, '') and '[sidecar] admin' in err
    # The policy of the INI is asked, wherever the sidecar is.
    for option in ('--control', inbound.folder / 'control.sock'), ('--admin', f'127.0.0.1:{inbound.admin}'):
        status, out, err = tool('suggest', '-c', inbound.folder / 'missing.ini', *option)
        assert (status, out) == (2, '') and 'missing.ini' in err
        assert tool('status', '-c', inbound.folder / 'missing.ini', *option)[0] == 1
    inbound.change({'nonsense': {}})
    status, out, err = tool('suggest', '-c', inbound.ini)
    assert (status, out) == (2, '') and f'{inbound.ini}:' in err and 'unknown section [nonsense]' in err


@pytest.mark.parametrize('body', ['', '{}', '{"seen": 1}', 'nonsense', '{"seen": [{"peer": "x\\n[allow all]"}]}',
                                  '{"seen": [{"peer": "spiffe://a/b", "port": 80, "source": "x"}]}',
                                  '{"seen": [{"peer": 5, "port": 80, "source": "10.0.0.1", "deny": 1}]}',
                                  '{"seen": [{"peer": "spiffe://a/b", "port": 65616, "deny": 1}]}'])
def test_odd_answers_never_become_rules(lab, app, body):
    """Another program may listen on the admin port: suggest validates the answer before it goes into an INI."""
    inbound = lab.inbound(app().port, start=False)

    def answer(sock):
        sock.recv(4096)
        sock.sendall(f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}'.encode())
    server = app(answer)
    inbound.change({'sidecar': {'admin': f'127.0.0.1:{server.port}'}})
    status, out, err = tool('suggest', '-c', inbound.ini)
    assert status in (0, 1) and '[' not in out, (out, err)
    assert (status == 0) == ('"seen": [' in body)
