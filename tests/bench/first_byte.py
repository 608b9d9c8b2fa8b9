#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long an app waits for the first byte of an answer on a new connection, in round trips of the network.

    first_byte.py [--delay MS] [--rounds N]

Two pods, captured, with a cable between them that delays each packet by MS milliseconds each way. Prints the median of
each kind: without sidecars, on a reused session, on a new session with a ticket, and with a full handshake.
Needs root and TAP devices. FAIRLEAD_BUILD names the build tree."""
import argparse
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import cable  # noqa: E402
import lab as labs  # noqa: E402
import pods  # noqa: E402

KINDS = {
    "no sidecars": None,
    "reused session": {},
    "new session, ticket": {"tls": {"reuse": "off"}},
    "new session, full handshake": {"tls": {"reuse": "off", "tickets": "off"}},
}


def answer(sock):
    if sock.recv(1 << 16):
        sock.sendall(b"answer")


def wait_for_answer(client, to):
    """Returns the seconds from connect() to the first byte. Closes when the server has closed."""
    began = time.monotonic()
    with client.connect(to) as sock:
        sock.sendall(b"question")
        assert sock.recv(1) == b"a"
        took = time.monotonic() - began
        labs.read_all(sock)
    return took


def measure(delay, rounds, sections):
    sidecar = {"sidecar": False} if sections is None else {"sections": sections}
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder, labs.Lab(folder) as lab, pods.Node(lab) as node:
        client, server = node.pod("client", delay=delay, **sidecar), node.pod("server", **sidecar)
        server.app(answer, 8080)
        times = []
        for _ in range(rounds + 1):  # the first one makes the session, or fetches the ticket
            times.append(wait_for_answer(client, (server.v4, 8080)))
            time.sleep(delay * 4)  # the end of a connection takes its time, too
        return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=10, metavar="MS", help="each way (default: 10)")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="connections of each kind (default: 20)")
    options = parser.parse_args()
    if reason := pods.missing() or cable.missing():
        sys.exit(reason)
    for kind, sections in KINDS.items():
        seconds = measure(options.delay / 1000, options.rounds, sections)
        print(f"{kind:28}  {seconds * 1000:6.1f} ms  {seconds * 1000 / (2 * options.delay):4.1f} round trips")


if __name__ == "__main__":
    main()
