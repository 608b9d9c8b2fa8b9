# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests software that learns the address of its peer from a connection: what it sees in each mode, and that its own
remedy works."""
import re

import pytest

import lab as labs
import software

pytestmark = pytest.mark.skipif(bool(software.missing('redis-server', 'redis-cli')), reason='redis-server is not here')


def member(node, name, mode):
    options = {'capabilities': ('net_admin',)} if mode == 'tproxy' else {}
    return node.pod(name, {'redirect': {'mode': mode}}, **options)


def cli(pod, *words):
    return pod.run(['redis-cli', *words]).strip()


@pytest.mark.heavy
@pytest.mark.parametrize('mode, announce', [('redirect', False), ('redirect', True), ('tproxy', False)],
                         ids=['redirect', 'announced', 'tproxy'])
def test_replicas_of_redis(node, mode, announce):
    pods = [member(node, name, mode) for name in ('first', 'second')]
    for pod in pods:
        software.redis(pod)
        if announce:
            cli(pod, 'config', 'set', 'replica-announce-ip', pod.v4)
    master, replica = pods
    cli(replica, 'replicaof', master.v4, '6379')
    listed = []

    def is_listed():
        listed[:] = re.findall(r'^slave\d:ip=([^,]+),port=6379,state=online', cli(master, 'info', 'replication'), re.M)
        return listed
    labs.wait_until(is_listed, 'the replica is there', 20)
    # Without a remedy, the replica is listed under the address of the pod that lists it.
    assert listed == [replica.v4 if announce or mode == 'tproxy' else master.v4]


@pytest.mark.heavy
@pytest.mark.parametrize('mode, announce', [('redirect', True), ('tproxy', False)], ids=['announced', 'tproxy'])
def test_a_cluster_of_redis_meets(node, mode, announce):
    pods = [member(node, name, mode) for name in ('first', 'second')]
    for pod in pods:
        server = pod.spawn('redis', ['redis-server', '--port', 6379, '--bind', '*', '-::*', '--protected-mode', 'no',
                                     '--save', '', '--dir', pod.home, '--cluster-enabled', 'yes', '--shutdown-timeout',
                                     '0', *(['--cluster-announce-ip', pod.v4] if announce else [])])
        server.expected.add(-15)
        software.listening(pod, 6379)
    cli(pods[0], 'cluster', 'meet', pods[1].v4, '6379')
    for pod, other in (pods, reversed(pods)):
        labs.wait_until(lambda: f'{other.v4}:6379@16379 master' in cli(pod, 'cluster', 'nodes'),
                        lambda: cli(pod, 'cluster', 'nodes'), 20)
