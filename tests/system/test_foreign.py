# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests servers and clients of other implementations: application protocols that they require (ALPN), and servers that
do not ask for our certificate."""
import ssl
import time

import pytest

import lab as labs
import peers
from lab import connect, outcome, wait_until
from pki import CA


def ask(port):
    with connect(port) as sock:
        sock.sendall(b'olleh\n')
        return sock.recv(10)


@pytest.fixture
def server(lab):
    """Returns (port, program) of an openssl s_server. It refuses a client whose protocols include none of its own."""
    def start(*arguments, more_roots=b''):
        port = lab.ports.free()
        pem = peers.write_pem(lab.folder, 'server', lab.server)
        (lab.folder / 'ca.crt').write_bytes(lab.root.cert_pem + more_roots)
        program = lab.program('openssl', ['openssl', 's_server', '-accept', f'127.0.0.1:{port}', '-cert', f'{pem}.crt', '-key',
                                          f'{pem}.key', '-CAfile', lab.folder / 'ca.crt', '-Verify', '3',
                                          '-verify_return_error', '-rev', *arguments])
        program.expected = {-15}
        wait_until(lambda: 'ACCEPT' in program.text, 'openssl listens')
        return port, program
    return start


# --- servers that require a protocol ------------------------------------------------------------------

def test_server_that_refuses_our_protocol_is_asked_without_one(lab, server):
    """The sidecar retries once without a protocol, and from then on offers none to that server."""
    port, program = server('-alpn', 'h2')
    outbound = lab.outbound(port)
    for _ in range(3):
        assert ask(outbound.port) == b'hello\n'
    wait_until(lambda: len(outbound.sidecar.lines(msg='connection')) == 3, 'the connections are over')
    assert program.text.count('no application protocol') == 1
    assert outbound.metric('fairlead_handshakes_total', direction='outbound', result='ok') == 3


def test_server_of_our_own_kind_is_offered_ours(lab, app):
    """What other servers refused has no effect here: the sidecar remembers it for each upstream."""
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(inbound.port)
    assert ask(outbound.port) == b'olleh\n'


def test_upstream_s_own_protocols(lab, app):
    selected = []

    def handler(tls):
        selected.append(tls.selected_alpn_protocol())
        labs.echo(tls)
    server = peers.Server(app, lab.server, lab.root, handler)
    server.context.set_alpn_protocols(['h2', 'fairlead/1'])
    for alpn in ('http/1.1, h2', 'h2', 'fairlead/1', None):
        outbound = lab.outbound(server.port, {'upstream peer': {'alpn': alpn}} if alpn else {})
        assert ask(outbound.port) == b'olleh\n'
    assert selected == ['h2', 'h2', 'fairlead/1', 'fairlead/1']


def test_upstream_whose_protocols_are_refused(lab, server):
    """The sidecar does not drop protocols that the INI names. The log line says what to do."""
    port, _ = server('-alpn', 'h2')
    outbound = lab.outbound(port, {'upstream peer': {'alpn': 'http/1.1'}})
    assert outcome(outbound.port) != b''
    line = outbound.wait_line(reason='peer_alert')
    assert line['alert'] == 120 and 'alpn' in line['remedy'] and '[upstream peer]' in line['remedy']


# --- clients that require a protocol ------------------------------------------------------------------

@pytest.mark.parametrize('alpn, offered, selected', [
    ('h2, http/1.1', ['h2'], 'h2'),
    ('http/1.1, h2', ['h2', 'http/1.1'], 'h2'),  # in its own order
    ('h2', ['spdy/3', 'h2'], 'h2'),
    ('h2', ['h2', 'fairlead/1'], 'fairlead/1'),  # one of our own clients
    ('h2', ['spdy/3'], None),
    ('h2', [], None),
    (None, ['h2'], None)])
def test_client_s_protocol(lab, app, alpn, offered, selected):
    inbound = lab.inbound(app().port, {'service app': {'alpn': alpn}} if alpn else {})
    context = peers.context(False, lab.client, lab.root)
    if offered:
        context.set_alpn_protocols(offered)
    with context.wrap_socket(connect(inbound.port)) as tls:
        assert tls.selected_alpn_protocol() == selected
        tls.sendall(b'hello')
        assert tls.recv(5) == b'hello'


# --- mutual means mutual ------------------------------------------------------------------------------

def test_server_that_does_not_ask_who_we_are_is_refused(lab, app):
    """No byte of the app reaches such a server, and the proposed remedy works."""
    server = peers.Server(app, lab.server, None)
    outbound = lab.outbound(server.port)
    assert outcome(outbound.port, b'secret') != b'secret'
    line = outbound.wait_line(reason='not_mutual')
    assert line['level'] == 'warn' and 'mutual = optional' in line['remedy'] and '[upstream peer]' in line['remedy']
    assert (line['bytes_to_mesh'], line['bytes_to_app']) == (0, 0)
    assert outbound.metric('fairlead_handshakes_total', direction='outbound', result='not_mutual') == 1


@pytest.mark.parametrize('tickets', ['on', 'off'])
def test_server_that_need_not_ask(lab, app, tickets):
    server = peers.Server(app, lab.server, None)
    outbound = lab.outbound(server.port, {'upstream peer': {'mutual': 'optional'}, 'tls': {'tickets': tickets}})
    for _ in range(3):
        with connect(outbound.port) as sock:
            sock.sendall(b'hello')
            assert sock.recv(5) == b'hello'
    wait_until(lambda: len(outbound.sidecar.lines(msg='connection')) == 3, 'the connections are over')
    assert [line['mutual'] for line in outbound.sidecar.lines(msg='connection')] == [False] * 3


def test_resumed_session_was_mutual(lab, app):
    """A resumed handshake asks for no certificate. The full handshake that began the session decides."""
    server = peers.Server(app, lab.server, lab.root)
    outbound = lab.outbound(server.port)
    for _ in range(3):
        with connect(outbound.port) as sock:
            sock.sendall(b'hello')
            assert sock.recv(5) == b'hello'
    lines = wait_until(lambda: len(outbound.sidecar.lines(msg='connection')) == 3 and
                       outbound.sidecar.lines(msg='connection'), 'the connections are over')
    assert [line['resumed'] for line in lines] == [False, True, True] and not any('mutual' in line for line in lines)


def test_open_connection_to_a_server_that_has_to_ask_from_now_on(lab, app):
    """Such connections are judged again, as after every change of an upstream in the INI."""
    server = peers.Server(app, lab.server, None)
    outbound = lab.outbound(server.port, {'upstream peer': {'mutual': 'optional'}})
    with connect(outbound.port) as sock:
        sock.sendall(b'hello')
        assert sock.recv(5) == b'hello'
        outbound.change({'upstream peer': {'mutual': 'required'}})
        line = outbound.wait_line(reason='policy_lost')
    assert 'asked for our certificate' in line['detail']


def test_server_that_stops_asking_is_refused(lab, app):
    """The refusal comes at the next full handshake."""
    server = peers.Server(app, lab.server, lab.root)
    outbound = lab.outbound(server.port, {'tls': {'tickets': 'off'}})
    assert ask(outbound.port) == b'olleh\n'
    server.context.verify_mode = ssl.CERT_NONE
    assert outcome(outbound.port, b'x') != b'x'
    outbound.wait_line(reason='not_mutual')


# --- big messages -------------------------------------------------------------------------------------

def test_server_with_32_kb_of_ca_names(lab, server):
    """The names are in its CertificateRequest (RFC 8446 section 4.2.4)."""
    names = [CA(labs.TD, common_name=f'{number} ' + 60 * 'x') for number in range(330)]
    port, _ = server(more_roots=b''.join(name.cert_pem for name in names))
    outbound = lab.outbound(port)
    assert ask(outbound.port) == b'hello\n'


def test_client_with_a_ticket_of_64_kb(lab, app):
    """The ticket belongs to another server of the same name (RFC 8446 section 4.2.11). It leads to a full handshake,
    however the hello is split."""
    inbound = lab.inbound(app().port)
    for size, cut in ((100, 1 << 20), (17000, 1 << 20), (64000, 1 << 20), (64000, 1000)):
        message = peers.hello_with_ticket(peers.client_hello()[5:], size)
        with connect(inbound.port) as sock:
            data = peers.records(message, 16384)
            for at in range(0, len(data), cut):
                sock.sendall(data[at:at + cut])
            answer = sock.recv(6)
        assert answer[:1] + answer[5:] == b'\x16\x02', (size, cut, answer)


def test_hellos_with_thousands_of_tickets(lab, app):
    """The sidecar ignores such tickets. Comparing each with all others would take 118 ms for each hello."""
    inbound = lab.inbound(app().port)
    data = peers.records(peers.hello_with_ticket(peers.client_hello()[5:], 2, 8000), 16384)
    begun = time.monotonic()
    for _ in range(40):
        with connect(inbound.port) as sock:
            sock.sendall(data)
            answer = sock.recv(6)
        assert answer[:1] + answer[5:] == b'\x16\x02', answer
    assert time.monotonic() - begun < 3 * labs.SLOW
