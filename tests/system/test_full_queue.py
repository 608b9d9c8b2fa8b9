# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests who waits, and who is told what, when the queue of a Unix socket is full: that of an app, of the agent, of the sidecar."""
import contextlib
import json
import os
import re
import socket
import subprocess
import threading

import pytest

import lab as labs
import peers
from false_agent import FalseAgent
from lab import connect, read_all, wait_until


class Listener:
    """A path that accepts only when told to. Its queue holds room connections."""

    def __init__(self, path, room=1):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen(room - 1)
        self.sock.settimeout(10 * labs.SLOW)
        self.fill = []

    def fill_up(self):
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            try:
                sock.connect(str(self.path))
            except BlockingIOError:
                sock.close()
                return
            self.fill.append(sock)

    def accept(self):
        sock, _ = self.sock.accept()
        sock.settimeout(10 * labs.SLOW)
        return sock

    def make_room(self):
        for sock in self.fill:
            self.accept().close()
            sock.close()
        self.fill = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        for sock in self.fill:
            sock.close()


def open_connections(workload):
    return json.loads(workload.get('/status')[1])['connections']['inbound']['open']


@pytest.mark.parametrize('workers', [1, 2])
def test_an_app_that_accepts_slowly_gets_all_connections(lab, workers):
    """It takes one at a time, and has room for two more."""
    with Listener(lab.folder / 'app.sock', 2) as app:
        inbound = lab.inbound(f'unix:{app.path}', {'sidecar': {'workers': workers}})
        outbound = lab.outbound(inbound.port)
        answers = []

        def ask(number):
            with connect(outbound.port) as sock:
                sock.sendall(bytes([number]))
                sock.shutdown(socket.SHUT_WR)
                answers.append((number, read_all(sock)))
        clients = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(12)]
        for client in clients:
            client.start()
        wait_until(lambda: open_connections(inbound) == 12, 'all wait, or are in the queue')
        for _ in clients:
            with app.accept() as sock:
                sock.sendall(read_all(sock) * 2)
        for client in clients:
            client.join()
        assert sorted(answers) == [(number, bytes([number]) * 2) for number in range(12)]
        assert not inbound.sidecar.lines(msg='service fails')


def test_an_app_that_hangs(lab):
    """The connection ends after connect_timeout, and the log says that the app does not accept."""
    with Listener(lab.folder / 'app.sock') as app:
        app.fill_up()
        inbound = lab.inbound(f'unix:{app.path}', {'limits': {'connect_timeout': '300ms'}})
        assert peers.verdict(inbound.port, lab.client, lab.root) == 'closed'
        line = inbound.wait_line(reason='app_connect_timeout')
        assert line['duration_s'] >= 0.295 and line['app_addr'] == f'unix:{app.path}'
        assert 'does not accept' in inbound.wait_line(msg='service fails')['remedy']


def test_an_agent_that_hangs_is_told_from_one_that_is_not_there(lab, app):
    """The sidecar tries again, less and less often, and connects when there is room."""
    inbound = lab.inbound(app().port, start=False)
    with FalseAgent(inbound) as agent:
        agent.listener.listen(0)
        with connect(inbound.folder / 'agent.sock'):
            inbound.start_sidecar()
            line = inbound.wait_line(msg=re.compile('^agent: '))
            assert 'accepts no connection, and its queue is full' in line['msg'] and 'trying again' in line['msg']
            agent.listener.accept()[0].close()
            agent.accept()
            assert agent.push(1)[0]
        inbound.wait_ready()
        assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


def has_socket(process):
    """Has it opened one, or ended?"""
    if process.poll() is not None:
        return True
    fds = f'/proc/{process.pid}/fd'
    with contextlib.suppress(OSError):
        return any(os.readlink(f'{fds}/{fd}').startswith('socket:') for fd in os.listdir(fds))
    return False


def test_a_command_waits_until_a_busy_sidecar_has_room(lab):
    """The test plays the sidecar."""
    with Listener(lab.folder / 'control.sock') as sidecar:
        sidecar.fill_up()
        with subprocess.Popen([*labs.sanitizer_prefix(), labs.AGENT, 'log-level', 'info', '--control', sidecar.path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as command:
            wait_until(lambda: has_socket(command), 'it has begun to dial')
            sidecar.make_room()
            with sidecar.accept() as sock:
                assert sock.recv(4096).startswith(b'POST /log-level?level=info HTTP/1.1\r\n')
                sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nlog level: info\n')
            assert command.communicate(timeout=30 * labs.SLOW)[0] == 'log level: info\n'
        assert command.returncode == 0
