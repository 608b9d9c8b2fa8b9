# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests source ports: a captured app can open as many connections as without a sidecar. In mode = tproxy, our
connections under the client's address never collide with the client's own."""
import os
import resource
import socket

import pytest

import lab as labs
from scene import FAMILIES

PLAINTEXT = {'inbound': {'mode': 'plaintext'}, 'allow plain': {'from': 'plaintext'}}


def setting(pod, name, value):
    pod.space.root(['sh', '-c', f'echo {value} >/proc/sys/net/ipv4/{name}'])


def speaks(sock, word):
    try:
        sock.sendall(word)
        return sock.recv(len(word), socket.MSG_WAITALL) == word
    except OSError:
        return False


class Calls:
    """Connections of a pod's app to one destination, held by this process."""

    def __init__(self, pod, to, timeout=5):
        self.pod, self.to, self.open, self.failed, self.timeout = pod, to, [], [], timeout * labs.SLOW

    def call(self, number):
        sock = socket.socket(socket.AF_INET6 if ':' in self.to[0] else socket.AF_INET)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self.to)
        except OSError as error:
            self.failed.append((number, repr(error)))
            return sock
        if not speaks(sock, b'%07d!' % number):
            self.failed.append((number, 'no echo'))
        return sock

    def make(self, count, *, stays=lambda number: True, patience=1):
        """Makes this many, one after the other, up to the first failure. Those that do not stay are closed at once."""
        def run():
            for number in range(count):
                sock = self.call(number)
                if len(self.failed) >= patience or not stays(number):
                    sock.close()
                else:
                    self.open.append(sock)
                if len(self.failed) >= patience:
                    return
        self.pod.space.inside(run)
        return self

    def still_live(self):
        return all(speaks(sock, b'again') for sock in self.open)

    def close(self):
        for sock in self.open:
            sock.close()
        self.open = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.mark.parametrize('family', FAMILIES)
def test_a_captured_app_has_as_many_connections_as_a_plain_one(node, family):
    server, old = node.pod('server'), node.pod('old', sidecar=False)
    client, plain = node.pod('client', start=False), node.pod('plain', sidecar=False)
    for pod in server, old:
        pod.app()
    for pod in client, plain:
        setting(pod, 'ip_local_port_range', '40000 40099')
    client.start().wait_ready()
    with Calls(plain, (getattr(old, family), 8080)) as without, Calls(client, (getattr(server, family), 8080)) as calls:
        without.make(110)
        assert len(without.open) == 100
        calls.make(110)
        assert len(calls.open) == 100 and calls.still_live()
        # Another destination has its own ports.
        with Calls(client, (getattr(old, family), 8080)) as others:
            client.change({'outbound': {'default': 'plaintext'}})
            client.agent.wait_line(msg='INI reloaded')
            labs.wait_until(lambda: client.metric('fairlead_generation') == 2, 'no second generation')
            assert len(others.make(110).open) == 100


def tproxy_server(node, sections=None, **options):
    server = node.pod('server', labs.merge({'redirect': {'mode': 'tproxy'}, 'limits': {'connections': 50000}},
                                           sections), capabilities=('net_admin',), **options)
    return server


def mixed(number):
    return number % 3 != 0


@pytest.mark.heavy
@pytest.mark.parametrize('mesh', (False, True), ids=('plaintext', 'mtls'))
def test_tproxy_with_many_connections_of_one_client(node, mesh):
    """If the ports came from the range that the client uses itself, tens of these connections would collide."""
    count, stays = 3000, mixed
    if os.environ.get('FAIRLEAD_LONG'):
        # Each connection costs a sidecar two descriptors, and one client may not use all of them (REFERENCE, Limits and
        # strangers). So of every 100, only a safe number stays open.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        count, share = 20000, min(90, most // 1000)
        stays = lambda number: number % 100 < share  # noqa: E731
    server = tproxy_server(node, {} if mesh else PLAINTEXT)
    client = node.pod('client', {'limits': {'connections': 50000}} if mesh else None, sidecar=mesh)
    echo(server)
    with Calls(client, (server.v4, 8080)) as calls:
        calls.make(count, stays=stays)
        assert not calls.failed and calls.still_live()
        assert len(calls.open) == sum(map(stays, range(count)))


ECHO = """
import asyncio, sys
async def serve(reader, writer):
    try:
        while data := await reader.read(1024):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, None, int(sys.argv[1]), backlog=1000)
    async with server:
        await server.serve_forever()
asyncio.run(main())"""


def echo(pod, port=8080):
    """Starts a server for thousands of connections, with one socket for both families."""
    server = pod.spawn('echo', ['/usr/bin/python3', '-c', ECHO, port])
    server.expected.add(-15)
    labs.wait_until(lambda: len(pod.space.root(['ss', '-Hltn', f'sport = :{port}']).splitlines()) == 2,
                    'nobody listens')
    return server


def with_few_ports(node, kernel):
    """Returns a server with mode = tproxy, 20 of our ports for a client, and this many of the kernel's."""
    server = tproxy_server(node, PLAINTEXT, start=False)
    setting(server, 'ip_local_reserved_ports', '1024-10239,10260-32767,61000-65535')
    setting(server, 'ip_local_port_range', f'40000 {40000 + kernel - 1}')
    server.app()
    server.start().wait_ready()
    return server, node.pod('client', sidecar=False)


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_without_a_port_left_ends_the_connection_at_once(node, family):
    server, client = with_few_ports(node, 10)
    setting(client, 'ip_local_port_range', '50000 50999')
    with Calls(client, (getattr(server, family), 8080)) as calls:
        calls.make(31, patience=2)
        assert len(calls.open) == 31 and len(calls.failed) == 1 and calls.failed[0][0] == 30
        line = server.wait_connection('inbound', reason='app_unreachable')
        assert 'port' in line['detail'] and line['duration_s'] < 2
        # As soon as one connection has ended, a port is free again.
        calls.open[0].close()
        server.wait_connection('inbound', reason='done')
        again = client.space.inside(lambda: calls.call(99))
        assert len(calls.failed) == 1
        again.close()


@pytest.mark.parametrize('family', FAMILIES)
def test_tproxy_goes_past_its_own_time_wait(node, family):
    """Each connection leaves the sidecar's socket in TIME-WAIT. 100 connections share 21 ports."""
    server, client = with_few_ports(node, 1)
    with Calls(client, (getattr(server, family), 8080)) as calls:
        calls.make(100, stays=lambda number: False)
        assert not calls.failed
