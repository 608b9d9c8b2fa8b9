# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests TLS with peers of other implementations: OpenSSL, curl, HAProxy, Python, and which peers are refused with which
alert."""
import contextlib
import itertools
import re
import ssl
import subprocess
import tempfile

import pytest

import lab as labs
import peers
import pki
from lab import connect, end_of, outcome, wait_until

# --- good peers -------------------------------------------------------------------------------------


def test_openssl_client(lab, app):
    """openssl s_client with an SVID and without ALPN is served: TLS 1.3, X25519 (it has no ML-KEM)."""
    inbound = lab.inbound(app(lambda sock: sock.sendall(b'from the app')).port)
    pem = peers.write_pem(lab.folder, 'client', lab.client)
    (lab.folder / 'ca.crt').write_bytes(lab.root.cert_pem)
    done = subprocess.run(
        ['openssl', 's_client', '-connect', f'127.0.0.1:{inbound.port}', '-cert', f'{pem}.crt', '-key', f'{pem}.key',
         '-CAfile', f'{lab.folder}/ca.crt', '-verify_return_error', '-ign_eof'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20 * labs.SLOW)
    assert 'from the app' in done.stdout
    assert 'New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256' in done.stdout
    assert 'Server Temp Key: X25519' in done.stdout
    assert 'Verify return code: 0 (ok)' in done.stdout
    assert 'No ALPN negotiated' in done.stdout
    line = inbound.wait_line(direction='inbound')
    assert (line['peer'], line['tls'], line['group']) == (labs.CLIENT, '1.3', 'X25519')


@pytest.mark.parametrize('arguments, line', [
    (['-ciphersuites', 'TLS_AES_256_GCM_SHA384'], {'cipher': 'TLS_AES_256_GCM_SHA384'}),
    (['-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256'], {'cipher': 'TLS_CHACHA20_POLY1305_SHA256'}),
    (['-alpn', 'fairlead/1'], {'group': 'X25519'}),
    (['-alpn', 'h2,http/1.1'], {'group': 'X25519'}),
    (['-servername', 'web.example'], {'group': 'X25519'})])
def test_openssl_client_with_other_offers(lab, app, arguments, line):
    """With all three ciphers, with our ALPN or another one, or with a server name, any TLS client with a valid SVID is
    served."""
    inbound = lab.inbound(app(lambda sock: sock.sendall(b'from the app')).port)
    pem = peers.write_pem(lab.folder, 'client', lab.client)
    done = subprocess.run(
        ['openssl', 's_client', '-connect', f'127.0.0.1:{inbound.port}', '-cert', f'{pem}.crt', '-key', f'{pem}.key',
         '-ign_eof', *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20 * labs.SLOW)
    assert 'from the app' in done.stdout, done.stderr
    inbound.wait_line(direction='inbound', **line)


def test_openssl_client_with_p256_alone(lab, app):
    """P-256 is the last of our groups. It works, after a HelloRetryRequest too. A group that the INI does not name is
    refused."""
    pem = peers.write_pem(lab.folder, 'client', lab.client)
    server = app(lambda sock: sock.sendall(b'from the app'))

    def run(port, groups):
        return subprocess.run(
            ['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-cert', f'{pem}.crt', '-key', f'{pem}.key',
             '-ign_eof', '-groups', groups], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=20 * labs.SLOW)
    inbound = lab.inbound(server.port, {'tls': {'groups': 'X25519MLKEM768, X25519'}})
    run(inbound.port, 'P-256')
    line = inbound.wait_line(reason='tls_parameters')
    assert 'no TLS group in common' in line['detail'] and line['level'] == 'warn'
    inbound = lab.inbound(server.port)
    assert 'from the app' in run(inbound.port, 'P-256').stdout
    assert 'from the app' in run(inbound.port, 'P-384:P-256').stdout  # offers P-384 first
    assert len(wait_until(lambda: len(inbound.sidecar.lines(group='P-256')) == 2 and [1, 2], 'two lines')) == 2


def test_key_updates_of_a_peer(lab, app):
    """`K` also asks for new keys of ours. Both directions continue."""
    inbound = lab.inbound(app().port)
    pem = peers.write_pem(lab.folder, 'client', lab.client)
    with subprocess.Popen(
            ['openssl', 's_client', '-connect', f'127.0.0.1:{inbound.port}', '-cert', f'{pem}.crt', '-key',
             f'{pem}.key'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        for step in (b'first', b'K', b'second', b'k', b'third', b'K', b'fourth'):
            client.stdin.write(step + b'\n')
            client.stdin.flush()
            assert (b'KEYUPDATE' if len(step) == 1 else step) in (line.strip() for line in client.stdout)
        client.stdin.write(b'Q\n')
        client.stdin.close()
    inbound.wait_line(reason='done', bytes_to_app=len('first second third fourth '))


def test_openssl_server(lab):
    """openssl s_server, as an upstream that asks for our certificate."""
    port = lab.ports.free()
    pem = peers.write_pem(lab.folder, 'server', lab.server)
    (lab.folder / 'ca.crt').write_bytes(lab.root.cert_pem)
    openssl = lab.program('openssl', ['openssl', 's_server', '-accept', f'127.0.0.1:{port}', '-cert', f'{pem}.crt', '-key',
                                      f'{pem}.key', '-CAfile', lab.folder / 'ca.crt', '-Verify', '3',
                                      '-verify_return_error', '-rev', '-tls1_3'])
    openssl.expected = {-15}
    outbound = lab.outbound(port)
    wait_until(lambda: 'ACCEPT' in openssl.text, 'openssl listens')
    with connect(outbound.port) as sock:
        sock.sendall(b'olleh\n')
        assert sock.recv(10) == b'hello\n'
    line = outbound.wait_line(peer=labs.SERVER)
    assert (line['group'], line['tls']) == ('X25519', '1.3')


def test_curl(lab, app):
    """curl --cert reaches an app that speaks HTTP."""
    def http(sock):
        while b'\r\n\r\n' not in sock.recv(1 << 16):
            pass
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello')
    inbound = lab.inbound(app(http).port)
    pem = peers.write_pem(lab.folder, 'client', lab.client)
    # No SVID has a DNS name to compare with, so curl must not compare names.
    done = subprocess.run(
        ['curl', '-sSvk', '--cert', f'{pem}.crt', '--key', f'{pem}.key', f'https://127.0.0.1:{inbound.port}/'],
        capture_output=True, text=True, timeout=20 * labs.SLOW)
    assert done.stdout == 'hello', done.stderr
    assert 'SSL connection using TLSv1.3' in done.stderr
    inbound.wait_line(reason='done', peer=labs.CLIENT)


def haproxy(lab, name, listen):
    config = lab.folder / f'{name}.cfg'
    config.write_text('global\n maxconn 100\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n'
                      f' timeout server 60s\n{listen}\n')
    program = lab.program(name, ['haproxy', '-db', '-f', config])
    program.expected = {0, 143, -15}
    return program


def test_haproxy_as_client_and_as_server(lab, app):
    """app <- HAProxy <- outbound sidecar, and HAProxy -> inbound sidecar -> app, with mutual TLS both times."""
    pem = {name: peers.write_pem(lab.folder, name, svid)
           for name, svid in (('client', lab.client), ('server', lab.server))}
    (lab.folder / 'ca.crt').write_bytes(lab.root.cert_pem)
    tls, server = f'ca-file {lab.folder}/ca.crt verify required', app()
    terminator, originator = lab.ports.free(), lab.ports.free()
    inbound, outbound = lab.inbound(server.port), lab.outbound(terminator)
    haproxy(lab, 'haproxy-server', f'listen s\n bind 127.0.0.1:{terminator} ssl crt {pem["server"]}.pem {tls}\n'
            f' server app 127.0.0.1:{server.port}')
    haproxy(lab, 'haproxy-client', f'listen c\n bind 127.0.0.1:{originator}\n'
            f' server mesh 127.0.0.1:{inbound.port} ssl crt {pem["client"]}.pem {tls}')
    for port, workload in ((outbound.port, outbound), (originator, inbound)):
        wait_until(lambda p=port: outcome_of_ping(p) == b'ping', 'HAProxy listens')
        assert workload.wait_line(reason='done')['tls'] == '1.3'


def outcome_of_ping(port):
    with contextlib.suppress(OSError), connect(port) as sock:
        sock.sendall(b'ping')
        sock.shutdown(1)
        return labs.read_all(sock)


# --- refused before the TLS peer is known --------------------------------------------------------------

GCM_FAULT = labs.BUILD / 'tests' / 'sidecar_gcm_fault'


@pytest.mark.skipif(not GCM_FAULT.exists() or ' vaes ' not in open('/proc/cpuinfo', encoding='ascii').read(),
                    reason='built without AES-GCM of our own, or the CPU has no VAES')
def test_processor_that_computes_aes_gcm_wrongly_is_served_by_wolfssl(lab, app, monkeypatch):
    """The self-test at startup fails: the sidecar logs one warning and uses wolfSSL's own code."""
    outbound = lab.outbound(lab.inbound(app().port).port)
    assert not [line for line in outbound.sidecar.lines(level='warn') if 'agent' not in line['msg']]
    monkeypatch.setattr(labs, 'SIDECAR', str(GCM_FAULT))
    faulty = lab.outbound(lab.inbound(app().port).port)
    with connect(faulty.port) as sock:
        sock.sendall(b'x' * 100000)
        sock.shutdown(1)
        assert sum(len(chunk) for chunk in iter(lambda: sock.recv(65536), b'')) == 100000
    assert len([line for line in faulty.sidecar.lines(level='warn') if 'VAES' in line['msg']]) == 1


def test_tls_1_2_client_is_refused_with_protocol_version(lab, app):
    server = app()
    inbound = lab.inbound(server.port)
    assert peers.verdict(inbound.port, lab.client, lab.root, tls=ssl.TLSVersion.TLSv1_2) == 70
    line = inbound.wait_line(reason='tls_version')
    assert line['alert'] == 70 and 'TLS 1.3' in line['explanation']
    assert server.accepted == 0


def test_tls_1_2_server_is_refused(lab, app):
    server = peers.Server(app, lab.server, lab.root, tls=ssl.TLSVersion.TLSv1_2)
    outbound = lab.outbound(server.port)
    assert outcome(outbound.port, b'secret') == 'reset'
    outbound.wait_line(reason=re.compile('tls_version|peer_alert'))


def test_client_without_a_certificate_is_refused_with_certificate_required(lab, app):
    server = app()
    inbound = lab.inbound(server.port)
    assert peers.verdict(inbound.port, None, lab.root) == 116
    line = inbound.wait_line(reason='certificate_refused')
    assert (line['broken_rule'], line['alert']) == ('certificate-missing', 116)
    assert server.accepted == 0


# --- broken SVIDs -------------------------------------------------------------------------------------

# Names of pki.py's fixtures, the rule that each breaks, and the alert that the peer gets.
BROKEN = {
    ('uri-none', 'no-san', 'uri-two', 'uri-two-https', 'uri-four'): ('svid-one-uri', 42),
    ('uri-https', 'uri-2049', 'scheme-upper', 'td-upper', 'percent', 'query', 'fragment', 'userinfo', 'port',
     'dot-segment', 'double-slash', 'trailing-slash', 'non-ascii', 'uri-relative', 'uri-empty'): ('svid-spiffe-id', 42),
    ('path-none', 'path-slash'): ('svid-path', 42),
    ('san-uncritical',): ('svid-san-critical', 42),
    ('leaf-ca',): ('svid-leaf-not-ca', 42),
    ('ku-absent', 'ku-uncritical', 'ku-no-signature', 'ku-cert-sign', 'ku-crl-sign'): ('svid-key-usage', 42),
    ('eku-client', 'eku-server', 'eku-any', 'eku-none'): ('svid-ext-key-usage', 42),
    ('critical-ext',): ('chain-critical-extension', 42),
    ('san-nul',): (re.compile('certificate-malformed|svid-spiffe-id'), 42),
    ('expired', 'expired-intermediate'): ('certificate-expired', 45),
    ('not-yet',): ('certificate-not-yet-valid', 45),
    ('foreign-td',): ('trust-domain-unknown', 48),
    ('other-ca', 'impostor-chain'): ('chain-unknown-issuer', 48),
    ('chain-not-ca',): ('signer-ca', 42),
    ('chain-no-sign',): ('signer-key-usage', 42),
    ('chain-path',): ('signer-id', 42),
    ('chain-too-long',): ('chain-path-length', 42),
    ('chain-name-constraint',): ('chain-name-constraint', 42),
}
CASES = [(name, *expected) for names, expected in BROKEN.items() for name in names]


@pytest.fixture(scope='module')
def fixtures():
    with tempfile.TemporaryDirectory(prefix='fairlead-') as folder:
        pki.write_fixtures(folder)
        yield labs.pathlib.Path(folder)


class Fixture:
    """Returns a leaf of the fixtures as an SVID."""

    def __init__(self, folder, name):
        self.chain_pem = (folder / f'{name}.crt').read_bytes()
        self.key_pem = (folder / f'{name}.key').read_bytes()
        self.bundle_pem = self.key_pem + self.chain_pem


class Bundle:
    def __init__(self, folder, name):
        self.cert_pem = (folder / f'{name}.crt').read_bytes()


def check_refusal(workload, case, rule, alert):
    # (A line that counts suppressed lines has the reason too.)
    line = workload.wait_line(msg='connection refused', reason='certificate_refused')
    assert len(workload.sidecar.lines(msg='connection refused', reason='certificate_refused')) == 1, case
    assert labs.matches(line['broken_rule'], rule) and line['alert'] == alert, (case, line)
    assert line['broken_rule'] in line['detail'] and line['level'] == 'warn'


class Judge:
    """One sidecar for all cases of a module, because starting one for each would only cost time."""

    def __init__(self, fixtures):
        self.stack = contextlib.ExitStack()
        self.lab = self.stack.enter_context(labs.Lab(self.stack.enter_context(
            tempfile.TemporaryDirectory(prefix='fairlead-'))))
        self.lab.root = Bundle(fixtures, 'root')
        self.own = Fixture(fixtures, 'p256')
        self.app = labs.App(labs.echo)
        self.networks = itertools.count(1)

    def next_lines(self, workload):
        """From here on, only new lines count."""
        program = workload.sidecar
        program.since = program.path.stat().st_size

    def close(self):
        self.stack.close()
        self.app.close()


@pytest.fixture(scope='module')
def server_judge(fixtures):
    judge = Judge(fixtures)
    judge.inbound = judge.lab.inbound(judge.app.port, svid=judge.own)
    yield judge
    judge.close()


@pytest.mark.parametrize('case, rule, alert', CASES)
def test_client_with_a_broken_svid_is_refused(server_judge, fixtures, case, rule, alert):
    """The alert says what is wrong, one log line names the rule, and the app receives nothing."""
    server_judge.next_lines(server_judge.inbound)
    accepted = server_judge.app.accepted
    # It dials from its own network: lines about strangers are rate-limited by network.
    source = f'127.0.{next(server_judge.networks)}.1'
    assert peers.verdict(server_judge.inbound.port, Fixture(fixtures, case), Bundle(fixtures, 'root'), source=source) == alert
    check_refusal(server_judge.inbound, case, rule, alert)
    assert server_judge.app.accepted == accepted


def test_good_client_after_all_the_bad_ones(server_judge, fixtures):
    """A refused chain leaves nothing behind: the next valid peer is served, and the next invalid one is not."""
    inbound, root = server_judge.inbound, Bundle(fixtures, 'root')
    for good in ('p256', 'two-intermediates', 'uri-2048', 'no-eku', 'other-names', 'empty-subject'):
        assert peers.verdict(inbound.port, Fixture(fixtures, good), root) == b'x', good
    assert peers.verdict(inbound.port, Fixture(fixtures, 'impostor-chain'), root) == 48


@pytest.fixture(scope='module')
def client_judge(fixtures):
    """An outbound sidecar whose upstream port is used by one server after another."""
    judge = Judge(fixtures)
    judge.received, judge.alerts, judge.svid = [], [], None
    judge.root = Bundle(fixtures, 'root')

    def serve(sock):
        try:
            with peers.context(True, judge.svid, judge.root).wrap_socket(sock, server_side=True) as tls:
                judge.received.append(tls.recv(100))
        except ssl.SSLError as error:
            judge.alerts.append(peers.alert_of(error) or str(error))
    judge.server = labs.App(serve)
    judge.outbound = judge.lab.outbound(judge.server.port, svid=judge.own, peer='spiffe://prod.example/**')
    yield judge
    judge.close()
    judge.server.close()


@pytest.mark.parametrize('case, rule, alert', CASES)
def test_server_with_a_broken_svid_is_refused(client_judge, fixtures, case, rule, alert):
    """On the client's side, the app's connection ends, and no byte of it has left the machine."""
    judge = client_judge
    judge.next_lines(judge.outbound)
    judge.svid, judge.alerts[:], judge.received[:] = Fixture(fixtures, case), [], []
    assert outcome(judge.outbound.port, b'secret') == 'reset'
    assert wait_until(lambda: judge.alerts, 'the server sees the refusal') == [alert]
    check_refusal(judge.outbound, case, rule, alert)
    assert judge.received == []


# --- identity and policy ------------------------------------------------------------------------------

def test_wrong_peer_gets_no_byte(lab, app):
    """The SVID is valid and of our own trust domain, but it is not the one that `peer` names."""
    received = []
    server = peers.Server(app, lab.root.issue(f'spiffe://{labs.TD}/ns/test/sa/impostor'), lab.root,
                          lambda tls: received.append(tls.recv(100)))
    outbound = lab.outbound(server.port)
    assert outcome(outbound.port, b'secret') == 'reset'
    assert wait_until(lambda: server.alerts, 'the server sees the refusal') == [49]
    line = outbound.wait_line(reason='certificate_refused')
    assert line['broken_rule'] == 'peer-not-expected'
    assert 'spiffe://prod.example/ns/test/sa/impostor' in line['detail']
    assert line['bytes_to_mesh'] == 0
    assert received == []


@pytest.mark.parametrize('peer, good', [
    (f'spiffe://{labs.TD}/ns/test/sa/*', True), (f'spiffe://{labs.TD}/**', True), ('', True),
    (f'spiffe://{labs.TD}/ns/other/sa/a, {labs.SERVER}', True), (f'spiffe://{labs.TD}/ns/*', False),
    (f'spiffe://{labs.TD}/ns/test/sa/serve', False), ('spiffe://other.example/**', False)])
def test_peer_patterns(lab, app, peer, good):
    """An empty `peer` means any identity of our own trust domain."""
    server = peers.Server(app, lab.server, lab.root)
    outbound = lab.outbound(server.port, peer=peer)
    if good:
        with connect(outbound.port) as sock:
            sock.sendall(b'hello')
            assert sock.recv(5) == b'hello'
    else:
        assert outcome(outbound.port, b'secret') == 'reset'


def test_identity_without_a_rule_is_denied_and_the_log_names_the_rule_it_needs(lab, app):
    server = app()
    inbound = lab.inbound(server.port, allow=f'spiffe://{labs.TD}/ns/web/sa/*')
    assert peers.verdict(inbound.port, lab.client, lab.root) == 49
    line = inbound.wait_line(reason='policy_denied')
    assert (line['decision'], line['rule'], line['peer'], line['level']) == ('deny', 'default', labs.CLIENT, 'warn')
    assert f'from = {labs.CLIENT}' in line['remedy'] and 'to = app' in line['remedy']
    assert server.accepted == 0
    # The proposed rule admits it.
    name, keys = re.search(r'\[(.+?)\] (.*)', line['remedy']).groups()
    rule = dict(re.findall(r'(\w+) = (\S+)', keys))
    inbound.sidecar.stop()
    inbound.agent.stop()
    inbound.change({name: rule})
    inbound.start().wait_ready()
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


def test_denied_identity_sees_its_connection_closed_through_a_sidecar(lab, app):
    """The outbound sidecar logs that the peer refused, and what that alert means."""
    inbound = lab.inbound(app().port, allow=None)
    outbound = lab.outbound(inbound.port)
    assert outcome(outbound.port, b'hello') == 'reset'
    line = outbound.wait_line(reason='peer_alert')
    assert line['alert'] == 49 and 'policy' in line['detail']


def test_deny_beats_allow(lab, app):
    server = app()
    inbound = lab.inbound(server.port, {'deny quarantine': {'from': f'spiffe://{labs.TD}/ns/quarantine/**'}})
    sick = lab.root.issue(f'spiffe://{labs.TD}/ns/quarantine/sa/client')
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert peers.verdict(inbound.port, sick, lab.root) == 49
    line = inbound.wait_line(reason='policy_denied')
    assert line['rule'] == 'quarantine' and line['rule_file'] == str(inbound.ini)
    assert line['remedy'].startswith('[deny quarantine] (') and '[allow' not in line['remedy']
    text = inbound.ini.read_text().splitlines()
    assert text[line['rule_line'] - 1] == '[deny quarantine]'
    assert server.accepted == 1


@pytest.mark.parametrize('allow, path, good', [
    ('/ns/web/sa/*', '/ns/web/sa/a', True), ('/ns/web/sa/*', '/ns/web/sa/a/b', False),
    ('/ns/*/sa/a', '/ns/web/sa/a', True), ('/ns/web/**', '/ns/web/sa/a', True), ('/ns/web/**', '/ns/web', False),
    ('/ns/web', '/ns/WEB', False), ('/ns/web', '/ns/web2', False)])
def test_from_patterns(lab, app, allow, path, good):
    inbound = lab.inbound(app().port, allow=f'spiffe://{labs.TD}{allow}')
    svid = lab.root.issue(f'spiffe://{labs.TD}{path}')
    assert peers.verdict(inbound.port, svid, lab.root) == (b'x' if good else 49)


def test_rules_by_service_and_by_port(lab, app):
    """One sidecar has two services, each with its own rule."""
    server, port = app(), lab.ports.free()
    inbound = lab.inbound(server.port, {
        'service second': {'listen': f'127.0.0.1:{port}', 'app': f'127.0.0.1:{server.port}'},
        'allow first': {'from': labs.CLIENT, 'to': 'app'},
        'allow by-port': {'from': labs.SERVER, 'to': port}}, allow=None)
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert peers.verdict(port, lab.client, lab.root) == 49
    assert peers.verdict(inbound.port, lab.server, lab.root) == 49
    assert peers.verdict(port, lab.server, lab.root) == b'x'


def test_default_allow(lab, app):
    """Every identity that verifies is admitted. One that does not verify is refused."""
    inbound = lab.inbound(app().port, {'policy': {'default': 'allow'}}, allow=None)
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert peers.verdict(inbound.port, lab.other_root.issue(labs.CLIENT), lab.root) == 48
    assert peers.verdict(inbound.port, None, lab.root) == 116


def test_federated_root_does_not_vouch_for_our_own_domain(lab, app):
    """Bundles are never merged: a CA of another domain cannot issue identities of ours."""
    foreign = lab.folder / 'other.crt'
    foreign.write_bytes(lab.other_root.cert_pem)
    inbound = lab.inbound(app().port, {'federate other.example': {'bundle': foreign},
                                       'allow partner': {'from': 'spiffe://other.example/**'}})
    assert peers.verdict(inbound.port, lab.other_root.issue('spiffe://other.example/web'), lab.root) == b'x'
    assert peers.verdict(inbound.port, lab.other_root.issue(labs.CLIENT), lab.root) == 48
    assert inbound.wait_line(reason='certificate_refused')['broken_rule'] == 'chain-unknown-issuer'
    assert peers.verdict(inbound.port, lab.root.issue('spiffe://other.example/web'), lab.root) == 48


# --- the end of a TLS stream ----------------------------------------------------------------------------

def test_truncated_stream_of_a_client_is_a_reset_for_the_app(lab, app):
    """A client that closes TCP without close_notify has not finished: an attacker may have cut the stream."""
    ends = []
    inbound = lab.inbound(app(lambda sock: (sock.sendall(sock.recv(4)), ends.append(end_of(sock)))).port)
    tls = peers.client(inbound.port, lab.client, lab.root)
    tls.sendall(b'ping')
    assert tls.recv(4) == b'ping'
    tls.close()  # Python sends no close_notify here
    assert wait_until(lambda: ends, 'the app sees the end') == ['reset']
    inbound.wait_line(reason='peer_truncated')


def test_close_notify_of_a_client_is_a_clean_end_for_the_app(lab, app):
    ends = []
    inbound = lab.inbound(app(lambda sock: (sock.sendall(sock.recv(4)), ends.append(end_of(sock)))).port)
    tls = peers.client(inbound.port, lab.client, lab.root)
    tls.sendall(b'ping')
    assert tls.recv(4) == b'ping'
    tls.unwrap().close()
    assert wait_until(lambda: ends, 'the app sees the end') == ['eof']
    inbound.wait_line(reason='done')


@pytest.mark.parametrize('clean', [True, False])
def test_end_of_a_server_as_the_client_app_sees_it(lab, app, clean):
    """close_notify is the end of the stream. A bare FIN of TCP is a reset."""
    def serve(tls):
        tls.sendall(b'all there is')
        if clean:
            tls.unwrap()
    server = peers.Server(app, lab.server, lab.root, serve)
    with connect(lab.outbound(server.port).port) as sock:
        assert sock.recv(12) == b'all there is'
        if clean:
            sock.shutdown(1)
        assert end_of(sock) == ('eof' if clean else 'reset')


@pytest.mark.parametrize('count, served', [(100, True), (101, False), (150, False)])
def test_as_many_certificates_as_are_read(lab, app, count, served):
    """The limit is a hundred certificates: more are refused before any is parsed."""
    inbound = lab.inbound(app(labs.echo).port)
    chain = lab.client.cert_pem + lab.root.cert_pem * (count - 1)
    outcome_of = peers.verdict(inbound.port, (chain, lab.client.key_pem), lab.root)
    assert (outcome_of == b'x') == served, outcome_of
    if not served:
        assert inbound.wait_line(reason='certificate_refused')['broken_rule'] == 'chain-too-much'
