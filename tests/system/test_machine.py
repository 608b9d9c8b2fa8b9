# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the installed units under a real systemd: readiness, users, reloads without a refused connection, the journal."""
import contextlib
import re
import shutil
import subprocess
import threading
import types

import pytest

import debian
import lab as labs
import machine as machines
from lab import connect, wait_until

RELOADS = 20
AGENT, SIDECAR = 'fairlead-agent@in', 'fairlead-sidecar@in'

pytestmark = [
    pytest.mark.skipif(bool(machines.missing()), reason=machines.missing() or '-'),
    pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='the units forbid what sanitizers do'),
    pytest.mark.xdist_group('machine'),
    pytest.mark.heavy,
]


@contextlib.contextmanager
def from_this_build(folder):
    """A machine with /usr of this one, where `meson install` has put everything."""
    done = subprocess.run(['meson', 'install', '-C', labs.BUILD, '--no-rebuild', '--skip-subprojects', '--destdir', folder],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [prefix] = [path.parents[1] for path in folder.rglob('bin/fairlead-agent')]
    presets = prefix / 'lib/systemd/system-preset'
    presets.mkdir(parents=True)
    (presets / '00-nothing.preset').write_text('disable *\n', encoding='ascii')
    with contextlib.closing(machines.Machine(folder, '/', ['--volatile=yes', f'--bind-ro={prefix}:/usr/local'],
                                             ['systemd.unit=basic.target', 'systemd.firstboot=0'])) as machine:
        yield types.SimpleNamespace(machine=machine, package=None)


@contextlib.contextmanager
def from_a_package(folder, built_on, suite):
    """A bare Debian on which the package has been installed."""
    package = debian.package(built_on, folder)
    root = debian.bare(suite, folder / 'root')
    before = debian.paths_of(root)
    debian.install(root, package)
    installed = debian.inside(root, 'dpkg-query', '--listfiles', 'fairlead').split()
    with contextlib.closing(machines.Machine(folder, root, words=['systemd.firstboot=0'])) as machine:
        yield types.SimpleNamespace(machine=machine, package=f'/{package.name}', root=root, before=before, installed=installed)


PACKAGES = [('bookworm', 'bookworm'), ('bookworm', 'trixie'), ('trixie', 'trixie'), ('trixie', 'sid')]


@pytest.fixture(scope='module', params=[None, *([] if debian.missing() else PACKAGES)],
                ids=lambda kind: f'{kind[0]}-on-{kind[1]}' if kind else 'this')
def site(request, tmp_path_factory):
    """Boots a machine, and starts two instances."""
    folder = tmp_path_factory.mktemp('machine')
    folder.chmod(0o755)
    with from_a_package(folder, *request.param) if request.param else from_this_build(folder) as place:
        with place.machine.network.inside(lambda: labs.App(labs.echo, port=8080)) as app:
            place.front, place.behind = machines.pair(place.machine, labs.Lab, app.port)
            yield place


def talk(site, sock=None):
    """Says something through both, over a new connection or this one."""
    sock = sock or site.machine.network.inside(lambda: connect(7001))
    sock.sendall(b'through both')
    assert sock.recv(100, 0x100) == b'through both'
    return sock


def test_all_units_run_as_their_users_say(site):
    for instance in (site.front, site.behind):
        for unit, user in ((instance.agent, 'fairlead-agent'), (instance.sidecar, 'fairlead')):
            shown = site.machine.show(unit, 'ActiveState', 'SubState', 'NRestarts', 'Result')
            assert shown == ['active', 'running', '0', 'success']
            pid = site.machine.show(unit, 'MainPID')
            uid = site.machine.run('id', '--user', user).strip()
            status = site.machine.path(f'/proc/{pid}/status').read_text()
            assert re.search(rf'^Uid:(\t{uid}){{4}}$', status, re.M)
            assert 'CapPrm:\t0000000000000000' in status and 'NoNewPrivs:\t1' in status and 'Seccomp:\t2' in status
    talk(site).close()


def test_the_journal_has_one_json_object_per_line(site):
    for instance in (site.front, site.behind):
        for unit in (instance.agent, instance.sidecar):
            lines = instance.journal(unit)
            assert lines and all(line['program'] == unit.split('@')[0] for line in lines)
            assert not [line for line in lines if line['level'] in ('warn', 'error')]


def test_the_sidecar_cannot_read_the_key(site):
    """Neither as its user, nor in its view of the files."""
    key = '/etc/fairlead/tls/in/tls.key'
    denied = site.machine.try_run('setpriv', '--reuid=fairlead', '--regid=fairlead', '--clear-groups', 'cat', key)
    assert 'Permission denied' in denied.stderr and not denied.stdout
    pid = site.machine.show(SIDECAR, 'MainPID')
    hidden = site.machine.try_run('nsenter', '--mount', '--root', f'--target={pid}', 'cat', key)
    assert hidden.returncode != 0 and not hidden.stdout
    assert site.machine.run('setpriv', '--reuid=fairlead-agent', '--regid=fairlead-agent', '--clear-groups', 'cat', key)


# --- reloads and restarts ---------------------------------------------------------------------------

class Load:
    """Clients that connect, say something, and hear it again, as fast as they can."""

    def __init__(self, network, clients=4):
        self.done, self.failures, self.stop = 0, [], threading.Event()
        self.threads = [threading.Thread(target=network.inside, args=(self.run,)) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stop.is_set():
            try:
                with connect(7001) as sock:
                    sock.sendall(b'ping')
                    assert sock.recv(4, 0x100) == b'ping'
                self.done += 1
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(repr(error))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize('side', ['front', 'behind'])
def test_no_connection_is_refused_in_20_reloads_under_load(site, side):
    instance = getattr(site, side)
    pids = [instance.main_pid()]
    with Load(site.machine.network) as load:
        for _ in range(RELOADS):
            done = load.done
            site.machine.run('systemctl', 'reload', instance.sidecar)
            pids.append(instance.main_pid())
            wait_until(lambda done=done: load.done > done + 20, 'no connection gets through')
    assert load.failures == [] and load.done > 20 * RELOADS
    assert len(set(pids)) == len(pids), 'each one is the main process'
    assert site.machine.show(instance.sidecar, 'ActiveState', 'NRestarts') == ['active', '0']
    wait_until(lambda: site.machine.pids(instance.sidecar) == {pids[-1]}, 'the old ones do not end')
    talk(site).close()


def test_a_connection_outlives_a_reload_and_is_drained_when_the_service_stops(site):
    sock = talk(site)
    before = site.behind.main_pid()
    site.machine.run('systemctl', 'reload', SIDECAR)
    assert site.behind.main_pid() != before
    talk(site, sock)
    site.machine.run('systemctl', 'stop', '--no-block', SIDECAR)
    wait_until(lambda: site.machine.show(SIDECAR, 'ActiveState') == 'deactivating', 'it does not stop')
    wait_until(lambda: len(site.machine.pids(SIDECAR)) == 1, 'the new one, which has no connection, does not end')
    talk(site, sock)
    sock.close()
    wait_until(lambda: site.machine.show(SIDECAR, 'ActiveState') == 'inactive', 'it does not end')
    assert site.machine.show(SIDECAR, 'Result') == 'success'
    site.machine.run('systemctl', 'start', SIDECAR)
    talk(site).close()


def test_the_manager_follows_the_new_process(site):
    """It notices when that one ends."""
    site.machine.run('systemctl', 'reload', SIDECAR)
    before = site.behind.main_pid()
    site.machine.run('sh', '-c', f'kill -KILL {before}')
    wait_until(lambda: site.behind.main_pid() not in (before, 0), 'it is not started again')
    wait_until(lambda: site.machine.show(SIDECAR, 'ActiveState') == 'active', 'it is not ready')
    assert 'not our child' not in site.machine.run('journalctl', '--no-pager', '--output=cat')
    talk(site).close()


def test_a_reload_that_fails_changes_nothing(site):
    before = site.behind.main_pid()
    ini = site.machine.path('/etc/fairlead/in.ini')
    good = ini.read_text()
    ini.write_text(good + '\n[nonsense]\n')
    failed = site.machine.try_run('systemctl', 'reload', SIDECAR)
    ini.write_text(good)
    assert failed.returncode != 0
    assert site.machine.show(SIDECAR, 'ActiveState', 'MainPID') == ['active', str(before)]
    assert any('nonsense' in line['msg'] for line in site.behind.journal(SIDECAR))
    talk(site).close()


def test_the_agent_reads_again_when_told_to(site):
    site.machine.run('systemctl', 'reload', AGENT)
    wait_until(lambda: any(line['msg'].startswith('SIGHUP') for line in site.behind.journal(AGENT)), 'it is not told')
    wait_until(lambda: site.machine.show(AGENT, 'ActiveState') == 'active', 'it does not end')


def test_an_agent_that_dies_is_started_again(site):
    sock = talk(site)
    before = site.machine.show(AGENT, 'MainPID')
    site.machine.run('sh', '-c', f'kill -KILL {before}')
    wait_until(lambda: site.machine.show(AGENT, 'MainPID') not in (before, '0'), 'it is not started again')
    wait_until(lambda: site.machine.show(AGENT, 'ActiveState') == 'active', 'it is not ready')
    talk(site, sock).close()
    talk(site).close()


def test_the_key_as_a_credential(site):
    """LoadCredential: the agent alone sees it, and root's file stays root's."""
    machine = site.machine
    machine.run('mkdir', '-p', '/etc/pki', f'/run/systemd/system/{AGENT}.service.d')
    machine.run('mv', '/etc/fairlead/tls/in/tls.key', '/etc/pki/tls.key')
    machine.run('chown', 'root:root', '/etc/pki/tls.key')
    machine.run('chmod', '600', '/etc/pki/tls.key')
    machine.path(f'/run/systemd/system/{AGENT}.service.d/key.conf').write_text(
        '[Service]\nLoadCredential=tls.key:/etc/pki/tls.key\n', encoding='ascii')
    site.behind.write(key=f'/run/credentials/{AGENT}.service/tls.key')
    machine.run('systemctl', 'daemon-reload')
    machine.run('systemctl', 'restart', AGENT)
    machine.run('systemctl', 'reload', SIDECAR)
    talk(site).close()
    pid = machine.show(SIDECAR, 'MainPID')
    assert machine.try_run('nsenter', '--mount', '--root', f'--target={pid}', 'setpriv', '--reuid=fairlead', '--clear-groups',
                           '--regid=fairlead', 'cat', f'/run/credentials/{AGENT}.service/tls.key').returncode != 0


def test_systemd_thinks_well_of_the_units(site):
    """From 0 (everything restricted) to 10."""
    assert not site.machine.run('systemd-analyze', 'verify', '--man=no', f'{AGENT}.service', f'{SIDECAR}.service')
    for unit in (AGENT, SIDECAR):
        assert site.machine.run('systemd-analyze', 'security', '--threshold=20', f'{unit}.service')


# --- the package, in the end ------------------------------------------------------------------------

def test_an_upgrade_restarts_nothing(site):
    if not site.package:
        pytest.skip('for the package')
    units = [unit for instance in (site.front, site.behind) for unit in (instance.agent, instance.sidecar)]
    before = [site.machine.show(unit, 'MainPID') for unit in units]
    site.machine.run('touch', '--date=2020-01-01', *{site.machine.show(unit, 'FragmentPath') for unit in units})
    site.machine.run('systemctl', 'daemon-reload')
    site.machine.run('dpkg', '--install', site.package)  # its units are newer
    assert [site.machine.show(unit, 'MainPID') for unit in units] == before
    assert {site.machine.show(unit, 'NeedDaemonReload') for unit in units} == {'no'}
    site.machine.run('systemctl', 'reload', 'fairlead-sidecar@*')
    assert site.machine.show(units[1], 'MainPID') != before[1] and site.machine.show(units[3], 'MainPID') != before[3]
    talk(site).close()


def test_a_purge_leaves_nothing(site):
    """The services end. What the administrator has put there stays."""
    if not site.package:
        pytest.skip('for the package')
    groups = [site.machine.path(f'/sys/fs/cgroup{site.machine.show(unit, "ControlGroup")}/cgroup.procs')
              for unit in (AGENT, SIDECAR)]
    site.machine.run('dpkg', '--remove', 'fairlead')
    assert not any(group.exists() and group.read_text(encoding='ascii') for group in groups)
    assert site.machine.path('/etc/fairlead/in.ini').exists()
    for name in ('in', 'out'):
        shutil.rmtree(site.root / f'etc/fairlead/tls/{name}')
        (site.root / f'etc/fairlead/{name}.ini').unlink()
    shutil.rmtree(site.root / 'etc/pki')
    said = site.machine.run('dpkg', '--purge', 'fairlead')
    assert 'warning' not in said
    for path in ('/etc/fairlead', '/run/fairlead'):
        assert not site.machine.path(path).exists()
    left = debian.paths_of(site.root) - site.before
    assert not left & {path.lstrip('/') for path in site.installed}
    assert not [path for path in left if 'fairlead' in path and path != site.package.lstrip('/')]
