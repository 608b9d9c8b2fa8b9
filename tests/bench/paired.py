#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares two variants in one run, alternately, by the median of the ratios of neighbours: other load on the machine
then affects both alike.

    paired.py resumption    CPU of a new connection: sessions resumed / full handshakes
    paired.py rotation      99th percentile of latency: certificates rotated all the time / not at all
    paired.py key           CPU (agents included) and 99th percentile of a new connection, and memory of an idle one: the
                            private key in the agent / in the sidecar

Rotation: both sides get a new certificate --swaps times a second, both at once, swapped as the kubelet does it.
Meanwhile, a load of a fixed rate (a part of what the pair can do) sends requests on kept connections and on new ones.
Needs nginx-light, wrk, curl, openssl and python3-cryptography.
"""
import argparse
import contextlib
import copy
import multiprocessing
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time

import bench

sys.path.insert(0, str(bench.ROOT / "tests/lib"))
REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n%b\r\n"


def beside(place, name):
    """Returns the same certificates and backend in a folder of its own, with other ports."""
    other = copy.copy(place)
    other.dir = place.dir / name
    other.dir.mkdir()
    for file in ("ca.pem", "client.pem", "client.key", "server.pem", "server.key"):
        shutil.copy(place / file, other / file)
    other.outbound, other.inbound = bench.free_port(), bench.free_port()
    return other


def in_turns(rounds, one, other):
    """Returns [(one(), other())], run in alternating order."""
    pairs = []
    for number in range(rounds):
        if number % 2 == 0:
            first = one()
            pairs.append((first, other()))
        else:
            second = other()
            pairs.append((one(), second))
        print(f"round {number + 1}: {pairs[-1][0]} {pairs[-1][1]}", file=sys.stderr)
    return pairs


def start(place, name, tls, options, stack):
    """Starts a pair of sidecars with those lines in [tls]."""
    there = beside(place, name)
    group = stack.enter_context(bench.processes(there, bench.pair_fairlead(there, options, tls)))
    bench.wait_for("an answer", lambda: bench.answers(there))
    return there, group


def new_connections(there, group, options):
    """Returns (CPU microseconds of one, 99th percentile of its latency in microseconds), with 32 at a time."""
    before = bench.cpu_seconds(group)
    requests, latency = bench.wrk(there, 32, options.seconds, "-H", "Connection: close", percentile=99)
    return round((bench.cpu_seconds(group) - before) / requests * 1e6, 1), latency


# --- resumption -------------------------------------------------------------------------------------------


def resumption(place, options, stack):
    def us_per_conn(there, group):
        return new_connections(there, group, options)[0]
    resumed, full = (start(place, name, f"reuse = off\ntickets = {tickets}", options, stack) for name, tickets in
                     (("resumed", "on"), ("full", "off")))
    pairs = in_turns(options.rounds, lambda: us_per_conn(*resumed), lambda: us_per_conn(*full))
    for number, what in enumerate(("resumed", "full")):
        print(f"{what}: {statistics.median(pair[number] for pair in pairs):.0f} us of CPU a connection")
    print(f"ratio: {statistics.median(a / b for a, b in pairs):.2f}")


# --- key --------------------------------------------------------------------------------------------------


def key(place, options, stack):
    for what, tickets in (("full", "off"), ("resumed", "on")):
        agent, sidecar = (start(place, f"{what}-{where}", f"key = {where}\nreuse = off\ntickets = {tickets}", options, stack)
                          for where in ("agent", "sidecar"))
        pairs = in_turns(options.rounds, lambda: new_connections(*agent, options), lambda: new_connections(*sidecar, options))
        for number, (figure, unit) in enumerate((("CPU of a new connection", "us"), ("99th percentile", "us"))):
            ratios = sorted(one[number] / other[number] for one, other in pairs)
            ours, theirs = (statistics.median(pair[side][number] for pair in pairs) for side in (0, 1))
            print(f"{what}, {figure}: {ours:.0f} {unit} agent, {theirs:.0f} {unit} sidecar; ratio: median "
                  f"{statistics.median(ratios):.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f}")
        if what == "full":
            idle = in_turns(2, lambda: bench.idle_connections(*agent, 1000), lambda: bench.idle_connections(*sidecar, 1000))
            print(f"memory of an idle connection, both sides: {statistics.median(one for one, _ in idle):.2f} KB agent, "
                  f"{statistics.median(other for _, other in idle):.2f} KB sidecar")


# --- rotation ---------------------------------------------------------------------------------------------


class Load:
    """Sends requests at a fixed rate, in a thread. Records the latencies of the current phase, in seconds."""

    def __init__(self, rate, ask):
        self.every, self.ask, self.found = 1 / rate, ask, []
        self.over = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        due, pace = time.monotonic(), threading.Event()
        while not self.over:
            due = max(due + self.every, time.monotonic() - 1)
            pace.wait(max(due - time.monotonic(), 0))
            begin = time.perf_counter()
            self.ask()
            self.found.append(time.perf_counter() - begin)

    def stop(self):
        self.over = True
        self.thread.join()


def answered(sock, more):
    sock.sendall(REQUEST % more)
    data = sock.recv(4096)
    while not data.endswith(b"x" * 128):
        data += sock.recv(4096)


class Rotation:
    """Swaps the Secrets of both sides while it is on. It is a process of its own, so that the load does not wait for
    it. The Secrets are written beforehand: that is the kubelet's work, and on two cores everything else would wait for
    it."""

    def __init__(self, volumes, secrets, rate):
        self.volumes, self.every = volumes, 1 / rate
        self.prepared = [[one.prepare(content) for content in contents] for one, contents in zip(volumes, secrets)]
        self.on, self.over, self.swaps = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Value("i", 0)
        self.process = multiprocessing.Process(target=self.run)
        self.process.start()

    def run(self):
        while not self.over.is_set():
            if not self.on.wait(0.1):
                continue
            for one, stamps in zip(self.volumes, self.prepared):
                one.swap(stamps[self.swaps.value % len(stamps)])
            self.swaps.value += 1
            time.sleep(self.every)

    def stop(self):
        self.over.set()
        self.process.join()


def rotation(place, options, stack):
    import pki
    import volume
    root = pki.CA("bench.example")
    sides = {"client": bench.CLIENT_ID, "server": bench.SERVER_ID}
    volumes = [volume.Volume(place / f"{name}-volume") for name in sides]
    count = int(options.rounds * options.seconds * options.swaps) + 1
    secrets = [[volume.secret(root.issue(identity), root) for _ in range(count)] for identity in sides.values()]
    for one, content in zip(volumes, secrets):
        one.write(content[-1])

    def commands():
        for name, command in bench.pair_fairlead(place, options):
            ini = command[-1]
            text = ini.read_text()
            for side in sides:
                text = text.replace(f"{place / side}.pem", f"{place / side}-volume/tls.crt").replace(
                    f"{place / side}.key", f"{place / side}-volume/tls.key")
                if f"{side}-volume" in text:
                    text = text.replace(f"bundle = {place / 'ca.pem'}", f"bundle = {place / side}-volume/ca.crt")
            ini.write_text(text)
            yield name, command
    place.outbound, place.inbound = bench.free_port(), bench.free_port()  # issuing the certificates took long
    # Writes all of them first: the INI of a running one must not be written again.
    group = stack.enter_context(bench.processes(place, list(commands())))
    bench.wait_for("an answer", lambda: bench.answers(place))
    rotating = Rotation(volumes, secrets, options.swaps)  # before any thread starts
    stack.callback(rotating.stop)
    kept = [socket.create_connection(("127.0.0.1", place.outbound)) for _ in range(16)]
    for sock in kept:
        stack.enter_context(sock)

    def on_kept():
        kept.append(kept.pop(0))
        answered(kept[-1], b"")

    def on_new():
        with socket.create_connection(("127.0.0.1", place.outbound)) as sock:
            answered(sock, b"Connection: close\r\n")
    loads = {"a request": Load(options.requests, on_kept), "a new connection": Load(options.connects, on_new)}
    for one in loads.values():
        stack.callback(one.stop)

    def phase():
        for load in loads.values():
            load.found = []
        before = bench.cpu_seconds(group)
        time.sleep(options.seconds)
        cpu = (bench.cpu_seconds(group) - before) / options.seconds
        return {**{name: round(statistics.quantiles(load.found, n=100)[98] * 1e3, 2) for name, load in loads.items()},
                "cpu": round(cpu, 2)}

    def quiet():
        time.sleep(0.5)
        return phase()

    def rotated():
        rotating.on.set()
        time.sleep(0.5)
        found = phase()
        rotating.on.clear()
        return found
    pairs = in_turns(options.rounds, rotated, quiet)
    used = (place / "logs/out-sidecar.log").read_text().count('"generation in use"')
    print(f"{rotating.swaps.value} swaps of each side; {used} generations came into use")
    for name in loads:
        ours, theirs = ([pair[number][name] for pair in pairs] for number in (0, 1))
        print(f"{name}: 99th percentile {statistics.median(ours):.2f} ms rotated, {statistics.median(theirs):.2f} ms "
              f"not; ratio of the medians {statistics.median(ours) / statistics.median(theirs):.2f}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["resumption", "rotation", "key"])
    parser.add_argument("--build", default=bench.ROOT / "build", help="build directory (default: build)")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    parser.add_argument("--groups", default="X25519", help="[tls] groups")
    parser.add_argument("--swaps", type=float, default=10, help="a second, of each side")
    parser.add_argument("--requests", type=float, default=400, help="a second, on kept connections")
    parser.add_argument("--connects", type=float, default=50, help="a second")
    return parser.parse_args()


def main():
    options = parse_arguments()
    sys.setswitchinterval(0.0002)  # because the two loads share an interpreter
    run = {"resumption": resumption, "rotation": rotation, "key": key}[options.what]
    with tempfile.TemporaryDirectory(prefix="fairlead-bench.") as directory, contextlib.ExitStack() as stack:
        place = bench.Place(directory)
        stack.enter_context(bench.backend(place))
        run(place, options, stack)


if __name__ == "__main__":
    main()
