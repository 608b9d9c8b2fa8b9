# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests a machine with systemd: what `meson install` installs, its units, and what the programs report to the service
manager."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import lab as labs
from lab import wait_until

UNITS = 'fairlead-agent@.service', 'fairlead-sidecar@.service'

needs_systemd = pytest.mark.skipif(not shutil.which('systemd-analyze'), reason='systemd-analyze is missing (package systemd)')


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """Returns the folder that stands for /, with everything below its prefix."""
    root = tmp_path_factory.mktemp('root')
    done = run('meson', 'install', '-C', labs.BUILD, '--no-rebuild', '--skip-subprojects', '--destdir', root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def find(root, name):
    [path] = root.rglob(name)
    return path


def test_everything_is_installed(installed):
    for name in ('fairlead-agent', 'fairlead-sidecar'):
        assert os.access(find(installed, name), os.X_OK)
    assert find(installed, 'example.ini').parts[-4:-1] == ('doc', 'fairlead', 'examples')
    users = [path.read_text() for path in installed.rglob('fairlead.conf') if path.parent.name == 'sysusers.d']
    # The numbers are the INI's defaults.
    assert re.findall(r'^u (\S+) +(\d+)', users[0], re.M) == [('fairlead', '2112'), ('fairlead-agent', '2113')]


def test_the_example_is_accepted(installed, lab, tmp_path):
    """The example is valid once its credentials exist."""
    text = find(installed, 'example.ini').read_text()
    text = text.replace('/etc/fairlead/tls', str(tmp_path)).replace('/run/fairlead/example', str(tmp_path))
    (tmp_path / 'agent').mkdir()  # stands in for the unit's RuntimeDirectory
    (tmp_path / 'ca.crt').write_bytes(lab.root.cert_pem)
    (tmp_path / 'tls.crt').write_bytes(lab.server.chain_pem)
    (tmp_path / 'tls.key').write_bytes(lab.server.key_pem)
    (tmp_path / 'tls.key').chmod(0o600)
    ini = tmp_path / 'example.ini'
    ini.write_text(text)
    done = run(labs.AGENT, 'check', '-c', ini)
    assert done.returncode == 0, done.stdout + done.stderr


# --- units ------------------------------------------------------------------------------------------

@pytest.fixture
def units(installed, tmp_path):
    """Returns copies of the units that start the installed programs."""
    for name in UNITS:
        text = find(installed, name).read_text()
        assert not re.search(r'@\w+@', text)
        (tmp_path / name).write_text(re.sub(r'(?<==)/(?=\S+/fairlead-)', f'{installed}/', text))
    return [tmp_path / name for name in UNITS]


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(units):
    for unit in units:
        done = run('systemd-analyze', 'verify', '--man=no', unit)
        assert (done.returncode, done.stdout + done.stderr) == (0, '')


@needs_systemd
def test_the_units_are_hardened(units):
    """`systemd-analyze security` measures from 0 (everything restricted) to 10."""
    for unit in units:
        done = run('systemd-analyze', 'security', '--offline=true', '--threshold=20', unit.name, cwd=unit.parent)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr


# --- sd_notify --------------------------------------------------------------------------------------

@contextlib.contextmanager
def manager(address, monkeypatch):
    """Returns a function: [message] that the programs have sent to the service manager meanwhile."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)
        monkeypatch.setenv('NOTIFY_SOCKET', address.replace('\0', '@'))
        seen = []

        def told():
            with contextlib.suppress(BlockingIOError):
                while True:
                    seen.append(sock.recv(4096).decode())
            return seen
        yield told


@pytest.fixture(params=['path', 'abstract'])
def address(request, tmp_path):
    return str(tmp_path / 'notify') if request.param == 'path' else f'\0fairlead-test-{os.getpid()}'


def test_the_sidecar_tells_when_it_is_ready(lab, address, monkeypatch):
    web = lab.inbound(8080, start=False)
    with manager(address, monkeypatch) as told:
        web.start_sidecar()
        wait_until(lambda: web.sidecar.lines(level='info'), 'it does not start')
        with contextlib.suppress(ConnectionError):
            assert web.get('/readyz')[0] == 503
        assert told() == []
        monkeypatch.delenv('NOTIFY_SOCKET')
        web.start_agent()
        wait_until(told, 'it is not told')
        assert told() == ['READY=1'] and web.get('/readyz')[0] == 200
        web.sidecar.terminate()
        web.sidecar.wait()
        assert told() == ['READY=1', 'STOPPING=1']


def test_the_agent_tells_when_its_credentials_are_good(lab, address, monkeypatch):
    web = lab.inbound(8080, start=False)
    key = web.folder / 'tls.key'
    hidden = key.rename(web.folder / 'elsewhere')
    with manager(address, monkeypatch) as told:
        web.start_agent()
        wait_until(lambda: str(key) in web.agent.text, 'it does not miss the key')
        assert told() == []
        web.agent.signal(signal.SIGHUP)  # so far it has nothing to reload
        web.agent.wait_line(msg='SIGHUP: reading INI and credentials')
        assert told() == []
        hidden.rename(key)
        wait_until(told, 'it is not told')
        web.agent.signal(signal.SIGHUP)
        wait_until(lambda: len(told()) == 3, lambda: told())
        assert told()[0] == told()[2] == 'READY=1'
        assert re.fullmatch(r'RELOADING=1\nMONOTONIC_USEC=\d+', told()[1])
        web.agent.terminate()
        web.agent.wait()
        assert told()[3:] == ['STOPPING=1']


def test_a_manager_that_is_gone_costs_a_warning(lab, monkeypatch, tmp_path):
    monkeypatch.setenv('NOTIFY_SOCKET', str(tmp_path / 'nobody'))
    web = lab.inbound(8080)
    wait_until(lambda: 'cannot tell the service manager `READY=1`' in web.sidecar.text, 'no warning')
    assert web.get('/readyz')[0] == 200
