# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what is generated from the table of commands: man pages that the formatters accept without a warning, and
completions that the shells accept and that offer the existing words."""
import json
import re
import shutil
import subprocess

import pytest

import lab as labs
from test_tools import tool

COMMANDS = re.findall(r'(?m)^  ([a-z-]+)  +\S', tool('--help')[1].split('COMMANDS')[1].split('OPTIONS')[0])


def needs(program):
    if not shutil.which(program):
        pytest.skip(f'{program} is not installed')


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60 * labs.SLOW, check=False)
    return done.returncode, done.stdout, done.stderr


def test_every_command_is_in_the_list():
    assert {'run', 'check', 'status', 'connections', 'help', 'version'} <= set(COMMANDS) and len(COMMANDS) > 12


def keys_of_the_check():
    """Returns {section: keys} as the table of the INI's keys has them."""
    source = (labs.ROOT / 'sidecar/conf/keys.c').read_text()
    keys = {name: re.findall(r'\.name = "(\w+)"', body) for name, body in re.findall(r'struct fl_key (\w+)\[\] = \{(.*?)\n\};', source, re.S)}
    return {section: keys[name] for section, name in re.findall(r'SECTION\("(\w+)", \w+, (\w+)\)', source)}


def test_the_page_of_the_ini_has_every_key():
    status, page, err = tool('help', 'ini')
    assert (status, err) == (0, '')
    assert max(len(line) for line in page.splitlines() if '(default' not in line) <= 80
    sections = {name: text for names, text in re.findall(r'(?ms)^(\[.*?)\n(.*?)(?=^\S|\Z)', page) for name in re.findall(r'\[(\w+)', names)}
    for section, keys in keys_of_the_check().items():
        explained = {key for line in re.findall(r'(?m)^  (\w[\w, ]*?)(?:  \(.*)?$', sections[section]) for key in line.split(', ')}
        assert explained == set(keys), section
    assert '](' not in page and '  cert, key  (required)\n' in page and '  drain  (default: 30s)\n' in page


def test_documented_defaults_are_the_defaults(lab):
    """An INI with every default written out is one without them."""
    web = lab.inbound(8080, start=False, name='web')
    web.sections.pop('sidecar')
    text = re.sub(r'(?m)^ {6}.*\n', '', tool('help', 'ini')[1])
    written = {}
    for section, keys in re.findall(r'(?ms)^\[(\w+)\]\n(.*?)(?=^\S|\Z)', text):
        written[section] = dict(re.findall(r'(?m)^  (\w+)  \(default: (.*)\)$', keys))
    assert len(written['limits']) > 7 and len(written) > 7
    reports = []
    for defaults in {}, written:
        web.change({section: {**keys, **web.sections.get(section, {})} for section, keys in defaults.items()})
        status, out, err = tool('check', '--json', '-c', web.ini)
        assert status == 0, err
        report = json.loads(out)
        for key in 'problems', 'policy':
            report.pop(key)  # with their lines in the file
        report['identity'].pop('expires_in_seconds')
        reports.append(report)
    assert reports[0] == reports[1]


@pytest.mark.parametrize('formatter', ['groff', 'mandoc'])
def test_the_man_page_of_the_ini(formatter):
    needs(formatter)
    page = tool('help', '--man', 'ini')[1]
    assert page.startswith('.TH fairlead.ini 5 ')
    words = ['groff', '-man', '-ww', '-Tutf8', '-P-c'] if formatter == 'groff' else ['mandoc', '-Tutf8']
    status, out, err = run(*words, text=page)
    assert (status, err) == (0, '')
    assert formatter == 'groff' or run('mandoc', '-Tlint', '-Wwarning', text=page)[1] == ''
    assert 'except_sources' in out


@pytest.mark.parametrize('formatter', ['groff', 'mandoc'])
def test_man_pages_are_taken_without_a_warning(formatter):
    needs(formatter)
    for command in '', *COMMANDS:
        status, page, err = tool('help', '--man', *([command] if command else []))
        assert (status, err) == (0, '')
        words = ['groff', '-man', '-ww', '-Tutf8', '-P-c'] if formatter == 'groff' else ['mandoc', '-Tutf8']
        status, out, err = run(*words, text=page)
        assert (status, err) == (0, ''), (command, err)
        if formatter == 'mandoc':
            assert run('mandoc', '-Tlint', '-Wwarning', text=page)[1] == '', command
        title = f'fairlead-agent-{command}'.rstrip('-')
        text = re.sub('.\\x08', '', out)
        assert title in text.replace('‐', '-').replace('−', '-'), command
        assert 'EXIT STATUS' in text


@pytest.mark.parametrize('formatter', ['groff', 'mandoc'])
def test_the_man_page_of_the_sidecar(formatter):
    """It is what --help prints."""
    needs(formatter)
    status, page, err = run(*labs.sanitizer_prefix(), labs.SIDECAR, '--man')
    assert (status, err) == (0, '') and page.startswith('.TH fairlead\\-sidecar 8 ')
    words = ['groff', '-man', '-ww', '-Tutf8', '-P-c'] if formatter == 'groff' else ['mandoc', '-Tutf8']
    status, out, err = run(*words, text=page)
    assert (status, err) == (0, '')
    if formatter == 'mandoc':
        assert run('mandoc', '-Tlint', '-Wwarning', text=page)[1] == ''
    text = re.sub('.\x08', '', out)
    for line in run(*labs.sanitizer_prefix(), labs.SIDECAR, '--help')[1].split('OPTIONS')[1].splitlines():
        assert len(line) <= 80 and line.strip() in text


def complete(typed):
    """Returns what bash offers for these words. The last word is being typed."""
    script = tool('help', '--completion', 'bash')[1]
    words = ' '.join(f"'{word}'" for word in typed)
    status, out, err = run('bash', '-c', f'{script}\nCOMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _fairlead_agent\n'
                                         'printf "%s\\n" "${COMPREPLY[@]}"')
    assert (status, err) == (0, ''), err
    return out.split()


def test_bash_completes_commands_and_options():
    assert complete(['fairlead-agent', '']) == COMMANDS
    assert complete(['fairlead-agent', 'st']) == ['status']
    assert complete(['fairlead-agent', '-c', 'x.ini', 'pre']) == ['preview']
    assert complete(['fairlead-agent', '--']) == ['--config', '--help', '--version']
    assert complete(['fairlead-agent', 'status', '--']) == ['--config', '--help', '--version', '--control', '--admin',
                                                            '--json', '--watch']
    assert complete(['fairlead-agent', 'check', '--st']) == ['--strict']
    assert complete(['fairlead-agent', 'help', 'ch']) == ['check']
    assert complete(['fairlead-agent', 'check', 'x']) == [], 'files are the shell\'s'


@pytest.mark.parametrize('shell', ['zsh', 'fish'])
def test_other_shells_take_their_scripts(shell):
    needs(shell)
    status, script, err = tool('help', '--completion', shell)
    assert (status, err) == (0, '')
    assert run(shell, '-n', text=script)[0] == 0, 'its syntax'
    for command in COMMANDS:
        assert command in script
    if shell == 'fish':
        for typed, offered in (('fairlead-agent st', {'status'}), ('fairlead-agent check --st', {'--strict'})):
            status, out, err = run('fish', '--no-config', '-c', f'{script}\ncomplete -C "{typed}"')
            assert (status, err) == (0, '') and {line.split('\t')[0] for line in out.splitlines()} == offered


def test_there_is_no_such_shell():
    status, out, err = tool('help', '--completion', 'zhs')
    assert (status, out) == (2, '') and 'did you mean `zsh`?' in err
