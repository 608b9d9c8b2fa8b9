# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that the private key stays in the agent ([tls] key = agent): the sidecar never has it, handshakes are signed all
the same, whatever the agent goes through, and the agent signs nothing else than it should."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import lab as labs
import memory
from false_agent import FalseAgent, field, frame, generation, HELLO, SIGN, SIGNED
from false_sidecar import connect_as, FalseSidecar, hello, split
from lab import ASAN, connect, SLOW, wait_until
from pki import CA

pytestmark = pytest.mark.aarch64  # signatures, by assembly of the architecture

root_only = pytest.mark.skipif(os.getuid() != 0, reason='reads the memory of a process that is not dumpable')
FULL = {'tls': {'tickets': 'off', 'reuse': 'off'}}
CLIENT, SERVER = 0, 1
SIGNED_OK, UNKNOWN_KEY, WRONG_SCHEME, WRONG_HASH, WRONG_ROLE, RATE = range(6)
ECDSA_P256, ECDSA_P384, ED25519, RSA_PSS = 0x0403, 0x0503, 0x0807, 0x0804
HASH = bytes(range(32))


def ping(port):
    """Does a new connection carry a byte there and back?"""
    with connect(port) as sock:
        sock.sendall(b'x')
        return sock.recv(1) == b'x'


def status(workload):
    return json.loads(workload.get('/status')[1])


# --- the sidecar has no key ----------------------------------------------------------------------------

def use_keys(lab, app, kind):
    """A thousand full handshakes, with three rotations between them, in each role. Returns the pair, and the keys whose time is
    over: [(workload, key)]."""
    pair = lab.pair(app().port, common={**FULL, 'limits': {'connect_timeout': '1s', 'handshake_timeout': '1s'}},
                    client=lab.root.issue(labs.CLIENT, key=kind), server=lab.root.issue(labs.SERVER, key=kind))
    old = []
    for number in range(2, 6):
        for _ in range(250):
            assert ping(pair.port)
        if number == 5:
            break
        for workload, identity in ((pair.inbound, labs.SERVER), (pair.outbound, labs.CLIENT)):
            old.append((workload, workload.svid_key))
            svid = lab.root.issue(identity, key=kind)
            workload.svid_key = svid.key
            workload.mount(svid)
            workload.wait_line(msg='generation in use', generation=number)
    for workload in pair.workloads:
        assert workload.metric('fairlead_signatures_total', result='signed') == 1000
        assert workload.metric('fairlead_handshakes_resumed_total') == 0
    return pair, old


not_sanitized = pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='the memory of the sanitizers takes minutes to read')


@root_only
@pytest.mark.heavy
@not_sanitized
@pytest.mark.parametrize('kind', ['p256', 'rsa2048'])
def test_the_key_is_nowhere_in_the_sidecars_memory(lab, app, kind):
    """The same search finds it in the agent; and of keys whose time is over it finds nothing there either."""
    pair, old = use_keys(lab, app, kind)
    for workload in pair.workloads:
        assert memory.found(workload.sidecar.pid, workload.svid_key) == []
        assert memory.found(workload.agent.pid, workload.svid_key) != [], 'the search finds what is there'
    for workload, key in old:
        assert memory.found(workload.sidecar.pid, key) == []
        wait_until(lambda w=workload, k=key: memory.found(w.agent.pid, k) == [],
                   lambda w=workload, k=key: f'{w.agent.name} still has {memory.found(w.agent.pid, k)}')


@root_only
@pytest.mark.heavy
@not_sanitized
@pytest.mark.skipif(not shutil.which('gcore'), reason='gdb is missing')
def test_the_key_is_not_in_a_core_of_the_sidecar(lab, app):
    pair, old = use_keys(lab, app, 'p256')
    for workload in pair.workloads:
        core = memory.core(workload.sidecar.pid, lab.folder)
        for owner, key in [*old, (workload, workload.svid_key)]:
            assert owner is not workload or memory.found_in(core, key) == []
        assert memory.found_in(memory.core(workload.agent.pid, lab.folder), workload.svid_key) != []
    assert ping(pair.port), 'both go on'


@root_only
def test_preview_brings_no_key(lab, app):
    inbound = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'control.sock'}})
    other = lab.root.issue(labs.SERVER)
    inbound.agent.signal(signal.SIGSTOP)
    try:
        inbound.mount(other)
        done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, 'preview', '-c', inbound.ini], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        inbound.agent.signal(signal.SIGCONT)
    assert memory.found(inbound.sidecar.pid, other.key) == []
    assert memory.found(inbound.sidecar.pid, lab.server.key) == []


@pytest.mark.heavy
def test_no_key_leaves_by_way_of_another_file(lab):
    """Somebody puts it where it does not belong: into a partner's bundle, which is refused then, or beside what is parsed."""
    web = lab.inbound('127.0.0.1:9', start=False)
    ca, partner, good = CA(labs.TD), CA('partner.example'), CA('good.example')
    crl = ca.crl()
    svid, other = ca.issue(labs.SERVER), ca.issue(labs.CLIENT)
    beside = b'\n'.join(svid.key_pem.splitlines()[1:-1]) + b'\n'
    (web.folder / 'partner.pem').write_bytes(other.key_pem + partner.cert_pem)
    (web.folder / 'good.pem').write_bytes(beside + good.cert_pem)
    (web.folder / 'crl.pem').write_bytes(beside + crl)
    web.mount(svid, beside + ca.cert_pem)
    web.change({'identity': {'cert': web.folder / 'tls.crt', 'key': web.folder / 'tls.key', 'bundle': web.folder / 'ca.crt',
                             'crl': web.folder / 'crl.pem'},
                'federate partner.example': {'bundle': web.folder / 'partner.pem'},
                'federate good.example': {'bundle': web.folder / 'good.pem'}})
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        got = sidecar.take()
    assert b'PRIVATE KEY' not in got.payload.replace(b'"PRIVATE KEY"', b'')
    for line in beside.splitlines() + other.key_pem.splitlines()[1:-1]:
        assert line not in got.payload
    assert got.bundle == ca.cert_pem and crl in got.payload
    assert sorted(got.foreign) == [(b'good.example', good.cert_pem), (b'partner.example', b'')]
    web.start_sidecar().wait_line(msg='generation in use')
    [warning] = [text for text in status(web)['warnings'] if 'partner.example' in text]
    assert 'its bundle is refused: block 1 (line 1) is "PRIVATE KEY"' in warning


@root_only
def test_the_sidecar_has_the_key_if_the_ini_says_so(lab, app):
    """And it changes without a restart, in both directions."""
    pair = lab.pair(app().port, common={'tls': {'key': 'sidecar', 'tickets': 'off', 'reuse': 'off'}})
    inbound = pair.inbound
    assert ping(pair.port)
    assert inbound.metric('fairlead_signatures_total') == 0
    assert memory.found(inbound.sidecar.pid, lab.server.key) != []
    assert status(inbound)['agent']['signs'] is None
    inbound.change({'tls': {'key': 'agent'}})
    inbound.wait_line(msg='generation in use', generation=2)
    inbound.wait_ready()
    assert ping(pair.port)
    assert inbound.metric('fairlead_signatures_total', result='signed') == 1
    assert status(inbound)['agent']['signs'] is True
    inbound.change({'tls': {'key': 'sidecar'}})
    inbound.wait_line(msg='generation in use', generation=3)
    inbound.agent.kill()
    assert ping(pair.port), 'it needs no agent'
    assert inbound.get('/readyz')[0] == 200


@root_only
@pytest.mark.heavy
@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='they keep freed memory for a while')
def test_sessions_without_a_use_do_not_keep_the_key_in_the_sidecar(lab, app):
    """They belong to the generation that they began with, and that has the key."""
    pair = lab.pair(app().port, common={'tls': {'key': 'sidecar'}})
    assert ping(pair.port)
    for workload in pair.workloads:
        wait_until(lambda w=workload: w.metric('fairlead_sessions_open', state='idle') == 1, 'no idle session')
        assert memory.found(workload.sidecar.pid, workload.svid_key) != []
    for workload in pair.workloads:
        workload.change({'tls': {'key': 'agent'}})
        workload.wait_line(msg='generation in use', generation=2)
    for workload in pair.workloads:
        wait_until(lambda w=workload: memory.found(w.sidecar.pid, w.svid_key) == [], 'the key is still there')
    assert ping(pair.port)


@pytest.mark.parametrize('kind', ['p384', 'ed25519', 'rsa3072'])
def test_each_kind_of_key_signs_in_both_roles(lab, app, kind):
    pair = lab.pair(app().port, common=FULL, client=lab.root.issue(labs.CLIENT, key=kind),
                    server=lab.root.issue(labs.SERVER, key=kind))
    for _ in range(3):
        assert ping(pair.port)
    for workload in pair.workloads:
        assert workload.metric('fairlead_signatures_total', result='signed') == 3


# --- the agent dies, hangs, comes back ------------------------------------------------------------------

@pytest.mark.heavy
def test_an_agent_that_is_back_within_300_ms_costs_no_connection(lab, app):
    """Both agents are killed again and again, while new connections, each a full handshake, come all the time."""
    pair = lab.pair(app().port, common={**FULL, 'sidecar': {'workers': 2}})
    load = lab.program('load', [sys.executable, labs.ROOT / 'tests/lib/traffic.py', 'load', str(pair.port),
                                str(lab.folder / 'report.json'), '--streams', '20', '--clients', '4', '--newcomers', '8'])
    for _ in range(5):
        before = pair.inbound.metric('fairlead_signatures_total', result='signed')
        wait_until(lambda b=before: pair.inbound.metric('fairlead_signatures_total', result='signed') > b + 20, 'no load')
        for workload in pair.workloads:
            workload.agent.kill()
        time.sleep(0.25)  # the outage that is tested
        for workload in pair.workloads:
            workload.start_agent()
    load.stop()
    report = json.loads((lab.folder / 'report.json').read_text())
    assert report['failures'] == [], report['failures'][:5]
    for workload in pair.workloads:
        assert workload.metric('fairlead_handshakes_total') == workload.metric('fairlead_handshakes_total', result='ok') > 0
        assert workload.metric('fairlead_signing_down') == 0


@pytest.mark.heavy
def test_an_agent_that_comes_back_with_a_new_key_costs_few_handshakes(lab, app):
    """Those under way have shown the old certificate, whose key is gone with the old agent. The next ones begin with the new
    one: the sidecar gets the generation before its workers ask for signatures again."""
    pair = lab.pair(app().port, common={**FULL, 'sidecar': {'workers': 2}})
    clients, done, failed = 8, threading.Event(), []

    def run():
        while not done.is_set():
            try:
                assert ping(pair.port)
            except ConnectionError as error:
                failed.append(error)
                time.sleep(0.05)  # or the count would be of tries in the outage

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        runs = [pool.submit(run) for _ in range(clients)]
        try:
            for number in (2, 3, 4):
                time.sleep(1.1)  # to an agent that ended sooner it would not come back at once
                renewed = lab.root.issue(labs.SERVER)
                pair.inbound.agent.kill()
                pair.inbound.mount(renewed)
                time.sleep(0.2)  # the outage
                pair.inbound.start_agent()
                pair.inbound.wait_line(msg='generation in use', generation=number)
        finally:
            done.set()
        for each in runs:
            each.result()
    assert len(failed) <= 3 * 5 * clients, len(failed)


@pytest.mark.heavy
def test_without_an_agent_full_handshakes_wait_then_fail_fast(lab, app):
    pair = lab.pair(app().port)
    inbound = pair.inbound
    opened = connect(pair.port)
    opened.sendall(b'x')
    assert opened.recv(1) == b'x'
    stranger = lab.outbound(inbound.port, FULL, name='stranger')
    inbound.agent.kill()

    begin = time.monotonic()
    assert labs.outcome(stranger.port, b'x') == 'reset'
    assert 1.5 < time.monotonic() - begin < 4 * SLOW, 'it waited for two seconds'
    line = inbound.wait_line(reason='signature_unavailable')
    assert 'fairlead-agent' in line['detail'], line
    wait_until(lambda: inbound.metric('fairlead_signing_down') == 1, 'it is down')
    ready, text = inbound.get('/readyz')
    assert ready == 503 and 'signature_unavailable' in text, text
    told = status(inbound)
    assert told['agent']['signs'] is False and 'signature_unavailable' in told['reason']
    inbound.wait_line(level='warn', msg=re.compile('^the agent does not sign'))

    begin = time.monotonic()
    assert labs.outcome(stranger.port, b'x') == 'reset'
    assert time.monotonic() - begin < 1 * SLOW, 'nobody waits any more'
    assert inbound.metric('fairlead_handshakes_total', result='signature_unavailable') >= 2

    assert ping(pair.port), 'a resumed session needs no signature'
    opened.sendall(b'y')
    assert opened.recv(1) == b'y', 'an open connection goes on'
    opened.close()

    inbound.start_agent()
    inbound.wait_ready()
    inbound.wait_line(level='info', msg='the agent signs again')
    assert ping(stranger.port)
    assert status(inbound)['agent']['signs'] is True


@pytest.mark.heavy
def test_an_agent_that_hangs_is_no_agent(lab, app):
    """Its socket still accepts. What was asked is answered when it goes on; nobody waits for that."""
    pair = lab.pair(app().port, common=FULL)
    assert ping(pair.port)
    pair.inbound.agent.signal(signal.SIGSTOP)
    try:
        assert labs.outcome(pair.port, b'x') == 'reset'
        wait_until(lambda: pair.inbound.get('/readyz')[0] == 503, 'still ready')
        begin = time.monotonic()
        assert labs.outcome(pair.port, b'x') == 'reset'
        assert time.monotonic() - begin < 1 * SLOW
    finally:
        pair.inbound.agent.signal(signal.SIGCONT)
    pair.inbound.wait_ready()
    assert ping(pair.port)


class Signer(FalseAgent):
    """An agent that answers every connection: with a generation, and with signatures of the server's key."""

    def __init__(self, workload, key):
        super().__init__(workload, key='agent')
        self.key, self.cuts = key, False  # cuts: of each answer with a signature it sends a part, and never the rest
        threading.Thread(target=self.accept_all, daemon=True).start()

    def accept_all(self):
        self.listener.settimeout(None)
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, sock):
        folder, ini = self.workload.folder, self.workload.ini
        with sock, sock.makefile('rb') as come:
            while len(head := come.read(12)) == 12:
                kind, size = struct.unpack('>4xH2xI', head)
                payload = come.read(size)
                if kind == HELLO:
                    sock.sendall(generation(1, (folder / 'tls.crt').read_bytes(), (folder / 'ca.crt').read_bytes(),
                                            ini.read_text(), str(ini)))
                elif kind == SIGN:
                    answers = b''.join(field(1, value[:4] + b'\0' + self.sign(value)) for _, value in split(payload))
                    sock.sendall(frame(SIGNED, answers)[:9 if self.cuts and answers else None])

    def sign(self, request):
        return self.key.sign(content(request[36], request[39:]), ec.ECDSA(hashes.SHA256()))


@pytest.mark.heavy
def test_an_answer_that_never_becomes_whole_does_not_block_the_next_ones(lab, app):
    """Nothing else would ever come on that connection, so the sidecar makes a new one."""
    inbound = lab.inbound(app().port, {'tls': {'tickets': 'off'}}, start=False)
    front = lab.outbound(inbound.port, FULL)
    with Signer(inbound, lab.server.key) as agent:
        inbound.start_sidecar().wait_ready()
        assert ping(front.port)
        agent.cuts = True
        assert labs.outcome(front.port, b'x') == 'reset'
        wait_until(lambda: inbound.get('/readyz')[0] == 503, 'still ready')
        agent.cuts = False
        inbound.wait_ready()
        assert ping(front.port)


@pytest.mark.heavy
def test_an_agent_that_is_restarted_beside_a_fault_signs_all_the_same(lab, app):
    """What is mounted is refused, but the key in it is the one that the sidecar uses."""
    pair = lab.pair(app().port, common=FULL)
    assert ping(pair.port)
    pair.inbound.agent.stop()
    pair.inbound.mount(lab.server, CA(labs.TD).cert_pem)
    pair.inbound.start_agent()
    pair.inbound.agent.wait_line(msg='credentials refused')
    time.sleep(3)  # longer than a handshake would wait
    assert ping(pair.port)
    assert pair.inbound.get('/readyz')[0] == 200


# --- a sidecar that stays with an older generation -----------------------------------------------------

@pytest.mark.heavy
def test_a_key_stays_while_a_sidecar_uses_it(web, lab):
    """A sidecar refuses the new generation: the agent signs with the old key as long as that sidecar is connected, and for
    twice connect_timeout and handshake_timeout after that."""
    web.change({'limits': {'connect_timeout': '500ms', 'handshake_timeout': '200ms'}})
    web.start_agent()
    old, new = key_name(lab.server), None
    with FalseSidecar(web) as sidecar, Signing(web) as worker:
        first = sidecar.take()
        assert 'PRIVATE' not in first.credential.decode()
        renewed = lab.root.issue(labs.SERVER)
        new = key_name(renewed)
        web.mount(renewed)
        second = sidecar.next(ok=False, reason='no')
        assert second.number == 2
        time.sleep(1.6)  # longer than the time that follows
        assert worker.ask(key=old) == worker.ask(key=new) == SIGNED_OK
        sidecar.close()
        begin = time.monotonic()
        while time.monotonic() < begin + 1.2:
            answer = worker.ask(key=old)
            assert answer == SIGNED_OK or time.monotonic() > begin + 1.4, 'connections are being made with it'
            time.sleep(0.1)
        wait_until(lambda: worker.ask(key=old) == UNKNOWN_KEY, 'it is wiped')
        assert worker.ask(key=new) == SIGNED_OK


def test_a_sidecar_that_connects_again_holds_the_key_of_its_hello(web, lab):
    web.change({'limits': {'connect_timeout': '10ms', 'handshake_timeout': '200ms'}})
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        first = sidecar.take()
    with Signing(web) as worker, FalseSidecar(web) as again:
        again.send(hello(first.number, first.digest, key=key_name(lab.server)))
        web.agent.wait_line(msg='generation is in use already')
        renewed = lab.root.issue(labs.SERVER)
        web.mount(renewed)
        again.receive()
        time.sleep(0.7)  # longer than an earlier key stays
        assert worker.ask(key=key_name(lab.server)) == SIGNED_OK


# --- what the agent signs --------------------------------------------------------------------------------

class Signing(FalseSidecar):
    """A worker's connection to the agent."""

    def ask(self, **request):
        """Asks for one signature. Returns the result."""
        return self.ask_all([request])[0][0]

    def ask_all(self, requests):
        """Returns [(result, signature)]."""
        self.send(frame(SIGN, b''.join(item(number, **request) for number, request in enumerate(requests))))
        answers, first = [], True
        while first or len(answers) < len(requests):
            first = False
            kind, payload = self.message()
            assert kind == SIGNED
            for tag, value in split(payload):
                assert tag == 1 and struct.unpack('>I', value[:4])[0] == len(answers)
                answers.append((value[4], value[5:]))
        return answers


def item(number, key, role=SERVER, scheme=ECDSA_P256, digest=HASH):
    return field(1, struct.pack('>I', number) + key + bytes([role]) + struct.pack('>H', scheme) + digest)


def key_name(svid):
    """The name of a key: SHA-256 over the length and the bytes of its SubjectPublicKeyInfo."""
    info = svid.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(struct.pack('>Q', len(info)) + info).digest()


def content(role, digest=HASH):
    """RFC 8446 section 4.4.3."""
    return b' ' * 64 + b'TLS 1.3, ' + (b'client', b'server')[role] + b' CertificateVerify\0' + digest


@pytest.fixture
def web(lab):
    """A workload of which a test starts only the agent."""
    return lab.inbound('127.0.0.1:9', start=False, name='web')


def test_it_signs_a_certificate_verify_and_nothing_else(web, lab):
    """The signature is over the content that the agent builds, and over nothing that the sidecar could choose."""
    web.start_agent()
    with FalseSidecar(web) as sidecar, Signing(web) as worker:
        sidecar.take()
        key = key_name(lab.server)
        for role in (CLIENT, SERVER):
            for digest in (HASH, bytes(48)):
                result, signature = worker.ask_all([{'key': key, 'role': role, 'digest': digest}])[0]
                assert result == SIGNED_OK
                public = lab.server.key.public_key()
                public.verify(signature, content(role, digest), ec.ECDSA(hashes.SHA256()))
                with pytest.raises(InvalidSignature):
                    public.verify(signature, content(1 - role, digest), ec.ECDSA(hashes.SHA256()))
                with pytest.raises(InvalidSignature):
                    public.verify(signature, digest, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize('change, result', [
    ({'key': bytes(32)}, UNKNOWN_KEY),
    ({'scheme': ECDSA_P384}, WRONG_SCHEME), ({'scheme': ED25519}, WRONG_SCHEME), ({'scheme': RSA_PSS}, WRONG_SCHEME),
    ({'scheme': 0x0401}, WRONG_SCHEME),  # rsa_pkcs1_sha256
    ({'scheme': 0x0203}, WRONG_SCHEME),  # ecdsa_sha1
    ({'digest': b''}, WRONG_HASH), ({'digest': bytes(20)}, WRONG_HASH), ({'digest': bytes(31)}, WRONG_HASH),
    ({'digest': bytes(33)}, WRONG_HASH), ({'digest': bytes(64)}, WRONG_HASH),
    ({'role': 2}, WRONG_ROLE), ({'role': 255}, WRONG_ROLE),
])
def test_it_refuses_every_other_request(web, lab, change, result):
    web.start_agent()
    with FalseSidecar(web) as sidecar, Signing(web) as worker:
        sidecar.take()
        good = {'key': key_name(lab.server)}
        answers = worker.ask_all([good, {**good, **change}, good])
        assert [answer[0] for answer in answers] == [SIGNED_OK, result, SIGNED_OK]
        assert answers[1][1] == b''
        assert web.agent.wait_line(msg='signature refused', level='warn')['reason']


def test_it_refuses_more_than_the_ini_allows(web, lab):
    web.change({'agent': {'signatures': 50}})
    web.start_agent()
    with FalseSidecar(web) as sidecar, Signing(web) as worker:
        sidecar.take()
        results = [answer[0] for answer in worker.ask_all([{'key': key_name(lab.server)}] * 120)]
        assert results[:50] == [SIGNED_OK] * 50
        assert results.count(RATE) >= 60
        line = web.agent.wait_line(msg='signatures put off', result='rate')
        assert '`[agent] signatures`' in line['reason'] and 'refused' not in line
        wait_until(lambda: worker.ask(key=key_name(lab.server)) == SIGNED_OK, 'the next second has its own')
        assert len(web.agent.lines(msg='signatures put off')) == 1, 'one line'


def test_it_signs_for_nobody_before_there_is_a_generation(web, lab):
    (web.folder / 'tls.key').unlink()
    web.start_agent()
    with Signing(web) as worker:
        assert worker.ask_all([]) == []
        assert worker.ask(key=key_name(lab.server)) == UNKNOWN_KEY


@pytest.mark.parametrize('first', ['hello', 'sign'])
def test_a_connection_is_for_one_purpose(web, lab, first):
    web.start_agent()
    with Signing(web) as both:
        if first == 'hello':
            both.take()
            both.send(frame(SIGN, b''))
        else:
            assert both.ask_all([]) == []
            both.send(hello())
        assert both.is_closed()
    assert web.agent.wait_line(msg='sidecar connection closed')['reason']


def test_300_workers_may_be_connected(web, lab):
    web.start_agent()
    workers = [Signing(web) for _ in range(300)]
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        for worker in workers:
            assert worker.ask(key=key_name(lab.server)) == SIGNED_OK
    for worker in workers:
        worker.close()


@root_only
def test_another_user_gets_no_signature(web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        os.chmod(web.folder / 'agent.sock', 0o777)
        assert connect_as(65534, web.folder / 'agent.sock', frame(SIGN, b'')) in ('closed', 'PermissionError')
        web.agent.wait_line(msg='caller refused', uid=65534)


# --- releases that do not know of it -----------------------------------------------------------------------

def test_a_sidecar_of_an_older_release_is_told_apart(web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.send(hello(key=None))
        assert sidecar.is_closed()
    line = web.agent.wait_line(msg='sidecar connection closed')
    assert 'older release' in line['reason'] and 'key = sidecar' in line['reason']


def test_a_sidecar_of_an_older_release_gets_the_key_if_the_ini_says_so(web):
    web.change({'tls': {'key': 'sidecar'}})
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.send(hello(key=None))
        assert 'PRIVATE KEY' in sidecar.next().credential.decode()


@root_only
def test_an_agent_of_an_older_release_is_refused(lab):
    """It sends the key unasked."""
    workload = lab.inbound('127.0.0.1:9', start=False)
    with FalseAgent(workload, key='agent') as agent:
        workload.start_sidecar()
        agent.accept()
        agent.send(generation(1, lab.server.key_pem + lab.server.chain_pem, lab.root.cert_pem, workload.ini.read_text()))
        fields = agent.receive(3)
        assert fields[2] == b'\0' and b'older release' in fields[3] and b'key = sidecar' in fields[3]
        assert 'older release' in workload.get('/readyz')[1]
        assert memory.found(workload.sidecar.pid, lab.server.key) == [], 'nor is it kept'
