# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of a rolling upgrade: programs of the last version that spoke fairlead/1 alone, opposite today's.

The old programs are built once, from the repository's own history, into a folder of the build tree. Without that history
(a shallow clone, an archive) the tests are skipped. FAIRLEAD_OLD=/a/build uses a build tree that is there."""
import fcntl
import os
import pathlib
import subprocess
import threading

import pytest

import lab as labs
from lab import BUILD, ROOT, wait_until

LAST_OF_1 = '16cd3b1b'


def git(*arguments):
    return subprocess.run(['git', '-C', ROOT, *arguments], capture_output=True, check=False)


def build(folder):
    """Builds the old programs, if another process has not done it yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / 'build' / 'sidecar' / 'fairlead-sidecar').exists():
            archive = git('archive', LAST_OF_1)
            subprocess.run(['tar', '-x', '-C', folder], input=archive.stdout, check=True)
            done = subprocess.run([folder / 'deploy' / 'build'], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return folder / 'build'


@pytest.fixture(scope='module')
def old():
    """The folder of a build tree of the old version."""
    if path := os.environ.get('FAIRLEAD_OLD'):
        return pathlib.Path(path)
    if not os.environ.get('FAIRLEAD_LONG'):
        pytest.skip('builds an old version, which takes a minute: FAIRLEAD_LONG=1 runs it')
    if git('cat-file', '-e', f'{LAST_OF_1}^{{commit}}').returncode != 0:
        pytest.skip(f'the history has no commit {LAST_OF_1}')
    return build(BUILD / 'versions' / LAST_OF_1)


def works(port, count=20):
    for number in range(count):
        assert labs.ask(port, b'question %d' % number) == b'question %d' % number


SETTINGS = {'on': {}, 'off': {'tls': {'reuse': 'off'}}}


@pytest.mark.parametrize('client', SETTINGS)
@pytest.mark.parametrize('server', SETTINGS)
def test_each_setting_of_reuse_understands_the_other(lab, app, client, server):
    pair = lab.pair(app().port, outbound=SETTINGS[client], inbound=SETTINGS[server])
    works(pair.port)
    framed = client == server == 'on'
    assert (pair.inbound.metric('fairlead_session_uses_total') > 0) == framed
    assert pair.inbound.metric('fairlead_handshakes_total', direction='inbound', result='ok') == (1 if framed else 20)


@pytest.mark.heavy
@pytest.mark.parametrize('which', ['client', 'server'])
def test_an_old_sidecar_and_a_new_one_understand_each_other(lab, app, old, monkeypatch, which):
    behind = lab.inbound(app().port, start=False)
    front = lab.outbound(behind.port, start=False)
    order = (front, behind) if which == 'client' else (behind, front)
    with monkeypatch.context() as patch:
        labs.use_programs(patch, old)
        order[0].start()
    order[1].start()
    for workload in order:
        workload.wait_ready()
    works(front.port)
    assert order[1].metric('fairlead_session_uses_total') == 0


@pytest.mark.heavy
@pytest.mark.parametrize('first', ['client', 'server'])
def test_a_rolling_upgrade_loses_no_connection(lab, app, old, monkeypatch, first):
    """One side after the other is replaced while connections are made and a long one stays open on the other side."""
    behind = lab.inbound(app().port, start=False)
    front = lab.outbound(behind.port, start=False)
    with monkeypatch.context() as patch:
        labs.use_programs(patch, old)
        for workload in (behind, front):
            workload.start()
        for workload in (behind, front):
            workload.wait_ready()
    works(front.port, 5)
    for workload in (front, behind) if first == 'client' else (behind, front):
        workload.sidecar.stop()
        workload.agent.stop()
        workload.start().wait_ready()
        works(front.port, 10)
    assert front.metric('fairlead_session_uses_total', direction='outbound', kind='reused') > 0
