# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what the app gets from a pair of sidecars: its bytes, its half-closes and its resets, and nothing more."""
import concurrent.futures
import hashlib
import os
import random
import signal
import socket
import threading

import pytest

import lab as labs
from lab import connect, end_of, outcome, read_all, reset, wait_until
from pki import CA

MIB = 1 << 20
BUSY_NS = 1000000  # of CPU: more than an idle sidecar uses


def sha(data):
    return hashlib.sha256(data).hexdigest()


def send_in_chunks(sock, data, most, seed=0):
    """Writes chunks of random size, without Nagle's algorithm, which would merge them."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    chance, at = random.Random(seed), 0
    while at < len(data):
        size = chance.randint(1, most)
        sock.sendall(data[at:at + size])
        at += size


def exchange(to, data, most=1 << 20, seed=0):
    """Sends data, finishes, and returns the whole answer. Reads and writes at the same time."""
    with connect(to, 60) as sock:
        writer = threading.Thread(target=lambda: (send_in_chunks(sock, data, most, seed),
                                                  sock.shutdown(socket.SHUT_WR)))
        writer.start()
        answer = read_all(sock)
        writer.join()
        return answer


# --- bytes ----------------------------------------------------------------------------------------

@pytest.mark.tsan
def test_every_size_arrives_byte_for_byte_both_ways(lab, app):
    """Covers empty streams, single bytes, and sizes around a TLS record and the buffer."""
    pair = lab.pair(app().port)
    for size in (0, 1, 2, 16383, 16384, 16385, 65535, 65536, 65537, 131073, 10 * MIB):
        data = random.Random(size).randbytes(size)
        assert sha(exchange(pair.port, data)) == sha(data), f'{size} bytes'
    for workload in pair.workloads:
        lines = wait_until(lambda w=workload: len(w.sidecar.lines(reason='done')) == 11 and
                           w.sidecar.lines(reason='done'), 'a line for each connection')
        assert {line['bytes_to_app'] for line in lines} == {line['bytes_to_mesh'] for line in lines}
        assert max(line['bytes_to_app'] for line in lines) == 10 * MIB


@pytest.mark.parametrize('buffer', ['16KiB', '64KiB', '1MiB'])
def test_random_chunks_arrive_in_order(lab, app, buffer):
    """The chunks that arrive differ from those that an app writes, whatever the buffer."""
    pair = lab.pair(app().port, common={'limits': {'buffer': buffer}})
    for seed, most in enumerate((3, 100, 5000, 70000)):
        data = random.Random(seed).randbytes(min(2000 * most, 4 * MIB))
        assert sha(exchange(pair.port, data, most, seed)) == sha(data), f'chunks of up to {most}'


@pytest.mark.tsan
@pytest.mark.parametrize('workers', [1, 4])
def test_200_streams_at_once_do_not_mix(lab, app, workers):
    """Every stream gets its own bytes back, with four workers."""
    pair = lab.pair(app().port, common={'sidecar': {'workers': workers}})
    before = pair.inbound.sidecar.thread_times()

    def one(seed):
        data = random.Random(seed).randbytes(1000 + seed * 500)
        return sha(exchange(pair.port, data, 20000, seed)) == sha(data)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        assert all(pool.map(one, range(200)))
    after = pair.inbound.sidecar.thread_times()
    busy = [tid for tid in after if tid != pair.inbound.sidecar.pid and after[tid] - before.get(tid, 0) > BUSY_NS]
    assert len(after) >= workers + 1
    if workers > 1:
        assert len(busy) > 1, 'one worker did it all'


def test_four_workers_are_all_used(lab, app):
    """The kernel spreads 64 connections over the listening sockets of the workers: each worker gets some."""
    pair = lab.pair(app().port, common={'sidecar': {'workers': 4}})
    before = pair.outbound.sidecar.thread_times()
    streams = [connect(pair.port) for _ in range(64)]
    block = bytes(MIB)

    def work(sock):
        for _ in range(4):
            sock.sendall(block)
            left = len(block)
            while left:
                left -= len(sock.recv(left))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, streams))
    for sock in streams:
        sock.close()
    after = pair.outbound.sidecar.thread_times()
    assert sum(after[tid] - before.get(tid, 0) > BUSY_NS for tid in after if tid != pair.outbound.sidecar.pid) == 4


# --- ends -----------------------------------------------------------------------------------------

def test_client_finishes_first_and_still_gets_the_whole_answer(lab, app):
    """The app answers only after it has seen the end of the request."""
    def answer(sock):
        question = read_all(sock)
        sock.sendall(sha(question).encode() + bytes(MIB))
    pair = lab.pair(app(answer).port)
    with pair.connect() as sock:
        sock.sendall(b'question')
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == sha(b'question').encode() + bytes(MIB)


def test_server_finishes_first_and_still_gets_the_whole_stream(lab, app):
    """The client goes on writing after the app has sent everything."""
    got = []

    def greet(sock):
        sock.sendall(b'send it')
        sock.shutdown(socket.SHUT_WR)
        got.append(read_all(sock))
    pair = lab.pair(app(greet).port)
    with pair.connect() as sock:
        assert read_all(sock) == b'send it'
        data = os.urandom(MIB)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: got, 'the app has everything')
    assert sha(got[0]) == sha(data)


def test_both_finish_at_once(lab, app):
    """An empty stream in both directions ends cleanly with the reason `done`."""
    pair = lab.pair(app(lambda sock: (sock.shutdown(socket.SHUT_WR), read_all(sock))).port)
    with pair.connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b''
    for workload in pair.workloads:
        workload.wait_line(reason='done')


def test_server_that_speaks_first(lab, app):
    """A banner arrives before the client has sent a byte."""
    def banner(sock):
        sock.sendall(b'220 mail.example ESMTP\r\n')
        labs.echo(sock)
    pair = lab.pair(app(banner).port)
    with pair.connect() as sock:
        assert sock.recv(100) == b'220 mail.example ESMTP\r\n'
        sock.sendall(b'QUIT\r\n')
        assert sock.recv(100) == b'QUIT\r\n'


def opened(pair):
    """Opens a stream that has carried bytes both ways."""
    sock = pair.connect()
    sock.sendall(b'ping')
    assert sock.recv(4) == b'ping'
    return sock


@pytest.mark.tsan
def test_reset_of_the_server_app_becomes_a_reset_of_the_client(lab, app):
    go = threading.Event()

    def serve(sock):
        sock.sendall(sock.recv(4))
        assert go.wait(10 * labs.SLOW)
        reset(sock)
    pair = lab.pair(app(serve).port)
    with opened(pair) as sock:
        go.set()
        assert end_of(sock) == 'reset'
    pair.inbound.wait_line(reason='app_reset')
    pair.outbound.wait_line(reason=labs.re.compile('peer_reset|peer_truncated'))


@pytest.mark.tsan
def test_reset_of_the_client_app_becomes_a_reset_of_the_server(lab, app):
    ends = []
    pair = lab.pair(app(lambda sock: (sock.sendall(sock.recv(4)), ends.append(end_of(sock)))).port)
    reset(opened(pair))
    assert wait_until(lambda: ends, 'the app sees the end') == ['reset']
    pair.outbound.wait_line(reason='app_reset')


def test_reset_after_the_client_has_finished_is_seen_by_the_server(lab, app):
    """The app sends nothing at that moment. The reset of the half-closed connection still reaches it."""
    ends = []

    def serve(sock):
        assert read_all(sock) == b'ping'
        sock.sendall(b'pong')
        sock.settimeout(5 * labs.SLOW)
        try:  # only a write shows the end of our own direction
            while not ends:
                sock.sendall(bytes(1000))
                threading.Event().wait(0.02)
        except OSError:
            ends.append('reset')
    pair = lab.pair(app(serve).port)
    sock = pair.connect()
    sock.sendall(b'ping')
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(4) == b'pong'
    reset(sock)
    assert wait_until(lambda: ends, 'the app sees the end') == ['reset']


def test_reset_after_the_client_has_finished_is_seen_by_a_silent_server(lab, app):
    ends = []

    def serve(sock):
        assert read_all(sock) == b'ping'
        sock.sendall(b'pong')
        watch = labs.select.poll()
        watch.register(sock, 0)  # POLLERR and POLLHUP are always reported
        ends.append(watch.poll(9000 * labs.SLOW))
    pair = lab.pair(app(serve).port)
    sock = pair.connect()
    sock.sendall(b'ping')
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(4) == b'pong'
    reset(sock)
    assert wait_until(lambda: ends, 'the app has waited')[0]


@pytest.mark.parametrize('victim', ['outbound', 'inbound'])
def test_killed_sidecar_is_a_reset_and_no_clean_end(lab, app, victim):
    """After kill -9, neither app may take the data so far for the whole stream."""
    ends = []
    pair = lab.pair(app(lambda sock: (sock.sendall(sock.recv(4)), ends.append(end_of(sock)))).port)
    with opened(pair) as sock:
        getattr(pair, victim).sidecar.kill()
        if victim == 'inbound':  # the client's own sidecar is alive
            assert end_of(sock) == 'reset'
        else:
            assert wait_until(lambda: ends, 'the app sees the end') == ['reset']


# --- back-pressure --------------------------------------------------------------------------------

class SlowReader:
    """An app that reads only when told to."""

    def __init__(self):
        self.go, self.hashes = threading.Event(), []

    def __call__(self, sock):
        assert self.go.wait(60 * labs.SLOW)
        self.hashes.append(sha(read_all(sock)))


def fill(sock):
    """Writes until nothing is accepted for a while. Returns the hash so far and the number of bytes."""
    digest, total, chunk = hashlib.sha256(), 0, os.urandom(1 << 16)
    sock.setblocking(False)
    while True:
        try:
            sent = sock.send(chunk)
        except BlockingIOError:
            if not labs.select.select([], [sock], [], 0.1 * labs.SLOW)[1]:
                sock.setblocking(True)
                return digest, total
            continue
        digest.update(chunk[:sent])
        total += sent


@pytest.mark.heavy
def test_slow_readers_stop_the_writers_and_cost_bounded_memory(lab, app):
    """50 clients write to an app that does not read. Each of them is stopped in the end, and a sidecar holds less than
    256 KiB for each (a buffer of 64 KiB each way, plain and encrypted). Then the app reads, and gets every byte."""
    reader = SlowReader()
    pair = lab.pair(app(reader, receive_buffer=65536).port)
    opened = [w.sidecar.heap() for w in pair.workloads]
    streams = [pair.connect() for _ in range(50)]
    for sock in streams:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        written = list(pool.map(fill, streams))
    growth = [w.sidecar.heap() - before for w, before in zip(pair.workloads, opened)]
    if not (labs.ASAN or labs.TSAN):
        assert max(growth) < 50 * 256 * 1024, f'{growth} bytes for 50 stalled connections'
    reader.go.set()
    for sock in streams:
        sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: len(reader.hashes) == 50, 'all streams end', 60)
    assert sorted(reader.hashes) == sorted(digest.hexdigest() for digest, _ in written)
    for sock in streams:
        sock.close()


def test_slow_client_stops_the_server(lab, app):
    """In the other direction, the app's data is bounded too, and arrives complete in the end."""
    written = []

    def serve(sock):
        digest, total = fill(sock)
        written.append((digest.hexdigest(), total))
    pair = lab.pair(app(serve).port)
    with pair.connect() as sock:
        wait_until(lambda: written, 'the app is stopped', 30)
        assert sha(read_all(sock)) == written[0][0]
    assert written[0][1] < 64 * MIB


# --- addresses ------------------------------------------------------------------------------------

def test_unix_sockets_for_app_and_upstream(lab, app):
    """Both ends use unix:PATH: the client dials a path, and the app listens on one."""
    server = app(path=lab.folder / 'app.sock')
    inbound = lab.inbound(f'unix:{lab.folder}/app.sock')
    outbound = lab.outbound(inbound.port, {'upstream peer': {'listen': f'unix:{lab.folder}/peer.sock'}})
    data = os.urandom(MIB)
    assert sha(exchange(lab.folder / 'peer.sock', data)) == sha(data)
    assert server.accepted == 1
    outbound.sidecar.stop()
    assert not os.path.exists(lab.folder / 'peer.sock'), 'the path goes with the sidecar'


def test_unix_listener_is_shared_by_all_workers(lab, app):
    inbound = lab.inbound(app().port)
    lab.outbound(inbound.port, {'upstream peer': {'listen': f'unix:{lab.folder}/peer.sock'},
                                'sidecar': {'workers': 4}})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: exchange(lab.folder / 'peer.sock', b'x' * 1000), range(64))) == {b'x' * 1000}


def test_stale_unix_path_of_a_killed_sidecar_is_taken_over(lab, app):
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(inbound.port, {'upstream peer': {'listen': f'unix:{lab.folder}/peer.sock'}})
    outbound.sidecar.kill()
    outbound.start_sidecar().wait_ready()
    assert exchange(lab.folder / 'peer.sock', b'again') == b'again'


def test_first_address_that_refuses_is_passed_over(lab, app):
    """The addresses of `to` are tried in order until one answers."""
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(f'127.0.0.1:{lab.ports.free()}, 127.0.0.1:{inbound.port}')
    assert exchange(outbound.port, b'hello') == b'hello'


def test_all_addresses_refuse(lab):
    outbound = lab.outbound(f'127.0.0.1:{lab.ports.free()}, 127.0.0.1:{lab.ports.free()}')
    assert outcome(outbound.port) == 'reset'
    assert 'refused' in outbound.wait_line(reason='peer_refused')['explanation']


def test_dns_name_in_to(lab, app):
    """The name has both families, and the listener is on IPv4 only."""
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(f'localhost:{inbound.port}')
    wait_until(lambda: exchange_or_none(outbound.port, b'hello') == b'hello', 'the name is resolved')


def exchange_or_none(to, data):
    try:
        return exchange(to, data)
    except OSError:
        return None


def test_dns_name_that_does_not_exist(lab):
    """The connections are refused, and the log says what is wrong."""
    outbound = lab.outbound('no-such-host.invalid:443')
    assert outcome(outbound.port) == 'reset'
    assert 'does not resolve' in outbound.wait_line(reason='no_address')['explanation']


def test_dns_name_that_does_not_exist_takes_the_place_of_a_good_address(lab, app):
    """The old address is no longer used, although the new name has no address."""
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(inbound.port)
    assert exchange(outbound.port, b'hello') == b'hello'
    outbound.change({'upstream peer': {'to': f'no-such-host.invalid:{inbound.port}'}})
    outbound.wait_line(msg=labs.re.compile('does not resolve'))
    wait_until(lambda: outcome(outbound.port) == 'reset', 'its connections are refused')
    outbound.wait_line(reason='no_address')


@pytest.mark.parametrize('host', ['[::1]', '*'])
def test_ipv6(lab, app, host):
    """Covers listeners on [::1] and on * (both families), and an app and an upstream on IPv6."""
    server = app(family=socket.AF_INET6)
    inbound = lab.inbound(f'[::1]:{server.port}', host=host)
    outbound = lab.outbound(f'[::1]:{inbound.port}', host=host)
    for address in ['::1'] if host == '[::1]' else ['::1', '127.0.0.1']:
        assert exchange((address, outbound.port), b'hello') == b'hello'


# --- credentials of every kind ----------------------------------------------------------------------

@pytest.mark.parametrize('kind', ['p256', 'p384', 'ed25519', 'rsa2048'])
def test_every_kind_of_key(lab, app, kind):
    """Covers the leaf keys that the SVID standard allows, as client and as server, under a root of the same kind."""
    root = CA(labs.TD, key=kind)
    lab.root = root
    pair = lab.pair(app().port, client=root.issue(labs.CLIENT, key=kind), server=root.issue(labs.SERVER, key=kind))
    assert exchange(pair.port, b'hello') == b'hello'


def test_intermediates(lab, app):
    """Both sides have chains of three certificates, and the bundle has only the root."""
    middle = lab.root.intermediate(path_len=1)
    lower = middle.intermediate(common_name='lower')
    pair = lab.pair(app().port, client=lower.issue(labs.CLIENT), server=middle.issue(labs.SERVER, key='p384'))
    assert exchange(pair.port, b'hello') == b'hello'


def test_credential_bundle(lab, app):
    """One file with the key and then the chain replaces cert and key."""
    inbound = lab.inbound(app().port, start=False)
    svid = lab.root.intermediate().issue(labs.SERVER)
    (inbound.folder / 'bundle.pem').write_bytes(svid.bundle_pem)
    (inbound.folder / 'bundle.pem').chmod(0o600)
    inbound.sections['identity'] = {'credential_bundle': inbound.folder / 'bundle.pem',
                                    'bundle': inbound.folder / 'ca.crt'}
    inbound.change({})
    inbound.start().wait_ready()
    assert exchange(lab.outbound(inbound.port).port, b'hello') == b'hello'


def test_federation(lab, app):
    """Only the bundle of its own domain vouches for a peer of another trust domain."""
    partner = lab.other_root
    foreign = lab.folder / 'other.crt'
    foreign.write_bytes(partner.cert_pem)
    ours = lab.folder / 'ours.crt'
    ours.write_bytes(lab.root.cert_pem)
    inbound = lab.inbound(app().port, {'federate other.example': {'bundle': foreign},
                                       'allow partner': {'from': 'spiffe://other.example/web'}})
    outbound = lab.outbound(inbound.port, {f'federate {labs.TD}': {'bundle': ours}},
                            svid=partner.issue('spiffe://other.example/web'), bundle=partner.cert_pem)
    assert exchange(outbound.port, b'hello') == b'hello'
    assert inbound.wait_line(reason='done')['peer'] == 'spiffe://other.example/web'


def test_both_sidecars_speak_the_hybrid_group(lab, app):
    """X25519MLKEM768 comes first, so two sidecars agree on it."""
    pair = lab.pair(app().port)
    assert exchange(pair.port, b'hello') == b'hello'
    for workload, peer, own in (pair.inbound, labs.CLIENT, labs.SERVER), (pair.outbound, labs.SERVER, labs.CLIENT):
        line = workload.wait_line(reason='done')
        assert (line['group'], line['tls'], line['peer'], line['own']) == ('X25519MLKEM768', '1.3', peer, own)


@pytest.mark.tsan
def test_end_of_a_sidecar_amid_traffic(lab, app):
    """SIGTERM arrives with no drain time, four workers, and streams at full speed: the exit is clean, and the apps see
    resets."""
    pair = lab.pair(app().port, common={'sidecar': {'workers': 4, 'drain': '10ms'}})
    running, ends = [], []

    def busy(_):
        with connect(pair.port) as sock:
            try:
                sock.sendall(bytes(5000))
                running.append(sock.recv(1 << 16))
                while True:
                    sock.sendall(bytes(5000))
                    sock.recv(1 << 16)
            except OSError:
                ends.append('reset')
    threads = [threading.Thread(target=busy, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(running) == 8, 'streams run')
    pair.inbound.sidecar.signal(signal.SIGTERM)
    assert pair.inbound.sidecar.wait() == 0
    for thread in threads:
        thread.join()
    assert ends == ['reset'] * 8
