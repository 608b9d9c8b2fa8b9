# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the Debian package: lintian reports nothing. On a bare Debian, the package installs, carries a connection
between its two users, and purges without a trace. Takes minutes: FAIRLEAD_LONG=1."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import lab as labs
from lab import connect

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDECAR_UID, AGENT_UID = 2112, 2113

pytestmark = [
    pytest.mark.skipif(not os.environ.get('FAIRLEAD_LONG'), reason='takes minutes; FAIRLEAD_LONG=1 runs it'),
    pytest.mark.skipif(os.getuid() != 0, reason='a root folder of its own needs root'),
    pytest.mark.skipif(not all(map(shutil.which, ('debootstrap', 'lintian', 'dpkg-deb'))),
                       reason='debootstrap, lintian or dpkg-dev is missing'),
]


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope='module')
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp('deb')
    env = {**os.environ, 'DEBFULLNAME': 'Fairlead', 'DEBEMAIL': 'fairlead@debian.org'}
    return pathlib.Path(run(ROOT / 'deploy/deb', folder, env=env).split()[-1])


def mirror():
    """Returns the Debian mirror and the suite of this machine's apt."""
    out = run('apt-get', 'indextargets', '--format', '$(REPO_URI) $(CODENAME)', 'Created-By: Packages', 'Label: Debian')
    return out.splitlines()[0].split()


@pytest.fixture(scope='module')
def bare(package, tmp_path_factory):
    """Installs a bare Debian with the dependencies of the package, without the package."""
    root = tmp_path_factory.mktemp('bare')
    root.chmod(0o755)
    uri, suite = mirror()
    wanted = re.findall(r'(?:^|, )([a-z0-9.+-]+)', run('dpkg-deb', '--field', package, 'Depends'))
    run('debootstrap', '--variant=minbase', f'--include={",".join(wanted)}', suite, root, uri)
    shutil.copy(package, root / 'fairlead.deb')
    run('mount', '-t', 'proc', 'proc', root / 'proc')
    yield root
    run('umount', root / 'proc')


def test_lintian_finds_nothing(package):
    said = run('lintian', '--allow-root', '--no-cfg', '--show-overrides', '--fail-on', 'error,warning', package)
    assert said == '', 'and nothing is overridden'


def paths_of(root):
    """Returns the paths outside the places of dpkg, systemd and the kernel."""
    return {path for path in run('find', root, '-xdev', '-printf', '%P\n').splitlines()
            if not path.startswith(('var/', 'proc', 'sys', 'dev')) and path not in
            ('etc/passwd-', 'etc/group-', 'etc/shadow-', 'etc/gshadow-', 'etc/.pwd.lock')}


class Installed:
    """An instance in the bare root, which runs as its units run it."""

    def __init__(self, lab, root, name, sections):
        self.lab, self.root, self.name = lab, root, name
        self.admin = lab.ports.free()
        run_folder, tls = root / 'run/fairlead' / name, root / 'etc/fairlead' / name
        for folder, uid in (('agent', AGENT_UID), ('sidecar', SIDECAR_UID)):  # stands in for RuntimeDirectory
            (run_folder / folder).mkdir(parents=True)
            os.chown(run_folder / folder, uid, uid)
        tls.mkdir()
        svid = lab.server if name == 'server' else lab.client
        for file, data in (('tls.crt', svid.chain_pem), ('tls.key', svid.key_pem), ('ca.crt', lab.root.cert_pem)):
            (tls / file).write_bytes(data)
            os.chown(tls / file, 0, AGENT_UID)
            (tls / file).chmod(0o640)
        (root / f'etc/fairlead/{name}.ini').write_text(labs.ini({
            'identity': {'cert': f'/etc/fairlead/{name}/tls.crt', 'key': f'/etc/fairlead/{name}/tls.key',
                         'bundle': f'/etc/fairlead/{name}/ca.crt'},
            'agent': {'socket': f'/run/fairlead/{name}/agent/agent.sock'},
            'sidecar': {'inbound': '', 'outbound': '', 'admin': f'127.0.0.1:{self.admin}', 'drain': '100ms',
                        'control': f'/run/fairlead/{name}/sidecar/control.sock'},
            **sections}))
        self.start(AGENT_UID, 'fairlead-agent', 'run')
        self.start(SIDECAR_UID, 'fairlead-sidecar')
        run('chroot', root, 'fairlead-agent', 'wait', '-c', f'/etc/fairlead/{name}.ini')

    def start(self, uid, program, *arguments):
        self.lab.program(f'{self.name}-{program}', [
            'chroot', f'--userspec={uid}:{uid}', self.root, program, *arguments, '-c', f'/etc/fairlead/{self.name}.ini'])


def test_installs_runs_and_purges(bare, lab, app):
    before = paths_of(bare)
    run('chroot', bare, 'dpkg', '--install', '/fairlead.deb')
    users = (bare / 'etc/passwd').read_text()
    assert f'fairlead:x:{SIDECAR_UID}:' in users and f'fairlead-agent:x:{AGENT_UID}:' in users
    assert (bare / 'lib/systemd/system/fairlead-sidecar@.service').exists()
    tls = (bare / 'etc/fairlead/tls').stat()
    assert (tls.st_mode & 0o777, tls.st_uid, tls.st_gid) == (0o750, 0, AGENT_UID)
    ports = [lab.ports.free() for _ in range(2)]
    Installed(lab, bare, 'server', {'service app': {'listen': f'127.0.0.1:{ports[0]}', 'app': f'127.0.0.1:{app().port}'},
                                    'allow mesh': {'from': labs.CLIENT}})
    Installed(lab, bare, 'client', {'upstream peer': {'listen': f'127.0.0.1:{ports[1]}', 'to': f'127.0.0.1:{ports[0]}',
                                                      'peer': labs.SERVER}})
    with connect(ports[1]) as sock:
        sock.sendall(b'through both')
        assert sock.recv(100) == b'through both'
    for program in lab.programs:
        program.terminate()
    for program in lab.programs:
        program.wait()
    for name in ('server', 'client'):
        shutil.rmtree(bare / 'etc/fairlead' / name)
        shutil.rmtree(bare / 'run/fairlead' / name)
        (bare / f'etc/fairlead/{name}.ini').unlink()
    run('chroot', bare, 'dpkg', '--purge', 'fairlead')
    assert not (bare / 'etc/fairlead').exists() and not (bare / 'run/fairlead').exists()
    assert paths_of(bare) - before == set()
