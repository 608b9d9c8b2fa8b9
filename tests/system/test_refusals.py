# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what the app sees when a destination refuses: a reset, at once, without a second attempt."""
import socket
import time

import pytest

import lab as labs
from scene import FAMILIES

LONG = {'limits': {'connect_timeout': '30s', 'handshake_timeout': '30s'}}
PORT = 8080


def client_of(node, mode, sections=None):
    sections = labs.merge(LONG, sections)
    if mode == 'tproxy':
        return node.pod('client', labs.merge(sections, {'redirect': {'mode': mode}}), capabilities=('net_admin',))
    return node.pod('client', sections)


def told(connecting):
    """Returns how a silent, waiting connection ends, and after how many seconds."""
    start = time.monotonic()
    try:
        with connecting() as sock:
            sock.settimeout(20 * labs.SLOW)
            how = sock.recv(1) or 'eof'
    except OSError as error:
        how = type(error).__name__
    return how, time.monotonic() - start


def dead(node, kind):
    """Returns a pod with an address of each family where PORT is refused in this way."""
    if kind == 'captured':
        return node.pod('server')
    server = node.pod('server', sidecar=False)
    if kind == 'unreachable':
        node.space.ip(f'route add unreachable {server.v4}/32', f'route add unreachable {server.v6}/128')
    elif kind == 'rejected':  # as kube-proxy does for a Service without endpoints
        node.space.nft('table inet refusal { chain c { type filter hook forward priority 0; '
                       f'tcp dport {PORT} reject with icmpx port-unreachable; }}; }}')
    return server


REASONS = {'captured': 'peer_refused', 'plain': 'peer_refused', 'rejected': 'peer_refused',
           'unreachable': 'peer_unreachable'}


@pytest.mark.parametrize('kind', REASONS)
@pytest.mark.parametrize('mode', ('redirect', 'tproxy'))
def test_a_refusal_is_passed_on_at_once(node, mode, kind):
    client, server = client_of(node, mode), dead(node, kind)
    for family in FAMILIES:
        to = getattr(server, family), PORT
        with client.capture() as seen:
            how, seconds = told(lambda: client.connect(to))
        assert how == 'ConnectionResetError' and seconds < labs.SLOW
        # The node may answer before connect() has returned: the kernel would retry a second later.
        syns = [segment for segment in seen.segments() if segment[1] == to and segment[3] & 2]
        assert len(syns) == 1
    for family in FAMILIES:
        host = getattr(server, family)
        destination = f'{host}:{PORT}' if family == 'v4' else f'[{host}]:{PORT}'
        assert client.wait_connection('outbound', destination=destination)['reason'] == REASONS[kind]


@pytest.mark.parametrize('family', FAMILIES)
def test_what_is_open_outlives_such_errors(node, family):
    """An error that ends a new attempt does not end an open connection: the route may come back, and anyone can forge
    such an error."""
    client, server = client_of(node, 'redirect'), node.pod('server')
    server.app(port=PORT)
    host = getattr(server, family)
    with client.connect((host, PORT)) as sock:
        sock.sendall(b'one')
        assert sock.recv(3, socket.MSG_WAITALL) == b'one'
        with client.capture() as seen:
            node.space.ip(f'route add unreachable {host}/{128 if ":" in host else 32}')
            sock.sendall(b'two')
            kind = b'\x86\xdd' if ':' in host else b'\x08\x00'
            protocol = 14 + (6 if ':' in host else 9)
            labs.wait_until(lambda: any(packet[12:14] == kind and packet[protocol] in (1, 58) and packet[34 if kind[0] == 8
                                        else 54] in (1, 3) for packet in list(seen.packets)), 'the node says so')
            node.space.ip(f'route del unreachable {host}/{128 if ":" in host else 32}')
        assert sock.recv(3, socket.MSG_WAITALL) == b'two'


@pytest.mark.parametrize('family', FAMILIES)
def test_a_refusal_on_a_fixed_listener(node, family):
    server = dead(node, 'plain')
    host = getattr(server, family)
    to = f'[{host}]:{PORT}' if family == 'v6' else f'{host}:{PORT}'
    client = client_of(node, 'redirect', {'upstream fixed': {'listen': '127.0.0.1:7001', 'to': f'{to}, {to}'}})
    how, seconds = told(lambda: client.connect(('127.0.0.1', 7001)))
    assert how == 'ConnectionResetError' and seconds < labs.SLOW
    assert client.wait_connection('outbound', upstream='fixed')['reason'] == 'peer_refused'


@pytest.mark.parametrize('mode', ('redirect', 'tproxy'))
def test_an_app_of_one_family_only(node, mode):
    """The kernel of the pod refuses the other family, as without a sidecar, and its client learns it in one round
    trip."""
    client, server = client_of(node, mode), node.pod('server')
    server.app(host='0.0.0.0', port=PORT)
    how, seconds = told(lambda: client.connect((server.v6, PORT)))
    assert how == 'ConnectionResetError' and seconds < labs.SLOW
    with client.connect((server.v4, PORT)) as sock:
        sock.sendall(b'yes')
        assert sock.recv(3, socket.MSG_WAITALL) == b'yes'


def test_an_app_that_is_down_behind_a_fixed_listener(node):
    server = node.pod('server', labs.merge(LONG, {'service fixed': {'listen': '*:8443', 'app': '127.0.0.1:9999'}}))
    client = client_of(node, 'redirect')
    for family in FAMILIES:
        how, seconds = told(lambda: client.connect((getattr(server, family), 8443)))
        assert how == 'ConnectionResetError' and seconds < 2 * labs.SLOW
    assert server.wait_connection('inbound', service='fixed')['reason'] == 'app_refused'
