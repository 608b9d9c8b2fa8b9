# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured connections: where they go, what is refused, and that nothing comes round in a loop."""
import socket
import threading

import pytest

import lab as labs
import pods
from lab import end_of, wait_until

FAMILIES = 'v4', 'v6'
MARKER = b'the secret of the app'


def mapped(address):
    """An IPv4 address as a dual-stack program writes it."""
    return f'::ffff:{address}'


def address(pod, kind):
    return mapped(pod.v4) if kind == 'mapped' else getattr(pod, kind)


def text(host, port):
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def echoed(sock, data=MARKER):
    """The data comes back, and the end after it."""
    def send():
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    with sock:
        sender = threading.Thread(target=send)
        sender.start()
        received = labs.read_all(sock)
        sender.join()
        return received == data


def end(pod, to, data=b''):
    """How a connection of the pod's app ends: 'eof', 'reset'; 'timeout' when it does not."""
    try:
        with pod.connect(to) as sock:
            sock.sendall(data)
            return end_of(sock)
    except (ConnectionResetError, BrokenPipeError):
        return 'reset'
    except TimeoutError:
        return 'timeout'


# --- it works, and the log tells ----------------------------------------------------------------------

@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_between_two_pods_that_know_nothing_of_it(pod, kind):
    """Mutual TLS on the wire; in both logs the true ends and the original destination."""
    web, api = pod('web'), pod('api')
    api.app()
    host = getattr(api, 'v6' if kind == 'v6' else 'v4')
    own = getattr(web, 'v6' if kind == 'v6' else 'v4')
    with web.capture() as seen:
        assert echoed(web.connect((address(api, kind), 8080)))
    assert not seen.saw(MARKER) and seen.to_port(8080)
    out = web.wait_line(msg='connection', direction='outbound')
    assert (out['destination'], out['security'], out['reason']) == (text(host, 8080), 'mtls', 'done')
    assert (out['own'], out['peer'], out['peer_addr']) == (web.identity, api.identity, text(host, 8080))
    assert out['source'].rpartition(':')[0] == text(own, 0).rpartition(':')[0] and 'upstream' not in out
    back = api.wait_line(msg='connection', direction='inbound')
    assert (back['destination'], back['security'], back['reason']) == (text(host, 8080), 'mtls', 'done')
    assert back['source'].rpartition(':')[0] == text(own, 0).rpartition(':')[0]
    assert (back['own'], back['peer']) == (api.identity, web.identity)


def test_policy_knows_captured_ports_and_their_names(pod):
    """A rule for a port, one for a [service]'s name, and what no rule is about."""
    web = pod('web')
    api = pod('api', {'service admin-ui': {'port': 8081}, 'allow ports': {'from': web.identity, 'to': '8080'},
                      'allow names': {'from': web.identity, 'to': 'admin-ui'}}, allow=None)
    for port in 8080, 8081, 8082:
        api.app(port=port)
    assert echoed(web.connect((api.v4, 8080))) and echoed(web.connect((api.v6, 8081)))
    assert end(web, (api.v4, 8082), MARKER) == 'reset'
    assert api.wait_line(rule='ports')['destination'] == text(api.v4, 8080)
    assert api.wait_line(rule='names')['service'] == 'admin-ui'
    refused = api.wait_line(reason='policy_denied')
    assert refused['destination'] == text(api.v4, 8082) and refused['remedy'].endswith('to = 8082')


def test_app_that_does_not_listen_is_a_reset(pod):
    web, api = pod('web'), pod('api')
    assert end(web, (api.v4, 8080)) == 'reset'
    assert api.wait_line(reason='app_refused')['destination'] == text(api.v4, 8080)


def test_app_bound_to_loopback_stays_private(pod):
    web, api = pod('web'), pod('api')
    app = api.app(host='127.0.0.1')
    assert end(web, (api.v4, 8080)) == 'reset' and app.accepted == 0


def test_status_shows_the_listeners_of_captured_traffic(pod):
    web = pod('web')
    listeners = {(each['section'], each['name'], each['address'], each['serving']) for each in
                 labs.json.loads(web.get('/status')[1])['listeners']}
    assert listeners == {('sidecar', 'inbound', '*:15006', True), ('sidecar', 'outbound', '127.0.0.1:15001', True),
                         ('sidecar', 'outbound', '[::1]:15001', True)}


# --- no loops -----------------------------------------------------------------------------------------

def refused(pod, direction, reason, destination):
    """One line says so, and nothing of it is left."""
    line = pod.wait_line(msg='connection refused', direction=direction)
    assert (line['reason'], line.get('destination')) == (reason, destination)
    wait_until(lambda: labs.json.loads(pod.get('/status')[1])['connections'][direction]['open'] == 0, 'it is gone')
    assert len(pod.lines(reason=reason)) == len(pod.lines(msg='connection refused')) == 1


@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_capture_port_dialled_by_another_pod(pod, kind):
    other, web = pod('other', sidecar=False), pod('web')
    assert end(other, (address(web, kind), pods.INBOUND)) == 'reset'
    refused(web, 'inbound', 'destination_unknown', text(getattr(web, 'v6' if kind == 'v6' else 'v4'), pods.INBOUND))


@pytest.mark.parametrize('port', (pods.OUTBOUND, 8443))
@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_other_listeners_of_ours_dialled_by_another_pod(pod, kind, port):
    """Those for the app, and a fixed one that only loopback was to reach."""
    other, web = pod('other', sidecar=False), pod('web', {'upstream db': {'listen': '127.0.0.1:8443', 'to': '10.1.1.1:1'}})
    assert end(other, (address(web, kind), port)) == 'reset'
    refused(web, 'inbound', 'loop', text(getattr(web, 'v6' if kind == 'v6' else 'v4'), port))


@pytest.mark.parametrize('port', (pods.INBOUND, pods.ADMIN, 8443))
@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_listeners_of_ours_dialled_by_the_app(pod, kind, port):
    web = pod('web', {'service fixed': {'listen': '*:8443', 'app': '127.0.0.1:8080'}})
    assert end(web, (address(web, kind), port)) == 'reset'
    refused(web, 'outbound', 'loop', text(getattr(web, 'v6' if kind == 'v6' else 'v4'), port))


@pytest.mark.parametrize('host', ('127.0.0.1', '::1', '::ffff:127.0.0.1'))
def test_capture_port_dialled_by_the_app(pod, host):
    web = pod('web')
    assert end(web, (host, pods.OUTBOUND)) == 'reset'
    refused(web, 'outbound', 'destination_unknown', text(host.removeprefix('::ffff:'), pods.OUTBOUND))


@pytest.mark.parametrize('host', ('127.0.0.1', '::1'))
def test_without_rules_there_is_no_destination(pod, host):
    """Nothing was translated, so the kernel has nothing to tell; likewise for an entry that has gone."""
    web = pod('web', redirect=False)
    for port, direction in ((pods.OUTBOUND, 'outbound'), (pods.INBOUND, 'inbound')):
        assert end(web, (host, port)) == 'reset'
        line = web.wait_line(direction=direction, reason='destination_unknown')
        assert 'destination' not in line and line['source'].startswith(text(host, '').rstrip(':'))


@pytest.mark.parametrize('family', FAMILIES)
def test_the_same_port_of_another_pod_is_none_of_ours(pod, family):
    """An app may listen on 15001, elsewhere."""
    web, other = pod('web', {'outbound': {'default': 'plaintext'}}), pod('other', sidecar=False)
    other.app(port=pods.OUTBOUND)
    assert echoed(web.connect((getattr(other, family), pods.OUTBOUND)))


@pytest.mark.parametrize('family', FAMILIES)
def test_a_look_whether_the_rules_are_there_leaves_no_trace(pod, family):
    web = pod('web')
    probe = f'import socket; socket.create_connection(("{"127.0.0.1" if family == "v4" else "::1"}", 15099)).recv(1)'
    web.run(['/usr/bin/python3', '-c', probe], uid=pods.SIDECAR_UID)
    wait_until(lambda: labs.json.loads(web.get('/status')[1])['connections']['outbound'] ==
               {'open': 0, 'opened': 0, 'closed': {'done': 0}}, 'it counts as none')
    assert not web.lines(direction='outbound')


# --- [outbound] default -------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_refuse(pod, family):
    web, other = pod('web', {'outbound': {'default': 'refuse'}}), pod('other', sidecar=False)
    app = other.app()
    with web.capture() as seen:
        assert end(web, (getattr(other, family), 8080), MARKER) == 'reset'
    assert app.accepted == 0 and not seen.to_port(8080)
    line = web.wait_line(reason='outbound_refused')
    assert line['destination'] == text(getattr(other, family), 8080)
    assert web.ini.read_text().splitlines()[line['rule_line'] - 1] == 'default = refuse'


@pytest.mark.parametrize('family', FAMILIES)
def test_plaintext(pod, family):
    """The same relay without TLS: the log says so."""
    web, other = pod('web', {'outbound': {'default': 'plaintext'}}), pod('other', sidecar=False)
    other.app()
    data = MARKER * 100000
    assert echoed(web.connect((getattr(other, family), 8080)), data)
    line = web.wait_line(msg='connection')
    assert (line['security'], line['reason'], line['destination']) == \
        ('plaintext', 'done', text(getattr(other, family), 8080))
    assert line['bytes_to_app'] == line['bytes_to_mesh'] == len(data) and 'peer' not in line
