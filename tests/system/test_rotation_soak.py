# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand swaps in a row under load: transactions, connections and long streams go on as if nothing were."""
import datetime
import json
import os
import signal
import statistics
import sys
import threading
import time

import pytest

import lab as labs
from lab import wait_until
from pki import ALWAYS
from volume import mounted, secret

SWAPS = 100 if labs.ASAN or labs.TSAN else 1000
EVERY = 0.04  # seconds
STREAMS = 50 if labs.ASAN or labs.TSAN else 200
QUIET = 4  # seconds of load without swaps
MANY = 10  # the client's side swaps once for so many swaps of the server's
TRAFFIC = labs.ROOT / 'tests' / 'lib' / 'traffic.py'


@pytest.fixture
def pair(lab):
    """Through volumes, with an app in a process of its own."""
    port = lab.folder / 'echo.port'
    lab.program('echo', [sys.executable, TRAFFIC, 'echo', port])
    wait_until(port.exists, 'no app')
    back_sections, back = mounted(lab, 'back')
    front_sections, front = mounted(lab, 'front')
    back.write(secret(lab.server, lab.root))
    front.write(secret(lab.client, lab.root))
    made = lab.pair(int(port.read_text()), inbound=back_sections, outbound=front_sections,
                    common={'log': {'access': 'off'}})
    made.back, made.front = back, front
    return made


def epoch(line):
    return datetime.datetime.fromisoformat(line['time'].replace('Z', '+00:00')).timestamp()


def used(workload):
    """(when, which swap) of each generation: the end of its certificate's life counts the swaps."""
    found = []
    for line in workload.sidecar.lines(msg='generation in use'):
        end = datetime.datetime.fromisoformat(line['not_after'].replace('Z', '+00:00')).replace(tzinfo=None)
        found.append((epoch(line), end))
    return found


def issue_all(lab):
    """[(content of the Secret, end of its certificate's life)], made before the clocks run."""
    base = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0, tzinfo=None) + ALWAYS
    ends = [base + datetime.timedelta(seconds=count + 1) for count in range(SWAPS)]
    return [(secret(lab.root.issue(labs.SERVER, not_after=end), lab.root), end) for end in ends]


def rotate(lab, pair, issued):
    """All swaps; returns [(when, end of the certificate's life)] of the server's side."""
    swaps, pace, due = [], threading.Event(), time.monotonic()
    for count, (files, end) in enumerate(issued):
        due = max(due + EVERY, time.monotonic())
        pace.wait(max(due - time.monotonic(), 0))
        swaps.append((pair.back.write(files), end))
        if count % MANY == 0:
            pair.front.write(secret(lab.root.issue(labs.CLIENT), lab.root))
        if count == SWAPS // 5:
            pair.warm = sizes(pair)
    return swaps


def sizes(pair):
    return {program.name: program.pss() for w in pair.workloads for program in (w.sidecar, w.agent)}


def main_ticks(pair):
    """CPU of the threads that rotation is the work of: the agent's, and the sidecar's main thread."""
    return {program.name: program.thread_ticks()[program.pid]
            for program in (pair.inbound.agent, pair.inbound.sidecar)}


def delays(swaps, uses):
    """How long after each swap its certificate, or a later one, was in use."""
    result, at = [], 0
    for when, end in swaps:
        while at < len(uses) and uses[at][1] < end:
            at += 1
        result.append(uses[at][0] - when if at < len(uses) else float('inf'))
    return result


@pytest.mark.heavy
@pytest.mark.slow
def test_a_thousand_swaps_under_load(lab, pair, record_property):
    fds = {program.name: program.fds() for w in pair.workloads for program in (w.sidecar, w.agent)}
    report, issued = lab.folder / 'report.json', issue_all(lab)
    load = lab.program('load', [sys.executable, TRAFFIC, 'load', pair.port, report, '--streams', STREAMS])
    sidecar = pair.inbound.sidecar
    wait_until(lambda: sidecar.fds() > fds[sidecar.name] + 2 * STREAMS, 'the streams are not there', 30)
    for _ in range(2):  # one phase to get going, one to compare with
        threading.Event().wait(QUIET)
        load.signal(signal.SIGUSR1)
    ticks = main_ticks(pair)
    swaps = rotate(lab, pair, issued)
    ticks = {name: after - ticks[name] for name, after in main_ticks(pair).items()}
    wait_until(lambda: used(pair.inbound)[-1][1] == swaps[-1][1], 'the last one is not in use')
    hot = sizes(pair)
    load.terminate()
    load.wait(60)
    result = json.loads(report.read_text())

    waits = delays(swaps, used(pair.inbound)[1:])
    _, quiet, busy = result['phases']
    facts = {
        'swaps': len(swaps), 'generations': len(used(pair.inbound)) - 1,
        'delay_median_ms': round(statistics.median(waits) * 1000, 1), 'delay_max_ms': round(max(waits) * 1000, 1),
        **{f'{kind}_p99_ratio': round(busy[kind]['p99'] / quiet[kind]['p99'], 2) for kind in busy},
        **{f'{kind}_p99_ms': round(busy[kind]['p99'] * 1000, 2) for kind in busy},
        **{kind: busy[kind]['count'] for kind in busy},
        **{f'{name}_cpu_ms_per_generation': round(spent * 1000 / os.sysconf('SC_CLK_TCK') /
                                                  (len(used(pair.inbound)) - 1), 2) for name, spent in ticks.items()},
        **{f'{name}_growth_kib': (hot[name] - size) // 1024 for name, size in pair.warm.items()},
    }
    for name, value in facts.items():
        record_property(name, value)
    print(json.dumps(facts, indent=1))

    assert result['failures'] == []
    assert result['streams_done'] == STREAMS
    assert max(waits) < labs.SLOW
    for workload in pair.workloads:
        assert workload.sidecar.lines(level='error') == []
        # (At the start it may have been there before its agent.)
        assert [line for line in workload.sidecar.lines(level='warn') if not line['msg'].startswith('agent:')] == []
        assert workload.agent.lines(level='warn') == []
    for workload in pair.workloads:
        for program in (workload.sidecar, workload.agent):
            wait_until(lambda p=program: p.fds() <= fds[p.name] + 1,  # inotify's own, since the first watch
                       lambda p=program: f'{p.name}: {fds[p.name]} descriptors before, {p.fds()} after')
            if not (labs.ASAN or labs.TSAN):
                growth = hot[program.name] - pair.warm[program.name]
                assert growth < 2 << 20, f'{program.name} has grown by {growth} bytes'
