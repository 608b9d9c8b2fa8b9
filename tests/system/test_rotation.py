# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials and INI change under running traffic: what is good is in use at once, what is bad changes nothing and is
said in one sentence, and no connection notices either."""
import contextlib
import datetime
import json
import os
import random
import re
import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization

import lab as labs
import peers
from false_sidecar import FalseSidecar, result
from lab import connect, wait_until
from pki import ALWAYS, CA, FUTURE, PAST, key_pem
from volume import Volume, mounted, secret

ID = f'spiffe://{labs.TD}/ns/test/sa/'
NAMES = ('tls.crt', 'tls.key', 'ca.crt')


# --- helpers --------------------------------------------------------------------------------------

@pytest.fixture
def pair(lab, app):
    """Both sides run from volumes: .front and .back are those of the client's and of the server's sidecar."""
    back_sections, back = mounted(lab, 'back')
    front_sections, front = mounted(lab, 'front')
    back.write(secret(lab.server, lab.root))
    front.write(secret(lab.client, lab.root))
    made = lab.pair(app().port, inbound=back_sections, outbound=front_sections)
    made.back, made.front = back, front
    return made


@pytest.fixture
def web(lab):
    """A workload on a volume, nothing of it running."""
    sections, volume = mounted(lab, 'web')
    volume.write(secret(lab.server, lab.root))
    workload = lab.inbound(8080, sections, start=False, name='web')
    workload.volume = volume
    return workload


def ping(port):
    """Does a new connection carry bytes?"""
    with contextlib.suppress(ConnectionError):
        with connect(port) as sock:
            sock.sendall(b'ping')
            return sock.recv(4) == b'ping'
    return False


def talks(sock):
    sock.sendall(b'more')
    return sock.recv(4) == b'more'


def generations(workload):
    return [line['generation'] for line in workload.sidecar.lines(msg='generation in use')]


def wait_generation(workload, number):
    """Until the sidecar has taken the next one; numbers go up by one."""
    wait_until(lambda: generations(workload)[-1:] == [number],
               lambda: f'{workload.name} has {generations(workload)}, not {number}')


def holds(condition, what, seconds=0.4):
    """It is so all the time, for a while."""
    until = time.monotonic() + seconds

    def over():
        assert condition(), what
        return time.monotonic() > until
    wait_until(over, what)


class Traffic:
    """New connections and one that stays, as long as the block lasts; any failure fails the test."""

    def __init__(self, port):
        self.port, self.stop = port, threading.Event()
        self.count, self.failures = 0, []
        self.threads = [threading.Thread(target=self.run, args=(job,)) for job in (self.come, self.stay)]

    def run(self, job):
        try:
            job()
        except Exception as error:  # noqa: BLE001
            self.failures.append(repr(error))

    def come(self):
        while not self.stop.wait(0.005):
            if not ping(self.port):
                self.failures.append('a new connection failed')
            self.count += 1

    def stay(self):
        with connect(self.port) as sock:
            while not self.stop.wait(0.005):
                assert talks(sock), 'other bytes came back'

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.count > 2 or self.failures, 'no traffic')
        return self

    def __exit__(self, failure, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if failure is None:
            assert not self.failures, f'{len(self.failures)} of {self.count}, first {self.failures[0]}'


# --- good ones --------------------------------------------------------------------------------------

@pytest.mark.tsan
def test_a_swap_is_in_use_at_once_and_nobody_notices(lab, pair):
    with Traffic(pair.port):
        for number in range(2, 12):
            pair.back.write(secret(lab.root.issue(labs.SERVER), lab.root))
            pair.front.write(secret(lab.root.issue(labs.CLIENT), lab.root))
            wait_generation(pair.inbound, number)
            wait_generation(pair.outbound, number)
            assert ping(pair.port)


def test_the_same_content_is_no_new_generation(lab, pair):
    """A swap of equal files, a touched file, other text around the same certificates."""
    with Traffic(pair.port):
        files = pair.back.read()
        pair.back.write({**files, 'extra': b'x'})
        pair.back.write(files)
        pair.back.change(ca_crt=b'# our root\n' + files['ca.crt'])
        pair.back.change(ca_crt=files['ca.crt'])
        pair.inbound.ini.touch()
        holds(lambda: generations(pair.inbound) == [1], 'a new generation')
    assert not pair.inbound.agent.lines(level='warn')


def test_one_at_a_time(lab, web):
    """A sidecar that is busy with a generation gets no other before it has answered, and then the newest. That may be
    what it had before."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        first = sidecar.take()
        web.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        second = sidecar.receive()
        for count, svid in ((3, lab.root.issue(labs.SERVER)), (4, lab.server)):
            web.volume.write(secret(svid, lab.root))
            wait_until(lambda n=count: len(web.agent.lines(msg='credentials validated')) == n, 'not seen')
        sidecar.send(result(second.number))
        third = sidecar.receive()
        sidecar.send(result(third.number, ok=False, reason='no'))
        web.agent.wait_line(msg='generation refused', generation=third.number)
        assert (first.number, second.number, third.number) == (1, 2, 4)
        assert first.digest == third.digest != second.digest
        svid = lab.root.issue(labs.SERVER)
        web.volume.write(secret(svid, lab.root))
        assert svid.chain_pem in sidecar.receive().credential, 'the next one after a refusal'


def test_every_sidecar_gets_it(lab, web):
    web.start_agent()
    with FalseSidecar(web) as one, FalseSidecar(web) as other:
        assert one.take().number == other.take().number == 1
        svid = lab.root.issue(labs.SERVER)
        web.volume.write(secret(svid, lab.root))
        for sidecar in (one, other):
            got = sidecar.receive()
            assert got.number == 2 and svid.chain_pem in got.credential


# --- plain files --------------------------------------------------------------------------------------

@pytest.fixture
def plain(lab, app):
    return lab.pair(app().port)


def put(workload, name, data):
    """In place, as scp and editors do."""
    with open(workload.folder / name, 'wb') as file:
        file.write(data)


def test_plain_files_one_at_a_time(lab, plain):
    """Between certificate and key nothing is refused: the writer is given time to finish."""
    orders = ('tls.crt', 'ca.crt', 'tls.key'), ('tls.key', 'ca.crt', 'tls.crt'), ('ca.crt', 'tls.key', 'tls.crt')
    with Traffic(plain.port):
        for number, order in enumerate(orders, 2):
            files = secret(lab.root.issue(labs.SERVER), lab.root)
            for name in order[:-1]:
                put(plain.inbound, name, files[name])
            holds(lambda n=number: generations(plain.inbound)[-1] == n - 1, 'a torn set is in use')
            put(plain.inbound, order[-1], files[order[-1]])
            wait_generation(plain.inbound, number)
    assert not plain.inbound.agent.lines(msg='credentials refused')


def test_plain_files_replaced_by_rename(lab, plain):
    with Traffic(plain.port):
        files = secret(lab.root.issue(labs.SERVER), lab.root)
        for name in NAMES:
            fresh = plain.inbound.folder / (name + '.new')
            fresh.write_bytes(files[name])
            fresh.rename(plain.inbound.folder / name)
        wait_generation(plain.inbound, 2)


def test_half_a_file_is_waited_for_and_then_refused(lab, plain):
    with Traffic(plain.port):
        whole = lab.root.issue(labs.SERVER)
        put(plain.inbound, 'tls.key', whole.key_pem)
        put(plain.inbound, 'tls.crt', whole.chain_pem[:300])
        began = time.monotonic()
        line = plain.inbound.agent.wait_line(msg='credentials refused')
        assert time.monotonic() - began > 1.5, 'its writer had no time to finish'
        assert line['file'].endswith('tls.crt')
        put(plain.inbound, 'tls.crt', whole.chain_pem)
        wait_generation(plain.inbound, 2)


def test_files_that_vanish_and_come_back(lab, plain):
    with Traffic(plain.port):
        files = secret(lab.root.issue(labs.SERVER), lab.root)
        for name in NAMES:
            (plain.inbound.folder / name).unlink()
        plain.inbound.agent.wait_line(msg='credentials refused', file=re.compile('tls.crt'))
        assert generations(plain.inbound) == [1]
        for name in NAMES:
            put(plain.inbound, name, files[name])
        wait_generation(plain.inbound, 2)


def test_the_whole_directory_is_replaced(lab, web):
    """Renamed away and another one in its place."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        for number in (2, 3):
            fresh = Volume(lab.folder / 'fresh')
            fresh.write(secret(lab.root.issue(labs.SERVER), lab.root))
            web.volume.folder.rename(lab.folder / f'old{number}')
            fresh.folder.rename(web.volume.folder)
            assert sidecar.next().number == number
        web.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        assert sidecar.receive().number == 4


def test_a_bundle_emptied_by_accident_is_not_believed_at_once(lab, plain):
    """A plain file is empty for a moment whenever it is rewritten: that cuts nobody off."""
    with Traffic(plain.port):
        put(plain.inbound, 'ca.crt', b'')
        holds(lambda: generations(plain.inbound) == [1], 'nobody is trusted')
        put(plain.inbound, 'ca.crt', lab.root.cert_pem)
        holds(lambda: generations(plain.inbound) == [1], 'nobody is trusted')


# --- broken ones ------------------------------------------------------------------------------------------

def candidates(lab):
    """name: (what changes in the volume, the file that is wrong or None, what is said about it)"""
    root, other = lab.root, lab.other_root
    middle = root.intermediate()
    hidden = middle.issue(labs.SERVER)
    late = root.intermediate(**PAST).issue(labs.SERVER)
    no_ca = root.intermediate(ca=False, ku=('digital_signature',)).issue(labs.SERVER)
    second = datetime.timedelta(seconds=1)

    def leaf(uri=labs.SERVER, **options):
        svid = root.issue(uri, **options)
        return {'tls_crt': svid.chain_pem, 'tls_key': svid.key_pem}

    def cert(data):
        return {'tls_crt': data}

    def key(data):
        return {'tls_key': data}

    def bundle(*parts):
        return {'ca_crt': b''.join(parts)}
    svid = lab.server
    return {
        'no certificate': (cert(None), 'tls.crt', 'it does not exist: does the Secret have this key'),
        'no key': (key(None), 'tls.key', 'it does not exist'),
        'no bundle': (bundle() | {'ca_crt': None}, 'ca.crt', 'it does not exist'),
        'empty certificate': (cert(b''), 'tls.crt', 'it is empty, a certificate belongs here'),
        'empty key': (key(b''), 'tls.key', 'it is empty, a private key belongs here'),
        'certificate of garbage': (cert(b'\xa5' * 3000), 'tls.crt', 'no PEM block'),
        'bundle of garbage': (bundle(b'\0' * 100), 'ca.crt', 'no PEM block'),
        'half a certificate': (cert(svid.chain_pem[:400]), 'tls.crt', 'block 1'),
        'half a key': (key(svid.key_pem[:100]), 'tls.key', 'block 1'),
        'half a bundle': (bundle(root.cert_pem, other.cert_pem[:200]), 'ca.crt', 'block 2'),
        'key for certificate': (cert(svid.key_pem), 'tls.crt', '"PRIVATE KEY"'),
        'certificate for key': (key(svid.chain_pem), 'tls.key', '"CERTIFICATE"'),
        'public key for key': (key(public_pem(svid.key)), 'tls.key', 'PUBLIC KEY'),
        'encrypted key': (key(key_pem(svid.key, password=b'secret')), 'tls.key', 'encrypted'),
        'key of another': (key(lab.client.key_pem), 'tls.key', 'does not belong'),
        'expired': (leaf(**PAST), 'tls.crt', 'it has expired at'),
        'of the future': (leaf(not_before=datetime.timedelta(seconds=3000), not_after=ALWAYS), 'tls.crt',
                          r'in 29\d\d seconds by the clock here .*does one of the clocks run wrong'),
        'of another CA': ({'tls_crt': other.issue(labs.SERVER, key=svid.key).chain_pem}, 'tls.crt',
                          'chain-unknown-issuer'),
        'without its intermediate': ({'tls_crt': hidden.cert_pem, 'tls_key': hidden.key_pem}, 'tls.crt',
                                     'does not end in the bundle'),
        'intermediate expired': ({'tls_crt': late.chain_pem, 'tls_key': late.key_pem}, 'tls.crt',
                                 r'certificate 2 \(CN=.*\): it has expired'),
        'intermediate that is no CA': ({'tls_crt': no_ca.chain_pem, 'tls_key': no_ca.key_pem}, 'tls.crt',
                                       'put the CAs that issued it after the leaf'),
        'root first': (cert(root.cert_pem + svid.chain_pem), 'tls.crt', 'put the leaf first'),
        'a CA as leaf': (leaf(ca=True), 'tls.crt', 'svid-leaf-not-ca'),
        'no SPIFFE ID': (leaf(()), 'tls.crt', 'svid-one-uri.*it has none'),
        'two SPIFFE IDs': (leaf((ID + 'a', ID + 'b')), 'tls.crt', 'svid-one-uri.*it has 2'),
        'a broken SPIFFE ID': (leaf(ID + 'a//b'), 'tls.crt', 'svid-spiffe-id'),
        'a SPIFFE ID without path': (leaf(f'spiffe://{labs.TD}'), 'tls.crt', 'svid-path'),
        'no key usage': (leaf(ku=None), 'tls.crt', 'svid-key-usage'),
        'for servers only': (leaf(eku=('server',)), 'tls.crt', 'clientAuth is missing'),
        'P-521': (leaf(key='p521'), 'tls.crt', 'EC P-521'),
        'RSA of 1024 bits': (leaf(key='rsa1024'), 'tls.crt', 'RSA of 1024 bits'),
        'a leaf in the bundle': (bundle(root.cert_pem, svid.cert_pem), 'ca.crt', 'not leaves'),
        'a key in the bundle': (bundle(root.cert_pem, svid.key_pem), 'ca.crt', 'block 2'),
        'a CRL for bundle': (bundle(root.crl()), 'ca.crt', 'that `crl` names'),
        'expired roots alone': (bundle(CA(labs.TD, **PAST).cert_pem), 'ca.crt', 'no valid anchor'),
        'the wrong root': (bundle(other.cert_pem), 'tls.crt', 'does not end in the bundle'),
        'a file too big': (cert(svid.chain_pem + b'\n' * (1 << 20)), 'tls.crt', 'the maximum is 1048576'),
        'expired a second ago': (leaf(not_before=-300 * second, not_after=-second), 'tls.crt', 'renew it'),
    }


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_broken_candidates_change_nothing(lab, pair):
    """Each is refused with its own sentence, in the agent's log and in the sidecar's, while traffic goes on."""
    cases = candidates(lab)
    assert len(cases) >= 25
    good = pair.back.read()
    agent, sidecar = pair.inbound.agent, pair.inbound.sidecar
    with Traffic(pair.port) as traffic:
        for count, (name, (changes, file, says)) in enumerate(cases.items(), 1):
            before = len(agent.lines(msg='credentials refused'))
            pair.back.change(**changes)
            line = wait_until(lambda n=before: agent.lines(msg='credentials refused')[n:], f'{name} is not refused')[0]
            assert re.search(says, line['reason']), f'{name}: {line}'
            assert line.get('file') == (str(pair.back / file) if file else None), name
            note = wait_until(lambda n=count: sidecar.lines(msg=re.compile('agent refused a candidate'))[n - 1:],
                              f'the sidecar does not know of: {name}')[0]
            assert re.search(says, note['msg'])
            pair.back.write(good)
            wait_until(lambda n=count: len(agent.lines(msg='what is mounted now is good again')) == n,
                       f'{name}: it is not over')
        assert traffic.count > 20
    assert generations(pair.inbound) == [1]
    assert len({line['reason'] for line in agent.lines(msg='credentials refused')}) >= 25


def test_a_refusal_is_said_once(lab, web):
    """Not again while the same candidate stays, whatever is touched or swapped; again for another one."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        expired = lab.root.issue(labs.SERVER, **PAST)
        web.volume.write(secret(expired, lab.root))
        refused, when, text = sidecar.receive_note()
        assert refused and abs(when - time.time()) < 60
        assert text.startswith(f'{web.volume / "tls.crt"}: certificate 1, the leaf: it has expired')
        for extra in (b'1', b'2', b'3'):
            web.volume.write({**secret(expired, lab.root), 'extra': extra})
        holds(lambda: len(web.agent.lines(msg='credentials refused')) == 1, 'said again')
        with FalseSidecar(web) as late:
            assert late.take().number == 1
            assert late.receive_note() == (refused, when, text), 'whoever comes later is told, too'
        web.volume.change(tls_key=lab.client.key_pem, ca_crt=None)
        assert 'ca.crt: it does not exist' in sidecar.receive_note()[2]
        web.volume.write(secret(lab.server, lab.root))
        assert sidecar.receive_note()[0] is False
        web.volume.write(secret(expired, lab.root))
        assert sidecar.receive_note()[0] is True
        svid = lab.root.issue(labs.SERVER)
        web.volume.write(secret(svid, lab.root))
        assert svid.chain_pem in sidecar.receive().credential
        assert sidecar.receive_note()[0] is False


def test_more_than_one_problem(lab, web):
    """A line for each; the sidecar gets the first, and how many there are."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        web.volume.change(tls_crt=lab.root.issue(labs.SERVER, **PAST).chain_pem, tls_key=None,
                          ca_crt=CA(labs.TD, **PAST).cert_pem)
        text = sidecar.receive_note()[2]
    assert text.startswith(f'{web.volume / "tls.key"}: it does not exist')
    assert text.endswith('(and 2 more: see `fairlead-agent check`)')
    assert len(web.agent.lines(msg='credentials refused')) == 3


@pytest.mark.heavy
def test_a_certificate_of_the_future_is_used_when_its_time_comes(lab, web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        sidecar.sock.settimeout(30 * labs.SLOW)
        soon = lab.root.issue(labs.SERVER, not_before=datetime.timedelta(seconds=3), not_after=ALWAYS)
        web.volume.write(secret(soon, lab.root))
        assert 'clocks' in sidecar.receive_note()[2]
        assert soon.chain_pem in sidecar.receive().credential


# --- nobody is trusted ------------------------------------------------------------------------------------------

def test_our_own_empty_bundle_is_an_accident(lab, pair):
    assert ping(pair.port)
    pair.back.change(ca_crt=b'# nobody, for now\n')
    line = pair.inbound.agent.wait_line(msg='credentials refused', file=str(pair.back / 'ca.crt'))
    assert 'it is empty' in line['reason']
    assert ping(pair.port)
    pair.back.change(ca_crt=lab.root.cert_pem + CA(labs.TD).cert_pem)
    wait_generation(pair.inbound, 2)
    assert ping(pair.port)


def test_an_empty_federated_bundle_trusts_nobody(lab, app):
    partner = CA('partner.example')
    caller = partner.issue('spiffe://partner.example/ns/x/sa/y')
    path = lab.folder / 'partner.pem'
    path.write_bytes(partner.cert_pem)
    inbound = lab.inbound(app().port, {'federate partner.example': {'bundle': path}},
                          allow='spiffe://partner.example/**')
    assert peers.verdict(inbound.port, caller) == b'x'
    path.write_bytes(b'# nobody, for now\n')
    wait_generation(inbound, 2)
    assert peers.verdict(inbound.port, caller) == 48
    inbound.wait_line(broken_rule='chain-unknown-issuer')
    path.write_bytes(partner.cert_pem)
    wait_generation(inbound, 3)
    assert peers.verdict(inbound.port, caller) == b'x'


# --- the INI ----------------------------------------------------------------------------------------------------

def test_a_rule_that_is_removed_takes_effect(lab, app):
    """New connections are denied, by an alert. Another service of the same sidecar, and who uses it, are left alone."""
    ports = {name: lab.ports.free() for name in ('other', 'to-other')}
    behind = lab.inbound(app().port, {
        'service other': {'listen': f'127.0.0.1:{ports["other"]}', 'app': f'127.0.0.1:{app().port}'},
        'allow mesh': None, 'allow app': {'from': labs.CLIENT, 'to': 'app'},
        'allow other': {'from': labs.CLIENT, 'to': 'other'}})
    front = lab.outbound(behind.port, {'upstream other': {
        'listen': f'127.0.0.1:{ports["to-other"]}', 'to': f'127.0.0.1:{ports["other"]}', 'peer': labs.SERVER}})
    assert ping(front.port)
    with Traffic(ports['to-other']):
        behind.change({'allow app': {'from': ID + 'somebody-else'}})
        wait_generation(behind, 2)
        behind.agent.wait_line(msg='INI reloaded')
        assert not ping(front.port)
        behind.wait_line(reason='policy_denied')
        front.wait_line(reason='peer_alert', alert=49)  # access_denied
        behind.change({'allow app': {'from': labs.CLIENT}})
        wait_generation(behind, 3)
        assert ping(front.port)


def test_an_invalid_ini_is_kept_out(lab, plain):
    with Traffic(plain.port):
        good = plain.inbound.ini.read_text()
        plain.inbound.ini.write_text(good + '[polici]\n[limits]\nconnections = many\n')
        lines = wait_until(lambda: (found := plain.inbound.agent.lines(msg='INI refused'))[1:] and found, 'not refused')
        assert 'did you mean `policy`' in ' '.join(line['reason'] for line in lines)
        assert 'many' in ' '.join(line['reason'] for line in lines)
        assert all(line['file'] == str(plain.inbound.ini) and line['line'] > 0 for line in lines)
        note = plain.inbound.wait_line(msg=re.compile('the agent refused a candidate'))
        assert f'{plain.inbound.ini}:' in note['msg'] and '1 more' in note['msg']
        # Credentials wait for it, too: a candidate is one.
        plain.inbound.mount(lab.root.issue(labs.SERVER), lab.root.cert_pem)
        holds(lambda: generations(plain.inbound) == [1], 'half of a candidate is in use')
        plain.inbound.ini.write_text(good)
        wait_generation(plain.inbound, 2)


def test_keys_that_need_a_restart_are_named(lab, plain):
    port = lab.ports.free()
    plain.inbound.change({'service app': {'listen': f'127.0.0.1:{port}'}, 'service more': {
        'listen': f'127.0.0.1:{lab.ports.free()}', 'app': '127.0.0.1:1'}, 'sidecar': {'workers': 2},
        'agent': {'sidecar_uid': 12345}, 'limits': {'idle_timeout': '7m'}})
    line = plain.inbound.agent.wait_line(msg='some settings need a restart, the rest applies')
    assert line['keys'] == '[sidecar] workers, [agent] sidecar_uid, [service app] listen, [service more] listen'
    wait_generation(plain.inbound, 2)
    assert ping(plain.port), 'the old listener serves on'
    plain.inbound.change({'limits': {'idle_timeout': '8m'}})
    wait_generation(plain.inbound, 3)
    assert len(plain.inbound.agent.lines(msg=re.compile('need a restart'))) == 1, 'said once'


def test_limits_and_log_apply_at_once(lab, plain):
    behind = plain.inbound
    with connect(plain.port) as sock:
        assert talks(sock)
        behind.change({'limits': {'connections': 1}})
        wait_generation(behind, 2)
        assert not ping(plain.port)
        behind.wait_line(reason='connection_limit')
        behind.change({'limits': {'connections': 100}})
        wait_generation(behind, 3)
        assert ping(plain.port) and talks(sock)
    behind.change({'log': {'format': 'text'}, 'sidecar': {'drain': '5m'}})
    wait_until(lambda: re.search(r' info generation in use .*generation=4\b', behind.sidecar.text), 'JSON for ever')
    wait_until(lambda: re.search(r' info generation accepted .*generation=4\b', behind.agent.text), 'JSON for ever')
    with connect(plain.port) as sock:
        assert talks(sock)
        behind.sidecar.terminate()
        wait_until(lambda: 'at most 300000 ms' in behind.sidecar.text, 'the old drain')
        assert talks(sock)
    assert behind.sidecar.wait() == 0


def test_an_ini_in_a_volume_and_new_paths(lab, web):
    """A ConfigMap that names another Secret, which is not mounted yet: refused until it is."""
    config, other = Volume(lab.folder / 'config'), Volume(lab.folder / 'other')
    config.write({'fairlead.ini': web.ini.read_bytes()})
    web.ini = config / 'fairlead.ini'
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        text = config.read()['fairlead.ini'].replace(bytes(web.volume.folder), bytes(other.folder))
        config.write({'fairlead.ini': text})
        assert 'it does not exist' in sidecar.receive_note()[2]
        svid = lab.root.issue(labs.SERVER)
        other.write(secret(svid, lab.root))
        got = sidecar.next()
        assert svid.chain_pem in got.credential and got.ini == text.decode()
        assert sidecar.receive_note()[0] is False
        # The old Secret is nobody's business any more.
        web.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        other.write(secret(lab.server, lab.root))
        assert lab.server.chain_pem in sidecar.receive().credential


# --- root rollover ------------------------------------------------------------------------------------------------

def roll(pair, side, number, *content):
    """A Secret for one side, in use when this returns."""
    {pair.inbound: pair.back, pair.outbound: pair.front}[side].write(secret(*content))
    wait_generation(side, number)


def told(side):
    """What it warns of in /status; the metric counts the same."""
    told = json.loads(side.get('/status')[1])['warnings']
    assert f'\nfairlead_generation_warnings {len(told)}\n' in side.get('/metrics')[1]
    return told


def warnings(pair):
    return [line['reason'] for side in pair.workloads for line in side.agent.lines(msg='credentials', level='warn')]


def test_root_rollover_in_the_safe_order(lab, pair):
    """The new root everywhere, certificates from it, the old root out: no failure, and no warning. A connection from
    before has the old root's certificates, and would end with it; one that is made under the new ones does not, nor one
    that resumes a session of the old ones."""
    new = CA(labs.TD, common_name='new')
    with Traffic(pair.port):
        for side, svid in ((pair.inbound, lab.server), (pair.outbound, lab.client)):
            roll(pair, side, 2, svid, lab.root, new)
        fresh = {pair.inbound: new.issue(labs.SERVER), pair.outbound: new.issue(labs.CLIENT)}
        for side, svid in fresh.items():
            roll(pair, side, 3, svid, lab.root, new)
    with Traffic(pair.port):
        for side, svid in fresh.items():
            roll(pair, side, 4, svid, new)
    assert warnings(pair) == []
    assert pair.inbound.sidecar.lines(reason='trust_lost') == []


def test_root_rollover_in_the_unsafe_order(lab, pair):
    """Issuing first, removing first: the side that does it says what will happen, before it does."""
    new = CA(labs.TD, common_name='new')
    roll(pair, pair.inbound, 2, new.issue(labs.SERVER), lab.root, new)
    assert any('issue from a new root only after every workload has it' in text for text in warnings(pair))
    log = pair.inbound.agent.text
    assert log.index('issue from a new root') < log.index('"generation":2'), 'the warning comes first'
    assert [text for text in told(pair.inbound) if 'issue from a new root only after' in text]
    pair.inbound.change({'limits': {'idle_timeout': '2h'}})
    wait_generation(pair.inbound, 3)
    assert len(told(pair.inbound)) == 1, 'other settings make it no better'
    assert not ping(pair.port), 'the client does not know the new root'
    roll(pair, pair.outbound, 2, lab.client, lab.root, new)
    assert ping(pair.port)
    roll(pair, pair.inbound, 4, new.issue(labs.SERVER), new)
    assert told(pair.inbound) == []
    assert not ping(pair.port), "the client's certificate is from the old root"
    roll(pair, pair.outbound, 3, lab.client, lab.root)
    roll(pair, pair.outbound, 4, new.issue(labs.CLIENT), new)
    assert any('remove a root only after every' in text for text in warnings(pair))
    assert len(told(pair.outbound)) == 2
    assert ping(pair.port)


# --- kill -9 ------------------------------------------------------------------------------------------------------

KILLS = int(os.environ.get('FAIRLEAD_KILLS', '100'))


def in_use(workload, svid):
    """Is this certificate that of the sidecar's last generation? Their ends tell them apart."""
    lines = workload.sidecar.lines(msg='generation in use')
    return lines and lines[-1]['not_after'] == not_after(svid)


def not_after(svid):
    """As the log writes it."""
    when = getattr(svid.cert, 'not_valid_after_utc', None) or svid.cert.not_valid_after
    return when.strftime('%Y-%m-%dT%H:%M:%SZ')


@pytest.mark.heavy
def test_killed_agents_and_sidecars_come_back_with_the_right_generation(lab, pair):
    """At random moments around swaps. Killing an agent disturbs nobody; whoever comes back has what is current
    within a second."""
    side, moment = pair.inbound, threading.Event()
    for count in range(KILLS):
        chance = random.Random(f'kill {count}')
        svid = lab.root.issue(labs.SERVER, not_after=ALWAYS + (count + 1) * datetime.timedelta(hours=1))
        kills_agent = chance.random() < 0.5
        with Traffic(pair.port) if kills_agent else contextlib.nullcontext():
            pair.back.write(secret(svid, lab.root))
            moment.wait(chance.uniform(0, 0.03))
            (side.agent if kills_agent else side.sidecar).kill()
            since = time.monotonic()
            if kills_agent:
                side.start_agent()
            else:
                side.start_sidecar()
            wait_until(lambda s=svid: in_use(side, s), f'kill {count}: not the right generation')
            assert time.monotonic() - since < labs.SLOW, f'kill {count} of {"agent" if kills_agent else "sidecar"}'
        side.wait_ready()
        assert ping(pair.port)
    numbers = [line['generation'] for line in pair.outbound.sidecar.lines(msg='generation in use')]
    assert numbers == [1], 'the other side is not concerned'
