# SPDX-License-Identifier: GPL-3.0-or-later
"""`fairlead-agent status`, for people and for programs."""
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest

import lab as labs
import peers
from lab import connect, wait_until
from reports import agree, ask, of, status, tool

MISLEADING = set(map(chr, [*range(0x0a), *range(0x0b, 0x20), *range(0x7f, 0xa0), 0x202e]))

# --- the tool -------------------------------------------------------------------------------------

def test_status_for_people(lab, app):
    pair = lab.pair(app().port)
    ask(pair, 100_000)
    agree(pair.outbound, {'done': 1}, 'outbound')
    code, out, err = tool('status', '-c', pair.outbound.ini)
    assert (code, err) == (0, '')
    for pattern in (r'^sidecar +ready$', rf'^identity +{labs.CLIENT}$', r'^ +expires in 3649d 23h, 20|3650d, 20',
                    r'^generation +1, since 20\d\d-', rf'^trust +root 1 of {labs.TD} expires in ',
                    r'^rotations +1 used, 0 refused by the agent, 0 by the sidecar', r'^agent +connected$',
                    rf'^upstream +peer: 127\.0\.0\.1:{pair.port} -> 127\.0\.0\.1:{pair.inbound.port}$',
                    r'^outbound +connections: 0 open of 1; ended: 1 done$',
                    r'^ +handshakes: 1 ok, \d of them resumed$',
                    r'^ +sessions: \d busy, \d idle; connections on a new one: 1, on a reused one: 0$', r'^ +bytes: 97\.7 KiB to the app, 97\.7 KiB to the mesh$'):
        assert re.search(pattern, out, re.M), (pattern, out)
    assert not re.search('^inbound', out, re.M), 'no traffic, no lines'


def test_status_tells_sessions_from_connections(lab, app):
    """So do /connections and the page. Without sessions of that kind there is no line."""
    pair, alone = lab.pair(app().port), lab.pair(app().port, outbound={'tls': {'reuse': 'off'}})
    for count in range(3):
        ask(pair, 1)
        agree(pair.inbound, {'done': count + 1}, 'inbound')
        agree(pair.outbound, {'done': count + 1}, 'outbound')
    for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
        wait_until(lambda: status(workload)['sessions'][direction]['idle'] == 1, 'it is idle')
        out = tool('status', '-c', workload.ini)[1]
        assert re.search(rf'^{direction} +connections: 0 open of 3.*\n.*\n +sessions: 0 busy, 1 idle; '
                         r'connections on a new one: 1, on a reused one: 2$', out, re.M), out
        told = json.loads(workload.get('/connections')[1])
        assert told['idle_sessions'] == {'inbound': 0, 'outbound': 0, direction: 1} and told['open'] == 0
        assert f'{direction} 0 busy, 1 idle' in workload.get('/')[1]
        assert re.search('Connections on a reused session(<[^>]*>)+2<' if direction == 'inbound' else
                         'Connections on a reused session(<[^>]*>)+0(<[^>]*>)+2<', workload.get('/')[1])
    ask(alone, 1)
    agree(alone.outbound, {'done': 1}, 'outbound')
    assert 'sessions:' not in tool('status', '-c', alone.outbound.ini)[1]


def test_status_names_the_peers_of_open_connections(lab, app):
    """The peer with the most connections comes first."""
    inbound, other = lab.inbound(app().port), lab.root.issue(f'spiffe://{labs.TD}/ns/test/sa/other')
    fronts = [lab.outbound(inbound.port), lab.outbound(inbound.port, svid=other)]
    with contextlib.ExitStack() as stack:
        for front in (fronts[0], fronts[1], fronts[1]):
            sock = stack.enter_context(connect(front.port))
            sock.sendall(b'x')
            assert sock.recv(1) == b'x'
        out = tool('status', '-c', inbound.ini)[1]
        assert re.search(rf'^peers        spiffe://{labs.TD}/ns/test/sa/other: 2 inbound\n'
                         rf'             {labs.CLIENT}: 1 inbound$', out, re.M), out
        assert re.search(rf'^peers        {labs.SERVER}: 1 outbound$', tool('status', '-c', fronts[0].ini)[1], re.M)
    wait_until(lambda: 'peers' not in tool('status', '-c', inbound.ini)[1], 'nothing is open')


def test_status_json_is_the_document(lab):
    web = lab.inbound(8080)
    code, out, err = tool('status', '--json', '-c', web.ini)
    assert (code, err) == (0, '')
    assert list(json.loads(out)) == [
        'ready', 'reason', 'version', 'pid', 'now', 'started', 'workers', 'id', 'generation', 'certificates',
        'certificates_left_out', 'rotations', 'last_rotation', 'last_refusal', 'warnings', 'restart_keys', 'listeners', 'capture',
        'connections', 'sessions', 'bytes', 'plaintext', 'dns_addresses_refused', 'handshakes', 'policy', 'redirect',
        'services', 'upstreams', 'peers', 'peers_size', 'last_judgement', 'sandbox', 'agent', 'log_lines_lost']
    assert json.loads(out)['pid'] == web.sidecar.pid
    assert set(json.loads(out)) <= set(re.findall(r'\w+', tool('status', '--help')[1]))


def test_status_when_nobody_answers(lab):
    web = lab.inbound(8080, start=False)
    for options in ([], ['--json']):
        code, out, err = tool('status', '-c', web.ini, *options)
        assert (code, out) == (1, '') and len(err.splitlines()) == 1
        assert f'127.0.0.1:{web.admin}' in err and 'refused' in err
    web.change({'sidecar': {'admin': ''}})
    code, out, err = tool('status', '-c', web.ini)
    assert (code, out) == (2, '') and '[sidecar] admin' in err


@pytest.mark.parametrize('answer', [
    b'HTTP/1.1 200 OK\r\n\r\nnonsense', b'HTTP/1.1 200 OK\r\n\r\n{}', b'HTTP/1.1 200 OK\r\n\r\n[[[[[[',
    b'HTTP/1.1 200 OK\r\n\r\n' + b'[' * 100_000, b'HTTP/1.1 404 Not Found\r\n\r\n{"ready": true}',
    b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ready": true}', b'SSH-2.0-x\r\n', b'',
    'HTTP/1.1 403 Forbidden\r\n\r\n\x1b[2J\x9b\u202ered\rnot\n'.encode(), b'HTTP/1.1 503 Bad\r\n\r\n'],
    ids=['nonsense', 'empty', 'open', 'deep', '404', 'short', 'SSH', 'nothing', 'hostile', 'no reason'])
def test_status_of_something_else(lab, app, answer):
    def answer_with(sock):
        sock.recv(4096)
        sock.sendall(answer)
    web = lab.inbound(8080, start=False)
    web.change({'sidecar': {'admin': f'127.0.0.1:{app(answer_with).port}'}})
    code, out, err = tool('status', '-c', web.ini)
    assert (code, out) == (1, '') and err.startswith('fairlead-agent: ') and len(err.splitlines()) == 1
    assert not set(err) & MISLEADING


@pytest.mark.parametrize('command', ['status', 'connections', 'suggest'])
@pytest.mark.parametrize('answer, expected', [
    ('403 Forbidden', 'the sidecar does not tell: a reason, and what to do'),
    ('503 Service Unavailable', 'the sidecar does not tell: a reason, and what to do'),
    ('404 Not Found', 'what answers there has no /[a-z]+ of a Fairlead sidecar: is it another program, or an older sidecar[?]')])
def test_each_tool_says_why_the_sidecar_does_not_tell(lab, app, command, answer, expected):
    def answer_with(sock):
        sock.recv(4096)
        sock.sendall(f'HTTP/1.1 {answer}\r\n\r\na reason, and what to do\n'.encode())
    web = lab.inbound(8080, start=False)
    web.change({'sidecar': {'admin': f'127.0.0.1:{app(answer_with).port}'}})
    code, out, err = tool(command, '-c', web.ini)
    assert (code, out) == (1, '') and re.fullmatch(f'fairlead-agent( [a-z]+)?: {expected}\n', err), err


@pytest.mark.parametrize('document', [
    '{"ready": true}', '{"ready": false, "reason": 5, "generation": [], "certificates": {"a": 1}, "listeners": "x"}',
    '{"ready": true, "generation": {"number": 1e300, "remaining_seconds": -1e300}, "bytes": {"inbound": 1}}',
    '{"ready": true, "version": "\\u001b[2J\\u202e", "id": "\\n\\n", "connections": {"inbound": {"opened": 1, '
    '"closed": {"\\u001b[2J": 1, "x": -1, "y": "z"}}}, "listeners": [1, {}, {"section": "\\u001b[2J\\u009b\\u202e", "leads_to": [1, null]}]}',
    '{"ready": true, "connections": {"inbound": {"opened": 1, "closed": [7]}}, "handshakes": {"inbound": {"failed": [7]}}, '
    '"policy": {"default_decisions": [1], "rules": [{"decisions": [1]}]}}',
    '{"ready": true, "version": "\\ud800"}',
    '{"ready": true, "id": "\x1b[2J\x9b\u202e", "certificates_left_out": 1e300, "certificates": [' + '{},' * 20 + '{}]}'],
    ids=['bare', 'wrong types', 'huge', 'hostile', 'arrays', 'no text', 'raw'])
def test_status_of_a_stranger_does_no_harm(lab, app, document):
    def answer_with(sock):
        sock.recv(4096)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n' + document.encode())
    web = lab.inbound(8080, start=False)
    web.change({'sidecar': {'admin': f'127.0.0.1:{app(answer_with).port}'}})
    code, out, _ = tool('status', '-c', web.ini)
    assert code in (0, 1) and not set(out) & MISLEADING
    if not out:
        assert 'ud800' in document
        return
    code, out, _ = tool('status', '--json', '-c', web.ini)
    assert code in (0, 1) and not set(out) & MISLEADING
    assert json.loads(out, strict=False) == json.loads(document, strict=False)
    watching = subprocess.Popen([labs.AGENT, 'status', '--watch', '-c', web.ini], stdout=subprocess.PIPE, text=True)
    assert watching.stdout.readline().startswith('sidecar')
    watching.terminate()
    assert watching.wait() in (0, 1)


def test_status_of_a_large_ini(lab, app):
    """12,000 upstreams make an INI of 426 KB, of which /status tells as much as this."""
    upstreams = [{'upstream': f'u{i}', 'mode': 'mtls', 'listen': None, 'to': [f'10.1.{i // 250}.{i % 250 + 1}:80'], 'peer': [],
                  'names': [], 'failing': i == 11_999, 'open': 0, 'opened': 0, 'succeeded': 0, 'to_app': 0, 'to_mesh': 0,
                  'last_success': None, 'last_failure': None, 'failures': {}} for i in range(12_000)]
    document = json.dumps({'ready': True, 'upstreams': upstreams}, indent=2)
    assert len(document) > 4 << 20

    def answer_with(sock):
        sock.recv(4096)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n' + document.encode())
    code, out, err = tool('status', '--admin', f'127.0.0.1:{app(answer_with).port}', '-c', lab.folder / 'missing.ini')
    assert (code, err) == (0, '') and 'FAILING      upstream u11999: ' in out and 'and 11980 more\n' in out


def test_watch(lab, app):
    """On a terminal, it redraws in place, reports when the sidecar is gone, and ends on Ctrl-C with the last
    verdict."""
    web = lab.inbound(app().port)
    master, slave = pty.openpty()
    process = subprocess.Popen([*labs.sanitizer_prefix(), labs.AGENT, 'status', '--watch', '-c', web.ini], stdin=slave,
                               stdout=slave, stderr=slave)
    os.close(slave)
    os.set_blocking(master, False)
    screen = bytearray()

    def shows(text, times=1):
        try:
            while chunk := os.read(master, 65536):
                screen.extend(chunk)
        except BlockingIOError:
            pass
        return screen.count(text) >= times
    try:
        wait_until(lambda: shows(b'\x1b[H', 2), 'it redraws')
        assert b'identity     spiffe://' in screen and b'\x1b[J' in screen
        web.sidecar.stop()
        wait_until(lambda: shows(b'NOT REACHABLE: '), 'it notices')
        process.send_signal(signal.SIGINT)
        assert process.wait(10 * labs.SLOW) == 1
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_watch_in_a_small_window(lab):
    """Nothing wraps, and nothing scrolls."""
    web = lab.inbound(8080)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('4H', 6, 30, 0, 0))
    with subprocess.Popen([*labs.sanitizer_prefix(), labs.AGENT, 'status', '--watch', '-c', web.ini], stdin=slave,
                          stdout=slave, stderr=slave, env={**os.environ, 'NO_COLOR': '1'}) as process:
        os.close(slave)
        screen = b''
        while screen.count(b'\x1b[H') < 3:
            screen += os.read(master, 65536)
        process.send_signal(signal.SIGINT)
    os.close(master)
    lines = screen.split(b'\x1b[H')[1].replace(b'\x1b[K', b'').replace(b'\x1b[J', b'').decode().splitlines()
    assert len(lines) == 5 and all(len(line) < 30 for line in lines), lines
    assert lines[0] == 'sidecar      ready' and re.fullmatch(r'and \d+ more lines, in a larger.*', lines[-1])


def test_watch_into_a_pipe(lab):
    web = lab.inbound(8080)
    with subprocess.Popen([*labs.sanitizer_prefix(), labs.AGENT, 'status', '--watch', '--json', '-c', web.ini],
                          stdout=subprocess.PIPE, text=True) as process:
        text = ''
        while text.count('\n}\n') < 2:
            text += process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10 * labs.SLOW) == 0
    assert '\x1b' not in text
    assert json.loads(text[:text.index('\n}\n') + 3])['ready'] is True
