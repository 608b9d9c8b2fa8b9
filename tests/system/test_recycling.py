# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests connections that end because of their age or because they belong to an older generation."""
import select
import ssl
import threading
import time

import pytest

import lab as labs
import peers
from crowds import closed, Crowd, crowd, echo, how_it_ended, judged_inbound, judgement, outbound_to, status, \
    tls_dialler
from lab import connect, end_of, read_all, wait_until
from volume import secret

# --- recycling ------------------------------------------------------------------------------------------------

class Talker(threading.Thread):
    """Sends data, checks the answer, pauses, and repeats. Records how and when the connection ended."""

    def __init__(self, sock, pause, size=20000):
        super().__init__()
        self.sock, self.pause, self.size = sock, pause, size
        self.how, self.when, self.rounds, self.over = None, None, 0, threading.Event()
        self.start()

    def run(self):
        data = bytes(range(256)) * (self.size // 256)
        try:
            while not self.over.is_set():
                self.sock.sendall(data)
                got = b''
                while len(got) < len(data):
                    chunk = self.sock.recv(1 << 16)
                    if not chunk:
                        self.how = 'eof' if not got else 'cut'
                        return
                    got += chunk
                assert got == data
                self.rounds += 1
                if self.pause and select.select([self.sock], [], [], self.pause)[0]:
                    self.how = how_it_ended(self.sock)
                    return
        except (OSError, ssl.SSLError) as error:
            self.how = f'{error!r}'
        finally:
            self.when = time.monotonic()


@pytest.mark.heavy
def test_recycle(lab, echo, crowd):
    """Idle connections end first, spread over time, at a pause and cleanly: no byte is lost, and new connections are
    not touched."""
    inbound = judged_inbound(lab, echo, sections={'rotation': {'recycle': f'{6 * labs.PACE}s'}})
    dial = tls_dialler(inbound.port, lab.client, lab.root)
    crowd.add('idle', 20, dial)
    talkers = [Talker(dial(), pause=1.2 * labs.PACE) for _ in range(10)]
    wait_until(lambda: all(one.rounds > 1 for one in talkers), 'they do not talk', timeout=30)
    inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
    judgement(inbound, 2)
    begin = time.monotonic()
    fresh = Crowd()
    fresh.add('new', 5, dial)
    ends = {}

    def all_ended():
        for kind, sock in crowd.ended():
            ends.setdefault(id(sock), time.monotonic())
            assert kind == 'idle'
        return len(ends) == 20 and not any(one.is_alive() for one in talkers)
    wait_until(all_ended, lambda: f'{len(ends)} and {[one.how for one in talkers]}', timeout=60)
    for _, sock in crowd.all:
        assert how_it_ended(sock) == 'eof'
    assert {one.how for one in talkers} == {'eof'}
    fresh.expect_alive()
    fresh.close()
    assert closed(inbound, 'recycled') == 30
    times = sorted(end - begin for end in ends.values())
    busy = sorted(one.when - begin for one in talkers)
    assert times[-1] - times[0] > 0.5, f'not spread: {times}'
    assert times[len(times) // 2] < busy[len(busy) // 2], f'not the idle ones first: {times}, {busy}'


@pytest.mark.heavy
def test_recycle_over_reused_sessions(lab, echo, crowd):
    """A connection in a session that has carried another one ends as cleanly, with all of its bytes, and takes its
    session with it."""
    inbound = judged_inbound(lab, echo, sections={'rotation': {'recycle': f'{4 * labs.PACE}s'}})
    outbound = lab.outbound(inbound.port)
    count = 6
    before = [connect(outbound.port) for _ in range(count)]
    for sock in before:
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
    for sock in before:
        sock.shutdown(1)
        assert read_all(sock) == b''
        sock.close()
    wait_until(lambda: status(outbound)['sessions']['outbound']['idle'] == count, 'they wait for the next ones')
    crowd.add('idle', count // 2, lambda: connect(outbound.port))
    talkers = [Talker(connect(outbound.port), pause=0.8 * labs.PACE) for _ in range(count // 2)]
    wait_until(lambda: all(one.rounds > 1 for one in talkers), 'they do not talk', timeout=30)
    inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
    judgement(inbound, 2)
    wait_until(lambda: len(crowd.ended()) == count // 2 and not any(one.is_alive() for one in talkers),
               lambda: f'{len(crowd.ended())} and {[one.how for one in talkers]}', timeout=60)
    assert {how_it_ended(sock) for _, sock in crowd.all} == {one.how for one in talkers} == {'eof'}
    assert closed(inbound, 'recycled') == count
    assert [line['use'] for line in inbound.sidecar.lines(reason='recycled')] == [2] * count
    for workload, direction in (inbound, 'inbound'), (outbound, 'outbound'):
        wait_until(lambda: sum(status(workload)['sessions'][direction][state] for state in ('busy', 'idle')) == 0,
                   'no session is left')
        assert status(workload)['sessions'][direction] == {'busy': 0, 'idle': 0, 'cold': count, 'reused': count}


@pytest.mark.heavy
def test_recycle_of_one_that_never_pauses(lab, echo):
    """When the time is over, the connection is reset, which no app takes for a clean end."""
    inbound = judged_inbound(lab, echo, sections={'rotation': {'recycle': f'{6 * labs.PACE}s'}})
    talker = Talker(tls_dialler(inbound.port, lab.client, lab.root)(), pause=0)
    wait_until(lambda: talker.rounds > 1, 'it does not talk')
    inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
    inbound.wait_line(reason='recycled', timeout=20)
    talker.join(10 * labs.SLOW)
    assert any(word in talker.how for word in ('Reset', 'EOF', 'BrokenPipe')), talker.how
    assert talker.rounds > 5


@pytest.mark.heavy
def test_an_answer_that_takes_its_time(lab, app):
    """A connection that waits for an answer is not idle, however long the silence."""
    asked, answer = threading.Event(), threading.Event()

    def think(sock):
        while data := sock.recv(100):
            if data == b'hard':
                asked.set()
                answer.wait(60)
            sock.sendall(data)
    server = app(think)
    inbound = judged_inbound(lab, server, sections={'rotation': {'recycle': f'{8 * labs.PACE}s'}})
    with tls_dialler(inbound.port, lab.client, lab.root)() as hard, \
            tls_dialler(inbound.port, lab.client, lab.root)() as easy:
        for sock, question in ((hard, b'hard'), (easy, b'easy')):
            sock.sendall(question)
        assert easy.recv(4) == b'easy' and asked.wait(10)
        inbound.volume.write(secret(lab.root.issue(labs.SERVER), lab.root))
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 1.6 * labs.PACE, 'time does not pass', timeout=20)
        answer.set()
        assert hard.recv(4) == b'hard'
        assert end_of(hard) == end_of(easy) == 'eof'


def test_max_age(lab, echo, crowd):
    """The connection ends at a pause, cleanly. The one that replaces it lives as long."""
    inbound = judged_inbound(lab, echo, sections={'limits': {'max_age': f'{2 * labs.PACE}s', 'connections': 100}})
    begin = time.monotonic()
    crowd.add('old', 5, tls_dialler(inbound.port, lab.client, lab.root))
    wait_until(lambda: len(crowd.ended()) == 5, 'they live on')
    assert time.monotonic() - begin > 1.7 * labs.PACE
    assert {how_it_ended(sock) for _, sock in crowd.all} == {'eof'}
    assert closed(inbound, 'max_age') == 5
    talker = Talker(tls_dialler(inbound.port, lab.client, lab.root)(), pause=0)
    wait_until(lambda: closed(inbound, 'max_age') == 6, 'the busy one lives on')
    talker.join(10 * labs.SLOW)
    assert not talker.is_alive()


def test_max_age_on_the_way_out(lab, app, crowd):
    server = peers.Server(app, lab.server, lab.root)
    outbound = outbound_to(lab, server.port, sections={'limits': {'max_age': f'{labs.PACE}s'}})
    crowd.add('old', 3, lambda: connect(outbound.port))
    wait_until(lambda: len(crowd.ended()) == 3, 'they live on')
    assert {how_it_ended(sock) for _, sock in crowd.all} == {'eof'}
    assert closed(outbound, 'max_age', 'outbound') == 3
    for thread in server.app.threads[1:]:
        thread.join(10 * labs.SLOW)
    assert len(server.peers) == 3 and (server.alerts, server.truncated) == ([], 0)
