# SPDX-License-Identifier: GPL-3.0-or-later
"""A sidecar replaces a running one: no connection is refused, open ones go on, and whatever goes wrong leaves the old one serving."""
import json
import os
import pathlib
import re
import signal
import socket
import threading

import pytest

import lab as labs
from lab import ASAN, TSAN

RESTARTS = 5 if ASAN or TSAN else 20


def successor(workload, *arguments):
    """Starts a sidecar that takes over from the present one, which is returned."""
    before = workload.sidecar
    workload.sidecar = labs.Program(workload.lab, f'{workload.name}-sidecar{next(workload.numbers)}',
                                    [labs.SIDECAR, '-c', workload.ini, '--take-over', *arguments], user=workload.sidecar_uid)
    return before


@pytest.fixture
def pair(lab, app):
    pair = lab.pair(app().port, inbound={'sidecar': {'workers': 2, 'control': lab.folder / 'in.sock', 'drain': '10s'}},
                    outbound={'sidecar': {'control': lab.folder / 'out.sock', 'drain': '10s'}})
    for workload in pair.workloads:
        workload.numbers = iter(range(2, 1000))
    return pair


class Load:
    """Clients that connect, say something, and hear it again, as fast as they can."""

    def __init__(self, connect, clients=8):
        self.connect, self.done, self.failures = connect, 0, []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stop.is_set():
            try:
                with self.connect() as sock:
                    sock.sendall(b'ping')
                    assert sock.recv(4, 0x100) == b'ping'
                self.done += 1
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(repr(error))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.heavy
@pytest.mark.parametrize('side', ['inbound', 'outbound'])
def test_no_connection_is_refused_in_20_restarts_under_load(pair, side):
    workload = getattr(pair, side)
    load = Load(pair.connect)
    try:
        for _ in range(RESTARTS):
            done = load.done
            before = successor(workload)
            assert before.wait(timeout=30) == 0
            labs.wait_until(lambda done=done: load.done > done + 20, 'no connection gets through')
    finally:
        load.end()
    assert load.failures == [] and load.done > 20 * RESTARTS
    assert workload.get('/readyz')[0] == 200


def test_open_connections_go_on_and_probes_are_answered(pair):
    """The old one drains. Meanwhile the new one has the admin endpoint and the control socket."""
    workload = pair.inbound
    with pair.connect() as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        before = successor(workload)
        before.wait_line(msg=re.compile('^replaced by another sidecar'))
        labs.wait_until(lambda: workload.sidecar.lines(msg=re.compile('generation in use')), 'it does not serve')
        labs.wait_until(lambda: f'"pid":{workload.sidecar.pid}' in workload.get('/status')[1].replace(' ', ''),
                        'the admin endpoint is not that of the new one')
        assert workload.get('/readyz')[0] == 200
        sock.sendall(b'y')
        assert sock.recv(1) == b'y', 'the old one carries it on'
        assert before.process.poll() is None
    assert before.wait() == 0
    path = workload.sections['sidecar']['control']
    assert os.path.exists(path) and os.path.exists(f'{path}.next'), 'they are those of the new one'
    assert workload.sidecar.stop() == 0
    assert not os.path.exists(path) and not os.path.exists(f'{path}.next')


def test_a_unix_listener_and_other_workers(lab, app):
    """A path has one socket. With more workers than before, those that are new make sockets of their own."""
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(inbound.port, {'sidecar': {'control': lab.folder / 'c.sock'},
                                           'upstream peer': {'listen': f'unix:{lab.folder}/app.sock'}})
    outbound.numbers = iter(range(2, 9))
    for workers in 3, 1:
        outbound.change({'sidecar': {'workers': workers}})
        before = successor(outbound)
        assert before.wait(timeout=30) == 0
        for _ in range(10):
            with labs.connect(lab.folder / 'app.sock') as sock:
                sock.sendall(b'x')
                assert sock.recv(1) == b'x'


def test_what_the_old_one_does_not_have_is_opened_before_the_sandbox(lab, app):
    """Another admin port, and a control socket that could not be made before."""
    path = lab.folder / 'c.sock'
    path.write_text('in the way')
    workload = lab.inbound(app().port, {'sidecar': {'control': path}})
    workload.numbers = iter(range(2, 9))
    path.unlink()
    workload.admin = lab.ports.free()
    workload.change({'sidecar': {'admin': f'127.0.0.1:{workload.admin}'}})
    before = successor(workload)
    assert before.wait(timeout=30) == 0
    workload.wait_ready()
    assert path.is_socket()
    before = successor(workload)
    assert before.wait(timeout=30) == 0
    workload.wait_ready()


def test_where_it_listens_is_said_by_the_ini_at_its_start(lab, app):
    """The generation in use may be of the INI before: the agent has not read the new one yet. Here it never does."""
    workload = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'c.sock'}}, start=False)
    workload.numbers = iter(range(2, 9))
    before_ini = workload.folder / 'before.ini'
    before_ini.write_text(workload.ini.read_text())
    labs.Program(lab, 'agent', [labs.AGENT, 'run', '-c', before_ini])
    workload.start_sidecar().wait_ready()
    before_admin, workload.admin = workload.admin, lab.ports.free()
    workload.change({'sidecar': {'admin': f'127.0.0.1:{workload.admin}'}})
    for _ in range(2):
        before = successor(workload)
        assert before.wait(timeout=30) == 0
        workload.wait_ready()
        labs.wait_until(lambda: labs.outcome(before_admin) == 'refused', 'the port of the INI before is open')
    assert workload.sidecar.stop() == 0


def test_a_successor_that_fails_changes_nothing(pair):
    workload = pair.inbound
    old = workload.sidecar
    ini = workload.ini.read_text()
    # It ends before it has asked.
    workload.ini.write_text(ini.replace('[limits]', '[nonsense]') + '\n[nonsense]\n')
    new = labs.Program(workload.lab, 'bad', [labs.SIDECAR, '-c', workload.ini, '--take-over'])
    new.expected = {2}
    assert new.wait() == 2
    workload.ini.write_text(ini)
    # It ends when it has the sockets: its agent gives it nothing.
    workload.change({'tls': {'key': 'sidecar'}})
    old.wait_line(msg='generation in use', generation=2)
    workload.agent.stop()
    new = labs.Program(workload.lab, 'early', [labs.SIDECAR, '-c', workload.ini, '--take-over'])
    old.wait_line(msg=re.compile('^another sidecar asks to replace this one'))
    second = labs.Program(workload.lab, 'second', [labs.SIDECAR, '-c', workload.ini, '--take-over'])
    second.expected = {1}
    assert second.wait() == 1
    assert second.lines(level='error', msg=re.compile('being replaced already'))
    new.kill()
    old.wait_line(level='warn', msg=re.compile('that was to replace this one has ended: going on'))
    with pair.connect() as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
    assert old.process.poll() is None
    # And then one succeeds.
    workload.start_agent()
    before = successor(workload)
    assert before is old and before.wait(timeout=30) == 0


@pytest.fixture
def half_way(lab, app):
    """An old sidecar with a Unix listener, and a new one that has its sockets, but no generation yet; .path, .old"""
    inbound = lab.inbound(app().port)
    workload = lab.outbound(inbound.port, {'sidecar': {'control': lab.folder / 'c.sock', 'drain': '10s'}, 'tls': {'key': 'sidecar'},
                                           'upstream peer': {'listen': f'unix:{lab.folder}/app.sock'}})
    workload.numbers = iter(range(2, 9))
    workload.path = lab.folder / 'app.sock'
    workload.agent.stop()
    workload.old = successor(workload)
    workload.old.wait_line(msg=re.compile('^another sidecar asks to replace this one'))
    workload.sidecar.wait_line(msg=re.compile('^started'))
    return workload


def is_served(path):
    with labs.connect(path) as sock:
        sock.sendall(b'x')
        return sock.recv(1) == b'x'


@pytest.mark.parametrize('first', ['the old one ends', 'the new one serves'])
def test_paths_stay_if_the_old_one_is_stopped_half_way(half_way, first):
    """Nobody would make them again: the new one has the sockets only."""
    old, open_one = half_way.old, labs.connect(half_way.path)
    with open_one:
        open_one.sendall(b'x')
        assert open_one.recv(1) == b'x'
        old.terminate()
        old.wait_line(msg=re.compile('^stopping'))
        if first == 'the new one serves':
            half_way.start_agent()
            half_way.wait_ready()
            old.wait_line(msg=re.compile('^replaced by another sidecar'))
    assert old.wait(timeout=30) == 0
    if first == 'the old one ends':
        half_way.start_agent()
        half_way.wait_ready()
    control = half_way.sections['sidecar']['control']
    assert half_way.path.is_socket() and control.is_socket() and os.path.exists(f'{control}.next')
    assert is_served(half_way.path)
    assert not half_way.sidecar.lines(level='warn', msg=re.compile('replaced'))
    assert half_way.sidecar.stop() == 0
    assert not half_way.path.exists() and not control.exists()


@pytest.mark.parametrize('how', ['stop', 'kill'])
def test_paths_stay_if_the_new_one_ends_half_way(half_way, how):
    getattr(half_way.sidecar, how)()
    half_way.old.wait_line(level='warn', msg=re.compile('that was to replace this one has ended: going on'))
    assert is_served(half_way.path)
    assert half_way.old.stop() == 0
    assert not half_way.path.exists() and not half_way.sections['sidecar']['control'].exists()


def test_in_the_background(pair):
    """The command ends with success when the new one serves, which is then nobody's child."""
    workload = pair.inbound
    command = successor(workload, '--background')
    waiting, workload.sidecar = workload.sidecar, command
    assert waiting.wait(timeout=30) == 0 and command.wait(timeout=30) == 0
    pid = json.loads(workload.get('/status')[1])['pid']
    try:
        assert pid not in (command.pid, waiting.pid)
        assert f'PPid:\t{waiting.pid}\n' not in pathlib.Path(f'/proc/{pid}/status').read_text()
        with pair.connect() as sock:
            sock.sendall(b'x')
            assert sock.recv(1) == b'x'
    finally:
        os.kill(pid, signal.SIGTERM)
    labs.wait_until(lambda: not os.path.exists(f'/proc/{pid}'), 'it does not end')


def test_who_waits_for_it_may_give_up(pair):
    """Without a generation the new one never serves. It ends with the process that waits; the old one goes on."""
    workload = pair.inbound
    workload.change({'tls': {'key': 'sidecar'}})
    workload.sidecar.wait_line(msg='generation in use', generation=2)
    workload.agent.stop()
    old = successor(workload, '--background')
    old.wait_line(msg=re.compile('^another sidecar asks to replace this one'))
    workload.sidecar.kill()
    old.wait_line(level='warn', msg=re.compile('that was to replace this one has ended: going on'))
    with pair.connect() as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
    assert old.process.poll() is None


@pytest.mark.parametrize('arguments, status', [(['--background'], 2), (['--take-over', '--background'], 1)])
def test_in_the_background_without_success(lab, app, arguments, status):
    workload = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'c.sock'}}, start=False)
    alone = labs.Program(lab, 'alone', [labs.SIDECAR, '-c', workload.ini, *arguments])
    alone.expected = {status}
    assert alone.wait() == status


def test_a_replaced_one_lets_its_connections_finish_whatever_signals_come(pair):
    """A service manager that stops the service sends them to all of its processes."""
    with pair.connect() as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        before = successor(pair.inbound)
        before.wait_line(msg=re.compile('^replaced by another sidecar'))
        for _ in range(2):
            before.terminate()
        sock.sendall(b'y')
        assert sock.recv(1) == b'y'
    assert before.wait() == 0


def test_the_service_manager_learns_who_is_the_main_process(lab, app):
    """The old one does not say that the service stops."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(lab.folder / 'notify'))
        manager.settimeout(10 * labs.SLOW)
        environment = {'NOTIFY_SOCKET': str(lab.folder / 'notify')}
        workload = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'c.sock'}}, start=False)
        workload.start_agent()
        old = labs.Program(lab, 'old', [labs.SIDECAR, '-c', workload.ini], env=environment)
        assert manager.recv(1000) == b'READY=1'
        new = labs.Program(lab, 'new', [labs.SIDECAR, '-c', workload.ini, '--take-over'], env=environment)
        assert manager.recv(1000) == b'MAINPID=%d\nREADY=1' % new.pid
        assert old.wait() == 0
        assert new.stop() == 0
        assert manager.recv(1000) == b'STOPPING=1'


def test_nobody_to_take_over_from(lab, app):
    workload = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'c.sock'}}, start=False)
    new = labs.Program(lab, 'alone', [labs.SIDECAR, '-c', workload.ini, '--take-over'])
    new.expected = {1}
    assert new.wait() == 1
    assert new.lines(level='error', msg=re.compile(r'no sidecar that could be replaced listens at .*c\.sock\.next'))


@pytest.mark.skipif(os.getuid() != 0, reason='needs root, to be somebody else')
def test_sockets_are_given_to_our_own_uid_only(lab, app):
    """Not even to the agent's, which may drain."""
    folder = lab.folder / 'run'
    folder.mkdir()
    os.chown(folder, 2112, -1)
    workload = lab.inbound(app().port, {'sidecar': {'control': folder / 'c.sock'}}, sidecar_uid=2112)
    path = folder / 'c.sock.next'
    assert path.stat().st_mode & 0o777 == 0o600
    os.chmod(path, 0o666)
    new = labs.Program(lab, 'thief', [labs.SIDECAR, '-c', workload.ini, '--take-over'], user=2113)
    new.expected = {1}
    assert new.wait() == 1
    assert not workload.sidecar.lines(msg=re.compile('asks to replace'))
