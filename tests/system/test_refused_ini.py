# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the tools while the mounted INI is refused or names no admin endpoint: they find the running sidecar
nevertheless."""
import json
import os
import subprocess

import pytest

import lab as labs
import peers
from lab import wait_until
from test_tools import tool

BROKEN = '\n[limits]\nconections = 5\nbufer = 1KiB\n\n[allow mesh]\nfrom = nonsense\n'


@pytest.fixture
def control(lab):
    return lab.folder / 'control.sock'


def break_ini(workload):
    """Puts errors into the mounted INI. Returns how the first of them begins."""
    good = workload.ini.read_text()
    workload.ini.write_text(good + BROKEN)
    line = (good + BROKEN).split('conections')[0].count('\n') + 1
    return f'{workload.ini}:{line}: unknown key `conections` in [limits] (did you mean `connections`?)'


@pytest.mark.parametrize('admin', [True, False], ids=['admin', 'control only'])
def test_the_tools_work_while_what_is_mounted_is_refused(lab, app, control, admin):
    inbound = lab.inbound(app().port, {'sidecar': {'control': control}, 'allow other': {'from': f'spiffe://{labs.TD}/x'}},
                          allow=f'spiffe://{labs.TD}/friend', start=False)
    if not admin:
        inbound.change({'sidecar': {'admin': ''}})
    inbound.start()
    assert tool('wait', '-c', inbound.ini) == (0, 'ready\n', '')
    assert peers.verdict(inbound.port, lab.root.issue(f'spiffe://{labs.TD}/stranger'), lab.root) == 49
    good = inbound.ini.read_text()
    status, out, err = tool('status', '-c', inbound.ini)
    assert (status, err) == (0, '') and 'sidecar      ready' in out and 'INI REFUSED' not in out

    refused = break_ini(inbound)
    said = f'fairlead-agent: the INI is refused: {refused}'
    status, out, err = tool('status', '-c', inbound.ini)
    assert (status, err) == (0, '') and f'INI REFUSED  {refused} (and ' in out and 'fairlead-agent check' in out
    status, out, err = tool('status', '--json', '-c', inbound.ini)
    assert status == 0 and json.loads(out)['ready'] and err.startswith(said)
    status, out, err = tool('wait', '-c', inbound.ini)
    assert (status, out) == (0, 'ready\n') and err.startswith(said) and err.count('\n') == 1
    status, out, err = tool('log-level', 'debug', '-c', inbound.ini)
    assert status == 0 and err.startswith(said)
    status, out, err = tool('suggest', '-c', inbound.ini)
    assert status == 0 and f'spiffe://{labs.TD}/stranger' in out and 'the INI is refused' in err
    status, out, err = tool('preview', '-c', inbound.ini)
    assert status == 2 and 'conections' in err, 'what is mounted is the candidate'
    candidate = lab.folder / 'candidate.ini'
    candidate.write_text(good)
    status, out, err = tool('preview', candidate, '-c', inbound.ini)
    assert status == 0 and 'closes       no open connection' in out and err.startswith(said)
    assert tool('drain', '-c', inbound.ini)[0] == 0
    assert inbound.sidecar.wait() == 0


def test_the_tools_say_that_the_ini_is_refused_although_nobody_answers(lab):
    """Perhaps that is why: the INI in force may have named another address."""
    inbound = lab.inbound(8080, start=False)
    refused = break_ini(inbound)
    for words in (['status'], ['status', '--json'], ['suggest'], ['connections'], ['wait', '--timeout', '0']):
        status, out, err = tool(*words, '-c', inbound.ini)
        assert (status, out) == (1, '') and err.count('\n') == 2, err
        assert 'the INI is refused' in err.splitlines()[0] and f': {refused}' in err.splitlines()[0], err
        assert 'cannot reach the sidecar' in err.splitlines()[1]


@pytest.mark.parametrize('command', ['status', 'connections', 'suggest'])
@pytest.mark.parametrize('body', ['hello', '{}', '[]', ''])
def test_an_answer_that_is_no_document_is_not_telling(lab, app, command, body):
    def answer_with(sock):
        sock.recv(4096)
        sock.sendall(f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}'.encode())
    web = lab.inbound(8080, {'sidecar': {'admin': f'127.0.0.1:{app(answer_with).port}'}}, start=False)
    status, out, err = tool(command, '-c', web.ini)
    assert (status, out) == (1, '') and err.count('\n') == 1, err


def test_a_named_address_needs_no_ini(lab, app, control):
    inbound = lab.inbound(app().port, {'sidecar': {'control': control}})
    nowhere = lab.folder / 'nowhere.ini'
    for where in ('--control', control), ('--admin', f'127.0.0.1:{inbound.admin}'):
        assert tool('wait', *where, '-c', nowhere) == (0, 'ready\n', '')
        status, out, err = tool('status', *where, '-c', nowhere)
        assert (status, err) == (0, '') and 'sidecar      ready' in out
    assert tool('log-level', 'warn', '--control', control, '-c', nowhere)[0] == 0
    assert tool('status', '-c', nowhere)[0] == 2
    # The address differs from that of the INI.
    status, _, err = tool('status', '--control', lab.folder / 'other.sock', '-c', inbound.ini)
    assert status == 1 and 'cannot reach the sidecar at unix:' in err
    assert tool('drain', '--control', control, '-c', nowhere)[0] == 0


def test_a_control_socket_of_a_stranger_is_not_believed(lab, app, control):
    if os.getuid() != 0:
        pytest.skip('needs root, to become somebody else')
    lab.folder.chmod(0o777)
    stranger = subprocess.Popen(['/usr/bin/python3', '-c', f'''
import os, socket
os.umask(0)
s = socket.socket(socket.AF_UNIX)
s.bind({str(control)!r})
s.listen()
input()'''], stdin=subprocess.PIPE, user=64003, group=64003, extra_groups=[])
    try:
        wait_until(control.exists, 'it listens')
        status, _, err = tool('status', '--control', control, '-c', lab.folder / 'nowhere.ini')
        assert status == 1 and 'runs as uid 64003, so it is not trusted' in err
    finally:
        stranger.communicate(b'\n', timeout=10)


@pytest.mark.parametrize('arguments, text', [
    (['status', '--control', 'run/x.sock'], '--control: `run/x.sock` is not an absolute path: it must begin with `/`'),
    (['drain', '--control', 'unix:/run/x.sock'], '--control: `unix:/run/x.sock` is not an absolute path'),
    (['wait', '--control', f'/{"x" * 200}'], '--control: '),
    (['status', '--control', '/x', '--admin', '127.0.0.1:1'], '--control and --admin exclude each other'),
    (['wait', '--admin', 'nonsense'], '--admin: '),
    (['drain', '--admin', '127.0.0.1:1'], 'unknown option `--admin`'),
    (['check', '--control', '/x'], 'unknown option `--control`')], ids=' '.join)
def test_wrong_addresses(arguments, text):
    status, out, err = tool(*arguments)
    assert (status, out) == (2, '') and text in err and err.count('\n') == 1, err
