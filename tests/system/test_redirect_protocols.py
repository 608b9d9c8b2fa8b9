# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests `[redirect] other_protocols`: other protocols than TCP are not captured, but counted or dropped."""
import contextlib
import socket
import struct
import threading

import pytest

import lab as labs
from scene import FAMILIES, loopback, number_of


def datagram(scene, pod, to):
    """Returns the fate of a datagram: 'answered', 'refused', or 'lost'."""
    family = 'v6' if ':' in to[0] else 'v4'
    with pod.space.inside(lambda: socket.socket(number_of(family), socket.SOCK_DGRAM)) as sock:
        sock.settimeout(2 * labs.SLOW)
        try:
            sock.connect(to)
            sock.send(b'ping')
            return 'answered' if sock.recv(100) == b'ping' else 'strange'
        except (ConnectionRefusedError, PermissionError):
            return 'refused'
        except TimeoutError:
            return 'lost'


def echoes(pod, to):
    """Returns whether an ICMP echo request is answered."""
    v6 = ':' in to
    request, answer = (128, 129) if v6 else (8, 0)
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    checksum = 0xffff & ~((request << 8) + 1 + 1)  # for IPv6, the kernel computes it
    with pod.space.inside(lambda: socket.socket(number_of('v6' if v6 else 'v4'), socket.SOCK_RAW, protocol)) as sock:
        sock.settimeout(10 * labs.SLOW)
        sock.sendto(struct.pack('!BBHHH', request, 0, checksum, 1, 1), (to, 0))
        while True:
            packet = sock.recv(200)
            packet = packet if v6 else packet[(packet[0] & 15) * 4:]
            if packet[0] == answer:
                return True


def other_counters(scene):
    """Returns the numbers of inbound and outbound packets, without answers."""
    counters = scene.counters()
    return counters['other_inbound'], counters['other_outbound']


class Datagrams:
    """Sends back every datagram, on both families."""

    def __init__(self, pod, port):
        def make():
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(('::', port))
            sock.settimeout(0.05)
            return sock
        self.sock, self.done = pod.space.inside(make), False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.done:
            with contextlib.suppress(TimeoutError, ConnectionError):
                self.sock.sendto(*self.sock.recvfrom(100))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done = True
        self.thread.join()
        self.sock.close()


@pytest.mark.parametrize('family', FAMILIES)
def test_other_protocols_are_counted(scene, family):
    scene.redirect('apply')
    with Datagrams(scene.caller, 7000), Datagrams(scene.pod, 7000):
        assert datagram(scene, scene.pod, (getattr(scene.caller, family), 7000)) == 'answered'
        assert other_counters(scene) == (0, 1)
        assert datagram(scene, scene.caller, (getattr(scene.pod, family), 7000)) == 'answered'
    assert other_counters(scene) == (1, 1)


@pytest.mark.parametrize('family', FAMILIES)
def test_other_protocols_are_dropped(scene, family):
    scene.redirect('apply', other_protocols='drop', exclude_outbound='*:53, *:7001', exclude_inbound='7002')
    with contextlib.ExitStack() as stack:
        for pod in scene.caller, scene.pod:
            for port in 53, 7000, 7001, 7002:
                stack.enter_context(Datagrams(pod, port))
        out = {port: datagram(scene, scene.pod, (getattr(scene.caller, family), port)) for port in (53, 7000, 7001)}
        assert out == {53: 'answered', 7000: 'refused', 7001: 'answered'}
        into = {port: datagram(scene, scene.caller, (getattr(scene.pod, family), port)) for port in (53, 7000, 7002)}
        assert into == {53: 'answered', 7000: 'refused', 7002: 'answered'}
        # Inside the pod, nothing is counted or dropped.
        assert datagram(scene, scene.pod, (loopback(family), 7000)) == 'answered'
        assert datagram(scene, scene.pod, (getattr(scene.pod, family), 7000)) == 'answered'
    assert echoes(scene.pod, getattr(scene.caller, family))
    assert other_counters(scene) == (1, 1)
    assert (scene.inward(family), scene.outward(family)) == ('captured', 'captured')
