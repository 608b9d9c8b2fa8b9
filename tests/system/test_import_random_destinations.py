# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what fairlead-agent import makes of random DestinationRules with the rules by which Istio finds the one to follow."""
import os
import random

import pytest
import yaml

from test_import_destinations import upstreams
from translation import LABELS, identity, istio, policy, translate  # noqa: F401

OWN, SERVICE, ROOT = 'dev', 'prod', 'istio-system'
HOST = f'payments.{SERVICE}.svc.cluster.local'
HOSTS = [HOST, HOST, HOST, '*.prod.svc.cluster.local', '*.local']
NAMES = [identity('prod', name) for name in ('a', 'b')]
TLS = [{'mode': 'DISABLE'}, {'mode': 'ISTIO_MUTUAL'}] + [{'mode': 'ISTIO_MUTUAL', 'subjectAltNames': NAMES[i:j]} for i, j in ((0, 1), (1, 2), (0, 2))]
PORTS = [80, 443]


def random_policy(rng):
    found = {}
    if rng.random() < 0.6:
        found['tls'] = rng.choice(TLS)
    if rng.random() < 0.4:
        found['portLevelSettings'] = [{'port': {'number': port}, 'tls': rng.choice(TLS)} for port in rng.sample(PORTS, rng.randint(1, 2))]
    return found


def random_rule(rng, number):
    spec = {'host': rng.choice(HOSTS)}
    ns = rng.choice([OWN, SERVICE, ROOT, 'third'])
    if rng.random() < 0.85:
        spec['trafficPolicy'] = random_policy(rng)
    if rng.random() < 0.2:
        spec['workloadSelector'] = {'matchLabels': {'app': rng.choice(['api', 'other'])}}
    elif rng.random() < 0.3:
        spec['exportTo'] = rng.choice([['.'], ['*'], [OWN], ['third'], [OWN, 'third']])
    if spec['host'] == HOST and ns == SERVICE and rng.random() < 0.5:
        spec['host'] = 'payments'
    return istio('DestinationRule', spec, f'r{number}', ns)


# --- how Istio finds the rule ---------------------------------------------------------------------

def selector(spec):
    return spec.get('workloadSelector', {}).get('matchLabels')


def add(index, ns, spec, seen_by):
    """Rules of one host are joined: the first one keeps its trafficPolicy, or takes that of a later one."""
    host = f'payments.{ns}.svc.cluster.local' if spec['host'] == 'payments' else spec['host']
    entries, alone = index.setdefault(host, []), True
    for entry in list(entries):
        if seen_by == entry['seen_by']:
            alone = False
        elif entry['seen_by'] and seen_by >= entry['seen_by']:
            alone = True
        else:
            alone = True
            continue
        ours, theirs = selector(spec), entry['selector']
        if ours and theirs and ours != theirs:
            alone = True
            continue
        if bool(ours) == bool(theirs):
            alone = False
        if entry['policy'] is None:
            entry['policy'] = spec.get('trafficPolicy')
    if alone:
        entries.append({'seen_by': seen_by, 'selector': selector(spec), 'policy': spec.get('trafficPolicy'), 'ns': ns})


def match(index):
    """The rules for the most specific name of the host."""
    names = [name for name in index if name == HOST] or \
        sorted((name for name in index if name[0] == '*' and HOST.endswith(name[1:])), key=len, reverse=True)
    return index[names[0]] if names else []


def followed(rules, own):
    local, exported, root = {}, {}, {}
    for rule in sorted(rules, key=lambda one: ('workloadSelector' not in one['spec'], one['age'])):
        ns, spec = rule['metadata']['namespace'], rule['spec']
        seen_by = {'.'} if 'workloadSelector' in spec else set(spec.get('exportTo', []))
        if not seen_by or seen_by & {'*', '.', ns}:
            add(local.setdefault(ns, {}), ns, spec, seen_by)
        if len(seen_by) != 1 or not seen_by <= {'.', ns}:
            add(exported.setdefault(ns, {}), ns, spec, seen_by)
        elif ns == ROOT:
            add(root, ns, spec, seen_by)
    found = match(local.get(own, {}) if own != ROOT else root)
    for ns in (SERVICE, ROOT):
        found = found or [one for one in match(exported.get(ns, {})) if not one['seen_by'] or one['seen_by'] & {'*', own}]
    for one in found:
        if one['ns'] == own and one['selector'] == {'app': 'api'}:
            return one['policy']
    everyones = [one['policy'] for one in found if not one['selector']]
    return everyones[-1] if everyones else None


def setting_of(policy, port):
    """(mode, names of peers, or None for any)"""
    policy = policy or {}
    tls = next((one['tls'] for one in policy.get('portLevelSettings', []) if one['port']['number'] == port), policy.get('tls', {}))
    return 'plaintext' if tls.get('mode') == 'DISABLE' else 'mtls', tls.get('subjectAltNames')


def is_laxer(ours, theirs):
    if ours[0] == 'refuse' or theirs[0] == 'plaintext':
        return False
    return ours[0] == 'plaintext' or (theirs[1] is not None and not (ours[1] and set(ours[1]) <= set(theirs[1])))


@pytest.mark.parametrize('seed', range(int(os.environ.get('FAIRLEAD_LONG', '0')) * 3000 + 100))
def test_random_destination_rules__are_never_laxer(translate, seed):
    rng = random.Random(seed)
    rules = [random_rule(rng, number) for number in range(rng.randint(1, 5))]
    for rule in rules:
        rule['age'] = rng.random()
    own = rng.choice([OWN, OWN, OWN, SERVICE, ROOT])
    written = [{key: value for key, value in rule.items() if key != 'age'} for rule in rules]
    done = translate(policy([{}]), *written, options=[*LABELS, '--namespace', own])
    found, decided = upstreams(done), followed(rules, own)
    if not found and 'is no single name' in done.err:
        return  # a wildcard is only reported
    for port in (80, 443, 9):
        mode, peers = found.get(f'{HOST}:{port}', found.get(f'{HOST}:*', ('mtls', '')))
        ours, theirs = (mode, peers.split(', ') if peers else None), setting_of(decided, port)
        what = f'{own} {port}: {ours} {theirs}\n{yaml.safe_dump_all(rules)}\n{done.out}'
        assert not is_laxer(ours, theirs), what
        assert done.status == 1 or ours[0] == theirs[0], what
