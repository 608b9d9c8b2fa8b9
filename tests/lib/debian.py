# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare Debians in root folders of their own, and the package of this tree in them."""
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = 'bookworm'  # what the tests themselves run on


def missing():
    """Returns why there can be none here; '' if there can."""
    if not os.environ.get('FAIRLEAD_LONG'):
        return 'takes minutes; FAIRLEAD_LONG=1 runs it'
    if os.getuid() != 0:
        return 'a root folder of its own needs root'
    if not all(map(shutil.which, ('debootstrap', 'dpkg-deb'))):
        return 'debootstrap or dpkg-dev is missing'
    return ''


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=3000, check=False, **options)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def package(suite, folder):
    """Builds the package for a suite. Returns its path."""
    env = {**os.environ, 'DEBFULLNAME': 'Fairlead', 'DEBEMAIL': 'fairlead@debian.org'}
    return pathlib.Path(run(ROOT / 'deploy/deb', *([] if suite == HERE else ['--suite', suite]), folder, env=env).split()[-1])


def bare(suite, root):
    """Installs what every Debian has, and systemd."""
    mirror = run('apt-get', 'indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages', 'Label: Debian').split()[0]
    run('debootstrap', '--variant=minbase', '--include=systemd-sysv', suite, root, mirror)
    root.chmod(0o755)
    return root


def inside(root, *command):
    """Runs a command in a root folder that no machine has booted."""
    return run('unshare', '--mount', '--pid', '--fork', '--kill-child', f'--mount-proc={root}/proc', 'chroot', root,
               'env', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8', *command)


def install(root, *names):
    """Installs packages, which may be files here, with their dependencies."""
    for name in names:
        if isinstance(name, pathlib.Path):
            shutil.copy(name, root)
    inside(root, 'apt-get', '-qq', 'update')
    inside(root, 'apt-get', '-qq', '--no-install-recommends', 'install', '-y',
           *(f'/{name.name}' if isinstance(name, pathlib.Path) else name for name in names))


def paths_of(root):
    """Returns the paths outside the places of dpkg, apt, systemd and the kernel."""
    return {path for path in run('find', root, '-xdev', '-printf', '%P\n').splitlines()
            if not path.startswith(('var/', 'proc', 'sys', 'dev', 'tmp/', 'run/')) and path not in
            ('etc/passwd-', 'etc/group-', 'etc/shadow-', 'etc/gshadow-', 'etc/.pwd.lock', 'etc/ld.so.cache')}
