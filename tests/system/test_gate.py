# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that nothing bypasses the sidecar, whatever conntrack believes: the rules that decide, with listeners of the
test in place of the sidecar, and with the real programs."""
import json
import socket
import struct
import time

import pytest

import lab as labs
import pods
import segments
from lab import wait_until
from pods import SIDECAR_UID
from scene import FAMILIES, line_of, lives, teller, tproxy_dial, tproxy_listener
from segments import ACK, FIN, PSH, RST, SYN

MODES = 'redirect', 'tproxy'
MARKER = b'not for the network: '
RESETTING = struct.pack('ii', 1, 0)


def mesh(pod, name, mode, sections=None):
    return pod(name, labs.merge({'redirect': {'mode': mode}}, sections),
               capabilities=['net_admin'] if mode == 'tproxy' else [])


def opened(scene):
    """Returns how many connections the rules still treat as older than themselves."""
    return sum(len(each['set'].get('elem', ())) for name in ('open4', 'open6')
               for each in json.loads(scene.pod.space.root(['nft', '-j', 'list', 'set', 'inet', 'fairlead', name]))[
                   'nftables'] if 'set' in each)


def heard(connecting, data=MARKER):
    """Returns the first data that comes back, or how the connection ended."""
    return pods.fate(connecting, data)


# --- forged segments before a connection ------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_no_segment_beforehand_opens_a_way_in(pod, mode, family):
    """Whatever conntrack makes of such a segment, the connection that follows is captured."""
    web, old = mesh(pod, 'web', mode), pod('old', sidecar=False)
    app = web.app()
    to, source = (getattr(web, family), 8080), getattr(old, family)
    sent = [(flags, options) for flags in (ACK, PSH | ACK, FIN | ACK, SYN | ACK, RST, RST | ACK, 0)
            for options in (b'', segments.MD5)]
    with segments.Sender(old.space, family) as sender:
        for i, (flags, options) in enumerate(sent):
            sender.send((source, 42000 + i), to, flags, options=options)
    for i in range(len(sent)):
        with old.space.inside(lambda: socket.socket(socket.AF_INET6 if ':' in to[0] else socket.AF_INET)) as sock:
            sock.settimeout(10 * labs.SLOW)
            sock.bind((source, 42000 + i))
            sock.connect(to)
            sock.sendall(MARKER)
            assert sock.recv(1) == b'\x15'  # a TLS alert
    assert app.accepted == 0
    wait_until(lambda: len(web.connections('inbound', reason='not_tls')) == len(sent), 'the sidecar has refused them')


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_no_segment_beforehand_opens_a_way_out(pod, mode, family):
    """The segments come from the destination, to every port that the app may get."""
    shop, old = mesh(pod, 'shop', mode), pod('old', sidecar=False)
    heads = []

    def listen(sock):
        heads.append(sock.recv(1))
    old.app(listen, 9000)
    ports = range(41000, 41200)
    shop.space.root(['sysctl', '-qw', f'net.ipv4.ip_local_port_range={ports[0]} {ports[-1]}'])
    to = getattr(old, family), 9000
    with segments.Sender(old.space, family) as sender, pods.in_the_dark(MARKER, shop, old):
        for options in b'', segments.MD5:
            for port in ports:
                sender.send(to, (getattr(shop, family), port), ACK, options=options)
        for _ in range(10):
            assert heard(lambda: shop.connect(to)) in ('reset', 'eof')
    wait_until(lambda: len(heads) == 10, lambda: heads)
    assert set(heads) == {b'\x16'}  # the sidecar's ClientHello


@pytest.mark.parametrize('family', FAMILIES)
def test_the_end_of_a_connection_of_the_sidecar_is_no_way_out(scene, family):
    """Its conntrack entry stays for a while. A connection of the app from the same port is captured nevertheless."""
    def end(sock, how):
        sock.recv(1)
        if how == 'reset':
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
    scene.redirect('apply')
    for i, how in enumerate(('reset', 'fin')):
        scene.caller.app(lambda sock, how=how: end(sock, how), 9100 + i)
        to, source = (getattr(scene.caller, family), 9100 + i), (getattr(scene.pod, family), 41000 + i)
        with scene.dial(scene.pod, to, uid=SIDECAR_UID, source=source) as sock:
            sock.sendall(b'x')
            try:
                assert sock.recv(1) == b''
            except ConnectionResetError:
                assert how == 'reset'
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        with scene.dial(scene.pod, to, source=source) as sock:
            assert line_of(sock) == ('outbound', to[0], str(to[1]))
    assert scene.counters()['past_outbound'] == scene.counters()['astray'] == 0


# --- rules of other programs ------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_others_who_switch_tracking_off(scene, family, mode):
    """Without tracking, nothing is redirected, and nothing passes."""
    scene.redirect('apply', mode=mode)
    scene.pod.space.nft('''table inet other {
        chain out { type filter hook output priority -400; meta l4proto tcp notrack; }
        chain in { type filter hook prerouting priority -400; meta l4proto tcp notrack; }
    }''')
    assert scene.outward(family) == 'refused' and scene.counters()['past_outbound'] == 1
    if mode == 'redirect':
        assert scene.inward(family) == 'refused' and scene.counters()['past_inbound'] == 1
    assert scene.outward(family, uid=SIDECAR_UID) == 'caller'


def test_others_who_lead_elsewhere(scene):
    """Other rules redirect before ours, or redirect what our rules exclude."""
    target = f'dnat ip to {scene.caller.v4}:9001'
    reached = scene.caller.app(teller('elsewhere'), 9001)
    scene.redirect('apply')
    scene.pod.space.nft(f'''table inet other {{
        chain out {{ type nat hook output priority -150; tcp dport 9000 {target};
            ip daddr {scene.pod.v4} tcp dport 7777 {target}; }}
    }}''')
    assert scene.outward('v4') == 'refused' and scene.counters()['past_outbound'] == 1
    sock = scene.pod.space.inside(socket.socket)
    with sock:
        sock.setblocking(False)
        assert sock.connect_ex((scene.pod.v4, 7777)) != 0
        wait_until(lambda: scene.counters()['slipped'] > 0, 'it is dropped')
    assert reached.accepted == 0


def test_exclusions_are_what_is_dialled(scene):
    """An exclusion refers to the dialled destination, whatever rules after ours make of it."""
    scene.caller.app(teller('translated'), 9001)
    scene.pod.app(teller('translated'), 8081)
    scene.redirect('apply', exclude_outbound='*:9000', exclude_inbound='8080')
    scene.pod.space.nft(f'''table inet other {{
        chain out {{ type nat hook output priority -100; tcp dport 9000 dnat ip to {scene.caller.v4}:9001; }}
        chain in {{ type nat hook prerouting priority -100; tcp dport 8080 redirect to :8081; }}
    }}''')
    assert (scene.outward('v4'), scene.inward('v4')) == ('translated', 'translated')
    assert scene.outward('v4', 9001) == 'captured' and scene.inward('v4', 8081) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('keys', [{'outbound': '10.99.0.0/16, [fd99::]/16'},
                                  {'exclude_outbound': '0.0.0.0/0, [::]/0'}], ids=lambda keys: next(iter(keys)))
def test_answers_to_what_the_sidecar_has_brought_are_not_left_alone(scene, family, keys):
    """With tproxy, these answers go to the client's address, which may be an excluded destination. Conntrack returns
    them to the sidecar. When conntrack has lost the entry, they are dropped."""
    accepted = []

    def app(sock):
        accepted.append(sock)
        labs.echo(sock)
    scene.pod.app(app, 8082)
    scene.write({'sidecar': {'inbound': '*:15007'}, 'redirect': {'mode': 'tproxy', **keys}})
    scene.redirect('apply')
    client, to = getattr(scene.caller, family), (getattr(scene.pod, family), 8082)
    with tproxy_dial(scene, family, client, to) as brought, scene.dial(scene.pod, (client, 9000)) as spared:
        assert lives(brought) and line_of(spared) == ('caller',)
        with pods.in_the_dark(MARKER, scene.pod, scene.caller):
            scene.pod.conntrack('-F')
            accepted[0].sendall(MARKER)
            wait_until(lambda: scene.counters()['astray'] > 0, 'it is refused')
        assert lives(spared)


# --- open connections before and after the rules ------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_a_connection_of_before_has_no_successor(scene, family):
    """A new connection with the same ports is captured: the exception for the previous one is gone."""
    source, to = (getattr(scene.pod, family), 41000), (getattr(scene.caller, family), 9000)
    with scene.dial(scene.pod, to, source=source) as sock:
        assert line_of(sock)[0] == 'caller'
        scene.redirect('apply')
        assert lives(sock) and opened(scene) == 1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
    with scene.dial(scene.pod, to, source=source) as sock:
        assert line_of(sock)[0] == 'outbound' and opened(scene) == 0
        # A captured connection is not taken for an older one either.
        for _ in range(2):
            scene.redirect('apply')
            assert opened(scene) == 0
        scene.pod.conntrack('-F')
        with pytest.raises(ConnectionResetError), pods.in_the_dark(MARKER, scene.caller):
            sock.sendall(MARKER)
            sock.recv(1)


@pytest.mark.parametrize('family', FAMILIES)
def test_what_the_sidecar_has_open_lives_on(scene, family):
    """It survives even if conntrack has entries of it without a zone, made under the rules of others or of an older
    version."""
    scene.pod.space.nft('''table inet other {
        chain seen { type filter hook output priority filter; ct state established accept; }
        chain nat { type nat hook postrouting priority srcnat; }
    }''')
    source, to = (getattr(scene.pod, family), 41000), (getattr(scene.caller, family), 9000)
    with scene.dial(scene.pod, to, uid=SIDECAR_UID, source=source) as sock:
        assert line_of(sock)[0] == 'caller'
        for _ in range(3):
            scene.redirect('apply')
            assert lives(sock) and opened(scene) == 1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
    # The next connection has a zone, and the one after it is redirected.
    with scene.dial(scene.pod, to, uid=SIDECAR_UID, source=source) as sock:
        assert line_of(sock)[0] == 'caller' and lives(sock)
        assert 'zone-orig=2112' in scene.pod.conntrack('-L', '-f', {'v4': 'ipv4', 'v6': 'ipv6'}[family], '-p', 'tcp')
    scene.redirect('apply')
    assert opened(scene) == 0 and scene.outward(family) == 'captured'


@pytest.mark.parametrize('family', FAMILIES)
def test_what_was_left_alone_lives_when_it_no_longer_is(scene, family):
    scene.redirect('apply', exclude_outbound='*:9000', exclude_inbound='8080')
    socks = [scene.dial(scene.pod, (getattr(scene.caller, family), 9000)),
             scene.dial(scene.caller, (getattr(scene.pod, family), 8080))]
    assert [line_of(sock)[0] for sock in socks] == ['caller', 'app']
    scene.redirect('apply', exclude_outbound='', exclude_inbound='')
    assert all(lives(sock) for sock in socks)
    assert (scene.outward(family), scene.inward(family)) == ('captured', 'captured')
    for sock in socks:
        sock.close()


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('case', ['sidecar', 'app, captured', 'app, captured, of our priority', 'app, left alone',
                                  'app, left alone, of our priority', 'app, answering'])
def test_what_a_closed_socket_still_has_to_say(scene, family, case):
    """Packets of a closed socket have no owner any more, and still arrive."""
    size, total = 4 << 20, []

    def drink(sock):
        data = sock.recv(1)
        while data:
            total.append(len(data))
            data = sock.recv(1 << 16)
            time.sleep(0.001)  # slower than the data arrives

    def pour(sock):
        sock.sendall(b'x' * size)
        sock.close()
    buffers = [(socket.SOL_SOCKET, 32, size)]  # SO_SNDBUFFORCE: the kernel buffers all of it at once
    scene.redirect('apply', exclude_outbound='*:9300', exclude_inbound='8300')
    outbound = scene.outbound[family]
    if case == 'app, answering':
        def answer(sock):
            sock.setsockopt(*buffers[0])
            pour(sock)
        scene.pod.app(answer, 8300)
        with scene.dial(scene.caller, (getattr(scene.pod, family), 8300)) as sock:
            drink(sock)
    else:
        who, _, whose = case.partition(', of ')
        port, uid = {'sidecar': (9200, SIDECAR_UID), 'app, captured': (9200, None),
                     'app, left alone': (9300, None)}[who]
        (outbound if who == 'app, captured' else scene.caller.app(drink, port)).handler = drink
        pour(scene.dial(scene.pod, (getattr(scene.caller, family), port), uid=uid, options=[
            *buffers, *([(socket.SOL_SOCKET, socket.SO_PRIORITY, 5)] if uid or whose else [])]))
        wait_until(lambda: sum(total) == size, lambda: sum(total), 30)
        # By then the socket is in TIME-WAIT and has acknowledged the peer's FIN.
        wait_until(lambda: 'LAST-ACK' not in scene.caller.space.root(['ss', '-Htan']), 'it is told')
    assert sum(total) == size
    assert scene.counters()['astray'] == 0


# --- handshakes without a socket, and sockets that are gone ---------------------------------------------------

PERMISSIVE = {'inbound': {'mode': 'permissive'}, 'allow plain': {'from': 'plaintext'}}


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_syn_cookies(pod, mode, family):
    """The last packet of such a handshake finds no socket. With tproxy it must not reach the app's socket."""
    web, old = mesh(pod, 'web', mode, PERMISSIVE), pod('old', sidecar=False)
    web.app()
    web.space.root(['sysctl', '-qw', 'net.ipv4.tcp_syncookies=2'])  # always on
    for _ in range(10):
        assert heard(lambda: old.connect((getattr(web, family), 8080))) == MARKER
    wait_until(lambda: len(web.connections('inbound', reason='done')) == 10, 'all came by the sidecar')
    refused = web.space.root(['nft', '-j', 'list', 'counter', 'inet', 'fairlead', 'past_inbound'])
    assert '"packets": 0' in refused


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_a_client_comes_back_from_its_port(pod, mode, family):
    """This side still has the client's previous connection in TIME-WAIT."""
    def answer(sock):
        sock.recv(100)
        sock.sendall(b'answer')
    web, old = mesh(pod, 'web', mode, PERMISSIVE), pod('old', sidecar=False)
    web.app(answer)
    for _ in range(4):
        with old.connect((getattr(web, family), 8080), source=(getattr(old, family), 40000)) as sock:
            sock.sendall(b'question')
            assert sock.recv(100) == b'answer' and sock.recv(1) == b''
    assert ':8080' in web.space.root(['ss', '-Htan', 'state', 'time-wait'])
