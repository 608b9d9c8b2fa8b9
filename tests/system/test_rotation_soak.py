# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a thousand swaps in a row under load: pgbench on persistent and on new connections, long streams and short
connections, many of them over reused sessions, notice nothing. Streams and short connections compare every byte."""
import collections
import datetime
import json
import os
import re
import signal
import statistics
import sys
import threading
import time

import pytest

import lab as labs
from database import SOCKET, Bench, Database, programs
from lab import wait_until
from pki import ALWAYS
from traffic import latencies
from volume import mounted, secret

SWAPS = 100 if labs.ASAN or labs.TSAN else 1000
EVERY = 0.04  # seconds
STREAMS = 50 if labs.ASAN or labs.TSAN else 200
QUIET = 4  # seconds of load without swaps, before and after
MANY = 10  # the client's side swaps once for this many swaps of the server's
TRAFFIC = labs.ROOT / 'tests' / 'lib' / 'traffic.py'


@pytest.fixture
def pair(lab):
    """Returns a pair with volumes, and two apps in processes of their own. .postgres is the folder of pgbench's
    socket."""
    port = lab.folder / 'echo.port'
    lab.program('echo', [sys.executable, TRAFFIC, 'echo', port])
    wait_until(port.exists, 'no app')
    folder, between = lab.folder / 'client', f'127.0.0.1:{lab.ports.free()}'
    folder.mkdir()
    back_sections, back = mounted(lab, 'back', {
        'service postgres': {'listen': between, 'app': f'unix:{Database(lab).socket}'}})
    front_sections, front = mounted(lab, 'front', {
        'upstream postgres': {'listen': f'unix:{folder / SOCKET}', 'to': between, 'peer': labs.SERVER}})
    back.write(secret(lab.server, lab.root))
    front.write(secret(lab.client, lab.root))
    made = lab.pair(int(port.read_text()), inbound=back_sections, outbound=front_sections,
                    common={'log': {'access': 'off'}})
    made.back, made.front, made.postgres = back, front, folder
    return made


def epoch(line):
    return datetime.datetime.fromisoformat(line['time'].replace('Z', '+00:00')).timestamp()


def used(workload):
    """Returns (time, number of the swap) of each generation. notAfter of its certificate encodes the number."""
    found = []
    for line in workload.sidecar.lines(msg='generation in use'):
        end = datetime.datetime.fromisoformat(line['not_after'].replace('Z', '+00:00')).replace(tzinfo=None)
        found.append((epoch(line), end))
    return found


def issue_all(lab):
    """Returns [(content of the Secret, notAfter)], made before the clocks run."""
    base = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0, tzinfo=None) + ALWAYS
    ends = [base + datetime.timedelta(seconds=count + 1) for count in range(SWAPS)]
    return [(secret(lab.root.issue(labs.SERVER, not_after=end), lab.root), end) for end in ends]


def rotate(lab, pair, issued):
    """Does all swaps. Returns [(time, notAfter)] of the server's side."""
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
    return {program.name: program.heap() for w in pair.workloads for program in (w.sidecar, w.agent)}


def main_ticks(pair):
    """Returns the CPU time of the threads that do the rotation: the agent's, and the sidecar's main thread."""
    return {program.name: program.thread_ticks()[program.pid]
            for program in (pair.inbound.agent, pair.inbound.sidecar)}


def delays(swaps, uses):
    """Returns how long after each swap its certificate, or a later one, was in use."""
    result, at = [], 0
    for when, end in swaps:
        while at < len(uses) and uses[at][1] < end:
            at += 1
        result.append(uses[at][0] - when if at < len(uses) else float('inf'))
    return result


def handshakes(workload):
    """Returns {result: count} of both directions together."""
    counts = collections.Counter()
    for result, count in re.findall(r'^fairlead_handshakes_total\{.*result="(\w+)"\} (\d+)$',
                                    workload.get('/metrics')[1], re.M):
        counts[result] += int(count)
    return dict(+counts)


def uses(pair):
    """Returns {kind: count} of the connections that the client's side has carried, by what their session was."""
    told = json.loads(pair.outbound.get('/status')[1])['sessions']['outbound']
    return {kind: told[kind] for kind in ('cold', 'reused')}


def descriptors(program, workload):
    """Returns how many it has open, without those of idle sessions, which wait for a further use."""
    if program is workload.agent:
        return program.fds()
    return program.fds() - sum(workload.metric('fairlead_sessions_open', direction=direction, state='idle')
                               for direction in ('inbound', 'outbound'))


def quiet():
    threading.Event().wait(QUIET)


def phase(load, work):
    """Runs one phase of the load, with work() in it. Returns (begin, end)."""
    begin = time.time()
    work()
    load.signal(signal.SIGUSR1)
    return begin, time.time()


def compare(phases):
    """Returns {fact: value} of the latencies before, during and after rotation: [{kind: {'count', 'p99'}}]."""
    facts = {}
    for kind in phases[0]:
        before, during, after = (p[kind]['p99'] * 1000 for p in phases)
        facts[f'{kind}_p99_ms'] = [round(p99, 2) for p99 in (before, during, after)]
        facts[f'{kind}_p99_ratio'] = round(during / statistics.mean((before, after)), 2)
        facts[kind] = phases[1][kind]['count']
    return facts


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not programs(), reason='PostgreSQL is missing (package postgresql)')
def test_a_thousand_swaps_under_load(lab, pair, record_property):
    fds = {program.name: program.fds() for w in pair.workloads for program in (w.sidecar, w.agent)}
    report, issued = lab.folder / 'report.json', issue_all(lab)
    load = lab.program('load', [sys.executable, TRAFFIC, 'load', pair.port, report, '--streams', STREAMS])
    sidecar = pair.inbound.sidecar
    wait_until(lambda: sidecar.fds() > fds[sidecar.name] + 2 * STREAMS, 'the streams are not there', 30)
    benches = {'pgbench': Bench(lab, 'pgbench', pair.postgres, '-c', 8, '-j', 1),
               'pgbench_C': Bench(lab, 'pgbench-C', pair.postgres, '-c', 2, '-j', 1, '-C', '-S')}
    phase(load, quiet)  # until the load is running
    times = [phase(load, quiet)]
    ticks = main_ticks(pair)
    swaps, before = [], uses(pair)
    times.append(phase(load, lambda: swaps.extend(rotate(lab, pair, issued))))
    carried = {kind: after - before[kind] for kind, after in uses(pair).items()}
    ticks = {name: after - ticks[name] for name, after in main_ticks(pair).items()}
    wait_until(lambda: used(pair.inbound)[-1][1] == swaps[-1][1], 'the last one is not in use')
    hot = sizes(pair)
    times.append(phase(load, quiet))
    reports = {name: bench.finish() for name, bench in benches.items()}
    load.terminate()
    load.wait(60)
    result = json.loads(report.read_text())

    waits = delays(swaps, used(pair.inbound)[1:])
    phases = result['phases'][1:4]
    for name, bench in benches.items():
        for figures, (begin, end) in zip(phases, times):
            figures[name] = latencies(bench.latencies(begin, end))
    results = {workload.name: handshakes(workload) for workload in pair.workloads}
    facts = {
        'swaps': len(swaps), 'generations': len(used(pair.inbound)) - 1,
        'delay_median_ms': round(statistics.median(waits) * 1000, 1), 'delay_max_ms': round(max(waits) * 1000, 1),
        **compare(phases),
        'carried_during_swaps': carried, 'handshakes': results, 'load_average': os.getloadavg(),
        **{f'{name}_cpu_ms_per_generation': round(spent * 1000 / os.sysconf('SC_CLK_TCK') /
                                                  (len(used(pair.inbound)) - 1), 2) for name, spent in ticks.items()},
        **{f'{name}_growth_kib': (hot[name] - size) // 1024 for name, size in pair.warm.items()},
    }
    for name, value in facts.items():
        record_property(name, value)
    print(json.dumps(facts, indent=1))

    for status, text in reports.values():
        assert status == 0 and re.search(r'^number of failed transactions: 0 ', text, re.M), text
    for counts in results.values():
        assert set(counts) == {'ok'}
    assert result['failures'] == []
    assert carried['reused'] > SWAPS / 50, 'sessions were reused between the swaps'
    assert result['streams_done'] == STREAMS
    assert max(waits) < labs.SLOW
    for workload in pair.workloads:
        assert workload.sidecar.lines(level='error') == []
        # (At the start, the sidecar may have been up before its agent.)
        assert [line for line in workload.sidecar.lines(level='warn') if not line['msg'].startswith('agent:')] == []
        assert workload.agent.lines(level='warn') == []
    for workload in pair.workloads:
        for program in (workload.sidecar, workload.agent):
            # One more: inotify's, since the first watch.
            wait_until(lambda p=program, w=workload: descriptors(p, w) <= fds[p.name] + 1,
                       lambda p=program, w=workload: f'{p.name}: {fds[p.name]} descriptors before, {descriptors(p, w)} after', 30)
            if not (labs.ASAN or labs.TSAN):
                growth = hot[program.name] - pair.warm[program.name]
                assert growth < 2 << 20, f'{program.name} has grown by {growth} bytes'
