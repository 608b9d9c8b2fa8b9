# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that the memory of a burst is released."""
import contextlib
import socket

import pytest

import lab as labs
from lab import wait_until

BURST = 2500


@contextlib.contextmanager
def silent_app():
    """The kernel accepts connections for this app, and the app never handles them."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(2 * BURST)
        yield listener.getsockname()[1]


def is_open(workload, count):
    return sum(workload.metric('fairlead_connections_open', direction=direction, security='mtls') or 0
               for direction in ('inbound', 'outbound')) == count


def burst(pair, count):
    sides = pair.inbound, pair.outbound
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.callback(labs.reset, labs.connect(pair.outbound.port))
        wait_until(lambda: all(is_open(side, count) for side in sides), 'all are open', 60)
        peak = [side.sidecar.heap() for side in sides]
    wait_until(lambda: all(is_open(side, 0) for side in sides), 'all are closed', 60)
    return peak


@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='memory is measured')
def test_an_idle_sidecar_is_small(lab, app):
    """What only the start needed is given back, and buffers take no memory before they are used."""
    pair = lab.pair(app().port)
    with labs.connect(pair.outbound.port) as sock:
        sock.sendall(b'question')
        assert sock.recv(8) == b'question'
    for side in pair.inbound, pair.outbound:
        assert side.sidecar.heap() < 640 * 1024


@pytest.mark.heavy
@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='memory is measured')
def test_memory_of_a_burst_goes_back(lab):
    if int(open('/proc/sys/net/core/somaxconn', encoding='ascii').read()) < BURST:
        pytest.skip('net.core.somaxconn is too small for the app of this test')
    with silent_app() as port:
        pair = lab.pair(port)
        sides = pair.inbound, pair.outbound
        burst(pair, 20)
        before = [side.sidecar.heap() for side in sides]
        peak = burst(pair, BURST)

        def now():
            return [side.sidecar.heap() for side in sides]
        wait_until(lambda: all(a <= b + (p - b) * 0.05 for a, b, p in zip(now(), before, peak)),
                   lambda: f'{now()} bytes of heap, where {before} were before and {peak} meanwhile', 60)
        assert all(a > 3 * b for a, b in zip(peak, before)), 'it was a burst'
