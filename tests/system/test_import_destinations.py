# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent import with DestinationRules of Istio: whom the workload may reach, and how."""
import re

import pytest

from translation import LABELS, TD, identity, istio, policy, translate  # noqa: F401

PAYMENTS = 'payments.prod.svc.cluster.local'
MUTUAL, DISABLE = {'mode': 'ISTIO_MUTUAL'}, {'mode': 'DISABLE'}
NAMED = {**MUTUAL, 'subjectAltNames': [identity('prod', 'payments')]}


def rule_for(host, name='p', ns='prod', **tls):
    return istio('DestinationRule', {'host': host, 'trafficPolicy': {'tls': tls}}, name, ns)


def test_destination_rule__never_laxer(translate):
    # A port with settings of its own inherits nothing.
    done = translate(istio('DestinationRule', {'host': 'x', 'trafficPolicy': {
        'tls': {'mode': 'DISABLE'}, 'portLevelSettings': [{'port': {'number': 443}, 'loadBalancer': {'simple': 'RANDOM'}}]}}))
    assert 'to = x.prod.svc.cluster.local:443\nmode = mtls\n' in done.out
    # Names of peers have no wildcards.
    done = translate(rule_for('x', mode='ISTIO_MUTUAL', subjectAltNames=['spiffe://prod.example/ns/prod/sa/*']))
    assert done.status == 1 and 'mode = refuse' in done.out
    # Of two for one destination, the stricter one stays, and the INI has no contradiction.
    two = [rule_for('x', 'a', mode='DISABLE'), rule_for('x.prod.svc.cluster.local', 'b', mode='ISTIO_MUTUAL')]
    for order in (1, -1):
        done = translate(*two[::order])
        assert done.status == 1 and done.out.count('[upstream') == 1 and 'mode = mtls' in done.out


def test_destination_rule(translate):
    tls = {'mode': 'ISTIO_MUTUAL', 'subjectAltNames': [identity('prod', 'ledger')]}
    done = translate(istio('DestinationRule', {'host': 'ledger', 'trafficPolicy': {
        'tls': tls, 'portLevelSettings': [{'port': {'number': 9090}, 'tls': {'mode': 'DISABLE'}}]}}, 'ledger'))
    assert done.status == 0
    assert 'to = ledger.prod.svc.cluster.local:*\nmode = mtls\npeer = ' + identity('prod', 'ledger') in done.out
    assert 'to = ledger.prod.svc.cluster.local:9090\nmode = plaintext\n' in done.out
    # A name that no peer can prove admits no peer, not every peer.
    tls['subjectAltNames'] = ['ledger.example']
    done = translate(istio('DestinationRule', {'host': 'ledger', 'trafficPolicy': {'tls': tls}}))
    assert done.status == 1 and 'mode = refuse' in done.out
    # Istio takes cluster.local literally in it.
    tls['subjectAltNames'] = ['spiffe://cluster.local/ns/prod/sa/ledger']
    done = translate(istio('DestinationRule', {'host': 'ledger', 'trafficPolicy': {'tls': tls}}))
    assert done.status == 1 and 'peer = spiffe://cluster.local/ns/prod/sa/ledger\n' in done.out and 'literally' in done.err


# --- which of several decides ---------------------------------------------------------------------

def dr(ns, tls=None, ports=(), name='p', host=PAYMENTS, **spec):
    policy = {'tls': tls} if tls else {}
    if ports:
        policy['portLevelSettings'] = [{'port': {'number': port}, 'tls': one} for port, one in ports]
    return istio('DestinationRule', {'host': host, 'trafficPolicy': policy, **spec}, name, ns)


def upstreams(done):
    """The mode and peer of each destination."""
    found = re.findall(r'\[upstream .*\]\nto = (.*)\nmode = (.*)\n(?:peer = (.*)\n)?', done.out)
    assert len(found) == done.out.count('[upstream'), done.out
    return {to: (mode, peer) for to, mode, peer in found}


def of(translate, *resources, ns='dev', options=()):
    return translate(policy([{}]), *resources, options=[*LABELS, '--namespace', ns, *options])


EVERY = f'{PAYMENTS}:*'


@pytest.mark.parametrize('rules, expected', [
    # The client's namespace, then the service's, then the mesh's own; no other.
    ([dr('third', DISABLE)], {}), ([dr('third', NAMED)], {}), ([dr('third', DISABLE, host='*.prod.svc.cluster.local')], {}),
    ([dr('prod', DISABLE)], {EVERY: ('plaintext', '')}),
    ([dr('istio-system', DISABLE)], {EVERY: ('plaintext', '')}),
    ([dr('dev', MUTUAL), dr('prod', DISABLE), dr('istio-system', NAMED)], {EVERY: ('mtls', '')}),
    ([dr('prod', MUTUAL), dr('istio-system', DISABLE)], {EVERY: ('mtls', '')}),
    ([dr('dev', DISABLE), dr('prod', NAMED)], {EVERY: ('plaintext', '')}),
    # A rule that says nothing about TLS, or nothing at all, still hides those of the next namespace.
    ([dr('dev', ports=[(80, DISABLE)]), dr('prod', NAMED)], {f'{PAYMENTS}:80': ('plaintext', '')}),
    ([dr('dev'), dr('prod', DISABLE)], {}), ([istio('DestinationRule', {'host': PAYMENTS}, ns='dev'), dr('prod', DISABLE)], {}),
    # In its own namespace it leaves that to others.
    ([istio('DestinationRule', {'host': PAYMENTS}, 'q', ns='prod'), dr('prod', DISABLE)], {EVERY: ('plaintext', '')}),
    # Rules that this namespace does not see.
    ([dr('prod', DISABLE, exportTo=['.'])], {}), ([dr('prod', DISABLE, exportTo=['third'])], {}),
    ([dr('dev', DISABLE, exportTo=['prod'])], {}), ([dr('prod', DISABLE, exportTo=['third', 'dev'])], {EVERY: ('plaintext', '')}),
    # A selector is for clients of its own namespace.
    ([dr('prod', DISABLE, workloadSelector={'matchLabels': {'app': 'api'}})], {}),
    ([dr('istio-system', DISABLE, workloadSelector={'matchLabels': {'app': 'api'}})], {}),
    ([dr('dev', DISABLE, workloadSelector={'matchLabels': {'app': 'api'}})], {EVERY: ('plaintext', '')}),
    ([dr('dev', DISABLE, workloadSelector={'matchLabels': {'app': 'other'}})], {}),
    ([dr('dev', DISABLE, workloadSelector={'matchLabels': {'app': 'other'}}), dr('dev', MUTUAL, name='q')], {EVERY: ('mtls', '')})])
def test_namespace_of_the_rule(translate, rules, expected):
    for order in (1, -1):
        done = of(translate, *rules[::order])
        assert (done.status, upstreams(done)) == (0, expected), done.err


def test_workload_of_the_meshs_own_namespace(translate):
    private = dr('istio-system', MUTUAL, exportTo=['.'])
    for one, expected in ((private, 'mtls'), (dr('istio-system', MUTUAL), 'plaintext')):
        done = of(translate, one, dr('prod', DISABLE), ns='istio-system')
        assert done.status == 0 and upstreams(done) == {EVERY: (expected, '')}


@pytest.mark.parametrize('rules, expected', [
    # The narrower port does not win.
    ([dr('prod', NAMED), dr('prod', ports=[(8443, DISABLE)], name='q', host='payments')],
     {EVERY: ('mtls', NAMED['subjectAltNames'][0]), f'{PAYMENTS}:8443': ('mtls', NAMED['subjectAltNames'][0])}),
    # A port that the one does not mention has mutual TLS, if it is that one which decides.
    ([dr('prod', DISABLE), dr('prod', ports=[(8443, NAMED)], name='q', host='Payments.prod.svc.cluster.local.')],
     {EVERY: ('mtls', ''), f'{PAYMENTS}:8443': ('mtls', NAMED['subjectAltNames'][0])}),
    ([dr('prod', DISABLE), dr('prod', name='q', loadBalancer={})], {EVERY: ('mtls', '')}),
    # Names that only one of them has admit nobody.
    ([dr('prod', NAMED), dr('prod', {**MUTUAL, 'subjectAltNames': [identity('prod', 'other'), identity('prod', 'x')]}, name='q')],
     {EVERY: ('refuse', '')}),
    ([dr('prod', NAMED), dr('prod', {**MUTUAL, 'subjectAltNames': [identity('prod', 'x'), *NAMED['subjectAltNames']]}, name='q')],
     {EVERY: ('mtls', NAMED['subjectAltNames'][0])}),
    # TLS that only other programs speak must not become the plaintext of the other ports.
    ([dr('prod', DISABLE, ports=[(443, {'mode': 'SIMPLE'})])], {EVERY: ('plaintext', ''), f'{PAYMENTS}:443': ('refuse', '')}),
    ([dr('prod', ports=[(443, {'mode': 'SIMPLE'}), (80, DISABLE)])], {f'{PAYMENTS}:80': ('plaintext', '')}),
    # Settings of one port twice.
    ([dr('prod', ports=[(80, DISABLE), (80, NAMED)])], {f'{PAYMENTS}:80': ('mtls', NAMED['subjectAltNames'][0])}),
    # A rule for other workloads hides those of further namespaces.
    ([dr('dev', NAMED, workloadSelector={'matchLabels': {'app': 'other'}}), dr('prod', DISABLE)], {EVERY: ('mtls', '')}),
    ([istio('DestinationRule', {'host': PAYMENTS, 'workloadSelector': {'matchLabels': {'app': 'other'}}}, ns='dev'), dr('prod', DISABLE)],
     {EVERY: ('mtls', '')}),
    # So does a wildcard, which comes after the name itself in its own namespace.
    ([dr('dev', MUTUAL, host='*.svc.cluster.local'), dr('prod', DISABLE)], {EVERY: ('mtls', '')}),
    ([dr('prod', MUTUAL, host='*.prod.svc.cluster.local', name='q'), dr('prod', DISABLE)], {EVERY: ('plaintext', '')}),
    # Istio takes a name with a dot for a whole one.
    ([dr('dev', DISABLE, host='payments.prod')], {'payments.prod:*': ('mtls', '')}),
    ([dr('dev', DISABLE, host='payments.prod.svc')], {'payments.prod.svc:*': ('mtls', '')}),
    # In which namespace a service outside of the cluster is declared is not known.
    ([dr('third', DISABLE, host='db.prod.example')], {'db.prod.example:*': ('mtls', '')}),
    ([dr('third', NAMED, host='db.prod.example')], {'db.prod.example:*': ('mtls', NAMED['subjectAltNames'][0])})])
def test_rules_that_may_decide__the_strictest_stays(translate, rules, expected):
    for order in (1, -1):
        done = of(translate, *rules[::order])
        assert done.status == 1 and 'DestinationRule ' in done.err
        assert upstreams(done) == expected, done.err
        assert done.lets_in(identity('web', 'front'), 80)  # the INI is accepted


def test_selector_without_labels__only_what_is_stricter(translate):
    for tls, expected in ((DISABLE, ('mtls', '')), (NAMED, ('mtls', NAMED['subjectAltNames'][0]))):
        rule = dr('dev', tls, workloadSelector={'matchLabels': {'app': 'web'}})
        done = translate(policy([{}]), rule, options=['--namespace', 'dev'])
        assert done.status == 1 and '--labels' in done.err and upstreams(done) == {EVERY: expected}
