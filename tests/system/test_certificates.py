# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests certificates as other CAs make them, with real sidecars: handshakes, `check`, readiness and the log agree with
the path function (test_chains.py)."""
import contextlib
import datetime
import json
import pathlib
import re
import ssl
import time

import pytest
from cryptography.hazmat.primitives import serialization

import lab as labs
import peers
from lab import wait_until
from pki import CA
from test_tools import check
from x509 import (ANY_POLICY, CN, REWRITTEN, SERIAL, Entity, attribute, constraints, extended, key_id, name, oid, permit,
                  policies, rewritten, seq, tlv, uri, usage)

ALLOWED = 'spiffe://prod.example/**'
CALLER = 'spiffe://prod.example/ns/test/sa/caller'


class Svid:
    """What a peer presents: the key of a leaf, and certificates in any order behind the leaf."""

    def __init__(self, entity, *certs):
        self.chain_pem = ''.join(cert.pem for cert in certs).encode()
        self.key_pem = entity.key_pem.encode()
        self.cert_pem = certs[0].pem.encode()

    def write(self, folder, name_):
        pathlib.Path(folder, f'{name_}.crt').write_bytes(self.chain_pem)
        pathlib.Path(folder, f'{name_}.key').write_bytes(self.key_pem)


def leaf(issuer, identity=CALLER, key='p256', subject='leaf', **options):
    entity = Entity(subject, key)
    return entity, entity.under(issuer, ca=False, **{'names': [uri(identity)], **options})


def caller(issuer, *above, **options):
    return Svid(*leaf(issuer, **options), *above)


def bundle_of(*certs):
    return ''.join(cert.pem for cert in certs).encode()


@pytest.fixture
def place(lab, app):
    """Returns a sidecar whose own certificate is issued by a separate root."""
    own = Entity('Own root')

    def make(*anchors, sections=None, **options):
        inbound = lab.inbound(app().port, sections or {}, allow=ALLOWED, name='node', start=False)
        inbound.mount(Svid(*leaf(own, labs.SERVER)), bundle_of(own.certify(own), *anchors))
        inbound.own = own
        if options.pop('start', True):
            inbound.start().wait_ready()
        return inbound
    return make


def is_served(inbound, svid):
    return peers.verdict(inbound.port, svid) == b'x'


def test_a_bundle_of_intermediates(place):
    root, issuing = Entity('Company root, kept offline'), Entity('Issuing CA')
    anchor = issuing.under(root)
    inbound = place(anchor)
    assert is_served(inbound, caller(issuing))
    assert is_served(inbound, caller(issuing, anchor))
    assert is_served(inbound, caller(issuing, anchor, root.certify(root)))


def test_our_own_chain_ends_in_its_anchor(lab, app):
    """cert-manager's CA issuer writes it so: `ca.crt` is an intermediate, `tls.crt` has the leaf and the
    intermediate."""
    root, issuing = Entity('Root'), Entity('Issuing CA')
    anchor = issuing.under(root)
    inbound = lab.inbound(app().port, allow=ALLOWED, name='node', start=False)
    inbound.mount(Svid(*leaf(issuing, labs.SERVER), anchor), bundle_of(anchor))
    inbound.start().wait_ready()
    assert is_served(inbound, caller(issuing))


def test_more_than_the_one_way(place):
    old, new, middle, lower, stranger = (Entity(n) for n in ('Old', 'New', 'Middle', 'Lower', 'Stranger'))
    inbound = place(new.certify(new))
    chain = lower.under(middle), middle.under(new)
    cross, late = new.under(old), new.under(old, before=-7200, after=-3600)
    for more in ((), (cross,), (late,), (stranger.certify(stranger),), (new.certify(new),), chain):
        for order in (chain + more, more + chain, (chain[1], *more, chain[0])):
            assert is_served(inbound, caller(lower, *order))
    entity, end = leaf(lower)
    assert is_served(inbound, Svid(entity, end, end, *chain))


def test_many_intermediates(lab, place):
    root = above = Entity('Root')
    chain = []
    for i in range(16):
        entity = Entity(f'CA {i}')
        chain.insert(0, entity.under(above))
        above = entity
    inbound = place(root.certify(root))
    assert is_served(inbound, caller(above, *chain))
    # And as our own certificate.
    inbound.mount(Svid(*leaf(above, labs.SERVER), *chain), bundle_of(inbound.own.certify(inbound.own), root.certify(root)))
    inbound.wait_line(msg='generation in use', own=labs.SERVER, generation=2)
    assert is_served(inbound, caller(above, *chain))


def test_name_constraints_of_every_ca(place):
    top, team, sub = Entity('Company root'), Entity('Team CA'), Entity('Sub CA that the team has made')
    fence = permit(uri('team.example'))
    closed, fenced = Entity('Constrained root'), Entity('Int')
    inbound = place(top.certify(top), closed.certify(closed, more=[fence]))
    teams = team.under(top, more=[fence])
    for svid in (caller(team, teams), caller(sub, sub.under(team), teams), caller(fenced, fenced.under(closed))):
        assert peers.verdict(inbound.port, svid) == 42
        line = inbound.wait_line(broken_rule='chain-name-constraint')
        assert 'is not permitted by the CA CN=' in line['detail'] and CALLER in line['detail']


@pytest.mark.parametrize('ids', [True, False])
def test_two_keys_of_one_name(place, ids):
    """A CA changes its key and keeps its name: both keys are tried, and no connection of the old one is closed."""
    old, new = Entity('Mesh CA'), Entity('Mesh CA')
    inbound = place(old.certify(old))
    before = caller(old, with_id=ids)
    with peers.client(inbound.port, before) as tls:
        tls.sendall(b'a')
        assert tls.recv(1) == b'a'
        for number, both in enumerate(((old, new), (new, old)), 2):
            (inbound.folder / 'ca.crt').write_bytes(bundle_of(inbound.own.certify(inbound.own), *(ca.certify(ca) for ca in both)))
            inbound.wait_line(msg='generation in use', generation=number)
            tls.sendall(b'b')
            assert tls.recv(1) == b'b'
            assert is_served(inbound, before)
            assert is_served(inbound, caller(new, with_id=ids))


def forms():
    two = name([attribute(CN, 'ca'), attribute(SERIAL, '42')])
    root, middle, odd = Entity('Root'), Entity('Int'), Entity(two)
    top = root.certify(root)
    end = odd.certify(odd)
    yield 'two attributes in a CA\'s RDN', end, caller(odd), True
    yield 'two attributes in a leaf\'s RDN', top, caller(root, subject=two), True
    yield 'name constraints first', root.certify(root, extensions=[
        permit(uri('prod.example')), constraints(), usage('cert', 'crl'), key_id(root.id)]), caller(root), True
    yield 'critical policies', root.certify(root, more=[policies(ANY_POLICY, critical=True)]), caller(root), True
    yield 'root without key usage', root.certify(root, extensions=[constraints(), key_id(root.id)]), caller(root), True
    yield 'root of version 1', root.certify(root, version=1), caller(root, with_id=False), True
    yield 'serial number 0', top, caller(root, serial=0), True
    rsa = Entity('RSA', 'rsa2048')
    yield 'RSA and SHA-1', rsa.certify(rsa), caller(rsa, digest='sha1'), 'chain-weak-signature'
    yield 'leaf with SHA-1', top, caller(root, digest='sha1'), 'chain-weak-signature'
    yield 'intermediate with SHA-1', top, caller(middle, middle.under(root, digest='sha1')), 'chain-weak-signature'
    yield 'intermediate for e-mail', top, caller(middle, middle.under(root, more=[extended('email')])), 'signer-ext-key-usage'
    yield 'intermediate without key usage', top, caller(middle, middle.under(root, extensions=[
        constraints(), key_id(middle.id)])), True


def test_forms(place):
    cases = list(forms())
    inbound = place(*(anchor for _, anchor, _, _ in cases))
    for what, _, svid, wanted in cases:
        got = peers.verdict(inbound.port, svid)
        if wanted is True:
            assert got == b'x', what
        else:
            assert got == 42, what
            inbound.wait_line(broken_rule=wanted)


def test_names_without_end(place):
    """An unsigned certificate with as many URIs as a message can hold costs no more than any other."""
    root = Entity('Root')
    inbound = place(root.certify(root))
    begun = time.monotonic()
    assert peers.verdict(inbound.port, caller(Entity('Root'), names=[uri('')] * 30000)) == 42
    inbound.wait_line(broken_rule='svid-one-uri')
    assert is_served(inbound, caller(root))
    assert time.monotonic() - begun < 5 * labs.SLOW  # 30 s or more if each name is counted from the first one on


def test_any_certificate_of_a_ca_will_do(place):
    """One of them breaks a rule of SVIDs; the order does not matter."""
    root, ca = Entity('Root'), Entity('Issuing CA')
    good, bad = ca.under(root), ca.under(root, names=[uri('spiffe://prod.example/ca/one')])
    inbound = place(root.certify(root))
    assert is_served(inbound, caller(ca, good, bad))
    assert is_served(inbound, caller(ca, bad, good))
    assert peers.verdict(inbound.port, caller(ca, bad)) == 42
    line = inbound.wait_line(broken_rule='signer-id')
    assert 'certificate 2 (CN=Issuing CA, ' in line['detail'], line


def test_a_compressed_point_is_called_one(place):
    root = Entity('Root')
    inbound = place(root.certify(root))
    entity = Entity('leaf')
    point = entity.key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    entity.info = seq(seq(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7')), tlv(0x03, b'\0' + point))
    with contextlib.suppress(ssl.SSLError):  # the client may not like its own certificate
        peers.verdict(inbound.port, Svid(entity, entity.under(root, ca=False, names=[uri(CALLER)])))
    line = inbound.wait_line(broken_rule='chain-algorithm')
    assert 'its point is not written uncompressed' in line['detail'], line
    inbound.mount(Svid(entity, entity.under(inbound.own, ca=False, names=[uri(labs.SERVER)])),
                  bundle_of(inbound.own.certify(inbound.own)))
    _, err, _ = check(inbound, 2)
    assert 'its point is not written uncompressed' in err and 'do not belong' not in err, err


@pytest.mark.parametrize('form', REWRITTEN)
def test_a_key_has_one_form_only(place, form):
    """Otherwise a root could be in two bundles unseen, each time in another form."""
    says = re.compile('its key is (RSA|Ed25519) and not written as RFC (3279|8410) requires')

    def refused(svid, place_of_it):
        assert peers.verdict(inbound.port, svid) != b'x'  # the client may not like its own certificates either
        line = inbound.wait_line(broken_rule='chain-algorithm', detail=re.compile(f'certificate {place_of_it} .CN='))
        assert says.search(line['detail']) and line['alert'] == 43, line

    root, far, odd = Entity('Root'), Entity('Root of the partner'), rewritten(form)
    inbound = place(root.certify(root))
    anchors = [inbound.own.certify(inbound.own), root.certify(root)]
    refused(caller(odd, odd.under(root)), 2)
    if form in ('RSA without NULL', 'RSA with an OID', 'RSA and something behind'):  # OpenSSL has no others of its own
        refused(Svid(odd, odd.under(root, ca=False, names=[uri(CALLER)])), 1)
    # As an anchor of a partner, then of ours, and as our own leaf.
    partner = inbound.folder / 'partner.pem'
    partner.write_bytes(bundle_of(far.certify(far), odd.certify(odd)))
    inbound.change({'federate partner.example': {'bundle': partner}})
    _, err, _ = check(inbound, 1)
    assert says.search(err) and 'certificate 2 (CN=' in err and 'nobody of partner.example is trusted' in err, err
    partner.write_bytes(bundle_of(far.certify(far)))
    inbound.mount(Svid(*leaf(inbound.own, labs.SERVER)), bundle_of(*anchors, odd.certify(odd)))
    assert says.search(check(inbound, 2)[1])
    inbound.mount(Svid(odd, odd.under(inbound.own, ca=False, names=[uri(labs.SERVER)])), bundle_of(*anchors))
    _, err, _ = check(inbound, 2)
    assert says.search(err) and 'certificate 1, the leaf: ' in err and 'do not belong' not in err, err
    assert is_served(inbound, caller(root)), 'what was good stays in force'


@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='sanitizers keep what is freed')
def test_certificates_that_are_of_no_use_are_not_kept(place):
    """An authorized peer may send 60 KB of unneeded certificates, different ones each time. The sidecar does not keep
    them."""
    root, middle = Entity('Root'), Entity('Middle')
    inbound = place(root.certify(root))
    pad = [key_id(bytes(5000))]
    twins = [middle.certify(middle, more=pad, with_id=False) for _ in range(12)]
    svids = [caller(middle, middle.under(root), *twins[i % 12:], *twins[:i % 12],
                    subject=f'leaf {i}') for i in range(150)]
    assert is_served(inbound, svids[0])
    before = inbound.sidecar.heap()
    with contextlib.ExitStack() as stack:
        for svid in svids:
            tls = stack.enter_context(peers.client(inbound.port, svid))
            tls.sendall(b'x')
            assert tls.recv(1) == b'x'
        grown = inbound.sidecar.heap() - before
        assert grown < 150 * 40 * 1024


# --- anchors that are out of date -------------------------------------------------------------------------

def test_a_root_that_runs_out(lab, app):
    """An unused root of our bundle expires, as SPIRE leaves one for a day. Renewals and restarts work, and a warning
    says so."""
    new, old = Entity('New root'), Entity('Old root')
    inbound = lab.inbound(app().port, allow=ALLOWED, name='node', start=False)
    dead = old.certify(old, before=-3600, after=-60)
    bundle = bundle_of(new.certify(new), dead)
    inbound.mount(Svid(*leaf(new, labs.SERVER)), bundle)
    inbound.start().wait_ready()
    line = inbound.agent.wait_line(msg='credentials', file=str(inbound.folder / 'ca.crt'))
    assert re.search(r'certificate 2 \(CN=Old root.*\) has expired at .*the clock here says .*remove it from', line['reason'])
    assert is_served(inbound, caller(new))
    assert not is_served(inbound, caller(old))
    line = inbound.wait_line(broken_rule='certificate-expired')
    assert 'certificate of the bundle 2 (CN=Old root' in line['detail'] and 'renewed' in line['remedy']
    _, err, report = check(inbound, 1)
    assert [p['kind'] for p in report['problems'] if 'Old root' in p['text']] == ['warning'], err
    # The sidecar accepts a renewal.
    inbound.mount(Svid(*leaf(new, labs.SERVER)), bundle)
    inbound.wait_line(msg='generation in use', generation=2)
    assert inbound.metric('fairlead_roots', trust_domain='prod.example', state='out_of_date') == 1
    assert inbound.metric('fairlead_roots', trust_domain='prod.example', state='good') == 1
    assert any('out of date' in warning for warning in json.loads(inbound.get('/status')[1])['warnings'])
    # No valid root remains.
    (inbound.folder / 'ca.crt').write_bytes(bundle_of(dead))
    line = inbound.agent.wait_line(msg='credentials refused', file=str(inbound.folder / 'ca.crt'))
    assert is_served(inbound, caller(new))


@pytest.mark.parametrize('what', ['expired', 'garbage', 'missing', 'shared'])
def test_a_partners_bundle_never_blocks_ours(lab, app, what):
    own, far = Entity('Own root'), Entity('Partner root')
    path = lab.folder / 'partner.pem'
    texts = {'expired': bundle_of(far.certify(far, before=-99, after=-9)), 'garbage': b'nonsense',
             'shared': bundle_of(far.certify(far), own.certify(own))}
    if what in texts:
        path.write_bytes(texts[what])
    inbound = lab.inbound(app().port, {'federate partner.example': {'bundle': path}},
                          allow='spiffe://prod.example/**, spiffe://partner.example/**', name='node', start=False)
    inbound.mount(Svid(*leaf(own, labs.SERVER)), bundle_of(own.certify(own)))
    inbound.start().wait_ready()
    line = inbound.agent.wait_line(msg='credentials', file=str(path))
    assert 'nobody of partner.example is trusted' in ' '.join(l['reason'] for l in inbound.agent.lines(msg='credentials')), line
    assert is_served(inbound, caller(own))
    partner = caller(far, identity='spiffe://partner.example/ns/a/sa/b')
    assert not is_served(inbound, partner)
    path.write_bytes(bundle_of(far.certify(far)))
    inbound.wait_line(msg='generation in use', generation=2)
    assert is_served(inbound, partner)
    assert not is_served(inbound, caller(far)), 'a partner does not vouch for us'


def test_a_partner_cannot_take_over_the_root_of_another(lab, app):
    """Only the one that puts it into its own bundle is refused. With nothing in force, nobody knows whose it is: both
    are."""
    own, far, third = Entity('Own root'), Entity('Root of a'), Entity('Root of b')
    files = {domain: lab.folder / f'{domain}.pem' for domain in 'ab'}
    files['a'].write_bytes(bundle_of(far.certify(far)))
    files['b'].write_bytes(bundle_of(third.certify(third)))
    inbound = lab.inbound(app().port, {f'federate {domain}.example': {'bundle': path} for domain, path in files.items()},
                          allow='spiffe://a.example/**, spiffe://b.example/**', name='node', start=False)
    inbound.mount(Svid(*leaf(own, labs.SERVER)), bundle_of(own.certify(own)))
    inbound.start().wait_ready()
    a, b = caller(far, identity='spiffe://a.example/ns/x/sa/y'), caller(third, identity='spiffe://b.example/ns/x/sa/y')
    assert is_served(inbound, a) and is_served(inbound, b)
    files['a'].write_bytes(bundle_of(far.certify(far), third.certify(third)))
    inbound.wait_line(msg='generation in use', generation=2)
    assert is_served(inbound, b) and not is_served(inbound, a)
    files['b'].write_bytes(bundle_of(third.certify(third), third.certify(third, after=7200)))
    inbound.wait_line(msg='generation in use', generation=3)
    assert is_served(inbound, b) and not is_served(inbound, a)
    inbound.agent.stop()
    inbound.start_agent()
    inbound.wait_line(msg='generation in use', generation=4)
    inbound.sidecar.stop()
    inbound.start_sidecar()
    inbound.wait_ready()
    assert not is_served(inbound, b) and not is_served(inbound, a)


def test_status_says_why_a_federated_bundle_is_refused_now(lab, app):
    """A file that is not there has a reason, too; another reason takes the place of the one before, and so does none."""
    own, far = Entity('Own root'), Entity('Root of the partner')
    path = lab.folder / 'partner.pem'
    inbound = lab.inbound(app().port, {'federate partner.example': {'bundle': path}}, name='node', start=False)
    inbound.mount(Svid(*leaf(own, labs.SERVER)), bundle_of(own.certify(own)))
    inbound.start().wait_ready()

    def warnings():
        return json.loads(inbound.get('/status')[1])['warnings']
    assert 'it does not exist' in ' '.join(warnings())
    assert not is_served(inbound, caller(far, identity='spiffe://partner.example/ns/x/sa/y'))
    assert 'it does not exist' in inbound.wait_line(reason='certificate_refused')['detail']
    for content, reason in ((b'garbage', 'no PEM block'), (bundle_of(far.certify(far), own.certify(own)), 'shared_root')):
        path.write_bytes(content)
        wait_until(lambda said=reason: said in ' '.join(warnings()), f'the reason is not {reason}')
        assert len(warnings()) == 1
        assert inbound.agent.lines(msg='credentials', reason=re.compile(reason))
    path.write_bytes(b'')
    wait_until(lambda: not warnings(), 'empty on purpose')


def test_one_root_above_two_domains(lab, app):
    """If each domain's anchor is its own CA, the domains share nothing, whatever peers send."""
    root, ours, theirs = Entity('Root above both'), Entity('CA of prod.example'), Entity('CA of partner.example')
    top, mine, other = root.certify(root), ours.under(root), theirs.under(root)
    path = lab.folder / 'partner.pem'
    path.write_bytes(bundle_of(other))
    inbound = lab.inbound(app().port, {'federate partner.example': {'bundle': path}},
                          allow='spiffe://prod.example/**, spiffe://partner.example/**', name='node', start=False)
    inbound.mount(Svid(*leaf(ours, labs.SERVER), mine, top), bundle_of(mine))
    inbound.start().wait_ready()
    partner = 'spiffe://partner.example/ns/a/sa/b'
    assert is_served(inbound, caller(ours, mine, top))
    assert is_served(inbound, caller(theirs, other, top, identity=partner))
    assert not is_served(inbound, caller(theirs, other, top))
    assert not is_served(inbound, caller(ours, mine, top, identity=partner))


def test_a_shared_root_is_said_to_be_one(lab, app):
    """Istio's multi-cluster layout has one root for two domains. It works if the INI says so explicitly, and it is
    reported."""
    root = Entity('Shared root')
    path = lab.folder / 'partner.pem'
    path.write_bytes(bundle_of(root.certify(root)))
    sections = {'federate partner.example': {'bundle': path}}
    inbound = lab.inbound(app().port, sections, allow='spiffe://prod.example/**, spiffe://partner.example/**', name='node',
                          start=False)
    inbound.mount(Svid(*leaf(root, labs.SERVER)), bundle_of(root.certify(root)))
    inbound.start().wait_ready()
    partner = caller(root, identity='spiffe://partner.example/ns/a/sa/b')
    assert not is_served(inbound, partner)
    line = inbound.wait_line(reason='certificate_refused')
    assert '`shared_root = allow` in [federate partner.example]' in line['detail']
    inbound.change({'federate partner.example': {'bundle': path, 'shared_root': 'allow'}})
    inbound.wait_line(msg='generation in use', generation=2)
    assert is_served(inbound, partner)


def test_one_of_two_certificates_of_our_ca_runs_out(lab, app):
    """Peers find the other one, so nothing is wrong until that one has expired, too."""
    root, ca = Entity('Root'), Entity('Issuing CA')
    first, second = ca.under(root, after=3 * labs.SLOW), ca.under(root, after=7 * labs.SLOW)
    inbound = lab.inbound(app().port, allow=ALLOWED, name='node', start=False)
    inbound.mount(Svid(*leaf(ca, labs.SERVER), first, second), bundle_of(root.certify(root)))
    late = time.time() + 3 * labs.SLOW + 1
    inbound.start().wait_ready()
    while time.time() < late:
        assert inbound.get('/readyz')[0] == 200
        time.sleep(0.1)
    assert inbound.get('/readyz')[0] == 200
    assert is_served(inbound, caller(ca, first, second))
    labs.wait_until(lambda: inbound.get('/readyz')[0] == 503, 'it has expired', timeout=30 * labs.SLOW)
    assert 'certificate 2 of its chain) has expired' in inbound.get('/readyz')[1]


def test_a_root_that_runs_out_under_way(lab, app):
    """A root expires without any other change, and the sidecar reports it."""
    new, old = Entity('New root'), Entity('Old root')
    inbound = lab.inbound(app().port, allow=ALLOWED, name='node', start=False)
    inbound.mount(Svid(*leaf(new, labs.SERVER)), bundle_of(new.certify(new), old.certify(old, after=4)))
    inbound.start().wait_ready()
    line = inbound.agent.wait_line(msg='credentials', file=str(inbound.folder / 'ca.crt'))
    assert '1 of the 2 roots of prod.example are out of date' in line['reason']
    assert is_served(inbound, caller(new)) and not is_served(inbound, caller(old))
    assert inbound.get('/readyz')[0] == 200


# --- CRLs ---------------------------------------------------------------------------------------------------

def test_crls_with_a_distribution_point(lab, app):
    """step-ca and AWS Private CA write this extension, marked critical as RFC 5280 requires."""
    from cryptography import x509 as library
    root = lab.root
    bad = root.issue('spiffe://prod.example/ns/test/sa/bad')
    url = [library.UniformResourceIdentifier('http://ca.example/1.0/crl')]

    def crl(users=False, some=None):
        point = library.IssuingDistributionPoint(url, None, users, False, some, False, False)
        return root.crl([bad], extensions=[(point, True)])
    inbound = lab.inbound(app().port, {'identity': {'crl': lab.folder / 'node' / 'crl.pem'}}, name='node',
                          start=False, allow=ALLOWED)
    inbound.mount(lab.server, root.cert_pem)
    (inbound.folder / 'crl.pem').write_bytes(crl())
    inbound.start().wait_ready()
    # The last CRL names its CA's key by an identifier that no other uses: the signature shows which CA made it.
    for number, text in enumerate((crl(), crl(users=True), root.crl([bad], key_id=b'made by a newer version')), 1):
        if number > 1:
            (inbound.folder / 'crl.pem').write_bytes(text)
            inbound.wait_line(msg='generation in use', generation=number)
        assert is_served(inbound, lab.client)
        assert peers.verdict(inbound.port, bad) == 44
        line = inbound.wait_line(broken_rule='certificate-revoked')
        assert 'spiffe://prod.example/ns/test/sa/bad' in line['detail']
    (inbound.folder / 'crl.pem').write_bytes(crl(some=frozenset([library.ReasonFlags.key_compromise])))
    line = inbound.agent.wait_line(msg='credentials refused')
    assert 'onlySomeReasons' in line['reason']
    # Another CA of this name has signed it, so the list of ours covers nothing of it.
    unsaid = CA(root.trust_domain).crl([], key_id=None, extensions=[
        (library.IssuingDistributionPoint(url, None, False, False, frozenset([library.ReasonFlags.key_compromise]), False, False),
         True)])
    before = len(inbound.agent.lines(msg='credentials refused'))
    (inbound.folder / 'crl.pem').write_bytes(crl() + unsaid)
    labs.wait_until(lambda: any('CRL 2' in line['reason'] for line in inbound.agent.lines(msg='credentials refused')[before:]),
                    'a list of nobody knows whom is taken for one that another covers')
    both = library.UnrecognizedExtension(library.ObjectIdentifier('2.5.29.28'), bytes.fromhex('30068101ff8201ff'))
    (inbound.folder / 'crl.pem').write_bytes(root.crl([bad], extensions=[(both, True)]))
    labs.wait_until(lambda: any('it covers nothing' in line['reason'] for line in inbound.agent.lines(msg='credentials refused')),
                    'the agent does not say that such a list covers nothing')


def test_a_list_counts_wherever_its_ca_stands(lab, app):
    """A CA below our own root is also the anchor of a partner. Its CRL revokes for both."""
    from cryptography import x509 as library
    from cryptography.hazmat.primitives import hashes
    root, branch = Entity('Root'), Entity('Branch')
    below = branch.under(root)
    here, there = (caller(branch, below, identity=f'spiffe://{domain}/ns/test/sa/bad', serial=number)
                   for number, domain in enumerate(('prod.example', 'partner.example'), 77))
    now = datetime.datetime.utcnow()
    crl = library.CertificateRevocationListBuilder().issuer_name(
        library.load_pem_x509_certificate(below.pem.encode()).subject).last_update(now - datetime.timedelta(1)).next_update(
        now + datetime.timedelta(1))
    for number in 77, 78:
        crl = crl.add_revoked_certificate(library.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build())
    partner, file = lab.folder / 'partner.crt', lab.folder / 'node' / 'crl.pem'
    partner.write_bytes(bundle_of(below))
    inbound = lab.inbound(app().port, {'identity': {'crl': file}, 'federate partner.example': {'bundle': partner}},
                          name='node', start=False, allow=f'{ALLOWED}, spiffe://partner.example/**')
    inbound.mount(Svid(*leaf(root, labs.SERVER)), bundle_of(root.certify(root)))
    file.write_bytes(crl.sign(branch.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    inbound.start().wait_ready()
    assert is_served(inbound, caller(branch, below))
    assert peers.verdict(inbound.port, there) == 44
    assert peers.verdict(inbound.port, here) == 44


# --- bundles of a thousand -----------------------------------------------------------------------------------

def test_a_thousand_anchors(lab, app):
    roots = [Entity(f'Root {i}', key) for key in [Entity('x').key] for i in range(1000)]
    own = Entity('Own root')
    inbound = lab.inbound(app().port, allow=ALLOWED, name='node', start=False)
    inbound.mount(Svid(*leaf(own, labs.SERVER)), bundle_of(own.certify(own), *(r.certify(r) for r in roots)))
    begun = time.monotonic()
    inbound.start().wait_ready()
    assert time.monotonic() - begun < 20, 'it took five seconds for each of several contexts once'
    assert is_served(inbound, caller(roots[777]))
