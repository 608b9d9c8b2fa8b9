# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that who asks the agent for signatures without end keeps nobody from his, nor the agent from its other work, neither by the
time that they take nor by the rate that the INI allows, and that no number of callers has it take more memory than its container
has."""
import array
import contextlib
import fcntl
import re
import struct
import termios
import threading
import time

import pytest

import lab as labs
from false_agent import GENERATION, HELLO, SIGN, SIGNED, frame
from false_sidecar import FalseSidecar, hello, split
from lab import connect, SLOW, wait_until
from test_key import FULL, RATE, RSA_PSS, SIGNED_OK, Signing, item, key_name, ping, web  # noqa: F401

EACH = 200  # requests in a message, for some 70 ms
SANITIZED = labs.ASAN or labs.TSAN
PATIENCE = 2  # seconds that a worker waits


class Flood:
    """A connection that asks for many signatures, and reads them as fast as they come."""

    def __init__(self, web, key, messages):
        self.sock = connect(web.folder / 'agent.sock')
        self.sock.settimeout(None)
        one = [frame(SIGN, b''.join(item(number * EACH + i, key, scheme=RSA_PSS) for i in range(EACH)))
               for number in range(messages)]
        self.want, self.got = messages * EACH, b''
        self.threads = [threading.Thread(target=self.send, args=(b''.join(one),), daemon=True),
                        threading.Thread(target=self.read, daemon=True)]
        for thread in self.threads:
            thread.start()

    def send(self, data):
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def read(self):
        with contextlib.suppress(OSError):
            while chunk := self.sock.recv(1 << 20):
                self.got += chunk

    def answers(self):
        """[(number, result)] so far."""
        at, found = 0, []
        while len(self.got) - at >= 12:
            magic, kind, size = struct.unpack('>4sH2xI', self.got[at:at + 12])
            assert (magic, kind) == (b'FLC1', SIGNED)
            if len(self.got) - at - 12 < size:
                break
            found += [(struct.unpack('>I', value[:4])[0], value[4]) for _, value in split(self.got[at + 12:at + 12 + size])]
            at += 12 + size
        return found

    def close(self):
        self.sock.close()


@pytest.fixture
def svid(lab):
    return lab.root.issue(labs.SERVER, key='rsa2048')


def worst_wait(worker, until, **request):
    """Of a worker that asks again and again."""
    worst = 0
    while not until():
        start = time.monotonic()
        assert worker.ask(**request) == SIGNED_OK
        worst = max(worst, time.monotonic() - start)
    return worst


# --- turns -------------------------------------------------------------------------------------------------

@pytest.fixture
def turns(web, svid):
    """An agent that may sign as often as it can; a sidecar that has its generation, a worker, and the key's name."""
    web.mount(svid)
    web.change({'agent': {'signatures': 1000000}})
    web.start_agent()
    with FalseSidecar(web) as sidecar, Signing(web) as worker:
        sidecar.take()
        yield sidecar, worker, key_name(svid)


def test_one_that_asks_without_end_keeps_nobody_waiting(web, turns):
    """And it gets all of its answers, in order."""
    _, worker, key = turns
    flood = Flood(web, key, 20)
    assert worst_wait(worker, lambda: len(flood.got) >= flood.want * 260, key=key, scheme=RSA_PSS) < 0.5 * SLOW
    wait_until(lambda: len(flood.answers()) == flood.want, 'not all is answered', timeout=30)
    assert flood.answers() == [(number, SIGNED_OK) for number in range(flood.want)]
    flood.close()


@pytest.mark.heavy
def test_a_hundred_that_ask_without_end_keep_nobody_waiting(web, lab, turns):
    """Nor from the next generation, nor the agent from its end."""
    sidecar, worker, key = turns
    floods = [Flood(web, key, 10) for _ in range(100)]
    end = time.monotonic() + 4
    assert worst_wait(worker, lambda: time.monotonic() > end, key=key, scheme=RSA_PSS) < PATIENCE * SLOW
    assert sum(len(flood.got) for flood in floods) < 100 * 10 * EACH * 260, 'it went on all the time'
    web.mount(lab.root.issue(labs.SERVER))
    assert sidecar.next().number == 2
    start = time.monotonic()
    assert web.agent.stop() == 0
    assert time.monotonic() - start < 1 * SLOW
    for flood in floods:
        flood.close()


@pytest.mark.heavy
def test_a_flood_does_not_keep_a_sidecar_from_its_handshakes(lab, app, svid):
    pair = lab.pair(app().port, common={**FULL, 'agent': {'signatures': 1000000}}, server=svid)
    assert ping(pair.port)
    flood = Flood(pair.inbound, key_name(svid), 20)
    while len(flood.got) < flood.want * 260:
        start = time.monotonic()
        assert ping(pair.port)
        assert time.monotonic() - start < 0.7 * SLOW
    assert pair.inbound.metric('fairlead_signing_down') == 0
    flood.close()


def test_some_tens_of_requests_are_answered_in_one_piece(web, lab):
    web.start_agent()
    with FalseSidecar(web) as sidecar, Signing(web) as worker:
        sidecar.take()
        worker.send(frame(SIGN, b''.join(item(number, key_name(lab.server)) for number in range(50))))
        kind, payload = worker.message()
        assert kind == SIGNED and len(list(split(payload))) == 50


# --- the rate ----------------------------------------------------------------------------------------------

class EndlessFlood(Flood):
    """Of requests for ECDSA, which take little time."""

    def __init__(self, web, key):
        self.one = frame(SIGN, b''.join(item(number, key) for number in range(EACH)))
        self.is_over = False
        super().__init__(web, key, 0)

    def send(self, data):
        with contextlib.suppress(OSError):
            while not self.is_over:
                self.sock.sendall(self.one)

    def read(self):
        with contextlib.suppress(OSError):
            while chunk := self.sock.recv(1 << 20):
                self.got = chunk

    def close(self):
        self.is_over = True
        super().close()


@pytest.fixture
def floods(request):
    """Makes some against a workload's agent, and waits until all have had an answer."""
    made = []

    def make(web, key, count):
        made.extend(EndlessFlood(web, key) for _ in range(count))
        wait_until(lambda: all(flood.got for flood in made), 'the flood has not begun', timeout=30)
    yield make
    for flood in made:
        flood.close()


def test_a_request_that_is_refused_takes_nothing_of_the_rate(web, lab, floods):
    """With another key, role, scheme or hash."""
    key = key_name(lab.server)
    web.change({'agent': {'signatures': 10}})
    web.start_agent()
    with FalseSidecar(web) as sidecar, Signing(web) as worker:
        sidecar.take()
        for refused in {'key': bytes(32)}, {'key': key, 'role': 7}, {'key': key, 'scheme': RSA_PSS}, {'key': key, 'digest': b'x'}:
            results = [answer[0] for answer in worker.ask_all([refused] * 50)]
            assert len(results) == 50 and not {SIGNED_OK, RATE} & set(results), refused
        assert [answer[0] for answer in worker.ask_all([{'key': key}] * 10)] == [SIGNED_OK] * 10


@pytest.mark.heavy
@pytest.mark.parametrize('count', [1, 30])
@pytest.mark.parametrize('kind', ['a key that is not there', 'the key'])
def test_by_default_too_a_flood_leaves_a_sidecar_its_handshakes(lab, app, floods, kind, count):
    """As many connections as the sidecars of a larger pod have. [agent] signatures has its default."""
    pair = lab.pair(app().port, common=FULL)
    assert ping(pair.port)
    floods(pair.inbound, key_name(lab.server) if kind == 'the key' else bytes(32), count)
    for _ in range(200):
        start = time.monotonic()
        assert ping(pair.port)
        assert time.monotonic() - start < 1 * SLOW
    assert pair.inbound.metric('fairlead_signing_down') == 0
    if kind != 'the key':
        assert pair.inbound.metric('fairlead_signatures_total', result='rate') == 0


# --- memory ------------------------------------------------------------------------------------------------

def callers(web, count, data):
    """Connections that send this, of which the agent has read all."""
    socks = [connect(web.folder / 'agent.sock') for _ in range(count)]
    for sock in socks:
        sock.sendall(data)
    with Signing(web) as worker:
        assert worker.ask_all([]) == [], 'it came after them'
    return socks


@pytest.mark.skipif(SANITIZED, reason='they take memory of their own')
def test_what_callers_begin_takes_bounded_memory(web):
    """The manifests give it 32 MiB. Each has said that it asks for signatures, so it may stay; then it begins a message."""
    web.start_agent()
    web.agent.wait_line(msg='credentials validated')
    before = web.agent.heap()
    begun = frame(SIGN, b'') + frame(SIGN, bytes(16384))[:-1]
    socks = callers(web, 510, begun)
    assert 1 << 20 < web.agent.heap() - before < 12 << 20
    for sock in socks:
        sock.close()


@pytest.mark.skipif(SANITIZED, reason='they take memory of their own')
def test_answers_that_nobody_reads_take_bounded_memory(web, lab):
    """Each asks until nothing more is taken from it."""
    web.change({'agent': {'signatures': 10000000}})
    web.start_agent()
    web.agent.wait_line(msg='credentials validated')
    one = frame(SIGN, b''.join(item(number, key_name(lab.server)) for number in range(EACH)))
    before = web.agent.heap()
    rest = {connect(web.folder / 'agent.sock'): b'' for _ in range(10)}

    def is_stuck():
        moved = False
        for sock in rest:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    rest[sock] = rest[sock] or one
                    rest[sock] = rest[sock][sock.send(rest[sock]):]
                    moved = True
        with Signing(web) as worker:
            assert worker.ask_all([]) == [], 'it has had its turn behind them'
        return not moved

    wait_until(lambda: is_stuck() and is_stuck(), 'all is taken')
    assert web.agent.heap() - before < len(rest) * 40 << 10
    for sock in rest:
        unread = array.array('i', [0])
        fcntl.ioctl(sock, termios.FIONREAD, unread)
        assert 8000 < unread[0] < 20000, 'the kernel keeps it, for the agent'
    for sock in rest:
        sock.close()


@pytest.mark.parametrize('kind, size', [(GENERATION, 8 << 20), (GENERATION, 0), (SIGNED, 0), (SIGN, 16385), (HELLO, 4097)])
def test_a_message_that_no_sidecar_sends_is_refused_at_its_header(web, kind, size):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.send(b'FLC1' + struct.pack('>HHI', kind, 0, size))
        assert sidecar.is_closed()
    assert re.search('only agents do|the maximum is', web.agent.wait_line(msg='sidecar connection closed')['reason'])


def test_only_a_sidecar_may_send_what_is_skipped(web, lab):
    """It costs time, and takes no turn. There are eight sidecars at most, but hundreds of workers."""
    web.start_agent()
    with Signing(web) as worker, FalseSidecar(web) as sidecar:
        sidecar.send(hello() + frame(0x1ff, b'later'))
        assert sidecar.next().number == 1
        sidecar.send(frame(0x1ff, b'later'))
        assert worker.ask_all([]) == []
        worker.send(frame(0x1ff, b''))
        assert worker.is_closed()
        assert 'type 511 is unknown, and no HELLO' in web.agent.wait_line(msg='sidecar connection closed')['reason']
        web.mount(lab.root.issue(labs.SERVER))
        assert sidecar.next().number == 2


@pytest.mark.heavy
def test_who_does_not_end_a_message_is_closed(web, lab):
    web.start_agent()
    with Signing(web) as worker, FalseSidecar(web) as sidecar:
        assert worker.ask_all([]) == []
        sidecar.take()
        for connection in worker, sidecar:
            connection.send(frame(SIGN, bytes(100))[:50])
            connection.sock.settimeout(30 * SLOW)
        assert worker.is_closed() and sidecar.is_closed()
    assert 'the rest of its message' in web.agent.wait_line(msg='sidecar connection closed')['reason']
