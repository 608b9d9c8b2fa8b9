# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the rules for X509-SVIDs over the wire: for each one, a peer that follows it and peers that break it, as client
and as server (SPIFFE-ID.md, X509-SVID.md, SPIFFE_Trust_Domain_and_Bundle.md).

One sidecar on each side judges all peers. Policy admits every identity, and `peer` names every trust domain, so only
the certificate can be the cause of a refusal."""
import contextlib
import datetime
import re
import ssl
import tempfile
import types

import pytest
from cryptography import x509

import lab as labs
import peers
from lab import connect, outcome, wait_until
from pki import CA

TD = labs.TD
ID = f'spiffe://{TD}/ns/test/sa/'
LONG_TD = 'a' * 255
ODD_TDS = ('partner.example', '10.0.0.1', 'under_score-dash.1', LONG_TD)  # federated peers
PAST = {'not_before': -datetime.timedelta(days=3), 'not_after': -datetime.timedelta(days=2)}
FUTURE = {'not_before': datetime.timedelta(days=2), 'not_after': datetime.timedelta(days=3)}


def uri(text):
    return lambda w: w.root.issue(text)


def leaf(**options):
    return lambda w: w.root.issue(ID + 'x', **options)


def below(**options):
    """Returns a leaf below an intermediate with these options."""
    return lambda w: w.root.intermediate(common_name='middle', **{'ku': ('key_cert_sign',), **options}).issue(ID + 'x')


def of_td(td, by=None):
    return lambda w: w.of[by or td].issue(f'spiffe://{td}/ns/test/sa/x')


def deep(first, second):
    def make(w):
        upper = w.root.intermediate(common_name='upper', path_len=first)
        return upper.intermediate(common_name='lower', path_len=second).issue(ID + 'x')
    return make


def constrained(*domains, excluded=False):
    names = [x509.UniformResourceIdentifier(domain) for domain in domains]
    return below(name_constraints=(None, names) if excluded else (names, None))


# rule -> (peers that follow it, peers that break it, the rule's name in the log, the alert)
BAD_ID, BAD_PATH, ONE = ('svid-spiffe-id', 42), ('svid-path', 42), ('svid-one-uri', 42)
USAGE, EXTENDED = ('svid-key-usage', 42), ('svid-ext-key-usage', 42)
RULES = {
    'scheme': ([uri(ID + 'x')], [uri('https://prod.example/x'), uri('SPIFFE://prod.example/x'), uri('spiffe:prod/x'),
                                 uri('spiffee://prod.example/x'), uri('//prod.example/x')], *BAD_ID),
    'trust domain is not empty': ([uri(ID + 'x')], [uri('spiffe:///x')], *BAD_ID),
    'no query, no fragment': ([uri(ID + 'x')], [uri(ID + 'x?'), uri(ID + 'x?a=b'), uri(ID + 'x#'), uri(ID + 'x#a')],
                              *BAD_ID),
    'no user, no port': ([uri(ID + 'x')], [uri('spiffe://me@prod.example/x'), uri('spiffe://prod.example:443/x'),
                                           uri('spiffe://prod.example:/x'), uri('spiffe://@prod.example/x')], *BAD_ID),
    'characters of the trust domain': ([of_td('under_score-dash.1'), of_td('10.0.0.1')], [
        uri('spiffe://Prod.example/x'), uri('spiffe://prod;example/x'), uri('spiffe://prod[example/x'),
        uri('spiffe://prod~example/x'), uri('spiffe://prod=example/x'), uri('spiffe://[fd00::1]/x')], *BAD_ID),
    'no percent-encoding': ([uri(ID + 'x')], [uri(ID + '%78'), uri('spiffe://prod%2eexample/x')], *BAD_ID),
    'length of the trust domain': ([of_td(LONG_TD)], [uri(f'spiffe://{LONG_TD}a/x')], *BAD_ID),
    'length': ([uri((ID + 'x' * 2048)[:2048])], [uri((ID + 'x' * 2049)[:2049])], *BAD_ID),
    'characters of the path': ([uri(ID + 'aZ09._-'), uri(ID + '...'), uri(ID + '.a'), uri(ID + 'A/a/A')], [
        uri(ID + 'a b'), uri(ID + 'a:b'), uri(ID + 'a@b'), uri(ID + '*'), uri(ID + 'a~'), uri(ID + 'a+b'),
        uri(ID + '\u00e4'), uri(ID + 'a\n')], *BAD_ID),
    'no dot segments': ([uri(ID + 'x')], [uri(ID + '.'), uri(ID + '..'), uri(f'spiffe://{TD}/../x'),
                                          uri(f'spiffe://{TD}/./x')], *BAD_ID),
    'no empty segments': ([uri(ID + 'x')], [uri(ID + 'x/'), uri(ID + '/x'), uri(f'spiffe://{TD}//x')], *BAD_ID),
    'a leaf has a path': ([uri(ID + 'x')], [uri(f'spiffe://{TD}'), uri(f'spiffe://{TD}/')], *BAD_PATH),
    'no NUL': ([uri(ID + 'x')], [uri(ID + 'x\0y'), uri(ID + 'x\0')], ('svid-spiffe-id', 'certificate-malformed'), 42),
    'exactly one URI': ([leaf()], [uri([]), uri([ID + 'x', ID + 'y']), uri([ID + 'x', ID + 'x']),
                                   uri([ID + 'x', 'https://prod.example/y']), uri(['urn:a:b', ID + 'x'])], *ONE),
    'other names are no identity': ([leaf(dns=['web.example'], email=['a@b.example'], ip=[b'\x0a\0\0\1'])], [
        lambda w: w.root.issue([], dns=[ID + 'x']), lambda w: w.root.issue([], common_name=ID + 'x'),
        lambda w: w.root.issue([], dns=['web.example'], email=['x@prod.example'])], *ONE),
    'SAN is critical without a subject': ([leaf(empty_subject=True)], [leaf(empty_subject=True, san_critical=False)],
                                          'svid-san-critical', 42),
    'a leaf is no CA': ([leaf(), leaf(constraints=False)], [leaf(ca=True), leaf(ca=True, ku=(
        'digital_signature', 'key_cert_sign'))], ('svid-leaf-not-ca', 'svid-key-usage'), 42),
    'a CA does not authenticate': ([leaf()], [lambda w: w.as_leaf(w.root), lambda w: w.as_leaf(w.root.intermediate())],
                                   ('svid-path', 'svid-leaf-not-ca'), 42),
    'key usage': ([leaf(), leaf(ku=('digital_signature', 'key_encipherment', 'key_agreement'))], [
        leaf(ku=None), leaf(ku_critical=False), leaf(ku=('key_agreement',)),
        leaf(ku=('digital_signature', 'key_cert_sign')), leaf(ku=('digital_signature', 'crl_sign'))], *USAGE),
    'extended key usage': ([leaf(eku=None), leaf(eku=('client', 'server')), leaf(eku=('client', 'server', 'code'))], [
        leaf(eku=('client',)), leaf(eku=('server',)), leaf(eku=('any',)), leaf(eku=('code',))], *EXTENDED),
    'a signer is a CA': ([below(), below(ku=('key_cert_sign', 'crl_sign'))], [
        below(ca=False, ku=('digital_signature',)), below(constraints=False, ku=('digital_signature',))],
        'signer-ca', 42),
    'key usage of a signer': ([below(), below(ku=None)], [below(ku=('digital_signature', 'crl_sign'))],
                              'signer-key-usage', 42),
    'ID of a signer has no path': ([below(), below(uri=[]), below(uri=f'spiffe://{TD}/')], [
        below(uri=f'spiffe://{TD}/ca')], 'signer-id', 42),
    'trust domain of a signer may differ': ([lambda w: w.root.intermediate('elsewhere.example').issue(ID + 'x')], [],
                                            None, None),
    'path length': ([deep(1, 0), deep(None, None)], [deep(0, None)], 'chain-path-length', 42),
    'critical extensions': ([leaf()], [leaf(critical_extension=True)], 'chain-critical-extension', 42),
    'name constraints of URIs': ([constrained(TD)], [constrained('elsewhere.example'), constrained(TD, excluded=True)],
                                 'chain-name-constraint', 42),
    'not after': ([leaf()], [leaf(**PAST), below(**PAST)], 'certificate-expired', 45),
    'not before': ([leaf()], [leaf(**FUTURE)], 'certificate-not-yet-valid', 45),
    'own and federated trust domains only': ([of_td(TD), of_td('partner.example')], [
        uri('spiffe://stranger.example/x'), lambda w: w.stranger.issue('spiffe://stranger.example/x')],
        'trust-domain-unknown', 48),
    'the roots of its own trust domain': ([of_td(TD), of_td('partner.example')], [
        of_td(TD, by='partner.example'), of_td('partner.example', by=TD), of_td('10.0.0.1', by='partner.example'),
        lambda w: w.of['partner.example'].intermediate(TD).issue(ID + 'x'),
        lambda w: w.stranger.issue(ID + 'x'), lambda w: w.namesake.issue(ID + 'x')],
        ('chain-unknown-issuer', 'chain-signature'), (48, 42)),
}
GOOD = [pytest.param(make, id=f'{rule} {n}') for rule, (good, *_) in RULES.items() for n, make in enumerate(good, 1)]
BAD = [pytest.param(make, name, alert, id=f'{rule} {n}') for rule, (_, bad, name, alert) in RULES.items()
       for n, make in enumerate(bad, 1)]


def any_of(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.fixture(scope='module')
def world():
    """Returns CAs, and a sidecar on each side. The test's own peers accept every certificate."""
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(labs.Lab(stack.enter_context(tempfile.TemporaryDirectory(prefix='fairlead-'))))
        app = labs.App(labs.echo)
        stack.callback(app.close)
        w = types.SimpleNamespace(lab=lab, app=app, root=lab.root, stranger=CA('stranger.example'),
                                  namesake=CA(TD), alerts=[], received=[], svid=None)
        w.of = {TD: lab.root, **{td: CA(td, common_name=f'root {n}') for n, td in enumerate(ODD_TDS)}}
        w.as_leaf = lambda ca: types.SimpleNamespace(
            chain_pem=ca.cert_pem + b''.join(c.cert_pem for c in ca.path[1:]), key_pem=ca.key_pem)
        sections = {}
        for n, td in enumerate(ODD_TDS):
            path = lab.folder / f'td{n}.crt'
            path.write_bytes(w.of[td].cert_pem)
            path.chmod(0o644)
            sections[f'federate {td}'] = {'bundle': path}

        def serve(sock):
            try:
                with peers.context(True, w.svid).wrap_socket(sock, server_side=True) as tls:
                    data = tls.recv(100)
                    w.received.append(data)
                    tls.sendall(data)
            except ssl.SSLError as error:
                w.alerts.append(peers.alert_of(error) or str(error))
        server = labs.App(serve)
        stack.callback(server.close)
        w.inbound = lab.inbound(app.port, {**sections, 'policy': {'default': 'allow'}}, allow=None)
        sections['upstream peer'] = {'mutual': 'optional'}  # they do not ask for our certificate
        w.outbound = lab.outbound(server.port, sections, peer=', '.join(
            f'spiffe://{td}/**' for td in (TD, 'stranger.example', *ODD_TDS)))
        yield w


def next_line(workload, act):
    """Returns the result of act() and the refusal that the sidecar logs. Repeats it if the log's rate limit suppressed
    the line."""
    for _ in range(50):
        workload.sidecar.since = workload.sidecar.path.stat().st_size
        result = act()
        with contextlib.suppress(AssertionError):
            workload.sidecar.wait_line(timeout=0.3, reason='certificate_refused')
        lines = [line for line in workload.sidecar.lines(reason='certificate_refused') if 'alert' in line]
        if lines:
            return result, lines[0]
    raise AssertionError('no line in 50 attempts')


@pytest.mark.parametrize('make', GOOD)
def test_good_client(world, make):
    assert peers.verdict(world.inbound.port, make(world)) == b'x'


@pytest.mark.parametrize('make', GOOD)
def test_good_server(world, make):
    world.svid = make(world)
    with connect(world.outbound.port) as sock:
        sock.sendall(b'hello')
        assert sock.recv(100) == b'hello'


@pytest.mark.parametrize('make, rule, alert', BAD)
def test_bad_client(world, make, rule, alert):
    """The alert says what is wrong, a log line names the rule, and the app receives nothing."""
    accepted = world.app.accepted
    svid = make(world)
    got, line = next_line(world.inbound, lambda: peers.verdict(world.inbound.port, svid))
    assert got in any_of(alert) and line['alert'] == got, line
    assert line['broken_rule'] in any_of(rule), line
    assert world.app.accepted == accepted


@pytest.mark.parametrize('make', [leaf(**PAST), lambda w: w.namesake.issue(ID + 'x')], ids=['run out', 'unknown issuer'])
def test_refusal_says_who_it_claims_to_be(world, make):
    """The log has the claimed identity, although nothing vouches for it: an operator needs it to renew the
    certificate."""
    svid = make(world)
    _, line = next_line(world.inbound, lambda: peers.verdict(world.inbound.port, svid))
    assert re.search(rf'it claims to be {re.escape(ID)}\w+; certificate 1 \(', line['detail']), line
    assert 'peer' not in line


@pytest.mark.parametrize('make, rule, alert', BAD)
def test_bad_server(world, make, rule, alert):
    """On the client's side, the app's connection ends, and no byte of it has left."""
    world.svid, world.alerts[:], world.received[:] = make(world), [], []
    got, line = next_line(world.outbound, lambda: outcome(world.outbound.port, b'secret'))
    assert got == 'reset'
    assert line['broken_rule'] in any_of(rule), line
    assert wait_until(lambda: world.alerts, 'the server sees the refusal')[0] in any_of(alert)
    assert world.received == []
