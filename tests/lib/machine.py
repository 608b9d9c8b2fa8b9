# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with a systemd of their own, in a container without a network (systemd-nspawn)."""
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess

import lab as labs
import pods
from lab import wait_until

NUMBERS = itertools.count()
LANDLOCK = 'landlock_create_ruleset landlock_add_rule landlock_restrict_self'  # which nspawn forbids by default


def cgroups():
    """Returns our folder in the hierarchy of cgroup v2, wherever it is mounted; None: nowhere."""
    with open('/proc/self/mounts', encoding='ascii') as mounts:
        places = [line.split()[1] for line in mounts if line.split()[2] == 'cgroup2']
    with open('/proc/self/cgroup', encoding='ascii') as own:
        names = [line.strip()[len('0::/'):] for line in own if line.startswith('0::')]
    return pathlib.Path(places[0], names[0]) if places and names else None


def missing():
    """Returns why no machine can be booted here; '' if one can."""
    if os.getuid() != 0:
        return 'booting a machine needs root'
    if not shutil.which('systemd-nspawn'):
        return 'systemd-nspawn is missing (package systemd-container)'
    if not cgroups() or not os.access(cgroups(), os.W_OK):
        return 'systemd needs cgroup v2, which is not mounted or not writable here'
    return ''


class Machine:
    """root: its root folder; '/' stands for the /usr of this machine, with everything else empty. options: of
    systemd-nspawn. words: of the kernel's command line, as systemd reads it."""

    def __init__(self, folder, root, options=(), words=()):
        self.name = f'fairlead-{os.getpid()}-{next(NUMBERS)}'
        self.log = pathlib.Path(folder) / 'console.log'
        self.cgroup = cgroups() / self.name
        self.cgroup.mkdir()
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                ['systemd-nspawn', '--quiet', '--settings=no', '--register=no', '--keep-unit', '--link-journal=no',
                 '--private-network', f'--system-call-filter={LANDLOCK}', f'--machine={self.name}', f'--directory={root}', *options, '--boot', *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, 'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY': '1'},
                preexec_fn=lambda: (self.cgroup / 'cgroup.procs').write_text('0', encoding='ascii'))
        try:
            self.leader = wait_until(self.find_leader, self.console, 30)
            wait_until(lambda: self.try_run('systemctl', 'is-system-running').stdout.strip() in ('running', 'degraded'),
                       self.console, 60)
            self.network = pods.Network(f'/proc/{self.leader}/ns/net')
        except BaseException:
            self.close()
            raise

    def console(self):
        return self.log.read_text(errors='replace')[-8000:]

    def find_leader(self):
        """Returns its process 1, once that is systemd."""
        assert self.process.poll() is None, self.console()
        children = pathlib.Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text(encoding='ascii')
        for pid in children.split():
            with contextlib.suppress(FileNotFoundError):  # a helper that has ended
                if os.path.basename(os.readlink(f'/proc/{pid}/exe')) == 'systemd':
                    return int(pid)
        return None

    def path(self, path):
        """Returns the path here of one of its files."""
        return pathlib.Path(f'/proc/{self.leader}/root{path}')

    def try_run(self, *command, timeout=60):
        return subprocess.run(['nsenter', f'--target={self.leader}', '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup',
                               '--root', '--wd', '--', *map(str, command)],
                              capture_output=True, text=True, timeout=timeout, env={'PATH': '/usr/bin:/usr/sbin:/bin:/sbin'})

    def run(self, *command, **options):
        done = self.try_run(*command, **options)
        assert done.returncode == 0, f'{" ".join(map(str, command))}: {done.stdout[-4000:]}{done.stderr[-4000:]}'
        return done.stdout

    def show(self, unit, *names):
        """Returns properties of a unit."""
        shown = self.run('systemctl', 'show', unit, f'--property={",".join(names)}')
        values = dict(line.split('=', 1) for line in shown.splitlines())
        return values[names[0]] if len(names) == 1 else [values[name] for name in names]

    def pids(self, unit):
        """Returns all processes of a unit."""
        group = self.show(unit, 'ControlGroup')
        return {int(pid) for pid in self.run('cat', f'/sys/fs/cgroup{group}/cgroup.procs').split()}

    def close(self):
        """Switches it off."""
        leader = getattr(self, 'leader', None)
        if hasattr(self, 'network'):
            self.network.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader or self.process.pid, signal.SIGKILL)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            wait_until(lambda folder=folder: not removed(folder), f'{folder} is in use')


def removed(folder):
    """Removes a folder of cgroups; returns why it could not."""
    try:
        os.rmdir(folder)
    except OSError as error:
        return error
    return None


# --- Fairlead on it ---------------------------------------------------------------------------------

class Instance:
    """An instance of the units, with its INI and its credentials below /etc/fairlead. Its ports are on loopback."""

    def __init__(self, machine, name, svid, root, sections):
        self.machine, self.name, self.sections = machine, name, sections
        self.agent, self.sidecar = f'fairlead-agent@{name}', f'fairlead-sidecar@{name}'
        tls = machine.path('/etc/fairlead/tls') / name
        tls.mkdir()
        for file, data in (('tls.crt', svid.chain_pem), ('tls.key', svid.key_pem), ('ca.crt', root.cert_pem)):
            (tls / file).write_bytes(data)
        machine.run('chown', '-R', 'root:fairlead-agent', f'/etc/fairlead/tls/{name}')
        machine.run('chmod', '-R', 'u=rwX,g=rX,o=', f'/etc/fairlead/tls/{name}')
        self.write()

    def write(self, **identity):
        folder, run = f'/etc/fairlead/tls/{self.name}', f'/run/fairlead/{self.name}'
        self.machine.path(f'/etc/fairlead/{self.name}.ini').write_text(labs.ini(labs.merge({
            'identity': {'cert': f'{folder}/tls.crt', 'key': f'{folder}/tls.key', 'bundle': f'{folder}/ca.crt', **identity},
            'agent': {'socket': f'{run}/agent/agent.sock'},
            'sidecar': {'inbound': '', 'outbound': '', 'admin': '', 'control': f'{run}/sidecar/control.sock'}},
            self.sections)), encoding='ascii')

    def start(self):
        """Starts the sidecar, which wants the agent."""
        self.machine.run('systemctl', 'start', self.sidecar)
        return self

    def main_pid(self):
        return int(self.machine.show(self.sidecar, 'MainPID'))

    def journal(self, unit):
        """Returns what the unit's processes have logged."""
        text = self.machine.run('journalctl', '--no-pager', '--output=cat', f'--unit={unit}', '_TRANSPORT=stdout')
        return [json.loads(line) for line in text.splitlines()]


def pair(machine, lab, app_port, *, drain='5s'):
    """app <- instance `in` on 8443 <- instance `out` on 7001"""
    common = {'sidecar': {'workers': 2, 'drain': drain}}
    behind = Instance(machine, 'in', lab.server, lab.root, labs.merge(common, {
        'service app': {'listen': '127.0.0.1:8443', 'app': f'127.0.0.1:{app_port}'}, 'allow mesh': {'from': labs.CLIENT}}))
    front = Instance(machine, 'out', lab.client, lab.root, labs.merge(common, {
        'upstream peer': {'listen': '127.0.0.1:7001', 'to': '127.0.0.1:8443', 'peer': labs.SERVER}}))
    return front.start(), behind.start()
