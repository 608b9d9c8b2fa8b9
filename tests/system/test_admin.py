# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the sidecar's admin endpoint from outside: what probes and people get, and what misbehaving callers cost."""
import socket
import subprocess

import pytest

from lab import connect, end_of, read_all, wait_until


@pytest.fixture
def web(lab):
    return lab.inbound(8080, start=False)


def accepted(workload):
    """Returns how many connections the admin endpoint has accepted. Those in the kernel's queue have no inode."""
    count = 0
    with open('/proc/net/tcp', encoding='ascii') as table:
        for line in list(table)[1:]:
            fields = line.split()
            local, state, inode = int(fields[1].split(':')[1], 16), fields[3], int(fields[9])
            count += local == workload.admin and state in ('01', '08') and inode != 0
    return count


def ask(workload, request):
    """Returns the whole answer to these bytes."""
    with connect(workload.admin) as sock:
        sock.sendall(request)
        return read_all(sock)


def test_alive_before_ready(web):
    """Without an agent, the sidecar is alive and says in one sentence why it is not ready."""
    web.start_sidecar()
    wait_until(lambda: web.sidecar.fds() and answers(web), 'no admin endpoint')
    assert web.get('/healthz') == (200, 'ok\n')
    status, reason = web.get('/readyz')
    assert status == 503 and len(reason.splitlines()) == 1 and len(reason) > 10
    web.start_agent()
    web.wait_ready()
    assert web.get('/readyz') == (200, 'ready\n')


def answers(workload):
    try:
        return workload.get('/healthz')
    except ConnectionError:
        return None


def test_what_probes_send(web):
    web.start().wait_ready()
    url = f'http://127.0.0.1:{web.admin}'
    for options in ([], ['--http1.0'], ['--head'], ['--http2']):
        out = subprocess.run(['curl', '-sS', '-w', '%{http_code}', *options, f'{url}/healthz'],
                             capture_output=True, text=True, check=True, timeout=30).stdout
        assert out.endswith('200'), options
    head = ask(web, b'HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 200 OK\r\n') and head.endswith(b'\r\n\r\n')
    assert b'Content-Length: 6\r\n' in head and b'Connection: close\r\n' in head


def test_other_paths_and_methods(web):
    web.start().wait_ready()
    status, body = web.get('/nowhere')
    assert status == 404 and '/healthz\n' in body and '/readyz\n' in body
    for method in ('POST', 'PUT', 'DELETE', 'OPTIONS'):
        answer = ask(web, f'{method} /readyz HTTP/1.1\r\nContent-Length: 0\r\n\r\n'.encode())
        assert answer.startswith(b'HTTP/1.1 405 ') and b'\r\nAllow: GET, HEAD\r\n' in answer


@pytest.mark.parametrize('data, status', [
    (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', b'400'),
    (b'nonsense\r\n\r\n', b'400'),
    (b'GET /healthz HTTP/1.1\r\nX: ' + b'x' * 100_000, b'431'),
    (b'GET /' + b'x' * 100_000, b'431')], ids=['ClientHello', 'nonsense', 'long header', 'long path'])
def test_bad_requests_are_answered(web, data, status):
    web.start().wait_ready()
    with connect(web.admin) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).startswith(b'HTTP/1.1 ' + status)


@pytest.mark.heavy
def test_who_closes_his_side_is_answered(lab):
    web = lab.inbound(8080)
    for path in ('/readyz', '/metrics', '/status', '/connections', '/seen', '/') * 3:
        with connect(web.admin) as sock:
            sock.sendall(f'GET {path} HTTP/1.0\r\n\r\n'.encode())
            sock.shutdown(socket.SHUT_WR)
            head, _, body = read_all(sock).partition(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 200 ') and f'Content-Length: {len(body)}'.encode() in head


def test_a_slow_caller_has_ten_seconds(web):
    web.start().wait_ready()
    with connect(web.admin, 30) as sock:
        sock.sendall(b'GET /healthz HT')
        assert web.get('/healthz')[0] == 200, 'nobody waits for it'
        assert end_of(sock) == 'eof'
    wait_until(lambda: accepted(web) == 0, lambda: f'{accepted(web)} left')


def test_connections_are_bounded(web):
    """With 1024 silent connections open, the sidecar serves the 1025th at once and closes the oldest."""
    web.start().wait_ready()
    wait_until(lambda: accepted(web) == 0, 'the probes do not go')
    silent = [connect(web.admin) for _ in range(1024)]
    wait_until(lambda: accepted(web) == 1024, lambda: f'{accepted(web)} accepted')
    with connect(web.admin) as late:
        late.sendall(b'GET /healthz HTTP/1.1\r\n\r\n')
        late.settimeout(5)
        assert b'\r\n\r\nok\n' in read_all(late)
    assert end_of(silent[0]) == 'eof'
    for sock in silent:
        sock.close()
    wait_until(lambda: accepted(web) == 0, lambda: f'{accepted(web)} left')
