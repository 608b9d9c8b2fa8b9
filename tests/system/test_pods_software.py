# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs real software that knows nothing of the sidecar, in pods with captured traffic: over IPv4 and IPv6, to a pod and
to a service, by address and by name. None of its data is on the wire in the clear."""
import json
import re

import pytest

import database
import pods
import software
from lab import wait_until

MARKER = 'a-marker-of-the-app'


def needs(*programs):
    gone = software.missing(*programs)
    return pytest.mark.skipif(bool(gone), reason=f'not installed: {", ".join(gone)}')


def ways(pod, service):
    """Returns every way to name the server."""
    return [pod.v4, pod.v6, service.v4, service.v6, f'{service.name}.test', f'{pod.name}.test']


def bracketed(host):
    return f'[{host}]' if ':' in host else host


def both_ends_saw(shop, server, count, port):
    """The logs of both sidecars have this number of connections, with the identities and the real addresses."""
    wait_until(lambda: len(shop.connections('outbound')) >= count and len(server.connections('inbound')) >= count,
               lambda: f'{len(shop.connections("outbound"))} and {len(server.connections("inbound"))} of {count}')
    for line in shop.connections('outbound'):
        assert (line['peer'], line['own']) == (server.identity, shop.identity)
        assert re.fullmatch(rf'({re.escape(shop.v4)}|\[{shop.v6}\]):\d+', line['source'])
        assert line['destination'].endswith(f':{port}')
    for line in server.connections('inbound'):
        assert (line['peer'], line['own']) == (shop.identity, server.identity)
        assert line['destination'] in (f'{server.v4}:{port}', f'[{server.v6}]:{port}')
        assert re.fullmatch(rf'({re.escape(shop.v4)}|\[{shop.v6}\]):\d+', line['source'])
    assert {line['source'].rpartition(':')[0] for line in server.connections('inbound')} == {shop.v4, f'[{shop.v6}]'}


@pytest.mark.skipif(database.programs() is None, reason='PostgreSQL is not installed')
def test_postgresql(node, pod):
    shop, server = pod('shop'), pod('db')
    software.postgres(server)
    service = node.service(5432, [server])
    with pods.in_the_dark(MARKER.encode(), shop, server):
        for host in ways(server, service):
            command = database.plain(['psql', '-h', host, '-U', 'app', '-Atc', f"select '{MARKER}'", 'postgres'])
            assert shop.run(command) == MARKER + '\n'
    both_ends_saw(shop, server, 6, 5432)
    bench = [database.programs() / 'pgbench', '-h', service.v4, '-U', 'app']
    shop.run(database.plain([*bench, '-iq', '-s', 1, 'postgres']))
    report = shop.run(database.plain([*bench, '-n', '-c', 4, '-t', 50, 'postgres']))
    assert 'number of transactions actually processed: 200/200' in report and 'failed transactions: 0 ' in report


@needs('mariadbd', 'mariadb')
def test_mariadb_speaks_first(node, pod):
    """Strict mode detects nothing and waits for nothing: the greeting comes at once, however long detect_timeout is."""
    slow = {'inbound': {'detect_timeout': '1m'}}
    shop, server = pod('shop', slow), pod('db', slow)
    software.mariadb(server)
    service = node.service(3306, [server])
    with pods.in_the_dark(MARKER.encode(), shop, server):
        for host in ways(server, service):
            assert MARKER in shop.run(['mariadb', '--no-defaults', '-h', host, '-u', 'app', '-e',
                                       f"select '{MARKER}'"])
    both_ends_saw(shop, server, 6, 3306)


@needs('redis-server', 'redis-cli')
def test_redis(node, pod):
    """Runs requests, a subscription that stays open, and a replica in a third pod."""
    shop, server, copy = pod('shop'), pod('cache'), pod('copy')
    software.redis(server)
    software.redis(copy)
    service = node.service(6379, [server])

    def redis(*words, host=service.v4):
        return shop.run(['redis-cli', '-h', host, *words]).strip()
    with pods.in_the_dark(MARKER.encode(), shop, server, copy):
        subscriber = shop.spawn('subscriber', ['redis-cli', '-h', service.v6, 'subscribe', 'news'])
        subscriber.expected.add(-15)
        wait_until(lambda: redis('pubsub', 'numsub', 'news') == 'news\n1', 'it has subscribed')
        assert copy.run(['redis-cli', 'replicaof', 'cache.test', '6379']).strip() == 'OK'
        for number, host in enumerate(ways(server, service)):
            assert redis('set', f'key{number}', MARKER, host=host) == 'OK'
            assert redis('publish', 'news', f'{MARKER}-{number}', host=host) == '1'
        wait_until(lambda: f'{MARKER}-5' in subscriber.text, lambda: subscriber.text)
        assert [f'{MARKER}-{number}' in subscriber.text for number in range(6)] == [True] * 6
        wait_until(lambda: copy.run(['redis-cli', 'get', 'key5']).strip() == MARKER, 'the replica follows', 20)
    assert 'connected_slaves:1' in redis('info', 'replication')


@needs('nginx', 'curl')
def test_nginx_keeps_connections(node, pod):
    shop, server = pod('shop'), pod('web')
    software.nginx(server, body=MARKER)
    service = node.service(80, [server], to=8080)
    with pods.in_the_dark(MARKER.encode(), shop, server):
        for host in service.v4, service.v6, f'{service.name}.test':
            urls = [f'http://{bracketed(host)}/?{number}' for number in range(20)]
            output = shop.run(['curl', '-sSf', '-w', ' %{num_connects}\n', *urls])
            assert output == f'{MARKER} 1\n' + f'{MARKER} 0\n' * 19
        for host in server.v4, server.v6, f'{server.name}.test':
            urls = [f'http://{bracketed(host)}:8080/?{number}' for number in range(20)]
            output = shop.run(['curl', '-sSf', '-w', ' %{num_connects}\n', *urls])
            assert output == f'{MARKER} 1\n' + f'{MARKER} 0\n' * 19
    both_ends_saw_http(shop, server)


def both_ends_saw_http(shop, server):
    wait_until(lambda: len(server.connections('inbound')) == 6 and len(shop.connections('outbound')) == 6,
               'all six connections have ended')
    # The address that the app dialled, before and after the node's translation.
    assert {line['destination'].rpartition(':')[2] for line in shop.connections('outbound')} == {'80', '8080'}
    assert {line['destination'].rpartition(':')[2] for line in server.connections('inbound')} == {'8080'}


@needs('nginx', 'curl')
def test_nginx_http2(node, pod):
    shop, server = pod('shop'), pod('web')
    software.nginx(server, body=MARKER)
    service = node.service(81, [server], to=8081)
    with pods.in_the_dark(MARKER.encode(), shop, server):
        for host in service.v4, service.v6:
            output = shop.run(['curl', '-sSf', '--http2-prior-knowledge', '-w', ' %{http_version}',
                               f'http://{bracketed(host)}:81/'])
            assert output == f'{MARKER} 2'
            output = shop.run(['curl', '-sSf', '--http2-prior-knowledge', '-o', '/dev/null', '-w',
                               '%{http_version} %{size_download}', f'http://{bracketed(host)}:81/big'])
            assert output == f'2 {8 << 20}'


@needs('nginx', 'curl')
def test_service_of_two_pods(node, pod):
    """Each pod gets its share of the connections, and is known by its own identity. (test_reuse_pods.py has it with sessions
    that carry several.)"""
    shop, first, second = pod('shop', {'tls': {'reuse': 'off'}}), pod('web1'), pod('web2')
    for server in first, second:
        software.nginx(server, body=server.name)
    service = node.service(80, [first, second], to=8080)
    bodies = [shop.run(['curl', '-sSf', f'http://{bracketed(host)}/'])
              for host in (service.v4, service.v6) for _ in range(4)]
    assert sorted(bodies) == ['web1'] * 4 + ['web2'] * 4
    wait_until(lambda: len(shop.connections('outbound')) == 8, 'all have ended')
    met = [line['peer'] for line in shop.connections('outbound')]
    assert sorted(met) == [first.identity] * 4 + [second.identity] * 4


@needs('curl')
def test_smtp_speaks_first(node, pod):
    slow = {'inbound': {'detect_timeout': '1m'}}
    shop, server = pod('shop', slow), pod('mail', slow)
    mail = software.smtp(server)
    service = node.service(25, [server], to=2525)
    with pods.in_the_dark(MARKER.encode(), shop, server):
        for host in service.v4, service.v6, f'{service.name}.test':
            shop.run(['curl', '-sS', f'smtp://{bracketed(host)}', '--mail-from', 'shop@shop.test', '--mail-rcpt',
                      'mail@mail.test', '-T', '-'], text=f'Subject: {host}\r\n\r\n{MARKER}\r\n')
    wait_until(lambda: mail.text.count(MARKER) == 3, lambda: mail.text)


@needs('iperf3')
@pytest.mark.parametrize('options', [(), ('-R',), ('-P', '4'), ('-6',), ('-6', '-R', '-P', '4')],
                         ids=lambda options: ' '.join(options) or 'plain')
def test_iperf3(node, pod, options):
    """Transfers bulk data in both directions, on one connection and on several."""
    shop, server = pod('shop'), pod('sink')
    software.iperf3(server)
    service = node.service(5201, [server])
    report = json.loads(shop.run(['iperf3', '-c', service.v6 if '-6' in options else service.v4, '-n', '32M', '-J',
                                  *options]))
    # iperf3 does not wait for data in flight once it has sent enough.
    assert report['end']['sum_sent']['bytes'] >= 32 << 20 and report['end']['sum_received']['bytes'] > 0


@needs('nginx', 'curl')
@pytest.mark.parametrize('family', ['v4', 'v6'])
def test_bulk_is_whole(node, pod, family):
    """Several downloads run at the same time, and each is complete."""
    shop, server = pod('shop'), pod('web')
    software.nginx(server)
    url = f'http://{bracketed(getattr(node.service(80, [server], to=8080), family))}/big'
    output = shop.run(['curl', '-sSf', '--parallel', '--parallel-immediate', '-w', '%{size_download}\n',
                       *[word for _ in range(8) for word in ('-o', '/dev/null', url)]], timeout=60)
    assert output.split() == [str(8 << 20)] * 8
