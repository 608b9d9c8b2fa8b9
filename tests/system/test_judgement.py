# SPDX-License-Identifier: GPL-3.0-or-later
"""Open connections are judged again whenever something changes: who loses is closed, with a reason, and nobody else."""
import contextlib
import datetime
import json
import re
import resource
import select
import selectors
import socket
import ssl
import threading
import time

import pytest

import lab as labs
import peers
from lab import connect, end_of, wait_until
from pki import CA
from volume import mounted, secret

TD = labs.TD
THOUSAND = 1000 // labs.SLOW  # of which a sanitizer sees fewer


def identity(name):
    return f'spiffe://{TD}/ns/test/sa/{name}'


# --- helpers ----------------------------------------------------------------------------------------

class Echo:
    """An app for very many connections at once."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.selector, self.over = selectors.DefaultSelector(), threading.Event()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            for key, _ in self.selector.select(0.1):
                if key.fileobj is self.listener:
                    self.selector.register(self.listener.accept()[0], selectors.EVENT_READ)
                else:
                    self.answer(key.fileobj)

    def answer(self, sock):
        data = b''
        with contextlib.suppress(ConnectionError):
            data = sock.recv(1 << 16)
            sock.sendall(data)
        if not data:
            self.selector.unregister(sock)
            sock.close()

    def close(self):
        self.over.set()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


@pytest.fixture
def echo():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
    made = Echo()
    yield made
    made.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Live connections by name of their kind."""

    def __init__(self):
        self.all = []

    def add(self, kind, number, dial):
        for _ in range(number):
            sock = dial()
            sock.sendall(b'ping')
            assert sock.recv(4) == b'ping'
            self.all.append((kind, sock))

    def alive(self, sock):
        """And no byte of it comes late, or was lost."""
        try:
            sock.sendall(b'more')
            return sock.recv(4) == b'more'
        except (OSError, ssl.SSLError):
            return False

    def ended(self):
        """Those of which something has come without a question: their end."""
        poll, by_fd = select.poll(), {}
        for kind, sock in self.all:
            poll.register(sock.fileno(), select.POLLIN)
            by_fd[sock.fileno()] = (kind, sock)
        return [by_fd[fd] for fd, _ in poll.poll(0)]

    def expect(self, kinds, alert=None):
        """All of these kinds end, with this alert, and nobody else."""
        wanted = [pair for pair in self.all if pair[0] in kinds]
        wait_until(lambda: len(self.ended()) >= len(wanted), lambda: f'{len(self.ended())} of {len(wanted)} ended')
        ended = self.ended()
        assert sorted(kind for kind, _ in ended) == sorted(kind for kind, _ in wanted)
        for _, sock in ended:
            assert how_it_ended(sock) in ((alert,) if alert else ('eof', 'reset'))
        self.drop(ended)
        self.expect_alive()

    def drop(self, ended):
        gone = {id(sock) for _, sock in ended}
        for _, sock in ended:
            sock.close()
        self.all = [pair for pair in self.all if id(pair[1]) not in gone]

    def expect_alive(self):
        dead = [kind for kind, sock in self.all if not self.alive(sock)]
        assert not dead, f'{len(dead)} of {len(self.all)} have gone: {dead[:3]}'

    def close(self):
        for _, sock in self.all:
            sock.close()


def how_it_ended(sock):
    """The alert's number, 'eof' or 'reset'."""
    try:
        return end_of(sock)
    except ssl.SSLEOFError:
        return 'reset'
    except ssl.SSLError as error:
        return peers.alert_of(error) or str(error)


@pytest.fixture
def crowd():
    made = Crowd()
    yield made
    made.close()


def tls_dialler(port, svid, root, session=None):
    context = peers.context(False, svid, root)
    return lambda: context.wrap_socket(no_delay(connect(port)), session=session)


def no_delay(sock):
    """Else the first bytes wait 40 ms for an acknowledgement: too long, a thousand times."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def judged_inbound(lab, echo, *roots, crl=None, sections=None, **options):
    made, volume = mounted(lab, 'back', sections)
    volume.write({**secret(lab.server, *(roots or (lab.root,))), **({'crl.pem': crl} if crl else {})})
    if crl:
        made['identity']['crl'] = volume / 'crl.pem'
    made = labs.merge({'limits': {'connections': 4096}}, made)
    workload = lab.inbound(echo.port, made, **options)
    workload.volume = volume
    return workload


def status(workload):
    return json.loads(workload.get('/status')[1])


def judgement(workload, number):
    """That of this generation, when it is over."""
    def done():
        last = status(workload)['last_judgement']
        return last if last and last['generation'] == number and last['done'] else None
    return wait_until(done, lambda: f'no judgement: {status(workload)["last_judgement"]}')


def closed(workload, reason, direction='inbound'):
    return workload.metric('fairlead_connections_closed_total', direction=direction, reason=reason)


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
    """Straight from it or by an intermediate; resumed or not."""
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
    """A leaf, an intermediate with all that is below it, and a leaf by a list of its intermediate."""
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


# --- what is kept ---------------------------------------------------------------------------------------

@pytest.mark.parametrize('key, reason, alert', [
    ('on_policy_loss', 'policy_lost', 49), ('on_trust_loss', 'trust_lost', 48), ('on_trust_loss', 'revoked', 44)])
def test_each_keep_keeps(lab, echo, crowd, key, reason, alert):
    """Until it is no more the word."""
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
    """On several workers, and with one chain for many connections."""
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
    """Its leaves with an ID of ours lose, when it vouches for a federated domain only; that domain's stay."""
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
    """A connection that says something: its session, and whether it was resumed."""
    with context.wrap_socket(connect(port), session=session) as tls:
        tls.sendall(b'ping')
        assert tls.recv(4) == b'ping'
        return tls.session, tls.session_reused


def federated_root(lab, workload):
    """The other root, which spoke for our domain as well, speaks for its own one only from now on."""
    bundle = lab.folder / 'other.crt'
    bundle.write_bytes(lab.other_root.cert_pem)
    workload.volume.change(ca_crt=lab.root.cert_pem)
    workload.change({'federate other.example': {'bundle': bundle}})


def since_reload(agent):
    """What the agent said when it had taken the INI anew: the volume's change may be in the same generation, or not."""
    said = [line['msg'] for line in agent.lines()]
    return said[said.index('INI reloaded'):] if 'INI reloaded' in said else []


def test_a_session_under_a_root_that_moves_is_not_resumed(lab, echo):
    """Who comes in with a ticket of before is judged as if there was none."""
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


# --- on the way out ---------------------------------------------------------------------------------------

def outbound_to(lab, port, *roots, sections=None):
    made, volume = mounted(lab, 'front', sections)
    volume.write(secret(lab.client, *(roots or (lab.root,))))
    workload = lab.outbound(port, made)
    workload.volume = volume
    return workload


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
    """Of two upstreams, the one whose `peer` no longer names who answers."""
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
    """Its upstream is mtls now, or there is none of that name any more."""
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


# --- plaintext on the way in --------------------------------------------------------------------------------

@pytest.mark.parametrize('mode', ['plaintext', 'permissive'])
@pytest.mark.parametrize('change, detail', [
    ({'allow plain': None}, None), ({'allow plain': {'sources': '10.0.0.0/8'}}, None),
    ({'deny clear': {'from': 'plaintext'}}, None), ({'service app': {'mode': 'strict'}}, 'its port is strict now')])
def test_inbound_plaintext(lab, echo, crowd, mode, change, detail):
    """Rules about plaintext, and the mode of its port; a peer with an identity beside it stays."""
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
    """As time passes, without a new generation."""
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
        """The answer, or the alert."""
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
    """It is not open yet, so there is nothing that could be kept."""
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


# --- recycling ------------------------------------------------------------------------------------------------

class Talker(threading.Thread):
    """Says something and checks the answer, with a pause between; notes how and when it ended."""

    def __init__(self, sock, pause, size=20000):
        super().__init__()
        self.sock, self.pause, self.size = sock, pause, size
        self.how, self.when, self.rounds, self.over = None, None, 0, threading.Event()
        self.start()

    def run(self):
        data = bytes(range(256)) * (self.size // 256)
        try:
            while not self.over.is_set():
                self.sock.sendall(data)
                got = b''
                while len(got) < len(data):
                    chunk = self.sock.recv(1 << 16)
                    if not chunk:
                        self.how = 'eof' if not got else 'cut'
                        return
                    got += chunk
                assert got == data
                self.rounds += 1
                if self.pause and select.select([self.sock], [], [], self.pause)[0]:
                    self.how = how_it_ended(self.sock)
                    return
        except (OSError, ssl.SSLError) as error:
            self.how = f'{error!r}'
        finally:
            self.when = time.monotonic()


@pytest.mark.heavy
def test_recycle(lab, echo, crowd):
    """Idle ones first and spread, at a pause and orderly: no byte is lost, and new ones are not touched."""
    inbound = judged_inbound(lab, echo, sections={'rotation': {'recycle': f'{6 * labs.PACE}s'}})
    dial = tls_dialler(inbound.port, lab.client, lab.root)
    crowd.add('idle', 20, dial)
    talkers = [Talker(dial(), pause=1.2 * labs.PACE) for _ in range(10)]
    wait_until(lambda: all(one.rounds > 1 for one in talkers), 'they do not talk', timeout=30)
    inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
    judgement(inbound, 2)
    begin = time.monotonic()
    fresh = Crowd()
    fresh.add('new', 5, dial)
    ends = {}

    def all_ended():
        for kind, sock in crowd.ended():
            ends.setdefault(id(sock), time.monotonic())
            assert kind == 'idle'
        return len(ends) == 20 and not any(one.is_alive() for one in talkers)
    wait_until(all_ended, lambda: f'{len(ends)} and {[one.how for one in talkers]}', timeout=60)
    for _, sock in crowd.all:
        assert how_it_ended(sock) == 'eof'
    assert {one.how for one in talkers} == {'eof'}
    fresh.expect_alive()
    fresh.close()
    assert closed(inbound, 'recycled') == 30
    times = sorted(end - begin for end in ends.values())
    busy = sorted(one.when - begin for one in talkers)
    assert times[-1] - times[0] > 0.5, f'not spread: {times}'
    assert times[len(times) // 2] < busy[len(busy) // 2], f'not the idle ones first: {times}, {busy}'


@pytest.mark.heavy
def test_recycle_of_one_that_never_pauses(lab, echo):
    """When the time is over it is reset, which nobody takes for an end."""
    inbound = judged_inbound(lab, echo, sections={'rotation': {'recycle': f'{6 * labs.PACE}s'}})
    sock = tls_dialler(inbound.port, lab.client, lab.root)()
    sock.suppress_ragged_eofs = False
    talker = Talker(sock, pause=0)
    wait_until(lambda: talker.rounds > 1, 'it does not talk')
    inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
    inbound.wait_line(reason='recycled', timeout=20)
    talker.join(10 * labs.SLOW)
    assert any(word in talker.how for word in ('Reset', 'EOF', 'BrokenPipe')), talker.how
    assert talker.rounds > 5


@pytest.mark.heavy
def test_an_answer_that_takes_its_time(lab, app):
    """Who waits for it is not idle, however long the silence."""
    asked, answer = threading.Event(), threading.Event()

    def think(sock):
        while data := sock.recv(100):
            if data == b'hard':
                asked.set()
                answer.wait(60)
            sock.sendall(data)
    server = app(think)
    inbound = judged_inbound(lab, server, sections={'rotation': {'recycle': f'{8 * labs.PACE}s'}})
    with tls_dialler(inbound.port, lab.client, lab.root)() as hard, \
            tls_dialler(inbound.port, lab.client, lab.root)() as easy:
        for sock, question in ((hard, b'hard'), (easy, b'easy')):
            sock.sendall(question)
        assert easy.recv(4) == b'easy' and asked.wait(10)
        inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 1.6 * labs.PACE, 'time does not pass', timeout=20)
        answer.set()
        assert hard.recv(4) == b'hard'
        assert end_of(hard) == end_of(easy) == 'eof'


def test_max_age(lab, echo, crowd):
    """At a pause, and orderly; a new one in its place lives as long."""
    inbound = judged_inbound(lab, echo, sections={'limits': {'max_age': f'{2 * labs.PACE}s', 'connections': 100}})
    begin = time.monotonic()
    crowd.add('old', 5, tls_dialler(inbound.port, lab.client, lab.root))
    wait_until(lambda: len(crowd.ended()) == 5, 'they live on')
    assert time.monotonic() - begin > 1.7 * labs.PACE
    assert {how_it_ended(sock) for _, sock in crowd.all} == {'eof'}
    assert closed(inbound, 'max_age') == 5
    talker = Talker(tls_dialler(inbound.port, lab.client, lab.root)(), pause=0)
    wait_until(lambda: closed(inbound, 'max_age') == 6, 'the busy one lives on')
    talker.join(10 * labs.SLOW)
    assert not talker.is_alive()


def test_max_age_on_the_way_out(lab, app, crowd):
    server = peers.Server(app, lab.server, lab.root)
    outbound = outbound_to(lab, server.port, sections={'limits': {'max_age': f'{labs.PACE}s'}})
    crowd.add('old', 3, lambda: connect(outbound.port))
    wait_until(lambda: len(crowd.ended()) == 3, 'they live on')
    assert {how_it_ended(sock) for _, sock in crowd.all} == {'eof'}
    assert closed(outbound, 'max_age', 'outbound') == 3
    wait_until(lambda: len(server.peers) == 3 and server.alerts == [], lambda: f'the peer heard {server.alerts}')
