#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for tests: valid ones, and one for every way to be invalid.

As a module, for the system tests:

    from pki import CA
    root = CA('prod.example')
    web = root.issue('spiffe://prod.example/ns/web/sa/web')
    web.write(folder, 'web')              # web.crt (leaf, intermediates), web.key
    pathlib.Path(folder, 'ca.crt').write_bytes(root.cert_pem)

As a program, for the C tests: `pki.py OUTDIR` writes the fixtures below. Everything is made anew
with validity relative to now and keys that never leave the build tree.

    NAME.crt, NAME.key   leaf with its intermediates, and key, of spiffe://prod.example/ns/test/sa/NAME
      good leaves, under root.crt:
        p256 p384 ed25519 rsa2048           one for each kind of key
        intermediate, two-intermediates     chains of 2 and 3
        no-eku other-names key-encipherment empty-subject uri-2048 p256-renewed p256-twin (key of p256)
      leaves that break a rule:
        uri-none no-san uri-two uri-two-https uri-four                     svid-one-uri
        uri-https uri-2049 scheme-upper td-upper percent query fragment userinfo port
        dot-segment double-slash trailing-slash non-ascii uri-relative uri-empty   svid-spiffe-id
        path-none path-slash                                               svid-path
        san-uncritical (and an empty subject)                              svid-san-critical
        leaf-ca                                                            svid-leaf-not-ca
        ku-absent ku-uncritical ku-no-signature ku-cert-sign ku-crl-sign   svid-key-usage
        eku-client eku-server eku-any eku-none                             svid-ext-key-usage
        critical-ext                                                       chain-critical-extension
        san-nul trailing-bytes                                             certificate-malformed
        expired not-yet                                                    certificate-expired, -not-yet-valid
        foreign-td other-ca expired-intermediate                           the chain, not the leaf
        p521 rsa1024 secp256k1 ed448                                       key kinds that we do not accept
      chains that do not hold, each with all its intermediates (tests/tls):
        chain-not-ca chain-no-sign chain-no-ku chain-path                  signer-ca, -key-usage, -id
        chain-too-long chain-name-constraint                               chain-path-length, -name-constraint
        impostor-chain      from the CA of other.example, through an intermediate
      leaves of other.example, under other.crt: other-web other-chain
      good leaves under other kinds of root: under-rsa-root under-p384-root under-ed25519-root
    ROOT.crt             signing certificates; good ones:
        root root-second root-plain root-slash root-https root-generalized (valid beyond 2050)
        other (trust domain other.example) serial-zero rsa-root p384-root ed25519-root
      and those that break a rule:
        root-not-ca root-no-constraints                                    signer-ca
        root-ku-absent root-ku-uncritical root-ku-no-sign                  signer-key-usage
        root-path root-bad-id root-two-ids                                 signer-id
        root-expired root-not-yet root-p521
        other-same-key-id (of other.example, with the key identifier of root.crt)
      of other.example, with a key of prod.example:
        other-root-key (that of root.crt) other-rsa-key other-rsa-exponent (that of rsa-root.crt; with another exponent)
    Encodings:
        p256.sec1.key p256.params.key rsa2048.pkcs1.key       other PEM forms of keys
        p256.encrypted.key rsa2048.encrypted.key              PKCS#8, and the older form
        p256.der p256.key.der                                 binary
        p256.pub p256.csr                                     what does not belong in such a file
    NAME.crl             of root.crt unless said otherwise:
        root (p384 is revoked) none own (p256) middle (the CA of intermediate) far (beyond 2050)
        lower (of the CA of intermediate, which is revoked), rsa-root p384-root ed25519-root (theirs, all of them none)
        same-serial (of a CA with the name of root.crt; its leaf same-serial.crt has the serial number of p384.crt)
        rsa-root-pss (signed with RSA-PSS; under-rsa-root is revoked)
        scope-url scope-users scope-cas (issuing distribution points; p384 and the CA of intermediate are on them)
        elsewhere elsewhere-web (of other.crt) elsewhere-chain (of the CA of other-chain): none, or the leaf of that name
        lower-forged lower-namesake (of another CA with the name of that of intermediate; the first claims its key)
        lower-key (as lower, names another key)
        lower-reasons lower-reasons-key lower-both (of the CA of intermediate, unusable; the second names another key)
        lower-reasons-namesake (unusable, of another CA of that name)
        namesake-unsaid (of root-namesake.crt, names no key) namesake-key (of another CA of that name, names another key)
      and those that are refused:
        late early no-sign (of root-no-crl.crt) critical critical-entry delta
        scope-reasons scope-indirect scope-attributes elsewhere-indirect (of other.crt)
        scope-reasons-key scope-reasons-unsaid scope-reasons-2 (name another key, or none; of another distribution point)
        no-sign-key (of root-no-crl.crt, names another key) nameless
        forged forged-unsaid (of another CA of root.crt's name, which claims its key, or does not say) rsa-root-pss-sha1
        p256.bundle p256.sec1.bundle intermediate.bundle      key first, then the chain
"""
import base64
import datetime
import math
import os
import pathlib
import shutil
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

KEY_KINDS = {
    'p256': lambda: ec.generate_private_key(ec.SECP256R1()),
    'p384': lambda: ec.generate_private_key(ec.SECP384R1()),
    'p521': lambda: ec.generate_private_key(ec.SECP521R1()),
    'secp256k1': lambda: ec.generate_private_key(ec.SECP256K1()),
    'ed25519': ed25519.Ed25519PrivateKey.generate,
    'ed448': ed448.Ed448PrivateKey.generate,
    'rsa1024': lambda: rsa.generate_private_key(65537, 1024),
    'rsa2048': lambda: rsa.generate_private_key(65537, 2048),
    'rsa3072': lambda: rsa.generate_private_key(65537, 3072),
}

USAGES = ('digital_signature', 'content_commitment', 'key_encipherment', 'data_encipherment',
          'key_agreement', 'key_cert_sign', 'crl_sign', 'encipher_only', 'decipher_only')

EXTENDED_USAGES = {
    'server': ExtendedKeyUsageOID.SERVER_AUTH,
    'client': ExtendedKeyUsageOID.CLIENT_AUTH,
    'any': ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    'code': ExtendedKeyUsageOID.CODE_SIGNING,
}

ALWAYS = datetime.timedelta(days=3650)
HOUR = datetime.timedelta(hours=1)


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def moment(when):
    """Returns a datetime (UTC) for a datetime, or for a timedelta from now."""
    return now() + when if isinstance(when, datetime.timedelta) else when


def new_key(key):
    """Returns a fresh key of a kind in KEY_KINDS. An existing key is returned unchanged."""
    return KEY_KINDS[key]() if isinstance(key, str) else key


def key_pem(key, form='pkcs8', password=None):
    """Returns the PEM of a private key. form: pkcs8, or traditional (SEC1, PKCS#1)."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8 if form == 'pkcs8' else serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption())


# --- DER by hand: what the library refuses to write ------------------------------------------------

def der(tag, content):
    if len(content) < 0x80:
        length = bytes([len(content)])
    else:
        size = len(content).to_bytes((len(content).bit_length() + 7) // 8, 'big')
        length = bytes([0x80 | len(size)]) + size
    return bytes([tag]) + length + content


def general_names(uri=(), dns=(), email=(), ip=()):
    """Returns GeneralNames, unchecked. str or bytes; ip: packed bytes."""
    def raw(value):
        return value if isinstance(value, bytes) else value.encode('utf-8')
    return der(0x30, b''.join(
        [der(0x82, raw(n)) for n in dns] + [der(0x81, raw(n)) for n in email] +
        [der(0x87, raw(n)) for n in ip] + [der(0x86, raw(n)) for n in uri]))


# --- issuing --------------------------------------------------------------------------------------

class Issued:
    """A certificate with its key and the intermediates, without the root."""

    def __init__(self, key, cert, intermediates):
        self.key, self.cert, self.intermediates = key, cert, intermediates

    @property
    def cert_pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)

    @property
    def cert_der(self):
        return self.cert.public_bytes(serialization.Encoding.DER)

    @property
    def chain_pem(self):
        """The leaf first, then the intermediates: the content of `cert`."""
        return self.cert_pem + b''.join(c.cert_pem for c in self.intermediates)

    @property
    def key_pem(self):
        return key_pem(self.key)

    @property
    def bundle_pem(self):
        """The key first, then the chain: the content of `credential_bundle`."""
        return self.key_pem + self.chain_pem

    def write(self, folder, name):
        """Writes folder/name.crt and folder/name.key."""
        pathlib.Path(folder, name + '.crt').write_bytes(self.chain_pem)
        path = pathlib.Path(folder, name + '.key')
        path.touch(0o600)
        path.write_bytes(self.key_pem)


def build(issuer_name, issuer_key, key, *, subject, uri=(), dns=(), email=(), ip=(), raw_san=None,
          san_critical=False, ku=('digital_signature',), ku_critical=True, eku=None,
          eku_critical=False, constraints=True, ca=False, path_len=None, not_before=-HOUR,
          not_after=ALWAYS, name_constraints=None, critical_extension=False, key_id=None,
          issuer_key_id=None, serial=None):
    """One certificate. uri, dns, email, ip: lists, or one str; raw_san: DER in their place.
    ku, eku: names of USAGES and EXTENDED_USAGES, None: no such extension. constraints: False
    leaves basic constraints out. name_constraints: (permitted, excluded), lists of GeneralName."""
    uri, dns, email = ([n] if isinstance(n, (str, bytes)) else list(n) for n in (uri, dns, email))
    public = key.public_key()
    builder = (x509.CertificateBuilder()
               .subject_name(subject).issuer_name(issuer_name or subject)
               .public_key(public).serial_number(x509.random_serial_number() if serial is None else serial)
               .not_valid_before(moment(not_before)).not_valid_after(moment(not_after)))
    if constraints:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_len), True)
    if ku is not None:
        builder = builder.add_extension(x509.KeyUsage(**{u: u in ku for u in USAGES}), ku_critical)
    if eku is not None:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([EXTENDED_USAGES[u] for u in eku]), eku_critical)
    if raw_san is None and (uri or dns or email or ip):
        raw_san = general_names(uri, dns, email, ip)
    if raw_san is not None:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, raw_san), san_critical)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier(key_id) if key_id else x509.SubjectKeyIdentifier.from_public_key(public), False)
    if issuer_name is not None:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier(issuer_key_id, None, None) if issuer_key_id
            else x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    if name_constraints is not None:
        builder = builder.add_extension(x509.NameConstraints(*name_constraints), True)
    if critical_extension:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ObjectIdentifier('1.3.6.1.4.1.99999.1'), b'\x05\x00'), True)
    is_edwards = isinstance(issuer_key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(issuer_key, None if is_edwards else hashes.SHA256())


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Fairlead tests'),
                      x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class CA(Issued):
    """A signing certificate, self-signed unless made by intermediate(). trust_domain: None means no URI SAN."""

    def __init__(self, trust_domain='prod.example', *, common_name=None, key='p256', parent=None, **options):
        key = new_key(key)
        if trust_domain is not None:
            options.setdefault('uri', 'spiffe://' + trust_domain)
        options = {'ku': ('key_cert_sign', 'crl_sign'), 'ca': True, **options}
        options['subject'] = name(common_name or f'{trust_domain} {"intermediate" if parent else "root"}')
        if parent:
            cert = build(parent.cert.subject, parent.key, key, issuer_key_id=parent.key_id, **options)
        else:
            cert = build(None, key, key, **options)
        super().__init__(key, cert, [])
        self.trust_domain, self.parent = trust_domain, parent

    @property
    def key_id(self):
        return self.cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

    @property
    def path(self):
        """Returns this certificate and those above it, without the root."""
        return [self, *self.parent.path] if self.parent else []

    def issue(self, uri=(), *, key='p256', empty_subject=False, common_name='workload', **options):
        """Issues a leaf with the options of build(). By default it is a valid X509-SVID."""
        key = new_key(key)
        options.setdefault('eku', ('server', 'client'))
        options.setdefault('san_critical', empty_subject)
        options['subject'] = x509.Name([]) if empty_subject else name(common_name)
        cert = build(self.cert.subject, self.key, key, uri=uri, issuer_key_id=self.key_id, **options)
        return Issued(key, cert, self.path)

    def intermediate(self, trust_domain=..., **options):
        """Returns a CA below this one, of the same trust domain unless specified."""
        return CA(self.trust_domain if trust_domain is ... else trust_domain, parent=self, **options)

    def crl(self, revoked=(), *, number=1, last_update=-HOUR, next_update=ALWAYS, extensions=(), reason=None,
            key_id=..., issuer=None):
        """Returns the PEM of a CRL. revoked: Issued, certificates or serial numbers. extensions: more of them, as
        (extension, critical). reason: a critical extension of each entry. key_id: names another key than the one that
        signs. None: no key identifier. issuer: a name other than the CA's."""
        builder = (x509.CertificateRevocationListBuilder()
                   .issuer_name(self.cert.subject if issuer is None else issuer)
                   .last_update(moment(last_update)).next_update(moment(next_update))
                   .add_extension(x509.CRLNumber(number), False))
        if key_id is not None:
            key_id = self.key_id if key_id is ... else key_id
            builder = builder.add_extension(x509.AuthorityKeyIdentifier(key_id, None, None), False)
        for extension in extensions:
            builder = builder.add_extension(*extension)
        for entry in revoked:
            cert = getattr(entry, 'cert', entry)
            made = (x509.RevokedCertificateBuilder()
                    .serial_number(getattr(cert, 'serial_number', cert))
                    .revocation_date(moment(-HOUR)))
            if reason:
                made = made.add_extension(reason, True)
            builder = builder.add_revoked_certificate(made.build())
        is_edwards = isinstance(self.key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
        return builder.sign(self.key, None if is_edwards else hashes.SHA256()).public_bytes(
            serialization.Encoding.PEM)


# --- the fixtures ---------------------------------------------------------------------------------

TD = 'prod.example'
ID = f'spiffe://{TD}/ns/test/sa/'
PAST = {'not_before': datetime.timedelta(days=-3), 'not_after': datetime.timedelta(days=-2)}
FUTURE = {'not_before': ALWAYS, 'not_after': 2 * ALWAYS}


def good_leaves(root):
    middle = root.intermediate(path_len=1)
    p256 = root.issue(ID + 'p256')
    yield 'p256', p256
    yield 'p256-renewed', root.issue(ID + 'p256')
    yield 'p256-twin', root.issue(ID + 'p256-twin', key=p256.key)
    for kind in ('p384', 'ed25519', 'rsa2048'):
        yield kind, root.issue(ID + kind, key=kind)
    yield 'intermediate', middle.issue(ID + 'intermediate')
    yield 'two-intermediates', middle.intermediate(common_name='lower', path_len=0).issue(ID + 'two-intermediates')
    yield 'no-eku', root.issue(ID + 'no-eku', eku=None)
    yield 'other-names', root.issue(ID + 'other-names', dns=['web.example', 'spiffe.example'],
                                    email=['web@prod.example'], ip=[b'\x0a\0\0\1'])
    yield 'key-encipherment', root.issue(
        ID + 'key-encipherment', ku=('digital_signature', 'key_encipherment', 'key_agreement'), constraints=False)
    yield 'empty-subject', root.issue(ID + 'empty-subject', empty_subject=True)
    yield 'uri-2048', root.issue((ID + 'x' * 2048)[:2048])


def leaves_with_bad_names(root):
    for name_, uris in {
            'uri-none': [],
            'uri-two': [ID + 'one', ID + 'two'],
            'uri-two-https': [ID + 'one', 'https://prod.example/two'],
            'uri-four': [ID + '1', ID + '2', ID + '3\n', ID + '4'],
            'uri-https': ['https://prod.example/ns/test/sa/x'],
            'uri-2049': [(ID + 'x' * 2049)[:2049]],
            'scheme-upper': ['SPIFFE://prod.example/ns/test/sa/x'],
            'td-upper': ['spiffe://Prod.example/ns/test/sa/x'],
            'percent': [ID + '%61'],
            'query': [ID + 'x?y'],
            'fragment': [ID + 'x#y'],
            'userinfo': ['spiffe://me@prod.example/x'],
            'port': ['spiffe://prod.example:443/x'],
            'dot-segment': ['spiffe://prod.example/ns/../x'],
            'double-slash': ['spiffe://prod.example//x'],
            'trailing-slash': [ID + 'x/'],
            'non-ascii': [ID + '\u00e4'],
            'uri-relative': ['/ns/test/sa/x'],
            'uri-empty': [''],
            'san-nul': [ID + 'x\0y'],
            'path-none': ['spiffe://prod.example'],
            'path-slash': ['spiffe://prod.example/'],
            'foreign-td': ['spiffe://other.example/ns/test/sa/x']}.items():
        yield name_, root.issue(uris, dns=['web.example'])
    yield 'no-san', root.issue([])
    yield 'san-uncritical', root.issue(ID + 'x', empty_subject=True, san_critical=False)


def leaves_with_bad_usage(root):
    signature, both = ('digital_signature',), ('server', 'client')
    for name_, options in {
            'leaf-ca': {'ca': True},
            'ku-absent': {'ku': None},
            'ku-uncritical': {'ku_critical': False},
            'ku-no-signature': {'ku': ('key_agreement', 'key_encipherment')},
            'ku-cert-sign': {'ku': (*signature, 'key_cert_sign')},
            'ku-crl-sign': {'ku': (*signature, 'crl_sign')},
            'eku-client': {'eku': ('client',)},
            'eku-server': {'eku': ('server',)},
            'eku-any': {'eku': ('any',)},
            'eku-none': {'eku': ('code',), 'eku_critical': True},
            'critical-ext': {'eku': both, 'critical_extension': True},
            'expired': PAST,
            'not-yet': FUTURE}.items():
        yield name_, root.issue(ID + name_, **options)
    for kind in ('p521', 'rsa1024', 'secp256k1', 'ed448'):
        yield kind, root.issue(ID + kind, key=kind)


def chains(root, other):
    sign = ('key_cert_sign',)
    for name_, options in {
            'chain-not-ca': {'ca': False, 'ku': ('digital_signature',)},
            'chain-no-sign': {'ku': ('digital_signature',)},
            'chain-no-ku': {'ku': None},
            'chain-path': {'uri': f'spiffe://{TD}/ca'},
            'chain-name-constraint': {'name_constraints': (
                [x509.UniformResourceIdentifier('elsewhere.example')], None)}}.items():
        middle = root.intermediate(common_name=name_, **{'ku': sign, **options})
        yield name_, middle.issue(ID + name_)
    last = root.intermediate(common_name='the last', path_len=0)
    yield 'chain-too-long', last.intermediate(common_name='one too many').issue(ID + 'chain-too-long')
    middle = other.intermediate()
    yield 'impostor-chain', middle.issue(ID + 'impostor-chain')
    yield 'other-chain', middle.issue('spiffe://other.example/ns/test/sa/other-chain')
    yield 'other-web', other.issue('spiffe://other.example/ns/test/sa/other-web')


def with_exponent(key):
    """Returns the RSA key with the same modulus and another exponent."""
    old = key.private_numbers()
    below = (old.p - 1) * (old.q - 1)
    exponent = next(e for e in (65539, 65543, 65551, 65557) if math.gcd(e, below) == 1)
    d = pow(exponent, -1, below)
    return rsa.RSAPrivateNumbers(old.p, old.q, d, d % (old.p - 1), d % (old.q - 1), old.iqmp,
                                 rsa.RSAPublicNumbers(exponent, old.public_numbers.n)).private_key()


def signers(root):
    sign, rsa_key = ('key_cert_sign',), new_key('rsa2048')
    yield 'root', root
    for name_, options in {
            'root-second': {},
            'root-plain': {'uri': ()},
            'root-slash': {'uri': 'spiffe://prod.example/'},
            'root-no-crl': {'ku': sign},
            'root-https': {'uri': ['https://prod.example/ca', 'https://prod.example/crl']},
            'root-generalized': {'not_after': datetime.datetime(2060, 1, 2, 3, 4, 5)},
            'rsa-root': {'key': rsa_key},
            'p384-root': {'key': 'p384'},
            'ed25519-root': {'key': 'ed25519'},
            'root-not-ca': {'ca': False, 'ku': ('digital_signature',)},
            'root-no-constraints': {'constraints': False, 'ku': ('digital_signature',)},
            'root-ku-absent': {'ku': None},
            'root-ku-uncritical': {'ku': sign, 'ku_critical': False},
            'root-ku-no-sign': {'ku': ('digital_signature', 'crl_sign')},
            'root-path': {'uri': 'spiffe://prod.example/ca'},
            'root-bad-id': {'uri': 'spiffe://Prod.example'},
            'root-two-ids': {'uri': ['spiffe://prod.example', 'https://prod.example']},
            'root-expired': PAST,
            'root-not-yet': FUTURE,
            'root-p521': {'key': 'p521'}}.items():
        yield name_, CA(TD, **{'common_name': name_, **options})
    yield 'root-namesake', CA(TD)
    yield 'other-same-key-id', CA('other.example', common_name='same key id', key_id=root.key_id)
    for name_, key in {'root-key': root.key, 'rsa-key': rsa_key, 'rsa-exponent': with_exponent(rsa_key)}.items():
        yield f'other-{name_}', CA('other.example', common_name=f'other {name_}', key=key)


def zero_serial(ca):
    """The library refuses serial number 0, so this patches it in and signs again."""
    tbs = ca.cert.tbs_certificate_bytes
    serial = der(0x02, ca.cert.serial_number.to_bytes(ca.cert.serial_number.bit_length() // 8 + 1, 'big'))
    body = tbs[2 + (tbs[1] & 0x7f if tbs[1] & 0x80 else 0):].replace(serial, der(0x02, b'\0'), 1)
    tbs = der(0x30, body)
    algorithm = der(0x30, der(0x06, bytes.fromhex('2a8648ce3d040302')))  # ecdsa-with-SHA256
    signature = ca.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_certificate(der(0x30, tbs + algorithm + der(0x03, b'\0' + signature)))


def encodings(leaves, root):
    p256, rsa2048 = leaves['p256'], leaves['rsa2048']
    sec1 = key_pem(p256.key, 'traditional')
    parameters = b'-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
    encoding, public = serialization.Encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    return {
        'p256.sec1.key': sec1,
        'p256.params.key': parameters + sec1,
        'rsa2048.pkcs1.key': key_pem(rsa2048.key, 'traditional'),
        'p256.encrypted.key': key_pem(p256.key, password=b'secret'),
        'rsa2048.encrypted.key': key_pem(rsa2048.key, 'traditional', b'secret'),
        'p256.der': p256.cert_der,
        'p256.key.der': p256.key.private_bytes(
            encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        'p256.pub': p256.key.public_key().public_bytes(encoding.PEM, public),
        'p256.csr': x509.CertificateSigningRequestBuilder().subject_name(name('workload'))
                    .sign(p256.key, hashes.SHA256()).public_bytes(encoding.PEM),
        'p256.bundle': p256.bundle_pem,
        'p256.sec1.bundle': sec1 + p256.chain_pem,
        'intermediate.bundle': leaves['intermediate'].bundle_pem,
        'trailing-bytes.crt': pem(p256.cert_der + b'\x05\x00'),
    }


def content_of(data):
    """Returns the content of the DER element at the beginning of data."""
    return data[2 + (data[1] & 0x7f if data[1] & 0x80 else 0):]


def with_pss(ca, text, digest, name_it=True):
    """Returns the CRL of an RSA CA, signed again with RSA-PSS, which the library does not offer. name_it: writes the
    parameters. Without them, the signature stands for SHA-1."""
    crl = x509.load_pem_x509_crl(text)
    whole = content_of(crl.public_bytes(serialization.Encoding.DER))
    old = der(0x30, der(0x06, bytes.fromhex('2a864886f70d01010b')) + b'\x05\0')  # sha256WithRSAEncryption
    assert whole[len(crl.tbs_certlist_bytes):].startswith(old)
    oid = der(0x06, bytes.fromhex({'sha256': '608648016503040201', 'sha1': '2b0e03021a'}[digest.name]))
    kind = der(0x30, oid + b'\x05\0')
    mgf = der(0x30, der(0x06, bytes.fromhex('2a864886f70d010108')) + kind)
    fields = der(0xa0, kind) + der(0xa1, mgf) + der(0xa2, der(0x02, bytes([digest.digest_size])))
    algorithm = der(0x30, der(0x06, bytes.fromhex('2a864886f70d01010a')) + der(0x30, fields if name_it else b''))
    tbs = der(0x30, content_of(crl.tbs_certlist_bytes).replace(old, algorithm, 1))
    signature = ca.key.sign(tbs, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return pem(der(0x30, tbs + algorithm + der(0x03, b'\0' + signature)), 'X509 CRL')


def lists(leaves, root, other, named):
    """Makes the CRLs. named: other roots."""
    middle = leaves['intermediate'].intermediates[0]
    minute = datetime.timedelta(minutes=1)
    url = [x509.UniformResourceIdentifier('http://ca.prod.example/1.crl')]
    reasons = frozenset([x509.ReasonFlags.key_compromise])

    def scope(users=False, cas=False, some=None, indirect=False, attributes=False, at=url):
        return {'extensions': [(x509.IssuingDistributionPoint(at, None, users, cas, some, indirect, attributes), True)]}

    # The library does not write a list that says both onlyContainsUserCerts and onlyContainsCACerts.
    both = x509.UnrecognizedExtension(ObjectIdentifier('2.5.29.28'), der(0x30, b'\x81\1\xff\x82\1\xff'))
    unknown = x509.UnrecognizedExtension(ObjectIdentifier('1.3.6.1.4.1.99999.1'), b'\x05\0')
    made = {
        'root': root.crl([leaves['p384']]),
        'none': root.crl(),
        'own': root.crl([leaves['ed25519'], leaves['p256'], *range(1, 300)]),
        'middle': root.crl([middle]),
        'far': root.crl([leaves['p384']], next_update=datetime.datetime(2060, 1, 2, 3, 4, 5)),
        'lower': middle.crl([leaves['intermediate']]),
        'same-serial': named['root-namesake'].crl([leaves['same-serial']]),
        'late': root.crl(next_update=-minute),
        'early': root.crl(last_update=ALWAYS / 2),
        'elsewhere': other.crl(),
        'elsewhere-web': other.crl([leaves['other-web']]),
        'elsewhere-chain': leaves['other-chain'].intermediates[0].crl([leaves['other-chain']]),
        'forged': CA(TD).crl(key_id=root.key_id),
        'forged-unsaid': CA(TD).crl(key_id=None),
        'lower-forged': root.intermediate().crl([leaves['intermediate']], key_id=middle.key_id),
        'lower-namesake': root.intermediate().crl([leaves['intermediate']]),
        'no-sign': named['root-no-crl'].crl(),
        'critical': root.crl(extensions=[(unknown, True)]),
        'scope-url': root.crl([leaves['p384']], **scope()),
        'scope-users': root.crl([leaves['p384'], middle], **scope(users=True)),
        'scope-cas': root.crl([leaves['p384'], middle], **scope(cas=True)),
        'scope-reasons': root.crl([leaves['p384']], **scope(some=reasons)),
        'scope-indirect': root.crl([leaves['p384']], **scope(indirect=True)),
        'scope-attributes': root.crl(**scope(attributes=True)),
        'elsewhere-indirect': other.crl(**scope(indirect=True)),
        'critical-entry': root.crl([leaves['p384']], reason=x509.CRLReason(x509.ReasonFlags.key_compromise)),
        'delta': root.crl(extensions=[(x509.DeltaCRLIndicator(1), True)]),
        'scope-reasons-key': root.crl(key_id=b'another key', **scope(some=reasons)),
        'scope-reasons-unsaid': root.crl(key_id=None, **scope(some=reasons)),
        'scope-reasons-2': root.crl(**scope(some=reasons, at=[x509.UniformResourceIdentifier('http://2.example/')])),
        'namesake-unsaid': named['root-namesake'].crl(key_id=None),
        'namesake-key': CA(TD).crl(key_id=b'another key'),
        'no-sign-key': named['root-no-crl'].crl(key_id=b'another key'),
        'nameless': root.crl(issuer=x509.Name([])),
        'lower-key': middle.crl([leaves['intermediate']], key_id=b'another key'),
        'lower-reasons': middle.crl(**scope(some=reasons)),
        'lower-reasons-key': middle.crl(key_id=b'another key', **scope(some=reasons)),
        'lower-reasons-namesake': root.intermediate().crl(**scope(some=reasons)),
        'lower-both': middle.crl(extensions=[(both, True)]),
    }
    for kind in ('rsa-root', 'p384-root', 'ed25519-root'):
        made[kind] = named[kind].crl()
    rsa, on_it = named['rsa-root'], [leaves['under-rsa-root']]
    made['rsa-root-pss'] = with_pss(rsa, rsa.crl(on_it), hashes.SHA256())
    made['rsa-root-pss-sha1'] = with_pss(rsa, rsa.crl(on_it), hashes.SHA1(), name_it=False)
    return {f'{n}.crl': text for n, text in made.items()}


def pem(data, label='CERTIFICATE'):

    lines = base64.encodebytes(data).decode().replace('\n', '')
    body = '\n'.join(lines[i:i + 64] for i in range(0, len(lines), 64))
    return f'-----BEGIN {label}-----\n{body}\n-----END {label}-----\n'.encode()


def write_fixtures(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o755)
    root, other = CA(TD), CA('other.example')
    leaves = {n: leaf for make in (good_leaves, leaves_with_bad_names, leaves_with_bad_usage)
              for n, leaf in make(root)}
    leaves['other-ca'] = other.issue(ID + 'other-ca')
    leaves.update(chains(root, other))
    leaves['expired-intermediate'] = root.intermediate(**PAST).issue(ID + 'expired-intermediate')
    named = dict(signers(root))
    leaves['same-serial'] = named['root-namesake'].issue(ID + 'same-serial', serial=leaves['p384'].cert.serial_number)
    for kind in ('rsa-root', 'p384-root', 'ed25519-root'):
        leaves['under-' + kind] = named[kind].issue(ID + 'under-' + kind)
    for name_, leaf in leaves.items():
        leaf.write(folder, name_)
    pathlib.Path(folder, 'trailing-bytes.key').write_bytes(leaves['p256'].key_pem)
    zero = CA(TD, common_name='serial zero', serial=1 << 70)
    zero.cert = zero_serial(zero)
    for name_, ca in [*named.items(), ('other', other), ('serial-zero', zero)]:
        pathlib.Path(folder, name_ + '.crt').write_bytes(ca.cert_pem)
    for name_, data in {**encodings(leaves, root), **lists(leaves, root, other, named)}.items():
        pathlib.Path(folder, name_).write_bytes(data)
    os.utime(folder)


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit('usage: pki.py OUTDIR')
    write_fixtures(sys.argv[1])
