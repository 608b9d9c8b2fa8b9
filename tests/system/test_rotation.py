# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests credentials and INI that change under running traffic: valid ones are used at once, invalid ones change nothing
and are reported in one sentence, and no connection notices either."""
import datetime
import re
import time

import pytest
from cryptography.hazmat.primitives import serialization

import lab as labs
import peers
from false_sidecar import FalseSidecar, result
from lab import wait_until
from pki import ALWAYS, CA, PAST, key_pem
from rotating import generations, holds, ID, NAMES, pair, ping, plain, put, Traffic, wait_generation, web
from volume import Volume, mounted, secret

# --- valid candidates -------------------------------------------------------------------------------

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
    """The cases are a swap of equal files, a touched file, and other text around the same certificates."""
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
    """A sidecar that is still busy with a generation gets the next one only after it has answered, and then the newest.
    Its content may equal an earlier one."""
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


def test_a_refused_generation_is_offered_again(lab, web):
    """Its reason may pass: the sidecar's clock may be wrong. It comes again after 10 s, and the log tells only what is new."""
    web.start_agent()
    with FalseSidecar(web) as better, FalseSidecar(web) as worse:
        firsts = [sidecar.take(ok=False, reason='the clock here') for sidecar in (better, worse)]
        began = time.monotonic()
        for sidecar, first in zip((better, worse), firsts):
            sidecar.sock.settimeout(25 * labs.SLOW)
            again = sidecar.next(ok=sidecar is better, reason='the clock here, 10 s later')
            assert (again.number, again.digest) == (first.number, first.digest)
        assert time.monotonic() - began > 9
        web.agent.wait_line(msg='generation accepted', generation=firsts[0].number)
        svid = lab.root.issue(labs.SERVER)
        web.volume.write(secret(svid, lab.root))
        for sidecar in (better, worse):
            assert svid.chain_pem in sidecar.next(ok=False).credential, 'another one comes at once'
        agent = web.agent
        wait_until(lambda: len(agent.lines(msg='generation refused')) == 4, 'a new one is told of')
        assert len(agent.lines(msg='generation pushed')) == 4
        assert [line['reason'] for line in agent.lines(msg='generation refused')][:2] == 2 * ['the clock here']


def test_back_to_what_is_in_use_takes_a_refusal_back(lab, web):
    """Otherwise the sidecar would go on to say that there is something that it has refused."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        first = sidecar.take()
        web.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        assert sidecar.next(ok=False, reason='the clock here').digest != first.digest
        web.volume.write(secret(lab.server, lab.root))
        again = sidecar.next()
        assert (again.number, again.digest) == (first.number, first.digest)
        svid = lab.root.issue(labs.SERVER)
        web.volume.write(secret(svid, lab.root))
        assert svid.chain_pem in sidecar.next().credential, 'once is enough'


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

def test_plain_files_one_at_a_time(lab, plain):
    """Between certificate and key, nothing is refused: the agent gives the writer time to finish."""
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
    """The directory is renamed and another one takes its place."""
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
    """A plain file is empty for a moment whenever it is rewritten. That must not cut off any peer."""
    with Traffic(plain.port):
        put(plain.inbound, 'ca.crt', b'')
        holds(lambda: generations(plain.inbound) == [1], 'nobody is trusted')
        put(plain.inbound, 'ca.crt', lab.root.cert_pem)
        holds(lambda: generations(plain.inbound) == [1], 'nobody is trusted')


# --- invalid candidates -----------------------------------------------------------------------------------

def candidates(lab):
    """Returns name: (change of the volume, the invalid file or None, the message)."""
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
    """Each is refused with its own message, in the agent's log and in the sidecar's, while traffic continues."""
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
    """The refusal is not repeated for the same candidate, even after touches or swaps. Another candidate is reported
    again."""
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
    """The agent logs a line for each. The sidecar gets the first one and their number."""
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


# --- empty bundles ----------------------------------------------------------------------------------------------

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
