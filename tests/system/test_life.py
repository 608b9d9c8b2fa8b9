# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the start, generations, restarts and the end."""
import concurrent.futures
import contextlib
import datetime
import json
import os
import re
import signal
import socket
import threading

import pytest

import lab as labs
import peers
from false_agent import FalseAgent, frame, generation
from lab import Program, connect, end_of, listens, outcome, read_all, wait_until

as_root = pytest.mark.skipif(os.getuid() != 0, reason='needs root, to run as other users')


def opened(to):
    sock = connect(to)
    sock.sendall(b'ping')
    assert sock.recv(4) == b'ping'
    return sock


def is_alive(sock):
    sock.sendall(b'ping')
    return sock.recv(4) == b'ping'


# --- the end ----------------------------------------------------------------------------------------

@pytest.mark.tsan
@pytest.mark.parametrize('workers', [1, 4])
def test_sigterm_lets_open_connections_finish(lab, app, workers):
    """The sidecar is not ready and accepts no connections. Open connections continue, and when the last one ends, it
    exits with 0."""
    pair = lab.pair(app().port, inbound={'sidecar': {'drain': '60s', 'workers': workers}})
    inbound = pair.inbound
    with opened(pair.port) as sock:
        inbound.sidecar.terminate()
        inbound.wait_line(msg=re.compile('^stopping: 1 connections may finish'))
        status, reason = inbound.get('/readyz')
        assert status == 503 and 'draining' in reason
        assert inbound.get('/healthz')[0] == 200
        wait_until(lambda: not listens(inbound.port), 'nobody listens any more')
        assert is_alive(sock)
        assert inbound.sidecar.process.poll() is None
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b''
    assert inbound.sidecar.wait() == 0
    assert inbound.sidecar.lines(reason='done') and inbound.sidecar.lines(msg='drained')


def test_outbound_drains_as_well(lab, app):
    pair = lab.pair(app().port, outbound={'sidecar': {'drain': '60s'}})
    with opened(pair.port) as sock:
        pair.outbound.sidecar.terminate()
        wait_until(lambda: not listens(pair.port), 'nobody listens any more')
        assert is_alive(sock)
    assert pair.outbound.sidecar.wait() == 0


def test_drain_is_over_after_its_time(lab, app):
    """Connections that are still open are reset, and the exit is still clean."""
    pair = lab.pair(app().port, inbound={'sidecar': {'drain': '200ms'}})
    with opened(pair.port) as sock:
        pair.inbound.sidecar.terminate()
        assert pair.inbound.sidecar.wait() == 0
        assert end_of(sock) == 'reset'
    pair.inbound.wait_line(msg=re.compile('drain is over: closing 1 open'))
    pair.inbound.wait_line(reason='drain')


@pytest.mark.parametrize('first', [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once(lab, app, first):
    pair = lab.pair(app().port, inbound={'sidecar': {'drain': '1h'}})
    with opened(pair.port) as sock:
        pair.inbound.sidecar.signal(first)
        pair.inbound.wait_line(msg=re.compile('^stopping'))
        pair.inbound.sidecar.signal(signal.SIGTERM)
        assert pair.inbound.sidecar.wait() == 0
        assert end_of(sock) == 'reset'


def test_sigterm_before_the_first_generation(lab):
    inbound = lab.inbound(8080, start=False)
    inbound.start_sidecar()
    inbound.wait_line(msg=re.compile('^started'))
    assert inbound.sidecar.stop() == 0


def test_sigterm_amid_handshakes_and_dials(lab):
    """Nothing is open, but handshakes and dials are in progress. The sidecar ends after the drain."""
    outbound = lab.outbound(lab.ports.free(), {'upstream stalled': {
        'listen': f'unix:{lab.folder}/stalled.sock', 'to': '127.0.0.1:1'}})
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(('127.0.0.1', 0)))
        inbound = lab.inbound(listener.getsockname()[1])
        stalled = [stack.enter_context(connect(inbound.port)) for _ in range(10)]
        for sock in stalled:
            sock.sendall(peers.client_hello())
            assert sock.recv(1)
        assert inbound.sidecar.stop() == 0
        assert all(end_of(sock) == 'reset' for sock in stalled)
    assert outbound.sidecar.stop() == 0


# --- readiness --------------------------------------------------------------------------------------

def test_readyz_says_why_in_every_phase(lab, app):
    """The phases are: no agent, no credentials, refused credentials, ready, draining."""
    inbound = lab.inbound(app().port, {'sidecar': {'drain': '10s'}}, start=False)
    expired = lab.root.issue(labs.SERVER, not_before=datetime.timedelta(days=-2), not_after=datetime.timedelta(days=-1))
    inbound.mount(expired)

    def waits_for(pattern):
        def right():
            with contextlib.suppress(ConnectionError):
                status, reason = inbound.get('/readyz')
                return status == 503 and re.search(pattern, reason)
        wait_until(right, lambda: f'{pattern}: {inbound.get("/readyz")}')
    inbound.start_sidecar()
    waits_for('no generation yet: cannot reach fairlead-agent at .*agent.sock.*is it running')
    assert inbound.get('/healthz')[0] == 200
    assert outcome(inbound.port) == 'refused', 'no listener before there are credentials'
    inbound.start_agent()
    waits_for('no usable generation: .*expired')
    inbound.mount(lab.server)
    inbound.wait_ready()
    assert inbound.get('/readyz') == (200, 'ready\n')
    sock = peers.client(inbound.port, lab.client, lab.root)
    sock.sendall(b'x')
    assert sock.recv(1) == b'x'
    inbound.sidecar.terminate()
    waits_for('draining')
    sock.unwrap().close()
    assert inbound.sidecar.wait() == 0


def test_fairlead_agent_wait(lab, app):
    """Exits with 1 and the reason while the sidecar is not ready, and with 0 as soon as it is."""
    inbound = lab.inbound(app().port, start=False)

    def wait_command(timeout):
        program = Program(lab, 'wait', [labs.AGENT, 'wait', '-c', inbound.ini, '--timeout', timeout])
        program.expected = {0, 1}
        return program
    early = wait_command('100ms')
    assert early.wait() == 1 and early.text
    patient = wait_command('30s')
    inbound.start()
    assert patient.wait() == 0


def test_own_certificate_that_expires_makes_it_not_ready(lab, app):
    inbound = lab.inbound(app().port, svid=lab.root.issue(labs.SERVER, not_after=datetime.timedelta(seconds=3)))
    wait_until(lambda: inbound.get('/readyz')[0] == 503, 'not ready')
    assert 'has expired' in inbound.get('/readyz')[1]


# --- restarts ---------------------------------------------------------------------------------------

@pytest.mark.tsan
@pytest.mark.parametrize('workers', [1, 4])
def test_agent_killed_and_restarted_with_renewed_certificates_disturbs_nothing(lab, app, workers):
    """Streams continue throughout, older ones on the old generation. New connections use the new one. (With the key in the
    agent, handshakes that begin before the new generation has come would need the old key, which nobody has any more.)"""
    pair = lab.pair(app().port, common={'sidecar': {'workers': workers}, 'tls': {'key': 'sidecar'}})
    stop, rounds, failures = threading.Event(), [0] * 4, []

    def busy(index):
        try:
            with opened(pair.port) as sock:
                while not stop.is_set():
                    assert is_alive(sock)
                    rounds[index] += 1
        except (OSError, AssertionError) as error:
            failures.append(error)

    def newcomers():
        try:
            while not stop.is_set():
                with opened(pair.port):
                    pass
        except (OSError, AssertionError) as error:
            failures.append(error)
    threads = [threading.Thread(target=busy, args=(i,)) for i in range(4)] + [threading.Thread(target=newcomers)]
    for thread in threads:
        thread.start()
    for number in (2, 3, 4):
        for workload, identity in ((pair.inbound, labs.SERVER), (pair.outbound, labs.CLIENT)):
            workload.agent.kill()
            workload.mount(lab.root.issue(identity))
            workload.start_agent()
            workload.wait_line(msg='generation in use', generation=number)
        seen = sum(rounds)
        wait_until(lambda seen=seen: sum(rounds) > seen + 20 or failures, 'traffic goes on')
    with opened(pair.port):
        pass
    for workload in pair.workloads:
        assert workload.wait_line(reason='done', generation=4)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    for workload in pair.workloads:
        assert workload.wait_line(reason='done', generation=1), 'the old streams kept their generation'
        assert not workload.sidecar.lines(level='warn', msg=re.compile('^connection'))


def test_agent_gone_for_good_disturbs_nothing(lab, app):
    """The sidecar keeps its generation, stays ready, and logs once that the agent is gone."""
    def complaints(workload):
        return len(workload.sidecar.lines(msg=re.compile('cannot reach fairlead-agent')))
    pair = lab.pair(app().port)
    before = [complaints(workload) for workload in pair.workloads]  # it may have started before its agent
    with opened(pair.port) as sock:
        for workload, count in zip(pair.workloads, before):
            workload.agent.kill()
            wait_until(lambda w=workload, c=count: complaints(w) > c, 'it says so')
        assert is_alive(sock)
        with opened(pair.port) as second:
            assert is_alive(second)
    assert [workload.get('/readyz')[0] for workload in pair.workloads] == [200, 200]
    assert [complaints(workload) for workload in pair.workloads] == [count + 1 for count in before]


def test_restarted_agent_with_the_same_content_changes_nothing(lab, app):
    inbound = lab.inbound(app().port)
    inbound.agent.kill()
    inbound.start_agent()
    inbound.agent.wait_line(msg='sidecar connected', generation=1)
    inbound.wait_line(msg='agent: connected')
    assert len(inbound.sidecar.lines(msg='generation in use')) == 1


def test_killed_sidecar_gets_the_generation_back(lab, app):
    inbound = lab.inbound(app().port)
    for _ in range(3):
        inbound.sidecar.kill()
        inbound.start_sidecar().wait_ready()
        assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


def test_changed_policy_applies_to_new_connections_after_a_restart_of_the_agent(lab, app):
    """The INI comes with the generation: the client that was allowed is denied. With `keep`, its open connections
    continue."""
    inbound = lab.inbound(app().port, {'rotation': {'on_policy_loss': 'keep'}})
    outbound = lab.outbound(inbound.port)
    with opened(outbound.port) as sock:
        inbound.agent.stop()
        inbound.change({'deny client': {'from': labs.CLIENT}})
        inbound.start_agent()
        inbound.wait_line(msg='generation in use', generation=2)
        wait_until(lambda: peers.verdict(inbound.port, lab.client, lab.root) == 49, 'the new policy holds')
        assert is_alive(sock)


def test_listener_that_the_ini_loses_and_gains(lab, app):
    """A new [service] needs a restart, and the log says so. Connections to a removed one are reset with a log line."""
    server = app()
    inbound = lab.inbound(server.port, {'service second': {
        'listen': f'127.0.0.1:{lab.ports.free()}', 'app': f'127.0.0.1:{server.port}'}})
    inbound.agent.stop()
    second = inbound.sections['service second']['listen']
    inbound.change({'service second': None, 'service third': {
        'listen': f'127.0.0.1:{lab.ports.free()}', 'app': f'127.0.0.1:{server.port}'}})
    inbound.start_agent()
    line = inbound.wait_line(level='warn', msg='some settings wait for a restart of the sidecar, the rest applies')
    assert line['keys'] == '[service second] listen, [service third] listen'
    third, = [each for each in json.loads(inbound.get('/status')[1])['services'] if each['service'] == 'third']
    assert third['waits_for_restart'], 'it is not shown like one that is served'
    assert outcome(('127.0.0.1', int(second.split(':')[1]))) == 'reset'
    inbound.wait_line(reason='restart_needed')
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


# --- a start without stderr ---------------------------------------------------------------------------

@pytest.mark.parametrize('closed', [[2], [0, 1, 2], [0, 2]])
def test_without_stderr_no_socket_takes_its_place(lab, app, closed):
    """The lines of the log would go to the socket, and the processes would not end in order."""
    inbound, without = lab.inbound(app().port, start=False), ' '.join(f'{descriptor}>&-' for descriptor in closed)
    for kind, command in ('agent', [labs.AGENT, 'run']), ('sidecar', [labs.SIDECAR]):
        setattr(inbound, kind, Program(lab, kind, [*command, '-c', inbound.ini], prefix=['sh', '-c', f'exec "$@" {without}', 'sh']))
    inbound.wait_ready()
    if os.getuid() == 0:
        for process in inbound.agent, inbound.sidecar:
            for descriptor in closed:
                assert os.readlink(f'/proc/{process.pid}/fd/{descriptor}') == '/dev/null', process.name
    with connect(inbound.port) as sock:
        sock.sendall(b'no TLS')
        assert b'{' not in read_all(sock)
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert inbound.sidecar.stop() == 0 and inbound.agent.stop() == 0


# --- a start that fails -------------------------------------------------------------------------------

def refused_start(workload, status):
    workload.start_sidecar()
    workload.sidecar.expected = {status}
    assert workload.sidecar.wait() == status
    return workload.sidecar.text


@pytest.mark.parametrize('which', ['service', 'admin'])
def test_port_in_use(lab, which):
    """The sidecar exits with 1 and one sentence with the address and what to look for."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        inbound = lab.inbound(8080, start=False)
        inbound.change({'service app': {'listen': f'127.0.0.1:{port}'}} if which == 'service' else
                       {'sidecar': {'admin': f'127.0.0.1:{port}'}})
        text = refused_start(inbound, 1)
    assert f'cannot listen on 127.0.0.1:{port}: another process uses this port' in text
    assert ('[service app]' if which == 'service' else '[sidecar] admin') in text


# The listener of the first sidecar, the one that the second wants, and whether both are possible.
PLACES = [('127.0.0.1', '127.0.0.1', False), ('127.0.0.1', '*', False), ('*', '127.0.0.1', False), ('*', '[::1]', False),
          ('[::1]', '*', False), ('127.0.0.1', '127.0.0.2', True), ('127.0.0.1', '[::1]', True)]


@pytest.mark.parametrize('serving', [False, True], ids=['waiting', 'serving'])
@pytest.mark.parametrize('first, second, possible', PLACES)
def test_port_of_another_sidecar(lab, serving, first, second, possible):
    """With SO_REUSEPORT, two sidecars would silently share a port, even if one still waits for its agent."""
    port = lab.ports.free()
    at = (first.strip('[]').replace('*', '127.0.0.1'), port)
    one, two = lab.inbound(8080, start=False), lab.inbound(8080, start=False)
    one.change({'service app': {'listen': f'{first}:{port}'}, 'sidecar': {'workers': 2}})
    two.change({'service app': {'listen': f'{second}:{port}'}})
    one.start_sidecar()
    one.wait_line(msg=re.compile('^started'))
    if serving:
        one.start_agent().wait_ready()
    else:
        assert outcome(at) == 'refused', 'nobody serves yet'
    if possible:
        two.start_sidecar()
        two.wait_line(msg=re.compile('^started'))
    else:
        text = refused_start(two, 1)
        assert '[service app]: cannot listen on ' in text and 'another process uses this port: stop that one' in text
    if not serving:
        one.start_agent().wait_ready()
    assert listens(at)


@pytest.mark.skipif(os.getuid() != 0, reason='needs root, to become two other users')
@pytest.mark.parametrize('second_uid', [2112, 2113])
def test_port_of_another_sidecar_without_privileges(lab, second_uid):
    """The sidecar needs no privilege to keep its port from processes of its own user and of others."""
    port = lab.ports.free()
    one, two = (lab.inbound(8080, {'service app': {'app': '127.0.0.1:8080'}}, start=False, sidecar_uid=uid)
                for uid in (2112, second_uid))
    for each in (one, two):
        each.change({'service app': {'listen': f'127.0.0.1:{port}'}})
    one.start_sidecar()
    one.wait_line(msg=re.compile('^started'))
    assert 'another process uses this port' in refused_start(two, 1)
    assert outcome(port) == 'refused'


@pytest.mark.parametrize('capture', ['inbound', 'outbound'])
def test_capture_port_of_another_sidecar(lab, capture):
    port = lab.ports.free()
    one, two = lab.inbound(8080, {'sidecar': {capture: f'127.0.0.1:{port}'}}, start=False), lab.inbound(
        8080, {'sidecar': {capture: f'*:{port}'}}, start=False)
    one.start_sidecar()
    one.wait_line(msg=re.compile('^started'))
    assert f'[sidecar] {capture}: cannot listen on ' in refused_start(two, 1)


def test_of_sidecars_that_start_at_once_one_has_the_port(lab):
    port = lab.ports.free()
    many = [lab.inbound(8080, {'service app': {'listen': f'127.0.0.1:{port}', 'app': '127.0.0.1:8080'}}, start=False)
            for _ in range(8)]
    for one in many:
        one.start_sidecar()
        one.sidecar.expected = {0, 1}
    wait_until(lambda: sum(one.sidecar.process.poll() == 1 for one in many) == 7, 'seven give up')
    last, = [one for one in many if one.sidecar.process.poll() is None]
    last.start_agent().wait_ready()
    assert listens(port)


def test_successor_while_the_old_one_drains(lab, app):
    """The old sidecar still has connections open on the port that the new one takes over."""
    server = app()
    old = lab.inbound(server.port, {'sidecar': {'drain': '60s'}})
    outbound = lab.outbound(old.port)
    with opened(outbound.port) as sock:
        old.sidecar.terminate()
        wait_until(lambda: not listens(old.port), 'it listens no more')
        new = lab.inbound(server.port, {'service app': {'listen': f'127.0.0.1:{old.port}'}}, start=False)
        new.start().wait_ready()
        assert is_alive(sock)
        with opened(outbound.port) as second:
            assert is_alive(second) and is_alive(sock)
    assert old.sidecar.wait() == 0


def test_unix_path_in_use(lab, app):
    inbound = lab.inbound(app().port)
    listen = {'upstream peer': {'listen': f'unix:{lab.folder}/peer.sock'}}
    lab.outbound(inbound.port, listen)
    second = lab.outbound(inbound.port, listen, start=False)
    assert 'is in use' in refused_start(second, 1)
    assert os.path.exists(lab.folder / 'peer.sock'), 'the other one keeps its path'


def test_unix_path_that_a_successor_has_taken(lab, app):
    """The old sidecar drains while the new one already listens. When it ends, it does not remove the new path."""
    inbound = lab.inbound(app().port)
    listen = {'upstream peer': {'listen': f'unix:{lab.folder}/peer.sock'}, 'sidecar': {'drain': '60s'}}
    old = lab.outbound(inbound.port, listen)
    with opened(lab.folder / 'peer.sock') as sock:
        old.sidecar.terminate()
        wait_until(lambda: old.get('/readyz')[0] == 503, 'it drains')
        wait_until(lambda: not listens(lab.folder / 'peer.sock'), 'nobody listens any more')
        lab.outbound(inbound.port, listen)
        assert is_alive(sock)
    assert old.sidecar.wait() == 0
    with opened(lab.folder / 'peer.sock') as sock:
        assert is_alive(sock)


def test_unix_path_is_a_file(lab):
    """The sidecar does not remove it."""
    (lab.folder / 'peer.sock').write_text('precious')
    outbound = lab.outbound(8080, {'upstream peer': {'listen': f'unix:{lab.folder}/peer.sock'}}, start=False)
    assert 'is not a socket' in refused_start(outbound, 1)
    assert (lab.folder / 'peer.sock').read_text() == 'precious'


def test_ini_errors_are_all_reported_with_file_and_line(lab):
    """The exit status is 2. All errors are reported at once, each with its position and a suggestion."""
    inbound = lab.inbound(8080, {'service app': {'lisen': '*:1'}, 'limits': {'idle_timeout': '5', 'buffer': '1GiB'},
                                 'polcy': {'default': 'deny'}}, start=False)
    text = '\n'.join(json.loads(line)['msg'] for line in refused_start(inbound, 2).splitlines())
    lines = inbound.ini.read_text().splitlines()
    for wrong, wanted in (('lisen = ', 'did you mean `listen`'), ('idle_timeout', 'unit'), ('buffer', '1GiB'),
                          ('[polcy]', 'did you mean `policy`|did you mean .*policy')):
        number = next(i for i, line in enumerate(lines, 1) if line.startswith(wrong))
        assert re.search(f'^{re.escape(str(inbound.ini))}:{number}: .*({wanted})', text, re.M), (wrong, text)
    assert len(text.splitlines()) == 4


@pytest.mark.parametrize('arguments, status', [
    (['--nonsense'], 2), (['unexpected'], 2), (['-c', '/nowhere/fairlead.ini'], 2), (['--help'], 0), (['--version'], 0)])
def test_command_line(lab, arguments, status):
    program = Program(lab, 'sidecar', [labs.SIDECAR, *arguments])
    program.expected = {status}
    assert program.wait() == status
    assert program.text


# --- privileges -------------------------------------------------------------------------------------

@as_root
def test_sidecar_has_no_access_to_the_key(lab, app):
    """Two users: the agent's user owns the key, and the sidecar's user cannot and need not read it."""
    inbound = lab.inbound(app().port, start=False, sidecar_uid=64001, agent_uid=64002)
    os.chown(inbound.folder, 64002, -1)
    key = inbound.folder / 'tls.key'
    assert (key.stat().st_uid, key.stat().st_mode & 0o777) == (64002, 0o600)
    inbound.start().wait_ready()
    for program, uid in ((inbound.sidecar, 64001), (inbound.agent, 64002)):
        assert os.stat(f'/proc/{program.pid}').st_uid == uid
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


@as_root
def test_agent_of_another_user_is_let_in_by_nobody(lab, app):
    """The agent does not know the sidecar's uid: the sidecar gets no key, and says why it is not ready."""
    inbound = lab.inbound(app().port, {'agent': {'sidecar_uid': 64003}}, start=False, sidecar_uid=64001,
                          agent_uid=64002)
    inbound.change({'agent': {'sidecar_uid': 64003}})
    os.chown(inbound.folder, 64002, -1)
    inbound.start()
    wait_until(lambda: inbound.agent.lines(level='warn'), 'the agent says so')
    assert inbound.get('/readyz')[0] == 503


# --- an agent that lies -------------------------------------------------------------------------------

@pytest.fixture
def with_false_agent(lab, app):
    """Returns a sidecar whose agent is played by the test."""
    inbound = lab.inbound(app().port, start=False)
    with FalseAgent(inbound) as agent:
        inbound.start_sidecar()
        agent.accept()
        yield inbound, agent


def test_refused_generation_leaves_the_old_one(lab, with_false_agent):
    """The sidecar validates what the agent sends: it trusts rules, not senders."""
    inbound, agent = with_false_agent
    stranger = labs.CA(labs.TD).issue(labs.SERVER)
    wrong = {
        'a chain of another root': stranger.key_pem + stranger.chain_pem,
        'a key that does not fit': lab.client.key_pem + lab.server.chain_pem,
        'no key': lab.server.chain_pem, 'no certificate': lab.server.key_pem, 'nothing': b'', 'garbage': b'\xff' * 100}
    number = 0
    for what, credential in wrong.items():
        number += 1
        agent.send(generation(number, credential, lab.root.cert_pem, inbound.ini.read_text()))
        result = agent.receive(3)
        assert result[2] == b'\0' and result[3], what
    status, reason = inbound.get('/readyz')
    assert status == 503 and 'no usable generation' in reason
    assert agent.push(10) == (True, '')
    inbound.wait_ready()
    assert not agent.push(11, ini='[identity]\nnonsense = 1\n')[0]
    assert inbound.get('/readyz')[0] == 200
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert inbound.sidecar.lines(msg=re.compile('generation 11 refused'))


@pytest.mark.parametrize('data', [
    b'GET / HTTP/1.1\r\n\r\n', frame(1, b''), frame(3, b''), frame(99, b''), b'FLC1\0\2\0\0\xff\xff\xff\xff',
    frame(2, b''), frame(2, b'\0\1\0\0\0\x63'), b'FLC1\0\2\0\1\0\0\0\0', os.urandom(1 << 20)],
    ids=['http', 'hello', 'result', 'unknown', 'huge', 'empty', 'short-field', 'reserved', 'random'])
def test_garbage_from_the_agents_socket(lab, with_false_agent, data):
    """The sidecar closes the channel and connects again, and traffic continues."""
    inbound, agent = with_false_agent
    assert agent.push(1)[0]
    inbound.wait_ready()
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        agent.send(data)
    hello = agent.accept()
    assert hello[2] == (1).to_bytes(8, 'big'), 'it still has its generation'
    assert inbound.sidecar.lines(level='warn', msg=re.compile('^agent: '))
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'


def test_agent_that_crashes_in_a_loop_is_not_hammered(lab, with_false_agent):
    """The false agent closes right after HELLO, again and again: the sidecar retries less and less often."""
    inbound, agent = with_false_agent
    count, end = 0, threading.Event()
    timer = threading.Timer(1.5, end.set)
    timer.start()
    agent.listener.settimeout(0.1)
    while not end.is_set():
        with contextlib.suppress(TimeoutError):
            agent.accept()
            count += 1
    assert count < 12, f'{count} connections in 1.5 s'


@pytest.mark.tsan
def test_many_generations_under_load(lab, app):
    """A hundred generations arrive while connections come and go. No handshake fails, and memory does not grow."""
    inbound = lab.inbound(app().port, {'sidecar': {'workers': 4}}, start=False)
    outbound = lab.outbound(inbound.port)
    with FalseAgent(inbound) as agent:
        inbound.start_sidecar()
        agent.accept()
        assert agent.push(1)[0]
        inbound.wait_ready()
        done = threading.Event()

        def load(_):
            rounds = 0
            while not done.is_set():
                with opened(outbound.port):
                    rounds += 1
            return rounds
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load, i) for i in range(4)]
            try:
                for number in range(2, 102):
                    if number == 20:
                        memory = inbound.sidecar.heap()
                    assert agent.push(number, svid=lab.root.issue(labs.SERVER))[0]
            finally:
                done.set()
            assert all(each.result() > 0 for each in loads)
        if not (labs.ASAN or labs.TSAN):
            assert inbound.sidecar.heap() < memory + (2 << 20)
