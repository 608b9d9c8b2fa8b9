# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidecar's port numbers at addresses where it does not listen: another process in the pod can take them, and is treated
there like at any port."""
import contextlib
import socket
import threading

import pytest

import lab as labs
import pods
import segments
from lab import wait_until
from pods import ADMIN, APP_UID, INBOUND, OUTBOUND
from scene import FAMILIES, line_of, teller, tproxy_listener
from segments import ACK, SYN

MODES = 'redirect', 'tproxy'
MARKER = b'not for the network: '
SIDECARS_MARK = 0x53a  # of what the sidecar accepts under the destination's address
# The admin endpoint and a fixed listener where they do not listen at an address of this family.
ELSEWHERE = {family: {'sidecar': {'admin': f'127.0.0.1:{ADMIN}'},
                      'service web': {'listen': f'{other}:8443', 'app': '127.0.0.1:8080'}}
             for family, other in (('v4', '[::]'), ('v6', '0.0.0.0'))}


def always_cookies(scene):
    """The kernel makes no request socket then, and its answer to a SYN has no owner."""
    scene.pod.space.root(['sysctl', '-qw', 'net.ipv4.tcp_syncookies=2'])


def listen_at(scene, family, port):
    """Another process listens at this port of the pod's own address."""
    def make():
        pods.libc.setfsuid(APP_UID)
        sock = socket.socket(socket.AF_INET6 if family == 'v6' else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((getattr(scene.pod, family), port))
        sock.listen()
        sock.setblocking(False)
        return sock
    return scene.pod.space.inside(make)


def accepted(listener):
    with contextlib.suppress(BlockingIOError):
        return listener.accept()[0]
    return None


@contextlib.contextmanager
def captured(scene, mode, family, sections=None):
    """Loads the rules, and lets a stand-in for the sidecar listen where mode = tproxy leads."""
    if mode == 'redirect':
        scene.write(labs.merge({'redirect': {'exclude_inbound': ''}}, sections))
        scene.redirect('apply')
        yield None
    else:
        scene.write(labs.merge({'redirect': {'mode': mode, 'exclude_inbound': ''}, 'sidecar': {'inbound': '*:15007'}},
                               sections))
        with tproxy_listener(scene, family) as transparent:
            transparent.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, SIDECARS_MARK)
            scene.redirect('apply')
            yield transparent


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('port', [OUTBOUND, ADMIN, 8443], ids=['outbound', 'admin', 'service'])
def test_nobody_gets_in_by_a_port_of_the_sidecar(scene, family, mode, port):
    """Its listener is at another address, or of the other family."""
    always_cookies(scene)
    with listen_at(scene, family, port) as listener, captured(scene, mode, family, ELSEWHERE[family]) as transparent:
        with scene.dial(scene.caller, (getattr(scene.pod, family), port)) as sock:
            if transparent:
                assert transparent.accept()[0].getsockname()[:2] == (getattr(scene.pod, family), port)
            else:
                assert line_of(sock)[0] == 'inbound'
            assert accepted(listener) is None


@pytest.mark.parametrize('family', FAMILIES)
def test_a_port_that_is_not_captured_is_like_any_other(scene, family):
    scene.pod.app(teller('other'), OUTBOUND, getattr(scene.pod, family))
    scene.redirect('apply', inbound_ports='8080')
    assert (scene.inward(family, OUTBOUND), scene.inward(family)) == ('other', 'captured')


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('direction', ['inbound', 'outbound'])
def test_a_family_without_a_listener_is_led_nowhere(scene, family, direction):
    """What is captured is refused, although another process listens at that port."""
    always_cookies(scene)
    mine = {'inbound': {'v4': '[::]', 'v6': '0.0.0.0'}, 'outbound': {'v4': '[::1]', 'v6': '127.0.0.1'}}[direction][family]
    other = scene.pod.app(teller('other'), 15007, {'v4': '0.0.0.0', 'v6': '::'}[family])
    scene.write({'sidecar': {direction: f'{mine}:15007'}})
    assert scene.try_redirect('apply').returncode == 0
    assert (scene.inward(family) if direction == 'inbound' else scene.outward(family)) == 'refused'
    assert other.accepted == 0 and scene.counters()['past_outbound'] == 0


@pytest.mark.parametrize('family', FAMILIES)
def test_where_the_sidecar_listens(scene, family):
    """Its listeners are reached at their one address, also by the last segment of a handshake with SYN cookies."""
    always_cookies(scene)
    own = {each: getattr(scene.pod, each) for each in FAMILIES}
    admin = {'v4': f'{own["v4"]}:{ADMIN}', 'v6': f'[{own["v6"]}]:{ADMIN}'}[family]
    scene.pod.app(teller('admin'), ADMIN, own[family], uid=pods.SIDECAR_UID)
    scene.write({'sidecar': {'inbound': f'{own["v4"]}:{INBOUND}, [{own["v6"]}]:{INBOUND}', 'admin': admin},
                 'redirect': {'exclude_inbound': ''}})
    scene.redirect('apply')
    assert (scene.inward(family), scene.inward(family, ADMIN)) == ('captured', 'admin')


# --- outwards -----------------------------------------------------------------------------------------------

def established(scene, port):
    return f':{port} ' in scene.pod.space.root(['ss', '-Htan', 'state', 'established'])


@pytest.mark.parametrize('family', FAMILIES)
def test_nothing_gets_out_by_a_port_of_the_sidecar(scene, family):
    """The client opens its window only when the other process has written and closed: the rest has no owner."""
    always_cookies(scene)
    to, source = (getattr(scene.pod, family), OUTBOUND), (getattr(scene.caller, family), 40000)
    scene.redirect('apply')
    scene.caller.space.nft('''table inet mute {
        chain out { type filter hook output priority 0; tcp flags & rst == rst drop; }
    }''')
    with listen_at(scene, family, OUTBOUND) as listener, segments.Sender(scene.caller.space, family) as sender, \
            scene.pod.capture() as seen:
        sender.send(source, to, SYN, sequence=999, acknowledged=0, window=0)
        start = wait_until(lambda: next((sequence for a, b, sequence, flags, _ in seen.segments()
                                         if (a, b) == (to, source) and flags & (SYN | ACK) == SYN | ACK), None),
                           'it is answered')
        client = {'sequence': 1000, 'acknowledged': start + 1}
        sender.send(source, to, ACK, window=0, **client)
        taken = wait_until(lambda: accepted(listener) or established(scene, INBOUND), 'somebody has the connection')
        if taken is not True:
            with taken:
                taken.sendall(MARKER * 100)
            wait_until(lambda: 'FIN-WAIT-1' in scene.pod.space.root(['ss', '-Htan']), 'it is closed')
        sender.send(source, to, ACK, window=60000, **client)
        wait_until(lambda: any(a == to and data for a, b, _, _, data in seen.segments()), 'somebody speaks')
    assert not seen.saw(MARKER)


@pytest.mark.parametrize('family', FAMILIES)
def test_nothing_gets_out_from_a_port_of_the_sidecar(scene, family):
    """A captured connection begins at that port. Conntrack has forgotten it when its socket has no owner any more, and still
    asks whether the other end has room."""
    held, ended = [], threading.Event()

    def has_asked():
        scene.pod.conntrack('-F')  # each time: the sidecar's answers would make a new entry
        return scene.counters()['astray'] > 0 or list(seen.segments())

    def drink_nothing(sock):
        held.append(sock)
        ended.wait(60)
    scene.redirect('apply')
    scene.outbound[family].handler = drink_nothing
    source, to = (getattr(scene.pod, family), OUTBOUND), (getattr(scene.caller, family), 9000)
    with scene.pod.capture() as seen:
        with scene.dial(scene.pod, to, source=source) as sock:
            wait_until(lambda: held, 'it is captured')
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.send(MARKER * 1000)
        wait_until(has_asked, 'it asks')
    ended.set()
    assert not list(seen.segments())
