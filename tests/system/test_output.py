# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what the programs write: every line has the form of `[log] format`, and output that cannot be written is
handled."""
import json
import os
import subprocess

import pytest

import lab as labs
from lab import wait_until

RUNS = {'agent': [labs.AGENT, 'run'], 'sidecar': [labs.SIDECAR]}


def lines_of(command):
    """Returns the exit status and the stderr lines of a program that cannot start."""
    done = subprocess.run([*labs.sanitizer_prefix(), *map(str, command)], capture_output=True, text=True,
                          timeout=60 * labs.SLOW, check=False)
    assert 'Sanitizer' not in done.stderr and done.stdout == '', done.stderr
    return done.returncode, done.stderr.splitlines()


# --- the form of the log ------------------------------------------------------------------------------

@pytest.mark.parametrize('program', RUNS)
@pytest.mark.parametrize('form', ['json', 'text', None])
def test_a_refused_ini_is_told_in_the_form_that_it_asks_for(lab, program, form):
    """The form applies even if other settings are wrong. The default applies if it is not set or there is no INI."""
    workload = lab.inbound(1, {'limits': {'conections': 5}, **({'log': {'format': form}} if form else {})}, start=False)
    for missing in False, True:
        if missing:
            workload.ini.unlink()
        status, lines = lines_of([*RUNS[program], '-c', workload.ini])
        assert status == 2 and lines
        where = 'there is no such file' if missing else 'unknown key `conections`'
        if form == 'text' and not missing:
            assert f' error {workload.ini}:' in lines[0] and where in lines[0]
            continue
        first = json.loads(lines[0])
        assert first['level'] == 'error' and first['program'] == f'fairlead-{program}'
        assert first['msg'].startswith(f'{workload.ini}:') and where in first['msg']
        assert all(json.loads(line)['msg'] for line in lines)


@pytest.mark.parametrize('program', RUNS)
def test_a_start_that_fails_is_told_as_json(lab, program):
    """The causes are a port in use and a folder that other users can write to."""
    workload = lab.inbound(1, start=False)
    if program == 'sidecar':
        taken = lab.inbound(1)
        workload.change({'sidecar': {'admin': f'127.0.0.1:{taken.admin}'}})
    else:
        folder = lab.folder / 'open'
        folder.mkdir()
        folder.chmod(0o777)
        workload.change({'agent': {'socket': folder / 'agent.sock'}})
    status, lines = lines_of([*RUNS[program], '-c', workload.ini])
    assert status == (1 if program == 'sidecar' else 2)
    told = [json.loads(line) for line in lines]
    assert told[-1]['level'] == 'error' and told[-1]['msg'].startswith('cannot run: ')


@pytest.mark.parametrize('program', RUNS)
def test_warnings_of_the_ini_are_lines_of_the_log(lab, app, program):
    workload = lab.inbound(app().port, {'inbound': {'mode': 'permissive'}, 'service app': {'mode': 'permissive'}})
    wanted = getattr(workload, program)
    wait_until(lambda: 'accepts plaintext, but no rule allows it' in wanted.text, 'it warns')
    line = next(line for line in wanted.text.splitlines() if 'accepts plaintext' in line)
    assert json.loads(line)['level'] == 'warn'


# --- output that cannot be written --------------------------------------------------------------------

@pytest.fixture
def commands(lab, app):
    """Returns each command that prints something, and its exit status if the output can be written."""
    web = lab.inbound(app().port, {'sidecar': {'control': lab.folder / 'control.sock'}}, name='web')
    agent = [labs.AGENT]
    return {'help': [*agent, '--help'], 'version': [*agent, '--version'], 'check': [*agent, 'check', '-c', web.ini],
            'check --json': [*agent, 'check', '--json', '-c', web.ini], 'wait': [*agent, 'wait', '-c', web.ini],
            'status': [*agent, 'status', '-c', web.ini], 'status --json': [*agent, 'status', '--json', '-c', web.ini],
            'status --watch': [*agent, 'status', '--watch', '-c', web.ini],
            'explain': [*agent, 'explain', '--from', labs.CLIENT, '--to', 'app', '-c', web.ini],
            'suggest': [*agent, 'suggest', '-c', web.ini], 'preview': [*agent, 'preview', '-c', web.ini],
            'log-level': [*agent, 'log-level', 'info', '-c', web.ini],
            'sidecar --help': [labs.SIDECAR, '--help'], 'sidecar --version': [labs.SIDECAR, '--version']}


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, 'wb')


@pytest.mark.parametrize('where', ['full disk', 'closed pipe'])
def test_output_that_cannot_be_written_has_its_own_exit_code(commands, where):
    for name, command in commands.items():
        with open('/dev/full', 'wb') if where == 'full disk' else closed_pipe() as out:
            done = subprocess.run([*labs.sanitizer_prefix(), *map(str, command)], stdout=out, stderr=subprocess.PIPE,
                                  timeout=60 * labs.SLOW, check=False, restore_signals=True)
        assert done.returncode == 3, (name, done.returncode, done.stderr)
        assert name.startswith('sidecar') or b'cannot write' in done.stderr, name
