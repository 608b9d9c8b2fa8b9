# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent import with policies of Linkerd."""
import pytest
import yaml

from test_tools import tool
from translation import LABELS, identity, linkerd, translate  # noqa: F401

def server(port=8080, **spec):
    return linkerd('Server', {'podSelector': {'matchLabels': {'app': 'api'}}, 'port': port, **spec}, 'api')


def authorize(*proofs, target=None):
    return linkerd('AuthorizationPolicy', {
        'targetRef': target or {'group': 'policy.linkerd.io', 'kind': 'Server', 'name': 'api'},
        'requiredAuthenticationRefs': [{'group': 'policy.linkerd.io', 'kind': kind, 'name': name} for kind, name in proofs]})


TLS = linkerd('MeshTLSAuthentication', {
    'identities': ['front.web.serviceaccount.identity.linkerd.cluster.local', '*.ops.serviceaccount.identity.linkerd.cluster.local'],
    'identityRefs': [{'kind': 'ServiceAccount', 'name': 'api'}]}, 'friends')
NET = linkerd('NetworkAuthentication', {'networks': [{'cidr': '10.0.0.0/8', 'except': ['10.9.0.0/16']}]}, 'near')


def test_linkerd(translate):
    done = translate(server(), TLS, NET, authorize(('MeshTLSAuthentication', 'friends'), ('NetworkAuthentication', 'near')))
    assert done.status == 0 and '[service api]\nport = 8080\n' in done.out
    for one in ('web/front', 'ops/x', 'prod/api'):
        assert done.lets_in(identity(*one.split('/')), 8080)
        assert not done.lets_in(identity(*one.split('/')), 8080, '10.9.0.1')
        assert not done.lets_in(identity(*one.split('/')), 8081)
    assert not done.lets_in(identity('web', 'back'), 8080)


def test_linkerd__namespace_and_account(translate):
    done = translate(server(), server(9) | {'metadata': {'name': 'other', 'namespace': 'prod'}},
                     authorize(('ServiceAccount', 'job'), target={'kind': 'Namespace', 'name': 'prod'}))
    assert done.status == 0 and done.lets_in(identity('prod', 'job'), 9) and not done.lets_in(identity('web', 'job'), 9)
    # What a port without a Server admits, the cluster decides; perhaps nothing.
    assert done.lets_in(identity('prod', 'job'), 8080) and not done.lets_in(identity('prod', 'job'), 10)


@pytest.mark.parametrize('resources', [
    [server(), authorize(('MeshTLSAuthentication', 'friends'))], [TLS, authorize(('MeshTLSAuthentication', 'friends'))],
    [server('http'), TLS, authorize(('MeshTLSAuthentication', 'friends'))],
    [server(), TLS, authorize(('MeshTLSAuthentication', 'friends'), ('ServiceAccount', 'x'))],
    [server(), TLS, authorize(('MeshTLSAuthentication', 'friends'), target={'kind': 'HTTPRoute', 'name': 'x'})],
    [server(), linkerd('MeshTLSAuthentication', {'identities': ['somebody.example']}, 'friends'),
     authorize(('MeshTLSAuthentication', 'friends'))]])
def test_linkerd__what_cannot_be_said__lets_nobody_in(translate, resources):
    done = translate(*resources)
    assert done.status == 1 and '[allow' not in done.out
    assert not done.lets_in(identity('web', 'front'), 8080)


@pytest.mark.parametrize('name, mine, others', [
    ('*', ['web/front', 'x/y'], []), ('*.serviceaccount.identity.linkerd.cluster.local', ['web/front'], []),
    ('front.web.serviceaccount.identity.linkerd.cluster.local', ['web/front'], ['web/back']),
    # Of another cluster: its peers, not ours with the same name.
    ('front.web.serviceaccount.identity.linkerd.partner.example', [], ['web/front'])])
def test_linkerd__identities(translate, name, mine, others):
    done = translate(server(), linkerd('MeshTLSAuthentication', {'identities': [name]}, 'friends'),
                     authorize(('MeshTLSAuthentication', 'friends')))
    assert done.status == 0, done.err
    for one in mine + others:
        assert done.lets_in(identity(*one.split('/')), 8080) == (one in mine), done.out
    assert done.lets_in('spiffe://partner.example/ns/web/sa/front', 8080) == (name.endswith('partner.example'))


@pytest.mark.parametrize('name', ['f*.web.serviceaccount.identity.linkerd.cluster.local', 'spiffe://prod.example/ns/*/sa/front',
                                  '*.*.serviceaccount.identity.linkerd.cluster.local', 'front.web', '*.example', ''])
def test_linkerd__identity_without_counterpart__admits_nobody(translate, name):
    done = translate(server(), linkerd('MeshTLSAuthentication', {'identities': [name]}, 'friends'),
                     authorize(('MeshTLSAuthentication', 'friends')))
    assert done.status == 1 and '[allow' not in done.out


def test_linkerd__networks_without_identity__admit_plaintext(translate):
    done = translate(server(), NET, authorize(('NetworkAuthentication', 'near')))
    assert done.status == 0 and done.lets_in('plaintext', 8080) and done.lets_in(identity('x', 'y'), 8080)
    assert not done.lets_in('plaintext', 8080, '10.9.0.1') and not done.lets_in('plaintext', 8081)


@pytest.mark.parametrize('word, web, plaintext', [('deny', False, False), ('all-authenticated', True, False),
                                                  ('all-unauthenticated', True, True), ('audit', False, False),
                                                  ('cluster-authenticated', False, False)])
def test_linkerd__access_policy(translate, word, web, plaintext):
    done = translate(server(accessPolicy=word))
    assert (done.status == 0) == (word in ('deny', 'all-authenticated', 'all-unauthenticated'))
    assert done.lets_in(identity('web', 'front'), 8080) == web and done.lets_in('plaintext', 8080) == plaintext
    assert not done.lets_in(identity('web', 'front'), 8081)


@pytest.mark.parametrize('selector, is_ours', [
    ({'matchExpressions': [{'key': 'app', 'operator': 'In', 'values': ['x', 'api']}]}, True), ({}, True),
    ({'matchExpressions': [{'key': 'app', 'operator': 'NotIn', 'values': ['api']}]}, False),
    ({'matchExpressions': [{'key': 'app', 'operator': 'DoesNotExist'}]}, False),
    ({'matchExpressions': [{'key': 'tier', 'operator': 'Exists'}], 'matchLabels': {'app': 'api'}}, True),
    ({'matchExpressions': [{'key': 'tier', 'operator': 'Like'}]}, None)])
def test_linkerd__selectors(translate, selector, is_ours):
    done = translate(server(podSelector=selector, accessPolicy='all-authenticated'))
    assert (done.status == 1) == (is_ours is None)
    assert done.lets_in(identity('web', 'front'), 8080) == (is_ours is True), done.out


def test_linkerd__two_servers_of_a_port__admit_nobody(translate):
    other = server(accessPolicy='all-authenticated') | {'metadata': {'name': 'other', 'namespace': 'prod'}}
    done = translate(server(), other, TLS, authorize(('MeshTLSAuthentication', 'friends')))
    assert done.status == 1 and '[allow' not in done.out


def test_linkerd__not_valid__is_refused(tmp_path):
    for proofs in ({}, {'requiredAuthenticationRefs': None}, {'requiredAuthenticationRefs': {'kind': 'x'}}):
        source = tmp_path / 'in.yaml'
        source.write_text(yaml.safe_dump_all([server(), linkerd('AuthorizationPolicy', {
            'targetRef': {'kind': 'Server', 'name': 'api'}, **proofs})]))
        status, out, err = tool('import', source, *LABELS)
        assert (status, out) == (2, '') and err.startswith(f'{source}:') and 'requiredAuthenticationRefs' in err


@pytest.mark.parametrize('reference', [{'kind': 'ServiceAccount', 'name': '*'}, {'kind': 'Namespace', 'name': '*'},
                                       {'kind': 'ServiceAccount', 'name': 'api', 'namespace': '*'}, {'kind': 'Namespace', 'name': 'a/b'}])
def test_linkerd__names_of_accounts_have_no_wildcards(translate, reference):
    done = translate(server(), linkerd('MeshTLSAuthentication', {'identityRefs': [reference]}, 'friends'),
                     authorize(('MeshTLSAuthentication', 'friends')))
    assert done.status == 1 and '[allow' not in done.out
    assert translate(server(), authorize(('ServiceAccount', '*'))).status == 1


@pytest.mark.parametrize('network', [{'cidr': '::ffff:10.0.0.0/24'}, {'cidr': '::ffff:10.0.0.0/104'}, {'cidr': '10.0.0.0/08'},
                                     {'cidr': '10.0.0.0/8', 'except': ['::ffff:10.9.0.0/112']}, {'cidr': None}])
def test_linkerd__network_that_is_none__admits_nobody(translate, network):
    done = translate(server(), linkerd('NetworkAuthentication', {'networks': [network]}, 'near'),
                     authorize(('NetworkAuthentication', 'near')))
    assert done.status == 1 and '[allow' not in done.out
