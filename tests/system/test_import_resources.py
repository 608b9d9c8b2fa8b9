# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent import with resources that Kubernetes would not accept: what they deny must not be lost because they
are taken for another workload's."""
import pytest
import yaml

from test_tools import tool
from translation import LABELS, TD, identity, istio, linkerd, policy, translate  # noqa: F401

BAD = {'rules': [{'from': [{'source': {'namespaces': ['bad']}}]}], 'action': 'DENY'}
EVERYONE = policy([{}])


def deny(**metadata):
    one = istio('AuthorizationPolicy', BAD, 'd')
    one['metadata'].update(metadata)
    return one


def text_of(*resources):
    return yaml.safe_dump_all(resources)


def refused(tmp_path, text, said, options=()):
    source = tmp_path / 'in.yaml'
    source.write_text(text)
    status, out, err = tool('import', source, *LABELS, '--namespace', 'prod', '--trust-domain', TD, *options)
    assert (status, out) == (2, '') and said in err, err
    return all(line.startswith((f'{source}:', 'fairlead-agent import: ')) for line in err.splitlines())


# --- namespaces and names -------------------------------------------------------------------------

@pytest.mark.parametrize('word', ['null', '~', 'Null', 'NULL', '', '""'])
def test_namespace_without_a_value__is_the_workloads(tmp_path, translate, word):
    source = tmp_path / 'null.yaml'
    source.write_text(text_of(EVERYONE, deny()).replace('name: d\n  namespace: prod', f'name: d\n  namespace: {word}'))
    assert f'namespace: {word}\n' in source.read_text()
    status, out, err = tool('import', source)
    assert (status, err) == (0, '') and '[deny d]\nfrom = spiffe://cluster.local/ns/bad/sa/*\n' in out


@pytest.mark.parametrize('ns', [['prod'], {'x': 'prod'}, 7, True, 'Prod', 'prod.x', 'prod ', '-prod', 'a' * 64])
def test_namespace_that_is_none__is_refused(tmp_path, ns):
    assert refused(tmp_path, text_of(EVERYONE, deny(namespace=ns)), '`namespace`')


@pytest.mark.parametrize('name', [None, ['d'], 7, 'D', 'd_d', '', 'd.', '.d', 'd..d', 'a' * 254])
def test_name_that_is_none__is_refused(tmp_path, name):
    assert refused(tmp_path, text_of(EVERYONE, deny(name=name)), '`name`')


def test_metadata(tmp_path, translate):
    for metadata in ([{'name': 'd', 'namespace': 'prod'}], 'd', None):
        assert refused(tmp_path, text_of(EVERYONE, istio('AuthorizationPolicy', BAD) | {'metadata': metadata}), '`metadata`')
    # Dry run would lose the denial.
    for note in ({'istio.io/dry-run': True}, {'istio.io/dry-run': ['true']}, {'istio.io/dry-run': None}, ['istio.io/dry-run']):
        assert refused(tmp_path, text_of(EVERYONE, deny(annotations=note)), 'dry-run' if isinstance(note, dict) else '`annotations`')
    done = translate(EVERYONE, deny(annotations=None, labels=None))
    assert done.status == 0 and not done.lets_in(identity('bad', 'x'), 80)
    unnamed = deny(generateName='d-')
    del unnamed['metadata']['name']
    done = translate(EVERYONE, unnamed)
    assert done.status == 0 and not done.lets_in(identity('bad', 'x'), 80)


# --- lists ----------------------------------------------------------------------------------------

BARE = {'metadata': {'name': 'd', 'namespace': 'prod'}, 'spec': BAD}
GROUP = 'security.istio.io/v1'


@pytest.mark.parametrize('resource', [
    deny() | {'items': []}, deny() | {'items': None}, deny() | {'items': {}}, EVERYONE | {'items': [deny()]},
    {'apiVersion': 'example.org/v1', 'kind': 'Bag', 'items': [deny()]},
    {'apiVersion': 'v1', 'kind': 'List', 'items': [BARE]}, {'apiVersion': 'v1', 'kind': 'List', 'items': {'a': deny()}},
    {'apiVersion': 'v1', 'kind': 'List', 'items ': [deny()]}, {'apiVersion': 'v1', 'kind': 'List', 'items': [None]},
    {'apiVersion': GROUP, 'kind': 'AuthorizationPolicyList', 'spec': BAD}, {'items': [deny()]},
    {'apiVersion': GROUP, 'kind': 'AuthorizationPolicyList', 'items': [BARE | {'kind': 'AuthorizationPolicy'}]},
    {'apiVersion': 'example.org/v1', 'kind': 'AuthorizationPolicyList', 'items': [BARE]},
    BARE, BARE | {'kind': 'AuthorizationPolicy'}, BARE | {'apiVersion': GROUP}, deny() | {'kind': ['AuthorizationPolicy']},
    deny() | {'apiVersion': None}, deny() | {'kind': None}, deny() | {'apiVersion': 'networking.istio.io/v1'},
    deny() | {'apiVersion': 'security.istio.io'}, deny() | {'apiVersion': 'linkerd.io/v1'}, deny() | {'apiVersion': 'x.security.istio.io/v1'},
    deny() | {'kind': 'Server'}, deny() | {'apiVersion': 'policy.linkerd.io/v1', 'kind': 'DestinationRule'}])
def test_resource_that_is_none__is_not_skipped(tmp_path, resource):
    assert refused(tmp_path, text_of(EVERYONE, resource), ': ')


@pytest.mark.parametrize('items, denied', [([BARE], True), ([deny()], True), ([], False), (None, False)])
def test_items_of_a_list__are_of_its_kind(translate, items, denied):
    done = translate(EVERYONE, {'apiVersion': GROUP, 'kind': 'AuthorizationPolicyList', 'items': items},
                     {'apiVersion': 'example.org/v1', 'kind': 'DenyList', 'spec': {}})
    assert done.status == 0 and done.lets_in(identity('bad', 'x'), 80) != denied


def test_kind_that_is_not_known__may_mean_anything(translate):
    done = translate(deny() | {'kind': 'AuthorisationPolicy'})
    assert done.status == 1 and not done.lets_in(identity('bad', 'x'), 80)
    assert translate(istio('RequestAuthentication', {})).lets_in(identity('bad', 'x'), 80)


# --- selectors ------------------------------------------------------------------------------------

@pytest.mark.parametrize('labels', [{'app': ['api']}, {'app': None}, {'app': 7}, {'app': True}, {'app': {}}, {'app': 'a*'}, {'*': 'api'},
                                    {'': 'api'}, ['app'], 'app=api', None])
def test_selector_that_is_none__is_refused(tmp_path, labels):
    selector = {'matchLabels': labels}
    for resource in (istio('AuthorizationPolicy', {**BAD, 'selector': selector}, 'd'),
                     istio('PeerAuthentication', {'selector': selector, 'mtls': {'mode': 'STRICT'}}, 'd'),
                     istio('DestinationRule', {'host': 'x', 'workloadSelector': selector, 'trafficPolicy': {}}, 'd'),
                     linkerd('Server', {'podSelector': selector, 'port': 80}, 'd')):
        for options in ([], ['--labels', 'app=api']):
            assert refused(tmp_path, text_of(EVERYONE, resource), f'{resource["kind"]} d: ', options)


# What kubectl makes of these (goyaml.v2/resolve.go of kubernetes-sigs/yaml).
TYPED = ['on', 'no', 'y', 'Y', 'n', 'N', 'True', '1', '-1', '007', '08', '1_000', '1.5', '1.', '1e3', '0x1', '0X1F', '0b1', '0B1',
         '0b-1', '0o7', '0O7', '9' * 63, '.5', '.inf', '-.inf']
TEXTS = ['yn', 'oN', 'nan', '1-2', '1.5.0', '0b2', '0b', '0o8', '0xg', '1e', '123e4567', '2001-01-01', 'b1']


def labelled(key, value):
    selected = istio('AuthorizationPolicy', {**BAD, 'selector': {'matchLabels': {'KEY': 'WORD'}}}, 'd')
    return text_of(selected).replace('KEY', key).replace('WORD', value)


@pytest.mark.parametrize('word', TYPED)
def test_label_that_is_no_text_without_quotes(tmp_path, word):
    assert refused(tmp_path, labelled('app', word), '`app`')
    assert refused(tmp_path, labelled(word, 'app'), f'`{word}`')
    source = tmp_path / 'in.yaml'
    for key, value in (('app', word), (word, 'app')):
        source.write_text(labelled(f'"{key}"', f'"{value}"'))
        status, out, _ = tool('import', source, '--labels', f'{key}={value}')
        assert status == 0 and '[deny d]' in out


@pytest.mark.parametrize('word', TEXTS)
def test_label_that_is_a_text_without_quotes(tmp_path, word):
    source = tmp_path / 'in.yaml'
    source.write_text(labelled('app', word))
    status, out, _ = tool('import', source, '--labels', f'app={word}')
    assert status == 0 and '[deny d]' in out


def test_expressions__are_unknown_to_istio(translate):
    selector = {'selector': {'matchExpressions': [{'key': 'app', 'operator': 'In', 'values': ['other']}]}}
    done = translate(EVERYONE, istio('AuthorizationPolicy', {**BAD, **selector}, 'd'))
    assert done.status == 1 and not done.lets_in(identity('bad', 'x'), 80) and 'matchExpressions' in done.err
    done = translate(policy([{}], **selector))
    assert done.status == 1 and not done.lets_in(identity('web', 'x'), 80)


@pytest.mark.parametrize('expressions', [
    {'key': 'app', 'operator': 'Exists'}, 'app', ['app'], [{'key': 'app'}], [{'operator': 'Exists'}], [{'key': 7, 'operator': 'Exists'}],
    [{'key': 'app', 'operator': 'In'}], [{'key': 'app', 'operator': 'NotIn', 'values': []}],
    [{'key': 'app', 'operator': 'In', 'values': 'api'}], [{'key': 'app', 'operator': 'In', 'values': [None]}],
    [{'key': 'app', 'operator': 'Exists', 'values': ['api']}]])
def test_expressions_that_are_none__are_refused(tmp_path, expressions):
    server = linkerd('Server', {'podSelector': {'matchExpressions': expressions}, 'port': 80}, 's')
    assert refused(tmp_path, text_of(server), 'Server s: ')


# --- the same resource twice ----------------------------------------------------------------------

@pytest.mark.parametrize('other', [
    policy([{'from': [{'source': {'namespaces': ['web']}}]}]),
    policy([{}]) | {'apiVersion': 'security.istio.io/v1beta1', 'spec': {'rules': []}},
    policy([{}]) | {'metadata': {'name': 'p', 'namespace': 'prod', 'annotations': {'istio.io/dry-run': 'true'}}},
    policy([{}]) | {'metadata': {'name': 'p'}, 'spec': {}},
    policy([{}]) | {'metadata': {'name': 'p', 'namespace': 'prod', 'creationTimestamp': '2024-01-01T00:00:00Z'}}])
def test_resource_that_occurs_twice_and_differs__is_refused(tmp_path, other):
    for order in (1, -1):
        assert refused(tmp_path, text_of(*[policy([{}]), istio('PeerAuthentication', {}), other][::order]), 'AuthorizationPolicy p: ')
    server = linkerd('Server', {'podSelector': {}, 'port': 80}, 's')
    assert refused(tmp_path, text_of(server, server | {'spec': {'podSelector': {}, 'port': 81}}), 'Server s: ')


def test_resource_that_occurs_twice__is_read_once(tmp_path):
    rule = {'from': [{'source': {'namespaces': ['web'], 'ipBlocks': ['10.0.0.0/8']}}]}
    source = tmp_path / 'in.yaml'
    source.write_text(text_of(policy([rule]), policy([rule]) | {'apiVersion': 'security.istio.io/v1beta1'}) +
                      '---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {namespace: prod, name: p}, spec: '
                      '{rules: [{from: [{source: {ipBlocks: ["10.0.0.0/8"], namespaces: [web]}}]}]}}\n')
    status, out, err = tool('import', source)
    assert (status, err) == (0, '') and out.count('[allow') == 1


def test_resources_that_are_their_own_parts__are_not_compared_for_ever(tmp_path):
    one = 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: &x {rules: [*x]}\n'
    assert refused(tmp_path, f'{one}---\n{one}', 'differs')


# --- texts that others read differently ------------------------------------------------------------

@pytest.mark.parametrize('old, new, said', [('/sa/x', '/sa/x\\0y', 'zero byte'), ('prod', 'prod\\0', 'zero byte'), ('rules', 'ru\\x00les', 'zero byte')])
def test_zero_byte__is_refused(tmp_path, old, new, said):
    text = ('apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: "prod"}\n'
            'spec: {"rules": [{from: [{source: {principals: ["cluster.local/ns/a/sa/x"]}}]}]}\n')
    assert refused(tmp_path, text.replace(old, new), said)


@pytest.mark.parametrize('value', ['!!binary cHJvZA==', '!own prod', '!!int "7"'])
def test_tag__is_refused(tmp_path, value):
    assert refused(tmp_path, text_of(EVERYONE, deny()).replace('namespace: prod', f'namespace: {value}'), 'tag')
