# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests captured inbound ports in pods on a node: which clients each port serves, how, and what its app sees of the
client."""
import errno
import re
import socket

import pytest

import lab as labs
import peers
from lab import end_of, read_all

FAMILIES = 'v4', 'v6'
MODES = {  # plaintext, a greeting to a silent client, the app's own TLS
    'strict': (False, False, False),
    'permissive': (True, True, True),
    'plaintext': (True, True, True),
}
PLAIN = {'allow plain': {'from': 'plaintext'}}


def modes(mode, **sections):
    return {'inbound': {'mode': mode, 'detect_timeout': f'{200 * labs.SLOW}ms'},
            'limits': {'handshake_timeout': f'{1000 * labs.SLOW}ms'}, **PLAIN, **sections}


def said(pod, to, data=b'ping'):
    """Returns what comes back of a conversation that both sides have finished, or 'reset'."""
    try:
        with pod.connect(to) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno == errno.ENOTCONN:
            return 'reset'
        raise


def greeting(pod, to):
    """Returns what a silent client receives; b'' or 'reset' if it is closed instead."""
    try:
        with pod.connect(to) as sock:
            return sock.recv(100)
    except ConnectionError:
        return 'reset'


def greeter(sock):
    sock.sendall(b'220 ready\r\n')
    labs.echo(sock)


def who(sock):
    """Answers with the address that the app sees as its client."""
    sock.recv(4)
    sock.sendall(sock.getpeername()[0].removeprefix('::ffff:').encode())


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_modes(pod, mode, family):
    """A pod with a sidecar and one without dial a captured port of each mode. The log names the original addresses."""
    api, web, old = pod('api', modes(mode)), pod('web'), pod('old', sidecar=False)
    server, first = api.app(port=8080), api.app(greeter, port=2525)
    host = getattr(api, family)
    plain, silent, hello = MODES[mode]
    if mode != 'plaintext':
        assert said(web, (host, 8080)) == b'ping'
        line = api.wait_line(security='mtls')
        assert line['peer'] == web.identity and line.get('detected') == (None if mode == 'strict' else 'fairlead')
    accepted = server.accepted
    assert (said(old, (host, 8080), b'GET / HTTP/1.0\r\n') == b'GET / HTTP/1.0\r\n') == plain
    if plain:
        line = api.wait_line(security='plaintext', reason='done')
        assert line['source'].startswith(old.v4 if family == 'v4' else f'[{old.v6}]:')
        assert line['destination'].endswith(':8080') and (line['rule'], 'peer' in line) == ('plain', False)
    tls = peers.client_hello()
    assert (said(old, (host, 8080), tls) == tls) == hello
    assert (greeting(old, (host, 2525)) == b'220 ready\r\n') == silent
    if not plain:
        api.wait_line(reason='not_tls')
        api.wait_line(reason='handshake_timeout')
        assert (server.accepted, first.accepted) == (accepted, 0)
    counted = {'2525': 1, 'other': 0} if mode == 'permissive' else {'other': 0}
    assert {port: count for port, count in detect_timeouts(api).items() if port != '8080'} == counted


def detect_timeouts(workload):
    found = re.findall(r'^fairlead_detect_timeouts_total\{port="(\w+)"\} (\d+)$', workload.get('/metrics')[1], re.M)
    return {port: int(count) for port, count in found}


def test_ports_differ(pod):
    """A [service] with that port overrides [inbound] for this port only."""
    api = pod('api', {'service admin-ui': {'port': 8081, 'mode': 'plaintext'}, 'allow kubelet': {
        'from': 'plaintext', 'to': 'admin-ui', 'sources': '10.77.0.1, fd77::1'}})
    old = pod('old', sidecar=False)
    api.app(port=8080)
    api.app(port=8081)
    for host in api.v4, api.v6:
        with old.node.connect((host, 8081)) as probe:
            probe.sendall(b'ping')
            assert probe.recv(4) == b'ping'
        assert said(old, (host, 8081)) == 'reset', 'sources'
        assert said(old, (host, 8080)) != b'ping', 'strict'
    refusals = api.sidecar.lines(reason='policy_denied')
    assert len(refusals) == 2 and {line['service'] for line in refusals} == {'admin-ui'}
    assert f'sources = {old.v4}' in refusals[0]['remedy'] and f'sources = {old.v6}' in refusals[1]['remedy']


@pytest.mark.parametrize('family', FAMILIES)
def test_dead_app(pod, family):
    """Nothing listens on the app's port: connections are refused, and a probe fails."""
    api, web, old = pod('api', modes('permissive')), pod('web'), pod('old', sidecar=False)
    host = getattr(api, family)
    assert said(old, (host, 8080)) == 'reset'
    assert said(web, (host, 8080)) == 'reset'


@pytest.mark.parametrize('family', FAMILIES)
def test_proxy_protocol_tells_the_true_ends(pod, family):
    """The header has the client's address and the port that it dialled, not those of the capture."""
    headers = []

    def handler(sock):
        head = sock.recv(16, socket.MSG_WAITALL)
        headers.append((head, sock.recv(int.from_bytes(head[14:16], 'big'), socket.MSG_WAITALL)))
        labs.echo(sock)
    api = pod('api', modes('permissive', inbound={'mode': 'permissive', 'proxy_protocol': 'v2'}))
    web, old = pod('web'), pod('old', sidecar=False)
    api.app(handler)
    number, size = (socket.AF_INET, 4) if family == 'v4' else (socket.AF_INET6, 16)
    for client in web, old:
        assert said(client, (getattr(api, family), 8080)) == b'ping'
        head, rest = headers.pop()
        assert head[13] == (0x11 if family == 'v4' else 0x21)
        assert socket.inet_ntop(number, rest[:size]) == getattr(client, family)
        assert socket.inet_ntop(number, rest[size:2 * size]) == getattr(api, family)
        assert int.from_bytes(rest[2 * size + 2:2 * size + 4], 'big') == 8080
        assert (getattr(client, 'identity', 'nobody').encode() in rest) == (client is web)


# --- mode = tproxy ----------------------------------------------------------------------------------------

def tproxy_pod(pod, name, sections, **options):
    """Returns a pod whose sidecar has the capability, under the rules that the agent makes."""
    made = pod(name, {'redirect': {'mode': 'tproxy'}, **sections}, redirect=False, start=False,
               capabilities=['net_admin'], **options)
    made.space.root([labs.AGENT, 'redirect', 'apply', '-c', made.ini])
    return made.start().wait_ready()


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy(pod, family):
    """The app sees the client's own address, with mTLS and in plaintext. Dead apps and strict ports behave as in other
    modes."""
    api, web = tproxy_pod(pod, 'api', modes('permissive')), pod('web')
    old = pod('old', sidecar=False)
    api.app(who)
    api.app(port=8081)
    host = getattr(api, family)
    for client in web, old:
        for _ in range(3):
            assert said(client, (host, 8080)) == getattr(client, family).encode()
    data = b'x' * (1 << 20)
    assert said(web, (host, 8081), data) == data
    assert said(old, (host, 8081), data) == data
    assert said(web, (host, 9)) == 'reset'
    lines = api.sidecar.lines(reason='done')
    assert {line['security'] for line in lines} == {'mtls', 'plaintext'}
    assert all(line['destination'].rpartition(':')[2] in ('8080', '8081') for line in lines)
    # The pod's own connections are not disturbed.
    web.app(port=9090)
    assert said(api, (getattr(web, family), 9090)) == b'ping'


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy__many_at_once(pod, family):
    """One client opens more connections than a mix-up of ports would allow. Each gets its own answer."""
    api, old = tproxy_pod(pod, 'api', modes('plaintext')), pod('old', sidecar=False)
    api.app()
    socks = [old.connect((getattr(api, family), 8080)) for _ in range(50)]
    for i, sock in enumerate(socks):
        sock.sendall(b'%04d' % i)
    for i, sock in enumerate(socks):
        assert sock.recv(4) == b'%04d' % i
        sock.close()


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy__the_pod_to_itself(node, pod, family):
    """The pod calls itself by its own service, through the node and back, and by its own address."""
    api = tproxy_pod(pod, 'api', modes('permissive'))
    api.app()
    service = node.service(80, [api], to=8080)
    assert said(api, (getattr(api, family), 8080)) == b'ping'
    assert said(api, (getattr(service, family), 80)) == b'ping'


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy__no_loop(pod, family):
    """A capture port that another pod dials is reset, and nothing else happens."""
    api, old = tproxy_pod(pod, 'api', modes('plaintext')), pod('old', sidecar=False)
    for port in 15006, 15001:
        with pytest.raises(ConnectionError):
            with old.connect((getattr(api, family), port)) as sock:
                sock.sendall(b'x')
                assert end_of(sock) == 'reset'
                raise ConnectionResetError
    assert {line['reason'] for line in api.sidecar.lines(direction='inbound')} <= {'destination_unknown', 'loop'}


def test_tproxy__without_the_capability(pod):
    """The sidecar prints one sentence and does not start."""
    api = pod('api', {'redirect': {'mode': 'tproxy'}}, redirect=False, start=False)
    api.start_sidecar()
    assert api.sidecar.wait() == 1
    api.sidecar.expected = {1}
    assert api.sidecar.text.count('NET_ADMIN') == 1 and 'mode = redirect' in api.sidecar.text
