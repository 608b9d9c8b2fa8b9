# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the programs for 64-bit ARM opposite those of this machine: tests/run --aarch64.

Emulation has neither seccomp nor Landlock, so the programs say that they go without; which calls they make can be seen all the same."""
import re

import pytest

import lab as labs
from lab import BUILD, ROOT, wait_until

pytestmark = [pytest.mark.aarch64, pytest.mark.heavy,
              pytest.mark.skipif(BUILD.name != 'build-aarch64', reason='of that build: tests/run --aarch64')]

OURS = ROOT / 'build'


def pair(lab, app, monkeypatch, emulated, settings=None):
    """Two workloads: of the named ones the programs are emulated, of the others they are this machine's own."""
    behind = lab.inbound(app().port, settings, start=False)
    front = lab.outbound(behind.port, start=False)
    for name, workload in (('server', behind), ('client', front)):
        with monkeypatch.context() as patch:
            labs.use_programs(patch, BUILD if name in emulated else OURS)
            workload.start()
    for workload in (behind, front):
        workload.wait_ready()
    return front, behind


@pytest.mark.parametrize('settings', [{}, {'tls': {'reuse': 'off', 'tickets': 'off'}}], ids=['defaults', 'full'])
@pytest.mark.parametrize('emulated', [('server',), ('client',), ('server', 'client')], ids='+'.join)
def test_architectures_understand_each_other(lab, app, monkeypatch, emulated, settings):
    front, behind = pair(lab, app, monkeypatch, emulated, settings)
    large = bytes(range(256)) * 2000
    for text in (b'question', large, b'again'):
        assert labs.ask(front.port, text) == text
    assert behind.metric('fairlead_handshakes_total', direction='inbound', result='ok') >= (3 if settings else 1)


def permitted(program):
    """The calls that have a row for the program in base/sandbox_calls.h."""
    text = (ROOT / 'sidecar' / 'base' / 'sandbox_calls.h').read_text()
    rows = text.split('both_calls[] = {')[1].split('};')[0] + text.split(f'{program}_calls[] = {{')[1].split('};')[0]
    macros = {'SOCKET': 'socket', 'SIGNAL_US': 'tgkill', 'OPTION': 'setsockopt'}
    return set(re.findall(r'"(\w+)"', rows)) | {name for macro, name in macros.items() if macro + '(' in rows}


def test_the_sandbox_has_a_row_for_each_call(lab, app, monkeypatch):
    """The C library makes other calls on this architecture. Emulation refuses the filter, and the program goes on without."""
    monkeypatch.setenv('QEMU_STRACE', '1')
    monkeypatch.setenv('QEMU_LOG_FILENAME', str(lab.folder / 'calls.%d'))
    front, behind = pair(lab, app, monkeypatch, ('server', 'client'))
    for text in (b'question', bytes(range(256)) * 2000):
        assert labs.ask(front.port, text) == text
    behind.mount(lab.root.issue(labs.SERVER))
    behind.sidecar.wait_line(msg='generation in use', generation=2)
    for workload in (front, behind):
        for kind, program in (('sidecar', workload.sidecar), ('agent', workload.agent)):
            program.stop()
            calls = re.findall(r'^\d+ (\w+)\(', (lab.folder / f'calls.{program.pid}').read_text(), re.M)
            later = set(calls[len(calls) - calls[::-1].index('seccomp'):])  # an earlier filter keeps libuv from making rings
            assert {'read', 'exit_group'} < later
            assert not later - permitted(kind)
