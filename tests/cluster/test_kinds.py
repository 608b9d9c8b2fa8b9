# SPDX-License-Identifier: GPL-3.0-or-later
"""The component on every kind of workload, and the manifests, as they are."""
import json

import pytest

from conftest import KUBERNETES, apply_directory, ask, get, kubectl, kustomization, until

IMAGE = 'docker.io/library/python:3-slim'
KINDS = {'Deployment': 'apps/v1', 'StatefulSet': 'apps/v1', 'DaemonSet': 'apps/v1', 'Job': 'batch/v1', 'CronJob': 'batch/v1'}
OURS = ['fairlead-redirect', 'fairlead-agent', 'fairlead-sidecar']


def workload(kind):
    name, ends = kind.lower(), kind in ('Job', 'CronJob')
    command = ['python3', '-c', 'import urllib.request as u; u.urlopen("http://shop.prod:8080/").read()'] if ends else ['sleep', 'infinity']
    pod = {'metadata': {'labels': {'app': name}},
           'spec': {'containers': [{'name': 'app', 'image': IMAGE, 'command': command, 'securityContext': {'runAsUser': 10001}}],
                    'terminationGracePeriodSeconds': 1}}
    spec = {'template': pod}
    if ends:
        pod['spec']['restartPolicy'] = 'Never'
        spec['backoffLimit'] = 0
    else:
        spec['selector'] = {'matchLabels': {'app': name}}
    if kind == 'StatefulSet':
        spec['serviceName'] = name
    if kind == 'CronJob':
        spec = {'schedule': '* * * * *', 'jobTemplate': {'spec': spec}}
    return {'apiVersion': KINDS[kind], 'kind': kind, 'metadata': {'name': name}, 'spec': spec}


def test_every_kind_of_workload_runs_with_the_component(mesh, tmp_path):
    """Those that run become ready; those that end do so, although the sidecar runs on, and their app has reached another one."""
    mesh.run_pki('svid', mesh.pki, 'ns/prod/sa/front', mesh.pki / 'kinds')
    kubectl('-n', 'prod', 'create', 'secret', 'generic', 'fairlead', f'--from-file={mesh.pki / "kinds"}')
    ini = (KUBERNETES / 'example' / 'front' / 'fairlead.ini').read_text()
    apply_directory(kustomization(tmp_path / 'kinds', ['.'], [workload(kind) for kind in KINDS], ini))
    for kind in 'deployment', 'statefulset', 'daemonset':
        kubectl('-n', 'prod', 'rollout', 'status', f'{kind}/{kind}', '--timeout=120s')
        pod = get('-n', 'prod', 'pods', '-l', f'app={kind}')['items'][0]
        assert [each['name'] for each in pod['spec']['initContainers']] == OURS
        assert ask(pod['metadata']['name'], 'http://shop.prod:8080/')
    kubectl('-n', 'prod', 'wait', '--for=condition=Complete', 'job/job', '--timeout=120s')

    def has_succeeded():
        return any(each['status'].get('succeeded') for each in get('-n', 'prod', 'jobs')['items'] if each['metadata']['name'].startswith('cronjob'))
    until('a job of the CronJob has succeeded', has_succeeded)
    kubectl('delete', '-k', tmp_path / 'kinds', '--wait=false')


# --- the manifests ---------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def namespace(mesh):
    """namespace(name) makes one with the Secret of the manifests; their INIs name the namespace prod, so the identities are of that."""
    def make(name, *labels):
        kubectl('create', 'namespace', name)
        if labels:
            kubectl('label', 'namespace', name, *labels)
        kubectl('-n', name, 'create', 'secret', 'generic', 'shop-fairlead', f'--from-file={mesh.pki / "shop"}')
        return name
    return make


@pytest.mark.parametrize('name', ['app', 'permissive'])
def test_the_whole_pod(name, namespace):
    place = namespace(f'whole-{name}', 'pod-security.kubernetes.io/enforce=privileged')
    for file in ['app'] if name == 'app' else ['app', 'permissive']:
        kubectl('-n', place, 'apply', '-f', KUBERNETES / f'{file}.yaml')
    kubectl('-n', place, 'rollout', 'status', 'deployment/shop', '--timeout=120s')
    kubectl('delete', 'namespace', place, '--wait=false')


def test_without_capture_a_restricted_namespace_accepts_it(namespace):
    place = namespace('fixed', 'pod-security.kubernetes.io/enforce=restricted')
    kubectl('-n', place, 'apply', '-f', KUBERNETES / 'fixed.yaml')
    kubectl('-n', place, 'rollout', 'status', 'deployment/shop', '--timeout=120s')
    refused = kubectl('-n', place, 'apply', '-f', KUBERNETES / 'app.yaml', status=None)[1]
    assert 'would violate PodSecurity "restricted' in refused and 'NET_ADMIN' in refused
    kubectl('delete', 'namespace', place, '--wait=false')


def test_a_quota_accepts_all_containers(namespace):
    place = namespace('quota')
    kubectl('-n', place, 'create', 'quota', 'all', '--hard=limits.cpu=20,limits.memory=4Gi,requests.cpu=2,requests.memory=2Gi')
    kubectl('-n', place, 'apply', '-f', KUBERNETES / 'app.yaml')
    kubectl('-n', place, 'rollout', 'status', 'deployment/shop', '--timeout=120s')
    kubectl('delete', 'namespace', place, '--wait=false')


def test_describe_says_why_a_pod_does_not_start(namespace):
    place = namespace('broken')
    text = (KUBERNETES / 'app.yaml').read_text().replace('[allow front]', '[alow front]')
    kubectl('-n', place, 'apply', '-f', '-', text=text)
    until('describe names the line', lambda: 'fairlead.ini:' in (text := kubectl('-n', place, 'describe', 'pods')) and 'did you mean' in text)
    kubectl('delete', 'namespace', place, '--wait=false')


def test_the_api_server_injects_it(namespace):
    place = namespace('injected', 'fairlead=enabled')
    kubectl('apply', '-f', KUBERNETES / 'inject.yaml')
    documents = (KUBERNETES / 'app.yaml').read_text().split('\n---\n')
    kubectl('-n', place, 'apply', '-f', '-', text='\n---\n'.join(each for each in documents if 'kind: ConfigMap' in each or 'kind: ServiceAccount' in each))

    def pod(name, user=10001, **more):
        helper = {'name': 'fairlead-spire', 'image': IMAGE, 'command': ['true'], 'securityContext': {'runAsUser': more.get('spire')}}
        return json.dumps({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': more.get('labels', {})}, 'spec': {
            'serviceAccountName': 'shop', 'automountServiceAccountToken': True, 'initContainers': [helper] if 'spire' in more else [],
            'containers': [
                {'name': 'app', 'image': IMAGE, 'command': ['sleep', 'infinity'], 'securityContext': {'runAsUser': user}}]}})

    def names(name):
        return [each['name'] for each in get('-n', place, 'pod', name)['spec'].get('initContainers', [])]
    until('the policy is active', lambda: kubectl('-n', place, 'apply', '-f', '-', text=pod('probe'), status=None) and
          (names('probe') == OURS or kubectl('-n', place, 'delete', 'pod', 'probe', '--now', status=None)[0] < 0))
    kubectl('-n', place, 'wait', '--for=condition=Ready', 'pod/probe', '--timeout=120s')
    mounts = {each['name']: [mount['name'] for mount in each['volumeMounts'] if 'serviceaccount' in mount['mountPath']]
              for each in get('-n', place, 'pod', 'probe')['spec']['initContainers']}
    assert all(mounts[name] == ['fairlead-no-token'] for name in OURS), "the API's token is for the app alone"
    kubectl('-n', place, 'apply', '-f', '-', text=pod('left-alone', labels={'fairlead': 'disabled'}))
    assert names('left-alone') == []
    status, said = kubectl('-n', place, 'apply', '-f', '-', text=pod('as-the-sidecar', user=2112), status=None)
    assert status != 0 and '2112' in said
    status, said = kubectl('-n', place, 'apply', '-f', '-', text=pod('with-the-helper-as-the-sidecar', spire=2112), status=None)
    assert status != 0 and '2112' in said
    kubectl('-n', place, 'apply', '-f', '-', text=pod('with-the-helper', spire=2113))
    kubectl('delete', '-f', KUBERNETES / 'inject.yaml')
    kubectl('delete', 'namespace', place, '--wait=false')
