# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman in an environment of its own: pods of real containers, as `podman pod create` and `podman run --pod` make
them.

    with Podman(folder) as podman:
        podman.image('fairlead', {'/usr/bin/app': '/where/it/is'})       a root of these programs and their libraries
        podman('pod', 'create', '--name', 'shop', '--network', 'lab')    its output

Processes, network, mounts, /run and storage belong to the namespaces of one process. When it ends, or when the test's
process dies, all of them are gone. The next run removes what podman has left in the cgroups.
"""
import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import lab as labs
from lab import wait_until

PROGRAMS = {'podman': 'podman', 'runc': 'runc', 'conmon': 'conmon', 'catatonit': 'catatonit', 'iptables': 'iptables'}
NETAVARK = '/usr/lib/podman/netavark'
NAME = 'fairlead-test-'

# For machines like ours: both cgroup v1 and v2, no systemd, no right to raise limits.
CONTAINERS = '''
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
[containers]
default_ulimits = ["nofile=16000:16000", "nproc=16384:16384"]
log_driver = "k8s-file"
'''
STORAGE = '''
[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
'''
WORLD = '''
set -e
mount -t tmpfs none /run
mkdir -p /var/lib/containers /run/lock
mount -t tmpfs none /var/lib/containers
mount -t tmpfs none /dev/shm
mount -t tmpfs none /etc/containers
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
ip link set lo up
echo ready
exec catatonit -P
'''


def missing():
    """Returns why podman cannot run here, or None."""
    if os.getuid() != 0:
        return 'podman in a namespace of its own needs root'
    gone = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    gone += [] if os.path.exists(NETAVARK) else ['netavark']
    return f'not installed: {", ".join(gone)}' if gone else None


def libraries(program):
    """Returns the libraries of a program, with the loader."""
    text = subprocess.run(['ldd', program], capture_output=True, text=True, check=False).stdout
    return re.findall(r'(/\S+) \(0x', text)


class CannotRun(Exception):
    """This machine cannot run containers. The message says why."""


class Podman:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.name = f'{NAME}{os.getpid()}'
        for name, text in (('containers.conf', CONTAINERS), ('storage.conf', STORAGE)):
            (self.folder / name).write_text(text)
        self.environment = {**os.environ, 'CONTAINERS_CONF': str(self.folder / 'containers.conf'),
                            'CONTAINERS_STORAGE_CONF': str(self.folder / 'storage.conf')}
        self.world = None

    def __enter__(self):
        remove_cgroups_of_the_dead()
        self.world = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--pid', '--net', '--mount', '--ipc', '--fork',
             '--kill-child=KILL', '--mount-proc', 'sh', '-c', WORLD], stdout=subprocess.PIPE)
        if self.world.stdout.readline() != b'ready\n':
            self.world.wait()
            raise CannotRun('no namespaces, or no mounts in them, can be made')
        children = f'/proc/{self.world.pid}/task/{self.world.pid}/children'
        self.init = int(wait_until(lambda: pathlib.Path(children).read_text().split(), 'it has begun')[0])
        return self

    def __exit__(self, *_):
        self.world.kill()
        self.world.wait()
        wait_until(lambda: not os.path.exists(f'/proc/{self.init}'), 'all of its processes are gone')
        remove_cgroups(self.name)

    def inside(self, command):
        return ['nsenter', '-t', str(self.init), '--pid', '--net', '--mount', '--ipc', *map(str, command)]

    def try_run(self, *words, stdin=None, timeout=60):
        if words[:2] == ('pod', 'create'):
            words = (*words[:2], '--cgroup-parent', f'/{self.name}', *words[2:])
        return subprocess.run(self.inside(['podman', *words]), input=stdin, env=self.environment, capture_output=True,
                              timeout=timeout * labs.SLOW, check=False)

    def __call__(self, *words, **options):
        """Runs a podman command, which has to succeed. Returns its output."""
        done = self.try_run(*words, **options)
        assert done.returncode == 0, f'podman {" ".join(map(str, words))}: {done.stderr.decode()}'
        return done.stdout.decode().strip()

    def try_out(self, image, *command):
        """Raises CannotRun if the image cannot run."""
        done = self.try_run('run', '--rm', '--cgroup-parent', f'/{self.name}', f'localhost/{image}', *command)
        if done.returncode != 0:
            raise CannotRun(done.stderr.decode().strip().splitlines()[-1])

    def image(self, name, programs, files=None):
        """Makes an image of only these programs ({path in it: path here}), their libraries, and text files."""
        root = {path: pathlib.Path(source).resolve() for path, source in programs.items()}
        for source in list(root.values()):
            for library in libraries(source):
                root.setdefault(library, pathlib.Path(library).resolve())
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode='w') as tar:
            for folder in 'tmp', 'run', 'run/fairlead', 'etc':
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o777 if folder == 'tmp' else 0o755
                tar.addfile(entry)
            for path, source in root.items():
                tar.add(source, path.lstrip('/'))
            for path, text in (files or {}).items():
                entry = tarfile.TarInfo(path.lstrip('/'))
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text.encode()))
        self('import', '-c', 'ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin', '-', f'localhost/{name}', stdin=data.getvalue())


def cgroups(name):
    return [path for kind in ('', '*/') for path in pathlib.Path('/sys/fs/cgroup').glob(f'{kind}{name}')]


def remove_cgroups(name):
    for top in cgroups(name):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def remove_cgroups_of_the_dead():
    for path in cgroups(f'{NAME}*'):
        if not os.path.exists(f'/proc/{path.name[len(NAME):]}'):
            remove_cgroups(path.name)
