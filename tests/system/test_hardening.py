# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests from outside which privileges a process with a private key gives up."""
import os
import re
import signal
import subprocess

import pytest

import lab as labs
import memory
from lab import ASAN, TSAN

NOBODY = 65534


root_only = pytest.mark.skipif(os.getuid() != 0, reason='needs root, to have something to give up')


def capability_sets(pid):
    with open(f'/proc/{pid}/status', encoding='utf-8') as status:
        return {name: int(value, 16) for name, value in re.findall(r'^Cap(\w+):\s+(\w+)', status.read(), re.M)}


@root_only
def test_root_keeps_no_capability(lab):
    """No thread keeps one."""
    inbound = lab.inbound('127.0.0.1:9')
    for process in processes(inbound):
        for tid in os.listdir(f'/proc/{process.pid}/task'):
            assert set(capability_sets(f'{process.pid}/task/{tid}').values()) == {0}, process.name


@root_only
def test_root_keeps_what_tproxy_takes(lab):
    """The process keeps what tproxy requires. The bounding set has nothing else either."""
    inbound = lab.inbound('127.0.0.1:9', {'redirect': {'mode': 'tproxy'},
                                          'sidecar': {'inbound': f'127.0.0.1:{lab.ports.free()}'}}, start=False)
    inbound.start_agent().start_sidecar()
    inbound.sidecar.wait_line(msg=re.compile('started'))
    inbound.agent.wait_line(msg='sidecar connected')
    sets = capability_sets(inbound.sidecar.pid)
    assert sets['Prm'] == sets['Eff'] == sets['Bnd'] == 1 << 12, 'NET_ADMIN'


@root_only
def test_a_key_that_root_may_not_read_is_said_to_be_so(lab):
    """Without capabilities, root is a user like any other."""
    inbound = lab.inbound('127.0.0.1:9', start=False)
    os.chown(inbound.folder / 'tls.key', NOBODY, -1)
    inbound.start()
    inbound.agent.wait_line(msg='credentials refused', reason=re.compile(f'uid 0 .* may not read it: it belongs to {NOBODY}'))
    done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, 'check', '-c', inbound.ini], capture_output=True,
                          check=False)
    assert b'tls.key' not in done.stderr, 'the tools, which root starts, read it'


# --- signals ----------------------------------------------------------------------------------------

NOBODY_MEANS_THE_END = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM, signal.SIGVTALRM,
                        signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGXFSZ, signal.SIGSTKFLT, signal.SIGRTMIN,
                        signal.SIGRTMAX]


def test_signals_that_nobody_means_as_the_end(lab, app):
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(inbound.port)
    with labs.connect(outbound.port) as sock:
        for workload in inbound, outbound:
            for process in processes(workload):
                for number in NOBODY_MEANS_THE_END:
                    process.signal(number)
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
    inbound.agent.wait_line(msg=re.compile('^SIGHUP'))
    assert inbound.get('/readyz')[0] == 200 and outbound.get('/readyz')[0] == 200
    assert [process.stop() for process in processes(inbound)] == [0, 0]


def test_sighup_makes_the_agent_look_at_once(lab):
    """Replacing the file under another of its names is no event of the folder: without SIGHUP, the agent would notice
    later."""
    inbound = lab.inbound('127.0.0.1:9')
    other = lab.folder / 'another-name.ini'
    os.link(inbound.ini, other)
    inbound.sections['limits'] = {'idle_timeout': '7m'}
    other.write_text(labs.ini(inbound.sections))
    inbound.agent.signal(signal.SIGHUP)
    inbound.agent.wait_line(msg=re.compile('^SIGHUP'))
    inbound.agent.wait_line(msg='generation accepted', generation=2, timeout=5)


def field(pid, name):
    with open(f'/proc/{pid}/status', encoding='utf-8') as status:
        return re.search(rf'^{name}:\s+(\d+)', status.read(), re.M)[1]


def processes(workload):
    return workload.sidecar, workload.agent


def test_neither_process_can_gain_privileges(lab):
    """A process that is tricked into starting a set-uid program gains nothing."""
    inbound = lab.inbound('127.0.0.1:9')
    assert [field(process.pid, 'NoNewPrivs') for process in processes(inbound)] == ['1', '1']


@pytest.mark.skipif(ASAN, reason='the leak checker has to trace its own process')
@pytest.mark.skipif(os.getuid() != 0, reason='needs root, to run the sidecar as another user')
@pytest.mark.parametrize('which', ['sidecar', 'agent'])
def test_a_process_of_the_same_user_cannot_read_its_memory(lab, which):
    """An app may share user and process namespace with it. The process is not dumpable, so its files in /proc belong to
    root."""
    inbound = lab.inbound('127.0.0.1:9', start=False, **{f'{which}_uid': NOBODY})
    if which == 'agent':
        os.chown(inbound.folder, NOBODY, -1)
        inbound.mount(lab.server, lab.root.cert_pem)
    inbound.start().wait_ready()
    process = getattr(inbound, which)
    assert field(process.pid, 'Uid') == str(NOBODY)
    assert os.stat(f'/proc/{process.pid}/mem').st_uid == 0


def test_neither_process_leaves_a_core_dump(lab):
    inbound = lab.inbound('127.0.0.1:9')
    for process in processes(inbound):
        with open(f'/proc/{process.pid}/limits', encoding='utf-8') as limits:
            assert re.search(r'^Max core file size\s+0\s+0\s', limits.read(), re.M)


@pytest.mark.skipif(ASAN or TSAN, reason='sanitizers make mlock do nothing')
@root_only
@pytest.mark.parametrize('keeper', ['sidecar', 'agent'])
def test_the_agent_s_pages_that_hold_the_key_are_locked_into_memory(lab, keeper):
    """The kernel writes them neither to swap nor to a core dump, wherever in the agent the key is."""
    inbound = lab.inbound('127.0.0.1:9', {'tls': {'key': keeper}})
    places = memory.flags_where_found(inbound.agent.pid, lab.server.key)
    assert places and all({'lo', 'dd'} <= flags for flags in places), places


@pytest.mark.skipif(ASAN or TSAN, reason='sanitizers make mlock do nothing')
def test_the_sidecar_s_keys_of_tickets_are_locked_into_memory(lab):
    inbound = lab.inbound('127.0.0.1:9')
    assert int(field(inbound.sidecar.pid, 'VmLck')) > 0
