# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the image of deploy/image, in pods of podman that follow deploy/kubernetes."""
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest

import lab as labs
import podman as podmans
import software
from lab import wait_until

yaml = pytest.importorskip('yaml', reason='not installed: python3-yaml')
from kubelet import Pod  # noqa: E402
from pods import connect  # noqa: E402
from volume import secret  # noqa: E402

pytestmark = [pytest.mark.heavy, pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='it is made of the release build')]

BODY = 'served by an app that knows of nothing'
ID = 'spiffe://prod.example/ns/prod/sa/'
NGINX = '''
daemon off; worker_processes 1; pid /dev/shm/nginx.pid; error_log stderr;
events {{ worker_connections 100; }}
http {{
  access_log off; root /www; default_type text/plain;
  client_body_temp_path /dev/shm/body; proxy_temp_path /dev/shm/proxy; fastcgi_temp_path /dev/shm/fastcgi;
  uwsgi_temp_path /dev/shm/uwsgi; scgi_temp_path /dev/shm/scgi;
  server {{ listen {listen}; }}
  server {{ listen 8081; location /healthz {{ return 200 healthy; }} location / {{ return 404; }} }}
}}'''


@pytest.fixture(scope='module')
def build(tmp_path_factory):
    """build() runs the build once more and returns (archive, {what it reports})."""
    gone = [program for program in ('umoci', 'strip', 'git', 'dpkg-query') if not shutil.which(program)]
    if gone:
        pytest.skip(f'not installed: {", ".join(gone)}')

    def run(*arguments, **environment):
        archive = tmp_path_factory.mktemp('image') / 'fairlead.oci.tar'
        done = subprocess.run([labs.ROOT / 'deploy' / 'image', '--no-build', '--output', archive, *arguments],
                              capture_output=True, text=True, check=False, env={**os.environ, **environment})
        assert done.returncode == 0, done.stderr
        return archive, dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    return run


@pytest.fixture(scope='module')
def image(build):
    return build(SOURCE_DATE_EPOCH='1760000000')


class Archive:
    """The content of an OCI archive, or of one architecture in it."""

    def __init__(self, path, architecture=None):
        self.tar = tarfile.open(path)
        self.index = self.json('index.json')
        if architecture:
            self.index = self.blob(self.index['manifests'][0])
        chosen, = (m for m in self.index['manifests'] if not architecture or m['platform']['architecture'] == architecture)
        self.manifest = self.blob(chosen)
        self.config = self.blob(self.manifest['config'])
        layer = self.tar.extractfile(self.path(self.manifest['layers'][0])).read()
        self.layer = tarfile.open(fileobj=io.BytesIO(layer), mode='r:gz')
        self.members = {'/' + member.name.removeprefix('./'): member for member in self.layer.getmembers()}

    @staticmethod
    def path(descriptor):
        return './blobs/' + descriptor['digest'].replace(':', '/')

    def json(self, path):
        return json.loads(self.tar.extractfile(f'./{path}').read())

    def blob(self, descriptor):
        return self.json(self.path(descriptor)[2:])

    def text(self, path):
        return self.layer.extractfile(self.members[path]).read().decode()


# --- the image itself ------------------------------------------------------------------------------------

def test_the_same_input_gives_the_same_image(build, image):
    again, said = build(SOURCE_DATE_EPOCH='1760000000')
    assert again.read_bytes() == image[0].read_bytes() and said['digest'] == image[1]['digest']
    assert build(SOURCE_DATE_EPOCH='1760000001')[1]['digest'] != said['digest']


def test_it_holds_what_it_needs_and_nothing_else(image):
    archive = Archive(image[0])
    assert len(archive.manifest['layers']) == 1
    files = {path: member for path, member in archive.members.items() if member.isfile()}
    programs = {path for path, member in files.items() if member.mode & 0o111}
    assert {path for path in programs if '/ld-' not in path} == {
        '/usr/bin/fairlead-sidecar', '/usr/bin/fairlead-agent', '/usr/sbin/nft'}
    for path, member in archive.members.items():
        assert (member.uid, member.gid, int(member.mtime)) == (0, 0, 1760000000)
        assert member.issym() or not member.mode & 0o6022 or path == '/run/fairlead', f'{path}: {member.mode:o}'
    allowed = r'/usr/(s?bin|lib|lib64|share/(doc|common-licenses))/|/etc/(passwd|group)$|/var/lib/dpkg/status\.d/'
    assert [path for path in files if not re.match(allowed, path)] == []
    assert 'fairlead:x:2112:2112:' in archive.text('/etc/passwd')


def test_licences_that_do_not_go_together_share_no_program(image):
    """Code under the GPL version 2 only runs in nft's own process. Our programs, with wolfSSL, neither link nor name
    it."""
    archive = Archive(image[0])
    only_2 = {path for path in archive.members if re.search(r'/lib(nftables|xtables)\.so', path)}
    assert only_2 and 'GPL-2.0-only' in archive.config['config']['Labels']['org.opencontainers.image.licenses']
    for name in 'fairlead-sidecar', 'fairlead-agent':
        program = archive.layer.extractfile(archive.members[f'/usr/bin/{name}']).read()
        assert b'libuv.so' in program and b'libnftables.so' not in program and b'libxtables' not in program
        assert b'dlopen' not in program


def test_it_says_what_it_is_and_under_which_licences(image):
    archive = Archive(image[0])
    config = archive.config['config']
    assert (config['User'], config['Cmd'], config['Env']) == ('2112:2112', ['fairlead-sidecar'], ['PATH=/usr/bin'])
    labels = {key.removeprefix('org.opencontainers.image.'): value for key, value in config['Labels'].items()}
    assert labels['created'] == archive.config['created'] == '2025-10-09T08:53:20Z'
    assert image[1]['image'] == f'localhost/fairlead:{labels["version"]}'
    assert 'GPL-3.0-or-later' in labels['licenses'] and 'source' not in labels
    assert archive.manifest['annotations'] == config['Labels']
    listed = archive.text('/usr/share/doc/fairlead/CONTENTS')
    packages = [path.rpartition('/')[2] for path in archive.members if path.startswith('/var/lib/dpkg/status.d/')]
    assert {'libc6', 'libuv1', 'nftables', 'libnftables1'} <= set(packages)
    for package in packages:
        assert archive.text(f'/usr/share/doc/{package}/copyright')
        version = re.search(r'^Version: (.*)', archive.text(f'/var/lib/dpkg/status.d/{package}'), re.M)[1]
        assert f'{package} {version} ' in listed
    assert 'GNU GENERAL PUBLIC LICENSE' in archive.text('/usr/share/doc/fairlead/LICENSE')


# --- in pods ---------------------------------------------------------------------------------------------

@pytest.fixture
def podman(lab, image):
    why = podmans.missing()
    gone = software.missing('nginx', 'curl')
    if why or gone:
        pytest.skip(why or f'not installed: {", ".join(gone)}')
    with contextlib.ExitStack() as stack:
        try:
            podman = stack.enter_context(podmans.Podman(lab.folder))
            podman('load', '-i', image[0])
            podman.try_out(image[1]['image'].removeprefix('localhost/'), 'fairlead-agent', '--version')
        except podmans.CannotRun as why:
            pytest.skip(f'podman cannot run here: {why}')
        podman('network', 'create', '--subnet', '10.90.0.0/24', 'lab')
        yield podman


def app_image(podman, listen):
    podman.image('your-app:1', {'/usr/bin/nginx': shutil.which('nginx') or '/usr/sbin/nginx', '/usr/bin/curl': '/usr/bin/curl'},
                 {'/nginx.conf': NGINX.format(listen=listen), '/www/index.html': BODY})


def manifest(name, replace=None):
    """Returns the objects of a manifest, with these words replaced."""
    text = (labs.ROOT / 'deploy' / 'kubernetes' / f'{name}.yaml').read_text()
    for old, new in (replace or {}).items():
        text = re.sub(rf'\b{old}\b', new, text)
    if name == 'fixed':
        # There are no Services here: the app calls the target of fixed.yaml's Service directly.
        text = text.replace('.svc.cluster.local:8080', '.svc.cluster.local:8443')
    return [each for each in yaml.safe_load_all(text) if each]


def credentials(lab, name):
    """Returns the files in the volume of each manifest, whatever its kind."""
    svid = lab.root.issue(f'{ID}{name}')
    return {**secret(svid, lab.root), 'credential-bundle.pem': svid.bundle_pem}


@pytest.mark.parametrize('name, listen, url', [
    ('app', '8080', 'http://shop.prod.svc.cluster.local:8080/'),
    ('pod-certificate', '8080', 'http://shop.prod.svc.cluster.local:8080/'),
    ('fixed', '127.0.0.1:8080', 'http://127.0.0.1:7001/')], ids=['app', 'pod-certificate', 'fixed'])
def test_the_manifests_run(podman, lab, name, listen, url):
    """Runs two apps of the same manifest. front calls shop, as shop would call ledger."""
    app_image(podman, listen)
    pods = []
    try:
        for app, replace in ('shop', {}), ('front', {'front': 'web', 'shop': 'front', 'ledger': 'shop'}):
            pods.append(Pod(podman, lab.folder, app, manifest(name, replace), secret=credentials(lab, app),
                            commands={'app': ['nginx', '-c', '/nginx.conf', '-e', 'stderr']}))
            pods[-1].start(f'{app}.prod.svc.cluster.local')
        carries_traffic(podman, *pods, url)
        rotates(lab, *pods, url)
        outlives_its_agent(podman, *pods, url)
        if name == 'app':
            becomes_permissive_and_back(podman, *pods, url)
        stops_gently(*pods, url)
        for each in pods:
            assert set(each.end().values()) == {0}
    except BaseException:
        for each in pods:
            for container in 'fairlead-agent', 'fairlead-sidecar', 'app':
                print(f'--- {each.name}-{container}\n{each.logs(container)}')
        raise


def curl(podman, pod, *words):
    done = podman.try_run('exec', f'{pod.name}-app', 'curl', '-sS', '--max-time', '10', *words)
    return (done.stdout + done.stderr).decode()


def carries_traffic(podman, shop, front, url):
    assert curl(podman, front, url) == BODY
    wait_until(lambda: f'"peer":"{ID}front"' in shop.logs('fairlead-sidecar'), 'it has told who came')
    assert f'"peer":"{ID}shop"' in front.logs('fairlead-sidecar')
    assert BODY not in curl(podman, shop, f'http://{front.address}:8080/'), 'no rule lets it in there'
    # The callers are the kubelet, or any client without an identity.
    assert shop.get(8080, '/')[0] is None, 'not without mutual TLS'
    assert shop.get(8081, '/healthz') == (200, 'healthy')
    assert 'fairlead_ready 1' in shop.get(15020, '/metrics')[1]
    # Each container sees only what it needs, and the agent logs no warning, although root's group may read the key.
    assert f'{ID}shop' in podman('exec', 'shop-fairlead-agent', 'fairlead-agent', 'status')
    podman('exec', 'shop-fairlead-agent', 'fairlead-agent', 'check')
    podman('exec', 'shop-fairlead-agent', 'fairlead-agent', 'log-level', 'info')
    done = podman.try_run('exec', 'shop-fairlead-sidecar', 'fairlead-agent', 'check')
    assert done.returncode == 2 and b'/var/run/fairlead/tls/ca.crt: it does not exist' in done.stderr
    # A candidate comes from stdin, because the image has no shell and no tar.
    for words in ('check', '-c', '-'), ('preview', '-'):
        done = podman.try_run('exec', '-i', 'shop-fairlead-agent', 'fairlead-agent', *words, stdin=b'[identty]\n')
        assert done.returncode == 2 and b'/dev/stdin:1: unknown section [identty]' in done.stderr
    root = podman('exec', '-i', 'shop-fairlead-agent', 'fairlead-agent', 'preview', '-', stdin=shop.secret.read()['ca.crt'])
    assert 'closes       no open connection' in root
    # A program that asks whether it may start needs only the INI, and says why not.
    wait = ['exec', 'shop-fairlead-sidecar', 'fairlead-agent', 'wait', '--timeout', '1s']
    assert podman(*wait) == 'ready'
    done = podman.try_run(*wait, '-c', '/etc/fairlead/nothing.ini')
    assert done.returncode == 2 and b'/etc/fairlead/nothing.ini: there is no such file' in done.stderr


class Client:
    """A connection of front's app to shop's, held by this process."""

    def __init__(self, shop, front, url):
        to = ('127.0.0.1', 7001) if '127.0.0.1' in url else (shop.address, 8080)
        with front.inside() as network:
            self.sock = connect(network, to, 10)
        self.answers = self.sock.makefile('rb')

    def ask(self):
        self.sock.sendall(b'GET / HTTP/1.1\r\nHost: shop\r\n')

    def answer(self):
        self.sock.sendall(b'\r\n')
        head = ''
        while not head.endswith('\r\n\r\n'):
            line = self.answers.readline()
            if not line:
                raise ConnectionError('it has ended')
            head += line.decode()
        return self.answers.read(int(re.search(r'Content-Length: (\d+)', head)[1])).decode()

    def close(self):
        self.answers.close()
        self.sock.close()


def rotates(lab, shop, front, url):
    """Both pods get new certificates, as the kubelet writes them, during an open connection."""
    client = Client(shop, front, url)
    client.ask()
    assert client.answer() == BODY
    for each in shop, front:
        each.secret.write(credentials(lab, each.name))
        wait_until(lambda pod=each: '"generation in use","program":"fairlead-sidecar","generation":2' in
                   pod.logs('fairlead-sidecar'), f'{each.name} has the new one', 20)
    client.ask()
    assert client.answer() == BODY
    client.close()


def outlives_its_agent(podman, shop, front, url):
    """The container of the sidecar continues, so the pod stays ready, and open connections continue too."""
    def inside(*words):
        return subprocess.run(podman.inside(words), capture_output=True, text=True, check=True).stdout
    client = Client(shop, front, url)
    client.ask()
    first = podman('inspect', '--format', '{{.State.Pid}}', 'shop-fairlead-agent')
    inside('kill', '-9', *inside('cat', f'/proc/{first}/task/{first}/children').split())
    wait_until(lambda: 'it is started again; traffic continues' in shop.logs('fairlead-agent'), 'its parent has seen it')
    wait_until(lambda: podman.try_run('exec', 'shop-fairlead-agent', 'fairlead-agent', 'status').returncode == 0, 'it is there again')
    assert podman('inspect', '--format', '{{.State.Pid}}', 'shop-fairlead-agent') == first
    assert shop.get(15020, '/readyz')[0] == 200
    assert client.answer() == BODY
    client.close()


def becomes_permissive_and_back(podman, shop, front, url):
    """Only the ConfigMap changes, during an open connection."""
    client = Client(shop, front, url)
    for name, plaintext in ('permissive', (200, BODY)), ('app', (None, '')):
        config = next(each['data'] for each in manifest(name) if each['kind'] == 'ConfigMap')
        shop.configure(config)
        wait_until(lambda due=plaintext: shop.get(8080, '/') == due, f'{name}.yaml is in force', 20)
        assert curl(podman, front, url) == BODY
    told = podman('exec', 'shop-fairlead-agent', 'fairlead-agent', 'suggest')
    assert '[allow plaintext]' in told and 'to = 8080' in told
    client.ask()
    assert client.answer() == BODY
    client.close()


def stops_gently(shop, front, url):
    """Open connections may finish, and no new ones begin."""
    client = Client(shop, front, url)
    client.ask()
    wait_until(lambda: json.loads(shop.get(15020, '/connections', '127.0.0.1')[1])['connections'], 'it has come through')
    shop.terminate('fairlead-sidecar')
    wait_until(lambda: shop.get(15020, '/readyz')[0] == 503, 'the Service is told')
    with pytest.raises(OSError), contextlib.closing(Client(shop, front, url)) as late:
        late.ask()
        late.answer()
    assert client.answer() == BODY
    client.close()
    assert shop.wait('fairlead-sidecar') == 0
