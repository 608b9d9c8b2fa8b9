# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that open connections are judged again after every change: those that lose are closed with a reason, and no
others."""
import datetime
import re
import ssl
import time

import pytest

import lab as labs
import peers
from crowds import (
    closed, crowd, echo, identity, judged_inbound, judgement, no_delay, outbound_to, status, TD, THOUSAND,
    tls_dialler)
from lab import connect, wait_until
from pki import CA
from volume import secret

# --- a thousand connections ---------------------------------------------------------------------------

@pytest.mark.heavy
def test_a_policy_that_drops_one_identity(lab, echo, crowd):
    inbound = judged_inbound(lab, echo)
    for name in ('a', 'b', 'c', 'd'):
        crowd.add(name, THOUSAND // 4, tls_dialler(inbound.port, lab.root.issue(identity(name)), lab.root))
    inbound.change({'deny c': {'from': identity('c')}})
    crowd.expect({'c'}, alert=49)
    last = judgement(inbound, 2)
    assert (last['judged'], last['closed'], last['kept']) == (len(crowd.all) + THOUSAND // 4,
                                                             {'policy_lost': THOUSAND // 4}, {})
    assert closed(inbound, 'policy_lost') == THOUSAND // 4
    lines = inbound.sidecar.lines(reason='policy_lost')
    assert {(line['peer'], line['rule'], line['msg']) for line in lines} == {(identity('c'), 'c', 'connection closed')}
    assert len(lines) == THOUSAND // 4
    inbound.wait_line(msg='open connections judged again', generation=2, closed=THOUSAND // 4)


@pytest.mark.heavy
def test_removal_of_a_root(lab, echo, crowd):
    """The lost leaves are issued by the root itself or by an intermediate. Their connections were resumed or not."""
    second = CA(TD, common_name='second')
    inbound = judged_inbound(lab, echo, lab.root, second)
    for name, signer in (('ours', lab.root), ('ours below', lab.root.intermediate()),
                         ('theirs', second), ('theirs below', second.intermediate())):
        svid = signer.issue(identity(name.replace(' ', '-')))
        dial = tls_dialler(inbound.port, svid, lab.root)
        crowd.add(name, THOUSAND // 4 - 1, dial)
        session = crowd.all[-1][1].session
        context = crowd.all[-1][1].context
        crowd.add(name, 1, lambda c=context, s=session: c.wrap_socket(no_delay(connect(inbound.port)),
                                                                              session=s))
        assert crowd.all[-1][1].session_reused, name
    inbound.volume.change(ca_crt=lab.root.cert_pem)
    crowd.expect({'theirs', 'theirs below'}, alert=48)
    assert judgement(inbound, 2)['closed'] == {'trust_lost': THOUSAND // 4 * 2}
    assert closed(inbound, 'trust_lost') == THOUSAND // 4 * 2
    lines = inbound.sidecar.lines(reason='trust_lost')
    assert {line['broken_rule'] for line in lines} == {'chain-unknown-issuer'}
    assert sum(line['resumed'] for line in lines) == 2


@pytest.mark.heavy
def test_a_crl(lab, echo, crowd):
    """The CRLs revoke a leaf, an intermediate with everything below it, and a leaf by a CRL of its intermediate."""
    lower, other = lab.root.intermediate(), lab.root.intermediate()
    svids = {'leaf': lab.root.issue(identity('leaf')), 'below': lower.issue(identity('below')),
             'listed': other.issue(identity('listed')), 'beside': other.issue(identity('beside')),
             'good': lab.root.issue(identity('good'))}
    inbound = judged_inbound(lab, echo, crl=lab.root.crl())
    for name, svid in svids.items():
        crowd.add(name, THOUSAND // 5, tls_dialler(inbound.port, svid, lab.root))
    inbound.volume.change(crl_pem=lab.root.crl([svids['leaf'], lower]) + other.crl([svids['listed']]))
    crowd.expect({'leaf', 'below', 'listed'}, alert=44)
    assert judgement(inbound, 2)['closed'] == {'revoked': THOUSAND // 5 * 3}
    assert closed(inbound, 'revoked') == THOUSAND // 5 * 3
    assert {line['broken_rule'] for line in inbound.sidecar.lines(reason='revoked')} == {'certificate-revoked'}


@pytest.mark.heavy
def test_audit_mode_closes_none_and_counts_all(lab, echo, crowd):
    inbound = judged_inbound(lab, echo)
    for name in ('a', 'b'):
        crowd.add(name, THOUSAND // 2, tls_dialler(inbound.port, lab.root.issue(identity(name)), lab.root))
    inbound.change({'policy': {'mode': 'audit'}, 'deny b': {'from': identity('b')}})
    last = judgement(inbound, 2)
    assert (last['judged'], last['closed'], last['audited']) == (THOUSAND // 2 * 2, {}, THOUSAND // 2)
    assert inbound.metric('fairlead_connections_kept_total', reason='policy_lost', because='audit') == THOUSAND // 2
    crowd.expect_alive()
    inbound.change({'policy': {'mode': 'enforce'}})
    crowd.expect({'b'}, alert=49)


# --- `keep` ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize('key, reason, alert', [
    ('on_policy_loss', 'policy_lost', 49), ('on_trust_loss', 'trust_lost', 48), ('on_trust_loss', 'revoked', 44)])
def test_each_keep_keeps(lab, echo, crowd, key, reason, alert):
    """`keep` keeps connections open until the INI says otherwise."""
    second = CA(TD, common_name='second')
    svid = second.issue(identity('loser'))
    inbound = judged_inbound(lab, echo, lab.root, second, crl=lab.root.crl(), sections={'rotation': {key: 'keep'}})
    crowd.add('good', 2, tls_dialler(inbound.port, lab.client, lab.root))
    crowd.add('loser', 3, tls_dialler(inbound.port, svid, lab.root))
    if reason == 'policy_lost':
        inbound.change({'deny loser': {'from': identity('loser')}})
    elif reason == 'trust_lost':
        inbound.volume.change(ca_crt=lab.root.cert_pem)
    else:
        inbound.volume.change(crl_pem=second.crl([svid]))
    last = judgement(inbound, 2)
    assert (last['judged'], last['closed'], last['kept']) == (5, {}, {reason: 3})
    assert inbound.metric('fairlead_connections_kept_total', reason=reason, because='keep') == 3
    crowd.expect_alive()
    assert peers.verdict(inbound.port, svid, lab.root) == alert, 'new ones are refused all the same'
    inbound.change({'rotation': {key: 'close'}})
    crowd.expect({'loser'}, alert)
    assert closed(inbound, reason) == 3


@pytest.mark.tsan
def test_a_renewal_closes_nobody(lab, echo, crowd):
    """Covers several workers, and one chain on many connections."""
    inbound = judged_inbound(lab, echo, sections={'sidecar': {'workers': 3}})
    crowd.add('good', 30, tls_dialler(inbound.port, lab.client, lab.root))
    for number in range(2, 6):
        inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        assert judgement(inbound, number)['judged'] == 30
        crowd.expect_alive()
    inbound.change({'deny client': {'from': labs.CLIENT}})
    crowd.expect({'good'}, alert=49)


# --- federation -----------------------------------------------------------------------------------------

def test_a_root_that_moves_to_another_domain(lab, echo, crowd):
    """When the root vouches only for a federated domain, its leaves with an ID of ours are closed. Those of that domain
    stay."""
    ours = lab.other_root.issue(identity('ours'))
    theirs = lab.other_root.issue('spiffe://other.example/ns/test/sa/theirs')
    bundle = lab.folder / 'other.crt'
    bundle.write_bytes(lab.other_root.cert_pem)
    inbound = judged_inbound(lab, echo, lab.root, lab.other_root, sections={
        'allow theirs': {'from': 'spiffe://other.example/**'}})
    crowd.add('ours', 3, tls_dialler(inbound.port, ours, lab.root))
    crowd.add('good', 3, tls_dialler(inbound.port, lab.client, lab.root))
    assert peers.verdict(inbound.port, theirs, lab.root) == 48
    inbound.volume.change(ca_crt=lab.root.cert_pem)
    crowd.expect({'ours'}, alert=48)
    inbound.change({'federate other.example': {'bundle': bundle}})
    wait_until(lambda: peers.verdict(inbound.port, theirs, lab.root) == b'x', 'the domain is not federated')
    assert peers.verdict(inbound.port, ours, lab.root) == 48
    crowd.add('theirs', 2, tls_dialler(inbound.port, theirs, lab.root))
    inbound.change({'federate other.example': None})
    crowd.expect({'theirs'}, alert=48)


def session_of(port, context, session=None):
    """Exchanges data on a connection. Returns its session and whether it was resumed."""
    with context.wrap_socket(connect(port), session=session) as tls:
        tls.sendall(b'ping')
        assert tls.recv(4) == b'ping'
        return tls.session, tls.session_reused


def federated_root(lab, workload):
    """From now on, the other root, which vouched for our domain as well, vouches for its own domain only."""
    bundle = lab.folder / 'other.crt'
    bundle.write_bytes(lab.other_root.cert_pem)
    workload.volume.change(ca_crt=lab.root.cert_pem)
    workload.change({'federate other.example': {'bundle': bundle}})


def since_reload(agent):
    """Returns the agent's messages since it reloaded the INI. The volume's change may be in the same generation or
    not."""
    said = [line['msg'] for line in agent.lines()]
    return said[said.index('INI reloaded'):] if 'INI reloaded' in said else []


def test_a_session_under_a_root_that_moves_is_not_resumed(lab, echo):
    """A client with an older ticket is judged as if it had none."""
    ours = lab.other_root.issue(identity('ours'))
    inbound = judged_inbound(lab, echo, lab.root, lab.other_root)
    context = peers.context(False, ours, lab.root)
    session, _ = session_of(inbound.port, context)
    session, resumed = session_of(inbound.port, context, session)
    assert resumed
    federated_root(lab, inbound)
    theirs = lab.other_root.issue('spiffe://other.example/ns/test/sa/theirs')
    inbound.change({'allow theirs': {'from': 'spiffe://other.example/**'}})
    wait_until(lambda: peers.verdict(inbound.port, theirs, lab.root) == b'x', 'the domain is federated')
    with pytest.raises(OSError):
        session_of(inbound.port, context, session)
    inbound.sidecar.wait_line(reason='certificate_refused', broken_rule='chain-unknown-issuer')
    assert peers.verdict(inbound.port, ours, lab.root) == 48


# --- outbound ---------------------------------------------------------------------------------------------

def test_outbound_session_under_a_root_that_moves_is_not_resumed(lab, app):
    server = peers.Server(app, lab.other_root.issue(labs.SERVER), lab.root)
    outbound = outbound_to(lab, server.port, lab.root, lab.other_root)

    def ping():
        with connect(outbound.port) as sock:
            sock.sendall(b'ping')
            return sock.recv(4) == b'ping'
    assert ping() and ping() and ping()
    wait_until(lambda: len(outbound.sidecar.lines(msg='connection')) == 3, 'three lines')
    assert outbound.sidecar.lines(msg='connection', resumed=True)
    federated_root(lab, outbound)
    wait_until(lambda: 'generation accepted' in since_reload(outbound.agent), 'one generation, or two')
    assert labs.outcome(outbound.port, b'ping') == 'reset'
    outbound.sidecar.wait_line(reason='certificate_refused', broken_rule='chain-unknown-issuer')


def test_outbound_peer_pattern(lab, app, crowd):
    """Of two upstreams, the one whose `peer` no longer matches the server is closed."""
    server = peers.Server(app, lab.server, lab.root)
    second = lab.ports.free()
    outbound = outbound_to(lab, server.port, sections={'upstream second': {
        'listen': f'127.0.0.1:{second}', 'to': f'127.0.0.1:{server.port}', 'peer': labs.SERVER}})
    crowd.add('first', 4, lambda: connect(outbound.port))
    crowd.add('second', 4, lambda: connect(second))
    outbound.change({'upstream second': {'peer': identity('somebody-else')}})
    crowd.expect({'second'})
    assert judgement(outbound, 2)['closed'] == {'policy_lost': 4}
    lines = outbound.sidecar.lines(reason='policy_lost')
    assert {line['upstream'] for line in lines} == {'second'} and 'does not name' in lines[0]['detail']
    wait_until(lambda: server.alerts.count(49) == 4, lambda: f'the peer heard {server.alerts}')


def test_outbound_root_removed(lab, app, crowd):
    second = CA(TD, common_name='second')
    ours, theirs = peers.Server(app, lab.server, lab.root), peers.Server(app, second.issue(labs.SERVER), lab.root)
    port = lab.ports.free()
    outbound = outbound_to(lab, ours.port, lab.root, second, sections={'upstream second': {
        'listen': f'127.0.0.1:{port}', 'to': f'127.0.0.1:{theirs.port}', 'peer': labs.SERVER}})
    crowd.add('ours', 4, lambda: connect(outbound.port))
    crowd.add('theirs', 4, lambda: connect(port))
    outbound.volume.change(ca_crt=lab.root.cert_pem)
    crowd.expect({'theirs'})
    assert closed(outbound, 'trust_lost', 'outbound') == 4
    wait_until(lambda: theirs.alerts.count(48) == 4, lambda: f'the peer heard {theirs.alerts}')


@pytest.mark.parametrize('gone', [False, True])
def test_outbound_plaintext_that_is_no_longer_let_out(lab, app, crowd, gone):
    """Its upstream now requires mtls, or there is no upstream of that name any more."""
    server, second = app(), lab.ports.free()
    plain = {'listen': f'127.0.0.1:{second}', 'to': f'127.0.0.1:{server.port}', 'mode': 'plaintext'}
    outbound = lab.outbound(server.port, {'upstream peer': {'mode': 'plaintext', 'peer': ''}, 'upstream second': plain})
    crowd.add('first', 3, lambda: connect(outbound.port))
    crowd.add('second', 3, lambda: connect(second))
    outbound.change({'log': {'level': 'debug'}})
    assert judgement(outbound, 2)['closed'] == {}
    crowd.expect_alive()
    outbound.change({'upstream second': None if gone else {'mode': 'mtls'}})
    crowd.expect({'second'})
    assert closed(outbound, 'policy_lost', 'outbound') == 3
    outbound.wait_line(reason='policy_lost', detail=re.compile('no such upstream' if gone else 'requires mtls now'))


# --- inbound plaintext --------------------------------------------------------------------------------------

@pytest.mark.parametrize('mode', ['plaintext', 'permissive'])
@pytest.mark.parametrize('change, detail', [
    ({'allow plain': None}, None), ({'allow plain': {'sources': '10.0.0.0/8'}}, None),
    ({'deny clear': {'from': 'plaintext'}}, None), ({'service app': {'mode': 'strict'}}, 'its port is strict now')])
def test_inbound_plaintext(lab, echo, crowd, mode, change, detail):
    """Rules for plaintext and the mode of the port decide. A peer with an identity on the same port stays."""
    inbound = judged_inbound(lab, echo, sections={'service app': {'mode': mode}, 'allow plain': {'from': 'plaintext'}})
    crowd.add('plain', 3, lambda: connect(inbound.port))
    if mode == 'permissive':
        ours = peers.context(False, lab.client, lab.root)
        ours.set_alpn_protocols(['fairlead/1'])
        crowd.add('mtls', 2, lambda: ours.wrap_socket(no_delay(connect(inbound.port))))
    inbound.change({'log': {'level': 'debug'}})
    assert judgement(inbound, 2)['closed'] == {}
    crowd.expect_alive()
    inbound.change(change)
    crowd.expect({'plain'})
    assert closed(inbound, 'policy_lost') == 3
    line = inbound.wait_line(reason='policy_lost', security='plaintext')
    assert detail in (None, line.get('detail')) or detail in line['detail']


# --- time -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('word', ['close', 'keep'])
def test_on_expiry(lab, echo, crowd, word):
    """Certificates expire as time passes, without a new generation."""
    seconds = 3 * labs.PACE
    short = lab.root.issue(identity('short'), not_after=datetime.timedelta(seconds=seconds))
    inbound = judged_inbound(lab, echo, sections={'rotation': {'on_expiry': word}})
    crowd.add('long', 3, tls_dialler(inbound.port, lab.client, lab.root))
    crowd.add('short', 3, tls_dialler(inbound.port, short, lab.root))
    end = short.cert.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()
    if word == 'close':
        crowd.expect({'short'}, alert=45)
        assert time.time() > end
        assert closed(inbound, 'peer_expired') == 3
        return
    wait_until(lambda: time.time() > end + 2, 'time does not pass', timeout=seconds + 20)
    crowd.expect_alive()
    inbound.change({'log': {'level': 'debug'}})
    assert judgement(inbound, 2)['kept'] == {'peer_expired': 3}
    crowd.expect_alive()
    inbound.change({'rotation': {'on_expiry': 'close'}})
    crowd.expect({'short'}, alert=45)


# --- handshakes under way -----------------------------------------------------------------------------------

class Slow:
    """A client that stops in the middle of its handshake."""

    def __init__(self, port, svid, root):
        self.sock = connect(port)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = peers.context(False, svid, root).wrap_bio(self.incoming, self.outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.sock.sendall(self.outgoing.read())

    def finish(self):
        """Returns the answer or the alert."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.incoming.write(self.sock.recv(1 << 16))
        self.tls.write(b'x')
        self.sock.sendall(self.outgoing.read())
        while True:
            try:
                return self.tls.read(1)
            except ssl.SSLWantReadError:
                try:
                    data = self.sock.recv(1 << 16)
                except ConnectionError:
                    return 'reset'
                if not data:
                    return 'eof'
                self.incoming.write(data)
            except ssl.SSLError as error:
                return peers.alert_of(error)


@pytest.mark.parametrize('keep', [False, True])
def test_a_handshake_that_began_before(lab, echo, keep):
    """The connection is not open yet, so `keep` does not apply to it."""
    rotation = {'rotation': {'on_policy_loss': 'keep', 'on_trust_loss': 'keep'}} if keep else None
    second = CA(TD, common_name='second')
    inbound = judged_inbound(lab, echo, lab.root, second, sections=rotation)
    untrusted = second.issue(identity('untrusted'))
    slow = [Slow(inbound.port, lab.root.issue(identity('denied')), lab.root),
            Slow(inbound.port, untrusted, lab.root), Slow(inbound.port, lab.client, lab.root)]
    wait_until(lambda: status(inbound)['connections']['inbound']['open'] == 3, 'they are not there')
    inbound.change({'deny denied': {'from': identity('denied')}})
    inbound.volume.change(ca_crt=lab.root.cert_pem)
    wait_until(lambda: peers.verdict(inbound.port, untrusted, lab.root) == 48, 'the root is still there')
    wait_until(lambda: peers.verdict(inbound.port, lab.root.issue(identity('denied')), lab.root) == 49, 'it is let in')
    assert [one.finish() for one in slow] == [49, 48, b'x']
    inbound.wait_line(reason='policy_lost', peer=identity('denied'))
    inbound.wait_line(reason='trust_lost', peer=identity('untrusted'))
    for one in slow:
        one.sock.close()
