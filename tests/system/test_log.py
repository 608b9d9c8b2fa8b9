# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the sidecar's log: one line for each connection, in the configured format, and never at the expense of
traffic."""
import json
import os
import pathlib
import re
import subprocess

import pytest

import lab as labs
import peers
from lab import connect, outcome, wait_until


def ping(to):
    with connect(to) as sock:
        sock.sendall(b'ping')
        sock.shutdown(1)
        return labs.read_all(sock) == b'ping'


def test_one_line_a_connection_with_everything_in_it(lab, app):
    pair = lab.pair(app().port)
    assert all(ping(pair.port) for _ in range(50))
    for workload, own, peer, direction in ((pair.inbound, labs.SERVER, labs.CLIENT, 'inbound'),
                                           (pair.outbound, labs.CLIENT, labs.SERVER, 'outbound')):
        lines = wait_until(lambda w=workload: len(w.sidecar.lines(msg='connection')) >= 50 and
                           w.sidecar.lines(msg='connection'), '50 lines')
        assert len(lines) == 50
        for line in lines:
            assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z', line['time'])
            assert (line['direction'], line['own'], line['peer']) == (direction, own, peer)
            assert (line['tls'], line['generation'], line['reason'], line['level']) == ('1.3', 1, 'done', 'info')
            assert line['bytes_to_app'] == line['bytes_to_mesh'] == 4
            assert 0 < line['duration_s'] < 10 * labs.SLOW
            assert re.fullmatch(r'127\.0\.0\.1:\d+', line['peer_addr'])
        if direction == 'inbound':
            assert {(line['decision'], line['rule'], line['service']) for line in lines} == {('allow', 'mesh', 'app')}
        else:
            assert all(re.fullmatch(r'127\.0\.0\.1:\d+', line['source']) for line in lines)


ESSENTIAL = {'direction', 'peer_addr', 'generation', 'bytes_to_app', 'bytes_to_mesh', 'duration_s', 'reason', 'security'}


@pytest.mark.parametrize('length', [1300, 1900, 2048])
def test_long_identities_push_nothing_out(lab, app, length):
    """What does not fit in a line is the end of it: our own identity, or a remedy. The line says so."""
    ours, theirs = (f'spiffe://{labs.TD}/'.ljust(length, letter) for letter in 'ct')
    pair = lab.pair(app().port, client=lab.root.issue(ours), server=lab.root.issue(theirs),
                    outbound={'upstream peer': {'peer': theirs}})
    assert ping(pair.port)
    served, sent = (each.wait_line(msg='connection', reason='done') for each in (pair.inbound, pair.outbound))
    pair.inbound.change({'allow mesh': None, 'allow other': {'from': f'spiffe://{labs.TD}/other'}})
    pair.inbound.wait_line(msg='generation in use', generation=2)
    assert outcome(pair.port, b'x') == 'reset'
    refused = pair.inbound.wait_line(reason='policy_denied')
    for line in served, sent, refused:
        assert line.keys() >= ESSENTIAL
        assert line['peer'] == (theirs if line is sent else ours)
        assert line.get('cut', False) == (length > 1300 or line is refused)
    assert served['bytes_to_app'] == sent['bytes_to_app'] == 4
    assert (served['decision'], served['rule']) == ('allow', 'mesh')
    assert (refused['decision'], refused['rule'], refused['bytes_to_app']) == ('deny', 'default', 0)
    assert 'rule_line' in served


def test_what_every_line_has(lab, app):
    """Covers connections that were refused early, plaintext, and connections to a dead app."""
    plain, nobody, dead, gone, silent = (lab.ports.free() for _ in range(5))
    echo = app().port
    inbound = lab.inbound(echo, {
        'service clear': {'listen': f'127.0.0.1:{plain}', 'app': f'127.0.0.1:{echo}', 'mode': 'plaintext'},
        'upstream clear-out': {'listen': f'127.0.0.1:{nobody}', 'to': f'127.0.0.1:{echo}', 'mode': 'plaintext'},
        'upstream dead': {'listen': f'127.0.0.1:{dead}', 'to': f'127.0.0.1:{silent}'},
        'upstream gone': {'listen': f'127.0.0.1:{gone}', 'to': f'127.0.0.1:{silent}', 'mode': 'plaintext'},
        'allow clear': {'from': 'plaintext', 'to': 'clear'}})
    outcome(inbound.port, b'this is no TLS')
    assert ping(plain) and ping(nobody)
    assert outcome(dead) == outcome(gone) == 'reset'
    wanted = {'app': ('not_tls', None), 'clear': ('done', 'plaintext'), 'clear-out': ('done', 'plaintext'),
              'dead': ('peer_refused', None), 'gone': ('peer_refused', None)}
    for name, (reason, security) in wanted.items():
        is_inbound = name in ('app', 'clear')
        line = inbound.wait_line(direction='inbound' if is_inbound else 'outbound',
                                 **{'service' if is_inbound else 'upstream': name})
        assert (line['reason'], line.get('security')) == (reason, security)
        assert line.keys() >= {'time', 'direction', 'source', 'own', 'generation', 'bytes_to_app', 'bytes_to_mesh',
                               'duration_s', 'reason'}
        assert (line['own'], line['generation']) == (labs.SERVER, 1)
    for name, port in {'clear-out': echo, 'dead': silent, 'gone': silent}.items():
        assert inbound.wait_line(direction='outbound', upstream=name)['peer_addr'] == f'127.0.0.1:{port}', 'the address that was dialled last'


def test_access_denied_and_off(lab, app):
    """`denied` logs only connections that we refused; `off` logs none."""
    server = app()
    for access, wanted in (('denied', ['policy_denied']), ('off', [])):
        inbound = lab.inbound(server.port, {'log': {'access': access}}, allow=labs.CLIENT)
        assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
        assert peers.verdict(inbound.port, lab.server, lab.root) == 49
        assert inbound.sidecar.stop() == 0
        assert [line['reason'] for line in inbound.sidecar.lines(direction='inbound')] == wanted


def test_a_service_says_what_is_logged_of_it(lab, app):
    """Its `access` replaces that of [log], for its connections only."""
    server = app()
    extra = {name: lab.ports.free() for name in ('told', 'silent')}
    inbound = lab.inbound(server.port, {
        'log': {'access': 'denied'},
        'service told': {'listen': f'127.0.0.1:{extra["told"]}', 'app': f'127.0.0.1:{server.port}', 'access': 'all'},
        'service silent': {'listen': f'127.0.0.1:{extra["silent"]}', 'app': f'127.0.0.1:{server.port}', 'access': 'off'}},
        allow=labs.CLIENT)
    for port in inbound.port, extra['silent'], extra['told']:
        assert peers.verdict(port, lab.client, lab.root) == b'x'
        assert peers.verdict(port, lab.server, lab.root) == 49
    assert inbound.sidecar.stop() == 0
    told = [(line['service'], line['decision']) for line in inbound.sidecar.lines(direction='inbound')]
    assert sorted(told) == [('app', 'deny'), ('told', 'allow'), ('told', 'deny')]


def test_level(lab, app):
    """With `error`, a working INI logs nothing."""
    inbound = lab.inbound(app().port, {'log': {'level': 'error'}})
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    assert inbound.sidecar.stop() == 0
    assert inbound.sidecar.text == ''


def test_text_format(lab, app):
    inbound = lab.inbound(app().port, {'log': {'format': 'text'}})
    assert peers.verdict(inbound.port, lab.client, lab.root) == b'x'
    wait_until(lambda: f'peer={labs.CLIENT}' in inbound.sidecar.text, 'the line')
    assert not inbound.sidecar.lines()


def test_every_line_is_json_whatever_a_peer_puts_into_its_certificate(lab, app):
    """A refused name with quotes, newlines and non-ASCII bytes is quoted in the log as valid JSON."""
    inbound = lab.inbound(app().port)
    for evil in (b'spiffe://prod.example/a"b', b'spiffe://prod.example/a\n{"level":"error"}',
                 b'spiffe://prod.example/\xff\xfe\x1b[31m', 'spiffe://prod.example/\u2028\u00e9'.encode(), b'\x7f\\'):
        assert peers.verdict(inbound.port, lab.root.issue(evil), lab.root) == 42
    wait_until(lambda: len(inbound.sidecar.lines(reason='certificate_refused')) == 5, 'five lines')
    for line in inbound.sidecar.text.splitlines():
        assert isinstance(json.loads(line), dict)
        assert line.isprintable()


def test_log_that_nobody_reads_does_not_stop_the_traffic(lab, app):
    """A full pipe loses log lines, never connections. The same holds for a pipe whose reader is gone."""
    inbound = lab.inbound(app().port)
    outbound = lab.outbound(inbound.port, start=False).start_agent()
    reading, writing = os.pipe()
    process = subprocess.Popen([*labs.sanitizer_prefix(), labs.SIDECAR, '-c', outbound.ini], stderr=writing,
                               stdin=subprocess.DEVNULL)
    os.close(writing)
    try:
        wait_until(lambda: ready(outbound), 'it is ready')
        assert all(ping(outbound.port) for _ in range(300))  # more than 64 KiB of lines
        os.close(reading)
        reading = None
        assert all(ping(outbound.port) for _ in range(10))
        process.terminate()
        assert process.wait(10 * labs.SLOW) == 0
    finally:
        process.kill()
        process.wait()
        if reading is not None:
            os.close(reading)


def ready(workload):
    try:
        return workload.get('/readyz')[0] == 200
    except ConnectionError:
        return False


def test_the_alert_of_our_peer_is_explained(lab, app):
    """The server refuses our certificate: the log has its alert and what it means for us."""
    server = peers.Server(app, lab.server, lab.other_root)
    outbound = lab.outbound(server.port)
    assert outcome(outbound.port) == 'reset'
    line = outbound.wait_line(reason='peer_alert')
    assert line['alert'] == 48 and 'our CA is not in the bundle' in line['detail']


FAKETIME = next(pathlib.Path('/usr/lib').glob('*/faketime/libfaketimeMT.so.1'), None)


@pytest.mark.skipif(labs.ASAN or labs.TSAN, reason='the sanitizers and libfaketime both want to be the first library')
@pytest.mark.skipif(FAKETIME is None, reason='libfaketime is missing: apt-get install faketime')
def test_a_connection_that_lives_long_is_told_of_every_ten_minutes(lab, app):
    """The test process counts a second as ten minutes."""
    inbound = lab.inbound(app().port, {'limits': {'idle_timeout': '500h', 'handshake_timeout': '1h',
                                                  'connect_timeout': '1h'}}, start=False)
    inbound.start_sidecar(['env', f'LD_PRELOAD={FAKETIME}', 'FAKETIME=+0 x600']).start_agent().wait_ready()
    with peers.context(False, lab.client, lab.root).wrap_socket(connect(inbound.port)) as sock:
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
        lines = wait_until(lambda: len(told := inbound.sidecar.lines(msg='connection open')) >= 3 and told,
                           'told of three times')
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
    for number, line in enumerate(lines, 1):
        assert 600 * number <= line['duration_s'] < 600 * (number + 1)
        assert (line['peer'], line['rule'], line['bytes_to_app'], line['level']) == (labs.CLIENT, 'mesh', 4, 'info')
        assert 'reason' not in line
    end = inbound.sidecar.wait_line(msg='connection')
    assert (end['bytes_to_app'], end['reason'] in ('done', 'peer_truncated')) == (8, True)
