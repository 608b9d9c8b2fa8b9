# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests `[sidecar] control`: what it changes, which callers may use it, and that misuse does no harm."""
import os
import re
import signal
import socket
import subprocess

import pytest

import lab as labs
from lab import connect, end_of, read_all, wait_until

root_only = pytest.mark.skipif(os.getuid() != 0, reason='needs root, to become somebody else')
SIDECAR_UID, AGENT_UID, STRANGER = 64001, 64002, 64003


@pytest.fixture
def path(lab):
    """Returns a path in a folder where any user can create a socket."""
    folder = lab.folder / 'control'
    folder.mkdir()
    folder.chmod(0o777)
    return folder / 'sidecar.sock'


def request(path, text):
    """Sends one request over the socket and returns (status, body)."""
    with connect(path) as sock:
        sock.sendall(text.encode())
        head, _, body = read_all(sock).partition(b'\r\n\r\n')
    return int(head.split()[1]), body.decode()


def post(path, what):
    return request(path, f'POST {what} HTTP/1.1\r\nHost: localhost\r\n\r\n')


def tool(workload, *arguments, user=None):
    """Returns (exit status, stdout, stderr)."""
    program = labs.within_reach(labs.AGENT, workload.lab.folder) if user else labs.AGENT
    done = subprocess.run([*labs.sanitizer_prefix(), program, *arguments, '-c', workload.ini], capture_output=True,
                          text=True, timeout=60 * labs.SLOW, check=False, user=user, group=user,
                          extra_groups=[] if user else None)
    assert 'Sanitizer' not in done.stderr and 'runtime error:' not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def serve(lab, app, path, sections=None, **options):
    return lab.inbound(app().port, {'sidecar': {'control': path, 'drain': '60s'}, **(sections or {})}, **options)


# --- what it changes --------------------------------------------------------------------------------

def test_drain_lets_open_connections_finish(lab, app, path):
    inbound = serve(lab, app, path)
    outbound = lab.outbound(inbound.port)
    with connect(outbound.port) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        assert tool(inbound, 'drain') == (0, 'draining: 1 connections may finish\n', '')
        wait_until(lambda: inbound.get('/readyz')[0] == 503, 'it is not ready any more')
        again = tool(inbound, 'drain')
        assert again[:2] == (0, 'stopping already: 1 connections are open\n'), 'it is no second signal'
        sock.sendall(b'y')
        assert sock.recv(1) == b'y'
    assert inbound.sidecar.wait() == 0
    assert not path.exists(), 'it has taken its socket away'
    code, _, err = tool(inbound, 'drain')
    assert code == 1 and 'cannot reach the sidecar at unix:' in err


def test_drain_when_nothing_is_open(lab, app, path):
    inbound = serve(lab, app, path)
    assert post(path, '/drain') == (200, 'draining: 0 connections may finish\n')
    assert inbound.sidecar.wait() == 0
    assert inbound.sidecar.lines(msg=re.compile(f'control: uid {os.getuid()} asks to drain'))


def test_log_level_of_every_thread(lab, app, path):
    """A worker logs the connection, and the main thread logs the generation."""
    inbound = serve(lab, app, path, {'sidecar': {'control': path, 'workers': 2}, 'log': {'level': 'warn'}})
    outbound = lab.outbound(inbound.port)

    def connection():
        with connect(outbound.port) as sock:
            sock.sendall(b'x')
            assert sock.recv(1) == b'x'
        wait_until(lambda: inbound.metric('fairlead_connections_open', direction='inbound') == 0, 'it has ended')

    connection()
    assert not inbound.sidecar.lines(level='info')
    assert tool(inbound, 'log-level', 'info') == (0, 'log level: info\n', '')
    connection()
    inbound.wait_line(level='info', msg='connection')
    # A generation brings the INI's level, which does not override this one.
    inbound.change({'limits': {'idle_timeout': '7m'}})
    inbound.wait_line(msg='generation in use', generation=2)
    assert tool(inbound, 'log-level', 'error') == (0, 'log level: error\n', '')
    inbound.change({'log': {'level': 'info'}})
    wait_until(lambda: 'fairlead_generation 3\n' in inbound.get('/metrics')[1], 'generation 3 is in use')
    assert not inbound.sidecar.lines(msg='generation in use', generation=3)
    assert tool(inbound, 'log-level', 'default') == (0, 'log level: as the INI says\n', '')
    connection()
    wait_until(lambda: len(inbound.sidecar.lines(level='info', msg='connection')) == 2, 'the INI says info by now')


def test_what_makes_no_sense_is_told(lab, app, path):
    inbound = serve(lab, app, path)
    assert post(path, '/log-level?level=loud')[0] == 400
    assert post(path, '/log-level')[0] == 400
    assert post(path, '/stop')[0] == 404
    assert request(path, 'GET /drain HTTP/1.1\r\n\r\n')[0] == 405
    assert inbound.get('/drain', 'POST')[0] == 404, 'the TCP endpoint only reads'
    assert inbound.get('/log-level?level=debug', 'POST')[0] == 404
    assert inbound.get('/readyz')[0] == 200
    assert request(path, 'GET /readyz HTTP/1.1\r\n\r\n') == (200, 'ready\n')
    assert tool(inbound, 'log-level') == (2, '', 'fairlead-agent log-level: missing LEVEL: debug, info, warn, error or '
                                          'default; see fairlead-agent log-level --help\n')
    assert 'did you mean `debug`?' in tool(inbound, 'log-level', 'debgu')[2]
    inbound.change({'sidecar': {'control': ''}})
    code, _, err = tool(inbound, 'drain')
    assert code == 2 and '`[sidecar] control` is empty' in err


# --- which callers may use it -------------------------------------------------------------------------

@root_only
def test_callers_go_by_their_uid(lab, app, path):
    inbound = serve(lab, app, path, start=False, sidecar_uid=SIDECAR_UID, agent_uid=AGENT_UID)
    for name in ('.', 'fairlead.ini'):
        (inbound.folder / name).chmod(0o755)
    os.chown(inbound.folder, AGENT_UID, -1)
    inbound.start().wait_ready()
    for user in (None, SIDECAR_UID, AGENT_UID):
        assert tool(inbound, 'log-level', 'debug', user=user)[0] == 0, user
    code, out, err = tool(inbound, 'log-level', 'debug', user=STRANGER)
    assert (code, out) == (1, '') and 'only root, the sidecar\'s own user and the agent\'s may ask here' in err
    assert tool(inbound, 'drain', user=STRANGER)[0] == 1
    assert inbound.get('/readyz')[0] == 200


@root_only
def test_before_there_was_an_agent_its_user_may_ask_what_the_sidecar_waits_for(lab, app, path):
    """The INI says who the agent is, whether or not it has connected yet."""
    inbound = serve(lab, app, path, start=False, sidecar_uid=SIDECAR_UID, agent_uid=AGENT_UID)
    for name in ('.', 'fairlead.ini'):
        (inbound.folder / name).chmod(0o755)
    inbound.start_sidecar()
    wait_until(path.exists, 'the socket is there')
    for user in (AGENT_UID, SIDECAR_UID):
        assert tool(inbound, 'log-level', 'debug', user=user)[0] == 0
        code, out, err = tool(inbound, 'wait', '--timeout', '10ms', '--control', path, user=user)
        assert (code, out) == (1, '') and 'no generation yet: ' in err, err
    for command in ('drain', ), ('log-level', 'debug'), ('wait', '--timeout', '10ms', '--control', path):
        code, _, err = tool(inbound, *command, user=STRANGER)
        assert code == 1 and 'may ask here' in err, err


# --- the path -----------------------------------------------------------------------------------------

def test_path_in_use_stops_nobody(lab, app, path):
    first = serve(lab, app, path)
    second = serve(lab, app, path, name='second')
    second.wait_line(level='warn', msg=re.compile('control: .* in use: another process listens there; going on'))
    assert second.sidecar.stop() == 0
    assert path.exists(), 'the other one keeps its path'
    assert post(path, '/log-level?level=debug')[0] == 200
    assert first.get('/readyz')[0] == 200


def test_path_that_nobody_listens_on_is_taken_over(lab, app, path):
    first = serve(lab, app, path)
    first.sidecar.kill()
    assert path.exists()
    second = serve(lab, app, path, name='second')
    assert post(path, '/log-level?level=debug')[0] == 200
    second.wait_line(msg=re.compile('sets the log level'))
    assert not second.sidecar.lines(msg=re.compile('going on without it'))


@pytest.mark.parametrize('what', ['no folder', 'a file'])
def test_path_that_cannot_be_had(lab, app, path, what):
    if what == 'a file':
        path.write_text('mine')
    inbound = serve(lab, app, path if what == 'a file' else path / 'x' / 'y')
    inbound.wait_line(level='warn', msg=re.compile('control: .*; going on without it'))
    assert inbound.sidecar.stop() == 0
    assert what != 'a file' or path.read_text() == 'mine'


# --- misuse -------------------------------------------------------------------------------------------

@pytest.mark.parametrize('data, status', [
    (os.urandom(1 << 20), b'400'),
    (b'POST /drain HTTP/1.1\r\nX: ' + b'x' * (1 << 20), b'431'),
    (b'\x16\x03\x01' * 1000, b'400'),
    (b'POST /drain' * 100000, b'4')], ids=['noise', 'long', 'tls', 'repeated'])
def test_a_megabyte_of_garbage(lab, app, path, data, status):
    inbound = serve(lab, app, path)
    with connect(path) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = sock.recv(4096)
        except ConnectionResetError:
            answer = b''
        assert answer == b'' or answer.split()[1].startswith(status), answer
    assert post(path, '/log-level?level=debug')[0] == 200
    assert inbound.get('/readyz')[0] == 200


def test_half_requests_keep_nobody_out(lab, app, path):
    inbound = serve(lab, app, path)
    before = inbound.sidecar.fds()
    halves = []
    for number in range(1030):
        halves.append(connect(path))
        halves[-1].sendall(b'POST /drain HTTP/1.1\r\n'[:number % 22])
    assert post(path, '/log-level?level=debug')[0] == 200
    assert end_of(halves[0]) in ('eof', 'reset'), 'the oldest had to go'
    for sock in halves:
        sock.close()
    wait_until(lambda: inbound.sidecar.fds() <= before, 'nothing is left of them')
    inbound.sidecar.signal(signal.SIGTERM)
    assert inbound.sidecar.wait() == 0
