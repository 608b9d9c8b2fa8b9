#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the memory that a session takes while it waits for its next app connection, in both sidecars together.

    tests/bench/idle_sessions.py [--places 7] [--rounds 5] [--build build]

Makes 64 sessions to each of so many upstreams, which is as many as a client keeps to one, and compares the memory (PSS) of the
sidecars while all of them are idle with that before; a few times, with new sidecars. Idle sessions beyond the need of the
last seconds end soon, so a round has to be over within ten seconds. 7 places are what a server keeps with 20,000 descriptors
(ulimit -Hn).
"""
import argparse
import contextlib
import os
import pathlib
import resource
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'lib'))

EACH = 64  # FL_POOL_PLACE_MAX of sidecar/conn/pool.h


def use_each(labs, ports):
    """Opens connections to these ports, all at the same time, and ends them in order."""
    socks = [labs.connect(port) for port in ports]
    for sock in socks:
        sock.sendall(b'x')
    for sock in socks:
        assert sock.recv(1) == b'x'
    for sock in socks:
        sock.close()


def measure(places):
    import crowds
    import lab as labs
    common = {'sidecar': {'workers': 1}, 'limits': {'connections': 100000}, 'log': {'access': 'off'}}
    with contextlib.closing(crowds.Echo()) as echo, tempfile.TemporaryDirectory(prefix='fairlead-') as folder, \
            labs.Lab(folder) as lab:
        server = lab.inbound(echo.port, common)
        ports = [lab.ports.free() for _ in range(places)]
        client = lab.outbound(server.port, labs.merge(common, {
            f'upstream at-{port}': {'listen': f'127.0.0.1:{port}', 'to': f'127.0.0.1:{server.port}', 'peer': labs.SERVER}
            for port in ports}))
        sidecars = {'client': client, 'server': server}

        def idle(name):
            return sidecars[name].metric('fairlead_sessions_open', state='idle')
        use_each(labs, [client.port] * EACH)
        labs.wait_until(lambda: idle('client') == idle('server') == EACH, 'they are not idle')
        before = {name: workload.sidecar.pss() for name, workload in sidecars.items()}
        for port in ports:
            use_each(labs, [port] * EACH)
        labs.wait_until(lambda: idle('client') == idle('server') == (places + 1) * EACH,
                        lambda: f'{idle("client")} and {idle("server")} are idle')
        after = {name: workload.sidecar.pss() for name, workload in sidecars.items()}
    return {name: (after[name] - before[name]) / 1024 / places / EACH for name in after}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--places', type=int, default=7)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--build', default='build')
    options = parser.parse_args()
    os.environ['FAIRLEAD_BUILD'] = options.build
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rounds = [measure(options.places) for _ in range(options.rounds)]
    client, server = (statistics.mean(each[name] for each in rounds) for name in ('client', 'server'))
    print(f'{len(rounds)} times {options.places * EACH} idle sessions, KB each: client {client:.2f}, server {server:.2f}, '
          f'pair {client + server:.2f} ({min(sum(each.values()) for each in rounds):.2f} to '
          f'{max(sum(each.values()) for each in rounds):.2f})')
    return 0


if __name__ == '__main__':
    sys.exit(main())
