# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests fairlead-agent check and wait, and its command line: outputs and exit codes that scripts rely on."""
import datetime
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest

import lab as labs
from lab import Program
from pki import CA, key_pem

DAY = datetime.timedelta(days=1)


def tool(*arguments, text=None):
    """Returns (exit status, stdout, stderr). text: the content of stdin."""
    done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, *map(str, arguments)], capture_output=True,
                          text=True, timeout=60 * labs.SLOW, check=False, input=text)
    assert 'Sanitizer' not in done.stderr and 'runtime error:' not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def web(lab):
    """Returns a workload with a service of a unique name. Nothing of it is running."""
    workload = lab.inbound(8080, start=False, name='web', host='0.0.0.0')
    workload.line = lambda key: next(
        n for n, text in enumerate(workload.ini.read_text().splitlines(), 1) if text.startswith(key))
    return workload


def check(workload, verdict):
    """Runs a check that must end with this exit status, as text and as JSON. Returns stderr and the JSON. Warnings
    alone count only with --strict."""
    status, out, err = tool('check', '-c', workload.ini)
    json_status, json_out, json_err = tool('check', '--json', '-c', workload.ini)
    report = json.loads(json_out)
    assert (status, json_status) == (2 if verdict == 2 else 0,) * 2, err
    assert tool('check', '--strict', '-c', workload.ini)[0] == verdict
    assert report['verdict'] == ('good', 'warnings', 'refused')[verdict]
    assert json_err == ''
    assert len(err.splitlines()) == len(report['problems'])
    assert out.splitlines()[-1].startswith(('verdict      good', 'verdict      usable', 'verdict      refused')[verdict])
    return out, err, report


def test_check_lists_crls(lab, web):
    (web.folder / 'crl.pem').write_bytes(lab.root.crl([1, 2, 3]) + lab.root.intermediate().crl([4]))
    web.change({'identity': {'crl': web.folder / 'crl.pem'}})
    out, _, report = check(web, 0)
    assert re.search(rf'(?m)^crl +{re.escape(labs.TD)}: 3 revoked, next due 20', out), out
    assert re.search(r'(?m)^ +of a CA in no bundle: 1 revoked, .*used when a chain presents that CA', out), out
    assert [(one['trust_domain'], one['revoked']) for one in report['crls']] == [(labs.TD, 3), (None, 1)]


def test_check_help_lists_the_document(web):
    keys = set(check(web, 0)[2])
    assert 'bundles' in keys and keys <= set(re.findall(r'\w+', tool('check', '--help')[1]))


# --- stdin ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['-', '/dev/stdin'])
def test_a_candidate_from_stdin(web, name):
    text = web.ini.read_text()
    status, out, err = tool('check', '-c', name, text=text)
    assert (status, err) == (0, ''), out
    status, out, err = tool('check', '-c', name, text=text + '[servce x]\n')
    assert status == 2 and err.startswith(f'/dev/stdin:{text.count(chr(10)) + 1}: unknown section [servce]'), err
    status, out, err = tool('explain', '-c', name, '--from', f'spiffe://{labs.TD}/a', '--to', 1, text=text)
    assert status == 0 and '/dev/stdin:' in out, out + err
    status, out, err = tool('redirect', 'print', '-c', name, text=text)
    assert status == 2 and 'captured connections have no destination' in err, 'it has no listeners for them'


@pytest.mark.parametrize('text, why', [
    ('', 'it is empty; kubectl exec passes stdin on only with -i'),
    ('; \n' * 400_000, 'there are more than 1048576 bytes')], ids=['empty', 'large'])
def test_stdin_has_bounds(text, why):
    for words in ('check', '-c', '-'), ('preview', '-'):
        status, _, err = tool(*words, text=text)
        assert status == 2 and f'/dev/stdin: {why}' in err, err


@pytest.mark.parametrize('words', [['run'], ['status'], ['wait'], ['suggest'], ['preview'], ['redirect', 'apply'], ['drain']], ids=' '.join)
def test_what_is_in_force_has_a_file(web, words):
    status, _, err = tool(*words, '-c', '-', text=web.ini.read_text())
    assert status == 2 and '-c takes the path of a file here' in err and err.count('\n') == 1, err


# --- check: valid ---------------------------------------------------------------------------------

EXAMPLES = [(f'{name}-{number}', text) for name in ('README.md', 'sidecar/REFERENCE.md', 'deploy/README.md')
            for number, text in enumerate(re.findall(r'(?s)```ini\n(\[identity\]\n.*?)```', (labs.ROOT / name).read_text()))]


@pytest.mark.parametrize('text', [text for _, text in EXAMPLES], ids=[name for name, _ in EXAMPLES])
def test_check_takes_the_examples_of_the_documents(web, text):
    captured = 'listen' not in text
    web.ini.write_text(text.replace('/var/run/fairlead/tls', str(web.folder)) +
                       labs.ini({name: web.sections[name] for name in (['agent'] if captured else ['sidecar', 'agent'])}))
    _, err, _ = check(web, 0)
    assert err == ''


@pytest.mark.skipif(os.getuid() != 0, reason='a process of another user needs root')
def test_check_finds_an_app_that_runs_as_the_sidecar(web):
    """Where connections are captured: the rules take what that user sends for the sidecar's."""
    uid, code = 41234, 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True); import sys; sys.stdin.read()'
    web.change({'agent': {'sidecar_uid': uid}, 'sidecar': {'inbound': '*:15006'}, 'redirect': {'outbound': '*'}})
    check(web, 0)
    with subprocess.Popen(['setpriv', '--reuid', str(uid), '--clear-groups', '/usr/bin/python3', '-c', code],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
        port = app.stdout.readline().strip()
        _, err, _ = check(web, 1)
        assert f'uid {uid} listens at port {port}' in err and 'run the app as another user' in err
        web.change({'service of-ours': {'listen': f'127.0.0.1:{port}', 'app': '127.0.0.1:8080'}})
        assert 'listens at port' not in tool('check', '-c', web.ini)[2]
        app.stdin.close()


def test_check_shows_what_would_run(lab, web):
    (web.folder / 'other.crt').write_bytes(lab.other_root.cert_pem + CA('other.example', common_name='2').cert_pem)
    web.change({'federate other.example': {'bundle': web.folder / 'other.crt'},
                'upstream ledger': {'listen': '127.0.0.1:7001', 'to': 'ledger.prod:8443, 10.0.0.1:8443',
                                    'peer': labs.CLIENT},
                'allow friends': {'from': 'spiffe://other.example/**', 'to': 'app, 9000-9010'},
                'deny quarantine': {'from': f'spiffe://{labs.TD}/ns/quarantine/**'}})
    out, err, report = check(web, 0)
    assert err == ''
    for text in (labs.SERVER, 'in 36', f'{labs.TD}: 1 root', 'other.example: 2 roots', f'0.0.0.0:{web.port}',
                 '127.0.0.1:8080', 'ledger.prod:8443, else 10.0.0.1:8443', labs.CLIENT, '20000 connections'):
        assert text in out
    assert [rule['name'] for rule in report['policy']['rules']] == ['quarantine', 'mesh', 'friends']
    assert report['policy']['rules'][2]['to'] == ['9000-9010', 'app']
    assert report['policy']['default'] == 'deny'
    assert report['identity']['id'] == labs.SERVER
    assert [b['roots'] for b in report['bundles']] == [1, 2]
    assert report['services'] == [{
        'name': 'app', 'port': web.port, 'listen': f'0.0.0.0:{web.port}', 'app': '127.0.0.1:8080', 'mode': 'strict',
        'detect_timeout_ms': 300, 'proxy_protocol': 'off'}]
    assert report['upstreams'] == [{
        'name': 'ledger', 'listen': '127.0.0.1:7001', 'to': ['ledger.prod:8443', '10.0.0.1:8443'], 'mode': 'mtls',
        'peer': [labs.CLIENT]}]
    assert report['admin'] == f'127.0.0.1:{web.admin}'


def test_check_shows_what_is_captured(web):
    web.change({'sidecar': {'inbound': '*:15006, 10.0.0.1:15007', 'outbound': '127.0.0.1:15001'},
                'inbound': {'mode': 'permissive', 'proxy_protocol': 'v2'},
                'service admin-ui': {'port': 8081, 'mode': 'plaintext', 'proxy_protocol': 'off'},
                'service web': {'port': 8080},
                'outbound': {'default': 'refuse'},
                'upstream payments': {'to': 'payments.prod:8443, 10.20.0.0/16:9000-9010, [fd00::]/8:*',
                                      'peer': labs.CLIENT},
                'upstream metrics': {'to': '10.30.0.1:9100', 'mode': 'plaintext'},
                'policy': {'mode': 'audit'},
                'allow kubelet': {'from': 'plaintext', 'sources': '10.0.0.1, fd00::/8', 'to': 8081, 'mode': 'audit'},
                'limits': {'max_age': 0}})
    out, err, report = check(web, 1)
    assert '`[policy] mode = audit` only records' in err
    assert out.splitlines()[3:13] == [
        'inbound      captured, arriving at *:15006, 10.0.0.1:15007: mTLS or plaintext -> app, with a PROXY header',
        f'             app: mTLS on 0.0.0.0:{web.port} -> app at 127.0.0.1:8080',
        '             admin-ui: plaintext on captured port 8081 -> app',
        '             web: mTLS or plaintext on captured port 8080 -> app, with a PROXY header',
        'outbound     payments: captured, to payments.prod:8443, 10.20.0.0/16:9000-9010, [fd00::]/8:* -> mTLS, '
        f'expecting {labs.CLIENT}',
        '             metrics: captured, to 10.30.0.1:9100 -> plaintext',
        '             captured, arriving at 127.0.0.1:15001, to anything else -> refused',
        'policy       2 rules, first match decides, else deny; audit: nothing is denied',
        f'           1 allow mesh: from spiffe://{labs.TD}/** to everything (line {web.line("[allow mesh]")})',
        '           2 allow kubelet: from plaintext at 10.0.0.1, fd00::/8 to port 8081, audit only '
        f'(line {web.line("[allow kubelet]")})']
    assert report['inbound'] == {'listen': ['*:15006', '10.0.0.1:15007'], 'mode': 'permissive',
                                 'detect_timeout_ms': 300, 'proxy_protocol': 'v2'}
    assert report['services'][1] == {'name': 'admin-ui', 'port': 8081, 'listen': None, 'app': None,
                                     'mode': 'plaintext', 'detect_timeout_ms': 300, 'proxy_protocol': 'off'}
    assert report['outbound'] == {'listen': ['127.0.0.1:15001'], 'mode': 'refuse', 'peer': []}
    assert report['upstreams'][0] == {
        'name': 'payments', 'listen': None, 'to': ['payments.prod:8443', '10.20.0.0/16:9000-9010', '[fd00::]/8:*'],
        'mode': 'mtls', 'peer': [labs.CLIENT]}
    assert report['policy']['mode'] == 'audit'
    assert report['policy']['rules'][1] == {
        'name': 'kubelet', 'effect': 'allow', 'mode': 'audit', 'line': web.line('[allow kubelet]'),
        'from': ['plaintext'], 'sources': ['10.0.0.1', 'fd00::/8'], 'to': ['8081'],
        'except_from': [], 'except_sources': [], 'except_to': []}


HINTS = {
    'service redis': ({'service redis': {'port': 6379}}, 6379, 'replica-announce-ip'),
    'rule for the sentinel': ({'allow mesh': None, 'allow sentinels': {'from': f'spiffe://{labs.TD}/**', 'to': '8080, 26370-26379'}}, 26379,
                              'sentinel announce-ip'),
    'captured bus': ({'redirect': {'inbound_ports': '16379'}}, 16379, 'cluster-announce-ip'),
    'service ftp': ({'service files': {'port': 21}}, 21, 'PASV'),
}


@pytest.mark.parametrize('case', HINTS)
def test_check_hints_at_software_that_capture_surprises(web, case):
    sections, port, remedy = HINTS[case]
    web.change({'sidecar': {'inbound': '*:15006'}, 'agent': {'sidecar_uid': 2112}, **sections})
    out, err, report = check(web, 0)
    assert err == '' and re.search(rf'(?m)^hint +line \d+: port {port} is that of .*{remedy}.*mode = tproxy', out), out
    assert [remedy in hint['text'] and hint['line'] > 0 for hint in report['hints']] == [True]
    web.change({'redirect': {'mode': 'tproxy'}})
    out, _, report = check(web, 0)
    assert 'hint' not in out and report['hints'] == []


def test_check_hints_at_nothing_else(web):
    web.change({'sidecar': {'inbound': '*:15006', 'outbound': '127.0.0.1:15001'}, 'allow mesh': None, 'allow many': {'from': f'spiffe://{labs.TD}/**', 'to': '1-65535'},
                'deny redis': {'from': f'spiffe://{labs.TD}/ns/x/**', 'to': '6379'},
                'upstream redis': {'to': 'redis.test:6379'}, 'redirect': {'inbound_ports': '1-14000'},
                'agent': {'sidecar_uid': 2112}})
    out, _, report = check(web, 0)
    assert 'hint' not in out and report['hints'] == []
    # A fixed listener is not captured.
    web.change({'redirect': None, 'service fixed': {'listen': '0.0.0.0:6379', 'app': '127.0.0.1:6380'},
                'allow many': {'from': f'spiffe://{labs.TD}/**', 'to': '6379'}})
    assert check(web, 0)[2]['hints'] == []


def test_check_changes_nothing(web):
    before = {path.name: path.stat().st_mtime_ns for path in web.folder.iterdir()}
    check(web, 0)
    assert {path.name: path.stat().st_mtime_ns for path in web.folder.iterdir()} == before


# --- check: warnings --------------------------------------------------------------------------------

def loopback(lab, web):
    web.change({'service app': {'listen': '127.0.0.1:8443'}})
    return '[service app]', 'did you mean listen = *:8443?'


def open_upstream(lab, web):
    web.change({'upstream x': {'listen': '*:7001', 'to': '10.0.0.1:1', 'peer': labs.CLIENT}})
    return '[upstream x]', 'did you mean listen = 127.0.0.1:7001?'


def default_allow(lab, web):
    web.change({'policy': {'default': 'allow'}})
    return None, 'default = allow'


def no_rule(lab, web):
    web.change({'allow mesh': None})
    return None, 'no [allow'


def unknown_trust_domain(lab, web):
    web.change({'allow typo': {'from': 'spiffe://prd.example/ns/web'}})
    return '[allow typo]', 'no bundle'


def unknown_peer(lab, web):
    web.change({'upstream x': {'listen': '127.0.0.1:7001', 'to': '10.0.0.1:1', 'peer': 'spiffe://prd.example/x'}})
    return '[upstream x]', 'no bundle'


def allow_in_vain(lab, web):
    web.change({'deny all': {'from': f'spiffe://{labs.TD}/**'}})
    return '[allow mesh]', 'admits nobody: [deny all]'


def rule_twice(lab, web):
    web.change({'allow mesh2': {'from': labs.CLIENT}})
    return '[allow mesh2]', 'changes nothing'


def old_certificate(lab, web):
    web.mount(lab.root.issue(labs.SERVER, not_before=-9 * DAY, not_after=DAY))
    return 'cert', 'less than a fifth of its life'


def old_root(lab, web):
    root = CA(labs.TD, not_before=-90 * DAY, not_after=10 * DAY)
    web.mount(root.issue(labs.SERVER, not_after=DAY), root.cert_pem)
    return 'bundle', 'root 1 of prod.example expires in '


def no_directory(lab, web):
    web.change({'agent': {'socket': web.folder / 'later' / 'agent.sock'}})
    return None, 'create it'


def capture_without_root(lab, web):
    web.change({'sidecar': {'inbound': '*:15006', 'outbound': '127.0.0.1:15001'}, 'redirect': {'mode': 'redirect'},
                'agent': {'sidecar_uid': 0}})
    return '[redirect]', 'its connections leave in plaintext'


def readable_key(lab, web):
    (web.folder / 'tls.key').chmod(0o644)
    return 'key', 'tls.key'


def app_port(lab, web):
    web.change({'allow mesh': {'to': 8080}})
    return '[allow mesh]', f'`to` names port 8080, where the app of [service app] listens; rules name the port that peers ' \
        f'dial: write `to = app`, or {web.port}'


@pytest.mark.parametrize('cause', [
    app_port, loopback, open_upstream, default_allow, no_rule, unknown_trust_domain, unknown_peer, allow_in_vain, rule_twice,
    old_certificate,
    old_root, no_directory, capture_without_root, readable_key], ids=lambda cause: cause.__name__)
def test_check_warns(lab, web, cause):
    place, text = cause(lab, web)
    _, err, report = check(web, 1)
    line = web.line(place) if place else 0
    assert [(p['kind'], p['line']) for p in report['problems']] == [('warning', line)]
    assert text in report['problems'][0]['text']
    assert err.startswith(f'{web.ini}:{line}: warning: ' if line else f'{web.ini}: warning: ')


# --- check: refused ---------------------------------------------------------------------------------

def missing(web, lab):
    (web.folder / 'tls.key').unlink()


def empty(web, lab):
    (web.folder / 'tls.key').write_bytes(b'')


def truncated(web, lab):
    (web.folder / 'tls.key').write_bytes(lab.server.key_pem[:100])


def encrypted(web, lab):
    (web.folder / 'tls.key').write_bytes(key_pem(lab.server.key, password=b'secret'))


def mismatched(web, lab):
    (web.folder / 'tls.key').write_bytes(lab.client.key_pem)


def directory(web, lab):
    (web.folder / 'tls.key').unlink()
    (web.folder / 'tls.key').mkdir()


def large(web, lab):
    (web.folder / 'tls.key').write_bytes(b'x' * 2_000_000)


def certificate(web, lab):
    (web.folder / 'tls.key').write_bytes(lab.server.cert_pem)


@pytest.mark.parametrize('cause', [missing, empty, truncated, encrypted, mismatched, directory, large, certificate],
                         ids=lambda cause: cause.__name__)
def test_check_refuses_a_bad_key(lab, web, cause):
    """Whatever is wrong with the key, check reports one error at the line of the INI, with the file's name and no byte
    of it."""
    cause(web, lab)
    out, err, report = check(web, 2)
    assert [(p['kind'], p['line']) for p in report['problems']] == [('error', web.line('key'))], report
    assert str(web.folder / 'tls.key') in report['problems'][0]['text']
    assert err.startswith(f'{web.ini}:{web.line("key")}: {web.folder}/tls.key: ')
    assert len(out.splitlines()) == 1, 'nothing would run, so nothing is shown'


@pytest.mark.parametrize('options, text', [
    ({'not_before': -3 * DAY, 'not_after': -2 * DAY}, 'expire'),
    ({'not_before': 2 * DAY, 'not_after': 3 * DAY}, 'not valid'),
    ({'ca': True}, 'CA'),
    ({'ku': None}, 'usage')], ids=['expired', 'not yet valid', 'a CA', 'no key usage'])
def test_check_refuses_a_bad_certificate(lab, web, options, text):
    web.mount(lab.root.issue(labs.SERVER, **options))
    _, _, report = check(web, 2)
    assert report['problems'][0]['line'] == web.line('cert')
    assert text in report['problems'][0]['text']


def test_check_refuses_a_chain_of_somebody_else(lab, web):
    web.mount(CA(labs.TD).issue(labs.SERVER))
    _, _, report = check(web, 2)
    assert report['problems'][0]['kind'] == 'error' and report['identity'] is None


def test_check_shows_every_problem_at_once(lab, web):
    web.mount((b'nonsense', b'nonsense'), b'nonsense')
    (web.folder / 'other.crt').write_bytes(b'nonsense')
    web.change({'federate other.example': {'bundle': web.folder / 'other.crt'}, 'policy': {'default': 'allow'}})
    _, err, report = check(web, 2)
    lines = [(p['kind'], p['line']) for p in report['problems']]
    assert sorted(lines) == sorted([('error', web.line('cert')), ('error', web.line('key')), ('error', web.line('bundle')),
                                    ('warning', web.line('[federate')), ('warning', 0)]), err


def test_check_reports_every_error_of_the_ini(web):
    web.change({'sidecr': {'admin': ''}, 'limits': {'connections': 'many', 'bufer': '64KiB'}})
    _, err, report = check(web, 2)
    assert [p['line'] for p in report['problems']] == sorted(
        [web.line('[sidecr]'), web.line('connections'), web.line('bufer')]), err
    assert 'sidecar' in err and 'buffer' in err and 'many' in err


@pytest.mark.parametrize('content', [None, b'', b'[', b'\0' * 100, os.urandom(10000), b'x' * 2_000_000],
                         ids=['missing', 'empty', 'bracket', 'zeros', 'random', 'large'])
def test_check_refuses_what_is_no_ini(web, content):
    if content is None:
        web.ini.unlink()
    else:
        web.ini.write_bytes(content)
    status, out, err = tool('check', '-c', web.ini)
    assert status == 2 and err.startswith(str(web.ini))
    assert all(c >= ' ' or c == '\n' for c in out + err)
    status, out, _ = tool('check', '--json', '-c', web.ini)
    assert status == 2 and json.loads(out)['verdict'] == 'refused'


# --- wait -------------------------------------------------------------------------------------------

class Admin:
    """Answers each connection with the next of `answers`, then always with the last one. None: never."""

    def __init__(self, port, answers, host='127.0.0.1'):
        self.answers, self.count, self.silent = list(answers), 0, []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            answer = self.answers[min(self.count, len(self.answers) - 1)]
            self.count += 1
            if answer is None:
                self.silent.append(sock)
                continue
            with sock:
                assert sock.recv(4096).startswith(b'GET /readyz HTTP/1.1\r\n')
                sock.sendall(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def answer(status, body):
    return f'HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}'.encode()


READY, NOT_READY = answer('200 OK', 'ready\n'), answer('503 Service Unavailable', 'no generation \x1b[1m\x9b\u202e yet\n')


@pytest.fixture
def idle(web):
    """Returns the workload with its admin port free for a false one."""
    web.admin = labs.Ports().free()
    web.change({'sidecar': {'admin': f'127.0.0.1:{web.admin}'}})
    return web


def test_wait_for_a_real_sidecar(lab):
    web = lab.inbound(8080, start=False)
    waiting = Program(lab, 'wait', [labs.AGENT, 'wait', '-c', web.ini, '--timeout', '30s'])
    web.start()
    assert waiting.wait() == 0 and waiting.text == 'ready\n'
    assert tool('wait', '-c', web.ini, '--timeout=0') == (0, 'ready\n', '')


def test_wait_until_it_says_yes(idle):
    with Admin(idle.admin, [NOT_READY, NOT_READY, b'', READY]) as admin:
        assert tool('wait', '-c', idle.ini) == (0, 'ready\n', '')
        assert admin.count == 4


def test_wait_says_the_last_reason(idle):
    with Admin(idle.admin, [NOT_READY]):
        status, out, err = tool('wait', '-c', idle.ini, '--timeout', '300ms')
    assert (status, out) == (1, '')
    assert err == 'fairlead-agent: not ready after 0.3 s: no generation ?[1m?? yet\n'


@pytest.mark.parametrize('answers, text', [
    ([None], 'does not answer'),
    ([b'SSH-2.0-OpenSSH_9.2\r\n'], 'not the admin endpoint'),
    ([b'HTTP/1.1 200 OK\r\n'], 'not the admin endpoint'),
    ([b'x' * 100_000], 'not the admin endpoint'),
    ([answer('200 OK', 'hello\n'), answer('200 OK', ''), answer('200 OK', 'already\n')], 'not the admin endpoint'),
    ([answer('404 Not Found', '')], 'no reason')], ids=['silent', 'SSH', 'half', 'flood', 'another', 'no body'])
def test_wait_at_something_else(idle, answers, text):
    with Admin(idle.admin, answers):
        start = time.monotonic()
        status, _, err = tool('wait', '-c', idle.ini, '--timeout', '400ms')
        assert status == 1 and text in err
        assert time.monotonic() - start < 3 * labs.SLOW


def test_wait_is_no_busy_loop(idle):
    """The pauses are 10, 20, 40 … 500 ms: a second has room for a dozen attempts, not for thousands."""
    with Admin(idle.admin, [NOT_READY]) as admin:
        assert tool('wait', '-c', idle.ini, '--timeout', '1s')[0] == 1
        assert 4 <= admin.count <= 10


def test_wait_when_nobody_listens(idle):
    status, _, err = tool('wait', '-c', idle.ini, '--timeout', '50ms')
    assert status == 1 and f'127.0.0.1:{idle.admin}' in err and 'refused' in err


@pytest.mark.parametrize('bound', ['*', '0.0.0.0'])
def test_wait_asks_on_loopback(idle, bound):
    idle.change({'sidecar': {'admin': f'{bound}:{idle.admin}'}})
    with Admin(idle.admin, [READY]):
        assert tool('wait', '-c', idle.ini)[0] == 0


def test_wait_without_an_admin_endpoint(idle):
    idle.change({'sidecar': {'admin': ''}})
    status, out, err = tool('wait', '-c', idle.ini)
    assert (status, out) == (2, '') and '[sidecar] admin' in err
    idle.ini.unlink()
    status, _, err = tool('wait', '-c', idle.ini)
    assert status == 2 and err.startswith(f'{idle.ini}:')


# --- command line ---------------------------------------------------------------------------------------

@pytest.mark.parametrize('arguments, text', [
    ([], 'missing COMMAND: run, check,'),
    (['chekc'], 'did you mean `check`?'),
    (['statsu'], 'did you mean `status`?'),
    (['xyzzy'], 'unknown command `xyzzy`'),
    (['--jsno'], 'unknown option `--jsno`'),
    (['check', '--jsno'], 'did you mean `--json`?'),
    (['run', '--json'], 'unknown option `--json`'),
    (['run', '-x'], 'unknown option `-x`'),
    (['check', '--json=yes'], 'takes no value'),
    (['check', '-c'], 'needs a value'),
    (['check', 'now'], 'one word too many'),
    (['wait', '--timeout', '30'], '--timeout'),
    (['wait', '--timeout', '-1s'], '--timeout'),
    (['wait', '--timeout', '99999999999h'], '--timeout'),
    (['status', '--wacht'], 'did you mean `--watch`?'),
    (['preview', '/no/such/candidate'], 'cannot be read'),
    (['suggest', '--wildcard'], 'did you mean `--wildcards`?'),
    (['redirect'], 'missing ACTION: apply, remove or print'),
    (['redirect', 'aply'], 'did you mean `apply`?'),
    (['redirect', 'apply', 'print'], 'one word too many'),
    (['redirect', 'print', '--json'], 'unknown option `--json`')], ids=' '.join)
def test_a_wrong_command_line(arguments, text):
    status, out, err = tool(*arguments)
    assert (status, out) == (2, '') and err.startswith('fairlead-agent') and text in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize('arguments', [['--help'], ['-h'], ['run', '--help'], ['check', '-h'], ['wait', '--help'],
                                       ['status', '--help'], ['explain', '--help'], ['suggest', '--help'],
                                       ['preview', '--help'], ['drain', '--help'], ['log-level', '--help'],
                                       ['redirect', '--help'], ['redirect', 'apply', '-h'], ['import', '--help'],
                                       ['help'], ['help', 'check'], ['help', '--help'], ['version', '--help'],
                                       ['connections', '--help'],
                                       ['-c', 'x', 'run', '--help']], ids=' '.join)
def test_help(arguments):
    status, out, err = tool(*arguments)
    assert (status, err) == (0, '')
    assert out.startswith('NAME\n  fairlead-agent') and 'EXIT STATUS' in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_what_cannot_be_written_is_said():
    for option in '--help', '--version':
        with open('/dev/full', 'w', encoding='ascii') as full:
            done = subprocess.run([*labs.sanitizer_prefix(), labs.AGENT, option], stdout=full, stderr=subprocess.PIPE,
                                  text=True, check=False)
        assert done.returncode == 3 and 'cannot write' in done.stderr


def test_version():
    status, out, err = tool('--version')
    assert (status, err) == (0, '') and re.fullmatch(r'fairlead-agent \d+\.\d+\.\d+\n', out)
    assert tool('check', '-V')[1] == tool('version')[1] == out
    assert tool('help', 'check') == tool('check', '--help') and tool('help') == tool('--help')
    assert tool('help', 'chekc')[2].startswith('fairlead-agent: unknown command `chekc` (did you mean `check`?)')


def test_the_ini_may_be_named_before_the_command(web):
    assert tool('-c', web.ini, 'check')[0] == tool(f'--config={web.ini}', 'check')[0] == 0
