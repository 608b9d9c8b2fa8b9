# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what the sidecar reports about itself in /metrics, /status, the page and `fairlead-agent status`, and that all
agree."""
import collections
import datetime
import html.parser
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

import lab as labs
import peers
from false_agent import FalseAgent, field, frame
from lab import connect, end_of, outcome, read_all, reset, wait_until
from pki import CA
from reports import agree, ask, EXPIRY, metric, metrics, NOTE, of, promtool, status, tool


@pytest.mark.skipif(not shutil.which('promtool'), reason='promtool is missing (package prometheus)')
def test_promtool_before_during_and_after_traffic(lab, app):
    pair = lab.pair(app().port)

    def check():
        for workload in pair.workloads:
            promtool(workload.get('/metrics')[1])
    check()
    with pair.connect() as sock:
        sock.sendall(b'x')
        assert sock.recv(1) == b'x'
        outcome(pair.inbound.port, b'this is no TLS')
        check()
    agree(pair.inbound, {'done': 1, 'not_tls': 1}, 'inbound')
    check()


# --- counters -------------------------------------------------------------------------------------

@pytest.mark.tsan
def test_counters_follow_the_traffic_and_agree(lab, app):
    pair = lab.pair(app().port, common={'sidecar': {'workers': 4}})
    sizes = [0, 1, 5000, 200_000] * 10
    threads = [threading.Thread(target=ask, args=(pair, size)) for size in sizes]
    for thread in threads:
        thread.start()
    looks = 0
    while any(thread.is_alive() for thread in threads):  # other callers read it meanwhile
        for workload in pair.workloads:
            told = status(workload)['connections']
            for direction in told.values():
                assert direction['open'] <= len(sizes)
        looks += 1
    for thread in threads:
        thread.join()
    assert looks
    for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
        told = agree(workload, {'done': len(sizes)}, direction)
        sessions = told['sessions'][direction]
        assert sessions['cold'] + sessions['reused'] == len(sizes)
        assert told['handshakes'][direction].items() >= {'ok': sessions['cold'], 'failed': {}}.items()
        assert told['bytes'][direction] == {'to_app': sum(sizes), 'to_mesh': sum(sizes)}
        buckets = sorted((float(dict(k[1:])['le']), v) for k, v in metrics(workload).items()
                         if k[0] == 'fairlead_handshake_duration_seconds_bucket' and ('direction', direction) in k)
        assert [v for _, v in buckets] == sorted(v for _, v in buckets) and buckets[-1] == (float('inf'), sessions['cold'])
        assert metric(workload, 'fairlead_handshake_duration_seconds_sum', direction=direction) > 0


def test_open_connections_and_their_bytes_show_while_they_are_open(lab, app):
    """An hour of streaming must not look like an hour of silence."""
    pair = lab.pair(app().port)
    socks = [pair.connect() for _ in range(3)]
    for sock in socks:
        sock.sendall(b'x' * 1000)
        assert len(sock.recv(1000, socket.MSG_WAITALL)) == 1000
    for workload, direction in zip(pair.workloads, ('outbound', 'inbound')):
        assert metric(workload, 'fairlead_connections_open', direction=direction) == 3
        assert metric(workload, 'fairlead_bytes_total', direction=direction, to='mesh') == 3000
        assert status(workload)['connections'][direction] == {'open': 3, 'opened': 3, 'closed': {'done': 0}}
        promtool(workload.get('/metrics')[1])
    for sock in socks:
        sock.close()
    agree(pair.inbound, {'done': 3}, 'inbound')


def provoke_not_tls(lab, inbound):
    outcome(inbound.port, b'GET / HTTP/1.1\r\n\r\n')


def provoke_tls_version(lab, inbound):
    peers.verdict(inbound.port, lab.client, tls=peers.ssl.TLSVersion.TLSv1_2)


def provoke_certificate(lab, inbound):
    assert peers.verdict(inbound.port, lab.other_root.issue('spiffe://other.example/x')) == 48


def provoke_policy(lab, inbound):
    assert peers.verdict(inbound.port, lab.root.issue(f'spiffe://{labs.TD}/nobody')) == 49


def provoke_handshake_timeout(lab, inbound):
    with connect(inbound.port) as sock:
        end_of(sock)


def provoke_truncated(lab, inbound):
    with connect(inbound.port) as raw, peers.context(False, lab.client).wrap_socket(raw) as tls:
        tls.sendall(b'x')
        assert tls.recv(1) == b'x'
        with socket.socket(fileno=os.dup(tls.fileno())) as below:
            below.shutdown(socket.SHUT_WR)  # without close_notify
        end_of(tls)


def provoke_reset(lab, inbound):
    with peers.client(inbound.port, lab.client) as tls:
        tls.sendall(b'x')
        assert tls.recv(1) == b'x'
        reset(tls)


INBOUND = {'not_tls': (provoke_not_tls, True), 'tls_version': (provoke_tls_version, True),
           'certificate_refused': (provoke_certificate, True), 'policy_denied': (provoke_policy, False),
           'handshake_timeout': (provoke_handshake_timeout, True), 'peer_truncated': (provoke_truncated, False),
           'peer_reset': (provoke_reset, False)}


@pytest.mark.parametrize('reason', INBOUND)
def test_each_reason_is_counted_once(lab, app, reason):
    provoke, in_handshake = INBOUND[reason]
    inbound = lab.inbound(app().port, {'limits': {'handshake_timeout': '300ms'}}, allow=labs.CLIENT)
    provoke(lab, inbound)
    told = agree(inbound, {reason: 1}, 'inbound')
    assert told['handshakes']['inbound']['failed'] == ({reason: 1} if in_handshake else {})
    assert told['handshakes']['inbound']['ok'] == (0 if in_handshake else 1)
    promtool(inbound.get('/metrics')[1])


def test_an_upstream_that_is_down_is_no_failed_handshake(lab):
    outbound = lab.outbound(lab.ports.free())
    assert outcome(outbound.port) == 'reset'
    told = agree(outbound, {'peer_refused': 1}, 'outbound')
    assert told['handshakes']['outbound'] == {'ok': 0, 'resumed': 0, 'failed': {}}


def test_an_app_that_is_down(lab):
    pair = lab.pair(lab.ports.free())
    assert outcome(pair.port) == 'reset'
    agree(pair.inbound, {'app_refused': 1}, 'inbound')


def test_every_connection_over_the_limit_is_counted_though_not_logged(lab, app):
    inbound = lab.inbound(app().port, {'limits': {'connections': 2}})
    held = [peers.client(inbound.port, lab.client) for _ in range(2)]
    wait_until(lambda: status(inbound)['connections']['inbound']['open'] == 2, 'both are in')
    for _ in range(20):
        assert outcome(inbound.port) == 'reset'
    told = status(inbound)['connections']['inbound']
    assert told == {'open': 2, 'opened': 22, 'closed': {'done': 0, 'connection_limit': 20}}
    assert metric(inbound, 'fairlead_connections_closed_total', direction='inbound', reason='connection_limit') == 20
    assert 1 <= len(inbound.sidecar.lines(reason='connection_limit')) < 20
    for sock in held:
        sock.close()


NO_LISTEN = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The port of the environment is taken by the time that it is listened on. */
int listen(int fd, int backlog)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	if (backlog > 1 && getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && ntohs(sa.sin_port) == atoi(getenv("PORT"))) {
		errno = EADDRINUSE;
		return -1;
	}
	return ((int (*)(int, int))dlsym(RTLD_NEXT, "listen"))(fd, backlog);
}
"""


@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='a sanitizer wants to be the first library')
def test_a_listener_that_cannot_be_opened(lab, app):
    """The sidecar does not claim to serve it or to be ready. It serves the others."""
    other = lab.ports.free()
    web = lab.inbound(app().port, {'service other': {'listen': f'127.0.0.1:{other}', 'app': '127.0.0.1:1'}}, start=False)
    library = web.folder / 'listen.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-o', library, '-x', 'c', '-'], input=NO_LISTEN.encode(), check=True, timeout=60)
    web.start_sidecar(['env', f'LD_PRELOAD={library}', f'PORT={web.port}']).start_agent()
    web.wait_line(level='error', msg=re.compile(r'^\[service app\]: cannot listen'))
    wait_until(lambda: labs.listens(other), 'the other one listens')
    assert {each['name']: each['serving'] for each in status(web)['listeners']} == {'app': False, 'other': True}
    assert web.get('/readyz') == (503, '[service app] does not listen: the log says why; then restart the sidecar\n')
    assert metric(web, 'fairlead_ready') == 0
    assert '<td class="bad">not serving</td>' in web.get('/')[1]
    code, out, _ = tool('status', '-c', web.ini)
    assert code == 1 and out.count('NOT SERVING') == 1


# --- generations ----------------------------------------------------------------------------------

def test_before_there_is_a_generation(lab):
    web = lab.inbound(8080, start=False).start_sidecar()
    wait_until(lambda: outcome_of_get(web), 'no admin endpoint')
    told = wait_until(lambda: status(web)['agent']['trouble'] and status(web), 'the agent is missed')
    assert told['ready'] is False and 'fairlead-agent' in told['reason']
    assert told['agent']['connected'] is False
    assert [told[k] for k in ('id', 'generation', 'certificates', 'last_rotation', 'last_refusal')] == \
        [None, None, [], None, None]
    assert [each['serving'] for each in told['listeners']] == [False]
    assert metric(web, 'fairlead_ready') == metric(web, 'fairlead_agent_connected') == 0
    promtool(web.get('/metrics')[1])
    code, out, err = tool('status', '-c', web.ini)
    assert code == 1 and 'NOT READY: no generation yet' in out and not err
    assert 'Not ready' in web.get('/')[1]


def outcome_of_get(workload):
    try:
        return workload.get('/healthz')
    except ConnectionError:
        return None


def test_generations_used_and_refused(lab):
    """Reports from whom, when and why, and whether it still holds."""
    web = lab.inbound(8080, start=False)
    with FalseAgent(web) as agent:
        web.start_sidecar()
        agent.accept()
        assert agent.push(1) == (True, '')
        web.wait_ready()
        told = status(web)
        assert told['rotations'] == {'used': 1, 'refused_by_agent': 0, 'refused_by_sidecar': 0}
        assert told['generation']['number'] == told['last_rotation']['generation'] == 1
        assert told['generation']['since'] == told['last_rotation']['time']

        accepted, reason = agent.push(2, ini='[nonsense]\n')
        assert not accepted
        told = status(web)
        assert told['rotations'] == {'used': 1, 'refused_by_agent': 0, 'refused_by_sidecar': 1}
        assert told['last_refusal'].items() >= {'by': 'sidecar', 'text': reason, 'current': True}.items()
        assert told['generation']['number'] == 1 and told['ready']

        def note(refused, when, text):
            agent.send(frame(NOTE, field(1, bytes([refused])) + field(2, struct.pack('>q', when)) + field(3, text)))
        when = int(time.time()) + 2  # later than the refusal above
        note(1, when, b'tls.crt: <b>bad</b> \x1b[31m\n')
        note(1, when, b'tls.crt: <b>bad</b> \x1b[31m\n')  # reported again, as after a reconnect
        told = wait_until(lambda: status(web)['rotations']['refused_by_agent'] and status(web), 'the note')
        assert told['rotations'] == {'used': 1, 'refused_by_agent': 1, 'refused_by_sidecar': 1}
        assert told['last_refusal'] == {'time': labs_time(when), 'by': 'agent', 'text': 'tls.crt: <b>bad</b> \x1b[31m\n',
                                        'current': True}
        assert metric(web, 'fairlead_last_refusal_timestamp_seconds') == when
        assert metric(web, 'fairlead_rotations_total', result='refused_by_agent') == 1
        page = web.get('/')[1]
        assert 'still so' in page and '<b>bad</b>' not in page and '\x1b' not in page
        code, out, _ = tool('status', '-c', web.ini)
        assert code == 0 and re.search(r'^REFUSED .* by the agent: tls.crt: <b>bad</b> \?\[31m\?$', out, re.M)

        assert not agent.push(2, ini='[nonsense]\n')[0]  # offered again
        assert status(web)['rotations']['refused_by_sidecar'] == 1
        assert len(web.sidecar.lines(msg=re.compile('^generation 2 refused'))) == 1
        assert not agent.push(3, ini='[other]\n')[0]
        assert status(web)['rotations']['refused_by_sidecar'] == 2
        assert len(web.sidecar.lines(msg=re.compile('^generation . refused'))) == 2

        note(0, when, b'')
        assert agent.push(2, svid=lab.root.issue(labs.SERVER)) == (True, '')
        told = status(web)
        assert told['rotations']['used'] == 2 and told['generation']['number'] == 2
        assert told['last_refusal']['current'] is False
        assert re.search(r'^last refusal ', tool('status', '-c', web.ini)[1], re.M)
        promtool(web.get('/metrics')[1])
    wait_until(lambda: not status(web)['agent']['connected'], 'the agent is gone')
    assert status(web)['ready'] is True, 'losing the agent disturbs nobody'
    assert 'NOT CONNECTED' in tool('status', '-c', web.ini)[1]


def test_a_refusal_lasts_until_the_agent_goes_back(lab):
    """To what is in use, which is no new generation; on another connection the agent need not even send it."""
    web = lab.inbound(8080, start=False)

    def told():
        each = status(web)
        return each['last_refusal']['current'], each['rotations']['refused_by_sidecar'], each['rotations']['used']
    with FalseAgent(web) as agent:
        web.start_sidecar()
        agent.accept()
        assert agent.push(1) == (True, '')
        assert not agent.push(2, ini='[nonsense]\n')[0] and told() == (True, 1, 1)
        assert agent.push(1) == (True, '') and told() == (False, 1, 1)
        assert status(web)['generation']['number'] == 1
        assert not agent.push(3, ini='[nonsense]\n')[0] and told() == (True, 2, 1)
        agent.sock.close()
        agent.accept()
        wait_until(lambda: told() == (False, 2, 1), 'its HELLO says what is in use')
        assert not agent.push(3, ini='[nonsense]\n')[0] and told() == (True, 2, 1), 'the same one again'
    assert len(web.sidecar.lines(msg='generation in use')) == 1


def labs_time(seconds):
    return datetime.datetime.utcfromtimestamp(seconds).strftime('%Y-%m-%dT%H:%M:%SZ')


def test_every_certificate_has_its_own_expiry(lab):
    day = datetime.timedelta(days=1)
    root, other = CA(labs.TD, not_after=400 * day), CA('partner.example', not_after=50 * day)
    leaf = root.intermediate(not_after=30 * day).issue(labs.SERVER, not_after=2 * day)
    web = lab.inbound(8080, start=False, svid=leaf, bundle=lab.root.cert_pem + root.cert_pem)
    (web.folder / 'partner.crt').write_bytes(other.cert_pem)
    web.change({'federate partner.example': {'bundle': web.folder / 'partner.crt'}})
    web.start().wait_ready()
    wanted = {('leaf', labs.TD, '1'): leaf.cert, ('intermediate', labs.TD, '2'): leaf.intermediates[0].cert,
              ('root', labs.TD, '1'): lab.root.cert, ('root', labs.TD, '2'): root.cert,
              ('root', 'partner.example', '1'): other.cert}
    wanted = {k: int(v.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()) for k, v in wanted.items()}
    seen = {(dict(k[1:])['kind'], dict(k[1:])['trust_domain'], dict(k[1:])['index']): v
            for k, v in metrics(web).items() if k[0] == EXPIRY}
    assert seen == wanted
    told = status(web)
    assert {(c['kind'], c['trust_domain'], str(c['index'])): c['not_after'] for c in told['certificates']} == \
        {k: labs_time(v) for k, v in wanted.items()}
    assert told['generation']['not_after'] == labs_time(wanted['leaf', labs.TD, '1'])
    for certificate in told['certificates']:
        left = wanted[certificate['kind'], certificate['trust_domain'], str(certificate['index'])] - time.time()
        assert abs(certificate['remaining_seconds'] - left) < 30
    assert re.search('expires in (2d|1d 23h), ', tool('status', '-c', web.ini)[1])


# --- readiness ------------------------------------------------------------------------------------

def expiring(lab, kind):
    """Returns (svid, bundle) with one certificate that expires in a few seconds, and the expected message."""
    soon = datetime.timedelta(seconds=4 * labs.PACE)
    if kind == 'leaf':
        return lab.root.issue(labs.SERVER, not_after=soon), lab.root.cert_pem, f'our own certificate ({labs.SERVER}) '
    if kind == 'intermediate':
        return lab.root.intermediate(not_after=soon).issue(labs.SERVER), lab.root.cert_pem, \
            f'the intermediate of our own certificate ({labs.SERVER}; certificate 2 of its chain) '
    root = CA(labs.TD, not_after=soon)
    return root.issue(labs.SERVER), root.cert_pem, f'the root of our own trust domain ({labs.TD}) '


@pytest.mark.heavy
@pytest.mark.parametrize('kind', ['leaf', 'intermediate', 'root'])
def test_not_ready_when_a_certificate_that_is_needed_has_expired(lab, kind):
    svid, bundle, reason = expiring(lab, kind)
    web = lab.inbound(8080, svid=svid, bundle=bundle)
    assert tool('status', '-c', web.ini)[0] == 0
    wait_until(lambda: web.get('/readyz')[0] == 503, 'it does not notice')
    said = web.get('/readyz')[1]
    assert said.startswith(f'{reason}has expired at ')
    told = status(web)
    assert told['ready'] is False and told['reason'] == said.strip()
    assert metric(web, 'fairlead_ready') == 0
    assert [c['kind'] for c in told['certificates'] if c['remaining_seconds'] < 0] == [kind]
    code, out, _ = tool('status', '-c', web.ini)
    assert code == 1 and f'NOT READY: {said.strip()}' in out and 'EXPIRED' in out
    assert '<span class="bad">expired' in web.get('/')[1]
    # Valid certificates make it ready again, without a restart.
    web.mount(lab.server, lab.root.cert_pem)
    web.agent.stop()
    web.start_agent()
    web.wait_ready()
    assert status(web)['ready'] is True


def test_one_good_root_is_enough(lab):
    soon = CA(labs.TD, common_name='old root', not_after=datetime.timedelta(seconds=2 * labs.PACE))
    web = lab.inbound(8080, bundle=soon.cert_pem + lab.root.cert_pem)
    wait_until(lambda: any(c['remaining_seconds'] < 0 for c in status(web)['certificates']), 'it lives on')
    assert web.get('/readyz') == (200, 'ready\n')


# --- the admin endpoint ---------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    """Collects tags and text of a page, and checks that tags are closed in order."""

    VOID = {'meta', 'br', 'link', 'img', 'wbr'}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], collections.Counter(), []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        assert not any(name.startswith('on') or name in ('src', 'style') for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page(lab, app):
    pair = lab.pair(app().port)
    ask(pair, 1000)
    agree(pair.inbound, {'done': 1}, 'inbound')
    page = Page(pair.inbound.get('/')[1])
    text = ''.join(page.text)
    assert not page.tags.keys() & {'img', 'iframe', 'object'} and page.tags['script'] == page.tags['link'] == 1
    for part in (labs.SERVER, 'Ready', 'service app', f'127.0.0.1:{pair.inbound.port}', 'serving', 'leaf', 'root'):
        assert part in text, part


@pytest.mark.parametrize('path', ['/metrics', '/status', '/'])
def test_types_and_lengths(lab, path):
    types = {'/metrics': 'text/plain; version=0.0.4; charset=utf-8', '/status': 'application/json',
             '/': 'text/html; charset=utf-8'}
    web = lab.inbound(8080)

    def raw(method):
        with connect(web.admin) as sock:
            sock.sendall(f'{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
            head, _, body = read_all(sock).partition(b'\r\n\r\n')
        lines = head.decode().split('\r\n')
        return lines[0], dict(line.split(': ', 1) for line in lines[1:]), body
    for method in ('GET', 'HEAD'):
        first, headers, body = raw(method)
        assert first == 'HTTP/1.1 200 OK' and headers['Content-Type'] == types[path]
        assert (len(body) == int(headers['Content-Length'])) if method == 'GET' else body == b''
        assert headers['Cache-Control'] == 'no-store' and int(headers['Content-Length']) > 1000
    if path == '/':
        assert "default-src 'none'" in headers['Content-Security-Policy']
    assert raw('POST')[0].startswith('HTTP/1.1 405 ')


def test_hostile_callers_of_metrics(lab, app):
    """Callers that do not read, disconnect early or send garbage harm no other caller, and traffic continues."""
    pair = lab.pair(app().port)
    web = pair.inbound
    ask(pair, 10)  # its session stays
    wait_until(lambda: status(web)['sessions']['inbound']['idle'] == 1, 'it is over')
    before = web.sidecar.fds()
    for request in (b'GET /metrics HTTP/1.1\r\n\r\n', b'GET /status HTTP/1.1\r\nX: ' + b'y' * 9000,
                    b'GET /metrics?' + b'a' * 5000 + b' HTTP/1.1\r\n\r\n', b'GET /../metrics HTTP/1.1\r\n\r\n',
                    b'\x00' * 1000, b'POST /status HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n'):
        for _ in range(50):
            sock = connect(web.admin)
            sock.sendall(request)
            reset(sock)
    with connect(web.admin) as lazy:  # sends a request and never reads
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        lazy.sendall(b'GET / HTTP/1.1\r\n\r\n')
        ask(pair, 10)
        assert metric(web, 'fairlead_connections_opened_total', direction='inbound') == 2
    wait_until(lambda: web.sidecar.fds() <= before, 'descriptors are left')
    promtool(web.get('/metrics')[1])


@pytest.mark.tsan
def test_scraping_while_generations_and_connections_come_and_go(lab, app):
    pair = lab.pair(app().port, common={'sidecar': {'workers': 2}})
    done = threading.Event()

    def scrape():
        while not done.is_set():
            for path in ('/metrics', '/status', '/'):
                assert pair.inbound.get(path)[0] == 200
    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        for _ in range(3):
            for size in (1, 100_000):
                ask(pair, size)
            pair.inbound.mount(lab.root.issue(labs.SERVER))
            pair.inbound.agent.stop()
            number = status(pair.inbound)['generation']['number']
            pair.inbound.start_agent()
            wait_until(lambda n=number: status(pair.inbound)['generation']['number'] > n, 'the next generation')
    finally:
        done.set()
        scraper.join()
    agree(pair.inbound, {'done': 6}, 'inbound')
    assert status(pair.inbound)['rotations']['used'] == 4
    promtool(pair.inbound.get('/metrics')[1])
