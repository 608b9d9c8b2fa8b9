# SPDX-License-Identifier: GPL-3.0-or-later
"""A Service chooses a pod for each TCP connection. Sessions that carry one app connection after another must not undo that."""
import pytest

from conftest import KUBERNETES, Load, apply_directory, ask, kubectl, kustomization, pods, state, until

NAME, URL = 'three', 'http://three:8080/'
INI = (KUBERNETES / 'example' / 'shop' / 'fairlead.ini').read_text()
OBJECTS = [
    {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': NAME}, 'spec': {'selector': {'app': NAME}, 'ports': [{'port': 8080}]}},
    {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': NAME}, 'spec': {
        'replicas': 3, 'selector': {'matchLabels': {'app': NAME}}, 'template': {'metadata': {'labels': {'app': NAME}}, 'spec': {'containers': [
            {'name': 'app', 'image': 'localhost/your-app:1', 'securityContext': {'runAsUser': 10001},
             'startupProbe': {'exec': {'command': ['python3', '-c', 'import socket; socket.create_connection(("127.0.0.1", 8080))']}, 'periodSeconds': 1,
                              'failureThreshold': 60},
             'lifecycle': {'preStop': {'sleep': {'seconds': 5}}}}]}}}}]


@pytest.fixture
def service(mesh, tmp_path):
    mesh.renew(NAME)
    apply_directory(kustomization(tmp_path, ['.', 'named/deployment'], OBJECTS, INI, f'{NAME}-fairlead'))
    kubectl('-n', 'prod', 'rollout', 'status', f'deployment/{NAME}', '--timeout=120s')
    until('its name has an address', lambda: all(ask(pods('prod', 'front')[0], URL) for _ in range(2)))
    yield
    kubectl('delete', '-k', tmp_path, '--wait=false')


def scale(number):
    kubectl('-n', 'prod', 'scale', f'deployment/{NAME}', f'--replicas={number}')
    kubectl('-n', 'prod', 'rollout', 'status', f'deployment/{NAME}', '--timeout=120s')
    until(f'{number} pods are left', lambda: len(pods('prod', NAME)) == number)


def shares(load, number):
    """Returns the part of the next requests that each pod answers."""
    before = load.await_more(0)['answered']
    answered = {pod: count - before.get(pod, 0) for pod, count in load.await_more(number)['answered'].items()}
    found = {pod: round(count / sum(answered.values()), 3) for pod, count in answered.items()}
    print(f'of {number} requests: {found}')
    return found


def sessions(pod):
    return state(pod)['sessions']['outbound']


def test_a_service_goes_on_balancing(service):
    """A share is of 3,000 requests in about 370 sessions: a third of them, more or less 0.13 with 4 standard deviations."""
    front = pods('prod', 'front')[0]
    before = sessions(front)
    with Load(front, URL) as load:
        three = pods('prod', NAME)
        even = shares(load, 3000)
        assert set(even) == set(three) and all(0.2 < share < 0.47 for share in even.values()), even

        scale(4)
        fourth = (set(pods('prod', NAME)) - set(three)).pop()
        load.await_more(100)
        assert shares(load, 3000)[fourth] > 0.12, 'a new pod gets its part'

        scale(3)
        kept = set(pods('prod', NAME))
        until('the fourth has left', lambda: kept == {pod for pod, share in shares(load, 100).items() if share})
        assert all(0.2 < share < 0.47 for pod, share in shares(load, 3000).items() if pod in kept)
    after = sessions(front)
    cold, reused = (after[kind] - before[kind] for kind in ('cold', 'reused'))
    print(f'{cold} connections on a new session, {reused} on a reused one')
    assert reused > 4 * cold and load.result['failed'] == 0
