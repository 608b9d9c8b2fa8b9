# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent preview: it tells what a candidate would do to open connections, and its answer comes true."""
import contextlib
import json
import os
import re
import socket
import subprocess

import pytest

import lab as labs
import peers
from lab import connect, end_of, ini, wait_until
from pki import CA
from test_tools import tool

WEB, OPS = (f'spiffe://{labs.TD}/ns/test/sa/{name}' for name in ('web', 'ops'))


# --- helpers ----------------------------------------------------------------------------------------

def preview(workload, *candidates, json_wanted=True, code=None, stdin=None):
    done = subprocess.run(
        [labs.AGENT, 'preview', '-c', str(workload.ini), *(['--json'] if json_wanted else []), *map(str, candidates)],
        capture_output=True, text=True, timeout=30 * labs.SLOW, input=stdin)
    if code is not None:
        assert done.returncode == code, done
    return done


def told(workload, *candidates, code):
    return json.loads(preview(workload, *candidates, code=code).stdout)


def candidate(workload, name, text):
    path = workload.folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def ini_with(workload, name, sections):
    """Returns the INI of the workload with these sections laid over it. None removes one."""
    merged = {key: keys for key, keys in {**workload.sections, **sections}.items() if keys is not None}
    return candidate(workload, name, ini(merged))


class Callers:
    """Live connections of several identities."""

    def __init__(self, port, lab):
        self.port, self.lab, self.socks = port, lab, {}

    def open(self, identity, count, root=None):
        root = root or self.lab.root
        context = peers.context(False, root.issue(identity), self.lab.root)
        for _ in range(count):
            sock = context.wrap_socket(connect(self.port))
            sock.sendall(b'ping')
            assert sock.recv(4) == b'ping'
            self.socks.setdefault(identity, []).append(sock)

    def alive(self, identity):
        for sock in self.socks[identity]:
            sock.sendall(b'ping')
            assert sock.recv(4) == b'ping'

    def close(self):
        for socks in self.socks.values():
            for sock in socks:
                sock.close()


@pytest.fixture
def inbound(lab, app):
    made = lab.inbound(app().port, {
        'sidecar': {'control': lab.folder / 'control.sock', 'workers': 2},
        'allow mesh': None, 'allow web': {'from': WEB}, 'allow ops': {'from': OPS}}, allow=None, name='back')
    return made


@pytest.fixture
def callers(inbound, lab):
    with contextlib.closing(Callers(inbound.port, lab)) as made:
        made.open(WEB, 5)
        made.open(OPS, 3)
        yield made


# --- policy -----------------------------------------------------------------------------------------

def test_nothing_given_changes_nothing(inbound, callers):
    answer = told(inbound, code=0)
    assert answer['judged'] == 8 and answer['closes'] == {} and answer['connections'] == []
    [root] = answer['roots']
    assert (root['trust_domain'], root['index'], root['peers'], root['connections']) == (labs.TD, 1, 2, 8)
    assert root['own'] and root['safe_to_remove'] == 'no' and 'our own certificate' in root['because']


def test_a_rule_that_goes(inbound, callers):
    new = ini_with(inbound, 'new.ini', {'allow web': None})
    answer = told(inbound, new, code=1)
    assert answer['closes'] == {'policy_lost': 5} and answer['left_out'] == 0
    assert [(c['peer'], c['reason'], c['detail'], c['direction']) for c in answer['connections']] == [
        (WEB, 'policy_lost', 'rule default', 'inbound')] * 5
    shown = preview(inbound, new, json_wanted=False, code=1).stdout
    assert '5 open connections: 5 policy_lost' in shown and shown.count(WEB) == 5 and OPS not in shown
    callers.alive(WEB)
    callers.alive(OPS)
    # Then the same change is made for real.
    inbound.change({'allow web': None})
    for sock in callers.socks[WEB]:
        with contextlib.suppress(OSError):
            assert sock.recv(1) == b''
    callers.alive(OPS)
    wait_until(lambda: told(inbound, code=0)['judged'] == 3, 'as it was told')


def test_candidates_from_stdin(inbound, callers, lab):
    text = ini_with(inbound, 'new.ini', {'allow web': None}).read_text()
    assert json.loads(preview(inbound, '-', code=1, stdin=text).stdout)['closes'] == {'policy_lost': 5}
    done = preview(inbound, '-', code=2, stdin=text + '[alow x]\n')
    assert done.stderr.startswith('/dev/stdin:') and 'unknown section [alow]' in done.stderr
    # The content tells the kind of candidate, also beside a file.
    other = CA('other')
    done = preview(inbound, inbound.ini, '/dev/stdin', code=2, stdin=other.cert_pem.decode())
    assert 'this candidate would be refused' in done.stderr and '/proc/' not in done.stderr
    assert preview(inbound, '-', code=0, stdin=lab.root.cert_pem.decode() + other.cert_pem.decode()).stderr == ''
    done = preview(inbound, '-', '-', code=2, stdin=text)
    assert 'stdin can be only one of the candidates' in done.stderr
    assert 'the INI has no such [federate' in preview(inbound, 'partner.example=-', code=2, stdin=lab.root.cert_pem.decode()).stderr


def test_rotation_that_keeps(inbound, callers):
    new = ini_with(inbound, 'new.ini', {'allow web': None, 'rotation': {'on_policy_loss': 'keep'}})
    answer = told(inbound, new, code=0)
    assert answer['closes'] == {} and answer['keeps'] == {'policy_lost': 5}


def test_a_deny_rule_is_named(inbound, callers):
    new = ini_with(inbound, 'new.ini', {'deny quarantine': {'from': OPS}})
    answer = told(inbound, new, code=1)
    assert answer['closes'] == {'policy_lost': 3}
    assert {c['detail'] for c in answer['connections']} == {'rule quarantine'}


def test_who_was_refused_and_would_be_let_in(inbound, callers, lab):
    stranger = f'spiffe://{labs.TD}/ns/test/sa/stranger'
    with contextlib.suppress(OSError), peers.context(False, lab.root.issue(stranger), lab.root).wrap_socket(
            connect(inbound.port)) as sock:
        assert sock.recv(1) == b''
    inbound.sidecar.wait_line(reason='policy_denied', peer=stranger)
    new = ini_with(inbound, 'new.ini', {'allow stranger': {'from': stranger}})
    answer = told(inbound, new, code=1)
    assert answer['closes'] == {} and answer['newly_refused'] == []
    assert [(i['peer'], i['port'], i['service'], i['rule']) for i in answer['newly_let_in']] == [
        (stranger, inbound.port, 'app', 'stranger')]
    assert f'lets in      {stranger} from 127.0.0.1' in preview(inbound, new, json_wanted=False, code=1).stdout
    assert told(inbound, ini_with(inbound, 'more.ini', {'log': {'access': 'denied'}}), code=0)['newly_let_in'] == []


def test_services_that_share_a_port(lab, app):
    """A caller is judged as one of the service at its address, by the name that the candidate gives that."""
    server, port = app(), lab.ports.free()
    at = {name: {'listen': f'127.0.0.{host}:{port}', 'app': f'127.0.0.1:{server.port}'}
          for host, name in enumerate(('app', 'other'), 1)}
    inbound = lab.inbound(server.port, {
        'sidecar': {'control': lab.folder / 'control.sock'}, 'service app': at['app'], 'service other': at['other'],
        'allow app': {'from': labs.CLIENT, 'to': 'app'}}, allow=None)
    assert peers.verdict(port, lab.client, lab.root) == b'x'
    assert peers.verdict(('127.0.0.2', port), lab.client, lab.root) == 49
    inbound.sidecar.wait_line(reason='policy_denied')
    rule = {'from': labs.CLIENT, 'to': 'other'}
    for sections, service in (({'allow new': rule}, 'other'),
                              ({'service other': None, 'service moved': at['other'], 'allow new': {**rule, 'to': 'moved'}}, 'moved')):
        new = ini_with(inbound, 'new.ini', sections)
        assert tool('explain', '-c', new, '--from', labs.CLIENT, '--to', service)[0] == 0
        assert [(i['peer'], i['service'], i['rule']) for i in told(inbound, new, code=1)['newly_let_in']] == [
            (labs.CLIENT, 'other', 'new')]
    # Rules for the other address say nothing about it.
    told(inbound, ini_with(inbound, 'new.ini', {'service other': None, 'allow app': {'from': labs.CLIENT}}), code=0)


def test_a_port_that_becomes_plaintext(lab, app):
    """Nobody proves an identity there, so rules for identities admit nobody, and rules for plaintext do."""
    inbound = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'control.sock'}}, allow=None)
    assert peers.verdict(inbound.port, lab.client, lab.root) == 49
    inbound.sidecar.wait_line(reason='policy_denied')
    service = {'service app': {**inbound.sections['service app'], 'mode': 'plaintext'}, 'allow b': {'from': labs.CLIENT}}
    for sources, code in (('10.0.0.1', 0), ('127.0.0.1', 1)):
        new = ini_with(inbound, 'new.ini', {**service, 'allow c': {'from': 'plaintext', 'sources': sources}})
        assert [i['rule'] for i in told(inbound, new, code=code)['newly_let_in']] == ['c'] * code


def test_the_day_of_the_cut_over(lab, app):
    """Plaintext callers that a permissive port admits, and that it will refuse once it is strict; and back."""
    inbound = lab.inbound(app().port, {
        'sidecar': {'control': lab.folder / 'control.sock'}, 'service app': {'mode': 'permissive'},
        'allow old': {'from': 'plaintext', 'sources': '127.0.0.1'}})

    def speak():
        with connect(inbound.port) as sock:
            sock.sendall(b'GET / HTTP/1.0')
            with contextlib.suppress(OSError):
                sock.recv(4)
    speak()
    inbound.wait_line(msg='connection', security='plaintext')
    strict = ini_with(inbound, 'strict.ini', {'service app': {**inbound.sections['service app'], 'mode': 'strict'}})
    refused = told(inbound, strict, code=1)['newly_refused']
    assert [(i['peer'], i['source'], i['service'], i['rule'], i['strict']) for i in refused] == [
        (None, '127.0.0.1', 'app', None, True)]
    assert 'because the port is strict, last seen 20' in preview(inbound, strict, json_wanted=False).stdout
    permissive = ini_with(inbound, 'permissive.ini', {})
    inbound.ini.write_text(strict.read_text())
    inbound.wait_line(msg='generation in use', generation=2)
    speak()
    inbound.wait_line(reason='not_tls')
    let_in = told(inbound, permissive, code=1)['newly_let_in']
    assert {(i['peer'], i['rule'], i['strict']) for i in let_in} == {(None, 'old', False)}


# --- trust ------------------------------------------------------------------------------------------

def test_crl(inbound, callers, lab):
    revoked = lab.root.issue(OPS)
    context = peers.context(False, revoked, lab.root)
    with context.wrap_socket(connect(inbound.port)) as sock:
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
        answer = told(inbound, candidate(inbound, 'crl.pem', lab.root.crl([revoked.cert])), code=1)
        assert answer['closes'] == {'revoked': 1} and answer['connections'][0]['peer'] == OPS
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
    callers.alive(OPS)


def test_roots_one_by_one(lab, app):
    """There are two roots: our certificate is issued by one of them, and some peers by the other."""
    old = CA(labs.TD)
    both = lab.root.cert_pem + old.cert_pem
    inbound = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'control.sock'}}, name='back', start=False)
    inbound.mount(lab.server, both)
    inbound.start().wait_ready()
    with contextlib.closing(Callers(inbound.port, lab)) as callers:
        callers.open(WEB, 4)
        ours, other = told(inbound, code=0)['roots']
        assert ours['own'] and ours['connections'] == 4
        assert (other['connections'], other['own'], other['safe_to_remove']) == (0, False, 'yes')
        callers.open(OPS, 2, root=old)
        ours, other = told(inbound, code=0)['roots']
        assert (other['only_connections'], other['only_peers'], other['safe_to_remove']) == (2, 1, 'no')
        assert '2 open connections of 1 certificates' in other['because'] and ours['connections'] == 4
        answer = told(inbound, candidate(inbound, 'one.pem', lab.root.cert_pem), code=1)
        assert answer['closes'] == {'trust_lost': 2}
        assert {c['peer'] for c in answer['connections']} == {OPS}
        callers.alive(OPS)
        callers.alive(WEB)
        # The result for the candidate has no effect on the next generation.
        inbound.mount(lab.server, both + CA(labs.TD).cert_pem)
        wait_until(lambda: len(told(inbound, code=0)['roots']) == 3, 'a third root')
        callers.alive(OPS)


def test_federated_bundle(lab, app):
    partner = CA('partner.example')
    caller = 'spiffe://partner.example/ns/x/sa/y'
    path = lab.folder / 'partner.pem'
    path.write_bytes(partner.cert_pem)
    inbound = lab.inbound(app().port, {'federate partner.example': {'bundle': path},
                                       'sidecar': {'control': lab.folder / 'control.sock'}},
                          allow=caller, name='back')
    with contextlib.closing(Callers(inbound.port, lab)) as callers:
        callers.open(caller, 2, root=partner)
        empty = candidate(inbound, 'empty.pem', '')
        answer = told(inbound, f'partner.example={empty}', code=1)
        assert answer['closes'] == {'trust_lost': 2}
        mine, theirs = answer['roots']
        assert (mine['connections'], theirs['connections'], theirs['trust_domain']) == (0, 2, 'partner.example')
        done = preview(inbound, f'elsewhere.example={empty}', code=2)
        assert 'no such [federate TRUST_DOMAIN]' in done.stderr


def test_upstream_peer(lab, app):
    pair = lab.pair(app().port, outbound={'sidecar': {'control': lab.folder / 'control.sock'}})
    with pair.connect() as sock:
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'
        new = ini_with(pair.outbound, 'new.ini', {'upstream peer': {**pair.outbound.sections['upstream peer'],
                                                                    'peer': OPS}})
        answer = told(pair.outbound, new, code=1)
        assert answer['closes'] == {'policy_lost': 1}
        assert answer['connections'][0]['direction'] == 'outbound'
        sock.sendall(b'ping')
        assert sock.recv(4) == b'ping'


# --- bad input --------------------------------------------------------------------------------------

def test_candidates_that_would_be_refused(inbound, callers, lab):
    for text, sentence in (('[polcy]\n', 'did you mean'),
                           (CA(labs.TD).cert_pem, 'would be refused'),
                           ('-----BEGIN CERTIFICATE-----\nxx\n', 'would be refused')):
        done = preview(inbound, candidate(inbound, 'bad', text), code=2)
        assert sentence in done.stderr and done.stdout == ''
    done = preview(inbound, '/nowhere/at/all', code=2)
    assert 'cannot be read' in done.stderr
    two = candidate(inbound, 'a.pem', lab.root.cert_pem), candidate(inbound, 'b.pem', lab.root.cert_pem)
    assert 'a second bundle' in preview(inbound, *two, code=2).stderr
    callers.alive(WEB)


def ask(path, request):
    with connect(path) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            return labs.read_all(sock).decode()
    return ''


def test_without_a_mounted_ini(inbound, lab):
    """An INI that is given is enough; other candidates replace a part of the mounted one."""
    def ask(given):
        return tool('preview', '-c', inbound.folder / 'missing.ini', '--control', lab.folder / 'control.sock', given)
    assert ask(ini_with(inbound, 'new.ini', {}))[0] == 0
    code, out, err = ask(candidate(inbound, 'root.pem', lab.root.cert_pem))
    assert (code, out) == (2, '') and 'missing.ini' in err


def read_request(sock):
    """Reads the head and the body."""
    data = b''
    while b'\r\n\r\n' not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b'\r\n\r\n')
    left = int(re.search(rb'Content-Length: (\d+)', head)[1]) - len(body)
    while left > 0:
        left -= len(sock.recv(65536))


def test_garbage_costs_its_own_request(inbound, callers, lab):
    path = lab.folder / 'control.sock'
    for body in (b'x', b'FLC1' + bytes(64), os.urandom(1 << 20)):
        head = f'POST /preview HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n'.encode()
        assert ask(path, head + body).startswith('HTTP/1.1 400 ')
    assert ask(path, b'POST /preview HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n').startswith('HTTP/1.1 413 ')
    with connect(path) as half:
        half.sendall(b'POST /preview HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nFLC1')
        half.shutdown(socket.SHUT_WR)
        assert end_of(half) in ('eof', 'reset')
    assert told(inbound, code=0)['judged'] == 8
    callers.alive(OPS)


@pytest.mark.parametrize('document, code', [
    ('{"closes": [5]}', 2), ('{"closes": {}, "keeps": [5]}', 0),
    ('{"closes": {"\x1b[2J": 1e300, "x": "y", "z": -1}, "left_out": 1e300, "connections": [' + '{},' * 30 + '{}]}', 1)],
    ids=['arrays', 'kept', 'hostile'])
def test_what_answers_may_be_anything(inbound, document, code):
    path = inbound.folder / 'false.sock'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        for json_wanted in (False, True):
            options = [labs.AGENT, 'preview', '-c', str(inbound.ini), '--control', str(path), *['--json'] * json_wanted]
            asking = subprocess.Popen(options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            with listener.accept()[0] as sock:
                read_request(sock)
                sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n' + document.encode())
            out, err = asking.communicate(timeout=30 * labs.SLOW)
            assert asking.returncode == code and '\x1b' not in out + err, (out, err)


def test_many_at_once(inbound, callers):
    new = ini_with(inbound, 'new.ini', {'allow web': None})
    command = [labs.AGENT, 'preview', '-c', str(inbound.ini), '--json']
    running = [subprocess.Popen([*command, *([str(new)] if i % 2 else [])], stdout=subprocess.PIPE) for i in range(6)]
    for i, process in enumerate(running):
        answer = json.loads(process.communicate(timeout=30 * labs.SLOW)[0])
        assert answer['closes'] == ({'policy_lost': 5} if i % 2 else {}) and process.returncode == i % 2


@pytest.mark.tsan
def test_while_generations_come(inbound, callers):
    """Each new generation restarts the walk of the preview. Its answer is still complete."""
    for i in range(5):
        inbound.change({'log': {'access': ('denied', 'all')[i % 2]}})
        assert told(inbound, code=0)['judged'] == 8
