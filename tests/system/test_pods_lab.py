# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the laboratory itself: what the other tests of pods rely on."""
import os
import socket
import subprocess
import sys
import time

import pytest

import lab as labs
import pods
from lab import wait_until

FAMILIES = 'v4', 'v6'
FIXED = {'sidecar': {'inbound': '', 'outbound': ''}, 'service web': {'listen': '*:8443', 'app': '127.0.0.1:8080'}}


@pytest.mark.parametrize('family', FAMILIES)
def test_pods_reach_each_other(pod, family):
    a, b = pod('a', sidecar=False), pod('b', sidecar=False)
    b.app()
    with a.connect((getattr(b, family), 8080)) as sock:
        assert sock.getsockname()[0] == getattr(a, family)
        assert sock.getpeername()[0] == getattr(b, family)
        sock.sendall(b'hello')
        assert sock.recv(100) == b'hello'


@pytest.mark.parametrize('family', FAMILIES)
def test_service_leads_to_each_of_its_pods(node, pod, family):
    a, b, c = (pod(name, sidecar=False) for name in 'abc')
    apps = [each.app() for each in (b, c)]
    service = node.service(80, [b, c], to=8080)
    for _ in range(4):
        with a.connect((getattr(service, family), 80)) as sock:
            sock.sendall(b'hello')
            assert sock.recv(100) == b'hello'
    assert [app.accepted for app in apps] == [2, 2]


@pytest.mark.parametrize('family', FAMILIES)
def test_service_leads_back_to_the_pod_that_calls_it(node, pod, family):
    a = pod('a', sidecar=False)
    a.app()
    service = node.service(80, [a], to=8080)
    with a.connect((getattr(service, family), 80)) as sock:
        sock.sendall(b'hello')
        assert sock.recv(100) == b'hello'


def test_names_are_those_of_the_node(node, pod):
    a = pod('a', sidecar=False)
    node.dns['somewhere.test'] = ['10.1.2.3', 'fd01::3']
    assert a.run(['getent', 'ahostsv4', 'somewhere.test']).split()[0] == '10.1.2.3'
    assert a.run(['getent', 'ahostsv6', 'somewhere.test']).split()[0] == 'fd01::3'
    assert a.run(['getent', 'hosts', 'a.test']).split()[0] == a.v6
    assert a.try_run(['getent', 'hosts', 'nowhere.test']).returncode == 2


@pytest.mark.parametrize('family', FAMILIES)
def test_capture_sees_what_is_in_the_clear(pod, family):
    """The silence of the capture proves something only if it would see the data: also a marker that spans two
    packets."""
    a, b = pod('a', sidecar=False), pod('b', sidecar=False)
    b.app()
    with a.capture() as seen, a.connect((getattr(b, family), 8080)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b'one marker, two pa')
        sock.sendall(b'ckets')
        received = b''
        while len(received) < 23:
            received += sock.recv(100)
    assert seen.saw(b'one marker') and seen.saw(b'two packets')
    assert not seen.saw(b'another')
    assert set(seen.to_port(8080).values()) == {b'one marker, two packets'}


def test_programs_of_a_pod_have_no_privileges(pod):
    a = pod('a', sidecar=False)
    status = a.run(['cat', '/proc/self/status'])
    assert f'Uid:\t{pods.APP_UID}\t{pods.APP_UID}' in status
    assert 'CapEff:\t0000000000000000' in status and 'CapBnd:\t0000000000000000' in status


def test_sidecar_and_agent_are_users_of_their_own_without_capabilities(pod):
    """With fixed listeners, no process in a pod needs a capability."""
    a = pod('a', FIXED, redirect=False)
    for program, uid in ((a.sidecar, pods.SIDECAR_UID), (a.agent, pods.AGENT_UID)):
        with open(f'/proc/{program.pid}/status', encoding='ascii') as file:
            status = file.read()
        assert f'Uid:\t{uid}\t{uid}\t{uid}' in status and 'CapBnd:\t0000000000000000' in status
    for address in a.v4, a.v6:
        a.connect((address, pods.ADMIN)).close()


CRASH = '''
import os, sys
sys.path.insert(0, sys.argv[1])
import pathlib, tempfile, lab, pods
with tempfile.TemporaryDirectory() as folder, lab.Lab(folder) as lab, pods.Node(lab) as node:
    os.chmod(folder, 0o755)
    app = node.pod('a', sidecar=False).spawn('app', ['sleep', '1000'])
    while pathlib.Path(f'/proc/{app.pid}/comm').read_text() != 'sleep\\n':
        pass  # on its way there it does not know yet that it has to end with us
    print(app.pid, flush=True)
    os.kill(os.getpid(), 9)
'''


def test_nothing_is_left_of_a_run_that_was_killed(node):
    done = subprocess.run([sys.executable, '-c', CRASH, str(labs.ROOT / 'tests' / 'lib')], capture_output=True,
                          text=True, check=False)
    assert done.returncode == -9, done.stderr
    wait_until(lambda: not os.path.exists(f'/proc/{done.stdout.strip()}'), 'the process in the pod is gone')


def test_a_pod_takes_no_time(pod):
    """Prints the time and does not judge it: pytest -s."""
    for name, options in (('a', {'sidecar': False}), ('b', {'sections': FIXED, 'redirect': False})):
        begin = time.monotonic()
        pod(name, **options)
        print(f'a pod {options}: {(time.monotonic() - begin) * 1e3:.0f} ms')
