# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests a pod that calls itself, probes, and connections that would loop for ever."""
import re

import pytest

import lab as labs
import pods
from lab import wait_until
from pods import fate

FAMILIES = 'v4', 'v6'
LOOPBACK = {'v4': '127.0.0.1', 'v6': '::1'}


def echoes(sock, text=b'to myself'):
    sock.sendall(text)
    received = b''
    while len(received) < len(text):
        received += sock.recv(100) or pytest.fail('it ended')
    return received == text


@pytest.mark.parametrize('family', FAMILIES)
def test_app_calls_localhost(pod, family):
    """Such calls are not captured, and work without a sidecar too."""
    web = pod('web')
    web.app()
    with web.connect((LOOPBACK[family], 8080)) as sock:
        assert echoes(sock)
        assert web.metric('fairlead_connections_opened_total') == 0
    web.sidecar.kill()
    with web.connect((LOOPBACK[family], 8080)) as sock:
        assert echoes(sock)


@pytest.mark.parametrize('family', FAMILIES)
def test_app_calls_its_own_pod(pod, family):
    """The connection does not leave the pod and is not captured."""
    web = pod('web')
    web.app()
    with web.capture() as seen:
        with web.connect((getattr(web, family), 8080)) as sock:
            assert echoes(sock)
        assert web.metric('fairlead_connections_opened_total') == 0
    assert not seen.to_port(8080)


@pytest.mark.parametrize('family', FAMILIES)
def test_app_calls_its_own_service(node, pod, family):
    """The call goes through the node and back, with mutual TLS. The node is then the source, as with every hairpin."""
    web = pod('web')
    web.app()
    service = node.service(80, [web], to=8080)
    with pods.in_the_dark(b'to myself', web), web.connect((getattr(service, family), 80)) as sock:
        assert echoes(sock)
    outbound, inbound = web.wait_connection('outbound'), web.wait_connection('inbound')
    assert outbound['peer'] == inbound['peer'] == web.identity
    assert outbound['destination'].endswith(':80') and inbound['destination'].endswith(':8080')
    assert node.v4 in inbound['source'] or node.v6 in inbound['source']


@pytest.mark.parametrize('family', FAMILIES)
def test_sidecar_calls_its_own_pod(pod, family):
    """A fixed listener leads to the pod's own address. The connection is judged like that of any peer."""
    web = pod('web', start=False)
    address = getattr(web, family)
    to = f'[{address}]:8080' if ':' in address else f'{address}:8080'
    web.change({'upstream self': {'listen': '127.0.0.1:7001', 'to': to, 'peer': web.identity}})
    web.start().wait_ready()
    web.app()
    with web.connect(('127.0.0.1', 7001)) as sock:
        assert echoes(sock)
    assert web.wait_connection('inbound')['peer'] == web.identity


# --- probes -------------------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', ['strict', 'permissive'])
def test_tcp_probe_tells_whether_the_app_lives(node, pod, family, mode):
    web = pod('web', {'inbound': {'mode': mode}})
    to = getattr(web, family), 8080
    with pytest.raises(ConnectionRefusedError):
        node.connect(to)
    app = web.app()
    node.connect(to).close()
    app.close()
    with pytest.raises(ConnectionRefusedError):
        node.connect(to)


def test_admin_endpoint_is_not_captured(node, pod):
    web = pod('web')
    for address in web.v4, web.v6:
        with node.connect((address, pods.ADMIN)) as sock:
            sock.sendall(b'GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            assert b' 200 ' in labs.read_all(sock)


# --- loops --------------------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('port', [pods.OUTBOUND, pods.INBOUND])
@pytest.mark.parametrize('where', ['loopback', 'own pod', 'other pod', 'own service'])
def test_capture_port_cannot_be_dialled(node, pod, family, port, where):
    """The connection is refused at once and does not loop: the sidecar sees few connections or none."""
    web, other = pod('web'), pod('other')
    service = node.service(80, [web], to=port)
    to = {'loopback': (LOOPBACK[family], port), 'own pod': (getattr(web, family), port),
          'other pod': (getattr(other, family), port), 'own service': (getattr(service, family), 80)}[where]
    for _ in range(3):
        assert fate(lambda: web.connect(to)) in ('refused', 'reset', 'eof')
    for each in web, other:
        wait_until(lambda: each.metric('fairlead_connections_open') == 0, 'none is left')
        assert each.metric('fairlead_connections_opened_total') <= 6
        assert {line['reason'] for line in each.connections(re.compile('bound'))} <= {
            'loop', 'destination_unknown', 'peer_refused', 'peer_reset', 'peer_truncated', 'outbound_refused'}


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('port', [pods.OUTBOUND, pods.INBOUND])
@pytest.mark.parametrize('mode', ['strict', 'permissive', 'plaintext'])
def test_capture_port_cannot_be_dialled_from_outside(pod, family, port, mode):
    """This holds even if plaintext is allowed."""
    web = pod('web', {'inbound': {'mode': mode}, 'allow all': {'from': 'plaintext'}})
    other = pod('other', sidecar=False)
    for _ in range(3):
        assert fate(lambda: other.connect((getattr(web, family), port))) in ('refused', 'reset', 'eof')
    wait_until(lambda: web.metric('fairlead_connections_open') == 0, 'none is left')
    assert web.metric('fairlead_connections_opened_total') <= 3
    assert {line['reason'] for line in web.connections('inbound')} <= {'loop', 'destination_unknown'}
