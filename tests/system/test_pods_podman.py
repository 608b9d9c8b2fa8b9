# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs two pods of podman, composed as Kubernetes would do it: an init container that loads the rules and exits, agent
and sidecar as two users without any capability on a read-only root, and an app that knows nothing of them."""
import contextlib
import os

import pytest

import lab as labs
import podman as podmans
import software
from lab import wait_until
from pods import AGENT_UID, APP_UID, SIDECAR_UID, Capture, Network
from volume import Volume, secret

MARKER = 'a-marker-of-the-app'
LOCKED = '--read-only', '--cap-drop', 'all', '--security-opt', 'no-new-privileges', '--memory', '128m'
INI = '''
[identity]
cert = /certs/tls.crt
key = /certs/tls.key
bundle = /certs/ca.crt
[sidecar]
inbound = *:15006
outbound = 127.0.0.1:15001, [::1]:15001
admin = *:15020
workers = 1
[agent]
socket = /run/fairlead/agent.sock
[allow mesh]
from = spiffe://prod.example/ns/test/sa/shop
to = 6379
'''


class Pod:
    """A pod with the sidecar's three containers. The app is added later."""

    def __init__(self, podman, lab, name):
        self.podman, self.lab, self.name = podman, lab, name
        self.identity = f'spiffe://{labs.TD}/ns/test/sa/{name}'
        folder = lab.folder / name
        for part in 'etc', 'run', 'certs':
            (folder / part).mkdir(parents=True)
        os.chown(folder / 'run', AGENT_UID, AGENT_UID)
        (folder / 'etc' / 'fairlead.ini').write_text(INI)
        self.certs = Volume(folder / 'certs', gid=AGENT_UID)
        self.rotate()
        self.mounts = '-v', f'{folder}/etc:/etc/fairlead:ro', '-v', f'{folder}/run:/run/fairlead'
        podman('pod', 'create', '--name', name, '--network', 'lab')
        self.run('init', 'fairlead-agent', 'redirect', 'apply', uid=0, options=['--rm', '--cap-add', 'net_admin'])
        self.run('agent', 'fairlead-agent', 'run', uid=AGENT_UID, options=['-d', '-v', f'{folder}/certs:/certs:ro'])
        self.run('sidecar', 'fairlead-sidecar', uid=SIDECAR_UID, options=['-d'])
        self.wait_ready()

    def rotate(self):
        self.certs.write(secret(self.lab.root.issue(self.identity), self.lab.root))

    def run(self, name, *command, uid=APP_UID, options=('-d',)):
        self.podman('run', '--pod', self.name, '--name', f'{self.name}-{name}', '--user', f'{uid}:{uid}', *LOCKED,
                    *self.mounts, *options, 'localhost/fairlead', *command)

    def wait_ready(self):
        self.podman('exec', f'{self.name}-agent', 'fairlead-agent', 'wait', '--timeout', '20s')

    def logs(self, name):
        done = self.podman.try_run('logs', f'{self.name}-{name}')
        return (done.stdout + done.stderr).decode()

    def addresses(self):
        """Returns the addresses, IPv4 and IPv6."""
        infra = self.podman('pod', 'inspect', '--format', '{{.InfraContainerID}}', self.name)
        text = self.podman('inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}} '
                           '{{.GlobalIPv6Address}}{{end}}', infra)
        return text.split()


@pytest.fixture
def podman(lab):
    why = podmans.missing()
    gone = software.missing('redis-server', 'redis-cli')
    if why or gone:
        pytest.skip(why or f'not installed: {", ".join(gone)}')
    with contextlib.ExitStack() as stack:
        try:
            podman = stack.enter_context(podmans.Podman(lab.folder))
            podman.image('fairlead', {
                '/usr/sbin/nft': '/usr/sbin/nft', '/usr/bin/fairlead-sidecar': labs.SIDECAR, '/usr/bin/fairlead-agent': labs.AGENT,
                '/usr/bin/redis-server': '/usr/bin/redis-server', '/usr/bin/redis-cli': '/usr/bin/redis-cli'})
            podman.try_out('fairlead', 'fairlead-agent', '--version')
        except podmans.CannotRun as why:
            pytest.skip(f'podman cannot run here: {why}')
        podman('network', 'create', '--ipv6', '--subnet', '10.90.0.0/24', '--subnet', 'fd90::/64', 'lab')
        yield podman


@pytest.mark.heavy
@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='their images are those of the release build')
def test_two_pods(podman, lab):
    shop, cache = Pod(podman, lab, 'shop'), Pod(podman, lab, 'cache')
    try:
        with contextlib.closing(Network(f'/proc/{podman.init}/ns/net')) as network:
            two_pods(podman, network, shop, cache)
    except BaseException:
        for pod in shop, cache:
            for name in 'agent', 'sidecar':
                print(f'--- {pod.name}-{name}\n{pod.logs(name)}')
        raise


def two_pods(podman, network, shop, cache):
    def redis(host, *words):
        done = podman.try_run('exec', 'shop-app', 'redis-cli', '-h', host, *words)
        return (done.stdout + done.stderr).decode().strip()
    shop.run('app', 'redis-server', '--port', '6380', '--save', '')
    with Capture(network, None) as seen:
        assert 'PONG' not in redis('cache', 'ping'), 'nobody listens there yet'
        cache.run('app', 'redis-server', '--protected-mode', 'no', '--save', '', '--bind', '*', '-::*')
        hosts = ['cache', *cache.addresses()]
        wait_until(lambda: redis('cache', 'ping') == 'PONG', 'the app is up')
        for host in hosts:
            assert redis(host, 'set', host, MARKER) == 'OK'
            assert redis(host, 'get', host) == MARKER
        assert redis('127.0.0.1', '-p', '6380', 'ping') == 'PONG'

        # The pods get new certificates, as the kubelet writes them, during an open connection.
        podman('exec', '-d', 'shop-app', 'redis-cli', '-h', 'cache', 'subscribe', 'news')
        wait_until(lambda: redis('cache', 'pubsub', 'numsub', 'news') == 'news\n1', 'it has subscribed')
        for pod in shop, cache:
            pod.rotate()
            wait_until(lambda p=pod: '"generation":2' in p.logs('sidecar'), f'{pod.name} has the new one')
        assert redis('cache', 'publish', 'news', MARKER) == '1'

        # Without its sidecar, the app reaches no one. It works again when the sidecar is back.
        podman('kill', '--signal', 'KILL', 'shop-sidecar')
        wait_until(lambda: 'Exited' in podman('ps', '-a', '--filter', 'name=shop-sidecar', '--format', '{{.Status}}'),
                   'it is gone')
        for host in hosts[1:]:
            assert MARKER not in redis(host, 'get', 'cache')
        podman('start', 'shop-sidecar')
        shop.wait_ready()
        assert redis('cache', 'get', 'cache') == MARKER
    assert seen.to_port(6379) and not seen.saw(MARKER.encode()), 'on the wire, and not in the clear'
    for pod, peer in (shop, cache), (cache, shop):
        assert f'"peer":"{peer.identity}"' in pod.logs('sidecar')
    for address in shop.addresses():
        assert address in cache.logs('sidecar'), 'the peer as it is'
