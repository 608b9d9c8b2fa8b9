# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests whose CRL it is: the one of the CA whose key has signed it, however its certificates, their key identifiers and the
encodings of its name differ."""
import json
import re
import subprocess
import time

import pytest

import lab as labs
import peers
from test_certificates import ALLOWED, Svid, bundle_of, is_served, leaf
from x509 import (CN, O, SERIAL, Entity, attribute, authority, constraints, extension, key_id, name, seq, tlv, usage)

REVOKED, GOOD = 77, 78
REASONS = extension('2.5.29.28', seq(tlv(0x83, b'\x06\x40')), True)  # onlySomeReasons
PRINTABLE, NUMERIC, BMP = 0x13, 0x12, 0x1e


def place(lab, app, root, *lists, anchors=(), sections=None, **options):
    """Returns a sidecar that trusts root, with these CRLs."""
    crl = lab.folder / 'node' / 'crl.pem'
    inbound = lab.inbound(app().port, {'identity': {'crl': crl}, **(sections or {})}, name='node', start=False,
                          **{'allow': ALLOWED, **options})
    inbound.mount(Svid(*leaf(root, labs.SERVER)), bundle_of(root.certify(root), *anchors))
    crl.write_text(''.join(lists))
    return inbound


def variants(root, ca):
    """Returns certificates of one CA, all of them good."""
    return {
        'usual': ca.under(root),
        'without cRLSign': ca.under(root, extensions=[constraints(), usage('cert'), key_id(ca.id), authority(root.id)]),
        'without key usage': ca.under(root, extensions=[constraints(), key_id(ca.id)]),
        'another key identifier': ca.under(root, extensions=[constraints(), usage('cert', 'crl'), key_id(b'a newer way')]),
        'no key identifier': ca.under(root, with_id=False),
    }


def assert_revoked(inbound, ca, *above, what='', **options):
    """Neither another certificate of the CA nor another leaf makes a difference."""
    bad, good = (Svid(*leaf(ca, serial=serial, **options), *above) for serial in (REVOKED, GOOD))
    assert peers.verdict(inbound.port, bad) == 44, what
    assert peers.verdict(inbound.port, good) == b'x', what


def test_whichever_certificate_of_its_ca_a_peer_presents(lab, app):
    root = Entity('Root')
    plain, named, unsaid = Entity('Branch 1'), Entity('Branch 2'), Entity('Branch 3', 'rsa2048')
    lists = (plain.crl(REVOKED, extensions=[authority(plain.id)]),
             named.crl(REVOKED, extensions=[authority(b'made by a newer version')]), unsaid.crl(REVOKED))
    inbound = place(lab, app, root, *lists).start().wait_ready()
    for ca in (plain, named, unsaid):
        for what, cert in variants(root, ca).items():
            assert_revoked(inbound, ca, cert, what=what)
    other = Entity('Branch 1')
    svid = Svid(*leaf(other, serial=REVOKED), other.under(root))
    assert is_served(inbound, svid), 'a CA that only has the name'


def test_however_the_name_of_its_ca_is_written(lab, app):
    """RFC 5280 section 7.1. The order of the attributes of an RDN depends on how long their encodings are."""
    root, organization, lists, cas = Entity('Root'), attribute(O, 'Fairlead tests'), [], []
    for number, (subject, issuer) in enumerate((
            ([[organization], [attribute(CN, 'A branch')]], [[organization], [attribute(CN, 'A branch', PRINTABLE)]]),
            ([[organization], [attribute(CN, 'B branch')]], [[organization], [attribute(CN, ' b  BRANCH ', BMP)]]),
            ([[attribute(CN, 'C'), attribute(O, 'Tests')]], [[attribute(O, 'Tests', PRINTABLE), attribute(CN, 'c', BMP)]]),
            ([[attribute(CN, 'D')], [attribute(SERIAL, '12', PRINTABLE)]], [[attribute(CN, 'D')], [attribute(SERIAL, '12', NUMERIC)]]))):
        cas.append(Entity(name(*subject)))
        lists.append(cas[-1].crl(REVOKED, issuer_name=name(*issuer)))
        # Once as an anchor, once as what a peer presents.
        cas.append(Entity(name([attribute(CN, f'Root {number}')], *subject)))
        lists.append(cas[-1].crl(REVOKED, issuer_name=name([attribute(CN, f'Root {number}')], *issuer)))
    inbound = place(lab, app, root, *lists, anchors=[ca.certify(ca) for ca in cas[1::2]]).start().wait_ready()
    for number, ca in enumerate(cas):
        assert_revoked(inbound, ca, *([ca.under(root)] if number % 2 == 0 else []), what=number)


def test_in_whichever_domain_its_ca_stands(lab, app):
    """A root of our domain is an intermediate below a partner's root, with another key identifier. Its key has one encoding
    only: test_certificates.py."""
    root, far, shared = Entity('Root'), Entity('Partner root'), Entity('Shared', 'rsa2048')
    path = lab.folder / 'partner.pem'
    path.write_bytes(bundle_of(far.certify(far)))
    inbound = place(lab, app, root, shared.crl(REVOKED, extensions=[authority(shared.id)]), anchors=[shared.certify(shared)],
                    sections={'federate partner.example': {'bundle': path}},
                    allow=f'{ALLOWED}, spiffe://partner.example/**').start().wait_ready()
    assert_revoked(inbound, shared)
    shared.id = b'another'
    assert_revoked(inbound, shared, shared.under(far), identity='spiffe://partner.example/ns/a/sa/b')


@pytest.mark.parametrize('identifier', ['its own', 'another', 'none'])
def test_an_unusable_list_of_a_peers_ca_refuses_all_of_it(lab, app, identifier):
    root, ca, other = Entity('Root'), Entity('Branch'), Entity('Branch')
    more = {'its own': [authority(ca.id)], 'another': [authority(b'another')], 'none': []}[identifier]
    inbound = place(lab, app, root, ca.crl(extensions=[*more, REASONS])).start().wait_ready()
    assert 'every certificate of that CA is refused' in inbound.agent.wait_line(msg='credentials')['reason']
    for what, cert in variants(root, ca).items():
        assert peers.verdict(inbound.port, Svid(*leaf(ca), cert)) == 44, what
    assert is_served(inbound, Svid(*leaf(root)))
    if identifier != 'none':
        assert is_served(inbound, Svid(*leaf(other), other.under(root))), 'a CA that only has the name'


def check(inbound):
    return subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, 'check', '-c', inbound.ini], capture_output=True, text=True,
                          timeout=60 * labs.SLOW, check=False)


@pytest.mark.parametrize('identifier', ['another', None])
def test_an_unusable_list_of_a_root_is_refused(lab, app, identifier):
    """It names another key than its root does, or none, and the root's key has signed it."""
    root = Entity('Root')
    more = [authority(identifier.encode())] if identifier else []
    done = check(place(lab, app, root, root.crl(REVOKED, extensions=[*more, REASONS])))
    assert done.returncode == 2 and 'onlySomeReasons' in done.stderr, done.stderr


def test_many_lists_and_many_roots(lab, app):
    """The agent has one thread, which also signs. Each list is compared with the roots of its name only."""
    key = Entity('x').key
    roots = [Entity(f'R{number}', key) for number in range(1000)]
    inbound = place(lab, app, Entity('Root'), *(root.crl(REVOKED) for root in roots), anchors=[root.certify(root) for root in roots])
    began = time.monotonic()
    done = check(inbound)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 1 * labs.SLOW
    inbound.start().wait_ready()
    assert_revoked(inbound, roots[-1])


# --- whose CA it names ------------------------------------------------------------------------------------

PARTNER = 'spiffe://partner.example/ns/a/sa/b'
BUNDLE = 'federate partner.example'

# The table of sidecar/pki/credentials.h. Which CAs have the name that the list gives; the key of which has signed it, or of a
# CA of that name that only a peer presents; what becomes of a usable list, and of an unusable one.
ROWS = [
    ('ours', 'ours', 'good', 'set'),
    ('ours', 'peer', 'set', 'set'),
    ('theirs', 'theirs', 'good', 'ca'),
    ('theirs', 'peer', 'partner', 'ca'),
    ('ours, theirs', 'ours', 'good', 'set'),
    ('ours, theirs', 'theirs', 'good', 'ca'),
    ('ours, theirs', 'peer', 'set', 'set'),
    ('none', 'peer', 'good', 'ca'),
]


@pytest.mark.parametrize('is_usable', [True, False], ids=['usable', 'unusable'])
@pytest.mark.parametrize('is_root', [True, False], ids=['root', 'intermediate'])
@pytest.mark.parametrize('names, signer, usable, unusable', ROWS)
def test_whose_list_it_is(lab, app, names, signer, usable, unusable, is_root, is_usable):
    """is_root: our CA is a root of ours, not an intermediate of our chain. All leaves have the same serial number."""
    cas = {who: Entity('Branch' if who in names else f'CA of {who}') for who in ('ours', 'theirs')} | {'peer': Entity('Branch')}
    root, outcome = cas['ours'] if is_root else Entity('Root'), usable if is_usable else unusable
    path, crl = lab.folder / 'partner.pem', lab.folder / 'crl.pem'
    path.write_bytes(bundle_of(cas['theirs'].certify(cas['theirs'])))
    crl.write_text(cas[signer].crl(REVOKED, extensions=[] if is_usable else [REASONS]))
    inbound = lab.inbound(app().port, {'identity': {'crl': crl}, BUNDLE: {'bundle': path}}, name='node', start=False,
                          allow=f'{ALLOWED}, spiffe://partner.example/**')
    above = {'ours': [] if is_root else [cas['ours'].under(root)], 'theirs': [], 'peer': [cas['peer'].under(root)]}
    inbound.mount(Svid(*leaf(cas['ours'], labs.SERVER), *above['ours']), bundle_of(root.certify(root)))
    done = check(inbound)
    said = {'good': '(?s)^(?!.*CRL)', 'set': f'{crl}: CRL 1', 'ca': f'{crl}: CRL 1 .*every certificate of that CA is refused',
            'partner': f'{path}: CRL 1 of {crl} names the root CN=Branch.*nobody of partner.example is trusted'}[outcome]
    assert done.returncode == (2 if outcome == 'set' else 0) and re.search(said, done.stderr), done.stderr
    if outcome == 'set':
        return
    inbound.start().wait_ready()
    for who, ca in cas.items():
        # An unusable list that nobody is known to have signed may be of each CA that has the name.
        is_its = who == signer or (signer == 'peer' and who in names)
        for serial in (REVOKED, GOOD):
            refused = (who == signer and serial == REVOKED) if is_usable else is_its
            svid = Svid(*leaf(ca, PARTNER if who == 'theirs' else f'spiffe://{labs.TD}/x', serial=serial), *above[who])
            assert is_served(inbound, svid) == (not refused and (outcome, who) != ('partner', 'theirs')), (who, serial)


@pytest.mark.parametrize('is_same', [True, False], ids=['the same certificate', 'another'])
def test_a_list_of_a_ca_that_stands_in_both_domains(lab, app, is_same):
    """A partner takes a certificate of an intermediate of our chain into its bundle: the list goes on to count for us."""
    root, far, ours = Entity('Root'), Entity('Partner root'), Entity('Branch')
    path, crl = lab.folder / 'partner.pem', lab.folder / 'crl.pem'
    other = Entity(ours.subject, ours.key)
    other.id = b'another'
    taken = ours.under(root) if is_same else other.certify(far)
    path.write_bytes(bundle_of(far.certify(far), taken))
    crl.write_text(ours.crl(REVOKED, extensions=[authority(ours.id)]))
    inbound = lab.inbound(app().port, {'identity': {'crl': crl}, BUNDLE: {'bundle': path}}, name='node', start=False,
                          allow=f'{ALLOWED}, spiffe://partner.example/**')
    inbound.mount(Svid(*leaf(ours, labs.SERVER), ours.under(root)), bundle_of(root.certify(root)))
    assert check(inbound).returncode == 0
    inbound.start().wait_ready()
    assert_revoked(inbound, ours, ours.under(root))
    assert_revoked(inbound, ours, identity=PARTNER)
    crl.write_text(ours.crl(REVOKED, extensions=[authority(ours.id), REASONS]))
    assert check(inbound).returncode == 2, 'one of ours that is unusable'


# What the partner puts into its bundle, and whether it is refused for that.
TAKEN = {
    'its name and key identifier': True,
    'its name': True,
    'its key, in a certificate without cRLSign': True,
    'its certificate': False,
    'its certificate, and the list is unusable': False,
}


@pytest.mark.parametrize('what', TAKEN)
def test_a_partners_root_never_blocks_our_renewal(lab, app, what):
    """A list in our file is of an intermediate that only peers present. The partner's bundle gets a root that the list names."""
    root, far, branch, false = Entity('Root'), Entity('Partner root'), Entity('Branch'), Entity('Branch')
    path, crl, anchor = lab.folder / 'partner.pem', lab.folder / 'crl.pem', bundle_of(root.certify(root))
    is_usable = 'unusable' not in what
    crl.write_text(branch.crl(REVOKED, extensions=[authority(branch.id), *([] if is_usable else [REASONS])]))
    if 'identifier' in what:
        false.id = branch.id
    if 'certificate' in what:
        taken = variants(root, branch)['without cRLSign' if 'without' in what else 'usual']
    else:
        taken = false.under(false, with_id='identifier' in what)
    path.write_bytes(bundle_of(far.certify(far)))
    inbound = lab.inbound(app().port, {'identity': {'crl': crl}, BUNDLE: {'bundle': path}}, name='node', start=False,
                          allow=f'{ALLOWED}, spiffe://partner.example/**')
    inbound.mount(Svid(*leaf(root, labs.SERVER)), anchor)
    inbound.start().wait_ready()
    path.write_bytes(bundle_of(far.certify(far), taken))
    inbound.wait_line(msg='generation in use', generation=2)
    inbound.mount(Svid(*leaf(root, labs.SERVER)), anchor)
    inbound.wait_line(msg='generation in use', generation=3)
    of_branch = {serial: Svid(*leaf(branch, serial=serial), branch.under(root)) for serial in (REVOKED, GOOD)}
    assert is_served(inbound, Svid(*leaf(root)))
    assert peers.verdict(inbound.port, of_branch[REVOKED]) == 44
    newer = Entity('Branch')
    assert peers.verdict(inbound.port, Svid(*leaf(newer, serial=REVOKED), newer.under(branch), branch.under(root))) == 44
    assert is_served(inbound, of_branch[GOOD]) == is_usable
    assert is_served(inbound, Svid(*leaf(far, PARTNER))) != TAKEN[what]
    warnings = json.loads(inbound.get('/status')[1])['warnings']
    assert [f'CRL 1 of {crl} names the root CN=Branch' in warning for warning in warnings] == [True] * TAKEN[what]
    path.write_bytes(bundle_of(far.certify(far)))
    inbound.wait_line(msg='generation in use', generation=4)
    assert is_served(inbound, Svid(*leaf(far, PARTNER)))


def test_a_partners_many_roots_do_not_hide_a_damaged_list_of_ours(lab, app):
    """How many keys are tried on lists that they have not signed is bounded, in each domain."""
    root, false = Entity('Root'), Entity('Root')
    path, crl = lab.folder / 'partner.pem', lab.folder / 'crl.pem'
    path.write_bytes(bundle_of(*(false.certify(false, with_id=False) for _ in range(1001))))
    crl.write_text(root.crl(REVOKED) + Entity('Root').crl(REVOKED))
    inbound = lab.inbound(app().port, {'identity': {'crl': crl}, BUNDLE: {'bundle': path}}, name='node', start=False)
    inbound.mount(Svid(*leaf(root, labs.SERVER)), bundle_of(root.certify(root)))
    done = check(inbound)
    assert done.returncode == 2 and f'{crl}: CRL 2: its signature does not verify' in done.stderr, done.stderr
