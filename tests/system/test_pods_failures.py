# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that every failure fails closed: no byte of the app is on the wire in the clear, whatever is broken."""
import json
import re
import shutil
import socket

import pytest

import lab as labs
import pods
from lab import end_of, wait_until
from pods import fate

FAMILIES = 'v4', 'v6'
MARKER = b'a marker of the app that nobody may see'
TRAFFIC = labs.ROOT / 'tests' / 'lib' / 'traffic.py'


def attempt(connecting):
    """Sends data at once as an app would, and returns the result."""
    return fate(connecting, MARKER)


# --- mutual TLS that fails ------------------------------------------------------------------------------

def wrong_peer(pod):
    return pod('shop', {'outbound': {'peer': f'spiffe://{labs.TD}/ns/test/sa/somebody-else'}}), pod('web')


def not_let_in(pod):
    return pod('shop'), pod('web', allow=f'spiffe://{labs.TD}/ns/other/**')


def unknown_root(pod):
    other = labs.Lab.other_root
    identity = 'spiffe://other.example/ns/test/sa/web'
    return pod('shop'), pod('web', svid=other.issue(identity), identity=identity, bundle=other.cert_pem)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('case', [wrong_peer, not_let_in, unknown_root], ids=lambda case: case.__name__)
def test_failed_authentication_closes(pod, case, family):
    shop, web = case(pod)
    app = web.app()
    with pods.in_the_dark(MARKER, shop, web) as (seen, _):
        assert attempt(lambda: shop.connect((getattr(web, family), 8080))) in ('reset', 'eof')
    assert seen.to_port(8080), 'it was on its way'
    assert app.accepted == 0
    assert shop.wait_connection('outbound')['reason'] in ('certificate_refused', 'peer_alert', 'peer_reset')


@pytest.mark.parametrize('family', FAMILIES)
def test_dead_app_is_dead_for_the_other_pod(pod, family):
    shop, web = pod('shop'), pod('web')
    with pods.in_the_dark(MARKER, shop, web):
        assert attempt(lambda: shop.connect((getattr(web, family), 8080))) in ('reset', 'refused', 'eof')
    assert shop.wait_connection('outbound')['reason'] in ('peer_refused', 'peer_reset')


@pytest.mark.parametrize('family', FAMILIES)
def test_peer_that_says_nothing(pod, family):
    """Early data of the app is held back and discarded with the connection."""
    shop, silent = pod('shop', {'limits': {'handshake_timeout': '300ms'}}), pod('silent', sidecar=False)
    silent.app(lambda sock: [None for _ in iter(lambda: sock.recv(1000), b'')])
    with pods.in_the_dark(MARKER, shop, silent):
        assert attempt(lambda: shop.connect((getattr(silent, family), 8080))) in ('reset', 'eof')
    assert shop.wait_connection('outbound')['reason'] == 'handshake_timeout'


# --- without a sidecar ----------------------------------------------------------------------------------

@pytest.mark.parametrize('victim', ['shop', 'web'])
def test_sidecar_is_killed_and_comes_back(pod, victim):
    """While the sidecar is away, no byte of the app leaves or arrives. Afterwards everything works as before."""
    shop, web = pod('shop'), pod('web')
    app = web.app()
    dead = {'shop': shop, 'web': web}[victim]
    ways = [lambda a=a: shop.connect((a, 8080)) for a in (web.v4, web.v6)]
    with pods.in_the_dark(MARKER, shop, web):
        opened = [way() for way in ways]
        for sock in opened:
            sock.sendall(MARKER)
            assert sock.recv(1000)
        dead.sidecar.kill()
        for sock in opened:
            assert end_of(sock) in ('reset', 'eof')
            sock.close()
        accepted = app.accepted
        for way in ways:
            assert attempt(way) in ('refused', 'reset', 'eof')
        assert app.accepted == accepted
        dead.start_sidecar().wait_ready()
        for way in ways:
            assert attempt(way) == MARKER


def test_app_that_goes_on_writing_while_the_sidecar_dies(pod):
    """Bytes that were in flight when the sidecar died take no other way out."""
    shop, web = pod('shop'), pod('web')
    web.app()
    with pods.in_the_dark(MARKER, shop, web):
        with shop.connect((web.v4, 8080)) as sock:
            sock.sendall(MARKER)
            shop.sidecar.kill()
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                for _ in range(1000):
                    sock.sendall(MARKER)
        shop.start_sidecar().wait_ready()
        assert attempt(lambda: shop.connect((web.v4, 8080))) == MARKER


@pytest.mark.skipif(not shutil.which('conntrack'), reason='not installed: conntrack')
@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('where', ['shop', 'web', 'shop, with rules loaded again'])
def test_conntrack_entries_that_are_flushed(pod, where, family):
    """The kernel forgets where connections lead: they end instead of continuing in the clear."""
    shop, web = pod('shop'), pod('web')
    web.app()
    to = getattr(web, family), 8080
    with pods.in_the_dark(MARKER, shop, web):
        with shop.connect(to) as sock:
            sock.sendall(b'before')
            assert sock.recv(1000)
            if where.endswith('again'):
                shop.redirect()
            (web if where == 'web' else shop).conntrack('-F')
            with pytest.raises(ConnectionResetError):
                sock.sendall(MARKER)
                sock.recv(1000)
        assert attempt(lambda: shop.connect(to)) == MARKER


# --- names ----------------------------------------------------------------------------------------------

def test_names_that_dns_no_longer_tells(node, pod):
    """The name is in [upstream] to. Its addresses stay known when DNS no longer answers."""
    web = pod('web')
    node.names.ttl = 1
    shop = pod('shop', {'upstream web': {'to': 'web.test:8080', 'peer': web.identity},
                        'outbound': {'default': 'refuse'}})
    web.app()
    addresses = web.v4, web.v6
    for address in addresses:
        wait_until(lambda: attempt(lambda a=address: shop.connect((a, 8080))) == MARKER, 'the name is known')
    node.names.lost, asked = True, len(node.names.asked)
    wait_until(lambda: len(node.names.asked) > asked, 'it asks again')
    for address in addresses:
        assert attempt(lambda a=address: shop.connect((a, 8080))) == MARKER
    assert attempt(lambda: shop.connect((web.v4, 8081))) == 'reset'
    node.names.lost = False


def test_name_that_is_not_known_at_start(node, pod):
    """The sidecar starts. Nothing goes to the name until DNS knows it, and from then on connections work."""
    web = pod('web')
    node.names.ttl = 1
    shop = pod('shop', {'upstream web': {'to': 'later.test:8080', 'peer': web.identity},
                        'outbound': {'default': 'refuse'}})
    web.app()
    assert attempt(lambda: shop.connect((web.v4, 8080))) == 'reset'
    node.dns['later.test'] = [web.v4, web.v6]
    wait_until(lambda: attempt(lambda: shop.connect((web.v4, 8080))) == MARKER, 'the name is known', 30)


def test_name_moves_to_another_address(node, pod):
    first, second = pod('first'), pod('second')
    node.names.ttl = 1
    node.dns['web.test'] = [first.v4]
    shop = pod('shop', {'upstream web': {'to': 'web.test:8080'}, 'outbound': {'default': 'refuse'}})
    for each in first, second:
        each.app()
    wait_until(lambda: attempt(lambda: shop.connect((first.v4, 8080))) == MARKER, 'the name is known')
    assert attempt(lambda: shop.connect((second.v4, 8080))) == 'reset'
    node.dns['web.test'] = [second.v4]
    wait_until(lambda: attempt(lambda: shop.connect((second.v4, 8080))) == MARKER, 'its new address is known')


# --- ports ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize('first', ['web', 'shop'])
def test_ports_wait_where_the_app_has_finished_first(pod, first):
    """TIME-WAIT stays with the side whose app closed first, as without a sidecar. Otherwise clients of such servers
    would run out of ports. (A session that carries the next connection leaves no port behind.)"""
    shop, web = pod('shop', {'tls': {'reuse': 'off'}}), pod('web')
    web.app(lambda sock: first == 'web' or sock.recv(1))
    for _ in range(5):
        with shop.connect((web.v4, 8080)) as sock:
            if first == 'shop':
                sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b''
    wait_until(lambda: len(shop.connections('outbound', reason='done')) == 5, 'all have ended')

    def waiting(at, other):
        lines = at.space.root(['ss', '-Htan', 'state', 'time-wait']).splitlines()
        return sum(re.search(rf'{at.v4}\S*\s+\S*{other.v4}\S*:', line) is not None for line in lines)
    # In the shop, the app's own sockets look like those of the sidecar.
    expected = (0, 5) if first == 'web' else (10, 0)
    wait_until(lambda: (waiting(shop, web), waiting(web, shop)) == expected,
               lambda: f'{waiting(shop, web)} and {waiting(web, shop)} ports wait')


# --- rotation -------------------------------------------------------------------------------------------

@pytest.mark.heavy
@pytest.mark.tsan
def test_rotation_under_load_drops_nothing(node, pod):
    """Both sides get new certificates again and again: open streams, transactions and new connections notice
    nothing."""
    shop, web = (pod(name, {'sidecar': {'workers': 4}}) for name in ('shop', 'web'))
    web.spawn('echo', ['/usr/bin/python3', TRAFFIC, 'echo', web.home / 'port', '--host', '', '--port', '8080'])
    wait_until((web.home / 'port').exists, 'the app listens')
    service = node.service(80, [web], to=8080)
    loads = []
    for number, host in enumerate((service.v4, service.v6)):
        loads.append(shop.spawn(f'load{number}', [
            '/usr/bin/python3', TRAFFIC, 'load', '80', shop.home / f'report{number}', '--host', host,
            '--streams', '20', '--clients', '4', '--newcomers', '2']))
    wait_until(lambda: shop.metric('fairlead_connections_open') >= 40, 'the load is there')
    for _ in range(5):
        for each in shop, web:
            generation = each.metric('fairlead_generation')
            each.mount(node.lab.root.issue(each.identity))
            wait_until(lambda: each.metric('fairlead_generation') > generation, f'{each.name} has the new one')
    for number, load in enumerate(loads):
        assert load.stop() == 0
        report = json.loads((shop.home / f'report{number}').read_text())
        assert report['failures'] == []
        assert report['streams_done'] == 20
        assert sum(phase['connections']['count'] for phase in report['phases']) > 0
