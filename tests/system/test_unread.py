# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that what one end of the agent's socket keeps for another that does not read is bounded, and that one that is only slow
loses nothing."""
import array
import fcntl
import re
import socket
import termios

import pytest

import lab as labs
from false_agent import FalseAgent, GENERATION, HELLO, field, frame, generation
from false_sidecar import FalseSidecar, hello, result
from lab import wait_until

BEAT = 0x102
SANITIZED = labs.ASAN or labs.TSAN
PLACES = 776  # of connections, with those that are closed and not read
LARGE = 400_000  # bytes that an INI is longer: far more than the kernel keeps


@pytest.fixture
def web(lab):
    """A workload of which a test starts only the agent."""
    return lab.inbound('127.0.0.1:9', start=False, name='web')


def unread(connection):
    """Bytes that the kernel has for it."""
    count = array.array('i', [0])
    fcntl.ioctl(connection.sock, termios.FIONREAD, count)
    return count[0]


def start(web, size=LARGE):
    """Starts the agent with an INI of at least that size."""
    web.ini.write_text(web.ini.read_text() + ('# ' + 'x' * 97 + '\n') * (size // 100))
    web.start_agent()
    web.agent.wait_line(msg='credentials validated')


def greet(web, text=None):
    """A sidecar to which the agent has sent a generation, of which it reads nothing."""
    sidecar = FalseSidecar(web)
    sidecar.send(text or hello())
    wait_until(lambda: unread(sidecar) > 100, 'nothing has been sent')
    return sidecar


def refuse(web, name):
    """Has the agent refuse a candidate, of which it sends a note. Returns the INI of before."""
    good = web.ini.read_text()
    web.ini.write_text(good.replace('[identity]', f'[identity]\n{name} = 1', 1))
    web.agent.wait_line(msg='INI refused', reason=re.compile(name))
    return good


def beats_until_generation(sidecar):
    beats = 0
    while (kind := sidecar.message()[0]) == BEAT:
        beats += 1
    assert kind == GENERATION
    return beats


# --- generations -------------------------------------------------------------------------------------------

@pytest.mark.parametrize('ok', [True, False])
def test_who_answers_what_it_has_not_read_is_closed(web, ok):
    """Its generation would be offered again, and wait behind the first one, and so on. Numbers can be guessed."""
    start(web)
    with greet(web) as liar, greet(web) as slow:
        liar.send(result(1, ok, '' if ok else 'no'))
        line = web.agent.wait_line(msg='sidecar connection closed')
        assert (line['connection'], line['reason']) == (1, 'an answer to a generation that it has not read')
        assert slow.next().number == 1


@pytest.mark.skipif(SANITIZED, reason='they take memory of their own')
def test_sidecars_that_come_and_go_unread_take_bounded_memory(web):
    """Eight have a place. Of the others the kernel keeps a little, until they are closed at both ends."""
    start(web)
    before = web.agent.heap()
    sidecars = [greet(web) for _ in range(60)]
    web.agent.wait_line(msg='sidecar connection closed', connection=52)
    assert web.agent.heap() - before < 8 * 1.25 * LARGE
    assert max(unread(sidecar) for sidecar in sidecars) < 30_000
    for sidecar in sidecars[:-1]:
        sidecar.close()
    assert sidecars[-1].next().number == 1
    sidecars[-1].close()


@pytest.mark.parametrize('ends', ['it is the oldest', 'by a mistake', 'half'])
def test_connections_that_end_unread_keep_their_places(web, ends):
    """Or who opens one after the other would have the kernel keep the agent's memory without end. It is served again when they are closed."""
    start(web)
    before, callers = web.agent.heap(), []
    for _ in range(PLACES):
        callers.append(greet(web))
        if ends != 'it is the oldest':
            wait_until(lambda: unread(callers[-1]) > 4000, 'it is sent to')
            callers[-1].sock.shutdown(socket.SHUT_WR) if ends == 'half' else callers[-1].send(b'nonsense')
    with FalseSidecar(web) as late:
        assert late.is_closed()
    web.agent.wait_line(msg=re.compile('caller refused: 256 connections or more are closed, and their other ends neither'))
    assert web.agent.fds() > PLACES
    assert SANITIZED or web.agent.heap() - before < 12 << 20
    callers.pop().close()
    with FalseSidecar(web) as late:
        assert late.take().number == 1
    data = callers[0].sock.recv(1 << 20)
    assert len(data) > 4000 and callers[0].sock.recv(1) == b'', 'it reads the end behind what it was sent'
    for caller in callers:
        caller.close()
    with FalseSidecar(web) as late:
        assert late.take().number == 1


def fill(web):
    """Has the agent make a generation that the kernel just takes, so that anything behind it waits. Returns its number."""
    start(web)
    with greet(web) as probe, FalseSidecar(web) as other:
        too_much = 12 + len(other.take().payload) - unread(probe)
    web.ini.write_text(web.ini.read_text()[:-too_much])
    web.agent.wait_line(msg='credentials validated', bundles=1)
    wait_until(lambda: len(web.agent.lines(msg='credentials validated')) == 2, 'the INI is not in use')
    return 2


@pytest.mark.heavy
def test_of_what_waits_the_newest_is_sent(web):
    """A sidecar with a generation in the kernel, which it says that it has accepted. Behind that, notes and generations wait."""
    number = fill(web)
    with greet(web) as slow, FalseSidecar(web) as other:
        other.take()
        slow.send(result(number))
        wait_until(lambda: len(web.agent.lines(msg='generation accepted', generation=number)) == 2, 'that is taken for true')
        refuse(web, 'first')
        good = re.sub('first.*\n', '', refuse(web, 'second'))
        for later in 1, 2:
            web.ini.write_text(good + f'#{later}\n')
            assert other.next().number == number + later
        assert [text.split('`')[1] for _, _, text in other.notes if text] == ['first', 'second'], 'who reads has all of it'
        assert slow.receive().number == number
        assert slow.next().number == number + 2
        assert slow.receive_note()[0] is False
        assert [text.split('`')[1] for _, _, text in slow.notes] == ['first']
        web.agent.wait_line(msg='generation accepted', connection=3, generation=number + 2)


@pytest.mark.heavy
def test_who_is_slow_to_read_gets_the_newest_note(web):
    """One in the place of all that it has missed, once it has read the generation."""
    start(web)
    with greet(web) as slow:
        refuse(web, 'first')
        refuse(web, 'second')
        assert slow.next().number == 1
        refused, _, text = slow.receive_note()
        assert refused and 'second' in text
        web.agent.wait_line(msg='generation accepted')


@pytest.mark.heavy
def test_who_is_slow_to_read_gets_no_beats(web):
    """While another, who reads, gets three."""
    start(web)
    wants_beats = frame(HELLO, hello()[12:] + field(4, b'\1'))
    with greet(web, wants_beats) as slow, FalseSidecar(web) as other:
        other.send(wants_beats)
        before = [other.message()[0] for _ in range(5)]
        assert before == [BEAT, GENERATION, BEAT, BEAT, BEAT]
        other.send(result(1))
        assert slow.message()[0] == BEAT
        assert slow.next().number == 1
        web.ini.write_text(web.ini.read_text() + '# the next\n')
        assert beats_until_generation(slow) <= beats_until_generation(other)


# --- the other way round --------------------------------------------------------------------------------------

def test_an_agent_that_does_not_read_answers_is_left(lab, app):
    """It sends generations without end, each of which is refused with a sentence."""
    inbound = lab.inbound(app().port, start=False)
    agent = FalseAgent(inbound)
    inbound.start_sidecar()
    agent.accept()
    agent.sock.settimeout(30 * labs.SLOW)
    bad = generation(1, b'no key', b'no bundle', '[identity]\n')
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(5000):
            agent.send(bad)
    inbound.wait_line(level='warn', msg=re.compile('does not read our answers'))
