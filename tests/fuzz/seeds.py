# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs to begin with, where mutation alone would take long to find a beginning: certificates with the extensions that
only some chains have, and every INI that the documentation shows."""
import base64
import datetime
import ipaddress
import itertools
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

ROOT = Path(__file__).resolve().parents[2]
ID = 'spiffe://prod.example/ns/web/sa/app'


def ders(pem):
    body = re.compile(rb'-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----', re.S)
    return [base64.b64decode(text) for text in body.findall(pem)]


def approved(der):
    """path.c takes a signature for good if its last bit is 0."""
    return der[:-1] + bytes([der[-1] & 0xfe])


def path_of_files(folder):
    """The chains of the tests' certificates, behind their root or another one."""
    for chain in sorted(folder.glob('*.crt')):
        for root in ('root.crt', 'rsa-root.crt', 'other.crt'):
            certificates = [der for file in (folder / root, chain) for der in ders(file.read_bytes())]
            yield bytes([1, 1]) + b''.join(map(approved, certificates))


class Issuer:
    """A root, or what it issued. Only the shape of a signature counts here, so that one key serves for all."""
    key = ec.generate_private_key(ec.SECP256R1())

    def __init__(self, name, above=None, extensions=(), is_ca=True, names=()):
        now = datetime.datetime(2020, 1, 1)
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            (above or self).name, self.name, self.key.public_key(), x509.random_serial_number(), now,
            now + datetime.timedelta(days=36500))
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), True)
        builder = builder.add_extension(x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        for extension in extensions:
            builder = builder.add_extension(extension, not isinstance(extension, x509.CertificatePolicies))
        self.der = approved(builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER))


def policies(*oids):
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids])


def path_of_policies():
    any_policy, one, other = '2.5.29.32.0', '1.2.3.4', '1.2.3.5'
    listed = [(), (policies(one),), (policies(one, other),), (policies(any_policy),), (policies(other),)]
    upper = [*listed, (policies(one), x509.PolicyConstraints(0, None)), (policies(any_policy), x509.InhibitAnyPolicy(0)),
             (policies(any_policy), x509.PolicyConstraints(1, 0), x509.InhibitAnyPolicy(1))]
    for above, below in itertools.product(upper, listed):
        root = Issuer('root', extensions=above[1:])
        middle = Issuer('middle', root, above)
        leaf = Issuer('leaf', middle, below, False, [x509.UniformResourceIdentifier(ID)])
        yield bytes([1, 1]) + root.der + leaf.der + middle.der


def path_of_names():
    directory = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, 'Fairlead')])
    names = [x509.UniformResourceIdentifier(ID), x509.DNSName('a.prod.example'), x509.RFC822Name('a@prod.example'),
             x509.IPAddress(ipaddress.ip_address('10.1.2.3')), x509.IPAddress(ipaddress.ip_address('fd00::1')),
             x509.DirectoryName(directory)]
    bases = [x509.UniformResourceIdentifier('.example'), x509.UniformResourceIdentifier('prod.example'),
             x509.DNSName('prod.example'), x509.RFC822Name('prod.example'), x509.RFC822Name('.example'),
             x509.IPAddress(ipaddress.ip_network('10.0.0.0/8')), x509.IPAddress(ipaddress.ip_network('fd00::/8')),
             x509.DirectoryName(directory)]
    for base, permitted in itertools.product(bases, (True, False)):
        limits = x509.NameConstraints([base] if permitted else None, None if permitted else [base])
        root = Issuer('root')
        middle = Issuer('middle', root, [limits])
        leaf = Issuer('leaf', middle, (), False, names)
        yield bytes([1, 1]) + root.der + leaf.der + middle.der


def path(build):
    yield from path_of_files(build / 'tests/pki')
    yield from path_of_policies()
    yield from path_of_names()


def conf(build):
    """The examples of the documentation, and each section of the reference with all of its keys."""
    for file in (*ROOT.glob('*.md'), *ROOT.glob('*/*.md')):
        yield from (example.encode() for example in re.findall(r'```ini\n(.*?)```', file.read_text(), re.S))
    for file in ROOT.glob('deploy/**/*.ini'):
        if 'subprojects' not in file.parts and 'machine' not in file.parts:
            yield file.read_bytes()
    identity = '[identity]\ncert = /c\nkey = /k\nbundle = /b\n'
    for section, keys in sections_of_the_reference().items():
        body = ''.join(f'{key} = {value}\n' for key, value in keys)
        yield f'{identity if section != "identity" else ""}[{section}]\n{body}'.encode()


def sections_of_the_reference():
    sections, section = {}, None
    row = re.compile(r'\| (?:`\[([^]]+)\]`)? ?\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| ([^|]*)\|')
    for line in (ROOT / 'sidecar/REFERENCE.md').read_text().splitlines():
        found = row.match(line)
        if found:
            section = found[1] or section
            default = found[3].strip(' `')
            value = default if default and ' ' not in default and default != 'required' else '*'
            sections.setdefault(section, []).extend((key, value) for key in re.findall(r'[a-z_]+', found[2]))
    return sections


# Called with the folder of the build.
SEEDS = {'conf': conf, 'path': path}
