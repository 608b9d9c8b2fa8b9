# SPDX-License-Identifier: GPL-3.0-or-later
"""Crowds of connections that are judged again, for the system tests."""
import contextlib
import json
import resource
import select
import selectors
import socket
import ssl
import threading

import pytest

import lab as labs
import peers
from lab import connect, end_of, wait_until
from volume import mounted, secret

TD = labs.TD
THOUSAND = 1000 // labs.SLOW  # fewer of them under a sanitizer


def identity(name):
    return f'spiffe://{TD}/ns/test/sa/{name}'


# --- helpers ----------------------------------------------------------------------------------------

class Echo:
    """An app for thousands of simultaneous connections."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.selector, self.over = selectors.DefaultSelector(), threading.Event()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            for key, _ in self.selector.select(0.1):
                if key.fileobj is self.listener:
                    self.selector.register(self.listener.accept()[0], selectors.EVENT_READ)
                else:
                    self.answer(key.fileobj)

    def answer(self, sock):
        data = b''
        with contextlib.suppress(ConnectionError):
            data = sock.recv(1 << 16)
            sock.sendall(data)
        if not data:
            self.selector.unregister(sock)
            sock.close()

    def close(self):
        self.over.set()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


@pytest.fixture
def echo():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
    made = Echo()
    yield made
    made.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Live connections, each with the name of its kind."""

    def __init__(self):
        self.all = []

    def add(self, kind, number, dial):
        for _ in range(number):
            sock = dial()
            sock.sendall(b'ping')
            assert sock.recv(4) == b'ping'
            self.all.append((kind, sock))

    def alive(self, sock):
        """Returns whether the connection still echoes, without late or lost bytes."""
        try:
            sock.sendall(b'more')
            return sock.recv(4) == b'more'
        except (OSError, ssl.SSLError):
            return False

    def ended(self):
        """Returns the connections that received something unasked: their end."""
        poll, by_fd = select.poll(), {}
        for kind, sock in self.all:
            poll.register(sock.fileno(), select.POLLIN)
            by_fd[sock.fileno()] = (kind, sock)
        return [by_fd[fd] for fd, _ in poll.poll(0)]

    def expect(self, kinds, alert=None):
        """Waits until all connections of these kinds, and no others, have ended with this alert."""
        wanted = [pair for pair in self.all if pair[0] in kinds]
        wait_until(lambda: len(self.ended()) >= len(wanted), lambda: f'{len(self.ended())} of {len(wanted)} ended')
        ended = self.ended()
        assert sorted(kind for kind, _ in ended) == sorted(kind for kind, _ in wanted)
        for _, sock in ended:
            assert how_it_ended(sock) in ((alert,) if alert else ('eof', 'reset'))
        self.drop(ended)
        self.expect_alive()

    def drop(self, ended):
        gone = {id(sock) for _, sock in ended}
        for _, sock in ended:
            sock.close()
        self.all = [pair for pair in self.all if id(pair[1]) not in gone]

    def expect_alive(self):
        dead = [kind for kind, sock in self.all if not self.alive(sock)]
        assert not dead, f'{len(dead)} of {len(self.all)} have gone: {dead[:3]}'

    def close(self):
        for _, sock in self.all:
            sock.close()


def how_it_ended(sock):
    """Returns the alert's number, 'eof' or 'reset'."""
    try:
        return end_of(sock)
    except ssl.SSLEOFError:
        return 'reset'
    except ssl.SSLError as error:
        return peers.alert_of(error) or str(error)


@pytest.fixture
def crowd():
    made = Crowd()
    yield made
    made.close()


def tls_dialler(port, svid, root, session=None):
    context = peers.context(False, svid, root)
    return lambda: peers.wrap(context, no_delay(connect(port)), session=session)


def no_delay(sock):
    """Sets TCP_NODELAY. Otherwise the first bytes would wait 40 ms for an acknowledgement, a thousand times."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def judged_inbound(lab, echo, *roots, crl=None, sections=None, **options):
    made, volume = mounted(lab, 'back', sections)
    volume.write({**secret(lab.server, *(roots or (lab.root,))), **({'crl.pem': crl} if crl else {})})
    if crl:
        made['identity']['crl'] = volume / 'crl.pem'
    made = labs.merge({'limits': {'connections': 4096}}, made)
    workload = lab.inbound(echo.port, made, **options)
    workload.volume = volume
    return workload


def status(workload):
    return json.loads(workload.get('/status')[1])


def judgement(workload, number):
    """Waits for the judgement of this generation and returns it."""
    def done():
        last = status(workload)['last_judgement']
        return last if last and last['generation'] == number and last['done'] else None
    return wait_until(done, lambda: f'no judgement: {status(workload)["last_judgement"]}')


def closed(workload, reason, direction='inbound'):
    return workload.metric('fairlead_connections_closed_total', direction=direction, reason=reason)


def outbound_to(lab, port, *roots, sections=None):
    made, volume = mounted(lab, 'front', sections)
    volume.write(secret(lab.client, *(roots or (lab.root,))))
    workload = lab.outbound(port, made)
    workload.volume = volume
    return workload
