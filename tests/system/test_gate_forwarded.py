# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests `[redirect] forwarded`: containers inside the pod, as with Docker in Docker."""
import contextlib

import pytest

import lab as labs
import pods
import segments
from lab import wait_until
from scene import FAMILIES
from test_gate import MARKER, MODES, PERMISSIVE, heard, mesh

INNER = {'v4': '172.17.0.2', 'v6': 'fd17::2'}
EVERYWHERE = {'sidecar': {'outbound': '*:15001'}}


@contextlib.contextmanager
def inner_of(pod):
    """Runs a container inside the pod, behind NAT on a bridge of the pod."""
    with contextlib.closing(pods.Namespace(sysctls={'ipv6/conf/default/accept_dad': 0})) as inner:
        pod.space.root(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'])
        pod.space.ip('link add docker0 address 02:00:00:00:00:02 type bridge forward_delay 0', 'link set docker0 up',
                     'addr add 172.17.0.1/16 dev docker0', 'addr add fd17::1/64 dev docker0 nodad',
                     f'link add inner type veth peer name eth0 netns {inner.path}', 'link set inner master docker0',
                     'link set inner up')
        inner.ip('link set lo up', 'link set eth0 up', 'addr add 172.17.0.2/16 dev eth0',
                 'addr add fd17::2/64 dev eth0 nodad', 'route add default via 172.17.0.1',
                 'route add ::/0 via fd17::1 dev eth0')
        pod.space.nft('''table inet docker { chain p { type nat hook postrouting priority srcnat;
            ip saddr 172.17.0.0/16 oifname eth0 masquerade
            ip6 saddr fd17::/64 oifname eth0 masquerade
        }; }''')
        yield inner


@contextlib.contextmanager
def another_of(pod, bridge):
    """Runs one more container of that pod on this bridge."""
    with contextlib.closing(pods.Namespace(sysctls={'ipv6/conf/default/accept_dad': 0})) as other:
        if bridge != 'docker0':
            pod.space.ip(f'link add {bridge} type bridge forward_delay 0', f'link set {bridge} up',
                         f'addr add 172.18.0.1/16 dev {bridge}')
        net = '172.17.0' if bridge == 'docker0' else '172.18.0'
        pod.space.ip(f'link add other type veth peer name eth0 netns {other.path}', f'link set other master {bridge}',
                     'link set other up')
        other.ip('link set lo up', 'link set eth0 up', f'addr add {net}.3/16 dev eth0', f'route add default via {net}.1')
        with other.inside(lambda: labs.App(labs.echo, host=f'{net}.3', port=80)):
            yield f'{net}.3', 80


def forwarded(pod):
    text = pod.space.try_run([labs.AGENT, 'redirect', 'print', '-c', pod.ini]).stdout
    return {what: int(line.split()[-len(what.split()) - 1]) for what in (
        'connections of containers inside the pod captured',
        'forwarded packets of containers inside the pod, not captured')
        for line in text.splitlines() if line.startswith('#') and line.endswith(what)}.values()


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_not_in_the_clear_unless_asked_for(pod, mode, family):
    """By default, connections of inner containers are refused and counted."""
    shop, web = mesh(pod, 'shop', mode), pod('web', PERMISSIVE)
    web.app()
    to = getattr(web, family), 8080
    with inner_of(shop) as inner, pods.in_the_dark(MARKER, shop):
        assert heard(lambda: pods.connect(inner, to, 10)) == 'refused'
        assert [*forwarded(shop)] == [0, 1]
        # The pod's own connections still work.
        assert heard(lambda: shop.connect(to)) == MARKER


@pytest.mark.parametrize('family', FAMILIES)
def test_they_may_be_left_alone(pod, family):
    shop, web = pod('shop', {'redirect': {'forwarded': 'count'}}), pod('web', PERMISSIVE)
    web.app()
    to = getattr(web, family), 8080
    with inner_of(shop) as inner:
        assert heard(lambda: pods.connect(inner, to, 10)) == MARKER
        assert [*forwarded(shop)][1] > 3
    net = f'{web.v4}, [{web.v6}]'
    narrow = pod('narrow', {'redirect': {'exclude_outbound': net}})
    with inner_of(narrow) as inner:
        assert heard(lambda: pods.connect(inner, to, 10)) == MARKER
        assert [*forwarded(narrow)] == [0, 0]


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', MODES)
def test_they_may_be_captured(pod, mode, family):
    """They are captured like the app's connections. A stranger that uses the pod as a router is not."""
    shop = mesh(pod, 'shop', mode, labs.merge({'redirect': {'forwarded': 'capture'}}, EVERYWHERE))
    web, stranger = pod('web'), pod('stranger', sidecar=False)
    web.app()
    to = getattr(web, family), 8080
    with inner_of(shop) as inner, pods.in_the_dark(MARKER, shop, web):
        assert heard(lambda: pods.connect(inner, to, 10)) == MARKER
        line = web.wait_connection('inbound')
        assert line['security'] == 'mtls' and line['peer'] == shop.identity
        assert shop.wait_connection('outbound')['source'].strip('[').startswith(INNER[family])
        before = [*forwarded(shop)]
        assert before == [1, 0]
        # The stranger's route, not the node's: the sidecar's own packets to web must not come back to be forwarded.
        stranger.space.ip(f'route add {to[0]} via {getattr(shop, family)} dev eth0 onlink')
        with segments.Sender(stranger.space, family) as sender:
            sender.send((getattr(stranger, family), 4000), to, segments.SYN)
        wait_until(lambda: [*forwarded(shop)] == [1, 1], lambda: [*forwarded(shop)])


@pytest.mark.parametrize('what, bridge', [('drop', 'docker0'), ('drop', 'docker1'), ('capture', 'docker0')])
def test_among_themselves_they_are_left_alone(pod, what, bridge):
    """This holds even if bridged packets pass the rules (br_netfilter)."""
    shop = pod('shop', labs.merge({'redirect': {'forwarded': what}}, EVERYWHERE))
    shop.space.try_run(['sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=1'])
    with inner_of(shop) as inner, another_of(shop, bridge) as to:
        assert heard(lambda: pods.connect(inner, to, 10)) == MARKER
        assert [*forwarded(shop)] == [0, 0]


def test_capture_needs_a_listener_that_is_reached(pod):
    web = pod('web', redirect=False, start=False)
    web.change({'redirect': {'forwarded': 'capture'}})
    done = web.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', web.ini])
    assert done.returncode == 2 and 'outbound = *:15001' in done.stderr
    web.change(EVERYWHERE)
    web.space.ip('route del default')
    web.space.ip('route del ::/0')
    done = web.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', web.ini])
    assert done.returncode == 2 and 'no interface has a default route' in done.stderr
