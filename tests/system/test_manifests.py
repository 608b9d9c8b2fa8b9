# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests deploy/kubernetes for what a cluster would refuse, or would show only when it is too late."""
import json
import os
import re

import pytest

import lab as labs
from test_tools import tool

yaml = pytest.importorskip('yaml', reason='not installed: python3-yaml')
import manifest  # noqa: E402
from manifest import containers, objects, quantity  # noqa: E402

FOLDER = labs.ROOT / 'deploy' / 'kubernetes'
FILES = sorted(FOLDER.glob('*.yaml'))
ID = 'spiffe://prod.example/ns/prod/sa/'
CAPTURED, FIXED = ('app', 'pod-certificate'), ('fixed',)
SIDECAR_UID, AGENT_UID = 2112, 2113
CERT_MANAGER = {  # cert-manager.io/v1: the fields that we use
    'Certificate': {'secretName': str, 'commonName': str, 'uris': list, 'duration': str, 'renewBefore': str, 'privateKey': dict, 'usages': list,
                    'issuerRef': dict},
    'Issuer': {'ca': dict}}


def named(kind, name):
    """Returns the only object of this kind in that file."""
    found = [each for each in objects(FOLDER / f'{name}.yaml') if each['kind'] == kind]
    assert len(found) == 1
    return found[0]


def pod_of(name):
    return named('Deployment', name)['spec']['template']['spec']


def container(pod, name):
    return next(each for each in containers(pod) if each['name'] == name)


def ini_of(name):
    return named('ConfigMap', name)['data']['fairlead.ini']


def test_all_files_are_known():
    assert {path.stem for path in FILES} == {*CAPTURED, *FIXED, 'permissive', 'cert-manager', 'inject'}
    guide = (labs.ROOT / 'deploy' / 'README.md').read_text()
    assert all(f'| `{path.name}` |' in guide for path in FILES)


# --- what the API server would report --------------------------------------------------------------------

@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_field_exists_and_has_its_type(path):
    for thing in objects(path):
        if not thing['apiVersion'].startswith('cert-manager.io/'):
            assert manifest.wrong_fields(thing) == []


def test_the_check_of_fields_finds_mistakes():
    thing = named('Deployment', 'app')
    pod = thing['spec']['template']['spec']
    pod['initContainers'][1]['restartPolicyy'] = 'Always'
    pod['containers'][0]['ports'][0]['containerPort'] = '8080'
    pod['volumes'][1]['secret']['defaultMode'] = True
    del pod['containers'][0]['name']
    del thing['spec']['selector']
    assert {line.split(': ')[0].rpartition('.')[2] for line in manifest.wrong_fields(thing)} == {
        'selector', 'name', 'containerPort', 'restartPolicyy', 'defaultMode'}
    assert manifest.wrong_fields({'apiVersion': 'v1', 'kind': 'Podd'}) == ['v1 Podd: not known here']


def test_cert_manager_makes_the_secret_that_the_pod_mounts():
    certificate, issuer = named('Certificate', 'cert-manager'), named('Issuer', 'cert-manager')
    for thing in certificate, issuer:
        assert thing['apiVersion'] == 'cert-manager.io/v1'
        for name, value in thing['spec'].items():
            assert isinstance(value, CERT_MANAGER[thing['kind']][name])
    spec = certificate['spec']
    assert spec['issuerRef'] == {'group': 'cert-manager.io', 'kind': 'Issuer', 'name': issuer['metadata']['name']}
    assert spec['uris'] == [f'{ID}shop'], 'one and no more'
    assert {'digital signature', 'server auth', 'client auth'} == set(spec['usages'])
    for name in 'app', 'fixed':
        volume = next(each for each in pod_of(name)['volumes'] if each['name'] == 'fairlead-tls')
        assert volume['secret']['secretName'] == spec['secretName']


# --- what a security officer would report ----------------------------------------------------------------

@pytest.mark.parametrize('name', CAPTURED)
def test_nothing_but_the_init_container_goes_beyond_restricted(name):
    assert manifest.not_restricted(pod_of(name)) == {
        'fairlead-redirect': ['adds NET_ADMIN', 'runAsNonRoot', 'runAsUser']}


@pytest.mark.parametrize('name', FIXED)
def test_without_capture_everything_is_restricted(name):
    assert manifest.not_restricted(pod_of(name)) == {}


def test_the_check_of_pod_security_finds_breaches():
    pod = pod_of('fixed')
    assert manifest.not_restricted(pod) == {}
    pod['hostNetwork'] = True
    pod['volumes'].append({'name': 'x', 'hostPath': {'path': '/'}})
    del pod['securityContext']['seccompProfile']
    del container(pod, 'fairlead-agent')['securityContext']['capabilities']
    container(pod, 'app')['securityContext'].update(privileged=True, allowPrivilegeEscalation=True, runAsUser=0)
    assert manifest.not_restricted(pod) == {
        'pod': ['hostNetwork', 'volume x: hostPath'], 'fairlead-sidecar': ['seccompProfile'],
        'fairlead-agent': ['does not drop ALL', 'seccompProfile'],
        'app': ['allowPrivilegeEscalation', 'privileged', 'runAsUser', 'seccompProfile']}


@pytest.mark.parametrize('name', [*CAPTURED, *FIXED])
def test_the_pod_gives_no_more_than_it_has_to(name):
    pod = pod_of(name)
    assert pod['automountServiceAccountToken'] is False
    users = [each['securityContext']['runAsUser'] for each in containers(pod)]
    assert len(set(users)) == len(users), 'nobody can look into the memory of another, or go out as the sidecar'
    assert container(pod, 'fairlead-sidecar')['securityContext']['runAsUser'] == SIDECAR_UID
    assert container(pod, 'fairlead-agent')['securityContext']['runAsUser'] == AGENT_UID
    assert not {'fsGroup', 'supplementalGroups'} & set(pod['securityContext']), "it would change the app's own volumes"
    for volume in pod['volumes']:
        if volume['name'] == 'fairlead-tls':
            assert (volume.get('secret') or volume['projected'])['defaultMode'] == 0o440, "root's, and of root's group"
    groups = {each['name']: each['securityContext']['runAsGroup'] for each in containers(pod)}
    assert {name for name, group in groups.items() if group == 0} - {'fairlead-redirect'} == {'fairlead-agent'}
    for each in containers(pod):
        assert each['securityContext']['readOnlyRootFilesystem'] is True
        mounts = {mount['name'] for mount in each.get('volumeMounts', [])}
        assert ('fairlead-tls' in mounts) == (each['name'] == 'fairlead-agent'), 'only the agent sees the key'
        assert each['name'] != 'app' or not mounts, "the app sees neither the sockets nor the policy"


# --- what an operator would report -----------------------------------------------------------------------

def seconds(ini, key, default):
    found = re.search(rf'^{key}\s*=\s*(\d+)s', ini, re.M)
    return int(found[1]) if found else default


def seconds_of(probe):
    """Returns how long the probe's command may run at most, by its own option."""
    return int(re.fullmatch(r'(\d+)s', probe['exec']['command'][-1])[1])


@pytest.mark.parametrize('name', [*CAPTURED, *FIXED])
def test_it_begins_and_ends_in_the_right_order(name):
    pod = pod_of(name)
    init = [each['name'] for each in pod['initContainers']]
    assert init == [*(['fairlead-redirect'] if name in CAPTURED else []), 'fairlead-agent', 'fairlead-sidecar'], \
        'they end in the opposite order'
    for each in pod['initContainers']:
        assert (each.get('restartPolicy') == 'Always') == (each['name'] != 'fairlead-redirect')
    startup = container(pod, 'fairlead-sidecar')['startupProbe']
    assert startup['exec']['command'][:2] == ['fairlead-agent', 'wait'] and startup['timeoutSeconds'] > seconds_of(startup)
    assert 'readinessProbe' not in container(pod, 'fairlead-agent'), 'traffic does not hang on it'
    for each in pod['initContainers']:
        assert each['terminationMessagePolicy'] == 'FallbackToLogsOnError', 'kubectl describe says why it has ended'
    app_ends = container(pod, 'app')['lifecycle']['preStop']['sleep']['seconds']
    assert pod['terminationGracePeriodSeconds'] >= app_ends + seconds(ini_of(name), 'drain', 30) + 10


@pytest.mark.parametrize('name', [*CAPTURED, *FIXED])
def test_the_limit_holds_as_many_connections_as_the_ini_allows(name):
    limits = container(pod_of(name), 'fairlead-sidecar')['resources']['limits']
    connections = int(re.search(r'^connections = (\d+)', ini_of(name), re.M)[1])
    assert quantity(limits['memory']) >= 32 * 2**20 + connections * (2 * 64 + 8) * 1024
    for each in containers(pod_of(name)):
        resources = each['resources']
        for what in 'cpu', 'memory':  # a ResourceQuota requires both of each container
            assert quantity(resources['requests'][what]) <= quantity(resources['limits'][what])


@pytest.mark.parametrize('name', [*CAPTURED, *FIXED])
def test_names_lead_somewhere(name):
    """Every reference exists: volumes, ports of probes and of the Service, ConfigMap, service account. The files differ
    little."""
    deployment, pod = named('Deployment', name), pod_of(name)
    volumes = {each['name']: each for each in pod['volumes']}
    assert {mount['name'] for each in containers(pod) for mount in each.get('volumeMounts', [])} == set(volumes)
    assert volumes['fairlead-ini']['configMap']['name'] == named('ConfigMap', name)['metadata']['name']
    for each in containers(pod):
        ports = {port['name'] for port in each.get('ports', [])}
        for probe in 'startup', 'readiness', 'liveness':
            if 'httpGet' in each.get(f'{probe}Probe', {}):
                assert each[f'{probe}Probe']['httpGet']['port'] in ports
    assert pod['serviceAccountName'] == named('ServiceAccount', name)['metadata']['name']
    service = named('Service', name)['spec']
    labels = deployment['spec']['template']['metadata']['labels']
    assert deployment['spec']['selector']['matchLabels'] == service['selector'] == labels
    listening = {port.get('name'): port['containerPort'] for each in containers(pod) for port in each.get('ports', [])}
    target = service['ports'][0].get('targetPort', service['ports'][0]['port'])
    assert target in listening or target in listening.values()
    annotations = deployment['spec']['template']['metadata']['annotations']
    assert annotations['prometheus.io/port'] == str(listening['fairlead-admin']) == '15020'
    sidecar, example = container(pod, 'fairlead-sidecar'), container(pod_of('app'), 'fairlead-sidecar')
    assert {**sidecar, 'ports': None} == {**example, 'ports': None}
    assert container(pod, 'fairlead-agent') == container(pod_of('app'), 'fairlead-agent')


def braced(text, start):
    """Returns the text from the brace at start to its closing brace."""
    depth = 0
    for end in range(start, len(text)):
        depth += {'{': 1, '}': -1}.get(text[end], 0)
        if depth == 0:
            return text[start:end + 1]
    raise ValueError(text[start:])


def injected():
    """Returns what inject.yaml adds to a pod, in order: {path: [values]}."""
    policy, values = named('MutatingAdmissionPolicy', 'inject')['spec'], {}
    variables = {each['name']: each['expression'] for each in policy['variables']}
    for mutation in policy['mutations']:
        text = mutation['jsonPatch']['expression']
        for found in re.finditer(r'path: "([^"]+)", value: Object(?:\.\w+)+(?={)', text):
            literal = re.sub(r'Object(\.\w+)+(?={)', '', braced(text, found.end()))
            literal = literal.replace('variables.image', variables['image']).replace('variables.names', 'shop-fairlead')
            values.setdefault(found[1], []).append(yaml.safe_load(literal))
    return values


def test_what_is_injected_is_what_the_example_has():
    """(Evaluating its CEL requires an API server, so this compares only the literals in it.)"""
    pod, put = pod_of('app'), injected()
    nothing = {'name': 'fairlead-no-token', 'emptyDir': {'medium': 'Memory', 'sizeLimit': '1Mi'}}
    instead = {'name': nothing['name'], 'mountPath': '/var/run/secrets/kubernetes.io/serviceaccount', 'readOnly': True}
    assert put['/spec/volumes/-'] == [*pod['volumes'], nothing]
    assert len(put['/spec/initContainers/0']) == len(pod['initContainers'])
    for due, each in zip(pod['initContainers'], reversed(put['/spec/initContainers/0'])):
        # The rest of the pod may differ: our containers set themselves what app.yaml sets for the whole pod.
        context = {'runAsNonRoot': True, **due['securityContext'], 'seccompProfile': {'type': 'RuntimeDefault'}}
        assert each == {**due, 'securityContext': context, 'volumeMounts': [*due['volumeMounts'], instead]}
    assert set(put) == {'/spec/volumes/-', '/spec/initContainers/0'} and '/spec/securityContext' not in (FOLDER / 'inject.yaml').read_text()
    assert named('MutatingAdmissionPolicyBinding', 'inject')['spec']['policyName'] == \
        named('MutatingAdmissionPolicy', 'inject')['metadata']['name']


def test_who_is_left_alone_is_written_down():
    conditions = {each['name']: each['expression'] for each in named('MutatingAdmissionPolicy', 'inject')['spec']['matchConditions']}
    assert set(conditions) == {'not-yet', 'network-of-its-own', 'not-of-windows', 'no-mirror', 'not-disabled'}
    assert 'object.spec.os.name != "windows"' in conditions['not-of-windows']
    assert 'kubernetes.io/config.mirror' in conditions['no-mirror']


def test_nobody_else_may_run_as_the_sidecar():
    spec, binding = named('ValidatingAdmissionPolicy', 'inject')['spec'], named('ValidatingAdmissionPolicyBinding', 'inject')['spec']
    assert (spec['failurePolicy'], binding['validationActions']) == ('Fail', ['Deny'])
    assert binding['policyName'] == named('ValidatingAdmissionPolicy', 'inject')['metadata']['name']
    assert binding['matchResources'] == named('MutatingAdmissionPolicyBinding', 'inject')['spec']['matchResources']
    asked = [re.search(r'object\.spec\.(\w+)\.all\(', each['expression'])[1] for each in spec['validations']]
    assert asked == ['containers', 'initContainers', 'ephemeralContainers']
    for each in spec['validations']:
        assert f'in [{SIDECAR_UID}, {AGENT_UID}]' in each['expression'] and '\n' not in each['message']


def test_the_image_is_the_one_that_is_built():
    version = tool('--version')[1].split()[1]
    images = {each['image'] for name in (*CAPTURED, *FIXED) for each in containers(pod_of(name)) if each['name'] != 'app'}
    assert images == {f'localhost/fairlead:{version}'}
    assert 'localhost/fairlead:$version' in (labs.ROOT / 'deploy' / 'image').read_text()


def test_every_command_line_exists():
    def exists(words):
        if words == ['fairlead-sidecar']:
            return True
        program, *arguments = words
        status, _, err = tool(*arguments, '-c', '/nowhere/fairlead.ini')
        return program == 'fairlead-agent' and status == 2 and '/nowhere/fairlead.ini' in err
    assert not exists(['fairlead-agent', 'ran']) and not exists(['fairlead-agent', 'redirect', 'aply'])
    for name in *CAPTURED, *FIXED:
        for each in containers(pod_of(name)):
            assert each['name'] == 'app' or exists(each['args'])
            commands = [probe['exec']['command'] for probe in each.values() if isinstance(probe, dict) and 'exec' in probe]
            assert all(map(exists, commands))
    named_in_text = {word for path in FILES for word in re.findall(r'fairlead-agent ([a-z][a-z-]+)', path.read_text())}
    assert {'suggest', 'preview'} <= named_in_text
    for word in named_in_text:
        assert tool(word, '--help')[0] == 0


# --- what the programs report about the INIs -------------------------------------------------------------

@pytest.fixture
def mounted(lab):
    """mounted(name) returns the ConfigMap's INI, with the volumes in folders of the test."""
    def mount(name):
        folder = lab.folder / name
        (folder / 'tls').mkdir(parents=True)
        (folder / 'run').mkdir()
        svid = lab.root.issue(f'{ID}shop')
        for key, data in (('tls.crt', svid.chain_pem), ('tls.key', svid.key_pem), ('ca.crt', lab.root.cert_pem),
                          ('credential-bundle.pem', svid.bundle_pem)):
            (folder / 'tls' / key).write_bytes(data)
            os.chmod(folder / 'tls' / key, 0o440)
        text = ini_of(name).replace('/var/run/fairlead/tls', str(folder / 'tls'))
        assert 'uid    = 2113' in text and '= /run/fairlead/agent/agent.sock' in text, 'in the volume fairlead-run'
        (folder / 'run').chmod(0o3777)
        (folder / 'fairlead.ini').write_text(text.replace('= /run/fairlead/agent', f'= {folder}/run/agent'))
        return folder / 'fairlead.ini'
    return mount


@pytest.mark.parametrize('name', ['app', 'pod-certificate', 'fixed', 'permissive'])
def test_every_ini_is_good(name, mounted):
    status, out, err = tool('check', '-c', mounted(name))
    if name == 'permissive':
        assert status == 0 and err.count('\n') == 1 and '`[policy] mode = audit`' in err
    else:
        assert (status, err) == (0, ''), out


@pytest.mark.parametrize('name, question, decision', [
    ('app', (f'{ID}front', 8080), 'allow'),
    ('app', (f'{ID}front', 8082), 'deny'),
    ('app', (f'{ID}other', 8080), 'deny'),
    ('app', ('plaintext', 'health'), 'allow'),
    ('app', ('plaintext', 8080), 'deny'),
    ('pod-certificate', (f'{ID}front', 8080), 'allow'),
    ('pod-certificate', ('plaintext', 8080), 'deny'),
    ('fixed', (f'{ID}front', 'web'), 'allow'),
    ('fixed', (f'{ID}other', 'web'), 'deny'),
    ('permissive', (f'{ID}front', 8080), 'allow'),
    ('permissive', ('plaintext', 8080), 'allow'),
])
def test_every_ini_lets_in_whom_it_says(name, question, decision, mounted):
    status, out, _ = tool('explain', '-c', mounted(name), '--from', question[0], '--to', question[1], '--json')
    assert (json.loads(out)['decision'], status) == (decision, 0 if decision == 'allow' else 1)
