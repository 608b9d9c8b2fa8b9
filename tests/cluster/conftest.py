# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the cluster share: kubectl, the CA of the guide, and a load that counts what fails."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / 'deploy' / 'kubernetes'
APPS = 'shop', 'front'
INI = (KUBERNETES / 'example' / 'shop' / 'fairlead.ini').read_text()  # where `front` is admitted

# Asks for URL over a new connection each time, from several threads, until stdin ends; then prints how many answers and errors it got, and
# who answered. Each line of stdin is a number: it prints one, too, after as many more requests.
LOAD = '''
import collections, json, sys, threading, time, urllib.request
count, answered, ended, errors, changed = collections.Counter(), collections.Counter(), threading.Event(), [], threading.Condition()
def say():
    print(json.dumps({'ok': count['ok'], 'failed': count['failed'], 'answered': answered, 'errors': errors[:20]}), flush=True)
def ask():
    while not ended.is_set():
        began = time.time()
        try:
            with urllib.request.urlopen(URL, timeout=10) as answer:
                result, who, error = 'ok', answer.headers['Server-Name'], None
                answer.read()
        except Exception as e:
            result, who, error = 'failed', None, (round(time.time() - began, 2), repr(e))
        with changed:
            count[result] += 1
            if error:
                errors.append(error)
            elif who:
                answered[who] += 1
            changed.notify_all()
        time.sleep(0.01)
threads = [threading.Thread(target=ask) for _ in range(4)]
for each in threads: each.start()
for line in sys.stdin:
    with changed:
        end = count.total() + int(line)
        changed.wait_for(lambda: count.total() >= end)
        say()
ended.set()
for each in threads: each.join()
say()
'''


def kubectl(*words, status=0, text=None):
    """Runs it. Returns stdout; status None: (exit status, both outputs)."""
    done = subprocess.run(['kubectl', *map(str, words)], capture_output=True, text=True, check=False, input=text, timeout=300)
    if status is None:
        return done.returncode, done.stdout + done.stderr
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return done.stdout


def get(*words):
    return json.loads(kubectl('get', *words, '-o', 'json'))


def until(what, condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f'not within {seconds} s: {what}'
        time.sleep(0.5)


def apply_directory(folder, **options):
    return kubectl('apply', '-k', folder, **options)


def kustomization(folder, components, objects, ini, name='fairlead', **more):
    """Writes a user's kustomization into this folder. name: of the ConfigMap with the INI."""
    folder.mkdir(exist_ok=True)
    (folder / 'app.yaml').write_text('\n---\n'.join(json.dumps(each) for each in objects))
    (folder / 'fairlead.ini').write_text(ini)
    (folder / 'kustomization.yaml').write_text(json.dumps({
        'namespace': 'prod', 'resources': ['app.yaml'], 'components': [os.path.relpath(KUBERNETES / 'component' / each, folder) for each in components],
        'configMapGenerator': [{'name': name, 'files': ['fairlead.ini'], 'options': {'disableNameSuffixHash': True}}], **more}))
    return folder


def pods(namespace, app):
    """Returns the names of the pods that are meant to stay."""
    return [each['metadata']['name'] for each in get('-n', namespace, 'pods', '-l', f'app={app}')['items']
            if 'deletionTimestamp' not in each['metadata']]


def agent(pod, *words, namespace='prod', status=0, text=None):
    return kubectl('-n', namespace, 'exec', *(['-i'] if text else []), pod, '-c', 'fairlead-agent', '--', 'fairlead-agent', *words,
                   status=status, text=text)


def state(pod, namespace='prod'):
    return json.loads(agent(pod, 'status', '--json', namespace=namespace))


def ask(pod, url, namespace='prod'):
    """Returns whether the app of this pod gets an answer from there."""
    code = f'import urllib.request; urllib.request.urlopen("{url}", timeout=5).read()'
    return kubectl('-n', namespace, 'exec', pod, '-c', 'app', '--', 'python3', '-c', code, status=None)[0] == 0


def processes(program, pod_uids):
    """Yields those of the pods that run this program, and whether it is the first of its container: they are in our PID namespace, below ours."""
    for folder in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            line = (folder / 'cmdline').read_bytes().decode().split('\0')
            group = (folder / 'cgroup').read_text()
            is_first = re.search(r'(?m)^NSpid:.*\t1$', (folder / 'status').read_text())
        except OSError:
            continue
        if line[:len(program)] == program and any(uid in group for uid in pod_uids):
            yield int(folder.name), bool(is_first)


def kill(program, pod_uids, first=True):
    """Kills these processes of the pods. first=False: not the first of a container. Returns how many there were."""
    found = [pid for pid, is_first in processes(program, pod_uids) if first or not is_first]
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)


class Load:
    """Requests of a pod's app, for as long as the block lasts: some are answered before it begins, and some begin after its end."""

    def __init__(self, pod, url, namespace='prod', through_kubelet=True):
        """through_kubelet=False: the kubelet may end. The app then has to be a Python program."""
        enter = ['kubectl', '-n', namespace, 'exec', '-i', pod, '-c', 'app', '--']
        if not through_kubelet:
            (pid, _), = processes(['python3'], [get('-n', namespace, 'pod', pod)['metadata']['uid']])
            enter = ['nsenter', '-t', str(pid), '-m', '-n', '-S', '10001', '-G', '10001']
        self.command = [*enter, 'python3', '-c', f'URL = "{url}"\n{LOAD}']

    def await_more(self, number=50):
        """Waits for as many more requests. Returns the counts since the start."""
        self.process.stdin.write(f'{number}\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.await_more()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.await_more()
        out, _ = self.process.communicate(timeout=60)
        self.result = json.loads(out)
        print(f'{self.result["failed"]} of {self.result["ok"] + self.result["failed"]} requests failed', self.result['errors'])


class Mesh:
    """The two apps of the guide, with its CA."""

    def __init__(self, folder):
        self.pki = folder / 'pki'

    def run_pki(self, *words):
        subprocess.run([ROOT / 'deploy' / 'pki', *map(str, words)], check=True, capture_output=True)

    def renew(self, *apps, namespace='prod'):
        for app in apps or APPS:
            self.run_pki('svid', self.pki, f'ns/{namespace}/sa/{app}', self.pki / app)
            made = kubectl('-n', namespace, 'create', 'secret', 'generic', f'{app}-fairlead', f'--from-file={self.pki / app}',
                           '--dry-run=client', '-o', 'yaml')
            kubectl('-n', namespace, 'apply', '-f', '-', text=made)

    def await_certificates(self):
        """Waits until all pods use what renew() has made last: this leaf, and as many roots."""
        for app in APPS:
            roots = (self.pki / app / 'ca.crt').read_text().count('BEGIN')
            end = subprocess.run(['openssl', 'x509', '-noout', '-enddate', '-dateopt', 'iso_8601', '-in', self.pki / app / 'tls.crt'],
                                 check=True, capture_output=True, text=True).stdout.strip().partition('=')[2].replace(' ', 'T')
            for pod in pods('prod', app):
                def is_in_use(pod=pod, roots=roots, end=end):
                    kinds = [(each['kind'], each['not_after']) for each in state(pod)['certificates']]
                    return ('leaf', end) in kinds and sum(kind == 'root' for kind, _ in kinds) == roots
                until(f'{pod} uses the new certificate', is_in_use)


# --- workloads -------------------------------------------------------------------------------------------

def workload(name):
    """Two pods that call each other over their Service: each is client and server."""
    return [
        {'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': name}, 'automountServiceAccountToken': False},
        {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': name}, 'spec': {'selector': {'app': name}, 'ports': [{'port': 8080}]}},
        {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': name}, 'spec': {
            'replicas': 2, 'selector': {'matchLabels': {'app': name}}, 'template': {'metadata': {'labels': {'app': name}}, 'spec': {
                'serviceAccountName': name, 'terminationGracePeriodSeconds': 5,
                'containers': [{'name': 'app', 'image': 'localhost/your-app:1', 'securityContext': {'runAsUser': 10001}}]}}}}]


@contextlib.contextmanager
def deployed(folder, name, components, ini=INI, objects=(), **more):
    """A workload that calls itself, with the component and these more, ready, until the block ends."""
    ini = ini.replace('sa/front', f'sa/{name}')
    apply_directory(kustomization(folder, ['.', *components], [*workload(name), *objects], ini, f'{name}-fairlead', **more))
    try:
        kubectl('-n', 'prod', 'rollout', 'status', f'deployment/{name}', '--timeout=120s')
        until('both reach the Service', lambda: all(ask(pod, f'http://{name}:8080/') for pod in pods('prod', name)), 30)
        assert all(state(pod)['id'] == f'spiffe://prod.example/ns/prod/sa/{name}' for pod in pods('prod', name))
        yield
    finally:
        kubectl('delete', '-k', folder, '--wait=false')


@pytest.fixture(scope='session')
def mesh():
    made = Mesh(pathlib.Path(os.environ['CLUSTER_FOLDER']))
    if not made.pki.exists():  # it is there in a cluster that somebody keeps: `run -- bash`
        made.run_pki('ca', made.pki, 'prod.example')
        kubectl('create', 'namespace', 'prod')
        made.renew()
    for app in APPS:
        apply_directory(KUBERNETES / 'example' / app)
    kubectl('-n', 'prod', 'rollout', 'status', 'deployment/shop', 'deployment/front', '--timeout=120s')
    return made
