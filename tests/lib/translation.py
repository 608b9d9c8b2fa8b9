# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies of Istio and Linkerd, and what `import` makes of them. `explain` tells what an INI means."""
import json

import pytest
import yaml

from test_tools import tool

TD = 'prod.example'
HEAD = '[identity]\ncert = /x/tls.crt\nkey = /x/tls.key\nbundle = /x/ca.crt\n'
LABELS = ['--labels', 'app=api,tier=back']


def identity(ns, account):
    return f'spiffe://{TD}/ns/{ns}/sa/{account}'


def istio(kind, spec, name='p', ns='prod'):
    group = 'networking' if kind == 'DestinationRule' else 'security'
    return {'apiVersion': f'{group}.istio.io/v1', 'kind': kind, 'metadata': {'name': name, 'namespace': ns}, 'spec': spec}


def linkerd(kind, spec, name='p', ns='prod'):
    return {'apiVersion': 'policy.linkerd.io/v1beta3', 'kind': kind, 'metadata': {'name': name, 'namespace': ns},
            'spec': spec}


def policy(rules, **spec):
    return istio('AuthorizationPolicy', {'rules': rules, **spec})


PERMISSIVE = istio('PeerAuthentication', {'mtls': {'mode': 'PERMISSIVE'}}, 'mesh', 'istio-system')


class Translated:
    def __init__(self, tmp_path, resources, *options):
        self.source, self.ini = source, _ = tmp_path / 'in.yaml', tmp_path / 'out.ini'
        source.write_text(yaml.safe_dump_all(resources))
        self.status, self.out, self.err = tool('import', source, '--trust-domain', TD, *options)
        assert self.status in (0, 1), self.err
        # Exit status, stderr and the comments of the INI agree.
        assert (self.status == 1) == bool(self.err)
        for line in self.err.splitlines():
            assert line.startswith(f'{source}:') and f'; {line}\n' in self.out
        self.ini.write_text(HEAD + self.out)

    def lets_in(self, origin, port, source='10.1.2.3'):
        status, out, err = tool('explain', '-c', self.ini, '--from', origin, '--to', str(port), '--source', source,
                                '--json')
        assert status in (0, 1), err + self.out
        return json.loads(out)['let_in']


@pytest.fixture
def translate(tmp_path):
    return lambda *resources, options=LABELS: Translated(tmp_path, resources, *options)
