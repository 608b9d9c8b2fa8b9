# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests `[redirect] mode = tproxy`: the app sees the address of its client."""
import re
import socket

import pytest

import lab as labs
from pods import SIDECAR_UID
from scene import FAMILIES, line_of, lives, loopback, original, teller, tproxy_dial, tproxy_listener


def routing(scene):
    return [scene.pod.space.root(['ip', family, *what]) for family in ('-4', '-6')
            for what in (['rule', 'show'], ['route', 'show', 'table', 'all'])]


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_keeps_both_addresses(scene, family):
    names = []

    def app(sock):
        names.append(sock.getpeername()[0].removeprefix('::ffff:'))
        sock.sendall(b'app\n')
        labs.echo(sock)
    scene.pod.app(app, 8082)
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy'}})
    scene.redirect('apply')
    to = getattr(scene.pod, family), 8082
    with tproxy_listener(scene, family) as listener, scene.dial(scene.caller, to) as client:
        sock, peer = listener.accept()
        with sock:
            assert sock.getsockname()[:2] == to and peer[0] == getattr(scene.caller, family)
            # The kernel reports the same destination, because it is not rewritten.
            assert original(sock) == to
            with tproxy_dial(scene, family, peer[0], to) as inner:
                assert line_of(inner) == ('app',) and names == [peer[0]]
                assert lives(inner)
                inner.shutdown(socket.SHUT_WR)
                assert inner.recv(1) == b''
            sock.sendall(b'good morning')
            assert client.recv(100) == b'good morning'
    assert scene.counters()['inbound'] == 1
    # The sidecar learns at once that an app is gone. The app's reset does not reach the client.
    with pytest.raises(ConnectionRefusedError):
        tproxy_dial(scene, family, getattr(scene.caller, family), (to[0], 8083))


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_refuses_for_an_app_that_is_not_there(scene, family):
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy', 'exclude_inbound': '8084'}})
    scene.redirect('apply')
    scene.pod.app(teller('private'), 8083, loopback(family))
    scene.pod.app(teller('plain'), 8084)
    with tproxy_listener(scene, family):
        assert scene.inward(family, 8082) == 'refused'
        assert scene.inward(family, 8083) == 'refused'
        assert scene.inward(family, 8084) == 'plain'
    assert scene.outward(family) == 'captured'
    # The pod's own calls get their answers.
    assert scene.outward(family, uid=SIDECAR_UID) == 'caller'
    assert scene.reached(scene.pod, (getattr(scene.pod, family), 8080))[0] == 'app'


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_with_the_sidecar_to_its_own_pod(scene, family):
    """Over lo there is no address to preserve: the connection is redirected to the listener as with mode = redirect."""
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy'}})
    scene.redirect('apply')
    to = getattr(scene.pod, family), 8080
    with tproxy_listener(scene, family) as listener, scene.dial(scene.pod, to, uid=SIDECAR_UID):
        sock, _ = listener.accept()
        with sock:
            assert original(sock) == to


def test_tproxy_routes_come_and_go(scene):
    before = routing(scene)
    scene.redirect('apply', mode='tproxy')
    with_tproxy = routing(scene)
    for i in 0, 2:
        assert with_tproxy[i].count('fwmark 0x539 lookup 133') == 1
        assert len(re.findall(r'^local default dev lo table 133', with_tproxy[i + 1], re.M)) == 1
    scene.redirect('apply')
    assert routing(scene) == with_tproxy
    scene.redirect('apply', mode='redirect')
    assert routing(scene) == before
    scene.redirect('apply', mode='tproxy')
    assert routing(scene) == with_tproxy
    for _ in range(2):
        scene.redirect('remove')
        assert routing(scene) == before and scene.rules() == ''


def test_tproxy_in_a_pod_without_ipv6(scene):
    (scene.pod.space.inside(lambda: open('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'w', encoding='ascii').write('1')))
    before = routing(scene)
    scene.redirect('apply', mode='tproxy')
    assert routing(scene)[0].count('fwmark 0x539') == 1
    assert scene.outward('v4') == 'captured'
    scene.redirect('remove')
    assert routing(scene) == before
