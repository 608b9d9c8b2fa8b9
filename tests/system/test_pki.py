# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests deploy/pki: its certificates are what Fairlead accepts, and each step of a change of root leaves everybody able to
talk."""
import itertools
import os
import stat
import subprocess

import pytest

import lab as labs
import software
from test_tools import tool

PKI = labs.ROOT / 'deploy' / 'pki'
WORKLOADS = 'shop', 'ledger'

pytestmark = pytest.mark.skipif(bool(software.missing('openssl')), reason='openssl is missing')


def pki(*arguments, status=0):
    """Runs it, which must end with this status. Returns what it printed to both outputs."""
    done = subprocess.run([PKI, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture
def ca(lab):
    pki('ca', lab.folder / 'ca', 'prod.example')
    return lab.folder / 'ca'


def renew(ca, name):
    pki('svid', ca, f'ns/prod/sa/{name}', ca.parent / name)


def verify(bundle, certificate):
    return subprocess.run(['openssl', 'verify', '-x509_strict', '-CAfile', bundle, certificate], capture_output=True, check=False).returncode == 0


def trust_each_other(folder):
    return all(verify(folder / a / 'ca.crt', folder / b / 'tls.crt') for a, b in itertools.product(WORKLOADS, repeat=2))


def check(folder, name, crl=None, uid=os.getuid()):
    ini = folder / f'{name}.ini'
    ini.write_text(labs.ini({'identity': {'cert': folder / name / 'tls.crt', 'key': folder / name / 'tls.key',
                                          'bundle': folder / name / 'ca.crt', **({'crl': crl} if crl else {})},
                             'agent': {'socket': folder / 'agent.sock', 'uid': uid},
                             'allow all': {'from': 'spiffe://prod.example/**'}}))
    return tool('check', '--strict', '-c', ini)


def test_fairlead_accepts_its_certificates(ca):
    for name in WORKLOADS:
        renew(ca, name)
        status, out, err = check(ca.parent, name)
        assert (status, err) == (0, ''), err
        assert f'spiffe://prod.example/ns/prod/sa/{name}' in out and 'of 30d' in out
    assert trust_each_other(ca.parent)
    assert stat.S_IMODE(os.stat(ca.parent / 'shop' / 'tls.key').st_mode) == 0o600
    assert stat.S_IMODE(os.stat(ca / 'ca.key').st_mode) == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason='whoever is not root has tried to read the key')
def test_a_key_for_root_is_none_for_the_agent(ca):
    key = ca.parent / 'shop' / 'tls.key'
    renew(ca, 'shop')
    status, _, err = check(ca.parent, 'shop', uid=2113)
    assert status == 1 and f'{key} belongs to uid 0 and has mode 0600, so the agent cannot read it as uid 2113' in err
    assert f'the folder {key.parent} belongs to uid 0 and has mode 0700, so the agent cannot search it as uid 2113' in err
    key.chmod(0o640)
    key.parent.chmod(0o755)
    assert check(ca.parent, 'shop', uid=2113)[0] == 0
    key.chmod(0o600)
    os.chown(key, 2113, -1)
    assert check(ca.parent, 'shop', uid=2113)[0] == 0


def test_a_root_changes_without_a_moment_of_distrust(ca):
    """Workloads are renewed one after the other in each step: any order of them is good."""
    folder = ca.parent
    for name in WORKLOADS:
        renew(ca, name)
    for step in 'add', 'use', 'drop':
        pki('root', ca, step)
        for name in WORKLOADS:
            renew(ca, name)
            assert trust_each_other(folder), (step, name)
            assert check(folder, name)[0] == 0
    assert (ca / 'bundle.crt').read_text() == (ca / 'ca.crt').read_text() == (folder / 'shop' / 'ca.crt').read_text()
    assert 'First:' in pki('root', ca, 'drop', status=1) and 'First:' in pki('root', ca, 'use', status=1)


def test_a_revoked_certificate_is_refused_until_it_is_renewed(ca):
    renew(ca, 'shop')
    pki('revoke', ca, ca.parent / 'shop')
    status, _, err = check(ca.parent, 'shop', ca / 'crl.pem')
    assert status == 2 and 'certificate-revoked' in err
    renew(ca, 'shop')
    assert check(ca.parent, 'shop', ca / 'crl.pem')[0] == 0
    for step in 'add', 'use', 'drop':
        pki('root', ca, step)
        renew(ca, 'shop')
        assert check(ca.parent, 'shop', ca / 'crl.pem')[0] == 0, 'the list is one of a CA that everybody knows'


@pytest.mark.parametrize('words, why', [
    (['svid', 'CA', 'spiffe://other.example/ns/prod/sa/shop', 'x'], 'is not of the trust domain'),
    (['svid', 'CA', 'ns//shop', 'x'], 'is no SPIFFE ID'), (['svid', 'CA', 'ns/../shop', 'x'], 'is no SPIFFE ID'),
    (['svid', 'CA', '', 'x'], 'is no SPIFFE ID'), (['svid', 'CA', 'a,DNS:b', 'x'], 'is no SPIFFE ID'),
    (['svid', 'CA', 'a\nb', 'x'], 'is no SPIFFE ID'), (['svid', 'CA', 'shop', 'x', '-1'], 'is no number of days'),
    (['svid', 'CA', 'shop', 'x', '366'], 'the root itself ends'), (['svid', 'CA', 'shop', 'x', '9' * 20], 'is no number of days'),
    (['svid', 'CA', 'ns:a', 'x'], 'is no SPIFFE ID'), (['svid', 'CA', 'a' * 2048, 'x'], '2048 are the most'),
    (['svid', 'CA', 'shop', 'CA'], 'has a CA'), (['svid', 'x', 'shop', 'x'], 'there is no CA'), (['ca', 'CA', 'prod.example'], 'exists already'),
    (['ca', 'x', 'Prod'], 'is no trust domain'), (['revoke', 'CA', 'x'], 'does not exist'),
])
def test_mistakes_are_named_and_leave_nothing(ca, words, why):
    before = sorted(ca.rglob('*'))
    assert why in pki(*[{'CA': ca, 'x': ca.parent / 'x'}.get(word, word) for word in words], status=1)
    assert sorted(ca.rglob('*')) == before and not (ca.parent / 'x').exists()


def test_usage(ca):
    assert 'deploy/pki svid DIR ID FOLDER [DAYS]' in pki('--help')
    pki(status=2)
    pki('root', ca, 'remove', status=2)
    pki('svid', ca, status=2)
