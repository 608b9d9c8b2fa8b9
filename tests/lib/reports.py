# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a sidecar reports about itself, for the system tests."""
import collections
import json
import re
import shutil
import socket
import subprocess

import lab as labs
from lab import connect, read_all, wait_until

NOTE = 0x100  # sidecar/ctl/message.h
EXPIRY = 'fairlead_certificate_expiry_timestamp_seconds'


def metrics(workload):
    """Returns {(name, (label, value) …): number}. Each label set must occur once."""
    found = {}
    for line in workload.get('/metrics')[1].splitlines():
        if not line.startswith('#'):
            name, labels, value = re.fullmatch(r'(\w+)(?:\{(.*)\})? (\S+)', line).groups()
            key = (name, *sorted(re.findall(r'(\w+)="([^"]*)"', labels or '')))
            assert key not in found, line
            found[key] = float(value)
    return found


def metric(workload, name, **labels):
    """Returns the sum over all series with these labels, or None if there are none."""
    found = [v for k, v in metrics(workload).items() if k[0] == name and labels.items() <= dict(k[1:]).items()]
    return sum(found) if found else None


def of(seen, name, **labels):
    """Returns one series of metrics()."""
    return seen[name, *sorted(labels.items())]


def ended_by(seen, name, **labels):
    """Returns {reason: connections} of all series with these labels."""
    found = collections.Counter()
    for key, value in seen.items():
        if key[0] == name and labels.items() <= dict(key[1:]).items():
            found[dict(key[1:])['reason']] += value
    return {reason: count for reason, count in found.items() if count}


def status(workload):
    code, text = workload.get('/status')
    assert code == 200
    return json.loads(text)


def tool(*arguments):
    """Returns exit status, stdout and stderr of fairlead-agent."""
    done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def promtool(text):
    """Checks the text with promtool, if it is installed: it must report nothing."""
    if not shutil.which('promtool'):
        return
    done = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, ''), done.stdout + done.stderr


def ask(pair, size):
    with pair.connect() as sock:
        sock.sendall(bytes(size))
        sock.shutdown(socket.SHUT_WR)
        assert len(read_all(sock)) == size


def agree(workload, reasons, direction):
    """Checks that metrics, status and access log agree on {reason: connections}."""
    def settled():
        return not status(workload)['connections'][direction]['open'] and \
            len(workload.sidecar.lines(direction=direction)) == sum(reasons.values())
    wait_until(settled, lambda: f'{workload.name}: {reasons} is not {status(workload)["connections"]}')
    seen, told, log = metrics(workload), status(workload), workload.sidecar.lines(direction=direction)
    assert collections.Counter(line['reason'] for line in log) == reasons
    assert ended_by(seen, 'fairlead_connections_closed_total', direction=direction) == reasons
    assert {k: v for k, v in told['connections'][direction]['closed'].items() if v} == reasons
    opened = told['connections'][direction]['opened']
    assert opened == sum(reasons.values())
    for security in ('mtls', 'plaintext', 'none'):
        series = ('direction', direction), ('security', security)
        of_it = sum(line.get('security', 'none') == security for line in log)
        assert seen['fairlead_connections_opened_total', *series] == of_it
        assert seen['fairlead_connections_open', *series] == 0
        assert sum(ended_by(seen, 'fairlead_connections_closed_total', direction=direction,
                            security=security).values()) == of_it
    for peer in {line['peer'] for line in log if 'peer' in line}:
        lines = [line for line in log if line.get('peer') == peer]
        labels = {'direction': direction, 'peer': peer}
        assert ended_by(seen, 'fairlead_peer_connections_closed_total', **labels) == \
            collections.Counter(line['reason'] for line in lines)
        for to in ('app', 'mesh'):
            assert of(seen, 'fairlead_peer_bytes_total', **labels, to=to) == sum(line[f'bytes_to_{to}'] for line in lines)
        assert of(seen, 'fairlead_peer_connections_opened_total', **labels) == len(lines)
        assert of(seen, 'fairlead_peer_connections_open', **labels) == 0
    for to in ('app', 'mesh'):
        total = sum(line[f'bytes_to_{to}'] for line in log)
        assert seen['fairlead_bytes_total', ('direction', direction), ('to', to)] == total
        assert told['bytes'][direction][f'to_{to}'] == total
    handshakes = told['handshakes'][direction]
    assert seen['fairlead_handshakes_total', ('direction', direction), ('result', 'ok')] == handshakes['ok']
    assert seen['fairlead_handshakes_resumed_total', ('direction', direction)] == handshakes['resumed']
    for reason, count in handshakes['failed'].items():
        assert seen['fairlead_handshakes_total', ('direction', direction), ('result', reason)] == count
    assert seen['fairlead_handshake_duration_seconds_count', ('direction', direction)] == handshakes['ok']
    return told
