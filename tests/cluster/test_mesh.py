# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide's two apps: who reaches whom, and how many requests fail while something changes."""
import json

import pytest
import yaml

from conftest import Load, agent, apply_directory, ask, get, kill, kubectl, pods, state, until, KUBERNETES

URL = 'http://shop:8080/'
RULES = KUBERNETES / 'example' / 'shop' / 'fairlead.ini'


def replace_ini(app, text):
    made = kubectl('-n', 'prod', 'create', 'configmap', f'{app}-fairlead', '--from-file=fairlead.ini=/dev/stdin', '--dry-run=client', '-o', 'yaml', text=text)
    kubectl('-n', 'prod', 'apply', '-f', '-', text=made)


def staying(app):
    """Returns the pods of the app that are meant to stay."""
    return [each for each in get('-n', 'prod', 'pods', '-l', f'app={app}')['items'] if 'deletionTimestamp' not in each['metadata']]


def ready(app):
    """Returns whether all pods of the app are ready, and all of their containers."""
    items = staying(app)
    return items and all(condition['status'] == 'True' for each in items for condition in each['status']['conditions']
                         if condition['type'] in ('Ready', 'ContainersReady'))


def uids(app):
    return [each['metadata']['uid'] for each in staying(app)]


def restarts(app, container):
    return sum(each['restartCount'] for pod in staying(app) for each in pod['status']['initContainerStatuses'] if each['name'] == container)


@pytest.fixture(scope='module')
def stranger(mesh):
    """A pod without a sidecar."""
    kubectl('-n', 'prod', 'run', 'stranger', '--image=docker.io/library/python:3-slim', '--restart=Never', '--labels=app=stranger', '--overrides',
            json.dumps({'spec': {'containers': [{'name': 'app', 'image': 'docker.io/library/python:3-slim', 'command': ['sleep', 'infinity']}]}}))
    kubectl('-n', 'prod', 'wait', '--for=condition=Ready', 'pod/stranger', '--timeout=60s')
    yield 'stranger'
    kubectl('-n', 'prod', 'delete', 'pod', 'stranger', '--now', '--wait=false')


def test_front_reaches_shop_and_a_stranger_does_not(mesh, stranger):
    front = pods('prod', 'front')[0]
    assert ask(front, URL)
    lines = [json.loads(line) for pod in pods('prod', 'shop') for line in kubectl('-n', 'prod', 'logs', pod, '-c', 'fairlead-sidecar').splitlines()]
    served = [line for line in lines if line['msg'] == 'connection']
    assert served[-1]['peer'] == 'spiffe://prod.example/ns/prod/sa/front' and served[-1]['security'] == 'mtls'
    assert not ask(stranger, URL)


def test_from_permissive_to_strict(mesh, stranger):
    """The guide's way: nobody is refused at first, `suggest` names who comes in plaintext, and `preview` what strict would change."""
    ini = next(each for each in yaml.safe_load_all((KUBERNETES / 'permissive.yaml').read_text()) if each)['data']['fairlead.ini']
    front = pods('prod', 'front')[0]
    replace_ini('shop', ini)
    until('a stranger is admitted by both', lambda: all(ask(stranger, URL) for _ in range(8)))
    assert ask(front, URL)
    reports = [agent(pod, 'suggest') for pod in pods('prod', 'shop')]
    assert any('plaintext' in report for report in reports), reports
    assert any(agent(pod, 'preview', '-', status=None, text=RULES.read_text())[0] == 1 for pod in pods('prod', 'shop'))
    with Load(front, URL) as load:
        replace_ini('shop', RULES.read_text())
        until('the stranger is refused by both', lambda: not any(ask(stranger, URL) for _ in range(8)))
    assert load.result['failed'] == 0


def test_the_tools_of_the_guide_work_in_the_pod(mesh):
    shop = pods('prod', 'shop')[0]
    other = 'spiffe://prod.example/ns/prod/sa/other'
    assert 'ready' in agent(shop, 'status')
    assert f'from = {other}' in agent(shop, 'explain', '--from', other, '--to', '8080', status=1)
    assert agent(shop, 'suggest')
    assert 'closes       no open connection' in agent(shop, 'preview', '-', text=RULES.read_text())
    assert '8080' in agent(shop, 'check', '-c', '-', text=RULES.read_text())


def test_renewed_certificates_are_used_without_a_failed_request(mesh):
    with Load(pods('prod', 'front')[0], URL) as load:
        mesh.renew()
        mesh.await_certificates()
    assert load.result['failed'] == 0 and load.result['ok'] > 500


def test_a_root_is_changed_in_three_steps_without_a_failed_request(mesh):
    with Load(pods('prod', 'front')[0], URL) as load:
        for step in 'add', 'use', 'drop':
            if step == 'drop':
                for app in 'shop', 'front':
                    agent(pods('prod', app)[0], 'preview', '-', text=(mesh.pki / 'ca.crt').read_text())
            mesh.run_pki('root', mesh.pki, step)
            mesh.renew()
            mesh.await_certificates()
    assert load.result['failed'] == 0 and load.result['ok'] > 500


def test_a_rule_comes_and_goes_without_a_restart(mesh):
    front, shops = pods('prod', 'front')[0], pods('prod', 'shop')
    replace_ini('shop', RULES.read_text().replace('sa/front', 'sa/nobody'))
    until('front is refused', lambda: not any(ask(front, URL) for _ in range(4)))
    replace_ini('shop', RULES.read_text())
    until('front is admitted by both', lambda: all(ask(front, URL) for _ in range(8)))
    assert pods('prod', 'shop') == shops


def test_an_ini_with_an_error_changes_nothing_and_status_says_so(mesh):
    shop = pods('prod', 'shop')[0]
    generation = state(shop)['generation']['number']
    replace_ini('shop', RULES.read_text().replace('[allow front]', '[alow front]'))
    until('the agent has refused it', lambda: 'INI REFUSED' in agent(shop, 'status', status=None)[1])
    assert ask(pods('prod', 'front')[0], URL) and ready('shop') and state(shop)['generation']['number'] == generation
    replace_ini('shop', RULES.read_text())
    until('it is good again', lambda: 'INI REFUSED' not in agent(shop, 'status'))


def test_a_rollout_fails_no_request(mesh):
    with Load(pods('prod', 'front')[0], URL) as load:
        kubectl('-n', 'prod', 'rollout', 'restart', 'deployment/shop')
        kubectl('-n', 'prod', 'rollout', 'status', 'deployment/shop', '--timeout=120s')
        kubectl('-n', 'prod', 'scale', 'deployment/shop', '--replicas=3')
        kubectl('-n', 'prod', 'rollout', 'status', 'deployment/shop', '--timeout=120s')
        kubectl('-n', 'prod', 'scale', 'deployment/shop', '--replicas=2')
        until('two are left', lambda: len(pods('prod', 'shop')) == 2)
    assert load.result['failed'] == 0 and load.result['ok'] > 200


def test_the_death_of_every_agent_fails_no_request(mesh):
    """The agent's parent, the first process of the container, starts it again: the kubelet notices nothing, and its back-off does not begin."""
    with Load(pods('prod', 'front')[0], URL) as load:
        for _ in range(2):
            assert kill(['fairlead-agent', 'run'], uids('shop') + uids('front'), first=False) >= 3
            for pod in pods('prod', 'shop') + pods('prod', 'front'):
                until(f'the sidecar of {pod} has its agent again', lambda pod=pod: state(pod)['agent']['connected'])
            load.await_more(200)
        assert ready('shop') and ready('front')
    assert load.result['failed'] == 0 and load.result['ok'] > 200
    mesh.renew()
    mesh.await_certificates()


def test_the_death_of_a_sidecar_costs_little(mesh):
    """Connections to its pod are refused at once until the kubelet has started it again: there is nobody to answer them, and nobody hangs."""
    before = restarts('shop', 'fairlead-sidecar')
    with Load(pods('prod', 'front')[0], URL) as load:
        assert kill(['fairlead-sidecar'], uids('shop')[:1]) == 1
        until('the kubelet has started it again', lambda: restarts('shop', 'fairlead-sidecar') > before)
        until('the pod is ready again', lambda: ready('shop'))
    assert load.result['failed'] < load.result['ok'] * 0.2
    assert all(seconds < 5 for seconds, _ in load.result['errors'])
    assert all(ask(pods('prod', 'front')[0], URL) for _ in range(8))


def test_the_example_can_be_applied_again(mesh):
    apply_directory(KUBERNETES / 'example' / 'shop')
    kubectl('-n', 'prod', 'rollout', 'status', 'deployment/shop', '--timeout=120s')
    assert ready('shop')
