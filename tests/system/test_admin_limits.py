# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which callers the admin endpoint answers, and that probes get their answer under floods and without memory."""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

import lab as labs
import peers
from lab import connect, read_all, wait_until

DETAILS = '/', '/status', '/connections', '/seen'
OPEN = '/healthz', '/readyz', '/metrics'


# --- which callers may read what --------------------------------------------------------------------

def get(pod, to, path):
    """Returns (status, body) for a caller in that pod."""
    with pod.connect(to) as sock:
        sock.sendall(f'GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode())
        head, _, body = read_all(sock).partition(b'\r\n\r\n')
    return int(head.split()[1]), body.decode()


def test_details_are_for_loopback(pod):
    """Only loopback reads the details: not another pod, the pod's own address or the network. `kubectl port-forward`
    uses loopback."""
    web, other = pod('web'), pod('other', sidecar=False)
    port = web.admin
    for path in OPEN:
        for to in (web.v4, port), (web.v6, port):
            assert get(other, to, path)[0] == 200
    for path in DETAILS:
        for who, to in (other, (web.v4, port)), (other, (web.v6, port)), (web, (web.v4, port)), (web, (web.v6, port)):
            status, body = get(who, to, path)
            assert status == 403 and 'kubectl port-forward' in body and 'admin_details' in body, (path, to)
            assert web.identity not in body
        for host in '127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1':
            assert get(web, (host, port), path)[0] == 200, (path, host)
    status, body = get(other, (web.v4, port), '/nowhere')
    assert status == 404 and '/readyz' in body and '/status' not in body
    web.change({'sidecar': {'admin_details': 'everywhere'}})
    web.wait_line(msg='generation in use', generation=2)
    assert [get(other, (web.v4, port), path)[0] for path in DETAILS] == [200] * 4, 'without a restart'


@pytest.mark.skipif(os.getuid() != 0, reason='needs root, to become somebody else')
def test_strangers_hold_no_place_at_the_control_socket(lab, app):
    """The control socket refuses callers of other users as soon as they connect, whether or not they send anything."""
    folder = lab.folder / 'control'
    folder.mkdir()
    folder.chmod(0o755)
    inbound = lab.inbound(app().port, {'sidecar': {'control': folder / 'sidecar.sock'}})
    script = '''
import resource, socket, sys
h = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; resource.setrlimit(resource.RLIMIT_NOFILE, (h, h))
socks = []
for i in range(1500):
    s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); socks.append(s)
print(socks[0].recv(4096).decode(), flush=True); sys.stdin.read()
'''
    with subprocess.Popen([sys.executable, '-c', script, folder / 'sidecar.sock'], user=64003, group=64003, extra_groups=[],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stranger:
        assert stranger.stdout.readline().startswith('HTTP/1.1 403'), 'he has said nothing'
        with connect(folder / 'sidecar.sock') as mine:
            mine.sendall(b'GET /status HT')  # nothing evicts this connection
            for _ in range(20):
                with connect(folder / 'sidecar.sock') as sock:
                    sock.sendall(b'POST /log-level?level=debug HTTP/1.1\r\n\r\n')
                    assert read_all(sock).startswith(b'HTTP/1.1 200')
            wait_until(lambda: inbound.sidecar.fds() < 1100, lambda: f'{inbound.sidecar.fds()} descriptors', 20)
            mine.sendall(b'TP/1.1\r\n\r\n')
            assert read_all(mine).startswith(b'HTTP/1.1 200')
        stranger.stdin.close()


# --- floods -----------------------------------------------------------------------------------------

FLOOD = '''
import resource, selectors, socket, sys, time
port, request, parallel, seconds = int(sys.argv[1]), sys.argv[2].encode().decode('unicode_escape').encode(), int(sys.argv[3]), float(sys.argv[4])
h = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; resource.setrlimit(resource.RLIMIT_NOFILE, (h, h))
unread, selector, live, asked, end = [], selectors.DefaultSelector(), 0, 0, time.monotonic() + seconds
print('begun', flush=True)
while time.monotonic() < end:
    while live < parallel:
        s = socket.socket(); s.setblocking(False); s.connect_ex(('127.0.0.1', port)); live += 1; asked += 1
        selector.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE)
    for key, events in selector.select(0.05):
        s = key.fileobj
        try:
            if events & selectors.EVENT_WRITE:
                selector.modify(s, selectors.EVENT_READ)
                s.send(request)
            elif sys.argv[5] == 'reads':
                if not s.recv(1 << 18): raise ConnectionError
            elif s.recv(1, socket.MSG_PEEK):
                selector.unregister(s); unread.append(s)
                if len(unread) > parallel: unread.pop(0).close(); live -= 1
            else:
                raise ConnectionError
        except BlockingIOError:
            continue
        except OSError:
            selector.unregister(s); s.close(); live -= 1
print(asked)
'''

ASK = 'GET {} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'


@contextlib.contextmanager
def flood(workload, request, parallel, reads='reads', seconds=3):
    with subprocess.Popen([sys.executable, '-c', FLOOD, str(workload.admin), request, str(parallel),
                           str(seconds * labs.PACE), reads], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'begun\n'
        yield process
        assert process.wait() == 0 and int(process.stdout.read()) >= parallel


def probe(workload, path='/readyz'):
    """Returns the seconds until a good answer, or None if there was none."""
    begun = time.monotonic()
    try:
        if workload.get(path)[0] == 200:
            return time.monotonic() - begun
    except OSError:
        pass
    return None


@pytest.fixture
def busy(lab, app):
    """Opens a thousand connections, so that listing them is expensive."""
    plain = lab.ports.free()
    target = app()
    web = lab.inbound(target.port, {
        'service plain': {'listen': f'127.0.0.1:{plain}', 'app': f'127.0.0.1:{target.port}', 'mode': 'plaintext'},
        'allow plain': {'from': 'plaintext', 'to': 'plain'}, 'log': {'level': 'warn'}})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    web.held = [connect(plain) for _ in range(1000)]
    for sock in web.held:
        sock.sendall(b'x')
    # The app has accepted each of them, too: what its backlog drops would end later, during the flood.
    assert all(sock.recv(1) == b'x' for sock in web.held)
    assert web.metric('fairlead_connections_open', security='plaintext') == 1000
    yield web
    for sock in web.held:
        sock.close()


@pytest.mark.alone
@pytest.mark.parametrize('name, request_text, parallel, reads', [
    ('listings', ASK.format('/connections'), 64, 'reads'),
    ('metrics', ASK.format('/metrics'), 64, 'reads'),
    ('probes', ASK.format('/readyz'), 64, 'reads'),
    ('silence', '', 2500, 'reads'),
    ('halves', 'GET /readyz HT', 2500, 'reads'),
    ('answers that nobody takes', ASK.format('/connections'), 1500, 'does not read'),
], ids=lambda value: value if isinstance(value, str) and ' ' not in value and '/' not in value else '')
def test_probes_come_through_a_flood(busy, name, request_text, parallel, reads):
    """During a flood, half of the probes are answered within 50 ms, and all within the second that a kubelet waits."""
    heap = busy.sidecar.heap()
    with flood(busy, request_text, parallel, reads) as process:
        times = []
        while process.poll() is None:
            times.append(probe(busy))
            time.sleep(0.05)
    assert len(times) >= 8 and None not in times, f'{times.count(None)} of {len(times)} probes failed'
    times.sort()
    assert times[len(times) // 2] < 0.05 * labs.SLOW and times[-1] < 1 * labs.SLOW, times
    if not labs.ASAN and not labs.TSAN:
        assert busy.sidecar.heap() - heap < 16 << 20, 'memory stays bounded'
    assert json.loads(busy.get('/connections')[1])['open'] == 1000


# --- no memory --------------------------------------------------------------------------------------

def data_of(process):
    with open(f'/proc/{process.pid}/status', encoding='ascii') as status:
        return int(re.search(r'^VmData:\s+(\d+) kB', status.read(), re.M)[1]) * 1024


@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='sanitizers end the process themselves when memory is out')
def test_no_request_ends_the_process_when_memory_is_out(busy):
    """As memory shrinks, each request gets a good answer or 503, and open connections continue."""
    statuses = set()
    busy.change({'limits': {'idle_timeout': '7m'}})
    wait_until(lambda: busy.metric('fairlead_generation') == 2, 'generation 2')
    hello, others = peers.client_hello(), []
    for spare in (0, 64, 500, 1000, 2000, 3000):
        limit = data_of(busy.sidecar) + spare * 1024
        resource.prlimit(busy.sidecar.pid, resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
        # Handshakes use up the remaining memory.
        for _ in range(150):
            with contextlib.suppress(OSError):
                others.append(connect(busy.port))
                others[-1].sendall(hello)
        for path in ('/connections', '/status', '/metrics', '/', '/seen', '/readyz') * 2:
            with contextlib.suppress(ConnectionError):
                status, body = busy.get(path)
                statuses.add(status)
                assert status == 200 or (status == 503 and 'memory' in body), (path, spare, status, body)
        # A new generation arrives.
        busy.change({'limits': {'idle_timeout': f'{spare + 8}m'}})
        busy.agent.signal(signal.SIGHUP)
        probe(busy, '/healthz')
        assert busy.sidecar.process.poll() is None, f'alive with {spare} KiB left: {busy.sidecar.text[-500:]}'
    resource.prlimit(busy.sidecar.pid, resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for sock in others:
        sock.close()
    assert {200, 503} <= statuses
    for sock in busy.held[:5]:
        sock.settimeout(10)
        sock.sendall(b'y')
        assert sock.recv(1) == b'y'
    assert json.loads(busy.get('/connections')[1])['open'] == 1000
    # The agent sends again what the sidecar had no memory for.
    wait_until(lambda: busy.get('/readyz')[0] == 200 and busy.metric('fairlead_generation') >= 3, 'a newer generation', 30)


def test_no_answer_is_not_taken_for_a_wrong_one(lab):
    web = lab.inbound(8080, start=False)
    with socket.create_server(('127.0.0.1', web.admin)) as server:
        tool = subprocess.Popen([*labs.sanitizer_prefix(), labs.AGENT, 'status', '-c', web.ini], stderr=subprocess.PIPE, text=True)
        sock, _ = server.accept()
        sock.recv(4096)
        sock.close()
        assert 'closed the connection without an answer' in tool.communicate(timeout=20)[1] and tool.returncode == 1
