# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that fairlead-agent import reads numbers, and words without quotes, as kubectl and the controllers do; or refuses them
where it is not known what was meant."""
import pytest
import yaml

from test_import_resources import refused
from test_tools import tool
from translation import LABELS, TD, identity, istio, linkerd, policy, translate  # noqa: F401

# What kubectl takes these for: 128, 80, 10, 16, 8080, 8080, 8080, 8080, and no port.
NUMBERS = ['0200', '080', '0012', '0o20', '0x1F90', '8_080', '+8080', '8080.0', '0', '-80', '65536', '1e3', 'on', 'null', '[80]']
STRICT = {'selector': {'matchLabels': {'app': 'api'}}, 'mtls': {'mode': 'STRICT'}}


def text_of(resource, word):
    """The word stands in place of the text PORT."""
    return yaml.safe_dump(resource).replace('PORT', word)


def imported(tmp_path, resource, word):
    """Exit status, and what the only [allow] says."""
    source = tmp_path / 'in.yaml'
    source.write_text(text_of(resource, word))
    status, out, _ = tool('import', source, *LABELS, '--trust-domain', TD)
    return status, out.partition('[allow ')[2].partition('\n')[2]


def port_levels(port='PORT'):
    return istio('PeerAuthentication', {**STRICT, 'portLevelMtls': {port: {'mode': 'DISABLE'}}})


def destination(port='PORT'):
    return istio('DestinationRule', {'host': 'db.other.svc.cluster.local', 'trafficPolicy': {
        'tls': {'mode': 'ISTIO_MUTUAL'}, 'portLevelSettings': [{'port': {'number': port}, 'tls': {'mode': 'DISABLE'}}]}})


def server(name='api', port=8080, **spec):
    return linkerd('Server', {'podSelector': {'matchLabels': {'app': 'api'}}, 'port': port, **spec}, name)


def everybody(name='api', port=8080, **spec):
    return server(name, port, accessPolicy='all-unauthenticated', **spec)


@pytest.mark.parametrize('word', NUMBERS)
@pytest.mark.parametrize('resource', [port_levels(), destination(), everybody(port='PORT')], ids=lambda resource: resource['kind'])
def test_port_that_kubectl_may_read_otherwise__is_refused(tmp_path, resource, word):
    assert refused(tmp_path, text_of(resource, word), f'{resource["kind"]} p: ' if resource['kind'] != 'Server' else 'Server api: ')


def test_port_in_decimal__is_read(translate):
    assert '[service port-200]\nport = 200\nmode = plaintext\n' in translate(port_levels(200)).out
    assert 'to = db.other.svc.cluster.local:120\nmode = plaintext\n' in translate(destination(120)).out
    assert translate(everybody(port=200)).lets_in('plaintext', 200)


def test_port_as_a_text(tmp_path, translate):
    # A key is a text for kubectl in any case, so quotes make no difference; a DestinationRule has no names of ports.
    assert 'port = 200\n' in translate(port_levels('200')).out and ':120\n' in translate(destination('120')).out
    for resource in (port_levels(), destination()):
        assert refused(tmp_path, text_of(resource, '"0200"'), f'{resource["kind"]} p: ')
    # Istio converts these itself, always in decimal.
    for rule in ({'to': [{'operation': {'ports': ['PORT']}}]}, {'when': [{'key': 'destination.port', 'values': ['PORT']}]}):
        for word, port in (('"0080"', 80), ('8080', 8080)):
            assert imported(tmp_path, policy([rule]), word) == (0, f'from = spiffe://{TD}/**\nto = {port}\n\n')


@pytest.mark.parametrize('name', ['http', '"8080"', '"08"', "'0x10'", '|-\n    8080'])
def test_server_of_a_port_by_name__admits_nobody(tmp_path, name):
    assert imported(tmp_path, everybody(port='PORT'), name) == (1, '')


UNKNOWN = {'matchExpressions': [{'key': 'tier', 'operator': 'Like'}]}


@pytest.mark.parametrize('other, is_rival', [
    (server('old', 'http'), True), (server('old', 'http', podSelector={}), True), (server('old', 'p8080'), True),
    (server('old', podSelector=UNKNOWN), True), (server('old', 'http', podSelector=UNKNOWN), True),
    # No port has such a name; these select other pods, or none; another port; another namespace.
    (server('old', '8080'), False), (server('old', 'http', podSelector={'matchLabels': {'app': 'x'}}), False),
    (server('old', 8081, podSelector=UNKNOWN), False), (linkerd('Server', {'externalWorkloadSelector': {}, 'port': 8080}, 'old'), False),
    (linkerd('Server', {'podSelector': {}, 'port': 'http'}, 'old', 'other'), False)])
@pytest.mark.parametrize('order', [1, -1])
def test_server_that_may_be_for_the_same_port__hides_another(translate, other, is_rival, order):
    proof = linkerd('AuthorizationPolicy', {'targetRef': {'group': 'policy.linkerd.io', 'kind': 'Server', 'name': 'api'},
                                            'requiredAuthenticationRefs': [{'kind': 'ServiceAccount', 'name': 'job'}]})
    spread = proof | {'metadata': {'name': 'all', 'namespace': 'prod'}, 'spec': {
        **proof['spec'], 'targetRef': {'kind': 'Namespace', 'name': 'prod'}}}
    done = translate(*[other, everybody(), proof, spread][::order], options=[*LABELS, '--namespace', 'prod'])
    assert done.lets_in(identity('web', 'x'), 8080) != is_rival and ('[allow' in done.out) != is_rival, done.out
    assert ('the Server old is for the same port, or may be' in done.err) == is_rival


def test_server_of_pods_that_are_not_known__hides_another(translate):
    done = translate(server('old'), everybody(podSelector={}), options=[])
    assert done.status == 1 and not done.lets_in('plaintext', 8080) and '[allow' not in done.out


@pytest.mark.parametrize('word', ['0120', '080', 'on', 'y', '1e3', '8_080', '1' * 16])
@pytest.mark.parametrize('resource', [
    policy([{'to': [{'operation': {'ports': ['PORT']}}]}]), policy([{'to': [{'operation': {'notPorts': ['PORT']}}]}], action='DENY'),
    policy([{'from': [{'source': {'namespaces': ['PORT']}}]}]), policy([{'when': [{'key': 'destination.port', 'values': ['80', 'PORT']}]}]),
    istio('DestinationRule', {'host': 'PORT', 'trafficPolicy': {'tls': {'mode': 'DISABLE'}}}),
    linkerd('MeshTLSAuthentication', {'identities': ['PORT']}, 'friends'),
    linkerd('MeshTLSAuthentication', {'identityRefs': [{'kind': 'ServiceAccount', 'name': 'PORT'}]}, 'friends'),
    linkerd('MeshTLSAuthentication', {'identityRefs': [{'kind': 'Namespace', 'name': 'x', 'namespace': 'PORT'}]}, 'friends'),
    linkerd('AuthorizationPolicy', {'targetRef': {'kind': 'Server', 'name': 'PORT'}, 'requiredAuthenticationRefs': []}),
    linkerd('AuthorizationPolicy', {'targetRef': {'kind': 'Server', 'name': 'api'},
                                    'requiredAuthenticationRefs': [{'kind': 'ServiceAccount', 'name': 'PORT'}]})])
def test_word_that_is_no_text_for_kubectl__is_refused(tmp_path, resource, word):
    more = [server(), linkerd('AuthorizationPolicy', {
        'targetRef': {'kind': 'Server', 'name': 'api'}, 'requiredAuthenticationRefs': [{'kind': 'MeshTLSAuthentication', 'name': 'friends'}]},
        'asks')] if resource['kind'] == 'MeshTLSAuthentication' else [server()]
    text = yaml.safe_dump_all([resource, *more])
    assert refused(tmp_path, text.replace('PORT', word), 'must be a text')
    source = tmp_path / 'text.yaml'
    for same in (f'"{word}"', '120'):
        source.write_text(text.replace('PORT', same))
        assert tool('import', source, *LABELS, '--trust-domain', TD)[0] in (0, 1)


@pytest.mark.parametrize('value', ['!!str 8080', '! 8080', '!<tag:yaml.org,2002:str> 8080', '&x !!str 8080'])
def test_tag_that_makes_a_text_of_a_number__is_refused(tmp_path, value):
    assert refused(tmp_path, text_of(everybody(port='PORT'), value), 'tag')


def test_tag_that_changes_nothing__is_read(tmp_path):
    source = tmp_path / 'in.yaml'
    source.write_text(text_of(everybody(port='PORT'), '8080').replace('name: api', 'name: !!str "api"').replace(
        'metadata:', 'metadata: !!map'))
    assert '!!' in source.read_text()
    status, out, err = tool('import', source, *LABELS)
    assert (status, err) == (0, '') and '[allow api]' in out


# What `<<` stands for replaces the keys before it, says kubectl; it does not, says YAML.
def test_merge_key_behind_the_same_key__is_refused(tmp_path):
    base = 'base: &base {action: DENY, rules: [{}]}\n'
    head = 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: prod}\n'
    for spec in ('{action: ALLOW, <<: *base}', '{action: ALLOW, <<: [{x: 1}, *base]}', '{rules: [], <<: {<<: *base}}'):
        assert refused(tmp_path, f'{head}{base}spec: {spec}\n', 'write `<<` first')
    source = tmp_path / 'first.yaml'
    for spec, rule in (('{<<: *base, action: ALLOW}', '[allow p]'), ('{selector: {}, <<: *base}', '[deny p]'),
                       ('{<<: [{action: ALLOW}, *base], rules: [{}]}', '[allow p]')):
        source.write_text(f'{head}{base}spec: {spec}\n')
        status, out, err = tool('import', source, *LABELS)
        assert (status, err) == (0, '') and rule in out, out


def test_merge_key_in_quotes__is_a_key_like_any_other(tmp_path):
    source = tmp_path / 'in.json'
    source.write_text('{"apiVersion": "policy.linkerd.io/v1beta3", "kind": "Server", "metadata": {"name": "api", "namespace": "prod"}, "spec": '
                      '{"podSelector": {}, "port": 8080, "<<": {"accessPolicy": "all-unauthenticated"}}}')
    status, out, err = tool('import', source)
    assert status == 1 and '`<<`' in err and '[allow' not in out
