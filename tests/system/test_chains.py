# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the path function (pki/path.h) alone with chains of every shape: legal ones pass, illegal ones fail, and none
makes it work hard. For random chains, its verdict equals that of `openssl verify`."""
import os
import random
import subprocess
import time

import pytest

from lab import BUILD
from x509 import (ANY_POLICY, CN, O, REWRITTEN, SERIAL, Cert, Entity, alternative, attribute, authority, common, constraints,
                  directory, dns, email, extended, extension, ip, key_id, name, new_key, other, permit, policies,
                  require_policy, rewritten, uri, usage)

JUDGE = BUILD / 'tests' / 'path_judge'
ID = uri('spiffe://prod.example/ns/x/sa/y')
OK = 'none'
SIGNATURES_MAX, FAILURES_MAX = 32, 16

pytestmark = pytest.mark.skipif(not JUDGE.exists(), reason='the build has no path_judge (sanitized for threads)')


class Judge:
    """One process that answers all questions."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0
        self.process = subprocess.Popen([JUDGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def files(self, anchors, chain):
        self.number += 1
        paths = self.folder / f'{self.number % 50}.anchors', self.folder / f'{self.number % 50}.chain'
        for path, certs in zip(paths, (anchors, chain)):
            path.write_text(''.join(cert.pem for cert in certs))
        return paths

    def ask(self, anchors, chain):
        """Returns the rule, the number of signatures checked, and the message."""
        self.process.stdin.write('{} {}\n'.format(*self.files(anchors, chain)))
        self.process.stdin.flush()
        rule, signatures, _, text = self.process.stdout.readline().rstrip('\n').split(' ', 3)
        assert int(signatures) <= SIGNATURES_MAX
        return rule, int(signatures), text

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()


@pytest.fixture
def judge(tmp_path):
    it = Judge(tmp_path)
    yield it
    it.close()


# --- shapes -------------------------------------------------------------------------------------------

ROOT, OLD, MIDDLE, LOWER, LEAF, STRANGER = (Entity(n) for n in ('Root', 'Old root', 'Middle', 'Lower', 'leaf', 'Stranger'))
TOP = ROOT.certify(ROOT)


def leaf(issuer, **options):
    return LEAF.under(issuer, ca=False, **{'names': [ID], **options})


def tower(count, **options):
    """Returns a chain with so many intermediates, leaf first."""
    above, chain = ROOT, []
    for i in range(count):
        entity = Entity(f'CA {i}', ROOT.key)  # all of them share one key
        chain.insert(0, entity.under(above, **options))
        above = entity
    return [leaf(above)] + chain


def order_and_extras():
    middle, lower = MIDDLE.under(ROOT), LOWER.under(MIDDLE)
    end = leaf(LOWER)
    yield 'in order', [TOP], [end, lower, middle], OK
    yield 'shuffled', [TOP], [end, middle, lower], OK
    yield 'the leaf twice', [TOP], [end, end, lower, middle], OK
    yield 'everything twice', [TOP], [end, lower, middle] * 2, OK
    yield 'a stranger', [TOP], [end, STRANGER.certify(STRANGER), lower, middle], OK
    yield 'what is no certificate', [TOP], [end, Cert(b'\x30\x03\x02\x01\x05', None), lower, middle], OK
    yield 'the anchor, too', [TOP], [end, lower, middle, TOP], OK
    yield 'an expired twin before the good one', [TOP], [end, lower, MIDDLE.under(ROOT, before=-99, after=-9), middle], OK
    yield 'an old edition of the anchor', [TOP], [end, lower, middle, ROOT.certify(ROOT, before=-99, after=-9)], OK
    cross = ROOT.under(OLD)
    yield 'a cross-certificate, old root gone', [TOP], [end, lower, middle, cross], OK
    yield 'a cross-certificate, new root not there yet', [OLD.certify(OLD)], [end, lower, middle, cross], OK
    yield 'both roots', [OLD.certify(OLD), TOP], [end, lower, middle, cross], OK
    yield 'an expired cross-certificate', [TOP], [end, lower, middle, ROOT.under(OLD, before=-99, after=-9)], OK
    yield 'nothing between', [TOP], [end, lower], 'chain-unknown-issuer'
    yield 'no anchor', [], [end, lower, middle], 'chain-unknown-issuer'


def anchors():
    middle, end = MIDDLE.under(ROOT), leaf(MIDDLE)
    yield 'an intermediate', [middle], [end], OK
    yield 'an intermediate that is sent', [middle], [end, middle], OK
    yield 'an intermediate, and its root is sent', [middle], [end, middle, TOP], OK
    yield 'another certificate of it is sent', [middle], [end, MIDDLE.under(OLD)], OK
    yield 'expired', [ROOT.certify(ROOT, before=-99, after=-9)], [leaf(ROOT)], 'certificate-expired'
    yield 'not yet valid', [ROOT.certify(ROOT, before=99, after=999)], [leaf(ROOT)], 'certificate-not-yet-valid'
    yield 'expired beside its new edition', [ROOT.certify(ROOT, before=-99, after=-9), TOP], [leaf(ROOT)], OK
    yield 'of version 1', [ROOT.certify(ROOT, version=1)], [leaf(ROOT, with_id=False)], OK
    yield 'without key usage', [ROOT.certify(ROOT, extensions=[constraints()])], [leaf(ROOT)], OK
    yield 'with uncritical key usage', [ROOT.certify(ROOT, extensions=[
        constraints(), usage('sign', 'cert', critical=False)])], [leaf(ROOT)], OK
    yield 'with another identifier of its key', [ROOT.certify(ROOT, extensions=[
        constraints(), usage('cert', 'crl'), key_id(b'made by a newer version')])], [leaf(ROOT)], OK
    yield 'signed with SHA-1', [ROOT.certify(ROOT, digest='sha1')], [leaf(ROOT)], OK
    twins = [Entity('Mesh CA') for _ in range(10)]
    for twin in twins[0], twins[9]:
        for ids in True, False:
            yield f'ten of one name, ids {ids}', [t.certify(t) for t in twins], [leaf(twin, with_id=ids)], OK
    yield 'another key of that name', [twins[0].certify(twins[0])], [leaf(twins[1], with_id=False)], 'chain-signature'
    yield 'another key, by its identifier', [twins[0].certify(twins[0])], [leaf(twins[1])], 'chain-unknown-issuer'


def signed(**options):
    middle = MIDDLE.under(ROOT, **options)
    return [TOP], [leaf(MIDDLE), middle]


def algorithms():
    yield 'leaf with SHA-1', [TOP], [leaf(ROOT, digest='sha1')], 'chain-weak-signature'
    yield 'intermediate with SHA-1', *signed(digest='sha1'), 'chain-weak-signature'
    yield 'SHA-512', *signed(digest='sha512'), OK
    rsa = Entity('RSA root', 'rsa2048')
    yield 'RSA', [rsa.certify(rsa)], [leaf(rsa)], OK
    yield 'RSA and SHA-1', [rsa.certify(rsa)], [leaf(rsa, digest='sha1')], 'chain-weak-signature'
    short = Entity('Short', 'rsa1024')
    yield 'RSA of 1024 bits', [TOP], [leaf(short), short.under(ROOT)], 'chain-algorithm'
    for form in REWRITTEN:
        odd = rewritten(form)
        yield f'{form}: the anchor', [odd.certify(odd)], [leaf(odd)], 'chain-unknown-issuer'  # it is none
        yield f'{form}: the intermediate', [TOP], [leaf(odd), odd.under(ROOT)], 'chain-algorithm'
        yield f'{form}: the leaf', [TOP], [odd.under(ROOT, ca=False, names=[ID])], 'chain-algorithm'
    edwards = Entity('Ed', 'ed25519')
    yield 'Ed25519', [edwards.certify(edwards)], [leaf(edwards)], OK
    yield 'forged', *signed(damage=True), 'chain-signature'
    yield 'forged leaf', [TOP], [leaf(ROOT, damage=True)], 'chain-signature'
    yield 'of another CA of that name', [TOP], [leaf(ROOT, signer=OLD)], 'chain-signature'


def forms():
    two = name([attribute(CN, 'ca'), attribute(SERIAL, '42')])
    odd = Entity(two)
    yield 'two attributes in a CA\'s RDN', [odd.certify(odd)], [leaf(odd)], OK
    yield 'two attributes in a leaf\'s RDN', [TOP], [Entity(two).under(ROOT, ca=False, names=[ID])], OK
    shouting = Entity(name([attribute(O, 'FAIRLEAD  TESTS ', 0x13)], [attribute(CN, 'root', 0x1e)]))
    yield 'the issuer in other letters', [TOP], [leaf(ROOT, issuer_name=shouting.subject)], OK
    first = [permit(ID and uri('prod.example')), constraints(), usage('cert', 'crl')]
    yield 'name constraints first', [ROOT.certify(ROOT, extensions=first)], [leaf(ROOT)], OK
    yield 'critical policies', *signed(more=[policies(ANY_POLICY, critical=True)]), OK
    yield 'serial number 0', *signed(serial=0), OK
    yield 'a negative serial number', *signed(serial=-5), 'chain-unknown-issuer'
    yield 'CA without key usage', *signed(extensions=[constraints(), key_id(MIDDLE.id)]), OK
    yield 'CA without keyCertSign', *signed(extensions=[constraints(), usage('crl')]), 'signer-key-usage'
    yield 'CA that is none', *signed(ca=False), 'signer-ca'
    yield 'CA without basic constraints', *signed(extensions=[usage('cert')]), 'signer-ca'
    yield 'CA of version 1', *signed(version=1), 'signer-ca'
    yield 'unknown critical extension', *signed(more=[extension('1.2.3.4', b'\5\0', True)]), 'chain-critical-extension'
    yield 'unknown extension', *signed(more=[extension('1.2.3.4', b'\5\0')]), OK
    yield 'an extension twice', *signed(more=[constraints()]), 'chain-unknown-issuer'
    for uses, rule in ((('email',), 'signer-ext-key-usage'), (('server',), 'signer-ext-key-usage'), (('any',), OK),
                       (('server', 'client'), OK), (('client', 'server', 'email'), OK)):
        yield f'CA for {uses}', *signed(more=[extended(*uses)]), rule
    yield 'nine intermediates', [TOP], tower(9), OK
    yield 'twenty intermediates', [TOP], tower(20), OK
    yield 'twenty-one intermediates', [TOP], tower(21), 'chain-too-much'
    yield 'a policy is required and there', [TOP], [
        leaf(MIDDLE, more=[policies('1.2.3')]), MIDDLE.under(ROOT, more=[require_policy(), policies('1.2.3', '1.2.4')])], OK
    yield 'a policy is required and lost', [TOP], [
        leaf(MIDDLE, more=[policies('1.2.5')]), MIDDLE.under(ROOT, more=[require_policy(), policies('1.2.3')])], 'chain-policy'
    yield 'a policy is required by the anchor', [ROOT.certify(ROOT, more=[require_policy()])], [leaf(ROOT)], 'chain-policy'


def lengths():
    for length, count, rule in ((0, 1, OK), (0, 2, 'chain-path-length'), (1, 2, OK), (1, 3, 'chain-path-length')):
        chain = tower(count)
        top = Entity('CA 0', ROOT.key).under(ROOT, length=length)
        yield f'length {length} above {count - 1}', [TOP], chain[:-1] + [top], rule
    yield 'of the anchor', [ROOT.certify(ROOT, length=0)], tower(1), 'chain-path-length'
    yield 'self-issued ones do not count', [Entity(ROOT.subject, OLD.key).certify(Entity(ROOT.subject, OLD.key), length=0)], [
        leaf(ROOT, with_id=False), ROOT.certify(Entity(ROOT.subject, OLD.key), with_id=False)], OK


INSIDE, OUTSIDE = uri('prod.example'), uri('team.example')
NETWORK = b'\x0a\0\0\0\xff\0\0\0'


def name_constraints():
    def each(what, constraint, rule, **leaf_options):
        """Tests the same thing in the direct issuer, in one further up, and in the anchor."""
        end = {'names': [ID], **leaf_options}
        yield f'{what}: the issuer', [TOP], [leaf(MIDDLE, **end), MIDDLE.under(ROOT, more=[constraint])], rule
        yield f'{what}: above it', [TOP], [
            leaf(LOWER, **end), LOWER.under(MIDDLE), MIDDLE.under(ROOT, more=[constraint])], rule
        yield f'{what}: the anchor', [ROOT.certify(ROOT, more=[constraint])], [
            leaf(MIDDLE, **end), MIDDLE.under(ROOT)], rule
    bad = 'chain-name-constraint'
    yield from each('URI inside', permit(INSIDE), OK)
    yield from each('URI outside', permit(OUTSIDE), bad)
    yield from each('URI of a host below', permit(uri('.example')), OK)
    yield from each('URI of that host alone', permit(uri('example')), bad)
    yield from each('URI excluded', permit(excluded=[INSIDE]), bad)
    yield from each('URI in capitals', permit(uri('PROD.Example')), OK)
    yield from each('URI excluded, all of them', permit(excluded=[uri('')]), bad)
    yield from each('URI permitted, none', permit(uri('')), bad)
    yield from each('URI and not critical', permit(OUTSIDE, critical=False), bad)
    yield from each('DNS inside', permit(dns('prod.example')), OK, names=[ID, dns('a.prod.example')])
    yield from each('DNS outside', permit(dns('prod.example')), bad, names=[ID, dns('aprod.example')])
    yield from each('DNS constraint, no DNS name', permit(dns('prod.example')), OK)
    yield from each('DNS wildcard over an excluded host', permit(excluded=[dns('a.b')]), bad, names=[ID, dns('*.b')])
    yield from each('IP inside', permit(ip(NETWORK)), OK, names=[ID, ip(b'\x0a\1\2\3')])
    yield from each('IP outside', permit(ip(NETWORK)), bad, names=[ID, ip(b'\x0b\1\2\3')])
    yield from each('IP of the other family', permit(ip(NETWORK)), bad, names=[ID, ip(b'\0' * 16)])
    yield from each('e-mail inside', permit(email('prod.example')), OK, names=[ID, email('a@prod.example')])
    yield from each('e-mail outside', permit(email('prod.example')), bad, names=[ID, email('a@b.prod.example')])
    yield from each('e-mail excluded, all of it', permit(excluded=[email('')]), bad, names=[ID, email('a@b.example')])
    yield from each('e-mail excluded, and none there', permit(excluded=[email('')]), OK)
    above = directory(name([attribute(O, 'Fairlead tests')]))
    yield from each('directory inside', permit(above), OK)
    yield from each('directory outside', permit(directory(name([attribute(O, 'Others')]))), bad)
    yield from each('directory excluded', permit(excluded=[above]), bad)
    yield from each('unsupported form that occurs', permit(other('1.2.3', 'a')), bad, names=[ID, other('1.2.3', 'a')])
    yield from each('unsupported form that does not', permit(other('1.2.3', 'a')), OK)
    yield 'a minimum', [TOP], [leaf(MIDDLE), MIDDLE.under(ROOT, more=[permit(INSIDE + b'\x80\x01\x01')])], 'chain-unknown-issuer'
    yield 'in a leaf', [TOP], [leaf(ROOT, more=[permit(INSIDE)])], 'certificate-malformed'
    yield 'a subordinate CA\'s name', [TOP], [leaf(LOWER), LOWER.under(MIDDLE, names=[dns('x.other')]),
                                              MIDDLE.under(ROOT, more=[permit(dns('prod.example'))])], bad
    yield 'the way around is taken', [TOP], [leaf(MIDDLE), MIDDLE.under(ROOT, more=[permit(OUTSIDE)]), MIDDLE.under(ROOT)], OK


@pytest.mark.parametrize('group', [order_and_extras, anchors, algorithms, forms, lengths, name_constraints],
                         ids=lambda group: group.__name__)
def test_shapes(judge, group):
    for what, bundle, chain, wanted in group():
        rule, _, text = judge.ask(bundle, chain)
        assert rule == wanted, f'{what}: {rule}, not {wanted}: {text}'


def test_a_refusal_names_the_certificate(judge):
    late = MIDDLE.under(ROOT, before=-7200, after=-3600)
    for bundle, chain, says in (
            ([TOP], [leaf(LOWER), LOWER.under(MIDDLE)],
             'certificate 2 (CN=Lower, O=Fairlead tests): it was issued by CN=Middle, O=Fairlead tests, which is neither'),
            ([TOP], [leaf(MIDDLE), late], 'certificate 2 (CN=Middle, O=Fairlead tests): it has expired at 20'),
            ([TOP], [leaf(MIDDLE), late], '(the clock here says 20'),
            ([TOP], [leaf(ROOT, before=60)], 'certificate 1 (CN=leaf, O=Fairlead tests): it is not valid before'),
            ([ROOT.certify(ROOT, before=-99, after=-9)], [leaf(ROOT)],
             'certificate of the bundle 1 (CN=Root, O=Fairlead tests): it has expired'),
            ([TOP], [leaf(MIDDLE), MIDDLE.under(ROOT, more=[permit(OUTSIDE)])],
             'its URI spiffe://prod.example/ns/x/sa/y is not permitted by the CA CN=Middle'),
            ([TOP], [leaf(OLD), OLD.certify(OLD)], 'certificate 2 (CN=Old root, O=Fairlead tests): it is a root that is not'),
            ([TOP], [leaf(Entity('Root'))], 'the bundle has that name with another key only')):
        assert says in judge.ask(bundle, chain)[2]


# --- hostile ones -----------------------------------------------------------------------------------------

def hostile():
    key = new_key()
    chain = [Entity(f'H {i}', key) for i in range(100)]
    yield 'a hundred in a row', [TOP], [leaf(chain[0])] + [a.under(b) for a, b in zip(chain, chain[1:])]
    ring = [Entity(f'Ring {i}') for i in range(5)]
    loop = [a.under(b) for a, b in zip(ring, ring[1:] + ring[:1])]
    yield 'a loop', [TOP], [leaf(ring[0])] + loop * 5
    every = [a.under(b) for a in ring for b in ring if a is not b]
    yield 'everybody signs everybody', [TOP], [leaf(ring[0], with_id=False)] + every
    twins = [Entity('Twin') for _ in range(50)]
    yield 'fifty twins, cross-signed', [TOP], [leaf(twins[0], with_id=False)] + [
        t.under(twins[i - 1], with_id=False) for i, t in enumerate(twins)]
    yield 'fifty twins that the root has signed, they say', [TOP], [leaf(twins[0], with_id=False)] + [
        t.under(ROOT, signer=twins[i - 1], with_id=False) for i, t in enumerate(twins)]
    same = [Entity('Root') for _ in range(60)]
    yield 'sixty of the root\'s name', [TOP], [leaf(same[0], with_id=False)] + [
        s.under(ROOT, signer=same[i - 1], with_id=False) for i, s in enumerate(same)]
    spelled = [Entity(common(''.join(c.upper() if i >> k & 1 else c for k, c in enumerate('n' * 200))), key) for i in range(99)]
    yield 'long names, each spelled in its own way', [TOP], [leaf(spelled[0], with_id=False)] + [
        e.under(spelled[i - 1], with_id=False) for i, e in enumerate(spelled)]
    # From a peer that owns one of our CAs.
    inside = [Entity('Inside') for _ in range(40)]
    yield 'forty twins that the root has signed', [TOP], [leaf(STRANGER, issuer_name=inside[0].subject, with_id=False)] + [
        t.under(ROOT, with_id=False) for t in inside]
    many = [permit(*(dns(f'a{i}.example') for i in range(2000)))]
    yield 'constraints without end', [TOP], [leaf(MIDDLE, names=[ID] + [dns(f'b{i}.example') for i in range(2000)]),
                                              MIDDLE.under(ROOT, more=many)]


def test_hostile_chains_cost_little(judge):
    """Signatures are the expensive part. A good chain needs one for each certificate."""
    for what, bundle, chain in hostile():
        begun = time.monotonic()
        rule, signatures, text = judge.ask(bundle, chain[:100])
        assert rule != OK, what
        assert (rule == 'chain-too-much') or 'spelled' not in what, rule
        assert signatures <= FAILURES_MAX + 1, f'{what}: {signatures} signatures checked'
        assert time.monotonic() - begun < 5, what
    rule, signatures, _ = judge.ask([TOP], [leaf(ROOT)] * 101)
    assert (rule, signatures) == ('chain-too-much', 0)


def test_good_chains_cost_one_signature_a_certificate(judge):
    ring = [Entity(f'Ring {i}') for i in range(5)]
    junk = [a.under(b) for a in ring for b in ring if a is not b]
    for count in 0, 1, 2, 5, 16:
        chain = tower(count)
        assert judge.ask([TOP], chain)[:2] == (OK, count + 1)
        shuffled = chain[1:] + junk
        random.Random(count).shuffle(shuffled)
        assert judge.ask([TOP], chain[:1] + shuffled)[:2] == (OK, count + 1)


# --- chance ------------------------------------------------------------------------------------------------

class Dice(random.Random):
    def chance(self, percent):
        return self.random() * 100 < percent


KEYS = [new_key() for _ in range(24)]


def random_options(dice, is_leaf):
    """Returns random options for one certificate, mostly good ones."""
    options = {'more': []}
    if dice.chance(6):
        options.update(dice.choice([{'before': -99, 'after': -9}, {'before': 99, 'after': 999}]))
    if dice.chance(4):
        options['damage'] = True
    if dice.chance(4):
        options['digest'] = dice.choice(['sha1', 'sha384', 'sha512'])
    if dice.chance(3):
        options['more'].append(extension('1.2.3.4', b'\5\0', dice.chance(50)))
    if dice.chance(25):
        options['with_id'] = False
    if dice.chance(15):
        options['more'].append(extended(*dice.choice([('server', 'client'), ('server', 'client', 'email'), ('code',), ('server',)])))
    if is_leaf:
        return options
    if dice.chance(15):
        options['length'] = dice.randrange(3)
    if dice.chance(4):
        options['ca'] = False
    if dice.chance(8):
        names = [dice.choice([INSIDE, OUTSIDE, uri('.example'), dns('prod.example'), dns('team.example'),
                              email('prod.example'), ip(NETWORK), directory(name([attribute(O, 'Fairlead tests')])),
                              directory(name([attribute(O, 'Others')]))]) for _ in range(dice.randrange(1, 3))]
        options['more'].append(permit(*names) if dice.chance(60) else permit(excluded=names))
    if dice.chance(4):
        options['extensions'] = dice.choice([[constraints()], [constraints(), usage('crl')],
                                             [constraints(), usage('cert', critical=False)]])
    return options


def random_case(dice):
    """Returns anchors, the leaf and the extra certificates."""
    keys = dice.sample(KEYS, 10)
    roots = [Entity(dice.choice(['R', 'R', 'S', 'T']), keys[i]) for i in range(dice.randrange(1, 4))]
    cas = [Entity(dice.choice(['A', 'B', 'C', 'D']), keys[3 + i]) for i in range(dice.randrange(0, 5))]
    pool, sent = roots + cas, []
    for i, ca in enumerate(cas):
        for _ in range(dice.choice([1, 1, 1, 2])):
            # The issuer is mostly from above, and now and then the chain is a circle.
            issuer = dice.choice(pool if dice.chance(10) else roots + cas[:i])
            # openssl takes a self-issued certificate without key identifiers for a self-signed one.
            if issuer.subject != ca.subject:
                sent.append(ca.under(issuer, **random_options(dice, False)))
    for root in roots:
        by = dice.choice(roots)
        if dice.chance(30) and by.subject != root.subject:
            sent.append(root.under(by, **random_options(dice, False)))
    selves = [root.certify(root, **random_options(dice, False)) for root in roots]
    bundle = [cert for cert in selves if dice.chance(85)] or selves[:1]
    sent += [cert for cert in selves if dice.chance(15)]
    if sent and dice.chance(10):
        bundle.append(dice.choice(sent))
    names = [ID] + [n for n in (dns('a.prod.example'), email('a@prod.example'), ip(b'\x0a\0\0\1')) if dice.chance(15)]
    end = Entity('leaf', keys[9]).under(dice.choice(pool), ca=False, names=names, **random_options(dice, True))
    dice.shuffle(sent)
    sent = [cert for cert in sent if dice.chance(95)]
    if dice.chance(2):
        broken = bytearray(end.der)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        end = Cert(bytes(broken), end.entity, end.issuer)
    return bundle, end, sent


def openssl(folder, bundle, end, sent):
    """Asks openssl as a client: no random case is good for a client and bad for a server."""
    for what, certs in (('a', bundle), ('u', sent), ('l', [end])):
        (folder / what).write_text(''.join(cert.pem for cert in certs))
    command = ['openssl', 'verify', '-auth_level', '1', '-partial_chain', '-CAfile', folder / 'a']
    command += ['-untrusted', folder / 'u'] if sent else []
    return subprocess.run([*command, '-purpose', 'sslclient', folder / 'l'], capture_output=True).returncode == 0


def ways(end, sent):
    """Returns the paths that the names allow, without using a key twice."""
    stack = [[end]]
    while stack:
        way = stack.pop()
        yield way
        for cert in sent:
            if cert.entity.subject == way[-1].issuer and all(cert.entity is not c.entity for c in way):
                stack.append(way + [cert])


def somewhere(folder, bundle, end, sent):
    """openssl does not backtrack, so this asks about each path alone. A path with a repeated name counts as good:
    openssl would take the first certificate of that name."""
    for way in ways(end, sent):
        for anchor in bundle:
            if anchor.entity.subject == way[-1].issuer:
                names = [cert.entity.subject for cert in [*way, anchor]]
                if len(set(names)) < len(names) or openssl(folder, [anchor], way[0], way[1:]):
                    return True
    return False


def compare(judge, folder, seed):
    dice = Dice(seed)
    bundle, end, sent = random_case(dice)
    rule, _, text = judge.ask(bundle, [end] + sent)
    theirs = openssl(folder, bundle, end, sent)
    if theirs != (rule == OK) and not (rule == OK and somewhere(folder, bundle, end, sent)):
        return f'seed {seed}: openssl {"accepts" if theirs else "refuses"}, we say {rule}: {text}'
    return None


def test_random_chains_are_judged_as_openssl_does(judge, tmp_path):
    """FAIRLEAD_LONG=1 runs as many cases as the long form has."""
    count = 20000 if os.environ.get('FAIRLEAD_LONG') else 1000
    base = int(os.environ.get('FAIRLEAD_SEED') or time.time())
    wrong = []
    for seed in range(base * 100000, base * 100000 + count):
        difference = compare(judge, tmp_path, seed)
        if difference:
            wrong.append(difference)
        assert len(wrong) < 10, wrong
    assert not wrong, wrong
