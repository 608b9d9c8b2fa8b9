# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that an agent that is connected but hangs is reported and disturbs nothing, and that an agent of an older
release is not reported as hung."""
import json
import re
import signal
import struct
import subprocess
import time

import pytest

import lab as labs
from false_agent import FalseAgent, field, frame, generation
from lab import connect, wait_until

BEAT = 0x102


def agent_of(workload):
    return json.loads(workload.get('/status')[1])['agent']


def beat(every_ms):
    return frame(BEAT, field(1, struct.pack('>I', every_ms)))


@pytest.mark.heavy
@pytest.mark.parametrize('key', ['agent', 'sidecar'])
def test_a_stopped_agent_is_told_of_and_comes_back(lab, app, key):
    """Whoever can go on without its signatures is not affected: everybody, if the sidecar has the key."""
    inbound = lab.inbound(app().port, {'tls': {'key': key}})
    outbound = lab.outbound(inbound.port)
    with connect(outbound.port) as sock:  # later ones resume its session
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
    assert agent_of(inbound)['hung'] is False and inbound.metric('fairlead_agent_hung') == 0
    inbound.agent.signal(signal.SIGSTOP)
    try:
        inbound.wait_line(level='warn', msg=re.compile('^agent: it hangs: .*SIGSTOP'), timeout=20)
        told = agent_of(inbound)
        assert told['connected'] and told['hung'] and told['silence_seconds'] >= 8 and 'it hangs' in told['trouble']
        assert inbound.metric('fairlead_agent_hung') == inbound.metric('fairlead_agent_connected') == 1
        assert 'hung' in inbound.get('/')[1]
        done = lab_tool(inbound, 'status')
        assert done[0] == (0 if key == 'sidecar' else 1) and re.search(r'^agent +HANGS ', done[1], re.M), done
        if key == 'sidecar':
            assert inbound.get('/readyz')[0] == 200, 'readiness is not affected'
        else:
            ready, text = inbound.get('/readyz')
            assert ready == 503 and 'signature_unavailable' in text, text
        with connect(outbound.port) as sock:
            sock.sendall(b'x')
            assert sock.recv(1) == b'x'
    finally:
        inbound.agent.signal(signal.SIGCONT)
    inbound.wait_line(level='info', msg=re.compile('^agent: it speaks again, after [0-9]+ s'))
    assert agent_of(inbound)['hung'] is False and agent_of(inbound)['trouble'] is None
    assert inbound.metric('fairlead_agent_hung') == 0
    assert len(inbound.sidecar.lines(msg=re.compile('it hangs'))) == 1, 'once'
    inbound.change({'limits': {'idle_timeout': '7m'}})
    inbound.wait_line(msg='generation in use', generation=2)


def lab_tool(workload, *words):
    done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, *words, '-c', workload.ini], capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout


@pytest.mark.heavy
def test_an_agent_that_was_stopped_before_we_came_is_told_of(lab, app):
    """The socket of the stopped agent still accepts connections."""
    inbound = lab.inbound(app().port, start=False).start_agent()
    wait_until((inbound.folder / 'agent.sock').exists, 'it listens')
    inbound.agent.signal(signal.SIGSTOP)
    try:
        inbound.start_sidecar()
        inbound.wait_line(level='warn', msg=re.compile('^agent: it hangs: .*SIGSTOP'), timeout=20)
        told = agent_of(inbound)
        assert told['connected'] and told['hung'] and inbound.get('/readyz')[0] == 503
    finally:
        inbound.agent.signal(signal.SIGCONT)
    inbound.wait_line(level='info', msg=re.compile('^agent: it speaks again, after [0-9]+ s'))
    inbound.wait_ready()
    assert agent_of(inbound)['hung'] is False


@pytest.mark.heavy
def test_who_never_beats_is_of_an_older_release(lab, app):
    """Such an agent is not reported as hung. Once an agent has sent a beat, it has to go on."""
    inbound = lab.inbound(app().port, start=False)
    false = FalseAgent(inbound)
    inbound.start_sidecar()
    false.accept()
    text = inbound.ini.read_text()
    false.sock.sendall(generation(1, lab.server.key_pem + lab.server.chain_pem, lab.root.cert_pem, text))
    false.receive(3)
    begun = time.monotonic()
    wait_until(lambda: agent_of(inbound)['silence_seconds'] >= 10, 'time passes', 20)
    assert time.monotonic() - begun > 9 and agent_of(inbound)['hung'] is False
    assert not inbound.sidecar.lines(msg=re.compile('it hangs'))
    false.sock.sendall(beat(500))
    inbound.wait_line(level='warn', msg=re.compile('it hangs'), timeout=6)
    false.sock.sendall(beat(500))
    inbound.wait_line(msg=re.compile('it speaks again'))
    inbound.wait_line(level='warn', msg=re.compile('it hangs'))
    # An agent that has ended is gone, not hung.
    false.sock.close()
    false.sock = None
    wait_until(lambda: agent_of(inbound)['hung'] is False, 'it has gone')
    assert 'it hangs' not in (agent_of(inbound)['trouble'] or '')


@pytest.mark.parametrize('payload', [b'', field(1, b'xx'), field(1, bytes(4)) * 2, b'x'], ids=['empty', 'short', 'twice', 'torn'])
def test_a_broken_beat_costs_its_channel(lab, app, payload):
    inbound = lab.inbound(app().port, start=False)
    false = FalseAgent(inbound)
    inbound.start_sidecar()
    false.accept()
    false.sock.sendall(frame(BEAT, payload))
    false.accept()
    false.sock.sendall(beat(0))
    false.sock.sendall(beat(0xffffffff))
    wait_until(lambda: agent_of(inbound)['connected'], 'it is connected')
