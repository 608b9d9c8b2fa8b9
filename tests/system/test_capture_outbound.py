# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests captured outbound connections: where they go, what is refused, and that none of them loops."""
import contextlib
import json
import pathlib
import re
import socket
import threading

import pytest

import lab as labs
import pods
from lab import end_of, wait_until

FAMILIES = 'v4', 'v6'
MARKER = b'the secret of the app'


def mapped(address):
    """Returns an IPv4 address as a dual-stack program writes it."""
    return f'::ffff:{address}'


def address(pod, kind):
    return mapped(pod.v4) if kind == 'mapped' else getattr(pod, kind)


def text(host, port):
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def echoed(sock, data=MARKER):
    """Checks that the data comes back, followed by the end of the stream."""
    def send():
        with contextlib.suppress(OSError):  # which ends the stream for the reader
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
    with sock:
        sender = threading.Thread(target=send)
        sender.start()
        received = labs.read_all(sock)
        sender.join()
        return received == data


def end(pod, to, data=b''):
    """Returns how a connection of the pod's app ends: 'eof', 'reset', 'refused', or 'timeout'."""
    try:
        with pod.connect(to) as sock:
            sock.sendall(data)
            return end_of(sock)
    except ConnectionRefusedError:
        return 'refused'
    except (ConnectionResetError, BrokenPipeError):
        return 'reset'
    except TimeoutError:
        return 'timeout'


# --- a working connection, and its log lines ----------------------------------------------------------

@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_between_two_pods_that_know_nothing_of_it(pod, kind):
    """The wire carries mutual TLS. Both logs have the original addresses and the original destination."""
    web, api = pod('web'), pod('api')
    api.app()
    host = getattr(api, 'v6' if kind == 'v6' else 'v4')
    own = getattr(web, 'v6' if kind == 'v6' else 'v4')
    with web.capture() as seen:
        assert echoed(web.connect((address(api, kind), 8080)))
    assert not seen.saw(MARKER) and seen.to_port(8080)
    out = web.wait_line(msg='connection', direction='outbound')
    assert (out['destination'], out['security'], out['reason']) == (text(host, 8080), 'mtls', 'done')
    assert (out['own'], out['peer'], out['peer_addr']) == (web.identity, api.identity, text(host, 8080))
    assert out['source'].rpartition(':')[0] == text(own, 0).rpartition(':')[0] and 'upstream' not in out
    back = api.wait_line(msg='connection', direction='inbound')
    assert (back['destination'], back['security'], back['reason']) == (text(host, 8080), 'mtls', 'done')
    assert back['source'].rpartition(':')[0] == text(own, 0).rpartition(':')[0]
    assert (back['own'], back['peer']) == (api.identity, web.identity)


def test_policy_knows_captured_ports_and_their_names(pod):
    """One rule admits a port, one admits the name of a [service], and a port without a rule is refused."""
    web = pod('web')
    api = pod('api', {'service admin-ui': {'port': 8081}, 'allow ports': {'from': web.identity, 'to': '8080'},
                      'allow names': {'from': web.identity, 'to': 'admin-ui'}}, allow=None)
    for port in 8080, 8081, 8082:
        api.app(port=port)
    assert echoed(web.connect((api.v4, 8080))) and echoed(web.connect((api.v6, 8081)))
    assert end(web, (api.v4, 8082), MARKER) == 'reset'
    assert api.wait_line(rule='ports')['destination'] == text(api.v4, 8080)
    assert api.wait_line(rule='names')['service'] == 'admin-ui'
    refused = api.wait_line(reason='policy_denied')
    assert refused['destination'] == text(api.v4, 8082) and refused['remedy'].endswith('to = 8082')


@pytest.mark.parametrize('mode', ['redirect', 'tproxy'])
def test_rules_stay_while_captured_connections_are_open(pod, mode):
    """The rules cannot be removed while captured connections are open: without rules, the next bytes of the app would
    leave in the clear, and with tproxy the app's answers too. Once the sidecars have ended, the rules can be
    removed."""
    web, api = pod('web'), pod('api', {'redirect': {'mode': mode}}, redirect=False, start=False,
                              capabilities=['net_admin'])
    assert api.space.try_run([labs.AGENT, 'redirect', 'apply', '-c', api.ini]).returncode == 0
    api.start().wait_ready()
    api.app()

    def remove(one):
        done = one.space.try_run([labs.AGENT, 'redirect', 'remove', '-c', one.ini])
        return done.returncode, done.stderr
    with web.capture() as seen, web.connect((api.v4, 8080)) as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        for one in web, api:
            code, said = remove(one)
            assert code == 1 and 'captured connection' in said and '--force' in said
        sock.sendall(MARKER)
        assert sock.recv(100) == MARKER, 'it goes on'
        for one in web, api:
            one.sidecar.stop()
            assert remove(one) == (0, '')
        with contextlib.suppress(OSError):
            sock.sendall(MARKER)
    assert not seen.saw(MARKER)


def test_app_that_does_not_listen_is_a_reset(pod):
    """The rules of the other pod refuse the connection, and our app sees a reset."""
    web, api = pod('web'), pod('api')
    assert end(web, (api.v4, 8080)) == 'reset'
    assert web.wait_line(reason='peer_refused')['destination'] == text(api.v4, 8080)
    assert not api.sidecar.lines(direction='inbound')


def test_app_bound_to_loopback_stays_private(pod):
    web, api = pod('web'), pod('api')
    app = api.app(host='127.0.0.1')
    assert end(web, (api.v4, 8080)) == 'reset' and app.accepted == 0


def test_status_shows_the_listeners_of_captured_traffic(pod):
    web = pod('web')
    listeners = {(each['section'], each['name'], each['address'], each['serving']) for each in
                 labs.json.loads(web.get('/status')[1])['listeners']}
    assert listeners == {('sidecar', 'inbound', '*:15006', True), ('sidecar', 'outbound', '127.0.0.1:15001', True),
                         ('sidecar', 'outbound', '[::1]:15001', True)}


# --- no loops -----------------------------------------------------------------------------------------

# These rules are simpler than those of `fairlead-agent redirect`, which never redirect to these ports: they test the
# sidecar's own checks.
NAIVE = f'''
table inet naive {{
  chain inbound {{ type nat hook prerouting priority dstnat;
    fib daddr type local meta l4proto tcp redirect to :{pods.INBOUND}
  }}
  chain outbound {{ type nat hook output priority -100;
    meta skuid {pods.SIDECAR_UID} ip daddr 127.0.0.0/8 tcp dport 15099 redirect to :{pods.OUTBOUND}
    meta skuid {pods.SIDECAR_UID} ip6 daddr ::1 tcp dport 15099 redirect to :{pods.OUTBOUND}
    meta skuid {pods.SIDECAR_UID} return
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    meta l4proto tcp redirect to :{pods.OUTBOUND}
  }}
}}'''


def naive(pod, sections=None):
    web = pod('web', sections, redirect=False)
    web.space.nft(NAIVE)
    return web


def refused(pod, direction, reason, destination):
    """Checks that one line reports the refusal and that nothing of the connection remains."""
    line = pod.wait_line(msg='connection refused', direction=direction)
    assert (line['reason'], line.get('destination')) == (reason, destination)
    wait_until(lambda: labs.json.loads(pod.get('/status')[1])['connections'][direction]['open'] == 0, 'it is gone')
    assert len(pod.sidecar.lines(reason=reason)) == len(pod.sidecar.lines(msg='connection refused')) == 1


@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_capture_port_dialled_by_another_pod(pod, kind):
    other, web = pod('other', sidecar=False), naive(pod)
    assert end(other, (address(web, kind), pods.INBOUND)) == 'reset'
    refused(web, 'inbound', 'destination_unknown', text(getattr(web, 'v6' if kind == 'v6' else 'v4'), pods.INBOUND))


@pytest.mark.parametrize('port', (pods.OUTBOUND, 8443))
@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_other_listeners_of_ours_dialled_by_another_pod(pod, kind, port):
    """Another pod dials the listeners for the app, and a fixed one that was meant for loopback only."""
    other, web = pod('other', sidecar=False), naive(pod, {'upstream db': {'listen': '127.0.0.1:8443',
                                                                          'to': '10.1.1.1:1'}})
    assert end(other, (address(web, kind), port)) == 'reset'
    refused(web, 'inbound', 'loop', text(getattr(web, 'v6' if kind == 'v6' else 'v4'), port))


@pytest.mark.parametrize('port', (pods.INBOUND, pods.ADMIN, 8443))
@pytest.mark.parametrize('kind', (*FAMILIES, 'mapped'))
def test_listeners_of_ours_dialled_by_the_app(pod, kind, port):
    web = naive(pod, {'service fixed': {'listen': '*:8443', 'app': '127.0.0.1:8080'}})
    assert end(web, (address(web, kind), port)) == 'reset'
    refused(web, 'outbound', 'loop', text(getattr(web, 'v6' if kind == 'v6' else 'v4'), port))


@pytest.mark.parametrize('host', ('127.0.0.1', '::1', '::ffff:127.0.0.1'))
def test_capture_port_dialled_by_the_app(pod, host):
    web = naive(pod)
    assert end(web, (host, pods.OUTBOUND)) == 'reset'
    refused(web, 'outbound', 'destination_unknown', text(host.removeprefix('::ffff:'), pods.OUTBOUND))


@pytest.mark.parametrize('host', ('127.0.0.1', '::1'))
def test_without_rules_there_is_no_destination(pod, host):
    """Without translation, the kernel knows no original destination. The same holds once conntrack has dropped the
    entry."""
    web = pod('web', redirect=False)
    for port, direction in ((pods.OUTBOUND, 'outbound'), (pods.INBOUND, 'inbound')):
        assert end(web, (host, port)) == 'reset'
        line = web.wait_line(direction=direction, reason='destination_unknown')
        assert 'destination' not in line and line['source'].startswith(text(host, '').rstrip(':'))


@pytest.mark.parametrize('family', FAMILIES)
def test_the_same_port_of_another_pod_is_none_of_ours(pod, family):
    """The loop check ignores other pods: an app elsewhere may listen on 15001."""
    web, other = naive(pod, {'outbound': {'default': 'plaintext'}}), pod('other', sidecar=False)
    other.app(port=pods.OUTBOUND)
    assert echoed(web.connect((getattr(other, family), pods.OUTBOUND)))


@pytest.mark.parametrize('family', FAMILIES)
def test_a_look_whether_the_rules_are_there_leaves_no_trace(pod, family):
    web = naive(pod)
    probe = f'import socket; socket.create_connection(("{"127.0.0.1" if family == "v4" else "::1"}", 15099)).recv(1)'
    web.run(['/usr/bin/python3', '-c', probe], uid=pods.SIDECAR_UID)
    wait_until(lambda: labs.json.loads(web.get('/status')[1])['connections']['outbound'] ==
               {'open': 0, 'opened': 0, 'closed': {'done': 0}}, 'it counts as none')
    assert not web.sidecar.lines(direction='outbound')


# --- [outbound] default -------------------------------------------------------------------------------

@pytest.mark.parametrize('family', FAMILIES)
def test_refuse(pod, family):
    web, other = pod('web', {'outbound': {'default': 'refuse'}}), pod('other', sidecar=False)
    app = other.app()
    with web.capture() as seen:
        assert end(web, (getattr(other, family), 8080), MARKER) == 'reset'
    assert app.accepted == 0 and not seen.to_port(8080)
    line = web.wait_line(reason='outbound_refused')
    assert line['destination'] == text(getattr(other, family), 8080)
    assert web.ini.read_text().splitlines()[line['rule_line'] - 1] == 'default = refuse'


@pytest.mark.parametrize('family', FAMILIES)
def test_plaintext(pod, family):
    """The connection is relayed without TLS, and the log says so."""
    web, other = pod('web', {'outbound': {'default': 'plaintext'}}), pod('other', sidecar=False)
    other.app()
    data = MARKER * 100000
    assert echoed(web.connect((getattr(other, family), 8080)), data)
    line = web.wait_line(msg='connection')
    assert (line['security'], line['reason'], line['destination']) == \
        ('plaintext', 'done', text(getattr(other, family), 8080))
    assert line['bytes_to_app'] == line['bytes_to_mesh'] == len(data) and 'peer' not in line


# --- which upstream -----------------------------------------------------------------------------------

def counted(pod, name, upstream, **labels):
    """Returns the value of this upstream's metric, or 0 if there is none."""
    wanted = {'upstream': upstream, **labels}
    for line in pod.get('/metrics')[1].splitlines():
        found = re.fullmatch(r'(\w+)\{(.*)\} (\d+)', line)
        if found and found[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', found[2])) == wanted:
            return int(found[3])
    return 0


def test_the_most_specific_upstream_decides(node, pod):
    """An address precedes a prefix, a narrow range of ports precedes a wide one, and [outbound] is last. One INI has
    them all."""
    other = pod('other', sidecar=False)
    for port in 9000, 9005, 9100, 7000:
        other.app(port=port)
    web = pod('web', {'outbound': {'default': 'refuse'},
                      'upstream all': {'to': '10.0.0.0/8:9000-9100, [fd77::]/64:9000-9100', 'mode': 'plaintext'},
                      'upstream narrow': {'to': '10.0.0.0/8:9005, [fd77::]/64:9005', 'mode': 'refuse'},
                      'upstream exact': {'to': f'{other.v4}:9100, [{other.v6}]:9100', 'mode': 'plaintext'}})
    for family in FAMILIES:
        host = getattr(other, family)
        assert echoed(web.connect((host, 9000)))
        assert end(web, (host, 9005)) == 'reset'
        assert echoed(web.connect((host, 9100)))
        assert end(web, (host, 7000)) == 'reset'
        for port, upstream in ((9000, 'all'), (9005, 'narrow'), (9100, 'exact'), (7000, None)):
            assert web.wait_line(destination=text(host, port)).get('upstream') == upstream
    for upstream in 'all', 'exact':
        assert counted(web, 'fairlead_plaintext_connections_total', upstream) == 2
        for to in 'app', 'mesh':
            assert counted(web, 'fairlead_plaintext_bytes_total', upstream, to=to) == 2 * len(MARKER)
    assert not counted(web, 'fairlead_plaintext_connections_total', 'narrow')
    refusal = web.wait_line(reason='outbound_refused', upstream='narrow')
    assert web.ini.read_text().splitlines()[refusal['rule_line'] - 1] == '[upstream narrow]'


def test_peer_of_the_upstream_is_asked_for(pod):
    """The peer with the expected identity is served. Another one is refused and gets no byte of the app."""
    api, other = pod('api'), pod('other')
    apps = [each.app() for each in (api, other)]
    web = pod('web', {'upstream api': {'to': f'{api.v4}:8080, {other.v4}:8080', 'peer': api.identity}})
    assert echoed(web.connect((api.v4, 8080)))
    assert end(web, (other.v4, 8080), MARKER) == 'reset'
    line = web.wait_line(reason='certificate_refused')
    assert line['upstream'] == 'api' and other.identity in line['detail']
    assert [app.accepted for app in apps] == [1, 0]
    assert echoed(web.connect((other.v6, 8080))), 'this address is not the upstream\'s'


def test_outbound_peer(pod):
    """[outbound] peer applies to destinations that no upstream names."""
    api, other = pod('api'), pod('other')
    for each in api, other:
        each.app()
    web = pod('web', {'outbound': {'peer': api.identity}})
    assert echoed(web.connect((api.v4, 8080)))
    assert end(web, (other.v4, 8080), MARKER) == 'reset'
    assert web.wait_line(reason='certificate_refused')['destination'] == text(other.v4, 8080)


def test_upstreams_change_without_a_restart(pod):
    other = pod('other', sidecar=False)
    other.app()
    web = pod('web')
    assert end(web, (other.v4, 8080), MARKER) == 'reset'
    web.change({'upstream other': {'to': '10.77.0.0/16:8080', 'mode': 'plaintext'}})
    web.wait_line(msg='generation in use', generation=2)
    assert echoed(web.connect((other.v4, 8080)))
    web.change({'upstream other': {'mode': 'refuse'}})
    web.wait_line(msg='generation in use', generation=3)
    assert end(web, (other.v4, 8080)) == 'reset'
    assert counted(web, 'fairlead_plaintext_connections_total', 'other') == 1, 'what was, stays counted'


# --- names --------------------------------------------------------------------------------------------

def test_name_is_resolved_again_and_the_last_answer_stays(node, pod):
    """The sidecar resolves a name of both families again, follows a new address, and keeps the last answer when DNS
    fails."""
    first, second = pod('first', sidecar=False), pod('second', sidecar=False)
    for each in first, second:
        each.app()
    node.names.ttl = 1
    node.dns['db.test'] = [first.v4, first.v6]
    web = pod('web', {'outbound': {'default': 'refuse'},
                      'upstream db': {'to': 'db.test:8080-8090', 'mode': 'plaintext'}})
    for family in FAMILIES:
        wait_until(lambda f=family: works(web, (getattr(first, f), 8080)), 'the name resolves')
        assert end(web, (getattr(second, family), 8080)) == 'reset'
    node.dns['db.test'] = [second.v4]
    wait_until(lambda: works(web, (second.v4, 8080)), 'the new address', 20)
    assert end(web, (first.v4, 8080)) == 'reset'
    node.names.lost = True
    web.wait_line(msg=re.compile(r'db\.test does not resolve.*keeping the last addresses'), timeout=30)
    assert works(web, (second.v4, 8080))


def works(pod, to):
    try:
        return echoed(pod.connect(to))
    except (ConnectionResetError, BrokenPipeError):
        return False


def test_name_that_does_not_resolve_at_start(node, pod):
    """Destinations that the name might have are refused, with a message, instead of going where the default sends them.
    Everything else works. Once the name resolves, its destinations work too."""
    other, known = pod('other', sidecar=False), pod('known', sidecar=False)
    for each in other, known:
        each.app()
        each.app(port=9999)
    web = pod('web', {'outbound': {'default': 'plaintext'},
                      'upstream secret': {'to': 'later.test:8080', 'peer': labs.SERVER},
                      'upstream known': {'to': f'{known.v4}:8080', 'mode': 'plaintext'}})
    web.wait_line(msg=re.compile(r'\[upstream secret\]: later\.test does not resolve'))
    with web.capture() as seen:
        assert end(web, (other.v4, 8080), MARKER) == 'reset'
    assert not seen.saw(MARKER) and not seen.to_port(8080)
    line = web.wait_line(reason='no_address')
    assert (line['upstream'], line['destination']) == ('secret', text(other.v4, 8080))
    assert works(web, (known.v4, 8080)) and works(web, (other.v4, 9999))
    node.dns['later.test'] = [known.v6]
    web.wait_line(msg=re.compile('later.test resolves'), timeout=30)
    assert works(web, (other.v4, 8080))
    assert end(web, (known.v6, 8080), MARKER) == 'reset', 'mutual TLS, which it does not speak'


def test_name_of_a_fixed_upstream_that_is_ourselves(node, pod):
    """A connection to ourselves would return to the same listener for ever, so it is refused."""
    node.dns['self.test'] = ['127.0.0.1']
    web = pod('web', {'upstream me': {'listen': '127.0.0.1:7001', 'to': 'self.test:7001'}})
    wait_until(lambda: end(web, ('127.0.0.1', 7001)) == 'reset' and web.sidecar.lines(reason='loop'), 'it is seen')
    assert web.sidecar.lines(reason='loop')[0]['upstream'] == 'me'


# --- no plaintext when mutual TLS fails -----------------------------------------------------------------

def garbage(sock):
    sock.recv(1)
    sock.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n' + b'x' * 10000)


def plain_alert(sock):
    sock.recv(1)
    sock.sendall(bytes.fromhex('15 03 03 00 02 02 28'))


def close_at_once(sock):
    del sock


def silence(sock):
    while sock.recv(1 << 16):
        pass


def speaks_first(sock):
    sock.sendall(b'220 mail.example ESMTP\r\n')
    silence(sock)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('handler, reason', [
    (garbage, 'not_tls'), (plain_alert, 'peer_alert'), (close_at_once, '.*'), (silence, 'handshake_timeout'),
    (speaks_first, 'not_tls')])
def test_server_that_fails_mutual_tls_gets_nothing(pod, handler, reason, family):
    """The app sends a lot at once. It sees a reset, and no byte of it reaches the wire."""
    other = pod('other', sidecar=False)
    received = []

    def recording(sock):
        handler(Recorder(sock, received))
    other.app(recording)
    web = pod('web', {'limits': {'handshake_timeout': '1s'}})
    with web.capture() as seen:
        assert end(web, (getattr(other, family), 8080), MARKER * 5000) == 'reset'
        web.wait_line(reason=re.compile(f'^{reason}$'))
    assert MARKER not in b''.join(received) and not seen.saw(MARKER)
    assert seen.to_port(8080), 'it was tried'


class Recorder:
    def __init__(self, sock, received):
        self.sock, self.received = sock, received

    def recv(self, size):
        self.received.append(self.sock.recv(size))
        return self.received[-1]

    def sendall(self, data):
        self.sock.sendall(data)


def test_what_the_app_says_early_is_held_and_bounded(pod):
    """The peer never finishes its handshake: the app is stopped, and the sidecar's memory stays bounded."""
    other = pod('other', sidecar=False)
    other.app(silence)
    web = pod('web', {'limits': {'handshake_timeout': '60s'}})
    before = web.sidecar.heap()
    with web.connect((other.v4, 8080)) as sock, web.capture() as seen:
        sock.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += sock.send(MARKER * 1000)
        assert sent < 64 << 20 and web.sidecar.heap() - before < 1 << 20
    assert not seen.saw(MARKER)


def test_destination_that_swallows_packets_delays_no_other(pod):
    """Such a destination gets only a share of [limits] handshakes. Its connections end in time, also those that wait
    for a place."""
    hole, api = pod('hole', sidecar=False), pod('api')
    hole.space.nft('table inet hole { chain in { type filter hook input priority 0; tcp dport 9999 drop; }; }')
    api.app()
    web = pod('web', {'limits': {'handshakes': 8, 'connect_timeout': f'{3 * labs.SLOW}s'}, 'sidecar': {'workers': 1}})
    with hole.capture() as seen:
        stuck = [web.connect((hole.v4, 9999)) for _ in range(20)]
        assert all(echoed(web.connect((api.v4, 8080))) for _ in range(10))
        asked = {flow[0] for flow in seen.to_port(9999)}
    assert len(asked) == 3, 'three eighths of eight, and the others wait'
    assert not web.sidecar.lines(reason='peer_connect_timeout'), 'all that was while it was asked'
    assert [end_of(sock) for sock in stuck] == ['reset'] * 20
    wait_until(lambda: len(web.sidecar.lines(reason='peer_connect_timeout')) == 20, 'each has its line')


# --- resumption ---------------------------------------------------------------------------------------

def test_sessions_are_resumed_by_destination(pod):
    """Each pod has sessions of its own: the second connection to each pod resumes, whichever pod was called in
    between."""
    apis = [pod(name) for name in ('one', 'two', 'three')]
    for api in apis:
        api.app()
    web = pod('web', {'tls': {'reuse': 'off'}})
    for _ in range(2):
        for api in apis:
            for family in FAMILIES:
                assert echoed(web.connect((getattr(api, family), 8080)))
    wait_until(lambda: len(web.sidecar.lines(direction='outbound', reason='done')) == 12, 'twelve lines')
    lines = web.sidecar.lines(direction='outbound')
    assert [line['resumed'] for line in lines] == [False] * 6 + [True] * 6
    assert [line['peer'] for line in lines[6:]] == [api.identity for api in apis for _ in FAMILIES]


def test_without_ipv6(pod):
    """The defaults name [::1], which does not exist here. There is no IPv6 to capture either."""
    web, api = pod('web', start=False), pod('api')
    api.app()
    web.space.inside(lambda: pathlib.Path('/proc/sys/net/ipv6/conf/all/disable_ipv6').write_text('1'))
    web.start().wait_ready()
    assert echoed(web.connect((api.v4, 8080)))
    listeners = json.loads(web.get('/status')[1])['listeners']
    assert listeners and all(each['serving'] and '[::1]' not in each['address'] for each in listeners)


# --- modes of fixed upstreams ---------------------------------------------------------------------------

def test_fixed_upstream_in_plaintext(lab, app):
    """A fixed upstream tries its addresses in order. If none answers, the app sees the failure."""
    server = app()
    outbound = lab.outbound(f'127.0.0.1:{lab.ports.free()}, 127.0.0.1:{server.port}',
                            {'upstream peer': {'mode': 'plaintext', 'peer': ''}})
    assert echoed(labs.connect(outbound.port), MARKER * 50000)
    line = outbound.wait_line(msg='connection')
    assert (line['upstream'], line['security'], line['reason']) == ('peer', 'plaintext', 'done')
    assert 'destination' not in line and line['bytes_to_mesh'] == 50000 * len(MARKER)
    assert counted(outbound, 'fairlead_plaintext_connections_total', 'peer') == 1
    server.close()
    assert labs.outcome(outbound.port) == 'reset'
    assert outbound.wait_line(reason='peer_refused')['upstream'] == 'peer'
    assert counted(outbound, 'fairlead_plaintext_connections_total', 'peer') == 1, 'that one never went out'


def test_plaintext_ends_and_resets_pass(lab, app):
    """Half-closes pass in both directions, and a reset stays a reset."""
    def answer_after_the_end(sock):
        asked = labs.read_all(sock)
        sock.sendall(asked[::-1])

    def reset_it(sock):
        sock.recv(1)
        labs.reset(sock)
    for handler, wanted in ((answer_after_the_end, 'eof'), (reset_it, 'reset')):
        outbound = lab.outbound(app(handler).port, {'upstream peer': {'mode': 'plaintext', 'peer': ''}})
        with labs.connect(outbound.port) as sock:
            sock.sendall(MARKER)
            if wanted == 'eof':
                sock.shutdown(socket.SHUT_WR)
                assert labs.read_all(sock) == MARKER[::-1]
            else:
                assert end_of(sock) == 'reset'
        outbound.wait_line(reason='done' if wanted == 'eof' else 'peer_reset')
