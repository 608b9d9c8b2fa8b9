# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what the app learns about its client by the PROXY protocol, version 2."""
import socket
import struct

import pytest

import framed
import lab as labs
from inbound_ports import ALPN, ask, greeter, plaintext, tls_ask
from lab import connect, wait_until

# --- who it is: proxy_protocol ------------------------------------------------------------------------------------------

SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
VERSIONS = {4: (0x11, 4, socket.AF_INET), 6: (0x21, 16, socket.AF_INET6)}


def proxy_header(sock):
    """Returns (source, destination, {type: value}) of the header, and reads no byte beyond it."""
    head = sock.recv(16, socket.MSG_WAITALL)
    assert head[:13] == SIGNATURE + b'\x21'
    rest = sock.recv(int.from_bytes(head[14:16], 'big'), socket.MSG_WAITALL)
    _, size, family = next(v for v in VERSIONS.values() if v[0] == head[13])
    ports = struct.unpack('>HH', rest[2 * size:2 * size + 4])
    ends = [(socket.inet_ntop(family, rest[i * size:(i + 1) * size]), ports[i]) for i in (0, 1)]
    return *ends, tlvs(rest[2 * size + 4:])


def tlvs(data):
    found = {}
    while data:
        kind, size = struct.unpack('>BH', data[:3])
        found[kind], data = data[3:3 + size], data[3 + size:]
    return found


@pytest.mark.parametrize('host', ['127.0.0.1', '::1'])
def test_proxy_protocol(lab, app, host):
    """Before the first byte, the app gets the client's address, its destination and its identity. For plaintext,
    nothing about TLS."""
    headers = []

    def handler(sock):
        headers.append(proxy_header(sock))
        labs.echo(sock)
    inbound = lab.inbound(app(handler).port, plaintext('permissive', service={'proxy_protocol': 'v2'}),
                          host=f'[{host}]' if ':' in host else host)
    outbound = lab.outbound(f'[{host}]:{inbound.port}' if ':' in host else f'{host}:{inbound.port}',
                            {'tls': {'reuse': 'off'}})
    for resumed in False, True:
        assert ask(outbound.port, b'abc') == b'abc'
        source, destination, found = headers.pop()
        assert source[0] == host and destination == (host, inbound.port)
        assert found[0xd0] == found[0x02] == labs.CLIENT.encode()
        ssl_ = found[0x20]
        assert ssl_[:5] == (b'\x05' if resumed else b'\x07') + bytes(4)
        assert tlvs(ssl_[5:]) == {0x21: b'TLSv1.3', 0x23: b'TLS_AES_128_GCM_SHA256'}
        lines = wait_until(lambda n=resumed: len(found := inbound.sidecar.lines(reason='done')) == n + 1 and found,
                           'it is logged')
        assert lines[-1]['bytes_to_app'] == 3, 'the header is none of the client\'s bytes'
        assert lines[-1]['source'].rpartition(':')[2] == str(source[1])
        assert found[0x05].decode() == lines[-1]['session']
    with connect((host, inbound.port)) as sock:
        sock.sendall(b'GET')
        assert sock.recv(3) == b'GET'
        assert headers.pop() == (sock.getsockname()[:2], (host, inbound.port), {})


def test_proxy_protocol__what_the_peer_claims(lab, app):
    """Each connection of a session has its own claim, beside the address that the session came from. One that the
    peer does not make is absent, and so is that of the connection before."""
    headers = []

    def handler(sock):
        headers.append(proxy_header(sock))
        labs.echo(sock)
    pair = lab.pair(app(handler).port, inbound={'service app': {'proxy_protocol': 'v2'}})
    for use in 1, 2:
        with connect(pair.port) as sock:
            sock.sendall(b'abc')
            sock.shutdown(socket.SHUT_WR)
            assert labs.read_all(sock) == b'abc'
            host, port = sock.getsockname()
        line = pair.inbound.wait_line(msg='connection', use=use)
        source, _, found = headers.pop()
        assert found[0xe0].decode() == f'{host}:{port}' == line['claimed_source']
        assert line['source'] == '%s:%d' % source, 'that of the other sidecar'
        assert found[0x05].decode() == f"{line['session']}-{use}"
    with framed.Client(pair.inbound.port, lab.client, lab.root) as client:
        for number, claim in enumerate([('fd00::1', 65535), None, ('10.1.2.3', 4)], 1):
            assert client.ask(number, b'x', source=claim) == b'x'
            source, _, found = headers.pop()
            assert found.get(0xe0) == {1: b'[fd00::1]:65535', 2: None, 3: b'10.1.2.3:4'}[number]
            assert source == client.tls.getsockname(), 'the claim is not believed'


def test_proxy_protocol__unix_app(lab, app):
    """An app behind a Unix socket gets the addresses of the TCP connection that it never sees."""
    headers = []

    def handler(sock):
        headers.append(proxy_header(sock))
        labs.echo(sock)
    path = lab.folder / 'app.sock'
    app(handler, path=path)
    inbound = lab.inbound(f'unix:{path}', plaintext('permissive', service={'proxy_protocol': 'v2'}))
    assert ask(inbound.port) == b'ping'
    assert tls_ask(inbound.port, lab.client, [ALPN]) == b'ping'
    assert [(source[0], destination, found.get(0xd0)) for source, destination, found in headers] == \
        [('127.0.0.1', ('127.0.0.1', inbound.port), peer) for peer in (None, labs.CLIENT.encode())]


def test_proxy_protocol__server_speaks_first(lab, app):
    """The header does not wait for a byte of the client."""
    def handler(sock):
        proxy_header(sock)
        greeter(sock)
    inbound = lab.inbound(app(handler).port, plaintext('plaintext', service={'proxy_protocol': 'v2'}))
    with connect(inbound.port) as sock:
        assert sock.recv(100) == b'220 ready\r\n'


def http_get(port):
    return ask(port, b'GET / HTTP/1.0\r\n\r\n').partition(b'\r\n\r\n')[2].decode().split()


def test_proxy_protocol__haproxy(lab):
    """HAProxy reads the addresses and the SPIFFE ID."""
    port = lab.ports.free()
    config = lab.folder / 'haproxy.cfg'
    config.write_text(
        'global\n maxconn 100\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n'
        f'frontend app\n bind 127.0.0.1:{port} accept-proxy\n http-request return status 200 content-type text/plain '
        'lf-string "%[src] %[src_port] %[dst_port] %[fc_pp_authority]"\n')
    lab.program('haproxy', ['haproxy', '-db', '-f', config]).expected = {0, 143, -15}
    wait_until(lambda: labs.listens(port), 'HAProxy listens')
    inbound = lab.inbound(port, plaintext('permissive', service={'proxy_protocol': 'v2'}))
    outbound = lab.outbound(inbound.port)
    address, source, destination, peer = http_get(outbound.port)
    assert (address, destination, peer) == ('127.0.0.1', str(inbound.port), labs.CLIENT)
    assert inbound.wait_line(reason='done')['source'] == f'127.0.0.1:{source}'
    assert http_get(inbound.port)[::2] == ['127.0.0.1', str(inbound.port)], 'plaintext has no identity'


def test_proxy_protocol__nginx(lab):
    """nginx reads the addresses, and from 1.23.2 on the identity. Older versions skip it."""
    port = lab.ports.free()
    config = lab.folder / 'nginx.conf'
    temporary = '\n'.join(f'{kind}_temp_path {lab.folder}/{kind};'
                          for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    config.write_text(f'daemon off; master_process off; pid {lab.folder}/nginx.pid; error_log stderr;\nevents {{ }}\n'
                      f'http {{ access_log off; {temporary}\n server {{ listen 127.0.0.1:{port} proxy_protocol;\n'
                      'location / { return 200 "$proxy_protocol_addr $proxy_protocol_port '
                      '$proxy_protocol_server_port"; } } }\n')
    lab.program('nginx', ['nginx', '-e', 'stderr', '-c', config])
    wait_until(lambda: labs.listens(port), 'nginx listens')
    inbound = lab.inbound(port, plaintext('permissive', service={'proxy_protocol': 'v2'}))
    outbound = lab.outbound(inbound.port)
    address, source, destination = http_get(outbound.port)
    assert (address, destination) == ('127.0.0.1', str(inbound.port))
    assert inbound.wait_line(reason='done')['source'] == f'127.0.0.1:{source}'
    assert http_get(inbound.port)[::2] == ['127.0.0.1', str(inbound.port)]
