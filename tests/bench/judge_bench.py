#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what it costs a sidecar to judge its open connections again, and the memory that it needs to do so.

    tests/bench/judge_bench.py [--connections 10000] [--identities 1 10 1000] [--build build]

For each number of identities: CPU time of the walk after a new root (each chain is verified again) and after a change
of policy alone, and memory (PSS) of the sidecar for each connection. One worker. This script is also the client and the
app, so a run takes a minute.
"""
import argparse
import os
import pathlib
import resource
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'lib'))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--connections', type=int, default=10000)
    parser.add_argument('--identities', type=int, nargs='+', default=[1, 10, 1000])
    parser.add_argument('--build', default='build')
    return parser.parse_args()


def measure(identities, connections):
    import crowds as t
    import lab as labs
    from pki import CA

    echo = t.Echo()
    with tempfile.TemporaryDirectory(prefix='fairlead-') as folder, labs.Lab(folder) as lab:
        inbound = t.judged_inbound(lab, echo, sections={'limits': {'connections': connections + 100},
                                                        'log': {'access': 'off'}})
        idle, socks = inbound.sidecar.pss(), []
        for i in range(identities):
            dial = t.tls_dialler(inbound.port, lab.root.issue(t.identity(f'peer-{i}')), lab.root)
            for _ in range(connections // identities):
                socks.append(dial())
                socks[-1].sendall(b'ping')
                assert socks[-1].recv(4) == b'ping'
        memory = (inbound.sidecar.pss() - idle) / len(socks) / 1024
        inbound.volume.change(ca_crt=lab.root.cert_pem + CA(t.TD, common_name='second').cert_pem)
        trust = t.judgement(inbound, 2)
        inbound.change({'deny nobody': {'from': t.identity('nobody')}})
        policy = t.judgement(inbound, 3)
        for sock in socks:
            sock.close()
    echo.close()
    assert trust['judged'] == policy['judged'] == len(socks) and not trust['closed'] and not policy['closed']
    return trust['cpu_microseconds'] / 1000, policy['cpu_microseconds'] / 1000, memory


def main():
    options = arguments()
    os.environ['FAIRLEAD_BUILD'] = options.build
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.connections > (hard - 300) // 2:
        options.connections = (hard - 300) // 2
        print(f'{hard} descriptors a process: {options.connections} connections', file=sys.stderr)
    print(f'{"connections":>12} {"identities":>10} {"new root, ms":>13} {"new policy, ms":>15} {"KB each":>8}')
    for identities in options.identities:
        trust, policy, memory = measure(identities, options.connections)
        print(f'{options.connections:12} {identities:10} {trust:13.1f} {policy:15.1f} {memory:8.2f}', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
