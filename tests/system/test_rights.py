# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody sends descriptors to our Unix sockets: TCP sockets that linger for an hour, while nobody reads at their other end. Whoever
drops the last reference to such a socket sleeps. Nobody else notices.

From Linux 6.16 on our sockets refuse descriptors. An older kernel is played by a filter of system calls in front of our programs."""
import contextlib
import errno
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

import lab as labs
from lab import connect, wait_until

SO_PASSRIGHTS = 83
SIDECAR_UID, NOBODY = 64001, 65534
FULL = {'tls': {'tickets': 'off', 'reuse': 'off'}}  # each connection takes a signature of the agent

root_only = pytest.mark.skipif(os.getuid() != 0, reason='needs root, to become somebody else')

# PATH: sends the socket with a byte, and keeps none. Says how it went, and goes on to keep the other end from reading.
ATTACKER = r"""
import array, os, signal, socket, struct, sys
listener = socket.create_server(('127.0.0.1', 0))
lingers = socket.create_connection(listener.getsockname())
other, _ = listener.accept()
lingers.setblocking(False)
try:
    while True:
        lingers.send(bytes(65536))
except BlockingIOError:
    pass
lingers.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))
sender = socket.socket(socket.AF_UNIX)
sender.connect(sys.argv[1])
try:
    sender.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [lingers.fileno()]))])
    how = 'sent'
    os.close(lingers.detach())
except OSError as error:
    how = os.strerror(error.errno)
print(how, flush=True)
signal.pause()
"""

# PROGRAM ARGUMENTS: for it, the kernel does not know the option.
OLDER = r"""
import ctypes, os, platform, struct, sys
numbers = {'x86_64': (54, 55), 'aarch64': (208, 209)}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 2, 0, numbers[0]), (0x15, 1, 0, numbers[1]), (0x06, 0, 0, 0x7fff0000),
         (0x20, 0, 0, 32), (0x15, 0, 1, 83), (0x06, 0, 0, 0x00050000 | 92), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
for call in (38, 1, 0, 0, 0), (22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0):
    assert libc.prctl(*call) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[1], sys.argv[1:])
"""


def refuses():
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
            return True
        except OSError as error:
            assert error.errno == errno.ENOPROTOOPT
            return False


def play_older(monkeypatch):
    """The programs that a lab starts from now on run as they would before Linux 6.16."""
    start = labs.Program.__init__

    def start_older(program, lab, name, command, *, prefix=(), **options):
        if command[0] in (labs.SIDECAR, labs.AGENT):
            prefix = [*prefix, sys.executable, '-c', OLDER]
        start(program, lab, name, command, prefix=prefix, **options)
    monkeypatch.setattr(labs.Program, '__init__', start_older)


@pytest.fixture(params=['refuses', 'older'])
def kernel(request, monkeypatch):
    if request.param == 'older':
        play_older(monkeypatch)
    elif not refuses():
        pytest.skip('this kernel has no SO_PASSRIGHTS')
    return request.param


def state(program):
    return pathlib.Path(f'/proc/{program.pid}/stat').read_text().rpartition(')')[2].split()[0]


@contextlib.contextmanager
def attack(program, path, kernel, *, user=None):
    """While it goes on. The program, which listens at the path, is late: it is the last to have what was sent."""
    program.signal(signal.SIGSTOP)
    wait_until(lambda: state(program) == 'T', 'it stops')
    attacker = subprocess.Popen([sys.executable, '-c', ATTACKER, str(path)], text=True, user=user, group=user,
                                extra_groups=[] if user else None, stdout=subprocess.PIPE)
    try:
        how = attacker.stdout.readline().strip()
        program.signal(signal.SIGCONT)
        assert how == (os.strerror(errno.EPERM) if kernel == 'refuses' else 'sent')
        yield
    finally:
        attacker.kill()
        attacker.wait()
        attacker.stdout.close()


def answers(port):
    """A connection through the mesh, with a full handshake at both ends."""
    with connect(port) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'


@root_only
def test_agent_and_control_socket_from_who_may_not_ask(lab, app, kernel):
    control = lab.folder / 'control'
    control.mkdir()
    os.chown(control, SIDECAR_UID, -1)
    common = {**FULL, 'sidecar': {'control': control / 'sidecar.sock'}}
    server = lab.inbound(app().port, common, sidecar_uid=SIDECAR_UID)
    client = lab.outbound(server.port, FULL)
    answers(client.port)
    with attack(server.agent, server.folder / 'agent.sock', kernel, user=NOBODY), \
            attack(server.sidecar, control / 'sidecar.sock', kernel, user=NOBODY):
        for _ in range(5):
            answers(client.port)
            assert server.get('/healthz')[0] == 200
            assert server.get('/readyz')[0] == 200


def test_agent_from_the_sidecars_user(lab, app, kernel):
    pair = lab.pair(app().port, common=FULL)
    answers(pair.port)
    agent = pair.inbound.agent
    with attack(agent, pair.inbound.folder / 'agent.sock', kernel):
        for _ in range(5):
            answers(pair.port)
            assert pair.inbound.get('/readyz')[0] == 200
        if kernel == 'older':
            agent.wait_line(msg='sidecar connection closed', reason='it sends descriptors')


@root_only
def test_a_listener_of_an_upstream(lab, app, kernel):
    inbound = lab.inbound(app().port)
    path = lab.folder / 'up.sock'
    outbound = lab.outbound(inbound.port, {'upstream other': {'listen': f'unix:{path}', 'to': f'127.0.0.1:{inbound.port}',
                                                              'peer': labs.SERVER}})
    with connect(outbound.port) as open_before:
        for _ in range(2):
            with attack(outbound.sidecar, path, kernel, user=NOBODY):
                open_before.sendall(b'a')
                assert open_before.recv(1) == b'a'
                answers(outbound.port)
                answers(path)


def test_an_app_that_sends_descriptors(lab, app, kernel):
    """Its connection ends, where the kernel does not stop it before."""
    said = []

    def answer(sock):
        sock.recv(1)
        try:
            socket.send_fds(sock, [b'first '], [sock.fileno()])
            said.append('sent')
            sock.recv(1)
        except OSError as error:
            said.append(error.errno)
        sock.sendall(b'second')
    app(answer, path=lab.folder / 'app.sock')
    pair = lab.pair(f'unix:{lab.folder}/app.sock')
    with connect(pair.port) as sock:
        sock.sendall(b'?')
        if kernel == 'refuses':
            assert labs.read_all(sock) == b'second'
            assert said == [errno.EPERM]
        else:
            assert labs.end_of(sock) == 'reset'
            pair.inbound.wait_line(msg='connection', reason='app_reset')
            wait_until(lambda: said[:1] == ['sent'], 'the app goes on')
