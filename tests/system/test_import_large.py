# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent import with policies that are very large: the INI can be read, or there is none."""
import time

import pytest
import yaml

from test_tools import tool
from translation import HEAD, TD, identity, istio, linkerd, policy


def refused(tmp_path, said, *resources):
    source = tmp_path / 'in.yaml'
    source.write_text(yaml.safe_dump_all(resources))
    status, out, err = tool('import', source, '--trust-domain', TD)
    assert (status, out) == (2, '') and said in err, err


def accepted(tmp_path, out):
    ini = tmp_path / 'out.ini'
    ini.write_text(HEAD + out)
    assert max(map(len, out.splitlines())) < 65534
    return lambda origin, port=80, source='10.1.2.3': tool(
        'explain', '-c', ini, '--from', origin, '--to', str(port), '--source', source)


def test_long_lists__become_several_rules(tmp_path):
    source = tmp_path / 'in.yaml'
    blocks = [f'10.{n >> 8}.{n & 255}.0/24' for n in range(6000)]
    accounts = [f'cluster.local/ns/n{n}/sa/{"x" * 30}' for n in range(3000)]
    source.write_text(yaml.safe_dump_all([istio('AuthorizationPolicy', {'action': 'DENY', 'rules': [
        {'from': [{'source': {'principals': accounts, 'ipBlocks': blocks}}], 'to': [{'operation': {'ports': ['80']}}]}]}, 'd'), policy([{}])]))
    status, out, err = tool('import', source)
    assert (status, err) == (0, '') and 2 < out.count('[deny') < 12
    explain = accepted(tmp_path, out)
    for number in (0, 1500, 2999):
        for block, denied in (('10.0.0.9', True), ('10.9.0.9', True), ('10.23.111.9', True), ('10.23.112.9', False)):
            origin = f'spiffe://cluster.local/ns/n{number}/sa/{"x" * 30}'
            assert explain(origin, 80, block)[0] == (1 if denied else 0)
            assert explain(origin, 81, block)[0] == 0


@pytest.mark.parametrize('source, said', [
    # Exceptions cannot be divided: each of them would only except from its own rule.
    ({'notNamespaces': [f'n{n}-{"x" * 40}' for n in range(1500)]}, 'too many exceptions'),
    ({'notIpBlocks': [f'10.{n >> 8}.{n & 255}.0/24' for n in range(6000)]}, 'too many exceptions'),
    ({'namespaces': [f'n{n}-{"x" * 50}' for n in range(15000)]}, 'too many peers')])
def test_lists_that_are_too_long(tmp_path, source, said):
    for action in ('ALLOW', 'DENY'):
        refused(tmp_path, said, policy([{'from': [{'source': source}]}], action=action))


def test_lists_that_are_too_long__of_linkerd_and_of_peers(tmp_path):
    names = [f'n{n}.web.serviceaccount.identity.linkerd.cluster.local' for n in range(12000)]
    references = [{'kind': 'ServiceAccount', 'name': f'r{n}'} for n in range(12000)]
    refused(
        tmp_path, 'too many peers', linkerd('Server', {'podSelector': {}, 'port': 80}, 's'),
        linkerd('MeshTLSAuthentication', {'identities': names, 'identityRefs': references}, 't'),
        linkerd('AuthorizationPolicy', {'targetRef': {'kind': 'Server', 'name': 's'}, 'requiredAuthenticationRefs': [
            {'kind': 'MeshTLSAuthentication', 'name': 't'}]}))
    names = [identity('prod', f'n{n}') for n in range(3000)]
    refused(tmp_path, 'too many names of peers', istio('DestinationRule', {'host': 'x', 'trafficPolicy': {
        'tls': {'mode': 'ISTIO_MUTUAL', 'subjectAltNames': names}}}))


def test_many_rules_of_one_policy__are_soon_named(tmp_path):
    source = tmp_path / 'in.yaml'
    source.write_text(yaml.safe_dump_all([policy([{'from': [{'source': {'namespaces': [f'n{n}']}}]} for n in range(6000)])]))
    begin = time.monotonic()
    status, out, err = tool('import', source)
    assert (status, err) == (0, '') and out.count('[allow p-') == 5999 and '[allow p-6000]' in out
    assert time.monotonic() - begin < 60  # it took minutes when each name was searched from the first number
