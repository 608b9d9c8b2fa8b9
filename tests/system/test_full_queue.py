# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests who waits, and who is told what, when the queue of an app at a Unix socket is full."""
import json
import socket
import threading

import pytest

import lab as labs
import peers
from lab import connect, read_all, wait_until


class Listener:
    """A path that accepts only when told to. Its queue holds room connections."""

    def __init__(self, path, room=1):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen(room - 1)
        self.sock.settimeout(10 * labs.SLOW)
        self.fill = []

    def fill_up(self):
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            try:
                sock.connect(str(self.path))
            except BlockingIOError:
                sock.close()
                return
            self.fill.append(sock)

    def accept(self):
        sock, _ = self.sock.accept()
        sock.settimeout(10 * labs.SLOW)
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        for sock in self.fill:
            sock.close()


def open_connections(workload):
    return json.loads(workload.get('/status')[1])['connections']['inbound']['open']


@pytest.mark.parametrize('workers', [1, 2])
def test_an_app_that_accepts_slowly_gets_all_connections(lab, workers):
    """It takes one at a time, and has room for two more."""
    with Listener(lab.folder / 'app.sock', 2) as app:
        inbound = lab.inbound(f'unix:{app.path}', {'sidecar': {'workers': workers}})
        outbound = lab.outbound(inbound.port)
        answers = []

        def ask(number):
            with connect(outbound.port) as sock:
                sock.sendall(bytes([number]))
                sock.shutdown(socket.SHUT_WR)
                answers.append((number, read_all(sock)))
        clients = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(12)]
        for client in clients:
            client.start()
        wait_until(lambda: open_connections(inbound) == 12, 'all wait, or are in the queue')
        for _ in clients:
            with app.accept() as sock:
                sock.sendall(read_all(sock) * 2)
        for client in clients:
            client.join()
        assert sorted(answers) == [(number, bytes([number]) * 2) for number in range(12)]
        assert not inbound.sidecar.lines(msg='service fails')


def test_an_app_that_hangs(lab):
    """The connection ends after connect_timeout, and the log says that the app does not accept."""
    with Listener(lab.folder / 'app.sock') as app:
        app.fill_up()
        inbound = lab.inbound(f'unix:{app.path}', {'limits': {'connect_timeout': '300ms'}})
        assert peers.verdict(inbound.port, lab.client, lab.root) == 'closed'
        line = inbound.wait_line(reason='app_connect_timeout')
        assert line['duration_s'] >= 0.295 and line['app_addr'] == f'unix:{app.path}'
        assert 'does not accept' in inbound.wait_line(msg='service fails')['remedy']
