# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates written byte by byte: any shape, legal or not, including those that the library of pki.py refuses to
write.

    root = Entity('Root'); anchor = root.certify(root)
    leaf = Entity('leaf').under(root, ca=False, names=[uri('spiffe://prod.example/ns/x/sa/y')])

An Entity is a name and a key; a Cert binds the two together, signed by another Entity."""
import base64
import datetime
import hashlib
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa


def tlv(tag, *parts):
    content = b''.join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, 'big')
    return bytes([tag, 0x80 | len(length)]) + length + content


def seq(*parts):
    return tlv(0x30, *parts)


def integer(number):
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, 'big', signed=True))


def oid(text):
    first, second, *rest = (int(part) for part in text.split('.'))
    out = b''
    for value in (first * 40 + second, *rest):
        chunk = [value & 0x7f]
        while value := value >> 7:
            chunk.insert(0, 0x80 | value & 0x7f)
        out += bytes(chunk)
    return tlv(0x06, out)


def attribute(kind, text, tag=0x0c):
    return seq(oid(kind), tlv(tag, text.encode('utf-16-be' if tag == 0x1e else 'utf-8')))


CN, O, SERIAL, EMAIL = '2.5.4.3', '2.5.4.10', '2.5.4.5', '1.2.840.113549.1.9.1'


def name(*rdns):
    """Returns a name. rdns: lists of attributes."""
    return seq(*(tlv(0x31, *rdn) for rdn in rdns))


def common(text, tag=0x0c):
    return name([attribute(O, 'Fairlead tests')], [attribute(CN, text, tag)])


def moment(seconds):
    when = datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)
    if when.year < 2050:
        return tlv(0x17, when.strftime('%y%m%d%H%M%SZ').encode())
    return tlv(0x18, when.strftime('%Y%m%d%H%M%SZ').encode())


# --- names in extensions

def uri(text):
    return tlv(0x86, text.encode())


def dns(text):
    return tlv(0x82, text.encode())


def email(text):
    return tlv(0x81, text.encode())


def ip(packed):
    return tlv(0x87, packed)


def directory(encoded):
    return tlv(0xa4, encoded)


def other(kind, text):
    return tlv(0xa0, oid(kind), tlv(0xa0, tlv(0x0c, text.encode())))


# --- extensions

def extension(kind, value, critical=False):
    return seq(oid(kind), b'\x01\x01\xff' if critical else b'', tlv(0x04, value))


def constraints(ca=True, length=None, critical=True):
    return extension('2.5.29.19', seq(b'\x01\x01\xff' if ca else b'', b'' if length is None else integer(length)),
                     critical)


USAGES = {'sign': 0x80, 'encipher': 0x20, 'cert': 0x04, 'crl': 0x02}
EXTENDED = {'server': '1.3.6.1.5.5.7.3.1', 'client': '1.3.6.1.5.5.7.3.2', 'code': '1.3.6.1.5.5.7.3.3',
            'email': '1.3.6.1.5.5.7.3.4', 'any': '2.5.29.37.0'}


def usage(*uses, critical=True):
    bits = sum(USAGES[use] for use in uses)
    unused = (bits & -bits).bit_length() - 1 if bits else 0
    return extension('2.5.29.15', tlv(0x03, bytes([unused, bits]) if bits else b'\0'), critical)


def extended(*uses, critical=False):
    return extension('2.5.29.37', seq(*(oid(EXTENDED[use]) for use in uses)), critical)


def alternative(*names, critical=False):
    return extension('2.5.29.17', seq(*names), critical)


def permit(*names, excluded=(), critical=True):
    return extension('2.5.29.30', seq(tlv(0xa0, *(seq(n) for n in names)) if names else b'',
                                      tlv(0xa1, *(seq(n) for n in excluded)) if excluded else b''), critical)


def key_id(value, critical=False):
    return extension('2.5.29.14', tlv(0x04, value), critical)


def authority(value):
    return extension('2.5.29.35', seq(tlv(0x80, value)))


def policies(*kinds, critical=False):
    return extension('2.5.29.32', seq(*(seq(oid(kind)) for kind in kinds)), critical)


def require_policy(skip=0):
    return extension('2.5.29.36', seq(tlv(0x80, bytes([skip]))), True)


ANY_POLICY = '2.5.29.32.0'

# --- keys and signatures

DIGESTS = {'sha1': hashes.SHA1, 'sha256': hashes.SHA256, 'sha384': hashes.SHA384, 'sha512': hashes.SHA512}
ECDSA = {'sha1': '1.2.840.10045.4.1', 'sha256': '1.2.840.10045.4.3.2', 'sha384': '1.2.840.10045.4.3.3',
         'sha512': '1.2.840.10045.4.3.4'}
RSA = {'sha1': '1.2.840.113549.1.1.5', 'sha256': '1.2.840.113549.1.1.11', 'sha384': '1.2.840.113549.1.1.12',
       'sha512': '1.2.840.113549.1.1.13'}


def new_key(kind='p256'):
    if kind.startswith('rsa'):
        return rsa.generate_private_key(65537, int(kind[3:]))
    return {'p256': lambda: ec.generate_private_key(ec.SECP256R1()),
            'p384': lambda: ec.generate_private_key(ec.SECP384R1()),
            'ed25519': ed25519.Ed25519PrivateKey.generate}[kind]()


def algorithm_of(key, digest):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return seq(oid('1.3.101.112'))
    if isinstance(key, rsa.RSAPrivateKey):
        return seq(oid(RSA[digest]), b'\x05\0')
    return seq(oid(ECDSA[digest]))


def signature_of(key, data, digest):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), DIGESTS[digest]())
    return key.sign(data, ec.ECDSA(DIGESTS[digest]()))


def to_pem(der, label='CERTIFICATE'):
    text = base64.b64encode(der).decode()
    lines = '\n'.join(text[i:i + 64] for i in range(0, len(text), 64))
    return f'-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n'


class Cert:
    def __init__(self, der, entity, issuer=None):
        self.der, self.entity, self.issuer = der, entity, issuer  # issuer: the issuer's name

    @property
    def pem(self):
        return to_pem(self.der)


class Entity:
    def __init__(self, subject, key='p256'):
        self.subject = common(subject) if isinstance(subject, str) else subject
        self.key = new_key(key) if isinstance(key, str) else key
        self.info = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha1(self.info).digest()

    @property
    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()

    def certify(self, issuer, *, ca=True, length=None, names=(), more=(), extensions=None, before=-3600, after=86400,
                digest='sha256', serial=None, version=3, issuer_name=None, signer=None, with_id=True, damage=False):
        """Returns a certificate of this entity by issuer. extensions: all of them. Without it, the usual ones and
        `more`."""
        if extensions is None:
            extensions = [constraints(True, length), usage('cert', 'crl')] if ca else [usage('sign')]
            if with_id:
                extensions += [key_id(self.id)] + ([authority(issuer.id)] if issuer is not self else [])
            if names:
                extensions.append(alternative(*names))
            extensions += more
        signer = signer or issuer
        algorithm = algorithm_of(signer.key, digest)
        tbs = seq(tlv(0xa0, integer(version - 1)) if version > 1 else b'',
                  integer(int.from_bytes(os.urandom(8), 'big') | 1 << 62 if serial is None else serial), algorithm,
                  issuer_name or issuer.subject, seq(moment(before), moment(after)), self.subject, self.info,
                  tlv(0xa3, seq(*extensions)) if extensions and version > 2 else b'')
        signature = signature_of(signer.key, tbs, digest)
        if damage:
            signature = signature_of(signer.key, tbs + b'x', digest)
        return Cert(seq(tbs, algorithm, tlv(0x03, b'\0' + signature)), self, issuer_name or issuer.subject)

    def under(self, issuer, **options):
        return self.certify(issuer, **options)

    def crl(self, *serials, issuer_name=None, extensions=(), digest='sha256'):
        """Returns the PEM of a CRL that this entity's key signs. extensions: all of them."""
        algorithm = algorithm_of(self.key, digest)
        entries = seq(*(seq(integer(serial), moment(-60)) for serial in serials)) if serials else b''
        tbs = seq(integer(1), algorithm, issuer_name or self.subject, moment(-60), moment(86400), entries,
                  tlv(0xa0, seq(*extensions)) if extensions else b'')
        return to_pem(seq(tbs, algorithm, tlv(0x03, b'\0' + signature_of(self.key, tbs, digest))), 'X509 CRL')


# --- keys in a form that no RFC allows, and that wolfCrypt verifies with

RSA_KEY, ED25519_KEY, NULL = oid('1.2.840.113549.1.1.1'), oid('1.3.101.112'), b'\x05\0'
REWRITTEN = {  # kind, content of the AlgorithmIdentifier, what makes the BIT STRING of the parts of the key
    'RSA without NULL': ('rsa2048', [RSA_KEY], seq),
    'RSA with an OID': ('rsa2048', [RSA_KEY, RSA_KEY], seq),
    'RSA with a third integer': ('rsa2048', [RSA_KEY, NULL], lambda n, e: seq(n, e, integer(1))),
    'RSA and something behind': ('rsa2048', [RSA_KEY, NULL], lambda n, e: seq(n, e) + NULL),
    'RSA with a negative modulus': ('rsa2048', [RSA_KEY, NULL], lambda n, e: seq(tlv(0x02, n[5:]), e)),
    'Ed25519 with NULL': ('ed25519', [ED25519_KEY, NULL], bytes),
    'Ed25519 with 0x40 in front': ('ed25519', [ED25519_KEY], lambda point: b'\x40' + point),
}


def rewritten(form):
    kind, algorithm, write = REWRITTEN[form]
    entity = Entity(form, kind)
    public = entity.key.public_key()
    if kind == 'ed25519':
        parts = [public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)]
    else:
        numbers = public.public_numbers()
        parts = [integer(numbers.n), integer(numbers.e)]
    entity.info = seq(seq(*algorithm), tlv(0x03, b'\0' + write(*parts)))
    return entity
