# SPDX-License-Identifier: GPL-3.0-or-later
"""Sidecars whose files change, with traffic meanwhile, for the system tests."""
import contextlib
import threading
import time

import pytest

import lab as labs
from lab import connect, wait_until
from volume import mounted, secret

ID = f'spiffe://{labs.TD}/ns/test/sa/'
NAMES = ('tls.crt', 'tls.key', 'ca.crt')


# --- helpers --------------------------------------------------------------------------------------

@pytest.fixture
def pair(lab, app):
    """Returns a pair that runs from volumes: .front is that of the client's sidecar, .back that of the server's."""
    back_sections, back = mounted(lab, 'back')
    front_sections, front = mounted(lab, 'front')
    back.write(secret(lab.server, lab.root))
    front.write(secret(lab.client, lab.root))
    made = lab.pair(app().port, inbound=back_sections, outbound=front_sections)
    made.back, made.front = back, front
    return made


@pytest.fixture
def web(lab):
    """Returns a workload on a volume. Nothing of it is running."""
    sections, volume = mounted(lab, 'web')
    volume.write(secret(lab.server, lab.root))
    workload = lab.inbound(8080, sections, start=False, name='web')
    workload.volume = volume
    return workload


def ping(port):
    """Returns whether a new connection carries bytes."""
    with contextlib.suppress(ConnectionError):
        with connect(port) as sock:
            sock.sendall(b'ping')
            return sock.recv(4) == b'ping'
    return False


def talks(sock):
    sock.sendall(b'more')
    return sock.recv(4) == b'more'


def generations(workload):
    return [line['generation'] for line in workload.sidecar.lines(msg='generation in use')]


def wait_generation(workload, number):
    """Waits until the sidecar uses this generation. Numbers go up by one."""
    wait_until(lambda: generations(workload)[-1:] == [number],
               lambda: f'{workload.name} has {generations(workload)}, not {number}')


def holds(condition, what, seconds=0.4):
    """Checks that the condition holds for a while."""
    until = time.monotonic() + seconds

    def over():
        assert condition(), what
        return time.monotonic() > until
    wait_until(over, what)


class Traffic:
    """Opens new connections and keeps one open, as long as the block lasts. Any failure fails the test."""

    def __init__(self, port):
        self.port, self.stop = port, threading.Event()
        self.count, self.failures = 0, []
        self.threads = [threading.Thread(target=self.run, args=(job,)) for job in (self.come, self.stay)]

    def run(self, job):
        try:
            job()
        except Exception as error:  # noqa: BLE001
            self.failures.append(repr(error))

    def come(self):
        while not self.stop.wait(0.005):
            if not ping(self.port):
                self.failures.append('a new connection failed')
            self.count += 1

    def stay(self):
        with connect(self.port) as sock:
            while not self.stop.wait(0.005):
                assert talks(sock), 'other bytes came back'

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.count > 2 or self.failures, 'no traffic')
        return self

    def __exit__(self, failure, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if failure is None:
            assert not self.failures, f'{len(self.failures)} of {self.count}, first {self.failures[0]}'


@pytest.fixture
def plain(lab, app):
    return lab.pair(app().port)


def put(workload, name, data):
    """Writes in place, as scp and editors do."""
    with open(workload.folder / name, 'wb') as file:
        file.write(data)
