# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent import, which turns Istio's and Linkerd's policies into an INI. It names whatever it cannot
express, and never admits a peer that the original refuses. `explain` tells what an INI means."""
import ipaddress
import json
import random

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
        source, self.ini = tmp_path / 'in.yaml', tmp_path / 'out.ini'
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


# --- Istio: which peers are admitted --------------------------------------------------------------

@pytest.mark.parametrize('source, ids, others', [
    ({'principals': ['cluster.local/ns/web/sa/front']}, ['web/front'], ['web/back', 'ops/front']),
    ({'principals': [f'{TD}/ns/web/sa/front', 'spiffe://prod.example/ns/web/sa/back']}, ['web/front', 'web/back'],
     ['ops/x']),
    ({'principals': ['cluster.local/ns/web/*']}, ['web/front', 'web/back'], ['ops/x']),
    ({'principals': ['*/sa/front']}, ['web/front', 'ops/front'], ['web/back']),
    ({'principals': ['*/ns/web/sa/front']}, ['web/front'], ['ops/front']),
    ({'principals': ['*']}, ['web/front', 'ops/x'], []),
    ({'namespaces': ['web', 'ops']}, ['web/front', 'ops/x'], ['prod/api']),
    ({'serviceAccounts': ['web/front', 'api']}, ['web/front', 'prod/api'], ['web/api', 'web/back']),
    ({'notPrincipals': ['cluster.local/ns/web/sa/front']}, ['web/back', 'ops/x'], ['web/front']),
    ({'namespaces': ['web'], 'notPrincipals': ['*/sa/front']}, ['web/back'], ['web/front', 'ops/x']),
    ({'notNamespaces': ['web']}, ['ops/x'], ['web/front']),
])
def test_istio__sources(translate, source, ids, others):
    done = translate(policy([{'from': [{'source': source}]}]))
    assert done.status == 0
    for one in ids:
        assert done.lets_in(identity(*one.split('/')), 80), done.out
    for one in others:
        assert not done.lets_in(identity(*one.split('/')), 80), done.out


def test_istio__addresses_and_ports(translate):
    done = translate(policy([{'from': [{'source': {'ipBlocks': ['10.0.0.0/8'], 'notIpBlocks': ['10.9.0.0/16']}}],
                              'to': [{'operation': {'ports': ['80', '443']}}, {'operation': {'notPorts': ['1', '80']}}],
                              'when': [{'key': 'source.namespace', 'values': ['web']}]}]))
    web = identity('web', 'front')
    assert done.status == 0
    assert done.lets_in(web, 80) and done.lets_in(web, 443) and done.lets_in(web, 2)
    assert not done.lets_in(web, 1) and not done.lets_in(web, 80, '10.9.0.1') and not done.lets_in(web, 80, '11.0.0.1')
    assert not done.lets_in(identity('ops', 'x'), 80)


@pytest.mark.parametrize('resources, web, plaintext', [
    # Without an ALLOW policy, every peer is admitted that no DENY policy refuses.
    ([PERMISSIVE], True, True),
    ([PERMISSIVE, policy([{'from': [{'source': {'namespaces': ['ops']}}]}], action='DENY')], True, True),
    # A policy that admits no peer still means that only named peers are admitted.
    ([PERMISSIVE, policy([])], False, False),
    ([PERMISSIVE, policy([{}])], True, True),
    ([PERMISSIVE, policy([{'from': [{'source': {'principals': ['*']}}]}])], True, False),
    ([PERMISSIVE, policy([{'from': [{'source': {'notPrincipals': ['*']}}]}])], False, True),
    ([PERMISSIVE, policy([{'from': [{'source': {'notPrincipals': ['*']}}]}], action='DENY')], True, False),
    # These policies belong to another workload and another namespace.
    ([PERMISSIVE, policy([], selector={'matchLabels': {'app': 'other'}})], True, True),
    ([PERMISSIVE, policy([{}]), istio('AuthorizationPolicy', {'rules': []}, ns='elsewhere')], True, True),
    # Policies in the mesh's own namespace apply to all workloads.
    ([PERMISSIVE, policy([{}]), istio('AuthorizationPolicy', {'rules': [{}], 'action': 'DENY'}, ns='istio-system')],
     False, False)])
def test_istio__whom_a_policy_is_about(translate, resources, web, plaintext):
    done = translate(*resources, options=[*LABELS, '--namespace', 'prod'])
    assert done.status == 0
    assert done.lets_in(identity('web', 'front'), 80) == web, done.out
    assert done.lets_in('plaintext', 80) == plaintext, done.out


# --- Istio: what the INI cannot express -----------------------------------------------------------

@pytest.mark.parametrize('rule', [
    {'to': [{'operation': {'methods': ['GET']}}]}, {'to': [{'operation': {'paths': ['/x']}}]},
    {'from': [{'source': {'requestPrincipals': ['*']}}]}, {'from': [{'source': {'remoteIpBlocks': ['10.0.0.0/8']}}]},
    {'from': [{'source': {'principals': ['cluster.local/ns/web/sa/fr*']}}]},
    {'from': [{'source': {'namespaces': ['we*']}}]},
    {'from': [{'source': {'principals': ['cluster.local/ns/web/sa/front'], 'namespaces': ['web']}}]},
    {'when': [{'key': 'request.headers[x]', 'values': ['y']}]},
    {'when': [{'key': 'connection.sni', 'notValues': ['y']}]},
    {'from': [{'source': {'somethingNew': ['x']}}]}, {'somethingNew': 1},
    {'to': [{'operation': {'ports': ['http']}}]}, {'from': [{'source': {'ipBlocks': ['x']}}]},
    {'from': [{'source': {'notNamespaces': ['w*b']}}]}])
def test_istio__what_cannot_be_said__takes_the_careful_side(translate, rule):
    web = identity('web', 'front')
    done = translate(PERMISSIVE, policy([rule]))
    assert done.status == 1 and 'AuthorizationPolicy p:' in done.err
    assert not done.lets_in(web, 80) and not done.lets_in('plaintext', 80), done.out
    done = translate(PERMISSIVE, policy([{}]), istio('AuthorizationPolicy', {'rules': [rule], 'action': 'DENY'}, 'd'))
    assert done.status == 1 and 'AuthorizationPolicy d:' in done.err
    assert not done.lets_in(web, 80), done.out


@pytest.mark.parametrize('resource', [
    policy([{}], action='CUSTOM', provider={'name': 'x'}), policy([{}], action='AUDIT'),
    istio('RequestAuthentication', {'jwtRules': []}), istio('DestinationRule', {'host': '*.example'}) | {
        'spec': {'host': '*.example', 'trafficPolicy': {'tls': {'mode': 'ISTIO_MUTUAL'}}}},
    istio('DestinationRule', {'host': 'x', 'trafficPolicy': {'tls': {'mode': 'SIMPLE'}}}),
    istio('DestinationRule', {'host': 'x', 'subsets': [{'name': 'v1'}]}),
    linkerd('HTTPLocalRateLimitPolicy', {}), linkerd('ServerAuthorization', {})])
def test_resources_without_a_counterpart__are_named(translate, resource):
    done = translate(resource)
    assert done.status == 1 and f'{resource["kind"]} p:' in done.err
    assert '[allow' not in done.out and '[upstream' not in done.out


def test_workload_not_known__nothing_is_let_in_that_may_be_refused(translate):
    mine = {'selector': {'matchLabels': {'app': 'api'}}}
    done = translate(PERMISSIVE, policy([{}], **mine), istio('PeerAuthentication', {**mine, 'mtls': {'mode': 'STRICT'}}),
                     options=[])
    assert done.status == 1 and done.err.count('--labels') == 2
    assert not done.lets_in(identity('web', 'front'), 80) and 'mode = strict' in done.out
    done = translate(PERMISSIVE, policy([{}]), istio('AuthorizationPolicy', {**mine, 'rules': [{}], 'action': 'DENY'}, 'd'),
                     options=[])
    assert done.status == 1 and not done.lets_in(identity('web', 'front'), 80)


# --- Istio: modes and destinations ----------------------------------------------------------------

@pytest.mark.parametrize('modes, expected', [
    ({}, 'strict'), ({'mesh': 'PERMISSIVE'}, 'permissive'), ({'mesh': 'PERMISSIVE', 'prod': 'STRICT'}, 'strict'),
    ({'mesh': 'STRICT', 'prod': 'UNSET'}, 'strict'), ({'mesh': 'STRICT', 'prod': 'PERMISSIVE', 'api': 'DISABLE'}, 'plaintext')])
def test_peer_authentication__most_specific_wins(translate, modes, expected):
    resources = [policy([{}])]
    for where, mode in modes.items():
        spec = {'mtls': {'mode': mode}}
        if where == 'api':
            spec['selector'] = {'matchLabels': {'app': 'api'}}
        resources.append(istio('PeerAuthentication', spec, where, 'istio-system' if where == 'mesh' else 'prod'))
    for order in (resources, resources[::-1]):
        assert f'[inbound]\nmode = {expected}\n' in translate(*order).out


def test_peer_authentication__ports(translate):
    spec = {'selector': {'matchLabels': {'app': 'api'}}, 'portLevelMtls': {8081: {'mode': 'DISABLE'}, 9000: {'mode': 'STRICT'}}}
    done = translate(PERMISSIVE, istio('PeerAuthentication', spec), policy([{'to': [{'operation': {'ports': ['8081']}}]}]))
    assert done.status == 0
    assert done.lets_in('plaintext', 8081) and not done.lets_in('plaintext', 9000)


def test_destination_rule(translate):
    tls = {'mode': 'ISTIO_MUTUAL', 'subjectAltNames': ['spiffe://cluster.local/ns/prod/sa/ledger']}
    done = translate(istio('DestinationRule', {'host': 'ledger', 'trafficPolicy': {
        'tls': tls, 'portLevelSettings': [{'port': {'number': 9090}, 'tls': {'mode': 'DISABLE'}}]}}, 'ledger'))
    assert done.status == 0
    assert 'to = ledger.prod.svc.cluster.local:*\nmode = mtls\npeer = ' + identity('prod', 'ledger') in done.out
    assert 'to = ledger.prod.svc.cluster.local:9090\nmode = plaintext\n' in done.out
    # A name that no peer can prove admits no peer, not every peer.
    tls['subjectAltNames'] = ['ledger.example']
    done = translate(istio('DestinationRule', {'host': 'ledger', 'trafficPolicy': {'tls': tls}}))
    assert done.status == 1 and 'mode = refuse' in done.out


# --- Linkerd --------------------------------------------------------------------------------------

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
    done = translate(server(), authorize(('ServiceAccount', 'job'), target={'kind': 'Namespace', 'name': 'prod'}))
    assert done.status == 0 and done.lets_in(identity('prod', 'job'), 9) and not done.lets_in(identity('web', 'job'), 9)


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


# --- files ----------------------------------------------------------------------------------------

def test_list_and_json__are_read(tmp_path):
    source = tmp_path / 'list.json'
    source.write_text(json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [
        policy([{'from': [{'source': {'namespaces': ['web']}}]}]), {'apiVersion': 'v1', 'kind': 'Service'}]}))
    status, out, err = tool('import', source)
    assert (status, err) == (0, '') and 'from = spiffe://cluster.local/ns/web/sa/*' in out


@pytest.mark.parametrize('text, said', [
    ('{{ .Values.x }}: [', ': this is no YAML'), ('a: b\n  c: [', 'this is no YAML'), ('a: &x 1\nb: *y\n', 'undefined alias'),
    ('', 'none of the files'), ('kind: Deployment\napiVersion: apps/v1\n', 'none of the files'), ('\x00', 'no YAML')])
def test_file_that_is_of_no_use__is_refused(tmp_path, text, said):
    source = tmp_path / 'bad.yaml'
    source.write_text(text)
    status, out, err = tool('import', source)
    assert (status, out) == (2, '') and said in err


def test_command_line(tmp_path):
    source = tmp_path / 'two.yaml'
    source.write_text(yaml.safe_dump_all([policy([{}]), istio('AuthorizationPolicy', {}, ns='other')]))
    assert tool('import')[0] == 2
    assert 'No such file' in tool('import', tmp_path / 'none')[2]
    status, _, err = tool('import', source)
    assert status == 2 and '--namespace' in err
    assert tool('import', source, '--namespace', 'prod')[0] == 0
    assert '--trust-domain' in tool('import', source, '--trust-domain', 'a/b')[2]


def test_names_of_resources__cannot_write_the_ini(translate):
    evil = 'x]\n[allow all]\nfrom = spiffe://prod.example/**\n['
    done = translate(istio('AuthorizationPolicy', {'rules': [{'from': [{'source': {'principals': [evil, f'a/{evil}']}}],
                                                              evil: [evil]}]}, evil, ns=evil),
                     istio('DestinationRule', {'host': evil, 'trafficPolicy': {'tls': {'mode': 'DISABLE', evil: 1}}}, evil, ns=evil))
    assert done.status == 1
    assert [line for line in done.out.splitlines() if line.startswith('[') and 'all' in line] == []


def test_document_of_aliases__costs_nothing(tmp_path):
    source = tmp_path / 'bomb.yaml'
    lines = ['a0: &a0 [x, x]'] + [f'a{n}: &a{n} [*a{n - 1}, *a{n - 1}]' for n in range(1, 60)]
    source.write_text('\n'.join(lines) + '\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n'
                      'metadata: {name: p}\nspec: *a59\n')
    assert tool('import', source)[0] in (0, 1)


# --- random policies ------------------------------------------------------------------------------

NAMESPACES, ACCOUNTS, PORTS = ['web', 'ops', 'prod'], ['front', 'back'], ['80', '443', '8080']
BLOCKS = ['10.0.0.0/8', '10.1.0.0/16', '192.0.2.0/24']


def random_source(rng):
    """Returns random fields that may occur together. `methods` stands for everything that a sidecar cannot know."""
    source = {}
    kind = rng.choice(['principals', 'namespaces', 'none'])
    principals = [f'cluster.local/ns/{n}/sa/{a}' for n in NAMESPACES for a in ACCOUNTS] + \
        [f'cluster.local/ns/{n}/*' for n in NAMESPACES] + [f'*/sa/{a}' for a in ACCOUNTS] + ['*']
    if kind == 'principals':
        source['principals'] = rng.sample(principals, rng.randint(1, 3))
    elif kind == 'namespaces':
        source['namespaces'] = rng.sample(NAMESPACES, rng.randint(1, 2))
    if rng.random() < 0.3:
        source['notPrincipals'] = rng.sample(principals, rng.randint(1, 2))
    if rng.random() < 0.2:
        source['notNamespaces'] = [rng.choice(NAMESPACES)]
    if rng.random() < 0.3:
        source['ipBlocks'] = rng.sample(BLOCKS, rng.randint(1, 2))
    if rng.random() < 0.2:
        source['notIpBlocks'] = [rng.choice(BLOCKS)]
    return source


def random_policy(rng, number):
    rules = []
    for _ in range(rng.randint(0, 2)):
        rule = {}
        if rng.random() < 0.8:
            rule['from'] = [{'source': random_source(rng)} for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.6:
            rule['to'] = []
            for _ in range(rng.randint(1, 2)):
                operation = {}
                if rng.random() < 0.6:
                    operation['ports'] = rng.sample(PORTS, rng.randint(1, 2))
                if rng.random() < 0.3:
                    operation['notPorts'] = [rng.choice(PORTS)]
                if rng.random() < 0.15:
                    operation['methods'] = ['GET']
                rule['to'].append({'operation': operation})
        rules.append(rule)
    return istio('AuthorizationPolicy', {'rules': rules, 'action': rng.choice(['ALLOW', 'ALLOW', 'DENY'])}, f'p{number}')


def principal_fits(pattern, principal):
    pattern = pattern.replace('cluster.local', TD, 1)
    if principal is None:
        return False
    if pattern == '*':
        return True
    if pattern.startswith('*'):
        return principal.endswith(pattern[1:])
    return principal.startswith(pattern[:-1]) if pattern.endswith('*') else principal == pattern


def source_fits(source, who, address):
    principal = None if who is None else f'{TD}/ns/{who[0]}/sa/{who[1]}'
    near = lambda blocks: any(ipaddress.ip_address(address) in ipaddress.ip_network(b) for b in blocks)
    named = lambda patterns: any(principal_fits(p, principal) for p in patterns)
    home = lambda names: who is not None and who[0] in names
    return all([not source.get('principals') or named(source['principals']), not named(source.get('notPrincipals', [])),
                not source.get('namespaces') or home(source['namespaces']), not home(source.get('notNamespaces', [])),
                not source.get('ipBlocks') or near(source['ipBlocks']), not near(source.get('notIpBlocks', []))])


def operation_fits(operation, port, deny):
    if 'methods' in operation and not deny:
        return False
    return (not operation.get('ports') or port in operation['ports']) and port not in operation.get('notPorts', [])


def istio_lets_in(policies, who, port, address):
    """Decides as Istio documents it. Where a method decides, it returns an answer that holds for every method."""
    def fits(one):
        deny = one['spec']['action'] == 'DENY'
        return any((not rule.get('from') or any(source_fits(f['source'], who, address) for f in rule['from'])) and
                   (not rule.get('to') or any(operation_fits(t['operation'], port, deny) for t in rule['to']))
                   for rule in one['spec']['rules'])
    if any(fits(one) for one in policies if one['spec']['action'] == 'DENY'):
        return False
    allows = [one for one in policies if one['spec']['action'] == 'ALLOW']
    return not allows or any(fits(one) for one in allows)


@pytest.mark.parametrize('seed', range(20))
def test_random_policies__mean_the_same(translate, seed):
    rng = random.Random(seed)
    policies = [random_policy(rng, n) for n in range(rng.randint(1, 4))]
    done = translate(PERMISSIVE, *policies)
    for _ in range(12):
        who = rng.choice([None] + [(n, a) for n in NAMESPACES for a in ACCOUNTS])
        port, address = rng.choice(PORTS), rng.choice(['10.1.2.3', '10.2.0.1', '192.0.2.9', '198.51.100.1'])
        origin = 'plaintext' if who is None else identity(*who)
        assert done.lets_in(origin, port, address) == istio_lets_in(policies, who, port, address), \
            f'{origin} {port} {address}\n{yaml.safe_dump_all(policies)}\n{done.out}'
