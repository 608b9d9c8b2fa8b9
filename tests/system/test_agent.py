# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent run: which generation a sidecar gets, which callers the agent accepts, and what must not disturb
it."""
import fcntl
import os
import re
import shutil
import signal
import socket
import struct

import pytest

import lab as labs
from false_agent import frame, generation as encode_generation
from false_sidecar import FalseSidecar, connect_as, hello, result
from lab import Program, wait_until

NOBODY = 65534
root_only = pytest.mark.skipif(os.getuid() != 0, reason='needs root, to become somebody else')


@pytest.fixture
def web(lab):
    """Returns a workload with a service. Nothing of it is running."""
    return lab.inbound(8080, start=False, name='web')


def refused_start(workload):
    """Returns the exit status and the output of an agent that does not start."""
    agent = Program(workload.lab, f'{workload.name}-refused', [labs.AGENT, 'run', '-c', workload.ini])
    agent.expected.add(2)
    return agent.wait(), agent.text


# --- as the first process of a container -------------------------------------------------------------------

def first_in_namespace(workload):
    """Returns (program, pid of the first process in a process namespace). That first process is the agent."""
    program = Program(workload.lab, f'{workload.name}-first', [labs.AGENT, 'run', '-c', workload.ini],
                      prefix=['unshare', '--pid', '--fork', '--kill-child'])
    [first] = wait_until(lambda: children(program.process.pid), 'there is a first process')
    return program, first


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return [int(word) for word in file.read().split()]


@root_only
def test_the_first_process_begins_it_again(web):
    program, first = first_in_namespace(web)
    program.wait_line(msg='credentials validated')
    for turn in range(2):
        [worker] = wait_until(lambda: children(first), 'there is a worker')
        with FalseSidecar(web) as sidecar:
            assert sidecar.take().number == 1
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda gone=worker: children(first) and gone not in children(first), 'there is another')
        wait_until(lambda due=turn + 2: len(program.lines(msg='credentials validated')) == due, 'which works')
    assert len(program.lines(msg='ended by signal 9 (Killed): it is started again; traffic continues')) == 2
    # A signal to the first process reaches the agent.
    os.kill(first, signal.SIGHUP)
    program.wait_line(msg='SIGHUP: reading INI and credentials')
    os.kill(first, signal.SIGTERM)
    assert program.wait() == 0
    assert 'stopping on SIGTERM' in program.text


@root_only
def test_the_first_process_keeps_exit_statuses(lab, web):
    web.ini.write_text('[identty]\n')
    program = Program(lab, 'refused', [labs.AGENT, 'run', '-c', web.ini], prefix=['unshare', '--pid', '--fork', '--kill-child'])
    program.expected.add(2)
    assert program.wait() == 2 and 'unknown section [identty]' in program.text


@root_only
def test_the_first_process_gives_up_on_what_dies_again_and_again(web):
    program, first = first_in_namespace(web)
    program.expected.add(137)
    seen = set()
    while len(seen) < 5:
        [worker] = wait_until(lambda: [pid for pid in children(first) if pid not in seen], 'there is another', 20)
        seen.add(worker)
        os.kill(worker, signal.SIGKILL)
    assert program.wait() == 137
    assert program.lines(msg='ended by signal 9 (Killed) too often: giving up')


# --- generations ----------------------------------------------------------------------------------

@pytest.mark.parametrize('key', ['agent', 'sidecar'])
def test_a_new_sidecar_gets_all_of_it(lab, web, key):
    """But the key only if the INI says so."""
    web.change({'tls': {'key': key}})
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        got = sidecar.take()
    assert got.number == 1
    assert got.credential == (lab.server.key_pem + b'\n' if key == 'sidecar' else b'') + lab.server.chain_pem
    assert got.bundle == lab.root.cert_pem
    assert (got.ini, got.ini_path, got.foreign) == (web.ini.read_text(), str(web.ini), [])
    assert web.agent.wait_line(msg='credentials validated')['id'] == labs.SERVER
    assert web.agent.wait_line(msg='generation pushed')['generation'] == 1
    assert web.agent.wait_line(msg='generation accepted')['generation'] == 1


def test_foreign_bundles_and_credential_bundle(lab, web):
    (web.folder / 'both.pem').write_bytes(lab.server.bundle_pem)
    (web.folder / 'other.crt').write_bytes(lab.other_root.cert_pem)
    identity = {'credential_bundle': web.folder / 'both.pem', 'bundle': web.folder / 'ca.crt'}
    web.change({'identity': None})
    web.change({'identity': identity, 'federate other.example': {'bundle': web.folder / 'other.crt'}})
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        got = sidecar.take()
    assert got.credential == lab.server.chain_pem
    assert got.foreign == [(b'other.example', lab.other_root.cert_pem)]


def test_the_same_content_is_not_sent_again(web):
    """A restarted agent adopts the generation number of the sidecar. A sidecar without a number gets the same one."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        first = sidecar.take()
    web.agent.stop()
    web.start_agent()
    with FalseSidecar(web) as old, FalseSidecar(web) as new:
        old.send(hello(41, first.digest))
        web.agent.wait_line(msg='generation is in use already', generation=41)
        assert new.take().number == 41
    assert not web.agent.lines(msg='generation pushed', connection=1)


def test_other_content_gets_the_next_number(lab, web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        first = sidecar.take(generation=7, digest=b'x' * 32)
    assert first.number == 8
    web.agent.stop()

    web.mount(lab.root.issue(labs.SERVER), lab.root.cert_pem)
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        second = sidecar.take(first.number, first.digest)
    assert second.number == 9 and second.digest != first.digest
    web.agent.stop()

    web.change({'policy': {'default': 'allow'}})
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        third = sidecar.take(second.number, second.digest)
    assert third.number == 10 and third.digest != second.digest


def test_a_number_never_goes_back(web):
    """One sidecar reports a higher number than the others. The agent continues from there for sidecars that connect
    later."""
    web.start_agent()
    with FalseSidecar(web) as a, FalseSidecar(web) as b, FalseSidecar(web) as c:
        assert a.take().number == 1
        assert b.take(20, b'y' * 32).number == 21
        assert c.take().number == 21


@pytest.mark.parametrize('number, first', [(2**64 - 1, 1), (2**64 - 2, 1), (2**63 - 1, 1), (2**63 - 2, 2**63 - 1)])
def test_a_number_that_leaves_few_to_follow_ends_no_renewals(lab, web, number, first):
    """Whoever names it, and whoever has it from him: each gets the present generation and the next one."""
    web.start_agent()
    with FalseSidecar(web) as liar:
        assert liar.take(number, b'x' * 32).number == first
    with FalseSidecar(web) as honest:
        seen = honest.take()
        assert seen.number == first
        web.mount(lab.root.issue(labs.SERVER))
        renewed = honest.next()
        assert renewed.digest != seen.digest and renewed.number == (2 if first == 1 else 1)
    with FalseSidecar(web) as again:
        again.send(hello(number, renewed.digest))
        web.agent.wait_line(msg='generation is in use already')
        web.mount(lab.root.issue(labs.SERVER))
        assert again.next().number not in (0, number)


def test_a_refused_generation_is_said_with_its_reason(web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take(ok=False, reason='no "such" thing\n\x1b[31m')
        line = web.agent.wait_line(msg='generation refused')
    assert line['level'] == 'error' and line['reason'] == 'no "such" thing\n\x1b[31m'
    assert '\x1b' not in web.agent.text
    with FalseSidecar(web) as sidecar:
        assert sidecar.take().number == 1


# --- credentials that come later ----------------------------------------------------------------------

def test_waits_for_files_that_appear_later(lab, web):
    """Kubernetes may start the pod before the Secret is there."""
    for name in ('tls.crt', 'tls.key', 'ca.crt'):
        (web.folder / name).unlink()
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.send(hello())
        for name in ('tls.crt', 'tls.key', 'ca.crt'):
            web.agent.wait_line(msg='credentials refused', file=str(web.folder / name))
        web.mount(lab.server, lab.root.cert_pem)
        assert sidecar.receive().number == 1
    assert len(web.agent.lines(msg='credentials refused', file=str(web.folder / 'ca.crt'))) == 1, 'said once'


def test_waits_for_a_key_that_matches(lab, web):
    web.mount((lab.server.chain_pem, lab.client.key_pem))
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.send(hello())
        web.agent.wait_line(msg='credentials refused')
        web.mount(lab.server)
        assert sidecar.receive().credential == lab.server.chain_pem


# --- start and end ------------------------------------------------------------------------------------

def test_an_error_in_the_ini_is_fatal(web):
    web.change({'tls': {'grups': 'X25519'}, 'limits': {'connections': 'many'}})
    status, text = refused_start(web)
    assert status == 2
    assert re.search(rf'"msg":"{re.escape(str(web.ini))}:\d+: .*groups', text)
    assert re.search(rf'"msg":"{re.escape(str(web.ini))}:\d+: .*many', text)
    assert not (web.folder / 'agent.sock').exists()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly_on_a_signal(web, number):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        web.agent.signal(number)
        assert web.agent.wait() == 0
        assert sidecar.is_closed()
    assert not (web.folder / 'agent.sock').exists()


def test_a_second_agent_is_told_who_has_the_socket(web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        status, text = refused_start(web)
        assert status == 2
        assert f'in use by process {web.agent.pid} (' in text and str(web.folder / 'agent.sock') in text
    with FalseSidecar(web) as sidecar:
        assert sidecar.take().number == 1, 'the first one goes on'


def test_a_stale_socket_is_replaced(web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
    web.agent.kill()
    assert (web.folder / 'agent.sock').is_socket()
    web.start_agent()
    web.agent.wait_line(msg='credentials validated')
    with FalseSidecar(web) as sidecar:
        assert sidecar.take().number == 1


def test_only_its_own_socket_is_removed(web):
    """An agent was stopped and finds another agent's socket at its path. It does not remove that socket."""
    path = web.folder / 'agent.sock'
    first = web.start_agent().agent
    wait_until(path.exists, 'no socket')
    first.signal(signal.SIGSTOP)
    path.unlink()
    web.start_agent()
    wait_until(path.exists, 'no socket')
    first.signal(signal.SIGCONT)
    assert 'in use by process' in first.wait_line(msg=re.compile('somebody removed our socket'))['msg']
    first.stop()
    with FalseSidecar(web) as sidecar:
        assert sidecar.take().number == 1


def test_a_socket_that_is_removed_comes_back(lab, web):
    """The agent recreates its socket, and the socket's directory too. Connected sidecars notice nothing."""
    web.change({'agent': {'socket': lab.folder / 'run' / 'agent.sock'}})
    run = lab.folder / 'run'
    run.mkdir()
    web.socket = run / 'agent.sock'
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        first = sidecar.take()
        (run / 'agent.sock').unlink()
        with FalseSidecar(web) as second:
            assert second.take().number == 1
        shutil.rmtree(run)
        assert 'does not exist' in web.agent.wait_line(msg=re.compile('cannot make it again'))['msg']
        run.mkdir()
        with FalseSidecar(web) as third:
            assert third.take().number == 1
        web.mount(lab.root.issue(labs.SERVER), lab.root.cert_pem)
        assert sidecar.receive().number == 2 and first.number == 1
    assert web.agent.stop() == 0
    assert not (run / 'agent.sock').exists()


def test_a_folder_that_somebody_keeps_locked(web):
    """Every user who may open it can do that."""
    folder = os.open(web.folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        assert sidecar.take().number == 1
        (web.folder / 'agent.sock').unlink()
        web.agent.wait_line(msg=re.compile('it has been made again'))
        with FalseSidecar(web) as second:
            assert second.take().number == 1
    assert len(web.agent.lines(level='warn', msg=re.compile(f'keeps {web.folder} locked'))) == 1
    assert web.agent.stop() == 0
    os.close(folder)


def test_what_is_no_socket_is_left_alone(web):
    path = web.folder / 'agent.sock'
    path.write_text('precious')
    status, text = refused_start(web)
    assert status == 2 and 'not a socket' in text
    assert path.read_text() == 'precious'


def test_the_directory_must_exist(web):
    web.change({'agent': {'socket': web.folder / 'nowhere' / 'agent.sock'}})
    status, text = refused_start(web)
    assert status == 2
    assert f'{web.folder}/nowhere' in text and 'create it' in text


@root_only
def test_root_may_not_write_to_the_directory_of_another(web):
    """Root has given up its capabilities and cannot write there. The message says what to do."""
    web.change({'agent': {'socket': web.folder / 'run' / 'agent.sock', 'sidecar_uid': 2112}})
    (web.folder / 'run').mkdir(mode=0o755)
    os.chown(web.folder / 'run', 2112, 2112)
    status, text = refused_start(web)
    assert status == 2
    assert 'uid 0 may not write to its directory' in text and 'that belongs to this uid' in text


# --- which callers are accepted -------------------------------------------------------------------------

@root_only
def test_other_users_are_refused_by_uid(web):
    web.change({'agent': {'sidecar_uid': 2112}})
    web.start_agent()
    path = web.folder / 'agent.sock'
    web.agent.wait_line(msg='credentials validated')
    assert connect_as(NOBODY, path) == 'closed'
    assert web.agent.wait_line(msg='caller refused')['uid'] == NOBODY
    assert connect_as(2112, path) == 'served'
    with FalseSidecar(web) as sidecar:
        assert sidecar.take().number == 1, 'our own uid is let in, too'


@root_only
def test_refused_callers_do_not_fill_the_log(web):
    """The agent logs at most twenty refusals in ten seconds for each uid, and how many it left out."""
    web.change({'agent': {'sidecar_uid': 2112}})
    web.start_agent()
    web.agent.wait_line(msg='credentials validated')
    for _ in range(30):
        assert connect_as(NOBODY, web.folder / 'agent.sock') == 'closed'
    assert web.agent.stop() == 0
    told = web.agent.lines(msg='lines left out')
    assert len(web.agent.lines(msg='caller refused')) + sum(line['left_out'] for line in told) == 30
    assert told and {line['uid'] for line in told} == {NOBODY}


@root_only
def test_root_has_no_privilege_here(web):
    web.change({'agent': {'sidecar_uid': 2112}})
    web.agent_uid = 2112
    os.chown(web.folder, 2112, 2112)
    os.chown(web.folder / 'tls.key', 2112, 2112)
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        assert sidecar.is_closed()
    assert web.agent.wait_line(msg='caller refused')['uid'] == 0
    assert connect_as(2112, web.folder / 'agent.sock') == 'served'


def test_the_mode_lets_in_no_more_than_needed(web):
    web.start_agent()
    wait_until((web.folder / 'agent.sock').exists, 'no socket')
    assert (web.folder / 'agent.sock').stat().st_mode & 0o777 == 0o600, 'the sidecar runs as the same user'


# --- misbehaving callers ----------------------------------------------------------------------------------

BAD = {
    'a megabyte of garbage': (b'\xa5' * 1_000_000, 'does not speak'),
    'zeros': (bytes(1_000_000), 'does not speak'),
    'HTTP': (b'GET /readyz HTTP/1.1\r\n\r\n', 'does not speak'),
    'an unknown message': (frame(99, b''), 'unknown'),
    'a huge length': (b'FLC1' + struct.pack('>HHI', 1, 0, 0xffffffff), 'claims'),
    'a HELLO without fields': (frame(1, b''), 'missing'),
    'another version': (hello(version=2), 'one release'),
    'two HELLOs': (hello(1, bytes(32)) + hello(1, bytes(32)), 'second HELLO'),
    'an answer before the question': (hello() + result(99), 'not sent'),
    'a message of a later release': (frame(0x1ff, b''), 'no HELLO came before'),
    'a generation': (encode_generation(1, b'key', b'bundle', 'ini'), 'only agents do'),
}


@pytest.mark.parametrize('data, reason', BAD.values(), ids=BAD)
def test_bad_callers_cost_their_own_connection(web, data, reason):
    web.start_agent()
    with FalseSidecar(web) as good, FalseSidecar(web) as bad:
        good.take()
        try:
            bad.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        line = web.agent.wait_line(msg='sidecar connection closed', connection=2)
        assert reason in line['reason']
        assert labs.end_of(bad.sock) in ('eof', 'reset')
    with FalseSidecar(web) as next_one:
        assert next_one.take().number >= 1


def test_half_a_message_and_gone(web):
    web.start_agent()
    whole = hello()
    for cut in range(0, len(whole), 5):
        with FalseSidecar(web) as sidecar:
            sidecar.send(whole[:cut])
    with FalseSidecar(web) as sidecar:
        assert sidecar.take().number == 1


def test_a_hello_byte_by_byte(web):
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        for byte in hello():
            sidecar.send(bytes([byte]))
        assert sidecar.receive().number == 1


def test_the_newest_connections_stay(web):
    """The agent keeps eight connections. It serves the ninth and closes the oldest."""
    web.start_agent()
    sidecars = [FalseSidecar(web) for _ in range(8)]
    for sidecar in sidecars:
        sidecar.take()
    with FalseSidecar(web) as ninth:
        assert ninth.take().number == 1
        assert sidecars[0].is_closed()
        web.agent.wait_line(msg='sidecar connection closed', connection=1)
    for sidecar in sidecars:
        sidecar.close()


@pytest.mark.heavy
def test_a_silent_caller_is_closed(web):
    web.start_agent()
    with FalseSidecar(web) as silent:
        silent.sock.settimeout(30 * labs.SLOW)
        assert silent.is_closed()
    assert 'no HELLO' in web.agent.wait_line(msg='sidecar connection closed')['reason']


def test_10000_bad_callers_leave_nothing(web):
    web.change({'log': {'level': 'error'}})
    web.start_agent()
    path = str(web.folder / 'agent.sock')
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        fds = web.agent.fds()
        kinds = [b'garbage', hello()[:20], b'', frame(1, b''), hello(version=3)]

        def call(count):
            for i in range(count):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(path)
                    try:
                        sock.sendall(kinds[i % len(kinds)])
                    except (BrokenPipeError, ConnectionResetError):
                        pass
            wait_until(lambda: web.agent.fds() == fds, lambda: f'{web.agent.fds()} descriptors, not {fds}')
        call(500)
        before = web.agent.heap()
        call(9500)
        if not (labs.ASAN or labs.TSAN):
            assert web.agent.heap() < before + 400_000  # 40 bytes for each caller


# --- cost ---------------------------------------------------------------------------------------------------

@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='sanitizers take memory of their own')
def test_it_is_small(web):
    """An agent runs in every pod and must be small. Only its private memory counts: sharing of libraries depends on the
    machine."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        assert web.agent.heap() < 400 * 1024


def test_it_sleeps(web):
    """An idle agent sleeps: once it has handed over its generation, it wakes twice a minute."""
    web.start_agent()
    with FalseSidecar(web) as sidecar:
        sidecar.take()
        web.agent.wait_line(msg='generation accepted')

        def long():
            fields = open(f'/proc/{web.agent.pid}/syscall', encoding='ascii').read().split()
            # epoll_wait or epoll_pwait, by the numbers of x86-64 and aarch64; milliseconds
            return fields[0] in ('232', '281', '22') and int(fields[4], 16) & 0xffffffff > 20000
        wait_until(long, 'it does not sleep')
