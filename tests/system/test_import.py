# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent import, which turns Istio's policies into an INI. It names whatever it cannot express, and never
admits a peer that the original refuses. Those of Linkerd are in test_import_linkerd.py."""
import json

import pytest
import yaml

from test_tools import tool
from translation import LABELS, PERMISSIVE, TD, identity, istio, linkerd, policy, translate  # noqa: F401


# --- Istio: which peers are admitted --------------------------------------------------------------

@pytest.mark.parametrize('source, ids, others', [
    ({'principals': ['cluster.local/ns/web/sa/front']}, ['web/front'], ['web/back', 'ops/front']),
    ({'principals': [f'{TD}/ns/web/sa/front', 'cluster.local/ns/web/sa/back']}, ['web/front', 'web/back'], ['ops/x']),
    ({'principals': [f'{TD}/ns/web/*']}, ['web/front', 'web/back'], ['ops/x']),
    ({'principals': ['cluster.local/ns/web/sa/*']}, ['web/front', 'web/back'], ['ops/x']),
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


@pytest.mark.parametrize('block, good', [('10.1.2.3/8', True), ('2001:db8::1/32', False), ('10.1.2.3', True), ('0.0.0.0/0', True)])
def test_istio__address_with_bits_behind_its_prefix(translate, block, good):
    done = translate(policy([{'from': [{'source': {'ipBlocks': [block]}}]}]))
    assert done.status == 0 and done.lets_in(identity('a', 'b'), 80) == good


# Neither of the two meshes takes IPv4 inside IPv6 for IPv4.
@pytest.mark.parametrize('block', ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/x', '10.0.0.0/8/8', '/8', 'example', '10.0.0.0/08', '1.2.3.4/',
                                   '::ffff:10.1.2.3/24', '::ffff:10.0.0.0/104', '::ffff:10.1.2.3/95', '::ffff:10.1.2.3'])
def test_istio__address_that_is_none__admits_nobody(translate, block):
    for blocks in ([block], ['10.0.0.0/8', block]):
        done = translate(policy([{'from': [{'source': {'ipBlocks': blocks}}]}]))
        assert done.status == 1 and '[allow' not in done.out
    done = translate(policy([{}]), istio('AuthorizationPolicy', {
        'rules': [{'from': [{'source': {'ipBlocks': [block]}}]}], 'action': 'DENY'}, 'd'))
    assert done.status == 1 and not done.lets_in(identity('web', 'front'), 80)


# --- Istio: trust domains -------------------------------------------------------------------------

def deny(source, name='d'):
    return istio('AuthorizationPolicy', {'rules': [{'from': [{'source': source}]}], 'action': 'DENY'}, name)


LITERAL = [{'principals': ['cluster.local/ns/web/*']}, {'principals': ['cluster.local/*']}, {'trustDomains': ['cluster.local']}]


@pytest.mark.parametrize('source', LITERAL)
def test_cluster_local__where_istio_takes_it_literally(translate, source):
    web, theirs = identity('web', 'front'), 'spiffe://cluster.local/ns/web/sa/front'
    denied = {'not' + field[0].upper() + field[1:]: values for field, values in source.items()}
    done = translate(policy([{'from': [{'source': source}]}]))
    assert done.status == 1 and not done.lets_in(web, 80) and done.lets_in(theirs, 80) and 'literally' in done.err
    done = translate(policy([{}]), deny(source))
    assert done.status == 1 and not done.lets_in(web, 80) and not done.lets_in(theirs, 80)
    # As an exception it has the opposite effect.
    done = translate(policy([{'from': [{'source': denied}]}]))
    assert done.status == 1 and not done.lets_in(web, 80) and not done.lets_in(theirs, 80)
    done = translate(policy([{}]), deny(denied))
    assert done.status == 1 and not done.lets_in(web, 80) and done.lets_in(theirs, 80)
    # It is no other domain if it is the mesh's own, or an alias.
    for options in (['--trust-domain', 'cluster.local'], ['--trust-domain-alias', 'cluster.local']):
        done = translate(policy([{'from': [{'source': source}]}]), options=[*LABELS, *options])
        assert done.status == 0 and done.lets_in(theirs, 80)


def test_principal_with_scheme__matches_nobody_in_istio(translate):
    web = identity('web', 'front')
    done = translate(policy([{'from': [{'source': {'principals': [web, f'{TD}/ns/web/sa/back']}}]}]))
    assert done.status == 1 and not done.lets_in(web, 80) and done.lets_in(identity('web', 'back'), 80)
    done = translate(policy([{'from': [{'source': {'notPrincipals': [web]}}]}]))
    assert done.status == 1 and not done.lets_in(web, 80) and done.lets_in(identity('web', 'back'), 80)
    done = translate(policy([{}]), deny({'principals': [web]}))
    assert done.status == 1 and not done.lets_in(web, 80) and done.lets_in(identity('web', 'back'), 80)
    # It exempts nobody from a DENY policy.
    done = translate(policy([{}]), deny({'notPrincipals': [web, f'{TD}/ns/web/sa/back']}))
    assert done.status == 1 and not done.lets_in(web, 80) and done.lets_in(identity('web', 'back'), 80)


@pytest.mark.parametrize('source', [{'principals': ['old.example/ns/web/sa/front']}, {'trustDomains': ['old.example']},
                                    {'principals': ['old.example/ns/web/sa/*']}])
def test_aliases_of_the_trust_domain(translate, source):
    web, old, older = (f'spiffe://{td}/ns/web/sa/front' for td in (TD, 'old.example', 'older.example'))
    aliases = ['--trust-domain-alias', 'old.example', '--trust-domain-alias', 'older.example']
    done = translate(policy([{}]), deny(source), options=[*LABELS, *aliases])
    assert done.status == 0
    assert not any(done.lets_in(one, 80) for one in (web, old, older)), done.out
    assert done.lets_in(f'spiffe://{TD}/ns/ops/sa/x', 80) == ('trustDomains' not in source)
    done = translate(policy([{'from': [{'source': source}]}]), options=[*LABELS, *aliases])
    assert done.status == 0 and all(done.lets_in(one, 80) for one in (web, old, older))
    # cluster.local stands for all of them; rules without a domain are for all of them.
    for one in ({'principals': ['cluster.local/ns/web/sa/front']}, {'namespaces': ['web']}):
        done = translate(policy([{}]), deny(one), options=[*LABELS, *aliases])
        assert done.status == 0 and not any(done.lets_in(one, 80) for one in (web, old, older))
    # Without the option it is not known whether the domain is an alias.
    done = translate(policy([{}]), deny(source))
    assert done.status == 1 and '--trust-domain-alias' in done.err and not done.lets_in(old, 80) and done.lets_in(web, 80)
    assert translate(policy([{'from': [{'source': source}]}])).status == 0
    assert translate(policy([{}]), deny(source), options=[*LABELS, '--trust-domain-alias', '']).status == 0


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
    policy([{}], action='AUDIT'),
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


def reported(done, key):
    """The number of the first line of the file with this key must be reported."""
    number = next(n for n, line in enumerate(done.source.read_text().splitlines(), 1) if line.lstrip('- ').startswith(key))
    return f'{done.source}:{number}: ' in done.err


@pytest.mark.parametrize('rule, key', [
    ({'to': [{'operation': {'ports': ['80'], 'methods': ['GET']}}]}, 'methods'), ({'when': [{'key': 'connection.sni', 'values': ['x']}]}, 'key:'),
    ({'from': [{'source': {'principals': ['*'], 'namespaces': ['web']}}]}, 'namespaces'),
    ({'from': [{'source': {'namespaces': ['web', 'w*b']}}]}, 'w*b')])
def test_istio__report_names_the_line(translate, rule, key):
    done = translate(policy([rule]))
    assert reported(done, key), done.err


def test_custom_policy__refuses_what_an_authorizer_would_be_asked_about(translate):
    custom = policy([{'to': [{'operation': {'ports': ['8080']}}]}], action='CUSTOM', provider={'name': 'opa'})
    done = translate(custom, policy([{}]) | {'metadata': {'name': 'all', 'namespace': 'prod'}})
    web = identity('web', 'front')
    assert done.status == 1 and reported(done, 'action: CUSTOM')
    assert not done.lets_in(web, 8080) and done.lets_in(web, 80)


@pytest.mark.parametrize('action', ['ALLOW', 'DENY'])
def test_dry_run__is_only_recorded(translate, action):
    rule = {'from': [{'source': {'namespaces': ['web']}}]}
    dry = policy([rule], action=action)
    dry['metadata'] = {'name': 'dry', 'namespace': 'prod', 'annotations': {'istio.io/dry-run': 'true'}}
    done = translate(dry, policy([{'from': [{'source': {'namespaces': ['ops']}}]}]))
    assert done.status == 0 and f'[{action.lower()} dry]\nmode = audit\n' in done.out
    assert done.lets_in(identity('ops', 'x'), 80) and not done.lets_in(identity('web', 'front'), 80)
    # Alone, it does not restrict what is admitted.
    assert translate(dry).lets_in(identity('ops', 'x'), 80)


def test_deny__is_for_every_trust_domain_that_is_named(translate):
    partner = 'spiffe://partner.example/ns/web/sa/front'
    allow = policy([{'from': [{'source': {'principals': ['partner.example/ns/web/sa/front', '*/ns/ops/sa/x']}}]}])
    for source in ({'namespaces': ['web']}, {'principals': ['*/sa/front']}, {'notPrincipals': ['*/ns/ops/sa/x']}):
        done = translate(allow, istio('AuthorizationPolicy', {'rules': [{'from': [{'source': source}]}], 'action': 'DENY'}, 'd'))
        assert done.status == 0 and not done.lets_in(partner, 80), done.out
        assert done.lets_in(identity('ops', 'x'), 80)
    assert translate(allow).lets_in(partner, 80)
    # Nor are peers of a domain that nothing names admitted by default, past the deny rules.
    done = translate(istio('AuthorizationPolicy', {'rules': [{'from': [{'source': {'namespaces': ['web']}}]}], 'action': 'DENY'}, 'd'))
    assert not done.lets_in(partner, 80) and done.lets_in(identity('ops', 'x'), 80)


@pytest.mark.parametrize('spec', [
    {'rules': {'from': [{'source': {'namespaces': ['web']}}]}}, {'rules': 'all'}, {'rules': [None]}, {'rules': None},
    {'rules': [{'from': {'source': {'namespaces': ['web']}}}]}, {'rules': [{'from': [{'namespaces': ['web']}]}]},
    {'rules': [{'from': [{'source': {'namespaces': 'web'}}]}]}, {'rules': [{'from': [{'source': {'notNamespaces': 'web'}}]}]},
    {'rules': [{'from': [{'source': {'namespaces': None}}]}]}, {'rules': [{'from': None}]}, {'rules': [{'from': [None]}]},
    {'rules': [{'from': [{'source': None}]}]}, {'rules': [{'from': [{'source': {'namespaces': ['web']}, 'to': []}]}]},
    {'rules': [{'to': {'operation': {'ports': ['80']}}}]}, {'rules': [{'to': [{'operation': {'ports': '80'}}]}]},
    {'rules': [{'when': [{'values': ['x']}]}]}, {'rules': [{'when': [{'key': 'source.ip'}]}]},
    {'rules': [{'when': [{'key': 'source.ip', 'values': '10.0.0.0/8'}]}]},
    {'rules': [{}], 'action': 'deny'}, {'rules': [{}], 'action': None}, {'rules': [{}], 'selector': 'app=api'}, ['rules'], 'x'])
def test_istio__what_kubernetes_would_not_accept__is_refused(tmp_path, spec):
    for action in ('ALLOW', 'DENY'):
        if isinstance(spec, dict):
            spec = {'action': action, **spec}
        source = tmp_path / 'in.yaml'
        source.write_text(yaml.safe_dump_all([PERMISSIVE, istio('AuthorizationPolicy', spec)]))
        status, out, err = tool('import', source, *LABELS)
        assert (status, out) == (2, '') and err.startswith(f'{source}:') and 'AuthorizationPolicy p:' in err


@pytest.mark.parametrize('rule', [
    {'from': []}, {'to': []}, {'when': []}, {'from': [{'source': {}}]}, {'to': [{'operation': {}}]},
    {'from': [{'source': {'namespaces': []}}]}, {'from': [{'source': {'notNamespaces': []}}]}, {'to': [{'operation': {'ports': []}}]}])
def test_istio__empty_condition__is_not_taken_for_none(translate, rule):
    done = translate(PERMISSIVE, policy([rule]))
    assert done.status == 1 and not done.lets_in(identity('web', 'front'), 80) and not done.lets_in('plaintext', 80)
    done = translate(PERMISSIVE, policy([rule], action='DENY'))
    assert done.status == 1 and not done.lets_in(identity('web', 'front'), 80)


def test_istio__selector_that_is_not_understood__is_careful(translate):
    odd = {'selector': {'app': 'other'}}
    done = translate(policy([{}], **odd))
    assert done.status == 1 and not done.lets_in(identity('web', 'front'), 80)
    done = translate(policy([{}]), istio('AuthorizationPolicy', {'rules': [{}], 'action': 'DENY', **odd}, 'd'))
    assert done.status == 1 and not done.lets_in(identity('web', 'front'), 80)


def test_istio__policy_of_a_waypoint__still_restricts(translate):
    target = {'targetRefs': [{'kind': 'Service', 'group': '', 'name': 'api'}]}
    done = translate(policy([{'from': [{'source': {'namespaces': ['ops']}}]}], **target))
    assert done.status == 1 and not done.lets_in(identity('web', 'front'), 80)


# --- Istio: modes ---------------------------------------------------------------------------------

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


def test_peer_authentication__which_one_decides(translate):
    def own(mode, name, **metadata):
        one = istio('PeerAuthentication', {'selector': {'matchLabels': {'app': 'api'}}, 'mtls': {'mode': mode},
                                           'portLevelMtls': {8081: {'mode': 'DISABLE'}}}, name)
        one['metadata'].update(metadata)
        return one
    old, new = {'creationTimestamp': '2024-01-01T00:00:00Z'}, {'creationTimestamp': '2025-01-01T00:00:00Z'}
    for order in (1, -1):
        assert 'mode = permissive' in translate(*[own('PERMISSIVE', 'a', **old), own('STRICT', 'b', **new)][::order]).out
        assert '[inbound]\nmode = strict' in translate(*[own('PERMISSIVE', 'a', **new), own('STRICT', 'b', **old)][::order]).out
        # It is not known which one is older.
        for unknown in ({}, {'creationTimestamp': None}, {'creationTimestamp': '2020'}, {'creationTimestamp': []}):
            for dated in (old, {}):
                done = translate(*[own('PERMISSIVE', 'a', **dated), own('STRICT', 'b', **unknown)][::order])
                assert done.status == 1 and '[inbound]\nmode = strict' in done.out and '[service' not in done.out
    # Istio ignores a selector in the mesh's namespace, and ports without a selector.
    root = own('PERMISSIVE', 'a')
    root['metadata']['namespace'] = 'istio-system'
    done = translate(root, policy([{}]))
    assert done.status == 1 and '[inbound]\nmode = strict' in done.out and '[service' not in done.out
    done = translate(istio('PeerAuthentication', {'portLevelMtls': {8081: {'mode': 'DISABLE'}}}))
    assert done.status == 1 and '[service' not in done.out


@pytest.mark.parametrize('spec', [{'mtls': {'mode': 'PERMISIVE'}}, {'mtls': 'STRICT'}, {'mtls': None}, {'mtls': {'mode': None}},
                                  {'selector': {'matchLabels': {'app': 'api'}}, 'portLevelMtls': {'http': {'mode': 'DISABLE'}}},
                                  {'selector': {'matchLabels': {'app': 'api'}}, 'portLevelMtls': {80: 'DISABLE'}}])
def test_peer_authentication__not_valid__is_refused(tmp_path, spec):
    source = tmp_path / 'in.yaml'
    source.write_text(yaml.safe_dump_all([PERMISSIVE, istio('PeerAuthentication', spec)]))
    status, out, err = tool('import', source, *LABELS)
    assert (status, out) == (2, '') and err.startswith(f'{source}:')


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


def test_keys__twice_or_merged(tmp_path):
    source = tmp_path / 'in.yaml'
    head = 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n  '
    source.write_text(head + 'action: DENY\n  rules: [{}]\n  action: ALLOW\n')
    assert tool('import', source)[2].endswith(f'{source}:7: the key `action` occurs twice\n')
    source.write_text('x: &deny {action: DENY, rules: [{from: [{source: {namespaces: [web]}}]}]}\n'
                      f'{head.replace("spec:", "spec: {<<: *deny, action: DENY}")}')
    status, out, err = tool('import', source)
    assert (status, err) == (0, '') and '[deny p]\nfrom = spiffe://cluster.local/ns/web/sa/*\n' in out
    for bad in ('x: &x {<<: *x}', 'x: {<<: 1}', 'x: {<<: [{a: 1}, 2]}'):
        source.write_text(bad + '\n' + head)
        assert tool('import', source)[0] == 2


@pytest.mark.parametrize('first', ['apiVersion: example.org/v1\n', ''])
def test_policy_of_an_unknown_system__is_not_skipped(tmp_path, first):
    source = tmp_path / 'in.yaml'
    source.write_text(yaml.safe_dump(policy([{}])) + f'---\n{first}kind: AuthorizationPolicy\nspec: {{action: DENY}}\n')
    status, out, err = tool('import', source)
    assert (status, out) == (2, '') and 'apiVersion' in err


def test_lists__in_lists_and_of_one_kind(tmp_path):
    source = tmp_path / 'in.json'
    one = {'apiVersion': 'security.istio.io/v1', 'kind': 'AuthorizationPolicyList', 'items': [policy([{}], action='DENY')]}
    source.write_text(json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [one]}))
    status, out, err = tool('import', source)
    assert (status, err) == (0, '') and '[deny p]' in out
    source.write_text(json.dumps([policy([{}], action='DENY')]))
    assert tool('import', source)[0] == 2


@pytest.mark.parametrize('text', [
    '[' * 100000, 'spec: {rules: [{from: [{source: {namespaces: [%s]}}]}]}' % ','.join(f'n{n}' for n in range(30000)),
    'spec: {rules: [{from: [%s], to: [%s]}]}' % (','.join('{source: {namespaces: [a]}}' for _ in range(1000)),
                                               ','.join('{operation: {ports: ["1"]}}' for _ in range(1000)))],
    ids=['brackets', 'items', 'rules'])
def test_file_that_is_too_large__is_refused(tmp_path, text):
    source = tmp_path / 'in.yaml'
    source.write_text('apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\n' + text)
    status, out, err = tool('import', source)
    assert (status, out) == (2, '') and 'more than' in err


def test_command_line(tmp_path):
    source = tmp_path / 'two.yaml'
    source.write_text(yaml.safe_dump_all([policy([{}]), istio('AuthorizationPolicy', {}, ns='other')]))
    assert tool('import')[0] == 2
    assert 'No such file' in tool('import', tmp_path / 'none')[2]
    status, _, err = tool('import', source)
    assert status == 2 and '--namespace' in err
    status, out, _ = tool('import', source, '--namespace', 'prod')
    assert status == 0 and 'is its name right?' not in out
    assert 'is its name right?' in tool('import', source, '--namespace', 'prd')[1]
    for ns in ('', 'Prod', 'a/b'):
        assert '--namespace' in tool('import', source, '--namespace', ns)[2]
    assert '--trust-domain' in tool('import', source, '--trust-domain', 'a/b')[2]
    assert '--trust-domain' in tool('import', source, '--trust-domain-alias', 'a', '--trust-domain-alias', 'a/b')[2]
    assert 'more than 64' in tool('import', source, *['--labels', 'a=b'] * 65)[2]
    for labels in ('app', '=a', 'app=a, b=c'):
        assert '--labels' in tool('import', source, '--namespace', 'prod', '--labels', labels)[2]


def test_labels__in_one_option_and_in_several(translate):
    both = istio('AuthorizationPolicy', {'rules': [{}], 'action': 'DENY', 'selector': {'matchLabels': {'app': 'api', 'tier': 'back'}}}, 'd')
    for options in (['--labels', 'app=api,tier=back'], ['--labels', 'app=api', '--labels', 'tier=back']):
        assert '[deny d]' in translate(policy([{}]), both, options=options).out
    assert '[deny d]' not in translate(policy([{}]), both, options=['--labels', 'app=api']).out


def test_texts_of_resources__cannot_write_the_ini(tmp_path, translate):
    evil = 'x]\n[allow all]\nfrom = spiffe://prod.example/**\n['
    done = translate(istio('AuthorizationPolicy', {'rules': [{'from': [{'source': {'principals': [evil, f'a/{evil}']}}],
                                                              evil: [evil]}]}),
                     istio('DestinationRule', {'host': evil, 'trafficPolicy': {'tls': {'mode': 'DISABLE', evil: 1}}}))
    assert done.status == 1
    assert [line for line in done.out.splitlines() if line.startswith('[') and 'all' in line] == []
    source = tmp_path / 'evil.yaml'
    source.write_text(yaml.safe_dump(istio('AuthorizationPolicy', {'rules': []}, evil)))
    status, out, err = tool('import', source)
    assert (status, out) == (2, '') and len(err.splitlines()) == 2


def test_document_of_aliases__costs_nothing(tmp_path):
    source = tmp_path / 'bomb.yaml'
    lines = ['a0: &a0 [x, x]'] + [f'a{n}: &a{n} [*a{n - 1}, *a{n - 1}]' for n in range(1, 60)]
    source.write_text('\n'.join(lines) + '\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n'
                      'metadata: {name: p}\nspec: {rules: *a59}\n')
    assert tool('import', source)[0] == 2
