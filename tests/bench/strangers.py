#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures new connections of a good client beside stalling strangers, as ratios to the times without them.

    tests/bench/strangers.py [--burst 5000] [--rate 500] [--seconds 20] [--build build] [kind...]

Kinds: silent (sends nothing), half (sends a ClientHello without its end, then a byte a second), permissive (silent, at
a permissive port), hello (sends a whole ClientHello and no more), far (silent, from another network). Each kind runs
twice: --burst connections at once, and --rate connections a second during the measurement. The good client connects 50
times a second, sends a byte and gets it back; one worker, one core for each side where there are two. Memory is the
peak of the sidecar's heap.
"""
import argparse
import multiprocessing
import os
import pathlib
import resource
import socket
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'lib'))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))
KINDS = ('silent', 'half', 'permissive', 'hello', 'far')


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--burst', type=int, default=5000)
    parser.add_argument('--rate', type=int, default=500)
    parser.add_argument('--seconds', type=float, default=20)
    parser.add_argument('--build', default='build')
    parser.add_argument('kinds', nargs='*', default=list(KINDS))
    return parser.parse_args()


def knock(port, kind):
    sock = socket.socket()
    if kind == 'far':
        sock.bind(('127.77.0.1', 0))
    sock.setblocking(False)
    sock.connect_ex(('127.0.0.1', port))
    return sock


def say(sock, data):
    try:
        sock.send(data)
    except OSError:
        pass


def flood(port, kind, hello, burst, rate, begun, over):
    """Runs the strangers, in a process of its own, and sends the slow bytes of those that trickle."""
    first = {'half': hello[:-30], 'hello': hello}.get(kind, b'')
    socks, said, end = [knock(port, kind) for _ in range(burst)], 0, time.monotonic()
    time.sleep(0.3)
    for sock in socks:
        if first:
            say(sock, first)
    begun.set()
    dribbled = time.monotonic()
    while not over.is_set():
        if rate:
            socks.append(knock(port, kind))
            if len(socks) > 1:
                say(socks[-2], first)
            if len(socks) > 20 * rate:  # the sidecar has closed the oldest long ago
                for sock in socks[:rate]:
                    sock.close()
                del socks[:rate]
            end += 1 / rate
            time.sleep(max(0, end - time.monotonic()))
        else:
            time.sleep(0.05)
        if kind == 'half' and time.monotonic() - dribbled > 1 and said < 29:
            said, dribbled = said + 1, time.monotonic()
            for sock in socks if not rate else socks[-rate:]:
                say(sock, hello[len(first) + said - 1:len(first) + said])
    for sock in socks:
        sock.close()


def ask(port, svid, root, seconds, ret):
    """Runs the good client, in a process of its own."""
    import peers
    context = peers.context(False, svid, root)
    context.set_alpn_protocols(['fairlead/1'])
    if os.cpu_count() > 1:
        os.sched_setaffinity(0, {1})
    times, failed, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        since = time.monotonic()
        try:
            sock = socket.create_connection(('127.0.0.1', port), timeout=seconds)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(sock) as tls:
                tls.sendall(b'x')
                assert tls.recv(1) == b'x'
            times.append(time.monotonic() - since)
        except (OSError, AssertionError):
            failed += 1
        time.sleep(max(0, 0.02 - (time.monotonic() - since)))
    ret.put((times, failed))


def asked(inbound, seconds):
    ret = multiprocessing.Queue()
    client = multiprocessing.Process(target=ask, args=(inbound.port, inbound.lab.client, inbound.lab.root, seconds, ret))
    client.start()
    heap = inbound.sidecar.heap()
    while client.is_alive() and ret.empty():
        time.sleep(0.1)
        heap = max(heap, inbound.sidecar.heap())
    times, failed = ret.get()
    client.join()
    times.sort()
    return times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3, failed, heap


def measure(kind, burst, rate, seconds):
    import crowds
    import lab as labs
    import peers
    echo = crowds.Echo()
    with tempfile.TemporaryDirectory(prefix='fairlead-') as folder, labs.Lab(folder) as lab:
        sections = {'service app': {'mode': 'permissive'}, 'allow plain': {'from': 'plaintext'}} if kind == 'permissive' else {}
        inbound = lab.inbound(echo.port, {'sidecar': {'workers': 1}, **sections})
        before = inbound.sidecar.heap()
        quiet = asked(inbound, seconds / 2)
        begun, over = multiprocessing.Event(), multiprocessing.Event()
        strangers = multiprocessing.Process(target=flood, args=(inbound.port, kind, peers.client_hello(), burst, rate, begun, over))
        strangers.start()
        begun.wait()
        loud = asked(inbound, seconds)
        over.set()
        strangers.join()
    echo.close()
    return quiet, loud, (loud[3] - before) / (1 << 20)


def main():
    options = arguments()
    os.environ['FAIRLEAD_BUILD'] = options.build
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f'{"":>22} {"quiet p50":>9} {"p99, ms":>8} {"beside p50":>10} {"p99, ms":>8} {"p99 ratio":>9} {"failed":>6} {"MB":>5}')
    for kind in options.kinds:
        for burst, rate in ((options.burst, 0), (0, options.rate)):
            quiet, loud, memory = measure(kind, burst, rate, options.seconds)
            name = f'{kind}, ' + (f'{burst} at once' if burst else f'{rate} a second')
            print(f'{name:>22} {quiet[0]:9.2f} {quiet[1]:8.2f} {loud[0]:10.2f} {loud[1]:8.2f} {loud[1] / quiet[1]:9.2f} '
                  f'{loud[2]:6} {memory:5.1f}', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
