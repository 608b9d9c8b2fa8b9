# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests deploy/kubernetes/component: renders the kustomizations that users write, and checks what comes out."""
import json
import os
import re
import shutil
import subprocess

import pytest

import lab as labs

yaml = pytest.importorskip('yaml', reason='not installed: python3-yaml')
import manifest  # noqa: E402
from manifest import containers, objects, quantity  # noqa: E402
from test_manifests import AGENT_UID, SIDECAR_UID, pod_of  # noqa: E402
from test_tools import tool  # noqa: E402

FOLDER = labs.ROOT / 'deploy' / 'kubernetes'
COMPONENT = FOLDER / 'component'
KINDS = {'Deployment': 'apps/v1', 'StatefulSet': 'apps/v1', 'DaemonSet': 'apps/v1', 'Job': 'batch/v1', 'CronJob': 'batch/v1'}
SOURCES = 'csi-driver-spiffe', 'spire', 'pod-certificate'  # of certificates, other than a Secret
OURS = ['fairlead-redirect', 'fairlead-agent', 'fairlead-sidecar']


def version_of(*command):
    """Returns the major version of kustomize that this command prints, or 0."""
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except OSError:
        return 0
    found = re.search(r'(?m)^(?:Kustomize Version: )?v(\d+)\.\d+\.\d+$', text)
    return int(found[1]) if found else 0


if version_of('kustomize', 'version') >= 5:
    KUSTOMIZE = ['kustomize', 'build']
else:
    KUSTOMIZE = ['kubectl', 'kustomize'] if version_of('kubectl', 'version', '--client') >= 5 else None
needs_kustomize = pytest.mark.skipif(not KUSTOMIZE, reason='neither kustomize 5 nor a kubectl that has it is here; Debian 12 has neither')


def template_of(workload):
    spec = workload['spec']
    return (spec['jobTemplate']['spec'] if workload['kind'] == 'CronJob' else spec)['template']


def workload(kind, name, **labels):
    """Returns a workload of the user's, which has an init container and a volume already."""
    pod = {'metadata': {'labels': {'app': name}},
           'spec': {'initContainers': [{'name': 'migrate', 'image': 'example/app:1'}],
                    'containers': [{'name': 'app', 'image': 'example/app:1', 'volumeMounts': [{'name': 'data', 'mountPath': '/data'}]}],
                    'volumes': [{'name': 'data', 'emptyDir': {}}]}}
    spec = {'template': pod}
    if kind in ('Job', 'CronJob'):
        pod['spec']['restartPolicy'] = 'Never'
    else:
        spec['selector'] = {'matchLabels': {'app': name}}
    if kind == 'StatefulSet':
        spec['serviceName'] = name
    if kind == 'CronJob':
        spec = {'schedule': '0 * * * *', 'jobTemplate': {'spec': spec}}
    return {'apiVersion': KINDS[kind], 'kind': kind, 'metadata': {'name': name, **({'labels': labels} if labels else {})}, 'spec': spec}


@pytest.fixture
def render(tmp_path):
    """render(workloads, components, **more) returns the objects of the kustomization with these lines."""
    def run(workloads, components, **more):
        kustomization = {'namespace': 'prod', 'resources': ['app.yaml'], **more,
                         'components': [os.path.relpath(COMPONENT / each, tmp_path) for each in components]}
        (tmp_path / 'app.yaml').write_text(yaml.dump_all(workloads))
        (tmp_path / 'kustomization.yaml').write_text(yaml.dump(kustomization))
        done = subprocess.run([*KUSTOMIZE, tmp_path], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        (tmp_path / 'rendered.yaml').write_text(done.stdout)
        return {(each['kind'], each['metadata']['name']): each for each in objects(tmp_path / 'rendered.yaml')}
    return run


def volume_of(pod, name):
    return {each['name']: each for each in pod['volumes']}[name]


def names_of(pod):
    return volume_of(pod, 'fairlead-ini')['configMap']['name'], volume_of(pod, 'fairlead-tls')['secret']['secretName']


# --- without kustomize -----------------------------------------------------------------------------------

def expected(each):
    """Returns a container of app.yaml as the component has it: it sets itself what app.yaml sets for the pod, and hides the API's token."""
    context = {'runAsNonRoot': True, **each['securityContext'], 'seccompProfile': {'type': 'RuntimeDefault'}}
    token = {'name': 'fairlead-no-token', 'mountPath': '/var/run/secrets/kubernetes.io/serviceaccount', 'readOnly': True}
    return {**each, 'securityContext': context, 'volumeMounts': [*each['volumeMounts'], token]}


def test_the_component_adds_what_the_example_has():
    patches = {name: objects(COMPONENT / f'{name}.yaml')[0] for name in ('workload', 'cronjob')}
    assert template_of(patches['workload']) == template_of(patches['cronjob'])
    added = template_of(patches['workload'])['spec']
    example = pod_of('app')
    assert set(added) == {'initContainers', 'volumes'}, "nothing of the user's pod is overwritten"
    assert added['initContainers'] == [expected(each) for each in example['initContainers']]
    assert [each['name'] for each in added['volumes'][:3]] == [each['name'] for each in example['volumes']]
    assert added['volumes'][3]['emptyDir']['sizeLimit'] == '1Mi'


def test_each_part_is_one_that_is_tested():
    files = {str(path.relative_to(COMPONENT).parent) for path in COMPONENT.rglob('kustomization.yaml')}
    assert files == {'.', 'cert-manager', 'without-capture', *SOURCES, *(f'named/{kind.lower()}' for kind in KINDS)}
    guide = (labs.ROOT / 'deploy' / 'README.md').read_text()
    assert all(f'`{name}`' in guide for name in ('component/', 'cert-manager', 'without-capture', 'named/deployment', *SOURCES))


# --- rendered --------------------------------------------------------------------------------------------

@needs_kustomize
@pytest.mark.parametrize('kind', KINDS)
def test_one_line_adds_it_to_every_kind(kind, render):
    before = workload(kind, 'shop')
    after = render([before], ['.'])[kind, 'shop']
    template = template_of(after)
    pod = template['spec']
    assert list(manifest.wrong(template, 'PodTemplateSpec', 'template')) == []
    assert [each['name'] for each in pod['initContainers']] == [*OURS, 'migrate'], 'capture, agent, sidecar, and then the app'
    assert [each.get('restartPolicy') for each in pod['initContainers']] == [None, 'Always', 'Always', None]
    assert pod['containers'] == template_of(before)['spec']['containers'], 'the app is as it was'
    assert manifest.not_restricted({**pod, 'initContainers': pod['initContainers'][:3], 'containers': []}) == {
        'fairlead-redirect': ['adds NET_ADMIN', 'runAsNonRoot', 'runAsUser']}
    assert names_of(pod) == ('fairlead', 'fairlead')
    mounts = {each['name']: {mount['name'] for mount in each.get('volumeMounts', [])} for each in containers(pod)}
    assert [name for name, mounted in mounts.items() if 'fairlead-tls' in mounted] == ['fairlead-agent'], 'only it sees the key'
    assert mounts['app'] == {'data'} and {'data', *mounts['fairlead-agent']} == {each['name'] for each in pod['volumes']}
    assert volume_of(pod, 'fairlead-tls')['secret']['defaultMode'] == 0o440
    sidecar = pod['initContainers'][2]
    assert sidecar['startupProbe']['exec'] and sidecar['readinessProbe']['httpGet']['path'] == '/readyz'
    assert [each['securityContext']['runAsUser'] for each in pod['initContainers'][:3]] == [0, AGENT_UID, SIDECAR_UID]
    for each in pod['initContainers'][:3]:
        assert each['securityContext']['readOnlyRootFilesystem'] is True and quantity(each['resources']['limits']['cpu']) == 1


@needs_kustomize
def test_several_workloads_share_it_and_one_can_stay_out(render):
    disabled = workload('Deployment', 'plain', fairlead='disabled')
    rendered = render([disabled, workload('Deployment', 'a'), workload('StatefulSet', 'b'), workload('CronJob', 'c')], ['.'])
    assert template_of(rendered['Deployment', 'plain']) == template_of(disabled)
    for key in ('Deployment', 'a'), ('StatefulSet', 'b'), ('CronJob', 'c'):
        assert OURS[0] == template_of(rendered[key])['spec']['initContainers'][0]['name']


@needs_kustomize
@pytest.mark.parametrize('kind', KINDS)
def test_names_follow_the_workload(kind, render, tmp_path):
    """The user's ConfigMap is the one that is mounted, and a change of it restarts nothing."""
    (tmp_path / 'fairlead.ini').write_text('[identity]\n')
    rendered = render([workload(kind, 'shop')], ['.', 'cert-manager', f'named/{kind.lower()}'],
                      configMapGenerator=[{'name': 'shop-fairlead', 'files': ['fairlead.ini'], 'options': {'disableNameSuffixHash': True}}])
    assert names_of(template_of(rendered[kind, 'shop'])['spec']) == ('shop-fairlead', 'shop-fairlead')
    assert rendered['ConfigMap', 'shop-fairlead']['data'] == {'fairlead.ini': '[identity]\n'}
    assert rendered['Certificate', 'shop-fairlead']['spec']['secretName'] == 'shop-fairlead'


@needs_kustomize
@pytest.mark.parametrize('source', SOURCES)
@pytest.mark.parametrize('kind', ['Deployment', 'CronJob'])
def test_other_sources_of_certificates_replace_the_secret(kind, source, render):
    rendered = render([workload(kind, 'shop')], ['.', f'named/{kind.lower()}', source])
    template = template_of(rendered[kind, 'shop'])
    pod = template['spec']
    assert list(manifest.wrong(template, 'PodTemplateSpec', 'template')) == []
    tls = volume_of(pod, 'fairlead-tls')
    assert set(tls) == {'name', {'csi-driver-spiffe': 'csi', 'spire': 'emptyDir', 'pod-certificate': 'projected'}[source]}
    ours = [each['name'] for each in pod['initContainers']]
    assert ours == [*(['fairlead-spire'] if source == 'spire' else []), *OURS, 'migrate']
    readers = {each['name'] for each in containers(pod) for mount in each.get('volumeMounts', []) if mount['name'] == 'fairlead-tls'}
    assert readers == {'fairlead-agent', *(['fairlead-spire'] if source == 'spire' else [])}
    assert manifest.not_restricted({**pod, 'initContainers': [each for each in pod['initContainers'] if each['name'] != 'migrate'],
                                    'containers': []}) == {'fairlead-redirect': ['adds NET_ADMIN', 'runAsNonRoot', 'runAsUser']}


@needs_kustomize
def test_spire_writes_where_the_agent_reads(render):
    rendered = render([workload('Deployment', 'shop')], ['.', 'spire'])
    pod = template_of(rendered['Deployment', 'shop'])['spec']
    helper, agent = pod['initContainers'][0], pod['initContainers'][2]
    name = volume_of(pod, 'fairlead-spire-helper')['configMap']['name']
    settings = dict(line.split(' = ') for line in rendered['ConfigMap', name]['data']['helper.conf'].splitlines())
    assert helper['securityContext']['runAsUser'] == agent['securityContext']['runAsUser'], 'it may read what that has written'
    places = {each['name']: {mount['name']: mount['mountPath'] for mount in each['volumeMounts']} for each in (helper, agent)}
    assert json.loads(settings['cert_dir']) == places['fairlead-spire']['fairlead-tls'] == places['fairlead-agent']['fairlead-tls']
    assert [json.loads(settings[f'{each}_file_name']) for each in ('svid', 'svid_key', 'svid_bundle')] == ['tls.crt', 'tls.key', 'ca.crt']
    assert json.loads(settings['agent_address']).startswith(places['fairlead-spire']['fairlead-spire-api'] + '/')
    assert helper['restartPolicy'] == 'Always' and not any(mount.get('readOnly') for mount in helper['volumeMounts'] if mount['name'] == 'fairlead-tls')


@needs_kustomize
def test_cert_manager_fills_the_secret_that_is_mounted(render):
    uri = 'spiffe://prod.example/ns/prod/sa/shop'
    rendered = render([workload('Deployment', 'shop')], ['.', 'cert-manager'], patches=[
        {'target': {'kind': 'Certificate', 'name': 'fairlead'}, 'patch': json.dumps([{'op': 'replace', 'path': '/spec/uris/0', 'value': uri}])}])
    certificate = rendered['Certificate', 'fairlead']['spec']
    assert certificate['uris'] == [uri] and certificate['secretName'] == names_of(template_of(rendered['Deployment', 'shop'])['spec'])[1]
    assert set(certificate['usages']) == {'digital signature', 'server auth', 'client auth'}


@needs_kustomize
@pytest.mark.parametrize('sources', [[], *([each] for each in SOURCES)], ids=lambda sources: '-'.join(sources) or 'secret')
@pytest.mark.parametrize('kind', ['StatefulSet', 'CronJob'])
def test_without_capture_all_of_it_is_restricted(kind, sources, render):
    rendered = render([workload(kind, 'shop')], ['.', *sources, 'without-capture'])
    pod = template_of(rendered[kind, 'shop'])['spec']
    assert OURS[0] not in [each['name'] for each in pod['initContainers']]
    assert manifest.not_restricted({**pod, 'initContainers': [each for each in pod['initContainers'] if each['name'] != 'migrate'],
                                    'containers': []}) == {}


@needs_kustomize
@pytest.mark.parametrize('name', ['shop', 'front'])
def test_the_two_apps_of_the_guide(name, lab):
    """Their pods mount what the guide makes, and their INIs are good and say who may reach whom."""
    done = subprocess.run([*KUSTOMIZE, FOLDER / 'example' / name], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rendered = {each['kind']: each for each in yaml.safe_load_all(done.stdout)}
    for thing in rendered.values():
        assert thing['metadata']['namespace'] == 'prod' and manifest.wrong_fields(thing) == []
    pod = template_of(rendered['Deployment'])['spec']
    assert names_of(pod) == (f'{name}-fairlead', f'{name}-fairlead') == (rendered['ConfigMap']['metadata']['name'],) * 2
    assert pod['serviceAccountName'] == rendered['ServiceAccount']['metadata']['name'] == name
    svid = lab.root.issue(f'spiffe://prod.example/ns/prod/sa/{name}')
    for key, data in ('tls.crt', svid.chain_pem), ('tls.key', svid.key_pem), ('ca.crt', lab.root.cert_pem):
        (lab.folder / key).write_bytes(data)
        (lab.folder / key).chmod(0o440)
    ini = lab.folder / 'fairlead.ini'
    ini.write_text(rendered['ConfigMap']['data']['fairlead.ini'].replace('/var/run/fairlead/tls', str(lab.folder))
                   .replace('/run/fairlead/agent', f'{lab.folder}/agent'))
    (lab.folder / 'agent').mkdir(mode=0o755)
    status, _, err = tool('check', '--strict', '-c', ini)
    assert (status, err) == (0, '')
    assert tool('explain', '-c', ini, '--from', 'spiffe://prod.example/ns/prod/sa/front', '--to', 8080)[0] == (name == 'front')


@needs_kustomize
def test_the_examples_of_the_guide_render(tmp_path):
    """The kustomizations in deploy/README.md, beside a checkout called `fairlead`."""
    texts = re.findall(r'(?s)```yaml\n(# kustomization.yaml\n.*?)```', (labs.ROOT / 'deploy' / 'README.md').read_text())
    assert texts
    for number, text in enumerate(texts):
        place = tmp_path / str(number) / 'shop'
        place.mkdir(parents=True)
        shutil.copytree(FOLDER, place.parent / 'fairlead' / 'deploy' / 'kubernetes')
        (place / 'kustomization.yaml').write_text(text)
        (place / 'fairlead.ini').write_text('[identity]\n')
        (place / 'shop.yaml').write_text(yaml.dump(workload('Deployment', 'shop')))
        done = subprocess.run([*KUSTOMIZE, place], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        rendered = [each for each in yaml.safe_load_all(done.stdout) if each]
        pods = [template_of(each)['spec'] for each in rendered if each['kind'] == 'Deployment']
        assert pods and all(pod['initContainers'][0]['name'] == OURS[0] for pod in pods)
