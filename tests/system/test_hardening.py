# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process that holds a private key gives up, seen from outside."""
import os
import re

import pytest

from lab import ASAN

NOBODY = 65534


def field(pid, name):
    with open(f'/proc/{pid}/status', encoding='utf-8') as status:
        return re.search(rf'^{name}:\s+(\d+)', status.read(), re.M)[1]


def processes(workload):
    return workload.sidecar, workload.agent


def test_neither_process_can_gain_privileges(lab):
    """A set-uid program that one of them were tricked into starting would gain nothing."""
    inbound = lab.inbound('127.0.0.1:9')
    assert [field(process.pid, 'NoNewPrivs') for process in processes(inbound)] == ['1', '1']


@pytest.mark.skipif(ASAN, reason='the leak checker has to trace its own process')
@pytest.mark.skipif(os.getuid() != 0, reason='needs root, to run the sidecar as another user')
def test_a_process_of_the_same_user_cannot_read_the_sidecar_s_memory(lab):
    """An app may share user and process namespace with it. Of a process that is not dumpable, /proc belongs to root."""
    inbound = lab.inbound('127.0.0.1:9', sidecar_uid=NOBODY)
    assert field(inbound.sidecar.pid, 'Uid') == str(NOBODY)
    assert os.stat(f'/proc/{inbound.sidecar.pid}/mem').st_uid == 0


def test_neither_process_leaves_a_core_dump(lab):
    inbound = lab.inbound('127.0.0.1:9')
    for process in processes(inbound):
        with open(f'/proc/{process.pid}/limits', encoding='utf-8') as limits:
            assert re.search(r'^Max core file size\s+0\s+0\s', limits.read(), re.M)


@pytest.mark.skipif(ASAN, reason='AddressSanitizer makes mlock do nothing')
def test_the_pages_that_hold_the_key_are_locked_into_memory(lab):
    """So that they are never written to swap."""
    inbound = lab.inbound('127.0.0.1:9')
    assert int(field(inbound.sidecar.pid, 'VmLck')) > 0
