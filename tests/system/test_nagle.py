# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests peers of other implementations without TCP_NODELAY. Their kernel holds back a small packet until the last one
is acknowledged. An acknowledgement that waits for data to go with it would cost them 40 ms each time."""
import socket
import ssl
import time

import pytest

import lab as labs
import peers

ROUNDS = 9


def typical(times):
    """Returns the typical time of a connection in ms: a delay of the kernel is in all of them, one of a busy machine
    only in some."""
    return sorted(times)[ROUNDS // 4] * 1000


def answer(sock):
    """Answers each question of eight bytes."""
    with sock.makefile('rb') as file:
        while file.read(8):
            sock.sendall(b'answer')


class InPieces:
    """A TLS client that sends each of its flights in two packets."""

    def __init__(self, context, sock):
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.step(self.tls.do_handshake)

    def push(self):
        data = self.outgoing.read()
        for part in data[:len(data) // 2], data[len(data) // 2:]:
            if part:
                self.sock.send(part)

    def step(self, work):
        while True:
            try:
                result = work()
                self.push()
                return result
            except ssl.SSLWantReadError:
                self.push()
                self.incoming.write(self.sock.recv(1 << 16))

    def sendall(self, data):
        self.tls.write(data)
        self.push()

    def recv(self, size):
        return self.step(lambda: self.tls.read(size))


def whole(context, sock):
    return context.wrap_socket(sock)


def typical_ms(port, context, wrap, nodelay, questions):
    times = []
    for _ in range(ROUNDS):
        begin = time.monotonic()
        with socket.create_connection(('127.0.0.1', port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
            tls = wrap(context, sock)
            for part in questions:
                tls.sendall(part)
            assert tls.recv(100) == b'answer'
            times.append(time.monotonic() - begin)
            if wrap is whole:
                tls.close()
    return typical(times)


@pytest.mark.parametrize('alpn', [None, 'fairlead/1'])
@pytest.mark.parametrize('wrap, questions', [
    pytest.param(whole, [b'question'], id='the request behind the handshake'),
    pytest.param(whole, [b'ques', b'tion'], id='the request in two'),
    pytest.param(InPieces, [b'question'], id='each flight in two')])
def test_client_without_nodelay(lab, app, wrap, questions, alpn):
    if alpn and len(questions) > 1:
        pytest.skip('who speaks our protocol writes a request in one')
    inbound = lab.inbound(app(answer).port)
    context = peers.context(False, lab.client, lab.root)
    if alpn:
        context.set_alpn_protocols([alpn])
    with_it, without = (typical_ms(inbound.port, context, wrap, value, questions) for value in (1, 0))
    assert without < with_it + 25 * labs.SLOW


def test_server_without_nodelay(lab, app):
    """The server sends its tickets, and then its data."""
    held = []

    def serve(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, held[-1])
        context = peers.context(True, lab.server, lab.root)
        with context.wrap_socket(sock, server_side=True) as tls:
            for part in b'hel', b'lo':
                tls.sendall(part)
            tls.recv(1)
    outbound = lab.outbound(app(serve).port)

    def of(nodelay):
        held.append(nodelay)
        times = []
        for _ in range(ROUNDS):
            begin = time.monotonic()
            with labs.connect(outbound.port) as sock, sock.makefile('rb') as file:
                assert file.read(5) == b'hello'
            times.append(time.monotonic() - begin)
        return typical(times)
    assert of(0) < of(1) + 25 * labs.SLOW
