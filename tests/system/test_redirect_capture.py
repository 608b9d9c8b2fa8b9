# SPDX-License-Identifier: GPL-3.0-or-later
"""`fairlead-agent redirect`: what the rules capture, and what they leave alone."""
import contextlib
import errno
import socket
import threading

import pytest

import lab as labs
import segments
from lab import wait_until
from pods import ADMIN, INBOUND, OUTBOUND, SIDECAR_UID
from scene import FAMILIES, line_of, loopback, number_of, teller

PROBE = 15099
TO_APP_TOS = 35 << 2


# --- capture --------------------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_both_directions_are_captured(scene, family):
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')
    assert scene.redirect('apply') == f'inbound: captured, to port {INBOUND}\noutbound: captured, to port {OUTBOUND}\n'
    assert (scene.inward(family), scene.outward(family)) == ('captured', 'captured')
    scene.redirect('remove')
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')
    assert 'fairlead' not in scene.rules()


@pytest.mark.parametrize('family', FAMILIES)
def test_a_destination_that_nobody_has_is_captured(scene, family):
    scene.redirect('apply')
    assert scene.outward(family, port=9999) == 'captured'
    to = {'v4': '10.77.99.99', 'v6': 'fd77::9999'}[family]
    assert scene.reached(scene.pod, (to, 80)) == ('outbound', to, '80')


@pytest.mark.parametrize('family', FAMILIES)
def test_an_app_that_is_not_there_is_refused(scene, family):
    scene.redirect('apply')
    assert scene.inward(family, 8081) == 'refused'
    app = scene.pod.app(teller('app'), 8081)
    assert scene.inward(family, 8081) == 'captured'
    app.close()
    assert scene.inward(family, 8081) == 'refused'
    assert scene.counters()['inbound_closed'] == 2


@pytest.mark.parametrize('host, reached', [
    ('0.0.0.0', {'v4'}), ('::', {'v4', 'v6'}), ('v4', {'v4'}), ('v6', {'v6'}),
    ('127.0.0.1', set()), ('::1', set())])
def test_an_app_is_reached_where_it_listens(scene, host, reached):
    scene.redirect('apply')
    scene.pod.app(teller('app'), 8081, getattr(scene.pod, host, host))
    assert {family for family in FAMILIES if scene.inward(family, 8081) == 'captured'} == reached
    assert {family for family in FAMILIES if scene.inward(family, 8081) == 'refused'} == set(FAMILIES) - reached


def test_an_app_of_ipv6_alone(scene):
    def serve():
        sock = socket.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(('::', 8081))
        sock.listen()
        return sock
    scene.redirect('apply')
    with scene.pod.space.inside(serve):
        assert (scene.inward('v4', 8081), scene.inward('v6', 8081)) == ('refused', 'captured')


@pytest.mark.parametrize('family', FAMILIES)
def test_an_app_that_begins_to_listen_is_never_reached_without_the_sidecar(scene, family):
    """The SYN decides: it is refused or redirected to the sidecar, whatever the app does meanwhile."""
    scene.redirect('apply')
    done = threading.Event()

    def toggle():
        while not done.is_set():
            with socket.socket(number_of(family)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((getattr(scene.pod, family), 8081))
                sock.listen()
                sock.settimeout(0.0005)
                with contextlib.suppress(TimeoutError):
                    plain.append(sock.accept())
    plain, seen = [], set()
    thread = threading.Thread(target=lambda: scene.pod.space.inside(toggle))
    thread.start()
    try:
        for _ in range(500 // labs.SLOW):
            seen.add(scene.inward(family, 8081))
        wait_until(lambda: seen.add(scene.inward(family, 8081)) or len(seen) > 1, lambda: f'always {seen}', 20)
    finally:
        done.set()
        thread.join()
    assert seen == {'captured', 'refused'} and not plain


@pytest.mark.parametrize('family', FAMILIES)
def test_segments_out_of_nowhere_open_nothing(scene, family):
    """Without a SYN, the kernel has no connection and answers with a reset. SYN with FIN, RST or ACK does not count as
    a SYN."""
    scene.redirect('apply')
    accepted = scene.pod.app(teller('app'), 8081)
    # ACK; SYN+FIN; SYN+RST; SYN+ACK; FIN; no flag
    for flags in (0x10, 0x03, 0x06, 0x12, 0x01, 0x00):
        send_segment(scene, family, 8081, flags)
    # With ECE and CWR, PSH or URG it counts as a SYN.
    for flags in (0xc2, 0x0a, 0x22):
        send_segment(scene, family, 8081, flags)
    assert scene.inward(family, 8081) == 'captured'
    assert scene.counters()['inbound'] == 4 and accepted.accepted == 0


def send_segment(scene, family, port, flags):
    source, destination = getattr(scene.caller, family), getattr(scene.pod, family)
    with segments.Sender(scene.caller.space, family) as sender:
        sender.send((source, 40000 + flags), (destination, port), flags)


# --- what is not captured --------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_the_sidecar_itself(scene, family):
    scene.redirect('apply')
    assert scene.outward(family, uid=SIDECAR_UID) == 'caller'
    assert scene.outward(family, uid=SIDECAR_UID + 1) == 'captured'
    assert scene.outward(family, uid=0) == 'captured'
    scene.write({'agent': {'sidecar_uid': SIDECAR_UID + 1}})
    scene.redirect('apply')
    assert scene.outward(family, uid=SIDECAR_UID + 1) == 'caller'
    assert scene.outward(family, uid=SIDECAR_UID) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
def test_the_app_to_itself(scene, family):
    scene.redirect('apply')
    for address in loopback(family), getattr(scene.pod, family):
        assert scene.reached(scene.pod, (address, 8080))[0] == 'app'
    if family == 'v4':
        assert scene.reached(scene.pod, ('127.1.2.3', 8080))[0] == 'app'


@pytest.mark.parametrize('family', FAMILIES)
def test_the_sidecar_to_its_own_pod(scene, family):
    """The sidecar reaches its own pod as a peer, unless it marks the connection as meant for the app. By loopback it
    reaches the app directly."""
    scene.redirect('apply')
    tos = [(socket.SOL_IP, socket.IP_TOS, TO_APP_TOS) if family == 'v4'
           else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, TO_APP_TOS)]
    own = getattr(scene.pod, family)
    assert scene.reached(scene.pod, (own, 8080), uid=SIDECAR_UID) == ('inbound', own, '8080')
    assert scene.reached(scene.pod, (own, 8080), uid=SIDECAR_UID, options=tos)[0] == 'app'
    assert scene.reached(scene.pod, (loopback(family), 8080), uid=SIDECAR_UID)[0] == 'app'
    assert scene.reached(scene.pod, (own, ADMIN), uid=SIDECAR_UID) == ('refused',)
    assert scene.counters()['to_self'] == 1
    # Only the sidecar may use this mark: for others it does not bypass capture.
    assert scene.outward(family, options=tos) == 'captured'
    with scene.dial(scene.caller, (own, 8080), options=tos) as sock:
        assert line_of(sock)[0] == 'inbound'


@pytest.mark.parametrize('family', FAMILIES)
def test_the_sidecar_sees_that_the_rules_are_there(scene, family):
    to = loopback(family), PROBE
    assert scene.reached(scene.pod, to, uid=SIDECAR_UID) == ('refused',)
    scene.redirect('apply')
    assert scene.reached(scene.pod, to, uid=SIDECAR_UID) == ('outbound', to[0], str(PROBE))
    assert scene.reached(scene.pod, to) == ('refused',)
    assert scene.inward(family, PROBE) == 'refused'
    scene.redirect('remove')
    assert scene.reached(scene.pod, to, uid=SIDECAR_UID) == ('refused',)


@pytest.mark.parametrize('family', FAMILIES)
def test_ports_of_the_sidecar_are_never_led_elsewhere(scene, family):
    """The admin port is reached directly. A capture port can be dialled, but that is not a captured connection."""
    scene.pod.app(teller('admin'), ADMIN, uid=SIDECAR_UID)
    scene.pod.app(teller('fixed'), 8443, uid=SIDECAR_UID)
    scene.write({'redirect': {'exclude_inbound': ''},
                 'service web': {'listen': '*:8443', 'app': '127.0.0.1:8080'}})
    scene.redirect('apply')
    assert scene.inward(family, ADMIN) == 'admin'
    assert scene.inward(family, 8443) == 'fixed'
    assert scene.reached(scene.caller, (getattr(scene.pod, family), INBOUND))[0] == 'inbound'
    assert scene.counters()['inbound'] == 0
    assert scene.inward(family, OUTBOUND) == 'refused'


EXCLUSIONS = [
    # key, value, captured port, excluded port
    ('exclude_inbound', '8081', 8080, 8081),
    ('exclude_inbound', '8081-8082, 8090', 8080, 8082),
    ('exclude_outbound', '*:9001', 9000, 9001),
    ('exclude_outbound', '9001-9010', 9000, 9005),
]


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('key, value, captured, spared', EXCLUSIONS)
def test_exclusion_by_port(scene, family, key, value, captured, spared):
    inward = key == 'exclude_inbound'
    pod, go = (scene.pod, scene.inward) if inward else (scene.caller, scene.outward)
    pod.app(teller('plain'), spared)
    scene.redirect('apply', **{key: value})
    assert go(family, spared) == 'plain'
    assert go(family, captured) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('key', ['exclude_inbound', 'exclude_outbound'])
@pytest.mark.parametrize('form', ['{}', '{}/{}', '{}:{port}', '{}/{}:{port}'])
def test_exclusion_by_address(node, scene, family, key, form):
    """The address is that of the other side: the source of inbound, the destination of outbound connections."""
    other = node.pod('other', sidecar=False)
    other.app(teller('other'), 9000)
    bits = {'v4': 32, 'v6': 128}[family]
    port = 8080 if key == 'exclude_inbound' else 9000
    address = getattr(scene.caller, family)
    text = form.format(f'[{address}]' if family == 'v6' else address, bits, port=port)
    scene.redirect('apply', **{key: text})
    if key == 'exclude_inbound':
        assert scene.inward(family) == 'app'
        assert scene.reached(other, (getattr(scene.pod, family), 8080))[0] == 'inbound'
        scene.pod.app(teller('app'), 8081)
        assert scene.inward(family, 8081) == ('captured' if 'port' in form else 'app')
    else:
        assert scene.outward(family) == 'caller'
        assert scene.reached(scene.pod, (getattr(other, family), 9000))[0] == 'outbound'
        assert scene.outward(family, 9001) == ('captured' if 'port' in form else 'refused')
    # The other family is not excluded.
    assert (scene.inward if key == 'exclude_inbound' else scene.outward)(
        'v6' if family == 'v4' else 'v4') == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
def test_exclusion_by_network(scene, family):
    net, wide = {'v4': ('10.77.0.0/24', '10.78.0.0/16'), 'v6': ('[fd77::]/16', '[fd78::]/16')}[family]
    scene.redirect('apply', exclude_outbound=net)
    assert scene.outward(family) == 'caller'
    scene.redirect('apply', exclude_outbound=wide)
    assert scene.outward(family) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
def test_exclusion_by_interface(scene, family):
    scene.redirect('apply', exclude_inbound='interface:eth0', exclude_outbound='interface:eth0')
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')
    scene.redirect('apply', exclude_inbound='interface:eth1', exclude_outbound='interface:eth1')
    assert (scene.inward(family), scene.outward(family)) == ('captured', 'captured')


def test_a_link_local_destination(scene):
    """The kernel binds the socket to the interface, so it cannot be captured. It does not leave either, unless excluded."""
    words = scene.caller.space.root(['ip', '-6', '-o', 'addr', 'show', 'dev', 'eth0', 'scope', 'link']).split()
    to = words[words.index('inet6') + 1].partition('/')[0], 9000, 0, \
        scene.pod.space.inside(lambda: socket.if_nametoindex('eth0'))
    scene.redirect('apply')
    with scene.pod.space.inside(lambda: socket.socket(socket.AF_INET6)) as sock:
        sock.setblocking(False)
        assert sock.connect_ex(to) == errno.EINPROGRESS
        wait_until(lambda: scene.counters()['slipped'] > 0, 'it is dropped')
    scene.redirect('apply', exclude_outbound='[fe80::]/10')
    assert scene.reached(scene.pod, to)[0] == 'caller'


@pytest.mark.parametrize('family', FAMILIES)
def test_only_what_is_to_be_captured(scene, family):
    scene.pod.app(teller('app'), 8081)
    net = {'v4': f'{scene.caller.v4}/32:9000', 'v6': f'[{scene.caller.v6}]:9000'}[family]
    scene.caller.app(teller('caller'), 9001)
    scene.redirect('apply', inbound_ports='8080', outbound=net)
    assert (scene.inward(family, 8080), scene.inward(family, 8081), scene.inward(family, 8082)) == \
        ('captured', 'app', 'refused')
    assert (scene.outward(family, 9000), scene.outward(family, 9001)) == ('captured', 'caller')
    scene.redirect('apply', inbound_ports='', outbound='')
    assert (scene.inward(family), scene.outward(family)) == ('app', 'caller')


def test_one_direction_alone(scene):
    scene.write({'sidecar': {'outbound': ''}})
    assert 'outbound: not captured' in scene.redirect('apply')
    assert (scene.inward('v4'), scene.outward('v4')) == ('captured', 'caller')
    scene.write({'sidecar': {'inbound': ''}})
    assert 'inbound: not captured' in scene.redirect('apply')
    assert (scene.inward('v6'), scene.outward('v6')) == ('app', 'captured')
