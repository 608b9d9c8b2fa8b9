# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what fairlead-agent import makes of random policies of Istio with an evaluator of their rules."""
import ipaddress
import os
import random

import pytest
import yaml

from translation import LABELS, PERMISSIVE, TD, istio, translate  # noqa: F401

NAMESPACES, ACCOUNTS, PORTS = ['web', 'ops', 'prod'], ['front', 'back'], ['80', '443', '8080']
BLOCKS = ['10.0.0.0/8', '10.1.0.0/16', '192.0.2.0/24', '10.2.0.1', '2001:db8::/32']
ADDRESSES = ['10.1.2.3', '10.2.0.1', '192.0.2.9', '198.51.100.1', '2001:db8::1']
ALIAS = 'old.example'
DOMAINS = [TD, ALIAS, 'partner.example']
PRINCIPALS = [f'cluster.local/ns/{n}/sa/{a}' for n in NAMESPACES for a in ACCOUNTS] + \
    [f'partner.example/ns/{n}/sa/{a}' for n in NAMESPACES for a in ACCOUNTS] + \
    [f'cluster.local/ns/{n}/sa/*' for n in NAMESPACES] + [f'*/sa/{a}' for a in ACCOUNTS] + ['*', '*/ns/web/sa/front'] + \
    [f'{ALIAS}/ns/web/sa/front', f'{TD}/ns/ops/*', f'{TD}/ns/prod/sa/back']
# These cannot be expressed, or mean something else to Istio than they seem to.
ODD_PRINCIPALS = [f'spiffe://{TD}/ns/web/sa/front', 'cluster.local/ns/web/*', 'cluster.local/ns/web/sa/f*', '*t', 'cluster.local/ns/*/sa/*', '*/ns/*/sa/front', 'cluster.local/ns/*/*']
VALUES = {'principals': PRINCIPALS, 'namespaces': NAMESPACES, 'ipBlocks': BLOCKS, 'ports': PORTS, 'trustDomains': DOMAINS,
          'serviceAccounts': ['web/front', 'ops/back', 'front']}
ODD = {'principals': ODD_PRINCIPALS, 'namespaces': ['w*', '*b'], 'trustDomains': ['*.example', 'p*', 'cluster.local'], 'ports': ['http'],
       'ipBlocks': ['x'], 'serviceAccounts': ['*/front']}
KEYS = {'source.principal': 'principals', 'source.namespace': 'namespaces', 'source.ip': 'ipBlocks',
        'destination.port': 'ports', 'source.trustDomain': 'trustDomains', 'source.serviceAccount': 'serviceAccounts'}


def some(rng, field):
    values = rng.sample(VALUES[field], rng.randint(1, 2))
    return values + [rng.choice(ODD[field])] if rng.random() < 0.06 else values


def random_fields(rng, fields):
    part = {}
    while not part:
        for field in fields:
            if rng.random() < 0.35:
                part[field] = some(rng, field)
            if rng.random() < 0.2:
                part['not' + field[0].upper() + field[1:]] = some(rng, field)
    return part


def random_rule(rng):
    rule = {}
    if rng.random() < 0.8:
        # Istio accepts no serviceAccounts beside other identities.
        identity_field = rng.choice(['principals', 'namespaces', 'serviceAccounts', 'trustDomains'])
        rule['from'] = [{'source': random_fields(rng, [identity_field, 'ipBlocks'])} for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.5:
        rule['to'] = [{'operation': random_fields(rng, ['ports'])} for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.1:
            rng.choice(rule['to'])['operation']['methods'] = ['GET']
    if rng.random() < 0.25:
        key = rng.choice([*KEYS, 'request.headers[x]'])
        values = some(rng, KEYS[key]) if key in KEYS else ['y']
        rule['when'] = [{'key': key, rng.choice(['values', 'notValues']): values}]
    return rule


def random_policy(rng, number):
    policy = istio('AuthorizationPolicy', {'rules': [random_rule(rng) for _ in range(rng.randint(0, 2))],
                                           'action': rng.choice(['ALLOW', 'ALLOW', 'DENY', 'DENY', 'CUSTOM'])}, f'p{number}')
    if rng.random() < 0.1:
        policy['metadata']['annotations'] = {'istio.io/dry-run': 'true'}
    return policy


def text_fits(pattern, text):
    """Istio's match of strings: one wildcard, at the begin or at the end. An absent text matches nothing."""
    if text is None:
        return False
    if pattern == '*':
        return True
    if pattern.startswith('*'):
        return text.endswith(pattern[1:])
    return text.startswith(pattern[:-1]) if pattern.endswith('*') else text == pattern


def in_each_domain(principal):
    """Istio's trust domain, its aliases and cluster.local mean the same, where an ID has all of its five parts."""
    domain, _, rest = principal.partition('/')
    if principal.count('/') == 4 and domain in (TD, ALIAS, 'cluster.local'):
        return [f'{TD}/{rest}', f'{ALIAS}/{rest}']
    return [principal]


def value_fits(field, value, who, port, address):
    """who: (trust domain, namespace, account), or None without an identity."""
    if field == 'principals':
        return any(text_fits(one, None if who is None else '%s/ns/%s/sa/%s' % who) for one in in_each_domain(value))
    if field == 'namespaces':
        return text_fits(value, None if who is None else who[1])
    if field == 'trustDomains':
        return any(text_fits(one, None if who is None else who[0])
                   for one in ([TD, ALIAS] if value in (TD, ALIAS) else [value]))
    if field == 'serviceAccounts':
        ns, account = value.split('/') if '/' in value else ('prod', value)
        return who is not None and who[1:] == (ns, account)
    if field == 'ipBlocks':
        return value != 'x' and ipaddress.ip_address(address) in ipaddress.ip_network(value)
    return port == value


def part_fits(part, action, *connection):
    """Fields that need HTTP, such as methods: an ALLOW rule with them admits no TCP connection, for another rule they count
    as if they matched."""
    for field, values in part.items():
        if field in ('methods', 'request.headers[x]'):
            if action == 'ALLOW':
                return False
            continue
        negative = field.startswith('not')
        name = field[3].lower() + field[4:] if negative else field
        if any(value_fits(name, value, *connection) for value in values) == negative:
            return False
    return True


def as_part(condition):
    field = KEYS.get(condition['key'])
    if field is None:
        return {condition['key']: []}
    return {field: condition['values']} if 'values' in condition else \
        {'not' + field[0].upper() + field[1:]: condition['notValues']}


def istio_lets_in(policies, *connection):
    """Decides as Istio documents it; what CUSTOM asks an authorizer about is taken as refused."""
    def fits(one):
        action = one['spec']['action']
        return any((not rule.get('from') or any(part_fits(f['source'], action, *connection) for f in rule['from'])) and
                   (not rule.get('to') or any(part_fits(t['operation'], action, *connection) for t in rule['to'])) and
                   all(part_fits(as_part(c), action, *connection) for c in rule.get('when', []))
                   for rule in one['spec']['rules'])
    earnest = [one for one in policies if 'annotations' not in one['metadata']]
    if any(fits(one) for one in earnest if one['spec']['action'] != 'ALLOW'):
        return False
    allows = [one for one in earnest if one['spec']['action'] == 'ALLOW']
    return not allows or any(fits(one) for one in allows)


@pytest.mark.parametrize('seed', range(int(os.environ.get('FAIRLEAD_LONG', '0')) * 1000 + 40))
def test_random_policies__mean_the_same(translate, seed):
    rng = random.Random(seed)
    policies = [random_policy(rng, n) for n in range(rng.randint(1, 4))]
    done = translate(PERMISSIVE, *policies, options=[*LABELS, '--trust-domain-alias', ALIAS])
    # Peers of a domain that no resource names are strangers to the INI, until it has a [federate] section for them.
    domains = DOMAINS if 'partner.example' in yaml.safe_dump(policies) else [TD, ALIAS]
    for _ in range(12):
        who = rng.choice([None] + [(d, n, a) for d in domains for n in NAMESPACES for a in ACCOUNTS])
        port, address = rng.choice(PORTS), rng.choice(ADDRESSES)
        origin = 'plaintext' if who is None else 'spiffe://%s/ns/%s/sa/%s' % who
        ours, theirs = done.lets_in(origin, port, address), istio_lets_in(policies, who, port, address)
        # Never more, and if everything is said to be expressed, the same.
        assert ours <= theirs if done.status == 1 else ours == theirs, \
            f'{origin} {port} {address}\n{yaml.safe_dump_all(policies)}\n{done.out}'
